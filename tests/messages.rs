//! What the binary prints, as people read it: help, answers and generated files, in snapshots that are reviewed as prose.
//! `INSTA_UPDATE=always cargo test --test messages` writes them again.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use support::Deployment;
use support::daemon::{Process, due, get, sample, wait_for};
use support::steady::steady;

const COMMANDS: [&str; 18] = [
    "run",
    "query",
    "jobs",
    "history",
    "daemon",
    "check",
    "objects",
    "fields",
    "describe",
    "watermark",
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
        (&["objects", "Acc*"], 0),
        (&["fields", "Organization"], 0),
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

#[test]
fn mistakes_with_shards_and_orgs_read_well() {
    let at = Deployment::new(10);
    at.configure(&at.org_table("orgs.emea"));
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    let mut text = String::new();
    for (arguments, variables, status) in [
        (&["--all", "--org", "emae"][..], &[][..], 78),
        (&["accounts", "--org", "emea"], &[], 2),
        (&["--all", "--org", "emea"], &[], 2),
        (&["--all", "--shard", "1/2", "--quiet"], &[], 0),
        (&["--all", "--shard", "0/2"], &[], 0),
        (&["--all", "--shard", "2"], &[], 2),
        (&["--all", "--shard", "2/2"], &[], 2),
        (&["--all", "--shard", "0/0"], &[], 2),
        (&["--all", "--shard", "0/10001"], &[], 2),
        (&["--all", "--shard", "auto"], &[], 2),
        (&["--all", "--shard", "auto/2"], &[], 2),
        (&["--all", "--shard", "auto/2"], &[("JOB_COMPLETION_INDEX", "one")], 2),
        (&["--all", "--shard", "auto/2"], &[("SLURM_ARRAY_TASK_ID", "2")], 2),
        (&["--all", "--shard", "auto/2"], &[("SLURM_ARRAY_TASK_ID", "0"), ("CLOUD_RUN_TASK_INDEX", "1")], 2),
        (&["--all", "--shard-by", "job"], &[], 2),
        (&["--all", "--once"], &[], 2),
        (&["--all", "--shard", "0/2", "--shard-by", "object"], &[], 2),
        (&["--shard", "0/2"], &[], 2),
    ] {
        let mut command = at.command(["run"].iter().chain(arguments));
        let outcome = at.outcome(command.envs(variables.iter().copied()).output().unwrap()).ended(status);
        let variables: String = variables.iter().map(|(name, value)| format!("{name}={value} ")).collect();
        text += &format!(
            "\n===== {variables}run {} ({status})\n{}{}",
            arguments.join(" "),
            outcome.stdout(),
            outcome.stderr
        );
    }
    for (arguments, status) in [
        (&["jobs", "--shards", "8"][..], 0),
        (&["jobs", "--shards", "0"], 2),
        (&["jobs", "--shard-by", "job"], 2),
    ] {
        let outcome = at.run(arguments.iter().copied()).ended(status);
        text +=
            &format!("\n===== {} ({status})\n{}{}", arguments.join(" "), outcome.stdout(), outcome.stderr);
    }
    insta::assert_snapshot!("shards", steady(&at, &text));
}

#[test]
fn marks_read_well() {
    let at = Deployment::new(10);
    at.job("plain", "SELECT Id FROM Account", "plain.csv", "");
    let job = "output = \"{job}/{object}-{kind}-{mark}.csv\"\n[incremental]\ndeletes = \"ids\"\n";
    for (name, source) in [("accounts", "object = \"Account\""), ("backup", "objects = [\"*\", \"!Vote\"]")] {
        at.write(&format!("jobs/{name}.toml"), format!("{source}\n{job}"));
    }
    let mark = |name: &str, object: &str, fingerprint: &str| {
        // So long ago that the distance does not change with the time of the test.
        format!(
            r#"{{"job":"{name}","org":"default"{object},"content":{{"mark":"2026-01-01T00:00:00Z",
                "deletes_mark":"2026-01-01T00:00:00Z","field":"SystemModstamp","org_id":"00D000000000001EAA",
                "fingerprint":"{fingerprint}","columns":["Id"],"full_started":"2026-01-01T00:00:00Z","deletes_complete":false}}}}"#
        )
    };
    let mut text = String::new();
    let mut show = |arguments: &[&str], status: i32| {
        let outcome = at.run(arguments.iter().copied()).ended(status);
        let (said, failed) = (outcome.stdout(), &outcome.stderr);
        text += &format!("\n===== {} ({status})\n{said}{failed}", arguments.join(" "));
    };
    show(&["watermark", "plain"], 78);
    show(&["watermark", "accounts"], 0);
    show(&["watermark", "backup"], 0);
    show(&["watermark", "accounts", "--set", "2026-01-01T00:00:00Z"], 78);
    // The marks of the set belong to another job than this one.
    at.run(["run", "accounts"]).ended(0);
    let left: serde_json::Value =
        serde_json::from_slice(&at.read("state/watermarks/accounts@default.json")).unwrap();
    let fingerprint = left["content"]["fingerprint"].as_str().unwrap();
    at.write("state/watermarks/accounts@default.json", mark("accounts", "", fingerprint));
    for object in ["Account", "Contact"] {
        let path = format!("state/watermarks/backup@default@{object}.json");
        at.write(&path, mark("backup", &format!(",\"object\":\"{object}\""), "1"));
    }
    show(&["watermark", "accounts"], 0);
    show(&["watermark", "backup"], 0);
    show(&["watermark", "accounts", "--set", "2999-01-01T00:00:00Z"], 78);
    show(&["watermark", "accounts", "--set", "yesterday"], 2);
    show(&["watermark", "accounts", "--set", "2026-01-01T00:00:00Z", "--reset"], 2);
    show(&["watermark", "accounts", "--object", "Account"], 2);
    show(&["watermark", "backup", "--object", "Vote"], 2);
    show(&["watermark", "accounts", "--org", "emea"], 78);
    at.write("state/watermarks/accounts@default.json", "{");
    show(&["watermark", "accounts"], 73);
    show(&["watermark", "accounts", "--reset"], 0);
    let text: Vec<_> = text.lines().map(without_distance).collect();
    insta::assert_snapshot!("marks", steady(&at, &text.join("\n")));
}

