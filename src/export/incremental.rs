//! What an incremental run exports, everything or what has changed since the mark, and where it leaves the mark. Pure: what
//! the org and the state say is given.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub(super) mod deletes;
mod following;

pub(crate) use following::already_there;
pub(super) use following::{Following, Look};

use super::bug;
use super::tracking::Tracking;
use crate::client::OrgTime;
use crate::error::{Exit, Failure};
use crate::human;
use crate::job::{Deletes, ExportKey, ExportKind, IfExists, Incremental, Job, Source};
use crate::salesforce::replication::whole_minute;
use crate::soql::{Query, Window};
use crate::state::{Watermark, hash};

/// How old a mark may be from which deleted records are still reported completely. Salesforce keeps them for 15 days; the
/// last one is for the run itself.
const DELETES_KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The org reports the time in whole seconds, so the second that it reports is not over yet.
const SECOND: Duration = Duration::from_secs(1);

/// From how far apart on two clocks are worth a warning.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(10);

/// How many hexadecimal digits a fingerprint has.
const FINGERPRINT_DIGITS: usize = 32;

/// How many new columns a reason names.
const MAX_NAMES: usize = 5;

/// Why a run exports everything if the [`fingerprint`] has changed.
pub(crate) const OTHER_RECORDS: &str = "the job selects other records than before";

/// What the job asks for, as far as another answer makes its mark worthless. The columns are not part of it.
pub(crate) fn fingerprint(job: &Job, tracking: &Tracking) -> String {
    let of_query = |query: &Query| {
        let from = query.statement.from.first().and_then(|source| source.path.segments.first());
        from.and_then(|name| query.text.get(name.span.start..)).unwrap_or(&query.text).trim().to_owned()
    };
    let (object, records) = match &job.source {
        Source::Soql(_) => (String::new(), job.query().map(of_query).unwrap_or_default()),
        Source::Object(source) => {
            (source.object.as_str().to_ascii_lowercase(), source.condition.clone().unwrap_or_default())
        }
        Source::Objects(_) => (String::new(), String::new()),
    };
    let field = tracking.stamp.as_deref().unwrap_or_default().to_ascii_lowercase();
    // The form is kept by later versions: a change would make every job start over.
    let text = [&object, &records, &job.all_rows.to_string(), tracking.deletes.as_str(), &field]
        .map(String::from)
        .join("\n");
    let mut fingerprint = hash(text.as_bytes());
    fingerprint.truncate(FINGERPRINT_DIGITS);
    fingerprint
}

/// Whether the job certainly selects other records than those that the mark is about. The org is not asked, so the object may
/// not support the job's `deletes`, and a job that names no field is taken to use that of the mark.
pub(crate) fn selects_other_records(job: &Job, settings: &Incremental, watermark: &Watermark) -> bool {
    let stamp = settings.field.as_ref().unwrap_or(&watermark.field);
    [settings.deletes, Deletes::None].into_iter().all(|deletes| {
        let tracking = Tracking { stamp: Some(stamp.clone()), deletes, deletes_reason: None };
        fingerprint(job, &tracking) != watermark.fingerprint
    })
}

/// The time of `full` that has passed since the last full run began; `None` if none has.
pub(crate) fn full_due(settings: &Incremental, watermark: &Watermark, now: Timestamp) -> Option<Timestamp> {
    settings.full.as_ref()?.last_within(watermark.full_started, now)
}

/// The mark of a run that begins at this time by the org's clock, unless the mark before it is later.
pub(crate) fn provisional_mark(settings: &Incremental, org_time: Timestamp) -> Timestamp {
    let lag = SignedDuration::try_from(settings.lag.max(SECOND)).unwrap_or(SignedDuration::MAX);
    org_time.checked_sub(lag).unwrap_or(Timestamp::MIN)
}

/// Whether Salesforce may have forgotten records that were deleted since the last run.
pub(crate) fn may_lack_deletes(watermark: &Watermark, now: Timestamp) -> bool {
    let oldest = watermark.deletes_mark.map_or(watermark.mark, |mark| mark.min(watermark.mark));
    now.duration_since(oldest) > DELETES_KEPT
}

/// Everything that decides what an incremental run exports.
pub(crate) struct Known<'k> {
    pub(crate) key: &'k ExportKey,
    pub(crate) settings: &'k Incremental,
    pub(crate) tracking: &'k Tracking,
    /// The id of the org.
    pub(crate) org_id: &'k str,
    /// The org's clock before the query.
    pub(crate) org_time: Timestamp,
    /// This machine's clock at the same time.
    pub(crate) own_time: Timestamp,
    pub(crate) fingerprint: &'k str,
    /// The columns, by their names in the query.
    pub(crate) columns: &'k [String],
    /// What the last successful run left.
    pub(crate) watermark: Option<&'k Watermark>,
    /// Whether the user asks for a full run.
    pub(crate) wants_full: bool,
}

