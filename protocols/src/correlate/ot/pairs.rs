//! Both directions of OT with every peer: set up once, extended as often as needed.

use super::Extension;
use super::lattice::Keys;
use super::pool::{self, Pools};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::Session;
use crate::wire::{WireError, bytes_message};
use bytes::Bytes;
use engine::bits;
use engine::block::Block;
use engine::ot::extend::{
    self, Choices, Receiver, ReceiverCots, ReceiverRows, ReceiverSetup, RowSource, Sender,
    SenderCots, SenderRows, SenderSetup, TREES_BYTES, message_bytes,
};
use engine::ot::products::Hasher;
use engine::ot::{Direction, OtError, base};
use engine::prg::{Prg, Seed};
use rayon::prelude::*;
use std::mem;
use zeroize::Zeroizing;

/// Length of the first message: the base OT's two messages, one for each direction.
pub(super) const SETUP_BYTES: usize = base::RECEIVER_BYTES + base::SENDER_BYTES;

bytes_message! {
    /// Group elements of a base OT, or bits that a generator masks which the receiver does not have. The shape is the number of bytes.
    pub(super) Transfer, Transfer, |n_bytes| n_bytes
}

impl Transfer {
    pub(super) fn new(body: Vec<u8>) -> Self {
        Self { body: body.into() }
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

    fn finish(
        self,
        peer: Seat,
        extension: Extension,
        message: &Transfer,
    ) -> Result<Pair, ProtocolError> {
        let (points, _) = message.body.split_at(base::RECEIVER_BYTES);
        let key = message.body.slice(base::RECEIVER_BYTES..);
        let finished = self.receiver.finish(points);
        let (receiver, trees) = finished.map_err(|e| blame(peer, e))?;
        Ok(Pair {
            peer,
            extension,
            sender: Outgoing::Waiting(Box::new(self.sender), key),
            sender_hash: Hasher::new(&self.outgoing),
            receiver,
            receiver_hash: Hasher::new(&self.incoming),
            trees,
            trees_are_due: true,
            pools: Pools::new(self.outgoing, self.incoming),
        })
    }
}

/// Both directions of OT with one peer.
pub(super) struct Pair {
    pub(super) peer: Seat,
    extension: Extension,
    sender: Outgoing,
    pub(super) sender_hash: Hasher,
    receiver: Receiver,
    pub(super) receiver_hash: Hasher,
    /// Tree corrections that go out with the first extension; empty afterwards.
    trees: Vec<u8>,
    /// Whether the peer's are still to come.
    trees_are_due: bool,
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

impl Outgoing {
    /// The sender, and what the message has for it.
    fn ready<'a>(&mut self, mut message: &'a [u8]) -> Result<(&mut Sender, &'a [u8]), OtError> {
        if let Self::Waiting(..) = self
            && let Self::Waiting(setup, key) = mem::replace(self, Self::Failed)
        {
            let (trees, extension) = message.split_at(TREES_BYTES);
            message = extension;
            *self = Self::Ready(Box::new(setup.finish(&key, trees)?));
        }
        match self {
            Self::Ready(sender) => Ok((sender, message)),
            Self::Waiting(..) | Self::Failed => unreachable!("a session ends with its first error"),
        }
    }
}

/// Rows of OTs: made as they are used, or Ferret's.
pub(super) enum Rows<E> {
    Extended(E),
    Pooled(Zeroizing<Vec<Block>>),
}

impl<E: RowSource> RowSource for Rows<E> {
    fn n_ots(&self) -> usize {
        match self {
            Self::Extended(rows) => rows.n_ots(),
            Self::Pooled(rows) => rows.len(),
        }
    }

