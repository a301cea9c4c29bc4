//! The manifest of a run: what is in it, and how it appears, whole and after every file that it lists.

use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;

use super::blocking;
use super::error::RunError;
use super::locks::OutputLocks;
use super::publish::{publish, seal, stage};
use crate::error::{Exit, Failure};
use crate::job::{IfExists, Job};
use crate::output::{self, Output, Published, Sealed};
use crate::report::manifest::{Manifest, ManifestColumn, ManifestFile, ManifestKind, relative};
use crate::report::{ChildFile, RunId, RunReport, SkippedObject};
use crate::soql::Columns;
use crate::state::{JobLock, State};
use crate::value::FieldType;

/// A manifest of these files, whose paths are absolute.
pub(super) fn of_run(
    report: &RunReport,
    org_id: Option<String>,
    files: Vec<ManifestFile>,
    skipped: Vec<SkippedObject>,
    ended: Timestamp,
) -> Manifest {
    Manifest {
        version: Manifest::VERSION,
        job: report.job.clone(),
        org: report.org.clone(),
        org_id,
        run_id: report.run_id.clone(),
        scheduled: report.scheduled,
        started: report.started,
        ended,
        format: report.format.clone().unwrap_or_default(),
        files,
        skipped,
    }
}

/// The files that a run published: the main one, then those of child queries or that of deleted records. None if nothing had
/// changed and the run published nothing.
pub(super) fn files_of(report: &RunReport, object: Option<&str>, columns: &Columns) -> Vec<ManifestFile> {
    if report.path.is_none() {
        return Vec::new();
    }
    let mut files = vec![main_file(report, object, columns_of(columns))];
    for (file, table) in report.files.iter().zip(columns.tables()) {
        files.push(file_beside(report, object, file, columns_of(table.columns)));
    }
    files.extend(file_of_deletes(report, object));
    files
}

/// The file of deleted records, if there is one.
fn file_of_deletes(report: &RunReport, object: Option<&str>) -> Option<ManifestFile> {
    report.deleted?;
    let file = report.files.first()?;
    let types = [FieldType::Text, FieldType::DateTime].map(|field_type| Some(field_type.to_string()));
    let columns = file.columns.iter().cloned().zip(types);
    let columns = columns.map(|(name, column_type)| ManifestColumn { name, column_type }).collect();
    Some(file_beside(report, object, file, columns))
}

fn file_beside(
    report: &RunReport,
    object: Option<&str>,
    file: &ChildFile,
    columns: Vec<ManifestColumn>,
) -> ManifestFile {
    let of_deletes = report.deleted.is_some();
    ManifestFile {
        object: object.map(str::to_owned),
        child: (!of_deletes).then(|| file.of.clone()),
        kind: if of_deletes { Some(ManifestKind::Deletes) } else { report.kind.map(ManifestKind::from) },
        since: report.since,
        mark: report.mark,
        path: file.path.clone(),
        records: file.records,
        bytes: file.bytes,
        raw_bytes: file.raw_bytes,
        sha256: file.sha256.clone(),
        run_id: report.run_id.clone(),
        columns,
    }
}

/// The columns of a file.
pub(super) fn columns_of(columns: &Columns) -> Vec<ManifestColumn> {
    let types = columns.types().iter().map(|of| of.map(|field_type| field_type.to_string()));
    let columns = columns.output_names().iter().zip(types);
    columns.map(|(name, column_type)| ManifestColumn { name: name.clone(), column_type }).collect()
}

/// The files that a run of an earlier attempt published for an object.
pub(super) fn files_of_earlier(report: &RunReport, columns: Vec<ManifestColumn>) -> Vec<ManifestFile> {
    let object = report.object.as_deref();
    let main = report.path.as_ref().map(|_| main_file(report, object, columns));
    main.into_iter().chain(file_of_deletes(report, object)).collect()
}

