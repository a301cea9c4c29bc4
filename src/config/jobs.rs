//! Reads the job files into jobs or lists of mistakes, and finds jobs that share an output.

mod bulk;
mod clashes;
mod defaults;
mod format;
mod incremental;
mod object;
mod objects;
mod orgs;
mod own_files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use self::clashes::clashes;
pub(crate) use self::defaults::check as check_defaults;
pub(crate) use self::own_files::OwnFiles;
use self::own_files::overwritten;
use super::Selection;
use super::digests;
use super::keys::Table;
use super::layer::{Layer, Section, TextFile, shown};
use super::mistake::{Mistake, Origin, Problem, choose, nearest, quoted};
use super::orgs::Orgs;
use super::passed_over;
use super::settings::{nanoseconds, secret, some_nanoseconds};
use super::value;
use crate::error::io_text;
use crate::job::output_path::{FIELDS, TemplateError};
use crate::job::{
    After, ApiChoice, BulkSettings, CatchUp, Children, Compound, CountCheck, CsvDialect, Datetimes, Format,
    IfExists, Incremental, Job, JobName, Manifest, Numbers, ObjectSet, ObjectSource, OutputTemplate, Overlap,
    ParquetCodec, ParquetDecimals, ParquetSettings, ParquetTemporal, Policy, QueryOrigin, Shape, SoqlSource,
    Source, SourceError,
};
use crate::org::OrgName;
use crate::schedule::Schedule;
use crate::soql::{ColumnError, ColumnNames, ColumnRules, Query, Rule, SyntaxError};
use crate::value::FieldType;

/// The settings that every job depends on.
pub(crate) struct JobContext<'a> {
    pub(crate) working_dir: &'a Path,
    /// The directory of the shared file, or the working directory if there is none.
    pub(crate) directory: &'a Path,
    pub(crate) jobs_dir: &'a Path,
    /// Where `jobs_dir` was written, if anywhere. If not, the directory need not exist.
    pub(crate) jobs_dir_origin: Option<Origin>,
    /// Whether the directory is certain: a shared file that cannot be read may set another one.
    pub(crate) jobs_dir_known: bool,
    pub(crate) output_root: &'a Path,
    /// What no job may overwrite.
    pub(crate) own_files: OwnFiles,
    /// `None` if the orgs are unknown. Then a job may name any org.
    pub(crate) orgs: Option<&'a Orgs>,
    /// The values of `[defaults]`; `None` if they are unknown, because the shared file cannot be read.
    pub(crate) defaults: Option<&'a Layer>,
    /// The name of the shared file in messages; the mistake if there is none.
    pub(crate) shared_file: Result<&'a Path, &'a Problem>,
}

/// The selected jobs, ordered by name, and all mistakes.
#[derive(Default)]
pub(crate) struct Jobs {
    pub(crate) jobs: Vec<Job>,
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) warnings: Vec<Mistake>,
    /// By job: the mistakes that do not affect other jobs.
    pub(crate) broken: BTreeMap<String, Vec<Mistake>>,
    /// By job: the digest of its files.
    pub(crate) digests: BTreeMap<String, String>,
    /// The mistakes of selecting jobs that do not exist.
    pub(crate) unknown: Vec<Mistake>,
}

impl Jobs {
    /// Whether there was no job file at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.mistakes.is_empty() && self.warnings.is_empty() && self.broken.is_empty()
    }
}

/// Reads the job files. If jobs are selected by name, mistakes in other files are warnings.
pub(crate) fn read(context: &JobContext<'_>, selection: &Selection) -> Jobs {
    let mut all = Jobs::default();
    if *selection == Selection::NoJobs {
        return all;
    }
    let files = match list(context) {
        Ok(files) => files,
        Err(mistake) => {
            all.mistakes.push(*mistake);
            return all;
        }
    };
    let selected = match selection {
        Selection::Jobs(names) => Some(names.iter().map(String::as_str).collect::<BTreeSet<_>>()),
        Selection::All | Selection::Readable | Selection::NoJobs => None,
    };
    let is_selected = |stem: &str| selected.as_ref().is_none_or(|names| names.contains(stem));
    if let (Some(names), true) = (&selected, context.jobs_dir_known) {
        all.unknown.extend(names.iter().filter_map(|name| missing(name, &files, context)));
    }
    if selected.is_none() {
        all.warnings.extend(passed_over::jobs(context.jobs_dir, context.working_dir));
    }

    let mut readings = Vec::new();
    for (stem, path) in &files {
        let mut reading = Reading::default();
        match JobName::parse(stem) {
            Ok(name) => reading.read(name, path, context),
            Err(error) => {
                let origin =
                    Origin::File { path: shown(path, context.working_dir), line: None, column: None };
                let problem =
                    Problem::new(format!("{} is not a job's name: {error}", quoted(stem)), "rename the file");
                reading.mistakes.push(Mistake::new(origin, None, problem));
            }
        }
        all.digests.insert(stem.clone(), digests::of(&reading.digests.concat()));
        if *selection == Selection::Readable && !reading.mistakes.is_empty() {
            all.warnings.append(&mut reading.warnings);
            all.broken.insert(stem.clone(), reading.mistakes);
            continue;
        }
        if is_selected(stem) {
            all.mistakes.append(&mut reading.mistakes);
            all.warnings.append(&mut reading.warnings);
        } else {
            all.warnings.append(&mut reading.mistakes);
        }
        readings.extend(reading.jobs);
    }
    let own_files =
        context.own_files.with(files.values().map(PathBuf::as_path), &readings, context.working_dir);
    let overwritten = overwritten(&readings, &own_files);
    let overwritten = overwritten.into_iter().map(|(mistake, name)| (mistake, vec![name]));
    for (mistake, names) in overwritten.chain(clashes(&readings)) {
        if *selection == Selection::Readable {
            for name in &names {
                all.broken.entry(name.to_string()).or_default().push(mistake.clone());
            }
            readings.retain(|(job, _)| !names.contains(&job.name));
        } else if names.iter().any(|name| is_selected(name.as_str())) {
            all.mistakes.push(mistake);
        } else {
            all.warnings.push(mistake);
        }
    }
    all.jobs =
        readings.into_iter().map(|(job, _)| job).filter(|job| is_selected(job.name.as_str())).collect();
    all.jobs.sort_by(|a, b| (&a.name, &a.org).cmp(&(&b.name, &b.org)));
    all
}

