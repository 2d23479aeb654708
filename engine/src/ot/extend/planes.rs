//! One chunk of OTs as bit planes: summing the streams of a tree, and reading planes across.
//!
//! A plane has one bit for each OT of the chunk; plane 4·i + b belongs to bit b of tree i, and so
//! to bit 4·i + b of Δ. OT j's row is bit j of all 128 planes.

use crate::bits;
use crate::block::Block;
use crate::cipher::{Aes128, Bytes16};
use crate::params::{COMPUTATIONAL_BITS, OT_CHUNK, SOFTSPOKEN_K as K, SOFTSPOKEN_LEAVES as LEAVES};
use crate::wide;
use zeroize::Zeroize;

/// Words of a plane.
pub(super) const CHUNK_WORDS: usize = OT_CHUNK / 64;
/// AES blocks that a leaf makes for a chunk.
const CHUNK_BLOCKS: usize = OT_CHUNK / 128;
/// Distance between planes. A power of two would put one word of all planes into the same few sets
/// of the cache, just when they are read together.
const STRIDE: usize = CHUNK_WORDS + 8;

/// The rows of 64 OTs.
pub type Rows = [Block; 64];
pub(super) const ZERO_ROWS: Rows = [Block::ZERO; 64];

/// Room for what is made of rows, wiped when its owner is done, not after every 64 of them.
pub struct Pad {
    /// The rows, and their hashes.
    pub zeros: Rows,
    /// The same of the rows with Δ added.
    pub ones: Rows,
}

impl Pad {
    pub(super) fn new() -> Self {
        Self {
            zeros: ZERO_ROWS,
            ones: ZERO_ROWS,
        }
    }

    /// Copies the rows.
    #[inline]
    pub(in crate::ot) fn copy(&mut self, rows: &Rows) {
        wide::run(|| self.zeros.copy_from_slice(rows));
    }

    /// Copies the rows, and those that differ from them by Δ.
    #[inline]
    pub(in crate::ot) fn copy_both(&mut self, rows: &Rows, delta: Block) {
        let (zeros, ones) = (&mut self.zeros, &mut self.ones);
        wide::run(|| {
            for ((zero, one), row) in zeros.iter_mut().zip(ones).zip(rows) {
                *zero = *row;
                *one = *row ^ delta;
            }
        });
    }
}

impl Drop for Pad {
    fn drop(&mut self) {
        self.zeros.zeroize();
        self.ones.zeroize();
    }
}

/// The lowest bits of 64 blocks as a word, after a shift to the right.
#[inline]
pub(in crate::ot) fn word_of(rows: &Rows, shift: usize) -> u64 {
    let halves: &[[u64; 2]; 64] = bytemuck::cast_ref(rows);
    let mut word = 0;
    wide::run(|| {
        for (i, [low, _]) in halves.iter().enumerate() {
            word |= (low >> shift & 1) << i;
        }
    });
    word
}

/// Working memory for one chunk, used for one after the other.
pub(super) struct Planes {
    planes: Vec<u64>,
    streams: Vec<[u64; CHUNK_WORDS]>,
    tiles: [[u64; 64]; 2],
    rows: Rows,
    pad: Pad,
    /// Words in use: fewer than [`CHUNK_WORDS`] in a call's last chunk.
    width: usize,
}

impl Planes {
    pub(super) fn new() -> Self {
        Self {
            planes: vec![0; COMPUTATIONAL_BITS * STRIDE],
            streams: vec![[0; CHUNK_WORDS]; LEAVES],
            tiles: [[0; 64]; 2],
            rows: ZERO_ROWS,
            pad: Pad::new(),
            width: 0,
        }
    }

    /// Begins a chunk of at most `width` words. Contents of the last one are overwritten.
    pub(super) fn begin(&mut self, width: usize) {
        assert!(width <= CHUNK_WORDS, "a chunk has {CHUNK_WORDS} words");
        self.width = width;
    }

