//! Sums that are opened step by step: right, as declared, only what was approved, and nothing before the counts are large enough.

use crate::arith::seats;
use crate::world::{Ended, World, all_ok, transcripts};
use protocols::correlate::{self, Needs, Source, Stock};
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::party::Seat;
use protocols::session::Session;
use protocols::sums::{Enough, Kind, OpenSums, Probes, SumsShape};
use protocols::wire;

fn shape() -> SumsShape {
    SumsShape {
        required: vec![10, 11],
        told: vec![5],
        bound_bits: 12,
        probes: Some(Probes {
            n_counts: 2,
            at_most: 3,
        }),
        kinds: vec![
            Kind {
                n_sums: 3,
                at_most: 1,
            },
            Kind {
                n_sums: 70,
                at_most: 2,
            },
        ],
        vectors: Some(Kind {
            n_sums: 5,
            at_most: 2,
        }),
        receivers: vec![Seat(0)],
    }
}

/// This seat's number at a place of an opening.
fn own(seat: Seat, place: u128) -> u128 {
    (u128::from(seat.0) + 1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
        .wrapping_add(place)
}

async fn stock_for(session: &mut Session, needs: &Needs) -> Result<Stock, ProtocolError> {
    correlate::preprocess(session, &Source::Ot, needs).await
}

type Found = (Enough, Vec<Vec<u128>>);

/// Every seat brings these counts, and opens everything that the shape allows.
async fn whole(session: &mut Session, counts: [u64; 3]) -> Result<Found, ProtocolError> {
    let shape = shape();
    let seat = session.seat();
    let needs = shape.price(seats(session.n_seats())).needs;
    let mut stock = stock_for(session, &needs).await?;
    let disclosure = Disclosure::approved(shape.terms());
    let mut sums = OpenSums::begin(session, shape, disclosure)?;
    let enough = sums.enough(session, counts.to_vec(), &mut stock).await?;
    // One after another, as in a bisection; the last one asks for less.
    for (thresholds, n) in [([27, 19], 2), ([12, 13], 2), ([0, 0], 1)] {
        let (mine, thresholds) = (counts[..n].to_vec(), thresholds[..n].to_vec());
        let n_seats = session.n_seats() as u64;
        let expected = mine.iter().zip(&thresholds).map(|(c, t)| c * n_seats >= *t);
        let expected: Vec<bool> = expected.collect();
        assert_eq!(
            sums.probe(session, mine, thresholds, &mut stock).await?,
            expected
        );
    }
    let mut opened = Vec::new();
    for (kind, n_sums) in [(0, 3), (1, 70), (1, 70)] {
        let mine = (0..n_sums).map(|place| own(seat, place)).collect();
        opened.push(sums.open(session, kind, mine).await?);
    }
    for _ in 0..2 {
        let mine = (0..5).map(|place| own(seat, place) as u64).collect();
        let found = sums.add_up(session, mine).await?;
        opened.push(found.into_iter().map(u128::from).collect());
    }
    Ok((enough, opened))
}

fn run(world: World, counts: [u64; 3]) -> Vec<Ended<Found>> {
    world.run(async |session| whole(session, counts).await)
}

#[test]
fn sums_over_all_seats_are_opened_to_all() {
    for n in [2, 3, 5] {
        for (enough, opened) in all_ok(run(World::new(n, 71), [9, 6, 2])) {
            assert_eq!((enough.required, enough.told), (vec![true; 2], vec![n > 2]));
            assert_eq!(opened.len(), 5);
            for sums in opened {
                // Vectors are added up mod 2^64.
                let is_vector = sums.len() == 5;
                for (place, sum) in sums.into_iter().enumerate() {
                    let of_seat = |s| own(s, place as u128);
                    let expected = Seat::first(n).map(of_seat).fold(0, u128::wrapping_add);
                    let ring = if is_vector {
                        u128::from(u64::MAX)
                    } else {
                        u128::MAX
                    };
                    assert_eq!(sum, expected & ring);
                }
            }
        }
    }
}

#[test]
fn nothing_is_opened_before_the_counts_are_large_enough() {
    let world = World::new(3, 72).recorded();
    let logs = world.logs();
    for ended in run(world, [3, 6, 2]) {
        let error = ended
            .outcome
            .map(|_| ())
            .expect_err("nine rows are too few");
        assert!(
            matches!(error, ProtocolError::NotApproved { .. }),
            "{error}"
        );
    }
    let opening = wire::Kind::Opening as u16;
    let all = transcripts(&logs);
    assert!(all.iter().flatten().all(|e| e.frame.kind != opening));
    let ended = World::new(3, 72).run(async |session| {
        let disclosure = Disclosure::approved(shape().terms());
        let mut sums = OpenSums::begin(session, shape(), disclosure)?;
        sums.add_up(session, vec![1; 5]).await
    });
    let is_refused = |e: &Ended<_>| matches!(e.outcome, Err(ProtocolError::NotApproved { .. }));
    assert!(ended.iter().all(|e| is_refused(e) && e.traffic.rounds == 0));
}

#[test]
fn no_more_is_opened_than_was_approved() {
    let ended = World::new(2, 73).run(async |session| {
        let mut shape = shape();
        shape.required.clear();
        shape.told.clear();
        let disclosure = Disclosure::approved(shape.terms());
        let mut sums = OpenSums::begin(session, shape, disclosure)?;
        sums.open(session, 0, vec![1; 3]).await?;
        sums.open(session, 0, vec![1; 3]).await
    });
    for ended in ended {
        let error = ended.outcome.expect_err("a second time");
        assert!(
            matches!(error, ProtocolError::NotApproved { .. }),
            "{error}"
        );
    }
    for (n_items, n_times) in [(5, 3), (4, 1), (6, 1)] {
        let ended = World::new(2, 73).run(async |session| {
            let mut shape = shape();
            shape.required.clear();
            shape.told.clear();
            let disclosure = Disclosure::approved(shape.terms());
            let mut sums = OpenSums::begin(session, shape, disclosure)?;
            for _ in 1..n_times {
                sums.add_up(session, vec![1; n_items]).await?;
            }
            sums.add_up(session, vec![1; n_items]).await
        });
        for ended in ended {
            let error = ended.outcome.expect_err("one more, or another length");
            assert!(matches!(error, ProtocolError::NotApproved { .. }));
        }
    }
    let ended = World::new(2, 74).run(async |session| {
        let approved = Disclosure::approved(shape().terms());
        let mut wider = shape();
        wider.kinds[0].n_sums = 4;
        OpenSums::begin(session, wider, approved).map(|_| ())
    });
    let is_refused = |e: &Ended<_>| e.outcome.is_err() && e.traffic.rounds == 0;
    assert!(ended.iter().all(is_refused));
    let ended = World::new(2, 74).run(async |session| {
        let approved = Disclosure::approved(shape().terms());
        let mut fewer = shape();
        fewer.vectors = None;
        OpenSums::begin(session, fewer, approved).map(|_| ())
    });
    assert!(ended.iter().all(is_refused));
}

#[test]
fn what_is_sent_is_what_was_declared() {
    for n in [2, 3] {
        let price = shape().price(seats(n));
        let prepared = correlate::cost(&Source::Ot, n, &price.needs);
        let declared = prepared.then(&price.cost);
        let network = sim::network(n, LinkModel::WAN, None);
        for (seat, ended) in Seat::first(n).zip(run(World::new(n, 75).on(network), [9, 6, 2])) {
            assert!(ended.outcome.is_ok());
            assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat.index()]);
            assert!(ended.traffic.rounds <= declared.rounds);
        }
    }
}

#[test]
fn a_seat_that_dies_ends_all() {
    let n_sent: u64 = run(World::new(3, 76), [9, 6, 2])[1]
        .traffic
        .messages_sent
        .iter()
        .sum();
    for at_message in 0..n_sent {
        let cut = Cut {
            seat: Seat(1),
            at_message,
        };
        let network = sim::network(3, LinkModel::LAN, Some(cut));
        let ended = run(World::new(3, 76).on(network), [9, 6, 2]);
        let failed = ended
            .iter()
            .filter(|e| matches!(e.outcome, Err(ProtocolError::Link { .. })));
        assert!(failed.count() >= 1, "at message {at_message}");
    }
}
