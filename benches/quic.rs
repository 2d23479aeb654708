//! Bulk messages between two agents on loopback: a session over the data plane against a bare QUIC stream.
//!
//! Identifiers are `quic/what/size`. Both ends run in this process and share its cores, so the figures say how
//! the two compare in one run, and not what a network carries. `bare` is quinn alone: one unidirectional stream,
//! chunks of [`CHUNK`] bytes, read as they come. `session` is [`Session::round_chunks`] with messages of the same
//! size over the connection that the agents' handshake made, direct; `relayed` is the same inside a byte pipe that
//! stands for the coordinator's relay.

use std::hint::black_box;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coordinator::contract::{Digest, JobId, Nonce, PartyName};
use coordinator::tls::{self, Expect, Identity, Pin, Pins};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
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
use tokio::io::{DuplexStream, duplex, split};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Bytes of one message.
const CHUNK: usize = 1 << 20;

/// Name and bytes of a transfer.
const SIZES: [(&str, usize); 3] = [
    ("1MiB", 1 << 20),
    ("16MiB", 16 << 20),
    ("128MiB", 128 << 20),
];

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

fn any() -> std::net::SocketAddr {
    std::net::SocketAddr::from(([127, 0, 0, 1], 0))
}

fn identity(name: &str) -> Identity {
    Identity::generate(PartyName::new(name).expect("a name"), 1).expect("an identity")
}

fn expect(identity: &Identity) -> Arc<Expect> {
    Arc::new(Expect {
        name: identity.name().clone(),
        fingerprint: identity.fingerprint(),
    })
}

/// A connection as quinn makes it, with the same TLS and transport settings.
struct Bare {
    sender: Connection,
    receiver: Connection,
    _endpoints: [Endpoint; 2],
}

async fn bare() -> Bare {
    let (a, b) = (identity("a"), identity("b"));
    let listening =
        tls::endpoint(any(), Some(tls::server_config(&b, expect(&a)))).expect("listens");
    let dialling = tls::endpoint(any(), None).expect("a socket");
    let address = listening.local_addr().expect("bound");
    let connecting = dialling
        .connect_with(
            tls::client_config(&a, expect(&b)),
            address,
            tls::SERVER_NAME,
        )
        .expect("dials");
    let accepted = async { listening.accept().await.expect("a caller").await };
    let (sender, receiver) = tokio::join!(connecting, accepted);
    Bare {
        sender: sender.expect("connected"),
        receiver: receiver.expect("accepted"),
        _endpoints: [dialling, listening],
    }
}

impl Bare {
    /// One transfer on a fresh stream; the time from the first byte to the last.
    async fn transfer(&self, n_bytes: usize, chunk: &Bytes) -> Duration {
        let began = Instant::now();
        let sending = async {
            let mut stream = self.sender.open_uni().await.expect("a stream");
            let mut left = n_bytes;
            while left > 0 {
                let part = chunk.slice(..left.min(chunk.len()));
                left -= part.len();
                stream.write_chunk(part).await.expect("sent");
            }
            stream.finish().expect("finished");
        };
        let receiving = async {
            let mut stream = self.receiver.accept_uni().await.expect("a stream");
            while let Some(chunk) = stream.read_chunk(usize::MAX, true).await.expect("received") {
                black_box(chunk);
            }
        };
        tokio::join!(sending, receiving);
        began.elapsed()
    }
}

/// A byte pipe in the place of the coordinator's relay.
#[derive(Default)]
struct Pipe(Mutex<Option<oneshot::Sender<DuplexStream>>>);

impl Pipe {
    async fn join(&self) -> io::Result<RelayLeg> {
        let waiting = self.0.lock().expect("no panic under the lock").take();
        let leg = match waiting {
            Some(first) => {
                let (ours, theirs) = duplex(1 << 20);
                first
                    .send(theirs)
                    .map_err(|_| io::Error::other("the first leg is gone"))?;
                ours
            }
            None => {
                let (sender, receiver) = oneshot::channel();
                *self.0.lock().expect("no panic under the lock") = Some(sender);
                receiver.await.map_err(io::Error::other)?
            }
        };
        let (reader, writer) = split(leg);
        Ok(RelayLeg {
            writer: Box::new(writer),
            reader: Box::new(reader),
        })
    }
}

