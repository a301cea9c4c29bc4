//! Grouped queries: keys, aggregates, ROLLUP and CUBE, over the rows that WHERE leaves.

use std::collections::{HashMap, HashSet};

use super::condition::{Chain, Condition, Operand, compare, sort_key};
use super::data::{Row, Value};
use super::render::json;
use super::schema::Kind;

/// What a grouped query asks for.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// What the rows are grouped by: fields and date functions.
    pub(super) keys: Vec<Operand>,
    pub(super) subtotals: Subtotals,
    /// Every aggregate that the select list, HAVING or ORDER BY names, once.
    pub(super) aggregates: Vec<Aggregate>,
    /// The select list: keys and their values.
    pub(super) columns: Vec<GroupColumn>,
    pub(super) having: Option<Condition>,
}

#[derive(Debug)]
pub(super) struct GroupColumn {
    pub(super) key: String,
    pub(super) operand: Operand,
    /// As written, less its alias.
    pub(super) text: String,
    /// Whether it is a field and no function.
    pub(super) is_field: bool,
    /// Whether `FORMAT` is around it.
    pub(super) formatted: bool,
}

/// Which subtotals GROUP BY asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Subtotals {
    #[default]
    None,
    Rollup,
    Cube,
}

/// The aggregate functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AggregateFunction {
    Count,
    CountDistinct,
    Sum,
    Average,
    Minimum,
    Maximum,
}

impl AggregateFunction {
    pub(super) fn read(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "COUNT" => Self::Count,
            "COUNT_DISTINCT" => Self::CountDistinct,
            "SUM" => Self::Sum,
            "AVG" => Self::Average,
            "MIN" => Self::Minimum,
            "MAX" => Self::Maximum,
            _ => return None,
        })
    }
}

/// An aggregate of one field, or of the rows themselves.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Aggregate {
    function: AggregateFunction,
    chain: Option<Chain>,
}

impl Aggregate {
    /// An aggregate, or why it cannot be.
    pub(super) fn new(function: AggregateFunction, chain: Option<Chain>) -> Result<Self, String> {
        let Some(field) = &chain else {
            return if function == AggregateFunction::Count {
                Ok(Self { function, chain })
            } else {
                Err("unexpected token: ')'".to_owned())
            };
        };
        let fits = match function {
            AggregateFunction::Sum | AggregateFunction::Average => field.kind().is_number(),
            AggregateFunction::Minimum | AggregateFunction::Maximum => {
                field.kind().is_sortable() && field.kind() != Kind::Boolean
            }
            AggregateFunction::Count | AggregateFunction::CountDistinct => field.kind().is_filterable(),
        };
        if fits {
            Ok(Self { function, chain })
        } else {
            Err(format!("field {} does not support aggregate operator {function:?}", field.path))
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match (self.function, &self.chain) {
            (AggregateFunction::Count | AggregateFunction::CountDistinct, _) | (_, None) => Kind::Int,
            (AggregateFunction::Sum | AggregateFunction::Average, Some(_)) => Kind::Double,
            (AggregateFunction::Minimum | AggregateFunction::Maximum, Some(chain)) => chain.kind(),
        }
    }

    /// The field's own kind, for FORMAT.
    pub(super) fn field_kind(&self) -> Kind {
        match (self.kind(), &self.chain) {
            (Kind::Double, Some(chain)) => chain.kind(),
            (kind, _) => kind,
        }
    }
}

impl Groups {
    /// Which key an operand is.
    pub(super) fn key(&self, operand: &Operand) -> Option<usize> {
        self.keys.iter().position(|key| key == operand)
    }

    /// The number of an aggregate, new or known.
    pub(super) fn aggregate(&mut self, aggregate: Aggregate) -> usize {
        self.aggregates.iter().position(|known| *known == aggregate).unwrap_or_else(|| {
            self.aggregates.push(aggregate);
            self.aggregates.len() - 1
        })
    }

