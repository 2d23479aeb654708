//! How far risks are from what came: log loss and Brier score.
//!
//! p is the logistic function of a row's score. A row costs −ln p if it is bad and −ln(1 − p) if it is good, and
//! (1 − p)² or p². The logarithm is taken of p or 1 − p and 2^−20, so that it has an argument above 0 where the
//! function is off by less.

use super::Shape;
use crate::arith::matmul as products;
use crate::arith::{copy, mul};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::function::fixed::{shift, shift_price};
use crate::function::{self, Format};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring;
use engine::share::Share;

/// How many figures are told.
pub(super) const N_FIGURES: usize = 2;

/// Fractional bits of risks that are added up or squared.
pub(super) const RISK_BITS: u32 = 20;

/// Fractional bits of risks whose logarithm is taken.
const LOSS_BITS: u32 = 24;

/// What is added to risks before the logarithm: 2^−20.
const LEAST_RISK: u64 = 1 << (LOSS_BITS - 20);

/// Means over the rows that count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// Of −ln p of what came.
    pub log_loss: f64,
    /// Of the squared difference between p and what came.
    pub brier: f64,
}

impl Losses {
    pub(super) fn of(figures: &[u64], n_rows: u64) -> Self {
        let mean = |bits: u32, sum: u64| {
            sum.cast_signed() as f64 * 2f64.powi(-bits.cast_signed()) / n_rows as f64
        };
        Self {
            log_loss: mean(LOSS_BITS, figures[0]),
            brier: mean(2 * RISK_BITS, figures[1]),
        }
    }
}

/// What comes of risks.
pub(super) struct Risks {
    /// Of rows that count, with [`RISK_BITS`]; if anything needs them.
    pub(super) of_rows: Option<Share<u64>>,
    /// Sums of losses, if they are asked for.
    pub(super) losses: Share<u64>,
}

impl Shape {
    fn format(&self) -> Format {
        Format {
            frac_bits: self.score_bits,
            bound_bits: self.score_bits + 12,
            method: self.method,
        }
    }

    /// From the scores' bits to those of losses.
    fn loss_shift(&self) -> i32 {
        self.score_bits.cast_signed() - LOSS_BITS.cast_signed()
    }
}

const RISK_SHIFT: i32 = (LOSS_BITS - RISK_BITS).cast_signed();

fn log_format(shape: &Shape) -> Format {
    Format {
        frac_bits: LOSS_BITS,
        bound_bits: LOSS_BITS + 1,
        method: shape.method,
    }
}

/// The risks of rows, marked as bad and good, and what they cost.
pub(super) async fn risks(
    session: &mut Session,
    (scores, [bad, good]): (&Share<u64>, [&Share<u64>; 2]),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Risks, ProtocolError> {
    if !shape.asks.has_risks() {
        return Ok(Risks {
            of_rows: None,
            losses: Share::zero(0),
        });
    }
    let n = shape.n_rows;
    let p = function::sigmoid(session, scores, shape.format(), stock).await?;
    let p = shift(session, p, shape.loss_shift(), stock).await?;
    let mut twice = copy(&p);
    twice.append(p);
    let mut marks = copy(bad);
    marks.append(copy(good));
    let mut of_bad = mul::mul(session, &marks, &twice, stock).await?;
    let of_good = of_bad.split_off(n);
    let mut of_rows = copy(&of_bad);
    of_rows.add_assign(&of_good);
    let of_rows = shift(session, of_rows, RISK_SHIFT, stock).await?;
    let losses = match shape.asks.losses {
        true => {
            // p of bad rows, 1 − p of good ones, 1 of those that do not count.
            of_bad.sub_assign(&of_good);
            let is_first = session.seat() == Seat(0);
            let own = |public: u64| if is_first { public } else { 0 };
            for (value, bad) in of_bad.as_mut_slice().iter_mut().zip(bad.as_slice()) {
                let rest = own(1).wrapping_sub(*bad) << LOSS_BITS;
                *value = value.wrapping_add(rest).wrapping_add(own(LEAST_RISK));
            }
            sums(session, (of_bad, bad), &of_rows, shape, stock).await?
        }
        false => Share::zero(0),
    };
    Ok(Risks {
        of_rows: Some(of_rows),
        losses,
    })
}

/// Σ −ln of what came, and Σ (y − p)².
async fn sums(
    session: &mut Session,
    (came, bad): (Share<u64>, &Share<u64>),
    of_rows: &Share<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let logs = function::log(session, &came, log_format(shape), stock).await?;
    let log_loss = ring::sum(logs.as_slice()).wrapping_neg();
    let mut residuals = copy(bad);
    residuals.scale_public(1 << RISK_BITS);
    residuals.sub_assign(of_rows);
    let mut sums = Share::new(vec![log_loss]);
    sums.append(products::dot(session, &residuals, &residuals, stock).await?);
    Ok(sums)
}

/// The declared price of [`risks`].
pub(super) fn price(seats: Seats, shape: &Shape) -> Price {
    if !shape.asks.has_risks() {
        return Price::nothing(seats);
    }
    let n = shape.n_rows;
    let price = function::sigmoid_price::<u64>(seats, n, shape.format())
        .then(&shift_price::<u64>(seats, n, shape.loss_shift()))
        .then(&mul::price::<u64>(seats, 2 * n))
        .then(&shift_price::<u64>(seats, n, RISK_SHIFT));
    if !shape.asks.losses {
        return price;
    }
    price
        .then(&function::log_price::<u64>(seats, n, log_format(shape)))
        .then(&products::price::<u64>(seats, products::dot_shape(n)))
}
