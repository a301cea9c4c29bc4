//! The commands of a set-up, through the binary: keygen, init, check, whoami, token, schema, completions and man,
//! against the embedded org.

#![cfg(feature = "demo-org")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a helper that fails is a test that fails; one skipped says so"
)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use serde_json::Value;
use sfexport::demo_org::{At, Fault, Options, Rule};

use support::{CLIENT_ID, Deployment, Outcome, USERNAME, key_pair, live, options};

const SOQL: &str = "SELECT Id, Name FROM Account";

/// The steps that `check --json` told: of each its org or job, its name, its outcome and its exit status.
fn steps(outcome: &Outcome) -> Vec<(String, String, String, u64)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |step: &Value| if step["job"].is_null() { text(&step["org"]) } else { text(&step["job"]) };
    outcome
        .reports()
        .iter()
        .map(|step| {
            (of(step), text(&step["step"]), text(&step["outcome"]), step["exit_status"].as_u64().unwrap())
        })
        .collect()
}

/// The one step of this name, as JSON.
#[track_caller]
fn step(outcome: &Outcome, name: &str) -> Value {
    let mut found = outcome.reports().into_iter().filter(|step| step["step"] == name);
    let step = found.next().unwrap_or_else(|| panic!("no step {name} in\n{}", outcome.stdout()));
    assert!(found.next().is_none(), "several steps {name}");
    step
}

fn hint(step: &Value) -> &str {
    step["hint"].as_str().unwrap_or_default()
}

/// A deployment whose `[org]` has these keys in place of the right ones.
fn with_org(keys: &[(&str, &str)]) -> Deployment {
    let deployment = Deployment::new(10);
    let mut text = deployment.text("sfexport.toml");
    for (key, value) in keys {
        text =
            text.lines().filter(|line| !line.starts_with(&format!("{key} ="))).collect::<Vec<_>>().join("\n");
        text = text.replacen("[org]\n", &format!("[org]\n{key} = \"{value}\"\n"), 1);
    }
    deployment.write("sfexport.toml", text);
    deployment
}

#[test]
fn check_tries_every_step_and_asks_for_no_record() {
    let deployment = Deployment::new(3000);
    deployment.job(
        "accounts",
        SOQL,
        "accounts/{date}.csv",
        "schedule = \"0 2 * * *\"\ntimezone = \"Europe/Berlin\"",
    );
    let outcome = deployment.run(["check", "--json"]).ended(0);
    let passed = |of: &str, step: &str| (of.to_owned(), step.to_owned(), "passed".to_owned(), 0);
    assert_eq!(
        steps(&outcome),
        [
            passed("", "configuration"),
            passed("", "state"),
            passed("default", "key"),
            ("default".to_owned(), "certificate".to_owned(), "skipped".to_owned(), 0),
            passed("default", "network"),
            passed("default", "clock"),
            passed("default", "login"),
            passed("default", "identity"),
            passed("default", "api_version"),
            passed("default", "limits"),
            passed("accounts", "columns"),
            passed("accounts", "query"),
            passed("accounts", "records"),
            passed("accounts", "api"),
            passed("accounts", "output"),
            passed("accounts", "schedule"),
        ]
    );
    let accounts = live(deployment.data(), "Account").len();
    let records = step(&outcome, "records");
    assert_eq!(records["facts"]["records"], accounts);
    assert_eq!(records["facts"]["api_calls"], accounts.div_ceil(2000));
    assert_eq!(step(&outcome, "columns")["facts"]["columns"], serde_json::json!(["Id", "Name"]));
    assert_eq!(step(&outcome, "identity")["facts"]["username"], USERNAME);
    let next = step(&outcome, "schedule")["facts"]["next"].clone();
    let next: Vec<_> =
        next.as_array().unwrap().iter().map(|next| next.as_str().unwrap().to_owned()).collect();
    assert_eq!(next.len(), 5);
    // Every day at 02:00 in Berlin, whatever its offset from UTC is then.
    for next in &next {
        let berlin = next.parse::<Timestamp>().unwrap().in_tz("Europe/Berlin").unwrap();
        assert_eq!(berlin.strftime("%H:%M:%S").to_string(), "02:00:00", "{next}");
    }

    // Nothing was exported, and what was asked of the query brings no record.
    assert!(deployment.names_below("exports").is_empty());
    let asked = deployment.requests_to("/services/data/v62.0/query");
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|request| {
        request.query().starts_with("explain=")
            || request.query().starts_with("q=SELECT%20COUNT%28%29%20FROM")
    }));
    assert_eq!(deployment.logins().len(), 1);
}

