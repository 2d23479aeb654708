//! Hashing, always with a context: key derivation, commitments, and the correlation-robust hash.
//!
//! There is no plain `hash(bytes)`. Every call names a context `entente/v1/<protocol>/<purpose>`,
//! a string constant of the calling code, and passes its inputs as fields. Each field is preceded
//! by its length, so that two different lists of fields never hash the same bytes.

use crate::block::Block;
use crate::cipher::Aes128;
use crate::prg::Seed;
use rayon::prelude::*;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Derives an independent secret from `fields` (BLAKE3 in key-derivation mode).
///
/// At least one field must be secret and have 128 bits of entropy; the others (session, seats,
/// operation) bind the key to its place. `context` separates purposes and must be a constant.
pub fn derive_key(context: &'static str, fields: &[&[u8]]) -> Seed {
    let mut out = [0; 32];
    fill(context, fields, &mut out);
    let seed = Seed::from_bytes(out);
    out.zeroize();
    seed
}

/// 32 bytes of public digest of `fields`, for identifiers and transcripts.
pub fn digest(context: &'static str, fields: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    fill(context, fields, &mut out);
    out
}

/// 64 bytes of `fields`: enough to be reduced to a scalar or mapped to a group element.
pub fn wide(context: &'static str, fields: &[&[u8]]) -> [u8; 64] {
    let mut out = [0; 64];
    fill(context, fields, &mut out);
    out
}

fn fill(context: &'static str, fields: &[&[u8]], out: &mut [u8]) {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for field in fields {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    hasher.finalize_xof().fill(out);
    hasher.zeroize();
}

/// A hash of short messages under a key of its own: BLAKE3 in keyed mode, for many messages.
///
/// Unlike the other functions here it does not mark where a message's fields end: the caller's
/// messages have one fixed form.
pub struct KeyedHash {
    key: Seed,
}

impl KeyedHash {
    /// A hash for one purpose, bound to `fields`. It is a secret function if one of them is secret.
    pub fn new(context: &'static str, fields: &[&[u8]]) -> Self {
        Self {
            key: derive_key(context, fields),
        }
    }

    /// The first 16 bytes of the hash of `message`.
    pub fn hash(&self, message: &[u8]) -> [u8; 16] {
        let hash = blake3::keyed_hash(self.key.as_bytes(), message);
        let (head, _) = hash
            .as_bytes()
            .split_first_chunk()
            .expect("32 bytes have a first 16");
        *head
    }
}

/// A pseudo-random function of blocks: π(x) ⊕ x, where π is AES-128 under a secret key.
pub struct BlockPrf {
    permutation: Aes128,
}

impl BlockPrf {
    /// The function of one purpose under a secret seed.
    pub fn new(context: &'static str, seed: &Seed) -> Self {
        let key = derive_key(context, &[seed.as_bytes()]);
        Self {
            permutation: Aes128::new(&key.aes_key()),
        }
    }

    /// XORs the function at `inputs[k]` to `sums[k]`.
    ///
    /// # Panics
    ///
    /// If there are not as many of both.
    pub fn add_to(&self, sums: &mut [Block], inputs: &[Block]) {
        assert_eq!(sums.len(), inputs.len(), "a sum for each input");
        const CHUNK: usize = 1 << 10;
        sums.par_chunks_mut(CHUNK)
            .zip(inputs.par_chunks(CHUNK))
            .for_each(|(sums, inputs)| {
                let mut images = [Block::ZERO; CHUNK];
                let images = &mut images[..inputs.len()];
                images.copy_from_slice(inputs);
                self.permutation.encrypt(bytemuck::cast_slice_mut(images));
                for ((sum, image), input) in sums.iter_mut().zip(&*images).zip(inputs) {
                    *sum ^= *image ^ *input;
                }
                images.zeroize();
            });
    }
}

/// Commits to `payload` in one session. The nonce is fresh and uniform: it hides, the hash binds.
pub fn commit(
    context: &'static str,
    session_id: &[u8; 32],
    payload: &[u8],
    nonce: &[u8; 32],
) -> [u8; 32] {
    digest(context, &[session_id, payload, nonce])
}

/// True if `commitment` is opened by `payload` and `nonce`.
#[must_use]
pub fn opens(
    commitment: &[u8; 32],
    context: &'static str,
    session_id: &[u8; 32],
    payload: &[u8],
    nonce: &[u8; 32],
) -> bool {
    commit(context, session_id, payload, nonce)
        .ct_eq(commitment)
        .into()
}

/// Tweakable correlation-robust hash of 128-bit blocks, from AES under one key per session.
///
/// H(x, i) = π(π(x) ⊕ i) ⊕ π(x), where π is AES-128 under the session's key. For a secret Δ and
/// distinct tweaks, the values H(x_i ⊕ Δ, i) look random even if the x_i were chosen by the other
/// side (Guo, Katz, Wang, Yu, 2019/074, there called TMMO). The cheaper form π(σ(x) ⊕ i) ⊕ σ(x) needs x
/// that nobody chose, and saves one AES call of two.
///
/// The tweak is the index of the OT in its session and direction; it is never used twice.
pub struct CrHash {
    permutation: Aes128,
}

impl CrHash {
    /// A hash under a key derived for this session. The key may be public but must not be chosen
    /// by a party: derive it from the session identifier.
    pub fn new(session_key: &Seed) -> Self {
        Self {
            permutation: Aes128::new(&session_key.aes_key()),
        }
    }

    /// H(x, tweak) of one block.
    pub fn hash(&self, x: Block, tweak: u64) -> Block {
        let mut one = [x];
        self.hash_in_place(&mut one, tweak);
        one[0]
    }

    /// Replaces each `blocks[k]` by H(`blocks[k]`, `first_tweak` + k).
    pub fn hash_in_place(&self, blocks: &mut [Block], first_tweak: u64) {
        self.permutation
            .twice_with_index(first_tweak, bytemuck::cast_slice_mut(blocks));
    }
}
