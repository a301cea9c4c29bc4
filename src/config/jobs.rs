//! The job files: each a `Job` that can run, or its mistakes; and what no two jobs may share.

mod object;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use secrecy::SecretString;
use serde::Deserialize;

use super::Selection;
use super::digests;
use super::keys::Table;
use super::layer::{Layer, Section, TextFile, shown};
use super::mistake::{Mistake, Origin, did_you_mean, nearest, quoted};
use super::orgs::Orgs;
use super::passed_over;
use super::settings::{nanoseconds, secret, some_nanoseconds};
use crate::job::output_path::{FIELDS, Fields, beside};
use crate::job::path_text;
use crate::job::{
    CatchUp, Children, Compound, CountCheck, CsvDialect, Format, IfExists, Job, JobName, Numbers,
    ObjectSource, OutputTemplate, Overlap, Policy, QueryOrigin, Shape, SoqlSource, Source,
};
use crate::org::OrgName;
use crate::schedule::Schedule;
use crate::soql::{Layout, Query, SyntaxError};

/// What every job is read against.
pub(crate) struct JobContext<'a> {
    pub(crate) working_dir: &'a Path,
    /// The directory of the shared file, or the working directory if there is none.
    pub(crate) directory: &'a Path,
    pub(crate) jobs_dir: &'a Path,
    /// Where `jobs_dir` was written; `None`: nowhere, and then the directory need not be there.
    pub(crate) jobs_dir_origin: Option<Origin>,
    /// Whether the directory is known to be the one that was meant: a shared file that cannot be read may name another.
    pub(crate) jobs_dir_known: bool,
    pub(crate) output_root: &'a Path,
    /// `None`: nobody knows, and every org that a job names may be there.
    pub(crate) orgs: Option<&'a Orgs>,
    /// `sfexport.toml` as messages name it; where there is none, what to do about it.
    pub(crate) shared_file: Result<&'a Path, &'a str>,
}

/// What was read: the selected jobs, ordered by name, and what was wrong.
#[derive(Default)]
pub(crate) struct Jobs {
    pub(crate) jobs: Vec<Job>,
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) warnings: Vec<Mistake>,
    /// By job: the mistakes that are not to stop the others.
    pub(crate) broken: BTreeMap<String, Vec<Mistake>>,
    /// By job: the digest of its files.
    pub(crate) digests: BTreeMap<String, String>,
    /// The mistakes of asking for jobs that no file defines.
    pub(crate) unknown: Vec<Mistake>,
}

impl Jobs {
    /// Whether there was no job file at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.mistakes.is_empty() && self.warnings.is_empty() && self.broken.is_empty()
    }
}

