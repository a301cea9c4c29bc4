//! Several runs of one process: as many side by side as the process and each org allow. When jobs are due is the
//! business of `agenda`.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::{self, JoinSet};

use crate::config::Config;
use crate::error::{Exit, Failure};
use crate::export::{Edges, Extent, Outcome, Run, export};
use crate::job::Job;
use crate::org::OrgName;
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
}

/// Runs the jobs of a batch, and gives every report as its run ends. A run that fails stops no other.
///
/// # Errors
/// [`Exit::Configuration`] or [`Exit::Output`] if a job's output cannot be determined: then nothing runs.
/// [`Exit::General`] if a run panicked, after the others have ended.
pub async fn run(
    batch: Batch,
    config: &Config,
    edges: &Arc<Edges>,
    stop: &Stop,
    mut ended: impl FnMut(RunReport),
) -> Result<(), Failure> {
    let mut waiting = Vec::new();
    for job in batch.jobs {
        let org = Arc::new(config.org(Some(job.org.as_str()))?.clone());
        waiting.push(Run::of_job(&job, &org, edges.clock.as_ref(), batch.at, batch.extent)?);
    }
    let mut runs = JoinSet::new();
    // By task, so that a run that panics gives its org's room back too.
    let mut running: HashMap<task::Id, OrgName> = HashMap::new();
    let mut panicked = None;
    loop {
        while running.len() < config.settings.daemon.max_concurrent_runs
            // A run that waits for room in its org keeps no other out.
            && let Some(next) = waiting.iter().position(|run| has_room(run, &running))
        {
            let run = waiting.remove(next);
            let (edges, stop, org) = (Arc::clone(edges), stop.clone(), run.org.name.clone());
            let task = runs.spawn(async move { export(run, &edges, &stop).await });
            running.insert(task.id(), org);
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

fn has_room(run: &Run, running: &HashMap<task::Id, OrgName>) -> bool {
    let of_org = running.values().filter(|org| **org == run.org.name).count();
    run.org.max_concurrent_runs.is_none_or(|most| of_org < most)
}
