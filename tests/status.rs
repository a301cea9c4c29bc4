//! The status port as its readers see it: the overview, the page of a job and the metrics of a daemon that runs against
//! the embedded org.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sfexport::demo_org::{At, Fault, Options, Rule};
use sfexport::report::{RunId, RunReport, RunStatus};
use sfexport::state::State;
use support::daemon::{PATIENCE, Process, SOQL, ago, due, get, response, sample, wait_for};
use support::ear::Ear;
use support::{Deployment, live, options};

const LISTEN: &str = "[status]\nlisten = \"127.0.0.1:0\"";

/// A report of a run that began so many hours ago and took 90 seconds.
fn report(job: &str, hours: i64, status: RunStatus) -> RunReport {
    let started = ago(hours);
    let mut report = RunReport::begun(job, "default", RunId::new(started, 7), started);
    report.ended = started + SignedDuration::from_secs(90);
    report.status = status;
    report.exit_status = if status == RunStatus::Ok { 0 } else { 69 };
    report
}

/// Writes a history before a daemon starts, the oldest first.
fn past(at: &Deployment, reports: impl IntoIterator<Item = RunReport>) {
    let state = State::open(&at.path("state")).unwrap();
    for report in reports {
        state.append(&report).unwrap();
    }
}

/// The page once it holds this.
#[track_caller]
fn page_with(daemon: &Process, path: &str, part: &str) -> String {
    let port = daemon.status_port();
    let mut page = String::new();
    wait_for(|| {
        page = get(port, path).1;
        page.contains(part).then_some(())
    })
    .unwrap_or_else(|| panic!("{part} is not in:\n{page}"));
    page
}

