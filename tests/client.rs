//! The client of an org at the level of requests: what each kind of call looks like on the wire, how a session is
//! renewed, what bounds a response, and where no request may go. A server of a few lines records and responds.

#![cfg(feature = "demo-org")]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sfexport::client::OrgClient;
use sfexport::clock::TestClock;
use sfexport::config;
use sfexport::demo_org::{At, Fault, Rule};
use sfexport::export::{Edges, Slots};
use sfexport::http::Http;
use sfexport::key;
use sfexport::monitor::Silent;
use sfexport::org::{KeySource, Org, OrgName};
use sfexport::retry::{Attempts, RetryPolicy};
use sfexport::salesforce::call::{Call, Payload};
use sfexport::salesforce::fault::{ErrorCode, FaultKind};
use support::Deployment;

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Received {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let mut of_name = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let value = of_name.next().map_or("", |(_, value)| value);
        assert!(of_name.next().is_none(), "{name} was sent twice");
        value
    }
}

/// Responds to each request by the number of its call (the logins are counted apart), and records it.
struct Server {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// `respond` gives the status line's rest, the headers with their line ends, and the body.
    fn start(respond: impl Fn(usize, &Received) -> (String, String, Vec<u8>) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let (own_url, all) = (url.clone(), Arc::clone(&received));
        std::thread::spawn(move || {
            let mut calls = 0;
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(request) = read(&mut stream) else { continue };
                let (status, headers, body) = if request.target == "/services/oauth2/token" {
                    let body = format!(
                        "{{\"access_token\":\"00D000000000001!test.token\",\"instance_url\":\"{own_url}\"}}"
                    );
                    ("200 OK".to_owned(), String::new(), body.into_bytes())
                } else {
                    calls += 1;
                    respond(calls, &request)
                };
                all.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            }
        });
        Self { url, received }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The calls without the logins.
    fn calls(&self) -> Vec<Received> {
        let mut received = self.received();
        received.retain(|request| request.target != "/services/oauth2/token");
        received
    }

    fn client(&self) -> OrgClient {
        client(&self.url, "62.0", 1_000)
    }
}

/// A client of the org at this URL; each call is sent three times at most.
fn client(url: &str, api_version: &str, page_cap: u64) -> OrgClient {
    let key = KeySource::Inline(support::key_pair().key.clone().into());
    let signing = key::read(&key, None, None).unwrap();
    let org = Org {
        name: OrgName::default_org(),
        login_url: url.to_owned(),
        client_id: support::CLIENT_ID.to_owned(),
        username: support::USERNAME.to_owned(),
        audience: url.to_owned(),
        key,
        key_password: None,
        key_alias: None,
        cert_file: None::<PathBuf>,
        api_version: api_version.to_owned(),
        max_concurrent_runs: None,
        instance_hosts: Vec::new(),
        org_id: None,
        api_reserve: None,
    };
    let settings = config::Http {
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        attempts: 3,
        wait_min: Duration::ZERO,
        wait_max: Duration::ZERO,
        page_cap,
        batch_size: 2_000,
        gzip: true,
        ca_file: None,
    };
    let clock = Arc::new(TestClock::new(jiff::Timestamp::now()));
    let edges = Arc::new(Edges {
        retry: RetryPolicy {
            attempts: settings.attempts,
            wait_min: Duration::ZERO,
            wait_max: Duration::ZERO,
        },
        batch_size: settings.batch_size,
        http: Http::new(settings),
        clock,
        monitor: Arc::new(Silent),
        scratch_dir: std::env::temp_dir(),
        state: None,
        slots: Slots::default(),
    });
    OrgClient::new(Arc::new(org), Arc::new(signing), edges, None)
}

fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut request = Received { method, target, headers, body: String::new() };
    let length = request.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    Some(request)
}

fn ok(body: impl Into<Vec<u8>>) -> (String, String, Vec<u8>) {
    ("200 OK".to_owned(), "Content-Type: application/json\r\n".to_owned(), body.into())
}

