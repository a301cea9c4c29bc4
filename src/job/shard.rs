//! Shards: the part of all exports that one of several processes runs. Processes of different versions must agree on
//! the parts, so the hash that decides never changes.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

use super::ExportKey;

/// The largest number of shards.
pub const MAX_SHARDS: u32 = 10_000;

/// The variables in which engines pass a task its number, from 0: Kubernetes, Cloud Run, AWS Batch and Slurm.
pub const INDEX_VARIABLES: [&str; 4] =
    ["JOB_COMPLETION_INDEX", "CLOUD_RUN_TASK_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX", "SLURM_ARRAY_TASK_ID"];

/// One of several parts of all exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

/// What always stays in one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShardBy {
    /// All exports of an org, so one process has its session, its limits and its quota.
    #[default]
    Org,
    /// All exports of a job from one org. The processes share the org.
    Job,
}

impl ShardBy {
    /// All ways.
    pub const ALL: [Self; 2] = [Self::Org, Self::Job];

    /// Its name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Job => "job",
        }
    }

    /// The number of the shard that runs an export, of `count` shards: the first 32 bits of the SHA-256 of `ORG` or
    /// `JOB@ORG`, modulo `count`.
    #[must_use]
    pub fn shard_of(self, key: &ExportKey, count: u32) -> u32 {
        let text = match self {
            Self::Org => key.org().to_string(),
            Self::Job => format!("{}@{}", key.job(), key.org()),
        };
        let bytes = digest(&SHA256, text.as_bytes());
        let hash = bytes.as_ref().iter().take(4).fold(0, |hash: u32, byte| (hash << 8) | u32::from(*byte));
        hash % count.max(1)
    }
}

impl Shard {
    /// Reads `I/N`, or `auto/N` with the number from one of [`INDEX_VARIABLES`], which `variable` looks up.
    ///
    /// # Errors
    /// If the text is neither, if there is no such shard, or if the variables do not give one number.
    pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ShardError> {
        let Some((index, count)) = text.split_once('/') else {
            return Err(match text {
                "auto" => ShardError::new(
                    "the number of shards is missing",
                    "add it, as in auto/8 for the tasks 0 to 7",
                ),
                _ => ShardError::new("it is not of the form I/N", FORM),
            });
        };
        let count = number(count).ok_or_else(|| ShardError::new("it is not of the form I/N", FORM))?;
        if count == 0 {
            return Err(ShardError::new("there must be at least one shard", FORM));
        }
        let Some(count) = u32::try_from(count).ok().filter(|count| *count <= MAX_SHARDS) else {
            let what = "there are too many shards";
            return Err(ShardError::new(
                what,
                format!("use at most {MAX_SHARDS}, and no more than there are orgs"),
            ));
        };
        let last = count - 1;
        if index == "auto" {
            return Self::of_task(count, variable);
        }
        let index = number(index).ok_or_else(|| ShardError::new("it is not of the form I/N", FORM))?;
        Self::new(index, count).ok_or_else(|| {
            ShardError::new(
                format!("there is no shard {index} of {count}"),
                format!("number the shards from 0 to {last}"),
            )
        })
    }

    fn new(index: u64, count: u32) -> Option<Self> {
        let index = u32::try_from(index).ok().filter(|index| *index < count)?;
        Some(Self { index, count })
    }

