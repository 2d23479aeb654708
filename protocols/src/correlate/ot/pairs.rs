//! Both directions of OT with every peer: set up once, extended as often as needed.

use super::Extension;
use super::pool::Pools;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use crate::wire::{Kind, Wire, WireError};
use bytes::Bytes;
use engine::block::Block;
use engine::ot::extend::{
    Choices, Receiver, ReceiverCots, ReceiverSetup, Sender, SenderCots, SenderSetup, TREES_BYTES,
    message_bytes,
};
use engine::ot::products::Hasher;
use engine::ot::{Direction, OtError, base};
use engine::prg::{Prg, Seed};
use rayon::prelude::*;
use std::mem;

/// Length of the first message: the base OT's two messages, one for each direction.
pub(super) const SETUP_BYTES: usize = base::RECEIVER_BYTES + base::SENDER_BYTES;

/// Group elements of a base OT, or bits that a generator masks which the receiver does not have.
pub(super) struct Transfer {
    pub(super) body: Bytes,
}

impl Transfer {
    pub(super) fn new(body: Vec<u8>) -> Self {
        Self { body: body.into() }
    }
}

impl Wire for Transfer {
    const KIND: Kind = Kind::Transfer;
    /// Number of bytes.
    type Shape = usize;

    fn wire_len(n_bytes: usize) -> usize {
        n_bytes
    }

    fn encode(self) -> Bytes {
        self.body
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        Ok(Self { body })
    }
}

/// Who is the sender of OTs towards whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Everybody towards everybody.
    All,
    /// Every seat towards those after it.
    Upward,
    /// Everybody towards one seat.
    Towards(Seat),
}

impl Pattern {
    pub(super) fn has(self, sender: Seat, receiver: Seat) -> bool {
        sender != receiver
            && match self {
                Self::All => true,
                Self::Upward => sender < receiver,
                Self::Towards(seat) => seat == receiver,
            }
    }
}

/// Both directions of OT with one peer, between this seat's first message and the peer's.
struct Opening {
    outgoing: Direction,
    incoming: Direction,
    sender: SenderSetup,
    receiver: ReceiverSetup,
}

impl Opening {
    /// `outgoing` is the direction in which this seat is the OT's sender.
    fn new(outgoing: Direction, extension: Extension, seed: &Seed) -> (Self, Transfer) {
        let incoming = Direction {
            sender: outgoing.receiver,
            receiver: outgoing.sender,
            ..outgoing
        };
        let mut prg = Prg::new(seed, 0);
        let (sender, mut message) = match extension {
            Extension::SoftSpoken => SenderSetup::new(outgoing, &mut prg),
            Extension::Ferret => SenderSetup::with_odd_delta(outgoing, &mut prg),
        };
        let (receiver, key) = ReceiverSetup::new(incoming, &mut prg);
        message.extend(key);
        let opening = Self {
            outgoing,
            incoming,
            sender,
            receiver,
        };
        (opening, Transfer::new(message))
    }

    fn finish(self, peer: Seat, message: &Transfer) -> Result<Pair, ProtocolError> {
        let (points, _) = message.body.split_at(base::RECEIVER_BYTES);
        let key = message.body.slice(base::RECEIVER_BYTES..);
        let finished = self.receiver.finish(points);
        let (receiver, trees) = finished.map_err(|e| blame(peer, e))?;
        Ok(Pair {
            peer,
            sender: Outgoing::Waiting(Box::new(self.sender), key),
            sender_hash: Hasher::new(&self.outgoing),
            receiver,
            receiver_hash: Hasher::new(&self.incoming),
            trees,
            pools: Pools::new(self.outgoing, self.incoming),
        })
    }
}

/// Both directions of OT with one peer.
pub(super) struct Pair {
    pub(super) peer: Seat,
    sender: Outgoing,
    pub(super) sender_hash: Hasher,
    receiver: Receiver,
    pub(super) receiver_hash: Hasher,
    /// Tree corrections that go out with the first extension; empty afterwards.
    trees: Vec<u8>,
    /// Ferret's OTs that are not used yet.
    pub(super) pools: Pools,
}

