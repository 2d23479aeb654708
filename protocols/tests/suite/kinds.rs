//! Every kind of correlation from oblivious transfer, and the checker that all sources are held to:
//! equations, costs, shape, uniformity, faults and tampering.

use crate::ideal;
use crate::transfer::{assert_uniform, shape};
use crate::world::{Ended, World, all_ok, prg, random_vec, transcripts};
use engine::bits;
use engine::ring;
use engine::share::Share;
use engine::share::boolean::BitShare;
use protocols::boolean;
use protocols::correlate::{
    BitTriples, DaBits, MatrixShape, Needs, PermutationNeed, RingNeeds, Source, Stock, Triples,
    cost, preprocess,
};
use protocols::error::ProtocolError;
use protocols::net::Network;
use protocols::net::record::Direction;
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::net::tamper::{Change, Tampered};
use protocols::party::Seat;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub(crate) fn run(world: World, needs: &Needs) -> Vec<Ended<Stock>> {
    run_from(Source::Ot, world, needs)
}

fn run_from(source: Source, world: World, needs: &Needs) -> Vec<Ended<Stock>> {
    world.run(async |session| preprocess(session, &source, needs).await)
}

/// Every seat's stock, at the declared cost. Rounds are those of the longest chain; a seat that waits
/// for nobody sees fewer.
fn transferred(n_computing: usize, needs: &Needs, seed: u64) -> Vec<Stock> {
    transferred_from(Source::Ot, n_computing, needs, seed)
}

fn transferred_from(source: Source, n_computing: usize, needs: &Needs, seed: u64) -> Vec<Stock> {
    let declared = cost(&source, n_computing, needs);
    let ended = run_from(source, World::new(n_computing, seed), needs);
    for (seat, ended) in ended.iter().enumerate() {
        let column = |table: &[Vec<u64>]| -> Vec<u64> { table.iter().map(|r| r[seat]).collect() };
        assert!(ended.outcome.is_ok(), "seat {seat}");
        assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
        assert_eq!(ended.traffic.bytes_received, column(&declared.bytes));
        assert_eq!(ended.traffic.messages_sent, declared.messages[seat]);
        assert_eq!(ended.traffic.messages_received, column(&declared.messages));
    }
    let rounds = ended.iter().map(|e| e.traffic.rounds).max();
    assert_eq!(rounds, Some(declared.rounds));
    all_ok(ended)
}

#[test]
fn transferred_correlations_hold_their_equations() {
    for n_computing in [2, 3, 5] {
        for n in [1, 2, 63, 65, 130] {
            let owner = Seat::from_index(n as usize % n_computing);
            let needs = ideal::every_kind(n, owner);
            ideal::check(&needs, transferred(n_computing, &needs, n));
        }
    }
}

/// Tables are between two seats alone.
#[test]
fn transferred_tables_hold_their_equations() {
    for source in [Source::Ot, Source::FerretOt] {
        for n in [1, 15, 16, 17, 1000, (1 << 16) + 1] {
            let needs = Needs {
                tables: n,
                ..ideal::every_kind(3, Seat(1))
            };
            ideal::check(&needs, transferred_from(source, 2, &needs, n));
        }
    }
    let needs = Needs::of_tables(1);
    for ended in run(World::new(3, 1), &needs) {
        let refused = ended.outcome.err();
        assert!(matches!(refused, Some(ProtocolError::InvalidInput { .. })));
    }
}

/// Several batches are on their way at once, and the last one is shorter.
#[test]
fn batches_in_a_row_hold_their_equations() {
    for (n_computing, source) in [(2, Source::Ot), (3, Source::Ot), (2, Source::FerretOt)] {
        let mut needs = Needs {
            bit_triples: 64 * 9000,
            bit_pairs: 64 * 4097,
            ..Needs::default()
        };
        needs.ring64.triples = 3 * 4096 + 5;
        needs.ring128.triples = 2049;
        let stocks = transferred_from(source, n_computing, &needs, 9);
        ideal::check(&needs, stocks);
    }
}