/// Where each of these is in a page, which must be in this order.
#[track_caller]
fn assert_in_order(page: &str, parts: &[&str]) {
    let mut rest = page;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part} is missing or too early in:\n{page}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn the_status_port_shows_what_runs_ran_and_failed() {
    let at = Deployment::with(Options { page_size: 20, ..options(50) });
    at.configure("[status]\nlisten = \"127.0.0.1:0\"");
    due(&at, "accounts", "");
    due(&at, "refused", "retries = 0");
    at.job(
        "refused",
        "SELECT Nonsense__c FROM Contact",
        "refused/{job}.csv",
        "schedule = \"@hourly\"\nretries = 0",
    );
    due(&at, "hostile", "retries = 0");
    at.job("hostile", "SELECT Id FROM Opportunity", "hostile.csv", "schedule = \"@hourly\"\nretries = 0");
    let said = "no </td><script>alert('x')</script> & <img src=x>";
    at.script(Rule::always(At::Containing("Opportunity".into()), Fault::error(400, "MALFORMED_QUERY", said)));
    // The second page of the accounts waits until the progress has been looked at.
    let (looked, waits) = std::sync::mpsc::channel::<()>();
    let waits = std::sync::Mutex::new(waits);
    let wait = Fault::hook(move |_| {
        let _ = waits.lock().unwrap().recv_timeout(PATIENCE);
    });
    at.script(Rule::once(At::Containing("-20".into()), wait));
    let daemon = Process::start(&at);
    let port = daemon.status_port();
    let series = || -> Vec<String> {
        let metrics = get(port, "/metrics").1;
        let samples = metrics.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    let at_first = series();
    let running = "sfexport_run_in_progress{job=\"accounts\",org=\"default\"} 1\n";
    wait_for(|| get(port, "/metrics").1.contains(running).then_some(())).unwrap();
    let page =
        wait_for(|| Some(get(port, "/").1).filter(|page| page.contains("<progress value=\"20\""))).unwrap();
    assert!(page.contains("<meta http-equiv=\"refresh\"") && !page.contains("<script"));
    drop(looked);

    let ended = |metrics: &str, job: &str, result: &str| {
        metrics.contains(&format!("runs_total{{job=\"{job}\",org=\"default\",result=\"{result}\"}} 1\n"))
    };
    let all = [("accounts", "ok"), ("refused", "failed"), ("hostile", "failed")];
    let have_ended = |metrics: &str| all.iter().all(|(job, result)| ended(metrics, job, result));
    wait_for(|| have_ended(&get(port, "/metrics").1).then_some(())).unwrap();
    let (status, metrics) = get(port, "/metrics");
    assert_eq!(status, 200);
    assert_eq!(series(), at_first, "every series is there from the start");
    let count = live(at.data(), "Account").len();
    assert_eq!(sample(&metrics, "sfexport_records_total{job=\"accounts\",org=\"default\"}"), count as f64);
    let bytes = at.read("exports/accounts.csv").len();
    assert_eq!(sample(&metrics, "sfexport_bytes_total{job=\"accounts\",org=\"default\"}"), bytes as f64);
    assert_eq!(
        sample(&metrics, "sfexport_runs_total{job=\"refused\",org=\"default\",result=\"failed\"}"),
        1.0
    );
    assert_eq!(sample(&metrics, "sfexport_last_run_exit_status{job=\"refused\",org=\"default\"}"), 65.0);
    assert_eq!(
        sample(&metrics, "sfexport_last_success_timestamp_seconds{job=\"refused\",org=\"default\"}"),
        0.0
    );
    let requests = at.org().requests().len();
    let answered = |code: &str| {
        sample(&metrics, &format!("sfexport_http_requests_total{{org=\"default\",code=\"{code}\"}}"))
    };
    assert_eq!((answered("2xx") + answered("4xx"), answered("4xx")), (requests as f64, 2.0));
    assert_eq!((answered("3xx"), answered("5xx"), answered("none")), (0.0, 0.0, 0.0));
    assert_eq!(sample(&metrics, "sfexport_api_limit_allowed{org=\"default\"}"), 15_000.0);
    assert_eq!(sample(&metrics, "sfexport_api_limit_reserve{org=\"default\"}"), 0.0);
    let hour = 3600.0;
    let next = sample(&metrics, "sfexport_next_run_timestamp_seconds{job=\"accounts\",org=\"default\"}");
    assert!(next % hour == 0.0 && next > ago(0).as_second() as f64 - hour);
    // Nothing of a query and no path. Each family's help and type precede its samples, once.
    assert!(!metrics.contains("SELECT") && !metrics.contains("Nonsense") && !metrics.contains(".csv"));
    let mut families = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("# TYPE")) {
        *families.entry(line.split(' ').nth(2).unwrap()).or_insert(0) += 1;
    }
    assert!(families.values().all(|count| *count == 1) && families.len() > 15, "{families:?}");

    let (status, page) = get(port, "/");
    assert_eq!(status, 200);
    for part in ["accounts", "refused", "<b class=\"ok\">ok</b>", "Nonsense__c", "No such column"] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
    let escaped = "no &lt;/td&gt;&lt;script&gt;alert('…')&lt;/script&gt; &amp; &lt;img src=x&gt;";
    assert!(page.contains(escaped) && !page.contains("<script") && !page.contains("<img"), "{page}");
    assert!(page.contains("<title>2 failing, 3 jobs – sfexport</title>"), "{page}");
    assert_eq!(get(port, "/elsewhere").0, 404);
}

