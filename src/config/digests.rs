//! Digests of the files that a configuration was read from, which show whether a file has changed since.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// The files of one reading. Readings of equal files are equal, whatever their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// `sfexport.toml`, if there is one.
    pub shared_file: Option<String>,
    /// By job: the digest of the job file, and of its query's file if it has one.
    pub jobs: BTreeMap<String, String>,
}

/// How a job's files differ between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The job is new.
    New,
    /// One of its files has changed.
    Changed,
    /// The job is gone.
    Removed,
}

impl Difference {
    /// The difference in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

impl Digests {
    /// The jobs whose files differ from those of `previous`, by name.
    #[must_use]
    pub fn differences(&self, previous: &Self) -> BTreeMap<String, Difference> {
        let mut found = BTreeMap::new();
        for (job, digest) in &self.jobs {
            match previous.jobs.get(job) {
                None => drop(found.insert(job.clone(), Difference::New)),
                Some(before) if before != digest => drop(found.insert(job.clone(), Difference::Changed)),
                Some(_) => {}
            }
        }
        let removed = previous.jobs.keys().filter(|job| !self.jobs.contains_key(*job));
        found.extend(removed.map(|job| (job.clone(), Difference::Removed)));
        found
    }
}

/// The digest of a file's text.
pub(crate) fn of(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_differ_in_new_changed_and_removed_jobs() {
        let reading = |jobs: &[(&str, &str)]| Digests {
            shared_file: None,
            jobs: jobs.iter().map(|(job, text)| ((*job).to_owned(), of(text))).collect(),
        };
        let (before, after) =
            (reading(&[("a", "1"), ("b", "1"), ("c", "1")]), reading(&[("a", "1"), ("b", "2"), ("d", "1")]));
        assert_eq!(
            after.differences(&before).into_iter().collect::<Vec<_>>(),
            [("b", Difference::Changed), ("c", Difference::Removed), ("d", Difference::New)]
                .map(|(job, difference)| (job.to_owned(), difference))
        );
        // SHA-256 of `abc`, from FIPS 180-4.
        assert_eq!(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
