//! A job of an object → the job of the query that exports it now, generated from the org's description of the object.

use std::collections::HashMap;

use crate::client::OrgClient;
use crate::error::{Exit, Failure};
use crate::human;
use crate::job::{Job, ObjectSource, SoqlSource, Source, SourceError};
use crate::salesforce::call::Call;
use crate::salesforce::describe::{FieldDescription, ObjectDescription};
use crate::salesforce::fault::{ErrorCode, Fault};
use crate::soql::generate::{self, ObjectField, SelectionError};
use crate::soql::{Columns, Described, Query, SyntaxError, ValueKind};
use crate::value::FieldType;

use super::error::RunError;
use super::plan::refused;
use super::refused_query::similar;
use super::tracking::{Tracking, tracking};

/// How many mistakes in a list of fields a message shows.
const MAX_SELECTION_ERRORS: usize = 10;

/// An object's job as a job of SOQL.
pub(crate) struct Generated {
    /// The job, with the query as its source.
    pub(crate) job: Job,
    /// What the next run should know of the order of the fields.
    pub(crate) fields: Vec<String>,
    /// What is odd about the job, although it can run.
    pub(crate) warnings: Vec<Warning>,
    /// How the object's changes are found, if the job is incremental.
    pub(crate) tracking: Option<Tracking>,
}

/// What is odd, and what to do about it.
pub(crate) struct Warning {
    pub(crate) what: String,
    pub(crate) hint: String,
}

/// Asks the org for the object's fields, and makes the query of those that the job selects. `remembered` is the order of
/// the runs before.
///
/// # Errors
/// What kept the org from describing the object, [`Exit::Query`] if it has no such object or no such field for this user.
pub(crate) async fn generate(
    client: &OrgClient,
    job: &Job,
    object: &ObjectSource,
    remembered: Vec<String>,
) -> Result<Generated, RunError> {
    let described = match client.describe_object(object.object.as_str()).await {
        Ok(described) => described,
        Err(fault) if fault.code == Some(ErrorCode::NotFound) => {
            return Err(unknown_object(client, object.object.as_str(), Some(&place(job))).await.into());
        }
        Err(fault) => return Err(fault.into()),
    };
    Ok(of_description(job, object, &described, remembered, &client.org().username)?)
}

/// The same with the description at hand; `username` is the user that it describes the object to.
///
/// # Errors
/// [`Exit::Query`] if the object has no such field for this user.
pub(crate) fn of_description(
    job: &Job,
    object: &ObjectSource,
    described: &ObjectDescription,
    remembered: Vec<String>,
    username: &str,
) -> Result<Generated, Failure> {
    let fields: Vec<_> = described.fields.iter().map(field).collect();
    let tracking = tracking(job, described, username)?;
    let required = tracking.as_ref().map(Tracking::required).unwrap_or_default();
    let names = object
        .fields
        .select(&fields, &remembered, &required)
        .map_err(|error| unselectable(&error, described, job, username))?;
    let text = generate::query(&described.name, &names, object.condition.as_deref());
    let unexportable = |error: SyntaxError| {
        let what = format!("the query of \"{}\" cannot be exported: {error}", described.name);
        Failure { hint: error.hint, ..Failure::new(Exit::Query, what) }
    };
    let query = Query::parse(&text).map_err(unexportable)?;
    let mut types = types(described, &names);
    if job.has_decimals() {
        with_digits(&mut types, described);
    }
    let source = source(query, job, &types, &names).map_err(|error| match error {
        SourceError::Query(error) => unexportable(error),
        error => refused(error),
    })?;
    let job = Job { source: Source::Soql(source), ..job.clone() };
    let mut warnings = unknown_exclusions(object, &fields, &job);
    warnings.extend(tracking.as_ref().and_then(|tracking| tracking.warning(&job, &described.name)));
    Ok(Generated { job, fields: generate::remember(&names, remembered), warnings, tracking })
}

/// A warning for each exclusion that names no field. The field that was meant would be exported.
fn unknown_exclusions(object: &ObjectSource, fields: &[ObjectField], job: &Job) -> Vec<Warning> {
    let known = || fields.iter().map(|field| field.name.as_str());
    let warning = |name: &str| Warning {
        what: format!("\"{}\" has no field \"{name}\" to exclude", object.object),
        hint: match similar(name, known()) {
            Some(near) => format!("write \"!{near}\" in `fields` of {}", fields_place(job)),
            None => format!("correct or remove \"!{name}\" in `fields` of {}", fields_place(job)),
        },
    };
    object.fields.unknown_exclusions(fields).map(warning).collect()
}

/// The query with its columns, if what the org says of the object's own fields tells them.
fn source(query: Query, job: &Job, types: &[Described], names: &[String]) -> Result<SoqlSource, SourceError> {
    let (layout, rules) = (job.layout(), &job.shape.columns);
    let is_known = types.len() == names.len() && types.iter().all(|known| known.kind != ValueKind::Unknown);
    if is_known || !Columns::need_description(&query, layout) {
        SoqlSource::described(query, layout, rules, types)
    } else {
        SoqlSource::new(query, layout, rules)
    }
}

