//! Intersection of two sets of about the same size, from symmetric operations (RR22).
//!
//! Raghuraman and Rindal, "Blazing Fast PSI from Improved OKVS and Subfield VOLE", 2022/320, figure
//! 4, semi-honest. The receiver gets a pseudo-random function at its items, the sender gets the whole
//! function and sends its values at its own items, shortened to tags and in ascending order, so that
//! nothing tells which item a tag belongs to, or where that item stood. `engine::vole` does the
//! arithmetic and says why it is secure; this file sends its messages.
//!
//! ```text
//! round 1   both ways           base OT
//!       2   receiver → sender   seed of the store; OT extension with the VOLE's choices
//!       3   sender → receiver   the VOLE's trees
//!       4   receiver → sender   the store of its items, masked by the VOLE, in chunks
//!       5   sender → receiver   tags, in chunks
//! ```
//!
//! Kernels overlap with messages: the receiver makes its store while the trees are on their way, the
//! sender adds up a chunk while the next one comes.

use super::{Item, tag_bytes};
use crate::cost::{Cost, Stream};
use crate::error::{Misdeed, ProtocolError};
use crate::party::Seat;
use crate::session::{Chunks, Session, try_both};
use crate::wire::{Kind, Wire, WireError, ring_bytes};
use bytes::Bytes;
use engine::block::{Block, gf128};
use engine::hash;
use engine::okvs::{self, OkvsError};
use engine::ot::extend::{ReceiverSetup, SenderSetup, TREES_BYTES};
use engine::ot::{Direction, OtError, base};
use engine::prg::{Prg, Seed};
use engine::tags::{self, TagList};
use engine::vole::oprf::Oprf;
use engine::vole::{self, SenderVole};
use std::sync::Arc;

/// Blocks of the store, and tags, in one message: about a mebibyte.
const CHUNK_ITEMS: usize = 1 << 16;

/// Length of the store's seed.
const SEED_BYTES: usize = 32;

/// Most items of one side.
const MAX_ITEMS: usize = 1 << 30;

/// A step of base OT or VOLE: group elements, or blocks under masks that the receiver of the message
/// does not have.
struct Step(Bytes);

impl Wire for Step {
    const KIND: Kind = Kind::Transfer;
    /// Number of bytes.
    type Shape = usize;

    fn wire_len(n_bytes: usize) -> usize {
        n_bytes
    }

    fn encode(self) -> Bytes {
        self.0
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        Ok(Self(body))
    }
}

/// Part of a store under the mask of a VOLE.
struct MaskedStore(Bytes);

impl Wire for MaskedStore {
    const KIND: Kind = Kind::Store;
    /// Number of blocks.
    type Shape = usize;

    fn wire_len(n_blocks: usize) -> usize {
        n_blocks * Block::BYTES
    }

    fn encode(self) -> Bytes {
        self.0
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        Ok(Self(body))
    }
}

/// Tags of some of the sender's items.
struct Tags(Bytes);

impl Wire for Tags {
    const KIND: Kind = Kind::Tags;
    /// Number of bytes.
    type Shape = usize;

    fn wire_len(n_bytes: usize) -> usize {
        n_bytes
    }

    fn encode(self) -> Bytes {
        self.0
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        Ok(Self(body))
    }
}

/// All that is public: who, and how much.
#[derive(Clone, Copy)]
struct Setting {
    direction: Direction,
    n_receiver: usize,
    n_sender: usize,
}

impl Setting {
    fn vole_size(&self) -> vole::Size {
        vole::Size::new(okvs::Size::new(self.n_receiver).columns())
    }

    fn choices_bytes(&self) -> usize {
        SEED_BYTES + TREES_BYTES + self.vole_size().choices_bytes()
    }

    fn store_chunks(&self) -> Chunks {
        Chunks {
            n_items: okvs::Size::new(self.n_receiver).columns(),
            chunk_items: CHUNK_ITEMS,
        }
    }

