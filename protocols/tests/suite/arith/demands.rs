//! What every protocol is held to.

use super::ops::{self, Op};
use super::{Clear, joined, run, seats};
use crate::demands::Places;
use crate::world::{Ended, World, all_ok, prg, transcripts};
use engine::ring::Ring;
use protocols::correlate::StockedRing;
use protocols::error::{LinkError, ProtocolError};
use protocols::net::record::{Direction, Transcript};
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::party::Seat;

const SEATS: [usize; 3] = [2, 3, 5];

/// Runs one protocol and returns how each seat ended.
fn ended<R: StockedRing>(
    op: Op,
    world: World,
    inputs: &Clear<R>,
    n_items: usize,
) -> Vec<Ended<super::Shared<R>>> {
    let needs = op.price::<R>(seats(world.n_seats()), n_items).needs;
    run(world, inputs, &needs, async |session, inputs, stock| {
        op.call(session, &inputs, stock).await
    })
}

/// The result is the expected one; of a truncation that may round either way, that or one more.
pub(super) fn assert_result<R: Ring>(op: Op, found: &Clear<R>, inputs: &Clear<R>) {
    if let Op::Real(real, format) = op {
        return real.assert_close(format, &inputs.ring, &found.ring[0]);
    }
    let expected = op.expected(inputs);
    let Op::Trunc(_) = op else {
        assert!(*found == expected, "{op:?}\n{found:?}\n{expected:?}");
        return;
    };
    for (found, expected) in found.ring[0].iter().zip(&expected.ring[0]) {
        let error = found.wrapping_sub(*expected);
        assert!(error == R::ZERO || error == R::ONE, "{op:?}: {error:?}");
    }
}

fn check_results<R: StockedRing>(sizes: &[usize]) {
    for n_computing in SEATS {
        for op in ops::all::<R>() {
            for n_items in sizes {
                let seed = *n_items as u64;
                let inputs = op.inputs::<R>(*n_items, &mut prg(seed));
                let world = World::new(n_computing, seed);
                let ended = ended(op, world, &inputs, *n_items);
                assert_result(op, &joined(all_ok(ended)), &inputs);
            }
        }
    }
}

#[test]
fn results_over_64_bits_are_those_of_plain_arithmetic() {
    check_results::<u64>(&[0, 1, 2, 63, 64, 65, 131, 577]);
}

#[test]
fn results_over_128_bits_are_those_of_plain_arithmetic() {
    check_results::<u128>(&[0, 1, 64, 131]);
}

/// A chunk holds 2^16 triples' differences over Z_2^64, and fewer lanes of deeper circuits.
#[test]
fn results_around_a_chunk_are_those_of_plain_arithmetic() {
    let ops = [
        (Op::Mul, 1 << 16),
        (Op::Trunc(20), 1 << 17),
        (Op::Mux, 129_040),
        (Op::BitsLessThan(80), 52_416),
        (Op::LessThanZero(63, ops::METHODS[0]), 66_560),
    ];
    for (op, chunk) in ops {
        for n_items in [chunk - 1, chunk, chunk + 1] {
            let inputs = op.inputs::<u64>(n_items, &mut prg(9));
            let ended = ended(op, World::new(2, 9), &inputs, n_items);
            assert_result(op, &joined(all_ok(ended)), &inputs);
        }
    }
}

#[test]
fn kernels_on_the_pool_give_the_same_results() {
    for op in ops::all::<u64>() {
        let inputs = op.inputs::<u64>(70, &mut prg(10));
        let ended = ended(op, World::new(3, 10).pooled(), &inputs, 70);
        assert_result(op, &joined(all_ok(ended)), &inputs);
    }
}

fn check_price<R: StockedRing>(op: Op, n_computing: usize, n_items: usize) {
    let inputs = op.inputs::<R>(n_items, &mut prg(11));
    let declared = op.price::<R>(seats(n_computing), n_items).cost;
    let network = sim::network(n_computing, LinkModel::WAN, None);
    let ended = ended(
        op,
        World::new(n_computing, 11).on(network),
        &inputs,
        n_items,
    );
    for (seat, ended) in Seat::first(n_computing).zip(&ended) {
        let what = format!("{op:?} of {n_items} among {n_computing}, {seat}");
        assert!(ended.outcome.is_ok(), "{what}");
        let traffic = &ended.traffic;
        assert_eq!(traffic.bytes_sent, declared.bytes[seat.index()], "{what}");
        let messages = &declared.messages[seat.index()];
        assert_eq!(traffic.messages_sent, *messages, "{what}");
        assert_eq!(traffic.rounds, declared.rounds, "{what}");
    }
    let last = ended.iter().map(|e| e.traffic.time_ns).max().unwrap_or(0);
    let predicted = declared.time_on(LinkModel::WAN).as_nanos() as u64;
    let rounding = u64::from(declared.rounds);
    // Tables go one way, and the next round begins earlier where little arrives: a few parts of a thousand.
    let price = op.price::<R>(seats(n_computing), n_items);
    let earlier = if price.needs.tables > 0 {
        predicted / 50
    } else {
        0
    };
    assert!(last <= predicted + rounding, "time of {op:?}");
    assert!(predicted <= last + earlier + rounding, "time of {op:?}");
}

