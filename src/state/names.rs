//! The names of a key's files: `JOB@ORG` and, for one export of a set, `JOB@ORG@OBJECT`. None of the three parts can
//! contain an `@`, so two keys never share a file.

use super::store::hash;
use crate::job::ExportKey;

/// The longest file name on common file systems of Linux and macOS, less the longest extension, `.json` or `.lock`.
const MAX_STEM: usize = 255 - 5;

/// The name of a key's file without its extension. A name that is too long is cut and ends with `~`, which no name
/// contains, and a hash of the whole name.
pub(super) fn stem(key: &ExportKey) -> String {
    let mut stem = format!("{}@{}", key.job(), key.org());
    if let Some(object) = key.object() {
        stem = format!("{stem}@{object}");
    }
    if stem.len() <= MAX_STEM {
        return stem;
    }
    const HASH: usize = 32;
    let digits = hash(stem.as_bytes());
    // Names are ASCII, so they can be cut anywhere.
    format!("{}~{}", &stem[..MAX_STEM - 1 - HASH], &digits[..HASH])
}

/// Whether a document's name is cut, so it does not give its key.
pub(super) fn is_cut(name: &str) -> bool {
    name.contains('~')
}

/// The name of a key's document of a kind.
pub(super) fn document(kind: &str, key: &ExportKey) -> String {
    format!("{kind}/{}.json", stem(key))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{document, stem};
    use crate::job::{ExportKey, JobName, ObjectName};
    use crate::org::OrgName;

    fn key(job: &str, org: &str, object: Option<&str>) -> ExportKey {
        let key = ExportKey::new(JobName(job.to_owned()), OrgName::parse(org).unwrap());
        match object {
            Some(object) => key.of_object(ObjectName::parse(object).unwrap()),
            None => key,
        }
    }

    #[test]
    fn a_file_is_named_after_job_org_and_object() {
        assert_eq!(document("marks", &key("accounts", "emea", None)), "marks/accounts@emea.json");
        assert_eq!(stem(&key("a.b", "default", Some("Invoice__c"))), "a.b@default@Invoice__c");
    }

    #[test]
    fn keys_share_no_file_and_fit_into_a_name() {
        let long = "n".repeat(250);
        let mut keys = Vec::new();
        for job in ["a", "a.default", "a-b", &long[..240], &long[..249], &long] {
            for org in ["default", "b", &long] {
                for object in [None, Some("Account"), Some("Accounts"), Some(long.as_str())] {
                    keys.push(key(job, org, object));
                }
            }
        }
        let names: BTreeSet<_> = keys.iter().map(stem).collect();
        assert_eq!(names.len(), keys.len());
        assert!(names.iter().all(|name| name.len() + ".json".len() <= 255));
        assert!(names.iter().any(|name| name.contains('~')));
    }
}
