//! Rows that are shared among the seats: XOR-shared bits, and columns over the rings.
//!
//! The first bits of a row, lowest first, are its key, an unsigned number by which rows are merged,
//! sorted and grouped; keys may be of any width. Further bits, and the ring columns, go where their
//! row goes. The number of rows, the widths and the number of columns are public.

use crate::correlate::{PermutationNeed, RowShares};
use crate::party::Seat;
use engine::bits;
use engine::ring::Ring;
use engine::share::Share;
use engine::share::boolean::{self, BitShare};
use std::ops::Range;

/// Bits in a word of a row.
const WORD_BITS: usize = 64;

/// The public shape of a [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// Number of rows.
    pub n_rows: usize,
    /// Bits of the key.
    pub key_bits: usize,
    /// Bits that follow the key.
    pub extra_bits: usize,
    /// Columns over Z_2^64.
    pub ring64: usize,
    /// Columns over Z_2^128.
    pub ring128: usize,
}

impl TableShape {
    /// All bits of a row.
    pub fn n_bits(self) -> usize {
        self.key_bits + self.extra_bits
    }

    /// Words that hold the bits of a row.
    pub fn n_words(self) -> usize {
        bits::words_for(self.n_bits())
    }

    /// What a permutation of the rows takes, if the seat `owner` knows it.
    pub fn permutation(self, owner: Seat) -> PermutationNeed {
        PermutationNeed {
            n_rows: self.n_rows,
            n_words: self.n_words(),
            n_ring64: self.ring64,
            n_ring128: self.ring128,
            owner,
        }
    }
}

/// One seat's shares of the rows of a table.
pub struct Table {
    shape: TableShape,
    rows: RowShares,
}

impl Table {
    /// Puts a table together from its bits, one vector a bit position, and its ring columns.
    ///
    /// # Panics
    ///
    /// If the parts do not have the table's number of rows.
    pub fn new(
        n_rows: usize,
        key: &[BitShare],
        extra: &[BitShare],
        ring64: Vec<Share<u64>>,
        ring128: Vec<Share<u128>>,
    ) -> Self {
        let shape = TableShape {
            n_rows,
            key_bits: key.len(),
            extra_bits: extra.len(),
            ring64: ring64.len(),
            ring128: ring128.len(),
        };
        let planes: Vec<&BitShare> = key.iter().chain(extra).collect();
        assert!(
            planes.iter().all(|p| p.n_bits() == n_rows),
            "a bit for each row"
        );
        let words = planes.chunks(WORD_BITS).map(word_column).collect();
        let rows = RowShares {
            words,
            ring64,
            ring128,
        };
        Self::from_rows(shape, rows)
    }

    /// Declares that these are shares of rows of this shape.
    ///
    /// # Panics
    ///
    /// If they are not.
    pub(crate) fn from_rows(shape: TableShape, rows: RowShares) -> Self {
        assert!(
            rows.fits(shape.permutation(Seat(0))),
            "columns of the table's shape"
        );
        Self { shape, rows }
    }

    /// The public shape.
    pub fn shape(&self) -> TableShape {
        self.shape
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.shape.n_rows
    }

    /// The columns.
    pub(crate) fn rows(&self) -> &RowShares {
        &self.rows
    }

    /// The columns, to be changed in place.
    pub(crate) fn rows_mut(&mut self) -> &mut RowShares {
        &mut self.rows
    }

    /// Takes the columns over Z_2^64 and over Z_2^128 out.
    pub fn into_ring_columns(self) -> (Vec<Share<u64>>, Vec<Share<u128>>) {
        (self.rows.ring64, self.rows.ring128)
    }

    /// Takes the last column over Z_2^64 out.
    pub(crate) fn pop_ring64(&mut self) -> Share<u64> {
        let column = self.rows.ring64.pop().expect("a column over Z_2^64");
        self.shape.ring64 -= 1;
        column
    }

    /// Takes the columns out.
    pub(crate) fn into_rows(self) -> RowShares {
        self.rows
    }

    /// Some bits of all rows, one vector a bit position.
    ///
    /// # Panics
    ///
    /// If a row has fewer bits.
    pub fn planes(&self, bits: Range<usize>) -> Vec<BitShare> {
        assert!(bits.end <= self.shape.n_bits(), "bits of the row");
        self.planes_of(bits, |words| words.to_vec())
    }

