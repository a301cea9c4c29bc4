//! What a user, a configuration or an org can get wrong before a record travels: each ends with the status that
//! stands for it and says where the mistake is and what to do; nothing is written, and what was there stays.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use jiff::Timestamp;
use sfexport::demo_org::{At, Fault, Rule};
use support::{CLIENT_ID, Deployment, Outcome, USERNAME, inode};

const FORMER: &str = "Id\nthe former export\n";

/// A deployment with one job that would run, and an export of last night.
fn deployment() -> Deployment {
    let at = Deployment::new(20);
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    at.write("exports/accounts.csv", FORMER);
    at
}

/// Runs what must be refused: with this status, saying each of these parts, and leaving everything as it was.
#[track_caller]
fn refused<A: AsRef<OsStr>>(
    at: &Deployment,
    arguments: impl IntoIterator<Item = A>,
    status: i32,
    parts: &[&str],
) -> Outcome {
    refused_by(at, &mut at.command(arguments), status, parts)
}

#[track_caller]
fn refused_by(at: &Deployment, command: &mut Command, status: i32, parts: &[&str]) -> Outcome {
    let standing = inode(&at.path("exports/accounts.csv"));
    let outcome = at.outcome(command.output().unwrap()).ended(status).says(parts);
    assert_eq!(outcome.stdout(), "");
    assert!(outcome.stderr.contains("error: "), "{}", outcome.stderr);
    assert_eq!(at.names_below("exports"), ["accounts.csv"]);
    assert_eq!(at.text("exports/accounts.csv"), FORMER);
    assert_eq!(inode(&at.path("exports/accounts.csv")), standing);
    outcome
}

/// The same where the mistake is on this side: nobody is asked.
#[track_caller]
fn refused_unasked(at: &Deployment, arguments: &[&str], status: i32, parts: &[&str]) {
    let before = at.org().requests().len();
    refused(at, arguments, status, parts);
    assert_eq!(at.org().requests().len(), before, "the org was asked");
}

#[test]
fn no_configuration_says_what_to_write() {
    let at = deployment();
    fs::remove_file(at.path("sfexport.toml")).unwrap();
    fs::remove_dir_all(at.path("jobs")).unwrap();
    let told = ["sfexport.toml", "--config", "SFEXPORT_CONFIG", "SFEXPORT_ORG__CLIENT_ID"];
    refused_unasked(&at, &["run", "--all"], 78, &told);
    refused_unasked(&at, &["run", "accounts"], 78, &told);
    refused_unasked(&at, &["query", "SELECT Id FROM Account", "-o", "x.csv"], 78, &told);
    refused_unasked(&at, &["run", "--all", "--config", "gone.toml"], 78, &["--config", "gone.toml"]);
    assert!(!at.path("x.csv").exists());
}

#[test]
fn an_unknown_key_is_reported_with_its_place_and_a_hint() {
    let at = deployment();
    at.write("sfexport.toml", format!("outputroot = \"x\"\n{}", at.org_table("org")));
    refused_unasked(&at, &["run", "--all"], 78, &["sfexport.toml:1: outputroot", "`output_root`"]);
    at.configure("");
    at.job("typo", "SELECT Id FROM Contact", "typo.csv", "shedule = \"@daily\"");
    refused_unasked(&at, &["run", "--all"], 78, &["jobs/typo.toml:3: shedule", "`schedule`"]);
    let strange = at.command(["run", "accounts"]).env("SFEXPORT_ORG__USER_NAME", "x").output().unwrap();
    at.outcome(strange).ended(78).says(&["SFEXPORT_ORG__USER_NAME", "SFEXPORT_ORG__USERNAME"]);
}

#[test]
fn every_mistake_in_every_file_is_told_at_once() {
    let at = deployment();
    at.write("sfexport.toml", format!("{}api_version = \"62\"\nkee_file = 1\n", at.org_table("org")));
    at.job("b", "", "b.csv", "timezone = \"Europe/Berln\"");
    at.job("c", "SELECT Id FROM Account", "../c.csv", "");
    refused_unasked(
        &at,
        &["run", "--all"],
        78,
        &[
            "5 mistakes",
            "sfexport.toml:6: org.api_version",
            "62.0",
            "sfexport.toml:7: org.kee_file",
            "jobs/b.toml:1: soql",
            "jobs/b.toml:3: timezone",
            "Europe/Berlin",
            "jobs/c.toml:2: output",
        ],
    );
}

#[test]
fn a_mistake_in_another_job_is_a_warning() {
    let at = deployment();
    at.job("b", "SELECT Id FROM Contact", "b.csv", "timezone = \"Europe/Berln\"");
    at.run(["run", "accounts"]).ended(0).says(&["jobs/b.toml:3: timezone"]);
    assert_ne!(at.text("exports/accounts.csv"), FORMER);
}

#[test]
fn an_org_that_is_not_there_is_told_by_the_job_that_names_it() {
    let at = deployment();
    at.write("sfexport.toml", at.org_table("orgs.emea"));
    refused_unasked(&at, &["run", "accounts"], 78, &["jobs/accounts.toml", "org", "emea"]);
    refused_unasked(&at, &["query", "SELECT Id FROM Account", "-o", "x.csv"], 78, &["`[org]`", "emea"]);
    at.configure("");
    at.job("other", "SELECT Id FROM Contact", "b.csv", "org = \"emea\"");
    refused_unasked(&at, &["run", "other"], 78, &["jobs/other.toml:3: org: ", "emea"]);
    let told = ["there is no org \"emea\"", "default"];
    refused_unasked(&at, &["query", "SELECT Id FROM Account", "-o", "x.csv", "--org", "emea"], 78, &told);
}

