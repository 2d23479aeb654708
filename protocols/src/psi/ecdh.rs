//! Intersection by Diffie–Hellman on hashed items.
//!
//! ```text
//! receiver: α ← secrets; sender: β ← secrets; both fresh for every run
//! round 1   receiver → sender   α·H(x) for every x, in the receiver's order
//!           sender → receiver   β·H(y) for every y, shuffled
//! round 2   sender → receiver   tag(β·(α·H(x))), cut to what n_x·n_y asks for; in the receiver's
//!                               order, or sorted where the receiver is to learn the count alone
//! receiver                      x is common if tag(α·(β·H(y))) begins with the tag of x for some y
//! ```
//!
//! A tag is a hash of the element under a key of the two seats, this place in the session and the
//! direction. Both lists of round 1 go out at the same time, chunk by chunk, and every chunk is
//! masked on all cores while others are on the wire. What is not in the wire's buffers is in a
//! [`TagStore`], so that the sets may be larger than memory.

use super::tags::{
    Collection, Entries, Entry, Fault, MemoryStore, Order, StoreError, TagStore, compare,
};
use super::{Item, tag_bytes};
use crate::cost::{Cost, Stream};
use crate::error::{Misdeed, ProtocolError};
use crate::party::Seat;
use crate::session::stream::{Consumer, Producer};
use crate::session::{Chunks, Session};
use crate::wire::{Kind, Wire, WireError, bytes_message};
use bytes::Bytes;
use engine::curve::{self, Encoded, Group};
use engine::hash::KeyedHash;
use engine::params::POINT_BYTES;
use engine::prg::{Prg, Seed};
use std::ops::Range;
use std::sync::Arc;

/// Items of one message: 128 KiB of elements, and a few milliseconds of work.
const CHUNK_ITEMS: usize = 4096;

/// What the receiver learns beyond both numbers of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learns {
    /// Which of its items the sender has too.
    Members,
    /// How many of its items the sender has too.
    Count,
}

/// What both seats know before they start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The seat that learns.
    pub receiver: Seat,
    /// The seat that learns nothing.
    pub sender: Seat,
    /// Number of the receiver's items; see [`announce`](super::announce).
    pub n_receiver: usize,
    /// Number of the sender's items.
    pub n_sender: usize,
    /// What the receiver learns.
    pub learns: Learns,
}

impl Shape {
    fn tag_bytes(&self) -> usize {
        tag_bytes(self.n_receiver, self.n_sender)
    }

    fn check(&self, seat: Seat, at: Seat) -> Result<(), ProtocolError> {
        match seat == at && self.receiver != self.sender {
            true => Ok(()),
            false => Err(ProtocolError::InvalidInput {
                what: "each of two seats has its own role in an intersection",
            }),
        }
    }
}

/// What the receiver has learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Common {
    /// Places of the common items in the receiver's order, from the first to the last.
    Members(Vec<u64>),
    /// Their number.
    Count(u64),
}

/// Distinct items, in the order in which they are sent.
pub trait ItemSource: Send + 'static {
    /// The next `n` items. As many are asked for in all as the [`Shape`] says there are.
    ///
    /// # Errors
    ///
    /// [`StoreError`], also if there are not so many left.
    fn read(&mut self, n: usize) -> Result<Vec<Item>, StoreError>;
}

/// Items whose order was drawn at random by their owner and is known to nobody else: matches that
/// a peer finds say nothing about the rows they are in. Whoever implements this has made it so.
pub trait ShuffledSource: ItemSource {}

/// Items in memory, in the order in which they are given.
pub struct InOrder {
    items: std::vec::IntoIter<Item>,
}

impl InOrder {
    /// These items.
    pub fn new(items: Vec<Item>) -> Self {
        Self {
            items: items.into_iter(),
        }
    }
}

impl ItemSource for InOrder {
    fn read(&mut self, n: usize) -> Result<Vec<Item>, StoreError> {
        let items: Vec<Item> = self.items.by_ref().take(n).collect();
        if items.len() < n {
            return Err(StoreError);
        }
        Ok(items)
    }
}

/// Items in memory, in random order.
pub struct Shuffled(InOrder);

impl Shuffled {
    /// These items, in an order drawn from a seed that nobody else knows.
    pub fn new(mut items: Vec<Item>, seed: &Seed) -> Self {
        let mut prg = Prg::new(seed, 0);
        for last in (1..items.len()).rev() {
            items.swap(last, prg.next_bounded(last as u64 + 1) as usize);
        }
        Self(InOrder::new(items))
    }
}

impl ItemSource for Shuffled {
    fn read(&mut self, n: usize) -> Result<Vec<Item>, StoreError> {
        self.0.read(n)
    }
}

