//! Intersection of the sets of three or more holders: who receives learns what all have in common,
//! and nobody learns what some of them have.
//!
//! ```text
//! keys           k_ij of every two seats;  s_i(x) = ⊕ over j ≠ i of PRF(k_ij, x):  ⊕_i s_i(x) = 0
//! round 1 to 5   every spoke programmes s_i(x) at each of its items; the hub learns it at its own,
//!                or noise, from all spokes at once
//! hub            x is in all sets if s_0(x) ⊕ (what each spoke has at x) = 0
//! round 6        hub → further receivers: a tag of every common item, and random ones for the
//!                rest, in ascending order
//! ```
//!
//! An item that one spoke does not have leaves noise in the sum, whatever the others have: without
//! all k_ij nobody can tell one spoke's part from random. The sixth message has as many tags as the
//! hub has items, so that its length does not tell how many are common.

use super::opprf::{self, Programme, Programmed};
use super::vole::{receive_tags, send_tags, tag_chunks};
use super::{Item, oprf, tag_bytes};
use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use engine::block::Block;
use engine::hash::BlockPrf;
use engine::okvs::OkvsError;
use engine::prg::{Prg, Seed};
use engine::tags;
use std::sync::{Arc, Mutex};

/// Most items of one holder.
const MAX_ITEMS: usize = 1 << 30;

/// What all seats know before they start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The seat that all others answer to. It learns the intersection, and is a receiver.
    pub hub: Seat,
    /// Number of items of every computing seat, in the order of seats.
    pub n_items: Vec<usize>,
    /// The seats that learn the intersection.
    pub receivers: Vec<Seat>,
}

impl Shape {
    fn spokes(&self) -> Vec<Seat> {
        let seats = Seat::first(self.n_items.len());
        seats.filter(|seat| *seat != self.hub).collect()
    }

    fn n_hub(&self) -> usize {
        self.n_items[self.hub.index()]
    }

    fn programme(&self, spoke: Seat) -> Programme {
        Programme {
            n_points: self.n_items[spoke.index()],
            n_blocks: 1,
        }
    }

    /// Receivers other than the hub, in the order of seats.
    fn others(&self) -> Vec<Seat> {
        let spokes = self.spokes().into_iter();
        spokes
            .filter(|seat| self.receivers.contains(seat))
            .collect()
    }

    fn tag_bytes(&self, receiver: Seat) -> usize {
        tag_bytes(self.n_hub(), self.n_items[receiver.index()])
    }

    /// Nothing is in common with nothing.
    fn is_empty(&self) -> bool {
        self.n_items.contains(&0)
    }

    fn check(&self, session: &Session, items: &[Item]) -> Result<(), ProtocolError> {
        let invalid = |what| Err(ProtocolError::InvalidInput { what });
        let n_seats = self.n_items.len();
        if n_seats != session.n_computing() || n_seats < 3 {
            return invalid(
                "an intersection of many is between all computing seats, three or more",
            );
        }
        if !self.receivers.contains(&self.hub) {
            return invalid("the hub of an intersection is one of its receivers");
        }
        if self.receivers.iter().any(|seat| seat.index() >= n_seats) {
            return invalid("a receiver is a computing seat");
        }
        if self.n_items.iter().any(|n| *n > MAX_ITEMS) {
            return invalid("an intersection is limited to 2^30 items a side; divide the sets");
        }
        if self.n_items[session.seat().index()] != items.len() {
            return invalid("each seat has as many items as the shape says");
        }
        match super::are_distinct(items) {
            true => Ok(()),
            false => Err(oprf::unfit(OkvsError::Duplicate)),
        }
    }
}

/// Learns which of this seat's items all others have too.
///
/// # Seats     all computing seats, three or more, with one role each by the shape
/// # Inputs    `items`: distinct, as many as the shape says of this seat
/// # Output    at receivers the places in `items` of those that all have, ascending
/// # Cost      5 rounds, and 1 if there are further receivers; [`cost`]: for each spoke 21 bytes for
///   each item of the hub and 21 for each of its own
/// # Security  semi-honest; all seats but one may be corrupt. Corrupt seats learn what they would if
///   each of them held the items of all: then the hub and all spokes but one learn what that one
///   has of the hub's items ("augmented semi-honest", 2017/799). The hub learns the intersection, so
///   do further receivers; all learn the sizes. Computational: as [`super::vole`]
/// # Errors    [`ProtocolError::InvalidInput`] before anything is sent; [`ProtocolError::Link`];
///   [`ProtocolError::PeerMisbehaved`] (length, no group element, tags repeated or out of order);
///   [`ProtocolError::Unlucky`] with probability 2^−36 among ten
/// # Source    2017/799, figure 7, with the function and the store of 2022/320. Differs: further
///   receivers get tags
pub async fn intersect(
    session: &mut Session,
    shape: &Shape,
    items: &[Item],
) -> Result<Option<Vec<u32>>, ProtocolError> {
    let outcome = intersect_in(session, shape, items).await;
    session.ended_by(outcome)
}

