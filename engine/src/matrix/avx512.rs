//! Kernels for AVX-512.
//!
//! Over Z_2^64 the processor's own product of 64-bit lanes (AVX-512 DQ). On Zen 4 it is three and a half times as
//! fast as three products of 32 bits or four of 52 bits; elsewhere nobody has measured it. Over Z_2^128 the products of 52
//! bits of AVX-512 IFMA: with a = a₀ + 2^52·a₁ + 2^104·a₂ and b likewise,
//!
//! a·b = lo(a₀b₀) + 2^52·(hi(a₀b₀) + lo(a₀b₁) + lo(a₁b₀))
//!       + 2^104·(hi(a₀b₁) + hi(a₁b₀) + lo(a₀b₂) + lo(a₁b₁) + lo(a₂b₀)) mod 2^128,
//!
//! where lo and hi are the 52-bit halves of a product. The three sums are kept apart over all steps. A
//! step adds at most three halves to the first two, so they hold 1365 steps; the third is needed mod 2^24
//! alone.

use super::blocks::Kernel;
use std::arch::x86_64::*;
use std::hint::black_box;

/// 64-bit lanes of a register.
const LANES: usize = 8;

/// Proof of AVX-512 F and DQ.
#[derive(Clone, Copy)]
pub(super) struct Products64(());

/// Rows and registers across of a tile over Z_2^64: 24 sums, 4 registers for `b`, one for `a`.
const ROWS_64: usize = 6;
const ACROSS_64: usize = 4;
const COLS_64: usize = ACROSS_64 * LANES;

impl Products64 {
    /// `None` on a processor without the instructions.
    pub(super) fn detect() -> Option<Self> {
        let able = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq");
        able.then_some(Self(()))
    }

    /// See [`super::register_only`].
    pub(super) fn register_only(self, n_steps: u64) -> (u64, u64) {
        // SAFETY: `self` proves that the processor has the features that are enabled.
        unsafe { register_only_64(n_steps) }
    }
}

impl Kernel<u64> for Products64 {
    const ROWS: usize = ROWS_64;
    const COLS: usize = COLS_64;
    const LIMBS: usize = 1;
    const DEPTH: usize = 256;

    #[inline(always)]
    fn limb(value: u64, _: usize) -> u64 {
        value
    }

    fn tile(self, a: &[u64], b: &[u64], sums: &mut [u64]) {
        let sums = sums.as_chunks_mut().0;
        // SAFETY: `self` proves that the processor has the features that are enabled.
        unsafe { tile_64(a.as_chunks().0, b.as_chunks().0, sums) }
    }
}

#[target_feature(enable = "avx512f,avx512dq")]
fn tile_64(a: &[[u64; ROWS_64]], b: &[[u64; COLS_64]], sums: &mut [[u64; COLS_64]]) {
    let mut acc = [[_mm512_setzero_si512(); ACROSS_64]; ROWS_64];
    for (a, b) in a.iter().zip(b) {
        let (lanes, _) = b.as_chunks::<LANES>();
        let b: [__m512i; ACROSS_64] = [
            load(&lanes[0]),
            load(&lanes[1]),
            load(&lanes[2]),
            load(&lanes[3]),
        ];
        for i in 0..ROWS_64 {
            let a = _mm512_set1_epi64(a[i].cast_signed());
            for j in 0..ACROSS_64 {
                acc[i][j] = _mm512_add_epi64(acc[i][j], _mm512_mullo_epi64(a, b[j]));
            }
        }
    }
    for (acc, sums) in acc.iter().zip(sums) {
        for (acc, sums) in acc.iter().zip(sums.as_chunks_mut().0) {
            store(sums, *acc);
        }
    }
}

#[target_feature(enable = "avx512f,avx512dq")]
fn register_only_64(n_steps: u64) -> (u64, u64) {
    let factor = _mm512_set1_epi64(black_box(0x1e37_79b9_7f4a_7c15));
    let mut acc = [factor; ROWS_64 * ACROSS_64];
    for _ in 0..n_steps {
        for acc in &mut acc {
            *acc = _mm512_add_epi64(factor, _mm512_mullo_epi64(*acc, factor));
        }
    }
    (
        n_steps * (ROWS_64 * COLS_64) as u64,
        acc.iter().fold(0, |sum, acc| {
            sum ^ _mm512_reduce_add_epi64(*acc).cast_unsigned()
        }),
    )
}

/// Proof of AVX-512 F and IFMA.
#[derive(Clone, Copy)]
pub(super) struct Products128(());

/// Rows and registers across of a tile over Z_2^128: 3 · 8 sums, 6 registers for `b`, one for `a`.
const ROWS_128: usize = 4;
const ACROSS_128: usize = 2;
const COLS_128: usize = ACROSS_128 * LANES;
const LIMBS: usize = 3;

