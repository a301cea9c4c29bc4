//! The files of an export → the statements that make tables for them and load them, and the JSON Schema of a record.
//! Which columns there are is decided elsewhere, and nothing is asked here.

mod bigquery;
mod columns;
mod duckdb;
mod json_schema;
mod postgres;
mod snowflake;
mod sql;

use std::fmt::{self, Display, Formatter};

use crate::error::{Exit, Failure, plain};
use crate::job::{Codec, CsvDialect, Format};
use crate::value::FieldType;

pub use columns::{JsonForm, csv_columns, json_columns};
pub(crate) use sql::wrap;

/// What reads the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A validator of JSON Schema, draft 2020-12.
    JsonSchema,
    /// Google BigQuery.
    BigQuery,
    /// Snowflake.
    Snowflake,
    /// PostgreSQL 15 or later.
    Postgres,
    /// DuckDB.
    DuckDb,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::JsonSchema => "JSON Schema",
            Self::BigQuery => "BigQuery",
            Self::Snowflake => "Snowflake",
            Self::Postgres => "Postgres",
            Self::DuckDb => "DuckDB",
        }
    }
}

/// An export as its readers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The job's name.
    pub job: String,
    /// The query, as the org gets it.
    pub soql: String,
    /// How the files are written.
    pub form: Form,
    /// Its files, the main one first.
    pub files: Vec<File>,
}

/// How the files of an export are written, as far as a loader must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The format.
    pub format: Format,
    /// How the files are compressed, if they are.
    pub codec: Option<Codec>,
    /// The dialect of CSV.
    pub csv: CsvDialect,
    /// Whether datetimes are written as RFC 3339 has them instead of as the org sends them.
    pub rfc3339: bool,
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path, as a command in the working directory can name it.
    pub path: String,
    /// The child query that it holds, as in `Contacts.Tasks`; `None` for the main file.
    pub child: Option<String>,
    /// Its columns; in JSON Lines, the values of a record, those of parents included.
    pub columns: Vec<Column>,
}

impl File {
    /// The column of a CSV file in which null looks like an empty text: alone in its row, an empty cell is quoted.
    fn quoted_null(&self, csv: &CsvDialect) -> Option<&Column> {
        match self.columns.as_slice() {
            [column] if csv.null.is_empty() && !column.required => Some(column),
            _ => None,
        }
    }

    /// The name of its table: the job's, with the child query's, in letters, digits and underscores.
    #[must_use]
    pub fn table(&self, job: &str) -> String {
        let child = self.child.as_ref().map(|child| format!("_{child}")).unwrap_or_default();
        let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        format!("{job}{child}").chars().map(allowed).collect()
    }
}

/// A column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, as in the header of CSV.
    pub name: String,
    /// Its name in the query.
    pub original: String,
    /// The keys that lead to its value in a record of JSON Lines.
    pub keys: Vec<String>,
    /// The type of its values.
    pub field_type: FieldType,
    /// Whether the job sets the type. Values in JSON Lines keep the org's.
    pub type_is_set: bool,
    /// Whether it is never null.
    pub required: bool,
    /// Whether a record of JSON Lines may lack its key.
    pub optional: bool,
    /// The columns of the records in it, if it is a list of records.
    pub children: Option<Vec<Self>>,
}

/// What `target` needs to read the export: SQL whose comments show how to load the files, or a JSON Schema.
///
/// # Errors
/// [`Exit::Usage`] if the target cannot read this format, [`Exit::Query`] with every name that it does not take.
pub fn write(export: &Export, target: Target) -> Result<String, Failure> {
    let written = match target {
        Target::JsonSchema => return json_schema::write(export),
        Target::BigQuery => bigquery::write(export),
        Target::Snowflake => snowflake::write(export),
        Target::Postgres if export.form.format == Format::Parquet => {
            let what = format!("the job \"{}\" writes Parquet, which Postgres does not read", export.job);
            let hint = "end `output` in .csv or .jsonl, or load the file with DuckDB's postgres extension";
            return Err(Failure::new(Exit::Usage, what).hint(hint));
        }
        Target::Postgres => postgres::write(export),
        Target::DuckDb => duckdb::write(export),
    };
    written.map_err(|mistakes| {
        let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        let what = format!("{} cannot hold this export: {}", target.name(), lines.join("; "));
        let failure = Failure::new(Exit::Query, what);
        match mistakes.first() {
            Some(Mistake::Quote(_)) => failure.hint("set quote = \"\\\"\" in [csv]"),
            Some(Mistake::TooMany { .. }) => {
                failure.hint("select fewer columns, or split them over several jobs")
            }
            Some(Mistake::Table { .. }) => failure.hint("give the job a shorter name"),
            Some(Mistake::Characters(_)) => {
                failure.hint("set column_names = \"snake\" in the job, or rename these columns in [columns]")
            }
            Some(Mistake::Compression) => failure.hint("compress with gzip: end `output` in .gz"),
            Some(Mistake::Path(_)) => {
                failure.hint("choose another path in output, or load the file in another way")
            }
            Some(Mistake::Null(_)) => {
                failure.hint("choose another null in [csv], or load the file in another way")
            }
            Some(Mistake::Delimiter(_)) => {
                failure.hint("choose another delimiter in [csv], or load the file in another way")
            }
            _ => failure.hint("rename these columns in [columns] of the job"),
        }
    })
}

