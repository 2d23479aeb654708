//! AES-128 over many blocks: encryption in place, and the key stream of counter mode.
//!
//! Two backends give the same bytes. The portable one is the `aes` crate, which itself picks
//! AES-NI, ARMv8 or a constant-time bit-sliced form. [`vaes`] is ours, for processors with
//! AVX-512 and VAES: it makes counters in registers and handles short runs with masks, which the
//! generator needs and the crate's interface cannot express. It is several times as fast
//! (`kernels`: `prg/fill`).

#[cfg(target_arch = "x86_64")]
mod vaes;

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit, consts::U16};
use zeroize::ZeroizeOnDrop;

/// One 16-byte block of plain memory, without alignment.
pub(crate) type Bytes16 = [u8; 16];

/// Blocks that the portable loops keep in the innermost cache between two passes.
const BATCH: usize = 256;

/// AES-128 under one key, in the encrypting direction.
#[derive(ZeroizeOnDrop)]
pub(crate) enum Aes128 {
    #[cfg(target_arch = "x86_64")]
    Wide(vaes::RoundKeys),
    Portable(Aes128Enc),
}

impl Aes128 {
    pub(crate) fn new(key: &Bytes16) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(keys) = vaes::RoundKeys::new(key) {
            return Self::Wide(keys);
        }
        Self::portable(key)
    }

    fn portable(key: &Bytes16) -> Self {
        Self::Portable(Aes128Enc::new(key.into()))
    }

    /// Encrypts every block in place.
    pub(crate) fn encrypt(&self, blocks: &mut [Bytes16]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Wide(keys) => keys.encrypt(blocks),
            Self::Portable(cipher) => {
                cipher.encrypt_blocks(Array::<u8, U16>::cast_slice_from_core_mut(blocks));
            }
        }
    }

    /// Overwrites `blocks[k]` with the encryption of the counter (`stream` ‖ `first` + k), both
    /// halves big-endian. The lower half wraps.
    pub(crate) fn keystream(&self, stream: u64, first: u64, blocks: &mut [Bytes16]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Wide(keys) => keys.keystream(stream, first, blocks),
            Self::Portable(_) => {
                let mut counter = first;
                for batch in blocks.chunks_mut(BATCH) {
                    for block in batch.iter_mut() {
                        let both = u128::from(stream) << 64 | u128::from(counter);
                        *block = both.to_be_bytes();
                        counter = counter.wrapping_add(1);
                    }
                    self.encrypt(batch);
                }
            }
        }
    }

    /// Replaces x = `blocks[k]` by π(π(x) ⊕ i) ⊕ π(x), where π is this cipher and i = `first` + k
    /// as a little-endian block.
    pub(crate) fn twice_with_index(&self, first: u64, blocks: &mut [Bytes16]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Wide(keys) => keys.twice_with_index(first, blocks),
            Self::Portable(_) => {
                let mut index = first;
                for batch in blocks.chunks_mut(BATCH) {
                    self.encrypt(batch);
                    let mut outer = [[0; 16]; BATCH];
                    for (o, inner) in outer.iter_mut().zip(batch.iter()) {
                        *o = (u128::from_le_bytes(*inner) ^ u128::from(index)).to_le_bytes();
                        index = index.wrapping_add(1);
                    }
                    self.encrypt(&mut outer[..batch.len()]);
                    for (inner, o) in batch.iter_mut().zip(&outer) {
                        for (a, b) in inner.iter_mut().zip(o) {
                            *a ^= b;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both backends on every length that the wide one treats differently, and across the wrap of
    /// the counter. On a processor without VAES this compares the portable backend with itself.
    #[test]
    fn backends_agree() {
        let key = [0x5a; 16];
        let (fast, portable) = (Aes128::new(&key), Aes128::portable(&key));
        println!("wide backend: {}", !matches!(fast, Aes128::Portable(_)));
        for len in (0..=140).chain([255, 256, 257, 1000]) {
            for first in [0, 12_345, u64::MAX - 5] {
                let (mut a, mut b) = (vec![[1; 16]; len], vec![[2; 16]; len]);
                fast.keystream(0xfedc_ba98_7654_3210, first, &mut a);
                portable.keystream(0xfedc_ba98_7654_3210, first, &mut b);
                assert_eq!(a, b, "key stream, {len} blocks from {first}");
                fast.twice_with_index(first, &mut a);
                portable.twice_with_index(first, &mut b);
                assert_eq!(a, b, "twice, {len} blocks from {first}");
            }
            let mut a: Vec<Bytes16> = (0..len).map(|i| [i as u8; 16]).collect();
            let mut b = a.clone();
            fast.encrypt(&mut a);
            portable.encrypt(&mut b);
            assert_eq!(a, b, "encryption, {len} blocks");
        }
    }
}
