//! Comparison of a masked opening with its mask, bit by bit.
//!
//! With r from an edaBit, c = x + r is opened, and x = c − r. Position i of that subtraction
//! generates a borrow if g_i = ¬c_i∧r_i and passes one on if p_i = ¬(c_i⊕r_i). Both are linear in
//! the shares, because c is public. So are g and p of two neighbouring positions, but for the one
//! product r_hi∧r_lo, which does not depend on x and is computed in the round of the opening. The
//! circuit therefore starts with groups of two positions.

use crate::arith::circuit;
use crate::boolean::{Gates, Planes};
use crate::correlate::{BitTriples, EdaBits, RingNeeds, Stock, StockedRing};
use crate::error::ProtocolError;
use crate::lanes::{self, Layout};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::bits::{self, BLOCK_ITEMS, BLOCK_WORDS};
use engine::ring::Ring;
use engine::share::Share;
use std::ops::Range;

/// Groups of two positions of c − r, lowest first, and a last one of one if their number is odd.
pub(crate) struct Groups {
    pub(crate) generate: Planes,
    pub(crate) propagate: Planes,
    pub(crate) n_groups: usize,
    /// c⊕r at the top position.
    pub(crate) top: Planes,
}

impl Groups {
    fn zero(n_lanes: usize, n_groups: usize) -> Self {
        Self {
            generate: Planes::zero(n_lanes, n_groups),
            propagate: Planes::zero(n_lanes, n_groups),
            n_groups,
            top: Planes::zero(n_lanes, 1),
        }
    }

    /// Some words of g and p of one group.
    fn at(&mut self, group: usize, words: &Range<usize>) -> (&mut [u64], &mut [u64]) {
        let generate = &mut self.generate.plane_mut(group)[words.clone()];
        (
            generate,
            &mut self.propagate.plane_mut(group)[words.clone()],
        )
    }
}

/// Number of groups over so many positions.
pub(crate) fn n_groups(n_positions: usize) -> usize {
    n_positions.div_ceil(2)
}

fn layout(n_lanes: usize, n_positions: usize) -> Layout {
    Layout {
        n_lanes,
        elements: 1,
        words: 2 * (n_positions / 2),
    }
}

/// The price of [`open_groups`]: one round.
pub(crate) fn price<R: StockedRing>(seats: Seats, n_lanes: usize, n_positions: usize) -> Price {
    let ring = RingNeeds {
        edabits: n_lanes as u64,
        ..RingNeeds::default()
    };
    let mut price = Price::of_ring::<R>(ring, layout(n_lanes, n_positions).cost::<R>(seats));
    price.needs += Gates::singles(n_positions / 2).price(seats, n_lanes).needs;
    price
}

/// What some lanes are masked with.
struct Masks<R: Ring> {
    edabits: EdaBits<R>,
    /// Of r_hi∧r_lo of each group.
    triples: BitTriples,
    /// Words of a vector of these lanes.
    n_words: usize,
}

impl<R: Ring> Masks<R> {
    fn plane(&self, position: usize, words: &Range<usize>) -> &[u64] {
        &self.edabits.planes[position].as_words()[words.clone()]
    }

    fn pair(&self, group: usize, words: &Range<usize>) -> Pair<'_> {
        let own = group * self.n_words + words.start..group * self.n_words + words.end;
        let (a, b, c) = self.triples.as_words();
        Pair {
            r: [
                self.plane(2 * group + 1, words),
                self.plane(2 * group, words),
            ],
            triple: [&a[own.clone()], &b[own.clone()], &c[own]],
        }
    }
}

