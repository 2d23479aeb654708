//! Quantiles of each group over a small public domain, from every holder's counts.

use crate::arith::compare::{self, Method};
use crate::arith::{convert, mux};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring::Ring;
use engine::share::Share;

/// Which of the usual definitions (Hyndman–Fan, 1996).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definition {
    /// Type 1: the smallest value v such that a share of at least p of all rows is ≤ v. The result
    /// is a value of the domain. SQL's `PERCENTILE_DISC`.
    Discrete,
    /// Type 7: linear between the two rows next to rank (n−1)·p + 1. SQL's `PERCENTILE_CONT`. With
    /// p = a/b the result is a multiple of 1/b of the domain's unit, and what comes out is b times
    /// the quantile, exactly; the receiver divides by b.
    Linear,
}

/// p = numerator / denominator, between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// At most the denominator.
    pub numerator: u32,
    /// At least 1. Lowest terms make the bounds smallest.
    pub denominator: u32,
}

/// The public shape of a [`quantiles`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantileShape {
    /// Number of groups.
    pub cells: usize,
    /// All values that rows may have, ascending, in the ring's unit.
    pub domain: Vec<i128>,
    /// The quantiles that are wanted of each group.
    pub levels: Vec<Fraction>,
    /// What a quantile between two rows is.
    pub definition: Definition,
    /// A group has less than 2 to this power rows over all holders; at least 1.
    pub rows_bits: u32,
    /// How shares are compared: by what the source makes cheaply.
    pub method: Method,
}

impl QuantileShape {
    /// Checks that the parts fit together and the numbers fit the ring.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check<R: Ring>(&self) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        if self.domain.is_empty() || !self.domain.is_sorted_by(|a, b| a < b) {
            return invalid("a quantile's domain is ascending and not empty");
        }
        let is_fraction = |p: &Fraction| p.denominator >= 1 && p.numerator <= p.denominator;
        if !self.levels.iter().all(is_fraction) {
            return invalid("a quantile's level lies between 0 and 1");
        }
        let too_wide = |p: &Fraction| self.bound_bits(*p) >= R::BITS;
        if self.rows_bits == 0 || self.levels.iter().any(too_wide) {
            return invalid("a quantile's ranks fit the ring");
        }
        // A multiple of every value, and of every distance in the domain, fits the ring.
        let (low, high) = (self.domain[0], self.domain[self.domain.len() - 1]);
        let fits = |v: Option<i128>| v.is_some_and(|v| R::from_signed(v).is_some());
        let scaled = |p: &Fraction| {
            let times = |v: i128| v.checked_mul(p.denominator.into());
            fits(times(low)) && fits(times(high)) && fits(high.checked_sub(low).and_then(times))
        };
        if !self.levels.iter().all(scaled) {
            return invalid("a quantile's values times its denominator fit the ring");
        }
        Ok(())
    }

    /// Values but the greatest: at that one, all rows have been counted.
    fn n_steps(&self) -> usize {
        self.domain.len().saturating_sub(1)
    }

    /// |y| and |y − b| are below 2 to this power.
    fn bound_bits(&self, p: Fraction) -> u32 {
        self.rows_bits
            .saturating_add(p.denominator.next_power_of_two().ilog2() + 1)
    }
}

