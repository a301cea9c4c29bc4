//! Logs, to standard error: as text for people, or as JSON for those who collect them.

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
    /// A JSON object a line.
    Json,
}

/// Whether these arguments ask for a log of JSON: for where they cannot be parsed.
pub(super) fn wants_json(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let arguments: Vec<_> = arguments.map(|argument| argument.to_string_lossy().into_owned()).collect();
    let asked = |pair: &[String]| pair[0] == "--log-format" && pair[1] == "json";
    arguments.windows(2).any(asked) || arguments.iter().any(|argument| argument == "--log-format=json")
}

/// Starts to log. `level` overrules `SFEXPORT_LOG`, which may also hold directives for single modules; without both it
/// is `default`.
pub(super) fn start(
    form: Form,
    level: Option<tracing::Level>,
    default: tracing::Level,
    bars: &Bars,
) -> Result<(), Failure> {
    let wanted = level.map(|level| level.to_string());
    let wanted = wanted.or_else(|| std::env::var("SFEXPORT_LOG").ok()).unwrap_or_default();
    // A bare level is for sfexport; what libraries say beneath it is of no use to people who run exports.
    let directives = match wanted.trim() {
        "" => format!("warn,sfexport={default}"),
        level if !level.contains(['=', ',']) => format!("warn,sfexport={level}"),
        directives => directives.to_owned(),
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::new(Exit::Usage, format!("SFEXPORT_LOG {wanted:?} is not a log level: {error}"))
            .hint("use error, warn, info, debug or trace")
    })?;
    stderr::start(bars.drawn());
    // A log that cannot be written is lost, and nothing else: the library would tell of it by a panic.
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
