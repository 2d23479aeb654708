//! What may be sent, byte by byte.
//!
//! A message type implements [`Wire`]; types without it cannot be sent. Masked values,
//! commitments, openings and corrections have it. Shares, seeds and plain columns do not, and a
//! test holds the compiler to that.
//!
//! The receiver knows the kind and the exact length of every message before it arrives, from
//! public sizes alone. A header that says anything else is refused before its body is read, so no
//! length from the wire ever sizes an allocation.

use crate::stamp::Stamp;
use bytes::Bytes;
use engine::ring::{self, Ring};
use std::fmt;
use std::marker::PhantomData;

/// Length of an encoded [`FrameHeader`].
pub const HEADER_BYTES: usize = 24;

/// Every kind of message there is. The number stands in the frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Kind {
    /// [`Masked`]: ring elements under a one-time mask.
    Masked = 1,
    /// [`MaskedBits`]: bits under a one-time mask.
    MaskedBits = 2,
    /// What every seat sends before anything is revealed.
    Commitments = 3,
    /// A part of a revealed share, with the nonce of its commitment.
    Opening = 4,
    /// What a dealer sends.
    Corrections = 5,
    /// A step of oblivious transfer.
    Transfer = 6,
    /// A number of items, told before they come.
    Count = 7,
    /// Group elements, each multiplied by its sender's secret.
    Elements = 8,
    /// Hashes of group elements or of pseudo-random values.
    Tags = 9,
    /// [`MaskedLanes`]: ring elements and bits under one-time masks.
    MaskedLanes = 10,
    /// A store of items under the mask of a VOLE.
    Store = 11,
    /// Public randomness of one seat.
    Coin = 20,
    /// What is told of an encrypted table before it comes.
    Table = 21,
    /// Encrypted records.
    Records = 22,
    /// Values of an oblivious function, blinded, with a proof.
    Evaluations = 23,
    /// A store in which a key finds what it was given, and everybody else finds noise.
    Hints = 24,
    /// The digest of the encrypted table that its sender has.
    Known = 25,
    /// An order that hides another one.
    Order = 26,
    /// The digest of who takes part in something, and of all that was told to everybody before.
    Roll = 27,
    /// Sums over all holders, told to all of them.
    Sums = 28,
    /// From which steps of a computation that broke off its sender can go on.
    Checkpoints = 29,
}

/// Declares a message that is nothing but bytes: its name, its kind, and the length of its body in bytes, a function of its shape.
macro_rules! bytes_message {
    ($(#[$doc:meta])* $vis:vis $name:ident, $kind:ident, |$n:ident| $len:expr) => {
        $(#[$doc])*
        $vis struct $name {
            $vis body: bytes::Bytes,
        }

        impl $crate::wire::Wire for $name {
            const KIND: $crate::wire::Kind = $crate::wire::Kind::$kind;
            type Shape = usize;

            fn wire_len($n: usize) -> usize {
                $len
            }

            fn encode(self) -> bytes::Bytes {
                self.body
            }

            fn decode(_: usize, body: bytes::Bytes) -> Result<Self, $crate::wire::WireError> {
                Ok(Self { body })
            }
        }
    };
}

pub(crate) use bytes_message;

/// A message as a network carries it.
#[derive(Clone)]
pub struct Frame {
    /// When it was sent; on a simulated network, when it arrives.
    pub stamp: Stamp,
    /// What it is: a [`Kind`] as its number.
    pub kind: u16,
    /// Its content.
    pub body: Bytes,
}

/// Prints what the header says. A body may hold masked values, which do not belong in a log.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("stamp", &self.stamp)
            .field("kind", &self.kind)
            .field("len", &self.body.len())
            .finish()
    }
}

/// What a receiver expects of the next frame, known from public sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameShape {
    /// A [`Kind`] as its number.
    pub kind: u16,
    /// Exact length of the body in bytes.
    pub len: usize,
}

impl FrameShape {
    /// Checks a frame that has arrived whole.
    ///
    /// # Errors
    ///
    /// [`WireError::Kind`], [`WireError::Length`].
    pub fn admit(self, frame: &Frame) -> Result<(), WireError> {
        self.admit_header(frame.kind, frame.body.len() as u64)
    }

