//! OT extension: SoftSpoken OT with trees of depth k = 4, semi-honest.
//!
//! Roy, "SoftSpokenOT", 2022/192. The sender holds Δ ∈ F_2^128, cut into 32 indices Δ_i of k bits.
//! Of each of 32 trees the receiver knows all 16 leaves and the sender all but leaf Δ_i. A leaf is
//! the key of a generator; r_{i,x} is the stream of leaf x of tree i, one bit for each OT.
//!
//! ```text
//! receiver: u_i = ⊕_x r_{i,x},  v_{i,b} = ⊕_{x: bit b of x} r_{i,x},  c = u_0,
//!           sends d_i = u_i ⊕ c for i = 1..31
//! sender:   w_{i,b} = ⊕_{x: bit b of x ⊕ Δ_i} r_{i,x} ⊕ (bit b of Δ_i)·d_i
//! then      w_{i,b} = v_{i,b} ⊕ (bit b of Δ_i)·c
//! ```
//!
//! The sum of the sender's streams leaves out exactly leaf Δ_i, whose weight is 0, so it equals
//! v_{i,b} ⊕ (bit b of Δ_i)·u_i, and d_i turns u_i into c. Read across, the 128 planes give the
//! sender a row q_j and the receiver a row t_j for every OT j, with q_j = t_j ⊕ c_j·Δ: a correlated
//! OT. Hashing rows with the tweak j makes them random OTs. 31 bits an OT, one message.
//!
//! With choices of the receiver's own, c is given and d_0 is sent as well: 32 bits.
//!
//! OTs are made in chunks of [`OT_CHUNK`]. A call starts a new chunk, so what a shorter last chunk
//! leaves of the streams is never used, and chunks of one call are independent of each other.
//!
//! Differs from the paper: semi-honest (no consistency check); the tree is that of [`super::pprf`].

mod planes;
mod setup;

pub use setup::{ReceiverSetup, SenderSetup, TREES_BYTES};

use super::{Direction, OtError, check_length};
use crate::bits;
use crate::block::Block;
use crate::cipher::Aes128;
use crate::hash::{self, CrHash};
use crate::params::{MAX_OTS, OT_CHUNK, SOFTSPOKEN_LEAVES as LEAVES, SOFTSPOKEN_TREES as TREES};
use planes::{CHUNK_WORDS, Planes, Rows, ZERO_ROWS};
use rayon::prelude::*;
use setup::tree_index;
use zeroize::Zeroize;

/// Who determines the receiver's choice bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choices {
    /// The protocol: they are random, and 31 bits are sent for each OT.
    Random,
    /// The receiver, for 32 bits for each OT.
    Given,
}

impl Choices {
    /// The first tree whose correction d_i is sent.
    const fn first_tree(self) -> usize {
        match self {
            Self::Random => 1,
            Self::Given => 0,
        }
    }
}

/// Length of the receiver's message for `n` OTs. Each d_i is padded to whole 128-bit blocks.
pub const fn message_bytes(n: usize, choices: Choices) -> usize {
    n.div_ceil(128) * Block::BYTES * (TREES - choices.first_tree())
}

/// The sender's part of correlated OTs.
pub struct SenderCots {
    /// q_j, equal to the receiver's t_j or different from it by Δ.
    pub rows: Vec<Block>,
}

/// The receiver's part of correlated OTs.
pub struct ReceiverCots {
    /// c_j, packed.
    pub choices: Vec<u64>,
    /// t_j = q_j ⊕ c_j·Δ.
    pub rows: Vec<Block>,
}

/// The sender's part of random OTs of one bit, packed.
pub struct SenderBits {
    /// Message 0 of every OT.
    pub zeros: Vec<u64>,
    /// Message 1 of every OT.
    pub ones: Vec<u64>,
}

/// The receiver's part of random OTs of one bit, packed.
pub struct ReceiverBits {
    /// The choice in every OT.
    pub choices: Vec<u64>,
    /// The chosen message of every OT.
    pub chosen: Vec<u64>,
}

/// The side that holds Δ.
pub struct Sender {
    delta: Block,
    /// Leaf y ⊕ Δ_i of tree i is element 15·i + y − 1, for y in 1..16.
    leaves: Vec<Aes128>,
    state: State,
}

impl Sender {
    /// Δ, the offset of all correlated OTs of this sender.
    pub fn delta(&self) -> Block {
        self.delta
    }

    /// Makes `n` correlated OTs from the receiver's message.
    ///
    /// # Errors
    ///
    /// [`OtError::WrongLength`], [`OtError::Exhausted`].
    pub fn cots(
        &mut self,
        n: usize,
        choices: Choices,
        message: &[u8],
    ) -> Result<SenderCots, OtError> {
        let first = self.accept(n, choices, message)?;
        let mut rows = vec![ZERO_ROWS; n.div_ceil(64)];
        self.extend(first, choices, message, &mut rows, |_, rows| rows);
        let mut rows = rows.into_flattened();
        rows.truncate(n);
        Ok(SenderCots { rows })
    }

