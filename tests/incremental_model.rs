//! Random histories of an org and of the jobs that follow it. A consumer written for this test loads each file as the
//! documentation says, and what it holds is compared with a record of the org kept apart from both. `CI_FULL=1` runs all
//! histories; the usual tests run a share.

#![cfg(feature = "demo-org")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails is a test that fails; how much was tried is worth a line"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use sfexport::batch::{self, Batch};
use sfexport::clock::{Clock, Sleep, System};
use sfexport::config::{self, Selection, Sources};
use sfexport::demo_org::{
    At, BulkOptions, DemoOrg, Fault, Options, OrgClock, RecordId, Rule, Transaction, Value,
};
use sfexport::export::{Edges, Extent};
use sfexport::job::{Api, ExportKey, JobName};
use sfexport::monitor::Silent;
use sfexport::org::OrgName;
use sfexport::state::{State, Watermark};
use sfexport::stop::Stop;
use support::random::Random;
use support::{CLIENT_ID, USERNAME, key_pair, options};

/// Histories in process and through the binary: in the usual tests, and in all.
const HISTORIES: (u64, u64) = (60, 2_000);
const HISTORIES_OF_THE_BINARY: (u64, u64) = (4, 100);
/// How many runs a history has before its org is left alone.
const RUNS: usize = 7;
const LAG: SignedDuration = SignedDuration::from_mins(15);
/// How long a transaction may take.
const LATEST: SignedDuration = SignedDuration::from_mins(10);
/// How long the recycle bin keeps a record.
const BIN: SignedDuration = SignedDuration::from_hours(15 * 24);

