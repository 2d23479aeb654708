//! Proportional hazards (Cox) over a join in which nobody sees who matched.
//!
//! ```text
//! join, standardise   as any model over a join, see [`vertical`]
//! order               rows by time on shares, the latest first; at one time events come last
//! w = e^η             running sums of w and of w·x over the rows are those over everybody at risk: S₀ and S₁
//! g = Σ D·(x − M)     M = S₁/S₀, for D events at a row
//! H = X'·V·X − M'·D·M with V = w·A, A the sum of D/S₀ over the rows from this one on
//! β ← β + H⁻¹·g       [`solve`](super::solve)
//! ```
//!
//! Events at one time share their risk set (Breslow) if they are counted at the last row of that time. Efron's sets,
//! from which the k-th of d events at a time takes k/d of all d away, are the running sums if each of these d
//! rows has the mean w and the mean w·x of them; A is then their mean, too.
//!
//! Columns of each holder: as [`vertical`] says, but what stands for the label, of rows that are fitted, is a whole
//! number: the place of the row's time among the times of its table, 1 for the latest, twice; and 1 more for an
//! event. Nothing is opened before the end, nor how many times there are or which rows share one.
//!
//! w has 20 fractional bits, 1/S₀ has 32. Cumulative hazards are at most 64 where they decide, as means of
//! [`Family::Poisson`] are.

mod order;

use super::evaluate::running;
use super::glm::{self, COLUMN_BITS, Family, Fitted, Newton, Released, low};
use super::{standard, vertical};
use crate::arith::matmul::{self as products, matmul};
use crate::arith::{convert, copy, mul};
use crate::correlate::{MatrixShape, Stock};
use crate::cost::Cost;
use crate::disclose::{self, Disclosure, Terms};
use crate::error::ProtocolError;
use crate::function::fixed::{mul_shift, mul_shift_price};
use crate::function::{self, Format};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::psi::circuit;
use crate::resume::Course;
use crate::session::Session;
use engine::ring;
use engine::share::Share;
use order::{Ordered, means_price, order, order_price, turned};

/// Fractional bits of 1/S₀, and of the log-likelihood.
pub const INVERSE_BITS: u32 = 32;
/// Fractional bits of w.
const WEIGHT_BITS: u32 = 20;
/// log2 of the greatest w, by the limit of [`function::exp`].
const LOG_WEIGHT: u32 = 16;

/// Figures: rows that are fitted, and the log-likelihood before the last step.
const N_FIGURES: usize = 2;

/// What is done where several events have the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// All of them have everybody at risk.
    Breslow,
    /// On the average half of the others are not at risk any more.
    Efron,
}

/// The public shape of a model of hazards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The join and the model. Its family is [`Family::Poisson`], which sets scales; nothing is evaluated and there is no
    /// penalty; `at_least` is the fewest events.
    pub of: vertical::Shape,
    /// What is done with ties.
    pub ties: Ties,
}

impl Shape {
    /// The model's, without a constant.
    #[must_use]
    pub fn model(&self) -> glm::Shape {
        glm::Shape {
            n_columns: self.of.features.len(),
            ..self.of.model()
        }
    }

    /// The terms of the disclosure that [`train`] takes.
    #[must_use]
    pub fn terms(&self, receivers: &[Seat]) -> Terms {
        let model = glm::release_terms(&self.model(), N_FIGURES, self.of.at_least, receivers);
        let fields = [&[self.ties as u8][..], &model.digest()[..]];
        Terms::new("entente/v1/terms/hazards", &fields, receivers)
    }

    fn check(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let of = &self.of;
        let fits = of.family == Family::Poisson
            && !of.evaluates
            && of.l2 == 0
            && !of.features.is_empty()
            // Times are those of rows that the order's table has.
            && (of.keep == circuit::Keep::All || of.label == 0);
        match fits {
            true => of.check(n_computing),
            false => Err(ProtocolError::InvalidInput {
                what: "a model of hazards has features, times in the hub's table where the join is a left one, and neither penalty nor evaluation",
            }),
        }
    }

    fn n_cells(&self) -> usize {
        self.model().n_rows * self.model().n_columns
    }

    /// S₀ and its inverse over Z_2^128.
    fn risk(&self) -> Format {
        Format {
            frac_bits: INVERSE_BITS,
            bound_bits: INVERSE_BITS + self.of.log_rows + LOG_WEIGHT + 1,
            method: self.of.method,
        }
    }

