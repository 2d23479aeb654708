//! How a protocol sends and receives.
//!
//! A [`Session`] is one seat's place in one computation. It is not `Clone`: two protocols that
//! shared one could mix up each other's messages. A sub-protocol gets a session of its own on a
//! child path ([`Session::within`], [`Session::join`]).
//!
//! # Contract
//!
//! * [`Session::new`] sends nothing. Links are opened when a message first needs them.
//! * All seats call the same operations in the same order on the same path. What is sent depends,
//!   in number and length, on public sizes alone.
//! * Every operation that sends and receives does both at once, so bounded links cannot deadlock.
//! * The first error ends the session for good: its links close, so that every peer finds out. An
//!   operation or a sub-protocol whose future is dropped before its end counts as an error.
//! * The dealer, if there is one, is the last seat. Operations over "all" seats run over the
//!   computing seats, which are all the others.

mod concurrent;
mod star;
mod keys;
pub mod stream;
mod traffic;
mod transfer;
mod watched;

pub use keys::insecure_configs;
pub use traffic::Traffic;
pub use watched::Reached;

use crate::compute::Compute;
use crate::error::{LinkError, ProtocolError};
use crate::net::{Inlet, Network, Outlet};
use crate::party::Seat;
use crate::path::Path;
use crate::stamp::Stamp;
use crate::wire::Wire;
use bytes::Bytes;
pub(crate) use concurrent::try_both;
use engine::hash;
use engine::prg::Seed;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use traffic::Meter;
use transfer::Transfer;

/// Everything that a session is made from.
pub struct SessionConfig {
    /// This seat.
    pub seat: Seat,
    /// Number of seats, a dealer included.
    pub n_seats: usize,
    /// True if the last seat deals correlated randomness and takes no part in the computation.
    pub has_dealer: bool,
    /// Identifies this run of this job; made from fresh nonces of all parties.
    pub session_id: [u8; 32],
    /// Root of this seat's own randomness: fresh for this run, known to nobody else.
    pub own_seed: Seed,
    /// For each seat the secret shared with it alone in this run; `None` for this seat.
    pub pair_seeds: Vec<Option<Seed>>,
    /// The way to the other seats.
    pub network: Arc<dyn Network>,
    /// Where kernels run.
    pub compute: Compute,
}

/// What a session and its children share.
struct Shared {
    seat: Seat,
    n_seats: usize,
    has_dealer: bool,
    session_id: [u8; 32],
    own_seed: Seed,
    pair_seeds: Vec<Option<Seed>>,
    compute: Compute,
    meter: Meter,
    watched: watched::Watched,
}

/// One seat's place in one computation.
///
/// What can be sent is what implements [`Wire`]. Shares do not:
///
/// ```compile_fail
/// # use protocols::{party::Seat, session::Session};
/// # use engine::share::Share;
/// async fn leak(session: &mut Session, share: Share<u64>) {
///     session.send(Seat(1), share).await.expect("a share cannot be sent");
/// }
/// ```
/// Neither do seeds or plain columns:
///
/// ```compile_fail
/// # use protocols::{party::Seat, session::Session};
/// async fn leak(session: &mut Session, column: Vec<u64>) {
///     session.send(Seat(1), column).await.expect("a plain column cannot be sent");
/// }
/// ```
pub struct Session {
    shared: Arc<Shared>,
    /// `None` once the session has failed.
    network: Option<Arc<dyn Network>>,
    path: Path,
    links: BTreeMap<Seat, Link>,
    clock: Stamp,
    /// How often each label was used for a child of this path.
    children: BTreeMap<&'static str, u32>,
    /// How often each name was used on this path: of a key of two seats, or of all seats.
    occurrences: BTreeMap<(Option<(Seat, Seat)>, &'static str), u64>,
    /// Running digest of everything that was opened to all seats.
    view: [u8; 32],
}

struct Link {
    outlet: Box<dyn Outlet>,
    inlet: Box<dyn Inlet>,
}

impl Session {
    /// Takes a seat. Nothing is sent.
    ///
    /// # Panics
    ///
    /// If the seat, the seeds and the number of seats do not fit together, or fewer than two seats
    /// compute.
    pub fn new(config: SessionConfig) -> Self {
        let SessionConfig {
            seat,
            n_seats,
            has_dealer,
            session_id,
            ..
        } = config;
        assert!(seat.index() < n_seats, "the seat is one of the session's");
        assert!(
            n_seats >= 2 + usize::from(has_dealer),
            "at least two seats compute"
        );
        assert_eq!(
            config.pair_seeds.len(),
            n_seats,
            "one pair seed for each seat"
        );
        for (other, pair_seed) in Seat::first(n_seats).zip(&config.pair_seeds) {
            assert_eq!(
                pair_seed.is_none(),
                other == seat,
                "a pair seed for every other seat"
            );
        }
        let shared = Shared {
            seat,
            n_seats,
            has_dealer,
            session_id,
            own_seed: config.own_seed,
            pair_seeds: config.pair_seeds,
            compute: config.compute,
            meter: Meter::new(n_seats),
            watched: watched::Watched::default(),
        };
        Self::on_path(
            Arc::new(shared),
            Some(config.network),
            Path::root(),
            Stamp::default(),
            [0; 32],
        )
    }

