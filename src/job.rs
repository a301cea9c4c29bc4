//! A job: what to export, where to, and, if it runs by itself, when. A `Job` is always one that can run; `config`
//! reads it from what a user wrote.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::SecretString;

use crate::org::OrgName;
use crate::schedule::Schedule;
use crate::soql::{ColumnRules, Layout, Query};

mod after;
mod api;
mod compression;
mod export_key;
mod incremental;
mod location;
mod object_set;
pub mod output_path;
mod parquet;
pub(crate) mod path_text;
mod recovery_data;
pub mod shard;
mod source;
pub(crate) mod stage_name;

pub use after::{AFTER_FIELDS, After, AfterFields};
pub(crate) use after::{AfterError, check as check_after};
pub use api::{Api, ApiChoice, BulkSettings};
pub use compression::{Codec, Compression, CompressionChoice};
pub use export_key::{ExportKey, ObjectName};
pub use incremental::{Deletes, EmptyRuns, ExportKind, Incremental, is_fixed_stamp};
pub use location::Location;
pub use object_set::{
    Chosen, Inclusion, LeftOut, LeftOutReason, ObjectFacts, ObjectSet, ObjectSettings, ObjectTerm, Selection,
};
pub use output_path::OutputTemplate;
use output_path::{Fields, TemplateError, manifest_beside};
pub use parquet::{ParquetCodec, ParquetDecimals, ParquetSettings, ParquetTemporal};
pub use recovery_data::RecoveryData;
pub use source::{ObjectSource, SoqlSource, Source, SourceError};

/// A job's name, the stem of its file: `[A-Za-z0-9._-]+`, without a dot at its start.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobName(pub(crate) String);

