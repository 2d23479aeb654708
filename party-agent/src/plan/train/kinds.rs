//! What is opened of a model, kind by kind: how many numbers, and how often at the most.

use engine::glm::triangle;

use super::{Test, TrainPlan, asks};
use crate::spec::Model;

/// The openings of a fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// Rows, dropped rows, the sums of labels and of columns.
    Means,
    /// The sums of squared distances from the means.
    Spreads,
    /// The first two moments of standardised columns, precisely.
    Moments,
    /// Cross-products, gradient and deviance at some coefficients.
    Step,
    /// What a report wants of the fitted model.
    Last,
    /// Bads and goods by bin.
    Bins,
    /// What is told of scores of a sample.
    Scores,
    /// Where the nodes of a level are split.
    Splits,
    /// The leaves of a tree.
    Leaves,
}

impl Kinds {
    pub(super) const ALL: [Self; 9] = [
        Self::Means,
        Self::Spreads,
        Self::Moments,
        Self::Step,
        Self::Last,
        Self::Bins,
        Self::Scores,
        Self::Splits,
        Self::Leaves,
    ];

    /// Numbers of one opening.
    #[must_use]
    pub fn n_sums(self, of: &TrainPlan) -> usize {
        let (n_terms, n_columns) = (of.terms.len(), of.n_columns());
        match self {
            // Rows, dropped rows, exposures, labels; then the columns.
            Self::Means => 4 + n_terms,
            Self::Spreads => 1 + n_terms,
            Self::Moments => 2 * n_terms,
            // A flag for sums that are no numbers goes along.
            Self::Step => triangle(n_columns) + n_columns + 2,
            Self::Last => {
                let has_more = matches!(of.model, Model::Linear | Model::Gamma);
                3 + usize::from(has_more) * triangle(n_columns)
            }
            Self::Bins => 2 * of.n_bins(),
            Self::Scores => {
                let scores = of.test.as_ref().map_or(&[][..], |test| &test.scores);
                asks(scores).n_figures()
            }
            Self::Splits => of.n_leaves() / 2,
            Self::Leaves => of.n_leaves(),
        }
    }

    pub(super) fn at_most(self, of: &TrainPlan) -> u32 {
        match self {
            Self::Means => 1,
            Self::Last => u32::from(!of.model.is_scored_alone()),
            Self::Spreads => u32::from(of.n_parts().is_none()),
            Self::Bins => u32::from(of.scorecard.is_some()),
            Self::Scores => of.test.as_ref().map_or(0, Test::n_samples),
            Self::Moments => u32::from(of.standardise),
            Self::Step => of.most_evaluations(),
            Self::Splits => of.n_trees() * of.trees.as_ref().map_or(0, |t| t.grown.depth as u32),
            Self::Leaves => of.n_trees(),
        }
    }
}
