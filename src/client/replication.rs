//! What incremental exports ask an org for besides records: its clock, and the log of deleted records.

use jiff::{SignedDuration, Timestamp};

use super::OrgClient;
use crate::error::plain;
use crate::retry::Attempts;
use crate::salesforce::fault::{ErrorCode, Fault, FaultKind};
use crate::salesforce::replication::{self, DeletedPage, DeletedRecords, LogWindow};
use crate::salesforce::versions;

/// An org's clock and this machine's, read at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrgTime {
    /// The org's clock, in whole seconds: at most a second late, and never ahead.
    pub org: Timestamp,
    /// This machine's clock.
    pub own: Timestamp,
}

impl OrgTime {
    /// How far the org's clock is ahead of this machine's; negative if it is behind.
    #[must_use]
    pub fn ahead(&self) -> SignedDuration {
        self.org.duration_since(self.own)
    }
}

/// What the org's log says was deleted since some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The deleted records. One may occur twice.
    pub records: DeletedRecords,
    /// Until when the log has been read. What was deleted later is to be asked for from here.
    pub covered: Timestamp,
    /// Whether those are all: the org purges its log early if it gets too long, and keeps it for 15 days.
    pub is_complete: bool,
}

impl OrgClient {
    /// The org's clock, from a response of its instance to a free call. A query that is sent afterwards sees everything that
    /// was committed until then.
    ///
    /// # Errors
    /// As [`OrgClient::call`], and [`FaultKind::InvalidResponse`] if the response does not tell the time. This machine's clock
    /// is not used instead: if it is fast, changes would be missed.
    pub async fn org_time(&self) -> Result<OrgTime, Fault> {
        let response = self.call(&versions::call(), &mut Attempts::default()).await?;
        let own = self.edges.clock.now();
        let Some(org) = response.head.date() else {
            let what = match response.head.header("date") {
                Some(date) => {
                    format!("cannot read the org's clock: its response has the date \"{}\"", plain(date))
                }
                None => "cannot read the org's clock: its response has no date".to_owned(),
            };
            return Err(Fault::new(FaultKind::InvalidResponse, what).hint(
                "find the proxy that removes or changes the Date header of responses, and let it pass the header through",
            ));
        };
        Ok(OrgTime { org, own })
    }

    /// The records of an object that were deleted from `start` to `end`, both by the org's clock, in as many calls as it takes.
    /// There is nothing to ask if that is less than about two minutes; [`Deleted::covered`] stays at `start` then.
    ///
    /// # Errors
    /// As [`OrgClient::call`], and if the org refuses: for example because it keeps no such log for the object.
    pub async fn deleted_since(
        &self,
        object: &str,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Deleted, Fault> {
        let mut deleted = Deleted { records: DeletedRecords::default(), covered: start, is_complete: true };
        let mut windows: Vec<_> = LogWindow::new(start, end).into_iter().collect();
        while let Some(window) = windows.pop() {
            let page = match self.deleted_in(object, &window).await {
                Ok(page) => page,
                Err(fault) if fault.code == Some(ErrorCode::ExceededIdLimit) => {
                    match window.halves() {
                        Some((first, second)) => windows.extend([second, first]),
                        // Nothing can be read of these minutes.
                        None => (deleted.is_complete, deleted.covered) = (false, window.end()),
                    }
                    continue;
                }
                // The window is as it should be, so it can only be too far back.
                Err(fault) if fault.code == Some(ErrorCode::InvalidReplicationDate) => {
                    return Ok(Deleted { is_complete: false, ..deleted });
                }
                Err(fault) => return Err(fault),
            };
            deleted.records.append(&page.records);
            deleted.is_complete &= page.earliest_date_available <= deleted.covered;
            deleted.covered = page.latest_date_covered.min(window.end()).max(deleted.covered);
            if page.latest_date_covered < window.end() {
                // What follows is not whole yet.
                break;
            }
        }
        Ok(deleted)
    }

    async fn deleted_in(&self, object: &str, window: &LogWindow) -> Result<DeletedPage, Fault> {
        let call = replication::deleted(&self.org.api_version, object, window);
        self.read_from(&call, replication::read_deleted).await
    }
}
