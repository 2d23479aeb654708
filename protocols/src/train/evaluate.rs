//! How well scores tell bad rows from good ones: area under the curve and Kolmogorov–Smirnov distance.
//!
//! Rows are sorted by score on shares. With B_i and G_i bad and good rows up to row i, and b_i and g_i those
//! up to it of its own score, the pairs in which the bad row has the greater score, a tie for one half, are
//! half of Σ b·(2·G − g_i) + Σ g·b_i; the distance is the greatest |B_i·G − G_i·B|/(B·G) over rows that end a
//! score. Rows that are neither bad nor good count nowhere.

use crate::arith::compare::{self, Method};
use crate::arith::matmul::{self as products, matmul};
use crate::arith::{convert, copy, mul, mux, order};
use crate::correlate::{MatrixShape, Stock};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::scan;
use crate::session::Session;
use crate::sort;
use crate::table::{Table, TableShape};
use engine::ring;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// Most rows: pairs of them, twice, stay below 2^42.
pub const MAX_ROWS: usize = 1 << 20;

/// Scores are compared with 12 fractional bits, and are below 2^11.
const KEY_BITS: usize = 24;
const KEY_FRAC_BITS: u32 = 12;

/// Bits of a difference of products of two counts.
const DISTANCE_BITS: u32 = 42;

/// Bits of counts.
const COUNT_BITS: u32 = 22;

/// The public shape of an [`evaluate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of rows, at most [`MAX_ROWS`].
    pub n_rows: usize,
    /// Fractional bits of scores, at least 12.
    pub score_bits: u32,
    /// Fewest bad and fewest good rows of which anything is told.
    pub at_least: u64,
    /// The method of comparisons and conversions.
    pub method: Method,
}

/// How many figures come out.
pub const N_FIGURES: usize = 4;

/// What the figures say. `None` where too few rows are bad, or good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Bad rows.
    pub n_bad: u64,
    /// Good rows.
    pub n_good: u64,
    /// Area under the curve of the greater score for the bad.
    pub auc: f64,
    /// Greatest distance between the shares of bad and good rows up to a score.
    pub ks: f64,
}

impl Figures {
    /// Reads what was revealed of the shares of [`evaluate`].
    #[must_use]
    pub fn of(revealed: &[u64]) -> Option<Self> {
        let &[n_bad, n_good, pairs, distance] = revealed else {
            return None;
        };
        let n_pairs = n_bad as f64 * n_good as f64;
        (n_pairs > 0.0).then(|| Self {
            n_bad,
            n_good,
            auc: pairs as f64 / (2.0 * n_pairs),
            ks: distance as f64 / n_pairs,
        })
    }
}

/// The rows that are compared, in shares.
pub struct Rows {
    /// Scores with the shape's fractional bits, in (−2^11, 2^11).
    pub scores: Share<u64>,
    /// 1 for bad rows that count, 0 for all others.
    pub bad: Share<u64>,
    /// 1 for good rows that count, 0 for all others.
    pub good: Share<u64>,
}

