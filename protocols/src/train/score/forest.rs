//! Margins of the hub's rows by boosted trees, of which each holder knows the splits of its own features, and nobody the
//! leaves: they are shared among the computing seats, as [`joined::train`](crate::train::trees::joined::train) left them.
//!
//! ```text
//! each holder  of each of its rows and each node 1 if the node is split by a feature of its own and the row goes to the
//!              right there, else 0
//! join         b = Σ of the holders' bits: each node has one owner at the most, so b is a bit; a holder that does not have
//!              the key adds 0, as one whose value is missing does
//! walk         from the leaves up: value of a node = left + b·(right − left)
//! ```
//!
//! Columns over Z_2^64 of each holder: a bit for each node, tree by tree, in each from the root level by level.

use super::{check_tables, tell, told_cost};
use crate::arith::{difference, mul, mux};
use crate::correlate::Stock;
use crate::cost::Cost;
use crate::disclose::{self, Disclosure, Terms};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::psi::circuit::{self, Keep};
use crate::session::Session;
use crate::train::trees::MAX_DEPTH;
use engine::share::Share;

/// Most leaves of all trees.
pub const MAX_LEAVES: usize = 2048;

/// Leaves of the trees that are walked at once.
const LEAVES_AT_ONCE: usize = 256;

/// The public shape of a scoring by trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The hub, which gets the margins, and then the other holders: seat and number of distinct keys.
    pub tables: Vec<(Seat, usize)>,
    /// Number of trees.
    pub n_trees: usize,
    /// Levels of splits.
    pub depth: u32,
}

impl Shape {
    /// Nodes of a tree that may be split.
    fn tree_nodes(&self) -> usize {
        (1 << self.depth) - 1
    }

    /// Columns of each holder.
    #[must_use]
    pub fn n_nodes(&self) -> usize {
        self.n_trees * self.tree_nodes()
    }

    /// Leaves of all trees.
    #[must_use]
    pub fn n_leaves(&self) -> usize {
        self.n_trees << self.depth
    }

    /// The shape of the join.
    #[must_use]
    pub fn join(&self) -> circuit::Shape {
        circuit::Shape::star(&self.tables, |_| self.n_nodes(), Keep::Each)
    }

    /// The terms of the disclosure that [`margins`] takes.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let seats: Vec<u8> = self.tables.iter().map(|(seat, _)| seat.0).collect();
        let numbers = [self.n_trees as u64, self.depth.into()];
        let numbers: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
        let hub = [self.tables[0].0];
        Terms::new("entente/v1/terms/score-trees", &[&seats, &numbers], &hub)
    }

    fn check(&self, leaves: &Share<u64>) -> Result<(), ProtocolError> {
        check_tables(&self.tables)?;
        let fits = (1..=MAX_DEPTH).contains(&self.depth)
            && (1..=MAX_LEAVES).contains(&self.n_leaves())
            && leaves.len() == self.n_leaves();
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "trees have 1 to 6 levels, at most 2048 leaves, and a share of each leaf",
            }),
        }
    }

    /// The numbers of trees that are walked at once.
    fn batches(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let (n_trees, at_once) = (self.n_trees, (LEAVES_AT_ONCE >> self.depth).max(1));
        let starts = (0..n_trees).step_by(at_once);
        starts.map(move |start| start..n_trees.min(start + at_once))
    }
}

/// Finds the margin of each of the hub's rows, and reveals it to the hub.
///
/// # Seats     the holders of the tables; all other computing seats call it too
/// # Inputs    `rows`: at the holders columns as the [module](self) says; elsewhere `None`; `leaves`: shares of all leaves,
///   tree by tree from left to right; takes [`price`]; `disclosure`: of [`Shape::terms`]
/// # Output    at the hub, for each of its rows in order the sum of its leaves
/// # Cost      [`price`] and [`release_cost`]: a selection a node, row and spoke, and a product a node and row
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape, and the margins to the hub. Nobody learns
///   whose a node is, where a row goes, or a leaf
/// # Errors    those of [`circuit::join`]; [`ProtocolError::InvalidInput`], [`ProtocolError::NotApproved`] before anything
///   is sent; [`ProtocolError::CheckFailed`]
/// # Source    CRYPTO §4.5; a left join as in [`circuit`]; the walk is a tree of multiplexers
pub async fn margins(
    session: &mut Session,
    (rows, leaves): (Option<circuit::Rows>, Share<u64>),
    shape: &Shape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Vec<u64>>, ProtocolError> {
    session.ended_by(shape.check(&leaves))?;
    let needs = price(Seats::of(session), shape).needs;
    disclose::admit(session, (&disclosure, &shape.terms()), (stock, &needs))?;
    let joined = circuit::join(session, &shape.join(), rows, stock).await?;
    let n = shape.join().n_bins();
    let mut goes_right = joined.hub.narrow;
    for spoke in &joined.spokes {
        for (sum, bits) in goes_right.iter_mut().zip(&spoke.narrow) {
            sum.add_assign(bits);
        }
    }
    let mut margins: Share<u64> = Share::zero(n);
    for batch in shape.batches() {
        let of_batch = &leaves.as_slice()[batch.start << shape.depth..batch.end << shape.depth];
        let mut values = repeated(of_batch, n);
        for level in (0..shape.depth).rev() {
            let first = (1 << level) - 1;
            let mut bits = Vec::with_capacity(values.len() / 2);
            for tree in batch.clone() {
                let nodes = tree * shape.tree_nodes() + first..;
                for node in nodes.take(1 << level) {
                    bits.extend_from_slice(goes_right[node].as_slice());
                }
            }
            let [left, right] = [0, 1].map(|side| every_second(&values, side, n));
            let step = difference(&right, &left);
            values = mul::mul(session, &Share::new(bits), &step, stock).await?;
            values.add_assign(&left);
        }
        for tree in values.as_slice().chunks_exact(n) {
            let sums = margins.as_mut_slice().iter_mut().zip(tree);
            sums.for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
        }
    }
    // A bin without a row of the hub would tell the margin of one that goes to the left everywhere.
    let margins = mux::times(session, &joined.valid, &margins, stock).await?;
    let to = (shape.tables[0].0, joined.places);
    let found = tell(session, (margins, n), to, disclosure).await?;
    Ok(found.and_then(|mut columns| columns.pop()))
}

/// Each number n times in a row.
fn repeated(values: &[u64], n: usize) -> Share<u64> {
    let each = values.iter();
    Share::new(each.flat_map(|v| std::iter::repeat_n(*v, n)).collect())
}

/// Of vectors of n numbers every second one, from the first or the second on.
fn every_second(values: &Share<u64>, from: usize, n: usize) -> Share<u64> {
    let vectors = values.as_slice().chunks_exact(n).skip(from).step_by(2);
    Share::new(vectors.flatten().copied().collect())
}

/// The declared price of [`margins`] but for revealing.
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let n = shape.join().n_bins();
    let levels = shape.batches().flat_map(|batch| {
        let n_trees = batch.len();
        (0..shape.depth)
            .rev()
            .map(move |level| mul::price::<u64>(seats, (n_trees * n) << level))
    });
    circuit::price(seats, &shape.join())
        .then(&Price::sequence(seats, levels))
        .then(&mux::price::<u64>(seats, n))
}

/// The declared cost of what [`margins`] reveals.
pub fn release_cost(seats: Seats, shape: &Shape) -> Cost {
    told_cost(seats, shape.join().n_bins(), shape.tables[0].0)
}
