//! In how many rows of a join each of the hub's own rows stands: shares, in an order that the hub alone knows.
//!
//! ```text
//! join      one bin for each of the hub's keys, and in each the product of the spokes' columns
//! first     the hub arranges bins: the first row of each key takes the bin's number, its other rows nothing
//! all       running sums over rows of one key, which the hub's bits say, give all of them the first one's number
//! order     the hub arranges its rows as it wants them
//! ```
//!
//! What a holder has sorted in the clear, by values of any domain, is so brought together with what nobody may know:
//! whether a row counts.

use super::plan::{Plan, Value};
use super::shape::Shape;
use super::{Inputs, columns};
use crate::correlate::{SecretPermutation, Stock};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::psi::Item;
use crate::psi::circuit::{self, Rows};
use crate::scan;
use crate::session::Session;
use crate::shuffle::{self, First};
use crate::table::{Table, TableShape};
use engine::bits;
use engine::share::Share;
use engine::share::boolean::BitShare;
use zeroize::Zeroize;

/// Most rows, with the bins of their keys.
const MAX_ROWS: usize = 1 << 24;

/// What all seats know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightShape {
    /// The join. The hub's relation has one cell and no columns, and contributes
    /// [`Factor::Matched`](super::Factor::Matched) to every term; outputs are over Z_2^64, and nothing is compared.
    pub join: Shape,
    /// Rows that the hub may have. What it has less is filled up.
    pub n_rows: usize,
}

/// What a holder brings.
pub enum WeightInputs {
    /// The hub.
    Hub(HubRows),
    /// Anybody else.
    Spoke(Inputs),
}

/// The hub's rows.
pub struct HubRows {
    /// Its distinct keys.
    pub keys: Vec<Item>,
    /// Of each row, in the order in which weights are wanted, the number of its key; `None` without one.
    pub rows: Vec<Option<u32>>,
}

impl Drop for HubRows {
    fn drop(&mut self) {
        self.keys.zeroize();
        self.rows.zeroize();
    }
}

impl WeightShape {
    fn check(&self) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        let hub = self.join.relations.first();
        let is_bare = hub.is_some_and(|h| h.cells == 1 && h.flags + h.narrow + h.wide == 0);
        let mut terms = self.join.narrow.iter().flatten();
        let is_hubs = |t: &super::Term| {
            let first = matches!(t.factors.first(), Some(super::Factor::Matched { .. }));
            first && t.below.is_empty()
        };
        if !is_bare || !terms.all(is_hubs) || !self.join.wide.is_empty() {
            return invalid("weights are sums of products of the spokes' columns over Z_2^64");
        }
        let n_bins = Plan::new(&self.join).join.map_or(0, |join| join.n_bins());
        match n_bins.saturating_add(self.n_rows) > MAX_ROWS {
            true => invalid("weights are of 2^24 rows, with the bins of their keys, at most"),
            false => Ok(()),
        }
    }

    /// Columns of weights.
    fn n_columns(&self) -> usize {
        self.join.narrow.len() * self.join.n_cells()
    }

    fn table(&self, n_rows: usize) -> TableShape {
        TableShape {
            n_rows,
            key_bits: 0,
            extra_bits: 0,
            ring64: self.n_columns(),
            ring128: 0,
        }
    }
}

/// Counts for each of the hub's rows the rows of the join in which it stands.
///
/// # Seats     symmetric; the holders that the shape names, and any others, which hold shares
/// # Inputs    `inputs`: at the hub its keys and the key of each row, elsewhere as for [`totals`](super::totals); `None`
///   at seats that hold nothing. Takes [`price`]
/// # Output    for each output and each combination of the spokes' cells, the latter running fastest, shares of a
///   number for each row in the hub's order, and 0 for those that it has less. Rows without a key have 0
/// # Cost      [`price`]: that of the join and of its products, two arrangements by the hub and about two selections
///   a row in 2·⌈log2 n⌉ − 1 levels
/// # Security  semi-honest; all seats but one may be corrupt. Reveals the shape, and nothing else.
///   Computational: as [`circuit::join`]
/// # Errors    [`ProtocolError::InvalidInput`] and [`ProtocolError::OutOfCorrelations`] before anything is sent;
///   otherwise those of [`circuit::join`] and [`shuffle::arrange`]
/// # Source    CRYPTO §3.6 for the join; extended permutations as two permutations with a copying pass between them:
///   Mohassel–Sadeghian, 2013/137, §4.3, with running sums for the pass
pub async fn weights(
    session: &mut Session,
    shape: &WeightShape,
    inputs: Option<WeightInputs>,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    let outcome = try_weights(session, shape, inputs, stock).await;
    session.ended_by(outcome)
}

