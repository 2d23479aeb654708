//! An approved plan, run.
