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
//! hub        a product of matrices: its columns, transposed, times those
//! ```

mod shape;
mod plan;
mod columns;

pub use crate::psi::circuit::Rows as Inputs;
pub use shape::{Factor, Holder, Relation, Shape, Term};

use crate::arith::matmul;
use crate::correlate::{Stock, StockedRing};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::psi::circuit;
use crate::session::Session;
use engine::ring::{self, Ring};
use engine::share::Share;
use plan::{Part, Plan, Value};

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
///   column has all its cells (`column·cells + cell`); elsewhere `None`. Takes [`price`]
/// # Output    [`Totals`], modulo 2^64 and 2^128
/// # Cost      [`price`]: that of the join, and then 1 round a level of an AND or a product of several
///   relations, 1 for bits that become numbers, and 1 for each product with columns of the hub
/// # Security  semi-honest; all seats but one may be corrupt. Reveals the shape, and nothing else.
///   Computational: as [`circuit::join`]
/// # Errors    [`ProtocolError::InvalidInput`] and [`ProtocolError::OutOfCorrelations`] before
///   anything is sent; otherwise as [`circuit::join`]
/// # Source    CRYPTO.md §3.6: 2019/241 on a star, and Mohassel–Zhang's products of matrices
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
    stock.check(&plan.price(Seats::of(session)).needs)?;
    let own = inputs
        .as_ref()
        .filter(|_| session.seat() == shape.hub().seat);
    let narrow = own.map(|rows| own_sums(&plan.narrow, &rows.narrow, rows.keys.len()));
    let wide = own.map(|rows| own_sums(&plan.wide, &rows.wide, rows.keys.len()));
    let mut totals = Totals {
        narrow: outputs(&plan.narrow, plan.n_cells, narrow),
        wide: outputs(&plan.wide, plan.n_cells, wide),
    };
    let Some(join) = &plan.join else {
        return Ok(totals);
    };
    let (rows, own) = match inputs {
        Some(mut rows) if session.seat() == join.hub.seat => {
            let keys = Inputs::of_keys(std::mem::take(&mut rows.keys));
            (Some(keys), Some(rows))
        }
        inputs => (inputs.filter(|_| join.has(session.seat())), None),
    };
    let mut joined = circuit::join(session, join, rows, stock).await?;
    let bits = columns::bits(session, &plan, &joined, stock).await?;
    let places = joined.places.take().unwrap_or_default();
    let narrow = own.as_ref().map(|own| (&own.narrow[..], &places[..]));
    let numbers = columns::narrow(&plan, &mut joined);
    let rights = columns::rights(session, (&plan, &plan.narrow), (numbers, &bits), stock).await?;
    add(
        session,
        &plan.narrow,
        (narrow, &rights),
        stock,
        &mut totals.narrow,
    )
    .await?;
    let wide = own.as_ref().map(|own| (&own.wide[..], &places[..]));
    let numbers = columns::wide(&plan, &mut joined);
    let rights = columns::rights(session, (&plan, &plan.wide), (numbers, &bits), stock).await?;
    add(
        session,
        &plan.wide,
        (wide, &rights),
        stock,
        &mut totals.wide,
    )
    .await?;
    Ok(totals)
}

/// What [`totals`] takes and sends.
///
/// # Panics    if the shape has no relations, or a term that does not fit them
pub fn price(seats: Seats, shape: &Shape) -> Price {
    Plan::new(shape).price(seats)
}

impl Plan {
    fn price(&self, seats: Seats) -> Price {
        let Some(join) = &self.join else {
            return Price::nothing(seats);
        };
        let n_bins = join.n_bins();
        let joined = circuit::price(seats, join).then(&columns::bits_price(seats, self, n_bins));
        let narrow = columns::rights_price::<u64>(seats, (self, &self.narrow), n_bins);
        let wide = columns::rights_price::<u128>(seats, (self, &self.wide), n_bins);
        joined
            .then(&narrow)
            .then(&self.narrow.products_price::<u64>(seats, n_bins))
            .then(&wide)
            .then(&self.wide.products_price::<u128>(seats, n_bins))
    }
}

impl Part {
    fn products_price<R: StockedRing>(&self, seats: Seats, n_bins: usize) -> Price {
        let products = 0..self.products.len();
        let prices = products.map(|at| matmul::price::<R>(seats, self.shape(at, n_bins)));
        Price::sequence(seats, prices)
    }
}

/// What the hub adds up without the others: for each piece that is of its own columns alone.
fn own_sums<R: Ring>(part: &Part, columns: &[Vec<R>], n_rows: usize) -> Vec<R> {
    let value = |value: &Value| match value {
        Value::Own(column) => ring::sum(&columns[*column]),
        Value::Rows => R::from_u64(n_rows as u64),
        Value::Sum(_) | Value::Product(..) => R::ZERO,
    };
    part.pieces
        .iter()
        .map(|piece| value(&piece.value))
        .collect()
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

/// At the hub its columns over one ring, and the bin of each row.
type Own<'a, R> = (&'a [Vec<R>], &'a [u32]);

/// Multiplies the hub's columns with the right-hand ones, and adds everything to the outputs.
async fn add<R: StockedRing>(
    session: &mut Session,
    part: &Part,
    (own, rights): (Option<Own<'_, R>>, &[Share<R>]),
    stock: &mut Stock,
    outputs: &mut [Share<R>],
) -> Result<(), ProtocolError> {
    let mut products = Vec::with_capacity(part.products.len());
    for (at, product) in part.products.iter().enumerate() {
        let n_bins = rights.first().map_or(0, Share::len);
        let shape = part.shape(at, n_bins);
        let mut left = Share::zero(shape.left_len());
        if let Some((columns, places)) = own {
            let rows = left.as_mut_slice().chunks_exact_mut(n_bins);
            for (row, column) in rows.zip(&product.lefts) {
                for (value, bin) in columns[*column].iter().zip(places) {
                    row[*bin as usize] = *value;
                }
            }
        }
        let mut right = Share::zero(shape.right_len());
        for (at, column) in product.rights.iter().enumerate() {
            let places = right.as_mut_slice().iter_mut().skip(at).step_by(shape.n);
            for (out, value) in places.zip(rights[*column].as_slice()) {
                *out = *value;
            }
        }
        products.push(matmul::matmul(session, &left, &right, shape, stock).await?);
    }
    let sums: Vec<R> = rights.iter().map(|r| ring::sum(r.as_slice())).collect();
    put(part, outputs, |_, value| match value {
        Value::Sum(right) => sums[*right],
        Value::Product(number, at) => products[*number].as_slice()[*at],
        Value::Own(_) | Value::Rows => R::ZERO,
    });
    Ok(())
}
