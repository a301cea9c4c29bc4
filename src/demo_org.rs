//! The embedded org: a Salesforce look-alike on loopback for `demo`, for tests and for rehearsals. It checks logins,
//! runs queries on a made-up data set, and fails on request. It refuses what it does not understand.

mod bulk;
mod catalog;
mod changes;
mod clock;
mod column_metadata;
mod condition;
mod data;
mod fault;
mod group;
mod literal;
mod living;
mod login;
mod objects;
mod plan;
mod query;
mod refusal;
mod render;
mod reply;
mod restriction;
mod routes;
mod schema;
mod script;
mod wire;

pub use bulk::{BulkJob, BulkOptions, Fate};
pub use catalog::Catalog;
pub use changes::Transaction;
pub use clock::OrgClock;
pub use data::{Address, DataSet, RecordId, Row, TODAY, Value};
pub use fault::{At, Fault, Framing, Hook, Rule};
pub use schema::{ChildRelationship, Field, Kind, Object, Reference};

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jsonwebtoken::DecodingKey;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

/// The audiences that an assertion may name besides the org's own URL; a trailing slash is accepted.
pub const AUDIENCES: [&str; 2] = ["https://login.salesforce.com", "https://test.salesforce.com"];

/// The API versions of the org, first and last; earlier ones from 21.0 on are retired (410).
pub const API_VERSIONS: (u32, u32) = (31, 66);

/// What an org is started with. Assertions may name its own URL as their audience, or one of [`AUDIENCES`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Which objects it has.
    pub catalog: Catalog,
    /// The number of Accounts; there are as many Contacts and Opportunities, half as many Tasks. Of numbered objects,
    /// the number of each one's rows.
    pub records: usize,
    /// The app's consumer key, an assertion's `iss`.
    pub client_id: String,
    /// The user's name, an assertion's `sub`.
    pub username: String,
    /// The certificate or public key (RSA, PEM) that verifies assertions; of several, each does.
    pub public_key: String,
    /// Whether an `exp` more than three minutes ahead is refused, as the documentation says and the real
    /// service does not.
    pub strict_exp: bool,
    /// The most records on a page. Below 200 it overrules the client's wish, so a test can have many pages
    /// of few records.
    pub page_size: usize,
    /// How long each request takes, logins and descriptions included: the network's and the service's own time.
    pub latency: Duration,
    /// How much longer the org thinks before it sends a page.
    pub think: Duration,
    /// How fast it sends bodies.
    pub bytes_per_second: Option<u64>,
    /// API calls used before the first, and allowed, as `Sforce-Limit-Info` and `/limits` tell.
    pub api_calls: (u64, u64),
    /// How responses report the API calls.
    pub usage_header: UsageHeader,
    /// Whether all pages of a query are made before the first is sent, and kept for the next time it is asked,
    /// so a benchmark measures the client alone. This takes as much memory as the responses.
    pub prerender: bool,
    /// How query jobs of Bulk API 2.0 are carried out.
    pub bulk: BulkOptions,
    /// Its clock: what `Date` says, what changed rows are stamped with, and where `TODAY` is if it was set.
    pub clock: OrgClock,
    /// The number in its id. Records have the same ids in every org.
    pub organization: u32,
    /// The most ids that `updated` and `deleted` list; with more, they refuse.
    pub most_ids: usize,
}

impl Default for Options {
    /// A thousand accounts, any port, full speed, and no key: no login succeeds until one is given.
    fn default() -> Self {
        Self {
            port: 0,
            catalog: Catalog::Standard,
            records: 1000,
            client_id: "3MVG9demo".to_owned(),
            username: "integration@example.com".to_owned(),
            public_key: String::new(),
            strict_exp: false,
            page_size: 2000,
            latency: Duration::ZERO,
            think: Duration::ZERO,
            bytes_per_second: None,
            api_calls: (18, 15_000),
            usage_header: UsageHeader::Org,
            prerender: false,
            bulk: BulkOptions::default(),
            clock: OrgClock::default(),
            organization: 0,
            most_ids: 600_000,
        }
    }
}

/// What `Sforce-Limit-Info` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageHeader {
    /// The org's own usage.
    Org,
    /// The org's own usage, and that of the app behind it.
    OrgAndApp,
    /// Nothing: there is no such header, as behind a proxy that removes it.
    Absent,
}

/// A running org; dropped, it stops.
#[derive(Debug)]
pub struct DemoOrg {
    org: Arc<Org>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
    /// What changes it by itself, if anything does.
    life: Option<JoinHandle<()>>,
}

