//! Finds jobs that would write the same file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use crate::config::mistake::{Mistake, Origin, Problem, quoted};
use crate::job::output_path::{Fields, beside};
use crate::job::{Deletes, ExportKind, Job, JobName, ObjectName, ObjectTerm, OutputTemplate, Source};

/// A job, and the place of its `output`.
pub(super) type Placed = (Job, Origin);

/// A file of a job.
#[derive(Clone, Copy)]
pub(super) struct Written<'r> {
    pub(super) reading: &'r Placed,
    /// Whether `output` itself names it.
    is_output: bool,
}

/// For each output of several jobs: a mistake at the first of them, which names the others, and the names of all.
pub(super) fn clashes(readings: &[Placed]) -> Vec<(Mistake, Vec<JobName>)> {
    // Any time will do, as long as nobody would write it in a path.
    let time = civil::date(2003, 2, 1).at(12, 34, 56, 0);
    let in_zone =
        |zone: &TimeZone| time.to_zoned(zone.clone()).map(|zoned| zoned.timestamp()).unwrap_or_default();
    let mut clashes: Vec<(Mistake, Vec<JobName>)> = Vec::new();
    // Jobs in different zones write the same date at different times, and the later one replaces the other's file.
    // Paths with an offset or with seconds since 1970 are equal only at the same time.
    for files in [sharing(readings, in_zone), sharing(readings, |_| in_zone(&TimeZone::UTC))] {
        for (mistake, names) in files.iter().filter_map(|(path, sharing)| clash(path, sharing)) {
            if !clashes.iter().any(|(_, known)| names.iter().all(|name| known.contains(name))) {
                clashes.push((mistake, names));
            }
        }
    }
    clashes
}

/// The files that the jobs would write, each with its jobs. `timestamp` is the time of the run for each zone.
pub(super) fn sharing(
    readings: &[Placed],
    timestamp: impl Fn(&TimeZone) -> Timestamp,
) -> BTreeMap<PathBuf, Vec<Written<'_>>> {
    let mut files: BTreeMap<PathBuf, Vec<_>> = BTreeMap::new();
    // Those of sets come last: their objects may be named by the paths of other jobs.
    for sets in [false, true] {
        let objects = if sets { objects(readings, files.keys()) } else { BTreeSet::new() };
        for (number, reading) in
            readings.iter().enumerate().filter(|(_, (job, _))| job.set().is_some() == sets)
        {
            let job = &reading.0;
            // Run ids are unique.
            let run_id = format!("run-{number}");
            let timestamp = timestamp(&job.timezone);
            let fields = Fields {
                job: &job.name,
                org: &job.org,
                run_id: &run_id,
                timestamp,
                timezone: &job.timezone,
                // Marks are close to the times of the runs, and every incremental job exports all records at first.
                window: job.incremental.as_ref().map(|_| (ExportKind::Full, timestamp)),
            };
            let mut add = |path, is_output| {
                files.entry(path).or_default().push(Written { reading, is_output });
            };
            for output in outputs(job, &objects) {
                let Ok(path) = output.expand(&fields) else { continue };
                for part in job.child_files() {
                    add(beside(&path, &part), false);
                }
                if job.incremental.as_ref().is_some_and(|incremental| incremental.deletes == Deletes::Ids) {
                    add(beside(&path, "deleted"), false);
                }
                add(path, true);
            }
            if let Ok(Some(path)) = job.manifest_path(&fields) {
                add(path, false);
            }
        }
    }
    files
}

/// The output of a job or, for a set, those of the objects that it has.
fn outputs<'j>(job: &'j Job, objects: &BTreeSet<ObjectName>) -> Vec<Cow<'j, OutputTemplate>> {
    match job.set() {
        None => vec![Cow::Borrowed(&job.output)],
        Some(set) => {
            let included = objects.iter().filter(|object| set.includes(object.as_str()).is_some());
            included.map(|object| Cow::Owned(job.output.of_object(object))).collect()
        }
    }
}

