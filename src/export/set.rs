//! One run of a set: one login, one list of the org's objects, their descriptions in batches, and one export for each
//! object, as many side by side as there are slots. `earlier` knows what other runs did, and `refusal` decides which
//! refusals a set does without.

mod earlier;
mod refusal;
mod side_by_side;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::after::{self, Commands};
use super::error::RunError;
use super::incremental::clock_warning;
use super::locks::{OutputLocks, lock_job};
use super::run::{Interrupt, ask_for_usage};
use super::task::Start;
use super::{
    Edges, Extent, OnRefusal, Outcome, Part, Run, blocking, end, log_summary, manifest, not_noted,
    output_path, record, recovery,
};
use crate::client::{OrgClient, OrgTime};
use crate::clock::{Clock, log_seconds};
use crate::error::{Exit, Failure};
use crate::human;
use crate::job::output_path::{Fields, collision};
use crate::job::{EmptyRuns, Inclusion, Incremental, Job, ObjectName, ObjectSet, Selection};
use crate::key;
use crate::monitor::Event;
use crate::org::Org;
use crate::output::Output;
use crate::report::{FailedObject, RunId, RunReport};
use crate::salesforce::describe::ObjectSummary;
use crate::salesforce::fault::{ErrorCode, Fault};
use crate::state::JobLock;
use crate::stop::Stop;

use earlier::Earlier;
use side_by_side::{SideBySide, Work};

pub(super) use refusal::{is_skipped, with_hint};

/// How many names of objects a message shows.
const MAX_NAMES: usize = 5;

/// A run of a set, or of one object of it.
pub struct SetRun {
    job: Arc<Job>,
    org: Arc<Org>,
    pub(super) id: RunId,
    start: Start,
    /// The timestamp that the dates in all paths show.
    timestamp: Timestamp,
}

/// What a run of a set is to export.
struct Selected {
    selection: Selection,
    /// The objects that were exported before and that the org no longer offers.
    holes: Vec<ObjectName>,
    earlier: Earlier,
    /// Where the manifest goes.
    manifest: Option<PathBuf>,
    /// The org's clock before the first query, if the set is incremental.
    time: Option<OrgTime>,
}

impl SetRun {
    /// A run that begins now.
    pub(super) fn begun(job: &Arc<Job>, org: &Arc<Org>, clock: &dyn Clock, start: Start) -> Self {
        let now = clock.now();
        let timestamp = start.at.unwrap_or(now);
        let id = RunId::new(now, clock.random());
        Self { job: Arc::clone(job), org: Arc::clone(org), id, start, timestamp }
    }

    /// Does the run and reports what it did. When it returns, each output is whole or as it was.
    pub(super) async fn carry_out(&self, edges: &Arc<Edges>, stop: &Stop) -> Outcome {
        let (clock, job) = (&edges.clock, &self.job);
        let begun = clock.elapsed();
        let mut report =
            RunReport::begun(job.name.as_str(), self.org.name.as_str(), self.id.clone(), clock.now());
        report.scheduled = self.start.at;
        report.format = Some(job.format.as_str().to_owned());
        // The export of one object reports for itself once it is known.
        let only = self.start.object.as_ref();
        report.object = only.map(ToString::to_string);
        report.settings = Some(job.digest());
        let locked = blocking(|| self.lock(edges, &mut report));
        if locked.is_ok()
            && let Some(once) = &self.start.once
            && let Some(exported) = blocking(|| once.exported(job, clock.now()))
        {
            return Outcome::skipped(exported, report.warnings);
        }
        // If another process exports the same occurrence, its end is the one to hear of.
        let is_heard = only.is_none()
            && (self.start.once.is_none() || !matches!(locked, Err(RunError::AlreadyRunning(_))));
        if is_heard {
            edges.monitor.notice(&self.id, &Event::Began { job: &job.key() });
        }
        let (lock, ended) = match locked {
            Ok(lock) => {
                let ended = match only {
                    Some(object) => match self.one(object, edges, stop).await {
                        Ok(outcome) => return outcome,
                        Err(error) => Err(error),
                    },
                    None => self.with_commands(edges, stop, lock.as_ref(), &mut report).await,
                };
                (lock, ended)
            }
            Err(error) => (None, Err(error)),
        };
        report.ended = clock.now();
        end(&mut report, ended.as_ref().err());
        if let (Some(state), Some(lock)) = (&edges.state, &lock)
            && !matches!(ended, Err(RunError::PartlyPublished(_)))
            && let Err(error) = blocking(|| recovery::forget(state, lock))
        {
            not_noted(&mut report, error.into());
        }
        let error = ended.err();
        if self.start.extent == Extent::Whole {
            blocking(|| record(&mut report, edges, error.as_ref()));
        }
        drop(lock);
        log_summary(&report, log_seconds(clock.elapsed().saturating_sub(begun)));
        if is_heard {
            edges.monitor.notice(&self.id, &Event::Ended { report: &report });
        }
        Outcome { report, error, columns: None }
    }

