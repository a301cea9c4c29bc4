//! The calls of a query job, and what an org replies to them. Nothing here says when to make which: `export` does.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::salesforce::call::{Call, Payload};
use crate::salesforce::fault::{ErrorCode, Fault, FaultKind, words};
use crate::salesforce::response::Head;

/// The first API version that lists the pages of a result.
const LISTS_PAGES_SINCE: f64 = 58.0;

/// The longest id or locator that is accepted, in bytes. Real ones have 18 and about 40.
const MAX_TOKEN_BYTES: usize = 1_024;

/// What the last page of a result has instead of a locator.
const NO_MORE: &str = "null";

/// Whether an API version lists the pages of a result, so that several can be fetched at once.
#[must_use]
pub fn lists_pages(api_version: &str) -> bool {
    api_version.parse::<f64>().is_ok_and(|version| version >= LISTS_PAGES_SINCE)
}

/// The call that creates a job. It is not idempotent: each one that the org receives creates a job.
#[must_use]
pub fn create(api_version: &str, all_rows: bool, soql: &str) -> Call<'static> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Create<'q> {
        operation: &'static str,
        query: &'q str,
        content_type: &'static str,
        column_delimiter: &'static str,
        line_ending: &'static str,
    }
    let create = Create {
        operation: if all_rows { "queryAll" } else { "query" },
        query: soql,
        content_type: "CSV",
        column_delimiter: "COMMA",
        line_ending: "LF",
    };
    // Strings always serialize.
    let body = serde_json::to_vec(&create).unwrap_or_default();
    Call::post(format!("/services/data/v{api_version}/jobs/query"), Payload::Json(body.into()))
        .about("the query job")
}

/// An existing job. All its calls must use the API version that created it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryJob {
    /// Its id, which begins with `750`.
    pub id: String,
    /// The API version that created it.
    pub api_version: String,
}

impl QueryJob {
    /// Reads the response to [`create`].
    ///
    /// # Errors
    /// [`FaultKind::Truncated`] if it is not complete JSON; [`FaultKind::InvalidResponse`] if it has no id, or one that cannot
    /// be part of a path.
    pub fn created(body: &[u8], api_version: &str) -> Result<Self, Fault> {
        let created: serde_json::Value = serde_json::from_slice(body).map_err(|_| {
            Fault::new(FaultKind::Truncated, "the org's response to the new query job is not complete")
        })?;
        let id = created.get("id").and_then(serde_json::Value::as_str).map(str::to_owned);
        let is_plain = |id: &String| {
            (1..=MAX_TOKEN_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        match id.filter(is_plain) {
            Some(id) => Ok(Self { id, api_version: api_version.to_owned() }),
            None => {
                Err(Fault::new(FaultKind::InvalidResponse, "the org created a query job without a usable id"))
            }
        }
    }

    /// The call that asks how far the job is; see [`JobStatus::read`].
    #[must_use]
    pub fn status(&self) -> Call<'static> {
        Call::get(self.path()).about("the query job's status")
    }

    /// The call that ends a job that has not ended.
    #[must_use]
    pub fn abort(&self) -> Call<'static> {
        let body = br#"{"state":"Aborted"}"#.as_slice();
        Call::patch(self.path(), Payload::Json(body.into())).about("the end of the query job")
    }

    /// The call that removes an ended job and its result.
    #[must_use]
    pub fn delete(&self) -> Call<'static> {
        Call::delete(self.path()).about("the removal of the query job")
    }

    /// The call for a page of the result: the first one without a locator. `max_records` is a wish that the org may undercut.
    #[must_use]
    pub fn results(&self, locator: Option<&Locator>, max_records: Option<u64>) -> Call<'static> {
        let parameters = [
            locator.map(|locator| format!("locator={}", locator.encoded())),
            max_records.map(|records| format!("maxRecords={records}")),
        ];
        let parameters: Vec<_> = parameters.into_iter().flatten().collect();
        let path = format!("{}/results", self.path());
        let path = if parameters.is_empty() { path } else { format!("{path}?{}", parameters.join("&")) };
        Call::get(path).header("Accept", "text/csv").about("the query job's result").unbounded()
    }

    /// The call for the places of up to five pages; the first ones without a locator. See [`PageList::read`].
    #[must_use]
    pub fn page_list(&self, locator: Option<&Locator>) -> Call<'static> {
        let path = format!("{}/resultPages", self.path());
        let path = match locator {
            Some(locator) => format!("{path}?locator={}", locator.encoded()),
            None => path,
        };
        Call::get(path).about("the list of the query job's result pages")
    }

    fn path(&self) -> String {
        format!("/services/data/v{}/jobs/query/{}", self.api_version, self.id)
    }
}

