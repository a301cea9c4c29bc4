//! The command line, with one file per command. Only this module prints; the engine does the work.

mod check;
mod complete;
mod daemon;
#[cfg(feature = "demo-org")]
mod demo;
mod describe;
mod history;
mod init;
mod jobs;
mod keygen;
mod log;
mod man;
mod objects;
mod print;
mod process;
mod progress;
mod query;
mod run;
mod schema;
mod shell;
mod stderr;
mod table;
mod token;
mod watermark;
mod whoami;

use std::io::{self, IsTerminal};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueHint};
use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use crate::config::{self, Config, FlagValue, Selection, Settings, Sources};
use crate::error::{Exit, Failure, io_text};
use crate::export::Edges;
use crate::human;
use crate::job::shard::ShardBy;
use crate::job::{ObjectName, path_text};
use crate::monitor::{Monitor, Several};
use crate::state::State;
use crate::stop::Stop;
use crate::threads;

/// Export Salesforce data to CSV, JSON Lines or Parquet files, completely or not at all.
#[derive(Debug, Parser)]
#[command(name = "sfexport", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  sfexport demo                        try everything against an embedded org
  sfexport init                        write a configuration and a first job
  sfexport check                       find out what would fail, and why
  sfexport run accounts                export one job now
  sfexport run --all --json            export every job, with a report for each
  sfexport query 'SELECT Id, Name FROM Account' -o accounts.csv

Exit status:
  0   exported: every counted record is in the file, or the report says why
  1   anything else, or several jobs that failed differently
  2   the command line is wrong
  65  the org refused the query
  69  the org could not be reached, or kept failing    (worth a retry)
  70  the export is complete, the command after it failed  (worth a retry)
  73  the output could not be written
  74  the result was incomplete                        (worth a retry)
  75  a limit or a lock: try again later               (worth a retry)
  77  the login was refused
  78  the configuration is wrong
  130, 143  stopped by SIGINT, SIGTERM";

/// Reads a path of this system, and refuses other addresses.
fn local_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.to_str().and_then(path_text::not_local) {
        Some(not_local) => Err(format!("it {}; {}", not_local.reason(), not_local.hint())),
        None => Ok(path),
    })
}

/// Reads an object's name.
fn object_name(text: &str) -> Result<ObjectName, String> {
    ObjectName::parse(text).map_err(|error| error.to_string())
}

/// Reads what stays in one shard.
fn shard_by() -> impl TypedValueParser<Value = ShardBy> {
    PossibleValuesParser::new(ShardBy::ALL.map(ShardBy::as_str))
        .map(|text| ShardBy::ALL.into_iter().find(|by| by.as_str() == text).unwrap_or_default())
}

/// Reads a whole number in this range, which the error shows.
fn whole<T>(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u64>,
{
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            match (*range.start(), *range.end()) {
                (0, u64::MAX) => "write a whole number".to_owned(),
                (least, u64::MAX) => format!("write a whole number, {least} or more"),
                (least, most) => format!("write a whole number from {least} to {most}"),
            }
        })
    }
}

/// The options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Common {
    /// Read this configuration file [default: $SFEXPORT_CONFIG, or sfexport.toml]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Keep the history, locks and schedule marks in this directory
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    state_dir: Option<String>,
    /// Write outputs below this directory
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output_root: Option<String>,
    /// Log to standard error as text for people or as JSON Lines
    #[arg(long, global = true, value_enum, hide_possible_values = true, value_name = "text|json", default_value_t = log::Form::Text)]
    log_format: log::Form,
    /// Log this level and more severe ones: error, warn, info, debug or trace [default: $SFEXPORT_LOG, or info]
    #[arg(long, global = true, value_name = "LEVEL", value_parser = log::level)]
    log_level: Option<tracing::Level>,
    /// Show only failures: no progress, no warnings, no results
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "log_level"])]
    quiet: bool,
    /// Show what is done, request by request
    #[arg(short, long, global = true, conflicts_with = "log_level")]
    verbose: bool,
}