fn expired() -> (String, String, Vec<u8>) {
    let body = "[{\"message\":\"Session expired or invalid\",\"errorCode\":\"INVALID_SESSION_ID\"}]";
    ("401 Unauthorized".to_owned(), String::new(), body.into())
}

#[tokio::test]
async fn each_kind_of_call_is_sent_as_it_says() {
    let server = Server::start(|_, request| {
        let (_, headers, _) = ok("");
        match request.method.as_str() {
            "DELETE" => ("204 No Content".to_owned(), headers, Vec::new()),
            "POST" => {
                ("201 Created".to_owned(), format!("{headers}Sforce-Locator: MTAwMDA\r\n"), b"{}".to_vec())
            }
            _ => ok("{}"),
        }
    });
    let client = server.client();
    let jobs = "/services/data/v62.0/jobs/query";
    let json = |text: &'static str| Payload::Json(text.as_bytes().into());
    let create = Call::post(jobs, json("{\"operation\":\"query\"}"));
    let created = client.call(&create, &mut Attempts::default()).await.unwrap();
    assert_eq!((created.head.status, created.head.header("sforce-locator")), (201, Some("MTAwMDA")));
    assert_eq!(created.body(), b"{}");
    for call in [
        Call::patch(format!("{jobs}/750"), json("{\"state\":\"Aborted\"}")),
        Call::put(format!("{jobs}/750/batches"), Payload::Csv(b"Id\n1\n"[..].into())),
        Call::get(format!("{jobs}/750/results?maxRecords=5")).header("Accept", "text/csv"),
        Call::delete(format!("{jobs}/750")),
    ] {
        client.call(&call, &mut Attempts::default()).await.unwrap();
    }
    let sent: Vec<_> = server
        .calls()
        .iter()
        .map(|request| {
            let kind = request.header("content-type").to_owned();
            let accept = request.header("accept").to_owned();
            assert_eq!(request.header("authorization"), "Bearer 00D000000000001!test.token");
            (request.method.clone(), request.target.clone(), kind, accept, request.body.clone())
        })
        .collect();
    let row = |method: &str, target: &str, kind: &str, accept: &str, body: &str| {
        let target = format!("{jobs}{target}");
        (method.to_owned(), target, kind.to_owned(), accept.to_owned(), body.to_owned())
    };
    let (json, csv) = ("application/json;charset=UTF-8", "text/csv;charset=UTF-8");
    assert_eq!(
        sent,
        [
            row("POST", "", json, "application/json", "{\"operation\":\"query\"}"),
            row("PATCH", "/750", json, "application/json", "{\"state\":\"Aborted\"}"),
            row("PUT", "/750/batches", csv, "application/json", "Id\n1\n"),
            row("GET", "/750/results?maxRecords=5", "", "text/csv", ""),
            row("DELETE", "/750", "", "application/json", ""),
        ]
    );
}

#[tokio::test]
async fn a_lost_session_is_renewed_and_the_same_call_made_again() {
    // Lost twice, with a response in between: each is a new loss.
    let server = Server::start(|call, _| if call == 1 || call == 3 { expired() } else { ok("{}") });
    let client = server.client();
    for number in 0..2 {
        let path = format!("/services/data/v62.0/jobs/query/{number}");
        let call = Call::patch(path, Payload::Json(b"{}"[..].into()));
        client.call(&call, &mut Attempts::default()).await.unwrap();
    }
    let targets: Vec<String> = server.received().into_iter().map(|request| request.target).collect();
    let (login, [first, second]) = (
        "/services/oauth2/token",
        ["/services/data/v62.0/jobs/query/0", "/services/data/v62.0/jobs/query/1"],
    );
    assert_eq!(targets, [login, first, login, first, second, login, second]);
    assert_eq!(server.calls()[0].body, server.calls()[1].body);
}

#[tokio::test]
async fn a_session_lost_twice_in_a_row_is_not_renewed_again() {
    let server = Server::start(|_, _| expired());
    let client = server.client();
    let call = Call::get("/services/data/v62.0/limits");
    let fault = client.call(&call, &mut Attempts::default()).await.err().unwrap();
    assert_eq!(fault.kind, FaultKind::SessionExpired);
    assert_eq!(server.received().len(), 4, "two logins and two calls");
}

