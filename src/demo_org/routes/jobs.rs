//! `/jobs/query`: query jobs of Bulk API 2.0 and their results.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::parameters;
use crate::demo_org::bulk::{Asked, Fate, Job, Page, State, locator_of, plain_locator, read_locator};
use crate::demo_org::data::RecordId;
use crate::demo_org::fault::Fault;
use crate::demo_org::query::Distortion;
use crate::demo_org::refusal::Refusal;
use crate::demo_org::render::csv::Style;
use crate::demo_org::render::{json, push};
use crate::demo_org::reply::{Reply, accepts_gzip, gzip};
use crate::demo_org::{Org, Request, lock};

/// The first version with these resources, and the first with `resultPages`.
const SINCE: u32 = 47;
const PAGES_SINCE: u32 = 58;
/// The most jobs on a page of the list, and the most links on one of result pages.
const LISTED: usize = 1000;
const LINKS: usize = 5;

/// Names and bytes of the delimiters.
const DELIMITERS: [(&str, u8); 6] = [
    ("BACKQUOTE", b'`'),
    ("CARET", b'^'),
    ("COMMA", b','),
    ("PIPE", b'|'),
    ("SEMICOLON", b';'),
    ("TAB", b'\t'),
];
const LINE_ENDINGS: [(&str, &str); 2] = [("LF", "\n"), ("CRLF", "\r\n")];

/// A request about query jobs and what it meets.
pub(super) struct Asking<'a> {
    pub(super) org: &'a Org,
    pub(super) request: &'a Request,
    pub(super) faults: &'a [Fault],
    /// As in `60.0`, and its number.
    pub(super) version: (&'a str, u32),
}

/// Responds to a request for what is below `jobs/query`.
pub(super) fn jobs(asking: &Asking<'_>, rest: &[&str]) -> Reply {
    let (Asking { org, request, .. }, method) = (asking, asking.request.method.as_str());
    if asking.version.1 < SINCE {
        return Reply::not_found();
    }
    let [id, rest @ ..] = rest else {
        return match method {
            "POST" => asking.create().unwrap_or_else(Reply::refused),
            "GET" | "HEAD" => list(org, request),
            _ => not_allowed(method, "HEAD,GET,POST"),
        };
    };
    asking.happen(id);
    let Some(job) = org.jobs.find(id) else { return Reply::not_found() };
    match (rest, method) {
        (["resultPages"], _) if asking.version.1 < PAGES_SINCE => Reply::not_found(),
        ([], "GET" | "HEAD") => {
            let state = job.poll(&org.options.bulk);
            Reply::json(asking.described(&job, &state))
        }
        ([], "PATCH") => asking.abort(&job),
        ([], "DELETE") => asking.delete(&job),
        ([], _) => not_allowed(method, "HEAD,GET,PATCH,DELETE"),
        (["results"], "GET" | "HEAD") => asking.results(&job).unwrap_or_else(Reply::refused),
        (["resultPages"], "GET" | "HEAD") => asking.pages(&job).unwrap_or_else(Reply::refused),
        (["results" | "resultPages"], _) => not_allowed(method, "HEAD,GET"),
        _ => Reply::not_found(),
    }
}

fn not_allowed(method: &str, allowed: &str) -> Reply {
    let message = format!("HTTP Method '{method}' not allowed. Allowed are {allowed}");
    Reply::error(405, "METHOD_NOT_ALLOWED", &message).with_header("Allow", allowed)
}

/// The body of a creation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Creation {
    operation: String,
    query: String,
    content_type: Option<String>,
    column_delimiter: Option<String>,
    line_ending: Option<String>,
}

/// The body of a change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    state: String,
}

fn read<'r, T: Deserialize<'r>>(request: &'r Request) -> Result<T, Refusal> {
    serde_json::from_slice(&request.body)
        .map_err(|error| Refusal::new("JSON_PARSER_ERROR", error.to_string()))
}

