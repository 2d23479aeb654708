//! Ferret: any number of correlated OTs from a few, with little traffic.
//!
//! Yang, Weng, Lan, Zhang, Wang, "Ferret", 2020/924, with the correlated trees of half-tree (Guo et
//! al., 2022/1431). A round turns M correlated OTs into N, N ≫ M, under the assumption of learning
//! parity with regular noise (LPN), and the last of them are the M of the next round. The message
//! goes from the OT's sender to its receiver, and is less than a bit for each OT, where
//! [`super::extend`] needs 31. Local work is a few times as much.
//!
//! Δ is odd, the sender's rows are even, and so the lowest bit of a receiver's row is its choice.
//! Of the M rows, K_i at the sender and M_i = K_i ⊕ b_i·Δ at the receiver, the first k are the LPN
//! secret and the others belong to one level l of one tree each. The two sets are disjoint, and a
//! round consumes all of them.
//!
//! ```text
//! tree j     sender:   nodes s, s ⊕ Δ on the first level; K⁰_l = ⊕ of all left nodes of level l
//!                      sends c_l = K_l ⊕ K⁰_l
//!            receiver: bit l of the path to leaf α is ¬b_l; M_l ⊕ c_l = K⁰_l ⊕ b_l·Δ is the sum of
//!                      all nodes on the other side, which gives every leaf v but v_α
//!            both clear the leaves' lowest bits; receiver: w_α = (⊕_{x≠α} v_x) ⊕ 1 = v_α ⊕ Δ
//! code       row_i = leaf_i ⊕ (the secret's rows at 10 public positions)
//! ```
//!
//! Differs from the papers: semi-honest, so no rows are set apart for a check; each tree has a
//! permutation of its own.

mod code;
mod schedule;

pub use schedule::{Round, endless, schedule};

use super::extend::{
    self, Choices, ReceiverBits, ReceiverCots, SenderBits, SenderCots, hashed_bits,
};
use super::tree::{Branching, Scratch, Shape};
use super::{Direction, OtError, check_length};
use crate::bits;
use crate::block::Block;
use crate::cipher::Aes128;
use crate::hash::{self, CrHash};
use crate::params::{FERRET_FIRST, FerretSet, MAX_OTS};
use crate::prg::Prg;
use code::Code;
use rayon::prelude::*;
use zeroize::Zeroize;

/// COTs that a session begins with. They come from [`super::extend`].
pub const FIRST_COTS: usize = FERRET_FIRST.base_cots();

/// Rows of 64 OTs.
type Rows = [Block; 64];
const ZERO_ROWS: Rows = [Block::ZERO; 64];

/// The side that holds Δ.
pub struct Sender {
    delta: Block,
    base: Vec<Block>,
    state: State,
}

impl Sender {
    /// Begins with [`FIRST_COTS`] OTs of an extension whose Δ is odd, from its receiver's message.
    ///
    /// # Errors
    ///
    /// [`OtError::WrongLength`], [`OtError::Exhausted`].
    ///
    /// # Panics
    ///
    /// If Δ is even: set up with [`extend::SenderSetup::with_odd_delta`].
    pub fn new(
        direction: Direction,
        extension: &mut extend::Sender,
        message: &[u8],
    ) -> Result<Self, OtError> {
        let delta = extension.delta();
        assert!(delta.0 & 1 == 1, "Ferret needs an odd Δ");
        let mut cots = extension.cots(FIRST_COTS, Choices::Random, message)?;
        let mut base = std::mem::take(&mut cots.rows);
        base.iter_mut().for_each(|row| *row = even(*row));
        Ok(Self {
            delta,
            base,
            state: State::new(&direction),
        })
    }

    /// Δ, the offset of all correlated OTs of this sender.
    pub fn delta(&self) -> Block {
        self.delta
    }

    /// Makes a round's correlated OTs. Returns the message to the receiver.
    ///
    /// # Errors
    ///
    /// [`OtError::Exhausted`].
    ///
    /// # Panics
    ///
    /// If `round` does not follow the last one in its schedule.
    pub fn cots(&mut self, round: &Round, prg: &mut Prg) -> Result<(SenderCots, Vec<u8>), OtError> {
        let mut rows = vec![ZERO_ROWS; round.n_ots().div_ceil(64)];
        let message = self.extend(round, prg, &mut rows, |_, _, rows| rows)?;
        let mut rows = rows.into_flattened();
        rows.truncate(round.n_ots());
        Ok((SenderCots { rows }, message))
    }

