//! The org's log of deletes: which records of an object were deleted in a window, for good too.

use std::fmt;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::call::Call;
use super::fault::{Fault, FaultKind};

/// What the log is called in messages.
const SUBJECT: &str = "the log of deleted records";

const MINUTE: i64 = 60;

/// A part of the log. The org ignores seconds, so both ends are whole minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogWindow {
    start: Timestamp,
    end: Timestamp,
}

impl LogWindow {
    /// The window that starts at the latest at `start` and ends at the latest at `end`. `None` if it would be too short: the
    /// org asks for more than one minute.
    #[must_use]
    pub fn new(start: Timestamp, end: Timestamp) -> Option<Self> {
        let (start, end) = (whole_minute(start), whole_minute(end));
        (end.duration_since(start) > SignedDuration::from_mins(1)).then_some(Self { start, end })
    }

    /// Its start.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// Its end.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// Its two halves, for an org that finds too many records in it; `None` if they would be too short.
    #[must_use]
    pub fn halves(&self) -> Option<(Self, Self)> {
        let middle = self.start + self.end.duration_since(self.start) / 2;
        let middle = whole_minute(middle);
        Some((Self::new(self.start, middle)?, Self::new(middle, self.end)?))
    }
}

/// The minute that a timestamp is in.
#[must_use]
pub fn whole_minute(timestamp: Timestamp) -> Timestamp {
    let second = timestamp.as_second();
    // A timestamp before 1970 has its fraction of a second below the whole one.
    let second = second - i64::from(timestamp.subsec_nanosecond() < 0);
    Timestamp::from_second(second - second.rem_euclid(MINUTE)).unwrap_or(Timestamp::MIN)
}

/// The call that asks for the records of an object that were deleted in a window.
#[must_use]
pub fn deleted(api_version: &str, object: &str, window: &LogWindow) -> Call<'static> {
    // A `+` must not become a space.
    let encoded =
        |timestamp: Timestamp| format!("{}%2B00%3A00", timestamp.strftime("%Y-%m-%dT%H%%3A%M%%3A%S"));
    let path = format!(
        "/services/data/v{api_version}/sobjects/{object}/deleted/?start={}&end={}",
        encoded(window.start),
        encoded(window.end)
    );
    Call::get(path).about(SUBJECT)
}

/// The org's response: what was deleted in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedPage {
    /// The deleted records, in the order sent.
    pub records: DeletedRecords,
    /// From when on the log is whole. Earlier entries may have been purged.
    pub earliest_date_available: Timestamp,
    /// Until when the log is whole: transactions that are still running may add to what comes later.
    pub latest_date_covered: Timestamp,
}

/// A deleted record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedRecord<'a> {
    /// Its Id, as sent.
    pub id: &'a str,
    /// When it was deleted, as sent: `2013-05-07T22:07:19.000+0000`.
    pub deleted_date: &'a str,
    /// The same as a timestamp.
    pub deleted_at: Timestamp,
}

/// Deleted records: 80 bytes each, because there may be 600,000 in one window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletedRecords {
    /// Of each record the Id and the date, one after the other.
    text: String,
    records: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    start: usize,
    id_length: u8,
    date_length: u8,
    deleted_at: Timestamp,
}

impl Entry {
    fn id(&self) -> Range<usize> {
        self.start..self.start + usize::from(self.id_length)
    }

    fn date(&self) -> Range<usize> {
        let start = self.id().end;
        start..start + usize::from(self.date_length)
    }
}