/// Of many bit triples the last ones are made while others are used, at the cost that is declared.
#[test]
fn what_is_made_later_is_as_good() {
    let n_words = (1 << 18) + (1 << 17) + 5;
    let needs = Needs::of_bit_triple_words(n_words);
    let world = World::new(2, 17);
    let ended = world.run(async |session| {
        let mut stock = preprocess(session, &Source::Ot, &needs).await?;
        assert_eq!(stock.left(), needs, "all of it is promised");
        let words = |seat: u64| random_vec::<u64>(&mut prg(seat), n_words);
        let own = BitShare::from_words(64 * n_words, words(session.seat().index() as u64));
        let other = BitShare::zero(64 * n_words);
        let pair = match session.seat() {
            Seat(0) => (&own, &other),
            _ => (&other, &own),
        };
        let products = boolean::and(session, &[pair], &mut stock).await?;
        assert!(stock.left().is_nothing());
        Ok(products[0].as_words().to_vec())
    });
    let declared = cost(&Source::Ot, 2, &needs).then(&boolean::and_cost(2, 2, n_words));
    for (seat, ended) in ended.iter().enumerate() {
        assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
        assert_eq!(ended.traffic.messages_sent, declared.messages[seat]);
        assert_eq!(ended.traffic.rounds, declared.rounds);
    }
    let mut sum = vec![0; n_words];
    all_ok(ended)
        .iter()
        .for_each(|s| bits::xor_assign(&mut sum, s));
    let (x, y) = (
        random_vec::<u64>(&mut prg(0), n_words),
        random_vec::<u64>(&mut prg(1), n_words),
    );
    assert!(
        sum.iter()
            .zip(x.iter().zip(&y))
            .all(|(sum, (x, y))| *sum == x & y)
    );
}

#[test]
fn correlations_by_ferret_hold_their_equations() {
    for (n_computing, n) in [(2, 65), (3, 130)] {
        let owner = Seat::from_index(1);
        let needs = ideal::every_kind(n, owner);
        let stocks = transferred_from(Source::FerretOt, n_computing, &needs, n);
        ideal::check(&needs, stocks);
    }
}

/// More than the first round makes, so that pools are refilled in the middle of a batch.
#[test]
fn rounds_of_ferret_join_without_a_seam() {
    let needs = Needs {
        bit_triples: 900_000,
        bit_pairs: 70_000,
        ..Needs::default()
    };
    ideal::check(&needs, transferred_from(Source::FerretOt, 2, &needs, 3));
    let bytes = |source: Source| -> u64 { cost(&source, 2, &needs).bytes.iter().flatten().sum() };
    assert!(4 * bytes(Source::FerretOt) < bytes(Source::Ot));
}

#[test]
fn a_seat_that_dies_in_ferret_ends_all_others() {
    let needs = Needs {
        bit_triples: 64,
        bit_pairs: 64,
        ..Needs::default()
    };
    let n_computing = 2;
    let declared = cost(&Source::FerretOt, n_computing, &needs);
    for seat in Seat::first(n_computing) {
        for at_message in 0..declared.messages[seat.index()].iter().sum() {
            let cut = Cut { seat, at_message };
            let network = sim::network(n_computing, LinkModel::LAN, Some(cut));
            let world = World::new(n_computing, 4).on(network);
            let ended = run_from(Source::FerretOt, world, &needs);
            let is_link = |e: &Ended<Stock>| matches!(e.outcome, Err(ProtocolError::Link { .. }));
            assert!(ended.iter().any(is_link), "{cut:?}");
            let is_clean = |e: &Ended<Stock>| e.outcome.is_ok() || is_link(e);
            assert!(ended.iter().all(is_clean), "{cut:?}");
        }
    }
}

