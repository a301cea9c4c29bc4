//! Recovery after a crash: a partly published group is published completely or given up, and stages are removed. Only
//! this file knows the recovery data. It is stored in journals, so its formats can be extended but never changed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Renaming;
use super::local::{exists, failure, flush_directory, rename, resolved};
use super::sweep::{Swept, Taken, sweep, take};
use crate::error::{Exit, Failure};
use crate::fs::is_at;
use crate::job::{IfExists, Location, RecoveryData};

/// The result for the outputs of an interrupted publish.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// They are now published.
    pub published: Vec<Location>,
    /// Another file has replaced the previous one. Newer files are not replaced, so their stages were removed.
    pub overtaken: Vec<Location>,
    /// They belonged to the same group, and their stages were removed too.
    pub given_up: Vec<Location>,
    /// Neither the stage nor the published file exists.
    pub missing: Vec<Location>,
}

/// Completes a publish that a crash interrupted, from its [`intent`](super::intent). The caller holds the locks of the job
/// and of [`outputs_of`] the intent, and has swept nothing yet.
///
/// # Errors
/// [`Exit::TryLater`] if a stage's writer is alive. [`Exit::Output`] if a file cannot be renamed, or if some files are
/// published and the others can no longer complete the set: the stages are kept until a person decides.
pub fn recover(intent: &RecoveryData) -> Result<Recovered, Failure> {
    let intent: Intent = read(intent)?;
    recover_renames(&intent.renamings(), &intent.known, intent.if_exists.into())
}

/// The outputs of an intent, as [`Output::lock_location`](super::Output::lock_location) gives them.
///
/// # Errors
/// [`Exit::Output`] if the data is not an intent's.
pub fn outputs_of(intent: &RecoveryData) -> Result<Vec<Location>, Failure> {
    let intent: Intent = read(intent)?;
    Ok(intent.renamings().iter().map(|(_, output)| Location::File(resolved(output))).collect())
}

/// Removes a stage that a dead run left, from an entry of [`Output::stages`](super::Output::stages).
///
/// # Errors
/// [`Exit::Output`] if it cannot be locked or removed, or if the data is not a stage's.
pub fn discard(stage: &RecoveryData) -> Result<Swept, Failure> {
    let stage: StageForm = read(stage)?;
    sweep(&PathBuf::from(stage))
}

/// Whether there may still be a stage to [`discard`].
#[must_use]
pub fn may_remain(stage: &RecoveryData) -> bool {
    // It may exist if it cannot be checked, or if a later version recorded it in an unknown format.
    read::<StageForm>(stage).map_or(true, |stage| {
        let found = PathBuf::from(stage).symlink_metadata();
        !matches!(found, Err(error) if error.kind() == io::ErrorKind::NotFound)
    })
}

/// The data of a stage.
pub(super) fn stage(path: &Path) -> RecoveryData {
    write(&StageForm::from(path))
}

/// The data of a group before it is published.
pub(super) fn intent(renamings: &[Renaming]) -> Result<RecoveryData, Failure> {
    let known = renamings.iter().map(|Renaming { stage, output, .. }| known_files(stage, output));
    let fails = renamings.iter().any(|renaming| renaming.if_exists == IfExists::Fail);
    Ok(write(&Intent {
        renamings: renamings
            .iter()
            .map(|Renaming { stage, output, .. }| (stage.as_path().into(), output.as_path().into()))
            .collect(),
        known: known.collect::<Result<_, _>>()?,
        if_exists: if fails { IfExistsForm::Fail } else { IfExistsForm::Replace },
    }))
}

fn read<T: DeserializeOwned>(data: &RecoveryData) -> Result<T, Failure> {
    T::deserialize(data.form()).map_err(|error| {
        Failure::new(Exit::Output, format!("cannot read the record of an interrupted run: {error}"))
            .hint("run the job once with the version of sfexport that wrote it")
    })
}

fn write(form: &impl Serialize) -> RecoveryData {
    // The keys of maps are text, and nothing else could fail.
    RecoveryData::new(serde_json::to_value(form).unwrap_or_default())
}

/// A path as JSON: text, or its bytes if they are not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PathForm {
    Path(String),
    Bytes(Vec<u8>),
}

/// A stage that is a local file. Another kind of stage gets another key.
type StageForm = PathForm;

impl From<&Path> for PathForm {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Path(text.to_owned()),
            None => Self::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }
}

impl From<PathForm> for PathBuf {
    fn from(form: PathForm) -> Self {
        match form {
            PathForm::Path(text) => text.into(),
            PathForm::Bytes(bytes) => OsString::from_vec(bytes).into(),
        }
    }
}

/// A publish of local files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Intent {
    /// Stage and output of each, in the order of the renames.
    renamings: Vec<(PathForm, PathForm)>,
    /// What was at each of them when the intent was recorded, in the same order; missing in journals of older versions.
    #[serde(default)]
    known: Vec<KnownFiles>,
    if_exists: IfExistsForm,
}

