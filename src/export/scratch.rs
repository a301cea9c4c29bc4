//! Files in `scratch_dir` for what is too large for memory: the rows of a page, and the pages of a query job's result. They
//! have no name, so they take no room longer than the run, however it ends.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Exit, Failure};
use crate::report::RunId;

/// The scratch files of a run.
#[derive(Clone)]
pub(super) struct Scratch {
    directory: PathBuf,
    run: RunId,
    /// How many files were made.
    made: Arc<AtomicU64>,
}

impl Scratch {
    /// Those of a run in `directory`, which is made when the first file is.
    pub(super) fn new(directory: PathBuf, run: RunId) -> Self {
        Self { directory, run, made: Arc::default() }
    }

    /// A new file, to be written and read back.
    pub(super) fn file(&self) -> io::Result<fs::File> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        open(&self.directory, &format!(".{}-{number}.spool", self.run))
    }

    /// The failure of a file; `doing` is followed by the directory.
    pub(super) fn failure(&self, doing: &str, error: &io::Error) -> Failure {
        failure(doing, &self.directory, error)
    }
}

/// Opens a file that has its name for a moment only, while it is empty.
fn open(directory: &Path, name: &str) -> io::Result<fs::File> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let path = directory.join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Whether files could be made in `directory`, which is made if it is missing.
///
/// # Errors
/// [`Exit::Output`] with scratch_dir in it.
pub fn check(directory: &Path, run: &RunId) -> Result<(), Failure> {
    open(directory, &format!(".{run}.spool"))
        .map(drop)
        .map_err(|error| failure("cannot make a file in", directory, &error))
}

fn failure(doing: &str, directory: &Path, error: &io::Error) -> Failure {
    let failure = Failure::of_file(Exit::Output, format!("{doing} scratch_dir,"), directory, error);
    if failure.exit != Exit::Output {
        return failure;
    }
    failure.hint(format!(
        "make room in {} and let this user write there, or set scratch_dir (SFEXPORT_SCRATCH_DIR) to another directory",
        directory.display()
    ))
}