#[test]
fn what_is_measured_is_what_was_declared() {
    for n_computing in SEATS {
        for op in ops::all::<u64>() {
            for n_items in [0, 1, 65, 300] {
                check_price::<u64>(op, n_computing, n_items);
            }
        }
        for op in ops::all::<u128>() {
            check_price::<u128>(op, n_computing, 65);
        }
    }
    check_price::<u64>(Op::Mul, 2, (1 << 16) + 1);
    check_price::<u64>(Op::LessThanZero(63, ops::METHODS[0]), 2, 70_000);
}

/// A message without its content.
type Outline = (Direction, Seat, u64, u16, usize, u32);

fn outline(transcript: &Transcript) -> Vec<Outline> {
    let message = |e: &protocols::net::record::Entry| {
        let frame = &e.frame;
        let depth = frame.stamp.depth;
        (
            e.direction,
            e.peer,
            e.path.0,
            frame.kind,
            frame.body.len(),
            depth,
        )
    };
    let mut all: Vec<Outline> = transcript.iter().map(message).collect();
    all.sort_by_key(|(direction, peer, path, ..)| (*direction, *peer, *path));
    all
}

#[test]
fn other_secrets_give_the_same_messages() {
    for op in ops::all::<u64>() {
        let outlines = |secrets: u64| {
            let inputs = op.inputs::<u64>(77, &mut prg(secrets));
            let world = World::new(3, 12).recorded();
            let logs = world.logs();
            all_ok(ended(op, world, &inputs, 77));
            transcripts(&logs).iter().map(outline).collect::<Vec<_>>()
        };
        let first = outlines(1);
        assert!(first == outlines(2) && first == outlines(3), "{op:?}");
    }
}

/// Every message of every protocol, and what is opened under masks, each from many sessions with the same
/// secrets, has bytes that are uniform.
#[test]
fn every_message_looks_uniform() {
    for op in ops::all::<u64>() {
        // Small secrets, and 64 lanes, so that no word has unused bits.
        let inputs = op.inputs::<u64>(64, &mut prg(13));
        let mut places = Places::default();
        for seed in 0..60 {
            let world = World::new(3, 1000 + seed).recorded();
            let logs = world.logs();
            all_ok(ended(op, world, &inputs, 64));
            places.add(&transcripts(&logs), &[]);
        }
        places.check(None, &format!("{op:?}"));
    }
}

#[test]
fn a_cut_at_any_message_ends_every_seat() {
    let mut n_cuts = 0;
    for op in ops::all::<u64>() {
        let inputs = op.inputs::<u64>(5, &mut prg(14));
        let whole = ended(op, World::new(3, 14), &inputs, 5);
        let n_sent = whole[1].traffic.messages_sent.iter().sum();
        all_ok(whole);
        for at_message in 0..n_sent {
            let seat = Seat(1);
            let cut = Some(Cut { seat, at_message });
            let world = World::new(3, 14).on(sim::network(3, LinkModel::LAN, cut));
            let mut n_failed = 0;
            for (seat, ended) in Seat::first(3).zip(ended(op, world, &inputs, 5)) {
                match ended.outcome {
                    Ok(_) => {}
                    Err(ProtocolError::Link {
                        seat: culprit,
                        cause: LinkError::Closed,
                    }) if culprit != seat => n_failed += 1,
                    Err(other) => panic!("{op:?}, {seat}: {other}"),
                }
            }
            assert!(n_failed >= 2, "{op:?} at message {at_message}");
            n_cuts += 1;
        }
    }
    println!("{n_cuts} cuts");
}

/// With one item too few, nothing is sent.
#[test]
fn a_stock_that_is_too_small_is_noticed_before_anything_is_sent() {
    for op in ops::all::<u64>() {
        let inputs = op.inputs::<u64>(130, &mut prg(15));
        let price = op.price::<u64>(seats(2), 130);
        if price.needs.is_nothing() {
            continue;
        }
        let needs = op.price::<u64>(seats(2), 64).needs;
        let ended = run(
            World::new(2, 15),
            &inputs,
            &needs,
            async |session, inputs, stock| op.call(session, &inputs, stock).await,
        );
        for ended in ended {
            let error = ended.outcome.map(|_| ()).expect_err("too few");
            let is_out = matches!(error, ProtocolError::OutOfCorrelations { .. });
            assert!(is_out, "{op:?}: {error}");
            assert_eq!(ended.traffic.rounds, 0, "{op:?}: and nothing was sent");
        }
    }
}
