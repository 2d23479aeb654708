//! What is opened of a model, kind by kind: how many numbers, and how often at the most.

use engine::glm::triangle;
use protocols::arith::compare::Method;
use protocols::train::correlated;
use protocols::train::evaluate::characteristics;

use super::{Test, TrainPlan, asks};
use crate::spec::Model;

/// How many numbers come of it does not depend on how they are compared.
fn spreads(of: &TrainPlan) -> Option<characteristics::Shape> {
    of.spreads(Method::Masked)
}

fn pairs(of: &TrainPlan) -> Option<correlated::Shape> {
    of.correlated(Method::Masked)
}

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
    /// Whether the objective has grown since the last step.
    Growth,
    /// How many columns of a system are sound.
    Sound,
    /// What a step changes coefficients by.
    Change,
    /// The deviance at a step, where the job asks for losses.
    Loss,
    /// Standard errors.
    Errors,
    /// Of columns that are filled by their mean or median, how many values there are, and their sums.
    Fills,
    /// How far samples are spread over the bins of each feature otherwise than the one that is fitted.
    Characteristics,
    /// Which pairs of features go together.
    Correlated,
    /// Roots of variance inflation factors.
    Inflations,
}

impl Kinds {
    pub(super) const ALL: [Self; 18] = [
        Self::Means,
        Self::Spreads,
        Self::Moments,
        Self::Step,
        Self::Last,
        Self::Bins,
        Self::Scores,
        Self::Splits,
        Self::Leaves,
        Self::Growth,
        Self::Sound,
        Self::Change,
        Self::Loss,
        Self::Errors,
        Self::Fills,
        Self::Characteristics,
        Self::Correlated,
        Self::Inflations,
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
            // What describes the fit, the deviance, and that without features.
            Self::Last if of.shares_steps() => 5,
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
            Self::Growth | Self::Sound | Self::Loss => 1,
            Self::Change => n_columns,
            // One for the constant beside, in the measure of the result.
            Self::Errors => (n_columns + 1) * (1 + usize::from(of.is_robust())),
            Self::Fills => 2 * of.n_filled(),
            Self::Characteristics => spreads(of).map_or(0, |shape| shape.n_figures()),
            Self::Correlated => pairs(of).map_or(0, |shape| shape.n_pairs),
            Self::Inflations => of.inflation().map_or(0, |_| n_terms),
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
            Self::Step => match of.shares_steps() {
                true => 0,
                false => of.most_evaluations(),
            },
            Self::Splits => of.n_trees() * of.trees.as_ref().map_or(0, |t| t.grown.depth as u32),
            Self::Leaves => of.n_trees(),
            Self::Growth if of.shares_steps() => of.last_evaluations(),
            Self::Loss if of.shares_steps() && of.tells_loss => of.last_evaluations(),
            Self::Growth | Self::Loss => 0,
            // The expected information of gamma models is another system.
            Self::Sound => match of.model {
                Model::Gamma if of.shares_steps() => of.most_steps() + 1,
                _ => of.most_steps() + of.most_inflations(),
            },
            Self::Change => of.most_steps(),
            Self::Errors => u32::from(of.shares_steps() && of.has_errors()),
            Self::Fills => u32::from(of.n_filled() > 0),
            Self::Characteristics => u32::from(spreads(of).is_some()),
            Self::Correlated => u32::from(pairs(of).is_some()),
            Self::Inflations => of.most_inflations(),
        }
    }
}
