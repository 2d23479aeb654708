//! Oblivious key-value stores: a vector that decodes every stored key to its value and says nothing
//! about which keys are stored, as long as the values look random.
//!
//! Raghuraman and Rindal, "Blazing Fast PSI from Improved OKVS and Subfield VOLE", 2022/320, figure
//! 1: three sparse columns and a few dense ones over GF(2^128) for each key, and keys divided into
//! clusters whose columns fit a second-level cache.
//!
//! ```text
//! decode(x) = P[c_1] + P[c_2] + P[c_3] + Σ_j D[j]·k̂^j       in the cluster of x
//! ```
//!
//! with the cluster, the columns c and k̂ ∈ GF(2^128) from a hash of x under a seed. The seed is
//! drawn after the keys are fixed: nobody can choose keys that do not fit together.
//!
//! Decoding is linear in the store: decode(P + Q, x) = decode(P, x) + decode(Q, x), and the same for
//! multiples.

mod rows;
mod size;
mod solve;

pub use size::Size;

use crate::block::{Block, gf128};
use crate::memory::zeroed;
use crate::prg::{Prg, Seed};
use rayon::prelude::*;
use rows::{Hasher, Part};
use solve::Solver;
use thiserror::Error;
use zeroize::Zeroize;

/// Why keys cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OkvsError {
    /// A key occurs twice.
    #[error("a key occurs twice")]
    Duplicate,
    /// The keys do not fit together under this seed, which happens with a probability of 2^−40.
    #[error("the keys do not fit together under this seed")]
    Unlucky,
}

/// Keys that are sorted into clusters together.
const CHUNK: usize = 1 << 17;
/// Keys whose columns are looked up together.
const BATCH: usize = 256;

/// A store's layout: its size and its hash. The store itself is a vector of [`Size::columns`].
pub struct Okvs {
    size: Size,
    hasher: Hasher,
}

impl Okvs {
    /// The layout for keys that were fixed before `seed` was drawn. The seed may be public.
    pub fn new(size: Size, seed: &Seed) -> Self {
        let hasher = Hasher::new(seed, &size);
        Self { size, hasher }
    }

    /// The size of the store.
    pub fn size(&self) -> &Size {
        &self.size
    }

    /// Stores `values[i]` under `keys[i]`. Columns that no key determines become zero, or random if
    /// there is a `filler`: it is needed where values may be known to who sees the store.
    ///
    /// # Errors
    ///
    /// [`OkvsError`].
    ///
    /// # Panics
    ///
    /// If there are not as many values as keys, or more keys than the size is for.
    pub fn encode(
        &self,
        keys: &[Block],
        values: &[Block],
        filler: Option<&mut Prg>,
    ) -> Result<Vec<Block>, OkvsError> {
        assert_eq!(keys.len(), values.len(), "a value for each key");
        assert!(
            keys.len() <= self.size.n_keys(),
            "the size is for fewer keys"
        );
        let is_filled = filler.is_some();
        let mut columns = zeroed(self.size.columns());
        if let Some(prg) = filler {
            prg.fill_bytes(bytemuck::cast_slice_mut(&mut columns));
        }
        let parts: Vec<Part> = keys
            .par_chunks(CHUNK)
            .map(|keys| self.hasher.part(keys))
            .collect();
        columns
            .par_chunks_mut(self.size.cluster_columns())
            .enumerate()
            .try_for_each_init(
                || Solver::new(&self.size),
                |solver, (cluster, columns)| {
                    solver.clear();
                    for (part, values) in parts.iter().zip(values.chunks(CHUNK)) {
                        solver.load(&self.hasher, part.cluster(cluster), values);
                    }
                    solver.solve(columns, is_filled)
                },
            )?;
        Ok(columns)
    }

    /// The value under each key, stored or not.
    ///
    /// # Panics
    ///
    /// If the store does not have this layout's size.
    pub fn decode(&self, store: &[Block], keys: &[Block]) -> Vec<Block> {
        assert_eq!(store.len(), self.size.columns(), "a store of this size");
        let mut values = zeroed(keys.len());
        values
            .par_chunks_mut(CHUNK)
            .zip(keys.par_chunks(CHUNK))
            .for_each(|(values, keys)| {
                let mut part = self.hasher.part(keys);
                for (cluster, columns) in store.chunks(self.size.cluster_columns()).enumerate() {
                    self.decode_cluster(columns, part.cluster(cluster), values);
                }
                part.wipe();
            });
        values
    }

    fn decode_cluster(
        &self,
        columns: &[Block],
        (hashes, places): (&[Block], &[u32]),
        values: &mut [Block],
    ) {
        let (sparse, dense) = columns.split_at(self.size.sparse_columns());
        let mut sums = [Block::ZERO; BATCH];
        for (hashes, places) in hashes.chunks(BATCH).zip(places.chunks(BATCH)) {
            let sums = &mut sums[..hashes.len()];
            self.hasher.for_each_row(hashes, |at, [a, b, c]| {
                sums[at] = sparse[a as usize] ^ sparse[b as usize] ^ sparse[c as usize];
            });
            gf128::add_polynomial(sums, hashes, dense);
            for (sum, place) in sums.iter().zip(places) {
                values[*place as usize] = *sum;
            }
        }
        sums.zeroize();
    }
}
