//! The value at a rank, from a histogram over a public list of values.
//!
//! Each holder counts its own rows by group and value; the counts are shares as they stand, and so are their running
//! totals C(v). A rank is a linear condition on C(v) and the number of rows n = C(last), and the value at the rank is
//! the first that meets it. The bits of the condition are 0 up to there and 1 from there on, so each is XORed with
//! the one before, and what is left is a single 1 at the value. Its index is a XOR of such bits: nothing more is sent.

use crate::arith::compare;
use crate::boolean::xor;
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// The first value with `times`·C(v) ≥ `of_total`·n + `at_least`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Factor of the running total.
    pub times: u64,
    /// Factor of the number of rows.
    pub of_total: u64,
    /// What the difference of the two has to reach.
    pub at_least: i64,
}

impl Rank {
    /// The least value.
    pub fn first() -> Self {
        Self {
            times: 1,
            of_total: 0,
            at_least: 1,
        }
    }

    /// The inverse of the distribution function at p = `numerator` / `denominator`: the ⌈p·n⌉-th value, and the first
    /// for p = 0. Quantile of type 1.
    pub fn inverse(numerator: u64, denominator: u64) -> Self {
        Self {
            times: denominator,
            of_total: numerator,
            at_least: i64::from(numerator == 0),
        }
    }

    /// With h = p·(n − 1), the value with ⌊h⌋ others before it: the lower neighbour of the quantile of type 7.
    pub fn below(numerator: u64, denominator: u64) -> Self {
        Self {
            times: denominator,
            of_total: numerator,
            at_least: 1 - signed(numerator),
        }
    }

    /// The value with ⌈h⌉ others before it: the upper neighbour.
    pub fn above(numerator: u64, denominator: u64) -> Self {
        Self {
            times: denominator,
            of_total: numerator,
            at_least: signed(denominator) - signed(numerator),
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("numerators and denominators are small")
}

/// The public shape of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankShape {
    /// Number of groups.
    pub n_cells: usize,
    /// Number of values, at least 1.
    pub n_values: usize,
    /// The ranks that are wanted in every group.
    pub ranks: Vec<Rank>,
    /// No group has more rows than this, over all holders.
    pub rows_at_most: u64,
}

impl RankShape {
    /// Bits of a value's index.
    pub fn index_bits(&self) -> usize {
        let last = self.n_values.saturating_sub(1);
        (usize::BITS - last.leading_zeros()) as usize
    }

    /// Bits that hold both sides of every condition.
    fn bound_bits(&self) -> u32 {
        let most = |rank: &Rank| {
            let factors = rank.times.saturating_add(rank.of_total).saturating_add(1);
            factors.saturating_mul(self.rows_at_most.max(1))
        };
        let most = self.ranks.iter().map(most).max().unwrap_or(1);
        64 - most.leading_zeros()
    }

    /// Lanes of one condition: whole words, so that values come apart without shifting.
    fn n_lanes(&self) -> usize {
        64 * bits::words_for(self.n_cells)
    }

    /// All comparisons: of every rank with every value but the last, which meets every condition.
    fn n_comparisons(&self) -> usize {
        self.ranks.len() * self.n_values.saturating_sub(1) * self.n_lanes()
    }

