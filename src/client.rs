//! One org, as `export`, `check`, `whoami` and `token` use it: a session that is granted once and renewed when it is lost,
//! calls that are repeated as the retry policy says, and counts of them. `descriptions` asks for many objects at once,
//! `query_jobs` uses Bulk API 2.0, `replication` asks for the clock and for deleted records.

mod descriptions;
mod query_jobs;
mod replication;

pub use replication::{Deleted, OrgTime};

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tracing::field::{DisplayValue, display};

use crate::export::{Edges, Promise, blocking};
use crate::http::Response;
use crate::job::JobName;
use crate::key::SigningKey;
use crate::monitor::Event;
use crate::org::{ApiReserve, Org};
use crate::report::{ApiLimit, RunId, RunReport};
use crate::retry::{Attempts, Decision, RetryPolicy};
use crate::salesforce::call::Call;
use crate::salesforce::describe::{self, ObjectDescription, ObjectSummary};
use crate::salesforce::fault::{self, Fault, FaultKind};
use crate::salesforce::identity::{self, Identity};
use crate::salesforce::response::Head;
use crate::salesforce::token::{self, LoginError, Session};
use crate::salesforce::{assertion, column_metadata, composite, limits, page, query, versions};
use crate::soql::Described;

/// How much of a large body is shown to its peeker: the head of a page has a few hundred bytes.
const PEEKED_BYTES: usize = 4_096;

/// Looks at the first bytes of a body while the rest is on its way, more of them each time, until it has seen enough
/// and gives `true`.
pub type Peek<'p> = &'p mut (dyn FnMut(&[u8]) -> bool + Send);

/// An org, its user's session and what was asked of it.
pub struct OrgClient {
    org: Arc<Org>,
    key: Arc<SigningKey>,
    edges: Arc<Edges>,
    retry: RetryPolicy,
    run: Option<RunId>,
    /// The job of `run`.
    job: Option<JobName>,
    /// The run of the set that `run` is one object's export of.
    set: Option<RunId>,
    shared: Arc<Shared>,
    counts: Counts,
    /// The further pages of the result that this client fetches, once its first page has shown what they cost.
    granted: std::sync::Mutex<Option<Promise>>,
    /// Buffers of pages that were written, to be filled again: two at most, the written page and the one ahead. New
    /// memory for each page, allocated on one thread and freed on another, grows the process by a third.
    spare_buffers: std::sync::Mutex<Vec<Vec<u8>>>,
}

/// What all exports of a set share.
#[derive(Default)]
struct Shared {
    session: Mutex<Option<Arc<Session>>>,
    /// Sessions lost since a response was last accepted.
    sessions_lost: AtomicU64,
    api_limit: std::sync::Mutex<Option<ApiLimit>>,
    /// The `Date` of the last response of success, in seconds since the epoch; 0 if none had one.
    date: AtomicI64,
    /// Whether the org refused a batch of descriptions.
    refuses_batches: AtomicBool,
}

#[derive(Default)]
struct Counts {
    logins: AtomicU64,
    api_calls: AtomicU64,
    retries: AtomicU64,
}

impl OrgClient {
    /// A client that logs in with this key at its first call, and retries as the settings say. `run` is the run that
    /// its events and log lines belong to.
    #[must_use]
    pub fn new(org: Arc<Org>, key: Arc<SigningKey>, edges: Arc<Edges>, run: Option<RunId>) -> Self {
        let (shared, counts, granted, spare_buffers) = Default::default();
        let (job, set, retry) = (None, None, edges.retry);
        Self { org, key, retry, edges, run, job, set, shared, counts, granted, spare_buffers }
    }

    /// The same client, whose log lines name this job.
    #[must_use]
    pub fn for_job(self, job: JobName) -> Self {
        Self { job: Some(job), ..self }
    }

    /// A client for the export of one object of this client's run: it shares the session, and counts its own requests.
    /// The monitor hears of them as of this client's.
    #[must_use]
    pub fn for_object(&self, run: RunId) -> Self {
        let (counts, granted, spare_buffers) = Default::default();
        Self {
            org: Arc::clone(&self.org),
            key: Arc::clone(&self.key),
            edges: Arc::clone(&self.edges),
            retry: self.retry,
            run: Some(run),
            job: self.job.clone(),
            set: self.run.clone(),
            shared: Arc::clone(&self.shared),
            counts,
            granted,
            spare_buffers,
        }
    }

