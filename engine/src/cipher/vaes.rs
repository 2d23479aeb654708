//! AES-128 with AVX-512 and VAES: four blocks a register, eight registers at a time.
//!
//! The portable twin is [`super::Aes128::Portable`]; [`RoundKeys::new`] chooses at run time.

mod tree;

use super::Bytes16;
use std::arch::x86_64::*;
use zeroize::ZeroizeOnDrop;

/// Blocks in one 512-bit register.
const LANES: usize = 4;
/// Registers in flight: enough to hide the latency of a round.
const WIDE: usize = 8;

/// The expanded key. A value of this type is proof that the processor has the instructions.
#[derive(ZeroizeOnDrop)]
pub(crate) struct RoundKeys([Bytes16; 11]);

impl RoundKeys {
    /// Expands a key, or `None` on a processor without AVX-512 F/BW and VAES.
    pub(crate) fn new(key: &Bytes16) -> Option<Self> {
        let able = is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("vaes");
        // SAFETY: `expand` needs `aes`, which was just detected.
        able.then(|| Self(unsafe { expand(key) }))
    }

    pub(crate) fn encrypt(&self, blocks: &mut [Bytes16]) {
        // SAFETY: `new` made this value only after detecting all features that `encrypt` needs.
        unsafe { encrypt(&self.0, blocks) }
    }

    pub(crate) fn keystream(&self, stream: u64, first: u64, blocks: &mut [Bytes16]) {
        // SAFETY: `new` made this value only after detecting all features that `keystream` needs.
        unsafe { keystream(&self.0, stream, first, blocks) }
    }

    pub(crate) fn twice_with_index(&self, first: u64, blocks: &mut [Bytes16]) {
        // SAFETY: `new` made this value only after detecting all features that are needed.
        unsafe { twice_with_index(&self.0, first, blocks) }
    }

    pub(crate) fn half_children(
        &self,
        parents: &[Bytes16],
        children: &mut [Bytes16],
    ) -> [Bytes16; 2] {
        // SAFETY: `new` made this value only after detecting all features that are needed.
        unsafe { tree::half_children(&self.0, parents, children) }
    }

    pub(crate) fn children(
        left: &Self,
        right: &Self,
        parents: &[Bytes16],
        children: &mut [Bytes16],
    ) -> [Bytes16; 2] {
        // SAFETY: `new` made these values only after detecting all features that are needed.
        unsafe { tree::children(&left.0, &right.0, parents, children) }
    }
}

/// The key schedule of FIPS 197, §5.2.
#[target_feature(enable = "sse2,aes")]
fn expand(key: &Bytes16) -> [Bytes16; 11] {
    let mut keys = [*key; 11];
    let mut last = to_m128(key);
    macro_rules! round {
        ($index:literal, $constant:literal) => {
            last = next_round_key(last, _mm_aeskeygenassist_si128::<$constant>(last));
            keys[$index] = from_m128(last);
        };
    }
    round!(1, 0x01);
    round!(2, 0x02);
    round!(3, 0x04);
    round!(4, 0x08);
    round!(5, 0x10);
    round!(6, 0x20);
    round!(7, 0x40);
    round!(8, 0x80);
    round!(9, 0x1b);
    round!(10, 0x36);
    keys
}

