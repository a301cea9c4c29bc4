//! `sfexport describe` shows the columns of an export and their types, as a table or as what a database needs.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::{Context, complete, human, print, table};
use crate::client::OrgClient;
use crate::config::{Config, Selection};
use crate::ddl::{self, Column, Export, File, Target};
use crate::error::{Exit, Failure, plain};
use crate::export::{self, RunError};
use crate::job::output_path::Fields;
use crate::job::{Deletes, ExportKind, Format, Job, ObjectName};
use crate::key;
use crate::output::Output;
use crate::state::State;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct DescribeArguments {
    /// The job
    #[arg(value_name = "JOB", add = complete::jobs())]
    job: String,
    /// The object to describe, of a set of objects
    #[arg(long, value_name = "OBJECT", value_parser = super::object_name, add = complete::objects())]
    object: Option<ObjectName>,
    /// The org to ask, if not the job's
    #[arg(long, value_name = "NAME", add = complete::orgs())]
    org: Option<String>,
    /// Print what this needs to load the files: SQL, or the JSON Schema of a record of JSON Lines
    #[arg(long = "as", value_enum, hide_possible_values = true, value_name = "json-schema|bigquery|snowflake|postgres|duckdb", conflicts_with_all = ["json", "wide"])]
    target: Option<As>,
    /// Print the columns as JSON
    #[arg(long)]
    json: bool,
    /// Do not cut lines to the width of the terminal
    #[arg(long, conflicts_with = "json")]
    wide: bool,
}

const AFTER_HELP: &str = "\
Examples:
  sfexport describe accounts
  sfexport describe accounts --as postgres > accounts.sql
  sfexport describe backup --object Account --as postgres
  sfexport describe accounts --json | jq -r '.files[].columns[] | [.name, .type] | @tsv'

It logs in and asks the org for the fields and types, but for no records, and writes nothing.
The comments of the SQL show the command that loads each file.";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum As {
    JsonSchema,
    #[value(name = "bigquery")]
    BigQuery,
    Snowflake,
    Postgres,
    #[value(name = "duckdb")]
    DuckDb,
}

impl From<As> for Target {
    fn from(target: As) -> Self {
        match target {
            As::JsonSchema => Self::JsonSchema,
            As::BigQuery => Self::BigQuery,
            As::Snowflake => Self::Snowflake,
            As::Postgres => Self::Postgres,
            As::DuckDb => Self::DuckDb,
        }
    }
}

#[derive(Serialize)]
struct Description<'d> {
    job: &'d str,
    org: &'d str,
    format: &'static str,
    soql: &'d str,
    /// How changes are found, if the job is incremental.
    #[serde(skip_serializing_if = "Option::is_none")]
    incremental: Option<&'d Incrementally>,
    files: Vec<FileDescription<'d>>,
}

/// What an incremental export finds changes by, and what it does not find.
#[derive(Serialize)]
struct Incrementally {
    /// The field with the stamp; `None` if the object has none, so it is exported in full each time.
    field: Option<String>,
    /// How deleted records are reported.
    deletes: &'static str,
    /// The columns that only full runs refresh, by their names in the query.
    only_full: Vec<String>,
    /// Whether a run of changes lists deleted records in a second file.
    #[serde(skip)]
    has_file_of_deletes: bool,
}

/// A file as it is shown.
struct Shown {
    file: File,
    /// The kind of run that the path is of, if the job is incremental. The file of deletes is the only one of changes.
    kind: Option<ExportKind>,
}

impl Shown {
    fn is_of_deletes(&self) -> bool {
        self.kind == Some(ExportKind::Changes)
    }
}

#[derive(Serialize)]
struct FileDescription<'d> {
    path: &'d str,
    of: Option<&'d str>,
    /// The kind of run that writes it to this path, if the job is incremental.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<ExportKind>,
    /// Whether it lists deleted records, if the job is incremental.
    #[serde(skip_serializing_if = "Option::is_none")]
    deletes: Option<bool>,
    columns: Vec<ColumnDescription<'d>>,
}

#[derive(Serialize)]
struct ColumnDescription<'d> {
    name: &'d str,
    /// Its name in the query, if it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<&'d str>,
    #[serde(rename = "type")]
    field_type: String,
    nullable: bool,
    /// The keys that lead to the value in a record of JSON Lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<&'d [String]>,
    /// The values of the records in a list of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<Vec<Self>>,
}

/// The placeholder for the id of a run.
const RUN_ID: &str = "RUN_ID";

