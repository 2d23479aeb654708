//! Changes one message of one seat, as a peer that does not follow the protocol might.
//!
//! Links of real networks are authenticated, so nobody between two parties can do this. The party
//! at the other end can, and no message of its choice may make an honest seat panic or hang.

use super::{BoxFuture, Frame, LinkHalves, Network, Outlet};
use crate::error::LinkError;
use crate::party::Seat;
use crate::path::PathId;
use bytes::Bytes;
use engine::prg::{Prg, Seed};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What to do to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Flip this bit of the body, counted modulo its length. In an empty body, flip a bit of the kind.
    FlipBit(u64),
    /// Send another kind.
    Kind,
    /// Leave out the last byte of the body, or add one to an empty body.
    Shorten,
    /// Add a byte to the body.
    Lengthen,
    /// Send noise of the same length instead of the body, drawn from this seed.
    Noise(u64),
    /// Claim the greatest depth and time there is.
    Stamp,
}

/// A network that changes message number `at_message` of its seat, counted from 0 over all peers.
pub struct Tampered {
    inner: Arc<dyn Network>,
    at_message: u64,
    change: Change,
    n_sent: Arc<AtomicU64>,
}

impl Tampered {
    /// Tampers with what one seat sends on `inner`.
    pub fn new(inner: Arc<dyn Network>, at_message: u64, change: Change) -> Self {
        Self {
            inner,
            at_message,
            change,
            n_sent: Arc::default(),
        }
    }
}

impl Network for Tampered {
    fn open<'a>(
        &'a self,
        peer: Seat,
        path: PathId,
    ) -> BoxFuture<'a, Result<LinkHalves, LinkError>> {
        Box::pin(async move {
            let (outlet, inlet) = self.inner.open(peer, path).await?;
            let outlet = TamperedOutlet {
                outlet,
                at_message: self.at_message,
                change: self.change,
                n_sent: self.n_sent.clone(),
            };
            Ok((Box::new(outlet) as Box<dyn Outlet>, inlet))
        })
    }
}

struct TamperedOutlet {
    outlet: Box<dyn Outlet>,
    at_message: u64,
    change: Change,
    n_sent: Arc<AtomicU64>,
}

impl Outlet for TamperedOutlet {
    fn send<'a>(&'a mut self, frame: Frame) -> BoxFuture<'a, Result<(), LinkError>> {
        let number = self.n_sent.fetch_add(1, Ordering::Relaxed);
        let frame = if number == self.at_message {
            self.change.apply(frame)
        } else {
            frame
        };
        self.outlet.send(frame)
    }
}

impl Change {
    fn apply(self, mut frame: Frame) -> Frame {
        let mut body = frame.body.to_vec();
        match self {
            Self::FlipBit(bit) => match body.len() as u64 * 8 {
                0 => frame.kind ^= 1,
                n_bits => body[(bit % n_bits / 8) as usize] ^= 1 << (bit % 8),
            },
            Self::Kind => frame.kind = !frame.kind,
            Self::Shorten if body.is_empty() => body.push(0),
            Self::Shorten => body.truncate(body.len() - 1),
            Self::Lengthen => body.push(0),
            Self::Noise(seed) => {
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&seed.to_le_bytes());
                Prg::new(&Seed::from_bytes(bytes), 0).fill_bytes(&mut body);
            }
            Self::Stamp => {
                frame.stamp.depth = u32::MAX;
                frame.stamp.time_ns = u64::MAX;
            }
        }
        frame.body = Bytes::from(body);
        frame
    }
}
