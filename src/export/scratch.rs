//! Files in `scratch_dir` for what is too large for memory: the rows of a page, and the pages of a query job's result. They
//! have no names, so their space is free again when the run ends, however it ends.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::encode::Spill;
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
    /// Files to use again: overwriting one is cheaper than allocating another.
    spare: Spare,
}

type Spare = Arc<Mutex<Vec<fs::File>>>;

impl Scratch {
    /// Those of a run in `directory`, which is created with the first file.
    pub(super) fn new(directory: PathBuf, run: RunId) -> Self {
        Self { directory, run, made: Arc::default(), spare: Arc::default() }
    }

    /// An empty file to write, rewind and read back.
    pub(super) fn file(&self) -> io::Result<ScratchFile> {
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        let file = match spare {
            Some(mut file) => {
                file.seek(SeekFrom::Start(0))?;
                file
            }
            None => self.open()?,
        };
        Ok(ScratchFile { file: Some(file), written: 0, left: 0, spare: Arc::clone(&self.spare) })
    }

    fn open(&self) -> io::Result<fs::File> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        open(&self.directory, &format!(".{}-{number}.spool", self.run))
    }

    /// Whose files they are.
    pub(super) fn run(&self) -> &RunId {
        &self.run
    }

    /// A file to write and read anywhere, which is made when it is first written. Its errors carry a [`Failure`], in which
    /// `doing` is followed by the directory.
    pub(super) fn spill(&self, doing: &'static str) -> SpillFile {
        SpillFile { scratch: self.clone(), doing, file: None }
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

/// A scratch file that is written and read at any place.
pub(super) struct SpillFile {
    scratch: Scratch,
    doing: &'static str,
    file: Option<fs::File>,
}

impl SpillFile {
    fn file(&mut self) -> io::Result<&fs::File> {
        match &mut self.file {
            Some(file) => Ok(file),
            empty => Ok(empty.insert(self.scratch.open()?)),
        }
    }

    fn failed(&self, error: &io::Error) -> io::Error {
        io::Error::other(self.scratch.failure(self.doing, error))
    }
}

impl Spill for SpillFile {
    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file().and_then(|file| file.write_all_at(bytes, at)).map_err(|error| self.failed(&error))
    }

    fn read(&mut self, into: &mut [u8], at: u64) -> io::Result<()> {
        self.file().and_then(|file| file.read_exact_at(into, at)).map_err(|error| self.failed(&error))
    }
}

/// Opens a new file without a name in `directory`, which is created if it is missing. Where the file system always wants a
/// name, as NFS does, the file has `name` until it is open.
fn open(directory: &Path, name: &str) -> io::Result<fs::File> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // Whatever prevents a file without a name: if it prevents one with a name too, that error is the one to report.
    unnamed(directory).or_else(|_| named(directory, name))
}

fn unnamed(directory: &Path) -> io::Result<fs::File> {
    #[cfg(target_os = "linux")]
    {
        let without_name = rustix::fs::OFlags::TMPFILE.bits().cast_signed();
        OpenOptions::new().read(true).write(true).custom_flags(without_name).mode(0o600).open(directory)
    }
    #[cfg(not(target_os = "linux"))]
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Opens a file that loses its name while it is empty, after removing those that a killed process left with their names.
fn named(directory: &Path, name: &str) -> io::Result<fs::File> {
    sweep(directory);
    let path = directory.join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    match fs::remove_file(&path) {
        // Another run's sweep came first.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(file),
    }
}

/// Removes the names of scratch files. A file of a run that is still alive needs its name no more than one of a run that was
/// killed. What cannot be removed is empty, and does no harm.
fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_empty_file = || entry.metadata().is_ok_and(|found| found.is_file() && found.len() == 0);
        if entry.file_name().to_str().is_some_and(is_scratch_name) && is_empty_file() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether this is a name that [`Scratch::file`] or [`check`] gives: `.RUNID-0.spool`, `.RUNID.spool`.
fn is_scratch_name(name: &str) -> bool {
    let Some(stem) = name.strip_prefix('.').and_then(|name| name.strip_suffix(".spool")) else {
        return false;
    };
    let (run, number) = stem.split_at_checked(RunId::LEN).unwrap_or((stem, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    RunId::parse(run).is_some() && (number.is_empty() || number.strip_prefix('-').is_some_and(is_number))
}

/// Whether files can be made in `directory`, which is created if it is missing.
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
    use std::os::unix::fs::MetadataExt as _;

    use jiff::Timestamp;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_no_name_while_it_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let name = ".20261128T010000Z-0000000a-0.spool";
        for make in [open, named] {
            let mut file = make(directory.path(), name).unwrap();
            file.write_all(b"a row").unwrap();
            file.rewind().unwrap();
            assert_eq!(io::read_to_string(&file).unwrap(), "a row");
            assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
            assert_eq!(names(directory.path()), [""; 0]);
        }
    }

    #[test]
    fn names_that_a_killed_run_left_are_swept() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write(".20261128T010000Z-0000000a-0.spool", "");
        write(".20261128T010000Z-0000000a-17.spool", "");
        write(".20261128T010000Z-0000000b.spool", "");
        let others = [
            ".20261128T010000Z-0000000a-.spool",
            ".20261128T010000Z-0000000a-x.spool",
            ".20261128T010000Z-0000000a0.spool",
            ".20261128T010000Z-0000000g-0.spool",
            "20261128T010000Z-0000000a-0.spool",
            "a.csv",
        ];
        others.iter().for_each(|name| write(name, ""));
        // Scratch files are empty for as long as they have names.
        write(".20261128T010000Z-0000000c-0.spool", "text");
        drop(named(directory.path(), ".20261128T010000Z-0000000d-0.spool").unwrap());
        let mut kept = others.to_vec();
        kept.push(".20261128T010000Z-0000000c-0.spool");
        kept.sort_unstable();
        assert_eq!(names(directory.path()), kept);
    }

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
