//! The coordinator's QUIC shell: lets members in, and passes what they say to the book and the relay.
//!
//! A stranger costs a handshake and nothing more, not even a line of the log each. Handshakes, connections, streams, frames and the time that each may take are
//! bounded; a peer that exceeds a bound is closed with a code that says which.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::{CoordinatorConfig, Members};
use crate::contract::PartyName;
use crate::control::codec::{MAX_FRAME_BYTES, MAX_OPENING_BYTES};
use crate::control::stream::{FrameReader, FrameWriter, StreamError};
use crate::control::{CloseCode, Event, Hello, Opening, OpeningReply, Request};
use crate::job::book::{Book, BookHandle};
use crate::journal::{Journal, JournalError};
use crate::logsafe::safe;
use crate::registry::{QUEUE_FRAMES, Registry, Session};
use crate::relay::{Leg, Relay};
use crate::throttle::Throttle;
use crate::tls::{self, Admit as _, EndpointError, Fingerprint, PinsError, Trouble};

/// The journal's file in the state directory.
const JOURNAL_FILE: &str = "journal.sqlite";

/// How often the list of members is looked at.
const MEMBERS_POLL: Duration = Duration::from_secs(1);

/// The longest address that an agent may announce.
const MAX_ADDRESS_BYTES: usize = 255;

/// Bounds on connections.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// Handshakes under way. Above half of it, addresses are validated first.
    pub handshakes: usize,
    /// Connections of one member that have not ended, replaced ones included.
    pub connections_per_member: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long the first message of a connection or stream may take.
    pub opening: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            handshakes: 256,
            connections_per_member: 4,
            handshake: Duration::from_secs(10),
            opening: Duration::from_secs(5),
        }
    }
}

/// Why a coordinator does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The state directory cannot be made.
    #[error("cannot make the state directory {path}: {error}")]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The members cannot be read.
    #[error("{0}")]
    Pins(#[from] PinsError),
    /// The journal.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// The socket.
    #[error("{0}")]
    Endpoint(#[from] EndpointError),
}

struct Shared {
    name: PartyName,
    registry: Arc<Registry>,
    book: BookHandle,
    relay: Relay,
    limits: ServerLimits,
    handshakes: Semaphore,
    connections: Mutex<BTreeMap<PartyName, usize>>,
    next_session: AtomicU64,
    refusals: Throttle,
}

/// A coordinator that listens, and serves once it is [run](Server::run).
pub struct Server {
    endpoint: quinn::Endpoint,
    address: SocketAddr,
    fingerprint: Fingerprint,
    book: Book,
    members: Members,
    shared: Arc<Shared>,
}

/// Runs a coordinator until `shutdown` is ready.
pub async fn run(
    config: CoordinatorConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    Server::bind(config).await?.run(shutdown).await;
    Ok(())
}

impl Server {
    /// Opens the journal and the socket.
    pub async fn bind(config: CoordinatorConfig) -> Result<Self, ServerError> {
        let state_dir = &config.state_dir;
        let make = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_dir);
        make.map_err(|error| ServerError::StateDir {
            path: state_dir.clone(),
            error,
        })?;
        let registry = Arc::new(Registry::new(&config.members.load()?));
        let journal = Journal::open(&state_dir.join(JOURNAL_FILE)).await?;
        let limits = config.limits;
        let (book, handle) = Book::open(
            journal,
            Arc::clone(&registry),
            config.clock,
            limits.book,
            config.probe,
        )
        .await?;
        let mut quic = tls::server_config(&config.identity, Arc::clone(&registry) as _);
        quic.transport_config(Arc::new(tls::coordinator_transport()));
        let settings = tls::restartable_endpoint_config(&config.identity);
        let endpoint = tls::endpoint_with(settings, config.listen, Some(quic))?;
        let address = endpoint.local_addr().map_err(|error| EndpointError {
            address: config.listen,
            error,
        })?;
        let shared = Shared {
            name: config.identity.name().clone(),
            registry,
            relay: Relay::new(handle.clone(), limits.relay),
            book: handle,
            handshakes: Semaphore::new(limits.server.handshakes),
            limits: limits.server,
            connections: Mutex::default(),
            next_session: AtomicU64::new(0),
            refusals: Throttle::of_refusals(),
        };
        let fingerprint = config.identity.fingerprint();
        Ok(Self {
            endpoint,
            address,
            fingerprint,
            book,
            members: config.members,
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What agents pin for it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Serves until `shutdown` is ready. Jobs go on without it as far as they can, and are in the journal when it is back.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        tracing::info!(listen = %safe(&self.address), key = %safe(&self.fingerprint), "coordinator listens");
        let book = tokio::spawn(self.book.run());
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_members(
            self.members,
            Arc::clone(&self.shared.registry),
        ));
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = tasks.join_next() => {}
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => accept(incoming, &self.shared, &mut tasks),
                    None => break,
                },
            }
        }
        self.endpoint.close(
            CloseCode::ShuttingDown.code(),
            CloseCode::ShuttingDown.reason().as_bytes(),
        );
        tasks.shutdown().await;
        self.shared.registry.clear();
        drop(self.shared);
        // The book ends when the last handle is gone; waiting for it closes the journal in order.
        let _ = book.await;
        // The close reaches the agents if it can, but an agent that is gone must not hold us up.
        let _ = timeout(Duration::from_secs(1), self.endpoint.wait_idle()).await;
        tracing::info!("coordinator ended");
    }
}

