//! `sfexport man` prints the manual. The pages of section 1 are generated from the arguments, and the pages of section 5
//! from the table of keys.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;
use roff::{Roff, bold, italic, roman};

use super::{Arguments, print};
use crate::config::{self, Table, Unwritten};
use crate::error::{Exit, Failure};

pub(super) const AFTER_HELP: &str = "\
Examples:
  sfexport man job | man -l -    read the page about job files
  sfexport man --out DIR         write all pages to a directory";

#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// The page: a command, sfexport.toml or job [default: the page of sfexport itself]
    #[arg(value_name = "PAGE")]
    page: Option<String>,
    /// Write every page into this directory instead
    #[arg(long, value_name = "DIR", conflicts_with = "page", value_hint = clap::ValueHint::DirPath, value_parser = super::local_path())]
    out: Option<PathBuf>,
}

/// A page of section 5.
struct FilePage {
    /// Its name on the command line.
    name: &'static str,
    title: &'static str,
    about: &'static str,
    description: &'static str,
    /// The tables of keys with their headings.
    keys: &'static [(&'static str, Table)],
    example: &'static str,
}

const FILES: [FilePage; 2] = [
    FilePage {
        name: "sfexport.toml",
        title: "sfexport.toml",
        about: "the configuration of sfexport",
        description: "The file is TOML. Without --config and SFEXPORT_CONFIG it is sfexport.toml in the working \
                      directory. Relative paths are relative to the directory of the file that contains them. \
                      Environment variables take precedence over it. The table [defaults] may have any key of \
                      sfexport-job(5); it applies to each job that does not set the key itself.",
        keys: &[("SETTINGS", Table::Settings), ("ORGS: [org] AND [orgs.NAME]", Table::Org)],
        example: "[org]\n\
                  login_url = \"https://login.salesforce.com\"\n\
                  client_id = \"3MVG9...\"\n\
                  username  = \"integration@example.com\"\n\
                  key_file  = \"server.key\"",
    },
    FilePage {
        name: "job",
        title: "sfexport-job",
        about: "a job file of sfexport",
        description: "Each file NAME.toml in jobs_dir is a job called NAME, written in TOML.",
        keys: &[("KEYS", Table::Job), ("KEYS OF [objects_with.NAME]", Table::Object)],
        example: "soql     = \"SELECT Id, Name, Owner.Name FROM Account\"\n\
                  output   = \"accounts/{date:%Y-%m-%d}.csv\"\n\
                  schedule = \"0 2 * * *\"\n\
                  timezone = \"Europe/Berlin\"\n\
                  \n\
                  # Another job: many objects, each in a file of its own.\n\
                  objects  = [\"*\", \"!*Share\"]\n\
                  output   = \"backup/{date:%Y-%m-%d}/{object}.csv.gz\"\n\
                  \n\
                  # What is special about one of them.\n\
                  [objects_with.Task]\n\
                  where    = \"CreatedDate = LAST_N_DAYS:90\"",
    },
];

/// Prints a page of the manual, or writes all of them.
pub(super) fn man(arguments: &ManArguments) -> Result<Exit, Failure> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    if let Some(directory) = &arguments.out {
        return write_all(&command, directory).map(|()| Exit::Success);
    }
    let name = arguments.page.as_deref().unwrap_or("sfexport");
    let page = pages(&command).find(|(known, _, _)| known == name);
    let (_, _, text) = page.ok_or_else(|| {
        let names: Vec<_> = pages(&command).map(|(name, _, _)| name).collect();
        Failure::new(Exit::Usage, format!("there is no manual page {name:?}"))
            .hint(format!("choose one of {}", names.join(", ")))
    })?;
    print::bytes(text.as_bytes());
    Ok(Exit::Success)
}

fn write_all(command: &Command, directory: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::of_file(Exit::Output, "cannot write the manual to", directory, &error);
    std::fs::create_dir_all(directory).map_err(failed)?;
    pages(command).try_for_each(|(_, file, text)| std::fs::write(directory.join(file), text)).map_err(failed)
}

/// Every page: its name, its file and its text.
fn pages(command: &Command) -> impl Iterator<Item = (String, String, String)> {
    let of_command = |command: &Command| {
        let name = command.get_name().to_owned();
        let page = command.get_display_name().unwrap_or(&name).to_owned();
        (name, format!("{page}.1"), of_command(command))
    };
    let commands = std::iter::once(command).chain(command.get_subcommands()).map(of_command);
    let files = FILES.iter().map(|page| (page.name.to_owned(), format!("{}.5", page.title), of_file(page)));
    commands.chain(files)
}

