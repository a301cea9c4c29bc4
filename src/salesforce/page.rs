//! One page of a query's result: a pull reader from its bytes to records.
//!
//! It is strict where leniency would lose data: a column that the org left out, a field that the query did not
//! ask for, a key sent twice, a record of another shape are all faults, never guesses.

mod fast_path;
mod tables;

pub use tables::TakeRow;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;

use jiter::Peek;

use super::fault::{Fault, FaultKind, words};
use super::json::Json;
use super::query::{MAX_EMPTY_PAGES, QueryLocator, endless};
use crate::job::{Datetimes, Numbers};
use crate::record::{CellKind, Explanation, JsonForm, Record, Target, ValueError, ValueErrorReason};
use crate::soql::{Columns, Entry, Level, Node};
use crate::value::FieldType;
use crate::value::datetime::{NotADateTime, write_rfc3339};
use crate::value::number::write_plain;

/// What a page says about the whole result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of records in the whole result, the same on every page; that of `SELECT COUNT()` is one. `None` if the
    /// org does not count them: big objects have a `totalSize` of -1.
    pub total_size: Option<u64>,
    /// Where the next page is; `None` on the last.
    pub next: Option<QueryLocator>,
}

/// Fetches a further page of a child query's records, while the record that they belong to is read.
pub type FetchChildren<'f> = dyn FnMut(&QueryLocator) -> Result<Vec<u8>, Fault> + 'f;

/// After so many records that were not as they usually are, a page is no longer expected to hold such.
const MAX_FAST_PATH_MISSES: u32 = 16;

/// Reads a page's records one after the other.
pub struct PageReader<'p> {
    json: Json<'p>,
    columns: &'p Columns,
    head: Head,
    records: Records,
    /// Whether white space stands between the tokens; then JSON that is copied is compacted.
    pretty_printed: bool,
    state: State,
    /// What `SELECT COUNT()` counted, until it has been read.
    count: Option<u64>,
    /// How many records in a row were not as they usually are.
    misses: u32,
    /// One record a level of child queries, to see what each child holds.
    scratch: Vec<Record>,
}

/// Where an envelope has its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Records {
    /// Behind the whole head, nothing of which may follow them.
    Last,
    /// Before the rest of the head, or in the middle of it.
    Earlier,
    /// Nowhere: `records` is null or missing, and there is nothing that it could hold. The envelope has been read to its
    /// end.
    Nowhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the records array.
    Before,
    /// Behind a record.
    Within,
    /// Behind the page's last byte.
    After,
}

impl<'p> PageReader<'p> {
    /// Reads the head of a page of a query with these columns.
    ///
    /// # Errors
    /// If the bytes are not a page: not UTF-8, not JSON, without `totalSize` or `done`, without `records` although there
    /// should be some, not done and without a next page, or with a `nextRecordsUrl` that leads elsewhere.
    pub fn open(bytes: &'p [u8], columns: &'p Columns) -> Result<Self, Fault> {
        if let Err(error) = simdutf8::compat::from_utf8(bytes) {
            let at = error.valid_up_to();
            return Err(Fault::new(FaultKind::Truncated, format!("the response is not UTF-8 at byte {at}")));
        }
        let mut json = Json::new(bytes);
        let (mut head, records) = open_envelope(&mut json, columns.is_count())?;
        // `SELECT COUNT()` sends its number as the total, and no record: it is read as one record that holds it.
        let count = match columns.is_count() {
            true => Some(head.total_size.replace(1).ok_or_else(not_counted)?),
            false => None,
        };
        let pretty_printed = is_pretty_printed(&bytes[..json.position()]);
        Ok(Self {
            json,
            columns,
            head,
            records,
            pretty_printed,
            state: State::Before,
            count,
            misses: 0,
            scratch: Vec::new(),
        })
    }

    /// What the page says about the whole result.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The lone surrogates met so far: each is U+FFFD in a cell, and an escape in copied JSON.
    #[must_use]
    pub fn lone_surrogates(&self) -> u64 {
        self.json.surrogates
    }

    /// Reads the next record into `target`. Returns `false` after the last one, once the whole page has been seen. In
    /// cells, a child query's records become JSON.
    ///
    /// # Errors
    /// If the page is not whole JSON, or the record does not have the query's shape.
    #[inline]
    pub fn read(&mut self, target: Target<'_>, fetch: &mut FetchChildren<'_>) -> Result<bool, Fault> {
        if !self.advance()? {
            let (Target::Cells { record, .. } | Target::Json { record, .. }) = target;
            return Ok(self.counted(record));
        }
        match target {
            Target::Cells { record, watch, form } => self.cells(record, watch, form, fetch)?,
            Target::Json { record, form, out } => {
                self.copy(record, form, fetch, out)?;
                record.set_copied();
            }
        }
        Ok(true)
    }

