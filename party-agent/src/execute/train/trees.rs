//! Boosted trees: every holder adds up the gradients of its own rows, splits are chosen on shares, and everybody follows
//! them with its rows.

use engine::glm::Rows;
use engine::share::Share;
use engine::trees;
use protocols::correlate::Stock;
use protocols::train::trees::{MARGIN_BITS, Shape, Split, pooled};

use super::estimate::Means;
use super::figures::Scored;
use super::{Fitting, Stopped, internal};
use crate::local::Design;
use crate::plan::{ColumnRole, Kinds};
use crate::result::{PooledTree, PooledTrees};

impl Fitting<'_> {
    /// Cuts, grows and evaluates.
    pub(super) async fn grow(
        &mut self,
        design: Design,
        stock: &mut Stock,
    ) -> Result<PooledTrees, Stopped> {
        let (design, means, tells_dropped) = self.begun(design, stock).await?;
        let Design { rows, test, .. } = design;
        let cuts = self.edges(&rows, &means, stock).await?;
        let shape = self
            .of
            .trees
            .as_ref()
            .map(|trees| trees.shape(self.of.terms.len(), self.task.plan.setting().method));
        let shape = shape.ok_or_else(|| internal("the plan has no trees"))?;
        let samples = [&rows, &test].map(|rows| in_bins(rows, &cuts, &shape));
        let (samples, grown) = self.forest(samples, &shape, stock).await?;
        let [train, test] = samples.each_ref().map(scored);
        let [of_test, of_train, of_oot] = self.figures(test, train, stock).await?;
        Ok(PooledTrees {
            figures: [of_train, of_test, of_oot],
            n_used: means.n_rows,
            dropped: tells_dropped.then_some(means.dropped),
            cuts,
            trees: grown,
        })
    }

    /// Where each feature is cut: numbers at quantiles, levels between any two.
    async fn edges(
        &mut self,
        rows: &Rows,
        means: &Means,
        stock: &mut Stock,
    ) -> Result<Vec<Vec<f64>>, Stopped> {
        let mut cuts = self.cuts(rows, means, stock).await?;
        for (term, cuts) in self.of.terms.iter().zip(&mut cuts) {
            if let ColumnRole::Levels(levels) = &self.of.columns[term.column].role {
                *cuts = (0..levels.len() - 1).map(|level| level as f64).collect();
            }
        }
        Ok(cuts)
    }

    /// All trees. The first sample is fitted, the other goes along.
    async fn forest(
        &mut self,
        mut samples: [trees::Rows; 2],
        shape: &Shape,
        stock: &mut Stock,
    ) -> Result<([trees::Rows; 2], Vec<PooledTree>), Stopped> {
        let mut grown = Vec::new();
        for tree in 0..shape.n_trees {
            self.task
                .progress
                .steps("tree", (tree, shape.n_trees), None);
            samples.iter_mut().for_each(trees::Rows::begin);
            let mut splits: Vec<Option<Split>> = Vec::new();
            for level in 0..shape.depth {
                let n_nodes = 1usize << level;
                let [fitted, others] = samples;
                let kernel = move || (fitted.sums(n_nodes), fitted);
                let (sums, fitted) = self.session.compute().run(kernel).await;
                samples = [fitted, others];
                let own = sums.into_iter().map(|sum| pooled::packed(sum, shape));
                let own = Share::new(own.collect());
                let level = pooled::split(self.session, own, shape, stock).await?;
                let codes = self.open_shares(Kinds::Splits, &level.codes(shape)).await?;
                let chosen = pooled::splits(&codes, shape);
                let pairs: Vec<_> = chosen
                    .iter()
                    .map(|s| s.map(|s| (s.feature, s.bin)))
                    .collect();
                samples.iter_mut().for_each(|rows| rows.go(&pairs));
                splits.extend(chosen);
                if n_nodes << 1 == 1 << shape.depth {
                    let leaves = pooled::leaves(self.session, &level, shape, stock).await?;
                    let leaves = self.open_shares(Kinds::Leaves, &leaves).await?;
                    let leaves: Vec<i64> = leaves.into_iter().map(u64::cast_signed).collect();
                    samples.iter_mut().for_each(|rows| rows.take(&leaves));
                    let unit = 2f64.powi(-MARGIN_BITS.cast_signed());
                    grown.push(PooledTree {
                        splits: std::mem::take(&mut splits),
                        leaves: leaves.iter().map(|leaf| *leaf as f64 * unit).collect(),
                    });
                }
            }
        }
        Ok((samples, grown))
    }
}

/// Rows by the bins of their values.
fn in_bins(rows: &Rows, cuts: &[Vec<f64>], shape: &Shape) -> trees::Rows {
    let mut made = trees::Rows::new(shape.n_features, shape.n_bins, MARGIN_BITS);
    let mut bins = vec![0u8; shape.n_features];
    for (row, label) in rows.labels().iter().enumerate() {
        let values = rows.row(row)[1..].iter().zip(cuts);
        for (bin, (value, cuts)) in bins.iter_mut().zip(values) {
            *bin = cuts.partition_point(|cut| cut < value) as u8;
        }
        made.push(&bins, *label == 1.0, shape.start.into());
    }
    made
}

/// What is evaluated of a sample.
fn scored(rows: &trees::Rows) -> Scored {
    let unit = 2f64.powi(-MARGIN_BITS.cast_signed());
    Scored {
        scores: rows.margins().iter().map(|m| *m as f64 * unit).collect(),
        is_bad: rows.labels().to_vec(),
    }
}