    fn tag_bytes(&self) -> usize {
        tag_bytes(self.n_receiver, self.n_sender)
    }

    /// Counted in bytes, but cut between tags.
    fn tag_chunks(&self) -> Chunks {
        Chunks {
            n_items: self.n_sender * self.tag_bytes(),
            chunk_items: CHUNK_ITEMS * self.tag_bytes(),
        }
    }

    /// Nothing is in common with nothing.
    fn is_empty(&self) -> bool {
        self.n_receiver == 0 || self.n_sender == 0
    }
}

/// Learns which of this seat's items the sender has too.
///
/// # Seats     `sender` runs [`send`] with this seat; others take no part
/// # Inputs    `items`: distinct; `n_theirs`: as the sender has announced
/// # Output    places in `items` of those that the sender has, ascending
/// # Cost      5 rounds; [`cost`]: about 21 bytes for each item of the receiver and
///   (40 + log2 n + log2 m)/8 for each of the sender, and 0.3 MB
/// # Security  semi-honest; computational: ristretto255, AES-128, BLAKE3, LPN with regular noise.
///   The receiver learns the intersection, both learn the other's number of items
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, no group element,
///   tags repeated or out of order); [`ProtocolError::InvalidInput`] if items repeat;
///   [`ProtocolError::Unlucky`] with probability 2^−40
/// # Source    2022/320, figure 4; VOLE: 2023/882 and [`engine::vole`]. Differs: clusters fail with
///   2^−40 together instead of each; tags are sorted
pub async fn receive(
    session: &mut Session,
    sender: Seat,
    items: &[Item],
    n_theirs: usize,
) -> Result<Vec<u32>, ProtocolError> {
    let setting = Setting {
        direction: direction(session, sender, session.seat()),
        n_receiver: items.len(),
        n_sender: n_theirs,
    };
    let outcome = receive_in(session, sender, setting, items).await;
    session.ended_by(outcome)
}

async fn receive_in(
    session: &mut Session,
    sender: Seat,
    setting: Setting,
    items: &[Item],
) -> Result<Vec<u32>, ProtocolError> {
    check_sizes(&setting)?;
    if setting.is_empty() {
        return Ok(Vec::new());
    }
    let compute = session.compute();
    let items = blocks(items);
    let mut prg = Prg::new(&session.own_seed("vole intersection"), 0);
    let open = move || {
        let (setup, key) = ReceiverSetup::new(setting.direction, &mut prg);
        (setup, key, prg)
    };
    let (setup, key, mut prg) = compute.run(open).await;
    let points = trade(session, sender, Step(key.into()), base::RECEIVER_BYTES).await?;

    // The seed is drawn now that the items are what they are.
    let begin = move || -> Result<_, OtError> {
        let seed = Seed::random(&mut prg);
        let (extension, trees) = setup.finish(&points.0)?;
        let size = setting.vole_size();
        let (vole, choices) = vole::Receiver::new(setting.direction, size, extension, &mut prg)?;
        let oprf = Arc::new(Oprf::new(&setting.direction, setting.n_receiver, &seed));
        let message = [&seed.as_bytes()[..], &trees, &choices].concat();
        Ok((vole, oprf, message))
    };
    let begun = compute.run(begin).await;
    let (vole, oprf, message) = begun.map_err(|e| blame(sender, e))?;
    session.send(sender, Step(message.into())).await?;

    let make_store = {
        let (oprf, items) = (oprf.clone(), items.clone());
        let store = compute.run(move || oprf.store(&items));
        async move { store.await.map_err(unfit) }
    };
    let trees = session.recv(sender, setting.vole_size().trees_bytes());
    let (store, Step(trees)) = try_both(make_store, trees).await?;

    let mask = move || -> Result<_, OtError> {
        let mut vole = vole.finish(&trees)?;
        let masked = store.into_iter().zip(&vole.a).map(|(p, a)| (p ^ *a).0);
        Ok((ring_bytes(masked.collect()), std::mem::take(&mut vole.c)))
    };
    let masked = compute.run(mask).await;
    let (masked, c) = masked.map_err(|e| blame(sender, e))?;
    let make = |range: std::ops::Range<usize>| {
        MaskedStore(masked.slice(range.start * Block::BYTES..range.end * Block::BYTES))
    };
    let take = |_, _, _: MaskedStore| Ok(());
    session
        .round_chunks(&[sender], &[], setting.store_chunks(), make, take)
        .await?;

    let evaluate = async { Ok(compute.run(move || oprf.at_receiver(&c, &items)).await) };
    let (values, list) = try_both(evaluate, receive_tags(session, sender, &setting)).await?;
    Ok(compute.run(move || list.matches(&values)).await)
}