impl DeletedRecords {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = DeletedRecord<'_>> {
        self.records.iter().map(|entry| DeletedRecord {
            id: &self.text[entry.id()],
            deleted_date: &self.text[entry.date()],
            deleted_at: entry.deleted_at,
        })
    }

    /// Adds those of another window.
    pub fn append(&mut self, others: &Self) {
        let offset = self.text.len();
        self.text.push_str(&others.text);
        self.records.extend(
            others.records.iter().map(|entry| Entry { start: offset + entry.start, ..entry.clone() }),
        );
    }

    /// Adds a record; `None` if it is not one.
    fn push(&mut self, id: &str, date: &str) -> Option<()> {
        let is_id = (15..=18).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let entry = Entry {
            start: self.text.len(),
            id_length: u8::try_from(id.len()).ok().filter(|_| is_id)?,
            date_length: u8::try_from(date.len()).ok()?,
            deleted_at: date.parse().ok()?,
        };
        self.text.push_str(id);
        self.text.push_str(date);
        self.records.push(entry);
        Some(())
    }
}

/// Reads what was deleted in a window.
///
/// # Errors
/// [`FaultKind::Truncated`] if the body is not complete JSON, and [`FaultKind::InvalidResponse`] if it is not such a response.
pub fn read_deleted(body: &[u8]) -> Result<DeletedPage, Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        deleted_records: DeletedRecords,
        #[serde(deserialize_with = "date")]
        earliest_date_available: Timestamp,
        #[serde(deserialize_with = "date")]
        latest_date_covered: Timestamp,
    }
    let page: Page = serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => Fault::new(
            FaultKind::InvalidResponse,
            format!("cannot read {SUBJECT}: the org sent something else"),
        ),
        false => Fault::new(FaultKind::Truncated, format!("cannot read {SUBJECT}: it is not complete JSON")),
    })?;
    Ok(DeletedPage {
        records: page.deleted_records,
        earliest_date_available: page.earliest_date_available,
        latest_date_covered: page.latest_date_covered,
    })
}

/// Reads `2013-05-03T15:57:00.000+0000`, and the same with `Z` or `+00:00`.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom("not a date and time"))
}

/// A deleted record as sent.
#[derive(Deserialize)]
struct Sent {
    id: String,
    #[serde(rename = "deletedDate")]
    deleted_date: String,
}

