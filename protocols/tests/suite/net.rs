//! The networks: bounded, closing, exact in virtual time, faithful in recording.

use crate::world::{DEADLINE, block_on, is_pending};
use bytes::Bytes;
use protocols::error::LinkError;
use protocols::net::memory;
use protocols::net::record::{Direction, Recorder, Replay};
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::net::tamper::{Change, Tampered};
use protocols::net::{Frame, FrameShape, Inlet, LinkHalves, Network, Outlet};
use protocols::party::Seat;
use protocols::path::{Path, PathId};
use protocols::stamp::Stamp;
use protocols::wire::WireError;
use std::sync::Arc;

const KIND: u16 = 7;

fn path() -> PathId {
    Path::root().id()
}

fn frame(body: &'static [u8]) -> Frame {
    Frame {
        stamp: Stamp {
            depth: 1,
            time_ns: 0,
        },
        kind: KIND,
        body: Bytes::from_static(body),
    }
}

fn shape(len: usize) -> FrameShape {
    FrameShape { kind: KIND, len }
}

async fn open(network: &impl Network, peer: u8) -> LinkHalves {
    network
        .open(Seat(peer), path())
        .await
        .expect("the link opens")
}

async fn send(outlet: &mut Box<dyn Outlet>, body: &'static [u8]) {
    outlet.send(frame(body)).await.expect("the frame is sent");
}

async fn recv(inlet: &mut Box<dyn Inlet>, len: usize) -> Frame {
    inlet.recv(shape(len)).await.expect("a frame arrives")
}

#[test]
fn frames_arrive_in_order_and_each_way() {
    block_on(async {
        let ends = memory::network(2);
        let (mut to_1, mut from_1) = open(&ends[0], 1).await;
        let (mut to_0, mut from_0) = open(&ends[1], 0).await;
        send(&mut to_1, b"one").await;
        send(&mut to_1, b"three").await;
        send(&mut to_0, b"back").await;
        assert_eq!(recv(&mut from_0, 3).await.body, "one");
        assert_eq!(recv(&mut from_0, 5).await.body, "three");
        assert_eq!(recv(&mut from_1, 4).await.body, "back");
    });
}

#[test]
fn a_full_queue_makes_the_sender_wait() {
    block_on(async {
        let ends = memory::network_with_capacity(2, 2);
        let (mut outlet, _) = open(&ends[0], 1).await;
        let (_, mut inlet) = open(&ends[1], 0).await;
        send(&mut outlet, b"a").await;
        send(&mut outlet, b"b").await;
        assert!(
            is_pending(outlet.send(frame(b"c"))).await,
            "a third frame does not fit"
        );
        recv(&mut inlet, 1).await;
        send(&mut outlet, b"d").await;
        assert_eq!(recv(&mut inlet, 1).await.body, "b");
        assert_eq!(
            recv(&mut inlet, 1).await.body,
            "d",
            "an abandoned send leaves nothing behind"
        );
    });
}

#[test]
fn what_was_sent_before_the_end_still_arrives() {
    block_on(async {
        let mut ends = memory::network(2);
        let (mut outlet, _) = open(&ends[0], 1).await;
        send(&mut outlet, b"last words").await;
        drop(outlet);
        drop(ends.remove(0));
        let (mut back, mut inlet) = open(&ends[0], 0).await;
        assert_eq!(recv(&mut inlet, 10).await.body, "last words");
        assert_eq!(
            inlet.recv(shape(1)).await.expect_err("gone"),
            LinkError::Closed
        );
        assert_eq!(
            back.send(frame(b"x")).await.expect_err("gone"),
            LinkError::Closed
        );
    });
}

#[test]
fn a_seat_that_leaves_wakes_those_that_wait_for_it() {
    block_on(async {
        let mut ends = memory::network(2);
        let (_, mut inlet) = open(&ends[1], 0).await;
        let leaver = ends.remove(0);
        let waiting = tokio::spawn(async move { inlet.recv(shape(1)).await.map(|_| ()) });
        tokio::task::yield_now().await;
        drop(leaver);
        let ended = tokio::time::timeout(DEADLINE, waiting)
            .await
            .expect("no hang");
        assert_eq!(ended.expect("no panic"), Err(LinkError::Closed));
    });
}

#[test]
fn a_link_is_opened_once_and_only_to_a_peer() {
    block_on(async {
        let ends = memory::network(2);
        let _halves = open(&ends[0], 1).await;
        let again = ends[0].open(Seat(1), path()).await;
        assert!(matches!(again, Err(LinkError::AlreadyOpen)));
        for nobody in [0, 2, 255] {
            let halves = ends[0].open(Seat(nobody), path()).await;
            assert!(
                matches!(halves, Err(LinkError::NoSuchPeer)),
                "seat {nobody}"
            );
        }
    });
}

#[test]
fn an_inlet_refuses_what_was_not_expected() {
    block_on(async {
        let ends = memory::network(2);
        let (mut outlet, _) = open(&ends[0], 1).await;
        let (_, mut inlet) = open(&ends[1], 0).await;
        send(&mut outlet, b"abc").await;
        let wrong_len = inlet.recv(shape(4)).await.expect_err("3 bytes, not 4");
        assert_eq!(
            wrong_len,
            LinkError::Malformed(WireError::Length {
                expected: 4,
                found: 3
            })
        );
        send(&mut outlet, b"abc").await;
        let other = FrameShape { kind: 8, len: 3 };
        let wrong_kind = inlet.recv(other).await.expect_err("another kind");
        assert_eq!(
            wrong_kind,
            LinkError::Malformed(WireError::Kind {
                expected: 8,
                found: KIND
            })
        );
    });
}

