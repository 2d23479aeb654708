//! Generalised linear models: the sums over rows that a fit by Newton's method takes.
//!
//! A holder adds up its own rows ([`Rows`]); what is added up over holders, and how a step follows from it, is decided
//! elsewhere. Rows are taken in blocks whose sums are added in their order, so a result does not depend on the number of
//! cores. [`solve`] has the small dense systems, [`newton`] the steps.
//!
//! Source: McCullagh and Nelder, "Generalized Linear Models", 2nd ed., 1989, §2.5.

pub mod solve;
pub mod newton;

use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Rows whose sums are made in one go: with 20 columns they fill a quarter of a second-level cache.
const BLOCK: usize = 1024;

/// How a label depends on the linear predictor η.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Normal, identity link.
    Linear,
    /// Binomial with labels 0 and 1, logit link.
    Logistic,
    /// Poisson, log link.
    Poisson,
    /// Gamma, log link.
    Gamma,
}

/// One holder's rows: a dense design, row by row, with labels and offsets. Wiped when it is dropped.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct Rows {
    n_columns: usize,
    x: Vec<f64>,
    y: Vec<f64>,
    /// Added to every linear predictor; empty for none.
    offset: Vec<f64>,
}

/// What one evaluation of a model adds up over rows.
#[derive(Clone, Debug, PartialEq, Zeroize, ZeroizeOnDrop)]
pub struct Sums {
    /// XᵀWX with the observed information's weights, the upper triangle row by row.
    pub information: Vec<f64>,
    /// The gradient of the log-likelihood, dispersion left out.
    pub gradient: Vec<f64>,
    /// The deviance.
    pub deviance: f64,
}

/// What is added up once a model is fitted.
#[derive(Clone, Debug, PartialEq, Zeroize, ZeroizeOnDrop)]
pub struct Fitted {
    /// Pearson's X².
    pub pearson: f64,
    /// What the likelihood has beside the deviance: Σ ln Γ(y + 1) − y ln y + y of Poisson, Σ ln y of gamma, else 0.
    pub constant: f64,
    /// Σ y/μ of gamma, else 0.
    pub ratio: f64,
    /// Xᵀ diag(r²) X of the gradient's residuals r, the upper triangle row by row.
    pub outer: Vec<f64>,
}

/// A family at one row.
struct Point {
    /// Of the observed information.
    weight: f64,
    /// The derivative of the log-likelihood by η.
    residual: f64,
    deviance: f64,
}

impl Family {
    fn at(self, eta: f64, y: f64) -> Point {
        let (weight, residual, deviance) = match self {
            Self::Linear => (1.0, y - eta, (y - eta).powi(2)),
            Self::Logistic => {
                // exp of a number that is not positive: neither tail overflows or cancels.
                let e = (-eta.abs()).exp();
                let mean = if eta >= 0.0 { 1.0 } else { e } / (1.0 + e);
                let softplus = eta.max(0.0) + e.ln_1p();
                (e / (1.0 + e).powi(2), y - mean, 2.0 * (softplus - y * eta))
            }
            Self::Poisson => {
                let mean = eta.exp();
                let log_term = if y > 0.0 { y * (y.ln() - eta) } else { 0.0 };
                (mean, y - mean, 2.0 * (log_term - (y - mean)))
            }
            Self::Gamma => {
                let ratio = y * (-eta).exp();
                let deviance = 2.0 * (ratio - 1.0 - (y.ln() - eta));
                (ratio, ratio - 1.0, deviance)
            }
        };
        Point {
            weight,
            residual,
            deviance,
        }
    }

    fn pearson(self, eta: f64, point: &Point) -> f64 {
        match self {
            Self::Linear | Self::Gamma => point.residual.powi(2),
            Self::Logistic => point.residual.powi(2) / point.weight,
            Self::Poisson => point.residual.powi(2) / eta.exp(),
        }
    }