    fn each<T: Send>(
        self,
        out: &mut [T],
        groups_each: usize,
        with: impl Fn(usize, &extend::Rows, &mut extend::Pad, &mut T) + Sync,
    ) -> extend::Extension {
        match self {
            Self::Extended(rows) => rows.each(out, groups_each, with),
            Self::Pooled(rows) => rows.as_slice().each(out, groups_each, with),
        }
    }
}

impl Pair {
    /// Uses OTs in which this seat is the receiver, with random choices or given ones: `kernel` gets
    /// their numbers and rows. Returns what it makes, the choices, and what to send the peer.
    ///
    /// Ferret's OTs come from the pool, which has enough.
    pub(super) fn receive<T>(
        &mut self,
        n_ots: usize,
        given: Option<&[u64]>,
        kernel: impl FnOnce((&Hasher, u64), Rows<ReceiverRows<'_>>) -> (T, extend::Extension),
    ) -> (T, Vec<u64>, Vec<u8>) {
        const ENOUGH: &str = "no more OTs than a session allows";
        let first = self.receiver_hash.reserve(n_ots).expect(ENOUGH);
        let numbered = (&self.receiver_hash, first);
        if self.extension == Extension::Ferret {
            let (rows, mut choices) = self.pools.received.take(n_ots);
            let (made, _) = kernel(numbered, Rows::Pooled(rows));
            let mut message = Vec::new();
            if let Some(given) = given {
                bits::xor_assign(&mut choices, given);
                message = choices.iter().flat_map(|word| word.to_le_bytes()).collect();
                choices.copy_from_slice(given);
            }
            return (made, choices, message);
        }
        let rows = self.receiver.rows(n_ots, given).expect(ENOUGH);
        let (made, extension) = kernel(numbered, Rows::Extended(rows));
        let extend::Extension { choices, message } = extension;
        let trees = mem::take(&mut self.trees);
        let message = match trees.is_empty() {
            true => message,
            false => [trees, message].concat(),
        };
        (made, choices, message)
    }

    /// Uses OTs in which this seat is the sender, after the peer's message: `kernel` gets their
    /// numbers, Δ and the rows.
    pub(super) fn send<T>(
        &mut self,
        n_ots: usize,
        mode: Choices,
        message: &[u8],
        kernel: impl FnOnce((&Hasher, u64), Block, Rows<SenderRows<'_>>) -> T,
    ) -> Result<T, ProtocolError> {
        let first = self.sender_hash.reserve(n_ots);
        let send = || {
            let numbered = (&self.sender_hash, first?);
            if self.extension == Extension::Ferret {
                let (delta, mut rows) = self.pools.take_sent(n_ots);
                add_chosen(delta, &mut rows, message);
                return Ok(kernel(numbered, delta, Rows::Pooled(rows)));
            }
            let (sender, message) = self.sender.ready(message)?;
            let delta = sender.delta();
            let rows = sender.rows(n_ots, mode, message)?;
            Ok(kernel(numbered, delta, Rows::Extended(rows)))
        };
        send().map_err(|e| blame(self.peer, e))
    }

    /// Extends the direction towards this seat, for the OTs that Ferret begins with.
    pub(super) fn extend<T>(
        &mut self,
        extend: impl FnOnce(&mut Receiver) -> Result<(T, Vec<u8>), OtError>,
    ) -> (T, Transfer) {
        let (received, extension) =
            extend(&mut self.receiver).expect("no more OTs than a session allows");
        let trees = mem::take(&mut self.trees);
        (received, Transfer::new([trees, extension].concat()))
    }

    /// Extends the direction away from this seat with what the peer sent, likewise.
    pub(super) fn accept<T>(
        &mut self,
        message: &Transfer,
        extend: impl FnOnce(&mut Sender, &[u8]) -> Result<T, OtError>,
    ) -> Result<T, ProtocolError> {
        let ready = self.sender.ready(&message.body);
        let sent = ready.and_then(|(sender, extension)| extend(sender, extension));
        sent.map_err(|e| blame(self.peer, e))
    }

    /// Length of the peer's next message for so many OTs.
    pub(super) fn extension_bytes(&mut self, n_ots: usize, mode: Choices) -> usize {
        if self.extension == Extension::Ferret {
            return pool::choice_bytes(n_ots, mode);
        }
        let trees = match mem::take(&mut self.trees_are_due) {
            true => TREES_BYTES,
            false => 0,
        };
        trees + message_bytes(n_ots, mode)
    }
}

/// Adds d·Δ to the rows of Ferret's sender, where choices were given.
fn add_chosen(delta: Block, rows: &mut [Block], d: &[u8]) {
    for (at, row) in rows.iter_mut().enumerate().take(8 * d.len()) {
        *row ^= delta.masked(u64::from(d[at / 8] >> (at % 8) & 1));
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
    /// What matrices are made with; `None` before the first.
    pub(super) lattice: Option<Keys>,
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
            both.map(|(opening, (peer, message))| opening.finish(peer, extension, &message))
                .collect()
        };
        let pairs = session.compute().run(finish).await?;
        Ok(Self {
            session,
            extension,
            pairs,
            prg,
            lattice: None,
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
        self.fill_pools(pattern, n_ots).await?;
        let me = self.me();
        let expected = self.expected(pattern, n_ots, mode);
        let extend = move |pairs: &mut Vec<Pair>| {
            let extend = |pair: &mut Pair| {
                let is_receiver = pattern.has(pair.peer, me);
                is_receiver.then(|| {
                    let keep = |(_, first): (&Hasher, u64), rows: Rows<ReceiverRows<'_>>| {
                        let (rows, extension) = in_memory(rows);
                        ((first, rows), extension)
                    };
                    let ((first, rows), choices, message) =
                        pair.receive(n_ots, given.as_deref(), keep);
                    let cots = ReceiverCots { choices, rows };
                    (Received { first, cots }, (pair.peer, message))
                })
            };
            Ok(pairs.iter_mut().map(extend).collect::<Vec<_>>())
        };
        let extended = self.with_pairs(extend).await?;
        let (received, messages): (Vec<_>, Vec<_>) =
            extended.into_iter().map(Option::unzip).unzip();
        let messages = messages
            .into_iter()
            .flatten()
            .filter(|(_, m)| !m.is_empty());
        let messages = messages.map(|(peer, message)| (peer, Transfer::new(message)));

        let incoming = self.session.swap(messages.collect(), &expected).await?;

        let accept = move |pairs: &mut Vec<Pair>| {
            let both = pairs.iter_mut().zip(received);
            both.map(|(pair, received)| {
                let message = pool::from(pair.peer, &incoming);
                let sent = pattern.has(me, pair.peer).then(|| {
                    let keep = |(_, first): (&Hasher, u64), delta, rows: Rows<SenderRows<'_>>| {
                        let (rows, _) = in_memory(rows);
                        let cots = SenderCots { rows };
                        Sent { first, delta, cots }
                    };
                    pair.send(n_ots, mode, message, keep)
                });
                let sent = sent.transpose()?;
                Ok(PairCots { sent, received })
            })
            .collect()
        };
        self.with_pairs(accept).await
    }

    /// From whom an extension comes, and of what length: where that is nothing, no message is sent.
    pub(super) fn expected(
        &mut self,
        pattern: Pattern,
        n_ots: usize,
        mode: Choices,
    ) -> Vec<(Seat, usize)> {
        let me = self.me();
        let senders = self.pairs.iter_mut().filter(|p| pattern.has(me, p.peer));
        senders
            .map(|p| (p.peer, p.extension_bytes(n_ots, mode)))
            .filter(|(_, n_bytes)| *n_bytes > 0)
            .collect()
    }
}

/// Rows for those who use them more than once.
pub(super) fn in_memory(rows: impl RowSource) -> (Vec<Block>, extend::Extension) {
    let n_ots = rows.n_ots();
    let mut groups = vec![[Block::ZERO; 64]; n_ots.div_ceil(64)];
    let extension = rows.each(&mut groups, 1, |_, rows, _, out| *out = *rows);
    (groups.into_flattened(), extension)
}

/// What a peer's message did wrong.
pub(super) fn blame(peer: Seat, error: OtError) -> ProtocolError {
    let what = match error {
        OtError::NotAPoint { .. } | OtError::Identity { .. } => "a string that is no group element",
        _ => "a step of another protocol",
    };
    ProtocolError::from_wire(peer, WireError::Content { what })
}
