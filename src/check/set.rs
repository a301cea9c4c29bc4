//! Checks a set of objects: which objects a run would export now, and where to. `objects` finds out whether it can.

mod alike;
mod objects;

use std::collections::BTreeMap;

use serde_json::json;

use super::api::api_of_set;
use super::org::Reached;
use super::{Check, Name, Outcome, Step, Teller};
use crate::error::{Exit, Failure, plain};
use crate::export::{self, bug, check_object, similar};
use crate::human::counted;
use crate::job::output_path::collision;
use crate::job::{Job, LeftOutReason, ObjectName, ObjectSet, ObjectTerm, Selection};
use crate::salesforce::describe::ObjectSummary;
use crate::state::State;

use alike::Alike;

/// How many names are shown in a list.
const MAX_NAMES: usize = 20;

impl Check<'_> {
    /// A set as a whole, and what is wrong with its objects.
    pub(super) async fn set(&self, job: &Job, set: &ObjectSet, org: Option<&Reached>, tell: Teller<'_>) {
        let mut exported = named(set);
        match org {
            None if self.offline && set.has_patterns() => {
                tell(Step::skipped(Name::Objects, "not known without asking the org"));
            }
            None if self.offline => {
                let number = set.terms().iter().filter(|term| matches!(term, ObjectTerm::Name(_))).count();
                tell(Step::passed(Name::Objects, counted(number as u64, "object")));
            }
            None => tell(Step::skipped(Name::Objects, "not checked, because there is no login")),
            Some(reached) => match reached.client.objects().await {
                Ok(objects) => {
                    let selection = set.select(objects.iter().map(ObjectSummary::facts));
                    if !selection.chosen.is_empty() {
                        exported = selection.chosen.iter().map(|chosen| chosen.name.clone()).collect();
                    }
                    let username = &reached.client.org().username;
                    selected(&selection, &objects, username).into_iter().for_each(&mut *tell);
                    for failure in self.holes(job, set, &selection, username) {
                        tell(Step::failed(Name::Objects, failure));
                    }
                    for failure in not_queryable(&selection, &objects) {
                        tell(Step::failed(Name::Objects, failure));
                    }
                    self.objects_with_settings(job, set, &selection, reached, tell).await;
                    self.objects(job, set, &selection, reached, tell).await;
                    tell(self.last_cost(job, reached));
                    tell(api_of_set(job));
                    if let Some(failure) = self.colliding(job, &selection) {
                        tell(Step::failed(Name::Output, failure));
                        return;
                    }
                }
                Err(fault) => tell(Step::failed(Name::Objects, fault.into_failure())),
            },
        }
        self.outputs(job, &exported, tell);
        if let Some(failure) = self.manifest(job, None).err() {
            tell(Step::failed(Name::Output, failure.context("the manifest could not be written")));
        }
    }

    /// The failures of the objects that were exported before and that the org no longer offers.
    fn holes(&self, job: &Job, set: &ObjectSet, selection: &Selection, username: &str) -> Vec<Failure> {
        let state = State::at(&self.config.settings.state_dir);
        match state.and_then(|state| state.exported_objects(&job.key())) {
            Ok(remembered) => export::holes(set, selection, remembered.iter())
                .iter()
                .map(|object| export::gone(job, object, username))
                .collect(),
            Err(error) => vec![error.into()],
        }
    }

    /// The steps of a single job, for each object that has its own settings.
    async fn objects_with_settings(
        &self,
        job: &Job,
        set: &ObjectSet,
        selection: &Selection,
        reached: &Reached,
        tell: Teller<'_>,
    ) {
        for settings in set.settings() {
            let is_set = |name: &ObjectName| name.as_str().eq_ignore_ascii_case(settings.object.as_str());
            let chosen = selection.chosen.iter().find(|chosen| is_set(&chosen.name));
            let Some(job) = chosen.and_then(|chosen| job.of_object(&chosen.name)) else { continue };
            let mut of_object =
                |step: Step| tell(Step { what: format!("{}: {}", settings.object, step.what), ..step });
            self.generated(&job, reached, &mut of_object).await;
        }
    }

    /// Whether the objects can be written. What can be is shown of the first alone.
    fn outputs(&self, job: &Job, objects: &[ObjectName], tell: Teller<'_>) {
        let mut problems = Alike::default();
        for (at, object) in objects.iter().enumerate() {
            let Some(job) = job.of_object(object) else { continue };
            let step = self.output(&job, None);
            if at == 0 && !matches!(step.outcome, Outcome::Failed | Outcome::Warned) {
                tell(step);
            } else {
                problems.add(object, step);
            }
        }
        problems.into_steps(&job.name).into_iter().for_each(tell);
    }

    /// The failure of two objects whose paths are one file where names differ by more than case.
    fn colliding(&self, job: &Job, selection: &Selection) -> Option<Failure> {
        let paths: Vec<_> = selection
            .chosen
            .iter()
            .filter_map(|chosen| self.path(&job.of_object(&chosen.name)?, None).ok())
            .map(|(path, _)| path)
            .collect();
        let (one, other) = collision(paths.iter().map(std::path::PathBuf::as_path))?;
        let what = format!(
            "{} and {} differ by upper and lower case alone, which many file systems ignore",
            one.display(),
            other.display()
        );
        Some(Failure::new(Exit::Configuration, what).hint("exclude one of the objects"))
    }
}

