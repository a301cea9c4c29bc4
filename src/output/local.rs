//! A local file as an output: a locked stage next to it, then a rename.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags};

use super::permissions::{self, Access};
use super::{
    Caution, Destination, Output, Published, Renaming, Sealed, Staged, Tally, recovery, replaceable, sweep,
};
use crate::error::{Exit, Failure};
use crate::fs::{is_at, is_renumbered, is_unsupported, renumbered};
use crate::job::stage_name::{self, Owner};
use crate::job::{IfExists, Location, RecoveryData, output_path};
use crate::report::RunId;

/// A local file as an output.
#[derive(Debug, Clone)]
pub struct LocalFile {
    /// The path as requested.
    shown: PathBuf,
    /// Where it is written: `shown`, or the target of a link there that is followed.
    path: PathBuf,
    directory: PathBuf,
    follow_links: bool,
    if_exists: IfExists,
    file_mode: Option<u32>,
    owner: Owner,
    in_group: bool,
    root: Option<PathBuf>,
}

impl LocalFile {
    /// A job's output at `path`, relative to the working directory. `file_mode` sets its permission bits; with `None` they
    /// are those of the previous file, or 0666 less the umask if there is none.
    ///
    /// # Errors
    /// [`Exit::Output`] if `path` does not name a file.
    pub fn new(path: &Path, if_exists: IfExists, file_mode: Option<u32>) -> Result<Self, Failure> {
        let path = std::path::absolute(path).map_err(|error| failure("cannot resolve", path, &error))?;
        let directory = match (path.parent(), path.file_name()) {
            (Some(parent), Some(_)) if !path.as_os_str().as_bytes().ends_with(b"/") => parent.to_owned(),
            _ => return Err(no_file(&path)),
        };
        refuse_stage_name(&path)?;
        Ok(Self {
            shown: path.clone(),
            path,
            directory,
            follow_links: false,
            if_exists,
            file_mode,
            owner: Owner::Job,
            in_group: false,
            root: None,
        })
    }

    /// The same output, but written through a link at its path instead of replacing the link. The link is followed once,
    /// here, so it may be changed during a run.
    ///
    /// # Errors
    /// [`Exit::Output`] if the link leads to nothing that could be a file.
    pub fn following_links(mut self) -> Result<Self, Failure> {
        // The limit of Linux.
        const MAX_LINKS: usize = 40;
        self.follow_links = true;
        for _ in 0..MAX_LINKS {
            // A path that is not a link is the output.
            let Ok(target) = fs::read_link(&self.path) else { return Ok(self) };
            let target = self.directory.join(target);
            let (Some(directory), Some(name)) = (target.parent(), target.file_name()) else {
                return Err(no_file(&target));
            };
            self.directory = fs::canonicalize(directory).map_err(|error| {
                failure(&format!("cannot follow the link {} to", self.shown.display()), &target, &error)
            })?;
            self.path = self.directory.join(name);
            refuse_stage_name(&self.path)?;
        }
        let what =
            format!("cannot follow the link {}: it leads through too many other links", self.shown.display());
        Err(Failure::new(Exit::Output, what).hint("make it a link to the file itself"))
    }

    /// The same output, of a query that has no journal.
    #[must_use]
    pub fn of_query(self) -> Self {
        Self { owner: Owner::Query, ..self }
    }

    /// The same output, but rejected if a link leads outside `root`, which must contain its path. `root` itself may be a
    /// link.
    #[must_use]
    pub fn within(self, root: &Path) -> Self {
        Self { root: Some(root.to_owned()), ..self }
    }

    /// Its path, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that is written for `run`.
    pub(super) fn stage_path(&self, run: &RunId) -> PathBuf {
        self.directory.join(stage_name::of(self.path.file_name().unwrap_or_default(), run, self.owner))
    }

    /// The name of that file while it is complete and waits for its group. Sweeping by name does not remove it.
    pub(super) fn waiting_path(&self, run: &RunId) -> Option<PathBuf> {
        // A query has no journal, so any query must be able to sweep its stages.
        let waits = self.in_group && self.owner == Owner::Job;
        let name = self.path.file_name().unwrap_or_default();
        waits.then(|| self.directory.join(stage_name::of(name, run, Owner::Group)))
    }

