//! Rank correlations of columns whose values are shares, of rows that count as often as a shared number says.

use super::{MAX_ROWS, RankSums};
use crate::arith::compare::Method;
use crate::arith::{self, convert, mul};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::scan;
use crate::session::Session;
use crate::shuffle::Shuffler;
use crate::sort;
use crate::table::{Table, TableShape};
use engine::ring;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// The public shape of [`shared_rank_sums`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRankShape {
    /// Rows, those that do not count included. All together count for 2^20 at most in a group.
    pub n_rows: usize,
    /// Groups.
    pub groups: usize,
    /// What is ranked.
    pub items: Vec<RankedItem>,
    /// Which two items are correlated; they have the same weights.
    pub pairs: Vec<(usize, usize)>,
    /// How the bits of values are found.
    pub method: Method,
}

/// A column that is ranked among the rows that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankedItem {
    /// Which of the columns.
    pub column: usize,
    /// Its values are below 2 to this power wherever the row counts; 1 to 64.
    pub bits: usize,
    /// How often rows count: which of the weights.
    pub weight: usize,
}

/// The rows.
pub struct SharedColumns {
    /// Values, column by column.
    pub values: Vec<Share<u64>>,
    /// How often each row counts: for each kind of weights, group by group.
    pub weights: Vec<Vec<Share<u64>>>,
}

impl SharedRankShape {
    /// Checks that the parts of the shape fit together.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let is_item = |(a, b): &(usize, usize)| {
            let both = self.items.get(*a).zip(self.items.get(*b));
            both.is_some_and(|(a, b)| a.weight == b.weight)
        };
        let fit = self.n_rows <= MAX_ROWS
            && self.groups > 0
            && self.items.iter().all(|item| (1..=64).contains(&item.bits))
            && self.pairs.iter().all(is_item);
        match fit {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "ranks of shares are of 2^20 rows at most, of 1 to 64 bits, and of two items with the same weights",
            }),
        }
    }

    fn check_rows(&self, rows: &SharedColumns) -> Result<(), ProtocolError> {
        self.check()?;
        match self.fits(rows) {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "ranks of shares have the columns and the weights of their items, of all rows",
            }),
        }
    }

    fn fits(&self, rows: &SharedColumns) -> bool {
        let is_whole = |share: &Share<u64>| share.len() == self.n_rows;
        let of_groups = |w: &Vec<Share<u64>>| w.len() == self.groups && w.iter().all(is_whole);
        rows.values.iter().all(is_whole)
            && rows.weights.iter().all(of_groups)
            && (self.items.iter())
                .all(|i| i.column < rows.values.len() && i.weight < rows.weights.len())
    }

    /// The rows of an item: its value, the weights in each group, and its place.
    fn table(&self, item: &RankedItem) -> TableShape {
        TableShape {
            n_rows: self.n_rows,
            key_bits: item.bits,
            extra_bits: 0,
            ring64: self.groups + 1,
            ring128: 0,
        }
    }

    /// The ranks of an item in each group.
    fn ranks(&self) -> TableShape {
        TableShape {
            n_rows: self.n_rows,
            key_bits: 0,
            extra_bits: 0,
            ring64: self.groups,
            ring128: 0,
        }
    }

    /// Products of two columns of all groups: the squares of all items, and then the pairs.
    fn products(&self) -> Vec<(usize, usize)> {
        let squares = (0..self.items.len()).map(|item| (item, item));
        squares.chain(self.pairs.iter().copied()).collect()
    }
}

/// Sums of squares and products of the ranks of pairs of columns, over rows of which nobody knows the values.
///
/// An item's rows are sorted by it. With the rows up to one counting for P together, those of its value up to it for U, and
/// from it on for F, the double of its average rank is 2·P − U + F − w + 1, w being what the row itself counts for. Ranks go
/// back to the places of their rows, where those of several items are multiplied.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `rows`; `shape`: the same at all seats; takes [`shared_price`]
/// # Output    for each pair shares of n, Σr², Σs² and Σrs of each group, as of [`rank_sums`](super::rank_sums)
/// # Cost      at most [`shared_price`]: for each item its bits, a sort, running sums and a shuffle; products of all rows
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. What is opened is the order of shuffled
///   rows, see [`sort`], and their places once they are shuffled again
/// # Errors    [`ProtocolError::InvalidInput`] before anything is sent; those of [`sort::sort`]
/// # Source    Spearman, 1904, with average ranks; CRYPTO §1.8. Places that are opened after a shuffle: Hamada et al., 2014
pub async fn shared_rank_sums(
    session: &mut Session,
    rows: SharedColumns,
    shape: &SharedRankShape,
    stock: &mut Stock,
) -> Result<Vec<RankSums>, ProtocolError> {
    let outcome = try_rank_sums(session, rows, shape, stock).await;
    session.ended_by(outcome)
}

