//! Rank correlation of two columns over all holders' rows (Spearman).

mod shared;

pub use shared::{
    RankedItem, Ranking, SharedColumns, SharedRankShape, item_price, shared_price,
    shared_rank_sums, sums_price,
};

use super::{bits_for, end_to_end, input, ones, planes_of};
use crate::arith::{mul, mux};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::scan;
use crate::session::Session;
use crate::sort;
use crate::table::{Table, TableShape};
use engine::ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Most rows over all holders, filled up, times the number of groups: 4·n³ has to stay below 2^63.
pub const MAX_ROWS: usize = 1 << 20;

/// The public shape of a [`rank_sums`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankShape {
    /// For each computing seat, how many rows it may have in each group. What it has less is filled up.
    pub rows: Vec<usize>,
    /// Number of groups; 1 without grouping.
    pub cells: usize,
    /// Values of the first column are below 2 to this power; 1 to 64.
    pub x_bits: usize,
    /// Values of the second column are below 2 to this power; 1 to 64.
    pub y_bits: usize,
}

/// What one holder has: its rows in which neither column is NULL, in any order. Values without sign,
/// in the order of the column's own: signed ones have the range's low end subtracted.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct RankInput {
    /// Group and both columns of each row.
    pub rows: Vec<(u32, u64, u64)>,
}

/// What comes out, shares of one number for each group. With doubled average ranks r and s of the two columns,
/// whose mean is n + 1, the coefficient is
/// (Σrs − n·(n+1)²) / √((Σr² − n·(n+1)²)·(Σs² − n·(n+1)²)).
pub struct RankSums {
    /// n, Σr², Σs², Σrs.
    pub sums: [Share<u64>; 4],
}

impl RankShape {
    /// Rows of one group, over all holders.
    fn rows_of_cell(&self) -> usize {
        self.rows.iter().fold(0, |n, rows| n.saturating_add(*rows))
    }

    fn n_rows(&self) -> usize {
        self.rows_of_cell().saturating_mul(self.cells)
    }

    fn cell_bits(&self) -> usize {
        bits_for(self.cells.saturating_sub(1) as u128)
    }

    /// Lengths of the holders' runs.
    fn runs(&self) -> Vec<usize> {
        self.rows.iter().map(|n| n * self.cells).collect()
    }

    /// The first column, above it a bit that says that the row is filling, above that the group; and the
    /// second column.
    fn by_x(&self, n_rows: usize) -> TableShape {
        TableShape {
            n_rows,
            key_bits: self.x_bits + 1 + self.cell_bits(),
            extra_bits: self.y_bits,
            ring64: 0,
            ring128: 0,
        }
    }

    /// The second column, above it the same bits, and the rank in the first column.
    fn by_y(&self) -> TableShape {
        TableShape {
            n_rows: self.n_rows(),
            key_bits: self.y_bits + 1 + self.cell_bits(),
            extra_bits: 0,
            ring64: 1,
            ring128: 0,
        }
    }

    /// Checks that the shape is one for so many seats.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        if self.rows.len() != n_computing || self.cells == 0 || self.n_rows() > MAX_ROWS {
            return invalid("ranks have a number of rows for each seat, 2^20 in all at most");
        }
        if [self.x_bits, self.y_bits]
            .iter()
            .any(|b| !(1..=64).contains(b))
        {
            return invalid("ranked columns have 1 to 64 bits");
        }
        Ok(())
    }

    /// This holder's rows in the order of groups and of the first column, filled up group by group, as
    /// vectors of bits.
    fn planes(
        &self,
        mut input: RankInput,
        capacity: usize,
    ) -> Result<Vec<BitShare>, ProtocolError> {
        let refused = ProtocolError::InvalidInput {
            what: "ranks take as many rows of each group as declared, with values of the declared bits",
        };
        let below = |value: u64, bits: usize| value <= u64::MAX >> (64 - bits);
        input.rows.sort_unstable();
        let n_rows = capacity * self.cells;
        let mut keys = Zeroizing::new(Vec::with_capacity(n_rows));
        let mut others = Zeroizing::new(Vec::with_capacity(n_rows));
        let filling = 1u128 << self.x_bits;
        let mut rows = input.rows.iter().peekable();
        for cell in 0..self.cells {
            let group = (cell as u128) << (self.x_bits + 1);
            let end = keys.len() + capacity;
            while let Some((_, x, y)) = rows.next_if(|row| row.0 as usize == cell) {
                if keys.len() == end || !below(*x, self.x_bits) || !below(*y, self.y_bits) {
                    return Err(refused);
                }
                keys.push(group | u128::from(*x));
                others.push(u128::from(*y));
            }
            keys.resize(end, group | filling);
            others.resize(end, 0);
        }
        if rows.next().is_some() {
            return Err(refused);
        }
        let mut planes = planes_of(&keys, self.by_x(0).key_bits);
        planes.extend(planes_of(&others, self.y_bits));
        Ok(planes)
    }
}

