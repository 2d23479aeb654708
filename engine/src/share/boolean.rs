//! XOR shares of packed bits, and the step from 64-bit words to bit planes.
//!
//! Bit i of a vector is bit i mod 64 of word i / 64. Bits past the end are zero in every
//! [`BitShare`]; all operations keep them so, and they can be sent without saying anything.
//!
//! ```compile_fail
//! let share = engine::share::boolean::BitShare::zero(1);
//! println!("{share:?}"); // a share cannot be printed
//! ```
//! ```compile_fail
//! let share = engine::share::boolean::BitShare::zero(1);
//! let copy = share.clone(); // a share cannot be copied
//! ```

use crate::bits;
use zeroize::Zeroize;

/// One seat's XOR share of a vector of bits.
pub struct BitShare {
    n_bits: usize,
    words: Vec<u64>,
}

impl BitShare {
    /// Declares that the first `n_bits` bits of `words` are this seat's share. Further bits of the
    /// last word are cleared.
    ///
    /// # Panics
    ///
    /// If there are not exactly [`bits::words_for`]`(n_bits)` words.
    pub fn from_words(n_bits: usize, mut words: Vec<u64>) -> Self {
        assert_eq!(
            words.len(),
            bits::words_for(n_bits),
            "wrong number of words"
        );
        bits::clear_tail(&mut words, n_bits);
        Self { n_bits, words }
    }

    /// A share of zeros that every seat can make by itself.
    pub fn zero(n_bits: usize) -> Self {
        Self {
            n_bits,
            words: vec![0; bits::words_for(n_bits)],
        }
    }

    /// Number of bits.
    pub fn n_bits(&self) -> usize {
        self.n_bits
    }

    /// The raw packed share. It means nothing alone, but must not leave this seat.
    pub fn as_words(&self) -> &[u64] {
        &self.words
    }

    /// The raw packed share, for kernels that write in place. They leave bits past the end zero.
    pub fn as_mut_words(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// The bits at some positions, in this order.
    ///
    /// # Panics
    ///
    /// If a position lies outside.
    #[must_use]
    pub fn picked(&self, positions: impl ExactSizeIterator<Item = usize>) -> Self {
        let mut picked = Self::zero(positions.len());
        for (i, position) in positions.enumerate() {
            assert!(position < self.n_bits, "a bit of the vector");
            picked.words[i / 64] |= u64::from(bits::get(&self.words, position)) << (i % 64);
        }
        picked
    }

    /// Takes the raw packed share out. The caller is now answerable for wiping it.
    pub fn into_words(mut self) -> Vec<u64> {
        std::mem::take(&mut self.words)
    }

    /// Takes the bits from `at` on out into a share of their own.
    ///
    /// # Panics
    ///
    /// If there are fewer than `at` bits.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        assert!(at <= self.n_bits, "a vector is split within its length");
        let n_bits = self.n_bits - at;
        let tail = Self::from_words(n_bits, bits::range(&self.words, at, n_bits));
        let keep = bits::words_for(at);
        // What stays behind in memory is wiped with the rest, on drop.
        self.words.truncate(keep);
        bits::clear_tail(&mut self.words, at);
        self.n_bits = at;
        tail
    }

    /// Puts the bits of another share after those of this one.
    pub fn append(&mut self, other: Self) {
        if self.n_bits == 0 {
            *self = other;
            return;
        }
        let n_bits = self.n_bits + other.n_bits;
        let mut words = Vec::with_capacity(bits::words_for(n_bits));
        words.extend_from_slice(&self.words);
        words.resize(bits::words_for(n_bits), 0);
        bits::or_at(&mut words, self.n_bits, &other.words);
        *self = Self::from_words(n_bits, words);
    }

    /// XORs a shared vector into this one.
    ///
    /// # Panics
    ///
    /// If the lengths differ.
    pub fn xor_assign(&mut self, other: &Self) {
        assert_eq!(self.n_bits, other.n_bits, "bit vectors of unequal length");
        bits::xor_assign(&mut self.words, &other.words);
    }

    /// XORs a public vector into this one. Every seat calls this with its own index; only seat 0
    /// changes its share.
    ///
    /// # Panics
    ///
    /// If `public` has another number of words.
    pub fn xor_public(&mut self, seat_index: usize, public: &[u64]) {
        assert_eq!(
            self.words.len(),
            public.len(),
            "bit vectors of unequal length"
        );
        if seat_index == 0 {
            bits::xor_assign(&mut self.words, public);
            bits::clear_tail(&mut self.words, self.n_bits);
        }
    }

    /// ANDs a public vector into this one.
    ///
    /// # Panics
    ///
    /// If `public` has another number of words.
    pub fn and_public(&mut self, public: &[u64]) {
        bits::and_assign(&mut self.words, public);
    }

    /// Flips every bit. Every seat calls this with its own index; only seat 0 changes its share.
    pub fn not(&mut self, seat_index: usize) {
        if seat_index == 0 {
            for word in &mut self.words {
                *word = !*word;
            }
            bits::clear_tail(&mut self.words, self.n_bits);
        }
    }
}

impl Drop for BitShare {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

/// Cuts 64-bit words into bit planes: plane b holds bit b of every value, in order.
///
/// The values are this seat's own numbers or its XOR shares; either way each plane is an XOR share.
///
/// # Panics
///
/// If `n_planes` is over 64.
pub fn to_planes(values: &[u64], n_planes: usize) -> Vec<BitShare> {
    assert!(n_planes <= 64, "a 64-bit value has 64 planes");
    let n_words = bits::words_for(values.len());
    let mut planes: Vec<Vec<u64>> = (0..n_planes).map(|_| Vec::with_capacity(n_words)).collect();
    let mut tile = [0u64; 64];
    for chunk in values.chunks(64) {
        tile[..chunk.len()].copy_from_slice(chunk);
        tile[chunk.len()..].fill(0);
        bits::transpose_64(&mut tile);
        for (plane, word) in planes.iter_mut().zip(&tile) {
            plane.push(*word);
        }
    }
    tile.zeroize();
    planes
        .into_iter()
        .map(|words| BitShare::from_words(values.len(), words))
        .collect()
}

/// Puts bit planes together to 64-bit words; the inverse of [`to_planes`]. Missing high planes are
/// zero.
///
/// # Panics
///
/// If there are over 64 planes or they have unequal lengths.
pub fn from_planes(planes: &[BitShare]) -> Vec<u64> {
    assert!(planes.len() <= 64, "a 64-bit value has 64 planes");
    let len = planes.first().map_or(0, BitShare::n_bits);
    assert!(
        planes.iter().all(|p| p.n_bits == len),
        "bit vectors of unequal length"
    );
    let mut values = vec![0u64; len];
    let mut tile = [0u64; 64];
    for (word, chunk) in values.chunks_mut(64).enumerate() {
        tile.fill(0);
        for (row, plane) in tile.iter_mut().zip(planes) {
            *row = plane.words[word];
        }
        bits::transpose_64(&mut tile);
        chunk.copy_from_slice(&tile[..chunk.len()]);
    }
    tile.zeroize();
    values
}
