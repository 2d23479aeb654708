//! The agent's parts together: sources, catalogues, planner, local totals, results.
//!
//! One binary, so that DataFusion is linked once. Every seeded test prints its seed.

mod plan;
