//! `demo --serve --living`: an org that changes by itself, followed by an incremental export.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

const JOB: &str = "object = \"Account\"\nfields = [\"Id\", \"Name\", \"SystemModstamp\"]\n\
                   output = \"{kind}-{run_id}.csv\"\n[incremental]\ndeletes = \"ids\"\n";

/// The process of an org, ended with the test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sfexport(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sfexport"));
    command.env_clear().current_dir(directory).args(arguments).stdin(Stdio::null());
    command
}

fn run(directory: &Path) -> Value {
    let ended = sfexport(directory, &["run", "accounts", "--json"]).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[test]
fn an_org_that_lives_gives_changes_to_export() {
    let directory = tempfile::tempdir().unwrap();
    let org = ["demo", "--serve", "--living", "--seed", "3", "--records", "40", "--dir", "org"];
    let mut org = Served(sfexport(directory.path(), &org).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(org.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "Changes:        about one a second"), "nothing is said of changes");
    assert!(lines.any(|line| line.starts_with("The org runs")), "the org did not start");
    let org = directory.path().join("org");
    fs::write(org.join("jobs/accounts.toml"), JOB).unwrap();
    let full = run(&org);
    assert_eq!((&full["kind"], &full["deletes"]), (&"full".into(), &"ids".into()), "{full}");
    let before = fs::read_to_string(full["path"].as_str().unwrap()).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        sleep(Duration::from_secs(1));
        let changes = run(&org);
        assert_eq!(changes["kind"], "changes", "{changes}");
        let text = fs::read_to_string(changes["path"].as_str().unwrap()).unwrap();
        if text.lines().skip(1).any(|row| !before.contains(row)) {
            return;
        }
        assert!(Instant::now() < end, "nothing has changed in a minute");
    }
}

#[test]
fn a_seed_belongs_to_an_org_that_lives() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["demo", "--living"][..], &["demo", "--serve", "--seed", "3"]] {
        let ended = sfexport(directory.path(), arguments).output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8(ended.stderr).unwrap();
        let missing = if arguments.contains(&"--living") { "--serve" } else { "--living" };
        assert!(said.contains(missing), "{said}");
    }
}
