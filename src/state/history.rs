//! The history: one run report per line, appended under a lock, read from its end without one.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::mem;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use memchr::{memchr, memrchr};
use rustix::fs::OFlags;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::StateError;
use super::lock::{self, Lock, Writable};
use super::owner;
use super::store::{flush_directory_of, open_regular};
use crate::report::{RunReport, RunStatus};

/// How much of the file is read at a time, in bytes.
const BLOCK: usize = 64 * 1024;

/// The longest line that is read as a report, in bytes with its line break.
const MAX_LINE: usize = 1 << 20;

/// How long a writer waits for another writer. Pruning a long history takes seconds.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// The largest gap between two lines, or since the last line, that pruning counts in full.
const MAX_GAP: Duration = Duration::from_secs(7 * 86_400);

/// The reports of past runs, newest first, as of the time it was opened; later appends and pruning do not change it. A
/// line that is not a complete report is left out.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    /// `None` if there is no history, and after the first line or an error.
    file: Option<File>,
    /// Where the first line to be read begins.
    begin: u64,
    /// Where the part that has been read begins.
    read_from: u64,
    /// The part that has been read but not returned: lines, or the end of one.
    unread: Vec<u8>,
    /// Whether the end of the last line is missing because the line is too long.
    is_too_long: bool,
}

/// Where the history ended when it was opened, so a later reader can begin there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryEnd {
    /// The file, by its device and inode number. Pruning replaces it.
    file: (u64, u64),
    /// The end of its last line.
    at: u64,
}

impl History {
    /// Opens what was added after `since`, and says where it ends.
    pub(super) fn open(directory: &Path, since: HistoryEnd) -> Result<(Self, HistoryEnd), StateError> {
        let path = directory.join("runs.jsonl");
        let file = open_regular(&path)?;
        let ends = file.as_ref().map_or(Ok((0, HistoryEnd::default())), |file| ends(file, since));
        let (read_from, end) = ends.map_err(StateError::io("cannot read", &path))?;
        let begin = if since.file == end.file && since.at <= read_from { since.at } else { 0 };
        Ok((Self { path, file, begin, read_from, unread: Vec::new(), is_too_long: false }, end))
    }

    /// The last line that has not been returned, without its line break; empty if it is too long.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.file.is_none() {
            return Ok(None);
        }
        loop {
            let line = match memrchr(b'\n', &self.unread) {
                Some(at) => {
                    let line = self.unread.split_off(at + 1);
                    self.unread.truncate(at);
                    Some(line)
                }
                None if self.read_from == self.begin => {
                    self.file = None;
                    Some(mem::take(&mut self.unread))
                }
                None => None,
            };
            if let Some(line) = line {
                let is_too_long = mem::take(&mut self.is_too_long) || line.len() >= MAX_LINE;
                return Ok(Some(if is_too_long { Vec::new() } else { line }));
            }
            if self.unread.len() >= MAX_LINE {
                self.is_too_long = true;
            }
            if self.is_too_long {
                self.unread.clear();
            }
            let from = self.read_from.saturating_sub(BLOCK as u64).max(self.begin);
            let mut block = vec![0; (self.read_from - from) as usize];
            if let Some(file) = &self.file {
                file.read_exact_at(&mut block, from)?;
            }
            block.append(&mut self.unread);
            self.unread = block;
            self.read_from = from;
        }
    }
}

/// The length of the file, and where its last whole line ends. A line that is being written is read next time, with
/// everything after `since`.
fn ends(file: &File, since: HistoryEnd) -> io::Result<(u64, HistoryEnd)> {
    let found = file.metadata()?;
    let (len, number) = (found.len(), (found.dev(), found.ino()));
    let mut last = [b'\n'];
    if let Some(at) = len.checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    let at = match last {
        [b'\n'] => len,
        _ if since.file == number && since.at <= len => since.at,
        _ => 0,
    };
    Ok((len, HistoryEnd { file: number, at }))
}

impl Iterator for History {
    type Item = Result<RunReport, StateError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.line() {
                Ok(line) => {
                    if let Ok(report) = serde_json::from_slice(&line?) {
                        return Some(Ok(report));
                    }
                }
                Err(error) => {
                    self.file = None;
                    return Some(Err(StateError::io("cannot read", &self.path)(error)));
                }
            }
        }
    }
}

/// Checks that the directory can be written to. A history that cannot be read does not prevent runs.
pub(super) fn probe(directory: &Path) -> Result<(), StateError> {
    Ok(lock::probe(&directory.join("runs.lock"))?)
}

