//! The steps for a job: columns, query, number of records, command, schedule. None of their requests returns a record.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::org::Reached;
use super::output::Planned;
use super::set::job_of_object;
use super::{Check, Name, Outcome, Step, Teller};
use crate::error::{Failure, plain};
use crate::export::{self, Forecast, Generated, Program, RunError, Warning};
use crate::human::{counted, number};
use crate::job::{Api, ExportKey, ExportKind, Job, ObjectSource, Source};
use crate::report::{RunReport, RunStatus};
use crate::retry::Attempts;
use crate::salesforce::fault::{ErrorCode, Fault, FaultKind};
use crate::salesforce::{explain, query};
use crate::soql::{Columns, CountQuery, Described, Query};
use crate::state::State;

/// The number of occurrences of a schedule in the result.
const OCCURRENCES: usize = 5;

impl Check<'_> {
    pub(super) async fn job(&self, job: &Job, org: Option<&Reached>, tell: Teller<'_>) {
        let of_object = match self.object.map(|object| job_of_object(job, object)).transpose() {
            Ok(of_object) => of_object,
            Err(failure) => return tell(Step::failed(Name::Objects, failure)),
        };
        let job = of_object.as_ref().unwrap_or(job);
        let planned = match (&job.source, org) {
            (Source::Objects(set), _) => {
                self.set(job, set, org, tell).await;
                after(job).into_iter().for_each(&mut *tell);
                return tell(schedule(job, self.edges.clock.now()));
            }
            (Source::Object(_), Some(reached)) => self.generated(job, reached, tell).await,
            _ => self.columns_and_query((job, job), false, org, tell).await,
        };
        tell(self.output(job, planned));
        after(job).into_iter().for_each(&mut *tell);
        tell(schedule(job, self.edges.clock.now()));
    }

    /// The steps for the query that a run of an object's job would generate now, and what an incremental run would export.
    pub(super) async fn generated(&self, job: &Job, reached: &Reached, tell: Teller<'_>) -> Option<Planned> {
        let Source::Object(object) = &job.source else { return None };
        match self.generate(job, object, reached).await {
            Ok(Generated { job: generated, warnings, .. }) => {
                for Warning { what, hint } in warnings {
                    tell(Step::warned(Name::Columns, what, hint));
                }
                self.columns_and_query((job, &generated), true, Some(reached), tell).await
            }
            Err(failure) => {
                tell(Step::failed(Name::Columns, failure));
                None
            }
        }
    }

    /// The steps for what is exported, and what an incremental run would export. `written` is the job as it was read; the
    /// query of `job` may be generated from that.
    async fn columns_and_query(
        &self,
        (written, job): (&Job, &Job),
        is_generated: bool,
        org: Option<&Reached>,
        tell: Teller<'_>,
    ) -> Option<Planned> {
        let (step, columns) = self.columns(job, org).await;
        tell(step);
        let increment = self.incremental((written, job), columns.as_deref(), org, tell).await;
        let (planned, selecting) = increment.unzip();
        let exported = Exported {
            written,
            job: selecting.as_ref().unwrap_or(job),
            is_generated,
            kind: planned.map(|planned| planned.window.0),
        };
        match org {
            Some(org) => {
                if let Some(size) = self.query(&exported, org, tell).await {
                    self.records_and_api(&exported, (columns.as_deref(), size), org, tell);
                }
            }
            None if self.offline => {}
            None => tell(Step::skipped(Name::Query, "not checked, because there is no login")),
        }
        planned
    }

    /// The job with the query that a run would generate now.
    async fn generate(
        &self,
        job: &Job,
        object: &ObjectSource,
        reached: &Reached,
    ) -> Result<Generated, Failure> {
        let remembered = State::at(&self.config.settings.state_dir)?.fields_of(&job.key())?;
        let generated = export::generate_query(&reached.client, job, object, remembered).await;
        generated.map_err(RunError::into_failure)
    }

    /// The columns, from the query's text or, if that is not enough, from the org's description.
    pub(super) async fn columns(&self, job: &Job, org: Option<&Reached>) -> (Step, Option<Arc<Columns>>) {
        let columns = match (export::columns(job), org) {
            (Ok(columns), Some(reached)) if export::needs_description(job, columns.as_deref()) => {
                match self.described(job, reached).await {
                    Ok(described) => export::described_columns(job, &described),
                    Err(fault) => {
                        let fault = export::not_described(job, fault);
                        Err(export::explained(&reached.client, job, fault).await.into_failure())
                    }
                }
            }
            (Ok(Some(columns)), _) => Ok(columns),
            (Ok(None), _) => {
                return (Step::skipped(Name::Columns, "not known without asking the org"), None);
            }
            (Err(failure), _) => Err(failure),
        };
        let columns = match columns {
            Ok(columns) => columns,
            Err(failure) => return (Step::failed(Name::Columns, failure), None),
        };
        let names = columns.output_names();
        let what = format!("{}: {}", names.len(), plain(&names.join(", ")));
        let step = match self.drift(job, &columns) {
            Ok(None) => Step::passed(Name::Columns, what),
            Ok(Some(drift)) => Step::new(Name::Columns, Outcome::Warned, format!("{what}; {drift}")),
            Err(failure) => Step::failed(Name::Columns, failure),
        };
        (step.fact("columns", names), Some(columns))
    }

    /// How the columns differ from those of the last successful run. If they are pinned, a run would fail.
    fn drift(&self, job: &Job, columns: &Columns) -> Result<Option<String>, Failure> {
        let state = State::at(&self.config.settings.state_dir)?;
        let former = export::FormerColumns::of(job, &state, &job.key())?;
        export::compare_columns(job, columns, &former)
    }

    async fn described(&self, job: &Job, reached: &Reached) -> Result<Vec<Described>, Fault> {
        let version = &reached.client.org().api_version;
        let call = query::description(version, job.all_rows, text(job))?;
        export::describe_columns(&reached.client, job, &call).await
    }

    /// Whether the org would run the query, and how many records that is; `None` if it would not. A generated query is
    /// shown.
    async fn query(&self, exported: &Exported<'_>, reached: &Reached, tell: Teller<'_>) -> Option<Size> {
        let job = exported.job;
        let (step, estimate) = self.accepted(job, exported.is_generated, reached).await;
        let is_refused = step.outcome == Outcome::Failed;
        tell(step);
        if is_refused {
            return None;
        }
        let Some(count) = job.query().and_then(Query::count) else {
            return Some(Size::Estimated(estimate, "the query itself groups or counts".to_owned()));
        };
        Some(match self.count(job, reached, &count).await {
            Ok(records) => Size::Counted(records),
            Err(fault) => Size::Estimated(estimate, format!("SELECT COUNT() failed: {fault}")),
        })
    }

    /// Whether the org would run the query, and how many records that is, as the org estimates them.
    pub(super) async fn accepted(&self, job: &Job, is_shown: bool, reached: &Reached) -> (Step, Option<u64>) {
        let shown = |what: &str| match is_shown {
            true => format!("{what}\n{}", plain(text(job))),
            false => what.to_owned(),
        };
        match self.plan(job, reached).await {
            Ok(Some(plan)) => {
                let explain::Plan { cardinality, sobject_cardinality, leading_operation_type, .. } = &plan;
                let what = format!(
                    "accepted by the org: {} of {}, about {} of {} records",
                    operation(leading_operation_type),
                    plain(&plan.sobject_type),
                    number(*cardinality),
                    number(*sobject_cardinality)
                );
                let step = Step::passed(Name::Query, shown(&what)).fact("soql", text(job));
                let estimate = Some(*cardinality);
                (step.fact("plan", json!(plan)), estimate)
            }
            Ok(None) => {
                let what = shown("accepted by the org, but without a plan");
                (Step::new(Name::Query, Outcome::Warned, what).fact("soql", text(job)), None)
            }
            Err(fault) if is_about_the_plan(&fault) => {
                let what = format!(
                    "the org cannot explain the query, so only a run shows whether it is valid: {fault}"
                );
                (Step::new(Name::Query, Outcome::Warned, shown(&what)).fact("soql", text(job)), None)
            }
            Err(fault) => {
                let fault = export::explained(&reached.client, job, fault).await;
                (Step::failed(Name::Query, fault.into_failure()), None)
            }
        }
    }

    async fn plan(&self, job: &Job, reached: &Reached) -> Result<Option<explain::Plan>, Fault> {
        let version = &reached.client.org().api_version;
        let call = query::explanation(version, text(job))?;
        let response = reached.client.call(&call, &mut Attempts::default()).await?;
        Ok(explain::read(response.body()))
    }

    /// The number of records of a run, what they cost, and the API that would send them.
    fn records_and_api(
        &self,
        exported: &Exported<'_>,
        (columns, size): (Option<&Columns>, Size),
        reached: &Reached,
        tell: Teller<'_>,
    ) {
        let Exported { written, job, is_generated, kind } = *exported;
        let last = self.last_run(job, None).ok().flatten();
        let batch_size = u64::from(self.edges.batch_size);
        let page_records = page_records(last.as_ref(), columns, batch_size);
        let used_bulk =
            |last: &&LastRun| last.api == Some(Api::Bulk) && last.settings == Some(written.digest());
        let last_by_bulk = last.as_ref().filter(used_bulk).map(|last| last.records);
        let forecast = size.records().map(|records| Forecast { records, page_records, last_by_bulk });
        let (api_step, expected) = self.api(job, columns, forecast.as_ref(), reached);
        tell(match size {
            Size::Counted(records) => {
                let most_on_page = forecast.map_or(batch_size, |forecast| *forecast.page_records.end());
                // The query of an object is generated from a description.
                let pages = records.div_ceil(most_on_page).max(1) + u64::from(is_generated);
                let api = expected.as_ref().and_then(|expected| expected.api);
                let by_bulk = expected.as_ref().and_then(|expected| expected.bulk_calls);
                let (words, calls) = match (api, by_bulk) {
                    (Some(Api::Bulk), Some(calls)) => ("about", calls),
                    (None, Some(by_bulk)) => ("at least", pages.min(by_bulk)),
                    _ => ("at least", pages),
                };
                let mut what = format!("{}, in {words} {}", number(records), counted(calls, "API call"));
                // How many records a page holds is up to the org. Another API costs something else.
                let may_be = |last: Api| api.is_none_or(|api| api == last);
                let last = self.last_run(job, kind).ok().flatten();
                let last = last.filter(|last| last.api.is_none_or(may_be));
                let last = last.map(|last| last.api_calls);
                if let Some(last) = last.filter(|last| *last > calls) {
                    what.push_str(&format!("; the last run took {}", number(last)));
                }
                affordable(what, last.map_or(calls, |last| last.max(calls)), reached)
                    .fact("records", records)
                    .fact("api_calls", calls)
            }
            Size::Estimated(Some(estimate), why) => {
                let what = format!("about {}, estimated because {why}", number(estimate));
                Step::passed(Name::Records, what).fact("estimate", estimate)
            }
            Size::Estimated(None, why) => Step::skipped(Name::Records, format!("not counted, because {why}")),
        });
        tell(api_step);
    }

    /// What the last run of a set cost, because counting the records of all its objects would cost as much as a small
    /// export.
    pub(super) fn last_cost(&self, job: &Job, reached: &Reached) -> Step {
        let last = match self.last_run(job, None) {
            Ok(last) => last,
            Err(failure) => return Step::failed(Name::Records, failure),
        };
        let Some(LastRun { records, api_calls, ended, .. }) = last else {
            return Step::skipped(Name::Records, "known after the first complete run");
        };
        let what =
            format!("{} in the last complete run, in {}", number(records), counted(api_calls, "API call"));
        affordable(what, api_calls, reached)
            .fact("records", records)
            .fact("api_calls", api_calls)
            .fact("ended", ended.to_string())
    }

    /// The last run that exported all of the job, and was of this kind, if one is given. The history is read once for all jobs.
    fn last_run(&self, job: &Job, kind: Option<ExportKind>) -> Result<Option<LastRun>, Failure> {
        // Its own export is a part of the set's run.
        if job.object.is_some() {
            return Ok(None);
        }
        let last_runs = self.last_runs.0.get_or_init(|| {
            let history = State::at(&self.config.settings.state_dir)?.history()?;
            let mut last_runs = HashMap::new();
            for report in history.filter_map(Result::ok).filter(is_whole) {
                if let Some(key) = report.job_key() {
                    let pages = (report.restarts == 0).then_some(report.pages);
                    let RunReport { records, columns, api, api_calls, ended, settings, kind, .. } = report;
                    let last = LastRun { records, pages, columns, api, api_calls, ended, settings };
                    if kind.is_some() {
                        last_runs.entry((key.clone(), kind)).or_insert_with(|| last.clone());
                    }
                    last_runs.entry((key, None)).or_insert(last);
                }
            }
            Ok(last_runs)
        });
        let last_run = |last_runs: &LastRunsByKind| last_runs.get(&(job.job_key(), kind)).cloned();
        last_runs.as_ref().map(last_run).map_err(Clone::clone)
    }

    /// When the last run that exported all of the job ended, if that used Bulk.
    pub(super) fn last_bulk_run(&self, job: &Job) -> Result<Option<Timestamp>, Failure> {
        let last = self.last_run(job, None)?.filter(|last| last.api == Some(Api::Bulk));
        Ok(last.map(|last| last.ended))
    }

    async fn count(&self, job: &Job, reached: &Reached, count: &CountQuery) -> Result<u64, Fault> {
        let counted = reached.client.count(job.all_rows, &count.soql).await?;
        Ok(counted.saturating_sub(count.offset))
    }
}