#[tokio::test]
async fn only_a_call_without_bounds_may_exceed_page_cap() {
    let server = Server::start(|_, _| ok(vec![b'x'; 5_000]));
    let client = server.client();
    let path = "/services/data/v62.0/jobs/query/750/results";
    let fault = client.call(&Call::get(path), &mut Attempts::default()).await.err().unwrap();
    assert_eq!(fault.kind, FaultKind::InvalidResponse);
    let mut response = client.open(&Call::get(path).unbounded(), &mut Attempts::default()).await.unwrap();
    // Taken as it arrives, no more than a piece is held.
    let mut length = 0;
    while response.more().await.unwrap() {
        length += response.take_body().len();
        assert!(response.body().is_empty());
    }
    assert_eq!(length, 5_000);
}

#[tokio::test]
async fn attempts_spent_before_count_with_those_of_a_call() {
    let server = Server::start(|_, _| ("503 Service Unavailable".to_owned(), String::new(), Vec::new()));
    let client = server.client();
    let mut attempts = Attempts::default();
    let call = Call::get("/services/data/v62.0/limits");
    client.call(&call, &mut attempts).await.err().unwrap();
    assert_eq!((server.calls().len(), attempts.spent()), (3, 3));
    client.call(&call, &mut attempts).await.err().unwrap();
    assert_eq!(server.calls().len(), 4);
}

/// A deployment whose org logs in at this URL.
fn with_login_url(url: &str, more: &str) -> Deployment {
    let at = Deployment::new(10);
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    let table = at.org_table("org").replace(at.org().url(), url);
    at.write("sfexport.toml", format!("{table}{}{}\n{more}", support::ON_REST, support::NO_WAITS));
    at
}

/// A proxy that responds to each request for a tunnel with this status; what it was asked.
fn proxy(status: &'static str) -> (String, Arc<Mutex<Vec<Received>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            all.lock().unwrap().extend(read(&mut stream));
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        }
    });
    (address, asked)
}

/// `run` and `check` with this proxy end with the same status and say the same.
#[track_caller]
fn ends_behind(at: &Deployment, variables: &[(&str, &str)], status: i32, says: &[&str]) {
    for arguments in [&["run", "accounts"][..], &["check", "accounts"]] {
        let mut command = at.command(arguments);
        command.envs(variables.iter().copied());
        let outcome = at.outcome(command.output().unwrap()).ended(status);
        let said = format!("{}{}", outcome.stdout(), outcome.stderr);
        for part in says {
            assert!(said.contains(part), "{arguments:?}: {part:?} is not in\n{said}");
        }
        assert!(!said.contains("s3%23cret") && !said.contains("s3#cret"), "{said}");
        assert!(!said.contains("os error"), "{said}");
    }
}

#[test]
fn a_proxy_that_wants_a_password_is_named_and_not_asked_again() {
    let at = with_login_url("https://login.salesforce.com", "");
    let (address, asked) = proxy("407 Proxy Authentication Required");
    let url = format!("\"http://me:s3%23cret@{address}\" ");
    let shown = format!("the proxy \"http://{address}\" (HTTPS_PROXY) requires a user name and a password");
    ends_behind(&at, &[("HTTPS_PROXY", &url)], 77, &[&shown, "percent-encoded"]);
    // Of each command the request itself, and the one that finds out why it failed.
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 4, "{asked:?}");
    for request in asked {
        assert_eq!(
            (request.method.as_str(), request.target.as_str()),
            ("CONNECT", "login.salesforce.com:443")
        );
        // `printf %s 'me:s3#cret' | base64`
        assert_eq!(request.header("proxy-authorization"), "Basic bWU6czMjY3JldA==");
    }
}

