//! Scores of the hub's rows by a model of which each holder has a part.
//!
//! Of a scorecard: sums of the points that each holder's part gives, and, if a job asks for them, the features that cost
//! a row the most ([`reasons`]). Of boosted trees: see [`forest`].
//!
//! Columns over Z_2^64: a spoke brings what its part gives, and then, if there are reasons, what each of its features
//! costs; the hub brings the latter only, since it adds what its own part gives by itself.

pub mod forest;
pub mod reasons;

use crate::correlate::Stock;
use crate::cost::Cost;
use crate::disclose::{self, Disclosure, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::psi::circuit::{self, Keep};
use crate::session::Session;
use engine::share::Share;
use reasons::Reasons;

/// The public shape of a scoring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The hub, which gets the points, and then the other holders: seat and number of distinct keys.
    pub tables: Vec<(Seat, usize)>,
    /// What is told of the features that cost the most.
    pub reasons: Option<Reasons>,
}

/// What the hub learns of each of its rows, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scored {
    /// The sum of what the spokes' parts give, of those that have its key.
    pub points: Vec<u64>,
    /// For each reason and row 0 if there is none, or one more than the number of the feature: the hub's come first, then
    /// those of each spoke.
    pub reasons: Vec<Vec<u64>>,
}

impl Shape {
    /// How many features there are of the table at a place, of those that may be reasons.
    fn n_features_of(&self, place: usize) -> usize {
        let features = self.reasons.as_ref().map(|r| &r.features);
        features
            .and_then(|f| f.get(place))
            .copied()
            .unwrap_or_default()
    }

    /// The shape of the join.
    #[must_use]
    pub fn join(&self) -> circuit::Shape {
        let n_columns = |place| usize::from(place > 0) + self.n_features_of(place);
        circuit::Shape::star(&self.tables, n_columns, Keep::Each)
    }

    /// The terms of the disclosure that [`score`] takes.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let seats: Vec<u8> = self.tables.iter().map(|(seat, _)| seat.0).collect();
        let reasons = self.reasons.iter().flat_map(Reasons::numbers);
        let reasons: Vec<u8> = reasons.flat_map(u64::to_le_bytes).collect();
        Terms::new(
            "entente/v1/terms/score",
            &[&seats, &reasons],
            &[self.tables[0].0],
        )
    }

    fn check(&self) -> Result<(), ProtocolError> {
        check_tables(&self.tables)?;
        match &self.reasons {
            Some(reasons) => reasons.check(self.tables.len()),
            None => Ok(()),
        }
    }

    /// Numbers that the hub learns of each bin.
    fn n_told(&self) -> usize {
        1 + self.reasons.as_ref().map_or(0, |r| r.n_reasons)
    }
}

/// Adds up what the holders' parts of a model give for each row of the hub, finds which features cost it the most, and
/// reveals both to it.
///
/// # Seats     the holders of the tables; all other computing seats call it too
/// # Inputs    `rows`: at the holders columns as the [module](self) says, costs less than 2^[`reasons::COST_BITS`];
///   elsewhere `None`; takes [`price`]; `disclosure`: of [`Shape::terms`]
/// # Output    [`Scored`] at the hub
/// # Cost      [`price`] and [`release_cost`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape, and the sums and reasons to the hub; with
///   one spoke the sums are what its part gives. Nobody else learns anything
/// # Errors    those of [`circuit::join`]; [`ProtocolError::NotApproved`] before anything is sent;
///   [`ProtocolError::CheckFailed`]
/// # Source    CRYPTO §4.6; a left join as in [`circuit`]; reasons as in [`reasons`]
pub async fn score(
    session: &mut Session,
    rows: Option<circuit::Rows>,
    shape: &Shape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Scored>, ProtocolError> {
    session.ended_by(shape.check())?;
    let seats = Seats::of(session);
    let needs = price(seats, shape).needs;
    disclose::admit(session, (&disclosure, &shape.terms()), (stock, &needs))?;
    let joined = circuit::join(session, &shape.join(), rows, stock).await?;
    let n_bins = shape.join().n_bins();
    let mut told = Share::zero(n_bins);
    let mut costs = joined.hub.narrow;
    for spoke in joined.spokes {
        let mut columns = spoke.narrow.into_iter();
        if let Some(given) = columns.next() {
            told.add_assign(&given);
        }
        costs.extend(columns);
    }
    if let Some(reasons) = &shape.reasons {
        told.append(reasons::find(session, costs, reasons, stock).await?);
    }
    let hub = shape.tables[0].0;
    let to = (hub, joined.places);
    let found = tell(session, (told, n_bins), to, disclosure).await?;
    Ok(found.map(|mut columns| Scored {
        reasons: columns.split_off(1),
        points: columns.pop().unwrap_or_default(),
    }))
}

/// The declared price of [`score`] but for revealing.
pub fn price(seats: Seats, shape: &Shape) -> Price {
    let join = circuit::price(seats, &shape.join());
    match &shape.reasons {
        None => join,
        Some(reasons) => join.then(&reasons::price(seats, shape.join().n_bins(), reasons)),
    }
}

/// The declared cost of what [`score`] reveals.
pub fn release_cost(seats: Seats, shape: &Shape) -> Cost {
    let n_told = shape.n_told() * shape.join().n_bins();
    told_cost(seats, n_told, shape.tables[0].0)
}

fn check_tables(tables: &[(Seat, usize)]) -> Result<(), ProtocolError> {
    match tables.len() {
        0 | 1 => Err(ProtocolError::InvalidInput {
            what: "a scoring has a hub and other holders",
        }),
        _ => Ok(()),
    }
}

/// Reveals columns of a join to its hub, which finds its rows in them.
async fn tell(
    session: &mut Session,
    (narrow, n_bins): (Share<u64>, usize),
    (hub, places): (Seat, Option<Vec<u32>>),
    disclosure: Disclosure,
) -> Result<Option<Vec<Vec<u64>>>, ProtocolError> {
    let hub = [hub];
    let part = disclosure.part(Terms::of_values(narrow.len(), 0, &hub));
    let values = Values {
        narrow,
        wide: Share::zero(0),
    };
    let found = reveal(session, values, &hub, part).await?;
    let places = places.unwrap_or_default();
    Ok(found.map(|found| {
        let of = |column: &[u64]| places.iter().map(|place| column[*place as usize]).collect();
        found.narrow.chunks_exact(n_bins).map(of).collect()
    }))
}

/// The declared cost of so many numbers that the hub learns.
fn told_cost(seats: Seats, n_told: usize, hub: Seat) -> Cost {
    disclose::cost(seats.n_seats, seats.n_computing, n_told, 0, &[hub])
}
