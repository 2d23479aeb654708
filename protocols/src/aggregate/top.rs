//! The groups that come first by a total, found on shares.
//!
//! Every two groups are compared, and a group is among the first n if fewer than n others come before it. Groups that
//! do not pass their checks come before nobody. How many come before a group is added up bit by bit.

use crate::arith::compare;
use crate::boolean::{self, xor};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// The most groups among which the first can be looked for: all pairs of them are compared.
pub const MAX_TOP_CELLS: usize = 2048;

/// The greatest bound of a total by which groups are ordered.
pub const MAX_TOP_BITS: u32 = compare::MAX_BOUND_BITS - 2;

/// Only the groups that come first by a total are released. Among equals the earlier cell comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// Index of the narrow column that holds the total, in two's complement.
    pub column: usize,
    /// How many groups.
    pub n: usize,
    /// The greatest totals first (true), or the least (false).
    pub greatest_first: bool,
    /// The total over all holders lies strictly between ± 2 to this power.
    pub bound_bits: u32,
}

/// The bits of the cells in `ok` that are among the first.
pub(super) async fn first(
    session: &mut Session,
    totals: &[u64],
    ok: BitShare,
    top: &Top,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let cells = totals.len();
    if top.n >= cells {
        return Ok(ok);
    }
    if top.n == 0 {
        return Ok(BitShare::zero(cells));
    }
    let pairs: Vec<(usize, usize)> = pairs(cells).collect();
    let is_first = comes_first(session, totals, &pairs, top, stock).await?;
    let mut is_second = copy(&is_first);
    is_second.not(session.seat().index());
    let ok_first = gather(pairs.iter().map(|p| p.0), &ok);
    let ok_second = gather(pairs.iter().map(|p| p.1), &ok);
    let wins = [(&is_first, &ok_first), (&is_second, &ok_second)];
    let wins = boolean::and(session, &wins, stock).await?;
    let before = before(cells, &pairs, &wins);
    let n_before = count(session, before, stock).await?;
    let is_among = less_than(session, n_before, top.n, stock).await?;
    let mut among = boolean::and(session, &[(&is_among, &ok)], stock).await?;
    Ok(among.pop().expect("one product for one pair"))
}

/// All pairs of cells, the earlier one first.
fn pairs(cells: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..cells).flat_map(move |i| (i + 1..cells).map(move |j| (i, j)))
}

fn n_pairs(cells: usize) -> usize {
    cells * cells.saturating_sub(1) / 2
}

/// For each pair whether the earlier cell comes first: its total is no worse.
async fn comes_first(
    session: &mut Session,
    totals: &[u64],
    pairs: &[(usize, usize)],
    top: &Top,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let zero = 1u64 << (top.bound_bits + 1);
    let shift = if session.seat().index() == 0 { zero } else { 0 };
    let lead = |&(i, j): &(usize, usize)| {
        let (better, worse) = if top.greatest_first { (i, j) } else { (j, i) };
        let lead = totals[better].wrapping_sub(totals[worse]);
        lead.wrapping_add(shift)
    };
    let leads = Share::new(pairs.iter().map(lead).collect());
    let zeros = vec![zero; pairs.len()];
    compare::at_least(session, &leads, &zeros, top.bound_bits + 2, stock).await
}

/// A vector whose lanes are copies of these lanes of another.
fn gather(lanes: impl ExactSizeIterator<Item = usize>, from: &BitShare) -> BitShare {
    let n_bits = lanes.len();
    let mut words = vec![0u64; bits::words_for(n_bits)];
    for (to, at) in lanes.enumerate() {
        words[to / 64] |= u64::from(bits::get(from.as_words(), at)) << (to % 64);
    }
    BitShare::from_words(n_bits, words)
}

fn copy(share: &BitShare) -> BitShare {
    BitShare::from_words(share.n_bits(), share.as_words().to_vec())
}

/// For each cell and each other cell whether that one comes before it: a vector for every other cell.
fn before(cells: usize, pairs: &[(usize, usize)], wins: &[BitShare]) -> Vec<BitShare> {
    let n_words = bits::words_for(cells);
    let mut planes = vec![vec![0u64; n_words]; cells - 1];
    for (at, &(i, j)) in pairs.iter().enumerate() {
        let mut set = |of: usize, rival: usize, win: &BitShare| {
            let place = if rival < of { rival } else { rival - 1 };
            planes[place][of / 64] |= u64::from(bits::get(win.as_words(), at)) << (of % 64);
        };
        set(j, i, &wins[0]);
        set(i, j, &wins[1]);
    }
    let share = |words| BitShare::from_words(cells, words);
    planes.into_iter().map(share).collect()
}