#[test]
fn a_proxy_that_refuses_the_host_is_named_with_its_status() {
    let at = with_login_url("https://login.salesforce.com", "attempts = 1\n");
    let (address, _) = proxy("403 Forbidden");
    let shown = format!(
        "the proxy \"http://{address}\" (https_proxy) refused to connect to \"login.salesforce.com\" (status 403)"
    );
    ends_behind(&at, &[("https_proxy", &format!("'{address}'"))], 69, &[&shown, "NO_PROXY"]);
}

#[test]
fn a_proxy_that_cannot_be_reached_is_named_instead_of_the_login_host() {
    let at = with_login_url("https://login.salesforce.com", "attempts = 1\n");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let shown = format!("cannot reach the proxy \"http://{gone}\" (HTTPS_PROXY): the connection was refused");
    ends_behind(&at, &[("HTTPS_PROXY", &gone)], 69, &[&shown, "check the proxy's host and port"]);
    // A label of 64 characters is refused without asking any server.
    let unknown = "x".repeat(64);
    let shown = format!("(HTTPS_PROXY): the name \"{unknown}\" cannot be resolved");
    ends_behind(
        &at,
        &[("HTTPS_PROXY", &format!("http://{unknown}:3128"))],
        69,
        &["cannot reach the proxy", &shown],
    );
}

#[test]
fn a_proxy_that_cannot_be_read_is_not_passed_over() {
    let at = with_login_url("https://login.salesforce.com", "");
    let says = ["HTTPS_PROXY is not a URL", "percent-encode the user and the password"];
    ends_behind(&at, &[("HTTPS_PROXY", "http://me:s3#cret@p:3128")], 78, &says);
}