/// The paths of the job files by stem. Directories, hidden files and other extensions are ignored.
fn list(context: &JobContext<'_>) -> Result<BTreeMap<String, PathBuf>, Box<Mistake>> {
    let fail = |error: std::io::Error| {
        let origin = context.jobs_dir_origin.clone().unwrap_or(Origin::Anywhere);
        let directory = shown(context.jobs_dir, context.working_dir);
        let what = format!("cannot read {}: {}", directory.display(), io_text(&error));
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        let hint = is_missing.then(|| "create the directory, or correct jobs_dir".to_owned());
        Box::new(Mistake::new(origin, "jobs_dir".to_owned(), Problem::hinted(what, hint)))
    };
    let entries = match std::fs::read_dir(context.jobs_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && context.jobs_dir_origin.is_none() => {
            return Ok(BTreeMap::new());
        }
        Err(error) => return Err(fail(error)),
    };
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(stem) = name.strip_suffix(".toml") else { continue };
        // A mounted ConfigMap has `..data`, macOS writes `._x.toml`, and editors write `.#x.toml`.
        if name.starts_with('.') || path.is_dir() {
            continue;
        }
        files.insert(stem.to_owned(), path);
    }
    Ok(files)
}

/// The mistake of selecting a job that does not exist.
fn missing(name: &str, files: &BTreeMap<String, PathBuf>, context: &JobContext<'_>) -> Option<Mistake> {
    if files.contains_key(name) {
        return None;
    }
    if let (Err(problem), true) = (context.shared_file, files.is_empty()) {
        return Some(Mistake::new(Origin::Anywhere, None, problem.clone()));
    }
    let jobs_dir = shown(context.jobs_dir, context.working_dir);
    let what = format!("there is no job {} in {}", quoted(name), jobs_dir.display());
    // Completion in a shell writes `run jobs/accounts.toml`.
    let stem =
        Path::new(name).file_name().and_then(|name| name.to_str()).map(|name| name.trim_end_matches(".toml"));
    let hint = if let Some(stem) = stem.filter(|stem| files.contains_key(*stem)) {
        format!("name the job by its file without the extension: {}", quoted(stem))
    } else if let Some(near) = nearest(name, files.keys().map(String::as_str)) {
        format!("did you mean {}?", quoted(near))
    } else if files.is_empty() {
        format!("write its query and output to {}", jobs_dir.join(format!("{name}.toml")).display())
    } else {
        choose(files.keys().map(String::as_str))
    };
    let mut passed_over = passed_over::jobs(context.jobs_dir, context.working_dir);
    passed_over.retain(|mistake| match &mistake.origin {
        Origin::File { path, .. } => path.file_stem().is_some_and(|stem| {
            let stem = stem.to_string_lossy();
            stem.eq_ignore_ascii_case(name) || stem.eq_ignore_ascii_case(&format!("{name}.toml"))
        }),
        _ => false,
    });
    Some(match passed_over.into_iter().next() {
        Some(mistake) => {
            let (file, hint) = mistake.split();
            Mistake::new(Origin::Anywhere, None, Problem::hinted(format!("{what}\n{file}"), hint))
        }
        None => Mistake::new(Origin::Anywhere, None, Problem::new(what, hint)),
    })
}