    /// Exports all objects, unless an earlier attempt did and only its command is left, and runs the command.
    async fn with_commands(
        &self,
        edges: &Arc<Edges>,
        stop: &Stop,
        lock: Option<&JobLock>,
        report: &mut RunReport,
    ) -> Result<(), RunError> {
        if self.start.extent == Extent::Login {
            return self.all(edges, stop, lock, report).await;
        }
        let commands = Commands {
            job: &self.job,
            resumes: self.start.resumes,
            remembered: edges.state.as_ref().zip(lock),
            clock: edges.clock.as_ref(),
            stop,
        };
        commands.around(report, async |report| self.all(edges, stop, lock, report).await).await
    }

    /// Locks the job as a whole, and finishes what an earlier run left of its manifest.
    fn lock(&self, edges: &Edges, report: &mut RunReport) -> Result<Option<JobLock>, RunError> {
        let Some(state) = &edges.state else { return Ok(None) };
        let lock = lock_job(state, &self.job)?;
        recovery::recover(state, &lock, &mut OutputLocks::default(), &mut report.warnings)?;
        Ok(Some(lock))
    }

    fn client(&self, edges: &Arc<Edges>, run: RunId) -> Result<OrgClient, RunError> {
        let key = blocking(|| key::load(&self.org))?;
        let client = OrgClient::new(Arc::clone(&self.org), Arc::new(key), Arc::clone(edges), Some(run));
        Ok(client.for_job(self.job.name.clone()))
    }

    /// Exports one object of the set, under the lock of the whole.
    async fn one(&self, object: &ObjectName, edges: &Arc<Edges>, stop: &Stop) -> Result<Outcome, RunError> {
        let client = Arc::new(self.client(edges, self.id.clone())?);
        let mut interrupt = Interrupt::of(stop, edges, self.job.timeout);
        let described: Result<_, RunError> = interrupt
            .unless(async {
                if self.start.extent == Extent::Whole {
                    client.ask_for_usage().await;
                }
                client.describe_object(object.as_str()).await
            })
            .await;
        let description = match described {
            Err(RunError::Fault(fault)) if fault.code == Some(ErrorCode::NotFound) => {
                let place = self.job.query_origin.as_ref().map(ToString::to_string);
                return Err(super::unknown_object(&client, object.as_str(), place.as_deref()).await.into());
            }
            described => described?.of_fields(),
        };
        let listed: Result<_, RunError> = interrupt.unless(client.objects()).await;
        let selection = self.set()?.select(listed?.iter().map(ObjectSummary::facts));
        if let Some(left_out) =
            selection.left_out.iter().find(|left_out| left_out.name.eq_ignore_ascii_case(object.as_str()))
        {
            let what = format!("patterns leave out \"{}\": {}", left_out.name, left_out.reason.as_str());
            return Err(Failure::new(Exit::Query, what)
                .hint(format!("add \"{}\" to `objects` in {}", left_out.name, self.place()))
                .into());
        }
        let slot: Result<_, RunError> =
            interrupt.unless(async { Ok::<_, Failure>(edges.slots.take(&self.org.name).await) }).await;
        let _slot = slot?;
        // In the org's spelling, like all paths and notes.
        let name = ObjectName::parse(&description.name).unwrap_or_else(|_| object.clone());
        let on_refusal = OnRefusal::Fail { hint: None };
        let set_id = self.id.clone();
        let part = Part { client, set_id, description, time: None, on_refusal, is_reported_by_set: false };
        let mut run = self.part(&name, self.id.clone(), part)?;
        run.extent = self.start.extent;
        Ok(super::carry_through(&mut run, edges, stop, None).await)
    }

