//! Aggregates over a join of several holders' tables on one key, of which nobody learns who matched.
//!
//! Counts, sums and sums of products decompose: every holder adds its own rows up by key and by its own
//! group columns, and what is joined has one row a key. A group of the result is a cell of each
//! relation, and
//!
//! ```text
//! output[g0, g1, …] = Σ over terms  coefficient · Σ over keys  f0(key, g0) · f1(key, g1) · …
//! ```
//!
//! where f is a column of the relation, or whether it has the key. That is exact whatever the
//! multiplicities: COUNT(*) of a join is the sum over keys of the product of both sides' counts.
//!
//! ```text
//! join       one cuckoo table at the hub, one row a bin ([`circuit`](crate::psi::circuit)); columns are
//!            shares, 0 where a spoke has no such key
//! holders    of one relation: numbers are added, flags and matches combined by OR on shared bits
//! relations  beside the hub: their columns multiplied bin by bin
//! compared   sums of their columns and of the hub's that are below 0, as bits that are multiplied with them
//! hub        its columns times those, added up over all bins for each of its cells: it knows its columns and
//!            which cells of a key are not 0, and what all know of them makes it cheap ([`Bounds`])
//! ```
//!
//! Products can stay in their bins as numbers of each key ([`bins`]), and keys be counted for which such a number is more
//! than 0 ([`met`]), or the largest of these numbers be found ([`largest`]); in how many rows each of the hub's own stands is found by [`weights`], and which of its keys all others have by [`members`].

mod inputs;
mod shape;
mod plan;
mod columns;
mod products;
pub mod bins;
pub mod largest;
pub mod members;
pub mod met;
pub mod weights;

pub use crate::psi::circuit::Rows;
pub use inputs::Inputs;
pub use shape::{Bounds, Compared, Factor, Holder, Relation, Shape, Term};

use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::psi::circuit;
use crate::session::Session;
use engine::ring::{self, Ring};
use engine::share::Share;
use plan::{Part, Plan, Value};
use products::{HubRing, Products, Rights};

/// The outputs of a shape as shares, one element for each cell.
pub struct Totals {
    /// Over Z_2^64.
    pub narrow: Vec<Share<u64>>,
    /// Over Z_2^128.
    pub wide: Vec<Share<u128>>,
}

/// Adds up what a join's terms say. Nothing is opened but masked values.
///
/// # Seats     symmetric; the holders that the shape names, and any others, which hold shares
/// # Inputs    `inputs`: at holders their rows with distinct keys, in which flags come first and each
///   column has all its cells (`column·cells + cell`), or at the hub those in which its keys stand; elsewhere
///   `None`. Takes [`price`]
/// # Output    [`Totals`], modulo 2^64 and 2^128
/// # Cost      [`price`]: that of the join, and then 1 round a level of an AND or a product of several
///   relations, 1 for bits that become numbers, and a comparison's. For the hub's columns: with a dealer and no bounds 1
///   round a column; else 1, and 3 or more for each column and to bring products to their cells. A number
///   of b bits takes b OTs, each with a row of what it is multiplied with; a cell's place among G takes
///   ⌈log2 (G + 1)⌉, and 16 bytes more for all but one
/// # Security  semi-honest; all seats but one may be corrupt. Reveals the shape, and nothing else.
///   Computational: as [`circuit::join`]
/// # Errors    [`ProtocolError::InvalidInput`] and [`ProtocolError::OutOfCorrelations`] before
///   anything is sent; otherwise as [`circuit::join`]
/// # Source    2019/241 on a star; Gilboa, CRYPTO '99, with one side's numbers as choices; half-trees,
///   2022/1431, for places. Differs: a row is added to a place by a punctured tree
pub async fn totals(
    session: &mut Session,
    shape: &Shape,
    inputs: Option<Inputs>,
    stock: &mut Stock,
) -> Result<Totals, ProtocolError> {
    let outcome = try_totals(session, shape, inputs, stock).await;
    session.ended_by(outcome)
}

async fn try_totals(
    session: &mut Session,
    shape: &Shape,
    inputs: Option<Inputs>,
    stock: &mut Stock,
) -> Result<Totals, ProtocolError> {
    shape.check(session, inputs.as_ref())?;
    let plan = Plan::new(shape);
    let seats = Seats::of(session);
    stock.check(&plan.price(seats, shape).needs)?;
    let own = inputs
        .as_ref()
        .filter(|_| session.seat() == shape.hub().seat);
    let cells = shape.relations[0].cells;
    let narrow = own.map(|rows| own_sums(&plan.narrow, (rows, cells)));
    let wide = own.map(|rows| own_sums(&plan.wide, (rows, cells)));
    let mut totals = Totals {
        narrow: outputs(&plan.narrow, plan.n_cells, narrow),
        wide: outputs(&plan.wide, plan.n_cells, wide),
    };
    let Some(join) = &plan.join else {
        return Ok(totals);
    };
    let products = Products::new(seats, shape, &plan, join.n_bins());
    products.check(&plan)?;
    let (rows, own) = brought(session, join, inputs);
    let mut joined = circuit::join(session, join, rows, stock).await?;
    let places = joined.places.clone();
    let hub = own.as_ref().zip(places.as_deref());
    let bits = columns::bits(session, &plan, (&joined, hub), stock).await?;
    let numbers = columns::narrow(&plan, &mut joined);
    let narrow = columns::rights(session, (&plan, &plan.narrow), (numbers, &bits), stock).await?;
    let numbers = columns::wide(&plan, &mut joined);
    let wide = columns::rights(session, (&plan, &plan.wide), (numbers, &bits), stock).await?;
    put_sums(&plan.narrow, &narrow, &mut totals.narrow);
    put_sums(&plan.wide, &wide, &mut totals.wide);
    let own = own.as_ref().zip(joined.places.as_deref());
    let rights = Rights { narrow, wide };
    let made = products.make(session, &plan, (own, rights), stock).await?;
    put_products(&plan.narrow, &made.narrow, &mut totals.narrow);
    put_products(&plan.wide, &made.wide, &mut totals.wide);
    Ok(totals)
}