impl<'de> Deserialize<'de> for DeletedRecords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = DeletedRecords;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of deleted records")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<DeletedRecords, A::Error> {
                let mut records = DeletedRecords::default();
                while let Some(Sent { id, deleted_date }) = list.next_element()? {
                    records
                        .push(&id, &deleted_date)
                        .ok_or_else(|| A::Error::custom("not a deleted record"))?;
                }
                Ok(records)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(start: &str, end: &str) -> Option<LogWindow> {
        LogWindow::new(at(start), at(end))
    }

    #[test]
    fn a_window_has_whole_minutes_and_more_than_one() {
        let day = |time: &str| format!("2026-11-22T{time}Z");
        for (start, end, expected) in [
            ("01:00:00", "01:02:00", Some(("01:00:00", "01:02:00"))),
            ("01:00:59.999", "01:02:59.999", Some(("01:00:00", "01:02:00"))),
            ("01:00:59", "01:01:59", None),
            ("01:00:00", "01:00:00", None),
            ("01:02:00", "01:00:00", None),
        ] {
            let expected = expected.map(|(start, end)| (at(&day(start)), at(&day(end))));
            let found = window(&day(start), &day(end)).map(|window| (window.start(), window.end()));
            assert_eq!(found, expected, "{start} to {end}");
        }
        assert_eq!(whole_minute(at("1969-12-31T23:59:00.5Z")), at("1969-12-31T23:59:00Z"));
        assert_eq!(whole_minute(at("1969-12-31T23:58:59.5Z")), at("1969-12-31T23:58:00Z"));
    }

    #[test]
    fn a_window_is_halved_until_the_org_would_refuse_it() {
        let mut windows = vec![window("2026-11-22T01:00:00Z", "2026-11-22T01:09:00Z").unwrap()];
        let mut whole = Vec::new();
        while let Some(window) = windows.pop() {
            match window.halves() {
                Some((first, second)) => windows.extend([second, first]),
                None => whole.push((window.start().to_string(), window.end().to_string())),
            }
        }
        let minutes = [(0, 2), (2, 4), (4, 6), (6, 9)];
        let minute = |minute: u32| format!("2026-11-22T01:0{minute}:00Z");
        assert_eq!(whole, minutes.map(|(start, end)| (minute(start), minute(end))));
    }

    #[test]
    fn the_call_has_the_documented_form() {
        let window = window("2013-05-05T00:00:00Z", "2013-05-10T13:07:00Z").unwrap();
        assert_eq!(
            deleted("62.0", "Invoice__c", &window).path,
            "/services/data/v62.0/sobjects/Invoice__c/deleted/\
             ?start=2013-05-05T00%3A00%3A00%2B00%3A00&end=2013-05-10T13%3A07%3A00%2B00%3A00"
        );
    }

    #[test]
    fn the_documented_response_is_read() {
        // The sample of the REST API guide, with a second record and keys that this version does not know.
        let body = br#"{ "deletedRecords" : [
            { "id" : "a00D0000008pQRAIA2", "deletedDate" : "2013-05-07T22:07:19.000+0000" },
            { "deletedDate" : "2013-05-08T22:07:19Z", "id" : "a00D0000008pQRB", "by": {"x": [1e999]} } ],
            "earliestDateAvailable" : "2013-05-03T15:57:00.000+0000",
            "latestDateCovered" : "2013-05-08T21:20:00.000+00:00", "more": null }"#;
        let page = read_deleted(body).unwrap();
        let records: Vec<_> = page.records.iter().collect();
        let first = DeletedRecord {
            id: "a00D0000008pQRAIA2",
            deleted_date: "2013-05-07T22:07:19.000+0000",
            deleted_at: at("2013-05-07T22:07:19Z"),
        };
        let second = DeletedRecord {
            id: "a00D0000008pQRB",
            deleted_date: "2013-05-08T22:07:19Z",
            deleted_at: at("2013-05-08T22:07:19Z"),
        };
        assert_eq!(records, [first, second]);
        assert_eq!(page.earliest_date_available, at("2013-05-03T15:57:00Z"));
        assert_eq!(page.latest_date_covered, at("2013-05-08T21:20:00Z"));
        let mut twice = page.records.clone();
        twice.append(&page.records);
        assert_eq!(twice.iter().collect::<Vec<_>>(), [first, second, first, second]);
    }

    #[test]
    fn a_response_that_is_not_a_log_is_not_an_empty_one() {
        let log = |records: &str, earliest: &str, latest: &str| {
            format!(
                r#"{{"deletedRecords":{records},"earliestDateAvailable":{earliest},"latestDateCovered":{latest}}}"#
            )
        };
        let date = r#""2013-05-03T15:57:00.000+0000""#;
        assert!(read_deleted(log("[]", date, date).as_bytes()).unwrap().records.is_empty());
        for body in [
            log("null", date, date),
            log("[]", "null", date),
            log("[]", date, "\"soon\""),
            log(r#"[{"id":"a00D0000008pQRAIA2"}]"#, date, date),
            log(r#"[{"id":"a00D0000008pQRAIA2","deletedDate":"today"}]"#, date, date),
            log(r#"[{"id":"=1+2,3\n4567890123","deletedDate":"2013-05-07T22:07:19Z"}]"#, date, date),
            log(r#"[{"id":"","deletedDate":"2013-05-07T22:07:19Z"}]"#, date, date),
            "{}".to_owned(),
            "[]".to_owned(),
        ] {
            assert_eq!(read_deleted(body.as_bytes()).unwrap_err().kind, FaultKind::InvalidResponse, "{body}");
        }
        let whole = log(r#"[{"id":"a00D0000008pQRAIA2","deletedDate":"2013-05-07T22:07:19Z"}]"#, date, date);
        for end in 0..whole.len() {
            assert_eq!(
                read_deleted(&whole.as_bytes()[..end]).unwrap_err().kind,
                FaultKind::Truncated,
                "{end}"
            );
        }
    }
}
