//! Characteristic stability: how far the rows of a sample are spread over a feature's bins otherwise than those of a base.
//!
//! With the shares e_b and a_b of the base's rows and of the sample's in each bin b, none of them less than
//! [`LEAST_SHARE`], the index is Σ (a_b − e_b)·ln(a_b/e_b). Counts and shares stay shared; an index is told, or not.

use super::{COUNT_BITS, MAX_ROWS};
use crate::arith::compare::{self, Method};
use crate::arith::{convert, mul, order};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::function::fixed::{mul_shift, mul_shift_price, shift, shift_price};
use crate::function::{self, Format};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// A smaller share of rows, or one of none, counts as this much.
pub const LEAST_SHARE: f64 = 1e-4;

/// A total N ≤ [`MAX_ROWS`] stands for N/2^20, so that its inverse has 2^20·2^20/N units.
const TOTAL_BITS: u32 = 20;
/// Fractional bits of shares of rows, and of their logarithms.
const SHARE_BITS: u32 = 28;
/// Fractional bits of an index.
const INDEX_BITS: u32 = 20;

/// From a count times an inverse to a share.
const TO_SHARES: i32 = (2 * TOTAL_BITS - SHARE_BITS).cast_signed();
/// From a share times a logarithm to an index.
const TO_INDEX: i32 = (2 * SHARE_BITS - INDEX_BITS).cast_signed();

/// The public shape of [`indices`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Of each feature the number of its bins, those that stay empty included.
    pub bins: Vec<usize>,
    /// How many samples are compared with the base.
    pub n_samples: usize,
    /// Fewest rows of the base, and of a sample, of which anything is told; at least 1.
    pub at_least: u64,
    /// Fewest rows of a bin that has rows. At 1 or less any number is told.
    pub min_cell: u64,
    /// The method of comparisons and conversions.
    pub method: Method,
}

impl Shape {
    fn n_bins(&self) -> usize {
        self.bins.iter().sum()
    }

    /// Base and samples.
    fn n_spreads(&self) -> usize {
        1 + self.n_samples
    }

    fn n_cells(&self) -> usize {
        self.n_spreads() * self.n_bins()
    }

    fn n_indices(&self) -> usize {
        self.n_samples * self.bins.len()
    }

    /// How many numbers come out.
    #[must_use]
    pub fn n_figures(&self) -> usize {
        2 * self.n_indices()
    }

    /// What was revealed of [`indices`]: of each sample the index of each feature, `None` where it is not told.
    #[must_use]
    pub fn told(&self, revealed: &[u64]) -> Option<Vec<Vec<Option<f64>>>> {
        if revealed.len() != self.n_figures() {
            return None;
        }
        let (passes, indices) = revealed.split_at(self.n_indices());
        let unit = 2f64.powi(-INDEX_BITS.cast_signed());
        // Rounding may leave nothing a unit below 0.
        let index = |value: u64| value.cast_signed().max(0) as f64 * unit;
        let told = passes.iter().zip(indices);
        let told = told.map(|(passes, value)| (*passes == 1).then(|| index(*value)));
        let told: Vec<Option<f64>> = told.collect();
        Some(told.chunks(self.bins.len()).map(<[_]>::to_vec).collect())
    }

    fn check(&self, counts: &Share<u64>) -> Result<(), ProtocolError> {
        let fits = self.n_samples > 0
            && self.at_least > 0
            && !self.bins.is_empty()
            && !self.bins.contains(&0)
            && counts.len() == self.n_cells();
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "each bin has a count of the base, and one of each sample that is compared with it",
            }),
        }
    }

    fn total_format(&self) -> Format {
        Format {
            frac_bits: TOTAL_BITS,
            bound_bits: MAX_ROWS.ilog2() + 1,
            method: self.method,
        }
    }

    fn share_format(&self) -> Format {
        Format {
            frac_bits: SHARE_BITS,
            bound_bits: SHARE_BITS + 2,
            method: self.method,
        }
    }

    /// Whether cells are compared with a minimum.
    fn has_minimum(&self) -> bool {
        self.min_cell > 1
    }

    /// Counts that are compared: cells if there is a minimum, and all totals.
    fn n_compared(&self) -> usize {
        self.n_spreads() + usize::from(self.has_minimum()) * self.n_cells()
    }
}

