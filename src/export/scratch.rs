//! Files in `scratch_dir` for what is too large for memory: the rows of a page, and the pages of a query job's result. They
//! have no name, so they take no room longer than the run, however it ends.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Exit, Failure};
use crate::report::RunId;

/// How many files are kept to be written again.
const MAX_SPARE_FILES: usize = 8;

/// The scratch files of a run.
#[derive(Clone)]
pub(super) struct Scratch {
    directory: PathBuf,
    run: RunId,
    /// How many files were made.
    made: Arc<AtomicU64>,
    /// Files that have served. Writing them again is cheaper for the system than to find room for new ones.
    spare: Spare,
}

type Spare = Arc<Mutex<Vec<fs::File>>>;

impl Scratch {
    /// Those of a run in `directory`, which is made when the first file is.
    pub(super) fn new(directory: PathBuf, run: RunId) -> Self {
        Self { directory, run, made: Arc::default(), spare: Arc::default() }
    }

    /// An empty file, to be written, rewound and read back.
    pub(super) fn file(&self) -> io::Result<ScratchFile> {
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        let file = match spare {
            Some(mut file) => {
                file.seek(SeekFrom::Start(0))?;
                file
            }
            None => {
                let number = self.made.fetch_add(1, Ordering::Relaxed);
                open(&self.directory, &format!(".{}-{number}.spool", self.run))?
            }
        };
        Ok(ScratchFile { file: Some(file), written: 0, left: 0, spare: Arc::clone(&self.spare) })
    }

    /// The failure of a file; `doing` is followed by the directory.
    pub(super) fn failure(&self, doing: &str, error: &io::Error) -> Failure {
        failure(doing, &self.directory, error)
    }
}

/// A scratch file. Another may take its place on the disk once it is dropped.
pub(super) struct ScratchFile {
    file: Option<fs::File>,
    /// How many bytes were written; what an earlier use wrote follows them.
    written: u64,
    /// How many of them have not been read back.
    left: u64,
    spare: Spare,
}

impl ScratchFile {
    /// Ends writing: from now on it is read, from its start.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.file()?.seek(SeekFrom::Start(0))?;
        self.left = self.written;
        Ok(())
    }

    fn file(&mut self) -> io::Result<&mut fs::File> {
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Write for ScratchFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file()?.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for ScratchFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.file()?.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        if let (Some(file), Ok(mut spare)) = (self.file.take(), self.spare.lock())
            && spare.len() < MAX_SPARE_FILES
        {
            spare.push(file);
        }
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_file_that_is_used_again_has_nothing_of_its_earlier_use() {
        let directory = tempfile::tempdir().unwrap();
        let run = RunId::new(Timestamp::from_second(1_795_309_200).unwrap(), 1);
        let scratch = Scratch::new(directory.path().to_owned(), run);
        for text in ["a long text", "short", "", "another text"] {
            let mut file = scratch.file().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.rewind().unwrap();
            let mut read = String::new();
            file.read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
        }
        assert_eq!(scratch.made.load(Ordering::Relaxed), 1);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
