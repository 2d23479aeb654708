//! Gradient-boosted trees of shared rows, for labels 0 and 1: the formulas of XGBoost over histograms.
//!
//! ```text
//! p = 1/(1 + e^−F)             margins F of all rows, in shares; g = p − y, h = p·(1 − p) of rows that are fitted
//! histograms                   Σg and Σh of each bin of each feature in each node: a product of the rows' (g, h) with
//!                              the matrix that says which row is in which bin
//! score of a cut               G_L²/(H_L + λ) + G_R²/(H_R + λ); that of no cut G²/(H + λ)
//! the greatest                 by a tournament, and back from its end which one it was, as a vector of bits in shares
//! rows go left or right        the chosen feature's bin is compared with the chosen cut
//! F ← F − η·G/(H + λ)          of the leaf that a row is in
//! ```
//!
//! Nothing is opened: neither splits nor how many rows are in a node. A node without a cut that gains anything
//! passes all its rows to the left.
//!
//! The matrix of bins is the same in all trees. It is opened under its mask once, and what a level of a tree sends
//! of it are the rows' masked (g, h). Both are one number, h·2^32 + g: half the masks, half the products. Of each
//! two children one has its histogram made, the other has what is left of its parent's.
//!
//! Sums of g and h have [`Shape::sum_bits`], whatever the number of rows fits 30 bits; each row's are rounded up
//! or down by chance, without bias. Scores are divided out, not cross-multiplied: a product of three sums does not
//! fit Z_2^64, and one division serves the score and, of the cut that is chosen, the leaf.

mod hot;
mod split;
mod route;
pub mod joined;
pub mod pooled;

pub use hot::{hot, hot_price, place};
pub use split::Split;

use crate::arith::compare::Method;
use crate::arith::matmul::{Cached, cache, cache_price, cached_cost};
use crate::arith::{copy, mul};
use crate::correlate::{MatrixShape, Stock};
use crate::error::ProtocolError;
use crate::function::fixed::{add_public, shift, shift_price};
use crate::function::{self, Format};
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use engine::share::Share;

/// Fractional bits of margins.
pub const MARGIN_BITS: u32 = 24;

/// Fractional bits of η, λ and the least weight of a child.
pub const PARAMETER_BITS: u32 = 20;

/// The most bins of a feature.
pub const MAX_BINS: usize = 64;

/// The greatest depth of a tree.
pub const MAX_DEPTH: u32 = 6;

/// log2 of the most rows that any table may have.
pub const MAX_LOG_ROWS: u32 = 19;

/// Bits of a sum of g, or of h, over any rows.
const SUM_ROOM: u32 = 30;

/// Where h begins in the number that has both.
const HIGH: u32 = 32;

/// The public shape of a forest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// n: number of rows that are given, those that are not fitted included.
    pub n_rows: usize,
    /// d: number of features.
    pub n_features: usize,
    /// B: bins of each feature, 2 to [`MAX_BINS`].
    pub n_bins: usize,
    /// Levels of splits, 1 to [`MAX_DEPTH`].
    pub depth: u32,
    /// Number of trees.
    pub n_trees: u32,
    /// No more than 2^this rows are fitted; at most [`MAX_LOG_ROWS`].
    pub log_rows: u32,
    /// η, λ, and the least Σh of a child, with [`PARAMETER_BITS`].
    pub rate: u32,
    /// λ.
    pub lambda: u32,
    /// The least Σh of a child.
    pub min_weight: u32,
    /// Margins before the first tree, with [`MARGIN_BITS`].
    pub start: i32,
    /// The method of comparisons and conversions.
    pub method: Method,
}

/// Shares of rows.
pub struct Rows {
    /// n·(d·B), row by row: which bin of each feature the row is in. One bit of each feature's is 1.
    pub hot: Share<u64>,
    /// d·n: the number of the bin, feature by feature.
    pub bins: Share<u64>,
    /// 1 for rows that are fitted, 0 for all others.
    pub used: Share<u64>,
    /// 1 for rows that are fitted and have label 1.
    pub labels: Share<u64>,
}

/// Shares of a grown forest.
pub struct Forest {
    /// Margins of all rows, with [`MARGIN_BITS`].
    pub margins: Share<u64>,
    /// For each split, tree by tree and in each level by level, [`Shape::n_cuts`] bits of which one is 1: that of no
    /// cut, and then for each feature those below its bins 1 to B − 1.
    pub splits: Share<u64>,
    /// For each tree 2^depth leaves, from left to right, with [`MARGIN_BITS`].
    pub leaves: Share<u64>,
}

