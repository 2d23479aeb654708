//! How many different values the rows that count at all have: COUNT(DISTINCT x) over a join.
//!
//! ```text
//! rows       in the order of their groups and values, which their owners know; of several owners they are merged
//! sums       running over the rows of one group and value, so that the last one has how often all of them count
//! counted    that number is compared with 1, where it is the last one's
//! groups     the bits are split up by their rows' groups, and counted
//! ```

use super::distinct::{by_cell, n_split};
use super::weighted::MAX_ROWS;
use super::{bits_for, end_to_end, ones, planes_of};
use crate::arith::compare::{self, MAX_BOUND_BITS, Method};
use crate::boolean;
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::scan;
use crate::session::Session;
use crate::sort;
use crate::table::{Table, TableShape};
use engine::share::Share;
use engine::share::boolean::BitShare;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The public shape of [`different`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DifferentShape {
    /// How many rows each owner may have; what it has less is filled up.
    pub rows: Vec<usize>,
    /// Groups of the rows' own.
    pub groups: usize,
    /// Groups of others: a row counts in each of these as often as that one's number says.
    pub others: usize,
    /// Values are below 2 to this power; 1 to 96. Of several owners they are hashes: two of n values collide with
    /// probability under n² / 2^(bits + 1).
    pub bits: usize,
    /// All rows of a group of others together count for less than 2 to this power.
    pub rows_bits: u32,
    /// How shares are compared: by what the source makes cheaply.
    pub method: Method,
}

/// One owner's rows.
pub struct DifferentRun {
    /// Whose they are.
    pub owner: Seat,
    /// At the owner, group and value of each row, in ascending order.
    pub rows: Option<Zeroizing<Vec<(u32, u128)>>>,
    /// For each group of others, how often each row counts; those that are filled up must not. Rows may take away from what
    /// others of their value count, as long as that is not negative in all.
    pub weights: Vec<Share<u64>>,
}

impl DifferentShape {
    /// Checks that the parts of the shape fit together and into the ring.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        let n_counts = self.n_rows().saturating_mul(self.others.max(1));
        if self.rows.is_empty() || n_counts > MAX_ROWS {
            return invalid(
                "rows whose values are told apart have an owner, and are 2^22 at most, times the groups of others",
            );
        }
        let has_groups = self.groups > 0 && u32::try_from(self.groups).is_ok() && self.others > 0;
        if !has_groups || !(1..=96).contains(&self.bits) {
            return invalid(
                "rows whose values are told apart have groups, and values of 1 to 96 bits",
            );
        }
        match (1..=MAX_BOUND_BITS).contains(&self.rows_bits) {
            true => Ok(()),
            false => invalid("how often rows count is below 2 to the power of 1 to 63"),
        }
    }

    fn n_rows(&self) -> usize {
        self.rows.iter().fold(0, |n, rows| n.saturating_add(*rows))
    }

    fn group_bits(&self) -> usize {
        bits_for(self.groups.saturating_sub(1) as u128)
    }

    fn table(&self) -> TableShape {
        TableShape {
            n_rows: self.n_rows(),
            key_bits: self.bits + self.group_bits(),
            extra_bits: 0,
            ring64: self.others,
            ring128: 0,
        }
    }

    /// This owner's rows as numbers in ascending order, filled up behind.
    fn filled(
        &self,
        rows: &[(u32, u128)],
        n_rows: usize,
    ) -> Result<Zeroizing<Vec<u128>>, ProtocolError> {
        let fits = |row: &(u32, u128)| (row.0 as usize) < self.groups && row.1 >> self.bits == 0;
        if rows.len() > n_rows || !rows.is_sorted() || !rows.iter().all(fits) {
            return Err(ProtocolError::InvalidInput {
                what: "rows whose values are told apart are in order, as many as declared, with values of the declared bits",
            });
        }
        let mut keys = Zeroizing::new(Vec::with_capacity(n_rows));
        let key = |(group, value): &(u32, u128)| u128::from(*group) << self.bits | *value;
        keys.extend(rows.iter().map(key));
        keys.resize(n_rows, (1u128 << (self.bits + self.group_bits())) - 1);
        Ok(keys)
    }
}

