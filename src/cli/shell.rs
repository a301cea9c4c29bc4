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
    /// The verb whose page is wanted [default: the page of sfexport itself]
    verb: Option<String>,
    /// Write the pages of sfexport and of every verb into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
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
    // What `help VERB` says is on the pages.
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder)
            .and_then(|()| {
                let verbs = command.get_subcommands().cloned();
                verbs.chain([command.clone()]).try_for_each(|page| man_of(page).generate_to(folder).map(drop))
            })
            .map_err(|error| Failure::of_file(Exit::Output, "cannot write the pages to", folder, &error))?;
        return Ok(Exit::Success);
    }
    let page = match &arguments.verb {
        None => command,
        Some(verb) => verb_of(&command, verb)?,
    };
    let mut text = Vec::new();
    man_of(page)
        .render(&mut text)
        .map_err(|error| Failure::new(Exit::General, format!("the page cannot be made: {error}")))?;
    print::bytes(&text);
    Ok(Exit::Success)
}

fn man_of(command: Command) -> Man {
    // A verb's own command knows neither the program's name nor its version.
    Man::new(command).source(concat!("sfexport ", env!("CARGO_PKG_VERSION"))).manual("sfexport")
}

fn verb_of(command: &Command, verb: &str) -> Result<Command, Failure> {
    command.find_subcommand(verb).cloned().ok_or_else(|| {
        let verbs: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        Failure::new(Exit::Usage, format!("there is no verb {verb:?}"))
            .hint(format!("the verbs are {}", verbs.join(", ")))
    })
}