/// More than one batch of each kind, and matrices with either factor the smaller one.
#[test]
fn batches_of_transfers_join_without_a_seam() {
    let batch = 1 << 14;
    let shape = |m, k, n| MatrixShape { m, k, n };
    let ring = RingNeeds {
        triples: batch + 3,
        edabits: batch + 65,
        dabits: (1 << 20) + 1,
        truncs: [(20, batch + 1)].into(),
        matrices: vec![
            shape(2, 3, 4000),
            shape(700, 2, 30),
            shape(0, 1, 2),
            shape(2, 0, 1),
        ],
        ..RingNeeds::default()
    };
    // Over Z_2^128 large matrices come from transfers too.
    let wide = RingNeeds {
        matrices: ring.matrices.clone(),
        ..RingNeeds::default()
    };
    let mut needs = Needs::of_ring::<u64>(ring);
    needs.ring128 = wide;
    needs.bit_pairs = 64 * batch + 1;
    ideal::check(&needs, transferred(2, &needs, 1));
}

/// A table whose network has more switches than a batch has OTs.
#[test]
fn permutations_of_several_batches_join_without_a_seam() {
    let permutation = PermutationNeed {
        n_rows: (1 << 16) + 5,
        n_words: 1,
        n_ring64: 1,
        n_ring128: 0,
        owner: Seat(1),
    };
    let needs = Needs {
        permutations: vec![permutation],
        ..Needs::default()
    };
    ideal::check(&needs, transferred(2, &needs, 2));
}

/// The numbers of the documentation: bytes for each item between two seats, in both directions.
#[test]
fn transfers_cost_what_the_documentation_says() {
    let n = 1u64 << 20;
    let bytes = |needs: Needs| {
        let cost = cost(&Source::Ot, 2, &needs);
        let total = cost.bytes[0][1] + cost.bytes[1][0];
        let batches = 2 * 11_296;
        (total - batches) as f64 / n as f64
    };
    let of_ring = |change: fn(&mut RingNeeds, u64)| {
        let mut needs = Needs::default();
        change(&mut needs.ring64, n);
        needs
    };
    let extension = 31.0 / 8.0;
    assert_eq!(
        bytes(of_ring(|ring, n| ring.triples = n)),
        128.0 * extension + 520.0
    );
    assert_eq!(
        bytes(of_ring(|ring, n| ring.dabits = n)),
        extension + 63.0 / 8.0 - 3072.0 / n as f64
    );
}

/// Spoils every seat's stock, and sees the checker refuse them.
fn assert_refused(what: &str, spoil: impl Fn(&mut Stock, usize)) {
    let needs = spoilt_needs();
    let mut stocks = ideal::stocks(3, &needs, 5);
    for (seat, stock) in stocks.iter_mut().enumerate() {
        spoil(stock, seat);
    }
    let checked = catch_unwind(AssertUnwindSafe(|| ideal::check(&needs, stocks)));
    assert!(checked.is_err(), "{what} is found");
}

/// Items of each kind in [`spoilt_needs`].
const SPOILT: usize = 128;

fn spoilt_needs() -> Needs {
    let mut needs = Needs::of_bit_triple_words(SPOILT);
    needs.ring64.triples = SPOILT as u64;
    needs.ring64.dabits = SPOILT as u64;
    needs
}

fn assert_refused_triples(what: &str, spoil: impl Fn(Triples<u64>, usize) -> Triples<u64>) {
    assert_refused(what, |stock, seat| {
        let triples = stock.take_triples(SPOILT).expect("enough");
        stock.add_triples(spoil(triples, seat));
    });
}

fn copy(share: &Share<u64>) -> Share<u64> {
    Share::new(share.as_slice().to_vec())
}

/// A source may go wrong in ways that leave each equation true for one item, or all of them true and
/// useless. The checker, which all sources pass, finds these.
#[test]
fn the_checker_finds_wrong_triples() {
    ideal::check(&spoilt_needs(), ideal::stocks(3, &spoilt_needs(), 5));
    assert_refused_triples("a share of another sign", |mut t, seat| {
        if seat == 1 {
            t.c.negate();
        }
        t
    });
    assert_refused_triples("one product that is off by one", |mut t, seat| {
        let c = &mut t.c.as_mut_slice()[77];
        *c = c.wrapping_add(u64::from(seat == 2));
        t
    });
    assert_refused_triples("triples of zeros", |_, _| {
        let zero = || Share::zero(SPOILT);
        let (a, b, c) = (zero(), zero(), zero());
        Triples { a, b, c }
    });
    assert_refused_triples("a batch that repeats a triple", |t, _| {
        let repeat = |share: &Share<u64>| Share::new(share.as_slice()[..SPOILT / 2].repeat(2));
        let (a, b, c) = (repeat(&t.a), repeat(&t.b), repeat(&t.c));
        Triples { a, b, c }
    });
    assert_refused_triples("squares", |t, seat| {
        // Seat 0 has all of it, the others zeros.
        if seat > 0 {
            let zero = || Share::zero(SPOILT);
            let (a, b, c) = (zero(), zero(), zero());
            return Triples { a, b, c };
        }
        let mut c = copy(&t.a);
        ring::mul_assign(c.as_mut_slice(), t.a.as_slice());
        let (a, b) = (copy(&t.a), copy(&t.a));
        Triples { a, b, c }
    });
}

