//! Which cut of a node gains most, and what its leaves are.
//!
//! Everything goes by cuts and nodes: all nodes' numbers of one cut stand next to each other.

use super::{HIGH, MARGIN_BITS, PARAMETER_BITS, Shape, public};
use crate::arith::compare::less_than_zero;
use crate::arith::{add_to_all, compare, copy, difference, mul, mux, trunc};
use crate::boolean;
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::function::fixed::{shift, shift_price};
use crate::function::{self, Format};
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// Bits of a score with [`Shape::sum_bits`] and those of a quotient.
const SCORE_BITS: u32 = 62;

/// More than any score, and than its rounding.
const ABOVE_ALL: u64 = 1 << (SCORE_BITS - 3);

/// What was chosen in all nodes of a level.
pub(super) struct Chosen {
    n_nodes: usize,
    /// For each cut and node, 1 if it is the one.
    pub(super) hot: Share<u64>,
    /// G and H on the left of each cut and node, and on the right.
    sides: [Sums; 2],
}

/// A split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Which of the features of those to whom it is told.
    pub feature: usize,
    /// The last bin that goes to the left.
    pub bin: usize,
}

impl Split {
    /// The one with a number of [`codes`], if it is one.
    pub(super) fn of(code: u64, n_inner: usize) -> Option<Self> {
        let cut = usize::try_from(code).ok()?.checked_sub(1)?;
        Some(Self {
            feature: cut / n_inner,
            bin: cut % n_inner,
        })
    }
}

/// For each split 0, or one more than the number of the cut among those of the features in `own`.
pub(super) fn codes(splits: &Share<u64>, own: &[usize], shape: &Shape) -> Share<u64> {
    let n_inner = shape.n_bins - 1;
    let mut numbers = vec![0u64; shape.n_cuts()];
    for (at, feature) in own.iter().enumerate() {
        for bin in 0..n_inner {
            numbers[1 + feature * n_inner + bin] = (1 + at * n_inner + bin) as u64;
        }
    }
    let of_split = |bits: &[u64]| {
        let terms = bits.iter().zip(&numbers);
        terms.fold(0u64, |sum, (bit, number)| {
            sum.wrapping_add(bit.wrapping_mul(*number))
        })
    };
    let nodes = splits.as_slice().chunks_exact(shape.n_cuts());
    Share::new(nodes.map(of_split).collect())
}

/// Sums of g and h.
struct Sums {
    g: Share<u64>,
    h: Share<u64>,
}

impl Chosen {
    /// The bits node by node.
    pub(super) fn by_node(&self) -> Share<u64> {
        let bits = self.hot.as_slice();
        let n_cuts = bits.len() / self.n_nodes;
        let nodes = 0..self.n_nodes;
        let bits =
            nodes.flat_map(|node| (0..n_cuts).map(move |cut| bits[cut * self.n_nodes + node]));
        Share::new(bits.collect())
    }

    pub(super) fn n_nodes(&self) -> usize {
        self.n_nodes
    }
}

