//! How far the incremental jobs have come, read from the state directory for the pages and the metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{self, Clock};
use crate::daemon::LoadedConfig;
use crate::job::ExportKey;
use crate::state::{JobMark, State};

/// How long marks are shown before they are read again: a set has a file for each object.
const MARKS_KEPT: Duration = Duration::from_secs(5);

/// How long a page waits for the disk.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The marks of the incremental jobs; `None` of those that have no mark yet.
pub(super) type JobMarks = BTreeMap<ExportKey, Option<JobMark>>;

/// Reads marks, one reader at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    /// When they were last read, by the monotonic clock. It is locked while they are being read.
    read: Arc<tokio::sync::Mutex<Option<Duration>>>,
    last: Arc<std::sync::Mutex<JobMarks>>,
}

impl Marks {
    /// The marks of the jobs of a configuration. If the disk does not respond, those that were last read.
    pub(super) async fn of(&self, config: Arc<LoadedConfig>, clock: &dyn Clock) -> JobMarks {
        let _ = clock::within(clock, READ_TIMEOUT, self.read_again(config, clock)).await;
        locked(&self.last).clone()
    }

    async fn read_again(&self, config: Arc<LoadedConfig>, clock: &dyn Clock) {
        let mut read = Arc::clone(&self.read).lock_owned().await;
        let now = clock.elapsed();
        if read.is_some_and(|read| now < read + MARKS_KEPT) {
            return;
        }
        let last = Arc::clone(&self.last);
        // The lock goes along, so however long the disk takes, no second thread waits for it.
        let reading = tokio::task::spawn_blocking(move || {
            let Ok(state) = State::at(&config.settings.state_dir) else { return };
            let (marks, unread) = config.watermarks(&state);
            for error in unread {
                // The runs of the job fail with it.
                tracing::debug!(%error, "cannot read how far a job has come");
            }
            *locked(&last) = marks;
            *read = Some(now);
        });
        // A panic leaves the marks as they were.
        let _ = reading.await;
    }
}

fn locked(marks: &std::sync::Mutex<JobMarks>) -> MutexGuard<'_, JobMarks> {
    marks.lock().unwrap_or_else(PoisonError::into_inner)
}