#[test]
fn failing_jobs_come_first_then_running_then_overdue() {
    let at = Deployment::new(20);
    at.configure(&format!("[daemon]\nmax_concurrent_runs = 1\n{LISTEN}"));
    at.job("a-calm", SOQL, "{job}.csv", "schedule = \"@yearly\"");
    at.job("b-off", SOQL, "{job}.csv", "schedule = \"@yearly\"\nenabled = false");
    at.job("y-failed-first", SOQL, "{job}.csv", "schedule = \"@yearly\"");
    at.job("z-failed-last", SOQL, "{job}.csv", "schedule = \"@yearly\"");
    // Both are due since the same hour, so the first by name runs, and the other has no room.
    due(&at, "w-running", "");
    due(&at, "x-late", "");
    let said = "the org is\nfor ever away";
    let failed = |job, hours| {
        let mut report = report(job, hours, RunStatus::Failed);
        report.error = Some(said.to_owned());
        report.hint = Some("try later".to_owned());
        report
    };
    past(
        &at,
        [
            failed("a-calm", 40),
            report("a-calm", 30, RunStatus::Ok),
            failed("y-failed-first", 20),
            failed("z-failed-last", 10),
        ],
    );
    at.script(Rule::once(At::Page(1), Fault::Late(Duration::from_secs(20))));
    let daemon = Process::start(&at);
    // A run is not shown as running before it has begun.
    let page = page_with(&daemon, "/", "1 overdue, 1 running");
    assert!(page.contains("<title>2 failing, 1 overdue, 1 running, 6 jobs – sfexport</title>"), "{page}");
    let link = |job: &str| format!("<a href=\"/jobs/{job}\">{job}</a>");
    let parts = [
        "<h2>Failing</h2>",
        &link("z-failed-last"),
        "no success yet",
        "<div class=\"what\">the org is\nfor ever away</div><p class=\"hint\">try later</p>",
        &link("y-failed-first"),
        "<h2>Running</h2>",
        &link("w-running"),
        "<h2>Overdue</h2>",
        &link("x-late"),
        "due</b> since ",
        "<h2>Other jobs</h2>",
        &link("a-calm"),
        "<b class=\"ok\">ok</b>",
        &link("b-off"),
        "<span class=\"soft\">disabled</span>",
        "<h2>Earlier failures</h2>",
        &link("a-calm"),
        "</main>",
    ];
    assert_in_order(&page, &parts);
    for job in ["y-failed-first", "w-running", "x-late", "b-off"] {
        assert_eq!(page.matches(&link(job)).count(), 1, "{job} is shown once");
    }
}

#[test]
fn a_jobs_page_shows_what_it_exports_and_its_last_runs() {
    let at = Deployment::new(20);
    at.configure(LISTEN);
    let soql = "SELECT Id\n  FROM Account\n WHERE Name != 'canary' AND NumberOfEmployees > 4711 LIMIT 2000";
    let more = "schedule = \"30 2 1 * *\"\ntimezone = \"Asia/Tokyo\"\nretries = 1\nretry_after = \"5m\"";
    at.job("accounts", soql, "accounts/{date}.csv", more);
    at.job("other", SOQL, "other.csv", "");
    let mut well = report("accounts", 60, RunStatus::Ok);
    (well.records, well.total, well.bytes) = (1_234_567, Some(1_234_567), 45_600_000);
    well.warnings = vec!["columns have changed".to_owned()];
    let mut failed = report("accounts", 36, RunStatus::Failed);
    (failed.records, failed.total) = (2_000, Some(9_000));
    failed.error = Some("the org refused 'canary'".to_owned());
    failed.error_redacted = Some("the org refused '…'".to_owned());
    failed.hint = Some("mend it".to_owned());
    let mut missed = report("accounts", 12, RunStatus::Missed);
    missed.scheduled = Some("2026-03-01T17:30:00Z".parse().unwrap());
    missed.error = Some("not run: too late".to_owned());
    let began = well.started;
    past(&at, [well, report("other", 48, RunStatus::Ok), failed, missed]);
    let daemon = Process::start(&at);
    let page = page_with(&daemon, "/jobs/accounts", "the org refused");
    let tokyo = began.to_zoned(TimeZone::get("Asia/Tokyo").unwrap());
    let local = format!(
        "<time datetime=\"{}\" title=\"{} UTC\">{} JST</time><small>2 d ago</small>",
        began.strftime("%Y-%m-%dT%H:%M:%SZ"),
        began.strftime("%Y-%m-%d %H:%M:%S"),
        tokyo.strftime("%Y-%m-%d %H:%M"),
    );
    assert_in_order(
        &page,
        &[
            "<title>accounts: last run failed – sfexport</title>",
            "<a href=\"/\">All jobs</a>",
            "<h1>accounts</h1><p class=\"counts\"><span class=\"bad\">last run failed</span>",
            "<dt>Next run</dt><dd><time datetime=\"",
            "T17:30:00Z\"",
            "02:30 JST</time>",
            "<dt>Schedule</dt><dd>on day 1 of each month at 02:30<small>Asia/Tokyo</small>",
            "<small><code>30 2 1 * *</code></small>",
            "<small>1 retry, 5 min after a failure</small>",
            "<dt>Last success</dt><dd><time",
            "<dt>Output</dt><dd><code>accounts/{date}.csv</code><small>CSV</small>",
            "<dt>Org</dt><dd>default",
            "<pre><code>SELECT Id\n  FROM Account\n WHERE Name != '…' AND NumberOfEmployees &gt; … LIMIT 2000</code></pre>",
            // The newest first. What was not run has the time that it was due at.
            "2026-03-02 02:30 JST</time>",
            "<b class=\"soft\">missed</b>",
            "not run: too late",
            "<b class=\"bad\">failed</b><small>exit status 69</small>",
            "1 min 30 s",
            "2,000 of 9,000",
            "<div class=\"what\">the org refused '…'</div><p class=\"hint\">mend it</p>",
            &local,
            "<b class=\"ok\">ok</b>",
            "1,234,567</td>",
            "46 MB</td>",
            "warning: </b>columns have changed",
        ],
    );
    assert!(!page.contains("canary") && !page.contains("4711"), "{page}");
    assert_eq!(page.matches("rowheader").count(), 3, "the runs of other jobs are not among them");
}

