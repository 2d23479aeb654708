//! Bit triples from oblivious transfer: their equation, costs, shape, faults and tampering.

use crate::world::{Ended, Job, World, all_ok, transcripts};
use protocols::aggregate::{self, CellRule};
use protocols::correlate::{BitTriples, Needs, Source, cost, preprocess};
use protocols::error::{LinkError, Misdeed, ProtocolError};
use protocols::net::Network;
use protocols::net::record::{Direction, Entry, Transcript};
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::net::tamper::{Change, Tampered};
use protocols::oracle;
use protocols::party::Seat;
use protocols::price::Seats;
use protocols::session::Session;
use protocols::wire::WireError;
use std::sync::{Arc, Mutex};

fn needs(n_words: usize) -> Needs {
    Needs {
        bit_triples: 64 * n_words as u64,
        ..Needs::default()
    }
}

async fn prepare(session: &mut Session, n_words: usize) -> Result<BitTriples, ProtocolError> {
    let mut stock = preprocess(session, &Source::Ot, &needs(n_words)).await?;
    assert_eq!(stock.left(), needs(n_words));
    stock.take_bit_triples(n_words)
}

fn run(world: World, n_words: usize) -> Vec<Ended<BitTriples>> {
    world.run(async |session| prepare(session, n_words).await)
}

/// Words in which (⊕a)∧(⊕b) ⊕ (⊕c) is not zero.
fn faults(seats: &[BitTriples]) -> usize {
    let word = |part: fn(&BitTriples) -> &[u64], i: usize| {
        seats.iter().fold(0, |sum, triples| sum ^ part(triples)[i])
    };
    let holds = |i: &usize| {
        let a = word(|t| t.as_words().0, *i);
        let b = word(|t| t.as_words().1, *i);
        a & b == word(|t| t.as_words().2, *i)
    };
    (0..seats[0].n_words()).filter(|i| !holds(i)).count()
}

fn ones(words: &[u64]) -> f64 {
    words.iter().map(|w| f64::from(w.count_ones())).sum()
}

#[test]
fn triples_multiply() {
    for n_computing in [2, 3, 5] {
        for n_words in [1, 2, 13, 127, 128, 129] {
            let seats = all_ok(run(World::new(n_computing, 1), n_words));
            assert!(seats.iter().all(|t| t.n_words() == n_words));
            assert_eq!(faults(&seats), 0, "{n_computing} seats, {n_words} words");
        }
    }
}

/// More than one batch, and every seat's words balanced.
#[test]
fn batches_join_without_a_seam() {
    let n_words = (1 << 14) + 3;
    for n_computing in [2, 3] {
        let seats = all_ok(run(World::new(n_computing, 2), n_words));
        assert_eq!(faults(&seats), 0);
        let half = n_words as f64 * 32.0;
        for triples in &seats {
            let (a, b, c) = triples.as_words();
            for words in [a, b, c] {
                // Six standard deviations.
                assert!((ones(words) - half).abs() < 6.0 * (half / 2.0).sqrt());
            }
        }
    }
}

#[test]
fn no_needs_no_messages() {
    let ended = run(World::new(3, 3), 0);
    assert!(ended.iter().all(|e| e.traffic.messages_sent == [0, 0, 0]));
    all_ok(ended);
}

#[test]
fn measured_cost_is_the_declared_one() {
    for n_computing in [2, 3, 5] {
        for n_words in [1, 129, (1 << 14) + 1] {
            let declared = cost(&Source::Ot, n_computing, &needs(n_words));
            let ended = run(World::new(n_computing, 4), n_words);
            for (seat, ended) in ended.iter().enumerate() {
                let column = |table: &[Vec<u64>]| -> Vec<u64> {
                    table.iter().map(|row| row[seat]).collect()
                };
                assert_eq!(ended.traffic.rounds, declared.rounds);
                assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
                assert_eq!(ended.traffic.bytes_received, column(&declared.bytes));
                assert_eq!(ended.traffic.messages_sent, declared.messages[seat]);
                assert_eq!(ended.traffic.messages_received, column(&declared.messages));
            }
            all_ok(ended);
        }
    }
    // The numbers of the documentation: four batches, and two steps more for corrections.
    let (two, three) = (needs(1 << 14), needs(1 << 14));
    let (two, three) = (cost(&Source::Ot, 2, &two), cost(&Source::Ot, 3, &three));
    assert_eq!((two.rounds, three.rounds), (5, 7));
    assert_eq!(two.bytes[0][1], 11_296 + (31 << 20) / 8);
    assert_eq!(three.bytes[2][0], 11_296 + (33 << 20) / 8);
}

