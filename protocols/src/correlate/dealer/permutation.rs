//! Dealing a permutation: the owner's seed gives π, the others' seeds a random table A, and all seeds
//! shares of π(A), corrected some rows of a column at a time.
//!
//! The dealer knows π, but π is not the permutation that moves anybody's data: an owner who wants to
//! apply ρ tells the others the offset ρ∘π⁻¹, which is uniform to them because π is (SecretFlow SPU,
//! semi2k, does the same).

use super::{CHUNK_BYTES, Deal, Turns};
use crate::correlate::{PermutationNeed, PermutationShare, RowShares, SecretPermutation, Stock};
use crate::party::Seat;
use bytes::Bytes;
use engine::bits;
use engine::prg::{Prg, Seed};
use engine::ring::{self, Ring};
use engine::share::Share;
use engine::share::boolean::BitShare;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// The stream of the owner's seed that π is drawn from. Column c has streams 2·c and 2·c + 1.
const ORDER: u64 = u64::MAX;

pub(super) struct Permutation {
    need: PermutationNeed,
}

/// How the parts of a column add up.
#[derive(Clone, Copy)]
struct Group<R> {
    add: fn(&mut [R], &[R]),
    subtract: fn(&mut [R], &[R]),
}

const XOR: Group<u64> = Group {
    add: bits::xor_assign,
    subtract: bits::xor_assign,
};

const fn additive<R: Ring>() -> Group<R> {
    Group {
        add: ring::add_assign,
        subtract: ring::sub_assign,
    }
}

impl Permutation {
    pub(super) fn new(need: PermutationNeed) -> Self {
        Self { need }
    }

    fn n_columns(&self) -> usize {
        self.need.n_words + self.need.n_ring64 + self.need.n_ring128
    }

    fn item_bytes(&self, column: usize) -> usize {
        match column < self.need.n_words + self.need.n_ring64 {
            true => 8,
            false => 16,
        }
    }

    /// Chunks of a column. Columns of equal rows have equally many.
    fn column_chunks(&self) -> usize {
        self.need.n_rows.div_ceil(CHUNK_BYTES / 16).max(1)
    }

    /// A chunk's column, and its rows.
    fn place(&self, chunk: usize) -> (usize, Range<usize>) {
        let (column, part) = (chunk / self.column_chunks(), chunk % self.column_chunks());
        let row = |part: usize| (part * (CHUNK_BYTES / 16)).min(self.need.n_rows);
        (column, row(part)..row(part + 1))
    }

    /// Every chunk of a column as its recipient lacks it.
    fn column_corrections<R: Ring>(
        &self,
        seeds: &[Seed],
        turns: Turns,
        (order, column): (&SecretPermutation, usize),
        group: Group<R>,
    ) -> Vec<Vec<u8>> {
        let n_rows = self.need.n_rows;
        let others = seeds.iter().enumerate();
        let others = others.filter(|(seat, _)| *seat != self.need.owner.index());
        let mut before = Share::<R>::zero(n_rows);
        for (_, seed) in others {
            let share = expand::<R>(seed, column, false, n_rows);
            (group.add)(before.as_mut_slice(), share.as_slice());
        }
        let mut after = Share::new(order.apply(before.as_slice()));
        let chunks = column * self.column_chunks()..(column + 1) * self.column_chunks();
        for (seat, seed) in seeds.iter().enumerate() {
            let share = expand::<R>(seed, column, true, n_rows);
            for chunk in chunks.clone().filter(|k| turns.seat(*k).index() != seat) {
                let (_, rows) = self.place(chunk);
                let share = &share.as_slice()[rows.clone()];
                (group.subtract)(&mut after.as_mut_slice()[rows], share);
            }
        }
        let bytes = |chunk| ring::as_bytes(&after.as_slice()[self.place(chunk).1]).to_vec();
        chunks.map(bytes).collect()
    }

    fn table(&self, seed: &Seed, is_after: bool) -> RowShares {
        let need = self.need;
        let n_rows = need.n_rows;
        let word_column = |column| {
            let words = expand::<u64>(seed, column, is_after, n_rows).into_vec();
            BitShare::from_words(64 * n_rows, words)
        };
        let first = need.n_words;
        let first_wide = first + need.n_ring64;
        RowShares {
            words: (0..first).into_par_iter().map(word_column).collect(),
            ring64: (first..first_wide)
                .into_par_iter()
                .map(|column| expand(seed, column, is_after, n_rows))
                .collect(),
            ring128: (first_wide..self.n_columns())
                .into_par_iter()
                .map(|column| expand(seed, column, is_after, n_rows))
                .collect(),
        }
    }
}

/// A seat's share of a column of A, or of π(A).
fn expand<R: Ring>(seed: &Seed, column: usize, is_after: bool, n_rows: usize) -> Share<R> {
    let stream = 2 * column as u64 + u64::from(is_after);
    let mut share = Share::zero(n_rows);
    Prg::new(seed, stream).fill_ring(share.as_mut_slice());
    share
}

impl Deal for Permutation {
    /// Nothing stands for no chunks.
    type Part = Option<PermutationShare>;

    fn n_chunks(&self) -> usize {
        self.n_columns() * self.column_chunks()
    }

    fn correction_bytes(&self, chunk: usize) -> usize {
        let (column, rows) = self.place(chunk);
        rows.len() * self.item_bytes(column)
    }

    /// All: each column is permuted as a whole.
    fn batch(&self, first: usize) -> Range<usize> {
        first..self.n_chunks()
    }

    fn corrections(&self, seeds: &[Seed], turns: Turns, chunks: Range<usize>) -> Vec<Vec<u8>> {
        if chunks.is_empty() {
            return Vec::new();
        }
        let need = self.need;
        let owner = &seeds[need.owner.index()];
        let order = SecretPermutation::random(need.n_rows, &mut Prg::new(owner, ORDER));
        let corrections = |column| {
            let place = (&order, column);
            if column < need.n_words {
                self.column_corrections(seeds, turns, place, XOR)
            } else if column < need.n_words + need.n_ring64 {
                self.column_corrections(seeds, turns, place, additive::<u64>())
            } else {
                self.column_corrections(seeds, turns, place, additive::<u128>())
            }
        };
        let columns = (0..self.n_columns()).into_par_iter();
        columns.flat_map_iter(corrections).collect()
    }

    fn expand(&self, seed: &Arc<Seed>, me: Seat, _: Turns, chunks: Range<usize>) -> Self::Part {
        let is_owner = me == self.need.owner;
        (!chunks.is_empty()).then(|| PermutationShare {
            permutation: is_owner.then(|| {
                let mut prg = Prg::new(seed, ORDER);
                SecretPermutation::random(self.need.n_rows, &mut prg)
            }),
            before: (!is_owner).then(|| self.table(seed, false)),
            after: self.table(seed, true),
        })
    }

    fn store(&self, part: Self::Part, corrections: Vec<(usize, Bytes)>, stock: &mut Stock) {
        let mut share = part.expect("a permutation has chunks");
        for (chunk, body) in corrections {
            let (column, rows) = self.place(chunk);
            share.after.write(column, rows, &body);
        }
        stock.add_permutation(self.need, share);
    }
}
