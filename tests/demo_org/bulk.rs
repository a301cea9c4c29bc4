//! Query jobs of Bulk API 2.0, as a plain client sees them: creation, states, results, limits and refusals.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use sfexport::demo_org::{BulkOptions, DemoOrg, Kind, Options, Row, Value as Cell};

use super::client::{client, every_id, get, ids, login, options, query, query_target};

/// A job is complete at once, and its pages are small.
pub(crate) fn at_once(records: usize, page_rows: usize) -> Options {
    let bulk = BulkOptions { polls: 0, page_rows, ..BulkOptions::default() };
    Options { bulk, ..options(records) }
}

pub(crate) async fn send(org: &DemoOrg, token: &str, method: Method, target: &str, body: &str) -> Response {
    let request = client().request(method, format!("{}{target}", org.url()));
    let request = request.header("Authorization", format!("Bearer {token}"));
    let request = request.header("Content-Type", "application/json").body(body.to_owned());
    request.send().await.unwrap()
}

pub(crate) async fn json_of(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

pub(crate) const JOBS: &str = "/services/data/v60.0/jobs/query";

/// The path of a new job.
pub(crate) async fn created(org: &DemoOrg, token: &str, soql: &str) -> String {
    let body = json!({"operation": "query", "query": soql}).to_string();
    let job = json_of(send(org, token, Method::POST, JOBS, &body).await).await;
    format!("{JOBS}/{}", job["id"].as_str().unwrap_or_else(|| panic!("{job}")))
}

/// A page: its text, its locator and its number of records.
pub(crate) async fn page(org: &DemoOrg, token: &str, target: &str) -> (String, String, usize) {
    let response = get(org, token, target).await;
    assert_eq!(response.status(), 200, "{target}");
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let (locator, records) = (header("sforce-locator"), header("sforce-numberofrecords"));
    (response.text().await.unwrap(), locator, records.parse().unwrap())
}

/// The rows of every page, without the headers.
pub(crate) async fn every_row(org: &DemoOrg, token: &str, job: &str, parameters: &str) -> Vec<Vec<String>> {
    let (mut rows, mut locator) = (Vec::new(), String::new());
    while locator != "null" {
        let target = match locator.as_str() {
            "" => format!("{job}/results?{parameters}"),
            locator => format!("{job}/results?{parameters}&locator={locator}"),
        };
        let (text, next, records) = page(org, token, &target).await;
        let found = cells(&text, b',');
        assert_eq!(found.len() - 1, records);
        rows.extend(found.into_iter().skip(1));
        assert!(rows.len() < 10_000, "the pages do not end");
        locator = next;
    }
    rows
}

/// Rows and cells read by an independent CSV reader, header included.
pub(crate) fn cells(text: &str, delimiter: u8) -> Vec<Vec<String>> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(text.as_bytes());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// What a cell should hold; of a number, its value.
fn expected(value: &Cell) -> String {
    match value {
        Cell::Null => String::new(),
        Cell::Bool(truth) => truth.to_string(),
        Cell::Int(number) => (*number as f64).to_string(),
        Cell::Double(number) => number.to_string(),
        Cell::Text(text) => text.to_string(),
        Cell::Id(id) => id.to_string(),
        Cell::Date(day) => day.to_string(),
        Cell::Datetime(at) => at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        other => panic!("{other:?}"),
    }
}

/// A cell as it should be compared.
fn normal(cell: &str, value: &Cell) -> String {
    match value {
        Cell::Int(_) | Cell::Double(_) => cell.parse::<f64>().unwrap().to_string(),
        _ => cell.to_owned(),
    }
}

#[tokio::test]
async fn a_job_is_described_as_it_was_recorded() {
    let org = DemoOrg::start(options(60)).await.unwrap();
    let token = login(&org).await;
    let body = r#"{"operation":"query","query":"SELECT Id FROM Account"}"#;
    let response = send(&org, &token, Method::POST, JOBS, body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json;charset=UTF-8");
    let text = response.text().await.unwrap();
    let job: Value = serde_json::from_str(&text).unwrap();
    let (id, stamp) = (job["id"].as_str().unwrap(), job["createdDate"].as_str().unwrap());
    assert!(id.starts_with("750") && id.len() == 18, "{id}");
    assert!(stamp.ends_with(".000+0000") && stamp.len() == 28, "{stamp}");
    let user = org.user_id();
    let head = |state: &str, changed: &str| {
        format!(
            r#"{{"id":"{id}","operation":"query","object":"Account","createdById":"{user}","createdDate":"{stamp}","systemModstamp":"{changed}","state":"{state}","concurrencyMode":"Parallel","contentType":"CSV","apiVersion":60.0"#
        )
    };
    let style = r#""lineEnding":"LF","columnDelimiter":"COMMA""#;
    assert_eq!(text, format!("{},{style}}}", head("UploadComplete", stamp)));
    let target = format!("{JOBS}/{id}");
    let running = get(&org, &token, &target).await.text().await.unwrap();
    let rest = |records: usize, time: u64| {
        format!(
            r#","jobType":"V2Query",{style},"numberRecordsProcessed":{records},"retries":0,"totalProcessingTime":{time},"isPkChunkingSupported":true}}"#
        )
    };
    assert_eq!(running, format!("{}{}", head("InProgress", stamp), rest(0, 0)));
    let complete = get(&org, &token, &target).await.text().await.unwrap();
    let job: Value = serde_json::from_str(&complete).unwrap();
    let (changed, time) =
        (job["systemModstamp"].as_str().unwrap(), job["totalProcessingTime"].as_u64().unwrap());
    assert_eq!(complete, format!("{}{}", head("JobComplete", changed), rest(59, time)));
}

#[tokio::test]
async fn a_job_is_pretty_if_that_is_asked_for() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let request = client().post(format!("{}{JOBS}/", org.url()));
    let request = request.header("Authorization", format!("Bearer {token}"));
    let request = request.header("X-PrettyPrint", "1").header("Accept", "text/csv");
    let body = r#"{"operation":"query","query":"SELECT Id FROM Account"}"#;
    let response = request.body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    assert!(text.starts_with("{\n  \"id\" : \"750"), "{text}");
    assert!(text.contains("\"apiVersion\" : 60.0,\n"), "{text}");
}

#[tokio::test]
async fn results_wait_for_the_job_and_go_with_it() {
    let bulk = BulkOptions { polls: 2, ..BulkOptions::default() };
    let org = DemoOrg::start(Options { bulk, ..options(10) }).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, "SELECT Id FROM Account").await;
    let refused = |state: &str| {
        json!([{"errorCode": "JOB_NOT_COMPLETE", "message": format!(
            "can only download query results of successfully completed bulk job with status: JOB_COMPLETE. Current status: {state}"
        )}])
    };
    for state in ["UPLOAD_COMPLETE", "IN_PROGRESS"] {
        for what in ["results", "resultPages"] {
            let early = get(&org, &token, &format!("{job}/{what}")).await;
            assert_eq!(early.status(), 412);
            assert_eq!(json_of(early).await, refused(state));
        }
        assert_eq!(json_of(get(&org, &token, &job).await).await["state"], "InProgress");
    }
    assert_eq!(json_of(get(&org, &token, &job).await).await["state"], "JobComplete");
    assert_eq!(get(&org, &token, &format!("{job}/results")).await.status(), 200);
    for version in ["v59.0", "v61.0"] {
        for what in ["results", "resultPages"] {
            let other = format!("{job}/{what}").replace("v60.0", version);
            assert_eq!(get(&org, &token, &other).await.status(), 409, "{other}");
        }
    }
    assert_eq!(send(&org, &token, Method::DELETE, &job, "").await.status(), 204);
    let missing = r#"[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]"#;
    for target in [job.clone(), format!("{job}/results"), format!("{JOBS}/undefined")] {
        let gone = get(&org, &token, &target).await;
        assert_eq!(gone.status(), 404, "{target}");
        assert_eq!(gone.text().await.unwrap(), missing);
    }
    assert_eq!(send(&org, &token, Method::DELETE, &job, "").await.status(), 404);
    assert_eq!(org.bulk_jobs(), []);
}

