//! 1/x and x/y.

use super::Format;
use super::fixed::{constant, minus, mul_shift, mul_shift_price};
use super::normal::{self, Step, Windows, normalise};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;

/// 1/x of shared numbers.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares of x·2^f in (0, 2^b); takes [`reciprocal_price`]
/// # Output    n shares of 2^f/x, within the bound of the [module's table](super); of zero, zero
/// # Cost      [`reciprocal_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and the format
/// # Errors    [`ProtocolError::InvalidInput`] if the format does not fit the ring,
///   [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Catrina–Saxena, FC 2010, §3.4, with Newton's steps instead of Goldschmidt's: their
///   errors do not add up
pub async fn reciprocal<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    format: Format,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    session.ended_by(format.check::<R>())?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&reciprocal_price::<R>(seats, x.len(), format).needs))?;
    let windows = Windows::new(format, Step::One);
    let normal = normalise(session, x, format, windows, stock).await?;
    let w = format.working_bits::<R>();
    let y = newton(session, &normal.c, w, stock).await?;
    let v = normal.weighted(|window| R::ONE.shl(window));
    mul_shift(session, &y, &v, reciprocal_shift::<R>(format), stock).await
}

/// 1/x is v/(c·2^B) of integers, and 2^2f times that of numbers at scale f.
fn reciprocal_shift<R: Ring>(format: Format) -> i32 {
    let working = (format.bound_bits + format.working_bits::<R>()).cast_signed();
    working - 2 * format.frac_bits.cast_signed()
}

/// The declared price of [`reciprocal`] of n numbers.
pub fn reciprocal_price<R: StockedRing>(seats: Seats, n_items: usize, format: Format) -> Price {
    let w = format.working_bits::<R>();
    let windows = Windows::new(format, Step::One);
    normal::price::<R>(seats, n_items, format, windows)
        .then(&newton_price::<R>(seats, n_items, w))
        .then(&mul_shift_price::<R>(
            seats,
            n_items,
            reciprocal_shift::<R>(format),
        ))
}

/// x/y of shared numbers.
///
/// # Inputs    `x`: n shares of x·2^f in (−2^b, 2^b); `y`: n shares of y·2^f in (0, 2^b), where
///   2b + 3 ≤ k; takes [`divide_price`]
/// # Output    n shares of x/y·2^f, within the bound of the [module's table](super)
/// # Panics    if the lengths differ
///
/// Everything else is that of [`reciprocal`]. The dividend is multiplied in before the power of two
/// is, so that a small quotient of great numbers keeps its precision.
pub async fn divide<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    y: &Share<R>,
    format: Format,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    session.ended_by(format.check::<R>())?;
    if 2 * format.bound_bits + 3 > R::BITS {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "the bits of a dividend and a divisor fit the ring together, with three more",
        }));
    }
    let seats = Seats::of(session);
    session.ended_by(stock.check(&divide_price::<R>(seats, x.len(), format).needs))?;
    let windows = Windows::new(format, Step::One);
    let normal = normalise(session, y, format, windows, stock).await?;
    let w = format.working_bits::<R>();
    let inverse = newton(session, &normal.c, w, stock).await?;
    let quotient = mul_shift(session, x, &inverse, w.cast_signed(), stock).await?;
    let v = normal.weighted(|window| R::ONE.shl(window));
    mul_shift(session, &quotient, &v, divide_shift(format), stock).await
}

fn divide_shift(format: Format) -> i32 {
    format.bound_bits.cast_signed() - format.frac_bits.cast_signed()
}

/// The declared price of [`divide`] of n pairs.
pub fn divide_price<R: StockedRing>(seats: Seats, n_items: usize, format: Format) -> Price {
    let w = format.working_bits::<R>();
    let windows = Windows::new(format, Step::One);
    normal::price::<R>(seats, n_items, format, windows)
        .then(&newton_price::<R>(seats, n_items, w))
        .then(&mul_shift_price::<R>(seats, n_items, w.cast_signed()))
        .then(&mul_shift_price::<R>(seats, n_items, divide_shift(format)))
}

/// 2.9142 − 2c is 1/c within a relative error of 0.086 on [1/2, 1].
const START: f64 = 2.9142;

/// Each step squares the relative error: 7.4·10⁻³, 5.4·10⁻⁵, 2.9·10⁻⁹, 8.6·10⁻¹⁸. More are of no
/// use at the ring's working precision.
fn n_steps<R: Ring>() -> usize {
    match R::BITS {
        64 => 3,
        _ => 4,
    }
}

/// 1/c for c in [1/2, 1], all at `w` fractional bits: y ← y·(2 − c·y).
async fn newton<R: StockedRing>(
    session: &mut Session,
    c: &Share<R>,
    w: u32,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let mut y = minus(session, constant(START, w), c, 2);
    for _ in 0..n_steps::<R>() {
        let product = mul_shift(session, c, &y, w.cast_signed(), stock).await?;
        let factor = minus(session, constant(2.0, w), &product, 1);
        y = mul_shift(session, &y, &factor, w.cast_signed(), stock).await?;
    }
    Ok(y)
}

fn newton_price<R: StockedRing>(seats: Seats, n_items: usize, w: u32) -> Price {
    let product = mul_shift_price::<R>(seats, n_items, w.cast_signed());
    Price::sequence(seats, vec![product; 2 * n_steps::<R>()])
}