    /// Exports all objects of the set.
    async fn all(
        &self,
        edges: &Arc<Edges>,
        stop: &Stop,
        lock: Option<&JobLock>,
        report: &mut RunReport,
    ) -> Result<(), RunError> {
        let client = Arc::new(self.client(edges, self.id.clone())?);
        let mut interrupt = Interrupt::of(stop, edges, self.job.timeout);
        let selected = self.select(edges, &client, &mut interrupt, report).await;
        client.report(report);
        let Selected { selection, holes, earlier, manifest, time } = selected?;
        if self.start.extent == Extent::Login {
            if let Some(failure) = self.first_failure(&holes, &selection.missing) {
                return Err(failure.into());
            }
            self.check_outputs(&selection)?;
            report.path = manifest.map(|path| path.display().to_string());
            return Ok(());
        }
        let of = selection.chosen.len() + holes.len() + selection.missing.len();
        let carried_over = earlier.exported_objects(selection.chosen.iter().map(|chosen| &chosen.name));
        let mut work = Work::new(of, carried_over, &self.job.shape.columns);
        let gone = holes.iter().map(|name| (name, self.gone(name)));
        for (name, failure) in gone.chain(selection.missing.iter().map(|name| (name, self.missing(name)))) {
            blocking(|| self.failed(name, failure.into(), edges, &mut work));
        }
        let left = selection.chosen.into_iter().filter(|chosen| !work.is_settled(&chosen.name)).collect();
        let side_by_side = SideBySide { run: self, edges, client: &client, earlier: &earlier, time };
        let ended = side_by_side.export(left, &mut work, &mut interrupt).await;
        work.report(&client, report);
        report.warnings.extend(client.unguarded_reserve());
        ended?;
        if !work.failed().is_empty() {
            return Err(self.failure(work.failed(), of, work.hint()).into());
        }
        if work.is_empty() {
            let what = "the org refuses to export any of the objects";
            return Err(Failure::new(Exit::Query, what)
                .hint(format!("give {} read access to the objects, or correct `objects`", self.org.username))
                .into());
        }
        let unused = work.unused_rules().iter().map(|(rule, name)| {
            let table = rule.table();
            format!("no exported object has a column \"{name}\"; correct or remove it in [{table}]")
        });
        report.warnings.extend(unused);
        let Some(path) = manifest else { return Ok(()) };
        let skips_empty = |settings: &Incremental| settings.empty == EmptyRuns::Skip;
        if self.job.incremental.as_ref().is_some_and(skips_empty) && work.has_no_files() {
            return Ok(());
        }
        let org_id = client.organization_id().await;
        let manifest = work.into_manifest(report, org_id, edges.clock.now());
        let remembered = edges.state.as_ref().zip(lock);
        let after = self.job.after.as_ref().map(|_| {
            let mut told = after::succeeded(report, edges.clock.now());
            told.path = Some(path.display().to_string());
            if let Some(set) = &mut told.set {
                set.manifest.clone_from(&told.path);
            }
            told
        });
        let published = manifest::write(&self.job, &self.id, &path, manifest, remembered, after).await?;
        report.path = Some(published.location.to_string());
        report.warnings.extend(published.warnings);
        if let Some(set) = &mut report.set {
            set.manifest.clone_from(&report.path);
        }
        Ok(())
    }

    /// Logs in, asks for the org's objects, and finds out what would fail before the first of them is exported.
    async fn select(
        &self,
        edges: &Edges,
        client: &OrgClient,
        interrupt: &mut Interrupt<'_>,
        report: &mut RunReport,
    ) -> Result<Selected, RunError> {
        let set = self.set()?;
        let logged_in: Result<_, RunError> =
            interrupt.unless(async { client.session().await.map_err(Fault::from) }).await;
        logged_in?;
        client.notice(&Event::LoggedIn);
        if self.start.extent == Extent::Whole {
            ask_for_usage(client, interrupt).await?;
        }
        let time = match self.job.incremental {
            Some(_) => {
                let time: Result<_, RunError> = interrupt.unless(client.org_time()).await;
                Some(time?)
            }
            None => None,
        };
        report.warnings.extend(time.and_then(clock_warning));
        let listed: Result<_, RunError> = interrupt.unless(client.objects()).await;
        let selection = set.select(listed?.iter().map(ObjectSummary::facts));
        let manifest = self.manifest_path()?;
        let mut earlier = blocking(|| Earlier::look(self, edges))?;
        let verifying = async {
            earlier.verify().await;
            Ok::<_, Failure>(())
        };
        interrupt.unless::<_, _, RunError>(verifying).await?;
        let holes = holes(set, &selection, earlier.remembered());
        self.check(&selection, manifest.as_ref(), report)?;
        if selection.chosen.is_empty() && holes.is_empty() && selection.missing.is_empty() {
            let what = format!("the org has no object that objects = \"{set}\" selects");
            return Err(Failure::new(Exit::Query, what)
                .hint("list the org's objects with `sfexport objects`, and correct `objects`")
                .into());
        }
        Ok(Selected { selection, holes, earlier, manifest, time })
    }

