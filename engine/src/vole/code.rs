//! The code of silent VOLE: expand-convolute, as its transpose.
//!
//! Raghuraman, Rindal, Tanguy, "Expand-Convolute Codes for Pseudorandom Correlation Generators from
//! LPN", 2023/882, in the systematic form of libOTe: expander of weight 7, of which 4 positions are
//! regular, and two passes of an accumulator of 24 random taps and a fixed one behind them.
//!
//! A vector of 2n elements is cut into a head and a tail of n. The tail is accumulated twice:
//!
//! ```text
//! for i = 0, 1, …   tail[i + 1 + j] += tail[i] for every tap j < 24 with a random 1, and for j = 24
//! ```
//!
//! where positions past the end count from the start; the second pass has taps of its own. Then
//! every head element adds 7 elements of the tail: one of each quarter, and 3 of any place.
//!
//! Taps and positions come from a generator under a public key that belongs to one session. Differs
//! from libOTe: the generator, and taps of neighbouring elements share no random bits.

#[cfg(target_arch = "x86_64")]
mod wide;

use crate::block::Block;
use crate::cipher::Aes128;
use crate::params::{VOLE_REGULAR_WEIGHT as REGULAR, VOLE_TAPS as TAPS, VOLE_WEIGHT as WEIGHT};
use crate::prg::Seed;
use rayon::prelude::*;
use zeroize::Zeroize;

/// Elements whose taps or positions are drawn together.
const BATCH: usize = 256;
/// Head elements that one thread makes together.
const CHUNK: usize = 16 * BATCH;
/// Random words that one head element takes: its positions, and one to make whole blocks.
const POSITION_WORDS: usize = WEIGHT.next_power_of_two();
/// Bits of a random word that are taps, and the fixed one.
const RANDOM_TAPS: u32 = (1 << TAPS) - 1;
const FIXED_TAP: u32 = 1 << TAPS;

/// Streams of the generator: one for each pass, and the positions.
const POSITIONS: u64 = 2;

/// The code for heads of one length.
pub(super) struct Code {
    generator: Aes128,
    n: usize,
}

impl Code {
    /// # Panics
    ///
    /// If `n` is smaller than the taps, or positions do not fit a word.
    pub(super) fn new(key: &Seed, n: usize) -> Self {
        assert!(
            (2 * (TAPS + 1)..1 << 31).contains(&n),
            "no code of this length"
        );
        let generator = Aes128::new(&key.aes_key());
        Self { generator, n }
    }

    /// Replaces 2n elements by n.
    ///
    /// # Panics
    ///
    /// If `vector` has another length.
    pub(super) fn encode(&self, vector: &mut Vec<Block>) {
        assert_eq!(vector.len(), 2 * self.n, "the code's length");
        let (head, tail) = vector.split_at_mut(self.n);
        for pass in 0..POSITIONS {
            self.accumulate(pass, tail);
        }
        head.par_chunks_mut(CHUNK)
            .enumerate()
            .for_each(|(chunk, head)| self.expand(chunk * CHUNK, head, tail));
        tail.zeroize();
        vector.truncate(self.n);
    }

    fn accumulate(&self, pass: u64, tail: &mut [Block]) {
        let mut words = [0u32; BATCH];
        let n_inner = tail.len() - (TAPS + 1).next_multiple_of(8);
        for start in (0..tail.len()).step_by(BATCH) {
            let blocks = bytemuck::cast_slice_mut(&mut words);
            self.generator.keystream(pass, (start / 4) as u64, blocks);
            let end = (start + BATCH).min(tail.len());
            let inner = n_inner.clamp(start, end) & !3;
            accumulate_inner(tail, start, &words[..inner - start]);
            for at in inner..end {
                add_to_followers(tail, at, taps(words[at - start]));
            }
        }
    }

