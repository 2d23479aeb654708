//! The first rows of a table in the order of a column that nobody sees: ORDER BY … LIMIT k.

use super::{bits_for, passes};
use crate::aggregate::{Check, LocalTotals};
use crate::arith::compare::Method;
use crate::arith::{convert, mux};
use crate::boolean;
use crate::correlate::{Needs, Stock, StockedRing};
use crate::disclose::{self, Disclosure, Revealed, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::sort;
use crate::table::{Table, TableShape};
use engine::share::Share;
use engine::share::boolean::{BitShare, to_planes};
use std::mem;

/// A column of [`LocalTotals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Index of a column over Z_2^64.
    Narrow(usize),
    /// Index of a column over Z_2^128.
    Wide(usize),
}

/// The public shape of a [`top`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopShape {
    /// Number of cells: one for each group.
    pub cells: usize,
    /// Number of columns over Z_2^64.
    pub narrow: usize,
    /// Number of columns over Z_2^128.
    pub wide: usize,
    /// What the cells are ordered by: a total over all holders, signed.
    pub order_by: Column,
    /// Totals of that column are in [−2^b, 2^b) for this b.
    pub bound_bits: u32,
    /// Greatest first.
    pub descending: bool,
    /// So many cells are released. Of equal ones, those of smaller index.
    pub k: usize,
    /// A cell takes part if all of these hold.
    pub checks: Vec<Check>,
    /// The computing seats that get the result.
    pub receivers: Vec<Seat>,
    /// How shares are compared: by what the source makes cheaply.
    pub method: Method,
}

/// What a receiver gets: the first cells in order, at most k, fewer if fewer pass the checks.
#[derive(PartialEq, Eq)]
pub struct Top {
    /// Index of each.
    pub cells: Vec<usize>,
    /// Their totals over Z_2^64, column by column.
    pub narrow: Vec<Vec<u64>>,
    /// Their totals over Z_2^128, column by column.
    pub wide: Vec<Vec<u128>>,
}

impl TopShape {
    /// What a holder approves with this shape: every size, check and receiver, and the order.
    pub fn terms(&self) -> Terms {
        let (ring, column) = match self.order_by {
            Column::Narrow(column) => (0, column),
            Column::Wide(column) => (1, column),
        };
        let sizes = [self.cells, self.narrow, self.wide, self.k, ring, column];
        let sizes = sizes.map(|n| (n as u64).to_le_bytes());
        let checks = passes::terms(&self.checks);
        let order = [u8::from(self.descending)];
        let fields: [&[u8]; 3] = [sizes.as_flattened(), &checks, &order];
        Terms::new("entente/v1/terms/top", &fields, &self.receivers)
    }

    /// Checks that the parts of the shape fit together.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        let (column, n_columns, bits) = match self.order_by {
            Column::Narrow(column) => (column, self.narrow, u64::BITS),
            Column::Wide(column) => (column, self.wide, u128::BITS),
        };
        if column >= n_columns || self.bound_bits >= bits {
            return invalid("cells are ordered by a column, whose bound fits its ring");
        }
        if self.receivers.is_empty() {
            return invalid("a release has a receiver");
        }
        if u32::try_from(self.cells).is_err() {
            return invalid("a table has under 2^32 cells");
        }
        passes::check(&self.checks, self.narrow)
    }

    fn check_input(&self, input: &LocalTotals) -> Result<(), ProtocolError> {
        let fits = [input.narrow.len(), input.wide.len()] == [self.narrow, self.wide]
            && input.narrow.iter().all(|c| c.len() == self.cells)
            && input.wide.iter().all(|c| c.len() == self.cells);
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "the totals have the columns of the shape",
            }),
        }
    }

    fn n_released(&self) -> usize {
        self.k.min(self.cells)
    }

    fn index_bits(&self) -> usize {
        bits_for(self.cells.saturating_sub(1) as u128)
    }

    fn value_bits(&self) -> usize {
        self.bound_bits as usize + 1
    }

    /// Index, above it the value, and above that a bit that says that the cell does not take part.
    fn table(&self) -> TableShape {
        TableShape {
            n_rows: self.cells,
            key_bits: self.index_bits() + self.value_bits() + 1,
            extra_bits: 0,
            ring64: self.narrow,
            ring128: self.wide,
        }
    }
}

