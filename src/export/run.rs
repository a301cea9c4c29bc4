//! The steps of a run behind its locks: plan, log in, describe, stage, transfer, publish, remember.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::after;
use super::error::{RunError, Stopped};
use super::incremental::{Following, Look, deletes};
use super::locks::Locks;
use super::manifest::{self, files_of, of_run};
use super::object::{Generated, Warning, describe_columns, generate, of_description};
use super::plan::{Draft, Plan, described_columns, needs_description, not_described};
use super::publish::{publish, seal, stage};
use super::refused_query::explained;
use super::scratch::Scratch;
use super::tracking::{Tracking, describe_exported, tracking};
use super::transfer::{QueryJobs, Rule, SharedRule, Transfer, TransferError, Verdict};
use super::writer::{Gate, WriterThread, Written};
use super::{Edges, Extent, OnRefusal, Run, blocking, bug, drift};
use crate::client::OrgClient;
use crate::error::{Exit, Failure};
use crate::job::output_path::manifest_beside;
use crate::job::{Api, EmptyRuns, Format, Job, Location, Manifest, Source};
use crate::key;
use crate::monitor::Event;
use crate::org::Org;
use crate::output::{Output, Published};
use crate::report::{self, ChildFile, RunId, RunReport};
use crate::salesforce::describe::ObjectDescription;
use crate::salesforce::fault::Fault;
use crate::soql::{Columns, Query};
use crate::state::{JobLock, State, StateError};
use crate::stop::Stop;

/// How long a run that was stopped waits for its writer.
const WRITER_STOP_TIMEOUT: Duration = Duration::from_millis(800);

