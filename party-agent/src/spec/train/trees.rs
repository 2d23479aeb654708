//! What a job file says of boosted trees.

use serde::Serialize;

use super::number;
use crate::config::fields::{Faults, Fields};

/// Most leaves of all trees: each row has a mask for each.
const MOST_LEAVES: u64 = 2048;

/// How many trees, and how they grow. Numbers that are not whole are decimal text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trees {
    /// How many.
    pub n_trees: u64,
    /// Levels of splits.
    pub depth: u64,
    /// The most bins of a feature.
    pub bins: u64,
    /// How far each tree goes: XGBoost's eta.
    pub learning_rate: String,
    /// XGBoost's lambda.
    pub lambda: String,
    /// The least sum of p·(1 − p) of a child.
    pub min_child_weight: String,
    /// The probability before the first tree.
    pub base_score: String,
}

impl Trees {
    /// The margin of all rows before the first tree.
    #[must_use]
    pub fn start(&self) -> f64 {
        let base: f64 = self.base_score.parse().unwrap_or(0.5);
        (base / (1.0 - base)).ln()
    }
}

/// Reads the fields of trees, with XGBoost's defaults but for bins and depth.
pub(in crate::spec) fn read(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Trees> {
    let n_trees = fields.whole(faults, "n_trees", 1..=200);
    let depth = fields.whole(faults, "depth", 1..=6);
    let bins = fields.whole(faults, "bins", 2..=64);
    let learning_rate = number(fields, "learning_rate", "0.3", 1e-3..=1.0, faults);
    let lambda = number(fields, "lambda", "1", 0.0..=100.0, faults);
    let min_child_weight = number(fields, "min_child_weight", "1", 0.0..=100.0, faults);
    let base_score = number(fields, "base_score", "0.5", 0.001..=0.999, faults);
    let (n_trees, depth) = (n_trees.unwrap_or(20), depth.unwrap_or(4));
    if !fit_in_memory(fields, (n_trees, depth), faults) {
        return None;
    }
    let (lambda, min_child_weight) = (lambda?, min_child_weight?);
    // What lies below is lost in the fixed point of sums.
    let is_small = |text: &str| text.parse::<f64>().is_ok_and(|n| n < 0.01);
    if is_small(&lambda) && is_small(&min_child_weight) {
        let what =
            "is below 0.01, and so is min_child_weight: a leaf without rows would have no number";
        fields.wrong(faults, "lambda", what, "0.01 or more for one of them");
        return None;
    }
    Some(Trees {
        n_trees,
        depth,
        bins: bins.unwrap_or(32),
        learning_rate: learning_rate?,
        lambda,
        min_child_weight,
        base_score: base_score?,
    })
}

/// Whether there are not too many leaves.
pub(in crate::spec) fn fit_in_memory(
    fields: &mut Fields<'_, '_>,
    (n_trees, depth): (u64, u64),
    faults: &mut Faults<'_>,
) -> bool {
    let n_leaves = n_trees << depth;
    if n_leaves > MOST_LEAVES {
        let what = format!(
            "makes {n_leaves} leaves with {depth} levels: masks of so many splits do not fit in memory"
        );
        let allowed = "at most 2048 leaves, 2^depth for each tree";
        fields.wrong(faults, "n_trees", what, allowed);
    }
    n_leaves <= MOST_LEAVES
}