impl Shape {
    /// Checks that the shape is one.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        if !(2..=MAX_BINS).contains(&self.n_bins) || self.n_features == 0 {
            return invalid("trees have features of 2 to 64 bins");
        }
        if !(1..=MAX_DEPTH).contains(&self.depth) || self.n_trees == 0 {
            return invalid("there is a tree, and trees have 1 to 6 levels");
        }
        if self.log_rows > MAX_LOG_ROWS {
            return invalid("trees are grown on tables of at most 2^19 rows");
        }
        let most = 1 << (SUM_ROOM - 1 - self.sum_bits() + PARAMETER_BITS);
        let weights = [self.lambda, self.min_weight].map(u64::from);
        if weights.iter().any(|w| *w > most) || weights == [0, 0] {
            return invalid(
                "λ and the least weight of a child are small, and one of them is not 0",
            );
        }
        Ok(())
    }

    /// Fractional bits of sums of g and h.
    #[must_use]
    pub fn sum_bits(&self) -> u32 {
        (SUM_ROOM - self.log_rows.min(SUM_ROOM)).min(20)
    }

    /// Cuts between which a node chooses, that of no cut included.
    #[must_use]
    pub fn n_cuts(&self) -> usize {
        1 + self.n_features * (self.n_bins - 1)
    }

    /// Splits of a tree.
    #[must_use]
    pub fn tree_splits(&self) -> usize {
        (1 << self.depth) - 1
    }

    fn n_cells(&self) -> usize {
        self.n_features * self.n_bins
    }

    /// A parameter at the scale of sums.
    fn parameter(&self, value: u32) -> u64 {
        u64::from(value) >> (PARAMETER_BITS - self.sum_bits())
    }

    /// Every row of (g, h) that is multiplied with the matrix of bins.
    fn histograms(&self) -> MatrixShape {
        MatrixShape {
            m: self.n_trees as usize * (1 << (self.depth - 1)),
            k: self.n_rows,
            n: self.n_cells(),
        }
    }

    /// Every choice of a feature that is multiplied with the numbers of bins.
    fn choices(&self) -> MatrixShape {
        MatrixShape {
            m: self.n_trees as usize * self.tree_splits(),
            k: self.n_features,
            n: self.n_rows,
        }
    }

    fn margin_format(&self) -> Format {
        Format {
            frac_bits: MARGIN_BITS,
            bound_bits: MARGIN_BITS + 12,
            method: self.method,
        }
    }

    /// How far g and h are shifted.
    fn gradient_shifts(&self) -> [i32; 2] {
        let bits = self.sum_bits().cast_signed();
        let margin = MARGIN_BITS.cast_signed();
        [margin - bits, 2 * margin - bits]
    }
}

/// Grows a forest.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `rows`: as the shape says; takes [`price`]
/// # Output    [`Forest`]
/// # Cost      [`price`]: 8·n·d·B bytes to each other seat once; in each tree about 2^depth·8·n of masked (g, h),
///   as much for rows that find their leaf, and a logistic function of n numbers; and some hundred rounds a tree
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. Nothing is opened
/// # Errors    [`ProtocolError::InvalidInput`] if shape and rows do not fit,
///   [`ProtocolError::OutOfCorrelations`] before anything is sent, [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    Chen–Guestrin, KDD 2016, §2.2 and §3.2, over fixed bins; on shares: Lu et al., Squirrel, USENIX Security
///   2023 (2023/527), with the matrix of bins shared too, since nobody knows who matched. Masks made once: CRYPTO §4.2
pub async fn grow(
    session: &mut Session,
    rows: Rows,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Forest, ProtocolError> {
    session.ended_by(shape.check().and_then(|()| rows.check(shape)))?;
    let seats = Seats::of(session);
    session.ended_by(stock.check(&price(seats, shape).needs))?;
    let Rows {
        hot,
        bins,
        used,
        labels,
    } = rows;
    let mut growing = Growing {
        shape,
        hot: cache(session, hot, shape.histograms(), stock).await?,
        bins: cache(session, bins, shape.choices(), stock).await?,
        used,
        labels,
        forest: Forest {
            margins: Share::zero(shape.n_rows),
            splits: Share::zero(0),
            leaves: Share::zero(0),
        },
    };
    let start = i64::from(shape.start).cast_unsigned();
    add_public(session, &mut growing.forest.margins, start);
    for tree in 0..shape.n_trees {
        session.reaches("tree", tree, shape.n_trees);
        growing.tree(session, tree, stock).await?;
    }
    Ok(growing.forest)
}

/// The declared price of [`grow`].
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let more = (1..shape.n_trees).map(|tree| tree_price(seats, shape, tree));
    cache_price(seats, shape.histograms())
        .then(&cache_price(seats, shape.choices()))
        .then(&tree_price(seats, shape, 0))
        .then(&Price::sequence(seats, more))
}

impl Rows {
    fn check(&self, shape: &Shape) -> Result<(), ProtocolError> {
        let n = shape.n_rows;
        let fits = self.hot.len() == n * shape.n_cells()
            && self.bins.len() == n * shape.n_features
            && [self.used.len(), self.labels.len()] == [n; 2];
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "rows have the bins, marks and labels that the shape says",
            }),
        }
    }
}

/// A forest that grows.
struct Growing<'a> {
    shape: &'a Shape,
    hot: Cached,
    bins: Cached,
    used: Share<u64>,
    labels: Share<u64>,
    forest: Forest,
}

