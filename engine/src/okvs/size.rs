//! How many columns a store has: enough for its keys but for a chance of 2^−σ.

use crate::params::{OKVS_CLUSTER_KEYS, OKVS_SPARE_DENSE, OKVS_WEIGHT, STATISTICAL_BITS};

/// The size of a store: a function of the number of keys, the same on both sides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    n_keys: usize,
    n_clusters: usize,
    /// Most keys of any cluster.
    load: usize,
    sparse: usize,
    dense: usize,
}

impl Size {
    /// A store for `n_keys` keys that cannot be encoded with probability 2^−σ, σ = 40.
    ///
    /// # Panics
    ///
    /// Over 2^31 keys.
    pub fn new(n_keys: usize) -> Self {
        Self::insecure_with(n_keys, OKVS_CLUSTER_KEYS, STATISTICAL_BITS)
    }

    /// The same for another σ and other clusters: for tests that measure how often encoding fails.
    ///
    /// # Panics
    ///
    /// Over 2^31 keys.
    pub fn insecure_with(n_keys: usize, cluster_keys: usize, statistical_bits: usize) -> Self {
        assert!(n_keys < 1 << 31, "places of keys are 32 bits");
        let n_clusters = n_keys.div_ceil(cluster_keys).max(1);
        // A cluster may be overfull, or its rows may not fit together: each has half the chance. And
        // every cluster may fail, so each must fail less often.
        let half = statistical_bits + 1;
        let load = cluster_load(n_keys, n_clusters, half).max(1);
        let lambda = half as f64 + (n_clusters as f64).log2();
        let w = (OKVS_WEIGHT as f64).log2();
        let constant = 0.093 * w.powi(3) - 1.01 * w.powi(2) + 2.925 * w - 0.133;
        let slope = (0.555 * (load as f64).log2() + constant).exp2();
        let expansion = (lambda + 9.2 + 1.223 * slope) / slope;
        let sparse = ((expansion * load as f64).ceil() as usize).max(OKVS_WEIGHT);
        let gap = (lambda / (sparse as f64).log2()).floor() as usize;
        Self {
            n_keys,
            n_clusters,
            load,
            sparse,
            dense: gap + OKVS_SPARE_DENSE,
        }
    }

    /// Most keys that can be stored.
    pub const fn n_keys(&self) -> usize {
        self.n_keys
    }

    /// Length of the store.
    pub const fn columns(&self) -> usize {
        self.n_clusters * self.cluster_columns()
    }

    pub(super) const fn n_clusters(&self) -> usize {
        self.n_clusters
    }

    pub(super) const fn load(&self) -> usize {
        self.load
    }

    pub(super) const fn cluster_columns(&self) -> usize {
        self.sparse + self.dense
    }

    pub(super) const fn sparse_columns(&self) -> usize {
        self.sparse
    }

    pub(super) const fn dense_columns(&self) -> usize {
        self.dense
    }
}

/// The smallest load that any of the clusters exceeds with probability at most 2^−σ.
///
/// Probabilities of a binomial distribution are made from each other by their ratios and divided by
/// their sum: with additions, multiplications and divisions alone, all machines agree.
fn cluster_load(n_keys: usize, n_clusters: usize, statistical_bits: usize) -> usize {
    if n_clusters == 1 {
        return n_keys;
    }
    let (n, odds) = (n_keys as f64, 1.0 / (n_clusters as f64 - 1.0));
    let ratio = |k: usize| (n - k as f64) / (k as f64 + 1.0) * odds;
    const NEGLIGIBLE: f64 = 1e-60;
    let mode = n_keys / n_clusters;
    let (mut below, mut weight) = (0.0, 1.0);
    for k in (0..mode).rev() {
        weight /= ratio(k);
        below += weight;
        if weight < NEGLIGIBLE {
            break;
        }
    }
    let mut above = vec![1.0];
    for k in mode..n_keys {
        let next = above[k - mode] * ratio(k);
        if next < NEGLIGIBLE {
            break;
        }
        above.push(next);
    }
    let total: f64 = below + above.iter().sum::<f64>();
    let allowed = total / n_clusters as f64 / (1u64 << statistical_bits) as f64;
    let mut tail = 0.0;
    for (excess, weight) in above.iter().enumerate().rev() {
        tail += weight;
        if tail > allowed {
            return mode + excess;
        }
    }
    mode
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed independently, with logarithms of factorials for the loads. CRYPTO §3.1 has a table of
    /// the same formulas with somewhat higher loads.
    #[test]
    fn sizes_are_those_of_an_independent_computation() {
        for (log_n, log_cluster, clusters, load, dense, ratio) in [
            (20, 14, 64, 17_371, 5, 1.349_365),
            (20, 15, 32, 34_132, 4, 1.308_747),
            (20, 16, 16, 67_407, 4, 1.281_051),
            (24, 15, 512, 34_217, 5, 1.314_514),
        ] {
            let size = Size::insecure_with(1 << log_n, 1 << log_cluster, 40);
            assert_eq!(size.n_clusters, clusters);
            assert_eq!(
                (size.load, size.dense),
                (load, dense),
                "2^{log_n}, 2^{log_cluster}"
            );
            let columns = size.columns() as f64 / f64::from(1 << log_n);
            assert!((columns - ratio).abs() < 1e-6, "{columns} columns a key");
        }
    }

    #[test]
    fn every_number_of_keys_has_a_size() {
        for n_keys in (0..100).chain([1 << 10, 1 << 15, (1 << 15) + 1, 1 << 22]) {
            let size = Size::new(n_keys);
            assert!(size.load * size.n_clusters >= n_keys, "{n_keys} keys");
            assert!(size.sparse >= size.load.max(3), "{n_keys} keys");
            assert!(size.dense >= OKVS_SPARE_DENSE, "{n_keys} keys");
        }
    }
}
