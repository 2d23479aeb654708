//! A·x = b in shares, for a symmetric positive definite A: normal equations, and the standard errors that
//! follow from A's inverse.
//!
//! ```text
//! scale       A' = H·A·H with powers of two H_j, found on shares, so that A'_jj is in [1/4, 1)
//! eliminate   column after column, in A' and in a unit matrix beside it: A' = L·D·Lᵀ, M = L⁻¹
//! apply       A'⁻¹·z = Mᵀ·D⁻¹·M·z: four products, however many columns there are
//! refine      the residual z − A'·y, exact before it is cut off, through the same inverse once more
//! ```
//!
//! All numbers inside have w = 50 fractional bits. A pivot D_j is A'_jj times 1 − R² of column j on those
//! before it. Where that is below 2^−20 (a variance inflation over 10^6) the column is taken for a
//! combination of those before it: how many columns are sound is a shared number, and nothing is divided
//! by what is nearly zero without being said. Up to there |M_ij| ≤ 2^11, 1/D_j ≤ 2^22, and nothing leaves the
//! ring. The error of a solution is that of w bits times the condition of A': 10⁻¹⁰ of the greatest element
//! where columns have variance inflations of up to 100.

mod combined;

use crate::arith::compare::{self, Method};
use crate::arith::matmul::matmul;
use crate::arith::{circuit, convert, copy, matmul as products, mul};
use crate::boolean::Planes;
use crate::correlate::{MatrixShape, Stock};
use crate::error::ProtocolError;
use crate::function::fixed::{mul_shift, mul_shift_price, shift, shift_price};
use crate::function::normal::{self, Step, Windows};
use crate::function::{self, Format};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring;
use engine::share::Share;
use engine::share::boolean::BitShare;

pub use combined::{
    MOST_SQUARE_BITS, SANDWICH_BITS, WEIGHT_BITS, combined_error, combined_error_price,
    sandwich_errors, sandwich_errors_price,
};

/// Most unknowns of a system.
pub const MAX_UNKNOWNS: usize = 128;

/// w: fractional bits of numbers inside.
pub(super) const WORKING_BITS: u32 = 50;

/// A column is sound if its pivot is at least 2^−20 of its diagonal element.
pub const TOLERANCE_BITS: u32 = 20;

/// The greatest bound of a diagonal element: with it a power of two for its scale, and sums, fit the ring.
const MAX_BOUND_BITS: u32 = 100;

/// log2 of the greatest scaled right-hand side.
pub const SIDE_BITS: u32 = 8;

/// log2 of the greatest diagonal element of a sound inverse: 4·2^20.
const INVERSE_BITS: u32 = TOLERANCE_BITS + 2;

/// By how many bits a residual is smaller than what it is the residual of.
const RESIDUAL_BITS: u32 = 12;

/// The public shape of a system of equations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct System {
    /// d: number of unknowns, 1 to [`MAX_UNKNOWNS`].
    pub n_unknowns: usize,
    /// f: an element x of the matrix is given as x·2^f.
    pub frac_bits: u32,
    /// b: diagonal elements, as they are given, lie in [0, 2^b); 1 to 100.
    pub bound_bits: u32,
    /// Fractional bits of right-hand sides.
    pub side_bits: u32,
    /// Fractional bits of solutions and of standard errors.
    pub result_bits: u32,
    /// The method of comparisons and conversions.
    pub method: Method,
}

impl System {
    /// d², d, and 1 as shapes of products.
    fn square_by_vector(&self) -> MatrixShape {
        let d = self.n_unknowns;
        MatrixShape { m: d, k: d, n: 1 }
    }

    fn format(&self) -> Format {
        Format {
            // Of the scale only its parity matters: windows of two bits begin where a root exists.
            frac_bits: self.frac_bits % 2,
            bound_bits: self.bound_bits,
            method: self.method,
        }
    }

    fn windows(&self) -> Windows {
        Windows::new(self.format(), Step::Two)
    }

    /// A'_ij = A_ij·h_i·h_j/2^top, for A as it is given.
    fn top(&self) -> i32 {
        self.windows().top.cast_signed()
    }

    /// (top − f)/2: by how many bits h makes numbers greater than H does.
    fn half_excess(&self) -> i32 {
        (self.top() - self.frac_bits.cast_signed()) / 2
    }

    /// How far h·b is shifted for a scaled right-hand side.
    fn shift_of_sides(&self) -> i32 {
        self.side_bits.cast_signed() + self.half_excess() - WORKING_BITS.cast_signed()
    }

