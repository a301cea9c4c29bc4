//! Which API a run uses, and why. Pure: it decides from what the caller knows, and `transfer` acts on the decision.

use crate::human::{counted, number};
use crate::job::{Api, ApiChoice, BulkSettings, Job};
use crate::org::Org;
use crate::salesforce::fault::{ErrorCode, Fault, FaultKind};

/// What the first page of a result by REST shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::export) struct FirstPage {
    /// The records that the org counted.
    pub(in crate::export) total: u64,
    /// The calls of the whole result by REST, this page's included.
    pub(in crate::export) calls: u64,
}

/// What is to be done at the first page by REST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::export) enum Rule {
    /// Go on, whatever it costs.
    Any,
    /// Leave it to Bulk from so many calls on.
    BulkFrom(u64),
    /// Bulk cannot do it; give up if it takes more calls.
    AtMost(u64),
}

/// What a rule makes of a first page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::export) enum Verdict {
    /// Go on by REST.
    Go,
    /// Leave it to Bulk.
    Switch,
    /// Give up.
    Refuse(Fault),
}

impl Rule {
    /// Judges a first page.
    pub(in crate::export) fn judge(self, first: FirstPage) -> Verdict {
        match self {
            Self::BulkFrom(calls) if first.calls >= calls => Verdict::Switch,
            Self::AtMost(calls) if first.calls > calls => {
                let what = format!(
                    "the result takes {} by REST, and bulk.rest_max_calls is {}; Bulk cannot export it now",
                    counted(first.calls, "call"),
                    number(calls)
                );
                Verdict::Refuse(
                    Fault::new(FaultKind::Limit, what)
                        .hint("run it again later, raise rest_max_calls in [bulk], or set api = \"rest\""),
                )
            }
            _ => Verdict::Go,
        }
    }

    /// The fewest records that the first page of a result of `total` records may have for [`Verdict::Go`]; `None` if any number
    /// will do.
    pub(in crate::export) fn least_first_page(self, total: u64) -> Option<u64> {
        let calls = match self {
            Self::Any => return None,
            Self::BulkFrom(calls) => calls.saturating_sub(1),
            Self::AtMost(calls) => calls,
        };
        // A result of one page is never judged.
        Some(total.div_ceil(calls.max(1)))
    }
}

/// What is known of a job before it runs.
pub(in crate::export) struct Known<'k> {
    pub(in crate::export) job: &'k Job,
    pub(in crate::export) org: &'k Org,
    /// Why Bulk does not take the query, or takes it badly, as its text and its columns tell.
    pub(in crate::export) obstacle: Option<Obstacle>,
    /// Why Bulk refused it in the last week.
    pub(in crate::export) refusal: Option<String>,
    /// Whether the last run used Bulk.
    pub(in crate::export) used_bulk: bool,
}

/// Why a query is better left to REST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::export) struct Obstacle {
    /// As a clause: "the query has a child query".
    pub(in crate::export) reason: String,
    /// Whether Bulk refuses it; otherwise Bulk takes it, but slowly.
    pub(in crate::export) is_refused: bool,
}

/// The way that a run takes through the two APIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::export) struct Route {
    /// The API to be used now.
    pub(in crate::export) api: Api,
    /// Why.
    pub(in crate::export) reason: String,
    /// What is to be done at the first page by REST.
    pub(in crate::export) rule: Rule,
    /// Whether the run may still turn to Bulk: Bulk takes the query, and has not been tried.
    may_use_bulk: bool,
    /// Why REST failed, if Bulk is tried instead. It is the error to show if Bulk refuses too.
    failed: Option<Fault>,
}

impl Route {
    /// The way that a run begins with.
    ///
    /// # Errors
    /// [`FaultKind::QueryRefused`] if the job demands Bulk, which does not take its query.
    pub(in crate::export) fn of(known: &Known<'_>) -> Result<Self, Fault> {
        let BulkSettings { from_calls, rest_max_calls, .. } = known.job.bulk;
        let rest =
            |reason: String, rule| Self { api: Api::Rest, reason, rule, may_use_bulk: false, failed: None };
        let obstacle = if known.org.has_bulk() {
            known.obstacle.clone()
        } else {
            let reason = format!("API version \"{}\" has no Bulk API 2.0", known.org.api_version);
            Some(Obstacle { reason, is_refused: true })
        };
        match (known.job.api, obstacle) {
            (ApiChoice::Rest, _) => Ok(rest("api is \"rest\"".to_owned(), Rule::Any)),
            (ApiChoice::Bulk, Some(Obstacle { reason, is_refused: true })) => Err(not_exportable(&reason)),
            (ApiChoice::Bulk, _) => {
                let reason = "api is \"bulk\"".to_owned();
                Ok(Self { api: Api::Bulk, ..rest(reason, Rule::Any) })
            }
            (ApiChoice::Auto, Some(obstacle)) => Ok(rest(obstacle.reason, Rule::Any)),
            (ApiChoice::Auto, None) => Ok(match &known.refusal {
                Some(refusal) => {
                    let reason = format!("Bulk refused it within the last week: {refusal}");
                    rest(reason, Rule::AtMost(rest_max_calls))
                }
                None => {
                    let threshold = threshold(from_calls, known.used_bulk);
                    let reason = format!("it takes fewer than {}", counted(threshold, "API call"));
                    Self { may_use_bulk: true, ..rest(reason, Rule::BulkFrom(threshold)) }
                }
            }),
        }
    }

