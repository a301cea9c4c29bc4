//! A result by Bulk API 2.0: a query job is created, waited for, and its result downloaded and written page by page. It is
//! complete if the rows of each page are as many as its head says, and all together as many as the job has processed.

mod jobs;
mod pages;

use std::sync::Arc;
use std::time::Duration;

use super::super::counting::{Pass, Verified};
use super::super::writer::{Command, Reply, Reset, WriterThread};
use super::{Transfer, TransferError, reset};
use crate::job::{BulkSettings, CountCheck};
use crate::monitor::Event;
use crate::report::RunReport;
use crate::salesforce::bulk::job::{JobState, QueryJob};
use crate::salesforce::fault::{ErrorCode, Fault, FaultKind};
use crate::salesforce::query::{MAX_EMPTY_PAGES, endless};
use crate::soql::BulkQuery;

pub(in crate::export) use jobs::QueryJobs;
pub(in crate::export) use pages::ResultPage;

use pages::{Downloads, Pages};

/// The first wait for a job, and where waits stop growing.
const POLL_MIN: Duration = Duration::from_secs(1);
const POLL_MAX: Duration = Duration::from_secs(30);

/// How long a new job may be unknown to the org that has created it.
const UNKNOWN_FOR: Duration = Duration::from_secs(15);

/// How many records a page has about if the org decides, for the estimate of what a result costs.
const USUAL_PAGE_RECORDS: u64 = 50_000;

/// How many times a job is asked how far it is, for the same estimate.
const USUAL_POLLS: u64 = 20;

/// How a transfer by Bulk ended, unless it ended the run.
pub(super) enum Ended {
    /// The result is written.
    Complete(Verified),
    /// The org did not take the query, or its job failed: nothing is written.
    Refused(Fault),
}

/// Brings the whole result to the writer. `total` is how many records the org counted by REST, if it did.
pub(super) async fn transfer(
    transfer: &Transfer<'_>,
    query: &BulkQuery,
    total: Option<u64>,
    writer: &mut WriterThread,
    report: &mut RunReport,
) -> Result<Ended, TransferError> {
    let client = transfer.client;
    client.begin_result();
    client.grant(usual_calls(total, &transfer.job.bulk))?;
    let mut may_repeat_job = true;
    loop {
        let job = match transfer.query_jobs.create(transfer.job.all_rows, &query.soql).await {
            Ok(job) => job,
            Err(TransferError::Fault(fault)) if is_refusal(&fault) => return Ok(Ended::Refused(fault)),
            Err(ended) => return Err(ended),
        };
        let ended = match transfer.wait(&job).await? {
            Waited::Complete(records) => transfer.result(&job, records, writer, report).await,
            Waited::Failed(fault) => return Ok(Ended::Refused(fault)),
            Waited::Gone(fault) => Err(fault.into()),
        };
        match ended {
            Ok(verified) => return Ok(Ended::Complete(verified)),
            Err(TransferError::Fault(fault)) if may_repeat_job && transfer.is_worth_repeating(&fault) => {
                may_repeat_job = false;
                report.restarts += 1;
                reset(client, writer, Reset::Same, fault).await?;
                transfer.query_jobs.remove_all(false).await;
            }
            Err(ended) => return Err(ended),
        }
    }
}

/// About how many API requests a result of so many records takes, from the query job on.
pub(super) fn usual_calls(records: Option<u64>, settings: &BulkSettings) -> u64 {
    let pages = records.unwrap_or_default().div_ceil(settings.max_records.unwrap_or(USUAL_PAGE_RECORDS));
    pages + USUAL_POLLS
}

/// Whether the org does not take the query as a job, so REST may take it: it refuses the object or the query, has no Bulk
/// API for this user, or has used up its limits.
fn is_refusal(fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::QueryRefused | FaultKind::QueryTooLong => true,
        FaultKind::Limit => fault.code == Some(ErrorCode::BulkLimitExceeded),
        FaultKind::Configuration => fault.code == Some(ErrorCode::NotFound),
        FaultKind::SessionRejected => fault.code == Some(ErrorCode::ApiDisabled),
        _ => false,
    }
}

/// How the wait for a job ended.
enum Waited {
    /// Its result has so many records.
    Complete(u64),
    /// It failed.
    Failed(Fault),
    /// Somebody has ended or removed it.
    Gone(Fault),
}

