//! A party's part of boosted trees: where its own features are split, and its shares of the leaves.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ModelPart;

/// A split of a tree by one of the holder's features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartSplit {
    /// Which tree, from 0.
    pub tree: usize,
    /// Which of its nodes: 0 at the root, then level by level from left to right.
    pub node: usize,
    /// The column.
    pub feature: String,
    /// Rows with no more go to the left, as do those whose value is missing; `null` if only these do.
    pub at_most: Option<f64>,
}

/// What every party keeps of boosted trees.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartForest {
    /// How many trees there are.
    pub n_trees: u64,
    /// Their levels of splits.
    pub depth: u64,
    /// The margin before the first tree, with 24 fractional bits.
    pub start: i64,
    /// The parties among which the leaves are shared.
    pub parties: Vec<String>,
    /// The columns of its own that trees were grown with.
    pub features: Vec<String>,
    /// This party's share over Z_2^64 of each leaf, with 24 fractional bits, tree by tree from left to right. Without
    /// those of all others it tells nothing.
    pub leaves: Vec<u64>,
}

impl fmt::Debug for PartForest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Shares are not printed.
        f.debug_struct("PartForest")
            .field("n_trees", &self.n_trees)
            .field("depth", &self.depth)
            .field("features", &self.features)
            .finish_non_exhaustive()
    }
}

impl ModelPart {
    /// Whether a row with this value goes to the right at a split; `None` for a text that is none of the levels, or no
    /// number.
    #[must_use]
    pub fn goes_right(&self, split: &PartSplit, value: Option<&str>) -> Option<bool> {
        let Some(text) = value else {
            return Some(false);
        };
        let value = match self.levels.get(&split.feature) {
            Some(levels) => levels.iter().position(|level| level == text)? as f64,
            None => text.parse().ok()?,
        };
        // A value that is no number is missing.
        let is_above = |at_most: f64| value > at_most;
        Some(!value.is_nan() && split.at_most.is_none_or(is_above))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coordinator::contract::Digest;

    #[test]
    fn rows_go_where_they_went_when_trees_grew() {
        let mut part = ModelPart::new("m".to_owned(), "job", Digest::of(b"contract"), "bank_a");
        let levels = ["low", "high"].map(str::to_owned).to_vec();
        part.levels.insert("risk".to_owned(), levels);
        let split = |feature: &str, at_most| PartSplit {
            tree: 0,
            node: 0,
            feature: feature.to_owned(),
            at_most,
        };
        let number = split("age", Some(30.0));
        let goes = |split, value| part.goes_right(split, value);
        let values = [Some("30"), Some("30.5"), None, Some("NaN"), Some("old")];
        let expected = [Some(false), Some(true), Some(false), Some(false), None];
        assert_eq!(values.map(|v| goes(&number, v)), expected);
        let known = split("age", None);
        assert_eq!(
            [Some("-5"), None].map(|v| goes(&known, v)),
            [Some(true), Some(false)]
        );
        let text = split("risk", Some(0.0));
        let values = [Some("low"), Some("high"), Some("none")];
        let expected = [Some(false), Some(true), None];
        assert_eq!(values.map(|v| goes(&text, v)), expected);
    }
}