#[tokio::test]
async fn versions_without_query_jobs_have_none() {
    let org = DemoOrg::start(at_once(10, 50)).await.unwrap();
    let token = login(&org).await;
    let body = r#"{"operation":"query","query":"SELECT Id FROM Account"}"#;
    for (version, status) in [("46.0", 404), ("47.0", 200)] {
        let target = format!("/services/data/v{version}/jobs/query");
        assert_eq!(send(&org, &token, Method::POST, &target, body).await.status(), status);
    }
    for (version, status) in [("57.0", 404), ("58.0", 200)] {
        let target = format!("/services/data/v{version}/jobs/query");
        let job = json_of(send(&org, &token, Method::POST, &target, body).await).await;
        let pages = format!("{target}/{}/resultPages", job["id"].as_str().unwrap());
        assert_eq!(get(&org, &token, &pages).await.status(), status, "{version}");
    }
    assert_eq!(send(&org, &token, Method::PUT, JOBS, body).await.status(), 405);
}

#[tokio::test]
async fn a_running_job_is_aborted_before_it_is_deleted() {
    let bulk = BulkOptions { time: Duration::from_secs(3600), ..BulkOptions::default() };
    let org = DemoOrg::start(Options { bulk, ..options(10) }).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, "SELECT Id FROM Account").await;
    for _ in 0..3 {
        assert_eq!(json_of(get(&org, &token, &job).await).await["state"], "InProgress");
    }
    let refused = send(&org, &token, Method::DELETE, &job, "").await;
    assert_eq!(refused.status(), 400);
    assert_eq!(json_of(refused).await[0]["errorCode"], "INVALIDJOBSTATE");
    let nonsense = send(&org, &token, Method::PATCH, &job, r#"{"state":"Closed"}"#).await;
    assert_eq!(nonsense.status(), 400);
    let aborted = send(&org, &token, Method::PATCH, &job, r#"{"state":"Aborted"}"#).await;
    assert_eq!(aborted.status(), 200);
    assert_eq!(json_of(aborted).await["state"], "Aborted");
    assert_eq!(json_of(get(&org, &token, &job).await).await["state"], "Aborted");
    assert_eq!(get(&org, &token, &format!("{job}/results")).await.status(), 412);
    let again = send(&org, &token, Method::PATCH, &job, r#"{"state":"Aborted"}"#).await;
    assert_eq!(json_of(again).await[0]["errorCode"], "INVALIDJOBSTATE");
    assert_eq!(send(&org, &token, Method::DELETE, &job, "").await.status(), 204);
}

#[tokio::test]
async fn a_job_takes_its_time() {
    let time = Duration::from_millis(300);
    let bulk = BulkOptions { polls: 0, time, ..BulkOptions::default() };
    let org = DemoOrg::start(Options { bulk, ..options(10) }).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, "SELECT Id FROM Account").await;
    assert_eq!(org.bulk_jobs()[0].state, "UploadComplete");
    assert_eq!(json_of(get(&org, &token, &job).await).await["state"], "InProgress");
    tokio::time::sleep(time).await;
    let complete = json_of(get(&org, &token, &job).await).await;
    assert_eq!(complete["state"], "JobComplete");
    assert!(complete["totalProcessingTime"].as_u64().unwrap() >= 300);
}

#[tokio::test]
async fn what_bulk_does_not_take_is_refused_at_creation() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let grouped = "Aggregate Relationships not supported in Bulk Query";
    let compound = "Selecting compound data not supported in Bulk Query";
    for (soql, code, message) in [
        (
            "SELECT Id, (SELECT Id FROM Contacts) FROM Account",
            "API_ERROR",
            "Aggregate Relationships not supported in Bulk V2 Query with CSV content type",
        ),
        ("SELECT StageName, COUNT(Id) FROM Opportunity GROUP BY StageName", "API_ERROR", grouped),
        ("SELECT COUNT() FROM Account", "API_ERROR", grouped),
        ("SELECT MAX(CreatedDate) FROM Account", "API_ERROR", grouped),
        ("SELECT Id, BillingAddress FROM Account", "API_ERROR", compound),
        ("SELECT Id, HeadOffice__c FROM Account", "API_ERROR", compound),
        ("SELECT Id, Account.BillingAddress FROM Contact", "API_ERROR", compound),
        ("SELECT FIELDS(ALL) FROM Account LIMIT 200", "API_ERROR", compound),
        ("SELECT Body FROM Attachment", "API_ERROR", "Binary field not supported"),
        (
            "SELECT TYPEOF What WHEN Account THEN Phone END FROM Task",
            "API_ERROR",
            "TYPEOF not supported in Bulk Query",
        ),
        (
            "SELECT Id FROM Account ORDER BY Id LIMIT 5 OFFSET 5",
            "API_ERROR",
            "OFFSET not supported in Bulk Query",
        ),
        (
            "SELECT Id FROM TaskStatus",
            "INVALIDENTITY",
            "Entity 'TaskStatus' is not supported by the Bulk API.",
        ),
    ] {
        let body = json!({"operation": "query", "query": soql}).to_string();
        let refused = send(&org, &token, Method::POST, JOBS, &body).await;
        assert_eq!(refused.status(), 400, "{soql}");
        assert_eq!(json_of(refused).await, json!([{"message": message, "errorCode": code}]), "{soql}");
    }
    // What REST refuses is refused in the same words.
    for soql in [
        "SELECT Id FORM Account",
        "SELECT Nope FROM Account",
        "SELECT Id FROM Acount",
        "SELECT Id FROM AccountChangeEvent",
        "SELECT Id FROM EntitySubscription",
    ] {
        let body = json!({"operation": "query", "query": soql}).to_string();
        let refused = send(&org, &token, Method::POST, JOBS, &body).await;
        let found = (refused.status().as_u16(), refused.text().await.unwrap());
        assert_eq!(found, query(&org, soql).await, "{soql}");
        assert_eq!(found.0, 400);
    }
    for body in [
        "",
        "{",
        r#"{"operation":"query"}"#,
        r#"{"operation":"insert","query":"SELECT Id FROM Account"}"#,
        r#"{"operation":"query","query":"SELECT Id FROM Account","columnDelimiter":"SPACE"}"#,
        r#"{"operation":"query","query":"SELECT Id FROM Account","lineEnding":"CR"}"#,
        r#"{"operation":"query","query":"SELECT Id FROM Account","contentType":"JSON"}"#,
        r#"{"operation":"query","query":"SELECT Id FROM Account","whatever":1}"#,
    ] {
        assert_eq!(send(&org, &token, Method::POST, JOBS, body).await.status(), 400, "{body}");
    }
    assert_eq!(org.bulk_jobs(), []);
}

