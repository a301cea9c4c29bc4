//! An output in memory, for tests: what a store without a file system promises, with failures on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Caution, Destination, Output, Published, Renaming, Sealed, Staged, Tally};
use crate::error::{Exit, Failure};
use crate::job::{IfExists, Location, RecoveryData, output_path};
use crate::report::RunId;

/// What the outputs of one memory hold.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    published: BTreeMap<PathBuf, Vec<u8>>,
    /// By the name of its output and its run.
    staged: BTreeSet<(PathBuf, RunId)>,
    refused: BTreeSet<PathBuf>,
}

impl Memory {
    /// The output of this name.
    pub(crate) fn output(&self, name: &str, if_exists: IfExists) -> Output {
        Output::new(MemoryOutput { memory: self.clone(), path: PathBuf::from(name), if_exists })
    }

    /// What is published under this name.
    pub(crate) fn contents(&self, name: &str) -> Option<Vec<u8>> {
        self.held().published.get(&PathBuf::from(name)).cloned()
    }

    /// Publishes this as somebody else.
    pub(crate) fn put(&self, name: &str, contents: &[u8]) {
        self.held().published.insert(name.into(), contents.to_vec());
    }

    /// How many stages there are.
    pub(crate) fn stages(&self) -> usize {
        self.held().staged.len()
    }

    /// Lets publishing under this name fail from now on.
    pub(crate) fn refuse(&self, name: &str) {
        self.held().refused.insert(name.into());
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }
}

#[derive(Clone)]
struct MemoryOutput {
    memory: Memory,
    path: PathBuf,
    if_exists: IfExists,
}

impl Destination for MemoryOutput {
    fn location(&self) -> Location {
        Location::File(self.path.clone())
    }

    fn lock_location(&self) -> Option<Location> {
        Some(self.location())
    }

    fn exists(&self) -> bool {
        self.memory.held().published.contains_key(&self.path)
    }

    fn check(&self) -> Result<(), Failure> {
        match self.if_exists {
            IfExists::Fail if self.exists() => Err(super::local::exists(&self.path)),
            _ => Ok(()),
        }
    }

    fn probe(&self, _run: &RunId) -> Result<(), Failure> {
        Ok(())
    }

    fn caution(&self) -> Option<Caution> {
        None
    }

    fn group(&self, parts: &[String]) -> Result<Vec<Output>, Failure> {
        let beside = parts.iter().map(|part| output_path::beside(&self.path, part));
        let all = std::iter::once(self.path.clone()).chain(beside);
        Ok(all.map(|path| Output::new(Self { path, ..self.clone() })).collect())
    }

    fn stages(&self, _run: &RunId) -> Vec<RecoveryData> {
        Vec::new()
    }

    fn sweep(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn stage(&self, run: &RunId) -> Result<Box<dyn Staged>, Failure> {
        self.check()?;
        let key = (self.path.clone(), run.clone());
        self.memory.held().staged.insert(key.clone());
        let (tally, bytes) = (Tally::new(), Vec::new());
        Ok(Box::new(MemoryStage { output: self.clone(), key, bytes, tally, stays: false }))
    }
}

struct MemoryStage {
    output: MemoryOutput,
    key: (PathBuf, RunId),
    bytes: Vec<u8>,
    tally: Tally,
    /// Whether the stage outlives this.
    stays: bool,
}

impl Drop for MemoryStage {
    fn drop(&mut self) {
        if !self.stays {
            self.output.memory.held().staged.remove(&self.key);
        }
    }
}

impl Write for MemoryStage {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Staged for MemoryStage {
    fn restart(&mut self) -> Result<(), Failure> {
        self.bytes.clear();
        Ok(())
    }

    fn seal(mut self: Box<Self>) -> Result<Box<dyn Sealed>, Failure> {
        let Self { bytes, tally, .. } = &mut *self;
        tally.add(bytes);
        Ok(self)
    }
}

impl Sealed for MemoryStage {
    fn renaming(&self) -> Option<Renaming> {
        None
    }

    fn contents(&self) -> Published {
        self.tally.published(self.output.location())
    }

    fn check(&self) -> Result<(), Failure> {
        self.output.check()
    }

    fn publish(&mut self) -> Result<(), Failure> {
        let mut held = self.output.memory.held();
        let exists = held.published.contains_key(&self.output.path);
        if self.output.if_exists == IfExists::Fail && exists {
            return Err(super::local::exists(&self.output.path));
        }
        if held.refused.contains(&self.output.path) {
            return Err(Failure::new(Exit::Output, format!("refused {}", self.output.path.display())));
        }
        held.published.insert(self.output.path.clone(), std::mem::take(&mut self.bytes));
        held.staged.remove(&self.key);
        Ok(())
    }

    fn confirm(&mut self) -> Result<Published, Failure> {
        Ok(self.contents())
    }

    fn leave(mut self: Box<Self>) {
        self.stays = true;
    }
}