/// Word i of the next round key is the XOR of words 0..=i of the last one and the assist's word 3.
#[inline]
#[target_feature(enable = "sse2")]
fn next_round_key(last: __m128i, assist: __m128i) -> __m128i {
    let mut key = _mm_xor_si128(last, _mm_slli_si128::<4>(last));
    key = _mm_xor_si128(key, _mm_slli_si128::<8>(key));
    _mm_xor_si128(key, _mm_shuffle_epi32::<0xff>(assist))
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn encrypt(keys: &[Bytes16; 11], blocks: &mut [Bytes16]) {
    let keys = broadcast(keys);
    let (wide, rest) = blocks.as_chunks_mut::<{ LANES * WIDE }>();
    for chunk in wide {
        let (registers, _) = chunk.as_chunks_mut::<LANES>();
        let mut state = [_mm512_setzero_si512(); WIDE];
        for (s, bytes) in state.iter_mut().zip(registers.iter()) {
            *s = load(bytes);
        }
        rounds(&keys, &mut state);
        for (s, bytes) in state.iter().zip(registers) {
            store(bytes, *s);
        }
    }
    for bytes in rest.chunks_mut(LANES) {
        let mut state = [load_part(bytes)];
        rounds(&keys, &mut state);
        store_part(bytes, state[0]);
    }
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn keystream(keys: &[Bytes16; 11], stream: u64, first: u64, blocks: &mut [Bytes16]) {
    let keys = broadcast(keys);
    // The upper half of a counter is the stream, already in memory order; the lower halves count in
    // host order and are reversed as they are used.
    let mut counters = indices(first, stream.swap_bytes());
    let mut next = || {
        let block = to_counter(counters);
        counters = _mm512_add_epi64(counters, low_words(LANES as u64));
        block
    };
    let (wide, rest) = blocks.as_chunks_mut::<{ LANES * WIDE }>();
    for chunk in wide {
        let mut state = [_mm512_setzero_si512(); WIDE];
        for s in &mut state {
            *s = next();
        }
        rounds(&keys, &mut state);
        let (registers, _) = chunk.as_chunks_mut::<LANES>();
        for (s, bytes) in state.iter().zip(registers) {
            store(bytes, *s);
        }
    }
    for bytes in rest.chunks_mut(LANES) {
        let mut state = [next()];
        rounds(&keys, &mut state);
        store_part(bytes, state[0]);
    }
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn twice_with_index(keys: &[Bytes16; 11], first: u64, blocks: &mut [Bytes16]) {
    let keys = broadcast(keys);
    let mut index = indices(first, 0);
    let mut next = || {
        let block = index;
        index = _mm512_add_epi64(index, low_words(LANES as u64));
        block
    };
    let (wide, rest) = blocks.as_chunks_mut::<{ LANES * WIDE }>();
    for chunk in wide {
        let (registers, _) = chunk.as_chunks_mut::<LANES>();
        let mut inner = [_mm512_setzero_si512(); WIDE];
        for (s, bytes) in inner.iter_mut().zip(registers.iter()) {
            *s = load(bytes);
        }
        rounds(&keys, &mut inner);
        let mut outer = inner;
        for s in &mut outer {
            *s = _mm512_xor_si512(*s, next());
        }
        rounds(&keys, &mut outer);
        for ((bytes, a), b) in registers.iter_mut().zip(inner).zip(outer) {
            store(bytes, _mm512_xor_si512(a, b));
        }
    }
    for bytes in rest.chunks_mut(LANES) {
        let mut inner = [load_part(bytes)];
        rounds(&keys, &mut inner);
        let mut outer = [_mm512_xor_si512(inner[0], next())];
        rounds(&keys, &mut outer);
        store_part(bytes, _mm512_xor_si512(inner[0], outer[0]));
    }
}

/// Four 128-bit lanes with the low words `first`, `first` + 1, … and the same high word.
#[inline]
#[target_feature(enable = "avx512f")]
fn indices(first: u64, high: u64) -> __m512i {
    let low = |lane: u64| first.wrapping_add(lane).cast_signed();
    let high = high.cast_signed();
    _mm512_set_epi64(high, low(3), high, low(2), high, low(1), high, low(0))
}

/// Four 128-bit lanes with this low word, and zero above.
#[inline]
#[target_feature(enable = "avx512f")]
fn low_words(word: u64) -> __m512i {
    let word = word.cast_signed();
    _mm512_set_epi64(0, word, 0, word, 0, word, 0, word)
}

/// From (low word, high word) in every lane to the bytes of (high word, reversed low word).
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn to_counter(x: __m512i) -> __m512i {
    let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 15, 14, 13, 12, 11, 10, 9, 8);
    _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(order))
}
#[inline]
#[target_feature(enable = "avx512f")]
fn broadcast(keys: &[Bytes16; 11]) -> [__m512i; 11] {
    let mut wide = [_mm512_setzero_si512(); 11];
    for (w, key) in wide.iter_mut().zip(keys) {
        *w = _mm512_broadcast_i32x4(to_m128(key));
    }
    wide
}

#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn rounds<const N: usize>(keys: &[__m512i; 11], state: &mut [__m512i; N]) {
    for s in state.iter_mut() {
        *s = _mm512_xor_si512(*s, keys[0]);
    }
    for key in &keys[1..10] {
        for s in state.iter_mut() {
            *s = _mm512_aesenc_epi128(*s, *key);
        }
    }
    for s in state.iter_mut() {
        *s = _mm512_aesenclast_epi128(*s, keys[10]);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[Bytes16; LANES]) -> __m512i {
    // SAFETY: `bytes` is 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(bytes: &mut [Bytes16; LANES], x: __m512i) {
    // SAFETY: `bytes` is 64 writable bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), x) }
}

/// Selects the 64-bit words of the first `blocks` lanes.
fn lane_mask(blocks: &[Bytes16]) -> __mmask8 {
    assert!(blocks.len() <= LANES, "one register holds four blocks");
    ((1u16 << (2 * blocks.len())) - 1) as __mmask8
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_part(blocks: &[Bytes16]) -> __m512i {
    // SAFETY: the mask selects exactly the words of `blocks`; others are neither read nor faulted.
    unsafe { _mm512_maskz_loadu_epi64(lane_mask(blocks), blocks.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_part(blocks: &mut [Bytes16], x: __m512i) {
    // SAFETY: the mask selects exactly the words of `blocks`; others are not written.
    unsafe { _mm512_mask_storeu_epi64(blocks.as_mut_ptr().cast(), lane_mask(blocks), x) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn to_m128(bytes: &Bytes16) -> __m128i {
    // SAFETY: `bytes` is 16 readable bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn from_m128(x: __m128i) -> Bytes16 {
    let mut bytes = [0; 16];
    // SAFETY: `bytes` is 16 writable bytes; the store needs no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), x) };
    bytes
}