/// Where a page of a result is: an opaque token, valid as long as the job exists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Locator(String);

impl Locator {
    fn new(token: &str) -> Option<Self> {
        (1..=MAX_TOKEN_BYTES).contains(&token.len()).then(|| Self(token.to_owned()))
    }

    /// The token of a link such as `/services/data/v62.0/jobs/query/750.../results?locator=MTAwMDA`. Only the token is taken
    /// from it, so a link cannot lead elsewhere. `Some(None)`: the link is to the first page.
    fn of_link(link: &str) -> Option<Option<Self>> {
        let Some((_, parameters)) = link.split_once('?') else { return Some(None) };
        let Some(token) = parameters.split('&').find_map(|pair| pair.strip_prefix("locator=")) else {
            return Some(None);
        };
        let token = percent_decode_str(token).decode_utf8().ok()?;
        Some(Some(Self::new(&token)?))
    }

    fn encoded(&self) -> String {
        utf8_percent_encode(&self.0, NON_ALPHANUMERIC).to_string()
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits or works. A state that is not known here counts as this one.
    Running,
    /// Its result can be fetched.
    Complete,
    /// It ended without a result.
    Failed,
    /// Somebody ended it.
    Aborted,
}

/// What an org says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// How far it is.
    pub state: JobState,
    /// `numberRecordsProcessed`: the records of its result.
    pub records: Option<u64>,
    /// Why it failed, in the org's words.
    pub error: Option<String>,
}

impl JobStatus {
    /// Reads the response to [`QueryJob::status`].
    ///
    /// # Errors
    /// [`FaultKind::Truncated`] if it is not the status of a job.
    pub fn read(body: &[u8]) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Said {
            state: String,
            number_records_processed: Option<u64>,
            error_message: Option<String>,
        }
        let said: Said = serde_json::from_slice(body).map_err(|_| {
            Fault::new(FaultKind::Truncated, "the org sent something else than the query job's status")
        })?;
        let state = match said.state.as_str() {
            "JobComplete" => JobState::Complete,
            "Failed" => JobState::Failed,
            "Aborted" | "Abort" => JobState::Aborted,
            _ => JobState::Running,
        };
        let error = said.error_message.filter(|message| !message.trim().is_empty());
        Ok(Self { state, records: said.number_records_processed, error })
    }

    /// The fault of a job that failed.
    #[must_use]
    pub fn failure(&self) -> Fault {
        let Some(message) = &self.error else {
            return Fault::new(FaultKind::Unavailable, "the query job failed, and the org does not say why")
                .hint("run it again; if it fails each time, set api = \"rest\", which may show the reason");
        };
        let code = code_within(message);
        let kind = match &code {
            Some(ErrorCode::QueryTimeout) => FaultKind::QueryTimeout,
            Some(code) if code.is_about_the_query() => FaultKind::QueryRefused,
            _ => FaultKind::Unavailable,
        };
        let what = format!("the query job failed: {}", words(message.trim_end()));
        let redacted = Some("the query job failed".into());
        Fault { code, redacted, ..Fault::new(kind, what) }
            .hint("narrow the query, or set api = \"rest\", which may show another reason")
    }
}

/// Salesforce's code within a message such as `InvalidBatch : Failed to process query: QUERY_TIMEOUT: ...`.
fn code_within(message: &str) -> Option<ErrorCode> {
    let is_code = |word: &&str| {
        word.contains('_') && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let code = message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').find(is_code)?;
    ErrorCode::of(code, "")
}

/// What the head of a result page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageHead {
    /// `Sforce-NumberOfRecords`: the rows of this page.
    pub records: u64,
    /// `Sforce-Locator`: where the next page is; `None` after the last one.
    pub next: Option<Locator>,
}

impl PageHead {
    /// Reads the head of a response to [`QueryJob::results`].
    ///
    /// # Errors
    /// [`FaultKind::InvalidResponse`] if one of the headers is missing: something on the way may have removed it, and without
    /// them nobody knows whether the result is complete.
    pub fn read(head: &Head) -> Result<Self, Fault> {
        let missing = |name: &str| {
            Fault::new(
                FaultKind::InvalidResponse,
                format!("a page of the query job's result has no usable {name} header"),
            )
            .hint("let the proxy pass the headers Sforce-Locator and Sforce-NumberOfRecords, or set api = \"rest\"")
        };
        let records = head.header("sforce-numberofrecords").and_then(|records| records.parse().ok());
        let records = records.ok_or_else(|| missing("Sforce-NumberOfRecords"))?;
        let next = match head.header("sforce-locator") {
            Some(NO_MORE) => None,
            Some(token) => Some(Locator::new(token).ok_or_else(|| missing("Sforce-Locator"))?),
            None => return Err(missing("Sforce-Locator")),
        };
        Ok(Self { records, next })
    }
}

