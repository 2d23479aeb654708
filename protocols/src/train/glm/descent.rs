//! Logistic models by stochastic gradient descent in small batches: for many columns, where Newton's systems are large.
//!
//! ```text
//! once        the columns of each batch are opened under two masks, one for each product with them
//! each step   z = X_B·w, p = σ(z), g = X_B'·(y − p) over the rows of a batch, w ← w + η/B·g
//! ```
//!
//! Rows never change, so what masks them is sent once for all epochs ([`cached`](crate::arith::matmul)); a step opens d and B
//! masked numbers beside what the functions take. Batches are rows in the order in which they stand, which after a join is
//! that of hashes; they are the same in each epoch. Rows that do not count add nothing to a batch, and B is the number of
//! its places: a step is as much smaller as rows are missing.
//!
//! Weights have 36 fractional bits and are read at 26 bits. Nothing is opened but masked numbers; coefficients are shares.

use super::{BETA_BITS, COLUMN_BITS, Family, Fitted, RESULT_BITS, Rows, Shape, low, transposed};
use crate::arith::matmul::{Cached, cache, cache_price, cached_cost};
use crate::arith::{convert, copy, mul};
use crate::correlate::{MatrixShape, Stock};
use crate::error::ProtocolError;
use crate::function::fixed::{shift, shift_price};
use crate::function::{self};
use crate::price::{Price, Seats};
use crate::resume::Course;
use crate::session::Session;
use engine::ring;
use engine::share::Share;
use std::ops::Range;

/// Fractional bits of weights between steps.
const WEIGHT_BITS: u32 = 36;

/// How many fractional bits of a gradient are dropped before it is multiplied with the rate: what is left fits the ring
/// with 12 bits of rate.
const GRADIENT_SHIFT: i32 = 10;

/// Fractional bits of the learning rate.
pub const RATE_BITS: u32 = 20;

/// How batches are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descent {
    /// How often each row is met.
    pub epochs: u32,
    /// B: rows of a batch; the last one may have fewer.
    pub batch: usize,
    /// η, with [`RATE_BITS`].
    pub rate: u32,
}

impl Descent {
    /// Checks that a model can be fitted so.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self, shape: &Shape) -> Result<(), ProtocolError> {
        let is_fit = shape.family == Family::Logistic
            && !shape.has_offset
            && !shape.is_penalised
            && (1..=1000).contains(&self.epochs)
            && (1..=1 << 16).contains(&self.batch)
            && (1..=8 << RATE_BITS).contains(&self.rate);
        match is_fit {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "descent is for logistic models without offset and penalty, in 1 to 1000 epochs of batches of at most 65536 rows, at a rate of at most 8",
            }),
        }
    }

    /// The batches of so many rows.
    fn batches(&self, n_rows: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let batch = self.batch;
        (0..n_rows.div_ceil(batch)).map(move |k| k * batch..((k + 1) * batch).min(n_rows))
    }

    /// η/B as m·2^−e with m of 12 bits, unless it is smaller.
    fn step(&self) -> (u64, i32) {
        let rate = f64::from(self.rate) * 2f64.powi(-RATE_BITS.cast_signed()) / self.batch as f64;
        let mut e = 4;
        while rate * 2f64.powi(e) < 2048.0 && e < 60 {
            e += 1;
        }
        ((rate * 2f64.powi(e)).round() as u64, e)
    }

    /// How far a gradient times m is shifted.
    fn step_shift(&self, shape: &Shape) -> i32 {
        let gradient = (COLUMN_BITS + shape.family.label_bits()).cast_signed() - GRADIENT_SHIFT;
        gradient + self.step().1 - WEIGHT_BITS.cast_signed()
    }
}

/// The products with the columns of a batch of so many rows, for all epochs: with the weights, and with the residuals. A fit that
/// goes on leaves those of the epochs before.
fn shapes(n_rows: usize, shape: &Shape, how: &Descent) -> [MatrixShape; 2] {
    let (m, d) = (how.epochs as usize, shape.n_columns);
    let forward = MatrixShape { m, k: d, n: n_rows };
    let backward = MatrixShape { m, k: n_rows, n: d };
    [forward, backward]
}

/// Fits a model by descent.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `rows`: as `shape` says, without offsets and penalties; `course`: as of [`fit`](super::fit), of weights and epochs;
///   takes [`descend_price`]
/// # Output    [`Fitted`]: standard errors and the decrement are 0, all columns count as sound
/// # Cost      [`descend_price`]: 32·n·d bytes to each other seat once, and for each batch of each epoch 8·(d + B) bytes
///   beside a sigmoid of B numbers and the truncations
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. Nothing is opened
/// # Errors    [`ProtocolError::InvalidInput`] if shape and rows do not fit, [`ProtocolError::OutOfCorrelations`] before
///   anything is sent, [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Mohassel–Zhang, S&P 2017, §4.2 and Figure 4; CRYPTO §4.2
pub async fn descend(
    session: &mut Session,
    rows: &Rows,
    (shape, how): (&Shape, &Descent),
    course: &mut Course<'_>,
    stock: &mut Stock,
) -> Result<Fitted, ProtocolError> {
    let outcome = shape
        .check()
        .and_then(|()| how.check(shape))
        .and_then(|()| rows.check(shape));
    session.ended_by(outcome)?;
    let price = descend_price(Seats::of(session), shape, how);
    session.ended_by(stock.check(&price.needs))?;
    let epochs = (shape.n_done, how.epochs);
    let begun = course.begun(session, epochs, shape.n_columns).await?;
    // A share over Z_2^128 is one over Z_2^64 in its lower half.
    let begun = begun.as_ref().map(low);
    let mut batches = Vec::new();
    for places in how.batches(shape.n_rows) {
        batches.push(Batch::masked(session, rows, places, (shape, how), stock).await?);
    }
    let mut weights = begun.unwrap_or_else(|| Share::zero(shape.n_columns));
    for epoch in shape.n_done..how.epochs {
        session.reaches("epoch", epoch, how.epochs);
        for batch in &mut batches {
            let change = batch.step(session, &weights, (shape, how), stock).await?;
            weights.add_assign(&change);
        }
        course
            .reached((epoch + 1, how.epochs), || wide(&weights))
            .await;
    }
    let mut coefficients = convert::widen(session, &weights, shape.method, stock).await?;
    coefficients.scale_public(1 << (RESULT_BITS - WEIGHT_BITS));
    let mut sound = [Share::zero(1), Share::zero(1)];
    for sound in &mut sound {
        sound.add_public(session.seat().index(), &[shape.n_columns as u128]);
    }
    Ok(Fitted {
        coefficients,
        errors: Share::zero(shape.n_columns),
        decrement: Share::zero(1),
        first: None,
        squares: None,
        sound,
        n_used: Share::new(vec![ring::sum(rows.used.as_slice())]),
    })
}