async fn try_rank_sums(
    session: &mut Session,
    rows: SharedColumns,
    shape: &SharedRankShape,
    stock: &mut Stock,
) -> Result<Vec<RankSums>, ProtocolError> {
    shape.check_rows(&rows)?;
    stock.check(&shared_price(shape, Seats::of(session)).needs)?;
    let mut ranking = Ranking::new(session, rows, shape).await?;
    for _ in &shape.items {
        ranking.rank_next(session, stock).await?;
    }
    ranking.sums(session, stock).await
}

/// [`shared_rank_sums`] item by item, each from a stock of its own, so that the correlations of one are in memory at a time.
pub struct Ranking<'s> {
    shape: &'s SharedRankShape,
    rows: SharedColumns,
    shuffler: Shuffler,
    /// Of the items so far.
    ranks: Vec<Share<u64>>,
}

impl<'s> Ranking<'s> {
    /// Begins with no item.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    as [`shared_rank_sums`]; takes nothing
    /// # Output    no ranks yet
    /// # Cost      [`Shuffler::price`]
    /// # Security  as [`shared_rank_sums`]
    /// # Errors    as [`shared_rank_sums`]
    pub async fn new(
        session: &mut Session,
        rows: SharedColumns,
        shape: &'s SharedRankShape,
    ) -> Result<Self, ProtocolError> {
        session.ended_by(shape.check_rows(&rows))?;
        Ok(Self {
            shape,
            rows,
            shuffler: Shuffler::new(session).await?,
            ranks: Vec::with_capacity(shape.items.len()),
        })
    }

    /// Ranks the next item.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    the ranking so far; takes [`item_price`] of the item
    /// # Output    its ranks, kept as shares
    /// # Cost      at most [`item_price`]
    /// # Security  as [`shared_rank_sums`]
    /// # Errors    [`ProtocolError::InvalidInput`] after the last item; else as [`shared_rank_sums`]
    pub async fn rank_next(
        &mut self,
        session: &mut Session,
        stock: &mut Stock,
    ) -> Result<(), ProtocolError> {
        let item = self.shape.items.get(self.ranks.len());
        let item = item.ok_or(ProtocolError::InvalidInput {
            what: "every item is ranked once",
        });
        let item = session.ended_by(item)?;
        let weights = self.rows.weights[item.weight].iter();
        let weights = weights.map(arith::copy).collect();
        let values = &self.rows.values[item.column];
        let (of, shuffler) = ((item, self.shape), &mut self.shuffler);
        let ranks = of_item(session, (values, weights), of, stock, shuffler).await;
        self.ranks.push(session.ended_by(ranks)?);
        Ok(())
    }

    /// Adds up, once all items are ranked.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    the ranks of all items; takes [`sums_price`]
    /// # Output    as [`shared_rank_sums`]
    /// # Cost      [`sums_price`]
    /// # Security  as [`shared_rank_sums`]
    /// # Errors    [`ProtocolError::InvalidInput`] before the last item; else as [`shared_rank_sums`]
    pub async fn sums(
        self,
        session: &mut Session,
        stock: &mut Stock,
    ) -> Result<Vec<RankSums>, ProtocolError> {
        let is_whole = match self.ranks.len() == self.shape.items.len() {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "every item is ranked once",
            }),
        };
        session.ended_by(is_whole)?;
        let found = sums(session, &self.rows.weights, &self.ranks, self.shape, stock).await;
        session.ended_by(found)
    }
}

