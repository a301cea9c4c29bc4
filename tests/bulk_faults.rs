//! Query jobs under faults: whatever the org and the wire do at each step, the file has the org's rows or is untouched, the
//! run ends with the status of DESIGN's table, and every query job that the run made is removed or noted for the next run.
//!
//! The engine runs in this process, with a clock whose waits end at once. No other process is started here: one that is just
//! being started holds a copy of every lock. Signals, time-outs and full disks are in `bulk.rs`.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test ends where something is missing")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sfexport::clock::TestClock;
use sfexport::config::{self, Config, Selection, Sources};
use sfexport::demo_org::{At, BulkOptions, DataSet, DemoOrg, Fate, Fault, Framing, Options, Rule};
use sfexport::export::{Edges, Extent, Run, Slots, export};
use sfexport::http::Http;
use sfexport::job::{Api, ApiChoice, IfExists, Job};
use sfexport::monitor::Silent;
use sfexport::org::Org;
use sfexport::output::LocalFile;
use sfexport::report::{RunId, RunReport};
use sfexport::retry::RetryPolicy;
use sfexport::state::State;
use sfexport::stop::Stop;
use support::{csv, inode, live};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const FORMER: &[u8] = b"Id,Name\nthe previous export\n";
const FIELDS: [&str; 3] = ["Id", "Name", "Site"];
/// Of 31 accounts one is deleted: pages of 8, 8, 8 and 6 records by either API.
const RECORDS: usize = 31;
const LIVE: usize = RECORDS - 1;
const PAGE: usize = 8;
/// The attempts of every request in the matrix.
const ATTEMPTS: u32 = 3;
/// A result that is so large that its pages are listed: nine pages, five of them in the first list.
const LARGE: usize = 50_100;
const LARGE_PAGE: usize = 6_000;

/// What a request for a query job without a response is reported with.
const UNANSWERED: &str = "had no response";

/// Where in a run a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Poll,
    First,
    Middle,
    Last,
}

const STEPS: [Step; 5] = [Step::Create, Step::Poll, Step::First, Step::Middle, Step::Last];
const PAGES: [Step; 3] = [Step::First, Step::Middle, Step::Last];

impl Step {
    fn at(self) -> At {
        match self {
            Self::Create => At::BulkCreate(1),
            Self::Poll => At::BulkPoll(1),
            // By their targets, which stay the same however often a page is asked for. The first page has no locator of its
            // own, so what always happens to it happens to all.
            Self::First => At::BulkResults(1),
            Self::Middle => At::Containing("/results?locator=OA".to_owned()),
            Self::Last => At::Containing("/results?locator=MjQ".to_owned()),
        }
    }
}

/// What must have become of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// Every row, by Bulk.
    Whole,
    /// Every row, by REST, and the reason has these words.
    ByRest(&'static str),
    /// With this status, the previous file untouched.
    Failed(u8),
}

#[derive(Debug, Clone)]
struct Case {
    name: String,
    api: ApiChoice,
    rules: Vec<Rule>,
    end: End,
    /// Whether the report mentions a request for a query job without a response, whose job may stay in the org.
    unanswered: bool,
    /// Whether the query job stays, noted for the next run.
    left: bool,
    impatient: bool,
    large: bool,
}

impl Case {
    fn new(name: impl Into<String>, rules: impl IntoIterator<Item = Rule>, end: End) -> Self {
        Self {
            name: name.into(),
            api: ApiChoice::Bulk,
            rules: rules.into_iter().collect(),
            end,
            unanswered: false,
            left: false,
            impatient: false,
            large: false,
        }
    }

    fn auto(self, end: End) -> Self {
        Self { api: ApiChoice::Auto, end, ..self }
    }

    fn unanswered(self, unanswered: bool) -> Self {
        Self { unanswered, ..self }
    }

    fn impatient(self) -> Self {
        Self { impatient: true, ..self }
    }

    fn large(self) -> Self {
        Self { large: true, ..self }
    }
}

/// How a result is fetched.
#[derive(Debug, Clone, Copy)]
struct Wire {
    gzip: bool,
    parallel: usize,
}

