//! The coordinator's test suite, one binary.

mod support;
mod feed;
mod canonical;
mod contract_approval;
mod codec;
mod state;
mod journal;
mod identity;
mod tls;
mod zero_trust;
mod endpoints;
mod fuzz_smoke;
mod rotation;
mod config;
mod jobs;
mod parties;
mod limits;
mod relay;
mod restart;
mod dependencies;
