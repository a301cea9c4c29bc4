//! The status port: whether the daemon is alive and ready, its metrics, and pages for people. What they show comes from
//! [`RunStats`], a monitor, and from the daemon itself.

mod connections;
mod host;
mod html;
mod job_page;
mod marks;
pub mod metrics;
mod overview;
pub mod page;
mod run_history;
mod run_stats;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1::Builder;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};

use crate::agenda::JobSnapshot;
use crate::clock::{self, Clock};
use crate::daemon::{ALIVE, Handle, Reading};
use crate::error::io_text;
use crate::job::{ExportKey, Job, JobName};
use crate::org::OrgName;
use crate::state::JobMark;

use connections::{Connections, HeadArrived};
use marks::Marks;

pub use run_stats::RunStats;

/// After this long without a turn, the daemon's loop counts as dead: three times its longest sleep.
const MAX_LOOP_PAUSE: Duration = Duration::from_secs(90);

/// How long the daemon may take to report the state of its jobs.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the rest may take: twice as long as the daemon has to answer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after a connection could not be accepted for lack of a descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What [`RunStats`] does not know by itself.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The time.
    pub now: Timestamp,
    /// The state of the jobs, by name and org.
    pub jobs: Vec<JobSnapshot>,
    /// How the configuration was last read.
    pub reading: Reading,
    /// How far the incremental jobs have come; `None` of those that have no mark yet.
    pub marks: BTreeMap<ExportKey, Option<JobMark>>,
    /// Whether no further run starts.
    pub stopping: bool,
}

impl Snapshot {
    fn mark(&self, key: &ExportKey) -> Option<&JobMark> {
        self.marks.get(key)?.as_ref()
    }

    fn job(&self, key: &ExportKey) -> Option<&JobSnapshot> {
        let place = self.jobs.binary_search_by(|job| job.job.cmp(key)).ok()?;
        self.jobs.get(place)
    }
}

/// Answers on the status port for as long as it is polled, one request per connection. Clients that send or read
/// nothing are closed in time, and sooner if others wait; none of them takes descriptors that exports need.
pub async fn serve(listener: TcpListener, stats: Arc<RunStats>, daemon: Handle) {
    let clock = Arc::clone(&stats.clock);
    let router = Router::new()
        .route("/", get(status_page))
        .route("/jobs/{name}", get(job_page))
        .route("/jobs/{name}/{org}", get(job_page_of_org))
        .route("/orgs/{org}", get(org_page))
        .route("/metrics", get(metrics_page))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(AppState { stats, daemon, marks: Marks::default() });
    let mut connections = Connections::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => connections.admit(peer.ip(), |head_arrived| {
                answer(stream, router.clone(), Arc::clone(&clock), head_arrived)
            }),
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::warn!(
                    error = io_text(&error),
                    "status port cannot accept connections; trying again"
                );
                clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether accepting failed because the client has gone already.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn answer(stream: TcpStream, router: Router, clock: Arc<dyn Clock>, head_arrived: HeadArrived) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| {
        head_arrived.store(true, Ordering::Relaxed);
        router.call(request)
    });
    let connection = Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let clock = clock.as_ref();
    // How a connection ends is the client's affair.
    let ended = clock::within(clock, HEAD_TIMEOUT, connection.as_mut()).await.is_some();
    if !ended && head_arrived.load(Ordering::Relaxed) {
        let _ = clock::within(clock, RESPONSE_TIMEOUT, connection).await;
    }
}

#[derive(Clone)]
struct AppState {
    stats: Arc<RunStats>,
    daemon: Handle,
    marks: Marks,
}

impl AppState {
    async fn snapshot(&self) -> Result<Snapshot, Response> {
        let silent =
            || (StatusCode::SERVICE_UNAVAILABLE, PLAIN, "the daemon does not respond\n").into_response();
        let clock = self.stats.clock.as_ref();
        let jobs = clock::within(clock, SNAPSHOT_TIMEOUT, self.daemon.look()).await.flatten();
        Ok(Snapshot {
            now: clock.now(),
            jobs: jobs.ok_or_else(silent)?,
            marks: self.marks.of(self.daemon.config(), clock).await,
            reading: self.daemon.reading(),
            stopping: self.daemon.is_stopping(),
        })
    }

    /// The response to a request that names another site's host.
    fn refusal(&self, uri: &Uri, headers: &HeaderMap) -> Option<Response> {
        let name = host::named(uri, headers)?;
        if host::is_allowed(name, &self.daemon.config().settings.status.hosts) {
            return None;
        }
        let what = "unknown host name; add it to hosts in [status] to allow it\n";
        Some((StatusCode::MISDIRECTED_REQUEST, PLAIN, what).into_response())
    }
}

