//! How much of the org's limits is used, and how many records it has.

use std::sync::atomic::Ordering;

use crate::demo_org::Org;
use crate::demo_org::render::push;

/// `/limits`
pub(super) fn limits(org: &Org) -> Vec<u8> {
    let (_, allowed) = org.options.api_calls;
    let remaining = allowed.saturating_sub(org.api_calls.load(Ordering::Relaxed));
    let mut out = Vec::new();
    push(
        &mut out,
        format_args!(
            r#"{{"DailyApiRequests":{{"Max":{allowed},"Remaining":{remaining}}},"DailyBulkV2QueryFileStorageMB":{{"Max":976562,"Remaining":976562}},"DailyBulkV2QueryJobs":{{"Max":10000,"Remaining":10000}}}}"#
        ),
    );
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
