//! `sfexport check` prints the steps of a check.

use clap::Args;

use super::print::{self, Colour};
use super::{Context, complete, human};
use crate::check::{Check, LastRuns, Name, Outcome, Step};
use crate::config::{self, Config, Selection};
use crate::error::{Exit, Failure, plain, plain_lines};
use crate::job::ObjectName;
use crate::org::OrgName;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// The jobs to check, and their orgs [default: everything]
    #[arg(value_name = "JOB", add = complete::jobs())]
    jobs: Vec<String>,
    /// Check only this org, and what the jobs export from it; can be repeated
    #[arg(long = "org", value_name = "NAME", add = complete::orgs())]
    orgs: Vec<String>,
    /// Only this object of the jobs' sets, with its columns, its query and its records
    #[arg(long, value_name = "OBJECT", value_parser = super::object_name, add = complete::objects())]
    object: Option<ObjectName>,
    /// Contact no org: check only the configuration, keys, certificates, columns, outputs and schedules
    #[arg(long)]
    offline: bool,
    /// Print each step as JSON, one object per line
    #[arg(long)]
    json: bool,
}

/// Runs the check and returns the status of the first failed step.
pub(super) async fn check(arguments: &CheckArguments, context: &Context) -> Result<Exit, Failure> {
    let mut shown = Shown::new(arguments.json);
    let everything = arguments.jobs.is_empty();
    let selection = if everything { Selection::All } else { Selection::Jobs(arguments.jobs.clone()) };
    let config = match config::load(&context.sources()?, &selection) {
        Ok(config) => config,
        Err(mistakes) => {
            shown.step(Step::failed(Name::Configuration, mistakes.into()));
            shown.end();
            return Ok(Exit::Configuration);
        }
    };
    let config = narrowed(config, arguments)?;
    let edges = context.edges(&config.settings, None);
    let check = Check {
        config: &config,
        every_org: everything,
        object: arguments.object.as_ref(),
        offline: arguments.offline,
        edges,
        last_runs: LastRuns::default(),
    };
    let mut tell = |step| shown.step(step);
    let exit = context.unless_stopped(check.run(&mut tell)).await?;
    shown.end();
    Ok(exit)
}

/// The configuration with only the orgs that the command line names.
fn narrowed(mut config: Config, arguments: &CheckArguments) -> Result<Config, Failure> {
    for org in &arguments.orgs {
        config.org(Some(org))?;
    }
    if arguments.orgs.is_empty() {
        return Ok(config);
    }
    let is_named = |org: &OrgName| arguments.orgs.iter().any(|name| name == org.as_str());
    let left_out = arguments
        .jobs
        .iter()
        .find(|name| !config.jobs.iter().any(|job| job.name.as_str() == name.as_str() && is_named(&job.org)));
    if let Some(name) = left_out {
        let orgs = arguments.orgs.join(" and ");
        return Err(Failure::new(Exit::Usage, format!("the job {name} does not export from the org {orgs}"))
            .hint("run `sfexport jobs` to list the jobs with their orgs"));
    }
    config.orgs.retain(|name, _| is_named(name));
    config.jobs.retain(|job| is_named(&job.org));
    Ok(config)
}

/// Steps on standard output: under a heading for each org and job, or as JSON.
struct Shown {
    json: bool,
    colour: bool,
    heading: String,
    failed: usize,
    warned: usize,
}

/// The width of the longest name of a step.
const WIDTH: usize = 13;

impl Shown {
    fn new(json: bool) -> Self {
        let colour = print::colours_of(&std::io::stdout());
        Self { json, colour, heading: String::new(), failed: 0, warned: 0 }
    }

    fn step(&mut self, step: Step) {
        match step.outcome {
            Outcome::Failed => self.failed += 1,
            Outcome::Warned => self.warned += 1,
            Outcome::Passed | Outcome::Skipped => {}
        }
        if self.json {
            print::json_line(&step);
            return;
        }
        let heading = match (&step.job, &step.org) {
            (Some(job), Some(org)) if org != OrgName::DEFAULT => format!("job {job} for org {org}"),
            (Some(job), _) => format!("job {job}"),
            (None, Some(org)) => format!("org {org}"),
            (None, None) => String::new(),
        };
        if print::is_quiet() && step.outcome != Outcome::Failed {
            return;
        }
        if heading != self.heading {
            print::line(format!("\n{heading}"));
            self.heading = heading;
        }
        let (mark, colour) = match step.outcome {
            Outcome::Passed => ("✓", Colour::Green),
            Outcome::Warned => ("!", Colour::Yellow),
            Outcome::Failed => ("✗", Colour::Red),
            Outcome::Skipped => ("-", Colour::Grey),
        };
        let mark = print::coloured(mark, colour, self.colour);
        let indent = format!("\n{:1$}", "", WIDTH + 5);
        let what = plain_lines(step.what.trim_end()).replace('\n', &indent);
        print::line(format!("  {mark} {:WIDTH$} {what}", step.step.as_str()));
        for hint in step.hint.iter().flat_map(|hint| hint.lines()) {
            print::line(format!("{:1$}→ {2}", "", WIDTH + 5, plain(hint)));
        }
    }

    fn end(&self) {
        if self.json || print::is_quiet() && self.failed == 0 {
            return;
        }
        let warnings = human::counted(self.warned as u64, "warning");
        let failures = match self.failed {
            1 => "1 check failed".to_owned(),
            failed => format!("{failed} checks failed"),
        };
        let text = match (self.failed, self.warned) {
            (0, 0) => "\nAll checks passed.".to_owned(),
            (0, _) => format!("\nAll checks passed. {warnings}."),
            (_, 0) => format!("\n{failures}."),
            (..) => format!("\n{failures}. {warnings}."),
        };
        print::line(text);
    }
}
