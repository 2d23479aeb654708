//! Rows of boosted trees in the clear: what their holder adds up of them, and where they go.

use zeroize::Zeroize;

use crate::glm::Family;

/// Rows in bins, for labels 0 and 1, and where they are in the tree that grows.
pub struct Rows {
    n_features: usize,
    n_bins: usize,
    /// Fractional bits of margins.
    margin_bits: u32,
    /// Row by row, the bin of each feature.
    bins: Vec<u8>,
    labels: Vec<bool>,
    margins: Vec<i64>,
    /// Of each row p − y and p·(1 − p).
    gradients: Vec<(f64, f64)>,
    /// The node of each row in the level that is reached.
    nodes: Vec<usize>,
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.bins.zeroize();
        self.labels.zeroize();
        self.margins.zeroize();
        self.gradients.zeroize();
        self.nodes.zeroize();
    }
}

impl Rows {
    /// No rows, of features with so many bins each.
    ///
    /// # Panics
    /// If there are more than 256 bins.
    #[must_use]
    pub fn new(n_features: usize, n_bins: usize, margin_bits: u32) -> Self {
        assert!(n_bins <= 256, "the number of a bin is a byte");
        Self {
            n_features,
            n_bins,
            margin_bits,
            bins: Vec::new(),
            labels: Vec::new(),
            margins: Vec::new(),
            gradients: Vec::new(),
            nodes: Vec::new(),
        }
    }

    /// Appends a row with its margin before the first tree.
    ///
    /// # Panics
    /// If there is not one bin for each feature, or a number is that of no bin.
    pub fn push(&mut self, bins: &[u8], label: bool, start: i64) {
        assert_eq!(bins.len(), self.n_features, "a bin for each feature");
        assert!(bins.iter().all(|bin| usize::from(*bin) < self.n_bins));
        self.bins.extend_from_slice(bins);
        self.labels.push(label);
        self.margins.push(start);
    }

    /// The labels.
    #[must_use]
    pub fn labels(&self) -> &[bool] {
        &self.labels
    }

    /// The margins of all rows, with the fractional bits of [`Rows::new`].
    #[must_use]
    pub fn margins(&self) -> &[i64] {
        &self.margins
    }

    /// Begins a tree: all rows are at its root.
    pub fn begin(&mut self) {
        let unit = 2f64.powi(-self.margin_bits.cast_signed());
        let gradient = |(margin, label): (&i64, &bool)| {
            let p = Family::Logistic.mean(*margin as f64 * unit);
            (p - f64::from(u8::from(*label)), p * (1.0 - p))
        };
        self.gradients = self
            .margins
            .iter()
            .zip(&self.labels)
            .map(gradient)
            .collect();
        self.nodes = vec![0; self.labels.len()];
    }

    /// The sums of both gradients by node, feature and bin.
    #[must_use]
    pub fn sums(&self, n_nodes: usize) -> Vec<(f64, f64)> {
        let n_cells = self.n_features * self.n_bins;
        let mut sums = vec![(0.0, 0.0); n_nodes * n_cells];
        let rows = self.bins.chunks_exact(self.n_features.max(1));
        for ((row, node), (g, h)) in rows.zip(&self.nodes).zip(&self.gradients) {
            let of_node = &mut sums[node * n_cells..][..n_cells];
            for (of_feature, bin) in of_node.chunks_exact_mut(self.n_bins).zip(row) {
                let sum = &mut of_feature[usize::from(*bin)];
                *sum = (sum.0 + g, sum.1 + h);
            }
        }
        sums
    }

    /// Every row goes to a child of its node: to the right where its bin of the node's feature is beyond the last one
    /// that goes to the left, and to the left in nodes that are not split.
    ///
    /// # Panics
    /// If there is not one entry for each node.
    pub fn go(&mut self, splits: &[Option<(usize, usize)>]) {
        let rows = self.bins.chunks_exact(self.n_features.max(1));
        for (row, node) in rows.zip(&mut self.nodes) {
            let is_right =
                splits[*node].is_some_and(|(feature, bin)| usize::from(row[feature]) > bin);
            *node = 2 * *node + usize::from(is_right);
        }
    }

    /// Ends a tree: every row's margin takes up the number of its leaf.
    ///
    /// # Panics
    /// If there is not one number for each leaf.
    pub fn take(&mut self, leaves: &[i64]) {
        for (margin, node) in self.margins.iter_mut().zip(&self.nodes) {
            *margin += leaves[*node];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_added_up_where_they_are() {
        let mut rows = Rows::new(2, 3, 4);
        for (bins, label) in [([0, 2], true), ([1, 2], false), ([2, 0], false)] {
            rows.push(&bins, label, 0);
        }
        rows.begin();
        let sums = rows.sums(1);
        assert_eq!(sums[..3], [(-0.5, 0.25), (0.5, 0.25), (0.5, 0.25)]);
        assert_eq!(sums[3..], [(0.5, 0.25), (0.0, 0.0), (0.0, 0.5)]);
        rows.go(&[Some((0, 0))]);
        assert_eq!(rows.sums(2)[6..9], [(0.0, 0.0), (0.5, 0.25), (0.5, 0.25)]);
        rows.go(&[None, Some((1, 1))]);
        rows.take(&[16, 1, -2, -32]);
        assert_eq!(rows.margins(), [16, -32, -2]);
        rows.begin();
        let p = 1.0 / (1.0 + (-1f64).exp());
        assert!((rows.sums(1)[0].0 - (p - 1.0)).abs() < 1e-12);
    }
}