/// Some pages of a result, in their order, and where the next ones are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageList {
    /// The places of the pages; `None` is the first page.
    pub pages: Vec<Option<Locator>>,
    /// The locator of the next list; `None` if this is the last one.
    pub next: Option<Locator>,
}

impl PageList {
    /// Reads the response to [`QueryJob::page_list`]. The documentation spells the keys in two ways, and clients have read
    /// others.
    ///
    /// # Errors
    /// [`FaultKind::Truncated`] if it is not a list of pages.
    pub fn read(body: &[u8]) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Said {
            #[serde(alias = "resultChunks")]
            result_pages: Vec<Page>,
            #[serde(alias = "nextRecordUrl")]
            next_records_url: Option<String>,
            #[serde(default)]
            done: Option<bool>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(alias = "resultLink")]
            result_url: String,
        }
        let read = || {
            let said: Said = serde_json::from_slice(body).ok()?;
            let pages = said.result_pages.iter().map(|page| Locator::of_link(&page.result_url));
            let pages = pages.collect::<Option<Vec<_>>>()?;
            let next = match (said.done, said.next_records_url) {
                (Some(true), _) => None,
                (_, Some(link)) => Some(Locator::of_link(&link)??),
                (Some(false), None) => return None,
                (None, None) => None,
            };
            Some(Self { pages, next })
        };
        read().ok_or_else(|| {
            Fault::new(FaultKind::Truncated, "the org sent something else than a list of result pages")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "750ak000009AVi5AAG";

    fn job() -> QueryJob {
        QueryJob { id: JOB.to_owned(), api_version: "62.0".to_owned() }
    }

    fn locator(token: &str) -> Locator {
        Locator::new(token).unwrap()
    }

    #[test]
    fn a_job_is_created_with_the_query_in_the_body() {
        let call = create("62.0", true, "SELECT Id FROM A WHERE N = '\"ü'");
        assert_eq!(call.path, "/services/data/v62.0/jobs/query");
        let Some(Payload::Json(body)) = call.body else { panic!("a body of JSON") };
        let expected = r#"{"operation":"queryAll","query":"SELECT Id FROM A WHERE N = '\"ü'","contentType":"CSV","columnDelimiter":"COMMA","lineEnding":"LF"}"#;
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
    }

    #[test]
    fn an_id_that_could_change_the_path_is_not_used() {
        let id = |id: &str| QueryJob::created(format!(r#"{{"id" : "{id}", "x":1}}"#).as_bytes(), "62.0");
        assert_eq!(id(JOB), Ok(job()));
        for wrong in ["", "750/../x", "750?", "750%2F", "75\\u0000"] {
            assert_eq!(id(wrong).unwrap_err().kind, FaultKind::InvalidResponse, "{wrong}");
        }
        for wrong in ["[]", r#"{"id":750}"#, "{}"] {
            let fault = QueryJob::created(wrong.as_bytes(), "62.0").unwrap_err();
            assert_eq!(fault.kind, FaultKind::InvalidResponse, "{wrong}");
        }
    }

    #[test]
    fn a_creation_whose_response_is_cut_can_be_repeated() {
        for cut in ["", "{", r#"{"id":"750ak000009A"#] {
            let fault = QueryJob::created(cut.as_bytes(), "62.0").unwrap_err();
            assert_eq!(fault.kind, FaultKind::Truncated, "{cut}");
        }
    }

    #[test]
    fn locators_are_encoded_in_paths() {
        let path = |locator: Option<&Locator>, records| job().results(locator, records).path.into_owned();
        let base = format!("/services/data/v62.0/jobs/query/{JOB}/results");
        assert_eq!(path(None, None), base);
        assert_eq!(path(None, Some(50_000)), format!("{base}?maxRecords=50000"));
        let strange = locator("MDow+R2/FI=&x");
        assert_eq!(
            path(Some(&strange), Some(7)),
            format!("{base}?locator=MDow%2BR2%2FFI%3D%26x&maxRecords=7")
        );
        let list = job().page_list(Some(&strange)).path.into_owned();
        assert_eq!(
            list,
            format!("/services/data/v62.0/jobs/query/{JOB}/resultPages?locator=MDow%2BR2%2FFI%3D%26x")
        );
    }

    #[test]
    fn a_state_that_is_not_known_is_not_the_end() {
        let state =
            |name: &str| JobStatus::read(format!(r#"{{"state":"{name}"}}"#).as_bytes()).unwrap().state;
        for running in ["UploadComplete", "InProgress", "Open", "Something"] {
            assert_eq!(state(running), JobState::Running, "{running}");
        }
        assert_eq!(state("JobComplete"), JobState::Complete);
        assert_eq!(state("Failed"), JobState::Failed);
        assert_eq!((state("Aborted"), state("Abort")), (JobState::Aborted, JobState::Aborted));
        for body in ["", "[]", "{}", r#"{"state":1}"#] {
            assert_eq!(JobStatus::read(body.as_bytes()).unwrap_err().kind, FaultKind::Truncated, "{body}");
        }
    }

    #[test]
    fn a_failed_job_fails_by_the_code_in_its_message() {
        let failure = |message: Option<&str>| {
            let status =
                JobStatus { state: JobState::Failed, records: None, error: message.map(str::to_owned) };
            status.failure().kind
        };
        assert_eq!(failure(None), FaultKind::Unavailable);
        let unexpected = "Unexpected exception encountered in query processing. Please contact support with the following id: 1-2 (3)";
        assert_eq!(failure(Some(unexpected)), FaultKind::Unavailable);
        assert_eq!(
            failure(Some(
                "InvalidBatch : Failed to process query: QUERY_TIMEOUT: Your query request was running for too long."
            )),
            FaultKind::QueryTimeout
        );
        assert_eq!(
            failure(Some("InvalidBatch : Failed to process query: INVALID_FIELD: No such column 'Nme__c'")),
            FaultKind::QueryRefused
        );
        assert_eq!(failure(Some("InternalServerError : Retried more than 15 times")), FaultKind::Unavailable);
    }

    #[test]
    fn a_page_without_its_headers_is_not_read() {
        let head = |headers: &[(&str, &str)]| PageHead::read(&Head::new(200, headers.iter().copied()));
        let (locator_name, records) = ("Sforce-Locator", ("Sforce-NumberOfRecords", "3"));
        assert_eq!(head(&[(locator_name, "null"), records]), Ok(PageHead { records: 3, next: None }));
        assert_eq!(
            head(&[(locator_name, "MTAwMDA"), records]),
            Ok(PageHead { records: 3, next: Some(locator("MTAwMDA")) })
        );
        for headers in [
            &[records][..],
            &[(locator_name, "null")],
            &[(locator_name, ""), records],
            &[(locator_name, "null"), ("Sforce-NumberOfRecords", "-1")],
        ] {
            assert_eq!(head(headers).unwrap_err().kind, FaultKind::InvalidResponse, "{headers:?}");
        }
    }

    #[test]
    fn a_list_of_pages_is_read_in_every_spelling() {
        let link = |token: &str| {
            format!("/services/data/v62.0/jobs/query/{JOB}/results?maxRecords=5&locator={token}")
        };
        let read = |body: String| PageList::read(body.as_bytes());
        let whole = PageList { pages: vec![None, Some(locator("a=b"))], next: Some(locator("c")) };
        let first = link("a").split('?').next().unwrap().to_owned();
        for (pages, url, next) in [
            ("resultPages", "resultUrl", "nextRecordsUrl"),
            ("resultPages", "resultUrl", "nextRecordUrl"),
            ("resultChunks", "resultLink", "nextRecordsUrl"),
        ] {
            let body = format!(
                r#"{{"{pages}":[{{"{url}":"{first}"}},{{"{url}":"{}","x":1}}],"{next}":"{}","done":false}}"#,
                link("a%3Db"),
                link("c")
            );
            assert_eq!(read(body), Ok(whole.clone()), "{pages} {url} {next}");
        }
        let last = PageList { pages: vec![None], next: None };
        for end in [r#""done":true"#, r#""done":true,"nextRecordsUrl":null"#, r#""nextRecordsUrl":null"#] {
            let body = format!(r#"{{"resultPages":[{{"resultUrl":"{first}"}}],{end}}}"#);
            assert_eq!(read(body), Ok(last.clone()), "{end}");
        }
        for wrong in ["", "{}", r#"{"resultPages":[],"done":false}"#, r#"{"resultPages":[{}],"done":true}"#] {
            assert_eq!(read(wrong.to_owned()).unwrap_err().kind, FaultKind::Truncated, "{wrong}");
        }
    }
}