/// A job's file as typed.
#[derive(Deserialize)]
struct RawJob {
    soql: Option<String>,
    soql_file: Option<PathBuf>,
    object: Option<String>,
    fields: Option<Vec<String>>,
    #[serde(rename = "where")]
    condition: Option<String>,
    objects: Option<Vec<String>>,
    manifest: Option<objects::ManifestWritten>,
    output: Option<String>,
    format: Option<String>,
    compression: Option<String>,
    compression_level: Option<u8>,
    org: Option<String>,
    orgs: Option<Vec<String>>,
    enabled: bool,
    schedule: Option<String>,
    timezone: String,
    #[serde(default, deserialize_with = "some_nanoseconds")]
    timeout: Option<Duration>,
    all_rows: bool,
    #[serde(with = "CountCheckWritten")]
    count_check: CountCheck,
    #[serde(with = "ApiChoiceWritten")]
    api: ApiChoice,
    numbers: Option<String>,
    #[serde(with = "DatetimesWritten")]
    datetimes: Datetimes,
    #[serde(with = "ColumnNamesWritten")]
    column_names: ColumnNames,
    #[serde(default)]
    columns: BTreeMap<String, String>,
    #[serde(default)]
    types: BTreeMap<String, String>,
    #[serde(with = "ChildrenWritten")]
    children: Children,
    #[serde(with = "CompoundWritten")]
    compound: Compound,
    attributes: bool,
    columns_pinned: bool,
    #[serde(with = "IfExistsWritten")]
    if_exists: IfExists,
    file_mode: Option<u32>,
    follow_links: bool,
    #[serde(with = "CatchUpWritten")]
    catch_up: CatchUp,
    #[serde(default, deserialize_with = "some_nanoseconds")]
    start_deadline: Option<Duration>,
    #[serde(with = "OverlapWritten")]
    overlap: Overlap,
    #[serde(deserialize_with = "nanoseconds")]
    jitter: Duration,
    retries: u32,
    #[serde(deserialize_with = "nanoseconds")]
    retry_after: Duration,
    #[serde(default, deserialize_with = "secret")]
    ping_url: Option<SecretString>,
    after: Option<Vec<String>>,
    #[serde(deserialize_with = "nanoseconds")]
    after_timeout: Duration,
    csv: CsvWritten,
    #[serde(with = "ParquetWritten")]
    parquet: ParquetSettings,
    bulk: BulkWritten,
    incremental: incremental::IncrementalWritten,
}

#[derive(Deserialize)]
struct CsvWritten {
    delimiter: String,
    quote: String,
    line_ending: String,
    #[serde(default)]
    null: String,
    header: bool,
    bom: bool,
    formula_guard: bool,
}

#[derive(Deserialize)]
#[serde(remote = "ParquetSettings")]
struct ParquetWritten {
    #[serde(with = "ParquetCodecWritten")]
    codec: ParquetCodec,
    #[serde(with = "ParquetDecimalsWritten")]
    decimals: ParquetDecimals,
    #[serde(with = "ParquetTemporalWritten")]
    temporal: ParquetTemporal,
}

#[derive(Deserialize)]
struct BulkWritten {
    from_calls: u64,
    #[serde(default)]
    max_records: Option<u64>,
    parallel: usize,
    #[serde(deserialize_with = "nanoseconds")]
    job_timeout: Duration,
    rest_max_calls: u64,
}

// The spellings of the domain's enums. The compiler checks that they are complete.
#[derive(Deserialize)]
#[serde(remote = "CountCheck", rename_all = "snake_case")]
enum CountCheckWritten {
    Explain,
    Strict,
    Warn,
}

#[derive(Deserialize)]
#[serde(remote = "ApiChoice", rename_all = "snake_case")]
enum ApiChoiceWritten {
    Auto,
    Rest,
    Bulk,
}

#[derive(Deserialize)]
#[serde(remote = "ParquetCodec", rename_all = "snake_case")]
enum ParquetCodecWritten {
    Zstd,
    Snappy,
}

#[derive(Deserialize)]
#[serde(remote = "ParquetDecimals", rename_all = "snake_case")]
enum ParquetDecimalsWritten {
    Double,
    Decimal,
}

#[derive(Deserialize)]
#[serde(remote = "ParquetTemporal", rename_all = "snake_case")]
enum ParquetTemporalWritten {
    Typed,
    Text,
}

#[derive(Deserialize)]
#[serde(remote = "Datetimes", rename_all = "snake_case")]
enum DatetimesWritten {
    AsSent,
    #[serde(rename = "rfc3339")]
    Rfc3339,
}

#[derive(Deserialize)]
#[serde(remote = "ColumnNames", rename_all = "snake_case")]
enum ColumnNamesWritten {
    AsWritten,
    Snake,
}

#[derive(Deserialize)]
#[serde(remote = "Children", rename_all = "snake_case")]
enum ChildrenWritten {
    Json,
    Files,
    Reject,
}

#[derive(Deserialize)]
#[serde(remote = "Compound", rename_all = "snake_case")]
enum CompoundWritten {
    Json,
    Columns,
}

#[derive(Deserialize)]
#[serde(remote = "IfExists", rename_all = "snake_case")]
enum IfExistsWritten {
    Replace,
    Fail,
}

#[derive(Deserialize)]
#[serde(remote = "CatchUp", rename_all = "snake_case")]
enum CatchUpWritten {
    None,
    Latest,
    All,
}