#[test]
fn a_jobs_name_in_a_path_may_be_percent_encoded() {
    let at = Deployment::new(20);
    at.configure(LISTEN);
    at.job("nightly-all.v2", SOQL, "a.csv", "");
    let daemon = Process::start(&at);
    let port = daemon.status_port();
    page_with(&daemon, "/", "<a href=\"/jobs/nightly-all.v2\">nightly-all.v2</a>");
    for path in ["/jobs/nightly-all.v2", "/jobs/nightly%2Dall%2ev2"] {
        let (status, page) = get(port, path);
        assert_eq!((status, page.contains("<h1>nightly-all.v2</h1>")), (200, true), "{path}");
    }
}

#[test]
fn an_unknown_job_is_not_found_and_its_name_forges_nothing() {
    let at = Deployment::new(20);
    at.configure(LISTEN);
    at.job("accounts", SOQL, "a.csv", "");
    let daemon = Process::start(&at);
    page_with(&daemon, "/", "accounts");
    let port = daemon.status_port();
    let long = "x".repeat(5_000);
    for (name, shown) in [
        ("nobody", "<bdi>nobody</bdi>"),
        ("ACCOUNTS", "<bdi>ACCOUNTS</bdi>"),
        ("accounts%00", "<bdi>accounts\\u{0}</bdi>"),
        ("..%2F..%2Fetc", "<bdi>../../etc</bdi>"),
        ("%3Cscript%3E%E2%80%AE", "<bdi>&lt;script&gt;\\u{202e}</bdi>"),
        ("%FF", "<bdi>?</bdi>"),
        (long.as_str(), &format!("<bdi>{}…</bdi>", "x".repeat(100))),
    ] {
        let (status, page) = get(port, &format!("/jobs/{name}"));
        assert_eq!(status, 404, "{name}");
        assert!(page.contains(shown), "{shown} is not in:\n{page}");
    }
    assert_eq!(get(port, "/jobs/").0, 404);
    let (head, body) = response(port, "/jobs/accounts", "rebound.evil.example");
    assert_eq!((head.contains(" 421 "), body.contains("accounts")), (true, false), "{head}");
}

#[test]
fn a_page_may_apply_its_own_style_and_nothing_else() {
    let at = Deployment::new(20);
    at.configure(LISTEN);
    at.job("accounts", SOQL, "a.csv", "");
    let daemon = Process::start(&at);
    for path in ["/", "/jobs/accounts", "/jobs/nobody"] {
        page_with(&daemon, path, "</html>");
        let (head, page) = response(daemon.status_port(), path, "localhost");
        let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = digest::digest(&digest::SHA256, style.as_bytes());
        let hash = base64::engine::general_purpose::STANDARD.encode(hash);
        let policy = format!(
            "content-security-policy: default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'\r\n"
        );
        assert!(head.contains(&policy), "{path}: {head}");
        for header in
            ["x-content-type-options: nosniff", "referrer-policy: no-referrer", "cache-control: no-store"]
        {
            assert!(head.contains(header), "{path}: {head}");
        }
        for forbidden in ["<script", "<link", "<img", " style=", "http://", "https://", "url("] {
            assert!(!page.contains(forbidden), "{forbidden} is in {path}");
        }
    }
}

