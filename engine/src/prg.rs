//! The pseudo-random generator: AES-128 in counter mode under a derived key.
//!
//! A [`Seed`] is 32 secret bytes. A [`Prg`] is one stream of a seed: AES-128-CTR whose 128-bit
//! counter is the stream's number (64 bits) followed by the block's number (64 bits). Different
//! streams of one seed never meet, and any block of a stream is reached by [`Prg::seek`], so that
//! chunks of one stream can be filled on different threads.

use crate::block::Block;
use crate::cipher::{Aes128, Bytes16};
use crate::hash;
use crate::ring::{self, Ring};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 32 secret bytes from which keys and generators are derived.
///
/// It cannot be copied, printed, compared or encoded, and is wiped on drop.
///
/// ```compile_fail
/// let seed = engine::prg::Seed::from_bytes([0; 32]);
/// println!("{seed:?}"); // a seed cannot be printed
/// ```
/// ```compile_fail
/// let seed = engine::prg::Seed::from_bytes([0; 32]);
/// let copy = seed.clone(); // a seed cannot be copied
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Declares that these bytes are a seed: uniform and secret.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret bytes, to be a field of [`hash::derive_key`].
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A seed of its own for one purpose. `context` separates purposes, `fields` bind the place.
    #[must_use]
    pub fn derive(&self, context: &'static str, fields: &[&[u8]]) -> Self {
        let all: Vec<&[u8]> = std::iter::once(&self.0[..])
            .chain(fields.iter().copied())
            .collect();
        hash::derive_key(context, &all)
    }

    /// A fresh seed from a generator.
    pub fn random(prg: &mut Prg) -> Self {
        let mut seed = Self([0; 32]);
        prg.fill_bytes(&mut seed.0);
        seed
    }

    /// The first half, where a key of 128 bits is needed and the seed has no other use.
    pub(crate) fn to_block(&self) -> Block {
        let (head, _) = self
            .0
            .split_first_chunk()
            .expect("a seed has more than 16 bytes");
        Block::from_bytes(*head)
    }

    /// The 16-byte AES key of this seed. Hashed, so that the seed remains usable as KDF input.
    pub(crate) fn aes_key(&self) -> [u8; 16] {
        let key = self.derive("entente/v1/engine/prg", &[]);
        let (head, _) = key
            .0
            .split_first_chunk()
            .expect("a seed has more than 16 bytes");
        *head
    }
}

/// Blocks kept for callers that draw a few bytes at a time.
const BUFFER_BLOCKS: usize = 32;
const BUFFER_BYTES: usize = BUFFER_BLOCKS * 16;

/// One stream of pseudo-random bytes.
///
/// The stream is continuous: two short fills give the bytes of one long fill.
#[derive(ZeroizeOnDrop)]
pub struct Prg {
    cipher: Aes128,
    #[zeroize(skip)]
    stream: u64,
    /// The next block to be made.
    #[zeroize(skip)]
    next_block: u64,
    buffer: [u8; BUFFER_BYTES],
    /// Bytes of `buffer` that were handed out already.
    #[zeroize(skip)]
    used: usize,
}

impl Prg {
    /// Stream number `stream` of `seed`, at its beginning.
    pub fn new(seed: &Seed, stream: u64) -> Self {
        Self::with_key(&seed.aes_key(), stream)
    }

    /// Stream number `stream` under an AES key that is already uniform and used for nothing else,
    /// such as a leaf of a GGM tree. Everything else starts from a [`Seed`].
    pub fn with_key(key: &[u8; 16], stream: u64) -> Self {
        Self {
            cipher: Aes128::new(key),
            stream,
            next_block: 0,
            buffer: [0; BUFFER_BYTES],
            used: BUFFER_BYTES,
        }
    }

    /// Continues at the beginning of 16-byte block `block` of the stream.
    pub fn seek(&mut self, block: u64) {
        self.next_block = block;
        self.used = BUFFER_BYTES;
    }

    /// Fills `out` with the next bytes of the stream.
    pub fn fill_bytes(&mut self, out: &mut [u8]) {
        let (head, rest) = out.split_at_mut(out.len().min(BUFFER_BYTES - self.used));
        self.take_buffered(head);
        let (blocks, tail) = rest.as_chunks_mut();
        self.fill_blocks(blocks);
        if !tail.is_empty() {
            self.refill();
            self.take_buffered(tail);
        }
    }

    /// Fills `out` with uniform ring elements.
    pub fn fill_ring<R: Ring>(&mut self, out: &mut [R]) {
        self.fill_bytes(ring::as_bytes_mut(out));
    }

    /// A uniform 64-bit number.
    pub fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A uniform number below `bound`, without bias (rejection sampling).
    ///
    /// The number of draws depends on the values drawn, not on anything else.
    ///
    /// # Panics
    ///
    /// If `bound` is 0.
    pub fn next_bounded(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number lies below 0");
        // 2^64 mod bound values at the bottom are rejected; the rest splits evenly.
        let reject_below = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= reject_below {
                return (product >> 64) as u64;
            }
        }
    }

    fn take_buffered(&mut self, out: &mut [u8]) {
        let end = self.used + out.len();
        out.copy_from_slice(&self.buffer[self.used..end]);
        self.buffer[self.used..end].zeroize();
        self.used = end;
    }

    fn refill(&mut self) {
        let (blocks, _) = self.buffer.as_chunks_mut();
        self.cipher.keystream(self.stream, self.next_block, blocks);
        self.next_block = self.next_block.wrapping_add(BUFFER_BLOCKS as u64);
        self.used = 0;
    }

    fn fill_blocks(&mut self, blocks: &mut [Bytes16]) {
        self.cipher.keystream(self.stream, self.next_block, blocks);
        self.next_block = self.next_block.wrapping_add(blocks.len() as u64);
    }
}
