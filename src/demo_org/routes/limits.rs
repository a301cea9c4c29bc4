//! How much of the org's limits is used, and how many records it has.

use std::sync::atomic::Ordering;

use crate::demo_org::Org;
use crate::demo_org::render::push;

/// The limits besides API calls and query jobs, all unused: the entries that clients are known to read, and some of the others.
const UNUSED: [(&str, u64); 12] = [
    ("ConcurrentAsyncGetReportInstances", 200),
    ("ConcurrentSyncReportRuns", 20),
    ("DailyAsyncApexExecutions", 250_000),
    ("DailyBulkApiBatches", 15_000),
    ("DailyGenericStreamingApiEvents", 10_000),
    ("DailyStreamingApiEvents", 10_000),
    ("DataStorageMB", 5),
    ("FileStorageMB", 20),
    ("HourlyAsyncReportRuns", 1200),
    ("HourlySyncReportRuns", 500),
    ("MassEmail", 10),
    ("SingleEmail", 15),
];

/// `/limits`, in the order of the names.
pub(super) fn limits(org: &Org) -> Vec<u8> {
    let (_, allowed) = org.options.api_calls;
    let remaining = allowed.saturating_sub(org.api_calls.load(Ordering::Relaxed));
    let mut entries: Vec<_> = UNUSED.map(|(name, max)| (name, max, max)).into();
    entries.push(("DailyApiRequests", allowed, remaining));
    let bulk = &org.options.bulk;
    let (_, jobs) = bulk.daily_jobs;
    entries.push(("DailyBulkV2QueryJobs", jobs, jobs.saturating_sub(org.jobs.made())));
    let (_, kilobytes) = bulk.daily_kilobytes;
    let left = kilobytes.saturating_sub(org.jobs.kilobytes());
    entries.push(("DailyBulkV2QueryFileStorageMB", kilobytes / 1024, left / 1024));
    entries.sort_unstable();
    let mut out = b"{".to_vec();
    for (n, (name, max, remaining)) in entries.into_iter().enumerate() {
        out.extend_from_slice(if n > 0 { b"," } else { b"" });
        push(&mut out, format_args!(r#""{name}":{{"Max":{max},"Remaining":{remaining}}}"#));
    }
    out.push(b'}');
    out
}

/// `/limits/recordCount?sObjects=A,B`; objects without records are left out.
pub(super) fn record_counts(org: &Org, parameters: &[(String, String)]) -> Vec<u8> {
    let asked = parameters.iter().find(|(key, _)| key == "sObjects").map(|(_, value)| value.as_str());
    let mut out = b"{\"sObjects\":[".to_vec();
    let mut first = true;
    for object in org.data.catalog.visible() {
        let count = org.data.live_count(object);
        let wanted =
            asked.is_none_or(|asked| asked.split(',').any(|name| name.eq_ignore_ascii_case(object.name)));
        if count > 0 && wanted {
            if !first {
                out.push(b',');
            }
            first = false;
            push(&mut out, format_args!(r#"{{"count":{count},"name":"{}"}}"#, object.name));
        }
    }
    out.extend_from_slice(b"]}");
    out
}
