//! The agent's parts together: sources, catalogues, planner, local totals, results.
//!
//! One binary, so that DataFusion is linked once. Every seeded test prints its seed.

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