/// One seat's words of one group of two positions, before and after the opening.
struct Pair<'a> {
    /// Shares of r at the high position and at the low one.
    r: [&'a [u64]; 2],
    /// The triple of r_hi∧r_lo.
    triple: [&'a [u64]; 3],
}

/// Opens x + r and makes groups of the lowest `n_positions` positions of the subtraction of r.
pub(crate) async fn open_groups<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    n_positions: usize,
    stock: &mut Stock,
) -> Result<Groups, ProtocolError> {
    let n_lanes = x.len();
    let n_words = bits::words_for(n_lanes);
    let seats = Seats::of(session);
    session.ended_by(stock.check(&price::<R>(seats, n_lanes, n_positions).needs))?;
    let mut edabits = session.ended_by(stock.batch_edabits::<R>(n_lanes))?;
    let triple_words = n_positions / 2 * n_words;
    stock.supply(session, triple_words, 0).await?;
    let mut triples = session.ended_by(stock.batch_bit_triples(triple_words))?;
    let mut groups = Groups::zero(n_lanes, n_groups(n_positions));
    let top = R::BITS as usize - 1;
    let is_first = session.seat() == Seat(0);
    let mask = |lanes: Range<usize>, elements: &mut [R], words: &mut [u64]| {
        let n_words = lanes::columns(&lanes).len();
        let masks = Masks {
            edabits: edabits.next(lanes.len()),
            triples: triples.next(n_positions / 2 * n_words),
            n_words,
        };
        let own = x.as_slice()[lanes].iter();
        let r = masks.edabits.r.as_slice();
        for (out, (x, r)) in elements.iter_mut().zip(own.zip(r)) {
            *out = x.wrapping_add(*r);
        }
        for (half, out) in words.chunks_exact_mut(n_words.max(1)).enumerate() {
            let Pair { r, triple } = masks.pair(half / 2, &(0..n_words));
            for (out, (r, t)) in out.iter_mut().zip(r[half % 2].iter().zip(triple[half % 2])) {
                *out = r ^ t;
            }
        }
        masks
    };
    let mut planes = vec![[0; BLOCK_WORDS]; R::BITS as usize];
    let take = |lanes: Range<usize>, masks: Masks<R>, opened: &[R], products: &[u64]| {
        let columns = lanes::columns(&lanes);
        for (number, c) in opened.chunks(BLOCK_ITEMS).enumerate() {
            bits::block_planes(c, &mut planes);
            let first = number * BLOCK_WORDS;
            let own = first..columns.len().min(first + BLOCK_WORDS);
            let words = columns.start + own.start..columns.start + own.end;
            let opened_of = |half: usize| {
                let at = half * columns.len() + own.start;
                &products[at..at + own.len()]
            };
            for group in 0..n_positions / 2 {
                let opened = [opened_of(2 * group), opened_of(2 * group + 1)];
                let c = [&planes[2 * group + 1], &planes[2 * group]];
                let out = groups.at(group, &words);
                two_positions(out, &masks.pair(group, &own), c, opened, is_first);
            }
            let r = |i: usize| masks.plane(i, &own);
            if n_positions % 2 == 1 {
                let last = n_positions - 1;
                let out = groups.at(n_positions / 2, &words);
                one_position(out, r(last), &planes[last], is_first);
            }
            let flip = if is_first { u64::MAX } else { 0 };
            let out = &mut groups.top.plane_mut(0)[words];
            for (out, (r, c)) in out.iter_mut().zip(r(top).iter().zip(&planes[top])) {
                *out = r ^ (c & flip);
            }
        }
    };
    lanes::open(session, layout(n_lanes, n_positions), mask, take).await?;
    Ok(groups)
}

/// g and p of one position.
fn one_position(
    (generate, propagate): (&mut [u64], &mut [u64]),
    r: &[u64],
    c: &[u64; BLOCK_WORDS],
    is_first: bool,
) {
    let own = if is_first { u64::MAX } else { 0 };
    for ((g, p), (r, c)) in generate.iter_mut().zip(propagate).zip(r.iter().zip(c)) {
        *g = !c & r;
        *p = r ^ (!c & own);
    }
}

/// g and p of two positions, from q = r_hi∧r_lo, which Beaver's method gives from what was opened.
fn two_positions(
    (generate, propagate): (&mut [u64], &mut [u64]),
    pair: &Pair,
    [c_hi, c_lo]: [&[u64; BLOCK_WORDS]; 2],
    [d, e]: [&[u64]; 2],
    is_first: bool,
) {
    let own = if is_first { u64::MAX } else { 0 };
    let [r_hi, r_lo] = pair.r;
    let [a, b, c] = pair.triple;
    for i in 0..generate.len() {
        let q = c[i] ^ (d[i] & (b[i] ^ (e[i] & own))) ^ (e[i] & a[i]);
        let (hi, lo) = (!c_hi[i], !c_lo[i]);
        generate[i] = (hi & r_hi[i]) ^ (lo & ((hi & r_lo[i]) ^ q));
        propagate[i] = (hi & lo & own) ^ (hi & r_lo[i]) ^ (lo & r_hi[i]) ^ q;
    }
}

/// The levels after the opening of [`is_negative`].
pub(crate) fn is_negative_levels<R: StockedRing>() -> Vec<Gates> {
    circuit::last_carry_levels(n_groups(R::BITS as usize - 1))
}

/// The levels after the opening of [`is_zero`].
pub(crate) fn is_zero_levels<R: StockedRing>() -> Vec<Gates> {
    circuit::all_of_levels(n_groups(R::BITS as usize))
}

/// The top bit of x, as plane 0 of the result: c_top ⊕ r_top ⊕ the borrow into the top position.
pub(crate) async fn is_negative<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let groups = open_groups(session, x, R::BITS as usize - 1, stock).await?;
    let (generate, propagate) = (groups.generate, groups.propagate);
    let mut sign = groups.top;
    let borrow = circuit::last_carry(session, generate, propagate, groups.n_groups, stock).await?;
    bits::xor_assign(sign.plane_mut(0), borrow.plane(0));
    Ok(sign)
}

/// Whether x is zero, as plane 0 of the result: then c = r, and every position passes a borrow on.
pub(crate) async fn is_zero<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    stock: &mut Stock,
) -> Result<Planes, ProtocolError> {
    let groups = open_groups(session, x, R::BITS as usize, stock).await?;
    circuit::all_of(session, groups.propagate, groups.n_groups, stock).await
}