async fn receive_tags(
    session: &mut Session,
    sender: Seat,
    setting: &Setting,
) -> Result<TagList, ProtocolError> {
    let mut list = TagList::new(setting.tag_bytes(), setting.n_sender);
    let out_of_order = |_| ProtocolError::PeerMisbehaved {
        seat: sender,
        what: Misdeed::Rule("its tags are repeated or out of order"),
    };
    let make = |_| Tags(Bytes::new());
    let take = |_, _, Tags(body): Tags| list.extend(&body).map_err(out_of_order);
    session
        .round_chunks(&[], &[sender], setting.tag_chunks(), make, take)
        .await?;
    Ok(list)
}

/// Lets the receiver learn which of its items this seat has too, and nothing of the others.
///
/// # Seats     `receiver` runs [`receive`] with this seat; others take no part
/// # Inputs    `items`: distinct; `n_theirs`: as the receiver has announced
/// # Output    none
/// # Cost      5 rounds; [`cost`]
/// # Security  as for [`receive`]; this seat learns the number of the receiver's items
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, no group
///   element); [`ProtocolError::InvalidInput`] if items repeat; [`ProtocolError::Unlucky`] with
///   probability 2^−40
/// # Source    2022/320, figure 4
pub async fn send(
    session: &mut Session,
    receiver: Seat,
    items: &[Item],
    n_theirs: usize,
) -> Result<(), ProtocolError> {
    let setting = Setting {
        direction: direction(session, session.seat(), receiver),
        n_receiver: n_theirs,
        n_sender: items.len(),
    };
    let outcome = send_in(session, receiver, setting, items).await;
    session.ended_by(outcome)
}

async fn send_in(
    session: &mut Session,
    receiver: Seat,
    setting: Setting,
    items: &[Item],
) -> Result<(), ProtocolError> {
    check_sizes(&setting)?;
    if setting.is_empty() {
        return Ok(());
    }
    let compute = session.compute();
    let items = blocks(items);
    let mut prg = Prg::new(&session.own_seed("vole intersection"), 0);
    let open = move || SenderSetup::new(setting.direction, &mut prg);
    let (setup, points) = compute.run(open).await;
    let key = trade(session, receiver, Step(points.into()), base::SENDER_BYTES).await?;

    let Step(message) = session.recv(receiver, setting.choices_bytes()).await?;
    let begin = move || -> Result<_, OtError> {
        let (seed, message) = message.split_at(SEED_BYTES);
        let (trees, choices) = message.split_at(TREES_BYTES);
        let seed = Seed::from_bytes(seed.try_into().expect("32 bytes were cut out"));
        let oprf = Oprf::new(&setting.direction, setting.n_receiver, &seed);
        let extension = setup.finish(&key.0, trees)?;
        let size = setting.vole_size();
        let (vole, trees) = vole::Sender::new(setting.direction, size, extension, choices)?;
        Ok((oprf, vole, trees))
    };
    let begun = compute.run(begin).await;
    let (oprf, vole, trees) = begun.map_err(|e| blame(receiver, e))?;
    session.send(receiver, Step(trees.into())).await?;
    let mut vole = compute.run(move || vole.finish()).await;

    let delta = vole.delta;
    let take = |_, range: std::ops::Range<usize>, MaskedStore(body)| {
        let (blocks, _) = body.as_chunks();
        let blocks: Vec<Block> = blocks.iter().map(|b| Block::from_bytes(*b)).collect();
        gf128::add_scaled(&mut vole.b[range], &blocks, delta);
        Ok(())
    };
    let make = |_| MaskedStore(Bytes::new());
    session
        .round_chunks(&[], &[receiver], setting.store_chunks(), make, take)
        .await?;

    let tag = move || make_tags(&oprf, &vole, &items, setting.tag_bytes());
    let tags = compute.run(tag).await?;
    let n_bytes = setting.tag_bytes();
    let make = |range: std::ops::Range<usize>| {
        let range = range.start / n_bytes..range.end / n_bytes;
        Tags(tags::to_bytes(&tags[range], n_bytes).into())
    };
    let take = |_, _, _: Tags| Ok(());
    session
        .round_chunks(&[receiver], &[], setting.tag_chunks(), make, take)
        .await
}