fn histories((some, all): (u64, u64)) -> u64 {
    let asked = std::env::var("INCREMENTAL_HISTORIES").ok().and_then(|count| count.parse().ok());
    asked.unwrap_or(if std::env::var_os("CI_FULL").is_some() { all } else { some })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_history_of_an_org_makes_an_export_miss_a_change() {
    let began = Instant::now();
    let mut tally = Tally::default();
    let only = std::env::var("INCREMENTAL_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let count = histories(HISTORIES);
    for seed in only.map_or(0..count, |seed| seed..seed + 1) {
        let mut history = History::new(seed, false).await;
        history.run().await;
        tally.add(&history.tally);
    }
    println!("{count} histories in {:.1} s: {tally:?}", began.elapsed().as_secs_f64());
    if only.is_none() {
        tally.is_worth_something(count);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_makes_an_export_miss_no_change() {
    let began = Instant::now();
    let mut tally = Tally::default();
    let count = histories(HISTORIES_OF_THE_BINARY);
    for seed in 0..count {
        let mut history = History::new(1_000_000 + seed, true).await;
        history.run().await;
        tally.add(&history.tally);
    }
    println!("{count} histories in {:.1} s: {tally:?}", began.elapsed().as_secs_f64());
    assert!(tally.runs as u64 >= count * 5 && tally.changes > 0, "{tally:?}");
}

/// What the histories consisted of.
#[derive(Debug, Default)]
struct Tally {
    runs: usize,
    failed: usize,
    killed: usize,
    full: usize,
    changes: usize,
    by_bulk: usize,
    rows: usize,
    deletes: usize,
    late: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        let Self { runs, failed, killed, full, changes, by_bulk, rows, deletes, late } = other;
        self.runs += runs;
        self.failed += failed;
        self.killed += killed;
        self.full += full;
        self.changes += changes;
        self.by_bulk += by_bulk;
        self.rows += rows;
        self.deletes += deletes;
        self.late += late;
    }

    /// The histories have everything in them that they are there for.
    fn is_worth_something(&self, histories: u64) {
        let least = histories as usize;
        assert!(self.changes > least && self.full > least, "{self:?}");
        assert!(self.failed > 0 && self.killed > 0 && self.by_bulk > 0, "{self:?}");
        assert!(self.deletes > 0 && self.late > least / 2, "{self:?}");
    }
}

/// The exporter's clock: the org's, and so many seconds beside it.
struct Wall {
    org: OrgClock,
    ahead: Arc<AtomicI64>,
    system: System,
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        self.org.now() + SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Duration {
        self.system.elapsed()
    }

    fn sleep(&self, wait: Duration) -> Sleep<'_> {
        Box::pin(async move { self.system.sleep(wait / 100).await })
    }

    fn random(&self) -> u64 {
        self.system.random()
    }
}

/// A row as the org has it, kept by the test alone.
#[derive(Debug, Clone, PartialEq)]
struct Truth {
    id: RecordId,
    created: Timestamp,
    stamp: Timestamp,
    version: u32,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Live,
    Bin(Timestamp),
    /// Whether it was purged before the recycle bin would have let it go.
    Gone {
        early: bool,
    },
}

/// A change, as the test notes it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Update,
    Touch,
    Delete,
    Undelete,
    Purge,
}

/// A transaction that is not committed yet.
struct Open {
    object: &'static str,
    transaction: Transaction,
    changes: Vec<(Change, RecordId)>,
    inserts: usize,
}

/// A row as the consumer has it.
#[derive(Debug, Clone)]
struct Loaded(BTreeMap<String, String>);

impl Loaded {
    fn cell(&self, column: &str) -> &str {
        self.0.get(column).unwrap_or_else(|| panic!("no {column} in {self:?}"))
    }

    fn time(&self, column: &str) -> Timestamp {
        time(self.cell(column))
    }
}

fn time(text: &str) -> Timestamp {
    text.replace("+0000", "Z").parse().unwrap()
}

/// What the job is at the moment.
#[derive(Debug, Clone)]
struct Settings {
    shape: JobShape,
    api: &'static str,
    deletes: &'static str,
    field: Option<&'static str>,
    since: Option<&'static str>,
    rating: bool,
    full: bool,
    named_by_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum JobShape {
    Object,
    Soql,
    Set,
    /// Rows that never change, by CreatedDate.
    History,
}

impl Settings {
    fn draw(random: &mut Random) -> Self {
        use JobShape::{History, Object, Set, Soql};
        Self {
            shape: *random.pick(&[Object, Object, Soql, Soql, Set, History]),
            api: *random.pick(&["rest", "rest", "bulk", "auto"]),
            deletes: *random.pick(&["rows", "ids", "ids", "none"]),
            field: *random.pick(&[None, None, Some("SystemModstamp"), Some("LastModifiedDate")]),
            since: *random.pick(&[None, Some("2021-06-01T00:00:00Z"), Some("2023-01-01T00:00:00Z")]),
            rating: random.one_in(2),
            full: random.one_in(3),
            named_by_run: !random.one_in(4),
        }
    }

    /// One thing becomes another.
    fn edit(&mut self, random: &mut Random) {
        let new = Self::draw(random);
        match random.below(5) {
            0 => self.since = new.since,
            1 => self.rating = new.rating,
            2 => self.field = new.field,
            3 => self.deletes = new.deletes,
            _ => self.api = new.api,
        }
    }

    fn objects(&self) -> &'static [&'static str] {
        match self.shape {
            JobShape::Object | JobShape::Soql => &["Account"],
            JobShape::Set => &["Account", "Contact"],
            JobShape::History => &["AccountHistory"],
        }
    }

    fn is_history(&self) -> bool {
        self.shape == JobShape::History
    }

    fn deletes(&self) -> &'static str {
        if self.is_history() { "none" } else { self.deletes }
    }

    fn stamp(&self) -> &'static str {
        if self.is_history() { "CreatedDate" } else { self.field.unwrap_or("SystemModstamp") }
    }

    fn columns(&self) -> Vec<&'static str> {
        if self.is_history() {
            return vec!["Id", "CreatedDate", "Field"];
        }
        let mut columns = vec!["Id", "Name", "CreatedDate", "SystemModstamp", "LastModifiedDate"];
        // Contacts have no such field.
        if self.rating && self.shape != JobShape::Set {
            columns.push("Rating");
        }
        columns
    }

    fn asks_for(&self, row: &Truth) -> bool {
        self.since.is_none_or(|since| row.created >= time(since))
    }

    fn toml(&self) -> String {
        let quoted =
            |names: &[&str]| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let condition = self.since.map(|since| format!("CreatedDate >= {since}"));
        let of_set = condition.clone().filter(|_| self.shape == JobShape::Set);
        let mut columns = self.columns();
        let source = match self.shape {
            JobShape::Soql => {
                columns.push("IsDeleted");
                let clause = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
                format!("soql = \"SELECT {} FROM Account{clause}\"\n", columns.join(", "))
            }
            JobShape::Set => format!("objects = [{}]\n", quoted(self.objects())),
            JobShape::Object | JobShape::History => {
                let mut text = format!("object = \"{}\"\n", self.objects()[0]);
                text += &format!("fields = [{}]\n", quoted(&columns));
                if let Some(condition) = condition {
                    text += &format!("where = \"{condition}\"\n");
                }
                text
            }
        };
        let object = if self.shape == JobShape::Set { "{object}" } else { self.objects()[0] };
        let name = if self.named_by_run { "-{run_id}" } else { "" };
        let mut text = format!(
            "{source}api = \"{}\"\noutput = \"{object}/{{kind}}-{{mark}}{name}.csv\"\n\n[incremental]\ndeletes = \"{}\"\n",
            self.api,
            self.deletes()
        );
        if let Some(field) = self.field.filter(|_| !self.is_history()) {
            text += &format!("field = \"{field}\"\n");
        }
        if self.full {
            text += "full = \"0 3 * * 0\"\n";
        }
        if self.shape == JobShape::Set {
            for object in self.objects() {
                text += &format!("\n[objects_with.{object}]\nfields = [{}]\n", quoted(&self.columns()));
                if let Some(condition) = &of_set {
                    text += &format!("where = \"{condition}\"\n");
                }
            }
        }
        text
    }
}

