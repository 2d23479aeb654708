//! Silent VOLE over GF(2^128): long correlated vectors from short messages.
//!
//! The sender ends up with Δ and a vector B, the receiver with A and C, all of length n and random
//! to the other side, with
//!
//! ```text
//! C = B + A·Δ
//! ```
//!
//! Boyle, Couteau, Gilboa, Ishai, "Compressing Vector OLE", CCS 2018, with the dual form of learning
//! parity with regular noise and the code of `vole/code.rs`. A vector with 256 non-zero values at secret
//! places, one in each block, is shared with one punctured tree a block; both sides then multiply
//! their long vectors by a public compressing matrix, under which the sparse one looks random.
//!
//! ```text
//! OTs        the receiver's choices: for every block, the complement of its place α, and its value y
//! value      rows of y's OTs, added up with weights 1, X, X², …: C' at the receiver, B' at the
//!            sender, C' = B' + y·Δ
//! trees      sender → receiver: the sums of the left and of the right nodes of each level, masked
//!            by OT keys, and B' + Σ leaves
//!            receiver: all leaves v but v_α, and C_α = (B' + Σ leaves) + Σ known leaves + C'
//!                      = v_α + y·Δ
//! ```
//!
//! One OT extension serves trees and values, because the VOLE's Δ is the extension's. Security is
//! against semi-honest parties.

pub mod oprf;
mod code;

use crate::bits;
use crate::block::{Block, gf128};
use crate::cipher::Aes128;
use crate::hash::{self, CrHash};
use crate::memory::zeroed;
use crate::ot::extend::{self, Choices, ReceiverCots};
use crate::ot::tree::{Branching, Shape};
use crate::ot::{Direction, OtError, check_length};
use crate::params::{COMPUTATIONAL_BITS, VOLE_MIN_BLOCK, VOLE_NOISE as BLOCKS};
use crate::prg::Prg;
use code::Code;
use rayon::prelude::*;
use zeroize::Zeroize;

/// The sizes of a VOLE: a function of its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    n: usize,
    block: usize,
}

impl Size {
    /// A VOLE of length `n`.
    pub const fn new(n: usize) -> Self {
        let even = (2 * n).div_ceil(BLOCKS);
        let block = if even > VOLE_MIN_BLOCK {
            even
        } else {
            VOLE_MIN_BLOCK
        };
        Self { n, block }
    }

    /// Length of the OT receiver's message.
    pub const fn choices_bytes(self) -> usize {
        extend::message_bytes(self.n_ots(), Choices::Given)
    }

    /// Length of the VOLE sender's message.
    pub const fn trees_bytes(self) -> usize {
        BLOCKS * self.corrections() * Block::BYTES
    }

    /// OTs: one for each level of each tree, then one for each bit of each value.
    const fn n_ots(self) -> usize {
        BLOCKS * (self.depth() + COMPUTATIONAL_BITS)
    }

    const fn tree(self) -> Shape {
        Shape::new(self.block)
    }

    const fn depth(self) -> usize {
        self.tree().depth()
    }

    /// Blocks of message for each tree: two a level, but for the first, and the leaves' sum.
    const fn corrections(self) -> usize {
        2 * (self.depth() - 1) + 1
    }

    /// Elements before encoding.
    const fn n_leaves(self) -> usize {
        BLOCKS * self.block
    }
}

/// The sender's part: with the receiver's, C = B + A·Δ.
pub struct SenderVole {
    /// Δ.
    pub delta: Block,
    /// B.
    pub b: Vec<Block>,
}

/// The receiver's part: with the sender's, C = B + A·Δ.
pub struct ReceiverVole {
    /// A.
    pub a: Vec<Block>,
    /// C.
    pub c: Vec<Block>,
}

/// The side that holds Δ, when its message is made.
pub struct Sender {
    size: Size,
    code: Code,
    delta: Block,
    leaves: Vec<Block>,
}

