//! Parties with keys and sockets, a relay in memory, and a guard against hanging.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordinator::contract::{Digest, JobId, Nonce, PartyName};
use coordinator::tls::{self, Expect, Identity, Pin, Pins};
use protocols::net::BoxFuture;
use protocols::party::Seat;
use quinn::{Connection, Endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot;

use crate::net::connect::{Connector, Relay, RelayLeg};
use crate::net::handshake::Binding;
use crate::net::listener::Listener;

/// Fails a test that hangs. Generous, because the machine may be busy.
pub(super) async fn guarded<T>(work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(120), work).await;
    done.expect("the test hangs")
}

pub(super) fn name(i: usize) -> PartyName {
    PartyName::new(format!("party_{i}")).expect("a valid name")
}

/// One party with its key and sockets.
pub(super) struct Party {
    pub(super) identity: Identity,
    pub(super) endpoint: Endpoint,
    pub(super) listener: Option<Listener>,
}

/// Some parties that have pinned each other, in one run of one job.
pub(super) struct World {
    pub(super) parties: Vec<Party>,
    pub(super) bindings: Vec<Binding>,
    pub(super) addresses: Vec<Option<String>>,
    pub(super) relay: MemoryRelay,
}

pub(super) fn bindings(identities: &[&Identity], run: u8) -> Vec<Binding> {
    let parties: Vec<_> = identities
        .iter()
        .map(|i| (i.name().clone(), i.fingerprint()))
        .collect();
    let nonces = (0..identities.len())
        .map(|i| Nonce([run ^ (i as u8 + 1); 32]))
        .collect::<Vec<_>>();
    let of = |me| Binding {
        job_id: JobId([run; 16]),
        contract: Digest([2; 32]),
        plan: Digest([3; 32]),
        nonces: nonces.clone(),
        parties: parties.clone(),
        me,
        epoch: None,
    };
    Seat::first(identities.len()).map(of).collect()
}

impl World {
    /// `listens[i]` says whether party i can be dialled directly.
    pub(super) fn new(listens: &[bool]) -> Self {
        let identities: Vec<_> = (0..listens.len())
            .map(|i| Identity::generate(name(i), 1).expect("an identity"))
            .collect();
        let mut pins = Pins::new();
        for identity in &identities {
            let pin = Pin::new(identity.name().clone(), identity.fingerprint());
            pins.add(pin).expect("distinct names and keys");
        }
        let pins = Arc::new(pins);
        let bindings = bindings(&identities.iter().collect::<Vec<_>>(), 1);
        let mut addresses = Vec::new();
        let parties = identities
            .into_iter()
            .zip(listens)
            .map(|(identity, listens)| {
                let any = "127.0.0.1:0".parse().expect("an address");
                let listener = listens.then(|| {
                    Listener::start(any, &identity, Arc::clone(&pins) as _).expect("listens")
                });
                addresses.push(
                    listener
                        .as_ref()
                        .map(|l| l.local_addr().expect("bound").to_string()),
                );
                Party {
                    identity,
                    endpoint: tls::endpoint(any, None).expect("a socket"),
                    listener,
                }
            });
        let parties = parties.collect();
        Self {
            parties,
            bindings,
            addresses,
            relay: MemoryRelay::default(),
        }
    }

    pub(super) fn connector(&self, i: usize) -> Connector<'_> {
        let party = &self.parties[i];
        Connector {
            identity: &party.identity,
            endpoint: &party.endpoint,
            listener: party.listener.as_ref(),
            relay: &self.relay,
        }
    }
}

/// The first leg of each job and pair, until the second one comes.
type Waiting = BTreeMap<(JobId, Vec<PartyName>), oneshot::Sender<DuplexStream>>;

/// What passed through the relay, and what to do to it.
#[derive(Clone, Default)]
pub(super) struct MemoryRelay {
    waiting: Arc<Mutex<Waiting>>,
    pub(super) seen: Arc<Mutex<Vec<u8>>>,
    /// Byte offset, over both directions of a leg, at which one bit is turned over.
    pub(super) flip_at: Option<usize>,
    /// Pairs of legs that are still to be cut as soon as they are joined.
    pub(super) n_cuts: Arc<AtomicUsize>,
}

