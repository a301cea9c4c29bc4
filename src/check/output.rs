//! The step that says where a run that begins now would write, and whether it can.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

use super::{Check, Name, Outcome, Step};
use crate::error::{Exit, Failure};
use crate::export;
use crate::job::output_path::Fields;
use crate::job::{Deletes, ExportKind, IfExists, Incremental, Job};
use crate::output::{Caution, Output};
use crate::report::RunId;

/// What decides the path of an incremental export: whether it is full or one of changes, and the new mark.
pub(super) type Window = (ExportKind, Timestamp);

/// What an incremental run that begins now would export.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub(super) window: Window,
    /// How it would report deleted records.
    pub(super) deletes: Deletes,
}

impl Planned {
    /// The plan for a run of this kind, where neither the mark nor the org's clock is known.
    fn provisional(kind: ExportKind, settings: &Incremental, now: Timestamp) -> Self {
        Self { window: (kind, export::provisional_mark(settings, now)), deletes: settings.deletes }
    }
}

/// The files that a run may write, the main one first.
struct Group {
    outputs: Vec<Output>,
    window: Option<Window>,
    id: RunId,
}

impl Check<'_> {
    /// Whether the export can be written: creates and removes the files that a run creates first. For an incremental job
    /// whose next run is not known, both kinds of runs are checked.
    pub(super) fn output(&self, job: &Job, planned: Option<Planned>) -> Step {
        let now = self.edges.clock.now();
        let both = [ExportKind::Full, ExportKind::Changes];
        let plans = match (&job.incremental, planned) {
            (None, _) => vec![None],
            (Some(_), Some(planned)) => vec![Some(planned)],
            (Some(settings), None) => {
                both.map(|kind| Some(Planned::provisional(kind, settings, now))).to_vec()
            }
        };
        let groups = plans.into_iter().map(|planned| self.group(job, planned)).collect::<Result<Vec<_>, _>>();
        match groups.and_then(|groups| self.written(job, &groups)) {
            Ok(step) => step,
            Err(failure) => Step::failed(Name::Output, failure),
        }
    }

    fn group(&self, job: &Job, planned: Option<Planned>) -> Result<Group, Failure> {
        let window = planned.map(|planned| planned.window);
        let (path, id) = self.path(job, window)?;
        let mut parts = job.child_files();
        if planned.is_some_and(|planned| planned.deletes == Deletes::Ids) {
            parts.push(export::DELETES_PART.to_owned());
        }
        Ok(Group { outputs: Output::of_job(job, &path)?.group(&parts)?, window, id })
    }

    fn written(&self, job: &Job, groups: &[Group]) -> Result<Step, Failure> {
        let is_incremental = job.incremental.is_some();
        // A file in the way of either kind is what there is to say.
        let existing = |group: &&Group| is_incremental && group.outputs.iter().any(Output::exists);
        let shown = groups.iter().find(existing).or(groups.first());
        let Some((shown, main)) = shown.and_then(|group| Some((group, group.outputs.first()?))) else {
            return Ok(Step::skipped(Name::Output, "there is none"));
        };
        let location = main.location().to_string();
        let kind = shown.window.map(|(kind, _)| kind);
        let run = match kind.filter(|_| groups.len() > 1) {
            None => "run",
            Some(ExportKind::Full) => "full run",
            Some(ExportKind::Changes) => "run of changes",
        };
        if let Some(there) = shown.outputs.iter().find(|output| is_incremental && output.exists()) {
            let Failure { what, hint, .. } = export::already_there(there);
            let what = format!("{what}, so a {run} now would end with status 75");
            let step = Step { hint, ..Step::new(Name::Output, Outcome::Warned, what) };
            return Ok(facts(step, location, kind, true));
        }
        for Group { outputs, window, id } in groups {
            outputs.iter().try_for_each(|output| output.probe(id))?;
            self.manifest(job, *window)
                .map_err(|failure| failure.context("the manifest could not be written"))?;
        }
        let exists = main.exists();
        let fate = match (exists, job.if_exists) {
            (true, IfExists::Replace) => "exists and will be replaced".to_owned(),
            (true, IfExists::Fail) => "exists".to_owned(),
            (false, _) if groups.len() > 1 => format!("can be written by a {run}"),
            (false, _) => "can be written".to_owned(),
        };
        let step = match shown.outputs.iter().find_map(Output::caution) {
            Some(Caution { what, hint }) => Step::warned(Name::Output, what, hint),
            None => Step::passed(Name::Output, format!("{location} {fate}")),
        };
        Ok(facts(step, location, kind, exists))
    }

    /// The failure of a job whose output is now the file of another one, which a link or a date in its path can make it.
    /// `outputs` are those of the jobs before. Sets and incremental jobs, which replace no file, are left out.
    pub(super) fn shared_output<'j>(
        &self,
        job: &'j Job,
        outputs: &mut BTreeMap<PathBuf, &'j Job>,
    ) -> Option<Failure> {
        if job.set().is_some() || job.incremental.is_some() {
            return None;
        }
        let (path, _) = self.path(job, None).ok()?;
        let resolved = match job.follow_links {
            true => path.canonicalize().ok(),
            false => {
                let directory = path.parent().and_then(|parent| parent.canonicalize().ok());
                directory.zip(path.file_name()).map(|(directory, name)| directory.join(name))
            }
        };
        let resolved = resolved.unwrap_or(path);
        let file = resolved.display().to_string();
        let other = outputs.insert(resolved, job)?;
        let what = format!("{file} is also the output of {}", other.name);
        let hint = "give each job a separate output, as in \"{job}.csv\"";
        Some(Failure::new(Exit::Configuration, what).hint(hint))
    }

    /// The path of a run that begins now, and the run's id. `window` is that of an incremental run.
    pub(super) fn path(&self, job: &Job, window: Option<Window>) -> Result<(PathBuf, RunId), Failure> {
        self.filled_in(job, window, |fields| {
            job.output.expand(fields).map_err(|error| {
                Failure::new(Exit::Configuration, format!("output {:?} {error}", job.output.text()))
            })
        })
    }

    /// Whether the manifest can be written.
    pub(super) fn manifest(&self, job: &Job, window: Option<Window>) -> Result<(), Failure> {
        let (path, id) = self.filled_in(job, window, |fields| {
            job.manifest_path(fields)
                .map_err(|error| Failure::new(Exit::Configuration, format!("the manifest's path {error}")))
        })?;
        let job = Job { if_exists: IfExists::Replace, ..job.clone() };
        path.map_or(Ok(()), |path| Output::of_job(&job, &path)?.probe(&id))
    }

    /// What `fill` makes of the template fields of a run that begins now, and the run's id.
    fn filled_in<T>(
        &self,
        job: &Job,
        window: Option<Window>,
        fill: impl FnOnce(&Fields<'_>) -> Result<T, Failure>,
    ) -> Result<(T, RunId), Failure> {
        let now = self.edges.clock.now();
        let id = RunId::new(now, self.edges.clock.random());
        let provisional = |settings| Planned::provisional(ExportKind::Full, settings, now).window;
        let fields = Fields {
            job: &job.name,
            org: &job.org,
            run_id: id.as_str(),
            timestamp: now,
            timezone: &job.timezone,
            window: window.or(job.incremental.as_ref().map(provisional)),
        };
        let filled_in = fill(&fields)?;
        Ok((filled_in, id))
    }
}

fn facts(step: Step, path: String, kind: Option<ExportKind>, exists: bool) -> Step {
    let step = step.fact("path", path).fact("exists", exists);
    match kind {
        Some(kind) => step.fact("kind", kind.as_str()),
        None => step,
    }
}
