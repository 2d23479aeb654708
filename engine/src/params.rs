//! Every cryptographic parameter, its source and what it buys. No module has its own.
//!
//! κ = 128 bits of computational security throughout. Symmetric primitives: AES-128 and BLAKE3
//! with 256 bits of output. Groups: ristretto255 (RFC 9496) and Curve25519 (RFC 7748), both of
//! prime order ≈ 2^252 (times a cofactor), where the best known attack on Diffie–Hellman takes
//! ≈ 2^126 group operations.

/// κ: computational security in bits.
pub const COMPUTATIONAL_BITS: usize = 128;

/// Base oblivious transfers per direction and pair, one for each bit of Δ. A guess of Δ succeeds
/// with probability 2^−128.
pub const BASE_OTS: usize = COMPUTATIONAL_BITS;

/// Length of an encoded group element (RFC 9496, §4.3.2).
pub const POINT_BYTES: usize = 32;

/// Length of an item in a private set intersection, as it enters a group or an encoding: a hash of
/// 128 bits. Among 2^32 items, two have the same hash with probability under 2^−65.
pub const ITEM_BYTES: usize = 16;

/// Domain separation tag with which items are hashed to ristretto255 (RFC 9380, §3.1).
pub const RISTRETTO_ITEM_TAG: &[u8] = b"ENTENTE-V01-PSI-with-ristretto255_XMD:SHA-512_R255MAP_RO_";

/// Domain separation tag with which items are hashed to Curve25519 (RFC 9380, §3.1).
pub const MONTGOMERY_ITEM_TAG: &[u8] = b"ENTENTE-V01-PSI-with-curve25519_XMD:SHA-512_ELL2_NU_";

/// k of SoftSpoken OT (Roy, 2022/192): the depth of its trees. Any k gives the same security; k
/// trades 2^k / k generator bits against 128 / k bits of traffic for each OT. At 4 the generator
/// costs as much as it would at 2, and the traffic is half (2022/192, table 1; CRYPTO §2.2).
pub const SOFTSPOKEN_K: usize = 4;

/// Trees of SoftSpoken OT: one for every k bits of Δ.
pub const SOFTSPOKEN_TREES: usize = COMPUTATIONAL_BITS / SOFTSPOKEN_K;

/// Leaves of one tree.
pub const SOFTSPOKEN_LEAVES: usize = 1 << SOFTSPOKEN_K;

const _: () = assert!(
    SOFTSPOKEN_TREES * SOFTSPOKEN_K == COMPUTATIONAL_BITS,
    "the trees' indices make up Δ exactly"
);

/// OTs that are extended together. Part of the protocol: it fixes which part of every leaf's
/// stream belongs to which OT. 8192 bits of one leaf are 64 AES blocks; all planes of a chunk,
/// 128 KiB, stay in the second-level cache.
pub const OT_CHUNK: usize = 8192;

/// OTs in one session and direction. Each leaf then makes 2^33 blocks under its key, and telling
/// all 512 leaves' streams from random succeeds with probability under 2^−53 (PRP/PRF switching:
/// q²/2^129 each).
pub const MAX_OTS: u64 = 1 << 40;

const _: () = assert!(
    MAX_OTS.is_multiple_of(OT_CHUNK as u64),
    "a session ends with a whole chunk"
);
