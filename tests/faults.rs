//! Nothing is lost, whatever the org and the wire do: faults injected at each step of a run, decided by comparing
//! files. Either the output is byte for byte that of the undisturbed run, or the run failed with the status that
//! DESIGN's table gives the fault, the former file stands and no stage is left.
//!
//! The matrix runs the engine in this process, with a clock whose waits end at once; what needs a process (signals,
//! locks, memory) runs the binary.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sfexport::clock::{self, Clock, TestClock};
use sfexport::config::{self, Config, Selection, Sources};
use sfexport::demo_org::{At, DataSet, DemoOrg, Fault, Framing, Options, Request, Row, Rule, Value};
use sfexport::error::{Exit, Failure};
use sfexport::export::{Edges, Extent, Run, Slots, export};
use sfexport::http::Http;
use sfexport::job::{IfExists, Job};
use sfexport::monitor::Silent;
use sfexport::org::Org;
use sfexport::output::LocalFile;
use sfexport::report::{RunId, RunReport};
use sfexport::retry::RetryPolicy;
use sfexport::state::State;
use sfexport::stop::Stop;
use support::{Deployment, assert_same, cell, csv, inode, json, live, value};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const FORMER: &[u8] = b"Id,Name\nthe former export\n";
const FIELDS: [&str; 3] = ["Id", "Name", "Site"];
/// Of 31 accounts one is deleted: pages of 8, 8, 8 and 6 records.
const RECORDS: usize = 31;
const PAGE: usize = 8;
/// The attempts of every request in the matrix.
const ATTEMPTS: u32 = 3;

/// Where in a run a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Login,
    First,
    Middle,
    Last,
}

const PAGES: [Step; 3] = [Step::First, Step::Middle, Step::Last];

impl Step {
    fn at(self) -> At {
        match self {
            Self::Login => At::Login(1),
            // By their targets, which stay the same however often a page is asked for.
            Self::First => At::Containing("/query?q=".to_owned()),
            Self::Middle => At::Containing("-8".to_owned()),
            Self::Last => At::Containing("-24".to_owned()),
        }
    }
}

/// What must have become of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// With this status, the former file untouched.
    Failed(u8),
    /// Either: which one depends on what was on its way at the time.
    WholeOr(u8),
}

/// What is exported in the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Csv,
    Jsonl,
    /// Child records in a column.
    Children,
    /// Child records in a file of their own, published together with the main one.
    Files,
}

#[derive(Debug)]
struct Case {
    name: String,
    what: What,
    rules: Vec<Rule>,
    end: End,
    settings: Wire,
}

/// How the wire is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Plain,
    Gzip,
    /// Time-outs that a test can wait for.
    Impatient,
}

impl Case {
    fn new(name: impl Into<String>, rules: impl IntoIterator<Item = Rule>, end: End) -> Self {
        let rules = rules.into_iter().collect();
        Self { name: name.into(), what: What::Csv, rules, end, settings: Wire::Plain }
    }

    fn of(mut self, what: What) -> Self {
        self.what = what;
        self
    }

    fn over(mut self, settings: Wire) -> Self {
        self.settings = settings;
        self
    }
}

/// What all cases of a matrix share.
struct Matrix {
    directory: TempDir,
    config: Config,
    http: [Arc<Edges>; 3],
    expected: [Files; 4],
    clock: Arc<TestClock>,
}

/// What this process has logged at the most talkative level, all crates' events, and not been looked through.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static LOOKED_THROUGH: AtomicUsize = AtomicUsize::new(0);

struct ToLog;

impl std::io::Write for ToLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn log_everything() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let level = tracing_subscriber::filter::LevelFilter::TRACE;
        tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(|| ToLog).init();
    });
}

/// No secret is in it.
fn look_through_the_log() {
    let log = std::mem::take(&mut *LOG.lock().unwrap());
    LOOKED_THROUGH.fetch_add(log.len(), Ordering::Relaxed);
    let log = String::from_utf8_lossy(&log);
    assert_eq!(support::secret_in(&log), None);
    assert!(LOOKED_THROUGH.load(Ordering::Relaxed) > 10_000, "nothing was logged");
}

impl Matrix {
    fn new() -> Self {
        log_everything();
        // Flushing to memory takes no time; what flushing is worth is another test's question.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let config = configuration(directory.path());
        let clock = Arc::new(TestClock::new(Timestamp::now()));
        let edges = |wire: Wire| {
            let mut settings = config.settings.http.clone();
            settings.gzip = wire == Wire::Gzip;
            settings.page_cap = 1 << 20;
            if wire == Wire::Impatient {
                settings.idle_timeout = Duration::from_millis(120);
                settings.request_timeout = Duration::from_millis(400);
            }
            edges(settings, Arc::clone(&clock) as _, None)
        };
        let http = [edges(Wire::Plain), edges(Wire::Gzip), edges(Wire::Impatient)];
        let data = DataSet::new(RECORDS);
        let expected =
            [What::Csv, What::Jsonl, What::Children, What::Files].map(|what| expected(&data, what));
        Self { directory, config, http, expected, clock }
    }

    fn job(&self, what: What) -> Arc<Job> {
        let name = ["csv", "jsonl", "children", "files"][what as usize];
        Arc::new(self.config.jobs.iter().find(|job| job.name.as_str() == name).unwrap().clone())
    }

