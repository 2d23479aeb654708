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
pub(super) use planes::word_of;
use planes::{CHUNK_WORDS, Planes, ZERO_ROWS};
pub use planes::{Pad, Rows};
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
        let mut rows = vec![ZERO_ROWS; n.div_ceil(64)];
        let made = self.rows(n, choices, message)?;
        made.each(&mut rows, 1, |_, rows, _, out| *out = *rows);
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
        let mut pairs = vec![[0; 2]; n.div_ceil(64)];
        let made = self.rows(n, choices, message)?;
        let (sender, first) = (made.sender, made.first_chunk * OT_CHUNK as u64);
        made.each(&mut pairs, 1, |at, rows, pad, out| {
            let index = first + at as u64;
            pad.copy_both(rows, sender.delta);
            *out = [
                hashed_bits(&sender.state.hash, index, &mut pad.zeros),
                hashed_bits(&sender.state.hash, index, &mut pad.ones),
            ];
        });
        let (mut zeros, mut ones): (Vec<u64>, Vec<u64>) =
            pairs.iter().map(|p| (p[0], p[1])).unzip();
        pairs.zeroize();
        bits::clear_tail(&mut zeros, n);
        bits::clear_tail(&mut ones, n);
        Ok(SenderBits { zeros, ones })
    }

    /// The rows of `n` correlated OTs, which are computed as they are used.
    ///
    /// # Errors
    ///
    /// [`OtError::WrongLength`], [`OtError::Exhausted`].
    pub fn rows<'a>(
        &'a mut self,
        n: usize,
        choices: Choices,
        message: &'a [u8],
    ) -> Result<SenderRows<'a>, OtError> {
        check_length("OT extension", message, message_bytes(n, choices))?;
        let first_chunk = self.state.reserve(n)?;
        Ok(SenderRows {
            sender: self,
            n,
            first_chunk,
            choices,
            message,
        })
    }
}

/// Rows that a sender is about to make.
pub struct SenderRows<'a> {
    sender: &'a Sender,
    n: usize,
    first_chunk: u64,
    choices: Choices,
    message: &'a [u8],
}

impl SenderRows<'_> {
    fn chunk<T>(
        &self,
        planes: &mut Planes,
        (position, message): (usize, &[u8]),
        out: &mut [T],
        groups_each: usize,
        with: &impl Fn(usize, &Rows, &mut Pad, &mut T),
    ) {
        let (chunk, sent) = (
            self.first_chunk + position as u64,
            self.choices.first_tree(),
        );
        let row_bytes = message.len() / (TREES - sent);
        planes.begin(row_bytes / 8);
        for (tree, leaves) in self.sender.leaves.chunks_exact(LEAVES - 1).enumerate() {
            planes.sum_tree(tree, leaves, chunk);
            if tree >= sent {
                let correction = &message[(tree - sent) * row_bytes..][..row_bytes];
                let index = tree_index(self.sender.delta, tree);
                planes.correct_tree(tree, index, correction);
            }
        }
        planes.each(position, out, groups_each, with);
    }
}

impl RowSource for SenderRows<'_> {
    fn n_ots(&self) -> usize {
        self.n
    }

    fn each<T: Send>(
        self,
        out: &mut [T],
        groups_each: usize,
        with: impl Fn(usize, &Rows, &mut Pad, &mut T) + Sync,
    ) -> Extension {
        check_out(self.n, out.len(), groups_each);
        self.message
            .par_chunks(message_bytes(OT_CHUNK, self.choices))
            .zip(out.par_chunks_mut(CHUNK_WORDS / groups_each))
            .enumerate()
            .for_each_init(Planes::new, |planes, (position, (message, out))| {
                self.chunk(planes, (position, message), out, groups_each, &with);
            });
        Extension::default()
    }
}

/// Correlated OTs whose rows are used 64 at a time, while they are in the cache: those of an
/// extension are not in memory before, nor after.
pub trait RowSource {
    /// How many OTs there are.
    fn n_ots(&self) -> usize;

    /// Calls `with` for every 64 OTs: with the number of their first one in this source, their rows,
    /// room to work in, and the part of `out` that is theirs. Each part belongs to `groups_each` times 64 OTs, a
    /// power of two.
    ///
    /// # Panics
    ///
    /// If `out` has another number of parts.
    fn each<T: Send>(
        self,
        out: &mut [T],
        groups_each: usize,
        with: impl Fn(usize, &Rows, &mut Pad, &mut T) + Sync,
    ) -> Extension;
}

