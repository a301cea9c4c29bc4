//! `sfexport run` and `sfexport query` as a user has them: the binary against the embedded org, what it wrote
//! compared byte for byte with the data set, what it sent read from the org's record of requests.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sfexport::demo_org::{At, Fault, Options, Row, Rule, Value};
use support::{CLIENT_ID, Deployment, USERNAME, assert_same, cell, csv, csv_of, inode, json, live, value};

/// Fields of every type that a cell can hold, and texts that other tools break on.
const FIELDS: [&str; 14] = [
    "Id",
    "Name",
    "Site",
    "Type",
    "AnnualRevenue",
    "Score__c",
    "Discount__c",
    "NumberOfEmployees",
    "Active__c",
    "FoundedOn__c",
    "CreatedDate",
    "Segments__c",
    "Website",
    "OwnerId",
];

fn select(fields: &[&str], rest: &str) -> String {
    format!("SELECT {} {rest}", fields.join(", "))
}

#[test]
fn a_csv_export_holds_every_record_byte_for_byte() {
    let at = Deployment::new(2500);
    at.job("accounts", &select(&FIELDS, "FROM Account"), "accounts.csv", "");
    let outcome = at.run(["run", "accounts"]).ended(0);
    let rows = live(at.data(), "Account");
    assert_same(&at.read("exports/accounts.csv"), &csv(&FIELDS, &rows));
    let path = at.path("exports/accounts.csv");
    assert_eq!(outcome.stdout(), format!("accounts\t{}\t{}\n", rows.len(), path.display()));
    // 2,474 records are two pages of 2,000 at most.
    assert_eq!((rows.len(), at.queries().len()), (2474, 2));
    for arguments in [&["jobs"][..], &["jobs", "--wide"]] {
        assert!(at.run(arguments).ended(0).stdout().contains("2,474 records\n"), "{arguments:?}");
    }
}

#[test]
fn many_small_pages_make_the_same_file_packed_or_not() {
    for gzip in [true, false] {
        let at = Deployment::with(Options { page_size: 7, ..support::options(300) });
        at.configure(&format!("gzip = {gzip}"));
        at.job("accounts", &select(&FIELDS, "FROM Account"), "accounts.csv", "");
        at.run(["run", "accounts"]).ended(0);
        let rows = live(at.data(), "Account");
        assert_same(&at.read("exports/accounts.csv"), &csv(&FIELDS, &rows));
        let requests = at.queries();
        assert_eq!(requests.len(), rows.len().div_ceil(7));
        for request in requests {
            assert_eq!(request.header("accept-encoding"), gzip.then_some("gzip"));
        }
    }
}

#[test]
fn json_lines_hold_every_record_as_the_org_has_it() {
    const PLAIN: [&str; 9] = [
        "Id",
        "Name",
        "NextStep",
        "Amount",
        "CloseDate",
        "IsWon",
        "TotalOpportunityQuantity",
        "Description",
        "CreatedDate",
    ];
    let at = Deployment::with(Options { page_size: 60, ..support::options(300) });
    let soql = format!("SELECT {}, Account.Id, Account.Name FROM Opportunity", PLAIN.join(", "));
    at.job("opportunities", &soql, "opportunities.jsonl", "");
    at.run(["run", "opportunities"]).ended(0);
    let line = |row: &Row<'_>| {
        let own: Vec<_> = PLAIN.iter().map(|key| format!("\"{key}\":{}", json(&value(*row, key)))).collect();
        let account = match row.parent("Account") {
            None => "null".to_owned(),
            Some(parent) => {
                format!("{{\"Id\":{},\"Name\":{}}}", json(&value(parent, "Id")), json(&value(parent, "Name")))
            }
        };
        format!("{{{},\"Account\":{account}}}\n", own.join(","))
    };
    let expected: String = live(at.data(), "Opportunity").iter().map(line).collect();
    assert_same(&at.read("exports/opportunities.jsonl"), expected.as_bytes());
}

#[test]
fn a_null_parent_keeps_its_columns_also_in_the_first_row() {
    const COLUMNS: [&str; 6] =
        ["Id", "LastName", "Account.Name", "Account.Owner.Name", "Account.Parent.Owner.Email", "Email"];
    let at = Deployment::with(Options { page_size: 50, ..support::options(200) });
    let rows = live(at.data(), "Contact");
    let orphans: Vec<Row<'_>> = rows.iter().copied().filter(|row| row.parent("Account").is_none()).collect();
    assert!(!orphans.is_empty() && orphans.len() < rows.len());
    at.job("contacts", &select(&COLUMNS, "FROM Contact"), "contacts.csv", "");
    at.job("orphans", &select(&COLUMNS, "FROM Contact WHERE AccountId = null"), "orphans.csv", "");
    at.run(["run", "contacts", "orphans"]).ended(0);
    assert_same(&at.read("exports/contacts.csv"), &csv(&COLUMNS, &rows));
    assert_same(&at.read("exports/orphans.csv"), &csv(&COLUMNS, &orphans));
}

#[test]
fn columns_stand_in_the_querys_order_and_spelling() {
    let at = Deployment::new(20);
    at.job(
        "contacts",
        "select  email , ID,\n Contact.lastname, account.NAME from Contact",
        "contacts.csv",
        "",
    );
    at.run(["run", "contacts"]).ended(0);
    let rows = live(at.data(), "Contact");
    let cells = rows.iter().map(|row| {
        ["Email", "Id", "LastName", "Account.Name"].iter().map(|path| cell(&value(*row, path))).collect()
    });
    // The object's own name before a field is no parent, and no part of the column's name.
    assert_same(
        &at.read("exports/contacts.csv"),
        &csv_of(&["email", "ID", "lastname", "account.NAME"], cells),
    );
}