/// Follows changes of the members' file, and the end of keys that have a successor.
async fn watch_members(members: Members, registry: Arc<Registry>) {
    let Some(path) = members.file.clone() else {
        return;
    };
    let modified = |path| {
        std::fs::metadata(path)
            .and_then(|m| m.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let mut seen = modified(&path);
    loop {
        tokio::time::sleep(MEMBERS_POLL).await;
        registry.end_former();
        let now = modified(&path);
        if now == seen {
            continue;
        }
        seen = now;
        match members.load() {
            Ok(pins) => {
                tracing::info!(members = pins.len(), "the list of members has changed");
                registry.replace_members(&pins);
            }
            Err(error) => {
                tracing::error!(why = %safe(&error), "the list of members cannot be read; the previous one stays in force")
            }
        }
    }
}

fn accept(incoming: quinn::Incoming, shared: &Arc<Shared>, tasks: &mut JoinSet<()>) {
    let n_free = shared.handshakes.available_permits();
    if n_free == 0 {
        incoming.refuse();
    } else if n_free < shared.limits.handshakes / 2
        && incoming.may_retry()
        && !incoming.remote_address_validated()
    {
        // Under load a client has to show that it receives at its address.
        let _ = incoming.retry();
    } else {
        tasks.spawn(serve(incoming, Arc::clone(shared)));
    }
}

/// Serves one connection, from its handshake to its end.
async fn serve(incoming: quinn::Incoming, shared: Arc<Shared>) {
    let from = incoming.remote_address();
    let Some((connection, name, key)) = handshake(incoming, &shared).await else {
        return;
    };
    let Some(_counted) = Counted::new(&shared, &name) else {
        return CloseCode::TooManyConnections.close(&connection);
    };
    let opened = match timeout(
        shared.limits.opening,
        open_control(&connection, &shared.name, &name),
    )
    .await
    {
        Ok(opened) => opened,
        Err(_) => Err(CloseCode::NoHello),
    };
    let (hello, reader, writer) = match opened {
        Ok(opened) => opened,
        Err(code) => {
            if let Some(left_out) = shared.refusals.admit(Instant::now()) {
                tracing::warn!(party = %safe(&name), from = %safe(&from), left_out = %safe(&left_out), "refused: {}", code.reason());
            }
            return code.close(&connection);
        }
    };
    let id = shared.next_session.fetch_add(1, Ordering::Relaxed);
    let (queue, frames) = mpsc::channel(QUEUE_FRAMES);
    let session = Session {
        id,
        queue,
        key,
        connection: connection.clone(),
        reachable_at: hello.reachable_at,
    };
    if !shared.registry.join(&name, session) {
        return CloseCode::Removed.close(&connection);
    }
    tracing::info!(party = %safe(&name), from = %safe(&from), "connected");
    shared.registry.broadcast(
        &Event::PartyUp {
            party: name.clone(),
        },
        &name,
    );
    shared.book.up(&name).await;
    let code = tokio::select! {
        code = write_queue(writer, frames) => code,
        code = read_requests(reader, &shared, &name, id) => code,
        code = accept_legs(&connection, &shared, &name) => code,
    };
    // Why it ended, if the agent ended it. Closing it here would hide that.
    let reason = connection.close_reason();
    code.close(&connection);
    match &reason {
        Some(error) => {
            tracing::info!(party = %safe(&name), why = %safe(&Trouble::of(error)), "disconnected")
        }
        None => tracing::warn!(party = %safe(&name), why = code.reason(), "connection closed"),
    }
    leave(&shared, &name, id, reason.as_ref().map(Trouble::of)).await;
}

async fn leave(shared: &Shared, name: &PartyName, id: u64, trouble: Option<Trouble>) {
    shared.registry.leave(name, id);
    if shared.registry.is_online(name) {
        return;
    }
    let goodbye =
        matches!(trouble, Some(Trouble::Closed { code }) if code == CloseCode::Goodbye as u64);
    shared.registry.broadcast(
        &Event::PartyDown {
            party: name.clone(),
        },
        name,
    );
    shared.book.down(name, goodbye).await;
}

/// The handshake proves a key; the registry knows whose it is.
async fn handshake(
    incoming: quinn::Incoming,
    shared: &Shared,
) -> Option<(quinn::Connection, PartyName, Fingerprint)> {
    let from = incoming.remote_address();
    let _permit = shared.handshakes.try_acquire().ok()?;
    let connected = timeout(shared.limits.handshake, async { incoming.accept()?.await }).await;
    let connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            if let Some(left_out) = shared.refusals.admit(Instant::now()) {
                tracing::warn!(from = %safe(&from), why = %safe(&Trouble::of(&error)), left_out = %safe(&left_out), "handshake failed");
            }
            return None;
        }
        Err(_) => {
            if let Some(left_out) = shared.refusals.admit(Instant::now()) {
                tracing::warn!(from = %safe(&from), left_out = %safe(&left_out), "handshake not completed in time");
            }
            return None;
        }
    };
    // The list may have changed since TLS asked.
    let key = tls::peer_fingerprint(&connection)?;
    match shared.registry.admit(&key, None) {
        Ok(name) => Some((connection, name, key)),
        Err(_) => {
            CloseCode::Removed.close(&connection);
            None
        }
    }
}