#[test]
fn check_shows_people_a_mark_a_step_and_no_colours_in_a_file() {
    let deployment = Deployment::new(10);
    deployment.job("accounts", SOQL, "accounts.csv", "schedule = \"30 6 * * 1-5\"");
    let outcome = deployment.run(["check", "accounts"]).ended(0);
    let text = outcome.stdout();
    for part in
        ["\norg default\n", "\njob accounts\n", "✓ login", "2: Id, Name", "06:30 UTC", "All checks passed."]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn check_jobs_and_run_all_name_ignored_files() {
    let at = Deployment::new(5);
    at.job("a", "SELECT Id FROM Account", "a.csv", "");
    at.write("jobs/contacts.TOML", "");
    let named = "jobs/contacts.TOML: this file is ignored, because the names of job files end in .toml";
    let checked = at.run(["check", "--offline"]).ended(0);
    assert!(checked.stdout().contains(named), "{}", checked.stdout());
    at.run(["jobs"]).ended(0).says(&[named]);
    at.run(["run", "--all"]).ended(0).says(&[named]);
    // Not on every run of another job.
    let alone = at.run(["run", "a"]).ended(0);
    assert!(!alone.stderr.contains("contacts"), "{}", alone.stderr);
}

#[test]
fn check_offline_sends_no_request() {
    let deployment = Deployment::new(10);
    deployment.job("accounts", SOQL, "accounts.csv", "");
    let outcome = deployment.run(["check", "--offline", "--json"]).ended(0);
    assert!(deployment.org().requests().is_empty());
    let names: Vec<_> = steps(&outcome).into_iter().map(|(_, step, ..)| step).collect();
    assert_eq!(
        names,
        ["configuration", "state", "key", "certificate", "columns", "output", "schedule"].map(str::to_owned)
    );
}

#[test]
fn check_names_every_mistake_of_the_configuration() {
    let deployment = Deployment::new(10);
    deployment.job("a", SOQL, "a.csv", "timezone = \"Europe/Berln\"");
    deployment.job("b", SOQL, "b.txt", "scheduel = \"0 2 * * *\"");
    let outcome = deployment.run(["check", "--json"]).ended(78);
    let what = step(&outcome, "configuration")["what"].as_str().unwrap().to_owned();
    for part in ["Europe/Berlin", "jobs/b.toml", "schedule", "format"] {
        assert!(what.contains(part), "{part:?} is not in {what}");
    }
    // A job that is right is checked although others are not.
    deployment.job("c", SOQL, "c.csv", "");
    let outcome = deployment.run(["check", "c", "--json"]).ended(0);
    assert!(
        steps(&outcome).iter().any(|(_, step, outcome, _)| step == "configuration" && outcome == "warned")
    );
}

#[test]
fn check_returns_the_status_of_the_first_failed_step() {
    let deployment = Deployment::new(10);
    deployment.job("a_refused", "SELECT Id, Nope FROM Account", "a.csv", "");
    deployment.job("b_blocked", SOQL, "blocked/b.csv", "");
    deployment.write("exports/blocked", "a file where a directory has to be");
    let outcome = deployment.run(["check", "--json"]).ended(65);
    let failed: Vec<_> = steps(&outcome).into_iter().filter(|step| step.2 == "failed").collect();
    assert_eq!(
        failed,
        [
            ("a_refused".to_owned(), "query".to_owned(), "failed".to_owned(), 65),
            ("b_blocked".to_owned(), "output".to_owned(), "failed".to_owned(), 73),
        ]
    );
    let refused = outcome.reports().into_iter().find(|step| step["outcome"] == "failed").unwrap();
    assert!(refused["what"].as_str().unwrap().contains("No such column 'Nope'"), "{refused}");
    deployment.run(["check", "b_blocked"]).ended(73);
}

#[test]
fn grouped_and_unexplained_queries_are_checked() {
    let deployment = Deployment::new(10);
    deployment.job(
        "groups",
        "SELECT StageName, COUNT(Id) n FROM Opportunity GROUP BY StageName",
        "g.csv",
        "",
    );
    let outcome = deployment.run(["check", "groups", "--json"]).ended(0);
    assert!(step(&outcome, "records")["what"].as_str().unwrap().contains("groups"));

    deployment.job("plain", SOQL, "p.csv", "");
    deployment.script(Rule::always(
        At::Containing("explain=".to_owned()),
        Fault::Answer {
            status: 400,
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: br#"[{"message":"no plans here","errorCode":"UNSUPPORTED"}]"#.to_vec(),
        },
    ));
    let outcome = deployment.run(["check", "plain", "--json"]).ended(0);
    assert_eq!(step(&outcome, "query")["outcome"], "warned");
    assert_eq!(step(&outcome, "records")["facts"]["records"], live(deployment.data(), "Account").len());
}

#[test]
fn the_columns_of_fields_are_those_that_the_org_describes() {
    let deployment = Deployment::new(10);
    deployment.job("all", "SELECT FIELDS(STANDARD) FROM Contact LIMIT 5", "all.csv", "");
    let outcome = deployment.run(["check", "--offline", "--json"]).ended(0);
    assert_eq!(step(&outcome, "columns")["outcome"], "skipped");
    let outcome = deployment.run(["check", "--json"]).ended(0);
    let columns = step(&outcome, "columns")["facts"]["columns"].clone();
    assert!(columns.as_array().unwrap().contains(&Value::from("LastName")), "{columns}");
    assert_eq!(step(&outcome, "records")["facts"]["records"], 5);
    let asked = deployment.requests_to("/services/data/v62.0/query");
    assert!(asked.iter().all(|request| {
        ["explain=", "columns=true", "COUNT%28%29"].iter().any(|part| request.query().contains(part))
    }));
}

#[test]
fn check_finds_the_right_audience() {
    let deployment = with_org(&[("audience", "https://wrong.example.com")]);
    deployment.job("accounts", SOQL, "accounts.csv", "");
    deployment.run(["run", "accounts"]).ended(77).says(&["audience is invalid", "https://wrong.example.com"]);
    assert_eq!(deployment.logins().len(), 1);

    let outcome = deployment.run(["check", "--json"]).ended(77);
    let login = step(&outcome, "login");
    assert_eq!(login["facts"]["works"]["audience"], "https://login.salesforce.com");
    assert!(hint(&login).contains("set audience = \"https://login.salesforce.com\""), "{}", hint(&login));
    // The run's login, the check's own, and the first pair that worked.
    assert_eq!(deployment.logins().len(), 3);
    // What follows is not tried, and said not to be.
    assert_eq!(step(&outcome, "query")["outcome"], "skipped");
}

#[test]
fn a_user_who_has_not_approved_gets_the_approval_page() {
    let deployment = with_org(&[("username", "somebody@example.com")]);
    let outcome = deployment.run(["check", "--json"]).ended(77);
    let login = step(&outcome, "login");
    let url = format!(
        "{}/services/oauth2/authorize?response_type=code&client_id={CLIENT_ID}\
         &redirect_uri=https%3A%2F%2Flocalhost%2F&scope=api%20refresh_token",
        deployment.org().url()
    );
    assert_eq!(login["facts"]["approval_url"], url);
    for part in ["somebody@example.com", "Permitted Users", "2 other combinations were refused too", &url] {
        assert!(hint(&login).contains(part), "{part:?} is not in {}", hint(&login));
    }
    assert!(login["facts"]["works"].is_null());
    // Itself and the two other audiences: on loopback nothing leaves the machine.
    assert_eq!(deployment.logins().len(), 3);
}

#[test]
fn a_key_of_another_app_does_not_try_other_hosts() {
    let deployment = Deployment::with(Options { public_key: String::new(), ..options(10) });
    let outcome = deployment.run(["check", "--json"]).ended(77);
    let login = step(&outcome, "login");
    assert!(hint(&login).contains("upload the certificate of this key"), "{}", hint(&login));
    assert!(login["facts"]["tried"].is_null());
    assert_eq!(deployment.logins().len(), 1);
    // Where the certificate at hand is this key's, it is the one to upload.
    deployment.write("mine.crt", &key_pair().certificate);
    deployment.write(
        "sfexport.toml",
        deployment.text("sfexport.toml").replace("key_file", "cert_file = \"mine.crt\"\nkey_file"),
    );
    let outcome = deployment.run(["check", "--json"]).ended(77);
    assert!(hint(&step(&outcome, "login")).contains("mine.crt to it, or set client_id"));
}

#[test]
fn an_unreachable_org_returns_status_69() {
    let deployment = with_org(&[("login_url", "http://127.0.0.1:9")]);
    let outcome = deployment.run(["check", "--json"]).ended(69);
    assert!(hint(&step(&outcome, "network")).contains("that its server is running"));
    assert_eq!(step(&outcome, "login")["outcome"], "skipped");
}

#[test]
fn an_unknown_api_version_is_reported_with_the_newest() {
    let deployment = with_org(&[("api_version", "99.0")]);
    let outcome = deployment.run(["check", "--json"]).ended(78);
    let version = step(&outcome, "api_version");
    assert!(hint(&version).contains("api_version = \"66.0\""), "{}", hint(&version));
}

#[test]
fn a_clock_that_is_off_by_hours_is_named() {
    let deployment = Deployment::new(10);
    deployment.script(Rule::once(
        At::Containing("/services/data".to_owned()),
        Fault::Answer {
            status: 200,
            headers: vec![("Date".to_owned(), "Sun, 22 Nov 2020 02:00:00 GMT".to_owned())],
            body: b"[]".to_vec(),
        },
    ));
    let outcome = deployment.run(["check", "--json"]).ended(0);
    let clock = step(&outcome, "clock");
    assert_eq!(clock["outcome"], "warned");
    assert!(clock["what"].as_str().unwrap().contains("seconds ahead of"), "{clock}");
}

#[test]
fn limits_that_are_used_up_are_75_and_a_job_that_is_too_large_for_the_rest_is_told() {
    let used_up = Deployment::with(Options { api_calls: (15_000, 15_000), ..options(10) });
    used_up.run(["check"]).ended(75);
    // 8 calls are left of 100, and each question takes one.
    let few = Deployment::with(Options { api_calls: (92, 100), ..options(30_000) });
    few.job("accounts", SOQL, "accounts.csv", "");
    let outcome = few.run(["check", "--json"]).ended(0);
    assert_eq!(step(&outcome, "limits")["outcome"], "warned");
    assert_eq!(step(&outcome, "records")["outcome"], "warned");
}

#[test]
fn check_warns_before_a_certificate_expires() {
    let deployment = with_org(&[("cert_file", "new.crt"), ("key_file", "new.key")]);
    deployment.run(["keygen", "--key", "new.key", "--days", "31"]).ended(0);
    let outcome = deployment.run(["check", "--offline", "--json"]).ended(0);
    assert_eq!(step(&outcome, "certificate")["outcome"], "passed");

    deployment.run(["keygen", "--key", "short.key", "--cert", "short.crt", "--days", "10"]).ended(0);
    let deployment_text = deployment.text("sfexport.toml").replace("new.", "short.");
    deployment.write("sfexport.toml", &deployment_text);
    let outcome = deployment.run(["check", "--offline", "--json"]).ended(0);
    let certificate = step(&outcome, "certificate");
    assert_eq!(certificate["outcome"], "warned");
    // It was made a moment ago, so of its tenth day a little is gone.
    assert_eq!(certificate["facts"]["days"], 9);

    deployment.write("sfexport.toml", deployment_text.replace("short.key", "new.key"));
    let outcome = deployment.run(["check", "--offline", "--json"]).ended(0);
    let certificate = step(&outcome, "certificate");
    assert_eq!(certificate["outcome"], "warned");
    assert!(
        certificate["what"].as_str().unwrap().contains("not the certificate of this key"),
        "{certificate}"
    );

    deployment.write("sfexport.toml", deployment_text.replace("short.", "new."));
    std::fs::remove_file(deployment.path("new.key")).unwrap();
    let outcome = deployment.run(["check", "--offline", "--json"]).ended(78);
    let certificate = step(&outcome, "certificate");
    assert_eq!(certificate["outcome"], "skipped");
    assert!(certificate["what"].as_str().unwrap().contains("cannot be compared"), "{certificate}");
}

#[test]
fn a_certificate_of_another_key_stops_no_login() {
    let at = with_org(&[("cert_file", "other.crt")]);
    at.run(["keygen", "--key", "other.key"]).ended(0);
    let outcome = at.run(["check", "--json"]).ended(0);
    assert_eq!(step(&outcome, "certificate")["outcome"], "warned");
    assert_eq!(step(&outcome, "login")["outcome"], "passed");
}

#[test]
fn a_quiet_check_shows_only_what_failed() {
    let deployment = with_org(&[]);
    let whole = deployment.run(["check", "--offline"]).ended(0);
    assert!(whole.stdout().contains("All checks passed"), "{}", whole.stdout());
    assert_eq!(deployment.run(["check", "--offline", "--quiet"]).ended(0).stdout(), "");

    deployment.job("accounts", SOQL, "accounts.csv", "schedule = \"0 25 * * *\"");
    let outcome = deployment.run(["check", "--offline", "--quiet"]).ended(78);
    assert!(
        outcome.stdout().contains("1 check failed") && !outcome.stdout().contains('✓'),
        "{}",
        outcome.stdout()
    );
}

#[test]
fn keygen_creates_a_private_key_and_overwrites_none() {
    let deployment = Deployment::new(10);
    let outcome =
        deployment.run(["keygen", "--key", "k.pem", "--subject", "CN=nightly,O=Example,C=de"]).ended(0);
    let mode = deployment.path("k.pem").metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let text = outcome.stdout();
    for part in
        ["k.pem", "k.crt", "External client app", "Connected app", "SHA-256", "[org]", "which expires on 20"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let (key, certificate) = (deployment.read("k.pem"), deployment.read("k.crt"));
    deployment
        .run(["keygen", "--key", "k.pem"])
        .ended(73)
        .says(&["k.pem already exists", "mv k.pem k.pem.old"]);
    // The certificate alone is enough to stop it, and then no key is left behind either.
    deployment
        .run(["keygen", "--key", "other.pem", "--cert", "k.crt"])
        .ended(73)
        .says(&["k.crt already exists"]);
    assert!(!deployment.path("other.pem").exists());
    assert_eq!((deployment.read("k.pem"), deployment.read("k.crt")), (key, certificate));
    deployment.run(["keygen", "--bits", "1024"]).ended(2).says(&["2048, 3072 or 4096"]);
    deployment.run(["keygen", "--days", "0"]).ended(2);

    // What is to be pasted is what the configuration takes.
    let pasted = text.split_once("[org]\n").unwrap().1.split_once("\n\n").unwrap().0;
    deployment.write(
        "sfexport.toml",
        format!(
            "[org]\n{}",
            pasted.replace("the Consumer Key", "3MVG9").replace("the user's Salesforce username", "u@e.x")
        ),
    );
    deployment.run(["check", "--offline"]).ended(0);
}

#[test]
fn the_init_that_keygen_prints_makes_a_configuration_of_its_files() {
    let at = Deployment::new(10);
    let fresh = at.path("fresh");
    std::fs::create_dir(&fresh).unwrap();
    let run = |arguments: &[&str]| at.outcome(at.command(arguments).current_dir(&fresh).output().unwrap());
    let printed = run(&["keygen"]).ended(0);
    let init = printed.stdout().lines().find_map(|line| line.strip_prefix("  sfexport init ")).unwrap();
    let init = init.replace("KEY", CLIENT_ID).replace("USERNAME", USERNAME).replace("URL", at.org().url());
    run(&["init"].into_iter().chain(init.split(' ')).collect::<Vec<_>>()).ended(0);
    run(&["check", "--offline"]).ended(0);
    // `init` looks for the key beside the configuration.
    let elsewhere = run(&["keygen", "--out", "keys"]).ended(0);
    assert!(!elsewhere.stdout().contains("sfexport init"), "{}", elsewhere.stdout());
}

#[test]
fn init_overwrites_nothing_and_check_names_what_is_missing() {
    let deployment = Deployment::new(10);
    let outcome = deployment.run(["init", "fresh"]).ended(0);
    for part in ["wrote fresh/sfexport.toml", "wrote fresh/jobs/accounts.toml", "sfexport keygen --out fresh"]
    {
        assert!(outcome.stdout().contains(part), "{part:?} is not in\n{}", outcome.stdout());
    }
    deployment.run(["keygen", "--out", "fresh"]).ended(0);
    let config = ["--config", "fresh/sfexport.toml"];
    let outcome = deployment.run(config.into_iter().chain(["check", "--offline"])).ended(78);
    for part in ["org.client_id: this key is not set", "org.username: this key is not set"] {
        assert!(outcome.stdout().contains(part), "{part:?} is not in\n{}", outcome.stdout());
    }
    let before = deployment.text("fresh/sfexport.toml");
    let again = deployment.run(["init", "fresh", "--username", "other@example.com"]).ended(0);
    for part in [
        "fresh/sfexport.toml already exists and was left as it is\n",
        "fresh/jobs/accounts.toml already exists and was left as it is\n",
        "\nnothing was written\n",
        "sfexport --config fresh/sfexport.toml check",
    ] {
        assert!(again.stdout().contains(part), "{part:?} is not in\n{}", again.stdout());
    }
    assert!(!again.stdout().contains("client_id") && !again.stdout().contains("wrote"), "{}", again.stdout());
    let again = again.says(&["--username had no effect, because the configuration already exists"]);
    assert!(!again.stderr.contains("--client-id"), "{}", again.stderr);
    assert!(!again.stderr.contains("--login-url"), "{}", again.stderr);
    let url = ["--login-url", "https://test.salesforce.com", "--client-id", "3MVG9demo"];
    let arguments = ["init", "fresh", "--username", "other@example.com"];
    deployment
        .run(arguments.into_iter().chain(url))
        .ended(0)
        .says(&["--login-url, --client-id and --username had no effect"]);
    deployment.run(["init", "fresh", "--login-url", url[1]]).ended(0).says(&["--login-url had no effect"]);
    assert_eq!(deployment.text("fresh/sfexport.toml"), before);
}

#[test]
fn init_refuses_an_address_that_is_no_login_url() {
    let deployment = Deployment::new(10);
    deployment
        .run(["init", "fresh", "--login-url", "mycompany.my.salesforce.com"])
        .ended(2)
        .says(&["it is not a URL; write \"https://mycompany.my.salesforce.com\""]);
    assert!(!deployment.path("fresh").exists());
}

#[test]
fn init_writes_its_options_and_valid_comments() {
    let deployment = Deployment::new(10);
    let url = deployment.org().url().to_owned();
    let given = ["--login-url", &url, "--client-id", CLIENT_ID, "--username", USERNAME];
    deployment.run(["init", "fresh"].into_iter().chain(given)).ended(0);
    deployment.write("fresh/server.key", &key_pair().key);
    deployment.write("fresh/server.crt", &key_pair().certificate);
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(deployment.path("fresh/server.key"), private).unwrap();
    let config = ["--config", "fresh/sfexport.toml"];
    deployment.run(config.into_iter().chain(["check"])).ended(0);
    let outcome = deployment.run(config.into_iter().chain(["run", "accounts", "--json"])).ended(0);
    assert_eq!(outcome.reports()[0]["records"], live(deployment.data(), "Account").len());

    // Without their #, the comments set what holds anyway.
    for file in ["fresh/sfexport.toml", "fresh/jobs/accounts.toml"] {
        let text = deployment.text(file);
        let is_key = |line: &str| {
            line.starts_with("#[")
                || (line.starts_with('#') && line.contains(" = ") && !line.contains(" = ..."))
        };
        let uncommented: Vec<_> = text
            .lines()
            .map(|line| if is_key(line) && !line.starts_with("# ") { &line[1..] } else { line })
            .collect();
        assert_ne!(uncommented.join("\n"), text);
        deployment.write(file, uncommented.join("\n"));
    }
    deployment.run(config.into_iter().chain(["check", "--offline"])).ended(0);
}

#[test]
fn whoami_says_who_and_where() {
    let deployment = Deployment::new(10);
    let outcome = deployment.run(["whoami"]).ended(0);
    for part in
        [USERNAME, &deployment.org().user_id(), &deployment.org().organization_id(), deployment.org().url()]
    {
        assert!(outcome.stdout().contains(part), "{part:?} is not in\n{}", outcome.stdout());
    }
    let outcome = deployment.run(["whoami", "--json"]).ended(0);
    let who: Value = serde_json::from_str(outcome.stdout()).unwrap();
    assert_eq!(who["organization_id"], deployment.org().organization_id());
    assert_eq!(who["scopes"], serde_json::json!(["api", "web"]));
    deployment.run(["whoami", "--user", "other@example.com"]).ended(77).says(&["other@example.com"]);
    deployment.run(["whoami", "--org", "defualt"]).ended(78).says(&["default"]);
    let misspelt =
        deployment.command(["whoami"]).env("SFEXPORT_ORG_USERNAME", "x@example.com").output().unwrap();
    deployment.outcome(misspelt).ended(0).says(&["SFEXPORT_ORG__USERNAME"]);
}

#[test]
fn a_token_is_printed_as_json_and_for_shells() {
    let deployment = Deployment::new(10);
    let quiet = deployment.command(["token"]).env_remove("SFEXPORT_LOG").output().unwrap();
    let outcome = deployment.outcome(quiet).ended(0);
    assert_eq!(outcome.stderr, "");
    let granted: Value = serde_json::from_str(outcome.stdout()).unwrap();
    assert!(granted["expires"].is_null());
    assert!(granted["expiry"].as_str().unwrap().contains("session timeout"));
    let shell = deployment.run(["token", "--shell"]).ended(0);
    let script = format!("{}printf '%s\\n%s\\n' \"$SF_ACCESS_TOKEN\" \"$SF_INSTANCE_URL\"", shell.stdout());
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (token, instance) = said.trim_end().split_once('\n').unwrap();

    for (token, instance) in [
        (granted["access_token"].as_str().unwrap(), granted["instance_url"].as_str().unwrap()),
        (token, instance),
    ] {
        let url = format!("{instance}/services/data/v62.0/limits");
        let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(url).bearer_auth(token);
        let status = deployment.block_on(async { answer.send().await.unwrap().status().as_u16() });
        assert_eq!(status, 200);
    }
}

#[test]
fn an_assertion_is_shown_without_any_request() {
    let deployment = Deployment::new(10);
    let outcome = deployment.run(["token", "--assertion", "--user", "other@example.com"]).ended(0);
    let shown: Value = serde_json::from_str(outcome.stdout()).unwrap();
    assert_eq!(shown["header"]["alg"], "RS256");
    assert_eq!(shown["claims"]["iss"], CLIENT_ID);
    assert_eq!(shown["claims"]["sub"], "other@example.com");
    assert_eq!(shown["claims"]["aud"], deployment.org().url());
    assert_eq!(shown["assertion"].as_str().unwrap().split('.').count(), 3);
    assert!(deployment.org().requests().is_empty());
}

#[test]
fn a_passing_fault_of_the_login_host_is_waited_out() {
    let deployment = Deployment::new(10);
    deployment.script(Rule::once(
        At::Login(1),
        Fault::Answer { status: 503, headers: Vec::new(), body: Vec::new() },
    ));
    deployment.run(["token"]).ended(0);
    assert_eq!(deployment.logins().len(), 2);
}

#[test]
fn the_schemas_take_what_is_right_and_refuse_what_is_wrong() {
    let deployment = Deployment::new(10);
    deployment.run(["init", "."]).ended(0);
    deployment.configure(
        "[orgs.emea]\nclient_id = \"3MVG9\"\nusername = \"u@e.x\"\nkey_file = \"k\"\ninstance_hosts = [\"a\", \"b\"]\n\
         [defaults]\nschedule = \"@daily\"\ncsv.bom = true\nafter = [\"up\", \"{path}\"]\n[daemon]\nhistory_keep = \"90 days\"\n[notify]\non = [\"failure\"]",
    );
    for (name, file) in [("config", "sfexport.toml"), ("job", "jobs/accounts.toml")] {
        let schema = deployment.run(["schema", name]).ended(0);
        deployment.write(&format!("{name}.schema.json"), schema.stdout());
        let instance: Value = toml::from_str(&deployment.text(file)).unwrap();
        deployment.write(&format!("{name}.json"), instance.to_string());
    }
    deployment.write(
        "wrong.json",
        r#"[["config", {"jobs_dri": "jobs"}], ["config", {"http": {"attempts": "5"}}],
            ["config", {"http": {"attempts": 0}}], ["config", {"http": {"idle_timeout": 10}}],
            ["config", {"org": {"key": "-----BEGIN"}}], ["config", {"orgs": {"EMEA": {}}}],
            ["config", {"orgs": {"emea": {"usrname": "x"}}}],
            ["config", {"defaults": {"soql": "x"}}], ["config", {"defaults": {"csv": {"bom": "yes"}}}],
            ["job", {"soql": "x", "output": "a.csv", "org": "a", "orgs": ["b"]}], ["job", {"output": "a.csv"}],
            ["job", {"soql": "x", "soql_file": "x", "output": "a.csv"}],
            ["job", {"soql": "x", "output": "a.csv", "overlap": "never"}],
            ["job", {"soql": "x", "output": "a.csv", "csv": {"bom": "yes"}}]]"#,
    );
    let script = "
import json, sys
try:
    from jsonschema import Draft202012Validator
except ImportError:
    sys.exit(9)
schemas = {name: json.load(open(f'{name}.schema.json')) for name in ('config', 'job')}
for name, schema in schemas.items():
    Draft202012Validator.check_schema(schema)
    errors = [error.message for error in Draft202012Validator(schema).iter_errors(json.load(open(f'{name}.json')))]
    assert not errors, (name, errors)
for name, instance in json.load(open('wrong.json')):
    assert not Draft202012Validator(schemas[name]).is_valid(instance), (name, instance)
";
    let output = Command::new("python3").args(["-c", script]).current_dir(deployment.path(".")).output();
    match output {
        Ok(output) if output.status.code() == Some(9) => support::skip("python3 has no jsonschema"),
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => support::skip("there is no python3"),
    }
}

#[test]
fn completions_and_manual_pages_have_every_command() {
    let deployment = Deployment::new(10);
    for shell in ["bash", "zsh", "fish"] {
        assert!(deployment.run(["completions", shell]).ended(0).stdout().contains("COMPLETE="), "{shell}");
    }
    deployment.run(["man", "--out", "pages"]).ended(0);
    let pages = deployment.names_below("pages");
    for page in ["sfexport.1", "sfexport-run.1", "sfexport-check.1", "sfexport.toml.5", "sfexport-job.5"] {
        assert!(pages.contains(&page.to_owned()), "{pages:?}");
    }
    let page = deployment.run(["man", "check"]).ended(0).stdout().to_owned();
    assert!(page.contains("offline"));
    let about = page.split(" \\- ").nth(1).unwrap().lines().next().unwrap();
    assert_eq!(page.matches(about).count(), 1, "the description is not repeated: {page}");
    deployment.run(["man", "chekc"]).ended(2);
    deployment.run(["keygem"]).ended(2).says(&["keygen"]);
    deployment.run(["check", "acounts"]).ended(78);
}

#[test]
fn a_shell_completes_commands_jobs_and_orgs() {
    let deployment = Deployment::new(10);
    deployment.job("accounts", SOQL, "accounts.csv", "");
    deployment.job("contacts", SOQL, "contacts.csv", "");
    let completed = |words: &[&str]| {
        let output = deployment
            .command(["--", "sfexport"].iter().chain(words))
            .env("COMPLETE", "bash")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["wh"]), ["whoami"]);
    assert_eq!(completed(&["run", "acc"]), ["accounts"]);
    assert_eq!(completed(&["history", "con"]), ["contacts"]);
    assert_eq!(completed(&["whoami", "--org", "def"]), ["default"]);
    // A configuration with a mistake completes no job, and says nothing about it.
    deployment.write("jobs/broken.toml", "soql = 7");
    assert_eq!(completed(&["run", "acc"]), Vec::<String>::new());
}

