//! From addresses to channels: directly where one of two agents advertises an address, else through the relay.
//!
//! Both agents know both addresses, so both know who dials: of a pair, the lower seat dials the higher one's
//! address; only if the higher one has none, the higher dials the lower one's. If that takes longer than
//! [`DIRECT_PATIENCE`], both open a leg of the coordinator's relay, and the same one of the two dials again
//! inside it. A leg that breaks, or does not come, is asked for again until the peer is given up.
//!
//! What happens before a peer has proved its key may be the work of anybody on the way, and ends nothing: another
//! way, or another try, may lead to the peer. Only what the peer itself says is final.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use coordinator::contract::{JobId, PartyName};
use coordinator::tls::{self, Expect, Identity, Trouble};
use futures::future::try_join_all;
use protocols::net::BoxFuture;
use protocols::party::Seat;
use quinn::{Endpoint, EndpointConfig, Incoming};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::lookup_host;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::close::Objection;
use super::handshake::{self, Binding, Caller, Channel, HandshakeError};
use super::listener::{Inbox, Listener};
use super::relay::{self, RelaySocket};

/// How long a direct connection may take before the relay is used.
pub const DIRECT_PATIENCE: Duration = Duration::from_secs(2);

/// How long a peer may take to be there at all. A peer whose agent has died is named sooner, by the coordinator.
pub const PEER_PATIENCE: Duration = Duration::from_secs(30);

/// Pause before another leg is asked for.
const RELAY_PAUSE: Duration = Duration::from_millis(250);

/// Both halves of a relayed leg.
pub struct RelayLeg {
    /// Towards the peer.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// From the peer.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
}

/// Opens legs of the coordinator's relay.
pub trait Relay: Send + Sync {
    /// The leg to `peer` in `job`.
    fn open<'a>(&'a self, job: JobId, peer: &'a PartyName) -> BoxFuture<'a, io::Result<RelayLeg>>;
}

/// How a channel was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// From agent to agent.
    Direct,
    /// Through the coordinator's relay.
    Relayed,
}

/// A peer to which there is no channel.
#[derive(Debug, thiserror::Error)]
#[error("{party} cannot be reached: {cause}")]
pub struct ConnectError {
    /// The peer's seat.
    pub seat: Seat,
    /// Its name.
    pub party: PartyName,
    /// What went wrong.
    pub cause: ConnectCause,
}

/// Why there is no channel to a peer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectCause {
    /// One of the two refused the other.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The relay gave no leg.
    #[error("the coordinator's relay: {0}")]
    Relay(io::Error),
    /// It did not come in time.
    #[error("it did not connect in time; is its agent running?")]
    TimedOut,
}

/// What an agent connects with.
pub struct Connector<'a> {
    /// Proves who this agent is.
    pub identity: &'a Identity,
    /// A socket to dial from.
    pub endpoint: &'a Endpoint,
    /// Where others dial this agent, if they can.
    pub listener: Option<&'a Listener>,
    /// The coordinator's relay.
    pub relay: &'a dyn Relay,
}

/// Which of a pair dials, and where to first.
enum Plan {
    Dial(Option<String>),
    /// True if the peer may come directly.
    Await(bool),
}

fn plan(me: Seat, peer: Seat, addresses: &[Option<String>]) -> Plan {
    let (low, high) = (me.min(peer), me.max(peer));
    let (dialler, address) = match (&addresses[low.index()], &addresses[high.index()]) {
        (_, Some(high)) => (low, Some(high.clone())),
        (Some(address), None) => (high, Some(address.clone())),
        (None, None) => (low, None),
    };
    if dialler == me {
        Plan::Dial(address)
    } else {
        Plan::Await(address.is_some())
    }
}

impl Connector<'_> {
    /// Makes a channel to every other seat. `addresses` holds what each party advertises, in the order of seats.
    ///
    /// # Errors
    /// The first peer to which there is no channel.
    pub async fn connect(
        &self,
        binding: &Binding,
        addresses: &[Option<String>],
    ) -> Result<Vec<(Seat, Route, Channel)>, ConnectError> {
        let peers = Seat::first(binding.parties.len()).filter(|s| *s != binding.me);
        try_join_all(peers.map(|seat| async move {
            match self.pair(binding, seat, addresses).await {
                Ok((route, channel)) => Ok((seat, route, channel)),
                Err(cause) => Err(ConnectError {
                    seat,
                    party: binding.name(seat).clone(),
                    cause,
                }),
            }
        }))
        .await
    }

    async fn pair(
        &self,
        binding: &Binding,
        seat: Seat,
        addresses: &[Option<String>],
    ) -> Result<(Route, Channel), ConnectCause> {
        let pair = self.with(binding, seat);
        let made = timeout(PEER_PATIENCE, async {
            match plan(binding.me, seat, addresses) {
                Plan::Dial(address) => pair.dial(address.as_deref()).await,
                Plan::Await(direct) => pair.answer(direct).await,
            }
        });
        made.await.unwrap_or_else(|_| Err(pair.why_late()))
    }

    pub(super) fn with<'a>(&'a self, binding: &'a Binding, peer: Seat) -> Pair<'a> {
        Pair {
            connector: self,
            binding,
            peer,
            last: Mutex::default(),
        }
    }
}

