//! The signed record of a run.
