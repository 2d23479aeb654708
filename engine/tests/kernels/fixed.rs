use crate::property;
use engine::fixed::{FixedError, FixedPoint};
use proptest::prelude::*;

/// Whether x·2^f and v are at most half a unit apart, and whether exactly half.
///
/// For |v| < 2^52 nothing here rounds: scaling by a power of two does not, nor does the difference
/// of two floats that close.
fn within_half_unit(x: f64, v: i128, frac_bits: u32) -> (bool, bool) {
    let distance = (x * 2f64.powi(frac_bits as i32) - v as f64).abs();
    (distance <= 0.5, distance == 0.5)
}

proptest! {
    #![proptest_config(property(2000))]

    #[test]
    fn encoding_is_the_nearest_integer_ties_to_even(x in -1e9..1e9, frac_bits in 0u32..20) {
        let fixed = FixedPoint::new(frac_bits).unwrap();
        let v = fixed.encode(x).unwrap();
        let (near, tie) = within_half_unit(x, v, frac_bits);
        prop_assert!(near, "{} -> {}", x, v);
        prop_assert!(!tie || v % 2 == 0);
        prop_assert!((fixed.decode(v) - x).abs() <= fixed.max_error());
    }

    #[test]
    fn integers_and_halves_round_trip(n in -(1i64 << 40)..1i64 << 40, frac_bits in 1u32..70) {
        let fixed = FixedPoint::new(frac_bits).unwrap();
        let x = n as f64 / 2.0;
        let v = fixed.encode(x).unwrap();
        prop_assert_eq!(v, i128::from(n) << (frac_bits - 1));
        prop_assert_eq!(fixed.decode(v), x);
    }

    #[test]
    fn any_float_is_encoded_or_refused(raw: u64, frac_bits in 0..=FixedPoint::MAX_FRAC_BITS) {
        let x = f64::from_bits(raw);
        let fixed = FixedPoint::new(frac_bits).unwrap();
        let scaled = x * 2f64.powi(frac_bits as i32);
        match fixed.encode(x) {
            Ok(v) => prop_assert!((v as f64 - scaled).abs() <= (scaled.abs() * f64::EPSILON).max(0.5)),
            Err(FixedError::NotFinite) => prop_assert!(!x.is_finite()),
            Err(_) => prop_assert!(scaled.abs() >= 2f64.powi(127)),
        }
    }

    #[test]
    fn sums_stay_within_the_stated_error(values in prop::collection::vec(-1000i32..1000, 0..200)) {
        // Thirds are never representable; their exact sum is an integer over 3.
        let fixed = FixedPoint::new(12).unwrap();
        let sum: i128 = values.iter().map(|v| fixed.encode(f64::from(*v) / 3.0).unwrap()).sum();
        let exact = values.iter().map(|v| i64::from(*v)).sum::<i64>() as f64 / 3.0;
        let slack = 1e-9; // of this test's own float arithmetic
        prop_assert!((fixed.decode(sum) - exact).abs() <= fixed.max_sum_error(values.len() as u64) + slack);
    }
}

#[test]
fn ties_go_to_even() {
    let unit = FixedPoint::new(0).unwrap();
    let cases = [
        (0.5, 0),
        (1.5, 2),
        (2.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (-2.5, -2),
        (0.500_000_1, 1),
    ];
    for (x, v) in cases {
        assert_eq!(unit.encode(x), Ok(v), "{x}");
    }
    let fine = FixedPoint::new(4).unwrap();
    assert_eq!(fine.encode(1.0 / 32.0), Ok(0));
    assert_eq!(fine.encode(3.0 / 32.0), Ok(2));
}

#[test]
fn extreme_floats() {
    let widest = FixedPoint::new(FixedPoint::MAX_FRAC_BITS).unwrap();
    let unit = FixedPoint::new(0).unwrap();
    assert_eq!(unit.encode(-0.0), Ok(0));
    assert_eq!(widest.encode(f64::MIN_POSITIVE), Ok(0));
    assert_eq!(widest.encode(5e-324), Ok(0));
    assert_eq!(widest.encode(2f64.powi(-120)), Ok(1));
    assert_eq!(widest.encode(2f64.powi(-121)), Ok(0));
    assert_eq!(
        widest.encode(f64::from_bits(2f64.powi(-121).to_bits() + 1)),
        Ok(1)
    );
    assert_eq!(unit.encode(2f64.powi(126)), Ok(1 << 126));
    for out in [2f64.powi(127), -2f64.powi(127), f64::MAX, f64::MIN] {
        assert_eq!(
            unit.encode(out),
            Err(FixedError::OutOfRange {
                frac_bits: 0,
                bound: i128::MAX
            })
        );
    }
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(unit.encode(bad), Err(FixedError::NotFinite));
    }
    assert_eq!(
        FixedPoint::new(121),
        Err(FixedError::TooPrecise { frac_bits: 121 })
    );
}

#[test]
fn the_declared_bound_is_inclusive() {
    let cents = FixedPoint::new(2).unwrap();
    assert_eq!(cents.encode_within(2.5, 10), Ok(10));
    assert_eq!(cents.encode_within(-2.5, 10), Ok(-10));
    let refused = Err(FixedError::OutOfRange {
        frac_bits: 2,
        bound: 10,
    });
    assert_eq!(cents.encode_within(2.75, 10), refused);
    assert_eq!(cents.encode_within(-2.75, 10), refused);
}