struct History {
    seed: u64,
    random: Random,
    org: DemoOrg,
    clock: OrgClock,
    ahead: Arc<AtomicI64>,
    directory: tempfile::TempDir,
    /// Whether the binary runs, instead of the library.
    binary: bool,
    settings: Settings,
    truth: BTreeMap<&'static str, BTreeMap<String, Truth>>,
    open: Vec<Open>,
    /// What the consumer holds of each object.
    tables: BTreeMap<&'static str, BTreeMap<String, Loaded>>,
    seen: BTreeSet<PathBuf>,
    log_is_purged: bool,
    /// Whether the job was edited or the org replaced after the last export, so that the mark no longer applies.
    starts_over: bool,
    orgs: u32,
    tally: Tally,
}

impl History {
    async fn new(seed: u64, binary: bool) -> Self {
        let mut random = Random(seed.wrapping_mul(0x5851_F42D_4C95_7F2D) ^ 17);
        // The binary has the computer's clock, which must not be behind the org's.
        let clock = OrgClock::at(time("2026-06-03T08:00:17Z"));
        let bulk = BulkOptions {
            polls: 0,
            page_rows: *random.pick(&[7, 1_000]),
            chunk_rows: *random.pick(&[None, Some(50)]),
            ..BulkOptions::default()
        };
        let page_size = *random.pick(&[5, 2_000]);
        let org =
            DemoOrg::start(Options { clock: clock.clone(), bulk, page_size, ..options(14) }).await.unwrap();
        let mut truth = BTreeMap::new();
        for object in ["Account", "Contact", "AccountHistory"] {
            // History tables are small.
            if object == "AccountHistory" {
                org.insert(object, 5);
                clock.advance(Duration::from_secs(3_600));
            }
            let rows = org.data().rows(object).map(|row| {
                let at = |field: &str| match row.value(field) {
                    Some(Value::Datetime(at)) => at,
                    _ => time("1970-01-01T00:00:00Z"),
                };
                let stamp = if object == "AccountHistory" { "CreatedDate" } else { "SystemModstamp" };
                let place = if row.is_deleted() { Place::Bin(clock.now()) } else { Place::Live };
                let truth =
                    Truth { id: row.id(), created: at("CreatedDate"), stamp: at(stamp), version: 0, place };
                (row.id().to_string(), truth)
            });
            truth.insert(object, rows.collect());
        }
        let shm = Path::new("/dev/shm");
        let directory =
            if shm.is_dir() { tempfile::tempdir_in(shm).unwrap() } else { tempfile::tempdir().unwrap() };
        let settings = Settings::draw(&mut random);
        let (ahead, tables) = (Arc::default(), BTreeMap::new());
        let (open, seen, tally) = (Vec::new(), BTreeSet::new(), Tally::default());
        let history = Self {
            seed,
            random,
            org,
            clock,
            ahead,
            directory,
            binary,
            settings,
            truth,
            open,
            tables,
            seen,
            log_is_purged: false,
            starts_over: false,
            orgs: 0,
            tally,
        };
        history.configure();
        history
    }

    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    fn configure(&self) {
        let key = self.path("server.key");
        fs::write(&key, &key_pair().key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let config = format!(
            "[org]\nlogin_url = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nusername = \"{USERNAME}\"\n\
             key_file = \"server.key\"\n\n{}\nattempts = 2\n",
            self.org.url(),
            support::NO_WAITS
        );
        fs::write(self.path("sfexport.toml"), config).unwrap();
        fs::create_dir_all(self.path("jobs")).unwrap();
    }

    /// Everything that happens to the org, the jobs and the runs; then the org is left alone.
    async fn run(&mut self) {
        for _ in 0..RUNS {
            for _ in 0..1 + self.random.below(6) {
                self.live();
            }
            if self.random.one_in(5) {
                self.settings.edit(&mut self.random);
                self.starts_over = true;
            }
            if self.random.one_in(40) {
                self.refresh();
            }
            self.step_clock();
            // A run asks for the rows deleted since its first second. Those of the same second before it are not meant.
            self.wait(SignedDuration::from_secs(1));
            self.one_run(false, false).await;
        }
        self.commit_all();
        self.ahead.store(0, Ordering::Relaxed);
        self.clock.advance(Duration::from_secs(LAG.as_secs() as u64 + 120));
        self.one_run(true, false).await;
        self.compare(false);
        self.clock.advance(Duration::from_secs(60));
        self.one_run(true, true).await;
        self.compare(true);
    }

    fn pass(&mut self, time: SignedDuration) {
        self.clock.advance(time.unsigned_abs());
        let now = self.clock.now();
        // Nothing stays open for longer than a transaction may take.
        let due: Vec<_> =
            self.open.extract_if(.., |open| now.duration_since(open.transaction.began()) >= LATEST).collect();
        assert!(due.iter().all(|open| now.duration_since(open.transaction.began()) <= LATEST));
        due.into_iter().for_each(|open| self.commit(open));
        // The recycle bin lets go of old records.
        for object in ["Account", "Contact"] {
            let old: Vec<_> = self.truth[object]
                .values()
                .filter(|row| matches!(row.place, Place::Bin(since) if now.duration_since(since) > BIN))
                .map(|row| row.id)
                .collect();
            self.org.purge(&old);
            for id in old {
                self.truth.get_mut(object).unwrap().get_mut(&id.to_string()).unwrap().place =
                    Place::Gone { early: false };
            }
        }
    }

    /// Time goes by, in steps that open transactions can bear.
    fn wait(&mut self, mut rest: SignedDuration) {
        while rest.is_positive() {
            let now = self.clock.now();
            let bearable = self.open.iter().map(|open| LATEST - now.duration_since(open.transaction.began()));
            let step = bearable.chain([rest]).min().unwrap();
            self.pass(step);
            rest -= step;
        }
    }

    /// One thing happens in the org.
    fn live(&mut self) {
        let seconds = match self.random.below(12) {
            0 => 0,
            1..=4 => self.random.below(60),
            5..=8 => self.random.below(20 * 60),
            9 | 10 => self.random.below(8 * 3_600),
            _ if self.random.one_in(4) => 15 * 86_400 + self.random.below(3_600),
            _ => self.random.below(3 * 86_400),
        };
        self.wait(SignedDuration::from_secs(seconds as i64));
        let object = *self.random.pick(self.settings.objects());
        if object == "AccountHistory" {
            let count = if self.random.one_in(40) { 2_000 } else { 1 + self.random.below(4) };
            let open = self.begin(object, Vec::new(), count);
            return self.commit_soon(open);
        }
        let live = |row: &Truth| row.place == Place::Live;
        let binned = |row: &Truth| matches!(row.place, Place::Bin(_));
        let count = 1 + self.random.below(4);
        let (change, rows, inserts) = match self.random.below(20) {
            0..4 => (Change::Update, Vec::new(), count),
            4..10 => (Change::Update, self.some(object, count, live), 0),
            10..14 => (Change::Delete, self.some(object, 1, live), 0),
            14 | 15 => (Change::Undelete, self.some(object, 1, binned), 0),
            16 => (Change::Purge, self.some(object, 1, binned), 0),
            17 => (Change::Purge, self.some(object, 1, live), 0),
            // Rows that something touches every minute, and sometimes all of them.
            18 => (Change::Touch, self.some_of_all(object, live), 0),
            _ if self.random.one_in(8) => (Change::Update, Vec::new(), 2_000),
            _ => {
                if self.random.one_in(6) && !self.settings.is_history() {
                    self.org.purge_delete_log();
                    self.log_is_purged = true;
                }
                (Change::Touch, self.some(object, 1, live), 0)
            }
        };
        let changes = rows.into_iter().map(|id| (change, id)).collect();
        let open = self.begin(object, changes, inserts);
        self.commit_soon(open);
    }

    /// Rows that no open transaction holds.
    fn some(&mut self, object: &str, count: usize, fits: impl Fn(&Truth) -> bool) -> Vec<RecordId> {
        let held: BTreeSet<_> =
            self.open.iter().flat_map(|open| &open.changes).map(|(_, id)| id.to_string()).collect();
        let mut rows: Vec<_> = self.truth[object]
            .iter()
            .filter(|(id, row)| fits(row) && !held.contains(*id))
            .map(|(_, row)| row.id)
            .collect();
        while rows.len() > count {
            if rows.len() > 64 {
                rows.truncate(64);
            }
            let at = self.random.below(rows.len());
            rows.swap_remove(at);
        }
        rows
    }

    fn begin(&self, object: &'static str, changes: Vec<(Change, RecordId)>, inserts: usize) -> Open {
        let mut transaction = self.org.begin();
        for (change, id) in &changes {
            transaction = match change {
                Change::Update => transaction.update(&[*id]),
                Change::Touch => transaction.touch(&[*id]),
                Change::Delete => transaction.delete(&[*id]),
                Change::Undelete => transaction.undelete(&[*id]),
                Change::Purge => transaction.purge(&[*id]),
            };
        }
        if inserts > 0 {
            transaction = transaction.insert(object, inserts);
        }
        Open { object, transaction, changes, inserts }
    }

    /// At once, or up to ten minutes later.
    fn commit_soon(&mut self, open: Open) {
        if self.random.one_in(3) {
            self.tally.late += 1;
            self.open.push(open);
        } else {
            self.commit(open);
        }
    }

    fn commit(&mut self, open: Open) {
        let Open { object, transaction, changes, inserts } = open;
        let began = transaction.began();
        let inserted = transaction.commit();
        assert_eq!(inserted.len(), inserts);
        let rows = self.truth.get_mut(object).unwrap();
        for (change, id) in changes {
            let row = rows.get_mut(&id.to_string()).unwrap();
            match change {
                Change::Update => row.version += 1,
                Change::Touch => {}
                Change::Delete => row.place = Place::Bin(began),
                Change::Undelete => row.place = Place::Live,
                Change::Purge => row.place = Place::Gone { early: true },
            }
            let least = match change {
                // An undelete is never of the same second as the delete.
                Change::Undelete => row.stamp + SignedDuration::from_secs(1),
                _ => row.stamp,
            };
            row.stamp = began.max(least);
        }
        for id in inserted {
            let truth = Truth { id, created: began, stamp: began, version: 0, place: Place::Live };
            rows.insert(id.to_string(), truth);
        }
    }

    fn commit_all(&mut self) {
        for open in std::mem::take(&mut self.open) {
            self.commit(open);
        }
    }

    /// The sandbox is refreshed: another org at the same address, with rows that are older than any mark.
    fn refresh(&mut self) {
        self.commit_all();
        let object = self.settings.objects()[0];
        let rows = match object {
            "AccountHistory" => Vec::new(),
            _ => self.some(object, 2, |row| row.place == Place::Live),
        };
        let changes = rows.into_iter().map(|id| (Change::Update, id)).collect();
        let open = self.begin(object, changes, 1);
        self.clock.advance(Duration::from_secs(3 * 3_600));
        self.commit(open);
        self.orgs += 1;
        self.org.become_org(self.orgs);
        // What it has lost, the old org had.
        self.tables.clear();
        self.starts_over = true;
    }

    fn step_clock(&mut self) {
        let minutes = *self.random.pick(&[0, 0, -1, 25, 300, 30 * 24 * 60, -2 * 24 * 60]);
        // A clock that is days behind lets no login succeed.
        let minutes = if minutes < -10 && !self.random.one_in(4) { 0 } else { minutes };
        self.ahead.store(minutes * 60, Ordering::Relaxed);
    }

    /// All rows, or two.
    fn some_of_all(&mut self, object: &str, fits: impl Fn(&Truth) -> bool) -> Vec<RecordId> {
        let count = if self.random.one_in(3) { usize::MAX } else { 2 };
        self.some(object, count, fits)
    }

    fn watermarks(&self) -> BTreeMap<String, Timestamp> {
        let Ok(state) = State::open(&self.path("state")) else { return BTreeMap::new() };
        watermarks(&state).into_iter().map(|(key, watermark)| (key.to_string(), watermark.mark)).collect()
    }

    async fn one_run(&mut self, undisturbed: bool, wants_full: bool) {
        fs::write(self.path("jobs/model.toml"), self.settings.toml()).unwrap();
        self.org.clear_script();
        let disturbance = if undisturbed { Disturbance::None } else { self.disturb() };
        let before = self.watermarks();
        let ended = match self.binary {
            true => self.run_binary(wants_full, &disturbance).await,
            false => self.run_library(wants_full, &disturbance).await,
        };
        self.org.clear_script();
        self.tally.runs += 1;
        let loaded = self.load();
        if matches!(ended, Ended::Succeeded) || (loaded > 0 && self.settings.shape != JobShape::Set) {
            self.starts_over = false;
        }
        match ended {
            Ended::Succeeded => {}
            Ended::Failed(status, why) => {
                self.tally.failed += 1;
                let expected =
                    !undisturbed && (disturbance != Disturbance::None || [75, 77].contains(&status));
                assert!(expected, "{}: status {status}, {why}", self.context());
                if self.settings.shape != JobShape::Set && status != 70 {
                    assert_eq!((self.watermarks(), loaded), (before, 0), "{}: {why}", self.context());
                }
            }
            Ended::Killed => {
                self.tally.killed += 1;
                self.wait_for_lock().await;
            }
        }
        self.check_marks();
    }

    /// A run that is dropped within this process may have a thread that is still busy.
    async fn wait_for_lock(&self) {
        let Ok(state) = State::open(&self.path("state")) else { return };
        let end = Instant::now() + Duration::from_secs(10);
        while state.lock_job(&job_key()).is_err() {
            assert!(Instant::now() < end, "{}: the job stays locked", self.context());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn context(&self) -> String {
        format!("seed {}, {}\n{}", self.seed, self.clock.now(), self.settings.toml())
    }

    fn disturb(&mut self) -> Disturbance {
        let skip = self.random.below(9);
        let everywhere = || At::Containing("/services/".to_owned());
        let ahead = Arc::clone(&self.ahead);
        let fault = match self.random.below(16) {
            0 => Fault::error(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred."),
            1 => Fault::Close,
            2 => Fault::ExpiredSession,
            3 => Fault::LostLocator,
            4 => Fault::StopAfter(2),
            5 => Fault::MissingRows(1),
            6 => Fault::error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
            // Within this process the exports of a set have threads of their own, which nothing kills.
            7 | 8 if self.binary || self.settings.shape != JobShape::Set => return Disturbance::Kill(skip),
            9 if self.binary => return Disturbance::KillAtPublish,
            9 | 10 => {
                // The exporter's clock jumps while it runs.
                Fault::hook(move |_| {
                    ahead.fetch_sub(86_400, Ordering::Relaxed);
                })
            }
            _ => return Disturbance::None,
        };
        let times = if self.random.one_in(2) { 1 } else { 40 };
        self.org.script(Rule::times(everywhere(), times, fault).after(skip));
        Disturbance::Fault
    }

    async fn run_library(&mut self, wants_full: bool, disturbance: &Disturbance) -> Ended {
        let sources = Sources {
            config_flag: Some(self.path("sfexport.toml")),
            environment: Vec::new(),
            working_dir: self.directory.path().to_owned(),
            flags: Vec::new(),
            memory_limit: None,
        };
        let config = config::load(&sources, &Selection::All)
            .unwrap_or_else(|failure| panic!("{}: {failure:?}", self.context()));
        let state = State::open(&config.settings.state_dir).unwrap();
        let clock = Wall { org: self.clock.clone(), ahead: Arc::clone(&self.ahead), system: System::new() };
        let edges = Arc::new(Edges::new(&config.settings, Arc::new(clock), Arc::new(Silent), Some(state)));
        let jobs = config.jobs.iter().cloned().map(Arc::new).collect();
        let batch = Batch { jobs, at: None, extent: Extent::Whole, wants_full, object: None, once: None };
        let (_sender, stop) = Stop::new();
        let (killed, kill) = tokio::sync::oneshot::channel();
        if let Disturbance::Kill(skip) = disturbance {
            let killed = std::sync::Mutex::new(Some(killed));
            let hook = Fault::hook(move |_| {
                if let Some(killed) = killed.lock().unwrap().take() {
                    let _ = killed.send(());
                }
            });
            // The request goes unanswered.
            let fault = Fault::All(vec![hook, Fault::Late(Duration::from_secs(5))]);
            self.org.script(Rule::once(At::Containing("/services/".to_owned()), fault).after(*skip));
        } else {
            std::mem::forget(killed);
        }
        let mut worst = Ended::Succeeded;
        let mut by_bulk = 0;
        let run = batch::run(batch, &config, &edges, &stop, |report| {
            by_bulk += usize::from(report.api == Some(Api::Bulk));
            if report.exit_status != 0 {
                let why = format!("{:?} {:?}", report.error, report.hint);
                worst = Ended::Failed(i32::from(report.exit_status), why);
            }
        });
        tokio::select! {
            biased;
            Ok(()) = kill => return Ended::Killed,
            done = run => done.unwrap(),
        }
        self.tally.by_bulk += by_bulk;
        worst
    }

    async fn run_binary(&self, wants_full: bool, disturbance: &Disturbance) -> Ended {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_sfexport"));
        command.env_clear().env("TZ", "UTC").current_dir(self.directory.path()).kill_on_drop(true);
        command.args(["run", "--all"]).args(wants_full.then_some("--full"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let process = Arc::new(AtomicU32::new(0));
        if let Disturbance::Kill(skip) = disturbance {
            let process = Arc::clone(&process);
            let hook = Fault::hook(move |_| kill(process.load(Ordering::Acquire)));
            self.org.script(Rule::once(At::Containing("/services/".to_owned()), hook).after(*skip));
        }
        let child = command.spawn().unwrap();
        let id = child.id().unwrap();
        process.store(id, Ordering::Release);
        let watcher = (*disturbance == Disturbance::KillAtPublish).then(|| {
            let (exports, before) = (self.path("exports"), self.files().len());
            std::thread::spawn(move || {
                let end = Instant::now() + Duration::from_secs(20);
                while Instant::now() < end && Path::new(&format!("/proc/{id}")).exists() {
                    if files_below(&exports).len() > before {
                        return kill(id);
                    }
                }
            })
        });
        let output = child.wait_with_output().await.unwrap();
        if let Some(watcher) = watcher {
            watcher.join().unwrap();
        }
        match output.status.code() {
            Some(0) => Ended::Succeeded,
            Some(status) => Ended::Failed(status, String::from_utf8(output.stderr).unwrap()),
            None => Ended::Killed,
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        files_below(&self.path("exports"))
    }

    /// Loads the files that are new, as a consumer does; gives their number.
    fn load(&mut self) -> usize {
        let files: Vec<_> = self.files().into_iter().filter(|path| !self.seen.contains(path)).collect();
        for path in &files {
            self.seen.insert(path.clone());
            let name = path.file_name().unwrap().to_str().unwrap();
            // The deletes come first, when the file that they belong to is loaded.
            if name.ends_with(".deleted.csv") {
                continue;
            }
            let object = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            let objects = ["Account", "Contact", "AccountHistory"];
            let object = objects.into_iter().find(|known| *known == object).unwrap();
            let rows = rows_of(path);
            self.tally.rows += rows.len();
            let is_full = name.starts_with("full-");
            let table = self.tables.entry(object).or_default();
            if is_full {
                self.tally.full += 1;
                table.clear();
            } else {
                self.tally.changes += 1;
            }
            let deletes = path.with_extension("deleted.csv");
            if deletes.exists() {
                assert!(!is_full, "{}", path.display());
                for row in rows_of(&deletes) {
                    self.tally.deletes += 1;
                    let is_later =
                        |held: &Loaded| row.time("deletedDate") >= held.time(self.settings.stamp());
                    if table.get(row.cell("Id")).is_some_and(is_later) {
                        table.remove(row.cell("Id"));
                    }
                }
            }
            for row in rows {
                let id = row.cell("Id").to_owned();
                if row.0.get("IsDeleted").is_some_and(|deleted| deleted == "true") {
                    table.remove(&id);
                    continue;
                }
                let former = table.insert(id, row);
                // Rows that never change come once.
                assert!(
                    former.is_none() || object != "AccountHistory",
                    "twice: {former:?} in {}",
                    path.display()
                );
            }
        }
        files.len()
    }

    /// Every row whose stamp is at most the mark has been delivered in its latest version.
    fn check_marks(&self) {
        if self.starts_over {
            return;
        }
        let marks = self.watermarks();
        for object in self.settings.objects() {
            let is_of = |key: &str| self.settings.shape != JobShape::Set || key.ends_with(object);
            let Some((_, mark)) = marks.iter().find(|(key, _)| is_of(key)) else { continue };
            for (id, row) in &self.truth[object] {
                if row.stamp <= *mark && self.settings.asks_for(row) {
                    self.check_row(object, id, row, &format!("the mark is {mark}"));
                }
            }
        }
    }

    fn check_row(&self, object: &str, id: &str, row: &Truth, why: &str) {
        let held = self.tables.get(object).and_then(|table| table.get(id));
        match row.place {
            Place::Live => {
                let Some(held) = held else {
                    panic!("{}{object} {row:?} was never delivered; {why}", self.context());
                };
                let stamp = held.time(self.settings.stamp());
                assert_eq!(stamp, row.stamp, "{}{object} {row:?}; {why}", self.context());
                if object != "AccountHistory" {
                    let name = held.cell("Name");
                    let version = name.rsplit_once(" v").and_then(|(_, number)| number.parse().ok());
                    assert_eq!(
                        version.unwrap_or(0),
                        row.version,
                        "{}{object} {row:?} is {name:?}; {why}",
                        self.context()
                    );
                }
                for column in self.settings.columns() {
                    assert!(held.0.contains_key(column), "{}{id} has no {column}; {why}", self.context());
                }
            }
            Place::Bin(_) if self.settings.deletes() == "rows" => {
                assert!(held.is_none(), "{}{object} {row:?} is still there; {why}", self.context());
            }
            Place::Bin(_) | Place::Gone { .. } => {}
        }
    }

    /// The consumer holds what the org holds.
    fn compare(&self, after_full: bool) {
        let complete = watermarks(&State::open(&self.path("state")).unwrap());
        let complete = complete.values().all(|watermark| watermark.deletes_complete);
        for object in self.settings.objects() {
            for (id, row) in &self.truth[object] {
                let held = self.tables.get(object).and_then(|table| table.get(id));
                if !self.settings.asks_for(row) {
                    assert!(held.is_none(), "{}{object} {row:?} is there", self.context());
                    continue;
                }
                self.check_row(object, id, row, "the org was quiet");
                let may_stay = !after_full
                    && match (self.settings.deletes(), row.place) {
                        ("rows", place) => place == Place::Gone { early: true },
                        ("ids", _) => !complete && self.log_is_purged,
                        _ => true,
                    };
                if row.place != Place::Live && !may_stay {
                    assert!(held.is_none(), "{}{object} {row:?} is still there", self.context());
                }
            }
            let held = self.tables.get(object).into_iter().flatten();
            for (id, row) in held {
                assert!(self.truth[object].contains_key(id), "{}{row:?} is not the org's", self.context());
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Disturbance {
    None,
    Fault,
    /// Behind so many requests.
    Kill(usize),
    KillAtPublish,
}

enum Ended {
    Succeeded,
    Failed(i32, String),
    Killed,
}

fn kill(process: u32) {
    if process > 0 {
        let _ = std::process::Command::new("kill").args(["-KILL", &process.to_string()]).status();
    }
}

/// The published files, in the order of their names' directories.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if path.extension().is_some_and(|ending| ending == "csv")
            && !entry.file_name().to_string_lossy().starts_with('.')
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn rows_of(path: &Path) -> Vec<Loaded> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let columns = reader.headers().unwrap().clone();
    let row = |record: csv::StringRecord| {
        Loaded(columns.iter().zip(&record).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect())
    };
    reader.into_records().map(|record| row(record.unwrap())).collect()
}

/// What the job's successful runs left.
fn watermarks(state: &State) -> BTreeMap<ExportKey, Watermark> {
    let job = job_key();
    let objects = state.marked_objects(&job).unwrap();
    let keys = objects.into_iter().map(|object| job.clone().of_object(object)).chain([job.clone()]);
    keys.filter_map(|key| Some((key.clone(), state.watermark_of(&key).unwrap()?))).collect()
}

fn job_key() -> ExportKey {
    ExportKey::new(JobName::parse("model").unwrap(), OrgName::default_org())
}
