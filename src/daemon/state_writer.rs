//! Writes marks and reports for the daemon, on a thread that exists from the start: neither a slow disk nor a system
//! without threads to give stops the daemon's loop. What is written when is up to the daemon.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc;

use tokio::sync::oneshot;

use super::panic_text;
use crate::config::Digests;
use crate::error::Failure;
use crate::job::{ExportKey, JobName};
use crate::report::RunReport;
use crate::schedule::Mark;
use crate::state::State;
use crate::threads;

/// Marks to be written, each with its key; `None` stands for those of a job that are to be removed.
pub(super) type Marks = BTreeMap<JobName, Option<(ExportKey, Mark)>>;

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
}

/// The thread that writes. It ends with this.
#[derive(Debug)]
pub(super) struct StateWriter {
    asked: mpsc::Sender<(Batch, oneshot::Sender<Written>)>,
}

impl StateWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`Exit::TryLater`](crate::error::Exit::TryLater) if the system has no thread to give.
    pub(super) fn start(state: State) -> Result<Self, Failure> {
        let (asked, inbox) = mpsc::channel::<(Batch, oneshot::Sender<Written>)>();
        threads::spawn("state", move || {
            for (batch, answer) in inbox {
                // The daemon may have ended.
                let _ = answer.send(write(&state, batch));
            }
        })?;
        Ok(Self { asked })
    }

    /// Has a batch written, after those before it.
    pub(super) fn write(&self, batch: Batch) -> oneshot::Receiver<Written> {
        let (answer, written) = oneshot::channel();
        // The thread ends with this alone.
        let _ = self.asked.send((batch, answer));
        written
    }
}

fn write(state: &State, Batch { mut marks, reports, loaded }: Batch) -> Written {
    let attempt = AssertUnwindSafe(|| {
        append(state, &reports);
        if let Some(error) = loaded.and_then(|digests| state.set_loaded(&digests).err()) {
            // All that depends on it is what `jobs` says of changed files.
            tracing::warn!(%error, "it could not be noted which files the daemon has loaded");
        }
        write_marks(state, &mut marks)
    });
    let error = panic::catch_unwind(attempt)
        .unwrap_or_else(|panic| Some(format!("a bug in sfexport: {}", panic_text(panic.as_ref()))));
    Written { reports, unwritten: marks, error }
}

fn append(state: &State, reports: &[RunReport]) {
    let failures: Vec<_> = reports.iter().filter_map(|report| state.append(report).err()).collect();
    if let Some(error) = failures.first() {
        // One line, however many: a full disk may keep hundreds out.
        tracing::error!(runs = failures.len(), %error, "runs could not be added to the history");
    }
}

/// Writes the marks and takes away those that are on the disk. Two failures in a row are the disk's rather than one
/// job's, and the rest is not tried.
fn write_marks(state: &State, marks: &mut Marks) -> Option<String> {
    let (mut error, mut in_a_row) = (None, 0);
    let jobs: Vec<JobName> = marks.keys().cloned().collect();
    for job in jobs {
        if in_a_row == 2 {
            break;
        }
        let written = match marks.get(&job) {
            Some(Some((key, mark))) => state.set_mark(key, mark),
            _ => state.remove_marks(&job),
        };
        match written {
            Ok(()) => {
                marks.remove(&job);
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
    use crate::org::OrgName;
    use crate::schedule::Started;

    fn marks(jobs: &[&str]) -> Marks {
        let mark = |job: &str| {
            let name = JobName::parse(job).unwrap();
            let started = Started::default();
            let settled = Timestamp::UNIX_EPOCH;
            let mark = Mark { fingerprint: "x".to_owned(), settled, begun: None, died: 0, started };
            (name.clone(), Some((ExportKey::new(name, OrgName::default_org()), mark)))
        };
        jobs.iter().map(|job| mark(job)).collect()
    }

    fn names(marks: &Marks) -> Vec<&str> {
        marks.keys().map(JobName::as_str).collect()
    }

    /// Puts a directory in the way of a job's mark.
    fn block(state: &State, directory: &Path, job: &str) {
        assert_eq!(
            names(&write(state, Batch { marks: marks(&[job]), ..Batch::default() }).unwritten),
            [""; 0]
        );
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
        let written = write(&state, Batch { marks: marks(&["a", "b", "c"]), ..Batch::default() });
        assert_eq!(names(&written.unwritten), ["b"]);
        assert!(written.error.unwrap().contains("marks/b"));
        // Two in a row are taken for the disk's.
        block(&state, directory.path(), "c");
        let written = write(&state, Batch { marks: marks(&["a", "b", "c", "d"]), ..Batch::default() });
        assert_eq!(names(&written.unwritten), ["b", "c", "d"]);
    }
}
