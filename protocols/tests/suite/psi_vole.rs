//! Intersection from VOLE: against plain sets, declared cost, shapes, faults, tampering, and what the
//! messages tell.

use crate::chi_square;
use crate::world::{Ended, World, all_ok, prg, transcripts};
use protocols::error::{LinkError, Misdeed, ProtocolError};
use protocols::net::record::{Direction, Transcript};
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::net::tamper::{Change, Tampered};
use protocols::party::Seat;
use protocols::psi::{self, Item, vole};
use protocols::session::Session;
use protocols::wire::Kind;
use std::collections::BTreeSet;
use std::sync::Arc;

const SENDER: Seat = Seat(0);
const RECEIVER: Seat = Seat(1);

/// The sets of the sender and of the receiver.
#[derive(Clone)]
pub(crate) struct Sets {
    sender: Vec<Item>,
    receiver: Vec<Item>,
}

impl Sets {
    /// Random sets with so many items in common, at random places.
    pub(crate) fn random(n_sender: usize, n_receiver: usize, n_common: usize, seed: u64) -> Self {
        let mut prg = prg(seed);
        let mut draw = |n: usize| {
            let mut items = vec![[0; 16]; n];
            items.iter_mut().for_each(|item| prg.fill_bytes(item));
            items
        };
        let (sender, mut receiver) = (draw(n_sender), draw(n_receiver));
        receiver[..n_common].copy_from_slice(&sender[..n_common]);
        let mut sets = Self { sender, receiver };
        for items in [&mut sets.sender, &mut sets.receiver] {
            for at in (1..items.len()).rev() {
                items.swap(at, prg.next_bounded(at as u64 + 1) as usize);
            }
        }
        sets
    }

    fn in_common(&self) -> Vec<u32> {
        let sender: BTreeSet<&Item> = self.sender.iter().collect();
        let both = (0..)
            .zip(&self.receiver)
            .filter(|(_, item)| sender.contains(item));
        both.map(|(place, _)| place).collect()
    }

    pub(crate) fn run(&self, world: World) -> Vec<Ended<Vec<u32>>> {
        world.run(async |session| self.at_seat(session).await)
    }

    async fn at_seat(&self, session: &mut Session) -> Result<Vec<u32>, ProtocolError> {
        match session.seat() {
            SENDER => {
                vole::send(session, RECEIVER, &self.sender, self.receiver.len()).await?;
                Ok(Vec::new())
            }
            RECEIVER => vole::receive(session, SENDER, &self.receiver, self.sender.len()).await,
            _ => Ok(Vec::new()),
        }
    }

    fn matches(&self, world: World) -> Vec<u32> {
        all_ok(self.run(world)).swap_remove(RECEIVER.index())
    }
}

#[test]
fn the_receiver_learns_what_is_in_common() {
    let sizes = [0, 1, 2, 7, 100, 1009];
    for n_sender in sizes {
        for n_receiver in sizes {
            let most = n_sender.min(n_receiver);
            for n_common in BTreeSet::from([0, most / 2, most]) {
                let sets = Sets::random(n_sender, n_receiver, n_common, 50);
                assert_eq!(sets.matches(World::new(2, 51)), sets.in_common());
            }
        }
    }
}

/// Around a chunk of the store and of tags, and with more than one cluster.
#[test]
fn long_sets_come_in_chunks() {
    for (n_sender, n_receiver) in [(65_535, 300), (65_537, 49_000), (300, 70_000)] {
        let sets = Sets::random(n_sender, n_receiver, 150, 52);
        assert_eq!(sets.matches(World::new(2, 53).pooled()), sets.in_common());
    }
}

#[test]
fn other_seats_take_no_part() {
    let sets = Sets::random(50, 60, 20, 54);
    for n_seats in [3, 5] {
        let ended = sets.run(World::new(n_seats, 55));
        for ended in &ended[2..] {
            assert_eq!(ended.traffic.messages_sent.iter().sum::<u64>(), 0);
        }
        assert_eq!(all_ok(ended)[RECEIVER.index()], sets.in_common());
    }
}

