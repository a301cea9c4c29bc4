//! The objects of a set on their way: described in batches, exported side by side, and counted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::oneshot::{self, error::RecvError};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};

use super::SetRun;
use super::earlier::{CarriedOver, Earlier};
use super::refusal::{is_generated_alone, is_skipped, reason};
use crate::client::{OrgClient, OrgTime};
use crate::error::{Exit, Failure};
use crate::export::error::RunError;
use crate::export::manifest::{files_of, of_run};
use crate::export::run::Interrupt;
use crate::export::slots::Slot;
use crate::export::{Edges, OnRefusal, Outcome, Part, blocking, carry_through};
use crate::job::{Chosen, ObjectName};
use crate::monitor::Event;
use crate::report::manifest::{Manifest, ManifestFile};
use crate::report::{FailedObject, RunId, RunReport, SetSummary, SkippedObject};
use crate::salesforce::composite;
use crate::salesforce::describe::ObjectDescription;
use crate::salesforce::fault::{ErrorCode, Fault, FaultKind};
use crate::soql::{ColumnRules, UnusedRules};
use crate::stop::Stop;
use crate::threads;

/// How few descriptions may be at hand before further ones are asked for.
const MIN_DESCRIBED: usize = composite::MAX_REQUESTS / 2;

/// Exports the objects of a set.
pub(super) struct SideBySide<'r> {
    pub(super) run: &'r SetRun,
    pub(super) edges: &'r Arc<Edges>,
    pub(super) client: &'r Arc<OrgClient>,
    pub(super) earlier: &'r Earlier,
    /// The org's clock before the first query, if the set is incremental.
    pub(super) time: Option<OrgTime>,
}

/// An object and its description, or why there is none.
type Described = (Chosen, Result<ObjectDescription, Fault>);

/// An export that has ended.
struct Ended {
    chosen: Chosen,
    outcome: Outcome,
    is_skipped: bool,
    files: Vec<ManifestFile>,
    /// Held until the set knows how the export ended: that decides whether another may begin.
    slot: Slot,
}

/// The exports that go on.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Result<Ended, RecvError>>,
    /// By task, for one that panics.
    names: HashMap<Id, ObjectName>,
}

/// The objects that are not exported yet.
struct Line {
    undescribed: VecDeque<Chosen>,
    described: VecDeque<(Chosen, ObjectDescription)>,
    describing: Option<JoinHandle<Vec<Described>>>,
    /// A place in the queue for a slot.
    taking: Option<Pin<Box<dyn Future<Output = Slot> + Send>>>,
    /// Whether the org still responds. Nothing else begins before that is known.
    probing: Option<JoinHandle<Result<(), Fault>>>,
}

