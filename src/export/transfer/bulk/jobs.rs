//! The query jobs that a run has made in the org. Each is noted in the journal before it is asked for, and removed in every
//! ending of the run, or else by the job's next run. No other job in the org is ever touched.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::client::OrgClient;
use crate::error::Failure;
use crate::export::blocking;
use crate::export::transfer::TransferError;
use crate::salesforce::bulk::job::QueryJob;
use crate::salesforce::fault::{ErrorCode, Fault};
use crate::state::{JobLock, JournalEntry, State, StateError};

/// How long the removal of what is left may take at the end of a run.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(20);

/// How long it may take if the run was stopped: whoever stops a run does not wait long.
const STOP_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The query jobs of a run.
pub(in crate::export) struct QueryJobs<'r> {
    client: Arc<OrgClient>,
    /// Where they are noted; `None` for a query without a job.
    remembered: Option<(&'r State, &'r JobLock)>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    /// Those that may still be there.
    left: Vec<Left>,
    /// The last one.
    last: Option<String>,
    /// How many requests for a job had no response from the org.
    unanswered: u32,
    /// Whether one is on its way. It stays so if the run is stopped before the response.
    is_being_made: bool,
}

#[derive(Debug, Clone)]
struct Left {
    job: QueryJob,
    /// Whether it is known to have ended, so it need not be ended before it is removed.
    has_ended: bool,
}

impl<'r> QueryJobs<'r> {
    /// None yet, apart from those that earlier runs left.
    pub(in crate::export) fn new(
        client: &Arc<OrgClient>,
        remembered: Option<(&'r State, &'r JobLock)>,
    ) -> Self {
        Self { client: Arc::clone(client), remembered, made: Mutex::default() }
    }

    /// Removes what earlier runs left, whose processes have died. What cannot be removed now stays noted, and ends no run.
    ///
    /// # Errors
    /// If the journal cannot be read or written.
    pub(in crate::export) async fn remove_earlier(&self) -> Result<Option<String>, Failure> {
        let Some((state, lock)) = self.remembered else { return Ok(None) };
        let left: Vec<_> = {
            let journal = blocking(|| state.journal(lock))?;
            let owned = |(version, id): (&str, Option<&str>)| (version.to_owned(), id.map(str::to_owned));
            journal.query_jobs().map(owned).collect()
        };
        if left.is_empty() {
            return Ok(None);
        }
        let mut unnamed = 0;
        for (api_version, id) in left {
            match id {
                Some(id) => {
                    let job = QueryJob { id, api_version };
                    self.made().left.push(Left { job, has_ended: false });
                }
                None => unnamed += 1,
            }
        }
        self.remove_left(REMOVAL_TIMEOUT).await;
        self.note()?;
        Ok((unnamed > 0).then(|| {
            "an earlier run ended while it created a query job; if the org has created it, it expires in 7 days".to_owned()
        }))
    }

    /// Creates one.
    ///
    /// # Errors
    /// If the org does not create it, or the journal cannot be written.
    pub(super) async fn create(&self, all_rows: bool, soql: &str) -> Result<QueryJob, TransferError> {
        self.note_intent().map_err(TransferError::Failed)?;
        let mut unanswered = 0;
        self.made().is_being_made = true;
        let created = self.client.create_query_job(all_rows, soql, &mut unanswered).await;
        {
            let mut made = self.made();
            made.is_being_made = false;
            made.unanswered += unanswered;
            if let Ok(job) = &created {
                made.last = Some(job.id.clone());
                made.left.push(Left { job: job.clone(), has_ended: false });
            }
        }
        self.note().map_err(TransferError::Failed)?;
        let job = created?;
        let client = &self.client;
        tracing::info!(job = client.job(), org = %client.org().name, run_id = client.run_id(), query_job = job.id, "created a query job");
        Ok(job)
    }

    /// A job is known to have ended.
    pub(super) fn ended(&self, job: &QueryJob) {
        if let Some(left) = self.made().left.iter_mut().find(|left| left.job == *job) {
            left.has_ended = true;
        }
    }

    /// Removes what is left, as far as the org lets it.
    pub(in crate::export) async fn remove_all(&self, is_stopped: bool) {
        if self.made().left.is_empty() {
            return;
        }
        self.remove_left(if is_stopped { STOP_TIMEOUT } else { REMOVAL_TIMEOUT }).await;
        if let Err(failure) = self.note() {
            let client = &self.client;
            tracing::warn!(job = client.job(), org = %client.org().name, run_id = client.run_id(), error = failure.what, "cannot note which query jobs are left");
        }
    }

    async fn remove_left(&self, limit: Duration) {
        let removing = async {
            let left = self.made().left.clone();
            for Left { job, has_ended } in left {
                match self.remove(&job, has_ended).await {
                    Ok(()) => self.made().left.retain(|left| left.job != job),
                    Err(fault) => self.cannot_remove(&job, &fault.what),
                }
            }
        };
        // By the machine's own clock: a test's clock does not wait for the network.
        if tokio::time::timeout(limit, removing).await.is_err() {
            for Left { job, .. } in &self.made().left {
                self.cannot_remove(job, "the org did not respond in time");
            }
        }
    }

    fn cannot_remove(&self, job: &QueryJob, error: &str) {
        let client = &self.client;
        tracing::warn!(job = client.job(), org = %client.org().name, run_id = client.run_id(), query_job = job.id, error, "cannot remove a query job; the next run tries again");
    }

    async fn remove(&self, job: &QueryJob, has_ended: bool) -> Result<(), Fault> {
        let is_gone = |fault: &Fault| fault.code == Some(ErrorCode::NotFound);
        if !has_ended {
            match self.client.tidy(&job.abort()).await {
                Err(fault) if is_gone(&fault) => return Ok(()),
                // It may have ended meanwhile; then it can be removed.
                Ok(()) | Err(_) => {}
            }
        }
        match self.client.tidy(&job.delete()).await {
            Err(fault) if !is_gone(&fault) => Err(fault),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The id of the last one.
    pub(in crate::export) fn last(&self) -> Option<String> {
        self.made().last.clone()
    }

    /// The warning about requests for a job that had no response.
    pub(in crate::export) fn unanswered(&self) -> Option<String> {
        let made = self.made();
        match made.unanswered + u32::from(made.is_being_made) {
            0 => None,
            1 => Some(
                "a request for a query job had no response from the org; if it has created the job, the job expires in 7 days".to_owned(),
            ),
            requests => Some(format!(
                "{requests} requests for a query job had no response from the org; if it has created the jobs, they expire in 7 days"
            )),
        }
    }

    /// Notes that a job is about to be asked for.
    fn note_intent(&self) -> Result<(), Failure> {
        let Some((state, lock)) = self.remembered else { return Ok(()) };
        let api_version = self.client.org().api_version.clone();
        Ok(blocking(|| state.note(lock, &JournalEntry::QueryJob { api_version, id: None }))?)
    }

    /// Notes which jobs are left.
    fn note(&self) -> Result<(), Failure> {
        let Some((state, lock)) = self.remembered else { return Ok(()) };
        let left: Vec<_> = self.made().left.iter().map(|left| left.job.clone()).collect();
        blocking(|| state.set_query_jobs(lock, &left)).map_err(|error: StateError| error.into())
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
