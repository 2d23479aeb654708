//! Kernels: rings, fixed point, shares, pseudo-random generators and oblivious transfer.
//!
//! Everything here is a function of its arguments. There is no network, no clock and no ambient
//! randomness: whoever needs random values passes a [`prg::Prg`], so a whole computation replays
//! from its seeds. Interactive constructions ([`ot`]) are state machines that take a message and
//! return a message; sending is somebody else's work.
//!
//! Modules in reading order:
//!
//! * [`ring`]: Z_2^64 and Z_2^128, and loops over slices of them;
//! * [`bits`]: packed bits and their transposition;
//! * [`matrix`]: products of matrices;
//! * [`switching`]: permutations as networks of switches;
//! * [`share`]: additive and XOR shares, types that cannot be copied, printed or encoded;
//! * [`fixed`]: real numbers as scaled integers, with a stated error;
//! * [`hash`], [`prg`], [`block`]: the symmetric primitives, all with domain separation;
//! * [`curve`]: groups for Diffie–Hellman on hashed items; [`oprf`]: a pseudo-random function that
//!   one side holds and the other side applies; [`cuckoo`]: items in bins of their own;
//! * [`ot`]: oblivious transfer and bit triples without a third party;
//! * [`vole`]: correlated vectors over GF(2^128), of any length from short messages;
//! * [`lattice`]: products of matrices of two parties, by ring learning with errors;
//! * [`okvs`]: values stored under keys so that the store hides the keys;
//! * [`tags`]: comparing sets by short hashes;
//! * [`glm`]: the sums over rows that regressions take;
//! * [`trees`]: the sums over rows that boosted trees take;
//! * [`perceptron`]: small neural networks, trained on rows in the clear;
//! * [`noise`]: exact samples of discrete distributions, for differential privacy;
//! * [`shapley`]: who contributes how much to what all achieve together;
//! * [`params`]: every cryptographic parameter with its source.
//!
//! # Panics
//!
//! Slices of unequal length, and positions outside a vector, are mistakes of the calling code and
//! panic. Whatever comes from another party is checked and reported as an error.

#[cfg(target_endian = "big")]
compile_error!(
    "the engine reinterprets ring elements as little-endian bytes; big-endian hosts are not supported"
);

mod wide;
pub mod ring;
pub mod bits;
pub mod matrix;
pub mod switching;
pub mod share;
pub mod fixed;
mod cipher;
pub mod hash;
pub mod prg;
pub mod block;
pub mod params;
pub mod memory;
pub mod curve;
pub mod oprf;
pub mod cuckoo;
pub mod ot;
pub mod vole;
pub mod lattice;
pub mod okvs;
pub mod tags;
pub mod glm;
pub mod trees;
pub mod perceptron;
pub mod noise;
pub mod shapley;
