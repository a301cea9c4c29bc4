//! Queries that are well-formed, but that their object does not accept: all of them, or those without a certain filter.

use super::condition::{Condition, Operand, Test};
use super::literal::Operator;
use super::plan::{Content, Plan, Shape};
use super::refusal::Refusal;
use super::schema::{Object, Refuses, Said};

/// Refuses the query of an object that describes call not queryable.
pub(super) fn check_object(object: &Object) -> Result<(), Refusal> {
    if object.is_queryable() {
        return Ok(());
    }
    let message = format!("entity type {} does not support query", object.name);
    Err(Refusal::new("INVALID_TYPE_FOR_OPERATION", message))
}

/// Refuses a plan that Bulk API 2.0 does not take, besides what CSV cannot hold.
pub(super) fn check_bulk(plan: &Plan) -> Result<(), Refusal> {
    if !plan.object.quirks.in_bulk {
        let message = format!("Entity '{}' is not supported by the Bulk API.", plan.object.name);
        return Err(Refusal::new("INVALIDENTITY", message));
    }
    if plan.offset > 0 {
        // The words are a guess.
        return Err(Refusal::new("API_ERROR", "OFFSET not supported in Bulk Query"));
    }
    Ok(())
}

/// Refuses a plan that its object does not accept.
pub(super) fn check(plan: &Plan) -> Result<(), Refusal> {
    let refused = match plan.object.quirks.refuses {
        Refuses::Nothing => None,
        Refuses::Everything(said) => Some(said),
        Refuses::Unfiltered { by, lists, said } => {
            let is_narrow = plan.filter.as_ref().is_some_and(|filter| narrows(filter, by, lists));
            (!is_narrow).then_some(said)
        }
        Refuses::Unlimited(most, said) => plan.limit.is_none_or(|limit| limit > most).then_some(said),
        Refuses::Aggregates(said) => (!matches!(plan.shape, Shape::Records(_))).then_some(said),
        Refuses::OtherThanAccess => other_than_access(plan),
    };
    match refused {
        Some(Said(status, code, message)) => Err(Refusal { status, code, message: message.to_owned() }),
        None => Ok(()),
    }
}

/// Whether a condition requires one of these fields to have a value, or one of a list of values.
fn narrows(condition: &Condition, by: &[&str], lists: bool) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().any(|part| narrows(part, by, lists)),
        Condition::Test(Operand::Field(chain), test) => {
            let is_named = by.iter().any(|name| name.eq_ignore_ascii_case(&chain.path));
            let is_held = match test {
                Test::Compare(Operator::Equal, _) => true,
                Test::In(_) => lists,
                _ => false,
            };
            is_named && is_held
        }
        _ => false,
    }
}

/// `UserRecordAccess` is not a table: it says what access a user has to a record.
fn other_than_access(plan: &Plan) -> Option<Said> {
    let said = |message| Some(Said(400, "INVALID_FIELD", message));
    let Shape::Records(columns) = &plan.shape else { return said("RecordId field must be selected") };
    let is_access = |name: &str| {
        name == "RecordId" || name == "MaxAccessLevel" || name.starts_with("Has") && name.ends_with("Access")
    };
    let is_plain = |content: &Content| matches!(content, Content::Own(..));
    if columns.iter().any(|column| !is_access(&column.key) || !is_plain(&column.content)) {
        return said("Can select only RecordId, a Has*Access field, and MaxAccessLevel");
    }
    if columns.iter().any(|column| column.key == "RecordId") {
        None
    } else {
        said("RecordId field must be selected")
    }
}