impl Transfer<'_> {
    /// Waits until a job has ended.
    async fn wait(&self, job: &QueryJob) -> Result<Waited, TransferError> {
        let Self { client, clock, query_jobs, .. } = self;
        let begun = clock.elapsed();
        let timeout = self.job.bulk.job_timeout;
        let mut wait = POLL_MIN;
        loop {
            clock.sleep(wait.min(timeout)).await;
            wait = wait.mul_f64(1.5).min(POLL_MAX);
            let waited = clock.elapsed().saturating_sub(begun);
            let status = match client.query_job_status(job).await {
                Ok(status) => status,
                Err(fault) if fault.code == Some(ErrorCode::NotFound) && waited < UNKNOWN_FOR => continue,
                Err(fault) if fault.code == Some(ErrorCode::NotFound) => {
                    query_jobs.ended(job);
                    return Ok(Waited::Gone(gone("the query job was removed while it ran")));
                }
                // Whatever the org has against this request, it has taken the query.
                Err(fault) => return Err(not_about_the_query(fault).into()),
            };
            tracing::debug!(query_job = job.id, state = ?status.state, records = status.records, "query job");
            match status.state {
                JobState::Running if waited >= timeout => {
                    let what = format!("the query job took longer than bulk.job_timeout ({timeout:?})");
                    let fault = Fault::new(FaultKind::Unavailable, what);
                    return Err(fault.hint("raise job_timeout in [bulk], or narrow the query").into());
                }
                JobState::Running => {}
                JobState::Complete => {
                    query_jobs.ended(job);
                    let unknown = || {
                        Fault::new(
                            FaultKind::InvalidResponse,
                            "the org does not say how many records the query job has",
                        )
                    };
                    return Ok(Waited::Complete(status.records.ok_or_else(unknown)?));
                }
                JobState::Failed => {
                    query_jobs.ended(job);
                    return Ok(Waited::Failed(status.failure()));
                }
                JobState::Aborted => {
                    query_jobs.ended(job);
                    return Ok(Waited::Gone(gone("somebody ended the query job")));
                }
            }
        }
    }

    /// Downloads and writes the result of a complete job, once more if it does not add up.
    async fn result(
        &self,
        job: &QueryJob,
        records: u64,
        writer: &mut WriterThread,
        report: &mut RunReport,
    ) -> Result<Verified, TransferError> {
        match self.download(job, records, writer, report).await {
            Err(TransferError::Fault(fault)) if self.is_worth_repeating(&fault) => {
                report.restarts += 1;
                reset(self.client, writer, Reset::Same, fault).await?;
                self.download(job, records, writer, report).await
            }
            ended => ended,
        }
    }

    /// Whether another download, or another job, may do what this one did not.
    fn is_worth_repeating(&self, fault: &Fault) -> bool {
        self.job.count_check != CountCheck::Strict
            && matches!(
                fault.kind,
                FaultKind::Truncated
                    | FaultKind::InvalidResponse
                    | FaultKind::Miscount
                    | FaultKind::LocatorExpired
            )
    }

    async fn download(
        &self,
        job: &QueryJob,
        expected: u64,
        writer: &mut WriterThread,
        report: &mut RunReport,
    ) -> Result<Verified, TransferError> {
        let &Self { client, slots, scratch, .. } = self;
        let settings = &self.job.bulk;
        let downloads = Downloads {
            client: Arc::clone(client),
            slots: slots.clone(),
            scratch: scratch.clone(),
            parallel: settings.parallel,
            max_records: settings.max_records,
        };
        let mut pages = Pages::start(&downloads, job, expected);
        let (mut records, mut empty_pages) = (0, 0);
        report.pages = 0;
        while let Some(download) = pages.next().await {
            let mut download = download?;
            let (mut page, mut attempts) = download.page().await.map_err(of_the_result)?;
            let accepted = loop {
                match writer.ask(Command::Result(page)).await {
                    Some(Reply::Accepted(accepted)) => break accepted,
                    Some(Reply::Rejected { fault, again: true }) => {
                        client.wait_after(fault, &mut attempts).await?;
                        page = downloads.again(&download.call, &mut attempts).await.map_err(of_the_result)?;
                    }
                    Some(Reply::Rejected { fault, again: false }) => return Err(TransferError::Value(fault)),
                    _ => return Err(TransferError::Writer),
                }
            };
            report.pages += 1;
            empty_pages = if accepted.records == records { empty_pages + 1 } else { 0 };
            records = accepted.records;
            if empty_pages > MAX_EMPTY_PAGES {
                return Err(endless().into());
            }
            if records > expected {
                return Err(miscount(records, expected).into());
            }
            client.notice(&Event::Progress { records, total: Some(expected), bytes: accepted.bytes });
        }
        report.total = Some(expected);
        match (records == expected, self.job.count_check) {
            (true, _) => Ok(Verified::Equal),
            (false, CountCheck::Warn) => Ok(Verified::Differs(Pass::new(records, Some(expected), true))),
            (false, CountCheck::Explain | CountCheck::Strict) => Err(miscount(records, expected).into()),
        }
    }
}

fn miscount(records: u64, expected: u64) -> Fault {
    let what =
        format!("the result is incomplete: {records} records arrived, and the query job has {expected}");
    Fault::new(FaultKind::Miscount, what).hint(
        "run it again; if it fails each time, set api = \"rest\", and report it to Salesforce with the query",
    )
}

/// The fault of a job that no longer exists. A new one may succeed.
fn gone(what: &str) -> Fault {
    Fault::new(FaultKind::LocatorExpired, what)
        .hint("find out who ends the query jobs of this user: Setup > Bulk Data Load Jobs lists them")
}

/// A request about a job was refused, which says nothing of the query.
fn not_about_the_query(fault: Fault) -> Fault {
    match fault.kind {
        FaultKind::QueryRefused | FaultKind::QueryTooLong => {
            Fault { kind: FaultKind::InvalidResponse, ..fault }
        }
        FaultKind::Configuration if fault.code == Some(ErrorCode::NotFound) => {
            gone("the query job was removed while its result was read")
        }
        _ => fault,
    }
}

fn of_the_result(ended: TransferError) -> TransferError {
    match ended {
        TransferError::Fault(fault) => not_about_the_query(fault).into(),
        ended => ended,
    }
}