    /// Runs every case, some at once, and gives how many there were; panics with all that went wrong.
    async fn run(self, cases: Vec<Case>) -> usize {
        let count = cases.len();
        let matrix = Arc::new(self);
        let room = Arc::new(Semaphore::new(6));
        let mut running = JoinSet::new();
        for (number, case) in cases.into_iter().enumerate() {
            let permit = Arc::clone(&room).acquire_owned().await.unwrap();
            let matrix = Arc::clone(&matrix);
            running.spawn(async move {
                let wrong = matrix.case(number, &case).await;
                drop(permit);
                wrong.map(|wrong| format!("{} ({:?}, {:?}): {wrong}", case.name, case.what, case.settings))
            });
        }
        let wrong: Vec<String> = running.join_all().await.into_iter().flatten().collect();
        look_through_the_log();
        assert!(wrong.is_empty(), "{} of {count} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
        count
    }

    /// Runs a case; gives what went wrong.
    async fn case(&self, number: usize, case: &Case) -> Option<String> {
        let org = start(case.what).await;
        for rule in &case.rules {
            org.script(rule.clone());
        }
        let directory = self.directory.path().join(number.to_string());
        fs::create_dir(&directory).unwrap();
        // Every third case has no former file.
        if !number.is_multiple_of(3) {
            self.write_former(case.what, &directory);
        }
        let former = Standing::of(&directory);
        let report = self.export(&org, case, &directory.join("export.csv")).await;
        let wrong = self.judge(case, &report, &former, &Standing::of(&directory));
        fs::remove_dir_all(&directory).unwrap();
        wrong
    }

    fn write_former(&self, what: What, directory: &Path) {
        for name in self.expected[what as usize].keys() {
            fs::write(directory.join(name), FORMER).unwrap();
        }
    }

    async fn export(&self, org: &DemoOrg, case: &Case, path: &Path) -> RunReport {
        let edges = &self.http[case.settings as usize];
        let run = run(&self.config, org, self.job(case.what), path);
        let (_sender, stop) = Stop::new();
        export(run, edges, &stop).await.report
    }

    /// What is wrong with a run's end; a stage that is left makes a directory that is neither.
    fn judge(&self, case: &Case, report: &RunReport, former: &Standing, found: &Standing) -> Option<String> {
        let told = format!("status {}, {:?}", report.exit_status, report.error);
        let whole = serde_json::to_string(report).unwrap();
        if let Some(secret) = support::secret_in(&whole) {
            return Some(format!("the report holds {secret}: {whole}"));
        }
        if whole.contains("canary") {
            return Some(format!("the report holds the query's text: {whole}"));
        }
        let is_whole = found.files == self.expected[case.what as usize];
        let is_former = found == former;
        let as_told = match report.exit_status {
            0 => is_whole,
            _ => is_former && report.error.is_some(),
        };
        if !as_told {
            let sizes: Vec<_> = found.files.iter().map(|(name, bytes)| (name, bytes.len())).collect();
            return Some(format!("whole: {is_whole}, as before: {is_former}, {sizes:?}; {told}"));
        }
        let as_expected = match case.end {
            End::Whole => is_whole && report.exit_status == 0,
            End::Failed(status) => is_former && report.exit_status == status,
            End::WholeOr(status) => is_whole || report.exit_status == status,
        };
        (!as_expected).then(|| format!("{:?} was expected; {told}", case.end))
    }
}

/// Files by their names.
type Files = BTreeMap<String, Vec<u8>>;

/// What a directory holds.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    files: Files,
    inodes: Vec<u64>,
}

impl Standing {
    fn of(directory: &Path) -> Self {
        let mut standing = Self { files: Files::new(), inodes: Vec::new() };
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            standing.inodes.push(inode(&path));
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            standing.files.insert(name, fs::read(path).unwrap());
        }
        standing.inodes.sort_unstable();
        standing
    }
}

fn configuration(directory: &Path) -> Config {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "sfexport.toml",
        &format!(
            "[org]\nclient_id = \"{}\"\nusername = \"{}\"\nlogin_url = \"http://127.0.0.1:1\"\n{}",
            support::CLIENT_ID,
            support::USERNAME,
            support::ON_REST
        ),
    );
    // A literal that no failure may repeat.
    let plain = "SELECT Id, Name, Site FROM Account WHERE Name != 'canary'";
    let children = "SELECT Id, (SELECT Id, LastName FROM Contacts) FROM Account WHERE Name != 'canary'";
    for (name, soql, more) in [
        ("csv.csv", plain, ""),
        ("jsonl.jsonl", plain, ""),
        ("children.csv", children, ""),
        ("files.csv", children, "children = \"files\""),
    ] {
        let stem = name.split('.').next().unwrap();
        let text = format!("soql = \"{soql}\"\noutput = \"{name}\"\n{more}\n");
        write(&format!("jobs/{stem}.toml"), &text);
    }
    let sources = Sources {
        environment: vec![("SFEXPORT_ORG__KEY".into(), support::key_pair().key.clone().into())],
        working_dir: directory.to_owned(),
        ..Sources::default()
    };
    config::load(&sources, &Selection::All).unwrap()
}

fn edges(settings: config::Http, clock: Arc<dyn Clock>, state: Option<State>) -> Arc<Edges> {
    Arc::new(Edges {
        batch_size: settings.batch_size,
        http: Http::new(settings),
        clock,
        monitor: Arc::new(Silent),
        retry: RetryPolicy { attempts: ATTEMPTS, wait_min: Duration::ZERO, wait_max: Duration::ZERO },
        scratch_dir: std::env::temp_dir(),
        state,
        slots: Slots::default(),
    })
}

async fn start(what: What) -> DemoOrg {
    let page_size = if matches!(what, What::Children | What::Files) { 2 } else { PAGE };
    DemoOrg::start(Options { page_size, ..support::options(RECORDS) }).await.unwrap()
}

fn run(config: &Config, org: &DemoOrg, job: Arc<Job>, path: &Path) -> Run {
    let url = org.url().to_owned();
    let org = Org { login_url: url.clone(), audience: url, ..config.org(None).unwrap().clone() };
    let output = LocalFile::new(path, IfExists::Replace, None).unwrap();
    Run {
        job,
        org: Arc::new(org),
        id: RunId::new(Timestamp::now(), 1),
        scheduled: None,
        output: output.into(),
        extent: Extent::Whole,
        resumes: false,
        wants_full: false,
        timestamp: Timestamp::now(),
        part: None,
    }
}

/// The undisturbed export, out of the data set.
fn expected(data: &DataSet, what: What) -> Files {
    let rows = live(data, "Account");
    let children = |row: &Row<'_>| -> Vec<(String, Value)> {
        let children = row.children("Contacts").into_iter().filter(|row| !row.is_deleted());
        children.map(|row| (row.id().to_string(), value(row, "LastName"))).collect()
    };
    let main = match what {
        What::Csv => csv(&FIELDS, &rows),
        What::Jsonl => rows
            .iter()
            .map(|row| {
                let fields =
                    FIELDS.map(|field| format!("\"{field}\":{}", json(&value(*row, field)))).join(",");
                format!("{{{fields}}}\n")
            })
            .collect::<String>()
            .into_bytes(),
        What::Children => {
            let list = |row: &Row<'_>| {
                let one =
                    |(id, name): &(String, Value)| format!("{{\"Id\":\"{id}\",\"LastName\":{}}}", json(name));
                let list: Vec<String> = children(row).iter().map(one).collect();
                if list.is_empty() { String::new() } else { format!("[{}]", list.join(",")) }
            };
            let cells = rows.iter().map(|row| vec![row.id().to_string(), list(row)]);
            support::csv_of(&["Id", "Contacts"], cells)
        }
        What::Files => csv(&["Id"], &rows),
    };
    let mut files = Files::from([("export.csv".to_owned(), main)]);
    if what == What::Files {
        let cells = rows.iter().flat_map(|row| {
            let parent = row.id().to_string();
            children(row).into_iter().map(move |(id, name)| vec![parent.clone(), id, cell(&name)])
        });
        let of_children = support::csv_of(&["Account.Id", "Id", "LastName"], cells);
        files.insert("export.Contacts.csv".to_owned(), of_children);
    }
    files
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn html(status: u16) -> Fault {
    Fault::html(status, "<html><body>We are down for maintenance.</body></html>")
}