#[derive(Deserialize)]
#[serde(remote = "Overlap", rename_all = "snake_case")]
enum OverlapWritten {
    Skip,
    Queue,
    Replace,
}

/// What a job exports, before its columns are known.
enum Exported {
    Query(Query),
    Object(ObjectSource),
    Objects(ObjectSet),
}

/// The reading of one job file.
#[derive(Default)]
struct Reading {
    /// The job for each of its orgs, and the place of its `output`.
    jobs: Vec<(Job, Origin)>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    /// Whether messages leave out the query's text, because the file may be a secret instead.
    is_hidden: bool,
    query_origin: Option<QueryOrigin>,
    /// The digests of its files, in the order of reading.
    digests: Vec<String>,
}

impl Reading {
    fn read(&mut self, name: JobName, path: &Path, context: &JobContext<'_>) {
        let file = match TextFile::read(path, context.working_dir) {
            Ok(file) => file,
            Err(mistake) => return self.mistakes.push(*mistake),
        };
        self.digests.push(digests::of(&file.text));
        let layer = Layer::of_job_file(&file, &mut self.mistakes);
        if layer.is_unread() {
            return;
        }
        let built_in = Layer::of_defaults(Table::Job, "", &file.directory);
        let defaults =
            context.defaults.map(|defaults| defaults::fitting(defaults, &layer)).unwrap_or_default();
        let layers = [&built_in, &defaults, &layer];
        let Some(section) = Section::<RawJob>::merge(&layers, "", &mut self.mistakes) else {
            return;
        };
        let orgs = self.orgs(&file, &section, context);
        let Some(job) = self.resolve(name, &file, [&defaults, &layer], &section, context) else { return };
        let origin = section.origin("output").unwrap_or_else(|| file.whole());
        for org in orgs.unwrap_or_default() {
            let api = self.api_in(&file, &section, context, (job.api, &org));
            self.jobs.push((Job { api, ..of_org(&job, org) }, origin.clone()));
        }
    }

    fn mistake(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        key: &str,
        problem: impl Into<Problem>,
    ) {
        self.mistakes.push(section.mistake(key, &file.whole(), problem));
    }

    /// Turns the typed values into a job. All keys are checked, even after a mistake.
    fn resolve(
        &mut self,
        name: JobName,
        file: &TextFile,
        layers: [&Layer; 2],
        section: &Section<RawJob>,
        context: &JobContext<'_>,
    ) -> Option<Job> {
        let typed = &section.typed;
        let exported = self.exported(file, layers, section, context);
        let form = self.form(file, section);
        let format = form.map(|(format, _)| format);
        let output = self.output(file, section, context);
        let output = output.and_then(|output| self.object_field(file, section, output, exported.as_ref()));
        let manifest = self.manifest(file, section, exported.as_ref(), output.as_ref());
        let after = self.after(file, section, manifest.as_ref());
        self.org_fields(file, section, output.as_ref(), manifest.as_ref());
        let timezone = self.timezone(file, section);
        let incremental =
            self.incremental(file, section, exported.as_ref(), output.as_ref(), timezone.as_ref());
        let schedule = self.schedule(file, section, timezone.as_ref());
        if let (Some(output), Some(schedule)) = (&output, &schedule) {
            self.marks_differ(file, section, output, schedule);
        }
        let csv = self.csv(file, section);
        let api = self.api(file, section, exported.as_ref(), format);
        if let Some(format) = format {
            self.format_rules(file, section, format);
        }
        if !self.mistakes.is_empty() {
            return None;
        }
        let (format, compression) = form?;
        let numbers = match (typed.numbers.as_deref(), format) {
            (Some("plain"), _) | (None, Format::Csv) => Numbers::Plain,
            _ => Numbers::AsSent,
        };
        let shape = Shape {
            numbers,
            datetimes: typed.datetimes,
            columns: column_rules(section, format),
            children: typed.children,
            compound: typed.compound,
            columns_pinned: typed.columns_pinned,
            attributes: typed.attributes,
            csv: csv?,
            parquet: typed.parquet,
        };
        let source = match exported? {
            Exported::Query(query) => self.soql_source(file, section, query, &shape, format)?,
            Exported::Object(object) => {
                self.check_columns_of(file, section, &object, &shape, (format, incremental.as_ref()))?;
                Source::Object(object)
            }
            Exported::Objects(set) => Source::Objects(set),
        };
        Some(Job {
            name,
            // [`of_org`] sets it.
            org: OrgName::default_org(),
            enabled: typed.enabled,
            source,
            object: None,
            manifest: manifest?,
            query_origin: self.query_origin.take(),
            all_rows: typed.all_rows || incremental.as_ref().is_some_and(Incremental::includes_deleted),
            count_check: typed.count_check,
            api,
            bulk: bulk_settings(&typed.bulk),
            incremental,
            output: output?,
            format,
            compression,
            shape,
            if_exists: typed.if_exists,
            file_mode: typed.file_mode,
            follow_links: typed.follow_links,
            schedule,
            timezone: timezone?,
            timeout: typed.timeout,
            policy: Policy {
                catch_up: typed.catch_up,
                start_deadline: typed.start_deadline,
                overlap: typed.overlap,
                jitter: typed.jitter,
                retries: typed.retries,
                retry_after: typed.retry_after,
            },
            ping_url: typed.ping_url.clone(),
            after,
        })
    }