    /// The groups of some rows that HAVING leaves, in the order in which they are met, subtotals behind.
    pub(super) fn run<'r>(&self, rows: impl Iterator<Item = Row<'r>>) -> Vec<Group> {
        let sets = self.grouping_sets();
        let mut found: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut groups: Vec<(usize, Group, Vec<Tally>)> = Vec::new();
        if self.keys.is_empty() {
            // Without GROUP BY there is one group, even of no rows.
            groups.push((0, Group::default(), self.tallies()));
            found.insert(vec![0], 0);
        }
        for row in rows {
            let values: Vec<Value> = self.keys.iter().map(|key| key.of_row(row)).collect();
            let arguments: Vec<Option<Value>> = self
                .aggregates
                .iter()
                .map(|aggregate| aggregate.chain.as_ref().map(|chain| chain.value(row)))
                .collect();
            for (number, set) in sets.iter().enumerate() {
                let mut name = vec![number as u8];
                for (value, used) in values.iter().zip(set) {
                    if *used {
                        json::value(&mut name, value, "");
                        name.push(0xff);
                    }
                }
                let at = *found.entry(name).or_insert_with(|| {
                    let keys = values
                        .iter()
                        .zip(set)
                        .map(|(value, used)| if *used { value.clone() } else { Value::Null })
                        .collect();
                    let rolled = set.iter().map(|used| !used).collect();
                    groups.push((number, Group { keys, rolled, aggregates: Vec::new() }, self.tallies()));
                    groups.len() - 1
                });
                for (tally, argument) in groups[at].2.iter_mut().zip(&arguments) {
                    tally.add(argument.as_ref());
                }
            }
        }
        groups.sort_by_key(|(set, ..)| *set);
        groups
            .into_iter()
            .map(|(_, group, tallies)| Group {
                aggregates: tallies.into_iter().map(Tally::value).collect(),
                ..group
            })
            .filter(|group| {
                self.having
                    .as_ref()
                    .is_none_or(|having| having.holds(&|operand: &Operand| group.value(operand)))
            })
            .collect()
    }

    /// Which keys each kind of row groups by, the most detailed first.
    fn grouping_sets(&self) -> Vec<Vec<bool>> {
        let n = self.keys.len();
        match self.subtotals {
            Subtotals::None => vec![vec![true; n]],
            Subtotals::Rollup => (0..=n).rev().map(|used| (0..n).map(|key| key < used).collect()).collect(),
            Subtotals::Cube => (0..1_usize << n)
                .rev()
                .map(|bits| (0..n).map(|key| bits >> (n - 1 - key) & 1 == 1).collect())
                .collect(),
        }
    }

    fn tallies(&self) -> Vec<Tally> {
        self.aggregates
            .iter()
            .map(|aggregate| match aggregate.function {
                AggregateFunction::Count => Tally::Count(0),
                AggregateFunction::CountDistinct => Tally::Distinct(HashSet::new()),
                AggregateFunction::Sum => Tally::Sum(None),
                AggregateFunction::Average => Tally::Average(0.0, 0),
                AggregateFunction::Minimum => Tally::Extreme(None, false),
                AggregateFunction::Maximum => Tally::Extreme(None, true),
            })
            .collect()
    }
}

/// One row of a grouped result.
#[derive(Debug, Default)]
pub(super) struct Group {
    keys: Vec<Value>,
    rolled: Vec<bool>,
    aggregates: Vec<Value>,
}

impl Group {
    pub(super) fn value(&self, operand: &Operand) -> Value {
        match operand {
            Operand::Key(key) => self.keys[*key].clone(),
            Operand::Aggregate(aggregate) => self.aggregates[*aggregate].clone(),
            Operand::Grouping(key) => Value::Int(i64::from(self.rolled[*key])),
            Operand::Field(_) | Operand::Date(..) | Operand::Distance(_) => Value::Null,
        }
    }
}

enum Tally {
    Count(i64),
    Distinct(HashSet<Vec<u8>>),
    Sum(Option<f64>),
    Average(f64, u64),
    /// The least or, if so it says, the greatest value so far.
    Extreme(Option<Value>, bool),
}

impl Tally {
    /// Takes a row's value in; `None` counts the row itself.
    fn add(&mut self, value: Option<&Value>) {
        let Some(value) = value else {
            if let Self::Count(count) = self {
                *count += 1;
            }
            return;
        };
        if value.is_null() {
            return;
        }
        let number = match value {
            Value::Int(number) => *number as f64,
            Value::Double(number) => *number,
            _ => 0.0,
        };
        match self {
            Self::Count(count) => *count += 1,
            Self::Distinct(seen) => {
                let mut name = Vec::new();
                json::value(&mut name, value, "");
                seen.insert(name);
            }
            Self::Sum(sum) => *sum = Some(sum.unwrap_or(0.0) + number),
            Self::Average(sum, count) => (*sum, *count) = (*sum + number, *count + 1),
            Self::Extreme(extreme, greatest) => {
                let better = extreme.as_ref().is_none_or(|known| {
                    let order = compare(&sort_key(value.clone()), &sort_key(known.clone()));
                    if *greatest { order.is_gt() } else { order.is_lt() }
                });
                if better {
                    *extreme = Some(value.clone());
                }
            }
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Count(count) => Value::Int(count),
            Self::Distinct(seen) => Value::Int(seen.len() as i64),
            Self::Sum(sum) => sum.map_or(Value::Null, Value::Double),
            Self::Average(_, 0) => Value::Null,
            Self::Average(sum, count) => Value::Double(sum / count as f64),
            Self::Extreme(extreme, _) => extreme.unwrap_or(Value::Null),
        }
    }
}
