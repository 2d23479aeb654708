//! GF(2^128) with carry-less multiplication instructions.
//!
//! Values of [`Narrow`] and [`Wide`] are proof that the processor has the instructions. The portable
//! twin is [`super::portable`].

use super::Block;
use std::arch::x86_64::*;

/// Elements in one 512-bit register.
const LANES: usize = 4;

/// Proof of PCLMULQDQ.
#[derive(Clone, Copy)]
pub(super) struct Narrow(());

impl Narrow {
    /// `None` on a processor without the instruction.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("pclmulqdq").then_some(Self(()))
    }

    pub(super) fn mul(self, a: Block, b: Block) -> Block {
        // SAFETY: `self` proves that the processor has the feature that is enabled.
        unsafe { mul(a, b) }
    }
}

/// Proof of AVX-512 F and VPCLMULQDQ.
#[derive(Clone, Copy)]
pub(super) struct Wide(());

impl Wide {
    /// `None` on a processor without the instructions.
    pub(super) fn detect() -> Option<Self> {
        let able = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("vpclmulqdq");
        able.then_some(Self(()))
    }

    pub(super) fn mul_assign(self, a: &mut [Block], b: &[Block]) {
        // SAFETY: `self` proves that the processor has the features that are enabled.
        unsafe { mul_assign(a, b) }
    }

    pub(super) fn add_scaled(self, sum: &mut [Block], x: &[Block], factor: Block) {
        // SAFETY: `self` proves that the processor has the features that are enabled.
        unsafe { add_scaled(sum, x, factor) }
    }

    pub(super) fn add_polynomial(self, sum: &mut [Block], at: &[Block], coefficients: &[Block]) {
        // SAFETY: `self` proves that the processor has the features that are enabled.
        unsafe { add_polynomial(sum, at, coefficients) }
    }
}

#[target_feature(enable = "sse2,pclmulqdq")]
fn mul(a: Block, b: Block) -> Block {
    let (a, b) = (to_m128(a), to_m128(b));
    let polynomial = _mm_set_epi64x(0, 0x87);
    let low = _mm_clmulepi64_si128::<0x00>(a, b);
    let high = _mm_clmulepi64_si128::<0x11>(a, b);
    let middle = _mm_xor_si128(
        _mm_clmulepi64_si128::<0x01>(a, b),
        _mm_clmulepi64_si128::<0x10>(a, b),
    );
    let low = _mm_xor_si128(low, _mm_slli_si128::<8>(middle));
    let high = _mm_xor_si128(high, _mm_srli_si128::<8>(middle));
    // The upper quarter is folded onto the two middle ones, what is then above onto the lowest.
    let top = _mm_clmulepi64_si128::<0x01>(high, polynomial);
    let high = _mm_xor_si128(high, _mm_srli_si128::<8>(top));
    let bottom = _mm_clmulepi64_si128::<0x00>(high, polynomial);
    let low = _mm_xor_si128(low, _mm_slli_si128::<8>(top));
    from_m128(_mm_xor_si128(low, bottom))
}

#[target_feature(enable = "avx512f,vpclmulqdq")]
fn mul_assign(a: &mut [Block], b: &[Block]) {
    let (a, a_tail) = a.as_chunks_mut::<LANES>();
    let (b, b_tail) = b.as_chunks::<LANES>();
    for (a, b) in a.iter_mut().zip(b) {
        let product = mul_4(load(a), load(b));
        store(a, product);
    }
    store_part(a_tail, mul_4(load_part(a_tail), load_part(b_tail)));
}

#[target_feature(enable = "avx512f,vpclmulqdq")]
fn add_scaled(sum: &mut [Block], x: &[Block], factor: Block) {
    let factor = broadcast(factor);
    let (sum, sum_tail) = sum.as_chunks_mut::<LANES>();
    let (x, x_tail) = x.as_chunks::<LANES>();
    for (sum, x) in sum.iter_mut().zip(x) {
        let added = _mm512_xor_si512(load(sum), mul_4(load(x), factor));
        store(sum, added);
    }
    let added = _mm512_xor_si512(load_part(sum_tail), mul_4(load_part(x_tail), factor));
    store_part(sum_tail, added);
}

