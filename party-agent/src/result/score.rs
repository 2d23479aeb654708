//! The scores of a holder's rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, StringViewArray};

use super::{ResultError, ResultTable, totals};
use crate::plan::{Plan, ScorePlan};

/// What was found of each row.
#[derive(Clone, Debug)]
pub struct Scores {
    /// Columns of numbers: the scores, or of trees margins and risks.
    pub numbers: Vec<Vec<f64>>,
    /// Columns of features that cost the most.
    pub reasons: Vec<Vec<Option<String>>>,
}

/// Builds the result: keys as they stand in the table, and scores. `texts` begins with the key's columns.
///
/// # Errors
/// [`ResultError::Totals`] if a row has no score.
pub fn scored(
    plan: &Plan,
    of: &ScorePlan,
    texts: &[Vec<Option<String>>],
    scores: &Scores,
) -> Result<ResultTable, ResultError> {
    let n_keys = of.tables[0].keys.len();
    let n_rows = scores.numbers.first().map_or(0, Vec::len);
    let keys = texts.get(..n_keys).unwrap_or_default();
    let of_texts = |column: &Vec<Option<String>>| {
        let values = column.iter().map(Option::as_deref);
        Arc::new(values.collect::<StringViewArray>()) as ArrayRef
    };
    let numbers = scores.numbers.iter();
    let numbers = numbers.map(|n| Arc::new(Float64Array::from(n.clone())) as ArrayRef);
    let reasons = scores.reasons.iter().map(of_texts);
    let values: Vec<ArrayRef> = keys
        .iter()
        .map(of_texts)
        .chain(numbers)
        .chain(reasons)
        .collect();
    let is_whole = values.iter().all(|column| column.len() == n_rows);
    if values.len() != plan.outputs.len() || !is_whole {
        return Err(totals("a row has no score"));
    }
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
