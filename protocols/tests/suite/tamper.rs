//! A seat that changes one of its messages: no panic, no hang, and never a silently wrong value.

use crate::world::{Ended, Job, World, all_ok, prg};
use engine::share::Share;
use engine::share::boolean::BitShare;
use protocols::aggregate::{CellRule, Released};
use protocols::disclose::{Disclosure, Terms, Values, reveal};
use protocols::error::{Misdeed, ProtocolError};
use protocols::net::record::{Direction, Entry};
use protocols::net::tamper::{Change, Tampered};
use protocols::party::Seat;
use protocols::session::Session;
use protocols::wire::Kind;
use protocols::{arith, boolean, oracle};
use std::sync::Arc;

fn tampered(
    job: &Job,
    seat: Seat,
    at_message: u64,
    change: Change,
) -> Vec<Ended<Option<Released>>> {
    let wrap = |inner| Arc::new(Tampered::new(inner, at_message, change)) as Arc<_>;
    job.run(job.world().wrap(seat, wrap), job.inputs())
}

/// Runs a job once for every message of every seat and every change.
fn for_every_message(
    job: &Job,
    changes: &[Change],
    check: impl Fn(Seat, u64, Change, Vec<Ended<Option<Released>>>),
) {
    let whole = job.run(job.world(), job.inputs());
    let n_sent: Vec<u64> = whole
        .iter()
        .map(|e| e.traffic.messages_sent.iter().sum())
        .collect();
    all_ok(whole);
    for (seat, n_sent) in Seat::first(n_sent.len()).zip(n_sent) {
        for at_message in 0..n_sent {
            for change in changes {
                check(
                    seat,
                    at_message,
                    *change,
                    tampered(job, seat, at_message, *change),
                );
            }
        }
    }
}

fn bit_flips(n_flips: usize, seed: u64) -> Vec<Change> {
    let mut prg = prg(seed);
    (0..n_flips)
        .map(|_| Change::FlipBit(prg.next_u64()))
        .collect()
}

/// Openings to all seats are compared through their digest and openings to receivers through their
/// commitments, so a bit that is flipped between two seats is always found.
#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    for (mode, n_checks) in [
        (CellRule::None, 0),
        (CellRule::OpenCounts, 1),
        (CellRule::Compare, 2),
    ] {
        for n_computing in [2, 3] {
            let mut job = Job::new(n_computing, 13, n_checks, mode, 40);
            job.shape.receivers = vec![Seat(0), Seat(1)];
            let expected = oracle::release(&job.inputs(), &job.shape);
            for_every_message(&job, &bit_flips(4, 41), |seat, k, change, ended| {
                let is_dealer = seat.index() == n_computing;
                for (at, ended) in ended.into_iter().enumerate() {
                    let Ok(Some(released)) = ended.outcome else {
                        continue;
                    };
                    let place = format!("{mode:?}: {seat}, message {k}, {change:?}, at seat {at}");
                    // A dealer is trusted to deal triples. One that does not changes which cells
                    // are released, and no value.
                    assert!(is_dealer || released == expected, "{place}");
                    assert_values_are_true(&released, &job, &place);
                }
            });
        }
    }
}

/// A seat that commits to one thing towards one seat and to another towards the next is found by
/// every receiver, so that none goes away with a result that the others do not have.
#[test]
fn different_commitments_are_found_by_every_receiver() {
    let mut job = Job::new(3, 13, 0, CellRule::None, 44);
    job.shape.receivers = Seat::first(3).collect();
    let in_the_commitment = Change::FlipBit(8 * 40);
    for at_message in [0, 1] {
        let ended = tampered(&job, Seat(1), at_message, in_the_commitment);
        for honest in [0, 2] {
            let outcome = &ended[honest].outcome;
            assert!(outcome.is_err(), "message {at_message}, seat {honest}");
        }
    }
}