/// The relay as one party sees it.
pub(super) struct RelayOf<'a> {
    pub(super) relay: &'a MemoryRelay,
    pub(super) me: PartyName,
}

impl Relay for MemoryRelay {
    /// Both parties of a test ask the same object, so the pair is told apart by who came first.
    fn open<'a>(&'a self, job: JobId, _peer: &'a PartyName) -> BoxFuture<'a, io::Result<RelayLeg>> {
        Box::pin(self.join((job, Vec::new())))
    }
}

impl Relay for RelayOf<'_> {
    fn open<'a>(&'a self, job: JobId, peer: &'a PartyName) -> BoxFuture<'a, io::Result<RelayLeg>> {
        let mut pair = vec![self.me.clone(), peer.clone()];
        pair.sort();
        Box::pin(self.relay.join((job, pair)))
    }
}

impl MemoryRelay {
    async fn join(&self, key: (JobId, Vec<PartyName>)) -> io::Result<RelayLeg> {
        let (ours, theirs) = duplex(64 << 10);
        let first = {
            let mut waiting = self.waiting.lock().expect("no panic under the lock");
            match waiting.remove(&key) {
                Some(other) => {
                    let _ = other.send(theirs);
                    None
                }
                None => {
                    let (sender, receiver) = oneshot::channel();
                    waiting.insert(key, sender);
                    Some((receiver, theirs))
                }
            }
        };
        if let Some((receiver, theirs)) = first {
            let other = receiver.await.map_err(io::Error::other)?;
            let one_less = |n: usize| n.checked_sub(1);
            if self.n_cuts.fetch_update(SeqCst, SeqCst, one_less).is_ok() {
                let (reader, writer) = tokio::io::split(ours);
                return Ok(RelayLeg {
                    writer: Box::new(writer),
                    reader: Box::new(reader),
                });
            }
            let (a_read, a_write) = tokio::io::split(theirs);
            let (b_read, b_write) = tokio::io::split(other);
            tokio::spawn(self.clone().copy(a_read, b_write));
            tokio::spawn(self.clone().copy(b_read, a_write));
        }
        let (reader, writer) = tokio::io::split(ours);
        Ok(RelayLeg {
            writer: Box::new(writer),
            reader: Box::new(reader),
        })
    }

    async fn copy(
        self,
        mut from: impl tokio::io::AsyncRead + Unpin,
        mut to: impl tokio::io::AsyncWrite + Unpin,
    ) {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            {
                let mut seen = self.seen.lock().expect("no panic under the lock");
                let before = seen.len();
                seen.extend_from_slice(&buffer[..n]);
                if let Some(at) = self
                    .flip_at
                    .and_then(|at| at.checked_sub(before))
                    .filter(|at| *at < n)
                {
                    buffer[at] ^= 1;
                }
            }
            if to.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    }
}

/// A plain connection from `client` to `server`, as TLS makes it, for peers that do what they like on it.
pub(super) async fn raw_pair(
    client: &Identity,
    server: &Identity,
) -> (Connection, Connection, [Endpoint; 2]) {
    let any = "127.0.0.1:0".parse().expect("an address");
    let admit = |identity: &Identity| {
        Arc::new(Expect {
            name: identity.name().clone(),
            fingerprint: identity.fingerprint(),
        })
    };
    let mut config = tls::server_config(server, admit(client));
    config.transport_config(Arc::new(crate::net::transport()));
    let listening = tls::endpoint(any, Some(config)).expect("listens");
    let dialling = tls::endpoint(any, None).expect("a socket");
    let address = listening.local_addr().expect("bound");
    let mut config = tls::client_config(client, admit(server));
    config.transport_config(Arc::new(crate::net::transport()));
    let connecting = dialling
        .connect_with(config, address, tls::SERVER_NAME)
        .expect("dials");
    let accepted = async {
        listening
            .accept()
            .await
            .expect("a caller")
            .await
            .expect("let in")
    };
    let (dialled, accepted) = tokio::join!(connecting, accepted);
    (dialled.expect("connected"), accepted, [dialling, listening])
}
