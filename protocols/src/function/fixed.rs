//! Products and polynomials of fixed-point numbers.

use crate::arith::{mul, trunc};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::fixed::FixedPoint;
use engine::ring::{self, Ring};
use engine::share::Share;

/// A public real number with `frac_bits` fractional bits.
pub(super) fn constant<R: Ring>(value: f64, frac_bits: u32) -> R {
    let format = FixedPoint::new(frac_bits).expect("a scale is less than the ring's bits");
    let scaled = format.encode(value).expect("a constant is a number");
    R::from_signed(scaled).expect("a constant fits the ring")
}

/// Adds a public number to every element.
pub(crate) fn add_public<R: Ring>(session: &Session, x: &mut Share<R>, value: R) {
    if session.seat() == Seat(0) {
        crate::arith::add_to_all(x, value);
    }
}

/// x·y/2^s, up to one unit more than rounded down; for s < 0 a product with 2^−s.
pub(crate) async fn mul_shift<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    y: &Share<R>,
    n_bits: i32,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let product = mul::mul(session, x, y, stock).await?;
    shift(session, product, n_bits, stock).await
}

pub(crate) fn mul_shift_price<R: StockedRing>(seats: Seats, n: usize, n_bits: i32) -> Price {
    mul::price::<R>(seats, n).then(&shift_price::<R>(seats, n, n_bits))
}

/// x/2^s, up to one unit more than rounded down; for s < 0 a product with 2^−s.
pub(crate) async fn shift<R: StockedRing>(
    session: &mut Session,
    mut x: Share<R>,
    n_bits: i32,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    if n_bits <= 0 {
        x.scale_public(R::ONE.shl(n_bits.unsigned_abs()));
        return Ok(x);
    }
    trunc::probabilistic(session, &x, n_bits.unsigned_abs(), stock).await
}

pub(crate) fn shift_price<R: StockedRing>(seats: Seats, n: usize, n_bits: i32) -> Price {
    trunc::price::<R>(seats, n, n_bits.max(0).unsigned_abs())
}

/// Σ c_i·t^i for |t| ≤ 1, all at `w` fractional bits.
///
/// Powers double at each level: t^(h+1) to t^(2h) are t^h times t^1 to t^h. The sum is truncated once.
pub(super) async fn polynomial<R: StockedRing>(
    session: &mut Session,
    t: &Share<R>,
    coefficients: &[f64],
    w: u32,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let n_items = t.len();
    let degree = coefficients.len() - 1;
    let mut powers = crate::arith::copy(t);
    let mut n_powers = 1;
    for n_new in new_powers(degree) {
        let highest = &powers.as_slice()[(n_powers - 1) * n_items..];
        let left: Vec<R> = (0..n_new).flat_map(|_| highest).copied().collect();
        let right = powers.as_slice()[..n_new * n_items].to_vec();
        let (left, right) = (Share::new(left), Share::new(right));
        powers.append(mul_shift(session, &left, &right, w.cast_signed(), stock).await?);
        n_powers += n_new;
    }
    let mut sum = Share::zero(n_items);
    // The constant term stands at the scale of a product, like the others.
    let first: R = constant(coefficients[0], w);
    add_public(session, &mut sum, first.shl(w));
    for (power, c) in coefficients[1..].iter().enumerate() {
        let power = &powers.as_slice()[power * n_items..][..n_items];
        ring::add_scaled(sum.as_mut_slice(), power, constant(*c, w));
    }
    shift(session, sum, w.cast_signed(), stock).await
}

pub(super) fn polynomial_price<R: StockedRing>(
    seats: Seats,
    n_items: usize,
    degree: usize,
    w: u32,
) -> Price {
    let w = w.cast_signed();
    let powers = new_powers(degree).map(|n| mul_shift_price::<R>(seats, n * n_items, w));
    Price::sequence(seats, powers).then(&shift_price::<R>(seats, n_items, w))
}

/// How many powers each level adds, up to the one that is needed.
fn new_powers(degree: usize) -> impl Iterator<Item = usize> {
    let have = std::iter::successors(Some(1), |have| Some(2 * have));
    have.take_while(move |have| *have < degree)
        .map(move |have: usize| have.min(degree - have))
}

/// c − factor·x, for public c.
pub(super) fn minus<R: Ring>(session: &Session, c: R, x: &Share<R>, factor: u64) -> Share<R> {
    let mut out = crate::arith::copy(x);
    ring::scale(out.as_mut_slice(), R::from_u64(factor).wrapping_neg());
    add_public(session, &mut out, c);
    out
}
