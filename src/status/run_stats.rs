//! What a process knows of its runs, gathered as they report it: the one source of the metrics and the status pages.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::clock::Clock;
use crate::error::plain_lines;
use crate::job::{ExportKey, Job, JobName};
use crate::monitor::{Event, Monitor};
use crate::report::{ApiLimit, RunId, RunReport, RunStatus};

use super::run_history::PastRun;

/// How many failures are kept, of all jobs.
const MAX_FAILURES: usize = 20;

/// How many runs of each job are kept in each org, if there are not too many of these.
const MAX_RECENT_RUNS: usize = 20;

/// How many there are still of each.
const MIN_RECENT_RUNS: usize = 2;

/// About how many runs are kept of all jobs; each takes 300 bytes, and up to 2 kB if it failed with a long message.
const MAX_RECENT_RUNS_OF_ALL: usize = 100_000;

/// The results that runs are counted by.
pub(super) const RESULTS: [RunStatus; 5] =
    [RunStatus::Ok, RunStatus::Failed, RunStatus::Cancelled, RunStatus::Skipped, RunStatus::Missed];

/// The classes by which responses are counted; the last is for requests without a response.
pub(super) const ANSWERS: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "none"];

/// The runs of a process as they stand; give it the jobs and their history, and let it listen.
pub struct RunStats {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) started: Timestamp,
    runs: Mutex<Runs>,
}

/// Everything that is known: of jobs by name and org, and of orgs by name.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) jobs: BTreeMap<ExportKey, JobRuns>,
    pub(super) orgs: BTreeMap<String, OrgTraffic>,
    pub(super) running: HashMap<RunId, Running>,
    /// With the job, the newest first.
    pub(super) failures: VecDeque<(ExportKey, Arc<PastRun>)>,
}

/// One job and what became of its runs.
#[derive(Debug)]
pub(super) struct JobRuns {
    pub(super) schedule: Option<String>,
    pub(super) timezone: TimeZone,
    pub(super) enabled: bool,
    /// Whether it is a set of objects. Runs of single objects are not runs of the job.
    pub(super) is_set: bool,
    /// Whether its runs of the past are known, or being read.
    is_recalled: bool,
    /// By [`RESULTS`].
    pub(super) results: [u64; RESULTS.len()],
    pub(super) runs: u64,
    pub(super) seconds: f64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// The last run that took place, of this process and of those before it.
    pub(super) last: Option<Arc<PastRun>>,
    /// The last runs and the occurrences that were not run, the newest first; runs of other processes too.
    pub(super) recent: VecDeque<Arc<PastRun>>,
    pub(super) last_success: Option<Timestamp>,
}

impl JobRuns {
    /// A job that has not run.
    fn new() -> Self {
        Self {
            schedule: None,
            timezone: TimeZone::UTC,
            enabled: true,
            is_set: false,
            is_recalled: false,
            results: [0; RESULTS.len()],
            runs: 0,
            seconds: 0.0,
            records: 0,
            bytes: 0,
            last: None,
            recent: VecDeque::new(),
            last_success: None,
        }
    }

    /// The last run that took place, whoever started it.
    pub(super) fn last_of_all(&self) -> Option<&PastRun> {
        self.recent.iter().find(|run| run.status.has_run()).or(self.last.as_ref()).map(AsRef::as_ref)
    }

    /// When the last successful run ended, whoever started it.
    pub(super) fn last_success_of_all(&self) -> Option<Timestamp> {
        let successes = self.recent.iter().filter(|run| run.status == RunStatus::Ok).map(|run| run.ended);
        successes.chain(self.last_success).max()
    }

    /// Takes up a run that may be known already.
    fn remember(&mut self, run: Arc<PastRun>, place: usize, max_recent: usize) {
        self.recent.retain(|known| known.run_id != run.run_id);
        self.recent.insert(place.min(self.recent.len()), run);
        self.recent.truncate(max_recent);
    }
}

/// What went to and fro between the process and an org.
#[derive(Debug, Default)]
pub(super) struct OrgTraffic {
    /// By [`ANSWERS`].
    pub(super) answers: [u64; ANSWERS.len()],
    pub(super) api_calls: u64,
    pub(super) logins: u64,
    pub(super) api_limit: Option<ApiLimit>,
}