#[tokio::test]
async fn an_object_can_be_taken_from_bulk_alone() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    assert_eq!(query(&org, "SELECT Id, MasterLabel FROM OrderStatus").await.0, 200);
    org.refuse_in_bulk("Account");
    let body = r#"{"operation":"query","query":"SELECT Id FROM Account"}"#;
    let refused = json_of(send(&org, &token, Method::POST, JOBS, body).await).await;
    assert_eq!(refused[0]["errorCode"], "INVALIDENTITY");
    assert_eq!(query(&org, "SELECT Id FROM Account").await.0, 200);
    org.restore_object("Account");
    created(&org, &token, "SELECT Id FROM Account").await;
}

#[tokio::test]
async fn results_have_the_columns_of_the_query_as_typed() {
    let org = DemoOrg::start(at_once(60, 50_000)).await.unwrap();
    let token = login(&org).await;
    let owner = org.data().rows("Account").next().unwrap().parent("Owner").unwrap();
    let owner = owner.value("Name").unwrap().as_str().unwrap().to_owned();
    // Typed in any case, parents between the record's own fields, with and without an alias of the object.
    for (soql, header) in [
        (
            "select OWNER.name, Id, owner.Id, NAME from Account limit 1",
            "\"OWNER.name\",\"Id\",\"owner.Id\",\"NAME\"",
        ),
        (
            "SELECT o.Name, a.Id, a.owner.Id, Account.NAME FROM Account a, a.Owner o LIMIT 1",
            "\"Owner.Name\",\"Id\",\"owner.Id\",\"NAME\"",
        ),
    ] {
        let job = created(&org, &token, soql).await;
        let (text, locator, records) = page(&org, &token, &format!("{job}/results/")).await;
        let expected = format!(
            "{header}\n\"{owner}\",\"001Dm0000000000IAA\",\"{}\",\"plain text 0\"\n",
            org.data().rows("Account").next().unwrap().parent("Owner").unwrap().id()
        );
        assert_eq!((text.as_str(), locator.as_str(), records), (expected.as_str(), "null", 1));
    }
    let job = created(&org, &token, "SELECT FIELDS(STANDARD) FROM Profile LIMIT 1").await;
    let (text, ..) = page(&org, &token, &format!("{job}/results")).await;
    assert_eq!(text, "\"Id\",\"Name\"\n\"00eDm0000000000IAA\",\"Integration\"\n");
    // A parent that is null has columns all the same.
    let job = created(&org, &token, "SELECT Parent.Owner.Name FROM Account WHERE ParentId = null").await;
    let (text, _, records) = page(&org, &token, &format!("{job}/results")).await;
    assert_eq!(text, format!("\"Parent.Owner.Name\"\n{}", "\"\"\n".repeat(records)));
    assert!(records > 1);
    let job = created(&org, &token, "SELECT Id, Name FROM Account WHERE Name = 'nobody'").await;
    let empty = page(&org, &token, &format!("{job}/results")).await;
    assert_eq!(empty, ("\"Id\",\"Name\"\n".to_owned(), "null".to_owned(), 0));
}

