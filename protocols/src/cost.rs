//! What a protocol declares that it will send, before it runs.
//!
//! A cost is a function of public shapes. Tests run each protocol and hold every seat's measured
//! rounds, bytes and messages to the declared ones, exactly.

use crate::net::sim::LinkModel;
use crate::party::Seat;
use crate::session::Chunks;
use crate::wire::HEADER_BYTES;
use std::time::Duration;

/// Rounds, and the bytes and messages between each pair of seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Length of the longest chain of messages of which each waits for the one before.
    pub rounds: u32,
    /// `bytes[from][to]`: bytes of message bodies.
    pub bytes: Vec<Vec<u64>>,
    /// `messages[from][to]`: number of messages.
    pub messages: Vec<Vec<u64>>,
    /// Bytes, headers included, that the fullest link carries, summed over the steps.
    critical_bytes: u64,
}

/// A vector of items that is sent in chunks, as a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) n_bytes: u64,
    pub(crate) n_messages: u64,
}

impl Stream {
    /// The cost of sending these chunks to one seat.
    pub(crate) fn of(chunks: Chunks, item_bytes: usize) -> Self {
        Self {
            n_bytes: (chunks.n_items * item_bytes) as u64,
            n_messages: chunks.count() as u64,
        }
    }

    /// Adds a fixed number of bytes to each message.
    pub(crate) fn with_overhead(self, bytes_each: usize) -> Self {
        let n_bytes = self.n_bytes + self.n_messages * bytes_each as u64;
        Self { n_bytes, ..self }
    }

    fn on_the_wire(self) -> u64 {
        self.n_bytes + self.n_messages * HEADER_BYTES as u64
    }
}

impl Cost {
    /// Nothing is sent among `n_seats` seats.
    pub fn none(n_seats: usize) -> Self {
        Self {
            rounds: 0,
            bytes: vec![vec![0; n_seats]; n_seats],
            messages: vec![vec![0; n_seats]; n_seats],
            critical_bytes: 0,
        }
    }

    /// One round in which the listed pairs of seats send something.
    pub(crate) fn round(
        n_seats: usize,
        sends: impl IntoIterator<Item = (Seat, Seat, Stream)>,
    ) -> Self {
        let mut cost = Self::none(n_seats);
        cost.rounds = 1;
        for (from, to, stream) in sends {
            cost.bytes[from.index()][to.index()] += stream.n_bytes;
            cost.messages[from.index()][to.index()] += stream.n_messages;
        }
        let links = Seat::first(n_seats).flat_map(|f| Seat::first(n_seats).map(move |t| (f, t)));
        let carried = links.map(|(f, t)| {
            let n_bytes = cost.bytes[f.index()][t.index()];
            let n_messages = cost.messages[f.index()][t.index()];
            Stream {
                n_bytes,
                n_messages,
            }
            .on_the_wire()
        });
        cost.critical_bytes = carried.max().unwrap_or(0);
        cost
    }

    /// One round in which each computing seat sends the same to every other.
    pub(crate) fn all_to_all(n_seats: usize, n_computing: usize, stream: Stream) -> Self {
        let pairs = Seat::first(n_computing)
            .flat_map(|from| Seat::first(n_computing).map(move |to| (from, to)))
            .filter(|(from, to)| from != to);
        Self::round(n_seats, pairs.map(|(from, to)| (from, to, stream)))
    }

    /// This, and then `next`.
    ///
    /// # Panics
    ///
    /// If the two are for different numbers of seats.
    #[must_use]
    pub fn then(mut self, next: &Self) -> Self {
        assert_eq!(self.bytes.len(), next.bytes.len(), "costs of one session");
        self.rounds += next.rounds;
        self.critical_bytes += next.critical_bytes;
        add_tables(&mut self.bytes, &next.bytes);
        add_tables(&mut self.messages, &next.messages);
        self
    }

    /// The same in a session of more seats, of which the others send and receive nothing.
    pub(crate) fn among(mut self, n_seats: usize) -> Self {
        for table in [&mut self.bytes, &mut self.messages] {
            table.iter_mut().for_each(|row| row.resize(n_seats, 0));
            table.resize(n_seats, vec![0; n_seats]);
        }
        self
    }

    /// Bytes of message bodies that a seat sends.
    pub fn bytes_sent(&self, seat: Seat) -> u64 {
        self.bytes[seat.index()].iter().sum()
    }

    /// Bytes of message bodies that a seat receives.
    pub fn bytes_received(&self, seat: Seat) -> u64 {
        self.bytes.iter().map(|to| to[seat.index()]).sum()
    }

    /// Time that the messages take on such a network, local work not counted: a delay for every
    /// round, and the transmission of the fullest link in each.
    pub fn time_on(&self, link: LinkModel) -> Duration {
        let delays = link.delay_ns.saturating_mul(u64::from(self.rounds));
        let sending = link.transmission_ns(self.critical_bytes);
        Duration::from_nanos(delays.saturating_add(sending))
    }
}

fn add_tables(sum: &mut [Vec<u64>], other: &[Vec<u64>]) {
    for (row, other) in sum.iter_mut().zip(other) {
        for (cell, other) in row.iter_mut().zip(other) {
            *cell += other;
        }
    }
}