    /// Checks whether a valid query can be exported, as far as its text shows.
    fn soql_source(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        query: Query,
        shape: &Shape,
        format: Format,
    ) -> Option<Source> {
        let error = match SoqlSource::new(query, shape.layout(format), &shape.columns) {
            Ok(source) => return Some(Source::Soql(source)),
            Err(error) => error,
        };
        let key = if section.is_written("soql") { "soql" } else { "soql_file" };
        match error {
            SourceError::Query(error) if self.is_hidden => self.mistake(file, section, key, hidden(&error)),
            SourceError::Query(_) => {
                self.mistake(file, section, key, Problem::hinted(error.to_string(), error.hint()))
            }
            SourceError::Columns(error) => self.column_mistake(file, section, &error),
        }
        None
    }

    /// The mistake of a name or a type that does not fit the columns, at its line.
    fn column_mistake(&mut self, file: &TextFile, section: &Section<RawJob>, error: &ColumnError) {
        let (key, near) = match error {
            ColumnError::Unknown { rule, name, known } => {
                (format!("{}.{name}", rule.table()), nearest(name, known.iter().map(String::as_str)))
            }
            ColumnError::InChildArray { name, .. } | ColumnError::ChildArray { name } => {
                (format!("columns.{name}"), None)
            }
            ColumnError::SameName { originals, .. } => {
                let keys = originals.iter().rev().map(|name| format!("columns.{name}"));
                let written = keys.into_iter().find(|key| section.is_written(key));
                (written.unwrap_or_else(|| "column_names".to_owned()), None)
            }
        };
        self.mistake(file, section, &key, Problem::new(error.to_string(), error.hint(near)));
    }

    /// What the job exports, from `soql`, `soql_file`, `object` or `objects`.
    fn exported(
        &mut self,
        file: &TextFile,
        layers: [&Layer; 2],
        section: &Section<RawJob>,
        context: &JobContext<'_>,
    ) -> Option<Exported> {
        let sources = ["soql", "soql_file", "object", "objects"];
        let written: Vec<_> = sources.into_iter().filter(|key| section.is_written(key)).collect();
        if matches!(written.as_slice(), [only] if *only != "objects") {
            self.only_of_sets(layers[1]);
        }
        match written.as_slice() {
            ["object"] => self.object(file, section).map(Exported::Object),
            ["objects"] => self.objects(file, layers, section).map(Exported::Objects),
            [_] => {
                self.only_of_objects(file, section);
                self.query(file, section, context).map(Exported::Query)
            }
            [] => {
                let hint = "add a query, or set `soql_file`, `object` or `objects`";
                self.mistake(file, section, "soql", Problem::new("this key is not set", hint));
                None
            }
            [first, second, ..] => {
                let problem =
                    Problem::new(format!("`{first}` and `{second}` are both set"), "remove one of them");
                self.mistake(file, section, second, problem);
                None
            }
        }
    }

    fn query(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        context: &JobContext<'_>,
    ) -> Option<Query> {
        if let Some(text) = &section.typed.soql {
            return match Query::parse(text) {
                Ok(query) => {
                    self.query_origin = inline_origin(file, section.origin("soql").as_ref(), text, &query);
                    Some(query)
                }
                Err(error) => {
                    let line =
                        section.origin("soql").and_then(|origin| line_in_file(file, &origin, text, &error));
                    let (origin, what) = match line {
                        Some(line) => (file.line(line), window(&error)),
                        None => (section.origin("soql").unwrap_or_else(|| file.whole()), error.to_string()),
                    };
                    let problem = Problem::hinted(what, error.hint);
                    self.mistakes.push(Mistake::new(origin, "soql".to_owned(), problem));
                    None
                }
            };
        }
        let path = section.typed.soql_file.as_ref()?;
        let soql = match TextFile::read(path, context.working_dir) {
            Ok(soql) => soql,
            Err(mistake) => {
                let what = format!("{} {}", shown(path, context.working_dir).display(), mistake.what);
                self.mistake(file, section, "soql_file", Problem::hinted(what, mistake.hint));
                return None;
            }
        };
        self.digests.push(digests::of(&soql.text));
        // Editors on Windows write a byte order mark.
        let text = soql.text.trim_start_matches('\u{feff}');
        if text.trim().is_empty() {
            let what = format!("{} is empty", shown(path, context.working_dir).display());
            self.mistake(file, section, "soql_file", what);
            return None;
        }
        self.is_hidden = soql.is_private || !is_below(path, &[context.directory, &file.directory]);
        match Query::parse(text) {
            Ok(query) => {
                let line = blank_lines(text) + 1;
                self.query_origin = Some(QueryOrigin {
                    file: soql.shown,
                    line,
                    is_exact: true,
                    fields_line: None,
                    condition_line: None,
                });
                Some(query)
            }
            Err(error) if self.is_hidden => {
                let Problem { what, hint } = hidden(&error);
                let what = format!("{}: {what}", shown(path, context.working_dir).display());
                self.mistake(file, section, "soql_file", Problem::hinted(what, hint));
                None
            }
            Err(error) => {
                let line = blank_lines(text) + error.line;
                let origin =
                    Origin::File { path: soql.shown.clone(), line: Some(line), column: Some(error.column) };
                let what = window(&error);
                self.mistakes.push(Mistake::new(origin, None, Problem::hinted(what, error.hint)));
                None
            }
        }
    }