async fn try_weights(
    session: &mut Session,
    shape: &WeightShape,
    inputs: Option<WeightInputs>,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    shape.check()?;
    let (inputs, own) = match inputs {
        Some(WeightInputs::Hub(own)) => {
            let keys = Inputs::from(Rows::of_keys(own.keys.clone()));
            (Some(keys), Some(own))
        }
        Some(WeightInputs::Spoke(inputs)) => (Some(inputs), None),
        None => (None, None),
    };
    shape.join.check(session, inputs.as_ref())?;
    own.as_ref().map_or(Ok(()), |own| own.check(shape))?;
    let plan = Plan::new(&shape.join);
    stock.check(&price(Seats::of(session), shape).needs)?;
    let mut columns: Vec<Share<u64>> = (0..shape.n_columns())
        .map(|_| Share::zero(shape.n_rows))
        .collect();
    if let Some(join) = &plan.join {
        let rows = inputs.filter(|_| join.has(session.seat()));
        let mut joined = circuit::join(session, join, rows.map(|i| i.rows), stock).await?;
        let bits = columns::bits(session, &plan, (&joined, None), stock).await?;
        let numbers = columns::narrow(&plan, &mut joined);
        let narrow = (numbers, &bits);
        let rights = columns::rights(session, (&plan, &plan.narrow), narrow, stock).await?;
        let in_bins = in_bins(&plan, &rights, (shape, join.n_bins()));
        let own = own.as_ref().zip(joined.places.as_deref());
        columns = of_rows(session, in_bins, (shape, own), stock).await?;
    }
    if let Some(own) = &own {
        own.add_matches(&plan, &mut columns, shape.join.n_cells());
    }
    Ok(columns)
}

/// What each bin counts for.
fn in_bins(
    plan: &Plan,
    rights: &[Share<u64>],
    (shape, n_bins): (&WeightShape, usize),
) -> Vec<Share<u64>> {
    let n_cells = shape.join.n_cells();
    let mut columns: Vec<Share<u64>> = (0..shape.n_columns())
        .map(|_| Share::zero(n_bins))
        .collect();
    for piece in &plan.narrow.pieces {
        let Value::Sum(right) = piece.value else {
            continue;
        };
        let coefficient = piece.coefficient.cast_unsigned();
        let column = columns[piece.output * n_cells + piece.cell].as_mut_slice();
        for (sum, value) in column.iter_mut().zip(rights[right].as_slice()) {
            *sum = sum.wrapping_add(value.wrapping_mul(coefficient));
        }
    }
    columns
}

/// From bins to the hub's rows.
async fn of_rows(
    session: &mut Session,
    in_bins: Vec<Share<u64>>,
    (shape, own): (&WeightShape, Option<(&HubRows, &[u32])>),
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    let n_bins = in_bins.first().map_or(0, Share::len);
    let orders = own.map(|(own, places)| own.orders(places, (n_bins, shape.n_rows)));
    let hub = shape.join.hub().seat;
    // Behind the bins, rows that count nothing.
    let filled = in_bins.into_iter().map(|mut column| {
        column.append(Share::zero(shape.n_rows));
        column
    });
    let table = Table::new(n_bins + shape.n_rows, &[], &[], filled.collect(), vec![]);
    let (first, same, last) = match orders {
        Some(orders) => (Some(orders.first), orders.same, Some(orders.last)),
        None => (None, BitShare::zero(shape.n_rows), None),
    };
    let arranged = shuffle::arrange(session, hub, table, (first, First::Order), stock).await?;
    let (mut columns, _) = arranged.into_ring_columns();
    for column in &mut columns {
        drop(column.split_off(shape.n_rows));
    }
    let columns = scan::sums(session, &same, columns, stock).await?;
    let table = Table::new(shape.n_rows, &[], &[], columns, vec![]);
    let arranged = shuffle::arrange(session, hub, table, (last, First::Order), stock).await?;
    Ok(arranged.into_ring_columns().0)
}

