//! Numbers of the rows of a join, one in each bin of the hub's table: for tables in which every key has one row.
//!
//! Totals add a term's products up over all bins. Here they stay in their bins, so that each is a number of a row and can be
//! put in order, squared or ranked with others. Where the bins are, the hub alone knows, and what is in them nobody.

use super::plan::{Part, Plan, Value};
use super::shape::Shape;
use super::{Inputs, Own, brought, columns};
use crate::arith::{self, mul};
use crate::correlate::Stock;
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::psi::circuit;
use crate::session::Session;
use engine::share::Share;
use std::collections::BTreeSet;

/// What a join's terms come to in each bin. Nothing is opened but masked values.
///
/// # Seats     symmetric; the holders that the shape names, and any others, which hold shares
/// # Inputs    `inputs` as for [`totals`](super::totals); the shape has no outputs over Z_2^128, and another relation than
///   the hub's that has rows is in its terms. Takes [`price`]
/// # Output    for each output and each combination of the relations' cells, the latter running fastest, shares of a number
///   for each of [`n_bins`] bins. It is 0 where the hub has no row, if each of its terms depends on a row of the hub
/// # Cost      [`price`]: that of the join and of the spokes' products, and 1 round for those with the hub's columns
/// # Security  semi-honest; all seats but one may be corrupt. Reveals the shape, and nothing else.
///   Computational: as [`circuit::join`]
/// # Errors    [`ProtocolError::InvalidInput`] and [`ProtocolError::OutOfCorrelations`] before anything is sent;
///   otherwise as [`circuit::join`]
/// # Source    as [`totals`](super::totals), without its sums
pub async fn bins(
    session: &mut Session,
    shape: &Shape,
    inputs: Option<Inputs>,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    let outcome = try_bins(session, shape, inputs, stock).await;
    session.ended_by(outcome)
}

async fn try_bins(
    session: &mut Session,
    shape: &Shape,
    inputs: Option<Inputs>,
    stock: &mut Stock,
) -> Result<Vec<Share<u64>>, ProtocolError> {
    shape.check(session, inputs.as_ref())?;
    let plan = Plan::new(shape);
    let Some(join) = plan.join.as_ref().filter(|_| shape.wide.is_empty()) else {
        return Err(ProtocolError::InvalidInput {
            what: "numbers of rows are over Z_2^64, and another table than the hub's has rows",
        });
    };
    stock.check(&price(Seats::of(session), shape).needs)?;
    let (rows, own) = brought(session, join, inputs);
    let mut joined = circuit::join(session, join, rows, stock).await?;
    let places = joined.places.clone();
    let own = own.as_ref().zip(places.as_deref());
    let bits = columns::bits(session, &plan, (&joined, own), stock).await?;
    let numbers = columns::narrow(&plan, &mut joined);
    let narrow = (numbers, &bits);
    let rights = columns::rights(session, (&plan, &plan.narrow), narrow, stock).await?;
    let hub = Hub {
        own,
        cells: shape.relations[0].cells,
        n_bins: join.n_bins(),
    };
    let products = hub.products(session, &plan.narrow, &rights, stock).await?;
    Ok(hub.outputs(&plan, &rights, &products))
}

/// The hub's columns in their bins, which are shares: the others have 0.
struct Hub<'a> {
    own: Option<Own<'a>>,
    cells: usize,
    n_bins: usize,
}

/// A product of the plan, and the place in it.
type At = (usize, usize);

impl Hub<'_> {
    /// One of the hub's columns at a cell; `None`: whether it has a row.
    fn column(&self, column: Option<usize>) -> Share<u64> {
        let mut values = Share::zero(self.n_bins);
        let Some((own, places)) = self.own else {
            return values;
        };
        let into = values.as_mut_slice();
        for (row, bin) in places.iter().enumerate() {
            into[*bin as usize] = column.map_or(1, |at| {
                own.narrow((at / self.cells, at % self.cells, self.cells), row)
            });
        }
        values
    }

    /// The products of the hub's columns with others' that some output takes, each once.
    async fn products(
        &self,
        session: &mut Session,
        part: &Part,
        rights: &[Share<u64>],
        stock: &mut Stock,
    ) -> Result<Vec<(At, Share<u64>)>, ProtocolError> {
        let wanted = wanted(part);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (mut left, mut right) = (Share::zero(0), Share::zero(0));
        for (number, at) in &wanted {
            let product = &part.products[*number];
            let (cell, of) = (at / product.rights.len(), at % product.rights.len());
            left.append(self.column(Some(product.left * self.cells + cell)));
            right.append(arith::copy(&rights[product.rights[of]]));
        }
        let made = mul::mul(session, &left, &right, stock).await?;
        let each = made.as_slice().chunks(self.n_bins);
        let each = each.map(|values| Share::new(values.to_vec()));
        Ok(wanted.into_iter().zip(each).collect())
    }

    /// Adds all pieces up.
    fn outputs(
        &self,
        plan: &Plan,
        rights: &[Share<u64>],
        products: &[(At, Share<u64>)],
    ) -> Vec<Share<u64>> {
        let n_columns = plan.narrow.n_outputs * plan.n_cells;
        let mut outputs: Vec<Share<u64>> =
            (0..n_columns).map(|_| Share::zero(self.n_bins)).collect();
        for piece in &plan.narrow.pieces {
            let value = match piece.value {
                Value::Sum(right) => arith::copy(&rights[right]),
                Value::Product(number, at) => {
                    let made = products.iter().find(|(of, _)| *of == (number, at));
                    arith::copy(&made.expect("every product that is taken is made").1)
                }
                Value::Own(column) => self.column(Some(column)),
                Value::Rows => self.column(None),
            };
            let coefficient = piece.coefficient.cast_unsigned();
            let output = &mut outputs[piece.output * plan.n_cells + piece.cell];
            let both = output.as_mut_slice().iter_mut().zip(value.as_slice());
            both.for_each(|(sum, v)| *sum = sum.wrapping_add(v.wrapping_mul(coefficient)));
        }
        outputs
    }
}

fn wanted(part: &Part) -> BTreeSet<At> {
    let products = part.pieces.iter().filter_map(|piece| match piece.value {
        Value::Product(number, at) => Some((number, at)),
        _ => None,
    });
    products.collect()
}

/// How many numbers there are of each output, for so many keys of the hub.
#[must_use]
pub fn n_bins_of(n_keys: usize) -> usize {
    engine::cuckoo::n_bins(n_keys)
}

/// How many numbers there are of each output; 0 without a join.
///
/// # Panics    as [`price`]
pub fn n_bins(shape: &Shape) -> usize {
    Plan::new(shape).join.map_or(0, |join| join.n_bins())
}

/// What [`bins`] takes and sends.
///
/// # Panics    if the shape has no relations, or a term that does not fit them
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let plan = Plan::new(shape);
    let Some(join) = &plan.join else {
        return Price::nothing(seats);
    };
    let n_bins = join.n_bins();
    let n_products = wanted(&plan.narrow).len();
    let price = circuit::price(seats, join)
        .then(&columns::bits_price(seats, &plan, n_bins))
        .then(&columns::rights_price::<u64>(
            seats,
            (&plan, &plan.narrow),
            n_bins,
        ));
    match n_products {
        0 => price,
        n => price.then(&mul::price::<u64>(seats, n * n_bins)),
    }
}
