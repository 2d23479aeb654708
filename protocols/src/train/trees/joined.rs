//! Boosted trees of the rows that several holders have in common, each with columns of its own, without anybody
//! seeing which rows these are.
//!
//! ```text
//! bins      of its own features every holder makes over its own table
//! join      the holders' rows meet in shares, see [`circuit`](crate::psi::circuit)
//! grow      see [`trees`](super)
//! evaluate  rows that were fitted, and rows that were not, see [`evaluate`](super::super::evaluate)
//! release   how well the trees do to receivers, and to each holder where its own features were split
//! ```
//!
//! Columns over Z_2^64 of each holder, in this order: the numbers of the bins of its features, but not at the hub,
//! which knows where its rows are and keeps them as [`Table::bins`]; at the label's holder 1 for rows that are fitted,
//! and 1 for those of these with label 1; for each sample that is kept for a test, 1 for bad rows of it, and 1 for good ones.

use super::split::codes;
use super::{Forest, MARGIN_BITS, Rows, Split, grow, hot, hot_price, place};
use crate::arith::compare::{self, Method};
use crate::arith::{convert, copy, difference, mul};
use crate::correlate::Stock;
use crate::cost::Cost;
use crate::disclose::{self, Disclosure, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::psi::circuit::{self, Joined, Keep};
use crate::session::Session;
use crate::train::evaluate::{self, Asks};
use engine::ring;
use engine::share::Share;

/// Bits of numbers of rows.
const COUNT_BITS: u32 = 32;

/// Most samples that are kept for tests.
const MOST_KEPT: usize = 8;

/// The public shape of trees over a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The hub first, then the others: seat and number of distinct keys.
    pub tables: Vec<(Seat, usize)>,
    /// For each feature whose it is, as a place in `tables`.
    pub features: Vec<usize>,
    /// Whose the label is, as a place in `tables`.
    pub label: usize,
    /// The trees. The numbers of rows and of features are those of the join, whatever stands here.
    pub trees: super::Shape,
    /// How many samples are kept for tests.
    pub n_kept: usize,
    /// What is asked for of these beside area and distance, compared with rows that are fitted.
    pub asks: Asks,
    /// What is asked for of rows that are fitted: all but a comparison.
    pub of_train: Asks,
    /// Fewest bad and fewest good ones that are counted between two scores; at 1 or less any number is told.
    pub min_cell: u64,
    /// Fewest rows that are fitted; and fewest bad and good ones that are evaluated.
    pub at_least: u64,
}

/// A holder's table.
pub struct Table {
    /// Keys and columns, as the [module](self) says.
    pub rows: circuit::Rows,
    /// At the hub the numbers of the bins of its features, in the order of its rows.
    pub bins: Vec<Vec<u64>>,
}

impl Drop for Table {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.bins.zeroize();
    }
}

/// What comes of it at one seat.
#[derive(Debug)]
pub struct Grown {
    /// At receivers.
    pub released: Option<Released>,
    /// At holders of features: for each split where one of their own was chosen which, and the last bin that goes to
    /// the left; `None` for all other splits. Tree by tree, and in each level by level from left to right.
    pub splits: Option<Vec<Option<Split>>>,
    /// At every computing seat its shares of the leaves, tree by tree from left to right, with
    /// [`MARGIN_BITS`]: what scores are computed of. Shares of zeros if too few rows are fitted.
    pub leaves: LeafShares,
}

/// A seat's shares of leaves.
pub struct LeafShares(pub Share<u64>);

impl std::fmt::Debug for LeafShares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shares of {} leaves", self.0.len())
    }
}

/// How well trees do, in the clear. All numbers are zero if too few rows are fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Released {
    /// Whether as many rows are fitted as there have to be.
    pub is_enough: bool,
    /// How many.
    pub n_used: u64,
    /// [`evaluate::Figures`] of the rows that are fitted, and of each sample kept for a test.
    pub figures: Vec<u64>,
}

impl Shape {
    /// How many columns the table at a place brings to the join.
    #[must_use]
    pub fn n_columns_of(&self, place: usize) -> usize {
        let n_features = if place == 0 {
            0
        } else {
            self.n_features_of(place)
        };
        let of_label = 2 + 2 * self.n_kept;
        n_features + if place == self.label { of_label } else { 0 }
    }

    /// How many features are those of the table at a place.
    #[must_use]
    pub fn n_features_of(&self, place: usize) -> usize {
        self.features.iter().filter(|f| **f == place).count()
    }

    /// The shape of the join.
    #[must_use]
    pub fn join(&self) -> circuit::Shape {
        circuit::Shape::star(&self.tables, |place| self.n_columns_of(place), Keep::All)
    }

