//! `[incremental]`: whether a job can export changes alone, as far as its file shows.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use serde::Deserialize;

use super::{Exported, NO_SCHEDULE, RawJob, Reading};
use crate::config::layer::{Section, TextFile};
use crate::config::mistake::{Problem, quoted};
use crate::config::settings::nanoseconds;
use crate::job::output_path::Fields;
use crate::job::{Deletes, EmptyRuns, ExportKind, Incremental, JobName, OutputTemplate, is_fixed_stamp};
use crate::org::OrgName;
use crate::schedule::Schedule;
use crate::soql::{IncrementalObstacle, Query};

/// `[incremental]` as typed.
#[derive(Deserialize)]
pub(super) struct IncrementalWritten {
    /// Whether the table is there, and no `incremental = false` removes it.
    #[serde(default)]
    is_table: bool,
    field: Option<String>,
    #[serde(deserialize_with = "nanoseconds")]
    lag: Duration,
    #[serde(with = "DeletesWritten")]
    deletes: Deletes,
    full: Option<String>,
    #[serde(with = "EmptyRunsWritten")]
    empty: EmptyRuns,
}

// The spellings of the domain's enums. The compiler checks that they are complete.
#[derive(Deserialize)]
#[serde(remote = "Deletes", rename_all = "snake_case")]
enum DeletesWritten {
    Rows,
    Ids,
    None,
}

#[derive(Deserialize)]
#[serde(remote = "EmptyRuns", rename_all = "snake_case")]
enum EmptyRunsWritten {
    Publish,
    Skip,
}

/// A shorter lag misses changes of ordinary transactions.
const SHORTEST_LAG: Duration = Duration::from_secs(60);

impl Reading {
    /// What the job exports incrementally; `None` if it exports everything each time, or if there is a mistake.
    pub(super) fn incremental(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        exported: Option<&Exported>,
        output: Option<&OutputTemplate>,
        zone: Option<&TimeZone>,
    ) -> Option<Incremental> {
        let written = &section.typed.incremental;
        if !written.is_table {
            if !section.is_mistaken("incremental") {
                self.fields_without_incremental(file, section, output);
            }
            return None;
        }
        let (field, full) = self.incremental_values(file, section, zone);
        if let Some(Exported::Query(query)) = exported {
            self.incremental_query(file, section, query, field.as_deref());
        }
        if let Some(output) = output {
            self.incremental_output(file, section, output);
        }
        self.without_effect_if_incremental(file, section);
        let IncrementalWritten { lag, deletes, empty, .. } = *written;
        Some(Incremental { field, lag, deletes, full, empty })
    }

    /// The values that may be wrong in themselves: the field and the schedule of full exports.
    pub(super) fn incremental_values(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        zone: Option<&TimeZone>,
    ) -> (Option<String>, Option<Schedule>) {
        let written = &section.typed.incremental;
        if let Some(field) = written.field.as_deref().filter(|field| !is_field(field)) {
            let what = format!("{} is not the name of a field", quoted(field));
            let hint = "write a field of the object itself, as in \"SystemModstamp\"";
            self.mistake(file, section, "incremental.field", Problem::new(what, hint));
        }
        if written.lag < SHORTEST_LAG && section.is_own("incremental.lag") {
            let what = "a lag below a minute misses changes whose transactions take longer";
            let hint = "write \"15m\"; a transaction may take 10 minutes";
            self.warnings.push(section.mistake("incremental.lag", &file.whole(), Problem::new(what, hint)));
        }
        let full = written.full.as_deref().filter(|text| *text != NO_SCHEDULE);
        let zone = zone.cloned().unwrap_or(TimeZone::UTC);
        let full = match full.map(|text| Schedule::parse(text, zone)).transpose() {
            Ok(full) => full,
            Err(error) => {
                let problem = Problem::new(error.to_string(), error.hint());
                self.mistake(file, section, "incremental.full", problem);
                None
            }
        };
        (written.field.clone(), full)
    }

    /// `{kind}` and `{mark}` in the output of a job that is not incremental.
    fn fields_without_incremental(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        output: Option<&OutputTemplate>,
    ) {
        let Some(output) = output else { return };
        let field = match (output.has_kind(), output.has_mark()) {
            (true, _) => "{kind}",
            (false, true) => "{mark}",
            (false, false) => return,
        };
        let what = format!("{} has the field {field}, and the job is not incremental", quoted(output.text()));
        let hint = "add `[incremental]`, or write {date} or {run_id} instead";
        self.mistake(file, section, "output", Problem::new(what, hint));
    }

