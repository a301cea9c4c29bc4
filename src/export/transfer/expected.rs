//! Which API a run that began now would use, for `check`: decided by the rules of `route`, from what is known without the first
//! page.

use std::ops::RangeInclusive;

use jiff::Timestamp;

use super::bulk::usual_calls;
use super::route::{FirstPage, Rule, Verdict};
use super::{BulkQuery, is_nested, route};
use crate::error::Failure;
use crate::job::{Api, Job};
use crate::org::Org;
use crate::soql::Columns;
use crate::state::State;

/// What is known about a result before it is exported.
#[derive(Debug, Clone)]
pub(crate) struct Forecast {
    /// How many records it has.
    pub(crate) records: u64,
    /// How many of them the org may put on a page by REST. The first page shows how many it does.
    pub(crate) page_records: RangeInclusive<u64>,
    /// How many records the last run had, if that used Bulk and the job has not been changed since: it saw how many records
    /// a page really has.
    pub(crate) last_by_bulk: Option<u64>,
}

impl Forecast {
    /// The first page, if it has so many records; `None` if it is the only one, which is never judged.
    fn first_page(&self, page_records: u64) -> Option<FirstPage> {
        let calls = self.records.div_ceil(page_records.max(1));
        (calls > 1).then_some(FirstPage { total: self.records, calls })
    }
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The API that would send the records; `None` if the first page decides.
    pub(crate) api: Option<Api>,
    /// Why, as a clause.
    pub(crate) reason: String,
    /// With how many records on the first page, at least, REST sends them all; `None` if that does not depend on the first
    /// page, or if their number is not known. With fewer the run uses Bulk, or gives up if `api` is REST.
    pub(crate) least_first_page: Option<u64>,
    /// About how many API requests the result would take by Bulk, if Bulk may be used.
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
    forecast: Option<&Forecast>,
    state: &State,
    now: Timestamp,
) -> Result<Expected, Failure> {
    let mut route = route(job, org, Some((state, &job.key())), now).map_err(|fault| fault.into_failure())?;
    let mut least_first_page = None;
    let mut is_open = forecast.is_none() && route.may_use_bulk();
    if let Some(forecast) = forecast {
        let fewest = forecast.first_page(*forecast.page_records.end());
        let most = forecast.first_page(*forecast.page_records.start());
        match fewest.map(|first| (first, route.rule.judge(first))) {
            Some((first, Verdict::Switch)) if most == Some(first) => route.switch(first),
            Some((first, Verdict::Switch)) => route.switch_in_any_case(first),
            Some((_, Verdict::Refuse(fault))) => return Err(fault.into_failure()),
            Some((_, Verdict::Go)) | None => {
                let is_near = |last: &u64| forecast.records >= last - last / 5;
                let last_by_bulk = forecast.last_by_bulk.filter(is_near).filter(|_| route.may_use_bulk());
                if let Some(last) = last_by_bulk {
                    route.stay_with_bulk(last);
                } else if most.is_some_and(|first| route.rule.judge(first) != Verdict::Go) {
                    least_first_page = route.rule.least_first_page(forecast.records);
                    is_open = matches!(route.rule, Rule::BulkFrom(_));
                }
            }
        }
    }
    let may_be_bulk = is_open || route.api == Api::Bulk;
    let of_columns = job.query().zip(columns).filter(|_| may_be_bulk);
    if let Some((query, columns)) = of_columns
        && let Err(obstacle) = BulkQuery::of(query, columns, None, is_nested(job))
    {
        route.keep_to_rest(obstacle.to_string(), job.api).map_err(|fault| fault.into_failure())?;
        (is_open, least_first_page) = (false, None);
    }
    let may_be_bulk = is_open || route.api == Api::Bulk;
    let bulk_calls = may_be_bulk.then(|| usual_calls(forecast.map(|forecast| forecast.records), &job.bulk));
    let api = (!is_open).then_some(route.api);
    Ok(Expected { api, reason: route.reason, least_first_page, bulk_calls })
}
