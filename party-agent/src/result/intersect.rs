//! The result of an intersection: a number, or keys of the receiver's own table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Decimal128Array, Int64Array};
use protocols::aggregate::Released;

use super::{ResultError, ResultTable, Suppressed, totals};
use crate::local::Keys;
use crate::plan::{IntersectPlan, Plan};
use crate::spec::KeyJoin;

/// The number of common keys, unless it is below the minimum. `sizes`: different keys of each holder.
#[must_use]
pub fn common_count(plan: &Plan, n_common: u64, sizes: &[u64]) -> ResultTable {
    let at_least = plan.min_cell.at_least;
    let is_held_back = at_least > 1 && n_common < at_least;
    let suppressed = is_held_back.then(|| Suppressed {
        group: Vec::new(),
        reason: "min_cell".to_owned(),
        rule: format!("count >= {at_least}"),
    });
    let shown: Vec<i64> = match is_held_back {
        true => Vec::new(),
        false => vec![i64::try_from(n_common).unwrap_or(i64::MAX)],
    };
    ResultTable {
        columns: plan.outputs.clone(),
        n_rows: shown.len(),
        n_used: shown.iter().map(|n| n.unsigned_abs()).sum(),
        values: vec![Arc::new(Int64Array::from(shown))],
        suppressed: suppressed.into_iter().collect(),
        dropped: BTreeMap::new(),
        notes: with_sizes(plan, sizes),
        fit: None,
        noise: None,
        matched: None,
        class: plan.class,
    }
}

fn with_sizes(plan: &Plan, sizes: &[u64]) -> Vec<String> {
    let mut notes = plan.notes.clone();
    for (holder, size) in plan.seats.iter().zip(sizes) {
        notes.push(format!("{holder} has {size} different keys"));
    }
    notes
}

/// The number of common keys and the sum over them, released if the number reaches the minimum. `sizes`: different keys of
/// each holder.
#[must_use]
pub fn common_totals(plan: &Plan, released: &Released, sizes: &[u64]) -> ResultTable {
    let is_released = released.ok.first() == Some(&true);
    let count = released.narrow.first().and_then(|column| column.first());
    let count = count.copied().filter(|_| is_released);
    let held_back = plan.shape.checks.first().filter(|_| !is_released);
    let counts: Vec<i64> = count.map(u64::cast_signed).into_iter().collect();
    let mut values: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(counts))];
    for (column, output) in released.wide.iter().zip(plan.outputs.iter().skip(1)) {
        let sums = column.iter().take(usize::from(is_released));
        let sums: Vec<i128> = sums.map(|sum| sum.cast_signed()).collect();
        let sums = Decimal128Array::from(sums).with_data_type(output.kind.arrow());
        values.push(Arc::new(sums));
    }
    let suppressed = held_back.map(|check| Suppressed {
        group: Vec::new(),
        reason: check.reason.clone(),
        rule: check.rule.clone(),
    });
    ResultTable {
        columns: plan.outputs.clone(),
        n_rows: usize::from(is_released),
        n_used: count.unwrap_or(0),
        values,
        suppressed: suppressed.into_iter().collect(),
        dropped: BTreeMap::new(),
        notes: with_sizes(plan, sizes),
        fit: None,
        noise: None,
        matched: None,
        class: plan.class,
    }
}

/// Keys of the receiver at this seat: `places` of the common ones among its different keys, ascending.
///
/// # Errors
/// [`ResultError::Totals`] if there are no such keys.
pub fn common_keys(
    plan: &Plan,
    of: &IntersectPlan,
    seat: usize,
    keys: &Keys,
    places: &[u64],
) -> Result<ResultTable, ResultError> {
    let mut is_common = vec![false; keys.items().len()];
    for place in places {
        let place = usize::try_from(*place).ok();
        let flag = place.and_then(|place| is_common.get_mut(place));
        *flag.ok_or_else(|| totals("a common key stands at no place"))? = true;
    }
    let wanted = |is_common: bool| match of.join {
        KeyJoin::Inner => is_common,
        KeyJoin::Left | KeyJoin::Right | KeyJoin::Full => true,
        KeyJoin::Difference => !is_common,
    };
    let shown = (0..is_common.len()).filter(|place| wanted(is_common[*place]));
    let shown: Vec<usize> = shown.collect();
    let texts = keys.texts_at(&shown).map_err(|e| totals(e.to_string()))?;
    let mut values: Vec<ArrayRef> = texts.ok_or_else(|| totals("the keys were not kept"))?;
    if of.join.shows_all() {
        let flags: BooleanArray = shown.iter().map(|place| Some(is_common[*place])).collect();
        values.push(Arc::new(flags));
    }
    Ok(ResultTable {
        columns: of.outputs(seat),
        n_rows: shown.len(),
        n_used: shown.len() as u64,
        values,
        suppressed: Vec::new(),
        dropped: BTreeMap::new(),
        notes: plan.notes.clone(),
        fit: None,
        noise: None,
        matched: None,
        class: plan.class,
    })
}