const PLAIN: [(HeaderName, &str); 2] =
    [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];

const METRICS: [(HeaderName, &str); 2] =
    [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")];

/// A page for people.
fn html_response(status: StatusCode, page: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, html::CONTENT_SECURITY_POLICY.as_str()),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, page).into_response()
}

async fn status_page(State(state): State<AppState>, uri: Uri, headers: HeaderMap) -> Response {
    if let Some(refusal) = state.refusal(&uri, &headers) {
        return refusal;
    }
    match state.snapshot().await {
        Ok(snapshot) => html_response(StatusCode::OK, page::html(&state.stats, &snapshot)),
        Err(response) => response,
    }
}

/// The page of one job, or of its orgs if it has several. A name that is not text belongs to no job.
async fn job_page(
    State(state): State<AppState>,
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = state.refusal(&uri, &headers) {
        return refusal;
    }
    let name = name.map_or_else(|_| "?".to_owned(), |Path(name)| name);
    let config = state.daemon.config();
    let mut found = config.jobs.values().filter(|job| job.name.as_str() == name);
    let job = match (found.next(), found.next()) {
        (Some(job), Some(_)) => job,
        (only, _) => return page_of(&state, &name, None, only).await,
    };
    let page = state.snapshot().await.map(|snapshot| page::of_job(&state.stats, &snapshot, &job.name));
    // The daemon may be loading or unloading it just now.
    found_or(page, || job_page::unknown(&name, None))
}

/// The page of one job and org.
async fn job_page_of_org(
    State(state): State<AppState>,
    names: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = state.refusal(&uri, &headers) {
        return refusal;
    }
    let (name, org) = names.map_or_else(|_| ("?".to_owned(), "?".to_owned()), |Path(names)| names);
    let config = state.daemon.config();
    let job = key(&name, &org).and_then(|key| config.jobs.get(&key));
    page_of(&state, &name, Some(&org), job).await
}

/// The page of all jobs of an org.
async fn org_page(
    State(state): State<AppState>,
    org: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = state.refusal(&uri, &headers) {
        return refusal;
    }
    let name = org.map_or_else(|_| "?".to_owned(), |Path(org)| org);
    let Ok(org) = OrgName::parse(&name) else {
        return html_response(StatusCode::NOT_FOUND, job_page::unknown_org(&name));
    };
    let page = state.snapshot().await.map(|snapshot| page::of_org(&state.stats, &snapshot, &org));
    found_or(page, || job_page::unknown_org(&name))
}

fn key(job: &str, org: &str) -> Option<ExportKey> {
    Some(ExportKey::new(JobName::parse(job).ok()?, OrgName::parse(org).ok()?))
}

async fn page_of(state: &AppState, name: &str, org: Option<&str>, job: Option<&Arc<Job>>) -> Response {
    let unknown = || job_page::unknown(name, org);
    let Some(job) = job else {
        return html_response(StatusCode::NOT_FOUND, unknown());
    };
    let page = state.snapshot().await.map(|snapshot| job_page::html(&state.stats, &snapshot, job));
    // The daemon may be loading or unloading it just now.
    found_or(page, unknown)
}

/// A page, or another one if there is none.
fn found_or(page: Result<Option<String>, Response>, unknown: impl FnOnce() -> String) -> Response {
    match page {
        Ok(Some(page)) => html_response(StatusCode::OK, page),
        Ok(None) => html_response(StatusCode::NOT_FOUND, unknown()),
        Err(response) => response,
    }
}

async fn metrics_page(State(state): State<AppState>, uri: Uri, headers: HeaderMap) -> Response {
    if let Some(refusal) = state.refusal(&uri, &headers) {
        return refusal;
    }
    match state.snapshot().await {
        Ok(snapshot) => (METRICS, metrics::text(&state.stats, &snapshot)).into_response(),
        Err(response) => response,
    }
}

/// Reveals only that the process is alive, so probes may name any host.
async fn livez(State(state): State<AppState>) -> Response {
    match state.daemon.last_turn() {
        Some(pause) if pause > MAX_LOOP_PAUSE => {
            let what = format!("the daemon has not responded for {} s\n", pause.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, PLAIN, what).into_response()
        }
        _ => (PLAIN, ALIVE).into_response(),
    }
}

async fn readyz(State(state): State<AppState>) -> Response {
    let (status, what) = match (state.daemon.is_stopping(), state.daemon.last_turn()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        (false, None) => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        (false, Some(_)) if state.daemon.has_lost_state() => {
            (StatusCode::SERVICE_UNAVAILABLE, "state_dir is missing\n")
        }
        (false, Some(_)) => (StatusCode::OK, "ready\n"),
    };
    (status, PLAIN, what).into_response()
}