#[test]
fn a_star_in_no_proxy_is_honoured() {
    let host = format!("{}.my.salesforce.com", "x".repeat(64));
    let at = with_login_url(&format!("https://{host}"), "attempts = 1\n");
    let (address, asked) = proxy("403 Forbidden");
    let variables = [("HTTPS_PROXY", address.as_str()), ("NO_PROXY", "*.salesforce.com")];
    // A label of 64 characters is refused without asking any server.
    let shown = format!("cannot reach \"{host}\": ");
    ends_behind(&at, &variables, 69, &[&shown, "login_url"]);
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn one_bad_certificate_of_ca_file_spoils_no_other() {
    let at = Deployment::new(10);
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    at.configure("ca_file = \"ca.pem\"");
    let good = &support::key_pair().certificate;
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    at.write("ca.pem", format!("{bad}{good}"));
    let said = ["cannot use the certificate at line 1 of", "ca.pem: it is not an X.509 certificate"];
    at.run(["run", "accounts"]).ended(0).says(&said);
    let step = |outcome: support::Outcome| {
        let mut steps = outcome.reports().into_iter();
        steps.find(|step| step["step"] == "network" && step["outcome"] != "passed").unwrap()
    };
    let warned = step(at.run(["check", "accounts", "--json"]).ended(0));
    assert!(warned["what"].as_str().unwrap().ends_with(said[1]), "{warned}");
    // Nothing but what cannot be used is an error, in both.
    for (text, said) in
        [(bad, "cannot use the certificate at line 1"), ("-----BEGIN PKCS7-----\n", "contains PKCS#7")]
    {
        at.write("ca.pem", text);
        at.run(["run", "accounts"]).ended(78).says(&[said, "hint: "]);
        let failed = step(at.run(["check", "accounts", "--json"]).ended(78));
        assert!(failed["what"].as_str().unwrap().contains(said), "{failed}");
    }
}

/// A page without an end: it names a next one, whose number is one more.
fn endless(call: usize, records: &str) -> (String, String, Vec<u8>) {
    let next = format!("/services/data/v62.0/query/0r8Dm0000000000QAS-{call}");
    ok(format!("{{\"totalSize\":5,\"done\":false,\"nextRecordsUrl\":\"{next}\",\"records\":[{records}]}}"))
}

#[test]
fn pages_without_records_are_not_asked_for_without_end() {
    let server = Server::start(|call, _| endless(call, ""));
    let at = with_login_url(&server.url, "");
    at.run(["run", "accounts"]).ended(74).says(&["11 pages in a row without a record", "hint: "]);
    // One more may have been asked for ahead when the eleventh was read.
    let asked = server.calls().len();
    assert!((11..=12).contains(&asked), "{asked} pages were asked for");
}

#[test]
fn child_pages_without_records_are_not_asked_for_without_end() {
    let attributes = "\"attributes\":{\"type\":\"Account\",\"url\":\"/x\"}";
    for (child, said) in [
        ("", "11 pages in a row without a record"),
        (
            "{\"attributes\":{\"type\":\"Contact\",\"url\":\"/x\"},\"Id\":\"003\"}",
            "a child query has 5 records, and 6 or more",
        ),
    ] {
        let server = Server::start(move |call, _| {
            let (status, headers, children) = endless(call, child);
            match call {
                1 => {
                    let children = String::from_utf8(children).unwrap();
                    let record = format!("{{{attributes},\"Id\":\"001\",\"Contacts\":{children}}}");
                    ok(format!("{{\"totalSize\":1,\"done\":true,\"records\":[{record}]}}"))
                }
                _ => (status, headers, children),
            }
        });
        let at = with_login_url(&server.url, "");
        at.job("accounts", "SELECT Id, (SELECT Id FROM Contacts) FROM Account", "accounts.csv", "");
        at.run(["run", "accounts"]).ended(74).says(&[said]);
        assert!(server.calls().len() <= 24, "{} calls", server.calls().len());
    }
}

#[test]
fn a_login_that_gets_a_page_says_so_in_run_and_check() {
    let at = Deployment::new(10);
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    at.script(Rule::always(At::Login(1), Fault::html(200, "<html>Please sign in</html>")));
    let said = "responded to the login with a page of HTML instead of a token (status 200)";
    at.run(["run", "accounts"]).ended(74).says(&[said, "hint: check login_url"]);
    assert!(at.run(["check"]).ended(74).stdout().contains(said));
}

#[test]
fn a_name_below_localhost_is_asked_directly() {
    let at = Deployment::new(10);
    at.job("accounts", "SELECT Id FROM Account", "accounts.csv", "");
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
    for host in ["localhost", "x.localhost", "127.0.0.1"] {
        let url = at.org().url().replace("127.0.0.1", host);
        let table = at.org_table("org").replace(at.org().url(), &url);
        let text = format!("{table}audience = \"{}\"\n{}\n", at.org().url(), support::NO_WAITS);
        at.write("sfexport.toml", text);
        let mut command = at.command(["run", "accounts"]);
        command.env("HTTP_PROXY", &proxy_url).env("http_proxy", &proxy_url).env("ALL_PROXY", &proxy_url);
        at.outcome(command.output().unwrap()).ended(0);
        assert_eq!(proxy.accept().expect_err(host).kind(), ErrorKind::WouldBlock);
    }
}

/// The names of the data set's objects, and a client of its org.
fn objects_of(at: &Deployment, api_version: &str) -> (Vec<&'static str>, OrgClient) {
    let names = at.data().objects().iter().map(|object| object.name).collect();
    (names, client(at.org().url(), api_version, 1 << 20))
}

/// How many requests went to `composite/batch`, and how many to a single describe.
fn describes(at: &Deployment) -> (usize, usize) {
    let batches = at.queries().into_iter().filter(|request| request.path().ends_with("/composite/batch"));
    let single = at.queries().into_iter().filter(|request| request.path().ends_with("/describe"));
    (batches.count(), single.count())
}

fn describe(name: &str) -> At {
    At::Containing(format!("/sobjects/{name}/describe"))
}

#[test]
fn many_objects_are_described_by_one_request() {
    let at = Deployment::new(20);
    let (names, client) = objects_of(&at, "62.0");
    let mut asked = names.clone();
    // 26 objects are one too many for a batch.
    asked.extend(std::iter::repeat_n("Account", 26 - names.len()));
    let described = at.block_on(client.describe_objects(&asked));
    assert_eq!(describes(&at), (1, 1));
    for (name, described) in asked.iter().zip(described) {
        let described = described.unwrap();
        let expected: Vec<_> =
            at.data().object(name).unwrap().fields.iter().map(|field| field.name).collect();
        let fields: Vec<_> = described.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!((described.name.as_str(), fields), (*name, expected));
    }
}

#[test]
fn one_object_that_fails_costs_the_others_nothing() {
    let at = Deployment::new(20);
    let (names, client) = objects_of(&at, "62.0");
    at.script(Rule::always(describe("Contact"), Fault::error(403, "INSUFFICIENT_ACCESS", "no access")));
    at.script(Rule::once(describe("Account"), Fault::error(406, "CustomNotAcceptable", "come again")));
    at.script(Rule::always(describe("Task"), Fault::error(500, "UNKNOWN_EXCEPTION", "1234-5678 (-1)")));
    let described = at.block_on(client.describe_objects(&names));
    for (name, described) in names.iter().zip(described) {
        match *name {
            "Contact" => {
                let fault = described.unwrap_err();
                assert_eq!(fault.code, Some(ErrorCode::Other("INSUFFICIENT_ACCESS".to_owned())));
                assert_eq!(fault.kind, FaultKind::QueryRefused);
            }
            "Task" => {
                let fault = described.unwrap_err();
                assert_eq!(fault.kind, FaultKind::Unavailable);
                assert!(fault.what.ends_with("(after 3 attempts)"), "{}", fault.what);
            }
            name => assert_eq!(described.unwrap().name, name),
        }
    }
    // All, then Account and Task, then Task alone.
    let batches = at.requests_to("/services/data/v62.0/composite/batch");
    let has = |batch: &sfexport::demo_org::Request, name: &str| {
        String::from_utf8_lossy(&batch.body).contains(&format!("/sobjects/{name}/"))
    };
    let asked: Vec<_> =
        batches.iter().map(|batch| ["Contact", "Account", "Task"].map(|name| has(batch, name))).collect();
    assert_eq!(asked, [[true, true, true], [false, true, true], [false, false, true]]);
}

#[test]
fn a_batch_that_is_cut_is_asked_for_the_rest() {
    let at = Deployment::new(20);
    let (names, client) = objects_of(&at, "62.0");
    let whole = at.block_on(client.describe_objects(&names));
    let batch = || At::Containing("/composite/batch".to_owned());
    at.script(Rule::once(batch(), Fault::Truncate { after: 150_000 }));
    let described = at.block_on(client.describe_objects(&names));
    assert!(described == whole);
    let batches = at.requests_to("/services/data/v62.0/composite/batch");
    let [.., cut, rest] = batches.as_slice() else { panic!("{batches:?}") };
    assert!(rest.body.len() < cut.body.len());
    // A session that ends is renewed.
    at.script(Rule::once(batch(), Fault::ExpiredSession));
    at.script(Rule::once(describe("Task"), Fault::ExpiredSession));
    assert!(at.block_on(client.describe_objects(&names)) == whole);
}

#[test]
fn an_org_that_takes_no_batches_is_asked_for_each_object() {
    let at = Deployment::new(20);
    let (names, client) = objects_of(&at, "62.0");
    let batch = || At::Containing("/composite/batch".to_owned());
    at.script(Rule::always(batch(), Fault::error(404, "NOT_FOUND", "The requested resource does not exist")));
    for _ in 0..2 {
        let described = at.block_on(client.describe_objects(&names));
        assert!(described.iter().all(Result::is_ok));
    }
    assert_eq!(describes(&at), (1, 2 * names.len()));
    // Before version 34.0 there are no batches.
    let at = Deployment::new(20);
    let (names, client) = objects_of(&at, "33.0");
    assert!(at.block_on(client.describe_objects(&names)).iter().all(Result::is_ok));
    assert_eq!(describes(&at), (0, names.len()));
}

#[test]
fn an_org_that_stops_responding_fails_all_descriptions() {
    let at = Deployment::new(20);
    let (names, client) = objects_of(&at, "62.0");
    at.block_on(client.session()).unwrap();
    let limit = Fault::error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
    at.script(Rule::always(At::Containing("/services/data/".to_owned()), limit));
    let described = at.block_on(client.describe_objects(&names));
    assert!(described.iter().all(|described| described.as_ref().unwrap_err().kind == FaultKind::Limit));
    assert_eq!(describes(&at), (1, 0));
}

/// The response of an instance with this date, as it sends its API versions.
fn versions(date: &str) -> (String, String, Vec<u8>) {
    let (status, headers, body) =
        ok("[{\"label\":\"Winter '25\",\"url\":\"/services/data/v62.0\",\"version\":\"62.0\"}]");
    (status, format!("{headers}{date}"), body)
}

#[tokio::test]
async fn the_orgs_clock_is_the_date_of_its_instance() {
    let server = Server::start(|_, _| versions("Date: Sun, 22 Nov 2026 02:00:00 GMT\r\n"));
    let client = server.client();
    let time = client.org_time().await.unwrap();
    assert_eq!(time.org, "2026-11-22T02:00:00Z".parse().unwrap());
    assert_eq!(time.ahead(), time.org.duration_since(time.own));
    let targets: Vec<_> = server.calls().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/services/data"], "which is free");
}

#[tokio::test]
async fn an_instance_without_a_clock_is_not_given_another() {
    for (date, says) in
        [("", "its response has no date"), ("Date: soon\r\n", "its response has the date \"soon\"")]
    {
        let server = Server::start(move |_, _| versions(date));
        let fault = server.client().org_time().await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidResponse);
        assert!(fault.what.ends_with(says) && fault.hint.unwrap().contains("Date header"), "{}", fault.what);
    }
}

