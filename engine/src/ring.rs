//! The rings Z_2^64 and Z_2^128: machine integers with wrapping arithmetic.
//!
//! [`Ring`] is sealed: `u64` and `u128` are the only rings, and protocols are generic over the
//! two. A signed value v stands for v mod 2^k (two's complement).
//!
//! The slice functions are plain loops. They run at the speed of memory once vectorised, so none
//! of them allocates.

use crate::wide;
use bytemuck::Pod;
use std::fmt::Debug;
use zeroize::Zeroize;

mod sealed {
    /// The loops over slices. They belong to the two rings, and not to whoever calls a generic function, so that they
    /// are compiled here: a caller that is built with less optimisation does not slow them down.
    pub trait Sealed: Sized {
        fn add_slice(acc: &mut [Self], other: &[Self]);
        fn sub_slice(acc: &mut [Self], other: &[Self]);
        fn mul_slice(acc: &mut [Self], other: &[Self]);
        fn scale_slice(acc: &mut [Self], factor: Self);
        fn add_scaled_slice(acc: &mut [Self], values: &[Self], factor: Self);
        fn xor_bits_slice(out: &mut [Self], values: &[Self], bits: &[u64], one: Self);
        fn negate_slice(acc: &mut [Self]);
        fn sum_slice(values: &[Self]) -> Self;
        fn add_bytes_slice(acc: &mut [Self], bytes: &[u8]);
    }
}

/// An element of Z_2^k with wrapping arithmetic; k is [`Ring::BITS`].
pub trait Ring:
    sealed::Sealed + Copy + Default + Eq + Debug + Send + Sync + Pod + Zeroize + 'static
{
    /// k, the width of an element in bits.
    const BITS: u32;
    /// Width of an element in bytes.
    const BYTES: usize;
    /// The neutral element of addition.
    const ZERO: Self;
    /// The neutral element of multiplication.
    const ONE: Self;

    /// Sum mod 2^k.
    #[must_use]
    fn wrapping_add(self, other: Self) -> Self;
    /// Difference mod 2^k.
    #[must_use]
    fn wrapping_sub(self, other: Self) -> Self;
    /// Product mod 2^k.
    #[must_use]
    fn wrapping_mul(self, other: Self) -> Self;
    /// Additive inverse mod 2^k.
    #[must_use]
    fn wrapping_neg(self) -> Self;

    /// Sum of the bits without carries.
    #[must_use]
    fn xor(self, other: Self) -> Self;

    /// Product with 2^n mod 2^k; 0 from n = k on.
    #[must_use]
    fn shl(self, n_bits: u32) -> Self;
    /// The element without its lowest n bits, moved down; 0 from n = k on.
    #[must_use]
    fn shr(self, n_bits: u32) -> Self;

    /// The element with this value.
    fn from_u64(value: u64) -> Self;

    /// The element that stands for a signed value, or `None` outside [−2^(k−1), 2^(k−1)).
    fn from_signed(value: i128) -> Option<Self>;

    /// The value in [−2^(k−1), 2^(k−1)) that this element stands for.
    fn to_signed(self) -> i128;

    /// Reads an element from exactly [`Ring::BYTES`] little-endian bytes.
    ///
    /// # Panics
    ///
    /// If `bytes` has another length.
    fn read_le(bytes: &[u8]) -> Self;

    /// Writes the element into exactly [`Ring::BYTES`] little-endian bytes.
    ///
    /// # Panics
    ///
    /// If `bytes` has another length.
    fn write_le(self, bytes: &mut [u8]);
}