/// Two seats may run it again, the other way round or at once, and nobody's numbering is disturbed
/// by what others do.
#[test]
fn pairs_of_seats_are_independent() {
    let (ab, bc) = (Sets::random(40, 50, 10, 56), Sets::random(30, 20, 5, 57));
    let ended = World::new(3, 58).run(async |session| {
        let mut found = Vec::new();
        match session.seat().0 {
            0 => {
                vole::send(session, Seat(1), &ab.sender, ab.receiver.len()).await?;
                let n_theirs = ab.receiver.len();
                found.push(vole::receive(session, Seat(1), &ab.sender, n_theirs).await?);
            }
            1 => {
                found.push(vole::receive(session, Seat(0), &ab.receiver, ab.sender.len()).await?);
                vole::send(session, Seat(0), &ab.receiver, ab.sender.len()).await?;
                vole::send(session, Seat(2), &bc.sender, bc.receiver.len()).await?;
            }
            _ => found.push(vole::receive(session, Seat(1), &bc.receiver, bc.sender.len()).await?),
        }
        Ok(found)
    });
    let found = all_ok(ended);
    assert_eq!(found[0][0].len(), 10);
    assert_eq!(found[1][0], ab.in_common());
    assert_eq!(found[2][0], bc.in_common());
}

#[test]
fn it_costs_what_it_declares() {
    for (n_sender, n_receiver) in [
        (0, 5),
        (5, 0),
        (1, 1),
        (1000, 30),
        (30, 1000),
        (66_000, 2000),
    ] {
        let sets = Sets::random(n_sender, n_receiver, 0, 59);
        let declared = vole::cost(3, (SENDER, n_sender), (RECEIVER, n_receiver));
        let ended = sets.run(World::new(3, 60).on(sim::network(3, LinkModel::WAN, None)));
        for (at, ended) in ended.iter().enumerate() {
            assert!(ended.outcome.is_ok());
            assert_eq!(ended.traffic.bytes_sent, declared.bytes[at], "seat {at}");
            assert_eq!(
                ended.traffic.messages_sent, declared.messages[at],
                "seat {at}"
            );
            let rounds = if at < 2 { declared.rounds } else { 0 };
            assert_eq!(ended.traffic.rounds, rounds, "seat {at}");
        }
        let last = ended.iter().map(|e| e.traffic.time_ns).max().unwrap_or(0);
        let predicted = declared.time_on(LinkModel::WAN).as_nanos() as u64;
        assert!(predicted.abs_diff(last) <= u64::from(declared.rounds));
    }
    let declared = vole::cost(2, (SENDER, 1 << 20), (RECEIVER, 1 << 20));
    let total: u64 = declared.bytes.iter().flatten().sum();
    assert!(total < 40_000_000, "{total} bytes for 2^20 and 2^20");
}

/// (peer, direction, kind, length) of every message of a seat.
fn outline(transcript: &Transcript) -> Vec<(Seat, bool, u16, usize)> {
    transcript
        .iter()
        .map(|e| {
            let is_sent = e.direction == Direction::Sent;
            (e.peer, is_sent, e.frame.kind, e.frame.body.len())
        })
        .collect()
}

fn recorded(sets: &Sets, seed: u64) -> Vec<Transcript> {
    let world = World::new(2, seed).recorded();
    let logs = world.logs();
    all_ok(sets.run(world));
    transcripts(&logs)
}

#[test]
fn messages_do_not_depend_on_the_sets() {
    let outlines = |sets: &Sets| {
        let both = recorded(sets, 61);
        both.iter().map(outline).collect::<Vec<_>>()
    };
    let none = outlines(&Sets::random(500, 700, 0, 62));
    assert!(none == outlines(&Sets::random(500, 700, 500, 63)));
    assert!(none == outlines(&Sets::random(500, 700, 1, 64)));
}

/// Bytes of one kind that a seat received.
fn received(transcript: &Transcript, kind: Kind) -> Vec<u8> {
    let entries = transcript
        .iter()
        .filter(|e| e.direction == Direction::Received);
    let bodies = entries.filter(|e| e.frame.kind == kind as u16);
    bodies.flat_map(|e| e.frame.body.to_vec()).collect()
}

/// Sets that are far from random still make masked messages that look uniform.
#[test]
fn every_message_looks_uniform() {
    let numbered = |from: u128, n: u128| (from..from + n).map(u128::to_le_bytes).collect();
    let sets = Sets {
        sender: numbered(0, 4000),
        receiver: numbered(2000, 4000),
    };
    let both = recorded(&sets, 65);
    let store = received(&both[SENDER.index()], Kind::Store);
    let steps = received(&both[SENDER.index()], Kind::Transfer);
    let trees = received(&both[RECEIVER.index()], Kind::Transfer);
    for (bytes, what) in [(&store, "store"), (&steps, "choices"), (&trees, "trees")] {
        let chi = chi_square::of_bytes(bytes);
        assert!(chi < chi_square::BOUND, "{what}: χ² = {chi}");
    }
    // Tags are sorted by their last byte first; the others are uniform.
    let n_bytes = psi::tag_bytes(4000, 4000);
    let tags = received(&both[RECEIVER.index()], Kind::Tags);
    let low: Vec<u8> = tags
        .chunks(n_bytes)
        .flat_map(|tag| tag[..n_bytes - 2].to_vec())
        .collect();
    let chi = chi_square::of_bytes(&low);
    assert!(chi < chi_square::BOUND, "tags: χ² = {chi}");
}

