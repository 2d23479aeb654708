//! Comparing shared numbers: with zero, with each other, with public thresholds.
//!
//! There are two methods, and the plan chooses one by what the source makes cheaply
//! ([`Method`]). Both end in the same trees of carries (`arith/circuit.rs`).

pub(crate) mod masked;
pub(crate) mod summed;
mod tabled;

use super::circuit;
use crate::boolean::{Gates, Planes};
use crate::correlate::{Needs, Stock, StockedRing};
use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::ring::Ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use zeroize::Zeroizing;

/// The greatest bound of [`at_least`]: with the sign, numbers have 64 bits.
pub const MAX_BOUND_BITS: u32 = 63;

/// How shared numbers get to the bits that a comparison needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Opens the number under a mask whose bits are shared (an edaBit), and compares with the mask.
    /// Few rounds whatever the number of seats; cheap where edaBits are: with a dealer.
    Masked,
    /// Adds the seats' shares as a Boolean circuit, from triples of bits. Cheap without a dealer, and the
    /// cheaper the smaller the bound. Two seats without a dealer find carries four bits at a time, by
    /// transfers of one of 16 entries, with half of the OTs.
    Summed,
}

/// Finds which of n shared numbers are negative.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares over Z_2^k of numbers in [−2^b, 2^b), where b = `bound_bits` < k; takes
///   [`less_than_zero_price`]
/// # Output    n shared bits, 1 where x < 0
/// # Cost      [`less_than_zero_price`]. Masked: 1 + ⌈log2 ⌈(k−1)/2⌉⌉ rounds, at two seats and
///   k = 64 six rounds and 27 bytes to the other seat. Summed: 2 + ⌈log2 ⌈b/4⌉⌉ rounds for two seats without a
///   dealer, at b = 63 six and 82 bytes both ways together; otherwise 1 + ⌈log2 b⌉, for up to five seats 1
///   to 3 more
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and the bound. A number outside
///   its bound gives a wrong bit
/// # Errors    [`ProtocolError::InvalidInput`] for a bound of k bits or more,
///   [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Masked: Escudero, Ghosh, Keller, Rachuri, Scholl, CRYPTO 2020 (2020/338), §4, without
///   the most significant bit of r as a daBit; first products in the opening's round. Summed:
///   Goldreich–Micali–Wigderson, STOC '87; carry-save: Wallace, 1964; by tables: Rathee et al., CCS 2020
///   (2020/325), §3.1, with random OTs made before. All: Sklansky, 1960, reduced to the one carry that is
///   used
pub async fn less_than_zero<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    bound_bits: u32,
    method: Method,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    R::less_than_zero(session, x, bound_bits, method, stock).await
}

pub(super) async fn less_than_zero_over<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    bound_bits: u32,
    method: Method,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    session.ended_by(check_bound::<R>(bound_bits))?;
    let seats = Seats::of(session);
    session.ended_by(
        stock.check(&less_than_zero_price::<R>(seats, x.len(), bound_bits, method).needs),
    )?;
    let sign = match method {
        Method::Masked => masked::is_negative(session, x, stock).await?,
        Method::Summed if tabled::fits(seats) && bound_bits > 0 => {
            is_negative_tabled(session, x.as_slice(), bound_bits, stock).await?
        }
        Method::Summed => is_negative_summed(session, x.as_slice(), bound_bits, stock).await?,
    };
    Ok(sign.share(0))
}

/// The declared price of [`less_than_zero`] for n numbers.
pub fn less_than_zero_price<R: StockedRing>(
    seats: Seats,
    n_items: usize,
    bound_bits: u32,
    method: Method,
) -> Price {
    match method {
        Method::Masked => {
            let opening = masked::price::<R>(seats, n_items, R::BITS as usize - 1);
            opening.then(&circuit::price(
                seats,
                &masked::is_negative_levels::<R>(),
                n_items,
            ))
        }
        Method::Summed if tabled::fits(seats) && bound_bits > 0 => {
            let n_positions = bound_bits as usize;
            let tree = circuit::last_carry_levels(tabled::n_groups(n_positions));
            tabled::price(seats, n_items, n_positions).then(&circuit::price(seats, &tree, n_items))
        }
        Method::Summed => {
            let levels = summed::is_negative_levels(seats.n_computing, bound_bits as usize + 1);
            circuit::price(seats, &levels, n_items)
        }
    }
}

/// Finds for which of n pairs of shared numbers x < y.
///
/// # Inputs    as of [`less_than_zero`], for all of x − y: numbers in [0, 2^b), say, or in
///   [−2^(b−1), 2^(b−1))
///
/// Everything else is that of [`less_than_zero`] of the differences. For numbers of all k bits see
/// [`a2b`](super::convert::a2b) and [`bits::less_than`](super::bits::less_than).
///
/// # Panics    if the lengths differ
pub async fn less_than<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    y: &Share<R>,
    bound_bits: u32,
    method: Method,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let difference = super::difference(x, y);
    less_than_zero(session, &difference, bound_bits, method, stock).await
}

/// Finds which of n shared numbers are zero.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares over Z_2^k of numbers in [−2^b, 2^b), where b = `bound_bits` < k; takes
///   [`equal_zero_price`]
/// # Output    n shared bits, 1 where x = 0
/// # Cost      [`equal_zero_price`]. Masked: 1 + ⌈log2 ⌈k/2⌉⌉ rounds. Summed: ⌈log2 (b+1)⌉ rounds for
///   two seats, 2 to 4 more for up to five
/// # Security  as [`less_than_zero`]
/// # Errors    as [`less_than_zero`]
/// # Source    as [`less_than_zero`]; a sum of two that is zero, without carries: folklore
pub async fn equal_zero<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    bound_bits: u32,
    method: Method,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    R::equal_zero(session, x, bound_bits, method, stock).await
}

