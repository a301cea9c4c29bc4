//! What is printed: answers and data to standard output, failures to standard error. A reader that has gone away
//! is no reason to fail; an answer that a full disk swallowed is.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::log::Form;
use super::stderr;
use crate::error::{Exit, Failure, plain_lines};
use crate::report::RunReport;

/// Whether only failures are shown.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Shows only failures from here on, or everything.
pub(super) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Whether only failures are shown.
pub(super) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Why an answer could not be printed, if one could not: the first reason.
static LOST: OnceLock<String> = OnceLock::new();

/// A line of an answer.
pub(super) fn line(text: impl AsRef<str>) {
    let mut stdout = io::stdout().lock();
    noted(writeln!(stdout, "{}", text.as_ref()).and_then(|()| stdout.flush()));
}

/// An answer that is not only lines: a script, a page.
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

/// The failure of a command whose answer did not reach standard output, where it did not.
pub(super) fn lost() -> Option<Failure> {
    let why = LOST.get()?;
    Some(Failure::new(Exit::Output, format!("the answer could not be written to standard output: {why}")))
}

/// An answer as JSON, for people to read as well.
pub(super) fn json(answer: &impl Serialize) {
    // Text, numbers and lists of text: nothing that JSON cannot hold.
    if let Ok(json) = serde_json::to_string_pretty(answer) {
        line(json);
    }
}

/// An answer as a line of JSON, for machines.
pub(super) fn json_line(answer: &impl Serialize) {
    if let Ok(json) = serde_json::to_string(answer) {
        line(json);
    }
}

/// A failure; `of` is the job that it ended. As text it is for a person to read; where the log is JSON it is an
/// event of the log, so that standard error stays what its reader expects.
pub(super) fn failure(form: Form, of: Option<&str>, failure: &Failure) {
    let Failure { what, hint, exit, .. } = failure;
    if form == Form::Json && tracing::dispatcher::has_been_set() {
        tracing::error!(job = of, hint = hint.as_deref(), exit_status = exit.code(), "{what}");
        return;
    }
    let colours = colours_of(&io::stderr());
    let of = of.map(|job| format!("{job}: ")).unwrap_or_default();
    let mut text = format!("{} {of}{}\n", coloured("error:", Colour::Red, colours), plain_lines(what));
    if let Some(hint) = hint {
        text += &format!("  {} {}\n", coloured("hint:", Colour::Green, colours), plain_lines(hint));
    }
    stderr::say(text.as_bytes());
}

/// What a person should know although nothing failed.
pub(super) fn warning(form: Form, of: Option<&str>, text: &str) {
    if is_quiet() {
        return;
    }
    if form == Form::Json {
        tracing::warn!(job = of, "{text}");
        return;
    }
    let of = of.map(|job| format!("{job}: ")).unwrap_or_default();
    let label = coloured("warning:", Colour::Yellow, colours_of(&io::stderr()));
    stderr::say(format!("{label} {of}{}\n", plain_lines(text)).as_bytes());
}

/// What a person should know about an answer, on standard error; a log of JSON has no place for it.
pub(super) fn note(form: Form, text: &str) {
    if form == Form::Text && !is_quiet() {
        stderr::say(format!("{}\n", plain_lines(text)).as_bytes());
    }
}

/// The colours in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Red,
    Green,
    Yellow,
    Grey,
}

/// A word in a colour, where colours are wanted.
pub(super) fn coloured(word: &str, colour: Colour, wanted: bool) -> String {
    let code = match colour {
        Colour::Red => "1;31",
        Colour::Green => "32",
        Colour::Yellow => "33",
        Colour::Grey => "2",
    };
    if wanted { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() }
}

/// Whether colours are wanted there: on a terminal that has them, unless `NO_COLOR` says otherwise
/// (<https://no-color.org>).
pub(super) fn colours_of(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A run report as a line of JSON.
pub(super) fn report(report: &RunReport) {
    // Text, numbers and lists of text: nothing that JSON cannot hold.
    if let Ok(json) = serde_json::to_string(report) {
        line(json);
    }
}

/// A run report beside data: to standard error.
pub(super) fn report_aside(report: &RunReport) {
    if let Ok(json) = serde_json::to_string(report) {
        stderr::say(format!("{json}\n").as_bytes());
    }
}
