//! The command after each export (`after`). It is noted in the journal together with the publish that it follows, and stays
//! there until it has succeeded: it runs at least once, whatever happens between the two.

mod process;
mod program;

use std::mem;
use std::path::Path;

use jiff::Timestamp;

use super::blocking;
use super::error::RunError;
use crate::clock::{Clock, log_seconds};
use crate::error::{Exit, Failure, plain};
use crate::job::{After, AfterFields, Job};
use crate::report::{CommandReport, RunReport, RunStatus};
use crate::state::{JobLock, State};
use crate::stop::Stop;

pub(crate) use program::Program;

/// The most characters of the command's last line that a message shows.
const MAX_LINE: usize = 200;

/// The commands of one job and org.
pub(super) struct Commands<'r> {
    pub(super) job: &'r Job,
    /// Whether the export of an earlier attempt of the same occurrence stands.
    pub(super) resumes: bool,
    /// Where pending commands are noted; `None` for a query without a job.
    pub(super) remembered: Option<(&'r State, &'r JobLock)>,
    pub(super) clock: &'r dyn Clock,
    pub(super) stop: &'r Stop,
}

/// What is left to do once the commands of earlier runs have been run.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// The export.
    Export,
    /// Nothing: an earlier attempt made the occurrence's export, and the report is that attempt's.
    Nothing,
}