/// Reads the job files. With named jobs the mistakes of the others are warnings.
pub(crate) fn read(context: &JobContext<'_>, selection: &Selection) -> Jobs {
    let mut all = Jobs::default();
    if *selection == Selection::NoJobs {
        return all;
    }
    let files = match list(context) {
        Ok(files) => files,
        Err(mistake) => {
            all.mistakes.push(mistake);
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
                reading.mistakes.push(Mistake::new(
                    origin,
                    None,
                    format!("{} is no job's name: {error}", quoted(stem)),
                ));
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
        readings.extend(reading.job);
    }
    for (mistake, names) in clashes(&readings) {
        let counts = *selection != Selection::Readable;
        if counts && names.iter().any(|name| is_selected(name.as_str())) {
            all.mistakes.push(mistake);
        } else {
            all.warnings.push(mistake);
        }
    }
    all.jobs =
        readings.into_iter().map(|(job, _)| job).filter(|job| is_selected(job.name.as_str())).collect();
    all.jobs.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The job files: stem → path. Folders, hidden files and those that end otherwise are none.
fn list(context: &JobContext<'_>) -> Result<BTreeMap<String, PathBuf>, Mistake> {
    let fail = |error: std::io::Error| {
        let origin = context.jobs_dir_origin.clone().unwrap_or(Origin::Anywhere);
        let what =
            format!("{} cannot be read: {error}", shown(context.jobs_dir, context.working_dir).display());
        Mistake::new(origin, "jobs_dir".to_owned(), what)
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
        // A mounted ConfigMap keeps `..data`, macOS `._x.toml`, an editor `.#x.toml`.
        if name.starts_with('.') || path.is_dir() {
            continue;
        }
        files.insert(stem.to_owned(), path);
    }
    Ok(files)
}

/// The mistake of asking for a job that no file defines.
fn missing(name: &str, files: &BTreeMap<String, PathBuf>, context: &JobContext<'_>) -> Option<Mistake> {
    if files.contains_key(name) {
        return None;
    }
    if let (Err(hint), true) = (context.shared_file, files.is_empty()) {
        return Some(Mistake::new(Origin::Anywhere, None, hint.to_owned()));
    }
    let mut what = format!("there is no job {}", quoted(name));
    // `run jobs/accounts.toml` is what a shell's completion writes.
    let stem =
        Path::new(name).file_name().and_then(|name| name.to_str()).map(|name| name.trim_end_matches(".toml"));
    if let Some(stem) = stem.filter(|stem| files.contains_key(*stem)) {
        what.push_str(&format!("; a job's name is its file's without the ending: {}", quoted(stem)));
    } else if let Some(near) = nearest(name, files.keys().map(String::as_str)) {
        what.push_str(&format!("; did you mean {}?", quoted(near)));
    }
    // Behind a question mark a new sentence begins.
    let and = if what.ends_with('?') { "" } else { ";" };
    const MOST: usize = 20;
    let jobs_dir = shown(context.jobs_dir, context.working_dir);
    if files.is_empty() {
        what.push_str(&format!("; {} holds no job", jobs_dir.display()));
    } else {
        let some: Vec<_> = files.keys().take(MOST).map(String::as_str).collect();
        let more =
            if files.len() > MOST { format!(" and {} more", files.len() - MOST) } else { String::new() };
        what.push_str(&format!("{and} {} holds {}{more}", jobs_dir.display(), some.join(", ")));
    }
    let mut passed_over = passed_over::jobs(context.jobs_dir, context.working_dir);
    passed_over.retain(|mistake| match &mistake.origin {
        Origin::File { path, .. } => path.file_stem().is_some_and(|stem| {
            let stem = stem.to_string_lossy();
            stem.eq_ignore_ascii_case(name) || stem.eq_ignore_ascii_case(&format!("{name}.toml"))
        }),
        _ => false,
    });
    if let Some(passed_over) = passed_over.first() {
        what.push_str(&format!("\n{passed_over}"));
    }
    Some(Mistake::new(Origin::Anywhere, None, what))
}

/// Jobs of one output: a mistake at the first of them, with where the others are and all their names.
fn clashes(readings: &[(Job, Origin)]) -> Vec<(Mistake, Vec<JobName>)> {
    // Any time does, except one that a user might write out.
    let time = civil::date(2003, 2, 1).at(12, 34, 56, 0);
    let in_zone =
        |zone: &TimeZone| time.to_zoned(zone.clone()).map(|zoned| zoned.timestamp()).unwrap_or_default();
    let mut clashes: Vec<(Mistake, Vec<JobName>)> = Vec::new();
    // Jobs in different zones write one date at different times, and the later one replaces the other's file. Those
    // that write seconds since 1970 or an offset meet at one time only.
    for outputs in [sharing(readings, in_zone), sharing(readings, |_| in_zone(&TimeZone::UTC))] {
        for (mistake, names) in outputs.iter().filter_map(|(path, sharing)| clash(path, sharing)) {
            if !clashes.iter().any(|(_, known)| names.iter().all(|name| known.contains(name))) {
                clashes.push((mistake, names));
            }
        }
    }
    clashes
}

/// The files that the jobs write at the timestamp given for each job's zone, and the jobs of each.
fn sharing(
    readings: &[(Job, Origin)],
    timestamp: impl Fn(&TimeZone) -> Timestamp,
) -> BTreeMap<PathBuf, Vec<&(Job, Origin)>> {
    let mut outputs: BTreeMap<PathBuf, Vec<_>> = BTreeMap::new();
    for (number, reading) in readings.iter().enumerate() {
        let job = &reading.0;
        // No two runs share a run id, and no two jobs do.
        let run_id = format!("run-{number}");
        let timestamp = timestamp(&job.timezone);
        let fields =
            Fields { job: &job.name, org: &job.org, run_id: &run_id, timestamp, timezone: &job.timezone };
        if let Ok(path) = job.output.expand(&fields) {
            for part in job.child_files() {
                outputs.entry(beside(&path, &part)).or_default().push(reading);
            }
            outputs.entry(path).or_default().push(reading);
        }
    }
    outputs
}

/// The mistake of several jobs that write one file.
fn clash(path: &Path, sharing: &[&(Job, Origin)]) -> Option<(Mistake, Vec<JobName>)> {
    let ((job, origin), others) = sharing.split_first().filter(|(_, others)| !others.is_empty())?;
    let names: Vec<_> = sharing.iter().map(|(job, _)| job.name.clone()).collect();
    let is_one_zone = others.iter().all(|(other, _)| other.timezone == job.timezone);
    let others: Vec<_> = others.iter().map(|(other, origin)| format!("{} ({origin})", other.name)).collect();
    let others = others.join(", ");
    let what = if sharing.iter().all(|(job, _)| job.child_files().is_empty()) {
        let output = quoted(job.output.text());
        let when = if is_one_zone { "" } else { ", at another time in another time zone" };
        format!("{output} is also the output of {others}{when}; give each its own, as in \"{{job}}.csv\"")
    } else {
        let path = path.display();
        format!(
            "{path} is also a file of {others}, because a child query's file is next to its output; give each job its \
             own directory"
        )
    };
    Some((Mistake::new(origin.clone(), "output".to_owned(), what), names))
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
    output: Option<String>,
    format: Option<String>,
    org: Option<String>,
    enabled: bool,
    schedule: Option<String>,
    timezone: String,
    #[serde(default, deserialize_with = "some_nanoseconds")]
    timeout: Option<Duration>,
    all_rows: bool,
    #[serde(with = "CountCheckWritten")]
    count_check: CountCheck,
    numbers: Option<String>,
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
    csv: CsvWritten,
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

// How the domain's closed sets are spelled; the compiler holds each to its set.
#[derive(Deserialize)]
#[serde(remote = "CountCheck", rename_all = "snake_case")]
enum CountCheckWritten {
    Explain,
    Strict,
    Warn,
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

/// What a job exports, before its columns are laid out.
enum Exported {
    Query(Query),
    Object(ObjectSource),
}

/// One file's reading.
#[derive(Default)]
struct Reading {
    /// The job, and where its output stands.
    job: Option<(Job, Origin)>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    /// Whether messages leave out the query's text: it may be no query, but a secret.
    is_hidden: bool,
    query_origin: Option<QueryOrigin>,
    /// Those of its files, in the order of reading.
    digests: Vec<String>,
}

impl Reading {
    fn read(&mut self, name: JobName, path: &Path, context: &JobContext<'_>) {
        let file = match TextFile::read(path, context.working_dir) {
            Ok(file) => file,
            Err(mistake) => return self.mistakes.push(mistake),
        };
        self.digests.push(digests::of(&file.text));
        let layer = Layer::of_job_file(&file, &mut self.mistakes);
        if layer.is_unread() {
            return;
        }
        let defaults = Layer::of_defaults(Table::Job, "", &file.directory);
        let Some(section) = Section::<RawJob>::merge(&[&defaults, &layer], "", &mut self.mistakes) else {
            return;
        };
        self.job = self.resolve(name, &file, &section, context);
    }

    fn mistake(&mut self, file: &TextFile, section: &Section<RawJob>, key: &str, what: impl Into<String>) {
        self.mistakes.push(section.mistake(key, &file.whole(), what));
    }

    /// From what was typed to what it means: every key is looked at, whatever the others are.
    fn resolve(
        &mut self,
        name: JobName,
        file: &TextFile,
        section: &Section<RawJob>,
        context: &JobContext<'_>,
    ) -> Option<(Job, Origin)> {
        let typed = &section.typed;
        let exported = self.exported(file, section, context);
        let org = self.org(file, section, context);
        let format = self.format(file, section);
        let output = self.output(file, section, context);
        let timezone = self.timezone(file, section);
        let schedule = self.schedule(file, section, timezone.as_ref());
        let csv = self.csv(file, section);
        if let Some(format) = format {
            self.format_rules(file, section, format);
        }
        if !self.mistakes.is_empty() {
            return None;
        }
        let format = format?;
        let numbers = match (typed.numbers.as_deref(), format) {
            (Some("plain"), _) | (None, Format::Csv) => Numbers::Plain,
            _ => Numbers::AsSent,
        };
        let shape = Shape {
            numbers,
            children: typed.children,
            compound: typed.compound,
            columns_pinned: typed.columns_pinned,
            attributes: typed.attributes,
            csv: csv?,
        };
        let source = match exported? {
            Exported::Query(query) => self.soql_source(file, section, query, shape.layout(format))?,
            Exported::Object(object) => Source::Object(object),
        };
        let job = Job {
            name,
            org: org?,
            enabled: typed.enabled,
            source,
            query_origin: self.query_origin.take(),
            all_rows: typed.all_rows,
            count_check: typed.count_check,
            output: output?,
            format,
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
        };
        let origin = section.origin("output").unwrap_or_else(|| file.whole());
        Some((job, origin))
    }

    /// A query that is SOQL can still be one that cannot be exported, as far as its text alone shows.
    fn soql_source(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        query: Query,
        layout: Layout,
    ) -> Option<Source> {
        let error = match SoqlSource::new(query, layout) {
            Ok(source) => return Some(Source::Soql(source)),
            Err(error) => error,
        };
        let key = if section.is_written("soql") { "soql" } else { "soql_file" };
        let what = if self.is_hidden { hidden(&error) } else { format!("cannot be exported: {error}") };
        self.mistake(file, section, key, what);
        None
    }

    /// What the job exports, by the one key that says it.
    fn exported(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        context: &JobContext<'_>,
    ) -> Option<Exported> {
        let written: Vec<_> =
            ["soql", "soql_file", "object"].into_iter().filter(|key| section.is_written(key)).collect();
        match written.as_slice() {
            ["object"] => self.object(file, section).map(Exported::Object),
            [_] => {
                self.only_of_objects(file, section);
                self.query(file, section, context).map(Exported::Query)
            }
            [] => {
                let what = "is missing; write a query, name its file by `soql_file`, or name an `object`";
                self.mistake(file, section, "soql", what);
                None
            }
            [first, second, ..] => {
                let what = format!("`{first}` and `{second}` are both set; keep one of them");
                self.mistake(file, section, second, what);
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
                    self.mistakes.push(Mistake::new(origin, "soql".to_owned(), what));
                    None
                }
            };
        }
        let path = section.typed.soql_file.as_ref()?;
        let soql = match TextFile::read(path, context.working_dir) {
            Ok(soql) => soql,
            Err(mistake) => {
                let what = format!("{} {}", shown(path, context.working_dir).display(), mistake.what);
                self.mistake(file, section, "soql_file", what);
                return None;
            }
        };
        self.digests.push(digests::of(&soql.text));
        // Windows' editors begin a file so; a query never does.
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
                self.query_origin = Some(QueryOrigin { file: soql.shown, line, is_exact: true });
                Some(query)
            }
            Err(error) if self.is_hidden => {
                let what = format!("{}: {}", shown(path, context.working_dir).display(), hidden(&error));
                self.mistake(file, section, "soql_file", what);
                None
            }
            Err(error) => {
                let line = blank_lines(text) + error.line;
                let origin =
                    Origin::File { path: soql.shown.clone(), line: Some(line), column: Some(error.column) };
                self.mistakes.push(Mistake::new(origin, None, window(&error)));
                None
            }
        }
    }

    fn org(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        context: &JobContext<'_>,
    ) -> Option<OrgName> {
        let Some(orgs) = context.orgs else { return Some(OrgName::default_org()) };
        let named = &orgs.named;
        let names = || named.iter().map(OrgName::as_str);
        if let Some(text) = &section.typed.org {
            let found = named.iter().find(|name| name.as_str() == text);
            if found.is_none() {
                let near = did_you_mean(text, names());
                let near = match (near.is_empty(), named.is_empty()) {
                    (false, _) => near,
                    (true, true) => format!("; {}", no_org(context)),
                    (true, false) => format!("; there is {}", names().collect::<Vec<_>>().join(", ")),
                };
                let what = format!("there is no org {}{near}", quoted(text));
                self.mistake(file, section, "org", what);
            }
            return found.cloned();
        }
        if section.is_mistaken("org") {
            return None;
        }
        let default = OrgName::default_org();
        if named.contains(&default) {
            return Some(default);
        }
        let what = match names().next() {
            Some(first) => format!(
                "is missing, and there is no `[org]` for jobs that name none; write org = \"{first}\""
            ),
            None => format!("is missing: {}", no_org(context)),
        };
        self.mistake(file, section, "org", what);
        None
    }

    /// The format, by its key or by the extension of the output; both must say the same.
    fn format(&mut self, file: &TextFile, section: &Section<RawJob>) -> Option<Format> {
        let written = match section.typed.format.as_deref() {
            Some("csv") => Some(Format::Csv),
            Some(_) => Some(Format::Jsonl),
            None if section.is_mistaken("format") => return None,
            None => None,
        };
        let Some(output) = section.typed.output.as_deref() else { return written };
        // What is not a path of a file has no extension, and `output` says so.
        if path_text::not_local(output).is_some() {
            return written;
        }
        match path_text::format_of(output, written) {
            Ok(format) => Some(format),
            Err((reason, hint)) => {
                self.mistake(file, section, "output", format!("{} {reason}; {hint}", quoted(output)));
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
            if !section.is_written("output") {
                self.mistake(
                    file,
                    section,
                    "output",
                    "is missing; write it as in output = \"{job}/{date}.csv\"",
                );
            }
            return None;
        };
        match OutputTemplate::parse(text, context.output_root) {
            Ok(template) => Some(template),
            Err(error) => {
                let near = match &error.unknown_field {
                    Some(field) => nearest(field, FIELDS).map_or_else(
                        || {
                            format!(
                                "; the fields are {}",
                                FIELDS.map(|field| format!("{{{field}}}")).join(" ")
                            )
                        },
                        |near| format!("; did you mean {{{near}}}?"),
                    ),
                    None => String::new(),
                };
                self.mistake(file, section, "output", format!("{} {error}{near}", quoted(text)));
                None
            }
        }
    }

    fn timezone(&mut self, file: &TextFile, section: &Section<RawJob>) -> Option<TimeZone> {
        let name = &section.typed.timezone;
        match TimeZone::get(name) {
            Ok(zone) if !zone.is_unknown() => Some(zone),
            _ => {
                let near = meant_zone(name);
                self.mistake(file, section, "timezone", format!("{} is no time zone{near}", quoted(name)));
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
        let Some(text) = &section.typed.schedule else {
            if !section.is_written("schedule") {
                for key in ["catch_up", "start_deadline", "overlap", "jitter", "retries", "retry_after"] {
                    if section.is_written(key) {
                        let what = "does nothing without a `schedule`";
                        self.warnings.push(section.mistake(key, &file.whole(), what));
                    }
                }
            }
            return None;
        };
        // A wrong zone is told by itself; the schedule's own text is judged all the same.
        match Schedule::parse(text, zone.cloned().unwrap_or(TimeZone::UTC)) {
            Ok(schedule) => Some(schedule),
            Err(error) => {
                self.mistake(file, section, "schedule", error.to_string());
                None
            }
        }
    }

    fn csv(&mut self, file: &TextFile, section: &Section<RawJob>) -> Option<CsvDialect> {
        let csv = &section.typed.csv;
        let delimiter = match csv.delimiter.as_str() {
            "tab" | "\\t" => Some(b'\t'),
            text => self.one_character(file, section, "csv.delimiter", text, "`,`, `;`, `|` or `tab`"),
        };
        let quote = self.one_character(file, section, "csv.quote", &csv.quote, "`\"`");
        if delimiter.is_some() && delimiter == quote {
            let key = if section.is_written("csv.delimiter") { "csv.delimiter" } else { "csv.quote" };
            self.mistake(file, section, key, "delimiter and quote are the same character");
        }
        // Such a token would be quoted, and a reader could not tell it from text.
        let special =
            |byte: u8| matches!(byte, b'\r' | b'\n') || Some(byte) == delimiter || Some(byte) == quote;
        if csv.null.bytes().any(special) {
            let what = format!("{} holds the delimiter, the quote or a line break", quoted(&csv.null));
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
                let what = format!("{} is not one ASCII character, as in {examples}", quoted(text));
                self.mistake(file, section, key, what);
                None
            }
        }
    }

    /// What one format has and the other has not.
    fn format_rules(&mut self, file: &TextFile, section: &Section<RawJob>, format: Format) {
        let typed = &section.typed;
        match format {
            Format::Csv => {
                if typed.attributes {
                    self.mistake(
                        file,
                        section,
                        "attributes",
                        "is for JSON Lines; a CSV has no place for them",
                    );
                }
            }
            Format::Jsonl => {
                let keys: Vec<_> = section
                    .written()
                    .filter(|key| match *key {
                        "children" => typed.children != Children::Json,
                        "compound" => typed.compound != Compound::Json,
                        key => key.starts_with("csv."),
                    })
                    .map(str::to_owned)
                    .collect();
                for key in keys {
                    let what = "is for CSV; JSON Lines keep what the org sent";
                    self.mistake(file, section, &key, what);
                }
            }
        }
    }
}

/// What to do where there is no org at all.
fn no_org(context: &JobContext<'_>) -> String {
    match context.shared_file {
        Ok(path) => format!("{} has no `[org]`", path.display()),
        Err(hint) => hint.to_owned(),
    }
}

/// What zones' abbreviations stand for that are no names of zones; several where that depends on who writes it.
const ABBREVIATIONS: [(&[&str], &[&str]); 11] = [
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

/// The zone that was meant by what is none; nothing is guessed that would be hours off.
fn meant_zone(text: &str) -> String {
    const CITY: &str = "; a zone is a city, as in \"Europe/Berlin\"";
    let meant = ABBREVIATIONS.iter().find(|(short, _)| short.iter().any(|s| s.eq_ignore_ascii_case(text)));
    if let Some((_, zones)) = meant {
        let zones: Vec<_> = zones.iter().map(|zone| quoted(zone)).collect();
        return format!("{CITY}; for this one write {}", zones.join(" or "));
    }
    // `GMT+1`, `CET-1`: whatever is like them is another offset.
    if text.contains(|c: char| c.is_ascii_digit() || c == '+') {
        return CITY.to_owned();
    }
    let zones: Vec<_> = jiff::tz::db().available().map(|zone| zone.as_str().to_owned()).collect();
    let of_city = |wanted: &str| zones.iter().find(|zone| city(zone).eq_ignore_ascii_case(wanted));
    let near = match of_city(city(text)) {
        Some(zone) => Some(zone.as_str()),
        // A short word is as near to any abbreviation as to what it stands for.
        None if text.len() <= 4 => None,
        None => nearest(text, zones.iter().map(String::as_str)).or_else(|| {
            nearest(city(text), zones.iter().map(|zone| city(zone))).and_then(&of_city).map(String::as_str)
        }),
    };
    near.map_or_else(|| CITY.to_owned(), |zone| format!("; did you mean {}?", quoted(zone)))
}

/// The reason, the line and the caret, without the line's number: the place says it.
fn window(error: &SyntaxError) -> String {
    let text = error.to_string();
    let own = format!("line {}, column {}: ", error.line, error.column);
    text.strip_prefix(&own).unwrap_or(&text).to_owned()
}

/// What is said of a text that is not shown. A path may lead to a secret by mistake, and the reason would quote it.
fn hidden(error: &SyntaxError) -> String {
    let SyntaxError { line, column, .. } = error;
    format!(
        "line {line}, column {column} is not SOQL that can be exported; the text is not shown, because the file is \
         private to its owner or outside the configuration's directory"
    )
}

/// Whether a file, behind all links, is below one of these directories.
fn is_below(file: &Path, directories: &[&Path]) -> bool {
    let Ok(file) = file.canonicalize() else { return false };
    directories
        .iter()
        .any(|directory| directory.canonicalize().is_ok_and(|directory| file.starts_with(directory)))
}

fn blank_lines(text: &str) -> usize {
    text[..text.len() - text.trim_start().len()].matches('\n').count()
}

/// Where a query that stands in its job's file begins there: on its key's line or, as is usual, on the next.
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
    Some(QueryOrigin { file: file.shown.clone(), line, is_exact })
}

/// The line of the file that holds the error's line of the query: a multi-line string begins on its key's line
/// or, as is usual, on the next. `None` where escapes or joined lines make that uncertain.
fn line_in_file(file: &TextFile, key: &Origin, query: &str, error: &SyntaxError) -> Option<usize> {
    let Origin::File { line: Some(key_line), .. } = key else { return None };
    let first = key_line + blank_lines(query) + error.line - 1;
    let holds =
        |line: &usize| file.text.lines().nth(line - 1).is_some_and(|text| text.contains(error.source.trim()));
    [first, first + 1].into_iter().find(holds)
}