impl Sender {
    /// Grows the trees. Takes the receiver's message, of [`Size::choices_bytes`], and returns the one
    /// to the receiver, of [`Size::trees_bytes`].
    ///
    /// # Errors
    ///
    /// [`OtError::WrongLength`], [`OtError::Exhausted`].
    pub fn new(
        direction: Direction,
        size: Size,
        mut extension: extend::Sender,
        message: &[u8],
    ) -> Result<(Self, Vec<u8>), OtError> {
        let place = Place::new(&direction, size);
        let delta = extension.delta();
        let cots = extension.cots(size.n_ots(), Choices::Given, message)?;
        let (keys, values) = split(&cots.rows, size);
        let mut leaves = zeroed(size.n_leaves());
        let mut corrections = zeroed(BLOCKS * size.corrections());
        leaves
            .par_chunks_mut(size.block)
            .zip(corrections.par_chunks_mut(size.corrections()))
            .enumerate()
            .for_each_init(
                || (size.tree().scratch(), vec![[Block::ZERO; 2]; size.depth()]),
                |(scratch, sums), (tree, (leaves, corrections))| {
                    let branching = place.branching(tree);
                    let keys: Vec<[Block; 2]> = (0..size.depth())
                        .map(|level| {
                            let row = keys[tree * size.depth() + level];
                            [row, row ^ delta].map(|row| place.key(tree, level, row))
                        })
                        .collect();
                    size.tree().grow(&branching, keys[0], leaves, sums, scratch);
                    let masked = sums[1..].iter().zip(&keys[1..]);
                    let masked = masked.flat_map(|(s, k)| [s[0] ^ k[0], s[1] ^ k[1]]);
                    let [left, right] = sums[size.depth() - 1];
                    let total = combine(values, tree) ^ left ^ right;
                    for (c, value) in corrections.iter_mut().zip(masked.chain([total])) {
                        *c = value;
                    }
                    sums.as_flattened_mut().zeroize();
                },
            );
        let message = corrections.iter().flat_map(|c| c.to_bytes()).collect();
        let code = place.code;
        let sender = Self {
            size,
            code,
            delta,
            leaves,
        };
        Ok((sender, message))
    }

    /// Multiplies by the matrix: most of the work, and nothing is waited for.
    pub fn finish(mut self) -> SenderVole {
        let mut b = std::mem::take(&mut self.leaves);
        self.code.encode(&mut b);
        b.truncate(self.size.n);
        b.shrink_to_fit();
        SenderVole {
            delta: self.delta,
            b,
        }
    }
}

/// The other side, between its message and the sender's.
pub struct Receiver {
    size: Size,
    place: Place,
    noise: Vec<Noise>,
    cots: ReceiverCots,
}

/// The non-zero element of one block.
#[derive(Clone, Copy)]
struct Noise {
    position: usize,
    value: Block,
}

impl Receiver {
    /// Draws the noise. Returns the message to the sender, of [`Size::choices_bytes`].
    ///
    /// # Errors
    ///
    /// [`OtError::Exhausted`].
    pub fn new(
        direction: Direction,
        size: Size,
        mut extension: extend::Receiver,
        prg: &mut Prg,
    ) -> Result<(Self, Vec<u8>), OtError> {
        let draw = |_| Noise {
            position: prg.next_bounded(size.block as u64) as usize,
            value: Block(u128::from(prg.next_u64()) << 64 | u128::from(prg.next_u64())),
        };
        let noise: Vec<Noise> = (0..BLOCKS).map(draw).collect();
        let paths = noise.iter().flat_map(|noise| {
            (0..size.depth()).map(|level| noise.position >> (size.depth() - 1 - level) & 1 == 0)
        });
        let values = noise
            .iter()
            .flat_map(|noise| (0..COMPUTATIONAL_BITS).map(|bit| noise.value.0 >> bit & 1 == 1));
        let mut choices: Vec<bool> = paths.chain(values).collect();
        let mut packed = bits::pack(&choices);
        choices.zeroize();
        let (cots, message) = extension.cots(size.n_ots(), Some(&packed))?;
        packed.zeroize();
        let receiver = Self {
            size,
            place: Place::new(&direction, size),
            noise,
            cots,
        };
        Ok((receiver, message))
    }