    /// Makes a round's random OTs of one bit: the lowest bit of each hashed row. Returns the message
    /// to the receiver.
    ///
    /// # Errors
    ///
    /// [`OtError::Exhausted`].
    ///
    /// # Panics
    ///
    /// If `round` does not follow the last one in its schedule.
    pub fn bits(&mut self, round: &Round, prg: &mut Prg) -> Result<(SenderBits, Vec<u8>), OtError> {
        let (n, delta) = (round.n_ots(), self.delta);
        let mut pairs = vec![[0; 2]; n.div_ceil(64)];
        let message = self.extend(round, prg, &mut pairs, |hash, index, mut rows| {
            let mut shifted = rows.map(|row| row ^ delta);
            [&mut rows, &mut shifted].map(|rows| {
                let word = hashed_bits(hash, index, rows);
                rows.zeroize();
                word
            })
        })?;
        let (mut zeros, mut ones): (Vec<u64>, Vec<u64>) =
            pairs.iter().map(|p| (p[0], p[1])).unzip();
        pairs.zeroize();
        bits::clear_tail(&mut zeros, n);
        bits::clear_tail(&mut ones, n);
        Ok((SenderBits { zeros, ones }, message))
    }

    fn extend<T: Send>(
        &mut self,
        round: &Round,
        prg: &mut Prg,
        out: &mut [T],
        finish: impl Fn(&CrHash, u64, Rows) -> T + Sync,
    ) -> Result<Vec<u8>, OtError> {
        self.state.begin(round, self.base.len())?;
        let depth = round.set().depth;
        let mut roots = vec![0u128; round.n_trees()];
        prg.fill_ring(&mut roots);
        let (secret, keys) = self.base.split_at(round.set().secret_len());
        let mut message = vec![Block::ZERO; round.n_trees() * depth];
        let mut next = round.place_for_next();
        let delta = self.delta;
        let grow = |work: &mut Work, branching: &Branching, tree: usize, message: &mut [Block]| {
            let first = [Block(roots[tree]), Block(roots[tree]) ^ delta];
            work.grow(branching, first);
            let keys = &keys[tree * depth..][..depth];
            for ((c, key), sums) in message.iter_mut().zip(keys).zip(&work.sums) {
                *c = *key ^ sums[0];
            }
        };
        let places = Places {
            levels: &mut message,
            out,
            next: &mut next,
        };
        self.state.all_trees(round, secret, places, grow, finish);
        roots.zeroize();
        next.truncate(round.next_cots());
        std::mem::replace(&mut self.base, next).zeroize();
        self.state.end(round);
        Ok(message.iter().flat_map(|block| block.to_bytes()).collect())
    }
}

/// The side with choice bits. All choices are random.
pub struct Receiver {
    base: Vec<Block>,
    state: State,
}

impl Receiver {
    /// Begins with [`FIRST_COTS`] OTs of an extension. Returns the message to its sender.
    ///
    /// # Errors
    ///
    /// [`OtError::Exhausted`].
    pub fn new(
        direction: Direction,
        extension: &mut extend::Receiver,
    ) -> Result<(Self, Vec<u8>), OtError> {
        let (mut cots, message) = extension.cots(FIRST_COTS, None)?;
        let mut base = std::mem::take(&mut cots.rows);
        for (at, row) in base.iter_mut().enumerate() {
            *row = even(*row) ^ Block(u128::from(bits::get(&cots.choices, at)));
        }
        let state = State::new(&direction);
        Ok((Self { base, state }, message))
    }