impl Common {
    /// The log level, if the command line sets one.
    fn level(&self) -> Option<tracing::Level> {
        match (self.quiet, self.verbose) {
            (true, _) => Some(tracing::Level::ERROR),
            (_, true) => Some(tracing::Level::DEBUG),
            _ => self.log_level,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Export jobs now
    Run(run::RunArguments),
    /// Export the result of one query, without a job file
    Query(query::QueryArguments),
    /// List the jobs with their next and last runs
    Jobs(jobs::JobsArguments),
    /// List past runs, newest first
    History(history::HistoryArguments),
    /// Run jobs on their schedules until a signal arrives
    #[command(after_help = daemon::AFTER_HELP)]
    Daemon,
    /// Try everything that a run depends on, without exporting
    Check(check::CheckArguments),
    /// List the objects of an org
    Objects(objects::ObjectsArguments),
    /// List the fields of an object
    Fields(objects::FieldsArguments),
    /// Show the columns of an export and their types, or the SQL that loads it
    Describe(describe::DescribeArguments),
    /// Show how far an incremental export has come, or move its mark
    Watermark(watermark::WatermarkArguments),
    /// Show the user, org, instance and scopes of the login
    Whoami(whoami::WhoamiArguments),
    /// Print an access token for other tools
    Token(token::TokenArguments),
    /// Make a private key and the certificate to upload
    Keygen(keygen::KeygenArguments),
    /// Write a commented configuration and a first job
    Init(init::InitArguments),
    /// Print the JSON Schema of sfexport.toml or of a job file
    Schema(schema::SchemaArguments),
    /// Export from an embedded org: no account, no network
    #[cfg(feature = "demo-org")]
    Demo(demo::DemoArguments),
    /// Print a shell's completion script
    #[command(after_help = shell::AFTER_HELP)]
    Completions(shell::CompletionsArguments),
    /// Print a page of the manual, for `man -l -`
    #[command(after_help = man::AFTER_HELP)]
    Man(man::ManArguments),
}

/// Reads the arguments, runs the command, and returns the exit status.
#[must_use]
pub fn main() -> ExitCode {
    // If a shell asks for completions, nothing else happens.
    clap_complete::CompleteEnv::with_factory(Arguments::command).complete();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Clap prints help and the version to standard output, and they are not failures.
            if error.use_stderr() && log::wants_json(std::env::args_os()) {
                let level = Some(tracing::Level::ERROR);
                if log::start(log::Form::Json, level, tracing::Level::ERROR, &progress::Bars::new()).is_ok() {
                    print::failure(log::Form::Json, None, &misused(&error));
                    stderr::flush();
                    return ExitCode::from(Exit::Usage.code());
                }
            }
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
        }
    };
    let form = arguments.common.log_format;
    process::raise_descriptor_limit();
    let exit = signals().and_then(|stop| within_a_runtime(arguments, stop)).unwrap_or_else(|failure| {
        print::failure(form, None, &failure);
        failure.exit
    });
    let exit = match print::lost() {
        Some(failure) if exit == Exit::Success => {
            print::failure(form, None, &failure);
            failure.exit
        }
        _ => exit,
    };
    stderr::flush();
    ExitCode::from(exit.code())
}

fn within_a_runtime(arguments: Arguments, stop: Stop) -> Result<Exit, Failure> {
    let runtime = process::runtime(network_threads(&arguments.command))?;
    let exit = runtime.block_on(act(arguments, stop));
    // Work that still waits for a disk, such as pruning the history, does not delay the end of the process.
    runtime.shutdown_background();
    exit
}

/// The number of network threads. Pages are read and written on separate threads. A second one does not make a single
/// export faster, and costs 1.5 MiB and CPU time (docs/internals/performance.md).
fn network_threads(command: &Command) -> usize {
    match command {
        Command::Query(_) => 1,
        Command::Run(arguments) if arguments.is_one_job() => 1,
        _ => 2,
    }
}

