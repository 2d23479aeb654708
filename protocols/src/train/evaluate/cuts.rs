//! Rows above some scores: tenths of the rows, confusion matrices, and how scores of two samples are distributed.
//!
//! A row's rank is a sum over the rows before it, so that whether it is above a cut is one comparison of shares;
//! how many bad and good rows are above is a product of matrices. Counts of a group of figures are told if no
//! cell between two of its cuts, or between one of them and one of the groups before, has rows and fewer bad or
//! good ones than there have to be: whoever sees all of them can take them from each other.

use super::{COUNT_BITS, MatrixShape, Shape, Sorted, losses::RISK_BITS, running};
use crate::arith::compare;
use crate::arith::matmul::{self as products, matmul};
use crate::arith::{convert, mul};
use crate::boolean;
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::ring;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// Tenths of the rows.
const N_TENTHS: usize = 10;
const N_CUTS: usize = N_TENTHS - 1;

/// Bits of ten times a rank, less a limit of that size.
const RANK_BITS: u32 = 25;

/// Rows, bad ones, and the sum of risks above each cut; and the sum of all risks.
pub(super) const N_CALIBRATION: usize = 1 + 3 * N_CUTS + 1;
/// Bad and good rows.
pub(super) const N_LIFT: usize = 3;
/// The same above three scores.
pub(super) const N_CONFUSION: usize = 1 + 2 * 3;
/// Rows of the base and rows that count up to each cut; and all rows of the base.
pub(super) const N_STABILITY: usize = 1 + 2 * N_CUTS + 1;

/// Bad and good rows above a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Above {
    /// Bad ones.
    pub bad: u64,
    /// Good ones.
    pub good: u64,
}

impl Above {
    pub(super) fn of(figures: &[u64]) -> Self {
        Self {
            bad: figures[0],
            good: figures[1],
        }
    }
}

/// Tenths of the rows by score, the lowest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Bad and good rows of each, and their mean risk.
    pub tenths: Vec<(Above, f64)>,
}

impl Calibration {
    pub(super) fn of(figures: &[u64], totals: [u64; 2]) -> Self {
        let (cuts, all) = figures.split_at(3 * N_CUTS);
        let from = [totals[0], totals[1], all[0]];
        let above = [&from[..]].into_iter().chain(cuts.chunks_exact(3));
        let above: Vec<&[u64]> = above.chain([&[0; 3][..]]).collect();
        let tenth = |pair: &[&[u64]]| {
            let of = |i: usize| pair[0][i].wrapping_sub(pair[1][i]);
            let rows = Above {
                bad: of(0),
                good: of(1),
            };
            let risks = of(2) as f64 * 2f64.powi(-RISK_BITS.cast_signed());
            (rows, risks / (rows.bad + rows.good) as f64)
        };
        Self {
            tenths: above.windows(2).map(tenth).collect(),
        }
    }
}

/// Rows at three scores and above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// At risks of one half and above.
    pub at_half: Above,
    /// Above the lowest seven tenths of the rows.
    pub at_approval: Above,
    /// From the score on at which the Kolmogorov–Smirnov distance is reached.
    pub at_ks: Above,
}

impl Confusion {
    pub(super) fn of(figures: &[u64]) -> Self {
        let [at_half, at_approval, at_ks] = [0, 2, 4].map(|i| Above::of(&figures[i..]));
        Self {
            at_half,
            at_approval,
            at_ks,
        }
    }
}

/// Two samples between the tenths of the first, the greatest score first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stability {
    /// Rows of the base.
    pub base: Vec<u64>,
    /// Rows that count.
    pub rows: Vec<u64>,
}

impl Stability {
    pub(super) fn of(figures: &[u64], n_rows: u64) -> Self {
        let (base, rows) = figures.split_at(N_CUTS);
        let (rows, n_base) = rows.split_at(N_CUTS);
        let cells = |up_to: &[u64], all: u64| {
            let up_to: Vec<u64> = [0].iter().chain(up_to).copied().chain([all]).collect();
            up_to.windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        Self {
            base: cells(base, n_base[0]),
            rows: cells(rows, n_rows),
        }
    }
}

/// A score at which rows are counted, as a limit of ten times their rank n_before, or of the score itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// 10·n_before < k·(n − 1): the k tenths with the greatest scores, as quantiles of type 7 part ranks.
    Tenths(u64),
    /// 10·n_before < n: a tenth, rounded up.
    Top,
    /// A score of 0 or more.
    Half,
    /// Where the Kolmogorov–Smirnov distance is reached; known from its search.
    Distance,
}

