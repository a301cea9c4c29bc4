//! Completes the names of jobs, orgs and objects in shells, from the configuration of the command line or the working
//! directory, and from what the state directory remembers. No org is asked.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use crate::config::{self, Config, Selection, Sources};
use crate::job::{ObjectTerm, Source};
use crate::state::State;

/// The configured jobs, including disabled ones.
pub(super) fn jobs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let jobs = configuration().map(|config| config.jobs).unwrap_or_default();
        // A job that exports from several orgs is there once for each.
        let names: BTreeSet<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        names.into_iter().map(CompletionCandidate::new).collect()
    })
}

/// The configured orgs.
pub(super) fn orgs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let orgs = configuration().map(|config| config.orgs).unwrap_or_default();
        orgs.keys().map(|org| CompletionCandidate::new(org.as_str())).collect()
    })
}

/// The objects that jobs name, and those that sets have exported.
pub(super) fn objects() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let Some(config) = configuration() else { return Vec::new() };
        let state = State::at(&config.settings.state_dir).ok();
        let mut names = BTreeSet::new();
        for job in &config.jobs {
            match &job.source {
                Source::Soql(_) => {}
                Source::Object(source) => {
                    names.insert(source.object.to_string());
                }
                Source::Objects(set) => {
                    names.extend(set.terms().iter().filter_map(|term| match term {
                        ObjectTerm::Name(name) => Some(name.to_string()),
                        ObjectTerm::Pattern(_) | ObjectTerm::Exclusion(_) => None,
                    }));
                    let exported = state.as_ref().and_then(|state| state.exported_objects(&job.key()).ok());
                    names.extend(exported.into_iter().flatten().map(|name| name.to_string()));
                }
            }
        }
        names.into_iter().map(CompletionCandidate::new).collect()
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
