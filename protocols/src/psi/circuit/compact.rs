//! A join's rows without the empty bins between them.

use super::{Columns, Joined, Shape};
use crate::correlate::{SecretPermutation, Stock};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::shuffle::{self, First};
use crate::table::{Table, TableShape};
use engine::ring::Ring;
use engine::share::Share;

impl Joined {
    /// The columns of each table, the hub's first.
    pub fn into_tables(self) -> Vec<Columns> {
        [self.hub].into_iter().chain(self.spokes).collect()
    }
}

/// Brings the hub's rows together, and leaves out the bins that are empty: a quarter of them, which whatever comes after
/// need not compute on.
///
/// # Seats     as [`join`](super::join)
/// # Inputs    `joined`: what a join of this shape gave; takes [`compact_price`]
/// # Output    fresh shares of the columns of each table, the hub's first, one row for each of the hub's rows
/// # Cost      [`compact_price`]: that of [`shuffle::arrange`] of all columns
/// # Security  as [`shuffle::arrange`], whose owner is the hub: it knows which bins are empty, and how many are is public
/// # Errors    those of [`shuffle::arrange`]
/// # Source    own
pub async fn compact(
    session: &mut Session,
    joined: Joined,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Vec<Columns>, ProtocolError> {
    let order = joined.places.as_ref().map(|places| order(shape, places));
    let tables = joined.into_tables();
    let widths: Vec<_> = tables
        .iter()
        .map(|t| (t.narrow.len(), t.wide.len()))
        .collect();
    let (mut narrow, mut wide) = (Vec::new(), Vec::new());
    for table in tables {
        narrow.extend(table.narrow);
        wide.extend(table.wide);
    }
    let table = Table::new(shape.n_bins(), &[], &[], narrow, wide);
    let order = (order, First::Rows);
    let table = shuffle::arrange(session, shape.hub.seat, table, order, stock).await?;
    let (narrow, wide) = table.into_ring_columns();
    let n_rows = shape.hub.n_rows;
    let mut narrow = narrow.into_iter().map(|column| first(column, n_rows));
    let mut wide = wide.into_iter().map(|column| first(column, n_rows));
    let columns = |(n_narrow, n_wide): (usize, usize)| Columns {
        narrow: narrow.by_ref().take(n_narrow).collect(),
        wide: wide.by_ref().take(n_wide).collect(),
    };
    Ok(widths.into_iter().map(columns).collect())
}

fn first<R: Ring>(mut column: Share<R>, n_rows: usize) -> Share<R> {
    drop(column.split_off(n_rows));
    column
}

/// The bins of the hub's rows, and then the others.
fn order(shape: &Shape, places: &[u32]) -> SecretPermutation {
    let mut is_taken = vec![false; shape.n_bins()];
    places.iter().for_each(|bin| is_taken[*bin as usize] = true);
    let empty = (0u32..).zip(&is_taken).filter(|(_, taken)| !**taken);
    let order = places.iter().copied().chain(empty.map(|(bin, _)| bin));
    SecretPermutation::new(order.collect())
}

/// The declared price of [`compact`].
pub fn compact_price(seats: Seats, shape: &Shape) -> Price {
    let sides = || [&shape.hub].into_iter().chain(&shape.spokes);
    let table = TableShape {
        n_rows: shape.n_bins(),
        key_bits: 0,
        extra_bits: 0,
        ring64: sides().map(|side| side.narrow).sum(),
        ring128: sides().map(|side| side.wide).sum(),
    };
    shuffle::arrange_price(table, seats, shape.hub.seat)
}
