//! Order statistics of public groups, from bit triples alone.
//!
//! Which group a row belongs to is public in kind, so each holder prepares its own numbers by group in the clear:
//! [`extreme`] compares one number a holder and group, [`rank`] walks over a histogram on a short list of values.
//! No row leaves its holder, and nothing is sorted.
//!
//! Both end with XOR-shared bits. A seat's bit, moved to the top of a ring element, is an additive share of the
//! same bit there, because sums modulo 2^64 keep only the parity of their top bits. [`columns`] does this, so that
//! bits are released together with totals, by [`release`](crate::aggregate::release).

pub mod extreme;
pub mod rank;

use engine::share::boolean::BitShare;

/// The position of a released bit in its ring element.
const TOP: u32 = u64::BITS - 1;

/// Shared bits as shares over Z_2^64 of 2^63 times the bit, one column a plane.
pub fn columns(planes: &[BitShare]) -> Vec<Vec<u64>> {
    let column = |plane: &BitShare| {
        let bit = |i: usize| plane.as_words()[i / 64] >> (i % 64) & 1;
        (0..plane.n_bits()).map(|i| bit(i) << TOP).collect()
    };
    planes.iter().map(column).collect()
}

/// The number whose bits were released in these columns, lowest first; `None` if a value is no released bit.
pub fn number(bits: impl IntoIterator<Item = u64>) -> Option<u64> {
    let mut number = 0;
    for (place, value) in bits.into_iter().enumerate() {
        if value & !(1 << TOP) != 0 || place >= 64 {
            return None;
        }
        number |= value >> TOP << place;
    }
    Some(number)
}
