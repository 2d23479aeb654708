//! Products of matrices over Z_2^64 and Z_2^128, blocked, packed and spread over all cores.
//!
//! Matrices are row-major slices. A [`View`] says how a slice is to be read, transposed if need be, so
//! that XᵀX needs no copy of X. No library has this product for integers of 64 bits, so it is built
//! here the way they are built for floats (Goto and van de Geijn, "Anatomy of high-performance matrix
//! multiplication", ACM TOMS 34(3), 2008): a small tile of the result stays in registers while packed
//! panels of both factors stream past it from the caches.
//!
//! The tile's kernel is chosen at run time: AVX-512, AVX2 or portable. All give the same result,
//! because arithmetic mod 2^k has no rounding; for the same reason the order of summation is free.
//!
//! No timing depends on values.

mod blocks;
mod portable;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::ring::{self, Ring};
use crate::wide;
use blocks::product;
use portable::Portable;
use rayon::prelude::*;
use zeroize::Zeroizing;

/// A matrix in somebody's slice.
#[derive(Clone, Copy)]
pub struct View<'a, R> {
    values: &'a [R],
    n_rows: usize,
    n_cols: usize,
    /// The slice holds the transposed matrix row by row.
    is_transposed: bool,
}

impl<'a, R: Ring> View<'a, R> {
    /// A row-major matrix.
    ///
    /// # Panics
    ///
    /// If there are not `n_rows`·`n_cols` values.
    pub fn new(values: &'a [R], n_rows: usize, n_cols: usize) -> Self {
        assert_eq!(values.len(), n_rows * n_cols, "values of a matrix");
        Self {
            values,
            n_rows,
            n_cols,
            is_transposed: false,
        }
    }

    /// The transposed matrix in the same slice.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            n_rows: self.n_cols,
            n_cols: self.n_rows,
            is_transposed: !self.is_transposed,
            ..self
        }
    }

    /// Number of rows.
    pub fn n_rows(self) -> usize {
        self.n_rows
    }

    /// Number of columns.
    pub fn n_cols(self) -> usize {
        self.n_cols
    }
}

/// `c += a·b`, where `c` is row-major with as many rows as `a` and as many columns as `b`.
///
/// # Panics
///
/// If the shapes do not fit.
pub fn mul_acc<R: Ring>(c: &mut [R], a: View<'_, R>, b: View<'_, R>) {
    assert_eq!(a.n_cols, b.n_rows, "columns of a and rows of b");
    assert_eq!(c.len(), a.n_rows * b.n_cols, "values of c");
    if c.is_empty() || a.n_cols == 0 {
        return;
    }
    // From here on nothing is generic, so that it is compiled in this package, with its optimisation.
    match R::BITS {
        64 => mul_acc_64(bytemuck::cast_slice_mut(c), cast(a), cast(b)),
        _ => mul_acc_128(bytemuck::cast_slice_mut(c), cast(a), cast(b)),
    }
}

/// The product a·b, row-major.
///
/// # Panics
///
/// If the shapes do not fit.
pub fn mul<R: Ring>(a: View<'_, R>, b: View<'_, R>) -> Vec<R> {
    let mut c = vec![R::ZERO; a.n_rows * b.n_cols];
    mul_acc(&mut c, a, b);
    c
}

/// The same ring under its own name: [`Ring`] is sealed, and its width says which it is.
fn cast<R: Ring, S: Ring>(view: View<'_, R>) -> View<'_, S> {
    View {
        values: bytemuck::cast_slice(view.values),
        n_rows: view.n_rows,
        n_cols: view.n_cols,
        is_transposed: view.is_transposed,
    }
}

fn mul_acc_64(c: &mut [u64], a: View<'_, u64>, b: View<'_, u64>) {
    if is_vector(a, b) {
        return mul_acc_vector(c, a, b);
    }
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(kernel) = avx512::Products64::detect() {
            return product(kernel, c, a, b);
        }
        if let Some(kernel) = avx2::Products64::detect() {
            return product(kernel, c, a, b);
        }
    }
    product(Portable, c, a, b);
}

