//! What the binary prints, as people read it: help, answers and generated files, in snapshots that are reviewed as prose.
//! `INSTA_UPDATE=always cargo test --test messages` writes them again.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use support::Deployment;

/// A text without what differs from run to run: directories, ports, times, ids and figures of this machine.
fn steady(at: &Deployment, text: &str) -> String {
    let directory = at.path(".").canonicalize().unwrap();
    let text = text.replace(directory.to_str().unwrap(), "DIR").replace(at.org().url(), "http://ORG");
    text.lines().map(|line| steady_line(line.trim_end())).collect::<Vec<_>>().join("\n")
}

fn steady_line(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let bytes = word.as_bytes();
        let is_date = bytes.len() >= 10 && bytes[4] == b'-' && bytes[..4].iter().all(u8::is_ascii_digit);
        match word.split_once('=') {
            Some((name @ ("run_id" | "seconds"), _)) => format!("{name}=..."),
            // A fingerprint.
            _ if bytes.len() > 50 && word.chars().all(|c| c == ':' || c.is_ascii_hexdigit()) => {
                "AB:CD:...".to_owned()
            }
            _ if is_date => "DATE".to_owned(),
            _ if bytes.len() == 5 && bytes[2] == b':' => "HH:MM".to_owned(),
            _ => word.to_owned(),
        }
    });
    let mut line = words.collect::<Vec<_>>().join(" ");
    // How long a run took.
    if let Some(figures) = line.strip_suffix(" s")
        && let Some((before, seconds)) = figures.rsplit_once(' ')
        && seconds.parse::<f64>().is_ok()
    {
        line = format!("{before} N s");
    }
    // How long the login host took.
    if let Some((before, after)) = line.split_once("after ")
        && let Some((_, after)) = after.split_once(" ms")
    {
        line = format!("{before}after N ms{after}");
    }
    line
}

const COMMANDS: [&str; 14] = [
    "run",
    "query",
    "jobs",
    "history",
    "daemon",
    "check",
    "whoami",
    "token",
    "keygen",
    "init",
    "schema",
    "demo",
    "completions",
    "man",
];

#[test]
fn the_help_reads_well() {
    let at = Deployment::new(10);
    let mut text = at.run(["--help"]).ended(0).stdout().to_owned();
    for command in COMMANDS {
        text += &format!("\n===== {command}\n{}", at.run([command, "-h"]).ended(0).stdout());
    }
    insta::assert_snapshot!("help", text);
}

#[test]
fn generated_files_read_well() {
    let at = Deployment::new(10);
    let mut text = at.run(["init", "new"]).ended(0).stdout().to_owned();
    for file in ["new/sfexport.toml", "new/jobs/accounts.toml"] {
        text += &format!("\n===== {file}\n{}", at.text(file));
    }
    text += &format!("\n===== keygen\n{}", at.run(["keygen", "--out", "keys"]).ended(0).stdout());
    insta::assert_snapshot!("generated_files", steady(&at, &text));
}

#[test]
fn answers_read_well() {
    let at = Deployment::new(40);
    at.job("accounts", "SELECT Id, Name FROM Account", "accounts.csv", "schedule = \"30 6 * * 1-5\"");
    at.job("contacts", "SELECT Id, Nme FROM Contact", "contacts.csv", "");
    let mut text = String::new();
    for (arguments, status) in [
        (&["check"][..], 65),
        (&["check", "accounts", "--offline"], 0),
        (&["run", "accounts"], 0),
        (&["run", "contacts"], 65),
        (&["jobs"], 0),
        (&["history", "accounts"], 0),
        (&["whoami"], 0),
        (&["run", "acounts"], 78),
        (&["runn"], 2),
        (&["query", "SELECT Id FRM Account", "-o", "x.csv"], 65),
        (&["man", "nothing"], 2),
    ] {
        let outcome = at.run(arguments.iter().copied()).ended(status);
        text +=
            &format!("\n===== {} ({status})\n{}{}", arguments.join(" "), outcome.stdout(), outcome.stderr);
    }
    insta::assert_snapshot!("answers", steady(&at, &text));
}
