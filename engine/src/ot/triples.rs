//! Bit triples for any number of seats, from random OTs between every ordered pair.
//!
//! Seat i ends up with bits a_i, b_i, c_i such that ⊕c = (⊕a)∧(⊕b), and nobody knows more than its
//! own. The product of the sums is the sum of all a_i∧b_j. Seat i computes a_i∧b_i alone. For the
//! others there is one OT from i to j for every bit, with messages m_0, m_1 and the choice b_j:
//!
//! ```text
//! x = m_0 ⊕ m_1,   y = m_{b_j} = m_0 ⊕ x∧b_j         so  m_0 ⊕ y = x∧b_j
//! seat i sends f = x ⊕ a_i                            so  m_0 ⊕ (y ⊕ f∧b_j) = a_i∧b_j
//! ```
//!
//! Two seats have one OT in each direction, so a_i can be what x is, b_j can be the random choice,
//! and nothing is corrected ([`between_two`]). With more seats a_i and b_j have to be the same in
//! several OTs: each seat draws its own, uses b_j as given choices, which costs one bit more in the
//! extension, and sends every other seat its f ([`correction`], [`among_many`]).
//!
//! f says nothing about a_i: x contains the message that seat j did not choose. Every OT is used
//! for one bit of one triple.
//!
//! Beaver, CRYPTO '91, for triples; Goldreich, Micali, Wigderson, STOC '87, for products from OT.

use super::extend::{ReceiverBits, SenderBits};
use crate::bits;
use crate::share::boolean::BitShare;

/// One seat's shares of random bits a, b and of c = a∧b. Used once.
pub struct BitTriples {
    /// Share of a.
    pub a: BitShare,
    /// Share of b.
    pub b: BitShare,
    /// Share of a∧b.
    pub c: BitShare,
}

/// The OTs with one other seat, in both directions.
pub struct PairBits {
    /// This seat's OTs as sender.
    pub sent: SenderBits,
    /// This seat's OTs as receiver.
    pub received: ReceiverBits,
}

/// The triples of two seats, from OTs with random choices. Nothing else is sent.
///
/// # Panics
///
/// If lengths differ from `n_bits`.
pub fn between_two(n_bits: usize, pair: &PairBits) -> BitTriples {
    let a = offsets(&pair.sent);
    let b = pair.received.choices.clone();
    let mut c = own_product(&a, &b);
    add_cross_products(&mut c, pair);
    share(n_bits, a, b, c)
}

/// What a seat with these bits `a` sends another: f for the OTs in which it is the sender.
///
/// # Panics
///
/// If the lengths differ.
pub fn correction(a: &[u64], sent: &SenderBits) -> Vec<u64> {
    let mut f = offsets(sent);
    bits::xor_assign(&mut f, a);
    f
}

/// The triples of any number of seats, with this seat's own bits `a` and `b`: from the OTs with
/// every other seat, in which `b` were the given choices, and that seat's correction.
///
/// # Panics
///
/// If lengths differ from `n_bits`, or if other choices than `b` were made.
pub fn among_many(
    n_bits: usize,
    a: Vec<u64>,
    b: Vec<u64>,
    others: &[(PairBits, Vec<u64>)],
) -> BitTriples {
    let mut c = own_product(&a, &b);
    for (pair, f) in others {
        assert!(
            pair.received.choices == b,
            "all OTs of a seat are made with the same choices"
        );
        add_cross_products(&mut c, pair);
        for ((c, f), b) in c.iter_mut().zip(f).zip(&b) {
            *c ^= f & b;
        }
    }
    share(n_bits, a, b, c)
}

/// x of every OT.
fn offsets(sent: &SenderBits) -> Vec<u64> {
    let mut x = sent.zeros.clone();
    bits::xor_assign(&mut x, &sent.ones);
    x
}

fn own_product(a: &[u64], b: &[u64]) -> Vec<u64> {
    let mut product = a.to_vec();
    bits::and_assign(&mut product, b);
    product
}

/// This seat's shares of x∧b in both directions.
fn add_cross_products(c: &mut [u64], pair: &PairBits) {
    bits::xor_assign(c, &pair.sent.zeros);
    bits::xor_assign(c, &pair.received.chosen);
}

fn share(n_bits: usize, a: Vec<u64>, b: Vec<u64>, c: Vec<u64>) -> BitTriples {
    let share = |words| BitShare::from_words(n_bits, words);
    BitTriples {
        a: share(a),
        b: share(b),
        c: share(c),
    }
}
