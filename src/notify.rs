//! Notifications about runs: one webhook for the process and a ping URL per job and org. A failed notification is logged and
//! never fails a run; none is sent twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::clock::{self, Clock};
use crate::config::{Notify, NotifyOn, Settings};
use crate::http::Http;
use crate::job::{ExportKey, Job};
use crate::monitor::{Event, Monitor};
use crate::report::{RunId, RunReport, RunStatus};

/// The limit for one notification, and for all those still pending when the process ends.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// The limit for pending notifications after a signal.
const DELIVERY_TIMEOUT_AFTER_SIGNAL: Duration = Duration::from_secs(1);

/// How many notifications are sent at once. Each uses a descriptor, for five seconds if the receiver never responds.
const MAX_DELIVERIES: usize = 16;

/// How many more may wait for their turn; any beyond that are dropped.
const MAX_WAITING: usize = 1_000;

/// How long the notification of a run's end waits for that of its start.
const START_PING_TIMEOUT: Duration = Duration::from_millis(500);

/// A monitor that notifies the webhook and the jobs' ping URLs, each job's notifications in their order.
pub struct Notifier {
    runtime: runtime::Handle,
    clock: Arc<dyn Clock>,
    addresses: Mutex<Arc<Addresses>>,
    /// The last known run of each job and org.
    last_runs: Mutex<HashMap<ExportKey, LastRun>>,
    /// The latest notification per job, org and channel; the next one waits for it.
    last: Mutex<HashMap<(ExportKey, Channel), JoinHandle<()>>>,
    /// Room for notifications that are waiting or being sent.
    queue: Arc<Semaphore>,
    deliveries: Arc<Semaphore>,
}

/// What the notification of a run's end needs to know of the run before.
#[derive(Debug, Clone, Copy)]
struct LastRun {
    ended: Timestamp,
    has_failed: bool,
}

impl LastRun {
    /// `None` if the run does not say whether its job works.
    fn of(report: &RunReport) -> Option<Self> {
        let has_failed = match report.status {
            RunStatus::Ok => false,
            RunStatus::Failed => true,
            RunStatus::Cancelled | RunStatus::Skipped | RunStatus::Missed | RunStatus::Unknown => {
                return None;
            }
        };
        Some(Self { ended: report.ended, has_failed })
    }
}

/// Where a notification goes. The channels do not wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Channel {
    Ping,
    Webhook,
}

/// Where notifications go.
struct Addresses {
    webhook: Option<SecretString>,
    on: Vec<NotifyOn>,
    /// By job and org.
    pings: HashMap<ExportKey, SecretString>,
    http: Http,
}

/// What became of a run, as the webhook's JSON names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum NotifyEvent {
    Failure,
    Recovery,
    Success,
    Cancelled,
}

/// The webhook's JSON. `text` is what chat services show of it.
#[derive(Serialize)]
struct Message<'r> {
    event: NotifyEvent,
    text: String,
    report: &'r RunReport,
}