    /// d×n times n×d; with m = 1 a row times n×d.
    fn product(&self, m: usize) -> MatrixShape {
        MatrixShape {
            m,
            k: self.model().n_rows,
            n: self.model().n_columns,
        }
    }

    /// How far w·A is shifted for weights.
    fn weight_shift(&self) -> i32 {
        (WEIGHT_BITS + INVERSE_BITS).cast_signed() - self.model().weight_bits().cast_signed()
    }
}

/// Shift of w·x to the bits of w, and of S₁/S₀ to those of columns.
const MOMENT_SHIFT: i32 = COLUMN_BITS.cast_signed();
const RATIO_SHIFT: i32 = (WEIGHT_BITS + INVERSE_BITS - COLUMN_BITS).cast_signed();

/// Fits proportional hazards to the rows of a join, and reveals the model to the receivers.
///
/// # Seats     the holders of the tables; all other computing seats call it too
/// # Inputs    `rows`: at the holders, columns as the [module](self) says, with a mean square of at most 1 over the table;
///   elsewhere `None`; `course`: as of [`glm::fit`]; takes [`price`]; `disclosure`: of [`Shape::terms`]
/// # Output    at receivers [`Released`]: `n_used` is the number of events, of at least as many as the shape says, and
///   coefficients and standard errors are in units of the columns' standard deviations over the rows that are
///   fitted; `figures` are the number of these rows, and the log-likelihood before the last step with
///   [`INVERSE_BITS`]
/// # Cost      [`price`] and [`release_cost`]: the order takes N + 3 rounds a bit of a place; a step about 40·d + 250
///   rounds, with [`Ties::Efron`] 2·log₂ n more
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. Receivers learn what
///   [`glm::release`] says and the figures; nobody learns who matched, times, or an order
/// # Errors    those of [`circuit::join`], [`sort`](crate::sort::sort()) and [`glm::release`]
/// # Source    Cox, 1972; Breslow, 1974; Efron, 1977; on shares own, after CRYPTO §4.2 and §4.4
pub async fn train(
    session: &mut Session,
    rows: Option<circuit::Rows>,
    shape: &Shape,
    course: &mut Course<'_>,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Released>, ProtocolError> {
    session.ended_by(shape.check(session.n_computing()))?;
    let terms = shape.terms(disclosure.receivers());
    let seats = Seats::of(session);
    let needs = price(seats, shape).needs;
    disclose::admit(session, (&disclosure, &terms), (stock, &needs))?;
    let of = &shape.of;
    let joined = circuit::join(session, &of.join(), rows, stock).await?;
    let tables = circuit::compact(session, joined, &of.join(), stock).await?;
    let columns = vertical::columns(of, &vec![1; of.features.len()], tables);
    let vertical::Parts {
        mut rows, members, ..
    } = vertical::parts(columns);
    let mut deviations =
        standard::standardise(session, &mut rows, &members, &of.model(), stock).await?;
    let deviations = deviations.split_off(1);
    let ordered = order(session, rows, shape, stock).await?;
    let (fitted, figures) = fit(session, ordered, shape, course, stock).await?;
    let coefficients =
        standard::in_deviations(session, &fitted.coefficients, &deviations, stock).await?;
    let errors = standard::in_deviations(session, &fitted.errors, &deviations, stock).await?;
    let fitted = Fitted {
        coefficients,
        errors,
        ..fitted
    };
    let model = shape.model();
    let masked = glm::masked(session, (fitted, figures), &model, of.at_least, stock).await?;
    masked.told(session, &model, disclosure).await
}

/// The declared price of [`train`] but for revealing.
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let model = shape.model();
    let scaled = standard::in_deviations_price(seats, model.n_columns);
    circuit::price(seats, &shape.of.join())
        .then(&circuit::compact_price(seats, &shape.of.join()))
        .then(&standard::standardise_price(seats, &shape.of.model()))
        .then(&order_price(seats, shape))
        .then(&fit_price(seats, shape))
        .then(&scaled)
        .then(&scaled)
        .then(&glm::release_price(seats, &model, N_FIGURES))
}

/// The declared cost of what [`train`] reveals.
pub fn release_cost(seats: Seats, shape: &Shape, receivers: &[Seat]) -> Cost {
    glm::release_cost(seats, &shape.model(), N_FIGURES, receivers)
}