#[test]
fn virtual_time_is_transmission_plus_delay() {
    // 1 Mbit/s: 8 µs a byte. A frame of 76 bytes is 100 with its header: 800 µs.
    let model = LinkModel {
        bits_per_s: 1_000_000,
        delay_ns: 5_000_000,
    };
    const BODY: &[u8] = &[0; 76];
    block_on(async {
        let ends = sim::network(2, model, None);
        let (mut outlet, _) = open(&ends[0], 1).await;
        let (_, mut inlet) = open(&ends[1], 0).await;
        let other_path = Path::root().child("other", 0).id();
        let (mut other_outlet, _) = ends[0].open(Seat(1), other_path).await.expect("opens");
        let (_, mut other_inlet) = ends[1].open(Seat(0), other_path).await.expect("opens");

        send(&mut outlet, BODY).await;
        send(&mut other_outlet, BODY).await;
        assert_eq!(recv(&mut inlet, 76).await.stamp.time_ns, 5_800_000);
        let second = recv(&mut other_inlet, 76).await.stamp.time_ns;
        assert_eq!(
            second, 6_600_000,
            "paths share the link: the second frame waits for the first"
        );

        let mut late = frame(BODY);
        late.stamp.time_ns = 9_000_000;
        outlet.send(late).await.expect("sent");
        assert_eq!(
            recv(&mut inlet, 76).await.stamp.time_ns,
            14_800_000,
            "an idle link"
        );
    });
}

#[test]
fn the_presets_are_those_of_the_design() {
    let mib = 1 << 20;
    assert_eq!(LinkModel::LAN.transmission_ns(mib), 838_860);
    assert_eq!(LinkModel::METRO.transmission_ns(mib), 8_388_608);
    assert_eq!(LinkModel::WAN.transmission_ns(mib), 83_886_080);
    let delays = [LinkModel::LAN, LinkModel::METRO, LinkModel::WAN].map(|m| m.delay_ns / 1000);
    assert_eq!(delays, [250, 5_000, 40_000]);
}

#[test]
fn a_cut_seat_is_gone_for_everybody() {
    block_on(async {
        let cut = Cut {
            seat: Seat(0),
            at_message: 1,
        };
        let ends = sim::network(3, LinkModel::LAN, Some(cut));
        let (mut to_1, _) = open(&ends[0], 1).await;
        let (mut to_2, mut from_2) = open(&ends[0], 2).await;
        let (_, mut at_1) = open(&ends[1], 0).await;
        let (mut back, _) = open(&ends[2], 0).await;
        send(&mut to_1, b"x").await;
        assert_eq!(to_2.send(frame(b"y")).await, Err(LinkError::Closed));
        assert_eq!(recv(&mut at_1, 1).await.body, "x");
        assert!(matches!(at_1.recv(shape(1)).await, Err(LinkError::Closed)));
        assert_eq!(back.send(frame(b"z")).await, Err(LinkError::Closed));
        assert!(matches!(
            from_2.recv(shape(1)).await,
            Err(LinkError::Closed)
        ));
    });
}

#[test]
fn a_replay_answers_as_the_recording_did() {
    block_on(async {
        let mut ends = memory::network(2).into_iter();
        let recorded = ends.next().expect("two ends");
        let other = ends.next().expect("two ends");
        let (recorder, log) = Recorder::new(Arc::new(recorded));
        let (mut outlet, mut inlet) = open(&recorder, 1).await;
        let (mut back, mut there) = open(&other, 0).await;
        send(&mut outlet, b"question").await;
        recv(&mut there, 8).await;
        send(&mut back, b"answer").await;
        recv(&mut inlet, 6).await;

        let transcript = log.transcript();
        let ways: Vec<Direction> = transcript.iter().map(|e| e.direction).collect();
        assert_eq!(ways, [Direction::Sent, Direction::Received]);
        let replay = Replay::new(&transcript);
        let (mut outlet, mut inlet) = open(&replay, 1).await;
        send(&mut outlet, b"question").await;
        assert_eq!(recv(&mut inlet, 6).await.body, "answer");
        assert!(
            matches!(inlet.recv(shape(1)).await, Err(LinkError::Closed)),
            "nothing is left"
        );
    });
}

#[test]
fn tampering_changes_one_message() {
    block_on(async {
        let mut ends = memory::network(2).into_iter();
        let inner: Arc<dyn Network> = Arc::new(ends.next().expect("two ends"));
        let other = ends.next().expect("two ends");
        let tampered = Tampered::new(inner, 1, Change::FlipBit(9));
        let (mut outlet, _) = open(&tampered, 1).await;
        let (_, mut inlet) = open(&other, 0).await;
        for _ in 0..3 {
            send(&mut outlet, b"ab").await;
        }
        let mut bodies = Vec::new();
        for _ in 0..3 {
            bodies.push(recv(&mut inlet, 2).await.body);
        }
        assert_eq!(bodies, ["ab", "a`", "ab"]);
    });
}