/// Sums of squares and products of the ranks of two columns in each group, over all holders' rows.
///
/// The holders' rows, each sorted by the first column, are merged. The rows that have the same value
/// are neighbours, from place a to place b, say, and the double of their average rank is a + b; with c
/// rows up to one of them and c' from it on, that is twice its own place − c + c'. Then the rows are
/// sorted by the second column, with the first rank as a column, and ranked again. Every group is
/// filled up to the same number of rows, so that its places are public.
///
/// # Seats     symmetric, any number ≥ 2
/// # Inputs    `input`: this holder's own rows; `shape`: the same at all seats; takes [`price`]
/// # Output    shares of n, Σr², Σs² and Σrs of each group
/// # Cost      [`price`] if the second column has under 24 bits; at most that for wider ones, see
///   [`sort::quick`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape. What is opened is the
///   order of shuffled rows, see [`sort`]
/// # Errors    [`ProtocolError::InvalidInput`] before anything is sent, those of [`sort::sort`]
/// # Source    Spearman, 1904, with average ranks; CRYPTO §1.8, §4.4
pub async fn rank_sums(
    session: &mut Session,
    input: RankInput,
    shape: &RankShape,
    stock: &mut Stock,
) -> Result<RankSums, ProtocolError> {
    let outcome = try_rank_sums(session, input, shape, stock).await;
    session.ended_by(outcome)
}

async fn try_rank_sums(
    session: &mut Session,
    input: RankInput,
    shape: &RankShape,
    stock: &mut Stock,
) -> Result<RankSums, ProtocolError> {
    shape.check(session.n_computing())?;
    stock.check(&price(shape, Seats::of(session)).needs)?;
    let me = session.seat();
    let mine = shape.planes(input, shape.rows[me.index()])?;
    let mut mine = Some(input::Columns::of_bits(mine));
    let mut runs = Vec::with_capacity(shape.rows.len());
    for (owner, n_rows) in Seat::first(shape.rows.len()).zip(shape.runs()) {
        let own = if owner == me { mine.take() } else { None };
        runs.push(input::table(session, owner, own, shape.by_x(n_rows)).await?);
    }
    let by_x = sort::merge(session, runs, stock).await?;
    let key_bits = by_x.shape().key_bits;
    let r = doubled_ranks(session, &by_x, shape, stock).await?;
    let filling = by_x.planes(shape.x_bits..key_bits);
    let y = by_x.planes(key_bits..key_bits + shape.y_bits);
    let key: Vec<BitShare> = y.into_iter().chain(filling).collect();
    let table = Table::new(shape.n_rows(), &key, &[], vec![r], vec![]);
    let by_y = sort::sort(session, table, stock).await?;
    let s = doubled_ranks(session, &by_y, shape, stock).await?;
    sums(session, by_y, s, shape, stock).await
}

/// For each row of a table in order, the double of the average rank in its group of the rows that have
/// its key.
async fn doubled_ranks(
    session: &mut Session,
    table: &Table,
    shape: &RankShape,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let n_rows = table.n_rows();
    let is_first = session.seat().index() == 0;
    let own = |public: u64| if is_first { public } else { 0 };
    let key = 0..table.shape().key_bits;
    let same = scan::same_group(session, table, key, stock).await?;
    // Backwards, a row goes on with the group of the one after it: row n − 1 − i does if row n − i
    // goes on with its own.
    let mut backwards = BitShare::zero(n_rows.min(1));
    backwards.append(same.picked((1..n_rows.max(1)).rev()));
    let ones = || Share::new(vec![own(1); n_rows]);
    let up_to = scan::sums(session, &same, vec![ones()], stock).await?;
    let from = scan::sums(session, &backwards, vec![ones()], stock).await?;
    let from = from[0].as_slice().iter().rev();
    let rank = |(i, (up_to, from)): (usize, (&u64, &u64))| {
        own(2 * ((i % shape.rows_of_cell()) as u64 + 1))
            .wrapping_sub(*up_to)
            .wrapping_add(*from)
    };
    let places = up_to[0].as_slice().iter().zip(from).enumerate();
    Ok(Share::new(places.map(rank).collect()))
}