/// Adds up bits, lane by lane: the planes of the sum.
async fn count(
    session: &mut Session,
    ones: Vec<BitShare>,
    stock: &mut Stock,
) -> Result<Vec<BitShare>, ProtocolError> {
    let mut weights = vec![ones];
    while weights.iter().any(|w| w.len() > 1) {
        let mut factors = Vec::new();
        for weight in &weights {
            for group in groups(weight) {
                factors.push(match group {
                    [x, y, z] => (xor(x, z), xor(y, z)),
                    [x, y] => (copy(x), copy(y)),
                    _ => continue,
                });
            }
        }
        let pairs: Vec<_> = factors.iter().map(|(p, q)| (p, q)).collect();
        let mut products = boolean::and(session, &pairs, stock).await?.into_iter();
        let mut next: Vec<Vec<BitShare>> = (0..=weights.len()).map(|_| Vec::new()).collect();
        for (w, weight) in weights.iter().enumerate() {
            for group in groups(weight) {
                let rest = group.iter().skip(1);
                next[w].push(rest.fold(copy(&group[0]), |sum, x| xor(&sum, x)));
                if group.len() > 1 {
                    let product = products.next().expect("a product for each group");
                    next[w + 1].push(match group {
                        [_, _, z] => xor(&product, z),
                        _ => product,
                    });
                }
            }
        }
        if next.last().is_some_and(Vec::is_empty) {
            next.pop();
        }
        weights = next;
    }
    Ok(weights.into_iter().filter_map(|mut w| w.pop()).collect())
}

/// Bits of one weight by threes; the last group can be smaller.
fn groups(weight: &[BitShare]) -> impl Iterator<Item = &[BitShare]> {
    weight.chunks(3)
}

/// ANDs in each round of [`count`] of so many bits, and the number of planes of the sum.
fn counting(n_ones: usize) -> (Vec<usize>, usize) {
    let mut weights = vec![n_ones];
    let mut rounds = Vec::new();
    while weights.iter().any(|w| *w > 1) {
        let mut next = vec![0; weights.len() + 1];
        let mut n_ands = 0;
        for (w, n) in weights.iter().enumerate() {
            let carries = n / 3 + usize::from(n % 3 == 2);
            n_ands += carries;
            next[w] += n.div_ceil(3);
            next[w + 1] += carries;
        }
        rounds.push(n_ands);
        if next.last() == Some(&0) {
            next.pop();
        }
        weights = next;
    }
    (rounds, weights.iter().filter(|w| **w > 0).count())
}

/// Whether a number of w bits is below a public one: x + (2^w − bound) does not carry out.
async fn less_than(
    session: &mut Session,
    number: Vec<BitShare>,
    bound: usize,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let me = session.seat().index();
    let negative = bound.wrapping_neg();
    let public = (0..number.len()).map(|place| {
        let mut plane = BitShare::zero(number[place].n_bits());
        if negative >> place & 1 == 1 {
            plane.not(me);
        }
        plane
    });
    let public: Vec<BitShare> = public.collect();
    let mut is_less = compare::carry_out(session, &number, &public, stock).await?;
    is_less.not(me);
    Ok(is_less)
}

/// The price of [`first`].
pub(super) fn price(top: &Top, cells: usize, seats: Seats) -> Price {
    let mut price = Price::nothing(seats);
    if top.n >= cells || top.n == 0 {
        return price;
    }
    let (bits, n_pairs) = (top.bound_bits + 2, n_pairs(cells));
    price.needs = compare::needs(seats.n_computing, bits, n_pairs);
    price.cost = compare::cost(seats.n_seats, seats.n_computing, bits, n_pairs);
    let (counting, n_planes) = counting(cells - 1);
    let both = boolean::and_price(seats, n_pairs, 2);
    let counting = counting
        .iter()
        .map(|n_ands| boolean::and_price(seats, cells, *n_ands));
    let counted = counting.fold(price.then(&both), |sum, round| sum.then(&round));
    counted
        .then(&compare::carry_out_price(seats, cells, n_planes))
        .then(&boolean::and_price(seats, cells, 1))
}
