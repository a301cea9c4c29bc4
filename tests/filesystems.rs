//! Exports to file systems that do not have every call, and to files that cannot be replaced, seen from outside.

#![cfg(all(feature = "demo-org", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

#[cfg(feature = "parquet")]
use sfexport::demo_org::Options;
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

/// EINVAL, ENOTTY, EOPNOTSUPP, ENOENT of a directory's flush; ENOLCK, ENOSYS of a stage's lock.
const MISSING_CALLS: [&str; 6] = [
    "fsync d / 22",
    "fsync d / 25",
    "fsync d / 95",
    "fsync d / 2",
    "flock f .partial 37",
    "flock f .partial 38",
];

#[test]
fn a_file_system_without_a_call_takes_exports_all_the_same() {
    let at = Deployment::new(20);
    at.job("accounts", SOQL, "a/accounts.csv", "");
    let expected = csv(&["Id", "Name"], &live(at.data(), "Account"));
    for faults in MISSING_CALLS {
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

/// The rows of a Parquet file, each as one line of text.
#[cfg(feature = "parquet")]
fn rows(file: Vec<u8>) -> Vec<String> {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_is_the_same_on_every_file_system() {
    let at = Deployment::with(Options { page_size: 2_000, ..support::options(20_000) });
    at.write("sfexport.toml", format!("scratch_dir = \"scratch\"\n{}", at.text("sfexport.toml")));
    fs::create_dir(at.path("scratch")).unwrap();
    // More values than memory may hold.
    let soql = "SELECT Id, Name, Description, Remarks__c, CreatedDate FROM Account";
    at.job("accounts", soql, "accounts.parquet", "");
    let run = ["run", "accounts"];
    at.run(run).ended(0);
    let expected = rows(at.read("exports/accounts.parquet"));
    assert!(expected.len() > 19_000);
    let holds = |output: Output, what: &str| {
        assert_eq!(output.status.code(), Some(0), "{what}: {}", stderr(&output));
        assert!(rows(at.read("exports/accounts.parquet")) == expected, "{what}");
        assert_eq!(at.names_below("exports"), ["accounts.parquet"], "{what}");
        assert_eq!(at.names_below("scratch"), Vec::<String>::new(), "{what}");
        fs::remove_file(at.path("exports/accounts.parquet")).unwrap();
    };
    // EOPNOTSUPP of a file without a name, as on NFS.
    for faults in MISSING_CALLS.into_iter().chain(["tmpfile d scratch 95"]) {
        let Some(output) = with_faults(&at, faults, &run) else { return };
        holds(output, faults);
    }
    let on_tmpfs = |size| mounted(&at, &format!("mount -t tmpfs -o size={size} tmpfs scratch"), &run);
    let Some(output) = on_tmpfs("64m") else { return };
    holds(output, "scratch_dir on another file system");
    let output = on_tmpfs("1m").unwrap();
    assert_eq!(output.status.code(), Some(73), "the values fit into memory: {}", stderr(&output));
}

#[test]
fn a_state_directory_without_locks_is_named_as_that() {
    let at = Deployment::new(1);
    at.job("accounts", SOQL, "accounts.csv", "");
    let Some(output) = with_faults(&at, "flock f .lock 37", &["run", "accounts"]) else { return };
    assert_eq!(output.status.code(), Some(73));
    let said = stderr(&output);
    assert!(said.contains("this file system does not support file locks"), "{said}");
}

#[test]
fn inode_numbers_that_change_end_a_run_and_are_named() {
    let at = Deployment::new(1);
    at.job("accounts", SOQL, "accounts.csv", "");
    for (place, what) in [
        ("accounts.lock", "state/locks/accounts.lock: its inode number changes each time"),
        (".partial", "cannot lock the temporary file"),
    ] {
        let Some(output) = with_faults(&at, &format!("inode f {place} 1"), &["run", "accounts"]) else {
            return;
        };
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(73), "{said}");
        assert!(said.contains(what) && said.contains("its inode number changes each time"), "{said}");
        assert!(said.contains("local disk"), "{said}");
        at.assert_no_stage();
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        support::skip("only root may give files away");
    }
    root
}

#[test]
fn a_group_that_cannot_be_kept_is_a_warning_of_the_run() {
    let at = Deployment::new(1);
    at.job("accounts", SOQL, "accounts.csv", "");
    at.write("exports/accounts.csv", "old");
    let path = at.path("exports/accounts.csv");
    if !is_root() {
        return;
    }
    chown(&path, Some(12_345), Some(54_321)).unwrap();
    // Readers of a file that all may read lose nothing.
    for (mode, warned) in [(0o640, 2), (0o644, 0)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let faults = "fchown f .partial 1";
        let Some(output) = with_faults(&at, faults, &["run", "accounts", "--json"]) else { return };
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let warnings = report["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), warned, "{warnings:?}");
        if warned > 0 {
            let group = warnings[0].as_str().unwrap();
            assert!(group.contains("accounts.csv changed from 54321 to 0"), "{group}");
            let owner = warnings[1].as_str().unwrap();
            assert!(owner.contains("changed from user 12345 to user 0"), "{owner}");
        }
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (0, 0, mode));
        chown(&path, Some(12_345), Some(54_321)).unwrap();
    }
}

#[test]
fn permissions_that_cannot_be_set_are_named() {
    let at = Deployment::new(1);
    at.job("accounts", SOQL, "accounts.csv", "file_mode = \"0640\"");
    let Some(output) = with_faults(&at, "fchmod f .partial 1", &["run", "accounts"]) else { return };
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(73), "{said}");
    assert!(said.contains("cannot set the permissions 0640 on the export to "), "{said}");
    assert!(said.contains("hint: remove file_mode"), "{said}");
    assert!(!said.contains("flush"), "{said}");
    at.assert_no_stage();
}

/// Runs the binary in a mount namespace of its own, after these commands of a shell.
fn mounted(at: &Deployment, mounts: &str, arguments: &[&str]) -> Option<Output> {
    let binary = at.command(arguments);
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.current_dir(binary.get_current_dir().unwrap());
    command.args(["-m", "sh", "-c", &format!("{mounts} || exit 99; exec \"$0\" \"$@\"")]);
    let output = command.arg(binary.get_program()).args(arguments).output();
    match output {
        Ok(output) if output.status.code() != Some(99) && !stderr(&output).contains("unshare failed") => {
            Some(output)
        }
        _ => {
            support::skip("nothing may be mounted");
            None
        }
    }
}

#[test]
fn a_single_file_that_is_mounted_is_refused_before_the_login() {
    let at = Deployment::new(1);
    at.job("accounts", SOQL, "accounts.csv", "");
    at.write("host.csv", "old");
    at.write("exports/accounts.csv", "");
    for arguments in [&["check", "--offline"][..], &["run", "accounts"]] {
        let mounts = "mount --bind host.csv exports/accounts.csv";
        let Some(output) = mounted(&at, mounts, arguments) else { return };
        let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(73), "{said}");
        assert!(said.contains("accounts.csv: it is mounted as a single file"), "{said}");
        assert!(said.contains("mount the directory that holds it"), "{said}");
    }
    assert_eq!(at.logins().len(), 0);
    assert_eq!(at.text("host.csv"), "old");
}

