//! Polynomials modulo X^N + 1 and a prime of 55 bits, and their number-theoretic transform.
//!
//! Source: the butterflies are those of Harvey, "Faster arithmetic for number-theoretic transforms", 2014, algorithms 4 and 5,
//! on the tables of Longa and Naehrig, 2016/504, algorithms 1 and 2, which have the twist by roots of −1 in them.

use crate::params::LATTICE_DEGREE as N;

/// A constant factor w with ⌊w·2^64/p⌋, by which a product takes no division.
#[derive(Clone, Copy)]
struct Factor {
    value: u64,
    ratio: u64,
}

/// A prime that is 1 modulo 2N, with its tables.
pub(super) struct Prime {
    pub(super) p: u64,
    /// ⌊2^64/p⌋.
    ratio: u64,
    /// 2^64 mod p.
    word: Factor,
    /// Powers of a 2N-th root of unity, in the order in which butterflies use them.
    roots: Vec<Factor>,
    /// Their inverses.
    inverse_roots: Vec<Factor>,
    inverse_n: Factor,
}

impl Prime {
    pub(super) fn new(p: u64) -> Self {
        let mut prime = Self {
            p,
            ratio: u64::MAX / p,
            word: factor(
                p,
                (u128::from(u64::MAX) + 1).rem_euclid(u128::from(p)) as u64,
            ),
            roots: Vec::new(),
            inverse_roots: Vec::new(),
            inverse_n: factor(p, 0),
        };
        let root = prime.root();
        prime.roots = prime.table(root);
        prime.inverse_roots = prime.table(prime.inverse_of(root));
        prime.inverse_n = factor(p, prime.inverse_of(N as u64));
        prime
    }

    /// A 2N-th root of unity whose N-th power is −1.
    fn root(&self) -> u64 {
        let exponent = (self.p - 1) / (2 * N as u64);
        let root = (2..).map(|base| self.power(base, exponent));
        let mut root = root.filter(|root| self.power(*root, N as u64) == self.p - 1);
        root.next().expect("half of all bases give one")
    }

    /// root^i at the place whose bits are those of i in reverse.
    fn table(&self, root: u64) -> Vec<Factor> {
        let mut powers = vec![factor(self.p, 1); N];
        let mut power = 1;
        for at in 0..N {
            let place = at.reverse_bits() >> (usize::BITS - N.ilog2());
            powers[place] = factor(self.p, power);
            power = self.mul(power, root);
        }
        powers
    }

    fn power(&self, base: u64, mut exponent: u64) -> u64 {
        let (mut base, mut out) = (base, 1);
        while exponent > 0 {
            if exponent & 1 == 1 {
                out = self.mul(out, base);
            }
            base = self.mul(base, base);
            exponent >>= 1;
        }
        out
    }

    /// The inverse of a number that is not 0, by Fermat.
    pub(super) fn inverse_of(&self, value: u64) -> u64 {
        self.power(self.reduce(value), self.p - 2)
    }

    pub(super) fn add(&self, a: u64, b: u64) -> u64 {
        less(a + b, self.p)
    }

    pub(super) fn sub(&self, a: u64, b: u64) -> u64 {
        less(a + self.p - b, self.p)
    }

    pub(super) fn mul(&self, a: u64, b: u64) -> u64 {
        self.reduce_wide(u128::from(a) * u128::from(b))
    }

    pub(super) fn reduce(&self, value: u64) -> u64 {
        let quotient = high(value, self.ratio);
        less(value.wrapping_sub(quotient.wrapping_mul(self.p)), self.p)
    }

    pub(super) fn reduce_signed(&self, value: i64) -> u64 {
        let magnitude = self.reduce(value.unsigned_abs());
        // Secrets stand here: no branch on the sign.
        let negative = (value >> 63).cast_unsigned();
        let negated = less(self.p - magnitude, self.p);
        (magnitude & !negative) | (negated & negative)
    }

    pub(super) fn reduce_wide(&self, value: u128) -> u64 {
        let upper = self.lazy((value >> 64) as u64, self.word);
        let lower = self.reduce(value as u64);
        less(less(upper, self.p) + lower, self.p)
    }

    /// x·w mod p, below 2p, for any x.
    fn lazy(&self, x: u64, w: Factor) -> u64 {
        let quotient = high(x, w.ratio);
        x.wrapping_mul(w.value)
            .wrapping_sub(quotient.wrapping_mul(self.p))
    }