    fn output(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        context: &JobContext<'_>,
    ) -> Option<OutputTemplate> {
        let Some(text) = &section.typed.output else {
            // Defaults that cannot be read may set it.
            if !section.is_written("output") && context.defaults.is_some() {
                let hint = "write it as in output = \"{job}/{date}.csv\"";
                self.mistake(file, section, "output", Problem::new("this key is not set", hint));
            }
            return None;
        };
        match OutputTemplate::parse(text, context.output_root) {
            Ok(template) => Some(template),
            Err(error) => {
                let problem = of_template(text, error);
                self.mistake(file, section, "output", problem);
                None
            }
        }
    }

    /// The template with `{object}` filled in, or the mistake that the job has no object.
    fn object_field(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        output: OutputTemplate,
        exported: Option<&Exported>,
    ) -> Option<OutputTemplate> {
        match exported {
            Some(Exported::Object(source)) => Some(output.of_object(&source.object)),
            Some(Exported::Query(_)) if output.has_object() => {
                let what =
                    format!("{} has the field {{object}}, and the job has no object", quoted(output.text()));
                let hint = "write {job}, or set `object` or `objects` instead of the query";
                self.mistake(file, section, "output", Problem::new(what, hint));
                None
            }
            Some(Exported::Objects(_)) if !output.has_object() => {
                let what = format!("{} lacks the field {{object}}", quoted(output.text()));
                let hint = "give each object a separate output, as in \"{job}/{object}.csv\"";
                self.mistake(file, section, "output", Problem::new(what, hint));
                None
            }
            _ => Some(output),
        }
    }

    fn timezone(&mut self, file: &TextFile, section: &Section<RawJob>) -> Option<TimeZone> {
        let name = &section.typed.timezone;
        match TimeZone::get(name) {
            Ok(zone) if !zone.is_unknown() => {
                if let Some((_, city)) = WITHOUT_SUMMER_TIME.iter().find(|(short, _)| short == name) {
                    let what = format!("{} has no daylight saving time", quoted(name));
                    let problem =
                        Problem::new(what, format!("write {} if clocks there change", quoted(city)));
                    self.warnings.push(section.mistake("timezone", &file.whole(), problem));
                }
                Some(zone)
            }
            _ => {
                let problem = Problem::new(format!("{} is not a time zone", quoted(name)), meant_zone(name));
                self.mistake(file, section, "timezone", problem);
                None
            }
        }
    }

    fn schedule(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        zone: Option<&TimeZone>,
    ) -> Option<Schedule> {
        let written = section.typed.schedule.as_deref();
        let Some(text) = written.filter(|text| *text != NO_SCHEDULE) else {
            if !section.is_mistaken("schedule") {
                for key in ["catch_up", "start_deadline", "overlap", "jitter", "retries", "retry_after"] {
                    if section.is_own(key) {
                        let problem = Problem::new(
                            "this key has no effect without a `schedule`",
                            "add a `schedule`, or remove this key",
                        );
                        self.warnings.push(section.mistake(key, &file.whole(), problem));
                    }
                }
            }
            return None;
        };
        // The schedule is checked even if the zone is invalid.
        match Schedule::parse(text, zone.cloned().unwrap_or(TimeZone::UTC)) {
            Ok(schedule) => Some(schedule),
            Err(error) => {
                self.mistake(file, section, "schedule", Problem::new(error.to_string(), error.hint()));
                None
            }
        }
    }

    /// The command to run after each export.
    fn after(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        manifest: Option<&Manifest>,
    ) -> Option<After> {
        let typed = &section.typed;
        if !section.is_written("after") && section.is_own("after_timeout") {
            let problem = Problem::new(
                "this key has no effect without `after`",
                "add a command as `after`, or remove this key",
            );
            self.warnings.push(section.mistake("after_timeout", &file.whole(), problem));
        }
        let command = typed.after.clone()?;
        if typed.objects.is_some()
            && manifest == Some(&Manifest::None)
            && command.iter().any(|argument| argument.contains("{path}"))
        {
            let what = "{path} is the manifest of a set, and manifest = false writes none";
            let hint = "remove `manifest = false`, or {path} from `after`";
            self.mistake(file, section, "after", Problem::new(what, hint));
        }
        Some(After { command, timeout: typed.after_timeout })
    }