    fn cells(
        &mut self,
        record: &mut Record,
        watch: Option<u8>,
        form: JsonForm,
        fetch: &mut FetchChildren<'_>,
    ) -> Result<(), Fault> {
        let columns = self.columns;
        record.clear(columns.cells());
        if self.fast(|bytes, at| fast_path::cells(bytes, at, columns.shape(), record, watch)) {
            return complete(columns, record);
        }
        record.clear(columns.cells());
        self.walk(form, fetch).cells(columns.shape(), record)?;
        complete(columns, record)
    }

    fn copy(
        &mut self,
        record: &mut Record,
        form: JsonForm,
        fetch: &mut FetchChildren<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let (columns, start) = (self.columns, out.len());
        if self.fast(|bytes, at| {
            let plain = form.numbers == Numbers::Plain;
            let types = converted_types(columns, form);
            let line = fast_path::Line { out, copied: at, attributes: form.attributes, plain, types };
            fast_path::line(bytes, at, columns.shape(), line)
        }) {
            return Ok(());
        }
        out.truncate(start);
        self.walk(form, fetch).record(columns, record, out)
    }

    /// Makes the one record of `SELECT COUNT()`; returns whether there was one to make.
    #[cold]
    fn counted(&mut self, record: &mut Record) -> bool {
        let Some(count) = self.count.take() else { return false };
        record.clear(self.columns.cells());
        record.fill(0, CellKind::Number, |cell| cell.extend_from_slice(count.to_string().as_bytes()))
    }

    /// Reads a record in one go where it is as records usually are; `read` takes the page and a record's place in
    /// it, and gives the place behind. Gives whether it was; if not, nothing was read.
    #[inline]
    fn fast(&mut self, read: impl FnOnce(&[u8], usize) -> Option<usize>) -> bool {
        if self.pretty_printed || self.misses == MAX_FAST_PATH_MISSES {
            return false;
        }
        let end = read(self.json.bytes(), self.json.position());
        match end {
            Some(end) => {
                self.misses = 0;
                self.json.seek(end);
            }
            None => self.misses += 1,
        }
        end.is_some()
    }

