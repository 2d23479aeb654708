//! The same of rows whose values are shares as well: they are sorted first.

use super::{WeightedShape, found_in, found_price};
use crate::arith::convert;
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::sort;
use crate::table::Table;
use engine::share::Share;

/// Rows in any order, of nobody.
pub struct SharedRows {
    /// A number for each row, of the bits that the shape declares wherever the row counts.
    pub values: Share<u64>,
    /// For each group of others, how often each row counts.
    pub weights: Vec<Share<u64>>,
}

/// Finds values at ranks of rows whose values nobody knows.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `rows`; `shape`: one group, and one number of rows; `counts`: for each group of others, a share of how many
///   rows there are; takes [`shared_price`]
/// # Output    as of [`quantiles`](super::quantiles)
/// # Cost      at most [`shared_price`]: the bits of all values, a sort, and the search of [`quantiles`](super::quantiles)
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. What is opened is the order of shuffled
///   rows, see [`sort`]
/// # Errors    [`ProtocolError::InvalidInput`] before anything is sent; those of [`sort::sort`]
/// # Source    as [`quantiles`](super::quantiles); the bits of shares: [`convert::a2b`]
pub async fn quantiles_of_shares(
    session: &mut Session,
    rows: SharedRows,
    counts: &[Share<u64>],
    shape: &WeightedShape,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    let outcome = try_quantiles(session, rows, counts, shape, stock).await;
    session.ended_by(outcome)
}

async fn try_quantiles(
    session: &mut Session,
    rows: SharedRows,
    counts: &[Share<u64>],
    shape: &WeightedShape,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    shape.check()?;
    let n_rows = shape.n_rows();
    let fit = (shape.rows.len(), shape.groups) == (1, 1)
        && rows.values.len() == n_rows
        && rows.weights.len() == shape.others
        && rows.weights.iter().all(|w| w.len() == n_rows)
        && counts.len() == shape.others
        && counts.iter().all(|c| c.len() == 1);
    if !fit {
        return Err(ProtocolError::InvalidInput {
            what: "rows of shares are of one group, with a value each and a number for each group of others",
        });
    }
    stock.check(&shared_price(shape, Seats::of(session)).needs)?;
    let bits = convert::a2b(session, &rows.values, shape.bits, shape.method, stock).await?;
    let mut columns = rows.weights;
    columns.push(rows.values);
    let table = Table::new(n_rows, &bits, &[], columns, vec![]);
    let sorted = sort::sort(session, table, stock).await?;
    found_in(session, sorted, counts, shape, stock).await
}

/// The declared price of [`quantiles_of_shares`].
pub fn shared_price(shape: &WeightedShape, seats: Seats) -> Price {
    let n_rows = shape.n_rows();
    convert::a2b_price::<u64>(seats, n_rows, shape.bits, shape.method)
        .then(&sort::price(shape.table(n_rows), seats))
        .then(&found_price(shape, seats))
}