/// The tags of the sender's items in ascending order.
fn make_tags(
    oprf: &Oprf,
    vole: &SenderVole,
    items: &[Block],
    tag_bytes: usize,
) -> Result<Vec<u128>, ProtocolError> {
    let values = oprf.at_sender(vole.delta, &vole.b, items);
    let tags = tags::ascending(&values, tag_bytes);
    if tags.windows(2).all(|pair| pair[0] != pair[1]) {
        return Ok(tags);
    }
    let mut items: Vec<u128> = items.iter().map(|item| item.0).collect();
    items.sort_unstable();
    Err(match items.windows(2).any(|pair| pair[0] == pair[1]) {
        true => unfit(OkvsError::Duplicate),
        false => ProtocolError::Unlucky {
            what: "telling items apart by their tags",
        },
    })
}

/// The declared cost of one [`send`] and [`receive`].
pub fn cost(
    n_seats: usize,
    (sender, n_sender): (Seat, usize),
    (receiver, n_receiver): (Seat, usize),
) -> Cost {
    let setting = Setting {
        direction: Direction {
            session_id: [0; 32],
            operation: 0,
            sender: sender.0,
            receiver: receiver.0,
        },
        n_receiver,
        n_sender,
    };
    if setting.is_empty() {
        return Cost::none(n_seats);
    }
    let one = |n_bytes: usize| Stream {
        n_bytes: n_bytes as u64,
        n_messages: 1,
    };
    let to_sender = |stream| Cost::round(n_seats, [(receiver, sender, stream)]);
    let to_receiver = |stream| Cost::round(n_seats, [(sender, receiver, stream)]);
    let base = [
        (sender, receiver, one(base::RECEIVER_BYTES)),
        (receiver, sender, one(base::SENDER_BYTES)),
    ];
    Cost::round(n_seats, base)
        .then(&to_sender(one(setting.choices_bytes())))
        .then(&to_receiver(one(setting.vole_size().trees_bytes())))
        .then(&to_sender(Stream::of(setting.store_chunks(), Block::BYTES)))
        .then(&to_receiver(Stream::of(setting.tag_chunks(), 1)))
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

fn blocks(items: &[Item]) -> Arc<Vec<Block>> {
    Arc::new(items.iter().map(|item| Block::from_bytes(*item)).collect())
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

fn check_sizes(setting: &Setting) -> Result<(), ProtocolError> {
    if setting.n_receiver.max(setting.n_sender) > MAX_ITEMS {
        return Err(ProtocolError::InvalidInput {
            what: "an intersection is limited to 2^30 items a side; divide the sets",
        });
    }
    Ok(())
}

fn unfit(error: OkvsError) -> ProtocolError {
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