impl Growing<'_> {
    async fn tree(
        &mut self,
        session: &mut Session,
        tree: u32,
        stock: &mut Stock,
    ) -> Result<(), ProtocolError> {
        let shape = self.shape;
        let mut weights = self.gradients(session, tree, stock).await?;
        let mut histograms = Share::zero(0);
        let mut path = Vec::new();
        for level in 0..shape.depth {
            histograms = self.histograms(session, &weights, histograms).await?;
            let chosen = split::choose(session, &histograms, shape, stock).await?;
            let bins = &mut self.bins;
            let went_right = route::right(session, &chosen, bins, &path, shape, stock).await?;
            if level + 1 < shape.depth {
                weights = route::children(session, weights, &went_right, stock).await?;
            } else {
                let leaves = split::leaves(session, &chosen, shape, stock).await?;
                path.push(went_right);
                let n = shape.n_rows;
                let moves = route::at_leaves(session, &leaves, &path, n, stock).await?;
                self.forest.margins.add_assign(&moves);
                self.forest.leaves.append(leaves);
                self.forest.splits.append(chosen.by_node());
                return Ok(());
            }
            path.push(went_right);
            self.forest.splits.append(chosen.by_node());
        }
        Ok(())
    }

    /// h·2^32 + g of each row.
    async fn gradients(
        &self,
        session: &mut Session,
        tree: u32,
        stock: &mut Stock,
    ) -> Result<Share<u64>, ProtocolError> {
        let shape = self.shape;
        let one = 1u64 << MARGIN_BITS;
        let (own, mut h) = if tree == 0 {
            // Before the first tree p is the same in all rows, and public.
            let p = start_probability(shape);
            let mut own = copy(&self.used);
            own.scale_public(p);
            let mut h = copy(&own);
            h.scale_public(one - p);
            (own, h)
        } else {
            let format = shape.margin_format();
            let p = function::sigmoid(session, &self.forest.margins, format, stock).await?;
            let own = mul::mul(session, &self.used, &p, stock).await?;
            let square = mul::mul(session, &own, &p, stock).await?;
            let mut h = copy(&own);
            h.scale_public(one);
            h.sub_assign(&square);
            (own, h)
        };
        let mut g = own;
        let mut labels = copy(&self.labels);
        labels.scale_public(one);
        g.sub_assign(&labels);
        let [of_g, of_h] = shape.gradient_shifts();
        h = shift(session, h, of_h, stock).await?;
        let g = shift(session, g, of_g, stock).await?;
        h.scale_public(1 << HIGH);
        h.add_assign(&g);
        Ok(h)
    }

    /// Histograms of all nodes of a level, node by node; of the right children by a product, of the left ones from
    /// their parents'.
    async fn histograms(
        &mut self,
        session: &mut Session,
        weights: &Share<u64>,
        parents: Share<u64>,
    ) -> Result<Share<u64>, ProtocolError> {
        let (n, n_cells) = (self.shape.n_rows, self.shape.n_cells());
        if parents.is_empty() {
            return self.hot.times(session, weights).await;
        }
        let right = weights.as_slice().chunks_exact(n).skip(1).step_by(2);
        let right = Share::new(right.flatten().copied().collect());
        let right = self.hot.times(session, &right).await?;
        let mut both = Vec::with_capacity(2 * right.len());
        let pairs = parents.as_slice().chunks_exact(n_cells);
        for (parent, right) in pairs.zip(right.as_slice().chunks_exact(n_cells)) {
            both.extend(parent.iter().zip(right).map(|(p, r)| p.wrapping_sub(*r)));
            both.extend_from_slice(right);
        }
        Ok(Share::new(both))
    }
}

/// 1/(1 + e^−F) before the first tree, with [`MARGIN_BITS`].
fn start_probability(shape: &Shape) -> u64 {
    let one = f64::from(1u32 << MARGIN_BITS);
    (one / (1.0 + (-f64::from(shape.start) / one).exp())).round() as u64
}

fn tree_price(seats: Seats, shape: &Shape, tree: u32) -> Price {
    let n = shape.n_rows;
    let mut price = gradients_price(seats, shape, tree);
    for level in 0..shape.depth {
        let n_nodes = 1 << level;
        let n_new = (n_nodes / 2).max(1);
        price = price
            .then(&cached_cost(seats, n_new * n))
            .then(&split::choose_price(seats, n_nodes, shape))
            .then(&route::right_price(seats, level, shape));
        if level + 1 < shape.depth {
            price = price.then(&route::children_price(seats, n_nodes, n));
        }
    }
    price
        .then(&split::leaves_price(seats, shape))
        .then(&route::at_leaves_price(seats, shape))
}

fn gradients_price(seats: Seats, shape: &Shape, tree: u32) -> Price {
    let n = shape.n_rows;
    let shifts = shape.gradient_shifts();
    let shifts = shifts.map(|bits| shift_price::<u64>(seats, n, bits));
    let shifted = Price::sequence(seats, shifts);
    if tree == 0 {
        return shifted;
    }
    let product = mul::price::<u64>(seats, n);
    function::sigmoid_price::<u64>(seats, n, shape.margin_format())
        .then(&product)
        .then(&product)
        .then(&shifted)
}

/// This seat's share of a public number.
fn public(session: &Session, value: u64) -> u64 {
    match session.seat() {
        Seat(0) => value,
        _ => 0,
    }
}
