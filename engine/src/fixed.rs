//! Fixed point: real numbers as integers scaled by 2^f.
//!
//! x is represented by the integer nearest to x·2^f, ties to even. The conversion works on the
//! bits of the float, so it rounds once, and the error of one value is at most
//! [`FixedPoint::max_error`]. A value that does not fit is an error, never a wrapped number.

use thiserror::Error;

/// Why a number has no fixed-point representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FixedError {
    /// The number is NaN or infinite.
    #[error("the value is not a finite number; filter it out or replace it before sharing")]
    NotFinite,
    /// The scaled number exceeds the allowed magnitude.
    #[error(
        "the value scaled by 2^{frac_bits} exceeds {bound}; declare a larger range or use fewer fractional bits"
    )]
    OutOfRange {
        /// Fractional bits of the representation.
        frac_bits: u32,
        /// Largest magnitude of the scaled integer.
        bound: i128,
    },
    /// More fractional bits than a 128-bit integer can carry.
    #[error("{frac_bits} fractional bits are too many; at most {max} are supported", max = FixedPoint::MAX_FRAC_BITS)]
    TooPrecise {
        /// Fractional bits asked for.
        frac_bits: u32,
    },
}

/// A fixed-point representation with f fractional bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedPoint {
    frac_bits: u32,
}

impl FixedPoint {
    /// Most fractional bits that are supported: the scaled value 1 must fit twice over.
    pub const MAX_FRAC_BITS: u32 = 120;

    /// The representation with `frac_bits` fractional bits.
    ///
    /// # Errors
    ///
    /// [`FixedError::TooPrecise`] over [`FixedPoint::MAX_FRAC_BITS`].
    pub const fn new(frac_bits: u32) -> Result<Self, FixedError> {
        if frac_bits > Self::MAX_FRAC_BITS {
            return Err(FixedError::TooPrecise { frac_bits });
        }
        Ok(Self { frac_bits })
    }

    /// f, the number of fractional bits.
    pub const fn frac_bits(self) -> u32 {
        self.frac_bits
    }

    /// Largest distance between a number and its representation: 2^−(f+1).
    pub fn max_error(self) -> f64 {
        exp2(-self.frac_bits.cast_signed() - 1)
    }

    /// Largest distance between the exact sum of `n_values` numbers and the sum of their
    /// representations, which itself is exact: n·2^−(f+1).
    pub fn max_sum_error(self, n_values: u64) -> f64 {
        n_values as f64 * self.max_error()
    }

    /// The integer nearest to x·2^f, ties to even.
    ///
    /// # Errors
    ///
    /// [`FixedError::NotFinite`], and [`FixedError::OutOfRange`] if the integer has no place in an
    /// `i128`.
    pub fn encode(self, x: f64) -> Result<i128, FixedError> {
        self.encode_within(x, i128::MAX)
    }

    /// The integer nearest to x·2^f, ties to even, if its magnitude is at most `bound`.
    ///
    /// # Errors
    ///
    /// [`FixedError::NotFinite`] and [`FixedError::OutOfRange`].
    pub fn encode_within(self, x: f64, bound: i128) -> Result<i128, FixedError> {
        if !x.is_finite() {
            return Err(FixedError::NotFinite);
        }
        let magnitude = scaled_magnitude(x.abs(), self.frac_bits);
        match magnitude.and_then(|m| i128::try_from(m).ok()) {
            Some(m) if m <= bound => Ok(if x.is_sign_negative() { -m } else { m }),
            _ => Err(FixedError::OutOfRange {
                frac_bits: self.frac_bits,
                bound,
            }),
        }
    }

    /// The float nearest to v·2^−f.
    pub fn decode(self, v: i128) -> f64 {
        // Scaling by a power of two is exact: the smallest result, 2^−f, is far from subnormal.
        v as f64 * exp2(-self.frac_bits.cast_signed())
    }
}

/// x·2^f rounded to the nearest integer, ties to even; `None` from 2^128 on. x is finite and ≥ 0.
fn scaled_magnitude(x: f64, frac_bits: u32) -> Option<u128> {
    let raw = x.to_bits();
    let biased = (raw >> 52) as i32;
    let fraction = raw & ((1 << 52) - 1);
    // x = mantissa · 2^exponent; subnormal numbers have no hidden bit and the smallest exponent.
    let mantissa = u128::from(if biased == 0 {
        fraction
    } else {
        fraction | 1 << 52
    });
    let exponent = biased.max(1) - 1075 + frac_bits.cast_signed();
    if exponent >= 0 {
        let fits = mantissa == 0 || exponent.cast_unsigned() <= mantissa.leading_zeros();
        return fits.then(|| mantissa.checked_shl(exponent.cast_unsigned()).unwrap_or(0));
    }
    let shift = exponent.unsigned_abs();
    if shift > 54 {
        return Some(0); // mantissa < 2^53, so the value is below a quarter
    }
    let floor = mantissa >> shift;
    let rest = mantissa & ((1 << shift) - 1);
    let half = 1 << (shift - 1);
    let up = rest > half || (rest == half && floor & 1 == 1);
    Some(floor + u128::from(up))
}

/// 2^n for exponents of normal floats.
fn exp2(n: i32) -> f64 {
    f64::from_bits(((1023 + n) as u64) << 52)
}
