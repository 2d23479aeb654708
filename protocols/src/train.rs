//! Models of shared rows.
//!
//! * [`solve`]: systems of equations with a symmetric positive definite matrix, as every Newton step has one;
//! * [`glm`]: generalised linear models by Newton's method.

pub mod solve;
pub mod glm;