    /// Makes `n` random OTs of one bit from the receiver's message: the lowest bit of each hashed
    /// row. A row gives one bit and not more, because all its bits would share the choice.
    ///
    /// # Errors
    ///
    /// [`OtError::WrongLength`], [`OtError::Exhausted`].
    pub fn bits(
        &mut self,
        n: usize,
        choices: Choices,
        message: &[u8],
    ) -> Result<SenderBits, OtError> {
        let first = self.accept(n, choices, message)?;
        let mut pairs = vec![[0; 2]; n.div_ceil(64)];
        self.extend(first, choices, message, &mut pairs, |index, rows| {
            let shifted = rows.map(|row| row ^ self.delta);
            [
                hashed_bits(&self.state.hash, index, rows),
                hashed_bits(&self.state.hash, index, shifted),
            ]
        });
        let (mut zeros, mut ones): (Vec<u64>, Vec<u64>) =
            pairs.iter().map(|p| (p[0], p[1])).unzip();
        pairs.zeroize();
        bits::clear_tail(&mut zeros, n);
        bits::clear_tail(&mut ones, n);
        Ok(SenderBits { zeros, ones })
    }

    fn accept(&mut self, n: usize, choices: Choices, message: &[u8]) -> Result<u64, OtError> {
        check_length("OT extension", message, message_bytes(n, choices))?;
        self.state.reserve(n)
    }

    /// Computes all rows, 64 at a time, and stores what `finish` makes of each 64.
    fn extend<T: Send>(
        &self,
        first_chunk: u64,
        choices: Choices,
        message: &[u8],
        out: &mut [T],
        finish: impl Fn(u64, Rows) -> T + Sync,
    ) {
        let missing_one = LEAVES - 1;
        let sent = choices.first_tree();
        message
            .par_chunks(message_bytes(OT_CHUNK, choices))
            .zip(out.par_chunks_mut(CHUNK_WORDS))
            .enumerate()
            .for_each_init(Planes::new, |planes, (position, (message, out))| {
                let chunk = first_chunk + position as u64;
                let row_bytes = message.len() / (TREES - sent);
                planes.begin(row_bytes / 8);
                for (tree, leaves) in self.leaves.chunks_exact(missing_one).enumerate() {
                    planes.sum_tree(tree, leaves, chunk);
                    if tree >= sent {
                        let correction = &message[(tree - sent) * row_bytes..][..row_bytes];
                        planes.correct_tree(tree, tree_index(self.delta, tree), correction);
                    }
                }
                for (word, out) in out.iter_mut().enumerate() {
                    *out = finish(first_index(chunk, word), planes.rows(word));
                }
            });
    }
}

/// The side with choice bits.
pub struct Receiver {
    /// Leaf x of tree i is element 16·i + x.
    leaves: Vec<Aes128>,
    state: State,
}

impl Receiver {
    /// Makes `n` correlated OTs, with the receiver's own choices if `given`. Returns the message to
    /// the sender, of [`message_bytes`].
    ///
    /// # Errors
    ///
    /// [`OtError::Exhausted`].
    ///
    /// # Panics
    ///
    /// If `given` is not `n` packed bits.
    pub fn cots(
        &mut self,
        n: usize,
        given: Option<&[u64]>,
    ) -> Result<(ReceiverCots, Vec<u8>), OtError> {
        let mut rows = vec![ZERO_ROWS; n.div_ceil(64)];
        let (choices, message) = self.extend(n, given, &mut rows, |_, _, rows| rows)?;
        let mut rows = rows.into_flattened();
        rows.truncate(n);
        Ok((ReceiverCots { choices, rows }, message))
    }

    /// Makes `n` random OTs of one bit, with the receiver's own choices if `given`. Returns the
    /// message to the sender, of [`message_bytes`].
    ///
    /// # Errors
    ///
    /// [`OtError::Exhausted`].
    ///
    /// # Panics
    ///
    /// If `given` is not `n` packed bits.
    pub fn bits(
        &mut self,
        n: usize,
        given: Option<&[u64]>,
    ) -> Result<(ReceiverBits, Vec<u8>), OtError> {
        let mut chosen = vec![0; n.div_ceil(64)];
        let hash = |state: &State, index, rows| hashed_bits(&state.hash, index, rows);
        let (choices, message) = self.extend(n, given, &mut chosen, hash)?;
        bits::clear_tail(&mut chosen, n);
        Ok((ReceiverBits { choices, chosen }, message))
    }

