//! Writes marks and reports for the daemon, on a thread that exists from the start: neither a slow disk nor a system
//! without threads to give stops the daemon's loop. What is written when is up to the daemon.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;

use super::panic_text;
use crate::config::Digests;
use crate::error::Failure;
use crate::job::ExportKey;
use crate::report::RunReport;
use crate::schedule::Mark;
use crate::state::{Lock, LockError, State, StateError};
use crate::threads;

/// The most reports that wait for a history that cannot be written to; further ones are in the log alone.
const MAX_BACKLOG: usize = 1_000;

/// How long a report waits for somebody who has locked the history. Marks, and so starts, wait behind it.
const HISTORY_PATIENCE: Duration = Duration::from_secs(1);

/// Marks to write, by job and org; `None` removes the mark.
pub(super) type Marks = BTreeMap<ExportKey, Option<Mark>>;

/// What is written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) marks: Marks,
    pub(super) reports: Vec<RunReport>,
    /// A configuration that was loaded, by its files.
    pub(super) loaded: Option<Digests>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.reports.is_empty() && self.loaded.is_none()
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Its reports, whether they are in the history or not.
    pub(super) reports: Vec<RunReport>,
    /// Those of its marks that are not on the disk.
    pub(super) unwritten: Marks,
    /// Why not.
    pub(super) error: Option<String>,
    /// How many reports, of this batch and of those before it, wait for the history.
    pub(super) backlog: usize,
    /// Whether the daemon still has its state directory.
    pub(super) directory: Directory,
}

/// What became of the state directory, which somebody may delete while the daemon runs.
#[derive(Debug, Default)]
pub(super) enum Directory {
    /// It is the one that the daemon has locked.
    #[default]
    Kept,
    /// It was deleted and has been created again; this is its lock.
    Created(Lock),
    /// It was deleted, and another daemon has created it again.
    Taken(Failure),
    /// It was deleted and cannot be created again.
    Lost(Failure),
}

/// The thread that writes. It ends with this.
#[derive(Debug)]
pub(super) struct StateWriter {
    asked: mpsc::Sender<Asked>,
}

/// A batch, the daemon's lock, and where the answer goes.
type Asked = (Batch, Arc<Lock>, oneshot::Sender<Written>);