impl JobName {
    /// Reads a job's name.
    ///
    /// # Errors
    /// Where the text is no name; the error says what a name may hold.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        // A leading dot would make `.` and `..` names of files, and hide a job's marks from a listing.
        if text.is_empty() || text.starts_with('.') || !text.chars().all(allowed) {
            return Err(NameError(
                "a job's name contains only letters, digits, `.`, `_` and `-`, and does not begin with a dot",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no name: what a name may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameError(pub(crate) &'static str);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NameError {}

/// One job, complete.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub name: JobName,
    /// The org that it exports from.
    pub org: OrgName,
    /// Whether `run --all` and the daemon take it; `run NAME` always does.
    pub enabled: bool,
    /// What it exports.
    pub source: Source,
    /// The object, if the job is that of one object of a set.
    pub object: Option<ObjectName>,
    /// Where its text was written; `None` for a query without a file.
    pub query_origin: Option<QueryOrigin>,
    /// Whether deleted and archived rows are asked for too (`queryAll`), as they always are if they are the deletes of an
    /// incremental export.
    pub all_rows: bool,
    /// What happens if another number of records arrives than the org counted.
    pub count_check: CountCheck,
    /// Which API it asks for.
    pub api: ApiChoice,
    /// How it uses Bulk API 2.0.
    pub bulk: BulkSettings,
    /// What its runs export of it; `None`: all of it each time.
    pub incremental: Option<Incremental>,
    /// Where the export goes, with its template fields.
    pub output: OutputTemplate,
    /// Where the list of what was exported goes.
    pub manifest: Manifest,
    /// What the file holds.
    pub format: Format,
    /// How the file is compressed, if it is.
    pub compression: Option<Compression>,
    /// How values are written, and what is done with nested ones.
    pub shape: Shape,
    /// What is done where the output exists already.
    pub if_exists: IfExists,
    /// The permission bits of the output (`0o640`); `None`: the old file's, else 0666 less the umask.
    pub file_mode: Option<u32>,
    /// Whether an output that is a link is written through instead of being replaced.
    pub follow_links: bool,
    /// When it runs by itself; `None`: only when asked.
    pub schedule: Option<Schedule>,
    /// The zone of the schedule and of the dates in the output's path.
    pub timezone: TimeZone,
    /// How long a run may take altogether.
    pub timeout: Option<Duration>,
    /// What is done about occurrences missed, overlapping or failed.
    pub policy: Policy,
    /// Who is told of each run's start, success or failure by a request to this URL; a secret, because whoever knows
    /// it can answer for the job.
    pub ping_url: Option<SecretString>,
    /// The command that runs after each export.
    pub after: Option<After>,
}

impl Job {
    /// The query that asks for its records; `None` for an object, until its query is generated.
    #[must_use]
    pub fn query(&self) -> Option<&Query> {
        self.source.query()
    }

    /// Its name and its org, also for one object of a set.
    #[must_use]
    pub fn job_key(&self) -> ExportKey {
        ExportKey::new(self.name.clone(), self.org.clone())
    }

    /// What it is remembered by between runs: a set's object by its own name too.
    #[must_use]
    pub fn key(&self) -> ExportKey {
        let key = self.job_key();
        match &self.object {
            Some(object) => key.of_object(object.clone()),
            None => key,
        }
    }

    /// The set of objects that it exports, if it is a set.
    #[must_use]
    pub fn set(&self) -> Option<&ObjectSet> {
        match &self.source {
            Source::Objects(set) => Some(set),
            Source::Soql(_) | Source::Object(_) => None,
        }
    }

    /// The job of one object of a set; `None` if the job is not a set.
    #[must_use]
    pub fn of_object(&self, object: &ObjectName) -> Option<Self> {
        let set = self.set()?;
        Some(Self {
            source: Source::Object(set.source_of(object)),
            object: Some(object.clone()),
            count_check: set.count_check_of(object).unwrap_or(self.count_check),
            output: self.output.of_object(object),
            manifest: Manifest::None,
            ..self.clone()
        })
    }

    /// A digest of everything that decides where its file is and what is in it, apart from the time. It may differ between
    /// versions of sfexport.
    #[must_use]
    pub fn digest(&self) -> String {
        let Self {
            source,
            all_rows,
            count_check,
            api,
            incremental,
            output,
            manifest,
            format,
            compression,
            shape,
            timezone,
            ..
        } = self;
        let zone = timezone.iana_name();
        let mut hasher = DefaultHasher::new();
        let files = format!("{output:?} {manifest:?} {zone:?}");
        let form = format!("{format:?} {compression:?} {shape:?}");
        format!("{source:?} {all_rows} {count_check:?} {api:?} {incremental:?} {files} {form}")
            .hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// The path of its manifest; `None` if it writes none.
    ///
    /// # Errors
    /// As for [`OutputTemplate::expand`].
    pub fn manifest_path(&self, fields: &Fields<'_>) -> Result<Option<PathBuf>, TemplateError> {
        match &self.manifest {
            Manifest::None => Ok(None),
            Manifest::At(template) => template.expand(fields).map(Some),
            Manifest::Beside if self.set().is_some() => {
                self.output.beside_objects(&format!("{}.manifest.json", self.name), fields).map(Some)
            }
            Manifest::Beside => Ok(Some(manifest_beside(&self.output.expand(fields)?))),
        }
    }

    /// How the columns of its files are laid out.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.shape.layout(self.format)
    }

    /// Whether its file has decimals, so it needs the digits of its numbers.
    #[must_use]
    pub fn has_decimals(&self) -> bool {
        self.format == Format::Parquet && self.shape.parquet.decimals == ParquetDecimals::Decimal
    }

    /// The child queries that have a file of their own beside the output, in the order of their tables: `Contacts`,
    /// `Contacts.Tasks`.
    #[must_use]
    pub fn child_files(&self) -> Vec<String> {
        let query = self.query().filter(|_| self.layout().child_tables);
        query.map(|query| query.statement.child_queries()).unwrap_or_default()
    }
}

/// Where a query's text was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryOrigin {
    /// The file, as messages name it.
    pub file: PathBuf,
    /// The line that the text begins on, from 1.
    pub line: usize,
    /// Whether each line of the text is a line of the file; escapes and joined lines make that uncertain.
    pub is_exact: bool,
    /// The line of an object's `fields`.
    pub fields_line: Option<usize>,
    /// The line of an object's `where`.
    pub condition_line: Option<usize>,
}

impl QueryOrigin {
    /// This line of the file, or the first line of the text.
    pub(crate) fn at(&self, line: Option<usize>) -> String {
        format!("{}:{}", self.file.display(), line.unwrap_or(self.line))
    }
}

impl fmt::Display for QueryOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at(None))
    }
}

/// Where a job's manifest goes: the list of what was exported, written after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// There is none.
    None,
    /// Where its job suggests: next to a single output, or in the directory that all outputs of a set share.
    Beside,
    /// To this path; only sets have it.
    At(OutputTemplate),
}

/// The file format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180, by the job's dialect.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// Typed columns, as the Apache project of this name defines them.
    Parquet,
}

/// What to say, and a hint, where [`Format::is_written`] is false.
pub(crate) const NO_PARQUET: (&str, &str) = (
    "this build of sfexport does not write Parquet",
    "use one that was built with the feature `parquet`, or export CSV or JSON Lines",
);