#[test]
fn a_dead_scratch_directory_is_found_before_a_run_finds_it() {
    let deployment = Deployment::new(1);
    let text = deployment.text("sfexport.toml");
    deployment.write("sfexport.toml", format!("scratch_dir = \"scratch\"\n{text}"));
    let outcome = deployment.run(["check", "--offline", "--json"]).ended(0);
    let said = step(&outcome, "state")["what"].as_str().unwrap().to_owned();
    assert!(
        said.ends_with(&format!("and {} can be written to", deployment.path("scratch").display())),
        "{said}"
    );
    assert_eq!(deployment.names_below("scratch"), Vec::<String>::new());
    deployment.write("occupied", "");
    deployment.write("sfexport.toml", format!("scratch_dir = \"occupied\"\n{text}"));
    let outcome = deployment.run(["check", "--offline", "--json"]).ended(73);
    let said = step(&outcome, "state")["what"].as_str().unwrap().to_owned();
    assert!(said.starts_with("cannot make a file in scratch_dir, "), "{said}");
}

#[test]
fn a_dead_state_directory_is_found_before_a_run_finds_it() {
    let deployment = Deployment::new(10);
    deployment.configure("");
    let text = deployment.text("sfexport.toml");
    deployment.write("sfexport.toml", format!("state_dir = \"occupied\"\n{text}"));
    deployment.write("occupied", "a file");
    let outcome = deployment.run(["check", "--offline", "--json"]).ended(73);
    assert_eq!(step(&outcome, "state")["outcome"], "failed");
}