/// What an incremental run exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Increment {
    pub(crate) kind: ExportKind,
    /// Why it is a full one, as a clause.
    pub(crate) reason: Option<String>,
    /// The mark that changes are exported from.
    pub(crate) since: Option<Timestamp>,
    /// The new mark.
    pub(crate) mark: Timestamp,
    /// The condition that selects the records; `None` for all of them.
    pub(crate) window: Option<Window>,
}

impl Increment {
    /// The job whose query selects its records. `deletes` is how the run reports deleted ones.
    pub(crate) fn job(&self, job: &Job, deletes: Deletes) -> Result<Job, Failure> {
        let all_rows = job.all_rows || deletes == Deletes::Rows;
        let mut job = Job { if_exists: IfExists::Fail, all_rows, ..job.clone() };
        if let Some(window) = &self.window {
            let Source::Soql(source) = &job.source else { return Err(bug("an increment without a query")) };
            let query = source.query().within(window).map_err(|error| Failure {
                hint: error.hint.clone(),
                ..Failure::new(Exit::Query, format!("the query cannot be limited to changes: {error}"))
            })?;
            job.source = Source::Soql(source.asking(query));
        }
        Ok(job)
    }
}

impl Known<'_> {
    /// Decides.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if the mark is ahead of the org's clock.
    pub(crate) fn decide(&self) -> Result<Increment, Failure> {
        let same = self.watermark.filter(|watermark| self.is_of_same_records(watermark));
        if let Some(watermark) = same.filter(|watermark| watermark.mark > self.org_time) {
            let what =
                format!("the mark, {}, is ahead of the org's clock, {}", watermark.mark, self.org_time);
            return Err(Failure::new(Exit::Configuration, what).hint(format!(
                "if the org was replaced, or its clock was wrong, start over with `sfexport watermark {} --reset`",
                self.key.arguments()
            )));
        }
        let behind = provisional_mark(self.settings, self.org_time);
        let mark = same.map_or(behind, |watermark| watermark.mark.max(behind));
        Ok(match self.reason_for_all() {
            Some(reason) => self.full(mark, reason),
            None => self.changes(mark, same.map(|watermark| watermark.mark)),
        })
    }

    /// A full run. Records that never change are exported once, so those behind the mark are left to the next run.
    pub(crate) fn full(&self, mark: Timestamp, reason: String) -> Increment {
        let window = self.window(None, mark);
        Increment { kind: ExportKind::Full, reason: Some(reason), since: None, mark, window }
    }

    fn changes(&self, mark: Timestamp, since: Option<Timestamp>) -> Increment {
        let window = self.window(since, mark);
        Increment { kind: ExportKind::Changes, reason: None, since, mark, window }
    }

    fn window(&self, after: Option<Timestamp>, mark: Timestamp) -> Option<Window> {
        let until = self.tracking.is_fixed().then_some(mark);
        let field = self.tracking.stamp.clone().filter(|_| after.is_some() || until.is_some())?;
        Some(Window { field, after, until })
    }

    fn is_of_same_records(&self, watermark: &Watermark) -> bool {
        !self.is_of_another_org(watermark) && watermark.fingerprint == self.fingerprint
    }

    /// A login that does not name its org is believed to be one to the same.
    fn is_of_another_org(&self, watermark: &Watermark) -> bool {
        let is_known = !watermark.org_id.is_empty() && !self.org_id.is_empty();
        is_known && watermark.org_id != self.org_id
    }

    /// Why everything has to be exported; `None` if the changes are enough.
    fn reason_for_all(&self) -> Option<String> {
        if self.tracking.stamp.is_none() {
            return Some("the object has no field that says when its records change".to_owned());
        }
        if self.wants_full {
            return Some("a full run was asked for".to_owned());
        }
        let Some(watermark) = self.watermark else { return Some("there is no mark yet".to_owned()) };
        if self.is_of_another_org(watermark) {
            return Some(format!("the mark belongs to another org, {}", watermark.org_id));
        }
        if watermark.fingerprint != self.fingerprint {
            return Some(OTHER_RECORDS.to_owned());
        }
        if let Some(new) = self.new_columns(&watermark.columns) {
            return Some(new);
        }
        if let Some(due) = full_due(self.settings, watermark, self.own_time) {
            return Some(format!("a full run has been due since {due}"));
        }
        if self.tracking.deletes != Deletes::None && may_lack_deletes(watermark, self.org_time) {
            return Some(
                "the mark is more than 14 days old, and Salesforce forgets deleted records after 15"
                    .to_owned(),
            );
        }
        None
    }

    /// Records that were exported before do not have the new columns.
    fn new_columns(&self, known: &[String]) -> Option<String> {
        let known: HashSet<_> = known.iter().map(|name| name.to_ascii_lowercase()).collect();
        let new: Vec<_> =
            self.columns.iter().filter(|name| !known.contains(&name.to_ascii_lowercase())).collect();
        let names = human::list(new.iter().map(|name| format!("\"{name}\"")), MAX_NAMES);
        match new.len() {
            0 => None,
            1 => Some(format!("column {names} is new")),
            _ => Some(format!("columns {names} are new")),
        }
    }

    /// What the next run is to know, once this one is published.
    pub(crate) fn watermark(&self, increment: &Increment, deletes: &DeletesCovered) -> Option<Watermark> {
        let field = self.tracking.stamp.clone()?;
        let old = self.watermark.filter(|_| increment.kind == ExportKind::Changes);
        Some(Watermark {
            mark: increment.mark,
            deletes_mark: (self.tracking.deletes == Deletes::Ids)
                .then(|| deletes.until.unwrap_or_else(|| whole_minute(increment.mark))),
            field,
            org_id: self.org_id.to_owned(),
            fingerprint: self.fingerprint.to_owned(),
            columns: self.columns.to_vec(),
            full_started: old.map_or(self.own_time, |old| old.full_started),
            org_ahead_seconds: self.org_time.duration_since(self.own_time).as_secs(),
            deletes_complete: old.is_none_or(|old| old.deletes_complete) && !deletes.is_purged,
            full_forced: old.map_or(deletes.has_forced_full, |old| old.full_forced),
        })
    }

    /// Whether deletes that the org has forgotten make everything be exported: once for each full run that is due by itself,
    /// so that an org whose log of deletes is always short is not exported in full each time.
    pub(crate) fn purge_forces_full(&self) -> bool {
        self.settings.full.is_none() || !self.watermark.is_some_and(|watermark| watermark.full_forced)
    }
}

