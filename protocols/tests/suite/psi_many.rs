//! Intersections of three or more holders: against plain sets, and held to every demand.

use crate::chi_square;
use crate::world::{Ended, World, all_ok, prg, transcripts};
use protocols::error::{LinkError, Misdeed, ProtocolError};
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::net::tamper::{Change, Tampered};
use protocols::party::Seat;
use protocols::psi::Item;
use protocols::psi::many::{self, Shape};
use protocols::wire::Kind;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Every holder's items.
#[derive(Clone)]
pub(crate) struct Sets {
    shape: Shape,
    items: Vec<Vec<Item>>,
}

impl Sets {
    /// Sets of these sizes with so many items in all of them, and as many again in all but one, at
    /// random places.
    pub(crate) fn random(
        sizes: &[usize],
        n_common: usize,
        hub: Seat,
        receivers: &[Seat],
        seed: u64,
    ) -> Self {
        let mut prg = prg(seed);
        let mut draw = |n: usize| {
            let mut items = vec![[0; 16]; n];
            items.iter_mut().for_each(|item| prg.fill_bytes(item));
            items
        };
        let common = draw(n_common);
        let nearly: Vec<Vec<Item>> = sizes.iter().map(|_| draw(n_common)).collect();
        let mut items: Vec<Vec<Item>> = Vec::new();
        for (at, size) in sizes.iter().enumerate() {
            let others = (0..sizes.len()).filter(|other| *other != at);
            let mut own = common.clone();
            own.extend(others.flat_map(|other| nearly[other].iter().copied()));
            own.truncate((*size).max(n_common));
            let rest = draw(size.saturating_sub(own.len()));
            own.extend(rest);
            items.push(own);
        }
        for items in &mut items {
            for at in (1..items.len()).rev() {
                items.swap(at, prg.next_bounded(at as u64 + 1) as usize);
            }
        }
        Self {
            shape: Shape {
                hub,
                n_items: items.iter().map(Vec::len).collect(),
                receivers: receivers.to_vec(),
            },
            items,
        }
    }

    pub(crate) fn run(&self, world: World) -> Vec<Ended<Option<Vec<u32>>>> {
        world.run(async |session| {
            let items = &self.items[session.seat().index()];
            many::intersect(session, &self.shape, items).await
        })
    }

    fn expected(&self, seat: Seat) -> Option<Vec<u32>> {
        let sets = self.items.iter().map(|items| items.iter().collect());
        let sets: Vec<BTreeSet<&Item>> = sets.collect();
        let places = (0..).zip(&self.items[seat.index()]);
        let common = places.filter(|(_, item)| sets.iter().all(|set| set.contains(item)));
        let places = common.map(|(place, _)| place).collect();
        self.shape.receivers.contains(&seat).then_some(places)
    }

    fn check(&self, world: World) {
        let outcomes = all_ok(self.run(world));
        for (seat, outcome) in Seat::first(self.items.len()).zip(outcomes) {
            assert!(outcome == self.expected(seat), "{:?}, {seat}", self.shape);
        }
    }

    pub(crate) fn world(&self, seed: u64) -> World {
        World::new(self.items.len(), seed)
    }
}

#[test]
fn receivers_learn_what_all_have_in_common() {
    for sizes in [
        vec![1, 1, 1],
        vec![7, 40, 13],
        vec![100, 90, 80, 101, 3],
        vec![30; 10],
    ] {
        let last = Seat::from_index(sizes.len() - 1);
        let receivers = [
            vec![Seat(0)],
            vec![Seat(0), last],
            Seat::first(sizes.len()).collect(),
        ];
        let most = sizes.iter().min().copied().unwrap_or(0);
        for receivers in receivers {
            for n_common in BTreeSet::from([0, most / 2, most]) {
                let sets = Sets::random(&sizes, n_common, Seat(0), &receivers, 80);
                sets.check(sets.world(81));
            }
        }
    }
}

#[test]
fn any_seat_can_be_the_hub() {
    for hub in Seat::first(4) {
        let receivers = [hub, Seat(1)];
        let sets = Sets::random(&[50, 60, 40, 70], 11, hub, &receivers, 82);
        sets.check(sets.world(83).pooled());
    }
}

#[test]
fn nothing_is_in_common_with_nothing() {
    for sizes in [[0, 5, 5], [5, 0, 5], [0, 0, 0]] {
        let sets = Sets::random(&sizes, 0, Seat(1), &[Seat(1)], 84);
        let ended = sets.run(sets.world(85));
        assert!(
            ended
                .iter()
                .all(|e| e.traffic.messages_sent.iter().all(|n| *n == 0))
        );
        assert!(all_ok(ended)[1] == Some(Vec::new()));
    }
}

/// More than one message of a store and of tags, and more than one cluster.
#[test]
fn long_sets_come_in_chunks() {
    let sizes = [66_000, 300, 49_000];
    let sets = Sets::random(&sizes, 150, Seat(0), &[Seat(0), Seat(1)], 86);
    sets.check(sets.world(87).pooled());
}

#[test]
fn it_costs_what_it_declares() {
    for (sizes, receivers) in [
        (vec![20, 30, 40], vec![Seat(2)]),
        (vec![200, 3000, 40, 700], vec![Seat(2), Seat(1)]),
        (vec![50; 5], Seat::first(5).collect()),
    ] {
        let sets = Sets::random(&sizes, 0, Seat(2), &receivers, 88);
        let declared = many::cost(sizes.len(), &sets.shape);
        let network = sim::network(sizes.len(), LinkModel::WAN, None);
        let ended = sets.run(sets.world(89).on(network));
        for (at, ended) in ended.iter().enumerate() {
            assert!(ended.outcome.is_ok());
            assert_eq!(ended.traffic.bytes_sent, declared.bytes[at], "seat {at}");
            assert_eq!(
                ended.traffic.messages_sent, declared.messages[at],
                "seat {at}"
            );
        }
        let rounds = ended.iter().map(|e| e.traffic.rounds).max();
        assert_eq!(rounds, Some(declared.rounds));
    }
}