    /// The same output for a further file of the export.
    fn beside(&self, part: &str) -> Result<Self, Failure> {
        let path = output_path::beside(&self.shown, part);
        let directory = path.parent().unwrap_or(&path).to_owned();
        let beside = Self { shown: path.clone(), path, directory, ..self.clone() };
        if self.follow_links { beside.following_links() } else { Ok(beside) }
    }

    /// Opens the stage, exclusively, and locks it.
    fn open(&self, stage: &Path, is_private: bool) -> Result<File, Failure> {
        // A private file must be private while it is being written, too.
        let created = if is_private { 0o600 } else { 0o666 };
        for _ in 0..100 {
            let opened = OpenOptions::new().write(true).create_new(true).mode(created).open(stage);
            let file = match opened {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                }
                Err(error) => return Err(failure("cannot create the temporary file", stage, &error)),
            };
            match file.try_lock() {
                Ok(()) if is_at(&file, stage) => return Ok(file),
                // Before it was locked, another run took the stage for that of a dead run.
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                // If nothing can be locked, nothing is swept either.
                Err(TryLockError::Error(error)) if is_unsupported(&error) => return Ok(file),
                Err(TryLockError::Error(error)) => {
                    let _ = fs::remove_file(stage);
                    return Err(failure("cannot lock the temporary file", stage, &error));
                }
            }
        }
        if is_renumbered(stage) {
            let _ = fs::remove_file(stage);
            return Err(failure("cannot lock the temporary file", stage, &renumbered())
                .hint("write to another file system, such as a local disk"));
        }
        let what =
            format!("cannot create the temporary file {}: another process uses its name", stage.display());
        Err(Failure::new(Exit::Output, what).hint("run the job again"))
    }
}

impl Destination for LocalFile {
    fn location(&self) -> Location {
        Location::File(self.shown.clone())
    }

    fn lock_location(&self) -> Option<Location> {
        Some(Location::File(resolved(&self.path)))
    }

    fn exists(&self) -> bool {
        self.path.exists()
    }

    fn check(&self) -> Result<(), Failure> {
        check_target(&self.path, self.if_exists)?;
        let existing = nearest_existing(&self.directory)?;
        if let Some(root) = self.root.as_deref().filter(|root| !is_missing(root, &self.directory, existing)) {
            stays_below(root, existing, &self.shown)?;
        }
        // The directory must also be readable: it is opened for flushing, and read for sweeping.
        let wanted = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(existing, wanted)
            .map_err(|error| failure("cannot create a file in", existing, &error.into()))
    }

