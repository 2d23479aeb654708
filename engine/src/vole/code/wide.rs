//! The accumulator with AVX-512: an element reaches its 25 followers through masks.
//!
//! The portable twin is [`super::add_to_followers`].

use super::{Block, taps};
use std::arch::x86_64::*;

/// Elements in one 512-bit register.
const LANES: usize = 4;
/// Registers that hold four elements and all their followers.
const WINDOW: usize = 8;

/// Proof of AVX-512 F and BMI2.
#[derive(Clone, Copy)]
pub(super) struct Wide(());

impl Wide {
    /// `None` on a processor without the instructions.
    pub(super) fn detect() -> Option<Self> {
        let able = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("bmi2");
        able.then_some(Self(()))
    }

    /// See [`super::accumulate_inner`]. `words` are a multiple of four.
    pub(super) fn accumulate(self, tail: &mut [Block], start: usize, words: &[u32]) {
        // SAFETY: `self` proves that the processor has the features that are enabled.
        unsafe { accumulate(tail, start, words) }
    }
}

#[target_feature(enable = "avx512f,avx512dq,bmi2")]
fn accumulate(tail: &mut [Block], start: usize, words: &[u32]) {
    let (groups, rest) = words.as_chunks::<LANES>();
    assert!(rest.is_empty(), "whole registers");
    if groups.is_empty() {
        return;
    }
    let region = &mut tail[start..][..words.len() + (WINDOW - 1) * LANES];
    let (registers, _) = region.as_chunks_mut::<LANES>();
    let mut window = [_mm512_setzero_si512(); WINDOW];
    for (w, register) in window[..WINDOW - 1].iter_mut().zip(registers.iter()) {
        *w = load(register);
    }
    for (group, words) in groups.iter().enumerate() {
        window[WINDOW - 1] = load(&registers[group + WINDOW - 1]);
        add::<0>(&mut window, words[0]);
        add::<1>(&mut window, words[1]);
        add::<2>(&mut window, words[2]);
        add::<3>(&mut window, words[3]);
        store(&mut registers[group], window[0]);
        window.rotate_left(1);
    }
    for (w, register) in window.iter().zip(&mut registers[groups.len()..]) {
        store(register, *w);
    }
}

/// Adds element `LANE` of the first register to its followers.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,bmi2")]
fn add<const LANE: i32>(window: &mut [__m512i; WINDOW], word: u32) {
    // Two mask bits for each element, because masks count 64-bit words.
    let followers = u64::from(taps(word) << (LANE + 1));
    let mask = 3 * _pdep_u64(followers, 0x5555_5555_5555_5555);
    let pairs = _mm512_set_epi64(
        2 * LANE as i64 + 1,
        2 * LANE as i64,
        2 * LANE as i64 + 1,
        2 * LANE as i64,
        2 * LANE as i64 + 1,
        2 * LANE as i64,
        2 * LANE as i64 + 1,
        2 * LANE as i64,
    );
    let element = _mm512_permutexvar_epi64(pairs, window[0]);
    for (at, w) in window.iter_mut().enumerate() {
        *w = _mm512_mask_xor_epi64(*w, (mask >> (8 * at)) as u8, *w, element);
    }
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
