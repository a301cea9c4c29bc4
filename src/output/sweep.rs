//! What a crash left behind: stages of dead runs are removed, and a group half published is published to its end.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::local::{exists, failure, flush_directory, is_at, rename};
use super::{Owner, stage_name};
use crate::error::{Exit, Failure};
use crate::job::{FileIdentity, IfExists, KnownFiles};

/// What became of a stage that was to be swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// It is removed.
    Removed,
    /// Its writer lives, or the file system knows no locks by which to tell: left alone.
    Live,
    /// There is no such file.
    Gone,
}

/// Removes the stage at `stage`, unless its writer lives.
///
/// # Errors
///
/// [`Exit::Output`] where it can be neither locked nor removed.
pub fn sweep(stage: &Path) -> Result<Swept, Failure> {
    match take(stage)? {
        // The lock is held while the name goes: a new writer of that name sees it, and makes another file.
        Taken::Ours(_lock) => match fs::remove_file(stage) {
            Ok(()) => Ok(Swept::Removed),
            Err(error) => Err(failure("cannot remove the stale stage", stage, &error)),
        },
        Taken::Live | Taken::Unknown => Ok(Swept::Live),
        Taken::Gone => Ok(Swept::Gone),
    }
}

/// Removes the stages that dead runs left beside `output`; those of live runs stay. Gives the paths removed. On
/// behalf of a query only queries' stages go: a job's may wait to be rolled forward, by a note that only who holds the
/// job's state directory can read. On behalf of a job those go too, so that none of its own notes may name `output` then; but
/// what waits with its group stays for who holds the note, which may be in another state directory.
///
/// # Errors
///
/// [`Exit::Output`] where the directory cannot be read or a stale stage not removed.
pub fn sweep_siblings(output: &Path, by: Owner) -> Result<Vec<PathBuf>, Failure> {
    let (Some(directory), Some(name)) = (output.parent(), output.file_name()) else { return Ok(Vec::new()) };
    let cannot_read = |error| failure("cannot look for stale stages in", directory, &error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot_read(error)),
    };
    let mut removed = Vec::new();
    for entry in entries {
        let entry = entry.map_err(cannot_read)?;
        let may_go = match stage_name::owner(name, &entry.file_name()) {
            Some(Owner::Query) => true,
            Some(Owner::Job) => by == Owner::Job,
            Some(Owner::Group) | None => false,
        };
        if may_go && sweep(&entry.path())? == Swept::Removed {
            removed.push(entry.path());
        }
    }
    Ok(removed)
}

/// What became of the outputs of a publish that was interrupted.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RolledForward {
    /// They have appeared now.
    pub appeared: Vec<PathBuf>,
    /// Another file has taken the place of the former one: their stages are gone, since nothing replaces what is newer.
    pub overtaken: Vec<PathBuf>,
    /// They were waiting with those, and their stages are gone too.
    pub given_up: Vec<PathBuf>,
    /// Neither their stage nor what it would have become is there.
    pub missing: Vec<PathBuf>,
}

/// What stands at an output of a publish that was interrupted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// What stood there before, or nothing; the stage is there.
    Waiting,
    /// What nobody knew of when the intent was noted; the stage is there.
    Overtaken,
    /// What was to be published.
    Appeared,
    /// The same as [`Place::Overtaken`], but the stage is gone.
    Replaced,
    /// The former file, and the stage is gone.
    Lost,
    /// Nothing, and the stage is gone: whoever fetches the exports may have taken it.
    Empty,
}

/// What stands at `stage` and `output` now, before the one is renamed to the other: for [`roll_forward`].
///
/// # Errors
///
/// [`Exit::Output`] where one of them cannot be looked at.
pub fn known_files(stage: &Path, output: &Path) -> Result<KnownFiles, Failure> {
    let gone = || failure("cannot look at the stage", stage, &io::Error::from(io::ErrorKind::NotFound));
    Ok(KnownFiles { stage: identity(stage)?.ok_or_else(gone)?, former: identity(output)? })
}

fn identity(path: &Path) -> Result<Option<FileIdentity>, Failure> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(FileIdentity {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure("cannot look at", path, &error)),
    }
}