#[test]
fn another_users_file_in_a_sticky_directory_is_refused_at_once() {
    let at = Deployment::new(1);
    at.job("accounts", SOQL, "accounts.csv", "");
    at.write("exports/accounts.csv", "old");
    if !is_root() {
        return;
    }
    let given = Command::new("chown").args(["-R", "65534:65534", "."]).current_dir(at.path("")).status();
    assert!(given.unwrap().success());
    chown(at.path("exports"), Some(0), Some(0)).unwrap();
    chown(at.path("exports/accounts.csv"), Some(0), Some(0)).unwrap();
    fs::set_permissions(at.path("exports"), fs::Permissions::from_mode(0o1777)).unwrap();
    for arguments in [&["check", "--offline"][..], &["run", "accounts"]] {
        let output = at.command(arguments).uid(65_534).gid(65_534).output().unwrap();
        let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(73), "{said}");
        assert!(said.contains("it belongs to another user, and its directory has the sticky bit"), "{said}");
    }
    assert_eq!(at.logins().len(), 0);
}

#[test]
fn a_file_with_the_immutable_attribute_is_refused_at_once() {
    let at = Deployment::new(1);
    at.job("accounts", SOQL, "accounts.csv", "");
    at.write("exports/accounts.csv", "old");
    let path = at.path("exports/accounts.csv");
    let chattr = |change: &str| Command::new("chattr").arg(change).arg(&path).output();
    if !chattr("+i").is_ok_and(|output| output.status.success()) {
        return support::skip("the immutable attribute cannot be set");
    }
    let output = at.command(["check", "--offline"]).output().unwrap();
    chattr("-i").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(73), "{said}");
    assert!(said.contains("it has the immutable or append-only attribute"), "{said}");
}

