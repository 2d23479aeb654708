//! A session's frames over direct and relayed connections, and what happens when one dies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::prg::Seed;
use protocols::compute::Compute;
use protocols::error::LinkError;
use protocols::net::{Frame, FrameShape, Network};
use protocols::party::Seat;
use protocols::path::PathId;
use protocols::session::{Session, SessionConfig};
use protocols::stamp::Stamp;

use super::fixture::{RelayOf, World, guarded, name};
use crate::net::close::Ending;
use crate::net::connect::{ConnectError, Connector, Route};
use crate::net::handshake::Channel;
use crate::net::quic::QuicNetwork;

const PATH: PathId = PathId(7);
const SHAPE: FrameShape = FrameShape {
    kind: 1,
    len: 100_000,
};

type Channels = Vec<(Seat, Route, Channel)>;

fn frame(fill: u8) -> Frame {
    Frame {
        stamp: Stamp::default(),
        kind: SHAPE.kind,
        body: Bytes::from(vec![fill; SHAPE.len]),
    }
}

fn network(world: &World, i: usize, channels: Channels) -> (QuicNetwork, Vec<Option<Seed>>) {
    let channels = channels
        .into_iter()
        .map(|(seat, _, channel)| (seat, channel))
        .collect();
    QuicNetwork::new(
        world.bindings[i].session_id(),
        world.parties.len(),
        channels,
    )
}

/// All parties' networks, and the route of each of their links.
async fn networks(world: &World) -> Vec<(QuicNetwork, Vec<Option<Seed>>, Vec<Route>)> {
    let all: Vec<Result<Channels, ConnectError>> = connect_all(world).await;
    let all = all.into_iter().map(|c| c.expect("connected")).enumerate();
    all.map(|(i, channels)| {
        let routes = channels.iter().map(|(_, route, _)| *route).collect();
        let (network, seeds) = network(world, i, channels);
        (network, seeds, routes)
    })
    .collect()
}

/// Like [`World::connect_all`], with a relay that tells pairs apart.
async fn connect_all(world: &World) -> Vec<Result<Channels, ConnectError>> {
    let parties = (0..world.parties.len()).map(|i| async move {
        let relay = RelayOf {
            relay: &world.relay,
            me: name(i),
        };
        let connector = Connector {
            relay: &relay,
            ..world.connector(i)
        };
        connector
            .connect(&world.bindings[i], &world.addresses)
            .await
    });
    futures::future::join_all(parties).await
}

/// Each seat sends frames to each other seat and receives theirs, on two paths that the two open in different orders.
async fn exchange(network: &QuicNetwork, me: usize, n: usize) {
    let peers = (0..n).filter(|i| *i != me);
    let pairs = peers.map(|peer| async move {
        let mut paths = [PATH, PathId(8)];
        if me > peer {
            paths.reverse();
        }
        let mut links = Vec::new();
        for path in paths {
            let link = network.open(Seat::from_index(peer), path).await;
            links.push((path, link.expect("opened")));
        }
        links.sort_by_key(|(path, _)| *path);
        for (_, (mut outlet, mut inlet)) in links {
            for round in 0..3_u8 {
                let (sent, received) =
                    tokio::join!(outlet.send(frame(me as u8 * 10 + round)), inlet.recv(SHAPE));
                sent.expect("sent");
                let body = received.expect("received").body;
                let expected = peer as u8 * 10 + round;
                assert!(body.iter().all(|b| *b == expected), "seat {me} from {peer}");
            }
        }
    });
    futures::future::join_all(pairs).await;
}

