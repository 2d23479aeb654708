//! Two ends on loopback, in this process. `benches/quic.rs` uses this file as well.

use std::error::Error;
use std::hint::black_box;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coordinator::contract::{Digest, JobId, Nonce, PartyName};
use coordinator::tls::{self, Expect, Identity, Pin, Pins};
use engine::prg::Seed;
use party_agent::net::connect::{Connector, Relay, RelayLeg};
use party_agent::net::handshake::Binding;
use party_agent::net::listener::Listener;
use party_agent::net::quic::QuicNetwork;
use protocols::compute::Compute;
use protocols::net::BoxFuture;
use protocols::party::Seat;
use protocols::session::{Chunks, Session, SessionConfig};
use protocols::wire::{Kind, Wire, WireError};
use quinn::{Connection, Endpoint};

/// Whatever can go wrong with sockets of one's own machine.
pub(crate) type Trouble = Box<dyn Error + Send + Sync>;

/// Bytes that stand for masked values.
struct Bulk(Bytes);

impl Wire for Bulk {
    const KIND: Kind = Kind::Masked;
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

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn identity(name: &str) -> Result<Identity, Trouble> {
    Ok(Identity::generate(PartyName::new(name)?, 1)?)
}

fn expect(identity: &Identity) -> Arc<Expect> {
    Arc::new(Expect {
        name: identity.name().clone(),
        fingerprint: identity.fingerprint(),
    })
}

/// A connection as quinn makes it, with the same TLS and transport settings.
pub(crate) struct Bare {
    sender: Connection,
    receiver: Connection,
    _endpoints: [Endpoint; 2],
}

impl Bare {
    pub(crate) async fn connect() -> Result<Self, Trouble> {
        let (a, b) = (identity("a")?, identity("b")?);
        let listening = tls::endpoint(any(), Some(tls::server_config(&b, expect(&a))))?;
        let dialling = tls::endpoint(any(), None)?;
        let connecting = dialling.connect_with(
            tls::client_config(&a, expect(&b)),
            listening.local_addr()?,
            tls::SERVER_NAME,
        )?;
        let accepting = async {
            let incoming = listening.accept().await.ok_or("the endpoint was closed")?;
            Ok::<_, Trouble>(incoming.await?)
        };
        let (sender, receiver) = tokio::join!(connecting, accepting);
        Ok(Self {
            sender: sender?,
            receiver: receiver?,
            _endpoints: [dialling, listening],
        })
    }

    /// One transfer on a fresh stream, in messages of one chunk: the time from the first byte to the last, and the
    /// bytes that arrived.
    pub(crate) async fn transfer(
        &self,
        n_bytes: usize,
        chunk: &Bytes,
    ) -> Result<(Duration, usize), Trouble> {
        let began = Instant::now();
        let sending = async {
            let mut stream = self.sender.open_uni().await?;
            let mut left = n_bytes;
            while left > 0 {
                let part = chunk.slice(..left.min(chunk.len()));
                left -= part.len();
                stream.write_chunk(part).await?;
            }
            stream.finish()?;
            Ok::<_, Trouble>(())
        };
        let receiving = async {
            let mut stream = self.receiver.accept_uni().await?;
            let mut received = 0;
            while let Some(chunk) = stream.read_chunk(usize::MAX, true).await? {
                received += chunk.bytes.len();
                black_box(chunk);
            }
            Ok::<_, Trouble>(received)
        };
        let (sent, received) = tokio::join!(sending, receiving);
        sent?;
        Ok((began.elapsed(), received?))
    }
}

/// There is nobody to relay, and both ends can be dialled.
pub(crate) struct NoRelay;

impl Relay for NoRelay {
    fn open<'a>(&'a self, _: JobId, _: &'a PartyName) -> BoxFuture<'a, io::Result<RelayLeg>> {
        Box::pin(async { Err(io::Error::other("there is no relay here")) })
    }
}

/// Two or three ends of a session over the agents' data plane, each connected with all others.
pub(crate) struct Mesh {
    /// One for each seat.
    pub(crate) configs: Vec<SessionConfig>,
    /// To be kept as long as the sessions.
    pub(crate) sockets: (Vec<Listener>, Endpoint),
}

impl Mesh {
    /// Directly from agent to agent, or else through a relay.
    pub(crate) async fn connect(
        n_seats: usize,
        direct: bool,
        relay: &dyn Relay,
    ) -> Result<Self, Trouble> {
        let names = ["a", "b", "c"].into_iter().take(n_seats);
        let ids: Vec<Identity> = names.map(identity).collect::<Result<_, _>>()?;
        let mut pins = Pins::new();
        for id in &ids {
            pins.add(Pin::new(id.name().clone(), id.fingerprint()))?;
        }
        let pins = Arc::new(pins);
        // Of two seats the lower one dials.
        let dialled = if direct { &ids[1..] } else { &[] };
        let listeners = dialled
            .iter()
            .map(|id| Listener::start(any(), id, pins.clone()));
        let listeners: Vec<Listener> = listeners.collect::<Result<_, _>>()?;
        let mut addresses = vec![None; n_seats];
        for (address, listener) in addresses[1..].iter_mut().zip(&listeners) {
            *address = Some(listener.local_addr()?.to_string());
        }
        let endpoint = tls::endpoint(any(), None)?;
        let connect = async |me: usize| {
            let connector = Connector {
                identity: &ids[me],
                endpoint: &endpoint,
                listener: me.checked_sub(1).and_then(|at| listeners.get(at)),
                relay,
            };
            config(&connector, binding(&ids, me), &addresses).await
        };
        let third = async {
            match n_seats {
                3 => connect(2).await.map(Some),
                _ => Ok(None),
            }
        };
        let (a, b, c) = tokio::try_join!(connect(0), connect(1), third)?;
        Ok(Self {
            configs: [Some(a), Some(b), c].into_iter().flatten().collect(),
            sockets: (listeners, endpoint),
        })
    }
}

/// Two sessions over the agents' data plane, and the sockets under them.
pub(crate) struct Sessions {
    sessions: [Session; 2],
    _sockets: (Vec<Listener>, Endpoint),
}

impl Sessions {
    /// Directly from agent to agent.
    pub(crate) async fn connect() -> Result<Self, Trouble> {
        Self::connect_by(true, &NoRelay).await
    }

