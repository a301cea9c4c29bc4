//! One reading of the configuration as the daemon works by it, and what a person should know of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::agenda::{Agenda, JobSnapshot, Limits, Plan, PlannedJob};
use crate::clock::Now;
use crate::config::{Config, Digests, Settings};
use crate::job::{ExportKey, Job};
use crate::org::{Org, OrgName};
use crate::schedule::Mark;
use crate::state::{JobMark, State, StateError};

/// The jobs, orgs and settings of one reading of the configuration.
#[derive(Debug)]
pub struct LoadedConfig {
    /// The settings of the process.
    pub settings: Settings,
    /// The orgs by name.
    pub orgs: BTreeMap<OrgName, Arc<Org>>,
    /// Every job by name and org, the disabled ones too.
    pub jobs: BTreeMap<ExportKey, Arc<Job>>,
    /// What files all of this was read from.
    pub digests: Digests,
}

/// Salesforce refuses a user's logins above this many an hour.
const MAX_LOGINS_PER_HOUR: usize = 3_600;

/// What to do about [`LoadedConfig::too_many_logins`].
pub(super) const TOO_MANY_LOGINS_HINT: &str = "spread the jobs over several users, or run them less often";

impl LoadedConfig {
    /// What a configuration says.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            settings: config.settings,
            orgs: config.orgs.into_iter().map(|(name, org)| (name, Arc::new(org))).collect(),
            jobs: config.jobs.into_iter().map(|job| (job.key(), Arc::new(job))).collect(),
            digests: config.digests,
        }
    }

    /// What the agenda goes by.
    pub(super) fn plan(&self) -> Plan {
        let runs_of =
            self.orgs.iter().filter_map(|(name, org)| Some((name.clone(), org.max_concurrent_runs?)));
        Plan {
            jobs: self.jobs.values().map(|job| PlannedJob::from(job.as_ref())).collect(),
            limits: Limits {
                runs: self.settings.daemon.max_concurrent_runs,
                runs_of: runs_of.collect(),
                shutdown_grace: self.settings.daemon.shutdown_grace,
            },
        }
    }

    /// How far the schedules of its jobs have come, and why some of the marks could not be read.
    #[must_use]
    pub fn marks(&self, state: &State) -> (BTreeMap<ExportKey, Mark>, Vec<StateError>) {
        state.marks(self.jobs.keys())
    }

    /// How far its incremental jobs have come, and why some of the marks could not be read. Every incremental job is there,
    /// with `None` if it has no mark yet or if that cannot be read.
    #[must_use]
    pub fn watermarks(&self, state: &State) -> (BTreeMap<ExportKey, Option<JobMark>>, Vec<StateError>) {
        let (mut marks, mut unread) = (BTreeMap::new(), Vec::new());
        for (key, job) in self.jobs.iter().filter(|(_, job)| job.incremental.is_some()) {
            let mark = state.job_mark(job).unwrap_or_else(|error| {
                unread.push(error);
                None
            });
            marks.insert(key.clone(), mark);
        }
        (marks, unread)
    }

    /// How the jobs of a daemon that started now would stand, by name and org.
    #[must_use]
    pub fn snapshots(&self, marks: BTreeMap<ExportKey, Mark>, now: Timestamp) -> Vec<JobSnapshot> {
        let now = Now { wall: now, elapsed: Duration::ZERO };
        Agenda::new(self.plan(), marks, now).snapshots().collect()
    }

    /// What a person should know where no job would ever be started, in a sentence.
    pub(super) fn nothing_to_do(&self) -> Option<String> {
        let directory = self.settings.jobs_dir.display();
        let why = match self.jobs.len() {
            0 => format!("there are no jobs in {directory}"),
            _ if self.jobs.values().any(|job| job.enabled && job.schedule.is_some()) => return None,
            _ => format!("no job in {directory} is enabled and has a schedule"),
        };
        Some(format!("the daemon has nothing to do: {why}"))
    }

    /// The users whose schedules pass what Salesforce allows them, each in a sentence. A run is a login.
    pub(super) fn too_many_logins(&self, now: Timestamp) -> Vec<String> {
        let mut jobs_of: BTreeMap<(&str, &str), Vec<&Job>> = BTreeMap::new();
        for job in self.jobs.values().filter(|job| job.enabled && job.schedule.is_some()) {
            if let Some(org) = self.orgs.get(&job.org) {
                jobs_of.entry((&org.username, &org.login_url)).or_default().push(job);
            }
        }
        let mut sentences = Vec::new();
        for ((user, login_url), jobs) in jobs_of {
            // No schedule has more than 60 occurrences an hour: hardly anybody is counted.
            if jobs.len() * 60 <= MAX_LOGINS_PER_HOUR {
                continue;
            }
            let most = most_in_an_hour(&jobs, now);
            if most > MAX_LOGINS_PER_HOUR {
                sentences.push(format!(
                    "the schedules log in \"{user}\" up to {most} times an hour at \"{login_url}\", and Salesforce \
                     allows {MAX_LOGINS_PER_HOUR}"
                ));
            }
        }
        sentences
    }
}

/// The occurrences in the fullest hour, by the clock, of the day to come.
fn most_in_an_hour(jobs: &[&Job], now: Timestamp) -> usize {
    const HOUR: i64 = 3_600;
    let day = now.saturating_add(Duration::from_secs(24 * 3_600)).unwrap_or(Timestamp::MAX);
    let mut hours: BTreeMap<i64, usize> = BTreeMap::new();
    for schedule in jobs.iter().filter_map(|job| job.schedule.as_ref()) {
        for occurrence in schedule.occurrences(now, day) {
            *hours.entry(occurrence.as_second().div_euclid(HOUR)).or_default() += 1;
        }
    }
    hours.into_values().max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::LoadedConfig;
    use crate::config::{self, Selection, Sources};

    /// A project of so many jobs with this schedule.
    fn config(directory: &Path, jobs: usize, schedule: impl Fn(usize) -> String) -> LoadedConfig {
        std::fs::create_dir_all(directory.join("jobs")).unwrap();
        let org = "[org]\nclient_id = 'x'\nusername = 'nightly@example.com'\nkey_file = 'k'\n";
        std::fs::write(directory.join("sfexport.toml"), org).unwrap();
        for number in 0..jobs {
            let soql = "soql = 'SELECT Id FROM Account'\noutput = '{job}.csv'";
            let text = format!("{soql}\nschedule = '{}'\n", schedule(number));
            std::fs::write(directory.join(format!("jobs/{number}.toml")), text).unwrap();
        }
        let sources = Sources { working_dir: directory.to_owned(), ..Sources::default() };
        LoadedConfig::new(config::load(&sources, &Selection::All).unwrap())
    }

    #[test]
    fn schedules_that_pass_the_orgs_limit_of_logins_are_warned_of() {
        let now = "2026-11-22T00:30:00Z".parse().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let every_minute = |_| "* * * * *".to_owned();
        let warnings = config(dir.path(), 61, every_minute).too_many_logins(now);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("nightly@example.com") && warnings[0].contains("3660"), "{warnings:?}");
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(config(dir.path(), 60, every_minute).too_many_logins(now), Vec::<String>::new());
        // As many jobs, each for an hour of its own or nearly.
        let dir = tempfile::tempdir().unwrap();
        let hourwise = |number| format!("* {} * * *", number % 24);
        assert_eq!(config(dir.path(), 61, hourwise).too_many_logins(now), Vec::<String>::new());
    }
}
