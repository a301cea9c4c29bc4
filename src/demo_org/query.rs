//! Plans → pages: which rows, in which order, how many to a page, and their JSON.

use std::sync::Arc;

use super::column_metadata;
use super::condition::{Operand, sort_key};
use super::data::{DataSet, Row, Value};
use super::fault::Fault;
use super::group::Groups;
use super::plan::{Column, Content, Plan, Planner, Shape};
use super::refusal::Refusal;
use super::render::{self, push};
use super::schema::{Kind, Object};
use super::{Org, lock};

/// The most rows of a grouped query, which cannot be paged.
const MAX_GROUPS: usize = 2000;

/// An open query: what is still to be sent.
#[derive(Debug)]
pub(super) struct Cursor {
    plan: Arc<Plan>,
    selection: Selection,
    version: String,
    all_rows: bool,
    batch: usize,
    /// Whether it belongs to a child query.
    pub(super) is_child: bool,
}

/// The rows of a result, in their order.
#[derive(Debug)]
pub(super) enum Selection {
    /// All of an object's records: nothing is kept of them.
    Every { deleted_too: bool, from: usize, count: usize },
    /// The numbers of some.
    Some(Vec<u32>),
}

impl Selection {
    fn len(&self) -> usize {
        match self {
            Self::Every { count, .. } => *count,
            Self::Some(rows) => rows.len(),
        }
    }

    fn row<'d>(&self, data: &'d DataSet, object: &'static Object, n: usize) -> Row<'d> {
        let index = match self {
            Self::Every { deleted_too: true, from, .. } => from + n,
            Self::Every { deleted_too: false, from, .. } => DataSet::live_index(object, from + n),
            Self::Some(rows) => rows[n] as usize,
        };
        Row { data, object, index }
    }

    pub(super) fn rows<'d>(
        &'d self,
        data: &'d DataSet,
        object: &'static Object,
    ) -> impl Iterator<Item = Row<'d>> + 'd {
        (0..self.len()).map(move |n| self.row(data, object, n))
    }
}

/// A page, before its envelope.
#[derive(Debug)]
pub(super) struct Page {
    total: usize,
    /// The next page's path.
    pub(super) next: Option<String>,
    /// The records, with commas between them.
    records: Vec<u8>,
}

/// How a page is wrapped.
pub(super) struct Envelope<'e> {
    pub(super) pretty: bool,
    pub(super) faults: &'e [Fault],
    /// The page's own path, where it is a further page.
    pub(super) own: Option<&'e str>,
}

impl Page {
    /// The page's JSON.
    pub(super) fn body(&self, envelope: &Envelope<'_>) -> Vec<u8> {
        let mut total = self.total as u64;
        let mut done = self.next.is_none();
        let mut next = self.next.clone();
        let mut order: &[&str] = &["totalSize", "done", "nextRecordsUrl", "records"];
        for fault in envelope.faults {
            match fault {
                Fault::TotalSize(wrong) => total = *wrong,
                Fault::NoNextUrl => (done, next) = (false, None),
                Fault::DoneEarly => (done, next) = (true, None),
                Fault::RepeatedLocator => {
                    if let Some(own) = envelope.own {
                        (done, next) = (false, Some(own.to_owned()));
                    }
                }
                Fault::NextUrl(url) => (done, next) = (false, Some(url.clone())),
                Fault::KeyOrder(keys) => order = keys,
                _ => {}
            }
        }
        let mut out = Vec::with_capacity(self.records.len() + 160);
        out.push(b'{');
        for key in order {
            let start = out.len();
            if start > 1 {
                out.push(b',');
            }
            match *key {
                "totalSize" => push(&mut out, format_args!("\"totalSize\":{total}")),
                "done" => push(&mut out, format_args!("\"done\":{done}")),
                "records" => {
                    out.extend_from_slice(b"\"records\":[");
                    out.extend_from_slice(&self.records);
                    out.push(b']');
                }
                "nextRecordsUrl" if next.is_some() => {
                    out.extend_from_slice(b"\"nextRecordsUrl\":");
                    render::string(&mut out, next.as_deref().unwrap_or_default());
                }
                _ => out.truncate(start),
            }
        }
        out.push(b'}');
        if envelope.pretty { render::pretty(&out) } else { out }
    }
}