/// A line without how far a mark is behind.
fn without_distance(line: &str) -> String {
    match line.split_once(" d  ") {
        Some((before, after)) => {
            format!("{}N d  {after}", before.trim_end_matches(|c: char| c.is_ascii_digit()))
        }
        None => line.to_owned(),
    }
}

/// A page's text, a line for each line on it, the cells of a table divided by bars.
fn text_of(page: &str) -> String {
    let body = page.split_once("<body>").unwrap().1;
    let mut text = String::new();
    for piece in body.split('<') {
        let (tag, rest) = piece.split_once('>').unwrap_or(("", piece));
        match tag.split(' ').next().unwrap() {
            "h1" | "h2" | "p" | "tr" | "dt" | "div" | "pre" | "section" => text.push('\n'),
            "td" => text.push_str(" | "),
            "th" if tag.contains("col") => text.push_str(" | "),
            "small" | "dd" | "progress" => text.push_str(" / "),
            _ => {}
        }
        text.push_str(rest);
    }
    for (entity, character) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")] {
        text = text.replace(entity, character);
    }
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| format!("{}\n", steady_distances(line)))
        .collect()
}

/// A line without how far off its times are, and how long runs took.
fn steady_distances(line: &str) -> String {
    let steady = |part: &str| match part {
        "now" => "DISTANCE".to_owned(),
        _ if part.starts_with("in ") || part.ends_with(" ago") => "DISTANCE".to_owned(),
        _ if part.strip_suffix(" s").is_some_and(|seconds| seconds.parse::<f64>().is_ok()) => {
            "N s".to_owned()
        }
        _ => part.to_owned(),
    };
    let cell = |cell: &str| cell.split(" / ").map(steady).collect::<Vec<_>>().join(" / ");
    line.split(" | ").map(cell).collect::<Vec<_>>().join(" | ")
}

#[test]
fn the_status_pages_read_well() {
    let at = Deployment::new(40);
    at.configure("[daemon]\nmax_concurrent_runs = 1\n[status]\nlisten = \"127.0.0.1:0\"");
    due(&at, "accounts", "");
    due(&at, "contacts", "retries = 0");
    at.job(
        "contacts",
        "SELECT Id, Nme FROM Contact WHERE Email = 'a@example.com'",
        "contacts/{date}.csv",
        "schedule = \"@hourly\"\nretries = 0\noverlap = \"queue\"",
    );
    at.job("leads", "SELECT Id FROM Lead", "leads.jsonl", "schedule = \"@yearly\"\nenabled = false");
    at.job("tasks", "SELECT Id FROM Task", "tasks.csv", "");
    let daemon = Process::start(&at);
    let port = daemon.status_port();
    let ran = wait_for(|| {
        let metrics = get(port, "/metrics").1;
        let is_over = |job| {
            sample(&metrics, &format!("sfexport_last_run_timestamp_seconds{{job=\"{job}\",org=\"default\"}}"))
                > 0.0
        };
        (is_over("accounts") && is_over("contacts")).then_some(())
    });
    ran.unwrap();
    let mut text = String::new();
    for path in ["/", "/jobs/accounts", "/jobs/contacts", "/jobs/leads", "/jobs/nobody"] {
        text += &format!("\n===== {path}\n{}", text_of(&get(port, path).1));
    }
    insta::assert_snapshot!("status_pages", steady(&at, &text));
}