pub(super) fn append(directory: &Path, report: &RunReport, patience: Duration) -> Result<(), StateError> {
    let path = directory.join("runs.jsonl");
    let damaged = |source| StateError::Damaged { path: path.clone(), source };
    let mut line = serde_json::to_vec(report).map_err(damaged)?;
    if line.len() >= MAX_LINE {
        // Such a line would not be read back. Only the list of columns can be this long, and the output has it too.
        line = serde_json::to_vec(&without_columns(report)).map_err(damaged)?;
    }
    if line.len() >= MAX_LINE {
        // A set with thousands of objects. The report of each that failed has the whole message.
        line = serde_json::to_vec(&with_short_reasons(without_columns(report))).map_err(damaged)?;
    }
    line.push(b'\n');
    let _lock = writers_lock(directory, patience)?;
    let file = open_to_append(&path)?;
    append_line(file, line).map_err(StateError::io("cannot write", &path))?;
    flush_directory_of(&path)
}

fn without_columns(report: &RunReport) -> RunReport {
    let mut report = report.clone();
    report.columns.clear();
    report.soql = None;
    report.files.iter_mut().for_each(|file| file.columns.clear());
    report
}

/// The report with the beginnings of what is said about the objects of a set.
fn with_short_reasons(mut report: RunReport) -> RunReport {
    const MAX_CHARS: usize = 40;
    let shorten = |text: &mut String| {
        if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
            text.truncate(end);
            text.push('…');
        }
    };
    if let Some(set) = &mut report.set {
        set.skipped.iter_mut().for_each(|skipped| shorten(&mut skipped.reason));
        set.failed.iter_mut().filter_map(|failed| failed.error.as_mut()).for_each(shorten);
    }
    report
}

/// Opens the history for writing. Pipes and devices are rejected.
fn open_to_append(path: &Path) -> Result<File, StateError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => owner::create(&mut options, path),
        opened => opened,
    };
    let file = file.map_err(StateError::io("cannot write", path))?;
    match file.metadata() {
        Ok(found) if found.is_file() => Ok(file),
        Ok(_) => Err(StateError::NotAFile { path: path.to_owned() }),
        Err(error) => Err(StateError::io("cannot write", path)(error)),
    }
}

fn append_line(mut file: File, mut line: Vec<u8>) -> io::Result<()> {
    let mut last = [b'\n'];
    if let Some(at) = file.metadata()?.len().checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    if last != [b'\n'] {
        // A crash or a full disk cut the last line short. A line break keeps it apart from the next one.
        line.insert(0, b'\n');
    }
    file.write_all(&line)?;
    file.sync_all()
}

pub(super) fn prune(directory: &Path, keep: Duration, now: Timestamp) -> Result<u64, StateError> {
    let path = directory.join("runs.jsonl");
    let aside = directory.join(".runs.jsonl.aside");
    let _lock = writers_lock(directory, LOCK_PATIENCE)?;
    let Some(file) = open_regular(&path)? else { return Ok(0) };
    let dropped = prune_file(&file, &path, &aside, keep, now).inspect_err(|_| {
        // This frees space if the disk is full.
        let _ = fs::remove_file(&aside);
    });
    match dropped.map_err(StateError::io("cannot prune", &path))? {
        0 => Ok(0),
        dropped => flush_directory_of(&path).map(|()| dropped),
    }
}

fn prune_file(file: &File, path: &Path, aside: &Path, keep: Duration, now: Timestamp) -> io::Result<u64> {
    let ages = Ages::of(file, keep, now)?;
    let (mut dropped, mut at) = (0, 0_usize);
    for_lines(file, |line| {
        dropped += u64::from(ages.is_dropped(at, line));
        at += 1;
        Ok(())
    })?;
    if dropped == 0 {
        // A file left by a crash is as long as the history, and nothing else removes it.
        return fs::remove_file(aside).map_or_else(not_there, |()| Ok(0));
    }
    // Never a file that someone else has put there, such as a link to another file.
    fs::remove_file(aside).or_else(|error| not_there(error).map(drop))?;
    let mut kept = BufWriter::new(owner::create(OpenOptions::new().write(true), aside)?);
    at = 0;
    // Lines are copied byte by byte, to keep the fields of later versions.
    for_lines(file, |line| {
        let is_dropped = ages.is_dropped(at, line);
        at += 1;
        match line {
            Some(line) if !is_dropped => kept.write_all(line),
            _ => Ok(()),
        }
    })?;
    let kept = kept.into_inner().map_err(io::IntoInnerError::into_error)?;
    kept.set_permissions(file.metadata()?.permissions())?;
    kept.sync_all()?;
    fs::rename(aside, path)?;
    Ok(dropped)
}

