//! The children of tree nodes, 32 parents at a time.
//!
//! The portable twin is in [`super::super::Aes128`].

use super::{Bytes16, LANES, WIDE, broadcast, load, rounds, store};
use std::arch::x86_64::*;

/// Parents that are expanded together.
const PARENTS: usize = LANES * WIDE;

/// Parents, left or right children in registers.
type Nodes = [__m512i; WIDE];

/// See [`super::super::Aes128::half_children`].
#[target_feature(enable = "avx512f,avx512bw,vaes")]
pub(super) fn half_children(
    keys: &[Bytes16; 11],
    parents: &[Bytes16],
    children: &mut [Bytes16],
) -> [Bytes16; 2] {
    let keys = broadcast(keys);
    families(parents, children, |x: &Nodes| {
        let mut rotated = *x;
        for s in &mut rotated {
            *s = orthomorphism(*s);
        }
        let mut left = rotated;
        rounds(&keys, &mut left);
        let mut right = *x;
        for ((l, r), s) in left.iter_mut().zip(&mut right).zip(rotated) {
            *l = _mm512_xor_si512(*l, s);
            *r = _mm512_xor_si512(*r, *l);
        }
        (left, right)
    })
}

/// See [`super::super::Aes128::children`].
#[target_feature(enable = "avx512f,avx512bw,vaes")]
pub(super) fn children(
    left: &[Bytes16; 11],
    right: &[Bytes16; 11],
    parents: &[Bytes16],
    children: &mut [Bytes16],
) -> [Bytes16; 2] {
    let (left, right) = (broadcast(left), broadcast(right));
    families(parents, children, |x: &Nodes| {
        let (mut l, mut r) = (*x, *x);
        rounds(&left, &mut l);
        rounds(&right, &mut r);
        for ((l, r), x) in l.iter_mut().zip(&mut r).zip(x) {
            *l = _mm512_xor_si512(*l, *x);
            *r = _mm512_xor_si512(*r, *x);
        }
        (l, r)
    })
}

/// Writes every parent's two children side by side, and returns the XOR of all left and of all right
/// ones. The last parent's right child is left out if there is no place for it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn families(
    parents: &[Bytes16],
    children: &mut [Bytes16],
    expand: impl Fn(&Nodes) -> (Nodes, Nodes),
) -> [Bytes16; 2] {
    let n_whole = children.len() / (2 * PARENTS);
    let (parents, last_parents) = parents.split_at(n_whole * PARENTS);
    let (children, last_children) = children.split_at_mut(2 * n_whole * PARENTS);
    let mut sums = [_mm512_setzero_si512(); 2];
    let (parents, _) = parents.as_chunks::<PARENTS>();
    let (children, _) = children.as_chunks_mut::<{ 2 * PARENTS }>();
    for (parents, children) in parents.iter().zip(children) {
        let (left, right) = expand(&nodes(parents));
        for (l, r) in left.iter().zip(&right) {
            sums[0] = _mm512_xor_si512(sums[0], *l);
            sums[1] = _mm512_xor_si512(sums[1], *r);
        }
        interleave(&left, &right, children);
    }
    let mut sums = [fold(sums[0]), fold(sums[1])];
    if !last_parents.is_empty() {
        let mut padded = [[0; 16]; PARENTS];
        padded[..last_parents.len()].copy_from_slice(last_parents);
        let (left, right) = expand(&nodes(&padded));
        let mut both = [[0; 16]; 2 * PARENTS];
        interleave(&left, &right, &mut both);
        last_children.copy_from_slice(&both[..last_children.len()]);
        for (at, child) in last_children.iter().enumerate() {
            for (s, byte) in sums[at % 2].iter_mut().zip(child) {
                *s ^= byte;
            }
        }
    }
    sums
}

/// σ(x) = (x_high ⊕ x_low) ‖ x_high in every lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn orthomorphism(x: __m512i) -> __m512i {
    let swapped = _mm512_shuffle_epi32::<0x4e>(x);
    let high = _mm512_maskz_mov_epi64(0xaa, x);
    _mm512_xor_si512(swapped, high)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn nodes(bytes: &[Bytes16; PARENTS]) -> Nodes {
    let (registers, _) = bytes.as_chunks::<LANES>();
    let mut nodes = [_mm512_setzero_si512(); WIDE];
    for (node, bytes) in nodes.iter_mut().zip(registers) {
        *node = load(bytes);
    }
    nodes
}

#[inline]
#[target_feature(enable = "avx512f")]
fn interleave(left: &Nodes, right: &Nodes, out: &mut [Bytes16; 2 * PARENTS]) {
    let first = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    let second = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    let (registers, _) = out.as_chunks_mut::<LANES>();
    for ((pair, l), r) in registers.chunks_exact_mut(2).zip(left).zip(right) {
        store(&mut pair[0], _mm512_permutex2var_epi64(*l, first, *r));
        store(&mut pair[1], _mm512_permutex2var_epi64(*l, second, *r));
    }
}

/// The XOR of all four lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold(x: __m512i) -> Bytes16 {
    let mut lanes = [[0; 16]; LANES];
    store(&mut lanes, x);
    let sum = lanes
        .iter()
        .fold(0, |sum, lane| sum ^ u128::from_le_bytes(*lane));
    sum.to_le_bytes()
}