/// Rows in order: bits that say which belong to the value of the one before, and the bits of their groups.
struct Rows {
    same: BitShare,
    groups: Vec<BitShare>,
    weights: Vec<Share<u64>>,
}

/// Counts the different values of rows that count, of each group.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `runs`: the owners' rows, in the order of the shape; takes [`price`]
/// # Output    shares of one number for each group and then each group of others, the latter running fastest: of how many
///   different values some row counts
/// # Cost      [`price`]: of n rows about 2n selections and n comparisons for each group of others, in
///   2·⌈log2 n⌉ levels; rows of several owners are merged
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape; opens nothing. Values of several owners
///   whose hashes collide count as one
/// # Errors    [`ProtocolError::InvalidInput`] before anything is sent, [`ProtocolError::OutOfCorrelations`],
///   [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    CRYPTO §1.8: runs that arrive sorted, adjacent equality, segmented sums
pub async fn different(
    session: &mut Session,
    runs: Vec<DifferentRun>,
    shape: &DifferentShape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let outcome = try_different(session, runs, shape, stock).await;
    session.ended_by(outcome)
}

async fn try_different(
    session: &mut Session,
    runs: Vec<DifferentRun>,
    shape: &DifferentShape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    shape.check()?;
    let is_whole = |(run, n_rows): (&DifferentRun, &usize)| {
        run.weights.len() == shape.others && run.weights.iter().all(|w| w.len() == *n_rows)
    };
    if runs.len() != shape.rows.len() || !runs.iter().zip(&shape.rows).all(is_whole) {
        return Err(ProtocolError::InvalidInput {
            what: "rows whose values are told apart have a number for each group of others",
        });
    }
    let mut keys = Vec::with_capacity(runs.len());
    for (run, n_rows) in runs.iter().zip(&shape.rows) {
        let own = run.rows.as_ref().map(|rows| shape.filled(rows, *n_rows));
        keys.push(own.transpose()?);
    }
    stock.check(&price(shape, Seats::of(session)).needs)?;
    let n_rows = shape.n_rows();
    let rows = in_order(session, (runs, keys), shape, stock).await?;
    let Rows {
        same,
        groups,
        weights,
    } = rows;
    let sums = scan::sums(session, &same, weights, stock).await?;
    let me = session.seat().index();
    let mut less = Share::zero(0);
    sums.into_iter().for_each(|column| less.append(column));
    let n_counts = less.len();
    less.add_public(me, &vec![1u64.wrapping_neg(); n_counts]);
    let mut counted =
        compare::less_than_zero(session, &less, shape.rows_bits, shape.method, stock).await?;
    counted.not(me);
    let last = last_ones(session, &same, n_rows);
    let of_others = |rows: &BitShare| end_to_end(std::iter::repeat_n(rows, shape.others));
    let counted = boolean::and(session, &[(&counted, &of_others(&last))], stock).await?;
    let groups: Vec<BitShare> = groups.iter().map(of_others).collect();
    let of_groups = by_cell(session, counted, &groups, shape.groups, stock).await?;
    let of_cell = |(group, other): (usize, usize)| {
        let bits: &BitShare = &of_groups[group];
        bits.picked((0..n_rows).map(|row| other * n_rows + row))
    };
    let cells = (0..shape.groups).flat_map(|g| (0..shape.others).map(move |h| (g, h)));
    let cells: Vec<BitShare> = cells.map(of_cell).collect();
    ones::ones::<u64>(session, &cells, stock).await
}