#[test]
fn a_place_where_nothing_can_be_made_fails_in_check_as_in_run() {
    let at = Deployment::new(1);
    at.job("accounts", SOQL, "accounts.csv", "");
    for root in ["/proc/x", "/proc", "/sys/fs"] {
        for arguments in [&["check", "--offline"][..], &["run", "accounts"]] {
            let output = at.command(["--output-root", root]).args(arguments).output().unwrap();
            let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(73), "{root}: {said}");
        }
    }
}

#[test]
fn check_leaves_nothing_where_it_tried() {
    let at = Deployment::new(1);
    at.job("accounts", SOQL, "new/deep/accounts.csv", "");
    at.run(["check", "--offline"]).ended(0);
    assert!(!at.path("exports").exists());
    at.write("exports/new/deep/other.csv", "");
    at.run(["check", "--offline"]).ended(0);
    let names: Vec<_> = fs::read_dir(at.path("exports/new/deep")).unwrap().collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn an_output_that_is_a_link_is_said_by_check_and_followed_if_asked() {
    let at = Deployment::new(20);
    let expected = csv(&["Id", "Name"], &live(at.data(), "Account"));
    at.write("exports/real/target.csv", "old");
    let link = at.path("exports/accounts.csv");
    symlink("real/target.csv", &link).unwrap();
    at.job("accounts", SOQL, "accounts.csv", "");
    let said = String::from_utf8(at.run(["check", "--offline"]).ended(0).stdout.clone()).unwrap();
    assert!(said.contains("accounts.csv is a link to real/target.csv: a run replaces the link"), "{said}");
    assert!(said.contains("set follow_links = true"), "{said}");

    at.job("accounts", SOQL, "accounts.csv", "follow_links = true");
    let said = String::from_utf8(at.run(["check", "--offline"]).ended(0).stdout.clone()).unwrap();
    assert!(!said.contains("is a link"), "{said}");
    at.run(["run", "accounts"]).ended(0);
    assert!(link.is_symlink());
    assert_same(&at.read("exports/real/target.csv"), &expected);

    fs::remove_file(&link).unwrap();
    at.write("outside.csv", "old");
    symlink("../outside.csv", &link).unwrap();
    for arguments in [&["check", "--offline"][..], &["run", "accounts"]] {
        let outcome = at.run(arguments).ended(73);
        let said = outcome.stderr.clone() + &String::from_utf8_lossy(&outcome.stdout);
        assert!(said.contains("accounts.csv is outside output_root"), "{said}");
    }
    at.job("accounts", SOQL, "accounts.csv", "");
    at.run(["run", "accounts"]).ended(0);
    assert_eq!((link.is_symlink(), at.text("outside.csv").as_str()), (false, "old"));
}

#[test]
fn a_query_does_not_write_under_the_name_of_a_stage() {
    let at = Deployment::new(1);
    let path = ".a.csv.20261122T010000Z-1f2e3d4c.partial";
    let output = at.command(["query", SOQL, "--format", "csv", "-o", path]).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(73), "{said}");
    assert!(said.contains("reserved for unfinished exports"), "{said}");
    assert_eq!((at.logins().len(), at.path(path).exists()), (0, false));
}
