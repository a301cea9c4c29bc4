//! Which rows a plan finds, and in what order.

use crate::demo_org::condition::{Operand, sort_key};
use crate::demo_org::data::{DataSet, Row, Value};
use crate::demo_org::plan::Plan;
use crate::demo_org::schema::Object;

/// The rows of a result, in their order.
#[derive(Debug)]
pub(in crate::demo_org) enum Selection {
    /// All of an object's records: nothing is kept of them.
    Every { deleted_too: bool, from: usize, count: usize },
    /// The numbers of some.
    Some(Vec<u32>),
}

impl Selection {
    pub(in crate::demo_org) fn len(&self) -> usize {
        match self {
            Self::Every { count, .. } => *count,
            Self::Some(rows) => rows.len(),
        }
    }

    pub(in crate::demo_org) fn row<'d>(
        &self,
        data: &'d DataSet,
        object: &'static Object,
        n: usize,
    ) -> Row<'d> {
        let index = match self {
            Self::Every { deleted_too: true, from, .. } => from + n,
            Self::Every { deleted_too: false, from, .. } => DataSet::live_index(object, from + n),
            Self::Some(rows) => rows[n] as usize,
        };
        Row { data, object, index }
    }

    pub(in crate::demo_org) fn rows<'d>(
        &'d self,
        data: &'d DataSet,
        object: &'static Object,
    ) -> impl Iterator<Item = Row<'d>> + 'd {
        (0..self.len()).map(move |n| self.row(data, object, n))
    }
}

/// The rows that a plan's WHERE, ORDER BY, LIMIT and OFFSET leave.
pub(in crate::demo_org) fn select(data: &DataSet, plan: &Plan, all_rows: bool) -> Selection {
    let deleted_too = all_rows || !plan.object.deletable;
    let limit = plan.limit.unwrap_or(usize::MAX);
    if plan.filter.is_none() && plan.order.is_empty() && !data.has_changed() {
        let all = if deleted_too { data.count(plan.object) } else { data.live_count(plan.object) };
        return Selection::Every {
            deleted_too,
            from: plan.offset,
            count: all.saturating_sub(plan.offset).min(limit),
        };
    }
    Selection::Some(picked(plan, data.rows_of(plan.object), all_rows))
}

/// The same, of rows that are at hand.
pub(in crate::demo_org) fn picked<'d>(
    plan: &Plan,
    rows: impl Iterator<Item = Row<'d>>,
    all_rows: bool,
) -> Vec<u32> {
    let limit = plan.limit.unwrap_or(usize::MAX);
    let fitting = rows.filter(|row| {
        (all_rows || !row.is_deleted())
            && plan
                .filter
                .as_ref()
                .is_none_or(|filter| filter.holds(&|operand: &Operand| operand.of_row(*row)))
    });
    let number = |row: Row<'_>| row.index as u32;
    if plan.order.is_empty() {
        return fitting.skip(plan.offset).take(limit).map(number).collect();
    }
    let mut keyed: Vec<(Vec<Value>, u32)> = fitting
        .map(|row| {
            let keys = plan.order.iter().map(|order| sort_key(order.operand.of_row(row))).collect();
            (keys, number(row))
        })
        .collect();
    // Stable: what the order leaves open stays in the order of the ids.
    keyed.sort_by(|(a, _), (b, _)| {
        plan.order
            .iter()
            .zip(a.iter().zip(b))
            .map(|(order, (a, b))| order.compare(a, b))
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    keyed.into_iter().skip(plan.offset).take(limit).map(|(_, index)| index).collect()
}