/// Takes a run through its steps, and writes into the report what came of each.
///
/// # Errors
/// The first step that fails ends the run; its stages are gone then, unless [`RunError::PartlyPublished`] says
/// otherwise.
pub(super) async fn carry_out(
    run: &Run,
    edges: &Arc<Edges>,
    stop: &Stop,
    locks: Option<&Locks>,
    report: &mut RunReport,
) -> Result<Option<Arc<Columns>>, RunError> {
    let mut outputs = run.outputs()?;
    let Run { job, org, id, extent, part, .. } = run;
    let (job, extent) = (Arc::clone(job), *extent);
    let remembered = edges.state.as_ref().zip(locks.map(|locks| &locks.job));
    let mut steps = Steps { job, id, remembered, fields: None, tracking: None };

    // The drift is reported at the end: a run that fails leaves the file and its columns as they were, and the next one
    // warns again.
    let (mut draft, mut drift) = steps.draft(org, report)?;
    let mut beside = manifest_path(&run.job, &run.output);
    blocking(|| {
        steps.prepare(&outputs, extent)?;
        beside.as_deref().map_or(Ok(()), |path| manifest::check(&run.job, path))
    })?;
    let client = match part {
        Some(part) => Arc::clone(&part.client),
        None => {
            let key = blocking(|| key::load(org))?;
            let client = OrgClient::new(Arc::clone(org), Arc::new(key), Arc::clone(edges), Some(id.clone()));
            Arc::new(client.for_job(steps.job.name.clone()))
        }
    };
    let mut interrupt = Interrupt::of(stop, edges, steps.job.timeout);
    let logged_in: Result<_, RunError> =
        interrupt.unless(async { client.session().await.map_err(Fault::from) }).await;
    client.report(report);
    logged_in?;
    client.notice(&Event::LoggedIn);
    if extent == Extent::Login {
        report.warnings.extend(drift);
        return Ok(None);
    }
    // A set has asked.
    if part.is_none() {
        ask_for_usage(&client, &mut interrupt).await?;
    }

    if draft.is_none() {
        (draft, drift) = steps.draft_of_object(run, &client, &mut interrupt, report).await?;
    }
    let draft = draft.ok_or_else(|| bug("a job without a query"))?;
    report.soql = steps.job.query().map(Query::without_literals);
    let mut described = None;
    if needs_description(&steps.job, draft.columns()) {
        let columns = steps.describe(&draft, &client, &mut interrupt, report).await?;
        drift = steps.look_for_drift(&columns, report)?;
        described = Some(columns);
    }
    let is_written = steps.fields.is_none();
    let mut plan = draft.complete(described, is_written).ok_or_else(|| bug("a plan without columns"))?;
    let following = match &run.job.incremental {
        Some(_) => Some(steps.follow(run, &plan.columns, &client, &mut interrupt, report).await?),
        None => None,
    };
    if let Some(following) = &following {
        outputs = following.outputs()?;
        beside = manifest_path(&run.job, &following.output);
        blocking(|| steps.claim(&outputs, locks, report))?;
        // The condition changes no column.
        let draft = Draft::of(&steps.job, org)?.ok_or_else(|| bug("an increment without a query"))?;
        plan = draft
            .complete(Some(plan.columns), is_written)
            .ok_or_else(|| bug("an increment without columns"))?;
        report.soql = steps.job.query().map(Query::without_literals);
    }

    let query_jobs = QueryJobs::new(&client, remembered);
    let tidied: Result<_, RunError> = interrupt.unless(query_jobs.remove_earlier()).await;
    report.warnings.extend(tidied?);
    let mut stages = blocking(|| stage(&outputs, id, remembered))?;
    let deletes = match &following {
        Some(Following { deleted: Some(deleted), .. }) => {
            let stage = stages.pop().ok_or_else(|| bug("deleted records without a stage"))?;
            Some(blocking(|| deletes::written(&steps.job, deleted, stage))?)
        }
        _ => None,
    };
    let scratch = Scratch::new(edges.scratch_dir.clone(), id.clone());
    let rule = SharedRule::new(Rule::Any.into());
    let gate = gate(&client, &rule);
    let columns = Arc::clone(&plan.columns);
    let mut writer = WriterThread::start(&steps.job, columns, stages, scratch.clone(), gate)?;
    let transfer = Transfer {
        client: &client,
        job: &steps.job,
        plan: &plan,
        clock: edges.clock.as_ref(),
        slots: &edges.slots,
        scratch: &scratch,
        query_jobs: &query_jobs,
        remembered,
        rule: &rule,
    };
    let transferred = interrupt.unless(transfer.carry_out(&mut writer, report)).await;
    query_jobs.remove_all(matches!(transferred, Err(TransferError::Stopped(_)))).await;
    report.warnings.extend(query_jobs.unanswered());
    let written = steps.end_writer(writer, transferred).await;
    // Of an object that a set may do without the org's own words are enough.
    let written = match part {
        Some(part) if part.on_refusal == OnRefusal::Skip => written,
        _ => explain(written, &client, &steps.job, &mut interrupt).await,
    };
    client.report(report);
    let (written, verified) = written?;
    verified.note(report);
    if part.as_ref().is_none_or(|part| !part.is_reported_by_set) {
        report.warnings.extend(client.unguarded_reserve());
    }
    if written.lone_surrogates > 0 {
        report.warnings.push(format!(
            "{} lone surrogates, which UTF-8 cannot hold, are U+FFFD in columns and escapes in JSON",
            written.lone_surrogates
        ));
    }

    // The one that readers wait for comes last.
    let (mut group, mut counts): (Vec<_>, Vec<_>) = written.files.into_iter().unzip();
    group.rotate_left(1);
    counts.rotate_left(1);
    report.records = counts.pop().unwrap_or_default();
    let watermark = following.as_ref().and_then(|following| following.watermark(verified, report));
    report.mark = watermark.as_ref().map(|watermark| watermark.mark);
    let skips_empty = run.job.incremental.as_ref().is_some_and(|settings| settings.empty == EmptyRuns::Skip);
    if skips_empty && following.as_ref().is_some_and(|following| following.is_empty(report.records)) {
        drop(group);
        report.path = None;
        if let (Some((state, lock)), Some(watermark)) = (remembered, &watermark) {
            blocking(|| state.set_watermark(lock, watermark))?;
        }
        report.warnings.extend(drift);
        steps.remember(&plan.columns, report);
        return Ok(Some(plan.columns));
    }
    group.splice(..0, deletes);
    let files = Files { job: &steps.job, plan: &plan, counts: &counts };
    let mut sealed = seal(group).await?;
    // The manifest and the report for the command are complete before any file is published.
    let mut told = after::succeeded(report, edges.clock.now());
    told.warnings.extend(drift.clone());
    files.report(sealed.iter().map(|file| file.contents()).collect(), &mut told)?;
    let mut manifest_lock = None;
    if let Some(path) = &beside {
        let manifest = steps.manifest(&run.job, &client, &plan, &told).await;
        let (file, lock) = manifest::sealed(&run.job, id, path, manifest, remembered).await?;
        sealed.push(file);
        manifest_lock = Some(lock);
    }
    // A set runs its command itself.
    let has_command = run.job.after.is_some() && run.part.is_none();
    let mut published = publish(sealed, remembered, has_command.then_some(told), watermark).await?;
    drop(manifest_lock);
    report.warnings.extend(drift);
    if beside.is_some()
        && let Some(manifest) = published.pop()
    {
        report.warnings.extend(manifest.warnings);
    }
    files.report(published, report)?;
    steps.remember(&plan.columns, report);
    Ok(Some(plan.columns))
}