/// The last runs that exported all of their jobs, by job and org, of any kind and of each, or why the history cannot be read.
#[derive(Debug, Default)]
pub struct LastRuns(OnceLock<Result<LastRunsByKind, Failure>>);

type LastRunsByKind = HashMap<(ExportKey, Option<ExportKind>), LastRun>;

/// What a run cost.
#[derive(Debug, Clone)]
struct LastRun {
    records: u64,
    /// `None` if pages were read more than once.
    pages: Option<u64>,
    columns: Vec<String>,
    api: Option<Api>,
    api_calls: u64,
    ended: Timestamp,
    settings: Option<String>,
}

/// What the next run would export.
struct Exported<'j> {
    /// The job as it was read.
    written: &'j Job,
    /// The job with the query that the run would send.
    job: &'j Job,
    /// Whether that query is generated.
    is_generated: bool,
    /// Which kind of run it would be, if the job is incremental.
    kind: Option<ExportKind>,
}

/// How many records a run would have.
enum Size {
    /// As the org counts them.
    Counted(u64),
    /// As the org estimates them, if it does, and why it does not count them.
    Estimated(Option<u64>, String),
}

impl Size {
    fn records(&self) -> Option<u64> {
        match self {
            Self::Counted(records) => Some(*records),
            Self::Estimated(records, _) => *records,
        }
    }
}