/// The lowest seven tenths of risks are approved.
const REFUSED: Cut = Cut::Tenths(3);

/// A group of figures that is told or not, with its cuts.
fn groups(shape: &Shape) -> Vec<Vec<Cut>> {
    let asks = shape.asks;
    // Those of calibration from the lowest on.
    let tenths = (1..=N_CUTS as u64).rev().map(Cut::Tenths);
    let groups = [
        (asks.calibration, tenths.collect()),
        (asks.lift, vec![Cut::Top]),
        (asks.confusion, vec![Cut::Half, REFUSED, Cut::Distance]),
    ];
    let asked = groups.into_iter().filter(|(is_asked, _)| *is_asked);
    asked.map(|(_, cuts)| cuts).collect()
}

/// All cuts, each once.
fn cuts(groups: &[Vec<Cut>]) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::new();
    for cut in groups.iter().flatten() {
        if !cuts.contains(cut) {
            cuts.push(*cut);
        }
    }
    cuts
}

/// Cuts at which rows have to be compared, those by rank first.
fn compared(cuts: &[Cut]) -> (Vec<Cut>, bool) {
    let ranks = cuts.iter().copied();
    let ranks = ranks.filter(|cut| matches!(cut, Cut::Tenths(_) | Cut::Top));
    (ranks.collect(), cuts.contains(&Cut::Half))
}

/// Bad and good rows, and risks, above a cut.
#[derive(Clone, Copy, Default)]
struct Node([u64; 3]);

/// What is asked for of cuts, in the order of the figures.
pub(super) async fn counted(
    session: &mut Session,
    sorted: &Sorted,
    at_distance: &[Share<u64>],
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let groups = groups(shape);
    let cuts = cuts(&groups);
    let mut figures = Share::zero(0);
    if !cuts.is_empty() {
        let nodes = nodes(session, (sorted, at_distance), &cuts, shape, stock).await?;
        let node = |cut: &Cut| nodes[cuts.iter().position(|c| c == cut).expect("one of them")];
        let totals = Node([sorted.totals[0], sorted.totals[1], 0]);
        let passes = passes(session, (&groups, &cuts), (&nodes, totals), shape, stock).await?;
        let (mut counts, mut factors) = (Vec::new(), Vec::new());
        for (group, passes) in groups.iter().zip(passes) {
            let is_calibration = group.len() == N_CUTS;
            let n_each = if is_calibration { 3 } else { 2 };
            counts.push(u64::from(session.seat() == Seat(0)));
            for cut in group {
                counts.extend_from_slice(&node(cut).0[..n_each]);
            }
            if is_calibration {
                let risks = sorted.risks.as_ref().map(|r| ring::sum(r.as_slice()));
                counts.push(risks.unwrap_or(0));
            }
            factors.resize(counts.len(), passes);
        }
        let (counts, factors) = (Share::new(counts), Share::new(factors));
        figures.append(mul::mul(session, &counts, &factors, stock).await?);
    }
    if let Some(base) = &sorted.base {
        figures.append(stability(session, (sorted, base), shape, stock).await?);
    }
    Ok(figures)
}