pub(super) async fn everybody_exchanges(world: &World, route: Route) {
    let all = networks(world).await;
    for (_, _, routes) in &all {
        assert!(routes.iter().all(|r| *r == route), "{routes:?}");
    }
    for (i, (_, seeds, _)) in all.iter().enumerate() {
        for (j, (_, others, _)) in all.iter().enumerate().filter(|(j, _)| *j != i) {
            let (mine, theirs) = (
                seeds[j].as_ref().expect("a seed"),
                others[i].as_ref().expect("a seed"),
            );
            assert_eq!(mine.as_bytes(), theirs.as_bytes());
        }
    }
    futures::future::join_all(
        all.iter()
            .enumerate()
            .map(|(i, (n, ..))| exchange(n, i, all.len())),
    )
    .await;
    let finished = futures::future::join_all(all.iter().map(|(n, ..)| async {
        let done = n.finish().await;
        n.close(Ending::Done);
        done
    }));
    assert!(finished.await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn three_parties_directly() {
    guarded(async { everybody_exchanges(&World::new(&[true, true, true]), Route::Direct).await })
        .await;
}

#[tokio::test]
async fn one_address_a_pair_is_enough() {
    guarded(async { everybody_exchanges(&World::new(&[true, false]), Route::Direct).await }).await;
    guarded(async { everybody_exchanges(&World::new(&[false, true]), Route::Direct).await }).await;
}

#[tokio::test]
async fn three_parties_through_the_relay() {
    guarded(async {
        everybody_exchanges(&World::new(&[false, false, false]), Route::Relayed).await
    })
    .await;
}

#[tokio::test]
async fn an_address_that_leads_nowhere_ends_at_the_relay() {
    guarded(async {
        let nowhere = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket that nobody reads");
        let mut world = World::new(&[false, true]);
        world.addresses[1] = Some(nowhere.local_addr().expect("bound").to_string());
        everybody_exchanges(&world, Route::Relayed).await;
    })
    .await;
}

#[tokio::test]
async fn the_relay_sees_nothing_of_what_it_carries() {
    guarded(async {
        let world = World::new(&[false, false]);
        let all = networks(&world).await;
        let canary = b"patient 4711 has been here".repeat(40);
        let shape = FrameShape {
            kind: 1,
            len: canary.len(),
        };
        let (mut outlet, _inlet) = all[0].0.open(Seat(1), PATH).await.expect("opened");
        let (_outlet, mut inlet) = all[1].0.open(Seat(0), PATH).await.expect("opened");
        let frame = Frame {
            stamp: Stamp::default(),
            kind: 1,
            body: canary.clone().into(),
        };
        outlet.send(frame).await.expect("sent");
        assert_eq!(inlet.recv(shape).await.expect("received").body, canary);
        let seen = world.relay.seen.lock().expect("no panic under the lock");
        assert!(seen.len() > canary.len());
        let clear = seen
            .windows(12)
            .any(|w| w == &canary[..12] || w == b"party_0\0\0\0\0\0");
        assert!(!clear, "the relay sees what it carries");
    })
    .await;
}

#[tokio::test]
async fn a_bit_turned_over_by_the_relay_is_never_read_as_data() {
    guarded(async {
        for flip_at in [5, 700, 5_000, 30_000] {
            let mut world = World::new(&[false, false]);
            world.relay.flip_at = Some(flip_at);
            let all = connect_all(&world).await;
            // Either the handshake fails, or the packet is dropped and sent again.
            let Ok([a, b]) =
                <[Channels; 2]>::try_from(all.into_iter().flatten().collect::<Vec<_>>())
            else {
                continue;
            };
            let (a, b) = (network(&world, 0, a).0, network(&world, 1, b).0);
            tokio::join!(exchange(&a, 0, 2), exchange(&b, 1, 2));
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_dies_is_named() {
    for listens in [true, false] {
        // The peer lives on a runtime of its own, which ends as a killed process does: without a word.
        let mut world = World::new(&[]);
        let peer = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let entered = peer.enter();
        let mut both = World::new(&[listens, listens]);
        drop(entered);
        std::mem::swap(&mut world, &mut both);
        let any = "127.0.0.1:0".parse().expect("an address");
        world.parties[0].endpoint = coordinator::tls::endpoint(any, None).expect("a socket");
        let world = Arc::new(world);
        let theirs = Arc::clone(&world);
        let remote = peer.spawn(async move {
            let relay = RelayOf {
                relay: &theirs.relay,
                me: name(1),
            };
            let connector = Connector {
                relay: &relay,
                ..theirs.connector(1)
            };
            let channels = connector
                .connect(&theirs.bindings[1], &theirs.addresses)
                .await
                .expect("connected");
            let (network, _) = network(&theirs, 1, channels);
            std::future::pending::<()>().await;
            drop(network);
        });
        let relay = RelayOf {
            relay: &world.relay,
            me: name(0),
        };
        let connector = Connector {
            relay: &relay,
            ..world.connector(0)
        };
        let channels = guarded(connector.connect(&world.bindings[0], &world.addresses))
            .await
            .expect("connected");
        let (network, _) = network(&world, 0, channels);
        let (mut outlet, mut inlet) = network.open(Seat(1), PATH).await.expect("opened");
        outlet.send(frame(1)).await.expect("sent");
        peer.shutdown_background();
        let (lost, received) =
            guarded(async { tokio::join!(network.lost(), inlet.recv(SHAPE)) }).await;
        assert_eq!(lost.seat, Seat(1));
        assert_eq!(lost.cause, LinkError::TimedOut);
        assert_eq!(lost.ending, None);
        assert_eq!(received.err(), Some(LinkError::TimedOut));
        remote.abort();
    }
}

#[tokio::test]
async fn the_reason_for_closing_reaches_the_peer() {
    guarded(async {
        for (ending, cause) in [
            (Ending::Cancelled, LinkError::Closed),
            (Ending::Lost(Seat(2)), LinkError::Closed),
            (Ending::Failed, LinkError::Closed),
        ] {
            let world = World::new(&[true, true]);
            let all = networks(&world).await;
            all[0].0.close(ending);
            let lost = all[1].0.lost().await;
            assert_eq!(
                (lost.seat, lost.cause, lost.ending),
                (Seat(0), cause, Some(ending))
            );
            assert!(all[1].0.ended_by_a_peer());
            assert_eq!(
                all[1]
                    .0
                    .fate(Seat(0), Duration::ZERO)
                    .await
                    .and_then(|l| l.ending),
                Some(ending)
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_party_that_ends_before_it_is_done_is_missed() {
    guarded(async {
        for ending in [Ending::Failed, Ending::Cancelled, Ending::Lost(Seat(2))] {
            let world = World::new(&[true, true]);
            let all = networks(&world).await;
            let (finished, ()) = tokio::join!(all[0].0.finish(), async { all[1].0.close(ending) });
            let lost = finished.expect_err("the other was not done");
            assert_eq!((lost.seat, lost.ending), (Seat(1), Some(ending)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_party_that_closes_as_done_was_done() {
    guarded(async {
        let world = World::new(&[true, true]);
        let all = networks(&world).await;
        let both = tokio::join!(all[0].0.finish(), async {
            all[1].0.close(Ending::Done);
        });
        assert_eq!(both.0, Ok(()));
    })
    .await;
}

#[tokio::test]
async fn a_session_over_quic_says_what_it_says_in_memory() {
    guarded(async {
        let totals = |seat: u64| {
            (0..2000)
                .map(|i| seat * 1_000_003 + i)
                .collect::<Vec<u64>>()
        };
        let world = World::new(&[true, true, true]);
        let all = networks(&world).await;
        let runs = all
            .into_iter()
            .enumerate()
            .map(|(i, (network, pair_seeds, _))| {
                let session_id = world.bindings[i].session_id();
                async move {
                    let network: Arc<dyn Network> = Arc::new(network);
                    let mut session = Session::new(SessionConfig {
                        seat: Seat::from_index(i),
                        n_seats: 3,
                        has_dealer: false,
                        session_id,
                        own_seed: Seed::from_bytes([i as u8; 32]),
                        pair_seeds,
                        network: Arc::clone(&network),
                        compute: Compute::Inline,
                    });
                    let shape = protocols::aggregate::ReleaseShape {
                        cells: 2000,
                        narrow: 1,
                        compared: 0,
                        wide: 0,
                        checks: Vec::new(),
                        receivers: vec![Seat(0), Seat(2)],
                        mode: protocols::aggregate::CellRule::None,
                    };
                    let input = protocols::aggregate::LocalTotals {
                        narrow: vec![totals(i as u64)],
                        wide: Vec::new(),
                    };
                    let disclosure = protocols::disclose::Disclosure::approved(shape.terms());
                    let stock = protocols::correlate::Stock::empty();
                    let released = protocols::aggregate::release(
                        &mut session,
                        input,
                        &shape,
                        stock,
                        disclosure,
                    )
                    .await;
                    (released.expect("released"), session.traffic(), network)
                }
            });
        let runs = futures::future::join_all(runs).await;
        let expected: Vec<u64> = (0..2000).map(|i| 3 * 1_000_003 + 3 * i).collect();
        for (i, (released, traffic, _)) in runs.iter().enumerate() {
            assert_eq!(traffic.rounds, 2);
            assert_eq!(
                released.as_ref().map(|r| &r.narrow[0]),
                (i != 1).then_some(&expected),
                "seat {i}"
            );
        }
    })
    .await;
}