/// A process that ends with its test, however that ends.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_new_user_exports_from_the_demo_org() {
    let directory = tempfile::tempdir().unwrap();
    let sfexport = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sfexport"));
        command.env_clear().current_dir(directory.path()).args(arguments).stdin(Stdio::null());
        command
    };
    let said = |arguments: &[&str]| {
        let output = sfexport(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    assert_eq!(said(&["keygen"]).0, Some(0));
    let serve = ["demo", "--serve", "--records", "20", "--certificate", "server.crt"];
    let mut org = Ended(sfexport(&serve).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(org.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut told: Vec<String> = Vec::new();
    while !told.last().is_some_and(|line| line.starts_with("The org runs")) {
        told.push(lines.next().expect("the org is up"));
    }
    let init = told.iter().find_map(|line| line.trim().strip_prefix("sfexport init ")).expect("the command");
    let init: Vec<&str> = ["init"].into_iter().chain(init.split(' ')).collect();
    assert_eq!(said(&init).0, Some(0));
    let (status, checked) = said(&["check"]);
    assert_eq!(status, Some(0), "{checked}");
    assert!(checked.ends_with("\nAll checks passed.\n"), "{checked}");
    let (status, ran) = said(&["run", "accounts"]);
    assert_eq!(status, Some(0), "{ran}");
    // The demo's own key still logs in, and a key that was not uploaded does not.
    assert_eq!(said(&["--config", "demo/sfexport.toml", "whoami"]).0, Some(0));
    assert_eq!(said(&["keygen", "--out", "other"]).0, Some(0));
    let mut refused = sfexport(&["whoami"]);
    refused.env("SFEXPORT_ORG__KEY_FILE", "other/server.key");
    assert_eq!(refused.output().unwrap().status.code(), Some(77));
}

#[test]
fn a_file_that_is_no_certificate_is_not_served() {
    let deployment = Deployment::new(10);
    deployment.write("no.crt", "certainly none");
    let serve = ["demo", "--serve", "--records", "1", "--certificate"];
    deployment.run(serve.iter().chain(&["no.crt"])).ended(1).says(&["certificate", "PEM"]);
    deployment.run(serve.iter().chain(&["missing.crt"])).ended(78).says(&["missing.crt"]);
}

/// Moves the cursor, begins a line, and turns the text around.
const FORGED: &str = "x\u{1b}[2K\nerror: forged\u{202e}y";
const SHOWN: &str = "x\\u{1b}[2K\\nerror: forged\\u{202e}y";

#[track_caller]
fn assert_nothing_hides(text: &str) {
    let hides = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(hides), "{text:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("error: forged")), "{text}");
}

#[test]
fn what_an_org_says_of_its_user_forges_nothing() {
    let deployment = Deployment::new(10);
    let body = serde_json::json!({
        "user_id": FORGED, "organization_id": FORGED, "preferred_username": FORGED, "name": FORGED,
        "user_type": FORGED
    });
    let userinfo = At::Containing("/services/oauth2/userinfo".to_owned());
    deployment.script(Rule::always(userinfo, Fault::body(body.to_string())));
    let versions = serde_json::json!([{"version": FORGED}, {"version": "62.0"}]);
    let versions = Fault::body(versions.to_string());
    deployment.script(Rule::always(At::Containing("/services/data".to_owned()), versions));
    for command in ["whoami", "check"] {
        let outcome = deployment.run([command]);
        assert!(outcome.stdout().contains(SHOWN), "{command}: {}", outcome.stdout());
        assert_nothing_hides(outcome.stdout());
        assert_nothing_hides(&outcome.stderr);
    }
    // A program gets what the org sent.
    let who: Value = serde_json::from_slice(&deployment.run(["whoami", "--json"]).ended(0).stdout).unwrap();
    assert_eq!(who["name"], FORGED);
}

#[test]
fn what_an_org_says_in_an_error_forges_no_line_of_a_log() {
    let deployment = Deployment::new(10);
    deployment.job("accounts", SOQL, "accounts.csv", "");
    // Tried again, so it is logged, then the failure itself.
    let page = At::Containing("/query".to_owned());
    deployment.script(Rule::always(page, Fault::error(503, "SERVER_UNAVAILABLE", FORGED)));
    let outcome = deployment.run(["run", "accounts"]).ended(69).says(&[SHOWN]);
    assert_nothing_hides(&outcome.stderr);
    let outcome = deployment.run(["run", "accounts", "--log-format", "json"]).ended(69);
    assert!(!outcome.stderr.contains('\u{202e}'), "{}", outcome.stderr);
    for line in outcome.stderr.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    assert_nothing_hides(deployment.run(["history"]).ended(0).stdout());
    assert_nothing_hides(deployment.run(["check", "accounts"]).stdout());
    // A history that somebody else wrote, in each text of it.
    let text = deployment.text("state/runs.jsonl");
    let mut report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    for key in ["job", "org", "error", "path", "hint"] {
        report[key] = FORGED.into();
    }
    deployment.write("state/runs.jsonl", format!("{report}\n"));
    for arguments in [&["history"][..], &["history", "--wide"], &["jobs"]] {
        assert_nothing_hides(deployment.run(arguments).ended(0).stdout());
    }
    assert!(deployment.run(["history"]).ended(0).stdout().contains(SHOWN));
}