/// Tags say nothing about the order in which the sender holds its items: they are ascending, and
/// where an item's tag stands has no correlation with where the item stood. With another order of the
/// same items, the same session sends the same tags.
#[test]
fn tags_reveal_no_order() {
    let n = 2000;
    let sets = Sets::random(n, n, n, 66);
    let mut reversed = sets.clone();
    reversed.sender.reverse();
    let tags = |sets: &Sets| received(&recorded(sets, 67)[RECEIVER.index()], Kind::Tags);
    assert!(tags(&sets) == tags(&reversed));

    // Which tag is whose: of one item alone, in the same session and with the same store.
    let n_bytes = psi::tag_bytes(n, n);
    let order = |tag: &[u8]| tag.iter().rev().copied().collect::<Vec<u8>>();
    let all: Vec<Vec<u8>> = tags(&sets).chunks(n_bytes).map(order).collect();
    assert!(
        all.windows(2).all(|pair| pair[0] < pair[1]),
        "ascending, and all different"
    );
    let place_of = |at: usize| {
        let mut one = sets.clone();
        // The other items are replaced, so that the tag that stays is this item's.
        for (other, item) in one.sender.iter_mut().enumerate() {
            if other != at {
                *item = (other as u128 + 1).to_le_bytes();
            }
        }
        let kept: BTreeSet<Vec<u8>> = tags(&one).chunks(n_bytes).map(order).collect();
        let mut both = all
            .iter()
            .enumerate()
            .filter(|(_, tag)| kept.contains(*tag));
        both.next().expect("the item's tag").0
    };
    let n_samples = 40;
    let places: Vec<f64> = (0..n_samples)
        .map(|s| place_of(s * n / n_samples) as f64)
        .collect();
    let correlation = correlation_with_index(&places);
    assert!(
        correlation.abs() < 0.6,
        "correlation {correlation} of {n_samples} places"
    );
}

fn correlation_with_index(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let (mean, middle) = (values.iter().sum::<f64>() / n, (n - 1.0) / 2.0);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let (x, y) = (at as f64 - middle, value - mean);
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    xy / (xx * yy).sqrt()
}

#[test]
fn the_same_sets_twice_have_nothing_in_common() {
    let sets = Sets::random(300, 300, 100, 68);
    let (first, second) = (recorded(&sets, 69), recorded(&sets, 70));
    let n_bytes = psi::tag_bytes(300, 300);
    let tags = |of: &[Transcript]| -> BTreeSet<Vec<u8>> {
        let bytes = received(&of[RECEIVER.index()], Kind::Tags);
        bytes.chunks(n_bytes).map(<[u8]>::to_vec).collect()
    };
    assert!(tags(&first).is_disjoint(&tags(&second)));
}

#[test]
fn items_that_repeat_are_refused() {
    let sets = Sets::random(100, 100, 30, 71);
    let invalid = |error: &ProtocolError| matches!(error, ProtocolError::InvalidInput { .. });
    for seat in [SENDER, RECEIVER] {
        let mut bad = sets.clone();
        let items = if seat == SENDER {
            &mut bad.sender
        } else {
            &mut bad.receiver
        };
        items[70] = items[3];
        let ended = bad.run(World::new(2, 72));
        let error = ended[seat.index()].outcome.as_ref().err();
        assert!(error.is_some_and(invalid), "{seat}: {error:?}");
        let other = &ended[1 - seat.index()].outcome;
        assert!(
            matches!(other, Err(ProtocolError::Link { .. })),
            "the other seat of {seat}"
        );
    }
}

#[test]
fn a_cut_at_any_message_ends_both_seats() {
    let sets = Sets::random(66_000, 200, 100, 73);
    let whole = sets.run(World::new(2, 74));
    let n_sent = |seat: Seat| {
        whole[seat.index()]
            .traffic
            .messages_sent
            .iter()
            .sum::<u64>()
    };
    for seat in [SENDER, RECEIVER] {
        for at_message in 0..n_sent(seat) {
            let cut = Cut { seat, at_message };
            let world = World::new(2, 74).on(sim::network(2, LinkModel::LAN, Some(cut)));
            let ended = sets.run(world);
            for (at, ended) in ended.into_iter().enumerate() {
                // A sender that has sent its tags is done.
                let is_done = at == SENDER.index() && seat == RECEIVER;
                match ended.outcome {
                    Err(ProtocolError::Link { cause, .. }) => {
                        assert!(matches!(cause, LinkError::Closed), "{cut:?}");
                    }
                    Ok(_) => assert!(is_done, "{cut:?}, seat {at}"),
                    Err(other) => panic!("{cut:?}, seat {at}: {other}"),
                }
            }
        }
    }
}

