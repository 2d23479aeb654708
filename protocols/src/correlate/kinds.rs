//! The kinds of correlated randomness: one seat's shares of each, and what they are shares of.
//!
//! None of these types can be copied or printed; all memory is wiped when it is dropped.

use super::{MatrixShape, PermutationNeed};
use engine::prg::Prg;
use engine::ring::{self, Ring};
use engine::share::Share;
use engine::share::boolean::BitShare;
use std::mem;
use std::ops::Range;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Packed bit triples: the XOR over all seats of `c` is the AND of the XOR of `a` and the XOR of
/// `b`, word by word.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct BitTriples {
    pub(super) a: Vec<u64>,
    pub(super) b: Vec<u64>,
    pub(super) c: Vec<u64>,
}

impl BitTriples {
    /// Declares that these words are this seat's shares of triples.
    ///
    /// # Panics
    ///
    /// If the three have different lengths.
    pub fn new(a: Vec<u64>, b: Vec<u64>, c: Vec<u64>) -> Self {
        assert!(
            a.len() == b.len() && b.len() == c.len(),
            "vectors of unequal length"
        );
        Self { a, b, c }
    }

    /// Number of words.
    pub fn n_words(&self) -> usize {
        self.a.len()
    }

    /// The raw shares (a, b, c), for the AND protocol and for tests of a source.
    pub fn as_words(&self) -> (&[u64], &[u64], &[u64]) {
        (&self.a, &self.b, &self.c)
    }
}

/// Packed bit triples in pairs that share one factor: bits a, b and c with a∧b and a∧c, XOR-shared
/// word by word.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct BitPairs {
    pub(super) a: Vec<u64>,
    pub(super) b: Vec<u64>,
    pub(super) c: Vec<u64>,
    pub(super) ab: Vec<u64>,
    pub(super) ac: Vec<u64>,
}

impl BitPairs {
    /// Declares that these words are this seat's shares of a, b, c, a∧b and a∧c.
    ///
    /// # Panics
    ///
    /// If they have different lengths.
    pub fn new([a, b, c, ab, ac]: [Vec<u64>; 5]) -> Self {
        let n_words = a.len();
        assert!(
            [&b, &c, &ab, &ac].iter().all(|v| v.len() == n_words),
            "vectors of unequal length"
        );
        Self { a, b, c, ab, ac }
    }

    /// Number of words.
    pub fn n_words(&self) -> usize {
        self.a.len()
    }

    /// The raw shares of a, b, c, a∧b and a∧c.
    pub fn as_words(&self) -> [&[u64]; 5] {
        [&self.a, &self.b, &self.c, &self.ab, &self.ac]
    }
}

/// Random tables of 16 entries of two bits, between two seats: one has the tables, the other a random
/// index into each, and the entry there.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct Tables {
    /// At seat 0 the tables, entry x in bits 2x and 2x + 1. At seat 1 words of which the two bits at
    /// `2·index` are the table's entry there, and the others say nothing.
    pub(super) words: Vec<u32>,
    /// At seat 1 the indices; zeros at seat 0.
    pub(super) indices: Vec<u8>,
}

impl Tables {
    /// Declares that this is what one seat has of tables.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn new(words: Vec<u32>, indices: Vec<u8>) -> Self {
        assert_eq!(words.len(), indices.len(), "vectors of unequal length");
        Self { words, indices }
    }

    /// The tables or entries, and the indices.
    pub fn as_parts(&self) -> (&[u32], &[u8]) {
        (&self.words, &self.indices)
    }
}

/// Triples over a ring: c = a·b, element by element.
pub struct Triples<R: Ring> {
    /// Shares of a.
    pub a: Share<R>,
    /// Shares of b.
    pub b: Share<R>,
    /// Shares of a·b.
    pub c: Share<R>,
}

/// Random bits, shared both by XOR and over a ring.
pub struct DaBits<R: Ring> {
    /// XOR shares of the bits.
    pub bits: BitShare,
    /// Additive shares of the same bits.
    pub arith: Share<R>,
}

/// Random ring elements r, shared over the ring and bit by bit.
pub struct EdaBits<R: Ring> {
    /// Additive shares of r.
    pub r: Share<R>,
    /// XOR shares of the bits: plane i holds bit i of every r. There are [`Ring::BITS`] planes.
    pub planes: Vec<BitShare>,
}

/// Random ring elements r of k bits, with their parts above the lower f bits.
pub struct Truncs<R: Ring> {
    /// Additive shares of r.
    pub r: Share<R>,
    /// Additive shares of u = (r mod 2^(k−1)) >> f.
    pub u: Share<R>,
    /// Additive shares of r >> (k−1), the top bit.
    pub top: Share<R>,
}

/// Random bits β and ring elements a, with their products.
pub struct Muxes<R: Ring> {
    /// XOR shares of β.
    pub bits: BitShare,
    /// Additive shares of β.
    pub bits_arith: Share<R>,
    /// Additive shares of a.
    pub a: Share<R>,
    /// Additive shares of β·a.
    pub bits_times_a: Share<R>,
}

