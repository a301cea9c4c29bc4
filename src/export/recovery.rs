//! What dead runs left behind: a half-done publish is completed and a stage removed, under the locks of the job and
//! its outputs. `output` knows how to do that to a file, `state` where it is recorded.

use crate::error::Failure;
use crate::output::{self, Swept};
use crate::state::{JobLock, State, StateError};

use super::locks::OutputLocks;

/// Brings what was noted of the job's earlier runs to its end, and locks the outputs that this needs: they may be
/// others than the job's own by now, and another job's. What can be mended by nobody any more is said in `warnings`.
pub(super) fn recover(
    state: &State,
    job: &JobLock,
    outputs: &mut OutputLocks,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    let left = state.journal(job)?;
    let key = job.key();
    let object = key.object().map(ToString::to_string);
    let object = object.as_deref();
    for (intent, after) in left.intents() {
        outputs.lock(state, &output::outputs_of(intent)?)?;
        let done = output::recover(intent)?;
        let is_published = done.overtaken.is_empty() && done.given_up.is_empty() && done.missing.is_empty();
        for output in done.published {
            tracing::info!(job = %key.job(), org = %key.org(), object, path = %output, "finished an interrupted publish");
        }
        for output in done.overtaken {
            tracing::warn!(
                job = %key.job(), org = %key.org(), object, path = %output,
                "gave up an interrupted publish: a newer file has taken its place"
            );
        }
        for output in done.given_up {
            tracing::warn!(
                job = %key.job(), org = %key.org(), object, path = %output,
                "gave up an interrupted publish together with its other files"
            );
        }
        if let Some(report) = after.filter(|_| is_published) {
            state.note_exported(job, report)?;
        }
        warnings.extend(done.missing.iter().map(|output| {
            format!(
                "an interrupted run of {} did not publish {output}, and its temporary file is gone; until the next \
                 complete run, the job's files may not match",
                job.key()
            )
        }));
    }
    for stage in left.stages() {
        let what = match output::discard(stage) {
            Ok(Swept::Removed | Swept::Gone) => continue,
            Ok(Swept::Live) => "a thread of an earlier run still holds it".to_owned(),
            Err(failure) => failure.what,
        };
        // It may lie where nobody gets any more; it stays noted, and keeps nobody from writing elsewhere.
        tracing::warn!(job = %key.job(), org = %key.org(), object, error = what, "cannot remove an old temporary file");
    }
    if left.is_empty() { Ok(()) } else { Ok(forget(state, job)?) }
}

/// Forgets what was noted of the job's runs, but for the stages that could not be removed, and pending commands.
pub(super) fn forget(state: &State, job: &JobLock) -> Result<(), StateError> {
    state.clear(job, output::may_remain)
}
