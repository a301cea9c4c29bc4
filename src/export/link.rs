//! An org as one run speaks to it: a session that is granted once and renewed when it is lost, and requests that
//! are sent again as the retry policy says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, oneshot};

use super::Edges;
use crate::http::{Answer, Request};
use crate::key::SigningKey;
use crate::login;
use crate::monitor::Event;
use crate::org::Org;
use crate::report::{ApiLimit, RunId, RunReport};
use crate::retry::{Attempts, Decision};
use crate::salesforce::column_metadata;
use crate::salesforce::fault::{self, Fault, FaultKind};
use crate::salesforce::page::next_locator;
use crate::salesforce::query::QueryLocator;
use crate::salesforce::token::Session;
use crate::soql::Described;

/// How much of a page may have arrived before it is no longer searched for the next one's place: the head has a
/// few hundred bytes.
const MAX_HEAD_BYTES: usize = 4_096;

pub(super) struct Link {
    org: Arc<Org>,
    key: SigningKey,
    edges: Arc<Edges>,
    run: RunId,
    session: Mutex<Option<Arc<Session>>>,
    counts: Counts,
    /// Pages that were written, to be filled again: there are two at most, the written one and the one ahead. New
    /// memory for each, asked for on one thread and given back on another, grows the process by a third.
    spare: std::sync::Mutex<Vec<Vec<u8>>>,
}

#[derive(Default)]
struct Counts {
    logins: AtomicU64,
    api_calls: AtomicU64,
    retries: AtomicU64,
    /// Sessions lost since the last page was accepted.
    lost: AtomicU64,
    limit: std::sync::Mutex<Option<ApiLimit>>,
}

impl Link {
    pub(super) fn new(org: Arc<Org>, key: SigningKey, edges: Arc<Edges>, run: RunId) -> Self {
        Self {
            org,
            key,
            edges,
            run,
            session: Mutex::new(None),
            counts: Counts::default(),
            spare: std::sync::Mutex::default(),
        }
    }

    pub(super) fn run(&self) -> &RunId {
        &self.run
    }

    pub(super) fn notice(&self, event: &Event<'_>) {
        self.edges.monitor.notice(&self.run, event);
    }