    /// Adds to the head elements from number `first` on what the tail gives them.
    fn expand(&self, first: usize, head: &mut [Block], tail: &[Block]) {
        let quarter = self.n / REGULAR;
        let mut words = [[0u32; POSITION_WORDS]; BATCH];
        for (batch, head) in head.chunks_mut(BATCH).enumerate() {
            let blocks = bytemuck::cast_slice_mut(&mut words[..head.len()]);
            let at = (first + batch * BATCH) * (POSITION_WORDS / 4);
            self.generator.keystream(POSITIONS, at as u64, blocks);
            for (head, words) in head.iter_mut().zip(&words) {
                let position = |word: u32, n: usize| {
                    ((u64::from(u32::from_le(word)) * n as u64) >> 32) as usize
                };
                let (regular, free) = words[..WEIGHT].split_at(REGULAR);
                for (part, word) in regular.iter().enumerate() {
                    *head ^= tail[part * quarter + position(*word, quarter)];
                }
                for word in free {
                    *head ^= tail[position(*word, self.n)];
                }
            }
        }
    }
}

fn taps(word: u32) -> u32 {
    u32::from_le(word) & RANDOM_TAPS | FIXED_TAP
}

/// Adds elements `start`, `start` + 1, … one after the other to those that follow, by the taps in
/// `words`. No tap reaches past the end.
fn accumulate_inner(tail: &mut [Block], start: usize, words: &[u32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(wide) = wide::Wide::detect() {
        return wide.accumulate(tail, start, words);
    }
    for (at, word) in (start..).zip(words) {
        add_to_followers(tail, at, taps(*word));
    }
}

/// Adds element `at` to those behind it that `taps` selects, the nearest by the lowest bit.
fn add_to_followers(tail: &mut [Block], at: usize, taps: u32) {
    let element = tail[at];
    for tap in 0..=TAPS {
        let mut follower = at + 1 + tap;
        if follower >= tail.len() {
            follower -= tail.len();
        }
        tail[follower] ^= element.masked(u64::from(taps >> tap & 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    fn key() -> Seed {
        Seed::from_bytes([4; 32])
    }

    fn random(n: usize, stream: u64) -> Vec<Block> {
        let mut values = vec![0u128; n];
        Prg::new(&Seed::from_bytes([5; 32]), stream).fill_ring(&mut values);
        values.into_iter().map(Block).collect()
    }

    /// Both backends, on lengths around the batch. On a processor without the wide one this
    /// compares the portable one with itself.
    #[test]
    fn accumulators_agree() {
        println!("seeds [4; 32], [5; 32]");
        for n in [
            50, 51, 64, 100, 255, 256, 257, 300, 511, 512, 513, 1000, 4096,
        ] {
            let code = Code::new(&key(), n);
            let (mut fast, mut slow) = (random(n, 0), random(n, 0));
            for pass in 0..2 {
                code.accumulate(pass, &mut fast);
                let mut words = vec![0u32; n.next_multiple_of(4)];
                let blocks = bytemuck::cast_slice_mut(&mut words);
                code.generator.keystream(pass, 0, blocks);
                for (at, word) in words[..n].iter().enumerate() {
                    add_to_followers(&mut slow, at, taps(*word));
                }
            }
            assert!(fast == slow, "{n} elements");
        }
    }

    #[test]
    fn encoding_is_linear_and_has_the_declared_weights() {
        let n = 5000;
        let code = Code::new(&key(), n);
        let (mut a, mut b) = (random(2 * n, 1), random(2 * n, 2));
        let mut sum: Vec<Block> = a.iter().zip(&b).map(|(a, b)| *a ^ *b).collect();
        for vector in [&mut a, &mut b, &mut sum] {
            code.encode(vector);
            assert_eq!(vector.len(), n);
        }
        assert!((0..n).all(|i| sum[i] == a[i] ^ b[i]));

        // A head element comes through alone; a tail element reaches about half of the head.
        let unit = |at: usize| {
            let mut vector = vec![Block::ZERO; 2 * n];
            vector[at] = Block(1);
            code.encode(&mut vector);
            vector.iter().filter(|x| **x == Block(1)).count()
        };
        assert_eq!(unit(17), 1);
        for at in [n, n + 1, 2 * n - 1] {
            assert!((2000..3000).contains(&unit(at)), "{} from {at}", unit(at));
        }
    }
}