/// Chooses a cut of each node.
pub(super) async fn choose(
    session: &mut Session,
    histograms: &Share<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Chosen, ProtocolError> {
    let n_nodes = histograms.len() / shape.n_cells();
    let packed = lefts(histograms, shape, n_nodes);
    let n = packed.len();
    let h = trunc::exact(session, &packed, HIGH, shape.method, stock).await?;
    let mut high = copy(&h);
    high.scale_public(1 << HIGH);
    let left = Sums {
        g: difference(&packed, &high),
        h,
    };
    let right = Sums {
        g: others(&left.g, n_nodes),
        h: others(&left.h, n_nodes),
    };
    let mut g = copy(&left.g);
    g.append(copy(&right.g));
    let mut h = copy(&left.h);
    h.append(copy(&right.h));
    let quotients = quotients(session, (&g, &h), shape, stock).await?;
    let mut scores = mul::mul(session, &g, &quotients, stock).await?;
    let of_right = scores.split_off(n);
    scores.add_assign(&of_right);
    if shape.min_weight > 0 {
        let may = heavy(session, &h, n_nodes, shape, stock).await?;
        // Of those that are allowed, as rounding leaves them, none is below one that is not.
        add_to_all(&mut scores, public(session, ABOVE_ALL));
        scores = mux::times(session, &may, &scores, stock).await?;
    }
    let hot = greatest(session, scores, n_nodes, shape, stock).await?;
    Ok(Chosen {
        n_nodes,
        hot,
        sides: [left, right],
    })
}

pub(super) fn choose_price(seats: Seats, n_nodes: usize, shape: &Shape) -> Price {
    let n = shape.n_cuts() * n_nodes;
    let price = trunc::exact_price::<u64>(seats, n, HIGH, shape.method)
        .then(&quotients_price(seats, 2 * n, shape))
        .then(&mul::price::<u64>(seats, 2 * n));
    let price = match shape.min_weight > 0 {
        true => price
            .then(&heavy_price(seats, n, shape))
            .then(&mux::price::<u64>(seats, n)),
        false => price,
    };
    price.then(&greatest_price(seats, n_nodes, shape))
}

/// What lies on the left of each cut: without a cut everything, which is the sum over the bins of any feature.
fn lefts(histograms: &Share<u64>, shape: &Shape, n_nodes: usize) -> Share<u64> {
    let mut lefts = Share::zero(shape.n_cuts() * n_nodes);
    let out = lefts.as_mut_slice();
    let nodes = histograms.as_slice().chunks_exact(shape.n_cells());
    for (node, cells) in nodes.enumerate() {
        let all = &cells[..shape.n_bins];
        out[node] = all.iter().fold(0, |sum: u64, v| sum.wrapping_add(*v));
        let features = cells.chunks_exact(shape.n_bins);
        let bins = features.flat_map(|bins| {
            let up_to = bins.iter().scan(0u64, |sum, v| {
                *sum = sum.wrapping_add(*v);
                Some(*sum)
            });
            up_to.take(shape.n_bins - 1)
        });
        for (cut, sum) in (1..).zip(bins) {
            out[cut * n_nodes + node] = sum;
        }
    }
    lefts
}

/// What lies on the right: a node's sum less what lies on the left.
fn others(left: &Share<u64>, n_nodes: usize) -> Share<u64> {
    let totals = left.as_slice()[..n_nodes].iter().cycle();
    let left = left.as_slice().iter();
    Share::new(left.zip(totals).map(|(l, t)| t.wrapping_sub(*l)).collect())
}

/// G/(H + λ), with [`MARGIN_BITS`]. The scale of both sums is the same, so a quotient needs none of it.
async fn quotients(
    session: &mut Session,
    (g, h): (&Share<u64>, &Share<u64>),
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let mut divisors = copy(h);
    add_to_all(
        &mut divisors,
        public(session, shape.parameter(shape.lambda)),
    );
    function::divide(session, g, &divisors, quotient_format(shape), stock).await
}

fn quotient_format(shape: &Shape) -> Format {
    Format {
        frac_bits: MARGIN_BITS,
        bound_bits: super::SUM_ROOM,
        method: shape.method,
    }
}

fn quotients_price(seats: Seats, n_items: usize, shape: &Shape) -> Price {
    function::divide_price::<u64>(seats, n_items, quotient_format(shape))
}

/// Which cuts leave enough on both sides; that of no cut does.
async fn heavy(
    session: &mut Session,
    h: &Share<u64>,
    n_nodes: usize,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let me = session.seat().index();
    let mut margins = copy(h);
    let least = shape.parameter(shape.min_weight).wrapping_neg();
    add_to_all(&mut margins, public(session, least));
    let mut left = less_than_zero(session, &margins, HIGH, shape.method, stock).await?;
    left.not(me);
    let right = left.split_off(h.len() / 2);
    let both = boolean::and(session, &[(&left, &right)], stock).await?;
    let mut both = both.into_iter().next().expect("one AND");
    // Without a cut all is on the left: public, whatever the weights.
    let mut cuts = vec![u64::MAX; both.as_words().len()];
    (0..n_nodes).for_each(|node| cuts[node / 64] &= !(1 << (node % 64)));
    both.and_public(&cuts);
    both.xor_public(me, &cuts.iter().map(|w| !w).collect::<Vec<_>>());
    Ok(both)
}

fn heavy_price(seats: Seats, n: usize, shape: &Shape) -> Price {
    let n_words = engine::bits::words_for(n);
    let and = Price {
        needs: crate::correlate::Needs::of_bit_triple_words(n_words),
        cost: boolean::and_cost(seats.n_seats, seats.n_computing, n_words),
    };
    compare::less_than_zero_price::<u64>(seats, 2 * n, HIGH, shape.method).then(&and)
}

/// For each cut and node whether it has the greatest score; of equals the first one.
///
/// Every winner so far meets its neighbour. From the end back, the 1 that the last winner has goes to the one of
/// each pair that won.
async fn greatest(
    session: &mut Session,
    mut scores: Share<u64>,
    n_nodes: usize,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let mut rounds = Vec::new();
    while scores.len() > n_nodes {
        let n_pairs = scores.len() / n_nodes / 2;
        let odd = scores.split_off(2 * n_pairs * n_nodes);
        let (first, second) = pairs(&scores, n_nodes);
        let behind = difference(&first, &second);
        let second_wins = less_than_zero(session, &behind, SCORE_BITS, shape.method, stock).await?;
        let mut gain = mux::times(session, &second_wins, &behind, stock).await?;
        gain.negate();
        scores = first;
        scores.add_assign(&gain);
        scores.append(odd);
        rounds.push(second_wins);
    }
    let mut hot = Share::new(vec![public(session, 1); n_nodes]);
    for second_wins in rounds.iter().rev() {
        let odd = hot.split_off(second_wins.n_bits());
        let second = mux::times(session, second_wins, &hot, stock).await?;
        let first = difference(&hot, &second);
        hot = Share::zero(0);
        let firsts = first.as_slice().chunks_exact(n_nodes);
        let both = firsts.zip(second.as_slice().chunks_exact(n_nodes));
        let both = both.flat_map(|(first, second)| first.iter().chain(second));
        hot.append(Share::new(both.copied().collect()));
        hot.append(odd);
    }
    Ok(hot)
}

/// The first and the second of each pair of neighbouring cuts.
fn pairs(scores: &Share<u64>, n_nodes: usize) -> (Share<u64>, Share<u64>) {
    let each = |at: usize| {
        let cuts = scores.as_slice().chunks_exact(n_nodes);
        let cuts = cuts.skip(at).step_by(2).flatten();
        Share::new(cuts.copied().collect())
    };
    (each(0), each(1))
}

fn greatest_price(seats: Seats, n_nodes: usize, shape: &Shape) -> Price {
    let mut price = Price::nothing(seats);
    let mut n_left = shape.n_cuts();
    while n_left > 1 {
        let n = n_left / 2 * n_nodes;
        let selected = mux::price::<u64>(seats, n);
        price = price
            .then(&compare::less_than_zero_price::<u64>(
                seats,
                n,
                SCORE_BITS,
                shape.method,
            ))
            .then(&selected)
            .then(&selected);
        n_left = n_left.div_ceil(2);
    }
    price
}

/// −η·G/(H + λ) of both children of each node, from left to right, with [`MARGIN_BITS`].
pub(super) async fn leaves(
    session: &mut Session,
    chosen: &Chosen,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let n_nodes = chosen.n_nodes;
    let of_all = [&chosen.sides[0].g, &chosen.sides[0].h];
    let mut values = Share::zero(0);
    let mut bits = Share::zero(0);
    for sums in of_all {
        values.append(copy(sums));
        bits.append(copy(&chosen.hot));
    }
    let picked = mul::mul(session, &bits, &values, stock).await?;
    let [g, h] = [0, 1].map(|at| {
        let n = chosen.hot.len();
        let parts = picked.as_slice()[at * n..(at + 1) * n].chunks_exact(n_nodes);
        let mut sums = vec![0u64; n_nodes];
        parts.for_each(|part| engine::ring::add_assign(&mut sums, part));
        let all = &of_all[at].as_slice()[..n_nodes];
        let both = sums.iter().zip(all);
        Share::new(both.flat_map(|(l, t)| [*l, t.wrapping_sub(*l)]).collect())
    });
    let mut moves = quotients(session, (&g, &h), shape, stock).await?;
    moves.scale_public(u64::from(shape.rate).wrapping_neg());
    shift(session, moves, PARAMETER_BITS.cast_signed(), stock).await
}

pub(super) fn leaves_price(seats: Seats, shape: &Shape) -> Price {
    let n_nodes = 1 << (shape.depth - 1);
    mul::price::<u64>(seats, 2 * shape.n_cuts() * n_nodes)
        .then(&quotients_price(seats, 2 * n_nodes, shape))
        .then(&shift_price::<u64>(
            seats,
            2 * n_nodes,
            PARAMETER_BITS.cast_signed(),
        ))
}

const _: () = assert!(
    super::SUM_ROOM + MARGIN_BITS + 1 < SCORE_BITS - 3,
    "scores fit what they are compared in, and are less than what is added to them"
);