    /// The session; logs in where there is none. Those who ask at once log in once.
    pub(super) async fn session(&self) -> Result<Arc<Session>, Fault> {
        let mut session = self.session.lock().await;
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        let mut attempts = Attempts::default();
        let granted = loop {
            match self.log_in().await {
                Ok(granted) => break Arc::new(granted),
                Err(fault) => self.wait_after(fault, &mut attempts).await?,
            }
        };
        self.counts.logins.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::clone(session.insert(granted)))
    }

    async fn log_in(&self) -> Result<Session, Fault> {
        let request = login::request(&self.org, &self.key, self.edges.clock.now())?;
        login::read(self.send(request).await?, &self.org).await.map_err(|denied| denied.fault)
    }

    async fn send(&self, request: Request<'_>) -> Result<Answer, Fault> {
        let answer = self.edges.http.send(request).await;
        self.notice(&Event::Answered { status: answer.as_ref().ok().map(|answer| answer.status) });
        answer
    }

    /// Forgets a session that the org no longer takes, so that the next request logs in. A second one lost before
    /// any page was accepted is the last: a login that brings a dead session would go on for ever.
    async fn lose(&self, session: &Arc<Session>, fault: Fault) -> Result<(), Fault> {
        let mut current = self.session.lock().await;
        if !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            return Ok(());
        }
        if self.counts.lost.fetch_add(1, Ordering::Relaxed) > 0 {
            return Err(fault.hint(
                "a new login brought a session that the org does not take either: look at the app's \
                                   session policies and the user's login history in Setup",
            ));
        }
        tracing::warn!(run_id = %self.run, fault = %fault, "logging in again");
        *current = None;
        Ok(())
    }

    /// A page was accepted: a session lost from here on is a new one.
    pub(super) fn page_accepted(&self) {
        self.counts.lost.store(0, Ordering::Relaxed);
    }

    /// Takes a page back that was written, for another to be read into it.
    pub(super) fn take_back(&self, page: Vec<u8>) {
        if let Ok(mut spare) = self.spare.lock() {
            spare.push(page);
        }
    }

    /// Fetches a page, trying as often as the policy allows, the tries counted that were spent on it before. `next`
    /// is told the next page's place as soon as the page's first bytes name it, while the rest is still on its way.
    pub(super) async fn page(
        &self,
        path: &str,
        mut next: Option<oneshot::Sender<QueryLocator>>,
        attempts: &mut Attempts,
    ) -> Result<Vec<u8>, Fault> {
        loop {
            let session = self.session().await?;
            match self.try_page(&session, path, &mut next).await {
                Ok(page) => return Ok(page),
                Err(fault) if fault.kind == FaultKind::SessionExpired => self.lose(&session, fault).await?,
                Err(fault) => self.wait_after(fault, attempts).await?,
            }
        }
    }

    /// Fetches the org's description of a query's columns, trying as often as the policy allows.
    pub(super) async fn description(&self, path: &str) -> Result<Vec<Described>, Fault> {
        let mut attempts = Attempts::default();
        loop {
            let fault = match column_metadata::read(&self.page(path, None, &mut attempts).await?) {
                Ok(described) => {
                    self.page_accepted();
                    return Ok(described);
                }
                Err(fault) => fault,
            };
            match fault.kind {
                FaultKind::Truncated => self.wait_after(fault, &mut attempts).await?,
                _ => return Err(fault),
            }
        }
    }

    async fn try_page(
        &self,
        session: &Session,
        path: &str,
        next: &mut Option<oneshot::Sender<QueryLocator>>,
    ) -> Result<Vec<u8>, Fault> {
        let request = Request {
            url: format!("{}{path}", session.instance_url),
            token: Some(&session.access_token),
            form: None,
            batch_size: Some(self.edges.batch_size),
        };
        self.counts.api_calls.fetch_add(1, Ordering::Relaxed);
        let mut answer = self.send(request).await?;
        if let (Some(limit), Ok(mut latest)) = (answer.limit, self.counts.limit.lock()) {
            *latest = Some(limit);
        }
        if answer.status != 200 {
            let body = match answer.body().await {
                Ok(body) => body,
                // These statuses say enough by themselves, also where what explains them was cut.
                Err(_) if matches!(answer.status, 401 | 410 | 414 | 420 | 429 | 431 | 500..=599) => {
                    Vec::new()
                }
                Err(fault) => return Err(fault),
            };
            return Err(fault::read(answer.head(), &body, &self.org.api_version));
        }
        if answer.is_html() {
            return Err(Fault::new(
                FaultKind::Truncated,
                "the org answered with a page of HTML in place of records",
            ));
        }
        if let Some(page) = self.spare.lock().ok().and_then(|mut spare| spare.pop()) {
            answer.fill(page);
        }
        read_page(&mut answer, next).await
    }

    /// Counts a try that failed, and waits before the next, or gives the fault back where there is to be none.
    pub(super) async fn wait_after(&self, fault: Fault, attempts: &mut Attempts) -> Result<(), Fault> {
        let decision = attempts.after(&fault, &self.edges.retry, self.edges.clock.fraction());
        let attempt = attempts.spent();
        let Decision::Wait(wait) = decision else {
            return Err(if attempt > 1 {
                Fault { what: format!("{} (after {attempt} attempts)", fault.what), ..fault }
            } else {
                fault
            });
        };
        tracing::warn!(run_id = %self.run, attempt, wait = wait.as_secs_f64(), fault = %fault, "trying again");
        self.notice(&Event::Waiting { fault: &fault.what, wait });
        self.counts.retries.fetch_add(1, Ordering::Relaxed);
        self.edges.clock.sleep(wait).await;
        Ok(())
    }

    /// Writes what was counted into a run's report.
    pub(super) fn report(&self, report: &mut RunReport) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        report.logins = read(&self.counts.logins);
        report.api_calls = read(&self.counts.api_calls);
        report.retries = read(&self.counts.retries);
        report.api_limit = self.counts.limit.lock().ok().and_then(|limit| *limit);
    }
}

async fn read_page(
    answer: &mut Answer,
    next: &mut Option<oneshot::Sender<QueryLocator>>,
) -> Result<Vec<u8>, Fault> {
    loop {
        let searched = answer.arrived().len();
        if !answer.more().await? {
            return answer.body().await;
        }
        let arrived = answer.arrived();
        if next.is_some()
            && searched < MAX_HEAD_BYTES
            && let Some(locator) = next_locator(&arrived[..arrived.len().min(MAX_HEAD_BYTES)])
        {
            // Nobody listens any more where the run is ending.
            let _ = next.take().map(|next| next.send(locator));
        }
    }
}
