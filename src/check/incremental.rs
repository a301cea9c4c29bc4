//! The steps for an incremental job: how changes are found, what the next run would export, and what only a full run
//! refreshes.

use super::org::Reached;
use super::output::Planned;
use super::{Check, Name, Step, Teller};
use crate::client::OrgClient;
use crate::error::{Failure, plain};
use crate::export::{self, Increment, Known, RunError, Tracking, tracking};
use crate::human::{self, counted};
use crate::job::{Deletes, Incremental, Job};
use crate::salesforce::describe::ObjectDescription;
use crate::salesforce::fault::Fault;
use crate::soql::{ClauseKind, Columns};
use crate::state::State;

/// How many names are shown in a list.
const MAX_NAMES: usize = 20;

impl Check<'_> {
    /// The steps for a single job, and what its next run exports, if that is known: with the job whose query selects it.
    /// `written` is the job as it was read; the query of `job` may be generated from that.
    pub(super) async fn incremental(
        &self,
        (written, job): (&Job, &Job),
        columns: Option<&Columns>,
        org: Option<&Reached>,
        tell: Teller<'_>,
    ) -> Option<(Planned, Job)> {
        let settings = job.incremental.as_ref()?;
        let Some(reached) = org else {
            if !self.offline {
                tell(Step::skipped(Name::Incremental, "not checked, because there is no login"));
            }
            return None;
        };
        let found = self.followed((written, job), settings, columns, &reached.client).await;
        let found = found.and_then(|(followed, described)| {
            let selecting = followed.increment.job(job, followed.tracking.deletes)?;
            Ok((followed, described, selecting))
        });
        match found {
            Ok((followed, described, selecting)) => {
                let names =
                    columns.map(|columns| described.unstamped(columns.names().iter().map(String::as_str)));
                let is_fixed = followed.tracking.is_fixed();
                let planned = followed.planned();
                tell(followed.step(&described.name));
                // Records that never change are not refreshed at all.
                if !is_fixed {
                    unseen(job, settings, &names.unwrap_or_default()).into_iter().for_each(tell);
                }
                Some((planned, selecting))
            }
            Err(failure) => {
                tell(Step::failed(Name::Incremental, failure));
                None
            }
        }
    }

    async fn followed(
        &self,
        (written, job): (&Job, &Job),
        settings: &Incremental,
        columns: Option<&Columns>,
        client: &OrgClient,
    ) -> Result<(Followed, ObjectDescription), Failure> {
        let described = export::describe_exported(job, client).await.map_err(RunError::into_failure)?;
        let tracking = tracking(job, &described, &client.org().username)?
            .ok_or_else(|| export::bug("an incremental job that is none"))?;
        let watermark = State::at(&self.config.settings.state_dir)?.watermark_of(&job.key())?;
        let time = client.org_time().await.map_err(Fault::into_failure)?;
        let org_id = client.organization_id().await.unwrap_or_default();
        let known = Known {
            key: &job.key(),
            settings,
            tracking: &tracking,
            org_id: &org_id,
            org_time: time.org,
            own_time: time.own,
            fingerprint: &export::fingerprint(written, &tracking),
            // Unknown columns are not new.
            columns: columns.map(Columns::names).unwrap_or_default(),
            watermark: watermark.as_ref(),
            wants_full: false,
        };
        let increment = known.decide()?;
        // What is odd about an object is reported with its columns.
        let warns_of_deletes = written.query().is_some();
        let clock = export::clock_warning(time);
        Ok((Followed { tracking, increment, clock, warns_of_deletes }, described))
    }

    /// The steps for the changes of a set's objects.
    pub(super) fn changes(&self, job: &Job, changes: Changes, tell: Teller<'_>) {
        let Changes { deletes, followed, full, without_deletes } = changes;
        let marked =
            State::at(&self.config.settings.state_dir).and_then(|state| state.marked_objects(&job.key()));
        let marked = match marked {
            Ok(marked) => marked.len(),
            Err(error) => return tell(Step::failed(Name::Incremental, error.into())),
        };
        let what =
            format!("the changes of {} are exported; {marked} have a mark", counted(followed, "object"));
        tell(Step::passed(Name::Incremental, what).fact("exported_in_full", full.clone()));
        if !full.is_empty() {
            let what = format!(
                "exported in full each time, because no field says when their records change: {}",
                listed(&full)
            );
            tell(Step::passed(Name::Incremental, what));
        }
        if !without_deletes.is_empty() {
            let reason = match deletes {
                Deletes::Ids => "the org does not list the deleted records of these objects",
                Deletes::Rows | Deletes::None => "these objects have no IsDeleted",
            };
            let what =
                format!("deleted records are not reported, because {reason}: {}", listed(&without_deletes));
            tell(Step::passed(Name::Incremental, what));
        }
    }
}