/// What to say of a compression level for Parquet.
pub(crate) const NO_PARQUET_LEVEL: &str = "the compression level of Parquet cannot be set";

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Jsonl, Self::Parquet];

    /// Its name, as the configuration and the run report spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }

    /// Whether this build of sfexport writes it.
    #[must_use]
    pub fn is_written(self) -> bool {
        self != Self::Parquet || cfg!(feature = "parquet")
    }

    /// Its name in sentences.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Jsonl => "JSON Lines",
            Self::Parquet => "Parquet",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How records become bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// How numbers are written.
    pub numbers: Numbers,
    /// How datetimes are written.
    pub datetimes: Datetimes,
    /// How columns are named, and which types they have.
    pub columns: ColumnRules,
    /// What becomes of child queries in CSV.
    pub children: Children,
    /// What becomes of compound fields in CSV.
    pub compound: Compound,
    /// Whether a run fails when its columns differ from the last successful run's.
    pub columns_pinned: bool,
    /// Whether JSON Lines keep each record's `attributes`.
    pub attributes: bool,
    /// The CSV dialect.
    pub csv: CsvDialect,
    /// How a Parquet file is written.
    pub parquet: ParquetSettings,
}

impl Shape {
    /// How columns are laid out in files of this format.
    #[must_use]
    pub fn layout(&self, format: Format) -> Layout {
        Layout {
            child_tables: format == Format::Csv && self.children == Children::Files,
            compound_parts: format != Format::Jsonl && self.compound == Compound::Columns,
        }
    }
}

/// How numbers are written; never by way of a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// With the exponent written out: `1.6147805824397E13` is `16147805824397.0`.
    Plain,
    /// The very bytes of the answer.
    AsSent,
}

/// How datetimes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Datetimes {
    /// As the REST API sends them: `2026-05-01T07:25:37.000+0000`.
    #[default]
    AsSent,
    /// In UTC, as RFC 3339 has them: `2026-05-01T07:25:37.000Z`.
    Rfc3339,
}

/// What becomes of a child query's records in a CSV export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Children {
    /// The complete list as compact JSON in one column.
    Json,
    /// A CSV of their own beside the main one, for each child relationship.
    Files,
    /// The query is refused before it is sent.
    Reject,
}

/// What becomes of a compound field (address, location) in a CSV export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compound {
    /// Compact JSON in one column.
    Json,
    /// Its parts as columns.
    Columns,
}

/// What a run does where its output exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// The new export takes the old one's place.
    Replace,
    /// The run fails before it logs in.
    Fail,
}

/// What a run does if another number of records arrives than the org counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CountCheck {
    /// It finds out why, and fails if it cannot.
    #[default]
    Explain,
    /// It fails.
    Strict,
    /// It publishes what arrived, with a warning.
    Warn,
}

/// The CSV dialect; the default is RFC 4180 with `\n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvDialect {
    /// Between cells; one ASCII character.
    pub delimiter: u8,
    /// Around cells that need it; one ASCII character, doubled inside them.
    pub quote: u8,
    /// `\r\n` in place of `\n` at a row's end.
    pub crlf: bool,
    /// What stands for null.
    pub null: String,
    /// Whether the first row names the columns.
    pub header: bool,
    /// Whether the file begins with a byte order mark.
    pub bom: bool,
    /// Whether `'` is put before text that a spreadsheet would run as a formula.
    pub formula_guard: bool,
}

impl Default for CsvDialect {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: b'"',
            crlf: false,
            null: String::new(),
            header: true,
            bom: false,
            formula_guard: false,
        }
    }
}

/// What the daemon does about occurrences that were missed, that overlap, or whose run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Which missed occurrences are run late.
    pub catch_up: CatchUp,
    /// How late an occurrence may still start.
    pub start_deadline: Option<Duration>,
    /// What happens when an occurrence falls due while the job runs.
    pub overlap: Overlap,
    /// The width of the window that starts are spread over.
    pub jitter: Duration,
    /// How many times a run worth a retry is tried again.
    pub retries: u32,
    /// How long after its end.
    pub retry_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            catch_up: CatchUp::Latest,
            start_deadline: None,
            overlap: Overlap::Skip,
            jitter: Duration::ZERO,
            retries: 3,
            retry_after: Duration::from_secs(600),
        }
    }
}

/// Which missed occurrences are run late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// None of them.
    None,
    /// The last one.
    Latest,
    /// Each of them, up to a cap.
    All,
}

/// What happens when an occurrence falls due while the job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It is skipped.
    Skip,
    /// One waits for the run's end.
    Queue,
    /// The run is cancelled and a new one takes its place.
    Replace,
}

#[cfg(test)]
mod tests {
    use super::JobName;

    #[test]
    fn a_job_name_is_safe_in_a_path_and_on_a_command_line() {
        for good in ["accounts", "Accounts.v2", "a", "A-b_c.9", "2026"] {
            assert_eq!(JobName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", ".hidden", "a b", "a/b", "a\\b", "ä", "a\n", "a\0", "a:b", "{job}"] {
            assert!(JobName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
