//! What other runs of a set did: which objects were ever exported, and which by an earlier attempt of the same occurrence.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::SetRun;
use crate::error::Failure;
use crate::export::Edges;
use crate::export::manifest::files_of_earlier;
use crate::export::once::attempts;
use crate::job::{ExportKey, ObjectName};
use crate::output;
use crate::report::manifest::{ManifestColumn, ManifestFile};
use crate::report::{RunReport, RunStatus};
use crate::state::State;

/// What other runs did.
#[derive(Default)]
pub(super) struct Earlier {
    /// The objects that were exported at any time.
    remembered: Vec<ObjectName>,
    names: HashSet<String>,
    /// The objects that earlier attempts exported, by name.
    exported: HashMap<String, CarriedOver>,
}

/// An object that an earlier attempt exported.
#[derive(Debug, Clone)]
pub(super) struct CarriedOver {
    pub(super) object: String,
    /// Its files; none if nothing had changed.
    pub(super) files: Vec<ManifestFile>,
    /// The names of its columns in the query.
    pub(super) columns: Vec<String>,
}

impl Earlier {
    /// Looks into the state; `run` holds the lock of its job.
    pub(super) fn look(run: &SetRun, edges: &Edges) -> Result<Self, Failure> {
        let Some(state) = &edges.state else { return Ok(Self::default()) };
        let remembered = state.exported_objects(&run.job.key())?;
        let names = remembered.iter().map(|name| name.as_str().to_ascii_lowercase()).collect();
        let mut earlier = Self { remembered, names, ..Self::default() };
        if run.start.resumes {
            earlier.look_for_attempts(run, edges, state)?;
        }
        Ok(earlier)
    }

    fn look_for_attempts(&mut self, run: &SetRun, edges: &Edges, state: &State) -> Result<(), Failure> {
        let Some(occurrence) = run.start.at else { return Ok(()) };
        for report in attempts(state.history()?, occurrence, edges.clock.now()) {
            let report = report?;
            if report.job == run.job.name.as_str() && report.org == run.org.name.as_str() {
                self.learn(report, run, state)?;
            }
        }
        Ok(())
    }

    fn learn(&mut self, report: RunReport, run: &SetRun, state: &State) -> Result<(), Failure> {
        let Some(object) = report.object.clone() else { return Ok(()) };
        if report.status != RunStatus::Ok || self.exported.contains_key(&object) {
            return Ok(());
        }
        let Ok(name) = ObjectName::parse(&object) else { return Ok(()) };
        // What was exported by other settings is exported again.
        if report.settings != Some(run.job_of(&name)?.digest()) {
            return Ok(());
        }
        let key = ExportKey::new(run.job.name.clone(), run.org.name.clone()).of_object(name);
        let columns = state.columns_of(&key)?.unwrap_or_default();
        let of_file = match state.file_columns_of(&key)? {
            Some(of_file) => of_file,
            // It was exported by a version that did not record their types.
            None => columns.iter().cloned().map(|name| ManifestColumn { name, column_type: None }).collect(),
        };
        let files = files_of_earlier(&report, of_file);
        let carried_over = CarriedOver { object: object.clone(), files, columns };
        self.exported.insert(object, carried_over);
        Ok(())
    }

    /// Forgets each object with a file that is gone or has changed since it was published, so that it is exported again.
    pub(super) async fn verify(&mut self) {
        let names: Vec<_> = self.exported.keys().cloned().collect();
        for name in names {
            let Some(carried) = self.exported.get(&name) else { continue };
            let files: Vec<_> =
                carried.files.iter().map(|file| (PathBuf::from(&file.path), file.sha256.clone())).collect();
            let are_in_place = move || files.iter().all(|(path, sha256)| output::is_file_of(path, sha256));
            if !tokio::task::spawn_blocking(are_in_place).await.unwrap_or_default() {
                self.exported.remove(&name);
            }
        }
    }

    /// The objects that were exported at any time.
    pub(super) fn remembered(&self) -> impl Iterator<Item = &ObjectName> {
        self.remembered.iter()
    }

    /// Whether the object was exported at any time.
    pub(super) fn has_exported(&self, object: &ObjectName) -> bool {
        self.names.contains(&object.as_str().to_ascii_lowercase())
    }

    /// Of these objects, those that earlier attempts of the occurrence exported.
    pub(super) fn exported_objects<'o>(
        &self,
        objects: impl Iterator<Item = &'o ObjectName>,
    ) -> Vec<CarriedOver> {
        objects.filter_map(|object| self.exported.get(object.as_str())).cloned().collect()
    }
}