#[target_feature(enable = "avx512f,vpclmulqdq")]
fn add_polynomial(sum: &mut [Block], at: &[Block], coefficients: &[Block]) {
    // Two registers together, because each step of Horner's rule waits for the one before.
    let (sum, sum_tail) = sum.as_chunks_mut::<{ 2 * LANES }>();
    let (at, at_tail) = at.as_chunks::<{ 2 * LANES }>();
    for (sum, at) in sum.iter_mut().zip(at) {
        let (sums, _) = sum.as_chunks_mut::<LANES>();
        let (points, _) = at.as_chunks::<LANES>();
        let points = [load(&points[0]), load(&points[1])];
        let mut values = [_mm512_setzero_si512(); 2];
        for coefficient in coefficients.iter().rev() {
            let coefficient = broadcast(*coefficient);
            for (value, point) in values.iter_mut().zip(points) {
                *value = mul_4(_mm512_xor_si512(*value, coefficient), point);
            }
        }
        for (sum, value) in sums.iter_mut().zip(values) {
            let added = _mm512_xor_si512(load(sum), value);
            store(sum, added);
        }
    }
    for (sum, at) in sum_tail.chunks_mut(LANES).zip(at_tail.chunks(LANES)) {
        let point = load_part(at);
        let mut value = _mm512_setzero_si512();
        for coefficient in coefficients.iter().rev() {
            value = mul_4(_mm512_xor_si512(value, broadcast(*coefficient)), point);
        }
        let added = _mm512_xor_si512(load_part(sum), value);
        store_part(sum, added);
    }
}

/// Four products: the steps of [`mul`] in every lane.
#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn mul_4(a: __m512i, b: __m512i) -> __m512i {
    let polynomial = _mm512_set1_epi64(0x87);
    let low = _mm512_clmulepi64_epi128::<0x00>(a, b);
    let high = _mm512_clmulepi64_epi128::<0x11>(a, b);
    let middle = _mm512_xor_si512(
        _mm512_clmulepi64_epi128::<0x01>(a, b),
        _mm512_clmulepi64_epi128::<0x10>(a, b),
    );
    let low = _mm512_xor_si512(low, up(middle));
    let high = _mm512_xor_si512(high, down(middle));
    let top = _mm512_clmulepi64_epi128::<0x01>(high, polynomial);
    let high = _mm512_xor_si512(high, down(top));
    let bottom = _mm512_clmulepi64_epi128::<0x00>(high, polynomial);
    let low = _mm512_xor_si512(low, up(top));
    _mm512_xor_si512(low, bottom)
}

/// The low half of every lane in its high half, and zero below.
#[inline]
#[target_feature(enable = "avx512f")]
fn up(x: __m512i) -> __m512i {
    _mm512_unpacklo_epi64(_mm512_setzero_si512(), x)
}

/// The high half of every lane in its low half, and zero above.
#[inline]
#[target_feature(enable = "avx512f")]
fn down(x: __m512i) -> __m512i {
    _mm512_unpackhi_epi64(x, _mm512_setzero_si512())
}

#[inline]
#[target_feature(enable = "avx512f")]
fn broadcast(x: Block) -> __m512i {
    _mm512_broadcast_i32x4(to_m128(x))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(x: &[Block; LANES]) -> __m512i {
    // SAFETY: `x` is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(out: &mut [Block; LANES], x: __m512i) {
    // SAFETY: `out` is 64 writable bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), x) }
}

/// Selects the 64-bit words of the first `n` lanes.
fn lane_mask(n: usize) -> __mmask8 {
    assert!(n <= LANES, "one register holds four elements");
    ((1u16 << (2 * n)) - 1) as __mmask8
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_part(x: &[Block]) -> __m512i {
    // SAFETY: the mask selects exactly the words of `x`; others are neither read nor faulted.
    unsafe { _mm512_maskz_loadu_epi64(lane_mask(x.len()), x.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_part(out: &mut [Block], x: __m512i) {
    // SAFETY: the mask selects exactly the words of `out`; others are not written.
    unsafe { _mm512_mask_storeu_epi64(out.as_mut_ptr().cast(), lane_mask(out.len()), x) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn to_m128(x: Block) -> __m128i {
    _mm_set_epi64x((x.0 >> 64) as i64, x.0 as i64)
}

#[inline]
#[target_feature(enable = "sse2")]
fn from_m128(x: __m128i) -> Block {
    let low = _mm_cvtsi128_si64(x).cast_unsigned();
    let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(x, x)).cast_unsigned();
    Block(u128::from(high) << 64 | u128::from(low))
}
