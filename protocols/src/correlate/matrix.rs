//! Products of matrices, where a source needs one.

use super::MatrixShape;
use engine::matrix::{self, View};
use engine::ring::Ring;
use engine::share::Share;

/// The product of two row-major matrices that one seat knows: its own parts, or a dealer's sums.
pub(super) fn product<R: Ring>(shape: MatrixShape, a: &Share<R>, b: &Share<R>) -> Share<R> {
    let a = View::new(a.as_slice(), shape.m, shape.k);
    let b = View::new(b.as_slice(), shape.k, shape.n);
    Share::new(matrix::mul(a, b))
}