    /// Makes a round's correlated OTs from the sender's message.
    ///
    /// # Errors
    ///
    /// [`OtError::WrongLength`], [`OtError::Exhausted`].
    ///
    /// # Panics
    ///
    /// If `round` does not follow the last one in its schedule.
    pub fn cots(&mut self, round: &Round, message: &[u8]) -> Result<ReceiverCots, OtError> {
        let mut rows = vec![ZERO_ROWS; round.n_ots().div_ceil(64)];
        self.extend(round, message, &mut rows, |_, _, rows| rows)?;
        let mut choices: Vec<u64> = rows.iter().map(choices).collect();
        bits::clear_tail(&mut choices, round.n_ots());
        let mut rows = rows.into_flattened();
        rows.truncate(round.n_ots());
        Ok(ReceiverCots { choices, rows })
    }

    /// Makes a round's random OTs of one bit from the sender's message.
    ///
    /// # Errors
    ///
    /// [`OtError::WrongLength`], [`OtError::Exhausted`].
    ///
    /// # Panics
    ///
    /// If `round` does not follow the last one in its schedule.
    pub fn bits(&mut self, round: &Round, message: &[u8]) -> Result<ReceiverBits, OtError> {
        let n = round.n_ots();
        let mut pairs = vec![[0; 2]; n.div_ceil(64)];
        self.extend(round, message, &mut pairs, |hash, index, mut rows| {
            let words = [choices(&rows), hashed_bits(hash, index, &mut rows)];
            rows.zeroize();
            words
        })?;
        let (mut choices, mut chosen): (Vec<u64>, Vec<u64>) =
            pairs.iter().map(|p| (p[0], p[1])).unzip();
        pairs.zeroize();
        bits::clear_tail(&mut choices, n);
        bits::clear_tail(&mut chosen, n);
        Ok(ReceiverBits { choices, chosen })
    }

    fn extend<T: Send>(
        &mut self,
        round: &Round,
        message: &[u8],
        out: &mut [T],
        finish: impl Fn(&CrHash, u64, Rows) -> T + Sync,
    ) -> Result<(), OtError> {
        check_length("Ferret round", message, round.message_bytes())?;
        self.state.begin(round, self.base.len())?;
        let depth = round.set().depth;
        let (secret, keys) = self.base.split_at(round.set().secret_len());
        let (corrections, _) = message.as_chunks();
        let mut leaving: Vec<Block> = corrections
            .iter()
            .zip(keys)
            .map(|(c, key)| Block::from_bytes(*c) ^ *key)
            .collect();
        let mut next = round.place_for_next();
        let grow = |work: &mut Work, branching: &Branching, tree: usize, leaving: &mut [Block]| {
            let keys = &keys[tree * depth..][..depth];
            let missing = keys
                .iter()
                .fold(0, |path, key| path << 1 | usize::from(key.0 & 1 == 0));
            work.regrow(branching, missing, leaving);
        };
        let places = Places {
            levels: &mut leaving,
            out,
            next: &mut next,
        };
        self.state.all_trees(round, secret, places, grow, finish);
        leaving.zeroize();
        next.truncate(round.next_cots());
        std::mem::replace(&mut self.base, next).zeroize();
        self.state.end(round);
        Ok(())
    }
}

/// Where the work of a round goes.
struct Places<'a, T> {
    /// One block for each level of each tree.
    levels: &'a mut [Block],
    /// One element for each 64 rows that are put out.
    out: &'a mut [T],
    /// The rows of the trees that are kept.
    next: &'a mut [Block],
}

