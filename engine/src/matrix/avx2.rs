//! The kernel for AVX2, which multiplies 32 bits at a time.
//!
//! With a = a₀ + 2^32·a₁ and b likewise, a·b = a₀·b₀ + 2^32·(a₁·b₀ + a₀·b₁) mod 2^64. Both sums are kept
//! apart over all steps and put together once.

use super::blocks::Kernel;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Proof of AVX2.
#[derive(Clone, Copy)]
pub(super) struct Products64(());

const ROWS: usize = 4;
const COLS: usize = 4;

impl Products64 {
    /// `None` on a processor without the instructions.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// See [`super::register_only`].
    pub(super) fn register_only(self, n_steps: u64) -> (u64, u64) {
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { register_only(n_steps) }
    }
}

impl Kernel<u64> for Products64 {
    const ROWS: usize = ROWS;
    const COLS: usize = COLS;
    const LIMBS: usize = 1;
    const DEPTH: usize = 256;

    #[inline(always)]
    fn limb(value: u64, _: usize) -> u64 {
        value
    }

    fn tile(self, a: &[u64], b: &[u64], sums: &mut [u64]) {
        let sums = sums.as_chunks_mut().0;
        // SAFETY: `self` proves that the processor has AVX2.
        unsafe { tile(a.as_chunks().0, b.as_chunks().0, sums) }
    }
}

#[target_feature(enable = "avx2")]
fn tile(a: &[[u64; ROWS]], b: &[[u64; COLS]], sums: &mut [[u64; COLS]]) {
    let mut low = [_mm256_setzero_si256(); ROWS];
    let mut high = [_mm256_setzero_si256(); ROWS];
    for (a, b) in a.iter().zip(b) {
        let b_low = load(b);
        let b_high = _mm256_srli_epi64::<32>(b_low);
        for i in 0..ROWS {
            let a_low = _mm256_set1_epi32((a[i] as u32).cast_signed());
            let a_high = _mm256_set1_epi32(((a[i] >> 32) as u32).cast_signed());
            low[i] = _mm256_add_epi64(low[i], _mm256_mul_epu32(a_low, b_low));
            high[i] = _mm256_add_epi64(high[i], _mm256_mul_epu32(a_high, b_low));
            high[i] = _mm256_add_epi64(high[i], _mm256_mul_epu32(a_low, b_high));
        }
    }
    for (i, sums) in sums.iter_mut().enumerate() {
        store(
            sums,
            _mm256_add_epi64(low[i], _mm256_slli_epi64::<32>(high[i])),
        );
    }
}

#[target_feature(enable = "avx2")]
fn register_only(n_steps: u64) -> (u64, u64) {
    let factor = _mm256_set1_epi64x(black_box(0x1e37_79b9_7f4a_7c15));
    let mut low: [__m256i; ROWS] = std::array::from_fn(|i| _mm256_set1_epi64x(i as i64));
    let mut high = low;
    for _ in 0..n_steps {
        for i in 0..ROWS {
            high[i] = _mm256_add_epi64(high[i], _mm256_mul_epu32(low[i], factor));
            high[i] = _mm256_add_epi64(factor, _mm256_mul_epu32(high[i], factor));
            low[i] = _mm256_add_epi64(factor, _mm256_mul_epu32(low[i], factor));
        }
    }
    let mut total = 0u64;
    for acc in low.into_iter().chain(high) {
        let mut lanes = [0; COLS];
        store(&mut lanes, acc);
        total = lanes.into_iter().fold(total, u64::wrapping_add);
    }
    (n_steps * (ROWS * COLS) as u64, total)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(words: &[u64; COLS]) -> __m256i {
    // SAFETY: `words` is 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(words: &mut [u64; COLS], x: __m256i) {
    // SAFETY: `words` is 32 writable bytes; the store needs no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), x) }
}
