//! `sfexport schema` prints the JSON Schemas of the two files.

use clap::{Args, ValueEnum};

use super::print;
use crate::config::{self, Table};
use crate::error::Exit;

#[derive(Debug, Args)]
pub(super) struct SchemaArguments {
    /// The file to print the schema of
    #[arg(value_enum)]
    file: FileArgument,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FileArgument {
    /// sfexport.toml
    Config,
    /// A job file
    Job,
}

/// Prints a schema.
pub(super) fn schema(arguments: &SchemaArguments) -> Exit {
    print::json(&config::schema(match arguments.file {
        FileArgument::Config => Table::Settings,
        FileArgument::Job => Table::Job,
    }));
    Exit::Success
}
