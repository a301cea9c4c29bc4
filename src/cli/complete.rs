//! Completes the names of jobs and orgs in shells, from the configuration of the command line or the working directory.

use std::path::PathBuf;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use crate::config::{self, Config, Selection, Sources};

/// The configured jobs, including disabled ones.
pub(super) fn jobs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let jobs = configuration().map(|config| config.jobs).unwrap_or_default();
        jobs.iter().map(|job| CompletionCandidate::new(job.name.as_str())).collect()
    })
}

/// The configured orgs.
pub(super) fn orgs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let orgs = configuration().map(|config| config.orgs).unwrap_or_default();
        orgs.keys().map(|org| CompletionCandidate::new(org.as_str())).collect()
    })
}

/// The configuration, or `None` if it has a mistake, which a shell could not show.
fn configuration() -> Option<Config> {
    let words: Vec<_> = std::env::args_os().collect();
    let named = words.windows(2).find(|pair| pair[0] == "--config").map(|pair| PathBuf::from(&pair[1]));
    let sources = Sources {
        config_flag: named,
        environment: std::env::vars_os().collect(),
        working_dir: std::env::current_dir().ok()?,
        ..Sources::default()
    };
    config::load(&sources, &Selection::All).ok()
}
