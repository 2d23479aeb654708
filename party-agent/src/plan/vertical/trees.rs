//! What plans of boosted trees have of their own.

use protocols::arith::compare::Method;
use protocols::correlate::Needs;
use protocols::party::Seat;
use protocols::train::evaluate::Asks;
use protocols::train::trees::joined::Shape;

use serde::Serialize;

use super::super::intersect::keys::Side;
use super::{VerticalPlan, card};
use crate::plan::train::{
    asks, further, further_in_chinese, of_oot, of_oot_in_chinese, of_train, of_train_in_chinese,
    trees_shape,
};
use crate::plan::words::listed;
use crate::spec::{self, Bins};

/// Boosted trees over a join, as they are grown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TreesPlan {
    /// How many, and how they grow.
    pub grown: spec::Trees,
    /// The bins of each feature: levels in their order, or so many of a number.
    pub bins: Vec<Bins>,
}

/// The trees' part of a plan.
pub(super) fn plan(
    job: &spec::Vertical,
    sides: &[Side<'_>],
    features: &[(usize, String)],
) -> Option<TreesPlan> {
    let grown = job.trees.clone()?;
    let bins = card::bins(job, sides, features, grown.bins);
    Some(TreesPlan { grown, bins })
}

impl VerticalPlan {
    /// What the protocol takes, for these numbers of keys in the order of tables, if trees are grown.
    #[must_use]
    pub fn forest(&self, n_keys: &[usize], method: Method) -> Option<Shape> {
        let of = &self.trees.as_ref()?.grown;
        let tables = self.tables.iter().zip(n_keys);
        Some(Shape {
            tables: tables
                .map(|(table, n)| (Seat::from_index(table.seat), *n))
                .collect(),
            features: self.features.iter().map(|(place, _)| *place).collect(),
            label: self.label.0,
            trees: trees_shape(of, (self.features.len(), self.log_rows), method),
            n_kept: self.n_kept(),
            asks: asks(&self.scores),
            of_train: self.of_train.as_deref().map_or_else(Asks::default, asks),
            min_cell: self.min_cell,
            at_least: self.at_least,
        })
    }
}

/// Memory of a seat: the matrix of bins three times over, as its share, its mask and what was opened; and masks of rows.
pub(super) fn memory_bytes(shape: &Shape, needs: &Needs) -> u64 {
    let cells = |n: usize, m: usize| n as u64 * m as u64;
    let matrices = needs.ring64.matrices.iter();
    let masks: u64 = matrices.map(|m| cells(m.m, m.k + m.n)).sum();
    let shape = shape.forest();
    let bins = cells(shape.n_rows, shape.n_features * shape.n_bins);
    bins.saturating_mul(3 * 8).saturating_add(masks * 8)
}

/// What receivers learn.
pub(super) fn result(of: &VerticalPlan) -> String {
    let figures = [
        "the area under the curve",
        "the Kolmogorov–Smirnov distance",
    ];
    format!(
        "; whether at least {0} common rows are fitted, and if so how many; of these rows, and of those kept for a test, the number of bad and of good ones and {1}{2}, if there are at least {0} of both",
        of.at_least,
        listed(&figures),
        match further(&of.scores, of.min_cell) {
            of_test if of_test.is_empty() => of_test,
            of_test => format!(", of the latter also{}", of_test.trim_start_matches(',')),
        }
    ) + &of_train(of.of_train.as_deref(), of.min_cell)
        + &of_oot(of.n_kept() > 1, &of.scores, of.min_cell)
}

/// The same in Chinese.
pub(super) fn result_in_chinese(of: &VerticalPlan) -> String {
    let least = of.at_least;
    let further = match further_in_chinese(&of.scores, of.min_cell) {
        further if further.is_empty() => further,
        further => format!(",后者还有{}", further.trim_start_matches('、')),
    };
    format!(
        ";是否拟合了至少 {least} 个共同行,若是则有多少行;这些行与留作检验的行中的坏样本数与好样本数、曲线下面积与 Kolmogorov–Smirnov 距离{further},只要两类均不少于 {least} 行"
    ) + &of_train_in_chinese(of.of_train.as_deref(), of.min_cell)
        + &of_oot_in_chinese(of.n_kept() > 1, &of.scores, of.min_cell)
}

/// What a holder of features learns besides.
pub(super) fn own(of: &VerticalPlan, seat: usize) -> String {
    let place = of.tables.iter().position(|t| t.seat == seat);
    let has_features = of.features.iter().any(|(p, _)| Some(*p) == place);
    match of.trees.is_some() && has_features {
        true => "; at which nodes of which trees a column of its own was chosen, which, and the cut; nothing of other nodes, nor of leaves. It keeps this as its part of the model".to_owned(),
        false => String::new(),
    }
}

/// The same in Chinese.
pub(super) fn own_in_chinese(of: &VerticalPlan, seat: usize) -> &'static str {
    match own(of, seat).is_empty() {
        true => "",
        false => {
            ";自己的列在哪些树的哪些节点被选中、是哪一列、切分点何在;其他节点与叶子一概不知。以上作为其所持的模型部分保存"
        }
    }
}

pub(super) fn notes(of: &TreesPlan) -> Vec<String> {
    let mut notes = vec![
        "trees are XGBoost's, with gain and leaves by sums of gradients and hessians; bins are equal in frequency over each holder's own table, a value with many rows taking one by itself, unless the job lists cuts, and missing values have the first bin: they go to the left".to_owned(),
        "numbers are fixed-point: of cuts that gain the same to about 1e-4 any may be chosen".to_owned(),
    ];
    if of.bins.iter().any(|bins| matches!(bins, Bins::Levels(_))) {
        notes.push(
            "levels stand in the order in which the job lists them: a cut parts the first ones from the others"
                .to_owned(),
        );
    }
    notes
}

/// What runs, for approvers.
pub(super) fn of_run(of: &VerticalPlan, trees: &spec::Trees) -> String {
    format!(
        "{} boosted trees of {} levels for {} over {} features in {} bins each, learning rate {}, lambda {}, least child weight {}, base score {}; gradients, histograms, gains, which rows go where and leaves are not opened, and a split only to the holder of its column",
        trees.n_trees,
        trees.depth,
        of.label.1,
        of.features.len(),
        trees.bins,
        trees.learning_rate,
        trees.lambda,
        trees.min_child_weight,
        trees.base_score,
    )
}