/// The entry of this name in a list of names, of which the first is taken where none is asked for.
fn named<T: Copy>(
    key: &str,
    asked: Option<&str>,
    otherwise: &'static str,
    known: &[(&'static str, T)],
) -> Result<(&'static str, T), Refusal> {
    let name = asked.unwrap_or(otherwise);
    known
        .iter()
        .find(|(known, _)| *known == name)
        .copied()
        .ok_or_else(|| Refusal::new("JSON_PARSER_ERROR", format!("'{name}' is not a valid value of {key}")))
}

impl Asking<'_> {
    /// What scripted faults do to a job before a request about it is looked at.
    fn happen(&self, id: &str) {
        let Some(job) = self.org.jobs.find(id) else { return };
        for fault in self.faults {
            match fault {
                Fault::Job(Fate::IsDeleted) => {
                    self.org.jobs.delete(id);
                }
                Fault::Job(fate) => {
                    job.suffer(fate.clone());
                }
                _ => {}
            }
        }
    }

    fn create(&self) -> Result<Reply, Refusal> {
        let creation: Creation = read(self.request)?;
        let all_rows = match creation.operation.as_str() {
            "query" => false,
            "queryAll" => true,
            other => {
                let message = format!("'{other}' is not a valid value of operation");
                return Err(Refusal::new("JSON_PARSER_ERROR", message));
            }
        };
        named("contentType", creation.content_type.as_deref(), "CSV", &[("CSV", ())])?;
        let (delimiter, byte) =
            named("columnDelimiter", creation.column_delimiter.as_deref(), "COMMA", &DELIMITERS)?;
        let (line_ending, line_end) =
            named("lineEnding", creation.line_ending.as_deref(), "LF", &LINE_ENDINGS)?;
        let style = Style {
            delimiter: byte,
            line_end,
            whole_as_doubles: self.org.options.bulk.whole_as_doubles,
            long_texts: 0,
        };
        let version = (self.version.0.to_owned(), self.version.1);
        let asked = Asked { soql: creation.query, all_rows, version, delimiter, line_ending, style };
        let job = self.org.jobs.create(self.org, asked)?;
        let id = job.id.to_string();
        if self.org.options.prerender {
            self.prerender(&job);
        }
        let mut body = Vec::new();
        open(&mut body, &job, &State::UploadComplete);
        style_of(&mut body, &job);
        body.push(b'}');
        self.happen(&id);
        Ok(Reply::json(body))
    }

    /// The whole description of a job.
    fn described(&self, job: &Job, state: &State) -> Vec<u8> {
        let mut body = Vec::new();
        open(&mut body, job, state);
        body.extend_from_slice(b",\"jobType\":\"V2Query\"");
        style_of(&mut body, job);
        if let State::Failed(Some(message)) = state {
            body.extend_from_slice(b",\"errorMessage\":");
            json::string(&mut body, message);
        }
        let right = if *state == State::JobComplete { job.len() as i64 } else { 0 };
        let told = self.faults.iter().find_map(|fault| match fault {
            Fault::TotalSize(rows) => Some(*rows),
            _ => None,
        });
        let (rows, (_, took)) = (told.unwrap_or(right), job.times());
        let supported = !job.object().quirks.is_odd;
        push(
            &mut body,
            format_args!(
                r#","numberRecordsProcessed":{rows},"retries":0,"totalProcessingTime":{took},"isPkChunkingSupported":{supported}}}"#
            ),
        );
        body
    }

    /// `PATCH`, which only aborts.
    fn abort(&self, job: &Job) -> Reply {
        let change: Change = match read(self.request) {
            Ok(change) => change,
            Err(refusal) => return Reply::refused(refusal),
        };
        if change.state != "Aborted" {
            let message = format!("'{}' is not a state that a query job can be given", change.state);
            return Reply::refused(Refusal::new("INVALIDJOB", message));
        }
        let options = &self.org.options.bulk;
        if !job.abort(options) {
            let state = job.state(options).as_str();
            let message = format!("Aborting already {state} Job not allowed");
            return Reply::refused(Refusal::new("INVALIDJOBSTATE", message));
        }
        Reply::json(self.described(job, &State::Aborted))
    }

    fn delete(&self, job: &Job) -> Reply {
        let state = job.state(&self.org.options.bulk);
        if state == State::InProgress {
            let message = format!("Deleting {} Job not allowed", state.as_str());
            return Reply::refused(Refusal::new("INVALIDJOBSTATE", message));
        }
        self.org.jobs.delete(&job.id.to_string());
        Reply::no_content()
    }

    /// Whether results may be asked for.
    fn check(&self, job: &Job) -> Result<(), Refusal> {
        if job.asked.version.1 != self.version.1 {
            let message = format!("the job was created with API version {}", job.asked.version.0);
            return Err(Refusal { status: 409, code: "API_ERROR", message });
        }
        let state = job.state(&self.org.options.bulk);
        if state != State::JobComplete {
            let message = format!(
                "can only download query results of successfully completed bulk job with status: JOB_COMPLETE. Current status: {}",
                state.in_capitals()
            );
            return Err(Refusal { status: 412, code: "JOB_NOT_COMPLETE", message });
        }
        Ok(())
    }

    fn results(&self, job: &Job) -> Result<Reply, Refusal> {
        self.check(job)?;
        let distortion = Distortion::of(self.faults);
        let parameters = parameters(self.request.query());
        let parameter =
            |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let asked = match parameter("maxRecords") {
            None => usize::MAX,
            Some(text) => text.parse().ok().filter(|&most| most > 0).ok_or_else(|| {
                Refusal::new("API_ERROR", format!("'{text}' is not a valid value of maxRecords"))
            })?,
        };
        let own = match parameter("locator") {
            None => 0,
            Some(text) => self.place(job, text, distortion.is_endless())?,
        };
        let most = asked.min(self.org.options.bulk.page_rows);
        let mut page = Page::of(job, own, most);
        page.distort(self.org, job, own, self.faults);
        let reply = self.text(job, &page, &distortion);
        let mut reply = reply.with_header("Sforce-NumberOfRecords", &page.told.to_string());
        if let Some(locator) = page.locator {
            reply = reply.with_header("Sforce-Locator", &locator);
        }
        Ok(reply)
    }

    /// The place in the result that a locator leads to.
    fn place(&self, job: &Job, text: &str, is_endless: bool) -> Result<usize, Refusal> {
        let alias = lock(&self.org.aliases).get(text).cloned();
        read_locator(alias.as_deref().unwrap_or(text))
            .filter(|&place| place < job.len() || place == 0 || is_endless)
            // The code is a guess.
            .ok_or_else(|| Refusal::new("INVALID_QUERY_LOCATOR", "invalid query locator"))
    }

    /// The text of a page, kept if it was made beforehand or is to be kept.
    fn text(&self, job: &Job, page: &Page, distortion: &Distortion<'_>) -> Reply {
        let (org, data) = (self.org, &self.org.data);
        let mut style = job.asked.style;
        style.long_texts = distortion.long_texts;
        if !(org.options.prerender && self.faults.is_empty()) {
            return Reply::csv(job.text(data, page.rows.iter().cloned().flatten(), style));
        }
        let compressed = accepts_gzip(self.request);
        let key = page.rendering(job, compressed);
        if let Some(ready) = lock(&org.rendered).get(&key).cloned() {
            return Reply::ready_csv(ready);
        }
        let text = job.text(data, page.rows.iter().cloned().flatten(), style);
        let ready = bytes::Bytes::from(if compressed { gzip(&text) } else { text });
        lock(&org.rendered).insert(key, ready.clone());
        Reply::ready_csv(ready)
    }

    /// Makes and keeps all pages of a result, compressed if this request would have them so.
    fn prerender(&self, job: &Job) {
        let (mut place, distortion) = (0, Distortion::of(&[]));
        loop {
            let page = Page::of(job, place, self.org.options.bulk.page_rows);
            self.text(job, &page, &distortion);
            match page.next {
                Some(next) => place = next,
                None => return,
            }
        }
    }

    /// `resultPages`: links to the next five pages of the size that the service chooses.
    fn pages(&self, job: &Job) -> Result<Reply, Refusal> {
        self.check(job)?;
        let parameters = parameters(self.request.query());
        let locator = parameters.iter().find(|(key, _)| key == "locator");
        let from = match locator {
            None => 0,
            Some((_, text)) => self.place(job, text, false)?,
        };
        let path = format!("/services/data/v{}/jobs/query/{}", self.version.0, job.id);
        let link = |place: usize| {
            let locator = locator_of(job, place);
            utf8_percent_encode(&locator, NON_ALPHANUMERIC).to_string()
        };
        let (mut body, mut place) = (b"{\"resultPages\":[".to_vec(), Some(from));
        for n in 0..LINKS {
            let Some(at) = place else { break };
            body.extend_from_slice(if n > 0 { b"," } else { b"" });
            push(&mut body, format_args!(r#"{{"resultUrl":"{path}/results?locator={}"}}"#, link(at)));
            place = Page::of(job, at, self.org.options.bulk.page_rows).next;
        }
        match place {
            Some(next) => push(
                &mut body,
                format_args!(
                    r#"],"nextRecordsUrl":"{path}/resultPages?locator={}","done":false}}"#,
                    link(next)
                ),
            ),
            None => body.extend_from_slice(br#"],"nextRecordsUrl":null,"done":true}"#),
        }
        Ok(Reply::json(body))
    }
}

/// The keys of a job up to its version.
fn open(out: &mut Vec<u8>, job: &Job, state: &State) {
    let operation = if job.asked.all_rows { "queryAll" } else { "query" };
    let stamp = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M:%S.000+0000").to_string();
    push(
        out,
        format_args!(
            r#"{{"id":"{}","operation":"{operation}","object":"{}","createdById":"{}","createdDate":"{}","systemModstamp":"{}","state":"{}","concurrencyMode":"Parallel","contentType":"CSV","apiVersion":{}"#,
            job.id,
            job.object().name,
            RecordId::new("005", 0),
            stamp(job.created),
            stamp(job.times().0),
            state.as_str(),
            job.asked.version.0,
        ),
    );
}

fn style_of(out: &mut Vec<u8>, job: &Job) {
    let Asked { delimiter, line_ending, .. } = &job.asked;
    push(out, format_args!(r#","lineEnding":"{line_ending}","columnDelimiter":"{delimiter}""#));
}

/// Jobs that others have made: a list without a filter has them too.
const OTHERS: [&str; 2] = [
    r#"{"id":"750Dm00000zzzzyIAA","operation":"insert","object":"Lead","createdById":"005Dm0000000003IAA","createdDate":"2026-03-11T08:00:00.000+0000","systemModstamp":"2026-03-11T08:00:04.000+0000","state":"Open","concurrencyMode":"Parallel","contentType":"CSV","apiVersion":62.0,"jobType":"V2Ingest","lineEnding":"LF","columnDelimiter":"COMMA"}"#,
    r#"{"id":"750Dm00000zzzzzIAA","operation":"query","object":"Lead","createdById":"005Dm0000000003IAA","createdDate":"2026-03-11T09:00:00.000+0000","systemModstamp":"2026-03-11T09:00:09.000+0000","state":"Closed","concurrencyMode":"Serial","contentType":"XML","apiVersion":58.0,"jobType":"Classic"}"#,
];

/// `GET jobs/query`: jobs of all kinds, as far as the filters let them through.
fn list(org: &Org, request: &Request) -> Reply {
    let parameters = parameters(request.query());
    let parameter =
        |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let from = match parameter("queryLocator").map(read_locator) {
        None => 0,
        Some(Some(from)) => from,
        Some(None) => {
            return Reply::refused(Refusal::new("INVALID_QUERY_LOCATOR", "invalid query locator"));
        }
    };
    let chunking = parameter("isPkChunkingEnabled");
    let own = org.jobs.all().into_iter().map(|job| {
        let mut entry = Vec::new();
        open(&mut entry, &job, &job.state(&org.options.bulk));
        entry.extend_from_slice(b",\"jobType\":\"V2Query\"");
        style_of(&mut entry, &job);
        entry.push(b'}');
        (String::from_utf8_lossy(&entry).into_owned(), job.is_chunked())
    });
    let others = OTHERS.into_iter().map(|entry| (entry.to_owned(), false));
    let holds = |entry: &str, key: &str| {
        parameter(key).is_none_or(|value| {
            entry.to_ascii_lowercase().contains(&format!(r#""{key}":"{value}""#).to_ascii_lowercase())
        })
    };
    let entries: Vec<String> = others
        .chain(own)
        .filter(|(entry, _)| holds(entry, "jobType") && holds(entry, "concurrencyMode"))
        .filter(|(_, is_chunked)| chunking.is_none_or(|asked| asked == is_chunked.to_string()))
        .map(|(entry, _)| entry)
        .collect();
    let end = entries.len().min(from + LISTED);
    let done = end == entries.len();
    let next = if done {
        "null".to_owned()
    } else {
        format!("\"{}?queryLocator={}\"", request.path(), plain_locator(end))
    };
    let records = entries.get(from..end).unwrap_or_default().join(",");
    Reply::json(format!(r#"{{"done":{done},"records":[{records}],"nextRecordsUrl":{next}}}"#).into_bytes())
}