/// Random ring elements a and rows of elements, column by column, with the products of a and its row.
pub struct Scalings<R: Ring> {
    /// Shares of a.
    pub factor: Share<R>,
    /// Shares of the rows: of each column as many elements as there are a.
    pub columns: Vec<Share<R>>,
    /// Shares of a times each column.
    pub products: Vec<Share<R>>,
}

/// Random matrices and their product, row-major: c = a·b with a of m×k and b of k×n.
pub struct MatrixTriple<R: Ring> {
    /// Shares of a.
    pub a: Share<R>,
    /// Shares of b.
    pub b: Share<R>,
    /// Shares of a·b.
    pub c: Share<R>,
}

impl<R: Ring> MatrixTriple<R> {
    /// True if the parts have the lengths of this shape.
    pub fn fits(&self, shape: MatrixShape) -> bool {
        self.a.len() == shape.left_len()
            && self.b.len() == shape.right_len()
            && self.c.len() == shape.product_len()
    }
}

/// A permutation that one seat knows: row i of the permuted table is row `sources[i]` of the table.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct SecretPermutation {
    sources: Vec<u32>,
}

impl SecretPermutation {
    /// Declares that `sources` is a permutation of 0, 1, ….
    pub fn new(sources: Vec<u32>) -> Self {
        Self { sources }
    }

    /// A uniformly random permutation (Fisher and Yates; Knuth, TAOCP 2, §3.4.2, algorithm P).
    ///
    /// # Panics
    ///
    /// If there are 2^32 rows or more.
    pub fn random(n_rows: usize, prg: &mut Prg) -> Self {
        let n_rows = u32::try_from(n_rows).expect("less than 2^32 rows");
        let mut sources: Vec<u32> = (0..n_rows).collect();
        for i in (1..sources.len()).rev() {
            sources.swap(i, prg.next_bounded(i as u64 + 1) as usize);
        }
        Self { sources }
    }

    /// Where each row comes from.
    pub fn sources(&self) -> &[u32] {
        &self.sources
    }

    /// Row `sources[i]` becomes row i.
    ///
    /// # Panics
    ///
    /// If there is another number of rows.
    pub fn apply<T: Copy>(&self, rows: &[T]) -> Vec<T> {
        assert_eq!(rows.len(), self.sources.len(), "a row for each position");
        let sources = self.sources.iter();
        sources.map(|source| rows[*source as usize]).collect()
    }
}

/// One seat's shares of the rows of a table, column by column.
#[derive(Default)]
pub struct RowShares {
    /// XOR-shared words: word i of a column is that of row i.
    pub words: Vec<BitShare>,
    /// Columns over Z_2^64.
    pub ring64: Vec<Share<u64>>,
    /// Columns over Z_2^128.
    pub ring128: Vec<Share<u128>>,
}

impl RowShares {
    /// True if the columns are those of this need.
    pub fn fits(&self, need: PermutationNeed) -> bool {
        let n_rows = need.n_rows;
        self.words.len() == need.n_words
            && self.ring64.len() == need.n_ring64
            && self.ring128.len() == need.n_ring128
            && self.words.iter().all(|c| c.n_bits() == 64 * n_rows)
            && self.ring64.iter().all(|c| c.len() == n_rows)
            && self.ring128.iter().all(|c| c.len() == n_rows)
    }

    /// Overwrites some rows of a column, words first, then Z_2^64, then Z_2^128.
    pub(super) fn write(&mut self, column: usize, rows: Range<usize>, bytes: &[u8]) {
        let (n_words, n_narrow) = (self.words.len(), self.words.len() + self.ring64.len());
        if column < n_words {
            let n_bits = self.words[column].n_bits();
            let mut words = mem::replace(&mut self.words[column], BitShare::zero(0)).into_words();
            ring::as_bytes_mut(&mut words[rows]).copy_from_slice(bytes);
            self.words[column] = BitShare::from_words(n_bits, words);
        } else if column < n_narrow {
            let column = self.ring64[column - n_words].as_mut_slice();
            ring::as_bytes_mut(&mut column[rows]).copy_from_slice(bytes);
        } else {
            let column = self.ring128[column - n_narrow].as_mut_slice();
            ring::as_bytes_mut(&mut column[rows]).copy_from_slice(bytes);
        }
    }
}

/// A random table A and the same table with its rows permuted by a random π that one seat, the
/// owner, knows.
pub struct PermutationShare {
    /// π; the owner has it, and nobody else.
    pub permutation: Option<SecretPermutation>,
    /// Shares of A; all seats but the owner have one, and their sum is A.
    pub before: Option<RowShares>,
    /// Shares of π(A), whose row i is row π(i) of A. Every seat has one.
    pub after: RowShares,
}