/// How many records the org may put on a page by REST. It is asked for `batch_size` of them, and sends fewer of what is wide,
/// down to a single one, unless the last run has seen pages with the same columns.
fn page_records(last: Option<&LastRun>, columns: Option<&Columns>, batch_size: u64) -> RangeInclusive<u64> {
    let names = columns.map(Columns::output_names);
    let of_last = last
        .filter(|last| last.api == Some(Api::Rest) && names.is_some_and(|names| *names == last.columns))
        .and_then(|last| {
            last.pages.filter(|pages| (1..=last.records).contains(pages)).zip(Some(last.records))
        });
    let Some((pages, records)) = of_last else { return 1..=batch_size };
    // All pages but the last were full.
    let most = if pages == 1 { batch_size } else { ((records - 1) / (pages - 1)).min(batch_size) };
    records.div_ceil(pages).min(most)..=most
}

/// Whether the run exported all of its job: an earlier attempt did none of it.
fn is_whole(report: &RunReport) -> bool {
    report.status == RunStatus::Ok
        && report.object.is_none()
        && report.api_calls > 0
        && report.set.as_ref().is_none_or(|set| set.carried_over == 0)
}

/// What a run costs, and whether the org has so many API requests left.
fn affordable(what: String, calls: u64, reached: &Reached) -> Step {
    let Some(limit) = reached.limit.filter(|limit| limit.left() < calls) else {
        return Step::passed(Name::Records, what);
    };
    let above = if limit.reserve.is_some() { " above the reserve" } else { "" };
    let left = number(limit.left());
    Step::warned(
        Name::Records,
        format!("{what}, but only {left} are left{above}, so the run would end with status 75"),
        "wait, or select fewer records",
    )
}

