//! What an asker must know of a table before it can ask for sums: how long it is, and the public key of this version.

use super::{Header, rule};
use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::lookup::table::TableShape;
use crate::party::Seat;
use crate::session::Session;
use engine::curve::Encoded;

/// Tells `asker` what it must know of this seat's table.
///
/// # Seats     this one; `asker` calls [`meet`]
/// # Inputs    `shape`: the table's; `public`: the key to which answers are held
/// # Output    nothing
/// # Cost      1 round; 52 bytes; [`cost`]
/// # Security  semi-honest; reveals the number of records, the length of values and the version
/// # Errors    [`ProtocolError::Link`]
/// # Source    none: public facts are sent
pub async fn introduce(
    session: &mut Session,
    asker: Seat,
    shape: TableShape,
    public: &Encoded,
) -> Result<(), ProtocolError> {
    let header = Header {
        shape,
        public: *public,
    };
    session.send(asker, header).await
}

/// Hears of `holder`'s table, who calls [`introduce`], whose documentation has the rest.
///
/// # Seats     this one; `holder` calls [`introduce`]
/// # Inputs    `at_most`: the most records that this party prepares for
/// # Output    the table's shape and its public key
/// # Cost      see [`introduce`]
/// # Security  see [`introduce`]
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] if there are more records than `at_most`,
///   before anything is set aside for them
/// # Source    see [`introduce`]
pub async fn meet(
    session: &mut Session,
    holder: Seat,
    at_most: usize,
) -> Result<(TableShape, Encoded), ProtocolError> {
    let Header { shape, public } = session.recv(holder, ()).await?;
    let met = match shape.n_records <= at_most {
        true => Ok((shape, public)),
        false => Err(rule(holder, "its table is larger than was agreed on")),
    };
    session.ended_by(met)
}

/// The declared cost of [`introduce`].
pub fn cost(n_seats: usize, holder: Seat, asker: Seat) -> Cost {
    let header = Stream {
        n_bytes: Header::BYTES as u64,
        n_messages: 1,
    };
    Cost::round(n_seats, [(holder, asker, header)])
}
