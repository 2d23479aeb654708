//! Peers that have shaken hands and then do not follow the protocol.

use bytes::Bytes;
use coordinator::tls::Identity;
use protocols::error::LinkError;
use protocols::net::{FrameShape, Network};
use protocols::party::Seat;
use protocols::path::PathId;
use protocols::stamp::Stamp;
use protocols::wire::{FrameHeader, HEADER_BYTES, WireError};
use quinn::{Connection, Endpoint};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::fixture::{bindings, guarded, name, raw_pair};
use crate::net::arrivals::StreamHeader;
use crate::net::close::{Ending, Objection};
use crate::net::handshake::{Binding, Caller, dial};
use crate::net::quic::QuicNetwork;

const PATH: PathId = PathId(7);
const SHAPE: FrameShape = FrameShape { kind: 1, len: 1000 };

/// Seat 1's network, and seat 0's bare connection to it.
struct Duel {
    raw: Connection,
    network: QuicNetwork,
    binding: Binding,
    _endpoints: [Endpoint; 2],
    _control: (quinn::SendStream, quinn::RecvStream),
}

async fn duel() -> Duel {
    let identity = |i| Identity::generate(name(i), 1).expect("an identity");
    let ids = (identity(0), identity(1));
    let b = bindings(&[&ids.0, &ids.1], 1);
    let (dialled, accepted, endpoints) = raw_pair(&ids.0, &ids.1).await;
    let answering = async {
        Caller::listen(accepted)
            .await?
            .answer(&b[1], &ids.1, Seat(0))
            .await
    };
    let (raw, channel) = tokio::join!(dial(dialled, &b[0], &ids.0, Seat(1)), answering);
    let (raw, channel) = (raw.expect("dialled"), channel.expect("answered"));
    let (network, _) = QuicNetwork::new(b[1].session_id(), 2, vec![(Seat(0), channel)]);
    Duel {
        raw: raw.connection,
        network,
        binding: b[0].clone(),
        _endpoints: endpoints,
        _control: raw.control,
    }
}

impl Duel {
    fn header(&self, path: u64) -> StreamHeader {
        StreamHeader {
            session: self.binding.session_id(),
            path: PathId(path),
        }
    }

    /// Sends bytes on a stream of its own and ends it.
    async fn send(&self, bytes: &[u8]) -> quinn::SendStream {
        let mut stream = self.raw.open_uni().await.expect("a stream");
        stream.write_all(bytes).await.expect("sent");
        stream
    }

    /// How the honest side closes.
    async fn ending(&self) -> Option<Ending> {
        let error = self.raw.closed().await;
        eprintln!("{error:?}");
        Ending::of(&error)
    }
}

fn frame_header(kind: u16, len: u64) -> [u8; HEADER_BYTES] {
    FrameHeader {
        stamp: Stamp::default(),
        kind,
        len,
    }
    .encode()
}

#[tokio::test]
async fn a_stream_of_another_session_or_a_second_one_for_a_path_ends_the_link() {
    guarded(async {
        let duel = duel().await;
        let other = StreamHeader {
            session: [9; 32],
            path: PATH,
        };
        let _stream = duel.send(&other.encode()).await;
        assert_eq!(
            duel.ending().await,
            Some(Ending::Refused(Objection::Stream))
        );
    })
    .await;
    guarded(async {
        let duel = duel().await;
        let header = duel.header(1).encode();
        let _streams = (duel.send(&header).await, duel.send(&header).await);
        assert_eq!(
            duel.ending().await,
            Some(Ending::Refused(Objection::Stream))
        );
    })
    .await;
}

#[tokio::test]
async fn more_streams_than_may_wait_end_the_link() {
    guarded(async {
        let duel = duel().await;
        let mut streams = Vec::new();
        for path in 0..300 {
            let Ok(mut stream) = duel.raw.open_uni().await else {
                break;
            };
            if stream.write_all(&duel.header(path).encode()).await.is_err() {
                break;
            }
            streams.push(stream);
        }
        assert_eq!(
            duel.ending().await,
            Some(Ending::Refused(Objection::Stream))
        );
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_does_not_say_what_it_is_ends_the_link() {
    guarded(async {
        let duel = duel().await;
        let _stream = duel.send(&duel.header(1).encode()[..10]).await;
        assert_eq!(duel.ending().await, Some(Ending::Refused(Objection::Slow)));
    })
    .await;
}

#[tokio::test]
async fn frames_that_are_not_due_are_reported_before_they_are_read() {
    guarded(async {
        let cases: [(&str, Vec<u8>, LinkError); 4] = [
            (
                "another kind",
                frame_header(2, 1000).to_vec(),
                WireError::Kind {
                    expected: 1,
                    found: 2,
                }
                .into(),
            ),
            (
                "one byte too long",
                frame_header(1, 1001).to_vec(),
                WireError::Length {
                    expected: 1000,
                    found: 1001,
                }
                .into(),
            ),
            (
                "far too long",
                frame_header(1, u64::MAX).to_vec(),
                WireError::Length {
                    expected: 1000,
                    found: u64::MAX,
                }
                .into(),
            ),
            (
                "no header",
                vec![0xff; HEADER_BYTES],
                WireError::Header.into(),
            ),
        ];
        for (what, bytes, error) in cases {
            let duel = duel().await;
            let _stream = duel
                .send(&[&duel.header(PATH.0).encode()[..], &bytes].concat())
                .await;
            let (_outlet, mut inlet) = duel.network.open(Seat(0), PATH).await.expect("opened");
            assert_eq!(inlet.recv(SHAPE).await.err(), Some(error), "{what}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_frame_that_breaks_off_is_a_closed_link() {
    guarded(async {
        for cut in [0, 1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 999] {
            let duel = duel().await;
            let whole = [&frame_header(1, 1000)[..], &[7; 1000]].concat();
            let bytes = [&duel.header(PATH.0).encode()[..], &whole[..cut]].concat();
            let mut stream = duel.send(&bytes).await;
            stream.finish().expect("finished");
            let (_outlet, mut inlet) = duel.network.open(Seat(0), PATH).await.expect("opened");
            assert_eq!(
                inlet.recv(SHAPE).await.err(),
                Some(LinkError::Closed),
                "after {cut} bytes"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn mutated_frames_are_refused_or_read_and_never_more() {
    const SEED: u64 = 0x6672616d65;
    println!("seed {SEED:#x}");
    let mut rng = StdRng::seed_from_u64(SEED);
    guarded(async {
        let duel = duel().await;
        for path in 0..200 {
            let mut header = frame_header(1, 1000);
            header[rng.random_range(0..HEADER_BYTES)] ^= 1 << rng.random_range(0..8);
            let bytes = [&duel.header(path).encode()[..], &header, &[7; 1000]].concat();
            let mut stream = duel.send(&bytes).await;
            stream.finish().expect("finished");
            let (_outlet, mut inlet) = duel
                .network
                .open(Seat(0), PathId(path))
                .await
                .expect("opened");
            match inlet.recv(SHAPE).await {
                // Only the stamp was changed, which is the sender's own claim.
                Ok(frame) => assert_eq!(frame.body, Bytes::from(vec![7; 1000])),
                Err(LinkError::Malformed(_)) => {}
                Err(other) => panic!("path {path}: {other:?}"),
            }
        }
    })
    .await;
}
