//! How the elements of two matrices stand in polynomials, so that a product of polynomials has inner products among its
//! coefficients.
//!
//! A block of u×v elements of the left matrix and one of v×w of the right one, with u·v·w ≤ N:
//!
//! ```text
//! a(X) = Σ A[i][l]·X^(i·v·w + v − 1 − l)       b(X) = Σ B[l][j]·X^(j·v + l)
//! coefficient i·v·w + j·v + v − 1 of a·b is (A·B)[i][j]
//! ```
//!
//! Other terms of the product have exponents that differ from such a one by less than v, and those that wrap around at
//! X^N = −1 have exponents below v − 1.
//!
//! Source: Huang et al., Cheetah, 2022/207, §3.1.1 and figure 2, for matrices of any shape.

use crate::params::{LATTICE_DEGREE as N, LATTICE_LOG_BLOCKS, LATTICE_PRIMES, LATTICE_RETURNED};
use std::iter::successors;
use std::ops::Range;

/// Bytes of a residue in a message.
pub(super) const RESIDUE_BYTES: usize = 7;

/// Ciphertexts that stay in memory where results do not, and the other way round.
const MOST_KEPT: usize = 64;

/// Ciphertexts of one message.
const MOST_SENT: usize = 32;

/// Polynomials of the right matrix that are in memory at a time.
const MOST_PLAIN: usize = 256;

/// A product of matrices, m×k times k×n, cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    /// u, v and w.
    pub(super) rows: usize,
    pub(super) inner: usize,
    pub(super) columns: usize,
}

impl Packing {
    /// The blocks that make an m×k times k×n product cheapest; `None` if there are too many in every way, or no elements.
    pub fn of(m: usize, k: usize, n: usize) -> Option<Self> {
        if m == 0 || k == 0 || n == 0 {
            return None;
        }
        let of_rows = sizes(m).flat_map(|rows| sizes(n).map(move |columns| (rows, columns)));
        let fitting = of_rows.filter(|(rows, columns)| rows * columns <= N);
        let all = fitting.map(|(rows, columns)| Self {
            m,
            k,
            n,
            rows,
            inner: k.min(N / (rows * columns)),
            columns,
        });
        all.filter(Self::is_bounded)
            .min_by_key(|packing| (packing.microseconds(), packing.rows))
    }

    /// Whether its errors are bounded, and its memory.
    fn is_bounded(&self) -> bool {
        let [m, k, _] = self.n_blocks();
        let is_one_group = self.column_groups().len() == 1;
        k <= 1 << LATTICE_LOG_BLOCKS && m <= MOST_KEPT && (is_one_group || m * k <= MOST_KEPT)
    }

    /// About what both sides take, a processor and a link of 4 Gbit/s together. Part of the protocol: it decides between
    /// blocks, and between this and other ways to make a product.
    pub fn microseconds(&self) -> u64 {
        let [m, k, n] = self.n_blocks().map(|n| n as u64);
        840 * m * k + 400 * k * n + 100 * m * k * n + 2200 * m * n
    }

    /// Blocks down the left matrix, along both and across the right one.
    pub(super) fn n_blocks(&self) -> [usize; 3] {
        [
            self.m.div_ceil(self.rows),
            self.k.div_ceil(self.inner),
            self.n.div_ceil(self.columns),
        ]
    }

    /// The blocks along both matrices of which the ciphertexts go in one message.
    pub fn inner_groups(&self) -> Vec<Range<usize>> {
        let [m, k, n] = self.n_blocks();
        let in_memory = MOST_PLAIN / n.min(MOST_KEPT);
        groups(k, (MOST_SENT / m).min(in_memory))
    }

    /// The blocks across the right matrix of which the results go in one message.
    pub fn column_groups(&self) -> Vec<Range<usize>> {
        let [m, _, n] = self.n_blocks();
        groups(n, MOST_KEPT / m)
    }

    /// Length of the message with the ciphertexts of these blocks along both matrices.
    pub fn left_bytes(&self, inner: &Range<usize>) -> usize {
        let [m, _, _] = self.n_blocks();
        m * inner.len() * LATTICE_PRIMES.len() * N * RESIDUE_BYTES
    }

    /// Length of the message with the results of these blocks across the right matrix.
    pub fn result_bytes(&self, columns: &Range<usize>) -> usize {
        let [m, _, _] = self.n_blocks();
        let of_columns = columns.clone().map(|column| self.across(column).len());
        let n_elements = self.m * of_columns.sum::<usize>();
        LATTICE_RETURNED * RESIDUE_BYTES * (m * columns.len() * N + n_elements)
    }

    /// Bytes of all messages, both ways, the key apart.
    pub fn n_bytes(&self) -> usize {
        let left = self.inner_groups();
        let left = left.iter().map(|inner| self.left_bytes(inner));
        let results = self.column_groups();
        let results = results.iter().map(|columns| self.result_bytes(columns));
        left.sum::<usize>() + results.sum::<usize>()
    }

