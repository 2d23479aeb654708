//! How well scores tell bad rows from good ones: area under the curve, Kolmogorov–Smirnov distance, and what else is
//! asked for.
//!
//! Rows are sorted by score on shares, the greatest first. With B_i and G_i bad and good rows up to row i, and
//! b_i and g_i those up to it of its own score, the pairs in which the bad row has the greater score, a tie for
//! one half, are half of Σ g·(2·B_i − b_i) + Σ b·g_i; the distance is the greatest |B_i·G − G_i·B|/(B·G) over
//! rows that end a score. Rows that are neither bad nor good count nowhere.
//!
//! What the logistic function makes of scores gives log loss and Brier score (`losses`); how many rows are
//! before a row gives deciles, lift and stability (`cuts`). How rows are spread over the bins of features is compared
//! by [`characteristics`].

pub mod characteristics;
mod cuts;
mod losses;

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

pub use cuts::{Above, Calibration, Confusion, Stability};
pub use losses::Losses;

/// Most rows: pairs of them, twice, stay below 2^42.
pub const MAX_ROWS: usize = 1 << 20;

/// Scores are compared with 12 fractional bits, and are below 2^11.
const KEY_BITS: usize = 24;
const KEY_FRAC_BITS: u32 = 12;

/// Bits of a difference of products of two counts.
const DISTANCE_BITS: u32 = 42;

/// Bits of counts.
const COUNT_BITS: u32 = 22;

/// What is asked for beside counts, area and distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// Log loss and Brier score.
    pub losses: bool,
    /// Rows, bad ones and mean risk of each tenth of the rows.
    pub calibration: bool,
    /// Bad rows among the tenth with the greatest scores.
    pub lift: bool,
    /// Bad and good rows above three scores.
    pub confusion: bool,
    /// How scores are distributed compared with those of other rows.
    pub stability: bool,
}

/// The public shape of an [`evaluate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of rows, at most [`MAX_ROWS`].
    pub n_rows: usize,
    /// Fractional bits of scores, at least 12.
    pub score_bits: u32,
    /// Fewest bad and fewest good rows of which anything is told.
    pub at_least: u64,
    /// What is asked for.
    pub asks: Asks,
    /// Fewest bad and fewest good rows between any two scores at which they are counted. At 1 or less any
    /// number is told.
    pub min_cell: u64,
    /// The method of comparisons and conversions.
    pub method: Method,
}

/// How many figures come out where nothing further is asked for.
pub const N_FIGURES: usize = 4;

/// What the figures say. `None` where too few rows are bad, or good.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Bad rows.
    pub n_bad: u64,
    /// Good rows.
    pub n_good: u64,
    /// Area under the curve of the greater score for the bad.
    pub auc: f64,
    /// Greatest distance between the shares of bad and good rows up to a score.
    pub ks: f64,
    /// Log loss and Brier score, if asked for.
    pub losses: Option<Losses>,
    /// Tenths of the rows; `None` if not asked for, or if a cell is too small. So are the next ones.
    pub calibration: Option<Calibration>,
    /// The tenth with the greatest scores.
    pub lift: Option<Above>,
    /// Rows above three scores.
    pub confusion: Option<Confusion>,
    /// Scores beside those of other rows.
    pub stability: Option<Stability>,
}

impl Figures {
    /// Reads what was revealed of the shares of [`evaluate`].
    #[must_use]
    pub fn of(revealed: &[u64], asks: Asks) -> Option<Self> {
        if revealed.len() != asks.n_figures() {
            return None;
        }
        let (main, mut rest) = revealed.split_at(N_FIGURES);
        let &[n_bad, n_good, pairs, distance] = main else {
            return None;
        };
        let n_pairs = n_bad as f64 * n_good as f64;
        let n = n_bad + n_good;
        (n_pairs > 0.0).then(|| Self {
            n_bad,
            n_good,
            auc: pairs as f64 / (2.0 * n_pairs),
            ks: distance as f64 / n_pairs,
            losses: taken(&mut rest, asks.losses, losses::N_FIGURES).map(|f| Losses::of(f, n)),
            calibration: told(&mut rest, asks.calibration, cuts::N_CALIBRATION)
                .map(|f| Calibration::of(f, [n_bad, n_good])),
            lift: told(&mut rest, asks.lift, cuts::N_LIFT).map(Above::of),
            confusion: told(&mut rest, asks.confusion, cuts::N_CONFUSION).map(Confusion::of),
            stability: told(&mut rest, asks.stability, cuts::N_STABILITY)
                .map(|f| Stability::of(f, n)),
        })
    }
}

