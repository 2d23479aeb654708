//! Features that stay out of a scorecard because their weights follow too far from those of the others together.
//!
//! What each holder's rows add to the matrix of correlations of the weights is a share of it. Its inverse is found on shares as
//! that of a step's system is, and of the inverse the roots of the diagonal are opened, whose squares are the variance
//! inflation factors. The feature with the greatest one leaves, and so on until none has more than the job allows.

use engine::glm::{Rows, triangle};
use engine::share::Share;
use protocols::correlate::portions;
use protocols::train::pooled;

use super::{Fitting, Stopped, fixed, internal};
use crate::plan::{Kinds, Portions};
use crate::result::{BinnedFeature, LeftOut, Screened};

impl Fitting<'_> {
    /// Leaves features out whose inflation factors are greater than the job allows, one after the other. `features`: by falling
    /// information value, each with the number of its term; `is_kept`: which of them are left.
    pub(super) async fn without_inflated(
        &mut self,
        rows: &Rows,
        features: &[(usize, BinnedFeature)],
        is_kept: &mut [bool],
    ) -> Result<(), Stopped> {
        let Some(rule) = self.whole.inflation() else {
            return Ok(());
        };
        let most: f64 = rule.vif_max.parse().unwrap_or(f64::INFINITY);
        let own = products(rows, features, rule.intercept);
        loop {
            let kept: Vec<usize> = (0..features.len()).filter(|i| is_kept[*i]).collect();
            let name = |place: usize| features[kept[place]].1.name.clone();
            let (place, factor) = match self.inflations(&own, &kept).await? {
                Err(place) => (place, None),
                Ok(factors) => {
                    // Of equal ones that which tells less leaves.
                    let greatest = factors.iter().enumerate();
                    let greatest = greatest.max_by(|(_, a), (_, b)| a.total_cmp(b));
                    match greatest.filter(|(_, factor)| **factor > most) {
                        Some((place, factor)) => (place, Some(*factor)),
                        None => {
                            let all = factors.iter().enumerate();
                            self.inflations = all.map(|(i, vif)| (name(i), *vif)).collect();
                            return Ok(());
                        }
                    }
                }
            };
            is_kept[kept[place]] = false;
            self.left_out.push(Screened {
                feature: name(place),
                why: LeftOut::Inflated(factor),
            });
        }
    }

    /// Inflation factors of some features; or the place of one that is a combination of those before it.
    async fn inflations(
        &mut self,
        own: &[Vec<f64>],
        kept: &[usize],
    ) -> Result<Result<Vec<f64>, usize>, Stopped> {
        if kept.len() < 2 {
            return Ok(Ok(vec![1.0; kept.len()]));
        }
        let plan = self.task.plan;
        let method = plan.setting().method;
        let source = plan.source();
        let source = source.ok_or_else(|| internal("the plan names no correlations"))?;
        let portions = self.whole.portions(plan.n_seats(), method);
        let which = Portions::Inflations as usize;
        let mut stock = portions::next(self.session, &source, &portions, which).await?;
        let shape = self.whole.inflated(method);
        let is_first = self.session.seat().index() == 0;
        let system = system(own, kept, (shape.n_columns, is_first));
        let system = Share::new(self.fine(&system)?);
        let factors = pooled::factored(self.session, &system, &shape, &mut stock).await?;
        let sound = self.open_wide(Kinds::Sound, &factors.sound).await?[0];
        let sound = usize::try_from(sound).unwrap_or(usize::MAX);
        if sound < shape.n_columns {
            return match sound < kept.len() {
                true => Ok(Err(sound)),
                false => Err(internal("a unit matrix is sound").into()),
            };
        }
        let roots = pooled::inflations(self.session, &factors, &mut stock).await?;
        let roots = self.open_wide(Kinds::Inflations, &roots).await?;
        let point = fixed(pooled::STEP_BITS)?;
        let factor = |root: u128| point.decode(root.cast_signed()).powi(2);
        Ok(Ok(roots.into_iter().take(kept.len()).map(factor).collect()))
    }
}

/// This holder's part of the matrix of correlations of some features, the upper triangle row by row. Of features that have left
/// it is a unit matrix.
fn system(own: &[Vec<f64>], kept: &[usize], (n_columns, is_first): (usize, bool)) -> Vec<f64> {
    let mut all = Vec::with_capacity(triangle(n_columns));
    for i in 0..n_columns {
        for j in i..n_columns {
            all.push(match (kept.get(i), kept.get(j)) {
                (Some(a), Some(b)) => own[*a][*b],
                _ => f64::from(u8::from(is_first && i == j)),
            });
        }
    }
    all
}

/// What a holder's rows add to the mean products of all features' weights, in standard deviations about the mean, or in
/// root mean squares.
fn products(rows: &Rows, features: &[(usize, BinnedFeature)], has_constant: bool) -> Vec<Vec<f64>> {
    let n_rows: f64 = features.first().map_or(0.0, |(_, feature)| {
        feature.counts.iter().map(|(bad, good)| bad + good).sum()
    });
    let units = features.iter().map(|(_, feature)| {
        let (mean, deviation) = feature.spread();
        match has_constant {
            true => (mean, deviation),
            false => (0.0, mean.hypot(deviation)),
        }
    });
    let units: Vec<(f64, f64)> = units.collect();
    let mut sums = vec![vec![0.0; features.len()]; features.len()];
    let mut weights = vec![0.0; features.len()];
    for row in 0..rows.len() {
        let of_features = features.iter().zip(&units);
        for (weight, ((term, feature), (centre, unit))) in weights.iter_mut().zip(of_features) {
            let woe = feature.woe[feature.edges.bin(rows.row(row)[1 + term])];
            // Weights that are the same everywhere are in no model.
            *weight = if *unit > 0.0 {
                (woe - centre) / unit
            } else {
                0.0
            };
        }
        for (sums, weight) in sums.iter_mut().zip(&weights) {
            sums.iter_mut()
                .zip(&weights)
                .for_each(|(sum, other)| *sum += weight * other);
        }
    }
    sums.iter_mut().flatten().for_each(|sum| *sum /= n_rows);
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_that_have_left_are_a_unit_matrix_of_the_first_holder() {
        let own = vec![
            vec![1.0, 0.5, 0.25],
            vec![0.5, 2.0, 0.125],
            vec![0.25, 0.125, 3.0],
        ];
        let of = |is_first| system(&own, &[0, 2], (3, is_first));
        assert_eq!(of(true), [1.0, 0.25, 0.0, 3.0, 0.0, 1.0]);
        assert_eq!(of(false), [1.0, 0.25, 0.0, 3.0, 0.0, 0.0]);
    }
}
