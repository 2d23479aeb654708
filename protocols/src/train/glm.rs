//! Generalised linear models of shared rows, by Newton's method (iteratively reweighted least squares).
//!
//! ```text
//! η = X·β (+ offset)       one product of matrices
//! μ and weights w          functions of η on shares; rows that do not count have weight and residual 0
//! g = X'·r, H = X'·W·X     over Z_2^64, at scales at which no sum leaves it; then d + d² numbers go to Z_2^128
//! β ← β + H⁻¹·g            [`solve`](super::solve)
//! ```
//!
//! The number of steps is public and fixed: whether a step was small would tell how far the data are from
//! the start. Nothing is opened; coefficients, standard errors, and what says whether they can be trusted
//! are shares, which [`release`] opens together.
//!
//! Columns have 18 fractional bits and a mean square of at most 1 over the rows of their own table, so that
//! by Cauchy and Schwarz every sum over any of these rows is below their number. β is read at 26 bits when
//! η is computed. Coefficients are therefore good to about 10⁻⁶ in units of 1/sd, and standard errors to 10⁻³
//! of themselves where 100 rows count, better for more.

mod descent;
mod family;
mod newton;
mod release;

pub use descent::{Descent, RATE_BITS, descend, descend_price};
pub use family::Family;
pub(super) use newton::{Newton, ended_price, step_price, symmetric, symmetric_price};
pub(super) use release::{Masked, low, masked};
pub use release::{Released, release, release_cost, release_price, release_terms};

use super::solve::{self, System};
use crate::arith::compare::Method;
use crate::arith::matmul::{self as products, matmul};
use crate::arith::{convert, copy, scale};
use crate::correlate::{MatrixShape, Stock};
use crate::error::ProtocolError;
use crate::function::fixed::{mul_shift, mul_shift_price, shift, shift_price};
use crate::price::{Price, Seats};
use crate::resume::Course;
use crate::session::Session;
use engine::ring;
use engine::share::Share;

/// Fractional bits of the columns.
pub const COLUMN_BITS: u32 = 18;

/// Fractional bits of coefficients as they come out, and inside between steps.
pub const RESULT_BITS: u32 = 40;

/// Fractional bits of coefficients when they meet the columns.
const BETA_BITS: u32 = 26;

/// log2 of the most rows that any table may have: sums then fit Z_2^64.
pub const MAX_LOG_ROWS: u32 = 19;

/// The public shape of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What the labels are, and how they depend on the columns.
    pub family: Family,
    /// n: number of rows that are given, those that do not count included.
    pub n_rows: usize,
    /// d: number of columns, that of ones included.
    pub n_columns: usize,
    /// No table that the rows were made from has more than 2^this rows; at most [`MAX_LOG_ROWS`].
    pub log_rows: u32,
    /// True if each row has an offset.
    pub has_offset: bool,
    /// True if coefficients have penalties.
    pub is_penalised: bool,
    /// Number of steps.
    pub n_steps: u32,
    /// How many of them, or of the epochs of descent, another session has taken, from whose end this one goes on.
    pub n_done: u32,
    /// The method of comparisons and conversions.
    pub method: Method,
}

/// Shares of rows. Everything is zero in a row that does not exist.
pub struct Rows {
    /// Columns, row by row, with [`COLUMN_BITS`]. The first column is 1. Rows that exist and do not count
    /// may have any values.
    pub columns: Share<u64>,
    /// 1 for rows that count.
    pub used: Share<u64>,
    /// Labels with [`Family::label_bits`]; zero for rows that do not count.
    pub labels: Share<u64>,
    /// Offsets with [`Family::label_bits`], if the shape has them.
    pub offsets: Option<Share<u64>>,
    /// λ_j of Σ λ_j/2·β_j², which is added to the negative log-likelihood, with [`Shape::penalty_bits`], each
    /// at most the number of rows of a table; if the shape has them. A column of zeros with a penalty has the
    /// coefficient 0.
    pub penalties: Option<Share<u128>>,
}

/// Shares of a fitted model.
pub struct Fitted {
    /// β, with [`RESULT_BITS`].
    pub coefficients: Share<u128>,
    /// √((X'WX)⁻¹)_jj, with [`Shape::error_bits`].
    pub errors: Share<u128>,
    /// g'·H⁻¹·g of the last step, with [`RESULT_BITS`]: twice what it lowered the deviance's half by.
    pub decrement: Share<u128>,
    /// Gradient and matrix of the first step, over Z_2^128 with their fractional bits over Z_2^64; of a linear model X'y and
    /// X'X. Not of descent.
    pub first: Option<[Share<u128>; 2]>,
    /// Σ r² of the last residuals, with [`Shape::square_bits`]; of a family with a dispersion.
    pub squares: Option<Share<u128>>,
    /// How many columns were sound in the first and in the last system, see [`sound`](solve::Factors::sound).
    pub sound: [Share<u128>; 2],
    /// How many rows counted.
    pub n_used: Share<u64>,
}

