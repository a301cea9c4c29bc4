//! Finds jobs that would overwrite sfexport's own files: its configuration, keys and state.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use jiff::civil;
use jiff::tz::TimeZone;

use super::clashes::{Placed, sharing};
use crate::config::mistake::{Mistake, Problem, quoted};
use crate::job::JobName;
use crate::org::{KeySource, Org, PasswordSource};

/// What `state` keeps in the state directory, by its first name there. Exports may be next to it.
pub(crate) const STATE_NAMES: [&str; 13] = [
    "runs.jsonl",
    "runs.lock",
    "daemon.lock",
    "loaded.json",
    "locks",
    "journal",
    "marks",
    "columns",
    "fields",
    "watermarks",
    "file_columns",
    "last_api",
    "bulk_refusals",
];

/// The files that no export may replace.
#[derive(Clone, Default)]
pub(crate) struct OwnFiles {
    /// Each with what it is.
    files: BTreeMap<PathBuf, &'static str>,
    state_dir: PathBuf,
}

impl OwnFiles {
    /// Those that every job must leave alone. The paths are absolute.
    pub(crate) fn new<'o>(
        shared_file: Option<&Path>,
        state_dir: &Path,
        orgs: impl Iterator<Item = &'o Org>,
    ) -> Self {
        let mut own = Self { files: BTreeMap::new(), state_dir: normal(state_dir) };
        shared_file.into_iter().for_each(|file| own.add(file, "the configuration file"));
        for org in orgs {
            if let KeySource::File(file) = &org.key {
                own.add(file, "the private key in key_file");
            }
            if let Some(PasswordSource::File(file)) = &org.key_password {
                own.add(file, "the password in key_password_file");
            }
            if let Some(file) = &org.cert_file {
                own.add(file, "the certificate in cert_file");
            }
        }
        own
    }

    /// Those and the files of the jobs.
    pub(super) fn with<'f>(
        &self,
        job_files: impl Iterator<Item = &'f Path>,
        readings: &[Placed],
        working_dir: &Path,
    ) -> Self {
        let mut own = self.clone();
        for origin in readings.iter().filter_map(|(job, _)| job.query_origin.as_ref()) {
            own.add(&working_dir.join(&origin.file), "the file of a job's query");
        }
        job_files.for_each(|file| own.add(file, "a job file"));
        own
    }

    fn add(&mut self, file: &Path, what: &'static str) {
        self.files.insert(normal(file), what);
    }

    fn what(&self, path: &Path) -> Option<&'static str> {
        let path = normal(path);
        let is_of_state = || {
            let inside = path.strip_prefix(&self.state_dir).ok()?;
            let first = inside.components().next()?.as_os_str().to_str()?;
            STATE_NAMES.contains(&first).then_some("what sfexport keeps in state_dir")
        };
        self.files.get(&path).copied().or_else(is_of_state)
    }
}

/// A mistake for each job that would replace one of these files, with the job's name.
pub(super) fn overwritten(readings: &[Placed], own: &OwnFiles) -> Vec<(Mistake, JobName)> {
    let any_time = civil::date(2003, 2, 1).at(12, 34, 56, 0).to_zoned(TimeZone::UTC);
    let timestamp = any_time.map(|zoned| zoned.timestamp()).unwrap_or_default();
    let mut mistakes: Vec<(Mistake, JobName)> = Vec::new();
    for (path, sharing) in sharing(readings, |_| timestamp) {
        let Some(what) = own.what(&path) else { continue };
        for (job, origin) in sharing.iter().map(|written| written.reading) {
            if mistakes.iter().any(|(_, known)| *known == job.name) {
                continue;
            }
            let problem = Problem::new(
                format!("{} would overwrite {what}", quoted(job.output.text())),
                "choose another path",
            );
            mistakes.push((Mistake::new(origin.clone(), "output".to_owned(), problem), job.name.clone()));
        }
    }
    mistakes
}

/// The path without `.` and `..`, by its text alone.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}
