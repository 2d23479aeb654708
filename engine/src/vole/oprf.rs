//! An oblivious pseudo-random function from a VOLE and a key-value store.
//!
//! Raghuraman and Rindal, 2022/320, figure 4. The receiver learns F at its own items, the sender can
//! compute F anywhere. With a VOLE C = B + A·Δ as long as a store:
//!
//! ```text
//! receiver: stores H₁(x) under every item x as P, sends P + A
//! sender:   B' = B + Δ·(P + A)                                        so  C = B' + Δ·P
//! receiver: F(x) = H(decode(C, x))
//! sender:   F(y) = H(decode(B', y) + Δ·H₁(y))
//! ```
//!
//! because decoding is linear: decode(B', y) + Δ·H₁(y) = decode(C, y) + Δ·(H₁(y) − decode(P, y)).
//! Elsewhere than at the receiver's items the last factor is not zero, and Δ masks the value.
//!
//! H₁ is AES as a one-way function under the seed of the store; H hashes twice with AES under a key
//! of the session, as [`crate::hash::CrHash`] does.

use crate::block::{Block, gf128};
use crate::cipher::Aes128;
use crate::hash;
use crate::okvs::{Okvs, OkvsError, Size};
use crate::ot::Direction;
use crate::prg::Seed;
use rayon::prelude::*;

/// Items that one thread hashes at a time.
const CHUNK: usize = 1 << 13;

/// The function's public part, alike on both sides.
pub struct Oprf {
    okvs: Okvs,
    targets: Aes128,
    outputs: Aes128,
}

impl Oprf {
    /// For a receiver with at most `n_items` items that were fixed before `seed` was drawn. The
    /// place is that of the VOLE.
    pub fn new(direction: &Direction, n_items: usize, seed: &Seed) -> Self {
        let place = direction.to_bytes();
        let key = |context| hash::derive_key(context, &[&place, seed.as_bytes()]);
        Self {
            okvs: Okvs::new(Size::new(n_items), &key("entente/v1/vole-oprf/store")),
            targets: Aes128::new(&key("entente/v1/vole-oprf/targets").aes_key()),
            outputs: Aes128::new(&key("entente/v1/vole-oprf/outputs").aes_key()),
        }
    }

    /// Length of the VOLE, and of the receiver's message in blocks.
    pub fn vole_len(&self) -> usize {
        self.okvs.size().columns()
    }

    /// The receiver's store P of its items. It leaves the receiver only with A added to it.
    ///
    /// # Errors
    ///
    /// [`OkvsError`].
    pub fn store(&self, items: &[Block]) -> Result<Vec<Block>, OkvsError> {
        self.okvs.encode(items, &self.hash_to_field(items), None)
    }

    /// The function at the receiver's items, from its C.
    pub fn at_receiver(&self, c: &[Block], items: &[Block]) -> Vec<Block> {
        let mut values = self.okvs.decode(c, items);
        self.finish(&mut values);
        values
    }

    /// The function at any items, from the sender's Δ and B'.
    pub fn at_sender(&self, delta: Block, b: &[Block], items: &[Block]) -> Vec<Block> {
        let mut values = self.okvs.decode(b, items);
        let targets = self.hash_to_field(items);
        values
            .par_chunks_mut(CHUNK)
            .zip(targets.par_chunks(CHUNK))
            .for_each(|(values, targets)| gf128::add_scaled(values, targets, delta));
        self.finish(&mut values);
        values
    }

    /// H₁(x) = π(x) ⊕ x.
    fn hash_to_field(&self, items: &[Block]) -> Vec<Block> {
        let mut images = items.to_vec();
        images
            .par_chunks_mut(CHUNK)
            .zip(items.par_chunks(CHUNK))
            .for_each(|(images, items)| {
                self.targets.encrypt(bytemuck::cast_slice_mut(images));
                for (image, item) in images.iter_mut().zip(items) {
                    *image ^= *item;
                }
            });
        images
    }

    /// H(v) = π(π(v)) ⊕ π(v).
    fn finish(&self, values: &mut [Block]) {
        values.par_chunks_mut(CHUNK).for_each(|values| {
            self.outputs.encrypt(bytemuck::cast_slice_mut(values));
            let inner = values.to_vec();
            self.outputs.encrypt(bytemuck::cast_slice_mut(values));
            for (outer, inner) in values.iter_mut().zip(inner) {
                *outer ^= inner;
            }
        });
    }
}