/// What this seat brings to the join, and at the hub its rows, which stay there.
fn brought(
    session: &Session,
    join: &circuit::Shape,
    inputs: Option<Inputs>,
) -> (Option<Rows>, Option<Inputs>) {
    match inputs {
        Some(mut rows) if session.seat() == join.hub.seat => {
            let keys = Rows::of_keys(std::mem::take(&mut rows.rows.keys));
            (Some(keys), Some(rows))
        }
        inputs => {
            let inputs = inputs.filter(|_| join.has(session.seat()));
            (inputs.map(|inputs| inputs.rows), None)
        }
    }
}

/// At the hub its rows, and the bin of each.
type Own<'a> = (&'a Inputs, &'a [u32]);

/// What [`totals`] takes and sends.
///
/// # Panics    if the shape has no relations, or a term that does not fit them
pub fn price(seats: Seats, shape: &Shape) -> Price {
    Plan::new(shape).price(seats, shape)
}

impl Plan {
    fn price(&self, seats: Seats, shape: &Shape) -> Price {
        let Some(join) = &self.join else {
            return Price::nothing(seats);
        };
        let n_bins = join.n_bins();
        let narrow = columns::rights_price::<u64>(seats, (self, &self.narrow), n_bins);
        let wide = columns::rights_price::<u128>(seats, (self, &self.wide), n_bins);
        circuit::price(seats, join)
            .then(&columns::bits_price(seats, self, n_bins))
            .then(&narrow)
            .then(&wide)
            .then(&Products::new(seats, shape, self, n_bins).price(seats, self))
    }
}

/// What the hub adds up without the others: for each piece that is of its own columns alone.
fn own_sums<R: HubRing>(part: &Part, (own, cells): (&Inputs, usize)) -> Vec<R> {
    let n_rows = own.rows.keys.len();
    let value = |value: &Value| match value {
        Value::Own(number) => {
            let at = (number / cells, number % cells, cells);
            let values = (0..n_rows).map(|row| R::of(own, at, row));
            values.fold(R::ZERO, R::wrapping_add)
        }
        Value::Rows => R::from_u64(n_rows as u64),
        Value::Sum(_) | Value::Product(..) => R::ZERO,
    };
    let pieces = part.pieces.iter();
    pieces.map(|piece| value(&piece.value)).collect()
}

/// Output columns of zeros, and at the hub of what it has added up.
fn outputs<R: Ring>(part: &Part, n_cells: usize, own: Option<Vec<R>>) -> Vec<Share<R>> {
    let mut outputs: Vec<Share<R>> = (0..part.n_outputs).map(|_| Share::zero(n_cells)).collect();
    if let Some(own) = own {
        put(part, &mut outputs, |at, _| own[at]);
    }
    outputs
}

/// Adds a value for each piece to its output.
fn put<R: Ring>(part: &Part, outputs: &mut [Share<R>], value: impl Fn(usize, &Value) -> R) {
    for (at, piece) in part.pieces.iter().enumerate() {
        let coefficient = R::from_signed(piece.coefficient.into()).expect("an i64 fits both rings");
        let value = value(at, &piece.value).wrapping_mul(coefficient);
        let output = &mut outputs[piece.output].as_mut_slice()[piece.cell];
        *output = output.wrapping_add(value);
    }
}

/// Adds what needs sums of right-hand columns alone.
fn put_sums<R: Ring>(part: &Part, rights: &[Share<R>], outputs: &mut [Share<R>]) {
    let sums: Vec<R> = rights.iter().map(|r| ring::sum(r.as_slice())).collect();
    put(part, outputs, |_, value| match value {
        Value::Sum(right) => sums[*right],
        Value::Product(..) | Value::Own(_) | Value::Rows => R::ZERO,
    });
}

/// Adds products with the hub's columns.
fn put_products<R: Ring>(part: &Part, made: &[Share<R>], outputs: &mut [Share<R>]) {
    put(part, outputs, |_, value| match value {
        Value::Product(number, at) => made[*number].as_slice()[*at],
        Value::Sum(_) | Value::Own(_) | Value::Rows => R::ZERO,
    });
}
