//! What a run will do, before it asks for records: the calls that start the query, and the columns. Most queries give
//! their columns by their text; for the others the org is asked.

use std::sync::Arc;

use super::bug;
use super::refused_query::similar;
use crate::error::{Exit, Failure};
use crate::job::{Children, Datetimes, Format, Job, SoqlSource, Source, SourceError};
use crate::org::Org;
use crate::salesforce::call::Call;
use crate::salesforce::fault::{ErrorCode, Fault, FaultKind};
use crate::salesforce::query;
use crate::soql::{ColumnError, Columns, Described};

/// A run's plan, complete.
pub(super) struct Plan {
    /// The call that asks for the query's first page.
    pub(super) first: Call<'static>,
    /// The call that describes the query's columns.
    pub(super) description: Call<'static>,
    /// Whether the query is as somebody wrote it, rather than generated in the schema's spelling.
    pub(super) is_written: bool,
    /// The columns of its files.
    pub(super) columns: Arc<Columns>,
}

/// A plan as far as the job alone tells it.
pub(super) struct Draft {
    first: Call<'static>,
    /// The call that describes the query's columns.
    pub(super) description: Call<'static>,
    columns: Option<Arc<Columns>>,
}

impl Draft {
    /// Plans a job; `None` for an object, whose query is not known yet.
    ///
    /// # Errors
    /// [`Exit::Query`] if the query cannot be exported as the job says, or is too long.
    pub(super) fn of(job: &Job, org: &Org) -> Result<Option<Self>, Failure> {
        let Some(query) = job.query() else { return Ok(None) };
        let columns = columns(job)?;
        let (version, text) = (&org.api_version, &query.text);
        let first = query::first_page(version, job.all_rows, text).map_err(Fault::into_failure)?;
        let description = query::description(version, job.all_rows, text).map_err(Fault::into_failure)?;
        Ok(Some(Self { first, description, columns }))
    }

    /// The columns; `None` if only the org knows them.
    pub(super) fn columns(&self) -> Option<&Columns> {
        self.columns.as_deref()
    }

    /// The plan, with the columns that the org has described, if it was asked.
    pub(super) fn complete(self, described: Option<Arc<Columns>>, is_written: bool) -> Option<Plan> {
        let columns = described.or(self.columns)?;
        let Self { first, description, .. } = self;
        Some(Plan { first, description, is_written, columns })
    }
}

/// Whether the org has to describe the query before the job can be exported: because only it knows the columns, or because
/// the job needs their types, and one is not known. `columns` are those that [`columns`] gives.
pub(crate) fn needs_description(job: &Job, columns: Option<&Columns>) -> bool {
    columns.is_none_or(|columns| needs_types(job) && columns.untyped().is_some())
}

fn needs_types(job: &Job) -> bool {
    job.format == Format::Parquet || job.shape.datetimes == Datetimes::Rfc3339
}

/// The fault of a query that the org does not describe, with a hint that fits the reason for asking.
pub(crate) fn not_described(job: &Job, fault: Fault) -> Fault {
    let is_about_the_query = fault.code.as_ref().is_some_and(ErrorCode::is_about_the_query);
    if fault.kind == FaultKind::QueryRefused && !is_about_the_query && job.source.columns().is_some() {
        fault.hint(match job.format {
            Format::Parquet => "write the types of all columns in [types], or export CSV, which needs no types",
            Format::Csv | Format::Jsonl => {
                "write the types of all columns in [types], or set datetimes = \"as_sent\", which needs no types"
            }
        })
    } else {
        fault
    }
}

/// The columns of a job if its query's text tells them; `None` if only the org knows them.
///
/// # Errors
/// [`Exit::Query`] if the query cannot be exported as the job says.
pub fn columns(job: &Job) -> Result<Option<Arc<Columns>>, Failure> {
    let has_children = job.query().is_some_and(|query| !query.statement.child_queries().is_empty());
    if job.format == Format::Csv && has_children && job.shape.children == Children::Reject {
        return Err(Failure::new(
            Exit::Query,
            "the query has a child query, and the job sets children = \"reject\"",
        )
        .hint("remove the child query, or set children = \"json\" or \"files\""));
    }
    Ok(job.source.columns().cloned())
}

/// The columns of a job whose query the org has described.
///
/// # Errors
/// As [`columns`].
pub fn described_columns(job: &Job, described: &[Described]) -> Result<Arc<Columns>, Failure> {
    let query = job.query().ok_or_else(|| bug("an object without its query"))?;
    let source = SoqlSource::described(query.clone(), job.layout(), &job.shape.columns, described);
    let source = source.map(Source::Soql).map_err(refused)?;
    let columns = source.columns().cloned().ok_or_else(|| bug("a described query without columns"))?;
    // In Parquet, a column of an unknown type is text.
    match columns.untyped().filter(|_| needs_types(job) && job.format != Format::Parquet) {
        None => Ok(columns),
        Some(column) => {
            let what = format!(
                "datetimes = \"rfc3339\" needs the type of column {column:?}, which the org does not report"
            );
            let hint =
                format!("add {column:?} = \"text\" to [types], or {column:?} = \"datetime\" if it is one");
            Err(Failure::new(Exit::Query, what).hint(hint))
        }
    }
}

/// The failure of a query that cannot be exported as its job says.
pub(super) fn refused(error: SourceError) -> Failure {
    let failure = Failure::new(Exit::Query, error.to_string());
    let error = match error {
        SourceError::Query(error) => return Failure { hint: error.hint, ..failure },
        SourceError::Columns(error) => error,
    };
    let near = match &error {
        ColumnError::Unknown { name, known, .. } => similar(name, known.iter().map(String::as_str)),
        _ => None,
    };
    failure.hint(error.hint(near.as_deref()))
}