/// Clap's error as a failure: the first sentence is the message, the rest is the hint.
fn misused(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let on_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (what, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let failure = Failure::new(Exit::Usage, on_one_line(what.trim_start_matches("error: ")));
    match on_one_line(rest) {
        hint if hint.is_empty() => failure,
        hint => failure.hint(hint),
    }
}

async fn act(arguments: Arguments, stop: Stop) -> Result<Exit, Failure> {
    let Arguments { common, command } = arguments;
    // Records on the same terminal would appear behind a progress bar and be erased with it.
    let is_streamed = matches!(&command, Command::Query(arguments) if arguments.is_streamed());
    let bars = match common.quiet || is_streamed && io::stdout().is_terminal() {
        true => progress::Bars::hidden(),
        false => progress::Bars::new(),
    };
    print::set_quiet(common.quiet);
    log::start(common.log_format, common.level(), default_level(&command, common.log_format), &bars)?;
    let context = Context { common, bars, stop };
    match command {
        Command::Run(arguments) => run::run(arguments, &context).await,
        Command::Query(arguments) => query::query(arguments, &context).await,
        Command::Jobs(arguments) => jobs::jobs(&arguments, &context),
        Command::History(arguments) => history::history(&arguments, &context),
        Command::Daemon => daemon::daemon(&context).await,
        Command::Check(arguments) => check::check(&arguments, &context).await,
        Command::Objects(arguments) => objects::objects(&arguments, &context).await,
        Command::Fields(arguments) => objects::fields(&arguments, &context).await,
        Command::Describe(arguments) => describe::describe(&arguments, &context).await,
        Command::Watermark(arguments) => watermark::watermark(&arguments, &context).await,
        Command::Whoami(arguments) => whoami::whoami(&arguments, &context).await,
        Command::Token(arguments) => token::token(&arguments, &context).await,
        Command::Keygen(arguments) => keygen::keygen(&arguments),
        Command::Init(arguments) => init::init(&arguments, &context).await,
        Command::Schema(arguments) => Ok(schema::schema(&arguments)),
        Command::Completions(arguments) => shell::completions(&arguments),
        Command::Man(arguments) => man::man(&arguments),
        #[cfg(feature = "demo-org")]
        Command::Demo(arguments) => demo::demo(arguments, &context).await,
    }
}

/// The default log level. Commands that print what they do log only warnings, and so does a run on a terminal, which has
/// a progress bar and a result.
fn default_level(command: &Command, form: log::Form) -> tracing::Level {
    let is_watched = form == log::Form::Text && io::stderr().is_terminal();
    match command {
        Command::Daemon => tracing::Level::INFO,
        Command::Run(_) | Command::Query(_) if !is_watched => tracing::Level::INFO,
        _ => tracing::Level::WARN,
    }
}

/// What all commands share.
struct Context {
    common: Common,
    bars: progress::Bars,
    stop: Stop,
}

impl Context {
    /// Does the work, unless a signal arrives before it is done.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            failure = self.stop.requested() => Err(failure),
            done = work => Ok(done),
        }
    }

    /// The sources of the configuration: this process's flags, environment and directory.
    fn sources(&self) -> Result<Sources, Failure> {
        let flag =
            |flag, key, value: &Option<String>| value.clone().map(|value| FlagValue { flag, key, value });
        let flags = [
            flag("--state-dir", "state_dir", &self.common.state_dir),
            flag("--output-root", "output_root", &self.common.output_root),
        ];
        Ok(Sources {
            config_flag: self.common.config.clone(),
            environment: std::env::vars_os().collect(),
            working_dir: working_dir()?,
            flags: flags.into_iter().flatten().collect(),
            memory_limit: crate::memory::limit(),
        })
    }

    /// The configuration, with its warnings in the log.
    fn config(&self, selection: &Selection) -> Result<Config, Failure> {
        let config = config::load(&self.sources()?, selection)?;
        for warning in &config.warnings {
            let (what, hint) = warning.clone().split();
            tracing::warn!(hint, "{what}");
        }
        Ok(config)
    }

    fn edges(&self, settings: &Settings, state: Option<State>) -> Arc<Edges> {
        self.edges_told(settings, state, Vec::new())
    }

    /// The edges, with additional monitors of the runs besides the terminal.
    fn edges_told(
        &self,
        settings: &Settings,
        state: Option<State>,
        mut monitors: Vec<Arc<dyn Monitor>>,
    ) -> Arc<Edges> {
        monitors.push(Arc::new(self.bars.clone()));
        let monitor = Arc::new(Several(monitors));
        Arc::new(Edges::new(settings, Arc::new(clock::System::new()), monitor, state))
    }
}

fn working_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        Failure::new(Exit::General, format!("cannot find the working directory: {}", io_text(&error)))
    })
}

/// Handles SIGINT and SIGTERM. The first one stops the work, the second one ends the process. This has a separate thread,
/// so busy network threads do not delay it.
///
/// SIGXFSZ is handled and has no effect. By default it would end the process, even a daemon, if a file exceeds
/// `ulimit -f`. With a handler, only the write fails. Child processes keep the default, which they would not if the
/// signal were ignored.
fn signals() -> Result<Stop, Failure> {
    let cannot = |error: io::Error| {
        Failure::new(Exit::General, format!("cannot receive signals: {}", io_text(&error)))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(cannot)?;
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        // Tokio never removes a handler.
        let too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        drop(signal(too_large).map_err(cannot)?);
        (signal(SignalKind::interrupt()).map_err(cannot)?, signal(SignalKind::terminate()).map_err(cannot)?)
    };
    let (sender, stop) = Stop::new();
    let listen = async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => Exit::Interrupted,
                _ = terminate.recv() => Exit::Terminated,
            }
        };
        sender.signalled(next().await);
        next().await
    };
    threads::spawn("signals", move || {
        let exit = runtime.block_on(listen);
        // A second signal always ends the process, even if a disk or a reader hangs. The next run removes the stage.
        #[expect(clippy::exit, reason = "nothing else is sure to end a process with a thread that hangs")]
        std::process::exit(i32::from(exit.code()));
    })?;
    Ok(stop)
}