/// Ends a publish that a crash interrupted: renames those of the (stage, output) pairs whose stage is still there, in
/// their order. What is done is decided for all of them before the first is touched, by what was `known` of each when
/// the intent was noted (nothing, in old notes: then the times of the files decide). Where another file has taken the
/// place of one and none has appeared yet, all are given up. Called under the locks of the job and of these outputs,
/// before anything is swept.
///
/// # Errors
///
/// [`Exit::TryLater`] where a stage's writer lives. [`Exit::Output`] where one cannot be renamed, or where some have
/// appeared and what waits would make no whole set of them any more: the stages stay, until somebody decides.
pub fn roll_forward(
    renamings: &[(PathBuf, PathBuf)],
    known: &[KnownFiles],
    if_exists: IfExists,
) -> Result<RolledForward, Failure> {
    let (mut locks, mut is_there) = (Vec::new(), Vec::new());
    for (stage, output) in renamings {
        is_there.push(match take(stage)? {
            Taken::Ours(lock) => {
                locks.push(lock);
                true
            }
            // The job's lock says that no other run of it lives.
            Taken::Unknown => true,
            Taken::Gone => false,
            Taken::Live => {
                let what = format!("another process is about to publish {}", output.display());
                return Err(Failure::new(Exit::TryLater, what).hint("wait for its end"));
            }
        });
    }
    // A stage that has its noted number shows that the numbers still mean what they did.
    let mut by_number = false;
    for ((stage, _), known) in renamings.iter().zip(known) {
        by_number |= identity(stage)? == Some(known.stage);
    }
    let mut places = Vec::new();
    for (at, (stage, output)) in renamings.iter().enumerate() {
        places.push(place(stage, output, is_there[at], known.get(at), by_number, if_exists)?);
    }

    let any = |place: Place| places.contains(&place);
    let at = |place: Place| {
        let found = renamings.iter().zip(&places).filter(move |(_, found)| **found == place);
        found.map(|(renaming, _)| renaming)
    };
    if let (Some((stage, output)), IfExists::Fail) = (at(Place::Overtaken).next(), if_exists) {
        return Err(or_give_up(exists(output), stage));
    }
    let mut done = RolledForward::default();
    for place in [Place::Replaced, Place::Lost, Place::Empty] {
        done.missing.extend(at(place).map(|(_, output)| output.clone()));
    }
    if !any(Place::Overtaken) && !any(Place::Replaced) && !any(Place::Lost) {
        for (at, (stage, output)) in renamings.iter().enumerate() {
            match places[at] {
                Place::Waiting => {
                    rename(stage, output, if_exists).map_err(|failure| or_give_up(failure, stage))?;
                }
                // Killed between the link and the unlink; a rename of one file to itself would leave both names.
                Place::Appeared if is_there[at] => remove(stage)?,
                _ => continue,
            }
            flush_directory_of(output)?;
            done.appeared.push(output.clone());
        }
    } else if !(any(Place::Appeared) || any(Place::Replaced) && any(Place::Waiting)) {
        // None of the group is in place. Those that wait go first: what is overtaken tells why, also after a crash.
        for (place, gone) in [(Place::Waiting, &mut done.given_up), (Place::Overtaken, &mut done.overtaken)] {
            for (stage, output) in at(place) {
                remove(stage)?;
                flush_directory_of(output)?;
                gone.push(output.clone());
            }
        }
    } else if any(Place::Waiting) || any(Place::Overtaken) {
        let shown = |paths: Vec<&PathBuf>| {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        };
        let outputs = |place: Place| at(place).map(|(_, output)| output);
        let stages =
            at(Place::Waiting).chain(at(Place::Overtaken)).map(|(stage, _)| stage).collect::<Vec<_>>();
        let others = outputs(Place::Overtaken).chain(outputs(Place::Replaced)).chain(outputs(Place::Lost));
        let what = format!(
            "cannot finish the publishing that was interrupted: some of the run's files are in place, but {} is of \
             another run, so that what waits would make no whole set",
            shown(others.collect())
        );
        let mut hint =
            format!("remove {} to give that export up: the next run replaces every file", shown(stages));
        if any(Place::Overtaken) {
            let overtaken = shown(outputs(Place::Overtaken).collect());
            hint = format!("move {overtaken} away to have that export finished, or {hint}");
        }
        return Err(Failure::new(Exit::Output, what).hint(hint));
    }
    Ok(done)
}