/// n, Σr², Σs² and Σrs over the rows of each group that are not filling.
async fn sums(
    session: &mut Session,
    by_y: Table,
    s: Share<u64>,
    shape: &RankShape,
    stock: &mut Stock,
) -> Result<RankSums, ProtocolError> {
    let n_rows = by_y.n_rows();
    let mut real = by_y.planes(shape.y_bits..shape.y_bits + 1).swap_remove(0);
    real.not(session.seat().index());
    let group_rows = shape.rows_of_cell();
    let groups =
        (0..shape.cells).map(|cell| real.picked(cell * group_rows..(cell + 1) * group_rows));
    let groups: Vec<BitShare> = groups.collect();
    let n = ones::ones::<u64>(session, &groups, stock).await?;
    let (mut columns, _) = by_y.into_ring_columns();
    let mut ranks = columns.swap_remove(0);
    ranks.append(s);
    let both = end_to_end([&real, &real]);
    let ranks = mux::times(session, &both, &ranks, stock).await?;
    let (r, s) = ranks.as_slice().split_at(n_rows);
    let left = Share::new([r, s, r].concat());
    let right = Share::new([r, s, s].concat());
    let products = mul::mul(session, &left, &right, stock).await?;
    let sums_of = |k: usize| {
        let sum = |cell: usize| {
            let first = k * n_rows + cell * group_rows;
            ring::sum(&products.as_slice()[first..first + group_rows])
        };
        Share::new((0..shape.cells).map(sum).collect())
    };
    Ok(RankSums {
        sums: [n, sums_of(0), sums_of(1), sums_of(2)],
    })
}

/// The declared price of [`rank_sums`].
pub fn price(shape: &RankShape, seats: Seats) -> Price {
    let n_rows = shape.n_rows();
    let ranked = |key_bits: usize| {
        scan::same_group_price(n_rows, key_bits, seats)
            .then(&scan::sums_price::<u64>(n_rows, 1, seats))
            .then(&scan::sums_price::<u64>(n_rows, 1, seats))
    };
    sort::merge_price(&shape.runs(), shape.by_x(n_rows), seats)
        .then(&ranked(shape.by_x(0).key_bits))
        .then(&sort::price(shape.by_y(), seats))
        .then(&ranked(shape.by_y().key_bits))
        .then(&ones::price::<u64>(
            shape.rows_of_cell(),
            shape.cells,
            seats,
        ))
        .then(&mux::price::<u64>(seats, 2 * n_rows))
        .then(&mul::price::<u64>(seats, 3 * n_rows))
}

/// [`rank_sums`] in the clear, for tests: n, Σr², Σs² and Σrs of each group.
pub fn oracle(inputs: &[RankInput], shape: &RankShape) -> [Vec<u64>; 4] {
    let mut sums = [(); 4].map(|()| Vec::with_capacity(shape.cells));
    for cell in 0..shape.cells {
        let rows = inputs.iter().flat_map(|i| &i.rows);
        let rows = rows.filter(|row| row.0 as usize == cell);
        let rows: Vec<(u64, u64)> = rows.map(|row| (row.1, row.2)).collect();
        let mut xs: Vec<u64> = rows.iter().map(|row| row.0).collect();
        let mut ys: Vec<u64> = rows.iter().map(|row| row.1).collect();
        xs.sort_unstable();
        ys.sort_unstable();
        let rank = |sorted: &[u64], value: u64| {
            let less = sorted.partition_point(|v| *v < value);
            let up_to = sorted.partition_point(|v| *v <= value);
            (less + up_to + 1) as u64
        };
        let ranks = rows.iter().map(|(x, y)| (rank(&xs, *x), rank(&ys, *y)));
        let of_cell = ranks.fold([0; 4], |[n, rr, ss, rs], (r, s)| {
            [n + 1, rr + r * r, ss + s * s, rs + r * s]
        });
        sums.iter_mut()
            .zip(of_cell)
            .for_each(|(all, one)| all.push(one));
    }
    sums
}