#[test]
fn an_empty_result_is_its_header_and_no_line_of_json() {
    let at = Deployment::new(20);
    let soql = "SELECT Id, Name, Owner.Name FROM Account WHERE Name = 'nobody is called so'";
    at.job("none", soql, "none.csv", "");
    at.job("none_jsonl", soql, "none.jsonl", "");
    let outcome = at.run(["run", "none", "none_jsonl"]).ended(0);
    assert_eq!(at.text("exports/none.csv"), "Id,Name,Owner.Name\n");
    assert_eq!(at.text("exports/none.jsonl"), "");
    assert!(outcome.stdout().contains("none\t0\t"), "{}", outcome.stdout());
}

#[test]
fn a_count_is_one_row() {
    let at = Deployment::new(300);
    at.job("count", "SELECT COUNT() FROM Account", "count.csv", "");
    at.job("count_jsonl", "SELECT count() FROM Account", "count.jsonl", "");
    at.run(["run", "--all"]).ended(0);
    let live = live(at.data(), "Account").len();
    assert_eq!(at.text("exports/count.csv"), format!("count\n{live}\n"));
    assert_eq!(at.text("exports/count.jsonl"), format!("{{\"count\":{live}}}\n"));
}

#[test]
fn aggregates_have_their_aliases_or_numbered_columns() {
    let at = Deployment::new(400);
    let soql = "SELECT StageName, COUNT(Id), MAX(CloseDate) last_close, MIN(Amount) FROM Opportunity \
                GROUP BY StageName ORDER BY StageName";
    at.job("stages", soql, "stages.csv", "");
    at.run(["run", "stages"]).ended(0);
    let mut stages: BTreeMap<String, (usize, String, Option<f64>)> = BTreeMap::new();
    for row in live(at.data(), "Opportunity") {
        let stage = stages.entry(cell(&value(row, "StageName"))).or_default();
        stage.0 += 1;
        // Days of four-digit years sort as text does.
        stage.1 = stage.1.clone().max(cell(&value(row, "CloseDate")));
        if let Value::Double(amount) = value(row, "Amount") {
            stage.2 = Some(stage.2.map_or(amount, |least| least.min(amount)));
        }
    }
    assert!(stages.len() > 3);
    let rows = stages.into_iter().map(|(stage, (count, close, least))| {
        vec![stage, count.to_string(), close, cell(&least.map_or(Value::Null, Value::Double))]
    });
    let expected = csv_of(&["StageName", "expr0", "last_close", "expr1"], rows);
    assert_same(&at.read("exports/stages.csv"), &expected);
}

#[test]
fn deleted_rows_come_where_they_are_asked_for() {
    let at = Deployment::with(Options { page_size: 90, ..support::options(300) });
    let fields = ["Id", "Name", "IsDeleted"];
    at.job("all", &select(&fields, "FROM Account"), "all.csv", "all_rows = true");
    at.job("live", &select(&fields, "FROM Account"), "live.csv", "");
    at.run(["run", "all", "live"]).ended(0);
    let all: Vec<_> = at.data().rows("Account").collect();
    let live = live(at.data(), "Account");
    assert!(all.len() > live.len());
    assert_same(&at.read("exports/all.csv"), &csv(&fields, &all));
    assert_same(&at.read("exports/live.csv"), &csv(&fields, &live));
    let first: Vec<_> = at.queries().into_iter().filter(|request| !request.query().is_empty()).collect();
    assert_eq!(first.iter().filter(|request| request.path() == "/services/data/v62.0/queryAll").count(), 1);
}

#[test]
fn children_are_followed_to_their_end() {
    // Pages of three: most lists of contacts have further pages of their own.
    let at = Deployment::with(Options { page_size: 3, ..support::options(40) });
    let soql = "SELECT Id, (SELECT Id, LastName FROM Contacts), Name FROM Account";
    at.job("families", soql, "families.csv", "");
    at.job("families_jsonl", soql, "families.jsonl", "");
    at.run(["run", "--all"]).ended(0);
    let list = |row: &Row<'_>| {
        let children: Vec<String> = row
            .children("Contacts")
            .into_iter()
            .filter(|child| !child.is_deleted())
            .map(|child| {
                format!(
                    "{{\"Id\":{},\"LastName\":{}}}",
                    json(&value(child, "Id")),
                    json(&value(child, "LastName"))
                )
            })
            .collect();
        (!children.is_empty()).then(|| format!("[{}]", children.join(",")))
    };
    let rows = live(at.data(), "Account");
    assert!(rows.iter().any(|row| row.children("Contacts").len() > 3));
    let cells = rows
        .iter()
        .map(|row| vec![cell(&value(*row, "Id")), list(row).unwrap_or_default(), cell(&value(*row, "Name"))]);
    assert_same(&at.read("exports/families.csv"), &csv_of(&["Id", "Contacts", "Name"], cells));
    let lines: String = rows
        .iter()
        .map(|row| {
            format!(
                "{{\"Id\":{},\"Contacts\":{},\"Name\":{}}}\n",
                json(&value(*row, "Id")),
                list(row).unwrap_or_else(|| "null".to_owned()),
                json(&value(*row, "Name"))
            )
        })
        .collect();
    assert_same(&at.read("exports/families.jsonl"), lines.as_bytes());
}

