//! Natural numbers of any size, for quotients that are rounded once.

use std::cmp::Ordering;

/// A natural number: 64-bit limbs, lowest first, the highest not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nat(Vec<u64>);

/// Bits that a quotient is computed to before it is rounded to a double's 53.
const QUOTIENT_BITS: i64 = 126;

impl From<u128> for Nat {
    fn from(value: u128) -> Self {
        Self::trimmed(vec![value as u64, (value >> 64) as u64])
    }
}

impl Nat {
    fn trimmed(mut limbs: Vec<u64>) -> Self {
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        Self(limbs)
    }

    pub(super) fn power_of_ten(exponent: u32) -> Self {
        let mut power = Self::from(1);
        for _ in 0..exponent {
            power = power.times(&Self::from(10));
        }
        power
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn n_bits(&self) -> i64 {
        self.0.last().map_or(0, |top| {
            64 * self.0.len() as i64 - i64::from(top.leading_zeros())
        })
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        let mut product = vec![0u64; self.0.len() + other.0.len()];
        for (i, &a) in self.0.iter().enumerate() {
            let mut carry = 0u128;
            for (j, &b) in other.0.iter().enumerate() {
                let sum = u128::from(a) * u128::from(b) + u128::from(product[i + j]) + carry;
                product[i + j] = sum as u64;
                carry = sum >> 64;
            }
            product[i + other.0.len()] = carry as u64;
        }
        Self::trimmed(product)
    }

    pub(super) fn shifted_left(&self, n_bits: u32) -> Self {
        let (limbs, bits) = ((n_bits / 64) as usize, n_bits % 64);
        let mut shifted = vec![0u64; limbs];
        let mut carry = 0;
        for &limb in &self.0 {
            shifted.push(limb << bits | carry);
            carry = if bits == 0 { 0 } else { limb >> (64 - bits) };
        }
        shifted.push(carry);
        Self::trimmed(shifted)
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let n_limbs = self.0.len().max(other.0.len());
        let mut sum = Vec::with_capacity(n_limbs + 1);
        let mut carry = false;
        let limb = |nat: &Self, i: usize| nat.0.get(i).copied().unwrap_or(0);
        for i in 0..n_limbs {
            let (first, c1) = limb(self, i).overflowing_add(limb(other, i));
            let (second, c2) = first.overflowing_add(u64::from(carry));
            sum.push(second);
            carry = c1 | c2;
        }
        sum.push(u64::from(carry));
        Self::trimmed(sum)
    }

    /// The difference, or `None` if `other` is greater.
    pub(super) fn minus(&self, other: &Self) -> Option<Self> {
        if self.compare(other) == Ordering::Less {
            return None;
        }
        let mut limbs = self.0.clone();
        let mut borrow = false;
        for (i, limb) in limbs.iter_mut().enumerate() {
            let (first, b1) = limb.overflowing_sub(other.0.get(i).copied().unwrap_or(0));
            let (second, b2) = first.overflowing_sub(u64::from(borrow));
            *limb = second;
            borrow = b1 | b2;
        }
        Some(Self::trimmed(limbs))
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// `self` / `divisor` as `(q, e, is_exact)`: q · 2^e rounded down, q of 126 or 127 bits, e even.
    fn divided(&self, divisor: &Self) -> (u128, i32, bool) {
        let mut shift = QUOTIENT_BITS + divisor.n_bits() - self.n_bits();
        shift += shift & 1;
        let (mut rest, divisor) = if shift >= 0 {
            (self.shifted_left(shift as u32), divisor.clone())
        } else {
            (self.clone(), divisor.shifted_left(-shift as u32))
        };
        // Schoolbook division by bits: the quotient is below 2^128.
        let mut quotient = 0u128;
        for bit in (0..128).rev() {
            if divisor.n_bits() + bit > rest.n_bits() {
                continue;
            }
            if let Some(less) = rest.minus(&divisor.shifted_left(bit as u32)) {
                rest = less;
                quotient |= 1 << bit;
            }
        }
        (quotient, -shift as i32, rest.is_zero())
    }

    /// `self` / `divisor`, rounded to the nearest double.
    pub(super) fn ratio(&self, divisor: &Self) -> f64 {
        if self.is_zero() {
            return 0.0;
        }
        let (quotient, exponent, is_exact) = self.divided(divisor);
        scaled(quotient | u128::from(!is_exact), exponent)
    }

    /// The square root of `self` / `divisor`, rounded to the nearest double.
    pub(super) fn root_of_ratio(&self, divisor: &Self) -> f64 {
        if self.is_zero() {
            return 0.0;
        }
        let (quotient, exponent, is_exact) = self.divided(divisor);
        let root = quotient.isqrt();
        let is_exact = is_exact && root * root == quotient;
        // 63 bits and one that says whether anything was cut off: enough to round to 53.
        scaled(root << 1 | u128::from(!is_exact), exponent / 2 - 1)
    }
}

/// `value` · 2^`exponent`, where the lowest bit of `value` stands for everything below it.
fn scaled(value: u128, exponent: i32) -> f64 {
    // The conversion rounds to nearest, ties to even, and the result is a normal number: multiplying is exact.
    value as f64 * 2f64.powi(exponent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nat(value: u128) -> Nat {
        Nat::from(value)
    }

    #[test]
    fn quotients_are_rounded_once() {
        assert_eq!(nat(1).ratio(&nat(3)), 1.0 / 3.0);
        assert_eq!(nat(0).ratio(&nat(7)), 0.0);
        assert_eq!(nat(u128::MAX).ratio(&nat(1)), 2f64.powi(128));
        assert_eq!(nat(1).ratio(&Nat::power_of_ten(76)), 1e-76);
        assert_eq!(nat(2).root_of_ratio(&nat(1)), 2f64.sqrt());
        assert_eq!(nat(1 << 101).root_of_ratio(&nat(2)), 2f64.powi(50));
        // Halfway between two doubles, and just above it.
        assert_eq!(nat((1 << 53) + 1).ratio(&nat(1)), 2f64.powi(53));
        let above = nat((1 << 53) + 1).shifted_left(200);
        let above = Nat(above
            .0
            .iter()
            .enumerate()
            .map(|(i, l)| if i == 0 { l | 1 } else { *l })
            .collect());
        assert_eq!(above.ratio(&nat(1).shifted_left(200)), 2f64.powi(53) + 2.0);
    }

    #[test]
    fn arithmetic_agrees_with_128_bits() {
        let seed = [42; 32];
        println!("seed {seed:?}");
        let config = ProptestConfig::with_cases(2000);
        let rng = proptest::test_runner::TestRng::from_seed(
            proptest::test_runner::RngAlgorithm::ChaCha,
            &seed,
        );
        let mut runner = proptest::test_runner::TestRunner::new_with_rng(config, rng);
        let cases = (any::<u64>(), any::<u64>(), 1..=u64::MAX, 0u32..300);
        let run = runner.run(&cases, |(a, b, c, n)| {
            let (wide_a, wide_b) = (u128::from(a), u128::from(b));
            prop_assert_eq!(nat(wide_a).times(&nat(wide_b)), nat(wide_a * wide_b));
            prop_assert_eq!(
                nat(wide_a * wide_b).plus(&nat(wide_a)),
                nat(wide_a * (wide_b + 1))
            );
            let difference = nat(wide_a * wide_b).minus(&nat(wide_a));
            prop_assert_eq!(difference, (wide_a * wide_b).checked_sub(wide_a).map(nat));
            // Both are exact doubles here, so the processor's own division rounds the same quotient.
            let (x, y) = (a >> 11, (c >> 11).max(1));
            let ratio = nat(x.into())
                .shifted_left(n)
                .ratio(&nat(y.into()).shifted_left(n));
            prop_assert_eq!(ratio, x as f64 / y as f64);
            let root = nat(x.into())
                .shifted_left(n)
                .root_of_ratio(&nat(1).shifted_left(n));
            prop_assert_eq!(root, (x as f64).sqrt());
            Ok(())
        });
        run.expect("agrees");
    }
}
