//! A session's network over one QUIC connection a peer.
//!
//! For each path, each side opens a unidirectional stream of its own when it first sends: a header with the
//! session and the path, then frames. A body is handed to the transport without being copied, and is read
//! straight into the buffer that becomes the frame.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use engine::prg::Seed;
use protocols::error::LinkError;
use protocols::net::{BoxFuture, Frame, FrameShape, Inlet, LinkHalves, Network, Outlet};
use protocols::party::Seat;
use protocols::path::PathId;
use protocols::wire::{FrameHeader, HEADER_BYTES};
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use tokio::io::AsyncReadExt;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::arrivals::{Arrivals, StreamHeader};
use super::close::Ending;
use super::handshake::Channel;

/// Says on the control stream that this agent has all that it needs.
const DONE: [u8; 1] = [2];

/// One agent's connections of one run.
pub struct QuicNetwork {
    session: [u8; 32],
    links: Vec<Option<PeerLink>>,
}

struct PeerLink {
    connection: Connection,
    arrivals: Arc<Arrivals>,
    filing: JoinHandle<()>,
    control: Mutex<(SendStream, RecvStream)>,
    _endpoint: Option<quinn::Endpoint>,
}

/// A link that is gone, and what the peer said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostLink {
    /// The peer.
    pub seat: Seat,
    /// How the link failed.
    pub cause: LinkError,
    /// The reason that the peer gave, if it closed the link itself.
    pub ending: Option<Ending>,
}

/// Bytes on the wire, packets and acknowledgements included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireBytes {
    /// Sent to all peers.
    pub sent: u64,
    /// Received from all peers.
    pub received: u64,
}

impl QuicNetwork {
    /// Takes the channels to all other seats, and returns the secret shared with each beside the network.
    ///
    /// # Panics
    /// If a seat is outside the session or comes twice.
    #[must_use]
    pub fn new(
        session: [u8; 32],
        n_seats: usize,
        channels: Vec<(Seat, Channel)>,
    ) -> (Self, Vec<Option<Seed>>) {
        let mut links: Vec<Option<PeerLink>> = (0..n_seats).map(|_| None).collect();
        let mut seeds: Vec<Option<Seed>> = (0..n_seats).map(|_| None).collect();
        for (seat, channel) in channels {
            let arrivals = Arc::new(Arrivals::new(session));
            let filing = tokio::spawn(Arc::clone(&arrivals).run(channel.connection.clone()));
            let link = PeerLink {
                connection: channel.connection,
                arrivals,
                filing,
                control: Mutex::new(channel.control),
                _endpoint: channel.endpoint,
            };
            assert!(
                links[seat.index()].replace(link).is_none(),
                "one channel for each seat"
            );
            seeds[seat.index()] = Some(channel.pair_seed);
        }
        (Self { session, links }, seeds)
    }

    fn peers(&self) -> impl Iterator<Item = (Seat, &PeerLink)> {
        let seats = self.links.iter().enumerate();
        seats.filter_map(|(i, link)| Some((Seat::from_index(i), link.as_ref()?)))
    }

    /// Waits until the first link fails. Lets a party find out during its local work that another has died.
    pub async fn lost(&self) -> LostLink {
        let closed = self.peers().map(|(seat, link)| {
            Box::pin(async move {
                let error = link.connection.closed().await;
                lost_link(seat, &error)
            })
        });
        let closed: Vec<_> = closed.collect();
        if closed.is_empty() {
            return std::future::pending().await;
        }
        futures::future::select_all(closed).await.0
    }

    /// Why the link to a peer is gone, if it is or will be within `patience`.
    pub async fn fate(&self, seat: Seat, patience: Duration) -> Option<LostLink> {
        let link = self.links.get(seat.index())?.as_ref()?;
        let error = timeout(patience, link.connection.closed()).await.ok()?;
        Some(lost_link(seat, &error))
    }

    /// Whether any peer has closed its link on purpose.
    #[must_use]
    pub fn ended_by_a_peer(&self) -> bool {
        let reason = |link: &PeerLink| Ending::of(&link.connection.close_reason()?);
        self.peers().any(|(_, link)| reason(link).is_some())
    }

    /// Tells every peer that this agent has all it needs, and waits until they all have said the same. There is no
    /// limit: a peer may have hours of work before it, and one that dies is found by its silence.
    ///
    /// # Errors
    /// The first link that failed before its peer was done.
    pub async fn finish(&self) -> Result<(), LostLink> {
        let all = self.peers().map(|(seat, link)| async move {
            let done = link.exchange_done().await;
            done.map_err(|()| link.lost(seat))
        });
        futures::future::try_join_all(all).await.map(|_| ())
    }

    /// Closes all links for this reason. What was not read by then is gone.
    pub fn close(&self, ending: Ending) {
        for (_, link) in self.peers() {
            ending.close(&link.connection);
        }
    }

    /// Bytes on the wire so far.
    #[must_use]
    pub fn wire_bytes(&self) -> WireBytes {
        let stats = self.peers().map(|(_, link)| link.connection.stats());
        stats.fold(WireBytes::default(), |sum, s| WireBytes {
            sent: sum.sent + s.udp_tx.bytes,
            received: sum.received + s.udp_rx.bytes,
        })
    }

