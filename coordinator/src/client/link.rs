//! The task behind a client: dials, keeps the line, and dials again.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::TryRng as _;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{ClientConfig, Link, LinkError, Pending};
use crate::control::codec::{MAX_FRAME_BYTES, MAX_OPENING_BYTES};
use crate::control::stream::{FrameReader, FrameWriter, StreamError};
use crate::control::{CloseCode, Event, FromCoordinator, Hello, Opening, OpeningReply, Request};
use crate::logsafe::safe;
use crate::tls::{self, SERVER_NAME, Trouble};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long one attempt at one address may take, handshake and welcome included.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(10);

/// How many messages may wait between the stream's reader and the task.
const READ_AHEAD: usize = 16;

/// How many requests may be under way at once.
const MAX_PENDING: usize = 256;

pub(super) struct Task {
    pub(super) config: ClientConfig,
    pub(super) calls: mpsc::Receiver<Pending>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) link: watch::Sender<Link>,
    pub(super) connection: watch::Sender<Option<quinn::Connection>>,
    pub(super) stopped: watch::Receiver<bool>,
}

/// Requests that wait for an answer, over all connections.
#[derive(Default)]
struct Unanswered {
    requests: BTreeMap<u64, Pending>,
    next_id: u64,
}

/// A connection on which the coordinator has welcomed us.
struct Line {
    connection: quinn::Connection,
    address: SocketAddr,
    writer: FrameWriter,
    incoming: mpsc::Receiver<Result<FromCoordinator, StreamError>>,
    reader: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Task {
    pub(super) async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        let mut endpoints = Endpoints::default();
        let mut unanswered = Unanswered::default();
        tokio::select! {
            () = self.keep(&mut endpoints, &mut unanswered) => {}
            // An error means that every handle of the client is gone, which is as good as a stop.
            _ = stopped.wait_for(|stop| *stop) => {}
        }
        self.link.send_replace(Link::Closed);
        // Before the last handle of the connection is dropped, which would close it without a word.
        endpoints.close().await;
        self.connection.send_replace(None);
    }