/// Sorts rows by their scores and adds up what the figures are made of.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `rows`: as the shape says; takes [`price`]
/// # Output    shares of [`N_FIGURES`] numbers: bad rows, good rows, twice the pairs in order, the greatest
///   distance times both counts; all zero if there are fewer bad or good rows than the shape says. Scores
///   that agree to 2^−12 are ties
/// # Cost      [`price`]: a sort by 24 bits, a scan, and a comparison for each row, in a tournament
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. What is opened is what sorting
///   opens: random permutations
/// # Errors    [`ProtocolError::InvalidInput`] if shape and rows do not fit, those of [`sort::radix`]
/// # Source    Mann–Whitney, 1947, with mid-ranks; Hanley–McNeil, 1982; on shares: CRYPTO §4.5
pub async fn evaluate(
    session: &mut Session,
    rows: Rows,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    session.ended_by(shape.check(&rows))?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&price(seats, shape).needs))?;
    let (n, method) = (shape.n_rows, shape.method);
    let Rows { scores, bad, good } = rows;
    let mut keys = scores;
    if session.seat() == Seat(0) {
        crate::arith::add_to_all(&mut keys, 1 << (shape.score_planes() - 1));
    }
    // All bits, of which the low ones are left out: a truncation that may round up would part equal scores.
    let keys = convert::a2b(session, &keys, shape.score_planes(), method, stock).await?;
    let keys = &keys[shape.low_planes()..];
    let table = Table::new(n, keys, &[], vec![bad, good], vec![]);
    let table = sort::sort(session, table, stock).await?;
    let same = scan::same_group(session, &table, 0..KEY_BITS, stock).await?;
    let (columns, _) = table.into_ring_columns();
    let own = columns.iter().map(copy).collect();
    let tied = scan::sums(session, &same, own, stock).await?;
    let up_to: Vec<Share<u64>> = columns.iter().map(running).collect();
    let totals: Vec<u64> = columns.iter().map(|c| ring::sum(c.as_slice())).collect();
    let pairs = pairs(session, &columns, &tied, &up_to[1], stock).await?;
    let distance = distance(session, (&up_to, &totals), &same, shape, stock).await?;
    let mut figures = Share::new(totals);
    let passes = passes(session, &figures, shape, stock).await?;
    figures.append(pairs);
    figures.append(distance);
    let passes = Share::new(vec![passes; N_FIGURES]);
    mul::mul(session, &figures, &passes, stock).await
}

/// The declared price of [`evaluate`].
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let (n, method) = (shape.n_rows, shape.method);
    convert::a2b_price::<u64>(seats, n, shape.score_planes(), method)
        .then(&sort::price(table_shape(n), seats))
        .then(&scan::same_group_price(n, KEY_BITS, seats))
        .then(&scan::sums_price::<u64>(n, 2, seats))
        .then(&products::price::<u64>(seats, products::dot_shape(2 * n)))
        .then(&distance_price(seats, shape))
        .then(&passes_price(seats, shape))
        .then(&mul::price::<u64>(seats, N_FIGURES))
}

impl Shape {
    fn check(&self, rows: &Rows) -> Result<(), ProtocolError> {
        let lengths = [&rows.scores, &rows.bad, &rows.good].map(Share::len);
        let fits = (1..=MAX_ROWS).contains(&self.n_rows)
            && lengths == [self.n_rows; 3]
            && (KEY_FRAC_BITS..=40).contains(&self.score_bits);
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "an evaluation has 1 to 2^20 rows, with a score, and bad and good ones marked",
            }),
        }
    }

    /// Bits of scores that are not compared.
    fn low_planes(&self) -> usize {
        (self.score_bits - KEY_FRAC_BITS) as usize
    }

    /// All bits of scores.
    fn score_planes(&self) -> usize {
        KEY_BITS + self.low_planes()
    }
}

fn table_shape(n_rows: usize) -> TableShape {
    TableShape {
        n_rows,
        key_bits: KEY_BITS,
        extra_bits: 0,
        ring64: 2,
        ring128: 0,
    }
}

/// The sum up to each row.
fn running(column: &Share<u64>) -> Share<u64> {
    let sums = column.as_slice().iter().scan(0u64, |sum, value| {
        *sum = sum.wrapping_add(*value);
        Some(*sum)
    });
    Share::new(sums.collect())
}

/// Σ b·(2·G − g_i) + Σ g·b_i.
async fn pairs(
    session: &mut Session,
    columns: &[Share<u64>],
    tied: &[Share<u64>],
    good_up_to: &Share<u64>,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let below = good_up_to.as_slice().iter().zip(tied[1].as_slice());
    let below = below.map(|(all, tied)| all.wrapping_mul(2).wrapping_sub(*tied));
    let right: Vec<u64> = below.chain(tied[0].as_slice().iter().copied()).collect();
    let mut left = copy(&columns[0]);
    left.append(copy(&columns[1]));
    products::dot(session, &left, &Share::new(right), stock).await
}

