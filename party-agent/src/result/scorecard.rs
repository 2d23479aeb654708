//! Features in bins: weights of evidence, information values and points, from counts of bads and goods.

use serde_json::{Value, json};

use super::merging;
use crate::spec::Scorecard;

/// A feature in bins, with what was counted in them.
#[derive(Clone, Debug, PartialEq)]
pub struct BinnedFeature {
    /// Its name.
    pub name: String,
    /// Of a number the values that part its bins, ascending: bin i is above cut i − 1 and up to cut i.
    pub cuts: Vec<f64>,
    /// Of a column of texts its levels, each a bin.
    pub levels: Vec<String>,
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
    /// Weights from counts. `zero` stands for a count of 0 in its own bin.
    #[must_use]
    pub fn new(
        name: &str,
        (cuts, levels): (Vec<f64>, Vec<String>),
        counts: Vec<(f64, f64)>,
        zero: f64,
    ) -> Self {
        let bads: f64 = counts.iter().map(|(bad, _)| bad).sum();
        let goods: f64 = counts.iter().map(|(_, good)| good).sum();
        let at_least = |count: f64| if count > 0.0 { count } else { zero };
        let weights = counts.iter().map(|(bad, good)| {
            if bad + good == 0.0 {
                return (0.0, 0.0);
            }
            let (bad, good) = (at_least(*bad) / bads, at_least(*good) / goods);
            let woe = (bad / good).ln();
            (woe, (bad - good) * woe)
        });
        let (woe, iv) = weights.unzip();
        Self {
            name: name.to_owned(),
            cuts,
            levels,
            counts,
            woe,
            iv,
            merged: Vec::new(),
        }
    }

    /// The same with neighbouring bins merged, but for the last `n_kept` ones; bins have texts if they have any before.
    #[must_use]
    pub fn with_merged(self, limits: (usize, f64), n_kept: usize, zero: f64) -> Self {
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
        let cuts = inner.filter_map(|group| self.cuts.get(group.end - 1).copied());
        let cuts: Vec<f64> = cuts.collect();
        Self {
            merged,
            ..Self::new(&self.name, (cuts, Vec::new()), counts, zero)
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

    /// The bin of a value: a number, or the number of a level.
    #[must_use]
    pub fn bin(&self, value: f64) -> usize {
        match self.levels.is_empty() {
            true => self.cuts.partition_point(|cut| *cut < value),
            false => value as usize,
        }
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

    /// A bin in words: `(1.5,3]`, `(3,inf]`, or a level.
    #[must_use]
    pub fn label(&self, bin: usize) -> String {
        if let Some(level) = self.levels.get(bin) {
            return level.clone();
        }
        let low = bin.checked_sub(1).and_then(|cut| self.cuts.get(cut));
        let low = low.map_or("-inf".to_owned(), f64::to_string);
        let high = self.cuts.get(bin).map_or("inf".to_owned(), f64::to_string);
        format!("({low},{high}]")
    }

    /// The feature's bins for the result. `per_woe` is what a weight of 1 costs in points, where it is in the model.
    fn described(&self, per_woe: Option<f64>) -> Value {
        let bin = |i: usize| {
            let (bad, good) = self.counts[i];
            json!({
                "bin": self.label(i),
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
            "cuts": self.cuts,
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
        "base_points": scale.base(intercept),
    });
    (Value::Array(features.collect()), told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_information_are_those_of_their_definition() {
        let counts = vec![(10.0, 90.0), (0.0, 50.0), (30.0, 20.0), (0.0, 0.0)];
        let feature = BinnedFeature::new("x", (vec![1.0, 2.0, 3.0], Vec::new()), counts, 0.5);
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
        assert_eq!([0.5, 1.0, 1.1, 9.0].map(|x| feature.bin(x)), [0, 0, 1, 3]);
        assert_eq!(feature.label(0), "(-inf,1]");
        assert_eq!(feature.label(3), "(3,inf]");
    }
}
