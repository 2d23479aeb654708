//! Statistics, held to their plain counterparts and to all demands on a protocol.

mod extreme;
mod quantile;
mod select;
mod weighted;
mod distinct;
mod different;
mod group;
mod coded;
mod top;
mod rank;
mod survival;
mod noisy;
mod rounded;
mod metered;

use crate::arith::{Clear, Shared};
use crate::world::World;
use engine::share::Share;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::session::Session;

/// The last two seats get what these tests release.
fn receivers(n_computing: usize) -> Vec<Seat> {
    Seat::first(n_computing).skip(n_computing - 2).collect()
}

/// No test releases as many rows.
const MAX_ROWS: usize = 256;

/// Released columns, preceded by their length and filled up with zeros, so that they can be compared
/// like shares.
fn released(columns: impl IntoIterator<Item = Vec<u128>>) -> Clear<u128> {
    let mut all: Vec<Vec<u128>> = columns.into_iter().collect();
    let n_rows = all[0].len();
    assert!(all.iter().all(|c| c.len() == n_rows) && n_rows <= MAX_ROWS);
    all.push(vec![n_rows as u128]);
    all.iter_mut().for_each(|c| c.resize(MAX_ROWS, 0));
    Clear::of_ring(all)
}

/// What a receiver got, as a share: the last seat's whole result, and zeros at the others. Fails if
/// somebody else got something, or a receiver nothing.
fn at_receiver(
    session: &Session,
    found: Option<Clear<u128>>,
    n_columns: usize,
) -> Result<Shared<u128>, ProtocolError> {
    let is_receiver = receivers(session.n_computing()).contains(&session.seat());
    assert_eq!(found.is_some(), is_receiver, "receivers and nobody else");
    let is_last = session.seat().index() + 1 == session.n_computing();
    let columns = match found {
        Some(found) if is_last => found.ring,
        _ => vec![vec![0; MAX_ROWS]; n_columns + 1],
    };
    Ok(Shared {
        ring: columns.into_iter().map(Share::new).collect(),
        bits: vec![],
    })
}

/// A release of two seats that was approved otherwise ends before anything is sent.
fn check_not_approved<T>(
    what: &str,
    release: impl AsyncFn(&mut Session) -> Result<T, ProtocolError>,
) {
    for ended in World::new(2, 45).run(release) {
        let error = ended.outcome.map(|_| ()).expect_err(what);
        let is_refused = matches!(error, ProtocolError::NotApproved { .. });
        assert!(is_refused, "{what}: {error}");
        assert_eq!(ended.traffic.messages_sent, [0, 0], "{what}");
    }
}