    /// Directly, or else through a relay.
    pub(crate) async fn connect_by(direct: bool, relay: &dyn Relay) -> Result<Self, Trouble> {
        let Mesh { configs, sockets } = Mesh::connect(2, direct, relay).await?;
        let sessions: Vec<Session> = configs.into_iter().map(Session::new).collect();
        Ok(Self {
            sessions: sessions.try_into().ok().ok_or("two seats were asked for")?,
            _sockets: sockets,
        })
    }

    /// One transfer from the first to the second session, as in [`Bare::transfer`].
    pub(crate) async fn transfer(
        &mut self,
        n_bytes: usize,
        chunk: &Bytes,
    ) -> Result<(Duration, usize), Trouble> {
        let [a, b] = &mut self.sessions;
        let chunks = Chunks {
            n_items: n_bytes,
            chunk_items: chunk.len(),
        };
        let mut n_received = 0;
        let began = Instant::now();
        let sending = a.round_chunks(
            &[Seat(1)],
            &[],
            chunks,
            |range| Bulk(chunk.slice(..range.len())),
            |_, _, _| Ok(()),
        );
        let receiving = b.round_chunks(
            &[],
            &[Seat(0)],
            chunks,
            |_| Bulk(Bytes::new()),
            |_, _, message: Bulk| {
                n_received += message.0.len();
                black_box(message.0);
                Ok(())
            },
        );
        let (sent, received) = tokio::join!(sending, receiving);
        sent?;
        received?;
        Ok((began.elapsed(), n_received))
    }
}

/// What all sides would have agreed in a contract.
fn binding(ids: &[Identity], me: usize) -> Binding {
    Binding {
        epoch: None,
        job_id: JobId([1; 16]),
        contract: Digest([2; 32]),
        plan: Digest([3; 32]),
        nonces: (4..).map(|n| Nonce([n; 32])).take(ids.len()).collect(),
        parties: ids
            .iter()
            .map(|i| (i.name().clone(), i.fingerprint()))
            .collect(),
        me: Seat::from_index(me),
    }
}

async fn config(
    connector: &Connector<'_>,
    binding: Binding,
    addresses: &[Option<String>],
) -> Result<SessionConfig, Trouble> {
    let channels = connector.connect(&binding, addresses).await?;
    let channels = channels
        .into_iter()
        .map(|(seat, _, channel)| (seat, channel));
    let n_seats = addresses.len();
    let (network, pair_seeds) = QuicNetwork::new(binding.session_id(), n_seats, channels.collect());
    Ok(SessionConfig {
        seat: binding.me,
        n_seats,
        has_dealer: false,
        session_id: binding.session_id(),
        own_seed: Seed::from_bytes([6 + binding.me.0; 32]),
        pair_seeds,
        network: Arc::new(network),
        compute: Compute::Inline,
    })
}