/// Whether the org refused the explanation rather than the query. There are specific codes for errors in a query; any
/// other code may only mean that the object has no plans.
fn is_about_the_plan(fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::QueryRefused => !fault.code.as_ref().is_some_and(ErrorCode::is_about_the_query),
        FaultKind::Configuration => true,
        _ => false,
    }
}

/// The plan's leading operation, in words.
fn operation(leading: &str) -> &str {
    match leading {
        "TableScan" => "a scan",
        "Index" => "an index",
        "Sharing" => "a lookup by sharing rules",
        _ => "a lookup",
    }
}

/// The text of the job's query; empty for an object before its query is generated.
fn text(job: &Job) -> &str {
    job.query().map_or("", |query| query.text.as_str())
}

/// Whether the command after an export can be started; `None` if there is none. It is not run.
fn after(job: &Job) -> Option<Step> {
    // A single object of a set has no command.
    let after = job.after.as_ref().filter(|_| job.object.is_none())?;
    Some(match export::find_program(after, job) {
        Ok(Program { path, warning }) => {
            let step = match warning {
                None => Step::passed(Name::After, format!("{} runs after each export", path.display())),
                Some(Warning { what, hint }) => Step::warned(Name::After, what, hint),
            };
            step.fact("program", path.display().to_string())
        }
        Err(failure) => Step::failed(Name::After, failure),
    })
}