#[test]
fn a_dialect_is_written_as_the_job_says() {
    let at = Deployment::new(120);
    let dialect =
        "[csv]\ndelimiter = \";\"\nline_ending = \"crlf\"\nnull = \"NULL\"\nbom = true\nheader = false";
    at.job("accounts", "SELECT Id, Site FROM Account", "accounts.csv", dialect);
    at.run(["run", "accounts"]).ended(0);
    let mut expected = String::from("\u{feff}");
    for row in live(at.data(), "Account") {
        let site = match value(row, "Site") {
            Value::Null => "NULL".to_owned(),
            text => cell(&text),
        };
        let quoted = site.contains(['"', ';', '\n', '\r']) || site == "NULL" && !value(row, "Site").is_null();
        let site = if quoted { format!("\"{}\"", site.replace('"', "\"\"")) } else { site };
        expected.push_str(&format!("{};{site}\r\n", cell(&value(row, "Id"))));
    }
    assert_same(&at.read("exports/accounts.csv"), expected.as_bytes());
}

#[test]
fn a_run_logs_in_once_with_the_claims_of_the_jwt_bearer_flow() {
    let at = Deployment::with(Options { page_size: 10, strict_exp: true, ..support::options(60) });
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    at.run(["run", "accounts"]).ended(0);
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let logins = at.logins();
    assert_eq!(logins.len(), 1);
    let login = &logins[0];
    assert_eq!((login.method.as_str(), login.target.as_str()), ("POST", "/services/oauth2/token"));
    assert_eq!(login.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(login.header("authorization"), None);
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&login.body).into_owned().collect();
    assert_eq!(form.len(), 2, "{:?}", form.iter().map(|(key, _)| key).collect::<Vec<_>>());
    assert_eq!(form[0], ("grant_type".to_owned(), "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()));
    assert_eq!(form[1].0, "assertion");
    let parts: Vec<&str> = form[1].1.split('.').collect();
    let decoded = |part: &str| -> serde_json::Value {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    assert_eq!(decoded(parts[0])["alg"], "RS256");
    let claims = decoded(parts[1]);
    assert_eq!(claims["iss"], CLIENT_ID);
    assert_eq!(claims["sub"], USERNAME);
    // A loopback login URL is its own audience.
    assert_eq!(claims["aud"], at.org().url());
    let exp = claims["exp"].as_u64().unwrap();
    assert!((before + 30..=after + 180).contains(&exp), "exp is {} s ahead", exp.abs_diff(before));
}

#[test]
fn requests_say_what_they_must_and_nothing_more() {
    let at = Deployment::with(Options { page_size: 40, ..support::options(100) });
    at.configure("batch_size = 1000");
    let soql = "SELECT Id FROM Account WHERE Name != 'a+b & c=%' AND CreatedDate > 2001-01-01T00:00:00+01:00";
    at.job("accounts", soql, "accounts.csv", "");
    at.run(["run", "accounts"]).ended(0);
    let queries = at.queries();
    assert_eq!(queries.len(), 3);
    assert_eq!(queries[0].path(), "/services/data/v62.0/query");
    let parameters: Vec<_> =
        url::form_urlencoded::parse(queries[0].query().as_bytes()).into_owned().collect();
    assert_eq!(parameters, [("q".to_owned(), soql.to_owned())]);
    for further in &queries[1..] {
        assert!(further.path().starts_with("/services/data/v62.0/query/0r8"), "{}", further.target);
        assert_eq!(further.query(), "");
    }
    for request in at.org().requests() {
        let names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert!(!names.contains(&"cookie") && !names.contains(&"referer"), "{names:?}");
        assert_eq!(request.header("user-agent"), Some(concat!("sfexport/", env!("CARGO_PKG_VERSION"))));
    }
    for query in &queries {
        assert_eq!(query.method, "GET");
        assert_eq!(query.header("sforce-query-options"), Some("batchSize=1000"));
        assert!(query.header("authorization").unwrap().starts_with("Bearer 00D"));
        assert!(query.body.is_empty());
    }
}

#[test]
fn jobs_run_in_the_order_of_their_names_and_one_failure_stops_no_other() {
    let at = Deployment::new(50);
    at.write(
        "sfexport.toml",
        format!("{}{}\n[daemon]\nmax_concurrent_runs = 1\n", at.org_table("org"), support::NO_WAITS),
    );
    at.job("c", "SELECT Id FROM Contact", "c.csv", "");
    at.job("a", "SELECT Id FROM Account", "a.csv", "");
    at.job("b", "SELECT Id, Nope FROM Account", "b.csv", "");
    at.job("off", "SELECT Id FROM Task", "off.csv", "enabled = false");
    let outcome = at.run(["run", "--all"]).ended(65).says(&["error: b: ", "No such column 'Nope'"]);
    let names: Vec<_> = outcome.stdout().lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(at.names_below("exports"), ["a.csv", "c.csv"]);
    assert_same(&at.read("exports/c.csv"), &csv(&["Id"], &live(at.data(), "Contact")));
    assert_eq!(at.logins().len(), 3);
    // Asked for by its name, a job runs that is switched off for the rest.
    at.run(["run", "off"]).ended(0);
    assert_same(&at.read("exports/off.csv"), &csv(&["Id"], &live(at.data(), "Task")));
}

#[test]
fn an_org_is_asked_by_as_many_runs_at_once_as_it_allows() {
    let at = Deployment::with(Options { think: Duration::from_millis(60), ..support::options(20) });
    at.write(
        "sfexport.toml",
        format!("{}max_concurrent_runs = 1\n{}", at.org_table("org"), support::NO_WAITS),
    );
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        at.job(name, "SELECT Id FROM Account", "{job}.csv", "");
    }
    let outcome = at.run(["run", "e", "d", "c", "b", "a"]).ended(0);
    let ended: Vec<_> = outcome.stdout().lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(ended, names);
    // Login, query, login, query: no login came before the query of the run before it.
    let methods: Vec<_> = at.org().requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["POST", "GET"].repeat(5));
}

#[test]
fn runs_that_failed_differently_end_with_the_status_an_outer_scheduler_can_use() {
    let at = Deployment::new(20);
    at.job("cut", "SELECT Id FROM Account", "cut.csv", "");
    at.job("limit", "SELECT Id FROM Contact", "limit.csv", "");
    at.job("refused", "SELECT Nope FROM Task", "refused.csv", "");
    at.script(Rule::always(At::Containing("FROM%20Account".into()), Fault::Truncate { after: 30 }));
    let limit = Fault::error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
    at.script(Rule::always(At::Containing("FROM%20Contact".into()), limit));
    at.run(["run", "cut"]).ended(74);
    at.run(["run", "limit"]).ended(75);
    at.run(["run", "cut", "limit"]).ended(75);
    at.run(["run", "--all"]).ended(1).says(&["error: cut: ", "error: limit: ", "error: refused: "]);
    assert_eq!(at.names_below("exports"), Vec::<String>::new());
}

#[test]
fn a_report_tells_what_the_run_did_and_the_history_keeps_it() {
    let at = Deployment::with(Options { page_size: 25, api_calls: (100, 5000), ..support::options(100) });
    at.job("accounts", "SELECT Id, Name FROM Account", "accounts.csv", "");
    at.script(Rule::once(At::Containing("-50".into()), Fault::error(503, "SERVER_UNAVAILABLE", "wait")));
    let outcome = at.run(["run", "accounts", "--json"]).ended(0);
    let [report] = outcome.reports().try_into().unwrap();
    let rows = live(at.data(), "Account");
    let file = at.path("exports/accounts.csv");
    let bytes = csv(&["Id", "Name"], &rows).len();
    for (key, expected) in [
        ("job", serde_json::json!("accounts")),
        ("org", serde_json::json!("default")),
        ("status", serde_json::json!("ok")),
        ("exit_status", serde_json::json!(0)),
        ("format", serde_json::json!("csv")),
        ("path", serde_json::json!(file.display().to_string())),
        ("records", serde_json::json!(rows.len())),
        ("total", serde_json::json!(rows.len())),
        ("bytes", serde_json::json!(bytes)),
        ("columns", serde_json::json!(["Id", "Name"])),
        ("pages", serde_json::json!(4)),
        ("api_calls", serde_json::json!(5)),
        ("logins", serde_json::json!(1)),
        ("retries", serde_json::json!(1)),
        ("restarts", serde_json::json!(0)),
        ("error", serde_json::json!(null)),
        ("scheduled", serde_json::json!(null)),
    ] {
        assert_eq!(report[key], expected, "{key}");
    }
    assert_eq!(report["api_limit"]["allowed"], 5000);
    let sum = Command::new("sha256sum").arg(&file).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    assert_eq!(report["sha256"].as_str(), sum.split(' ').next());

    at.script(Rule::always(At::Login(1), Fault::login_refused("invalid_grant", "ip restricted")));
    let outcome = at.run(["run", "accounts", "--json"]).ended(77);
    let [failed] = outcome.reports().try_into().unwrap();
    assert_eq!((failed["status"].as_str(), failed["exit_status"].as_u64()), (Some("failed"), Some(77)));
    assert!(failed["error"].as_str().unwrap().contains("ip restricted"));
    assert!(failed["hint"].as_str().unwrap().contains("IP"));
    let history: Vec<serde_json::Value> =
        at.text("state/runs.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(history, [report, failed]);
}

#[test]
fn the_history_shows_the_whole_reason_of_a_failure() {
    let at = Deployment::new(10);
    at.job("accounts", "SELECT Id, Nme FROM Account", "accounts.csv", "schedule = \"@yearly\"");
    at.run(["run", "accounts"]).ended(65);
    for (command, wide) in [("history", false), ("history", true), ("jobs", false), ("jobs", true)] {
        let outcome = at.run([command].into_iter().chain(wide.then_some("--wide"))).ended(0);
        let lines: Vec<_> = outcome.stdout().lines().collect();
        // On its line, or on a line below it, with the hint on the next.
        assert_eq!(lines.len(), if wide { 2 } else { 4 }, "{lines:?}");
        assert_eq!(lines.last().unwrap().starts_with("    hint: write \"Name\" instead of \"Nme\""), !wide);
        let error = lines[if wide { 1 } else { 2 }];
        assert!(error.contains("the org refused the query: INVALID_FIELD: "), "{lines:?}");
        assert!(error.contains("No such column 'Nme' on entity 'Account'"), "{lines:?}");
        assert!(!error.contains('^'), "{lines:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_comes_with_what_to_do() {
    let at = Deployment::new(10);
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    // Nobody may make a directory there, also who may do everything else.
    let failed = at.run(["run", "accounts", "--output-root", "/proc/x"]).ended(73);
    failed.says(&["/proc", "hint: "]);
}

#[test]
fn run_all_explains_how_to_enable_disabled_jobs() {
    let at = Deployment::new(10);
    fs::create_dir(at.path("jobs")).unwrap();
    at.run(["run", "--all"]).ended(78).says(&["there is no enabled job in", "write a job file NAME.toml"]);
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "enabled = false");
    let outcome = at.run(["run", "--all"]).ended(78);
    let outcome = outcome.says(&["there is no enabled job in", "enabled = true", "`sfexport run accounts`"]);
    assert!(!outcome.stderr.contains("NAME.toml"), "{}", outcome.stderr);
    at.run(["run", "accounts"]).ended(0);
}

#[test]
fn a_state_directory_that_is_not_there_is_told_from_one_without_a_run() {
    let at = Deployment::new(10);
    let directory = at.path("state");
    let none = format!("no run yet: there is no state directory {}\n", directory.display());
    assert_eq!(at.run(["history"]).ended(0).stdout(), none);
    let json = at.run(["history", "--json"]).ended(0).says(&[none.trim_end()]);
    assert_eq!(json.stdout(), "");
    // Who names a directory means one that is there.
    at.run(["history", "--state-dir", "elsewhere"]).ended(78).says(&[
        &format!("there is no state directory {}", at.path("elsewhere").display()),
        "set --state-dir to",
    ]);
    fs::create_dir(&directory).unwrap();
    assert_eq!(at.run(["history", "--state-dir", "state"]).ended(0).stdout(), "no run yet\n");
}

#[test]
fn json_is_one_object_per_line_and_the_help_says_so() {
    let at = Deployment::new(10);
    for command in ["run", "jobs", "history", "check"] {
        let help = at.run([command, "--help"]).ended(0);
        let words = help.stdout().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("as JSON, one object per line"), "{command}: {words}");
    }
}

#[test]
fn a_dry_run_logs_in_and_writes_nothing() {
    let at = Deployment::new(20);
    at.job("accounts", "SELECT Id FROM Account", "deep/er/accounts.csv", "");
    let outcome = at.run(["run", "accounts", "--dry-run"]).ended(0);
    assert!(outcome.stdout().starts_with("accounts\tready\t"), "{}", outcome.stdout());
    assert_eq!((at.logins().len(), at.queries().len()), (1, 0));
    assert!(!at.path("exports").exists());
    assert!(!at.path("state/runs.jsonl").exists(), "a run that writes nothing is no part of the history");
    at.script(Rule::once(
        At::Login(1),
        Fault::login_refused("invalid_client_id", "client identifier invalid"),
    ));
    at.run(["run", "accounts", "--dry-run"]).ended(77).says(&[CLIENT_ID, "client_id"]);
}

#[test]
fn the_instant_of_an_outer_scheduler_names_the_files() {
    let at = Deployment::new(20);
    let output = "{job}/{org}/{date:%Y/%m}/{date}-{time}-{datetime}.csv";
    at.job("accounts", "SELECT Id FROM Account", output, "timezone = \"Europe/Berlin\"");
    let outcome = at.run(["run", "accounts", "--at", "2026-11-22T01:00:00Z", "--json"]).ended(0);
    // Berlin is an hour ahead in November.
    let name = "exports/accounts/default/2026/11/2026-11-22-020000-20261122T020000+0100.csv";
    assert_same(&at.read(name), &csv(&["Id"], &live(at.data(), "Account")));
    assert_eq!(outcome.reports()[0]["scheduled"], "2026-11-22T01:00:00Z");
}

#[test]
fn an_output_is_replaced_as_a_whole_and_keeps_its_mode() {
    let at = Deployment::new(50);
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    at.write("exports/accounts.csv", "the former export\n");
    let path = at.path("exports/accounts.csv");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let mut reader = fs::File::open(&path).unwrap();
    let former = inode(&path);
    at.run(["run", "accounts"]).ended(0);
    assert_ne!(inode(&path), former);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    // Who had it open still reads the former one, whole.
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "the former export\n");

    // And one that fails changes neither contents nor inode.
    let standing = (inode(&path), fs::read(&path).unwrap());
    at.script(Rule::always(At::Page(1), Fault::Close));
    at.run(["run", "accounts"]).ended(69);
    assert_eq!((inode(&path), fs::read(&path).unwrap()), standing);
}

#[test]
fn a_file_that_may_not_be_replaced_is_looked_at_before_the_login() {
    let at = Deployment::new(10);
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "if_exists = \"fail\"");
    at.run(["run", "accounts"]).ended(0);
    let logins = at.logins().len();
    at.run(["run", "accounts"]).ended(73).says(&["exports/accounts.csv", "if_exists", "hint: "]);
    assert_eq!(at.logins().len(), logins);
}

