//! Comparing shared numbers with public ones, from bit triples alone.
//!
//! Let c be shared as c = Σ s_i mod 2^64 with 0 ≤ c < 2^b, and T public. Seat i knows s_i, so it
//! can XOR-share the low b+1 bits of s_i without communication, seat 0 those of s_0 − T. Adding
//! the N numbers as a Boolean circuit gives the bits of c − T mod 2^(b+1), whose top bit is the
//! sign: it is set exactly if c < T.
//!
//! The circuit works on all numbers of a batch at once. Carry-save adders bring N operands down to
//! two, one AND a bit each; then only one carry is needed, the one into the top bit, which a tree
//! of generate/propagate pairs finds in a logarithmic number of levels. [`levels`] is the
//! circuit's shape; needs, rounds and bytes all follow from it.

use crate::boolean::{self, xor};
use crate::correlate::{Needs, Stock};
use crate::cost::Cost;
use crate::error::ProtocolError;
use crate::session::Session;
use engine::bits;
use engine::share::Share;
use engine::share::boolean::{BitShare, to_planes};

/// The greatest bound: with the sign, numbers have 64 bits.
pub const MAX_BOUND_BITS: u32 = 63;

/// A batch of numbers, one vector a bit position, lowest first.
type Planes = Vec<BitShare>;

/// Finds which of n shared counts are at least as great as public thresholds.
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
/// # Source    Goldreich–Micali–Wigderson, STOC '87; carry-save: Wallace, 1964; carry tree: Sklansky,
///   1960, reduced to the one carry that is used
pub async fn at_least(
    session: &mut Session,
    counts: &Share<u64>,
    thresholds: &[u64],
    bound_bits: u32,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    if bound_bits > MAX_BOUND_BITS {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "a count is bounded by 2^63",
        }));
    }
    let differences = subtract(session, counts, thresholds, bound_bits);
    let mine = to_planes(differences.as_slice(), bound_bits as usize + 1);
    let mut operands = boolean::input_all(session, mine).await;
    while operands.len() > 2 {
        operands = carry_save(session, operands, stock).await?;
    }
    let y = operands.pop().expect("at least two seats compute");
    let x = operands.pop().expect("at least two seats compute");
    let mut is_less = top_bit_of_sum(session, x, y, stock).await?;
    is_less.not(session.seat().index());
    Ok(is_less)
}

/// Words of ANDs at each level of the circuit of [`at_least`], which is one round a level.
pub fn levels(n_computing: usize, bound_bits: u32, n_counts: usize) -> Vec<usize> {
    let n_words = bits::words_for(n_counts);
    let n_carries = bound_bits as usize;
    let mut levels = Vec::new();
    let mut n_operands = n_computing;
    while n_operands > 2 {
        levels.push(n_operands / 3 * n_carries * n_words);
        n_operands -= n_operands / 3;
    }
    let mut n_pairs = n_carries;
    if n_pairs > 0 {
        levels.push(n_pairs * n_words);
    }
    while n_pairs > 1 {
        levels.push((2 * (n_pairs / 2) - 1) * n_words);
        n_pairs = n_pairs.div_ceil(2);
    }
    levels
}

/// What one [`at_least`] takes.
pub fn needs(n_computing: usize, bound_bits: u32, n_counts: usize) -> Needs {
    Needs::of_bit_triple_words(levels(n_computing, bound_bits, n_counts).iter().sum())
}

/// The declared cost of one [`at_least`].
pub fn cost(n_seats: usize, n_computing: usize, bound_bits: u32, n_counts: usize) -> Cost {
    let levels = levels(n_computing, bound_bits, n_counts);
    let rounds = levels
        .iter()
        .map(|words| boolean::and_cost(n_seats, n_computing, *words));
    rounds.fold(Cost::none(n_seats), |sum, round| sum.then(&round))
}

/// This seat's operand: its share, and at seat 0 its share minus the thresholds.
fn subtract(
    session: &Session,
    counts: &Share<u64>,
    thresholds: &[u64],
    bound_bits: u32,
) -> Share<u64> {
    // No count reaches 2^b, so a greater threshold is as good as 2^b; and 2^b fits b+1 bits.
    let negative = |t: &u64| (*t).min(1 << bound_bits).wrapping_neg();
    let negatives: Vec<u64> = thresholds.iter().map(negative).collect();
    let mut difference = Share::new(counts.as_slice().to_vec());
    difference.add_public(session.seat().index(), &negatives);
    difference
}

