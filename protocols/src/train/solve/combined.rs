//! Errors of a public combination of unknowns, and errors that hold whatever the residuals are distributed like.

use super::{
    Factors, INVERSE_BITS, System, WORKING_BITS, outer, outer_price, outer_shape, shift_of_matrix,
    transposed, variance_format,
};
use crate::arith::matmul::matmul;
use crate::arith::{matmul as products, mul};
use crate::correlate::{MatrixShape, Stock};
use crate::error::ProtocolError;
use crate::function::fixed::{mul_shift, mul_shift_price, shift, shift_price};
use crate::function::{self, Format};
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring;
use engine::share::Share;

/// Fractional bits of the weights of a combination, each between −1 and 1.
pub const WEIGHT_BITS: u32 = 60;

/// Fractional bits inside a sandwich, and of its roots: with the squares of the greatest residuals they fit the ring.
pub const SANDWICH_BITS: u32 = 40;

/// log2 of the greatest squared residual, in the units of the meat.
pub const MOST_SQUARE_BITS: u32 = 24;

/// √(k'·A⁻¹·k) for public weights k: the standard error of a combination of unknowns, but for a factor that is the same
/// for all.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `weights`: d numbers of at most 1 with [`WEIGHT_BITS`], the same at all seats; takes
///   [`combined_error_price`]
/// # Output    one share, with 50 fractional bits. The relative error is some 2^−40 where variance inflations
///   are below 100 and the greatest weight is near 1
/// # Cost      [`combined_error_price`]: about 60 rounds
/// # Security  semi-honest, all but one seat may be corrupt; reveals nothing but the system's shape
/// # Errors    [`ProtocolError::InvalidInput`] for other numbers of weights, [`ProtocolError::OutOfCorrelations`] before
///   anything is sent, [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    k'·A⁻¹·k = Σ_j (M·H·k)_j²/D_j
pub async fn combined_error(
    session: &mut Session,
    factors: &Factors,
    weights: &[i128],
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let system = &factors.system;
    session.ended_by(check(system, weights))?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&combined_error_price(seats, system).needs))?;
    let d = system.n_unknowns;
    let w = WORKING_BITS.cast_signed();
    let scaled = scaled(session, factors, weights, stock).await?;
    let side = outer(session, (&factors.lower, &scaled), column_shape(d), stock).await?;
    let weighted = mul_shift(session, &side, &factors.inverse_pivots, w, stock).await?;
    let sum = products::dot(session, &side, &weighted, stock).await?;
    let variance = shift(session, sum, w, stock).await?;
    function::sqrt(session, &variance, variance_format(system), stock).await
}

/// The declared price of [`combined_error`].
pub fn combined_error_price(seats: Seats, system: &System) -> Price {
    let d = system.n_unknowns;
    let w = WORKING_BITS.cast_signed();
    scaled_price(seats, system)
        .then(&outer_price(seats, column_shape(d)))
        .then(&mul_shift_price::<u128>(seats, d, w))
        .then(&products::price::<u128>(seats, products::dot_shape(d)))
        .then(&shift_price::<u128>(seats, 1, w))
        .then(&function::sqrt_price::<u128>(
            seats,
            1,
            variance_format(system),
        ))
}

/// Roots of the diagonal of A⁻¹·B·A⁻¹, and that of k'·A⁻¹·B·A⁻¹·k: with the squares of residuals between the columns
/// as B they are White's errors, but for a factor that is the same for all.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `meat`: d×d shares of B = Σ r²·x·x' in the scale of the matrix that was factored, Σ x·x', both halves, of
///   which every r² is at most 2^[`MOST_SQUARE_BITS`]; `weights`: as of [`combined_error`]; takes
///   [`sandwich_errors_price`]
/// # Output    d shares of the roots with the system's `result_bits`, and one of that of the combination with
///   [`SANDWICH_BITS`]. The relative error is some 2^−33 where variance inflations are below 100
/// # Cost      [`sandwich_errors_price`]: about 60 rounds, 3·d³ products
/// # Security  as [`combined_error`]
/// # Errors    as [`combined_error`]
/// # Source    White, Econometrica 1980; ranges: p'·B·p ≤ max r²·p'·A·p, and p'·A·p is an element of the inverse
pub async fn sandwich_errors(
    session: &mut Session,
    factors: &Factors,
    (meat, weights): (&Share<u128>, &[i128]),
    stock: &mut Stock,
) -> Result<[Share<u128>; 2], ProtocolError> {
    let system = &factors.system;
    let d = system.n_unknowns;
    session.ended_by(check(system, weights))?;
    if meat.len() != d * d {
        let what = "a sandwich has a square matrix between its slices";
        return session.ended_by(Err(ProtocolError::InvalidInput { what }));
    }
    let seats = Seats::of(session);
    session.ended_by(stock.check(&sandwich_errors_price(seats, system).needs))?;
    let slices = slices(session, factors, weights, stock).await?;
    let both = outer_shape(d, d);
    let both = matmul(session, &factors.scales, &factors.scales, both, stock).await?;
    let meat = mul_shift(session, meat, &both, shift_of_meat(system), stock).await?;
    let products = matmul(session, &slices, &meat, rows_shape(d), stock).await?;
    let products = shift(session, products, SANDWICH_BITS.cast_signed(), stock).await?;
    let terms = mul::mul(session, &slices, &products, stock).await?;
    let rows = terms.as_slice().chunks_exact(d);
    let variances = Share::new(rows.map(ring::sum).collect());
    let variances = shift(session, variances, SANDWICH_BITS.cast_signed(), stock).await?;
    let mut roots = function::sqrt(session, &variances, sandwich_format(system), stock).await?;
    let combined = roots.split_off(d);
    let n_bits = shift_of_roots(system);
    let own = mul_shift(session, &factors.scales, &roots, n_bits, stock).await?;
    Ok([own, combined])
}