/// The direction in which this seat is the OT's sender.
enum Outgoing {
    /// The peer's trees are still to come, with its first extension. It has sent its key.
    Waiting(Box<SenderSetup>, Bytes),
    Ready(Box<Sender>),
    /// The peer's message was refused.
    Failed,
}

impl Pair {
    /// Extends the direction towards this seat, and says what to send.
    pub(super) fn extend<T>(
        &mut self,
        extend: impl FnOnce(&mut Receiver) -> Result<(T, Vec<u8>), OtError>,
    ) -> (T, Transfer) {
        let (received, extension) =
            extend(&mut self.receiver).expect("no more OTs than a session allows");
        let mut message = mem::take(&mut self.trees);
        match message.is_empty() {
            true => message = extension,
            false => message.extend_from_slice(&extension),
        }
        (received, Transfer::new(message))
    }

    /// Extends the direction away from this seat with what the peer sent.
    pub(super) fn accept<T>(
        &mut self,
        message: &Transfer,
        extend: impl FnOnce(&mut Sender, &[u8]) -> Result<T, OtError>,
    ) -> Result<T, ProtocolError> {
        let accept = || {
            let (mut sender, extension) = match mem::replace(&mut self.sender, Outgoing::Failed) {
                Outgoing::Ready(sender) => (sender, &message.body[..]),
                Outgoing::Waiting(setup, key) => {
                    let (trees, extension) = message.body.split_at(TREES_BYTES);
                    (Box::new(setup.finish(&key, trees)?), extension)
                }
                Outgoing::Failed => unreachable!("a session ends with its first error"),
            };
            let sent = extend(&mut sender, extension)?;
            self.sender = Outgoing::Ready(sender);
            Ok(sent)
        };
        accept().map_err(|e| blame(self.peer, e))
    }

    /// Length of the peer's next extension of so many OTs.
    pub(super) fn extension_bytes(&self, n_ots: usize, mode: Choices) -> usize {
        let trees = match self.sender {
            Outgoing::Waiting(..) => TREES_BYTES,
            Outgoing::Ready(_) | Outgoing::Failed => 0,
        };
        trees + message_bytes(n_ots, mode)
    }
}

/// Correlated OTs with one peer, where there are any, and their numbers.
pub(super) struct PairCots {
    pub(super) sent: Option<Sent>,
    pub(super) received: Option<Received>,
}

/// This seat's OTs as sender.
pub(super) struct Sent {
    pub(super) first: u64,
    pub(super) delta: Block,
    pub(super) cots: SenderCots,
}

/// This seat's OTs as receiver.
pub(super) struct Received {
    pub(super) first: u64,
    pub(super) cots: ReceiverCots,
}

/// All directions, of one preparation.
pub(super) struct Transfers<'a> {
    pub(super) session: &'a mut Session,
    pub(super) extension: Extension,
    pub(super) pairs: Vec<Pair>,
    /// What this seat draws.
    pub(super) prg: Prg,
}

impl<'a> Transfers<'a> {
    /// Runs the base OTs in both directions with every peer.
    pub(super) async fn set_up(
        session: &'a mut Session,
        extension: Extension,
    ) -> Result<Self, ProtocolError> {
        let prg = Prg::new(&session.own_seed("correlations"), 0);
        let occurrence = session.next_public("oblivious transfer") as u32;
        let place = session.path().child("oblivious transfer", occurrence);
        let with = |peer: Seat| Direction {
            session_id: *session.session_id(),
            operation: place.id().0,
            sender: session.seat().0,
            receiver: peer.0,
        };
        let directions: Vec<Direction> = session.peers().into_iter().map(with).collect();
        let seeds = directions
            .iter()
            .map(|_| session.own_seed("oblivious transfer"));
        let seeds: Vec<Seed> = seeds.collect();

        let open = move || {
            let openings = directions.par_iter().zip(&seeds);
            openings
                .map(|(direction, seed)| Opening::new(*direction, extension, seed))
                .unzip()
        };
        let (openings, messages): (Vec<Opening>, _) = session.compute().run(open).await;

        let received = session.exchange_each(messages, SETUP_BYTES).await?;

        let finish = move || -> Result<Vec<Pair>, ProtocolError> {
            let both = openings.into_par_iter().zip(received);
            both.map(|(opening, (peer, message))| opening.finish(peer, &message))
                .collect()
        };
        let pairs = session.compute().run(finish).await?;
        Ok(Self {
            session,
            extension,
            pairs,
            prg,
        })
    }

