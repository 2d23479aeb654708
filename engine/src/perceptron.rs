//! Multilayer perceptrons for labels 0 and 1: dense layers with rectified units, and one unit with a sigmoid at the end.
//!
//! A holder trains on its own rows ([`Perceptron::train`]); what is made of several holders' weights is decided elsewhere.
//! Everything follows from the weights, the rows as a set, and a seed: rows are put in an order of their own before a seed
//! shuffles them, and no function of the C library is used, so that two runs agree bit for bit on any machine.
//!
//! Source: Rumelhart, Hinton and Williams, Nature 323, 1986; weights at the start: He et al., ICCV 2015, §2.2.

use crate::glm::Rows;
use crate::prg::{Prg, Seed};
use zeroize::Zeroize;

/// The sizes of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Perceptron {
    /// Values of a row, then units of each hidden layer, then 1.
    sizes: Vec<usize>,
}

/// How a holder trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// How often each row is met.
    pub epochs: u32,
    /// Rows of a step.
    pub batch: usize,
    /// A step is so much of the mean gradient.
    pub rate: f64,
}

/// A layer's place among the weights: n_out rows of n_in weights, then n_out biases.
#[derive(Clone, Copy)]
struct Layer {
    n_in: usize,
    n_out: usize,
    first: usize,
}

impl Perceptron {
    /// A network of rows with so many values, and hidden layers of so many units.
    ///
    /// # Panics
    /// If a layer has no unit.
    #[must_use]
    pub fn new(n_inputs: usize, hidden: &[usize]) -> Self {
        let mut sizes = vec![n_inputs];
        sizes.extend(hidden);
        sizes.push(1);
        assert!(sizes.iter().all(|n| *n > 0), "every layer has a unit");
        Self { sizes }
    }

    fn layers(&self) -> impl Iterator<Item = Layer> + use<'_> {
        let mut first = 0;
        self.sizes.windows(2).map(move |pair| {
            let (n_in, n_out) = (pair[0], pair[1]);
            let layer = Layer { n_in, n_out, first };
            first += (n_in + 1) * n_out;
            layer
        })
    }

    /// Weights and biases of all layers.
    #[must_use]
    pub fn n_weights(&self) -> usize {
        self.layers().map(|l| (l.n_in + 1) * l.n_out).sum()
    }

    /// The weights of each layer, a row of inputs for each unit, and its biases.
    #[must_use]
    pub fn split<'a>(&self, weights: &'a [f64]) -> Vec<(Vec<&'a [f64]>, &'a [f64])> {
        let of = |layer: Layer| {
            let (rows, biases) = layer.of(weights);
            (rows.chunks(layer.n_in).collect(), biases)
        };
        self.layers().map(of).collect()
    }

    /// Weights to begin with: uniform with a variance of 2/inputs, biases 0.
    #[must_use]
    pub fn start(&self, seed: &Seed) -> Vec<f64> {
        let mut prg = Prg::new(seed, 0);
        let mut weights = vec![0.0; self.n_weights()];
        for layer in self.layers() {
            let bound = (6.0 / layer.n_in as f64).sqrt();
            let end = layer.first + layer.n_in * layer.n_out;
            for weight in &mut weights[layer.first..end] {
                let unit = (prg.next_u64() >> 11) as f64 * 2f64.powi(-53);
                *weight = (2.0 * unit - 1.0) * bound;
            }
        }
        weights
    }

    /// The logit of each row, whose first column is left out: it is the constant of other models.
    ///
    /// # Panics
    /// If there are not [`Perceptron::n_weights`] weights, or rows of another width.
    #[must_use]
    pub fn scores(&self, weights: &[f64], rows: &Rows) -> Vec<f64> {
        let mut run = Run::new(self);
        let score = |row| run.forward(weights, &rows.row(row)[1..]);
        (0..rows.len()).map(score).collect()
    }

    /// Σ −ln of the probability of what came.
    ///
    /// # Panics
    /// As [`Perceptron::scores`].
    #[must_use]
    pub fn loss(&self, weights: &[f64], rows: &Rows) -> f64 {
        let scores = self.scores(weights, rows);
        let losses = scores.iter().zip(rows.labels());
        losses
            .map(|(eta, y)| eta.max(0.0) + ln_1p(exp(-eta.abs())) - y * eta)
            .sum()
    }

    /// Stochastic gradient descent: rows are shuffled by the seed before each epoch, and each batch makes a step. The last
    /// batch of an epoch may be smaller.
    ///
    /// # Panics
    /// As [`Perceptron::scores`], and if batches are empty.
    pub fn train(&self, weights: &mut [f64], rows: &Rows, how: Training, seed: &Seed) {
        assert!(how.batch > 0, "a batch has rows");
        let mut order = in_order(rows);
        let mut prg = Prg::new(seed, 0);
        let mut run = Run::new(self);
        let mut gradient = vec![0.0; weights.len()];
        for _ in 0..how.epochs {
            shuffle(&mut order, &mut prg);
            for batch in order.chunks(how.batch) {
                gradient.fill(0.0);
                for row in batch {
                    let (x, y) = (&rows.row(*row)[1..], rows.labels()[*row]);
                    let eta = run.forward(weights, x);
                    run.backward(weights, x, sigmoid(eta) - y, &mut gradient);
                }
                let rate = how.rate / batch.len() as f64;
                for (weight, slope) in weights.iter_mut().zip(&gradient) {
                    *weight -= rate * slope;
                }
            }
        }
        gradient.zeroize();
    }
}

