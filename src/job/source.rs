//! What a job exports: the result of a query, an object, whose query is generated at each run, or a set of objects.

use std::sync::Arc;

use super::{ObjectName, ObjectSet};
use crate::soql::generate::FieldSelection;
use crate::soql::{ColumnError, ColumnRules, Columns, Described, Layout, Query, SyntaxError};

/// What a job exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The result of a query.
    Soql(SoqlSource),
    /// The records of an object.
    Object(ObjectSource),
    /// The records of several objects, each to its own output.
    Objects(ObjectSet),
}

/// An object, and what is exported of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSource {
    /// Its name, as written.
    pub object: ObjectName,
    /// Which of its fields.
    pub fields: FieldSelection,
    /// Which of its records: what goes behind WHERE.
    pub condition: Option<String>,
}

/// A query, whose text goes to the org as it is, and its columns as far as the text alone gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoqlSource {
    query: Query,
    columns: Option<Arc<Columns>>,
    /// The text of the query that asks for all records, if `query` asks for some of them.
    of_all: Option<String>,
}

/// Why a query cannot be exported as its job says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The query's text rules it out.
    #[error("the query cannot be exported: {0}")]
    Query(#[from] SyntaxError),
    /// The job's names or types do not fit the query's columns.
    #[error(transparent)]
    Columns(#[from] ColumnError),
}

impl SourceError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Query(error) => error.hint.clone(),
            Self::Columns(error) => Some(error.hint(None)),
        }
    }
}

impl SoqlSource {
    /// A query whose columns have this layout, which must be [`Job::layout`](super::Job::layout), and the job's names and
    /// types.
    ///
    /// # Errors
    /// If the query's text rules its export out: two columns of the same name, an alias that the org would refuse, or
    /// a child query that becomes a separate file but lacks the parent's Id. The error shows the place. And if the rules do
    /// not fit the columns.
    pub fn new(query: Query, layout: Layout, rules: &ColumnRules) -> Result<Self, SourceError> {
        let columns = if Columns::need_description(&query, layout) {
            None
        } else {
            Some(columns(&query, layout, None, rules)?)
        };
        Ok(Self { query, columns, of_all: None })
    }

    /// The same for a query whose columns the org has described.
    ///
    /// # Errors
    /// As [`SoqlSource::new`], and if the description leaves open what must be known.
    pub fn described(
        query: Query,
        layout: Layout,
        rules: &ColumnRules,
        described: &[Described],
    ) -> Result<Self, SourceError> {
        let columns = columns(&query, layout, Some(described), rules)?;
        Ok(Self { query, columns: Some(columns), of_all: None })
    }
}

/// The columns of a query's files.
fn columns(
    query: &Query,
    layout: Layout,
    described: Option<&[Described]>,
    rules: &ColumnRules,
) -> Result<Arc<Columns>, SourceError> {
    Ok(Arc::new(Columns::laid_out(query, layout, described)?.with_rules(rules)?))
}

impl SoqlSource {
    /// The query.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The same columns, of only some of the records: those that this query asks for.
    #[must_use]
    pub fn asking(&self, query: Query) -> Self {
        let of_all = self.of_all.clone().unwrap_or_else(|| self.query.text.clone());
        Self { query, columns: self.columns.clone(), of_all: Some(of_all) }
    }
}

impl Source {
    /// The text of the query that asks for all records: it stays the same from run to run.
    #[must_use]
    pub fn text_for_all(&self) -> Option<&str> {
        match self {
            Self::Soql(source) => Some(source.of_all.as_deref().unwrap_or(&source.query.text)),
            Self::Object(_) | Self::Objects(_) => None,
        }
    }

    /// The query that asks for its records; `None` if it takes the org's description of the object.
    #[must_use]
    pub fn query(&self) -> Option<&Query> {
        match self {
            Self::Soql(source) => Some(&source.query),
            Self::Object(_) | Self::Objects(_) => None,
        }
    }

    /// The object whose records are exported; `None` for a set of objects.
    #[must_use]
    pub fn object(&self) -> Option<&str> {
        match self {
            Self::Soql(source) => source.query.statement.from.first().map(|source| source.path.last()),
            Self::Object(source) => Some(source.object.as_str()),
            Self::Objects(_) => None,
        }
    }

    /// The columns of its files; `None` if only the org knows them.
    #[must_use]
    pub fn columns(&self) -> Option<&Arc<Columns>> {
        match self {
            Self::Soql(source) => source.columns.as_ref(),
            Self::Object(_) | Self::Objects(_) => None,
        }
    }
}