/// A share over Z_2^64 as a checkpoint keeps it: in the lower halves.
fn wide(weights: &Share<u64>) -> Share<u128> {
    Share::new(weights.as_slice().iter().map(|w| u128::from(*w)).collect())
}

/// Rows that make a step together.
struct Batch {
    used: Share<u64>,
    labels: Share<u64>,
    /// The columns, column by column and row by row.
    forward: Cached,
    backward: Cached,
}

impl Batch {
    async fn masked(
        session: &mut Session,
        rows: &Rows,
        places: Range<usize>,
        (shape, how): (&Shape, &Descent),
        stock: &mut Stock,
    ) -> Result<Self, ProtocolError> {
        let (n_rows, d) = (places.len(), shape.n_columns);
        let part = |of: &Share<u64>| Share::new(of.as_slice()[places.clone()].to_vec());
        let cells = places.start * d..places.end * d;
        let by_row = Share::new(rows.columns.as_slice()[cells].to_vec());
        let by_column = transposed(&by_row, n_rows, d);
        let [forward, backward] = shapes(n_rows, shape, how);
        Ok(Self {
            used: part(&rows.used),
            labels: part(&rows.labels),
            forward: cache(session, by_column, forward, stock).await?,
            backward: cache(session, by_row, backward, stock).await?,
        })
    }

    /// What a step adds to the weights.
    async fn step(
        &mut self,
        session: &mut Session,
        weights: &Share<u64>,
        (shape, how): (&Shape, &Descent),
        stock: &mut Stock,
    ) -> Result<Share<u64>, ProtocolError> {
        let short = shift(session, copy(weights), READ_SHIFT, stock).await?;
        let eta = self.forward.times(session, &short).await?;
        let eta = shift(session, eta, shape.predictor_shift(), stock).await?;
        let p = function::sigmoid(session, &eta, shape.predictor_format(), stock).await?;
        let own = mul::mul(session, &self.used, &p, stock).await?;
        let mut residuals = copy(&self.labels);
        residuals.sub_assign(&own);
        let gradient = self.backward.times(session, &residuals).await?;
        let mut gradient = shift(session, gradient, GRADIENT_SHIFT, stock).await?;
        gradient.scale_public(how.step().0);
        shift(session, gradient, how.step_shift(shape), stock).await
    }
}

const READ_SHIFT: i32 = (WEIGHT_BITS - BETA_BITS).cast_signed();

/// The declared price of [`descend`].
pub fn descend_price(seats: Seats, shape: &Shape, how: &Descent) -> Price {
    let d = shape.n_columns;
    let masked = |n_rows: usize| {
        let [forward, backward] = shapes(n_rows, shape, how);
        cache_price(seats, forward).then(&cache_price(seats, backward))
    };
    let step = |n_rows: usize| {
        shift_price::<u64>(seats, d, READ_SHIFT)
            .then(&cached_cost(seats, d))
            .then(&shift_price::<u64>(seats, n_rows, shape.predictor_shift()))
            .then(&function::sigmoid_price::<u64>(
                seats,
                n_rows,
                shape.predictor_format(),
            ))
            .then(&crate::arith::mul::price::<u64>(seats, n_rows))
            .then(&cached_cost(seats, n_rows))
            .then(&shift_price::<u64>(seats, d, GRADIENT_SHIFT))
            .then(&shift_price::<u64>(seats, d, how.step_shift(shape)))
    };
    // All batches but the last have one size.
    let (whole, rest) = (shape.n_rows / how.batch, shape.n_rows % how.batch);
    let sizes = || std::iter::repeat_n(how.batch, whole).chain((rest > 0).then_some(rest));
    let (of_whole, of_rest) = (step(how.batch), step(rest.max(1)));
    let epoch = sizes().map(|n| {
        if n == how.batch {
            of_whole.clone()
        } else {
            of_rest.clone()
        }
    });
    let epoch = Price::sequence(seats, epoch);
    let epochs = (shape.n_done..how.epochs).map(|_| epoch.clone());
    Price::sequence(seats, sizes().map(masked))
        .then(&Price::sequence(seats, epochs))
        .then(&convert::widen_price(seats, d, shape.method))
}
