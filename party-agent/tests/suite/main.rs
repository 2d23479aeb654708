//! The agent's parts together, and whole agents with a coordinator in this process over QUIC on loopback.
//!
//! One binary, so that DataFusion is linked once. Every seeded test prints its seed.

#![allow(clippy::too_many_lines, reason = "a table of cases is one function")]

mod catalogue;
mod compiled;
mod csv;
mod exactness;
mod hospitals;
mod memory;
mod parquet;
mod plan;
mod plans;
mod postgres;
mod results;
mod spilled;

#[path = "../../../coordinator/tests/suite/feed.rs"]
mod feed;
mod http;
mod world;
mod puppet;
mod runs;
mod intersect;
mod lookup;
mod faults;
mod people;
mod local_api;
mod hold;
mod amendments;
mod policy_matrix;
mod counters_crash;
mod evidence_crash;
mod dp_ledger;
mod sdc;
mod tracker_attack;
mod halt;
mod resume;
mod classification;
mod persons;
mod negative_list;
mod zero_trust;
mod endpoints;
mod fuzz_smoke;
mod coordinator_view;
mod consent;
mod manifest_gate;
mod canary;
mod egress;
mod hub;
mod directed;
mod malicious_coordinator;