impl Relay for Pipe {
    fn open<'a>(&'a self, _: JobId, _: &'a PartyName) -> BoxFuture<'a, io::Result<RelayLeg>> {
        Box::pin(self.join())
    }
}

/// Two sessions over the agents' data plane.
async fn sessions(direct: bool) -> Pair {
    let ids = [identity("a"), identity("b")];
    let mut pins = Pins::new();
    for id in &ids {
        let pin = Pin {
            name: id.name().clone(),
            fingerprint: id.fingerprint(),
            note: None,
        };
        pins.add(pin).expect("distinct names and keys");
    }
    let listener =
        direct.then(|| Listener::start(any(), &ids[1], Arc::new(pins)).expect("listens"));
    let address = listener
        .as_ref()
        .map(|l| l.local_addr().expect("bound").to_string());
    let addresses = [None, address];
    let (pipe, endpoint) = (
        Pipe::default(),
        tls::endpoint(any(), None).expect("a socket"),
    );
    let connect = async |me: usize| {
        let binding = Binding {
            job_id: JobId([1; 16]),
            contract: Digest([2; 32]),
            plan: Digest([3; 32]),
            nonces: vec![Nonce([4; 32]), Nonce([5; 32])],
            parties: ids
                .iter()
                .map(|i| (i.name().clone(), i.fingerprint()))
                .collect(),
            me: Seat::from_index(me),
        };
        let connector = Connector {
            identity: &ids[me],
            endpoint: &endpoint,
            listener: listener.as_ref().filter(|_| me == 1),
            relay: &pipe,
        };
        let channels = connector
            .connect(&binding, &addresses)
            .await
            .expect("connected");
        let channels = channels
            .into_iter()
            .map(|(seat, _, channel)| (seat, channel))
            .collect();
        let (network, pair_seeds) = QuicNetwork::new(binding.session_id(), 2, channels);
        Session::new(SessionConfig {
            seat: binding.me,
            n_seats: 2,
            has_dealer: false,
            session_id: binding.session_id(),
            own_seed: Seed::from_bytes([6; 32]),
            pair_seeds,
            network: Arc::new(network),
            compute: Compute::Inline,
        })
    };
    let (a, b) = tokio::join!(connect(0), connect(1));
    Pair {
        sessions: [a, b],
        _sockets: (listener, endpoint),
    }
}

/// Two sessions, and the sockets under them.
struct Pair {
    sessions: [Session; 2],
    _sockets: (Option<Listener>, Endpoint),
}

async fn transfer(pair: &mut Pair, n_bytes: usize, chunk: &Bytes) -> Duration {
    let [a, b] = &mut pair.sessions;
    let chunks = Chunks {
        n_items: n_bytes,
        chunk_items: CHUNK,
    };
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
            black_box(message.0);
            Ok(())
        },
    );
    let (sent, received) = tokio::join!(sending, receiving);
    sent.expect("sent");
    received.expect("received");
    began.elapsed()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

fn quic(criterion: &mut Criterion) {
    let runtime = runtime();
    let chunk = Bytes::from(vec![0x5a; CHUNK]);
    let bare = runtime.block_on(bare());
    let mut direct = runtime.block_on(sessions(true));
    let mut relayed = runtime.block_on(sessions(false));
    let mut group = criterion.benchmark_group("quic");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    for (size, n_bytes) in SIZES {
        group.throughput(Throughput::Bytes(n_bytes as u64));
        group.bench_function(format!("bare/{size}"), |b| {
            b.iter_custom(|n| {
                runtime.block_on(async {
                    let mut total = Duration::ZERO;
                    for _ in 0..n {
                        total += bare.transfer(n_bytes, &chunk).await;
                    }
                    total
                })
            });
        });
        for (what, pair) in [("session", &mut direct), ("relayed", &mut relayed)] {
            group.bench_function(format!("{what}/{size}"), |b| {
                b.iter_custom(|n| {
                    runtime.block_on(async {
                        let mut total = Duration::ZERO;
                        for _ in 0..n {
                            total += transfer(pair, n_bytes, &chunk).await;
                        }
                        total
                    })
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, quic);
criterion_main!(benches);
