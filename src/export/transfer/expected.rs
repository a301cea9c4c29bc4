//! Which API a run that began now would use, for `check`: decided by the rules of `route`, from what is known without the first
//! page.

use jiff::Timestamp;

use super::bulk::usual_calls;
use super::route::{FirstPage, Verdict};
use super::{BulkQuery, is_nested, route};
use crate::error::Failure;
use crate::job::{Api, Job};
use crate::org::Org;
use crate::soql::Columns;
use crate::state::State;

/// What is known about a result before it is exported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forecast {
    /// How many records it has.
    pub(crate) records: u64,
    /// How many of them the org puts on a page by REST.
    pub(crate) page_records: u64,
    /// How many records the last run had, if that used Bulk and the job has not been changed since: it saw how many records
    /// a page really has.
    pub(crate) last_by_bulk: Option<u64>,
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The API that would send the records; `None` if the first page decides.
    pub(crate) api: Option<Api>,
    /// Why, as a clause.
    pub(crate) reason: String,
    /// About how many API requests the result would take by Bulk, if Bulk would be used.
    pub(crate) bulk_calls: Option<u64>,
}

/// Which API a run of the job would use. `columns` are its columns, with their types as far as they are known.
///
/// # Errors
/// What the run would fail with: if the job asks for Bulk, which refuses its query or its columns, or if it would take too
/// many requests by REST.
pub(crate) fn expected(
    (job, org): (&Job, &Org),
    columns: Option<&Columns>,
    forecast: Option<Forecast>,
    state: &State,
    now: Timestamp,
) -> Result<Expected, Failure> {
    let mut route = route(job, org, Some((state, &job.key())), now).map_err(|fault| fault.into_failure())?;
    let first = forecast.map(|Forecast { records, page_records, .. }| FirstPage {
        total: records,
        calls: records.div_ceil(page_records.max(1)).max(1),
    });
    let last_by_bulk = forecast.and_then(|forecast| {
        let is_near = |last: &u64| forecast.records >= last - last / 5;
        forecast.last_by_bulk.filter(is_near).filter(|_| route.may_use_bulk())
    });
    match first.map(|first| (first, route.rule.judge(first))) {
        Some((first, Verdict::Switch)) => route.switch(first),
        Some((_, Verdict::Refuse(fault))) => return Err(fault.into_failure()),
        Some((_, Verdict::Go)) => {
            if let Some(last) = last_by_bulk {
                route.stay_with_bulk(last);
            }
        }
        None if route.may_use_bulk() => {
            return Ok(Expected { api: None, reason: route.reason, bulk_calls: None });
        }
        None => {}
    }
    let of_columns = job.query().zip(columns).filter(|_| route.api == Api::Bulk);
    if let Some((query, columns)) = of_columns
        && let Err(obstacle) = BulkQuery::of(query, columns, None, is_nested(job))
    {
        route.keep_to_rest(obstacle.to_string(), job.api).map_err(|fault| fault.into_failure())?;
    }
    let bulk_calls = (route.api == Api::Bulk).then(|| usual_calls(forecast.map(|f| f.records), &job.bulk));
    Ok(Expected { api: Some(route.api), reason: route.reason, bulk_calls })
}
