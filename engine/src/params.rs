//! Every cryptographic parameter, its source and what it buys. No module has its own.

/// κ: computational security in bits. AES-128, ristretto255 and BLAKE3 are chosen for it.
pub const COMPUTATIONAL_BITS: u32 = 128;