/// The doubled ranks of an item in each group, one group after the other, each in the order of rows.
async fn of_item(
    session: &mut Session,
    (values, weights): (&Share<u64>, Vec<Share<u64>>),
    (item, shape): (&RankedItem, &SharedRankShape),
    stock: &mut Stock,
    shuffler: &mut Shuffler,
) -> Result<Share<u64>, ProtocolError> {
    let me = session.seat().index();
    let n_rows = shape.n_rows;
    let mut places = Share::zero(n_rows);
    places.add_public(me, &(0..n_rows as u64).collect::<Vec<u64>>());
    let bits = convert::a2b(session, values, item.bits, shape.method, stock).await?;
    let mut columns = weights;
    columns.push(places);
    let table = Table::new(n_rows, &bits, &[], columns, vec![]);
    let sorted = sort::sort(session, table, stock).await?;
    let same = scan::same_group(session, &sorted, 0..item.bits, stock).await?;
    let (mut weights, _) = sorted.into_ring_columns();
    let places = weights.pop().expect("a column of places");
    let reversed = |w: &Share<u64>| Share::new(w.as_slice().iter().rev().copied().collect());
    let copies = weights.iter().map(arith::copy).collect();
    let up_to = scan::sums(session, &same, copies, stock).await?;
    let backwards = backwards(&same);
    let from = weights.iter().map(reversed).collect();
    let from = scan::sums(session, &backwards, from, stock).await?;
    let mut ranks = Vec::with_capacity(shape.groups);
    for (weights, (up_to, from)) in weights.iter().zip(up_to.iter().zip(&from)) {
        let mut before = 0u64;
        let runs = up_to.as_slice().iter().zip(from.as_slice().iter().rev());
        let rank = |(w, (up_to, from)): (&u64, (&u64, &u64))| {
            before = before.wrapping_add(*w);
            let twice = before.wrapping_mul(2).wrapping_sub(*up_to);
            twice.wrapping_add(*from).wrapping_sub(*w)
        };
        let mut doubled = Share::new(weights.as_slice().iter().zip(runs).map(rank).collect());
        doubled.add_public(me, &vec![1; n_rows]);
        ranks.push(doubled);
    }
    let table = Table::new(n_rows, &[], &[], ranks, vec![]);
    let table = sort::to_places(session, table, places, shuffler, stock).await?;
    let mut all = Share::zero(0);
    table
        .into_ring_columns()
        .0
        .into_iter()
        .for_each(|group| all.append(group));
    Ok(all)
}

/// Row n − 1 − i goes on with the run of the one after it if row n − i goes on with its own.
fn backwards(same: &BitShare) -> BitShare {
    let n_rows = same.n_bits();
    let mut backwards = BitShare::zero(n_rows.min(1));
    backwards.append(same.picked((1..n_rows.max(1)).rev()));
    backwards
}

/// Products of ranks, added up over the rows of each group that count: one after the other, so that memory goes by rows.
async fn sums(
    session: &mut Session,
    weights: &[Vec<Share<u64>>],
    ranks: &[Share<u64>],
    shape: &SharedRankShape,
    stock: &mut Stock,
) -> Result<Vec<RankSums>, ProtocolError> {
    let by_group = |values: &[u64]| {
        let groups = (0..shape.groups).map(|g| &values[g * shape.n_rows..][..shape.n_rows]);
        Share::new(groups.map(ring::sum).collect())
    };
    let counted = |item: &RankedItem| {
        let mut all = Share::zero(0);
        let groups = weights[item.weight].iter();
        groups.for_each(|group| all.append(arith::copy(group)));
        all
    };
    let mut weighted = Vec::with_capacity(ranks.len());
    for (item, ranks) in shape.items.iter().zip(ranks) {
        weighted.push(mul::mul(session, &counted(item), ranks, stock).await?);
    }
    let mut products = Vec::new();
    for (a, b) in shape.products() {
        let product = mul::mul(session, &weighted[a], &ranks[b], stock).await?;
        products.push(by_group(product.as_slice()));
    }
    let pairs = shape.pairs.iter().enumerate();
    let pairs = pairs.map(|(number, (a, b))| RankSums {
        sums: [
            by_group(counted(&shape.items[*a]).as_slice()),
            arith::copy(&products[*a]),
            arith::copy(&products[*b]),
            arith::copy(&products[shape.items.len() + number]),
        ],
    });
    Ok(pairs.collect())
}

/// The declared price of [`shared_rank_sums`].
pub fn shared_price(shape: &SharedRankShape, seats: Seats) -> Price {
    let items = shape.items.iter();
    let items = items.map(|item| item_price(shape, item, seats));
    items
        .fold(Shuffler::price(seats), |sum, item| sum.then(&item))
        .then(&sums_price(shape, seats))
}

/// The declared price of [`Ranking::rank_next`].
pub fn item_price(shape: &SharedRankShape, item: &RankedItem, seats: Seats) -> Price {
    let n_rows = shape.n_rows;
    let summed = || scan::sums_price::<u64>(n_rows, shape.groups, seats);
    convert::a2b_price::<u64>(seats, n_rows, item.bits, shape.method)
        .then(&sort::price(shape.table(item), seats))
        .then(&scan::same_group_price(n_rows, item.bits, seats))
        .then(&summed())
        .then(&summed())
        .then(&sort::to_places_price(shape.ranks(), seats))
}

/// The declared price of [`Ranking::sums`].
pub fn sums_price(shape: &SharedRankShape, seats: Seats) -> Price {
    let product = mul::price::<u64>(seats, shape.groups * shape.n_rows);
    let n_products = shape.items.len() + shape.products().len();
    Price::sequence(seats, std::iter::repeat_n(product, n_products))
}