    /// Coefficients to values; both below p.
    pub(super) fn forward(&self, values: &mut [u64]) {
        let twice = 2 * self.p;
        let mut width = N / 2;
        let mut n_groups = 1;
        while width > 0 {
            let groups = values.chunks_exact_mut(2 * width);
            for (group, root) in groups.zip(&self.roots[n_groups..2 * n_groups]) {
                let (low, high) = group.split_at_mut(width);
                for (x, y) in low.iter_mut().zip(high) {
                    let kept = less(*x, twice);
                    let product = self.lazy(*y, *root);
                    *x = kept + product;
                    *y = kept + twice - product;
                }
            }
            width /= 2;
            n_groups *= 2;
        }
        for value in values {
            *value = less(less(*value, twice), self.p);
        }
    }

    /// Values to coefficients; both below p.
    pub(super) fn inverse(&self, values: &mut [u64]) {
        let twice = 2 * self.p;
        let mut width = 1;
        let mut n_groups = N / 2;
        while n_groups > 0 {
            let groups = values.chunks_exact_mut(2 * width);
            for (group, root) in groups.zip(&self.inverse_roots[n_groups..2 * n_groups]) {
                let (low, high) = group.split_at_mut(width);
                for (x, y) in low.iter_mut().zip(high) {
                    let (sum, difference) = (*x + *y, *x + twice - *y);
                    *x = less(sum, twice);
                    *y = self.lazy(difference, *root);
                }
            }
            width *= 2;
            n_groups /= 2;
        }
        for value in values {
            *value = less(self.lazy(*value, self.inverse_n), self.p);
        }
    }
}

fn factor(p: u64, value: u64) -> Factor {
    let ratio = ((u128::from(value) << 64) / u128::from(p)) as u64;
    Factor { value, ratio }
}

fn high(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

/// A value below twice the bound, brought below it without a branch.
fn less(value: u64, bound: u64) -> u64 {
    value.min(value.wrapping_sub(bound))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::LATTICE_PRIMES;
    use crate::prg::{Prg, Seed};

    fn drawn(prime: &Prime, prg: &mut Prg) -> Vec<u64> {
        (0..N).map(|_| prg.next_bounded(prime.p)).collect()
    }

    #[test]
    fn the_primes_have_roots_and_the_tables_are_their_powers() {
        for p in LATTICE_PRIMES {
            assert_eq!(p % (2 * N as u64), 1);
            let prime = Prime::new(p);
            let half = prime.roots[1].value;
            assert_eq!(
                prime.mul(half, half),
                p - 1,
                "the root's N/2-th power is a root of -1"
            );
        }
    }

    #[test]
    fn transforms_are_inverse_to_each_other_and_multiply_modulo_the_cyclotomic_polynomial() {
        let prime = Prime::new(LATTICE_PRIMES[2]);
        let mut prg = Prg::new(&Seed::from_bytes([3; 32]), 0);
        let a = drawn(&prime, &mut prg);
        let mut b = vec![0; N];
        // A few terms, so that the product can be told by hand: 5 − X^3 + 7·X^8191.
        (b[0], b[3], b[N - 1]) = (5, prime.p - 1, 7);
        let (mut left, mut right) = (a.clone(), b);
        prime.forward(&mut left);
        prime.forward(&mut right);
        let mut product: Vec<u64> = left
            .iter()
            .zip(&right)
            .map(|(x, y)| prime.mul(*x, *y))
            .collect();
        prime.inverse(&mut product);
        prime.inverse(&mut left);
        assert_eq!(left, a);
        let coefficient = |at: isize| match at {
            0.. => a[at.cast_unsigned()],
            _ => prime.sub(0, a[(at + N as isize).cast_unsigned()]),
        };
        for (at, value) in product.iter().enumerate() {
            let at = at.cast_signed();
            let first = prime.mul(5, coefficient(at));
            let last = prime.mul(7, coefficient(at + 1 - N as isize));
            let expected = prime.add(prime.sub(first, coefficient(at - 3)), last);
            assert_eq!(*value, expected, "coefficient {at}");
        }
    }

    #[test]
    fn reductions_hold_at_their_bounds() {
        for p in LATTICE_PRIMES {
            let prime = Prime::new(p);
            for value in [0, 1, p - 1, p, p + 1, 2 * p, u64::MAX - 1, u64::MAX] {
                assert_eq!(prime.reduce(value), value % p);
                for other in [0, 1, p - 1, u64::MAX] {
                    let wide = u128::from(value) * u128::from(other) + u128::from(other);
                    assert_eq!(u128::from(prime.reduce_wide(wide)), wide % u128::from(p));
                }
            }
            assert_eq!(
                u128::from(prime.reduce_wide(u128::MAX)),
                u128::MAX % u128::from(p)
            );
            for value in [0, 1, -1, i64::MIN, i64::MAX] {
                let expected = i128::from(value).rem_euclid(i128::from(p));
                assert_eq!(i128::from(prime.reduce_signed(value)), expected);
            }
        }
    }
}