impl ShuffledSource for Shuffled {}

/// Items in random order, in a store: for sets that are larger than memory.
pub struct Spilled(Entries);

impl Spilled {
    /// These items, in an order drawn from a seed that nobody else knows. They go through the store
    /// in runs that are sorted by random numbers, and come out merged. A run of a protocol has an
    /// order of its own, as it has a key of its own: an order that was kept would tell a peer which
    /// items of two runs are the same.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn new(
        items: impl Iterator<Item = Item>,
        seed: &Seed,
        store: Box<dyn TagStore>,
    ) -> Result<Self, StoreError> {
        Self::of(items.map(Ok), seed, store)
    }

    /// The same for items that come from a store.
    pub(super) fn of(
        items: impl Iterator<Item = Result<Item, StoreError>>,
        seed: &Seed,
        store: Box<dyn TagStore>,
    ) -> Result<Self, StoreError> {
        let mut prg = Prg::new(seed, 0);
        let mut all = Collection::new(store, Order::Tag);
        for item in items {
            // A random number above the item's first half; where two are equal, hashes decide.
            let item = u128::from_be_bytes(item?);
            let entry = Entry {
                tag: u128::from(prg.next_u64()) << 64 | item >> 64,
                position: item as u64,
            };
            all.add(std::iter::once(entry))?;
        }
        all.finish().map(Self)
    }
}

impl ItemSource for Spilled {
    fn read(&mut self, n: usize) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::with_capacity(n);
        for _ in 0..n {
            let Entry { tag, position } = self.0.next()?.ok_or(StoreError)?;
            let item = tag << 64 | u128::from(position);
            items.push(item.to_be_bytes());
        }
        Ok(items)
    }
}

impl ShuffledSource for Spilled {}

/// Where the receiver keeps tags.
pub struct Stores {
    /// Those of its own items.
    pub own: Box<dyn TagStore>,
    /// Those of the sender's items.
    pub peer: Box<dyn TagStore>,
}

impl Stores {
    /// In memory.
    pub fn in_memory() -> Self {
        Self {
            own: Box::new(MemoryStore::default()),
            peer: Box::new(MemoryStore::default()),
        }
    }
}

/// Learns which items, or how many, the sender has too.
///
/// # Seats     `shape.receiver`; `shape.sender` calls [`send`]
/// # Inputs    `items`: distinct, as many as the shape says, in an order of the receiver's choice;
///   `stores`: where tags are kept
/// # Output    the common items' places in that order, or their number
/// # Cost      2 rounds; 32 bytes an item each way, and back the bytes of a tag for each item of the
///   receiver; [`cost`]
/// # Security  semi-honest; decisional Diffie–Hellman in G, and hashes as random oracles. Reveals
///   both numbers of items to both, and the intersection or its size to the receiver. A receiver
///   that deviates can ask for other items than it holds, never for more than it has announced
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, no element of the
///   group, an element of small order, an item twice); [`ProtocolError::Storage`]
/// # Source    Meadows, S&P '86; Huberman–Franklin–Hogg, EC '99; CRYPTO §3.3. Differs: tags are
///   hashes, and the sender's list is shuffled
pub async fn receive<G: Group>(
    session: &mut Session,
    shape: &Shape,
    items: impl ItemSource,
    stores: Stores,
) -> Result<Common, ProtocolError> {
    let outcome = try_receive::<G>(session, shape, items, stores).await;
    session.ended_by(outcome)
}

async fn try_receive<G: Group>(
    session: &mut Session,
    shape: &Shape,
    items: impl ItemSource,
    stores: Stores,
) -> Result<Common, ProtocolError> {
    shape.check(shape.receiver, session.seat())?;
    let masks = Arc::new(Masks::<G>::new(session, shape, shape.sender));
    let mine = (chunks(shape.n_receiver), masks.clone().own(items));
    let theirs = (
        chunks(shape.n_sender),
        masks.theirs(Collection::new(stores.peer, Order::Tag)),
    );

    let (_, theirs) = session.stream(shape.sender, mine, theirs).await?;

    let returned = ReturnedTags {
        tag_bytes: shape.tag_bytes(),
        tags: Collection::new(stores.own, Order::Tag),
    };
    let returned = session
        .stream_from(shape.sender, chunks(shape.n_receiver), returned)
        .await?;

    let shape = *shape;
    let kernel = move || common(returned.tags, theirs.tags, &shape);
    session.compute().run(kernel).await
}