/// The greatest |B_i·G − G_i·B| over rows that end a score.
async fn distance(
    session: &mut Session,
    (up_to, totals): (&[Share<u64>], &[u64]),
    same: &BitShare,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let n = shape.n_rows;
    let both = up_to[0].as_slice().iter().zip(up_to[1].as_slice());
    let both = Share::new(both.flat_map(|(b, g)| [*b, *g]).collect());
    let factors = Share::new(vec![totals[1], totals[0].wrapping_neg()]);
    let differences = matmul(session, &both, &factors, distance_shape(n), stock).await?;
    // A row ends a score if the next one does not go on with it; the last row does.
    let mut ends = same.picked(1..n);
    ends.append(BitShare::zero(1));
    ends.not(session.seat().index());
    let kept = mux::times(session, &ends, &differences, stock).await?;
    let (sizes, _) = order::abs(session, &kept, DISTANCE_BITS, shape.method, stock).await?;
    greatest(session, sizes, shape.method, stock).await
}

fn distance_shape(n_rows: usize) -> MatrixShape {
    MatrixShape {
        m: n_rows,
        k: 2,
        n: 1,
    }
}

fn distance_price(seats: Seats, shape: &Shape) -> Price {
    let n = shape.n_rows;
    products::price::<u64>(seats, distance_shape(n))
        .then(&mux::price::<u64>(seats, n))
        .then(&order::min_max_price::<u64>(
            seats,
            n,
            DISTANCE_BITS,
            shape.method,
        ))
        .then(&greatest_price(seats, n, shape.method))
}

/// The greatest of numbers: halves meet each other.
async fn greatest(
    session: &mut Session,
    mut values: Share<u64>,
    method: Method,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    while values.len() > 1 {
        let half = values.len() / 2;
        let mut rest = values.split_off(half);
        let odd = rest.split_off(half);
        let mut behind = copy(&values);
        behind.sub_assign(&rest);
        let is_less =
            compare::less_than_zero(session, &behind, DISTANCE_BITS, method, stock).await?;
        behind.negate();
        let gain = mux::times(session, &is_less, &behind, stock).await?;
        values.add_assign(&gain);
        values.append(odd);
    }
    Ok(values)
}

fn greatest_price(seats: Seats, mut n: usize, method: Method) -> Price {
    let mut price = Price::nothing(seats);
    while n > 1 {
        let half = n / 2;
        price = price
            .then(&compare::less_than_zero_price::<u64>(
                seats,
                half,
                DISTANCE_BITS,
                method,
            ))
            .then(&mux::price::<u64>(seats, half));
        n = n.div_ceil(2);
    }
    price
}

/// This seat's share of whether there are enough bad rows and enough good ones.
async fn passes(
    session: &mut Session,
    totals: &Share<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<u64, ProtocolError> {
    let me = session.seat().index();
    let mut margins = copy(totals);
    let least = shape.at_least.min(1 << (COUNT_BITS - 1)).wrapping_neg();
    margins.add_public(me, &[least, least]);
    let mut holds =
        compare::less_than_zero(session, &margins, COUNT_BITS, shape.method, stock).await?;
    holds.not(me);
    let mut bad = convert::bit_to_arith::<u64>(session, &holds, stock).await?;
    let good = bad.split_off(1);
    Ok(mul::mul(session, &bad, &good, stock).await?.as_slice()[0])
}

fn passes_price(seats: Seats, shape: &Shape) -> Price {
    compare::less_than_zero_price::<u64>(seats, 2, COUNT_BITS, shape.method)
        .then(&convert::planes_price::<u64>(seats, 2, 1))
        .then(&mul::price::<u64>(seats, 1))
}