#[test]
fn two_orgs_are_asked_by_their_jobs() {
    let at = Deployment::new(10);
    let other = Deployment::new(30);
    let table = other.org_table("orgs.emea");
    at.configure(&table);
    at.job("here", "SELECT Id FROM Account", "{org}.csv", "");
    at.job("there", "SELECT Id FROM Account", "{org}.csv", "org = \"emea\"");
    at.run(["run", "--all"]).ended(0);
    assert_same(&at.read("exports/default.csv"), &csv(&["Id"], &live(at.data(), "Account")));
    assert_same(&at.read("exports/emea.csv"), &csv(&["Id"], &live(other.data(), "Account")));
    assert_eq!((at.logins().len(), other.logins().len()), (1, 1));
    at.run(["query", "SELECT Id FROM User", "--org", "emea", "-o", "users.csv"]).ended(0);
    assert_eq!(other.logins().len(), 2);
}

#[test]
fn the_environment_alone_is_enough() {
    let at = Deployment::new(30);
    fs::remove_file(at.path("sfexport.toml")).unwrap();
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    let output = at
        .command(["run", "accounts"])
        .env("SFEXPORT_ORG__LOGIN_URL", at.org().url())
        .env("SFEXPORT_ORG__CLIENT_ID", CLIENT_ID)
        .env("SFEXPORT_ORG__USERNAME", USERNAME)
        .env("SFEXPORT_ORG__KEY", support::key_pair().key.replace('\n', "\\n"))
        .env("SFEXPORT_OUTPUT_ROOT", "elsewhere")
        .output()
        .unwrap();
    at.outcome(output).ended(0);
    assert_same(&at.read("elsewhere/accounts.csv"), &csv(&["Id"], &live(at.data(), "Account")));
}

