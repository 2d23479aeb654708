//! A scorecard's bins: cuts between quantiles of the pooled rows, found on shares; counts of bads and goods; and the rows
//! in weights of evidence.
//!
//! An order statistic is found by bisection over the doubles in their order: whether enough rows of all holders lie at or
//! below a value is compared on shares, and the answer opened. All answers follow from the order statistic itself, so they
//! tell nothing beside it.

use engine::glm::Rows;
use protocols::correlate::Stock;
use zeroize::Zeroizing;

use super::estimate::Means;
use super::screen::none_left;
use super::{Fitting, Stopped, internal, together};
use crate::plan::{ColumnRole, Kinds, Term};
use crate::result::{BinnedFeature, Edges, Scale, Weighing};
use crate::spec::{Closed, Missing};

/// One order statistic that is wanted: the rank, from 1, of a term's values.
pub(super) struct Wanted {
    pub(super) term: usize,
    pub(super) rank: u64,
}

impl Fitting<'_> {
    /// Bins all features, and keeps those that tell enough: from here on the model is one of their weights.
    pub(super) async fn binned(
        &mut self,
        (rows, test): (Rows, Rows),
        means: &mut Means,
        stock: &mut Stock,
    ) -> Result<((Rows, Rows), Scale, Vec<BinnedFeature>), Stopped> {
        let Some(card) = self.of.scorecard.clone() else {
            return Err(internal("the plan has no scorecard").into());
        };
        let mut cuts = self.cuts(&rows, means, stock).await?;
        self.without_empty_bins(&rows, &mut cuts, stock).await?;
        let counts = self.counts(&rows, &cuts, stock).await?;
        let weighing = Weighing::of(&card);
        let terms = self.of.terms.iter().zip(cuts).zip(counts).enumerate();
        let features = terms.map(|(i, ((term, cuts), counts))| {
            let feature = BinnedFeature::new(&term.name, self.bins(term, cuts), counts, &weighing);
            let n_apart = self.of.columns[term.column].n_apart();
            let feature = match card.merging() {
                Some(limits) if self.of.is_quantiled(term) => {
                    feature.with_merged(limits, n_apart, &weighing)
                }
                _ => feature,
            };
            (i, feature)
        });
        let mut features: Vec<(usize, BinnedFeature)> = features.collect();
        self.compare_spreads((&rows, &test), &features, stock)
            .await?;
        let paired = self.together(&rows, &features, stock).await?;
        // Stable: of equal ones the first in the job comes first.
        features.sort_by(|a, b| b.1.information().total_cmp(&a.1.information()));
        let (mut is_kept, left_out) = self.screened(&features, &paired)?;
        self.left_out = left_out;
        self.without_inflated(&rows, &features, &mut is_kept)
            .await?;
        let n_kept = is_kept.iter().filter(|is| **is).count();
        let (kept, others): (Vec<_>, Vec<_>) =
            features.into_iter().zip(is_kept).partition(|(_, is)| *is);
        let features = kept.into_iter().chain(others).map(|(feature, _)| feature);
        let features: Vec<(usize, BinnedFeature)> = features.collect();
        if n_kept == 0 {
            return Err(none_left(&card, &self.left_out));
        }
        let kept = &features[..n_kept];
        let weigh = |row: &[f64], made: &mut [f64]| {
            made[0] = 1.0;
            for ((i, feature), value) in kept.iter().zip(&mut made[1..]) {
                *value = feature.woe[feature.edges.bin(row[1 + i])];
            }
        };
        let rows = [&rows, &test].map(|rows| rows.with_columns(1 + n_kept, weigh));
        let [rows, test] = rows;
        let (mut shifts, mut scales) = (vec![0.0], vec![1.0]);
        for (_, feature) in kept {
            let (mean, deviation) = feature.spread();
            shifts.push(mean);
            scales.push(deviation);
        }
        let terms = kept.iter().map(|(i, _)| self.of.terms[*i].clone());
        self.of.terms = terms.collect();
        means.columns = shifts[1..].to_vec();
        let scale = Scale {
            shifts,
            scales,
            label: (0.0, 1.0),
        };
        let features = features.into_iter().map(|(_, feature)| feature);
        Ok(((rows, test), scale, features.collect()))
    }

    fn levels(&self, term: &Term) -> &[String] {
        match &self.of.columns[term.column].role {
            ColumnRole::Levels(levels) => levels,
            _ => &[],
        }
    }

    /// Where the bins of a term lie.
    fn bins(&self, term: &Term, cuts: Vec<f64>) -> Edges {
        let column = &self.of.columns[term.column];
        Edges {
            cuts,
            closed: self.closed(),
            levels: self.levels(term).to_vec(),
            special: column.specials(),
            has_missing: column.missing == Some(Missing::Bin),
        }
    }

    fn closed(&self) -> Closed {
        let card = self.of.scorecard.as_ref();
        card.map_or(Closed::Right, |card| card.conventions.closed)
    }

    /// Of each term the cuts between its bins: type-7 quantiles at i/k, equal ones once.
    pub(super) async fn cuts(
        &mut self,
        rows: &Rows,
        means: &Means,
        stock: &mut Stock,
    ) -> Result<Vec<Vec<f64>>, Stopped> {
        let n_bins = self.of.n_parts().unwrap_or(2);
        let at_least = self.task.plan.min_cell.at_least.max(1);
        if means.n_rows / n_bins < at_least {
            let n_rows = means.n_rows;
            let what = format!("{n_rows} rows are too few for {n_bins} bins of {at_least} rows");
            return Err(together(what, "ask for fewer bins"));
        }
        let (mut wanted, mut places) = (Vec::new(), Vec::new());
        let terms = self.of.terms.iter().enumerate();
        for (term, of) in terms.filter(|(_, t)| self.of.is_quantiled(t)) {
            let n_rows = match self.of.columns[of.column].n_apart() {
                0 => means.n_rows,
                _ => means.n_ordinary(term),
            };
            if n_rows / n_bins < at_least {
                let what = format!(
                    "{n_rows} rows have a value of {} that has no bin of its own, too few for {n_bins} bins of {at_least} rows",
                    of.name
                );
                return Err(together(what, "ask for fewer bins, or leave it out"));
            }
            for i in 1..n_bins {
                let place = (n_rows - 1) as f64 * (i as f64 / n_bins as f64);
                places.push(place.fract());
                let below = place.floor() as u64;
                for rank in [below + 1, (below + 2).min(n_rows)] {
                    wanted.push(Wanted { term, rank });
                }
            }
        }
        let found = self.order_statistics(rows, &wanted, stock).await?;
        let mut cuts = vec![Vec::new(); self.of.terms.len()];
        let pairs = wanted.chunks_exact(2).zip(found.chunks_exact(2));
        for ((wanted, found), part) in pairs.zip(&places) {
            cuts[wanted[0].term].push(between(found[0], found[1], *part));
        }
        for (term, cuts) in self.of.terms.iter().zip(&mut cuts) {
            if let ColumnRole::Cuts(listed) = &self.of.columns[term.column].role {
                *cuts = listed.iter().filter_map(|cut| cut.parse().ok()).collect();
            }
            cuts.sort_by(f64::total_cmp);
            cuts.dedup();
        }
        Ok(cuts)
    }

    /// Order statistics of the pooled rows.
    pub(super) async fn order_statistics(
        &mut self,
        rows: &Rows,
        wanted: &[Wanted],
        stock: &mut Stock,
    ) -> Result<Vec<f64>, Stopped> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let sorted: Vec<Zeroizing<Vec<u64>>> = (0..self.of.terms.len())
            .map(|term| {
                let mut values: Vec<u64> = self.ordinary(rows, term).map(in_order).collect();
                values.sort_unstable();
                Zeroizing::new(values)
            })
            .collect();
        let mut ranges = vec![(0, u64::MAX); wanted.len()];
        let thresholds: Vec<u64> = wanted.iter().map(|w| w.rank).collect();
        for _ in 0..u64::BITS {
            let middles = ranges.iter().map(|(low, high)| low + (high - low) / 2);
            let middles: Vec<u64> = middles.collect();
            let counts = wanted.iter().zip(&middles).map(|(wanted, middle)| {
                sorted[wanted.term].partition_point(|value| value <= middle) as u64
            });
            let counts = counts.collect();
            let probe = self
                .sums
                .probe(self.session, counts, thresholds.clone(), stock);
            let reached = probe.await?;
            for ((range, middle), is_reached) in ranges.iter_mut().zip(middles).zip(reached) {
                match is_reached {
                    true => range.1 = middle,
                    false => range.0 = middle.saturating_add(1).min(range.1),
                }
            }
        }
        Ok(ranges
            .into_iter()
            .map(|(low, _)| out_of_order(low))
            .collect())
    }

    /// A cut at the greatest value parts nothing, nor does one at the least where bins are closed below.
    async fn without_empty_bins(
        &mut self,
        rows: &Rows,
        cuts: &mut [Vec<f64>],
        stock: &mut Stock,
    ) -> Result<(), Stopped> {
        let is_right = self.closed().is_right();
        let end = |(term, cuts): (usize, &Vec<f64>)| {
            let end = if is_right { cuts.last() } else { cuts.first() };
            Some((term, *end?))
        };
        let ends: Vec<(usize, f64)> = cuts.iter().enumerate().filter_map(end).collect();
        if ends.is_empty() {
            return Ok(());
        }
        let beyond = |(term, cut): &(usize, f64)| {
            let is_beyond = |value: &f64| if is_right { value > cut } else { value < cut };
            self.ordinary(rows, *term).filter(is_beyond).count() as u64
        };
        let counts = ends.iter().map(beyond).collect();
        let ones = vec![1; ends.len()];
        let are_there = self.sums.probe(self.session, counts, ones, stock).await?;
        for ((term, _), is_there) in ends.into_iter().zip(are_there) {
            if !is_there {
                let cuts = &mut cuts[term];
                cuts.remove(if is_right { cuts.len() - 1 } else { 0 });
            }
        }
        Ok(())
    }

    /// Bads and goods over all holders, by term and bin; where there is a minimum only if each count reaches it.
    async fn counts(
        &mut self,
        rows: &Rows,
        cuts: &[Vec<f64>],
        stock: &mut Stock,
    ) -> Result<Vec<Vec<(f64, f64)>>, Stopped> {
        let card = self.of.scorecard.as_ref();
        let weighing = card.map(Weighing::of);
        let weighing = weighing.ok_or_else(|| internal("the plan has no scorecard"))?;
        let empty = |(term, cuts): (&Term, &Vec<f64>)| {
            let edges = self.bins(term, cuts.clone());
            let counts = vec![(0.0, 0.0); edges.n_bins()];
            BinnedFeature::new(&term.name, edges, counts, &weighing)
        };
        let mut features: Vec<BinnedFeature> = self.of.terms.iter().zip(cuts).map(empty).collect();
        for (row, label) in rows.labels().iter().enumerate() {
            for (feature, value) in features.iter_mut().zip(&rows.row(row)[1..]) {
                let bin = feature.edges.bin(*value);
                let (bads, goods) = &mut feature.counts[bin];
                *(if *label == 1.0 { bads } else { goods }) += 1.0;
            }
        }
        if !self.of.checks.is_empty() {
            self.check_bins(&features, stock).await?;
        }
        let terms = self.of.terms.iter().map(|term| self.of.bins_of(term));
        let most: Vec<usize> = terms.collect();
        let mut mine = Vec::new();
        for (feature, most) in features.iter().zip(&most) {
            let mut counts = feature.counts.clone();
            counts.resize(*most, (0.0, 0.0));
            mine.extend(counts.into_iter().flat_map(|(bad, good)| [bad, good]));
        }
        let mine = self.raw(&mine)?;
        let opened = self.open(Kinds::Bins, mine).await?;
        let mut rest = opened.as_slice();
        let mut counts = Vec::new();
        for (feature, most) in features.iter().zip(most) {
            let (here, after) = rest.split_at(2 * most);
            let pairs = here.chunks_exact(2).map(|pair| (pair[0], pair[1]));
            counts.push(pairs.take(feature.counts.len()).collect());
            rest = after;
        }
        Ok(counts)
    }

    /// No count of bads or of goods is opened unless all reach the minimum.
    async fn check_bins(
        &mut self,
        features: &[BinnedFeature],
        stock: &mut Stock,
    ) -> Result<(), Stopped> {
        let at_least = self.task.plan.min_cell.at_least;
        // Of special and missing values it is known that there are none, or enough.
        let counts = features
            .iter()
            .flat_map(|f| &f.counts[..f.edges.n_ordinary()]);
        let counts: Vec<u64> = counts.flat_map(|(b, g)| [*b as u64, *g as u64]).collect();
        let thresholds = vec![at_least; counts.len()];
        let mut reached = self
            .sums
            .probe(self.session, counts, thresholds, stock)
            .await?;
        let mut short = Vec::new();
        for feature in features {
            for bin in 0..feature.edges.n_ordinary() {
                let rest = reached.split_off(2);
                if reached.contains(&false) {
                    short.push(format!("{} {}", feature.name, feature.edges.label(bin)));
                }
                reached = rest;
            }
        }
        if short.is_empty() {
            return Ok(());
        }
        let what = format!(
            "over all holders fewer than {at_least} bads or goods are in the bin {}",
            short.join(", and in the bin ")
        );
        Err(together(
            what,
            "ask for fewer bins, or merge levels in rows",
        ))
    }
}

/// A value between two, as numpy computes it: from the nearer end.
pub(in crate::execute) fn between(low: f64, high: f64, part: f64) -> f64 {
    let width = high - low;
    match part < 0.5 {
        true => low + width * part,
        false => high - width * (1.0 - part),
    }
}

/// A double as a number of 64 bits in the same order; both zeros are one.
fn in_order(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    match bits >> 63 {
        0 => bits | 1 << 63,
        _ => !bits,
    }
}

fn out_of_order(code: u64) -> f64 {
    f64::from_bits(match code >> 63 {
        1 => code & !(1 << 63),
        _ => !code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_keep_their_order_as_numbers() {
        let values = [f64::MIN, -1.5, -5e-324, 0.0, 5e-324, 1.0, 1.5, f64::MAX];
        for pair in values.windows(2) {
            assert!(in_order(pair[0]) < in_order(pair[1]), "{pair:?}");
        }
        for value in values {
            assert_eq!(out_of_order(in_order(value)), value);
        }
        assert_eq!(in_order(-0.0), in_order(0.0));
    }
}
