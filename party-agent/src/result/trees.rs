//! Boosted trees of rows of several holders, as they were opened.

use protocols::train::evaluate::Figures;
use protocols::train::trees::Split;
use serde_json::{Map, Value, json};

use super::figures::{OF_OOT, OF_TRAIN, add_sample, add_test, of_samples, untold_samples};
use super::{ResultError, ResultTable, totals};
use crate::plan::{ColumnRole, Plan, TrainPlan};

/// Trees, and how well they do.
#[derive(Clone, Debug)]
pub struct PooledTrees {
    /// Of the rows that are fitted, of those kept for a test, and of those out of time, if enough of them are bad and good.
    pub figures: [Option<Figures>; 3],
    /// Rows over all holders.
    pub n_used: u64,
    /// Rows that were left out, unless there are too few of them to be told.
    pub dropped: Option<u64>,
    /// Where each feature is cut: of levels by their numbers.
    pub cuts: Vec<Vec<f64>>,
    /// The trees.
    pub trees: Vec<PooledTree>,
}

/// One tree.
#[derive(Clone, Debug)]
pub struct PooledTree {
    /// Its splits, level by level from left to right.
    pub splits: Vec<Option<Split>>,
    /// Its leaves, from left to right.
    pub leaves: Vec<f64>,
}

/// Builds the result of trees: a row for the rows that were fitted, and one for those kept for a test; and the trees.
///
/// # Errors
/// [`ResultError::Totals`] if the plan has no such trees.
pub fn pooled(
    plan: &Plan,
    of: &TrainPlan,
    found: &PooledTrees,
) -> Result<ResultTable, ResultError> {
    let Some(trees) = &of.trees else {
        return Err(totals("there are no trees"));
    };
    let forest = found.trees.iter().map(|tree| of_tree(of, found, tree));
    let cuts = of.terms.iter().zip(&found.cuts);
    let cuts = cuts.filter(|(term, _)| of.has_cuts(term));
    let cuts = cuts.map(|(term, cuts)| (term.name.clone(), json!(cuts)));
    let fit = json!({
        "trees": trees.grown,
        "cuts": cuts.collect::<Map<String, Value>>(),
        "forest": forest.collect::<Vec<Value>>(),
    });
    let rows = (found.n_used, found.dropped);
    sampled((plan, of), &found.figures, rows, fit)
}

/// The result of a model that is told by figures of scores: of the rows that were fitted, and of those kept for a test; and
/// what describes it.
pub(super) fn sampled(
    (plan, of): (&Plan, &TrainPlan),
    [of_train, of_test, of_oot]: &[Option<Figures>; 3],
    (n_used, dropped): (u64, Option<u64>),
    mut fit: Value,
) -> Result<ResultTable, ResultError> {
    let Some(test) = &of.test else {
        return Err(totals("no rows are evaluated"));
    };
    let mut samples = vec![("train", of_train.clone()), ("test", of_test.clone())];
    if !test.oot.is_empty() {
        samples.push(("oot", of_oot.clone()));
    }
    let mut notes = plan.notes.clone();
    notes.extend(untold_samples(&samples, test.at_least));
    let told: Vec<(&str, Figures)> = samples
        .into_iter()
        .filter_map(|(name, found)| Some((name, found?)))
        .collect();
    fit["model"] = json!(of.model.as_str());
    fit["partition"] = json!("horizontal");
    fit["n"] = json!(n_used);
    fit["dropped"] = json!(dropped);
    let limits = (test.at_least, test.at_least);
    if let Some(asked) = &test.of_train {
        let of = (OF_TRAIN, of_train.as_ref());
        notes.extend(add_sample(&mut fit, of, asked, limits));
    }
    if of_oot.is_some() {
        let of = (OF_OOT, of_oot.as_ref());
        notes.extend(add_sample(&mut fit, of, &test.scores, limits));
    }
    if of_test.is_some() {
        notes.extend(add_test(&mut fit, of_test.as_ref(), &test.scores, limits));
    }
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows: told.len(),
        values: of_samples(plan, &told),
        suppressed: Vec::new(),
        n_used,
        dropped: dropped
            .map(|n| ("rows".to_owned(), n))
            .into_iter()
            .collect(),
        notes,
        fit: Some(fit),
        noise: None,
        matched: None,
        class: plan.class,
    })
}

/// The nodes of a tree that are split, from 0 at its root and level by level from left to right, and its leaves.
fn of_tree(of: &TrainPlan, found: &PooledTrees, tree: &PooledTree) -> Value {
    let splits = tree.splits.iter().enumerate();
    let splits = splits.filter_map(|(node, split)| {
        let Split { feature, bin } = (*split)?;
        let term = of.terms.get(feature)?;
        let left = match &of.columns[term.column].role {
            ColumnRole::Levels(levels) => json!({ "levels": levels.get(..=bin)? }),
            _ => json!({ "at_most": found.cuts.get(feature)?.get(bin)? }),
        };
        Some(json!({ "node": node, "feature": term.name, "left": left }))
    });
    json!({ "splits": splits.collect::<Vec<Value>>(), "leaves": tree.leaves })
}