    fn open_now(&self, peer: Seat, path: PathId) -> Result<LinkHalves, LinkError> {
        let link = self
            .links
            .get(peer.index())
            .and_then(Option::as_ref)
            .ok_or(LinkError::NoSuchPeer)?;
        let stream = link.arrivals.claim(path)?;
        let outlet = QuicOutlet {
            connection: link.connection.clone(),
            header: StreamHeader {
                session: self.session,
                path,
            },
            stream: None,
        };
        let inlet = QuicInlet {
            connection: link.connection.clone(),
            stream: Incoming::Awaited(stream),
            buffer: BytesMut::new(),
        };
        Ok((Box::new(outlet), Box::new(inlet)))
    }
}

impl Network for QuicNetwork {
    fn open<'a>(
        &'a self,
        peer: Seat,
        path: PathId,
    ) -> BoxFuture<'a, Result<LinkHalves, LinkError>> {
        Box::pin(std::future::ready(self.open_now(peer, path)))
    }
}

impl Drop for QuicNetwork {
    fn drop(&mut self) {
        self.close(Ending::Failed);
        for (_, link) in self.peers() {
            link.filing.abort();
        }
    }
}

impl PeerLink {
    async fn exchange_done(&self) -> Result<(), ()> {
        let mut control = self.control.lock().await;
        let (send, recv) = &mut *control;
        send.write_all(&DONE).await.map_err(drop)?;
        let mut said = [0; DONE.len()];
        match recv.read_exact(&mut said).await {
            Ok(()) if said == DONE => Ok(()),
            Ok(()) => {
                Ending::Failed.close(&self.connection);
                Err(())
            }
            // A peer that closes as done had everybody's word before ours could be read.
            Err(_) => match self.connection.close_reason().as_ref().and_then(Ending::of) {
                Some(Ending::Done) => Ok(()),
                _ => Err(()),
            },
        }
    }

    fn lost(&self, seat: Seat) -> LostLink {
        match self.connection.close_reason() {
            Some(error) => lost_link(seat, &error),
            None => LostLink {
                seat,
                cause: LinkError::Closed,
                ending: None,
            },
        }
    }
}

fn lost_link(seat: Seat, error: &ConnectionError) -> LostLink {
    LostLink {
        seat,
        cause: link_error(error),
        ending: Ending::of(error),
    }
}

fn link_error(error: &ConnectionError) -> LinkError {
    match error {
        ConnectionError::TimedOut => LinkError::TimedOut,
        ConnectionError::LocallyClosed => LinkError::Ended,
        _ => LinkError::Closed,
    }
}

/// What a failed operation on a stream of `connection` means.
fn stream_error(connection: &Connection) -> LinkError {
    connection
        .close_reason()
        .as_ref()
        .map_or(LinkError::Closed, link_error)
}

struct QuicOutlet {
    connection: Connection,
    header: StreamHeader,
    /// `None` until the first frame.
    stream: Option<SendStream>,
}

impl QuicOutlet {
    async fn transmit(&mut self, frame: Frame) -> Result<(), LinkError> {
        let mut prefix =
            BytesMut::with_capacity(super::arrivals::STREAM_HEADER_BYTES + HEADER_BYTES);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = self
                    .connection
                    .open_uni()
                    .await
                    .map_err(|e| link_error(&e))?;
                prefix.put_slice(&self.header.encode());
                none.insert(stream)
            }
        };
        prefix.put_slice(&FrameHeader::of(&frame).encode());
        let mut chunks: [Bytes; 2] = [prefix.freeze(), frame.body];
        let chunks = if chunks[1].is_empty() {
            &mut chunks[..1]
        } else {
            &mut chunks[..]
        };
        let sent = stream.write_all_chunks(chunks).await;
        sent.map_err(|_| stream_error(&self.connection))
    }
}

impl Outlet for QuicOutlet {
    fn send<'a>(&'a mut self, frame: Frame) -> BoxFuture<'a, Result<(), LinkError>> {
        Box::pin(self.transmit(frame))
    }
}

enum Incoming {
    Awaited(oneshot::Receiver<RecvStream>),
    Open(RecvStream),
}

struct QuicInlet {
    connection: Connection,
    stream: Incoming,
    /// Memory of the last frame, used again if that frame is gone by the next one.
    buffer: BytesMut,
}

impl QuicInlet {
    async fn receive(&mut self, expected: FrameShape) -> Result<Frame, LinkError> {
        if let Incoming::Awaited(arrival) = &mut self.stream {
            let stream = tokio::select! {
                stream = arrival => stream.ok(),
                _ = self.connection.closed() => None,
            };
            self.stream = Incoming::Open(stream.ok_or_else(|| stream_error(&self.connection))?);
        }
        let Incoming::Open(stream) = &mut self.stream else {
            unreachable!("the stream was opened above");
        };
        let mut header = [0; HEADER_BYTES];
        let read = stream.read_exact(&mut header).await;
        read.map_err(|_| stream_error(&self.connection))?;
        let header = FrameHeader::decode(&header)?;
        header.admit(expected)?;
        self.buffer.reserve(expected.len);
        while self.buffer.len() < expected.len {
            let rest = expected.len - self.buffer.len();
            let read = stream.read_buf(&mut (&mut self.buffer).limit(rest)).await;
            if !matches!(read, Ok(1..)) {
                return Err(stream_error(&self.connection));
            }
        }
        Ok(Frame {
            stamp: header.stamp,
            kind: header.kind,
            body: self.buffer.split().freeze(),
        })
    }
}

impl Inlet for QuicInlet {
    fn recv<'a>(&'a mut self, expected: FrameShape) -> BoxFuture<'a, Result<Frame, LinkError>> {
        Box::pin(self.receive(expected))
    }
}
