//! The history: one run report a line, appended under a lock, read from its end without one.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::failure;
use super::file::flush_directory_of;
use super::lock::{Lock, lock};
use crate::error::{Exit, Failure};
use crate::report::{RunReport, RunStatus};

/// How much of the file is read at a time, in bytes.
const BLOCK: u64 = 64 * 1024;

/// The reports of past runs, newest first, as they stood when it was opened: appending and pruning do not disturb
/// it. A line that is no whole report is left out.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    /// None where there is no history, and after its first line or an error.
    file: Option<File>,
    /// Where the part begins that was read.
    read_from: u64,
    /// What was read and not given out: the end of a line, or lines.
    unread: Vec<u8>,
}

impl History {
    pub(super) fn open(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join("runs.jsonl");
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (read_from, file) = match opened {
            Ok((len, file)) => (len, Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, None),
            Err(error) => return Err(failure("cannot read", &path, &error)),
        };
        Ok(Self { path, file, read_from, unread: Vec::new() })
    }

    /// The last line not yet given out, without its line break.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = &self.file else { return Ok(None) };
        loop {
            if let Some(at) = self.unread.iter().rposition(|byte| *byte == b'\n') {
                let line = self.unread.split_off(at + 1);
                self.unread.truncate(at);
                return Ok(Some(line));
            }
            if self.read_from == 0 {
                self.file = None;
                return Ok(Some(mem::take(&mut self.unread)));
            }
            let from = self.read_from.saturating_sub(BLOCK);
            let mut block = vec![0; (self.read_from - from) as usize];
            file.read_exact_at(&mut block, from)?;
            block.append(&mut self.unread);
            self.unread = block;
            self.read_from = from;
        }
    }
}

impl Iterator for History {
    type Item = Result<RunReport, Failure>;

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
                    return Some(Err(failure("cannot read", &self.path, &error)));
                }
            }
        }
    }
}

/// Finds out whether the history can be appended to.
pub(super) fn probe(directory: &Path) -> Result<(), Failure> {
    let path = directory.join("runs.lock");
    let opened = OpenOptions::new().append(true).create(true).open(&path);
    opened.map(drop).map_err(|error| failure("cannot write", &path, &error))
}

pub(super) fn append(directory: &Path, report: &RunReport) -> Result<(), Failure> {
    let path = directory.join("runs.jsonl");
    let mut line = serde_json::to_vec(report)
        .map_err(|error| Failure::new(Exit::General, format!("cannot write {}: {error}", path.display())))?;
    line.push(b'\n');
    let _lock = writers_lock(directory)?;
    append_line(&path, line).map_err(|error| failure("cannot write", &path, &error))?;
    flush_directory_of(&path)
}

fn append_line(path: &Path, mut line: Vec<u8>) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut last = [b'\n'];
    if let Some(at) = file.metadata()?.len().checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    if last != [b'\n'] {
        // A crash or a full disk cut the last line short: closed, it harms no other.
        line.insert(0, b'\n');
    }
    file.write_all(&line)?;
    file.sync_all()
}

pub(super) fn prune(directory: &Path, keep: Duration, now: Timestamp) -> Result<u64, Failure> {
    let path = directory.join("runs.jsonl");
    let aside = directory.join(".runs.jsonl.aside");
    let before = now.saturating_sub(keep).unwrap_or(Timestamp::MIN);
    let _lock = writers_lock(directory)?;
    prune_file(&path, &aside, before)
        .map_err(|error| failure("cannot prune", &path, &error))
        .inspect_err(|_| {
            // A disk that is full has better uses.
            let _ = fs::remove_file(&aside);
        })
        .and_then(|dropped| if dropped == 0 { Ok(0) } else { flush_directory_of(&path).map(|()| dropped) })
}

fn prune_file(path: &Path, aside: &Path, before: Timestamp) -> io::Result<u64> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    // A job that runs once a year has still run.
    let mut last_runs = HashMap::new();
    let mut number = 0_usize;
    for_lines(&file, |line| {
        number += 1;
        if let Some(job) = job_that_ran(line) {
            last_runs.insert(job, number);
        }
        Ok(())
    })?;
    let last_runs: HashSet<usize> = last_runs.into_values().collect();
    let is_dropped = |line: &[u8], number| is_over(line, before) && !last_runs.contains(&number);
    let (mut dropped, mut number) = (0, 0_usize);
    for_lines(&file, |line| {
        number += 1;
        dropped += u64::from(is_dropped(line, number));
        Ok(())
    })?;
    if dropped == 0 {
        // What a crash left is as long as the history, and nobody else comes by.
        return fs::remove_file(aside).map_or_else(not_there, |()| Ok(0));
    }
    let mut kept = BufWriter::new(File::create(aside)?);
    number = 0;
    // The very bytes of each line: a later version's fields are not this one's to drop.
    for_lines(&file, |line| {
        number += 1;
        if is_dropped(line, number) { Ok(()) } else { kept.write_all(line) }
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

/// Calls `each` with every line from the file's start, closed by a line break whether it was or not.
fn for_lines(mut file: &File, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    io::Seek::rewind(&mut file)?;
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        each(&line)?;
        line.clear();
    }
    Ok(())
}

/// The job of a line that is a run which took place.
fn job_that_ran(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Ran {
        job: String,
        status: RunStatus,
    }
    let run: Ran = serde_json::from_slice(line).ok()?;
    run.status.has_run().then_some(run.job)
}

/// Whether a line is a run that ended before `before`, or no line of a history at all.
fn is_over(line: &[u8], before: Timestamp) -> bool {
    #[derive(Deserialize)]
    struct Ended {
        ended: Timestamp,
    }
    match serde_json::from_slice::<Ended>(line) {
        Ok(run) => run.ended < before,
        // What a later version may have written stays; what a crash cut short goes.
        Err(_) => serde_json::from_slice::<IgnoredAny>(line).is_err(),
    }
}

/// Taken by all who change the history. The file of its own outlives the history's, which pruning replaces.
fn writers_lock(directory: &Path) -> Result<Lock, Failure> {
    lock(&directory.join("runs.lock"))
}
