//! Products of matrices, where a source needs one.

use super::MatrixShape;
use engine::matrix::{self, View};
use engine::ring::Ring;
use engine::share::Share;
use rayon::prelude::*;

/// The product of two row-major matrices that one seat knows: its own parts, or a dealer's sums.
pub(super) fn product<R: Ring>(shape: MatrixShape, a: &Share<R>, b: &Share<R>) -> Share<R> {
    let a = View::new(a.as_slice(), shape.m, shape.k);
    let b = View::new(b.as_slice(), shape.k, shape.n);
    Share::new(matrix::mul(a, b))
}

/// A row-major matrix, column by column.
pub(super) fn transposed<R: Ring>(matrix: &Share<R>, n_rows: usize, n_columns: usize) -> Share<R> {
    let mut out = Share::zero(matrix.len());
    let values = matrix.as_slice();
    let rows = out.as_mut_slice().par_chunks_mut(n_rows.max(1));
    rows.enumerate().for_each(|(column, out)| {
        for (row, out) in out.iter_mut().enumerate() {
            *out = values[row * n_columns + column];
        }
    });
    out
}