    /// Computes the planes of one tree, and returns the sum of all streams.
    ///
    /// Plane b is the XOR of the streams of all leaves whose number has bit b. If a leaf is
    /// missing, `leaves` are those from number 1 on, and the returned sum lacks leaf 0's stream.
    pub(super) fn sum_tree(&mut self, tree: usize, leaves: &[Aes128], chunk: u64) -> &[u64] {
        let absent = LEAVES - leaves.len();
        self.streams[..absent].fill([0; CHUNK_WORDS]);
        let first = chunk * CHUNK_BLOCKS as u64;
        for (leaf, stream) in leaves.iter().zip(&mut self.streams[absent..]) {
            let blocks: &mut [Bytes16] = bytemuck::cast_slice_mut(&mut stream[..self.width]);
            leaf.keystream(0, first, blocks);
        }
        let (planes, _) = self.planes[tree * K * STRIDE..].split_at_mut(K * STRIDE);
        wide::run(|| weighted_sums(planes, &mut self.streams, self.width));
        &self.streams[0][..self.width]
    }

    /// XORs `correction` into those planes of a tree whose bit is set in `index`, without a branch.
    pub(super) fn correct_tree(&mut self, tree: usize, index: u8, correction: &[u8]) {
        let (words, _) = correction.as_chunks::<8>();
        let words = &words[..self.width];
        wide::run(|| {
            for bit in 0..K {
                let mask = u64::from(index >> bit & 1).wrapping_neg();
                let plane = &mut self.planes[(tree * K + bit) * STRIDE..][..words.len()];
                for (p, d) in plane.iter_mut().zip(words) {
                    *p ^= mask & u64::from_le_bytes(*d);
                }
            }
        });
    }

    /// Hands the rows of this chunk, the call's number `position`, on with the part of `out` that is
    /// theirs.
    pub(super) fn each<T>(
        &mut self,
        position: usize,
        out: &mut [T],
        groups_each: usize,
        with: &impl Fn(usize, &Rows, &mut Pad, &mut T),
    ) {
        for (part, out) in out.iter_mut().enumerate() {
            let groups = part * groups_each..self.width.min((part + 1) * groups_each);
            for word in groups {
                let at = position * OT_CHUNK + 64 * word;
                self.read_rows(word);
                with(at, &self.rows, &mut self.pad, out);
            }
        }
    }

    /// Reads the rows of the 64 OTs in word `word` of every plane.
    fn read_rows(&mut self, word: usize) {
        let [low, high] = &mut self.tiles;
        for (plane, (low, high)) in low.iter_mut().zip(high.iter_mut()).enumerate() {
            *low = self.planes[plane * STRIDE + word];
            *high = self.planes[(64 + plane) * STRIDE + word];
        }
        bits::transpose_64(low);
        bits::transpose_64(high);
        for (row, (low, high)) in self.rows.iter_mut().zip(low.iter().zip(high.iter())) {
            *row = Block(u128::from(*high) << 64 | u128::from(*low));
        }
    }
}

impl Drop for Planes {
    fn drop(&mut self) {
        self.planes.zeroize();
        self.streams.zeroize();
        self.tiles.zeroize();
        self.rows.zeroize();
    }
}

/// Words that are summed together: one register of the widest kind.
const LANES: usize = 8;

/// Plane b becomes the XOR of all streams whose number has bit b; stream 0 the XOR of all.
///
/// The upper half of the streams is folded onto the lower one, once for each bit: what is folded is
/// what has the bit. All of it happens in registers, [`LANES`] words at a time; where `width` is
/// no multiple of that, some words past it are overwritten with nothing of meaning.
#[inline(always)]
fn weighted_sums(planes: &mut [u64], streams: &mut [[u64; CHUNK_WORDS]], width: usize) {
    for at in (0..width).step_by(LANES) {
        let mut sums: [[u64; LANES]; LEAVES] =
            std::array::from_fn(|x| std::array::from_fn(|lane| streams[x][at + lane]));
        for bit in (0..K).rev() {
            let (lower, upper) = sums.split_at_mut(1 << bit);
            let mut plane = [0; LANES];
            for (low, up) in lower.iter_mut().zip(upper) {
                for lane in 0..LANES {
                    plane[lane] ^= up[lane];
                    low[lane] ^= up[lane];
                }
            }
            planes[bit * STRIDE + at..][..LANES].copy_from_slice(&plane);
        }
        streams[0][at..at + LANES].copy_from_slice(&sums[0]);
    }
}