    /// The mean of a label with this linear predictor.
    #[must_use]
    pub fn mean(self, eta: f64) -> f64 {
        match self {
            Self::Linear => eta,
            Self::Logistic => {
                let e = (-eta.abs()).exp();
                if eta >= 0.0 {
                    1.0 / (1.0 + e)
                } else {
                    e / (1.0 + e)
                }
            }
            Self::Poisson | Self::Gamma => eta.exp(),
        }
    }

    /// The linear predictor of a label with this mean.
    #[must_use]
    pub fn link(self, mean: f64) -> f64 {
        match self {
            Self::Linear => mean,
            Self::Logistic => (mean / (1.0 - mean)).ln(),
            Self::Poisson | Self::Gamma => mean.ln(),
        }
    }
}

impl Rows {
    /// No rows, of so many columns.
    #[must_use]
    pub fn new(n_columns: usize) -> Self {
        Self {
            n_columns,
            x: Vec::new(),
            y: Vec::new(),
            offset: Vec::new(),
        }
    }

    /// Appends a row. `offset` is given for every row or for none.
    ///
    /// # Panics
    /// If the row has another number of columns.
    pub fn push(&mut self, row: &[f64], y: f64, offset: Option<f64>) {
        assert_eq!(row.len(), self.n_columns, "columns of a row");
        self.x.extend_from_slice(row);
        self.y.push(y);
        self.offset.extend(offset);
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.y.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.y.is_empty()
    }