    fn set(&self) -> Result<&ObjectSet, Failure> {
        self.job.set().ok_or_else(|| super::bug("a set without objects"))
    }

    /// The path of the manifest.
    fn manifest_path(&self) -> Result<Option<PathBuf>, Failure> {
        self.job.manifest_path(&self.fields()).map_err(|error| {
            Failure::new(Exit::Configuration, format!("{}: the manifest's path {error}", self.job.name))
        })
    }

    /// The fields of all its paths.
    fn fields(&self) -> Fields<'_> {
        let window = super::provisional_window(&self.job, self.timestamp);
        super::fields(&self.job, &self.id, self.timestamp, window)
    }

    /// The job of one object. The timeout is the set's.
    fn job_of(&self, object: &ObjectName) -> Result<Job, Failure> {
        let job = self.job.of_object(object).ok_or_else(|| super::bug("a set without objects"))?;
        Ok(Job { timeout: job.timeout.filter(|_| self.start.object.is_some()), ..job })
    }

    fn part(&self, object: &ObjectName, id: RunId, part: Part) -> Result<Run, Failure> {
        let job = Arc::new(self.job_of(object)?);
        let output = Output::of_job(&job, &output_path(&job, &self.fields())?)?;
        let (org, scheduled) = (Arc::clone(&self.org), self.start.at);
        let (wants_full, timestamp) = (self.start.wants_full, self.timestamp);
        let (extent, resumes, part) = (Extent::Whole, false, Some(part));
        Ok(Run { job, org, id, scheduled, output, extent, resumes, wants_full, timestamp, part })
    }

    /// Finds out what would let files overwrite each other, and warns of patterns that select nothing.
    fn check(
        &self,
        selection: &Selection,
        manifest: Option<&PathBuf>,
        report: &mut RunReport,
    ) -> Result<(), Failure> {
        report.warnings.extend(
            selection.unmatched.iter().map(|pattern| format!("no object of the org matches \"{pattern}\"")),
        );
        let outputs: Result<Vec<PathBuf>, Failure> = selection
            .chosen
            .iter()
            .map(|chosen| output_path(&self.job_of(&chosen.name)?, &self.fields()))
            .collect();
        let outputs = outputs?;
        if let Some((first, second)) = collision(outputs.iter().chain(manifest).map(PathBuf::as_path)) {
            let what = format!(
                "\"{}\" and \"{}\" are one file where names do not differ by case alone",
                first.display(),
                second.display()
            );
            return Err(Failure::new(Exit::Configuration, what).hint(
                "exclude one of the two objects by \"!Name\" in `objects`, or change `output` or `manifest`",
            ));
        }
        Ok(())
    }

    /// For a dry run: whether each object's output could be written.
    fn check_outputs(&self, selection: &Selection) -> Result<(), Failure> {
        blocking(|| {
            selection.chosen.iter().try_for_each(|chosen| {
                let job = self.job_of(&chosen.name)?;
                Output::of_job(&job, &output_path(&job, &self.fields())?)?.check()
            })
        })
    }

    /// Reports that an object failed before its export began.
    fn failed(&self, object: &ObjectName, error: RunError, edges: &Edges, work: &mut Work) {
        let mut report = super::not_started(&self.job.job_key(), self.start.at, &error, edges.clock.as_ref());
        report.object = Some(object.to_string());
        report.format = Some(self.job.format.as_str().to_owned());
        record(&mut report, edges, Some(&error));
        work.ended(&report, Vec::new());
        self.notice(&report, edges, work);
    }

    /// Tells the monitor of an object's end.
    fn notice(&self, report: &RunReport, edges: &Edges, work: &Work) {
        edges.monitor.notice(&self.id, &Event::ObjectEnded { report });
        edges.monitor.notice(&self.id, &work.progress());
    }

    fn gone(&self, object: &ObjectName) -> Failure {
        gone(&self.job, object, &self.org.username)
    }

    /// The failure of an object that the list names and the org does not have.
    fn missing(&self, object: &ObjectName) -> Failure {
        let username = &self.org.username;
        Failure::new(Exit::Query, format!("the org has no object \"{object}\" that {username} may read")).hint(
            format!(
                "correct or remove \"{object}\" in `objects` in {}, or give {username} read access to it (object \
                 permissions)",
                self.place()
            ),
        )
    }

    fn exclusion_of(&self, object: &ObjectName) -> String {
        exclusion_of(&self.job, object)
    }

    fn first_failure(&self, holes: &[ObjectName], missing: &[ObjectName]) -> Option<Failure> {
        let gone = holes.first().map(|object| self.gone(object));
        gone.or_else(|| missing.first().map(|object| self.missing(object)))
    }

    fn place(&self) -> String {
        place(&self.job)
    }

    /// The failure of a set with objects that failed.
    fn failure(&self, failed: &[FailedObject], of: usize, hint: Option<&str>) -> Failure {
        let what = match failed {
            [one] => {
                let why = one.error.as_deref().unwrap_or_default();
                format!("1 of {of} objects failed: {}: {why}", one.object)
            }
            many => {
                let names = human::list(many.iter().map(|failed| &failed.object), MAX_NAMES);
                format!("{} of {of} objects failed: {names}", many.len())
            }
        };
        let failure = Failure::new(exit_of(failed), what);
        match (failed, hint) {
            ([_], Some(hint)) => failure.hint(hint),
            ([_], None) => failure,
            _ => failure.hint(format!(
                "look up each object's error with `sfexport history {} --object '*' --limit 0`",
                self.job.job_key().arguments()
            )),
        }
    }
}

