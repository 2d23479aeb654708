//! From addresses to channels: directly where one of two agents advertises an address, else through the relay.
//!
//! Both agents know both addresses, so both know who dials: of a pair, the lower seat dials the higher one's
//! address; only if the higher one has none, the higher dials the lower one's. If that takes longer than
//! [`DIRECT_PATIENCE`], both open a leg of the coordinator's relay, and the same one of the two dials again
//! inside it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coordinator::contract::{JobId, PartyName};
use coordinator::tls::{self, Expect, Identity, Trouble};
use futures::future::try_join_all;
use protocols::net::BoxFuture;
use protocols::party::Seat;
use quinn::{Connection, Endpoint, EndpointConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::handshake::{self, Binding, Caller, Channel, HandshakeError};
use super::listener::{Inbox, Listener};
use super::relay::{self, RelaySocket};

/// How long a direct connection may take before the relay is used.
pub const DIRECT_PATIENCE: Duration = Duration::from_secs(2);

/// How long a peer may take to be there at all. A peer whose agent has died is named sooner, by the coordinator.
pub const PEER_PATIENCE: Duration = Duration::from_secs(30);

/// How long legs of the relay are asked for: less than [`PEER_PATIENCE`], so that the coordinator's reason is told.
const RELAY_PATIENCE: Duration = Duration::from_secs(15);

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
        peer: Seat,
        addresses: &[Option<String>],
    ) -> Result<(Route, Channel), ConnectCause> {
        let deadline = Instant::now() + PEER_PATIENCE;
        let made = timeout_at(deadline, async {
            match plan(binding.me, peer, addresses) {
                Plan::Dial(address) => self.dial(binding, peer, address.as_deref()).await,
                Plan::Await(direct) => self.answer(binding, peer, direct).await,
            }
        });
        made.await.unwrap_or(Err(ConnectCause::TimedOut))
    }

    async fn dial(
        &self,
        binding: &Binding,
        peer: Seat,
        address: Option<&str>,
    ) -> Result<(Route, Channel), ConnectCause> {
        if let Some(address) = address {
            let direct = timeout(DIRECT_PATIENCE, self.dial_direct(binding, peer, address));
            match direct.await {
                Ok(Ok(channel)) => return Ok((Route::Direct, channel)),
                Ok(Err(error)) if is_final(&error) => return Err(error.into()),
                // Unreachable, or too slow: what the relay is for.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let endpoint = self.relayed_endpoint(binding, peer, None).await?;
        let mut config = tls::client_config(self.identity, expect(binding, peer));
        config.transport_config(super::relayed_transport());
        loop {
            let connecting = endpoint.connect_with(config.clone(), relay::PEER, tls::SERVER_NAME);
            let connecting = connecting.map_err(|e| ConnectCause::Relay(io::Error::other(e)))?;
            let channel = match connecting.await {
                Ok(connection) => handshake::dial(connection, binding, self.identity, peer).await,
                Err(error) => Err(HandshakeError::from_connection(&error)),
            };
            match channel {
                Ok(mut channel) => {
                    channel.endpoint = Some(endpoint);
                    return Ok((Route::Relayed, channel));
                }
                Err(error) if is_final(&error) => return Err(error.into()),
                // The peer's leg is not there yet.
                Err(_) => {}
            }
        }
    }

    async fn dial_direct(
        &self,
        binding: &Binding,
        peer: Seat,
        address: &str,
    ) -> Result<Channel, HandshakeError> {
        let mut config = tls::client_config(self.identity, expect(binding, peer));
        config.transport_config(Arc::new(super::transport()));
        let unreachable = || HandshakeError::Connection(Trouble::TimedOut);
        let resolved = lookup_host(address).await.map_err(|_| unreachable())?;
        let dialled_from_v6 = self.endpoint.local_addr().is_ok_and(|a| a.is_ipv6());
        let usable = |a: &SocketAddr| a.is_ipv4() || dialled_from_v6;
        let address = resolved.into_iter().find(usable).ok_or_else(unreachable)?;
        let connecting = self
            .endpoint
            .connect_with(config, address, tls::SERVER_NAME);
        let connection: Connection = connecting
            .map_err(|_| unreachable())?
            .await
            .map_err(|e| HandshakeError::from_connection(&e))?;
        handshake::dial(connection, binding, self.identity, peer).await
    }

    async fn answer(
        &self,
        binding: &Binding,
        peer: Seat,
        direct: bool,
    ) -> Result<(Route, Channel), ConnectCause> {
        let key = binding.parties[peer.index()].1;
        let mut inbox = self
            .listener
            .filter(|_| direct)
            .map(|l| l.expect(binding.job_id, key));
        // The dialler gives up after its patience; only then is a leg of the relay worth opening.
        if let Some(inbox) = &mut inbox
            && let Ok(channel) =
                timeout(DIRECT_PATIENCE, self.answer_direct(binding, peer, inbox)).await
        {
            return Ok((Route::Direct, channel?));
        }
        let relayed = self.answer_relayed(binding, peer);
        match &mut inbox {
            None => relayed.await,
            Some(inbox) => tokio::select! {
                channel = self.answer_direct(binding, peer, inbox) => Ok((Route::Direct, channel?)),
                channel = relayed => channel,
            },
        }
    }

    async fn answer_direct(
        &self,
        binding: &Binding,
        peer: Seat,
        inbox: &mut Inbox,
    ) -> Result<Channel, HandshakeError> {
        loop {
            let caller = inbox.next().await;
            match caller.answer(binding, self.identity, peer).await {
                Err(error) if !is_final(&error) => {}
                done => return done,
            }
        }
    }

    async fn answer_relayed(
        &self,
        binding: &Binding,
        peer: Seat,
    ) -> Result<(Route, Channel), ConnectCause> {
        let mut config = tls::server_config(self.identity, expect(binding, peer));
        config.transport_config(super::relayed_transport());
        let endpoint = self.relayed_endpoint(binding, peer, Some(config)).await?;
        loop {
            let Some(incoming) = endpoint.accept().await else {
                return Err(ConnectCause::TimedOut);
            };
            let channel = match incoming.await {
                Ok(connection) => match Caller::listen(connection).await {
                    Ok(caller) => caller.answer(binding, self.identity, peer).await,
                    Err(error) => Err(error),
                },
                Err(error) => Err(HandshakeError::from_connection(&error)),
            };
            match channel {
                Ok(mut channel) => {
                    channel.endpoint = Some(endpoint);
                    return Ok((Route::Relayed, channel));
                }
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(_) => {}
            }
        }
    }

    /// A leg of the relay. The coordinator joins two legs that come within seconds of each other, so a peer that is
    /// late, because its agent is busy, needs another try.
    async fn relayed_leg(&self, job: JobId, peer: &PartyName) -> Result<RelayLeg, ConnectCause> {
        let give_up = Instant::now() + RELAY_PATIENCE;
        loop {
            match self.relay.open(job, peer).await {
                Ok(leg) => return Ok(leg),
                Err(error) if Instant::now() > give_up => return Err(ConnectCause::Relay(error)),
                Err(_) => sleep(RELAY_PAUSE).await,
            }
        }
    }

    async fn relayed_endpoint(
        &self,
        binding: &Binding,
        peer: Seat,
        server: Option<quinn::ServerConfig>,
    ) -> Result<Endpoint, ConnectCause> {
        let leg = self.relayed_leg(binding.job_id, binding.name(peer)).await?;
        let mut config = EndpointConfig::default();
        config
            .max_udp_payload_size(relay::MAX_PACKET)
            .expect("the packet size is within QUIC's limits");
        let socket = Arc::new(RelaySocket::new(leg.writer, leg.reader));
        Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(quinn::TokioRuntime))
            .map_err(ConnectCause::Relay)
    }
}

/// The key that the contract names for a peer, and no other.
fn expect(binding: &Binding, peer: Seat) -> Arc<Expect> {
    let (name, fingerprint) = binding.parties[peer.index()].clone();
    Arc::new(Expect { name, fingerprint })
}

/// Whether trying again or elsewhere is of no use: one of the two has said no.
fn is_final(error: &HandshakeError) -> bool {
    match error {
        HandshakeError::Objected(_) | HandshakeError::Refused(_) | HandshakeError::Ended(_) => true,
        HandshakeError::Connection(trouble) => trouble.is_refusal(),
    }
}
