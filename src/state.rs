//! What is remembered between runs: locks, the notes of unfinished runs, schedule marks, columns and the history.
//! What any of it leads to is decided by `export` and `daemon`; nothing here touches an output.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest;
use jiff::Timestamp;

use crate::error::{Exit, Failure};
use crate::job::{JobName, Location, RecoveryData};
use crate::report::RunReport;
use crate::schedule::Mark;

mod file;
mod history;
mod journal;
mod lock;

pub use history::History;
pub use journal::JournalEntry;
pub use lock::Lock;

/// The state directory.
///
/// ```text
/// runs.jsonl           the history, a run report a line
/// runs.lock            held while the history is appended to or pruned
/// daemon.lock          held by the daemon
/// locks/JOB.lock       held while the job runs
/// locks/outputs/HASH   held while an output is written
/// unfinished/JOB.json  stages and intents of a run that has not ended
/// marks/JOB.json       where the job's schedule stands
/// columns/JOB.json     the columns of the last successful run
/// ```
///
/// A lock is the kernel's, on an open file; whether the file exists, and what is in it, means nothing. Everything
/// here blocks for as long as the disk takes, a few milliseconds as a rule.
#[derive(Debug, Clone)]
pub struct State {
    directory: PathBuf,
}

/// One job's lock, held until it is dropped. It stands before everything that only a job's own run may do.
#[derive(Debug)]
pub struct JobLock {
    name: JobName,
    _lock: Lock,
}

impl JobLock {
    /// The job that is locked.
    #[must_use]
    pub fn job(&self) -> &JobName {
        &self.name
    }
}

impl State {
    /// The state in `directory`, which is made where it is missing, with mode 0700: the history holds what orgs
    /// answered. Who wants to share it makes it with another mode before.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where it cannot be made or written to.
    pub fn open(directory: &Path) -> Result<Self, Failure> {
        let state = Self::at(directory)?;
        // Only the directory itself is private: exports may lie beside it.
        make_directory(&state.directory, 0o700)?;
        for inner in ["locks", "locks/outputs", "unfinished", "marks", "columns"] {
            make_directory(&state.directory.join(inner), 0o777)?;
        }
        // A run finds out before it begins, not when it has a report to write.
        history::probe(&state.directory)?;
        Ok(state)
    }

    /// The state in `directory` for those who only read: nothing is made, and what is missing reads as empty.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where a relative `directory` has nothing to be relative to.
    pub fn at(directory: &Path) -> Result<Self, Failure> {
        let absolute = std::path::absolute(directory);
        Ok(Self { directory: absolute.map_err(|error| failure("cannot resolve", directory, &error))? })
    }

    /// Locks a job for one run of it.
    ///
    /// # Errors
    ///
    /// [`Exit::TryLater`] where it runs already, in this process or another; [`Exit::Output`] where the lock
    /// cannot be made.
    pub fn lock_job(&self, job: &JobName) -> Result<JobLock, Failure> {
        let path = self.directory.join("locks").join(format!("{job}.lock"));
        match lock::try_lock(&path)? {
            Ok(lock) => Ok(JobLock { name: job.clone(), _lock: lock }),
            Err(held) => Err(Failure::new(Exit::TryLater, format!("job {job} is being run already{held}"))
                .hint("wait for the end of that run; jobs run by the daemon are not to be started by cron as well")),
        }
    }

    /// Locks an output, so that two jobs whose paths meet do not write it at once. `output` is by way of no links.
    ///
    /// # Errors
    ///
    /// [`Exit::TryLater`] where another run writes it, [`Exit::Output`] where the lock cannot be made.
    pub fn lock_output(&self, output: &Location) -> Result<Lock, Failure> {
        match lock::try_lock(&self.output_lock(output))? {
            // One file a path would be a file a night where the path holds the date.
            Ok(lock) => Ok(lock.removed_at_end()),
            Err(held) => {
                let what = format!("{output} is being written already{held}");
                Err(Failure::new(Exit::TryLater, what)
                    .hint("wait for the end of that run; two jobs should not have one output"))
            }
        }
    }

    /// Whether `lock` is [`State::lock_output`]'s of this output.
    #[must_use]
    pub fn is_lock_of(&self, lock: &Lock, output: &Location) -> bool {
        lock.is_at_path(&self.output_lock(output))
    }