    /// The values of a row.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f64] {
        &self.x[row * self.n_columns..(row + 1) * self.n_columns]
    }

    /// The same rows with other columns, each made from all of a row's values.
    #[must_use]
    pub fn with_columns(&self, n_columns: usize, make: impl Fn(&[f64], &mut [f64])) -> Self {
        let mut x = vec![0.0; self.len() * n_columns];
        let rows = x.chunks_exact_mut(n_columns.max(1)).enumerate();
        rows.for_each(|(i, row)| make(self.row(i), row));
        Self {
            n_columns,
            x,
            y: self.y.clone(),
            offset: self.offset.clone(),
        }
    }

    /// The labels.
    #[must_use]
    pub fn labels(&self) -> &[f64] {
        &self.y
    }

    /// The offsets; empty where there are none.
    #[must_use]
    pub fn offsets(&self) -> &[f64] {
        &self.offset
    }

    /// Replaces every value by (value − shift)/scale, with a shift and a scale for each column.
    ///
    /// # Panics
    /// If there is not one of both for each column.
    pub fn standardise(&mut self, shifts: &[f64], scales: &[f64]) {
        assert_eq!(shifts.len(), self.n_columns, "a shift for each column");
        assert_eq!(scales.len(), self.n_columns, "a scale for each column");
        let n_columns = self.n_columns.max(1);
        self.x.par_chunks_mut(BLOCK * n_columns).for_each(|block| {
            for row in block.chunks_exact_mut(n_columns) {
                for ((value, shift), scale) in row.iter_mut().zip(shifts).zip(scales) {
                    *value = (*value - shift) / scale;
                }
            }
        });
    }

    /// The same for labels.
    pub fn standardise_labels(&mut self, shift: f64, scale: f64) {
        for y in &mut self.y {
            *y = (*y - shift) / scale;
        }
    }

    /// Of each column the sum of (value − centre)^power.
    #[must_use]
    pub fn moments(&self, centres: &[f64], power: i32) -> Vec<f64> {
        let blocks = self.blocks(|rows, sums: &mut Vec<f64>| {
            sums.resize(self.n_columns, 0.0);
            for (x, ..) in rows {
                for ((sum, value), centre) in sums.iter_mut().zip(x).zip(centres) {
                    *sum += (value - centre).powi(power);
                }
            }
        });
        added(self.n_columns, blocks)
    }

    /// The linear predictor of every row.
    #[must_use]
    pub fn predictors(&self, coefficients: &[f64]) -> Vec<f64> {
        let blocks = self.blocks(|rows, eta: &mut Vec<f64>| {
            eta.extend(rows.map(|(x, _, offset)| dot(x, coefficients) + offset));
        });
        blocks.concat()
    }

    /// Adds up a model at these coefficients; `None` where a sum is not finite.
    #[must_use]
    pub fn evaluate(&self, family: Family, coefficients: &[f64]) -> Option<Sums> {
        let n = self.n_columns;
        let n_pairs = triangle(n);
        let blocks = self.blocks(|rows, sums: &mut Vec<f64>| {
            sums.resize(n_pairs + n + 1, 0.0);
            let (pairs, rest) = sums.split_at_mut(n_pairs);
            let (gradient, deviance) = rest.split_at_mut(n);
            for (x, y, offset) in rows {
                let point = family.at(dot(x, coefficients) + offset, y);
                add_outer(pairs, x, point.weight);
                add_scaled(gradient, x, point.residual);
                deviance[0] += point.deviance;
            }
        });
        let all = finite(added(n_pairs + n + 1, blocks))?;
        Some(Sums {
            information: all[..n_pairs].to_vec(),
            gradient: all[n_pairs..n_pairs + n].to_vec(),
            deviance: all[n_pairs + n],
        })
    }

    /// Adds up what a report wants of a fitted model; `None` where a sum is not finite.
    #[must_use]
    pub fn fitted(&self, family: Family, coefficients: &[f64]) -> Option<Fitted> {
        let n_pairs = triangle(self.n_columns);
        let blocks = self.blocks(|rows, sums: &mut Vec<f64>| {
            sums.resize(n_pairs + 3, 0.0);
            let (pairs, rest) = sums.split_at_mut(n_pairs);
            for (x, y, offset) in rows {
                let eta = dot(x, coefficients) + offset;
                let point = family.at(eta, y);
                add_outer(pairs, x, point.residual.powi(2));
                rest[0] += family.pearson(eta, &point);
                match family {
                    Family::Poisson => {
                        let peak = if y > 0.0 { y * (y.ln() - 1.0) } else { 0.0 };
                        rest[1] += ln_gamma(y + 1.0) - peak;
                    }
                    Family::Gamma => {
                        rest[1] += y.ln();
                        rest[2] += point.weight;
                    }
                    Family::Linear | Family::Logistic => {}
                }
            }
        });
        let all = finite(added(n_pairs + 3, blocks))?;
        Some(Fitted {
            pearson: all[n_pairs],
            constant: all[n_pairs + 1],
            ratio: all[n_pairs + 2],
            outer: all[..n_pairs].to_vec(),
        })
    }

    /// XᵀX without weights, the upper triangle row by row; `None` where a sum is not finite.
    #[must_use]
    pub fn cross_products(&self) -> Option<Vec<f64>> {
        let n_pairs = triangle(self.n_columns);
        let blocks = self.blocks(|rows, pairs: &mut Vec<f64>| {
            pairs.resize(n_pairs, 0.0);
            for (x, ..) in rows {
                add_outer(pairs, x, 1.0);
            }
        });
        finite(added(n_pairs, blocks))
    }

    /// Something of every block of rows, in their order: rows as values, label and offset.
    fn blocks<T: Default + Send>(
        &self,
        work: impl Fn(&mut dyn Iterator<Item = (&[f64], f64, f64)>, &mut T) + Sync,
    ) -> Vec<T> {
        let n_blocks = self.y.len().div_ceil(BLOCK);
        let block = |i: usize| {
            let rows = i * BLOCK..self.y.len().min((i + 1) * BLOCK);
            let mut rows = rows.map(|row| {
                let x = &self.x[row * self.n_columns..(row + 1) * self.n_columns];
                let offset = self.offset.get(row).copied().unwrap_or(0.0);
                (x, self.y[row], offset)
            });
            let mut done = T::default();
            work(&mut rows, &mut done);
            done
        };
        (0..n_blocks).into_par_iter().map(block).collect()
    }
}

/// Numbers in the upper triangle of a symmetric matrix.
#[must_use]
pub fn triangle(n_columns: usize) -> usize {
    n_columns * (n_columns + 1) / 2
}