/// Faults that may pass: once they do no harm, for ever they end with this status (at a page, at the login).
fn passing() -> Vec<(String, Fault, u8, u8)> {
    let mut faults = vec![("closed".to_owned(), Fault::Close, 69, 69)];
    for framing in [Framing::Chunked, Framing::Length, Framing::UntilClose] {
        for after in [0, 1, 40] {
            faults.push((format!("cut {framing:?} {after}"), Fault::Cut { after, framing }, 74, 74));
        }
    }
    for after in [0, 1, 40] {
        faults.push((format!("truncated at {after}"), Fault::Truncate { after }, 74, 74));
    }
    for status in [406, 420, 429, 500, 502, 503, 504] {
        faults.push((format!("{status} as HTML"), html(status), 69, 69));
        faults.push((format!("{status} and nothing"), empty(status), 69, 69));
        let fault =
            Fault::error(status, "UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 1-2 (3)");
        faults.push((format!("{status} as JSON"), fault.header("Retry-After", "3"), 69, 69));
    }
    faults.push(("200 as HTML".to_owned(), html(200), 74, 74));
    faults.push(("200 and nothing".to_owned(), Fault::body(""), 74, 74));
    for (content_type, body) in
        [("application/xml", &b"<?xml version=\"1.0\"?><records/>"[..]), ("image/png", b"\x89PNG\r\n\x1a\n")]
    {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        let fault = Fault::Answer { status: 200, headers, body: body.to_vec() };
        faults.push((format!("200 as {content_type}"), fault, 74, 74));
    }
    let unpacked = Fault::body("{}").header("Content-Encoding", "gzip");
    faults.push(("200, said to be packed".to_owned(), unpacked, 74, 74));
    faults.push(("200 and half a word".to_owned(), Fault::body("tru"), 74, 74));
    faults.push(("200 and no UTF-8".to_owned(), Fault::body(&b"{\"totalSize\":1,\"\xff\xfe"[..]), 74, 74));
    let mut flood = Fault::body("{}");
    for number in 0..2000 {
        flood = flood.header(&format!("X-Flood-{number}"), "x");
    }
    faults.push(("a flood of headers".to_owned(), flood, 69, 69));
    faults
}

fn empty(status: u16) -> Fault {
    Fault::Answer { status, headers: Vec::new(), body: Vec::new() }
}

/// One fault, as often as its end depends on.
fn once_thrice_always(
    cases: &mut Vec<Case>,
    name: &str,
    step: Step,
    fault: &Fault,
    [once, thrice, always]: [End; 3],
) {
    let at = step.at();
    cases.push(Case::new(
        format!("{name}, once, at {step:?}"),
        [Rule::once(at.clone(), fault.clone())],
        once,
    ));
    cases.push(Case::new(
        format!("{name}, three times, at {step:?}"),
        [Rule::times(at.clone(), 3, fault.clone())],
        thrice,
    ));
    cases.push(Case::new(format!("{name}, always, at {step:?}"), [Rule::always(at, fault.clone())], always));
}