    /// Whether the run may still turn to Bulk.
    pub(in crate::export) fn may_use_bulk(&self) -> bool {
        self.may_use_bulk && self.api == Api::Rest
    }

    /// The first page has shown that Bulk is the better way.
    pub(in crate::export) fn switch(&mut self, first: FirstPage) {
        let reason =
            format!("{} take {} by REST", counted(first.total, "record"), counted(first.calls, "call"));
        self.turn_to_bulk(reason, None);
    }

    /// Any first page would show the same, and some would show more calls.
    pub(in crate::export) fn switch_in_any_case(&mut self, fewest: FirstPage) {
        let FirstPage { total, calls } = fewest;
        let reason = format!("{} take at least {} by REST", counted(total, "record"), counted(calls, "call"));
        self.turn_to_bulk(reason, None);
    }

    /// The last run, with so many records, has shown the same.
    pub(in crate::export) fn stay_with_bulk(&mut self, last: u64) {
        self.turn_to_bulk(format!("the last run used it for {}", counted(last, "record")), None);
    }

    /// REST failed in a way that Bulk may not.
    pub(in crate::export) fn switch_after(&mut self, fault: Fault) {
        let reason = format!("REST failed: {}", fault.redacted.as_deref().unwrap_or(&fault.what));
        // A result that did not add up can be read by REST once more.
        let failed = (fault.kind == FaultKind::QueryTimeout).then_some(fault);
        self.turn_to_bulk(reason, failed);
    }

    fn turn_to_bulk(&mut self, reason: String, failed: Option<Fault>) {
        (self.api, self.reason, self.failed, self.may_use_bulk) = (Api::Bulk, reason, failed, false);
    }

    /// Bulk does not take the query after all, which its described columns show.
    pub(in crate::export) fn keep_to_rest(&mut self, reason: String, choice: ApiChoice) -> Result<(), Fault> {
        let fault = not_exportable(&reason);
        self.back_to_rest(reason, Rule::Any, choice, fault)
    }

    /// Bulk refused or failed; REST takes over, if the job lets it.
    ///
    /// # Errors
    /// The fault that the run ends with if it does not, or if REST has failed before.
    pub(in crate::export) fn fall_back(&mut self, fault: Fault, job: &Job) -> Result<(), Fault> {
        let reason = fault.redacted.as_deref().unwrap_or(&fault.what).to_owned();
        self.back_to_rest(reason, Rule::AtMost(job.bulk.rest_max_calls), job.api, fault)
    }

    fn back_to_rest(
        &mut self,
        reason: String,
        rule: Rule,
        choice: ApiChoice,
        refused: Fault,
    ) -> Result<(), Fault> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        if choice == ApiChoice::Bulk {
            return Err(refused);
        }
        (self.api, self.reason, self.rule, self.may_use_bulk) = (Api::Rest, reason, rule, false);
        Ok(())
    }
}

/// The fault of a job that demands Bulk, which cannot export it.
fn not_exportable(reason: &str) -> Fault {
    let what = format!("Bulk API 2.0 cannot export this: {reason}");
    Fault::new(FaultKind::QueryRefused, what).hint("set api = \"auto\" or \"rest\"")
}

/// From how many calls on a result is left to Bulk. A result whose last run used Bulk stays there a little below, so that it
/// does not change its API every few nights.
fn threshold(from_calls: u64, used_bulk: bool) -> u64 {
    if used_bulk { from_calls - from_calls / 5 } else { from_calls }
}

/// Whether the refusal of a query job is about the object or the query, so it would be refused tomorrow too. Limits and
/// faults of the moment are not.
pub(in crate::export) fn is_lasting(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::QueryRefused | FaultKind::QueryTooLong)
        || (fault.kind == FaultKind::Configuration && fault.code == Some(ErrorCode::NotFound))
}

/// Whether every query of the object is refused.
pub(in crate::export) fn is_about_the_object(fault: &Fault) -> bool {
    matches!(&fault.code, Some(ErrorCode::Other(code)) if code == "INVALIDENTITY")
}
