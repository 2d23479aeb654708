//! The field of 2^255 − 19 elements, one element at a time: the portable twin of the wide kernel.
//!
//! An element is five limbs of 51 bits. Every operation here leaves limbs below 2^52, and takes
//! limbs below 2^54. Nothing branches on, or is indexed by, a value.

use std::ops::{Add, Mul, Sub};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The low 51 bits.
pub(super) const MASK: u64 = (1 << 51) - 1;

/// J of y² = x³ + J·x² + x.
pub(super) const J: u64 = 486_662;
/// (J − 2) / 4, of the ladder (RFC 7748, §5).
pub(super) const A24: u64 = 121_665;

/// p in five limbs.
pub(super) const P: [u64; 5] = [MASK - 18, MASK, MASK, MASK, MASK];

/// A field element.
#[derive(Clone, Copy)]
pub(super) struct Field(pub(super) [u64; 5]);

impl Field {
    pub(super) const ZERO: Self = Self([0; 5]);
    pub(super) const ONE: Self = Self([1, 0, 0, 0, 0]);

    /// A number below 2^51.
    pub(super) const fn small(value: u64) -> Self {
        Self([value, 0, 0, 0, 0])
    }

    /// The lower 255 bits as a number; it may be p or more.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| u64::from_le_bytes(words[i]));
        Self([
            a & MASK,
            (a >> 51 | b << 13) & MASK,
            (b >> 38 | c << 26) & MASK,
            (c >> 25 | d << 39) & MASK,
            (d >> 12) & MASK,
        ])
    }

    /// A big-endian number of 48 bytes, reduced (RFC 9380, §5.2, with L = 48).
    pub(super) fn from_wide(bytes: &[u8; 48]) -> Self {
        let mut little = *bytes;
        little.reverse();
        // The number is low + 2^192·high, both of 24 bytes.
        let half = |part: &[u8]| {
            let mut padded = [0; 32];
            padded[..24].copy_from_slice(part);
            Self::from_bytes(&padded)
        };
        let (low, high) = little.split_at(24);
        // 2^192 = 2^(3·51 + 39)
        half(low) + half(high) * Self([0, 0, 0, 1 << 39, 0])
    }

    /// The bytes of the number below p that is equal.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        let [a, b, c, d, e] = self.canonical();
        let words = [
            a | b << 51,
            b >> 13 | c << 38,
            c >> 26 | d << 25,
            d >> 39 | e << 12,
        ];
        let mut out = [0; 32];
        for (bytes, word) in out.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    fn canonical(self) -> [u64; 5] {
        let mut limbs = carry(self.0).0;
        // The quotient by p: what carries out when 19 is added.
        let quotient = limbs.iter().fold(19, |sum, limb| (sum + limb) >> 51);
        limbs[0] += 19 * quotient;
        for i in 0..4 {
            limbs[i + 1] += limbs[i] >> 51;
            limbs[i] &= MASK;
        }
        limbs[4] &= MASK;
        limbs
    }

    pub(super) fn is_zero(self) -> Choice {
        self.to_bytes().ct_eq(&[0; 32])
    }

    pub(super) fn square(self) -> Self {
        self * self
    }

    fn square_times(self, n: u32) -> Self {
        (0..n).fold(self, |x, _| x.square())
    }

    /// x^(2^250 − 1), and x^2 and x^11, which the exponents here end with.
    fn powers(self) -> [Self; 3] {
        let two = self.square();
        let nine = two.square_times(2) * self;
        let eleven = nine * two;
        let to_5 = eleven.square() * nine;
        let to_10 = to_5.square_times(5) * to_5;
        let to_20 = to_10.square_times(10) * to_10;
        let to_40 = to_20.square_times(20) * to_20;
        let to_50 = to_40.square_times(10) * to_10;
        let to_100 = to_50.square_times(50) * to_50;
        let to_200 = to_100.square_times(100) * to_100;
        [to_200.square_times(50) * to_50, two, eleven]
    }

    /// 1/x, and 0 for 0: x^(p − 2) = x^((2^250 − 1)·2^5 + 11).
    pub(super) fn invert(self) -> Self {
        let [most, _, eleven] = self.powers();
        most.square_times(5) * eleven
    }

    /// True if x is a square: x^((p − 1)/2) = x^((2^250 − 1)·2^4 + 6) is not −1.
    pub(super) fn is_square(self) -> Choice {
        let [most, two, _] = self.powers();
        let power = most.square_times(4) * two.square() * two;
        !(power + Self::ONE).is_zero()
    }

    pub(super) fn select(a: Self, b: Self, choice: Choice) -> Self {
        let mut out = a.0;
        for (a, b) in out.iter_mut().zip(&b.0) {
            a.conditional_assign(b, choice);
        }
        Self(out)
    }
}

impl Add for Field {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let mut sum = self.0;
        for (a, b) in sum.iter_mut().zip(other.0) {
            *a += b;
        }
        carry(sum)
    }
}

impl Sub for Field {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let mut difference = self.0;
        // 16·p keeps every limb positive.
        for ((a, b), p) in difference.iter_mut().zip(other.0).zip(P) {
            *a = *a + 16 * p - b;
        }
        carry(difference)
    }
}

impl Mul for Field {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        let wide = |x: u64, y: u64| u128::from(x) * u128::from(y);
        // Limb i times limb j counts 2^(51(i+j)), and 2^255 = 19.
        let folded = b.map(|limb| 19 * limb);
        let mut sums = [0; 5];
        for (k, sum) in sums.iter_mut().enumerate() {
            for i in 0..5 {
                *sum += match k.checked_sub(i) {
                    Some(j) => wide(a[i], b[j]),
                    None => wide(a[i], folded[5 + k - i]),
                };
            }
        }
        let mut limbs = [0; 5];
        for k in 0..4 {
            sums[k + 1] += u128::from((sums[k] >> 51) as u64);
            limbs[k] = sums[k] as u64 & MASK;
        }
        limbs[4] = sums[4] as u64 & MASK;
        limbs[0] += 19 * (sums[4] >> 51) as u64;
        limbs[1] += limbs[0] >> 51;
        limbs[0] &= MASK;
        Self(limbs)
    }
}

/// Moves what exceeds 51 bits one limb up, all limbs at once.
fn carry(limbs: [u64; 5]) -> Field {
    let over = limbs.map(|limb| limb >> 51);
    let kept = limbs.map(|limb| limb & MASK);
    Field([
        kept[0] + 19 * over[4],
        kept[1] + over[0],
        kept[2] + over[1],
        kept[3] + over[2],
        kept[4] + over[3],
    ])
}
