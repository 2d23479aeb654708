//! Bins of a column, about equal in frequency.

/// Bins (a, b] of numbers, and one before them for missing values if there are any.
#[derive(Debug, PartialEq)]
pub struct Bins {
    /// Where all bins but the last one end.
    pub edges: Vec<f64>,
    /// Whether bin 0 is that of missing values.
    pub has_missing: bool,
}

impl Bins {
    /// At most so many bins of a column in which NaN stands for missing values.
    ///
    /// With few different values each has a bin. Otherwise values are taken in order until a bin has its part of the
    /// rows that are left, so that a value with many rows takes one by itself.
    #[must_use]
    pub fn of(column: &[f64], n_bins: usize) -> Self {
        let mut values: Vec<f64> = column.iter().copied().filter(|v| !v.is_nan()).collect();
        let has_missing = values.len() < column.len();
        values.sort_by(f64::total_cmp);
        let groups: Vec<&[f64]> = values.chunk_by(|a, b| a == b).collect();
        let n_bins = n_bins - usize::from(has_missing);
        let mut edges = Vec::new();
        let (mut rows_left, mut bins_left, mut rows) = (values.len(), n_bins, 0);
        for (at, group) in groups.iter().enumerate() {
            rows += group.len();
            let is_last = at + 1 == groups.len() || bins_left == 1;
            let is_full = groups.len() <= n_bins || rows * bins_left >= rows_left;
            if is_full && !is_last {
                edges.push(group[0]);
                rows_left -= rows;
                bins_left -= 1;
                rows = 0;
            }
        }
        Self { edges, has_missing }
    }

    /// The greatest number in a bin and those before it; `None` where there is none: missing values alone, or all.
    #[must_use]
    pub fn upper(&self, bin: usize) -> Option<f64> {
        let bin = bin.checked_sub(usize::from(self.has_missing))?;
        self.edges.get(bin).copied()
    }

    /// Whether no value is in a bin beyond this one.
    #[must_use]
    pub fn is_last(&self, bin: usize) -> bool {
        bin >= self.edges.len() + usize::from(self.has_missing)
    }

    /// The number of the bin of each value.
    #[must_use]
    pub fn numbers(&self, column: &[f64]) -> Vec<u64> {
        let first = u64::from(self.has_missing);
        let number = |value: &f64| match value.is_nan() {
            true => 0,
            false => first + self.edges.partition_point(|edge| edge < value) as u64,
        };
        column.iter().map(number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_have_a_bin_each() {
        let column = [3.0, 1.0, 1.0, 2.0];
        let bins = Bins::of(&column, 4);
        assert_eq!(bins.edges, [1.0, 2.0]);
        assert_eq!(bins.numbers(&column), [2, 0, 0, 1]);
        assert_eq!(bins.numbers(&[0.5, 1.5, 9.0]), [0, 1, 2]);
    }

    #[test]
    fn missing_values_come_first() {
        let column = [f64::NAN, 5.0, 7.0, 6.0];
        let bins = Bins::of(&column, 3);
        assert!(bins.has_missing);
        assert_eq!(bins.numbers(&column), [0, 1, 2, 1]);
        assert_eq!(
            [0, 1, 2].map(|bin| bins.upper(bin)),
            [None, Some(6.0), None]
        );
        assert_eq!([0, 1, 2].map(|bin| bins.is_last(bin)), [false, false, true]);
        assert_eq!(Bins::of(&[f64::NAN], 2).numbers(&[f64::NAN]), [0]);
        assert_eq!(Bins::of(&[], 2).edges, [0.0; 0]);
    }

    #[test]
    fn a_value_with_many_rows_has_its_own_bin() {
        let mut column = vec![0.0; 500];
        column.extend((1..=500).map(f64::from));
        let bins = Bins::of(&column, 6);
        let numbers = bins.numbers(&column);
        let rows = |bin: u64| numbers.iter().filter(|n| **n == bin).count();
        let counts: Vec<usize> = (0..6).map(rows).collect();
        assert_eq!(counts, [500, 100, 100, 100, 100, 100]);
    }
}