/// The failure of an object that was exported before and that the org no longer has.
pub(crate) fn gone(job: &Job, object: &ObjectName, username: &str) -> Failure {
    Failure::new(
        Exit::Query,
        format!(
            "the org no longer has an object \"{object}\" that {username} may query; it was exported before"
        ),
    )
    .hint(format!("give {username} read access to it, or {} to do without it", exclusion_of(job, object)))
}

/// How to take an object out of a set.
fn exclusion_of(job: &Job, object: &ObjectName) -> String {
    let inclusion = job.set().and_then(|set| set.includes(object.as_str()));
    let place = place(job);
    match inclusion {
        Some(Inclusion::ByName) => format!("remove \"{object}\" from `objects` in {place}"),
        _ => format!("add \"!{object}\" to `objects` in {place}"),
    }
}

/// Where the job's objects are written.
fn place(job: &Job) -> String {
    match &job.query_origin {
        Some(origin) => origin.to_string(),
        None => format!("{}.toml", job.name),
    }
}

/// The exit status of a set. A retry exports only what failed.
fn exit_of(failed: &[FailedObject]) -> Exit {
    Exit::of_repeatable(failed.iter().map(|failed| Exit::from_code(failed.exit_status)))
}

/// The objects that were exported before, that the list still selects, and that the org no longer offers.
pub(crate) fn holes<'r>(
    set: &ObjectSet,
    selection: &Selection,
    remembered: impl Iterator<Item = &'r ObjectName>,
) -> Vec<ObjectName> {
    let chosen: HashSet<String> =
        selection.chosen.iter().map(|chosen| chosen.name.as_str().to_ascii_lowercase()).collect();
    let mut holes: Vec<_> = remembered
        .filter(|name| set.includes(name.as_str()).is_some())
        .filter(|name| !chosen.contains(&name.as_str().to_ascii_lowercase()))
        // A name in the list that the org lacks fails all the same.
        .filter(|name| {
            !selection.missing.iter().any(|missing| missing.as_str().eq_ignore_ascii_case(name.as_str()))
        })
        .cloned()
        .collect();
    holes.sort();
    holes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_worth_a_retry_if_one_object_is() {
        let exit = |statuses: &[u8]| {
            let failed = statuses.iter().map(|exit_status| FailedObject {
                object: "A".to_owned(),
                exit_status: *exit_status,
                error: None,
            });
            exit_of(&failed.collect::<Vec<_>>()).code()
        };
        assert_eq!(exit(&[]), 0);
        assert_eq!(exit(&[65]), 65);
        assert_eq!(exit(&[69, 69]), 69);
        assert_eq!(exit(&[69, 74]), 75);
        assert_eq!(exit(&[65, 69, 73]), 75);
        assert_eq!(exit(&[65, 73]), 1);
    }
}