    /// The shape of the trees.
    #[must_use]
    pub fn forest(&self) -> super::Shape {
        super::Shape {
            n_rows: self.join().n_bins(),
            n_features: self.features.len(),
            ..self.trees
        }
    }

    fn method(&self) -> Method {
        self.trees.method
    }

    /// The evaluation of rows that are fitted, or of those of a sample kept for a test.
    fn evaluation(&self, is_test: bool) -> evaluate::Shape {
        evaluate::Shape {
            n_rows: self.join().n_bins(),
            score_bits: MARGIN_BITS,
            at_least: self.at_least,
            asks: if is_test { self.asks } else { self.of_train },
            min_cell: self.min_cell,
            method: self.method(),
        }
    }

    fn evaluations(&self) -> impl Iterator<Item = evaluate::Shape> {
        (0..=self.n_kept).map(|sample| self.evaluation(sample > 0))
    }

    fn n_splits(&self) -> usize {
        let forest = self.forest();
        forest.n_trees as usize * forest.tree_splits()
    }

    fn n_leaves(&self) -> usize {
        (self.trees.n_trees as usize) << self.trees.depth
    }

    /// Numbers that receivers learn: whether rows suffice, how many there are, and figures.
    fn n_released(&self) -> usize {
        let n_figures = self.evaluations().map(|shape| shape.asks.n_figures());
        2 + n_figures.sum::<usize>()
    }

    /// The places of holders of features, in order.
    fn owners(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.tables.len()).filter(|place| self.n_features_of(*place) > 0)
    }

    /// The terms of the disclosure that [`train`] takes.
    #[must_use]
    pub fn terms(&self, receivers: &[Seat]) -> Terms {
        let trees = &self.trees;
        let numbers = [
            trees.n_bins as u64,
            u64::from(trees.depth),
            u64::from(trees.n_trees),
            u64::from(trees.log_rows),
            u64::from(trees.rate),
            u64::from(trees.lambda),
            u64::from(trees.min_weight),
            i64::from(trees.start).cast_unsigned(),
            self.label as u64,
            self.n_kept as u64,
            self.at_least,
            self.min_cell,
            self.n_released() as u64,
        ];
        let seats = self.tables.iter().map(|(seat, _)| u64::from(seat.0));
        let features = self.features.iter().map(|place| *place as u64);
        let words = |values: Vec<u64>| -> Vec<u8> {
            values.into_iter().flat_map(u64::to_le_bytes).collect()
        };
        let fields = [
            words(numbers.to_vec()),
            words(seats.collect()),
            words(features.collect()),
        ];
        let fields = fields.each_ref().map(|field| &field[..]);
        Terms::new("entente/v1/terms/trees", &fields, receivers)
    }

    fn check(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let n_tables = self.tables.len();
        let most = self.tables.iter().map(|(_, n)| *n).max().unwrap_or(0);
        let mut seats = self.tables.iter().map(|(seat, _)| seat.index());
        let fits = n_tables >= 2
            && seats.all(|seat| seat < n_computing)
            && self.label < n_tables
            && !self.of_train.stability
            && self.n_kept <= MOST_KEPT
            && self.features.iter().all(|place| *place < n_tables)
            && self.trees.log_rows <= super::MAX_LOG_ROWS
            && most <= 1 << self.trees.log_rows;
        match fits {
            true => self.forest().check(),
            false => Err(ProtocolError::InvalidInput {
                what: "trees over a join have features and a label of two tables or more",
            }),
        }
    }

    /// Checks the bins that this seat brings, and takes them.
    fn hub_bins(&self, table: Option<&Table>, seat: Seat) -> Result<(), ProtocolError> {
        let n_bins = self.trees.n_bins as u64;
        let (hub, n_rows) = self.tables[0];
        let fits = match table {
            Some(table) if seat == hub => {
                let right = |c: &Vec<u64>| c.len() == n_rows && c.iter().all(|b| *b < n_bins);
                table.bins.len() == self.n_features_of(0) && table.bins.iter().all(right)
            }
            Some(table) => table.bins.is_empty(),
            None => true,
        };
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "the hub brings a bin of each of its features for each of its rows",
            }),
        }
    }
}