/// Where one tree's rows go.
enum Place<'a, T> {
    Out(&'a mut [T]),
    Next(&'a mut [Block]),
}

/// Working memory for one tree, used for one after the other.
struct Work {
    shape: Shape,
    leaves: Vec<Block>,
    sums: Vec<[Block; 2]>,
    scratch: Scratch,
}

impl Work {
    fn new(set: &FerretSet) -> Self {
        let shape = Shape::new(set.leaves());
        Self {
            shape,
            leaves: vec![Block::ZERO; set.leaves()],
            sums: vec![[Block::ZERO; 2]; set.depth],
            scratch: shape.scratch(),
        }
    }

    fn grow(&mut self, branching: &Branching, first: [Block; 2]) {
        let Self {
            shape,
            leaves,
            sums,
            scratch,
        } = self;
        shape.grow(branching, first, leaves, sums, scratch);
        leaves.iter_mut().for_each(|leaf| *leaf = even(*leaf));
    }

    /// The missing leaf becomes the sender's leaf plus Δ.
    fn regrow(&mut self, branching: &Branching, missing: usize, leaving: &[Block]) {
        let Self {
            shape,
            leaves,
            scratch,
            ..
        } = self;
        let sum = shape.regrow(branching, missing, leaving, leaves, scratch);
        leaves.iter_mut().for_each(|leaf| *leaf = even(*leaf));
        leaves[missing] = even(sum) ^ Block(1);
    }
}

/// What both sides keep alike.
struct State {
    /// Makes the trees' public keys, by round and tree.
    tree_keys: Aes128,
    code: Code,
    hash: CrHash,
    n_rounds: u64,
    /// OTs put out so far: the hash's tweak of the next one.
    n_ots: u64,
}

impl State {
    fn new(direction: &Direction) -> Self {
        let place = direction.to_bytes();
        let key = |context| hash::derive_key(context, &[&place]);
        Self {
            tree_keys: Aes128::new(&key("entente/v1/ferret/trees").aes_key()),
            code: Code::new(&key("entente/v1/ferret/code")),
            hash: CrHash::new(&key("entente/v1/ferret/hash")),
            n_rounds: 0,
            n_ots: 0,
        }
    }

    fn begin(&self, round: &Round, n_base: usize) -> Result<(), OtError> {
        assert_eq!(
            n_base,
            round.set().base_cots(),
            "rounds follow their schedule"
        );
        if self.n_ots.saturating_add(round.n_ots() as u64) > MAX_OTS {
            return Err(OtError::Exhausted { limit: MAX_OTS });
        }
        Ok(())
    }

    fn end(&mut self, round: &Round) {
        self.n_rounds += 1;
        self.n_ots += round.n_ots() as u64;
    }

    /// Grows all trees of a round, encodes their leaves, and puts the rows where they belong.
    fn all_trees<T: Send>(
        &self,
        round: &Round,
        secret: &[Block],
        places: Places<'_, T>,
        grow: impl Fn(&mut Work, &Branching, usize, &mut [Block]) + Sync,
        finish: impl Fn(&CrHash, u64, Rows) -> T + Sync,
    ) {
        let set = round.set();
        let Places { levels, out, next } = places;
        let outputs = out.chunks_mut(set.leaves() / 64).map(Place::Out);
        let refills = next.chunks_mut(set.leaves()).map(Place::Next);
        let places: Vec<_> = outputs.chain(refills).collect();
        let levels = levels.par_chunks_mut(set.depth);
        places
            .into_par_iter()
            .zip(levels)
            .enumerate()
            .for_each_init(
                || Work::new(set),
                |work, (tree, (place, levels))| {
                    let branching =
                        Branching::correlated(&self.tree_keys, self.n_rounds, tree as u64);
                    grow(work, &branching, tree, levels);
                    let first = (tree * set.leaves()) as u64;
                    let (leaves, _) = work.leaves.as_chunks::<64>();
                    let rows = |group: usize| {
                        let mut rows = leaves[group];
                        let at = first + 64 * group as u64;
                        self.code.add(self.n_rounds, at, secret, &mut rows);
                        rows
                    };
                    match place {
                        Place::Out(out) => {
                            for (group, out) in out.iter_mut().enumerate() {
                                let index = self.n_ots + first + 64 * group as u64;
                                *out = finish(&self.hash, index, rows(group));
                            }
                        }
                        Place::Next(next) => {
                            for (group, next) in next.chunks_exact_mut(64).enumerate() {
                                next.copy_from_slice(&rows(group));
                            }
                        }
                    }
                },
            );
    }
}

fn even(row: Block) -> Block {
    Block(row.0 & !1)
}

/// The choices of 64 OTs from the receiver's rows.
fn choices(rows: &Rows) -> u64 {
    rows.iter()
        .rev()
        .fold(0, |word, row| word << 1 | (row.0 as u64 & 1))
}

impl Drop for Work {
    fn drop(&mut self) {
        self.leaves.zeroize();
        self.sums.as_flattened_mut().zeroize();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.delta.zeroize();
        self.base.zeroize();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.base.zeroize();
    }
}
