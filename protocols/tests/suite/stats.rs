//! Statistics, held to their plain counterparts and to all demands on a protocol.

mod extreme;
mod quantile;
mod distinct;
