//! `check` tests everything that a run depends on, step by step, without exporting anything. `cli` prints the steps.

mod api;
mod incremental;
mod job;
mod org;
mod output;
pub(crate) mod set;

pub use job::LastRuns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{Config, Settings};
use crate::daemon::{is_status_port, open_status_port};
use crate::error::{Exit, Failure};
use crate::export::{self, Edges};
use crate::human::counted;
use crate::job::ObjectName;
use crate::org::OrgName;
use crate::report::RunId;
use crate::state::State;

/// One step and how it ended.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Which step it is.
    pub step: Name,
    /// The org, if the step is about one.
    pub org: Option<String>,
    /// The job, if the step is about one.
    pub job: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The result, which may have several lines.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The exit status of a run that fails because of it; 0 if the step did not fail.
    pub exit_status: u8,
    /// The result in a form for programs.
    pub facts: Map<String, Value>,
}

/// The steps, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// The files and the environment.
    Configuration,
    /// The directory of history, locks and marks.
    State,
    /// The daemon's status port is free.
    StatusPort,
    /// The private key signs.
    Key,
    /// The certificate belongs to the key and has not expired.
    Certificate,
    /// The login host is found and responds.
    Network,
    /// This machine's clock agrees with the login host's.
    Clock,
    /// A token is granted.
    Login,
    /// The user of the token.
    Identity,
    /// The org has the API version.
    ApiVersion,
    /// API requests are left.
    Limits,
    /// The objects of a set.
    Objects,
    /// The query's columns.
    Columns,
    /// The changes that the next run of an incremental job exports.
    Incremental,
    /// The org accepts the query.
    Query,
    /// The number of records.
    Records,
    /// The API that a run would use.
    Api,
    /// The output can be written.
    Output,
    /// The command after an export can be started.
    After,
    /// The next scheduled runs.
    Schedule,
}

impl Name {
    /// The name as printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::State => "state",
            Self::StatusPort => "status port",
            Self::Key => "key",
            Self::Certificate => "certificate",
            Self::Network => "network",
            Self::Clock => "clock",
            Self::Login => "login",
            Self::Identity => "identity",
            Self::ApiVersion => "API version",
            Self::Limits => "limits",
            Self::Objects => "objects",
            Self::Columns => "columns",
            Self::Incremental => "incremental",
            Self::Query => "query",
            Self::Records => "records",
            Self::Api => "API",
            Self::Output => "output",
            Self::After => "after",
            Self::Schedule => "schedule",
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// There is no problem.
    Passed,
    /// A run would succeed, but there is a problem.
    Warned,
    /// A run would fail.
    Failed,
    /// It was not tried, for the reason given.
    Skipped,
}

impl Step {
    fn new(step: Name, outcome: Outcome, what: impl Into<String>) -> Self {
        Self {
            step,
            org: None,
            job: None,
            outcome,
            what: what.into(),
            hint: None,
            exit_status: Exit::Success.code(),
            facts: Map::new(),
        }
    }

    fn passed(step: Name, what: impl Into<String>) -> Self {
        Self::new(step, Outcome::Passed, what)
    }

    fn skipped(step: Name, what: impl Into<String>) -> Self {
        Self::new(step, Outcome::Skipped, what)
    }

    fn warned(step: Name, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..Self::new(step, Outcome::Warned, what) }
    }

    /// A step that failed like a run.
    #[must_use]
    pub fn failed(step: Name, failure: Failure) -> Self {
        let Failure { exit, what, hint, .. } = failure;
        Self { hint, exit_status: exit.code(), ..Self::new(step, Outcome::Failed, what) }
    }

    fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

/// What is checked, and how far.
pub struct Check<'c> {
    /// The configuration with the jobs selected.
    pub config: &'c Config,
    /// Whether to check every org, or only those of the selected jobs.
    pub every_org: bool,
    /// Only the export of this object, if the jobs are sets.
    pub object: Option<&'c ObjectName>,
    /// Whether to send no requests.
    pub offline: bool,
    /// The edges. Each request is sent once, so temporary problems show up.
    pub edges: Arc<Edges>,
    /// What the history tells of the jobs' last runs, once a step has asked.
    pub last_runs: LastRuns,
}

/// Receives each step when it ends.
pub type Teller<'t> = &'t mut (dyn FnMut(Step) + Send);