    /// How far h·y is shifted for a result.
    fn shift_of_results(&self) -> i32 {
        WORKING_BITS.cast_signed() - self.result_bits.cast_signed() + self.half_excess()
    }

    fn check(&self, n_elements: usize) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        let d = self.n_unknowns;
        if d == 0 || d > MAX_UNKNOWNS || n_elements != d * d {
            return invalid("a system has 1 to 128 unknowns, and a square matrix");
        }
        let side = self.side_bits.cast_signed() + self.half_excess() + SIDE_BITS.cast_signed();
        let fits = (1..=MAX_BOUND_BITS).contains(&self.bound_bits)
            && self.frac_bits <= MAX_BOUND_BITS
            && side <= MAX_BOUND_BITS.cast_signed()
            && self.result_bits <= WORKING_BITS
            && self.shift_of_results() <= MAX_BOUND_BITS.cast_signed();
        match fits {
            true => Ok(()),
            false => invalid("the scales of a system leave room in the ring"),
        }
    }
}

/// What elimination leaves: enough to multiply by the inverse. Shares of a system's own scale.
pub struct Factors {
    system: System,
    /// A', row by row.
    scaled: Share<u128>,
    /// M = L⁻¹, row by row.
    lower: Share<u128>,
    /// 1/D_j.
    inverse_pivots: Share<u128>,
    /// h_j: 2^window.
    scales: Share<u128>,
    /// One number: how many columns are sound, from the first one on. All are if it is d.
    pub sound: Share<u128>,
}

/// Factors a symmetric positive definite matrix.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `a`: d×d shares over Z_2^128 of A·2^f, both halves, with A_jj·2^f in [0, 2^b) and
///   |A_ij| ≤ √(A_ii·A_jj); takes [`factor_price`]
/// # Output    [`Factors`]. If `sound` is less than d they mean nothing: column `sound`, counted from
///   zero, is a combination of those before it up to 2^−20 of its own variation, or all zero
/// # Cost      [`factor_price`]: about 40 rounds a column, d³/2 products
/// # Security  semi-honest, all but one seat may be corrupt; reveals the system's shape. Nothing is
///   opened, also not whether the matrix is singular
/// # Errors    [`ProtocolError::InvalidInput`] if shape or scales do not fit,
///   [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    LDLᵀ with a unit matrix beside it (Gauss–Jordan); bounds: rows of L·√D have norm √A'_ii;
///   scaling by powers of two: Catrina–Saxena, FC 2010, §3.4
pub async fn factor(
    session: &mut Session,
    a: &Share<u128>,
    system: &System,
    stock: &mut Stock,
) -> Result<Factors, ProtocolError> {
    session.ended_by(system.check(a.len()))?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&factor_price(seats, system).needs))?;
    let d = system.n_unknowns;
    let (scaled, scales) = scaled(session, a, system, stock).await?;
    let mut work = Elimination::new(session, system, &scaled);
    for column in 0..d {
        work.eliminate(session, column, stock).await?;
    }
    let sound = count_sound(session, system, &scaled, &work.pivots, stock).await?;
    Ok(Factors {
        system: *system,
        scaled,
        lower: work.lower,
        inverse_pivots: work.inverse_pivots,
        scales,
        sound,
    })
}

/// A' and h of a matrix, see the [module](self).
pub(super) async fn scaled(
    session: &mut Session,
    a: &Share<u128>,
    system: &System,
    stock: &mut Stock,
) -> Result<(Share<u128>, Share<u128>), ProtocolError> {
    let d = system.n_unknowns;
    let diagonal = Share::new((0..d).map(|j| a.as_slice()[j * d + j]).collect());
    let windows = system.windows();
    let hot = normal::highest(session, &diagonal, windows, system.method, stock).await?;
    let scales = normal::weighted(&hot, |window| 1 << window);
    let both = outer_shape(d, d);
    let both = matmul(session, &scales, &scales, both, stock).await?;
    let n_bits = shift_of_matrix(system);
    let scaled = mul_shift(session, a, &both, n_bits, stock).await?;
    Ok((scaled, scales))
}

/// The declared price of [`scaled`].
pub(super) fn scaled_price(seats: Seats, system: &System) -> Price {
    let d = system.n_unknowns;
    normal::highest_price::<u128>(seats, d, system.windows(), system.method)
        .then(&products::price::<u128>(seats, outer_shape(d, d)))
        .then(&mul_shift_price::<u128>(
            seats,
            d * d,
            shift_of_matrix(system),
        ))
}