/// Tampering is no attack that a semi-honest protocol promises to find, but it must end: without a
/// panic, and with lengths and kinds blamed on their sender.
#[test]
fn changed_messages_end_in_an_error_or_a_result() {
    let sets = Sets::random(80, 90, 40, 75);
    let whole = sets.run(World::new(2, 76));
    for seat in [SENDER, RECEIVER] {
        let n_sent = whole[seat.index()]
            .traffic
            .messages_sent
            .iter()
            .sum::<u64>();
        for at_message in 0..n_sent {
            let flips = (0..4).map(|k| Change::FlipBit(1 + 977 * k));
            let others = [Change::Kind, Change::Shorten, Change::Lengthen];
            for change in flips.chain(others) {
                let wrap = |inner| Arc::new(Tampered::new(inner, at_message, change)) as Arc<_>;
                let ended = sets.run(World::new(2, 76).wrap(seat, wrap));
                let peer = &ended[1 - seat.index()].outcome;
                if !matches!(change, Change::FlipBit(_)) {
                    let blamed = matches!(peer, Err(ProtocolError::PeerMisbehaved {
                        seat: culprit, what: Misdeed::Wire(_),
                    }) if *culprit == seat);
                    assert!(blamed, "{seat}, message {at_message}, {change:?}");
                }
            }
        }
    }
}

/// A seat that announced one number and has another is found out by a length.
#[test]
fn sets_of_another_size_than_announced_do_not_pass() {
    let sets = Sets::random(100, 100, 30, 77);
    for (seat, n) in [(SENDER, 99), (SENDER, 101), (RECEIVER, 90), (RECEIVER, 110)] {
        let mut other = sets.clone();
        let items = match seat {
            SENDER => &mut other.sender,
            _ => &mut other.receiver,
        };
        items.truncate(n);
        items.extend((items.len()..n).map(|i| [i as u8; 16]));
        let ended = World::new(2, 78).run(async |session| {
            let n_theirs = 100;
            match session.seat() {
                SENDER => {
                    vole::send(session, RECEIVER, &other.sender, n_theirs).await?;
                    Ok(Vec::new())
                }
                _ => vole::receive(session, SENDER, &other.receiver, n_theirs).await,
            }
        });
        let peer = ended[1 - seat.index()].outcome.as_ref().err();
        assert_eq!(
            peer.and_then(ProtocolError::culprit),
            Some(seat),
            "{seat} has {n}"
        );
    }
}

/// The highest bit of the first tag is set, which makes it greater than the next one.
#[test]
fn tags_out_of_order_are_refused() {
    let sets = Sets::random(100, 100, 30, 79);
    let n_bits = 8 * psi::tag_bytes(100, 100) as u64;
    let whole = sets.run(World::new(2, 80));
    let n_sent: u64 = whole[SENDER.index()].traffic.messages_sent.iter().sum();
    let change = Change::FlipBit(n_bits - 1);
    let wrap = |inner| Arc::new(Tampered::new(inner, n_sent - 1, change)) as Arc<_>;
    let ended = sets.run(World::new(2, 80).wrap(SENDER, wrap));
    let blamed = ProtocolError::PeerMisbehaved {
        seat: SENDER,
        what: Misdeed::Rule("its tags are repeated or out of order"),
    };
    assert_eq!(
        ended[RECEIVER.index()].outcome.as_ref().err(),
        Some(&blamed)
    );
}

/// A peer that plays the same part as this seat sends nothing that fits.
#[test]
fn reflected_messages_fit_nothing() {
    let sets = Sets::random(50, 50, 50, 81);
    let ended = World::new(2, 82).run(async |session| {
        let peer = Seat(1 - session.seat().0);
        vole::receive(session, peer, &sets.receiver, 50).await
    });
    for ended in ended {
        assert!(matches!(
            ended.outcome,
            Err(ProtocolError::PeerMisbehaved { .. })
        ));
    }
    let ended = World::new(2, 83).run(async |session| {
        let peer = Seat(1 - session.seat().0);
        vole::send(session, peer, &sets.sender, 50).await
    });
    for ended in ended {
        assert!(matches!(
            ended.outcome,
            Err(ProtocolError::PeerMisbehaved { .. })
        ));
    }
}