/// A log of deletes: one record in each minute from 01:00 to 01:59, whole from and until these minutes. A window with more
/// than `most` is refused.
fn log(most: usize, whole: Range<u32>) -> impl Fn(usize, &Received) -> (String, String, Vec<u8>) {
    move |_, request| {
        let minute = |name: &str| -> u32 {
            let (_, rest) = request.target.split_once(&format!("{name}=2026-11-22T01%3A")).unwrap();
            assert!(rest[2..].starts_with("%3A00%2B00%3A00"), "{rest}");
            rest[..2].parse().unwrap()
        };
        let (start, end) = (minute("start"), minute("end"));
        let refused = |code: &str| {
            let body = format!("[{{\"message\":\"refused\",\"errorCode\":\"{code}\"}}]");
            ("400 Bad Request".to_owned(), String::new(), body.into_bytes())
        };
        match (end - start) as usize {
            0 | 1 => return refused("INVALID_REPLICATION_DATE"),
            records if records > most => return refused("EXCEEDED_ID_LIMIT"),
            _ => {}
        }
        let date = |minute: u32| format!("2026-11-22T01:{minute:02}:00.000+0000");
        let records = (start..end).map(|minute| {
            serde_json::json!({"id": format!("001000000000{minute:03}AAA"), "deletedDate": date(minute)})
        });
        let body = serde_json::json!({
            "deletedRecords": records.collect::<Vec<_>>(),
            "earliestDateAvailable": date(whole.start),
            "latestDateCovered": date(end.min(whole.end)),
        });
        ok(body.to_string())
    }
}

