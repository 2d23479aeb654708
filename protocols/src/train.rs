//! Models of shared rows.
//!
//! * [`solve`]: systems of equations with a symmetric positive definite matrix, as every Newton step has one.

pub mod solve;