/// Objects that may be those of a set: some that every org has, one of each further kind, all that the jobs name, and
/// those that the paths of other jobs seem to name.
fn objects<'p>(readings: &[Placed], paths: impl Iterator<Item = &'p PathBuf>) -> BTreeSet<ObjectName> {
    const EVERYWHERE: [&str; 8] = [
        "Account",
        "AccountFeed",
        "AccountHistory",
        "AccountShare",
        "User",
        "Sample__c",
        "Sample__History",
        "Sample__mdt",
    ];
    let mut names: BTreeSet<ObjectName> =
        EVERYWHERE.into_iter().filter_map(|name| ObjectName::parse(name).ok()).collect();
    for (job, _) in readings {
        match &job.source {
            Source::Soql(_) => {}
            Source::Object(source) => {
                names.insert(source.object.clone());
            }
            Source::Objects(set) => {
                names.extend(set.terms().iter().filter_map(|term| match term {
                    ObjectTerm::Name(name) => Some(name.clone()),
                    ObjectTerm::Pattern(_) | ObjectTerm::Exclusion(_) => None,
                }));
                names.extend(set.settings().map(|settings| settings.object.clone()));
            }
        }
    }
    let parts = paths.flat_map(|path| path.components()).filter_map(|part| part.as_os_str().to_str());
    let words = parts.flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    names.extend(words.filter_map(|word| ObjectName::parse(word).ok()));
    names
}

/// The mistake of a job that writes the same file for several orgs, such as a manifest.
fn clash_of_orgs(path: &Path, sharing: &[Written<'_>]) -> Option<Mistake> {
    let [first, second, ..] = sharing else { return None };
    let (job, origin) = first.reading;
    let what = format!(
        "{} puts {} of the orgs {} and {} into the same place",
        quoted(job.output.text()),
        quoted(&path.file_name().unwrap_or_default().to_string_lossy()),
        job.org,
        second.reading.0.org
    );
    let hint = "give each org a separate directory, as in \"{org}/{job}.csv\" or \"{org}/{object}.csv\"";
    Some(Mistake::new(origin.clone(), "output".to_owned(), Problem::new(what, hint)))
}

/// The mistake of several jobs that write the same file.
fn clash(path: &Path, sharing: &[Written<'_>]) -> Option<(Mistake, Vec<JobName>)> {
    let names: BTreeSet<_> = sharing.iter().map(|written| &written.reading.0.name).collect();
    let mut order: Vec<_> = sharing.to_vec();
    // In the order of the files, whatever is written first.
    order.sort_by(|a, b| (&a.reading.0.name, &a.reading.0.org).cmp(&(&b.reading.0.name, &b.reading.0.org)));
    if names.len() == 1 {
        order.dedup_by(|a, b| a.reading.0.org == b.reading.0.org);
        return clash_of_orgs(path, &order).map(|mistake| (mistake, names.into_iter().cloned().collect()));
    }
    order.dedup_by(|a, b| a.reading.0.name == b.reading.0.name);
    let (first, others) = order.split_first().filter(|(_, others)| !others.is_empty())?;
    let (job, origin) = first.reading;
    let is_one_zone = others.iter().all(|other| other.reading.0.timezone == job.timezone);
    let others: Vec<_> = others
        .iter()
        .map(|other| {
            let (job, origin) = other.reading;
            format!("{} ({origin})", job.name)
        })
        .collect();
    let others = others.join(", ");
    let has_set = sharing.iter().any(|written| written.reading.0.set().is_some());
    let problem = if sharing.iter().all(|written| written.is_output) {
        let output = quoted(job.output.text());
        let when = if is_one_zone { "" } else { ", at another time in another time zone" };
        let (what, hint) = if has_set {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            (
                format!("{output} is also the output of {others}{when}: both would write {file}"),
                "give each job a separate directory, as in \"{job}/{object}.csv\", or exclude the object from the set",
            )
        } else {
            (
                format!("{output} is also the output of {others}{when}"),
                "give each job a separate output, as in \"{job}.csv\"",
            )
        };
        Problem::new(what, hint)
    } else {
        let path = path.display();
        let manifests =
            sharing.iter().any(|written| written.reading.0.manifest != crate::job::Manifest::None);
        let why = match manifests {
            true => "files of child queries and manifests are next to the output",
            false => "the files of child queries are next to the output",
        };
        Problem::new(
            format!("{path} is also a file of {others}, since {why}"),
            "give each job a separate directory, as in \"{job}/{date}.csv\"",
        )
    };
    Some((Mistake::new(origin.clone(), "output".to_owned(), problem), names.into_iter().cloned().collect()))
}
