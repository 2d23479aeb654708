//! A network with bandwidth and delay on a virtual clock, and with failures.
//!
//! Nothing sleeps. Each frame is stamped with the moment at which it would arrive, and a session
//! that receives it moves its clock forward to that moment; so the time of a whole computation on
//! a slow network is an exact number, found in the time that a fast one takes. Local work counts
//! as nothing: that is measured, not simulated. All seats must run on one thread: where protocols
//! overlap, the number depends on the order in which their frames reach a full link.
//!
//! All paths between two seats share one link. A frame goes out as soon as it was sent and the
//! link is idle, and arrives one delay after its last bit has left.

use super::memory::{self, MemoryNetwork};
use super::{BoxFuture, Frame, LinkHalves, Network, Outlet};
use crate::error::LinkError;
use crate::party::Seat;
use crate::path::PathId;
use crate::wire::HEADER_BYTES;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Bandwidth and delay of the link between two seats, in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkModel {
    /// Bits per second in one direction.
    pub bits_per_s: u64,
    /// Time from one end to the other, in nanoseconds.
    pub delay_ns: u64,
}

impl LinkModel {
    /// Two processes on one machine: 20 Gbit/s, 20 µs.
    pub const LOOPBACK: Self = Self {
        bits_per_s: 20_000_000_000,
        delay_ns: 20_000,
    };
    /// One building: 10 Gbit/s, 0.25 ms.
    pub const LAN: Self = Self {
        bits_per_s: 10_000_000_000,
        delay_ns: 250_000,
    };
    /// One city: 1 Gbit/s, 5 ms.
    pub const METRO: Self = Self {
        bits_per_s: 1_000_000_000,
        delay_ns: 5_000_000,
    };
    /// One continent: 100 Mbit/s, 40 ms.
    pub const WAN: Self = Self {
        bits_per_s: 100_000_000,
        delay_ns: 40_000_000,
    };

    /// Time in which this many bytes leave one end of the link.
    pub fn transmission_ns(&self, n_bytes: u64) -> u64 {
        let ns = u128::from(n_bytes) * 8_000_000_000 / u128::from(self.bits_per_s);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// One seat fails, as a process that is killed does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The seat that fails.
    pub seat: Seat,
    /// It fails when it tries to send its message number `at_message`, counted from 0 over all peers.
    pub at_message: u64,
}

/// One seat's end of a simulated network.
pub struct SimNetwork {
    shared: Arc<SimSeat>,
}

/// What all outlets of one seat share.
struct SimSeat {
    memory: MemoryNetwork,
    model: LinkModel,
    cut_at: Option<u64>,
    state: Mutex<SimState>,
}

struct SimState {
    /// What the link to each seat does.
    links: Vec<Schedule>,
    n_sent: u64,
}

/// The times in which a link is busy.
///
/// Sub-protocols that overlap reach different virtual times in an order that says nothing about
/// those times. So a frame takes the first gap after the moment at which it was sent, and not a
/// place behind the frame that happened to be sent last.
#[derive(Clone, Default)]
struct Schedule {
    /// Beginnings and ends of busy times, none of which touch.
    busy: BTreeMap<u64, u64>,
}

impl Schedule {
    /// Sends for `duration` in the first gap from `earliest` on. Returns when the last bit has left.
    fn reserve(&mut self, earliest: u64, duration: u64) -> u64 {
        let before = self.busy.range(..=earliest).next_back();
        let mut begin = before.map_or(earliest, |(_, end)| earliest.max(*end));
        for (next_begin, next_end) in self.busy.range(begin..) {
            if begin.saturating_add(duration) <= *next_begin {
                break;
            }
            begin = *next_end;
        }
        let mut end = begin.saturating_add(duration);
        let left = end;
        if let Some(after) = self.busy.remove(&end) {
            end = after;
        }
        let touching = self
            .busy
            .range(..begin)
            .next_back()
            .filter(|(_, e)| **e == begin);
        let begin = touching.map_or(begin, |(b, _)| *b);
        self.busy.insert(begin, end);
        left
    }
}

/// A simulated network of `n_seats` seats, one end for each.
pub fn network(n_seats: usize, model: LinkModel, cut: Option<Cut>) -> Vec<SimNetwork> {
    let with_cut = |(seat, memory)| SimNetwork {
        shared: Arc::new(SimSeat {
            memory,
            model,
            cut_at: cut.filter(|c| c.seat == seat).map(|c| c.at_message),
            state: Mutex::new(SimState {
                links: vec![Schedule::default(); n_seats],
                n_sent: 0,
            }),
        }),
    };
    Seat::first(n_seats)
        .zip(memory::network(n_seats))
        .map(with_cut)
        .collect()
}

impl Network for SimNetwork {
    fn open<'a>(
        &'a self,
        peer: Seat,
        path: PathId,
    ) -> BoxFuture<'a, Result<LinkHalves, LinkError>> {
        Box::pin(async move {
            let (outlet, inlet) = self.shared.memory.open(peer, path).await?;
            let outlet = SimOutlet {
                peer,
                outlet,
                seat: self.shared.clone(),
            };
            Ok((Box::new(outlet) as Box<dyn Outlet>, inlet))
        })
    }
}

impl SimSeat {
    /// When a frame that is sent now arrives, or `None` if the seat fails instead of sending it.
    fn arrival(&self, peer: Seat, frame: &Frame) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.cut_at.is_some_and(|k| state.n_sent >= k) {
            return None;
        }
        state.n_sent += 1;
        let n_bytes = (HEADER_BYTES + frame.body.len()) as u64;
        let transmission = self.model.transmission_ns(n_bytes);
        let left = state.links[peer.index()].reserve(frame.stamp.time_ns, transmission);
        Some(left.saturating_add(self.model.delay_ns))
    }
}

struct SimOutlet {
    peer: Seat,
    outlet: Box<dyn Outlet>,
    seat: Arc<SimSeat>,
}

impl Outlet for SimOutlet {
    fn send<'a>(&'a mut self, mut frame: Frame) -> BoxFuture<'a, Result<(), LinkError>> {
        let Some(arrival) = self.seat.arrival(self.peer, &frame) else {
            self.seat.memory.leave();
            return Box::pin(std::future::ready(Err(LinkError::Closed)));
        };
        frame.stamp.time_ns = arrival;
        self.outlet.send(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_takes_the_first_gap_that_holds_it() {
        let mut link = Schedule::default();
        assert_eq!(link.reserve(100, 10), 110);
        assert_eq!(link.reserve(100, 10), 120, "behind the first");
        assert_eq!(link.reserve(200, 10), 210);
        assert_eq!(link.reserve(0, 50), 50, "before both");
        assert_eq!(
            link.reserve(0, 60),
            180,
            "the gap from 50 to 100 is too short"
        );
        assert_eq!(
            link.reserve(105, 20),
            200,
            "the gap from 180 to 200 is just right"
        );
        assert_eq!(link.busy, BTreeMap::from([(0, 50), (100, 210)]));
    }

    #[test]
    fn a_link_is_never_busy_twice() {
        let mut prg = engine::prg::Prg::new(&engine::prg::Seed::from_bytes([7; 32]), 0);
        let mut link = Schedule::default();
        let mut sent: Vec<(u64, u64)> = (0..500)
            .map(|_| {
                let duration = 1 + prg.next_bounded(20);
                let earliest = prg.next_bounded(5000);
                let left = link.reserve(earliest, duration);
                assert!(left >= earliest + duration);
                (left - duration, left)
            })
            .collect();
        sent.sort_unstable();
        assert!(sent.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    }
}