#[test]
fn every_fault_at_every_step_leaves_a_whole_file_or_the_former_one() {
    use End::{Failed, Whole, WholeOr};
    let mut cases = vec![
        Case::new("undisturbed", [], Whole),
        Case::new("undisturbed", [], Whole).over(Wire::Gzip),
        Case::new("undisturbed", [], Whole).of(What::Jsonl),
        Case::new("undisturbed", [], Whole).of(What::Children),
        Case::new("undisturbed", [], Whole).of(What::Files),
    ];
    for (name, fault, at_page, at_login) in passing() {
        for step in [Step::Login, Step::First, Step::Middle, Step::Last] {
            let status = if step == Step::Login { at_login } else { at_page };
            let ends = [Whole, Failed(status), Failed(status)];
            once_thrice_always(&mut cases, &name, step, &fault, ends);
            // One less than the attempts.
            let twice = Rule::times(step.at(), 2, fault.clone());
            cases.push(Case::new(format!("{name}, twice, at {step:?}"), [twice], Whole));
        }
        for always in [false, true] {
            let at = At::ChildPage(2);
            let (rule, end) = match always {
                false => (Rule::once(at, fault.clone()), Whole),
                true => (Rule::always(at, fault.clone()), Failed(at_page)),
            };
            for what in [What::Children, What::Files] {
                cases.push(Case::new(format!("{name}, at a child page"), [rule.clone()], end).of(what));
            }
        }
        let everywhere = [Step::Login, Step::First, Step::Middle, Step::Last];
        let everywhere = everywhere.map(|step| Rule::times(step.at(), 2, fault.clone()));
        cases.push(Case::new(format!("{name}, twice at every step"), everywhere, Whole));
    }

    let rest = "This session is not valid for use with the REST API";
    let locator = Fault::error(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
    let concurrent = "ConcurrentPerOrgLongTxn Limit exceeded.";
    for step in PAGES {
        let mut add = |name: &str, fault: Fault, ends: [End; 3]| {
            once_thrice_always(&mut cases, name, step, &fault, ends);
        };
        add(
            "too many requests at once",
            Fault::error(403, "REQUEST_LIMIT_EXCEEDED", concurrent),
            [Whole, Failed(69), Failed(69)],
        );
        add("a redirect", Fault::redirect(302, "https://example.com/"), [Whole, Failed(69), Failed(69)]);
        // While pages before it are still being written, a page's session may be lost once more.
        let thrice = if step == Step::First { Failed(77) } else { WholeOr(77) };
        for (name, fault) in [
            ("a lost session", Fault::ExpiredSession),
            ("a refused session", Fault::error(401, "INVALID_SESSION_ID", "Session expired or invalid")),
            ("a refused header", Fault::error(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")),
        ] {
            add(name, fault, [Whole, thrice, Failed(77)]);
        }
        add("no REST API", Fault::error(401, "INVALID_SESSION_ID", rest), [Failed(77); 3]);
        for code in ["API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED"] {
            add(code, Fault::error(403, code, "no"), [Failed(77); 3]);
        }
        add("a lost locator", locator.clone(), [Whole, Failed(74), Failed(74)]);
        add("every locator lost", Fault::LostLocator, [Whole, Failed(74), Failed(74)]);
        add(
            "a query out of time",
            Fault::error(400, "QUERY_TIMEOUT", "long"),
            [Whole, Failed(65), Failed(65)],
        );
        let limit = Fault::error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
        add("the daily limit", limit, [Failed(75); 3]);
        add("a retired version", Fault::error(410, "GONE", "no"), [Failed(78); 3]);
        add("an unknown version", Fault::error(404, "NOT_FOUND", "no"), [Failed(78); 3]);
        add("a refused query", Fault::error(400, "MALFORMED_QUERY", "no"), [Failed(65); 3]);
        add("a query too long", html(414), [Whole, Failed(65), Failed(65)]);
        add("a status that makes no sense", empty(204), [Failed(74); 3]);
        for size in [0, 5, 29, 31, 1_000_000, -1] {
            add(&format!("totalSize {size}"), Fault::TotalSize(size), [Whole, Failed(74), Failed(74)]);
        }
        // On the last page done is true and nothing is missing.
        let early = if step == Step::Last { [Whole; 3] } else { [Whole, Failed(74), Failed(74)] };
        add("done too early", Fault::DoneEarly, early);
        add("more, but not where", Fault::NoNextUrl, [Failed(74); 3]);
        let repeated = if step == Step::First { [Whole; 3] } else { [Failed(74); 3] };
        add("its own locator", Fault::RepeatedLocator, repeated);
        for url in [
            "https://example.com/services/data/v62.0/query/0r8Dm0000000000QAS-8",
            "//example.com/services/data/v62.0/query/0r8Dm0000000000QAS-8",
            "http://127.0.0.1:1/services/data/v62.0/query/0r8Dm0000000000QAS-8",
            "/services/data/v62.0/query/../../../../services/oauth2/token",
            "/services/data/v62.0/query/%2e%2e/x",
            "/services/data/v62.0/sobjects/Account",
            "/services/oauth2/token",
            "query/0r8Dm0000000000QAS-8",
            "",
        ] {
            add(&format!("nextRecordsUrl {url:?}"), Fault::NextUrl(url.to_owned()), [Failed(74); 3]);
        }
        let unknown = "/services/data/v62.0/query/0r8Zz0000000000QAS-9999".to_owned();
        add("a locator that nobody knows", Fault::NextUrl(unknown), [Whole, Failed(74), Failed(74)]);
        for order in [
            vec!["records", "totalSize", "done", "nextRecordsUrl"],
            vec!["nextRecordsUrl", "records", "done", "totalSize"],
            vec!["done", "totalSize", "records", "nextRecordsUrl"],
        ] {
            add("keys in another order", Fault::KeyOrder(order), [Whole; 3]);
        }
        for left_out in
            [vec!["totalSize", "done", "nextRecordsUrl"], vec!["done", "nextRecordsUrl", "records"]]
        {
            add("a key left out", Fault::KeyOrder(left_out), [Failed(74); 3]);
        }
        for body in hostile_bodies() {
            let shown: String = String::from_utf8_lossy(&body).chars().take(80).collect();
            add(&format!("a body of another shape: {shown}"), Fault::body(body), [Failed(74); 3]);
        }
        // A cell may be an object, as compound fields are; but one record is not what the org counted.
        for value in ["{\"First\":\"x\"}", "[\"x\"]", &deep(100_000)] {
            let record = format!("{{\"Id\":\"001\",\"Name\":{value},\"Site\":null}}");
            let body = Fault::body(format!("{{\"totalSize\":30,\"done\":true,\"records\":[{record}]}}"));
            add("one record with a value of another shape", body, [Whole, Failed(74), Failed(74)]);
        }
    }
    for (name, fault, status) in [
        ("a lost session", Fault::error(401, "INVALID_SESSION_ID", "Session expired"), 77),
        ("a lost locator", Fault::LostLocator, 74),
        ("totalSize", Fault::TotalSize(2000), 74),
        ("done too early", Fault::DoneEarly, 74),
    ] {
        let at = At::ChildPage(1);
        for (rule, end) in
            [(Rule::once(at.clone(), fault.clone()), Whole), (Rule::always(at, fault), Failed(status))]
        {
            for what in [What::Children, What::Files] {
                cases.push(Case::new(format!("{name}, at a child page"), [rule.clone()], end).of(what));
            }
        }
    }
    for fault in [Fault::NoNextUrl, Fault::NextUrl("https://example.com/x".to_owned())] {
        let rule = Rule::once(At::ChildPage(1), fault.clone());
        cases.push(Case::new(format!("{fault:?}, at a child page"), [rule], Failed(74)).of(What::Children));
    }

    let refused = Fault::login_refused("invalid_grant", "user hasn't approved this consumer");
    let again = Fault::login_refused("unknown_error", "retry your request");
    let foreign = Fault::body("{\"access_token\":\"x\",\"instance_url\":\"https://example.com\"}");
    for (name, fault, ends) in [
        ("a refusal", refused, [Failed(77); 3]),
        ("an error to be tried again", again, [Whole, Failed(69), Failed(69)]),
        ("a rate", Fault::login_refused("invalid_grant", "login rate exceeded"), [Failed(75); 3]),
        ("a redirect", Fault::redirect(307, "https://example.com/"), [Failed(77); 3]),
        ("a foreign instance", foreign, [Failed(77); 3]),
    ] {
        once_thrice_always(&mut cases, name, Step::Login, &fault, ends);
    }
    let count = runtime().block_on(Matrix::new().run(cases));
    assert!(count > 800, "{count} cases");
}

/// Lists in lists.
fn deep(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

/// JSON that is whole, and no page of this query.
fn hostile_bodies() -> Vec<Vec<u8>> {
    let page = |records: &str| format!("{{\"totalSize\":30,\"done\":true,\"records\":[{records}]}}");
    let deep = deep(100_000);
    let objects = "{\"Id\":".repeat(50_000) + "1" + &"}".repeat(50_000);
    let row = "{\"Id\":\"001\",\"Name\":\"x\",\"Site\":null}";
    [
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "\"records\"".to_owned(),
        "[{\"message\":\"x\",\"errorCode\":\"Y\"}]".to_owned(),
        "{\"totalSize\":30,\"done\":\"true\",\"records\":[]}".to_owned(),
        "{\"totalSize\":-2,\"done\":true,\"records\":[]}".to_owned(),
        "{\"totalSize\":1e99,\"done\":true,\"records\":[]}".to_owned(),
        "{\"totalSize\":30,\"done\":true,\"records\":{}}".to_owned(),
        "{\"totalSize\":30,\"totalSize\":30,\"done\":true,\"records\":[]}".to_owned(),
        "{\"totalSize\":30,\"done\":true,\"records\":[],\"records\":[]}".to_owned(),
        page("1"),
        page("null"),
        page("[]"),
        page("{}"),
        page("{\"Id\":\"001\",\"Name\":\"x\"}"),
        page("{\"Id\":\"001\",\"Id\":\"002\",\"Name\":\"x\",\"Site\":null}"),
        page("{\"Id\":\"001\",\"Name\":\"x\",\"Site\":null,\"Phone\":null}"),
        page(&objects),
        page(&deep),
        deep,
        page(&format!("{row},{}", "{\"Id\":\"001\",\"Name\":\"x\",\"Site\":1,\"Site\":2}")),
        // Larger than page_cap.
        page(&format!("{{\"Id\":\"001\",\"Name\":\"{}\",\"Site\":null}}", "x".repeat(3 << 20))),
    ]
    .map(String::into_bytes)
    .into()
}

#[test]
fn an_answer_cut_at_any_place_is_fetched_again_or_fails() {
    let runtime = runtime();
    let (mut cases, mut cuts) = (Vec::new(), 0);
    for what in [What::Csv, What::Jsonl] {
        let bodies = runtime.block_on(bodies(what));
        for (step, body) in PAGES.into_iter().zip(&bodies[1..]) {
            let places = places(body);
            assert!(places.len() > 50, "{} places on a page of {} bytes", places.len(), body.len());
            for &after in &places {
                for fault in cuts_at(after) {
                    let rule = Rule::once(step.at(), fault.clone());
                    cases.push(Case::new(format!("{fault:?} at {step:?}"), [rule], End::Whole).of(what));
                    cuts += 1;
                }
                // At the very end nothing is missing but the end itself.
                if after % 4 == 0 && after < body.len() {
                    let fault = cuts_at(after).swap_remove(after / 4 % 4);
                    let rule = Rule::always(step.at(), fault.clone());
                    let name = format!("{fault:?}, always, at {step:?}");
                    cases.push(Case::new(name, [rule], End::Failed(74)).of(what));
                }
            }
        }
        // Packed, cuts fall elsewhere: every 16th byte of what is sent.
        for step in PAGES {
            for after in (0..700).step_by(16) {
                for framing in [Framing::Chunked, Framing::Length, Framing::UntilClose] {
                    let rule = Rule::once(step.at(), Fault::Cut { after, framing });
                    let name = format!("packed, cut after {after}, {framing:?}, at {step:?}");
                    cases.push(Case::new(name, [rule], End::Whole).of(what).over(Wire::Gzip));
                }
            }
        }
    }
    // The login's answer, all through its token.
    let login = runtime.block_on(bodies(What::Csv)).swap_remove(0);
    for after in (0..login.len()).step_by(8) {
        for fault in cuts_at(after) {
            let once = Rule::once(Step::Login.at(), fault.clone());
            cases.push(Case::new(format!("{fault:?} at the login"), [once], End::Whole));
        }
        let always = Rule::always(Step::Login.at(), Fault::Truncate { after });
        cases.push(Case::new(
            format!("truncated at {after}, always, at the login"),
            [always],
            End::Failed(74),
        ));
    }
    let count = runtime.block_on(Matrix::new().run(cases));
    assert!(count >= 2000 && cuts >= 1200, "{count} cases, {cuts} cuts of plain pages");
}

/// Every way of losing what follows so many bytes.
fn cuts_at(after: usize) -> Vec<Fault> {
    vec![
        Fault::Cut { after, framing: Framing::Chunked },
        Fault::Cut { after, framing: Framing::Length },
        Fault::Cut { after, framing: Framing::UntilClose },
        Fault::Truncate { after },
    ]
}

/// Every 64th byte, and before, within and behind every character of several bytes.
fn places(body: &[u8]) -> Vec<usize> {
    let text = std::str::from_utf8(body).unwrap();
    let mut places: Vec<usize> = (0..=body.len()).step_by(64).collect();
    for (at, c) in text.char_indices().filter(|(_, c)| c.len_utf8() > 1) {
        places.extend(at..=at + c.len_utf8());
    }
    places.extend([body.len() - 2, body.len() - 1]);
    places.sort_unstable();
    places.dedup();
    places
}

/// The answers of an undisturbed run, as an ordinary client gets them: login, first, middle and last page. Only to
/// know where they can be cut.
async fn bodies(what: What) -> Vec<Vec<u8>> {
    let org = start(what).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let claims = serde_json::json!({
        "iss": support::CLIENT_ID, "sub": support::USERNAME, "aud": org.url(),
        "exp": Timestamp::now().as_second() + 120
    });
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(support::key_pair().key.as_bytes()).unwrap();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    let assertion = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let form = format!("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={assertion}");
    let login = client
        .post(format!("{}/services/oauth2/token", org.url()))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap();
    let mut bodies = vec![login.bytes().await.unwrap().to_vec()];
    let login: serde_json::Value = serde_json::from_slice(&bodies[0]).unwrap();
    let mut next = Some("/services/data/v62.0/query?q=SELECT+Id,Name,Site+FROM+Account".to_owned());
    while let Some(path) = next {
        let answer = client
            .get(format!("{}{path}", org.url()))
            .header("Authorization", format!("Bearer {}", login["access_token"].as_str().unwrap()))
            .send()
            .await
            .unwrap();
        bodies.push(answer.bytes().await.unwrap().to_vec());
        let page: serde_json::Value = serde_json::from_slice(bodies.last().unwrap()).unwrap();
        next = page["nextRecordsUrl"].as_str().map(str::to_owned);
    }
    assert_eq!(bodies.len(), 5);
    // Of the two pages in the middle the one that `Step::Middle` means.
    bodies.remove(3);
    bodies
}

#[test]
fn an_org_that_stands_still_or_drips_is_given_up() {
    let stall = |after| Fault::Stall { after, pause: Duration::from_secs(30) };
    let drip = Fault::Drip { bytes: 1, pause: Duration::from_millis(20) };
    let late = Fault::Late(Duration::from_secs(30));
    let mut cases = Vec::new();
    for step in [Step::Login, Step::First, Step::Middle, Step::Last] {
        for fault in [stall(0), stall(100), drip.clone(), late.clone()] {
            let once = Rule::once(step.at(), fault.clone());
            cases.push(Case::new(format!("{fault:?}, once, at {step:?}"), [once], End::Whole));
            let always = Rule::always(step.at(), fault.clone());
            cases.push(Case::new(format!("{fault:?}, always, at {step:?}"), [always], End::Failed(69)));
        }
    }
    let cases = cases.into_iter().map(|case| case.over(Wire::Impatient)).collect();
    runtime().block_on(Matrix::new().run(cases));
}

#[test]
fn a_bomb_is_given_up_at_the_page_cap() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(b"{\"totalSize\":30,\"done\":true,\"records\":[{\"Id\":\"").unwrap();
    let block = vec![b'x'; 1 << 20];
    for _ in 0..200 {
        packed.write_all(&block).unwrap();
    }
    let bomb = Fault::body(packed.finish().unwrap()).header("Content-Encoding", "gzip");
    let cases = [Step::Login, Step::First, Step::Last].map(|step| {
        let rule = Rule::always(step.at(), bomb.clone());
        Case::new(format!("a bomb at {step:?}"), [rule], End::Failed(74)).over(Wire::Gzip)
    });
    runtime().block_on(Matrix::new().run(cases.into()));

    // And the memory that it takes, of a process: its highest mark, read while it runs.
    let at = deployment(20);
    at.configure("page_cap = \"4 MB\"");
    at.script(Rule::once(At::Page(1), bomb));
    let mut child = spawn(&at, &["run", "accounts"]);
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let mark = mark.and_then(|mark| mark.trim().strip_suffix(" kB")).and_then(|mark| mark.parse().ok());
        most = mark.unwrap_or(most).max(most);
        std::thread::sleep(Duration::from_millis(1));
    }
    at.outcome(child.wait_with_output().unwrap()).ended(74).says(&["page_cap", "hint: "]);
    assert!((1..150_000).contains(&most), "{most} kB");
    assert_eq!(at.read("exports/accounts.csv"), FORMER);
}

#[test]
fn what_the_org_asks_for_is_waited() {
    let matrix = Matrix::new();
    let date = |seconds: i64| {
        let timestamp = Timestamp::from_second(1_795_309_200 + seconds).unwrap();
        timestamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    let asked = [
        html(503).header("Retry-After", "7"),
        html(429).header("Date", &date(0)).header("Retry-After", &date(90)),
        html(503),
    ];
    runtime().block_on(async {
        let org = start(What::Csv).await;
        for fault in asked {
            org.script(Rule::once(Step::Middle.at(), fault.clone()));
        }
        // Three faults are one more than the attempts allow: the login takes one of them.
        org.script(Rule::once(Step::Login.at(), html(503).header("Retry-After", "11")));
        let path = matrix.directory.path().join("export.csv");
        let before = matrix.clock.elapsed();
        let case = Case::new("waits", [], End::Failed(69));
        let report = matrix.export(&org, &case, &path).await;
        assert_eq!(report.exit_status, 69, "{:?}", report.error);
        assert_eq!(matrix.clock.elapsed() - before, Duration::from_secs(7 + 90 + 11));
        assert_eq!(matrix.clock.waits(), [11, 7, 90].map(Duration::from_secs));
        assert_eq!((report.retries, report.logins, report.pages), (3, 1, 1));
    });
}

#[test]
fn a_page_is_tried_as_often_as_the_attempts_say_whatever_goes_wrong() {
    let matrix = Matrix::new();
    let middle = || At::Containing("-8".to_owned());
    let child = || At::ChildPage(1);
    let (cut, down, late) =
        (Fault::Truncate { after: 40 }, html(503), Fault::error(400, "QUERY_TIMEOUT", "long"));
    let rest = |at: At| Rule::always(at, Fault::Truncate { after: 40 });
    let once = |at: At, fault: &Fault| Rule::once(at, fault.clone());
    let stories = [
        ("cut for ever", What::Csv, vec![rest(middle())], 74, 3),
        ("down, then cut", What::Csv, vec![once(middle(), &down), rest(middle())], 74, 3),
        (
            "cut, then down",
            What::Csv,
            vec![once(middle(), &cut), Rule::always(middle(), down.clone())],
            69,
            3,
        ),
        ("cut, down, whole", What::Csv, vec![once(middle(), &cut), once(middle(), &down)], 0, 3),
        ("children cut for ever", What::Children, vec![rest(child())], 74, 3),
        // The org's load is no reason to take a query's one further chance away.
        ("down, then out of time", What::Csv, vec![once(middle(), &down), once(middle(), &late)], 0, 3),
        ("out of time for ever", What::Csv, vec![Rule::always(middle(), late.clone())], 65, 2),
    ];
    runtime().block_on(async {
        for (number, (name, what, rules, status, sent)) in stories.into_iter().enumerate() {
            let org = start(what).await;
            let children = what == What::Children;
            rules.into_iter().for_each(|rule| org.script(rule));
            let case = Case::new(name, [], End::Whole).of(what);
            let path = matrix.directory.path().join(format!("tried-{number}.csv"));
            let report = matrix.export(&org, &case, &path).await;
            assert_eq!(report.exit_status, status, "{name}: {:?}", report.error);
            let requests = org.requests();
            let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
            for request in requests.iter().filter(|request| request.method == "GET") {
                *asked.entry(&request.target).or_default() += 1;
            }
            let most = asked.iter().filter(|(target, _)| children || target.contains("-8"));
            assert_eq!(most.map(|(_, times)| *times).max(), Some(sent), "{name}: {asked:?}");
        }
    });
}

#[test]
fn what_was_done_again_is_counted() {
    let matrix = Matrix::new();
    runtime().block_on(async {
        let org = start(What::Csv).await;
        org.script(Rule::once(Step::Login.at(), Fault::Close));
        org.script(Rule::once(Step::First.at(), html(503)));
        org.script(Rule::once(Step::Last.at(), Fault::Truncate { after: 50 }));
        org.script(Rule::once(Step::Last.at(), Fault::ExpiredSession));
        org.script(Rule::once(Step::Last.at(), Fault::LostLocator));
        let directory = matrix.directory.path().join("counted");
        fs::create_dir(&directory).unwrap();
        let former = Standing::of(&directory);
        let case = Case::new("counted", [], End::Whole);
        let report = matrix.export(&org, &case, &directory.join("export.csv")).await;
        assert_eq!(matrix.judge(&case, &report, &former, &Standing::of(&directory)), None);
        assert_eq!((report.logins, report.retries, report.restarts, report.pages), (2, 3, 1, 4));
        let calls = org.requests().iter().filter(|request| request.method == "GET").count();
        assert_eq!(report.api_calls, calls as u64);
        // The page after a lost session is the one that was asked for before.
        let asked: Vec<String> = org
            .requests()
            .into_iter()
            .filter(|request| request.path().contains("-24"))
            .map(|request| request.target)
            .collect();
        assert_eq!(asked.len(), 4);
        assert_eq!((&asked[0], &asked[1]), (&asked[1], &asked[2]));
        assert_ne!(asked[2], asked[3]);
        assert_eq!((report.records, report.total), (30, Some(30)));
    });
}

#[test]
fn a_wish_to_stop_is_heard_at_every_step() {
    let matrix = Arc::new(Matrix::new());
    runtime().block_on(async {
        for step in [Step::Login, Step::First, Step::Middle, Step::Last] {
            let org = start(What::Csv).await;
            org.script(Rule::once(step.at(), Fault::Stall { after: 30, pause: Duration::from_secs(60) }));
            let directory = matrix.directory.path().join(format!("{step:?}"));
            fs::create_dir(&directory).unwrap();
            matrix.write_former(What::Csv, &directory);
            let former = Standing::of(&directory);
            let run = run(&matrix.config, &org, matrix.job(What::Csv), &directory.join("export.csv"));
            let (sender, stop) = Stop::new();
            // A run that is stopped waits for its writer by the clock, and a test clock's waits end at once.
            let clock = Arc::new(clock::System::new());
            let edges = edges(matrix.config.settings.http.clone(), clock, None);
            let running = tokio::spawn(async move { export(run, &edges, &stop).await.report });
            let stalled = |request: &Request| match step {
                Step::Login => request.path() == "/services/oauth2/token",
                Step::First => request.target.contains("/query?q="),
                Step::Middle => request.target.contains("-8"),
                Step::Last => request.target.contains("-24"),
            };
            while !org.requests().iter().any(stalled) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let since = Instant::now();
            sender.stop(Failure::new(Exit::Terminated, "stopped by the test"));
            let report = running.await.unwrap();
            assert!(since.elapsed() < Duration::from_secs(1));
            assert_eq!(report.exit_status, 143);
            let case = Case::new("stopped", [], End::Failed(143));
            let found = Standing::of(&directory);
            assert_eq!(matrix.judge(&case, &report, &former, &found), None, "{step:?}");
        }
    });
}

#[test]
fn an_output_that_cannot_be_renamed_leaves_nothing_behind() {
    let matrix = Matrix::new();
    runtime().block_on(async {
        let org = start(What::Csv).await;
        org.script(Rule::once(Step::Last.at(), Fault::Late(Duration::from_millis(300))));
        let path = matrix.directory.path().join("sub/export.csv");
        fs::create_dir(path.parent().unwrap()).unwrap();
        let run = run(&matrix.config, &org, matrix.job(What::Csv), &path);
        let edges = Arc::clone(&matrix.http[0]);
        let running = tokio::spawn(async move { export(run, &edges, &Stop::new().1).await.report });
        while !org.requests().iter().any(|request| request.target.contains("-24")) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Somebody makes a directory of the output's name while the last page is on its way.
        fs::create_dir(&path).unwrap();
        let report = running.await.unwrap();
        assert_eq!(report.exit_status, 73, "{:?}", report.error);
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1);
    });
}

/// A deployment with a job of several pages, and an export of last night.
fn deployment(records: usize) -> Deployment {
    let at = Deployment::with(Options { page_size: 10, ..support::options(records) });
    at.job("accounts", "SELECT Id, Name, Site FROM Account", "accounts.csv", "");
    at.write("exports/accounts.csv", FORMER);
    at
}

fn spawn(at: &Deployment, arguments: &[&str]) -> Child {
    at.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until the org has seen so many requests for pages.
fn wait_for_pages(at: &Deployment, pages: usize) {
    let since = Instant::now();
    while at.queries().len() < pages {
        assert!(since.elapsed() < Duration::from_secs(20), "the org saw {} pages", at.queries().len());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_signal_ends_a_run_within_a_second_and_leaves_nothing() {
    for (name, status) in [("TERM", 143), ("INT", 130)] {
        let at = deployment(50);
        let stall = Fault::Stall { after: 100, pause: Duration::from_secs(60) };
        at.script(Rule::once(At::Containing("-30".to_owned()), stall));
        let child = spawn(&at, &["run", "accounts", "--json"]);
        wait_for_pages(&at, 4);
        assert_eq!(at.names_below("exports").len(), 2, "the stage is there while the run goes on");
        // Everybody on the machine can read a process's arguments.
        let arguments = fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap();
        assert!(arguments.contains("accounts"), "{arguments:?}");
        assert_eq!(support::secret_in(&arguments), None);
        let since = Instant::now();
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
        let outcome = at.outcome(output).ended(status).says(&[&format!("stopped by SIG{name}")]);
        assert_eq!(outcome.reports()[0]["status"], "cancelled");
        assert_eq!(outcome.reports()[0]["exit_status"], status);
        assert_eq!(at.read("exports/accounts.csv"), FORMER);
        assert!(at.text("state/runs.jsonl").contains("\"cancelled\""));
        at.run(["run", "accounts"]).ended(0);
        assert_same(&at.read("exports/accounts.csv"), &csv(&FIELDS, &live(at.data(), "Account")));
    }
}

#[test]
fn a_killed_runs_stage_is_swept_by_the_next() {
    let at = deployment(50);
    at.script(Rule::once(
        At::Containing("-30".to_owned()),
        Fault::Stall { after: 100, pause: Duration::from_secs(60) },
    ));
    let mut child = spawn(&at, &["run", "accounts"]);
    wait_for_pages(&at, 4);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(at.names_below("exports").len(), 2, "a stage is left by a kill");
    assert_eq!(at.read("exports/accounts.csv"), FORMER);
    at.run(["run", "accounts"]).ended(0);
    assert_same(&at.read("exports/accounts.csv"), &csv(&FIELDS, &live(at.data(), "Account")));
    assert_eq!(at.names_below("exports"), ["accounts.csv"]);
}

#[test]
fn of_two_processes_on_one_job_the_second_says_that_it_is_locked() {
    let at = deployment(50);
    at.job("contacts", "SELECT Id FROM Contact", "contacts.csv", "");
    // Of another configuration, as only two configurations on one state directory can share an output.
    at.write("other/twin.toml", "soql = \"SELECT Id FROM Contact\"\noutput = \"accounts.csv\"\n");
    at.write("other.toml", format!("jobs_dir = \"other\"\n{}", at.org_table("org")));
    let stall = Fault::Stall { after: 100, pause: Duration::from_secs(3) };
    at.script(Rule::once(At::Containing("-30".to_owned()), stall));
    let first = spawn(&at, &["run", "accounts"]);
    wait_for_pages(&at, 4);

    let second = at.command(["run", "accounts"]).output().unwrap();
    assert_eq!(second.status.code(), Some(75));
    let said = String::from_utf8(second.stderr).unwrap();
    let told = format!("job accounts is already running (process {})", first.id());
    assert!(said.contains(&told) && said.contains("hint: "), "{said}");
    // Another job with the same output is kept out by the output's own lock.
    let twin = at.command(["run", "twin", "--config", "other.toml"]).output().unwrap();
    let said = String::from_utf8(twin.stderr).unwrap();
    assert_eq!(twin.status.code(), Some(75), "{said}");
    assert!(said.contains("accounts.csv is already being written"), "{said}");
    // A job of its own goes on beside it, and sweeps no live stage.
    let other = at.command(["run", "contacts"]).output().unwrap();
    assert_eq!(other.status.code(), Some(0));
    assert_eq!(support::secret_in(&(said + &String::from_utf8(other.stderr).unwrap())), None);
    assert_same(&at.read("exports/contacts.csv"), &csv(&["Id"], &live(at.data(), "Contact")));

    at.outcome(first.wait_with_output().unwrap()).ended(0);
    assert_same(&at.read("exports/accounts.csv"), &csv(&FIELDS, &live(at.data(), "Account")));
    // The lock's file is still there, and means nothing.
    assert!(at.path("state/locks/accounts.lock").exists());
    at.run(["run", "accounts"]).ended(0);
}

#[test]
fn a_run_longer_than_its_timeout_is_ended() {
    let at = deployment(50);
    at.job("accounts", "SELECT Id, Name, Site FROM Account", "accounts.csv", "timeout = \"1s\"");
    let stall = Fault::Stall { after: 100, pause: Duration::from_secs(60) };
    at.script(Rule::once(At::Page(2), stall));
    let since = Instant::now();
    at.run(["run", "accounts"]).ended(69).says(&["timeout"]);
    assert!((1..3).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    assert_eq!(at.read("exports/accounts.csv"), FORMER);
}

#[test]
fn nothing_goes_to_another_host() {
    let at = deployment(50);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let elsewhere = format!("http://{}", other.local_addr().unwrap());
    let next = format!("{elsewhere}/services/data/v62.0/query/0r8Dm0000000000QAS-10");
    at.script(Rule::times(At::Page(1), 2, Fault::NextUrl(next.clone())));
    at.run(["run", "accounts"]).ended(74).says(&["nextRecordsUrl"]);
    at.run(["query", "SELECT Id FROM Account", "-o", "-"]).ended(74);
    for status in [301, 302, 303, 307, 308] {
        at.script(Rule::times(At::Page(1), 5, Fault::redirect(status, &next)));
        at.run(["run", "accounts"]).ended(69).says(&[&elsewhere, "redirects are not followed"]);
        at.script(Rule::once(
            At::Login(1),
            Fault::redirect(status, &format!("{elsewhere}/services/oauth2/token")),
        ));
        at.run(["run", "accounts"]).ended(77).says(&["login_url"]);
    }
    assert_eq!(at.read("exports/accounts.csv"), FORMER);
    assert_eq!(other.accept().expect_err("somebody connected").kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn the_binary_recovers_from_and_gives_up_over_what_the_matrix_holds() {
    let at = deployment(50);
    let whole = csv(&FIELDS, &live(at.data(), "Account"));
    let last = || At::Containing("-40".to_owned());
    for fault in [
        Fault::Close,
        Fault::Truncate { after: 333 },
        Fault::Cut { after: 200, framing: Framing::Chunked },
        Fault::ExpiredSession,
        Fault::LostLocator,
        Fault::TotalSize(7),
        html(200),
    ] {
        at.write("exports/accounts.csv", FORMER);
        at.script(Rule::once(last(), fault));
        at.run(["run", "accounts"]).ended(0);
        assert_same(&at.read("exports/accounts.csv"), &whole);
    }
    at.write("exports/accounts.csv", FORMER);
    for (fault, status, parts) in [
        (Fault::Close, 69, "127.0.0.1"),
        (Fault::Truncate { after: 333 }, 74, "after 5 attempts"),
        (html(503), 69, "after 5 attempts"),
    ] {
        at.script(Rule::times(last(), 5, fault));
        at.run(["run", "accounts"]).ended(status).says(&[parts]);
        assert_eq!(at.read("exports/accounts.csv"), FORMER);
    }
    at.script(Rule::always(last(), Fault::DoneEarly));
    at.script(Rule::always(At::Containing("-30".to_owned()), Fault::DoneEarly));
    at.run(["run", "accounts"]).ended(74).says(&["40 of 49"]);
    assert_eq!(at.read("exports/accounts.csv"), FORMER);
}

/// Rows whose texts have characters of two, three and four bytes: what the cuts are about.
#[test]
fn the_pages_of_the_matrix_hold_what_can_be_cut_badly() {
    let data = DataSet::new(RECORDS);
    let mut widths = [0; 5];
    for row in live(&data, "Account") {
        for field in FIELDS {
            if let Value::Text(text) = value(row, field) {
                text.chars().for_each(|c| widths[c.len_utf8()] += 1);
            }
        }
    }
    assert!(widths[2] > 5 && widths[3] > 5 && widths[4] > 0, "{widths:?}");
    // And with two records on a page, a list of children that needs three.
    assert!(live(&data, "Account").iter().any(|row| row.children("Contacts").len() > 4));
}