    fn csv(&mut self, file: &TextFile, section: &Section<RawJob>) -> Option<CsvDialect> {
        let csv = &section.typed.csv;
        let delimiter = match csv.delimiter.as_str() {
            "tab" | "\\t" => Some(b'\t'),
            text => {
                self.one_character(file, section, "csv.delimiter", text, "\",\", \";\", \"|\" or \"tab\"")
            }
        };
        let quote = self.one_character(file, section, "csv.quote", &csv.quote, "'\"' or \"'\"");
        if delimiter.is_some() && delimiter == quote {
            let key = if section.is_written("csv.delimiter") { "csv.delimiter" } else { "csv.quote" };
            self.mistake(file, section, key, "the delimiter and the quote are the same character");
        }
        // Such a token would be quoted like text, so readers could not recognize it.
        let special =
            |byte: u8| matches!(byte, b'\r' | b'\n') || Some(byte) == delimiter || Some(byte) == quote;
        if csv.null.bytes().any(special) {
            let what = format!("{} contains the delimiter, the quote or a line break", quoted(&csv.null));
            self.mistake(file, section, "csv.null", what);
        }
        Some(CsvDialect {
            delimiter: delimiter?,
            quote: quote?,
            crlf: csv.line_ending == "crlf",
            null: csv.null.clone(),
            header: csv.header,
            bom: csv.bom,
            formula_guard: csv.formula_guard,
        })
    }

    fn one_character(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        key: &str,
        text: &str,
        examples: &str,
    ) -> Option<u8> {
        match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\0' | b'\r' | b'\n') => Some(*byte),
            _ => {
                let what = format!("{} is not a single ASCII character", quoted(text));
                self.mistake(file, section, key, Problem::new(what, format!("write {examples}")));
                None
            }
        }
    }
}

/// The settings of `[bulk]`.
fn bulk_settings(written: &BulkWritten) -> BulkSettings {
    let BulkWritten { from_calls, max_records, parallel, job_timeout, rest_max_calls } = *written;
    BulkSettings { from_calls, max_records, parallel, job_timeout, rest_max_calls }
}

/// The value of `schedule` that removes a default.
const NO_SCHEDULE: &str = "none";

/// The job for one of its orgs.
fn of_org(job: &Job, org: OrgName) -> Job {
    let ping_url = job
        .ping_url
        .as_ref()
        .map(|template| value::ping_url(template.expose_secret(), job.name.as_str(), org.as_str()).into());
    Job { org, ping_url, ..job.clone() }
}

/// The mistake of a text that is not a template.
fn of_template(text: &str, error: TemplateError) -> Problem {
    let hint = match &error.unknown_field {
        Some(field) => Some(nearest(field, FIELDS).map_or_else(
            || format!("choose one of {}", FIELDS.map(|field| format!("{{{field}}}")).join(" ")),
            |near| format!("did you mean {{{near}}}?"),
        )),
        None => error.hint,
    };
    Problem::hinted(format!("{} {}", quoted(text), error.reason), hint)
}

/// The mistake of new names for records with `attributes`.
fn flat_records() -> Problem {
    let what = "records with new names are flat objects, which have no `attributes`";
    Problem::new(what, "remove this key, or `column_names` and `[columns]`")
}

/// The names and types of columns.
fn column_rules(section: &Section<RawJob>, format: Format) -> ColumnRules {
    let typed = &section.typed;
    let defaults = |rule: Rule, column: &String| {
        section.is_default(&format!("{}.{column}", rule.table())).then(|| (rule, column.clone()))
    };
    let renames = typed.columns.keys().filter_map(|column| defaults(Rule::Name, column));
    let types = typed.types.keys().filter_map(|column| defaults(Rule::Type, column));
    let typed_as = |(column, text): (&String, &String)| Some((column.clone(), FieldType::parse(text)?));
    ColumnRules {
        names: typed.column_names,
        renames: typed.columns.iter().map(|(column, name)| (column.clone(), name.clone())).collect(),
        // The reader of values has refused other texts.
        types: typed.types.iter().filter_map(typed_as).collect(),
        child_arrays_keep_names: format == Format::Jsonl,
        is_for_several_objects: typed.objects.is_some(),
        optional: renames.chain(types).collect(),
    }
}

/// Time zones that are easily mistaken for those of a city, although their clocks never change.
const WITHOUT_SUMMER_TIME: [(&str, &str); 2] = [("EST", "America/New_York"), ("MST", "America/Denver")];

