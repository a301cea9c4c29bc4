//! How the records of a query arrive: page by page over REST, or by a query job of Bulk API 2.0. `route` decides which, and
//! the steps that follow a decision are taken here.

mod bulk;
mod count;
mod expected;
mod rest;
mod route;

use std::sync::Arc;

use jiff::Timestamp;

use super::counting::{Counting, Verified};
use super::error::Stopped;
use super::plan::{Plan, described_columns};
use super::scratch::Scratch;
use super::slots::Slots;
use super::writer::{Command, Reply, Reset, WriterThread};
use super::{blocking, bug};
use crate::client::OrgClient;
use crate::clock::Clock;
use crate::error::Failure;
use crate::job::{Api, ApiChoice, ExportKey, Format, Job};
use crate::monitor::Event;
use crate::org::Org;
use crate::report::RunReport;
use crate::salesforce::fault::{Fault, FaultKind};
use crate::soql::{BulkObstacle, BulkQuery};
use crate::state::{BulkRefusal, JobLock, State};

pub(super) use bulk::{QueryJobs, ResultPage};
pub(crate) use expected::{Expected, Forecast, expected};
pub(super) use route::{FirstPage, Rule, Verdict};

use route::{Known, Obstacle, Route};

/// Why a transfer ended before its end.
pub(super) enum TransferError {
    /// The org or the network, beyond what is tried again.
    Fault(Fault),
    /// A value that the output cannot hold; nothing changes that.
    Value(Fault),
    /// The run was ended from outside.
    Stopped(Failure),
    /// Something on this side.
    Failed(Failure),
    /// The writer's thread has ended, and knows why.
    Writer,
}

impl From<Fault> for TransferError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Stopped> for TransferError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped.0)
    }
}

/// What a transfer works with.
pub(super) struct Transfer<'t> {
    pub(super) client: &'t Arc<OrgClient>,
    pub(super) job: &'t Job,
    pub(super) plan: &'t Plan,
    pub(super) clock: &'t dyn Clock,
    pub(super) slots: &'t Slots,
    pub(super) scratch: &'t Scratch,
    pub(super) query_jobs: &'t QueryJobs<'t>,
    /// What the run may remember; `None` for a query without a job.
    pub(super) remembered: Option<(&'t State, &'t JobLock)>,
    /// What the writer does with the first page by REST.
    pub(super) rule: &'t SharedRule,
}

/// The rule for the first page by REST, which the writer's thread applies.
pub(super) type SharedRule = Arc<std::sync::Mutex<Rule>>;

/// How a way through one API ended.
enum Way {
    /// The result is written.
    Complete(Verified),
    /// The first page by REST has shown that Bulk is the better way.
    Switch(FirstPage),
    /// REST failed in a way that Bulk may not.
    TryBulk(Fault),
    /// Bulk did not take the query.
    Refused(Fault),
    /// Bulk was not asked, and REST takes over again.
    Again,
}

/// Why there is no query for Bulk.
enum Unfit {
    /// Bulk does not take it, as its columns show.
    Obstacle(BulkObstacle),
    /// The org does not describe it, so the types of its columns are not known.
    NotDescribed(Fault),
    /// The transfer has ended.
    Ended(TransferError),
}

