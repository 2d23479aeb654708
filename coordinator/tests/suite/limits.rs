//! Peers that are slow, loud, or speak nonsense.

use std::future::{poll_fn, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use coordinator::config::Limits;
use coordinator::contract::JobId;
use coordinator::control::codec::{self, MAX_OPENING_BYTES};
use coordinator::control::{CONTROL_VERSION, Call, CloseCode, Hello, Opening, Request};
use coordinator::throttle::REFUSALS_LOGGED;
use coordinator::tls::{SERVER_NAME, Trouble, client_config, endpoint};
use quinn::{Connection, Endpoint, RecvStream, SendStream};

use crate::support::{World, expect, identity, name, within};

struct Raw {
    _endpoint: Endpoint,
    connection: Connection,
}

/// A member's connection, without a client to behave well on it.
async fn raw(world: &World) -> Raw {
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let endpoint = endpoint(any, None).unwrap();
    let config = client_config(&world.parties[0], Arc::new(expect(&world.coordinator)));
    let connection = endpoint
        .connect_with(config, world.address, SERVER_NAME)
        .unwrap()
        .await
        .unwrap();
    Raw {
        _endpoint: endpoint,
        connection,
    }
}

fn hello(party: &str) -> Opening {
    Opening::Control(Hello {
        name: name(party),
        software: "test".into(),
        reachable_at: None,
    })
}

fn framed(frame: &[u8]) -> Vec<u8> {
    [&u32::try_from(frame.len()).unwrap().to_le_bytes(), frame].concat()
}

impl Raw {
    async fn send(&self, bytes: &[u8]) -> (SendStream, RecvStream) {
        let (mut send, recv) = self.connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        (send, recv)
    }

    /// Says hello properly, and waits for the welcome.
    async fn enter(&self) -> (SendStream, RecvStream) {
        let (send, mut recv) = self
            .send(&framed(&codec::encode(&hello("a")).unwrap()))
            .await;
        within("a welcome", recv.read_exact(&mut [0; 5]))
            .await
            .unwrap();
        (send, recv)
    }

    async fn closed_with(&self, code: CloseCode) {
        match Trouble::of(&within("the connection is closed", self.connection.closed()).await) {
            Trouble::Closed { code: got } => assert_eq!(got, code as u64),
            other => panic!("expected {code:?}, got {other:?}"),
        }
    }
}

fn impatient() -> Limits {
    let mut limits = Limits::default();
    limits.server.opening = Duration::from_millis(200);
    limits
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed() {
    let world = World::start(&["a"], impatient()).await;
    raw(&world).await.closed_with(CloseCode::NoHello).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_comes_byte_by_byte_is_closed() {
    let world = World::start(&["a"], impatient()).await;
    let peer = raw(&world).await;
    let bytes = framed(&codec::encode(&hello("a")).unwrap());
    let (_send, _recv) = peer.send(&bytes[..bytes.len() - 1]).await;
    peer.closed_with(CloseCode::NoHello).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_beyond_the_limit_are_refused_unread() {
    let world = World::start(&["a"], Limits::default()).await;
    for n_bytes in [u32::MAX, u32::try_from(MAX_OPENING_BYTES).unwrap() + 1] {
        let peer = raw(&world).await;
        let (_send, _recv) = peer.send(&n_bytes.to_le_bytes()).await;
        peer.closed_with(CloseCode::BadFrame).await;
    }
    let peer = raw(&world).await;
    let (mut send, _recv) = peer.enter().await;
    let n_bytes = u32::try_from(codec::MAX_FRAME_BYTES).unwrap() + 1;
    send.write_all(&n_bytes.to_le_bytes()).await.unwrap();
    peer.closed_with(CloseCode::BadFrame).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_before_and_after_the_hello() {
    let world = World::start(&["a"], Limits::default()).await;
    let request = codec::encode(&Request {
        id: 1,
        call: Call::Jobs,
    })
    .unwrap();
    let relay = codec::encode(&Opening::Relay {
        job_id: JobId([1; 16]),
        peer: name("b"),
    })
    .unwrap();
    let http = b"GET / HTTP/1.1\r\nHost: coordinator\r\n\r\n".to_vec();
    for bytes in [
        framed(&request),
        framed(&relay),
        framed(&[]),
        framed(&[CONTROL_VERSION, 0xff]),
        http,
    ] {
        let peer = raw(&world).await;
        let (_send, _recv) = peer.send(&bytes).await;
        peer.closed_with(CloseCode::BadFrame).await;
    }
    for bytes in [
        framed(&[CONTROL_VERSION; 64]),
        framed(&[request.as_slice(), &[0]].concat()),
    ] {
        let peer = raw(&world).await;
        let (mut send, _recv) = peer.enter().await;
        send.write_all(&bytes).await.unwrap();
        peer.closed_with(CloseCode::BadFrame).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_and_another_name_are_named() {
    let world = World::start(&["a", "b"], Limits::default()).await;
    let mut frame = codec::encode(&hello("a")).unwrap();
    for version in [CONTROL_VERSION - 1, CONTROL_VERSION + 1] {
        frame[0] = version;
        let peer = raw(&world).await;
        let (_send, _recv) = peer.send(&framed(&frame)).await;
        peer.closed_with(CloseCode::Version).await;
    }
    let peer = raw(&world).await;
    let (_send, _recv) = peer
        .send(&framed(&codec::encode(&hello("b")).unwrap()))
        .await;
    peer.closed_with(CloseCode::NameMismatch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_has_a_bounded_number_of_connections_and_streams() {
    let world = World::start(&["a"], Limits::default()).await;
    let mut peers = Vec::new();
    for _ in 0..4 {
        peers.push(raw(&world).await);
    }
    // The server counts a connection when its handshake ends there, which may be after it ends here.
    let mut begun = Vec::new();
    for peer in &peers[..3] {
        begun.push(peer.send(&[0]).await);
    }
    let (_send, _recv) = peers[3].enter().await;
    raw(&world)
        .await
        .closed_with(CloseCode::TooManyConnections)
        .await;

    let mut streams = Vec::new();
    for _ in 1..64 {
        streams.push(peers[3].connection.open_bi().await.unwrap());
    }
    let mut one_more = Box::pin(peers[3].connection.open_bi());
    let opened = poll_fn(|context| Poll::Ready(one_more.as_mut().poll(context).is_ready())).await;
    assert!(!opened, "a stream more than allowed");
    ready(()).await;
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn with(&self, words: &str) -> u32 {
        let all = self.0.lock().unwrap();
        let lines = all.split(|b| *b == b'\n');
        let hits = lines.filter(|line| String::from_utf8_lossy(line).contains(words));
        u32::try_from(hits.count()).unwrap()
    }
}

/// Anybody who can reach the port can be refused as often as it likes. The log stays readable, and the disk free.
#[tokio::test]
async fn strangers_do_not_fill_the_log() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::start(&["a"], Limits::default()).await;
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let endpoint = endpoint(any, None).unwrap();
    let stranger = identity("stranger");
    for _ in 0..2 * REFUSALS_LOGGED {
        let config = client_config(&stranger, Arc::new(expect(&world.coordinator)));
        let connecting = endpoint.connect_with(config, world.address, SERVER_NAME);
        // The verdict comes after the handshake has ended here.
        if let Ok(connection) = connecting.unwrap().await {
            within("the stranger is refused", connection.closed()).await;
        }
    }
    let n_lines = lines.with("handshake failed");
    assert!((1..=REFUSALS_LOGGED).contains(&n_lines), "{n_lines} lines");
    // A member is let in, and told of in the log, all the same.
    let (client, _events) = world.connect(0);
    client.directory().await.unwrap();
    assert_eq!(lines.with("server: connected"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_served_while_one_is_slow() {
    let world = World::start(&["a", "b"], Limits::default()).await;
    let slow = raw(&world).await;
    let (mut send, _recv) = slow.enter().await;
    send.write_all(&1000_u32.to_le_bytes()).await.unwrap();
    let (client, _events) = world.connect(1);
    for _ in 0..100 {
        assert_eq!(client.directory().await.unwrap().len(), 2);
    }
}
