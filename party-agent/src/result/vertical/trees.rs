//! The result of boosted trees.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringViewArray};
use protocols::train::evaluate::{Asks, Figures, N_FIGURES};
use protocols::train::trees::joined::Released;
use serde_json::json;

use super::super::figures::{add_figures, untold};
use super::super::{ResultError, ResultTable, totals};
use crate::plan::{Plan, VerticalPlan, asks};

/// Builds the result of trees: a row for the rows that were fitted, and one for those kept for a test.
///
/// # Errors
/// [`ResultError::Totals`] if what was released are not the numbers of such trees.
pub fn grown(plan: &Plan, of: &VerticalPlan, found: &Released) -> Result<ResultTable, ResultError> {
    let trees = of.trees.as_ref();
    let trees = trees.ok_or_else(|| totals("there are no trees"))?;
    let (train, test) = found
        .figures
        .split_at_checked(N_FIGURES)
        .ok_or_else(|| totals("a figure is missing"))?;
    let samples = [
        ("train", Figures::of(train, Asks::default())),
        ("test", Figures::of(test, asks(&of.scores))),
    ];
    let mut notes = plan.notes.clone();
    for (name, _) in samples.iter().filter(|(_, found)| found.is_none()) {
        notes.push(format!(
            "of the {name} sample fewer than {} rows are bad, or good: nothing is told of their scores",
            of.at_least
        ));
    }
    let told: Vec<(&str, Figures)> = samples
        .iter()
        .filter_map(|(name, found)| Some((*name, found.clone()?)))
        .collect();
    let counts = |f: &dyn Fn(&Figures) -> u64| -> ArrayRef {
        let counts = told.iter().map(|(_, found)| f(found).cast_signed());
        Arc::new(Int64Array::from_iter_values(counts))
    };
    let parts = |f: &dyn Fn(&Figures) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(
            told.iter().map(|(_, found)| f(found)),
        ))
    };
    let mut values: Vec<ArrayRef> = Vec::with_capacity(plan.outputs.len());
    for column in &plan.outputs {
        values.push(match column.name.as_str() {
            "n_bad" => counts(&|f| f.n_bad),
            "n_good" => counts(&|f| f.n_good),
            "auc" => parts(&|f| f.auc),
            "ks" => parts(&|f| f.ks),
            _ => Arc::new(StringViewArray::from_iter_values(
                told.iter().map(|(name, _)| *name),
            )),
        });
    }
    let mut fit = json!({
        "model": of.model.as_str(),
        "partition": "vertical",
        "n": found.n_used,
        "trees": trees.grown,
    });
    let mut of_test = told.iter().filter(|(name, _)| *name == "test");
    if let Some((_, figures)) = of_test.next() {
        add_figures(&mut fit, figures, &of.scores);
        let limits = (of.at_least, of.min_cell);
        notes.extend(untold(Some(figures), &of.scores, limits));
    }
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows: told.len(),
        values,
        suppressed: Vec::new(),
        n_used: found.n_used,
        dropped: BTreeMap::new(),
        notes,
        fit: Some(fit),
        noise: None,
        class: plan.class,
    })
}