    fn on_path(
        shared: Arc<Shared>,
        network: Option<Arc<dyn Network>>,
        path: Path,
        clock: Stamp,
        view: [u8; 32],
    ) -> Self {
        Self {
            shared,
            network,
            path,
            links: BTreeMap::new(),
            clock,
            children: BTreeMap::new(),
            occurrences: BTreeMap::new(),
            view,
        }
    }

    /// This seat.
    pub fn seat(&self) -> Seat {
        self.shared.seat
    }

    /// Number of seats, a dealer included.
    pub fn n_seats(&self) -> usize {
        self.shared.n_seats
    }

    /// Number of seats that hold shares: all but the dealer.
    pub fn n_computing(&self) -> usize {
        self.shared.n_seats - usize::from(self.shared.has_dealer)
    }

    /// The dealer's seat, if there is a dealer.
    pub fn dealer(&self) -> Option<Seat> {
        self.shared
            .has_dealer
            .then(|| Seat::from_index(self.shared.n_seats - 1))
    }

    /// The computing seats in order.
    pub fn computing_seats(&self) -> impl Iterator<Item = Seat> + Clone + use<> {
        Seat::first(self.n_computing())
    }

    /// The computing seats without this one, in order.
    pub fn peers(&self) -> Vec<Seat> {
        self.computing_seats()
            .filter(|s| *s != self.seat())
            .collect()
    }

    /// Identifies this run of this job.
    pub fn session_id(&self) -> &[u8; 32] {
        &self.shared.session_id
    }

    /// The path of the sub-protocol that this session runs.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where kernels run.
    pub fn compute(&self) -> Compute {
        self.shared.compute
    }

    /// What this seat has sent and received so far, on this path and all others.
    pub fn traffic(&self) -> Traffic {
        self.shared.meter.traffic()
    }

    /// Ends the session: its links close, every later operation fails, and peers that wait get
    /// [`LinkError::Closed`]. Operations that fail do this by themselves; a protocol that stops
    /// for a reason of its own does it by returning through [`Session::ended_by`].
    pub fn end(&mut self) {
        self.links.clear();
        self.network = None;
    }

    /// Passes a protocol's outcome on, and ends the session if it is an error.
    ///
    /// # Errors
    ///
    /// The outcome's own.
    pub fn ended_by<T>(&mut self, outcome: Result<T, ProtocolError>) -> Result<T, ProtocolError> {
        if outcome.is_err() {
            self.end();
        }
        outcome
    }

    /// Marks the begin of something that must not be left half done.
    fn begin(&mut self) -> Operation<'_> {
        Operation {
            session: self,
            is_done: false,
        }
    }