#[test]
fn the_most_talkative_log_holds_no_secret_and_no_failure_the_querys_literals() {
    // `Deployment::outcome` looks for the secrets in all that is said and written.
    let at = Deployment::with(Options { page_size: 10, ..support::options(40) });
    at.job("accounts", "SELECT Id FROM Account WHERE Name != 'canary literal'", "accounts.csv", "");
    let run = |status: i32| {
        for level in ["trace", "trace,hyper=trace,reqwest=trace"] {
            let output =
                at.command(["run", "accounts", "--json"]).env("SFEXPORT_LOG", level).output().unwrap();
            let outcome = at.outcome(output).ended(status);
            assert!(
                outcome.stderr.contains("DEBUG") || outcome.stderr.contains("TRACE"),
                "{}",
                outcome.stderr
            );
        }
        let outcome = at.run(["run", "accounts", "--json"]).ended(status);
        let said = format!("{}{}{}", outcome.stderr, outcome.stdout(), at.text("state/runs.jsonl"));
        assert!(!said.contains("canary"), "{said}");
    };
    run(0);
    at.script(Rule::times(At::Containing("-10".into()), 15, Fault::Close));
    run(69);
    at.script(Rule::times(At::Page(1), 15, Fault::html(503, "<html>SELECT canary</html>")));
    run(69);
    at.script(Rule::times(At::Page(1), 15, Fault::Truncate { after: 20 }));
    run(74);
    at.script(Rule::times(At::Login(1), 3, Fault::login_refused("invalid_grant", "invalid assertion")));
    run(77);
}

