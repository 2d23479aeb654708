//! The kernel for processors without another one.

use super::blocks::Kernel;
use crate::ring::Ring;
use std::hint::black_box;

/// Plain loops over a tile that fits the registers of any processor.
#[derive(Clone, Copy)]
pub(super) struct Portable;

const ROWS: usize = 4;
const COLS: usize = 4;

impl Kernel<u64> for Portable {
    const ROWS: usize = ROWS;
    const COLS: usize = COLS;
    const LIMBS: usize = 1;
    const DEPTH: usize = 256;

    #[inline(always)]
    fn limb(value: u64, _: usize) -> u64 {
        value
    }

    fn tile(self, a: &[u64], b: &[u64], sums: &mut [u64]) {
        let mut acc = [[0u64; COLS]; ROWS];
        let (a, _) = a.as_chunks::<ROWS>();
        let (b, _) = b.as_chunks::<COLS>();
        for (a, b) in a.iter().zip(b) {
            add_outer(&mut acc, a, b);
        }
        sums.copy_from_slice(acc.as_flattened());
    }
}

impl Kernel<u128> for Portable {
    const ROWS: usize = ROWS;
    const COLS: usize = COLS;
    const LIMBS: usize = 2;
    const DEPTH: usize = 128;

    #[inline(always)]
    fn limb(value: u128, index: usize) -> u64 {
        (value >> (64 * index)) as u64
    }

    fn tile(self, a: &[u64], b: &[u64], sums: &mut [u128]) {
        let mut acc = [[0u128; COLS]; ROWS];
        let (a, _) = a.as_chunks::<{ 2 * ROWS }>();
        let (b, _) = b.as_chunks::<{ 2 * COLS }>();
        for (a, b) in a.iter().zip(b) {
            let a: [u128; ROWS] = std::array::from_fn(|i| join(a[i], a[ROWS + i]));
            let b: [u128; COLS] = std::array::from_fn(|j| join(b[j], b[COLS + j]));
            add_outer(&mut acc, &a, &b);
        }
        sums.copy_from_slice(acc.as_flattened());
    }
}

#[inline(always)]
fn join(low: u64, high: u64) -> u128 {
    u128::from(low) | u128::from(high) << 64
}

#[inline(always)]
fn add_outer<R: Ring>(acc: &mut [[R; COLS]; ROWS], a: &[R; ROWS], b: &[R; COLS]) {
    for (acc, a) in acc.iter_mut().zip(a) {
        for (acc, b) in acc.iter_mut().zip(b) {
            *acc = acc.wrapping_add(a.wrapping_mul(*b));
        }
    }
}

/// See [`super::register_only`].
pub(super) fn register_only<R: Ring>(n_steps: u64) -> (u64, u64) {
    let mut acc: [[R; COLS]; ROWS] = black_box([[R::from_u64(3); COLS]; ROWS]);
    let factor = black_box(R::from_u64(0x9e37_79b9_7f4a_7c15));
    for _ in 0..n_steps {
        for acc in acc.as_flattened_mut() {
            *acc = acc.wrapping_mul(factor).wrapping_add(R::ONE);
        }
    }
    let all = acc
        .as_flattened()
        .iter()
        .fold(R::ZERO, |sum, acc| sum.wrapping_add(*acc));
    (n_steps * (ROWS * COLS) as u64, all.to_signed() as u64)
}
