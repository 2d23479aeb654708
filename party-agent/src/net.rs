//! The data plane: QUIC between agents, direct or through the relay.
//!
//! Each pair of agents has one connection a job. It is dialled directly where one of the two advertises an
//! address, and otherwise runs inside the coordinator's relayed stream ([`connect`]); either way its two ends
//! are the agents, with the keys that the contract names. Before anything else both sign what they are about
//! to do, bound to this very connection ([`handshake`]). Then [`quic`] carries a session's frames.

pub mod close;
pub mod handshake;
mod arrivals;
pub mod quic;
mod relay;
pub mod connect;
pub mod listener;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use coordinator::tls;
use quinn::{TransportConfig, VarInt};

/// Streams that a peer may have open at a time: one for each path of a session.
const MAX_STREAMS: u32 = 1024;

/// How long a peer may take over a message that it can send at once: a handshake, or the header of a stream.
const PROMPT: Duration = Duration::from_secs(5);

/// The transport settings of the data plane on UDP.
fn transport() -> TransportConfig {
    let mut config = tls::transport_config();
    config
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(1));
    config
}

/// The transport settings inside a relayed stream, which carries packets of any size.
fn relayed_transport() -> Arc<TransportConfig> {
    let mut config = transport();
    config
        .mtu_discovery_config(None)
        .initial_mtu(relay::MAX_PACKET)
        .min_mtu(relay::MAX_PACKET);
    Arc::new(config)
}
