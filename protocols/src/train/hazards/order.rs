//! Rows in the order of their times, and which of them share one.

use super::{Shape, Ties};
use crate::arith::{convert, copy, mux};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::function;
use crate::function::Format;
use crate::function::fixed::{mul_shift, mul_shift_price};
use crate::price::{Price, Seats};
use crate::scan;
use crate::session::Session;
use crate::sort;
use crate::table::{Table, TableShape};
use crate::train::glm::{Rows, low};
use crate::train::vertical;
use engine::share::Share;
use engine::share::boolean::BitShare;

/// Fractional bits of 1 over a number of rows.
const MEAN_BITS: u32 = 20;

impl Shape {
    /// Bits of what orders rows: places up to 2^log_rows, and whether there is an event.
    fn key_bits(&self) -> usize {
        self.of.log_rows as usize + 2
    }

    fn table(&self) -> TableShape {
        TableShape {
            n_rows: self.model().n_rows,
            key_bits: self.key_bits(),
            extra_bits: 0,
            ring64: self.model().n_columns + 1,
            ring128: 0,
        }
    }

    /// Numbers of rows over Z_2^128, for their inverses.
    fn counts(&self) -> Format {
        Format {
            frac_bits: MEAN_BITS,
            bound_bits: MEAN_BITS + self.of.log_rows + 1,
            method: self.of.method,
        }
    }
}

/// Rows in the order of their times, the latest first.
pub(super) struct Ordered {
    /// Without the column of ones; labels are 1 for events.
    pub(super) rows: Rows,
    /// D: how many events are counted at each row.
    pub(super) events: Share<u64>,
    /// Of [`Ties::Efron`].
    pub(super) tied: Option<Tied>,
}

/// Which rows have the mean of their group for what they are.
pub(super) struct Tied {
    same: BitShare,
    /// The same for the rows in reverse order.
    reversed: BitShare,
    /// 1 over the number of rows of the group.
    inverses: Share<u64>,
}

