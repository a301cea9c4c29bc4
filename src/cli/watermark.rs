//! `sfexport watermark` shows how far incremental exports have come, and moves their marks.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::history::utc;
use super::run::timestamp;
use super::{Context, complete, human, print, table};
use crate::client::OrgClient;
use crate::config::{Config, Selection};
use crate::error::{Exit, Failure};
use crate::export;
use crate::job::{Deletes, ExportKey, ExportKind, Job, ObjectName};
use crate::key;
use crate::salesforce::fault::Fault;
use crate::salesforce::replication::whole_minute;
use crate::state::{JobLock, State, Watermark};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct WatermarkArguments {
    /// The job
    #[arg(value_name = "JOB", add = complete::jobs())]
    job: String,
    /// Only this org of a job that exports from several
    #[arg(long, value_name = "NAME", add = complete::orgs())]
    org: Option<String>,
    /// Only this object of a set
    #[arg(long, value_name = "OBJECT", value_parser = super::object_name, add = complete::objects())]
    object: Option<ObjectName>,
    /// Move the mark: the next run exports what changed after this time
    #[arg(long, value_name = "TIMESTAMP", value_parser = timestamp, conflicts_with = "reset")]
    set: Option<Timestamp>,
    /// Remove the mark: the next run exports everything
    #[arg(long)]
    reset: bool,
    /// Print each mark as JSON, one object per line
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  sfexport watermark accounts
  sfexport watermark accounts --set 2026-11-01T00:00:00Z
  sfexport watermark backup --object Account --reset

A mark is a time by the org's clock: every record that changed until then has been exported.
--set logs in and asks for that clock, because a mark must not be ahead of it.
--set and --reset end with status 75 while the job is running.";

/// A mark in the output of `--json`.
#[derive(Serialize)]
struct Line<'l> {
    job: &'l str,
    org: &'l str,
    object: Option<&'l str>,
    /// `None` if there is no mark.
    mark: Option<Timestamp>,
    /// How far it is behind the org's clock.
    behind_seconds: Option<i64>,
    field: Option<&'l str>,
    deletes_mark: Option<Timestamp>,
    deletes_complete: Option<bool>,
    full_started: Option<Timestamp>,
    /// What the next run exports, as far as that is known without asking the org.
    next: Option<ExportKind>,
    /// Why that is everything.
    next_reason: Option<&'l str>,
}

/// An export with its mark.
struct Row {
    key: ExportKey,
    watermark: Option<Watermark>,
    next: Option<ExportKind>,
    reason: Option<String>,
}

/// Shows the marks of a job, after moving them if the arguments say so.
pub(super) async fn watermark(arguments: &WatermarkArguments, context: &Context) -> Result<Exit, Failure> {
    let config = context.config(&Selection::Jobs(vec![arguments.job.clone()]))?;
    let jobs = chosen(&config, arguments)?;
    let state = State::at(&config.settings.state_dir)?;
    for job in &jobs {
        if let Some(object) = &arguments.object {
            export::check_object(job, object)?;
        }
        if job.incremental.is_none()
            && keys(&state, job, arguments)?.iter().all(|key| is_unmarked(&state, key))
        {
            let what = format!("the job {} is not incremental, so it has no mark", job.name);
            return Err(Failure::new(Exit::Configuration, what)
                .hint(format!("add a table [incremental] to {}.toml", job.name)));
        }
    }
    if arguments.set.is_some() || arguments.reset {
        let state = State::open(&config.settings.state_dir)?;
        for job in &jobs {
            move_marks(&config, &state, job, arguments, context).await?;
        }
    }
    let now = Timestamp::now();
    let mut rows = Vec::new();
    for job in &jobs {
        for key in keys(&state, job, arguments)? {
            let watermark = state.watermark_of(&key)?;
            let reason = reason_for_all(job, &key, watermark.as_ref(), now);
            let next = job.incremental.as_ref().map(|_| match &reason {
                Some(_) => ExportKind::Full,
                None => ExportKind::Changes,
            });
            rows.push(Row { key, watermark, next, reason });
        }
    }
    match arguments.json {
        true => rows.iter().for_each(|row| print::json_line(&line(row, now))),
        false => show(&rows, now),
    }
    Ok(Exit::Success)
}

