//! The one place where frames leave and enter a session.

use super::concurrent::{try_all, try_both};
use super::{Link, Session, Shared};
use crate::error::ProtocolError;
use crate::net::{Inlet, Outlet};
use crate::party::Seat;
use crate::stamp::Stamp;
use crate::wire::{Frame, FrameShape, Kind};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

/// One round of messages: the same number of chunks to every seat in `to` and from every seat in
/// `from`.
pub(super) struct Transfer<'a> {
    pub(super) to: &'a [Seat],
    pub(super) from: &'a [Seat],
    pub(super) kind: Kind,
    pub(super) n_chunks: usize,
    /// The body of a chunk for a seat. Called chunk by chunk, and for each chunk seat by seat.
    pub(super) make: &'a mut (dyn FnMut(Seat, usize) -> Bytes + Send),
    /// The exact length of a chunk from a seat.
    pub(super) len: &'a (dyn Fn(Seat, usize) -> usize + Sync),
    /// Gets each chunk, chunk by chunk, and for each chunk seat by seat; after `make` was called for
    /// the chunk of the same number.
    pub(super) take: Take<'a>,
}

pub(super) type Take<'a> =
    &'a mut (dyn FnMut(Seat, usize, Bytes) -> Result<(), ProtocolError> + Send);

impl Session {
    /// Sends and receives at the same time. An error ends the session.
    pub(super) async fn transfer(&mut self, transfer: Transfer<'_>) -> Result<(), ProtocolError> {
        let operation = self.begin();
        let outcome = operation.session.try_transfer(transfer).await;
        operation.done();
        self.ended_by(outcome)
    }

    async fn try_transfer(&mut self, transfer: Transfer<'_>) -> Result<(), ProtocolError> {
        for seat in transfer.to.iter().chain(transfer.from) {
            self.open_link(*seat).await?;
        }
        let (outlets, inlets) = halves(&mut self.links, transfer.to, transfer.from);
        let kind = transfer.kind as u16;
        let sending = Sending {
            shared: &self.shared,
            outlets,
            kind,
            // All chunks of a round have one stamp: a later one does not wait for an answer.
            stamp: self.clock.next(),
        };
        let receiving = Receiving {
            shared: &self.shared,
            inlets,
            kind,
        };
        let n_made = AtomicUsize::new(0);
        let ((), latest) = try_both(
            sending.run(transfer.n_chunks, transfer.make, &n_made),
            receiving.run(transfer.n_chunks, transfer.len, transfer.take, &n_made),
        )
        .await?;
        self.clock.raise(latest);
        Ok(())
    }
}

type OutletTo<'a> = (Seat, &'a mut Box<dyn Outlet>);
type InletFrom<'a> = (Seat, &'a mut Box<dyn Inlet>);

/// The halves of the links that a transfer uses, in the order of seats.
fn halves<'a>(
    links: &'a mut BTreeMap<Seat, Link>,
    to: &[Seat],
    from: &[Seat],
) -> (Vec<OutletTo<'a>>, Vec<InletFrom<'a>>) {
    let mut outlets = Vec::with_capacity(to.len());
    let mut inlets = Vec::with_capacity(from.len());
    for (seat, link) in links {
        if to.contains(seat) {
            outlets.push((*seat, &mut link.outlet));
        }
        if from.contains(seat) {
            inlets.push((*seat, &mut link.inlet));
        }
    }
    (outlets, inlets)
}

struct Sending<'a> {
    shared: &'a Shared,
    outlets: Vec<OutletTo<'a>>,
    kind: u16,
    stamp: Stamp,
}

impl Sending<'_> {
    async fn run(
        mut self,
        n_chunks: usize,
        make: &mut (dyn FnMut(Seat, usize) -> Bytes + Send),
        n_made: &AtomicUsize,
    ) -> Result<(), ProtocolError> {
        for chunk in 0..n_chunks {
            let sends = self.outlets.iter_mut().map(|(seat, outlet)| {
                let (seat, stamp, kind) = (*seat, self.stamp, self.kind);
                let body = make(seat, chunk);
                let n_bytes = body.len();
                let send = outlet.send(Frame { stamp, kind, body });
                let meter = &self.shared.meter;
                async move {
                    send.await.map_err(|e| ProtocolError::from_link(seat, e))?;
                    meter.sent(seat, n_bytes, stamp);
                    Ok(())
                }
            });
            let sends: Vec<_> = sends.collect();
            n_made.store(chunk + 1, Ordering::Relaxed);
            try_all(sends.into_iter()).await?;
        }
        Ok(())
    }
}

/// Waits until this seat has made its own chunk of this number, so that `take` may overwrite what
/// `make` has read.
///
/// No waker is needed: both halves of a transfer run in one task, the sending half first, and
/// whatever lets that half go on wakes the task. Nor can seats wait for each other in a circle. Of
/// all chunks that somebody has yet to take, consider the first: everybody has taken all before
/// it, so nobody's sending of those is held up, so it is made and sent everywhere.
async fn until_made(chunk: usize, n_made: &AtomicUsize) {
    poll_fn(|_| match n_made.load(Ordering::Relaxed) > chunk {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

struct Receiving<'a> {
    shared: &'a Shared,
    inlets: Vec<InletFrom<'a>>,
    kind: u16,
}

impl Receiving<'_> {
    /// Returns the latest stamp of what arrived.
    async fn run(
        mut self,
        n_chunks: usize,
        len: &(dyn Fn(Seat, usize) -> usize + Sync),
        take: Take<'_>,
        n_made: &AtomicUsize,
    ) -> Result<Stamp, ProtocolError> {
        let mut latest = Stamp::default();
        for chunk in 0..n_chunks {
            let receipts = self.inlets.iter_mut().map(|(seat, inlet)| {
                let seat = *seat;
                let expected = FrameShape {
                    kind: self.kind,
                    len: len(seat, chunk),
                };
                let receipt = inlet.recv(expected);
                let meter = &self.shared.meter;
                async move {
                    let frame = receipt
                        .await
                        .map_err(|e| ProtocolError::from_link(seat, e))?;
                    let fits = expected.admit(&frame);
                    fits.map_err(|e| ProtocolError::from_wire(seat, e))?;
                    meter.received(seat, frame.body.len(), frame.stamp);
                    Ok((seat, frame))
                }
            });
            let received = try_all(receipts).await?;
            until_made(chunk, n_made).await;
            for (seat, frame) in received {
                latest.raise(frame.stamp);
                take(seat, chunk, frame.body)?;
            }
        }
        Ok(latest)
    }
}
