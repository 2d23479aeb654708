//! Columns less their means, and their standard deviations, over the rows that count.

use super::glm::{COLUMN_BITS, RESULT_BITS, Rows, Shape};
use crate::arith::matmul::{self as products, matmul};
use crate::arith::{convert, mul};
use crate::correlate::{MatrixShape, Stock};
use crate::error::ProtocolError;
use crate::function::fixed::{mul_shift, mul_shift_price};
use crate::function::{self, Format};
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring;
use engine::share::Share;

/// Bits of a mean before its fraction; and of the number of rows.
const COUNT_BITS: u32 = 20;

/// Fractional bits of variances and of standard deviations.
pub(super) const SQUARE_BITS: u32 = 2 * COLUMN_BITS;

/// Takes the means of columns over the rows that count away from all rows that exist.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `rows`: of this shape; the first column, of ones, stays; `members`: n shares of 1 for rows
///   that exist; takes [`standardise_price`]
/// # Output    d shares of standard deviations with 36 fractional bits, of the first column 1; divided by the
///   number of rows, not by one less. Means are good to 2^−15 in the columns' units, deviations to 10⁻⁴ of
///   themselves down to 2^−7
/// # Cost      [`standardise_price`]: about 110 rounds
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. Nothing is opened
/// # Errors    [`ProtocolError::InvalidInput`] if members and rows do not fit,
///   [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    own: sums of the columns and of their squares, divided on shares
pub async fn standardise(
    session: &mut Session,
    rows: &mut Rows,
    members: &Share<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    session.ended_by(shape.check())?;
    let (n, d) = (shape.n_rows, shape.n_columns);
    if members.len() != n || rows.used.len() != n || rows.columns.len() != n * d {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "every row of a model either exists or does not",
        }));
    }
    let seats = Seats::of(session);
    session.ended_by(stock.check(&standardise_price(seats, shape).needs))?;
    let sums = matmul(session, &rows.used, &rows.columns, sums_shape(shape), stock).await?;
    let sums = convert::widen(session, &sums, shape.method, stock).await?;
    let count = sums.as_slice()[0];
    let counts = Share::new(vec![count; d]);
    let means = function::divide(session, &sums, &counts, mean_format(shape), stock).await?;
    let mut means: Vec<u64> = means.as_slice().iter().map(|mean| *mean as u64).collect();
    means[0] = 0;
    let means = Share::new(means);
    let away = matmul(session, members, &means, away_shape(shape), stock).await?;
    rows.columns.sub_assign(&away);
    let used = rows.used.as_slice().iter();
    let used = Share::new(used.flat_map(|u| std::iter::repeat_n(*u, d)).collect());
    let kept = mul::mul(session, &used, &rows.columns, stock).await?;
    let squares = mul::mul(session, &kept, &rows.columns, stock).await?;
    let mut sums = Share::zero(d);
    for row in squares.as_slice().chunks_exact(d) {
        ring::add_assign(sums.as_mut_slice(), row);
    }
    let sums = convert::widen(session, &sums, shape.method, stock).await?;
    let counts = Share::new(vec![count << COLUMN_BITS; d]);
    let format = square_format(shape);
    let variances = function::divide(session, &sums, &counts, format, stock).await?;
    function::sqrt(session, &variances, format, stock).await
}

/// The declared price of [`standardise`].
pub fn standardise_price(seats: Seats, shape: &Shape) -> Price {
    let d = shape.n_columns;
    let cells = mul::price::<u64>(seats, shape.n_rows * d);
    let widened = convert::widen_price(seats, d, shape.method);
    let (means, squares) = (mean_format(shape), square_format(shape));
    products::price::<u64>(seats, sums_shape(shape))
        .then(&widened)
        .then(&function::divide_price::<u128>(seats, d, means))
        .then(&products::price::<u64>(seats, away_shape(shape)))
        .then(&cells)
        .then(&cells)
        .then(&widened)
        .then(&function::divide_price::<u128>(seats, d, squares))
        .then(&function::sqrt_price::<u128>(seats, d, squares))
}

fn sums_shape(shape: &Shape) -> MatrixShape {
    MatrixShape {
        m: 1,
        k: shape.n_rows,
        n: shape.n_columns,
    }
}

fn away_shape(shape: &Shape) -> MatrixShape {
    MatrixShape {
        m: shape.n_rows,
        k: 1,
        n: shape.n_columns,
    }
}

fn mean_format(shape: &Shape) -> Format {
    Format {
        frac_bits: COLUMN_BITS,
        bound_bits: COLUMN_BITS + COUNT_BITS,
        method: shape.method,
    }
}

fn square_format(shape: &Shape) -> Format {
    Format {
        frac_bits: SQUARE_BITS,
        bound_bits: SQUARE_BITS + COUNT_BITS,
        method: shape.method,
    }
}

/// Numbers of a model in units of the columns' standard deviations.
///
/// # Inputs    `values`: d shares; `deviations`: of [`standardise`]; takes [`in_deviations_price`]
/// # Output    d shares at the scale of the values
///
/// Everything else is that of a product.
pub async fn in_deviations(
    session: &mut Session,
    values: &Share<u128>,
    deviations: &Share<u128>,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    mul_shift(session, values, deviations, DEVIATION_SHIFT, stock).await
}

/// The declared price of [`in_deviations`] of d numbers.
pub fn in_deviations_price(seats: Seats, n_columns: usize) -> Price {
    mul_shift_price::<u128>(seats, n_columns, DEVIATION_SHIFT)
}

const DEVIATION_SHIFT: i32 = SQUARE_BITS.cast_signed();

const _: () = assert!(
    RESULT_BITS + SQUARE_BITS + 2 * COUNT_BITS < 126,
    "coefficients in other units fit the ring"
);
