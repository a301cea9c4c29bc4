//! What a person reads when an org refuses, fails or sends something odd, and when a query, a schedule or an output is
//! not one: in a snapshot that is reviewed as prose. `INSTA_UPDATE=always cargo test --test messages_of_the_org` writes
//! it again.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::path::Path;

use jiff::tz::TimeZone;
use sfexport::demo_org::{At, Fault, Framing, Options, Rule};
use sfexport::job::OutputTemplate;
use sfexport::schedule::Schedule;
use sfexport::soql::{Columns, Query};
use support::Deployment;

/// What a run prints that meets this fault and gives up at once.
fn run_with(at: &Deployment, rule: Rule) -> String {
    at.org().clear_script();
    at.script(rule);
    let outcome = at.outcome(at.command(["run", "accounts", "--log-level", "error"]).output().unwrap());
    let directory = at.path(".").canonicalize().unwrap();
    let text =
        outcome.stderr.replace(directory.to_str().unwrap(), "DIR").replace(at.org().url(), "http://ORG");
    let port = at.org().url().rsplit_once(':').unwrap().1;
    let text = text.replace(&format!("localhost:{port}"), "ORG").replace(&format!("127.0.0.1:{port}"), "ORG");
    // A locator has the number of the query.
    let text = match text.split_once("/query/") {
        Some((before, after)) => {
            format!("{before}/query/LOCATOR{}", after.split_once('\n').map_or("", |(_, rest)| rest))
        }
        None => text,
    };
    text.lines().filter(|line| !line.contains(" ERROR ")).collect::<Vec<_>>().join("\n")
}

fn deployment() -> Deployment {
    let at = Deployment::with(Options { page_size: 100, ..support::options(300) });
    at.configure("attempts = 1\nidle_timeout = \"1s\"\nconnect_timeout = \"1s\"");
    at.job("accounts", "SELECT Id, Name FROM Account", "accounts.csv", "count_check = \"strict\"");
    at
}

fn html(status: u16) -> Fault {
    let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
    Fault::Answer { status, headers, body: b"<html>no</html>".to_vec() }
}

#[test]
fn refused_logins_read_well() {
    let at = deployment();
    let mut text = String::new();
    for (error, description) in [
        ("invalid_grant", "user hasn't approved this consumer"),
        ("invalid_grant", "user is not admin approved to access this app"),
        ("invalid_grant", "audience is invalid"),
        ("invalid_grant", "invalid assertion"),
        ("invalid_grant", "expired authorization code"),
        ("invalid_client_id", "client identifier invalid"),
        ("invalid_client", "certificate has expired"),
        ("invalid_grant", "login rate exceeded"),
        ("invalid_grant", "ip restricted"),
        ("invalid_grant", "inactive user"),
        ("invalid_grant", "inactive organization"),
        ("invalid_grant", "request not supported on this domain"),
        ("invalid_grant", "authentication failure"),
        ("invalid_grant", "expired access/refresh token"),
        ("unsupported_grant_type", "grant type not supported"),
        ("unknown_error", "retry your request"),
        ("invalid_app_access", "user is not admin approved to access this app"),
        ("something_new", "nobody has seen this yet"),
    ] {
        let said = run_with(&at, Rule::always(At::Login(1), Fault::login_refused(error, description)));
        text += &format!("\n===== {error}: {description}\n{said}\n");
    }
    for (name, fault) in [
        ("HTML", html(200)),
        ("nothing", Fault::body("")),
        ("cut", Fault::body("{\"access_token\":\"x")),
        ("no token", Fault::body("{\"instance_url\":\"http://localhost\"}")),
        (
            "another instance",
            Fault::body("{\"access_token\":\"x\",\"instance_url\":\"https://example.com\"}"),
        ),
        ("redirect", Fault::redirect(302, "https://example.com/")),
        ("404", html(404)),
        ("500", html(500)),
        ("407", html(407)),
        ("closed", Fault::Close),
        ("silent", Fault::HalfOpen { after: None }),
    ] {
        let said = run_with(&at, Rule::always(At::Login(1), fault));
        text += &format!("\n===== the login: {name}\n{said}\n");
    }
    insta::assert_snapshot!("refused_logins", text);
}