    fn of_task(count: u32, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ShardError> {
        let last = count - 1;
        let mut found: Option<(&str, u64)> = None;
        for name in INDEX_VARIABLES {
            // An empty variable is how a script unsets one.
            let Some(value) = variable(name).filter(|value| !value.is_empty()) else { continue };
            let index = number(&value).ok_or_else(|| {
                ShardError::new(
                    format!("{name} is {value:?}, which is not a number"),
                    format!("set it to the number of the task, from 0 to {last}"),
                )
            })?;
            match found {
                Some((other, first)) if first != index => {
                    return Err(ShardError::new(
                        format!("{other} is {first}, and {name} is {index}"),
                        format!("unset the one that does not number these tasks, or write I/{count}"),
                    ));
                }
                _ => found = Some((name, index)),
            }
        }
        let Some((name, index)) = found else {
            let [first, second, third, fourth] = INDEX_VARIABLES;
            return Err(ShardError::new(
                format!("none of {first}, {second}, {third} and {fourth} is set"),
                format!("start it as a task of an array, or write the shard's number, as in 0/{count}"),
            ));
        };
        Self::new(index, count).ok_or_else(|| {
            ShardError::new(
                format!("{name} is {index}, and there is no shard {index} of {count}"),
                format!("number the tasks from 0 to {last}, or set N in auto/N to the number of tasks"),
            )
        })
    }

    /// Whether this shard runs the export.
    #[must_use]
    pub fn has(self, key: &ExportKey, by: ShardBy) -> bool {
        by.shard_of(key, self.count) == self.index
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// Why a text is not a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardError {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl ShardError {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

const FORM: &str = "write I/N with I from 0 to N-1, as in 0/4, or auto/N";

/// A number in digits alone. One too large for any use is the largest.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobName;
    use crate::org::OrgName;

    fn key(job: &str, org: &str) -> ExportKey {
        ExportKey::new(JobName::parse(job).unwrap(), OrgName::parse(org).unwrap())
    }

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<String, String> {
        let variable = |name: &str| {
            variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned())
        };
        Shard::parse(text, variable).map(|shard| shard.to_string()).map_err(|error| error.what)
    }

    // docs/fleets.md has the program that computed these.
    #[test]
    fn the_shard_of_an_org_never_changes() {
        let counts = [1, 2, 3, 4, 8, 10, 50, 1_000];
        for (org, shards) in [
            ("default", [0, 1, 0, 1, 1, 9, 49, 49]),
            ("prod", [0, 0, 2, 2, 6, 2, 22, 222]),
            ("uat", [0, 1, 0, 3, 3, 9, 9, 859]),
            ("emea", [0, 0, 2, 2, 6, 6, 36, 686]),
            ("amer", [0, 1, 0, 3, 7, 7, 27, 927]),
            ("apac", [0, 1, 2, 3, 7, 3, 23, 623]),
            ("org_1", [0, 1, 2, 1, 1, 1, 11, 761]),
        ] {
            for job in ["accounts", "contacts"] {
                assert_eq!(counts.map(|count| ShardBy::Org.shard_of(&key(job, org), count)), shards, "{org}");
            }
        }
    }

    #[test]
    fn the_shard_of_a_job_never_changes() {
        let counts = [1, 2, 3, 4, 8, 10, 50, 1_000];
        for (job, org, shards) in [
            ("accounts", "default", [0, 1, 1, 3, 7, 5, 25, 175]),
            ("accounts", "emea", [0, 1, 2, 1, 1, 7, 7, 857]),
            ("contacts", "emea", [0, 1, 2, 1, 5, 7, 47, 997]),
            ("backup", "org_1", [0, 1, 1, 3, 7, 7, 27, 727]),
        ] {
            assert_eq!(counts.map(|count| ShardBy::Job.shard_of(&key(job, org), count)), shards, "{job}");
        }
    }

    #[test]
    fn every_export_is_in_exactly_one_shard() {
        let keys: Vec<_> = (0..30)
            .flat_map(|org| (0..7).map(move |job| key(&format!("job.{job}"), &format!("org_{org}"))))
            .collect();
        for by in ShardBy::ALL {
            for count in 1..=50 {
                for key in &keys {
                    let shards = (0..count).filter(|index| Shard { index: *index, count }.has(key, by));
                    assert_eq!(shards.count(), 1, "{key} by {} in {count}", by.as_str());
                }
            }
        }
    }

    #[test]
    fn a_shard_is_read_as_it_is_written() {
        for text in ["0/1", "0/4", "3/4", "9999/10000"] {
            assert_eq!(parse(text, &[]).as_deref(), Ok(text));
        }
        assert_eq!(parse("007/010", &[]).as_deref(), Ok("7/10"));
        for text in ["", "3", "/", "/4", "1/", "a/4", "-1/4", "+1/4", "1/4/2", " 1/4", "1.0/4", "AUTO/4"] {
            assert_eq!(parse(text, &[]).unwrap_err(), "it is not of the form I/N", "{text}");
        }
        for (text, what) in [
            ("4/4", "there is no shard 4 of 4"),
            ("99999999999999999999/4", "there is no shard 18446744073709551615 of 4"),
            ("0/0", "there must be at least one shard"),
            ("auto/0", "there must be at least one shard"),
            ("0/10001", "there are too many shards"),
            ("auto", "the number of shards is missing"),
        ] {
            assert_eq!(parse(text, &[]).unwrap_err(), what, "{text}");
        }
    }

    #[test]
    fn an_engine_numbers_its_tasks() {
        for name in INDEX_VARIABLES {
            assert_eq!(parse("auto/4", &[(name, "3")]).as_deref(), Ok("3/4"), "{name}");
            assert_eq!(parse("auto/4", &[(name, "")]).unwrap_err().split(' ').next(), Some("none"), "{name}");
            let what = format!("{name} is \"x\", which is not a number");
            assert_eq!(parse("auto/4", &[(name, "x")]).unwrap_err(), what);
            let what = format!("{name} is 4, and there is no shard 4 of 4");
            assert_eq!(parse("auto/4", &[(name, "4")]).unwrap_err(), what);
        }
        let [first, second, ..] = INDEX_VARIABLES;
        assert_eq!(parse("auto/4", &[(first, "2"), (second, "2")]).as_deref(), Ok("2/4"));
        assert_eq!(
            parse("auto/4", &[(first, "2"), (second, "1")]).unwrap_err(),
            format!("{first} is 2, and {second} is 1")
        );
        // A number on the command line needs no variable.
        assert_eq!(parse("1/4", &[(first, "2")]).as_deref(), Ok("1/4"));
    }
}