/// The declared price of [`factor`].
pub fn factor_price(seats: Seats, system: &System) -> Price {
    let d = system.n_unknowns;
    let eliminate = (0..d).map(|column| eliminate_price(seats, system, column));
    scaled_price(seats, system)
        .then(&Price::sequence(seats, eliminate))
        .then(&count_sound_price(seats, system))
}

/// A column times a row.
fn outer_shape(m: usize, n: usize) -> MatrixShape {
    MatrixShape { m, k: 1, n }
}

fn shift_of_matrix(system: &System) -> i32 {
    system.top() - WORKING_BITS.cast_signed()
}

/// The matrices that are being eliminated, row by row.
struct Elimination {
    system: System,
    /// What is left of A': the part below and right of the columns that are done.
    rest: Share<u128>,
    lower: Share<u128>,
    pivots: Share<u128>,
    inverse_pivots: Share<u128>,
}

impl Elimination {
    fn new(session: &Session, system: &System, scaled: &Share<u128>) -> Self {
        let d = system.n_unknowns;
        let mut lower = Share::zero(d * d);
        if session.seat() == Seat(0) {
            let diagonal = lower.as_mut_slice().iter_mut().step_by(d + 1);
            diagonal.for_each(|one| *one = 1 << WORKING_BITS);
        }
        Self {
            system: *system,
            rest: copy(scaled),
            lower,
            pivots: Share::zero(0),
            inverse_pivots: Share::zero(0),
        }
    }

    /// Subtracts multiples of row j from those below, so that column j is zero there.
    async fn eliminate(
        &mut self,
        session: &mut Session,
        column: usize,
        stock: &mut Stock,
    ) -> Result<(), ProtocolError> {
        let d = self.system.n_unknowns;
        let pivot = self.rest.as_slice()[column * d + column];
        let format = pivot_format(&self.system);
        let inverse =
            function::reciprocal(session, &Share::new(vec![pivot]), format, stock).await?;
        let below = column + 1..d;
        if !below.is_empty() {
            let at_column = below.clone().map(|i| self.rest.as_slice()[i * d + column]);
            let at_column = Share::new(at_column.collect());
            let shape = outer_shape(below.len(), 1);
            let factors = outer(session, (&at_column, &inverse), shape, stock).await?;
            let row = self.row(column);
            let shape = outer_shape(below.len(), d);
            let multiples = outer(session, (&factors, &row), shape, stock).await?;
            for (i, multiple) in below.zip(multiples.as_slice().chunks_exact(d)) {
                let (rest, lower) = multiple.split_at(d - column - 1);
                let row = i * d..(i + 1) * d;
                let out = &mut self.rest.as_mut_slice()[row.clone()][column + 1..];
                ring::sub_assign(out, rest);
                let out = &mut self.lower.as_mut_slice()[row][..=column];
                ring::sub_assign(out, lower);
            }
        }
        self.pivots.append(Share::new(vec![pivot]));
        self.inverse_pivots.append(inverse);
        Ok(())
    }

    /// What is left of row j, and what is not zero of M's row.
    fn row(&self, column: usize) -> Share<u128> {
        let d = self.system.n_unknowns;
        let row = column * d..(column + 1) * d;
        let rest = &self.rest.as_slice()[row.clone()][column + 1..];
        let lower = &self.lower.as_slice()[row][..=column];
        Share::new([rest, lower].concat())
    }
}

fn eliminate_price(seats: Seats, system: &System, column: usize) -> Price {
    let inverse = function::reciprocal_price::<u128>(seats, 1, pivot_format(system));
    let below = system.n_unknowns - column - 1;
    if below == 0 {
        return inverse;
    }
    inverse
        .then(&outer_price(seats, outer_shape(below, 1)))
        .then(&outer_price(seats, outer_shape(below, system.n_unknowns)))
}

/// Pivots are below 1, and may be rounded up.
pub(super) fn pivot_format(system: &System) -> Format {
    Format {
        frac_bits: WORKING_BITS,
        bound_bits: WORKING_BITS + 1,
        method: system.method,
    }
}

/// A product of matrices of w fractional bits, cut off to as many.
async fn outer(
    session: &mut Session,
    (x, y): (&Share<u128>, &Share<u128>),
    shape: MatrixShape,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let product = matmul(session, x, y, shape, stock).await?;
    shift(session, product, WORKING_BITS.cast_signed(), stock).await
}

