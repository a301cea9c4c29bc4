//! The files of one run together: stages that are noted before they are opened, and outputs that appear together.

use super::blocking;
use super::error::RunError;
use crate::error::Failure;
use crate::output::{self, Output, Reached, Sealed, Staged};
use crate::report::{RunId, RunReport};
use crate::state::{JobLock, JournalEntry, State, Watermark};

/// Opens the stages of a run, which are journaled before the first of them exists.
///
/// # Errors
/// [`Exit::Output`](crate::error::Exit::Output) if a stage cannot be journaled or opened.
pub(super) fn stage(
    outputs: &[Output],
    id: &RunId,
    remembered: Option<(&State, &JobLock)>,
) -> Result<Vec<Box<dyn Staged>>, Failure> {
    let stages: Vec<_> = outputs.iter().flat_map(|output| output.stages(id)).collect();
    if let (Some((state, lock)), false) = (remembered, stages.is_empty()) {
        state.note(lock, &JournalEntry::Stages { stages })?;
    }
    outputs.iter().map(|output| output.stage(id)).collect()
}

/// Flushes the files of a run. They are complete then, and not visible yet.
///
/// # Errors
/// [`Exit::Output`](crate::error::Exit::Output); the outputs are as they were.
pub(super) async fn seal(group: Vec<Box<dyn Staged>>) -> Result<Vec<Box<dyn Sealed>>, Failure> {
    let seal = move || group.into_iter().map(Staged::seal).collect();
    tokio::task::spawn_blocking(seal).await.map_err(|error| super::bug(&error.to_string()))?
}

/// Lets the files of a run appear together, in their order. Several files, and those that a command follows, are noted
/// before the first appears: if the process dies then, the job's next run publishes the rest and runs the command. `after` is
/// the report for the command.
///
/// # Errors
/// [`RunError::PartlyPublished`] if the note must stay; otherwise the outputs are as they were.
pub(super) async fn publish(
    sealed: Vec<Box<dyn Sealed>>,
    remembered: Option<(&State, &JobLock)>,
    after: Option<RunReport>,
    watermark: Option<Watermark>,
) -> Result<Vec<output::Published>, RunError> {
    let is_noted = sealed.len() > 1 || after.is_some() || watermark.is_some();
    if let (Some((state, lock)), true) = (remembered, is_noted) {
        blocking(|| -> Result<(), Failure> {
            if let Some(intent) = output::intent(&sealed)? {
                let (after, watermark) = (after.map(Box::new), watermark.clone().map(Box::new));
                state.note(lock, &JournalEntry::Publish { intent, after, watermark })?;
            }
            Ok(())
        })?;
    }
    let published = tokio::task::spawn_blocking(|| output::publish(sealed)).await;
    let published = published.map_err(|error| super::bug(&error.to_string()))?;
    let published = published.map_err(|unpublished| {
        let failure = match unpublished.reached {
            Reached::Some => unpublished.failure.context("not all of the run's files could be published"),
            Reached::Nothing | Reached::All => unpublished.failure,
        };
        match unpublished.reached {
            Reached::Some | Reached::All if is_noted => RunError::PartlyPublished(failure),
            _ => RunError::Failed(failure),
        }
    })?;
    if let (Some((state, lock)), Some(watermark)) = (remembered, &watermark) {
        // If it cannot be written now, the job's next run learns of it from the note.
        blocking(|| state.set_watermark(lock, watermark)).map_err(|error| {
            RunError::PartlyPublished(
                Failure::from(error).context("the export is complete, but its mark is not recorded"),
            )
        })?;
    }
    Ok(published)
}