    /// Some bits of the rows at these positions, in this order.
    pub(crate) fn planes_at(&self, bits: Range<usize>, positions: &[u32]) -> Vec<BitShare> {
        self.planes_of(bits, |words| {
            positions.iter().map(|p| words[*p as usize]).collect()
        })
    }

    fn planes_of(&self, bits: Range<usize>, choose: impl Fn(&[u64]) -> Vec<u64>) -> Vec<BitShare> {
        let mut planes = Vec::with_capacity(bits.len());
        for (index, column) in self.rows.words.iter().enumerate() {
            let first = index * WORD_BITS;
            let wanted = bits.start.max(first)..bits.end.min(first + WORD_BITS);
            if wanted.is_empty() {
                continue;
            }
            let chosen = choose(column.as_words());
            let chosen = BitShare::from_words(chosen.len() * WORD_BITS, chosen);
            let cut = boolean::to_planes(chosen.as_words(), wanted.end - first);
            planes.extend(cut.into_iter().skip(wanted.start - first));
        }
        planes
    }

    /// XORs bits into the first bits of the rows at these positions: vector b holds, for each
    /// position, what bit b of its row is changed by.
    pub(crate) fn toggle(&mut self, positions: &[u32], planes: &[BitShare]) {
        for (column, planes) in self.rows.words.iter_mut().zip(planes.chunks(WORD_BITS)) {
            let changes = boolean::from_planes(planes);
            let words = column.as_mut_words();
            for (position, change) in positions.iter().zip(&changes) {
                words[*position as usize] ^= change;
            }
        }
    }

    /// The rows in another order: row `sources[i]` becomes row i. The order is public; nothing is
    /// sent. Rows may be left out or repeated.
    #[must_use]
    pub fn reordered(&self, sources: &[u32]) -> Self {
        let words = self.rows.words.iter().map(|column| {
            let words = gather(column.as_words(), sources);
            BitShare::from_words(words.len() * WORD_BITS, words)
        });
        let rows = RowShares {
            words: words.collect(),
            ring64: self
                .rows
                .ring64
                .iter()
                .map(|c| gathered(c, sources))
                .collect(),
            ring128: self
                .rows
                .ring128
                .iter()
                .map(|c| gathered(c, sources))
                .collect(),
        };
        let shape = TableShape {
            n_rows: sources.len(),
            ..self.shape
        };
        Self::from_rows(shape, rows)
    }

    /// The rows of several tables of the same columns, one table after the other.
    ///
    /// # Panics
    ///
    /// If there is no table, or the columns differ.
    pub fn concatenate(tables: Vec<Self>) -> Self {
        let n_rows: usize = tables.iter().map(Self::n_rows).sum();
        let mut tables = tables.into_iter();
        let first = tables.next().expect("at least one table");
        let shape = TableShape {
            n_rows,
            ..first.shape
        };
        let mut rows = first.rows;
        for next in tables {
            let columns = TableShape {
                n_rows,
                ..next.shape
            };
            assert!(columns == shape, "tables of the same columns");
            let RowShares {
                words,
                ring64,
                ring128,
            } = next.rows;
            rows.words
                .iter_mut()
                .zip(words)
                .for_each(|(a, b)| a.append(b));
            rows.ring64
                .iter_mut()
                .zip(ring64)
                .for_each(|(a, b)| a.append(b));
            rows.ring128
                .iter_mut()
                .zip(ring128)
                .for_each(|(a, b)| a.append(b));
        }
        Self::from_rows(shape, rows)
    }
}

/// Up to 64 vectors of bits as one column of words.
fn word_column(planes: &[&BitShare]) -> BitShare {
    let planes: Vec<BitShare> = planes
        .iter()
        .map(|p| BitShare::from_words(p.n_bits(), p.as_words().to_vec()))
        .collect();
    let words = boolean::from_planes(&planes);
    BitShare::from_words(words.len() * WORD_BITS, words)
}

fn gather<T: Copy>(values: &[T], sources: &[u32]) -> Vec<T> {
    sources.iter().map(|s| values[*s as usize]).collect()
}

fn gathered<R: Ring>(column: &Share<R>, sources: &[u32]) -> Share<R> {
    Share::new(gather(column.as_slice(), sources))
}