#[tokio::test]
async fn old_versions_sort_the_columns() {
    let org = DemoOrg::start(at_once(10, 50)).await.unwrap();
    let token = login(&org).await;
    let body =
        r#"{"operation":"query","query":"SELECT Name, Owner.Name, Id, AccountNumber FROM Account LIMIT 1"}"#;
    for (version, header) in [
        (49, "\"AccountNumber\",\"Id\",\"Name\",\"Owner.Name\"\n"),
        (50, "\"Name\",\"Owner.Name\",\"Id\",\"AccountNumber\"\n"),
    ] {
        let jobs = format!("/services/data/v{version}.0/jobs/query");
        let job = json_of(send(&org, &token, Method::POST, &jobs, body).await).await;
        let (text, ..) = page(&org, &token, &format!("{jobs}/{}/results", job["id"].as_str().unwrap())).await;
        assert!(text.starts_with(header), "{version}: {text}");
        let record: &[String] = &cells(&text, b',')[1];
        assert_eq!(record[if version < 50 { 1 } else { 2 }], "001Dm0000000000IAA");
    }
}

#[tokio::test]
async fn delimiter_and_line_end_are_as_asked_for() {
    let org = DemoOrg::start(at_once(20, 50_000)).await.unwrap();
    let token = login(&org).await;
    for (name, delimiter) in
        [("BACKQUOTE", "`"), ("CARET", "^"), ("COMMA", ","), ("PIPE", "|"), ("SEMICOLON", ";"), ("TAB", "\t")]
    {
        for (ending, end) in [("LF", "\n"), ("CRLF", "\r\n")] {
            let body = json!({
                "operation": "query", "query": "SELECT Id, Site FROM Account WHERE Site != null LIMIT 5",
                "contentType": "CSV", "columnDelimiter": name, "lineEnding": ending,
            });
            let job = json_of(send(&org, &token, Method::POST, JOBS, &body.to_string()).await).await;
            assert_eq!(
                (&job["columnDelimiter"], &job["lineEnding"]),
                (&json!(name), &json!(ending)),
                "{job}"
            );
            let (text, ..) =
                page(&org, &token, &format!("{JOBS}/{}/results", job["id"].as_str().unwrap())).await;
            let mut expected = format!("\"Id\"{delimiter}\"Site\"{end}");
            let rows = org
                .data()
                .rows("Account")
                .filter(|row| !row.is_deleted() && !row.value("Site").unwrap().is_null());
            for row in rows.take(5) {
                // Line ends within values stay as they are.
                let site = row.value("Site").unwrap().as_str().unwrap().replace('"', "\"\"");
                expected.push_str(&format!("\"{}\"{delimiter}\"{site}\"{end}", row.id()));
            }
            assert_eq!(text, expected);
        }
    }
}