/// A run that goes on.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) job: ExportKey,
    pub(super) since: Timestamp,
    pub(super) phase: Phase,
}

/// What a run is at.
#[derive(Debug)]
pub(super) enum Phase {
    LoggingIn,
    Querying,
    Writing { records: u64, total: Option<u64>, bytes: u64 },
    Waiting { fault: String },
}

impl RunStats {
    /// Statistics without jobs.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let started = clock.now();
        Self { clock, started, runs: Mutex::default() }
    }

    /// From here on these are the jobs; what is known of those that stay is kept.
    pub fn set_jobs<'j>(&self, jobs: impl Iterator<Item = &'j Job>) {
        let mut runs = self.runs();
        let mut previous = std::mem::take(&mut runs.jobs);
        for job in jobs {
            let key = job.job_key();
            let schedule = job.schedule.as_ref().map(|schedule| schedule.text().to_owned());
            runs.orgs.entry(job.org.as_str().to_owned()).or_default();
            let known = previous.remove(&key);
            let known = known.unwrap_or_else(JobRuns::new);
            let (timezone, enabled, is_set) = (job.timezone.clone(), job.enabled, job.set().is_some());
            runs.jobs.insert(key, JobRuns { schedule, timezone, enabled, is_set, ..known });
        }
        let max_recent = runs.max_recent();
        let Runs { jobs, orgs, .. } = &mut *runs;
        // Of jobs that have become many.
        jobs.values_mut().for_each(|job| job.recent.truncate(max_recent));
        let used: HashSet<_> = jobs.keys().map(|job| job.org().as_str()).collect();
        orgs.retain(|org, _| used.contains(org.as_str()));
    }

    /// The jobs whose runs of the past are not known. Whoever asks reads them and calls [`RunStats::recall`].
    pub fn take_new_jobs(&self) -> HashSet<ExportKey> {
        let mut runs = self.runs();
        let new = runs.jobs.iter_mut().filter_map(|(key, job)| {
            let was_recalled = std::mem::replace(&mut job.is_recalled, true);
            (!was_recalled).then(|| key.clone())
        });
        new.collect()
    }

    /// Learns from a run of the history; call it with the newest first. Nothing is counted.
    pub fn recall(&self, report: &RunReport) {
        let mut runs = self.runs();
        let max_recent = runs.max_recent();
        let Runs { jobs, failures, orgs, .. } = &mut *runs;
        let Some(key) = report.job_key().filter(|_| report.object.is_none()) else { return };
        let Some(job) = jobs.get_mut(&key) else { return };
        // One that has run since it was added knows its last runs.
        let is_known = job.recent.iter().any(|known| known.run_id == report.run_id);
        let is_recent = job.recent.len() < max_recent && !is_known;
        if !report.status.has_run() {
            if is_recent {
                job.recent.push_back(Arc::new(PastRun::from(report)));
            }
            return;
        }
        if report.status == RunStatus::Ok && job.last_success.is_none() {
            job.last_success = Some(report.ended);
        }
        if let (Some(org), Some(limit)) = (orgs.get_mut(&report.org), report.api_limit) {
            org.api_limit.get_or_insert(limit);
        }
        let place = failures.partition_point(|(_, known)| known.ended > report.ended);
        // Those of a job that was removed and comes back are still there.
        let is_failure = report.status == RunStatus::Failed
            && place < MAX_FAILURES
            && failures.iter().all(|(_, known)| known.run_id != report.run_id);
        // The history may be long, and few of its runs are kept.
        if !is_recent && !is_failure && job.last.is_some() {
            return;
        }
        let run = Arc::new(PastRun::from(report));
        if is_failure {
            failures.insert(place, (key, Arc::clone(&run)));
            failures.truncate(MAX_FAILURES);
        }
        if is_recent {
            job.recent.push_back(Arc::clone(&run));
        }
        job.last.get_or_insert(run);
    }

    /// Learns from a run that another process did meanwhile, or that is known already. The pages show it; nothing is counted.
    pub fn learn(&self, report: &RunReport) {
        let mut runs = self.runs();
        let max_recent = runs.max_recent();
        let Some(key) = report.job_key().filter(|_| report.object.is_none()) else { return };
        let Some(job) = runs.jobs.get_mut(&key) else { return };
        if job.recent.iter().any(|known| known.run_id == report.run_id) {
            return;
        }
        let place = job.recent.partition_point(|known| known.ended > report.ended);
        if place < max_recent {
            job.remember(Arc::new(PastRun::from(report)), place, max_recent);
        }
    }

    pub(super) fn runs(&self) -> MutexGuard<'_, Runs> {
        // Counters that a panic left half added are as good as any.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Monitor for RunStats {
    fn notice(&self, run: &RunId, event: &Event<'_>) {
        let mut runs = self.runs();
        if let Event::Began { job } = event {
            let running = Running { job: (*job).clone(), since: self.clock.now(), phase: Phase::LoggingIn };
            runs.running.insert(run.clone(), running);
            return;
        }
        if let Event::Ended { report } = event {
            runs.running.remove(run);
            runs.ended(report);
            return;
        }
        let Runs { orgs, running, .. } = &mut *runs;
        let Some(running) = running.get_mut(run) else { return };
        match event {
            Event::LoggedIn | Event::Restarted { .. } => running.phase = Phase::Querying,
            Event::Progress { records, total, bytes } => {
                running.phase = Phase::Writing { records: *records, total: *total, bytes: *bytes };
            }
            Event::Objects { records, bytes, .. } => {
                running.phase = Phase::Writing { records: *records, total: None, bytes: *bytes };
            }
            Event::Waiting { fault, .. } => {
                running.phase = Phase::Waiting { fault: plain_lines(fault) };
            }
            Event::Responded { status } => {
                if let Some(org) = orgs.get_mut(running.job.org().as_str()) {
                    org.answers[class(*status)] += 1;
                }
            }
            Event::ObjectEnded { .. } | Event::ObjectSkipped { .. } => {}
            Event::Began { .. } | Event::Ended { .. } => {}
        }
    }
}

