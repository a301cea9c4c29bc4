//! Clients of Bulk API 2.0, played by the requests that they were recorded to send. What each gets is compared with the
//! data set cell by cell.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sfexport::demo_org::{BulkOptions, DemoOrg, Options, Row, Value as Cell};

use super::bulk::{cells, json_of};
use super::client::{client, login, options};

/// An org whose jobs are complete at the second poll, as the clients expect, with pages of 40 rows.
async fn org() -> DemoOrg {
    let bulk = BulkOptions { page_rows: 40, whole_as_doubles: false, ..BulkOptions::default() };
    DemoOrg::start(Options { bulk, ..options(100) }).await.unwrap()
}

/// A client of one version of the API and what it sends with every request.
struct Client<'o> {
    org: &'o DemoOrg,
    version: &'static str,
    headers: Vec<(&'static str, String)>,
}

impl<'o> Client<'o> {
    async fn of(org: &'o DemoOrg, version: &'static str, headers: &[(&'static str, &str)]) -> Self {
        let mut headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        headers.push(("Authorization", format!("Bearer {}", login(org).await)));
        Self { org, version, headers }
    }

    fn request(&self, method: Method, rest: &str) -> RequestBuilder {
        let url = format!("{}/services/data/v{}/jobs/query{rest}", self.org.url(), self.version);
        self.headers.iter().fold(client().request(method, url), |request, (name, value)| {
            request.header(*name, value.as_str())
        })
    }

    /// The id of a new job.
    async fn create(&self, body: &str) -> String {
        let request =
            self.request(Method::POST, "").header("Content-Type", "application/json; charset=utf-8");
        let response = request.body(body.to_owned()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let job = json_of(response).await;
        assert_eq!(
            (&job["state"], job["apiVersion"].as_f64()),
            (&json!("UploadComplete"), self.version.parse().ok())
        );
        job["id"].as_str().unwrap().to_owned()
    }

    /// The states of a job up to its end.
    async fn poll(&self, job: &str) -> Vec<String> {
        let mut states = Vec::new();
        for _ in 0..5 {
            let request =
                self.request(Method::GET, &format!("/{job}")).header("Content-Type", "application/json");
            let job = json_of(request.send().await.unwrap()).await;
            assert!(job["numberRecordsProcessed"].is_u64());
            states.push(job["state"].as_str().unwrap().to_owned());
            if job["state"] != "InProgress" {
                break;
            }
        }
        states
    }

    /// A page of a result, and its locator.
    async fn page(&self, rest: &str) -> (Vec<Vec<String>>, String) {
        let response =
            self.request(Method::GET, rest).header("content-Type", "text/csv").send().await.unwrap();
        assert_eq!(response.status(), 200, "{rest}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/csv;charset=UTF-8");
        let (locator, records) = (header("sforce-locator"), header("sforce-numberofrecords"));
        let rows = cells(&response.text().await.unwrap(), b',');
        assert_eq!(rows.len() - 1, records.parse::<usize>().unwrap());
        (rows, locator)
    }

    /// Creates, polls, and reads every page, whose addresses the client builds of a locator.
    async fn rows(&self, body: &str, results: impl Fn(&str, Option<&str>) -> String) -> Vec<Vec<String>> {
        let job = self.create(body).await;
        assert_eq!(self.poll(&job).await, ["InProgress", "JobComplete"]);
        let (mut rows, mut locator) = self.page(&results(&job, None)).await;
        while locator != "null" {
            let (page, next) = self.page(&results(&job, Some(&locator))).await;
            assert_eq!(page[0], rows[0]);
            rows.extend(page.into_iter().skip(1));
            assert!(rows.len() < 1000, "the pages do not end");
            locator = next;
        }
        rows
    }
}

const FIELDS: [&str; 7] =
    ["Id", "Name", "Site", "NumberOfEmployees", "IsDeleted", "SystemModstamp", "FoundedOn__c"];

fn soql(rest: &str) -> String {
    format!("SELECT {} FROM Account{rest}", FIELDS.join(", "))
}

/// Header and rows as the data set has them, row by row in its order.
fn expected(org: &DemoOrg, wanted: impl Fn(&Row<'_>) -> bool) -> Vec<Vec<String>> {
    let text = |value: Cell| match value {
        Cell::Null => String::new(),
        Cell::Bool(truth) => truth.to_string(),
        Cell::Int(number) => number.to_string(),
        Cell::Text(text) => text.to_string(),
        Cell::Id(id) => id.to_string(),
        Cell::Date(day) => day.to_string(),
        Cell::Datetime(at) => at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        other => panic!("{other:?}"),
    };
    let header = FIELDS.map(str::to_owned).to_vec();
    let rows = org.data().rows("Account").filter(wanted);
    let rows = rows.map(|row| FIELDS.iter().map(|field| text(row.value(field).unwrap())).collect());
    std::iter::once(header).chain(rows).collect()
}

fn live(org: &DemoOrg) -> Vec<Vec<String>> {
    expected(org, |row| !row.is_deleted())
}

#[tokio::test]
async fn simple_salesforce_reads_every_row_by_bulk() {
    let org = org().await;
    let headers = [("X-PrettyPrint", "1"), ("Accept", "text/csv; charset=UTF-8")];
    let client = Client::of(&org, "62.0", &headers).await;
    let body =
        json!({"operation": "query", "columnDelimiter": "COMMA", "lineEnding": "LF", "query": soql("")});
    let results = |job: &str, locator: Option<&str>| match locator {
        None => format!("/{job}/results?maxRecords=50000"),
        Some(locator) => format!("/{job}/results?maxRecords=50000&locator={locator}"),
    };
    assert_eq!(client.rows(&body.to_string(), results).await, live(&org));
    let body =
        json!({"operation": "queryAll", "columnDelimiter": "COMMA", "lineEnding": "LF", "query": soql("")});
    assert_eq!(client.rows(&body.to_string(), results).await, expected(&org, |_| true));
    let nobody = soql(" WHERE Name = 'nobody'");
    let body = json!({"operation": "query", "query": nobody});
    assert_eq!(client.rows(&body.to_string(), results).await, [FIELDS.map(str::to_owned)]);
}

/// A locator alone, as most clients send it.
fn by_locator(job: &str, locator: Option<&str>) -> String {
    match locator {
        None => format!("/{job}/results"),
        Some(locator) => format!("/{job}/results?locator={locator}"),
    }
}

#[tokio::test]
async fn jsforce_reads_every_row_by_bulk() {
    let org = org().await;
    let client = Client::of(&org, "62.0", &[]).await;
    let body = json!({"query": soql(""), "operation": "query"});
    assert_eq!(client.rows(&body.to_string(), by_locator).await, live(&org));
    // After a creation that failed it deletes a job that there never was.
    let response = client.request(Method::DELETE, "/undefined").send().await.unwrap();
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn the_salesforce_cli_reads_every_row_by_bulk() {
    let org = org().await;
    let client = Client::of(&org, "66.0", &[("Sforce-Call-Options", "client=sfdx toolbelt:")]).await;
    let body = json!({"query": soql(""), "operation": "query", "lineEnding": "LF"});
    assert_eq!(client.rows(&body.to_string(), by_locator).await, live(&org));
    // Before each page it asks whether its session is alive.
    let alive = super::client::get(&org, &login(&org).await, "/services/data/v66.0").await;
    assert_eq!(alive.status(), 200);
}

#[tokio::test]
async fn a_tap_reads_every_changed_row_by_bulk() {
    let org = org().await;
    let client = Client::of(&org, "60.0", &[]).await;
    let since = soql(" WHERE SystemModstamp >= 2025-01-01T00:00:00+00:00 ");
    let body = json!({"operation": "queryAll", "query": since});
    let results = |job: &str, locator: Option<&str>| {
        let locator = locator.map_or_else(String::new, |locator| format!("&locator={locator}"));
        format!("/{job}/results?maxRecords=50000{locator}")
    };
    let start: jiff::Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
    let changed =
        |row: &Row<'_>| matches!(row.value("SystemModstamp"), Some(Cell::Datetime(at)) if at >= start);
    let found = client.rows(&body.to_string(), results).await;
    assert!(found.len() > 10);
    assert_eq!(found, expected(&org, changed));
}

#[tokio::test]
async fn airbyte_reads_every_row_and_deletes_its_job() {
    let org = org().await;
    let client = Client::of(&org, "62.0", &[]).await;
    let body = json!({
        "operation": "queryAll", "query": soql(""), "contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF",
    });
    assert_eq!(client.rows(&body.to_string(), by_locator).await, expected(&org, |_| true));
    let [job] = org.bulk_jobs().try_into().unwrap();
    let path = format!("/{}", job.id);
    assert_eq!(client.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    assert_eq!(client.request(Method::GET, &path).send().await.unwrap().status(), 404);
    // To stop, it aborts a job.
    let job = client.create(&body.to_string()).await;
    let request =
        client.request(Method::PATCH, &format!("/{job}")).header("Content-Type", "application/json");
    let aborted = request.body(r#"{"state":"Aborted"}"#).send().await.unwrap();
    assert_eq!((aborted.status().as_u16(), json_of(aborted).await["state"].clone()), (200, json!("Aborted")));
    // A refusal that it knows to be one of Bulk's.
    let refused = client.request(Method::POST, "").body(
        json!({"operation": "queryAll", "query": "SELECT Id, BillingAddress FROM Account"}).to_string(),
    );
    let refused = refused.send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), json_of(refused).await[0]["errorCode"].clone()),
        (400, json!("API_ERROR"))
    );
}

#[tokio::test]
async fn aio_sf_reads_every_row_by_bulk() {
    let org = org().await;
    let client = Client::of(&org, "60.0", &[]).await;
    let body = json!({"operation": "query", "query": soql(""), "contentType": "CSV"});
    let results = |job: &str, locator: Option<&str>| {
        let locator = locator.map_or_else(String::new, |locator| format!("&locator={locator}"));
        format!("/{job}/results?maxRecords=10000{locator}")
    };
    assert_eq!(client.rows(&body.to_string(), results).await, live(&org));
}

#[tokio::test]
async fn go_salesforce_reads_every_row_by_bulk() {
    let org = org().await;
    let client = Client::of(&org, "63.0", &[("Accept", "application/json")]).await;
    let body = json!({"operation": "query", "query": soql("")});
    // It puts a slash before the question mark.
    let results = |job: &str, locator: Option<&str>| match locator {
        None => format!("/{job}/results"),
        Some(locator) => format!("/{job}/results/?locator={locator}"),
    };
    assert_eq!(client.rows(&body.to_string(), results).await, live(&org));
}

#[tokio::test]
async fn force_reads_every_row_and_deletes_its_job() {
    let org = org().await;
    let client = Client::of(&org, "55.0", &[("Accept", "text/csv")]).await;
    let token: Vec<_> = client.headers.iter().filter(|(name, _)| *name == "Authorization").cloned().collect();
    let token = token[0].1.trim_start_matches("Bearer ").to_owned();
    // Its session is in a separate header.
    let client =
        Client { headers: vec![("X-Sfdc-Session", token), ("Accept", "text/csv".to_owned())], ..client };
    let body = json!({"operation": "query", "query": soql("")});
    assert_eq!(client.rows(&body.to_string(), by_locator).await, live(&org));
    let [job] = org.bulk_jobs().try_into().unwrap();
    let deleted = client.request(Method::DELETE, &format!("/{}", job.id)).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    assert_eq!(deleted.text().await.unwrap(), "");
    assert_eq!(org.bulk_jobs(), []);
    let list: Value = json_of(client.request(Method::GET, "?jobType=V2Query").send().await.unwrap()).await;
    assert_eq!(list["records"], json!([]));
}
