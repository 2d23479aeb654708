//! From base OTs to punctured trees: once for each pair of seats and direction.
//!
//! The side that will send OTs receives base OTs, with the complement of Δ as its choices, and the
//! other way round.
//!
//! ```text
//! round 1   sender → receiver: group elements r_0, r_1     receiver → sender: group element Y
//! round 2                                                  receiver → sender: tree corrections
//! ```
//!
//! The first extension message may travel together with the corrections.

use super::{Receiver, Sender, State};
use crate::block::Block;
use crate::cipher::Aes128;
use crate::ot::pprf::{self, CORRECTIONS};
use crate::ot::{Direction, OtError, base, check_length};
use crate::params::{SOFTSPOKEN_K as K, SOFTSPOKEN_LEAVES as LEAVES, SOFTSPOKEN_TREES as TREES};
use crate::prg::Prg;
use zeroize::Zeroize;

/// Length of the receiver's second message: the corrections of all trees.
pub const TREES_BYTES: usize = TREES * CORRECTIONS * Block::BYTES;

/// The future [`Sender`], between its message and the receiver's two.
pub struct SenderSetup {
    direction: Direction,
    /// Its choices are the complement of Δ.
    base: base::Receiver,
}

impl SenderSetup {
    /// Draws Δ. Returns the message to the receiver, of [`base::RECEIVER_BYTES`].
    pub fn new(direction: Direction, prg: &mut Prg) -> (Self, Vec<u8>) {
        Self::with_lowest_bit(direction, prg, 0)
    }

    /// Like [`SenderSetup::new`], with the lowest bit of Δ set: then the lowest bit of a row can
    /// tell the choice, as [`crate::ot::ferret`] wants it. 127 bits of Δ are secret.
    pub fn with_odd_delta(direction: Direction, prg: &mut Prg) -> (Self, Vec<u8>) {
        Self::with_lowest_bit(direction, prg, 1)
    }

    fn with_lowest_bit(direction: Direction, prg: &mut Prg, set: u128) -> (Self, Vec<u8>) {
        let mut delta = [0; Block::BYTES];
        prg.fill_bytes(&mut delta);
        let choices = Block(!(u128::from_le_bytes(delta) | set));
        delta.zeroize();
        let (base, message) = base::Receiver::new(direction, choices, prg);
        (Self { direction, base }, message)
    }

    /// Takes the receiver's two messages, of [`base::SENDER_BYTES`] and [`TREES_BYTES`].
    ///
    /// # Errors
    ///
    /// [`OtError`] if one of them is malformed.
    pub fn finish(self, key: &[u8], trees: &[u8]) -> Result<Sender, OtError> {
        check_length("tree corrections", trees, TREES_BYTES)?;
        let delta = Block(!self.base.choices().0);
        let mut keys = self.base.finish(key)?;
        let mut leaves = Vec::with_capacity(TREES * (LEAVES - 1));
        let (keys_of_tree, _) = keys.as_chunks::<K>();
        for (tree, keys) in keys_of_tree.iter().enumerate() {
            let bytes = &trees[tree * CORRECTIONS * Block::BYTES..];
            let (blocks, _) = bytes.as_chunks();
            let corrections = std::array::from_fn(|i| Block::from_bytes(blocks[i]));
            let mut nodes = pprf::puncture(keys, tree_index(delta, tree), &corrections);
            leaves.extend(nodes[1..].iter().map(|leaf| Aes128::new(&leaf.to_bytes())));
            nodes.zeroize();
        }
        keys.zeroize();
        Ok(Sender {
            delta,
            leaves,
            state: State::new(&self.direction),
        })
    }
}

/// The future [`Receiver`], between its first message and the sender's.
pub struct ReceiverSetup {
    direction: Direction,
    base: base::Sender,
}

impl ReceiverSetup {
    /// Returns the message to the sender, of [`base::SENDER_BYTES`].
    pub fn new(direction: Direction, prg: &mut Prg) -> (Self, Vec<u8>) {
        let (base, message) = base::Sender::new(direction, prg);
        (Self { direction, base }, message)
    }

    /// Takes the sender's message, of [`base::RECEIVER_BYTES`]. Returns the second message to the
    /// sender, of [`TREES_BYTES`].
    ///
    /// # Errors
    ///
    /// [`OtError`] if the message is malformed.
    pub fn finish(self, points: &[u8]) -> Result<(Receiver, Vec<u8>), OtError> {
        let mut keys = self.base.finish(points)?;
        let mut leaves = Vec::with_capacity(TREES * LEAVES);
        let mut message = Vec::with_capacity(TREES_BYTES);
        let (keys_of_tree, _) = keys.as_chunks::<K>();
        for keys in keys_of_tree {
            let (mut nodes, corrections) = pprf::expand(keys);
            leaves.extend(nodes.iter().map(|leaf| Aes128::new(&leaf.to_bytes())));
            message.extend(corrections.iter().flat_map(|block| block.to_bytes()));
            nodes.zeroize();
        }
        keys.as_flattened_mut().zeroize();
        Ok((
            Receiver {
                leaves,
                state: State::new(&self.direction),
            },
            message,
        ))
    }
}

/// Δ_i: bits 4·i to 4·i + 3 of Δ.
pub(super) fn tree_index(delta: Block, tree: usize) -> u8 {
    (delta.0 >> (tree * K)) as u8 & 0x0f
}
