//! Packed bits: bit i of a vector is bit i mod 64 of word i / 64, least significant first.

use crate::ring::Ring;
use crate::wide;
use zeroize::Zeroize;

/// Number of 64-bit words that hold `n_bits` bits.
pub const fn words_for(n_bits: usize) -> usize {
    n_bits.div_ceil(64)
}

/// Clears the bits of the last word that lie past `n_bits`.
///
/// # Panics
///
/// If `words` does not have [`words_for`]`(n_bits)` words.
pub fn clear_tail(words: &mut [u64], n_bits: usize) {
    assert_eq!(words.len(), words_for(n_bits), "wrong number of words");
    if let (used @ 1.., Some(last)) = (n_bits % 64, words.last_mut()) {
        *last &= (1 << used) - 1;
    }
}

/// Bit `index` of a packed vector.
///
/// # Panics
///
/// If `index` lies outside.
pub fn get(words: &[u64], index: usize) -> bool {
    words[index / 64] >> (index % 64) & 1 == 1
}

/// Packs booleans.
pub fn pack(values: &[bool]) -> Vec<u64> {
    let pack_word = |chunk: &[bool]| {
        chunk
            .iter()
            .enumerate()
            .fold(0, |word, (i, bit)| word | u64::from(*bit) << i)
    };
    values.chunks(64).map(pack_word).collect()
}

/// Unpacks the first `n_bits` bits.
///
/// # Panics
///
/// If there are not exactly [`words_for`]`(n_bits)` words.
pub fn unpack(words: &[u64], n_bits: usize) -> Vec<bool> {
    assert_eq!(words.len(), words_for(n_bits), "wrong number of words");
    (0..n_bits).map(|i| get(words, i)).collect()
}

/// Bits `at`, `at` + 1, … of a packed vector, `n_bits` of them, packed from bit 0 on.
///
/// # Panics
///
/// If the range lies outside.
pub fn range(words: &[u64], at: usize, n_bits: usize) -> Vec<u64> {
    let (first, shift) = (at / 64, at % 64);
    let mut out: Vec<u64> = if shift == 0 {
        words[first..first + words_for(n_bits)].to_vec()
    } else {
        let high = |i: usize| words.get(i + 1).map_or(0, |w| w << (64 - shift));
        (first..first + words_for(n_bits))
            .map(|i| words[i] >> shift | high(i))
            .collect()
    };
    clear_tail(&mut out, n_bits);
    out
}

/// ORs packed bits into `words` from bit `at` on. Bits past the end of `words` must be zero.
///
/// # Panics
///
/// If a bit that is set lies outside.
pub fn or_at(words: &mut [u64], at: usize, other: &[u64]) {
    let (first, shift) = (at / 64, at % 64);
    for (i, word) in other.iter().enumerate() {
        if *word << shift != 0 {
            words[first + i] |= word << shift;
        }
        if shift != 0 && word >> (64 - shift) != 0 {
            words[first + i + 1] |= word >> (64 - shift);
        }
    }
}

/// `acc ^= other`, word by word.
///
/// # Panics
///
/// If the lengths differ.
pub fn xor_assign(acc: &mut [u64], other: &[u64]) {
    assert_eq!(acc.len(), other.len(), "bit vectors of unequal length");
    for (a, b) in acc.iter_mut().zip(other) {
        *a ^= b;
    }
}

/// `acc &= other`, word by word.
///
/// # Panics
///
/// If the lengths differ.
pub fn and_assign(acc: &mut [u64], other: &[u64]) {
    assert_eq!(acc.len(), other.len(), "bit vectors of unequal length");
    for (a, b) in acc.iter_mut().zip(other) {
        *a &= b;
    }
}

/// Words of a plane that [`block_planes`] makes at a time: a line of the cache. Planes written word by
/// word, all a power of two apart, would push each other out.
pub const BLOCK_WORDS: usize = 8;

/// Items of a full block of [`block_planes`].
pub const BLOCK_ITEMS: usize = 64 * BLOCK_WORDS;