/// Describes a job's export.
pub(super) async fn describe(arguments: &DescribeArguments, context: &Context) -> Result<Exit, Failure> {
    let config = context.config(&Selection::Jobs(vec![arguments.job.clone()]))?;
    let job = chosen(&config, arguments)?;
    check_object(&job, arguments)?;
    let org = config.org(Some(job.org.as_str()))?;
    let key = key::load(org)?;
    let edges = context.edges(&config.settings, None);
    let now = edges.clock.now();
    let client = OrgClient::new(Arc::new(org.clone()), Arc::new(key), edges, None);
    let job = context.unless_stopped(of_object(job, arguments, &client)).await??;
    let remembered = State::at(&config.settings.state_dir)?.fields_of(&job.key())?;
    let described = context.unless_stopped(export::describe(&client, &job, remembered)).await?;
    let (job, mut described) = described.map_err(RunError::into_failure)?;
    let incremental = context.unless_stopped(incrementally(&job, &described, &client)).await??;
    let window = |kind| {
        let settings = job.incremental.as_ref()?;
        Some((kind, export::provisional_mark(settings, now)))
    };
    let outputs = outputs_of(&job, now, window(ExportKind::Full), &job.child_files())?;
    for (file, output) in described.files.iter_mut().zip(outputs) {
        human::path(&output.location().to_string()).clone_into(&mut file.path);
    }
    let mut files: Vec<_> =
        described.files.iter().map(|file| Shown { file: file.clone(), kind: None }).collect();
    if let Some(incremental) = &incremental {
        files.iter_mut().for_each(|shown| shown.kind = Some(ExportKind::Full));
        if incremental.has_file_of_deletes {
            let mut file = export::describe_deletes(&job)?;
            let parts = [export::DELETES_PART.to_owned()];
            let outputs = outputs_of(&job, now, window(ExportKind::Changes), &parts)?;
            if let Some(output) = outputs.last() {
                human::path(&output.location().to_string()).clone_into(&mut file.path);
            }
            files.push(Shown { file, kind: Some(ExportKind::Changes) });
        }
    }
    match arguments.target {
        Some(target) => print::bytes(ddl::write(&described, target.into())?.as_bytes()),
        None if arguments.json => print::json(&description(&described, &files, &job, incremental.as_ref())),
        None => show(&described, &files, incremental.as_ref(), arguments.wide),
    }
    Ok(Exit::Success)
}

/// The outputs of a run that begins now: the main one, then that of each part.
fn outputs_of(
    job: &Job,
    now: Timestamp,
    window: Option<(ExportKind, Timestamp)>,
    parts: &[String],
) -> Result<Vec<Output>, Failure> {
    let Job { name, org, timezone, .. } = job;
    let fields = Fields { job: name, org, run_id: RUN_ID, timestamp: now, timezone, window };
    let path = job.output.expand(&fields).map_err(|error| {
        Failure::new(Exit::Configuration, format!("output {:?} {error}", job.output.text()))
    })?;
    Output::of_job(job, &path)?.group(parts)
}

/// The job, in the org that the command line names.
fn chosen(config: &Config, arguments: &DescribeArguments) -> Result<Job, Failure> {
    let org = arguments.org.as_ref().map(|org| config.org(Some(org)).map(|org| &org.name)).transpose()?;
    let of_org = config.jobs.iter().find(|job| Some(&job.org) == org);
    let mut job = of_org.or(config.jobs.first()).cloned().ok_or_else(|| {
        Failure::new(Exit::General, format!("a bug in sfexport: no job \"{}\" was read", arguments.job))
    })?;
    if let Some(org) = org {
        job.org = org.clone();
    }
    Ok(job)
}

/// Whether the job is a set if the command line names an object, and only then.
fn check_object(job: &Job, arguments: &DescribeArguments) -> Result<(), Failure> {
    match &arguments.object {
        Some(object) => export::check_object(job, object),
        None if job.set().is_none() => Ok(()),
        None => {
            let name = &job.name;
            Err(Failure::new(
                Exit::Usage,
                format!("the job {name} is a set, whose objects have their own columns"),
            )
            .hint(format!("choose one of its objects, as in `sfexport describe {name} --object Account`")))
        }
    }
}

/// The job, or that of the object that the command line names, in the org's spelling.
async fn of_object(job: Job, arguments: &DescribeArguments, client: &OrgClient) -> Result<Job, Failure> {
    let Some(object) = &arguments.object else { return Ok(job) };
    // An object that the org does not have is reported when its fields are asked for.
    let described = client.describe_object(object.as_str()).await.ok();
    let name = described.and_then(|described| ObjectName::parse(&described.name).ok());
    let of_object = job.of_object(name.as_ref().unwrap_or(object));
    Ok(of_object.unwrap_or(job))
}