/// How the changes of a set's objects are found.
pub(super) struct Changes {
    /// How deleted records are to be reported.
    deletes: Deletes,
    /// How many objects have a field that says when their records change.
    followed: u64,
    /// The objects that have none.
    full: Vec<String>,
    /// The objects whose deleted records cannot be reported.
    without_deletes: Vec<String>,
}

impl Changes {
    pub(super) fn of(settings: &Incremental) -> Self {
        let deletes = settings.deletes;
        Self { deletes, followed: 0, full: Vec::new(), without_deletes: Vec::new() }
    }

    /// Adds an object. `job` is its own.
    ///
    /// # Errors
    /// As for a run, if its changes cannot be exported.
    pub(super) fn add(
        &mut self,
        job: &Job,
        described: &ObjectDescription,
        username: &str,
    ) -> Result<(), Failure> {
        match tracking(job, described, username)? {
            Some(Tracking { stamp: None, .. }) => self.full.push(described.name.clone()),
            Some(Tracking { deletes, .. }) => {
                self.followed += 1;
                if deletes != self.deletes {
                    self.without_deletes.push(described.name.clone());
                }
            }
            None => {}
        }
        Ok(())
    }
}

/// How an object's changes are followed, and what the next run does.
struct Followed {
    tracking: Tracking,
    increment: Increment,
    clock: Option<String>,
    warns_of_deletes: bool,
}

impl Followed {
    fn planned(&self) -> Planned {
        let window = (self.increment.kind, self.increment.mark);
        Planned { window, deletes: self.tracking.deletes }
    }

    fn step(self, object: &str) -> Step {
        let Tracking { stamp, deletes, deletes_reason } = self.tracking;
        let Increment { kind, reason, since, .. } = self.increment;
        let by = stamp.as_deref().map(|stamp| format!("by {stamp}; ")).unwrap_or_default();
        let what = match (&reason, since) {
            (None, Some(since)) => format!("{by}the next run exports what has changed since {since}"),
            (Some(reason), _) => format!("{by}the next run exports everything, because {reason}"),
            (None, None) => format!("{by}the next run exports everything"),
        };
        let step = match (deletes_reason.filter(|_| self.warns_of_deletes), self.clock) {
            (Some(reason), _) => Step::warned(
                Name::Incremental,
                format!("{what}; deleted records of \"{object}\" are not reported, because {reason}"),
                "set deletes = \"none\" in `[incremental]`",
            ),
            (None, Some(clock)) => {
                Step::warned(Name::Incremental, format!("{what}; {clock}"), "set this machine's clock")
            }
            (None, None) => Step::passed(Name::Incremental, what),
        };
        step.fact("kind", kind.as_str())
            .fact("kind_reason", reason)
            .fact("since", since.map(|since| since.to_string()))
            .fact("field", stamp)
            .fact("deletes", deletes.as_str())
    }
}

/// What changes without moving a record's stamp. It is a warning unless full runs are scheduled.
fn unseen(job: &Job, settings: &Incremental, names: &[&str]) -> Vec<Step> {
    let has_condition = job.query().is_some_and(|query| query.statement.clause(ClauseKind::Where).is_some());
    let mut steps = Vec::new();
    let mut add = |what: String| {
        steps.push(match &settings.full {
            Some(_) => Step::passed(Name::Incremental, what),
            None => Step::warned(
                Name::Incremental,
                what,
                "set `full` in `[incremental]`, as in full = \"@weekly\"",
            ),
        });
    };
    if !names.is_empty() {
        add(format!("only full runs refresh {}: {}", counted(names.len() as u64, "column"), listed(names)));
    }
    if has_condition {
        let lost = match settings.deletes {
            Deletes::Rows | Deletes::Ids => "records that stop matching WHERE are not reported as deleted",
            Deletes::None => "records that stop matching WHERE are not noticed",
        };
        add(format!("{lost}, and only full runs leave them out"));
    }
    if let Some(step) = steps.first_mut().filter(|_| !names.is_empty()) {
        step.facts.insert("only_full".to_owned(), names.to_vec().into());
    }
    steps
}

/// Names for people, not too many of them.
fn listed<S: AsRef<str>>(names: &[S]) -> String {
    plain(&human::list(names.iter(), MAX_NAMES)).into_owned()
}
