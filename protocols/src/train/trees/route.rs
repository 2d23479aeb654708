//! Which rows go where.

use super::Shape;
use super::split::Chosen;
use crate::arith::matmul::{Cached, cached_cost};
use crate::arith::{compare, difference, mux};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// Bits of a bin less a cut.
const BIN_BITS: u32 = 7;

/// Whether each row goes to the right in the node that it is in.
///
/// Each row's bin of each node's feature, less the node's cut; of these the one of the row's node, by the way that it
/// came; and whether that is positive.
pub(super) async fn right(
    session: &mut Session,
    chosen: &Chosen,
    bins: &mut Cached,
    path: &[BitShare],
    shape: &Shape,
    stock: &mut Stock,
) -> Result<BitShare, ProtocolError> {
    let (features, cuts) = features_and_cuts(chosen, shape);
    let mut over = bins.times(session, &features).await?;
    let rows = over.as_mut_slice().chunks_exact_mut(shape.n_rows);
    for (row, cut) in rows.zip(&cuts) {
        row.iter_mut().for_each(|v| *v = v.wrapping_sub(*cut));
    }
    let mut over = followed(session, over, path, stock).await?;
    over.negate();
    compare::less_than_zero(session, &over, BIN_BITS, shape.method, stock).await
}

pub(super) fn right_price(seats: Seats, level: u32, shape: &Shape) -> Price {
    let n_nodes = 1 << level;
    let n = shape.n_rows;
    cached_cost(seats, n_nodes * shape.n_features)
        .then(&followed_price(seats, n_nodes, n))
        .then(&compare::less_than_zero_price::<u64>(
            seats,
            n,
            BIN_BITS,
            shape.method,
        ))
}

/// Node by node, 1 for the feature that was chosen; and the last bin that goes to the left.
fn features_and_cuts(chosen: &Chosen, shape: &Shape) -> (Share<u64>, Vec<u64>) {
    let (n_nodes, d, n_inner) = (chosen.n_nodes(), shape.n_features, shape.n_bins - 1);
    let bits = chosen.hot.as_slice();
    let mut features: Share<u64> = Share::zero(n_nodes * d);
    let mut cuts = vec![0u64; n_nodes];
    for (cut, of_nodes) in bits.chunks_exact(n_nodes).skip(1).enumerate() {
        let (feature, bin) = (cut / n_inner, (cut % n_inner) as u64);
        for (node, bit) in of_nodes.iter().enumerate() {
            let sum = &mut features.as_mut_slice()[node * d + feature];
            *sum = sum.wrapping_add(*bit);
            cuts[node] = cuts[node].wrapping_add(bit.wrapping_mul(bin));
        }
    }
    (features, cuts)
}

/// Of each row's numbers, one for each of 2^k nodes from left to right, that of the node that k steps lead to.
async fn followed(
    session: &mut Session,
    mut values: Share<u64>,
    path: &[BitShare],
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    for step in path.iter().rev() {
        let n = step.n_bits();
        let each = |at: usize| {
            let nodes = values.as_slice().chunks_exact(n);
            Share::new(nodes.skip(at).step_by(2).flatten().copied().collect())
        };
        let (left, right) = (each(0), each(1));
        let change = difference(&right, &left);
        let moved = mux::times(session, &repeated(step, left.len() / n), &change, stock).await?;
        values = left;
        values.add_assign(&moved);
    }
    Ok(values)
}

fn followed_price(seats: Seats, n_nodes: usize, n_rows: usize) -> Price {
    let mut price = Price::nothing(seats);
    let mut n_left = n_nodes;
    while n_left > 1 {
        n_left /= 2;
        price = price.then(&mux::price::<u64>(seats, n_left * n_rows));
    }
    price
}

/// The same bits so many times, end to end.
fn repeated(bits: &BitShare, n_times: usize) -> BitShare {
    let n = bits.n_bits();
    if n.is_multiple_of(64) {
        let words = bits.as_words().repeat(n_times);
        return BitShare::from_words(n * n_times, words);
    }
    bits.picked((0..n * n_times).map(|at| at % n))
}

/// The weights of both children of each node, from left to right.
pub(super) async fn children(
    session: &mut Session,
    weights: Share<u64>,
    went_right: &BitShare,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let n = went_right.n_bits();
    let bits = repeated(went_right, weights.len() / n);
    let right = mux::times(session, &bits, &weights, stock).await?;
    let left = difference(&weights, &right);
    let nodes = left.as_slice().chunks_exact(n);
    let both = nodes.zip(right.as_slice().chunks_exact(n));
    let both = both.flat_map(|(left, right)| left.iter().chain(right));
    Ok(Share::new(both.copied().collect()))
}

pub(super) fn children_price(seats: Seats, n_nodes: usize, n_rows: usize) -> Price {
    mux::price::<u64>(seats, n_nodes * n_rows)
}

/// The number of the leaf that each row is in.
pub(super) async fn at_leaves(
    session: &mut Session,
    leaves: &Share<u64>,
    path: &[BitShare],
    n_rows: usize,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let each = leaves.as_slice().iter();
    let each = each.flat_map(|leaf| std::iter::repeat_n(*leaf, n_rows));
    followed(session, Share::new(each.collect()), path, stock).await
}

pub(super) fn at_leaves_price(seats: Seats, shape: &Shape) -> Price {
    followed_price(seats, 1 << shape.depth, shape.n_rows)
}
