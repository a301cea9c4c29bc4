//! WHERE, HAVING and ORDER BY: conditions and sort orders over operands, and their evaluation. `reader` builds them
//! from tokens.

mod functions;
mod reader;

use std::cmp::Ordering;
use std::collections::HashSet;

use jiff::civil::Date;

pub(super) use functions::{DateFunction, Distance};
pub(super) use reader::{Reader, not_grouped};

use super::data::{RecordId, Row, Value};
use super::literal::{Literal, Operator, Pattern};
use super::schema::{Field, Kind};

/// A field, by way of parents.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    pub(super) hops: Vec<&'static Field>,
    pub(super) end: End,
    /// The canonical spelling: `Account.Owner.Name`.
    pub(super) path: String,
}

/// What a chain ends with.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Field(&'static Field),
    /// A field of the Name pseudo-object, behind a polymorphic relationship.
    Name(&'static str),
}

impl PartialEq for Chain {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Chain {
    pub(super) fn kind(&self) -> Kind {
        match self.end {
            End::Field(field) => field.kind,
            End::Name("Id") => Kind::Id,
            End::Name(_) => Kind::Text,
        }
    }

    pub(super) fn key(&self) -> &'static str {
        self.end.name()
    }

    /// The value in a row; null where a parent is.
    pub(super) fn value(&self, row: Row<'_>) -> Value {
        let mut row = row;
        for hop in &self.hops {
            match (hop.make)(row) {
                Value::Id(id) => match row.data.find(id) {
                    Some(parent) => row = parent,
                    None => return Value::Null,
                },
                _ => return Value::Null,
            }
        }
        self.end.value(row)
    }
}

impl End {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Field(field) => field.name,
            Self::Name(name) => name,
        }
    }

    pub(super) fn value(self, row: Row<'_>) -> Value {
        match self {
            Self::Field(field) => (field.make)(row),
            Self::Name("Type") => row.object.name.into(),
            Self::Name(name) => row.value(name).unwrap_or(Value::Null),
        }
    }
}

/// What a condition or an order looks at.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Field(Chain),
    Date(DateFunction, Chain),
    Distance(Distance),
    /// Of a group: one of its keys.
    Key(usize),
    /// Of a group: one of its aggregates.
    Aggregate(usize),
    /// Of a group: whether a key is rolled up.
    Grouping(usize),
}

impl Operand {
    /// Of a row; the operands of groups are null here.
    pub(super) fn of_row(&self, row: Row<'_>) -> Value {
        match self {
            Self::Field(chain) => chain.value(row),
            Self::Date(function, chain) => function.apply(&chain.value(row)),
            Self::Distance(distance) => distance.of(&distance.from.value(row)),
            Self::Key(_) | Self::Aggregate(_) | Self::Grouping(_) => Value::Null,
        }
    }
}

/// A condition: two-valued, as SOQL's are.
#[derive(Debug)]
pub(super) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Test(Operand, Test),
}

/// A test of one operand.
#[derive(Debug)]
pub(super) enum Test {
    Compare(Operator, Literal),
    Like(Pattern),
    In(Vec<Literal>),
    /// A semi-join.
    Among(HashSet<RecordId>),
    /// Each inner list must be wholly there.
    Includes(Vec<Vec<String>>),
}

impl Condition {
    pub(super) fn holds(&self, value: &dyn Fn(&Operand) -> Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(value)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(value)),
            Self::Not(part) => !part.holds(value),
            Self::Test(operand, test) => test.holds(&value(operand)),
        }
    }
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Compare(operator, literal) => operator.holds(value, literal),
            Self::Like(pattern) => value.as_str().is_some_and(|text| pattern.fits(&text.to_lowercase())),
            Self::In(literals) => literals.iter().any(|literal| Operator::Equal.holds(value, literal)),
            Self::Among(ids) => matches!(value, Value::Id(id) if ids.contains(id)),
            Self::Includes(wanted) => value.as_str().is_some_and(|text| {
                let chosen: Vec<String> = text.split(';').map(str::to_lowercase).collect();
                wanted.iter().any(|all| all.iter().all(|one| chosen.contains(one)))
            }),
        }
    }
}

/// One entry of ORDER BY.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) operand: Operand,
    pub(super) descending: bool,
    pub(super) nulls_last: bool,
}

impl Order {
    pub(super) fn compare(&self, a: &Value, b: &Value) -> Ordering {
        match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if self.nulls_last {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, true) => {
                if self.nulls_last {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, false) if self.descending => compare(b, a),
            (false, false) => compare(a, b),
        }
    }
}

/// What a value is sorted by: text without regard to case.
pub(super) fn sort_key(value: Value) -> Value {
    match value {
        Value::Text(text) => text.to_lowercase().into(),
        other => other,
    }
}

/// The order of two sort keys of one field.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Double(a), Value::Double(b)) => a.total_cmp(b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Id(a), Value::Id(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => Date::cmp(a, b),
        (Value::Datetime(a), Value::Datetime(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}
