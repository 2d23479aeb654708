//! How many keys of a join have a row that counts, where terms over several relations say which rows do.

use super::Inputs;
use super::bins;
use super::shape::Shape;
use crate::arith::compare::{self, MAX_BOUND_BITS, Method};
use crate::arith::convert;
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring;
use engine::share::Share;

/// The public shape of [`met`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetShape {
    /// The join. Each output over Z_2^64 is a number of rows for each key and each combination of cells.
    pub join: Shape,
    /// Each of these numbers is below 2 to this power; 1 to 63.
    pub rows_bits: u32,
    /// How they are compared with 0: by what the source makes cheaply.
    pub method: Method,
}

/// Counts the keys of the hub for which outputs of a join are more than 0. Nothing is opened but masked values.
///
/// # Seats     symmetric; the holders that the shape names, and any others, which hold shares
/// # Inputs    `inputs` as for [`bins`](bins::bins), of which no number may be negative; takes [`price`]
/// # Output    for each output of the join shares of one number for each combination of the relations' cells, the latter running
///   fastest: of how many keys the output is more than 0
/// # Cost      [`price`]: that of [`bins`](bins::bins), a comparison of each number of it, and 1 round for bits that become
///   numbers
/// # Security  semi-honest; all seats but one may be corrupt. Reveals the shape, and nothing else. Computational: as
///   [`bins`](bins::bins)
/// # Errors    [`ProtocolError::InvalidInput`] and [`ProtocolError::OutOfCorrelations`] before anything is sent; otherwise as
///   [`bins`](bins::bins)
/// # Source    [`bins`](bins::bins), then [`compare`], and daBits as in [`convert`]
pub async fn met(
    session: &mut Session,
    shape: &MetShape,
    inputs: Option<Inputs>,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    let outcome = try_met(session, shape, inputs, stock).await;
    session.ended_by(outcome)
}

async fn try_met(
    session: &mut Session,
    shape: &MetShape,
    inputs: Option<Inputs>,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    if !(1..=MAX_BOUND_BITS).contains(&shape.rows_bits) {
        return Err(ProtocolError::InvalidInput {
            what: "numbers of a key's rows are below 2 to the power of 1 to 63",
        });
    }
    stock.check(&price(Seats::of(session), shape).needs)?;
    let numbers = bins::bins(session, &shape.join, inputs, stock).await?;
    let n_bins = numbers.first().map_or(0, Share::len);
    let negative = numbers.iter().flat_map(|n| n.as_slice());
    let negative = Share::new(negative.map(|n| n.wrapping_neg()).collect());
    drop(numbers);
    let (bits, method) = (shape.rows_bits, shape.method);
    let any = compare::less_than_zero(session, &negative, bits, method, stock).await?;
    let any = convert::planes_to_arith::<u64>(session, &[&any], stock).await?;
    let any = any.first().map_or(&[][..], Share::as_slice);
    let of_cells = any.chunks(n_bins.max(1)).map(ring::sum);
    let of_cells: Vec<u64> = of_cells.collect();
    let outputs = of_cells.chunks(shape.join.n_cells());
    Ok(outputs.map(|cells| Share::new(cells.to_vec())).collect())
}

/// What [`met`] takes and sends.
///
/// # Panics    as [`bins::price`]
pub fn price(seats: Seats, shape: &MetShape) -> Price {
    let n_outputs = shape.join.narrow.len() * shape.join.n_cells();
    let n_numbers = n_outputs * bins::n_bins(&shape.join);
    let (bits, method) = (shape.rows_bits, shape.method);
    bins::price(seats, &shape.join)
        .then(&compare::less_than_zero_price::<u64>(
            seats, n_numbers, bits, method,
        ))
        .then(&convert::planes_price::<u64>(seats, n_numbers, 1))
}