/// The warning about clocks that are far apart.
pub(crate) fn clock_warning(time: OrgTime) -> Option<String> {
    let apart = time.ahead().abs();
    if apart <= CLOCKS_APART {
        return None;
    }
    let which = if time.ahead().is_positive() { "behind" } else { "ahead of" };
    let apart = human::duration(apart);
    Some(format!("this machine's clock is {apart} {which} the org's; marks follow the org's clock"))
}

/// What a run learned of deleted records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DeletesCovered {
    /// Up to when they are listed; `None` if they were not asked for.
    pub(crate) until: Option<Timestamp>,
    /// Whether the org has forgotten some.
    pub(crate) is_purged: bool,
    /// Whether that made this a full run.
    pub(crate) has_forced_full: bool,
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::job::{EmptyRuns, JobName};
    use crate::org::OrgName;
    use crate::schedule::Schedule;

    const ORG: &str = "00D000000000001EAA";
    const NOW: &str = "2026-11-22T01:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn settings() -> Incremental {
        Incremental {
            field: None,
            lag: Duration::from_secs(15 * 60),
            deletes: Deletes::Rows,
            full: None,
            empty: EmptyRuns::Publish,
        }
    }

    fn tracking(stamp: Option<&str>, deletes: Deletes) -> Tracking {
        Tracking { stamp: stamp.map(str::to_owned), deletes, deletes_reason: None }
    }

    /// What the run a day before left.
    fn watermark() -> Watermark {
        Watermark {
            mark: at("2026-11-21T00:45:00Z"),
            deletes_mark: None,
            field: "SystemModstamp".to_owned(),
            org_id: ORG.to_owned(),
            fingerprint: "f".to_owned(),
            columns: vec!["Id".to_owned(), "Name".to_owned()],
            full_started: at("2026-11-15T01:00:00Z"),
            org_ahead_seconds: 0,
            deletes_complete: true,
            full_forced: false,
        }
    }

    /// A run at [`NOW`], with what is different about it.
    struct Case {
        key: ExportKey,
        settings: Incremental,
        tracking: Tracking,
        columns: Vec<String>,
        watermark: Option<Watermark>,
        org_id: &'static str,
        fingerprint: &'static str,
        org_time: Timestamp,
        wants_full: bool,
    }

    impl Default for Case {
        fn default() -> Self {
            Self {
                key: ExportKey::new(JobName::parse("accounts").unwrap(), OrgName::default_org()),
                settings: settings(),
                tracking: tracking(Some("SystemModstamp"), Deletes::Rows),
                columns: vec!["Id".to_owned(), "NAME".to_owned()],
                watermark: Some(watermark()),
                org_id: ORG,
                fingerprint: "f",
                org_time: at(NOW),
                wants_full: false,
            }
        }
    }

    impl Case {
        fn known(&self) -> Known<'_> {
            Known {
                key: &self.key,
                settings: &self.settings,
                tracking: &self.tracking,
                org_id: self.org_id,
                org_time: self.org_time,
                own_time: at(NOW),
                fingerprint: self.fingerprint,
                columns: &self.columns,
                watermark: self.watermark.as_ref(),
                wants_full: self.wants_full,
            }
        }

        fn decide(&self) -> Increment {
            self.known().decide().unwrap()
        }

        /// Why it is a full run; empty for changes.
        fn reason(&self) -> String {
            self.decide().reason.unwrap_or_default()
        }
    }

    #[test]
    fn changes_have_no_end_and_the_mark_stays_behind_by_the_lag() {
        let Increment { kind, reason, since, mark, window } = Case::default().decide();
        assert_eq!((kind, reason, since), (ExportKind::Changes, None, Some(at("2026-11-21T00:45:00Z"))));
        assert_eq!(mark, at("2026-11-22T00:45:00Z"));
        let window = window.unwrap();
        assert_eq!((window.field.as_str(), window.after, window.until), ("SystemModstamp", since, None));
    }

    #[test]
    fn a_full_run_has_no_condition_and_sets_the_same_mark() {
        let case = Case { watermark: None, ..Case::default() };
        let Increment { kind, reason, since, mark, window } = case.decide();
        assert_eq!((kind, since, window), (ExportKind::Full, None, None));
        assert_eq!(reason.as_deref(), Some("there is no mark yet"));
        assert_eq!(mark, at("2026-11-22T00:45:00Z"));
    }

    #[test]
    fn records_that_never_change_are_exported_once() {
        let end = Some(at("2026-11-22T00:45:00Z"));
        for (watermark, since) in [(Some(watermark()), Some(at("2026-11-21T00:45:00Z"))), (None, None)] {
            let tracking = tracking(Some("createddate"), Deletes::None);
            let window = Case { tracking, watermark, ..Case::default() }.decide().window.unwrap();
            assert_eq!((window.after, window.until), (since, end));
        }
    }

    #[test]
    fn a_mark_is_at_least_a_second_behind_the_clock() {
        let settings = Incremental { lag: Duration::ZERO, ..settings() };
        assert_eq!(Case { settings, ..Case::default() }.decide().mark, at("2026-11-22T00:59:59Z"));
    }

    #[test]
    fn a_mark_never_goes_back() {
        let lag = Duration::from_secs(3 * 24 * 3600);
        let case = Case { settings: Incremental { lag, ..settings() }, ..Case::default() };
        assert_eq!(case.decide().mark, at("2026-11-21T00:45:00Z"));
        let full = Case { wants_full: true, ..case };
        assert_eq!(full.decide().mark, at("2026-11-21T00:45:00Z"));
        // Another org's mark says nothing about this one's records.
        let other = Case { org_id: "00D000000000002EAA", ..full };
        assert_eq!(other.decide().mark, at("2026-11-19T01:00:00Z"));
    }

    #[test]
    fn a_mark_ahead_of_the_orgs_clock_ends_the_run() {
        for wants_full in [false, true] {
            let case = Case { org_time: at("2026-11-21T00:44:59Z"), wants_full, ..Case::default() };
            let failure = case.known().decide().unwrap_err();
            assert_eq!(failure.exit, Exit::Configuration);
            assert_eq!(
                failure.what,
                "the mark, 2026-11-21T00:45:00Z, is ahead of the org's clock, 2026-11-21T00:44:59Z"
            );
        }
        assert!(Case { org_time: at("2026-11-21T00:45:00Z"), ..Case::default() }.known().decide().is_ok());
    }

    #[test]
    fn everything_is_exported_for_a_reason() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let old = |mark: &str| Some(Watermark { mark: at(mark), ..watermark() });
        let cases = [
            (Case::default(), ""),
            (Case { columns: names(&["Name"]), ..Case::default() }, ""),
            (Case { wants_full: true, ..Case::default() }, "a full run was asked for"),
            (
                Case { tracking: tracking(None, Deletes::None), ..Case::default() },
                "the object has no field that says when its records change",
            ),
            (
                Case { org_id: "00D000000000002EAA", ..Case::default() },
                "the mark belongs to another org, 00D000000000001EAA",
            ),
            (Case { fingerprint: "g", ..Case::default() }, "the job selects other records than before"),
            (Case { columns: names(&["Id", "Name", "A__c"]), ..Case::default() }, "column \"A__c\" is new"),
            (
                Case { columns: names(&["a", "b", "c", "d", "e", "f"]), ..Case::default() },
                "columns \"a\", \"b\", \"c\", \"d\", \"e\" and 1 more are new",
            ),
            (Case { watermark: old("2026-11-08T01:00:00Z"), ..Case::default() }, ""),
            (
                Case { watermark: old("2026-11-08T00:59:59Z"), ..Case::default() },
                "the mark is more than 14 days old, and Salesforce forgets deleted records after 15",
            ),
            (
                Case {
                    watermark: old("2026-10-01T00:00:00Z"),
                    tracking: tracking(Some("SystemModstamp"), Deletes::None),
                    ..Case::default()
                },
                "",
            ),
        ];
        for (case, reason) in cases {
            assert_eq!(case.reason(), reason);
        }
    }

    #[test]
    fn a_full_run_is_due_by_the_schedule_since_the_last_one_began() {
        let full = Schedule::parse("0 3 * * 0", TimeZone::get("Europe/Berlin").unwrap()).unwrap();
        let settings = Incremental { full: Some(full), ..settings() };
        for (started, reason) in [
            // The Sunday before the run, at 03:00 in Berlin, is 02:00 UTC; the run's own Sunday has not come to 03:00.
            ("2026-11-15T01:59:59Z", "a full run has been due since 2026-11-15T02:00:00Z"),
            ("2026-11-15T02:00:00Z", ""),
        ] {
            let watermark = Some(Watermark { full_started: at(started), ..watermark() });
            let case = Case { settings: settings.clone(), watermark, ..Case::default() };
            assert_eq!(case.reason(), reason);
        }
    }

    #[test]
    fn the_next_run_learns_of_this_one() {
        let case = Case { tracking: tracking(Some("SystemModstamp"), Deletes::Ids), ..Case::default() };
        let known = case.known();
        let until = Some(at("2026-11-22T00:57:00Z"));
        let covered = DeletesCovered { until, is_purged: true, has_forced_full: false };
        let changes = known.watermark(&known.decide().unwrap(), &covered).unwrap();
        assert_eq!((changes.mark, changes.deletes_mark), (at("2026-11-22T00:45:00Z"), until));
        assert_eq!(changes.full_started, at("2026-11-15T01:00:00Z"));
        assert!(!changes.deletes_complete && !changes.full_forced);

        let full = known.full(at("2026-11-22T00:45:59Z"), String::new());
        let covered = DeletesCovered { has_forced_full: true, ..DeletesCovered::default() };
        let full = known.watermark(&full, &covered).unwrap();
        assert_eq!(full.deletes_mark, Some(at("2026-11-22T00:45:00Z")));
        assert_eq!(full.full_started, at(NOW));
        assert!(full.deletes_complete && full.full_forced);
        assert_eq!(full.columns, ["Id", "NAME"]);

        // What cannot be followed has no mark.
        let case = Case { tracking: tracking(None, Deletes::None), ..Case::default() };
        assert_eq!(case.known().watermark(&case.decide(), &DeletesCovered::default()), None);
    }

    #[test]
    fn a_short_log_of_deletes_forces_one_full_run_a_period() {
        let full = Schedule::parse("0 3 * * 0", TimeZone::UTC).unwrap();
        let forced = Some(Watermark { full_forced: true, ..watermark() });
        let periods = Incremental { full: Some(full), ..settings() };
        for (settings, watermark, forces) in [
            (settings(), forced.clone(), true),
            (periods.clone(), Some(watermark()), true),
            (periods, forced, false),
        ] {
            assert_eq!(Case { settings, watermark, ..Case::default() }.known().purge_forces_full(), forces);
        }
    }

    #[test]
    fn clocks_far_apart_are_worth_a_warning() {
        let warning = |org: &str| clock_warning(OrgTime { org: at(org), own: at(NOW) });
        assert_eq!(warning("2026-11-22T01:10:00Z"), None);
        assert_eq!(warning("2026-11-22T00:50:00Z"), None);
        assert_eq!(
            warning("2026-11-22T01:10:01Z").as_deref(),
            Some("this machine's clock is 10 min 1 s behind the org's; marks follow the org's clock")
        );
        assert_eq!(
            warning("2026-11-22T00:49:59Z").as_deref(),
            Some("this machine's clock is 10 min 1 s ahead of the org's; marks follow the org's clock")
        );
    }
}
