//! 128-bit blocks: the values that AES and oblivious transfer work on.

pub mod gf128;

use bytemuck::{Pod, Zeroable};
use std::ops::{BitAnd, BitXor, BitXorAssign};
use subtle::{Choice, ConditionallySelectable};
use zeroize::DefaultIsZeroes;

/// A 128-bit string, an element of F_2^128. Bit 0 is the least significant.
///
/// A block is a kernel value, so it can be copied; whoever stores secret ones in a struct wipes
/// them on drop. It has no `Debug`, so that no key is printed by accident.
#[derive(Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Block(pub u128);

impl Block {
    /// Length in bytes.
    pub const BYTES: usize = 16;
    /// The all-zero string.
    pub const ZERO: Self = Self(0);

    /// Reads 16 bytes, little-endian.
    #[inline]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }

    /// Writes 16 bytes, little-endian.
    #[inline]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    /// This block if `bit` is 1, zero otherwise, without a branch.
    #[inline]
    #[must_use]
    pub const fn masked(self, bit: u64) -> Self {
        Self(self.0 & (bit as u128 & 1).wrapping_neg())
    }
}

impl BitXor for Block {
    type Output = Self;

    #[inline]
    fn bitxor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
}

impl BitXorAssign for Block {
    #[inline]
    fn bitxor_assign(&mut self, other: Self) {
        self.0 ^= other.0;
    }
}

impl BitAnd for Block {
    type Output = Self;

    #[inline]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl ConditionallySelectable for Block {
    fn conditional_select(a: &Self, b: &Self, choice: Choice) -> Self {
        Self(u128::conditional_select(&a.0, &b.0, choice))
    }
}

impl DefaultIsZeroes for Block {}
