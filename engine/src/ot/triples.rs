//! Bit triples for any number of seats, from random OTs between every ordered pair.
//!
//! Seat i ends up with bits a_i, b_i, c_i such that ⊕c = (⊕a)∧(⊕b), and nobody knows more than its
//! own. The product of the sums is the sum of all a_i∧b_j. Seat i computes a_i∧b_i alone; for the
//! others there is one OT from i to j for every bit, with messages m_0, m_1 and choice b_j:
//!
//! ```text
//! x = m_0 ⊕ m_1,  y = m_{b_j} = m_0 ⊕ x∧b_j          so m_0 ⊕ y = x∧b_j
//! a_i = x, or seat i sends f = x ⊕ a_i                so m_0 ⊕ (y ⊕ f∧b_j) = a_i∧b_j
//! ```
//!
//! Each seat has one *lead*, the first other seat. The OTs with the lead fix its bits for free:
//! a_i is their x, b_i their random choice. With the others it uses b_i as given choices (one bit
//! more in the extension) and sends them f (one bit). Between two seats nothing is corrected.
//!
//! f reveals nothing: x is masked by the message that seat j did not choose, and so is a_i by the
//! one that the lead did not choose. Every OT is used for one bit of one triple.
//!
//! Beaver, CRYPTO '91, for triples; Goldreich, Micali, Wigderson, STOC '87, for products from OT.

use super::extend::{ReceiverBits, SenderBits};
use crate::bits;
use crate::share::boolean::BitShare;

/// The other seat whose OTs fix this seat's a and b: seat 0, or seat 1 for seat 0.
pub const fn lead(seat: usize) -> usize {
    if seat == 0 { 1 } else { 0 }
}

/// One seat's shares of random bits a, b and of c = a∧b. Used once.
pub struct BitTriples {
    /// Share of a.
    pub a: BitShare,
    /// Share of b.
    pub b: BitShare,
    /// Share of a∧b.
    pub c: BitShare,
}

/// f for the OTs with another seat than the lead: `lead` and `other` are this seat's OTs as sender.
///
/// # Panics
///
/// If the two have different lengths.
pub fn correction(lead: &SenderBits, other: &SenderBits) -> Vec<u64> {
    let mut f = lead.zeros.clone();
    for part in [&lead.ones, &other.zeros, &other.ones] {
        bits::xor_assign(&mut f, part);
    }
    f
}

/// The OTs with one other seat, in both directions.
pub struct PairBits {
    /// This seat's OTs as sender.
    pub sent: SenderBits,
    /// This seat's OTs as receiver.
    pub received: ReceiverBits,
    /// f from the other seat; none if this seat is the other's lead.
    pub correction: Option<Vec<u64>>,
}

/// Puts the triples together from the OTs with the lead and with every other seat.
///
/// # Panics
///
/// If lengths differ, or if the receivers' choices are not those made with the lead.
pub fn assemble(n_bits: usize, with_lead: PairBits, with_others: Vec<PairBits>) -> BitTriples {
    let mut a = with_lead.sent.zeros.clone();
    bits::xor_assign(&mut a, &with_lead.sent.ones);
    let b = with_lead.received.choices.clone();
    let mut c = a.clone();
    bits::and_assign(&mut c, &b);
    for pair in std::iter::once(with_lead).chain(with_others) {
        assert!(
            pair.received.choices == b,
            "all OTs of a seat are made with the same choices"
        );
        bits::xor_assign(&mut c, &pair.sent.zeros);
        bits::xor_assign(&mut c, &pair.received.chosen);
        if let Some(mut f) = pair.correction {
            bits::and_assign(&mut f, &b);
            bits::xor_assign(&mut c, &f);
        }
    }
    let share = |words| BitShare::from_words(n_bits, words);
    BitTriples {
        a: share(a),
        b: share(b),
        c: share(c),
    }
}
