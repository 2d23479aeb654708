//! The result of an intersection: a number, or keys of the receiver's own table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};

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
    let mut notes = plan.notes.clone();
    for (holder, size) in plan.seats.iter().zip(sizes) {
        notes.push(format!("{holder} has {size} different keys"));
    }
    ResultTable {
        columns: plan.outputs.clone(),
        n_rows: shown.len(),
        n_used: shown.iter().map(|n| n.unsigned_abs()).sum(),
        values: vec![Arc::new(Int64Array::from(shown))],
        suppressed: suppressed.into_iter().collect(),
        dropped: BTreeMap::new(),
        notes,
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
        KeyJoin::Left | KeyJoin::Right => true,
        KeyJoin::Difference => !is_common,
    };
    let shown = (0..is_common.len()).filter(|place| wanted(is_common[*place]));
    let shown: Vec<usize> = shown.collect();
    let texts = keys.texts_at(&shown).map_err(|e| totals(e.to_string()))?;
    let mut values: Vec<ArrayRef> = texts.ok_or_else(|| totals("the keys were not kept"))?;
    if matches!(of.join, KeyJoin::Left | KeyJoin::Right) {
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
    })
}
