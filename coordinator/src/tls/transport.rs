//! QUIC and TLS settings of every connection.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{EndpointConfig, MtuDiscoveryConfig, TransportConfig, VarInt};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::SingleCertAndKey;
use socket2::{Domain, Protocol, Socket, Type};

use super::Identity;
use super::verify::{Admit, PinVerifier};

/// The one application protocol.
pub const ALPN: &[u8] = b"entente/1";

/// The server name to dial with. It says nothing: keys are pinned, names are not looked at, and it is not sent.
pub const SERVER_NAME: &str = "entente";

/// The largest UDP payload that path discovery tries. With segmentation offload ten of these must fit in 64 KiB, which is why
/// it is not larger; on Ethernet discovery stops at 1452.
const UDP_PAYLOAD_MAX: u16 = 6500;
/// What may be under way before anything is acknowledged: ten of the largest datagrams. The usual 14,720 bytes are used up by the
/// probes of path discovery, and then even the frame that says why a connection is closed has to wait, and is lost.
const INITIAL_WINDOW_BYTES: u64 = 10 * UDP_PAYLOAD_MAX as u64;
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(1);
const IDLE_TIMEOUT_MS: u32 = 5_000;

/// A socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on UDP {address}: {error}")]
pub struct EndpointError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system says.
    pub error: io::Error,
}

/// Settings between two agents, who trust each other to hold a bounded amount of each other's memory.
///
/// A silent peer is found after 5 s. Windows hold a 1 Gbit/s path with 250 ms, and bound what one peer can make us buffer.
pub fn transport_config() -> TransportConfig {
    let mut config = TransportConfig::default();
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(UDP_PAYLOAD_MAX);
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW_BYTES);
    config
        .congestion_controller_factory(Arc::new(congestion))
        .mtu_discovery_config(Some(mtu))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
        .stream_receive_window(VarInt::from_u32(32 << 20))
        .receive_window(VarInt::from_u32(256 << 20))
        .send_window(256 << 20)
        .datagram_receive_buffer_size(None);
    config
}

/// Settings of an endpoint: datagrams as large as [`transport_config`] discovers must be accepted.
pub fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    set_payload_size(&mut config);
    config
}

pub(super) fn set_payload_size(config: &mut EndpointConfig) {
    config
        .max_udp_payload_size(UDP_PAYLOAD_MAX)
        .expect("the payload size is within QUIC's limits");
}

/// Accepts whom `admit` admits, and proves to be `identity`.
pub fn server_config(identity: &Identity, admit: Arc<dyn Admit>) -> quinn::ServerConfig {
    let provider = provider();
    let verifier = Arc::new(PinVerifier::new(admit, Arc::clone(&provider)));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has cipher suites of TLS 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    let crypto =
        QuicServerConfig::try_from(config).expect("the provider has QUIC's initial cipher suite");
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config()));
    config
}

/// Connects to whom `admit` admits, usually one [`super::Expect`]ed party, and proves to be `identity`.
pub fn client_config(identity: &Identity, admit: Arc<dyn Admit>) -> quinn::ClientConfig {
    let provider = provider();
    let verifier = Arc::new(PinVerifier::new(admit, Arc::clone(&provider)));
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has cipher suites of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key())));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    let crypto =
        QuicClientConfig::try_from(config).expect("the provider has QUIC's initial cipher suite");
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config()));
    config
}

/// A QUIC endpoint on `bind`, with large socket buffers. Dials out; accepts once a server configuration is set.
///
/// Must be called within a tokio runtime.
pub fn endpoint(
    bind: SocketAddr,
    server: Option<quinn::ServerConfig>,
) -> Result<quinn::Endpoint, EndpointError> {
    endpoint_with(endpoint_config(), bind, server)
}

pub(crate) fn endpoint_with(
    config: EndpointConfig,
    bind: SocketAddr,
    server: Option<quinn::ServerConfig>,
) -> Result<quinn::Endpoint, EndpointError> {
    let open = move || {
        let socket = Socket::new(Domain::for_address(bind), Type::DGRAM, Some(Protocol::UDP))?;
        if bind.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // The system may grant less, which costs speed and nothing else.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        socket.bind(&bind.into())?;
        let socket = UdpSocket::from(socket);
        quinn::Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime))
    };
    open().map_err(|error| EndpointError {
        address: bind,
        error,
    })
}

/// AWS-LC with the hybrid key exchange first. Nothing but X25519 beside it, and AES before ChaCha20.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: vec![
            aws_lc_rs::kx_group::X25519MLKEM768,
            aws_lc_rs::kx_group::X25519,
        ],
        ..aws_lc_rs::default_provider()
    })
}

/// The most streams that an agent may have open to the coordinator: the control stream and legs of relays.
pub(crate) const AGENT_STREAMS: u32 = 64;

/// Bytes that may be under way unread on one stream between an agent and the coordinator.
const RELAY_WINDOW_BYTES: u32 = 2 << 20;

/// Settings between an agent and the coordinator.
///
/// The windows of all streams together fit the connection's, so that legs which stall cannot starve the control stream.
pub(crate) fn coordinator_transport() -> TransportConfig {
    let mut config = transport_config();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(AGENT_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(RELAY_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(RELAY_WINDOW_BYTES * AGENT_STREAMS))
        .send_window(32 << 20);
    config
}
