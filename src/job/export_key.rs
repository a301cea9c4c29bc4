//! What identifies an export between runs: its job, its org and, for one export of a set, its object.

use std::fmt;

use super::{JobName, NameError};
use crate::org::OrgName;

/// An object's API name as the org spells it: letters, digits and `_`, starting with a letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName(String);

impl ObjectName {
    /// Reads an object's name.
    ///
    /// # Errors
    /// If the text is not a name; the error says what a name may contain.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || !text.chars().all(allowed) {
            return Err(NameError("begin it with a letter, and use only letters, digits and `_`"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies everything that is remembered of one export between runs. A job that exports from several orgs has one
/// key per org, and a set of objects one more per object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExportKey {
    job: JobName,
    org: OrgName,
    object: Option<ObjectName>,
}

impl ExportKey {
    /// The key of a job run against an org as a whole.
    #[must_use]
    pub fn new(job: JobName, org: OrgName) -> Self {
        Self { job, org, object: None }
    }

    /// The key of one object of that run.
    #[must_use]
    pub fn of_object(self, object: ObjectName) -> Self {
        Self { object: Some(object), ..self }
    }

    /// The job.
    #[must_use]
    pub fn job(&self) -> &JobName {
        &self.job
    }

    /// The org.
    #[must_use]
    pub fn org(&self) -> &OrgName {
        &self.org
    }

    /// The arguments by which a command names it: `accounts`, `backup --org emea --object Account`.
    #[must_use]
    pub fn arguments(&self) -> String {
        let mut arguments = self.job.to_string();
        if self.org.as_str() != OrgName::DEFAULT {
            arguments.push_str(&format!(" --org {}", self.org));
        }
        if let Some(object) = &self.object {
            arguments.push_str(&format!(" --object {object}"));
        }
        arguments
    }

    /// The object, if the key is that of one export of a set.
    #[must_use]
    pub fn object(&self) -> Option<&ObjectName> {
        self.object.as_ref()
    }
}

impl fmt::Display for ExportKey {
    /// `accounts`, `accounts for org emea`, `backup for org emea, object Account`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.job)?;
        if self.org.as_str() != OrgName::DEFAULT {
            write!(f, " for org {}", self.org)?;
        }
        match &self.object {
            Some(object) => write!(f, ", object {object}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ExportKey, JobName, ObjectName, OrgName};

    #[test]
    fn an_object_is_named_as_the_api_names_it() {
        for good in ["Account", "Invoice__c", "ns__Invoice__c", "A1"] {
            assert_eq!(ObjectName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "1A", "_A", "A-B", "A.B", "A@B", "Ä"] {
            assert!(ObjectName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_default_org_is_not_worth_a_word() {
        let job = JobName::parse("backup").unwrap();
        assert_eq!(ExportKey::new(job.clone(), OrgName::default_org()).to_string(), "backup");
        let emea = ExportKey::new(job, OrgName::parse("emea").unwrap());
        assert_eq!(emea.to_string(), "backup for org emea");
        let account = emea.clone().of_object(ObjectName::parse("Account").unwrap());
        assert_eq!(account.to_string(), "backup for org emea, object Account");
        assert_eq!(emea.arguments(), "backup --org emea");
        assert_eq!(account.arguments(), "backup --org emea --object Account");
    }
}