fn schedule(job: &Job, now: Timestamp) -> Step {
    let Some(schedule) = &job.schedule else {
        return Step::passed(Name::Schedule, "none, so the job runs only on request")
            .fact("schedule", Value::Null);
    };
    let next: Vec<_> =
        std::iter::successors(schedule.next_after(now), |timestamp| schedule.next_after(*timestamp))
            .take(OCCURRENCES)
            .collect();
    let zone = schedule.timezone();
    let name = zone.iana_name().unwrap_or("its zone");
    let first = match next.first() {
        None => "no further runs".to_owned(),
        Some(next) => {
            let local = next.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string();
            let is_utc = *zone == TimeZone::UTC || name == "UTC";
            let utc = if is_utc { String::new() } else { format!(" ({})", next.strftime("%H:%M UTC")) };
            format!("next {local}{utc}")
        }
    };
    let what = format!("{} in {name}: {first}", schedule.text());
    let step = match job.enabled {
        true => Step::passed(Name::Schedule, what),
        false => {
            Step::warned(Name::Schedule, format!("{what}, but the job is disabled"), "set enabled = true")
        }
    };
    let next: Vec<_> = next.iter().map(Timestamp::to_string).collect();
    step.fact("schedule", schedule.text()).fact("timezone", name).fact("next", next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salesforce::fault;
    use crate::salesforce::response::Head;

    #[test]
    fn the_last_run_shows_how_many_records_fit_on_a_page() {
        let columns = Columns::of(&Query::parse("SELECT Id, Name FROM Account").unwrap()).unwrap();
        let after = |records, pages: Option<u64>, api, names: &[&str]| {
            let last = LastRun {
                records,
                pages,
                columns: names.iter().map(|name| (*name).to_owned()).collect(),
                api,
                api_calls: 0,
                ended: Timestamp::UNIX_EPOCH,
                settings: None,
            };
            page_records(Some(&last), Some(&columns), 2_000)
        };
        let by_rest = |records, pages| after(records, Some(pages), Some(Api::Rest), &["Id", "Name"]);
        assert_eq!(page_records(None, Some(&columns), 2_000), 1..=2_000);
        assert_eq!(by_rest(4_900, 25), 196..=204);
        assert_eq!(by_rest(300, 1), 300..=2_000);
        assert_eq!(by_rest(2_001, 2), 1_001..=2_000);
        assert_eq!(by_rest(6_000, 2), 2_000..=2_000);
        // Nothing is known from pages without records, or that were read twice.
        assert_eq!(by_rest(0, 1), 1..=2_000);
        assert_eq!(by_rest(1, 2), 1..=2_000);
        assert_eq!(after(4_900, None, Some(Api::Rest), &["Id", "Name"]), 1..=2_000);
        // Nor from pages of Bulk, or of other columns.
        assert_eq!(after(60_000, Some(100), Some(Api::Bulk), &["Id", "Name"]), 1..=2_000);
        assert_eq!(after(60_000, Some(100), None, &["Id", "Name"]), 1..=2_000);
        assert_eq!(after(4_900, Some(25), Some(Api::Rest), &["Id"]), 1..=2_000);
    }

    #[test]
    fn only_errors_in_the_query_refuse_it() {
        let refused = |code: &str| {
            let body = serde_json::json!([{"errorCode": code, "message": "INVALID_FIELD"}]).to_string();
            let head = Head::of_status(400);
            is_about_the_plan(&fault::read(&head, body.as_bytes(), "the query", "62.0"))
        };
        for code in ["MALFORMED_QUERY", "INVALID_TYPE", "MALFORMED_ID"] {
            assert!(!refused(code), "{code}");
        }
        assert!(refused("UNKNOWN"));
        assert!(!is_about_the_plan(&Fault::new(FaultKind::QueryTooLong, "")));
        assert!(!is_about_the_plan(&Fault::new(FaultKind::Unavailable, "status 503")));
    }
}
