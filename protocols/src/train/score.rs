//! Points of the hub's rows by a model of which each holder has a part: sums of what each holder's part gives.

use crate::correlate::Stock;
use crate::cost::Cost;
use crate::disclose::{self, Disclosure, Terms, Values, reveal};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::price::{Price, Seats};
use crate::psi::circuit::{self, Keep};
use crate::session::Session;
use engine::share::Share;

/// The public shape of a scoring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The hub, which gets the points, and then the other holders: seat and number of distinct keys.
    pub tables: Vec<(Seat, usize)>,
}

impl Shape {
    /// The shape of the join.
    #[must_use]
    pub fn join(&self) -> circuit::Shape {
        // What the hub's own part gives, it adds by itself.
        circuit::Shape::star(&self.tables, |place| usize::from(place > 0), Keep::Each)
    }

    /// The terms of the disclosure that [`score`] takes.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let seats: Vec<u8> = self.tables.iter().map(|(seat, _)| seat.0).collect();
        Terms::new("entente/v1/terms/score", &[&seats], &[self.tables[0].0])
    }
}

/// Adds up what the holders' parts of a model give for each row of the hub, and reveals the sums to it.
///
/// # Seats     the holders of the tables; all other computing seats call it too
/// # Inputs    `rows`: at the spokes one column over Z_2^64, what their part gives; at the hub none; elsewhere
///   `None`; takes [`price`]; `disclosure`: of [`Shape::terms`]
/// # Output    at the hub, for each of its rows in order, the sum over the spokes that have its key
/// # Cost      [`price`] and [`release_cost`]
/// # Security  semi-honest, all but one seat may be corrupt; reveals the shape, and the sums to the hub; with one
///   spoke these are what its part gives. Nobody else learns anything
/// # Errors    those of [`circuit::join`]; [`ProtocolError::NotApproved`] before anything is sent;
///   [`ProtocolError::CheckFailed`]
/// # Source    CRYPTO §4.6; a left join as in [`circuit`]
pub async fn score(
    session: &mut Session,
    rows: Option<circuit::Rows>,
    shape: &Shape,
    stock: &mut Stock,
    disclosure: Disclosure,
) -> Result<Option<Vec<u64>>, ProtocolError> {
    if shape.tables.len() < 2 {
        return session.ended_by(Err(ProtocolError::InvalidInput {
            what: "a scoring has a hub and other holders",
        }));
    }
    let seats = Seats::of(session);
    let needs = price(seats, shape).needs;
    disclose::admit(session, (&disclosure, &shape.terms()), (stock, &needs))?;
    let joined = circuit::join(session, &shape.join(), rows, stock).await?;
    let parts = joined.spokes.iter().map(|spoke| &spoke.narrow[0]);
    let sums = parts.fold(Share::zero(shape.join().n_bins()), |mut sums, part| {
        sums.add_assign(part);
        sums
    });
    let hub = [shape.tables[0].0];
    let part = disclosure.part(Terms::of_values(sums.len(), 0, &hub));
    let values = Values {
        narrow: sums,
        wide: Share::zero(0),
    };
    let found = reveal(session, values, &hub, part).await?;
    let places = joined.places.unwrap_or_default();
    Ok(found.map(|found| {
        let at = |place: &u32| found.narrow[*place as usize];
        places.iter().map(at).collect()
    }))
}

/// The declared price of [`score`] but for revealing.
pub fn price(seats: Seats, shape: &Shape) -> Price {
    circuit::price(seats, &shape.join())
}

/// The declared cost of what [`score`] reveals.
pub fn release_cost(seats: Seats, shape: &Shape) -> Cost {
    let hub = [shape.tables[0].0];
    let n_bins = shape.join().n_bins();
    disclose::cost(seats.n_seats, seats.n_computing, n_bins, 0, &hub)
}