fn recorded(n_computing: usize, seed: u64, n_words: usize, pooled: bool) -> Vec<Transcript> {
    let world = World::new(n_computing, seed).recorded();
    let world = if pooled { world.pooled() } else { world };
    let logs = world.logs();
    all_ok(run(world, n_words));
    transcripts(&logs)
}

/// Everything about a message but its content.
pub(crate) fn shape(transcript: &Transcript) -> Vec<(Direction, Seat, u64, u16, usize, u32)> {
    let shape = |e: &Entry| {
        let frame = &e.frame;
        (
            e.direction,
            e.peer,
            e.path.0,
            frame.kind,
            frame.body.len(),
            frame.stamp.depth,
        )
    };
    transcript.iter().map(shape).collect()
}

#[test]
fn other_randomness_gives_the_same_messages_in_shape() {
    for n_computing in [2, 3] {
        let (one, two) = (
            recorded(n_computing, 5, 70, false),
            recorded(n_computing, 6, 70, false),
        );
        for (one, two) in one.iter().zip(&two) {
            assert_eq!(shape(one), shape(two));
            let same = one
                .iter()
                .zip(two)
                .any(|(a, b)| a.frame.body == b.frame.body);
            assert!(!same, "no message is a constant");
        }
    }
}

#[test]
fn the_pool_sends_what_one_thread_sends() {
    for (inline, pooled) in recorded(3, 7, 70, false)
        .iter()
        .zip(&recorded(3, 7, 70, true))
    {
        let bodies = |t: &Transcript, way| -> Vec<(Seat, bytes::Bytes)> {
            let mut sent: Vec<_> = t.iter().filter(|e| e.direction == way).collect();
            sent.sort_by_key(|e| (e.peer, e.frame.stamp.depth));
            sent.iter()
                .map(|e| (e.peer, e.frame.body.clone()))
                .collect()
        };
        for way in [Direction::Sent, Direction::Received] {
            assert!(bodies(inline, way) == bodies(pooled, way));
        }
    }
}

