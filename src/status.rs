//! The status port: whether the daemon lives and is ready, its metrics, and a page for people. What it tells is
//! gathered by [`RunStats`], a monitor, and asked of the daemon itself.

pub mod metrics;
pub mod page;
mod run_stats;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::agenda::JobSnapshot;
use crate::daemon::{Handle, Reading};

pub use run_stats::RunStats;

/// How long the daemon's loop may stand still until it counts as dead: three times its longest sleep.
const MAX_LOOP_PAUSE: Duration = Duration::from_secs(90);

/// How long the daemon may take to say how its jobs stand.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(5);

/// How many connections are open at once; the system lets more wait.
const MAX_CONNECTIONS: usize = 64;

/// How long a connection is open: twice as long as an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the stats do not know by itself.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The time.
    pub now: Timestamp,
    /// How the jobs stand, by name.
    pub snapshots: Vec<JobSnapshot>,
    /// How the configuration was last read.
    pub reading: Reading,
    /// Whether no further run starts.
    pub stopping: bool,
}

impl Snapshot {
    fn snapshot(&self, job: &str) -> Option<&JobSnapshot> {
        let place = self.snapshots.binary_search_by(|snapshot| snapshot.job.as_str().cmp(job)).ok()?;
        self.snapshots.get(place)
    }
}

/// Answers on the status port for as long as it is polled: one request a connection, which has ten seconds for it, and
/// no more than 64 at once. Who says nothing, or does not listen, keeps no descriptor from the exports.
pub async fn serve(mut listener: TcpListener, stats: Arc<RunStats>, daemon: Handle) {
    let router = Router::new()
        .route("/", get(the_page))
        .route("/metrics", get(the_metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(AppState { stats, daemon });
    let mut server = Builder::new();
    server.keep_alive(false);
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Nobody closes it.
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        // The trait's own, which waits where there is no descriptor to be had.
        let (stream, _) = Listener::accept(&mut listener).await;
        let serving = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            let _ = tokio::time::timeout(REQUEST_TIMEOUT, serving).await;
            drop(place);
        });
    }
}

#[derive(Clone)]
struct AppState {
    stats: Arc<RunStats>,
    daemon: Handle,
}

impl AppState {
    async fn snapshot(&self) -> Result<Snapshot, Response> {
        let silent =
            || (StatusCode::SERVICE_UNAVAILABLE, PLAIN, "the daemon does not answer\n").into_response();
        let looked = tokio::time::timeout(SNAPSHOT_TIMEOUT, self.daemon.look()).await;
        let snapshots = looked.ok().flatten().ok_or_else(silent)?;
        Ok(Snapshot {
            now: self.stats.clock.now(),
            snapshots,
            reading: self.daemon.reading(),
            stopping: self.daemon.is_stopping(),
        })
    }
}

const PLAIN: [(HeaderName, &str); 2] =
    [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];

const METRICS: [(HeaderName, &str); 2] =
    [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")];

const HTML: [(HeaderName, &str); 4] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (CACHE_CONTROL, "no-store"),
    // Nothing is loaded and nothing runs, whatever an org's error text holds.
    (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

async fn the_page(State(face): State<AppState>) -> Response {
    match face.snapshot().await {
        Ok(snapshot) => (HTML, page::html(&face.stats, &snapshot)).into_response(),
        Err(response) => response,
    }
}

async fn the_metrics(State(face): State<AppState>) -> Response {
    match face.snapshot().await {
        Ok(snapshot) => (METRICS, metrics::text(&face.stats, &snapshot)).into_response(),
        Err(response) => response,
    }
}

async fn livez(State(face): State<AppState>) -> Response {
    match face.daemon.last_turn() {
        Some(still) if still > MAX_LOOP_PAUSE => {
            let what = format!("the daemon's loop has not turned for {} s\n", still.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, PLAIN, what).into_response()
        }
        _ => (PLAIN, "alive\n").into_response(),
    }
}

async fn readyz(State(face): State<AppState>) -> Response {
    let (status, what) = match (face.daemon.is_stopping(), face.daemon.last_turn()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        (false, None) => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        (false, Some(_)) => (StatusCode::OK, "ready\n"),
    };
    (status, PLAIN, what).into_response()
}