/// Finds quantiles of each group over all holders' rows.
///
/// The holders count their own rows of each value. C_d, the number of rows with one of the first
/// d values, is a local sum of shares, and so is the number n of all rows: neither is opened. With
/// p = a/b and w_d the distance from value d to the next:
///
/// * Discrete: y_d = b·C_d − a·n is negative exactly at the values below the quantile, which is
///   v_0 + Σ w_d·\[y_d < 0\]. With a = 0 it is y_d = b·C_d − 1: the smallest row.
/// * Linear: b times the quantile is the sum over s in 0..b of the values of rank
///   ⌊((n−1)·a + s)/b⌋ + 1. Of these, b − y_d lie above v_d, where y_d = b·C_d − a·(n−1) is clamped
///   to 0 ..= b. So it is b·v_0 + Σ w_d·(b − y_d), and b − y_d is \[y_d < b\]·(b − y_d) +
///   \[y_d < 0\]·y_d.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `counts`: for each cell, for each value of the domain, this holder's number of rows
///   with that value (NULLs are not counted); `shape`: the same at all seats; takes [`price`]
/// # Output    for each level, shares of one number a cell: the quantile if discrete, `denominator`
///   times the quantile if linear. A cell without rows has a number that means nothing, and the
///   same whatever else there is; a count column of the release says whether it has rows
/// # Cost      [`price`]: for each level, cell and value but one, a comparison and a conversion
///   (linear: two comparisons and two selections)
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape; opens nothing
/// # Errors    [`ProtocolError::InvalidInput`] before anything is sent,
///   [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Hyndman–Fan, 1996, types 1 and 7; CRYPTO §4.4. The clamped form: own
pub async fn quantiles<R: StockedRing>(
    session: &mut Session,
    counts: Vec<R>,
    shape: &QuantileShape,
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    let outcome = try_quantiles(session, counts, shape, stock).await;
    session.ended_by(outcome)
}

async fn try_quantiles<R: StockedRing>(
    session: &mut Session,
    counts: Vec<R>,
    shape: &QuantileShape,
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    let mut counts = Share::new(counts);
    shape.check::<R>()?;
    if counts.len() != shape.cells * shape.domain.len() {
        return Err(ProtocolError::InvalidInput {
            what: "a quantile takes a count for each cell and value",
        });
    }
    stock.check(&price::<R>(shape, Seats::of(session)).needs)?;
    for cell in counts.as_mut_slice().chunks_mut(shape.domain.len()) {
        for d in 1..cell.len() {
            cell[d] = cell[d].wrapping_add(cell[d - 1]);
        }
    }
    let mut quantiles = Vec::with_capacity(shape.levels.len());
    for p in &shape.levels {
        let ranks = ranks(session, &counts, shape, *p);
        let above = match shape.definition {
            Definition::Discrete => is_below(session, &ranks, (shape, *p), stock).await?,
            Definition::Linear => n_above(session, &ranks, (shape, *p), stock).await?,
        };
        quantiles.push(climbed(session, &above, (shape, *p)));
    }
    Ok(quantiles)
}

/// y_d for each cell and step.
fn ranks<R: Ring>(
    session: &Session,
    cumulated: &Share<R>,
    shape: &QuantileShape,
    p: Fraction,
) -> Share<R> {
    let (a, b) = (
        R::from_u64(p.numerator.into()),
        R::from_u64(p.denominator.into()),
    );
    let cells = cumulated.as_slice().chunks(shape.domain.len());
    let mut ranks = Vec::with_capacity(shape.cells * shape.n_steps());
    for cell in cells {
        let (all, steps) = cell.split_last().expect("a domain is not empty");
        let threshold = a.wrapping_mul(*all);
        let rank = |c: &R| b.wrapping_mul(*c).wrapping_sub(threshold);
        ranks.extend(steps.iter().map(rank));
    }
    let mut ranks = Share::new(ranks);
    let shift = match shape.definition {
        Definition::Linear => a,
        // The smallest row, not the smallest value of the domain.
        Definition::Discrete if p.numerator == 0 => R::ONE.wrapping_neg(),
        Definition::Discrete => R::ZERO,
    };
    let shift = vec![shift; ranks.len()];
    ranks.add_public(session.seat().index(), &shift);
    ranks
}

/// \[y_d < 0\].
async fn is_below<R: StockedRing>(
    session: &mut Session,
    ranks: &Share<R>,
    (shape, p): (&QuantileShape, Fraction),
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let (bound_bits, method) = (shape.bound_bits(p), shape.method);
    let below = compare::less_than_zero(session, ranks, bound_bits, method, stock).await?;
    convert::bit_to_arith(session, &below, stock).await
}