#[test]
fn a_hostile_history_forges_nothing_on_the_pages() {
    let at = Deployment::new(20);
    at.configure(LISTEN);
    at.job("accounts", SOQL, "a.csv", "");
    let hostile = "</td><script>alert(1)</script>\u{202e}\u{1b}[2K&\"";
    let shown = "&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}\\u{1b}[2K&amp;&quot;";
    let mut failed = report("accounts", 5, RunStatus::Failed);
    failed.error = Some(hostile.to_owned());
    failed.hint = Some(hostile.to_owned());
    failed.warnings = vec![hostile.to_owned()];
    (failed.records, failed.total, failed.bytes) = (u64::MAX, Some(u64::MAX), u64::MAX);
    (failed.started, failed.ended) = (Timestamp::MAX, Timestamp::MIN);
    let mut huge = report("accounts", 6, RunStatus::Failed);
    huge.error = Some("é".repeat(400_000));
    past(&at, [report(hostile, 7, RunStatus::Failed), huge, failed]);
    let daemon = Process::start(&at);
    let page = page_with(&daemon, "/jobs/accounts", shown);
    assert_eq!(page.matches(shown).count(), 3, "error, hint and warning");
    assert_eq!(page.matches('é').count(), 1_000);
    let overview = page_with(&daemon, "/", shown);
    for page in [page, overview] {
        assert!(!page.contains("<script") && !page.contains(['\u{202e}', '\u{1b}']), "{page}");
        assert!(page.len() < 40_000, "{} bytes", page.len());
    }
}

#[test]
fn a_thousand_jobs_with_a_long_history_are_shown_at_once() {
    let at = Deployment::new(20);
    at.configure(LISTEN);
    let mut reports = Vec::new();
    for number in 0..1_000 {
        at.job(&format!("job-{number:04}"), SOQL, "{job}.csv", "schedule = \"@yearly\"");
        for hours in (1..=25).rev() {
            let mut report = report(&format!("job-{number:04}"), hours, RunStatus::Failed);
            report.error = Some("x".repeat(3_000));
            reports.push(report);
        }
    }
    let lines: Vec<_> = reports.iter().map(|report| serde_json::to_string(report).unwrap()).collect();
    at.write("state/runs.jsonl", lines.join("\n") + "\n");
    let daemon = Process::start(&at);
    let page = page_with(&daemon, "/", "<title>1,000 failing, 1,000 jobs – sfexport");
    assert_eq!(page.matches("rowheader").count(), 100);
    assert!(page.contains("These are the first 100 of 1,000."), "{page}");
    assert!(page.len() < 150_000, "{} bytes", page.len());
    let page =
        page_with(&daemon, "/orgs/default", "<title>org default: 1,000 failing, 1,000 jobs – sfexport");
    assert_eq!(page.matches("rowheader").count(), 1_000);
    assert!(page.len() < 1_500_000, "{} bytes", page.len());
    let page = page_with(&daemon, "/jobs/job-0999", "These are the last 20.");
    assert_eq!(page.matches("rowheader").count(), 20);
    assert!(page.len() < 60_000, "{} bytes", page.len());
}

