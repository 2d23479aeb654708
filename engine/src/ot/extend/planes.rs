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
pub(super) type Rows = [Block; 64];
pub(super) const ZERO_ROWS: Rows = [Block::ZERO; 64];

/// Working memory for one chunk, used for one after the other.
pub(super) struct Planes {
    planes: Vec<u64>,
    streams: Vec<[u64; CHUNK_WORDS]>,
    /// Words in use: fewer than [`CHUNK_WORDS`] in a call's last chunk.
    width: usize,
}

impl Planes {
    pub(super) fn new() -> Self {
        Self {
            planes: vec![0; COMPUTATIONAL_BITS * STRIDE],
            streams: vec![[0; CHUNK_WORDS]; LEAVES],
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
        for bit in 0..K {
            let mask = u64::from(index >> bit & 1).wrapping_neg();
            let plane = &mut self.planes[(tree * K + bit) * STRIDE..][..self.width];
            for (p, d) in plane.iter_mut().zip(correction.chunks_exact(8)) {
                *p ^= mask & u64::from_le_bytes(d.try_into().expect("8 bytes were cut out"));
            }
        }
    }

    /// The rows of the 64 OTs in word `word` of every plane.
    pub(super) fn rows(&self, word: usize) -> Rows {
        let column = |first: usize| {
            let mut tile: [u64; 64] =
                std::array::from_fn(|plane| self.planes[(first + plane) * STRIDE + word]);
            bits::transpose_64(&mut tile);
            tile
        };
        let (mut low, mut high) = (column(0), column(64));
        let rows = std::array::from_fn(|j| Block(u128::from(high[j]) << 64 | u128::from(low[j])));
        low.zeroize();
        high.zeroize();
        rows
    }
}

impl Drop for Planes {
    fn drop(&mut self) {
        self.planes.zeroize();
        self.streams.zeroize();
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