pub(super) async fn order(
    session: &mut Session,
    rows: Rows,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Ordered, ProtocolError> {
    let d = shape.model().n_columns;
    let (n_bits, method) = (shape.key_bits(), shape.of.method);
    let keys = convert::a2b(session, &rows.labels, n_bits, method, stock).await?;
    // Column 0 is that of ones, which a model of hazards does not have.
    let column = |j: usize| {
        let values = rows.columns.as_slice().iter().skip(j).step_by(d + 1);
        Share::new(values.copied().collect())
    };
    let columns = (1..=d).map(column).chain([copy(&rows.used)]).collect();
    let table = Table::new(shape.model().n_rows, &keys, &[], columns, vec![]);
    let table = sort::sort(session, table, stock).await?;
    let is_event = table.planes(0..1).swap_remove(0);
    let events = convert::bit_to_arith::<u64>(session, &is_event, stock).await?;
    let first_bit = match shape.ties {
        Ties::Breslow => 1,
        Ties::Efron => 0,
    };
    let same = scan::same_group(session, &table, first_bit..n_bits, stock).await?;
    let (mut columns, _) = table.into_ring_columns();
    let used = columns.pop().expect("a column of the table");
    let (counted, tied) = match shape.ties {
        Ties::Breslow => (at_last(session, &same, &events, stock).await?, None),
        Ties::Efron => {
            let tied = tied(session, same, &used, shape, stock).await?;
            (copy(&events), Some(tied))
        }
    };
    Ok(Ordered {
        rows: Rows {
            columns: vertical::by_row(&columns.iter().collect::<Vec<_>>()),
            used,
            labels: events,
            offsets: None,
            penalties: None,
        },
        events: counted,
        tied,
    })
}

pub(super) fn order_price(seats: Seats, shape: &Shape) -> Price {
    let (n, n_bits, method) = (shape.model().n_rows, shape.key_bits(), shape.of.method);
    let sorted = convert::a2b_price::<u64>(seats, n, n_bits, method)
        .then(&sort::price(shape.table(), seats))
        .then(&convert::planes_price::<u64>(seats, n, 1));
    let of_ties = match shape.ties {
        Ties::Breslow => scan::same_group_price(n, n_bits - 1, seats)
            .then(&scan::sums_price::<u64>(n, 1, seats))
            .then(&mux::price::<u64>(seats, n)),
        Ties::Efron => scan::same_group_price(n, n_bits, seats)
            .then(&totals_price(seats, n, 1))
            .then(&convert::widen_price(seats, n, method))
            .then(&function::reciprocal_price::<u128>(
                seats,
                n,
                shape.counts(),
            )),
    };
    sorted.then(&of_ties)
}

/// The sum over each group at its last row, and 0 at the others.
async fn at_last(
    session: &mut Session,
    same: &BitShare,
    values: &Share<u64>,
    stock: &mut Stock,
) -> Result<Share<u64>, ProtocolError> {
    let sums = scan::sums(session, same, vec![copy(values)], stock).await?;
    let mut ends = same.picked(1..values.len());
    ends.append(BitShare::zero(1));
    ends.not(session.seat().index());
    mux::times(session, &ends, &sums[0], stock).await
}

/// Rows that agree in time and in whether there is an event, and how many of them there are.
async fn tied(
    session: &mut Session,
    same: BitShare,
    used: &Share<u64>,
    shape: &Shape,
    stock: &mut Stock,
) -> Result<Tied, ProtocolError> {
    let n = used.len();
    let mut reversed = BitShare::zero(1);
    reversed.append(same.picked((1..n).rev()));
    let mut tied = Tied {
        same,
        reversed,
        inverses: Share::zero(0),
    };
    let counts = tied.totals(session, vec![copy(used)], stock).await?;
    let mut counts = convert::widen(session, &counts[0], shape.of.method, stock).await?;
    counts.scale_public(1 << MEAN_BITS);
    let inverses = function::reciprocal(session, &counts, shape.counts(), stock).await?;
    tied.inverses = low(&inverses);
    Ok(tied)
}

impl Tied {
    /// The sum over its group, at every row: what comes before it, and after it.
    async fn totals(
        &self,
        session: &mut Session,
        columns: Vec<Share<u64>>,
        stock: &mut Stock,
    ) -> Result<Vec<Share<u64>>, ProtocolError> {
        let backward = columns.iter().map(turned).collect();
        let after = scan::sums(session, &self.reversed, backward, stock).await?;
        let own: Vec<Share<u64>> = columns.iter().map(copy).collect();
        let mut totals = scan::sums(session, &self.same, columns, stock).await?;
        for ((total, after), own) in totals.iter_mut().zip(&after).zip(&own) {
            total.add_assign(&turned(after));
            total.sub_assign(own);
        }
        Ok(totals)
    }

    /// The mean over its group, at every row.
    pub(super) async fn means(
        &self,
        session: &mut Session,
        columns: Vec<Share<u64>>,
        stock: &mut Stock,
    ) -> Result<Vec<Share<u64>>, ProtocolError> {
        let n_columns = columns.len();
        let totals = self.totals(session, columns, stock).await?;
        let all = totals.iter().flat_map(Share::as_slice).copied();
        let all = Share::new(all.collect());
        let of_rows = (0..n_columns).flat_map(|_| self.inverses.as_slice());
        let of_rows = Share::new(of_rows.copied().collect());
        let n_bits = MEAN_BITS.cast_signed();
        let means = mul_shift(session, &all, &of_rows, n_bits, stock).await?;
        let columns = means.as_slice().chunks_exact(self.inverses.len());
        Ok(columns.map(|c| Share::new(c.to_vec())).collect())
    }
}

fn totals_price(seats: Seats, n_rows: usize, n_columns: usize) -> Price {
    let sums = scan::sums_price::<u64>(n_rows, n_columns, seats);
    sums.clone().then(&sums)
}

pub(super) fn means_price(seats: Seats, n_rows: usize, n_columns: usize) -> Price {
    totals_price(seats, n_rows, n_columns).then(&mul_shift_price::<u64>(
        seats,
        n_rows * n_columns,
        MEAN_BITS.cast_signed(),
    ))
}

/// The last one first.
pub(super) fn turned(column: &Share<u64>) -> Share<u64> {
    Share::new(column.as_slice().iter().rev().copied().collect())
}