async fn intersect_in(
    session: &mut Session,
    shape: &Shape,
    items: &[Item],
) -> Result<Option<Vec<u32>>, ProtocolError> {
    shape.check(session, items)?;
    let me = session.seat();
    let is_receiver = shape.receivers.contains(&me);
    if shape.is_empty() {
        return Ok(is_receiver.then(Vec::new));
    }
    let items = Arc::new(oprf::blocks(items));
    let zeros = zero_shares(session, &items).await;
    if me == shape.hub {
        let common = gather(session, shape, items.clone(), zeros).await?;
        tell(session, shape, items, &common).await?;
        return Ok(Some(common));
    }
    let values = vec![zeros];
    let programmed = Mutex::new(Some(Programmed {
        points: items.to_vec(),
        values,
    }));
    let spokes = shape.spokes();
    session
        .star("many", (shape.hub, &spokes), |child, hub| {
            let programmed = programmed.lock().expect("taking does not panic").take();
            let programmed = programmed.expect("a spoke has one hub");
            Box::pin(opprf::send(child, hub, shape.n_hub(), programmed))
        })
        .await?;
    match is_receiver {
        true => hear(session, shape, items).await.map(Some),
        false => Ok(None),
    }
}

/// This seat's part s of each item's sharing of zero.
async fn zero_shares(session: &mut Session, items: &Arc<Vec<Block>>) -> Vec<Block> {
    let me = session.seat();
    let peers = session.peers().into_iter();
    let of_pair = |peer: Seat| session.pair_seed(me.min(peer), me.max(peer), "zero of an item");
    let seeds: Vec<Seed> = peers.map(of_pair).collect();
    let items = items.clone();
    let kernel = move || {
        let mut sums = vec![Block::ZERO; items.len()];
        for seed in &seeds {
            BlockPrf::new("entente/v1/psi/many/zero", seed).add_to(&mut sums, &items);
        }
        sums
    };
    session.compute().run(kernel).await
}

/// The hub's part: the places of its items that all spokes have.
async fn gather(
    session: &mut Session,
    shape: &Shape,
    items: Arc<Vec<Block>>,
    mut sums: Vec<Block>,
) -> Result<Vec<u32>, ProtocolError> {
    let spokes = shape.spokes();
    let found = session
        .star("many", (shape.hub, &spokes), |child, spoke| {
            let (items, programme) = (items.clone(), shape.programme(spoke));
            Box::pin(opprf::receive(child, spoke, items, programme))
        })
        .await?;
    for parts in found {
        for (sum, part) in sums.iter_mut().zip(&parts[0]) {
            *sum ^= *part;
        }
    }
    let common = (0..).zip(&sums).filter(|(_, sum)| **sum == Block::ZERO);
    Ok(common.map(|(place, _)| place).collect())
}

/// The hub tells further receivers what is common.
async fn tell(
    session: &mut Session,
    shape: &Shape,
    items: Arc<Vec<Block>>,
    common: &[u32],
) -> Result<(), ProtocolError> {
    for receiver in shape.others() {
        let hash = tag_hash(session, shape, receiver);
        let filler = session.own_seed("tags of nothing");
        let mut places = vec![false; items.len()];
        common
            .iter()
            .for_each(|place| places[*place as usize] = true);
        let (items, n_bytes) = (items.clone(), shape.tag_bytes(receiver));
        let kernel = move || {
            let mut noise = vec![0u128; items.len()];
            Prg::new(&filler, 0).fill_ring(&mut noise);
            let mut values = vec![Block::ZERO; items.len()];
            hash.add_to(&mut values, &items);
            for ((value, noise), is_common) in values.iter_mut().zip(noise).zip(places) {
                if !is_common {
                    *value = Block(noise);
                }
            }
            tags::ascending(&values, n_bytes)
        };
        let tags = session.compute().run(kernel).await;
        if tags.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ProtocolError::Unlucky {
                what: "telling items apart by their tags",
            });
        }
        send_tags(session, &[receiver], n_bytes, tags).await?;
    }
    Ok(())
}

/// A further receiver's part.
async fn hear(
    session: &mut Session,
    shape: &Shape,
    items: Arc<Vec<Block>>,
) -> Result<Vec<u32>, ProtocolError> {
    let me = session.seat();
    let hash = tag_hash(session, shape, me);
    let list = receive_tags(session, shape.hub, shape.tag_bytes(me), shape.n_hub()).await?;
    let kernel = move || {
        let mut values = vec![Block::ZERO; items.len()];
        hash.add_to(&mut values, &items);
        list.matches(&values)
    };
    Ok(session.compute().run(kernel).await)
}

fn tag_hash(session: &mut Session, shape: &Shape, receiver: Seat) -> BlockPrf {
    let seed = session.pair_seed(shape.hub, receiver, "tags of common items");
    BlockPrf::new("entente/v1/psi/many/tags", &seed)
}

/// The declared cost of [`intersect`].
pub fn cost(n_seats: usize, shape: &Shape) -> Cost {
    if shape.is_empty() {
        return Cost::none(n_seats);
    }
    let mut sent: Vec<Vec<oprf::Sent>> = vec![Vec::new(); 5];
    for spoke in shape.spokes() {
        let rounds = opprf::rounds(spoke, shape.hub, shape.n_hub(), shape.programme(spoke));
        for (sum, round) in sent.iter_mut().zip(rounds) {
            sum.extend(round);
        }
    }
    let tags = |receiver: Seat| {
        let chunks = tag_chunks(shape.n_hub(), shape.tag_bytes(receiver));
        (shape.hub, receiver, Stream::of(chunks, 1))
    };
    let told: Vec<_> = shape.others().into_iter().map(tags).collect();
    if !told.is_empty() {
        sent.push(told);
    }
    let rounds = sent.into_iter().map(|sent| Cost::round(n_seats, sent));
    rounds.fold(Cost::none(n_seats), |sum, round| sum.then(&round))
}