/// The job for each org that the command line selects. To move a mark, there must be one.
fn chosen<'c>(config: &'c Config, arguments: &WatermarkArguments) -> Result<Vec<&'c Job>, Failure> {
    let org = arguments.org.as_ref().map(|org| config.org(Some(org)).map(|org| &org.name)).transpose()?;
    let jobs: Vec<_> = config.jobs.iter().filter(|job| org.is_none_or(|org| job.org == *org)).collect();
    if let (Some(org), true) = (org, jobs.is_empty()) {
        let what = format!("the job {} does not export from the org \"{org}\"", arguments.job);
        return Err(Failure::new(Exit::Configuration, what)
            .hint("run `sfexport jobs` to list the jobs with their orgs"));
    }
    if jobs.len() > 1 && (arguments.set.is_some() || arguments.reset) {
        let what =
            format!("the job {} exports from {} orgs, each with its own mark", arguments.job, jobs.len());
        return Err(
            Failure::new(Exit::Usage, what).hint(format!("choose one of them, as in --org {}", jobs[0].org))
        );
    }
    Ok(jobs)
}

/// The exports that the command is about: of a set, the objects that have a mark.
fn keys(state: &State, job: &Job, arguments: &WatermarkArguments) -> Result<Vec<ExportKey>, Failure> {
    let key = job.key();
    if job.set().is_none() {
        return Ok(vec![key]);
    }
    let marked = state.marked_objects(&key)?;
    let objects = match &arguments.object {
        None => marked,
        // The mark has the org's spelling of the name.
        Some(object) => {
            let same = |marked: &ObjectName| marked.as_str().eq_ignore_ascii_case(object.as_str());
            vec![marked.into_iter().find(same).unwrap_or_else(|| object.clone())]
        }
    };
    Ok(objects.into_iter().map(|object| key.clone().of_object(object)).collect())
}

/// Whether an export has no mark. One that cannot be read is a mark.
fn is_unmarked(state: &State, key: &ExportKey) -> bool {
    matches!(state.watermark_of(key), Ok(None))
}

/// Moves or removes the marks of a job, while no run of it can.
async fn move_marks(
    config: &Config,
    state: &State,
    job: &Job,
    arguments: &WatermarkArguments,
    context: &Context,
) -> Result<(), Failure> {
    let whole = state.lock_job(&job.key())?;
    let keys = keys(state, job, arguments)?;
    if let Some(mark) = arguments.set {
        check_set(config, job, mark, context).await?;
        let of_set = job.key();
        let first = keys.first().unwrap_or(&of_set);
        if let Some(key) = std::iter::once(first).chain(&keys).find(|key| is_unmarked(state, key)) {
            return Err(Failure::new(Exit::Configuration, format!("{key} has no mark yet"))
                .hint("run it once: its first run exports everything and sets the mark"));
        }
    }
    for key in keys {
        let lock = if key == *whole.key() { None } else { Some(state.lock_job(&key)?) };
        let lock = lock.as_ref().unwrap_or(&whole);
        // Reading it first: a mark that cannot be read is not moved.
        match arguments.set {
            Some(mark) => set(state, lock, mark)?,
            None => reset(state, lock)?,
        }
    }
    Ok(())
}

fn set(state: &State, lock: &JobLock, mark: Timestamp) -> Result<(), Failure> {
    let Some(old) = state.watermark_of(lock.key())? else { return Ok(()) };
    let deletes_mark = old.deletes_mark.map(|_| whole_minute(mark));
    // Deletes between the old mark and the new one are never reported.
    let skips_deletes = deletes_mark > old.deletes_mark;
    let deletes_complete = old.deletes_complete && !skips_deletes;
    state.release_watermark(lock)?;
    Ok(state.set_watermark(lock, &Watermark { mark, deletes_mark, deletes_complete, ..old })?)
}

fn reset(state: &State, lock: &JobLock) -> Result<(), Failure> {
    state.release_watermark(lock)?;
    Ok(state.remove_watermark(lock)?)
}

/// Checks that a new mark is not ahead of the org's clock.
async fn check_set(config: &Config, job: &Job, mark: Timestamp, context: &Context) -> Result<(), Failure> {
    let org = config.org(Some(job.org.as_str()))?;
    let key = key::load(org)?;
    let edges = context.edges(&config.settings, None);
    let client = OrgClient::new(Arc::new(org.clone()), Arc::new(key), edges, None);
    let time = context.unless_stopped(client.org_time()).await?.map_err(Fault::into_failure)?;
    if mark <= time.org {
        return Ok(());
    }
    let what = format!("the mark {mark} would be ahead of the org's clock, which shows {}", time.org);
    Err(Failure::new(Exit::Configuration, what)
        .hint("set it to an earlier time: what changes until then would never be exported"))
}

