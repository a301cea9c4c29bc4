//! Several runs of one process: as many side by side as the process and each org allow. When jobs are due is the
//! business of `agenda`.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::{self, JoinSet};

use crate::config::Config;
use crate::error::{Exit, Failure};
use crate::export::{Edges, Extent, Once, Outcome, SlotLimits, Start, Task, report_not_started};
use crate::job::{Job, ObjectName};
use crate::org::{Org, OrgName};
use crate::report::RunReport;
use crate::stop::Stop;

/// What is to be run.
pub struct Batch {
    /// The jobs, in the order in which they start.
    pub jobs: Vec<Arc<Job>>,
    /// The timestamp that the outputs' dates show; `None`: each run's own start.
    pub at: Option<Timestamp>,
    /// How far the runs go.
    pub extent: Extent,
    /// Whether incremental jobs export everything.
    pub wants_full: bool,
    /// Only this object of each set.
    pub object: Option<ObjectName>,
    /// What earlier attempts exported, if that is left as it is.
    pub once: Option<Arc<Once>>,
}

/// A run that waits for room.
struct Waiting {
    task: Task,
    org: Arc<Org>,
    /// A set takes no room in its org; its exports do.
    is_set: bool,
}

/// Runs the jobs of a batch, and gives every report as its run ends. A run that fails stops no other.
///
/// # Errors
/// [`Exit::Usage`] if a job does not have the object that is asked for: then nothing runs. [`Exit::General`] if a run
/// panicked, after the others have ended.
pub async fn run(
    batch: Batch,
    config: &Config,
    edges: &Arc<Edges>,
    stop: &Stop,
    mut ended: impl FnMut(RunReport),
) -> Result<(), Failure> {
    edges.slots.set_limits(SlotLimits::new(config.settings.daemon.max_concurrent_runs, config.orgs.values()));
    let Batch { jobs, at, extent, wants_full, object, once } = batch;
    let start = Start { at, extent, wants_full, object, resumes: once.is_some(), once };
    let mut waiting = Vec::new();
    for job in jobs {
        if let Some(report) = start.exported(&job, edges.clock.as_ref()) {
            ended(report);
            continue;
        }
        let org = Arc::new(config.org(Some(job.org.as_str()))?.clone());
        let task = match Task::of_job(&job, &org, edges.clock.as_ref(), &start) {
            Ok(task) => task,
            Err(failure) if failure.exit == Exit::Usage => return Err(failure),
            Err(failure) => {
                ended(report_not_started(&job, at, extent, failure, edges));
                continue;
            }
        };
        waiting.push(Waiting { task, org, is_set: job.set().is_some() });
    }
    let mut runs = JoinSet::new();
    // By task, so that a run that panics gives its org's room back too.
    let mut running: HashMap<task::Id, Option<OrgName>> = HashMap::new();
    let mut panicked = None;
    loop {
        while running.len() < config.settings.daemon.max_concurrent_runs
            // A run that waits for room in its org keeps no other out.
            && let Some(next) = waiting.iter().position(|run| has_room(run, &running))
        {
            let Waiting { task, org, is_set } = waiting.remove(next);
            let (edges, stop) = (Arc::clone(edges), stop.clone());
            let spawned = runs.spawn(async move { task.carry_out(&edges, &stop).await });
            running.insert(spawned.id(), (!is_set).then(|| org.name.clone()));
        }
        let task = match runs.join_next_with_id().await {
            None => return panicked.map_or(Ok(()), Err),
            Some(Ok((task, Outcome { report, .. }))) => {
                ended(report);
                task
            }
            Some(Err(error)) => {
                panicked = Some(Failure::new(Exit::General, format!("a bug in sfexport: {error}")));
                error.id()
            }
        };
        running.remove(&task);
    }
}

fn has_room(waiting: &Waiting, running: &HashMap<task::Id, Option<OrgName>>) -> bool {
    let of_org = running.values().filter(|org| org.as_ref() == Some(&waiting.org.name)).count();
    waiting.is_set || waiting.org.max_concurrent_runs.is_none_or(|most| of_org < most)
}
