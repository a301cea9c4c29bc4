//! `sfexport completions` prints the script with which a shell asks this binary for completions.

use clap::Args;
use clap_complete::Shell;
use clap_complete::env::Shells;

use super::print;
use crate::error::{Exit, Failure, io_text};

pub(super) const AFTER_HELP: &str = "\
Examples:
  sfexport completions bash > ~/.local/share/bash-completion/completions/sfexport
  sfexport completions zsh > DIR/_sfexport    for a directory of $fpath
  sfexport completions fish > ~/.config/fish/completions/sfexport.fish";

#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a shell's completion script.
///
/// # Errors
/// [`Exit::General`] if there is no script for the shell.
pub(super) fn completions(arguments: &CompletionsArguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    let name = arguments.shell.to_string();
    let failed =
        |why: &str| Failure::new(Exit::General, format!("cannot write completions for {name}: {why}"));
    let shells = Shells::builtins();
    let shell = shells.completer(&name).ok_or_else(|| failed("the shell is not supported"))?;
    shell
        .write_registration("COMPLETE", "sfexport", "sfexport", "sfexport", &mut script)
        .map_err(|error| failed(&io_text(&error)))?;
    print::bytes(&script);
    Ok(Exit::Success)
}
