//! Random tables of which the receiver has one entry: 1-of-16 OT of two bits, from four correlated OTs.
//!
//! The sender's table M has an entry for each x in 0..16, the receiver has a random c and M_c. OT i of
//! four has the choice c_i, bit i of c, and two messages of 32 bits, two for each x:
//!
//! ```text
//! M_x = ⊕_i  bits 2x and 2x + 1 of message x_i of OT i
//! ```
//!
//! The receiver has message c_i of every OT, and so M_c. Every other x differs from c in some bit i, and
//! then M_x contains two bits of a message that the receiver does not have. Different x use different
//! bits of it, so all other entries are random to the receiver together (Naor and Pinkas, STOC '99, with
//! the generator's outputs laid out side by side). Four OTs compare four bits with four bits.

use super::extend::{Extension, Pad, RowSource, Rows};
use super::products::Hasher;
use crate::block::Block;

/// Tables that 64 OTs make.
const GROUP_TABLES: usize = 64 / BITS;

/// Bits of an index.
pub const BITS: usize = 4;

/// The entries x whose bit i is set, two bits each.
const HAS_BIT: [u32; BITS] = [0xcccc_cccc, 0xf0f0_f0f0, 0xff00_ff00, 0xffff_0000];

/// The sender's tables: entry x is bits 2x and 2x + 1.
///
/// # Panics
///
/// If the number of OTs is no multiple of 64.
pub fn send((hasher, first): (&Hasher, u64), (delta, source): (Block, impl RowSource)) -> Vec<u32> {
    let n_tables = n_tables(&source);
    let mut tables = vec![0; n_tables];
    let (groups, _) = tables.as_chunks_mut::<GROUP_TABLES>();
    let with = |at: usize, rows: &Rows, pad: &mut Pad, out: &mut [u32; GROUP_TABLES]| {
        pad.copy_both(rows, delta);
        hasher.hash(&mut pad.zeros, first + at as u64, 0);
        hasher.hash(&mut pad.ones, first + at as u64, 0);
        let (zero, _) = pad.zeros.as_chunks::<BITS>();
        let (one, _) = pad.ones.as_chunks::<BITS>();
        for ((out, zero), one) in out.iter_mut().zip(zero).zip(one) {
            for ((zero, one), mask) in zero.iter().zip(one).zip(HAS_BIT) {
                *out ^= (zero.0 as u32 & !mask) ^ (one.0 as u32 & mask);
            }
        }
    };
    source.each(groups, 1, with);
    tables
}

/// The receiver's entries, of two bits each, the word of all messages that it has; see [`entry`]. And
/// what the source leaves.
///
/// # Panics
///
/// If the number of OTs is no multiple of 64.
pub fn receive((hasher, first): (&Hasher, u64), source: impl RowSource) -> (Vec<u32>, Extension) {
    let mut words = vec![0; n_tables(&source)];
    let (groups, _) = words.as_chunks_mut::<GROUP_TABLES>();
    let with = |at: usize, rows: &Rows, pad: &mut Pad, out: &mut [u32; GROUP_TABLES]| {
        pad.copy(rows);
        hasher.hash(&mut pad.zeros, first + at as u64, 0);
        let (chosen, _) = pad.zeros.as_chunks::<BITS>();
        for (out, chosen) in out.iter_mut().zip(chosen) {
            *out = chosen.iter().fold(0, |sum, row| sum ^ row.0 as u32);
        }
    };
    let extension = source.each(groups, 1, with);
    (words, extension)
}

fn n_tables(source: &impl RowSource) -> usize {
    let n_ots = source.n_ots();
    assert!(n_ots.is_multiple_of(64), "OTs are hashed in groups of 64");
    n_ots / BITS
}

/// Entry `index` of a table.
#[inline(always)]
pub fn entry(table: u32, index: u8) -> u8 {
    (table >> (2 * (index & 15)) & 3) as u8
}

/// The table whose entry x is entry x ⊕ `shift` of this one. Without a branch or an address that depends
/// on anything.
#[inline(always)]
pub fn shifted(mut table: u32, shift: u8) -> u32 {
    for (bit, mask) in HAS_BIT.into_iter().enumerate() {
        let distance = 2 << bit;
        let swapped = (table & mask) >> distance | (table & !mask) << distance;
        let is_set = u32::from(shift >> bit & 1).wrapping_neg();
        table ^= (table ^ swapped) & is_set;
    }
    table
}

/// The table of adding x to numbers y of four bits: bit 0 of entry y says that the sum has a carry, bit 1
/// that it would have one if one more were added.
#[inline(always)]
pub fn carries(x: u8) -> u32 {
    const EVEN: u32 = 0x5555_5555;
    let x = u32::from(x & 15);
    // Entries from 16 − x on carry; entry 15 − x is all ones. A shift by 32 would be one too many.
    let carry = ((u64::from(u32::MAX) << (32 - 2 * x)) as u32) & EVEN;
    carry | 2 << (30 - 2 * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_carries_are_right_at_every_entry() {
        for x in 0..16u8 {
            for y in 0..16u8 {
                let expected = u8::from(x + y > 15) | u8::from(x + y == 15) << 1;
                assert_eq!(entry(carries(x), y), expected, "{x} + {y}");
            }
        }
    }

    #[test]
    fn shifted_tables_have_every_entry_where_it_belongs() {
        let table = 0x1b2d_83e4;
        for shift in 0..16 {
            for x in 0..16 {
                assert_eq!(entry(shifted(table, shift), x), entry(table, x ^ shift));
            }
        }
    }
}