/// Runs a query and gives its first page.
pub(super) fn start(
    org: &Org,
    text: &str,
    version: &str,
    all_rows: bool,
    batch: usize,
) -> Result<Page, Refusal> {
    let plan = Planner::plan(&org.data, text, all_rows)?;
    match &plan.shape {
        Shape::Count => {
            let selection = select(&org.data, &plan, all_rows);
            Ok(Page { total: selection.len(), next: None, records: Vec::new() })
        }
        Shape::Groups(groups) => grouped(org, &plan, groups, version, all_rows),
        Shape::Records(columns) => {
            let batch = shrunk(columns, batch, org.options.page_size);
            let selection = select(&org.data, &plan, all_rows);
            let cursor = Cursor {
                plan: Arc::new(plan),
                selection,
                version: version.to_owned(),
                all_rows,
                batch,
                is_child: false,
            };
            Ok(first_of(org, cursor).0)
        }
    }
}

/// Where a request for records leads: the locator, or nothing in a first page's request; `None` for any other
/// request.
pub(super) fn requested(path: &str) -> Option<&str> {
    let (_, rest) = path.strip_prefix("/services/data/")?.split_once('/')?;
    let (resource, locator) = rest.split_once('/').unwrap_or((rest, ""));
    matches!(resource, "query" | "queryAll").then_some(locator)
}

/// Whether a locator is a child query's.
pub(super) fn is_of_children(org: &Org, locator: &str) -> bool {
    let id = locator.split('-').next().unwrap_or_default();
    lock(&org.cursors).get(id).is_some_and(|cursor| cursor.is_child)
}

/// The page that a locator (`0r8...-2000`) leads to.
pub(super) fn resume(org: &Org, locator: &str, version: &str) -> Option<Page> {
    let (id, offset) = locator.rsplit_once('-')?;
    let offset: usize = offset.parse().ok()?;
    let cursor = lock(&org.cursors).get(id).cloned()?;
    if offset > cursor.selection.len() || cursor.version != version {
        return None;
    }
    Some(page(org, &cursor, Some(id), offset).0)
}

/// A cursor's first page, and how many of its rows that holds; the cursor is kept if there are more.
fn first_of(org: &Org, cursor: Cursor) -> (Page, usize) {
    let cursor = Arc::new(cursor);
    let (mut page, sent) = page(org, &cursor, None, 0);
    if sent < cursor.selection.len() {
        let id = locator(org);
        page.next = Some(format!("/services/data/v{}/query/{id}-{sent}", cursor.version));
        lock(&org.cursors).insert(id, cursor);
    }
    (page, sent)
}

/// 18 characters that begin `0r8`, as today's locators do.
fn locator(org: &Org) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut id = b"0r8Dm0000000000QAS".to_vec();
    let mut rest = org.serial();
    for digit in id[5..15].iter_mut().rev() {
        *digit = DIGITS[rest % 62];
        rest /= 62;
    }
    String::from_utf8_lossy(&id).into_owned()
}

/// The rows from `offset` on that fit a page, and where the next begins.
fn page(org: &Org, cursor: &Cursor, id: Option<&str>, offset: usize) -> (Page, usize) {
    let Shape::Records(columns) = &cursor.plan.shape else {
        return (Page { total: 0, next: None, records: Vec::new() }, 0);
    };
    let total = cursor.selection.len();
    let mut writer =
        Writer { org, version: &cursor.version, all_rows: cursor.all_rows, batch: cursor.batch, written: 0 };
    let mut out = Vec::with_capacity(cursor.batch.min(total - offset) * (40 + 24 * columns.len()));
    let mut next = offset;
    // Children count towards the batch; a page holds at least one record.
    while next < total && writer.written < cursor.batch {
        if next > offset {
            out.push(b',');
        }
        writer.record(&mut out, cursor.selection.row(&org.data, cursor.plan.object, next), columns);
        next += 1;
    }
    let url =
        id.filter(|_| next < total).map(|id| format!("/services/data/v{}/query/{id}-{next}", cursor.version));
    (Page { total, next: url, records: out }, next)
}

/// How many records a page may hold, given what they hold: the service sends less of what is wide.
fn shrunk(columns: &[Column], batch: usize, most: usize) -> usize {
    let long = |custom: bool| {
        columns
            .iter()
            .filter(|column| match column.content {
                Content::Own(super::condition::End::Field(field), _) => {
                    field.kind == Kind::LongText && field.is_custom() == custom
                }
                _ => false,
            })
            .count()
    };
    let mut batch = batch;
    if long(false) > 0 {
        batch = batch.min((most / 2).max(1));
    }
    if long(true) >= 2 {
        batch = batch.min(200);
    }
    batch
}