impl Shape {
    /// Checks that the shape is one.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        if self.n_columns == 0 || self.n_columns > solve::MAX_UNKNOWNS {
            return invalid("a model has 1 to 128 columns, that of ones included");
        }
        if self.log_rows == 0 || self.log_rows > MAX_LOG_ROWS {
            return invalid("a model is trained on tables of at most 2^19 rows");
        }
        if self.n_steps == 0 || self.n_steps > 100 {
            return invalid("a model takes 1 to 100 steps");
        }
        Ok(())
    }

    /// Fractional bits of the standard errors.
    pub fn error_bits(&self) -> u32 {
        RESULT_BITS + self.log_rows.div_ceil(2)
    }

    /// Fractional bits of the sum of squared residuals.
    pub fn square_bits(&self) -> u32 {
        2 * self.residual_bits()
    }

    /// Fractional bits of residuals that are squared and added up over Z_2^64.
    fn residual_bits(&self) -> u32 {
        self.family.label_bits().min((58 - self.log_rows) / 2)
    }

    /// Fractional bits of weights.
    pub(super) fn weight_bits(&self) -> u32 {
        let room = 62 - 2 * COLUMN_BITS - self.log_rows;
        room.saturating_sub(self.family.log_weight()).min(16)
    }

    /// Fractional bits of penalties: those of X'·W·X.
    pub fn penalty_bits(&self) -> u32 {
        let weights = if self.family.has_weights() {
            self.weight_bits()
        } else {
            0
        };
        2 * COLUMN_BITS + weights
    }

    /// How far the product of a penalty and a coefficient is shifted for the gradient.
    fn penalty_shift(&self) -> i32 {
        let gradient = COLUMN_BITS + self.family.label_bits();
        (self.penalty_bits() + RESULT_BITS).cast_signed() - gradient.cast_signed()
    }

    /// The system of a step, for the mean over 2^(2k) rows: that many bits more.
    fn system(&self) -> System {
        let mean = 2 * self.log_rows.div_ceil(2);
        System {
            n_unknowns: self.n_columns,
            frac_bits: self.penalty_bits() + mean,
            bound_bits: 63,
            side_bits: COLUMN_BITS + self.family.label_bits() + mean,
            result_bits: RESULT_BITS,
            method: self.method,
        }
    }

    fn n_cells(&self) -> usize {
        self.n_rows * self.n_columns
    }

    /// n×d times d.
    fn predictor(&self) -> MatrixShape {
        MatrixShape {
            m: self.n_rows,
            k: self.n_columns,
            n: 1,
        }
    }

    /// n times n×d.
    fn gradient(&self) -> MatrixShape {
        MatrixShape {
            m: 1,
            k: self.n_rows,
            n: self.n_columns,
        }
    }

    /// d×n times n×d.
    fn hessian(&self) -> MatrixShape {
        MatrixShape {
            m: self.n_columns,
            k: self.n_rows,
            n: self.n_columns,
        }
    }

    fn predictor_shift(&self) -> i32 {
        (COLUMN_BITS + BETA_BITS - self.family.label_bits()).cast_signed()
    }

    /// Whether β and η are 0 before a step, which then needs no function of them.
    fn is_level(&self, step: u32) -> bool {
        step == 0 && !self.family.has_log_link() && !self.has_offset
    }

    /// Whether a step needs a system of its own.
    fn is_factored(&self, step: u32) -> bool {
        step == self.n_done || self.family.has_weights()
    }
}

