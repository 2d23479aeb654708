//! What a comparison and a selection make together: the lesser, the greater, the greatest, the sign.

use super::compare::{self, Method};
use super::{convert, difference, mux};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::{self, Ring};
use engine::share::Share;
use engine::share::boolean::BitShare;

/// The lesser and the greater of each of n pairs of shared numbers.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`, `y`: n shares each whose differences lie in [−2^b, 2^b), b = `bound_bits`; takes
///   [`min_max_price`]
/// # Output    n shares of the lesser, n of the greater
/// # Cost      [`min_max_price`]: the rounds of [`compare::less_than_zero`], and 1
/// # Security  semi-honest, all but one seat may be corrupt; reveals n
/// # Errors    those of [`compare::less_than_zero`]
/// # Panics    if the lengths differ
/// # Source    folklore
pub async fn min_max<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    y: &Share<R>,
    bound_bits: u32,
    method: Method,
    stock: &mut Stock,
) -> Result<(Share<R>, Share<R>), ProtocolError> {
    let seats = Seats::of(session);
    session.ended_by(stock.check(&min_max_price::<R>(seats, x.len(), bound_bits, method).needs))?;
    let x_over_y = difference(x, y);
    let is_less = compare::less_than_zero(session, &x_over_y, bound_bits, method, stock).await?;
    let mut lesser = mux::times(session, &is_less, &x_over_y, stock).await?;
    lesser.add_assign(y);
    let mut greater = difference(x, &lesser);
    greater.add_assign(y);
    Ok((lesser, greater))
}

/// The declared price of one [`min_max`] of n pairs.
pub fn min_max_price<R: StockedRing>(
    seats: Seats,
    n_items: usize,
    bound_bits: u32,
    method: Method,
) -> Price {
    compare::less_than_zero_price::<R>(seats, n_items, bound_bits, method)
        .then(&mux::price::<R>(seats, n_items))
}

/// The greatest of several shared numbers and which of them it is, for each of n rows.
///
/// A tournament: in each round every winner so far meets its neighbour, in all rows at once.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `candidates`: m ≥ 1 columns of n shares each; the differences in a row lie in
///   [−2^b, 2^b), b = `bound_bits`; takes [`argmax_price`]
/// # Output    n shares of the greatest, n of its position; of equals, the first one's
/// # Cost      [`argmax_price`]: ⌈log2 m⌉ times the rounds of [`compare::less_than_zero`] and 1
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and m
/// # Errors    [`ProtocolError::InvalidInput`] without candidates, and those of
///   [`compare::less_than_zero`]
/// # Panics    if the columns have different lengths
/// # Source    folklore
pub async fn argmax<R: StockedRing>(
    session: &mut Session,
    candidates: &[Share<R>],
    bound_bits: u32,
    method: Method,
    stock: &mut Stock,
) -> Result<(Share<R>, Share<R>), ProtocolError> {
    let Some(n_rows) = candidates.first().map(Share::len) else {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "the greatest of no numbers",
        }));
    };
    let seats = Seats::of(session);
    let price = argmax_price::<R>(seats, n_rows, candidates.len(), bound_bits, method);
    session.ended_by(stock.check(&price.needs))?;
    let is_first = session.seat() == Seat(0);
    let position = |i: usize| {
        let own = if is_first { i as u64 } else { 0 };
        Share::new(vec![R::from_u64(own); n_rows])
    };
    let mut winners: Vec<Share<R>> = candidates.iter().map(super::copy).collect();
    let mut positions: Vec<Share<R>> = (0..candidates.len()).map(position).collect();
    while winners.len() > 1 {
        let (value_steps, position_steps) = (steps(&winners), steps(&positions));
        // The second wins only if it is greater.
        let mut behind = super::copy(&value_steps);
        behind.negate();
        let is_less = compare::less_than_zero(session, &behind, bound_bits, method, stock).await?;
        let mut both = BitShare::from_words(is_less.n_bits(), is_less.as_words().to_vec());
        both.append(is_less);
        let n_steps = value_steps.len();
        let mut all_steps = value_steps;
        all_steps.append(position_steps);
        let taken = mux::times(session, &both, &all_steps, stock).await?;
        let (values, indices) = taken.as_slice().split_at(n_steps);
        winners = after_steps(winners, values);
        positions = after_steps(positions, indices);
    }
    let only = "one candidate is left";
    Ok((winners.pop().expect(only), positions.pop().expect(only)))
}

/// Of each pair of neighbours, the second minus the first; all pairs end to end.
fn steps<R: Ring>(columns: &[Share<R>]) -> Share<R> {
    let (pairs, _) = columns.as_chunks::<2>();
    let mut steps = Vec::with_capacity(pairs.len() * columns[0].len());
    for [first, second] in pairs {
        assert_eq!(first.len(), second.len(), "columns of unequal length");
        let both = second.as_slice().iter().zip(first.as_slice());
        steps.extend(both.map(|(second, first)| second.wrapping_sub(*first)));
    }
    Share::new(steps)
}

/// The first of each pair, moved by its step. An odd one out stays as it is.
fn after_steps<R: Ring>(columns: Vec<Share<R>>, steps: &[R]) -> Vec<Share<R>> {
    let mut firsts: Vec<Share<R>> = columns.into_iter().step_by(2).collect();
    let mut rest = steps;
    for first in &mut firsts {
        // The odd one out comes last, when no steps are left.
        let (own, after) = rest.split_at(first.len().min(rest.len()));
        ring::add_assign(&mut first.as_mut_slice()[..own.len()], own);
        rest = after;
    }
    firsts
}