#[test]
fn an_unusable_key_is_reported_with_a_hint() {
    let at = deployment();
    let key = at.path("server.key");
    let openssl = |arguments: &[&str]| {
        let run = Command::new("openssl").args(arguments).current_dir(at.path("")).output().unwrap();
        assert!(run.status.success(), "openssl: {}", String::from_utf8_lossy(&run.stderr));
    };
    let refused_key = |parts: &[&str]| {
        let path = key.display().to_string();
        let told: Vec<&str> = [&[path.as_str(), "hint: "], parts].concat();
        refused_unasked(&at, &["run", "accounts"], 78, &told);
    };

    fs::rename(&key, at.path("hidden.key")).unwrap();
    refused_key(&["does not exist", "sfexport keygen"]);

    fs::copy(at.path("hidden.key"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused_key(&[
        "every user of this machine can read",
        "mode 0644",
        &format!("chmod o-r {}", key.display()),
    ]);
    // A group may read it, as secret mounts make it.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o440)).unwrap();
    at.run(["run", "accounts"]).ended(0);
    at.write("exports/accounts.csv", FORMER);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    openssl(&["req", "-x509", "-key", "hidden.key", "-days", "2", "-subj", "/CN=x", "-out", "server.key"]);
    refused_key(&["is a certificate, not a private key", "openssl x509"]);

    openssl(&["pkey", "-in", "hidden.key", "-pubout", "-out", "server.key"]);
    refused_key(&["is a public key"]);

    openssl(&["pkey", "-in", "hidden.key", "-aes256", "-passout", "pass:open sesame", "-out", "server.key"]);
    refused_key(&["encrypted private key", "no password", "SFEXPORT_ORG__KEY_PASSWORD", "key_password_file"]);
    let mut wrong = at.command(["run", "accounts"]);
    wrong.env("SFEXPORT_ORG__KEY_PASSWORD", "open barley");
    let outcome = refused_by(&at, &mut wrong, 78, &["the password does not open", "hint: "]);
    assert!(!outcome.stderr.contains("barley"));
    let right = at.command(["run", "accounts"]).env("SFEXPORT_ORG__KEY_PASSWORD", "open sesame").output();
    at.outcome(right.unwrap()).ended(0);
    at.write("exports/accounts.csv", FORMER);

    at.write("server.key", "");
    refused_key(&["is empty"]);
    at.write("server.key", &support::key_pair().key[..400]);
    refused_key(&["is a damaged PEM block"]);
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "server.key"]);
    refused_key(&["RSA"]);
}

