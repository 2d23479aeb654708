//! Logs that cannot be changed unnoticed: a Merkle tree over entries, and what its owner signs of it.
//!
//! A log is a list of entries that only grows. [`merkle`] gives its root and proofs about it; a [`Checkpoint`] is the root at
//! one size, signed. Who keeps a checkpoint of somebody's log can tell later whether an entry was changed, removed or
//! put in before it, without having seen the entries.

mod checkpoint;
pub mod merkle;

pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