    /// Dials for ever. Ends when nobody can ask any more.
    async fn keep(&mut self, endpoints: &mut Endpoints, unanswered: &mut Unanswered) {
        let (mut n_attempts, mut pause) = (0, FIRST_PAUSE);
        loop {
            n_attempts += 1;
            let why = match self.dial(endpoints).await {
                Ok(line) => {
                    tracing::info!(coordinator = %safe(&line.address), "connected to the coordinator");
                    self.link.send_replace(Link::Up {
                        address: line.address,
                    });
                    self.connection.send_replace(Some(line.connection.clone()));
                    let Some(why) = self.serve(line, unanswered).await else {
                        return;
                    };
                    self.connection.send_replace(None);
                    (n_attempts, pause) = (0, FIRST_PAUSE);
                    why
                }
                Err(why) => why,
            };
            self.note(n_attempts, &why);
            if why.needs_a_person() {
                pause = LONGEST_PAUSE;
            }
            // Spread out, so that a hundred agents do not all come back in the same millisecond after a restart.
            sleep(pause + pause.mul_f64(jitter())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Logs a change of reason once, not every attempt.
    fn note(&self, n_attempts: u32, why: &LinkError) {
        let same =
            matches!(&*self.link.borrow(), Link::Down { why: Some(before), .. } if before == why);
        if !same {
            tracing::warn!(why = %safe(why), "no connection to the coordinator; trying again until there is one");
        }
        self.link.send_replace(Link::Down {
            n_attempts,
            why: Some(why.clone()),
        });
    }

    async fn dial(&self, endpoints: &mut Endpoints) -> Result<Line, LinkError> {
        let lookup = || LinkError::Lookup {
            address: self.config.address.clone(),
        };
        let addresses = tokio::net::lookup_host(&self.config.address).await;
        // `localhost` is often two addresses of which one is served, and silence costs seconds: the commoner family first.
        let mut addresses: Vec<_> = addresses.map_err(|_| lookup())?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let mut last = lookup();
        for address in addresses {
            last = match timeout(ATTEMPT_DEADLINE, self.dial_one(endpoints, address)).await {
                Ok(Ok(line)) => return Ok(line),
                Ok(Err(error)) => error,
                Err(_) => LinkError::Connection {
                    address,
                    trouble: Trouble::TimedOut,
                },
            };
        }
        Err(last)
    }

    async fn dial_one(
        &self,
        endpoints: &mut Endpoints,
        address: SocketAddr,
    ) -> Result<Line, LinkError> {
        let config = &self.config;
        let mut quic = tls::client_config(&config.identity, Arc::new(config.coordinator.clone()));
        quic.transport_config(Arc::new(tls::coordinator_transport()));
        let endpoint = endpoints
            .of_family(address)
            .map_err(|_| LinkError::Socket)?;
        let connecting = endpoint
            .connect_with(quic, address, SERVER_NAME)
            .map_err(|_| LinkError::Lookup {
                address: config.address.clone(),
            })?;
        let failed = |error: &quinn::ConnectionError| match Trouble::of(error) {
            Trouble::PeerRefused => LinkError::Refused {
                address,
                name: config.identity.name().clone(),
                key: config.identity.fingerprint(),
            },
            trouble => LinkError::Connection { address, trouble },
        };
        let connection = connecting.await.map_err(|e| failed(&e))?;
        match hello(&connection, config).await {
            Ok((writer, reader)) => {
                let (sender, incoming) = mpsc::channel(READ_AHEAD);
                let reader = tokio::spawn(read_all(reader, sender));
                Ok(Line {
                    connection,
                    address,
                    writer,
                    incoming,
                    reader,
                })
            }
            // The server judges our certificate after the handshake has ended here: its verdict arrives instead of a welcome.
            Err(error) => Err(match connection.close_reason() {
                Some(reason) => failed(&reason),
                None => LinkError::Protocol { address, error },
            }),
        }
    }

    /// Carries requests, answers and events until the connection ends, and says why it did. None: nobody can ask any more.
    async fn serve(&mut self, mut line: Line, unanswered: &mut Unanswered) -> Option<LinkError> {
        let address = line.address;
        unanswered
            .requests
            .retain(|_, pending| !pending.reply.is_closed());
        for (id, pending) in &unanswered.requests {
            let request = Request {
                id: *id,
                call: pending.call.clone(),
            };
            if line.writer.write(&request).await.is_err() {
                return Some(ended(&line).await);
            }
        }
        loop {
            tokio::select! {
                call = self.calls.recv(), if unanswered.requests.len() < MAX_PENDING => {
                    let request = unanswered.add(call?);
                    if line.writer.write(&request).await.is_err() {
                        return Some(ended(&line).await);
                    }
                }
                message = line.incoming.recv() => match message {
                    Some(Ok(FromCoordinator::Reply { id, result })) => {
                        if let Some(pending) = unanswered.requests.remove(&id) {
                            // The asker may have given up.
                            let _ = pending.reply.send(result);
                        }
                    }
                    Some(Ok(FromCoordinator::Event(event))) => {
                        // Whoever has dropped the events does not want them.
                        if let Err(TrySendError::Full(_)) = self.events.try_send(event) {
                            CloseCode::SlowReader.close(&line.connection);
                            return Some(LinkError::EventsUnread);
                        }
                    }
                    Some(Err(error @ StreamError::Codec(_))) => {
                        CloseCode::BadFrame.close(&line.connection);
                        return Some(LinkError::Protocol { address, error });
                    }
                    Some(Err(_)) | None => return Some(ended(&line).await),
                },
            }
            unanswered
                .requests
                .retain(|_, pending| !pending.reply.is_closed());
        }
    }
}

/// Between 0 and ¼. No secret: only the agents of a consortium should draw differently.
fn jitter() -> f64 {
    let draw = rand::rngs::SysRng.try_next_u32().unwrap_or(0);
    f64::from(draw) / f64::from(u32::MAX) / 4.0
}

impl Unanswered {
    fn add(&mut self, pending: Pending) -> Request {
        let id = self.next_id;
        self.next_id += 1;
        let request = Request {
            id,
            call: pending.call.clone(),
        };
        self.requests.insert(id, pending);
        request
    }
}

/// Why a line ended. Its stream may end a moment before the connection does.
async fn ended(line: &Line) -> LinkError {
    let reason = match timeout(Duration::from_secs(1), line.connection.closed()).await {
        Ok(reason) => reason,
        Err(_) => {
            CloseCode::BadFrame.close(&line.connection);
            quinn::ConnectionError::LocallyClosed
        }
    };
    LinkError::Connection {
        address: line.address,
        trouble: Trouble::of(&reason),
    }
}

async fn hello(
    connection: &quinn::Connection,
    config: &ClientConfig,
) -> Result<(FrameWriter, FrameReader), StreamError> {
    let (send, recv) = connection.open_bi().await.map_err(|_| StreamError::Gone)?;
    let _ = send.set_priority(1);
    let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(recv));
    let hello = Hello {
        name: config.identity.name().clone(),
        software: env!("CARGO_PKG_VERSION").to_owned(),
        reachable_at: config.reachable_at.clone(),
    };
    writer.write(&Opening::Control(hello)).await?;
    match reader.read(MAX_OPENING_BYTES).await? {
        OpeningReply::Welcome { .. } => Ok((writer, reader)),
        _ => Err(StreamError::Codec(
            crate::control::codec::CodecError::Malformed,
        )),
    }
}

/// Reads in a task of its own, because half a frame must not be dropped when something else happens.
async fn read_all(
    mut reader: FrameReader,
    sender: mpsc::Sender<Result<FromCoordinator, StreamError>>,
) {
    loop {
        let message = reader.read(MAX_FRAME_BYTES).await;
        let is_last = message.is_err();
        if sender.send(message).await.is_err() || is_last {
            return;
        }
    }
}

/// One socket for each address family, opened when it is first needed.
#[derive(Default)]
struct Endpoints {
    v4: Option<quinn::Endpoint>,
    v6: Option<quinn::Endpoint>,
}

impl Endpoints {
    fn of_family(&mut self, peer: SocketAddr) -> Result<quinn::Endpoint, tls::EndpointError> {
        let (slot, any): (_, SocketAddr) = match peer {
            SocketAddr::V4(_) => (&mut self.v4, (Ipv4Addr::UNSPECIFIED, 0).into()),
            SocketAddr::V6(_) => (&mut self.v6, (Ipv6Addr::UNSPECIFIED, 0).into()),
        };
        if let Some(endpoint) = slot {
            return Ok(endpoint.clone());
        }
        Ok(slot.insert(tls::endpoint(any, None)?).clone())
    }

    /// Says goodbye on all connections, and gives it a moment to leave the machine.
    async fn close(&self) {
        for endpoint in self.v4.iter().chain(&self.v6) {
            endpoint.close(
                CloseCode::Goodbye.code(),
                CloseCode::Goodbye.reason().as_bytes(),
            );
            let _ = timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
        }
    }
}