    /// A query whose changes cannot be asked for, or that lacks what its readers need.
    fn incremental_query(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        query: &Query,
        field: Option<&str>,
    ) {
        let instead = self.instead(section);
        if let Some(obstacle) = query.incremental_obstacle() {
            let what = format!("this job cannot be exported incrementally, because {obstacle}");
            let hint = match obstacle {
                IncrementalObstacle::ChildQuery => {
                    format!("export the children with a separate job, or {instead}")
                }
                IncrementalObstacle::Limit => format!("remove LIMIT, or {instead}"),
                IncrementalObstacle::Offset => format!("remove OFFSET, or {instead}"),
                IncrementalObstacle::Aggregate | IncrementalObstacle::GroupBy => instead.to_owned(),
            };
            self.mistake(file, section, "incremental", Problem::new(what, hint));
            return;
        }
        let mut lacks = |column: &str, why: &str, hint: String| {
            let what = format!("the query does not select {column}, {why}");
            self.mistake(file, section, "incremental", Problem::new(what, hint));
        };
        // Records that never change are appended, not merged.
        if !query.selects("Id") && !field.is_some_and(is_fixed_stamp) {
            let why = "which tells readers of the export which record has changed";
            lacks("Id", why, format!("add Id to the query, or {instead}"));
        }
        match section.typed.incremental.deletes {
            Deletes::Rows if !query.selects("IsDeleted") => {
                let why = "so deleted records would look like others";
                let hint =
                    "add IsDeleted to the query, or set deletes = \"ids\" or \"none\" in `[incremental]`";
                lacks("IsDeleted", why, hint.to_owned());
            }
            Deletes::Ids if !selects_stamp(query, field) => {
                let stamp = field.unwrap_or("SystemModstamp");
                let why = "which tells readers of the export whether a record is newer than its deletion";
                lacks(stamp, why, format!("add {stamp} to the query"));
            }
            Deletes::Rows | Deletes::Ids | Deletes::None => {}
        }
    }

    /// An output that is the same for several runs.
    fn incremental_output(&mut self, file: &TextFile, section: &Section<RawJob>, output: &OutputTemplate) {
        let example =
            if output.has_object() { "{object}/{kind}-{mark}.csv" } else { "{job}/{kind}-{mark}.csv" };
        let or = if section.is_default("incremental") { ", or set incremental = false" } else { "" };
        let text = quoted(output.text());
        if !output.has_kind() {
            let what = format!("{text} lacks the field {{kind}}, and the job is incremental");
            let hint = format!("tell full exports from changes, as in \"{example}\"{or}");
            self.mistake(file, section, "output", Problem::new(what, hint));
        } else if !output.has_mark() && !output.has_run_id() {
            let what = format!("{text} lacks the field {{mark}} or {{run_id}}, and the job is incremental");
            let hint = format!("give each run a separate output, as in \"{example}\"{or}");
            self.mistake(file, section, "output", Problem::new(what, hint));
        }
    }

    /// An output that would be the same for two runs of the job's schedule, because its `{mark}` has too coarse a format.
    pub(super) fn marks_differ(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        output: &OutputTemplate,
        schedule: &Schedule,
    ) {
        /// Enough for the whole day of a job that runs every ten minutes.
        const OCCURRENCES: usize = 150;
        let written = &section.typed.incremental;
        if !written.is_table || !output.has_mark() || output.has_run_id() {
            return;
        }
        let (job, org) = (JobName("job".to_owned()), OrgName::default_org());
        let path = |time: Timestamp| {
            let mark = time.checked_sub(written.lag).unwrap_or(time);
            let fields = Fields {
                job: &job,
                org: &org,
                run_id: "run",
                timestamp: time,
                timezone: schedule.timezone(),
                window: Some((ExportKind::Changes, mark)),
            };
            output.of_any_object().expand(&fields).ok()
        };
        let start = civil::date(2026, 1, 1).at(12, 0, 0, 0).to_zoned(TimeZone::UTC);
        let start = start.map(|start| start.timestamp()).unwrap_or_default();
        let paths: Vec<_> =
            schedule.occurrences(start, Timestamp::MAX).take(OCCURRENCES).filter_map(path).collect();
        if paths.windows(2).any(|two| matches!(two, [one, other] if one == other)) {
            let what = format!("{} is the same for several runs of the schedule", quoted(output.text()));
            let hint = "give {mark} a finer format, as in {mark:%Y%m%dT%H%M%SZ}, or add {run_id}";
            self.mistake(file, section, "output", Problem::new(what, hint));
        }
    }

    /// Keys that an incremental job does not follow.
    fn without_effect_if_incremental(&mut self, file: &TextFile, section: &Section<RawJob>) {
        let deletes = section.typed.incremental.deletes;
        if section.typed.all_rows && deletes == Deletes::Ids {
            let what = "deleted records would be exported as rows and listed by their Ids";
            let hint = "remove `all_rows`, or set deletes = \"rows\" in `[incremental]`";
            self.mistake(file, section, "all_rows", Problem::new(what, hint));
        }
        let mut warn = |key: &str, what: &str| {
            if section.is_own(key) {
                self.warnings.push(section.mistake(
                    key,
                    &file.whole(),
                    Problem::new(what, "remove this key"),
                ));
            }
        };
        if deletes == Deletes::Rows {
            warn(
                "all_rows",
                "this key has no effect with deletes = \"rows\", which includes deleted and archived rows",
            );
        }
        warn("if_exists", "this key has no effect in an incremental job, which never replaces a file");
    }

    /// How to make the job not incremental.
    fn instead(&self, section: &Section<RawJob>) -> &'static str {
        if section.is_default("incremental") { "set incremental = false" } else { "remove `[incremental]`" }
    }
}

/// Whether the query selects the field with the stamp, or one that may be it.
fn selects_stamp(query: &Query, field: Option<&str>) -> bool {
    match field {
        Some(field) => query.selects(field),
        // Only the org knows which of them the object has.
        None => Incremental::STAMPS.iter().any(|stamp| query.selects(stamp)),
    }
}

fn is_field(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