impl Notifier {
    /// A notifier for these settings and jobs. It sends on the current runtime.
    pub fn new<'j>(settings: &Settings, jobs: impl Iterator<Item = &'j Job>, clock: Arc<dyn Clock>) -> Self {
        Self {
            runtime: runtime::Handle::current(),
            clock,
            addresses: Mutex::new(Arc::new(Addresses::of(settings, jobs))),
            last_runs: Mutex::default(),
            last: Mutex::default(),
            queue: Arc::new(Semaphore::new(MAX_DELIVERIES + MAX_WAITING)),
            deliveries: Arc::new(Semaphore::new(MAX_DELIVERIES)),
        }
    }

    /// Replaces the settings and jobs.
    pub fn set_addresses<'j>(&self, settings: &Settings, jobs: impl Iterator<Item = &'j Job>) {
        *lock(&self.addresses) = Arc::new(Addresses::of(settings, jobs));
    }

    /// Whether nobody wants notifications.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let addresses = self.addresses();
        addresses.webhook.is_none() && addresses.pings.is_empty()
    }

    /// Whether recoveries are reported, which needs each job's previous run.
    #[must_use]
    pub fn wants_history(&self) -> bool {
        let addresses = self.addresses();
        addresses.webhook.is_some() && addresses.wants(NotifyEvent::Recovery)
    }

    /// Records a run from the history, unless a later one is known. Whoever did the run has sent its notifications.
    pub fn recall(&self, report: &RunReport) {
        let Some(run) = LastRun::of(report).filter(|_| report.object.is_none()) else { return };
        let Some(job) = report.job_key() else { return };
        let mut last_runs = lock(&self.last_runs);
        if last_runs.get(&job).is_none_or(|known| known.ended < run.ended) {
            last_runs.insert(job, run);
        }
    }

    /// Waits until all notifications are sent or have failed: five seconds in all, and one after `hurry`.
    pub async fn finish(&self, hurry: impl Future) {
        let last: Vec<_> = lock(&self.last).drain().map(|(_, sending)| sending).collect();
        let sent = async {
            for sending in last {
                let _ = sending.await;
            }
        };
        let hurried = async {
            hurry.await;
            self.clock.sleep(DELIVERY_TIMEOUT_AFTER_SIGNAL).await;
        };
        let done = tokio::select! {
            sent = clock::within(self.clock.as_ref(), DELIVERY_TIMEOUT, sent) => sent.is_some(),
            () = hurried => false,
        };
        if !done {
            tracing::warn!(why = "the process is ending", "notification not sent");
        }
    }

    fn addresses(&self) -> Arc<Addresses> {
        Arc::clone(&lock(&self.addresses))
    }

    fn began(&self, job: &ExportKey) {
        let addresses = self.addresses();
        if let Some(url) = addresses.pings.get(job).cloned() {
            let message = (with_last(&url, "start"), String::new());
            self.send((job.clone(), Channel::Ping), addresses, message, Duration::MAX);
        }
    }

    fn ended(&self, report: &RunReport) {
        // The names come from the configuration.
        let Some(job) = report.job_key() else { return };
        let Some(event) = self.event(&job, report) else { return };
        let report = &*report.for_others();
        let addresses = self.addresses();
        let json = |written: serde_json::Result<String>| written.unwrap_or_default();
        if let Some(url) = addresses.pings.get(&job) {
            let url = match event {
                NotifyEvent::Failure => Some(with_last(url, "fail")),
                NotifyEvent::Success | NotifyEvent::Recovery => Some(url.clone()),
                // It runs again, or a person stopped it. Otherwise the monitoring service's grace period runs out.
                NotifyEvent::Cancelled => None,
            };
            if let Some(url) = url {
                let message = (url, json(serde_json::to_string(report)));
                self.send((job.clone(), Channel::Ping), Arc::clone(&addresses), message, START_PING_TIMEOUT);
            }
        }
        if let Some(url) = addresses.webhook.as_ref().filter(|_| addresses.wants(event)) {
            let body = Message { event, text: text(event, report), report };
            let message = (url.clone(), json(serde_json::to_string(&body)));
            self.send((job, Channel::Webhook), Arc::clone(&addresses), message, Duration::MAX);
        }
    }

    /// The event that a run's end means, given the run before it; `None` if it did not run.
    fn event(&self, job: &ExportKey, report: &RunReport) -> Option<NotifyEvent> {
        let before = LastRun::of(report).and_then(|run| lock(&self.last_runs).insert(job.clone(), run));
        match report.status {
            RunStatus::Failed => Some(NotifyEvent::Failure),
            RunStatus::Ok if before.is_some_and(|before| before.has_failed) => Some(NotifyEvent::Recovery),
            RunStatus::Ok => Some(NotifyEvent::Success),
            RunStatus::Cancelled => Some(NotifyEvent::Cancelled),
            RunStatus::Skipped | RunStatus::Missed | RunStatus::Unknown => None,
        }
    }

    /// Sends a message after the previous one. If that takes longer than `patience`, the previous one is dropped.
    fn send(
        &self,
        to: (ExportKey, Channel),
        addresses: Arc<Addresses>,
        (url, json): (SecretString, String),
        patience: Duration,
    ) {
        let (job, clock) = (to.0.clone(), Arc::clone(&self.clock));
        let not_sent =
            move |why: &str| tracing::warn!(job = %job.job(), org = %job.org(), why, "notification not sent");
        let Ok(room) = Arc::clone(&self.queue).try_acquire_owned() else {
            return not_sent("too many notifications are waiting for receivers that do not respond");
        };
        let deliveries = Arc::clone(&self.deliveries);
        let mut last = lock(&self.last);
        let before = last.remove(&to);
        let sent = self.runtime.spawn(async move {
            let _room = room;
            if let Some(mut before) = before
                && clock::within(clock.as_ref(), patience, &mut before).await.is_none()
            {
                before.abort();
                not_sent("the receiver did not respond before the run ended");
            }
            // The semaphore is never closed.
            let _turn = deliveries.acquire().await;
            let telling = addresses.http.tell(&url, json);
            match clock::within(clock.as_ref(), DELIVERY_TIMEOUT, telling).await {
                Some(Ok(())) => {}
                Some(Err(why)) => not_sent(&why),
                None => not_sent("the receiver did not respond in time"),
            }
        });
        last.insert(to, sent);
    }
}

