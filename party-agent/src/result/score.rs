//! The scores of a holder's rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringViewArray};

use super::{ResultError, ResultTable, totals};
use crate::plan::{Plan, ScorePlan};

/// Builds the result: keys as they stand in the table, and scores. `texts` begins with the key's columns.
///
/// # Errors
/// [`ResultError::Totals`] if a row has no score.
pub fn scored(
    plan: &Plan,
    of: &ScorePlan,
    texts: &[Vec<Option<String>>],
    scores: Vec<f64>,
) -> Result<ResultTable, ResultError> {
    let n_keys = of.tables[0].keys.len();
    let n_rows = scores.len();
    let keys = texts.get(..n_keys).unwrap_or_default();
    if keys.len() != n_keys || keys.iter().any(|key| key.len() != n_rows) {
        return Err(totals("a row has no score"));
    }
    let keys = keys.iter().map(|key| {
        let values = key.iter().map(Option::as_deref);
        Arc::new(values.collect::<StringViewArray>()) as ArrayRef
    });
    let mut values: Vec<ArrayRef> = keys.collect();
    values.push(Arc::new(Float64Array::from(scores)));
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows,
        values,
        suppressed: Vec::new(),
        n_used: n_rows as u64,
        dropped: BTreeMap::new(),
        notes: plan.notes.clone(),
        fit: None,
        noise: None,
        matched: None,
        class: plan.class,
    })
}