fn outer_price(seats: Seats, shape: MatrixShape) -> Price {
    let n_items = shape.product_len();
    products::price::<u128>(seats, shape).then(&shift_price::<u128>(
        seats,
        n_items,
        WORKING_BITS.cast_signed(),
    ))
}

/// How many pivots from the first one on are at least 2^−20 of their diagonal elements.
async fn count_sound(
    session: &mut Session,
    system: &System,
    scaled: &Share<u128>,
    pivots: &Share<u128>,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let d = system.n_unknowns;
    let mut margin = copy(pivots);
    margin.scale_public(1 << TOLERANCE_BITS);
    let diagonal = scaled.as_slice().iter().step_by(d + 1);
    for (margin, own) in margin.as_mut_slice().iter_mut().zip(diagonal) {
        // A column of zeros is not sound either.
        *margin = margin.wrapping_sub(*own);
    }
    if session.seat() == Seat(0) {
        crate::arith::add_to_all(&mut margin, 1u128.wrapping_neg());
    }
    let mut sound =
        compare::less_than_zero(session, &margin, MARGIN_BITS, system.method, stock).await?;
    sound.not(session.seat().index());
    let mut planes = Planes::zero(1, d);
    for j in 0..d {
        planes.plane_mut(j)[0] = sound.as_words()[j / 64] >> (j % 64) & 1;
    }
    let prefixes = circuit::all_prefixes(session, planes, d, stock).await?;
    let prefixes: Vec<BitShare> = (0..d).map(|j| prefixes.share(j)).collect();
    let prefixes: Vec<&BitShare> = prefixes.iter().collect();
    let ones = convert::planes_to_arith::<u128>(session, &prefixes, stock).await?;
    let sum = |sum: Share<u128>, one: Share<u128>| {
        let mut sum = sum;
        sum.add_assign(&one);
        sum
    };
    Ok(ones.into_iter().fold(Share::zero(1), sum))
}

/// Bits of a pivot times 2^20.
pub(super) const MARGIN_BITS: u32 = WORKING_BITS + TOLERANCE_BITS + 2;

fn count_sound_price(seats: Seats, system: &System) -> Price {
    let d = system.n_unknowns;
    let prefixes = circuit::all_prefixes_levels(d);
    compare::less_than_zero_price::<u128>(seats, d, MARGIN_BITS, system.method)
        .then(&circuit::price(seats, &prefixes, 1))
        .then(&convert::planes_price::<u128>(seats, 1, d))
}

/// Solves A·x = b for a matrix that was factored.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `b`: d shares over Z_2^128 of b·2^s, s = `side_bits`, with |b_j| ≤ 2^8·√A_jj. That holds
///   of XᵀWr/n where the mean of W·r² is at most 2^16; takes [`solve_price`]
/// # Output    d shares of x·2^r, r = `result_bits`. In units of 1/√A_jj the error is at most
///   2^−45·κ(A') in each element, refined; and one unit of the result
/// # Cost      [`solve_price`]: 20 rounds, whatever d
/// # Security  as [`factor`]
/// # Errors    as [`factor`]
/// # Source    iterative refinement: Wilkinson, 1963
pub async fn solve(
    session: &mut Session,
    factors: &Factors,
    b: &Share<u128>,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let system = &factors.system;
    if b.len() != system.n_unknowns {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "a system has a right-hand side for each unknown",
        }));
    }
    let seats = Seats::of(session);
    session.ended_by(stock.check(&solve_price(seats, system).needs))?;
    let n_bits = system.shift_of_sides();
    let side = mul_shift(session, &factors.scales, b, n_bits, stock).await?;
    let mut found = apply_inverse(session, factors, &side, stock).await?;
    // The residual is exact, and small: what is cut off of it would be lost of the side itself.
    let shape = system.square_by_vector();
    let mut residual = matmul(session, &factors.scaled, &found, shape, stock).await?;
    residual.negate();
    let exact = side.as_slice().iter().map(|z| z << WORKING_BITS);
    for (residual, exact) in residual.as_mut_slice().iter_mut().zip(exact) {
        *residual = residual.wrapping_add(exact);
    }
    let residual = shift(session, residual, RESIDUAL_SHIFT, stock).await?;
    let correction = apply_inverse(session, factors, &residual, stock).await?;
    let correction = shift(session, correction, RESIDUAL_BITS.cast_signed(), stock).await?;
    found.add_assign(&correction);
    let n_bits = system.shift_of_results();
    mul_shift(session, &factors.scales, &found, n_bits, stock).await
}