#[tokio::test]
async fn every_cell_is_the_data_sets() {
    let org = DemoOrg::start(at_once(400, 50_000)).await.unwrap();
    let token = login(&org).await;
    let (mut whole, mut as_double, mut texts) = (0, 0, BTreeSet::new());
    for object in org.data().objects() {
        let plain = |kind: Kind| !matches!(kind, Kind::Address | Kind::Location | Kind::Base64);
        let fields: Vec<_> = object.fields.iter().filter(|field| plain(field.kind)).collect();
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        let soql = format!("SELECT {} FROM {}", names.join(", "), object.name);
        let job = created(&org, &token, &soql).await;
        let rows = every_row(&org, &token, &job, "").await;
        let live: Vec<Row<'_>> = org.data().rows(object.name).filter(|row| !row.is_deleted()).collect();
        assert_eq!(rows.len(), live.len(), "{}", object.name);
        for (cells, row) in rows.iter().zip(&live) {
            for (cell, field) in cells.iter().zip(&fields) {
                let value = row.value(field.name).unwrap();
                assert_eq!(normal(cell, &value), expected(&value), "{} of {row:?}", field.name);
                match value {
                    Cell::Int(_) if cell.ends_with(".0") => as_double += 1,
                    Cell::Int(_) => whole += 1,
                    Cell::Text(_) => texts.extend(cell.chars().filter(|c| c.is_control())),
                    _ => {}
                }
            }
        }
    }
    assert!(as_double > 50 && whole > 2 * as_double, "{as_double} of {whole}");
    assert!(['\0', '\r', '\n', '\t'].iter().all(|control| texts.contains(control)), "{texts:?}");
    let soql = "SELECT NumberOfEmployees FROM Account";
    let bulk = BulkOptions { polls: 0, whole_as_doubles: false, ..BulkOptions::default() };
    let org = DemoOrg::start(Options { bulk, ..options(400) }).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, soql).await;
    assert!(!every_row(&org, &token, &job, "").await.concat().concat().contains('.'));
}

