//! What earlier attempts of an occurrence exported, according to the history. `run --once` leaves that alone, and so do the
//! retries of a set.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::job::{Job, ObjectName};
use crate::report::{RunReport, RunStatus};
use crate::state::{HistoryEnd, State, StateError};

/// How long before an occurrence, or before now if it is to come, its attempts can have ended.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// The reports of an occurrence's attempts, newest first.
///
/// # Errors
/// If the history cannot be read.
pub(super) fn attempts(
    history: impl Iterator<Item = Result<RunReport, StateError>>,
    occurrence: Timestamp,
    now: Timestamp,
) -> impl Iterator<Item = Result<RunReport, StateError>> {
    let oldest = occurrence.min(now) - MAX_AGE;
    history.take_while(move |report| report.as_ref().map_or(true, |report| report.ended >= oldest)).filter(
        move |report| {
            report.as_ref().map_or(true, |report| {
                // A run by hand for an occurrence to come does not have the occurrence's data.
                report.scheduled == Some(occurrence) && report.started >= occurrence
            })
        },
    )
}

/// What earlier attempts exported. Other processes may be exporting too, so every question looks again.
#[derive(Debug)]
pub struct Once {
    state: State,
    occurrence: Timestamp,
    /// The object that is exported alone.
    object: Option<ObjectName>,
    seen: Mutex<Seen>,
}

/// What has been read of the history.
#[derive(Debug, Default)]
struct Seen {
    end: HistoryEnd,
    exported: HashMap<(String, String), RunReport>,
}

impl Once {
    /// The attempts at this occurrence, of whole jobs or of one object of each set.
    #[must_use]
    pub fn new(state: State, occurrence: Timestamp, object: Option<ObjectName>) -> Self {
        Self { state, occurrence, object, seen: Mutex::default() }
    }

    /// The report of the attempt that exported the job, marked as skipped. `None` if there is none, if what it exported is
    /// no longer what the job says, or if its command is pending.
    ///
    /// A history or a journal that cannot be read keeps nothing from being exported.
    pub(crate) fn exported(&self, job: &Job, now: Timestamp) -> Option<RunReport> {
        if job.after.is_some()
            && self.object.is_none()
            && self.state.has_pending(&job.job_key(), self.occurrence).unwrap_or(true)
        {
            return None;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.read(&mut seen, now) {
            tracing::error!(%error, "cannot read the history, and skips nothing");
            return None;
        }
        let report = seen.exported.get(&(job.name.to_string(), job.org.to_string()))?;
        let settings = match &report.object {
            Some(object) => job.of_object(&ObjectName::parse(object).ok()?)?.digest(),
            None => job.digest(),
        };
        (report.settings.as_ref() == Some(&settings)).then(|| report.clone())
    }

    /// Reads what has been added to the history.
    fn read(&self, seen: &mut Seen, now: Timestamp) -> Result<(), StateError> {
        let (history, end) = self.state.history_since(seen.end)?;
        let mut added = HashMap::new();
        for report in attempts(history, self.occurrence, now) {
            let report = report?;
            let is_object = match (&self.object, &report.object) {
                (None, None) => true,
                (Some(wanted), Some(object)) => wanted.as_str().eq_ignore_ascii_case(object),
                _ => false,
            };
            if is_object && report.status == RunStatus::Ok {
                // The newest one says what is in the file.
                added.entry((report.job.clone(), report.org.clone())).or_insert(report);
            }
        }
        seen.exported.extend(added);
        seen.end = end;
        Ok(())
    }
}

/// The report of a run that did not take place, because an earlier attempt had exported the job: the attempt's report with
/// another status, and only the warnings of this run.
pub(super) fn skipped(exported: RunReport, warnings: Vec<String>) -> RunReport {
    let RunReport { job, org, run_id, .. } = &exported;
    tracing::info!(%job, %org, %run_id, "skipped, because an earlier attempt exported it");
    RunReport { status: RunStatus::Skipped, warnings, ..exported }
}
