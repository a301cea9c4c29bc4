//! `/sobjects/X/updated` and `/sobjects/X/deleted`: the ids of records that changed or were deleted in a period.

use jiff::{SignedDuration, Timestamp};

use super::parameters;
use crate::demo_org::data::Value;
use crate::demo_org::refusal::Refusal;
use crate::demo_org::render::{json, push};
use crate::demo_org::reply::Reply;
use crate::demo_org::schema::Object;
use crate::demo_org::{Org, Request};

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How far back the log of deletes goes at most.
const DELETED_DAYS: i32 = 15;
/// What `updated` goes by: the first of these that the object has.
const STAMPS: [&str; 2] = ["SystemModstamp", "LastModifiedDate"];

/// `/sobjects/X/updated?start=&end=`: by the stamp, deleted records left out.
pub(super) fn updated(org: &Org, request: &Request, object: &'static Object) -> Reply {
    let found = Span::of(org, request, object, 30).and_then(|span| {
        let changed = org.data.rows_of(object).filter(|row| {
            let at = STAMPS.into_iter().find_map(|stamp| row.value(stamp));
            !row.is_deleted() && matches!(at, Some(Value::Datetime(at)) if span.holds(at))
        });
        let changed: Vec<_> = changed.map(|row| row.id()).collect();
        within_limit(org, changed.len())?;
        Ok((span, changed))
    });
    let (span, changed) = match found {
        Ok(found) => found,
        Err(refusal) => return Reply::refused(refusal),
    };
    let mut out = b"{\"ids\":[".to_vec();
    for (n, id) in changed.into_iter().enumerate() {
        push(&mut out, format_args!("{}\"{id}\"", if n > 0 { "," } else { "" }));
    }
    out.extend_from_slice(b"],\"latestDateCovered\":");
    json::value(&mut out, &Value::Datetime(span.covered(org)), "");
    out.push(b'}');
    Reply::json(out)
}

/// `/sobjects/X/deleted?start=&end=`: the records that were deleted since the org started, purged ones included, and those
/// that were undeleted since. If the log of deletes was purged, those before that are missing.
pub(super) fn deleted(org: &Org, request: &Request, object: &'static Object) -> Reply {
    let found = Span::of(org, request, object, DELETED_DAYS).and_then(|span| {
        let gone = org.data.changes.read().deleted(object, |at| span.holds(at));
        within_limit(org, gone.len())?;
        Ok((span, gone))
    });
    let (span, gone) = match found {
        Ok(found) => found,
        Err(refusal) => return Reply::refused(refusal),
    };
    let mut out = b"{\"deletedRecords\":[".to_vec();
    for (n, (id, at)) in gone.into_iter().enumerate() {
        push(&mut out, format_args!("{}{{\"deletedDate\":", if n > 0 { "," } else { "" }));
        json::value(&mut out, &Value::Datetime(at), "");
        push(&mut out, format_args!(r#","id":"{id}"}}"#));
    }
    let log_from = org.data.changes.read().log_from.unwrap_or(Timestamp::MIN);
    out.extend_from_slice(b"],\"earliestDateAvailable\":");
    json::value(&mut out, &Value::Datetime(log_from.max(earliest(org, DELETED_DAYS))), "");
    out.extend_from_slice(b",\"latestDateCovered\":");
    json::value(&mut out, &Value::Datetime(span.covered(org)), "");
    out.push(b'}');
    Reply::json(out)
}

fn within_limit(org: &Org, ids: usize) -> Result<(), Refusal> {
    if ids <= org.options.most_ids {
        return Ok(());
    }
    let message = format!("more than {} ids; narrow the date range", org.options.most_ids);
    Err(Refusal::new("EXCEEDED_ID_LIMIT", message))
}

/// From `start` to before `end`, both in whole minutes.
struct Span {
    start: Timestamp,
    end: Timestamp,
}

impl Span {
    fn of(org: &Org, request: &Request, object: &Object, days: i32) -> Result<Self, Refusal> {
        if !object.is_replicateable() {
            let message = format!("entity type {} does not support replication", object.name);
            return Err(Refusal::new("INVALID_TYPE_FOR_OPERATION", message));
        }
        let parameters = parameters(request.query());
        let time = |name: &str| {
            let text = parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
            let time = text.and_then(|text| text.parse::<Timestamp>().ok());
            time.map(whole_minute).ok_or_else(|| invalid(&format!("{name} is not a date and a time")))
        };
        let span = Self { start: time("start")?, end: time("end")? };
        if span.end.duration_since(span.start) <= SignedDuration::from_mins(1) {
            return Err(invalid("endDate must be later than startDate by more than a minute"));
        }
        if span.start < earliest(org, days) {
            return Err(invalid("startDate before org replication enabled date"));
        }
        Ok(span)
    }

    fn holds(&self, at: Timestamp) -> bool {
        (self.start..self.end).contains(&at)
    }

    /// Up to when the response is complete: what open transactions do is stamped with the time when they began.
    fn covered(&self, org: &Org) -> Timestamp {
        let now = org.data.clock().now();
        let open = org.data.changes.read().oldest_open();
        self.end.min(whole_minute(open.unwrap_or(now).min(now)))
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new("INVALID_REPLICATION_DATE", message)
}

/// The earliest time that may be asked about.
fn earliest(org: &Org, days: i32) -> Timestamp {
    whole_minute(org.data.clock().now()).saturating_sub(DAY * days).unwrap_or(Timestamp::MIN)
}

/// Seconds are ignored.
fn whole_minute(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second().div_euclid(60) * 60).unwrap_or(time)
}