impl DemoOrg {
    /// Starts an org on the current tokio runtime; it accepts connections when this returns.
    ///
    /// # Errors
    /// If the port is not available, or the public key cannot be read (kind `InvalidInput`).
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let org = Arc::new(Org::new(options, url)?);
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(accept(Arc::clone(&org), listener, stopped));
        Ok(Self { org, stop: Some(stop), server, life: None })
    }

    /// `http://127.0.0.1:PORT`: its login URL and its instance URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.org.url
    }

    /// The id of the user that logs in.
    #[must_use]
    pub fn user_id(&self) -> String {
        self.org.user_id().to_string()
    }

    /// The org's own id.
    #[must_use]
    pub fn organization_id(&self) -> String {
        self.org.organization_id().to_string()
    }

    /// What it holds.
    #[must_use]
    pub fn data(&self) -> &DataSet {
        &self.org.data
    }

    /// What Bulk API 2.0 sends as the result of a query, on one page: for tests that want it without a job.
    ///
    /// # Errors
    /// What the service says of a query that it refuses: its code, a colon, its message.
    pub fn bulk_results(&self, soql: &str) -> Result<Vec<u8>, String> {
        bulk::results(&self.org.data, soql, false, &self.org.options.bulk)
            .map_err(|refusal| format!("{}: {}", refusal.code, refusal.message))
    }

    /// The query jobs that exist, in the order of their creation.
    #[must_use]
    pub fn bulk_jobs(&self) -> Vec<BulkJob> {
        let shown = |job: Arc<bulk::Job>| BulkJob {
            id: job.id.to_string(),
            object: job.object().name.to_owned(),
            state: job.state(&self.org.options.bulk).as_str().to_owned(),
        };
        self.org.jobs.all().into_iter().map(shown).collect()
    }

    /// Aborts a query job, as somebody else might; `false` if there is none or it is over.
    pub fn abort_bulk_job(&self, id: &str) -> bool {
        self.org.jobs.find(id).is_some_and(|job| job.abort(&self.org.options.bulk))
    }

    /// Deletes a query job, as somebody else might; `false` if there is none.
    pub fn delete_bulk_job(&self, id: &str) -> bool {
        self.org.jobs.delete(id)
    }

    /// Every request since it started, in the order of their arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.org.requests).clone()
    }

    /// Adds a fault; rules are looked at in the order in which they were added.
    pub fn script(&self, rule: Rule) {
        self.org.script.add(rule);
    }

    /// Forgets all scripted rules.
    pub fn clear_script(&self) {
        self.org.script.clear();
    }

    /// Begins a transaction: its changes carry the time of now, and become visible when it is committed.
    pub fn begin(&self) -> Transaction {
        Transaction::begin(&self.org)
    }

    /// Adds so many rows to an object, and gives their ids.
    ///
    /// # Panics
    /// If there is no such object.
    pub fn insert(&self, object: &str, count: usize) -> Vec<RecordId> {
        self.begin().insert(object, count).commit()
    }

    /// Gives records other values, and the org's clock, in whole seconds, for `SystemModstamp` and `LastModifiedDate`.
    /// Open queries send them as they were.
    pub fn update(&self, rows: &[RecordId]) {
        self.begin().update(rows).commit();
    }

    /// Moves the stamps of records and nothing else, as Salesforce's own mass updates do.
    pub fn touch(&self, rows: &[RecordId]) {
        self.begin().touch(rows).commit();
    }

    /// Moves records to the recycle bin: `query` does not find them any more, `queryAll` does, with `IsDeleted`
    /// and with the org's clock, in whole seconds, for `SystemModstamp` and `LastModifiedDate`. References to
    /// them stay. Open queries send them no longer.
    pub fn delete(&self, rows: &[RecordId]) {
        self.org.data.delete(rows);
    }

    /// Takes records out of the recycle bin, which moves their stamps.
    pub fn undelete(&self, rows: &[RecordId]) {
        self.begin().undelete(rows).commit();
    }

    /// Removes records, the recycle bin included.
    pub fn purge(&self, rows: &[RecordId]) {
        self.org.data.purge(rows);
    }

    /// Has it change by itself from now on, about once a second, until it stops: records are added, updated, touched, deleted,
    /// restored and purged, now and then 200 at once, and every eighth transaction is committed up to a minute late. The same
    /// seed gives the same changes.
    pub fn live(&mut self, seed: u64) {
        let (org, mut life) = (Arc::clone(&self.org), living::Life::new(seed));
        let former = self.life.replace(tokio::spawn(async move {
            let mut seconds = tokio::time::interval(living::PACE);
            loop {
                seconds.tick().await;
                life.second(&org);
            }
        }));
        former.inspect(JoinHandle::abort);
    }

    /// Forgets which records were deleted, as the service does if there are too many: `deleted` lists only later ones.
    pub fn purge_delete_log(&self) {
        self.org.data.changes.purge_log(self.org.data.clock().now());
    }

    /// Gives the org another id, as the refresh of a sandbox does. Sessions end.
    pub fn become_org(&self, number: u32) {
        self.org.data.set_organization(number);
        lock(&self.org.sessions).clear();
    }

    /// Adds a field of texts to an object, behind the others.
    ///
    /// # Panics
    /// If there is no such object; so do the methods below.
    pub fn add_field(&self, object: &str, field: &str) {
        self.org.data.catalog.add_field(object, field);
    }

    /// Removes a field from an object, or hides it as field-level security does: describe does not list it, and a query
    /// that names it is refused.
    ///
    /// # Panics
    /// If there is no such field.
    pub fn remove_field(&self, object: &str, field: &str) {
        self.org.data.catalog.remove_field(object, field);
    }

    /// Hides an object from the user: it is not listed, and its describe and its queries are refused.
    ///
    /// # Panics
    /// If there is no such object.
    pub fn hide_object(&self, object: &str) {
        self.org.data.catalog.hide(object);
    }

    /// Lists and describes an object as before, but refuses each query of it with this status, code and message.
    ///
    /// # Panics
    /// If there is no such object.
    pub fn refuse_queries(&self, object: &str, status: u16, code: &str, message: &str) {
        self.org.data.catalog.refuse(object, status, code, message);
    }

    /// Makes Bulk API 2.0 refuse an object's queries with `INVALIDENTITY`; REST takes them as before.
    ///
    /// # Panics
    /// If there is no such object.
    pub fn refuse_in_bulk(&self, object: &str) {
        self.org.data.catalog.refuse_in_bulk(object);
    }

    /// Undoes all changes to an object's fields, its visibility and its queries.
    ///
    /// # Panics
    /// If there is no such object.
    pub fn restore_object(&self, object: &str) {
        self.org.data.catalog.restore(object);
    }

    /// Stops it: connections are closed, the port is free when this returns.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = (&mut self.server).await;
    }
}

