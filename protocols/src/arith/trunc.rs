//! Truncation: from a product at scale 2^(2f) back to 2^f.
//!
//! Nothing here truncates shares locally. That is wrong by 2^(k−f) with a probability that grows with
//! the value, for two seats, and simply wrong for more.

use super::compare::{self, Method};
use super::convert;
use crate::correlate::{RingNeeds, Stock, StockedRing, Truncs};
use crate::error::ProtocolError;
use crate::lanes::{self, Layout};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;
use std::ops::Range;

/// Divides shared numbers by 2^f, rounding down or up.
///
/// With r from the stock, c = x + 2^(k−2) + r is opened, and the low k−1 bits are shifted in the clear
/// at one side and in the stock at the other; whether they overflowed follows from the top bits.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares over Z_2^k of numbers in [−2^(k−2), 2^(k−2)); `frac_bits`: f; takes n of
///   the stock's truncations by f
/// # Output    n shares of ⌊x/2^f⌋ + e with e in {0, 1}: the error is below one unit, always. No
///   number in the range gives anything else
/// # Cost      1 round; n ring elements to each other seat; [`price`]. Nothing if f = 0
/// # Security  semi-honest, all but one seat may be corrupt; reveals n. e is 1 exactly if
///   x mod 2^f > c mod 2^f: whoever learns the result learns how x's cut-off part compares with a
///   public random threshold. Harmless inside a computation; for what is revealed use [`exact`]
/// # Errors    [`ProtocolError::InvalidInput`] if f > k − 3,
///   [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Escudero, Ghosh, Keller, Rachuri, Scholl, CRYPTO 2020 (2020/338), §5.1
pub async fn probabilistic<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    frac_bits: u32,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    R::truncate(session, x, frac_bits, stock).await
}

pub(super) async fn probabilistic_over<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    frac_bits: u32,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    session.ended_by(check_frac_bits::<R>(frac_bits))?;
    if frac_bits == 0 {
        return Ok(super::copy(x));
    }
    let mut truncs = session.ended_by(stock.batch_truncs::<R>(frac_bits, x.len()))?;
    let mut quotient = Share::zero(x.len());
    let is_first = session.seat() == Seat(0);
    let offset = if is_first {
        R::ONE.shl(R::BITS - 2)
    } else {
        R::ZERO
    };
    let mask = |lanes: Range<usize>, out: &mut [R], _: &mut [u64]| {
        let truncs = truncs.next(lanes.len());
        let own = x.as_slice()[lanes].iter();
        for (out, (x, r)) in out.iter_mut().zip(own.zip(truncs.r.as_slice())) {
            *out = x.wrapping_add(*r).wrapping_add(offset);
        }
        truncs
    };
    let take = |lanes: Range<usize>, truncs: Truncs<R>, opened: &[R], _: &[u64]| {
        let out = quotient.as_mut_slice()[lanes].iter_mut().zip(opened);
        let own = truncs.u.as_slice().iter().zip(truncs.top.as_slice());
        for ((out, c), (u, top)) in out.zip(own) {
            *out = shifted(*c, *u, *top, frac_bits, is_first);
        }
    };
    lanes::open(session, layout(x.len()), mask, take).await?;
    Ok(quotient)
}

/// One seat's share of (c mod 2^(k−1) >> f) − u + b·2^(k−1−f) − 2^(k−2−f), where
/// b = c_top ⊕ r_top is the overflow of the low bits.
#[inline(always)]
fn shifted<R: Ring>(c: R, u: R, r_top: R, frac_bits: u32, is_first: bool) -> R {
    let carry_bits = R::BITS - 1 - frac_bits;
    let c_top = c.shr(R::BITS - 1);
    let sign = R::ONE.wrapping_sub(c_top.shl(1));
    let mut overflow = sign.wrapping_mul(r_top);
    let mut sum = R::ZERO;
    if is_first {
        overflow = overflow.wrapping_add(c_top);
        sum = c.shl(1).shr(1 + frac_bits);
        sum = sum.wrapping_sub(R::ONE.shl(carry_bits - 1));
    }
    sum.wrapping_sub(u).wrapping_add(overflow.shl(carry_bits))
}

/// Divides shared numbers by 2^f, rounding to the nearest, halves up.
///
/// What [`probabilistic`] makes too great by one shows in the remainder, which is then negative.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares over Z_2^k of numbers in [−2^(k−2), 2^(k−2) − 2^(f−1)); `frac_bits`: f;
///   takes [`exact_price`]
/// # Output    n shares of ⌊x/2^f + 1/2⌋
/// # Cost      [`exact_price`]: 2 rounds and those of [`compare::less_than_zero`] of f + 1 bits
/// # Security  semi-honest, all but one seat may be corrupt; reveals n. The result depends on x alone
/// # Errors    as [`probabilistic`]
/// # Source    own: [`probabilistic`], and its error removed by a comparison of the remainder
pub async fn exact<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    frac_bits: u32,
    method: Method,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    session.ended_by(check_frac_bits::<R>(frac_bits))?;
    if frac_bits == 0 {
        return Ok(super::copy(x));
    }
    let seats = Seats::of(session);
    session.ended_by(stock.check(&exact_price::<R>(seats, x.len(), frac_bits, method).needs))?;
    let mut remainder = super::copy(x);
    if session.seat() == Seat(0) {
        super::add_to_all(&mut remainder, R::ONE.shl(frac_bits - 1));
    }
    let mut quotient = probabilistic(session, &remainder, frac_bits, stock).await?;
    let whole = quotient.as_slice().iter().map(|q| q.shl(frac_bits));
    for (out, whole) in remainder.as_mut_slice().iter_mut().zip(whole) {
        *out = out.wrapping_sub(whole);
    }
    let too_great = compare::less_than_zero(session, &remainder, frac_bits, method, stock).await?;
    let too_great = convert::bit_to_arith(session, &too_great, stock).await?;
    quotient.sub_assign(&too_great);
    Ok(quotient)
}

fn check_frac_bits<R: Ring>(frac_bits: u32) -> Result<(), ProtocolError> {
    match frac_bits <= R::BITS - 3 {
        true => Ok(()),
        false => Err(ProtocolError::InvalidInput {
            what: "a truncation leaves at least a sign and two bits",
        }),
    }
}

fn layout(n_items: usize) -> Layout {
    Layout {
        n_lanes: n_items,
        elements: 1,
        words: 0,
    }
}

/// The declared price of one [`probabilistic`] of n items.
pub fn price<R: StockedRing>(seats: Seats, n_items: usize, frac_bits: u32) -> Price {
    if frac_bits == 0 {
        return Price::nothing(seats);
    }
    let needs = RingNeeds {
        truncs: [(frac_bits, n_items as u64)].into(),
        ..RingNeeds::default()
    };
    Price::of_ring::<R>(needs, layout(n_items).cost::<R>(seats))
}

/// The declared price of one [`exact`] of n items.
pub fn exact_price<R: StockedRing>(
    seats: Seats,
    n_items: usize,
    frac_bits: u32,
    method: Method,
) -> Price {
    if frac_bits == 0 {
        return Price::nothing(seats);
    }
    price::<R>(seats, n_items, frac_bits)
        .then(&compare::less_than_zero_price::<R>(
            seats, n_items, frac_bits, method,
        ))
        .then(&convert::planes_price::<R>(seats, n_items, 1))
}
