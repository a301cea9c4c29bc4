//! A job with a command after its export (`after`), its runs, and what the command noted.

use std::fs;

use super::daemon::SOQL;
use super::{Deployment, Outcome};

/// The scheduled time of [`once`].
pub(crate) const TIME: &str = "2026-03-01T02:00:00Z";

/// The job `accounts`, whose command is this shell script, with `{path} {job} {org} {run_id}` as `$1` to `$4`.
pub(crate) fn job(at: &Deployment, script: &str, more: &str) {
    at.write("after.sh", script);
    let command = "after = [\"sh\", \"after.sh\", \"{path}\", \"{job}\", \"{org}\", \"{run_id}\"]";
    at.job("accounts", SOQL, "{job}.csv", &format!("{command}\n{more}"));
}

pub(crate) fn once(at: &Deployment) -> Outcome {
    at.run(["run", "accounts", "--at", TIME, "--once", "--json"])
}

pub(crate) fn by_hand(at: &Deployment) -> Outcome {
    at.run(["run", "accounts", "--json"])
}

/// The lines that commands added to the file `ran`.
pub(crate) fn ran(at: &Deployment) -> Vec<String> {
    let notes = fs::read_to_string(at.path("ran")).unwrap_or_default();
    notes.lines().map(str::to_owned).collect()
}