/// Fits a model.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `rows`: as the shape says; `course`: where it begins, which is where the shape says, and who keeps this seat's
///   share of where it stands: of the coefficients, and of how many columns were sound in the first system; takes [`fit_price`]
/// # Output    [`Fitted`]
/// # Cost      [`fit_price`]: about 40·d + 150 rounds a step (60 where the system is the same in all), and
///   16·n·d + 8·n·d bytes to each other seat for products, beside the functions of n numbers; the first step of a
///   linear or logistic model without offsets starts at η = 0 and has none of these
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. Nothing is opened
/// # Errors    [`ProtocolError::InvalidInput`] if shape and rows do not fit,
///   [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Nelder–Wedderburn, 1972; McCullagh–Nelder, 1989, §2.5; on shares: CRYPTO §4.2
pub async fn fit(
    session: &mut Session,
    rows: &Rows,
    shape: &Shape,
    course: &mut Course<'_>,
    stock: &mut Stock,
) -> Result<Fitted, ProtocolError> {
    session.ended_by(shape.check().and_then(|()| rows.check(shape)))?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&fit_price(seats, shape).needs))?;
    let steps = (shape.n_done, shape.n_steps);
    let begun = course.begun(session, steps, shape.n_columns + 1).await?;
    let newton = match begun {
        Some(standing) => Newton::going_on(&standing),
        None => Newton::from(family::start(session, rows, shape, stock).await?),
    };
    let mut run = Run {
        rows,
        shape,
        others: others(rows, shape),
        newton,
    };
    let mut residuals = Share::zero(0);
    for step in shape.n_done..shape.n_steps {
        session.reaches("step", step, shape.n_steps);
        residuals = run.step(session, step, stock).await?;
        let done = (step + 1, shape.n_steps);
        course.reached(done, || run.newton.standing()).await;
    }
    let n_used = Share::new(vec![ring::sum(rows.used.as_slice())]);
    let fitted = run.newton.ended(session, n_used, shape, stock).await?;
    Ok(Fitted {
        squares: match shape.family.has_dispersion() {
            true => Some(squares(session, &residuals, shape, stock).await?),
            false => None,
        },
        ..fitted
    })
}

/// The declared price of [`fit`].
pub fn fit_price(seats: Seats, shape: &Shape) -> Price {
    let steps = (shape.n_done..shape.n_steps).map(|step| run_price(seats, shape, step));
    let started = match shape.n_done {
        0 => family::start_price(seats, shape),
        _ => Price::nothing(seats),
    };
    let mut price = started
        .then(&Price::sequence(seats, steps))
        .then(&ended_price(seats, shape));
    if shape.family.has_dispersion() {
        price = price.then(&squares_price(seats, shape));
    }
    price
}

impl Rows {
    fn check(&self, shape: &Shape) -> Result<(), ProtocolError> {
        let n = shape.n_rows;
        let fits = self.columns.len() == shape.n_cells()
            && self.used.len() == n
            && self.labels.len() == n
            && self.offsets.as_ref().map(Share::len) == shape.has_offset.then_some(n)
            && self.penalties.as_ref().map(Share::len)
                == shape.is_penalised.then_some(shape.n_columns);
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "rows have the columns, labels, offsets and penalties that the shape says",
            }),
        }
    }
}

/// A model that is being fitted.
struct Run<'a> {
    rows: &'a Rows,
    shape: &'a Shape,
    /// The columns but the first, column by column.
    others: Vec<Share<u64>>,
    newton: Newton,
}

impl Run<'_> {
    /// One step, which gives the residuals before it.
    async fn step(
        &mut self,
        session: &mut Session,
        step: u32,
        stock: &mut Stock,
    ) -> Result<Share<u64>, ProtocolError> {
        let (rows, shape) = (self.rows, self.shape);
        let is_level = shape.is_level(step);
        let mean = match is_level {
            true => family::level_mean(rows, shape),
            false => {
                let eta = predictor(session, rows, shape, &self.newton.beta, stock).await?;
                family::mean(session, rows, eta, shape, stock).await?
            }
        };
        let (residuals, weights) = (mean.residuals, mean.weights);
        let row = &rows.columns;
        let gradient = matmul(session, &residuals, row, shape.gradient(), stock).await?;
        let mut gradient = convert::widen(session, &gradient, shape.method, stock).await?;
        if let Some(penalties) = rows.penalties.as_ref().filter(|_| !is_level) {
            let n_bits = shape.penalty_shift();
            let own = mul_shift(session, penalties, &self.newton.beta, n_bits, stock).await?;
            gradient.sub_assign(&own);
        }
        let matrix = match shape.is_factored(step) {
            true => Some(self.hessian(session, &weights, stock).await?),
            false => None,
        };
        let equations = (gradient, matrix);
        self.newton.step(session, equations, shape, stock).await?;
        Ok(residuals)
    }

    /// X'·W·X over Z_2^128, both halves.
    async fn hessian(
        &self,
        session: &mut Session,
        weights: &Share<u64>,
        stock: &mut Stock,
    ) -> Result<Share<u128>, ProtocolError> {
        let (shape, d) = (self.shape, self.shape.n_columns);
        let mut weighted = copy(weights);
        weighted.scale_public(1 << COLUMN_BITS);
        if !self.others.is_empty() {
            let others = scale::scale(session, weights, &self.others, stock).await?;
            others
                .into_iter()
                .for_each(|column| weighted.append(column));
        }
        let columns = &self.rows.columns;
        let all = matmul(session, &weighted, columns, shape.hessian(), stock).await?;
        let mut both = symmetric(session, &all, shape, stock).await?;
        if let Some(penalties) = &self.rows.penalties {
            let diagonal = both.as_mut_slice().iter_mut().step_by(d + 1);
            for (out, penalty) in diagonal.zip(penalties.as_slice()) {
                *out = out.wrapping_add(*penalty);
            }
        }
        Ok(both)
    }
}