    /// Locks the state directory for the one daemon that it may have.
    ///
    /// # Errors
    ///
    /// [`Exit::TryLater`] where a daemon runs on it, [`Exit::Output`] where the lock cannot be made.
    pub fn lock_daemon(&self) -> Result<Lock, Failure> {
        let path = self.directory.join("daemon.lock");
        let mut tried = lock::try_lock(&path)?;
        for _ in 0..5 {
            if tried.is_ok() {
                break;
            }
            // Who only looks whether a daemon runs holds it for a moment.
            std::thread::sleep(Duration::from_millis(10));
            tried = lock::try_lock(&path)?;
        }
        tried.map_err(|held| {
            let what = format!("a daemon runs on {} already{held}", self.directory.display());
            Failure::new(Exit::TryLater, what).hint("end that one, or give this one a state_dir of its own")
        })
    }

    /// Whether a daemon runs on it. Nothing is made or written.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where the lock cannot be looked at.
    pub fn has_daemon(&self) -> Result<bool, Failure> {
        lock::is_held(&self.directory.join("daemon.lock"))
    }

    /// Notes a run's stages before they are opened, so that a later run finds them if this one dies. On the disk
    /// when it returns.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where the note cannot be written.
    pub fn note_stages(&self, job: &JobLock, stages: &[RecoveryData]) -> Result<(), Failure> {
        self.amend(job, |unfinished| unfinished.stages.extend_from_slice(stages))
    }

    /// Notes that a group of outputs is about to be published, before the first rename. On the disk when it
    /// returns.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where the note cannot be written.
    pub fn note_intent(&self, job: &JobLock, intent: RecoveryData) -> Result<(), Failure> {
        self.amend(job, |unfinished| unfinished.intent = Some(intent))
    }

    /// The intents that runs of other jobs left, with their jobs, by name. What cannot be read is left to its own job.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where the notes cannot be listed.
    pub fn intents_of_others(&self, own: &JobLock) -> Result<Vec<(JobName, RecoveryData)>, Failure> {
        let others = self.jobs_in("unfinished")?.into_iter().filter(|job| job != own.job());
        let intents = others.filter_map(|job| {
            let noted: Option<JournalEntry> = file::read(&self.job_file("unfinished", &job)).ok().flatten();
            Some((job, noted?.intent?))
        });
        Ok(intents.collect())
    }

    /// What earlier runs of the job, all dead since the lock is held, did not end: the intent, to be recovered first,
    /// and the stages, to be discarded after it.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where the note cannot be read.
    pub fn unfinished(&self, job: &JobLock) -> Result<JournalEntry, Failure> {
        Ok(file::read(&self.unfinished_path(job))?.unwrap_or_default())
    }

    /// Forgets what was noted, after all of it is published, swept or discarded, but for those stages that `remain`.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where the note cannot be removed or written.
    pub fn clear(&self, job: &JobLock, remain: impl Fn(&RecoveryData) -> bool) -> Result<(), Failure> {
        let mut stages = self.unfinished(job)?.stages;
        stages.retain(|stage| remain(stage));
        if stages.is_empty() {
            return file::remove(&self.unfinished_path(job));
        }
        file::write(&self.unfinished_path(job), &JournalEntry { stages, intent: None })
    }

    /// Appends a run to the history; on the disk when it returns.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where it cannot be written; the history is then as it was.
    pub fn append(&self, report: &RunReport) -> Result<(), Failure> {
        history::append(&self.directory, report)
    }

    /// The history, newest first. A report that is being written is not in it, and one that a crash cut short
    /// is left out.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where it cannot be opened; items are errors where it cannot be read.
    pub fn history(&self) -> Result<History, Failure> {
        History::open(&self.directory)
    }

    /// Drops the runs that ended more than `keep` before `now`, except the last run of each job, however old. Gives
    /// how many.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where it cannot be rewritten; the history is then as it was.
    pub fn prune(&self, keep: Duration, now: Timestamp) -> Result<u64, Failure> {
        history::prune(&self.directory, keep, now)
    }

    /// How far the job's schedule has come, if it was ever marked.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where the mark cannot be read.
    pub fn mark(&self, job: &JobName) -> Result<Option<Mark>, Failure> {
        file::read(&self.job_file("marks", job))
    }

