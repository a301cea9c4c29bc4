//! Why the state directory could not be used: typed for code that branches on it, and converted to a [`Failure`] once, for
//! people.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::error::{Exit, Failure, io_text};
use crate::fs::is_unsupported;
use crate::job::{ExportKey, Location};

/// Why a lock was not taken.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{target}{}", By(*process))]
    Held {
        /// What is locked.
        target: LockTarget,
        /// The process that holds it, if its file names one.
        process: Option<u32>,
    },
    /// The lock's file cannot be opened or locked, so this is unknown.
    #[error("{doing} {}: {}", path.display(), io_text(source))]
    NotLockable {
        /// What was tried: `cannot open`, `cannot lock`.
        doing: &'static str,
        /// The lock's file.
        path: PathBuf,
        /// The file system's refusal.
        source: io::Error,
    },
}

/// What a lock protects. The text says that it is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockTarget {
    /// A run.
    Job(ExportKey),
    /// Writing an output.
    Output(Location),
    /// Being the daemon of this state directory.
    Daemon(PathBuf),
    /// Changing a file.
    File(PathBuf),
}

impl fmt::Display for LockTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(key) => write!(f, "job {key} is already running"),
            Self::Output(output) => write!(f, "{output} is already being written"),
            Self::Daemon(directory) => write!(f, "a daemon already uses {}", directory.display()),
            Self::File(path) => write!(f, "{} is locked", path.display()),
        }
    }
}

/// ` (process 4711)`, or nothing.
struct By(Option<u32>);

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |process| write!(f, " (process {process})"))
    }
}

impl LockError {
    /// Whether the directory of the lock is gone.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::NotLockable { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let what = error.to_string();
        match error {
            LockError::Held { target, .. } => Self::new(Exit::TryLater, what).hint(match target {
                LockTarget::Job(_) => {
                    "wait for that run to end; don't start a job from cron if the daemon runs it too"
                }
                LockTarget::Output(_) => "wait for that run to end; give each job its own output",
                LockTarget::Daemon(_) => "stop that daemon, or give this one a different state_dir",
                LockTarget::File(_) => {
                    "find the process that holds the lock (lsof, lslocks), and stop it"
                }
            }),
            // NFS without a lock daemon, some FUSE and SMB mounts.
            LockError::NotLockable { doing, path, source } if is_unsupported(&source) => {
                refused(doing, &path, &source).hint(
                    "set state_dir (SFEXPORT_STATE_DIR) to a directory on a local disk: this file system does not \
                     support file locks",
                )
            }
            LockError::NotLockable { doing, path, source } => refused(doing, &path, &source),
        }
    }
}

/// Why something in the state directory could not be read or written.
#[derive(Debug, Error)]
pub enum StateError {
    /// The file system refused.
    #[error("{doing} {}: {}", path.display(), io_text(source))]
    Io {
        /// What was tried: `cannot read`, `cannot write`.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Its refusal.
        source: io::Error,
    },
    /// The content was not written by this version or an earlier one.
    #[error("cannot read {}: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The same of a watermark.
    #[error("cannot read the watermark of {key} in {}: {source}", path.display())]
    DamagedWatermark {
        /// The export.
        key: ExportKey,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It is a directory, a pipe or a device instead of a file.
    #[error("cannot read {}: it is not a regular file", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// It is larger than any document.
    #[error("{} is larger than {} MiB", path.display(), limit >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest allowed size.
        limit: u64,
    },
    /// It was written for another key.
    #[error("cannot read {}: it belongs to job {found}, not to {expected}", path.display())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// The key it was written for.
        found: String,
        /// The key it should belong to.
        expected: String,
    },
    /// A later version recorded something that this version cannot recover.
    #[error("the journal {} has an entry of the unknown kind {kind:?}", path.display())]
    UnknownEntry {
        /// The file.
        path: PathBuf,
        /// The entry's kind.
        kind: String,
    },
    /// It has changed since it was read.
    #[error("cannot write {}: another process changed it in the meantime", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A lock that is needed briefly could not be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl StateError {
    /// Whether the state directory, or a part of it, is gone.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Lock(error) => error.is_missing(),
            _ => false,
        }
    }

    /// For `map_err`: the refusal of `doing` to the file at `path`.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let what = error.to_string();
        match error {
            StateError::Io { doing, path, source } => refused(doing, &path, &source),
            StateError::Lock(error) => error.into(),
            StateError::Damaged { .. } => Self::new(Exit::Output, what)
                .hint("remove it to start again; it was damaged, or written by a later version"),
            StateError::DamagedWatermark { key, .. } => Self::new(Exit::Output, what).hint(format!(
                "use the version that wrote it, or export everything again in the next run with \
                 `sfexport watermark {} --reset`",
                key.arguments()
            )),
            StateError::NotAFile { .. } | StateError::TooLarge { .. } => {
                Self::new(Exit::Output, what).hint("move it away; sfexport did not write it")
            }
            StateError::Misplaced { .. } => {
                Self::new(Exit::Output, what).hint("move it away; it was probably copied or renamed by hand")
            }
            StateError::UnknownEntry { path, .. } => Self::new(Exit::Output, what).hint(format!(
                "run the job once with the version that wrote it, or move {} away to discard its unfinished runs",
                path.display()
            )),
            StateError::Changed { .. } => {
                Self::new(Exit::TryLater, what).hint("run the job again")
            }
        }
    }
}

/// What a person reads when the file system refuses something in the state directory.
fn refused(doing: &str, path: &Path, error: &io::Error) -> Failure {
    let failure =
        Failure::of_file(Exit::Output, doing, path, error).context("the state directory cannot be used");
    if failure.exit == Exit::TryLater {
        // Too many open files: no other directory would help.
        return failure;
    }
    let where_to = "set state_dir (SFEXPORT_STATE_DIR) to a directory that this user can write to";
    match failure.hint.clone() {
        // There is a directory where a file of the state directory should be. The hint for outputs does not fit.
        Some(_) if error.kind() == io::ErrorKind::IsADirectory => {
            failure.hint(format!("move that directory away, or {where_to}"))
        }
        Some(hint) => failure.hint(format!("{hint}; or {where_to}")),
        None => failure.hint(where_to),
    }
}