impl Transfer<'_> {
    /// Brings the whole result to the writer and counts it. Which API is used is in the report, of a transfer that fails too.
    pub(super) async fn carry_out(
        &self,
        writer: &mut WriterThread,
        report: &mut RunReport,
    ) -> Result<Verified, TransferError> {
        let mut route = self.route()?;
        let mut counting = Counting::new(self.job.count_check);
        let mut total = None;
        let verified = loop {
            report.api = Some(route.api);
            report.api_reason = Some(route.reason.clone());
            let ended = match route.api {
                Api::Rest => self.by_rest(&route, &mut counting, writer, report).await?,
                Api::Bulk => self.by_bulk(&mut route, total, writer, report).await?,
            };
            match ended {
                Way::Complete(verified) => break verified,
                Way::Switch(first) => {
                    total = Some(first.total);
                    route.switch(first);
                }
                Way::TryBulk(fault) => {
                    reset(self.client, writer, Reset::Same, fault.clone()).await?;
                    report.restarts += 1;
                    route.switch_after(fault);
                }
                Way::Again => reset_quietly(writer, Reset::Rest).await?,
                Way::Refused(fault) => {
                    self.note_refusal(&fault);
                    route.fall_back(fault, self.job)?;
                    reset_quietly(writer, Reset::Rest).await?;
                }
            }
        };
        match writer.ask(Command::Finish).await {
            Some(Reply::Finished) => Ok(verified),
            _ => Err(TransferError::Writer),
        }
    }

    /// The way that the run begins with.
    fn route(&self) -> Result<Route, Fault> {
        let remembered = self.remembered.map(|(state, lock)| (state, lock.key()));
        blocking(|| route(self.job, self.client.org(), remembered, self.clock.now()))
    }

    async fn by_rest(
        &self,
        route: &Route,
        counting: &mut Counting,
        writer: &mut WriterThread,
        report: &mut RunReport,
    ) -> Result<Way, TransferError> {
        *self.rule.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = route.rule;
        match rest::transfer(self, route.may_use_bulk(), counting, writer, report).await {
            Err(TransferError::Fault(fault))
                if fault.kind == FaultKind::QueryTimeout && route.may_use_bulk() =>
            {
                Ok(Way::TryBulk(fault))
            }
            ended => ended,
        }
    }

    async fn by_bulk(
        &self,
        route: &mut Route,
        total: Option<u64>,
        writer: &mut WriterThread,
        report: &mut RunReport,
    ) -> Result<Way, TransferError> {
        let query = match self.bulk_query().await {
            Ok(query) => Arc::new(query),
            Err(Unfit::Obstacle(obstacle)) => {
                route.keep_to_rest(obstacle.to_string(), self.job.api)?;
                return Ok(Way::Again);
            }
            Err(Unfit::NotDescribed(fault)) => {
                route.fall_back(fault, self.job)?;
                return Ok(Way::Again);
            }
            Err(Unfit::Ended(ended)) => return Err(ended),
        };
        reset_quietly(writer, Reset::Bulk(Arc::clone(&query))).await?;
        let ended = bulk::transfer(self, &query, total, writer, report).await;
        report.bulk_job = self.query_jobs.last();
        Ok(match ended? {
            bulk::Ended::Complete(verified) => Way::Complete(verified),
            bulk::Ended::Refused(fault) => Way::Refused(fault),
        })
    }

    /// The query as Bulk is asked for it; asks the org for the types of its columns if they are not known.
    async fn bulk_query(&self) -> Result<BulkQuery, Unfit> {
        let failed = |failure| Unfit::Ended(TransferError::Failed(failure));
        let query = self.job.query().ok_or_else(|| failed(bug("a job without its query")))?;
        let is_nested = is_nested(self.job);
        let columns = &self.plan.columns;
        let is_typed = columns.untyped().is_none();
        // A type that the job sets says nothing about how the org sends the values.
        let is_typed_by_org = is_typed && self.job.shape.columns.types.is_empty();
        let has_orgs_keys = !(is_nested && self.plan.is_written);
        let undescribed = || BulkQuery::of(query, columns, None, is_nested).map_err(Unfit::Obstacle);
        if is_typed_by_org && has_orgs_keys {
            return undescribed();
        }
        let described = match self.client.description(&self.plan.description).await {
            Ok(described) => described,
            Err(fault) if fault.kind != FaultKind::QueryRefused => return Err(Unfit::Ended(fault.into())),
            Err(_) if is_typed && has_orgs_keys => return undescribed(),
            Err(fault) => return Err(Unfit::NotDescribed(fault)),
        };
        let typed = blocking(|| described_columns(self.job, &described)).map_err(failed)?;
        BulkQuery::of(query, &typed, Some(&described), is_nested).map_err(Unfit::Obstacle)
    }

    /// Remembers that Bulk does not take the query, so it is not asked in vain tomorrow.
    fn note_refusal(&self, fault: &Fault) {
        if !route::is_lasting(fault) {
            return;
        }
        let (Some((state, _)), Some((object, text))) = (self.remembered, refused_as(self.job)) else {
            return;
        };
        let query = (!route::is_about_the_object(fault)).then_some(text.as_str());
        let reason = fault.redacted.as_deref().unwrap_or(&fault.what).to_owned();
        let refusal = BulkRefusal::new(&object, query, self.clock.now(), reason);
        if let Err(error) = blocking(|| state.note_bulk_refusal(&self.client.org().name, &refusal)) {
            let client = self.client;
            tracing::warn!(job = client.job(), org = %client.org().name, run_id = client.run_id(), %error, "cannot remember that Bulk refused the query");
        }
    }
}

