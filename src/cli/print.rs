//! Prints results to standard output, and failures to standard error. A closed pipe is not a failure, but a full disk is.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;
use serde::Serialize;

use super::log::Form;
use super::stderr;
use crate::error::{Exit, Failure, plain_lines};
use crate::report::RunReport;

/// Whether only failures are shown.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Sets whether to show only failures.
pub(super) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Whether only failures are shown.
pub(super) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Whether the org is part of a run's name.
static NAMES_ORGS: AtomicBool = AtomicBool::new(false);

/// Sets whether to name the orgs of runs, because there are several.
pub(super) fn set_names_orgs(names_orgs: bool) {
    NAMES_ORGS.store(names_orgs, Ordering::Relaxed);
}

/// What a run is called: its job and, if there are several, its org.
pub(super) fn job_name(job: &str, org: &str) -> String {
    if NAMES_ORGS.load(Ordering::Relaxed) { format!("{job} ({org})") } else { job.to_owned() }
}

/// The same for the run of a report, with the object of a set.
pub(super) fn run_name(report: &RunReport) -> String {
    let name = job_name(&report.job, &report.org);
    match &report.object {
        Some(object) => format!("{name}: {object}"),
        None => name,
    }
}

/// The first error from printing a result, if there was one.
static LOST: OnceLock<String> = OnceLock::new();

/// Prints a line of a result.
pub(super) fn line(text: impl AsRef<str>) {
    let mut stdout = io::stdout().lock();
    noted(writeln!(stdout, "{}", text.as_ref()).and_then(|()| stdout.flush()));
}

/// Prints a result that is more than lines: a script or a page.
pub(super) fn bytes(text: &[u8]) {
    let mut stdout = io::stdout().lock();
    noted(stdout.write_all(text).and_then(|()| stdout.flush()));
}

fn noted(printed: io::Result<()>) {
    if let Err(error) = printed
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error.to_string());
    }
}

/// The failure of a command whose result could not be printed, if so.
pub(super) fn lost() -> Option<Failure> {
    let why = LOST.get()?;
    Some(Failure::new(Exit::Output, format!("cannot write the result to standard output: {why}")))
}

/// Whether the process was started without a standard output. Then Rust opens `/dev/null` there, for reading too, as a
/// redirection by a shell does not.
pub(super) fn is_stdout_closed() -> bool {
    let stdout = io::stdout();
    let is_for_both =
        rustix::fs::fcntl_getfl(&stdout).is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDWR);
    let of = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let is_null = rustix::fs::fstat(&stdout)
        .is_ok_and(|found| rustix::fs::stat("/dev/null").is_ok_and(|null| of(null) == of(found)));
    is_for_both && is_null
}

/// Prints a result as readable JSON.
pub(super) fn json(answer: &impl Serialize) {
    // Text, numbers and lists of text can always be written as JSON.
    if let Ok(json) = serde_json::to_string_pretty(answer) {
        line(json);
    }
}

/// Prints a result as one line of JSON.
pub(super) fn json_line(answer: &impl Serialize) {
    if let Ok(json) = serde_json::to_string(answer) {
        line(json);
    }
}

/// Prints a failure; `of` is the run that failed. If the log is in JSON, the failure is an event in the log, so standard
/// error contains only JSON.
pub(super) fn failure(form: Form, of: Option<&RunReport>, failure: &Failure) {
    let Failure { what, hint, exit, .. } = failure;
    if form == Form::Json && tracing::dispatcher::has_been_set() {
        tracing::error!(
            job = of.map(|run| display(&run.job)),
            org = of.map(|run| display(&run.org)),
            object = of.and_then(|run| run.object.as_deref()),
            run_id = of.map(|run| display(&run.run_id)),
            hint = hint.as_deref(),
            exit_status = exit.code(),
            "{what}"
        );
        return;
    }
    let colours = colours_of(&io::stderr());
    let of = of.map(|run| format!("{}: ", run_name(run))).unwrap_or_default();
    let mut text = format!("{} {of}{}\n", coloured("error:", Colour::Red, colours), plain_lines(what));
    if let Some(hint) = hint {
        text += &format!("  {} {}\n", coloured("hint:", Colour::Green, colours), plain_lines(hint));
    }
    stderr::say(text.as_bytes());
}

/// Prints a warning; `of` is the run that it is about.
pub(super) fn warning(form: Form, of: Option<&RunReport>, text: &str) {
    if is_quiet() {
        return;
    }
    if form == Form::Json {
        tracing::warn!(
            job = of.map(|run| display(&run.job)),
            org = of.map(|run| display(&run.org)),
            object = of.and_then(|run| run.object.as_deref()),
            run_id = of.map(|run| display(&run.run_id)),
            "{text}"
        );
        return;
    }
    let of = of.map(|run| format!("{}: ", run_name(run))).unwrap_or_default();
    let label = coloured("warning:", Colour::Yellow, colours_of(&io::stderr()));
    stderr::say(format!("{label} {of}{}\n", plain_lines(text)).as_bytes());
}

/// Prints a remark about a result to standard error, unless the log is in JSON.
pub(super) fn note(form: Form, text: &str) {
    if form == Form::Text && !is_quiet() {
        stderr::say(format!("{}\n", plain_lines(text)).as_bytes());
    }
}

/// The colors in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Red,
    Green,
    Yellow,
    Grey,
}

/// A word in a color, if colors are wanted.
pub(super) fn coloured(word: &str, colour: Colour, wanted: bool) -> String {
    let code = match colour {
        Colour::Red => "1;31",
        Colour::Green => "32",
        Colour::Yellow => "33",
        Colour::Grey => "2",
    };
    if wanted { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() }
}

/// Whether colors are wanted: on a terminal that has them, unless `NO_COLOR` is set
/// (<https://no-color.org>).
pub(super) fn colours_of(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Prints a run report as one line of JSON.
pub(super) fn report(report: &RunReport) {
    // Text, numbers and lists of text can always be written as JSON.
    if let Ok(json) = serde_json::to_string(report) {
        line(json);
    }
}

/// Prints a run report to standard error, because standard output has the records.
pub(super) fn report_aside(report: &RunReport) {
    if let Ok(json) = serde_json::to_string(report) {
        stderr::say(format!("{json}\n").as_bytes());
    }
}
