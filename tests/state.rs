//! The state directory when a neighbour or the system works against it, through the binary.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::process::{Command, Output};

use serde_json::Value as Json;
use support::Deployment;

const SOQL: &str = "SELECT Id, Name FROM Account";

/// Runs the binary where no more than this many files may be open.
fn with_descriptors(at: &Deployment, limit: usize, arguments: &[&str]) -> Output {
    let binary = at.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]).arg(binary.get_program());
    command.args(binary.get_args()).current_dir(at.path("")).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).output().unwrap()
}

fn history(at: &Deployment) -> Vec<Json> {
    let text = at.text("state/runs.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn too_few_descriptors_for_the_lock_are_not_a_running_job() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "accounts.csv", "");
    at.run(["run", "accounts"]).ended(0);
    let mut kept_out = 0;
    for limit in 6..40 {
        let before = history(&at).len();
        let output = with_descriptors(&at, limit, &["run", "accounts", "--json"]);
        let Some(report) = output.stdout.split(|byte| *byte == b'\n').find(|line| !line.is_empty()) else {
            continue;
        };
        let report: Json = serde_json::from_slice(report).unwrap();
        let error = report["error"].as_str().unwrap_or_default();
        if !(error.contains("locks/accounts") && error.contains("Too many open files")) {
            continue;
        }
        kept_out += 1;
        assert_eq!(output.status.code(), Some(75), "{report}");
        // Too few for the history as well, as a rule: then that is said.
        let warned = report["warnings"].to_string().contains("runs.");
        assert!(history(&at).len() == before + 1 || warned, "{limit}: neither recorded nor said: {report}");
    }
    assert!(kept_out > 0, "no limit hit the lock");
}