pub(super) async fn equal_zero_over<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    bound_bits: u32,
    method: Method,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    session.ended_by(check_bound::<R>(bound_bits))?;
    let seats = Seats::of(session);
    session
        .ended_by(stock.check(&equal_zero_price::<R>(seats, x.len(), bound_bits, method).needs))?;
    let equal = match method {
        Method::Masked => masked::is_zero(session, x, stock).await?,
        Method::Summed => {
            let width = bound_bits as usize + 1;
            summed::is_zero(session, x.as_slice(), width, stock).await?
        }
    };
    Ok(equal.share(0))
}

/// The declared price of [`equal_zero`] for n numbers.
pub fn equal_zero_price<R: StockedRing>(
    seats: Seats,
    n_items: usize,
    bound_bits: u32,
    method: Method,
) -> Price {
    match method {
        Method::Masked => {
            let opening = masked::price::<R>(seats, n_items, R::BITS as usize);
            opening.then(&circuit::price(
                seats,
                &masked::is_zero_levels::<R>(),
                n_items,
            ))
        }
        Method::Summed => {
            let levels = summed::is_zero_levels(seats.n_computing, bound_bits as usize + 1);
            circuit::price(seats, &levels, n_items)
        }
    }
}

/// Finds which of n shared counts are at least as great as public thresholds, from triples of
/// bits alone ([`Method::Summed`]).
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `counts`: n shares over Z_2^64 of numbers in [0, 2^`bound_bits`); `thresholds`: n
///   public numbers; takes [`needs`]
/// # Output    n shared bits, 1 where count ≥ threshold
/// # Cost      a round for each of [`levels`]: 1 + ⌈log2 b⌉ for two seats, 1 to 3 more for up to
///   five; [`cost`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and the bound. A count
///   outside its bound gives a wrong bit
/// # Errors    [`ProtocolError::InvalidInput`] for a bound over [`MAX_BOUND_BITS`],
///   [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Panics    if there is not one threshold for each count
/// # Source    as [`less_than_zero`], of c − T
pub async fn at_least(
    session: &mut Session,
    counts: &Share<u64>,
    thresholds: &[u64],
    bound_bits: u32,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    session.ended_by(check_bound::<u64>(bound_bits))?;
    // No count reaches 2^b, so a greater threshold is as good as 2^b; and 2^b fits b+1 bits.
    let negative = |t: &u64| (*t).min(1 << bound_bits).wrapping_neg();
    let negatives: Vec<u64> = thresholds.iter().map(negative).collect();
    let mut difference = Share::new(counts.as_slice().to_vec());
    difference.add_public(session.seat().index(), &negatives);
    let sign = is_negative_summed(session, difference.as_slice(), bound_bits, stock).await?;
    let mut at_least = sign.share(0);
    at_least.not(session.seat().index());
    Ok(at_least)
}

async fn is_negative_summed<R: Ring>(
    session: &mut Session,
    mine: &[R],
    bound_bits: u32,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let width = bound_bits as usize + 1;
    let operands = summed::two_operands(session, mine, width, stock).await?;
    summed::is_negative(session, operands, stock).await
}

/// The top bit of the sum of both seats' numbers mod 2^(b+1), with carries from tables.
async fn is_negative_tabled<R: Ring>(
    session: &mut Session,
    mine: &[R],
    bound_bits: u32,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let n_positions = bound_bits as usize;
    let n_groups = tabled::n_groups(n_positions);
    let (generate, propagate) = tabled::groups(session, mine, n_positions, stock).await?;
    let mut sign = circuit::last_carry(session, generate, propagate, n_groups, stock).await?;
    let top: Zeroizing<Vec<R>> = mine
        .iter()
        .map(|value| value.shr(bound_bits))
        .collect::<Vec<_>>()
        .into();
    bits::xor_assign(sign.plane_mut(0), summed::own_planes(&top, 1).plane(0));
    Ok(sign)
}

fn check_bound<R: Ring>(bound_bits: u32) -> Result<(), ProtocolError> {
    match bound_bits < R::BITS {
        true => Ok(()),
        false => Err(ProtocolError::InvalidInput {
            what: "a number and its sign have as many bits as the ring, or fewer",
        }),
    }
}

/// Words of ANDs at each level of the circuit of [`at_least`], which is one round a level.
pub fn levels(n_computing: usize, bound_bits: u32, n_counts: usize) -> Vec<usize> {
    let n_words = bits::words_for(n_counts);
    let levels = at_least_gates(n_computing, bound_bits);
    let n_ands = |gates: &Gates| (gates.singles + 2 * gates.pairs) * n_words;
    levels.iter().map(n_ands).collect()
}

fn at_least_gates(n_computing: usize, bound_bits: u32) -> Vec<Gates> {
    summed::is_negative_levels(n_computing, bound_bits as usize + 1)
}

/// What one [`at_least`] takes.
pub fn needs(n_computing: usize, bound_bits: u32, n_counts: usize) -> Needs {
    let seats = Seats::computing(n_computing);
    let levels = at_least_gates(n_computing, bound_bits);
    circuit::price(seats, &levels, n_counts).needs
}

/// The declared cost of one [`at_least`].
pub fn cost(n_seats: usize, n_computing: usize, bound_bits: u32, n_counts: usize) -> Cost {
    let seats = Seats {
        n_seats,
        n_computing,
    };
    let levels = at_least_gates(n_computing, bound_bits);
    circuit::price(seats, &levels, n_counts).cost
}