/// Counts a member's connections while it lives.
struct Counted<'a> {
    shared: &'a Shared,
    name: PartyName,
}

impl<'a> Counted<'a> {
    fn new(shared: &'a Shared, name: &PartyName) -> Option<Self> {
        let mut connections = shared
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let n = connections.entry(name.clone()).or_default();
        if *n >= shared.limits.connections_per_member {
            return None;
        }
        *n += 1;
        Some(Self {
            shared,
            name: name.clone(),
        })
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut connections = self
            .shared
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = connections.get_mut(&self.name) {
            *n -= 1;
        }
    }
}

/// The first stream has to be the control stream, and to begin with a hello of the right party.
async fn open_control(
    connection: &quinn::Connection,
    coordinator: &PartyName,
    name: &PartyName,
) -> Result<(Hello, FrameReader, FrameWriter), CloseCode> {
    let (send, recv) = connection
        .accept_bi()
        .await
        .map_err(|_| CloseCode::NoHello)?;
    // Requests are short and relayed bytes are many: what we say on this stream goes first.
    let _ = send.set_priority(1);
    let mut reader = FrameReader::new(recv);
    let opening = reader
        .read::<Opening>(MAX_OPENING_BYTES)
        .await
        .map_err(|e| close_code(&e))?;
    let Opening::Control(hello) = opening else {
        return Err(CloseCode::BadFrame);
    };
    let address = hello.reachable_at.as_deref().unwrap_or("");
    if address.len() > MAX_ADDRESS_BYTES || !address.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(CloseCode::BadFrame);
    }
    if hello.name != *name {
        return Err(CloseCode::NameMismatch);
    }
    let mut writer = FrameWriter::new(send);
    let software = env!("CARGO_PKG_VERSION").to_owned();
    let welcome = OpeningReply::Welcome {
        coordinator: coordinator.clone(),
        software,
    };
    writer.write(&welcome).await.map_err(|e| close_code(&e))?;
    Ok((hello, reader, writer))
}

