//! Which of the hub's own keys all other relations of a join have: told to the hub, and to nobody else.
//!
//! ```text
//! join      one bin for each of the hub's keys, and in each the product of the other relations' bits
//! compare   the number of ones with the least that may be shown; that bit is opened to all
//! reveal    the bins' bits to the hub, which knows what is in them; zeros where they are too few
//! ```

use super::columns;
use super::plan::{Plan, Value};
use super::shape::{Factor, Holder, Relation, Shape, Term};
use crate::arith::compare;
use crate::boolean;
use crate::correlate::{Needs, Stock};
use crate::disclose::{self, Disclosure, Terms, Values, admit, reveal};
use crate::error::ProtocolError;
use crate::price::{Price, Seats};
use crate::psi::Item;
use crate::psi::circuit::{self, Rows};
use crate::session::Session;
use engine::ring;
use engine::share::Share;

/// What all seats know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberShape {
    /// Who asks.
    pub hub: Holder,
    /// The holders of each other relation: a key is there if one of them has it.
    pub others: Vec<Vec<Holder>>,
    /// How many keys have to match for any to be shown.
    pub at_least: u64,
}

/// What a seat learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// Whether so many match as have to: all seats learn that.
    pub enough: bool,
    /// At the hub whether each of its keys matches, in the order in which it brought them; all `false` unless `enough`.
    pub of_keys: Option<Vec<bool>>,
}

impl MemberShape {
    /// What a holder approves: who learns it, against whose tables, and from how many keys on. Sizes follow from tables.
    pub fn terms(&self) -> Terms {
        let seats = self.others.iter().map(|holders| {
            let seats = holders.iter().map(|holder| holder.seat.0);
            seats.collect::<Vec<u8>>()
        });
        let seats: Vec<Vec<u8>> = seats.collect();
        let at_least = self.at_least.to_le_bytes();
        let fields = seats.iter().map(Vec::as_slice);
        let fields: Vec<&[u8]> = std::iter::once(&at_least[..]).chain(fields).collect();
        Terms::new("entente/v1/terms/join-members", &fields, &[self.hub.seat])
    }

    /// The join: of keys alone, and one total, the keys that all have.
    fn join(&self) -> Shape {
        let relation = |holders: &[Holder]| Relation {
            holders: holders.to_vec(),
            cells: 1,
            of_hub: false,
            flags: 0,
            narrow: 0,
            wide: 0,
        };
        let others = self.others.iter().map(|holders| relation(holders));
        let relations = std::iter::once(relation(&[self.hub])).chain(others);
        Shape {
            relations: relations.collect(),
            narrow: vec![vec![Term {
                coefficient: 1,
                factors: vec![Factor::Matched { cell: 0 }; 1 + self.others.len()],
                below: Vec::new(),
            }]],
            wide: Vec::new(),
            bounds: None,
            compared: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), ProtocolError> {
        let has_rows = |holders: &Vec<Holder>| holders.iter().any(|h| h.n_rows > 0);
        match self.hub.n_rows > 0 && self.others.iter().all(has_rows) {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "every relation of which keys are told has rows",
            }),
        }
    }

    /// Bits of a number of keys.
    fn bound_bits(&self) -> u32 {
        let most = (self.hub.n_rows as u64).max(self.at_least);
        u64::BITS - most.leading_zeros()
    }

    /// Whether any number of keys may be shown.
    fn shows_any(&self) -> bool {
        self.at_least <= 1
    }
}