fn place(
    stage: &Path,
    output: &Path,
    is_there: bool,
    known: Option<&KnownFiles>,
    by_number: bool,
    if_exists: IfExists,
) -> Result<Place, Failure> {
    let found = identity(output)?;
    let is = |noted: &FileIdentity| found.is_some_and(|found| found.is(noted, by_number));
    let is_former = known.and_then(|known| known.former).is_some_and(|former| is(&former));
    if !is_there {
        return Ok(match known {
            None => Place::Appeared,
            Some(known) if is(&known.stage) => Place::Appeared,
            Some(_) if found.is_none() => Place::Empty,
            Some(_) if is_former => Place::Lost,
            Some(_) => Place::Replaced,
        });
    }
    let may_be_replaced = match known {
        _ if found.is_none() => true,
        _ if if_exists == IfExists::Fail => false,
        Some(_) => is_former,
        None => !is_newer(output, stage)?,
    };
    Ok(match () {
        () if is_one_file(stage, output) => Place::Appeared,
        () if may_be_replaced => Place::Waiting,
        () => Place::Overtaken,
    })
}

fn or_give_up(failure: Failure, stage: &Path) -> Failure {
    let hint = format!("or remove {} to give that export up", stage.display());
    let hint = failure.hint.as_ref().map_or_else(|| hint.clone(), |first| format!("{first}; {hint}"));
    failure.context("cannot finish the publishing that was interrupted").hint(hint)
}

fn remove(stage: &Path) -> Result<(), Failure> {
    fs::remove_file(stage).map_err(|error| failure("cannot remove the stage", stage, &error))
}

fn flush_directory_of(output: &Path) -> Result<(), Failure> {
    output.parent().map_or(Ok(()), flush_directory)
}

/// Whether what stands at `output` was written after `stage`.
fn is_newer(output: &Path, stage: &Path) -> Result<bool, Failure> {
    let written = |path: &Path| fs::symlink_metadata(path).and_then(|found| found.modified());
    let cannot_look = |path, error| failure("cannot look at", path, &error);
    match written(output) {
        Ok(output) => Ok(output > written(stage).map_err(|error| cannot_look(stage, error))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot_look(output, error)),
    }
}

enum Taken {
    /// Locked by this process, and still what the path names.
    Ours(File),
    /// Locked by another.
    Live,
    /// It cannot be locked at all: a file system without locks, or no file of ours.
    Unknown,
    Gone,
}

fn take(stage: &Path) -> Result<Taken, Failure> {
    let cannot_look = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Taken::Gone),
        _ => Err(failure("cannot look at the stage", stage, &error)),
    };
    // Not opened if it is no file of ours: opening a pipe would wait for its writer.
    let named = match fs::symlink_metadata(stage) {
        Ok(named) => named,
        Err(error) => return cannot_look(error),
    };
    if !named.is_file() {
        return Ok(Taken::Unknown);
    }
    // NFS locks only what is open for writing; a stage whose mode forbids that to its owner can still be read.
    let opened = match OpenOptions::new().read(true).write(true).open(stage) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(stage),
        opened => opened,
    };
    let file = match opened {
        Ok(file) => file,
        Err(error) => return cannot_look(error),
    };
    match file.try_lock() {
        // Between the opening and the lock, its writer may have published it and another taken the name.
        Ok(()) if is_at(&file, stage) => Ok(Taken::Ours(file)),
        Ok(()) => Ok(Taken::Gone),
        Err(TryLockError::WouldBlock) => Ok(Taken::Live),
        Err(TryLockError::Error(_)) => Ok(Taken::Unknown),
    }
}

fn is_one_file(one: &Path, other: &Path) -> bool {
    File::open(one).is_ok_and(|open| is_at(&open, other))
}