const LIMB_BITS: usize = 52;
const LIMB_MASK: u64 = (1 << LIMB_BITS) - 1;

impl Products128 {
    /// `None` on a processor without the instructions.
    pub(super) fn detect() -> Option<Self> {
        let able = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
        able.then_some(Self(()))
    }

    /// See [`super::register_only`].
    pub(super) fn register_only(self, n_steps: u64) -> (u64, u64) {
        // SAFETY: `self` proves that the processor has the features that are enabled.
        unsafe { register_only_128(n_steps) }
    }
}

impl Kernel<u128> for Products128 {
    const ROWS: usize = ROWS_128;
    const COLS: usize = COLS_128;
    const LIMBS: usize = LIMBS;
    const DEPTH: usize = 256;

    #[inline(always)]
    fn limb(value: u128, index: usize) -> u64 {
        (value >> (LIMB_BITS * index)) as u64 & LIMB_MASK
    }

    fn tile(self, a: &[u64], b: &[u64], sums: &mut [u128]) {
        const {
            assert!(
                3 * <Self as Kernel<u128>>::DEPTH < 1 << 12,
                "a sum of halves fits 64 bits"
            );
        }
        let sums = sums.as_chunks_mut().0;
        // SAFETY: `self` proves that the processor has the features that are enabled.
        unsafe { tile_128(a.as_chunks().0, b.as_chunks().0, sums) }
    }
}

type Sums = [[[__m512i; LIMBS]; ACROSS_128]; ROWS_128];

#[target_feature(enable = "avx512f,avx512ifma")]
fn tile_128(
    a: &[[u64; LIMBS * ROWS_128]],
    b: &[[u64; LIMBS * COLS_128]],
    sums: &mut [[u128; COLS_128]],
) {
    let mut acc: Sums = [[[_mm512_setzero_si512(); LIMBS]; ACROSS_128]; ROWS_128];
    for (a, b) in a.iter().zip(b) {
        let (lanes, _) = b.as_chunks::<LANES>();
        let b = [
            [load(&lanes[0]), load(&lanes[2]), load(&lanes[4])],
            [load(&lanes[1]), load(&lanes[3]), load(&lanes[5])],
        ];
        for i in 0..ROWS_128 {
            for limb in 0..LIMBS {
                let a = _mm512_set1_epi64(a[limb * ROWS_128 + i].cast_signed());
                for j in 0..ACROSS_128 {
                    add_limb(&mut acc[i][j], limb, a, &b[j]);
                }
            }
        }
    }
    for (acc, sums) in acc.iter().zip(sums) {
        for (acc, sums) in acc.iter().zip(sums.as_chunks_mut::<LANES>().0) {
            join(sums, acc);
        }
    }
}

/// Adds the products of one limb of a with the limbs of b.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_limb(acc: &mut [__m512i; LIMBS], limb: usize, a: __m512i, b: &[__m512i; LIMBS]) {
    for k in 0..LIMBS - limb {
        acc[limb + k] = _mm512_madd52lo_epu64(acc[limb + k], a, b[k]);
        if limb + k + 1 < LIMBS {
            acc[limb + k + 1] = _mm512_madd52hi_epu64(acc[limb + k + 1], a, b[k]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn join(sums: &mut [u128; LANES], acc: &[__m512i; LIMBS]) {
    let mut words = [[0; LANES]; LIMBS];
    for (words, acc) in words.iter_mut().zip(acc) {
        store(words, *acc);
    }
    for (lane, sum) in sums.iter_mut().enumerate() {
        let mut total = 0u128;
        for (limb, words) in words.iter().enumerate() {
            total = total.wrapping_add(u128::from(words[lane]) << (LIMB_BITS * limb));
        }
        *sum = total;
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn register_only_128(n_steps: u64) -> (u64, u64) {
    let factor = _mm512_set1_epi64(black_box(0x000e_79b9_7f4a_7c15));
    let mut acc: Sums = [[[factor; LIMBS]; ACROSS_128]; ROWS_128];
    for _ in 0..n_steps {
        for acc in acc.as_flattened_mut() {
            for limb in 0..LIMBS {
                add_limb(acc, limb, factor, &[factor; LIMBS]);
            }
        }
    }
    let all = acc.as_flattened().as_flattened();
    (
        n_steps * (ROWS_128 * COLS_128) as u64,
        all.iter().fold(0, |sum, acc| {
            sum ^ _mm512_reduce_add_epi64(*acc).cast_unsigned()
        }),
    )
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[u64; LANES]) -> __m512i {
    // SAFETY: `words` is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(words: &mut [u64; LANES], x: __m512i) {
    // SAFETY: `words` is 64 writable bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), x) }
}
