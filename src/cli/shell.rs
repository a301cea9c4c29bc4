//! `sfexport completions` and `sfexport man`: what a shell and `man` know of the arguments, made of their very
//! declarations.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Arguments, print};
use crate::error::{Exit, Failure};

#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// The command whose page is wanted [default: the page of sfexport itself]
    command: Option<String>,
    /// Write the pages of sfexport and of every command into this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

/// Prints a shell's completion script.
pub(super) fn completions(arguments: &CompletionsArguments) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "sfexport", &mut script);
    print::bytes(&script);
    Exit::Success
}

/// Prints a page of the manual, or writes all of them.
pub(super) fn man(arguments: &ManArguments) -> Result<Exit, Failure> {
    // What `help COMMAND` says is on the pages.
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    if let Some(directory) = &arguments.out {
        std::fs::create_dir_all(directory)
            .and_then(|()| {
                let commands = command.get_subcommands().cloned();
                commands
                    .chain([command.clone()])
                    .try_for_each(|page| man_of(page).generate_to(directory).map(drop))
            })
            .map_err(|error| {
                Failure::of_file(Exit::Output, "cannot write the pages to", directory, &error)
            })?;
        return Ok(Exit::Success);
    }
    let page = match &arguments.command {
        None => command,
        Some(name) => subcommand(&command, name)?,
    };
    let mut text = Vec::new();
    man_of(page)
        .render(&mut text)
        .map_err(|error| Failure::new(Exit::General, format!("the page cannot be made: {error}")))?;
    print::bytes(&text);
    Ok(Exit::Success)
}

fn man_of(command: Command) -> Man {
    // A subcommand by itself knows neither the program's name nor its version.
    Man::new(command).source(concat!("sfexport ", env!("CARGO_PKG_VERSION"))).manual("sfexport")
}

fn subcommand(command: &Command, name: &str) -> Result<Command, Failure> {
    command.find_subcommand(name).cloned().ok_or_else(|| {
        let commands: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        Failure::new(Exit::Usage, format!("there is no command {name:?}"))
            .hint(format!("the commands are {}", commands.join(", ")))
    })
}