    /// Computes all rows, 64 at a time, and stores what `finish` makes of each 64. Returns the
    /// choices and the message.
    fn extend<T: Send>(
        &mut self,
        n: usize,
        given: Option<&[u64]>,
        out: &mut [T],
        finish: impl Fn(&State, u64, Rows) -> T + Sync,
    ) -> Result<(Vec<u64>, Vec<u8>), OtError> {
        let first_chunk = self.state.reserve(n)?;
        let (mode, mut choices) = match given {
            Some(given) => (Choices::Given, given.to_vec()),
            None => (Choices::Random, vec![0; bits::words_for(n)]),
        };
        bits::clear_tail(&mut choices, n);
        let mut message = vec![0; message_bytes(n, mode)];
        message
            .par_chunks_mut(message_bytes(OT_CHUNK, mode))
            .zip(choices.par_chunks_mut(CHUNK_WORDS))
            .zip(out.par_chunks_mut(CHUNK_WORDS))
            .enumerate()
            .for_each_init(
                Planes::new,
                |planes, (position, ((message, choices), out))| {
                    let chunk = first_chunk + position as u64;
                    self.extend_chunk(planes, chunk, mode, choices, message);
                    for (word, out) in out.iter_mut().enumerate() {
                        *out = finish(&self.state, first_index(chunk, word), planes.rows(word));
                    }
                },
            );
        bits::clear_tail(&mut choices, n);
        Ok((choices, message))
    }

    /// Computes the planes of one chunk and writes its d_i. `choices` is read or written.
    fn extend_chunk(
        &self,
        planes: &mut Planes,
        chunk: u64,
        mode: Choices,
        choices: &mut [u64],
        message: &mut [u8],
    ) {
        let sent = mode.first_tree();
        let row_bytes = message.len() / (TREES - sent);
        planes.begin(row_bytes / 8);
        // c over the whole width of a row: the padding's choices are those of u_0, or zero.
        let mut c = [0; CHUNK_WORDS];
        c[..choices.len()].copy_from_slice(choices);
        for (tree, leaves) in self.leaves.chunks_exact(LEAVES).enumerate() {
            let u = planes.sum_tree(tree, leaves, chunk);
            if tree < sent {
                c[..u.len()].copy_from_slice(u);
                choices.copy_from_slice(&u[..choices.len()]);
                continue;
            }
            let d = &mut message[(tree - sent) * row_bytes..][..row_bytes];
            for ((d, u), c) in d.chunks_exact_mut(8).zip(u).zip(&c) {
                d.copy_from_slice(&(u ^ c).to_le_bytes());
            }
        }
        c.zeroize();
    }
}

/// The index in its session and direction of the first OT in a word of a chunk.
fn first_index(chunk: u64, word: usize) -> u64 {
    chunk * OT_CHUNK as u64 + 64 * word as u64
}

/// What both sides keep alike: the hash, and how many chunks were used.
struct State {
    hash: CrHash,
    next_chunk: u64,
}

impl State {
    fn new(direction: &Direction) -> Self {
        let key = hash::derive_key("entente/v1/ot-extension/hash", &[&direction.to_bytes()]);
        Self {
            hash: CrHash::new(&key),
            next_chunk: 0,
        }
    }

    /// Sets apart the chunks for `n` OTs and returns the first one's number.
    fn reserve(&mut self, n: usize) -> Result<u64, OtError> {
        let first = self.next_chunk;
        let next = first.saturating_add(n.div_ceil(OT_CHUNK) as u64);
        if next > MAX_OTS / OT_CHUNK as u64 {
            return Err(OtError::Exhausted { limit: MAX_OTS });
        }
        self.next_chunk = next;
        Ok(first)
    }
}

/// The lowest bits of the hashed rows of OTs `index`, `index` + 1, …
pub(super) fn hashed_bits(hash: &CrHash, index: u64, mut rows: Rows) -> u64 {
    hash.hash_in_place(&mut rows, index);
    let word = rows
        .iter()
        .rev()
        .fold(0, |word, row| word << 1 | (row.0 as u64 & 1));
    rows.zeroize();
    word
}

macro_rules! wipe_on_drop {
    ($($name:ident: $($field:ident),+;)+) => {$(
        impl Drop for $name {
            fn drop(&mut self) {
                $(self.$field.zeroize();)+
            }
        }
    )+};
}

wipe_on_drop! {
    Sender: delta;
    SenderCots: rows;
    ReceiverCots: choices, rows;
    SenderBits: zeros, ones;
    ReceiverBits: choices, chosen;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_before_its_keys_wear_out() {
        let direction = Direction {
            session_id: [0; 32],
            operation: 0,
            sender: 0,
            receiver: 1,
        };
        let mut state = State::new(&direction);
        let last = MAX_OTS / OT_CHUNK as u64 - 1;
        state.next_chunk = last;
        let exhausted = Err(OtError::Exhausted { limit: MAX_OTS });
        assert_eq!(state.reserve(OT_CHUNK + 1), exhausted);
        assert_eq!(
            state.reserve(OT_CHUNK),
            Ok(last),
            "a refused call reserves nothing"
        );
        assert_eq!(state.reserve(0), Ok(last + 1));
        assert_eq!(state.reserve(1), exhausted);
        assert_eq!(state.reserve(usize::MAX), exhausted);
    }
}