impl Layer {
    fn of(self, weights: &[f64]) -> (&[f64], &[f64]) {
        let end = self.first + (self.n_in + 1) * self.n_out;
        weights[self.first..end].split_at(self.n_in * self.n_out)
    }
}

/// What a row is on its way through a network.
struct Run {
    layers: Vec<Layer>,
    /// What each layer gives.
    values: Vec<Vec<f64>>,
    /// The derivatives of the loss by what a layer adds up, of two neighbouring layers.
    slopes: [Vec<f64>; 2],
}

impl Drop for Run {
    fn drop(&mut self) {
        self.values.zeroize();
        self.slopes.zeroize();
    }
}

impl Run {
    fn new(of: &Perceptron) -> Self {
        let layers: Vec<Layer> = of.layers().collect();
        Self {
            values: layers.iter().map(|l| vec![0.0; l.n_out]).collect(),
            slopes: [Vec::new(), Vec::new()],
            layers,
        }
    }

    fn forward(&mut self, weights: &[f64], x: &[f64]) -> f64 {
        let n_layers = self.layers.len();
        for (k, layer) in self.layers.iter().enumerate() {
            let (before, values) = self.values.split_at_mut(k);
            let x = before.last().map_or(x, Vec::as_slice);
            assert_eq!(x.len(), layer.n_in, "a row has a value for each input");
            let (rows, biases) = layer.of(weights);
            let units = rows.chunks(layer.n_in).zip(biases);
            for (value, (row, bias)) in values[0].iter_mut().zip(units) {
                let sum = bias + dot(row, x);
                *value = if k + 1 < n_layers { sum.max(0.0) } else { sum };
            }
        }
        self.values[n_layers - 1][0]
    }

    /// Adds the derivatives by the weights, of a row that went forward.
    fn backward(&mut self, weights: &[f64], x: &[f64], slope: f64, gradient: &mut [f64]) {
        let [slopes, before] = &mut self.slopes;
        slopes.clear();
        slopes.push(slope);
        for (k, layer) in self.layers.iter().enumerate().rev() {
            let x = k.checked_sub(1).map_or(x, |k| self.values[k].as_slice());
            let end = layer.first + (layer.n_in + 1) * layer.n_out;
            let (rows, biases) = gradient[layer.first..end].split_at_mut(layer.n_in * layer.n_out);
            let of_units = slopes.iter().zip(rows.chunks_mut(layer.n_in)).zip(biases);
            for ((slope, row), bias) in of_units {
                row.iter_mut().zip(x).for_each(|(g, x)| *g += slope * x);
                *bias += slope;
            }
            if k == 0 {
                return;
            }
            before.clear();
            before.resize(layer.n_in, 0.0);
            let (rows, _) = layer.of(weights);
            for (slope, row) in slopes.iter().zip(rows.chunks(layer.n_in)) {
                before
                    .iter_mut()
                    .zip(row)
                    .for_each(|(b, w)| *b += slope * w);
            }
            // A unit at rest lets nothing through.
            for (slope, value) in before.iter_mut().zip(x) {
                *slope = if *value > 0.0 { *slope } else { 0.0 };
            }
            std::mem::swap(slopes, before);
        }
    }
}

