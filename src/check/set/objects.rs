//! Whether a run can export each object of a set: by the objects' descriptions, which all questions share, and by the query
//! of each object that the list names.

use std::collections::BTreeSet;

use super::alike::Alike;
use crate::check::incremental::Changes;
use crate::check::org::Reached;
use crate::check::{Check, Name, Outcome, Step, Teller};
use crate::error::Failure;
use crate::export::{self, similar};
use crate::job::{ApiChoice, Chosen, Job, ObjectSet, Selection, Source};
use crate::salesforce::composite;
use crate::salesforce::describe::ObjectDescription;
use crate::soql::{Columns, Rule, UnusedRules};
use crate::state::State;

/// What the descriptions show.
struct Findings<'j> {
    job: &'j Job,
    rules: Rules,
    changes: Option<Changes>,
    problems: Alike,
}

impl Check<'_> {
    /// The steps about all objects. Only failures and warnings are about single ones. Nothing is asked if the job sets
    /// nothing that an object may not fit, and the list names none.
    pub(super) async fn objects(
        &self,
        job: &Job,
        set: &ObjectSet,
        selection: &Selection,
        reached: &Reached,
        tell: Teller<'_>,
    ) {
        let rules = Rules::of(job);
        let changes = job.incremental.as_ref().map(Changes::of);
        let wants_all = !rules.unused.is_empty()
            || changes.is_some()
            || job.shape.columns_pinned
            || job.api == ApiChoice::Bulk;
        let is_wanted = |chosen: &&Chosen| wants_all || chosen.named_exactly && !has_settings(set, chosen);
        let wanted: Vec<_> = selection.chosen.iter().filter(is_wanted).collect();
        let mut findings = Findings { job, rules, changes, problems: Alike::default() };
        // Descriptions are large, so there is never more than one batch of them.
        for batch in wanted.chunks(composite::MAX_REQUESTS) {
            let names: Vec<_> = batch.iter().map(|chosen| chosen.name.as_str()).collect();
            for (chosen, described) in batch.iter().zip(reached.client.describe_objects(&names).await) {
                let steps = match described {
                    Ok(described) => self.object(chosen, &described, reached, &mut findings).await,
                    Err(fault) => {
                        findings.rules.are_unknown = true;
                        vec![Step::failed(Name::Columns, fault.into_failure())]
                    }
                };
                // An object with its own settings has all steps of its own.
                if !has_settings(set, chosen) {
                    steps.into_iter().for_each(|step| findings.problems.add(&chosen.name, step));
                }
            }
        }
        let Findings { rules, changes, problems, .. } = findings;
        problems.into_steps(&job.name).into_iter().for_each(&mut *tell);
        if let Some(changes) = changes {
            self.changes(job, changes, tell);
        }
        rules.warnings().into_iter().for_each(tell);
    }

    /// The steps about one object.
    async fn object(
        &self,
        chosen: &Chosen,
        described: &ObjectDescription,
        reached: &Reached,
        findings: &mut Findings<'_>,
    ) -> Vec<Step> {
        let set = findings.job.set();
        let is_alone = set.is_some_and(|set| has_settings(set, chosen));
        let Some(job) = findings.job.of_object(&chosen.name) else { return Vec::new() };
        let username = &reached.client.org().username;
        if let Some(changes) = &mut findings.changes
            && let Err(failure) = changes.add(&job, described, username)
        {
            findings.rules.are_unknown = true;
            return vec![Step::failed(Name::Incremental, failure)];
        }
        let mut steps = Vec::new();
        let generated = match self.of_description(&job, described, username) {
            Ok(generated) => generated,
            Err(failure) => {
                findings.rules.are_unknown = true;
                return vec![Step::failed(Name::Columns, failure)];
            }
        };
        let is_compared = job.shape.columns_pinned || chosen.named_exactly;
        let columns = match is_compared && !is_alone {
            true => {
                let (step, columns) = self.columns(&generated, Some(reached)).await;
                // Changed columns are a warning where they are not pinned, and the run's report has that.
                steps.extend(Some(step).filter(|step| step.outcome == Outcome::Failed));
                columns
            }
            false => generated.source.columns().cloned(),
        };
        findings.rules.see(columns.as_deref());
        if is_alone || !steps.is_empty() {
            return steps;
        }
        if job.api == ApiChoice::Bulk {
            steps.push(self.api(&generated, columns.as_deref(), None, reached).0);
        }
        // What cannot be queried at all is a failure already.
        if chosen.named_exactly && described.queryable {
            let (step, _) = self.accepted(&generated, false, reached).await;
            let without = || {
                let name = &chosen.name;
                format!(
                    "remove \"{name}\" from `objects`, or set a `where` in [objects_with.{name}] that the org accepts"
                )
            };
            let hint = step.hint.clone().or_else(|| (step.outcome == Outcome::Failed).then(without));
            steps.push(Step { hint, ..step });
        }
        steps
    }

    /// The job of an object with the query that a run would generate by this description.
    fn of_description(
        &self,
        job: &Job,
        described: &ObjectDescription,
        username: &str,
    ) -> Result<Job, Failure> {
        let Source::Object(object) = &job.source else {
            return Err(export::bug("an object without its job"));
        };
        // The order of the columns matters where they are pinned.
        let remembered = match job.shape.columns_pinned {
            true => State::at(&self.config.settings.state_dir)?.fields_of(&job.key())?,
            false => Vec::new(),
        };
        Ok(export::query_of_description(job, object, described, remembered, username)?.job)
    }
}

fn has_settings(set: &ObjectSet, chosen: &Chosen) -> bool {
    set.settings().any(|settings| settings.object.as_str().eq_ignore_ascii_case(chosen.name.as_str()))
}

/// The rules in `[columns]` and `[types]` whose column no object has: a set ignores what does not fit an object, and so a
/// misspelt name.
struct Rules {
    unused: UnusedRules,
    /// The columns of all objects.
    known: BTreeSet<String>,
    /// Whether there are objects whose columns are unknown, which may have all of them.
    are_unknown: bool,
}

impl Rules {
    fn of(job: &Job) -> Self {
        let unused = UnusedRules::of(&job.shape.columns);
        Self { unused, known: BTreeSet::new(), are_unknown: false }
    }

    fn see(&mut self, columns: Option<&Columns>) {
        let Some(columns) = columns else {
            self.are_unknown = true;
            return;
        };
        if !self.unused.is_empty() {
            self.unused.remove(columns.names());
            self.known.extend(columns.names().iter().cloned());
        }
    }

    fn warnings(self) -> Vec<Step> {
        if self.are_unknown {
            return Vec::new();
        }
        let warning = |(rule, name): (Rule, &str)| {
            let what = format!("no object has a column \"{name}\", which is in [{}]", rule.table());
            let hint = match similar(name, self.known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("correct or remove it in [{}]", rule.table()),
            };
            Step::warned(Name::Columns, what, hint)
        };
        self.unused.iter().map(warning).collect()
    }
}