fn at(time: &str) -> jiff::Timestamp {
    format!("2026-11-22T{time}Z").parse().unwrap()
}

/// The windows that were asked for, as in `10-20`.
fn windows(server: &Server) -> Vec<String> {
    let minute = |target: &str, name: &str| {
        target.split_once(&format!("{name}=2026-11-22T01%3A")).unwrap().1[..2].to_owned()
    };
    let window = |target: &str| format!("{}-{}", minute(target, "start"), minute(target, "end"));
    server.calls().iter().map(|request| window(&request.target)).collect()
}

#[tokio::test]
async fn deletes_are_asked_for_in_whole_minutes() {
    let server = Server::start(log(600, 0..59));
    let client = server.client();
    let deleted = client.deleted_since("Account", at("01:10:30"), at("01:20:59")).await.unwrap();
    assert_eq!(windows(&server), ["10-20"]);
    assert!(server.calls()[0].target.starts_with("/services/data/v62.0/sobjects/Account/deleted/?start="));
    let dates: Vec<_> = deleted.records.iter().map(|record| record.deleted_at).collect();
    assert_eq!(dates, (10..20).map(|minute| at(&format!("01:{minute}:00"))).collect::<Vec<_>>());
    assert_eq!((deleted.covered, deleted.is_complete), (at("01:20:00"), true));
    // Less than the org takes is not asked for, and comes next time.
    let deleted = client.deleted_since("Account", at("01:10:30"), at("01:11:59")).await.unwrap();
    assert!(deleted.records.is_empty() && deleted.is_complete);
    assert_eq!((deleted.covered, windows(&server).len()), (at("01:10:30"), 1));
}