#[test]
fn a_refused_configuration_shows_no_values_of_its_query() {
    let at = Deployment::new(20);
    at.configure(LISTEN);
    at.job("accounts", SOQL, "a.csv", "schedule = \"@yearly\"");
    let mut daemon = Process::start(&at);
    daemon.status_port();
    at.job("accounts", "SELECT Id 'canary' FROM Account", "a.csv", "");
    daemon.signal("HUP");
    let page = page_with(&daemon, "/", "The configuration has changed and is not valid.");
    let shown =
        "jobs/accounts.toml:1: soql: this is not valid\n  hint: run `sfexport check --offline` to see where";
    assert!(page.contains(shown) && !page.contains("canary"), "{page}");
    // The page has it before the log does.
    daemon.says("canary");
    at.write("jobs/accounts.toml", "soql = SELECT Id\n");
    daemon.signal("HUP");
    let page = page_with(&daemon, "/", "jobs/accounts.toml:1:8: this is not valid");
    assert!(!page.contains("write soql ="), "{page}");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn a_run_by_hand_is_shown_too() {
    let at = Deployment::new(20);
    at.configure(LISTEN);
    due(&at, "accounts", "retries = 0");
    at.script(Rule::once(At::Page(1), Fault::error(400, "MALFORMED_QUERY", "unexpected token")));
    let daemon = Process::start(&at);
    page_with(&daemon, "/", "<title>1 failing, 1 job");
    at.run(["run", "accounts"]).ended(0);
    page_with(&daemon, "/", "<title>1 job, none failing");
    let page = page_with(&daemon, "/jobs/accounts", "<h1>accounts</h1>");
    assert_in_order(
        &page,
        &[
            "<span class=\"ok\">last run succeeded</span>",
            "<b class=\"ok\">ok</b>",
            "<b class=\"bad\">failed</b>",
            "</table>",
        ],
    );
    assert_eq!(
        page.matches("<b class=\"bad\">failed</b>").count(),
        1,
        "the daemon's own runs are shown once"
    );
    let metrics = get(daemon.status_port(), "/metrics").1;
    assert_eq!(sample(&metrics, "sfexport_runs_total{job=\"accounts\",org=\"default\",result=\"ok\"}"), 0.0);
}

#[test]
fn a_repair_by_hand_is_reported_once() {
    let ear = Ear::listen();
    let at = Deployment::new(20);
    at.configure(&format!("{LISTEN}\n[notify]\nwebhook = \"{}/hook\"\non = [\"every\"]", ear.url));
    due(&at, "accounts", "retries = 1\nretry_after = \"9s\"");
    // Five attempts of one run.
    at.script(Rule::times(At::Page(1), 5, Fault::error(503, "SERVER_UNAVAILABLE", "maintenance")));
    let mut daemon = Process::start(&at);
    page_with(&daemon, "/", "<title>1 failing, 1 job");
    at.run(["run", "accounts"]).ended(0);
    page_with(&daemon, "/", "<title>1 job, none failing");
    wait_for(|| (ear.heard().len() == 3).then_some(())).unwrap();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    let events: Vec<_> = ear
        .heard()
        .iter()
        .map(|(_, body)| serde_json::from_str::<serde_json::Value>(body).unwrap()["event"].clone())
        .collect();
    // The last one is the daemon's retry.
    assert_eq!(events, ["failure", "recovery", "success"]);
}

#[test]
fn a_job_that_a_reload_adds_brings_its_history() {
    let at = Deployment::new(20);
    at.configure(LISTEN);
    at.job("accounts", SOQL, "a.csv", "");
    let old = report("contacts", 50, RunStatus::Ok);
    let ended = old.ended;
    past(&at, [old, report("contacts", 20, RunStatus::Failed)]);
    let daemon = Process::start(&at);
    page_with(&daemon, "/", "<title>1 job, none failing");
    at.job("contacts", SOQL, "c.csv", "");
    daemon.signal("HUP");
    page_with(&daemon, "/", "<title>1 failing, 2 jobs");
    let metrics = get(daemon.status_port(), "/metrics").1;
    let success =
        sample(&metrics, "sfexport_last_success_timestamp_seconds{job=\"contacts\",org=\"default\"}");
    assert_eq!(success, ended.as_millisecond() as f64 / 1_000.0);
}

#[test]
fn the_page_of_an_objects_job_shows_its_fields_and_condition() {
    let at = Deployment::new(20);
    at.configure(LISTEN);
    let fields = "fields = [\"!*__c\", \"Owner.Name\"]\nwhere = \"Name != 'canary'\"";
    at.write("jobs/accounts.toml", format!("object = \"Account\"\n{fields}\noutput = \"a.csv\""));
    let daemon = Process::start(&at);
    let page = page_with(&daemon, "/jobs/accounts", "<h2>Object</h2>");
    let shown = "<pre><code>object: Account\nfields: *, !*__c, Owner.Name\nwhere:  Name != '…'</code></pre>";
    assert!(page.contains(shown) && !page.contains("canary"), "{page}");
}