/// One level of carry-save adders: every three operands become two with the same sum mod 2^w.
///
/// x + y + z = s + 2k with s = x⊕y⊕z and k = majority(x, y, z) = ((x⊕z)∧(y⊕z)) ⊕ z, bit by bit.
/// The top bit of k falls out of the sum mod 2^w and is not computed.
async fn carry_save(
    session: &mut Session,
    mut operands: Vec<Planes>,
    stock: &mut Stock,
) -> Result<Vec<Planes>, ProtocolError> {
    let rest = operands.split_off(operands.len() / 3 * 3);
    let (triples, _) = operands.as_chunks::<3>();
    let mut factors = Vec::new();
    for [x, y, z] in triples {
        for i in 0..z.len() - 1 {
            factors.push((xor(&x[i], &z[i]), xor(&y[i], &z[i])));
        }
    }
    let pairs: Vec<_> = factors.iter().map(|(p, q)| (p, q)).collect();
    let products = boolean::and(session, &pairs, stock).await?;

    let mut next = Vec::with_capacity(2 * triples.len() + rest.len());
    for ([x, y, z], products) in triples.iter().zip(in_parts(products, triples.len())) {
        let sum = (0..z.len()).map(|i| xor(&xor(&x[i], &y[i]), &z[i]));
        next.push(sum.collect());
        let mut twice_k = vec![BitShare::zero(z[0].n_bits())];
        twice_k.extend(products.iter().zip(z).map(|(product, z)| xor(product, z)));
        next.push(twice_k);
    }
    next.extend(rest);
    Ok(next)
}

/// A vector in `n_parts` parts of equal length.
fn in_parts(all: Planes, n_parts: usize) -> Vec<Planes> {
    let len = all.len() / n_parts;
    let mut all = all.into_iter();
    (0..n_parts)
        .map(|_| all.by_ref().take(len).collect())
        .collect()
}

/// The top bit of x + y mod 2^w.
///
/// Position i generates a carry if g_i = x_i∧y_i and passes one on if p_i = x_i⊕y_i. Two
/// neighbouring groups make one: g = g_hi ⊕ p_hi∧g_lo, p = p_hi∧p_lo. The lowest group passes
/// nothing on, so its p is never computed.
async fn top_bit_of_sum(
    session: &mut Session,
    mut x: Planes,
    mut y: Planes,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let x_top = x.pop().expect("a number has a sign bit");
    let y_top = y.pop().expect("a number has a sign bit");
    let top = xor(&x_top, &y_top);
    if x.is_empty() {
        return Ok(top);
    }
    let leaves: Vec<_> = x.iter().zip(&y).collect();
    let mut generate = boolean::and(session, &leaves, stock).await?;
    let mut propagate: Planes = leaves.into_iter().map(|(x, y)| xor(x, y)).collect();
    while generate.len() > 1 {
        (generate, propagate) = halve(session, generate, propagate, stock).await?;
    }
    Ok(xor(&top, &generate[0]))
}

/// One level of the carry tree: neighbouring groups become one. An odd one out stays as it is.
async fn halve(
    session: &mut Session,
    mut generate: Planes,
    mut propagate: Planes,
    stock: &mut Stock,
) -> Result<(Planes, Planes), ProtocolError> {
    let n_pairs = generate.len() / 2;
    let odd = generate.len() % 2;
    let odd_generate = generate.split_off(2 * n_pairs);
    let odd_propagate = propagate.split_off(propagate.len() - odd);

    let low = |k: usize| 2 * k;
    let high = |k: usize| 2 * k + 1;
    let mut pairs: Vec<_> = (0..n_pairs)
        .map(|k| (&propagate[high(k)], &generate[low(k)]))
        .collect();
    pairs.extend((1..n_pairs).map(|k| (&propagate[high(k)], &propagate[low(k)])));
    let mut products = boolean::and(session, &pairs, stock).await?;
    let passed = products.split_off(n_pairs);

    let carried = products
        .iter()
        .enumerate()
        .map(|(k, pg)| xor(&generate[high(k)], pg));
    let mut next_generate: Planes = carried.collect();
    next_generate.extend(odd_generate);
    // The lowest group passes nothing on: its p is a placeholder that no AND reads.
    let mut next_propagate = vec![BitShare::zero(0)];
    next_propagate.extend(passed);
    next_propagate.extend(odd_propagate);
    Ok((next_generate, next_propagate))
}
