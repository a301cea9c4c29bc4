//! The org's API limits, from the header of each response and from `/limits`.

use serde::Deserialize;

use super::call::Call;
use crate::report::ApiLimit;

/// Reads a `Sforce-Limit-Info` header: `api-usage=18/15000`, possibly followed by other parts such as
/// `per-app-api-usage=...`.
#[must_use]
pub fn read(header: &str) -> Option<ApiLimit> {
    let rest = header.split([';', ',']).find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, rest) = rest.split_once('/')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some(ApiLimit { used: used.parse().ok()?, allowed: rest[..end].parse().ok()? })
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
    Some(ApiLimit {
        used: limit.max.saturating_add_signed(limit.remaining.saturating_neg()),
        allowed: limit.max,
    })
}

#[cfg(test)]
mod tests {
    use super::{daily, read};

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
