//! Events of a run in progress. The engine never prints: progress bars, the status port and tests listen to these.

use std::sync::Arc;
use std::time::Duration;

use crate::job::ExportKey;
use crate::report::{RunId, RunReport};

/// Listens to runs. Called from several threads; slow listeners hold up the run.
pub trait Monitor: Send + Sync {
    /// Something happened in the run of this id.
    fn notice(&self, run: &RunId, event: &Event<'_>);
}

/// What happens in a run.
#[derive(Debug)]
pub enum Event<'e> {
    /// It began.
    Began {
        /// The job and its org.
        job: &'e ExportKey,
    },
    /// The org granted a session.
    LoggedIn,
    /// A page was read and written.
    Progress {
        /// Records written so far.
        records: u64,
        /// Records that the org counted; `None` if it does not count.
        total: Option<u64>,
        /// Bytes written so far.
        bytes: u64,
    },
    /// A request got its response, or none.
    Responded {
        /// The response's HTTP status; `None`: no response came.
        status: Option<u16>,
    },
    /// A request failed and will be sent again.
    Waiting {
        /// Why, without the literals of the query.
        fault: &'e str,
        /// After how long.
        wait: Duration,
    },
    /// The query begins again from its start.
    Restarted {
        /// Why.
        fault: &'e str,
    },
    /// So many objects of a set are settled: exported, skipped or failed.
    Objects {
        /// How many.
        done: usize,
        /// Of how many.
        of: usize,
        /// Records written to their files.
        records: u64,
        /// Bytes of their files.
        bytes: u64,
    },
    /// An object of a set was exported, or its export failed.
    ObjectEnded {
        /// What its run did.
        report: &'e RunReport,
    },
    /// An object of a set is left out, because the org refuses to export it.
    ObjectSkipped {
        /// The job and its org.
        job: &'e ExportKey,
        /// The object's name.
        object: &'e str,
        /// The org's words.
        reason: &'e str,
    },
    /// It ended, well or not.
    Ended {
        /// What it did.
        report: &'e RunReport,
    },
}

/// Several monitors, notified in turn.
pub struct Several(pub Vec<Arc<dyn Monitor>>);

impl Monitor for Several {
    fn notice(&self, run: &RunId, event: &Event<'_>) {
        for monitor in &self.0 {
            monitor.notice(run, event);
        }
    }
}

/// Ignores all events.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Monitor for Silent {
    fn notice(&self, _run: &RunId, _event: &Event<'_>) {}
}
