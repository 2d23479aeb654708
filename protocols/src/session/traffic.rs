//! What a seat has sent and received, measured where frames leave and enter.

use crate::party::Seat;
use crate::stamp::Stamp;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// One seat's traffic so far. Vectors have one entry a seat; a seat's own entry is 0.
///
/// Bytes are those of message bodies. Each message adds a header of
/// [`HEADER_BYTES`](crate::wire::HEADER_BYTES) on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Depth of the longest chain of messages that this seat sent or received a part of.
    pub rounds: u32,
    /// Bytes sent to each seat.
    pub bytes_sent: Vec<u64>,
    /// Bytes received from each seat.
    pub bytes_received: Vec<u64>,
    /// Messages sent to each seat.
    pub messages_sent: Vec<u64>,
    /// Messages received from each seat.
    pub messages_received: Vec<u64>,
    /// Virtual time at which the last message arrived; 0 on a real network.
    pub time_ns: u64,
}

/// Counters shared by a session and its children.
pub(super) struct Meter {
    rounds: AtomicU32,
    time_ns: AtomicU64,
    sent: Vec<Counter>,
    received: Vec<Counter>,
}

#[derive(Default)]
struct Counter {
    n_bytes: AtomicU64,
    n_messages: AtomicU64,
}

impl Counter {
    fn add(&self, n_bytes: usize) {
        self.n_bytes.fetch_add(n_bytes as u64, Ordering::Relaxed);
        self.n_messages.fetch_add(1, Ordering::Relaxed);
    }
}

impl Meter {
    pub(super) fn new(n_seats: usize) -> Self {
        let counters = || (0..n_seats).map(|_| Counter::default()).collect();
        Self {
            rounds: AtomicU32::new(0),
            time_ns: AtomicU64::new(0),
            sent: counters(),
            received: counters(),
        }
    }

    pub(super) fn sent(&self, to: Seat, n_bytes: usize, stamp: Stamp) {
        self.sent[to.index()].add(n_bytes);
        self.rounds.fetch_max(stamp.depth, Ordering::Relaxed);
    }

    pub(super) fn received(&self, from: Seat, n_bytes: usize, stamp: Stamp) {
        self.received[from.index()].add(n_bytes);
        self.rounds.fetch_max(stamp.depth, Ordering::Relaxed);
        self.time_ns.fetch_max(stamp.time_ns, Ordering::Relaxed);
    }

    pub(super) fn traffic(&self) -> Traffic {
        let bytes = |counters: &[Counter]| {
            counters
                .iter()
                .map(|c| c.n_bytes.load(Ordering::Relaxed))
                .collect()
        };
        let messages = |counters: &[Counter]| {
            counters
                .iter()
                .map(|c| c.n_messages.load(Ordering::Relaxed))
                .collect()
        };
        Traffic {
            rounds: self.rounds.load(Ordering::Relaxed),
            bytes_sent: bytes(&self.sent),
            bytes_received: bytes(&self.received),
            messages_sent: messages(&self.sent),
            messages_received: messages(&self.received),
            time_ns: self.time_ns.load(Ordering::Relaxed),
        }
    }
}