impl Commands<'_> {
    /// Runs the commands that are pending, exports unless the export of an earlier attempt stands, and runs the command of
    /// the new export.
    ///
    /// # Errors
    /// The first of these steps that fails.
    pub(super) async fn around<T: Default>(
        &self,
        report: &mut RunReport,
        export: impl AsyncFnOnce(&mut RunReport) -> Result<T, RunError>,
    ) -> Result<T, RunError> {
        if self.catch_up(report).await? == Left::Nothing {
            return Ok(T::default());
        }
        let exported = export(report).await?;
        self.run(report).await?;
        Ok(exported)
    }

    /// Runs the commands that are pending, oldest first.
    ///
    /// # Errors
    /// If the command of this occurrence's own export fails again, or any command of an incremental job, or the run is stopped.
    /// One that belongs to another export is a warning: this run's export takes its place.
    async fn catch_up(&self, report: &mut RunReport) -> Result<Left, RunError> {
        let Some((state, lock)) = self.remembered else { return Ok(Left::Export) };
        let mut pending: Vec<RunReport> = blocking(|| state.pending(lock))?;
        if pending.is_empty() {
            return Ok(Left::Export);
        }
        let Some(after) = &self.job.after else {
            tracing::warn!(
                job = %self.job.name, org = %self.job.org, commands = pending.len(),
                "`after` was removed; commands that were pending will not run"
            );
            blocking(|| state.set_pending(lock, &[]))?;
            return Ok(Left::Export);
        };
        let (mut own, mut kept) = (None, Vec::new());
        while !pending.is_empty() {
            let exported = pending.remove(0);
            let failure = match self.execute(after, &exported, report).await {
                Ok(()) => None,
                Err(RunError::Failed(failure)) => Some(failure),
                Err(error) => return Err(error),
            };
            let is_own = self.is_own(&exported, report);
            match &failure {
                None => {
                    let left: Vec<_> = kept.iter().chain(&pending).cloned().collect();
                    blocking(|| state.set_pending(lock, &left))?;
                }
                Some(_) => kept.push(exported.clone()),
            }
            match failure {
                failure if is_own => own = Some((exported, failure)),
                // Its changes are in no later export.
                Some(failure) if self.job.incremental.is_some() => return Err(failure.into()),
                Some(_) => {
                    let how =
                        report.after.last().and_then(|command| command.error.as_deref()).unwrap_or_default();
                    let what = format!("the command after an earlier export failed again: it {how}");
                    report.warnings.push(what);
                }
                None => {}
            }
        }
        let Some((exported, failure)) = own else { return Ok(Left::Export) };
        adopt(exported, report);
        failure.map_or(Ok(Left::Nothing), |failure| Err(failure.into()))
    }

    /// Whether this export is that of the run's own occurrence, made by the same settings.
    fn is_own(&self, exported: &RunReport, report: &RunReport) -> bool {
        self.resumes
            && report.scheduled.is_some()
            && exported.scheduled == report.scheduled
            && exported.settings == report.settings
    }

    /// Runs the command after the export of this report.
    ///
    /// # Errors
    /// If it fails, or the run is stopped. It stays pending then.
    async fn run(&self, report: &mut RunReport) -> Result<(), RunError> {
        // Nothing was published if nothing had changed.
        let Some(after) = self.job.after.as_ref().filter(|_| report.path.is_some()) else { return Ok(()) };
        let exported = succeeded(report, self.clock.now());
        let mut is_noted = true;
        if let Some((state, lock)) = self.remembered
            && let Err(error) = blocking(|| state.set_pending(lock, std::slice::from_ref(&exported)))
        {
            // It runs all the same. If it fails, the next run learns of it from the note of the publish.
            report.warnings.push(Failure::from(error).what);
            is_noted = false;
        }
        match self.execute(after, &exported, report).await {
            Err(error) if !is_noted => return Err(RunError::PartlyPublished(error.into_failure())),
            ended => ended?,
        }
        if let Some((state, lock)) = self.remembered
            && let Err(error) = blocking(|| state.set_pending(lock, &[]))
        {
            report.warnings.push(Failure::from(error).what);
        }
        Ok(())
    }

    /// Runs the command once, and adds to the report what it did.
    async fn execute(
        &self,
        after: &After,
        exported: &RunReport,
        report: &mut RunReport,
    ) -> Result<(), RunError> {
        let Job { name, org, .. } = self.job;
        let path = Path::new(exported.path.as_deref().unwrap_or_default());
        let run_id = exported.run_id.as_str();
        let command = after.expand(&AfterFields { path, job: name, org, run_id });
        let program =
            command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
        let mut input = serde_json::to_vec(exported).map_err(|error| super::bug(&error.to_string()))?;
        input.push(b'\n');
        tracing::info!(job = %name, %org, %run_id, program, "command started");
        let begun = self.clock.elapsed();
        let ended = process::run(&command, input, after.timeout, self.clock, self.stop).await;
        let took = self.clock.elapsed().saturating_sub(begun);
        let failure = ended.how.failure(after.timeout);
        let output = (!ended.output.is_empty()).then(|| plain(ended.output.trim_end()).into_owned());
        let seconds = log_seconds(took);
        match &failure {
            None => tracing::info!(job = %name, %org, %run_id, program, seconds, output, "command succeeded"),
            Some(how) => {
                tracing::warn!(job = %name, %org, %run_id, program, seconds, output, "command {how}")
            }
        }
        report.after.push(CommandReport {
            run_id: exported.run_id.clone(),
            exit_status: ended.how.code(),
            error: failure.clone(),
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        match (ended.how, failure) {
            (process::How::Stopped(failure), _) => Err(RunError::Stopped(failure)),
            (_, None) => Ok(()),
            (how, Some(what)) => Err(failed(&program, &what, &ended.output, &how).into()),
        }
    }
}

/// The program of a job's command, if it can be started. The file is looked at, and not run.
///
/// # Errors
/// [`Exit::Configuration`] if it cannot be started.
pub(crate) fn find_program(after: &After, job: &Job) -> Result<Program, Failure> {
    let fields = AfterFields { path: Path::new(""), job: &job.name, org: &job.org, run_id: "" };
    let program = after.expand(&fields).into_iter().next().unwrap_or_default();
    program::startable(&program)
}

/// The failure of a command.
fn failed(program: &str, how: &str, output: &str, ended: &process::How) -> Failure {
    let what =
        format!("the export is complete, but the command after it failed: \"{}\" {how}", plain(program));
    let last: Option<String> = output.lines().next_back().map(|line| line.chars().take(MAX_LINE).collect());
    let hint = match ended {
        process::How::NotStarted(_) => {
            "correct the program in `after`; retries of the daemon and of `run --once` repeat only the command"
        }
        process::How::TimedOut => {
            "set a longer after_timeout; retries of the daemon and of `run --once` repeat only the command"
        }
        process::How::Exited(_) | process::How::Stopped(_) => {
            "read the command's output in the log, and correct it or `after`; retries of the daemon and of `run --once` repeat \
             only the command"
        }
    };
    let failure = Failure::new(Exit::After, what.clone()).hint(hint);
    match last {
        // Others need not know what it printed.
        Some(last) => Failure { what: format!("{what}: {last}"), redacted: Some(what), ..failure },
        None => failure,
    }
}

/// The report of an export that succeeded, as its command gets it.
pub(super) fn succeeded(report: &RunReport, now: Timestamp) -> RunReport {
    RunReport {
        status: RunStatus::Ok,
        exit_status: Exit::Success.code(),
        error: None,
        error_redacted: None,
        hint: None,
        ended: now,
        after: Vec::new(),
        ..report.clone()
    }
}

/// Turns the report of a run that exported nothing into that of the export that stands. What the run itself did remains.
fn adopt(exported: RunReport, report: &mut RunReport) {
    *report = RunReport {
        run_id: report.run_id.clone(),
        started: report.started,
        ended: report.ended,
        warnings: mem::take(&mut report.warnings),
        after: mem::take(&mut report.after),
        pages: 0,
        api_calls: 0,
        logins: 0,
        retries: 0,
        restarts: 0,
        api_limit: None,
        ..exported
    };
}