fn main_file(report: &RunReport, object: Option<&str>, columns: Vec<ManifestColumn>) -> ManifestFile {
    ManifestFile {
        object: object.map(str::to_owned),
        child: None,
        kind: report.kind.map(ManifestKind::from),
        since: report.since,
        mark: report.mark,
        path: report.path.clone().unwrap_or_default(),
        records: report.records,
        bytes: report.bytes,
        raw_bytes: report.raw_bytes,
        sha256: report.sha256.clone().unwrap_or_default(),
        run_id: report.run_id.clone(),
        columns,
    }
}

/// Writes the manifest of `job`. `after` is the report for the command that runs after it.
///
/// # Errors
/// [`Exit::Output`]; the previous one is then as it was.
pub(super) async fn write(
    job: &Job,
    run: &RunId,
    path: &Path,
    manifest: Manifest,
    remembered: Option<(&State, &JobLock)>,
    after: Option<RunReport>,
) -> Result<Published, RunError> {
    let failed = |failure: Failure| failure.context("the manifest has not been written");
    let (sealed, _lock) = sealed(job, run, path, manifest, remembered).await?;
    let published = publish(vec![sealed], remembered, after, None).await.map_err(|error| match error {
        RunError::Failed(failure) => failed(failure).into(),
        other => other,
    })?;
    published.into_iter().next().ok_or_else(|| super::bug("no manifest was published").into())
}

/// The manifest of `job`, which only has to be published, and the lock on its place.
///
/// # Errors
/// [`Exit::Output`]; the previous one is then as it was.
pub(super) async fn sealed(
    job: &Job,
    run: &RunId,
    path: &Path,
    manifest: Manifest,
    remembered: Option<(&State, &JobLock)>,
) -> Result<(Box<dyn Sealed>, OutputLocks), Failure> {
    let failed = |failure: Failure| failure.context("the manifest has not been written");
    let (staged, lock) = blocking(|| written(job, run, path, manifest, remembered)).map_err(failed)?;
    let sealed = seal(staged).await.map_err(failed)?;
    let sealed = sealed.into_iter().next().ok_or_else(|| super::bug("no manifest was written"))?;
    Ok((sealed, lock))
}

/// Finds out whether the manifest can be written, as far as that can be known before.
///
/// # Errors
/// [`Exit::Output`].
pub(super) fn check(job: &Job, path: &Path) -> Result<(), Failure> {
    let checked = output(job, path).and_then(|output| output.check());
    checked.map_err(|failure| failure.context("the manifest could not be written"))
}

/// The manifest's place. A retry writes it again, whatever is done with existing exports, and it is never compressed.
fn output(job: &Job, path: &Path) -> Result<Output, Failure> {
    let job = Job { if_exists: IfExists::Replace, compression: None, ..job.clone() };
    Output::of_job(&job, path)
}

/// A stage that holds the manifest, and the lock on its place.
fn written(
    job: &Job,
    run: &RunId,
    path: &Path,
    manifest: Manifest,
    remembered: Option<(&State, &JobLock)>,
) -> Result<(Vec<Box<dyn output::Staged>>, OutputLocks), Failure> {
    let output = output(job, path)?;
    let mut locks = OutputLocks::default();
    if let Some((state, _)) = remembered {
        locks.lock(state, output.lock_location().as_slice())?;
    }
    if let Err(failure) = output.sweep() {
        let (job, org) = (&job.name, &job.org);
        tracing::warn!(%job, %org, run_id = %run, error = %failure, "cannot remove an old temporary file");
    }
    let json = json(manifest, path)?;
    let mut staged = stage(&[output], run, remembered)?;
    for stage in &mut staged {
        stage.write_all(&json).map_err(output::write_failure)?;
    }
    Ok((staged, locks))
}

/// The manifest's text, with paths relative to it.
fn json(mut manifest: Manifest, path: &Path) -> Result<Vec<u8>, Failure> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for file in &mut manifest.files {
        file.path = relative(&absolute, Path::new(&file.path));
    }
    manifest.to_json().map_err(|error| Failure::new(Exit::General, format!("a bug in sfexport: {error}")))
}