#[test]
fn failing_pages_read_well() {
    let at = deployment();
    let error = |status, code, message: &str| Fault::error(status, code, message);
    let page = |body: &str| Fault::body(body);
    let mut text = String::new();
    for (name, fault) in [
        ("expired session", error(401, "INVALID_SESSION_ID", "Session expired or invalid")),
        (
            "no REST API",
            error(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
        ),
        (
            "API disabled",
            error(403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner"),
        ),
        ("daily limit", error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")),
        ("concurrent", error(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.")),
        ("timeout", error(400, "QUERY_TIMEOUT", "Your query request was running for too long.")),
        (
            "malformed",
            error(400, "MALFORMED_QUERY", "\nSELECT Id\n       ^\nERROR at Row:1:Column:8\nunexpected token"),
        ),
        ("complicated", error(400, "QUERY_TOO_COMPLICATED", "Query is either selecting too many fields")),
        ("forbidden", error(403, "INSUFFICIENT_ACCESS", "insufficient access rights on cross-reference id")),
        ("404", error(404, "NOT_FOUND", "The requested resource does not exist")),
        ("410", error(410, "GONE", "no")),
        ("204", Fault::Answer { status: 204, headers: Vec::new(), body: Vec::new() }),
        ("503", error(503, "SERVER_UNAVAILABLE", "Too many requests waiting for connections")),
        ("500", error(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId")),
        ("redirect", Fault::redirect(301, "https://new-name.my.salesforce.com/services/data")),
        ("HTML", html(200)),
        ("nothing", page("")),
        ("cut", Fault::Cut { after: 100, framing: Framing::Chunked }),
        ("half of the JSON", Fault::Truncate { after: 200 }),
        ("closed", Fault::Close),
        ("silent", Fault::HalfOpen { after: None }),
        ("another shape", page("[]")),
        ("no records", page(r#"{"totalSize":1,"done":true}"#)),
        (
            "a field missing",
            page(r#"{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Account"},"Id":"1"}]}"#),
        ),
        (
            "a field too many",
            page(
                r#"{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Account"},"Id":"1","Name":"a","Site":"b"}]}"#,
            ),
        ),
        (
            "a field twice",
            page(
                r#"{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Account"},"Id":"1","Name":"a","Name":"b"}]}"#,
            ),
        ),
        (
            "a huge exponent",
            page(
                r#"{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Account"},"Id":"1","Name":1e999}]}"#,
            ),
        ),
        ("totalSize too large", Fault::TotalSize(301)),
        ("totalSize too small", Fault::TotalSize(5)),
        ("done too early", Fault::DoneEarly),
        ("no next page", Fault::NoNextUrl),
        ("its own locator", Fault::RepeatedLocator),
        ("elsewhere", Fault::NextUrl("https://example.com/".to_owned())),
        ("empty pages", Fault::EmptyPages),
        ("repeated pages", Fault::RepeatedPages),
        ("lost locator", Fault::LostLocator),
    ] {
        let said = run_with(&at, Rule::always(At::Page(1), fault));
        text += &format!("\n===== {name}\n{said}\n");
    }
    insta::assert_snapshot!("failing_pages", text);
}

#[test]
fn odd_records_are_read() {
    let at = deployment();
    for (record, row) in [
        // A text field whose value is an object.
        (r#"{"attributes":{"type":"Account"},"Id":"1","Name":{"a":1}}"#, "1,\"{\"\"a\"\":1}\"\n"),
        // A record without attributes.
        (r#"{"Id":"1","Name":"a"}"#, "1,a\n"),
    ] {
        at.org().clear_script();
        let body = format!(r#"{{"totalSize":1,"done":true,"records":[{record}]}}"#);
        at.script(Rule::always(At::Page(1), Fault::body(body)));
        at.run(["run", "accounts"]).ended(0);
        assert_eq!(at.text("exports/accounts.csv"), format!("Id,Name\n{row}"), "{record}");
    }
}

/// What `check` prints, without what differs from run to run.
fn checked(at: &Deployment, arguments: &[&str], status: i32) -> String {
    let outcome = at.run(["check"].iter().chain(arguments)).ended(status);
    let directory = at.path(".").canonicalize().unwrap();
    let text =
        outcome.stdout().replace(directory.to_str().unwrap(), "DIR").replace(at.org().url(), "http://ORG");
    let between = |line: &str, before: &str, after: &str, name: &str| match line.split_once(before) {
        Some((start, rest)) => match rest.split_once(after) {
            Some((_, end)) => format!("{start}{before}{name}{after}{end}"),
            None => line.to_owned(),
        },
        None => line.to_owned(),
    };
    let steady = |line: &str| {
        let line = between(line, "expires on ", ", in ", "DATE");
        let line = between(&line, "responded after ", " ms", "N");
        let line = between(&line, "UTC: next ", " UTC", "DATE");
        between(&line, "this clock is ", " seconds", "N")
    };
    text.lines().map(|line| steady(line) + "\n").collect()
}

#[test]
fn warnings_of_check_read_well() {
    let at = deployment();
    let mut text = String::new();
    let mut show = |name: &str, found: String| text += &format!("\n===== {name}\n{found}");

    // The columns of the last run were others.
    at.run(["run", "accounts"]).ended(0);
    at.job(
        "accounts",
        "SELECT Id, Site FROM Account",
        "accounts.csv",
        "schedule = \"@yearly\"\nenabled = false",
    );
    let date = Fault::Answer {
        status: 200,
        headers: vec![("Date".to_owned(), "Sun, 22 Nov 2020 02:00:00 GMT".to_owned())],
        body: b"[]".to_vec(),
    };
    at.script(Rule::once(At::Containing("/services/data".to_owned()), date));
    show("a clock that is off, other columns, a disabled job", checked(&at, &["accounts"], 0));

    at.run(["keygen", "--key", "short.key", "--cert", "short.crt", "--days", "10"]).ended(0);
    let config = at.text("sfexport.toml").replace("server.key", "short.key");
    at.write("sfexport.toml", config.replace("key_file", "cert_file = \"short.crt\"\nkey_file"));
    show("a certificate that expires soon", checked(&at, &["accounts", "--offline"], 0));

    let few = Deployment::with(Options { api_calls: (92, 100), ..support::options(30_000) });
    few.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    show("few API requests left", checked(&few, &[], 0));

    let reserved = Deployment::with(Options { api_calls: (92, 1_000), ..support::options(30_000) });
    reserved.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    let table = reserved.org_table("org");
    let with_reserve = |reserve: &str| {
        reserved.write("sfexport.toml", format!("{table}api_reserve = {reserve}\n{}\n", support::NO_WAITS));
    };
    with_reserve("\"20%\"");
    show("a reserve with enough above it", checked(&reserved, &[], 0));
    with_reserve("892");
    show("a reserve that a run would touch", checked(&reserved, &[], 0));
    with_reserve("910");
    show("a reserve that is in use", checked(&reserved, &[], 75));
    with_reserve("1000");
    show("a reserve of everything", checked(&reserved, &[], 78));
    insta::assert_snapshot!("check_warnings", text);
}

#[test]
fn messages_about_sets_read_well() {
    let at = Deployment::with(support::options(20));
    at.configure("attempts = 1");
    let set = |objects: &[&str], more: &str| {
        at.write("jobs/backup.toml", format!("objects = {objects:?}\noutput = \"{{object}}.csv\"\n{more}\n"));
    };
    let directory = at.path(".").canonicalize().unwrap();
    let restricted = "Implementation restriction: Contact requires a filter by a single Id";
    let mut text = String::new();
    let mut show = |name: &str, arguments: &[&str]| {
        let outcome = at.outcome(at.command(arguments).args(["--log-level", "error"]).output().unwrap());
        let said = format!("{}{}", outcome.stderr, outcome.stdout());
        let said = said.replace(directory.to_str().unwrap(), "DIR");
        let said: Vec<_> = said.lines().filter(|line| !line.contains(" ERROR ")).collect();
        text += &format!("\n===== {name} ({})\n{}\n", outcome.status.unwrap(), said.join("\n"));
    };
    let run = ["run", "backup"];

    set(&["*zorb*"], "");
    show("a pattern that selects nothing", &run);
    set(&["*ccount", "*zorb*", "Acount"], "");
    show("a name and a pattern that the org does not have", &run);
    set(&["*ccount", "*ontact"], "");
    at.org().refuse_queries("Contact", 400, "MALFORMED_QUERY", restricted);
    show("an object that is skipped", &run);
    set(&["*ontact"], "");
    show("a set of which everything is refused", &run);
    set(&["*ccount", "contact"], "");
    show("a named object that refuses", &run);
    at.org().restore_object("Contact");
    at.run(run).ended(0);
    at.org().hide_object("Contact");
    show("a named object that is gone", &run);
    set(&["*ccount", "*ontact"], "");
    show("an object that was exported before and is gone", &run);
    at.org().restore_object("Contact");
    at.org().refuse_queries("Contact", 400, "MALFORMED_QUERY", restricted);
    show("an object that was exported before and refuses", &run);
    show("a dry run", &["run", "backup", "--dry-run"]);
    at.org().restore_object("Contact");
    show("one object", &["run", "backup", "--object", "contact"]);
    show("an object that is not in the set", &["run", "backup", "--object", "Task"]);
    set(&["*", "!*ask"], "");
    show("an excluded object", &["run", "backup", "--object", "Task"]);
    show("an object that patterns leave out", &["run", "backup", "--object", "Retired__c"]);
    insta::assert_snapshot!("sets", text);
}

/// The hint's line, if there is one.
fn hint(hint: Option<&str>) -> String {
    hint.map(|hint| format!("\n  hint: {hint}")).unwrap_or_default()
}

#[test]
fn what_is_not_a_query_a_schedule_or_an_output_reads_well() {
    let mut text = String::new();
    for soql in [
        "",
        "FIND {x}",
        "UPDATE Account",
        "[SELECT Id FROM Account]",
        "SELECT * FROM Account",
        "SELECT DISTINCT Name FROM Account",
        "SELECT TOP 5 Name FROM Account",
        "SELECT Id, FROM Account",
        "SELECT Id Name FROM Account",
        "SELECT Id AS x FROM Account",
        "SELECT COUNT(*) FROM Account",
        "SELECT COUNT(DISTINCT Name) FROM Account",
        "SELECT Id FROM Account JOIN Contact",
        "SELECT Id FROM Account WHERE",
        "SELECT Id FROM Account WHERE Name = 'x",
        "SELECT Id FROM Account WHERE (Name = 'x'",
        "SELECT Id FROM Account WHERE Name = 'x')",
        "SELECT Id FROM Account WHERE Name = :name",
        "SELECT Id FROM Account ALL ROWS",
        "SELECT Id FROM Account -- all of them",
        "SELECT Id FROM Account // all of them",
        "SELECT Id FROM Account; SELECT Id FROM Contact",
        "SELECT ‘Id’ FROM Account",
        "SELECT Id\u{200b} FROM Account",
        "SELECT Näme FROM Account",
        "SELECT Account. FROM Contact",
        "SELECT Id",
        "SELECT TYPEOF What THEN Id END FROM Task",
        "SELECT Id, Id FROM Account",
        "SELECT Account, Account.Name FROM Contact",
        "SELECT Id, (SELECT Id FROM Contacts), (SELECT Name FROM Contacts) FROM Account",
        "SELECT FIELDS(ALL) FROM Account",
        "SELECT toLabel(Status) FROM Case LIMIT",
    ] {
        let refused = match Query::parse(soql) {
            Ok(query) => Columns::of(&query).err(),
            Err(error) => Some(error),
        };
        let shown = refused
            .map_or_else(|| "accepted".to_owned(), |error| format!("{error}{}", hint(error.hint.as_deref())));
        text += &format!("\n===== {soql}\n{shown}\n");
    }
    for schedule in [
        "",
        "* * * *",
        "0 0 2 * * *",
        "0 2 * * * 2026",
        "0 0 2 * * * 2026",
        "TZ=UTC 0 2 * * *",
        "@daily 2",
        "@reboot",
        "@every 5m",
        "@nightly",
        "60 2 * * *",
        "0 24 * * *",
        "0 2 0 * *",
        "0 2 * foo *",
        "0 2 * * 8",
        "0 2 * * 1#2",
        "0 2 L * *",
        "0 2 15W * *",
        "0 2 ? * *",
        "0,, 2 * * *",
        "5/10 * * * *",
        "*/ * * * *",
        "*/x * * * *",
        "*/0 * * * *",
        "*/90 * * * *",
        "/5 * * * *",
        "30-10 * * * *",
        "1- * * * *",
        "1-2-3 * * * *",
        "0 2 31 2 *",
    ] {
        let shown = Schedule::parse(schedule, TimeZone::UTC)
            .map_or_else(|error| format!("{error}{}", hint(Some(&error.hint()))), |_| "accepted".to_owned());
        text += &format!("\n===== {schedule}\n{shown}\n");
    }
    for output in [
        "",
        "~/a.csv",
        "a\u{7}.csv",
        "a\u{200b}.csv",
        "exports/",
        "../a.csv",
        "/etc/a.csv",
        "/data/exports",
        ".a.csv.{run_id}.partial",
        "{jobb}.csv",
        "{job.csv",
        "job}.csv",
        "{job:%Y}.csv",
        "{date:}.csv",
        "{date:YYYY-MM-DD}.csv",
        "{date:%!}.csv",
        "a-%Y-%m-%d.csv",
        "{{ ds }}.csv",
        "$(date +%F).csv",
        "s3://bucket/a.csv",
        "file:///a.csv",
        "sftp://host/a.csv",
        "C:\\exports\\a.csv",
        "\\\\server\\share\\a.csv",
    ] {
        let shown = OutputTemplate::parse(output, Path::new("/data/exports")).map_or_else(
            |error| format!("{}{}", error.reason, hint(error.hint.as_deref())),
            |_| "accepted".to_owned(),
        );
        text += &format!("\n===== {output:?}\n{shown}\n");
    }
    insta::assert_snapshot!("what_is_not_one", text);
}
