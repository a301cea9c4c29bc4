//! A job → what its files hold, as the org describes it now. Nothing is exported, and nothing is written.

use std::sync::Arc;

use super::error::RunError;
use super::incremental::deletes;
use super::object::{describe_columns, generate};
use super::plan::{columns, described_columns, needs_description, not_described};
use super::refused_query::explained;
use crate::client::OrgClient;
use crate::ddl::{Column, Export, File, Form, JsonForm, csv_columns, json_columns};
use crate::error::Failure;
use crate::job::{Compression, Datetimes, Format, Job, Source};
use crate::salesforce::fault::{Fault, FaultKind};
use crate::salesforce::query;
use crate::soql::{Columns, Described};

/// Asks the org for the types of a job's columns, and of an object's job for its fields first. `remembered` is the order
/// of the object's fields in the runs before. The files have no paths yet.
///
/// # Errors
/// What would make a run fail before its first record.
pub(crate) async fn describe(
    client: &OrgClient,
    job: &Job,
    remembered: Vec<String>,
) -> Result<(Job, Export), RunError> {
    let source = &job.source;
    let job = match source {
        Source::Soql(_) => job.clone(),
        Source::Object(object) => generate(client, job, object, remembered).await?.job,
        Source::Objects(_) => return Err(super::bug("a set of objects does not have columns itself").into()),
    };
    let is_generated = matches!(source, Source::Object(_));
    let (columns, described) = typed_columns(client, &job, is_generated).await?;
    let grouped = job.query().is_some_and(|query| query.statement.is_grouped());
    let described = described.as_deref();
    let form = JsonForm { grouped, attributes: job.shape.attributes, rules: &job.shape.columns };
    let main = columns_of_file(&job, &columns, described, form);
    let file = |child, columns| File { path: String::new(), child, columns };
    let children = job.child_files().into_iter().zip(columns.tables());
    let children = children.map(|(child, table)| file(Some(child), csv_columns(table.columns, false, true)));
    let files = std::iter::once(file(None, main)).chain(children).collect();
    let soql = job.query().map(|query| query.text.clone()).unwrap_or_default();
    let form = Form {
        format: job.format,
        codec: job.compression.map(Compression::codec),
        csv: job.shape.csv.clone(),
        rfc3339: job.shape.datetimes == Datetimes::Rfc3339,
    };
    let export = Export { job: job.name.to_string(), soql, form, files };
    Ok((job, export))
}

/// The file of deleted records next to one of changes. It has no path yet.
///
/// # Errors
/// If the job's names for the columns contradict each other.
pub(crate) fn describe_deletes(job: &Job) -> Result<File, Failure> {
    let columns = deletes::columns(job)?;
    let form = JsonForm { grouped: false, attributes: false, rules: &job.shape.columns };
    Ok(File { path: String::new(), child: None, columns: columns_of_file(job, &columns, None, form) })
}

/// The columns as they are in a file of the job's format, with the types that it has for them.
fn columns_of_file(
    job: &Job,
    columns: &Columns,
    described: Option<&[Described]>,
    form: JsonForm<'_>,
) -> Vec<Column> {
    let in_parquet = |column: Column| {
        let field_type = job.shape.parquet.type_of(Some(column.field_type));
        Column { field_type, ..column }
    };
    match job.format {
        Format::Csv => csv_columns(columns, form.grouped, false),
        Format::Jsonl => json_columns(columns, described, form),
        Format::Parquet => csv_columns(columns, form.grouped, false).into_iter().map(in_parquet).collect(),
    }
}

/// The columns with their types, and the org's description of them. `COUNT()` has no fields to describe, and an object's own
/// fields have been described. Any other query may spell its fields in its own way.
async fn typed_columns(
    client: &OrgClient,
    job: &Job,
    is_generated: bool,
) -> Result<(Arc<Columns>, Option<Vec<Described>>), RunError> {
    // In JSON Lines, the keys of parents' fields are the org's, however the job spells them.
    let has_keys = |columns: &Columns| {
        job.format != Format::Jsonl || !columns.outputs().any(|column| column.original.contains('.'))
    };
    let is_known = |columns: &Arc<Columns>| {
        columns.is_count() || is_generated && columns.untyped().is_none() && has_keys(columns)
    };
    if let Some(columns) = columns(job)?.filter(is_known) {
        return Ok((columns, None));
    }
    let text = job.query().map_or("", |query| query.text.as_str());
    let call = query::description(&client.org().api_version, job.all_rows, text)?;
    let described = match describe_columns(client, job, &call).await {
        Ok(described) => described,
        Err(fault) => {
            let fault = without_description(job, fault);
            return Err(explained(client, job, fault).await.into());
        }
    };
    let columns = described_columns(job, &described)?;
    Ok((columns, Some(described)))
}

/// The fault of a query that the org does not describe, with a hint that fits the query: if its columns are known, a run does
/// not need the description.
fn without_description(job: &Job, fault: Fault) -> Fault {
    let is_needed = needs_description(job, job.source.columns().map(Arc::as_ref));
    if is_needed || fault.kind != FaultKind::QueryRefused || fault.code.is_some() {
        return not_described(job, fault);
    }
    fault.hint(format!("export it with `sfexport run {}`, which does not need the description", job.name))
}