    fn probe(&self, run: &RunId) -> Result<(), Failure> {
        let existing = nearest_existing(&self.directory)?;
        let name = stage_name::of(self.path.file_name().unwrap_or_default(), run, self.owner);
        let probe = existing.join(name);
        // The missing directory is created under another name, because a run may be about to create it too.
        if existing == self.directory {
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe);
            made.and_then(|_| match fs::remove_file(&probe) {
                // A run of the job has already swept it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            })
            .map_err(|error| failure("cannot create a file in", existing, &error))
        } else {
            fs::create_dir(&probe)
                .and_then(|()| fs::remove_dir(&probe))
                .map_err(|error| cannot_make_directory(&self.directory, &error))
        }
    }

    fn caution(&self) -> Option<Caution> {
        let shown = self.shown.display();
        if let (Ok(target), false) = (fs::read_link(&self.shown), self.follow_links) {
            let what = format!(
                "{shown} is a link to {}: a run replaces the link and leaves its target unchanged",
                target.display()
            );
            let hint = "set follow_links = true to write through the link, or name its target as the output";
            return Some(Caution { what, hint: hint.to_owned() });
        }
        let names = fs::symlink_metadata(&self.path).ok().filter(fs::Metadata::is_file)?.nlink();
        let what = format!(
            "{shown} is one of {names} hard links to a file: a run replaces this one, and the others keep the old \
             contents"
        );
        let hint = "make the others symbolic links to this one";
        (names > 1).then(|| Caution { what, hint: hint.to_owned() })
    }

    fn group(&self, parts: &[String]) -> Result<Vec<Output>, Failure> {
        let main = Self { in_group: true, ..self.clone() };
        let mut group = vec![main.clone().into()];
        for part in parts {
            group.push(main.beside(part)?.into());
        }
        Ok(group)
    }

    fn stages(&self, run: &RunId) -> Vec<RecoveryData> {
        let paths = std::iter::once(self.stage_path(run)).chain(self.waiting_path(run));
        paths.map(|path| recovery::stage(&path)).collect()
    }

    fn sweep(&self) -> Result<(), Failure> {
        sweep::sweep_siblings(&self.path, self.owner).map(drop)
    }

    fn stage(&self, run: &RunId) -> Result<Box<dyn Staged>, Failure> {
        self.check()?;
        make_directories(&self.directory)?;
        let path = self.stage_path(run);
        let replaced = Access::of(&self.path);
        let file = self.open(&path, self.file_mode.is_some() || replaced.is_some())?;
        let stage = Stage { file, path, in_place: true };
        let waiting = self.waiting_path(run);
        Ok(Box::new(LocalStaged { output: self.clone(), stage, waiting, replaced, tally: Tally::new() }))
    }
}

/// A stage's file. It is removed on drop, unless it has been renamed or is kept.
struct Stage {
    file: File,
    path: PathBuf,
    in_place: bool,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.in_place {
            // If it cannot be removed now, it is swept later.
            let _ = fs::remove_file(&self.path);
        }
    }
}

struct LocalStaged {
    output: LocalFile,
    stage: Stage,
    /// Its name once it is complete, if that is different.
    waiting: Option<PathBuf>,
    /// The access rights of the previous output when the stage was opened.
    replaced: Option<Access>,
    tally: Tally,
}

impl LocalStaged {
    fn explained(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        io::Error::new(kind, failure("cannot write", &self.output.shown, &error))
    }
}

impl Write for LocalStaged {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.stage.file.write(buffer).map_err(|error| self.explained(error))?;
        self.tally.add(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Staged for LocalStaged {
    fn restart(&mut self) -> Result<(), Failure> {
        let file = &mut self.stage.file;
        let emptied = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| failure("cannot empty the temporary file", &self.stage.path, &error))?;
        self.tally = Tally::new();
        Ok(())
    }

    fn seal(mut self: Box<Self>) -> Result<Box<dyn Sealed>, Failure> {
        let LocalFile { path, shown, file_mode, .. } = &self.output;
        // It may have changed since the stage was opened.
        let replaced = Access::of(path).or(self.replaced.take());
        let warnings = permissions::hand_on(&self.stage.file, replaced.as_ref(), *file_mode, shown)?;
        let flushed = self.stage.file.sync_all();
        flushed.map_err(|error| failure("cannot flush", shown, &error))?;
        if let Some(waiting) = self.waiting.take() {
            fs::rename(&self.stage.path, &waiting)
                .map_err(|error| failure("cannot rename the temporary file to", &waiting, &error))?;
            self.stage.path = waiting;
        }
        // If a power cut removed the stage from its directory, it would look as if it had already been renamed, and the rest
        // of its group would be published without it.
        flush_directory(&self.output.directory)?;
        let Self { output, stage, tally, .. } = *self;
        Ok(Box::new(LocalSealed { output, stage, tally, warnings }))
    }
}

struct LocalSealed {
    output: LocalFile,
    stage: Stage,
    tally: Tally,
    warnings: Vec<String>,
}

impl Sealed for LocalSealed {
    fn renaming(&self) -> Option<Renaming> {
        let (stage, output) = (self.stage.path.clone(), self.output.path.clone());
        Some(Renaming { stage, output, if_exists: self.output.if_exists })
    }

    fn contents(&self) -> Published {
        self.tally.published(self.output.location())
    }

