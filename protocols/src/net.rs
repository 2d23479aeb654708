//! The links between seats, as a protocol sees them.
//!
//! A [`Network`] is one seat's way to its peers. For each peer and path it opens two halves, an
//! [`Outlet`] and an [`Inlet`], because an exchange must send and receive at once. The traits are
//! object-safe and name no runtime.
//!
//! Networks: [`memory`]; [`sim`], which adds bandwidth, delay and failures on a virtual clock;
//! QUIC, in the party agent. Two more wrap any of them: [`record`] keeps the transcript and replays
//! it to one party, [`tamper`] changes one message.
//!
//! No network queues without bound: when a peer does not read, `send` waits.

pub mod memory;
pub mod sim;
pub mod record;
pub mod tamper;

use crate::error::LinkError;
use crate::party::Seat;
use crate::path::PathId;
pub use crate::wire::{Frame, FrameShape};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A future behind a pointer, as object-safe traits need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Both halves of a link.
pub type LinkHalves = (Box<dyn Outlet>, Box<dyn Inlet>);

/// One seat's way to all its peers.
///
/// When a network is dropped, peers receive what was already sent to them, and then
/// [`LinkError::Closed`].
pub trait Network: Send + Sync {
    /// Opens the link to `peer` for `path`. Each side opens it for itself, and once.
    ///
    /// This must not wait for the peer: two seats may open their paths in different orders.
    fn open<'a>(&'a self, peer: Seat, path: PathId)
    -> BoxFuture<'a, Result<LinkHalves, LinkError>>;
}

/// A network that several owners share.
impl<N: Network + ?Sized> Network for Arc<N> {
    fn open<'a>(
        &'a self,
        peer: Seat,
        path: PathId,
    ) -> BoxFuture<'a, Result<LinkHalves, LinkError>> {
        (**self).open(peer, path)
    }
}

/// The sending half of a link.
///
/// Dropping it ends the stream, and what was sent before still arrives: a seat that has sent its
/// last message and is done must not take that message with it.
pub trait Outlet: Send {
    /// Sends one frame. Waits while the peer does not read; returns when the frame is on its way,
    /// not when it has arrived. Frames arrive in the order of sending.
    fn send<'a>(&'a mut self, frame: Frame) -> BoxFuture<'a, Result<(), LinkError>>;
}

/// The receiving half of a link.
pub trait Inlet: Send {
    /// Receives the next frame, whose kind and exact length the caller knows.
    ///
    /// An inlet that reads a byte stream checks the header ([`FrameHeader::admit`]) before it sets
    /// memory aside, and reports a mismatch as [`LinkError::Malformed`].
    ///
    /// [`FrameHeader::admit`]: crate::wire::FrameHeader::admit
    fn recv<'a>(&'a mut self, expected: FrameShape) -> BoxFuture<'a, Result<Frame, LinkError>>;
}
