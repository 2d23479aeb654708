//! Products of many matrices with one that stays the same.

use super::super::mul::subtract;
use crate::correlate::{MatrixShape, MatrixTriple, RingNeeds, Stock};
use crate::error::ProtocolError;
use crate::lanes::{self, Layout};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::matrix::{self, View};
use engine::ring;
use engine::share::Share;
use std::ops::Range;
use std::sync::Arc;

/// A shared matrix whose difference from its mask is open, and masks for so many rows of factors to its left.
///
/// C = A·B of a triple goes by rows of A: E = Y − B is opened once, and every row of A is used up by one row of
/// some left factor.
pub(crate) struct Cached {
    shape: MatrixShape,
    /// E, which is public.
    opened: Arc<Vec<u64>>,
    /// This seat's share of B, at the first seat with E added.
    right: Arc<Share<u64>>,
    /// A and C.
    masks: Arc<Share<u64>>,
    products: Share<u64>,
    /// How many of their rows are used up.
    n_used: usize,
}

/// Opens a shared matrix under its mask, once for all products with it.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `y`: k×n, row-major; `shape`: m rows in all that will be multiplied with it; takes one matrix
///   triple of this shape
/// # Output    what [`Cached::times`] takes
/// # Cost      1 round; k·n ring elements to each other seat; [`cache_price`]
/// # Security  as [`matmul`](super::matmul)
/// # Errors    as [`matmul`](super::matmul)
/// # Source    Mohassel–Zhang, S&P 2017, §4.2: the data are masked once, every product takes fresh masks of its other
///   factor
pub(crate) async fn cache(
    session: &mut Session,
    y: Share<u64>,
    shape: MatrixShape,
    stock: &mut Stock,
) -> Result<Cached, ProtocolError> {
    if y.len() != shape.right_len() {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "a matrix has as many elements as its shape says",
        }));
    }
    let MatrixTriple { a, mut b, c } = session.ended_by(stock.take_matrix::<u64>(shape))?;
    let mut opened = vec![0u64; y.len()];
    let mask = |lanes: Range<usize>, out: &mut [u64], _: &mut [u64]| {
        subtract(out, &y.as_slice()[lanes.clone()], &b.as_slice()[lanes]);
    };
    let take = |lanes: Range<usize>, (), part: &[u64], _: &[u64]| {
        opened[lanes].copy_from_slice(part);
    };
    lanes::open(session, layout(y.len()), mask, take).await?;
    drop(y);
    if session.seat() == Seat(0) {
        ring::add_assign(b.as_mut_slice(), &opened);
    }
    Ok(Cached {
        shape,
        opened: Arc::new(opened),
        right: Arc::new(b),
        masks: Arc::new(a),
        products: c,
        n_used: 0,
    })
}

impl Cached {
    /// Multiplies rows from the left.
    ///
    /// # Inputs    `x`: whole rows of k shares each, row-major, no more than are left
    /// # Output    as many rows of n shares
    /// # Cost      1 round; an element to each other seat for each of `x`; [`cached_cost`]
    ///
    /// Everything else is that of [`matmul`](super::matmul).
    pub(crate) async fn times(
        &mut self,
        session: &mut Session,
        x: &Share<u64>,
    ) -> Result<Share<u64>, ProtocolError> {
        let MatrixShape { m, k, n } = self.shape;
        let (first, n_rows) = (self.n_used, x.len() / k);
        if x.len() != n_rows * k || n_rows > m - first {
            return session.ended_by(Err(ProtocolError::InvalidInput {
                what: "a matrix is multiplied with whole rows, and no more than were prepared",
            }));
        }
        self.n_used += n_rows;
        let used = first * k..self.n_used * k;
        let product = &self.products.as_slice()[first * n..self.n_used * n];
        let mut product = Share::new(product.to_vec());
        let masks = &self.masks.as_slice()[used.clone()];
        let mut opened = vec![0u64; x.len()];
        let mask = |lanes: Range<usize>, out: &mut [u64], _: &mut [u64]| {
            subtract(out, &x.as_slice()[lanes.clone()], &masks[lanes]);
        };
        let take = |lanes: Range<usize>, (), part: &[u64], _: &[u64]| {
            opened[lanes].copy_from_slice(part);
        };
        lanes::open(session, layout(x.len()), mask, take).await?;
        let (own, public) = (self.right.clone(), self.opened.clone());
        let masks = self.masks.clone();
        let kernel = move || {
            let left = |values| View::new(values, n_rows, k);
            let right = |values| View::new(values, k, n);
            matrix::mul_acc(product.as_mut_slice(), left(&opened), right(own.as_slice()));
            let masks = left(&masks.as_slice()[used]);
            matrix::mul_acc(product.as_mut_slice(), masks, right(&public));
            product
        };
        Ok(session.compute().run(kernel).await)
    }
}

fn layout(n_items: usize) -> Layout {
    Layout {
        n_lanes: n_items,
        elements: 1,
        words: 0,
    }
}

/// The declared price of [`cache`]: with all masks that its products take.
pub(crate) fn cache_price(seats: Seats, shape: MatrixShape) -> Price {
    let needs = RingNeeds {
        matrices: vec![shape],
        ..RingNeeds::default()
    };
    Price::of_ring::<u64>(needs, layout(shape.right_len()).cost::<u64>(seats))
}

/// The declared cost of one [`Cached::times`] of so many elements.
pub(crate) fn cached_cost(seats: Seats, n_items: usize) -> Price {
    Price::of_cost(layout(n_items).cost::<u64>(seats))
}
