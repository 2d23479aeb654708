//! The least of the seats' own numbers, lane by lane.
//!
//! x > y exactly if x + ¬y carries out of its top bit. The seats' numbers meet in a tournament: all pairs of a
//! level are compared at once, and the smaller one of each goes on.

use crate::arith::compare;
use crate::boolean::{self, xor};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::share::boolean::{BitShare, to_planes};

/// A batch of numbers, one vector a bit position, lowest first.
type Planes = Vec<BitShare>;

/// Finds the least of the seats' own numbers in each lane.
///
/// For the greatest, every seat gives 2^`n_bits` − 1 minus its number, and so does who reads the output. A seat that
/// has no number in a lane gives 2^`n_bits` − 1.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `mine`: n numbers below 2^`n_bits`, this seat's own, in the clear; takes [`price`]
/// # Output    `n_bits` planes of n shared bits
/// # Cost      [`price`]: 3 + ⌈log2 b⌉ rounds for each of ⌈log2 seats⌉ levels
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and the number of bits
/// # Errors    [`ProtocolError::InvalidInput`] for no bits or over 64, [`ProtocolError::OutOfCorrelations`],
///   [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Goldreich–Micali–Wigderson, STOC '87; the comparison is that of [`compare`]
pub async fn least(
    session: &mut Session,
    mine: &[u64],
    n_bits: u32,
    stock: &mut Stock,
) -> Result<Vec<BitShare>, ProtocolError> {
    if !(1..=u64::BITS).contains(&n_bits) {
        return Err(ProtocolError::InvalidInput {
            what: "a number has 1 to 64 bits",
        });
    }
    let own = to_planes(mine, n_bits as usize);
    let mut left = boolean::input_all(session, own).await;
    while left.len() > 1 {
        left = play(session, left, stock).await?;
    }
    Ok(left.pop().expect("at least two seats compute"))
}

/// One level: of every two operands the smaller one. An odd one out goes on as it is.
async fn play(
    session: &mut Session,
    mut operands: Vec<Planes>,
    stock: &mut Stock,
) -> Result<Vec<Planes>, ProtocolError> {
    let odd = operands.split_off(operands.len() / 2 * 2);
    let n_lanes = operands[0][0].n_bits();
    let n_pairs = operands.len() / 2;
    let side = |k: usize| -> Planes {
        let of_pairs: Vec<&Planes> = operands.iter().skip(k).step_by(2).collect();
        (0..of_pairs[0].len())
            .map(|bit| side_by_side(of_pairs.iter().map(|planes| &planes[bit])))
            .collect()
    };
    let (x, y) = (side(0), side(1));
    let smaller = smaller(session, x, &y, stock).await?;
    let mut next: Vec<Planes> = (0..n_pairs)
        .map(|pair| {
            smaller
                .iter()
                .map(|plane| part(plane, pair, n_lanes))
                .collect()
        })
        .collect();
    next.extend(odd);
    Ok(next)
}

/// The smaller of x and y: x ⊕ [x > y]∧(x⊕y).
async fn smaller(
    session: &mut Session,
    x: Planes,
    y: &Planes,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let me = session.seat().index();
    let complement = |plane: &BitShare| {
        let mut copy = BitShare::from_words(plane.n_bits(), plane.as_words().to_vec());
        copy.not(me);
        copy
    };
    let not_y: Planes = y.iter().map(complement).collect();
    let is_greater = compare::carry_out(session, &x, &not_y, stock).await?;
    let differences: Planes = x.iter().zip(y).map(|(x, y)| xor(x, y)).collect();
    let pairs: Vec<_> = differences.iter().map(|d| (&is_greater, d)).collect();
    let changes = boolean::and(session, &pairs, stock).await?;
    Ok(x.iter().zip(&changes).map(|(x, c)| xor(x, c)).collect())
}

/// Vectors one after the other, each in whole words.
fn side_by_side<'a>(parts: impl Iterator<Item = &'a BitShare>) -> BitShare {
    let words: Vec<u64> = parts.flat_map(BitShare::as_words).copied().collect();
    BitShare::from_words(64 * words.len(), words)
}

/// The part of [`side_by_side`] at a position.
fn part(all: &BitShare, position: usize, n_bits: usize) -> BitShare {
    let n_words = bits::words_for(n_bits);
    let words = &all.as_words()[position * n_words..(position + 1) * n_words];
    BitShare::from_words(n_bits, words.to_vec())
}

/// The declared price of one [`least`].
pub fn price(seats: Seats, n_bits: u32, n_lanes: usize) -> Price {
    let n_words = bits::words_for(n_lanes);
    let mut price = Price::nothing(seats);
    let mut n_operands = seats.n_computing;
    while n_operands > 1 {
        let words = n_operands / 2 * n_words;
        price = price
            .then(&compare::carry_out_price(
                seats,
                64 * words,
                n_bits as usize,
            ))
            .then(&boolean::and_price(seats, 64 * words, n_bits as usize));
        n_operands = n_operands.div_ceil(2);
    }
    price
}
