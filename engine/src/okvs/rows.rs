//! From keys to rows: cluster, columns and dense value, by AES under keys from the seed.

use super::Size;
use crate::block::Block;
use crate::cipher::Aes128;
use crate::hash;
use crate::params::OKVS_WEIGHT as WEIGHT;
use crate::prg::Seed;
use zeroize::Zeroize;

/// Keys that are hashed together.
const BATCH: usize = 256;

/// The three sparse columns of a row, all different.
pub(super) type Row = [u32; WEIGHT];

/// The hash of one store.
///
/// A key x has the hash h(x) = π(x) ⊕ x, which is its dense value k̂ and says its cluster. A second
/// permutation makes the columns from h, so that they say nothing about k̂.
pub(super) struct Hasher {
    keys: Aes128,
    columns: Aes128,
    n_clusters: u64,
    sparse: u64,
}

impl Hasher {
    pub(super) fn new(seed: &Seed, size: &Size) -> Self {
        let cipher =
            |context| Aes128::new(&hash::derive_key(context, &[seed.as_bytes()]).aes_key());
        Self {
            keys: cipher("entente/v1/okvs/keys"),
            columns: cipher("entente/v1/okvs/columns"),
            n_clusters: size.n_clusters() as u64,
            sparse: size.sparse_columns() as u64,
        }
    }

    /// Hashes keys and sorts them by cluster.
    pub(super) fn part(&self, keys: &[Block]) -> Part {
        let mut hashes = keys.to_vec();
        for (hashes, keys) in hashes.chunks_mut(BATCH).zip(keys.chunks(BATCH)) {
            davies_meyer(&self.keys, hashes, keys);
        }
        let mut starts = vec![0; self.n_clusters as usize + 1];
        for hash in &hashes {
            starts[self.cluster(*hash) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut part = Part {
            hashes: vec![Block::ZERO; keys.len()],
            places: vec![0; keys.len()],
            starts,
        };
        for (place, hash) in (0..).zip(&hashes) {
            let slot = &mut next[self.cluster(*hash)];
            part.hashes[*slot] = *hash;
            part.places[*slot] = place;
            *slot += 1;
        }
        hashes.zeroize();
        part
    }

    fn cluster(&self, hash: Block) -> usize {
        scale(hash.0 as u32, self.n_clusters) as usize
    }

    /// Calls `take` with the number and the columns of each row.
    pub(super) fn for_each_row(&self, hashes: &[Block], mut take: impl FnMut(usize, Row)) {
        let mut images = [Block::ZERO; BATCH];
        for (batch, hashes) in hashes.chunks(BATCH).enumerate() {
            let images = &mut images[..hashes.len()];
            images.copy_from_slice(hashes);
            davies_meyer(&self.columns, images, hashes);
            for (at, image) in images.iter().enumerate() {
                take(batch * BATCH + at, self.row(*image));
            }
        }
        images.zeroize();
    }

    /// Three different columns, every choice equally likely: the second is drawn from all but the
    /// first, the third from all but both.
    fn row(&self, image: Block) -> Row {
        let a = scale(image.0 as u32, self.sparse);
        let mut b = scale((image.0 >> 32) as u32, self.sparse - 1);
        b += u32::from(b >= a);
        let (low, high) = (a.min(b), a.max(b));
        let mut c = scale((image.0 >> 64) as u32, self.sparse - 2);
        c += u32::from(c >= low);
        c += u32::from(c >= high);
        [a, b, c]
    }
}

/// A number below `n` from a random word. Some are likelier than others by less than n·2^−32.
fn scale(word: u32, n: u64) -> u32 {
    ((u64::from(word) * n) >> 32) as u32
}

/// `images` are `inputs` before, and π(x) ⊕ x after.
fn davies_meyer(cipher: &Aes128, images: &mut [Block], inputs: &[Block]) {
    cipher.encrypt(bytemuck::cast_slice_mut(images));
    for (image, input) in images.iter_mut().zip(inputs) {
        *image ^= *input;
    }
}

/// Hashed keys, sorted by cluster.
pub(super) struct Part {
    hashes: Vec<Block>,
    /// Where each one was before.
    places: Vec<u32>,
    starts: Vec<usize>,
}

impl Part {
    /// The hashes and former places of one cluster's keys.
    pub(super) fn cluster(&self, cluster: usize) -> (&[Block], &[u32]) {
        let range = self.starts[cluster]..self.starts[cluster + 1];
        (&self.hashes[range.clone()], &self.places[range])
    }

    pub(super) fn wipe(&mut self) {
        self.hashes.zeroize();
    }
}
