//! Numbers of bins as one bit of many.

use super::Shape;
use crate::arith::compare::Method;
use crate::arith::convert;
use crate::boolean::{self, xor};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// Turns numbers below B into B bits each, of which the one of that number is 1.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `bins`: n shares of numbers below `n_bins`, which is B, 2 to 64; takes [`hot_price`]
/// # Output    B vectors of n shares of 0 and 1
/// # Cost      [`hot_price`]: the rounds of [`convert::a2b`] of ⌈log2 B⌉ bits, one fewer than these bits, and 1; B bits
///   for each number and seat, and 2·B for its ANDs
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and B. Of a number that is no less than B, no
///   bit is 1, or one that is not its own
/// # Errors    those of [`convert::a2b`]
/// # Source    folklore: each bit of the number doubles the vectors
pub async fn hot(
    session: &mut Session,
    bins: &Share<u64>,
    n_bins: usize,
    method: Method,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    let n_bits = n_bits(n_bins);
    let seats = Seats::of(session);
    let price = hot_price(seats, bins.len(), n_bins, method);
    session.ended_by(stock.check(&price.needs))?;
    let bits = convert::a2b(session, bins, n_bits, method, stock).await?;
    let mut vectors = vec![BitShare::zero(bins.len())];
    vectors[0].not(session.seat().index());
    for (at, bit) in bits.iter().enumerate() {
        let with = match at {
            0 => vec![xor(bit, &BitShare::zero(bins.len()))],
            _ => boolean::keep(session, bit, &vectors, stock).await?,
        };
        for (without, with) in vectors.iter_mut().zip(&with) {
            without.xor_assign(with);
        }
        vectors.extend(with);
    }
    let vectors: Vec<&BitShare> = vectors.iter().take(n_bins).collect();
    convert::planes_to_arith(session, &vectors, stock).await
}

/// Puts one feature's vectors into the matrix of all features' bits, as [`Rows`](super::Rows) has it.
///
/// # Panics
///
/// If the matrix is not the shape's.
pub fn place(cells: &mut Share<u64>, feature: usize, vectors: &[Share<u64>], shape: &Shape) {
    let n_bins = shape.n_bins;
    let rows = cells.as_mut_slice();
    assert_eq!(rows.len(), shape.n_rows * shape.n_cells(), "a cell a bin");
    for (row, out) in rows.chunks_exact_mut(shape.n_cells()).enumerate() {
        let out = &mut out[feature * n_bins..][..n_bins];
        for (out, vector) in out.iter_mut().zip(vectors) {
            *out = vector.as_slice()[row];
        }
    }
}

/// The declared price of [`hot`] of n numbers.
pub fn hot_price(seats: Seats, n_items: usize, n_bins: usize, method: Method) -> Price {
    let n_bits = n_bits(n_bins);
    let doubled = (1..n_bits).map(|bit| boolean::keep_price(seats, n_items, 1 << bit));
    convert::a2b_price::<u64>(seats, n_items, n_bits, method)
        .then(&Price::sequence(seats, doubled))
        .then(&convert::planes_price::<u64>(seats, n_items, n_bins))
}

/// Bits of a number below B.
fn n_bits(n_bins: usize) -> usize {
    n_bins.max(2).next_power_of_two().trailing_zeros() as usize
}
