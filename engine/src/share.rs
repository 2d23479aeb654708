//! Secret shares. [`Share`] is additive over a ring, [`boolean::BitShare`] is XOR over bits.
//!
//! A share is one seat's part of a vector that nobody holds whole: the sum of all seats' parts is
//! the value. The type says so by what it cannot do. It has no `Debug`, no `Clone` and no
//! comparison, its memory is wiped when it is dropped, and no encoder in this project accepts it.
//! Only protocol code takes the raw words out, with a method named for what it does.
//!
//! ```compile_fail
//! let share = engine::share::Share::new(vec![1u64]);
//! println!("{share:?}"); // a share cannot be printed
//! ```
//! ```compile_fail
//! let share = engine::share::Share::new(vec![1u64]);
//! let copy = share.clone(); // a share cannot be copied
//! ```
//! ```compile_fail
//! let share = engine::share::Share::new(vec![1u64]);
//! let same = share == engine::share::Share::new(vec![1u64]); // shares are not compared
//! ```

pub mod boolean;

use crate::memory;
use crate::prg::Prg;
use crate::ring::{self, Ring};
use zeroize::Zeroize;

/// One seat's additive share of a vector over Z_2^k.
pub struct Share<R: Ring> {
    values: Vec<R>,
}

impl<R: Ring> Share<R> {
    /// Declares that `values` are this seat's share.
    pub fn new(values: Vec<R>) -> Self {
        Self { values }
    }

    /// A share of the zero vector that every seat can make by itself.
    pub fn zero(len: usize) -> Self {
        Self {
            values: memory::zeros(len),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The raw share values. They mean nothing alone, but must not leave this seat.
    pub fn as_slice(&self) -> &[R] {
        &self.values
    }

    /// The raw share values, for kernels that write in place.
    pub fn as_mut_slice(&mut self) -> &mut [R] {
        &mut self.values
    }

    /// Takes the raw share values out. The caller is now answerable for wiping them.
    pub fn into_vec(mut self) -> Vec<R> {
        std::mem::take(&mut self.values)
    }

    /// Takes the elements from `at` on out into a share of their own.
    ///
    /// # Panics
    ///
    /// If there are fewer than `at` elements.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        let tail = Self::new(self.values[at..].to_vec());
        // What stays behind in memory is wiped with the rest, on drop.
        self.values.truncate(at);
        tail
    }

    /// Puts the elements of another share after those of this one.
    pub fn append(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
            return;
        }
        // A vector that grew by itself would leave its old memory behind, not wiped.
        if self.values.capacity() - self.len() < other.len() {
            let mut grown = Vec::with_capacity((self.len() + other.len()).max(2 * self.len()));
            grown.extend_from_slice(&self.values);
            self.values.zeroize();
            self.values = grown;
        }
        self.values.extend_from_slice(&other.values);
    }

    /// Adds a shared vector to this one.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn add_assign(&mut self, other: &Self) {
        ring::add_assign(&mut self.values, &other.values);
    }

    /// Subtracts a shared vector from this one.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn sub_assign(&mut self, other: &Self) {
        ring::sub_assign(&mut self.values, &other.values);
    }

    /// Negates the shared vector.
    pub fn negate(&mut self) {
        ring::negate(&mut self.values);
    }

    /// Adds a public vector. Every seat calls this with its own index; only seat 0 adds.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn add_public(&mut self, seat_index: usize, public: &[R]) {
        assert_eq!(self.len(), public.len(), "vectors of unequal length");
        if seat_index == 0 {
            ring::add_assign(&mut self.values, public);
        }
    }

    /// Multiplies every element by one public factor.
    pub fn scale_public(&mut self, factor: R) {
        ring::scale(&mut self.values, factor);
    }
}

impl<R: Ring> Drop for Share<R> {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

/// Splits a vector that one seat holds whole into `n_seats` shares, the last of which takes up the
/// difference; the others are fresh output of `prg`.
///
/// # Panics
///
/// If `n_seats` is 0.
pub fn split<R: Ring>(values: Vec<R>, n_seats: usize, prg: &mut Prg) -> Vec<Share<R>> {
    assert!(n_seats > 0, "a value is shared among at least one seat");
    let mut rest = Share::new(values);
    let mut shares = Vec::with_capacity(n_seats);
    for _ in 1..n_seats {
        let mut mask = Share::zero(rest.len());
        prg.fill_ring(mask.as_mut_slice());
        rest.sub_assign(&mask);
        shares.push(mask);
    }
    shares.push(rest);
    shares
}