/// The types of the selected fields that are the object's own; those of its parents are not part of its description.
fn types(described: &ObjectDescription, names: &[String]) -> Vec<Described> {
    let fields: HashMap<_, _> = described.fields.iter().map(|field| (field.name.as_str(), field)).collect();
    let own = names.iter().filter_map(|name| fields.get(name.as_str()));
    own.map(|field| Described {
        name: field.name.clone(),
        computed: false,
        kind: field.kind(),
        inner: Vec::new(),
    })
    .collect()
}

/// Gives the columns that are the object's own numbers their declared digits.
fn with_digits(columns: &mut [Described], object: &ObjectDescription) {
    for column in columns.iter_mut().filter(|column| !column.computed) {
        if let Some(decimal) = object.field(&column.name).and_then(FieldDescription::decimal)
            && column.kind == ValueKind::Plain(FieldType::Double)
        {
            column.kind = ValueKind::Plain(decimal);
        }
    }
}

/// Asks the org for a query's columns, and for the digits of the numbers among them if the job needs those. Columns of parents
/// and of functions have none.
///
/// # Errors
/// What keeps the org from describing them.
pub(crate) async fn describe_columns(
    client: &OrgClient,
    job: &Job,
    call: &Call<'_>,
) -> Result<Vec<Described>, Fault> {
    let mut columns = client.description(call).await?;
    if job.has_decimals()
        && let Some(object) = job.source.object()
    {
        with_digits(&mut columns, &client.describe_object(object).await?);
    }
    Ok(columns)
}

fn field(field: &FieldDescription) -> ObjectField {
    ObjectField {
        name: field.name.clone(),
        relationship: field.relationship_name.clone(),
        by_name_only: !field.is_plain(),
    }
}

/// The failure of an object that the org does not have for this user, with the nearest one. `place` is where its name is
/// written.
pub(crate) async fn unknown_object(client: &OrgClient, name: &str, place: Option<&str>) -> Failure {
    let username = &client.org().username;
    let objects = client.objects().await.unwrap_or_default();
    let place = place.map(|place| format!(" in {place}")).unwrap_or_default();
    let failure =
        Failure::new(Exit::Query, format!("the org has no object \"{name}\" that {username} may read"));
    match similar(name, objects.iter().map(|object| object.name.as_str())) {
        Some(near) => failure.hint(format!(
            "write \"{near}\"{place}; if the org does have an object \"{name}\", give {username} read access to it \
             (object permissions)"
        )),
        None => failure.hint(format!(
            "write an object's API name{place}, or give {username} read access to it (object permissions)"
        )),
    }
}

/// The failure of a list of fields that does not fit the object.
fn unselectable(
    errors: &[SelectionError],
    described: &ObjectDescription,
    job: &Job,
    username: &str,
) -> Failure {
    let (object, place) = (&described.name, fields_place(job));
    let shown = human::list(errors.iter().map(ToString::to_string), MAX_SELECTION_ERRORS);
    let what = format!("\"{object}\" has {shown} that {username} may read");
    let failure = Failure::new(Exit::Query, what);
    if let [SelectionError::Nothing] = errors {
        return failure.hint(format!("exclude fewer fields in {place}"));
    }
    let near = errors.iter().take(MAX_SELECTION_ERRORS).map(|error| nearest(error, described));
    let near: Vec<_> = near.collect();
    let correction = match near.as_slice() {
        [Some((_, near))] => format!("write \"{near}\" in `fields` of {place}"),
        _ => {
            let found: Vec<_> = near.iter().flatten().collect();
            let written: Vec<_> =
                found.iter().map(|(name, near)| format!("\"{near}\" for \"{name}\"")).collect();
            match (written.is_empty(), found.len() == errors.len()) {
                (true, _) => format!("correct `fields` in {place}"),
                (false, true) => format!("write {} in `fields` of {place}", written.join(", ")),
                (false, false) => {
                    format!("write {} and correct the others in `fields` of {place}", written.join(", "))
                }
            }
        }
    };
    failure.hint(format!("{correction}, or give {username} read access (field-level security)"))
}

/// The name that a term of `fields` has and the nearest one that the object has.
fn nearest<'e>(error: &'e SelectionError, described: &ObjectDescription) -> Option<(&'e str, String)> {
    let fields = &described.fields;
    match error {
        SelectionError::UnknownField(name) => {
            Some((name, similar(name, fields.iter().map(|field| field.name.as_str()))?))
        }
        SelectionError::UnknownRelationship(name) => {
            Some((name, similar(name, fields.iter().filter_map(|field| field.relationship_name.as_deref()))?))
        }
        SelectionError::NothingMatches(_) | SelectionError::Nothing => None,
    }
}

/// Where the job's object is written.
fn place(job: &Job) -> String {
    job.query_origin.as_ref().map_or_else(|| "the job".to_owned(), ToString::to_string)
}

/// Where the job's fields are written.
fn fields_place(job: &Job) -> String {
    job.query_origin.as_ref().map_or_else(|| "the job".to_owned(), |origin| origin.at(origin.fields_line))
}
