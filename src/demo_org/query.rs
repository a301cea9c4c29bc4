//! Plans → pages: open queries and their locators, page sizes, and grouped results.

mod page;
mod selection;

use std::sync::Arc;

use percent_encoding::percent_decode_str;

pub(super) use page::{Distortion, Envelope, Page};
pub(super) use selection::{Selection, select};

use super::column_metadata;
use super::condition::{End, Operand, sort_key};
use super::data::Row;
use super::fault::Fault;
use super::group::{Group, Groups};
use super::plan::{Column, Content, Plan, Planner, Shape};
use super::refusal::Refusal;
use super::render::json::{self, Rows};
use super::render::{formatted, push};
use super::routes::parameters;
use super::schema::{Counting, Kind, Object};
use super::{Org, Request, lock};

/// The most rows of a grouped query, which cannot be paged.
const MAX_GROUPS: usize = 2000;

/// An open query: what is still to be sent.
#[derive(Debug)]
pub(super) struct Cursor {
    plan: Arc<Plan>,
    selection: Selection,
    pub(super) version: String,
    all_rows: bool,
    batch: usize,
    /// The text of the query; none of a child query.
    soql: Option<Arc<str>>,
}

impl Cursor {
    /// `totalSize`
    fn total(&self) -> i64 {
        match self.plan.object.quirks.counting {
            Counting::Never => -1,
            Counting::Right | Counting::Short(_) => self.selection.len() as i64,
        }
    }

    /// How many of its rows are sent.
    fn sent(&self) -> usize {
        match self.plan.object.quirks.counting {
            Counting::Short(missing) if self.selection.len() > missing => self.selection.len() - missing,
            _ => self.selection.len(),
        }
    }
}

/// What a request for records asks for.
#[derive(Debug)]
pub(super) enum Requested {
    /// A page of a query, with the query's text where that is known.
    Records(Option<Arc<str>>),
    /// A further page of a child query.
    Children,
}

/// What a request asks for, if it is one for records or a question about a query.
pub(super) fn requested(org: &Org, request: &Request) -> Option<Requested> {
    let (_, rest) = request.path().strip_prefix("/services/data/")?.split_once('/')?;
    let (resource, locator) = rest.trim_end_matches('/').split_once('/').unwrap_or((rest, ""));
    if !matches!(resource.trim_end_matches('/'), "query" | "queryAll") {
        return None;
    }
    if locator.is_empty() {
        let parameters = parameters(request.query());
        let about = |name: &str| parameters.iter().any(|(key, _)| key == name);
        let soql = parameters.iter().find(|(key, _)| key == "q").map(|(_, text)| text.as_str().into());
        return Some(Requested::Records(soql.filter(|_| !about("columns"))));
    }
    let known = open(org, locator).map(|(cursor, ..)| cursor);
    Some(match known.as_deref() {
        Some(Cursor { soql: None, .. }) => Requested::Children,
        Some(cursor) => Requested::Records(cursor.soql.clone()),
        None => Requested::Records(None),
    })
}

/// Runs a query and gives its first page.
pub(super) fn start(
    org: &Org,
    text: &str,
    all_rows: bool,
    (version, batch): (&str, usize),
    faults: &[Fault],
) -> Result<Page, Refusal> {
    let plan = Planner::plan(&org.data, text, all_rows)?;
    match &plan.shape {
        Shape::Count => {
            let selection = select(&org.data, &plan, all_rows);
            Ok(Page { total: selection.len() as i64, next: None, records: Vec::new() })
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
                soql: Some(text.into()),
            };
            Ok(first_of(org, cursor, &Distortion::of(faults)).0)
        }
    }
}

/// The page that a locator (`0r8...-2000`) leads to.
pub(super) fn resume(org: &Org, locator: &str, version: &str, faults: &[Fault]) -> Option<Page> {
    let (cursor, id, offset) = open(org, locator)?;
    let distortion = Distortion::of(faults);
    if cursor.version != version || (offset > cursor.selection.len() && !distortion.is_endless()) {
        return None;
    }
    let (records, _, next) = records(org, &cursor, offset, &distortion);
    let next = next.map(|next| next_url(org, &cursor, &id, next, &distortion));
    Some(Page { total: cursor.total(), next, records })
}

/// The open query that a locator belongs to, the query's own id, and the offset.
fn open(org: &Org, locator: &str) -> Option<(Arc<Cursor>, String, usize)> {
    let sent = percent_decode_str(locator).decode_utf8_lossy();
    let alias = lock(&org.aliases).get(sent.as_ref()).cloned();
    let locator = alias.as_deref().unwrap_or(locator);
    let (id, offset) = locator.rsplit_once('-')?;
    let cursor = lock(&org.cursors).get(id).cloned()?;
    Some((cursor, id.to_owned(), offset.parse().ok()?))
}