#[tokio::test]
async fn too_many_deletes_are_asked_for_by_halves() {
    let server = Server::start(log(5, 0..59));
    let deleted = server.client().deleted_since("Account", at("01:10:00"), at("01:22:00")).await.unwrap();
    assert_eq!(windows(&server), ["10-22", "10-16", "10-13", "13-16", "16-22", "16-19", "19-22"]);
    assert_eq!(deleted.records.len(), 12);
    assert_eq!((deleted.covered, deleted.is_complete), (at("01:22:00"), true));
    // Where halves would be too short, the deletes of those minutes cannot be known.
    let server = Server::start(log(2, 0..59));
    let deleted = server.client().deleted_since("Account", at("01:10:00"), at("01:15:00")).await.unwrap();
    assert_eq!(windows(&server), ["10-15", "10-12", "12-15"]);
    assert_eq!((deleted.records.len(), deleted.covered), (2, at("01:15:00")));
    assert!(!deleted.is_complete);
}

#[tokio::test]
async fn a_log_is_read_up_to_where_it_is_whole() {
    let server = Server::start(log(5, 0..13));
    let deleted = server.client().deleted_since("Account", at("01:10:00"), at("01:20:00")).await.unwrap();
    assert_eq!(windows(&server), ["10-20", "10-15"], "the second half comes next time");
    assert_eq!((deleted.covered, deleted.is_complete), (at("01:13:00"), true));
    // One that ends before the start says nothing new.
    let server = Server::start(log(600, 0..5));
    let deleted = server.client().deleted_since("Account", at("01:10:00"), at("01:20:00")).await.unwrap();
    assert_eq!((deleted.covered, deleted.is_complete), (at("01:10:00"), true));
}

#[tokio::test]
async fn a_purged_log_is_not_taken_for_a_whole_one() {
    let server = Server::start(log(600, 11..59));
    let client = server.client();
    for (start, is_complete) in [("01:11:00", true), ("01:10:59", false), ("01:11:30", true)] {
        let deleted = client.deleted_since("Account", at(start), at("01:20:00")).await.unwrap();
        assert_eq!(deleted.is_complete, is_complete, "{start}");
    }
    let server = Server::start(|_, _| {
        let body = "[{\"message\":\"startDate before org replication enabled date\",\
                    \"errorCode\":\"INVALID_REPLICATION_DATE\"}]";
        ("400 Bad Request".to_owned(), String::new(), body.into())
    });
    let deleted = server.client().deleted_since("Account", at("01:10:00"), at("01:20:00")).await.unwrap();
    assert!(!deleted.is_complete && deleted.records.is_empty());
    assert_eq!(deleted.covered, at("01:10:00"));
}

#[tokio::test]
async fn a_log_that_is_cut_is_asked_for_again() {
    let whole = log(600, 0..59);
    let server = Server::start(move |call, request| {
        let (status, headers, mut body) = whole(call, request);
        body.truncate(if call == 1 { 100 } else { usize::MAX });
        (status, headers, body)
    });
    let deleted = server.client().deleted_since("Account", at("01:10:00"), at("01:20:00")).await.unwrap();
    assert_eq!((deleted.records.len(), server.calls().len()), (10, 2));
}
