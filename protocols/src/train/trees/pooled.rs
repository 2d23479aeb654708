//! Boosted trees of rows that several holders have of different people, each with all columns.
//!
//! A holder knows its own rows' bins and labels, and if splits and leaves are told to all, also where its rows are in a
//! tree and what their gradients are. These it adds up by node and bin, and what it finds is its share of the sums over
//! all rows. Which cut gains most, and what the leaves are, is found on shares as in [`grow`](super::grow): neither a
//! sum nor a gain is opened, and only the splits and leaves need be.
//!
//! The functions here end in shares; whoever calls them opens these.

use super::split::{self, Chosen, codes};
use super::{HIGH, Shape, Split};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;

/// What was chosen in the nodes of a level.
pub struct Level {
    chosen: Chosen,
}

/// One holder's sums of g and h in one cell, as its share of those over all holders. Sums of h are rounded down: those
/// that are compared with the least weight of a child are never more than the true ones.
#[must_use]
pub fn packed((g, h): (f64, f64), shape: &Shape) -> u64 {
    let scale = 2f64.powi(shape.sum_bits().cast_signed());
    let g = (g * scale).round() as i64;
    let h = (h * scale).floor() as i64;
    (h << HIGH).wrapping_add(g).cast_unsigned()
}

/// Chooses a cut of each node of a level.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `own`: [`packed`] sums, node by node, and in each feature by feature and bin by bin; `shape`: that of the
///   trees, but for its rows; takes [`split_price`]
/// # Output    [`Level`]
/// # Cost      [`split_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape and the number of nodes. Nothing is opened
/// # Errors    [`ProtocolError::InvalidInput`] if shape and sums do not fit, [`ProtocolError::OutOfCorrelations`] before
///   anything is sent, [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    as [`grow`](super::grow); sums over holders of different rows: Cheng et al., SecureBoost, 2021, §4
pub async fn split(
    session: &mut Session,
    own: Share<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Level, ProtocolError> {
    let n_nodes = own.len() / shape.n_cells().max(1);
    let is_level = n_nodes.is_power_of_two() && n_nodes <= 1 << (shape.depth.max(1) - 1);
    let outcome = match is_level && n_nodes * shape.n_cells() == own.len() {
        true => shape.check(),
        false => Err(ProtocolError::InvalidInput {
            what: "a level of a tree has a sum for each bin of each of its nodes",
        }),
    };
    session.ended_by(outcome)?;
    let price = split_price(Seats::of(session), n_nodes, shape);
    session.ended_by(stock.check(&price.needs))?;
    let chosen = split::choose(session, &own, shape, stock).await?;
    Ok(Level { chosen })
}

/// The declared price of [`split`].
pub fn split_price(seats: Seats, n_nodes: usize, shape: &Shape) -> Price {
    split::choose_price(seats, n_nodes, shape)
}

impl Level {
    /// For each node, from left to right, the number that [`splits`] reads.
    #[must_use]
    pub fn codes(&self, shape: &Shape) -> Share<u64> {
        let all: Vec<usize> = (0..shape.n_features).collect();
        codes(&self.chosen.by_node(), &all, shape)
    }
}

/// The splits with these numbers; `None` where a node is not split.
#[must_use]
pub fn splits(codes: &[u64], shape: &Shape) -> Vec<Option<Split>> {
    let codes = codes.iter();
    codes
        .map(|code| Split::of(*code, shape.n_bins - 1))
        .collect()
}

/// The numbers of the leaves below the last level, −η·G/(H + λ).
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `level`: of [`split`] with the nodes of the shape's last level; takes [`leaves_price`]
/// # Output    2^depth shares, from left to right, with [`MARGIN_BITS`](super::MARGIN_BITS)
/// # Cost      [`leaves_price`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. Nothing is opened
/// # Errors    as [`split`]
/// # Source    Chen–Guestrin, KDD 2016, §2.2
pub async fn leaves(
    session: &mut Session,
    level: &Level,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let is_last = level.chosen.n_nodes() == 1 << (shape.depth - 1);
    let outcome = match is_last {
        true => stock.check(&leaves_price(Seats::of(session), shape).needs),
        false => Err(ProtocolError::InvalidInput {
            what: "leaves are below a tree's last level",
        }),
    };
    session.ended_by(outcome)?;
    split::leaves(session, &level.chosen, shape, stock).await
}

/// The declared price of [`leaves`].
pub fn leaves_price(seats: Seats, shape: &Shape) -> Price {
    split::leaves_price(seats, shape)
}

/// The declared price of all trees, but for what is opened of them.
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let levels = (0..shape.depth).map(|level| split_price(seats, 1 << level, shape));
    let tree = Price::sequence(seats, levels).then(&leaves_price(seats, shape));
    Price::sequence(seats, (0..shape.n_trees).map(|_| tree.clone()))
}
