//! Products of a shared vector with each of several others.

use super::mul::subtract;
use crate::correlate::{RingNeeds, Scalings, Stock, StockedRing};
use crate::error::ProtocolError;
use crate::lanes::{self, Layout};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;
use std::ops::Range;

/// Multiplies each of several shared columns with one shared vector, element by element.
///
/// As [`mul`](super::mul::mul), but for the vector's mask, which is opened once for all columns. Without a dealer it is also
/// what makes a product half as dear: the vector's bits are choices for whole rows.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: n shares; `columns`: m ≥ 1 of n shares each; takes n of the stock's scalings of m columns
/// # Output    m columns of n shares, x·column; the scale is the sum of the scales (truncate after)
/// # Cost      1 round; n·(m + 1) ring elements to each other seat; [`price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals n and m
/// # Errors    [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Panics    if the lengths differ
/// # Source    Beaver, CRYPTO '91, §3, over n products of a 1×1 with a 1×m matrix
pub async fn scale<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    columns: &[Share<R>],
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    R::scale(session, x, columns, stock).await
}

pub(super) async fn scale_over<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    columns: &[Share<R>],
    stock: &mut Stock,
) -> Result<Vec<Share<R>>, ProtocolError> {
    let (n_items, n_columns) = (x.len(), columns.len());
    assert!(
        columns.iter().all(|column| column.len() == n_items),
        "columns of unequal length"
    );
    let mut scalings = session.ended_by(stock.batch_scalings::<R>(n_columns, n_items))?;
    let mut products: Vec<Share<R>> = columns.iter().map(|_| Share::zero(n_items)).collect();
    let is_first = session.seat() == Seat(0);
    let mask = |lanes: Range<usize>, out: &mut [R], _: &mut [u64]| {
        let scalings = scalings.next(lanes.len());
        let parts = out.chunks_exact_mut(lanes.len().max(1));
        let masked = [(x, &scalings.factor)].into_iter();
        let masked = masked.chain(columns.iter().zip(&scalings.columns));
        for (part, (values, mask)) in parts.zip(masked) {
            subtract(part, &values.as_slice()[lanes.clone()], mask.as_slice());
        }
        scalings
    };
    let take = |lanes: Range<usize>, scalings: Scalings<R>, opened: &[R], _: &[u64]| {
        let (d, rest) = opened.split_at(lanes.len());
        let a = scalings.factor.as_slice();
        let masks = scalings.columns.iter().zip(&scalings.products);
        let parts = rest.chunks_exact(lanes.len().max(1)).zip(masks);
        for (out, (e, (b, c))) in products.iter_mut().zip(parts) {
            let out = &mut out.as_mut_slice()[lanes.clone()];
            let factors = d.iter().zip(e).zip(a.iter().zip(b.as_slice()));
            for ((z, c), ((d, e), (a, b))) in out.iter_mut().zip(c.as_slice()).zip(factors) {
                let b = if is_first { b.wrapping_add(*e) } else { *b };
                let cross = d.wrapping_mul(b).wrapping_add(e.wrapping_mul(*a));
                *z = c.wrapping_add(cross);
            }
        }
    };
    lanes::open(session, layout(n_items, n_columns), mask, take).await?;
    Ok(products)
}

fn layout(n_items: usize, n_columns: usize) -> Layout {
    Layout {
        n_lanes: n_items,
        elements: 1 + n_columns,
        words: 0,
    }
}

/// The declared price of one [`scale`] of columns of n items.
pub fn price<R: StockedRing>(seats: Seats, n_items: usize, n_columns: usize) -> Price {
    let needs = RingNeeds {
        scalings: [(n_columns, n_items as u64)].into(),
        ..RingNeeds::default()
    };
    Price::of_ring::<R>(needs, layout(n_items, n_columns).cost::<R>(seats))
}