impl Check<'_> {
    /// Runs all steps, even after one has failed, and returns the status of the first failed step.
    pub async fn run(&self, teller: Teller<'_>) -> Exit {
        let mut first = Exit::Success;
        let mut tell = |step: Step| {
            if first == Exit::Success && step.outcome == Outcome::Failed {
                first = Exit::from_code(step.exit_status);
            }
            teller(step);
        };
        self.configuration(&mut tell);
        self.state(&mut tell);
        self.status_port(&mut tell).await;
        let mut reached_orgs = BTreeMap::new();
        for (name, org) in &self.config.orgs {
            if self.every_org || self.config.jobs.iter().any(|job| job.org == *name) {
                let of_org = |step| Step { org: Some(name.to_string()), ..step };
                let reached = self.org(org, &mut |step| tell(of_org(step))).await;
                reached_orgs.extend(reached.map(|reached| (name, reached)));
            }
        }
        let mut outputs = BTreeMap::new();
        for job in &self.config.jobs {
            let of_job =
                |step| Step { job: Some(job.name.to_string()), org: Some(job.org.to_string()), ..step };
            self.job(job, reached_orgs.get(&job.org), &mut |step| tell(of_job(step))).await;
            if let Some(failure) = self.shared_output(job, &mut outputs) {
                tell(of_job(Step::failed(Name::Output, failure)));
            }
        }
        first
    }

    fn configuration(&self, tell: Teller<'_>) {
        let Config { file, orgs, jobs, warnings, settings, .. } = self.config;
        let from = match file {
            Some(file) => file.display().to_string(),
            None => "environment variables only".to_owned(),
        };
        let names: BTreeSet<_> = jobs.iter().map(|job| job.name.as_str()).collect();
        let number = counted(names.len() as u64, "job");
        let mut jobs_checked = match names.first() {
            _ if self.every_org => number,
            Some(name) if names.len() == 1 => format!("job {name} selected"),
            _ => format!("{number} selected"),
        };
        if jobs.len() > names.len() {
            jobs_checked.push_str(&format!(" with {}", counted(jobs.len() as u64, "run")));
        }
        tell(
            Step::passed(
                Name::Configuration,
                format!("{from}: {}, {jobs_checked}", counted(orgs.len() as u64, "org")),
            )
            .fact("file", file.as_ref().map(|file| file.display().to_string()))
            .fact("orgs", orgs.keys().map(OrgName::as_str).collect::<Vec<_>>())
            .fact("jobs", names.into_iter().collect::<Vec<_>>()),
        );
        if self.config.digests.jobs.is_empty() {
            let directory = settings.jobs_dir.display();
            let what = match settings.jobs_dir.is_dir() {
                true => format!("there are no jobs in {directory}, so `run --all` would end with status 78"),
                false => format!(
                    "{directory} does not exist, so `run --all` and the daemon would end with status 78"
                ),
            };
            let hint =
                "write a job file NAME.toml with `soql` and `output`, or run `sfexport init` for an example";
            tell(Step::warned(Name::Configuration, what, hint));
        }
        for warning in warnings {
            let (what, hint) = warning.clone().split();
            tell(Step { hint, ..Step::new(Name::Configuration, Outcome::Warned, what) });
        }
        // If not offline, the first request to the login host shows this.
        if self.offline {
            match self.edges.http.check_ca_file() {
                Ok(left_out) => {
                    for sentence in left_out {
                        tell(Step::new(Name::Configuration, Outcome::Warned, sentence));
                    }
                }
                Err(failure) => tell(Step::failed(Name::Configuration, failure)),
            }
        }
    }

    fn state(&self, tell: Teller<'_>) {
        let Settings { state_dir, scratch_dir, .. } = &self.config.settings;
        let scratch = scratch_dir.as_ref().filter(|scratch| *scratch != state_dir);
        let usable = State::open(state_dir).map_err(Failure::from).and_then(|_| {
            let id = RunId::new(self.edges.clock.now(), self.edges.clock.random());
            scratch.map_or(Ok(()), |scratch| export::check_scratch_dir(scratch, &id))
        });
        let scratch = scratch.map(|scratch| format!(" and {}", scratch.display())).unwrap_or_default();
        tell(match usable {
            Ok(()) => {
                Step::passed(Name::State, format!("{}{scratch} can be written to", state_dir.display()))
            }
            Err(failure) => Step::failed(Name::State, failure),
        });
    }

    /// Whether the daemon could listen on its status port. Runs of selected jobs need no port.
    async fn status_port(&self, tell: Teller<'_>) {
        let Settings { state_dir, status, .. } = &self.config.settings;
        let Some(address) = status.listen.filter(|_| self.every_org) else { return };
        let Err(failure) = open_status_port(address) else {
            return tell(Step::passed(Name::StatusPort, format!("{address} is free")));
        };
        let is_running = State::at(state_dir).is_ok_and(|state| matches!(state.has_daemon(), Ok(true)));
        tell(match is_running && is_status_port(address).await {
            true => Step::passed(Name::StatusPort, format!("{address} is in use by the running daemon")),
            false => Step::failed(Name::StatusPort, failure),
        });
    }
}