/// The place of a status in [`ANSWERS`].
fn class(status: Option<u16>) -> usize {
    match status {
        Some(200..=299) => 0,
        Some(300..=399) => 1,
        Some(400..=499) => 2,
        Some(_) => 3,
        None => 4,
    }
}

impl Runs {
    /// How many runs of each job are kept in each org.
    pub(super) fn max_recent(&self) -> usize {
        let share = MAX_RECENT_RUNS_OF_ALL / self.jobs.len().max(1);
        share.clamp(MIN_RECENT_RUNS, MAX_RECENT_RUNS)
    }

    /// In how many orgs a job runs.
    pub(super) fn orgs_of(&self, job: &JobName) -> usize {
        self.jobs.keys().filter(|key| key.job() == job).count()
    }

    fn ended(&mut self, report: &RunReport) {
        let Some(key) = report.job_key().filter(|key| self.jobs.contains_key(key)) else { return };
        if report.object.is_none() {
            self.job_ended(key, report);
        }
        if let Some(org) = self.orgs.get_mut(&report.org).filter(|_| report.status.has_run()) {
            org.api_calls += report.api_calls;
            org.logins += report.logins;
            org.api_limit = report.api_limit.or(org.api_limit);
        }
    }

    fn job_ended(&mut self, key: ExportKey, report: &RunReport) {
        let max_recent = self.max_recent();
        let Some(job) = self.jobs.get_mut(&key) else { return };
        if let Some(place) = RESULTS.iter().position(|result| *result == report.status) {
            job.results[place] += 1;
        }
        let run = Arc::new(PastRun::from(report));
        job.remember(Arc::clone(&run), 0, max_recent);
        if !report.status.has_run() {
            return;
        }
        job.runs += 1;
        job.seconds += run.seconds();
        if report.status == RunStatus::Ok {
            job.records += report.records;
            job.bytes += report.bytes;
            job.last_success = Some(report.ended);
        }
        job.last = Some(Arc::clone(&run));
        if report.status == RunStatus::Failed {
            self.failures.push_front((key, run));
            self.failures.truncate(MAX_FAILURES);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::{SignedDuration, Timestamp};

    use super::{JobRuns, RunStats, Runs};
    use crate::clock::System;
    use crate::job::{ExportKey, JobName};
    use crate::monitor::{Event, Monitor as _};
    use crate::org::OrgName;
    use crate::report::{RunId, RunReport, RunStatus};

    fn key() -> ExportKey {
        ExportKey::new(JobName::parse("a").unwrap(), OrgName::default_org())
    }

    /// A run that ended so many minutes after the epoch.
    fn report(minute: i64, status: RunStatus) -> RunReport {
        let started = Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
        let mut report = RunReport::begun("a", "default", RunId::new(started, 0), started);
        report.status = status;
        report
    }

    #[test]
    fn an_object_of_a_set_is_not_a_run_of_the_job() {
        let stats = stats();
        let mut object = report(5, RunStatus::Failed);
        object.object = Some("Account".to_owned());
        object.api_calls = 7;
        stats.runs().orgs.entry("default".to_owned()).or_default();
        stats.recall(&object);
        stats.learn(&object);
        stats.notice(&object.run_id, &Event::Ended { report: &object });
        let runs = stats.runs();
        assert!(runs.jobs[&key()].last_of_all().is_none() && runs.failures.is_empty());
        assert_eq!(runs.jobs[&key()].results, [0; 5]);
        assert_eq!(runs.orgs["default"].api_calls, 7);
    }

    fn stats() -> RunStats {
        let stats = RunStats::new(Arc::new(System::new()));
        let job = JobRuns::new();
        stats.runs().jobs.insert(key(), job);
        stats
    }

    fn minutes(runs: &Runs) -> Vec<i64> {
        runs.jobs[&key()].recent.iter().map(|run| run.ended.as_second() / 60).collect()
    }

    #[test]
    fn runs_by_hand_are_placed_by_their_end_and_not_counted() {
        let stats = stats();
        for minute in [30, 10] {
            stats.recall(&report(minute, RunStatus::Failed));
        }
        for minute in [20, 40, 30] {
            stats.learn(&report(minute, RunStatus::Ok));
        }
        let runs = stats.runs();
        assert_eq!(minutes(&runs), [40, 30, 20, 10]);
        let job = &runs.jobs[&key()];
        assert_eq!(job.last_of_all().unwrap().status, RunStatus::Ok);
        assert_eq!(job.last_success_of_all().unwrap().as_second(), 40 * 60);
        // What the metrics show is of this process and of the history that it found.
        assert_eq!(job.last.as_ref().unwrap().status, RunStatus::Failed);
        assert_eq!((job.last_success, job.runs), (None, 0));
    }

    #[test]
    fn a_run_that_was_read_before_its_end_was_heard_is_shown_once() {
        let stats = stats();
        let ended = report(10, RunStatus::Ok);
        stats.learn(&ended);
        stats.notice(&ended.run_id, &Event::Ended { report: &ended });
        stats.learn(&ended);
        assert_eq!(minutes(&stats.runs()), [10]);
        assert_eq!(stats.runs().jobs[&key()].runs, 1);
    }

    #[test]
    fn a_job_that_comes_back_has_its_past_once() {
        let stats = stats();
        assert_eq!(stats.take_new_jobs().into_iter().collect::<Vec<_>>(), [key()]);
        assert!(stats.take_new_jobs().is_empty());
        stats.recall(&report(10, RunStatus::Failed));
        let gone = stats.runs().jobs.remove(&key()).unwrap();
        assert_eq!(gone.recent.len(), 1);
        stats.runs().jobs.insert(key(), JobRuns::new());
        let ended = report(20, RunStatus::Failed);
        stats.notice(&ended.run_id, &Event::Ended { report: &ended });
        assert_eq!(stats.take_new_jobs().len(), 1);
        for minute in [20, 10] {
            stats.recall(&report(minute, RunStatus::Failed));
        }
        assert_eq!(minutes(&stats.runs()), [20, 10]);
        let failures: Vec<_> =
            stats.runs().failures.iter().map(|(_, run)| run.ended.as_second() / 60).collect();
        assert_eq!(failures, [20, 10]);
    }

    #[test]
    fn only_the_last_runs_of_a_job_are_kept() {
        let stats = stats();
        for minute in (0..15).rev() {
            stats.recall(&report(minute, RunStatus::Ok));
        }
        for minute in 15..30 {
            let ended = report(minute, RunStatus::Skipped);
            stats.notice(&ended.run_id, &Event::Ended { report: &ended });
        }
        // Older than any that is kept.
        stats.learn(&report(1, RunStatus::Ok));
        assert_eq!(minutes(&stats.runs()), (10..30).rev().collect::<Vec<_>>());
        assert_eq!(stats.runs().jobs[&key()].last_of_all().unwrap().ended.as_second(), 14 * 60);
    }
}
