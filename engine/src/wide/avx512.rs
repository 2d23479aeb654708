//! Kernels for AVX-512 with byte permutations and GFNI.
//!
//! A value of [`Wide`] is proof that the processor has the instructions; its methods are safe.

use std::arch::x86_64::*;

/// Proof of AVX-512 F, BW, DQ, VBMI and GFNI.
#[derive(Clone, Copy)]
pub(super) struct Wide(());

impl Wide {
    /// `None` on a processor without the instructions.
    pub(super) fn detect() -> Option<Self> {
        let able = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("gfni");
        able.then_some(Self(()))
    }

    /// Transposes a 64×64 bit matrix; the portable twin is in [`crate::bits`].
    pub(super) fn transpose_64(self, rows: &mut [u64; 64]) {
        // SAFETY: `self` proves that the processor has the features that are enabled.
        unsafe { transpose_64(rows) }
    }

    /// Runs a loop as compiled for 512-bit registers; the portable twin is the loop itself.
    #[inline(always)]
    pub(super) fn run(self, body: impl FnOnce()) {
        // SAFETY: `self` proves that the processor has the features that are enabled.
        unsafe { run(body) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vbmi,gfni")]
fn run(body: impl FnOnce()) {
    body();
}

/// Byte 8·i + j from byte 8·j + i: from rows of a block row to lanes and back.
const ACROSS: [u8; 64] = byte_order(false);
/// The same with the rows of each block upside down.
const ACROSS_REVERSED: [u8; 64] = byte_order(true);

const fn byte_order(reversed: bool) -> [u8; 64] {
    let mut order = [0; 64];
    let mut at = 0;
    while at < 64 {
        let row = if reversed { 7 - at % 8 } else { at % 8 };
        order[at] = (8 * row + at / 8) as u8;
        at += 1;
    }
    order
}

/// A 64×64 bit matrix is 8×8 blocks of 8×8 bits. Each register takes eight rows; its bytes are
/// permuted so that every 64-bit lane is one block; each block is transposed by an affine map;
/// lanes change places between registers; bytes are permuted back to rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
fn transpose_64(rows: &mut [u64; 64]) {
    let (into_blocks, into_rows) = (load(&ACROSS_REVERSED), load(&ACROSS));
    // The affine instruction makes bit i of byte k from byte 7 − i of the matrix in its second
    // operand and byte k of the first. With the unit vectors as bytes, and the matrix upside down,
    // that is bit k of row i: the transposed matrix.
    let units = _mm512_set1_epi64(0x8040_2010_0804_0201u64.cast_signed());
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(rows);
    let (groups, _) = bytes.as_chunks_mut::<64>();
    let mut blocks = [units; 8];
    for (block, group) in blocks.iter_mut().zip(groups.iter()) {
        let matrix = _mm512_permutexvar_epi8(into_blocks, load(group));
        *block = _mm512_gf2p8affine_epi64_epi8::<0>(units, matrix);
    }
    transpose_lanes(&mut blocks);
    for (block, group) in blocks.iter().zip(groups) {
        store(group, _mm512_permutexvar_epi8(into_rows, *block));
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: `bytes` is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(bytes: &mut [u8; 64], x: __m512i) {
    // SAFETY: `bytes` is 64 writable bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), x) }
}

/// Lane j of register i changes places with lane i of register j: 2×2 squares of single lanes, of
/// pairs, of halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose_lanes(r: &mut [__m512i; 8]) {
    for i in [0, 2, 4, 6] {
        let (a, b) = (r[i], r[i + 1]);
        r[i] = _mm512_unpacklo_epi64(a, b);
        r[i + 1] = _mm512_unpackhi_epi64(a, b);
    }
    for i in [0, 1, 4, 5] {
        let (a, b) = (r[i], r[i + 2]);
        let even = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0);
        let odd = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
        r[i] = _mm512_permutex2var_epi64(a, even, b);
        r[i + 2] = _mm512_permutex2var_epi64(a, odd, b);
    }
    for i in [0, 1, 2, 3] {
        let (a, b) = (r[i], r[i + 4]);
        r[i] = _mm512_shuffle_i64x2::<0x44>(a, b);
        r[i + 4] = _mm512_shuffle_i64x2::<0xee>(a, b);
    }
}
