//! Telling others of runs: a webhook for the whole process, and a ping URL for each job. A notification that fails
//! is logged and fails no run; nothing is sent twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::runtime;
use tokio::task::JoinHandle;

use crate::config::{Notify, NotifyOn, Settings};
use crate::http::Http;
use crate::job::Job;
use crate::monitor::{Event, Monitor};
use crate::report::{RunId, RunReport, RunStatus};

/// How long one notification may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Listens to runs, and tells others of them, each job's news in their order.
pub struct Notifier {
    runtime: runtime::Handle,
    addresses: Mutex<Arc<Addresses>>,
    /// The job's last run failed, as far as is known.
    failed: Mutex<HashMap<String, bool>>,
    /// The last notification of each job, which its next one waits for.
    last: Mutex<HashMap<String, JoinHandle<()>>>,
}

/// Whom to tell.
struct Addresses {
    webhook: Option<SecretString>,
    on: Vec<NotifyOn>,
    /// By job.
    pings: HashMap<String, SecretString>,
    http: Http,
}

/// What became of a run, as a webhook is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum News {
    Failure,
    Recovery,
    Success,
    Cancelled,
}

/// The webhook's JSON. `text` is what chat services show of it.
#[derive(Serialize)]
struct Told<'r> {
    event: News,
    text: String,
    report: &'r RunReport,
}

impl Notifier {
    /// One that tells as the settings and the jobs say. Within a runtime, on which it sends.
    pub fn new<'j>(settings: &Settings, jobs: impl Iterator<Item = &'j Job>) -> Self {
        Self {
            runtime: runtime::Handle::current(),
            addresses: Mutex::new(Arc::new(Addresses::of(settings, jobs))),
            failed: Mutex::default(),
            last: Mutex::default(),
        }
    }

    /// From here on it tells as these settings and jobs say.
    pub fn set_addresses<'j>(&self, settings: &Settings, jobs: impl Iterator<Item = &'j Job>) {
        *lock(&self.addresses) = Arc::new(Addresses::of(settings, jobs));
    }

    /// Whether there is nobody to tell.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let addresses = self.addresses();
        addresses.webhook.is_none() && addresses.pings.is_empty()
    }

    /// Whether anybody may have to be told that a job works again.
    #[must_use]
    pub fn wants_history(&self) -> bool {
        let addresses = self.addresses();
        addresses.webhook.is_some() && addresses.hears_of(News::Recovery)
    }

    /// Learns from a run of the history, of which it is told the newest first.
    pub fn recall(&self, report: &RunReport) {
        if let Some(has_failed) = has_failed(report.status) {
            lock(&self.failed).entry(report.job.clone()).or_insert(has_failed);
        }
    }

    /// Waits until everybody was told, or could not be.
    pub async fn finish(&self) {
        let last: Vec<_> = lock(&self.last).drain().map(|(_, told)| told).collect();
        for told in last {
            let _ = told.await;
        }
    }

    fn addresses(&self) -> Arc<Addresses> {
        Arc::clone(&lock(&self.addresses))
    }

    fn began(&self, job: &str) {
        let addresses = self.addresses();
        if let Some(url) = addresses.pings.get(job).cloned() {
            self.send(job, addresses, vec![(with_last(&url, "start"), String::new())]);
        }
    }

    fn ended(&self, report: &RunReport) {
        let Some(news) = self.news(report) else { return };
        let addresses = self.addresses();
        let json = |told: &dyn Fn() -> serde_json::Result<String>| told().unwrap_or_default();
        let mut messages = Vec::new();
        if let Some(url) = addresses.pings.get(&report.job) {
            let url = match news {
                News::Failure => Some(with_last(url, "fail")),
                News::Success | News::Recovery => Some(url.clone()),
                // It will be run again, or its end is known to who stopped it; if not, the check's grace runs out.
                News::Cancelled => None,
            };
            messages.extend(url.map(|url| (url, json(&|| serde_json::to_string(report)))));
        }
        if let Some(url) = addresses.webhook.as_ref().filter(|_| addresses.hears_of(news)) {
            let told = Told { event: news, text: text(news, report), report };
            messages.push((url.clone(), json(&|| serde_json::to_string(&told))));
        }
        if !messages.is_empty() {
            self.send(&report.job, addresses, messages);
        }
    }

    /// What a run's end is to those who know the one before it; none where it did not run.
    fn news(&self, report: &RunReport) -> Option<News> {
        let mut failed = lock(&self.failed);
        match report.status {
            RunStatus::Failed => {
                failed.insert(report.job.clone(), true);
                Some(News::Failure)
            }
            RunStatus::Ok if failed.insert(report.job.clone(), false) == Some(true) => Some(News::Recovery),
            RunStatus::Ok => Some(News::Success),
            RunStatus::Cancelled => Some(News::Cancelled),
            RunStatus::Skipped | RunStatus::Missed | RunStatus::Unknown => None,
        }
    }

    fn send(&self, job: &str, addresses: Arc<Addresses>, messages: Vec<(SecretString, String)>) {
        let mut last = lock(&self.last);
        let before = last.remove(job);
        let name = job.to_owned();
        let told = self.runtime.spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            for (url, json) in messages {
                if let Err(why) = addresses.http.tell(&url, json, LIMIT).await {
                    tracing::warn!(job = name, why, "somebody could not be told of a run");
                }
            }
        });
        last.insert(job.to_owned(), told);
    }
}

impl Monitor for Notifier {
    fn notice(&self, _run: &RunId, event: &Event<'_>) {
        match event {
            Event::Began { job } => self.began(job),
            Event::Ended { report } => self.ended(report),
            _ => {}
        }
    }
}

impl Addresses {
    fn of<'j>(settings: &Settings, jobs: impl Iterator<Item = &'j Job>) -> Self {
        let Notify { webhook, on } = settings.notify.clone();
        let pings = jobs.filter_map(|job| Some((job.name.as_str().to_owned(), job.ping_url.clone()?)));
        Self { webhook, on, pings: pings.collect(), http: Http::new(settings.http.clone()) }
    }

    fn hears_of(&self, news: News) -> bool {
        self.on.iter().any(|on| match on {
            NotifyOn::Every => true,
            NotifyOn::Failure => news == News::Failure,
            NotifyOn::Recovery => news == News::Recovery,
        })
    }
}

/// Whether a run that ended so failed; none where that says nothing.
fn has_failed(status: RunStatus) -> Option<bool> {
    match status {
        RunStatus::Ok => Some(false),
        RunStatus::Failed => Some(true),
        _ => None,
    }
}

/// The URL with one more part at the end of its path, before any `?`.
fn with_last(url: &SecretString, part: &str) -> SecretString {
    let Ok(mut url) = url::Url::parse(url.expose_secret()) else { return url.clone() };
    let path = format!("{}/{part}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    String::from(url).into()
}

fn text(news: News, report: &RunReport) -> String {
    let RunReport { job, org, records, exit_status, .. } = report;
    match news {
        News::Success => format!("{job} ({org}): {records} records exported"),
        News::Recovery => format!("{job} ({org}) works again: {records} records exported"),
        News::Failure | News::Cancelled => {
            let what = report.error.as_deref().unwrap_or_default();
            let hint = report.hint.as_deref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            let how = if news == News::Failure { "failed" } else { "was cancelled" };
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
