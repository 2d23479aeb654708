//! Steps of Newton's method for a model over the rows of several holders, each of which adds up its own rows in the clear.
//!
//! The coefficients of a step are opened, since every holder evaluates its rows at them. What rows add up to is not: gradient
//! and cross-products are sums of the holders' own numbers, so these are shares as they stand, and the system is solved on
//! them.
//!
//! ```text
//! is_worse    whether the objective has grown since the last step: one bit
//! factored    X'WX of all holders
//! step        (X'WX)⁻¹·g, which is opened
//! errors      √diag (X'WX)⁻¹ at the end, that of the constant in the result's own measure, and robust ones
//! ```
//!
//! Sums are told in the mean weight of a row at the start, times the number of rows, both of which are public: so the
//! diagonal of X'WX is 1 at first for columns with a mean square of 1. A step that is a little wrong does no harm, because
//! the next one starts from an exact gradient: the method ends where that is zero, whatever the inverse.

use crate::arith::compare::{self, Method};
use crate::arith::convert;
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::train::solve::{self, Factors, System};
use engine::share::Share;

pub use solve::{SANDWICH_BITS, WEIGHT_BITS};

/// Fractional bits of sums over rows.
pub const SUM_BITS: u32 = 64;

/// Diagonal elements are below 2^this.
pub const DIAGONAL_BITS: u32 = 24;

/// |g_j| ≤ 2^this·√(X'WX)_jj.
pub const GRADIENT_BITS: u32 = solve::SIDE_BITS;

/// The greatest squared residual of robust errors is 2^this.
pub const SQUARE_BITS: u32 = solve::MOST_SQUARE_BITS;

/// Fractional bits of steps and of errors.
pub const STEP_BITS: u32 = 50;

/// Fractional bits of what the objective has grown by.
pub const GROWTH_BITS: u32 = 60;

/// |growth| is below 2^this.
pub const MOST_GROWTH_BITS: u32 = 40;

/// The public shape of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// d: number of columns, that of ones included; at most [`solve::MAX_UNKNOWNS`].
    pub n_columns: usize,
    /// The method of comparisons.
    pub method: Method,
}

/// What is asked for at the end.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Weights of a combination of coefficients whose error is wanted too, each at most 1, with [`WEIGHT_BITS`].
    pub weights: &'a [i128],
    /// Σ r²·x·x' of all holders, the upper triangle row by row, for robust errors: in the measure of X'X, and every r² at
    /// most 2^[`SQUARE_BITS`].
    pub meat: Option<&'a Share<u128>>,
}

/// Shares of standard errors, but for a factor that is the same for all.
pub struct Errors {
    /// d errors and one of the combination, with [`STEP_BITS`].
    pub own: Share<u128>,
    /// d robust ones with [`STEP_BITS`].
    pub robust: Option<Share<u128>>,
    /// The robust one of the combination, with [`SANDWICH_BITS`].
    pub robust_combined: Option<Share<u128>>,
}

impl Shape {
    fn system(&self) -> System {
        System {
            n_unknowns: self.n_columns,
            frac_bits: SUM_BITS,
            bound_bits: SUM_BITS + DIAGONAL_BITS,
            side_bits: SUM_BITS,
            result_bits: STEP_BITS,
            method: self.method,
        }
    }

    /// A square matrix from its upper triangle, row by row.
    fn square(&self, triangle: &Share<u128>) -> Share<u128> {
        let d = self.n_columns;
        let place = |i: usize, j: usize| i * d - i * (i + 1) / 2 + j;
        let values = triangle.as_slice();
        let cells = (0..d * d).map(|at| (at / d, at % d));
        let cells = cells.map(|(i, j)| values.get(place(i.min(j), i.max(j))).copied());
        // A triangle of another size makes a matrix of another size, which is refused.
        Share::new(cells.flatten().collect())
    }
}

/// Whether what the objective has grown by is more than nothing.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `growth`: one share with [`GROWTH_BITS`], below 2^[`MOST_GROWTH_BITS`] either way; takes
///   [`is_worse_price`]
/// # Output    one share of 1 if it is above 0, otherwise of 0
/// # Cost      [`is_worse_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals nothing
/// # Errors    [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    as [`compare::less_than_zero`]
pub async fn is_worse(
    session: &mut Session,
    mut growth: Share<u128>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let seats = Seats::of(session);
    session.ended_by(stock.check(&is_worse_price(seats, shape).needs))?;
    growth.negate();
    let is_above = compare::less_than_zero(session, &growth, BITS, shape.method, stock).await?;
    let mut found = convert::planes_to_arith::<u128>(session, &[&is_above], stock).await?;
    Ok(found.pop().expect("a share for each plane"))
}