#[test]
fn a_query_writes_a_file_like_a_job_does() {
    let at = Deployment::with(Options { page_size: 30, ..support::options(100) });
    at.write("out/accounts.csv", "the former export\n");
    let outcome = at.run(["query", "SELECT Id, Site FROM Account", "-o", "out/accounts.csv"]).ended(0);
    let rows = live(at.data(), "Account");
    assert_same(&at.read("out/accounts.csv"), &csv(&["Id", "Site"], &rows));
    let path = at.path("out/accounts.csv");
    assert_eq!(outcome.stdout(), format!("query\t{}\t{}\n", rows.len(), path.display()));
    // It leaves no state behind.
    assert!(!at.path("state").exists());
    at.run(["query", "SELECT Id FROM Account", "-o", "out/accounts.txt"])
        .ended(2)
        .says(&["does not end in .csv, .jsonl or .parquet"]);
}

#[test]
fn a_query_streams_to_standard_output() {
    let at = Deployment::with(Options { page_size: 30, ..support::options(100) });
    let rows = live(at.data(), "Account");
    let outcome = at.run(["query", "SELECT Id, Site FROM Account", "-o", "-"]).ended(0);
    assert_same(&outcome.stdout, &csv(&["Id", "Site"], &rows));
    let outcome =
        at.run(["query", "SELECT Id FROM Account", "-o", "-", "--format", "jsonl", "--json"]).ended(0);
    let lines: String = rows.iter().map(|row| format!("{{\"Id\":\"{}\"}}\n", row.id())).collect();
    assert_same(&outcome.stdout, lines.as_bytes());
    let report = outcome.stderr.lines().find(|line| line.starts_with('{')).unwrap();
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    assert_eq!((report["records"].as_u64(), report["path"].as_str()), (Some(rows.len() as u64), Some("-")));
    // A page is streamed once it is whole, and not before: a cut one leaves no half of itself.
    at.script(Rule::once(At::Containing("-60".into()), Fault::Truncate { after: 700 }));
    let outcome = at.run(["query", "SELECT Id, Site FROM Account", "-o", "-"]).ended(0);
    assert_same(&outcome.stdout, &csv(&["Id", "Site"], &rows));
    // Sent output cannot be taken back, so starting over is a failure.
    at.script(Rule::once(At::Containing("-60".into()), Fault::LostLocator));
    let outcome = at.run(["query", "SELECT Id, Site FROM Account", "-o", "-"]).ended(74);
    assert!(csv(&["Id", "Site"], &rows).starts_with(&outcome.stdout));
    assert!(outcome.stderr.contains("some of the output has already been sent"), "{}", outcome.stderr);
}

