//! How far rows of other samples are spread over the bins of a scorecard's features otherwise than those that are fitted.

use engine::glm::Rows;
use engine::share::Share;
use protocols::correlate::Stock;
use protocols::train::evaluate::characteristics;

use super::{Fitting, Stopped, internal};
use crate::plan::Kinds;
use crate::result::{BinnedFeature, Stable};

impl Fitting<'_> {
    /// Opens the index of each feature, if the job asks for it. `features`: with the numbers of their terms, in order.
    pub(super) async fn compare_spreads(
        &mut self,
        (rows, kept): (&Rows, &Rows),
        features: &[(usize, BinnedFeature)],
        stock: &mut Stock,
    ) -> Result<(), Stopped> {
        let Some(shape) = self.whole.spreads(self.task.plan.setting().method) else {
            return Ok(());
        };
        let n_bins: usize = shape.bins.iter().sum();
        // What a holder counts of its own rows is its share of what all have.
        let mut counts = vec![vec![0u64; n_bins]; 1 + shape.n_samples];
        count(&mut counts, rows, |_| 0, (features, &shape.bins));
        let sample_of = |row: usize| 1 + usize::from(self.is_oot.get(row) == Some(&true));
        count(&mut counts, kept, sample_of, (features, &shape.bins));
        let counts = Share::new(counts.concat());
        let indices = characteristics::indices(self.session, &counts, &shape, stock).await?;
        let opened = self.open_shares(Kinds::Characteristics, &indices).await?;
        let told = shape.told(&opened);
        let told = told.ok_or_else(|| internal("an index of each feature was opened"))?;
        let stable = features
            .iter()
            .enumerate()
            .map(|(place, (_, feature))| Stable {
                feature: feature.name.clone(),
                samples: told.iter().map(|sample| sample[place]).collect(),
            });
        self.stable = stable.collect();
        Ok(())
    }
}

/// Counts rows by bin, each in the sample that is its.
fn count(
    counts: &mut [Vec<u64>],
    rows: &Rows,
    sample_of: impl Fn(usize) -> usize,
    (features, bins): (&[(usize, BinnedFeature)], &[usize]),
) {
    for row in 0..rows.len() {
        let counts = &mut counts[sample_of(row)];
        let mut first = 0;
        for ((term, feature), n_bins) in features.iter().zip(bins) {
            let bin = feature.edges.bin(rows.row(row)[1 + term]);
            counts[first + bin] += 1;
            first += n_bins;
        }
    }
}