/// Grows trees over the rows that all tables have in common, and reveals how well they do to the receivers and to each
/// holder of features its own splits.
///
/// # Seats     the holders of the tables; all other computing seats call it too
/// # Inputs    `table`: at the holders, columns as the [module](self) says; elsewhere `None`; takes [`price`];
///   `disclosure`: of [`Shape::terms`]
/// # Output    [`Grown`]
/// # Cost      [`price`] and [`release_cost`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. Receivers learn whether enough rows are
///   fitted, and if so how many and the figures; a holder of features learns which splits are its own, with feature and
///   bin. Nobody learns who matched, nor anything of leaves but a share
/// # Errors    those of [`circuit::join`], [`grow`], [`evaluate::evaluate`] and [`reveal`]
/// # Source    CRYPTO §3.6, §4.3, §4.5
pub async fn train(
    session: &mut Session,
    table: Option<Table>,
    shape: &Shape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Grown, ProtocolError> {
    session.ended_by(shape.check(session.n_computing()))?;
    let terms = shape.terms(disclosure.receivers());
    session.ended_by(shape.hub_bins(table.as_ref(), session.seat()))?;
    let seats = Seats::of(session);
    let needs = price(seats, shape).needs;
    disclose::admit(session, (&disclosure, &terms), (stock, &needs))?;
    let (rows, own) = match table {
        Some(mut table) => (Some(take_rows(&mut table)), std::mem::take(&mut table.bins)),
        None => (None, Vec::new()),
    };
    let joined = circuit::join(session, &shape.join(), rows, stock).await?;
    let (rows, kept) = rows_of(session, shape, joined, own, stock).await?;
    let good = difference(&rows.used, &rows.labels);
    let mut marks = vec![[copy(&rows.labels), good]];
    marks.extend(kept);
    let used = copy(&rows.used);
    let n_used = ring::sum(used.as_slice());
    let forest = grow(session, rows, &shape.forest(), stock).await?;
    let mut figures = Share::zero(0);
    for ([bad, good], evaluation) in marks.into_iter().zip(shape.evaluations()) {
        let rows = evaluate::Rows {
            scores: copy(&forest.margins),
            bad,
            good,
            base: evaluation.asks.stability.then(|| copy(&used)),
        };
        let found = evaluate::evaluate(session, rows, &evaluation, stock).await?;
        figures.append(found);
    }
    let found = (n_used, figures, forest);
    release(session, found, shape, stock, disclosure).await
}

/// The declared price of [`train`] but for revealing.
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let forest = shape.forest();
    let n_shared = shape.features.iter().filter(|place| **place != 0).count();
    let hot = hot_price(seats, forest.n_rows, forest.n_bins, forest.method);
    let evaluated = shape.evaluations();
    let evaluated = evaluated.map(|shape| evaluate::price(seats, &shape));
    let n_owners = shape.owners().count();
    circuit::price(seats, &shape.join())
        .then(&Price::sequence(seats, vec![hot; n_shared]))
        .then(&super::price(seats, &forest))
        .then(&Price::sequence(seats, evaluated))
        .then(&compare::less_than_zero_price::<u64>(
            seats,
            1,
            COUNT_BITS,
            shape.method(),
        ))
        .then(&convert::planes_price::<u64>(seats, 1, 1))
        .then(&mul::price::<u64>(
            seats,
            shape.n_released() - 1 + n_owners * shape.n_splits() + shape.n_leaves(),
        ))
}

/// The declared cost of what [`train`] reveals.
pub fn release_cost(seats: Seats, shape: &Shape, receivers: &[Seat]) -> Cost {
    let Seats {
        n_seats,
        n_computing,
    } = seats;
    let first = disclose::cost(n_seats, n_computing, shape.n_released(), 0, receivers);
    shape.owners().fold(first, |sum, place| {
        let owner = [shape.tables[place].0];
        let splits = disclose::cost(n_seats, n_computing, shape.n_splits(), 0, &owner);
        sum.then(&splits)
    })
}

fn take_rows(table: &mut Table) -> circuit::Rows {
    std::mem::replace(&mut table.rows, circuit::Rows::of_keys(Vec::new()))
}

/// A join's rows as trees take them, and bad and good rows of each sample that is kept for a test.
async fn rows_of(
    session: &mut Session,
    shape: &Shape,
    joined: Joined,
    mut own: Vec<Vec<u64>>,
    stock: &mut Stock,
) -> Result<(Rows, Vec<[Share<u64>; 2]>), ProtocolError> {
    let forest = shape.forest();
    let mut of_hub = hub_columns(&forest, shape, joined.places.as_deref(), &mut own).into_iter();
    let columns = [joined.hub].into_iter().chain(joined.spokes);
    let mut tables: Vec<_> = columns.map(|c| c.narrow.into_iter()).collect();
    let mut hot_bins = Share::zero(forest.n_rows * forest.n_cells());
    let mut bins = Share::zero(0);
    for (feature, place_of) in shape.features.iter().enumerate() {
        let own_column = if *place_of == 0 { of_hub.next() } else { None };
        let column = match own_column {
            Some((column, is_known)) => {
                put_known(&mut hot_bins, feature, &column, is_known, &forest);
                column
            }
            None => {
                let column = tables[*place_of].next().expect("a column of the shape");
                let bits = hot(session, &column, forest.n_bins, forest.method, stock).await?;
                place(&mut hot_bins, feature, &bits, &forest);
                column
            }
        };
        bins.append(column);
    }
    let mut next = || tables[shape.label].next().expect("a column of the shape");
    let rows = Rows {
        hot: hot_bins,
        bins,
        used: next(),
        labels: next(),
    };
    let kept = (0..shape.n_kept).map(|_| [next(), next()]);
    let kept = kept.collect();
    Ok((rows, kept))
}