    fn walk<'w, 'f>(&'w mut self, form: JsonForm, fetch: &'w mut FetchChildren<'f>) -> Walk<'w, 'p, 'f> {
        Walk {
            json: &mut self.json,
            form,
            pretty_printed: self.pretty_printed,
            fetch,
            scratch: &mut self.scratch,
            depth: 0,
            later: Vec::new(),
        }
    }

    /// Goes to the next record, or to the page's end.
    fn advance(&mut self) -> Result<bool, Fault> {
        let more = match self.state {
            State::Before if self.records == Records::Nowhere => false,
            State::Before => self.json.array()?,
            State::Within => self.json.array_step()?,
            State::After => return Ok(false),
        };
        self.state = if more { State::Within } else { State::After };
        if !more {
            close_envelope(&mut self.json, self.records, &self.head)?;
            self.json.finish()?;
        }
        Ok(more)
    }
}

/// What `SELECT COUNT()` counted: the `totalSize` of its one page.
///
/// # Errors
/// As [`PageReader::open`], and if the org does not count.
pub fn count(bytes: &[u8]) -> Result<u64, Fault> {
    let (head, _) = open_envelope(&mut Json::new(bytes), true)?;
    head.total_size.ok_or_else(not_counted)
}

#[cold]
fn not_counted() -> Fault {
    Fault::new(FaultKind::InvalidResponse, "the org does not count these records: its totalSize is -1")
        .hint("select fields instead of COUNT()")
}

/// The locator of the next page, as soon as a page's first bytes tell it; `None` where they do not (yet): the key
/// has not arrived, stands behind the records, or is not there.
#[must_use]
pub fn next_locator(head: &[u8]) -> Option<QueryLocator> {
    // Any error here is only too few bytes, or the reader's business once they are all there.
    let mut json = Json::new(head);
    let (mut next, mut done) = (None, None);
    let mut key = json.object().ok()?;
    while let Some(name) = key {
        match &head[name] {
            b"records" => return None,
            b"nextRecordsUrl" => next = QueryLocator::parse(&json.string(text).ok()?).ok(),
            b"done" => done = json.boolean().ok(),
            _ => {
                json.skip().ok()?;
            }
        }
        if next.is_some() && done == Some(false) {
            return next;
        }
        key = json.next_key().ok()?;
    }
    None
}

/// Reads `{"totalSize":..,"done":..,"nextRecordsUrl":..,"records":` in any order, and stops before the records.
/// `is_count` says that there are none beside the number that was asked for.
fn open_envelope(json: &mut Json<'_>, is_count: bool) -> Result<(Head, Records), Fault> {
    let bytes = json.bytes();
    let surrogates = json.surrogates;
    let mut place = Records::Earlier;
    let (mut total_size, mut done, mut next, mut records) = (None, None, None, None);
    if json.peek()? != Peek::Object {
        // HTML and the like are not JSON at all, which is another fault.
        json.skip()?;
        return Err(Fault::new(FaultKind::InvalidResponse, "the response is JSON, but not a query result"));
    }
    let mut key = json.object()?;
    while let Some(name) = key {
        match &bytes[name] {
            b"totalSize" => {
                let size = total_size_of(json)?;
                if total_size.replace(size).is_some() {
                    return Err(twice("totalSize"));
                }
            }
            b"done" => {
                if done.replace(json.boolean()?).is_some() {
                    return Err(twice("done"));
                }
            }
            b"nextRecordsUrl" if json.peek()? == Peek::Null => json.null()?,
            b"nextRecordsUrl" => {
                let url = json.string(text)?;
                if next.replace(url).is_some() {
                    return Err(twice("nextRecordsUrl"));
                }
            }
            b"records" if json.peek()? == Peek::Null => {
                json.null()?;
                if records.replace(None).is_some() {
                    return Err(twice("records"));
                }
            }
            b"records" => {
                if json.peek()? != Peek::Array {
                    json.skip()?;
                    return Err(records_missing());
                }
                if records.replace(Some(json.position())).is_some() {
                    return Err(twice("records"));
                }
                if total_size.is_some() && (done == Some(true) || done == Some(false) && next.is_some()) {
                    place = Records::Last;
                    break;
                }
                // The head goes on behind the records: read it first, and come back.
                json.skip()?;
            }
            _ => {
                json.skip()?;
            }
        }
        key = json.next_key()?;
    }
    let lacks = |key: &str| {
        Fault::new(FaultKind::InvalidResponse, format!("the response is not a query result: it has no {key}"))
    };
    let total_size: Option<u64> = total_size.ok_or_else(|| lacks("totalSize"))?;
    if records.flatten().is_none() {
        // Without a list nothing may be missing from it.
        match records {
            _ if is_count || total_size == Some(0) => place = Records::Nowhere,
            Some(_) => return Err(records_missing()),
            None => return Err(lacks("records")),
        }
    }
    let next = match (done, next) {
        // Only `done` ends a result; a URL beside it means nothing.
        (Some(true), _) => None,
        (Some(false), Some(url)) => Some(QueryLocator::parse(&url)?),
        (Some(false), None) => {
            let what = "the response says that there are more records, but has no nextRecordsUrl";
            return Err(Fault::new(FaultKind::InvalidResponse, what));
        }
        (None, _) => return Err(lacks("done")),
    };
    if let (Records::Earlier, Some(Some(records))) = (place, records) {
        json.seek(records);
        // They are met again when the records are read.
        json.surrogates = surrogates;
    }
    Ok((Head { total_size, next }, place))
}

/// Reads what follows the records, up to the envelope's end. A head that came before them is not said again.
fn close_envelope(json: &mut Json<'_>, place: Records, head: &Head) -> Result<(), Fault> {
    if place == Records::Nowhere {
        return Ok(());
    }
    let (bytes, ahead) = (json.bytes(), place == Records::Last);
    while let Some(name) = json.next_key()? {
        match &bytes[name] {
            b"records" => return Err(twice("records")),
            b"totalSize" if ahead => return Err(twice("totalSize")),
            b"done" if ahead => return Err(twice("done")),
            // Beside `done` a URL means nothing, and null none.
            b"nextRecordsUrl" if ahead && head.next.is_some() && json.peek()? != Peek::Null => {
                return Err(twice("nextRecordsUrl"));
            }
            _ => {
                json.skip()?;
            }
        }
    }
    Ok(())
}

fn twice(key: &str) -> Fault {
    Fault::new(FaultKind::InvalidResponse, format!("the response says {key} twice"))
}

#[cold]
fn records_missing() -> Fault {
    Fault::new(FaultKind::InvalidResponse, "the response's records are not a list")
}

/// A `totalSize`: `None` for -1, by which an org says that it does not count.
fn total_size_of(json: &mut Json<'_>) -> Result<Option<u64>, Fault> {
    let number = json.number()?;
    if number == b"-1" {
        return Ok(None);
    }
    let count = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
    match count {
        Some(count) => Ok(Some(count)),
        None => Err(Fault::new(FaultKind::InvalidResponse, "the response's totalSize is not a count")),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The walk through one record, beside the shape that the query gives it.
struct Walk<'w, 'p, 'f> {
    json: &'w mut Json<'p>,
    form: JsonForm,
    pretty_printed: bool,
    fetch: &'w mut FetchChildren<'f>,
    scratch: &'w mut Vec<Record>,
    depth: usize,
    /// Child queries that were passed over to be read behind their record: their cell, and their place.
    later: Vec<(usize, usize)>,
}

impl Walk<'_, '_, '_> {
    /// Reads an object's values into the cells of a record.
    fn cells(&mut self, level: &Level, record: &mut Record) -> Result<(), Fault> {
        let bytes = self.json.bytes();
        let (mut expected, mut attributes) = (0, false);
        let mut key = self.object()?;
        while let Some(name) = key {
            let name = &bytes[name];
            if name == b"attributes" {
                once(&mut attributes, name)?;
                self.json.skip()?;
            } else {
                let Some(entry) = entry(level, name, &mut expected) else {
                    if level.is_compound() {
                        self.json.skip()?;
                    } else {
                        let column = aliased_column(level, name)?;
                        if !self.is_null_again(column, record)? {
                            self.cell(column, name, record)?;
                        }
                    }
                    key = self.json.next_key()?;
                    continue;
                };
                match &entry.node {
                    Node::Value(column) => self.cell(*column, name, record)?,
                    Node::Parent(parent) => {
                        if self.parent_is_null(parent, name, record)? {
                            self.json.null()?;
                        } else {
                            self.cells(parent, record)?;
                        }
                    }
                    Node::Children { column, columns, table } => {
                        if self.json.peek()? == Peek::Null {
                            self.json.null()?;
                            fill(record, *column, CellKind::Null, name, |_| {})?;
                        } else if table.is_some() {
                            // The Id that their rows begin with may stand behind them.
                            let met = self.json.surrogates;
                            let place = self.json.skip()?.start;
                            self.json.surrogates = met;
                            fill(record, *column, CellKind::Json, name, |_| {})?;
                            self.later.push((*column, place));
                        } else {
                            // The text is gathered aside, because its own records need this walk.
                            let mut list = Vec::new();
                            self.children(columns, &mut list)?;
                            fill(record, *column, CellKind::Json, name, |out| out.append(&mut list))?;
                        }
                    }
                }
            }
            key = self.json.next_key()?;
        }
        absent(level, record);
        Ok(())
    }

    fn cell(&mut self, column: usize, name: &[u8], record: &mut Record) -> Result<(), Fault> {
        let peek = self.json.peek()?;
        match peek {
            Peek::Null => {
                self.json.null()?;
                fill(record, column, CellKind::Null, name, |_| {})
            }
            Peek::String => self.json.string(|text| {
                fill(record, column, CellKind::Text, name, |out| out.extend_from_slice(text))
            })?,
            Peek::True | Peek::False => {
                let text: &[u8] = if self.json.boolean()? { b"true" } else { b"false" };
                fill(record, column, CellKind::Boolean, name, |out| out.extend_from_slice(text))
            }
            Peek::Object | Peek::Array => {
                let value = self.json.known_skip(peek)?;
                let (json, pretty_printed) = (&self.json.bytes()[value], self.pretty_printed);
                fill(record, column, CellKind::Json, name, |out| {
                    let start = out.len();
                    out.extend_from_slice(json);
                    if pretty_printed || memchr::memchr2(b'\n', b'\r', json).is_some() {
                        compact(out, start);
                    }
                })
            }
            _ => {
                let number = self.json.known_number(peek)?;
                fill(record, column, CellKind::Number, name, |out| out.extend_from_slice(number))
            }
        }
    }

    /// Copies a record as one line of JSON.
    fn record(&mut self, columns: &Columns, seen: &mut Record, out: &mut Vec<u8>) -> Result<(), Fault> {
        seen.clear(columns.cells());
        let shape = self.shape(columns)?;
        self.json.peek()?;
        let start = out.len();
        let record = self.json.position();
        let mut copy =
            Copy { out, copied: record, columns, record, types: converted_types(columns, self.form) };
        self.object_copy(shape, seen, &mut copy)?;
        copy.up_to(self.json.bytes(), self.json.position());
        // A page of ours has no white space between its tokens; one that a proxy rewrote may have.
        if self.pretty_printed || memchr::memchr2(b'\n', b'\r', &out[start..]).is_some() {
            compact(out, start);
        }
        complete(columns, seen)
    }

    fn object_copy(&mut self, level: &Level, seen: &mut Record, copy: &mut Copy<'_>) -> Result<(), Fault> {
        let bytes = self.json.bytes();
        let (mut expected, mut attributes) = (0, false);
        let mut key = self.object()?;
        // Where the value before this key ended: what is cut at an object's end takes the comma before it too.
        let mut behind = None;
        while let Some(name) = key {
            let quote = name.start - 1;
            let name = &bytes[name];
            if name == b"attributes" {
                once(&mut attributes, name)?;
            }
            if name == b"attributes" && !self.form.attributes {
                let end = self.json.skip()?.end;
                key = self.json.next_key()?;
                match (&key, behind) {
                    (Some(next), _) => copy.cut(bytes, quote..next.start - 1),
                    (None, Some(behind)) => copy.cut(bytes, behind..end),
                    (None, None) => copy.cut(bytes, quote..end),
                }
                continue;
            }
            if name == b"attributes" {
                self.json.skip()?;
            } else {
                let Some(entry) = entry(level, name, &mut expected) else {
                    let column = aliased_column(level, name)?;
                    if !self.is_null_again(column, seen)? {
                        let is_null = self.json.peek()? == Peek::Null;
                        let kind = if is_null { CellKind::Null } else { CellKind::Text };
                        fill(seen, column, kind, name, |_| {})?;
                        self.value_copy(column, copy)?;
                    }
                    behind = Some(self.json.position());
                    key = self.json.next_key()?;
                    continue;
                };
                match &entry.node {
                    Node::Value(column) => {
                        fill(seen, *column, CellKind::Text, name, |_| {})?;
                        self.value_copy(*column, copy)?;
                    }
                    Node::Parent(parent) => {
                        if self.parent_is_null(parent, name, seen)? {
                            self.json.null()?;
                        } else {
                            self.object_copy(parent, seen, copy)?;
                        }
                    }
                    Node::Children { column, columns, .. } => {
                        fill(seen, *column, CellKind::Json, name, |_| {})?;
                        if self.json.peek()? == Peek::Null {
                            self.json.null()?;
                        } else {
                            copy.up_to(bytes, self.json.position());
                            self.children(columns, copy.out)?;
                            copy.copied = self.json.position();
                        }
                    }
                }
            }
            behind = Some(self.json.position());
            key = self.json.next_key()?;
        }
        absent(level, seen);
        Ok(())
    }

    fn value_copy(&mut self, column: usize, copy: &mut Copy<'_>) -> Result<(), Fault> {
        let peek = self.json.peek()?;
        if is_datetime(copy.types, column) && peek != Peek::Null {
            return self.datetime_copy(column, peek, copy);
        }
        let value = self.json.known_skip(peek)?;
        if peek.is_num() && self.form.numbers == Numbers::Plain {
            let bytes = self.json.bytes();
            copy.up_to(bytes, value.start);
            write_plain(&bytes[value.clone()], copy.out)
                .map_err(|reason| copy.fault(bytes, column, ValueErrorReason::Exponent(reason)))?;
            copy.copied = value.end;
        }
        Ok(())
    }

    /// Writes the value of a datetime column in UTC.
    fn datetime_copy(&mut self, column: usize, peek: Peek, copy: &mut Copy<'_>) -> Result<(), Fault> {
        let bytes = self.json.bytes();
        let start = self.json.position();
        let written = if peek == Peek::String {
            copy.up_to(bytes, start);
            copy.out.push(b'"');
            let written = self.json.string(|text| write_rfc3339(text, copy.out))?;
            copy.out.push(b'"');
            copy.copied = self.json.position();
            written
        } else {
            let value = self.json.known_skip(peek)?;
            Err(NotADateTime::of(&bytes[value]))
        };
        written.map_err(|reason| copy.fault(bytes, column, ValueErrorReason::DateTime(reason)))
    }

    /// Writes the complete records of a child query's result as a JSON list, fetching what the parent's page
    /// does not hold.
    fn children(&mut self, columns: &Columns, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut seen = self.descend();
        out.push(b'[');
        let mut first = true;
        self.child_records(columns, &mut |walk| {
            if !std::mem::replace(&mut first, false) {
                out.push(b',');
            }
            walk.record(columns, &mut seen, out)
        })?;
        out.push(b']');
        self.ascend(seen);
        Ok(())
    }

    /// The record of this depth, to be given back by [`Walk::ascend`].
    fn descend(&mut self) -> Record {
        if self.scratch.len() == self.depth {
            self.scratch.push(Record::default());
        }
        let record = std::mem::take(&mut self.scratch[self.depth]);
        self.depth += 1;
        record
    }

    fn ascend(&mut self, record: Record) {
        self.depth -= 1;
        self.scratch[self.depth] = record;
    }

    /// Reads a child query's result to its end, page by page, and counts it; `each` reads a record.
    fn child_records(
        &mut self,
        columns: &Columns,
        each: &mut dyn FnMut(&mut Walk<'_, '_, '_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let (head, place) = open_envelope(self.json, false)?;
        let mut count = if place == Records::Nowhere { 0 } else { self.each_record(each)? };
        close_envelope(self.json, place, &head)?;

        let mut next = head.next.clone();
        // A circle of pages would never end; a child's pages are few, so that all of them are kept.
        let mut asked: HashSet<QueryLocator> = HashSet::new();
        let mut empty_pages = if count == 0 { 1 } else { 0 };
        while let Some(locator) = next {
            if asked.contains(&locator) {
                return Err(repeated(&locator));
            }
            if empty_pages > MAX_EMPTY_PAGES {
                return Err(endless());
            }
            let bytes = (self.fetch)(&locator)?;
            asked.insert(locator);
            let page = PageReader::open(&bytes, columns)?;
            if page.head.total_size != head.total_size {
                return Err(Fault::new(FaultKind::Miscount, "a child query's pages disagree on totalSize"));
            }
            let mut json = page.json;
            let mut walk = Walk {
                json: &mut json,
                form: self.form,
                pretty_printed: page.pretty_printed,
                fetch: &mut *self.fetch,
                scratch: &mut *self.scratch,
                depth: self.depth,
                later: Vec::new(),
            };
            let records = if page.records == Records::Nowhere { 0 } else { walk.each_record(each)? };
            empty_pages = if records == 0 { empty_pages + 1 } else { 0 };
            count += records;
            if head.total_size.is_some_and(|total| count > total) {
                break;
            }
            close_envelope(walk.json, page.records, &page.head)?;
            walk.json.finish()?;
            self.json.surrogates += json.surrogates;
            next = page.head.next;
        }
        // Without a count of the org's there is nothing to compare with.
        let Some(total) = head.total_size else { return Ok(()) };
        let what = match count.cmp(&total) {
            Ordering::Equal => return Ok(()),
            Ordering::Less => {
                format!("a child query's result is incomplete: {count} of {total} records arrived")
            }
            Ordering::Greater => format!("a child query has {total} records, and {count} or more arrived"),
        };
        Err(Fault::new(FaultKind::Miscount, what))
    }

    fn each_record(
        &mut self,
        each: &mut dyn FnMut(&mut Walk<'_, '_, '_>) -> Result<(), Fault>,
    ) -> Result<u64, Fault> {
        let mut count = 0;
        let mut more = self.json.array()?;
        while more {
            each(self)?;
            count += 1;
            more = self.json.array_step()?;
        }
        Ok(count)
    }

    /// Enters the object that must stand here.
    fn object(&mut self) -> Result<Option<Range<usize>>, Fault> {
        if self.json.peek()? == Peek::Object {
            self.json.object()
        } else {
            self.json.skip()?;
            Err(Fault::new(FaultKind::InvalidResponse, "the response holds a record that is not an object"))
        }
    }

    /// Whether a parent is null; then its columns are filled so.
    fn parent_is_null(&mut self, parent: &Level, name: &[u8], record: &mut Record) -> Result<bool, Fault> {
        let null = self.json.peek()? == Peek::Null;
        if null {
            for column in parent.columns() {
                // The value of an alias may have come in the record itself.
                if !(record.is_null(*column) && parent.is_aliased(*column)) {
                    fill(record, *column, CellKind::Null, name, |_| {})?;
                }
            }
        }
        Ok(null)
    }

    /// Whether the next value is a null for a column that is null already, because its parent is; then it is read.
    fn is_null_again(&mut self, column: usize, record: &Record) -> Result<bool, Fault> {
        let again = record.is_null(column) && self.json.peek()? == Peek::Null;
        if again {
            self.json.null()?;
        }
        Ok(again)
    }

    /// Where in the next record the values are: in a child query that may depend on the record's object.
    fn shape<'c>(&mut self, columns: &'c Columns) -> Result<&'c Level, Fault> {
        if !columns.depend_on_object() || self.json.peek()? != Peek::Object {
            return Ok(columns.shape());
        }
        let (start, met) = (self.json.position(), self.json.surrogates);
        let mut shape = columns.shape();
        let bytes = self.json.bytes();
        let mut key = self.json.object()?;
        while let Some(name) = key {
            if &bytes[name] == b"attributes" {
                shape = self.shape_of_attributes(columns)?;
                break;
            }
            self.json.skip()?;
            key = self.json.next_key()?;
        }
        self.json.seek(start);
        self.json.surrogates = met;
        Ok(shape)
    }

    fn shape_of_attributes<'c>(&mut self, columns: &'c Columns) -> Result<&'c Level, Fault> {
        if self.json.peek()? != Peek::Object {
            return Ok(columns.shape());
        }
        let bytes = self.json.bytes();
        let mut key = self.json.object()?;
        while let Some(name) = key {
            if &bytes[name] == b"type" && self.json.peek()? == Peek::String {
                return self.json.string(|object| columns.shape_of(object));
            }
            self.json.skip()?;
            key = self.json.next_key()?;
        }
        Ok(columns.shape())
    }
}

