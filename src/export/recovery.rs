//! What runs that died have left: a publish half done goes forward, a stage goes away, each under the locks of its job
//! and its outputs. How that is done to a file is the business of `output`, where it is noted that of `state`.

use std::path::Path;

use crate::error::Failure;
use crate::output::{self, Swept};
use crate::state::{JobLock, State};

use super::locks::OutputLocks;

/// Brings what was noted of the job's earlier runs to its end, and locks the outputs that this needs: they may be
/// others than the job's own by now, and another job's. What can be mended by nobody any more is said in `warnings`.
pub(super) fn recover(
    state: &State,
    job: &JobLock,
    outputs: &mut OutputLocks,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    let left = state.unfinished(job)?;
    if let Some(intent) = &left.intent {
        let targets: Vec<_> = intent.renamings.iter().map(|(_, output)| output.clone()).collect();
        outputs.lock(state, &targets)?;
        let done = output::roll_forward(&intent.renamings, &intent.known, intent.if_exists)?;
        for path in done.appeared {
            tracing::info!(job = %job.job(), path = %path.display(), "a publish that was interrupted is done");
        }
        for path in done.overtaken {
            let path = path.display();
            tracing::warn!(job = %job.job(), %path, "a publish that was interrupted is given up: a newer file has come");
        }
        for path in done.given_up {
            let path = path.display();
            tracing::warn!(job = %job.job(), %path, "a publish that was interrupted is given up with its other files");
        }
        warnings.extend(done.missing.iter().map(|path| {
            format!(
                "{} is not what an interrupted run of {} was to publish with its other files, and its stage is gone: \
                 until the next whole run they may not belong together",
                path.display(),
                job.job()
            )
        }));
    }
    for stage in &left.stages {
        let what = match output::sweep(stage) {
            Ok(Swept::Removed | Swept::Gone) => continue,
            Ok(Swept::Live) => "a thread of an earlier run still holds it".to_owned(),
            Err(failure) => failure.what,
        };
        // It may lie where nobody gets any more; it stays noted, and keeps nobody from writing elsewhere.
        tracing::warn!(job = %job.job(), error = what, "a stale stage could not be removed");
    }
    if left.intent.is_some() || !left.stages.is_empty() { forget(state, job) } else { Ok(()) }
}

/// Forgets what was noted of the job's runs, but for the stages that could not be removed.
pub(super) fn forget(state: &State, job: &JobLock) -> Result<(), Failure> {
    state.clear(job, is_there)
}

fn is_there(stage: &Path) -> bool {
    // Where it cannot be looked at, it may be.
    !matches!(stage.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}
