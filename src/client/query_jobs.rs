//! Requests of Bulk API 2.0: a query job is created once, its result is received while it is written to a file, and what a
//! job costs is promised before it begins.

use super::OrgClient;
use crate::export::blocking;
use crate::http::Response;
use crate::retry::Attempts;
use crate::salesforce::bulk::job::{self, JobStatus, PageList, QueryJob};
use crate::salesforce::call::Call;
use crate::salesforce::fault::{Fault, FaultKind};

impl OrgClient {
    /// Creates a query job. Each request that the org receives creates one: `unanswered` counts those whose response did not
    /// arrive, and whose jobs, if there are any, nobody knows.
    ///
    /// # Errors
    /// As [`OrgClient::call`].
    pub(crate) async fn create_query_job(
        &self,
        all_rows: bool,
        soql: &str,
        unanswered: &mut u32,
    ) -> Result<QueryJob, Fault> {
        let version = &self.org.api_version;
        let call = job::create(version, all_rows, soql);
        let mut attempts = Attempts::default();
        loop {
            let session = self.session().await?;
            self.admit_unless_granted(&call)?;
            let created = match self.open_once(&session, &call).await {
                Ok(mut response) => match response.read().await {
                    Ok(()) => QueryJob::created(response.body(), version),
                    Err(fault) => Err(fault),
                },
                Err(fault) => Err(fault),
            };
            let fault = match created {
                Ok(job) => {
                    self.accepted();
                    return Ok(job);
                }
                Err(fault) => fault,
            };
            *unanswered += u32::from(may_have_created(&fault));
            self.recover(&session, fault, &mut attempts).await?;
        }
    }

    /// How far a query job is.
    ///
    /// # Errors
    /// As [`OrgClient::call`].
    pub(crate) async fn query_job_status(&self, job: &QueryJob) -> Result<JobStatus, Fault> {
        self.read_granted(&job.status(), JobStatus::read).await
    }

    /// A list of the pages of a query job's result, asked for by a call of [`QueryJob::page_list`].
    ///
    /// # Errors
    /// As [`OrgClient::call`].
    pub(crate) async fn result_page_list(&self, call: &Call<'_>) -> Result<PageList, Fault> {
        self.read_granted(call, PageList::read).await
    }

    /// Asks for a page of a query job's result, whose body is still on its way. If it breaks,
    /// [`OrgClient::wait_after`] tells whether to ask again.
    ///
    /// # Errors
    /// As [`OrgClient::call`].
    pub(crate) async fn open_result_page(
        &self,
        call: &Call<'_>,
        attempts: &mut Attempts,
    ) -> Result<Response, Fault> {
        let response = self.open(call, attempts).await?;
        self.accepted();
        Ok(response)
    }

    /// Makes a call whatever the reserve, to remove what this side has made: once more if the connection breaks, which a kept
    /// one may do at any time, and again with a new session if the org no longer accepts this one.
    ///
    /// # Errors
    /// Whatever is not a response of success.
    pub(crate) async fn tidy(&self, call: &Call<'_>) -> Result<(), Fault> {
        let mut may_repeat = true;
        loop {
            let session = self.session().await?;
            match self.open_once(&session, call).await {
                Ok(_) => {
                    self.accepted();
                    return Ok(());
                }
                Err(fault) if fault.kind == FaultKind::SessionExpired => {
                    self.forget(&session, fault).await?;
                }
                Err(fault) if may_repeat && fault.kind == FaultKind::Unreachable => may_repeat = false,
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn read_granted<T>(
        &self,
        call: &Call<'_>,
        read: impl Fn(&[u8]) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut attempts = Attempts::default();
        loop {
            self.admit_unless_granted(call)?;
            let response = self.call_into(None, true, call, &mut attempts, &mut |_| true).await?;
            self.accepted();
            match blocking(|| read(response.body())) {
                Err(fault) if fault.kind == FaultKind::Truncated => {
                    self.wait_after(fault, &mut attempts).await?;
                }
                read => return read,
            }
        }
    }
}

/// Whether the org may have received the creation that met this fault. Without a code of Salesforce's, something on the way
/// has responded, and nobody knows what became of the request.
fn may_have_created(fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::Unreachable | FaultKind::Truncated | FaultKind::InvalidResponse => true,
        FaultKind::Unavailable => fault.code.is_none(),
        _ => false,
    }
}
