//! The step that says which API a run would use, and why. It sends no request.

use super::org::Reached;
use super::{Check, Name, Outcome, Step};
use crate::error::{Exit, Failure, plain};
use crate::export::{self, Expected, Forecast};
use crate::human::counted;
use crate::job::{Api, ApiChoice, Job};
use crate::soql::Columns;
use crate::state::{BulkRefusal, State};

impl Check<'_> {
    /// Which API a run would use, as a step and for the cost of the run.
    pub(super) fn api(
        &self,
        job: &Job,
        columns: Option<&Columns>,
        forecast: Option<&Forecast>,
        reached: &Reached,
    ) -> (Step, Option<Expected>) {
        let expected = State::at(&self.config.settings.state_dir).map_err(Into::into).and_then(|state| {
            let (org, now) = (reached.client.org(), self.edges.clock.now());
            let expected = export::expected((job, org), columns, forecast, &state, now)?;
            match export::demanded_and_refused(job, org, &state, now)? {
                Some(refusal) if !self.used_bulk_since(job, &refusal, &state)? => Err(refused(&refusal)),
                _ => Ok(expected),
            }
        });
        let expected = match expected {
            Ok(expected) => expected,
            Err(failure) if failure.exit == Exit::TryLater => {
                let what = format!("{}, so the run would end with status 75", failure.what);
                let step = Step { hint: failure.hint, ..Step::new(Name::Api, Outcome::Warned, what) };
                return (step.fact("choice", job.api.as_str()), None);
            }
            Err(failure) => return (Step::failed(Name::Api, failure), None),
        };
        let least = expected.least_first_page.map(|least| counted(least, "record"));
        let what = match (expected.api, least) {
            (Some(api), None) => format!("{}, because {}", api.title(), plain(&expected.reason)),
            (Some(api), Some(least)) => format!(
                "{}, because {}; the run would end with status 75 if the first page holds fewer than {least}",
                api.title(),
                plain(&expected.reason)
            ),
            (None, Some(least)) => {
                format!("REST if the first page holds at least {least}, otherwise Bulk API 2.0")
            }
            (None, None) => by_the_first_page("decides"),
        };
        let step = Step::passed(Name::Api, what)
            .fact("choice", job.api.as_str())
            .fact("api", expected.api.map(|api| api.as_str()))
            .fact("reason", expected.api.map(|_| expected.reason.as_str()))
            .fact("least_first_page", expected.least_first_page);
        (step, Some(expected))
    }

    /// Whether Bulk has exported the job after it had refused it. Of an object of a set, it is only known whether the last
    /// successful run used Bulk.
    fn used_bulk_since(&self, job: &Job, refusal: &BulkRefusal, state: &State) -> Result<bool, Failure> {
        if job.object.is_some() {
            return Ok(state.used_bulk(&job.key())?);
        }
        Ok(self.last_bulk_run(job)?.is_some_and(|ended| ended > refusal.at))
    }
}

/// The failure of a job that demands Bulk, which has refused it.
fn refused(refusal: &BulkRefusal) -> Failure {
    let what = format!("Bulk refused it within the last week: {}", plain(&refusal.reason));
    Failure::new(Exit::Query, what).hint("set api = \"auto\" or \"rest\"")
}

/// The same for a set, whose objects may use different APIs.
pub(super) fn api_of_set(job: &Job) -> Step {
    let what = match job.api {
        ApiChoice::Auto => by_the_first_page("of each object decides"),
        ApiChoice::Rest => of_choice(Api::Rest),
        ApiChoice::Bulk => of_choice(Api::Bulk),
    };
    Step::passed(Name::Api, what).fact("choice", job.api.as_str())
}

fn of_choice(api: Api) -> String {
    format!("{} for each object, because api is \"{api}\"", api.title())
}

fn by_the_first_page(decides: &str) -> String {
    format!("REST or Bulk API 2.0: the first page {decides}")
}