/// The rows that a plan's WHERE, ORDER BY, LIMIT and OFFSET leave.
pub(super) fn select(data: &DataSet, plan: &Plan, all_rows: bool) -> Selection {
    let deleted_too = all_rows || !plan.object.deletable;
    let limit = plan.limit.unwrap_or(usize::MAX);
    if plan.filter.is_none() && plan.order.is_empty() {
        let all = if deleted_too { data.count(plan.object) } else { data.live_count(plan.object) };
        return Selection::Every {
            deleted_too,
            from: plan.offset,
            count: all.saturating_sub(plan.offset).min(limit),
        };
    }
    let rows = (0..data.count(plan.object)).map(|index| Row { data, object: plan.object, index });
    Selection::Some(picked(plan, rows, all_rows))
}

/// The same, of rows that are at hand.
fn picked<'d>(plan: &Plan, rows: impl Iterator<Item = Row<'d>>, all_rows: bool) -> Vec<u32> {
    let limit = plan.limit.unwrap_or(usize::MAX);
    let fitting = rows.filter(|row| {
        (all_rows || !row.is_deleted())
            && plan
                .filter
                .as_ref()
                .is_none_or(|filter| filter.holds(&|operand: &Operand| operand.of_row(*row)))
    });
    let number = |row: Row<'_>| row.index as u32;
    if plan.order.is_empty() {
        return fitting.skip(plan.offset).take(limit).map(number).collect();
    }
    let mut keyed: Vec<(Vec<Value>, u32)> = fitting
        .map(|row| {
            let keys = plan.order.iter().map(|order| sort_key(order.operand.of_row(row))).collect();
            (keys, number(row))
        })
        .collect();
    // Stable: what the order leaves open stays in the order of the ids.
    keyed.sort_by(|(a, _), (b, _)| {
        plan.order
            .iter()
            .zip(a.iter().zip(b))
            .map(|(order, (a, b))| order.compare(a, b))
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    keyed.into_iter().skip(plan.offset).take(limit).map(|(_, index)| index).collect()
}

fn grouped(org: &Org, plan: &Plan, groups: &Groups, version: &str, all_rows: bool) -> Result<Page, Refusal> {
    let rows = Plan {
        object: plan.object,
        shape: Shape::Count,
        filter: None,
        order: Vec::new(),
        limit: None,
        offset: 0,
    };
    let every = select(&org.data, &rows, all_rows);
    let fitting = every.rows(&org.data, plan.object).filter(|row| {
        plan.filter.as_ref().is_none_or(|filter| filter.holds(&|operand: &Operand| operand.of_row(*row)))
    });
    let mut found = groups.run(fitting);
    found.sort_by(|a, b| {
        plan.order
            .iter()
            .map(|order| {
                let of = |group: &super::group::Group| sort_key(group.value(&order.operand));
                order.compare(&of(a), &of(b))
            })
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let found: Vec<_> = found.into_iter().skip(plan.offset).take(plan.limit.unwrap_or(usize::MAX)).collect();
    if found.len() > MAX_GROUPS {
        return Err(Refusal::new(
            "EXCEEDED_ID_LIMIT",
            "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch",
        ));
    }
    let mut out = Vec::new();
    for (n, group) in found.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"attributes\":{\"type\":\"AggregateResult\"}");
        for column in &groups.columns {
            render::key(&mut out, &column.key);
            let mut value = group.value(&column.operand);
            if column.formatted {
                let kind = match &column.operand {
                    Operand::Aggregate(number) => groups.aggregates[*number].field_kind(),
                    _ => Kind::Text,
                };
                value = formatted(value, kind);
            }
            render::value(&mut out, &value, version);
        }
        out.push(b'}');
    }
    Ok(Page { total: found.len(), next: None, records: out })
}

/// Writes records.
struct Writer<'w> {
    org: &'w Org,
    version: &'w str,
    all_rows: bool,
    batch: usize,
    /// Records written so far, children too.
    written: usize,
}

impl Writer<'_> {
    fn record(&mut self, out: &mut Vec<u8>, row: Row<'_>, columns: &[Column]) {
        self.written += 1;
        self.object(out, row, columns);
    }

    fn object(&mut self, out: &mut Vec<u8>, row: Row<'_>, columns: &[Column]) {
        out.push(b'{');
        render::attributes(out, row.object.name, row.id(), self.version);
        for column in columns {
            render::key(out, &column.key);
            self.content(out, row, &column.content);
        }
        out.push(b'}');
    }

    fn content(&mut self, out: &mut Vec<u8>, row: Row<'_>, content: &Content) {
        match content {
            Content::Own(end, false) => render::value(out, &end.value(row), self.version),
            Content::Own(end, true) => {
                let kind = match end {
                    super::condition::End::Field(field) => field.kind,
                    super::condition::End::Name(_) => Kind::Text,
                };
                render::value(out, &formatted(end.value(row), kind), self.version);
            }
            Content::Aliased(chain, is_formatted) => {
                let value = chain.value(row);
                let value = if *is_formatted { formatted(value, chain.kind()) } else { value };
                render::value(out, &value, self.version);
            }
            Content::Parent(reference, columns) => match parent(row, reference) {
                Some(parent) => self.object(out, parent, columns),
                None => out.extend_from_slice(b"null"),
            },
            Content::TypeOf(reference, branches, otherwise) => match parent(row, reference) {
                Some(parent) => {
                    let branch = branches
                        .iter()
                        .find(|(object, _)| object.name == parent.object.name)
                        .map(|(_, columns)| columns)
                        .or(otherwise.as_ref());
                    self.object(out, parent, branch.map_or(&[], Vec::as_slice));
                }
                None => out.extend_from_slice(b"null"),
            },
            Content::Child(object, field, plan) => self.children(out, row, object, field, plan),
        }
    }

    fn children(
        &mut self,
        out: &mut Vec<u8>,
        row: Row<'_>,
        object: &'static Object,
        field: &'static str,
        plan: &Arc<Plan>,
    ) {
        let children = self.org.data.children_of(row, object, field);
        let rows = picked(plan, children.into_iter(), self.all_rows);
        if rows.is_empty() {
            out.extend_from_slice(b"null");
            return;
        }
        let cursor = Cursor {
            plan: Arc::clone(plan),
            selection: Selection::Some(rows),
            version: self.version.to_owned(),
            all_rows: self.all_rows,
            batch: self.batch,
            is_child: true,
        };
        let (page, sent) = first_of(self.org, cursor);
        self.written += sent;
        out.extend_from_slice(&page.body(&Envelope { pretty: false, faults: &[], own: None }));
    }
}

