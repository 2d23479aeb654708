//! Contracts, the job book, and the QUIC shell that introduces agents and relays ciphertext between them.
//!
//! # What the coordinator can do
//!
//! * Refuse service: drop a proposal, delay a start, cut a relay, say that a party is gone. Any of it stops a job.
//! * See who works with whom, the text of the contract (which is no secret to its parties), sizes and timing.
//!
//! # What it cannot do
//!
//! * Change a job. A contract, an acceptance, a rejection and a catalogue are signed by the party that made them, over
//!   canonical bytes; an agent verifies the bytes as received against keys that it pinned out of band. The coordinator
//!   holds no key that an agent trusts for any of these.
//! * Introduce a party. Members are listed by fingerprint, and agents pin each other: a coordinator's word is not enough.
//! * Read data. Neither `engine` nor `protocols` is in its dependency graph (a test asserts it), and what it relays is
//!   encrypted between the agents under the same pins.
//! * Make a party run a job twice. Each agent keeps its own ledger of job ids and nonces, and the contract expires.
//!
//! # Reading order
//!
//! [`contract`] (what is agreed) → [`log`] (what cannot be changed unnoticed) → [`job`] (what can happen to it, pure) → [`journal`] (what survives a crash) →
//! [`tls`] (who is who) → [`enrol`] (how one becomes known) → [`control`] (what is said) → `registry`, [`relay`], [`server`], [`client`] (who says it).

#![forbid(unsafe_code)]

pub mod contract;
pub mod log;
pub mod job;
pub mod journal;
pub mod tls;
pub mod enrol;
pub mod control;
mod registry;
pub mod relay;
pub mod server;
pub mod client;
pub mod config;
pub mod clock;
pub mod logsafe;
pub mod throttle;
pub mod transaction;
