//! The oblivious pseudo-random function that the protocols here share: RR22, from a VOLE and a store.
//!
//! The receiver learns F at its own items and nowhere else; the sender can compute F anywhere and
//! learns how many items there are. `engine::vole::oprf` does the arithmetic; this file sends its
//! messages.
//!
//! ```text
//! round 1   both ways           base OT
//!       2   receiver → sender   seed of the store; OT extension with the VOLE's choices
//!       3   sender → receiver   the VOLE's trees
//!       4   receiver → sender   the store of its items, masked by the VOLE, in chunks
//! ```
//!
//! Kernels overlap with messages: the receiver makes its store while the trees are on their way, the
//! sender adds up a chunk while the next one comes.
//!
//! Raghuraman and Rindal, 2022/320, figure 4, without its last step; VOLE: 2023/882. Differs:
//! clusters of the store fail with 2^−40 together instead of each.

use super::Item;
use crate::cost::Stream;
use crate::error::ProtocolError;
use crate::party::Seat;
use crate::session::{Chunks, Session, try_both};
use crate::wire::{WireError, bytes_message, ring_bytes};
use bytes::Bytes;
use engine::block::{Block, gf128};
use engine::hash;
use engine::okvs::{self, OkvsError};
use engine::ot::extend::{ReceiverSetup, SenderSetup, TREES_BYTES};
use engine::ot::{Direction, OtError, base};
use engine::prg::{Prg, Seed};
use engine::vole::oprf::Oprf;
use engine::vole::{self, SenderVole};
use std::ops::Range;
use std::sync::Arc;

/// Blocks of a store in one message: a mebibyte.
pub(super) const CHUNK_BLOCKS: usize = 1 << 16;

/// Length of the store's seed.
const SEED_BYTES: usize = 32;

bytes_message! {
    /// A step of base OT or VOLE: group elements, or blocks under masks that the receiver of the message
    /// does not have. The shape is the number of bytes.
    Step, Transfer, |n_bytes| n_bytes
}

bytes_message! {
    /// Part of a store under the mask of a VOLE. The shape is the number of blocks.
    MaskedStore, Store, |n_blocks| n_blocks * Block::BYTES
}

/// Where the OTs belong. The number of the operation comes from a seed of the two seats, which
/// counts what these two have done, whatever others do meanwhile.
fn direction(session: &mut Session, sender: Seat, receiver: Seat) -> Direction {
    let seed = session.pair_seed(sender, receiver, "vole intersection");
    let digest = hash::digest("entente/v1/psi/vole/operation", &[seed.as_bytes()]);
    let (operation, _) = digest.split_first_chunk().expect("32 bytes have a first 8");
    Direction {
        session_id: *session.session_id(),
        operation: u64::from_le_bytes(*operation),
        sender: sender.0,
        receiver: receiver.0,
    }
}

fn vole_size(n_items: usize) -> vole::Size {
    vole::Size::new(okvs::Size::new(n_items).columns())
}

fn choices_bytes(n_items: usize) -> usize {
    SEED_BYTES + TREES_BYTES + vole_size(n_items).choices_bytes()
}

fn store_chunks(n_items: usize) -> Chunks {
    Chunks {
        n_items: okvs::Size::new(n_items).columns(),
        chunk_items: CHUNK_BLOCKS,
    }
}

/// F at the receiver's items.
pub(super) struct AtReceiver {
    oprf: Arc<Oprf>,
    c: Vec<Block>,
    items: Arc<Vec<Block>>,
}

impl AtReceiver {
    /// The values, in the items' order.
    pub(super) fn values(&self) -> Vec<Block> {
        self.oprf.at_receiver(&self.c, &self.items)
    }
}

/// F anywhere.
pub(super) struct AtSender {
    oprf: Oprf,
    vole: SenderVole,
}

impl AtSender {
    /// The values at these items.
    pub(super) fn values(&self, items: &[Block]) -> Vec<Block> {
        self.oprf.at_sender(self.vole.delta, &self.vole.b, items)
    }
}

/// Items as blocks.
pub(super) fn blocks(items: &[Item]) -> Vec<Block> {
    items.iter().map(|item| Block::from_bytes(*item)).collect()
}

/// Applies the sender's function to this seat's items, which are distinct.
///
/// Errors are those of [`super::vole::receive`]; the caller ends the session.
pub(super) async fn receive(
    session: &mut Session,
    sender: Seat,
    items: Arc<Vec<Block>>,
) -> Result<AtReceiver, ProtocolError> {
    let n_items = items.len();
    let direction = direction(session, sender, session.seat());
    let compute = session.compute();
    let mut prg = Prg::new(&session.own_seed("vole intersection"), 0);
    let open = move || {
        let (setup, key) = ReceiverSetup::new(direction, &mut prg);
        (setup, key, prg)
    };
    let (setup, key, mut prg) = compute.run(open).await;
    let points = trade(
        session,
        sender,
        Step { body: key.into() },
        base::RECEIVER_BYTES,
    )
    .await?;

    // The seed is drawn now that the items are what they are.
    let begin = move || -> Result<_, OtError> {
        let seed = Seed::random(&mut prg);
        let (extension, trees) = setup.finish(&points.body)?;
        let size = vole_size(n_items);
        let (vole, choices) = vole::Receiver::new(direction, size, extension, &mut prg)?;
        let oprf = Arc::new(Oprf::new(&direction, n_items, &seed));
        let message = [&seed.as_bytes()[..], &trees, &choices].concat();
        Ok((vole, oprf, message))
    };
    let begun = compute.run(begin).await;
    let (vole, oprf, message) = begun.map_err(|e| blame(sender, e))?;
    session
        .send(
            sender,
            Step {
                body: message.into(),
            },
        )
        .await?;

    let make_store = {
        let (oprf, items) = (oprf.clone(), items.clone());
        let store = compute.run(move || oprf.store(&items));
        async move { store.await.map_err(unfit) }
    };
    let trees = session.recv(sender, vole_size(n_items).trees_bytes());
    let (store, Step { body: trees }) = try_both(make_store, trees).await?;

    let mask = move || -> Result<_, OtError> {
        let mut vole = vole.finish(&trees)?;
        let masked = store.into_iter().zip(&vole.a).map(|(p, a)| (p ^ *a).0);
        Ok((ring_bytes(masked.collect()), std::mem::take(&mut vole.c)))
    };
    let masked = compute.run(mask).await;
    let (masked, c) = masked.map_err(|e| blame(sender, e))?;
    let make = |range: Range<usize>| MaskedStore {
        body: masked.slice(range.start * Block::BYTES..range.end * Block::BYTES),
    };
    let take = |_, _, _: MaskedStore| Ok(());
    session
        .round_chunks(&[sender], &[], store_chunks(n_items), make, take)
        .await?;
    Ok(AtReceiver { oprf, c, items })
}