#[tokio::test]
async fn pages_can_be_read_in_any_order_and_again() {
    let org = DemoOrg::start(at_once(60, 20)).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, "SELECT Id FROM Account").await;
    let live = ids(&org, "Account", |row| !row.is_deleted());
    let text =
        |rows: &[String]| rows.iter().fold("\"Id\"\n".to_owned(), |text, id| text + &format!("\"{id}\"\n"));
    let (first, second, records) = page(&org, &token, &format!("{job}/results")).await;
    assert_eq!((first, records), (text(&live[..20]), 20));
    // `20`, in base64 without padding.
    assert_eq!(second, "MjA");
    let (_, third, _) = page(&org, &token, &format!("{job}/results?locator={second}")).await;
    for _ in 0..2 {
        let last = page(&org, &token, &format!("{job}/results?locator={third}")).await;
        assert_eq!(last, (text(&live[40..]), "null".to_owned(), 19));
        let (middle, next, _) = page(&org, &token, &format!("{job}/results?locator={second}")).await;
        assert_eq!((middle, &next), (text(&live[20..40]), &third));
    }
    // Fewer rows than the service would send, more than it sends; the order of the parameters does not matter.
    let (seven, next, _) = page(&org, &token, &format!("{job}/results?maxRecords=7")).await;
    assert_eq!(seven, text(&live[..7]));
    let (seven, ..) = page(&org, &token, &format!("{job}/results?maxRecords=7&locator={next}")).await;
    let (again, ..) = page(&org, &token, &format!("{job}/results/?locator={next}&maxRecords=7")).await;
    assert_eq!((&seven, &again), (&text(&live[7..14]), &text(&live[7..14])));
    let (many, ..) = page(&org, &token, &format!("{job}/results?maxRecords=1000")).await;
    assert_eq!(many, text(&live[..20]));
    for wrong in ["locator=nonsense", "locator=MTAwMA", "locator=null", "maxRecords=0", "maxRecords=x"] {
        let refused = get(&org, &token, &format!("{job}/results?{wrong}")).await;
        assert_eq!(refused.status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_result_is_of_the_rows_at_creation() {
    let org = DemoOrg::start(at_once(60, 20)).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, "SELECT Id FROM Account").await;
    let live = ids(&org, "Account", |row| !row.is_deleted());
    let gone: Vec<_> = org.data().rows("Account").skip(10).take(20).map(|row| row.id()).collect();
    org.delete(&gone[..10]);
    org.purge(&gone[10..]);
    assert_eq!(every_row(&org, &token, &job, "").await.concat(), live);
    assert_eq!(json_of(get(&org, &token, &job).await).await["numberRecordsProcessed"], live.len());
    let job = created(&org, &token, "SELECT Id FROM Account").await;
    assert_eq!(every_row(&org, &token, &job, "").await.len(), live.len() - 20);
    let body = r#"{"operation":"queryAll","query":"SELECT Id FROM Account"}"#;
    let all = json_of(send(&org, &token, Method::POST, JOBS, body).await).await;
    assert_eq!(all["operation"], "queryAll");
    let job = format!("{JOBS}/{}", all["id"].as_str().unwrap());
    assert_eq!(every_row(&org, &token, &job, "").await.len(), 50);
}

#[tokio::test]
async fn chunked_results_come_in_an_order_of_their_own() {
    let bulk = BulkOptions { polls: 0, page_rows: 25, chunk_rows: Some(40), ..BulkOptions::default() };
    let org = DemoOrg::start(Options { bulk, ..options(100) }).await.unwrap();
    let token = login(&org).await;
    let (by_rest, _) = every_id(&org, &token, &query_target("SELECT Id FROM Account")).await;
    assert_eq!(by_rest.len(), 99);
    let job = created(&org, &token, "SELECT Id FROM Account").await;
    // 99 rows are chunks of 40, 40 and 19; the last comes first, and no page has rows of two.
    let (mut found, mut sizes, mut locator) = (Vec::new(), Vec::new(), String::new());
    while locator != "null" {
        let from = if locator.is_empty() { String::new() } else { format!("?locator={locator}") };
        let (text, next, records) = page(&org, &token, &format!("{job}/results{from}")).await;
        found.extend(cells(&text, b',').into_iter().skip(1).flatten());
        sizes.push(records);
        assert!(sizes.len() < 20, "the pages do not end");
        locator = next;
        assert!(!locator.contains('='), "{locator}");
    }
    assert_eq!(sizes, [19, 25, 15, 25, 15]);
    assert_eq!(found, [&by_rest[80..], &by_rest[40..80], &by_rest[..40]].concat());
    for (soql, expected) in [
        ("SELECT Id FROM Account ORDER BY Id", by_rest.clone()),
        ("SELECT Id FROM Account ORDER BY Id DESC", by_rest.iter().rev().cloned().collect()),
        ("SELECT Id FROM Account LIMIT 50", by_rest[..50].to_vec()),
    ] {
        let job = created(&org, &token, soql).await;
        assert_eq!(every_row(&org, &token, &job, "maxRecords=30").await.concat(), expected, "{soql}");
    }
}

#[tokio::test]
async fn result_pages_link_to_every_page() {
    for (page_rows, chunk_rows, links) in
        [(5, None, vec![5, 5, 2]), (30, Some(40), vec![3]), (500, None, vec![1])]
    {
        let bulk = BulkOptions { polls: 0, page_rows, chunk_rows, ..BulkOptions::default() };
        let org = DemoOrg::start(Options { bulk, ..options(60) }).await.unwrap();
        let token = login(&org).await;
        let job = created(&org, &token, "SELECT Id FROM Account").await;
        let (mut urls, mut sizes, mut target) = (Vec::new(), Vec::new(), format!("{job}/resultPages"));
        loop {
            let answer = json_of(get(&org, &token, &target).await).await;
            let found = answer["resultPages"].as_array().unwrap();
            sizes.push(found.len());
            assert!(sizes.len() < 20, "the links do not end");
            urls.extend(found.iter().map(|link| link["resultUrl"].as_str().unwrap().to_owned()));
            match answer["nextRecordsUrl"].as_str() {
                Some(next) => target = next.to_owned(),
                None => break assert_eq!(answer["done"], true),
            }
            assert_eq!(answer["done"], false);
        }
        assert_eq!(sizes, links, "pages of {page_rows}");
        // In any order: from the last to the first.
        let (mut found, mut last) = (Vec::new(), None);
        for url in urls.iter().rev() {
            assert!(url.starts_with(&format!("{job}/results?locator=")), "{url}");
            let (text, locator, _) = page(&org, &token, url).await;
            last.get_or_insert(locator);
            found.extend(cells(&text, b',').into_iter().skip(1).flatten());
        }
        assert_eq!(last.unwrap(), "null");
        found.sort_unstable();
        assert_eq!(found, ids(&org, "Account", |row| !row.is_deleted()));
    }
}

#[tokio::test]
async fn the_daily_limits_are_counted_and_kept_to() {
    let bulk = BulkOptions { daily_jobs: (9998, 10_000), ..BulkOptions::default() };
    let org = DemoOrg::start(Options { bulk, ..options(2000) }).await.unwrap();
    let token = login(&org).await;
    let remaining = async |org: &DemoOrg, token: &str, name: &str| {
        let limits = json_of(get(org, token, "/services/data/v60.0/limits").await).await;
        (limits[name]["Max"].as_u64().unwrap(), limits[name]["Remaining"].as_u64().unwrap())
    };
    assert_eq!(remaining(&org, &token, "DailyBulkV2QueryJobs").await, (10_000, 2));
    let fields = "Id, Name, Description, Remarks__c, History__c, Website, BillingStreet, CreatedDate";
    let soql = format!("SELECT {fields} FROM Account");
    let megabytes = remaining(&org, &token, "DailyBulkV2QueryFileStorageMB").await;
    assert_eq!(megabytes, (976_562, 976_562));
    for left in [1, 0] {
        let job = created(&org, &token, &soql).await;
        assert_eq!(remaining(&org, &token, "DailyBulkV2QueryJobs").await.1, left);
        // Neither limit gives back what a job has used.
        send(&org, &token, Method::DELETE, &job, "").await;
        assert_eq!(remaining(&org, &token, "DailyBulkV2QueryJobs").await.1, left);
    }
    let (_, megabytes) = remaining(&org, &token, "DailyBulkV2QueryFileStorageMB").await;
    assert!((976_555..976_562).contains(&megabytes), "{megabytes}");
    let body = json!({"operation": "query", "query": soql}).to_string();
    let refused = send(&org, &token, Method::POST, JOBS, &body).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(
        json_of(refused).await,
        json!([{"errorCode": "LIMIT_EXCEEDED", "message": "Max bulk v2 query jobs (10000) per 24 hrs has been reached (10000)"}])
    );
    let bulk = BulkOptions { daily_kilobytes: (1_000_000_000, 1_000_000_000), ..BulkOptions::default() };
    let org = DemoOrg::start(Options { bulk, ..options(10) }).await.unwrap();
    let token = login(&org).await;
    assert_eq!(remaining(&org, &token, "DailyBulkV2QueryFileStorageMB").await, (976_562, 0));
    let refused = send(&org, &token, Method::POST, JOBS, &body).await;
    assert_eq!(
        json_of(refused).await,
        json!([{"errorCode": "LIMIT_EXCEEDED", "message": "Max bulk v2 query result size stored (1000000000) kb per 24 hrs has been exceeded"}])
    );
}

#[tokio::test]
async fn each_request_about_a_job_is_an_api_call() {
    let org = DemoOrg::start(options(10)).await.unwrap();
    let token = login(&org).await;
    let usage = |response: &Response| response.headers()["sforce-limit-info"].to_str().unwrap().to_owned();
    let body = r#"{"operation":"query","query":"SELECT Id FROM Account"}"#;
    let create = send(&org, &token, Method::POST, JOBS, body).await;
    assert_eq!(usage(&create), "api-usage=19/15000");
    let job = format!("{JOBS}/{}", json_of(create).await["id"].as_str().unwrap());
    for (n, target) in
        [&job, &job, &format!("{job}/results"), &format!("{job}/resultPages"), JOBS].into_iter().enumerate()
    {
        let response = get(&org, &token, target).await;
        assert_eq!(
            (response.status().as_u16(), usage(&response)),
            (200, format!("api-usage={}/15000", 20 + n))
        );
    }
    let delete = send(&org, &token, Method::DELETE, &job, "").await;
    assert_eq!(usage(&delete), "api-usage=25/15000");
    let unknown = send(&org, "no session", Method::POST, JOBS, body).await;
    assert_eq!(unknown.status(), 401);
}

#[tokio::test]
async fn the_headers_of_a_result_are_spelt_as_the_service_does() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let org = DemoOrg::start(at_once(10, 50)).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, "SELECT Id FROM Account").await;
    let address = org.url().trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let request = format!(
        "GET {job}/results HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    for line in [
        "HTTP/1.1 200 OK",
        "Content-Type: text/csv;charset=UTF-8",
        "Sforce-Locator: null",
        "Sforce-NumberOfRecords: 9",
    ] {
        assert!(head.lines().any(|found| found == line), "{head}");
    }
    assert!(body.contains("\"Id\"\n\"001Dm0000000000IAA\"\n"), "{body}");
}