/// The copying of a record's text but for what is cut out of it or written in another form.
struct Copy<'o> {
    out: &'o mut Vec<u8>,
    copied: usize,
    columns: &'o Columns,
    /// Where the record begins.
    record: usize,
    /// The types of the columns if datetimes are converted, otherwise empty.
    types: &'o [Option<FieldType>],
}

impl Copy<'_> {
    fn up_to(&mut self, bytes: &[u8], end: usize) {
        self.out.extend_from_slice(&bytes[self.copied..end]);
        self.copied = end;
    }

    fn cut(&mut self, bytes: &[u8], what: Range<usize>) {
        self.up_to(bytes, what.start);
        self.copied = what.end;
    }

    /// The fault of a value that cannot be written.
    #[cold]
    fn fault(&self, bytes: &[u8], column: usize, reason: ValueErrorReason) -> Fault {
        let record = name_of(bytes, self.record)
            .map_or_else(|| "a record without an Id".to_owned(), |id| format!("record {id}"));
        value_fault(&ValueError { column, reason }, self.columns, &record)
    }
}

/// The fault of a value that cannot be written as the job wants it, in a record that messages name so.
pub(crate) fn value_fault(error: &ValueError, columns: &Columns, record: &str) -> Fault {
    let Explanation { what, redacted, hint } = error.explain(columns, record);
    Fault { redacted: Some(redacted.into()), ..Fault::new(FaultKind::InvalidResponse, what).hint(hint) }
}