/// Where the manifest of a single export goes, if it has one.
fn manifest_path(job: &Job, output: &Output) -> Option<PathBuf> {
    match (&job.manifest, output.location()) {
        (Manifest::Beside, Location::File(path)) => Some(manifest_beside(&path)),
        _ => None,
    }
}

/// What decides at the first page by REST: the rule that the transfer has set, then the org's reserve.
fn gate(client: &Arc<OrgClient>, rule: &SharedRule) -> Gate {
    let (client, rule) = (Arc::clone(client), Arc::clone(rule));
    Box::new(move |first| {
        let rule = *rule.lock().unwrap_or_else(PoisonError::into_inner);
        match rule.judge(first) {
            Verdict::Go => match client.grant(first.calls - 1) {
                Ok(()) => Verdict::Go,
                Err(fault) => Verdict::Refuse(fault),
            },
            other => other,
        }
    })
}

/// What the steps of a run share.
struct Steps<'r> {
    /// An object's job becomes that of its query once that is known.
    job: Arc<Job>,
    id: &'r RunId,
    /// Where the run is remembered, under the job's lock; `None` for a query without a job.
    remembered: Option<(&'r State, &'r JobLock)>,
    /// The order of an object's fields, for the next run.
    fields: Option<Vec<String>>,
    /// How the changes of an object's records are found.
    tracking: Option<Tracking>,
}