    fn check(&self) -> Result<(), Failure> {
        check_target(&self.output.path, self.output.if_exists)
    }

    fn publish(&mut self) -> Result<(), Failure> {
        rename(&self.stage.path, &self.output.path, self.output.if_exists)?;
        self.stage.in_place = false;
        Ok(())
    }

    fn confirm(&mut self) -> Result<Published, Failure> {
        flush_directory(&self.output.directory).map_err(|failure| {
            failure.context("the new export is in place, but may be lost in a power cut")
        })?;
        let warnings = std::mem::take(&mut self.warnings);
        Ok(Published { warnings, ..self.contents() })
    }

    fn leave(mut self: Box<Self>) {
        self.stage.in_place = false;
    }
}

/// Rejects a path that sweeping would take for a stage.
fn refuse_stage_name(path: &Path) -> Result<(), Failure> {
    if !path.file_name().is_some_and(stage_name::is_stage) {
        return Ok(());
    }
    let what =
        format!("cannot write {}: names like this are reserved for unfinished exports", path.display());
    Err(Failure::new(Exit::Output, what).hint("choose a name that does not end in .partial"))
}

/// Whether an export may replace what is at `path`.
fn check_target(path: &Path, if_exists: IfExists) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure("cannot write", path, &error)),
    }
    // System directories contain devices and open files, even if a name there leads to a file.
    let parent = path.parent().and_then(|parent| fs::canonicalize(parent).ok());
    if parent.is_some_and(|parent| {
        ["/dev", "/proc", "/sys"].iter().any(|system| parent.starts_with(system))
            && !parent.starts_with("/dev/shm")
    }) {
        let what = format!("cannot write {}: it is in a system directory", path.display());
        return Err(Failure::new(Exit::Output, what)
            .hint("name a regular file, or use `query -o -` for standard output"));
    }
    // Links are replaced, whatever their target. But nobody who names /dev/stdout or a linked directory wants it replaced
    // by a file.
    if let Ok(target) = fs::metadata(path) {
        if target.is_dir() {
            return Err(no_file(path));
        }
        if !target.is_file() {
            let what = format!("cannot write {}: it is a device, a pipe or a socket", path.display());
            return Err(Failure::new(Exit::Output, what)
                .hint("name a regular file, or use `query -o -` for standard output"));
        }
    }
    match if_exists {
        IfExists::Replace => replaceable::check(path),
        IfExists::Fail => Err(exists(path)),
    }
}

/// Renames a stage over its output, atomically; with [`IfExists::Fail`] only if there is no output yet.
pub(super) fn rename(stage: &Path, output: &Path, if_exists: IfExists) -> Result<(), Failure> {
    let renamed = match if_exists {
        IfExists::Replace => fs::rename(stage, output),
        IfExists::Fail => rename_to_nothing(stage, output),
    };
    renamed.map_err(|error| match (if_exists, error.kind()) {
        (IfExists::Fail, io::ErrorKind::AlreadyExists) => exists(output),
        _ => failure("cannot move the finished export to", output, &error),
    })
}

fn rename_to_nothing(stage: &Path, output: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, stage, CWD, output, RenameFlags::NOREPLACE).map_err(io::Error::from)
    {
        // NFS, some FUSE file systems, old kernels.
        Err(error) if is_unsupported(&error) => link_to_nothing(stage, output),
        done => done,
    }
}

/// A hard link does not replace a file either. If the process is killed between the two steps, one complete file has two
/// names.
pub(super) fn link_to_nothing(stage: &Path, output: &Path) -> io::Result<()> {
    fs::hard_link(stage, output).map_err(|error| match error.kind() {
        // FAT says EPERM.
        kind if kind == io::ErrorKind::PermissionDenied || is_unsupported(&error) => {
            let what = "this file system can only rename by replacing, which if_exists = \"fail\" forbids";
            io::Error::new(io::ErrorKind::Unsupported, what)
        }
        _ => error,
    })?;
    // The output has appeared. A leftover name is swept later, and is not a failure.
    let _ = fs::remove_file(stage);
    Ok(())
}

