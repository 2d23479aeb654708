//! Boosted trees of the rows of several holders: what is opened of them, and what they ask of a job.

use std::collections::BTreeSet;

use protocols::arith::compare::Method;
use protocols::price::{Price, Seats};
use protocols::train::trees::{self, MARGIN_BITS, MAX_LOG_ROWS, PARAMETER_BITS, pooled};
use serde::Serialize;

use super::{ColumnRole, TrainPlan};
use crate::plan::{MinCell, OutputColumn, PlanFault, ValueKind};
use crate::spec::{self, Correlations, Report};

/// Trees of rows of several holders, as they are grown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PooledTrees {
    /// How many, and how they grow.
    pub grown: spec::Trees,
    /// All tables together have no more than 2^this rows.
    pub log_rows: u32,
}

impl PooledTrees {
    /// Of a job whose tables have so many rows by their published sizes.
    pub(super) fn of(job: &spec::Train, n_rows: u64) -> Option<Self> {
        Some(Self {
            grown: job.trees.clone()?,
            log_rows: n_rows.max(2).next_power_of_two().ilog2(),
        })
    }

    /// What the protocol takes.
    #[must_use]
    pub fn shape(&self, n_features: usize, method: Method) -> trees::Shape {
        shape(&self.grown, (n_features, self.log_rows), method)
    }

    /// What splits and leaves take, but for opening them.
    pub(super) fn price(&self, n_features: usize, seats: Seats, method: Method) -> Price {
        let shape = self.shape(n_features, method);
        pooled::price(seats, &shape)
    }

    /// What is wrong with trees of these columns.
    pub(super) fn faults(
        &self,
        of: &TrainPlan,
        correlations: Option<&Correlations>,
        min_cell: &MinCell,
    ) -> Vec<PlanFault> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, what: String, fix: String| {
            faults.push(PlanFault {
                place: format!("compute.train.{field}"),
                what,
                fix,
            });
        };
        for column in &of.columns {
            if let ColumnRole::Levels(levels) = &column.role
                && levels.len() as u64 > self.grown.bins
            {
                let what = format!(
                    "is {}, and {} has {} levels, each of which has a bin",
                    self.grown.bins,
                    column.name,
                    levels.len()
                );
                fault(
                    "bins",
                    what,
                    "more bins, or merge levels in rows".to_owned(),
                );
            }
        }
        if self.log_rows > MAX_LOG_ROWS {
            let what = "the tables have more than 524288 rows by their published sizes";
            fault("tables", what.to_owned(), "fewer rows".to_owned());
        }
        // No row's p·(1 − p) is more than 1/4, so a child of this weight has four times as many rows at least.
        let weight: f64 = self.grown.min_child_weight.parse().unwrap_or(0.0);
        if 4.0 * weight < min_cell.at_least as f64 && min_cell.at_least > 1 {
            let what = format!(
                "is {}, so that leaves might have fewer than {} rows, and everybody sees leaves",
                self.grown.min_child_weight, min_cell.at_least
            );
            let fix = format!("{} or more", min_cell.at_least as f64 / 4.0);
            fault("min_child_weight", what, fix);
        }
        if matches!(correlations, Some(Correlations::Ot)) {
            faults.push(PlanFault {
                place: "privacy.correlations".to_owned(),
                what: "asks for trees without a dealer: a division for each cut of each node would take days".to_owned(),
                fix: "\"dealer:NAME\", a party that brings no data and does not collude with any other".to_owned(),
            });
        }
        faults
    }
}

/// Trees as the protocol takes them, of so many features and of tables with at most 2^n rows.
pub(in crate::plan) fn shape(
    of: &spec::Trees,
    (n_features, log_rows): (usize, u32),
    method: Method,
) -> trees::Shape {
    let parameter = |text: &str| scaled(text, PARAMETER_BITS) as u32;
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    trees::Shape {
        n_rows: 0,
        n_features,
        n_bins: usize::try_from(of.bins).unwrap_or(usize::MAX),
        depth: small(of.depth),
        n_trees: small(of.n_trees),
        log_rows,
        rate: parameter(&of.learning_rate),
        lambda: parameter(&of.lambda),
        min_weight: parameter(&of.min_child_weight),
        start: (of.start() * f64::from(1 << MARGIN_BITS)).round() as i32,
        method,
    }
}

/// Decimal text in fixed point.
fn scaled(text: &str, bits: u32) -> u64 {
    let number: f64 = text.parse().unwrap_or(0.0);
    (number * 2f64.powi(bits.cast_signed())).round() as u64
}

/// All that is opened to the computing parties, in words.
pub(super) fn opened(of: &TrainPlan, trees: &spec::Trees) -> String {
    format!(
        "the number of rows used and dropped and how many of these are bad; the values between which {} bins of every number lie whose cuts the job does not list (two neighbouring values of the pooled rows for each cut); and of {} trees at which feature and cut each node is split, and the number of each leaf",
        trees.bins, trees.n_trees
    ) + match of.checks.is_empty() {
        true => "",
        false => ", behind which as many rows of all holders are as the minimum says, or none",
    }
}

/// The same in Chinese.
pub(super) fn opened_in_chinese(of: &TrainPlan, trees: &spec::Trees) -> String {
    let behind = match of.checks.is_empty() {
        true => "",
        false => ",每个叶子之后全体持有方的行数达到最小值,或没有行",
    };
    format!(
        "所用与所弃的行数及其中的坏样本数;每个数值的 {} 个分箱的分界值(每个分界为合并各行中相邻的两个值);{} 棵树中每个节点按哪个特征、在何处分裂,以及每个叶子的数值{behind}",
        trees.bins, trees.n_trees
    )
}

/// What runs, in words.
pub(super) fn of_run(of: &TrainPlan, trees: &spec::Trees) -> String {
    format!(
        "each holder adds up the gradients of its own rows by node and bin; which of the cuts of {} features in {} bins gains most is found on shares, {} trees of {} levels, and each level's splits are opened to all computing parties, as are leaves; learning rate {}, lambda {}, least child weight {}, base score {}; sums and gains are not opened",
        of.terms.len(),
        trees.bins,
        trees.n_trees,
        trees.depth,
        trees.learning_rate,
        trees.lambda,
        trees.min_child_weight,
        trees.base_score,
    )
}

/// A row for the rows that were fitted, and one for those kept for a test.
pub(in crate::plan) fn outputs(report: &BTreeSet<Report>) -> Vec<OutputColumn> {
    let mut columns = vec![
        ("sample", ValueKind::Text),
        ("n_bad", ValueKind::Int),
        ("n_good", ValueKind::Int),
    ];
    for part in report {
        columns.extend(match part {
            Report::Auc => Some(("auc", ValueKind::Float)),
            Report::Ks => Some(("ks", ValueKind::Float)),
            _ => None,
        });
    }
    let columns = columns.into_iter().map(|(name, kind)| OutputColumn {
        name: name.to_owned(),
        kind,
    });
    columns.collect()
}
