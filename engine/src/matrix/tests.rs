//! Every kernel against the definition of the product, over shapes around all block sizes.

use super::blocks::{Kernel, product};
use super::portable::Portable;
use super::{View, mul, mul_acc, register_only, transpose};
use crate::prg::{Prg, Seed};
use crate::ring::Ring;

const SEED: [u8; 32] = *b"engine tests: matrices, seed 1  ";

/// 0, 1, primes, and one less and more than sides of small tiles, tiles and depths.
const SIDES: [usize; 14] = [0, 1, 2, 3, 4, 5, 6, 7, 13, 31, 32, 33, 64, 65];
const LONG: [(usize, usize, usize); 8] = [
    (255, 3, 257),
    (256, 256, 256),
    (257, 255, 2),
    (2, 8191, 3),
    (5, 8193, 33),
    (70, 12_289, 2),
    (1, 9001, 17),
    (17, 9001, 1),
];

fn random<R: Ring>(len: usize, stream: u64) -> Vec<R> {
    let mut values = vec![R::ZERO; len];
    Prg::new(&Seed::from_bytes(SEED), stream).fill_ring(&mut values);
    values
}

fn shapes() -> impl Iterator<Item = (usize, usize, usize)> {
    let cube = SIDES.into_iter().flat_map(|m| {
        SIDES
            .into_iter()
            .flat_map(move |k| SIDES.into_iter().map(move |n| (m, k, n)))
    });
    cube.chain(LONG)
}

fn by_definition<R: Ring>(c: &mut [R], a: &[R], b: &[R], (m, k, n): (usize, usize, usize)) {
    for i in 0..m {
        for p in 0..k {
            for j in 0..n {
                let term = a[i * k + p].wrapping_mul(b[p * n + j]);
                c[i * n + j] = c[i * n + j].wrapping_add(term);
            }
        }
    }
}

fn check<R: Ring>(what: &str, add: impl Fn(&mut [R], View<'_, R>, View<'_, R>)) {
    println!("seed: {}", String::from_utf8_lossy(&SEED));
    for (m, k, n) in shapes() {
        let (a, b) = (random::<R>(m * k, 0), random::<R>(k * n, 1));
        let before = random::<R>(m * n, 2);
        let mut expected = before.clone();
        by_definition(&mut expected, &a, &b, (m, k, n));
        let (a_turned, b_turned) = (transpose(&a, m, k), transpose(&b, k, n));
        let a = [View::new(&a, m, k), View::new(&a_turned, k, m).transposed()];
        let b = [View::new(&b, k, n), View::new(&b_turned, n, k).transposed()];
        for (i, a) in a.into_iter().enumerate() {
            for (j, b) in b.into_iter().enumerate() {
                let mut c = before.clone();
                add(&mut c, a, b);
                assert!(c == expected, "{what}: {m}×{k}·{k}×{n}, transposed {i} {j}");
            }
        }
    }
}

/// A kernel by itself does not see empty sides.
fn check_kernel<R: Ring, K: Kernel<R>>(what: &str, kernel: K) {
    check::<R>(what, |c, a, b| {
        if a.n_rows() * a.n_cols() * b.n_cols() > 0 {
            product(kernel, c, a, b);
        }
    });
}

#[test]
fn the_portable_kernels_agree_with_the_definition() {
    check_kernel::<u64, _>("portable", Portable);
    check_kernel::<u128, _>("portable", Portable);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_wide_kernels_agree_with_the_definition_where_the_processor_has_them() {
    if let Some(kernel) = super::avx2::Products64::detect() {
        check_kernel::<u64, _>("AVX2", kernel);
    }
    if let Some(kernel) = super::avx512::Products64::detect() {
        check_kernel::<u64, _>("AVX-512 DQ", kernel);
    }
    if let Some(kernel) = super::avx512::Products128::detect() {
        check_kernel::<u128, _>("AVX-512 IFMA", kernel);
    }
}

#[test]
fn the_chosen_product_agrees_with_the_definition() {
    check::<u64>("chosen", mul_acc);
    check::<u128>("chosen", mul_acc);
}

/// Sums of the largest values: a carry that is lost between limbs would show.
#[test]
fn the_largest_values_carry() {
    let (m, k, n) = (5, 3001, 19);
    let (a, b) = (vec![u128::MAX; m * k], vec![u128::MAX; k * n]);
    let c = mul(View::new(&a, m, k), View::new(&b, k, n));
    assert!(c.iter().all(|c| *c == k as u128));
}

#[test]
fn transposing_twice_changes_nothing() {
    for (n_rows, n_cols) in [(0, 5), (1, 7), (31, 33), (32, 64), (100, 3), (257, 129)] {
        let values: Vec<u64> = random(n_rows * n_cols, 3);
        let turned = transpose(&values, n_rows, n_cols);
        for i in 0..n_rows {
            for j in 0..n_cols {
                assert_eq!(turned[j * n_rows + i], values[i * n_cols + j]);
            }
        }
        assert_eq!(transpose(&turned, n_cols, n_rows), values);
    }
}

#[test]
fn the_ceiling_counts_its_steps() {
    let (one, _) = register_only::<u64>(1);
    let (ten, _) = register_only::<u64>(10);
    assert!(one > 0 && ten == 10 * one);
    let (one, _) = register_only::<u128>(1);
    assert!(one > 0);
}
