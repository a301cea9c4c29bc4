//! `objects`, `[objects_with.NAME]` and `manifest`: a set of objects, each with a separate output.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::object::{condition, selection};
use super::{CountCheckWritten, Exported, RawJob, Reading};
use crate::config::layer::{Layer, OBJECTS_WITH, Section, TextFile};
use crate::config::mistake::{Mistake, Origin, Problem, nearest, quoted};
use crate::job::{
    CountCheck, LeftOutReason, Manifest, ObjectName, ObjectSet, ObjectSettings, ObjectTerm, OutputTemplate,
    QueryOrigin,
};
use crate::soql::generate::FieldSelection;

/// `manifest` as typed.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ManifestWritten {
    Flag(bool),
    Path(String),
}

/// A table `[objects_with.NAME]` as typed.
#[derive(Deserialize)]
struct RawObject {
    fields: Option<Vec<String>>,
    #[serde(rename = "where")]
    condition: Option<String>,
    count_check: Option<CountCheckValue>,
}

#[derive(Deserialize)]
struct CountCheckValue(#[serde(with = "CountCheckWritten")] CountCheck);

impl Reading {
    /// The set of objects to export; `None` if something about it is a mistake.
    pub(super) fn objects(
        &mut self,
        file: &TextFile,
        layers: [&Layer; 2],
        section: &Section<RawJob>,
    ) -> Option<ObjectSet> {
        let mistakes_before = self.mistakes.len();
        if let Some(Origin::File { path, line: Some(line), .. }) = section.origin("objects") {
            self.query_origin = Some(QueryOrigin {
                file: path,
                line,
                is_exact: false,
                condition_line: None,
                fields_line: None,
            });
        }
        for key in ["fields", "where"].into_iter().filter(|key| section.is_written(key)) {
            let problem = Problem::new(
                "this key is about one object, and the job has several",
                format!("write it in `[{OBJECTS_WITH}.NAME]`, for the object NAME"),
            );
            self.mistake(file, section, key, problem);
        }
        if section.is_written("children") {
            let problem =
                Problem::new("this key is about child queries, and `objects` has none", "remove it");
            self.mistake(file, section, "children", problem);
        }
        let terms = section.typed.objects.as_deref().and_then(|texts| self.terms(file, section, texts));
        let set = terms.map(|terms| ObjectSet::new(terms, Vec::new()));
        let settings = self.settings(layers, set.as_ref());
        let set = set.filter(|_| self.mistakes.len() == mistakes_before)?;
        Some(ObjectSet::new(set.terms().to_vec(), settings))
    }

    fn terms(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        texts: &[String],
    ) -> Option<Vec<ObjectTerm>> {
        if texts.is_empty() {
            let problem = Problem::new("the list is empty", "write [\"*\"] to export all objects");
            self.mistake(file, section, "objects", problem);
            return None;
        }
        let mut terms = Vec::with_capacity(texts.len());
        for text in texts {
            match ObjectTerm::parse(text) {
                Ok(term) => terms.push(term),
                Err(hint) => {
                    let what = format!("{} does not select objects", quoted(text));
                    self.mistake(file, section, "objects", Problem::new(what, hint));
                }
            }
        }
        let set = ObjectSet::new(terms.clone(), Vec::new());
        let excludes_all = |term: &&ObjectTerm| matches!(term, ObjectTerm::Exclusion(pattern) if pattern.chars().all(|c| c == '*'));
        if let Some(all) = terms.iter().find(excludes_all) {
            let what = format!("{} excludes every object", quoted(&all.to_string()));
            self.mistake(file, section, "objects", Problem::new(what, "remove it"));
            return Some(terms);
        }
        for term in &terms {
            let ObjectTerm::Name(name) = term else { continue };
            if let Some(exclusion) = set.exclusion_of(name.as_str()) {
                let exclusion = quoted(&exclusion.to_string());
                let what = format!("{} is also excluded, by {exclusion}", quoted(name.as_str()));
                self.mistake(file, section, "objects", Problem::new(what, "remove one of them"));
            }
        }
        // A table may be about the object that a wrong entry means.
        (terms.len() == texts.len()).then_some(terms)
    }

    /// What the job and the defaults set for single objects. Without the set, only the tables themselves are checked.
    pub(super) fn settings(
        &mut self,
        [defaults, job]: [&Layer; 2],
        set: Option<&ObjectSet>,
    ) -> Vec<ObjectSettings> {
        let mut all: Vec<ObjectSettings> = Vec::new();
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        // A default for an object that the set does not have does not fit it.
        for (name, origin) in defaults.objects() {
            let included = ObjectName::parse(name)
                .ok()
                .filter(|object| set.is_some_and(|set| set.includes(object.as_str()).is_some()));
            if let Some(object) = included {
                all.extend(self.settings_of(
                    object,
                    [defaults, job],
                    origin,
                    &format!("{OBJECTS_WITH}.{name}"),
                ));
            }
        }
        for (name, origin) in job.objects() {
            let path = format!("{OBJECTS_WITH}.{name}");
            let mut mistake = |problem: Problem| {
                self.mistakes.push(Mistake::new(origin.clone(), path.clone(), problem));
            };
            let Ok(object) = ObjectName::parse(name) else {
                let hint = "write a table for each object, with its name";
                mistake(Problem::new(format!("{} is not an object's API name", quoted(name)), hint));
                continue;
            };
            if let Some(other) = seen.insert(name.to_ascii_lowercase(), name) {
                let what = format!("{} and {} are the same object", quoted(other), quoted(name));
                mistake(Problem::new(what, "write one table for it"));
                continue;
            }
            if let Some(problem) = set.and_then(|set| not_included(set, &object)) {
                mistake(problem);
            }
            all.extend(self.settings_of(object, [defaults, job], origin, &path));
        }
        all
    }

    fn settings_of(
        &mut self,
        object: ObjectName,
        layers: [&Layer; 2],
        whole: &Origin,
        path: &str,
    ) -> Option<ObjectSettings> {
        let section = Section::<RawObject>::merge(&layers, &format!("{path}."), &mut self.mistakes)?;
        let RawObject { fields, condition: written, count_check } = &section.typed;
        let fields = fields.as_deref().map_or_else(|| Ok(FieldSelection::all()), selection);
        let fields = fields.map_err(|problem| self.mistakes.push(section.mistake("fields", whole, problem)));
        let condition = written.as_deref().map(condition).transpose();
        let condition =
            condition.map_err(|problem| self.mistakes.push(section.mistake("where", whole, problem)));
        let count_check = count_check.as_ref().map(|CountCheckValue(value)| *value);
        Some(ObjectSettings { object, fields: fields.ok()?, condition: condition.ok()?, count_check })
    }

    /// A table of an object in a job without a set.
    pub(super) fn only_of_sets(&mut self, layer: &Layer) {
        for (name, origin) in layer.objects() {
            let problem =
                Problem::new("this table has no effect without `objects`", "remove it, or add `objects`");
            self.mistakes.push(Mistake::new(origin.clone(), format!("{OBJECTS_WITH}.{name}"), problem));
        }
    }

    /// Where the manifest goes.
    pub(super) fn manifest(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        exported: Option<&Exported>,
        output: Option<&OutputTemplate>,
    ) -> Option<Manifest> {
        let is_set = section.is_written("objects");
        match &section.typed.manifest {
            None if is_set => return Some(Manifest::Beside),
            None | Some(ManifestWritten::Flag(false)) => return Some(Manifest::None),
            Some(ManifestWritten::Flag(true)) => return Some(Manifest::Beside),
            Some(ManifestWritten::Path(_)) => {}
        }
        match exported {
            Some(Exported::Objects(_)) => {}
            // The job lacks something else, which is a mistake already.
            None if is_set => {}
            _ => {
                let problem = Problem::new(
                    "only a job with `objects` has a path for its manifest",
                    "write true; the manifest is then next to the output",
                );
                self.mistake(file, section, "manifest", problem);
                return None;
            }
        }
        self.manifest_path(file, section, output.map(OutputTemplate::root)?).map(Manifest::At)
    }

    /// The path of a manifest; `None` if there is none, or if it is a mistake.
    pub(super) fn manifest_path(
        &mut self,
        file: &TextFile,
        section: &Section<RawJob>,
        root: &Path,
    ) -> Option<OutputTemplate> {
        let Some(ManifestWritten::Path(path)) = &section.typed.manifest else { return None };
        let mut wrong = |problem| {
            self.mistake(file, section, "manifest", problem);
            None
        };
        let template = match OutputTemplate::parse(path, root) {
            Ok(template) => template,
            Err(error) => return wrong(super::of_template(path, error)),
        };
        if template.has_object() {
            let what =
                format!("{} has the field {{object}}, and there is one manifest for all", quoted(path));
            return wrong(Problem::new(what, "write a path without {object}"));
        }
        if template.has_kind() || template.has_mark() {
            let what =
                format!("{} has the field {{kind}} or {{mark}}, and each object has its own", quoted(path));
            return wrong(Problem::new(what, "write {datetime} or {run_id} instead"));
        }
        if !path.to_ascii_lowercase().ends_with(".json") {
            let what = format!("{} does not end in .json", quoted(path));
            return wrong(Problem::new(what, "end it in .json"));
        }
        Some(template)
    }
}

/// Why a set does not have an object that the job has a table for.
fn not_included(set: &ObjectSet, object: &ObjectName) -> Option<Problem> {
    if set.includes(object.as_str()).is_some() {
        return None;
    }
    let name = quoted(object.as_str());
    if let Some(exclusion) = set.exclusion_of(object.as_str()) {
        let what = format!("{name} is excluded by {}", quoted(&exclusion.to_string()));
        return Some(Problem::new(what, "remove this table, or the exclusion"));
    }
    if let Some(reason) = LeftOutReason::of_name(object.as_str()).filter(|_| set.has_patterns()) {
        let what = format!("patterns do not select {name}, because they leave out {}", reason.of_kind());
        return Some(Problem::new(what, format!("add {name} to `objects`, or remove this table")));
    }
    let names = set.terms().iter().filter_map(|term| match term {
        ObjectTerm::Name(name) => Some(name.as_str()),
        ObjectTerm::Pattern(_) | ObjectTerm::Exclusion(_) => None,
    });
    let hint = match nearest(object.as_str(), names) {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => format!("add {name} to `objects`, or remove this table"),
    };
    Some(Problem::new(format!("{name} is not in `objects`"), hint))
}
