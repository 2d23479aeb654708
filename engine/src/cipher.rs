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

    /// The children of nodes of a correlated tree (half-tree, 2022/1431, figure 3): parent x has
    /// the left child l = π(σ(x)) ⊕ σ(x) and the right child x ⊕ l, with
    /// σ(high ‖ low) = (high ⊕ low) ‖ high.
    ///
    /// Children of parent k go to 2k and 2k + 1; there are twice as many as parents, or one fewer.
    /// Returns the XOR of all left and of all right ones.
    ///
    /// # Panics
    ///
    /// If the lengths do not fit.
    pub(crate) fn half_children(
        &self,
        parents: &[Bytes16],
        children: &mut [Bytes16],
    ) -> [Bytes16; 2] {
        check_family(parents, children);
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Wide(keys) => keys.half_children(parents, children),
            Self::Portable(_) => families(parents, children, |x, right| {
                right.copy_from_slice(x);
                for x in x.iter_mut() {
                    let value = u128::from_le_bytes(*x);
                    let (high, low) = (value >> 64, value as u64);
                    *x = ((high ^ u128::from(low)) << 64 | high).to_le_bytes();
                }
                let mut image = [[0; 16]; BATCH];
                let image = &mut image[..x.len()];
                image.copy_from_slice(x);
                self.encrypt(image);
                xor(x, image);
                xor(right, x);
            }),
        }
    }

    /// The children of nodes of a plain tree: parent x has the children π(x) ⊕ x under the key
    /// `left` and under the key `right`. Children of parent k go to 2k and 2k + 1; there are twice
    /// as many as parents, or one fewer. Returns the XOR of all left and of all right ones.
    ///
    /// # Panics
    ///
    /// If the lengths do not fit.
    pub(crate) fn children(
        left: &Self,
        right: &Self,
        parents: &[Bytes16],
        children: &mut [Bytes16],
    ) -> [Bytes16; 2] {
        check_family(parents, children);
        #[cfg(target_arch = "x86_64")]
        if let (Self::Wide(left), Self::Wide(right)) = (left, right) {
            return vaes::RoundKeys::children(left, right, parents, children);
        }
        families(parents, children, |x, y| {
            let mut parents = [[0; 16]; BATCH];
            let parents = &mut parents[..x.len()];
            parents.copy_from_slice(x);
            y.copy_from_slice(x);
            left.encrypt(x);
            right.encrypt(y);
            xor(x, parents);
            xor(y, parents);
        })
    }
}

fn check_family(parents: &[Bytes16], children: &[Bytes16]) {
    assert_eq!(
        parents.len(),
        children.len().div_ceil(2),
        "two children for each parent, but for the last one"
    );
}

/// The portable form of [`Aes128::half_children`] and [`Aes128::children`]: `expand` makes both
/// children of a batch of parents, the left ones in place.
fn families(
    parents: &[Bytes16],
    children: &mut [Bytes16],
    expand: impl Fn(&mut [Bytes16], &mut [Bytes16]),
) -> [Bytes16; 2] {
    let mut sums = [0u128; 2];
    let mut both = [[[0; 16]; BATCH]; 2];
    for (parents, children) in parents.chunks(BATCH).zip(children.chunks_mut(2 * BATCH)) {
        let [left, right] = &mut both;
        let (left, right) = (&mut left[..parents.len()], &mut right[..parents.len()]);
        left.copy_from_slice(parents);
        expand(left, right);
        for (at, child) in children.iter_mut().enumerate() {
            *child = if at % 2 == 0 {
                left[at / 2]
            } else {
                right[at / 2]
            };
            sums[at % 2] ^= u128::from_le_bytes(*child);
        }
    }
    sums.map(u128::to_le_bytes)
}

fn xor(a: &mut [Bytes16], b: &[Bytes16]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = (u128::from_le_bytes(*a) ^ u128::from_le_bytes(*b)).to_le_bytes();
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
            families_agree(&fast, &portable, &a);
            fast.encrypt(&mut a);
            portable.encrypt(&mut b);
            assert_eq!(a, b, "encryption, {len} blocks");
        }
    }

    fn families_agree(fast: &Aes128, portable: &Aes128, parents: &[Bytes16]) {
        let other = [0xa5; 16];
        let (fast_other, portable_other) = (Aes128::new(&other), Aes128::portable(&other));
        for n in [2 * parents.len(), (2 * parents.len()).saturating_sub(1)] {
            let (mut a, mut b) = (vec![[1; 16]; n], vec![[2; 16]; n]);
            let sums = [
                fast.half_children(parents, &mut a),
                portable.half_children(parents, &mut b),
            ];
            assert_eq!(a, b, "correlated tree, {n} children");
            assert_eq!(sums[0], sums[1], "sum of {n} children");
            for (k, x) in parents.iter().enumerate().take(n / 2) {
                let sum = u128::from_le_bytes(a[2 * k]) ^ u128::from_le_bytes(a[2 * k + 1]);
                assert_eq!(sum.to_le_bytes(), *x, "children sum to their parent");
            }
            let sums = [
                Aes128::children(fast, &fast_other, parents, &mut a),
                Aes128::children(portable, &portable_other, parents, &mut b),
            ];
            assert_eq!(a, b, "plain tree, {n} children");
            assert_eq!(sums[0], sums[1], "sums of {n} children");
        }
    }
}
