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

/// `/sobjects/X/updated?start=&end=`: by the stamp, deleted records left out.
pub(super) fn updated(org: &Org, request: &Request, object: &'static Object) -> Reply {
    let span = match Span::of(request, object, 30) {
        Ok(span) => span,
        Err(refusal) => return Reply::refused(refusal),
    };
    let changed = org.data.rows_of(object).filter(|row| {
        let at = row.value("SystemModstamp");
        !row.is_deleted() && matches!(at, Some(Value::Datetime(at)) if span.holds(at))
    });
    let mut out = b"{\"ids\":[".to_vec();
    for (n, row) in changed.enumerate() {
        push(&mut out, format_args!("{}\"{}\"", if n > 0 { "," } else { "" }, row.id()));
    }
    out.extend_from_slice(b"],\"latestDateCovered\":");
    json::value(&mut out, &Value::Datetime(span.covered()), "");
    out.push(b'}');
    Reply::json(out)
}

/// `/sobjects/X/deleted?start=&end=`: the records that were deleted since the org started, purged ones included.
pub(super) fn deleted(org: &Org, request: &Request, object: &'static Object) -> Reply {
    let span = match Span::of(request, object, 15) {
        Ok(span) => span,
        Err(refusal) => return Reply::refused(refusal),
    };
    let mut out = b"{\"deletedRecords\":[".to_vec();
    let gone = org.data.gone(object).into_iter().filter(|(_, at)| span.holds(*at));
    for (n, (id, at)) in gone.enumerate() {
        push(&mut out, format_args!("{}{{\"deletedDate\":", if n > 0 { "," } else { "" }));
        json::value(&mut out, &Value::Datetime(at), "");
        push(&mut out, format_args!(r#","id":"{id}"}}"#));
    }
    out.extend_from_slice(b"],\"earliestDateAvailable\":");
    json::value(&mut out, &Value::Datetime(earliest(15)), "");
    out.extend_from_slice(b",\"latestDateCovered\":");
    json::value(&mut out, &Value::Datetime(span.covered()), "");
    out.push(b'}');
    Reply::json(out)
}

/// From `start` to before `end`, both in whole minutes.
struct Span {
    start: Timestamp,
    end: Timestamp,
}

impl Span {
    fn of(request: &Request, object: &Object, days: i32) -> Result<Self, Refusal> {
        if object.field("SystemModstamp").is_none() {
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
        if span.start < earliest(days) {
            return Err(invalid("startDate before org replication enabled date"));
        }
        Ok(span)
    }

    fn holds(&self, at: Timestamp) -> bool {
        (self.start..self.end).contains(&at)
    }

    /// Up to when the response is complete: there are no open transactions here.
    fn covered(&self) -> Timestamp {
        self.end.min(whole_minute(Timestamp::now()))
    }
}

fn invalid(message: &str) -> Refusal {
    Refusal::new("INVALID_REPLICATION_DATE", message)
}

/// The earliest time that may be asked about.
fn earliest(days: i32) -> Timestamp {
    whole_minute(Timestamp::now()).saturating_sub(DAY * days).unwrap_or(Timestamp::MIN)
}

/// Seconds are ignored.
fn whole_minute(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second().div_euclid(60) * 60).unwrap_or(time)
}