    /// Every job's mark, and the failures of those that cannot be read.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where their directory cannot be listed.
    pub fn marks(&self) -> Result<(BTreeMap<JobName, Mark>, Vec<Failure>), Failure> {
        let (mut marks, mut unread) = (BTreeMap::new(), Vec::new());
        for job in self.jobs_in("marks")? {
            match self.mark(&job) {
                Ok(mark) => marks.extend(mark.map(|mark| (job, mark))),
                Err(failure) => unread.push(failure),
            }
        }
        Ok((marks, unread))
    }

    /// Marks how far the job's schedule has come; on the disk when it returns. The daemon's alone.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where it cannot be written; the former mark stands.
    pub fn set_mark(&self, job: &JobName, mark: &Mark) -> Result<(), Failure> {
        file::write(&self.job_file("marks", job), mark)
    }

    /// Removes the job's mark, if it has one.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where it cannot be removed.
    pub fn remove_mark(&self, job: &JobName) -> Result<(), Failure> {
        file::remove(&self.job_file("marks", job))
    }

    /// The columns of the job's last successful run; pruning the history does not forget them.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where they cannot be read.
    pub fn columns(&self, job: &JobName) -> Result<Option<Vec<String>>, Failure> {
        file::read(&self.job_file("columns", job))
    }

    /// Notes the columns of a successful run.
    ///
    /// # Errors
    ///
    /// [`Exit::Output`] where they cannot be written; the former ones stand.
    pub fn set_columns(&self, job: &JobLock, columns: &[String]) -> Result<(), Failure> {
        // They change once in a year: the nightly flush is not worth it.
        if self.columns(job.job()).is_ok_and(|noted| noted.as_deref() == Some(columns)) {
            return Ok(());
        }
        file::write(&self.job_file("columns", job.job()), &columns)
    }

    fn amend(&self, job: &JobLock, change: impl FnOnce(&mut JournalEntry)) -> Result<(), Failure> {
        let mut unfinished = self.unfinished(job)?;
        change(&mut unfinished);
        file::write(&self.unfinished_path(job), &unfinished)
    }

    fn output_lock(&self, output: &Location) -> PathBuf {
        let digest = digest::digest(&digest::SHA256, output.as_bytes());
        let hash: String = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        self.directory.join("locks/outputs").join(hash)
    }

    fn unfinished_path(&self, job: &JobLock) -> PathBuf {
        self.job_file("unfinished", job.job())
    }

    /// The jobs that have a file of this kind, by name.
    fn jobs_in(&self, kind: &str) -> Result<Vec<JobName>, Failure> {
        let directory = self.directory.join(kind);
        let unlisted = |error: io::Error| failure("cannot list", &directory, &error);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unlisted)?,
        };
        let mut jobs = Vec::new();
        for entry in entries {
            let name = entry.map_err(unlisted)?.file_name();
            // What a crash left aside is nobody's.
            let stem = name.to_str().and_then(|name| name.strip_suffix(".json"));
            jobs.extend(stem.and_then(|stem| JobName::parse(stem).ok()));
        }
        jobs.sort();
        Ok(jobs)
    }

    fn job_file(&self, kind: &str, job: &JobName) -> PathBuf {
        self.directory.join(kind).join(format!("{job}.json"))
    }
}

/// Makes a directory, and those above it, each flushed into the one that holds it: with a directory that a power cut takes
/// away go the notes in it, however well they were flushed.
fn make_directory(directory: &Path, mode: u32) -> Result<(), Failure> {
    let make = || fs::DirBuilder::new().mode(mode).create(directory);
    let made = match (make(), directory.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            make_directory(parent, 0o777)?;
            make()
        }
        (made, _) => made,
    };
    match made {
        Ok(()) => file::flush_directory_of(directory),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failure("cannot make", directory, &error)),
    }
}

fn failure(doing: &str, path: &Path, error: &io::Error) -> Failure {
    let failure =
        Failure::of_file(Exit::Output, doing, path, error).context("the state directory cannot be used");
    let where_to = "state_dir (SFEXPORT_STATE_DIR) must be a directory that this user can write to";
    match failure.hint.clone() {
        Some(hint) => failure.hint(format!("{hint}; {where_to}")),
        None => failure.hint(where_to),
    }
}

#[cfg(test)]
mod tests;