/// Counts above cuts.
async fn nodes(
    session: &mut Session,
    (sorted, at_distance): (&Sorted, &[Share<u64>]),
    cuts: &[Cut],
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Vec<Node>, ProtocolError> {
    let (ranks, has_half) = compared(cuts);
    let n: u64 = sorted.totals[0].wrapping_add(sorted.totals[1]);
    let one = u64::from(session.seat() == Seat(0));
    let before = before(&[&sorted.bad, &sorted.good]);
    let limit = |cut: &Cut| match cut {
        Cut::Tenths(k) => n.wrapping_sub(one).wrapping_mul(*k),
        _ => n,
    };
    let limits: Vec<u64> = ranks.iter().map(limit).collect();
    let mut above = is_below(session, (&before, &limits), shape, stock).await?;
    if has_half {
        let mut is_high = sorted.is_low.picked(0..shape.n_rows);
        is_high.not(session.seat().index());
        above.append(is_high);
    }
    let columns: Vec<&Share<u64>> = [&sorted.bad, &sorted.good]
        .into_iter()
        .chain(&sorted.risks)
        .collect();
    let n_rows = ranks.len() + usize::from(has_half);
    let found = totals_of(session, (&above, n_rows), &columns, shape, stock).await?;
    let mut found = found.as_slice().chunks_exact(columns.len());
    let mut node = |cut: &Cut| {
        let mut node = Node::default();
        match cut {
            Cut::Distance => {
                let at = at_distance.iter().map(|column| column.as_slice()[0]);
                node.0.iter_mut().zip(at).for_each(|(out, at)| *out = at);
            }
            // The score itself comes after all ranks.
            Cut::Half => {}
            Cut::Tenths(_) | Cut::Top => {
                let values = found.next().expect("a row for each cut");
                node.0[..values.len()].copy_from_slice(values);
            }
        }
        node
    };
    let mut nodes: Vec<Node> = cuts.iter().map(&mut node).collect();
    if let Some(half) = cuts.iter().position(|cut| *cut == Cut::Half) {
        let values = found.next().expect("a row for the score itself");
        nodes[half].0[..values.len()].copy_from_slice(values);
    }
    Ok(nodes)
}

/// How many of these rows are before each row.
fn before(columns: &[&Share<u64>]) -> Vec<u64> {
    let mut before = vec![0u64; columns[0].len()];
    for column in columns {
        let up_to = running(column);
        let own = up_to.as_slice().iter().zip(column.as_slice());
        for (out, (up_to, own)) in before.iter_mut().zip(own) {
            *out = out.wrapping_add(up_to.wrapping_sub(*own));
        }
    }
    before
}

/// For each limit in turn, whether ten times each rank is below it.
async fn is_below(
    session: &mut Session,
    (ranks, limits): (&[u64], &[u64]),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let differences = limits.iter().flat_map(|limit| {
        let ranks = ranks.iter();
        ranks.map(|rank| rank.wrapping_mul(N_TENTHS as u64).wrapping_sub(*limit))
    });
    let differences = Share::new(differences.collect());
    compare::less_than_zero(session, &differences, RANK_BITS, shape.method, stock).await
}

/// The totals of columns over the rows that bits say, for so many lists of bits.
async fn totals_of(
    session: &mut Session,
    (bits, n_lists): (&BitShare, usize),
    columns: &[&Share<u64>],
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let bits = convert::bit_to_arith::<u64>(session, bits, stock).await?;
    let cells = crate::train::vertical::by_row(columns);
    let shape = totals_shape(shape, n_lists, columns.len());
    matmul(session, &bits, &cells, shape, stock).await
}

fn totals_shape(shape: &Shape, n_lists: usize, n_columns: usize) -> MatrixShape {
    MatrixShape {
        m: n_lists,
        k: shape.n_rows,
        n: n_columns,
    }
}

/// Comparisons of ranks with so many limits, and totals of so many lists of rows.
fn totals_price(
    seats: Seats,
    shape: &Shape,
    (n_limits, n_lists): (usize, usize),
    n: usize,
) -> Price {
    let n_rows = shape.n_rows;
    let n_compared = n_limits * n_rows;
    compare::less_than_zero_price::<u64>(seats, n_compared, RANK_BITS, shape.method)
        .then(&convert::planes_price::<u64>(seats, n_lists * n_rows, 1))
        .then(&products::price::<u64>(
            seats,
            totals_shape(shape, n_lists, n),
        ))
}

/// Pairs of cuts between which each group has cells: with one another, with cuts of groups before, and with both ends.
fn pairs(groups: &[Vec<Cut>], cuts: &[Cut]) -> Vec<Vec<(usize, usize)>> {
    let (none, all) = (cuts.len(), cuts.len() + 1);
    let mut before = vec![none, all];
    let mut pairs = Vec::new();
    for group in groups {
        let places = group.iter().map(|cut| cuts.iter().position(|c| c == cut));
        let mut of_group = Vec::new();
        for place in places.map(|place| place.expect("one of them")) {
            of_group.extend(before.iter().filter(|b| **b != place).map(|b| (place, *b)));
            before.push(place);
        }
        pairs.push(of_group);
    }
    pairs
}

/// Whether the cells of each group are large enough.
async fn passes(
    session: &mut Session,
    (groups, cuts): (&[Vec<Cut>], &[Cut]),
    (nodes, totals): (&[Node], Node),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Vec<u64>, ProtocolError> {
    let me = session.seat().index();
    let one = u64::from(me == 0);
    if shape.min_cell <= 1 {
        return Ok(vec![one; groups.len()]);
    }
    let pairs = pairs(groups, cuts);
    let all: Vec<Node> = nodes
        .iter()
        .copied()
        .chain([Node::default(), totals])
        .collect();
    let difference = |i: usize| {
        let pairs = pairs.iter().flatten();
        let values = pairs.map(|(a, b)| all[*a].0[i].wrapping_sub(all[*b].0[i]));
        values.collect::<Vec<u64>>()
    };
    let (bad, good) = (difference(0), difference(1));
    let sizes = bad.iter().zip(&good).map(|(b, g)| b.wrapping_add(*g));
    let sizes = Share::new(sizes.collect());
    let enough = enough(session, &[&bad, &good], shape, stock).await?;
    let is_none = compare::equal_zero(session, &sizes, COUNT_BITS, shape.method, stock).await?;
    // Enough of both one way round, or the other way round, or no rows at all: never two of these.
    let mut holds = is_none;
    enough.iter().for_each(|way| holds.xor_assign(way));
    let lengths: Vec<usize> = pairs.iter().map(Vec::len).collect();
    all_hold(session, &holds, &lengths, shape, stock).await
}

/// Whether all of some columns are as large as cells have to be, and whether all their negatives are.
async fn enough(
    session: &mut Session,
    columns: &[&[u64]; 2],
    shape: &Shape,
    stock: &mut Stock,
) -> Result<[BitShare; 2], ProtocolError> {
    let n = columns[0].len();
    let least = if session.seat() == Seat(0) {
        shape.min_cell
    } else {
        0
    };
    let values = columns.iter().flat_map(|column| column.iter());
    let margins = values.clone().map(|v| v.wrapping_sub(least));
    let turned = values.map(|v| v.wrapping_neg().wrapping_sub(least));
    let margins = Share::new(margins.chain(turned).collect());
    let mut is_less =
        compare::less_than_zero(session, &margins, COUNT_BITS, shape.method, stock).await?;
    is_less.not(session.seat().index());
    let [bad, good, less_bad, less_good] = [0, 1, 2, 3].map(|i| is_less.picked(i * n..(i + 1) * n));
    let pairs = [(&bad, &good), (&less_bad, &less_good)];
    let both = boolean::and(session, &pairs, stock).await?;
    Ok(both.try_into().ok().expect("two of them"))
}

/// Whether all bits of each of some lists are 1.
async fn all_hold(
    session: &mut Session,
    bits: &BitShare,
    lengths: &[usize],
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Vec<u64>, ProtocolError> {
    let bits = convert::bit_to_arith::<u64>(session, bits, stock).await?;
    let mut rest = bits.as_slice();
    let is_first = session.seat() == Seat(0);
    let missing = lengths.iter().map(|length| {
        let (first, after) = rest.split_at(*length);
        rest = after;
        let all = if is_first { *length as u64 } else { 0 };
        ring::sum(first).wrapping_sub(all)
    });
    let missing = Share::new(missing.collect());
    let holds = compare::equal_zero(session, &missing, COUNT_BITS, shape.method, stock).await?;
    let holds = convert::bit_to_arith::<u64>(session, &holds, stock).await?;
    Ok(holds.into_vec())
}

fn all_hold_price(seats: Seats, n_bits: usize, n_lists: usize, shape: &Shape) -> Price {
    convert::planes_price::<u64>(seats, n_bits, 1)
        .then(&compare::equal_zero_price::<u64>(
            seats,
            n_lists,
            COUNT_BITS,
            shape.method,
        ))
        .then(&convert::planes_price::<u64>(seats, n_lists, 1))
}

/// Rows of the base and rows that count up to the tenths of the base, if all cells that have rows have enough.
async fn stability(
    session: &mut Session,
    (sorted, base): (&Sorted, &Share<u64>),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let is_first = session.seat() == Seat(0);
    let one = u64::from(is_first);
    let n_base = ring::sum(base.as_slice());
    // Rows of the base with a greater score: those up to a row less those of its own score among them.
    let up_to = running(base);
    let greater = up_to.as_slice().iter().zip(sorted.tied[2].as_slice());
    let greater: Vec<u64> = greater.map(|(all, tied)| all.wrapping_sub(*tied)).collect();
    // 10·rank ≤ k·(n − 1)
    let limits = (1..=N_CUTS as u64).map(|k| {
        let limit = n_base.wrapping_sub(one).wrapping_mul(k);
        limit.wrapping_add(one)
    });
    let limits: Vec<u64> = limits.collect();
    let is_up_to = is_below(session, (&greater, &limits), shape, stock).await?;
    let mut rows = Share::new(sorted.bad.as_slice().to_vec());
    rows.add_assign(&sorted.good);
    let found = totals_of(session, (&is_up_to, N_CUTS), &[base, &rows], shape, stock).await?;
    let column = |i: usize| found.as_slice().iter().skip(i).step_by(2).copied();
    let n_rows = sorted.totals[0].wrapping_add(sorted.totals[1]);
    let mut counts = vec![one];
    counts.extend(column(0).chain(column(1)).chain([n_base]));
    let passes = match shape.min_cell > 1 {
        true => {
            let cells = |up_to: Vec<u64>, all: u64| {
                let ends: Vec<u64> = [0].into_iter().chain(up_to).chain([all]).collect();
                let cells = ends.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
                cells.collect::<Vec<u64>>()
            };
            let mut all = cells(column(0).collect(), n_base);
            all.extend(cells(column(1).collect(), n_rows));
            all_large(session, all, shape, stock).await?
        }
        false => one,
    };
    let factors = Share::new(vec![passes; counts.len()]);
    mul::mul(session, &Share::new(counts), &factors, stock).await
}

/// Whether each count is 0 or large enough.
async fn all_large(
    session: &mut Session,
    counts: Vec<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<u64, ProtocolError> {
    let me = session.seat().index();
    let n = counts.len();
    let counts = Share::new(counts);
    let mut margins = Share::new(counts.as_slice().to_vec());
    margins.add_public(me, &vec![shape.min_cell.wrapping_neg(); n]);
    let mut holds =
        compare::less_than_zero(session, &margins, COUNT_BITS, shape.method, stock).await?;
    holds.not(me);
    let is_none = compare::equal_zero(session, &counts, COUNT_BITS, shape.method, stock).await?;
    holds.xor_assign(&is_none);
    Ok(all_hold(session, &holds, &[n], shape, stock).await?[0])
}

/// The declared price of [`counted`].
pub(super) fn price(seats: Seats, shape: &Shape) -> Price {
    let groups = groups(shape);
    let cuts = cuts(&groups);
    let mut price = Price::nothing(seats);
    if !cuts.is_empty() {
        let (ranks, has_half) = compared(&cuts);
        let n_lists = ranks.len() + usize::from(has_half);
        let n_columns = 2 + usize::from(shape.asks.has_risks());
        let counts = groups.iter().map(|group| match group.len() {
            N_CUTS => N_CALIBRATION,
            n => 1 + 2 * n,
        });
        price = price
            .then(&totals_price(
                seats,
                shape,
                (ranks.len(), n_lists),
                n_columns,
            ))
            .then(&passes_price(seats, shape, &pairs(&groups, &cuts)))
            .then(&mul::price::<u64>(seats, counts.sum()));
    }
    if shape.asks.stability {
        price = price.then(&stability_price(seats, shape));
    }
    price
}

fn passes_price(seats: Seats, shape: &Shape, pairs: &[Vec<(usize, usize)>]) -> Price {
    if shape.min_cell <= 1 {
        return Price::nothing(seats);
    }
    let n: usize = pairs.iter().map(Vec::len).sum();
    let method = shape.method;
    compare::less_than_zero_price::<u64>(seats, 4 * n, COUNT_BITS, method)
        .then(&boolean::and_price(seats, n, 2))
        .then(&compare::equal_zero_price::<u64>(
            seats, n, COUNT_BITS, method,
        ))
        .then(&all_hold_price(seats, n, pairs.len(), shape))
}

fn stability_price(seats: Seats, shape: &Shape) -> Price {
    let n_cells = 2 * N_TENTHS;
    let passes = match shape.min_cell > 1 {
        true => compare::less_than_zero_price::<u64>(seats, n_cells, COUNT_BITS, shape.method)
            .then(&compare::equal_zero_price::<u64>(
                seats,
                n_cells,
                COUNT_BITS,
                shape.method,
            ))
            .then(&all_hold_price(seats, n_cells, 1, shape)),
        false => Price::nothing(seats),
    };
    totals_price(seats, shape, (N_CUTS, N_CUTS), 2)
        .then(&passes)
        .then(&mul::price::<u64>(seats, N_STABILITY))
}