macro_rules! impl_ring {
    ($unsigned:ty, $signed:ty) => {
        impl sealed::Sealed for $unsigned {
            fn add_slice(acc: &mut [Self], other: &[Self]) {
                for (a, b) in acc.iter_mut().zip(other) {
                    *a = a.wrapping_add(*b);
                }
            }

            fn sub_slice(acc: &mut [Self], other: &[Self]) {
                for (a, b) in acc.iter_mut().zip(other) {
                    *a = a.wrapping_sub(*b);
                }
            }

            fn mul_slice(acc: &mut [Self], other: &[Self]) {
                for (a, b) in acc.iter_mut().zip(other) {
                    *a = a.wrapping_mul(*b);
                }
            }

            fn scale_slice(acc: &mut [Self], factor: Self) {
                for a in acc {
                    *a = a.wrapping_mul(factor);
                }
            }

            fn add_scaled_slice(acc: &mut [Self], values: &[Self], factor: Self) {
                wide::run(|| {
                    for (a, v) in acc.iter_mut().zip(values) {
                        *a = a.wrapping_add(v.wrapping_mul(factor));
                    }
                });
            }

            fn xor_bits_slice(out: &mut [Self], values: &[Self], bits: &[u64], one: Self) {
                let parts = out.chunks_mut(64).zip(values.chunks(64)).zip(bits);
                wide::run(|| {
                    for ((out, values), word) in parts {
                        for (i, (out, v)) in out.iter_mut().zip(values).enumerate() {
                            // −v is the complement of v, plus 1.
                            let set = Self::from(word >> i & 1).wrapping_neg();
                            *out = (v ^ set).wrapping_sub(set).wrapping_add(one & set);
                        }
                    }
                });
            }

            fn negate_slice(acc: &mut [Self]) {
                for a in acc {
                    *a = a.wrapping_neg();
                }
            }

            fn sum_slice(values: &[Self]) -> Self {
                values.iter().fold(0, |acc, v| acc.wrapping_add(*v))
            }

            fn add_bytes_slice(acc: &mut [Self], bytes: &[u8]) {
                let (elements, _) = bytes.as_chunks();
                for (a, b) in acc.iter_mut().zip(elements) {
                    *a = a.wrapping_add(Self::from_le_bytes(*b));
                }
            }
        }

        impl Ring for $unsigned {
            const BITS: u32 = Self::BITS;
            const BYTES: usize = size_of::<Self>();
            const ZERO: Self = 0;
            const ONE: Self = 1;

            #[inline]
            fn wrapping_add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline]
            fn wrapping_sub(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            #[inline]
            fn wrapping_mul(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }

            #[inline]
            fn wrapping_neg(self) -> Self {
                self.wrapping_neg()
            }

            #[inline]
            fn xor(self, other: Self) -> Self {
                self ^ other
            }

            #[inline]
            fn shl(self, n_bits: u32) -> Self {
                self.checked_shl(n_bits).unwrap_or(0)
            }

            #[inline]
            fn shr(self, n_bits: u32) -> Self {
                self.checked_shr(n_bits).unwrap_or(0)
            }

            #[inline]
            fn from_u64(value: u64) -> Self {
                Self::from(value)
            }

            #[inline]
            fn from_signed(value: i128) -> Option<Self> {
                <$signed>::try_from(value)
                    .ok()
                    .map(<$signed>::cast_unsigned)
            }

            #[inline]
            fn to_signed(self) -> i128 {
                i128::from(self.cast_signed())
            }

            #[inline]
            fn read_le(bytes: &[u8]) -> Self {
                let bytes = bytes.try_into().expect("the caller passes BYTES bytes");
                Self::from_le_bytes(bytes)
            }

            #[inline]
            fn write_le(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    };
}

impl_ring!(u64, i64);
impl_ring!(u128, i128);

/// `acc[i] += other[i]` for every i.
///
/// # Panics
///
/// If the lengths differ.
pub fn add_assign<R: Ring>(acc: &mut [R], other: &[R]) {
    assert_same_len(acc.len(), other.len());
    R::add_slice(acc, other);
}

/// `acc[i] -= other[i]` for every i.
///
/// # Panics
///
/// If the lengths differ.
pub fn sub_assign<R: Ring>(acc: &mut [R], other: &[R]) {
    assert_same_len(acc.len(), other.len());
    R::sub_slice(acc, other);
}

/// `acc[i] *= other[i]` for every i.
///
/// # Panics
///
/// If the lengths differ.
pub fn mul_assign<R: Ring>(acc: &mut [R], other: &[R]) {
    assert_same_len(acc.len(), other.len());
    R::mul_slice(acc, other);
}

/// `acc[i] *= factor` for every i.
pub fn scale<R: Ring>(acc: &mut [R], factor: R) {
    R::scale_slice(acc, factor);
}

/// `acc[i] += factor·values[i]` for every i.
///
/// # Panics
///
/// If the lengths differ.
pub fn add_scaled<R: Ring>(acc: &mut [R], values: &[R], factor: R) {
    assert_same_len(acc.len(), values.len());
    R::add_scaled_slice(acc, values, factor);
}

/// `out[i] = values[i]`, or `one − values[i]` where bit i is set: a share of the bit's XOR with a shared one, if `one` is
/// a share of 1.
///
/// # Panics
///
/// If the lengths differ, or there are fewer bits.
pub fn xor_bits<R: Ring>(out: &mut [R], values: &[R], bits: &[u64], one: R) {
    assert_same_len(out.len(), values.len());
    assert!(bits.len() * 64 >= out.len(), "fewer bits than elements");
    R::xor_bits_slice(out, values, bits, one);
}

/// `acc[i] = −acc[i]` for every i.
pub fn negate<R: Ring>(acc: &mut [R]) {
    R::negate_slice(acc);
}

/// Sum of all elements mod 2^k.
pub fn sum<R: Ring>(values: &[R]) -> R {
    R::sum_slice(values)
}

/// `acc[i] += bytes[i]` for every i, where `bytes` are little-endian elements that may stand anywhere.
///
/// # Panics
///
/// If there are not as many.
pub fn add_bytes<R: Ring>(acc: &mut [R], bytes: &[u8]) {
    assert_same_len(acc.len() * R::BYTES, bytes.len());
    R::add_bytes_slice(acc, bytes);
}

/// The elements as little-endian bytes, without copying.
pub fn as_bytes<R: Ring>(values: &[R]) -> &[u8] {
    bytemuck::cast_slice(values)
}

/// The elements as writable little-endian bytes, without copying.
pub fn as_bytes_mut<R: Ring>(values: &mut [R]) -> &mut [u8] {
    bytemuck::cast_slice_mut(values)
}

/// Elements from little-endian bytes, or `None` if the length is not a multiple of [`Ring::BYTES`].
///
/// The bytes may stand anywhere: no alignment is needed.
pub fn from_bytes<R: Ring>(bytes: &[u8]) -> Option<Vec<R>> {
    let chunks = bytes.chunks_exact(R::BYTES);
    chunks
        .remainder()
        .is_empty()
        .then(|| chunks.map(R::read_le).collect())
}

fn assert_same_len(left: usize, right: usize) {
    assert_eq!(left, right, "vectors of unequal length");
}