impl Intent {
    fn renamings(&self) -> Vec<(PathBuf, PathBuf)> {
        self.renamings.iter().cloned().map(|(stage, output)| (stage.into(), output.into())).collect()
    }
}

/// [`IfExists`], as the configuration spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum IfExistsForm {
    Replace,
    Fail,
}

impl From<IfExistsForm> for IfExists {
    fn from(form: IfExistsForm) -> Self {
        match form {
            IfExistsForm::Replace => Self::Replace,
            IfExistsForm::Fail => Self::Fail,
        }
    }
}

/// Identifies a file at one moment, to recognize it later without a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileIdentity {
    /// The device number.
    pub(super) device: u64,
    /// The inode number.
    pub(super) inode: u64,
    /// Its size.
    pub(super) bytes: u64,
    /// The seconds and nanoseconds of its last write, only compared for equality.
    pub(super) modified: (i64, i64),
}

impl FileIdentity {
    /// Whether it is the file that was recorded as `noted`. If the file system has other numbers after a remount, `by_number`
    /// is false, and only its size and last write are compared.
    fn is(&self, noted: &Self, by_number: bool) -> bool {
        let is_same = (self.bytes, self.modified) == (noted.bytes, noted.modified);
        is_same && (!by_number || (self.device, self.inode) == (noted.device, noted.inode))
    }
}

/// What was known of an output before it was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownFiles {
    /// Its stage.
    pub(super) stage: FileIdentity,
    /// The file in its place, if there was one.
    pub(super) former: Option<FileIdentity>,
}

/// What is at `stage` and `output` now, before the stage is renamed to the output.
pub(super) fn known_files(stage: &Path, output: &Path) -> Result<KnownFiles, Failure> {
    let gone =
        || failure("cannot access the temporary file", stage, &io::Error::from(io::ErrorKind::NotFound));
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
        Err(error) => Err(failure("cannot access", path, &error)),
    }
}

/// One file of an interrupted publish, as it is found.
struct Interrupted<'a> {
    stage: &'a Path,
    output: &'a Path,
    has_stage: bool,
    place: Place,
}

impl Interrupted<'_> {
    fn location(&self) -> Location {
        Location::File(self.output.to_owned())
    }
}

/// What is at an output of an interrupted publish.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The previous file, or nothing; the stage exists.
    Waiting,
    /// A file that did not exist when the intent was recorded; the stage exists.
    Overtaken,
    /// The published file.
    Published,
    /// The same as [`Place::Overtaken`], but the stage is gone.
    Replaced,
    /// The previous file, and the stage is gone.
    Lost,
    /// Nothing, and the stage is gone. The reader of the exports may have taken it.
    Empty,
}

/// Renames those of the (stage, output) pairs whose stage is still there, in their order. What is done is decided for
/// all of them before the first is touched, by what was `known` of each when the intent was noted (nothing, in old
/// notes: then the times of the files decide). If another file has taken the place of one and none is published yet,
/// all are given up.
pub(super) fn recover_renames(
    renamings: &[(PathBuf, PathBuf)],
    known: &[KnownFiles],
    if_exists: IfExists,
) -> Result<Recovered, Failure> {
    let (files, _locks) = look(renamings, known, if_exists)?;
    let any = |place: Place| files.iter().any(|file| file.place == place);
    let overtaken = files.iter().find(|file| file.place == Place::Overtaken);
    if let (Some(file), IfExists::Fail) = (overtaken, if_exists) {
        return Err(or_give_up(exists(file.output), file.stage));
    }
    let is_missing = |file: &&Interrupted| matches!(file.place, Place::Replaced | Place::Lost | Place::Empty);
    let mut done = Recovered {
        missing: files.iter().filter(is_missing).map(Interrupted::location).collect(),
        ..Recovered::default()
    };
    if !any(Place::Overtaken) && !any(Place::Replaced) && !any(Place::Lost) {
        publish_rest(&files, if_exists, &mut done)?;
    } else if !(any(Place::Published) || any(Place::Replaced) && any(Place::Waiting)) {
        give_up(&files, &mut done)?;
    } else if any(Place::Waiting) || any(Place::Overtaken) {
        return Err(cannot_decide(&files));
    }
    Ok(done)
}

/// Looks at all files, and locks the stages that are there.
fn look<'a>(
    renamings: &'a [(PathBuf, PathBuf)],
    known: &[KnownFiles],
    if_exists: IfExists,
) -> Result<(Vec<Interrupted<'a>>, Vec<File>), Failure> {
    let (mut locks, mut has_stage) = (Vec::new(), Vec::new());
    for (stage, output) in renamings {
        has_stage.push(match take(stage)? {
            Taken::Ours(lock) => {
                locks.push(lock);
                true
            }
            // The job's lock says that no other run of it lives.
            Taken::Unknown => true,
            Taken::Gone => false,
            Taken::Live => {
                let what = format!("another process is about to publish {}", output.display());
                return Err(Failure::new(Exit::TryLater, what).hint("wait for that process to end"));
            }
        });
    }
    // A stage that has its noted number shows that the numbers still mean what they did.
    let mut by_number = false;
    for ((stage, _), known) in renamings.iter().zip(known) {
        by_number |= identity(stage)? == Some(known.stage);
    }
    let mut files = Vec::new();
    for (at, ((stage, output), has_stage)) in renamings.iter().zip(has_stage).enumerate() {
        let place = match (has_stage, known.get(at)) {
            (true, known) => place_with_stage(stage, output, known, by_number, if_exists)?,
            (false, known) => place_without_stage(output, known, by_number)?,
        };
        files.push(Interrupted { stage, output, has_stage, place });
    }
    Ok((files, locks))
}