    /// Sends one message to one seat. Peers: that seat calls [`Session::recv`].
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`].
    pub async fn send<T: Wire>(&mut self, to: Seat, message: T) -> Result<(), ProtocolError> {
        let body = message.encode();
        self.transfer(Transfer {
            to: &[to],
            from: &[],
            kind: T::KIND,
            n_chunks: 1,
            make: &mut |_, _| body.clone(),
            len: &|_, _| 0,
            take: &mut |_, _, _| Ok(()),
        })
        .await
    }

    /// Receives one message of a known shape from one seat.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`].
    pub async fn recv<T: Wire>(&mut self, from: Seat, shape: T::Shape) -> Result<T, ProtocolError> {
        let received = self.round(&[], &[from], None::<T>, shape).await?;
        let (_, message) = received
            .into_iter()
            .next()
            .expect("one message from one seat");
        Ok(message)
    }

    /// Sends one message to every other computing seat and receives theirs, in the order of seats.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`].
    pub async fn exchange<T: Wire>(
        &mut self,
        message: T,
        shape: T::Shape,
    ) -> Result<Vec<(Seat, T)>, ProtocolError> {
        let peers = self.peers();
        self.round(&peers, &peers, Some(message), shape).await
    }

    /// Sends every other computing seat a message of its own and receives theirs, in the order of
    /// seats. `messages` has one entry for each of [`Session::peers`], all of one shape.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`].
    ///
    /// # Panics
    ///
    /// If there is not exactly one message for each peer.
    pub async fn exchange_each<T: Wire>(
        &mut self,
        messages: Vec<T>,
        shape: T::Shape,
    ) -> Result<Vec<(Seat, T)>, ProtocolError> {
        let peers = self.peers();
        assert_eq!(messages.len(), peers.len(), "one message for each peer");
        let mut bodies = messages.into_iter().map(T::encode);
        let mut received = Vec::with_capacity(peers.len());
        self.transfer(Transfer {
            to: &peers,
            from: &peers,
            kind: T::KIND,
            n_chunks: 1,
            make: &mut |_, _| bodies.next().expect("one message for each peer"),
            len: &|_, _| T::wire_len(shape),
            take: &mut |seat, _, body| {
                received.push((seat, decode(seat, shape, body)?));
                Ok(())
            },
        })
        .await?;
        Ok(received)
    }

    /// Sends some seats a message of their own, and receives a message of a known shape from some:
    /// one round in which not everybody has something to say. Results come in the order of seats.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`].
    pub async fn swap<T: Wire>(
        &mut self,
        messages: Vec<(Seat, T)>,
        expected: &[(Seat, T::Shape)],
    ) -> Result<Vec<(Seat, T)>, ProtocolError> {
        let to: Vec<Seat> = messages.iter().map(|(seat, _)| *seat).collect();
        let from: Vec<Seat> = expected.iter().map(|(seat, _)| *seat).collect();
        let bodies: BTreeMap<Seat, Bytes> = messages
            .into_iter()
            .map(|(seat, message)| (seat, message.encode()))
            .collect();
        let shapes: BTreeMap<Seat, T::Shape> = expected.iter().copied().collect();
        let mut received = Vec::with_capacity(from.len());
        self.transfer(Transfer {
            to: &to,
            from: &from,
            kind: T::KIND,
            n_chunks: 1,
            make: &mut |seat, _| bodies[&seat].clone(),
            len: &|seat, _| T::wire_len(shapes[&seat]),
            take: &mut |seat, _, body| {
                received.push((seat, decode(seat, shapes[&seat], body)?));
                Ok(())
            },
        })
        .await?;
        Ok(received)
    }

    /// One seat sends one message to every other computing seat. `message` is `Some` there and
    /// `None` elsewhere; everywhere else the result is the message.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`].
    ///
    /// # Panics
    ///
    /// If `message` is `Some` at another seat than `from`, or `None` at `from`.
    pub async fn broadcast<T: Wire>(
        &mut self,
        from: Seat,
        message: Option<T>,
        shape: T::Shape,
    ) -> Result<Option<T>, ProtocolError> {
        let is_sender = self.seat() == from;
        assert_eq!(
            message.is_some(),
            is_sender,
            "the sender and nobody else has the message"
        );
        let (to, from) = if is_sender {
            (self.peers(), vec![])
        } else {
            (vec![], vec![from])
        };
        let received = self.round(&to, &from, message, shape).await?;
        Ok(received.into_iter().next().map(|(_, message)| message))
    }

    /// Sends `message` to the seats in `to` and receives one message from each seat in `from`.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`].
    ///
    /// # Panics
    ///
    /// If `to` is not empty and there is no message.
    pub async fn round<T: Wire>(
        &mut self,
        to: &[Seat],
        from: &[Seat],
        message: Option<T>,
        shape: T::Shape,
    ) -> Result<Vec<(Seat, T)>, ProtocolError> {
        let body = message.map(T::encode);
        let mut received = Vec::with_capacity(from.len());
        self.transfer(Transfer {
            to,
            from,
            kind: T::KIND,
            n_chunks: 1,
            make: &mut |_, _| body.clone().expect("who sends has a message"),
            len: &|_, _| T::wire_len(shape),
            take: &mut |seat, _, body| {
                received.push((seat, decode(seat, shape, body)?));
                Ok(())
            },
        })
        .await?;
        Ok(received)
    }

    /// Exchanges a long vector in chunks with every other computing seat, in one round.
    ///
    /// `make` builds the chunk for a range of items; after that, `take` gets the same range of each
    /// peer, in the order of seats. While a chunk is on the wire the next one is being made. Both
    /// closures run on the calling task: they move memory, and leave heavy work to
    /// [`Compute::run`]. An empty vector is one empty message.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`].
    pub async fn exchange_chunks<T: Wire<Shape = usize>>(
        &mut self,
        chunks: Chunks,
        make: impl FnMut(Range<usize>) -> T + Send,
        take: impl FnMut(Seat, Range<usize>, T) -> Result<(), ProtocolError> + Send,
    ) -> Result<(), ProtocolError> {
        let peers = self.peers();
        self.round_chunks(&peers, &peers, chunks, make, take).await
    }

    /// Like [`Session::exchange_chunks`], from and to the seats that are named.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Link`], [`ProtocolError::PeerMisbehaved`].
    pub async fn round_chunks<T: Wire<Shape = usize>>(
        &mut self,
        to: &[Seat],
        from: &[Seat],
        chunks: Chunks,
        make: impl FnMut(Range<usize>) -> T + Send,
        take: impl FnMut(Seat, Range<usize>, T) -> Result<(), ProtocolError> + Send,
    ) -> Result<(), ProtocolError> {
        let shape = |items: &Range<usize>| items.len();
        self.round_shaped(to, from, chunks, shape, (make, take))
            .await
    }

    /// Like [`Session::exchange_chunks`], for messages whose shape follows from the items in them.
    pub(crate) async fn exchange_shaped<T: Wire>(
        &mut self,
        chunks: Chunks,
        shape: impl Fn(&Range<usize>) -> T::Shape + Sync,
        make: impl FnMut(Range<usize>) -> T + Send,
        take: impl FnMut(Seat, Range<usize>, T) -> Result<(), ProtocolError> + Send,
    ) -> Result<(), ProtocolError> {
        let peers = self.peers();
        self.round_shaped(&peers, &peers, chunks, shape, (make, take))
            .await
    }

    async fn round_shaped<T: Wire>(
        &mut self,
        to: &[Seat],
        from: &[Seat],
        chunks: Chunks,
        shape: impl Fn(&Range<usize>) -> T::Shape + Sync,
        (mut make, mut take): (
            impl FnMut(Range<usize>) -> T + Send,
            impl FnMut(Seat, Range<usize>, T) -> Result<(), ProtocolError> + Send,
        ),
    ) -> Result<(), ProtocolError> {
        let mut current: Option<(usize, Bytes)> = None;
        self.transfer(Transfer {
            to,
            from,
            kind: T::KIND,
            n_chunks: chunks.count(),
            // Every peer gets the same bytes: each chunk is made once, for the first of them.
            make: &mut |_, chunk| match &current {
                Some((made, body)) if *made == chunk => body.clone(),
                _ => {
                    let body = make(chunks.range(chunk)).encode();
                    current.insert((chunk, body)).1.clone()
                }
            },
            len: &|_, chunk| T::wire_len(shape(&chunks.range(chunk))),
            take: &mut |seat, chunk, body| {
                let range = chunks.range(chunk);
                let message = decode(seat, shape(&range), body)?;
                take(seat, range, message)
            },
        })
        .await
    }

    /// Runs a sub-protocol on a child path.
    ///
    /// # Errors
    ///
    /// The sub-protocol's own.
    pub async fn within<T>(
        &mut self,
        label: &'static str,
        protocol: impl AsyncFnOnce(&mut Self) -> Result<T, ProtocolError>,
    ) -> Result<T, ProtocolError> {
        let mut child = self.child(label);
        let operation = self.begin();
        let outcome = protocol(&mut child).await;
        operation.done();
        self.absorb(&[&child]);
        self.ended_by(outcome)
    }

    /// Runs two sub-protocols so that their rounds overlap, each on a child path. The first error
    /// ends both.
    ///
    /// # Errors
    ///
    /// That of the sub-protocol that failed first.
    pub async fn join<A, B>(
        &mut self,
        left: (
            &'static str,
            impl AsyncFnOnce(&mut Self) -> Result<A, ProtocolError>,
        ),
        right: (
            &'static str,
            impl AsyncFnOnce(&mut Self) -> Result<B, ProtocolError>,
        ),
    ) -> Result<(A, B), ProtocolError> {
        let mut left_child = self.child(left.0);
        let mut right_child = self.child(right.0);
        let operation = self.begin();
        let outcome = try_both(left.1(&mut left_child), right.1(&mut right_child)).await;
        operation.done();
        self.absorb(&[&left_child, &right_child]);
        self.ended_by(outcome)
    }

    fn child(&mut self, label: &'static str) -> Self {
        let occurrence = self.children.entry(label).or_default();
        let path = self.path.child(label, *occurrence);
        *occurrence += 1;
        Self::on_path(
            self.shared.clone(),
            self.network.clone(),
            path,
            self.clock,
            self.view,
        )
    }

    /// Continues after children have ended: later than all of them, and having seen what they saw.
    fn absorb(&mut self, children: &[&Self]) {
        for child in children {
            self.clock.raise(child.clock);
            self.note_opened(&child.view);
        }
    }

    /// Adds a value that was opened to all computing seats to the running digest.
    pub(crate) fn note_opened(&mut self, opened: &[u8]) {
        self.view = hash::digest("entente/v1/session/view", &[&self.view, opened]);
    }

    /// Digest of everything that was opened to all computing seats on this path so far. It is the
    /// same at all of them, or somebody was told something else.
    pub(crate) fn view(&self) -> &[u8; 32] {
        &self.view
    }

    /// The link to `peer` on this path, opened when it is first needed.
    async fn open_link(&mut self, peer: Seat) -> Result<(), ProtocolError> {
        if self.links.contains_key(&peer) {
            return Ok(());
        }
        let ended = ProtocolError::from_link(peer, LinkError::Ended);
        let network = self.network.as_ref().ok_or(ended)?;
        let halves = network.open(peer, self.path.id()).await;
        let (outlet, inlet) = halves.map_err(|e| ProtocolError::from_link(peer, e))?;
        self.links.insert(peer, Link { outlet, inlet });
        Ok(())
    }
}

/// A transfer or a sub-protocol that is under way. If its future is dropped before it is done,
/// nobody knows what was sent and what was not: the session ends at once, and its peers find out.
struct Operation<'a> {
    session: &'a mut Session,
    is_done: bool,
}

impl Operation<'_> {
    fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.session.end();
        }
    }
}

/// The message that a body stands for.
fn decode<T: Wire>(seat: Seat, shape: T::Shape, body: Bytes) -> Result<T, ProtocolError> {
    T::decode(shape, body).map_err(|e| ProtocolError::from_wire(seat, e))
}

/// How a vector is cut into messages. The size of a chunk is part of a protocol's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// Length of the vector.
    pub n_items: usize,
    /// Items in every chunk but the last.
    pub chunk_items: usize,
}

impl Chunks {
    /// Number of chunks; an empty vector is one empty chunk.
    pub fn count(self) -> usize {
        self.n_items.div_ceil(self.chunk_items).max(1)
    }

    /// The items of one chunk.
    pub fn range(self, chunk: usize) -> Range<usize> {
        let start = (chunk * self.chunk_items).min(self.n_items);
        start..(start + self.chunk_items).min(self.n_items)
    }
}