impl Steps<'_> {
    /// Makes the query of an object's job from what the org says of the object now, and drafts the plan of that query.
    async fn draft_of_object(
        &mut self,
        run: &Run,
        client: &OrgClient,
        interrupt: &mut Interrupt<'_>,
        report: &mut RunReport,
    ) -> Result<(Option<Draft>, Option<String>), RunError> {
        let generated: Result<_, RunError> = match &run.part {
            Some(part) => blocking(|| self.generate_from(&part.description, &run.org)),
            None => interrupt.unless(self.generate(client)).await,
        };
        client.report(report);
        report.warnings.extend(self.take(generated?));
        Ok(self.draft(&run.org, report)?)
    }

    /// Asks the org to describe the query's columns.
    async fn describe(
        &self,
        draft: &Draft,
        client: &OrgClient,
        interrupt: &mut Interrupt<'_>,
        report: &mut RunReport,
    ) -> Result<Arc<Columns>, RunError> {
        let describing = async {
            describe_columns(client, &self.job, &draft.description)
                .await
                .map_err(|fault| not_described(&self.job, fault))
        };
        let description: Result<_, RunError> = interrupt.unless(describing).await;
        let description = explain(description, client, &self.job, interrupt).await;
        client.report(report);
        let description = description?;
        Ok(blocking(|| described_columns(&self.job, &description))?)
    }

    /// Makes the query of an object's job from what the org says of the object now.
    async fn generate(&self, client: &OrgClient) -> Result<Generated, RunError> {
        let Source::Object(object) = &self.job.source else {
            return Err(bug("a job without a query").into());
        };
        generate(client, &self.job, object, blocking(|| self.order_of_fields())?).await
    }

    /// The same from a description that is at hand.
    fn generate_from(&self, described: &ObjectDescription, org: &Org) -> Result<Generated, RunError> {
        let Source::Object(object) = &self.job.source else {
            return Err(bug("a part of a set without an object").into());
        };
        Ok(of_description(&self.job, object, described, self.order_of_fields()?, &org.username)?)
    }

    /// The order in which earlier runs exported the object's fields.
    fn order_of_fields(&self) -> Result<Vec<String>, Failure> {
        match self.remembered {
            Some((state, lock)) => Ok(state.fields_of(lock.key())?),
            None => Ok(Vec::new()),
        }
    }

    /// Decides what an incremental run exports, and continues with the query that selects it.
    async fn follow(
        &mut self,
        run: &Run,
        columns: &Columns,
        client: &OrgClient,
        interrupt: &mut Interrupt<'_>,
        report: &mut RunReport,
    ) -> Result<Following, RunError> {
        let (Some(settings), Some(remembered)) = (&run.job.incremental, self.remembered) else {
            return Err(bug("changes without a mark").into());
        };
        let tracking: Result<_, RunError> = match self.tracking.take() {
            Some(tracking) => Ok(Some(tracking)),
            None => {
                let described = interrupt.unless(describe_exported(&run.job, client)).await;
                described.and_then(|described| Ok(tracking(&run.job, &described, &run.org.username)?))
            }
        };
        client.report(report);
        let tracking = tracking?.ok_or_else(|| bug("a job that is not incremental"))?;
        let look = Look { run, settings, tracking: &tracking, columns, client, remembered };
        let following = look.decide(interrupt, report).await?;
        self.job = Arc::new(following.job(&self.job)?);
        Ok(following)
    }

    /// Locks the outputs of an incremental run, which are known by now, and looks whether they can be written.
    fn claim(
        &self,
        outputs: &[Output],
        locks: Option<&Locks>,
        report: &mut RunReport,
    ) -> Result<(), RunError> {
        if let (Some((state, _)), Some(locks)) = (self.remembered, locks) {
            locks.add_outputs(state, outputs, &mut report.warnings)?;
        }
        Ok(self.prepare(outputs, Extent::Whole)?)
    }

    /// Continues with the generated query, and returns the warnings about the job.
    fn take(&mut self, Generated { job, fields, warnings, tracking }: Generated) -> Vec<String> {
        self.job = Arc::new(job);
        self.tracking = tracking;
        self.fields = Some(fields);
        warnings.into_iter().map(|Warning { what, hint }| format!("{what}; {hint}")).collect()
    }

    /// The plan as far as the job gives it, and how its columns have changed, if it gives them.
    fn draft(&self, org: &Org, report: &mut RunReport) -> Result<(Option<Draft>, Option<String>), Failure> {
        let draft = Draft::of(&self.job, org)?;
        let columns = draft.as_ref().and_then(Draft::columns);
        let drift = columns.map(|columns| self.look_for_drift(columns, report)).transpose()?;
        Ok((draft, drift.flatten()))
    }

    /// Notes the columns in the report, and looks whether they have changed.
    fn look_for_drift(&self, columns: &Columns, report: &mut RunReport) -> Result<Option<String>, Failure> {
        report.columns = columns.output_names().to_vec();
        blocking(|| drift::look(&self.job, columns, self.remembered))
    }

    /// Finds out on this side what would make the run fail, and removes what dead runs left.
    fn prepare(&self, outputs: &[Output], extent: Extent) -> Result<(), Failure> {
        // A dry run takes away nothing: what was noted for its job is settled by now.
        let swept = outputs.iter().filter(|_| extent == Extent::Whole);
        let unswept: Vec<_> = swept.filter_map(|output| output.sweep().err()).collect();
        outputs.iter().try_for_each(Output::check)?;
        // What a dead run left takes room, but keeps nobody from writing next to it.
        for failure in unswept {
            let (job, org) = (&self.job.name, &self.job.org);
            tracing::warn!(%job, %org, run_id = %self.id, error = %failure, "cannot remove an old temporary file");
        }
        Ok(())
    }

    /// Waits for the writer, whatever came of the transfer: from then on nobody else holds the stages. But a run that
    /// was stopped does not wait for a reader or a disk that hangs: its thread is left behind, and a stage with it, for
    /// the next run to sweep.
    async fn end_writer<T>(
        &self,
        writer: WriterThread,
        transferred: Result<T, TransferError>,
    ) -> Result<(Written, T), RunError> {
        let ended = match &transferred {
            // By the machine's own clock: a thread of this process is waited for, whatever time a test's clock says.
            Err(TransferError::Stopped(_)) => tokio::time::timeout(WRITER_STOP_TIMEOUT, writer.end())
                .await
                .unwrap_or_else(|_| Err(Failure::new(Exit::Output, "the output does not respond").into())),
            _ => writer.end().await,
        };
        match transferred {
            Ok(transferred) => ended.map(|written| (written, transferred)),
            // The writer knows why it ended.
            Err(TransferError::Writer) => {
                Err(ended.err().unwrap_or_else(|| bug("the writer ended before the transfer").into()))
            }
            Err(TransferError::Fault(fault) | TransferError::Value(fault)) => Err(fault.into()),
            Err(TransferError::Failed(failure)) => Err(failure.into()),
            Err(TransferError::Stopped(failure)) => Err(RunError::Stopped(failure)),
        }
    }

    /// The manifest of the published files. `job` is the job as it is written, which may name an object.
    async fn manifest(
        &self,
        job: &Job,
        client: &OrgClient,
        plan: &Plan,
        report: &RunReport,
    ) -> report::manifest::Manifest {
        let object = match &job.source {
            Source::Object(source) => Some(source.object.as_str()),
            _ => None,
        };
        let files = files_of(report, object, &plan.columns);
        let org_id = client.organization_id().await;
        of_run(report, org_id, files, Vec::new(), report.ended)
    }

    /// Keeps what the next run wants to know. The export is published: whatever becomes of this note, it did not fail.
    fn remember(&self, columns: &Columns, report: &mut RunReport) {
        if let Some((state, lock)) = self.remembered
            && let Err(error) = blocking(|| {
                state.set_columns(lock, &drift::noted(&self.job, columns))?;
                state.set_used_bulk(lock, report.api == Some(Api::Bulk))?;
                if let Some(fields) = &self.fields {
                    state.set_fields(lock, fields)?;
                }
                // A retry of the set lists the object in the manifest without exporting it again. And types that change are
                // drift in a file that has types.
                if self.job.object.is_some() || self.job.format == Format::Parquet {
                    state.set_file_columns(lock, &manifest::columns_of(columns))?;
                }
                Ok::<_, StateError>(())
            })
        {
            report.warnings.push(Failure::from(error).what);
        }
    }
}