/// The lowest bit planes of at most [`BLOCK_ITEMS`] elements, as many as there are places for: bit j of
/// word w of plane i is bit i of element 64·w + j. Missing elements count as zero.
///
/// # Panics
///
/// If there are more elements, or more places than bits.
pub fn block_planes<R: Ring>(values: &[R], planes: &mut [[u64; BLOCK_WORDS]]) {
    assert!(values.len() <= BLOCK_ITEMS, "a block holds fewer elements");
    assert!(
        planes.len() <= R::BITS as usize,
        "an element has fewer bits"
    );
    let n_limbs = R::BYTES / 8;
    let limbs: &[u64] = bytemuck::cast_slice(values);
    let mut tile = [0; 64];
    for (limb, planes) in planes.chunks_mut(64).enumerate() {
        for word in 0..BLOCK_WORDS {
            for (bit, row) in tile.iter_mut().enumerate() {
                let at = (64 * word + bit) * n_limbs + limb;
                *row = limbs.get(at).copied().unwrap_or(0);
            }
            transpose_64(&mut tile);
            for (plane, row) in planes.iter_mut().zip(&tile) {
                plane[word] = *row;
            }
        }
    }
    tile.zeroize();
}

/// Transposes a 64×64 bit matrix in place: bit j of row i changes places with bit i of row j.
pub fn transpose_64(rows: &mut [u64; 64]) {
    wide::transpose_64(rows, transpose_64_portable);
}

/// Six passes exchange ever smaller off-diagonal squares (Hacker's Delight, §7-3). The inner loops
/// have fixed bounds, so that they vectorise.
fn transpose_64_portable(rows: &mut [u64; 64]) {
    exchange::<32>(rows, 0x0000_0000_ffff_ffff);
    exchange::<16>(rows, 0x0000_ffff_0000_ffff);
    exchange::<8>(rows, 0x00ff_00ff_00ff_00ff);
    exchange::<4>(rows, 0x0f0f_0f0f_0f0f_0f0f);
    exchange::<2>(rows, 0x3333_3333_3333_3333);
    exchange::<1>(rows, 0x5555_5555_5555_5555);
}

/// In every 2S×2S square on the diagonal, exchanges the high columns of the upper rows with the
/// low columns of the lower rows. `low` selects the low columns.
#[inline(always)]
fn exchange<const S: usize>(rows: &mut [u64; 64], low: u64) {
    for square in rows.chunks_exact_mut(2 * S) {
        let (upper, lower) = square.split_at_mut(S);
        for (u, l) in upper.iter_mut().zip(lower) {
            let swap = (*u >> S ^ *l) & low;
            *u ^= swap << S;
            *l ^= swap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::{Prg, Seed};

    /// On a processor without the wide kernel this compares the portable one with itself.
    #[test]
    fn transpositions_agree() {
        println!("seed [1; 32]");
        let mut prg = Prg::new(&Seed::from_bytes([1; 32]), 0);
        for _ in 0..100 {
            let mut rows = [0; 64];
            prg.fill_ring(&mut rows);
            let (mut fast, mut portable) = (rows, rows);
            transpose_64(&mut fast);
            transpose_64_portable(&mut portable);
            assert_eq!(fast, portable);
        }
    }

    fn check_block_planes<R: Ring>() {
        println!("seed [2; 32]");
        let mut prg = Prg::new(&Seed::from_bytes([2; 32]), 0);
        for n_items in [0, 1, 63, 64, 65, 300, BLOCK_ITEMS] {
            let mut values = vec![R::ZERO; n_items];
            prg.fill_ring(&mut values);
            for n_planes in [1, 13, 64, R::BITS] {
                // What was there before is overwritten.
                let mut planes = vec![[u64::MAX; BLOCK_WORDS]; n_planes as usize];
                block_planes(&values, &mut planes);
                for (i, plane) in (0..).zip(&planes) {
                    for item in 0..BLOCK_ITEMS {
                        let value = values.get(item).copied().unwrap_or(R::ZERO);
                        let bit = value.shr(i).shl(R::BITS - 1) != R::ZERO;
                        assert_eq!(get(plane, item), bit, "bit {i} of item {item}");
                    }
                }
            }
        }
    }

    #[test]
    fn planes_of_a_block_hold_the_bits_of_its_elements() {
        check_block_planes::<u64>();
        check_block_planes::<u128>();
    }
}