/// How many items all or some have in common shows in no message's length.
#[test]
fn messages_do_not_depend_on_the_sets() {
    let outlines = |n_common: usize, seed: u64| {
        let receivers = [Seat(0), Seat(2)];
        let sets = Sets::random(&[90, 80, 100], n_common, Seat(0), &receivers, seed);
        let world = sets.world(90).recorded();
        let logs = world.logs();
        all_ok(sets.run(world));
        let transcripts = transcripts(&logs).into_iter();
        let outline = transcripts.map(|transcript| {
            let line = transcript.iter().map(|e| {
                let frame = &e.frame;
                (
                    e.direction,
                    e.peer,
                    e.path.0,
                    frame.kind,
                    frame.body.len(),
                    frame.stamp.depth,
                )
            });
            let mut lines: Vec<_> = line.collect();
            lines.sort();
            lines
        });
        outline.collect::<Vec<_>>()
    };
    let first = outlines(0, 91);
    assert!(first == outlines(80, 92));
    assert!(first == outlines(1, 93));
}

/// Numbered items, all in common, still make messages that look uniform.
#[test]
fn every_message_looks_uniform() {
    let numbered: Vec<Item> = (0..3000u128).map(u128::to_le_bytes).collect();
    for receivers in [vec![Seat(0)], vec![Seat(0), Seat(1)]] {
        let sets = Sets {
            shape: Shape {
                hub: Seat(0),
                n_items: vec![3000; 3],
                receivers,
            },
            items: vec![numbered.clone(); 3],
        };
        let world = sets.world(94).recorded();
        let logs = world.logs();
        all_ok(sets.run(world));
        let kinds = [Kind::Store, Kind::Hints, Kind::Transfer];
        chi_square::check_received(&transcripts(&logs), &kinds, chi_square::whole);
    }
}

#[test]
fn a_cut_at_any_message_ends_all_seats() {
    let sets = Sets::random(&[30, 20, 40], 10, Seat(1), &[Seat(1), Seat(2)], 95);
    let declared = many::cost(3, &sets.shape);
    for seat in Seat::first(3) {
        let n_sent: u64 = declared.messages[seat.index()].iter().sum();
        for at_message in 0..n_sent {
            let cut = Cut { seat, at_message };
            let world = sets
                .world(96)
                .on(sim::network(3, LinkModel::LAN, Some(cut)));
            for (at, ended) in Seat::first(3).zip(sets.run(world)) {
                match ended.outcome {
                    Err(ProtocolError::Link { cause, .. }) => {
                        assert!(matches!(cause, LinkError::Closed), "{cut:?}");
                    }
                    // Whoever had sent its last message before is done.
                    Ok(outcome) => assert!(outcome.is_none() || outcome == sets.expected(at)),
                    Err(other) => panic!("{cut:?}, {at}: {other}"),
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let good = Sets::random(&[10, 20, 30], 5, Seat(0), &[Seat(0)], 97);
    let refused = |sets: &Sets, n_seats: usize, seat: usize| {
        let ended = sets.run(World::new(n_seats, 98));
        let error = ended[seat].outcome.as_ref().err();
        assert!(
            matches!(error, Some(ProtocolError::InvalidInput { .. })),
            "{error:?}"
        );
        assert!(ended[seat].traffic.messages_sent.iter().all(|n| *n == 0));
    };
    let mut twice = good.clone();
    twice.items[1][4] = twice.items[1][3];
    refused(&twice, 3, 1);
    let mut short = good.clone();
    short.items[2].pop();
    refused(&short, 3, 2);
    let mut deaf = good.clone();
    deaf.shape.receivers = vec![Seat(1)];
    refused(&deaf, 3, 0);
    let mut nobody = good.clone();
    nobody.shape.receivers.push(Seat(3));
    refused(&nobody, 3, 0);
    let two = Sets::random(&[10, 20], 5, Seat(0), &[Seat(0)], 97);
    refused(&two, 2, 0);
    let mut alone = good;
    alone.items.push(Vec::new());
    refused(&alone, 4, 0);
}

/// Tampering is no attack that a semi-honest protocol promises to find, but it must end: without a
/// panic, and with lengths and kinds blamed on their sender.
#[test]
fn changed_messages_end_in_an_error_or_a_result() {
    let sets = Sets::random(&[15, 10, 12], 5, Seat(0), &[Seat(0), Seat(1)], 99);
    let declared = many::cost(3, &sets.shape);
    for seat in Seat::first(3) {
        let n_sent: u64 = declared.messages[seat.index()].iter().sum();
        for at_message in 0..n_sent {
            let flips = (0..3).map(|k| Change::FlipBit(1 + 977 * k));
            let others = [Change::Kind, Change::Shorten, Change::Lengthen];
            for change in flips.chain(others) {
                let wrap = |inner| Arc::new(Tampered::new(inner, at_message, change)) as Arc<_>;
                let ended = sets.run(sets.world(100).wrap(seat, wrap));
                let is_blamed = |ended: &Ended<_>| {
                    matches!(&ended.outcome, Err(ProtocolError::PeerMisbehaved {
                        seat: culprit, what: Misdeed::Wire(_),
                    }) if *culprit == seat)
                };
                if !matches!(change, Change::FlipBit(_)) {
                    assert!(
                        ended.iter().any(is_blamed),
                        "{seat}, {at_message}, {change:?}"
                    );
                }
            }
        }
    }
}