/// The next figures, if they were asked for.
fn taken<'a>(rest: &mut &'a [u64], is_asked: bool, n: usize) -> Option<&'a [u64]> {
    if !is_asked {
        return None;
    }
    let (first, after) = rest.split_at(n);
    *rest = after;
    Some(first)
}

/// The next figures but for the first, which says whether they are told.
fn told<'a>(rest: &mut &'a [u64], is_asked: bool, n: usize) -> Option<&'a [u64]> {
    let (passes, figures) = taken(rest, is_asked, n)?.split_first()?;
    (*passes == 1).then_some(figures)
}

impl Asks {
    /// How many figures come out.
    #[must_use]
    pub fn n_figures(self) -> usize {
        let groups = [
            (self.losses, losses::N_FIGURES),
            (self.calibration, cuts::N_CALIBRATION),
            (self.lift, cuts::N_LIFT),
            (self.confusion, cuts::N_CONFUSION),
            (self.stability, cuts::N_STABILITY),
        ];
        let more = groups
            .iter()
            .map(|(is_asked, n)| usize::from(*is_asked) * n);
        N_FIGURES + more.sum::<usize>()
    }

    fn has_risks(self) -> bool {
        self.losses || self.calibration
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
    /// 1 for rows with which scores are compared, which do not count; if stability is asked for.
    pub base: Option<Share<u64>>,
}

/// Rows that have been sorted, the greatest score first.
struct Sorted {
    bad: Share<u64>,
    good: Share<u64>,
    base: Option<Share<u64>>,
    /// What the logistic function makes of the scores of rows that count; if that is needed.
    risks: Option<Share<u64>>,
    /// 1 for rows with the score of the one before.
    same: BitShare,
    /// 1 for rows with a score below 0.
    is_low: BitShare,
    /// Bad and good rows up to each row.
    up_to: [Share<u64>; 2],
    /// Bad and good rows, and rows of the base, of a row's own score up to it.
    tied: Vec<Share<u64>>,
    /// All bad and good rows.
    totals: [u64; 2],
}

/// Sorts rows by their scores and adds up what the figures are made of.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `rows`: as the shape says; takes [`price`]
/// # Output    shares of [`Asks::n_figures`] numbers: bad rows, good rows, twice the pairs in order, the greatest
///   distance times both counts, and what is asked for; all zero if there are fewer bad or good rows than the
///   shape says, and those of a group if a cell is too small. Scores that agree to 2^−12 are ties
/// # Cost      [`price`]: a sort by 24 bits, a scan, and a comparison for each row, in a tournament; nine for
///   calibration and for stability, one for lift; a logistic function and a logarithm for losses
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
    let marks = [&rows.bad, &rows.good];
    let risks = losses::risks(session, (&rows.scores, marks), shape, stock).await?;
    let sorted = sorted(session, rows, risks.of_rows, shape, stock).await?;
    let pairs = pairs(session, &sorted, stock).await?;
    let (distance, at) = distance(session, &sorted, shape, stock).await?;
    let mut figures = Share::new(sorted.totals.to_vec());
    let passes = passes(session, &figures, shape, stock).await?;
    figures.append(pairs);
    figures.append(distance);
    figures.append(risks.losses);
    let counted = cuts::counted(session, &sorted, &at, shape, stock).await?;
    figures.append(counted);
    let passes = Share::new(vec![passes; figures.len()]);
    mul::mul(session, &figures, &passes, stock).await
}

