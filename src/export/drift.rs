//! Whether the columns of a job are those of its last successful run.

use std::collections::{HashMap, HashSet};

use crate::error::{Exit, Failure};
use crate::human;
use crate::job::{ExportKey, Format, Job};
use crate::report::manifest::ManifestColumn;
use crate::soql::Columns;
use crate::state::{JobLock, State};
use crate::value::FieldType;

/// Looks whether the columns have changed since the job's last successful run: a warning for the report of a run that
/// succeeds, or, where they are pinned, the run's end.
///
/// # Errors
/// [`Exit::Query`] with the difference where they are pinned; [`Exit::Output`] where the former ones cannot be read.
pub(super) fn look(
    job: &Job,
    columns: &Columns,
    remembered: Option<(&State, &JobLock)>,
) -> Result<Option<String>, Failure> {
    let Some((state, lock)) = remembered else { return Ok(None) };
    compare(job, columns, &Former::of(job, state, lock.key())?)
}

/// The columns of a job's last successful run.
pub(crate) struct Former {
    /// `None` if there was none.
    columns: Option<Vec<String>>,
    /// The types in the file, if it has types.
    types: Vec<ManifestColumn>,
}

impl Former {
    /// What is remembered of them.
    ///
    /// # Errors
    /// [`Exit::Output`] if it cannot be read.
    pub(crate) fn of(job: &Job, state: &State, key: &ExportKey) -> Result<Self, Failure> {
        let types = match job.format {
            Format::Parquet => state.file_columns_of(key)?.unwrap_or_default(),
            Format::Csv | Format::Jsonl => Vec::new(),
        };
        Ok(Self { columns: state.columns_of(key)?, types })
    }
}

/// The same with the columns of the last successful run at hand.
///
/// # Errors
/// [`Exit::Query`] with the difference, if they are pinned.
pub(crate) fn compare(job: &Job, columns: &Columns, former: &Former) -> Result<Option<String>, Failure> {
    let Some(names) = &former.columns else { return Ok(None) };
    let differences = [difference(names, &noted(job, columns)), retyped(job, columns, &former.types)];
    let difference = differences.into_iter().flatten().collect::<Vec<_>>().join("; ");
    if difference.is_empty() {
        return Ok(None);
    }
    let what = format!("the columns have changed since the last successful run: {difference}");
    if job.shape.columns_pinned {
        return Err(Failure::new(Exit::Query, format!("{what}; columns_pinned = true forbids it"))
            .hint("if the change is intended, run the job once with columns_pinned = false"));
    }
    Ok(Some(what))
}

/// The columns of all of a run's files as they are remembered: those of child queries' files by `Contacts: Email`.
pub(super) fn noted(job: &Job, columns: &Columns) -> Vec<String> {
    let mut noted = columns.names().to_vec();
    for (of, table) in job.child_files().iter().zip(columns.tables()) {
        noted.extend(table.columns.names().iter().map(|name| format!("{of}: {name}")));
    }
    noted
}

/// How many names of each kind a message shows.
const MAX_NAMES: usize = 50;

/// What has changed, in words; `None` if nothing has.
fn difference(former: &[String], new: &[String]) -> Option<String> {
    if former == new {
        return None;
    }
    let (gone, added) = (without(former, new), without(new, former));
    Some(match (gone.as_slice(), added.as_slice()) {
        ([], []) => "their order has changed".to_owned(),
        ([], added) => format!("new: {}", listed(added)),
        (gone, []) => format!("gone: {}", listed(gone)),
        (gone, added) => format!("gone: {}; new: {}", listed(gone), listed(added)),
    })
}

/// The columns that have another type in the file, in words; `None` if none has. A type that is not known yet is passed over.
fn retyped(job: &Job, columns: &Columns, former: &[ManifestColumn]) -> Option<String> {
    let in_file = |field_type| job.shape.parquet.type_of(field_type);
    let former: HashMap<_, _> = former
        .iter()
        .filter_map(|column| Some((column.name.as_str(), column.column_type.as_deref()?)))
        .map(|(name, written)| (name, in_file(FieldType::parse(written))))
        .collect();
    let now = columns.output_names().iter().zip(columns.types());
    let retyped = now.filter_map(|(name, field_type)| {
        let (now, then) = (in_file(Some((*field_type)?)), *former.get(name.as_str())?);
        (now != then).then(|| format!("{name} ({now}, was {then})"))
    });
    let retyped: Vec<_> = retyped.collect();
    (!retyped.is_empty()).then(|| format!("of another type: {}", human::list(retyped.iter(), MAX_NAMES)))
}

fn without<'n>(these: &'n [String], those: &[String]) -> Vec<&'n str> {
    let those: HashSet<_> = those.iter().collect();
    these.iter().filter(|name| !those.contains(name)).map(String::as_str).collect()
}

/// An object's job can change by thousands of columns at once.
fn listed(names: &[&str]) -> String {
    human::list(names.iter(), MAX_NAMES)
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_difference_is_shown_by_names() {
        let told = |former: &[&str], new: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            difference(&owned(former), &owned(new))
        };
        assert_eq!(told(&["Id", "Name"], &["Id", "Name"]), None);
        assert_eq!(told(&["Id"], &["Id", "A__c", "B__c"]).as_deref(), Some("new: A__c, B__c"));
        assert_eq!(told(&["Id", "A__c"], &["Id"]).as_deref(), Some("gone: A__c"));
        assert_eq!(told(&["Id", "A"], &["Id", "a"]).as_deref(), Some("gone: A; new: a"));
        assert_eq!(told(&["Id", "A"], &["A", "Id"]).as_deref(), Some("their order has changed"));
    }

    #[test]
    fn of_very_many_names_the_first_are_shown() {
        let names = |prefix: &str, count| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
        let words = difference(&names("a", 100_000), &names("b", 51)).unwrap();
        let first = |prefix: &str| names(prefix, 50).join(", ");
        assert_eq!(words, format!("gone: {} and 99950 more; new: {} and 1 more", first("a"), first("b")));
        // Without an index this would take minutes.
        assert!(difference(&names("a", 100_000), &names("b", 100_000)).is_some());
        assert_eq!(difference(&[], &names("a", 50)).unwrap(), format!("new: {}", first("a")));
    }
}
