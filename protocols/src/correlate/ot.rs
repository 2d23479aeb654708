//! Correlated randomness from oblivious transfer: no third party.
//!
//! Every ordered pair of computing seats sets up an OT extension from Diffie–Hellman, once for each
//! preparation, and extends it to one random OT for each bit triple. `engine::ot` does the
//! arithmetic and says why it is secure; this file sends its messages.
//!
//! ```text
//! round 1        to every peer: base OT, for the direction away from me and the one towards me
//! batch, round 1 to every peer: the extension in which it is the OT's sender; first the trees
//!        round 2 three and more seats only: to every peer: corrections of my a
//! ```
//!
//! All messages of a round go to all peers at once, and every seat sends every peer the same
//! lengths. A batch is one message to each peer, so that nobody holds more than a batch's in memory.

use super::stock::BIT_TRIPLES;
use super::{BitTriples, Needs, Stock};
use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::{Chunks, Session};
use crate::wire::{Kind, MaskedBits, Wire, WireError};
use bytes::Bytes;
use engine::ot::extend::{
    Choices, Receiver, ReceiverBits, ReceiverSetup, Sender, SenderBits, SenderSetup, TREES_BYTES,
    message_bytes,
};
use engine::ot::triples::{self, PairBits};
use engine::ot::{Direction, OtError, base};
use engine::params::MAX_OTS;
use engine::prg::{Prg, Seed};
use rayon::prelude::*;

/// Words of triples in one batch: 2^20 OTs, and a message of about 4 MiB.
const BATCH_WORDS: usize = 1 << 14;

/// Length of the first message: the base OT's two messages, one for each direction.
const SETUP_BYTES: usize = base::RECEIVER_BYTES + base::SENDER_BYTES;

/// Group elements of a base OT, or bits that a generator masks which the receiver does not have.
struct Transfer {
    body: Bytes,
}

