//! Products of matrices, where a source needs one.

use super::MatrixShape;
use engine::ring::Ring;
use engine::share::Share;
use rayon::prelude::*;

/// The product of two row-major matrices, of which one seat knows the parts that it passes.
pub(super) fn product<R: Ring>(shape: MatrixShape, a: &Share<R>, b: &Share<R>) -> Share<R> {
    let mut c = Share::zero(shape.product_len());
    if c.is_empty() || shape.k == 0 {
        return c;
    }
    let rows = c.as_mut_slice().par_chunks_mut(shape.n);
    rows.zip(a.as_slice().par_chunks(shape.k))
        .for_each(|(c, a)| {
            for (a, b) in a.iter().zip(b.as_slice().chunks_exact(shape.n)) {
                for (c, b) in c.iter_mut().zip(b) {
                    *c = c.wrapping_add(a.wrapping_mul(*b));
                }
            }
        });
    c
}