/// Compares how rows are spread over bins.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `counts`: of the base, and then of each sample, the rows in each bin of the first feature, the second one
///   and so on. Every row is in one bin of each feature, and there are at most 2^20 of a sample; takes [`price`]
/// # Output    shares of [`Shape::n_figures`] numbers: of each sample and feature whether its index is told, and then these
///   indices with 20 fractional bits, 0 where they are not. One is told if base and sample have as many rows as the shape
///   says, and each bin that has rows of one of them has enough of these. Indices are good to 10^−4 of themselves and 10^−5
/// # Cost      [`price`]: an inverse a sample, a logarithm and a comparison a cell
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape
/// # Errors    [`ProtocolError::InvalidInput`] if shape and counts do not fit, and those of [`function::reciprocal`]
/// # Source    Siddiqi, Credit Risk Scorecards, 2006, ch. 8 (system stability and characteristic analysis); on shares:
///   CRYPTO §4.5
pub async fn indices(
    session: &mut Session,
    counts: &Share<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    session.ended_by(shape.check(counts))?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&price(seats, shape).needs))?;
    let totals = totals(counts, shape);
    let shares = shares(session, (counts, &totals), shape, stock).await?;
    let logs = function::log(session, &shares, shape.share_format(), stock).await?;
    let [shares, logs] = [shares, logs].map(|of| beside_base(&of, shape));
    let terms = mul::mul(session, &shares, &logs, stock).await?;
    let mut rest = terms.as_slice();
    let sums = (0..shape.n_samples)
        .flat_map(|_| &shape.bins)
        .map(|n_bins| {
            let (own, after) = rest.split_at(*n_bins);
            rest = after;
            ring::sum(own)
        });
    let sums = Share::new(sums.collect());
    let sums = shift(session, sums, TO_INDEX, stock).await?;
    let mut passes = passes(session, (counts, &totals), shape, stock).await?;
    let told = mul::mul(session, &sums, &passes, stock).await?;
    passes.append(told);
    Ok(passes)
}

/// The declared price of [`indices`].
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let (n_cells, n_indices, method) = (shape.n_cells(), shape.n_indices(), shape.method);
    let n_compared = shape.n_compared();
    let is_none = match shape.has_minimum() {
        true => compare::equal_zero_price::<u64>(seats, n_cells, COUNT_BITS, method),
        false => Price::nothing(seats),
    };
    let n_terms = shape.n_samples * shape.n_bins();
    function::reciprocal_price::<u64>(seats, shape.n_spreads(), shape.total_format())
        .then(&mul_shift_price::<u64>(seats, n_cells, TO_SHARES))
        .then(&order::min_max_price::<u64>(
            seats,
            n_cells,
            SHARE_BITS + 2,
            method,
        ))
        .then(&function::log_price::<u64>(
            seats,
            n_cells,
            shape.share_format(),
        ))
        .then(&mul::price::<u64>(seats, n_terms))
        .then(&shift_price::<u64>(seats, n_indices, TO_INDEX))
        .then(&compare::less_than_zero_price::<u64>(
            seats, n_compared, COUNT_BITS, method,
        ))
        .then(&is_none)
        .then(&convert::planes_price::<u64>(seats, n_compared, 1))
        .then(&compare::equal_zero_price::<u64>(
            seats, n_indices, COUNT_BITS, method,
        ))
        .then(&convert::planes_price::<u64>(seats, n_indices, 1))
        .then(&mul::price::<u64>(seats, n_indices))
}