/// The hub's features in the order of the join's rows: itself it knows them, all others have shares of 0.
fn hub_columns(
    forest: &super::Shape,
    shape: &Shape,
    places: Option<&[u32]>,
    own: &mut Vec<Vec<u64>>,
) -> Vec<(Share<u64>, bool)> {
    let Some(places) = places else {
        let zero = |_| (Share::zero(forest.n_rows), false);
        return (0..shape.n_features_of(0)).map(zero).collect();
    };
    let placed = |column: Vec<u64>| {
        let mut values = Share::zero(forest.n_rows);
        for (value, at) in column.iter().zip(places) {
            values.as_mut_slice()[*at as usize] = *value;
        }
        (values, true)
    };
    std::mem::take(own).into_iter().map(placed).collect()
}

/// Puts a feature whose bins this seat knows, or shares of 0, into the matrix of bits.
fn put_known(
    cells: &mut Share<u64>,
    feature: usize,
    column: &Share<u64>,
    is_known: bool,
    forest: &super::Shape,
) {
    if !is_known {
        return;
    }
    let rows = cells.as_mut_slice().chunks_exact_mut(forest.n_cells());
    for (row, bin) in rows.zip(column.as_slice()) {
        row[feature * forest.n_bins + *bin as usize] = 1;
    }
}

async fn release(
    session: &mut Session,
    (n_used, figures, forest): (u64, Share<u64>, Forest),
    shape: &Shape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Grown, ProtocolError> {
    let me = session.seat();
    let receivers = disclosure.receivers().to_vec();
    let mut margin = Share::new(vec![n_used]);
    margin.add_public(me.index(), &[shape.at_least.wrapping_neg()]);
    let mut enough =
        compare::less_than_zero(session, &margin, COUNT_BITS, shape.method(), stock).await?;
    enough.not(me.index());
    let enough = convert::bit_to_arith::<u64>(session, &enough, stock).await?;
    let mut told = Share::new(vec![n_used]);
    told.append(figures);
    for owner in shape.owners() {
        told.append(own_splits(&forest.splits, shape, owner));
    }
    told.append(forest.leaves);
    let may = Share::new(vec![enough.as_slice()[0]; told.len()]);
    let mut told = mul::mul(session, &told, &may, stock).await?;
    let leaves = LeafShares(told.split_off(told.len() - shape.n_leaves()));
    let mut narrow = enough;
    narrow.append(told);
    let mut rest = narrow.split_off(shape.n_released());
    let terms = Terms::of_values(narrow.len(), 0, &receivers);
    let found = reveal(session, values(narrow), &receivers, disclosure.part(terms)).await?;
    let mut splits = None;
    for place in shape.owners() {
        let after = rest.split_off(shape.n_splits());
        let owner = [shape.tables[place].0];
        let terms = Terms::of_values(rest.len(), 0, &owner);
        let own = reveal(session, values(rest), &owner, disclosure.part(terms)).await?;
        if let Some(own) = own {
            let n_inner = shape.trees.n_bins - 1;
            splits = Some(
                own.narrow
                    .iter()
                    .map(|code| Split::of(*code, n_inner))
                    .collect(),
            );
        }
        rest = after;
    }
    Ok(Grown {
        released: found.map(|found| Released {
            is_enough: found.narrow[0] == 1,
            n_used: found.narrow[1],
            figures: found.narrow[2..].to_vec(),
        }),
        splits,
        leaves,
    })
}

fn values(narrow: Share<u64>) -> Values {
    Values {
        narrow,
        wide: Share::zero(0),
    }
}

/// For each split 0, or one more than the number of the cut among those of a holder's features.
fn own_splits(splits: &Share<u64>, shape: &Shape, owner: usize) -> Share<u64> {
    let own = shape.features.iter().enumerate();
    let own: Vec<usize> = own.filter(|(_, p)| **p == owner).map(|(f, _)| f).collect();
    codes(splits, &own, &shape.forest())
}
