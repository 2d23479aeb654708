//! How many different keys the holders have together, of each group.

use super::{bits_for, input, ones, planes_of};
use crate::boolean::{self, xor};
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::scan;
use crate::session::Session;
use crate::sort;
use crate::table::TableShape;
use engine::share::Share;
use engine::share::boolean::BitShare;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The public shape of a [`distinct`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinctShape {
    /// For each computing seat, how many keys it may have, counted once for each group. What it has
    /// less is filled up, so that this is all that others learn.
    pub rows: Vec<usize>,
    /// Number of groups; 1 without grouping.
    pub cells: usize,
    /// Bits of a key's hash. Two of n keys collide with probability under n² / 2^(bits + 1).
    pub hash_bits: usize,
}

/// What one holder has.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DistinctInput {
    /// Its group and keyed hash of every key that occurs, in any order. All holders hash with the
    /// same secret key. A pair that stands here twice counts once.
    pub keys: Vec<(u32, u128)>,
}

impl DistinctShape {
    fn cell_bits(&self) -> usize {
        bits_for(self.cells.saturating_sub(1) as u128)
    }

    /// Hash, group, and above them a bit that says that the row is filling.
    fn table(&self) -> TableShape {
        TableShape {
            n_rows: self.rows.iter().sum(),
            key_bits: self.hash_bits + self.cell_bits() + 1,
            extra_bits: 0,
            ring64: 0,
            ring128: 0,
        }
    }

    /// Checks that the shape is one for so many seats.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`].
    pub fn check(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        if self.rows.len() != n_computing {
            return invalid("a distinct count has a number of keys for each seat");
        }
        if !(1..=128).contains(&self.hash_bits) || self.cells == 0 {
            return invalid("a distinct count has cells, and hashes of 1 to 128 bits");
        }
        if u32::try_from(self.table().n_rows).is_err() || u32::try_from(self.cells).is_err() {
            return invalid("a distinct count has under 2^32 keys");
        }
        Ok(())
    }

    /// This holder's rows in order, filled up, as vectors of bits.
    fn planes(
        &self,
        mut keys: DistinctInput,
        capacity: usize,
    ) -> Result<Vec<BitShare>, ProtocolError> {
        let fits = |(cell, hash): &(u32, u128)| {
            (*cell as usize) < self.cells && bits_for(*hash) <= self.hash_bits
        };
        let keys = &mut keys.keys;
        if keys.len() > capacity || !keys.iter().all(fits) {
            return Err(ProtocolError::InvalidInput {
                what: "a distinct count takes as many keys as declared, with cells and hashes in range",
            });
        }
        keys.sort_unstable();
        let n_keys = keys.len();
        keys.resize(capacity, (0, 0));
        let hashes: Vec<u128> = keys.iter().map(|(_, hash)| *hash).collect();
        let hashes = Zeroizing::new(hashes);
        let cells: Vec<u128> = keys.iter().map(|(cell, _)| (*cell).into()).collect();
        let cells = Zeroizing::new(cells);
        let filling: Vec<u128> = (0..capacity).map(|i| u128::from(i >= n_keys)).collect();
        let mut planes = planes_of(&hashes, self.hash_bits);
        planes.extend(planes_of(&cells, self.cell_bits()));
        planes.extend(planes_of(&filling, 1));
        Ok(planes)
    }
}

/// Counts the different keys of each group over all holders, each once however many holders have it.
///
/// Each holder sorts its own keys, by hashes that nobody can turn back without the common secret
/// key; nothing but shares of them leaves it. The sorted runs are merged, so that copies of a key
/// stand next to each other, and of each such stretch the first row counts.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `keys`: this holder's own, at most `rows` of its seat; `shape`: the same at all seats;
///   takes [`price`]
/// # Output    shares of the count of each cell
/// # Cost      [`price`]: ⌈log2 n⌉ comparisons on a path for two holders, and ⌈log2 hash bits⌉ +
///   ⌈log2 cells⌉ + 1.7·log2 n rounds
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape; opens nothing. Keys
///   whose hashes collide count as one
/// # Errors    [`ProtocolError::InvalidInput`] before anything is sent,
///   [`ProtocolError::OutOfCorrelations`], [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    CRYPTO §1.8: bitonic merge of tables that arrive sorted, adjacent equality
pub async fn distinct<R: StockedRing>(
    session: &mut Session,
    keys: DistinctInput,
    shape: &DistinctShape,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    let outcome = try_distinct(session, keys, shape, stock).await;
    session.ended_by(outcome)
}

