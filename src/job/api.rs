//! Salesforce's two query APIs: which one a job asks for, which one a run used, and the settings of Bulk API 2.0.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which API a job asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ApiChoice {
    /// REST for small results and for queries that Bulk refuses, Bulk for everything else.
    #[default]
    Auto,
    /// REST only.
    Rest,
    /// Bulk only.
    Bulk,
}

impl ApiChoice {
    /// Its name, as the configuration spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Rest => "rest",
            Self::Bulk => "bulk",
        }
    }
}

/// The API that a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// The REST API: pages of up to 2,000 records, one after the other.
    Rest,
    /// Bulk API 2.0: a query job, whose result is downloaded in large pages.
    Bulk,
}

impl Api {
    /// Its name, as the JSON form spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Bulk => "bulk",
        }
    }

    /// Its name, as Salesforce spells it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Rest => "REST",
            Self::Bulk => "Bulk API 2.0",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a job uses Bulk API 2.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkSettings {
    /// `auto` uses Bulk for results that would take at least this many calls by REST.
    pub from_calls: u64,
    /// How many records the org is asked to put on a page of a result; `None`: as many as it likes.
    pub max_records: Option<u64>,
    /// How many pages are downloaded at the same time.
    pub parallel: usize,
    /// How long the org may take to complete a query job.
    pub job_timeout: Duration,
    /// The most calls that an export may take by REST after Bulk has turned out not to be possible.
    pub rest_max_calls: u64,
}

impl Default for BulkSettings {
    fn default() -> Self {
        Self {
            from_calls: 25,
            max_records: None,
            parallel: 4,
            job_timeout: Duration::from_secs(6 * 60 * 60),
            rest_max_calls: 2_000,
        }
    }
}
