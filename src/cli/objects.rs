//! `sfexport objects` and `sfexport fields`: what an org has, as far as its user may see it.

use clap::Args;
use serde::Serialize;

use super::token::logged_in;
use super::{Context, complete, print, table};
use crate::error::{Exit, Failure};
use crate::export;
use crate::human::counted;
use crate::salesforce::describe::{FieldDescription, ObjectSummary};
use crate::salesforce::fault::{ErrorCode, Fault};
use crate::soql::generate::matches;

#[derive(Debug, Args)]
pub(super) struct ObjectsArguments {
    /// Only objects whose API name matches, such as '*__c'
    #[arg(value_name = "PATTERN")]
    pattern: Option<String>,
    /// The org to ask, if the configuration has several
    #[arg(long, value_name = "NAME", add = complete::orgs())]
    org: Option<String>,
    /// Also objects that no job can export
    #[arg(long)]
    all: bool,
    /// Print one JSON object per object, on one line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct FieldsArguments {
    /// The object's API name
    #[arg(value_name = "OBJECT", add = complete::objects())]
    object: String,
    /// The org to ask, if the configuration has several
    #[arg(long, value_name = "NAME", add = complete::orgs())]
    org: Option<String>,
    /// Print one JSON object per field, on one line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct ObjectLine<'o> {
    name: &'o str,
    label: &'o str,
    custom: bool,
    exportable: bool,
}

#[derive(Serialize)]
struct FieldLine<'f> {
    name: &'f str,
    label: &'f str,
    #[serde(rename = "type")]
    field_type: &'f str,
    relationship: Option<&'f str>,
    references: &'f [String],
    calculated: bool,
    selected_by_patterns: bool,
}

/// Lists the org's objects.
pub(super) async fn objects(arguments: &ObjectsArguments, context: &Context) -> Result<Exit, Failure> {
    let login = logged_in(context, arguments.org.as_deref(), None).await?;
    let mut objects = context.unless_stopped(login.client.objects()).await?.map_err(Fault::into_failure)?;
    let is_named = |object: &ObjectSummary| {
        arguments.pattern.as_ref().is_none_or(|pattern| matches(pattern, &object.name))
    };
    objects.retain(is_named);
    objects.sort_by_key(|object| object.name.to_ascii_lowercase());
    let found = objects.len();
    if !arguments.all {
        objects.retain(ObjectSummary::is_exportable);
    }
    let lines = objects.iter().map(|object| ObjectLine {
        name: &object.name,
        label: &object.label,
        custom: object.custom,
        exportable: object.is_exportable(),
    });
    if arguments.json {
        lines.for_each(|line| print::json_line(&line));
        return Ok(Exit::Success);
    }
    let remark = |line: &ObjectLine<'_>| if line.exportable { "" } else { "cannot be exported" }.to_owned();
    let rows: Vec<_> = [["OBJECT", "LABEL", ""].map(str::to_owned).to_vec()]
        .into_iter()
        .chain(lines.map(|line| vec![line.name.to_owned(), line.label.to_owned(), remark(&line)]))
        .collect();
    table::print(&rows, std::iter::repeat(Vec::new()), table::width(false));
    match found - objects.len() {
        0 => {}
        left_out => print::note(
            context.common.log_format,
            &format!("{} cannot be exported; --all shows them", counted(left_out as u64, "more object")),
        ),
    }
    if let (Some(pattern), 0) = (&arguments.pattern, found) {
        let mut what = format!("no object matches \"{pattern}\"");
        if !pattern.contains('*') {
            what += &format!("; patterns match whole names, so try \"*{pattern}*\"");
        }
        print::warning(context.common.log_format, None, &what);
    }
    Ok(Exit::Success)
}

/// Lists an object's fields.
pub(super) async fn fields(arguments: &FieldsArguments, context: &Context) -> Result<Exit, Failure> {
    let login = logged_in(context, arguments.org.as_deref(), None).await?;
    let described = match context.unless_stopped(login.client.describe_object(&arguments.object)).await? {
        Ok(described) => described,
        Err(fault) if fault.code == Some(ErrorCode::NotFound) => {
            let unknown = export::unknown_object(&login.client, &arguments.object, None);
            return Err(context.unless_stopped(unknown).await?);
        }
        Err(fault) => return Err(fault.into_failure()),
    };
    let mut fields: Vec<&FieldDescription> = described.fields.iter().collect();
    fields.sort_by_key(|field| (!field.name.eq_ignore_ascii_case("Id"), field.name.to_ascii_lowercase()));
    let lines = fields.into_iter().map(|field| FieldLine {
        name: &field.name,
        label: &field.label,
        field_type: &field.field_type,
        relationship: field.relationship_name.as_deref(),
        references: field.reference_to.as_deref().unwrap_or_default(),
        calculated: field.calculated,
        selected_by_patterns: field.is_plain(),
    });
    if arguments.json {
        lines.for_each(|line| print::json_line(&line));
        return Ok(Exit::Success);
    }
    let rows: Vec<_> = [["FIELD", "TYPE", "LABEL", "NOTES"].map(str::to_owned).to_vec()]
        .into_iter()
        .chain(lines.map(|line| {
            let mut remarks = Vec::new();
            if let Some(relationship) = line.relationship {
                remarks.push(format!("{relationship}: {}", line.references.join(", ")));
            }
            if line.calculated {
                remarks.push("formula".to_owned());
            }
            if !line.selected_by_patterns {
                remarks.push("only if named".to_owned());
            }
            vec![line.name.to_owned(), line.field_type.to_owned(), line.label.to_owned(), remarks.join("; ")]
        }))
        .collect();
    table::print(&rows, std::iter::repeat(Vec::new()), table::width(false));
    Ok(Exit::Success)
}