/// A page of users whose rows are larger than what a run keeps in memory, and those rows as CSV.
fn large_page() -> (String, String) {
    let (records, text) = (3_000, "scratch ".repeat(500));
    let mut page = format!(r#"{{"totalSize":{records},"done":true,"records":["#);
    let mut rows = "Id,AboutMe\n".to_owned();
    for n in 0..records {
        let comma = if n == 0 { "" } else { "," };
        page.push_str(&format!(
            r#"{comma}{{"attributes":{{"type":"User","url":"/u/{n}"}},"Id":"{n:018}","AboutMe":"{text}"}}"#
        ));
        rows.push_str(&format!("{n:018},{text}\n"));
    }
    page.push_str("]}");
    (page, rows)
}

const LARGE: &str = "SELECT Id, AboutMe FROM User";

#[test]
fn rows_too_many_for_memory_wait_in_scratch_dir() {
    let at = Deployment::new(10);
    let (page, rows) = large_page();
    at.write("sfexport.toml", format!("scratch_dir = \"scratch/deep\"\n{}", at.text("sfexport.toml")));
    at.job("users", LARGE, "users.csv", "");
    for arguments in [&["run", "users"][..], &["query", LARGE, "-o", "-"], &["query", LARGE, "-o", "q.csv"]] {
        // The page is truncated at its end, once its rows have been spooled; then it is whole.
        at.script(Rule::once(At::Containing("AboutMe".into()), Fault::body(&page[..page.len() - 2])));
        at.script(Rule::once(At::Containing("AboutMe".into()), Fault::body(page.as_str())));
        let outcome = at.run(arguments).ended(0);
        let written = match arguments.last() {
            Some(&"users") => at.read("exports/users.csv"),
            Some(&"q.csv") => at.read("q.csv"),
            _ => outcome.stdout,
        };
        assert!(written == rows.as_bytes(), "{arguments:?}: {} bytes", written.len());
        assert!(at.path("scratch/deep").is_dir(), "{arguments:?}");
        assert_eq!(at.names_below("scratch"), Vec::<String>::new());
        fs::remove_dir_all(at.path("scratch")).unwrap();
    }
}

#[test]
fn a_query_without_scratch_dir_holds_rows_next_to_its_file_or_in_tmpdir() {
    let at = Deployment::new(10);
    let (page, rows) = large_page();
    fs::create_dir(at.path("tmp")).unwrap();
    let query = |output: &str, tmpdir: &str| {
        at.script(Rule::once(At::Containing("AboutMe".into()), Fault::body(page.as_str())));
        let mut command = at.command(["query", LARGE, "-o", output]);
        at.outcome(command.env("TMPDIR", at.path(tmpdir)).output().unwrap())
    };
    query("out/q.csv", "sfexport.toml/no-directory").ended(0);
    assert!(at.read("out/q.csv") == rows.as_bytes());
    assert!(query("-", "tmp").ended(0).stdout == rows.as_bytes());
    let outcome = query("-", "sfexport.toml/no-directory").ended(73);
    assert!(outcome.stderr.contains("in scratch_dir, "), "{}", outcome.stderr);
    assert!(outcome.stdout.is_empty());
}

#[test]
fn a_full_scratch_disk_is_named_and_the_former_file_stays() {
    let at = Deployment::new(10);
    let (page, _) = large_page();
    let scratch = at.path("scratch");
    fs::create_dir(&scratch).unwrap();
    at.write("sfexport.toml", format!("scratch_dir = \"scratch\"\n{}", at.text("sfexport.toml")));
    at.job("users", LARGE, "users.csv", "");
    at.write("exports/users.csv", "former");
    at.script(Rule::once(At::Containing("AboutMe".into()), Fault::body(page)));
    let Some(outcome) = at.run_on_small_disk("scratch", "1m", &["run", "users"]) else { return };
    let outcome = outcome.ended(73);
    let expected =
        format!("cannot hold the rows of a page in scratch_dir, {}: No space left", scratch.display());
    assert!(outcome.stderr.contains(&expected), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("SFEXPORT_SCRATCH_DIR"), "{}", outcome.stderr);
    assert_eq!(at.text("exports/users.csv"), "former");
}

#[test]
fn a_reader_that_goes_away_ends_a_stream_quietly() {
    let at = Deployment::with(Options { page_size: 200, ..support::options(20_000) });
    let query = ["query", "SELECT Id, Name, Site, Website FROM Account", "-o", "-", "--log-level", "error"];
    let ended = |more: &[&str]| {
        let mut child = at
            .command(query.iter().chain(more))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut first = [0; 2];
        stdout.read_exact(&mut first).unwrap();
        drop(stdout);
        let outcome = at.outcome(child.wait_with_output().unwrap()).ended(1);
        assert!(!outcome.stderr.contains("error: "), "{more:?}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{more:?}: {}", outcome.stderr);
        outcome.stderr
    };
    assert_eq!(ended(&[]), "");
    assert_eq!(ended(&["--compression", "gzip"]), "");
    // Whoever asks for the report gets it.
    for more in [&["--json"][..], &["--json", "--compression", "zstd"]] {
        let stderr = ended(more);
        let report: serde_json::Value = serde_json::from_str(stderr.trim_end()).unwrap();
        assert_eq!((&report["status"], &report["exit_status"]), (&"failed".into(), &1.into()), "{report}");
        assert_eq!(report["error"], "the reader of standard output has gone");
    }
}

/// The binary with a standard stream that is always full.
fn full(deployment: &Deployment, arguments: &[&str], stdout: bool) -> std::process::Output {
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = deployment.command(arguments);
    if stdout {
        command.stdout(full())
    } else {
        command.stderr(full())
    };
    command.output().unwrap()
}

#[test]
fn a_log_that_cannot_be_written_changes_nothing_about_a_run() {
    let deployment = Deployment::new(10);
    deployment.job("users", "SELECT Id FROM User", "users.csv", "");
    for form in ["text", "json"] {
        let output = full(&deployment, &["run", "users", "--log-format", form], false);
        assert_eq!(output.status.code(), Some(0), "{form}");
        assert!(String::from_utf8(output.stdout).unwrap().starts_with("users\t"), "{form}");
        let refused = full(&deployment, &["query", "SELECT Nope FROM User", "-o", "x.csv"], false);
        assert_eq!(refused.status.code(), Some(65));
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success() {
    let deployment = Deployment::new(10);
    deployment.job("users", "SELECT Id FROM User", "users.csv", "");
    for arguments in [&["run", "users"][..], &["run", "users", "--json"], &["token"], &["jobs"]] {
        let output = full(&deployment, arguments, true);
        assert_eq!(output.status.code(), Some(73), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"), "{arguments:?}");
    }
}

#[test]
fn the_names_of_open_files_are_no_outputs() {
    let deployment = Deployment::new(10);
    let link = fs::read_link("/dev/stdout").ok();
    deployment.run(["query", "SELECT Id FROM User", "--format", "csv", "-o", "/dev/stdout"]).ended(73);
    deployment.run(["query", "SELECT Id FROM User", "--format", "csv", "-o", "/proc/self/fd/1"]).ended(73);
    assert_eq!(fs::read_link("/dev/stdout").ok(), link);
}

#[test]
fn a_wrong_log_level_is_told_in_words_also_where_the_log_is_json() {
    let deployment = Deployment::new(10);
    let mut command = deployment.command(["jobs", "--log-format", "json"]);
    let output = command.env("SFEXPORT_LOG", "bogus").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bogus"));
}

#[test]
fn a_signal_ends_a_run_whose_reader_has_stopped_reading() {
    let deployment = Deployment::new(3000);
    let query = ["query", "SELECT Id, Name, Description FROM Account", "-o", "-"];
    let mut command = deployment.command(query);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Nobody reads: the pipe fills, and the writer waits in the kernel.
    while deployment.queries().is_empty() {
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "the pipe takes it all, and the test tests nothing");
    let begun = Instant::now();
    let sent = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(begun.elapsed() < Duration::from_secs(20), "not by a time-out of somebody else's");
}

/// A pipe for standard error that is full and stays so: nobody reads it. Its other end has to be held.
fn stuck_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    // Ends when the reader is dropped.
    thread::spawn(move || while filler.write_all(&[b'.'; 4096]).is_ok() {});
    thread::sleep(Duration::from_millis(200));
    (reader, writer)
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_export_and_no_signal() {
    let at = Deployment::new(300);
    at.job("users", "SELECT Id FROM User", "users.csv", "");
    let (reader, writer) = stuck_pipe();
    let mut command = at.command(["run", "users", "--log-level", "debug"]);
    let begun = Instant::now();
    let output = command.stderr(writer.try_clone().unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(!at.read("exports/users.csv").is_empty());

    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    at.script(Rule::always(At::Page(1), Fault::Late(Duration::from_secs(600))));
    let mut command = at.command(["run", "accounts", "--log-level", "debug"]);
    let asked = at.queries().len();
    let mut child = command.stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    while at.queries().len() == asked {
        thread::sleep(Duration::from_millis(20));
        assert!(begun.elapsed() < Duration::from_secs(60), "the log holds up the query");
    }
    let begun = Instant::now();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(begun.elapsed() < Duration::from_secs(10), "it waited for who does not read");
    assert!(!at.path("exports/accounts.csv").exists());
    drop(reader);
}

#[test]
fn nothing_of_a_log_that_is_read_is_lost_at_the_end() {
    let at = Deployment::with(Options { page_size: 1, ..support::options(900) });
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    let pages = live(at.data(), "Account").len();
    let outcome = at.run(["run", "accounts", "--log-level", "debug"]).ended(0);
    let said = outcome.stderr;
    // For the login and each page: that it was requested, and that it came.
    assert_eq!(said.matches(" request ").count(), pages + 1);
    assert_eq!(said.matches(" response ").count(), pages + 1);
    assert!(said.lines().last().unwrap().contains(" INFO run ended job=accounts "), "{said}");
}

#[test]
fn a_log_whose_reader_comes_late_says_how_much_of_it_is_lost() {
    let at = Deployment::with(Options { page_size: 1, ..support::options(5000) });
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    let pages = live(at.data(), "Account").len();
    at.script(Rule::once(At::Page(pages), Fault::Late(Duration::from_secs(5))));
    let mut command = at.command(["run", "accounts", "--log-level", "debug", "--log-format", "json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while at.queries().len() < pages {
        thread::sleep(Duration::from_millis(200));
        assert!(begun.elapsed() < Duration::from_secs(120), "the log holds up the export");
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let events: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = events
        .iter()
        .find(|event| event["message"] == "lines of the log were lost because they were not read in time");
    let lost = usize::try_from(told.unwrap()["lines"].as_u64().unwrap()).unwrap();
    // A login and each page are two lines; the run's summary and the warning are one each.
    assert_eq!(events.len() + lost, 2 * (pages + 1) + 2);
    assert_eq!(events.last().unwrap()["message"], "run ended");
}