/// The declared price of [`sandwich_errors`].
pub fn sandwich_errors_price(seats: Seats, system: &System) -> Price {
    let d = system.n_unknowns;
    let cut = SANDWICH_BITS.cast_signed();
    slices_price(seats, system)
        .then(&products::price::<u128>(seats, outer_shape(d, d)))
        .then(&mul_shift_price::<u128>(
            seats,
            d * d,
            shift_of_meat(system),
        ))
        .then(&products::price::<u128>(seats, rows_shape(d)))
        .then(&shift_price::<u128>(seats, (d + 1) * d, cut))
        .then(&mul::price::<u128>(seats, (d + 1) * d))
        .then(&shift_price::<u128>(seats, d + 1, cut))
        .then(&function::sqrt_price::<u128>(
            seats,
            d + 1,
            sandwich_format(system),
        ))
        .then(&mul_shift_price::<u128>(seats, d, shift_of_roots(system)))
}

fn check(system: &System, weights: &[i128]) -> Result<(), ProtocolError> {
    let fits = |weight: &i128| weight.unsigned_abs() <= 1 << WEIGHT_BITS;
    match weights.len() == system.n_unknowns && weights.iter().all(fits) {
        true => Ok(()),
        false => Err(ProtocolError::InvalidInput {
            what: "a combination has a weight of at most 1 for each unknown",
        }),
    }
}

fn column_shape(d: usize) -> MatrixShape {
    MatrixShape { m: d, k: d, n: 1 }
}

/// A row more than there are unknowns, times a square matrix.
fn rows_shape(d: usize) -> MatrixShape {
    MatrixShape {
        m: d + 1,
        k: d,
        n: d,
    }
}

/// H·k with w fractional bits.
async fn scaled(
    session: &mut Session,
    factors: &Factors,
    weights: &[i128],
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let scales = factors.scales.as_slice().iter().zip(weights);
    let scaled = scales.map(|(h, k)| h.wrapping_mul(k.cast_unsigned()));
    let n_bits = shift_of_weights(&factors.system);
    shift(session, Share::new(scaled.collect()), n_bits, stock).await
}

fn scaled_price(seats: Seats, system: &System) -> Price {
    shift_price::<u128>(seats, system.n_unknowns, shift_of_weights(system))
}

fn shift_of_weights(system: &System) -> i32 {
    WEIGHT_BITS.cast_signed() + system.half_excess() - WORKING_BITS.cast_signed()
}

/// A'⁻¹ and below it k'·H·A'⁻¹, with [`SANDWICH_BITS`].
async fn slices(
    session: &mut Session,
    factors: &Factors,
    weights: &[i128],
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let d = factors.system.n_unknowns;
    let w = WORKING_BITS.cast_signed();
    let pivots = factors.inverse_pivots.as_slice();
    let of_rows = pivots.iter().flat_map(|p| std::iter::repeat_n(*p, d));
    let of_rows = Share::new(of_rows.collect());
    let weighted = mul_shift(session, &factors.lower, &of_rows, w, stock).await?;
    let upper = transposed(&factors.lower, d);
    let mut inverse = outer(session, (&upper, &weighted), square_shape(d), stock).await?;
    let scaled = scaled(session, factors, weights, stock).await?;
    let row = MatrixShape { m: 1, k: d, n: d };
    let combined = outer(session, (&scaled, &inverse), row, stock).await?;
    inverse.append(combined);
    let n_bits = w - SANDWICH_BITS.cast_signed();
    shift(session, inverse, n_bits, stock).await
}

fn slices_price(seats: Seats, system: &System) -> Price {
    let d = system.n_unknowns;
    let w = WORKING_BITS.cast_signed();
    mul_shift_price::<u128>(seats, d * d, w)
        .then(&outer_price(seats, square_shape(d)))
        .then(&scaled_price(seats, system))
        .then(&outer_price(seats, MatrixShape { m: 1, k: d, n: d }))
        .then(&shift_price::<u128>(
            seats,
            (d + 1) * d,
            w - SANDWICH_BITS.cast_signed(),
        ))
}

fn square_shape(d: usize) -> MatrixShape {
    MatrixShape { m: d, k: d, n: d }
}

fn shift_of_meat(system: &System) -> i32 {
    shift_of_matrix(system) + (WORKING_BITS - SANDWICH_BITS).cast_signed()
}

fn shift_of_roots(system: &System) -> i32 {
    SANDWICH_BITS.cast_signed() - system.result_bits.cast_signed() + system.half_excess()
}

fn sandwich_format(system: &System) -> Format {
    Format {
        frac_bits: SANDWICH_BITS,
        bound_bits: SANDWICH_BITS + INVERSE_BITS + MOST_SQUARE_BITS,
        method: system.method,
    }
}