impl Transfer {
    fn new(body: Vec<u8>) -> Self {
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

/// Both directions of OT with one peer, between this seat's first message and the peer's.
struct Opening {
    sender: SenderSetup,
    receiver: ReceiverSetup,
}

impl Opening {
    /// `outgoing` is the direction in which this seat is the OT's sender.
    fn new(outgoing: Direction, seed: &Seed) -> (Self, Transfer) {
        let incoming = Direction {
            sender: outgoing.receiver,
            receiver: outgoing.sender,
            ..outgoing
        };
        let mut prg = Prg::new(seed, 0);
        let (sender, mut message) = SenderSetup::new(outgoing, &mut prg);
        let (receiver, key) = ReceiverSetup::new(incoming, &mut prg);
        message.extend(key);
        (Self { sender, receiver }, Transfer::new(message))
    }

    fn finish(self, peer: Seat, message: &Transfer) -> Result<Pair, ProtocolError> {
        let (points, _) = message.body.split_at(base::RECEIVER_BYTES);
        let key = message.body.slice(base::RECEIVER_BYTES..);
        let finished = self.receiver.finish(points);
        let (receiver, trees) = finished.map_err(|e| blame(peer, e))?;
        let sender = Outgoing::Waiting(self.sender, key);
        Ok(Pair {
            peer,
            sender,
            receiver,
            trees,
        })
    }
}

/// Both directions of OT with one peer.
struct Pair {
    peer: Seat,
    sender: Outgoing,
    receiver: Receiver,
    /// Tree corrections that go out with the first extension; empty afterwards.
    trees: Vec<u8>,
}

/// The direction in which this seat is the OT's sender.
enum Outgoing {
    /// The peer's trees are still to come, with its first extension. It has sent its key.
    Waiting(SenderSetup, Bytes),
    Ready(Sender),
}

impl Pair {
    /// Extends the direction towards this seat, and says what to send.
    fn extend(mut self, batch: Batch, given: Option<&[u64]>) -> ((Self, ReceiverBits), Transfer) {
        let extended = self.receiver.bits(batch.n_ots(), given);
        let (received, extension) = extended.expect("no more OTs than a session allows");
        let mut message = std::mem::take(&mut self.trees);
        message.extend_from_slice(&extension);
        ((self, received), Transfer::new(message))
    }

    /// Extends the direction away from this seat with what the peer sent.
    fn accept(self, batch: Batch, message: &Transfer) -> Result<(Self, SenderBits), ProtocolError> {
        let Self {
            peer,
            sender,
            receiver,
            trees,
        } = self;
        let accept = || {
            let (mut sender, extension) = match sender {
                Outgoing::Ready(sender) => (sender, &message.body[..]),
                Outgoing::Waiting(setup, key) => {
                    let (trees, extension) = message.body.split_at(TREES_BYTES);
                    (setup.finish(&key, trees)?, extension)
                }
            };
            let sent = sender.bits(batch.n_ots(), batch.choices(), extension)?;
            Ok((sender, sent))
        };
        let (sender, sent) = accept().map_err(|e| blame(peer, e))?;
        let sender = Outgoing::Ready(sender);
        Ok((
            Self {
                peer,
                sender,
                receiver,
                trees,
            },
            sent,
        ))
    }
}

/// The shape of one batch, which fixes the lengths of its messages.
#[derive(Clone, Copy)]
struct Batch {
    n_words: usize,
    is_first: bool,
    n_computing: usize,
}

impl Batch {
    fn all(n_computing: usize, needs: &Needs) -> impl Iterator<Item = Self> {
        let chunks = Chunks {
            n_items: needs.bit_triple_words(),
            chunk_items: BATCH_WORDS,
        };
        (0..chunks.count()).map(move |batch| Self {
            n_words: chunks.range(batch).len(),
            is_first: batch == 0,
            n_computing,
        })
    }

    fn n_ots(self) -> usize {
        self.n_words * u64::BITS as usize
    }

    /// With more than two seats, each uses the same bits with all others.
    fn choices(self) -> Choices {
        match self.n_computing {
            2 => Choices::Random,
            _ => Choices::Given,
        }
    }

    fn message_bytes(self) -> usize {
        let trees = if self.is_first { TREES_BYTES } else { 0 };
        trees + message_bytes(self.n_ots(), self.choices())
    }

    /// Length of a correction, if there is one.
    fn correction_words(self) -> Option<usize> {
        (self.choices() == Choices::Given).then_some(self.n_words)
    }
}

/// This seat's bits of a batch, where it uses the same ones with several others.
struct OwnBits {
    a: Vec<u64>,
    b: Vec<u64>,
}

impl OwnBits {
    fn draw(n_words: usize, prg: &mut Prg) -> Self {
        let mut draw = || {
            let mut words = vec![0; n_words];
            prg.fill_ring(&mut words);
            words
        };
        Self {
            a: draw(),
            b: draw(),
        }
    }
}

/// Makes what `needs` says.
///
/// # Seats     symmetric among the computing seats, any number ≥ 2
/// # Inputs    `needs`: the same at all seats
/// # Output    a stock of exactly these needs, in whole words
/// # Cost      [`cost`]: 1 + 1 round for 2^20 triples and 2 seats, 1 + 2 for more seats; to each
///   other seat 11 296 bytes once, and 31 bits for each triple (33 for more seats)
/// # Security  semi-honest, all but one seat may be corrupt; computational: Diffie–Hellman on
///   ristretto255, AES-128, BLAKE3. Reveals the needs
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, or a string that
///   is no group element); [`ProtocolError::OverBudget`] over 2^40 triples, and
///   [`ProtocolError::InvalidInput`] at a dealer, before anything is sent
/// # Source    base OT: Masny–Rindal, 2019/706; extension: Roy, 2022/192, k = 4; triples:
///   Goldreich–Micali–Wigderson, STOC '87. Differs: see [`engine::ot`]
pub(super) async fn generate(session: &mut Session, needs: &Needs) -> Result<Stock, ProtocolError> {
    if session.dealer() == Some(session.seat()) {
        return Err(ProtocolError::InvalidInput {
            what: "a dealer takes no part in oblivious transfer",
        });
    }
    let of_bit_triples = Needs {
        bit_triples: needs.bit_triples,
        ..Needs::default()
    };
    if *needs != of_bit_triples {
        return Err(ProtocolError::InvalidInput {
            what: "oblivious transfer makes bit triples, and no other correlation",
        });
    }
    let n_words = needs.bit_triple_words();
    let n_ots = n_words as u64 * u64::from(u64::BITS);
    if n_ots > MAX_OTS {
        return Err(ProtocolError::OverBudget {
            what: BIT_TRIPLES,
            needed: n_ots,
            declared: MAX_OTS,
        });
    }
    let mut prg = Prg::new(&session.own_seed("bits of triples"), 0);
    let mut pairs = set_up(session).await?;
    let mut parts = Vec::new();
    for batch in Batch::all(session.n_computing(), needs) {
        let own = batch.correction_words().map(|n| OwnBits::draw(n, &mut prg));
        let (next, transferred, own) = transfer(session, pairs, batch, own).await?;
        pairs = next;
        parts.push(multiply(session, batch, transferred, own).await?);
    }
    let triples = BitTriples::concatenate(parts.into_iter(), n_words);
    Ok(Stock::from_bit_triples(triples))
}

/// Runs the base OTs in both directions with every peer.
async fn set_up(session: &mut Session) -> Result<Vec<Pair>, ProtocolError> {
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
            .map(|(direction, seed)| Opening::new(*direction, seed))
            .unzip()
    };
    let (openings, messages): (Vec<Opening>, _) = session.compute().run(open).await;

    let received = session.exchange_each(messages, SETUP_BYTES).await?;

    let finish = move || {
        let both = openings.into_par_iter().zip(received);
        both.map(|(opening, (peer, message))| opening.finish(peer, &message))
            .collect()
    };
    session.compute().run(finish).await
}

/// One random OT of one bit for each triple of a batch, in both directions with every peer.
async fn transfer(
    session: &mut Session,
    pairs: Vec<Pair>,
    batch: Batch,
    own: Option<OwnBits>,
) -> Result<(Vec<Pair>, Vec<PairBits>, Option<OwnBits>), ProtocolError> {
    let extend = move || {
        let given = own.as_ref().map(|own| own.b.as_slice());
        let extended = pairs.into_par_iter().map(|pair| pair.extend(batch, given));
        (extended.unzip(), own)
    };
    let ((extended, messages), own): ((Vec<_>, _), _) = session.compute().run(extend).await;

    let incoming = session
        .exchange_each(messages, batch.message_bytes())
        .await?;

    let accept = move || -> Result<(Vec<Pair>, Vec<PairBits>), ProtocolError> {
        let both = extended.into_par_iter().zip(incoming);
        let accepted = both.map(|((pair, received), (_, message))| {
            let (pair, sent) = pair.accept(batch, &message)?;
            Ok((pair, PairBits { sent, received }))
        });
        let accepted: Result<Vec<_>, _> = accepted.collect();
        Ok(accepted?.into_iter().unzip())
    };
    let (pairs, bits) = session.compute().run(accept).await?;
    Ok((pairs, bits, own))
}

/// Makes triples from a batch of OTs.
async fn multiply(
    session: &mut Session,
    batch: Batch,
    pairs: Vec<PairBits>,
    own: Option<OwnBits>,
) -> Result<BitTriples, ProtocolError> {
    let Some(OwnBits { a, b }) = own else {
        return Ok(triples::between_two(batch.n_ots(), &pairs[0]).into());
    };
    let correction = |pair: &PairBits| MaskedBits::new(triples::correction(&a, &pair.sent));
    let corrections = pairs.iter().map(correction).collect();

    let received = session.exchange_each(corrections, batch.n_words).await?;

    let words = |(_, message): (Seat, MaskedBits)| {
        let mut f = vec![0; batch.n_words];
        message.xor_to(&mut f);
        f
    };
    let others: Vec<_> = pairs
        .into_iter()
        .zip(received.into_iter().map(words))
        .collect();
    Ok(triples::among_many(batch.n_ots(), a, b, &others).into())
}

impl From<triples::BitTriples> for BitTriples {
    fn from(triples: triples::BitTriples) -> Self {
        let triples::BitTriples { a, b, c } = triples;
        Self::new(a.into_words(), b.into_words(), c.into_words())
    }
}

/// The declared cost of [`generate`].
pub(super) fn cost(n_computing: usize, needs: &Needs) -> Cost {
    if needs.is_nothing() {
        return Cost::none(n_computing);
    }
    let all_to_all = |n_bytes: usize| {
        let stream = Stream {
            n_bytes: n_bytes as u64,
            n_messages: 1,
        };
        Cost::all_to_all(n_computing, n_computing, stream)
    };
    Batch::all(n_computing, needs).fold(all_to_all(SETUP_BYTES), |cost, batch| {
        let cost = cost.then(&all_to_all(batch.message_bytes()));
        match batch.correction_words() {
            Some(n_words) => cost.then(&all_to_all(n_words * 8)),
            None => cost,
        }
    })
}

/// What a peer's message did wrong.
fn blame(peer: Seat, error: OtError) -> ProtocolError {
    let what = match error {
        OtError::NotAPoint { .. } | OtError::Identity { .. } => "a string that is no group element",
        _ => "a step of another protocol",
    };
    ProtocolError::from_wire(peer, WireError::Content { what })
}