fn run_price(seats: Seats, shape: &Shape, step: u32) -> Price {
    let d = shape.n_columns;
    let mut price = products::price::<u64>(seats, shape.gradient()).then(&convert::widen_price(
        seats,
        d,
        shape.method,
    ));
    if !shape.is_level(step) {
        price = predictor_price(seats, shape)
            .then(&family::mean_price(seats, shape))
            .then(&price);
        if shape.is_penalised {
            let n_bits = shape.penalty_shift();
            price = price.then(&mul_shift_price::<u128>(seats, d, n_bits));
        }
    }
    let is_factored = shape.is_factored(step);
    if is_factored {
        price = price
            .then(&scaled_price(seats, shape))
            .then(&products::price::<u64>(seats, shape.hessian()))
            .then(&symmetric_price(seats, shape));
    }
    price.then(&step_price(seats, shape, is_factored))
}

fn scaled_price(seats: Seats, shape: &Shape) -> Price {
    match shape.n_columns - 1 {
        0 => Price::nothing(seats),
        n_others => scale::price::<u64>(seats, shape.n_rows, n_others),
    }
}

/// X·β + offset of every row that exists, with [`Family::label_bits`].
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `rows`, `shape`: as of [`fit`]; `beta`: d shares with [`RESULT_BITS`], with
///   |X·β| below 2^17; takes [`predictor_price`]
/// # Output    n shares
/// # Cost      [`predictor_price`]: 3 rounds
/// # Security  as [`fit`]
/// # Errors    as [`fit`]
/// # Source    CRYPTO §4.2
pub async fn predictor(
    session: &mut Session,
    rows: &Rows,
    shape: &Shape,
    beta: &Share<u128>,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let short = shift(session, copy(beta), BETA_SHIFT, stock).await?;
    // Small numbers are the same modulo 2^64 as modulo 2^128.
    let short = Share::new(short.as_slice().iter().map(|b| *b as u64).collect());
    let eta = matmul(session, &rows.columns, &short, shape.predictor(), stock).await?;
    let mut eta = shift(session, eta, shape.predictor_shift(), stock).await?;
    if let Some(offsets) = &rows.offsets {
        eta.add_assign(offsets);
    }
    Ok(eta)
}

const BETA_SHIFT: i32 = (RESULT_BITS - BETA_BITS).cast_signed();

/// The declared price of [`predictor`].
pub fn predictor_price(seats: Seats, shape: &Shape) -> Price {
    shift_price::<u128>(seats, shape.n_columns, BETA_SHIFT)
        .then(&products::price::<u64>(seats, shape.predictor()))
        .then(&shift_price::<u64>(
            seats,
            shape.n_rows,
            shape.predictor_shift(),
        ))
}

/// Σ r², with [`Shape::square_bits`], of residuals or of labels.
pub(super) async fn squares(
    session: &mut Session,
    residuals: &Share<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let short = shift(session, copy(residuals), residual_shift(shape), stock).await?;
    let sum = products::dot(session, &short, &short, stock).await?;
    convert::widen(session, &sum, shape.method, stock).await
}

fn residual_shift(shape: &Shape) -> i32 {
    shape.family.label_bits().cast_signed() - shape.residual_bits().cast_signed()
}

/// The declared price of [`squares`].
pub(super) fn squares_price(seats: Seats, shape: &Shape) -> Price {
    shift_price::<u64>(seats, shape.n_rows, residual_shift(shape))
        .then(&products::price::<u64>(
            seats,
            products::dot_shape(shape.n_rows),
        ))
        .then(&convert::widen_price(seats, 1, shape.method))
}

/// The columns but the first, which is 1.
fn others(rows: &Rows, shape: &Shape) -> Vec<Share<u64>> {
    let all = transposed(&rows.columns, shape.n_rows, shape.n_columns);
    let columns = all.as_slice().chunks_exact(shape.n_rows.max(1)).skip(1);
    columns.map(|column| Share::new(column.to_vec())).collect()
}

pub(super) fn transposed(rows: &Share<u64>, n_rows: usize, n_columns: usize) -> Share<u64> {
    let values = rows.as_slice();
    let columns = (0..n_columns).flat_map(|j| (0..n_rows).map(move |i| values[i * n_columns + j]));
    Share::new(columns.collect())
}
