//! What is wrong with many objects of a set, by what is wrong: hundreds of objects may share one mistake.

use crate::check::{Name, Outcome, Step};
use crate::human;
use crate::job::{JobName, ObjectName};

use super::MAX_NAMES;

/// How many different problems have a step each. The objects with others share one.
const MAX_PROBLEMS: usize = 20;

/// The failed and warned steps of objects, those that differ by the object's name alone as one.
#[derive(Debug, Default)]
pub(super) struct Alike(Vec<Problem>);

#[derive(Debug)]
struct Problem {
    key: (Name, Outcome, u8, String),
    /// The step of the first object.
    step: Step,
    objects: Vec<ObjectName>,
}

impl Alike {
    /// Adds a step of an object, unless there is no problem.
    pub(super) fn add(&mut self, object: &ObjectName, step: Step) {
        if !matches!(step.outcome, Outcome::Failed | Outcome::Warned) {
            return;
        }
        let what = step.what.replace(object.as_str(), "{object}");
        let key = (step.step, step.outcome, step.exit_status, what);
        match self.0.iter_mut().find(|known| known.key == key) {
            Some(known) => known.objects.push(object.clone()),
            None => self.0.push(Problem { key, step, objects: vec![object.clone()] }),
        }
    }

    /// The steps to be shown.
    pub(super) fn into_steps(mut self, job: &JobName) -> Vec<Step> {
        let others = self.0.split_off(self.0.len().min(MAX_PROBLEMS));
        let mut steps: Vec<_> = self.0.into_iter().map(Problem::into_step).collect();
        steps.extend(of_others(&others, job));
        steps
    }
}

impl Problem {
    fn into_step(self) -> Step {
        let Self { step, objects, .. } = self;
        let mut what = step.what;
        if let Some((first, others)) = objects.split_first() {
            what = format!("{first}: {what}");
            if !others.is_empty() {
                let others = human::list(others.iter().map(ObjectName::as_str), MAX_NAMES);
                what.push_str(&format!("; likewise {others}"));
            }
        }
        let names: Vec<_> = objects.iter().map(ObjectName::as_str).collect();
        Step { what, ..step }.fact("objects", names)
    }
}

/// One step for the problems that are too many to be shown.
fn of_others(problems: &[Problem], job: &JobName) -> Option<Step> {
    let worst =
        problems.iter().find(|problem| problem.step.outcome == Outcome::Failed).or(problems.first())?;
    let objects: Vec<_> =
        problems.iter().flat_map(|problem| &problem.objects).map(ObjectName::as_str).collect();
    let what = format!("other objects with other problems: {}", human::list(objects.iter(), MAX_NAMES));
    let hint =
        format!("see the problem of one with `sfexport check {job} --object {}`", worst.objects.first()?);
    let Step { step, outcome, exit_status, .. } = worst.step;
    Some(Step { exit_status, hint: Some(hint), ..Step::new(step, outcome, what) }.fact("objects", objects))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Exit, Failure};

    fn steps(problems: impl Iterator<Item = (String, String)>) -> Vec<String> {
        let mut alike = Alike::default();
        for (object, what) in problems {
            let step = Step::failed(Name::Columns, Failure::new(Exit::Query, what));
            alike.add(&ObjectName::parse(&object).unwrap(), step);
        }
        let steps = alike.into_steps(&JobName::parse("backup").unwrap());
        assert!(steps.iter().all(|step| step.exit_status == 65));
        steps.into_iter().map(|step| step.what).collect()
    }

    #[test]
    fn one_mistake_of_many_objects_is_one_step() {
        let object = |number| format!("Object{number}__c");
        let same = (0..400).map(|number| (object(number), format!("{} has no fields", object(number))));
        let told = steps(same);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("Object0__c: Object0__c has no fields; likewise Object1__c, Object2__c, ")
        );
        assert!(told[0].ends_with(", Object20__c and 379 more"), "{}", told[0]);
        let different = (0..400).map(|number| (object(number), format!("mistake {number}")));
        let told = steps(different);
        assert_eq!(told.len(), 21);
        assert_eq!(told[19], "Object19__c: mistake 19");
        assert!(told[20].starts_with("other objects with other problems: Object20__c, "), "{}", told[20]);
        assert!(told[20].ends_with(" and 360 more"), "{}", told[20]);
        assert_eq!(steps(std::iter::empty()), [""; 0]);
    }

    #[test]
    fn what_is_no_problem_is_not_shown() {
        let mut alike = Alike::default();
        alike.add(&ObjectName::parse("Account").unwrap(), Step::passed(Name::Query, "accepted"));
        assert!(alike.into_steps(&JobName::parse("backup").unwrap()).is_empty());
    }
}
