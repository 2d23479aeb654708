//! Every layer of tests for every protocol: against the oracle, declared costs, message shapes,
//! faults, tampering, uniformity, and the session and the networks themselves.
//!
//! Every test runs from a seed that it prints. A deadline guards against hangs; nothing is timed.

mod world;
#[path = "../../../coordinator/tests/suite/feed.rs"]
mod feed;
mod ideal;

mod chi_square;
mod net;
mod session;
mod decoders;
mod oracle;
mod arith;
mod correlate;
mod cost;
mod shape;
mod faults;
mod tamper;
mod uniformity;
mod disclosure;
mod margins;
mod psi_vole;
mod psi_circuit;
mod psi_many;
mod join;
mod transfer;
mod kinds;
mod lattice;
mod keys;
mod ecdh;
mod demands;
mod tables;
mod stats;
mod train;
mod lookup;
mod sums;
mod resume;
mod masked;
mod sample_data;
mod fuzz_smoke;
