//! Tests that need a tool or a right that this machine may lack: skipped where a person works, never in CI.

use std::io::Write as _;
use std::process::Command;

/// Reports that a test is skipped; the caller returns. The note goes past the harness, which would swallow it.
///
/// # Panics
/// With `CI=true`, where nothing may go untested.
pub(crate) fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{test} must not be skipped in CI: {why}");
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

/// Runs the calling test again without root's right to read and write every file, and reports whether that was done:
/// then the caller returns. Without root there is nothing to give up, and the test goes on as it is.
#[allow(dead_code, reason = "each test binary uses its own part of this")]
pub(crate) fn repeated_without_roots_rights() -> bool {
    const REPEATED: &str = "SFEXPORT_TESTS_WITHOUT_ROOTS_RIGHTS";
    if std::env::var_os(REPEATED).is_some() {
        return false;
    }
    let shadow = std::fs::File::open("/etc/shadow");
    if shadow.is_err() {
        return false;
    }
    let test = std::thread::current().name().expect("a test's thread bears its name").to_owned();
    let output = Command::new("setpriv")
        .args(["--bounding-set", "-dac_override,-dac_read_search"])
        .arg(std::env::current_exe().expect("a test knows its own file"))
        .args(["--exact", &test])
        .env(REPEATED, "1")
        .output();
    match output {
        Ok(output) => {
            let stdout = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && stdout.contains("1 passed"), "{output:?}");
        }
        Err(error) => skip(&format!("setpriv: {error}")),
    }
    true
}