/// All rows in the order of groups and values.
async fn in_order(
    session: &mut Session,
    (runs, keys): (Vec<DifferentRun>, Vec<Option<Zeroizing<Vec<u128>>>>),
    shape: &DifferentShape,
    stock: &mut Stock,
) -> Result<Rows, ProtocolError> {
    let key_bits = shape.bits + shape.group_bits();
    let is_alone = runs.len() == 1;
    let mut tables = Vec::with_capacity(runs.len());
    for ((run, keys), n_rows) in runs.into_iter().zip(keys).zip(&shape.rows) {
        // Of one owner alone, that one knows which rows are of one value: no bits of values are needed.
        let planes = keys.map(|keys| match is_alone {
            true => own_planes(&keys, shape),
            false => planes_of(&keys, key_bits),
        });
        let n_planes = match is_alone {
            true => 1 + shape.group_bits(),
            false => key_bits,
        };
        let planes = boolean::input(session, run.owner, planes, vec![*n_rows; n_planes]).await?;
        if is_alone {
            let mut planes = planes.into_iter();
            return Ok(Rows {
                same: planes.next().expect("a bit for each row"),
                groups: planes.collect(),
                weights: run.weights,
            });
        }
        tables.push(Table::new(*n_rows, &planes, &[], run.weights, vec![]));
    }
    let merged = sort::merge(session, tables, stock).await?;
    let same = scan::same_group(session, &merged, 0..key_bits, stock).await?;
    let groups = merged.planes(shape.bits..key_bits);
    Ok(Rows {
        same,
        groups,
        weights: merged.into_ring_columns().0,
    })
}

/// Which rows are of the group and value of the one before, and the bits of their groups.
fn own_planes(keys: &[u128], shape: &DifferentShape) -> Vec<BitShare> {
    let same = |at: usize| u128::from(at > 0 && keys[at] == keys[at - 1]);
    let same: Zeroizing<Vec<u128>> = Zeroizing::new((0..keys.len()).map(same).collect());
    let groups = keys.iter().map(|key| key >> shape.bits);
    let groups: Zeroizing<Vec<u128>> = Zeroizing::new(groups.collect());
    let mut planes = planes_of(&same, 1);
    planes.extend(planes_of(&groups, shape.group_bits()));
    planes
}

/// The rows after which another value comes, or none.
fn last_ones(session: &Session, same: &BitShare, n_rows: usize) -> BitShare {
    let mut last = same.picked(1..n_rows.max(1));
    last.append(BitShare::zero(n_rows.min(1)));
    last.not(session.seat().index());
    last
}

/// The declared price of [`different`].
pub fn price(shape: &DifferentShape, seats: Seats) -> Price {
    let (n_rows, table) = (shape.n_rows(), shape.table());
    let n_counts = n_rows * shape.others;
    let in_order = match shape.rows.len() {
        1 => Price::nothing(seats),
        _ => sort::merge_price(&shape.rows, table, seats).then(&scan::same_group_price(
            n_rows,
            table.key_bits,
            seats,
        )),
    };
    let splits = (0..shape.group_bits()).rev();
    let splits = splits.map(|bit| boolean::keep_price(seats, n_counts, n_split(shape.groups, bit)));
    in_order
        .then(&scan::sums_price::<u64>(n_rows, shape.others, seats))
        .then(&compare::less_than_zero_price::<u64>(
            seats,
            n_counts,
            shape.rows_bits,
            shape.method,
        ))
        .then(&boolean::and_price(seats, n_counts, 1))
        .then(&Price::sequence(seats, splits))
        .then(&ones::price::<u64>(
            n_rows,
            shape.groups * shape.others,
            seats,
        ))
}

/// [`different`] in the clear, for tests: rows of all owners with how often each counts in each group of others.
pub fn oracle(rows: &[(u32, u128, Vec<u64>)], shape: &DifferentShape) -> Vec<u64> {
    let cells = (0..shape.groups).flat_map(|g| (0..shape.others).map(move |h| (g, h)));
    let of_cell = |(group, other): (usize, usize)| {
        let mut sums: BTreeMap<u128, u64> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.0 as usize == group) {
            let sum = sums.entry(row.1).or_default();
            *sum = sum.wrapping_add(row.2[other]);
        }
        sums.values().filter(|sum| **sum != 0).count() as u64
    };
    cells.map(of_cell).collect()
}
