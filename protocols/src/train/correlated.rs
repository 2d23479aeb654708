//! Which pairs of columns go together more than a limit says, without their correlations.
//!
//! Of columns with mean 0 and mean square 1 over n rows the sum of products is n times their correlation. What each
//! holder adds up over its own rows is a share of it; it is compared with n times the limit and its negative.

use crate::arith::compare::{self, Method};
use crate::arith::{convert, copy};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;

/// Fractional bits of sums of products.
pub const SUM_BITS: u32 = 32;

/// Rows are fewer than 2^this.
pub const MAX_LOG_ROWS: u32 = 28;

/// The public shape of [`beyond`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Pairs of columns.
    pub n_pairs: usize,
    /// There are fewer than 2^this rows, at most [`MAX_LOG_ROWS`].
    pub log_rows: u32,
    /// The method of comparisons.
    pub method: Method,
}

impl Shape {
    /// Bits of a sum and a limit together.
    fn bits(&self) -> u32 {
        SUM_BITS + self.log_rows + 1
    }

    fn check(&self, n_sums: usize, limit: f64) -> Result<(), ProtocolError> {
        let fits = n_sums == self.n_pairs
            && (1..=MAX_LOG_ROWS).contains(&self.log_rows)
            && (0.0..2f64.powi(self.log_rows.cast_signed())).contains(&limit);
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "each pair of columns has a sum over fewer than 2^28 rows, and a limit below their number",
            }),
        }
    }
}

/// Compares the sizes of sums with a limit.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `sums`: of each pair of columns the sum of products, with [`SUM_BITS`], of a size up to the number of rows;
///   `limit`: public, the same at all seats; takes [`price`]
/// # Output    of each pair a share of 1 if its sum is greater than the limit, or less than its negative; of 0 if not
/// # Cost      [`price`]: two comparisons a pair, all at once
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape and the limit
/// # Errors    [`ProtocolError::InvalidInput`] if shape, sums and limit do not fit, and those of
///   [`compare::less_than_zero`]
/// # Source    Pearson's correlation by its definition; comparisons: CRYPTO §3.3
pub async fn beyond(
    session: &mut Session,
    sums: &Share<u64>,
    limit: f64,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    session.ended_by(shape.check(sums.len(), limit))?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&price(seats, shape).needs))?;
    let me = session.seat().index();
    let limit = (limit * 2f64.powi(SUM_BITS.cast_signed())).round() as u64;
    // limit − sum, and limit + sum: at most one of them is below 0.
    let mut margins = copy(sums);
    margins.negate();
    margins.append(copy(sums));
    margins.add_public(me, &vec![limit; margins.len()]);
    let mut is_beyond =
        compare::less_than_zero(session, &margins, shape.bits(), shape.method, stock).await?;
    let n = shape.n_pairs;
    let below = is_beyond.picked(n..2 * n);
    is_beyond = is_beyond.picked(0..n);
    is_beyond.xor_assign(&below);
    convert::bit_to_arith::<u64>(session, &is_beyond, stock).await
}

/// The declared price of [`beyond`].
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let n = shape.n_pairs;
    compare::less_than_zero_price::<u64>(seats, 2 * n, shape.bits(), shape.method)
        .then(&convert::planes_price::<u64>(seats, n, 1))
}