/// Why a database cannot hold an export.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mistake {
    /// A column's name is too long; the largest length.
    TooLong { name: String, limit: &'static str },
    /// A name that the database keeps for itself.
    Reserved(String),
    /// A name with characters that it does not take.
    Characters(String),
    /// Two columns with one name there.
    Same { one: String, other: String, name: String },
    /// More columns than it takes.
    TooMany { columns: usize, limit: usize },
    /// The table's name is too long.
    Table { name: String, limit: &'static str },
    /// A quote character that it does not take.
    Quote(char),
    /// A delimiter that it does not take.
    Delimiter(char),
    /// A token for null that a command cannot show.
    Null(String),
    /// A compression that it does not read.
    Compression,
    /// A path that a command cannot show, or that the database would read as a pattern.
    Path(String),
    /// A name with characters that a command cannot show.
    Hidden(String),
}

impl Display for Mistake {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { name, limit } => {
                write!(f, "the name \"{}\" is longer than {limit}", plain(name))
            }
            Self::Reserved(name) => write!(f, "the name \"{}\" is reserved", plain(name)),
            Self::Characters(name) => {
                write!(f, "the name \"{}\" has characters other than letters, digits and \"_\"", plain(name))
            }
            Self::Same { one, other, name } => {
                let [one, other, name] = [one, other, name].map(|name| plain(name));
                write!(f, "\"{one}\" and \"{other}\" would both be named \"{name}\"")
            }
            Self::TooMany { columns, limit } => write!(f, "{columns} columns are more than {limit}"),
            Self::Table { name, limit } => write!(f, "the table's name \"{name}\" is longer than {limit}"),
            Self::Quote(quote) => write!(f, "{quote:?} cannot be the quote character"),
            Self::Delimiter(delimiter) => write!(f, "{delimiter:?} cannot be the delimiter"),
            Self::Null(null) => write!(f, "the null \"{}\" has invisible characters", shown(null)),
            Self::Compression => f.write_str("it does not read Zstandard"),
            Self::Path(path) => write!(f, "its commands cannot name the file \"{}\"", shown(path)),
            Self::Hidden(name) => write!(f, "the name \"{}\" has invisible characters", shown(name)),
        }
    }
}

/// A text as messages show it, in which even a tab can be seen.
fn shown(text: &str) -> String {
    plain(&text.replace('\t', "\\t")).into_owned()
}

/// The values of a record as they are nested in JSON Lines.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node<'c> {
    Value(&'c str, &'c Column),
    Parent(&'c str, Vec<Self>),
}

/// Nests columns, those of one parent being next to each other.
fn nested(columns: &[Column]) -> Vec<Node<'_>> {
    nested_below(columns, 0)
}

fn nested_below(columns: &[Column], depth: usize) -> Vec<Node<'_>> {
    let mut nodes = Vec::new();
    let mut rest = columns;
    while let Some((first, behind)) = rest.split_first() {
        let Some(key) = first.keys.get(depth) else {
            rest = behind;
            continue;
        };
        if first.keys.len() == depth + 1 {
            nodes.push(Node::Value(key, first));
            rest = behind;
            continue;
        }
        let is_same = |column: &&Column| column.keys.len() > depth + 1 && column.keys.get(depth) == Some(key);
        let (inner, behind) = rest.split_at(rest.iter().take_while(is_same).count());
        nodes.push(Node::Parent(key, nested_below(inner, depth + 1)));
        rest = behind;
    }
    nodes
}

#[cfg(test)]
mod tests;