impl SideBySide<'_> {
    /// Exports these objects. One object's failure stops no other.
    ///
    /// # Errors
    /// What ended the set before its end: a signal, its timeout, or a fault that every request would meet.
    pub(super) async fn export(
        &self,
        left: Vec<Chosen>,
        work: &mut Work,
        interrupt: &mut Interrupt<'_>,
    ) -> Result<(), RunError> {
        let (stop_sender, stop) = Stop::new();
        let mut running = Running::default();
        let mut line = Line::new(left);
        let mut ended_by = None;
        let mut is_stopped = false;
        self.edges.monitor.notice(&self.run.id, &work.progress());
        loop {
            self.describe(&mut line);
            if line.is_empty() && running.tasks.is_empty() {
                break;
            }
            self.queue(&mut line);
            let Line { describing, taking, probing, .. } = &mut line;
            tokio::select! {
                biased;
                failure = interrupt.came(), if !is_stopped => {
                    is_stopped = true;
                    stop_sender.stop(failure.clone());
                    line.clear();
                    ended_by = Some(RunError::Stopped(failure));
                }
                Some(ended) = running.tasks.join_next_with_id() => {
                    if let Some(fault) = self.ended(ended, &mut running, work) {
                        self.met(fault, &mut line, &mut ended_by);
                    }
                }
                described = settled(describing) => {
                    line.describing = None;
                    if let Some(fault) = self.described(described, &mut line, work) {
                        self.met(fault, &mut line, &mut ended_by);
                    }
                }
                responded = settled(probing) => {
                    line.probing = None;
                    if let Err(fault) = responded.unwrap_or_else(|error| Err(panicked(&error))) {
                        line.clear();
                        ended_by.get_or_insert(RunError::Fault(fault));
                    }
                }
                slot = settled(taking) => {
                    line.taking = None;
                    self.start(slot, &mut line, &stop, &mut running, work);
                }
            }
        }
        ended_by.map_or(Ok(()), |error| Err(work.unfinished(error)))
    }

    /// Reacts to a fault that other objects may meet too. If it may also be the trouble of one object alone, a free
    /// request shows whether the org still responds before the next object spends its attempts.
    fn met(&self, fault: Fault, line: &mut Line, ended_by: &mut Option<RunError>) {
        if !fault.may_be_the_orgs() {
            line.clear();
            ended_by.get_or_insert(RunError::Fault(fault));
        } else if line.probing.is_none() && !line.is_empty() {
            let client = Arc::clone(self.client);
            line.probing = Some(tokio::spawn(async move { client.probe().await }));
        }
    }

    /// Asks for further descriptions in time.
    fn describe(&self, line: &mut Line) {
        let is_busy = line.describing.is_some() || line.probing.is_some();
        if is_busy || line.undescribed.is_empty() || line.described.len() > MIN_DESCRIBED {
            return;
        }
        let count = line.undescribed.len().min(composite::MAX_REQUESTS);
        let objects: Vec<Chosen> = line.undescribed.drain(..count).collect();
        let client = Arc::clone(self.client);
        line.describing = Some(tokio::spawn(async move {
            let names: Vec<_> = objects.iter().map(|chosen| chosen.name.as_str()).collect();
            let described = client.describe_objects(&names).await;
            objects.into_iter().zip(described).collect()
        }));
    }

    /// Asks for a slot if an object is ready for it.
    fn queue(&self, line: &mut Line) {
        if line.described.is_empty() || line.probing.is_some() {
            line.taking = None;
        } else if line.taking.is_none() {
            let (slots, org) = (self.edges.slots.clone(), self.run.org.name.clone());
            line.taking = Some(Box::pin(async move { slots.take(&org).await }));
        }
    }

    /// Takes in a batch of descriptions. Gives a fault that other objects may meet too.
    fn described(
        &self,
        described: Result<Vec<Described>, JoinError>,
        line: &mut Line,
        work: &mut Work,
    ) -> Option<Fault> {
        // A panic leaves its objects without a description, and the set without its manifest.
        let described = match described {
            Ok(described) => described,
            Err(error) => return Some(panicked(&error)),
        };
        let mut shared = None;
        for (chosen, described) in described {
            match described {
                Ok(description) => line.described.push_back((chosen, description)),
                Err(fault) if fault.is_about_the_org() => return Some(fault),
                Err(fault) => {
                    if fault.may_be_the_orgs() {
                        shared = Some(fault.clone());
                    }
                    let error = self.not_described(&chosen, fault);
                    blocking(|| self.run.failed(&chosen.name, error, self.edges, work));
                }
            }
        }
        shared
    }

    /// The failure of an object that the org lists and does not describe.
    fn not_described(&self, chosen: &Chosen, fault: Fault) -> RunError {
        let name = &chosen.name;
        if fault.code != Some(ErrorCode::NotFound) {
            return RunError::Fault(fault);
        }
        if self.earlier.has_exported(name) {
            return self.run.gone(name).into();
        }
        let username = &self.run.org.username;
        Failure::new(Exit::Query, format!("the org lists \"{name}\", but does not describe it to {username}"))
            .hint(self.hint_to_exclude(name))
            .into()
    }

    fn hint_to_exclude(&self, object: &ObjectName) -> String {
        format!("{} to do without it", self.run.exclusion_of(object))
    }

    /// Starts the export of the object that is next.
    fn start(&self, slot: Slot, line: &mut Line, stop: &Stop, running: &mut Running, work: &mut Work) {
        let Some((chosen, description)) = line.described.pop_front() else { return };
        let clock = &self.edges.clock;
        let id = RunId::new(clock.now(), clock.random());
        let client = Arc::new(self.client.for_object(id.clone()));
        let on_refusal = self.on_refusal(&chosen);
        let (set_id, time) = (self.run.id.clone(), self.time);
        let part = Part { client, set_id, description, time, on_refusal, is_reported_by_set: true };
        let mut run = match self.run.part(&chosen.name, id, part) {
            Ok(run) => run,
            Err(failure) => {
                blocking(|| self.run.failed(&chosen.name, failure.into(), self.edges, work));
                return;
            }
        };
        let (edges, stop, name) = (Arc::clone(self.edges), stop.clone(), chosen.name.clone());
        let export = async move {
            let outcome = carry_through(&mut run, &edges, &stop, None).await;
            let columns = outcome.columns.as_deref();
            let of_columns = |columns| files_of(&outcome.report, outcome.report.object.as_deref(), columns);
            let files = columns.map(of_columns).unwrap_or_default();
            let is_skipped = is_skipped(&run, &outcome.report, outcome.error.as_ref());
            Ended { chosen, outcome, is_skipped, files, slot }
        };
        let ended = match on_thread(export) {
            Ok(ended) => ended,
            Err(failure) => {
                blocking(|| self.run.failed(&name, failure.into(), self.edges, work));
                return;
            }
        };
        let task = running.tasks.spawn(ended);
        running.names.insert(task.id(), name);
    }

    /// What a refusal of the object's query means.
    fn on_refusal(&self, chosen: &Chosen) -> OnRefusal {
        let name = &chosen.name;
        let source = self.run.job.set().map(|set| set.source_of(name));
        // What the user wrote may be what the org refuses.
        if !source.is_some_and(|source| is_generated_alone(&source)) {
            return OnRefusal::Fail { hint: None };
        }
        if self.earlier.has_exported(name) {
            return OnRefusal::Fail { hint: Some(self.hint_to_exclude(name)) };
        }
        match chosen.named_exactly {
            true => OnRefusal::Fail { hint: None },
            false => OnRefusal::Skip,
        }
    }

    /// Counts an export that has ended. Gives a fault that other objects may meet too.
    fn ended(
        &self,
        ended: Result<(Id, Result<Ended, RecvError>), JoinError>,
        running: &mut Running,
        work: &mut Work,
    ) -> Option<Fault> {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, ended.ok()),
            Err(error) => (error.id(), None),
        };
        let name = running.names.remove(&id)?;
        let Some(Ended { chosen, outcome, is_skipped, files, slot: _slot }) = ended else {
            let what = "a bug in sfexport: the export panicked; the log has more";
            let error = Failure::new(Exit::General, what).into();
            blocking(|| self.run.failed(&name, error, self.edges, work));
            return None;
        };
        let Outcome { report, error, columns } = outcome;
        if let Some(columns) = columns {
            work.unused_rules.remove(columns.names());
        }
        match error {
            Some(RunError::Fault(fault)) if is_skipped => {
                let reason = reason(&fault);
                work.count(&report);
                let (job, object) = (&self.run.job.job_key(), chosen.name.as_str());
                tracing::info!(
                    job = %job.job(), org = %job.org(), object, run_id = %self.run.id, reason, "object skipped"
                );
                self.edges
                    .monitor
                    .notice(&self.run.id, &Event::ObjectSkipped { job, object, reason: &reason });
                work.skipped(object, reason);
                self.edges.monitor.notice(&self.run.id, &work.progress());
                None
            }
            // The set says why.
            Some(RunError::Stopped(_)) => {
                work.count(&report);
                None
            }
            error => {
                work.ended(&report, files);
                self.run.notice(&report, self.edges, work);
                match error {
                    Some(RunError::Fault(fault)) if fault.is_about_the_org() || fault.may_be_the_orgs() => {
                        Some(fault)
                    }
                    _ => None,
                }
            }
        }
    }
}