fn not_there(error: io::Error) -> io::Result<u64> {
    if error.kind() == io::ErrorKind::NotFound { Ok(0) } else { Err(error) }
}

/// Decides which lines to remove, by their age and by which is the last run of its key.
struct Ages {
    /// Runs that ended before this time are too old by the clock.
    before: Timestamp,
    /// The first line that is recent by the history's own time, in which long gaps count less. Otherwise a clock that was
    /// once two years ahead would make everything before it old.
    young_from: usize,
    last_runs: HashSet<usize>,
}

impl Ages {
    fn of(file: &File, keep: Duration, now: Timestamp) -> io::Result<Self> {
        let max_gap = MAX_GAP.min(keep / 2);
        // The counted gaps, each with the line after it.
        let (mut gaps, mut last_runs, mut last_ended) = (Vec::new(), HashMap::new(), None);
        let mut at = 0;
        for_lines(file, |line| {
            if let Some(run) = line.and_then(|line| serde_json::from_slice::<Line>(line).ok()) {
                gaps.push((at, gap(last_ended, run.ended, max_gap)));
                last_ended = Some(run.ended);
                if let Some(key) = run.key_that_ran() {
                    last_runs.insert(key, at);
                }
            }
            at += 1;
            Ok(())
        })?;
        gaps.push((at, gap(last_ended, now, max_gap)));
        let (mut young_from, mut age) = (0, Duration::ZERO);
        for (line, gap) in gaps.into_iter().rev() {
            age += gap;
            if age >= keep {
                young_from = line;
                break;
            }
        }
        let before = now.saturating_sub(keep).unwrap_or(Timestamp::MIN);
        Ok(Self { before, young_from, last_runs: last_runs.into_values().collect() })
    }

    /// Whether to remove the line at this place; `None` is a line that is too long.
    fn is_dropped(&self, at: usize, line: Option<&[u8]>) -> bool {
        let Some(line) = line else { return true };
        match serde_json::from_slice::<Ended>(line) {
            Ok(run) => run.ended < self.before && at < self.young_from && !self.last_runs.contains(&at),
            // Lines of a later version are kept, and lines cut short by a crash are removed.
            Err(_) => serde_json::from_slice::<IgnoredAny>(line).is_err(),
        }
    }
}

/// How much of the gap between two lines counts.
fn gap(from: Option<Timestamp>, to: Timestamp, max: Duration) -> Duration {
    let gap = from.map_or(SignedDuration::ZERO, |from| to.duration_since(from));
    Duration::try_from(gap).unwrap_or_default().min(max)
}

#[derive(Deserialize)]
struct Ended {
    ended: Timestamp,
}

/// The fields of a line that pruning needs.
#[derive(Deserialize)]
struct Line {
    ended: Timestamp,
    job: Option<String>,
    org: Option<String>,
    object: Option<String>,
    status: Option<RunStatus>,
}

impl Line {
    /// The key, if the run took place. The last one is kept, so a yearly job still has a last run.
    fn key_that_ran(self) -> Option<(String, Option<String>, Option<String>)> {
        self.status.filter(|status| status.has_run())?;
        Some((self.job?, self.org, self.object))
    }
}

/// Calls `each` with every line from the start of the file, always with a line break, or with `None` if the line is too
/// long.
fn for_lines(mut file: &File, mut each: impl FnMut(Option<&[u8]>) -> io::Result<()>) -> io::Result<()> {
    io::Seek::rewind(&mut file)?;
    let mut reader = BufReader::with_capacity(BLOCK, file);
    let (mut line, mut is_too_long) = (Vec::new(), false);
    loop {
        let read = reader.fill_buf()?;
        if read.is_empty() {
            break;
        }
        let end = memchr(b'\n', read).map(|at| at + 1);
        let part = &read[..end.unwrap_or(read.len())];
        is_too_long |= line.len() + part.len() > MAX_LINE;
        if is_too_long {
            line.clear();
        } else {
            line.extend_from_slice(part);
        }
        let len = part.len();
        reader.consume(len);
        if end.is_some() {
            each((!is_too_long).then_some(line.as_slice()))?;
            line.clear();
            is_too_long = false;
        }
    }
    if is_too_long {
        return each(None);
    }
    if line.is_empty() {
        return Ok(());
    }
    line.push(b'\n');
    each(Some(&line))
}

/// The lock of everyone who changes the history. It has a separate file, because pruning replaces the history's.
fn writers_lock(directory: &Path, patience: Duration) -> Result<Lock, StateError> {
    Ok(lock::lock_within(&directory.join("runs.lock"), Writable::IfAllowed, patience)?)
}
