//! The settings of the process. The table of keys explains each of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::layer::Section;
use super::mistake::{Mistake, Origin, Problem};
use crate::job::output_path::field_in;

/// The settings of the process, with defaults filled in and absolute paths.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// The directory of the job files.
    pub jobs_dir: PathBuf,
    /// Run history, locks and schedule marks.
    pub state_dir: PathBuf,
    /// The directory that contains all outputs.
    pub output_root: PathBuf,
    /// The directory for rows that do not fit into memory; `None` for `state_dir`.
    pub scratch_dir: Option<PathBuf>,
    /// HTTP requests.
    pub http: Http,
    /// The daemon, and `run` with several jobs.
    pub daemon: Daemon,
    /// The status port.
    #[serde(default)]
    pub status: Status,
    /// Notifications.
    pub notify: Notify,
}

/// HTTP requests.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Http {
    /// How long connecting may take.
    #[serde(deserialize_with = "nanoseconds")]
    pub connect_timeout: Duration,
    /// How long a response may pause.
    #[serde(deserialize_with = "nanoseconds")]
    pub idle_timeout: Duration,
    /// How long one request and its whole response may take.
    #[serde(deserialize_with = "nanoseconds")]
    pub request_timeout: Duration,
    /// How many times a request is sent, at least 1.
    pub attempts: u32,
    /// The wait before the second attempt.
    #[serde(deserialize_with = "nanoseconds")]
    pub wait_min: Duration,
    /// The longest wait between two attempts, not below `wait_min`.
    #[serde(deserialize_with = "nanoseconds")]
    pub wait_max: Duration,
    /// The largest accepted page in bytes, after decompression.
    pub page_cap: u64,
    /// The number of records to request per page, 200 to 2000.
    pub batch_size: u32,
    /// Whether responses may be compressed.
    pub gzip: bool,
    /// PEM certificates of additional authorities.
    pub ca_file: Option<PathBuf>,
}

impl Http {
    /// Lowers `page_cap` to what fits into a memory limit with this many concurrent runs. A page above it ends its run;
    /// without the cap, the kernel could end the process with all its runs.
    pub(crate) fn fit_into(&mut self, memory_limit: u64, runs: usize) {
        let room = memory_limit.saturating_sub(MEMORY_WITHOUT_PAGES) / (runs.max(1) as u64 * PAGES_IN_MEMORY);
        self.page_cap = self.page_cap.min(room.max(MIN_DEFAULT_PAGE_CAP));
    }
}

/// The memory of a process without its pages, with 1,000 jobs (docs/internals/performance.md).
const MEMORY_WITHOUT_PAGES: u64 = 48 << 20;
/// A run holds one page being written, its encoded form, and one page being received. Buffers grow by doubling.
const PAGES_IN_MEMORY: u64 = 4;
/// Pages of 2,000 ordinary records have 1 to 4 MB. A lower cap would fail runs that can succeed.
const MIN_DEFAULT_PAGE_CAP: u64 = 8_000_000;

/// The daemon, and `run` with several jobs.
#[derive(Debug, Clone, Deserialize)]
pub struct Daemon {
    /// The number of concurrent runs, at least 1.
    pub max_concurrent_runs: usize,
    /// How long runs may continue after a signal.
    #[serde(deserialize_with = "nanoseconds")]
    pub shutdown_grace: Duration,
    /// How long past runs are kept.
    #[serde(deserialize_with = "nanoseconds")]
    pub history_keep: Duration,
}

/// The status port.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Status {
    /// The address to listen on, if any.
    pub listen: Option<SocketAddr>,
    /// Host names allowed in requests, besides addresses and private names.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// Notifications.
#[derive(Debug, Clone, Deserialize)]
pub struct Notify {
    /// The URL to post run reports to. It is secret, because such URLs contain tokens.
    #[serde(default, deserialize_with = "secret")]
    pub webhook: Option<SecretString>,
    /// Which runs are reported.
    pub on: Vec<NotifyOn>,
}

/// Which runs are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyOn {
    /// Failed ones.
    Failure,
    /// The first success after a failure.
    Recovery,
    /// Every run.
    Every,
}

/// Checks the rules that involve several settings.
pub(crate) fn check(section: &Section<Settings>, mistakes: &mut Vec<Mistake>) {
    let root = section.typed.output_root.to_string_lossy();
    if let (Some(field), true) = (field_in(&root), section.is_written("output_root")) {
        let what = format!("{field} is not replaced here");
        let problem = Problem::new(what, "write fields in a job's `output` instead");
        mistakes.push(section.mistake("output_root", &Origin::Anywhere, problem));
    }
    let http = &section.typed.http;
    if http.wait_min > http.wait_max {
        let key = if section.is_written("http.wait_max") { "http.wait_max" } else { "http.wait_min" };
        mistakes.push(section.mistake(
            key,
            &Origin::Anywhere,
            format!("wait_min ({:?}) is longer than wait_max ({:?})", http.wait_min, http.wait_max),
        ));
    }
}

pub(crate) fn nanoseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_nanos)
}

pub(crate) fn some_nanoseconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    nanoseconds(deserializer).map(Some)
}

pub(crate) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    String::deserialize(deserializer).map(|text| Some(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_cap_fits_the_memory_limit() {
        const MIB: u64 = 1 << 20;
        let cap = |limit: u64, runs| {
            let mut http = Http {
                connect_timeout: Duration::ZERO,
                idle_timeout: Duration::ZERO,
                request_timeout: Duration::ZERO,
                attempts: 1,
                wait_min: Duration::ZERO,
                wait_max: Duration::ZERO,
                page_cap: 256_000_000,
                batch_size: 2000,
                gzip: true,
                ca_file: None,
            };
            http.fit_into(limit * MIB, runs);
            http.page_cap
        };
        assert_eq!(cap(1024, 4), 61 * MIB);
        assert_eq!(cap(1024, 1), 244 * MIB);
        assert_eq!(cap(1024, 0), 244 * MIB);
        assert_eq!(cap(256, 4), 13 * MIB);
        // Never above the plain default, never below what ordinary pages need.
        assert_eq!(cap(64 << 10, 4), 256_000_000);
        assert_eq!((cap(64, 4), cap(16, 1)), (8_000_000, 8_000_000));
    }
}
