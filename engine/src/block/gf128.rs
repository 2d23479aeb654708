//! The field GF(2^128): polynomials over F_2 modulo x^128 + x^7 + x^2 + x + 1.
//!
//! A [`Block`] is an element: bit i is the coefficient of x^i, addition is XOR. (GHASH has the same
//! field with the bits of every byte the other way round; the tests use its vectors.)
//!
//! Three backends give the same results: AVX-512 with VPCLMULQDQ, four products at a time; PCLMUL;
//! and a portable one without tables or branches. Loops over slices run on one thread; whoever has
//! many chunks runs them on many.

#[cfg(target_arch = "x86_64")]
mod clmul;
mod portable;

use super::Block;

/// The one of the field.
pub const ONE: Block = Block(1);

/// a·b.
pub fn mul(a: Block, b: Block) -> Block {
    #[cfg(target_arch = "x86_64")]
    if let Some(narrow) = clmul::Narrow::detect() {
        return narrow.mul(a, b);
    }
    portable::mul(a, b)
}

/// a^−1, and 0 for 0: a^(2^128 − 2) by Itoh and Tsujii's chain, in time that does not depend on a.
pub fn invert(a: Block) -> Block {
    // a^(2^n − 1) for n = 1, 2, 4, …, 64; the exponent 2^127 − 1 is all of them side by side.
    let (mut power, mut all) = (a, a);
    let mut n_bits = 1;
    while n_bits < 64 {
        power = mul(squared(power, n_bits), power);
        n_bits *= 2;
        all = mul(squared(all, n_bits), power);
    }
    squared(all, 1)
}

/// a^(2^times).
fn squared(a: Block, times: usize) -> Block {
    (0..times).fold(a, |a, _| mul(a, a))
}

/// `a[i]` becomes `a[i]`·`b[i]`.
///
/// # Panics
///
/// If the lengths differ.
pub fn mul_assign(a: &mut [Block], b: &[Block]) {
    assert_eq!(a.len(), b.len(), "vectors of unequal length");
    #[cfg(target_arch = "x86_64")]
    if let Some(wide) = clmul::Wide::detect() {
        return wide.mul_assign(a, b);
    }
    for (a, b) in a.iter_mut().zip(b) {
        *a = mul(*a, *b);
    }
}

/// `sum[i]` becomes `sum[i]` + `factor`·`x[i]`.
///
/// # Panics
///
/// If the lengths differ.
pub fn add_scaled(sum: &mut [Block], x: &[Block], factor: Block) {
    assert_eq!(sum.len(), x.len(), "vectors of unequal length");
    #[cfg(target_arch = "x86_64")]
    if let Some(wide) = clmul::Wide::detect() {
        return wide.add_scaled(sum, x, factor);
    }
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum ^= mul(factor, *x);
    }
}

/// `sum[i]` becomes `sum[i]` + Σ_j `coefficients[j]`·`at[i]`^(j+1): a polynomial without constant
/// term at many points.
///
/// # Panics
///
/// If the lengths of `sum` and `at` differ.
pub fn add_polynomial(sum: &mut [Block], at: &[Block], coefficients: &[Block]) {
    assert_eq!(sum.len(), at.len(), "vectors of unequal length");
    #[cfg(target_arch = "x86_64")]
    if let Some(wide) = clmul::Wide::detect() {
        return wide.add_polynomial(sum, at, coefficients);
    }
    for (sum, at) in sum.iter_mut().zip(at) {
        let horner = |value, coefficient: &Block| mul(value ^ *coefficient, *at);
        *sum ^= coefficients.iter().rev().fold(Block::ZERO, horner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::{Prg, Seed};

    fn random(n: usize, prg: &mut Prg) -> Vec<Block> {
        let mut values = vec![0u128; n];
        prg.fill_ring(&mut values);
        values.into_iter().map(Block).collect()
    }

    /// On a processor without the instructions this compares the portable backend with itself.
    #[test]
    fn backends_agree() {
        println!("seed [2; 32]");
        let mut prg = Prg::new(&Seed::from_bytes([2; 32]), 0);
        let edges = [0, 1, 2, 1 << 63, 1 << 64, 1 << 127, u128::MAX].map(Block);
        for a in edges {
            for b in edges {
                assert!(mul(a, b) == portable::mul(a, b));
            }
        }
        for n in (0..20).chain([31, 32, 33, 64, 100]) {
            let (a, b, c) = (
                random(n, &mut prg),
                random(n, &mut prg),
                random(n, &mut prg),
            );
            let expected: Vec<Block> = a
                .iter()
                .zip(&b)
                .map(|(a, b)| portable::mul(*a, *b))
                .collect();
            let mut product = a.clone();
            mul_assign(&mut product, &b);
            assert!(product == expected, "{n} products");

            let factor = Block(0x1234_5678_9abc_def0_0fed_cba9_8765_4321);
            let scaled = |(c, a): (&Block, &Block)| *c ^ portable::mul(factor, *a);
            let expected: Vec<Block> = c.iter().zip(&a).map(scaled).collect();
            let mut sum = c.clone();
            add_scaled(&mut sum, &a, factor);
            assert!(sum == expected, "{n} scaled");

            for n_terms in 0..7 {
                let coefficients = random(n_terms, &mut prg);
                let expected: Vec<Block> = c
                    .iter()
                    .zip(&a)
                    .map(|(c, a)| {
                        let (mut power, mut sum) = (*a, *c);
                        for coefficient in &coefficients {
                            sum ^= portable::mul(*coefficient, power);
                            power = portable::mul(power, *a);
                        }
                        sum
                    })
                    .collect();
                let mut sum = c.clone();
                add_polynomial(&mut sum, &a, &coefficients);
                assert!(sum == expected, "{n} polynomials of {n_terms} terms");
            }
        }
    }
}
