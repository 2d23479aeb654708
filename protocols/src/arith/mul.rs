//! Products of shared vectors, element by element.

use crate::correlate::{RingNeeds, Stock, StockedRing, Triples};
use crate::error::ProtocolError;
use crate::lanes::{self, Layout};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;
use std::ops::Range;

/// Multiplies two additively shared vectors, element by element.
///
/// With a triple (a, b, c = a·b), d = x − a and e = y − b are opened, and
/// x·y = c + d·b + e·a + d·e.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`, `y`: n shares each; takes n triples
/// # Output    n shares of x·y; the scale is the sum of the scales (truncate after)
/// # Cost      1 round; 2·n ring elements to each other seat; [`price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals n
/// # Errors    [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Panics    if the lengths differ
/// # Source    Beaver, CRYPTO '91, §3. Differs: both differences in one message
pub async fn mul<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    y: &Share<R>,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    R::mul(session, x, y, stock).await
}

pub(super) async fn mul_over<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    y: &Share<R>,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    assert_eq!(x.len(), y.len(), "vectors of unequal length");
    let mut triples = session.ended_by(stock.batch_triples::<R>(x.len()))?;
    let mut product = Share::zero(x.len());
    let is_first = session.seat() == Seat(0);
    let mask = |lanes: Range<usize>, out: &mut [R], _: &mut [u64]| {
        let triples = triples.next(lanes.len());
        let (d, e) = out.split_at_mut(lanes.len());
        subtract(d, &x.as_slice()[lanes.clone()], triples.a.as_slice());
        subtract(e, &y.as_slice()[lanes], triples.b.as_slice());
        triples
    };
    let take = |lanes: Range<usize>, triples: Triples<R>, opened: &[R], _: &[u64]| {
        let Triples { a, b, c } = triples;
        let (d, e) = opened.split_at(lanes.len());
        let factors = d.iter().zip(e).zip(a.as_slice().iter().zip(b.as_slice()));
        let out = product.as_mut_slice()[lanes].iter_mut().zip(c.as_slice());
        for ((z, c), ((d, e), (a, b))) in out.zip(factors) {
            let b = if is_first { b.wrapping_add(*e) } else { *b };
            let cross = d.wrapping_mul(b).wrapping_add(e.wrapping_mul(*a));
            *z = c.wrapping_add(cross);
        }
    };
    lanes::open(session, layout(x.len()), mask, take).await?;
    Ok(product)
}

/// `out[i] = x[i] − y[i]` for every i.
pub(crate) fn subtract<R: StockedRing>(out: &mut [R], x: &[R], y: &[R]) {
    for (out, (x, y)) in out.iter_mut().zip(x.iter().zip(y)) {
        *out = x.wrapping_sub(*y);
    }
}

/// Squares a shared vector, element by element: [`mul`] by itself, with the same price.
pub async fn square<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    mul(session, x, x, stock).await
}

fn layout(n_items: usize) -> Layout {
    Layout {
        n_lanes: n_items,
        elements: 2,
        words: 0,
    }
}

/// The declared price of one [`mul`] of n items.
pub fn price<R: StockedRing>(seats: Seats, n_items: usize) -> Price {
    let needs = RingNeeds {
        triples: n_items as u64,
        ..RingNeeds::default()
    };
    Price::of_ring::<R>(needs, layout(n_items).cost::<R>(seats))
}