/// The model and its figures.
async fn fit(
    session: &mut Session,
    ordered: Ordered,
    shape: &Shape,
    course: &mut Course<'_>,
    stock: &mut Stock,
) -> Result<(Fitted, Share<u64>), ProtocolError> {
    let model = shape.model();
    let rows = &ordered.rows;
    let of_events = matmul(
        session,
        &rows.labels,
        &rows.columns,
        shape.product(1),
        stock,
    )
    .await?;
    let steps = (model.n_done, model.n_steps);
    let begun = course.begun(session, steps, model.n_columns + 1).await?;
    let mut newton = match begun {
        Some(standing) => Newton::going_on(&standing),
        None => Newton::from(Share::zero(model.n_columns)),
    };
    let mut last = None;
    for step in model.n_done..model.n_steps {
        session.reaches("step", step, model.n_steps);
        let eta = glm::predictor(session, rows, &model, &newton.beta, stock).await?;
        let risk = at_risk(session, &ordered, &eta, shape, stock).await?;
        let equations = equations(session, &ordered, (&risk, &of_events), shape, stock).await?;
        newton.step(session, equations, &model, stock).await?;
        course
            .reached((step + 1, model.n_steps), || newton.standing())
            .await;
        last = Some((eta, risk));
    }
    let (eta, risk) = last.expect("there is a step");
    let mut figures = Share::new(vec![ring::sum(rows.used.as_slice())]);
    figures.append(log_likelihood(session, &ordered, (&eta, &risk), shape, stock).await?);
    let n_events = Share::new(vec![ring::sum(rows.labels.as_slice())]);
    let fitted = newton.ended(session, n_events, &model, stock).await?;
    Ok((fitted, figures))
}

fn fit_price(seats: Seats, shape: &Shape) -> Price {
    let model = shape.model();
    let step = glm::predictor_price(seats, &model)
        .then(&at_risk_price(seats, shape))
        .then(&equations_price(seats, shape))
        .then(&glm::step_price(seats, &model, true));
    let n_left = model.n_steps.saturating_sub(model.n_done);
    let steps = std::iter::repeat_n(step, n_left as usize);
    products::price::<u64>(seats, shape.product(1))
        .then(&Price::sequence(seats, steps))
        .then(&log_likelihood_price(seats, shape))
        .then(&glm::ended_price(seats, &model))
}

/// Sums over everybody at risk at each row.
struct Risk {
    /// w before means are taken.
    weights: Share<u64>,
    /// S₀ over Z_2^128, with [`INVERSE_BITS`].
    total: Share<u128>,
    /// 1/S₀ with [`INVERSE_BITS`].
    inverses: Share<u64>,
    /// S₁/S₀, row by row, with [`COLUMN_BITS`].
    ratios: Share<u64>,
}

