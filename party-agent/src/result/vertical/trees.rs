//! The result of boosted trees.

use std::collections::BTreeMap;

use protocols::train::evaluate::{Asks, Figures};
use protocols::train::trees::joined::Released;
use serde_json::json;

use super::super::figures::{add_test, add_train, of_samples, untold_samples};
use super::super::{ResultError, ResultTable, totals};
use crate::plan::{Plan, VerticalPlan, asks};

/// Builds the result of trees: a row for the rows that were fitted, and one for those kept for a test.
///
/// # Errors
/// [`ResultError::Totals`] if what was released are not the numbers of such trees.
pub fn grown(plan: &Plan, of: &VerticalPlan, found: &Released) -> Result<ResultTable, ResultError> {
    let trees = of.trees.as_ref();
    let trees = trees.ok_or_else(|| totals("there are no trees"))?;
    let of_train = of.of_train.as_deref().map_or_else(Asks::default, asks);
    let (train, test) = found
        .figures
        .split_at_checked(of_train.n_figures())
        .ok_or_else(|| totals("a figure is missing"))?;
    let samples = [
        ("train", Figures::of(train, of_train)),
        ("test", Figures::of(test, asks(&of.scores))),
    ];
    let mut notes = plan.notes.clone();
    notes.extend(untold_samples(&samples, of.at_least));
    let told: Vec<(&str, Figures)> = samples
        .iter()
        .filter_map(|(name, found)| Some((*name, found.clone()?)))
        .collect();
    let mut fit = json!({
        "model": of.model.as_str(),
        "partition": "vertical",
        "n": found.n_used,
        "trees": trees.grown,
    });
    if let Some(asked) = &of.of_train {
        let limits = (of.at_least, of.min_cell);
        let of_train = samples[0].1.as_ref();
        notes.extend(add_train(&mut fit, of_train, asked, limits));
    }
    let mut of_test = told.iter().filter(|(name, _)| *name == "test");
    if let Some((_, figures)) = of_test.next() {
        let limits = (of.at_least, of.min_cell);
        notes.extend(add_test(&mut fit, Some(figures), &of.scores, limits));
    }
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows: told.len(),
        values: of_samples(plan, &told),
        suppressed: Vec::new(),
        n_used: found.n_used,
        dropped: BTreeMap::new(),
        notes,
        fit: Some(fit),
        noise: None,
        matched: None,
        class: plan.class,
    })
}
