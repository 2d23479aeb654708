//! Totals of groups that nobody lists whose values their holders have numbered: what a join adds up by such numbers.
//!
//! Every cell stands for one value of each column, and the columns' holders alone know which one, if any. The totals are
//! shares as those of public groups are; the values are further columns, which their holders bring.

use super::{Groups, Opened};
use crate::aggregate::Check;
use crate::arith::compare::Method;
use crate::boolean;
use crate::correlate::Stock;
use crate::disclose::{Disclosure, Terms};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::session::Session;
use crate::stats::passes;
use crate::table::Table;
use engine::ring::Ring;
use engine::share::Share;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The public shape of a [`coded`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodedShape {
    /// Number of cells.
    pub cells: usize,
    /// Number of columns over Z_2^128 that hold the cell's key itself, 16 bytes each.
    pub key_words: usize,
    /// Number of columns over Z_2^64.
    pub narrow: usize,
    /// Number of columns over Z_2^128, the key not counted.
    pub wide: usize,
    /// A cell is released if all of these hold; one that stands for no value has to fail one.
    pub checks: Vec<Check>,
    /// The computing seats that get the result.
    pub receivers: Vec<Seat>,
    /// How shares are compared: by what the source makes cheaply.
    pub method: Method,
}

/// One seat's additive shares, column by column; they need not be random.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct CodedTotals {
    /// The keys. A seat that alone knows a cell's key brings it as its share, and the others 0.
    pub keys: Vec<Vec<u128>>,
    /// Columns over Z_2^64: counts and small sums.
    pub narrow: Vec<Vec<u64>>,
    /// Columns over Z_2^128.
    pub wide: Vec<Vec<u128>>,
}

impl CodedShape {
    /// What a holder approves with this shape: every size, check and receiver.
    pub fn terms(&self) -> Terms {
        let sizes = [self.cells, self.key_words, self.narrow, self.wide];
        let sizes: Vec<u8> = (sizes.iter())
            .flat_map(|n| (*n as u64).to_le_bytes())
            .collect();
        let checks = passes::terms(&self.checks);
        Terms::new(
            "entente/v1/terms/coded groups",
            &[&sizes, &checks],
            &self.receivers,
        )
    }

    /// Checks that the shape is one.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidInput`] with what does not fit.
    pub fn check(&self) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        if u32::try_from(self.cells).is_err() {
            return invalid("a release of numbered groups has under 2^32 of them");
        }
        if self.receivers.is_empty() {
            return invalid("a release has a receiver");
        }
        if self.checks.iter().all(|check| check.at_least == 0) {
            return invalid("a number that stands for no value fails a check");
        }
        passes::check(&self.checks, self.narrow)
    }

    fn fits(&self, totals: &CodedTotals) -> Result<(), ProtocolError> {
        let counts = [totals.keys.len(), totals.narrow.len(), totals.wide.len()];
        let mut wide = totals.keys.iter().chain(&totals.wide);
        let fits = counts == [self.key_words, self.narrow, self.wide]
            && totals.narrow.iter().all(|c| c.len() == self.cells)
            && wide.all(|c| c.len() == self.cells);
        match fits {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "a release of numbered groups takes columns as declared",
            }),
        }
    }

    fn opened(&self) -> Opened<'_> {
        Opened {
            n_rows: self.cells,
            key_words: self.key_words,
            narrow: self.narrow,
            wide: self.wide,
            receivers: &self.receivers,
        }
    }
}

/// Releases the groups whose checks all hold, with their keys.
///
/// Whether a cell passes is a shared bit. The cells are shuffled before the bits are opened, so that they say how many
/// pass and nothing else, to the holders of the keys neither; then the cells that pass are revealed, and shares of zeros
/// instead of the others.
///
/// # Seats     symmetric among the computing seats, any number ≥ 2; a dealer takes no part
/// # Inputs    `totals`: this seat's shares, as declared; `shape`: the same at all seats; takes [`price`];
///   `disclosure`: for the shape's terms
/// # Output    at receivers the released groups in an order that says nothing, elsewhere `None`
/// # Cost      [`price`]
/// # Security  semi-honest, all but one seat may be corrupt. Receivers learn the released groups; all computing seats
///   learn the shape and the number of released groups
/// # Errors    [`ProtocolError::InvalidInput`], [`ProtocolError::NotApproved`] and
///   [`ProtocolError::OutOfCorrelations`] before anything is sent; [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`], [`ProtocolError::CheckFailed`]
/// # Source    CRYPTO §1.8 (shuffle), §6 (threshold before opening)
pub async fn coded(
    session: &mut Session,
    totals: CodedTotals,
    shape: &CodedShape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Groups>, ProtocolError> {
    let outcome = try_coded(session, totals, shape, stock, disclosure).await;
    session.ended_by(outcome)
}

async fn try_coded(
    session: &mut Session,
    mut totals: CodedTotals,
    shape: &CodedShape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Groups>, ProtocolError> {
    shape.check()?;
    shape.fits(&totals)?;
    disclosure.check(&shape.terms(), session)?;
    stock.check(&price(shape, Seats::of(session)).needs)?;
    let narrow = shares(&mut totals.narrow);
    let marks = passes::passes(session, &narrow, &shape.checks, shape.method, stock).await?;
    let ok = boolean::all(session, marks, stock).await?;
    let mut wide = shares(&mut totals.keys);
    wide.extend(shares(&mut totals.wide));
    let marked = Table::new(shape.cells, &[ok], &[], narrow, wide);
    let opened = shape.opened();
    opened.rows(session, marked, stock, disclosure).await
}

fn shares<R: Ring>(columns: &mut [Vec<R>]) -> Vec<Share<R>> {
    let columns = columns.iter_mut().map(std::mem::take);
    columns.map(Share::new).collect()
}

/// The declared price of [`coded`], the same however many groups are released.
pub fn price(shape: &CodedShape, seats: Seats) -> Price {
    let (checks, cells) = (&shape.checks, shape.cells);
    passes::price(checks, cells, shape.method, seats)
        .then(&boolean::all_price(seats, cells, checks.len()))
        .then(&shape.opened().price(seats))
}

/// [`coded`] in the clear, for tests, in the order of cells.
pub fn oracle(inputs: &[CodedTotals], shape: &CodedShape) -> Groups {
    fn sum<R: Ring>(columns: impl Iterator<Item = Vec<Vec<R>>>) -> Vec<Vec<R>> {
        let added = |mut all: Vec<Vec<R>>, more: Vec<Vec<R>>| {
            let pairs = all.iter_mut().flatten().zip(more.iter().flatten());
            pairs.for_each(|(total, share)| *total = total.wrapping_add(*share));
            all
        };
        columns.reduce(added).unwrap_or_default()
    }
    fn kept<R: Copy>(columns: &[Vec<R>], passing: &[usize]) -> Vec<Vec<R>> {
        let column = |c: &Vec<R>| passing.iter().map(|cell| c[*cell]).collect();
        columns.iter().map(column).collect()
    }
    let narrow = sum(inputs.iter().map(|i| i.narrow.clone()));
    let passes = |cell: &usize| {
        let mut checks = shape.checks.iter();
        checks.all(|check| narrow[check.column][*cell] >= check.at_least)
    };
    let passing: Vec<usize> = (0..shape.cells).filter(passes).collect();
    Groups {
        keys: kept(&sum(inputs.iter().map(|i| i.keys.clone())), &passing),
        narrow: kept(&narrow, &passing),
        wide: kept(&sum(inputs.iter().map(|i| i.wide.clone())), &passing),
    }
}
