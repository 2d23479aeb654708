//! ORDER BY a total with LIMIT: which groups come first is found on shares, and only those are opened.

use arrow::datatypes::i256;
use datafusion::sql::sqlparser::ast::{Expr, OrderByExpr};

use super::ring::Fit;
use super::sql::outer::{MARK, Outer};
use super::{CellCheck, Measure, Released, RingWidth, TopCells};

/// Most groups among which the first are found on shares: all of them are sorted, with all their columns.
const MAX_TOP_CELLS: usize = 1 << 12;

/// The cells that come first, if the job's ORDER BY and LIMIT can be decided on shares: by one count, or by one sum of
/// whole numbers or decimals that cannot be NULL.
pub(super) fn cells(
    outer: &Outer,
    measures: &[Measure],
    fits: &[Option<Fit>],
    cells: usize,
    rows: u64,
) -> Option<TopCells> {
    let n = outer.limit?.checked_add(outer.offset.unwrap_or(0))?;
    let [order] = outer.order.as_slice() else {
        return None;
    };
    // What HAVING leaves to the receivers comes before the limit.
    if !outer.filter.is_empty() {
        return None;
    }
    if n >= cells as u64 || cells > MAX_TOP_CELLS || outer.keys.is_empty() {
        return None;
    }
    let (ring, column, bound_bits, label) = match total(outer, order)? {
        Released::Rows => (
            RingWidth::Narrow,
            0,
            64 - rows.leading_zeros(),
            "COUNT(*)".to_owned(),
        ),
        Released::Count(i) => {
            let label = format!("COUNT({})", measures[i].label);
            (
                RingWidth::Narrow,
                measures[i].count,
                64 - rows.leading_zeros(),
                label,
            )
        }
        Released::Sum(i) if measures[i].count == 0 => {
            let slot = measures[i].sum.filter(|s| s.frac_bits == 0)?;
            let largest = fits[i].as_ref()?.largest_sum?;
            (
                slot.ring,
                slot.index,
                bits(largest),
                format!("SUM({})", measures[i].label),
            )
        }
        _ => return None,
    };
    Some(TopCells {
        n,
        ring,
        column,
        greatest_first: order.options.asc == Some(false),
        bound_bits: bound_bits.max(1),
        label,
    })
}

/// The column of `released` by which the job orders, if it is just that.
fn total(outer: &Outer, order: &OrderByExpr) -> Option<Released> {
    let mut expr = &order.expr;
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    let Expr::Identifier(name) = expr else {
        return None;
    };
    outer.released.get(name.value.strip_prefix(MARK)?).copied()
}

fn bits(largest: i256) -> u32 {
    let most = largest.to_i128().unwrap_or(i128::MAX);
    128 - most.leading_zeros()
}

/// Groups without rows do not come first: a check that the job did not ask for, where nothing else holds them back.
pub(super) fn nonempty(
    top: Option<&TopCells>,
    checks: &[CellCheck],
    rows: u64,
) -> Option<CellCheck> {
    let is_needed = top.is_some() && !checks.iter().any(|c| c.column == 0);
    is_needed.then(|| CellCheck {
        column: 0,
        at_least: 1,
        bound_bits: 64 - rows.max(1).leading_zeros(),
        rule: "COUNT(*) >= 1".to_owned(),
        reason: "having".to_owned(),
    })
}