#[test]
fn the_checker_finds_wrong_bits() {
    assert_refused("bit triples of zeros", |stock, _| {
        drop(stock.take_bit_triples(SPOILT).expect("enough"));
        let zeros = || vec![0; SPOILT];
        stock.add_bit_triples(BitTriples::new(zeros(), zeros(), zeros()));
    });
    assert_refused("a bit that is another one over the ring", |stock, seat| {
        let DaBits { bits, mut arith } = stock.take_dabits::<u64>(SPOILT).expect("enough");
        arith.as_mut_slice()[3] ^= u64::from(seat == 0);
        stock.add_dabits(DaBits { bits, arith });
    });
}

pub(crate) fn few(owner: Seat) -> Needs {
    ideal::every_kind(2, owner)
}

#[test]
fn other_randomness_gives_the_same_messages_in_shape() {
    for n_computing in [2, 3] {
        let recorded = |seed| {
            let world = World::new(n_computing, seed).recorded();
            let logs = world.logs();
            all_ok(run(world, &few(Seat(0))));
            transcripts(&logs)
        };
        for (one, two) in recorded(3).iter().zip(&recorded(4)) {
            assert_eq!(shape(one), shape(two));
        }
    }
}

#[test]
fn messages_look_uniform() {
    let mut needs = ideal::every_kind(3000, Seat(0));
    needs.ring128 = RingNeeds::default();
    // See below.
    needs.ring64.truncs.clear();
    let world = World::new(3, 5).recorded();
    let logs = world.logs();
    all_ok(run(world, &needs));
    for transcript in transcripts(&logs) {
        let received = transcript.iter();
        let received = received.filter(|e| e.direction == Direction::Received);
        // The first round's are group elements. Short ones say nothing.
        for entry in received.filter(|e| e.frame.stamp.depth > 1) {
            let body = &entry.frame.body;
            if body.len() > 4096 {
                assert_uniform(
                    body,
                    &format!("message of round {}", entry.frame.stamp.depth),
                );
            }
        }
    }
}

/// What an item sends takes whole bytes: for a truncation by 1 bit 2141 bits in 268 bytes, by 16 bits 2831
/// in 354. Zeros fill up the last byte, and all other bits look uniform.
#[test]
fn messages_of_truncations_look_uniform_but_for_what_fills_them_up() {
    const N: usize = 3000;
    for (frac_bits, n_bits) in [(1, 2141usize), (16, 2831)] {
        let needs = Needs::of_ring::<u64>(RingNeeds {
            truncs: [(frac_bits, N as u64)].into(),
            ..RingNeeds::default()
        });
        let world = World::new(3, 5).recorded();
        let logs = world.logs();
        all_ok(run(world, &needs));
        let (n_bytes, used) = (n_bits.div_ceil(8), n_bits % 8);
        let mut n_messages = 0;
        for transcript in transcripts(&logs) {
            let received = transcript.iter();
            let received = received.filter(|e| e.direction == Direction::Received);
            for entry in received.filter(|e| e.frame.body.len() == N * n_bytes) {
                let (mut whole, mut rest) = (Vec::new(), Vec::new());
                for item in entry.frame.body.chunks_exact(n_bytes) {
                    let (last, before) = item.split_last().expect("an item has bytes");
                    assert_eq!(last >> used, 0, "what fills up is zero");
                    whole.extend_from_slice(before);
                    rest.extend((0..used).map(|bit| last >> bit & 1 == 1));
                }
                assert_uniform(&whole, "whole bytes of truncations");
                let rest: Vec<u8> = bits::pack(&rest)
                    .iter()
                    .flat_map(|w| w.to_le_bytes())
                    .collect();
                assert_uniform(&rest[..N * used / 64 * 8], "last bits of truncations");
                n_messages += 1;
            }
        }
        assert_eq!(n_messages, 3, "one to every later seat");
    }
}