/// The declared price of [`evaluate`].
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let (n, method) = (shape.n_rows, shape.method);
    let n_tied = 2 + usize::from(shape.asks.stability);
    losses::price(seats, shape)
        .then(&convert::a2b_price::<u64>(
            seats,
            n,
            shape.score_planes(),
            method,
        ))
        .then(&sort::price(table_shape(shape), seats))
        .then(&scan::same_group_price(n, KEY_BITS, seats))
        .then(&scan::sums_price::<u64>(n, n_tied, seats))
        .then(&products::price::<u64>(seats, products::dot_shape(2 * n)))
        .then(&distance_price(seats, shape))
        .then(&passes_price(seats, shape))
        .then(&cuts::price(seats, shape))
        .then(&mul::price::<u64>(seats, shape.asks.n_figures()))
}

impl Shape {
    fn check(&self, rows: &Rows) -> Result<(), ProtocolError> {
        let lengths = [&rows.scores, &rows.bad, &rows.good].map(Share::len);
        let base = rows.base.as_ref().map(Share::len);
        let fits = (1..=MAX_ROWS).contains(&self.n_rows)
            && lengths == [self.n_rows; 3]
            && base == self.asks.stability.then_some(self.n_rows)
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

fn table_shape(shape: &Shape) -> TableShape {
    TableShape {
        n_rows: shape.n_rows,
        key_bits: KEY_BITS,
        extra_bits: 0,
        ring64: 2 + usize::from(shape.asks.stability) + usize::from(shape.asks.has_risks()),
        ring128: 0,
    }
}

/// Sorts rows by score, the greatest first.
async fn sorted(
    session: &mut Session,
    rows: Rows,
    risks: Option<Share<u64>>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Sorted, ProtocolError> {
    let Rows {
        scores,
        bad,
        good,
        base,
    } = rows;
    let me = session.seat().index();
    let mut keys = scores;
    if session.seat() == Seat(0) {
        crate::arith::add_to_all(&mut keys, 1 << (shape.score_planes() - 1));
    }
    // All bits, of which the low ones are left out: a truncation that may round up would part equal scores.
    let mut keys = convert::a2b(session, &keys, shape.score_planes(), shape.method, stock).await?;
    keys.iter_mut().for_each(|plane| plane.not(me));
    let keys = &keys[shape.low_planes()..];
    let (has_base, has_risks) = (base.is_some(), risks.is_some());
    let columns = [bad, good].into_iter().chain(base).chain(risks).collect();
    let table = Table::new(shape.n_rows, keys, &[], columns, vec![]);
    let table = sort::sort(session, table, stock).await?;
    let same = scan::same_group(session, &table, 0..KEY_BITS, stock).await?;
    let is_low = table.planes(KEY_BITS - 1..KEY_BITS).swap_remove(0);
    let (columns, _) = table.into_ring_columns();
    let n_tied = 2 + usize::from(has_base);
    let own = columns[..n_tied].iter().map(copy).collect();
    let tied = scan::sums(session, &same, own, stock).await?;
    let mut columns = columns.into_iter();
    let mut next = || columns.next().expect("a column of the shape");
    let (bad, good) = (next(), next());
    let base = has_base.then(&mut next);
    let risks = has_risks.then(&mut next);
    Ok(Sorted {
        up_to: [running(&bad), running(&good)],
        totals: [&bad, &good].map(|c| ring::sum(c.as_slice())),
        bad,
        good,
        base,
        risks,
        same,
        is_low,
        tied,
    })
}

/// The sum up to each row.
pub(super) fn running(column: &Share<u64>) -> Share<u64> {
    let sums = column.as_slice().iter().scan(0u64, |sum, value| {
        *sum = sum.wrapping_add(*value);
        Some(*sum)
    });
    Share::new(sums.collect())
}

/// Σ g·(2·B_i − b_i) + Σ b·g_i.
async fn pairs(
    session: &mut Session,
    sorted: &Sorted,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let before = sorted.up_to[0]
        .as_slice()
        .iter()
        .zip(sorted.tied[0].as_slice());
    let before = before.map(|(all, tied)| all.wrapping_mul(2).wrapping_sub(*tied));
    let tied = sorted.tied[1].as_slice().iter().copied();
    let right: Vec<u64> = before.chain(tied).collect();
    let mut left = copy(&sorted.good);
    left.append(copy(&sorted.bad));
    products::dot(session, &left, &Share::new(right), stock).await
}

/// The greatest |B_i·G − G_i·B| over rows that end a score, and B_i and G_i where it is; these if they are needed.
async fn distance(
    session: &mut Session,
    sorted: &Sorted,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<(Share<u64>, Vec<Share<u64>>), ProtocolError> {
    let n = shape.n_rows;
    let (up_to, totals) = (&sorted.up_to, sorted.totals);
    let both = up_to[0].as_slice().iter().zip(up_to[1].as_slice());
    let both = Share::new(both.flat_map(|(b, g)| [*b, *g]).collect());
    let factors = Share::new(vec![totals[1], totals[0].wrapping_neg()]);
    let differences = matmul(session, &both, &factors, distance_shape(n), stock).await?;
    // A row ends a score if the next one does not go on with it; the last row does.
    let mut ends = sorted.same.picked(1..n);
    ends.append(BitShare::zero(1));
    ends.not(session.seat().index());
    let kept = mux::times(session, &ends, &differences, stock).await?;
    let (sizes, _) = order::abs(session, &kept, DISTANCE_BITS, shape.method, stock).await?;
    let along = match shape.asks.confusion {
        true => up_to.iter().map(copy).collect(),
        false => Vec::new(),
    };
    greatest(session, (sizes, along), shape.method, stock).await
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
    let n_along = 2 * usize::from(shape.asks.confusion);
    products::price::<u64>(seats, distance_shape(n))
        .then(&mux::price::<u64>(seats, n))
        .then(&order::min_max_price::<u64>(
            seats,
            n,
            DISTANCE_BITS,
            shape.method,
        ))
        .then(&greatest_price(seats, (n, n_along), shape.method))
}

/// The greatest of numbers, and what goes along with it: halves meet each other.
async fn greatest(
    session: &mut Session,
    (mut values, mut along): (Share<u64>, Vec<Share<u64>>),
    method: Method,
    stock: &mut Stock,
) -> Result<(Share<u64>, Vec<Share<u64>>), ProtocolError> {
    while values.len() > 1 {
        let half = values.len() / 2;
        // What the second half would add to the first, and what has no counterpart.
        let mut gains = Share::zero(0);
        let mut odd = Vec::new();
        for column in [&mut values].into_iter().chain(&mut along) {
            let mut rest = column.split_off(half);
            odd.push(rest.split_off(half));
            rest.sub_assign(column);
            gains.append(rest);
        }
        let mut behind = Share::new(gains.as_slice()[..half].to_vec());
        behind.negate();
        let is_less =
            compare::less_than_zero(session, &behind, DISTANCE_BITS, method, stock).await?;
        let mut bits = BitShare::zero(0);
        for _ in 0..=along.len() {
            bits.append(is_less.picked(0..half));
        }
        let gains = mux::times(session, &bits, &gains, stock).await?;
        let gains = gains.as_slice().chunks_exact(half);
        for ((column, gain), odd) in [&mut values]
            .into_iter()
            .chain(&mut along)
            .zip(gains)
            .zip(odd)
        {
            ring::add_assign(column.as_mut_slice(), gain);
            column.append(odd);
        }
    }
    Ok((values, along))
}

fn greatest_price(seats: Seats, (mut n, n_along): (usize, usize), method: Method) -> Price {
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
            .then(&mux::price::<u64>(seats, half * (1 + n_along)));
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