fn parent<'d>(row: Row<'d>, reference: &super::schema::Field) -> Option<Row<'d>> {
    match (reference.make)(row) {
        Value::Id(id) => row.data.find(id),
        _ => None,
    }
}

/// A value as `FORMAT` shows it to an American: `$44,000.00`, `1,234.5`, `4/10/2025, 3:31 PM`.
fn formatted(value: Value, kind: Kind) -> Value {
    match value {
        Value::Int(number) => grouped_digits(&number.to_string()).into(),
        Value::Double(number) if kind == Kind::Currency => {
            let sign = if number < 0.0 { "-" } else { "" };
            format!("{sign}${}", grouped_digits(&format!("{:.2}", number.abs()))).into()
        }
        Value::Double(number) if kind == Kind::Percent => {
            format!("{}%", grouped_digits(&format!("{number}"))).into()
        }
        Value::Double(number) => grouped_digits(&format!("{number}")).into(),
        Value::Date(day) => format!("{}/{}/{}", day.month(), day.day(), day.year()).into(),
        Value::Datetime(timestamp) => {
            let at = timestamp.to_zoned(jiff::tz::TimeZone::UTC);
            let (hour, half) = (at.hour(), if at.hour() < 12 { "AM" } else { "PM" });
            let hour = if hour % 12 == 0 { 12 } else { hour % 12 };
            format!("{}/{}/{}, {hour}:{:02} {half}", at.month(), at.day(), at.year(), at.minute()).into()
        }
        other => other,
    }
}

/// Commas between thousands.
fn grouped_digits(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let (whole, fraction) =
        digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let mut out = sign.to_owned();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// What `explain=` answers: how the query would be run.
pub(super) fn explain(org: &Org, text: &str) -> Result<Vec<u8>, Refusal> {
    let plan = Planner::plan(&org.data, text, false)?;
    let all = org.data.count(plan.object);
    let mut out = Vec::new();
    push(
        &mut out,
        format_args!(
            r#"{{"plans":[{{"cardinality":{all},"fields":[],"leadingOperationType":"TableScan","notes":[],"relativeCost":1.0,"sobjectCardinality":{all},"sobjectType":"{}"}}],"sourceQuery":"#,
            plan.object.name
        ),
    );
    render::string(&mut out, text);
    out.push(b'}');
    Ok(out)
}

/// What `columns=true` answers: the columns and no rows.
pub(super) fn columns(org: &Org, text: &str) -> Result<Vec<u8>, Refusal> {
    Ok(column_metadata::columns(&Planner::plan(&org.data, text, false)?))
}