const RESIDUAL_SHIFT: i32 = (WORKING_BITS - RESIDUAL_BITS).cast_signed();

/// The declared price of [`solve`].
pub fn solve_price(seats: Seats, system: &System) -> Price {
    let d = system.n_unknowns;
    let apply = apply_inverse_price(seats, system);
    mul_shift_price::<u128>(seats, d, system.shift_of_sides())
        .then(&apply)
        .then(&products::price::<u128>(seats, system.square_by_vector()))
        .then(&shift_price::<u128>(seats, d, RESIDUAL_SHIFT))
        .then(&apply)
        .then(&shift_price::<u128>(seats, d, RESIDUAL_BITS.cast_signed()))
        .then(&mul_shift_price::<u128>(
            seats,
            d,
            system.shift_of_results(),
        ))
}

/// Mᵀ·D⁻¹·M·z.
async fn apply_inverse(
    session: &mut Session,
    factors: &Factors,
    z: &Share<u128>,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let shape = factors.system.square_by_vector();
    let w = WORKING_BITS.cast_signed();
    let u = outer(session, (&factors.lower, z), shape, stock).await?;
    let u = mul_shift(session, &u, &factors.inverse_pivots, w, stock).await?;
    let upper = transposed(&factors.lower, factors.system.n_unknowns);
    outer(session, (&upper, &u), shape, stock).await
}

fn apply_inverse_price(seats: Seats, system: &System) -> Price {
    let product = outer_price(seats, system.square_by_vector());
    let w = WORKING_BITS.cast_signed();
    let scaled = mul_shift_price::<u128>(seats, system.n_unknowns, w);
    product.clone().then(&scaled).then(&product)
}

fn transposed(matrix: &Share<u128>, d: usize) -> Share<u128> {
    let values = matrix.as_slice();
    let columns = (0..d).flat_map(|j| (0..d).map(move |i| values[i * d + j]));
    Share::new(columns.collect())
}

/// √(A⁻¹)_jj of a matrix that was factored: standard errors, but for a factor that is the same for all.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    takes [`standard_errors_price`]
/// # Output    d shares of √(A⁻¹)_jj·2^r, r = `result_bits`. The relative error is 2^−40 where variance
///   inflations are below 100; and one unit of the result
/// # Cost      [`standard_errors_price`]
/// # Security  as [`factor`]
/// # Errors    as [`factor`]
/// # Source    (A'⁻¹)_jj = Σ_k M_kj²/D_k; the root by [`function::sqrt`]
pub async fn standard_errors(
    session: &mut Session,
    factors: &Factors,
    stock: &mut Stock,
) -> Result<Share<u128>, ProtocolError> {
    let system = &factors.system;
    let d = system.n_unknowns;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&standard_errors_price(seats, system).needs))?;
    let w = WORKING_BITS.cast_signed();
    let pivots = factors.inverse_pivots.as_slice();
    let of_rows = pivots.iter().flat_map(|p| std::iter::repeat_n(*p, d));
    let of_rows = Share::new(of_rows.collect());
    let weighted = mul_shift(session, &factors.lower, &of_rows, w, stock).await?;
    let terms = mul::mul(session, &factors.lower, &weighted, stock).await?;
    let mut sums = Share::zero(d);
    for row in terms.as_slice().chunks_exact(d) {
        ring::add_assign(sums.as_mut_slice(), row);
    }
    let variances = shift(session, sums, w, stock).await?;
    let roots = function::sqrt(session, &variances, variance_format(system), stock).await?;
    let n_bits = system.shift_of_results();
    mul_shift(session, &factors.scales, &roots, n_bits, stock).await
}

fn variance_format(system: &System) -> Format {
    Format {
        frac_bits: WORKING_BITS,
        bound_bits: WORKING_BITS + INVERSE_BITS + 1,
        method: system.method,
    }
}

/// The declared price of [`standard_errors`].
pub fn standard_errors_price(seats: Seats, system: &System) -> Price {
    let d = system.n_unknowns;
    let w = WORKING_BITS.cast_signed();
    mul_shift_price::<u128>(seats, d * d, w)
        .then(&mul::price::<u128>(seats, d * d))
        .then(&shift_price::<u128>(seats, d, w))
        .then(&function::sqrt_price::<u128>(
            seats,
            d,
            variance_format(system),
        ))
        .then(&mul_shift_price::<u128>(
            seats,
            d,
            system.shift_of_results(),
        ))
}