fn place_with_stage(
    stage: &Path,
    output: &Path,
    known: Option<&KnownFiles>,
    by_number: bool,
    if_exists: IfExists,
) -> Result<Place, Failure> {
    if is_one_file(stage, output) {
        return Ok(Place::Published);
    }
    let may_be_replaced = match (identity(output)?, known) {
        (None, _) => true,
        _ if if_exists == IfExists::Fail => false,
        (Some(found), Some(known)) => known.former.is_some_and(|former| found.is(&former, by_number)),
        (Some(_), None) => !is_newer(output, stage)?,
    };
    Ok(if may_be_replaced { Place::Waiting } else { Place::Overtaken })
}

fn place_without_stage(output: &Path, known: Option<&KnownFiles>, by_number: bool) -> Result<Place, Failure> {
    let found = identity(output)?;
    let Some(known) = known else { return Ok(Place::Published) };
    let Some(found) = found else { return Ok(Place::Empty) };
    Ok(match known.former {
        _ if found.is(&known.stage, by_number) => Place::Published,
        Some(former) if found.is(&former, by_number) => Place::Lost,
        _ => Place::Replaced,
    })
}

fn publish_rest(files: &[Interrupted], if_exists: IfExists, done: &mut Recovered) -> Result<(), Failure> {
    for file in files {
        match file.place {
            Place::Waiting => rename(file.stage, file.output, if_exists)
                .map_err(|failure| or_give_up(failure, file.stage))?,
            // Killed between the link and the unlink; renaming a file to itself would leave both names.
            Place::Published if file.has_stage => remove(file.stage)?,
            _ => continue,
        }
        flush_directory_of(file.output)?;
        done.published.push(file.location());
    }
    Ok(())
}

/// None of the group is in place. Those that wait go first: what is overtaken tells why, also after a crash.
fn give_up(files: &[Interrupted], done: &mut Recovered) -> Result<(), Failure> {
    for (place, gone) in [(Place::Waiting, &mut done.given_up), (Place::Overtaken, &mut done.overtaken)] {
        for file in files.iter().filter(|file| file.place == place) {
            remove(file.stage)?;
            flush_directory_of(file.output)?;
            gone.push(file.location());
        }
    }
    Ok(())
}

/// Some of the group is in place, and what waits would not complete it.
fn cannot_decide(files: &[Interrupted]) -> Failure {
    let at = |places: &[Place], path: fn(&Interrupted) -> String| {
        let found = files.iter().filter(|file| places.contains(&file.place)).map(path);
        found.collect::<Vec<_>>().join(", ")
    };
    let output = |file: &Interrupted| file.output.display().to_string();
    let stages = at(&[Place::Waiting, Place::Overtaken], |file| file.stage.display().to_string());
    let what = format!(
        "cannot finish the interrupted publish: some of the run's files are in place, but {} is from \
         another run",
        at(&[Place::Overtaken, Place::Replaced, Place::Lost], output)
    );
    let mut hint = format!("remove {stages} to discard that export; the next run replaces every file");
    let overtaken = at(&[Place::Overtaken], output);
    if !overtaken.is_empty() {
        hint = format!("move {overtaken} away to finish that export, or {hint}");
    }
    Failure::new(Exit::Output, what).hint(hint)
}

fn or_give_up(failure: Failure, stage: &Path) -> Failure {
    let discard = format!("remove {} to discard that export", stage.display());
    let hint = match &failure.hint {
        Some(first) => format!("{first}; or {discard}"),
        None => discard,
    };
    failure.context("cannot finish the interrupted publish").hint(hint)
}

fn remove(stage: &Path) -> Result<(), Failure> {
    fs::remove_file(stage).map_err(|error| failure("cannot remove the temporary file", stage, &error))
}

fn flush_directory_of(output: &Path) -> Result<(), Failure> {
    output.parent().map_or(Ok(()), flush_directory)
}

/// Whether what is at `output` was written after `stage`.
fn is_newer(output: &Path, stage: &Path) -> Result<bool, Failure> {
    let written = |path: &Path| fs::symlink_metadata(path).and_then(|found| found.modified());
    let cannot_look = |path, error| failure("cannot access", path, &error);
    match written(output) {
        Ok(output) => Ok(output > written(stage).map_err(|error| cannot_look(stage, error))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(cannot_look(output, error)),
    }
}

fn is_one_file(one: &Path, other: &Path) -> bool {
    File::open(one).is_ok_and(|open| is_at(&open, other))
}