/// The job of one object of a set.
///
/// # Errors
/// If the job is not a set, or the set does not include the object.
pub(super) fn job_of_object(job: &Job, object: &ObjectName) -> Result<Job, Failure> {
    check_object(job, object)?;
    job.of_object(object).ok_or_else(|| bug("a set without objects"))
}

/// The objects that the list names, or one to try the output with before the org's are known.
fn named(set: &ObjectSet) -> Vec<ObjectName> {
    let named = set.terms().iter().filter_map(|term| match term {
        ObjectTerm::Name(name) if set.includes(name.as_str()).is_some() => Some(name.clone()),
        ObjectTerm::Name(_) | ObjectTerm::Pattern(_) | ObjectTerm::Exclusion(_) => None,
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() { ObjectName::parse("Account").into_iter().collect() } else { named }
}

/// `2 objects: Account, Contact; patterns leave out 3 not queryable`.
pub(crate) fn summary(selection: &Selection) -> String {
    let names: Vec<_> = selection.chosen.iter().map(|chosen| chosen.name.as_str()).collect();
    let mut text = counted(names.len() as u64, "object");
    if !names.is_empty() && names.len() <= MAX_NAMES {
        text = format!("{text}: {}", names.join(", "));
    }
    let mut left_out: BTreeMap<LeftOutReason, u64> = BTreeMap::new();
    for object in &selection.left_out {
        *left_out.entry(object.reason).or_default() += 1;
    }
    if !left_out.is_empty() {
        let counts: Vec<_> = left_out.iter().map(|(reason, number)| reason.counted(*number)).collect();
        text = format!("{text}; patterns leave out {}", counts.join(", "));
    }
    text
}

/// The failure of a set that selects nothing.
pub(crate) fn nothing_selected(username: &str) -> Failure {
    Failure::new(Exit::Query, format!("no object is selected of those that {username} may read"))
        .hint("correct `objects`, or give the user read access (object permissions)")
}

/// The failure of a name that the org does not have, with the nearest one.
pub(crate) fn missing<'o>(
    name: &ObjectName,
    known: impl Iterator<Item = &'o str>,
    username: &str,
) -> Failure {
    let failure =
        Failure::new(Exit::Query, format!("the org has no object \"{name}\" that {username} may read"));
    failure.hint(match similar(name.as_str(), known) {
        Some(near) => format!("write \"{near}\" in `objects`, or give {username} read access"),
        None => format!("correct `objects`, or give {username} read access"),
    })
}

/// The failures of objects that the list names and the org says cannot be queried.
fn not_queryable(selection: &Selection, objects: &[ObjectSummary]) -> Vec<Failure> {
    let named = selection.chosen.iter().filter(|chosen| chosen.named_exactly);
    let refused = named.filter(|chosen| {
        objects.iter().any(|object| object.name == chosen.name.as_str() && !object.queryable)
    });
    refused
        .map(|chosen| {
            let what = format!("the org says that \"{}\" cannot be queried", chosen.name);
            Failure::new(Exit::Query, what).hint(format!("remove \"{}\" from `objects`", chosen.name))
        })
        .collect()
}

/// What a set selects from an org's objects, with what is odd about it.
fn selected(selection: &Selection, objects: &[ObjectSummary], username: &str) -> Vec<Step> {
    let known = || objects.iter().map(|object| object.name.as_str());
    let mut steps = Vec::new();
    let names: Vec<_> = selection.chosen.iter().map(|chosen| chosen.name.as_str()).collect();
    let left_out: Vec<_> = selection
        .left_out
        .iter()
        .map(|object| json!({"object": plain(&object.name), "reason": object.reason.as_str()}))
        .collect();
    let step = match names.is_empty() {
        true => Step::failed(Name::Objects, nothing_selected(username)),
        false => Step::passed(Name::Objects, summary(selection)),
    };
    steps.push(step.fact("objects", names).fact("left_out", left_out));
    for name in &selection.missing {
        steps.push(Step::failed(Name::Objects, missing(name, known(), username)));
    }
    for pattern in &selection.unmatched {
        let what = format!("\"{pattern}\" matches no object that {username} may read");
        let near = similar(pattern.trim_matches('*'), known());
        steps.push(match near {
            Some(near) => Step::warned(Name::Objects, what, format!("did you mean \"{near}\"?")),
            None => Step { hint: None, ..Step::new(Name::Objects, Outcome::Warned, what) },
        });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(names: &[&str]) -> Vec<ObjectSummary> {
        names
            .iter()
            .map(|name| ObjectSummary {
                name: name.trim_start_matches('-').to_owned(),
                label: String::new(),
                custom: false,
                queryable: !name.starts_with('-'),
                deprecated_and_hidden: false,
            })
            .collect()
    }

    fn steps(terms: &[&str], org: &[&str]) -> Vec<(Outcome, String, Option<String>)> {
        let terms = terms.iter().map(|term| ObjectTerm::parse(term).unwrap()).collect();
        let objects = objects(org);
        let selection = ObjectSet::new(terms, Vec::new()).select(objects.iter().map(ObjectSummary::facts));
        let steps = selected(&selection, &objects, "u@example.com");
        steps.into_iter().map(|step| (step.outcome, step.what, step.hint)).collect()
    }

    #[test]
    fn the_objects_of_a_set_are_counted_and_named() {
        let org = ["Account", "Contact", "-Odd", "-Odder", "AccountChangeEvent"];
        assert_eq!(
            steps(&["*"], &org),
            [(
                Outcome::Passed,
                "2 objects: Account, Contact; patterns leave out 2 not queryable, 1 change event".to_owned(),
                None
            )]
        );
        let many: Vec<_> = (0..21).map(|number| format!("Object{number}__c")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(steps(&["*"], &many)[0].1, "21 objects");
    }

    #[test]
    fn what_a_set_does_not_find_is_told_with_what_is_near() {
        let found = steps(&["Account", "Contcat", "Acm__*"], &["Account", "Contact", "Acme__c"]);
        assert_eq!(found[1].0, Outcome::Failed);
        assert_eq!(found[1].1, "the org has no object \"Contcat\" that u@example.com may read");
        assert_eq!(
            found[1].2.as_deref(),
            Some("write \"Contact\" in `objects`, or give u@example.com read access")
        );
        assert_eq!(found[2].0, Outcome::Warned);
        assert_eq!(found[2].1, "\"Acm__*\" matches no object that u@example.com may read");
        assert_eq!(found[2].2.as_deref(), Some("did you mean \"Acme__c\"?"));
        assert_eq!(steps(&["*"], &["-Odd"])[0].0, Outcome::Failed);
    }
}