/// χ² over byte values, with 255 degrees of freedom: 255 ± 22.6; accepted within 6.5 deviations.
pub(crate) fn assert_uniform(bytes: &[u8], what: &str) {
    let mut counts = [0u32; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let expected = bytes.len() as f64 / 256.0;
    let chi2: f64 = counts
        .iter()
        .map(|c| (f64::from(*c) - expected).powi(2) / expected)
        .sum();
    assert!(
        (108.0..402.0).contains(&chi2),
        "{what}: χ² = {chi2} over {} bytes",
        bytes.len()
    );
}

#[test]
fn messages_look_uniform() {
    let received = |e: &&Entry| e.direction == Direction::Received;
    for transcript in recorded(3, 8, 4096, false) {
        for entry in transcript.iter().filter(received) {
            let body = &entry.frame.body;
            match entry.frame.stamp.depth {
                // Encoded group elements: the first and the last bit are always 0.
                1 => {
                    let inner = body.chunks_exact(32).flat_map(|point| &point[1..31]);
                    assert_uniform(&inner.copied().collect::<Vec<u8>>(), "group elements");
                }
                2 => {
                    let (trees, extension) = body.split_at(3072);
                    assert_uniform(trees, "tree corrections");
                    assert_uniform(extension, "extension");
                }
                _ => assert_uniform(body, "corrections of a"),
            }
        }
    }
}

#[test]
fn two_preparations_of_a_session_have_nothing_in_common() {
    let ended = World::new(2, 9).run(async |session| {
        let first = prepare(session, 4).await?;
        Ok([first, prepare(session, 4).await?])
    });
    for both in all_ok(ended) {
        let words = |t: &BitTriples| [t.as_words().0, t.as_words().1, t.as_words().2].concat();
        let (first, second) = (words(&both[0]), words(&both[1]));
        assert!(first.iter().all(|word| !second.contains(word)));
    }
}

/// Whichever message is the last one that a seat sends, all seats end with a link error.
#[test]
fn a_seat_that_dies_ends_all_others() {
    for n_computing in [2, 3] {
        let n_messages = cost(&Source::Ot, n_computing, &needs(2)).messages[0]
            .iter()
            .sum();
        for seat in Seat::first(n_computing) {
            for at_message in 0..n_messages {
                let cut = Some(Cut { seat, at_message });
                let world =
                    World::new(n_computing, 10).on(sim::network(n_computing, LinkModel::LAN, cut));
                for (other, ended) in run(world, 2).into_iter().enumerate() {
                    let error = ended.outcome.err().expect("nobody finishes");
                    let is_link = matches!(error, ProtocolError::Link { .. });
                    assert!(
                        is_link,
                        "seat {other}, cut of {seat} at {at_message}: {error}"
                    );
                }
            }
        }
    }
}

/// A changed message ends the session or spoils triples. It never makes a seat panic or hang, and
/// whoever is blamed is the seat that sent it.
#[test]
fn a_changed_message_does_no_harm_beyond_its_session() {
    let changes = [
        Change::FlipBit(0),
        Change::FlipBit(65_000),
        Change::FlipBit(9_999_999),
        Change::Kind,
        Change::Shorten,
        Change::Lengthen,
        Change::Stamp,
    ];
    for n_computing in [2, 3] {
        let n_messages = cost(&Source::Ot, n_computing, &needs(2)).messages[0]
            .iter()
            .sum();
        for at_message in 0..n_messages {
            for change in changes {
                let tamper =
                    |inner| Arc::new(Tampered::new(inner, at_message, change)) as Arc<dyn Network>;
                let world = World::new(n_computing, 11).wrap(Seat(1), tamper);
                let ended = run(world, 2);
                let blamed = ended.iter().filter_map(|e| match &e.outcome {
                    Err(ProtocolError::PeerMisbehaved { seat, .. }) => Some(*seat),
                    _ => None,
                });
                let blamed: Vec<Seat> = blamed.collect();
                assert!(
                    blamed.iter().all(|seat| *seat == Seat(1)),
                    "{change:?}: {blamed:?}"
                );
                if matches!(change, Change::Kind | Change::Shorten | Change::Lengthen) {
                    assert_eq!(blamed.len(), 1, "{change:?} at message {at_message}");
                }
            }
        }
    }
}

#[test]
fn a_string_that_is_no_group_element_is_blamed_on_its_sender() {
    // The first bit of an encoding is 0: with it set the encoding is not canonical.
    let tamper = |inner| Arc::new(Tampered::new(inner, 0, Change::FlipBit(0))) as Arc<dyn Network>;
    let ended = run(World::new(2, 12).wrap(Seat(1), tamper), 1);
    let content = WireError::Content {
        what: "a string that is no group element",
    };
    let blamed = ProtocolError::PeerMisbehaved {
        seat: Seat(1),
        what: Misdeed::Wire(content),
    };
    let errors: Vec<_> = ended.into_iter().map(|e| e.outcome.err()).collect();
    assert_eq!(errors[0], Some(blamed));
    let closed = ProtocolError::Link {
        seat: Seat(0),
        cause: LinkError::Closed,
    };
    assert_eq!(errors[1], Some(closed));
}

#[test]
fn a_dealer_and_excessive_needs_are_refused_before_anything_is_sent() {
    let excessive = Needs {
        bit_triples: (1 << 40) + 1,
        ..Needs::default()
    };
    let ended = World::with_dealer(2, true, 13)
        .run(async |session| preprocess(session, &Source::Ot, &excessive).await);
    assert!(ended.iter().all(|e| e.traffic.messages_sent == [0, 0, 0]));
    let errors: Vec<_> = ended.into_iter().filter_map(|e| e.outcome.err()).collect();
    assert!(matches!(errors[0], ProtocolError::OverBudget { .. }));
    assert!(matches!(errors[2], ProtocolError::InvalidInput { .. }));
}

/// The whole release over triples from oblivious transfer, against the oracle and the declared
/// cost.
#[test]
fn a_release_needs_no_dealer() {
    for n_computing in [2, 3, 5] {
        let job = Job::new(n_computing, 65, 2, CellRule::Compare, 14);
        let needs = aggregate::needs(&job.shape, Seats::computing(n_computing));
        let expected = oracle::release(&job.inputs(), &job.shape);
        let inputs = Mutex::new(job.inputs().into_iter().map(Some).collect::<Vec<_>>());
        let ended = World::new(n_computing, 14).run(async |session| {
            let seat = session.seat().index();
            let input = inputs.lock().unwrap()[seat].take().unwrap();
            let stock = preprocess(session, &Source::Ot, &needs).await?;
            aggregate::release(session, input, &job.shape, stock, job.disclosure()).await
        });
        let declared = aggregate::cost(&job.shape, n_computing, Some(&Source::Ot));
        for (seat, ended) in ended.iter().enumerate() {
            assert_eq!(ended.traffic.rounds, declared.rounds);
            assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat]);
        }
        for (seat, released) in all_ok(ended).into_iter().enumerate() {
            assert_eq!(
                released.is_some(),
                job.shape.receivers.contains(&Seat::from_index(seat))
            );
            assert!(released.is_none_or(|released| released == expected));
        }
    }
}