/// All rows of the base, and of each sample: those in the bins of the first feature.
fn totals(counts: &Share<u64>, shape: &Shape) -> Share<u64> {
    let spreads = counts.as_slice().chunks_exact(shape.n_bins());
    let totals = spreads.map(|bins| ring::sum(&bins[..shape.bins[0]]));
    Share::new(totals.collect())
}

/// Shares of rows, none less than the least one.
async fn shares(
    session: &mut Session,
    (counts, totals): (&Share<u64>, &Share<u64>),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let inverses = function::reciprocal(session, totals, shape.total_format(), stock).await?;
    let inverses = inverses.as_slice().iter();
    let inverses = inverses.flat_map(|one| std::iter::repeat_n(*one, shape.n_bins()));
    let inverses = Share::new(inverses.collect());
    let shares = mul_shift(session, counts, &inverses, TO_SHARES, stock).await?;
    let least = (LEAST_SHARE * 2f64.powi(SHARE_BITS.cast_signed())).round() as u64;
    let own = if session.seat() == Seat(0) { least } else { 0 };
    let least = Share::new(vec![own; shares.len()]);
    let bits = SHARE_BITS + 2;
    let (_, greater) = order::min_max(session, &shares, &least, bits, shape.method, stock).await?;
    Ok(greater)
}

/// What each sample has more than the base, bin by bin.
fn beside_base(of: &Share<u64>, shape: &Shape) -> Share<u64> {
    let (base, samples) = of.as_slice().split_at(shape.n_bins());
    let more = samples.iter().zip(base.iter().cycle());
    Share::new(more.map(|(a, e)| a.wrapping_sub(*e)).collect())
}

/// Whether each index is told.
async fn passes(
    session: &mut Session,
    (counts, totals): (&Share<u64>, &Share<u64>),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let me = session.seat().index();
    let is_first = session.seat() == Seat(0);
    let least = |n: u64| match is_first {
        true => n.min(1 << (COUNT_BITS - 1)),
        false => 0,
    };
    let cells = if shape.has_minimum() {
        counts.as_slice()
    } else {
        &[]
    };
    let margins = cells.iter().map(|n| n.wrapping_sub(least(shape.min_cell)));
    let of_totals = totals.as_slice().iter();
    let margins = margins.chain(of_totals.map(|n| n.wrapping_sub(least(shape.at_least))));
    let margins = Share::new(margins.collect());
    let mut holds =
        compare::less_than_zero(session, &margins, COUNT_BITS, shape.method, stock).await?;
    holds.not(me);
    if shape.has_minimum() {
        // Enough rows or none: never both.
        let mut is_none =
            compare::equal_zero(session, counts, COUNT_BITS, shape.method, stock).await?;
        is_none.append(BitShare::zero(totals.len()));
        holds.xor_assign(&is_none);
    }
    let holds = convert::bit_to_arith::<u64>(session, &holds, stock).await?;
    let (cells, totals) = holds.as_slice().split_at(cells.len());
    let of_cells = |spread: usize, bins: std::ops::Range<usize>| match cells {
        [] => 0,
        cells => ring::sum(&cells[spread * shape.n_bins()..][bins]),
    };
    let mut missing = Vec::with_capacity(shape.n_indices());
    for sample in 1..shape.n_spreads() {
        let mut first = 0;
        for n_bins in &shape.bins {
            let bins = first..first + n_bins;
            first = bins.end;
            let wanted = 2 + if cells.is_empty() { 0 } else { 2 * n_bins };
            let own = [
                totals[0],
                totals[sample],
                of_cells(0, bins.clone()),
                of_cells(sample, bins),
            ];
            let wanted = if is_first { wanted as u64 } else { 0 };
            missing.push(ring::sum(&own).wrapping_sub(wanted));
        }
    }
    let missing = Share::new(missing);
    let all = compare::equal_zero(session, &missing, COUNT_BITS, shape.method, stock).await?;
    convert::bit_to_arith::<u64>(session, &all, stock).await
}
