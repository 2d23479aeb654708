//! Boosted trees: every holder adds up the gradients of its own rows, splits are chosen on shares, and everybody follows
//! them with its rows.

use engine::glm::Rows;
use engine::share::Share;
use engine::trees;
use protocols::correlate::Stock;
use protocols::train::trees::{MARGIN_BITS, Shape, Split, pooled};
use serde::{Deserialize, Serialize};

use super::estimate::Means;
use super::figures::Scored;
use super::{Fitting, Stopped, internal};
use crate::execute::checkpoint::bits;
use crate::local::Design;
use crate::plan::{ColumnRole, Kinds};
use crate::result::{PooledTree, PooledTrees};

/// A tree that all parties know: of each node from the root on where it is split, and its leaves with [`MARGIN_BITS`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    splits: Vec<Option<(usize, usize)>>,
    leaves: Vec<i64>,
}

impl Known {
    fn fits(&self, shape: &Shape) -> bool {
        let n_leaves = 1usize << shape.depth;
        let mut splits = self.splits.iter().flatten();
        self.leaves.len() == n_leaves
            && self.splits.len() == n_leaves - 1
            && splits.all(|(feature, bin)| *feature < shape.n_features && *bin < shape.n_bins)
    }

    /// The same tree with leaves that take back what this one's give.
    fn reversed(&self) -> Self {
        Self {
            splits: self.splits.clone(),
            leaves: self.leaves.iter().map(|leaf| -leaf).collect(),
        }
    }

    /// Sends rows down the tree.
    fn follow(&self, rows: &mut trees::Rows, depth: u32) {
        rows.begin();
        for level in 0..depth {
            let first = (1usize << level) - 1;
            rows.go(&self.splits[first..first + (1 << level)]);
        }
        rows.take(&self.leaves);
    }

    fn told(&self) -> PooledTree {
        let unit = 2f64.powi(-MARGIN_BITS.cast_signed());
        let splits = self.splits.iter();
        PooledTree {
            splits: splits
                .map(|split| split.map(|(feature, bin)| Split { feature, bin }))
                .collect(),
            leaves: self.leaves.iter().map(|leaf| *leaf as f64 * unit).collect(),
        }
    }
}

/// What tells a holder's rows again: what they add up to at the root.
fn own(rows: &mut trees::Rows) -> Vec<u64> {
    rows.begin();
    let sums = rows.sums(1).into_iter();
    bits(&sums.flat_map(|(g, h)| [g, h]).collect::<Vec<f64>>())
}

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
        let mut grown = self.trees_so_far(&mut samples, shape).await?;
        while (grown.len() as u32) < shape.n_trees {
            let done = grown.len() as u32;
            self.task
                .progress
                .steps("tree", (done, shape.n_trees), None);
            samples.iter_mut().for_each(trees::Rows::begin);
            let mut splits = Vec::new();
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
                splits.extend(pairs);
                if n_nodes << 1 == 1 << shape.depth {
                    let leaves = pooled::leaves(self.session, &level, shape, stock).await?;
                    let leaves = self.open_shares(Kinds::Leaves, &leaves).await?;
                    let leaves: Vec<i64> = leaves.into_iter().map(u64::cast_signed).collect();
                    samples.iter_mut().for_each(|rows| rows.take(&leaves));
                    grown.push(Known {
                        splits: std::mem::take(&mut splits),
                        leaves,
                    });
                }
            }
            self.keep_trees(&grown, &mut samples[0]).await;
        }
        Ok((samples, grown.iter().map(Known::told).collect()))
    }

    /// Keeps the trees so far, if it is time to.
    async fn keep_trees(&mut self, grown: &[Known], fitted: &mut trees::Rows) {
        let (done, every) = (grown.len() as u32, self.whole.checkpoint_every);
        if every > 0 && done.is_multiple_of(every) {
            self.task.keep(done, grown.to_vec(), own(fitted)).await;
        }
    }

    /// The trees of an earlier run, if this job goes on with one; the rows have followed them then.
    async fn trees_so_far(
        &mut self,
        samples: &mut [trees::Rows; 2],
        shape: &Shape,
    ) -> Result<Vec<Known>, Stopped> {
        let mut candidates = Vec::new();
        for kept in self.task.checkpoints::<Vec<Known>>().await {
            let all_fit = kept.known.iter().all(|tree| tree.fits(shape));
            if !all_fit || kept.known.len() as u32 != kept.step || kept.step > shape.n_trees {
                continue;
            }
            let (fitted, trees) = (&mut samples[0], kept.known.iter());
            trees.clone().for_each(|t| t.follow(fitted, shape.depth));
            let is_same = own(fitted) == kept.own;
            trees.for_each(|t| t.reversed().follow(fitted, shape.depth));
            if is_same {
                candidates.push(kept);
            }
        }
        let found = self.task.went_on(self.session, candidates).await;
        let grown = found
            .map_err(Stopped::Broken)?
            .map_or(Vec::new(), |kept| kept.known);
        for tree in &grown {
            samples
                .iter_mut()
                .for_each(|rows| tree.follow(rows, shape.depth));
        }
        Ok(grown)
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
