//! Incremental exports from outside: what a run of changes holds, when everything is exported instead, where the mark goes, and
//! that it stays where it was when a run fails. The org's clock is moved by hand.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sfexport::demo_org::{At, Catalog, Fault, Options, OrgClock, RecordId, Rule};
use support::Deployment;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// An org of fifty accounts whose clock is twelve hours behind this machine's, so that it can be moved forward without a
/// login expiring.
struct Org {
    at: Deployment,
    clock: OrgClock,
}

impl Org {
    fn new() -> Self {
        let clock = OrgClock::at(whole_minute(Timestamp::now() - SignedDuration::from_hours(12)));
        let options = Options { page_size: 10, clock: clock.clone(), ..support::options(50) };
        Self { at: Deployment::with(options), clock }
    }

    /// With the job `accounts`.
    fn with_job(text: &str) -> Self {
        let org = Self::new();
        org.job(text);
        org
    }

    fn job(&self, text: &str) {
        self.at.write("jobs/accounts.toml", text);
    }

    fn accounts(&self, from: usize, count: usize) -> Vec<RecordId> {
        self.at
            .data()
            .rows("Account")
            .filter(|row| !row.is_deleted())
            .skip(from)
            .take(count)
            .map(|row| row.id())
            .collect()
    }

    /// Runs the job.
    fn run(&self, status: i32) -> Run {
        self.run_with(&[], status)
    }

    fn run_with(&self, more: &[&str], status: i32) -> Run {
        let arguments = ["run", "accounts", "--json"].iter().chain(more);
        let report = self.at.run(arguments).ended(status).reports().remove(0);
        Run {
            text: report["path"].as_str().map(|path| std::fs::read_to_string(path).unwrap_or_default()),
            report,
        }
    }

    /// Waits until what has happened is behind the lag.
    fn settle(&self) {
        self.clock.advance(HOUR);
    }
}

/// A run that has ended.
struct Run {
    report: Value,
    /// The file.
    text: Option<String>,
}

impl Run {
    #[track_caller]
    fn is(&self, kind: &str, reason: Option<&str>) -> &Self {
        assert_eq!(
            (&self.report["kind"], self.report["kind_reason"].as_str()),
            (&kind.into(), reason),
            "{}",
            self.report
        );
        self
    }