/// Why the next run exports everything, as far as that is known without asking the org; `None` if it exports changes.
fn reason_for_all(
    job: &Job,
    key: &ExportKey,
    watermark: Option<&Watermark>,
    now: Timestamp,
) -> Option<String> {
    let incremental = job.incremental.as_ref()?;
    let Some(watermark) = watermark else { return Some("there is no mark yet".to_owned()) };
    let is_another = |field: &String| !field.eq_ignore_ascii_case(&watermark.field);
    if let Some(field) = incremental.field.as_ref().filter(|field| is_another(field)) {
        return Some(format!("the mark is about {}, and the job names {field}", watermark.field));
    }
    let of_set = key.object().and_then(|object| job.of_object(object));
    if export::selects_other_records(of_set.as_ref().unwrap_or(job), incremental, watermark) {
        return Some(export::OTHER_RECORDS.to_owned());
    }
    if let Some(due) = export::full_due(incremental, watermark, now) {
        return Some(format!("a full run has been due since {}", human::time(due, &job.timezone)));
    }
    let is_old = export::may_lack_deletes(watermark, now);
    (incremental.deletes != Deletes::None && is_old).then(|| "the mark is more than 14 days old".to_owned())
}

fn line(row: &Row, now: Timestamp) -> Line<'_> {
    let watermark = row.watermark.as_ref();
    Line {
        job: row.key.job().as_str(),
        org: row.key.org().as_str(),
        object: row.key.object().map(ObjectName::as_str),
        mark: watermark.map(|watermark| watermark.mark),
        behind_seconds: watermark.map(|watermark| watermark.behind(now).as_secs()),
        field: watermark.map(|watermark| watermark.field.as_str()),
        deletes_mark: watermark.and_then(|watermark| watermark.deletes_mark),
        deletes_complete: watermark.map(|watermark| watermark.deletes_complete),
        full_started: watermark.map(|watermark| watermark.full_started),
        next: row.next,
        next_reason: row.reason.as_deref(),
    }
}

/// Shows the marks as a table. Why a run exports everything is on the line below.
fn show(rows: &[Row], now: Timestamp) {
    let has_objects = rows.iter().any(|row| row.key.object().is_some());
    let has_orgs = rows.iter().any(|row| row.key.org() != rows[0].key.org());
    let has_deletes = rows.iter().any(|row| deletes_mark(row).is_some());
    let heading = |name: &str, shown: bool| shown.then(|| name.to_owned());
    let headings = [
        heading("OBJECT", has_objects),
        heading("ORG", has_orgs),
        heading("MARK (UTC)", true),
        heading("BEHIND", true),
        heading("FIELD", true),
        heading("DELETES UNTIL", has_deletes),
        heading("NEXT RUN", true),
    ];
    let cells = |row: &Row| {
        let (object, org) = (row.key.object().map(ToString::to_string), row.key.org().to_string());
        let watermark = row.watermark.as_ref();
        let cell = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let all = [
            has_objects.then(|| cell(object)),
            has_orgs.then_some(org),
            Some(cell(watermark.map(|watermark| utc(watermark.mark)))),
            Some(cell(watermark.map(|watermark| behind_text(watermark.behind(now))))),
            Some(cell(watermark.map(|watermark| watermark.field.clone()))),
            has_deletes.then(|| cell(deletes_mark(row).map(utc))),
            Some(cell(row.next.map(|next| next.to_string()))),
        ];
        all.into_iter().flatten().collect::<Vec<_>>()
    };
    let table: Vec<_> =
        std::iter::once(headings.into_iter().flatten().collect()).chain(rows.iter().map(cells)).collect();
    if rows.is_empty() {
        print::line("no object has a mark yet; the next run exports everything");
        return;
    }
    let notes = |row: &Row| {
        let incomplete = row.watermark.as_ref().filter(|watermark| !watermark.deletes_complete);
        let incomplete =
            incomplete.map(|_| "some deletes since the last full run are not reported".to_owned());
        row.reason.clone().into_iter().chain(incomplete).collect()
    };
    table::print(&table, std::iter::once(Vec::new()).chain(rows.iter().map(notes)), table::width(false));
}

fn deletes_mark(row: &Row) -> Option<Timestamp> {
    row.watermark.as_ref().and_then(|watermark| watermark.deletes_mark)
}

/// `15 min`; `none` if the mark is ahead.
pub(super) fn behind_text(behind: SignedDuration) -> String {
    Duration::try_from(behind).map_or_else(|_| "none".to_owned(), human::rough)
}