async fn at_risk(
    session: &mut Session,
    ordered: &Ordered,
    eta: &Share<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Risk, ProtocolError> {
    let (rows, d) = (&ordered.rows, shape.model().n_columns);
    let hazards = function::exp(session, eta, shape.model().predictor_format(), stock).await?;
    let weights = mul::mul(session, &rows.used, &hazards, stock).await?;
    let of_cells = for_cells(&weights, d);
    let moments = mul_shift(session, &of_cells, &rows.columns, MOMENT_SHIFT, stock).await?;
    let mut columns = vec![copy(&weights)];
    let column = |j: usize| moments.as_slice().iter().skip(j).step_by(d).copied();
    columns.extend((0..d).map(|j| Share::new(column(j).collect())));
    if let Some(tied) = &ordered.tied {
        columns = tied.means(session, columns, stock).await?;
    }
    let sums: Vec<Share<u64>> = columns.iter().map(running).collect();
    let mut total = convert::widen(session, &sums[0], shape.of.method, stock).await?;
    total.scale_public(1 << (INVERSE_BITS - WEIGHT_BITS));
    let inverses = function::reciprocal(session, &total, shape.risk(), stock).await?;
    let inverses = low(&inverses);
    let sums = vertical::by_row(&sums[1..].iter().collect::<Vec<_>>());
    let of_cells = for_cells(&inverses, d);
    let ratios = mul_shift(session, &sums, &of_cells, RATIO_SHIFT, stock).await?;
    Ok(Risk {
        weights,
        total,
        inverses,
        ratios,
    })
}

fn at_risk_price(seats: Seats, shape: &Shape) -> Price {
    let (n, n_cells) = (shape.model().n_rows, shape.n_cells());
    let tied = match shape.ties {
        Ties::Breslow => Price::nothing(seats),
        Ties::Efron => means_price(seats, n, 1 + shape.model().n_columns),
    };
    function::exp_price::<u64>(seats, n, shape.model().predictor_format())
        .then(&mul::price::<u64>(seats, n))
        .then(&mul_shift_price::<u64>(seats, n_cells, MOMENT_SHIFT))
        .then(&tied)
        .then(&convert::widen_price(seats, n, shape.of.method))
        .then(&function::reciprocal_price::<u128>(seats, n, shape.risk()))
        .then(&mul_shift_price::<u64>(seats, n_cells, RATIO_SHIFT))
}

/// Gradient and information.
async fn equations(
    session: &mut Session,
    ordered: &Ordered,
    (risk, of_events): (&Risk, &Share<u64>),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<(Share<u128>, Option<Share<u128>>), ProtocolError> {
    let (model, rows) = (shape.model(), &ordered.rows);
    let d = model.n_columns;
    let counted = for_cells(&ordered.events, d);
    let counted = mul::mul(session, &counted, &risk.ratios, stock).await?;
    let mut gradient = copy(of_events);
    for row in counted.as_slice().chunks_exact(d) {
        ring::sub_assign(gradient.as_mut_slice(), row);
    }
    let mut gradient = convert::widen(session, &gradient, model.method, stock).await?;
    gradient.scale_public(1 << model.family.label_bits());
    // The sum of D/S₀ from each row on.
    let mut hazards = mul::mul(session, &ordered.events, &risk.inverses, stock).await?;
    hazards = turned(&running(&turned(&hazards)));
    if let Some(tied) = &ordered.tied {
        hazards = tied
            .means(session, vec![hazards], stock)
            .await?
            .swap_remove(0);
    }
    let n_bits = shape.weight_shift();
    let weights = mul_shift(session, &risk.weights, &hazards, n_bits, stock).await?;
    let weights = for_cells(&weights, d);
    let weighted = mul::mul(session, &weights, &rows.columns, stock).await?;
    let left = glm::transposed(&rows.columns, model.n_rows, d);
    let mut all = matmul(session, &left, &weighted, shape.product(d), stock).await?;
    let left = glm::transposed(&risk.ratios, model.n_rows, d);
    let mut of_means = matmul(session, &left, &counted, shape.product(d), stock).await?;
    of_means.scale_public(1 << model.weight_bits());
    all.sub_assign(&of_means);
    let matrix = glm::symmetric(session, &all, &model, stock).await?;
    Ok((gradient, Some(matrix)))
}

fn equations_price(seats: Seats, shape: &Shape) -> Price {
    let (model, n_cells) = (shape.model(), shape.n_cells());
    let (n, d) = (model.n_rows, model.n_columns);
    let tied = match shape.ties {
        Ties::Breslow => Price::nothing(seats),
        Ties::Efron => means_price(seats, n, 1),
    };
    let square = products::price::<u64>(seats, shape.product(d));
    mul::price::<u64>(seats, n_cells)
        .then(&convert::widen_price(seats, d, model.method))
        .then(&mul::price::<u64>(seats, n))
        .then(&tied)
        .then(&mul_shift_price::<u64>(seats, n, shape.weight_shift()))
        .then(&mul::price::<u64>(seats, n_cells))
        .then(&square)
        .then(&square)
        .then(&glm::symmetric_price(seats, &model))
}

/// Σ η over events − Σ D·ln S₀, with [`INVERSE_BITS`].
async fn log_likelihood(
    session: &mut Session,
    ordered: &Ordered,
    (eta, risk): (&Share<u64>, &Risk),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let logs = function::log(session, &risk.total, shape.risk(), stock).await?;
    let logs = low(&logs);
    let mut sum = products::dot(session, &ordered.rows.labels, eta, stock).await?;
    sum.scale_public(1 << (INVERSE_BITS - shape.model().family.label_bits()));
    let of_risk = products::dot(session, &ordered.events, &logs, stock).await?;
    sum.sub_assign(&of_risk);
    Ok(sum)
}

fn log_likelihood_price(seats: Seats, shape: &Shape) -> Price {
    let n = shape.model().n_rows;
    let dot = products::price::<u64>(seats, products::dot_shape(n));
    function::log_price::<u128>(seats, n, shape.risk())
        .then(&dot)
        .then(&dot)
}

/// A number for each row, once for each of its cells.
fn for_cells(of_rows: &Share<u64>, d: usize) -> Share<u64> {
    let values = of_rows.as_slice().iter();
    Share::new(values.flat_map(|v| std::iter::repeat_n(*v, d)).collect())
}
