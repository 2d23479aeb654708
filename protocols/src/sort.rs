//! Bringing shared rows into the order of their keys.
//!
//! * [`merge`]: runs that are in order already, as the holders' own tables are once each has sorted
//!   its own. Opens nothing; its cost is fixed by public sizes.

mod network;
mod merge;

pub use merge::{merge, price as merge_price};