/// Whether no part of `root` existed when `existing` was the nearest existing directory to `directory`, so there was no
/// link below it either. This must not be checked again, because another run may be creating it at this moment.
pub(super) fn is_missing(root: &Path, directory: &Path, existing: &Path) -> bool {
    directory.starts_with(root) && root.starts_with(existing) && root != existing
}

/// Rejects the directory of the output `shown` if it is not below `root` after all links are followed. This catches paths
/// that mean another place than they say. It does not stop anyone who can change the directories before the rename.
fn stays_below(root: &Path, directory: &Path, shown: &Path) -> Result<(), Failure> {
    let real = |path: &Path| fs::canonicalize(path);
    let real_root = match real(root) {
        Ok(real_root) => real_root,
        // So there is no link below it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure("cannot resolve", root, &error)),
    };
    let real_directory = real(directory).map_err(|error| failure("cannot resolve", directory, &error))?;
    if real_directory.starts_with(&real_root) {
        return Ok(());
    }
    let what = format!(
        "{} is outside output_root: a link in its path leads to {}",
        shown.display(),
        real_directory.display()
    );
    let hint =
        "set output_root to a directory that contains both, or mount the other directory below output_root";
    Err(Failure::new(Exit::Output, what).hint(hint))
}

/// Creates `directory` and missing directories above it, and flushes each into its parent.
fn make_directories(directory: &Path) -> Result<(), Failure> {
    let existing = nearest_existing(directory)?;
    let missing = directory.ancestors().take_while(|ancestor| *ancestor != existing).collect::<Vec<_>>();
    for made in missing.into_iter().rev() {
        match fs::create_dir(made) {
            Ok(()) => {}
            // Another run was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot_make_directory(made, &error)),
        }
        if let Some(parent) = made.parent() {
            flush_directory(parent)?;
        }
    }
    Ok(())
}

/// The failure of creating the directory `made`, or one in it, although its parent exists.
fn cannot_make_directory(made: &Path, error: &io::Error) -> Failure {
    let failure = failure("cannot create the directory", made, error);
    match error.kind() {
        // The file system does not allow new directories, as in /proc.
        io::ErrorKind::NotFound => {
            failure.hint("choose another output_root or output: no directory can be created there")
        }
        _ => failure,
    }
}

/// `path` without links, as far as its directories exist. The last name is never followed, because a link there is
/// replaced.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let directories = path.ancestors().skip(1);
    directories
        .filter_map(|above| Some(fs::canonicalize(above).ok()?.join(path.strip_prefix(above).ok()?)))
        .next()
        .unwrap_or_else(|| path.to_owned())
}

/// `directory`, or the nearest one above it that exists.
fn nearest_existing(directory: &Path) -> Result<&Path, Failure> {
    for ancestor in directory.ancestors() {
        match fs::metadata(ancestor) {
            Ok(found) if found.is_dir() => return Ok(ancestor),
            Ok(_) => {
                let error = io::Error::from(io::ErrorKind::NotADirectory);
                return Err(failure("cannot create a file in", ancestor, &error));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failure("cannot access the directory", ancestor, &error)),
        }
    }
    Err(failure("cannot find the directory", directory, &io::Error::from(io::ErrorKind::NotFound)))
}

/// Flushes `directory`, so its file names survive a power cut.
pub(super) fn flush_directory(directory: &Path) -> Result<(), Failure> {
    crate::fs::flush_directory(directory)
        .map_err(|error| failure("cannot flush the directory", directory, &error))
}

pub(super) fn failure(doing: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::of_file(Exit::Output, doing, path, error)
}

fn no_file(path: &Path) -> Failure {
    let what = format!("cannot write {}: it is a directory, not a file", path.display());
    Failure::new(Exit::Output, what).hint("name a file in it")
}

pub(super) fn exists(path: &Path) -> Failure {
    let what = format!("{} already exists, and if_exists = \"fail\" forbids replacing it", path.display());
    Failure::new(Exit::Output, what)
        .hint("move it away, put {run_id} or {datetime} in the output's path, or set if_exists = \"replace\"")
}