/// The way that a run of the job begins with, by what is remembered of earlier ones.
///
/// # Errors
/// As [`Route::of`].
fn route(job: &Job, org: &Org, state: Option<(&State, &ExportKey)>, now: Timestamp) -> Result<Route, Fault> {
    let remembered = state.and_then(|state| remembered(job, org, state, now));
    let (refusal, used_bulk) = remembered.unwrap_or_default();
    Route::of(&Known { job, org, obstacle: obstacle(job), refusal, used_bulk })
}

/// Why Bulk does not take the job's query, or takes it badly, as far as the job alone tells.
fn obstacle(job: &Job) -> Option<Obstacle> {
    job.query().and_then(|query| query.bulk_obstacle()).map(of_query).or_else(|| {
        let keeps_attributes = job.format == Format::Jsonl && job.shape.attributes;
        keeps_attributes.then(|| of_query(BulkObstacle::Attributes))
    })
}

fn of_query(obstacle: BulkObstacle) -> Obstacle {
    Obstacle { reason: obstacle.to_string(), is_refused: obstacle.is_refused() }
}

/// Whether records contain their parents as objects, so a null parent differs from a parent with null fields.
fn is_nested(job: &Job) -> bool {
    job.format == Format::Jsonl && !job.shape.columns.rename()
}

/// Why Bulk refused the job's query in the last week, and whether the last successful run used Bulk; `None` for an object
/// before its query is generated.
fn remembered(
    job: &Job,
    org: &Org,
    (state, key): (&State, &ExportKey),
    now: Timestamp,
) -> Option<(Option<String>, bool)> {
    let (object, text) = refused_as(job)?;
    let refusal = state.bulk_refusal(&org.name, &object, &text, now).unwrap_or_else(|error| {
        tracing::info!(%error, "cannot read what Bulk refused");
        None
    });
    // Without the note the run only decides as at the first time.
    Some((refusal.map(|refusal| refusal.reason), state.used_bulk(key).unwrap_or_default()))
}

/// The refusal by Bulk that a job which demands Bulk would meet again; `None` if the job leaves the choice to the run.
///
/// # Errors
/// If what is remembered cannot be read.
pub(crate) fn demanded_and_refused(
    job: &Job,
    org: &Org,
    state: &State,
    now: Timestamp,
) -> Result<Option<BulkRefusal>, Failure> {
    let Some((object, text)) = refused_as(job).filter(|_| job.api == ApiChoice::Bulk) else {
        return Ok(None);
    };
    Ok(state.bulk_refusal(&org.name, &object, &text, now)?)
}

/// The object and the query that a refusal is remembered by.
fn refused_as(job: &Job) -> Option<(String, String)> {
    let text = job.source.text_for_all()?;
    Some((job.source.object()?.to_owned(), text.to_owned()))
}

/// Empties the output for another pass, which this fault is the reason for.
async fn reset(
    client: &OrgClient,
    writer: &mut WriterThread,
    to: Reset,
    fault: Fault,
) -> Result<(), TransferError> {
    match writer.ask(Command::Restart(to)).await {
        Some(Reply::Restarted) => {}
        Some(Reply::CannotRestart) => {
            let fault = fault.and("some of the output has already been sent");
            return Err(fault.hint("write to a file instead of standard output").into());
        }
        _ => return Err(TransferError::Writer),
    }
    client.notice(&Event::Restarted { fault: &fault.what });
    tracing::warn!(job = client.job(), org = %client.org().name, run_id = client.run_id(), fault = %fault, "the query starts over");
    Ok(())
}

/// Prepares the writer for the other API, before a row is written.
async fn reset_quietly(writer: &mut WriterThread, to: Reset) -> Result<(), TransferError> {
    match writer.ask(Command::Restart(to)).await {
        Some(Reply::Restarted) => Ok(()),
        Some(Reply::CannotRestart) => Err(TransferError::Failed(bug("rows before the API was chosen"))),
        _ => Err(TransferError::Writer),
    }
}