/// Lets the receiver apply this seat's function to `n_items` items.
///
/// Errors are those of [`super::vole::send`]; the caller ends the session.
pub(super) async fn send(
    session: &mut Session,
    receiver: Seat,
    n_items: usize,
) -> Result<AtSender, ProtocolError> {
    let direction = direction(session, session.seat(), receiver);
    let compute = session.compute();
    let mut prg = Prg::new(&session.own_seed("vole intersection"), 0);
    let open = move || SenderSetup::new(direction, &mut prg);
    let (setup, points) = compute.run(open).await;
    let key = trade(
        session,
        receiver,
        Step {
            body: points.into(),
        },
        base::SENDER_BYTES,
    )
    .await?;

    let Step { body: message } = session.recv(receiver, choices_bytes(n_items)).await?;
    let begin = move || -> Result<_, OtError> {
        let (seed, message) = message.split_at(SEED_BYTES);
        let (trees, choices) = message.split_at(TREES_BYTES);
        let seed = Seed::from_bytes(seed.try_into().expect("32 bytes were cut out"));
        let oprf = Oprf::new(&direction, n_items, &seed);
        let extension = setup.finish(&key.body, trees)?;
        let (vole, trees) = vole::Sender::new(direction, vole_size(n_items), extension, choices)?;
        Ok((oprf, vole, trees))
    };
    let begun = compute.run(begin).await;
    let (oprf, vole, trees) = begun.map_err(|e| blame(receiver, e))?;
    session.send(receiver, Step { body: trees.into() }).await?;
    let mut vole = compute.run(move || vole.finish()).await;

    let delta = vole.delta;
    let take = |_, range: Range<usize>, MaskedStore { body }| {
        let (blocks, _) = body.as_chunks();
        let blocks: Vec<Block> = blocks.iter().map(|b| Block::from_bytes(*b)).collect();
        gf128::add_scaled(&mut vole.b[range], &blocks, delta);
        Ok(())
    };
    let make = |_| MaskedStore { body: Bytes::new() };
    session
        .round_chunks(&[], &[receiver], store_chunks(n_items), make, take)
        .await?;
    Ok(AtSender { oprf, vole })
}

/// Sends a step to the peer and receives one of this length.
async fn trade(
    session: &mut Session,
    peer: Seat,
    step: Step,
    n_bytes: usize,
) -> Result<Step, ProtocolError> {
    let received = session.round(&[peer], &[peer], Some(step), n_bytes).await?;
    let (_, step) = received
        .into_iter()
        .next()
        .expect("one message from the peer");
    Ok(step)
}

/// What one seat sends another.
pub(super) type Sent = (Seat, Seat, Stream);

/// One message of this length.
pub(super) fn one(n_bytes: usize) -> Stream {
    Stream {
        n_bytes: n_bytes as u64,
        n_messages: 1,
    }
}

/// What is sent in each of the four rounds for one sender and a receiver with so many items.
pub(super) fn rounds(sender: Seat, receiver: Seat, n_items: usize) -> [Vec<Sent>; 4] {
    let to_sender = |stream| vec![(receiver, sender, stream)];
    let to_receiver = |stream| vec![(sender, receiver, stream)];
    [
        vec![
            (sender, receiver, one(base::RECEIVER_BYTES)),
            (receiver, sender, one(base::SENDER_BYTES)),
        ],
        to_sender(one(choices_bytes(n_items))),
        to_receiver(one(vole_size(n_items).trees_bytes())),
        to_sender(Stream::of(store_chunks(n_items), Block::BYTES)),
    ]
}

/// Why items cannot be stored.
pub(super) fn unfit(error: OkvsError) -> ProtocolError {
    match error {
        OkvsError::Duplicate => ProtocolError::InvalidInput {
            what: "an item occurs twice in a set",
        },
        _ => ProtocolError::Unlucky {
            what: "storing the items under their hashes",
        },
    }
}

/// What a peer's message did wrong.
fn blame(peer: Seat, error: OtError) -> ProtocolError {
    let what = match error {
        OtError::NotAPoint { .. } | OtError::Identity { .. } => "a string that is no group element",
        _ => "a step of another protocol",
    };
    ProtocolError::from_wire(peer, WireError::Content { what })
}