const BITS: u32 = GROWTH_BITS + MOST_GROWTH_BITS;

/// The declared price of [`is_worse`].
pub fn is_worse_price(seats: Seats, shape: &Shape) -> Price {
    compare::less_than_zero_price::<u128>(seats, 1, BITS, shape.method)
        .then(&convert::planes_price::<u128>(seats, 1, 1))
}

/// Factors cross-products.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `triangle`: shares of the upper triangle row by row, with [`SUM_BITS`], diagonal elements below
///   2^[`DIAGONAL_BITS`]; takes [`factored_price`]
/// # Output    as [`solve::factor`]: the number of sound columns has to be opened before anything else is
/// # Cost      [`factored_price`]: about 40 rounds a column
/// # Security  as [`solve::factor`]; reveals nothing
/// # Errors    as [`solve::factor`]
/// # Source    as [`solve::factor`]
pub async fn factored(
    session: &mut Session,
    triangle: &Share<u128>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Factors, ProtocolError> {
    solve::factor(session, &shape.square(triangle), &shape.system(), stock).await
}

/// The declared price of [`factored`].
pub fn factored_price(seats: Seats, shape: &Shape) -> Price {
    solve::factor_price(seats, &shape.system())
}

/// A step of Newton's method.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `gradient`: d shares with [`SUM_BITS`], |g_j| ≤ 2^[`GRADIENT_BITS`]·√(X'WX)_jj; takes [`step_price`]
/// # Output    d shares with [`STEP_BITS`]
/// # Cost      [`step_price`]: 20 rounds
/// # Security  as [`solve::solve`]; reveals nothing
/// # Errors    as [`solve::solve`]
/// # Source    Nelder–Wedderburn, 1972; as [`solve::solve`]
pub async fn step(
    session: &mut Session,
    factors: &Factors,
    gradient: &Share<u128>,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    solve::solve(session, factors, gradient, stock).await
}

/// The declared price of [`step`].
pub fn step_price(seats: Seats, shape: &Shape) -> Price {
    solve::solve_price(seats, &shape.system())
}

/// Standard errors.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    as [`Asked`] says; takes [`errors_price`]
/// # Output    [`Errors`]
/// # Cost      [`errors_price`]
/// # Security  as [`solve::standard_errors`]; reveals nothing
/// # Errors    as [`solve::standard_errors`]
/// # Source    as [`solve::standard_errors`] and [`solve::sandwich_errors`]
pub async fn errors(
    session: &mut Session,
    (factors, asked): (&Factors, Asked<'_>),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Errors, ProtocolError> {
    let mut own = solve::standard_errors(session, factors, stock).await?;
    own.append(solve::combined_error(session, factors, asked.weights, stock).await?);
    let (mut robust, mut robust_combined) = (None, None);
    if let Some(meat) = asked.meat {
        let meat = (&shape.square(meat), asked.weights);
        let [of_columns, combined] = solve::sandwich_errors(session, factors, meat, stock).await?;
        (robust, robust_combined) = (Some(of_columns), Some(combined));
    }
    Ok(Errors {
        own,
        robust,
        robust_combined,
    })
}

/// √VIF of columns: how much the error of each coefficient is greater than if its column went with no other.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `factors`: of the matrix of correlations of all holders' rows, with [`SUM_BITS`]; takes [`inflations_price`]
/// # Output    d shares of the roots of the diagonal of its inverse, with [`STEP_BITS`]
/// # Cost      [`inflations_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape
/// # Errors    as [`factored`]
/// # Source    VIF_j = 1/(1 − R²_j) = (R⁻¹)_jj: Belsley, Kuh, Welsch, Regression Diagnostics, 1980, §3.1
pub async fn inflations(
    session: &mut Session,
    factors: &Factors,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    solve::standard_errors(session, factors, stock).await
}

/// The declared price of [`inflations`].
pub fn inflations_price(seats: Seats, shape: &Shape) -> Price {
    solve::standard_errors_price(seats, &shape.system())
}

/// The declared price of [`errors`].
pub fn errors_price(seats: Seats, shape: &Shape, is_robust: bool) -> Price {
    let system = shape.system();
    let own = solve::standard_errors_price(seats, &system)
        .then(&solve::combined_error_price(seats, &system));
    match is_robust {
        true => own.then(&solve::sandwich_errors_price(seats, &system)),
        false => own,
    }
}
