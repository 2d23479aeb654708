//! A release of counts that are rounded first, so that nobody learns an exact one.
//!
//! What decides about a cell is its exact count, which is compared on shares and opened to nobody.

use super::{
    CellRule, LocalTotals, ReleaseShape, Released, needs, online_cost, security, try_release,
};
use crate::arith::nearest::{self, Rounding, nearest};
use crate::correlate::{Source, Stock};
use crate::disclose::{Disclosure, Terms};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::security::Security;
use crate::session::Session;
use engine::share::Share;

/// The public shape of a release of rounded counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundedShape {
    /// What is released: columns over Z_2^64 alone, all of them counts. Checks are made on the exact ones.
    pub release: ReleaseShape,
    /// To what every count is rounded.
    pub rounding: Rounding,
}

impl RoundedShape {
    /// What a holder approves: the release, and to what counts are rounded.
    pub fn terms(&self) -> Terms {
        let to = [self.rounding.multiple, u64::from(self.rounding.bound_bits)];
        let to = to.map(u64::to_le_bytes);
        let inner = self.release.terms();
        let fields = [&inner.digest()[..], to.as_flattened()];
        Terms::new("entente/v1/terms/rounded", &fields, &self.release.receivers)
    }

    /// Checks that the parts of the shape fit together.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self, n_computing: usize) -> Result<(), ProtocolError> {
        let of = &self.release;
        if !matches!(of.mode, CellRule::None | CellRule::Compare) {
            return Err(ProtocolError::InvalidInput {
                what: "a release of rounded counts has no checks, or compares on shares",
            });
        }
        if of.wide > 0 || of.compared > 0 {
            return Err(ProtocolError::InvalidInput {
                what: "a release of rounded counts has columns over Z_2^64 alone, which are opened",
            });
        }
        self.rounding.check()?;
        self.release.check(n_computing)?;
        self.beside().check(n_computing)
    }

    /// The columns that are checked, each once.
    fn checked(&self) -> Vec<usize> {
        let mut columns: Vec<usize> = self.release.checks.iter().map(|c| c.column).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The release of rounded counts with the exact ones behind them, which are compared alone.
    fn beside(&self) -> ReleaseShape {
        let checked = self.checked();
        let mut shape = self.release.clone();
        for check in &mut shape.checks {
            let place = checked.binary_search(&check.column).unwrap_or(0);
            check.column = self.release.narrow + place;
        }
        shape.narrow += checked.len();
        shape.compared = checked.len();
        shape
    }

    fn n_counts(&self) -> usize {
        self.release.cells * self.release.narrow
    }

    /// What a release takes and costs, without its preparation.
    pub fn price(&self, seats: Seats) -> Price {
        let beside = self.beside();
        let released = Price {
            needs: needs(&beside, seats),
            cost: online_cost(&beside, seats.n_seats, seats.n_computing),
        };
        nearest::price(seats, self.n_counts(), &self.rounding).then(&released)
    }
}

/// Adds the holders' tables, rounds every count on shares, and releases the cells whose checks hold of the exact ones.
///
/// # Seats     symmetric among the computing seats, any number ≥ 2; a dealer takes no part
/// # Inputs    `input`: this holder's totals; `shape`: the same at all seats; `stock`: what [`RoundedShape::price`] needs;
///   `disclosure`: for the shape's [`terms`](RoundedShape::terms)
/// # Output    at receivers the released cells, rounded, elsewhere `None`
/// # Cost      [`RoundedShape::price`]: that of [`nearest()`] for all counts, and of [`release`](super::release)
/// # Security  [`rounded_security`]: as [`release`](super::release); exact counts are opened to nobody
/// # Errors    as [`release`](super::release)
/// # Source    own composition of [`nearest()`] and [`release`](super::release)
pub async fn rounded_release(
    session: &mut Session,
    input: LocalTotals,
    shape: &RoundedShape,
    stock: Stock,
    disclosure: Disclosure,
) -> Result<Option<Released>, ProtocolError> {
    let outcome = try_rounded(session, input, shape, stock, disclosure).await;
    session.ended_by(outcome)
}

async fn try_rounded(
    session: &mut Session,
    mut input: LocalTotals,
    shape: &RoundedShape,
    mut stock: Stock,
    disclosure: Disclosure,
) -> Result<Option<Released>, ProtocolError> {
    shape.check(session.n_computing())?;
    shape.release.check_input(&input)?;
    disclosure.check(&shape.terms(), session)?;
    stock.check(&shape.price(Seats::of(session)).needs)?;
    let counts = Share::new(input.narrow.concat());
    let rounded = nearest(session, &counts, &shape.rounding, &mut stock).await?;
    let checked = shape.checked();
    let exact = checked.iter().map(|column| input.narrow[*column].clone());
    let exact: Vec<Vec<u64>> = exact.collect();
    let cells = shape.release.cells;
    for (column, values) in input
        .narrow
        .iter_mut()
        .zip(rounded.as_slice().chunks(cells.max(1)))
    {
        column.copy_from_slice(values);
    }
    input.narrow.extend(exact);
    let beside = shape.beside();
    let disclosure = disclosure.part(beside.terms());
    try_release(session, input, &beside, stock, disclosure).await
}

/// What [`rounded_release`] claims and who learns what: all of it of rounded counts.
pub fn rounded_security(
    shape: &RoundedShape,
    n_computing: usize,
    source: Option<&Source>,
) -> Security {
    security(&shape.beside(), n_computing, source)
}