/// How the job is exported incrementally; `None` if it is not.
async fn incrementally(
    job: &Job,
    export: &Export,
    client: &OrgClient,
) -> Result<Option<Incrementally>, Failure> {
    if job.incremental.is_none() {
        return Ok(None);
    }
    let described = export::describe_exported(job, client).await.map_err(RunError::into_failure)?;
    let Some(tracking) = export::tracking(job, &described, &client.org().username)? else { return Ok(None) };
    let columns = export.files.first().map(|file| file.columns.as_slice()).unwrap_or_default();
    let names = columns.iter().map(|column| column.original.as_str()).filter(|_| !tracking.is_fixed());
    let only_full = described.unstamped(names).into_iter().map(str::to_owned).collect();
    let has_file_of_deletes = tracking.deletes == Deletes::Ids && tracking.stamp.is_some();
    let deletes = tracking.deletes.as_str();
    Ok(Some(Incrementally { deletes, field: tracking.stamp, only_full, has_file_of_deletes }))
}

fn description<'d>(
    export: &'d Export,
    files: &'d [Shown],
    job: &'d Job,
    incremental: Option<&'d Incrementally>,
) -> Description<'d> {
    let files = files.iter().map(|shown| FileDescription {
        path: &shown.file.path,
        of: shown.file.child.as_deref(),
        kind: shown.kind,
        deletes: shown.kind.map(|_| shown.is_of_deletes()),
        columns: columns(&shown.file.columns, export.form.format),
    });
    Description {
        job: &export.job,
        org: job.org.as_str(),
        format: export.form.format.as_str(),
        soql: &export.soql,
        incremental,
        files: files.collect(),
    }
}

fn columns(columns: &[Column], format: Format) -> Vec<ColumnDescription<'_>> {
    let described = columns.iter().map(|column| ColumnDescription {
        name: &column.name,
        original: Some(column.original.as_str()).filter(|original| *original != column.name),
        field_type: column.field_type.to_string(),
        nullable: !column.required,
        keys: Some(column.keys.as_slice()).filter(|_| format == Format::Jsonl),
        records: column.children.as_deref().map(|children| self::columns(children, format)),
    });
    described.collect()
}

/// Prints tables for people, and the query.
fn show(export: &Export, files: &[Shown], incremental: Option<&Incrementally>, wide: bool) {
    const NARROW: usize = 80;
    let width = table::width(wide);
    for shown in files {
        let file = &shown.file;
        let of = match (&file.child, shown.is_of_deletes()) {
            (Some(child), _) => format!(".{child}"),
            (None, true) => ", deleted records".to_owned(),
            (None, false) => String::new(),
        };
        let count = human::counted(file.columns.len() as u64, "column");
        print::line(plain(&format!("{}{of}: {count}", export.job)));
        let run = match shown.kind {
            None => "",
            Some(ExportKind::Full) => " (a full run now)",
            Some(ExportKind::Changes) => " (a run of changes now)",
        };
        print::line(plain(&format!("{}{run}", file.path)));
        let row = |column: &Column| {
            let mut remarks = Vec::new();
            if column.required {
                remarks.push("never null".to_owned());
            }
            if column.original != column.name {
                remarks.push(format!("{} in the query", column.original));
            }
            let only_full =
                incremental.map(|incremental| incremental.only_full.as_slice()).unwrap_or_default();
            if !shown.is_of_deletes() && only_full.contains(&column.original) {
                remarks.push("only full runs refresh it".to_owned());
            }
            vec![column.name.clone(), column.field_type.to_string(), remarks.join("; ")]
        };
        let heading = vec!["COLUMN".to_owned(), "TYPE".to_owned(), String::new()];
        let rows: Vec<_> = std::iter::once(heading).chain(file.columns.iter().map(row)).collect();
        table::print(&rows, std::iter::repeat(Vec::new()), width);
        print::line("");
    }
    if let Some(Incrementally { field, deletes, .. }) = incremental {
        let by = match field {
            Some(field) => format!("changes by {field}"),
            None => "everything each time, because no field says when a record changed".to_owned(),
        };
        print::line(plain(&format!("incremental: {by}; deletes: {deletes}")));
        print::line("");
    }
    for line in ddl::wrap(&export.soql, if wide { usize::MAX } else { NARROW }) {
        print::line(plain(&line));
    }
}