    /// Rows of the left matrix in a block.
    pub(super) fn down(&self, block: usize) -> Range<usize> {
        part(block, self.rows, self.m)
    }

    /// Columns of the left matrix and rows of the right one in a block.
    pub(super) fn along(&self, block: usize) -> Range<usize> {
        part(block, self.inner, self.k)
    }

    /// Columns of the right matrix in a block.
    pub(super) fn across(&self, block: usize) -> Range<usize> {
        part(block, self.columns, self.n)
    }

    /// The coefficients of a block of the left matrix, m×k and row-major, by their places.
    pub(super) fn left<'a>(
        &self,
        left: &'a [u64],
        (down, along): (usize, usize),
    ) -> impl Iterator<Item = (usize, u64)> + use<'a> {
        let (packing, along) = (*self, self.along(along));
        self.down(down).enumerate().flat_map(move |(i, row)| {
            let values = &left[row * packing.k..][along.clone()];
            let at = i * packing.inner * packing.columns + packing.inner - 1;
            values
                .iter()
                .enumerate()
                .map(move |(l, value)| (at - l, *value))
        })
    }

    /// The coefficients of a block of the right matrix, k×n and row-major, by their places.
    pub(super) fn right<'a>(
        &self,
        right: &'a [u64],
        (along, across): (usize, usize),
    ) -> impl Iterator<Item = (usize, u64)> + use<'a> {
        let (packing, across) = (*self, self.across(across));
        self.along(along).enumerate().flat_map(move |(l, row)| {
            let values = &right[row * packing.n..][across.clone()];
            values
                .iter()
                .enumerate()
                .map(move |(j, value)| (j * packing.inner + l, *value))
        })
    }

    /// The elements of a block of the product, m×n and row-major, and the coefficients in which they stand.
    pub(super) fn product(
        &self,
        (down, across): (usize, usize),
    ) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (packing, across) = (*self, self.across(across));
        self.down(down).enumerate().flat_map(move |(i, row)| {
            let first = i * packing.inner * packing.columns + packing.inner - 1;
            let columns = across.clone().enumerate();
            columns.map(move |(j, column)| (row * packing.n + column, first + j * packing.inner))
        })
    }
}

/// The sizes of blocks that divide a length evenly: the whole, a half, a third and so on, each once.
fn sizes(length: usize) -> impl Iterator<Item = usize> {
    successors(Some(length), move |size| {
        let n_blocks = length.div_ceil(*size);
        // The next smaller size that makes more blocks.
        (*size > 1).then(|| (length.div_ceil(n_blocks + 1)).min(size - 1))
    })
}

fn part(block: usize, size: usize, length: usize) -> Range<usize> {
    block * size..length.min((block + 1) * size)
}

/// Blocks in groups of so many, of one at least.
fn groups(n_blocks: usize, most: usize) -> Vec<Range<usize>> {
    let most = most.max(1);
    let starts = (0..n_blocks).step_by(most);
    starts.map(|at| at..n_blocks.min(at + most)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_both_matrices_and_fit_a_polynomial() {
        for (m, k, n) in [
            (1, 1, 1),
            (17, 37_000, 17),
            (1, 17, 37_000),
            (37_000, 17, 1),
            (3, 8193, 5),
            (101, 999, 103),
        ] {
            let packing = Packing::of(m, k, n).expect("these fit");
            assert!(packing.rows * packing.inner * packing.columns <= N);
            let [downs, alongs, acrosses] = packing.n_blocks();
            let covered = |n_blocks: usize, part: &dyn Fn(usize) -> Range<usize>| {
                (0..n_blocks).flat_map(part).collect::<Vec<_>>()
            };
            assert_eq!(
                covered(downs, &|b| packing.down(b)),
                (0..m).collect::<Vec<_>>()
            );
            assert_eq!(
                covered(alongs, &|b| packing.along(b)),
                (0..k).collect::<Vec<_>>()
            );
            assert_eq!(
                covered(acrosses, &|b| packing.across(b)),
                (0..n).collect::<Vec<_>>()
            );
            let grouped: Vec<usize> = packing.inner_groups().into_iter().flatten().collect();
            assert_eq!(grouped, (0..alongs).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_has_no_elements_or_too_many_blocks_has_no_packing() {
        assert_eq!(Packing::of(0, 3, 3), None);
        assert_eq!(Packing::of(3, 0, 3), None);
        assert!(Packing::of(4000, 4000, 4000).is_none());
    }

    #[test]
    fn sizes_go_down_to_one() {
        assert_eq!(sizes(7).collect::<Vec<_>>(), [7, 4, 3, 2, 1]);
        assert_eq!(sizes(1).collect::<Vec<_>>(), [1]);
    }
}