/// How the hub arranges rows.
struct Orders {
    /// From bins, and nothing behind them, to rows in the order of their keys.
    first: SecretPermutation,
    /// Whether a row has the key of the one before it.
    same: BitShare,
    /// From there to the order that is wanted.
    last: SecretPermutation,
}

impl HubRows {
    fn check(&self, shape: &WeightShape) -> Result<(), ProtocolError> {
        let mut keys = self.rows.iter().flatten();
        let is_key = |key: &u32| (*key as usize) < self.keys.len();
        match self.rows.len() <= shape.n_rows && keys.all(is_key) {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "the hub has as many rows as the shape says at most, each of one of its keys",
            }),
        }
    }

    fn orders(&self, places: &[u32], (n_bins, n_rows): (usize, usize)) -> Orders {
        let number = |row: usize| u32::try_from(row).expect("at most 2^24 rows");
        // Rows without a key, and those that are not there, come last.
        let key = |row: u32| self.rows.get(row as usize).copied().flatten();
        let mut by_key: Vec<u32> = (0..number(n_rows)).collect();
        by_key.sort_by_key(|row| (key(*row).is_none(), key(*row)));
        let mut free = (0..number(n_bins + n_rows)).collect::<Vec<u32>>();
        let mut same = vec![false; n_rows];
        let mut first = Vec::with_capacity(n_bins + n_rows);
        let mut before = None;
        for (at, row) in by_key.iter().enumerate() {
            let key = key(*row);
            same[at] = key.is_some() && key == before;
            let source = key.filter(|_| !same[at]).map(|key| places[key as usize]);
            // Behind the bins there is a row of nothing for each.
            first.push(source.unwrap_or_else(|| number(n_bins + at)));
            before = key;
        }
        first
            .iter()
            .for_each(|source| free[*source as usize] = u32::MAX);
        first.extend(free.drain(..).filter(|source| *source != u32::MAX));
        let mut last = vec![0; n_rows];
        for (at, row) in by_key.iter().enumerate() {
            last[*row as usize] = number(at);
        }
        by_key.zeroize();
        Orders {
            first: SecretPermutation::new(first),
            same: BitShare::from_words(n_rows, bits::pack(&same)),
            last: SecretPermutation::new(last),
        }
    }

    /// What a row counts for wherever it has a key.
    fn add_matches(&self, plan: &Plan, columns: &mut [Share<u64>], n_cells: usize) {
        let pieces = plan.narrow.pieces.iter();
        for piece in pieces.filter(|piece| matches!(piece.value, Value::Rows)) {
            let column = columns[piece.output * n_cells + piece.cell].as_mut_slice();
            for (weight, _) in column
                .iter_mut()
                .zip(&self.rows)
                .filter(|(_, key)| key.is_some())
            {
                *weight = weight.wrapping_add(piece.coefficient.cast_unsigned());
            }
        }
    }
}

/// What [`weights`] takes and sends.
///
/// # Panics    if the shape has no relations, or a term that does not fit them
pub fn price(seats: Seats, shape: &WeightShape) -> Price {
    let plan = Plan::new(&shape.join);
    let Some(join) = &plan.join else {
        return Price::nothing(seats);
    };
    let (n_bins, hub) = (join.n_bins(), shape.join.hub().seat);
    let (n_rows, n_columns) = (shape.n_rows, shape.n_columns());
    let arranged = |n_rows| shuffle::arrange_price(shape.table(n_rows), seats, hub);
    circuit::price(seats, join)
        .then(&columns::bits_price(seats, &plan, n_bins))
        .then(&columns::rights_price::<u64>(
            seats,
            (&plan, &plan.narrow),
            n_bins,
        ))
        .then(&arranged(n_bins + n_rows))
        .then(&scan::sums_price::<u64>(n_rows, n_columns, seats))
        .then(&arranged(n_rows))
}
