//! The locks on a run's job and outputs, which keep other processes away while it runs. `state` implements them.

use super::error::RunError;
use super::{Edges, Run, recovery};
use crate::job::{Job, Location};
use crate::output::{self, Output};
use crate::state::{JobLock, Lock, LockError, State};

/// The locks of a run, held until they are dropped.
pub(super) struct Locks {
    pub(super) job: JobLock,
    _outputs: OutputLocks,
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
        let own: Vec<_> = run.outputs()?.iter().filter_map(Output::lock_location).collect();
        let mut outputs = OutputLocks::default();
        outputs.lock(state, &own)?;
        recovery::recover(state, &job, &mut outputs, warnings)?;
        for (other, intent) in state.intents_of_others(&job)? {
            // Its outputs are this job's now. What it left comes first, or it would come later, over what is newer.
            if output::outputs_of(&intent).is_ok_and(|left| left.iter().any(|output| own.contains(output))) {
                recovery::recover(state, &state.lock_job(&other)?, &mut outputs, warnings)?;
            }
        }
        Ok(Some(Self { job, _outputs: outputs }))
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
