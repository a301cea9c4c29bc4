//! Logs to standard error, as text for people or as JSON for programs.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::progress::Bars;
use super::stderr;
use crate::error::{Exit, Failure};

/// The form of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A line for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Whether these arguments, which may be invalid, ask for a log in JSON.
pub(super) fn wants_json(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let arguments: Vec<_> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let asked = |pair: &[String]| pair[0] == "--log-format" && pair[1] == "json";
    arguments.windows(2).any(asked) || arguments.iter().any(|argument| argument == "--log-format=json")
}

/// What to write as a log level.
const LEVELS: &str = "choose error, warn, info, debug or trace";

/// Reads a log level.
pub(super) fn level(text: &str) -> Result<tracing::Level, String> {
    text.parse().map_err(|_| LEVELS.to_owned())
}

/// Starts the log. `level` overrides `SFEXPORT_LOG`, which may contain directives for modules; the level is `default`
/// without both.
pub(super) fn start(
    form: Form,
    level: Option<tracing::Level>,
    default: tracing::Level,
    bars: &Bars,
) -> Result<(), Failure> {
    let wanted = level.map(|level| level.to_string());
    let wanted = wanted.or_else(|| std::env::var("SFEXPORT_LOG").ok()).unwrap_or_default();
    // A level alone applies only to sfexport, since the messages of libraries do not help users.
    let directives = match wanted.trim() {
        "" => format!("warn,sfexport={default}"),
        level if !level.contains(['=', ',']) => format!("warn,sfexport={level}"),
        directives => directives.to_owned(),
    };
    let filter = EnvFilter::try_new(directives).map_err(|_| {
        Failure::new(Exit::Usage, format!("SFEXPORT_LOG {wanted:?} is not a log level")).hint(LEVELS)
    })?;
    stderr::start(bars.drawn());
    // If the log cannot be written, only the log is lost. The library would panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || stderr::Events { is_json: form == Form::Json })
        .with_target(false)
        .log_internal_errors(false);
    match form {
        Form::Text => builder.with_ansi(false).init(),
        Form::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
