//! An encrypted table on its way to an asker, who keeps it: each state of a table is sent once.
//!
//! ```text
//! round 1   asker → holder   the digest of the table that it has from an earlier session, or zeros
//!       2   holder → asker   shape, public key, whether records follow; and the records, unless the
//!                            asker has this very table
//! ```

use super::table::{RECORD_OVERHEAD, SealedTable, TableShape};
use super::{Header, Sent, one, rule};
use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::stream::{Consumer, Producer};
use crate::session::{Chunks, Session};
use crate::wire::{Kind, Wire, WireError, bytes_message};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of records in one message.
const CHUNK_RECORD_BYTES: usize = 1 << 20;

/// Sends an encrypted table to an asker who has not got it yet. Returns whether it went out.
///
/// # Seats     this one; `asker` calls [`receive_table`]
/// # Inputs    `table`
/// # Output    false if the asker has this very table from an earlier session
/// # Cost      2 rounds; 32 bytes to this seat and 53 back; and 50 bytes more than a value for each
///   record if it goes out; [`table_cost`]
/// # Security  semi-honest; reveals the number of records, the length of values, the version, and
///   which records an asker has that it had in another version under the same number; to this seat,
///   which table the asker has of those that this seat has sent it
/// # Errors    [`ProtocolError::Link`]
/// # Source    CRYPTO §5, PIR-A; OPRF-encrypted key-value store
pub async fn ship(
    session: &mut Session,
    asker: Seat,
    table: Arc<SealedTable>,
) -> Result<bool, ProtocolError> {
    let Known(known) = session.recv(asker, ()).await?;
    let follows = known != *table.digest();
    let header = Header {
        shape: *table.shape(),
        public: *table.public(),
    };
    session.send(asker, Offer { header, follows }).await?;
    if follows {
        let chunks = record_chunks(table.shape());
        let records = OutgoingRecords { table };
        session.stream_to(asker, chunks, records).await?;
    }
    Ok(follows)
}

/// Receives an encrypted table from `holder`, who calls [`ship`], whose documentation has the rest.
///
/// # Seats     this one; `holder` calls [`ship`]
/// # Inputs    `at_most`: the largest table that this party takes; `known`: the table that it has from an
///   earlier session, if it has one
/// # Output    the table, which is the known one if the holder has no other. Its
///   [`SealedTable::public`] key is what all answers are held to
/// # Cost      see [`ship`]
/// # Security  see [`ship`]
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] if the table is larger than
///   `at_most`, before anything is set aside for it, or not in order, or said to be known and is not
/// # Source    see [`ship`]
pub async fn receive_table(
    session: &mut Session,
    holder: Seat,
    at_most: &TableShape,
    known: Option<Arc<SealedTable>>,
) -> Result<Arc<SealedTable>, ProtocolError> {
    let outcome = try_receive_table(session, holder, at_most, known).await;
    session.ended_by(outcome)
}

async fn try_receive_table(
    session: &mut Session,
    holder: Seat,
    at_most: &TableShape,
    known: Option<Arc<SealedTable>>,
) -> Result<Arc<SealedTable>, ProtocolError> {
    let digest = known.as_ref().map_or(NOTHING, |table| *table.digest());
    session.send(holder, Known(digest)).await?;
    let Offer { header, follows } = session.recv(holder, ()).await?;
    let Header { shape, public } = header;
    let fits = shape.n_records <= at_most.n_records && shape.value_bytes <= at_most.value_bytes;
    if !fits {
        return Err(rule(holder, "its table is larger than was agreed on"));
    }
    if !follows {
        let same = known.filter(|table| *table.shape() == shape && *table.public() == public);
        return same.ok_or_else(|| rule(holder, "it says that a table is known, which is not"));
    }
    let incoming = IncomingRecords {
        shape,
        records: Vec::new(),
    };
    let chunks = record_chunks(&shape);
    let incoming = session.stream_from(holder, chunks, incoming).await?;
    let kernel = move || SealedTable::from_parts(shape, public, incoming.records);
    let table = session.compute().run(kernel).await;
    let table = table.ok_or_else(|| rule(holder, "its table is not in order"))?;
    Ok(Arc::new(table))
}

/// The declared cost of [`ship`], with or without records.
pub fn table_cost(
    n_seats: usize,
    holder: Seat,
    asker: Seat,
    shape: &TableShape,
    follows: bool,
) -> Cost {
    let rounds = table_rounds(holder, asker, shape, follows).into_iter();
    rounds.fold(Cost::none(n_seats), |cost, sent| {
        cost.then(&Cost::round(n_seats, sent))
    })
}

/// What is sent in each round.
pub(super) fn table_rounds(
    holder: Seat,
    asker: Seat,
    shape: &TableShape,
    follows: bool,
) -> [Vec<Sent>; 2] {
    let records = Stream::of(record_chunks(shape), shape.value_bytes + RECORD_OVERHEAD);
    let mut back = vec![(holder, asker, one(Offer::BYTES))];
    back.extend(follows.then_some((holder, asker, records)));
    [vec![(asker, holder, one(NOTHING.len()))], back]
}

fn record_chunks(shape: &TableShape) -> Chunks {
    Chunks {
        n_items: shape.n_records,
        chunk_items: (CHUNK_RECORD_BYTES / (shape.value_bytes + RECORD_OVERHEAD)).max(1),
    }
}

struct OutgoingRecords {
    table: Arc<SealedTable>,
}

impl Producer for OutgoingRecords {
    type Message = Records;

    fn make(&mut self, items: Range<usize>) -> Result<Records, ProtocolError> {
        let body = Bytes::copy_from_slice(self.table.records(items));
        Ok(Records { body })
    }
}

struct IncomingRecords {
    shape: TableShape,
    records: Vec<u8>,
}

impl Consumer for IncomingRecords {
    type Message = Records;

    fn shape(&self, n_items: usize) -> usize {
        n_items * (self.shape.value_bytes + RECORD_OVERHEAD)
    }

    fn take(&mut self, _: Range<usize>, Records { body }: Records) -> Result<(), ProtocolError> {
        self.records.extend_from_slice(&body);
        Ok(())
    }
}

/// The digest of nobody's table.
const NOTHING: [u8; 32] = [0; 32];

/// The digest of the table that an asker has.
struct Known([u8; 32]);

impl Wire for Known {
    const KIND: Kind = Kind::Known;
    type Shape = ();

    fn wire_len((): ()) -> usize {
        NOTHING.len()
    }

    fn encode(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    fn decode((): (), body: Bytes) -> Result<Self, WireError> {
        let digest = body[..].try_into();
        Ok(Self(digest.expect("the session checked the length")))
    }
}

/// What is told of a table, and whether its records follow.
struct Offer {
    header: Header,
    follows: bool,
}

impl Offer {
    const BYTES: usize = Header::BYTES + 1;
}

impl Wire for Offer {
    const KIND: Kind = Kind::Table;
    type Shape = ();

    fn wire_len((): ()) -> usize {
        Self::BYTES
    }

    fn encode(self) -> Bytes {
        [&self.header.encode()[..], &[u8::from(self.follows)]]
            .concat()
            .into()
    }

    fn decode((): (), mut body: Bytes) -> Result<Self, WireError> {
        let follows = match body.split_off(Header::BYTES)[..] {
            [0] => false,
            [1] => true,
            _ => {
                return Err(WireError::Content {
                    what: "neither yes nor no",
                });
            }
        };
        let header = Header::decode((), body)?;
        Ok(Self { header, follows })
    }
}

bytes_message! {
    /// Encrypted records; the shape is their length.
    Records, Records, |n_bytes| n_bytes
}