    /// The Ids in the file, each once.
    #[track_caller]
    fn ids(&self) -> BTreeSet<String> {
        let rows: Vec<_> = self.rows();
        let ids: BTreeSet<_> = rows.iter().map(|row| row[0].clone()).collect();
        assert_eq!(ids.len(), rows.len(), "an Id comes twice");
        assert_eq!(self.report["records"], rows.len());
        ids
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let text = self.text.as_ref().unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    fn mark(&self) -> Option<Timestamp> {
        self.report["mark"].as_str().map(|mark| mark.parse().unwrap())
    }

    fn warnings(&self) -> Vec<&str> {
        let warnings =
            self.report["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap());
        // The org's clock is far behind on purpose.
        warnings.filter(|warning| !warning.starts_with("this machine's clock")).collect()
    }

    /// The rows of the file of deleted records.
    fn deleted(&self) -> Vec<Vec<String>> {
        let path = self.report["files"][0]["path"].as_str().unwrap();
        assert_eq!(self.report["files"][0]["of"], "deleted");
        let mut reader = csv::Reader::from_path(path).unwrap();
        assert_eq!(reader.headers().unwrap(), ["Id", "deletedDate"].as_slice());
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    }
}

fn refusal() -> Fault {
    let body = br#"[{"message":"No such column","errorCode":"INVALID_FIELD"}]"#.to_vec();
    Fault::Answer {
        status: 400,
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body,
    }
}

fn texts(ids: &[RecordId]) -> BTreeSet<String> {
    ids.iter().map(ToString::to_string).collect()
}

fn whole_minute(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second() / 60 * 60).unwrap()
}

const JOB: &str = "\
object = \"Account\"
fields = [\"Name\"]
output = \"accounts/{kind}-{mark}.csv\"
";

fn job(settings: &str) -> String {
    format!("{JOB}\n[incremental]\n{settings}\n")
}

#[test]
fn changes_are_what_was_stamped_since_the_mark() {
    let org = Org::with_job(&job("deletes = \"none\""));
    let began = org.clock.now();
    let full = org.run(0);
    full.is("full", Some("there is no mark yet"));
    assert_eq!(full.ids(), texts(&org.accounts(0, 100)));
    assert_eq!(full.mark(), Some(began - SignedDuration::from_mins(15)));

    org.settle();
    let changed = org.accounts(3, 4);
    org.at.org().update(&changed);
    let added = org.at.org().insert("Account", 2);
    let changes = org.run(0);
    changes.is("changes", None);
    assert_eq!(changes.ids(), texts(&[changed, added].concat()));
    assert_eq!(changes.report["since"], full.report["mark"]);
    // In their new version.
    let names = |run: &Run| -> std::collections::BTreeMap<_, _> {
        run.rows().into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
    };
    let (old, new) = (names(&full), names(&changes));
    assert!(new.iter().all(|(id, name)| old.get(id).is_none_or(|old| old != name)));
}

#[test]
fn a_record_that_is_committed_late_is_not_missed() {
    let org = Org::with_job(&job("deletes = \"none\""));
    org.run(0);
    org.settle();
    let late = org.accounts(5, 2);
    let transaction = org.at.org().begin();
    let transaction = transaction.update(&late);
    org.clock.advance(9 * MINUTE);
    // Changed after the late records, and committed before them.
    let early = org.accounts(0, 1);
    org.at.org().update(&early);
    assert_eq!(org.run(0).ids(), texts(&early));
    transaction.commit();
    org.clock.advance(MINUTE);
    // The early one is still within the lag.
    assert_eq!(org.run(0).ids(), texts(&[late, early].concat()));
    org.settle();
    org.run(0);
    org.settle();
    assert_eq!(org.run(0).ids(), BTreeSet::new());
}

#[test]
fn changes_begin_one_second_after_the_mark() {
    for field in ["SystemModstamp", "CreatedDate"] {
        let org = Org::with_job(&job(&format!("field = \"{field}\"\ndeletes = \"none\"")));
        let is_fixed = field == "CreatedDate";
        let change = |account: usize| {
            if is_fixed {
                return org.at.org().insert("Account", 1);
            }
            let changed = org.accounts(account, 1);
            org.at.org().update(&changed);
            changed
        };
        let (mark, at_mark) = (org.clock.now(), change(0));
        org.clock.advance(Duration::from_secs(1));
        let after_mark = change(1);
        org.clock.set(mark + SignedDuration::from_mins(15));
        let full = org.run(0);
        assert_eq!(full.mark(), Some(mark), "{field}");
        assert!(full.ids().is_superset(&texts(&at_mark)), "{field}");
        // A full run ends at the mark only if records never change.
        assert_eq!(full.ids().is_disjoint(&texts(&after_mark)), is_fixed);
        org.settle();
        assert_eq!(org.run(0).is("changes", None).ids(), texts(&after_mark), "{field}");
    }
}

#[test]
fn a_failed_run_leaves_the_mark_where_it_was() {
    let org = Org::with_job(&job("deletes = \"none\""));
    let mark = org.run(0).mark();
    org.settle();
    let changed = org.accounts(0, 15);
    org.at.org().update(&changed);
    org.at.script(Rule::once(At::Page(2), refusal()));
    let failed = org.run(65);
    assert_eq!(failed.mark(), None);
    org.settle();
    let changes = org.run(0);
    assert_eq!(changes.report["since"].as_str().map(|since| since.parse().unwrap()), mark);
    assert_eq!(changes.ids(), texts(&changed));
}

#[test]
fn deleted_records_are_rows_with_is_deleted() {
    let org = Org::with_job(&job(""));
    let full = org.run(0);
    assert_eq!(full.text.as_ref().unwrap().lines().next(), Some("Id,Name,SystemModstamp,IsDeleted"));
    org.settle();
    let deleted = org.accounts(0, 2);
    org.at.org().delete(&deleted);
    let rows: Vec<_> = org.run(0).rows().into_iter().map(|row| (row[0].clone(), row[3].clone())).collect();
    let expected: Vec<_> = texts(&deleted).into_iter().map(|id| (id, "true".to_owned())).collect();
    assert_eq!(BTreeSet::from_iter(rows), BTreeSet::from_iter(expected));
}

#[test]
fn deleted_records_are_listed_by_id_beside_the_changes() {
    let org = Org::with_job(&job("deletes = \"ids\""));
    let full = org.run(0);
    assert_eq!(full.report["files"], Value::Array(Vec::new()));
    org.settle();
    let (soft, hard) = (org.accounts(0, 2), org.accounts(5, 1));
    org.at.org().delete(&soft);
    org.at.org().purge(&hard);
    let at = org.clock.now();
    org.clock.advance(2 * MINUTE);
    let changes = org.run(0);
    changes.is("changes", None);
    assert_eq!(changes.report["deleted"], 3);
    assert_eq!(changes.report["deletes_complete"], true);
    let date = at.strftime("%Y-%m-%dT%H:%M:%S.000+0000").to_string();
    let expected = texts(&[soft, hard].concat()).into_iter().map(|id| vec![id, date.clone()]).collect();
    assert_eq!(BTreeSet::from_iter(changes.deleted()), expected);
    // Each is listed once.
    org.settle();
    assert_eq!(org.run(0).deleted(), Vec::<Vec<String>>::new());
}

#[test]
fn a_purged_log_of_deletes_makes_a_full_run_once_a_period() {
    let reason = Some("the org no longer knows all records that were deleted since the last run");
    let org = Org::with_job(&job("deletes = \"ids\""));
    for _ in 0..2 {
        org.run(0);
        org.settle();
        org.at.org().purge_delete_log();
        org.run(0).is("full", reason);
        org.settle();
    }
    // A full run that is due by itself is near enough.
    org.job(&job("deletes = \"ids\"\nfull = \"0 0 1 1 *\""));
    org.run(0).is("changes", None);
    org.settle();
    org.at.org().purge_delete_log();
    let changes = org.run(0);
    changes.is("changes", None);
    assert_eq!(changes.report["deletes_complete"], false);
    org.settle();
    assert_eq!(org.run(0).report["deletes_complete"], false);
    let full = org.run_with(&["--full"], 0);
    full.is("full", Some("a full run was asked for"));
    assert_eq!(full.report["deletes_complete"], true);
}

#[test]
fn a_run_without_changes_publishes_an_empty_file_or_nothing() {
    for (empty, published) in [("publish", true), ("skip", false)] {
        let more = format!(
            "after = [\"touch\", \"{{path}}.loaded\"]\n{}",
            job(&format!("deletes = \"ids\"\nempty = \"{empty}\""))
        );
        let org = Org::with_job(&more);
        org.run(0);
        org.settle();
        let before = org.at.names_below("exports").len();
        let run = org.run(0);
        assert_eq!(run.report["path"].is_string(), published, "{}", run.report);
        // The file, that of deleted records, and the command's.
        assert_eq!(org.at.names_below("exports").len() - before, if published { 3 } else { 0 });
        assert!(run.mark().is_some());
        org.settle();
        // A file of deleted records counts.
        org.at.org().delete(&org.accounts(0, 1));
        org.clock.advance(2 * MINUTE);
        let run = org.run(0);
        assert_eq!((&run.report["records"], run.deleted().len()), (&0.into(), 1));
    }
}

#[test]
fn a_file_that_is_there_is_not_replaced_nor_asked_for() {
    let org = Org::with_job(&job("deletes = \"none\""));
    let first = org.run(0);
    let queries = org.at.requests_to("/services/data/v62.0/query").len();
    // The org's clock has not moved.
    let again = org.run_with(&["--full"], 75);
    assert_eq!(org.at.requests_to("/services/data/v62.0/query").len(), queries);
    assert_eq!(again.text, first.text);
    let error = again.report["error"].as_str().unwrap();
    assert!(error.ends_with("exists already, and an incremental export replaces no file"), "{error}");
}

#[test]
fn everything_is_exported_if_the_job_or_the_org_is_another() {
    let org = Org::with_job(&job("deletes = \"none\""));
    org.run(0);
    let edits = [
        (
            job("deletes = \"none\"").replace("[\"Name\"]", "[\"Name\", \"Phone\"]"),
            Some("column \"Phone\" is new"),
        ),
        // Removing a column does not require a full export.
        (job("deletes = \"none\""), None),
        (
            format!("where = \"Name != null\"\n{}", job("deletes = \"none\"")),
            Some("the job selects other records than before"),
        ),
        (job("deletes = \"none\""), Some("the job selects other records than before")),
        (job("deletes = \"rows\""), Some("the job selects other records than before")),
        (job("deletes = \"rows\"\nlag = \"20m\"\nempty = \"skip\""), None),
        (job("field = \"LastModifiedDate\""), Some("the job selects other records than before")),
    ];
    for (text, reason) in edits {
        org.settle();
        org.job(&text);
        org.run(0).is(if reason.is_some() { "full" } else { "changes" }, reason);
    }
    org.settle();
    org.at.org().become_org(7);
    let full = org.run(0);
    assert_eq!(full.report["kind"], "full");
    assert!(full.report["kind_reason"].as_str().unwrap().starts_with("the mark belongs to another org, 00D"));
}

#[test]
fn a_mark_ahead_of_the_orgs_clock_is_a_mistake() {
    let org = Org::with_job(&job("deletes = \"none\""));
    org.run(0);
    org.clock.set(org.clock.now() - SignedDuration::from_mins(16));
    let mark = org.at.text("state/watermarks/accounts@default.json");
    let queries = org.at.requests_to("/services/data/v62.0/query").len();
    let failed = org.run(78);
    assert_eq!(org.at.requests_to("/services/data/v62.0/query").len(), queries);
    assert_eq!(org.at.text("state/watermarks/accounts@default.json"), mark);
    org.at.run(["check", "accounts"]).ended(78);
    assert!(failed.report["hint"].as_str().unwrap().contains("sfexport watermark accounts --reset"));
    org.at.run(["watermark", "accounts", "--reset"]).ended(0);
    org.run(0).is("full", Some("there is no mark yet"));
}

#[test]
fn records_that_never_change_come_exactly_once() {
    let org = Org::with_job(&job("field = \"CreatedDate\"\ndeletes = \"none\""));
    let mut seen = org.run(0).ids();
    let transaction = org.at.org().begin();
    let transaction = transaction.insert("Account", 3);
    for _ in 0..4 {
        org.clock.advance(5 * MINUTE);
        org.at.org().insert("Account", 2);
        let ids = org.run(0).ids();
        assert!(ids.is_disjoint(&seen), "a record comes again");
        seen.extend(ids);
    }
    transaction.commit();
    org.settle();
    seen.extend(org.run(0).ids());
    assert_eq!(seen.len(), org.at.data().rows("Account").filter(|row| !row.is_deleted()).count() - 3);
}

#[test]
fn an_uncertain_count_leaves_the_mark_where_it_was() {
    let org = Org::with_job(&format!("count_check = \"warn\"\n{}", job("deletes = \"none\"")));
    let mark = org.run(0).mark().unwrap();
    org.settle();
    let changed = org.accounts(0, 12);
    org.at.org().update(&changed);
    org.at.script(Rule::once(At::Page(1), Fault::TotalSize(13)));
    let short = org.run(0);
    assert_eq!((short.mark(), &short.report["count"]), (None, &"differs".into()));
    let warning = format!(
        "the mark stays at {mark}, because the number of records is uncertain; the next run exports them again"
    );
    assert!(short.warnings().contains(&warning.as_str()), "{:?}", short.warnings());
    org.settle();
    let again = org.run(0);
    assert_eq!((again.ids(), again.mark().is_some()), (texts(&changed), true));
}

#[test]
fn a_command_that_fails_again_keeps_the_next_changes_back() {
    let org = Org::with_job(&format!("after = [\"test\", \"-e\", \"loads\"]\n{}", job("deletes = \"none\"")));
    org.run(70);
    org.settle();
    let changed = org.accounts(0, 1);
    org.at.org().update(&changed);
    let queries = org.at.requests_to("/services/data/v62.0/query").len();
    assert_eq!(org.run(70).mark(), None);
    assert_eq!(org.at.requests_to("/services/data/v62.0/query").len(), queries);
    org.at.write("loads", "");
    assert_eq!(org.run(0).ids(), texts(&changed));
}

#[test]
fn a_query_keeps_every_other_byte() {
    let org = Org::with_job(
        "soql = \"SELECT Id, SystemModstamp FROM Account WHERE  Name != null OR Phone = null ORDER BY Id\"\n\
         output = \"accounts/{kind}-{mark}.csv\"\n[incremental]\ndeletes = \"ids\"\n",
    );
    let mark = org.run(0).mark().unwrap();
    org.settle();
    let changed = org.accounts(2, 2);
    org.at.org().update(&changed);
    assert_eq!(org.run(0).ids(), texts(&changed));
    let asked = org.at.requests_to("/services/data/v62.0/query").pop().unwrap();
    let asked = asked.query().to_owned();
    let (_, asked) = url::form_urlencoded::parse(asked.as_bytes()).find(|(name, _)| name == "q").unwrap();
    assert_eq!(
        asked,
        format!(
            "SELECT Id, SystemModstamp FROM Account WHERE  (Name != null OR Phone = null) AND SystemModstamp > {mark} ORDER BY Id"
        )
    );
}

#[test]
fn a_manifest_tells_what_each_file_holds() {
    let org = Org::with_job(&format!("manifest = true\n{}", job("deletes = \"ids\"")));
    org.run(0);
    org.settle();
    org.at.org().update(&org.accounts(0, 1));
    let run = org.run(0);
    let path = run.report["path"].as_str().unwrap().replace(".csv", ".manifest.json");
    let manifest: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let files = manifest["files"].as_array().unwrap();
    let kinds: Vec<_> = files.iter().map(|file| file["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["changes", "deletes"]);
    for file in files {
        assert_eq!((&file["since"], &file["mark"]), (&run.report["since"], &run.report["mark"]));
    }
}

#[test]
fn each_object_of_a_set_has_its_mark() {
    let org = Org::new();
    org.job(
        "objects = [\"Account\", \"Contact\", \"AppDefinition\"]\noutput = \"{object}/{kind}-{mark}.csv\"\n\
         [incremental]\nempty = \"skip\"\n",
    );
    let reports = |status| org.at.run(["run", "accounts", "--json"]).ended(status).reports();
    assert_eq!(reports(0).len(), 4);
    org.settle();
    org.at.org().update(&org.accounts(0, 3));
    org.at.script(Rule::always(At::Soql("Contact".to_owned()), refusal()));
    let failed = reports(65);
    org.at.org().clear_script();
    let of = |reports: &[Value], object: &str| {
        reports.iter().find(|report| report["object"] == object).unwrap().clone()
    };
    assert_eq!(of(&failed, "Account")["records"], 3);
    assert_eq!(of(&failed, "Contact")["mark"], Value::Null);
    org.settle();
    let retried = reports(0);
    assert_eq!(of(&retried, "Contact")["since"], of(&failed, "Contact")["since"]);
    assert_ne!(of(&retried, "Account")["since"], of(&failed, "Account")["since"]);
}

#[test]
fn each_event_log_file_comes_exactly_once() {
    let page = include_str!("../docs/incremental.md");
    let job = page.split("<!-- event logs -->\n```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let org = Org::with_job(job);
    let mut files = vec![org.run(0)];
    assert_eq!(files[0].report["kind"], "full");
    let late = org.at.org().begin().insert("EventLogFile", 3);
    org.clock.advance(5 * MINUTE);
    org.at.org().insert("EventLogFile", 3);
    files.push(org.run(0));
    late.commit();
    org.clock.advance(11 * MINUTE);
    files.push(org.run(0));
    for _ in 0..2 {
        org.settle();
        files.push(org.run(0));
    }
    let mut sent: Vec<_> = files.iter().flat_map(Run::rows).map(|row| row[0].clone()).collect();
    sent.sort();
    let hourly = support::live(org.at.data(), "EventLogFile")
        .into_iter()
        .filter(|row| support::value(*row, "Interval") == "Hourly".into())
        .map(|row| row.id().to_string());
    // Of five when the org started and of six later.
    let expected: Vec<_> = hourly.collect();
    assert_eq!((sent.len(), expected.len()), (8, 8));
    assert_eq!(sent, expected);
}

/// What `docs/incremental.md` says of the cost of a night.
#[test]
fn a_night_of_300_objects_takes_a_call_for_each_and_a_few() {
    let clock = OrgClock::at(whole_minute(Timestamp::now() - SignedDuration::from_hours(36)));
    let catalog = Catalog::Numbered(300);
    let at = Deployment::with(Options { catalog, clock: clock.clone(), ..support::options(3) });
    at.write(
        "jobs/backup.toml",
        "objects = [\"Obj*\"]\noutput = \"{object}/{kind}-{mark}.csv\"\n[incremental]\nempty = \"skip\"\n",
    );
    let night = || {
        let before = at.queries().len();
        let reports = at.run(["run", "backup", "--json"]).ended(0).reports();
        let requests = at.queries().split_off(before);
        let calls = |part: &str| requests.iter().filter(|request| request.path().contains(part)).count();
        let set = reports.iter().find(|report| report["set"].is_object()).unwrap();
        assert_eq!(set["api_calls"], requests.len());
        let published = reports.iter().filter(|report| report["path"].is_string()).count();
        let calls = [calls("/queryAll"), calls("/composite"), calls("/sobjects")];
        (calls, requests.len(), published)
    };
    assert_eq!(night(), ([300, 12, 1], 313, 301));
    clock.advance(HOUR);
    for object in (0..10).map(|number| format!("Obj{:03}__c", 30 * number)) {
        let row = at.data().rows(&object).nth(1).unwrap().id();
        at.org().update(&[row]);
    }
    clock.advance(24 * HOUR);
    assert_eq!(night(), ([300, 12, 1], 313, 11));
}

#[test]
fn check_counts_what_the_next_run_exports() {
    let org = Org::with_job(
        "object = \"Account\"\nfields = [\"Id\", \"Name\"]\noutput = \"{kind}-{mark}.csv\"\napi = \"auto\"\n\
         [bulk]\nfrom_calls = 4\n[incremental]\ndeletes = \"rows\"",
    );
    let foreseen = || {
        let steps = org.at.run(["check", "accounts", "--json"]).ended(0).reports();
        let facts = |name: &str| {
            steps.iter().find(|step| step["step"] == name).map(|step| step["facts"].clone()).unwrap()
        };
        (facts("records")["records"].clone(), facts("api")["api"].clone())
    };
    let did = |run: &Run| (run.report["records"].clone(), run.report["api"].clone());
    // Deleted accounts are exported too. The API of the first run depends on its first page.
    let (records, _) = foreseen();
    assert_eq!(records, org.at.data().rows("Account").count());
    let full = org.run(0);
    assert_eq!(did(full.is("full", Some("there is no mark yet"))), (records, "bulk".into()));

    org.settle();
    org.at.org().update(&org.accounts(5, 3));
    org.settle();
    assert_eq!(foreseen(), (3.into(), "rest".into()));
    let changes = org.run(0);
    assert_eq!(did(changes.is("changes", None)), (3.into(), "rest".into()));

    // A job that was edited exports everything, by Bulk as before.
    org.job(&org.at.text("jobs/accounts.toml").replace("\"Name\"", "\"Name\", \"Phone\""));
    let (records, _) = foreseen();
    assert_eq!(did(org.run(0).is("full", Some("column \"Phone\" is new"))), (records, "bulk".into()));
}

#[test]
fn check_looks_at_the_file_of_the_next_run() {
    // A century is the same for all runs of this test.
    let text = |deletes: &str| {
        format!(
            "object = \"Account\"\nfields = [\"Id\", \"Name\"]\noutput = \"{{kind}}-{{mark:%C}}.csv\"\n\
             [incremental]\ndeletes = \"{deletes}\""
        )
    };
    let org = Org::with_job(&text("ids"));
    let output = |more: &[&str]| {
        let arguments = ["check", "accounts", "--json"].iter().chain(more);
        let steps = org.at.run(arguments).ended(0).reports();
        let step = steps.into_iter().find(|step| step["step"] == "output").unwrap();
        (step["outcome"].as_str().unwrap().to_owned(), step["what"].as_str().unwrap().to_owned(), step)
    };
    let path = |name: &str| org.at.path("exports").join(name).display().to_string();
    let in_the_way = |name: &str, run: &str| {
        let path = path(name);
        format!(
            "{path} exists already, and an incremental export replaces no file, so a {run} now would end with status 75"
        )
    };

    let (outcome, what, step) = output(&[]);
    assert_eq!((outcome.as_str(), what), ("passed", format!("{} can be written", path("full-20.csv"))));
    assert_eq!((&step["facts"]["kind"], &step["facts"]["exists"]), (&"full".into(), &false.into()));
    org.run(0).is("full", Some("there is no mark yet"));

    // The full file is there, but the next run writes another.
    org.settle();
    let (outcome, what, step) = output(&[]);
    assert_eq!((outcome.as_str(), what), ("passed", format!("{} can be written", path("changes-20.csv"))));
    assert_eq!((&step["facts"]["kind"], &step["facts"]["exists"]), (&"changes".into(), &false.into()));
    // Without the org, nobody knows what the next run exports.
    let (outcome, what, step) = output(&["--offline"]);
    assert_eq!((outcome.as_str(), what), ("warned", in_the_way("full-20.csv", "full run")));
    assert_eq!((&step["facts"]["kind"], &step["facts"]["exists"]), (&"full".into(), &true.into()));
    assert!(step["hint"].as_str().unwrap().contains("a finer {mark}"), "{step}");
    org.run(0).is("changes", None);

    org.settle();
    let (outcome, what, _) = output(&[]);
    assert_eq!((outcome.as_str(), what), ("warned", in_the_way("changes-20.csv", "run")));
    let refused = org.run(75);
    assert_eq!(refused.report["path"], path("changes-20.csv"));

    // The file of deletes may be in the way too.
    std::fs::remove_file(path("changes-20.csv")).unwrap();
    let (outcome, what, _) = output(&[]);
    assert_eq!((outcome.as_str(), what), ("warned", in_the_way("changes-20.deleted.csv", "run")));
    org.run(75);
    std::fs::remove_file(path("changes-20.deleted.csv")).unwrap();
    std::fs::remove_file(path("full-20.csv")).unwrap();
    let (outcome, what, _) = output(&["--offline"]);
    let written = format!("{} can be written by a full run", path("full-20.csv"));
    assert_eq!((outcome.as_str(), what), ("passed", written));
}

#[test]
fn a_set_has_one_run_id_in_all_its_paths() {
    let org = Org::new();
    for incremental in ["", "[incremental]\n"] {
        let kind = if incremental.is_empty() { "" } else { "{kind}-" };
        org.job(&format!(
            "objects = [\"Account\", \"Contact\"]\noutput = \"{{run_id}}/{kind}{{object}}.csv\"\n{incremental}"
        ));
        // In full, and then the changes.
        for _ in 0..2 {
            let report = org.at.run(["run", "accounts", "--json"]).ended(0).reports().pop().unwrap();
            assert!(report["object"].is_null(), "{report}");
            let directory = org.at.path("exports").join(report["run_id"].as_str().unwrap());
            let files = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
            let csv = files.filter(|path| path.extension().is_some_and(|ending| ending == "csv"));
            assert_eq!(csv.count(), 2, "{report}");
            org.settle();
        }
    }
}