#[test]
fn an_unreadable_key_is_reported_with_the_command_to_fix_it() {
    let at = deployment();
    let mut command = not_as_root(&at);
    if !is_root(&at) {
        fs::set_permissions(at.path("server.key"), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let told = ["server.key cannot be read by this user", "hint: ", "chown USER", "chmod 600"];
    refused_by(&at, &mut command, 78, &told);
    assert_eq!(at.logins().len(), 0);
}

/// Root may read everything, so that its word is worth little here.
#[test]
fn a_key_that_everybody_can_read_is_refused() {
    let at = deployment();
    let mode = |mode| {
        fs::set_permissions(at.path("server.key"), fs::Permissions::from_mode(mode)).unwrap();
        not_as_root(&at)
    };
    if is_root(&at) {
        // As secret mounts make it: root's file, and the group's whose member runs.
        chown(at.path("server.key"), Some(0), Some(NOBODY)).unwrap();
    }
    for open in [0o644, 0o444] {
        refused_by(
            &at,
            &mut mode(open),
            78,
            &["every user of this machine can read", "hint: ", "chmod o-r "],
        );
    }
    assert_eq!(at.logins().len(), 0);
    for closed in [0o640, 0o440] {
        at.outcome(mode(closed).output().unwrap()).ended(0);
    }
}

const NOBODY: u32 = 65_534;

/// Who made the directory is who runs the tests.
fn is_root(at: &Deployment) -> bool {
    fs::metadata(at.path("")).unwrap().uid() == 0
}

/// `run accounts` as a user who is not root, whoever runs the tests.
fn not_as_root(at: &Deployment) -> Command {
    if !is_root(at) {
        return at.command(["run", "accounts"]);
    }
    fs::set_permissions(at.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    for path in ["exports", "exports/accounts.csv"] {
        chown(at.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    // The build's directory may be closed to others: a copy is not. Another process makes it, because a child that
    // another test starts meanwhile would inherit the open copy, and what is open for writing cannot be run.
    if !at.path("sfexport").exists() {
        let binary = env!("CARGO_BIN_EXE_sfexport");
        assert!(Command::new("cp").arg(binary).arg(at.path("sfexport")).status().unwrap().success());
    }
    let mut copy = Command::new(at.path("sfexport"));
    copy.env_clear().current_dir(at.path("")).args(["run", "accounts"]).uid(NOBODY).gid(NOBODY);
    copy
}

#[test]
fn malformed_toml_is_told_with_line_and_column() {
    let at = deployment();
    at.write("jobs/broken.toml", "soql = \"SELECT Id FROM Account\"\noutput = \"x.csv\n");
    refused_unasked(&at, &["run", "--all"], 78, &["jobs/broken.toml:2:"]);
    refused_unasked(&at, &["run", "broken"], 78, &["jobs/broken.toml:2:"]);
    at.write("sfexport.toml", "[org\nclient_id = \"x\"\n");
    refused_unasked(&at, &["run", "accounts"], 78, &["sfexport.toml:1:"]);
}

#[test]
fn no_output_leaves_its_root() {
    let at = deployment();
    for output in ["../stolen.csv", "/tmp/stolen.csv", "a/../../stolen.csv", "{date:../../%Y}/x.csv"] {
        at.job("thief", "SELECT Id FROM Account", output, "");
        let outcome = at.run(["run", "thief"]).ended(78).says(&["jobs/thief.toml:2: output", "output_root"]);
        assert_eq!(outcome.stdout(), "");
    }
    assert_eq!(at.names_below("exports"), ["accounts.csv"]);
    assert_eq!(at.logins().len(), 0);
}

#[test]
fn two_jobs_with_one_output_are_both_named() {
    let at = deployment();
    for output in ["accounts.csv", "./accounts.csv", "{job:}accounts.csv", "x/../accounts.csv"] {
        at.job("twin", "SELECT Id FROM Contact", output, "");
        let before = at.org().requests().len();
        let outcome = at.run(["run", "--all"]).ended(78).says(&["jobs/twin.toml"]);
        assert_eq!(outcome.stdout(), "");
        assert_eq!(at.org().requests().len(), before);
    }
    at.job("twin", "SELECT Id FROM Contact", "accounts.csv", "");
    refused_unasked(&at, &["run", "--all"], 78, &["accounts", "twin", "output"]);
    refused_unasked(&at, &["run", "twin"], 78, &["accounts", "twin", "output"]);
}

/// What else does not fit is in `agree.rs`.
#[test]
fn a_query_whose_changes_cannot_be_asked_for_asks_for_nothing() {
    let at = deployment();
    for (soql, parts) in [
        ("SELECT Name, MAX(SystemModstamp) FROM Account GROUP BY Name", "the query groups records"),
        ("SELECT Id, IsDeleted, (SELECT Id FROM Contacts) FROM Account", "the query has a child query"),
        ("SELECT Id, IsDeleted FROM Account OFFSET 5", "the query has OFFSET"),
        ("SELECT Id, Name FROM Account", "the query does not select IsDeleted"),
    ] {
        at.job("changes", soql, "{kind}-{mark}.csv", "[incremental]");
        refused_unasked(&at, &["run", "changes"], 78, &["jobs/changes.toml", ": incremental: ", parts]);
    }
    assert!(!at.path("state/watermarks").exists());
}

#[test]
fn a_lag_that_may_miss_changes_is_a_warning() {
    let at = Deployment::new(5);
    at.job(
        "changes",
        "SELECT Id, IsDeleted FROM Account",
        "{kind}-{mark}.csv",
        "[incremental]\nlag = \"59s\"",
    );
    at.run(["run", "changes"]).ended(0).says(&["jobs/changes.toml:4: incremental.lag: a lag below a minute"]);
    at.job(
        "changes",
        "SELECT Id, IsDeleted FROM Account",
        "{kind}-{mark}.csv",
        "[incremental]\nlag = \"60s\"",
    );
    assert!(!at.run(["run", "changes"]).ended(0).stderr.contains("incremental.lag"));
}

#[test]
fn a_query_needs_somewhere_to_write_to() {
    let at = deployment();
    // The shell closes standard output.
    let query = "exec \"$0\" query 'SELECT Id FROM Account LIMIT 3' -o - >&-";
    let mut shell = Command::new("sh");
    shell.args(["-c", query, env!("CARGO_BIN_EXE_sfexport")]).current_dir(at.path("."));
    let outcome = at.outcome(shell.output().unwrap()).ended(73);
    outcome.says(&["standard output is closed", "hint: "]);
    // Somebody may want to throw the records away.
    let null = fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
    let mut query = at.command(["query", "SELECT Id FROM Account LIMIT 3", "-o", "-"]);
    at.outcome(query.stdout(null).output().unwrap()).ended(0);
}

#[test]
fn outputs_that_are_one_file_today_are_found_by_check() {
    let at = deployment();
    let year = Timestamp::now().strftime("%Y").to_string();
    at.job("by_date", "SELECT Id FROM Account", "{date:%Y}.csv", "");
    at.job("by_name", "SELECT Id FROM Contact", &format!("{year}.csv"), "");
    fs::create_dir_all(at.path("exports/real")).unwrap();
    symlink("real", at.path("exports/link")).unwrap();
    at.job("real", "SELECT Id FROM Account", "real/x.csv", "");
    at.job("linked", "SELECT Id FROM Account", "link/x.csv", "");
    let checked = at.run(["check"]).ended(78);
    for part in [
        format!("{year}.csv is also the output of by_date"),
        "real/x.csv is also the output of linked".to_owned(),
    ] {
        assert!(checked.stdout().contains(&part), "{part} is not in\n{}", checked.stdout());
    }
    at.run(["check", "by_date", "real"]).ended(0);
}

#[test]
fn metrics_do_not_replace_an_export() {
    let at = deployment();
    let outcome = at.run(["run", "accounts", "--metrics-file", "exports/accounts.csv"]).ended(0);
    outcome.says(&["the metrics have not been written", "accounts.csv is an output of this run"]);
    assert!(at.text("exports/accounts.csv").starts_with("Id\n001"));
    at.write("jobs/users.toml", "objects = [\"User\"]\noutput = \"{object}.csv\"\n");
    at.run(["run", "users", "--metrics-file", "exports/User.csv"])
        .ended(0)
        .says(&["is an output of this run"]);
    assert!(at.text("exports/User.csv").starts_with("Id,"));
}

#[test]
fn nothing_in_the_state_directory_can_be_an_output() {
    let at = deployment();
    at.write("sfexport.toml", format!("output_root = \".\"\n{}{}", at.org_table("org"), support::NO_WAITS));
    at.write(
        "jobs/set.toml",
        "objects = [\"User\", \"Profile\"]\noutput = \"set/{object}-{kind}-{mark}.csv\"\n[incremental]\n",
    );
    at.job("bulk", "SELECT Id FROM Account", "bulk.csv", "api = \"bulk\"\nschedule = \"@yearly\"");
    at.run(["run", "--all"]).ended(0);
    let names = at.names_below("state");
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let (name, _) = name.split_once('/').unwrap_or((&name, ""));
        at.job("accounts", "SELECT Id FROM Account", &format!("state/{name}/x.csv"), "");
        refused_unasked(&at, &["run", "accounts"], 78, &["would overwrite what sfexport keeps in state_dir"]);
    }
}

#[test]
fn an_unknown_job_is_told_with_the_nearest_one() {
    let at = deployment();
    refused_unasked(&at, &["run", "acounts"], 78, &["\"acounts\"", "accounts"]);
    refused_unasked(&at, &["run", "accounts", "nothing_like_it"], 78, &["\"nothing_like_it\"", "accounts"]);
    fs::remove_file(at.path("jobs/accounts.toml")).unwrap();
    refused_unasked(&at, &["run", "--all"], 78, &["there is no enabled job in", "/jobs"]);
    refused_unasked(&at, &["run"], 2, &["--all"]);
}

#[test]
fn an_empty_query_is_refused_with_its_place() {
    let at = deployment();
    at.job("empty", "  \n ", "empty.csv", "");
    refused_unasked(&at, &["run", "empty"], 78, &["jobs/empty.toml:1: soql: the value is empty"]);
    at.job("broken", "SELECT Id,\nFROM Account", "broken.csv", "");
    refused_unasked(&at, &["run", "broken"], 78, &["jobs/broken.toml:2", "soql", "FROM Account"]);
    refused_unasked(&at, &["query", "", "-o", "x.csv"], 65, &["query"]);
    refused_unasked(&at, &["query", "SELECT Id,  FROM Account", "-o", "x.csv"], 65, &["query"]);
    assert!(!at.path("x.csv").exists());
}

#[test]
fn a_query_too_long_for_the_org_is_refused_before_it_is_sent() {
    let at = deployment();
    let soql = format!("SELECT Id FROM Account WHERE Name = '{}'", "é".repeat(100_000));
    at.job("long", &soql, "long.csv", "");
    refused_unasked(&at, &["run", "long"], 65, &["100000", "split"]);
}

#[test]
fn the_orgs_refusal_of_a_query_is_shown_as_it_was_sent() {
    let at = deployment();
    at.job("nope", "SELECT Id, Nope FROM Account", "nope.csv", "");
    let outcome = refused(&at, ["run", "nope"], 65, &["error: nope: ", "INVALID_FIELD"]);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    let window = lines.iter().position(|line| *line == "    SELECT Id, Nope FROM Account").unwrap();
    assert_eq!(lines[window + 1], "               ^");
    assert_eq!(lines[window + 2], "    ERROR at Row:1:Column:12");
    assert!(lines[window + 3].starts_with("    No such column 'Nope' on entity 'Account'"));

    // A window that was recorded, with the code beside it.
    let message = "\nName,BillingCity,IsDeleted FROM Accout\n                                ^\n\
                   ERROR at Row:1:Column:43\nsObject type 'Accout' is not supported.";
    at.script(Rule::once(At::Page(1), Fault::error(400, "INVALID_TYPE", message)));
    let outcome = refused(&at, ["run", "accounts"], 65, &["INVALID_TYPE"]);
    // Indented, so that no line of the org's can pass for one of ours.
    assert!(outcome.stderr.contains(&message.replace('\n', "\n    ")), "{}", outcome.stderr);
    let streamed =
        at.run(["query", "SELECT Id FROM Accout", "-o", "-"]).ended(65).says(&["ERROR at Row:1:Column:16"]);
    assert_eq!(streamed.stdout(), "");
}

#[test]
fn a_habit_of_sql_in_a_condition_is_explained() {
    let at = deployment();
    for (condition, hint) in [
        ("WHERE Name IS NOT NULL", "hint: write != null instead of IS NOT NULL"),
        ("WHERE Name == 'x'", "hint: write = instead of =="),
        ("WHERE Name != null AND", "hint: complete the last condition"),
        ("LIMIT ten", "hint: write a whole number after LIMIT"),
    ] {
        at.job("accounts", &format!("SELECT Id FROM Account {condition}"), "accounts.csv", "");
        refused(&at, ["run", "accounts"], 65, &["the org refused the query: MALFORMED_QUERY", hint]);
    }
}

#[test]
fn a_second_object_after_from_is_explained() {
    let at = deployment();
    let query = ["query", "SELECT Id FROM Account, Contact", "-o", "x.csv"];
    let hint = "hint: \"Contact\" after FROM is not a path from Account, and SOQL has no joins: name a parent's field by its path";
    refused(&at, query, 65, &["unexpected token: 'Contact'", hint]);
    at.job("accounts", "SELECT Id FROM Account a, Contact c", "accounts.csv", "");
    refused(&at, ["run", "accounts"], 65, &[hint]);
    let checked = at.run(["check", "accounts"]).ended(65);
    assert!(
        checked.stdout().contains("\"Contact\" after FROM is not a path from Account"),
        "{}",
        checked.stdout()
    );
    // What is wrong here is the field.
    at.job("contacts", "SELECT Id, Nmae FROM Contact c, c.Account a, a.Owner u", "contacts.csv", "");
    refused(&at, ["run", "contacts"], 65, &["\"Nmae\""]);
}

#[test]
fn a_clause_in_the_wrong_place_is_refused_where_it_is() {
    let at = deployment();
    for (soql, keyword, column) in [
        ("SELECT Id FROM Account LIMIT 10 WHERE Name != null", "WHERE", Some(33)),
        ("SELECT Id FROM Account LIMIT 10 ORDER BY Name", "ORDER", Some(33)),
        ("SELECT Id FROM Account ORDER BY Name WHERE Name != null", "WHERE", Some(38)),
        ("SELECT Id FROM Account LIMIT 10 LIMIT 5", "LIMIT", Some(33)),
        ("SELECT Id FROM Account FOR VIEW LIMIT 10", "LIMIT", Some(33)),
        ("SELECT Id, (SELECT Id FROM Contacts LIMIT 1 WHERE Name != null) FROM Account", "WHERE", Some(45)),
        // A place in a semi-join is counted from its own SELECT.
        (
            "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact LIMIT 1 WHERE Name != null)",
            "WHERE",
            None,
        ),
    ] {
        at.job("accounts", soql, "accounts.csv", "");
        let token = format!("unexpected token: '{keyword}'");
        let place = column.map_or_else(String::new, |column| format!("ERROR at Row:1:Column:{column}\n"));
        refused(&at, ["run", "accounts"], 65, &["MALFORMED_QUERY", &token, &place]);
        let checked = at.run(["check", "accounts"]).ended(65);
        assert!(checked.stdout().contains(&token), "{soql}: {}", checked.stdout());
    }
    let every = "SELECT Id FROM Account USING SCOPE everything WHERE Name != null ORDER BY Name LIMIT 5 OFFSET 1 \
                 FOR VIEW FOR REFERENCE UPDATE TRACKING";
    at.job("accounts", every, "accounts.csv", "");
    at.run(["check", "accounts"]).ended(0);
}

#[test]
fn a_number_or_a_level_that_is_wrong_is_explained() {
    let at = deployment();
    for (arguments, told) in [
        (
            &["jobs", "--log-level", "loud"][..],
            "'loud' for '--log-level <LEVEL>': choose error, warn, info, debug or trace",
        ),
        (&["keygen", "--days", "0"], "'0' for '--days <N>': write a whole number from 1 to 7300"),
        (&["keygen", "--days", "abc"], "'abc' for '--days <N>': write a whole number from 1 to 7300"),
        (&["jobs", "--shards", "0"], "'0' for '--shards <N>': write a whole number from 1 to "),
        (&["history", "--limit", "some"], "'some' for '--limit <N>': write a whole number\n"),
        (&["demo", "--records", "1.5"], "'1.5' for '--records <N>': write a whole number\n"),
        (
            &["demo", "--serve", "--port", "65536"],
            "'65536' for '--port <PORT>': write a whole number from 0 to 65535",
        ),
        (
            &["demo", "--serve", "--bulk-page", "0"],
            "'0' for '--bulk-page <N>': write a whole number, 1 or more\n",
        ),
    ] {
        refused_unasked(&at, arguments, 2, &[told]);
    }
    let mut command = at.command(["jobs"]);
    let outcome = at.outcome(command.env("SFEXPORT_LOG", "sfexport=loud").output().unwrap()).ended(2);
    assert_eq!(
        outcome.stderr,
        "error: SFEXPORT_LOG \"sfexport=loud\" is not a log level\n  hint: choose error, warn, info, debug or trace\n"
    );
}

#[test]
fn a_field_that_the_org_does_not_know_is_named_with_its_line() {
    let at = deployment();
    for (soql, hint) in [
        (
            "SELECT Id,\n  Nmae\nFROM Account",
            "write \"Name\" instead of \"Nmae\" in jobs/accounts.toml:2; if Account does have a field \"Nmae\", give \
             integration@example.com read access to it (field-level security)",
        ),
        (
            "SELECT Id, Salary__c FROM Account",
            "Account has no field \"Salary__c\" that integration@example.com may read: correct it in \
             jobs/accounts.toml:1, or give integration@example.com read access to it (field-level security)",
        ),
        (
            "\nSELECT Id\nFROM Contact\nWHERE Account.Ownr.Name = 'x'",
            "write \"Owner\" instead of \"Ownr\" in jobs/accounts.toml:4; if Account does have a relationship \"Ownr\", \
             give integration@example.com read access to it (field-level security of its lookup field)",
        ),
        (
            "SELECT Id, (SELECT LastNmae FROM Contacts) FROM Account",
            "write \"LastName\" instead of \"LastNmae\" in jobs/accounts.toml:1; if Contact does have a field \"LastNmae\", \
             give integration@example.com read access to it (field-level security)",
        ),
        (
            "SELECT Id FROM Acount",
            "write \"Account\" instead of \"Acount\" in jobs/accounts.toml:1; if the org does have an object \"Acount\", \
             give integration@example.com read access to it (object permissions)",
        ),
    ] {
        at.job("accounts", soql, "accounts.csv", "");
        let hint = format!("hint: {hint}");
        refused(&at, ["run", "accounts"], 65, &["the org refused the query: INVALID_", &hint]);
        let checked = at.run(["check", "accounts"]).ended(65);
        let (_, hint) = hint.split_once(": ").unwrap();
        assert!(checked.stdout().contains(&format!("→ {hint}")), "{}", checked.stdout());
    }
    at.write("jobs/accounts.soql", "\n\nSELECT Id,\n Nmae FROM Account");
    at.write("jobs/accounts.toml", "soql_file = \"accounts.soql\"\noutput = \"accounts.csv\"\n");
    refused(&at, ["run", "accounts"], 65, &["instead of \"Nmae\" in jobs/accounts.soql:4; "]);
    let query = ["query", "SELECT Nmae FROM Account", "-o", "x.csv"];
    refused(&at, query, 65, &["hint: write \"Name\" instead of \"Nmae\" in the query; "]);
    // What the descriptions do not explain keeps the place of the query.
    at.job(
        "accounts",
        "SELECT TYPEOF What WHEN Account THEN Phone ELSE Name END FROM Task",
        "accounts.csv",
        "",
    );
    let strange = Fault::error(400, "INVALID_FIELD", "Feld unbekannt");
    at.script(Rule::always(At::Soql("from task".to_owned()), strange));
    let general = "hint: check each field in jobs/accounts.toml:1, and that integration@example.com may read it \
                   (field-level security)";
    refused(&at, ["run", "accounts"], 65, &["INVALID_FIELD: Feld unbekannt", general]);
}

#[test]
fn a_name_within_typeof_or_a_semi_join_is_named() {
    let at = deployment();
    for (soql, hint) in [
        (
            "SELECT TYPEOF What WHEN Acount THEN Phone END FROM Task",
            "hint: write \"Account\" instead of \"Acount\" in jobs/accounts.toml:1; if the org does have an object \
             \"Acount\", give integration@example.com read access to it (object permissions)",
        ),
        (
            "SELECT TYPEOF What WHEN Account THEN Phnoe END FROM Task",
            "hint: write \"Phone\" instead of \"Phnoe\" in jobs/accounts.toml:1; if Account does have a field",
        ),
        (
            "SELECT Id FROM Account\nWHERE Id IN\n(SELECT AccountID2 FROM Contact)",
            "hint: write \"AccountId\" instead of \"AccountID2\" in jobs/accounts.toml:3; if Contact does have a field",
        ),
        (
            "SELECT Id FROM Account WHERE Id NOT IN (SELECT AccountId FROM Contcat)",
            "hint: write \"Contact\" instead of \"Contcat\" in jobs/accounts.toml:1; if the org does have an object",
        ),
    ] {
        at.job("accounts", soql, "accounts.csv", "");
        refused(&at, ["run", "accounts"], 65, &["the org refused the query: INVALID_", hint]);
    }
}

#[test]
fn a_condition_whose_names_are_right_is_not_blamed_on_them() {
    let at = deployment();
    let hint = "hint: the names in the query are right, so check the values and operators in jobs/accounts.toml:2: text \
                needs single quotes, numbers and dates have none, a datetime field needs a time (2020-01-01T00:00:00Z), \
                and long text cannot be filtered";
    for condition in ["Name = 5", "CreatedDate > 2020-01-01", "Description = null"] {
        at.job("accounts", &format!("SELECT Id FROM Account\nWHERE {condition}"), "accounts.csv", "");
        refused(&at, ["run", "accounts"], 65, &["INVALID_FIELD", hint]);
    }
    // The object's own condition is on another line.
    at.write(
        "jobs/accounts.toml",
        "object = \"Account\"\noutput = \"accounts.csv\"\nwhere = \"\"\"\nName = 5\"\"\"\n",
    );
    refused(
        &at,
        ["run", "accounts"],
        65,
        &["check the values and operators in jobs/accounts.toml:3: text needs"],
    );
}

#[test]
fn what_an_org_forbids_is_told_apart() {
    let at = deployment();
    let rest = "This session is not valid for use with the REST API";
    for (status, code, message, exit, parts) in [
        (
            403,
            "API_DISABLED_FOR_ORG",
            "The REST API is not enabled for this Organization.",
            77,
            "API Enabled",
        ),
        (403, "API_CURRENTLY_DISABLED", "API is disabled for this User", 77, "API Enabled"),
        (401, "INVALID_SESSION_ID", rest, 77, "scope"),
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 75, "24 hours"),
        (410, "GONE", "API version v62.0 is no longer available.", 78, "api_version"),
        (404, "NOT_FOUND", "The requested resource does not exist", 78, "api_version"),
        (400, "MALFORMED_QUERY", "unexpected token: 'x'", 65, "unexpected token"),
        (403, "INSUFFICIENT_ACCESS", "insufficient access rights", 65, "insufficient access"),
    ] {
        at.script(Rule::once(At::Page(1), Fault::error(status, code, message)));
        let before = at.queries().len();
        refused(&at, ["run", "accounts"], exit, &[message, parts]);
        assert_eq!(at.queries().len(), before + 1, "{code} was asked again");
    }
    at.write("sfexport.toml", format!("{}api_version = \"99.0\"\n", at.org_table("org")));
    refused(&at, ["run", "accounts"], 78, &["99.0", "api_version"]);
    at.write("sfexport.toml", format!("{}api_version = \"30.0\"\n", at.org_table("org")));
    refused_unasked(&at, &["run", "accounts"], 78, &["sfexport.toml:6: org.api_version", "31.0"]);
}

#[test]
fn an_unreachable_login_url_is_named_with_what_to_check() {
    let at = deployment();
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let table = at.org_table("org").replace(at.org().url(), &format!("http://127.0.0.1:{port}"));
    at.write("sfexport.toml", format!("{table}{}\nattempts = 2\n", support::NO_WAITS));
    let told =
        [&format!("127.0.0.1:{port}"), "cannot reach", "hint: ", "login_url", "that its server is running"];
    refused_unasked(&at, &["run", "accounts"], 69, &told);
}

/// Error, description, status, and what the hint must name; the pairs of SALESFORCE 1.4.
const REFUSALS: &[(&str, &str, i32, &[&str])] = &[
    ("invalid_grant", "user hasn't approved this consumer", 77, &["pre-authorized", USERNAME]),
    ("invalid_app_access", "user is not admin approved to access this app", 77, &["permission set"]),
    ("invalid_grant", "audience is invalid", 77, &["https://test.salesforce.com", "login_url"]),
    ("invalid_grant", "Audience validation failed", 77, &["https://test.salesforce.com", "login_url"]),
    ("invalid_grant", "invalid assertion", 77, &["upload", "certificate", CLIENT_ID]),
    ("invalid_grant", "expired authorization code", 77, &["clock"]),
    ("invalid_client_id", "client identifier invalid", 77, &["client_id", CLIENT_ID, "10 minutes"]),
    ("invalid_client", "invalid client credentials", 77, &["client_id"]),
    ("invalid_client", "certificate has expired", 77, &["certificate", "upload"]),
    ("invalid_client", "invalid certificate", 77, &["certificate", "upload"]),
    ("app_not_found", "External client app is not installed in this org", 77, &["install", "My Domain"]),
    ("invalid_grant", "login rate exceeded", 75, &["3,600"]),
    ("invalid_grant", "ip restricted", 77, &["IP"]),
    ("invalid_grant", "ip restricted or invalid login hours", 77, &["hours"]),
    ("inactive_user", "user is inactive", 77, &["Unfreeze", USERNAME]),
    ("invalid_grant", "inactive user", 77, &["Unfreeze", USERNAME]),
    ("inactive_org", "organization is locked, closed, or suspended", 77, &["administrator"]),
    ("invalid_grant", "inactive organization", 77, &["administrator"]),
    ("rate_limit_exceeded", "number of logins exceeded", 75, &["Wait"]),
    ("invalid_grant", "authentication failure", 77, &["username"]),
    ("invalid_grant", "authentication failure - user locked out", 77, &["locked"]),
    ("invalid_grant", "request not supported on this domain", 77, &["My Domain"]),
    ("invalid_grant", "expired access/refresh token", 77, &["expired access/refresh token"]),
    ("invalid_grant", "no client credentials user enabled", 77, &["client credentials"]),
    ("unsupported_grant_type", "grant type not supported", 77, &["login host"]),
    ("invalid_request", "must use HTTP POST", 77, &["login host"]),
    ("invalid_request", "HTTPS required", 77, &["login host"]),
    ("something_new", "nobody has met this one", 77, &["something_new"]),
];

#[test]
fn each_refusal_of_a_login_names_its_fix_and_is_not_tried_again() {
    let at = deployment();
    for (error, description, status, fix) in REFUSALS {
        at.script(Rule::once(At::Login(1), Fault::login_refused(error, description)));
        let before = at.logins().len();
        let told: Vec<&str> = [&[*error, *description], *fix].concat();
        refused(&at, ["run", "accounts"], *status, &told);
        assert_eq!(at.logins().len(), before + 1, "{error}, {description}: the login was tried again");
    }
    assert_eq!(at.queries().len(), 0);
}

#[test]
fn a_login_that_asks_to_be_tried_again_is() {
    let at = deployment();
    let again = Fault::login_refused("unknown_error", "retry your request");
    at.script(Rule::times(At::Login(1), 5, again.clone()));
    refused(&at, ["run", "accounts"], 69, &["unknown_error", "retry your request"]);
    assert_eq!(at.logins().len(), 5);
    at.script(Rule::times(At::Login(1), 2, again));
    at.run(["run", "accounts"]).ended(0);
    assert_eq!(at.logins().len(), 8);
}

#[test]
fn what_the_org_itself_refuses_is_told_with_what_to_change() {
    let at = deployment();
    let table = at.org_table("org");
    let with = |table: String| at.write("sfexport.toml", format!("{table}{}\n", support::NO_WAITS));
    with(table.replace(CLIENT_ID, "3MVG9other"));
    refused(&at, ["run", "accounts"], 77, &["client identifier invalid", "3MVG9other"]);
    with(table.replace(USERNAME, "nobody@example.com"));
    refused(&at, ["run", "accounts"], 77, &["nobody@example.com", "pre-authorized"]);
    with(format!("{table}audience = \"https://example.com\"\n"));
    refused(&at, ["run", "accounts"], 77, &["audience is invalid", "https://example.com"]);
    with(table);
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"])
        .arg(at.path("server.key"))
        .output()
        .unwrap();
    assert!(made.status.success());
    refused(&at, ["run", "accounts"], 77, &["invalid assertion", "certificate"]);
}

#[test]
fn a_token_goes_to_no_instance_but_salesforces_own() {
    let at = deployment();
    // What is sent to it is recorded: nothing.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let address = other.local_addr().unwrap();
    for instance in [
        "http://example.my.salesforce.com",
        "https://example.com",
        "https://salesforce.com.example.com",
        "https://user@example.my.salesforce.com",
        "https://evilsalesforce.com",
        &format!("http://user@{address}"),
        &format!("https://:password@{address}/"),
        &format!("ftp://{address}"),
    ] {
        let body = format!(
            "{{\"access_token\":\"00Dxx!secret.token.of.the.test\",\"instance_url\":\"{instance}\",\
             \"token_type\":\"Bearer\"}}"
        );
        at.script(Rule::once(At::Login(1), Fault::body(body)));
        let outcome = refused(&at, ["run", "accounts"], 77, &["instance", "hint: ", "instance_hosts"]);
        assert!(!outcome.stderr.contains("secret.token"), "{}", outcome.stderr);
    }
    assert_eq!(at.queries().len(), 0);
    assert_eq!(other.accept().expect_err("somebody connected").kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_the_login() {
    let at = deployment();
    at.write("exports/file", "x");
    for (output, parts) in
        [("file/x.csv", "exports/file"), (&*format!("{}.csv", "x".repeat(300)), "255 bytes")]
    {
        at.job("odd", "SELECT Id FROM Account", output, "");
        at.run(["run", "odd"]).ended(73).says(&[parts, "hint: "]);
    }
    fs::create_dir(at.path("exports/directory.csv")).unwrap();
    at.job("odd", "SELECT Id FROM Account", "directory.csv", "");
    at.run(["run", "odd"]).ended(73).says(&["exports/directory.csv", "directory", "hint: "]);
    assert_eq!(at.logins().len(), 0);
}

#[test]
fn a_linked_directory_leads_no_output_out_of_its_root() {
    let at = deployment();
    fs::create_dir_all(at.path("exports/inside")).unwrap();
    fs::create_dir_all(at.path("elsewhere")).unwrap();
    symlink(at.path("elsewhere"), at.path("exports/out")).unwrap();
    symlink("inside", at.path("exports/in")).unwrap();
    at.job("thief", "SELECT Id FROM Account", "out/deeper/x.csv", "");
    let told = ["is outside output_root", "elsewhere", "a link in its path", "hint: ", "mount"];
    at.run(["run", "thief"]).ended(73).says(&told);
    assert!(at.run(["check", "--offline", "thief"]).ended(73).stdout().contains("is outside output_root"));
    assert!(at.names_below("elsewhere").is_empty());
    assert_eq!(at.logins().len(), 0);
    // One that stays below it is a directory like any other, and so is a root that is a link itself.
    at.job("thief", "SELECT Id FROM Account", "in/deeper/x.csv", "");
    at.run(["run", "thief"]).ended(0);
    assert!(at.path("exports/inside/deeper/x.csv").exists());
    symlink("elsewhere", at.path("linked")).unwrap();
    at.run(["run", "thief", "--output-root", "linked"]).ended(0);
    assert!(at.path("elsewhere/in/deeper/x.csv").exists());
}

#[test]
fn a_misused_command_line_is_an_event_where_the_log_is_json() {
    let at = deployment();
    for (arguments, what, hint) in [
        (&["--log-format", "json", "runn"][..], "unrecognized subcommand 'runn'", "'run'"),
        (&["run", "--log-format=json"], "required arguments were not provided", "--all"),
        (&["run", "--al", "--log-format", "json"], "unexpected argument '--al'", "--all"),
        (&["run", "--all", "--at", "noon", "--log-format", "json"], "'noon'", "--help"),
    ] {
        let outcome = at.run(arguments).ended(2);
        assert_eq!(outcome.stdout(), "");
        let events: Vec<serde_json::Value> =
            outcome.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), 1, "{}", outcome.stderr);
        let text = |key: &str| events[0][key].as_str().unwrap_or_default().to_owned();
        assert_eq!((text("level").as_str(), events[0]["exit_status"].as_u64()), ("ERROR", Some(2)));
        assert!(text("message").contains(what) && !text("message").starts_with("error"), "{events:?}");
        assert!(text("hint").contains(hint), "{events:?}");
    }
    // Help is an answer, whatever form the log has.
    assert!(at.run(["run", "--help", "--log-format", "json"]).ended(0).stdout().contains("--dry-run"));
    at.run(["runn"]).ended(2).says(&["error: unrecognized subcommand"]);
}

#[test]
fn an_invalid_timestamp_is_explained() {
    let at = deployment();
    let form = "write it as in 2026-11-22T02:00:00+01:00";
    let zone = "zone (Z, or an offset as in +01:00)";
    for (timestamp, told) in [
        ("rubbish", "it is not a timestamp; ".to_owned()),
        ("2026-11-22T02:00:00", format!("its {zone} is missing; ")),
        ("2026-11-22 02:00", format!("its {zone} is missing; ")),
        ("2026-11-22T02:00:00[Europe/Berlin]", format!("its {zone} is missing; ")),
        ("2026-11-22", format!("its time and its {zone} are missing; ")),
        ("02:00", format!("its date and its {zone} are missing; ")),
        ("02:00Z", "its date is missing; ".to_owned()),
        ("2026-02-30T02:00:00Z", "out of range".to_owned()),
        ("2026-11-22T25:00:00Z", "out of range".to_owned()),
        ("2026-11-22T02:00:00+1", format!("its {zone} is missing; ")),
    ] {
        let told = format!("'{timestamp}' for '--at <TIMESTAMP>': {told}");
        let told = if told.contains("range") {
            "a number in it is out of range: months go from 01 to 12, "
        } else {
            told.as_str()
        };
        refused_unasked(&at, &["run", "accounts", "--at", timestamp], 2, &[told, form]);
    }
}

#[test]
fn each_mistake_is_shown_once_with_its_hint() {
    let at = deployment();
    at.write("jobs/bad.toml", "soql = \"SELECT Id FROM Account\"\noutput = \"b.csv\"\nretires = 1\n");
    let outcome = at.run(["run", "nosuch", "bad"]).ended(78).says(&["2 mistakes", "retires"]);
    assert_eq!(outcome.stderr.lines().count(), 5, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("there is no job \"nosuch\" in jobs\n    hint: choose one of accounts, bad")
    );
    // The missing file could have set another jobs directory.
    let outcome =
        at.run(["run", "nosuch", "--config", "nope.toml"]).ended(78).says(&["--config: \"nope.toml\""]);
    assert!(!outcome.stderr.contains("no job"), "{}", outcome.stderr);
}

#[test]
fn a_querys_file_is_not_put_below_a_root_that_is_for_jobs() {
    let at = deployment();
    for arguments in [
        &["query", "SELECT Id FROM Account", "-o", "x.csv", "--output-root", "elsewhere"][..],
        &["--output-root", "elsewhere", "query", "SELECT Id FROM Account", "-o", "x.csv"],
    ] {
        refused_unasked(&at, arguments, 2, &["--output-root", "-o"]);
    }
    assert!(!at.run(["query", "--help"]).ended(0).stdout().contains("--output-root"));
    assert!(at.run(["run", "--help"]).ended(0).stdout().contains("--output-root"));
}

#[test]
fn the_path_of_a_query_is_checked() {
    let at = deployment();
    for (output, parts) in [
        ("s3://b/x.csv", ["object stores are not supported yet", "copy the files in another step"]),
        ("sftp://h/x.csv", ["is the address of another host", "copy the files in another step"]),
        ("file:///x/a.csv", ["is a URL, not a path", "hint: write the path alone: /x/a.csv"]),
        (r"C:\x\a.csv", ["is a Windows path", "under WSL it is /mnt/c/x/a.csv"]),
        ("x.jsonl.xz", ["a compressed file other than .gz and .zst", "hint: end it in .csv.gz, .jsonl.gz"]),
        (
            "x.parquet.gz",
            ["is a Parquet file, and its pages are compressed", "hint: end it in .parquet alone"],
        ),
        ("x.pq", ["has an unusual extension of a Parquet file", "hint: end it in .parquet"]),
        ("x.xlsx", ["has the extension of a workbook", "hint: end it in .csv"]),
        ("x-{date}.csv", ["contains {date}, which is replaced only in a job's output", "$(date +%F)"]),
        ("x", ["does not end in .csv, .jsonl or .parquet", "hint: end it in .csv, .jsonl"]),
    ] {
        refused_unasked(&at, &["query", "SELECT Id FROM Account", "-o", output], 2, &parts);
    }
    for arguments in [
        &["keygen", "--out", "s3://b/keys"][..],
        &["keygen", "--key", r"C:\keys\server.key", "--cert", "server.crt"],
        &["init", "file:///etc/sfexport"],
        &["man", "--out", r"\\srv\man"],
        &["run", "accounts", "--metrics-file", "sftp://h/sfexport.prom"],
    ] {
        let said = at.run(arguments).ended(2).stderr;
        assert!(said.contains(": it is "), "{said}");
    }
    let config = ["run", "accounts", "--config", "s3://b/x.toml"];
    refused_unasked(&at, &config, 78, &["--config: \"s3://b/x.toml\" is the address of an object store"]);
    let wrong = ["query", "SELECT Id FROM Account", "-o", "x.csv", "--format", "jsonl"];
    refused_unasked(&at, &wrong, 2, &["ends in .csv, but the format is jsonl"]);
    assert!(!at.path("x.csv").exists() && !at.path("s3:").exists() && !at.path("file:").exists());
}

#[test]
fn an_extension_determines_the_format_in_any_case() {
    let at = deployment();
    at.run(["query", "SELECT Id FROM Account LIMIT 1", "-o", "A.CSV"]).ended(0);
    assert!(at.text("A.CSV").starts_with("Id\n"));
    at.run(["query", "SELECT Id FROM Account LIMIT 1", "-o", "A.JsonL"]).ended(0);
    assert!(at.text("A.JsonL").starts_with("{\"Id\":"));
    at.job("upper", "SELECT Id FROM Account LIMIT 1", "upper.JSONL", "");
    at.run(["run", "upper"]).ended(0);
    assert!(at.text("exports/upper.JSONL").starts_with("{\"Id\":"));
}

#[test]
fn a_path_in_the_variable_of_a_key_is_explained() {
    let at = deployment();
    let mut command = at.command(["run", "accounts"]);
    command.env("SFEXPORT_ORG__KEY", "/run/secrets/server.key");
    let told = ["set SFEXPORT_ORG__KEY to the key itself", "set SFEXPORT_ORG__KEY_FILE to its path"];
    let outcome = refused_by(&at, &mut command, 78, &told);
    assert!(!outcome.stderr.contains("/run/secrets"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains(" KEY_FILE"), "{}", outcome.stderr);
}

#[test]
fn a_file_mode_without_quotes_is_explained() {
    let at = deployment();
    at.job("odd", "SELECT Id FROM Account", "odd.csv", "file_mode = 0640");
    refused_unasked(
        &at,
        &["run", "odd"],
        78,
        &["jobs/odd.toml:3:", "file modes need quotes", "write file_mode = \"0640\""],
    );
    at.job("odd", "SELECT Id FROM Account", "odd.csv", "retries = 03");
    let outcome = at.run(["run", "odd"]).ended(78).says(&["jobs/odd.toml:3:"]);
    assert!(!outcome.stderr.contains("file_mode"), "{}", outcome.stderr);
}

#[test]
fn a_port_without_tls_is_not_a_closed_one() {
    let at = deployment();
    // It takes connections, by the kernel's hand, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let table = at.org_table("org").replace(at.org().url(), &url);
    at.write(
        "sfexport.toml",
        format!("{table}{}\nattempts = 1\nconnect_timeout = \"1s\"\n", support::NO_WAITS),
    );
    refused_unasked(
        &at,
        &["run", "accounts"],
        69,
        &["accepts the connection but does not speak TLS", "port", "443"],
    );
    let outcome = at.run(["check", "accounts", "--json"]).ended(69);
    let step = outcome.reports().into_iter().find(|step| step["step"] == "network").unwrap();
    assert!(step["what"].as_str().unwrap().contains("does not speak TLS"), "{step}");
    assert!(step["hint"].as_str().unwrap().contains("443"), "{step}");
}

#[test]
fn a_query_that_bulk_refuses_is_not_sent_to_it() {
    let at = Deployment::new(1);
    let soql = "SELECT Id, (SELECT Id FROM Contacts) FROM Account";
    let ended = at.run(["query", soql, "-o", "a.csv", "--api", "bulk"]).ended(65);
    ended.says(&[
        "Bulk API 2.0 cannot export this query, because the query has a child query",
        "use --api auto or --api rest",
    ]);
    assert_eq!((at.logins().len(), at.path("a.csv").exists()), (0, false));
    let old = at.org_table("org").replace("key_file", "api_version = \"46.0\"\nkey_file");
    at.write("sfexport.toml", old);
    let ended = at.run(["query", "SELECT Id FROM Account", "-o", "a.csv", "--api", "bulk"]).ended(78);
    ended.says(&["Bulk API 2.0 is not part of API version \"46.0\"", "use --api auto or --api rest"]);
    assert_eq!(at.logins().len(), 0);
}