/// Adds the holders' tables, and releases the first k cells in the order of one column.
///
/// The cells are sorted on shares, cells that fail a check last, and only the first k are revealed,
/// with zeros for those among them that fail a check.
///
/// # Seats     symmetric among the computing seats, any number ≥ 2; a dealer takes no part
/// # Inputs    `input`: this holder's totals, or shares of totals; `shape`: the same at all seats; takes
///   [`price`]; `disclosure`: for the shape's terms
/// # Output    at receivers the first cells with their totals, elsewhere `None`
/// # Cost      [`price`]: log2² n / 2 comparisons on a path for n cells
/// # Security  semi-honest, all but one seat may be corrupt. Receivers learn the released cells, and
///   if these are fewer than k, that no others pass the checks; nobody else learns anything
/// # Errors    [`ProtocolError::InvalidInput`], [`ProtocolError::NotApproved`] and
///   [`ProtocolError::OutOfCorrelations`] before anything is sent; [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`], [`ProtocolError::CheckFailed`]
/// # Source    CRYPTO §1.8; Batcher, AFIPS 1968
pub async fn top(
    session: &mut Session,
    input: LocalTotals,
    shape: &TopShape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Top>, ProtocolError> {
    let outcome = try_top(session, input, shape, stock, disclosure).await;
    session.ended_by(outcome)
}

async fn try_top(
    session: &mut Session,
    mut input: LocalTotals,
    shape: &TopShape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Top>, ProtocolError> {
    shape.check()?;
    shape.check_input(&input)?;
    disclosure.check(&shape.terms(), session)?;
    stock.check(&price(shape, Seats::of(session)).needs)?;
    let narrow: Vec<Share<u64>> = mem::take(&mut input.narrow)
        .into_iter()
        .map(Share::new)
        .collect();
    let wide: Vec<Share<u128>> = mem::take(&mut input.wide)
        .into_iter()
        .map(Share::new)
        .collect();
    let key = keys(session, &narrow, &wide, shape, stock).await?;
    let table = Table::new(shape.cells, &key, &[], narrow, wide);
    let n_cells = u32::try_from(shape.cells).expect("the shape was checked");
    let sorted = sort::merge_runs(session, table, &vec![1; shape.cells], stock).await?;
    let first: Vec<u32> = (0..n_cells).take(shape.n_released()).collect();
    let values = released(session, sorted.reordered(&first), shape, stock).await?;
    let terms = Terms::of_values(values.narrow.len(), values.wide.len(), &shape.receivers);
    let revealed = reveal(session, values, &shape.receivers, disclosure.part(terms)).await?;
    Ok(revealed.map(|revealed| of_revealed(shape, &revealed)))
}

/// The keys by which cells are sorted, as planes.
async fn keys(
    session: &mut Session,
    narrow: &[Share<u64>],
    wide: &[Share<u128>],
    shape: &TopShape,
    stock: &mut Stock,
) -> Result<Vec<BitShare>, ProtocolError> {
    let me = session.seat().index();
    let (n_planes, method) = (shape.value_bits(), shape.method);
    let mut value = match shape.order_by {
        Column::Narrow(c) => convert::a2b(session, &narrow[c], n_planes, method, stock).await?,
        Column::Wide(c) => convert::a2b(session, &wide[c], n_planes, method, stock).await?,
    };
    // A number without sign in the same order: the sign bit flipped; all bits for the opposite one.
    let sign = value.len() - 1;
    value[sign].not(me);
    if shape.descending {
        value.iter_mut().for_each(|plane| plane.not(me));
    }
    let index: Vec<u64> = (0..shape.cells as u64).collect();
    let mut key = to_planes(&index, shape.index_bits());
    if me != 0 {
        key = key
            .iter()
            .map(|plane| BitShare::zero(plane.n_bits()))
            .collect();
    }
    key.extend(value);
    let passes = passes::passes(session, narrow, &shape.checks, method, stock).await?;
    let fails = match passes.is_empty() {
        true => BitShare::zero(shape.cells),
        false => {
            let mut all = boolean::all(session, passes, stock).await?;
            all.not(me);
            all
        }
    };
    key.push(fails);
    Ok(key)
}

/// What is revealed of the first cells: whether each takes part, its index and its totals, all 0 if it
/// does not.
async fn released(
    session: &mut Session,
    first: Table,
    shape: &TopShape,
    stock: &mut Stock,
) -> Result<Values, ProtocolError> {
    let fails_at = shape.table().key_bits - 1;
    let mut ok = first.planes(fails_at..fails_at + 1).swap_remove(0);
    ok.not(session.seat().index());
    let index = first.planes(0..shape.index_bits());
    let mut marks = boolean::keep(session, &ok, &index, stock).await?;
    marks.insert(0, BitShare::from_words(ok.n_bits(), ok.as_words().to_vec()));
    // Whether the cell takes part is the lowest bit of a number, its index the others.
    let mut narrow = convert::b2a::<u64>(session, &marks, stock).await?;
    let (columns64, columns128) = first.into_ring_columns();
    narrow.append(kept(session, &ok, columns64, stock).await?);
    let wide = kept(session, &ok, columns128, stock).await?;
    Ok(Values { narrow, wide })
}

/// The columns end to end, 0 where the bit is not set.
async fn kept<R: StockedRing>(
    session: &mut Session,
    ok: &BitShare,
    columns: Vec<Share<R>>,
    stock: &mut Stock,
) -> Result<Share<R>, ProtocolError> {
    if columns.is_empty() {
        return Ok(Share::zero(0));
    }
    let mut all = Share::<R>::zero(0);
    let mut bits = BitShare::zero(0);
    for column in columns {
        all.append(column);
        bits.append(BitShare::from_words(ok.n_bits(), ok.as_words().to_vec()));
    }
    mux::times(session, &bits, &all, stock).await
}

fn of_revealed(shape: &TopShape, revealed: &Revealed) -> Top {
    fn columns<R: Copy>(values: &[R], n_columns: usize, n: usize, n_ok: usize) -> Vec<Vec<R>> {
        let column = |c: usize| values[c * n..c * n + n_ok].to_vec();
        (0..n_columns).map(column).collect()
    }
    let n = shape.n_released();
    let (marks, narrow) = revealed.narrow.split_at(n);
    // Cells that fail a check come last.
    let n_ok = marks.iter().filter(|mark| **mark & 1 == 1).count();
    Top {
        cells: marks[..n_ok]
            .iter()
            .map(|mark| (mark >> 1) as usize)
            .collect(),
        narrow: columns(narrow, shape.narrow, n, n_ok),
        wide: columns(&revealed.wide, shape.wide, n, n_ok),
    }
}

/// The declared price of [`top`], the same whichever cells are released.
pub fn price(shape: &TopShape, seats: Seats) -> Price {
    let (n, n_cells) = (shape.n_released(), shape.cells);
    let (n_planes, method) = (shape.value_bits(), shape.method);
    let value = match shape.order_by {
        Column::Narrow(_) => convert::a2b_price::<u64>(seats, n_cells, n_planes, method),
        Column::Wide(_) => convert::a2b_price::<u128>(seats, n_cells, n_planes, method),
    };
    let mut price = value
        .then(&passes::price(&shape.checks, n_cells, method, seats))
        .then(&boolean::all_price(seats, n_cells, shape.checks.len()))
        .then(&sort::merge_price(&vec![1; n_cells], shape.table(), seats))
        .then(&boolean::keep_price(seats, n, shape.index_bits()))
        .then(&convert::planes_price::<u64>(
            seats,
            n,
            shape.index_bits() + 1,
        ));
    if shape.narrow > 0 {
        price = price.then(&mux::price::<u64>(seats, shape.narrow * n));
    }
    if shape.wide > 0 {
        price = price.then(&mux::price::<u128>(seats, shape.wide * n));
    }
    let (n_narrow, n_wide) = ((1 + shape.narrow) * n, shape.wide * n);
    let (n_seats, n_computing) = (seats.n_seats, seats.n_computing);
    price.then(&Price {
        needs: Needs::default(),
        cost: disclose::cost(n_seats, n_computing, n_narrow, n_wide, &shape.receivers),
    })
}

/// [`top`] in the clear, for tests.
pub fn oracle(inputs: &[LocalTotals], shape: &TopShape) -> Top {
    let narrow = |c: usize, cell: usize| -> u64 {
        let values = inputs.iter().map(|i| i.narrow[c][cell]);
        values.fold(0, u64::wrapping_add)
    };
    let wide = |c: usize, cell: usize| -> u128 {
        let values = inputs.iter().map(|i| i.wide[c][cell]);
        values.fold(0, u128::wrapping_add)
    };
    let value = |cell: usize| match shape.order_by {
        Column::Narrow(c) => i128::from(narrow(c, cell).cast_signed()),
        Column::Wide(c) => wide(c, cell).cast_signed(),
    };
    let passes = |cell: &usize| {
        let mut checks = shape.checks.iter();
        checks.all(|c| narrow(c.column, *cell) >= c.at_least)
    };
    let mut cells: Vec<usize> = (0..shape.cells).filter(passes).collect();
    cells.sort_by_key(|cell| {
        if shape.descending {
            -value(*cell)
        } else {
            value(*cell)
        }
    });
    cells.truncate(shape.k);
    Top {
        narrow: (0..shape.narrow)
            .map(|c| cells.iter().map(|cell| narrow(c, *cell)).collect())
            .collect(),
        wide: (0..shape.wide)
            .map(|c| cells.iter().map(|cell| wide(c, *cell)).collect())
            .collect(),
        cells,
    }
}