impl StateWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Exit::TryLater`](crate::error::Exit::TryLater) if the system has no thread to give.
    pub(super) fn start(state: State) -> Result<Self, Failure> {
        let (asked, inbox) = mpsc::channel::<Asked>();
        threads::spawn("state", move || {
            let mut backlog = Backlog::default();
            for (batch, lock, answer) in inbox {
                // Before anything is written, which would create the directory without a daemon's lock in it.
                let directory = keep_directory(&state, &lock);
                drop(lock);
                // The daemon may have ended.
                let _ = answer.send(Written { directory, ..write(&state, batch, &mut backlog) });
            }
        })?;
        Ok(Self { asked })
    }

    /// Has a batch written, after those before it, once it is sure that `lock` still keeps other daemons out.
    pub(super) fn write(&self, batch: Batch, lock: Arc<Lock>) -> oneshot::Receiver<Written> {
        let (answer, written) = oneshot::channel();
        // The thread ends with this alone.
        let _ = self.asked.send((batch, lock, answer));
        written
    }
}

fn keep_directory(state: &State, lock: &Lock) -> Directory {
    if lock.is_in_place() {
        return Directory::Kept;
    }
    match state.create().and_then(|()| Ok(state.lock_daemon()?)) {
        Ok(lock) => Directory::Created(lock),
        Err(StateError::Lock(error @ LockError::Held { .. })) => Directory::Taken(error.into()),
        Err(error) => Directory::Lost(error.into()),
    }
}

fn write(state: &State, Batch { mut marks, reports, loaded }: Batch, backlog: &mut Backlog) -> Written {
    backlog.add(&reports);
    let attempt = AssertUnwindSafe(|| {
        backlog.append(state);
        if let Some(error) = loaded.and_then(|digests| state.set_loaded(&digests).err()) {
            // All that depends on it is what `jobs` says of changed files.
            tracing::warn!(%error, "cannot record which files the daemon loaded");
        }
        write_marks(state, &mut marks)
    });
    let error = panic::catch_unwind(attempt)
        .unwrap_or_else(|panic| Some(format!("a bug in sfexport: {}", panic_text(panic.as_ref()))));
    Written { reports, unwritten: marks, error, backlog: backlog.reports.len(), directory: Directory::Kept }
}

/// Reports on their way to the history, the oldest first.
#[derive(Default)]
struct Backlog {
    reports: VecDeque<RunReport>,
    /// How many the log last said could not be written.
    logged: usize,
}

impl Backlog {
    fn add(&mut self, reports: &[RunReport]) {
        let room = MAX_BACKLOG.saturating_sub(self.reports.len());
        self.reports.extend(reports.iter().take(room).cloned());
    }

    /// Writes them up to the first that is refused. The next one would be, too.
    fn append(&mut self, state: &State) {
        while let Some(report) = self.reports.front() {
            if let Err(error) = state.append_within(report, HISTORY_PATIENCE) {
                return self.log(&error);
            }
            self.reports.pop_front();
        }
        if std::mem::take(&mut self.logged) > 0 {
            tracing::info!("the history is being written again");
        }
    }

    /// One line at first, and one each time there are twice as many: a full disk may keep hundreds out.
    fn log(&mut self, error: &StateError) {
        let runs = self.reports.len();
        if self.logged == 0 || runs >= self.logged.saturating_mul(2) {
            self.logged = runs;
            tracing::error!(runs, %error, "cannot add runs to the history; they are kept in memory and added later");
        }
    }
}

/// Writes the marks and takes away those that are on the disk. Two failures in a row are the disk's rather than one
/// job's, and the rest is not tried.
fn write_marks(state: &State, marks: &mut Marks) -> Option<String> {
    let (mut error, mut in_a_row) = (None, 0);
    let keys: Vec<ExportKey> = marks.keys().cloned().collect();
    for key in keys {
        if in_a_row == 2 {
            break;
        }
        let written = match marks.get(&key) {
            Some(Some(mark)) => state.set_mark(&key, mark),
            _ => state.remove_mark(&key),
        };
        match written {
            Ok(()) => {
                marks.remove(&key);
                in_a_row = 0;
            }
            Err(failure) => {
                error.get_or_insert_with(|| failure.to_string());
                in_a_row += 1;
            }
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use jiff::Timestamp;

    use super::*;
    use crate::job::JobName;
    use crate::org::OrgName;
    use crate::schedule::Started;

    fn marks(jobs: &[&str]) -> Marks {
        let mark = |job: &str| {
            let key = ExportKey::new(JobName::parse(job).unwrap(), OrgName::default_org());
            let started = Started::default();
            let settled = Timestamp::UNIX_EPOCH;
            let mark = Mark { fingerprint: "x".to_owned(), settled, begun: None, died: 0, started };
            (key, Some(mark))
        };
        jobs.iter().map(|job| mark(job)).collect()
    }

    fn names(marks: &Marks) -> Vec<&str> {
        marks.keys().map(|key| key.job().as_str()).collect()
    }

    fn write_of(state: &State, jobs: &[&str]) -> Written {
        write(state, Batch { marks: marks(jobs), ..Batch::default() }, &mut Backlog::default())
    }

    /// Puts a directory in the way of a job's mark.
    fn block(state: &State, directory: &Path, job: &str) {
        assert_eq!(names(&write_of(state, &[job]).unwritten), [""; 0]);
        let files = fs::read_dir(directory.join("marks")).unwrap().map(|entry| entry.unwrap().path());
        let of_job = |path: &PathBuf| path.is_file() && path.to_string_lossy().contains(&format!("/{job}"));
        let path = files.into_iter().find(of_job).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir_all(path.join("in the way")).unwrap();
    }

    #[test]
    fn one_jobs_failure_keeps_no_other_mark_from_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        block(&state, directory.path(), "b");
        let written = write_of(&state, &["a", "b", "c"]);
        assert_eq!(names(&written.unwritten), ["b"]);
        assert!(written.error.unwrap().contains("marks/b"));
        // Two in a row are taken for the disk's.
        block(&state, directory.path(), "c");
        let written = write_of(&state, &["a", "b", "c", "d"]);
        assert_eq!(names(&written.unwritten), ["b", "c", "d"]);
    }

    #[test]
    fn reports_wait_for_a_history_that_somebody_locks() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        let report = |job: &str| {
            let started = Timestamp::UNIX_EPOCH;
            RunReport::begun(job, "default", crate::report::RunId::new(started, 1), started)
        };
        let mut backlog = Backlog::default();
        let neighbour = fs::File::create(directory.path().join("runs.lock")).unwrap();
        neighbour.lock().unwrap();
        let batch = Batch { reports: vec![report("a"), report("b")], ..Batch::default() };
        assert_eq!(write(&state, batch, &mut backlog).backlog, 2);
        drop(neighbour);
        let batch = Batch { reports: vec![report("c")], ..Batch::default() };
        let written = write(&state, batch, &mut backlog);
        assert_eq!((written.backlog, written.reports.len()), (0, 1));
        let jobs: Vec<_> = state.history().unwrap().map(|report| report.unwrap().job).collect();
        assert_eq!(jobs, ["c", "b", "a"]);
        backlog.add(&vec![report("d"); MAX_BACKLOG + 1]);
        assert_eq!(backlog.reports.len(), MAX_BACKLOG);
    }
}
