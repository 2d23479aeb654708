//! Keeps what one seat sent and received, and replays it to a seat that runs alone.
//!
//! Tests read transcripts to see what left a party. Benches replay them: one party runs against
//! recorded answers, so that a small machine measures one party and not all of them at once.

use super::{BoxFuture, Frame, FrameShape, Inlet, LinkHalves, Network, Outlet};
use crate::error::LinkError;
use crate::party::Seat;
use crate::path::PathId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the recorded seat to the peer.
    Sent,
    /// From the peer to the recorded seat.
    Received,
}

/// One frame as the recorded seat saw it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which way it went.
    pub direction: Direction,
    /// The seat at the other end.
    pub peer: Seat,
    /// The path it belongs to.
    pub path: PathId,
    /// The frame.
    pub frame: Frame,
}

/// Everything that one seat sent and received, in order.
pub type Transcript = Vec<Entry>;

/// A network that keeps a copy of every frame.
pub struct Recorder {
    inner: Arc<dyn Network>,
    log: Log,
}

/// The record of a [`Recorder`], readable while it runs and after.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Transcript>>);

impl Log {
    /// What was recorded so far.
    pub fn transcript(&self) -> Transcript {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn push(&self, entry: Entry) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(entry);
    }
}

impl Recorder {
    /// Records what one seat does on `inner`.
    pub fn new(inner: Arc<dyn Network>) -> (Self, Log) {
        let log = Log::default();
        (
            Self {
                inner,
                log: log.clone(),
            },
            log,
        )
    }
}

impl Network for Recorder {
    fn open<'a>(
        &'a self,
        peer: Seat,
        path: PathId,
    ) -> BoxFuture<'a, Result<LinkHalves, LinkError>> {
        Box::pin(async move {
            let (outlet, inlet) = self.inner.open(peer, path).await?;
            let outlet = RecordedOutlet {
                peer,
                path,
                outlet,
                log: self.log.clone(),
            };
            let inlet = RecordedInlet {
                peer,
                path,
                inlet,
                log: self.log.clone(),
            };
            Ok((
                Box::new(outlet) as Box<dyn Outlet>,
                Box::new(inlet) as Box<dyn Inlet>,
            ))
        })
    }
}

struct RecordedOutlet {
    peer: Seat,
    path: PathId,
    outlet: Box<dyn Outlet>,
    log: Log,
}

impl Outlet for RecordedOutlet {
    fn send<'a>(&'a mut self, frame: Frame) -> BoxFuture<'a, Result<(), LinkError>> {
        Box::pin(async move {
            self.outlet.send(frame.clone()).await?;
            let (peer, path) = (self.peer, self.path);
            self.log.push(Entry {
                direction: Direction::Sent,
                peer,
                path,
                frame,
            });
            Ok(())
        })
    }
}

struct RecordedInlet {
    peer: Seat,
    path: PathId,
    inlet: Box<dyn Inlet>,
    log: Log,
}

impl Inlet for RecordedInlet {
    fn recv<'a>(&'a mut self, expected: FrameShape) -> BoxFuture<'a, Result<Frame, LinkError>> {
        Box::pin(async move {
            let frame = self.inlet.recv(expected).await?;
            let (peer, path) = (self.peer, self.path);
            self.log.push(Entry {
                direction: Direction::Received,
                peer,
                path,
                frame: frame.clone(),
            });
            Ok(frame)
        })
    }
}

/// A network that answers one seat from its transcript and discards what the seat sends.
///
/// The seat must run the same program with the same seeds, or it will not like the answers.
pub struct Replay {
    received: BTreeMap<(Seat, PathId), VecDeque<Frame>>,
}

impl Replay {
    /// Prepares the answers. Bodies are shared with the transcript, not copied.
    pub fn new(transcript: &[Entry]) -> Self {
        let mut received: BTreeMap<_, VecDeque<Frame>> = BTreeMap::new();
        for entry in transcript
            .iter()
            .filter(|e| e.direction == Direction::Received)
        {
            received
                .entry((entry.peer, entry.path))
                .or_default()
                .push_back(entry.frame.clone());
        }
        Self { received }
    }
}

impl Network for Replay {
    fn open<'a>(
        &'a self,
        peer: Seat,
        path: PathId,
    ) -> BoxFuture<'a, Result<LinkHalves, LinkError>> {
        let frames = self
            .received
            .get(&(peer, path))
            .cloned()
            .unwrap_or_default();
        let halves: LinkHalves = (Box::new(Discard), Box::new(Answers { frames }));
        Box::pin(std::future::ready(Ok(halves)))
    }
}

struct Discard;

impl Outlet for Discard {
    fn send<'a>(&'a mut self, _frame: Frame) -> BoxFuture<'a, Result<(), LinkError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

struct Answers {
    frames: VecDeque<Frame>,
}

impl Inlet for Answers {
    fn recv<'a>(&'a mut self, expected: FrameShape) -> BoxFuture<'a, Result<Frame, LinkError>> {
        let next = self.frames.pop_front().ok_or(LinkError::Closed);
        let checked = next.and_then(|frame| {
            expected.admit(&frame)?;
            Ok(frame)
        });
        Box::pin(std::future::ready(checked))
    }
}
