//! Bulk messages between two agents on loopback: a session over the data plane against a bare QUIC stream.
//!
//! Identifiers are `quic/what/size`. Both ends run in this process and share its cores, so the figures say how
//! the two compare in one run, and not what a network carries. `bare` is quinn alone: one unidirectional stream,
//! chunks of [`CHUNK`] bytes, read as they come. `session` is [`protocols::session::Session::round_chunks`] with
//! messages of the same size over the connection that the agents' handshake made, direct; `relayed` is the same
//! inside a byte pipe that stands for the coordinator's relay.

#[path = "../src/bench/network/pair.rs"]
mod pair;

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use coordinator::contract::{JobId, PartyName};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pair::{Bare, Sessions};
use party_agent::net::connect::{Relay, RelayLeg};
use protocols::net::BoxFuture;
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
    let bare = runtime.block_on(Bare::connect()).expect("connected");
    let mut direct = runtime.block_on(Sessions::connect()).expect("connected");
    let pipe = Pipe::default();
    let relayed = Sessions::connect_by(false, &pipe);
    let mut relayed = runtime.block_on(relayed).expect("connected");
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
                        let (time, _) = bare.transfer(n_bytes, &chunk).await.expect("received");
                        total += time;
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
                            let done = pair.transfer(n_bytes, &chunk).await;
                            total += done.expect("received").0;
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