/// Abbreviations, and names of Windows, that are not IANA time zones, with the zones that they may mean.
const ABBREVIATIONS: [(&[&str], &[&str]); 19] = [
    (&["Pacific Standard Time"], &["America/Los_Angeles"]),
    (&["Mountain Standard Time"], &["America/Denver"]),
    (&["Central Standard Time"], &["America/Chicago"]),
    (&["Eastern Standard Time"], &["America/New_York"]),
    (&["GMT Standard Time"], &["Europe/London"]),
    (&["W. Europe Standard Time", "Central Europe Standard Time"], &["Europe/Berlin", "Europe/Budapest"]),
    (&["Romance Standard Time"], &["Europe/Paris"]),
    (&["India Standard Time"], &["Asia/Kolkata"]),
    (&["PST", "PDT", "PT"], &["America/Los_Angeles"]),
    (&["MST", "MDT", "MT"], &["America/Denver"]),
    (&["CST"], &["America/Chicago", "Asia/Shanghai"]),
    (&["CDT", "CT"], &["America/Chicago"]),
    (&["EST", "EDT", "ET"], &["America/New_York"]),
    (&["MEZ", "MESZ", "CEST"], &["Europe/Berlin"]),
    (&["BST"], &["Europe/London"]),
    (&["IST"], &["Asia/Kolkata", "Asia/Jerusalem", "Europe/Dublin"]),
    (&["JST"], &["Asia/Tokyo"]),
    (&["AEST", "AEDT"], &["Australia/Sydney"]),
    (&["NZST", "NZDT"], &["Pacific/Auckland"]),
];

/// `Berlin` of `Europe/Berlin`.
fn city(zone: &str) -> &str {
    zone.rsplit('/').next().unwrap_or(zone)
}

/// The hint for an unknown zone. It never suggests a zone with another offset than the one that was meant.
fn meant_zone(text: &str) -> String {
    const CITY: &str = "name the zone by a city, as in \"Europe/Berlin\"";
    let meant = ABBREVIATIONS.iter().find(|(short, _)| short.iter().any(|s| s.eq_ignore_ascii_case(text)));
    if let Some((_, zones)) = meant {
        let zones: Vec<_> = zones.iter().map(|zone| quoted(zone)).collect();
        return format!("name the zone by a city: {}", zones.join(" or "));
    }
    // Anything similar to `GMT+1` or `CET-1` has another offset.
    if text.contains(|c: char| c.is_ascii_digit() || c == '+') {
        return CITY.to_owned();
    }
    let zones: Vec<_> = jiff::tz::db().available().map(|zone| zone.as_str().to_owned()).collect();
    let of_city = |wanted: &str| zones.iter().find(|zone| city(zone).eq_ignore_ascii_case(wanted));
    let near = match of_city(city(text)) {
        Some(zone) => Some(zone.as_str()),
        // A short word is similar to many abbreviations.
        None if text.len() <= 4 => None,
        None => nearest(text, zones.iter().map(String::as_str)).or_else(|| {
            nearest(city(text), zones.iter().map(|zone| city(zone))).and_then(&of_city).map(String::as_str)
        }),
    };
    near.map_or_else(|| CITY.to_owned(), |zone| format!("did you mean {}?", quoted(zone)))
}

/// The reason, the line and the caret, without the place, which the mistake itself has.
fn window(error: &SyntaxError) -> String {
    let text = error.to_string();
    let own = format!("line {}, column {}: ", error.line, error.column);
    text.strip_prefix(&own).unwrap_or(&text).to_owned()
}

/// The mistake without the text. A path may lead to a secret by accident, and the reason would quote it.
fn hidden(error: &SyntaxError) -> Problem {
    let SyntaxError { line, column, .. } = error;
    Problem::new(
        format!("line {line}, column {column} is not SOQL that can be exported"),
        "check that this is the right file; its text is hidden, because the file is private to its owner or outside the \
         configuration's directory",
    )
}

/// Whether a file is below one of these directories, after links are resolved.
fn is_below(file: &Path, directories: &[&Path]) -> bool {
    let Ok(file) = file.canonicalize() else { return false };
    directories
        .iter()
        .any(|directory| directory.canonicalize().is_ok_and(|directory| file.starts_with(directory)))
}

fn blank_lines(text: &str) -> usize {
    text[..text.len() - text.trim_start().len()].matches('\n').count()
}

/// Where a query in a job file begins: on its key's line or, as usual, on the next.
fn inline_origin(file: &TextFile, key: Option<&Origin>, text: &str, query: &Query) -> Option<QueryOrigin> {
    let Some(Origin::File { line: Some(key_line), .. }) = key else { return None };
    let lines: Vec<_> = query.text.lines().map(str::trim).collect();
    let holds_all = |first: &usize| {
        let mut there = file.text.lines().skip(first - 1);
        lines.iter().all(|line| there.next().is_some_and(|text| text.contains(line)))
    };
    let first = key_line + blank_lines(text);
    let exact = [first, first + 1].into_iter().find(holds_all);
    let (line, is_exact) = (exact.unwrap_or(*key_line), exact.is_some());
    Some(QueryOrigin { file: file.shown.clone(), line, is_exact, fields_line: None, condition_line: None })
}

/// The line of the file with the error's line of the query. Multi-line text begins on its key's line or, as usual, on
/// the next. `None` if escapes or joined lines make the line uncertain.
fn line_in_file(file: &TextFile, key: &Origin, query: &str, error: &SyntaxError) -> Option<usize> {
    let Origin::File { line: Some(key_line), .. } = key else { return None };
    let first = key_line + blank_lines(query) + error.line - 1;
    let holds =
        |line: &usize| file.text.lines().nth(line - 1).is_some_and(|text| text.contains(error.source.trim()));
    [first, first + 1].into_iter().find(holds)
}