impl Line {
    fn new(objects: Vec<Chosen>) -> Self {
        let (undescribed, described) = (objects.into(), VecDeque::new());
        Self { undescribed, described, describing: None, taking: None, probing: None }
    }

    fn is_empty(&self) -> bool {
        self.undescribed.is_empty() && self.described.is_empty() && self.describing.is_none()
    }

    /// Forgets everything that has not begun.
    fn clear(&mut self) {
        self.undescribed.clear();
        self.described.clear();
        self.taking = None;
        if let Some(describing) = self.describing.take() {
            describing.abort();
        }
        if let Some(probing) = self.probing.take() {
            probing.abort();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Does the work on a separate thread. On the runtime's threads, each wait for a disk would start another thread to take
/// over the network, and each thread has its own memory: a third of a set's peak.
///
/// # Errors
/// [`Exit::TryLater`] if the system has no thread to give.
fn on_thread<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<oneshot::Receiver<T>, Failure> {
    let (done, ended) = oneshot::channel();
    let runtime = Handle::current();
    threads::spawn("object", move || {
        // The set may have ended.
        let _ = done.send(runtime.block_on(work));
    })?;
    Ok(ended)
}

/// The fault of a task that panicked.
fn panicked(error: &JoinError) -> Fault {
    Fault::new(FaultKind::InvalidResponse, format!("a bug in sfexport: {error}"))
}

/// What a future gives, if there is one; otherwise it never comes.
async fn settled<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

/// What became of the objects of a set so far.
pub(super) struct Work {
    /// How many objects the set has.
    of: usize,
    carried_over: Vec<CarriedOver>,
    skipped: Vec<SkippedObject>,
    failed: Vec<FailedObject>,
    exported: u64,
    files: Vec<ManifestFile>,
    /// What earlier attempts exported.
    settled: HashSet<String>,
    /// What to do about the object that failed last.
    hint: Option<String>,
    /// The rules for columns that no exported object has.
    unused_rules: UnusedRules,
    counts: Counts,
}

/// The sums over all exports.
#[derive(Default)]
struct Counts {
    records: u64,
    bytes: u64,
    raw_bytes: Option<u64>,
    pages: u64,
    api_calls: u64,
    logins: u64,
    retries: u64,
    restarts: u64,
    deleted_meanwhile: u64,
}

impl Work {
    pub(super) fn new(of: usize, carried_over: Vec<CarriedOver>, rules: &ColumnRules) -> Self {
        let settled = carried_over.iter().map(|carried| carried.object.clone()).collect();
        let mut unused_rules = UnusedRules::of(rules);
        carried_over.iter().for_each(|carried| unused_rules.remove(&carried.columns));
        Self {
            of,
            carried_over,
            skipped: Vec::new(),
            failed: Vec::new(),
            exported: 0,
            files: Vec::new(),
            settled,
            hint: None,
            unused_rules,
            counts: Counts::default(),
        }
    }

    /// Whether an earlier attempt has exported the object.
    pub(super) fn is_settled(&self, object: &ObjectName) -> bool {
        self.settled.contains(object.as_str())
    }

    /// Counts an object that was exported or failed, with its files.
    pub(super) fn ended(&mut self, report: &RunReport, files: Vec<ManifestFile>) {
        self.count(report);
        if report.error.is_none() {
            self.exported += 1;
            self.counts.records += report.records;
            self.counts.bytes += report.bytes;
            if let Some(raw_bytes) = report.raw_bytes {
                *self.counts.raw_bytes.get_or_insert(0) += raw_bytes;
            }
            self.counts.deleted_meanwhile += report.deleted_meanwhile;
            self.files.extend(files);
            return;
        }
        self.hint.clone_from(&report.hint);
        self.failed.push(FailedObject {
            object: report.object.clone().unwrap_or_default(),
            exit_status: report.exit_status,
            error: report.error_for_others().map(str::to_owned),
        });
    }

    fn skipped(&mut self, object: &str, reason: String) {
        self.skipped.push(SkippedObject { object: object.to_owned(), reason });
    }

    fn count(&mut self, report: &RunReport) {
        self.counts.pages += report.pages;
        self.counts.api_calls += report.api_calls;
        self.counts.logins += report.logins;
        self.counts.retries += report.retries;
        self.counts.restarts += report.restarts;
    }

    /// Whether nothing was published, because nothing had changed.
    pub(super) fn has_no_files(&self) -> bool {
        self.files.is_empty() && self.carried_over.iter().all(|carried| carried.files.is_empty())
    }

    /// Whether no object was exported.
    pub(super) fn is_empty(&self) -> bool {
        self.exported == 0 && self.carried_over.is_empty()
    }

    fn done(&self) -> usize {
        let exported = usize::try_from(self.exported).unwrap_or(usize::MAX);
        exported + self.carried_over.len() + self.skipped.len() + self.failed.len()
    }

    pub(super) fn progress(&self) -> Event<'static> {
        let Counts { records, bytes, .. } = self.counts;
        Event::Objects { done: self.done(), of: self.of, records, bytes }
    }

    /// The error of a set that ended before its end.
    fn unfinished(&self, error: RunError) -> RunError {
        let not_done = self.of - self.done().min(self.of) + self.failed.len();
        let more = format!("; {not_done} of {} objects are not exported", self.of);
        let add = |failure: Failure| Failure {
            what: format!("{}{more}", failure.what),
            redacted: failure.redacted.map(|redacted| format!("{redacted}{more}")),
            ..failure
        };
        match error {
            RunError::Stopped(failure) => RunError::Stopped(add(failure)),
            other => RunError::Failed(add(other.into_failure())),
        }
    }

    pub(super) fn failed(&self) -> &[FailedObject] {
        &self.failed
    }

    /// The rules for columns that no exported object has.
    pub(super) fn unused_rules(&self) -> &UnusedRules {
        &self.unused_rules
    }

    /// What to do about the object that failed last.
    pub(super) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Writes what became of the objects into the set's report, with what its own client counted.
    pub(super) fn report(&mut self, client: &OrgClient, report: &mut RunReport) {
        client.report(report);
        let Counts {
            records,
            bytes,
            raw_bytes,
            pages,
            api_calls,
            logins,
            retries,
            restarts,
            deleted_meanwhile,
        } = self.counts;
        report.records = records;
        report.bytes = bytes;
        report.raw_bytes = raw_bytes;
        report.pages = pages;
        report.api_calls += api_calls;
        report.logins += logins;
        report.retries += retries;
        report.restarts = restarts;
        report.deleted_meanwhile = deleted_meanwhile;
        self.skipped.sort_by(|a, b| a.object.cmp(&b.object));
        self.failed.sort_by(|a, b| a.object.cmp(&b.object));
        let carried_over = self.carried_over.len() as u64;
        report.set = Some(SetSummary {
            exported: self.exported,
            carried_over,
            skipped: self.skipped.clone(),
            failed: self.failed.clone(),
            not_tried: self.of.saturating_sub(self.done()) as u64,
            manifest: None,
        });
    }

    /// The manifest of a set whose objects are all exported or skipped; its paths are absolute.
    pub(super) fn into_manifest(
        self,
        report: &RunReport,
        org_id: Option<String>,
        ended: Timestamp,
    ) -> Manifest {
        let mut files = self.files;
        files.extend(self.carried_over.into_iter().flat_map(|carried| carried.files));
        files.sort_by_cached_key(|file| {
            file.object.as_deref().map(|object| (object.to_ascii_lowercase(), object.to_owned()))
        });
        of_run(report, org_id, files, self.skipped, ended)
    }
}
