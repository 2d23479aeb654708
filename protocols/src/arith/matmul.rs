//! Products of shared matrices.

mod cached;

pub(crate) use cached::{Cached, cache, cache_price, cached_cost};

use super::mul::subtract;
use crate::correlate::{MatrixShape, MatrixTriple, RingNeeds, Stock, StockedRing};
use crate::error::ProtocolError;
use crate::lanes::{self, Layout};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::matrix::{self, View};
use engine::ring;
use engine::share::Share;
use std::ops::Range;

/// Multiplies two additively shared matrices.
///
/// With a matrix triple (A, B, C = A·B), D = X − A and E = Y − B are opened, and
/// X·Y = C + D·(B + E) + A·E, where one seat alone adds E.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `x`: m×k, `y`: k×n, row-major; takes one matrix triple of this shape
/// # Output    shares of the m×n product; the scale is the sum of the scales (truncate after)
/// # Cost      1 round; m·k + k·n ring elements to each other seat; [`price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape
/// # Errors    [`ProtocolError::InvalidInput`] if the lengths are not those of the shape,
///   [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Beaver, CRYPTO '91, §3, over matrices: Mohassel–Zhang, S&P 2017, §4.2
pub async fn matmul<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    y: &Share<R>,
    shape: MatrixShape,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    R::matmul(session, x, y, shape, stock).await
}

pub(super) async fn matmul_over<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    y: &Share<R>,
    shape: MatrixShape,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let (n_left, n_right) = (shape.left_len(), shape.right_len());
    if x.len() != n_left || y.len() != n_right {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "a matrix has as many elements as its shape says",
        }));
    }
    let MatrixTriple { a, b, c } = session.ended_by(stock.take_matrix::<R>(shape))?;
    let mut opened = vec![R::ZERO; n_left + n_right];
    let mask = |lanes: Range<usize>, out: &mut [R], _: &mut [u64]| {
        // The lanes run through the left matrix and then through the right one.
        let left = lanes.start.min(n_left)..lanes.end.min(n_left);
        let right = lanes.start.max(n_left) - n_left..lanes.end.max(n_left) - n_left;
        let (d, e) = out.split_at_mut(left.len());
        subtract(d, &x.as_slice()[left.clone()], &a.as_slice()[left]);
        subtract(e, &y.as_slice()[right.clone()], &b.as_slice()[right]);
    };
    let take = |lanes: Range<usize>, (), part: &[R], _: &[u64]| opened[lanes].copy_from_slice(part);
    lanes::open(session, layout(shape), mask, take).await?;
    let is_first = session.seat() == Seat(0);
    let kernel = move || {
        let (mut b, mut c) = (b, c);
        let (d, e) = opened.split_at(n_left);
        if is_first {
            ring::add_assign(b.as_mut_slice(), e);
        }
        let MatrixShape { m, k, n } = shape;
        let left = |values| View::new(values, m, k);
        let right = |values| View::new(values, k, n);
        matrix::mul_acc(c.as_mut_slice(), left(d), right(b.as_slice()));
        matrix::mul_acc(c.as_mut_slice(), left(a.as_slice()), right(e));
        c
    };
    Ok(session.compute().run(kernel).await)
}

/// The inner product of two shared vectors: a [`matmul`] of 1×k and k×1.
///
/// # Panics    if the lengths differ
pub async fn dot<R: StockedRing>(
    session: &mut Session,
    x: &Share<R>,
    y: &Share<R>,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    assert_eq!(x.len(), y.len(), "vectors of unequal length");
    matmul(session, x, y, dot_shape(x.len()), stock).await
}

/// The shape of a [`dot`] of vectors of `n_items`.
pub fn dot_shape(n_items: usize) -> MatrixShape {
    MatrixShape {
        m: 1,
        k: n_items,
        n: 1,
    }
}

fn layout(shape: MatrixShape) -> Layout {
    Layout {
        n_lanes: shape.left_len() + shape.right_len(),
        elements: 1,
        words: 0,
    }
}

/// The declared price of one [`matmul`] of this shape.
pub fn price<R: StockedRing>(seats: Seats, shape: MatrixShape) -> Price {
    let needs = RingNeeds {
        matrices: vec![shape],
        ..RingNeeds::default()
    };
    Price::of_ring::<R>(needs, layout(shape).cost::<R>(seats))
}