    /// The same, but each call is sent once: for `check`, which shows what comes and goes.
    #[must_use]
    pub fn without_retries(self) -> Self {
        Self { retry: RetryPolicy { attempts: 1, ..self.retry }, ..self }
    }

    /// The org.
    #[must_use]
    pub fn org(&self) -> &Org {
        &self.org
    }

    /// The session; logs in if there is none. Callers that ask at once log in once.
    ///
    /// # Errors
    /// What kept the last attempt from being granted.
    pub async fn session(&self) -> Result<Arc<Session>, LoginError> {
        let mut session = self.shared.session.lock().await;
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        let mut attempts = Attempts::default();
        let granted = loop {
            match self.log_in().await {
                Ok(granted) => break Arc::new(granted),
                Err(LoginError { fault, refusal }) => {
                    let waited = self.wait_after(fault, &mut attempts).await;
                    waited.map_err(|fault| LoginError { fault, refusal })?;
                }
            }
        };
        self.counts.logins.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::clone(session.insert(granted)))
    }

    /// Logs in once, by a freshly signed assertion.
    async fn log_in(&self) -> Result<Session, LoginError> {
        let signed = assertion::sign(&self.org, self.key.encoding_key(), self.edges.clock.now())
            .map_err(|failure| Fault::new(FaultKind::Configuration, failure.what))?;
        let form = token::form(&signed);
        let mut response = self.send(&self.org.login_url, None, &token::call(&form)).await?;
        response.read().await?;
        token::read(&response.head, response.body(), &self.org)
    }

    /// Makes a call of the org's instance, as often as the policy allows, counting the attempts that were spent on it
    /// before, and gives the response with its whole body. A session that is over is renewed on the way.
    ///
    /// # Errors
    /// Whatever is not a response of success, and not a page of HTML instead of one.
    pub async fn call(&self, call: &Call<'_>, attempts: &mut Attempts) -> Result<Response, Fault> {
        let response = self.call_into(None, false, call, attempts, &mut |_| true).await?;
        self.accepted();
        Ok(response)
    }

    /// The same, but the body is still on its way: for one that is too large to be held. If its body breaks,
    /// [`OrgClient::wait_after`] tells whether to make the call again.
    ///
    /// # Errors
    /// As [`OrgClient::call`].
    pub async fn open(&self, call: &Call<'_>, attempts: &mut Attempts) -> Result<Response, Fault> {
        loop {
            let session = self.session().await?;
            self.admit_unless_granted(call)?;
            match self.open_once(&session, call).await {
                Ok(response) => return Ok(response),
                Err(fault) => self.recover(&session, fault, attempts).await?,
            }
        }
    }

    /// Fetches a page of records into a buffer that was given back, and shows its first bytes to `peek` as they
    /// arrive. Otherwise as [`OrgClient::call`]; whoever has read the page says so by [`OrgClient::accepted`].
    ///
    /// # Errors
    /// As [`OrgClient::call`].
    pub async fn page(
        &self,
        call: &Call<'_>,
        attempts: &mut Attempts,
        peek: Peek<'_>,
    ) -> Result<Vec<u8>, Fault> {
        let call = query::with_page_size(call, self.edges.batch_size);
        let is_granted = self.is_granted();
        let mut response =
            self.call_into(Some(&self.spare_buffers), is_granted, &call, attempts, peek).await?;
        if is_granted && let Some(promise) = self.granted().as_mut() {
            promise.made();
        }
        Ok(response.take_body())
    }

    /// Fetches a further page of a child query's records. What these cost is not known before they are needed, so the
    /// org's reserve is looked at for each.
    ///
    /// # Errors
    /// As [`OrgClient::call`].
    pub async fn page_of_children(&self, call: &Call<'_>, attempts: &mut Attempts) -> Result<Vec<u8>, Fault> {
        let call = query::with_page_size(call, self.edges.batch_size);
        let mut response =
            self.call_into(Some(&self.spare_buffers), false, &call, attempts, &mut |_| true).await?;
        Ok(response.take_body())
    }

    /// The reserve of API requests that this client must not touch: exports leave it to others, and what a person asks
    /// for is not held back.
    fn reserve(&self) -> Option<ApiReserve> {
        self.org.api_reserve.filter(|_| self.run.is_some())
    }

    /// Whether the further pages of a result may be asked for before the page at hand has been read: without a reserve
    /// always, with one as soon as they have been granted.
    #[must_use]
    pub fn may_ask_ahead(&self) -> bool {
        self.reserve().is_none() || self.is_granted()
    }

    /// A result is asked for, from its start: what was granted for another is void.
    pub fn begin_result(&self) {
        *self.granted() = None;
    }

    /// Decides at a result's first page whether its further pages may be fetched. From then on they are, even if others
    /// use up the org's requests meanwhile: giving up halfway would waste what was spent.
    ///
    /// # Errors
    /// As [`limits::admit`].
    pub(crate) fn grant(&self, calls: u64) -> Result<(), Fault> {
        let Some(reserve) = self.reserve() else { return Ok(()) };
        let org = &self.org.name;
        let promise = self.edges.slots.promise(org, calls, |promised| match self.api_limit() {
            Some(limit) => limits::admit(limit, reserve, org, promised, calls),
            None => Ok(()),
        })?;
        *self.granted() = Some(promise);
        Ok(())
    }

    /// Decides about a request that nothing has been granted for.
    fn admit(&self, call: &Call<'_>) -> Result<(), Fault> {
        match (self.reserve(), self.api_limit()) {
            (Some(reserve), Some(limit)) if call.is_counted() => {
                let promised = self.edges.slots.promised(&self.org.name);
                limits::admit(limit, reserve, &self.org.name, promised, 1)
            }
            _ => Ok(()),
        }
    }

    /// The same, but one of the requests that were granted is let through.
    fn admit_unless_granted(&self, call: &Call<'_>) -> Result<(), Fault> {
        match self.granted().as_mut() {
            Some(promise) => promise.made(),
            None => return self.admit(call),
        }
        Ok(())
    }

    fn is_granted(&self) -> bool {
        self.granted().is_some()
    }

    fn granted(&self) -> std::sync::MutexGuard<'_, Option<Promise>> {
        self.granted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Asks the org how many API requests are used, if a reserve has to be left to others. It is asked once: if it refuses
    /// or does not respond, the responses to the export's own requests say it too.
    pub(crate) async fn ask_for_usage(&self) {
        if self.reserve().is_none() {
            return;
        }
        match self.usage().await {
            Ok(Some(limit)) => self.set_api_limit(limit),
            Ok(None) => {}
            Err(fault) => {
                tracing::info!(job = self.job(), org = %self.org.name, run_id = self.run_id(), fault = %fault, "the org does not report its API limits");
            }
        }
    }

    async fn usage(&self) -> Result<Option<ApiLimit>, Fault> {
        let session = self.session().await?;
        let mut response = self.open_once(&session, &limits::call(&self.org.api_version)).await?;
        response.read().await?;
        Ok(response.head.api_limit().or_else(|| limits::daily(response.body())))
    }

    /// The warning about a reserve that could not be looked after, because the org reported no usage at all.
    pub(crate) fn unguarded_reserve(&self) -> Option<String> {
        let reserve = self.reserve().filter(|_| self.api_limit().is_none())?;
        Some(format!(
            "api_reserve = \"{reserve}\" could not be kept, because the org does not report how many API requests are used"
        ))
    }

    async fn call_into(
        &self,
        buffers: Option<&std::sync::Mutex<Vec<Vec<u8>>>>,
        is_granted: bool,
        call: &Call<'_>,
        attempts: &mut Attempts,
        peek: Peek<'_>,
    ) -> Result<Response, Fault> {
        let mut call = Cow::Borrowed(call);
        loop {
            let session = self.session().await?;
            if !is_granted {
                self.admit(&call)?;
            }
            let fault = match self.open_once(&session, &call).await {
                Ok(mut response) => {
                    if let Some(buffer) = buffers.and_then(|spare| spare.lock().ok()?.pop()) {
                        response.fill(buffer);
                    }
                    match self.read(&mut response, &call, peek).await {
                        Ok(()) => return Ok(response),
                        Err(fault) => fault,
                    }
                }
                Err(fault) => fault,
            };
            // Something on the way takes less than the org does.
            if fault.kind == FaultKind::QueryTooLong
                && let Some(batch) = composite::instead_of(&call, &self.org.api_version)
            {
                tracing::info!(job = self.job(), org = %self.org.name, run_id = self.run_id(), "the URL is too long; sending the query in a batch");
                call = Cow::Owned(batch);
                continue;
            }
            self.recover(&session, fault, attempts).await?;
        }
    }

    /// Sends a call once; a response of success is one whose body follows.
    async fn open_once(&self, session: &Session, call: &Call<'_>) -> Result<Response, Fault> {
        if call.is_counted() {
            self.counts.api_calls.fetch_add(1, Ordering::Relaxed);
        }
        let mut response = self.send(&session.instance_url, Some(&session.access_token), call).await?;
        match response.head.api_limit() {
            Some(limit) => self.set_api_limit(limit),
            None if call.is_counted() => self.count_against_limit(),
            None => {}
        }
        if !call.is_fulfilled_by(response.head.status) {
            let body = match response.read().await {
                Ok(()) => response.body(),
                // These statuses are enough, even if the body that explains them was cut.
                Err(_) if matches!(response.head.status, 401 | 410 | 414 | 420 | 429 | 431 | 500..=599) => {
                    &[]
                }
                Err(fault) => return Err(fault),
            };
            return Err(fault::read(&response.head, body, call.subject, &self.org.api_version));
        }
        if response.head.is_html() {
            return Err(Fault::new(FaultKind::Truncated, "the org sent an HTML page instead of data"));
        }
        Ok(response)
    }

    /// Reads the body; of a batch, what its only request got.
    async fn read(&self, response: &mut Response, call: &Call<'_>, peek: Peek<'_>) -> Result<(), Fault> {
        if !call.is_batch {
            return read_and_show(response, peek).await;
        }
        response.read().await?;
        let inner = composite::inner(response.body())?;
        response.keep(inner.body);
        response.head.status = inner.status;
        if inner.status == 200 {
            return Ok(());
        }
        Err(fault::read(&response.head, response.body(), call.subject, &self.org.api_version))
    }

    async fn send(
        &self,
        origin: &str,
        token: Option<&secrecy::SecretString>,
        call: &Call<'_>,
    ) -> Result<Response, Fault> {
        let response = self.edges.http.send(origin, token, call).await;
        let status = response.as_ref().ok().map(|response| response.head.status);
        // A gateway that responds instead of the org has its own clock.
        let head = response.as_ref().ok().map(|response| &response.head).filter(|head| head.status == 200);
        if let Some(date) = head.and_then(Head::date) {
            self.shared.date.store(date.as_second(), Ordering::Relaxed);
        }
        self.notice(&Event::Responded { status });
        response
    }

    /// Prepares for the next attempt, by a new session or by waiting, or gives the fault back if there is to be none.
    async fn recover(
        &self,
        session: &Arc<Session>,
        fault: Fault,
        attempts: &mut Attempts,
    ) -> Result<(), Fault> {
        match fault.kind {
            FaultKind::SessionExpired => self.forget(session, fault).await,
            _ => self.wait_after(fault, attempts).await,
        }
    }

    /// Forgets a session that the org no longer accepts, so that the next call logs in. A second one lost before any
    /// response was accepted is the last: a login that brings a dead session would go on for ever.
    async fn forget(&self, session: &Arc<Session>, fault: Fault) -> Result<(), Fault> {
        let mut current = self.shared.session.lock().await;
        if !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            return Ok(());
        }
        if self.shared.sessions_lost.fetch_add(1, Ordering::Relaxed) > 0 {
            return Err(fault.hint(
                "check the app's session policies and the user's login history in Setup: the org rejected a new \
                 session too",
            ));
        }
        tracing::warn!(job = self.job(), org = %self.org.name, run_id = self.run_id(), fault = %fault, "session lost; logging in again");
        *current = None;
        Ok(())
    }

    /// A response was read and accepted: a session lost from here on is a new one.
    pub fn accepted(&self) {
        self.shared.sessions_lost.store(0, Ordering::Relaxed);
    }

    /// Takes the buffer of a page back, for another page to be read into it.
    pub fn give_back(&self, buffer: Vec<u8>) {
        if let Ok(mut spare) = self.spare_buffers.lock() {
            spare.push(buffer);
        }
    }

    /// Counts an attempt that failed, and waits before the next.
    ///
    /// # Errors
    /// The fault, if there is to be no further attempt.
    pub async fn wait_after(&self, fault: Fault, attempts: &mut Attempts) -> Result<(), Fault> {
        let wait = self.next_attempt(fault, attempts)?;
        self.edges.clock.sleep(wait).await;
        Ok(())
    }

    /// Counts an attempt that failed, and gives how long to wait before the next.
    fn next_attempt(&self, fault: Fault, attempts: &mut Attempts) -> Result<Duration, Fault> {
        let decision = attempts.after(&fault, &self.retry, self.edges.clock.fraction());
        let attempt = attempts.spent();
        let Decision::Wait(wait) = decision else {
            return Err(if attempt > 1 { fault.after(attempt) } else { fault });
        };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(job = self.job(), org = %self.org.name, run_id = self.run_id(), attempt, wait_ms, fault = %fault, "request failed; trying again");
        let shown = fault.redacted.as_deref().unwrap_or(&fault.what);
        self.notice(&Event::Waiting { fault: shown, wait });
        self.counts.retries.fetch_add(1, Ordering::Relaxed);
        Ok(wait)
    }

    /// The org's description of a query's columns, asked by a call of [`query::description`].
    ///
    /// # Errors
    /// As [`OrgClient::call`], and if the description cannot be read.
    pub async fn description(&self, call: &Call<'_>) -> Result<Vec<Described>, Fault> {
        self.read_from(call, column_metadata::read).await
    }

    /// How many records a `SELECT COUNT()` query counts, deleted and archived ones too if `all_rows` says so.
    ///
    /// # Errors
    /// As [`OrgClient::call`]; if the query is too long, and if the org does not count.
    pub async fn count(&self, all_rows: bool, soql: &str) -> Result<u64, Fault> {
        let call = query::first_page(&self.org.api_version, all_rows, soql)?;
        self.read_from(&call, page::count).await
    }

    /// The org's description of an object.
    ///
    /// # Errors
    /// As [`OrgClient::call`], with [`ErrorCode::NotFound`](fault::ErrorCode::NotFound) if the org has no such object for
    /// this user; and if the description cannot be read.
    pub async fn describe_object(&self, object: &str) -> Result<ObjectDescription, Fault> {
        let path = describe::path(&self.org.api_version, object);
        let call = Call::get(path).about("the description of the object");
        self.read_from(&call, |body| describe::read(body).ok_or_else(|| unreadable(call.subject))).await
    }

    /// The org's objects, as far as this user may see them.
    ///
    /// # Errors
    /// As [`OrgClient::call`], and if the list cannot be read.
    pub async fn objects(&self) -> Result<Vec<ObjectSummary>, Fault> {
        let call = Call::get(describe::list_path(&self.org.api_version)).about("the list of objects");
        self.read_from(&call, |body| describe::read_list(body).ok_or_else(|| unreadable(call.subject))).await
    }

    /// Finds out whether the org still responds, by a call that is free: the list of its API versions.
    ///
    /// # Errors
    /// What kept each attempt from a response of the org.
    pub async fn probe(&self) -> Result<(), Fault> {
        match self.call(&versions::call(), &mut Attempts::default()).await {
            Err(fault) if fault.may_be_the_orgs() => Err(fault),
            _ => Ok(()),
        }
    }

    /// Makes a call and reads its response, off the network's threads; makes it again if the response is truncated.
    async fn read_from<T>(
        &self,
        call: &Call<'_>,
        read: impl Fn(&[u8]) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut attempts = Attempts::default();
        loop {
            let response = self.call(call, &mut attempts).await?;
            match blocking(|| read(response.body())) {
                Err(fault) if fault.kind == FaultKind::Truncated => {
                    self.wait_after(fault, &mut attempts).await?
                }
                read => return read,
            }
        }
    }

    /// Who the session's user is, asked of its own instance: the token does not go to the host of the identity URL.
    /// If the app's scopes do not let the org say, the ids that the login named are what is known.
    ///
    /// # Errors
    /// If the org could not be asked, or if neither it nor the login said.
    pub async fn identity(&self) -> Result<Identity, Fault> {
        let session = self.session().await?;
        let named = session.identity_url.as_deref().and_then(identity::of_url);
        match self.call(&identity::call(), &mut Attempts::default()).await {
            Ok(response) => identity::read(response.body()).or(named).ok_or_else(|| {
                Fault::new(FaultKind::Truncated, "cannot read the org's response about the user")
            }),
            Err(fault) => match (fault.kind, named) {
                (FaultKind::QueryRefused | FaultKind::Configuration, Some(named)) => Ok(named),
                _ => Err(fault),
            },
        }
    }

    /// The id of the session's org, as far as the login named it.
    pub async fn organization_id(&self) -> Option<String> {
        let session = self.session().await.ok()?;
        let named = session.identity_url.as_deref().and_then(identity::of_url)?;
        Some(named.organization_id)
    }

    /// Notifies the run's monitor. Of an object's export in a set it hears what concerns the org alone; the set itself
    /// reports how far it has come.
    pub fn notice(&self, event: &Event<'_>) {
        let concerns_the_org = matches!(event, Event::Responded { .. } | Event::Waiting { .. });
        let run = match &self.set {
            Some(_) if !concerns_the_org => return,
            Some(set) => Some(set),
            None => self.run.as_ref(),
        };
        if let Some(run) = run {
            self.edges.monitor.notice(run, event);
        }
    }

    /// The job of the run that this client serves, for a log line.
    #[must_use]
    pub(crate) fn job(&self) -> Option<DisplayValue<&JobName>> {
        self.job.as_ref().map(display)
    }

    /// The id of the run that this client serves.
    #[must_use]
    pub fn run_id(&self) -> Option<&str> {
        self.run.as_ref().map(RunId::as_str)
    }

    /// Writes what was counted into a run's report.
    pub fn report(&self, report: &mut RunReport) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        report.logins = read(&self.counts.logins);
        report.api_calls = read(&self.counts.api_calls);
        report.retries = read(&self.counts.retries);
        report.api_limit = self.api_limit();
    }

    /// The time by the org's clock, as its last response of success gave it, to the second.
    #[must_use]
    pub fn date(&self) -> Option<Timestamp> {
        match self.shared.date.load(Ordering::Relaxed) {
            0 => None,
            seconds => Timestamp::from_second(seconds).ok(),
        }
    }

    /// The org's daily API limit, as its last response gave it, with the configured reserve.
    #[must_use]
    pub fn api_limit(&self) -> Option<ApiLimit> {
        let limit = self.shared.api_limit.lock().ok().and_then(|limit| *limit)?;
        Some(ApiLimit { reserve: self.org.api_reserve.map(|reserve| reserve.of(limit.allowed)), ..limit })
    }

    /// Counts a request whose response does not say how many were used, so a reserve is kept behind a proxy too that
    /// removes the header.
    fn count_against_limit(&self) {
        if self.reserve().is_some()
            && let Ok(mut latest) = self.shared.api_limit.lock()
            && let Some(latest) = latest.as_mut()
        {
            latest.used = latest.used.saturating_add(1);
        }
    }

    fn set_api_limit(&self, limit: ApiLimit) {
        if let Ok(mut latest) = self.shared.api_limit.lock() {
            *latest = Some(limit);
        }
    }
}

/// The fault of a response that is something else than what was asked for.
fn unreadable(subject: &str) -> Fault {
    Fault::new(FaultKind::Truncated, format!("cannot read {subject}: the org sent something else"))
}

/// Reads a body to its end, and shows its first bytes as they arrive.
async fn read_and_show(response: &mut Response, peek: Peek<'_>) -> Result<(), Fault> {
    let mut shown = false;
    loop {
        let known = response.body().len();
        if !response.more().await? {
            return Ok(());
        }
        let arrived = response.body();
        if !shown && known < PEEKED_BYTES {
            shown = peek(&arrived[..arrived.len().min(PEEKED_BYTES)]);
        }
    }
}