    fn check(&self) -> Result<(), ProtocolError> {
        if self.n_values > 0 && self.bound_bits() <= compare::MAX_BOUND_BITS {
            return Ok(());
        }
        Err(ProtocolError::InvalidInput {
            what: "a search has values, and its ranks times the rows stay below 2^63",
        })
    }
}

/// Finds the index of the value at each rank, in each group.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `counts`: shares of the number of rows of every value and group, all groups of the first value first;
///   takes [`price`]
/// # Output    for each rank [`RankShape::index_bits`] planes of n shared bits. In a group without rows an index of
///   no meaning
/// # Cost      [`price`]: the rounds of one [`compare::at_least`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape
/// # Errors    [`ProtocolError::InvalidInput`], [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    own composition of [`compare::at_least`]
pub async fn find(
    session: &mut Session,
    counts: &Share<u64>,
    shape: &RankShape,
    stock: &mut Stock,
) -> Result<Vec<Vec<BitShare>>, ProtocolError> {
    shape.check()?;
    if counts.len() != shape.n_values * shape.n_cells {
        return Err(ProtocolError::InvalidInput {
            what: "a histogram has a count for every value and group",
        });
    }
    let me = session.seat().index();
    let totals = running_totals(counts, shape);
    let (sides, thresholds) = conditions(&totals, shape, me);
    let bound_bits = shape.bound_bits();
    let holds = compare::at_least(session, &sides, &thresholds, bound_bits, stock).await?;
    let n_words = bits::words_for(shape.n_cells);
    let mut all = holds.as_words().chunks(n_words.max(1));
    let plane = |words: &[u64]| BitShare::from_words(shape.n_cells, words.to_vec());
    let of_rank = |_| {
        let conditions = (1..shape.n_values).map(|_| all.next().map(plane));
        let conditions = conditions.map(|p| p.unwrap_or_else(|| BitShare::zero(shape.n_cells)));
        index_of_first(conditions.collect(), shape, me)
    };
    Ok(shape.ranks.iter().map(of_rank).collect())
}

/// C(v) by value and group.
fn running_totals(counts: &Share<u64>, shape: &RankShape) -> Share<u64> {
    let mut totals = counts.as_slice().to_vec();
    for at in shape.n_cells..totals.len() {
        totals[at] = totals[at].wrapping_add(totals[at - shape.n_cells]);
    }
    Share::new(totals)
}

/// Both sides of all conditions, shifted so that they are never negative.
fn conditions(totals: &Share<u64>, shape: &RankShape, me: usize) -> (Share<u64>, Vec<u64>) {
    let n_cells = shape.n_cells;
    let of_value = |v: usize| &totals.as_slice()[v * n_cells..(v + 1) * n_cells];
    let n = of_value(shape.n_values - 1);
    let mut sides = Vec::with_capacity(shape.n_comparisons());
    let mut thresholds = Vec::with_capacity(shape.n_comparisons());
    for rank in &shape.ranks {
        let shift = rank.of_total.wrapping_mul(shape.rows_at_most.max(1));
        let shared_shift = if me == 0 { shift } else { 0 };
        let threshold = shift.wrapping_add_signed(rank.at_least);
        for v in 0..shape.n_values - 1 {
            let cells = of_value(v).iter().zip(n).map(|(c, n)| {
                let side = rank.times.wrapping_mul(*c);
                side.wrapping_sub(rank.of_total.wrapping_mul(*n))
                    .wrapping_add(shared_shift)
            });
            sides.extend(cells);
            let end = thresholds.len() + shape.n_lanes();
            sides.resize(end, 0);
            thresholds.resize(end, threshold);
        }
    }
    (Share::new(sides), thresholds)
}

/// The index of the first condition that holds; the one after the last holds always.
fn index_of_first(conditions: Vec<BitShare>, shape: &RankShape, me: usize) -> Vec<BitShare> {
    let mut always = BitShare::zero(shape.n_cells);
    always.not(me);
    let mut planes: Vec<BitShare> = (0..shape.index_bits())
        .map(|_| BitShare::zero(shape.n_cells))
        .collect();
    let mut before = BitShare::zero(shape.n_cells);
    for (v, holds) in conditions.into_iter().chain([always]).enumerate() {
        let is_first = xor(&before, &holds);
        let set = planes
            .iter_mut()
            .enumerate()
            .filter(|(bit, _)| v >> bit & 1 == 1);
        for (_, plane) in set {
            plane.xor_assign(&is_first);
        }
        before = holds;
    }
    planes
}

/// The declared price of one [`find`].
pub fn price(seats: Seats, shape: &RankShape) -> Price {
    let (bits, n_items) = (shape.bound_bits(), shape.n_comparisons());
    let Seats {
        n_seats,
        n_computing,
    } = seats;
    Price {
        needs: compare::needs(n_computing, bits, n_items),
        cost: compare::cost(n_seats, n_computing, bits, n_items),
    }
}