    fn admit_header(self, kind: u16, len: u64) -> Result<(), WireError> {
        if kind != self.kind {
            return Err(WireError::Kind {
                expected: self.kind,
                found: kind,
            });
        }
        if len != self.len as u64 {
            return Err(WireError::Length {
                expected: self.len as u64,
                found: len,
            });
        }
        Ok(())
    }
}

/// The fixed-size header in front of every frame on a byte stream.
///
/// Little-endian: kind (2 bytes), zero (2), depth (4), time in ns (8), length of the body (8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// When the frame was sent.
    pub stamp: Stamp,
    /// A [`Kind`] as its number.
    pub kind: u16,
    /// Length of the body that follows.
    pub len: u64,
}

impl FrameHeader {
    /// The header of this frame.
    pub fn of(frame: &Frame) -> Self {
        Self {
            stamp: frame.stamp,
            kind: frame.kind,
            len: frame.body.len() as u64,
        }
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..2].copy_from_slice(&self.kind.to_le_bytes());
        out[4..8].copy_from_slice(&self.stamp.depth.to_le_bytes());
        out[8..16].copy_from_slice(&self.stamp.time_ns.to_le_bytes());
        out[16..].copy_from_slice(&self.len.to_le_bytes());
        out
    }

    /// Reads a header from exactly [`HEADER_BYTES`] bytes.
    ///
    /// # Errors
    ///
    /// [`WireError::Header`] if there are more or fewer bytes, or the reserved ones are not zero.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let bytes: &[u8; HEADER_BYTES] = bytes.try_into().map_err(|_| WireError::Header)?;
        let (head, len) = bytes.split_at(16);
        let (head, time) = head.split_at(8);
        let (head, depth) = head.split_at(4);
        let (kind, zero) = head.split_at(2);
        if zero != [0, 0] {
            return Err(WireError::Header);
        }
        Ok(Self {
            stamp: Stamp {
                depth: u32::from_le_bytes(depth.try_into().expect("4 bytes")),
                time_ns: u64::read_le(time),
            },
            kind: u16::from_le_bytes(kind.try_into().expect("2 bytes")),
            len: u64::read_le(len),
        })
    }

    /// Checks the header before any memory is set aside for the body.
    ///
    /// # Errors
    ///
    /// [`WireError::Kind`], [`WireError::Length`].
    pub fn admit(&self, expected: FrameShape) -> Result<(), WireError> {
        expected.admit_header(self.kind, self.len)
    }
}

/// Bytes that are not the message that was expected. It is the sender's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A frame header is malformed.
    #[error("a frame header is malformed")]
    Header,
    /// Another kind of message.
    #[error("a message of kind {found} came where kind {expected} was due")]
    Kind {
        /// The kind that was due.
        expected: u16,
        /// The kind that came.
        found: u16,
    },
    /// Another length.
    #[error("a message of {found} bytes came where {expected} bytes were due")]
    Length {
        /// The length that was due.
        expected: u64,
        /// The length that came.
        found: u64,
    },
    /// Right kind and length, but the bytes stand for nothing.
    #[error("a message holds {what}")]
    Content {
        /// What is wrong with it, in public terms.
        what: &'static str,
    },
}

/// A message that may leave this party.
///
/// Implement it for what a protocol's paper sends, never for a share, a seed or a plain value.
pub trait Wire: Sized + Send {
    /// Its number in the frame header.
    const KIND: Kind;

    /// What sender and receiver both know of the message before it is sent.
    type Shape: Copy + Send + Sync;

    /// Exact length of every message of this shape.
    fn wire_len(shape: Self::Shape) -> usize;

    /// The bytes of the message.
    fn encode(self) -> Bytes;

    /// Reads a message of this shape. `body` has [`Wire::wire_len`] bytes: the session has checked.
    ///
    /// # Errors
    ///
    /// [`WireError`] if the bytes stand for no message.
    fn decode(shape: Self::Shape, body: Bytes) -> Result<Self, WireError>;
}

/// Owns a vector of ring elements whose bytes are sent without being copied.
struct Elements<R: Ring>(Vec<R>);

impl<R: Ring> AsRef<[u8]> for Elements<R> {
    fn as_ref(&self) -> &[u8] {
        ring::as_bytes(&self.0)
    }
}

/// The bytes of a vector that is safe to send, without copying it.
pub(crate) fn ring_bytes<R: Ring>(values: Vec<R>) -> Bytes {
    Bytes::from_owner(Elements(values))
}