/// A seat that opens one thing to one seat and something else to another is found out by both before the next
/// reveal, in either kind of opening, and on a path below as well: nobody sends an opening to a receiver.
#[test]
fn different_openings_are_found_before_anything_is_revealed() {
    let everybody: Vec<Seat> = Seat::first(3).collect();
    for boolean in [false, true] {
        for below in [false, true] {
            for at_message in [0, 1] {
                let flip = Change::FlipBit(5);
                let wrap = |inner| Arc::new(Tampered::new(inner, at_message, flip)) as Arc<_>;
                let world = World::new(3, 46).wrap(Seat(1), wrap).recorded();
                let logs = world.logs();
                let ended = world.run(async |session| {
                    let open = async |s: &mut Session| {
                        if boolean {
                            boolean::open(s, BitShare::zero(64)).await
                        } else {
                            arith::open(s, Share::<u64>::zero(1)).await
                        }
                    };
                    if below {
                        session.within("step", open).await?;
                    } else {
                        open(session).await?;
                    }
                    let values = Values {
                        narrow: Share::zero(1),
                        wide: Share::zero(0),
                    };
                    let disclosure = Disclosure::approved(Terms::of_values(1, 0, &everybody));
                    reveal(session, values, &everybody, disclosure)
                        .await
                        .map(|_| ())
                });
                let place = format!("boolean {boolean}, below {below}, message {at_message}");
                for (seat, ended) in ended.into_iter().enumerate().filter(|(s, _)| *s != 1) {
                    let found = matches!(ended.outcome, Err(ProtocolError::CheckFailed { .. }));
                    assert!(found, "{place}: {:?} at seat {seat}", ended.outcome);
                    let is_opening = |e: &Entry| {
                        e.direction == Direction::Sent && e.frame.kind == Kind::Opening as u16
                    };
                    let revealed = logs[seat].transcript().iter().any(is_opening);
                    assert!(!revealed, "{place}: seat {seat} has revealed its share");
                }
            }
        }
    }
}

/// Whatever was released has the joint total as its value.
fn assert_values_are_true(released: &Released, job: &Job, place: &str) {
    let mut unchecked = job.shape.clone();
    unchecked.checks.clear();
    let all = oracle::release(&job.inputs(), &unchecked);
    let chosen = |column: &Vec<u64>| -> Vec<u64> {
        column
            .iter()
            .zip(&released.ok)
            .filter(|(_, ok)| **ok)
            .map(|(v, _)| *v)
            .collect()
    };
    let expected: Vec<Vec<u64>> = all.narrow.iter().map(chosen).collect();
    assert!(released.narrow == expected, "{place}");
}

/// In a release without checks every message is a commitment or an opening: a flipped bit is found
/// by its receiver, and the seat that sent it is named.
#[test]
fn a_false_opening_is_blamed_on_its_sender() {
    let job = Job::new(3, 13, 0, CellRule::None, 42);
    let expected = oracle::release(&job.inputs(), &job.shape);
    for seat in [Seat(1), Seat(2)] {
        for change in bit_flips(20, 43) {
            let receiver = tampered(&job, seat, 2, change).swap_remove(0);
            let error = receiver.outcome.map(|_| ()).expect_err("a false opening");
            let misdeed = ProtocolError::PeerMisbehaved {
                seat,
                what: Misdeed::Commitment,
            };
            // The flip may hit what the sender says it was sent by others instead of its share.
            let disagreement = matches!(error, ProtocolError::CheckFailed { .. });
            assert!(error == misdeed || disagreement, "{change:?}: {error}");
        }
    }
    let whole = job.run(job.world(), job.inputs()).swap_remove(0);
    assert!(
        whole
            .outcome
            .expect("untouched")
            .is_some_and(|r| r == expected)
    );
}

#[test]
fn wrong_kinds_and_lengths_are_blamed_on_their_sender() {
    for (mode, n_checks) in [(CellRule::None, 0), (CellRule::Compare, 1)] {
        let job = Job::new(3, 13, n_checks, mode, 44);
        let changes = [Change::Kind, Change::Shorten, Change::Lengthen];
        for_every_message(&job, &changes, |seat, k, change, ended| {
            let blamed = ended.iter().any(|e| match &e.outcome {
                Err(ProtocolError::PeerMisbehaved {
                    seat: culprit,
                    what: Misdeed::Wire(_),
                }) => *culprit == seat,
                _ => false,
            });
            assert!(blamed, "{mode:?}: {seat}, message {k}, {change:?}");
            assert!(ended.iter().all(|e| !matches!(&e.outcome, Ok(Some(_)))));
        });
    }
}

/// A stamp is the peer's claim. It may spoil the measurement and nothing else.
#[test]
fn a_false_stamp_changes_no_result() {
    let job = Job::new(3, 13, 1, CellRule::Compare, 45);
    let expected = oracle::release(&job.inputs(), &job.shape);
    for_every_message(&job, &[Change::Stamp], |_, _, _, ended| {
        let released = all_ok(ended).swap_remove(0).expect("seat 0 receives");
        assert!(released == expected);
    });
}
