//! The org's API limits, from the header of each response and from `/limits`, and whether a request fits above the
//! reserve that the configuration leaves for others.

use serde::Deserialize;

use super::call::Call;
use super::fault::{Fault, FaultKind};
use crate::human::{counted, number};
use crate::org::{ApiReserve, OrgName};
use crate::report::ApiLimit;

/// Reads a `Sforce-Limit-Info` header: `api-usage=18/15000`, possibly followed by other parts such as
/// `per-app-api-usage=...`.
#[must_use]
pub fn read(header: &str) -> Option<ApiLimit> {
    let rest = header.split([';', ',']).find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, rest) = rest.split_once('/')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some(ApiLimit::new(used.parse().ok()?, rest[..end].parse().ok()?))
}

/// The call whose response [`daily`] reads.
#[must_use]
pub fn call(api_version: &str) -> Call<'static> {
    Call::get(format!("/services/data/v{api_version}/limits")).about("the request for the API limits")
}

/// Reads the limit on API requests per 24 hours from the response to [`call`].
#[must_use]
pub fn daily(body: &[u8]) -> Option<ApiLimit> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Limits {
        daily_api_requests: Limit,
    }
    // Older orgs nest one more object per app in it.
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Limit {
        max: u64,
        // Can be negative: the limit is a soft one.
        remaining: i64,
    }
    let limit = serde_json::from_slice::<Limits>(body).ok()?.daily_api_requests;
    Some(ApiLimit::new(limit.max.saturating_add_signed(limit.remaining.saturating_neg()), limit.max))
}

/// Decides whether an org's reserve allows so many further requests. `promised` are the requests that other exports of
/// this process may still make.
///
/// # Errors
/// [`FaultKind::Limit`] if the reserve would be touched, and [`FaultKind::Configuration`] if it is as large as the limit
/// itself.
pub(crate) fn admit(
    limit: ApiLimit,
    reserve: ApiReserve,
    org: &OrgName,
    promised: u64,
    needed: u64,
) -> Result<(), Fault> {
    let ApiLimit { used, allowed, .. } = limit;
    let kept = reserve.of(allowed);
    // An org that allows none does not say what it allows.
    if allowed == 0 {
        return Ok(());
    }
    if kept >= allowed {
        return Err(too_large(reserve, allowed, org));
    }
    let left = allowed - kept;
    if used.saturating_add(promised).saturating_add(needed) <= left {
        return Ok(());
    }
    let promised = match promised {
        0 => String::new(),
        promised => format!(", {} are promised to other exports", number(promised)),
    };
    let what = format!(
        "the export needs {}, but {} of {} are used{promised} and api_reserve keeps {} for others",
        counted(needed, "more API request"),
        number(used),
        number(allowed),
        number(kept),
    );
    let table = org.table();
    let hint = if needed > left {
        format!(
            "narrow the query, or lower api_reserve in {table}: so many requests never fit above the reserve"
        )
    } else {
        format!(
            "run it again once enough of the last 24 hours' requests have expired, or lower api_reserve in {table}"
        )
    };
    Err(Fault::new(FaultKind::Limit, what).hint(hint))
}

/// The fault of a reserve that leaves nothing.
pub(crate) fn too_large(reserve: ApiReserve, allowed: u64, org: &OrgName) -> Fault {
    let what = format!(
        "api_reserve is \"{reserve}\", but the org allows only {} in 24 hours",
        counted(allowed, "API request")
    );
    Fault::new(FaultKind::Configuration, what)
        .hint(format!("lower api_reserve in {}, or write it as a percentage such as \"20%\"", org.table()))
}

#[cfg(test)]
mod tests {
    use super::{admit, daily, read};
    use crate::org::{ApiReserve, OrgName};
    use crate::report::ApiLimit;
    use crate::salesforce::fault::FaultKind;

    #[test]
    fn a_request_fits_if_it_does_not_touch_the_reserve() {
        let org = OrgName::default_org();
        let admit = |used, allowed, reserve, promised, needed| {
            admit(ApiLimit::new(used, allowed), reserve, &org, promised, needed)
        };
        let (fifth, hundred) = (ApiReserve::Percent(20), ApiReserve::Requests(100));
        for (used, reserve, promised, needed, fits) in [
            (799, fifth, 0, 1, true),
            (800, fifth, 0, 1, false),
            (0, fifth, 0, 800, true),
            (0, fifth, 0, 801, false),
            (899, hundred, 0, 1, true),
            (900, hundred, 0, 1, false),
            (899, hundred, 1, 1, false),
            (1_200, hundred, 0, 1, false),
            (u64::MAX, hundred, u64::MAX, u64::MAX, false),
        ] {
            let admitted = admit(used, 1_000, reserve, promised, needed);
            let kind = (!fits).then_some(FaultKind::Limit);
            assert_eq!(admitted.err().map(|fault| fault.kind), kind, "{used} {promised} {needed}");
        }
        // A mistake in the configuration, which waiting does not repair.
        let fault = admit(0, 100, hundred, 0, 1).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Configuration);
        assert_eq!(admit(7, 0, hundred, 0, 1), Ok(()));
    }

    #[test]
    fn a_refusal_names_every_number() {
        let org = OrgName::parse("emea").unwrap();
        let refused = |promised, needed| {
            admit(ApiLimit::new(12_950, 15_000), ApiReserve::Percent(20), &org, promised, needed).unwrap_err()
        };
        assert_eq!(
            refused(0, 51).what,
            "the export needs 51 more API requests, but 12,950 of 15,000 are used and api_reserve keeps 3,000 for \
             others"
        );
        assert!(
            refused(40, 1)
                .what
                .contains("1 more API request, but 12,950 of 15,000 are used, 40 are promised")
        );
        assert!(refused(0, 1).hint.unwrap().ends_with("lower api_reserve in [orgs.emea]"));
        assert!(refused(0, 12_001).hint.unwrap().starts_with("narrow the query"));
    }

    #[test]
    fn the_daily_limit_is_found_among_the_others() {
        let daily = |body: &str| daily(body.as_bytes()).map(|limit| (limit.used, limit.allowed));
        assert_eq!(
            daily(
                r#"{"DailyApiRequests":{"Max":15000,"Remaining":14982,"Salesforce Chatter":{"Max":0,"Remaining":0}},
                    "DailyBulkV2QueryJobs":{"Max":10000,"Remaining":10000}}"#
            ),
            Some((18, 15_000))
        );
        assert_eq!(daily(r#"{"DailyApiRequests":{"Max":5000,"Remaining":-7}}"#), Some((5_007, 5_000)));
        assert_eq!(daily("{}"), None);
    }

    #[test]
    fn the_usage_is_found_anywhere_in_the_header() {
        let read = |header| read(header).map(|limit| (limit.used, limit.allowed));
        assert_eq!(read("api-usage=18/15000"), Some((18, 15000)));
        assert_eq!(read("api-usage=17/250; per-app-api-usage=17/250(appName=sample-app)"), Some((17, 250)));
        assert_eq!(read("x=1; api-usage=16000/15000"), Some((16000, 15000)));
        assert_eq!(read("per-app-api-usage=17/250(appName=x); api-usage=25/5000"), Some((25, 5000)));
        assert_eq!(read("api-usage=18/15000(per org)"), Some((18, 15000)));
        assert_eq!(read("per-app-api-usage=17/250"), None);
        assert_eq!(read("per-app"), None);
        assert_eq!(read("api-usage=/"), None);
    }
}