/// Without 52-bit multiplications the scalar multiplier is as fast as anything.
fn mul_acc_128(c: &mut [u128], a: View<'_, u128>, b: View<'_, u128>) {
    if is_vector(a, b) {
        return mul_acc_vector(c, a, b);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(kernel) = avx512::Products128::detect() {
        return product(kernel, c, a, b);
    }
    product(Portable, c, a, b);
}

fn is_vector<R>(a: View<'_, R>, b: View<'_, R>) -> bool {
    a.n_rows == 1 || b.n_cols == 1
}

/// A product whose result is one column or one row.
fn mul_acc_vector<R: Ring>(c: &mut [R], a: View<'_, R>, b: View<'_, R>) {
    if b.n_cols == 1 {
        mul_vector(c, a, b.values);
    } else {
        mul_vector(c, b.transposed(), a.values);
    }
}

/// Values of a matrix that one task of a product with a vector reads.
const VECTOR_TASK_VALUES: usize = 1 << 16;

/// `c += a·x` for one column x. Every value of `a` is used once, so there is nothing to pack.
fn mul_vector<R: Ring>(c: &mut [R], a: View<'_, R>, x: &[R]) {
    if a.is_transposed {
        return add_columns(c, a.values, x);
    }
    let rows_a_task = VECTOR_TASK_VALUES.div_ceil(a.n_cols);
    let tasks = c.par_chunks_mut(rows_a_task);
    let rows = a.values.par_chunks(rows_a_task * a.n_cols);
    tasks.zip(rows).for_each(|(c, rows)| {
        wide::run(|| {
            for (c, row) in c.iter_mut().zip(rows.chunks_exact(x.len())) {
                *c = c.wrapping_add(dot(row, x));
            }
        });
    });
}

/// `c += Σ x[j]·column j`, where `columns` holds column after column.
fn add_columns<R: Ring>(c: &mut [R], columns: &[R], x: &[R]) {
    let columns_a_task = VECTOR_TASK_VALUES.div_ceil(c.len());
    let n_rows = c.len();
    let parts: Vec<_> = x
        .par_chunks(columns_a_task)
        .zip(columns.par_chunks(columns_a_task * n_rows))
        .map(|(x, columns)| {
            let mut sums = Zeroizing::new(vec![R::ZERO; n_rows]);
            for (x, column) in x.iter().zip(columns.chunks_exact(n_rows)) {
                ring::add_scaled(&mut sums, column, *x);
            }
            sums
        })
        .collect();
    for part in parts {
        ring::add_assign(c, &part);
    }
}

#[inline(always)]
fn dot<R: Ring>(left: &[R], right: &[R]) -> R {
    let products = left.iter().zip(right).map(|(l, r)| l.wrapping_mul(*r));
    products.fold(R::ZERO, Ring::wrapping_add)
}

/// The transposed matrix of `n_rows`·`n_cols` row-major values, row-major.
///
/// # Panics
///
/// If the number of values is another.
pub fn transpose<R: Ring>(values: &[R], n_rows: usize, n_cols: usize) -> Vec<R> {
    assert_eq!(values.len(), n_rows * n_cols, "values of a matrix");
    let mut out = vec![R::ZERO; values.len()];
    if out.is_empty() {
        return out;
    }
    // Bands of lines of the result are read as squares: both sides of a square fit the first cache.
    const SIDE: usize = 32;
    let bands = out.par_chunks_mut(SIDE * n_rows).enumerate();
    bands.for_each(|(band, out)| {
        for top in (0..n_rows).step_by(SIDE) {
            let bottom = n_rows.min(top + SIDE);
            for (line, out) in out.chunks_exact_mut(n_rows).enumerate() {
                let column = band * SIDE + line;
                for (offset, out) in out[top..bottom].iter_mut().enumerate() {
                    *out = values[(top + offset) * n_cols + column];
                }
            }
        }
    });
    out
}

/// What a processor can do with everything in registers: the loop of the product's kernel without its
/// loads and stores, `n_steps` times on the calling thread. Returns the number of multiply-adds, and a
/// value that depends on all of them.
pub fn register_only<R: Ring>(n_steps: u64) -> (u64, u64) {
    #[cfg(target_arch = "x86_64")]
    {
        if R::BITS == 64 {
            if let Some(kernel) = avx512::Products64::detect() {
                return kernel.register_only(n_steps);
            }
            if let Some(kernel) = avx2::Products64::detect() {
                return kernel.register_only(n_steps);
            }
        } else if let Some(kernel) = avx512::Products128::detect() {
            return kernel.register_only(n_steps);
        }
    }
    portable::register_only::<R>(n_steps)
}

#[cfg(test)]
mod tests;
