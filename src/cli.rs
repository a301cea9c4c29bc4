//! The command line: one file a command, and the only place that prints. What a command does is done by the engine.

mod check;
mod daemon;
#[cfg(feature = "demo-org")]
mod demo;
mod history;
mod init;
mod jobs;
mod keygen;
mod log;
mod print;
mod progress;
mod query;
mod run;
mod schema;
mod shell;
mod stderr;
mod table;
mod token;
mod whoami;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use crate::config::{FlagValue, Settings, Sources};
use crate::error::{Exit, Failure};
use crate::export::Edges;
use crate::monitor::{Monitor, Several};
use crate::state::State;
use crate::stop::Stop;

/// Exports Salesforce data: a SOQL query to a CSV or JSON Lines file, whole or not at all.
#[derive(Debug, Parser)]
#[command(name = "sfexport", version, max_term_width = 100, after_help = EXIT_STATUS)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 every record that the org counted is in the file; 65 the query was refused; \
69 the org could not be reached; 73 the output could not be written; 74 the result was incomplete; 75 try again later; \
77 the login was refused; 78 the configuration is wrong. 69, 74 and 75 are worth a retry.";

/// What every command takes.
#[derive(Debug, Args)]
struct Common {
    /// The configuration file [default: sfexport.toml, or what SFEXPORT_CONFIG names]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the history, the locks and the schedule marks are kept
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<String>,
    /// The directory that relative outputs go to and none leaves
    #[arg(long, global = true, value_name = "DIR")]
    output_root: Option<String>,
    /// How logs are written to standard error
    #[arg(long, global = true, value_enum, default_value_t = log::Form::Text)]
    log_format: log::Form,
    /// What is logged: error, warn, info, debug or trace [default: what SFEXPORT_LOG says, or info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<tracing::Level>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Export jobs now
    Run(run::RunArguments),
    /// Export the result of one query, without a job file
    Query(query::QueryArguments),
    /// The jobs: their schedules, next and last runs
    Jobs(jobs::JobsArguments),
    /// Past runs, the newest first
    History(history::HistoryArguments),
    /// Run jobs as their schedules say, until a signal: SIGHUP reads the configuration anew, SIGTERM and SIGINT
    /// let runs end, a second one does not
    Daemon,
    /// Try everything that a run depends on, step by step, without exporting
    Check(check::CheckArguments),
    /// Say who the login is: user, org, instance and scopes
    Whoami(whoami::WhoamiArguments),
    /// Print an access token for other tools
    Token(token::TokenArguments),
    /// Make a private key and the certificate to upload
    Keygen(keygen::KeygenArguments),
    /// Write a commented configuration and a first job
    Init(init::InitArguments),
    /// Print the JSON Schema of sfexport.toml or of a job file, for editors
    Schema(schema::SchemaArguments),
    /// Everything against an embedded Salesforce look-alike: no account, no network
    #[cfg(feature = "demo-org")]
    Demo(demo::DemoArguments),
    /// Print a shell's completion script
    Completions(shell::CompletionsArguments),
    /// Print a page of the manual
    Man(shell::ManArguments),
}

/// Reads the arguments, does what they say, and gives the exit status.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and the version go to standard output and are no failure; clap knows.
            if error.use_stderr() && log::wants_json(std::env::args_os()) {
                let level = Some(tracing::Level::ERROR);
                if log::start(log::Form::Json, level, true, &progress::Bars::new()).is_ok() {
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(network_threads(&arguments.command))
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::General, format!("cannot start: {error}")))?;
    let exit = runtime.block_on(act(arguments, stop));
    // What still waits for a disk, as the pruning of the history may, keeps no process from its end.
    runtime.shutdown_background();
    exit
}

/// How many threads the network has; pages are read and written on threads of their own. A second one saves a single
/// export no time, and costs it 1.5 MiB and the CPU of waking each other (docs/internals/performance.md).
fn network_threads(command: &Command) -> usize {
    match command {
        Command::Query(_) => 1,
        Command::Run(arguments) if arguments.is_one_job() => 1,
        _ => 2,
    }
}

/// What clap says of a command line, as a failure: its first sentence, and the rest as the hint.
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
    // Records on the very terminal that a bar is drawn on would stand behind it, and be wiped off with it.
    let is_streamed = matches!(&command, Command::Query(arguments) if arguments.is_streamed());
    let bars = match is_streamed && io::stdout().is_terminal() {
        true => progress::Bars::hidden(),
        false => progress::Bars::new(),
    };
    // Every other command says itself what it does.
    let quiet = !matches!(&command, Command::Run(_) | Command::Query(_) | Command::Daemon);
    log::start(common.log_format, common.log_level, quiet, &bars)?;
    let context = Context { common, bars, stop };
    match command {
        Command::Run(arguments) => run::run(arguments, &context).await,
        Command::Query(arguments) => query::query(arguments, &context).await,
        Command::Jobs(arguments) => jobs::jobs(&arguments, &context),
        Command::History(arguments) => history::history(&arguments, &context),
        Command::Daemon => daemon::daemon(&context).await,
        Command::Check(arguments) => check::check(&arguments, &context).await,
        Command::Whoami(arguments) => whoami::whoami(&arguments, &context).await,
        Command::Token(arguments) => token::token(&arguments, &context).await,
        Command::Keygen(arguments) => keygen::keygen(&arguments),
        Command::Init(arguments) => init::init(&arguments, &context),
        Command::Schema(arguments) => Ok(schema::schema(&arguments)),
        Command::Completions(arguments) => Ok(shell::completions(&arguments)),
        Command::Man(arguments) => shell::man(&arguments),
        #[cfg(feature = "demo-org")]
        Command::Demo(arguments) => demo::demo(arguments, &context).await,
    }
}

/// What the commands share.
struct Context {
    common: Common,
    bars: progress::Bars,
    stop: Stop,
}

impl Context {
    /// Where the configuration is read from: this process's flags, environment and directory.
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
        })
    }

    fn edges(&self, settings: &Settings, state: Option<State>) -> Arc<Edges> {
        self.edges_told(settings, state, Vec::new())
    }

    /// The world, with more who listen to the runs beside the terminal.
    fn edges_told(
        &self,
        settings: &Settings,
        state: Option<State>,
        mut monitors: Vec<Arc<dyn Monitor>>,
    ) -> Arc<Edges> {
        monitors.push(Arc::new(self.bars.clone()));
        let monitor = Arc::new(Several(monitors));
        Arc::new(Edges::new(&settings.http, Arc::new(clock::System::new()), monitor, state))
    }
}

fn working_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::new(Exit::General, format!("cannot tell the working directory: {error}")))
}

/// Listens for SIGINT and SIGTERM; the first one stops what is going on, the second one ends the process. On a thread
/// of its own: whatever keeps the network's threads, signals are heard.
fn signals() -> Result<Stop, Failure> {
    let cannot =
        |error: io::Error| Failure::new(Exit::General, format!("cannot listen for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(cannot)?;
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
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
    let listener = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let exit = runtime.block_on(listen);
        // Whatever hangs, a disk or a reader, a second signal ends. A stage left so is swept by the next run.
        #[expect(clippy::exit, reason = "nothing else is sure to end a process with a thread that hangs")]
        std::process::exit(i32::from(exit.code()));
    });
    listener.map(|_| stop).map_err(cannot)
}
