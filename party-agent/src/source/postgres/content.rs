//! What a table in a database holds, as a digest that does not depend on the order in which rows come.

use std::pin::pin;

use coordinator::contract::Digest;
use futures::StreamExt;

use super::connection::Link;
use super::copy::{HEADER_BYTES, tuple_end};
use super::{PgColumn, Place, copy_statement};
use crate::source::SourceError;

/// SHA-256 of the names of the usable columns, as a JSON array with a line feed after it, and of the SHA-256 of every row in ascending order.
/// A row is its tuple of binary COPY: columns in the table's order. Takes 32 bytes of memory a row.
pub(super) async fn digest(
    link: &Link,
    place: &Place,
    columns: &[PgColumn],
) -> Result<Digest, SourceError> {
    let sql = copy_statement(place, columns, &[]);
    let copy = link.client().copy_out(&sql).await;
    let mut copy = pin!(copy.map_err(|e| link.fault(&e))?);
    let mut rows = Rows::default();
    while let Some(bytes) = copy.next().await {
        rows.push(&bytes.map_err(|e| link.fault(&e))?);
    }
    let rows = rows.ended().ok_or_else(|| SourceError::Database {
        table: place.name.clone(),
        what: "the answer to COPY is cut short".to_owned(),
        advice: "check the server's log",
    })?;
    let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
    let mut all = serde_json::to_vec(&names).expect("texts have a JSON form");
    all.push(b'\n');
    all.extend_from_slice(rows.as_flattened());
    Ok(Digest::of(&all))
}

/// The digests of the rows that have come.
#[derive(Default)]
struct Rows {
    digests: Vec<[u8; 32]>,
    buffer: Vec<u8>,
    has_begun: bool,
    has_ended: bool,
}

impl Rows {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        let mut done = 0;
        if !self.has_begun && self.buffer.len() >= HEADER_BYTES {
            (self.has_begun, done) = (true, HEADER_BYTES);
        }
        while self.has_begun
            && !self.has_ended
            && let Some(length) = tuple_end(&self.buffer[done..])
        {
            let tuple = &self.buffer[done..done + length];
            // A count of -1 columns ends the rows.
            match tuple.starts_with(&[0xff, 0xff]) {
                true => self.has_ended = true,
                false => self.digests.push(Digest::of(tuple).0),
            }
            done += length;
        }
        self.buffer.drain(..done);
    }

    /// In ascending order, if all have come.
    fn ended(mut self) -> Option<Vec<[u8; 32]>> {
        self.digests.sort_unstable();
        self.has_ended.then_some(self.digests)
    }
}