    /// Takes the sender's message, of [`Size::trees_bytes`], and does the rest of the work.
    ///
    /// # Errors
    ///
    /// [`OtError::WrongLength`].
    pub fn finish(self, message: &[u8]) -> Result<ReceiverVole, OtError> {
        let Self { size, place, .. } = &self;
        check_length("VOLE trees", message, size.trees_bytes())?;
        let (keys, values) = split(&self.cots.rows, *size);
        let (corrections, _) = message.as_chunks::<{ Block::BYTES }>();
        let mut c = zeroed(size.n_leaves());
        c.par_chunks_mut(size.block)
            .zip(corrections.par_chunks(size.corrections()))
            .enumerate()
            .for_each_init(
                || (size.tree().scratch(), vec![Block::ZERO; size.depth()]),
                |(scratch, leaving), (tree, (leaves, corrections))| {
                    let Noise { position, .. } = self.noise[tree];
                    for (level, sum) in leaving.iter_mut().enumerate() {
                        *sum = place.key(tree, level, keys[tree * size.depth() + level]);
                        if level > 0 {
                            let side = position >> (size.depth() - 1 - level) & 1 ^ 1;
                            *sum ^= Block::from_bytes(corrections[2 * (level - 1) + side]);
                        }
                    }
                    let branching = place.branching(tree);
                    let known = size
                        .tree()
                        .regrow(&branching, position, leaving, leaves, scratch);
                    let total = Block::from_bytes(corrections[size.corrections() - 1]);
                    leaves[position] = total ^ known ^ combine(values, tree);
                    leaving.as_mut_slice().zeroize();
                },
            );
        let mut a = zeroed(size.n_leaves());
        for (tree, noise) in self.noise.iter().enumerate() {
            a[tree * size.block + noise.position] = noise.value;
        }
        rayon::join(|| place.code.encode(&mut a), || place.code.encode(&mut c));
        for encoded in [&mut a, &mut c] {
            encoded.truncate(size.n);
            // Half of it went into the code, and the rest is kept for as long as the VOLE is.
            encoded.shrink_to_fit();
        }
        Ok(ReceiverVole { a, c })
    }
}

/// What both sides keep alike.
struct Place {
    size: Size,
    tree_keys: Aes128,
    hash: CrHash,
    code: Code,
}

impl Place {
    fn new(direction: &Direction, size: Size) -> Self {
        let place = direction.to_bytes();
        let key = |context| hash::derive_key(context, &[&place]);
        Self {
            size,
            tree_keys: Aes128::new(&key("entente/v1/vole/trees").aes_key()),
            hash: CrHash::new(&key("entente/v1/vole/hash")),
            code: Code::new(&key("entente/v1/vole/code"), size.n_leaves() / 2),
        }
    }

    fn branching(&self, tree: usize) -> Branching {
        Branching::plain(&self.tree_keys, 0, tree as u64)
    }

    /// The key of one level's OT.
    fn key(&self, tree: usize, level: usize, row: Block) -> Block {
        self.hash
            .hash(row, (tree * self.size.depth() + level) as u64)
    }
}

/// The rows of trees and those of values.
fn split(rows: &[Block], size: Size) -> (&[Block], &[Block]) {
    rows.split_at(BLOCKS * size.depth())
}

/// Σ_b X^b·(row b of a block's value).
fn combine(values: &[Block], tree: usize) -> Block {
    let rows = &values[tree * COMPUTATIONAL_BITS..][..COMPUTATIONAL_BITS];
    let horner = |sum, row: &Block| gf128::mul(sum, Block(2)) ^ *row;
    rows.iter().rev().fold(Block::ZERO, horner)
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.delta.zeroize();
        self.leaves.zeroize();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        for noise in &mut self.noise {
            noise.position.zeroize();
            noise.value.zeroize();
        }
    }
}

impl Drop for SenderVole {
    fn drop(&mut self) {
        self.delta.zeroize();
        self.b.zeroize();
    }
}

impl Drop for ReceiverVole {
    fn drop(&mut self) {
        self.a.zeroize();
        self.c.zeroize();
    }
}
