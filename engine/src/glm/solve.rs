//! Small symmetric systems, solved by Cholesky's method with a check for dependent columns.

use super::triangle;

/// A column is a combination of those before it where less than this of its square is its own. Rounding leaves some
/// 1e-15 of an exact combination, and a column with a variance inflation of 10^9 still passes.
pub const LEAST_PIVOT: f64 = 1e-12;

/// A positive definite matrix, factored.
#[derive(Clone, Debug)]
pub struct Factor {
    n: usize,
    /// The lower triangle row by row, of the matrix with ones on its diagonal.
    lower: Vec<f64>,
    /// Roots of the diagonal.
    scales: Vec<f64>,
}

/// This column is a combination of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependent {
    /// Which column.
    pub column: usize,
}

impl Factor {
    /// Factors a symmetric matrix, given as its upper triangle row by row.
    ///
    /// # Errors
    /// [`Dependent`]: the first column that is a combination of those before it.
    ///
    /// # Panics
    /// If there are not as many numbers as a triangle has.
    pub fn new(upper: &[f64], n: usize) -> Result<Self, Dependent> {
        assert_eq!(upper.len(), triangle(n), "a triangle");
        // Row i of the upper triangle begins after i rows of n, n−1, ….
        let at = |i: usize, j: usize| upper[i * n - i * (i + 1) / 2 + j];
        let scales: Vec<f64> = (0..n).map(|i| at(i, i).sqrt()).collect();
        let mut lower = vec![0.0; triangle(n)];
        for i in 0..n {
            let is_positive = scales[i].is_finite() && scales[i] > 0.0;
            if !is_positive {
                return Err(Dependent { column: i });
            }
            for j in 0..=i {
                let below = |k: usize| lower[triangle(i) + k] * lower[triangle(j) + k];
                let sum: f64 = (0..j).map(below).sum();
                let rest = at(j, i) / (scales[i] * scales[j]) - sum;
                lower[triangle(i) + j] = if i > j {
                    rest / lower[triangle(j) + j]
                } else if rest > LEAST_PIVOT {
                    rest.sqrt()
                } else {
                    return Err(Dependent { column: i });
                };
            }
        }
        Ok(Self { n, lower, scales })
    }

    /// The x with Ax = b.
    ///
    /// # Panics
    /// If b has another length.
    #[must_use]
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        assert_eq!(b.len(), self.n, "a number for each row");
        let mut x: Vec<f64> = b.iter().zip(&self.scales).map(|(b, s)| b / s).collect();
        let at = |i: usize, j: usize| self.lower[triangle(i) + j];
        for i in 0..self.n {
            let sum: f64 = (0..i).map(|k| at(i, k) * x[k]).sum();
            x[i] = (x[i] - sum) / at(i, i);
        }
        for i in (0..self.n).rev() {
            let sum: f64 = (i + 1..self.n).map(|k| at(k, i) * x[k]).sum();
            x[i] = (x[i] - sum) / at(i, i);
        }
        x.iter_mut().zip(&self.scales).for_each(|(x, s)| *x /= s);
        x
    }

    /// The inverse, row by row.
    #[must_use]
    pub fn inverse(&self) -> Vec<Vec<f64>> {
        let unit = |i: usize| {
            let mut e = vec![0.0; self.n];
            e[i] = 1.0;
            e
        };
        (0..self.n).map(|i| self.solve(&unit(i))).collect()
    }
}

/// A symmetric matrix from its upper triangle, row by row.
#[must_use]
pub fn square(upper: &[f64], n: usize) -> Vec<Vec<f64>> {
    let at = |i: usize, j: usize| upper[i * n - i * (i + 1) / 2 + j];
    let row = |i: usize| (0..n).map(|j| at(i.min(j), i.max(j))).collect();
    (0..n).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_solved_whatever_their_scales() {
        let upper = [4e10, 2e5, -6e2, 5.0, 0.001, 9.0];
        let factor = Factor::new(&upper, 3).expect("definite");
        let inverse = factor.inverse();
        let matrix = square(&upper, 3);
        for (i, row) in matrix.iter().enumerate() {
            for j in 0..3 {
                let product: f64 = (0..3).map(|k| row[k] * inverse[k][j]).sum();
                let unit = f64::from(u8::from(i == j));
                let scale = (matrix[i][i] / matrix[j][j]).sqrt();
                assert!(
                    (product - unit).abs() < 1e-13 * scale.max(1.0),
                    "{i} {j}: {product}"
                );
            }
        }
    }

    #[test]
    fn a_column_that_depends_on_others_is_named() {
        // Columns a, b, a + b and another one, over four rows.
        let rows = [
            [1.0, 2.0, 3.0, 0.5],
            [0.0, 1.0, 1.0, 2.0],
            [3.0, -1.0, 2.0, 0.1],
            [1.0, 1.0, 2.0, 7.0],
        ];
        let mut upper = Vec::new();
        for i in 0..4 {
            for j in i..4 {
                upper.push(rows.iter().map(|r| r[i] * r[j]).sum());
            }
        }
        assert_eq!(Factor::new(&upper, 4).err(), Some(Dependent { column: 2 }));
        assert_eq!(
            Factor::new(&[1.0, 0.0, 0.0], 2).err(),
            Some(Dependent { column: 1 })
        );
    }
}
