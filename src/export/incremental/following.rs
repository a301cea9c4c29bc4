//! What an incremental run does before it asks for records: it looks up its mark and the org's clock, asks which records were
//! deleted, decides what to export, and settles where that goes.

use super::{DeletesCovered, Increment, Known, clock_warning, fingerprint};
use crate::client::OrgClient;
use crate::error::{Exit, Failure};
use crate::export::counting::Verified;
use crate::export::error::RunError;
use crate::export::run::Interrupt;
use crate::export::tracking::Tracking;
use crate::export::{Run, blocking, bug, fields, output_path};
use crate::job::{Deletes, ExportKind, IfExists, Incremental, Job};
use crate::output::Output;
use crate::report::RunReport;
use crate::salesforce::replication::DeletedRecords;
use crate::soql::Columns;
use crate::state::{JobLock, State, Watermark};

/// What an incremental run exports and where to, and what it leaves to the next one.
pub(in crate::export) struct Following {
    pub(in crate::export) increment: Increment,
    deletes: Deletes,
    /// The records that were deleted, if they are listed beside the export.
    pub(in crate::export) deleted: Option<DeletedRecords>,
    /// What the next run is to know; `None` if the object's changes cannot be followed.
    pub(in crate::export) watermark: Option<Watermark>,
    /// Where the export goes.
    pub(in crate::export) output: Output,
}

/// What is looked at.
pub(in crate::export) struct Look<'l> {
    pub(in crate::export) run: &'l Run,
    pub(in crate::export) settings: &'l Incremental,
    pub(in crate::export) tracking: &'l Tracking,
    pub(in crate::export) columns: &'l Columns,
    pub(in crate::export) client: &'l OrgClient,
    pub(in crate::export) remembered: (&'l State, &'l JobLock),
}

impl Look<'_> {
    /// Decides what the run exports.
    ///
    /// # Errors
    /// What keeps the org from telling its time or its deleted records; [`Exit::Configuration`] if the mark is ahead of the
    /// org's clock; [`Exit::TryLater`] if the output is there already.
    pub(in crate::export) async fn decide(
        &self,
        interrupt: &mut Interrupt<'_>,
        report: &mut RunReport,
    ) -> Result<Following, RunError> {
        let (state, lock) = self.remembered;
        let watermark = blocking(|| state.watermark_of(lock.key()))?;
        let time = match self.run.part.as_ref().and_then(|part| part.time) {
            // The set has warned, if there is something to warn of.
            Some(time) => time,
            None => {
                let time: Result<_, RunError> = interrupt.unless(self.client.org_time()).await;
                time.inspect(|time| report.warnings.extend(clock_warning(*time)))?
            }
        };
        let org_id = self.client.organization_id().await.unwrap_or_default();
        let known = Known {
            key: lock.key(),
            settings: self.settings,
            tracking: self.tracking,
            org_id: &org_id,
            org_time: time.org,
            own_time: time.own,
            fingerprint: &fingerprint(&self.run.job, self.tracking),
            columns: self.columns.names(),
            watermark: watermark.as_ref(),
            wants_full: self.run.wants_full,
        };
        let mut increment = known.decide()?;
        let (mut deleted, mut covered) = (None, DeletesCovered::default());
        if increment.kind == ExportKind::Changes && self.tracking.deletes == Deletes::Ids {
            let listed: Result<_, RunError> = interrupt.unless(self.deleted(&known)).await;
            self.client.report(report);
            (deleted, covered) = listed?;
            if covered.is_purged && known.purge_forces_full() {
                let reason =
                    "the org no longer knows all records that were deleted since the last run".to_owned();
                increment = known.full(increment.mark, reason);
                (deleted, covered) =
                    (None, DeletesCovered { has_forced_full: true, ..DeletesCovered::default() });
            }
        }
        let watermark = known.watermark(&increment, &covered);
        let Increment { kind, reason, since, .. } = &increment;
        (report.kind, report.since) = (Some(*kind), *since);
        report.kind_reason.clone_from(reason);
        report.deletes = Some(self.tracking.deletes);
        let output = self.output(&increment)?;
        report.path = Some(output.location().to_string());
        self.look_whether_it_is_there(&output)?;
        report.deleted = deleted.as_ref().map(|deleted| deleted.len() as u64);
        report.deletes_complete = watermark
            .as_ref()
            .filter(|_| self.tracking.deletes == Deletes::Ids)
            .map(|watermark| watermark.deletes_complete);
        Ok(Following { increment, deletes: self.tracking.deletes, deleted, watermark, output })
    }

    /// Asks which records were deleted since the last run. They are asked for before the query, so that one that is deleted
    /// and restored meanwhile is exported as it is then.
    async fn deleted(&self, known: &Known<'_>) -> Result<(Option<DeletedRecords>, DeletesCovered), RunError> {
        let start = known.watermark.map(|watermark| watermark.deletes_mark.unwrap_or(watermark.mark));
        let start = start.ok_or_else(|| bug("changes without a mark"))?;
        let object = self.run.job.source.object().ok_or_else(|| bug("changes of no object"))?;
        let deleted = self.client.deleted_since(object, start, known.org_time).await?;
        let covered = DeletesCovered {
            until: Some(deleted.covered),
            is_purged: !deleted.is_complete,
            has_forced_full: false,
        };
        Ok((Some(deleted.records), covered))
    }

    /// Where the export goes.
    fn output(&self, increment: &Increment) -> Result<Output, Failure> {
        let job = &self.run.job;
        let window = Some((increment.kind, increment.mark));
        let path = output_path(job, &fields(job, self.run.path_id(), self.run.timestamp, window))?;
        Output::of_job(&Job { if_exists: IfExists::Fail, ..Job::clone(job) }, &path)
    }

    /// A file that is there already may be waiting to be loaded.
    fn look_whether_it_is_there(&self, output: &Output) -> Result<(), Failure> {
        let mut outputs = vec![output.clone()];
        if self.tracking.deletes == Deletes::Ids {
            outputs = output.group(&[super::deletes::PART.to_owned()])?;
        }
        match outputs.iter().find(|output| output.exists()) {
            None => Ok(()),
            Some(there) => Err(already_there(there)),
        }
    }
}