/// \[y_d < b\]·(b − y_d) + \[y_d < 0\]·y_d.
async fn n_above<R: StockedRing>(
    session: &mut Session,
    ranks: &Share<R>,
    (shape, p): (&QuantileShape, Fraction),
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let b = R::from_u64(p.denominator.into());
    let (bound_bits, method) = (shape.bound_bits(p), shape.method);
    let mut compared = Share::new(ranks.as_slice().to_vec());
    compared.add_public(session.seat().index(), &vec![b.wrapping_neg(); ranks.len()]);
    compared.append(Share::new(ranks.as_slice().to_vec()));
    let bits = compare::less_than_zero(session, &compared, bound_bits, method, stock).await?;
    let mut values = compared;
    let mut gaps = Share::new(values.as_slice()[..ranks.len()].to_vec());
    gaps.negate();
    values.as_mut_slice()[..ranks.len()].copy_from_slice(gaps.as_slice());
    let mut kept = mux::times(session, &bits, &values, stock).await?;
    let below = kept.split_off(ranks.len());
    kept.add_assign(&below);
    Ok(kept)
}

/// For each cell v_0 + Σ w_d·above_d, or with b·v_0 if linear.
fn climbed<R: Ring>(
    session: &Session,
    above: &Share<R>,
    (shape, p): (&QuantileShape, Fraction),
) -> Share<R> {
    let element = |v: i128| R::from_signed(v).expect("the shape was checked");
    let distances = shape.domain.windows(2).map(|v| element(v[1] - v[0]));
    let distances: Vec<R> = distances.collect();
    let n_steps = shape.n_steps();
    let of_cell = |cell: usize| {
        let above = &above.as_slice()[cell * n_steps..(cell + 1) * n_steps];
        let climbs = above.iter().zip(&distances);
        climbs.fold(R::ZERO, |sum, (n, w)| sum.wrapping_add(n.wrapping_mul(*w)))
    };
    let mut quantiles = Share::new((0..shape.cells).map(of_cell).collect());
    let times = match shape.definition {
        Definition::Discrete => 1,
        Definition::Linear => i128::from(p.denominator),
    };
    let lowest = vec![element(shape.domain[0] * times); shape.cells];
    quantiles.add_public(session.seat().index(), &lowest);
    quantiles
}

/// The declared price of [`quantiles`] over ring `R`.
pub fn price<R: StockedRing>(shape: &QuantileShape, seats: Seats) -> Price {
    let n_items = shape.cells * shape.n_steps();
    let of_level = |p: &Fraction| {
        let compared = |n_compared: usize| {
            let (bound_bits, method) = (shape.bound_bits(*p), shape.method);
            compare::less_than_zero_price::<R>(seats, n_compared, bound_bits, method)
        };
        match shape.definition {
            Definition::Discrete => {
                compared(n_items).then(&convert::planes_price::<R>(seats, n_items, 1))
            }
            Definition::Linear => compared(2 * n_items).then(&mux::price::<R>(seats, 2 * n_items)),
        }
    };
    Price::sequence(seats, shape.levels.iter().map(of_level))
}

/// [`quantiles`] in the clear, for tests, from all holders' counts: for each level and cell the
/// same number, or `None` for a cell without rows.
pub fn oracle(counts: &[Vec<u64>], shape: &QuantileShape) -> Vec<Vec<Option<i128>>> {
    let n_values = shape.domain.len();
    let rows_of = |cell: usize| -> Vec<i128> {
        let of_value = |d: usize| {
            let n: u64 = counts.iter().map(|c| c[cell * n_values + d]).sum();
            std::iter::repeat_n(shape.domain[d], n as usize)
        };
        (0..n_values).flat_map(of_value).collect()
    };
    let quantile = |rows: &[i128], p: &Fraction| {
        let (a, b) = (i128::from(p.numerator), i128::from(p.denominator));
        let n = rows.len() as i128;
        (n > 0).then(|| match shape.definition {
            Definition::Discrete => rows[((n * a + b - 1) / b).max(1) as usize - 1],
            Definition::Linear => {
                let (whole, rest) = ((n - 1) * a / b, (n - 1) * a % b);
                let low = rows[whole as usize];
                let high = rows[(whole + 1).min(n - 1) as usize];
                b * low + rest * (high - low)
            }
        })
    };
    let of_level = |p: &Fraction| {
        let cells = 0..shape.cells;
        cells.map(|cell| quantile(&rows_of(cell), p)).collect()
    };
    shape.levels.iter().map(of_level).collect()
}
