//! A run of any job: a single export, a set of objects, or one object of a set. Exports wait for a slot here.

use std::sync::Arc;

use jiff::Timestamp;

use super::once::{Once, skipped};
use super::set::SetRun;
use super::{Edges, Extent, Outcome, Run, blocking, carry_through};
use crate::clock::Clock;
use crate::error::{Exit, Failure};
use crate::job::{Job, ObjectName};
use crate::org::Org;
use crate::report::{RunId, RunReport};
use crate::stop::Stop;

/// How a job is started.
#[derive(Debug, Clone)]
pub struct Start {
    /// The occurrence that the run is for: the dates of outputs show it, and the report calls it scheduled. `None`: a run
    /// by hand.
    pub at: Option<Timestamp>,
    /// How far it goes.
    pub extent: Extent,
    /// Whether incremental jobs export everything.
    pub wants_full: bool,
    /// Only this object of a set.
    pub object: Option<ObjectName>,
    /// Whether what an earlier attempt of the same occurrence exported is left as it is: objects of a set, and an export
    /// whose command failed.
    pub resumes: bool,
    /// What earlier attempts of the occurrence exported, if all of it is left as it is.
    pub once: Option<Arc<Once>>,
}

impl Start {
    /// The report of the attempt that exported the job before, if it is to be left as it is.
    pub(crate) fn exported(&self, job: &Job, clock: &dyn Clock) -> Option<RunReport> {
        let once = self.once.as_ref()?;
        blocking(|| once.exported(job, clock.now())).map(|exported| skipped(exported, Vec::new()))
    }
}

/// A run of a job.
pub enum Task {
    /// One export, unless an earlier attempt did it.
    Single(Box<Run>, Option<Arc<Once>>),
    /// A set of objects, or one object of it.
    Set(Box<SetRun>),
}

impl Task {
    /// A run of this job, begun now.
    ///
    /// # Errors
    /// [`Exit::Configuration`] if the output's path cannot be determined, [`Exit::Output`] if it does not name a file;
    /// [`Exit::Usage`] if the job does not have the object.
    pub fn of_job(job: &Arc<Job>, org: &Arc<Org>, clock: &dyn Clock, start: &Start) -> Result<Self, Failure> {
        if let Some(object) = &start.object {
            check_object(job, object)?;
        }
        if job.set().is_none() {
            let mut run = Run::of_job(job, org, clock, start.at, start.extent)?;
            run.resumes = start.resumes;
            run.wants_full = start.wants_full;
            return Ok(Self::Single(Box::new(run), start.once.clone()));
        }
        Ok(Self::Set(Box::new(SetRun::begun(job, org, clock, start.clone()))))
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &RunId {
        match self {
            Self::Single(run, _) => &run.id,
            Self::Set(run) => &run.id,
        }
    }

    /// Does it, and reports what it did. An export waits for its slot; a set takes none, but each of its exports does.
    pub async fn carry_out(self, edges: &Arc<Edges>, stop: &Stop) -> Outcome {
        match self {
            Self::Single(mut run, once) => {
                // A run that is stopped while it waits ends at once.
                let _slot = tokio::select! {
                    biased;
                    _ = stop.requested() => None,
                    slot = edges.slots.take(&run.org.name) => Some(slot),
                };
                carry_through(&mut run, edges, stop, once.as_deref()).await
            }
            Self::Set(run) => run.carry_out(edges, stop).await,
        }
    }
}

/// Whether a job is a set that has this object, if the org does.
///
/// # Errors
/// [`Exit::Usage`] if it is not.
pub(crate) fn check_object(job: &Job, object: &ObjectName) -> Result<(), Failure> {
    let name = &job.name;
    let Some(set) = job.set() else {
        let what = format!("--object \"{object}\": the job {name} is not a set of objects");
        return Err(Failure::new(Exit::Usage, what)
            .hint(format!("run it without --object, or set `objects` in {name}.toml")));
    };
    if set.includes(object.as_str()).is_some() {
        return Ok(());
    }
    let what = format!("--object \"{object}\": the job {name} exports \"{set}\", which does not include it");
    Err(Failure::new(Exit::Usage, what).hint(match set.exclusion_of(object.as_str()) {
        Some(exclusion) => format!("remove \"{exclusion}\" from `objects` in {name}.toml"),
        None => format!("add \"{object}\" to `objects` in {name}.toml"),
    }))
}