/// Lets the receiver learn which of its items, or how many, this seat has too.
///
/// # Seats     `shape.sender`; `shape.receiver` calls [`receive`], whose documentation has the rest
/// # Inputs    `items`: distinct, as many as the shape says, shuffled; `store`: where the tags of
///   the receiver's items wait for their turn
/// # Output    nothing
/// # Cost      see [`receive`]
/// # Security  see [`receive`]; this seat learns the number of the receiver's items
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] (length, no element of the
///   group, an element of small order; where the count alone is learnt, an item twice);
///   [`ProtocolError::Storage`]
/// # Source    see [`receive`]
pub async fn send<G: Group>(
    session: &mut Session,
    shape: &Shape,
    items: impl ShuffledSource,
    store: Box<dyn TagStore>,
) -> Result<(), ProtocolError> {
    let outcome = try_send::<G>(session, shape, items, store).await;
    session.ended_by(outcome)
}

async fn try_send<G: Group>(
    session: &mut Session,
    shape: &Shape,
    items: impl ShuffledSource,
    store: Box<dyn TagStore>,
) -> Result<(), ProtocolError> {
    shape.check(shape.sender, session.seat())?;
    let masks = Arc::new(Masks::<G>::new(session, shape, shape.receiver));
    // Sorted by tag, the receiver's items are in an order that neither side can tell from random.
    let order = match shape.learns {
        Learns::Members => Order::Arrival,
        Learns::Count => Order::Tag,
    };
    let mine = (chunks(shape.n_sender), masks.clone().own(items));
    let theirs = (
        chunks(shape.n_receiver),
        masks.theirs(Collection::new(store, order)),
    );

    let (_, theirs) = session.stream(shape.receiver, mine, theirs).await?;

    let kernel = move || theirs.tags.finish();
    let entries = session.compute().run(kernel).await.map_err(storage)?;
    let tags = TagsToReturn {
        entries,
        shape: *shape,
        last: None,
    };
    session
        .stream_to(shape.receiver, chunks(shape.n_receiver), tags)
        .await
        .map(|_| ())
}

/// The declared cost of [`receive`] and [`send`].
pub fn cost(n_seats: usize, shape: &Shape) -> Cost {
    let stream = |n_items, item_bytes| Stream::of(chunks(n_items), item_bytes);
    let (receiver, sender) = (shape.receiver, shape.sender);
    let elements = [
        (receiver, sender, stream(shape.n_receiver, POINT_BYTES)),
        (sender, receiver, stream(shape.n_sender, POINT_BYTES)),
    ];
    let tags = stream(shape.n_receiver, shape.tag_bytes());
    Cost::round(n_seats, elements).then(&Cost::round(n_seats, [(sender, receiver, tags)]))
}

fn chunks(n_items: usize) -> Chunks {
    Chunks {
        n_items,
        chunk_items: CHUNK_ITEMS,
    }
}

fn storage(StoreError: StoreError) -> ProtocolError {
    ProtocolError::Storage {
        what: "items or tags of an intersection",
    }
}

fn rule(seat: Seat, what: &'static str) -> ProtocolError {
    ProtocolError::PeerMisbehaved {
        seat,
        what: Misdeed::Rule(what),
    }
}

/// This seat's secret, and what makes a tag of an element.
struct Masks<G: Group> {
    secret: G::Secret,
    tag: KeyedHash,
    peer: Seat,
}

impl<G: Group> Masks<G> {
    fn new(session: &mut Session, shape: &Shape, peer: Seat) -> Self {
        let secret = session.own_seed("intersection by Diffie-Hellman");
        let shared = session.pair_seed(shape.receiver, shape.sender, "tags of an intersection");
        let fields = [&shared.as_bytes()[..], G::NAME.as_bytes()];
        Self {
            secret: G::secret(&mut Prg::new(&secret, 0)),
            tag: KeyedHash::new("entente/v1/psi/ecdh/tag", &fields),
            peer,
        }
    }

    fn own<S: ItemSource>(self: Arc<Self>, items: S) -> OwnItems<G, S> {
        OwnItems { masks: self, items }
    }

    fn theirs(self: Arc<Self>, tags: Collection) -> PeerElements<G> {
        PeerElements { masks: self, tags }
    }
}

/// This seat's items on their way out.
struct OwnItems<G: Group, S> {
    masks: Arc<Masks<G>>,
    items: S,
}

impl<G: Group, S: ItemSource> Producer for OwnItems<G, S> {
    type Message = Elements;

    fn make(&mut self, range: Range<usize>) -> Result<Elements, ProtocolError> {
        let items = self.items.read(range.len()).map_err(storage)?;
        if items.len() != range.len() {
            return Err(storage(StoreError));
        }
        let masked = curve::mask_items::<G>(&self.masks.secret, &items);
        Ok(Elements {
            body: masked.into_flattened().into(),
        })
    }
}

/// The peer's elements on their way in; they become tags.
struct PeerElements<G: Group> {
    masks: Arc<Masks<G>>,
    tags: Collection,
}

impl<G: Group> Consumer for PeerElements<G> {
    type Message = Elements;

    fn shape(&self, n_items: usize) -> usize {
        n_items
    }

    fn take(&mut self, items: Range<usize>, chunk: Elements) -> Result<(), ProtocolError> {
        let masks = &self.masks;
        let (elements, _) = chunk.body.as_chunks::<POINT_BYTES>();
        let masked = curve::mask_elements::<G>(&masks.secret, elements);
        let masked = masked.map_err(|error| {
            let what = match error {
                curve::ElementError::NotCanonical { .. } => "a string that is no group element",
                curve::ElementError::SmallOrder { .. } => "a group element of small order",
            };
            ProtocolError::from_wire(masks.peer, WireError::Content { what })
        })?;
        let tag = |element: &Encoded| u128::from_be_bytes(masks.tag.hash(element));
        let entries = masked.iter().zip(items).map(|(element, place)| Entry {
            tag: tag(element),
            position: place as u64,
        });
        self.tags.add(entries).map_err(storage)
    }
}

/// Tags of the receiver's items on their way back.
struct TagsToReturn {
    entries: Entries,
    shape: Shape,
    last: Option<u128>,
}

impl Producer for TagsToReturn {
    type Message = Tags;

    fn make(&mut self, items: Range<usize>) -> Result<Tags, ProtocolError> {
        let tag_bytes = self.shape.tag_bytes();
        let mut body = Vec::with_capacity(items.len() * tag_bytes);
        for _ in items {
            let entry = self.entries.next().map_err(storage)?;
            let tag = entry.expect("one entry for every item of the receiver").tag;
            // A count over an item that comes twice could tell about that one item.
            let is_repeated = self.last.replace(tag) == Some(tag);
            if is_repeated && self.shape.learns == Learns::Count {
                return Err(rule(self.shape.receiver, "it sent an item twice"));
            }
            body.extend_from_slice(&tag.to_be_bytes()[..tag_bytes]);
        }
        Ok(Tags { body: body.into() })
    }
}

/// Tags of this seat's items on their way back to it.
struct ReturnedTags {
    tag_bytes: usize,
    tags: Collection,
}

impl Consumer for ReturnedTags {
    type Message = Tags;

    fn shape(&self, n_items: usize) -> TagsShape {
        TagsShape {
            n_items,
            tag_bytes: self.tag_bytes,
        }
    }

    fn take(&mut self, items: Range<usize>, chunk: Tags) -> Result<(), ProtocolError> {
        let tags = chunk.body.chunks_exact(self.tag_bytes);
        let entries = tags.zip(items).map(|(bytes, place)| {
            let mut tag = [0; 16];
            tag[..bytes.len()].copy_from_slice(bytes);
            Entry {
                tag: u128::from_be_bytes(tag),
                position: place as u64,
            }
        });
        self.tags.add(entries).map_err(storage)
    }
}

/// What the tags say.
fn common(own: Collection, peer: Collection, shape: &Shape) -> Result<Common, ProtocolError> {
    let (own, peer) = (
        own.finish().map_err(storage)?,
        peer.finish().map_err(storage)?,
    );
    let mut places = Vec::new();
    let mut n_common = 0;
    let found = |place| {
        n_common += 1;
        if shape.learns == Learns::Members {
            places.push(place);
        }
    };
    compare(own, peer, shape.tag_bytes(), found).map_err(|fault| match fault {
        Fault::Store => storage(StoreError),
        Fault::Repeated => rule(shape.sender, "it sent an item twice"),
        Fault::Ambiguous => rule(shape.sender, "it returned a tag twice"),
    })?;
    places.sort_unstable();
    Ok(match shape.learns {
        Learns::Members => Common::Members(places),
        Learns::Count => Common::Count(n_common),
    })
}

bytes_message! {
    /// Group elements, each multiplied by its sender's secret. The shape is the number of elements.
    Elements, Elements, |n_items| n_items * POINT_BYTES
}

/// The first bytes of tags.
struct Tags {
    body: Bytes,
}

#[derive(Clone, Copy)]
struct TagsShape {
    n_items: usize,
    tag_bytes: usize,
}

impl Wire for Tags {
    const KIND: Kind = Kind::Tags;
    type Shape = TagsShape;

    fn wire_len(shape: TagsShape) -> usize {
        shape.n_items * shape.tag_bytes
    }

    fn encode(self) -> Bytes {
        self.body
    }

    fn decode(_: TagsShape, body: Bytes) -> Result<Self, WireError> {
        Ok(Self { body })
    }
}