/// Each pair has both of either.
const WIRES: [Wire; 4] = [
    Wire { gzip: false, parallel: 4 },
    Wire { gzip: true, parallel: 1 },
    Wire { gzip: true, parallel: 4 },
    Wire { gzip: false, parallel: 1 },
];

/// What all cases of a matrix share.
struct Matrix {
    directory: TempDir,
    config: Config,
    expected: Vec<u8>,
    expected_large: Vec<u8>,
}

impl Matrix {
    fn new() -> Self {
        // Flushing to memory takes no time; what flushing is worth is another test's question.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let config = configuration(directory.path());
        let expected = csv(&FIELDS, &live(&DataSet::new(RECORDS), "Account"));
        let expected_large = csv(&["Id"], &live(&DataSet::new(LARGE), "Account"));
        Self { directory, config, expected, expected_large }
    }

    /// Runs every case, some at once, and returns how many runs that made; panics with all that went wrong.
    async fn run(self, cases: Vec<Case>) -> usize {
        let matrix = Arc::new(self);
        let room = Arc::new(Semaphore::new(6));
        let mut running = JoinSet::new();
        // Each case over two of the wires, its neighbour over the two others.
        let wires = WIRES.chunks(2).cycle();
        let all: Vec<_> = cases
            .into_iter()
            .zip(wires)
            .flat_map(|(case, wires)| wires.iter().map(move |wire| (case.clone(), *wire)))
            .collect();
        let count = all.len();
        for (number, (case, wire)) in all.into_iter().enumerate() {
            let permit = Arc::clone(&room).acquire_owned().await.unwrap();
            let matrix = Arc::clone(&matrix);
            running.spawn(async move {
                let wrong = matrix.case(number, &case, wire).await;
                drop(permit);
                wrong.err().map(|wrong| format!("{} ({:?}, {wire:?}): {wrong}", case.name, case.api))
            });
        }
        let wrong: Vec<String> = running.join_all().await.into_iter().flatten().collect();
        assert!(wrong.is_empty(), "{} of {count} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
        println!("{count} cases");
        count
    }

    /// Runs a case; returns what went wrong.
    async fn case(&self, number: usize, case: &Case, wire: Wire) -> Result<(), String> {
        let (records, page_rows) = if case.large { (LARGE, LARGE_PAGE) } else { (RECORDS, PAGE) };
        let bulk = BulkOptions { page_rows, ..BulkOptions::default() };
        let options = Options { page_size: PAGE, bulk, ..support::options(records) };
        let org = DemoOrg::start(options).await.unwrap();
        case.rules.iter().for_each(|rule| org.script(rule.clone()));
        let directory = self.directory.path().join(number.to_string());
        fs::create_dir(&directory).unwrap();
        let [exports, state, scratch] = ["exports", "state", "scratch"].map(|name| directory.join(name));
        let place = Place { exports, state, scratch };
        fs::create_dir(&place.exports).unwrap();
        fs::write(place.file(), FORMER).unwrap();
        let former = inode(&place.file());
        let report = self.export(&org, case, wire, &place).await;
        let first = self.judge(case, &report, &place, former);
        let wrong = first.and_then(|()| jobs_left(case, &org, &report, &place));
        let wrong = match wrong {
            Ok(()) => self.next_run(case, wire, &org, &place).await,
            wrong => wrong,
        };
        fs::remove_dir_all(&directory).unwrap();
        wrong
    }

    async fn export(&self, org: &DemoOrg, case: &Case, wire: Wire, place: &Place) -> RunReport {
        let name = if case.large { "large" } else { "small" };
        let mut job: Job = self.config.jobs.iter().find(|job| job.name.as_str() == name).unwrap().clone();
        job.api = case.api;
        job.bulk.parallel = wire.parallel;
        job.bulk.from_calls = 2;
        job.bulk.job_timeout = Duration::from_secs(60);
        let url = org.url().to_owned();
        let reached = Org { login_url: url.clone(), audience: url, ..self.config.org(None).unwrap().clone() };
        let output = LocalFile::new(&place.file(), IfExists::Replace, None).unwrap();
        let run = Run {
            job: Arc::new(job),
            org: Arc::new(reached),
            id: RunId::new(Timestamp::now(), 1),
            scheduled: None,
            output: output.into(),
            extent: Extent::Whole,
            resumes: false,
            wants_full: false,
            timestamp: Timestamp::now(),
            part: None,
        };
        let mut settings = config::Http { gzip: wire.gzip, ..self.config.settings.http.clone() };
        if case.impatient {
            settings.idle_timeout = Duration::from_millis(400);
            settings.request_timeout = Duration::from_millis(1_000);
        }
        let edges = Arc::new(Edges {
            batch_size: settings.batch_size,
            http: Http::new(settings),
            // Each run has its own: the waits of another must not make a query job old.
            clock: Arc::new(TestClock::new(Timestamp::now())),
            monitor: Arc::new(Silent),
            retry: RetryPolicy { attempts: ATTEMPTS, wait_min: Duration::ZERO, wait_max: Duration::ZERO },
            scratch_dir: place.scratch.clone(),
            state: Some(State::open(&place.state).unwrap()),
            slots: Slots::default(),
        });
        let (_sender, stop) = Stop::new();
        export(run, &edges, &stop).await.report
    }

    fn judge(&self, case: &Case, report: &RunReport, place: &Place, former: u64) -> Result<(), String> {
        let text = serde_json::to_string(report).unwrap();
        if let Some(secret) = support::secret_in(&text) {
            return Err(format!("the report holds {secret}: {text}"));
        }
        if text.contains("canary") {
            return Err(format!("the report holds the query's text: {text}"));
        }
        let expected = if case.large { &self.expected_large } else { &self.expected };
        let is_whole = fs::read(place.file()).unwrap() == *expected;
        let is_former = inode(&place.file()) == former;
        let stands = match report.exit_status {
            0 => is_whole && report.error.is_none(),
            _ => is_former && report.error.is_some(),
        };
        let names =
            fs::read_dir(&place.exports).unwrap().chain(fs::read_dir(&place.scratch).into_iter().flatten());
        let reason = report.api_reason.as_deref().unwrap_or_default();
        let is_expected = match case.end {
            End::Whole => {
                report.exit_status == 0 && report.api == Some(Api::Bulk) && report.bulk_job.is_some()
            }
            End::ByRest(words) => {
                report.exit_status == 0 && report.api == Some(Api::Rest) && reason.contains(words)
            }
            End::Failed(status) => report.exit_status == status,
        };
        let is_told = match case.unanswered {
            true => matches!(report.warnings.as_slice(), [only] if only.contains(UNANSWERED)),
            false => report.warnings.is_empty(),
        };
        if stands && is_expected && is_told && names.count() == 1 && !reason.is_empty() {
            return Ok(());
        }
        Err(format!("{:?} was expected; whole: {is_whole}, as before: {is_former}, {text}", case.end))
    }

    /// The run after it, without a fault: it exports, and removes what was noted.
    async fn next_run(&self, case: &Case, wire: Wire, org: &DemoOrg, place: &Place) -> Result<(), String> {
        org.clear_script();
        let noted = place.noted();
        let unfaulted = Case { end: End::Whole, unanswered: false, ..case.clone() };
        let former = inode(&place.file());
        let mut report = self.export(org, &unfaulted, wire, place).await;
        if case.api == ApiChoice::Auto {
            // A refusal that is remembered is another test's question.
            report.api = Some(Api::Bulk);
            report.bulk_job.get_or_insert_default();
        }
        self.judge(&unfaulted, &report, place, former).map_err(|wrong| format!("the next run: {wrong}"))?;
        let left: Vec<_> = org.bulk_jobs().into_iter().map(|job| job.id).collect();
        match left.iter().find(|id| noted.contains(*id) || report.bulk_job.as_ref() == Some(*id)) {
            None if place.noted().is_empty() => Ok(()),
            left => Err(format!("the next run left {left:?}, and notes {:?}", place.noted())),
        }
    }
}

/// Where a case's files are.
struct Place {
    exports: PathBuf,
    state: PathBuf,
    scratch: PathBuf,
}

impl Place {
    fn file(&self) -> PathBuf {
        self.exports.join("export.csv")
    }