/// What a receiver has besides its rows once it has extended OTs; nothing in all other cases.
#[derive(Default)]
pub struct Extension {
    /// c_j, packed.
    pub choices: Vec<u64>,
    /// To the sender.
    pub message: Vec<u8>,
}

/// Rows in memory.
impl RowSource for &[Block] {
    fn n_ots(&self) -> usize {
        self.len()
    }

    fn each<T: Send>(
        self,
        out: &mut [T],
        groups_each: usize,
        with: impl Fn(usize, &Rows, &mut Pad, &mut T) + Sync,
    ) -> Extension {
        let (groups, rest) = self.as_chunks();
        assert!(rest.is_empty(), "OTs are used in groups of 64");
        check_out(self.len(), out.len(), groups_each);
        let chunk_groups = CHUNK_WORDS / groups_each * groups_each;
        groups
            .par_chunks(chunk_groups)
            .zip(out.par_chunks_mut(CHUNK_WORDS / groups_each))
            .enumerate()
            .for_each_init(Pad::new, |pad, (position, (groups, out))| {
                for (number, rows) in groups.iter().enumerate() {
                    let at = 64 * (position * chunk_groups + number);
                    with(at, rows, pad, &mut out[number / groups_each]);
                }
            });
        Extension::default()
    }
}

fn check_out(n_ots: usize, n_parts: usize, groups_each: usize) {
    assert!(
        groups_each.is_power_of_two() && groups_each <= CHUNK_WORDS,
        "a chunk has whole parts"
    );
    assert_eq!(
        n_ots.div_ceil(64).div_ceil(groups_each),
        n_parts,
        "each part of the output has its OTs"
    );
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
        let made = self.rows(n, given)?;
        let Extension { choices, message } =
            made.each(&mut rows, 1, |_, rows, _, out| *out = *rows);
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
        let made = self.rows(n, given)?;
        let (receiver, first) = (made.receiver, made.first_chunk * OT_CHUNK as u64);
        let Extension { choices, message } = made.each(&mut chosen, 1, |at, rows, pad, out| {
            pad.copy(rows);
            *out = hashed_bits(&receiver.state.hash, first + at as u64, &mut pad.zeros);
        });
        bits::clear_tail(&mut chosen, n);
        Ok((ReceiverBits { choices, chosen }, message))
    }

    /// The rows of `n` correlated OTs, with the receiver's own choices if `given`, which are computed
    /// as they are used.
    ///
    /// # Errors
    ///
    /// [`OtError::Exhausted`].
    pub fn rows<'a>(
        &'a mut self,
        n: usize,
        given: Option<&'a [u64]>,
    ) -> Result<ReceiverRows<'a>, OtError> {
        let first_chunk = self.state.reserve(n)?;
        Ok(ReceiverRows {
            receiver: self,
            n,
            first_chunk,
            given,
        })
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

/// Rows that a receiver is about to make.
pub struct ReceiverRows<'a> {
    receiver: &'a Receiver,
    n: usize,
    first_chunk: u64,
    given: Option<&'a [u64]>,
}

impl RowSource for ReceiverRows<'_> {
    fn n_ots(&self) -> usize {
        self.n
    }

    fn each<T: Send>(
        self,
        out: &mut [T],
        groups_each: usize,
        with: impl Fn(usize, &Rows, &mut Pad, &mut T) + Sync,
    ) -> Extension {
        let n = self.n;
        check_out(n, out.len(), groups_each);
        let (mode, mut choices) = match self.given {
            Some(given) => (Choices::Given, given.to_vec()),
            None => (Choices::Random, vec![0; bits::words_for(n)]),
        };
        bits::clear_tail(&mut choices, n);
        let mut message = vec![0; message_bytes(n, mode)];
        message
            .par_chunks_mut(message_bytes(OT_CHUNK, mode))
            .zip(choices.par_chunks_mut(CHUNK_WORDS))
            .zip(out.par_chunks_mut(CHUNK_WORDS / groups_each))
            .enumerate()
            .for_each_init(
                Planes::new,
                |planes, (position, ((message, choices), out))| {
                    let chunk = self.first_chunk + position as u64;
                    let receiver = self.receiver;
                    receiver.extend_chunk(planes, chunk, mode, choices, message);
                    planes.each(position, out, groups_each, &with);
                },
            );
        bits::clear_tail(&mut choices, n);
        Extension { choices, message }
    }
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

/// Hashes the rows of OTs `index`, `index` + 1, …, and returns their lowest bits.
pub(super) fn hashed_bits(hash: &CrHash, index: u64, rows: &mut Rows) -> u64 {
    hash.hash_in_place(rows, index);
    planes::word_of(rows, 0)
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
