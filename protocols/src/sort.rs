//! Bringing shared rows into the order of their keys.
//!
//! * [`merge`]: runs that are in order already, as the holders' own tables are once each has sorted
//!   its own. Opens nothing; its cost is fixed by public sizes.
//! * [`radix`]: any rows, by keys of few bits; [`quick`]: any rows, by wide keys. Both shuffle the
//!   rows and then open only what is random once nobody knows where a row came from. [`sort`]
//!   chooses by the width of the key.

mod network;
mod merge;
mod radix;
mod quick;

pub use merge::{merge, merge_runs, price as merge_price};
pub use quick::{price as quick_price, quick};
pub use radix::{price as radix_price, radix};
pub(crate) use radix::{to_places, to_places_price};

use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::table::{Table, TableShape};

/// Widest keys that are sorted bit by bit.
const RADIX_BITS: usize = 24;

/// Sorts rows by their keys; rows with equal keys stay in their order. By [`radix`] for keys of up
/// to 24 bits, else by [`quick`], whose seats, output, security, errors and source this has.
///
/// # Cost      at most [`price`]
pub async fn sort(
    session: &mut Session,
    table: Table,
    stock: &mut Stock,
) -> Result<Table, ProtocolError> {
    match table.shape().key_bits {
        0..=RADIX_BITS => radix(session, table, stock).await,
        _ => quick(session, table, stock).await,
    }
}

/// The declared price of [`sort`].
pub fn price(shape: TableShape, seats: Seats) -> Price {
    match shape.key_bits {
        0..=RADIX_BITS => radix_price(shape, seats),
        _ => quick_price(shape, seats),
    }
}