    /// The ids of query jobs in the journal, read without the code that writes it.
    fn noted(&self) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(self.state.join("journal")).into_iter().flatten() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let ids_in =
                text.match_indices("750").map(|(at, _)| text[at..].chars().take(18).collect::<String>());
            ids.extend(
                ids_in.filter(|id| id.len() == 18 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())),
            );
        }
        ids
    }
}

/// Whether the org has the query jobs that it should have after the run.
fn jobs_left(case: &Case, org: &DemoOrg, report: &RunReport, place: &Place) -> Result<(), String> {
    let jobs: BTreeSet<_> = org.bulk_jobs().into_iter().map(|job| job.id).collect();
    let noted = place.noted();
    let unnoted: Vec<_> = jobs.difference(&noted).collect();
    let is_known = report.bulk_job.as_ref().is_some_and(|known| unnoted.contains(&known));
    if is_known || !(unnoted.is_empty() || case.unanswered) {
        return Err(format!("query jobs are left unnoted: {unnoted:?}; {report:?}"));
    }
    if case.left == noted.is_empty() {
        return Err(format!("noted are {noted:?}, and the org has {jobs:?}"));
    }
    Ok(())
}

fn configuration(directory: &Path) -> Config {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let org = format!(
        "[org]\nclient_id = \"{}\"\nusername = \"{}\"\nlogin_url = \"http://127.0.0.1:1\"\n",
        support::CLIENT_ID,
        support::USERNAME
    );
    write("sfexport.toml", &org);
    // A literal that no failure may repeat.
    let small = "SELECT Id, Name, Site FROM Account WHERE Name != 'canary'";
    for (name, soql) in [("small", small), ("large", "SELECT Id FROM Account")] {
        write(&format!("jobs/{name}.toml"), &format!("soql = \"{soql}\"\noutput = \"{name}.csv\"\n"));
    }
    let sources = Sources {
        environment: vec![("SFEXPORT_ORG__KEY".into(), support::key_pair().key.clone().into())],
        working_dir: directory.to_owned(),
        ..Sources::default()
    };
    config::load(&sources, &Selection::All).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A fault that may pass: how it ends if it never does, and whether the org may have received a creation that meets it.
struct Passing {
    name: String,
    fault: Fault,
    status: u8,
    unanswered: bool,
}

fn passing() -> Vec<Passing> {
    let mut faults = Vec::new();
    let mut add = |name: String, fault: Fault, status: u8, unanswered: bool| {
        faults.push(Passing { name, fault, status, unanswered });
    };
    add("closed".to_owned(), Fault::Close, 69, true);
    for framing in [Framing::Chunked, Framing::Length, Framing::UntilClose] {
        for after in [0, 1, 40] {
            add(format!("cut {framing:?} {after}"), Fault::Cut { after, framing }, 74, true);
        }
    }
    for after in [0, 1, 40] {
        add(format!("truncated at {after}"), Fault::Truncate { after }, 74, true);
    }
    let down = "<html><body>We are down for maintenance.</body></html>";
    for status in [406, 420, 429, 500, 502, 503, 504] {
        // Something on the way speaks for the org; whether it has passed the request on, nobody knows.
        add(format!("{status} as HTML"), Fault::html(status, down), 69, true);
        let empty = Fault::Answer { status, headers: Vec::new(), body: Vec::new() };
        add(format!("{status} and nothing"), empty, 69, true);
        let fault =
            Fault::error(status, "UNKNOWN_EXCEPTION", "An unexpected error occurred. ErrorId: 1-2 (3)");
        add(format!("{status} as JSON"), fault.header("Retry-After", "3"), 69, false);
    }
    add("200 as HTML".to_owned(), Fault::html(200, down), 74, true);
    add("200 and half a word".to_owned(), Fault::body("tru"), 74, true);
    let unpacked = Fault::body("{}").header("Content-Encoding", "gzip");
    add("200, said to be packed".to_owned(), unpacked, 74, true);
    let concurrent = "ConcurrentPerOrgLongTxn Limit exceeded.";
    add("too many at once".to_owned(), Fault::error(403, "REQUEST_LIMIT_EXCEEDED", concurrent), 69, false);
    let metering = "We can't complete the action because enabled transaction security policies took too long to complete.";
    add("metering".to_owned(), Fault::error(400, "TXN_SECURITY_METERING_ERROR", metering), 69, false);
    add("a redirect".to_owned(), Fault::redirect(302, "https://example.com/"), 69, true);
    faults
}

#[test]
fn a_fault_that_passes_does_no_harm_at_any_step() {
    let mut cases = vec![Case::new("undisturbed", [], End::Whole)];
    for Passing { name, fault, status, unanswered } in passing() {
        for step in STEPS {
            // A page without the headers that count it is not asked for again by itself: the download begins again.
            let unanswered = unanswered && step == Step::Create;
            let case =
                |name: String, rule: Rule, end: End| Case::new(name, [rule], end).unanswered(unanswered);
            for (word, times) in [("once", 1), ("twice", 2)] {
                let rule = Rule::times(step.at(), times, fault.clone());
                cases.push(case(format!("{name}, {word}, at {step:?}"), rule, End::Whole));
            }
            let rule = Rule::always(step.at(), fault.clone());
            cases.push(case(format!("{name}, always, at {step:?}"), rule, End::Failed(status)));
        }
    }
    let count = runtime().block_on(Matrix::new().run(cases));
    assert!(count > 1_100, "{count} cases");
}

#[test]
fn what_the_org_says_of_a_query_job_ends_as_documented() {
    use End::{ByRest, Failed, Whole};
    let mut cases = Vec::new();
    let mut add = |name: &str, rules: &[Rule], bulk: End, auto: End| {
        let case = Case::new(name, rules.to_vec(), bulk);
        cases.push(case.clone().auto(auto));
        cases.push(case);
    };
    let limit = |text| Fault::error(400, "LIMIT_EXCEEDED", text);
    let jobs = limit("Max bulk v2 query jobs (10000) per 24 hrs has been reached (10021)");
    let size = limit("Max bulk v2 query result size stored (1000000000) kb per 24 hrs has been exceeded");
    let create = |fault: Fault| [Rule::always(Step::Create.at(), fault)];
    add("the limit of jobs", &create(jobs), Failed(75), ByRest("LIMIT_EXCEEDED"));
    add("the limit of results", &create(size), Failed(75), ByRest("LIMIT_EXCEEDED"));
    let entity = Fault::error(400, "INVALIDENTITY", "Entity 'Account' is not supported by the Bulk API.");
    add("a refused object", &create(entity), Failed(65), ByRest("INVALIDENTITY"));
    let other = Fault::error(400, "API_ERROR", "Implementation restriction: ...");
    add("a refused query", &create(other), Failed(65), ByRest("API_ERROR"));
    add(
        "no Bulk API",
        &create(Fault::error(403, "API_DISABLED_FOR_ORG", "no")),
        Failed(77),
        ByRest("API_DIS"),
    );
    add("too long", &create(Fault::html(413, "<h1>413</h1>")), Failed(65), ByRest("too long"));
    add("not found", &create(Fault::error(404, "NOT_FOUND", "no")), Failed(78), ByRest("NOT_FOUND"));

    for step in STEPS {
        let at = |times, fault: Fault| [Rule::times(step.at(), times, fault)];
        let always = |fault| at(usize::MAX, fault);
        let name = |name: &str| format!("{name}, at {step:?}");
        let daily = Fault::error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
        add(&name("the daily limit"), &always(daily), Failed(75), Failed(75));
        add(&name("a retired version"), &always(Fault::error(410, "GONE", "no")), Failed(78), Failed(78));
        add(&name("a lost session"), &at(1, Fault::ExpiredSession), Whole, Whole);
        let refused = || Fault::error(401, "INVALID_SESSION_ID", "Session expired or invalid");
        add(&name("a refused session"), &at(1, refused()), Whole, Whole);
        add(&name("a session refused for ever"), &always(refused()), Failed(77), Failed(77));
        if step != Step::Create {
            let disabled = Fault::error(403, "API_DISABLED_FOR_ORG", "no");
            add(&name("no API any more"), &always(disabled), Failed(77), Failed(77));
        }
    }

    let poll = |fault: Fault| [Rule::always(Step::Poll.at(), fault)];
    let not_found = || Fault::error(404, "NOT_FOUND", "The requested resource does not exist");
    add("unknown at first", &[Rule::times(Step::Poll.at(), 4, not_found())], Whole, Whole);
    add("unknown for ever", &poll(not_found()), Failed(74), Failed(74));
    let fate = |times, fate: Fate| [Rule::times(Step::Poll.at(), times, Fault::Job(fate))];
    add("deleted by somebody", &fate(1, Fate::IsDeleted), Whole, Whole);
    add("deleted each time", &fate(usize::MAX, Fate::IsDeleted), Failed(74), Failed(74));
    add("aborted by somebody", &fate(1, Fate::IsAborted), Whole, Whole);
    add("aborted each time", &fate(usize::MAX, Fate::IsAborted), Failed(74), Failed(74));
    add("failed", &fate(1, Fate::Fails(None)), Failed(69), ByRest("does not say why"));
    for (message, status) in [
        ("InvalidBatch : Failed to process query: INVALID_FIELD: No such column 'Nme'", 65),
        ("InvalidBatch : Failed to process query: QUERY_TIMEOUT: long", 65),
        ("InternalServerError : Retried more than 15 times", 69),
        ("InvalidBatch : Failed to process query: OPERATION_TOO_LARGE: exceeded 100000 distinct ids", 69),
    ] {
        let fate = fate(1, Fate::Fails(Some(message.into())));
        add(message, &fate, Failed(status), ByRest("the query job failed"));
    }
    let never = [Rule::always(Step::Create.at(), Fault::Job(Fate::NeverEnds))];
    add("never done", &never, Failed(69), Failed(69));
    // The first response says that it runs.
    let count = |times, size| [Rule::times(Step::Poll.at(), times, Fault::TotalSize(size)).after(1)];
    for size in [0, 29, 31, 1_000_000] {
        add(&format!("{size} records, once"), &count(1, size), Whole, Whole);
        add(&format!("{size} records, always"), &count(usize::MAX, size), Failed(74), Failed(74));
    }
    add("-1 records, once", &count(1, -1), Whole, Whole);
    add("-1 records, always", &count(usize::MAX, -1), Failed(74), Failed(74));
    let uncounted = |times| {
        let fault =
            Fault::Replace { what: format!("\"numberRecordsProcessed\":{LIVE},"), with: String::new() };
        // The first response says that it runs, and counts none yet.
        [Rule::times(Step::Poll.at(), times, fault).after(1)]
    };
    add("a complete job without a count, once", &uncounted(1), Failed(74), Failed(74));
    add("a complete job without a count, always", &uncounted(usize::MAX), Failed(74), Failed(74));

    for step in PAGES {
        let mut both = |name: &str, fault: Fault, once: End, always: End| {
            for (word, times, end) in [("once", 1, once), ("always", usize::MAX, always)] {
                let rule = [Rule::times(step.at(), times, fault.clone())];
                add(&format!("{name}, {word}, at {step:?}"), &rule, end.clone(), end);
            }
        };
        for rows in [1, 8] {
            both(&format!("{rows} rows missing"), Fault::MissingRows(rows), Whole, Failed(74));
            both(&format!("{rows} rows doubled"), Fault::DoubledRows(rows), Whole, Failed(74));
        }
        for off in [-100, -1, 1] {
            both(&format!("a count that is {off} off"), Fault::NumberOfRecords(off), Whole, Failed(74));
        }
        both("no locator", Fault::NoNextUrl, Whole, Failed(74));
        both("its own locator", Fault::RepeatedLocator, Whole, Failed(74));
        both("a locator to nowhere", Fault::NextUrl("x".to_owned()), Whole, Failed(74));
        both("an empty locator", Fault::NextUrl(String::new()), Whole, Failed(74));
        both("pages without rows", Fault::EmptyPages, Whole, Failed(74));
        both("the same rows again", Fault::RepeatedPages, Whole, Failed(74));
        // On the last page nothing is missing.
        let early = if step == Step::Last { Whole } else { Failed(74) };
        both("done too early", Fault::DoneEarly, Whole, early);
        let header = |with: &str| Fault::Replace { what: "\"Name\"".to_owned(), with: with.to_owned() };
        both("another header", header("\"Nmae\""), Whole, Failed(74));
        both("a column more", header("\"Name\",\"More\""), Whole, Failed(74));
        both("a header in capitals", header("\"NAME\""), Whole, Whole);
        let mark = Fault::Replace { what: "\"Id\",".to_owned(), with: "\u{feff}\"Id\",".to_owned() };
        both("a byte order mark", mark, Whole, Whole);
        both("a strange locator", Fault::Locator("a+/=& %".to_owned()), Whole, Whole);
        let empty = Fault::Answer { status: 200, headers: Vec::new(), body: Vec::new() };
        both("200 and nothing", empty, Whole, Failed(74));
        both("something that is not CSV", Fault::body("{\"records\":[]}"), Whole, Failed(74));
        both("not found", not_found(), Whole, Failed(74));
        both("deleted by somebody", Fault::Job(Fate::IsDeleted), Whole, Failed(74));
        both("another version", Fault::error(409, "API_ERROR", "version"), Whole, Failed(74));
        both("not complete", Fault::error(412, "JOB_NOT_COMPLETE", "IN_PROGRESS"), Whole, Failed(69));
        both("a lost locator", Fault::error(400, "INVALID_QUERY_LOCATOR", "no"), Whole, Failed(74));
        both("another refusal", Fault::error(400, "API_ERROR", "no"), Whole, Failed(74));
        both(
            "no result",
            Fault::Answer { status: 204, headers: Vec::new(), body: Vec::new() },
            Whole,
            Failed(74),
        );
    }
    let count = runtime().block_on(Matrix::new().run(cases));
    assert!(count > 850, "{count} cases");
}

#[test]
fn a_query_job_that_cannot_be_removed_is_left_to_the_next_run() {
    let mut cases = Vec::new();
    let never = || Rule::always(Step::Create.at(), Fault::Job(Fate::NeverEnds));
    for Passing { name, fault, .. } in passing() {
        // A response of success is one, whatever follows its head.
        if matches!(fault, Fault::Cut { .. } | Fault::Truncate { .. }) || name.starts_with("200, said") {
            continue;
        }
        let delete = Rule::always(At::BulkDelete(1), fault.clone());
        if !name.starts_with("200") {
            let case = Case::new(format!("{name}, at the removal"), [delete], End::Whole);
            cases.push(Case { left: true, ..case });
            // The org has ended the job whose end it does not confirm, so the removal succeeds.
            let left = fault != Fault::Close;
            let abort = Rule::always(At::BulkAbort(1), fault);
            let case = Case::new(format!("{name}, at the end"), [never(), abort], End::Failed(69));
            cases.push(Case { left, ..case });
        }
    }
    for (name, fault) in [
        ("a lost session", Fault::ExpiredSession),
        ("a refused session", Fault::error(401, "INVALID_SESSION_ID", "Session expired or invalid")),
        ("a broken connection", Fault::Close),
    ] {
        for (step, at) in [("removal", At::BulkDelete(1)), ("end", At::BulkAbort(1))] {
            let end = if step == "end" { End::Failed(69) } else { End::Whole };
            let rules = [Rule::once(at, fault.clone())].into_iter().chain((step == "end").then(never));
            cases.push(Case::new(format!("{name}, once, at the {step}"), rules, end));
        }
    }
    let gone = Rule::always(At::BulkDelete(1), Fault::Job(Fate::IsDeleted));
    cases.push(Case::new("removed by somebody", [gone], End::Whole));
    let gone = Rule::always(At::BulkAbort(1), Fault::Job(Fate::IsDeleted));
    cases.push(Case::new("removed before its end", [never(), gone], End::Failed(69)));
    let ended = Rule::always(At::BulkAbort(1), Fault::Job(Fate::IsAborted));
    cases.push(Case::new("ended by somebody", [never(), ended], End::Failed(69)));
    let count = runtime().block_on(Matrix::new().run(cases));
    assert!(count > 100, "{count} cases");
}

#[test]
fn a_connection_that_falls_silent_is_given_up() {
    let mut cases = Vec::new();
    for step in STEPS {
        let unanswered = step == Step::Create;
        for (name, fault) in [
            ("silence", Fault::HalfOpen { after: None }),
            ("silence within", Fault::HalfOpen { after: Some(40) }),
            ("a stall", Fault::Stall { after: 40, pause: Duration::from_secs(30) }),
        ] {
            let case = |times, end| {
                let rule = Rule::times(step.at(), times, fault.clone());
                Case::new(format!("{name}, {times} times, at {step:?}"), [rule], end)
                    .unanswered(unanswered)
                    .impatient()
            };
            cases.extend([case(1, End::Whole), case(usize::MAX, End::Failed(69))]);
        }
    }
    // Slower than a request may be, but never silent: a page may take as long as it takes.
    for step in PAGES {
        let fault = Fault::Drip { bytes: 24, pause: Duration::from_millis(40) };
        cases.push(
            Case::new(format!("drops, at {step:?}"), [Rule::once(step.at(), fault)], End::Whole).impatient(),
        );
    }
    let count = runtime().block_on(Matrix::new().run(cases));
    assert!(count > 60, "{count} cases");
}

#[test]
fn a_page_cut_at_any_place_is_fetched_again() {
    let mut cases = Vec::new();
    for step in PAGES {
        for after in (0..900).step_by(37) {
            for framing in [Framing::Chunked, Framing::Length, Framing::UntilClose] {
                let rule = Rule::once(step.at(), Fault::Cut { after, framing });
                let name = format!("cut {framing:?} after {after}, at {step:?}");
                cases.push(Case::new(name, [rule], End::Whole));
            }
            let rule = Rule::once(step.at(), Fault::Truncate { after });
            cases.push(Case::new(format!("truncated after {after}, at {step:?}"), [rule], End::Whole));
        }
    }
    let count = runtime().block_on(Matrix::new().run(cases));
    assert!(count > 550, "{count} cases");
}

#[test]
fn a_list_of_pages_that_fails_is_done_without() {
    let mut cases = vec![Case::new("undisturbed", [], End::Whole).large()];
    let mut add = |name: &str, rule: Rule, end: End| {
        cases.push(Case::new(name, [rule], end).large());
    };
    let list = |fault: Fault| Rule::always(At::BulkPages(1), fault);
    add("no list", list(Fault::error(404, "NOT_FOUND", "no")), End::Whole);
    add("an unreadable list", list(Fault::body("{\"pages\":[]}")), End::Whole);
    add("a list in HTML", list(Fault::html(200, "<html>")), End::Whole);
    add("an unavailable list", list(Fault::error(503, "UNKNOWN_EXCEPTION", "no")), End::Whole);
    add("a refused list", list(Fault::error(400, "API_ERROR", "no")), End::Whole);
    add("an empty list", list(Fault::body("{\"resultPages\":[],\"done\":true}")), End::Whole);
    let second = Rule::always(At::BulkPages(2), Fault::error(503, "UNKNOWN_EXCEPTION", "no"));
    add("a first list alone", second, End::Whole);
    add("a lost session", Rule::once(At::BulkPages(1), Fault::ExpiredSession), End::Whole);
    let daily = Fault::error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
    // One page at a time asks for no list.
    add("a cut page", Rule::once(At::BulkResults(3), Fault::MissingRows(5)), End::Whole);
    add("the daily limit", Rule::always(At::BulkResults(2), daily), End::Failed(75));
    let count = runtime().block_on(Matrix::new().run(cases));
    assert!(count > 20, "{count} cases");
}
