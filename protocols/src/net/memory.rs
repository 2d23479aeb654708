//! Seats in one process, joined by bounded queues.

mod queue;

use super::{BoxFuture, Frame, FrameShape, Inlet, LinkHalves, Network, Outlet};
use crate::error::LinkError;
use crate::party::Seat;
use crate::path::PathId;
use queue::Queue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Frames that one direction of one path holds before its sender waits.
pub const DEFAULT_CAPACITY: usize = 8;

/// One seat's end of a network in memory.
pub struct MemoryNetwork {
    seat: Seat,
    hub: Arc<Hub>,
}

/// A network of `n_seats` seats, one end for each, with queues of [`DEFAULT_CAPACITY`].
pub fn network(n_seats: usize) -> Vec<MemoryNetwork> {
    network_with_capacity(n_seats, DEFAULT_CAPACITY)
}

/// A network whose queues hold `capacity` frames.
///
/// # Panics
///
/// If `capacity` is 0: then no frame could ever be sent.
pub fn network_with_capacity(n_seats: usize, capacity: usize) -> Vec<MemoryNetwork> {
    assert!(capacity > 0, "a queue holds at least one frame");
    let hub = Arc::new(Hub {
        n_seats,
        capacity,
        state: Mutex::default(),
    });
    Seat::first(n_seats)
        .map(|seat| MemoryNetwork {
            seat,
            hub: hub.clone(),
        })
        .collect()
}

/// What all ends share.
struct Hub {
    n_seats: usize,
    capacity: usize,
    state: Mutex<HubState>,
}

#[derive(Default)]
struct HubState {
    /// Queues by (from, to, path). Bounded by the number of paths that protocols open.
    queues: BTreeMap<(Seat, Seat, PathId), Arc<Queue>>,
    /// Links that were opened, as (seat, peer, path).
    opened: BTreeSet<(Seat, Seat, PathId)>,
    /// Seats that have left.
    gone: BTreeSet<Seat>,
}

impl Hub {
    fn open(&self, seat: Seat, peer: Seat, path: PathId) -> Result<LinkHalves, LinkError> {
        if peer == seat || peer.index() >= self.n_seats {
            return Err(LinkError::NoSuchPeer);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.opened.insert((seat, peer, path)) {
            return Err(LinkError::AlreadyOpen);
        }
        if state.gone.contains(&seat) {
            return Err(LinkError::Closed);
        }
        let outbound = state.queue(seat, peer, path, self.capacity);
        let inbound = state.queue(peer, seat, path, self.capacity);
        Ok((
            Box::new(MemoryOutlet { queue: outbound }),
            Box::new(MemoryInlet { queue: inbound }),
        ))
    }

    /// Closes every queue from and to `seat`, now and for all paths to come.
    fn leave(&self, seat: Seat) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.gone.insert(seat);
        for ((from, to, _), queue) in &state.queues {
            if *from == seat || *to == seat {
                queue.close();
            }
        }
    }
}

impl HubState {
    fn queue(&mut self, from: Seat, to: Seat, path: PathId, capacity: usize) -> Arc<Queue> {
        let gone = self.gone.contains(&from) || self.gone.contains(&to);
        let queue = self
            .queues
            .entry((from, to, path))
            .or_insert_with(|| Arc::new(Queue::new(capacity)));
        if gone {
            queue.close();
        }
        queue.clone()
    }
}

impl MemoryNetwork {
    /// Leaves at once, as a process that is killed does. Peers get [`LinkError::Closed`].
    pub fn leave(&self) {
        self.hub.leave(self.seat);
    }
}

impl Drop for MemoryNetwork {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Network for MemoryNetwork {
    fn open<'a>(
        &'a self,
        peer: Seat,
        path: PathId,
    ) -> BoxFuture<'a, Result<LinkHalves, LinkError>> {
        Box::pin(async move { self.hub.open(self.seat, peer, path) })
    }
}

struct MemoryOutlet {
    queue: Arc<Queue>,
}

impl Outlet for MemoryOutlet {
    fn send<'a>(&'a mut self, frame: Frame) -> BoxFuture<'a, Result<(), LinkError>> {
        Box::pin(self.queue.push(frame))
    }
}

impl Drop for MemoryOutlet {
    fn drop(&mut self) {
        self.queue.close();
    }
}

struct MemoryInlet {
    queue: Arc<Queue>,
}

impl Inlet for MemoryInlet {
    fn recv<'a>(&'a mut self, expected: FrameShape) -> BoxFuture<'a, Result<Frame, LinkError>> {
        Box::pin(async move {
            let frame = self.queue.pop().await?;
            expected.admit(&frame)?;
            Ok(frame)
        })
    }
}

impl Drop for MemoryInlet {
    fn drop(&mut self) {
        self.queue.close();
    }
}
