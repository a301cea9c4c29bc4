//! What keeps other processes away from a run's job and its outputs while it runs. The locks themselves are
//! `state`'s.

use std::path::PathBuf;

use super::error::RunError;
use super::{Edges, Run, recovery};
use crate::error::{Exit, Failure};
use crate::job::output_path;
use crate::state::{JobLock, Lock, State};

/// The locks of a run, held until they are dropped.
pub(super) struct Locks {
    pub(super) job: JobLock,
    _outputs: OutputLocks,
}

impl Locks {
    /// Locks the job and the outputs of a run, and finishes what earlier runs left; `None` for a query without a job.
    ///
    /// # Errors
    /// [`RunError::AlreadyRunning`] if the job is running. [`Exit::TryLater`] if another run writes one of the outputs;
    /// [`Exit::Output`] if something cannot be locked or finished.
    pub(super) fn take(
        run: &Run,
        edges: &Edges,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, RunError> {
        let Some(state) = &edges.state else { return Ok(None) };
        let job = state.lock_job(&run.job.name).map_err(|failure| match failure.exit {
            Exit::TryLater => RunError::AlreadyRunning(failure),
            _ => RunError::Failed(failure),
        })?;
        let (paths, mut outputs) = (paths(run), OutputLocks::default());
        outputs.lock(state, &paths)?;
        recovery::recover(state, &job, &mut outputs, warnings)?;
        for other in state.intents_on(&paths, &job)? {
            // Its outputs are this job's now. What it left comes first, or it would come later, over what is newer.
            recovery::recover(state, &state.lock_job(&other)?, &mut outputs, warnings)?;
        }
        Ok(Some(Self { job, _outputs: outputs }))
    }
}

/// The locks of outputs, each held once, until they are dropped.
#[derive(Default)]
pub(super) struct OutputLocks(Vec<Lock>);

impl OutputLocks {
    /// Locks these outputs too.
    pub(super) fn lock(&mut self, state: &State, outputs: &[PathBuf]) -> Result<(), Failure> {
        for output in outputs {
            if !self.0.iter().any(|lock| state.is_lock_of(lock, output)) {
                self.0.push(state.lock_output(output)?);
            }
        }
        Ok(())
    }
}

/// The paths of all the files that a run writes, the main one first; none of a stream.
pub(super) fn paths(run: &Run) -> Vec<PathBuf> {
    let Some(main) = run.target.path() else { return Vec::new() };
    let children = run.job.child_files().into_iter().map(|part| output_path::beside(main, &part));
    std::iter::once(main.to_owned()).chain(children).collect()
}
