//! How much correlated randomness a computation takes: sums of public numbers.

use crate::arith::compiled::Compiled;
use crate::party::Seat;
use engine::ring::Ring;
use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// Bits in a word of packed correlations.
const WORD_BITS: u64 = u64::BITS as u64;

/// The rings for which correlations are kept, and where they are kept.
///
/// Implemented for `u64` and `u128`, like [`Ring`] itself, which is sealed.
pub trait StockedRing: Ring + Compiled {
    /// This ring's part of some needs.
    fn needs(needs: &Needs) -> &RingNeeds;
    /// This ring's part of some needs, to be changed.
    fn needs_mut(needs: &mut Needs) -> &mut RingNeeds;
    /// This ring's part of a stock.
    fn shelf(stock: &super::Stock) -> &super::RingShelf<Self>;
    /// This ring's part of a stock, to be taken from.
    fn shelf_mut(stock: &mut super::Stock) -> &mut super::RingShelf<Self>;
}

/// The shape of a product of two matrices: m×k times k×n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MatrixShape {
    /// Rows of the left matrix.
    pub m: usize,
    /// Columns of the left matrix and rows of the right one.
    pub k: usize,
    /// Columns of the right matrix.
    pub n: usize,
}

impl MatrixShape {
    /// Elements of the left matrix.
    pub fn left_len(self) -> usize {
        self.m * self.k
    }

    /// Elements of the right matrix.
    pub fn right_len(self) -> usize {
        self.k * self.n
    }

    /// Elements of the product.
    pub fn product_len(self) -> usize {
        self.m * self.n
    }
}

/// One secret permutation of the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PermutationNeed {
    /// Number of rows.
    pub n_rows: usize,
    /// Words of a row that are XOR-shared.
    pub n_words: usize,
    /// Elements of a row that are additively shared over Z_2^64.
    pub n_ring64: usize,
    /// Elements of a row that are additively shared over Z_2^128.
    pub n_ring128: usize,
    /// The seat that knows the permutation.
    pub owner: Seat,
}

impl PermutationNeed {
    /// Bytes of a row.
    pub fn row_bytes(self) -> usize {
        8 * (self.n_words + self.n_ring64) + 16 * self.n_ring128
    }
}

/// How much a computation takes over one ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingNeeds {
    /// Shared a, b and a·b.
    pub triples: u64,
    /// Random bits, shared both ways.
    pub dabits: u64,
    /// Random elements with all their bits.
    pub edabits: u64,
    /// Random bits β and elements a, with β·a.
    pub muxes: u64,
    /// For each number of bits that is cut off, random elements with their upper parts.
    pub truncs: BTreeMap<u32, u64>,
    /// For each number of columns, random elements and rows of so many, with the products of both.
    pub scalings: BTreeMap<usize, u64>,
    /// Random matrices and their products, in the order of use.
    pub matrices: Vec<MatrixShape>,
}

impl RingNeeds {
    /// True if nothing is needed.
    pub fn is_nothing(&self) -> bool {
        let counts = [self.triples, self.dabits, self.edabits, self.muxes];
        let by_size = self.truncs.values().chain(self.scalings.values());
        counts.iter().chain(by_size).all(|n| *n == 0) && self.matrices.is_empty()
    }
}

impl AddAssign for RingNeeds {
    fn add_assign(&mut self, other: Self) {
        self.triples += other.triples;
        self.dabits += other.dabits;
        self.edabits += other.edabits;
        self.muxes += other.muxes;
        for (n_bits, n_items) in other.truncs {
            *self.truncs.entry(n_bits).or_default() += n_items;
        }
        for (n_columns, n_items) in other.scalings {
            *self.scalings.entry(n_columns).or_default() += n_items;
        }
        self.matrices.extend(other.matrices);
    }
}

/// How much correlated randomness a computation takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Shared bits a, b and a∧b. Taken in words of 64.
    pub bit_triples: u64,
    /// Shared bits a, b, c, a∧b and a∧c. Taken in words of 64.
    pub bit_pairs: u64,
    /// Tables of 16 entries at seat 0 of two, of which seat 1 has one entry. Not from a dealer.
    pub tables: u64,
    /// Over Z_2^64.
    pub ring64: RingNeeds,
    /// Over Z_2^128.
    pub ring128: RingNeeds,
    /// Secret permutations, in the order of use.
    pub permutations: Vec<PermutationNeed>,
}

impl Needs {
    /// The part over one ring.
    pub fn ring<R: StockedRing>(&self) -> &RingNeeds {
        R::needs(self)
    }

    /// The part over one ring, to be changed.
    pub fn ring_mut<R: StockedRing>(&mut self) -> &mut RingNeeds {
        R::needs_mut(self)
    }

    /// The needs of a protocol over one ring.
    pub fn of_ring<R: StockedRing>(ring: RingNeeds) -> Self {
        let mut needs = Self::default();
        *R::needs_mut(&mut needs) = ring;
        needs
    }

    /// The needs of a protocol that takes so many words of bit triples.
    pub fn of_bit_triple_words(n_words: usize) -> Self {
        Self {
            bit_triples: n_words as u64 * WORD_BITS,
            ..Self::default()
        }
    }

    /// The needs of a protocol that takes so many words of bit pairs.
    pub fn of_bit_pair_words(n_words: usize) -> Self {
        Self {
            bit_pairs: n_words as u64 * WORD_BITS,
            ..Self::default()
        }
    }

    /// The needs of a protocol of two seats that takes so many tables.
    pub fn of_tables(n_tables: usize) -> Self {
        Self {
            tables: n_tables as u64,
            ..Self::default()
        }
    }

    /// Words of 64 bit triples.
    ///
    /// # Panics
    ///
    /// If so many words do not fit in this machine's memory.
    pub fn bit_triple_words(&self) -> usize {
        n_words(self.bit_triples)
    }

    /// Words of 64 bit pairs.
    ///
    /// # Panics
    ///
    /// If so many words do not fit in this machine's memory.
    pub fn bit_pair_words(&self) -> usize {
        n_words(self.bit_pairs)
    }

    /// True if nothing is needed, and no source.
    pub fn is_nothing(&self) -> bool {
        self.bit_triples == 0
            && self.bit_pairs == 0
            && self.tables == 0
            && self.ring64.is_nothing()
            && self.ring128.is_nothing()
            && self.permutations.is_empty()
    }
}

/// Words for so many packed bits.
fn n_words(n_bits: u64) -> usize {
    usize::try_from(n_bits.div_ceil(WORD_BITS)).expect("correlations fit in memory")
}

impl AddAssign for Needs {
    fn add_assign(&mut self, other: Self) {
        self.bit_triples += other.bit_triples;
        self.bit_pairs += other.bit_pairs;
        self.tables += other.tables;
        self.ring64 += other.ring64;
        self.ring128 += other.ring128;
        self.permutations.extend(other.permutations);
    }
}

impl Add for Needs {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Sum for Needs {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Self::add)
    }
}