fn added(n_sums: usize, blocks: Vec<Vec<f64>>) -> Vec<f64> {
    let mut total = vec![0.0; n_sums];
    for block in blocks {
        add_scaled(&mut total, &block, 1.0);
    }
    total
}

fn finite(values: Vec<f64>) -> Option<Vec<f64>> {
    values.iter().all(|v| v.is_finite()).then_some(values)
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn add_scaled(sums: &mut [f64], x: &[f64], factor: f64) {
    for (sum, x) in sums.iter_mut().zip(x) {
        *sum += factor * x;
    }
}

/// Adds weight · x xᵀ to an upper triangle.
fn add_outer(pairs: &mut [f64], x: &[f64], weight: f64) {
    let mut rest = pairs;
    for (i, value) in x.iter().enumerate() {
        let (row, after) = rest.split_at_mut(x.len() - i);
        add_scaled(row, &x[i..], weight * value);
        rest = after;
    }
}

/// ln Γ(x) for x > 0, by Stirling's series from 10 upwards: good to a few units of the last place.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 10.0 {
        product *= x;
        x += 1.0;
    }
    // B_2k / (2k (2k−1)), Abramowitz and Stegun 6.1.40.
    const SERIES: [f64; 7] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
    ];
    let series = SERIES.iter().rev().fold(0.0, |sum, c| sum / (x * x) + c) / x;
    let half_ln_tau = 0.5 * std::f64::consts::TAU.ln();
    (x - 0.5) * x.ln() - x + half_ln_tau + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let mut rows = Rows::new(2);
        for i in 0..3000 {
            let x = f64::from(i % 17) / 4.0 - 2.0;
            let y = f64::from(u8::from(i % 5 < 2));
            rows.push(&[1.0, x], y, Some(0.1));
        }
        rows
    }

    #[test]
    fn logarithms_of_factorials_are_right() {
        let mut sum: f64 = 0.0;
        for n in 1..200 {
            let x = f64::from(n);
            assert!((ln_gamma(x) - sum).abs() <= 4e-15 * sum.max(1.0), "{n}");
            sum += x.ln();
        }
        let half = std::f64::consts::PI.sqrt().ln();
        assert!((ln_gamma(0.5) - half).abs() < 1e-14);
    }

    /// The gradient is the derivative of −deviance/2, and the information that of −gradient.
    #[test]
    fn derivatives_fit_each_other() {
        for family in [
            Family::Linear,
            Family::Logistic,
            Family::Poisson,
            Family::Gamma,
        ] {
            let mut rows = rows();
            if family == Family::Gamma {
                rows.standardise_labels(-0.25, 1.0);
            }
            let at = [0.2, -0.3];
            let here = rows.evaluate(family, &at).expect("finite");
            for column in 0..2 {
                let step = 1e-5;
                let moved = |sign: f64| {
                    let mut at = at;
                    at[column] += sign * step;
                    rows.evaluate(family, &at).expect("finite")
                };
                let (up, down) = (moved(1.0), moved(-1.0));
                let slope = (down.deviance - up.deviance) / (4.0 * step);
                let gradient = here.gradient[column];
                assert!(
                    (slope - gradient).abs() < 1e-4 * gradient.abs().max(1.0),
                    "{family:?}"
                );
                let curve = (down.gradient[column] - up.gradient[column]) / (2.0 * step);
                let information = here.information[[0, 2][column]];
                assert!(
                    (curve - information).abs() < 1e-5 * information,
                    "{family:?}"
                );
            }
        }
    }

    #[test]
    fn sums_do_not_depend_on_the_number_of_cores() {
        let pool = |n| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(n)
                .build()
                .expect("a pool")
        };
        let sums = |n| pool(n).install(|| rows().evaluate(Family::Logistic, &[0.3, 0.7]));
        assert_eq!(sums(1), sums(3));
    }

    #[test]
    fn what_overflows_is_no_sum() {
        assert!(rows().evaluate(Family::Poisson, &[1000.0, 0.0]).is_none());
    }
}
