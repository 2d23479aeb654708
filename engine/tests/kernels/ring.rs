use crate::{LENGTHS, prg, property};
use engine::ring::{self, Ring};
use proptest::prelude::*;

/// Integer arithmetic, reduced at the end.
fn reference_u64(op: fn(i128, i128) -> i128, a: u64, b: u64) -> u64 {
    op(i128::from(a), i128::from(b)).rem_euclid(1 << 64) as u64
}

/// Schoolbook product of 16-byte integers, cut to 16 bytes.
fn schoolbook(a: u128, b: u128) -> u128 {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    let mut out = [0u8; 16];
    for i in 0..16 {
        let mut carry = 0u32;
        for j in 0..16 - i {
            let t = u32::from(out[i + j]) + u32::from(a[i]) * u32::from(b[j]) + carry;
            out[i + j] = t as u8;
            carry = t >> 8;
        }
    }
    u128::from_le_bytes(out)
}

proptest! {
    #![proptest_config(property(256))]

    #[test]
    fn narrow_arithmetic_is_modulo_2_to_64(a: u64, b: u64) {
        prop_assert_eq!(Ring::wrapping_add(a, b), reference_u64(|a, b| a + b, a, b));
        prop_assert_eq!(Ring::wrapping_sub(a, b), reference_u64(|a, b| a - b, a, b));
        prop_assert_eq!(Ring::wrapping_neg(a), reference_u64(|_, a| -a, b, a));
        prop_assert_eq!(u128::from(Ring::wrapping_mul(a, b)), schoolbook(a.into(), b.into()) & u128::from(u64::MAX));
    }

    #[test]
    fn wide_arithmetic_is_modulo_2_to_128(a: u128, b: u128) {
        prop_assert_eq!(Ring::wrapping_mul(a, b), schoolbook(a, b));
        prop_assert_eq!(Ring::wrapping_sub(Ring::wrapping_add(a, b), b), a);
        prop_assert_eq!(Ring::wrapping_add(a, Ring::wrapping_neg(a)), 0);
    }

    #[test]
    fn signed_values_survive_the_ring(narrow: i64, wide: i128) {
        prop_assert_eq!(u64::from_signed(narrow.into()).unwrap().to_signed(), i128::from(narrow));
        prop_assert_eq!(u128::from_signed(wide).unwrap().to_signed(), wide);
    }

    #[test]
    fn bytes_are_little_endian(a: u64, b: u128) {
        let (mut narrow, mut wide) = ([0; 8], [0; 16]);
        a.write_le(&mut narrow);
        b.write_le(&mut wide);
        prop_assert_eq!(narrow, a.to_le_bytes());
        prop_assert_eq!(wide, b.to_le_bytes());
        prop_assert_eq!(u64::read_le(&narrow), a);
        prop_assert_eq!(u128::read_le(&wide), b);
    }
}

#[test]
fn signed_values_outside_the_ring_are_refused() {
    assert_eq!(u64::from_signed(i128::from(i64::MAX) + 1), None);
    assert_eq!(u64::from_signed(i128::from(i64::MIN) - 1), None);
    assert_eq!(u64::from_signed(-1), Some(u64::MAX));
    assert_eq!(u128::from_signed(-1), Some(u128::MAX));
}

fn slices_match_elements<R: Ring>(label: &'static str) {
    let mut prg = prg(label);
    for len in LENGTHS {
        let (mut a, mut b) = (vec![R::ZERO; len], vec![R::ZERO; len]);
        prg.fill_ring(&mut a);
        prg.fill_ring(&mut b);
        let factor = b.first().copied().unwrap_or(R::ONE);
        let run = |kernel: fn(&mut [R], &[R])| {
            let mut out = a.clone();
            kernel(&mut out, &b);
            out
        };
        let each =
            |op: fn(R, R) -> R| -> Vec<R> { a.iter().zip(&b).map(|(x, y)| op(*x, *y)).collect() };
        assert_eq!(run(ring::add_assign), each(R::wrapping_add));
        assert_eq!(run(ring::sub_assign), each(R::wrapping_sub));
        assert_eq!(run(ring::mul_assign), each(R::wrapping_mul));
        let mut out = a.clone();
        ring::scale(&mut out, factor);
        assert_eq!(
            out,
            a.iter().map(|x| x.wrapping_mul(factor)).collect::<Vec<R>>()
        );
        let mut sum = b.clone();
        ring::add_scaled(&mut sum, &a, factor);
        ring::sub_assign(&mut sum, &b);
        assert_eq!(sum, out);
        ring::negate(&mut out);
        ring::add_assign(&mut out, &a);
        assert_eq!(
            ring::sum(&out),
            ring::sum(&a).wrapping_mul(R::ONE.wrapping_sub(factor))
        );
        assert_eq!(ring::from_bytes::<R>(ring::as_bytes(&a)).unwrap(), a);
    }
}

fn public_bits_flip<R: Ring>(label: &'static str) {
    let mut prg = prg(label);
    for len in LENGTHS {
        let mut values = vec![R::ZERO; len];
        prg.fill_ring(&mut values);
        let bits: Vec<u64> = (0..len.div_ceil(64)).map(|_| prg.next_u64()).collect();
        for one in [R::ZERO, R::ONE] {
            let mut out = vec![R::ZERO; len];
            ring::xor_bits(&mut out, &values, &bits, one);
            let flipped = |(i, v): (usize, &R)| match bits[i / 64] >> (i % 64) & 1 {
                1 => one.wrapping_sub(*v),
                _ => *v,
            };
            let expected: Vec<R> = values.iter().enumerate().map(flipped).collect();
            assert_eq!(out, expected);
        }
    }
}

#[test]
fn public_bits_flip_shared_ones() {
    public_bits_flip::<u64>("bits narrow");
    public_bits_flip::<u128>("bits wide");
}

#[test]
fn slices_match_elements_narrow() {
    slices_match_elements::<u64>("slices narrow");
}

#[test]
fn slices_match_elements_wide() {
    slices_match_elements::<u128>("slices wide");
}

#[test]
fn bytes_of_another_length_are_no_elements() {
    assert_eq!(ring::from_bytes::<u64>(&[0; 9]), None);
    assert_eq!(ring::from_bytes::<u128>(&[0; 24]), None);
    assert_eq!(ring::from_bytes::<u128>(&[]), Some(vec![]));
    let unaligned = [1u8; 17];
    assert_eq!(
        ring::from_bytes::<u64>(&unaligned[1..]),
        Some(vec![0x0101_0101_0101_0101; 2])
    );
}

#[test]
#[should_panic(expected = "unequal length")]
fn unequal_lengths_panic() {
    ring::add_assign(&mut [0u64; 2], &[0; 3]);
}
