//! √x and 1/√x.

use super::Format;
use super::fixed::{constant, minus, mul_shift, mul_shift_price, polynomial, polynomial_price};
use super::normal::{self, Normal, Step, Windows, normalise};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;

/// The quadratic polynomial closest to 1/√c on [1/4, 1], relative error 0.024 (Remez).
const START: [f64; 3] = [2.670_835_388_8, -3.285_356_619_2, 1.638_567_867_5];

/// Each step takes the relative error e to 1.5·e²: 8.7·10⁻⁴, 1.1·10⁻⁶, 2·10⁻¹², 6·10⁻²⁴.
fn n_steps<R: Ring>() -> usize {
    match R::BITS {
        64 => 3,
        _ => 4,
    }
}

/// √x of shared numbers.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares of x·2^f in [0, 2^b); takes [`sqrt_price`]
/// # Output    n shares of √x·2^f, within the bound of the [module's table](super)
/// # Cost      [`sqrt_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and the format
/// # Errors    as [`reciprocal`](super::reciprocal)
/// # Source    normalisation: Catrina–Saxena, FC 2010; Newton's steps for 1/√c: folklore
pub async fn sqrt<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    format: Format,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    session.ended_by(format.check::<R>())?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&sqrt_price::<R>(seats, x.len(), format).needs))?;
    let (normal, y) = inverse_root(session, x, format, stock).await?;
    let w = format.working_bits::<R>();
    let root = mul_shift(session, &normal.c, &y, w.cast_signed(), stock).await?;
    let last = Windows::new(format, Step::Two).count() - 1;
    let power = normal.weighted(|window| R::ONE.shl(last - window));
    mul_shift(session, &root, &power, sqrt_shift::<R>(format), stock).await
}

/// √x is √c·2^(B/2 − window) of integers, and 2^(f/2) times that at scale f.
fn sqrt_shift<R: Ring>(format: Format) -> i32 {
    let windows = Windows::new(format, Step::Two);
    let unscaled = format.working_bits::<R>() + windows.count() - 1;
    unscaled.cast_signed() - ((windows.top + format.frac_bits) / 2).cast_signed()
}

/// The declared price of [`sqrt`] of n numbers.
pub fn sqrt_price<R: StockedRing>(seats: Seats, n_items: usize, format: Format) -> Price {
    let w = format.working_bits::<R>().cast_signed();
    inverse_root_price::<R>(seats, n_items, format)
        .then(&mul_shift_price::<R>(seats, n_items, w))
        .then(&mul_shift_price::<R>(
            seats,
            n_items,
            sqrt_shift::<R>(format),
        ))
}

/// 1/√x of shared numbers.
///
/// # Inputs    `x`: n shares of x·2^f in (0, 2^b); takes [`rsqrt_price`]
/// # Output    n shares of 2^f/√x, within the bound of the [module's table](super); of zero, zero
///
/// Everything else is that of [`sqrt`].
pub async fn rsqrt<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    format: Format,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    session.ended_by(format.check::<R>())?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&rsqrt_price::<R>(seats, x.len(), format).needs))?;
    let (normal, y) = inverse_root(session, x, format, stock).await?;
    let power = normal.weighted(|window| R::ONE.shl(window));
    mul_shift(session, &y, &power, rsqrt_shift::<R>(format), stock).await
}

/// 1/√x is y·2^(window − B/2) of integers, and 2^(3f/2) times that at scale f.
fn rsqrt_shift<R: Ring>(format: Format) -> i32 {
    let (f, top) = (
        format.frac_bits.cast_signed(),
        Windows::new(format, Step::Two).top.cast_signed(),
    );
    format.working_bits::<R>().cast_signed() - f - (f - top) / 2
}

/// The declared price of [`rsqrt`] of n numbers.
pub fn rsqrt_price<R: StockedRing>(seats: Seats, n_items: usize, format: Format) -> Price {
    inverse_root_price::<R>(seats, n_items, format).then(&mul_shift_price::<R>(
        seats,
        n_items,
        rsqrt_shift::<R>(format),
    ))
}

/// x normalised to c in [1/4, 1), and 1/√c: y ← y·(3 − c·y²)/2.
async fn inverse_root<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    format: Format,
    stock: &mut Stock,
) -> Result<(Normal<R>, Share<R>), ProtocolError> {
    let windows = Windows::new(format, Step::Two);
    let normal = normalise(session, x, format, windows, stock).await?;
    let w = format.working_bits::<R>();
    let mut y = polynomial(session, &normal.c, &START, w, stock).await?;
    for _ in 0..n_steps::<R>() {
        let square = mul_shift(session, &y, &y, w.cast_signed(), stock).await?;
        let product = mul_shift(session, &normal.c, &square, w.cast_signed(), stock).await?;
        let factor = minus(session, constant(3.0, w), &product, 1);
        y = mul_shift(session, &y, &factor, w.cast_signed() + 1, stock).await?;
    }
    Ok((normal, y))
}

fn inverse_root_price<R: StockedRing>(seats: Seats, n_items: usize, format: Format) -> Price {
    let windows = Windows::new(format, Step::Two);
    let w = format.working_bits::<R>();
    let product = |n_bits: u32| mul_shift_price::<R>(seats, n_items, n_bits.cast_signed());
    let step = product(w).then(&product(w)).then(&product(w + 1));
    normal::price::<R>(seats, n_items, format, windows)
        .then(&polynomial_price::<R>(seats, n_items, START.len() - 1, w))
        .then(&Price::sequence(seats, vec![step; n_steps::<R>()]))
}