/// A query's first page, and how many of its records that holds; the query stays open if there are more.
fn first_of(org: &Org, cursor: Cursor, distortion: &Distortion<'_>) -> (Page, usize) {
    let cursor = Arc::new(cursor);
    let (records, sent, next) = records(org, &cursor, 0, distortion);
    let next = next.map(|next| {
        let id = new_locator(org);
        let url = next_url(org, &cursor, &id, next, distortion);
        lock(&org.cursors).insert(id, Arc::clone(&cursor));
        url
    });
    (Page { total: cursor.total(), next, records }, sent)
}

fn next_url(org: &Org, cursor: &Cursor, id: &str, next: usize, distortion: &Distortion<'_>) -> String {
    let locator = format!("{id}-{next}");
    let sent = match distortion.locator {
        None => locator,
        Some(text) => {
            let sent = format!("{text}-{next}");
            let decoded = percent_decode_str(&sent).decode_utf8_lossy().into_owned();
            lock(&org.aliases).insert(decoded, locator);
            sent
        }
    };
    format!("/services/data/v{}/query/{sent}", cursor.version)
}

/// 18 characters that begin `0r8`, as today's locators do.
fn new_locator(org: &Org) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut id = b"0r8Dm0000000000QAS".to_vec();
    let mut rest = org.serial();
    for digit in id[5..15].iter_mut().rev() {
        *digit = DIGITS[rest % 62];
        rest /= 62;
    }
    String::from_utf8_lossy(&id).into_owned()
}

/// The records from `offset` on that fit a page, how many there are, and where the next page begins. What was
/// deleted after the query was run leaves a gap: it counts towards the page and is not sent.
fn records(
    org: &Org,
    cursor: &Cursor,
    offset: usize,
    distortion: &Distortion<'_>,
) -> (Vec<u8>, usize, Option<usize>) {
    let Shape::Records(columns) = &cursor.plan.shape else { return (Vec::new(), 0, None) };
    let total = cursor.sent().min(distortion.stop_after);
    if distortion.empty_pages {
        return (Vec::new(), 0, Some(offset + 1));
    }
    let start = if distortion.repeated_pages { 0 } else { offset.min(total) };
    let mut rows = Rows::new(org, cursor, distortion);
    let mut out = Vec::with_capacity(cursor.batch.min(total - start) * (40 + 24 * columns.len()));
    let (mut at, mut sent) = (start, 0);
    // Children count towards the batch; a page holds at least one record.
    while at < total && rows.written < cursor.batch {
        let row = cursor.selection.row(&org.data, cursor.plan.object, at);
        at += 1;
        let now = row.now();
        if now.is_purged() || (now.is_deleted() && !cursor.all_rows) {
            rows.written += 1;
            continue;
        }
        if !out.is_empty() {
            out.push(b',');
        }
        rows.record(&mut out, row, columns);
        sent += 1;
    }
    let more = at < total || distortion.repeated_pages;
    (out, sent, more.then_some(offset + at - start))
}

/// A child result, as JSON, and how many records it holds; `None` where there are no children.
pub(super) fn children(
    org: &Org,
    cursor: &Cursor,
    distortion: &Distortion<'_>,
    plan: &Arc<Plan>,
    parent: Row<'_>,
    (object, field): (&'static Object, &'static str),
) -> Option<(Vec<u8>, usize)> {
    let children = org.data.children_of(parent, object, field);
    let selection = selection::picked(plan, children.into_iter(), cursor.all_rows, org.data.has_changed());
    if selection.len() == 0 {
        return None;
    }
    let cursor = Cursor {
        plan: Arc::clone(plan),
        selection,
        version: cursor.version.clone(),
        all_rows: cursor.all_rows,
        batch: cursor.batch,
        soql: None,
    };
    let within = distortion.of_children();
    let (page, sent) = first_of(org, cursor, &within);
    let envelope = Envelope { pretty: false, faults: distortion.in_children, own: None };
    Some((page.body(&envelope), sent))
}

/// How many records a page may hold, given what they hold: the service sends less of what is wide.
fn shrunk(columns: &[Column], batch: usize, most: usize) -> usize {
    let long = |custom: bool| {
        columns
            .iter()
            .filter(|column| match column.content {
                Content::Own(End::Field(field), _) => {
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
                let of = |group: &Group| sort_key(group.value(&order.operand));
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
            json::key(&mut out, &column.key);
            let mut value = group.value(&column.operand);
            if column.formatted {
                let kind = match &column.operand {
                    Operand::Aggregate(number) => groups.aggregates[*number].field_kind(),
                    _ => Kind::Text,
                };
                value = formatted(value, kind);
            }
            json::value(&mut out, &value, version);
        }
        out.push(b'}');
    }
    Ok(Page { total: found.len() as i64, next: None, records: out })
}

/// What `explain=` gives: how the query would be run.
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
    json::string(&mut out, text);
    out.push(b'}');
    Ok(out)
}

/// What `columns=true` gives: the columns and no rows.
pub(super) fn columns(org: &Org, text: &str, faults: &[Fault]) -> Result<Vec<u8>, Refusal> {
    let plan = Planner::plan(&org.data, text, false)?;
    Ok(column_metadata::columns(&plan, Distortion::of(faults).extra_columns))
}