async fn try_distinct<R: StockedRing>(
    session: &mut Session,
    keys: DistinctInput,
    shape: &DistinctShape,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    shape.check(session.n_computing())?;
    stock.check(&price::<R>(shape, Seats::of(session)).needs)?;
    let mine = shape.planes(keys, shape.rows[session.seat().index()])?;
    let mut mine = Some(input::Columns::of_bits(mine));
    let mut runs = Vec::with_capacity(shape.rows.len());
    for (owner, n_rows) in Seat::first(shape.rows.len()).zip(&shape.rows) {
        let own = if owner == session.seat() {
            mine.take()
        } else {
            None
        };
        let run = TableShape {
            n_rows: *n_rows,
            ..shape.table()
        };
        runs.push(input::table(session, owner, own, run).await?);
    }
    let merged = sort::merge(session, runs, stock).await?;
    let key = shape.hash_bits + shape.cell_bits();
    let mut copies = scan::same_group(session, &merged, 0..key, stock).await?;
    // What counts is neither filling nor a copy of the row before it.
    let mut filling = merged.planes(key..key + 1).swap_remove(0);
    copies.not(session.seat().index());
    filling.not(session.seat().index());
    let counts = boolean::and(session, &[(&copies, &filling)], stock).await?;
    let cells = merged.planes(shape.hash_bits..key);
    let of_cells = by_cell(session, counts, &cells, shape.cells, stock).await?;
    ones::ones::<R>(session, &of_cells, stock).await
}

/// Splits bits up by their rows' cells: a vector for each cell, with that cell's bits alone.
///
/// From the highest bit of the cell's number down, each vector becomes two.
pub(super) async fn by_cell(
    session: &mut Session,
    mut vectors: Vec<BitShare>,
    cell_planes: &[BitShare],
    n_cells: usize,
    stock: &mut Stock,
) -> Result<Vec<BitShare>, ProtocolError> {
    for (bit, plane) in cell_planes.iter().enumerate().rev() {
        let n_split = n_split(n_cells, bit);
        let upper = boolean::keep(session, plane, &vectors[..n_split], stock).await?;
        let mut next = Vec::with_capacity(vectors.len() + n_split);
        let mut upper = upper.into_iter();
        for vector in vectors {
            match upper.next() {
                Some(upper) => next.extend([xor(&vector, &upper), upper]),
                None => next.push(vector),
            }
        }
        vectors = next;
    }
    Ok(vectors)
}

/// How many vectors are split by this bit of the cell's number. Of the last one, no cell may have the
/// bit set.
pub(super) fn n_split(n_cells: usize, bit: usize) -> usize {
    n_cells.div_ceil(1 << bit) / 2
}

/// The declared price of [`distinct`] over ring `R`.
pub fn price<R: StockedRing>(shape: &DistinctShape, seats: Seats) -> Price {
    let table = shape.table();
    let n_rows = table.n_rows;
    let (hash_bits, cell_bits) = (shape.hash_bits, shape.cell_bits());
    let splits = (0..cell_bits).rev();
    let splits = splits.map(|bit| boolean::keep_price(seats, n_rows, n_split(shape.cells, bit)));
    sort::merge_price(&shape.rows, table, seats)
        .then(&scan::same_group_price(
            n_rows,
            hash_bits + cell_bits,
            seats,
        ))
        .then(&boolean::and_price(seats, n_rows, 1))
        .then(&Price::sequence(seats, splits))
        .then(&ones::price::<R>(n_rows, shape.cells, seats))
}

/// [`distinct`] in the clear, for tests.
pub fn oracle(inputs: &[DistinctInput], shape: &DistinctShape) -> Vec<u64> {
    let mut all: Vec<(u32, u128)> = inputs.iter().flat_map(|i| i.keys.clone()).collect();
    all.sort_unstable();
    all.dedup();
    let of_cell = |cell: usize| all.iter().filter(|(c, _)| *c as usize == cell).count() as u64;
    (0..shape.cells).map(of_cell).collect()
}