/// The page of a command. The help after the options becomes sections: one for each paragraph with a heading, such as
/// `Examples:`, and notes for the others.
fn of_command(command: &Command) -> String {
    let is_whole = command.get_name() == "sfexport";
    // A subcommand does not have the program's name and version.
    let man = Man::new(command.clone().after_help("").after_long_help(""))
        .source(concat!("sfexport ", env!("CARGO_PKG_VERSION")))
        .manual("sfexport");
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = man.render_title(&mut text);
    let _ = man.render_name_section(&mut text);
    let mut synopsis = Roff::new();
    let usage = command.clone().render_usage().to_string();
    synopsis.control("SH", ["SYNOPSIS"]).text([roman(usage.trim_start_matches("Usage: "))]);
    text.extend_from_slice(synopsis.to_roff().as_bytes());
    // The name section already has the short description.
    if command.get_long_about().is_some() {
        let _ = man.render_description_section(&mut text);
    }
    let _ = man.render_options_section(&mut text);
    if is_whole {
        let _ = man.render_subcommands_section(&mut text);
    }
    let mut roff = Roff::new();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for paragraph in after.split("\n\n") {
        match paragraph.split_once(":\n") {
            Some((heading, rest)) => {
                roff.control("SH", [heading.to_uppercase().as_str()]);
                verbatim(&mut roff, rest);
            }
            None if !paragraph.trim().is_empty() => {
                roff.control("SH", ["NOTES"]);
                roff.text([roman(paragraph)]);
            }
            None => {}
        }
    }
    if is_whole {
        common_sections(&mut roff);
    } else {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([
            bold("sfexport"),
            roman("(1), "),
            bold("sfexport.toml"),
            roman("(5), "),
            bold("sfexport-job"),
            roman("(5)"),
        ]);
    }
    text.extend_from_slice(roff.render().as_bytes());
    String::from_utf8_lossy(&text).into_owned()
}

fn common_sections(roff: &mut Roff) {
    roff.control("SH", ["ENVIRONMENT"]);
    for (name, about) in [
        ("SFEXPORT_CONFIG", "The configuration file; --config takes precedence."),
        (
            "SFEXPORT_LOG",
            "The log level, or directives such as warn,sfexport=debug; --log-level takes precedence.",
        ),
        (
            "SFEXPORT_ORG__LOGIN_URL, SFEXPORT_ORG__CLIENT_ID, SFEXPORT_ORG__USERNAME, SFEXPORT_ORG__KEY, ...",
            "The keys of [org] in sfexport.toml, which they override. SFEXPORT_ORGS__NAME__... does the same for \
             [orgs.NAME], and SFEXPORT_STATE_DIR, SFEXPORT_HTTP__ATTEMPTS and so on for the settings.",
        ),
        (
            "HTTPS_PROXY, HTTP_PROXY, NO_PROXY",
            "The proxy for outgoing connections, and the hosts that need none.",
        ),
        ("NO_COLOR", "If set and not empty, output has no colors."),
        ("NOTIFY_SOCKET, WATCHDOG_USEC", "Set by systemd: the daemon reports to it."),
    ] {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(about)]);
    }
    roff.control("SH", ["FILES"]);
    for (name, about) in [
        ("sfexport.toml", "The configuration: sfexport.toml(5)."),
        ("jobs/NAME.toml", "A job: sfexport-job(5)."),
        ("state/", "The history, locks and schedule marks; state_dir names another directory."),
        ("exports/", "Where relative outputs go; output_root names another directory."),
    ] {
        roff.control("TP", []);
        roff.text([italic(name)]);
        roff.text([roman(about)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("sfexport.toml"), roman("(5), "), bold("sfexport-job"), roman("(5)")]);
}

fn verbatim(roff: &mut Roff, text: &str) {
    roff.control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

/// The page of a file: its keys, each with its type and its default.
fn of_file(page: &FilePage) -> String {
    let source = concat!("sfexport ", env!("CARGO_PKG_VERSION"));
    let mut roff = Roff::new();
    roff.control("TH", [page.title, "5", "", source, "sfexport"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{} - {}", page.title, page.about))]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(page.description)]);
    for (heading, table) in page.keys {
        roff.control("SH", [*heading]);
        for key in config::keys().filter(|key| key.table == *table) {
            roff.control("TP", []);
            roff.text([bold(key.name), roman(format!(" ({})", key.kind.describe()))]);
            let default = match key.default {
                Unwritten::Required => "Required.".to_owned(),
                Unwritten::Is(value) => format!("Default: {value}"),
                Unwritten::RequiredUnless(words) => format!("Required, unless {words}."),
                Unwritten::Otherwise(words) => format!("Default: {words}"),
            };
            // Manual pages have no Markdown.
            roff.text([roman(format!("{} {default}", key.about).replace('`', ""))]);
        }
    }
    roff.control("SH", ["EXAMPLES"]);
    verbatim(&mut roff, page.example);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("sfexport"), roman("(1)")]);
    roff.render()
}