/// The types of the columns if their values are converted by type, otherwise nothing.
fn converted_types(columns: &Columns, form: JsonForm) -> &[Option<FieldType>] {
    match form.datetimes {
        Datetimes::AsSent => &[],
        Datetimes::Rfc3339 => columns.types(),
    }
}

#[inline]
fn is_datetime(types: &[Option<FieldType>], column: usize) -> bool {
    types.get(column) == Some(&Some(FieldType::DateTime))
}

/// How a person finds the record that begins at `at`: by its Id, or else by the end of its URL.
#[cold]
fn name_of(bytes: &[u8], at: usize) -> Option<String> {
    let mut json = Json::new(bytes);
    json.seek(at);
    let (mut id, mut url) = (None, None);
    let mut key = json.object().ok()?;
    while let Some(name) = key {
        let name = &bytes[name];
        match json.peek().ok()? {
            Peek::String if name.eq_ignore_ascii_case(b"Id") => id = json.string(words_of).ok(),
            Peek::Object if name == b"attributes" => url = url_of(&mut json),
            _ => {
                json.skip().ok()?;
            }
        }
        key = json.next_key().ok()?;
    }
    id.or_else(|| url?.rsplit_once('/').map(|(_, id)| id.to_owned()))
}

/// The `url` of a record's attributes.
fn url_of(json: &mut Json<'_>) -> Option<String> {
    let bytes = json.bytes();
    let mut url = None;
    let mut key = json.object().ok()?;
    while let Some(name) = key {
        if &bytes[name] == b"url" && json.peek().ok()? == Peek::String {
            url = json.string(words_of).ok();
        } else {
            json.skip().ok()?;
        }
        key = json.next_key().ok()?;
    }
    url
}