/// The declared price of one [`argmax`].
pub fn argmax_price<R: StockedRing>(
    seats: Seats,
    n_rows: usize,
    mut n_candidates: usize,
    bound_bits: u32,
    method: Method,
) -> Price {
    let mut price = Price::nothing(seats);
    while n_candidates > 1 {
        let n_steps = n_candidates / 2 * n_rows;
        price = price
            .then(&compare::less_than_zero_price::<R>(
                seats, n_steps, bound_bits, method,
            ))
            .then(&mux::price::<R>(seats, 2 * n_steps));
        n_candidates = n_candidates.div_ceil(2);
    }
    price
}

/// The sign of each of n shared numbers: −1, 0 or 1.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares of numbers in (−2^b, 2^b), b = `bound_bits`; takes [`sign_price`]
/// # Output    n shares
/// # Cost      [`sign_price`]: the rounds of one [`compare::less_than_zero`] of 2·n numbers, and 1
/// # Security  semi-honest, all but one seat may be corrupt; reveals n
/// # Errors    those of [`compare::less_than_zero`]
/// # Source    folklore: `[0 < x] − [x < 0]`
pub async fn sign<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    bound_bits: u32,
    method: Method,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let seats = Seats::of(session);
    session.ended_by(stock.check(&sign_price::<R>(seats, x.len(), bound_bits, method).needs))?;
    let mut both = super::copy(x);
    both.negate();
    both.append(super::copy(x));
    let is_negative = compare::less_than_zero(session, &both, bound_bits, method, stock).await?;
    let mut positive: Share<R> = convert::bit_to_arith(session, &is_negative, stock).await?;
    let negative = positive.split_off(x.len());
    positive.sub_assign(&negative);
    Ok(positive)
}

/// The declared price of one [`sign`] of n numbers.
pub fn sign_price<R: StockedRing>(
    seats: Seats,
    n_items: usize,
    bound_bits: u32,
    method: Method,
) -> Price {
    compare::less_than_zero_price::<R>(seats, 2 * n_items, bound_bits, method)
        .then(&convert::planes_price::<R>(seats, 2 * n_items, 1))
}

/// The magnitude of each of n shared numbers, and the bit that says which are negative.
///
/// # Inputs    `x`: n shares of numbers in (−2^b, 2^b), b = `bound_bits`; takes [`min_max_price`]
///
/// Seats, cost, security and errors are those of [`min_max`].
///
/// # Source    folklore: `x − 2·[x < 0]·x`
pub async fn abs<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    bound_bits: u32,
    method: Method,
    stock: &mut Stock,
) -> Result<(Share<R>, BitShare), ProtocolError> {
    let seats = Seats::of(session);
    session.ended_by(stock.check(&min_max_price::<R>(seats, x.len(), bound_bits, method).needs))?;
    let is_negative = compare::less_than_zero(session, x, bound_bits, method, stock).await?;
    let mut magnitude = mux::times(session, &is_negative, x, stock).await?;
    magnitude.scale_public(R::from_u64(2).wrapping_neg());
    magnitude.add_assign(x);
    Ok((magnitude, is_negative))
}

/// Limits each of n shared numbers to a public range.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares; `low` ≤ `high`: public, and x − low and high − x lie in [−2^b, 2^b),
///   b = `bound_bits`; takes [`clamp_price`]
/// # Output    n shares of max(low, min(x, high))
/// # Cost      [`clamp_price`]: the rounds of [`compare::less_than_zero`] of 2·n numbers, and 1
/// # Security  semi-honest, all but one seat may be corrupt; reveals n
/// # Errors    those of [`compare::less_than_zero`]
/// # Source    folklore: at most one of the two limits is passed
pub async fn clamp<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    (low, high): (R, R),
    (bound_bits, method): (u32, Method),
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let seats = Seats::of(session);
    session.ended_by(stock.check(&clamp_price::<R>(seats, x.len(), bound_bits, method).needs))?;
    let is_first = session.seat() == Seat(0);
    let own = |limit: R| if is_first { limit } else { R::ZERO };
    let over = |limit: R| {
        x.as_slice()
            .iter()
            .map(move |x| own(limit).wrapping_sub(*x))
    };
    // low − x and high − x are what is to be added beyond a limit.
    let to_limits: Vec<R> = over(low).chain(over(high)).collect();
    let to_limits = Share::new(to_limits);
    let mut excess = super::copy(&to_limits);
    ring::negate(&mut excess.as_mut_slice()[..x.len()]);
    let is_beyond = compare::less_than_zero(session, &excess, bound_bits, method, stock).await?;
    let mut moves = mux::times(session, &is_beyond, &to_limits, stock).await?;
    let from_high = moves.split_off(x.len());
    moves.add_assign(&from_high);
    moves.add_assign(x);
    Ok(moves)
}

/// The declared price of one [`clamp`] of n numbers.
pub fn clamp_price<R: StockedRing>(
    seats: Seats,
    n_items: usize,
    bound_bits: u32,
    method: Method,
) -> Price {
    min_max_price::<R>(seats, 2 * n_items, bound_bits, method)
}