#[test]
fn two_preparations_of_a_session_have_nothing_in_common() {
    let needs = Needs::of_ring::<u64>(RingNeeds {
        triples: 50,
        edabits: 50,
        ..RingNeeds::default()
    });
    let ended = World::new(2, 6).run(async |session| {
        let first = preprocess(session, &Source::Ot, &needs).await?;
        Ok([first, preprocess(session, &Source::Ot, &needs).await?])
    });
    for both in all_ok(ended) {
        let values = both.map(|mut stock| {
            let t = stock.take_triples::<u64>(50).expect("enough");
            let e = stock.take_edabits::<u64>(50).expect("enough");
            [
                t.a.as_slice(),
                t.b.as_slice(),
                t.c.as_slice(),
                e.r.as_slice(),
            ]
            .concat()
        });
        assert!(values[0].iter().all(|value| !values[1].contains(value)));
    }
}

fn n_messages(n_computing: usize, needs: &Needs, seat: Seat) -> u64 {
    let declared = cost(&Source::Ot, n_computing, needs);
    declared.messages[seat.index()].iter().sum()
}

/// Whichever message is the last one that a seat sends, no seat ends with anything but a link error,
/// and those that need what is missing end with one.
#[test]
fn a_seat_that_dies_ends_all_others() {
    for n_computing in [2, 3] {
        let needs = few(Seat(1));
        for seat in Seat::first(n_computing) {
            for at_message in (0..n_messages(n_computing, &needs, seat)).step_by(5) {
                let cut = Some(Cut { seat, at_message });
                let world =
                    World::new(n_computing, 7).on(sim::network(n_computing, LinkModel::LAN, cut));
                let ended = run(world, &needs);
                let errors: Vec<_> = ended
                    .iter()
                    .filter_map(|e| e.outcome.as_ref().err())
                    .collect();
                assert!(!errors.is_empty(), "cut of {seat} at {at_message}");
                let is_link = |e: &&ProtocolError| matches!(e, ProtocolError::Link { .. });
                assert!(
                    errors.iter().all(is_link),
                    "cut of {seat} at {at_message}: {errors:?}"
                );
            }
        }
    }
}

/// A changed message ends the session or spoils correlations. It never makes a seat panic or hang, and
/// whoever is blamed is the seat that sent it.
#[test]
fn a_changed_message_does_no_harm_beyond_its_session() {
    let changes = [
        Change::FlipBit(0),
        Change::FlipBit(9_999_999),
        Change::Kind,
        Change::Shorten,
        Change::Lengthen,
    ];
    for n_computing in [2, 3] {
        let needs = few(Seat(0));
        let changes = changes.iter().cycle();
        let n_messages = n_messages(n_computing, &needs, Seat(1));
        for (at_message, change) in (0..n_messages).zip(changes) {
            let tamper =
                |inner| Arc::new(Tampered::new(inner, at_message, *change)) as Arc<dyn Network>;
            let world = World::new(n_computing, 8).wrap(Seat(1), tamper);
            let ended = run(world, &needs);
            let blamed = ended.iter().filter_map(|e| match &e.outcome {
                Err(ProtocolError::PeerMisbehaved { seat, .. }) => Some(*seat),
                _ => None,
            });
            let blamed: Vec<Seat> = blamed.collect();
            assert!(
                blamed.iter().all(|s| *s == Seat(1)),
                "{change:?}: {blamed:?}"
            );
            if matches!(change, Change::Kind | Change::Shorten | Change::Lengthen) {
                assert_eq!(blamed.len(), 1, "{change:?} at message {at_message}");
            }
        }
    }
}