/// A page as it is sent with or without compression, and what it unpacks to.
async fn received(org: &DemoOrg, token: &str, target: &str, gzip: bool) -> (Vec<u8>, String) {
    use std::io::Read as _;
    let request = client().get(format!("{}{target}", org.url()));
    let mut request = request.header("Authorization", format!("Bearer {token}"));
    if gzip {
        request = request.header("Accept-Encoding", "gzip");
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers().contains_key("content-encoding"), gzip);
    let sent = response.bytes().await.unwrap().to_vec();
    let mut text = String::new();
    match gzip {
        true => flate2::read::GzDecoder::new(sent.as_slice()).read_to_string(&mut text).unwrap(),
        false => sent.as_slice().read_to_string(&mut text).unwrap(),
    };
    (sent, text)
}

#[tokio::test]
async fn compressed_and_prerendered_pages_hold_the_same() {
    let soql = "SELECT Id, Name, Site, Description, CreatedDate FROM Account";
    let lazy = DemoOrg::start(at_once(250, 100)).await.unwrap();
    let eager = DemoOrg::start(Options { prerender: true, ..at_once(250, 100) }).await.unwrap();
    let mut pages = Vec::new();
    for org in [&lazy, &eager] {
        let token = login(org).await;
        // Twice: the second job finds what was made for the first.
        for _ in 0..2 {
            let job = created(org, &token, soql).await;
            let mut found = Vec::new();
            for target in ["results", "results?locator=MTAw", "results?locator=MjAw", "results?maxRecords=30"]
            {
                let target = format!("{job}/{target}");
                let (plain, text) = received(org, &token, &target, false).await;
                let (packed, unpacked) = received(org, &token, &target, true).await;
                assert_eq!(text, unpacked);
                assert!(packed.len() < plain.len() / 2);
                found.push(text);
            }
            pages.push(found);
        }
    }
    assert!(pages.windows(2).all(|two| two[0] == two[1]));
    assert_eq!(pages[0].iter().map(|page| cells(page, b',').len()).collect::<Vec<_>>(), [101, 101, 48, 31]);
}