/// Tells the hub which of its keys all other relations have, if they are enough.
///
/// # Seats     symmetric; the holders that the shape names, and any others, which hold shares
/// # Inputs    `keys`: at holders their distinct keys, as many as the shape says; elsewhere `None`. Takes [`price`];
///   `disclosure`: of [`MemberShape::terms`]
/// # Output    [`Members`]
/// # Cost      [`price`]: that of a join without columns, 1 round for bits that become numbers, and to reveal 2; a
///   comparison of one number and 1 round to open it where a least number is wanted. 8 bytes a bin are revealed
/// # Security  semi-honest; all seats but one may be corrupt. The hub learns which of its keys match, and all seats
///   whether they are enough; nobody learns a key that it does not have. Computational: as [`circuit::join`]
/// # Errors    [`ProtocolError::InvalidInput`], [`ProtocolError::NotApproved`] and [`ProtocolError::OutOfCorrelations`]
///   before anything is sent; otherwise as [`circuit::join`] and [`reveal`]
/// # Source    2019/241, §6 and figure 5, with the members revealed to the hub
pub async fn members(
    session: &mut Session,
    shape: &MemberShape,
    keys: Option<Vec<Item>>,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Members, ProtocolError> {
    session.ended_by(shape.check())?;
    let needs = price(Seats::of(session), shape).needs;
    admit(session, (&disclosure, &shape.terms()), (stock, &needs))?;
    let outcome = try_members(session, shape, keys, stock, &disclosure).await;
    session.ended_by(outcome)
}

async fn try_members(
    session: &mut Session,
    shape: &MemberShape,
    keys: Option<Vec<Item>>,
    stock: &mut Stock,
    disclosure: &Disclosure,
) -> Result<Members, ProtocolError> {
    let join_shape = shape.join();
    let inputs = keys.map(|keys| Rows::of_keys(keys).into());
    join_shape.check(session, inputs.as_ref())?;
    let plan = Plan::new(&join_shape);
    let Some(join) = &plan.join else {
        return Err(UNFIT);
    };
    let rows = inputs.filter(|_| join.has(session.seat()));
    let mut joined = circuit::join(session, join, rows.map(|i| i.rows), stock).await?;
    let bits = columns::bits(session, &plan, (&joined, None), stock).await?;
    let numbers = columns::narrow(&plan, &mut joined);
    let mut rights =
        columns::rights(session, (&plan, &plan.narrow), (numbers, &bits), stock).await?;
    let Some(mut found) = single(&plan).map(|right| rights.swap_remove(right)) else {
        return Err(UNFIT);
    };
    let enough = match shape.shows_any() {
        true => true,
        false => is_enough(session, shape, &found, stock).await?,
    };
    if !enough {
        found = Share::zero(found.len());
    }
    let (n_bins, receivers) = (found.len(), [shape.hub.seat]);
    let values = Values {
        narrow: found,
        wide: Share::zero(0),
    };
    let disclosure = disclosure.part(Terms::of_values(n_bins, 0, &receivers));
    let revealed = reveal(session, values, &receivers, disclosure).await?;
    let of_keys = revealed.zip(joined.places).map(|(bins, places)| {
        let matches = |bin: &u32| bins.narrow[*bin as usize] == 1;
        places.iter().map(matches).collect()
    });
    Ok(Members { enough, of_keys })
}

const UNFIT: ProtocolError = ProtocolError::InvalidInput {
    what: "keys are told of a join that has one total, of keys that all have",
};

/// The column of the only total.
fn single(plan: &Plan) -> Option<usize> {
    match plan.narrow.pieces.as_slice() {
        [piece] => match piece.value {
            Value::Sum(right) => Some(right),
            _ => None,
        },
        _ => None,
    }
}

/// Whether so many bins have a match as have to, opened to all.
async fn is_enough(
    session: &mut Session,
    shape: &MemberShape,
    found: &Share<u64>,
    stock: &mut Stock,
) -> Result<bool, ProtocolError> {
    let count = Share::new(vec![ring::sum(found.as_slice())]);
    let (least, bound) = ([shape.at_least], shape.bound_bits());
    let enough = compare::at_least(session, &count, &least, bound, stock).await?;
    let opened = boolean::open(session, enough).await?;
    Ok(opened.first().is_some_and(|word| word & 1 == 1))
}

/// What [`members`] takes and sends.
///
/// # Panics    if a relation has no rows
pub fn price(seats: Seats, shape: &MemberShape) -> Price {
    let plan = Plan::new(&shape.join());
    let join = plan.join.as_ref().expect("every relation has rows");
    let n_bins = join.n_bins();
    let rights = columns::rights_price::<u64>(seats, (&plan, &plan.narrow), n_bins);
    let found = circuit::price(seats, join)
        .then(&columns::bits_price(seats, &plan, n_bins))
        .then(&rights);
    let (n_seats, n_computing) = (seats.n_seats, seats.n_computing);
    let compared = match shape.shows_any() {
        true => found,
        false => found
            .then(&Price {
                needs: compare::needs(n_computing, shape.bound_bits(), 1),
                cost: compare::cost(n_seats, n_computing, shape.bound_bits(), 1),
            })
            .then(&Price::of_cost(boolean::open_cost(n_seats, n_computing, 1))),
    };
    compared.then(&Price {
        needs: Needs::default(),
        cost: disclose::cost(n_seats, n_computing, n_bins, 0, &[shape.hub.seat]),
    })
}