/// The failure of an incremental run whose file is there already.
pub(crate) fn already_there(output: &Output) -> Failure {
    let what = format!("{} exists already, and an incremental export replaces no file", output.location());
    Failure::new(Exit::TryLater, what).hint(
        "run it again once the org's clock has moved on, or write `output` with a finer {mark} or with {run_id}",
    )
}

impl Following {
    /// The job whose query selects the records of this run.
    pub(in crate::export) fn job(&self, job: &Job) -> Result<Job, Failure> {
        self.increment.job(job, self.deletes)
    }

    /// What the next run is to know of this one. It knows nothing if the records do not add up: then the mark stays where it
    /// was, and they are exported again.
    pub(in crate::export) fn watermark(
        &self,
        verified: Verified,
        report: &mut RunReport,
    ) -> Option<Watermark> {
        let watermark = self.watermark.clone()?;
        if verified.is_certain() {
            return Some(watermark);
        }
        let stays = match self.increment.since {
            Some(since) => format!("the mark stays at {since}"),
            None => "no mark is set".to_owned(),
        };
        report.warnings.push(format!(
            "{stays}, because the number of records is uncertain; the next run exports them again"
        ));
        None
    }

    /// The outputs: the main one, then that of the deleted records.
    pub(in crate::export) fn outputs(&self) -> Result<Vec<Output>, Failure> {
        match self.deleted {
            Some(_) => self.output.group(&[super::deletes::PART.to_owned()]),
            None => Ok(vec![self.output.clone()]),
        }
    }

    /// Whether there is nothing to publish.
    pub(in crate::export) fn is_empty(&self, records: u64) -> bool {
        self.increment.kind == ExportKind::Changes
            && records == 0
            && self.deleted.as_ref().is_none_or(DeletedRecords::is_empty)
    }
}