impl Drop for DemoOrg {
    fn drop(&mut self) {
        // The connections are the server task's own and end with it.
        self.server.abort();
        self.life.iter().for_each(JoinHandle::abort);
    }
}

async fn accept(org: Arc<Org>, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(wire::serve(Arc::clone(&org), stream));
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => return connections.shutdown().await,
        }
    }
}

/// A request that the org has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`
    pub method: String,
    /// Path and query string, as sent.
    pub target: String,
    /// The headers, names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The path, as sent.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// The part after `?`, as sent.
    #[must_use]
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first header of this name, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What the connections share.
struct Org {
    options: Options,
    url: String,
    keys: Vec<DecodingKey>,
    data: DataSet,
    requests: Mutex<Vec<Request>>,
    script: script::Script,
    jobs: bulk::Jobs,
    api_calls: AtomicU64,
    sessions: Mutex<HashSet<String>>,
    cursors: Mutex<HashMap<String, Arc<query::Cursor>>>,
    /// Of [`Fault::Locator`]: what was sent, decoded, and the locator that it stands for.
    aliases: Mutex<HashMap<String, String>>,
    /// Of [`Options::prerender`]: whole bodies by what was asked for.
    rendered: Mutex<HashMap<String, Bytes>>,
    serial: AtomicUsize,
}

impl std::fmt::Debug for Org {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Org").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Org {
    fn new(options: Options, url: String) -> io::Result<Self> {
        let keys = keys(&options.public_key)?;
        let (username, clock) = (options.username.clone(), options.clock.clone());
        let data = DataSet::of_org(options.catalog, options.records, username, clock);
        data.set_organization(options.organization);
        Ok(Self {
            url,
            keys,
            data,
            requests: Mutex::default(),
            script: script::Script::default(),
            jobs: bulk::Jobs::new(&options.bulk),
            api_calls: AtomicU64::new(options.api_calls.0),
            sessions: Mutex::default(),
            cursors: Mutex::default(),
            aliases: Mutex::default(),
            rendered: Mutex::default(),
            serial: AtomicUsize::new(0),
            options,
        })
    }

    fn note(&self, request: Request) {
        lock(&self.requests).push(request);
    }

    fn user_id(&self) -> RecordId {
        RecordId::new("005", 0)
    }

    fn organization_id(&self) -> RecordId {
        self.data.organization()
    }

    /// A number that no other call gets.
    fn serial(&self) -> usize {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }
}

/// The keys of the certificates and public keys in a text of PEM.
fn keys(pem: &str) -> io::Result<Vec<DecodingKey>> {
    let wrong = |why: String| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the app's certificate or public key cannot be read: {why}"),
        )
    };
    let (mut keys, mut block) = (Vec::new(), String::new());
    for line in pem.lines() {
        block.push_str(line);
        block.push('\n');
        if line.starts_with("-----END") {
            let key =
                DecodingKey::from_rsa_pem(block.as_bytes()).map_err(|error| wrong(error.to_string()))?;
            keys.push(key);
            block.clear();
        }
    }
    // What is left is a block without its end, or no PEM at all.
    match block.trim().is_empty() {
        true => Ok(keys),
        false => Err(wrong("it is not complete PEM".to_owned())),
    }
}

/// A poisoned lock holds data as whole as any other here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
