//! Which rows a plan finds, and in what order.

use crate::demo_org::changes::State;
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
    /// The numbers of some, and how they were when the query was run.
    Kept(Vec<(u32, State)>),
}

impl Selection {
    pub(in crate::demo_org) fn len(&self) -> usize {
        match self {
            Self::Every { count, .. } => *count,
            Self::Some(rows) => rows.len(),
            Self::Kept(rows) => rows.len(),
        }
    }

    /// A row as it was when the query was run.
    pub(in crate::demo_org) fn row<'d>(
        &self,
        data: &'d DataSet,
        object: &'static Object,
        n: usize,
    ) -> Row<'d> {
        let mut state = State::AS_MADE;
        let index = match self {
            Self::Every { deleted_too: true, from, .. } => from + n,
            Self::Every { deleted_too: false, from, .. } => DataSet::live_index(object, from + n),
            Self::Some(rows) => rows[n] as usize,
            Self::Kept(rows) => {
                state = rows[n].1;
                rows[n].0 as usize
            }
        };
        Row { data, object, index, state }
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
    picked(plan, data.rows_of(plan.object), all_rows, data.has_changed())
}

/// The same, of rows that are at hand; `keeps` says whether some may have changed since the org started.
pub(in crate::demo_org) fn picked<'d>(
    plan: &Plan,
    rows: impl Iterator<Item = Row<'d>>,
    all_rows: bool,
    keeps: bool,
) -> Selection {
    let limit = plan.limit.unwrap_or(usize::MAX);
    let fitting = rows.filter(|row| {
        (all_rows || !row.is_deleted())
            && plan
                .filter
                .as_ref()
                .is_none_or(|filter| filter.holds(&|operand: &Operand| operand.of_row(*row)))
    });
    if plan.order.is_empty() {
        return kept(fitting.skip(plan.offset).take(limit), keeps);
    }
    let mut keyed: Vec<(Vec<Value>, Row<'_>)> = fitting
        .map(|row| (plan.order.iter().map(|order| sort_key(order.operand.of_row(row))).collect(), row))
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
    kept(keyed.into_iter().map(|(_, row)| row).skip(plan.offset).take(limit), keeps)
}

fn kept<'d>(rows: impl Iterator<Item = Row<'d>>, keeps: bool) -> Selection {
    if keeps {
        Selection::Kept(rows.map(|row| (row.index as u32, row.state)).collect())
    } else {
        Selection::Some(rows.map(|row| row.index as u32).collect())
    }
}