impl Monitor for Notifier {
    fn notice(&self, _run: &RunId, event: &Event<'_>) {
        match event {
            Event::Began { job } => self.began(job),
            // A set reports once for all its objects.
            Event::Ended { report } if report.object.is_none() => self.ended(report),
            _ => {}
        }
    }
}

impl Addresses {
    fn of<'j>(settings: &Settings, jobs: impl Iterator<Item = &'j Job>) -> Self {
        let Notify { webhook, on } = settings.notify.clone();
        let pings = jobs.filter_map(|job| Some((job.job_key(), job.ping_url.clone()?)));
        Self { webhook, on, pings: pings.collect(), http: Http::new(settings.http.clone()) }
    }

    fn wants(&self, event: NotifyEvent) -> bool {
        self.on.iter().any(|on| match on {
            NotifyOn::Every => true,
            NotifyOn::Failure => event == NotifyEvent::Failure,
            NotifyOn::Recovery => event == NotifyEvent::Recovery,
        })
    }
}

/// Appends a segment to the URL's path, before any `?`.
fn with_last(url: &SecretString, part: &str) -> SecretString {
    let Ok(mut url) = url::Url::parse(url.expose_secret()) else { return url.clone() };
    let path = format!("{}/{part}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    String::from(url).into()
}

fn text(event: NotifyEvent, report: &RunReport) -> String {
    let RunReport { job, org, records, exit_status, .. } = report;
    let of = match &report.set {
        Some(set) => format!(" of {} objects", set.exported.saturating_add(set.carried_over)),
        None => String::new(),
    };
    match event {
        NotifyEvent::Success => format!("{job} ({org}): {records} records{of} exported"),
        NotifyEvent::Recovery => format!("{job} ({org}) works again: {records} records{of} exported"),
        NotifyEvent::Failure | NotifyEvent::Cancelled => {
            let what = report.error.as_deref().unwrap_or_default();
            let hint = report.hint.as_deref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            let how = if event == NotifyEvent::Failure { "failed" } else { "was cancelled" };
            format!("{job} ({org}) {how} with status {exit_status}: {what}{hint}")
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::with_last;

    #[test]
    fn a_ping_goes_below_the_urls_path_and_before_its_query() {
        let with = |url: &str| with_last(&url.to_owned().into(), "fail").expose_secret().to_owned();
        assert_eq!(with("https://hc-ping.com/0a-1b"), "https://hc-ping.com/0a-1b/fail");
        assert_eq!(with("https://hc-ping.com/0a-1b/"), "https://hc-ping.com/0a-1b/fail");
        assert_eq!(
            with("https://h.example/ping/k/job?create=1"),
            "https://h.example/ping/k/job/fail?create=1"
        );
    }
}