/// Ring elements, each under a mask that is used once and unknown to the receiver.
pub struct Masked<R: Ring> {
    body: Bytes,
    ring: PhantomData<R>,
}

impl<R: Ring> Masked<R> {
    /// Declares that every element of `values` is masked.
    pub(crate) fn new(values: Vec<R>) -> Self {
        Self::from_bytes(ring_bytes(values))
    }

    fn from_bytes(body: Bytes) -> Self {
        Self {
            body,
            ring: PhantomData,
        }
    }

    /// `acc[i] += self[i]` for every i.
    pub(crate) fn add_to(&self, acc: &mut [R]) {
        ring::add_bytes(acc, &self.body);
    }
}

impl<R: Ring> Wire for Masked<R> {
    const KIND: Kind = Kind::Masked;
    type Shape = usize;

    fn wire_len(n_items: usize) -> usize {
        n_items * R::BYTES
    }

    fn encode(self) -> Bytes {
        self.body
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        Ok(Self::from_bytes(body))
    }
}

/// Packed bits, each under a mask that is used once and unknown to the receiver.
pub struct MaskedBits {
    body: Bytes,
}

impl MaskedBits {
    /// Declares that every bit of `words` is masked.
    pub(crate) fn new(words: Vec<u64>) -> Self {
        Self {
            body: ring_bytes(words),
        }
    }

    /// `acc[i] ^= self[i]` for every word.
    pub(crate) fn xor_to(&self, acc: &mut [u64]) {
        xor_bytes(acc, &self.body);
    }
}

/// `acc[i] ^= bytes[i]` for every word, where `bytes` holds as many words as `acc`.
pub(crate) fn xor_bytes(acc: &mut [u64], bytes: &[u8]) {
    assert_eq!(acc.len() * 8, bytes.len(), "vectors of unequal length");
    for (a, b) in acc.iter_mut().zip(bytes.chunks_exact(8)) {
        *a ^= u64::read_le(b);
    }
}

impl Wire for MaskedBits {
    const KIND: Kind = Kind::MaskedBits;
    type Shape = usize;

    fn wire_len(n_words: usize) -> usize {
        n_words * 8
    }

    fn encode(self) -> Bytes {
        self.body
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        Ok(Self { body })
    }
}

/// Number of ring elements and of words of packed bits in a [`MaskedLanes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanesShape {
    /// Ring elements, which come first.
    pub n_elements: usize,
    /// Words of packed bits, which follow.
    pub n_words: usize,
}

/// What one step of a computation opens of a batch: ring elements and packed bits, each under a mask
/// that is used once and unknown to the receiver.
#[derive(Clone)]
pub struct MaskedLanes<R: Ring> {
    body: Bytes,
    /// Where the packed bits begin.
    elements_end: usize,
    ring: PhantomData<R>,
}

impl<R: Ring> MaskedLanes<R> {
    /// Declares that every element and every bit is masked.
    pub(crate) fn new(elements: Vec<R>, words: Vec<u64>) -> Self {
        let elements_end = elements.len() * R::BYTES;
        let body = match (elements.is_empty(), words.is_empty()) {
            (_, true) => ring_bytes(elements),
            (true, false) => ring_bytes(words),
            (false, false) => {
                let mut body = Vec::with_capacity(elements_end + words.len() * 8);
                body.extend_from_slice(ring::as_bytes(&elements));
                body.extend_from_slice(ring::as_bytes(&words));
                Bytes::from(body)
            }
        };
        Self {
            body,
            elements_end,
            ring: PhantomData,
        }
    }

    /// Adds the elements to `elements` and the bits to `words`.
    pub(crate) fn add_to(&self, elements: &mut [R], words: &mut [u64]) {
        ring::add_bytes(elements, &self.body[..self.elements_end]);
        xor_bytes(words, &self.body[self.elements_end..]);
    }
}

impl<R: Ring> Wire for MaskedLanes<R> {
    const KIND: Kind = Kind::MaskedLanes;
    type Shape = LanesShape;

    fn wire_len(shape: LanesShape) -> usize {
        shape.n_elements * R::BYTES + shape.n_words * 8
    }

    fn encode(self) -> Bytes {
        self.body
    }

    fn decode(shape: LanesShape, body: Bytes) -> Result<Self, WireError> {
        Ok(Self {
            body,
            elements_end: shape.n_elements * R::BYTES,
            ring: PhantomData,
        })
    }
}