#[tokio::test]
async fn the_list_has_jobs_of_all_kinds() {
    let bulk = BulkOptions { chunk_rows: Some(10), ..BulkOptions::default() };
    let org = DemoOrg::start(Options { bulk, ..options(10) }).await.unwrap();
    let token = login(&org).await;
    created(&org, &token, "SELECT Id FROM Account").await;
    created(&org, &token, "SELECT Id FROM Contact ORDER BY Id").await;
    let objects = async |parameters: &str| {
        let list = json_of(get(&org, &token, &format!("{JOBS}{parameters}")).await).await;
        assert_eq!((&list["done"], &list["nextRecordsUrl"]), (&json!(true), &Value::Null));
        let records = list["records"].as_array().unwrap().iter();
        records.map(|job| job["object"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(objects("").await, ["Lead", "Lead", "Account", "Contact"]);
    assert_eq!(objects("?jobType=V2Query").await, ["Account", "Contact"]);
    assert_eq!(objects("/?jobType=V2Ingest").await, ["Lead"]);
    assert_eq!(objects("?jobType=V2Query&isPkChunkingEnabled=true").await, ["Account"]);
    assert_eq!(objects("?concurrencyMode=parallel&isPkChunkingEnabled=false").await, ["Lead", "Contact"]);
    for _ in 0..1000 {
        created(&org, &token, "SELECT Id FROM Profile").await;
    }
    let first = json_of(get(&org, &token, &format!("{JOBS}?jobType=V2Query")).await).await;
    assert_eq!((&first["done"], first["records"].as_array().unwrap().len()), (&json!(false), 1000));
    let next = first["nextRecordsUrl"].as_str().unwrap();
    let second = json_of(get(&org, &token, &format!("{next}&jobType=V2Query")).await).await;
    assert_eq!((&second["done"], second["records"].as_array().unwrap().len()), (&json!(true), 2));
}

#[tokio::test]
async fn each_connection_has_the_whole_rate_to_itself() {
    const RATE: u64 = 60_000;
    let org =
        DemoOrg::start(Options { bytes_per_second: Some(RATE), ..at_once(1500, 50_000) }).await.unwrap();
    let token = login(&org).await;
    let job = created(&org, &token, "SELECT Id FROM Account").await;
    let begun = std::time::Instant::now();
    let downloads: Vec<_> = (0..8)
        .map(|_| {
            let request = client().get(format!("{}{job}/results", org.url()));
            let request = request.header("Authorization", format!("Bearer {token}"));
            tokio::spawn(async move { request.send().await.unwrap().bytes().await.unwrap().len() })
        })
        .collect();
    let mut bytes = 0;
    for download in downloads {
        bytes += download.await.unwrap();
    }
    let together = begun.elapsed().as_secs_f64();
    let in_turn = bytes as f64 / RATE as f64;
    // Eight at once take as long as one.
    assert!((in_turn / 8.0 * 0.9..in_turn / 2.0).contains(&together), "{together} s, {in_turn} s in turn");
}
