//! The result of boosted trees.

use std::collections::BTreeMap;

use protocols::train::evaluate::{Asks, Figures};
use protocols::train::trees::joined::Released;
use serde_json::json;

use super::super::figures::{OF_OOT, OF_TRAIN, add_sample, add_test, of_samples, untold_samples};
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
    let kept = asks(&of.scores);
    let asked = [("train", of_train), ("test", kept), ("oot", kept)];
    let mut rest = &found.figures[..];
    let mut samples = Vec::new();
    for (name, asked) in asked.into_iter().take(1 + of.n_kept()) {
        let (figures, after) = rest
            .split_at_checked(asked.n_figures())
            .ok_or_else(|| totals("a figure is missing"))?;
        samples.push((name, Figures::of(figures, asked)));
        rest = after;
    }
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
    let limits = (of.at_least, of.min_cell);
    if let Some(asked) = &of.of_train {
        let of_train = (OF_TRAIN, samples[0].1.as_ref());
        notes.extend(add_sample(&mut fit, of_train, asked, limits));
    }
    for (name, figures) in &told {
        let asked = &of.scores;
        notes.extend(match *name {
            "test" => add_test(&mut fit, Some(figures), asked, limits),
            "oot" => add_sample(&mut fit, (OF_OOT, Some(figures)), asked, limits),
            _ => Vec::new(),
        });
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
