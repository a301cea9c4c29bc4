//! The pages of a job's result: where each begins and ends, its locator, and what scripted faults change about it.

use std::iter;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{Asked, Job};
use crate::demo_org::data::RecordId;
use crate::demo_org::fault::Fault;
use crate::demo_org::query::Distortion;
use crate::demo_org::{Org, lock};

/// What the header of the last page says instead of a locator.
const LAST: &str = "null";

/// A page of a result.
#[derive(Debug)]
pub(in crate::demo_org) struct Page {
    /// The places of its rows.
    pub(in crate::demo_org) rows: Vec<Range<usize>>,
    /// Where the next one begins.
    pub(in crate::demo_org) next: Option<usize>,
    /// How many rows its header says that it has.
    pub(in crate::demo_org) told: i64,
    /// What its header says of the next one; `None` for no such header.
    pub(in crate::demo_org) locator: Option<String>,
    /// How many rows it might have.
    most: usize,
}

impl Page {
    /// The page that begins with row `from` and has as many rows as it may.
    pub(in crate::demo_org) fn of(job: &Job, from: usize, most: usize) -> Self {
        let from = from.min(job.len());
        let end = job.chunk_end(from).min(from.saturating_add(most.max(1))).min(job.len());
        let next = (end < job.len()).then_some(end);
        let locator = next.map_or_else(|| LAST.to_owned(), |next| locator_of(job, next));
        Self {
            told: (end - from) as i64,
            next,
            locator: Some(locator),
            rows: iter::once(from..end).collect(),
            most,
        }
    }

    /// What scripted faults change about it.
    pub(in crate::demo_org) fn distort(&mut self, org: &Org, job: &Job, own: usize, faults: &[Fault]) {
        let distortion = Distortion::of(faults);
        let first = self.rows[0].clone();
        if distortion.is_endless() {
            *self = Self::of(job, 0, self.most);
            if distortion.empty_pages {
                (self.rows, self.told) = (Vec::new(), 0);
            }
            self.locator = Some(locator_of(job, own + 1));
        } else if first.end >= distortion.stop_after {
            self.rows[0].end = distortion.stop_after.max(first.start);
            self.told = self.rows[0].len() as i64;
            self.locator = Some(LAST.to_owned());
        }
        if let (Some(text), Some(next)) = (distortion.locator, self.next) {
            let sent = format!("{text}-{next}");
            lock(&org.aliases).insert(sent.clone(), locator_of(job, next));
            self.locator = Some(sent);
        }
        for fault in faults {
            match fault {
                Fault::MissingRows(missing) => {
                    let Some(rows) = self.rows.first_mut() else { continue };
                    rows.end = rows.end.saturating_sub(*missing).max(rows.start);
                }
                Fault::DoubledRows(doubled) => {
                    let Some(&Range { start, end }) = self.rows.first() else { continue };
                    self.rows.push(start..end.min(start + doubled));
                }
                Fault::NumberOfRecords(off) => self.told += off,
                Fault::NoNextUrl => self.locator = None,
                Fault::DoneEarly => self.locator = Some(LAST.to_owned()),
                Fault::NextUrl(text) => self.locator = Some(text.clone()),
                Fault::RepeatedLocator => self.locator = Some(locator_of(job, own)),
                _ => {}
            }
        }
    }

    /// What its bytes depend on: not on the job, so another run of the same query finds them.
    pub(in crate::demo_org) fn rendering(&self, job: &Job, compressed: bool) -> String {
        let Asked { soql, all_rows, version: (version, _), style, .. } = &job.asked;
        format!("bulk {compressed} {version} {all_rows} {style:?} {:?} {soql}", self.rows)
    }
}

/// The locator of the page that begins at a place of a result: base64 without padding, as the service has them.
pub(in crate::demo_org) fn locator_of(job: &Job, place: usize) -> String {
    if job.is_chunked() {
        return STANDARD_NO_PAD.encode(format!("0:{}:1", RecordId::new("0Ga", place)));
    }
    plain_locator(place)
}

/// The locator of a list, or of a result without chunks.
pub(in crate::demo_org) fn plain_locator(place: usize) -> String {
    STANDARD_NO_PAD.encode(place.to_string())
}

/// The place encoded in a locator from [`locator_of`].
pub(in crate::demo_org) fn read_locator(locator: &str) -> Option<usize> {
    let text = String::from_utf8(STANDARD_NO_PAD.decode(locator).ok()?).ok()?;
    match text.strip_prefix("0:").and_then(|rest| rest.strip_suffix(":1")) {
        Some(id) => RecordId::parse(id).map(RecordId::index),
        None => text.parse().ok(),
    }
}