fn close_code(error: &StreamError) -> CloseCode {
    match error {
        StreamError::Codec(crate::control::codec::CodecError::Version { .. }) => CloseCode::Version,
        StreamError::Codec(_) => CloseCode::BadFrame,
        StreamError::TooSlow => CloseCode::TooSlow,
        StreamError::Ended | StreamError::Gone => CloseCode::Goodbye,
    }
}

/// Writes replies and events in the order in which they were queued.
async fn write_queue(mut writer: FrameWriter, mut frames: mpsc::Receiver<Bytes>) -> CloseCode {
    while let Some(frame) = frames.recv().await {
        if writer.write_frame(&frame).await.is_err() {
            return CloseCode::SlowReader;
        }
    }
    CloseCode::Replaced
}

/// Answers one request after the other. A member that asks faster than the book writes waits in its own stream.
async fn read_requests(
    mut reader: FrameReader,
    shared: &Shared,
    name: &PartyName,
    session_id: u64,
) -> CloseCode {
    loop {
        let request = match reader.read::<Request>(MAX_FRAME_BYTES).await {
            Ok(request) => request,
            Err(error) => {
                if let StreamError::Codec(error) = &error {
                    tracing::warn!(party = %safe(name), why = %safe(error), "not a request");
                }
                return close_code(&error);
            }
        };
        let result = shared.book.call(name, request.call).await;
        if let Err(error) = &result {
            tracing::warn!(party = %safe(name), why = %safe(error), "request refused");
        }
        shared.registry.reply(name, session_id, request.id, result);
    }
}

/// Every further stream is a leg of a relay. Legs end with the connection.
async fn accept_legs(
    connection: &quinn::Connection,
    shared: &Arc<Shared>,
    name: &PartyName,
) -> CloseCode {
    let mut legs = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = legs.join_next() => {}
            stream = connection.accept_bi() => match stream {
                Ok((send, recv)) => {
                    legs.spawn(serve_leg(Arc::clone(shared), name.clone(), Leg { recv, send }));
                }
                Err(_) => return CloseCode::Goodbye,
            },
        }
    }
}

async fn serve_leg(shared: Arc<Shared>, name: PartyName, leg: Leg) {
    let mut reader = FrameReader::new(leg.recv);
    let opening = timeout(
        shared.limits.opening,
        reader.read::<Opening>(MAX_OPENING_BYTES),
    )
    .await;
    // Anything else than a proper opening: the dropped streams tell the agent that nobody serves it.
    let Ok(Ok(Opening::Relay { job_id, peer })) = opening else {
        return;
    };
    let leg = Leg {
        recv: reader.into_inner(),
        send: leg.send,
    };
    shared.relay.serve(&name, job_id, &peer, leg).await;
}