/// The files of a run: those of child queries, or that of deleted records, then the main one.
struct Files<'f> {
    job: &'f Job,
    plan: &'f Plan,
    /// The records in the files of child queries.
    counts: &'f [u64],
}

impl Files<'_> {
    /// Writes into the report what was published.
    fn report(&self, mut published: Vec<Published>, report: &mut RunReport) -> Result<(), Failure> {
        report.warnings.extend(published.iter_mut().flat_map(|file| std::mem::take(&mut file.warnings)));
        let main = published.pop().ok_or_else(|| bug("nothing was published"))?;
        report.bytes = main.bytes;
        report.raw_bytes = main.raw_bytes;
        report.sha256 = Some(main.sha256);
        let tables = self.job.child_files().into_iter().zip(self.plan.columns.tables()).zip(self.counts);
        let tables =
            tables.map(|((of, table), records)| (of, *records, table.columns.output_names().to_vec()));
        let mut of_files: Vec<_> = tables.collect();
        if let Some(deleted) = report.deleted {
            of_files.push((
                deletes::PART.to_owned(),
                deleted,
                deletes::columns(self.job)?.output_names().to_vec(),
            ));
        }
        for ((of, records, columns), file) in of_files.into_iter().zip(published) {
            let Published { location, bytes, raw_bytes, sha256, .. } = file;
            let path = location.to_string();
            report.files.push(ChildFile { of, path, records, bytes, raw_bytes, sha256, columns });
        }
        Ok(())
    }
}

/// Adds to the refusal of a query which field the org does not know, unless the run is ended before that is found.
async fn explain<T>(
    done: Result<T, RunError>,
    client: &OrgClient,
    job: &Job,
    interrupt: &mut Interrupt<'_>,
) -> Result<T, RunError> {
    let fault = match done {
        Err(RunError::Fault(fault)) => fault,
        done => return done,
    };
    let explaining = async { Ok::<_, Stopped>(explained(client, job, fault.clone()).await) };
    Err(interrupt.unless::<_, _, Stopped>(explaining).await.unwrap_or(fault).into())
}

/// Asks how many API requests are used, if a reserve has to be left to others.
pub(super) async fn ask_for_usage(client: &OrgClient, interrupt: &mut Interrupt<'_>) -> Result<(), RunError> {
    let asking = async {
        client.ask_for_usage().await;
        Ok::<_, Stopped>(())
    };
    interrupt.unless(asking).await
}

/// What may end a run from outside: a signal, a newer occurrence, its own timeout.
pub(super) struct Interrupt<'r>(Pin<Box<dyn Future<Output = Failure> + Send + 'r>>);

impl<'r> Interrupt<'r> {
    pub(super) fn of(stop: &'r Stop, edges: &'r Edges, timeout: Option<Duration>) -> Self {
        Self(Box::pin(async move {
            tokio::select! {
                failure = stop.requested() => failure,
                failure = deadline(edges, timeout) => failure,
            }
        }))
    }

    /// Waits for the end from outside. Not to be called again after it has come.
    pub(super) async fn came(&mut self) -> Failure {
        (&mut self.0).await
    }

    /// Does the work, unless the run is ended before.
    pub(super) async fn unless<T, F, E>(&mut self, work: impl Future<Output = Result<T, F>>) -> Result<T, E>
    where
        F: Into<E>,
        E: From<Stopped>,
    {
        tokio::select! {
            biased;
            failure = &mut self.0 => Err(Stopped(failure).into()),
            done = work => done.map_err(Into::into),
        }
    }
}

async fn deadline(edges: &Edges, timeout: Option<Duration>) -> Failure {
    let Some(timeout) = timeout else { return std::future::pending().await };
    edges.clock.sleep(timeout).await;
    Failure::new(Exit::Unavailable, format!("the run took longer than its timeout of {timeout:?}"))
        .hint("raise timeout, or narrow the query")
}