    pub(super) fn me(&self) -> Seat {
        self.session.seat()
    }

    pub(super) fn n_computing(&self) -> usize {
        self.session.n_computing()
    }

    /// Runs a kernel over all pairs.
    pub(super) async fn with_pairs<T: Send + 'static>(
        &mut self,
        kernel: impl FnOnce(&mut Vec<Pair>) -> Result<T, ProtocolError> + Send + 'static,
    ) -> Result<T, ProtocolError> {
        let mut pairs = mem::take(&mut self.pairs);
        let run = move || {
            let outcome = kernel(&mut pairs);
            (pairs, outcome)
        };
        let (pairs, outcome) = self.session.compute().run(run).await;
        self.pairs = pairs;
        outcome
    }

    /// Correlated OTs with every peer, in the directions of a pattern, in one round. `given` are this
    /// seat's choices towards all of its senders; without them they are random.
    pub(super) async fn cots(
        &mut self,
        pattern: Pattern,
        n_ots: usize,
        given: Option<Vec<u64>>,
        mode: Choices,
    ) -> Result<Vec<PairCots>, ProtocolError> {
        if self.extension == Extension::Ferret {
            return self.pooled_cots(pattern, n_ots, given, mode).await;
        }
        let me = self.me();
        let extend = move |pairs: &mut Vec<Pair>| {
            let extend = |pair: &mut Pair| {
                let is_receiver = pattern.has(pair.peer, me);
                is_receiver.then(|| {
                    let first = pair.receiver_hash.reserve(n_ots);
                    let first = first.expect("no more OTs than a session allows");
                    let (cots, message) = pair.extend(|r| r.cots(n_ots, given.as_deref()));
                    (Received { first, cots }, (pair.peer, message))
                })
            };
            Ok(pairs.par_iter_mut().map(extend).collect::<Vec<_>>())
        };
        let extended = self.with_pairs(extend).await?;
        let (received, messages): (Vec<_>, Vec<_>) =
            extended.into_iter().map(Option::unzip).unzip();
        let senders = self.pairs.iter().filter(|p| pattern.has(me, p.peer));
        let expected = senders.map(|p| (p.peer, p.extension_bytes(n_ots, mode)));
        let expected: Vec<(Seat, usize)> = expected.collect();
        let messages = messages.into_iter().flatten().collect();

        let incoming = self.session.swap(messages, &expected).await?;

        let accept = move |pairs: &mut Vec<Pair>| {
            let both = pairs.par_iter_mut().zip(received);
            both.map(|(pair, received)| {
                let message = incoming.iter().find(|(peer, _)| *peer == pair.peer);
                let sent = message.map(|(_, message)| {
                    let first = pair.sender_hash.reserve(n_ots);
                    let first = first.map_err(|e| blame(pair.peer, e))?;
                    pair.accept(message, |sender, bytes| {
                        let cots = sender.cots(n_ots, mode, bytes)?;
                        let delta = sender.delta();
                        Ok(Sent { first, delta, cots })
                    })
                });
                let sent = sent.transpose()?;
                Ok(PairCots { sent, received })
            })
            .collect()
        };
        self.with_pairs(accept).await
    }
}

/// What a peer's message did wrong.
pub(super) fn blame(peer: Seat, error: OtError) -> ProtocolError {
    let what = match error {
        OtError::NotAPoint { .. } | OtError::Identity { .. } => "a string that is no group element",
        _ => "a step of another protocol",
    };
    ProtocolError::from_wire(peer, WireError::Content { what })
}
