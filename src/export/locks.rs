//! The locks on a run's job and outputs, which keep other processes away while it runs. `state` implements them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::RunError;
use super::{Edges, Run, recovery};
use crate::job::{Job, Location};
use crate::output::{self, Output};
use crate::state::{JobLock, Lock, LockError, State};

/// The locks of a run, held until they are dropped.
pub(super) struct Locks {
    pub(super) job: JobLock,
    outputs: Mutex<OutputLocks>,
}

impl Locks {
    /// Locks the job and the outputs of a run, and finishes what earlier runs left; `None` for a query without a job.
    ///
    /// # Errors
    /// [`RunError::AlreadyRunning`] if the job is running. Another error if another run writes one of the outputs, or if
    /// something cannot be locked or finished.
    pub(super) fn take(
        run: &Run,
        edges: &Edges,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, RunError> {
        let Some(state) = &edges.state else { return Ok(None) };
        let job = lock_job(state, &run.job)?;
        let locks = Self { job, outputs: Mutex::default() };
        // Those of an incremental export are not known yet.
        let own = if run.job.incremental.is_some() { Vec::new() } else { run.outputs()? };
        let own = locks.lock_outputs(state, &own)?;
        recovery::recover(state, &locks.job, &mut locks.outputs(), warnings)?;
        locks.recover_others(state, &own, warnings)?;
        Ok(Some(locks))
    }

    /// Locks these outputs too, and finishes what runs of other jobs left of them.
    ///
    /// # Errors
    /// If another run writes one of them, or if something cannot be locked or finished.
    pub(super) fn add_outputs(
        &self,
        state: &State,
        outputs: &[Output],
        warnings: &mut Vec<String>,
    ) -> Result<(), RunError> {
        let own = self.lock_outputs(state, outputs)?;
        self.recover_others(state, &own, warnings)
    }

    fn lock_outputs(&self, state: &State, outputs: &[Output]) -> Result<Vec<Location>, RunError> {
        let own: Vec<_> = outputs.iter().filter_map(Output::lock_location).collect();
        self.outputs().lock(state, &own)?;
        Ok(own)
    }

    fn recover_others(
        &self,
        state: &State,
        own: &[Location],
        warnings: &mut Vec<String>,
    ) -> Result<(), RunError> {
        for (other, intent) in state.intents_of_others(&self.job)? {
            // Its outputs are this job's now. What it left comes first, or it would come later, over what is newer.
            if output::outputs_of(&intent).is_ok_and(|left| left.iter().any(|output| own.contains(output))) {
                recovery::recover(state, &state.lock_job(&other)?, &mut self.outputs(), warnings)?;
            }
        }
        Ok(())
    }

    fn outputs(&self) -> MutexGuard<'_, OutputLocks> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Locks a job, or the object of a set whose job it is.
///
/// # Errors
/// [`RunError::AlreadyRunning`] if it is running. Another error if it cannot be locked.
pub(super) fn lock_job(state: &State, job: &Job) -> Result<JobLock, RunError> {
    state.lock_job(&job.key()).map_err(|error| match error {
        LockError::Held { .. } => RunError::AlreadyRunning(error.into()),
        LockError::NotLockable { .. } => error.into(),
    })
}

/// The locks of outputs, each held once, until they are dropped.
#[derive(Default)]
pub(super) struct OutputLocks(Vec<Lock>);

impl OutputLocks {
    /// Locks these outputs too.
    pub(super) fn lock(&mut self, state: &State, outputs: &[Location]) -> Result<(), LockError> {
        for output in outputs {
            if !self.0.iter().any(|lock| state.is_lock_of(lock, output)) {
                self.0.push(state.lock_output(output)?);
            }
        }
        Ok(())
    }
}
