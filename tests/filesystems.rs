//! Exports to file systems that do not have every call, and to files that cannot be replaced, seen from outside.

#![cfg(all(feature = "demo-org", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use support::{Deployment, assert_same, csv, live};

const SOQL: &str = "SELECT Id, Name FROM Account";

/// The library that answers as other file systems do; `None` where no C compiler is there to build it.
fn faults() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/filesystems/faults.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fs-faults.so");
        let arguments = ["-shared", "-fPIC", "-O1", "-o"];
        let cc = Command::new("cc").args(arguments).arg(&library).arg(source).arg("-ldl").output().ok()?;
        assert!(cc.status.success(), "{cc:?}");
        Some(library)
    };
    let library = LIBRARY.get_or_init(build).as_deref();
    if library.is_none() {
        support::skip("there is no C compiler");
    }
    library
}

/// Runs the binary on a file system with these faults.
fn with_faults(at: &Deployment, faults: &str, arguments: &[&str]) -> Option<Output> {
    let library = self::faults()?;
    let mut command = at.command(arguments);
    Some(command.env("LD_PRELOAD", library).env("FS_FAULTS", faults).output().unwrap())
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_file_system_without_a_call_takes_exports_all_the_same() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "a/accounts.csv", "");
    let expected = csv(&["Id", "Name"], &live(at.data(), "Account"));
    // EINVAL, ENOTTY, EOPNOTSUPP, ENOENT of a directory's flush; ENOLCK, ENOSYS of a stage's lock.
    for faults in [
        "fsync d / 22",
        "fsync d / 25",
        "fsync d / 95",
        "fsync d / 2",
        "flock f .partial 37",
        "flock f .partial 38",
    ] {
        let Some(output) = with_faults(&at, faults, &["run", "accounts"]) else { return };
        assert_eq!(output.status.code(), Some(0), "{faults}: {}", stderr(&output));
        assert_same(&at.read("exports/a/accounts.csv"), &expected);
        at.assert_no_stage();
        fs::remove_dir_all(at.path("exports")).unwrap();
    }
    // What failed is no missing call: EIO.
    let output = with_faults(&at, "fsync d exports 5", &["run", "accounts"]).unwrap();
    assert_eq!(output.status.code(), Some(73), "{}", stderr(&output));
}

#[test]
fn a_state_directory_without_locks_is_named_as_that() {
    let at = Deployment::new(1);
    at.job("accounts", SOQL, "accounts.csv", "");
    let Some(output) = with_faults(&at, "flock f .lock 37", &["run", "accounts"]) else { return };
    assert_eq!(output.status.code(), Some(73));
    let said = stderr(&output);
    assert!(
        said.contains("the file system of state_dir does not support file locks: set state_dir"),
        "{said}"
    );
}

#[test]
fn inode_numbers_that_change_end_a_run_and_are_named() {
    let at = Deployment::new(1);
    at.job("accounts", SOQL, "accounts.csv", "");
    for (place, what) in [
        ("accounts.lock", "state/locks/accounts.lock: each look finds another inode number"),
        (".partial", "cannot lock the stage"),
    ] {
        let Some(output) = with_faults(&at, &format!("inode f {place} 1"), &["run", "accounts"]) else {
            return;
        };
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(73), "{said}");
        assert!(said.contains(what) && said.contains("each look finds another inode number"), "{said}");
        assert!(said.contains("local disk"), "{said}");
        at.assert_no_stage();
    }
}
