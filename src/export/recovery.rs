//! What dead runs left behind: an interrupted publish is completed and a stage removed, under the locks of the job and its
//! outputs. `output` knows how to do that to a file, `state` where it is recorded.

use crate::error::Failure;
use crate::output::{self, Swept};
use crate::state::{JobLock, State, StateError};

use super::locks::OutputLocks;

/// Finishes what was noted of the job's earlier runs, and locks the outputs that this needs: by now they may not be the
/// job's own any more, but another job's. What cannot be repaired is added to `warnings`.
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
    for intent in left.intents() {
        outputs.lock(state, &output::outputs_of(intent.data)?)?;
        let done = output::recover(intent.data)?;
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
        if is_published {
            // The intent is forgotten last, so all of this is repeated if the process dies here.
            intent.watermark.map_or(Ok(()), |watermark| state.set_watermark(job, watermark))?;
            intent.after.map_or(Ok(()), |report| state.note_exported(job, report))?;
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
        // It may be out of reach by now. It stays noted, and does not keep a run from writing elsewhere.
        tracing::warn!(job = %key.job(), org = %key.org(), object, error = what, "cannot remove an old temporary file");
    }
    if left.is_empty() { Ok(()) } else { Ok(forget(state, job)?) }
}

/// Forgets what was noted of the job's runs, except for stages that could not be removed and pending commands.
pub(super) fn forget(state: &State, job: &JobLock) -> Result<(), StateError> {
    state.clear(job, output::may_remain)
}
