//! Which features stay out of a scorecard: those that tell little, whose values are often missing, or that go together with
//! one that tells more.

use engine::glm::Rows;
use engine::share::Share;
use protocols::correlate::Stock;
use protocols::train::correlated::{self, SUM_BITS};

use super::{Fitting, Stopped, internal, together};
use crate::plan::Kinds;
use crate::result::{BinnedFeature, LeftOut, Screened};
use crate::spec::{Missing, Scorecard};

/// Pairs of features, by the numbers of their terms, that go together.
pub(super) struct Together(Vec<[usize; 2]>);

impl Together {
    fn contains(&self, a: usize, b: usize) -> bool {
        self.0.contains(&[a.min(b), a.max(b)])
    }
}

impl Fitting<'_> {
    /// Opens which features have weights that go together more than the job allows. `features`: in the order of terms.
    pub(super) async fn together(
        &mut self,
        rows: &Rows,
        features: &[(usize, BinnedFeature)],
        stock: &mut Stock,
    ) -> Result<Together, Stopped> {
        let Some(shape) = self.whole.correlated(self.task.plan.setting().method) else {
            return Ok(Together(Vec::new()));
        };
        let most = self.whole.correlation_max();
        let most: f64 = most.and_then(|most| most.parse().ok()).unwrap_or(1.0);
        let n_rows: f64 = features.first().map_or(0.0, |(_, feature)| {
            feature.counts.iter().map(|(bad, good)| bad + good).sum()
        });
        let scale = 2f64.powi(SUM_BITS.cast_signed());
        let sums = products(rows, features).into_iter();
        // Their sizes are at most the number of rows, which the shape bounds, by the inequality of Cauchy and Schwarz.
        let sums = sums.map(|sum| ((sum * scale).round() as i64).cast_unsigned());
        let sums = Share::new(sums.collect());
        let limit = most * n_rows;
        let beyond = correlated::beyond(self.session, &sums, limit, &shape, stock).await?;
        let beyond = self.open_shares(Kinds::Correlated, &beyond).await?;
        let found = pairs(features.len()).zip(beyond);
        let found = found.filter_map(|(pair, is)| (is == 1).then_some(pair));
        Ok(Together(found.collect()))
    }

    /// Which of the features, by falling information value, stay in the model, and why the others do not.
    pub(super) fn screened(
        &self,
        features: &[(usize, BinnedFeature)],
        together: &Together,
    ) -> Result<(Vec<bool>, Vec<Screened>), Stopped> {
        let card = self.of.scorecard.as_ref();
        let card = card.ok_or_else(|| internal("the plan has no scorecard"))?;
        let least: f64 = card.iv_least.parse().unwrap_or(0.0);
        let most_missing = card.screen.as_ref().and_then(|s| s.missing_max.as_ref());
        let most_missing: f64 = most_missing.and_then(|m| m.parse().ok()).unwrap_or(1.0);
        let mut kept: Vec<usize> = Vec::new();
        let (mut is_kept, mut left) = (Vec::new(), Vec::new());
        for (i, (term, feature)) in features.iter().enumerate() {
            let column = &self.of.columns[self.of.terms[*term].column];
            let missing = match column.missing == Some(Missing::Bin) {
                true => missing_part(feature),
                false => 0.0,
            };
            let before = kept
                .iter()
                .find(|k| together.contains(features[**k].0, *term));
            let why = if feature.information() < least || feature.spread().1 <= 0.0 {
                Some(LeftOut::TellsLittle(feature.information()))
            } else if missing > most_missing {
                Some(LeftOut::Missing(missing))
            } else {
                before.map(|k| LeftOut::GoesWith(features[*k].1.name.clone()))
            };
            is_kept.push(why.is_none());
            match why {
                None => kept.push(i),
                Some(why) => left.push(Screened {
                    feature: feature.name.clone(),
                    why,
                }),
            }
        }
        Ok((is_kept, left))
    }
}

/// A fit for which no feature is left.
pub(super) fn none_left(card: &Scorecard, left: &[Screened]) -> Stopped {
    let tell_little = |f: &Screened| matches!(f.why, LeftOut::TellsLittle(_));
    if left.iter().all(tell_little) {
        let least = &card.iv_least;
        let what = format!("no feature has an information value of {least} or more");
        let name = match card.screen {
            Some(_) => "iv_min",
            None => "iv_least",
        };
        return together(what, &format!("lower {name}, or bring other features"));
    }
    let names = left.iter().filter(|f| !tell_little(f));
    let names: Vec<&str> = names.map(|f| f.feature.as_str()).collect();
    let what = format!(
        "no feature stays in the model: the value of {} is missing too often, and others tell too little",
        names.join(", ")
    );
    together(what, "raise missing_max, or bring other features")
}

/// The share of rows in the bin of missing values, which is the last one.
fn missing_part(feature: &BinnedFeature) -> f64 {
    let rows = |counts: &[(f64, f64)]| counts.iter().map(|(bad, good)| bad + good).sum::<f64>();
    let last = feature.counts.len().saturating_sub(1);
    rows(&feature.counts[last..]) / rows(&feature.counts).max(1.0)
}

/// All pairs of so many features, the first number below the second.
fn pairs(n: usize) -> impl Iterator<Item = [usize; 2]> {
    (0..n).flat_map(move |a| (a + 1..n).map(move |b| [a, b]))
}

/// Of all pairs what a holder's rows add to the sum of products of their weights, in standard deviations.
fn products(rows: &Rows, features: &[(usize, BinnedFeature)]) -> Vec<f64> {
    let spreads: Vec<(f64, f64)> = features.iter().map(|(_, f)| f.spread()).collect();
    let mut sums = vec![0.0; pairs(features.len()).count()];
    let mut weights = vec![0.0; features.len()];
    for row in 0..rows.len() {
        let of_features = features.iter().zip(&spreads);
        for (weight, ((term, feature), (mean, deviation))) in weights.iter_mut().zip(of_features) {
            let woe = feature.woe[feature.edges.bin(rows.row(row)[1 + term])];
            // Weights that are the same everywhere go with nothing.
            *weight = match *deviation > 0.0 {
                true => (woe - mean) / deviation,
                false => 0.0,
            };
        }
        for (sum, [a, b]) in sums.iter_mut().zip(pairs(features.len())) {
            *sum += weights[a] * weights[b];
        }
    }
    sums
}