/// The rows' numbers in the order of their values, whatever order they came in.
fn in_order(rows: &Rows) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let key = |row: usize| rows.row(row).iter().chain(&rows.labels()[row..=row]);
    order.sort_by(|a, b| {
        let pairs = key(*a).zip(key(*b));
        let mut compared = pairs.map(|(a, b)| a.total_cmp(b));
        compared
            .find(|found| found.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    order
}

/// Fisher and Yates.
fn shuffle(order: &mut [usize], prg: &mut Prg) {
    for last in (1..order.len()).rev() {
        let other = prg.next_bounded(last as u64 + 1) as usize;
        order.swap(last, other);
    }
}

/// Four running sums, always in the same order.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<4>();
    let (b, b_rest) = b.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
    rest.fold(sums[0] + sums[1] + (sums[2] + sums[3]), |sum, p| sum + p)
}

/// 1/(1 + e^−x).
fn sigmoid(x: f64) -> f64 {
    let e = exp(-x.abs());
    if x >= 0.0 {
        1.0 / (1.0 + e)
    } else {
        e / (1.0 + e)
    }
}

/// e^x of a number that is not positive, by additions and products alone: 2^k times a series of what is left of x.
fn exp(x: f64) -> f64 {
    const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    if x < -700.0 {
        return 0.0;
    }
    let k = (x * std::f64::consts::LOG2_E).round();
    let rest = (x - k * LN2_HIGH) - k * LN2_LOW;
    let series = (1..=14)
        .rev()
        .fold(1.0, |sum, n| 1.0 + rest / f64::from(n) * sum);
    let exponent = (1023 + k as i64).cast_unsigned();
    series * f64::from_bits(exponent << 52)
}

/// ln(1 + e) for e from 0 to 1: twice the series of artanh at e/(2 + e).
fn ln_1p(e: f64) -> f64 {
    let t = e / (2.0 + e);
    let square = t * t;
    let series = (0..18)
        .rev()
        .fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: usize) -> Rows {
        let mut prg = Prg::new(&Seed::from_bytes([5; 32]), 0);
        let mut unit = || prg.next_u64() as f64 / 2f64.powi(64);
        let mut rows = Rows::new(4);
        for _ in 0..n {
            let x = [
                1.0,
                unit() * 2.0 - 1.0,
                unit() * 2.0 - 1.0,
                unit() * 2.0 - 1.0,
            ];
            // No plane parts these.
            let is_one = (x[1] > 0.0) != (x[2] > 0.0);
            rows.push(&x, f64::from(u8::from(is_one)), None);
        }
        rows
    }

    #[test]
    fn functions_are_those_of_the_library() {
        for k in -6000..=0 {
            let x = f64::from(k) / 9.0;
            let (found, expected) = (exp(x), x.exp());
            assert!((found - expected).abs() <= 1e-15 * expected, "{x}");
            let e = f64::from(-k) / 6000.0;
            assert!((ln_1p(e) - e.ln_1p()).abs() < 1e-15, "{e}");
            assert!((sigmoid(-x) + sigmoid(x) - 1.0).abs() < 1e-15);
        }
        assert_eq!(exp(-1e9), 0.0);
    }

    /// A step is minus the rate times the derivatives of the mean loss.
    #[test]
    fn steps_go_down_the_slope() {
        let of = Perceptron::new(3, &[5, 4]);
        assert_eq!(of.n_weights(), 4 * 5 + 6 * 4 + 5);
        let rows = rows(50);
        let start = of.start(&Seed::from_bytes([1; 32]));
        let how = Training {
            epochs: 1,
            batch: 50,
            rate: 1.0,
        };
        let mut after = start.clone();
        of.train(&mut after, &rows, how, &Seed::from_bytes([2; 32]));
        for place in 0..start.len() {
            let at = |d: f64| {
                let mut weights = start.clone();
                weights[place] += d;
                of.loss(&weights, &rows) / 50.0
            };
            let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
            let step = start[place] - after[place];
            assert!((step - slope).abs() < 1e-6, "{place}: {step}, {slope}");
        }
    }

    #[test]
    fn what_no_plane_parts_is_learnt() {
        let of = Perceptron::new(3, &[12]);
        let rows = rows(800);
        let mut weights = of.start(&Seed::from_bytes([3; 32]));
        let how = Training {
            epochs: 60,
            batch: 16,
            rate: 0.2,
        };
        of.train(&mut weights, &rows, how, &Seed::from_bytes([4; 32]));
        let scores = of.scores(&weights, &rows);
        let right = scores.iter().zip(rows.labels());
        let n_right = right.filter(|(s, y)| (**s > 0.0) == (**y == 1.0)).count();
        assert!(n_right > 760, "{n_right} of 800");
    }

    /// The order in which rows were read does not show.
    #[test]
    fn rows_are_a_set() {
        let of = Perceptron::new(3, &[6]);
        let rows = rows(100);
        let mut turned = Rows::new(4);
        for row in (0..rows.len()).rev() {
            turned.push(rows.row(row), rows.labels()[row], None);
        }
        let how = Training {
            epochs: 3,
            batch: 7,
            rate: 0.1,
        };
        let trained = [&rows, &turned].map(|rows| {
            let mut weights = of.start(&Seed::from_bytes([6; 32]));
            of.train(&mut weights, rows, how, &Seed::from_bytes([7; 32]));
            weights
        });
        assert_eq!(trained[0], trained[1]);
        assert_ne!(trained[0], of.start(&Seed::from_bytes([6; 32])));
    }
}
