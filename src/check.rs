//! `check`: everything that a run depends on, tried step by step without exporting anything. Each step is told as
//! it ends, with what was found or what is wrong and what to do; how it is shown is the business of `cli`.

mod job;
mod org;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{Config, Settings};
use crate::error::{Exit, Failure};
use crate::export::{self, Edges};
use crate::org::OrgName;
use crate::report::RunId;
use crate::state::State;

/// One step and how it ended.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// What was tried.
    pub step: Name,
    /// The org that it is about, where it is about one.
    pub org: Option<String>,
    /// The job that it is about, where it is about one.
    pub job: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found; may have several lines.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What a run would end with because of it; 0 where nothing failed.
    pub exit_status: u8,
    /// The same as figures, for those who do not read.
    pub facts: Map<String, Value>,
}

/// What is tried, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// The files and the environment.
    Configuration,
    /// The directory of history, locks and marks.
    State,
    /// The private key signs.
    Key,
    /// The certificate is the key's, and has not ended.
    Certificate,
    /// The login host is found and responds.
    Network,
    /// This machine's clock beside the login host's.
    Clock,
    /// A token is granted.
    Login,
    /// Whom it is for.
    Identity,
    /// The org has the API version.
    ApiVersion,
    /// API requests are left.
    Limits,
    /// The columns that the query's text says.
    Columns,
    /// The org would run the query.
    Query,
    /// How many records it has.
    Records,
    /// The output can be written.
    Output,
    /// When it runs by itself.
    Schedule,
}

impl Name {
    /// The step's name, as it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::State => "state",
            Self::Key => "key",
            Self::Certificate => "certificate",
            Self::Network => "network",
            Self::Clock => "clock",
            Self::Login => "login",
            Self::Identity => "identity",
            Self::ApiVersion => "API version",
            Self::Limits => "limits",
            Self::Columns => "columns",
            Self::Query => "query",
            Self::Records => "records",
            Self::Output => "output",
            Self::Schedule => "schedule",
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// A run works, but somebody should look at it.
    Warned,
    /// A run would fail.
    Failed,
    /// Not tried, for the reason given.
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

    /// A step that failed as a run would.
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
    /// Whether every org is checked, or only those of the selected jobs.
    pub every_org: bool,
    /// Whether nothing is asked of any org.
    pub offline: bool,
    /// The world. Each thing is tried once: what comes and goes is to be seen.
    pub edges: Arc<Edges>,
}

/// Who is told of each step as it ends.
pub type Teller<'t> = &'t mut (dyn FnMut(Step) + Send);

impl Check<'_> {
    /// Goes through everything, also behind a step that failed, and gives the status of the first one that did.
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
        let mut reached_orgs = BTreeMap::new();
        for (name, org) in &self.config.orgs {
            if self.every_org || self.config.jobs.iter().any(|job| job.org == *name) {
                let of_org = |step| Step { org: Some(name.to_string()), ..step };
                let reached = self.org(org, &mut |step| tell(of_org(step))).await;
                reached_orgs.extend(reached.map(|reached| (name, reached)));
            }
        }
        for job in &self.config.jobs {
            let of_job =
                |step| Step { job: Some(job.name.to_string()), org: Some(job.org.to_string()), ..step };
            self.job(job, reached_orgs.get(&job.org), &mut |step| tell(of_job(step))).await;
        }
        first
    }

    fn configuration(&self, tell: Teller<'_>) {
        let Config { file, orgs, jobs, warnings, settings, .. } = self.config;
        let from = match file {
            Some(file) => file.display().to_string(),
            None => "the environment alone".to_owned(),
        };
        tell(
            Step::passed(
                Name::Configuration,
                format!(
                    "{from}: {}, {}",
                    counted(orgs.len() as u64, "org"),
                    counted(jobs.len() as u64, "job")
                ),
            )
            .fact("file", file.as_ref().map(|file| file.display().to_string()))
            .fact("orgs", orgs.keys().map(OrgName::as_str).collect::<Vec<_>>())
            .fact("jobs", jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>()),
        );
        if jobs.is_empty() {
            let what = format!("there is no job in {}", settings.jobs_dir.display());
            tell(Step::warned(
                Name::Configuration,
                what,
                "a job is a file NAME.toml there with soql and output; `sfexport init` writes a first one",
            ));
        }
        for warning in warnings {
            let (what, hint) = warning.clone().split();
            tell(Step { hint, ..Step::new(Name::Configuration, Outcome::Warned, what) });
        }
        // Otherwise the first request to the login host shows it.
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
}

/// `1 job`, `5 jobs`.
fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