/// This agent's way to one peer.
pub(super) struct Pair<'a> {
    connector: &'a Connector<'a>,
    binding: &'a Binding,
    peer: Seat,
    /// What went wrong so far, to be told if nothing goes right in time.
    last: Mutex<Option<ConnectCause>>,
}

impl Pair<'_> {
    async fn dial(&self, address: Option<&str>) -> Result<(Route, Channel), ConnectCause> {
        if let Some(address) = address {
            match self.dial_direct(address).await {
                Ok(channel) => return Ok((Route::Direct, channel)),
                Err(error) if is_final(&error) => return Err(error.into()),
                // Unreachable, too slow, or not who it should be: what the relay is for.
                Err(error) => self.note(error.into()),
            }
        }
        loop {
            let leg = self.leg(None).await?;
            match self.dial_relayed(&leg.endpoint).await {
                Ok(channel) => return Ok((Route::Relayed, leg.keep(channel))),
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => self.note(error.into()),
            }
            sleep(RELAY_PAUSE).await;
        }
    }

    pub(super) async fn dial_direct(&self, address: &str) -> Result<Channel, HandshakeError> {
        let Connector {
            endpoint, identity, ..
        } = self.connector;
        let mut config = tls::client_config(identity, self.expected());
        config.transport_config(Arc::new(super::transport()));
        let unreachable = || HandshakeError::Unproven(Trouble::TimedOut);
        let greeting = async {
            let resolved = lookup_host(address).await.map_err(|_| unreachable())?;
            let dialled_from_v6 = endpoint.local_addr().is_ok_and(|a| a.is_ipv6());
            let usable = |a: &SocketAddr| a.is_ipv4() || dialled_from_v6;
            let address = resolved.into_iter().find(usable).ok_or_else(unreachable)?;
            let connecting = endpoint.connect_with(config, address, tls::SERVER_NAME);
            let connecting = connecting.map_err(|_| unreachable())?;
            let connection = connecting.await;
            let connection = connection.map_err(|e| HandshakeError::unproven(&e))?;
            handshake::greet(connection, self.binding, identity, self.peer).await
        };
        // Over once the peer has answered: what is left must not be broken off.
        let greeted = timeout(DIRECT_PATIENCE, greeting).await;
        greeted
            .unwrap_or_else(|_| Err(unreachable()))?
            .ready()
            .await
    }

    async fn dial_relayed(&self, endpoint: &Endpoint) -> Result<Channel, HandshakeError> {
        let identity = self.connector.identity;
        let mut config = tls::client_config(identity, self.expected());
        config.transport_config(super::relayed_transport());
        let connecting = endpoint.connect_with(config, relay::PEER, tls::SERVER_NAME);
        let connecting = connecting.map_err(|_| HandshakeError::Unproven(Trouble::ClosedHere))?;
        let connection = connecting.await;
        let connection = connection.map_err(|e| HandshakeError::unproven(&e))?;
        handshake::dial(connection, self.binding, identity, self.peer).await
    }

    pub(super) async fn answer(&self, direct: bool) -> Result<(Route, Channel), ConnectCause> {
        let key = self.binding.parties[self.peer.index()].1;
        let mut inbox = self
            .connector
            .listener
            .filter(|_| direct)
            .map(|l| l.expect(self.binding.job_id, key));
        // The dialler gives up after its patience; only then is a leg of the relay worth opening. The time is for the
        // waiting alone: a dialler whose handshake was broken off in the middle may hold it for complete.
        if let Some(inbox) = &mut inbox
            && let Ok(caller) = timeout(DIRECT_PATIENCE, inbox.next()).await
        {
            match caller
                .answer(self.binding, self.connector.identity, self.peer)
                .await
            {
                Ok(channel) => return Ok((Route::Direct, channel)),
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => self.note(error.into()),
            }
        }
        let relayed = self.answer_relayed();
        match &mut inbox {
            None => relayed.await,
            Some(inbox) => tokio::select! {
                channel = self.answer_direct(inbox) => Ok((Route::Direct, channel?)),
                channel = relayed => channel,
            },
        }
    }

    async fn answer_direct(&self, inbox: &mut Inbox) -> Result<Channel, HandshakeError> {
        loop {
            let caller = inbox.next().await;
            let identity = self.connector.identity;
            match caller.answer(self.binding, identity, self.peer).await {
                Err(error) if !is_final(&error) => self.note(error.into()),
                done => return done,
            }
        }
    }

    async fn answer_relayed(&self) -> Result<(Route, Channel), ConnectCause> {
        let identity = self.connector.identity;
        let mut config = tls::server_config(identity, self.expected());
        config.transport_config(super::relayed_transport());
        loop {
            let leg = self.leg(Some(config.clone())).await?;
            let incoming = tokio::select! {
                biased;
                incoming = leg.endpoint.accept() => incoming,
                () = leg.ended.notified() => None,
            };
            let channel = match incoming {
                Some(incoming) => self.answer_incoming(incoming).await,
                None => Err(HandshakeError::Unproven(Trouble::TimedOut)),
            };
            match channel {
                Ok(channel) => return Ok((Route::Relayed, leg.keep(channel))),
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => self.note(error.into()),
            }
            sleep(RELAY_PAUSE).await;
        }
    }

    async fn answer_incoming(&self, incoming: Incoming) -> Result<Channel, HandshakeError> {
        let connection = incoming.await.map_err(|e| HandshakeError::unproven(&e))?;
        let caller = Caller::listen(connection).await?;
        let identity = self.connector.identity;
        caller.answer(self.binding, identity, self.peer).await
    }

    /// A leg of the relay, with an endpoint inside. The coordinator joins two legs that come within seconds of each
    /// other, so a peer that is late, because its agent is busy, needs another try.
    async fn leg(&self, server: Option<quinn::ServerConfig>) -> Result<Leg, ConnectCause> {
        let peer = self.binding.name(self.peer);
        let leg = loop {
            match self.connector.relay.open(self.binding.job_id, peer).await {
                Ok(leg) => break leg,
                Err(error) => self.note(ConnectCause::Relay(error)),
            }
            sleep(RELAY_PAUSE).await;
        };
        let mut config = EndpointConfig::default();
        config
            .max_udp_payload_size(relay::MAX_PACKET)
            .expect("the packet size is within QUIC's limits");
        let socket = Arc::new(RelaySocket::new(leg.writer, leg.reader));
        let ended = socket.ended();
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new_with_abstract_socket(config, server, socket, runtime);
        let endpoint = endpoint.map_err(ConnectCause::Relay)?;
        Ok(Leg { endpoint, ended })
    }

    /// The key that the contract names for the peer, and no other.
    fn expected(&self) -> Arc<Expect> {
        let (name, fingerprint) = self.binding.parties[self.peer.index()].clone();
        Arc::new(Expect { name, fingerprint })
    }

    fn last(&self) -> MutexGuard<'_, Option<ConnectCause>> {
        self.last
            .lock()
            .expect("no code panics while it holds this lock")
    }

    /// Keeps a failure in mind. One that a person can mend is not forgotten for one that waiting might have mended.
    fn note(&self, cause: ConnectCause) {
        let mut last = self.last();
        if !last.as_ref().is_some_and(is_refusal) {
            *last = Some(cause);
        }
    }

    fn why_late(&self) -> ConnectCause {
        self.last().take().unwrap_or(ConnectCause::TimedOut)
    }
}

/// One leg of the relay: good for one attempt.
struct Leg {
    endpoint: Endpoint,
    ended: Arc<Notify>,
}

impl Leg {
    /// The channel that was made over this leg holds it from now on.
    fn keep(self, mut channel: Channel) -> Channel {
        channel.endpoint = Some(self.endpoint);
        channel
    }
}

/// Whether trying again or elsewhere is of no use: one of the two has said no, and proved who it is.
fn is_final(error: &HandshakeError) -> bool {
    match error {
        // It is there, and not ready yet.
        HandshakeError::Objected(Objection::Slow)
        | HandshakeError::Refused(Objection::Slow | Objection::UnknownJob | Objection::TooMany)
        | HandshakeError::Unproven(_) => false,
        HandshakeError::Objected(_) | HandshakeError::Refused(_) | HandshakeError::Ended(_) => true,
        HandshakeError::Connection(trouble) => trouble.is_refusal(),
    }
}

fn is_refusal(cause: &ConnectCause) -> bool {
    matches!(cause, ConnectCause::Handshake(HandshakeError::Unproven(t)) if t.is_refusal())
}