fn words_of(text: &[u8]) -> String {
    words(&String::from_utf8_lossy(text))
}

/// The entry of a key. The org sends them in the query's order, so the next one is looked at first.
fn entry<'l>(level: &'l Level, name: &[u8], expected: &mut usize) -> Option<&'l Entry> {
    let is = |entry: &Entry| entry.key.as_bytes() == name || entry.key.as_bytes().eq_ignore_ascii_case(name);
    let entries = level.entries();
    if let Some(next) = entries.get(*expected).filter(|next| is(next)) {
        *expected += 1;
        return Some(next);
    }
    let found = level.position(name)?;
    *expected = found + 1;
    Some(&entries[found])
}

/// The column of an alias that the org sends in the record itself, though its field is a parent's.
#[cold]
fn aliased_column(level: &Level, name: &[u8]) -> Result<usize, Fault> {
    level.aliased_column(name).ok_or_else(|| {
        let name = printable(name);
        let what = format!("the org sent a field that the query did not ask for: {name}");
        Fault::new(FaultKind::InvalidResponse, what)
    })
}

/// Fills a cell that must be empty: a key that comes twice says two things.
fn fill(
    record: &mut Record,
    column: usize,
    kind: CellKind,
    name: &[u8],
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Fault> {
    if record.fill(column, kind, write) { Ok(()) } else { Err(sent_twice(name)) }
}

/// The same for `attributes`, which has no cell.
fn once(seen: &mut bool, name: &[u8]) -> Result<(), Fault> {
    if std::mem::replace(seen, true) { Err(sent_twice(name)) } else { Ok(()) }
}

#[cold]
fn sent_twice(name: &[u8]) -> Fault {
    let name = printable(name);
    Fault::new(FaultKind::InvalidResponse, format!("the org sent {name} twice in one record"))
}

/// Fills what may be missing: the fields of the TYPEOF branches that a record did not match.
fn absent(level: &Level, record: &mut Record) {
    for entry in level.entries().iter().filter(|entry| entry.optional) {
        let columns = match &entry.node {
            Node::Value(column) => std::slice::from_ref(column),
            // A parent that came, but without all of its columns, is not absent.
            Node::Parent(parent) if parent.columns().iter().all(|column| !record.is_filled(*column)) => {
                parent.columns()
            }
            _ => continue,
        };
        for column in columns {
            record.fill(*column, CellKind::Null, |_| {});
        }
    }
}

/// Every column must have come.
fn complete(columns: &Columns, record: &Record) -> Result<(), Fault> {
    match record.first_empty() {
        None => Ok(()),
        Some(column) => {
            let name = columns.cell_name(column);
            let what = format!("the org sent a record without the column {name}, which the query asked for");
            Err(Fault::new(FaultKind::InvalidResponse, what))
        }
    }
}

/// The fault of a result that leads back to a page already read.
pub(super) fn repeated(locator: &QueryLocator) -> Fault {
    Fault::new(FaultKind::InvalidResponse, format!("the org named the same next page twice: {locator}"))
}

/// A key for a message: what is not printable or too long is cut.
fn printable(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(name) if name.len() <= 80 && !name.contains(char::is_control) => Cow::Borrowed(name),
        _ => Cow::Owned(format!("a key of {} bytes", name.len())),
    }
}

/// Whether white space stands between the tokens of a page, judged by what precedes its records.
fn is_pretty_printed(head: &[u8]) -> bool {
    let mut quoted = false;
    head.iter().any(|byte| {
        quoted ^= *byte == b'"';
        !quoted && byte.is_ascii_whitespace()
    })
}

/// Takes the white space between the tokens out of the JSON text from `start` on.
fn compact(out: &mut Vec<u8>, start: usize) {
    let (mut write, mut quoted, mut escaped) = (start, false, false);
    for read in start..out.len() {
        let byte = out[read];
        if quoted {
            quoted = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte == b'"' {
            quoted = true;
        } else if byte.is_ascii_whitespace() {
            continue;
        }
        out[write] = byte;
        write += 1;
    }
    out.truncate(write);
}
