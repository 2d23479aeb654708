//! Secure aggregation: sums exact and the same at all seats, what is sent uniform, as declared, and never twice; seats that
//! drop out, and seats that change messages.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case};
use crate::world::{Ended, World, all_ok, prg, random_vec, run_configs, transcripts};
use engine::ring;
use engine::share::Share;
use protocols::correlate::Stock;
use protocols::disclose::{Disclosure, Terms};
use protocols::error::ProtocolError;
use protocols::net::record::{Direction, Transcript};
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::net::tamper::{Change, Tampered};
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::sums::masked;
use protocols::wire::Kind;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Sums of so many numbers of each seat.
#[derive(Clone, Copy, Debug)]
struct Vectors(usize);

fn own(seat: Seat, secrets: u64, n_items: usize) -> Vec<u64> {
    let mut values = random_vec(&mut prg(secrets * 97 + u64::from(seat.0)), n_items);
    // Small numbers as well: a mask has to hide these, too.
    values.iter_mut().step_by(2).for_each(|v| *v >>= 60);
    values
}

fn expected(n_computing: usize, secrets: u64, n_items: usize) -> Vec<u64> {
    let mut sums = vec![0; n_items];
    Seat::first(n_computing).for_each(|s| ring::add_assign(&mut sums, &own(s, secrets, n_items)));
    sums
}

async fn sum(session: &mut Session, mine: Vec<u64>) -> Result<Vec<u64>, ProtocolError> {
    let everybody: Vec<Seat> = session.computing_seats().collect();
    let terms = Terms::of_values(mine.len(), 0, &everybody);
    masked::sum(session, mine, Disclosure::approved(terms)).await
}

impl Case for Vectors {
    type R = u64;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<u64> {
        Clear::of_ring(vec![expected(n_computing, secrets, self.0)])
    }

    fn price(&self, seats: Seats) -> Price {
        Price::of_cost(masked::cost(seats, self.0))
    }

    /// Everybody knows the sums; the first seat alone gives them back, so that they are added up once.
    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        _: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let mut sums = sum(session, own(session.seat(), secrets, self.0)).await?;
        if session.seat() != Seat(0) {
            sums.fill(0);
        }
        Ok(Shared {
            ring: vec![Share::new(sums)],
            bits: vec![],
        })
    }
}

#[test]
fn sums_are_exact_and_cost_what_they_say() {
    for n_items in [0, 1, 2, 7, 64] {
        demands::check_all(&Vectors(n_items));
    }
}

#[test]
fn long_vectors_go_block_by_block() {
    for (n_computing, n_items) in [(2, (1 << 19) + 5), (3, 1 << 19), (5, 777_777)] {
        demands::check_result(&Vectors(n_items), n_computing, 5);
        demands::check_price(&Vectors(n_items), n_computing);
    }
}

#[test]
fn all_seats_are_told_the_same() {
    let ended = World::new(4, 31).run(async |session| {
        let mine = own(session.seat(), 3, 50);
        sum(session, mine).await
    });
    let expected = expected(4, 3, 50);
    assert!(all_ok(ended).iter().all(|found| *found == expected));
}

/// What says who takes part and what the sums are is told to everybody; all else looks uniform.
#[test]
fn what_is_sent_looks_uniform() {
    demands::check_uniform_but(&Vectors(60), 300, &[Kind::Roll, Kind::Sums]);
}

/// All masked messages that seats sent.
fn sent(all: &[Transcript]) -> Vec<Vec<u8>> {
    let entries = all.iter().flatten();
    let masked =
        entries.filter(|e| e.direction == Direction::Sent && e.frame.kind == Kind::Masked as u16);
    masked.map(|e| e.frame.body.to_vec()).collect()
}

/// The same numbers in every round, in runs of the same keys: of one job, and of it once more. All of 0, so that a message is
/// nothing but its mask.
fn masks(session_ids: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for id in session_ids {
        let world = World::new(3, 17).recorded();
        let logs = world.logs();
        let mut configs = world.configs();
        configs.iter_mut().for_each(|c| c.session_id = [*id; 32]);
        let ended = run_configs(configs, async |session| {
            for _ in 0..3 {
                assert_eq!(sum(session, vec![0; 30]).await?, [0; 30]);
            }
            session
                .within("another place", async |session| {
                    sum(session, vec![0; 30]).await.map(|_| ())
                })
                .await
        });
        all_ok(ended);
        all.extend(sent(&transcripts(&logs)));
    }
    all
}

#[test]
fn no_stream_is_used_twice() {
    let all = masks(&[1, 2, 3]);
    // Three seats send two pieces of ten numbers in each of four rounds of three runs. Numbers of one stream are the
    // same or each other's negatives at the two ends of a pair.
    assert_eq!(all.len(), 3 * 2 * 4 * 3);
    let numbers = all.iter().map(|body| {
        let values: Vec<u64> = ring::from_bytes(body).expect("ring elements");
        assert_eq!(values.len(), 10);
        values
    });
    let numbers: Vec<u64> = numbers.flatten().collect();
    let different: BTreeSet<u64> = numbers.iter().map(|v| (*v).min(v.wrapping_neg())).collect();
    assert_eq!(different.len(), numbers.len());
    // A run whose identifier is not new has the masks of the first, and this test would notice.
    let careless = masks(&[1, 1]);
    let different: BTreeSet<&Vec<u8>> = careless.iter().collect();
    assert_eq!(different.len(), careless.len() / 2);
}

/// What all seats but one were sent, added up: with the streams of the one that is missing in it, so that it is no sum.
#[test]
fn a_round_that_somebody_left_tells_no_sum_and_is_run_again() {
    let rounds = async |session: &mut Session| {
        let mine = own(session.seat(), 9, 12);
        sum(session, mine).await
    };
    let whole = World::new(4, 41).run(rounds);
    let n_sent: u64 = whole[2].traffic.messages_sent.iter().sum();
    let expected_of_all = expected(4, 9, 12);
    assert!(all_ok(whole).iter().all(|found| *found == expected_of_all));
    let mut seen = BTreeSet::new();
    for at_message in 0..n_sent {
        let cut = Cut {
            seat: Seat(2),
            at_message,
        };
        let world = World::new(4, 41)
            .on(sim::network(4, LinkModel::LAN, Some(cut)))
            .recorded();
        let logs = world.logs();
        let mut configs = world.configs();
        configs
            .iter_mut()
            .for_each(|c| c.session_id = [at_message as u8; 32]);
        for (seat, ended) in run_configs(configs, rounds).into_iter().enumerate() {
            match ended.outcome {
                // The last messages say that all were told the same: who has them all may go on.
                Ok(found) => assert_eq!(found, expected_of_all, "seat {seat}"),
                Err(error) => assert!(matches!(error, ProtocolError::Link { .. }), "{error}"),
            }
        }
        let masked = sent(&transcripts(&logs));
        if at_message < 3 {
            // It was gone before all had said that they take part. Who lacks its word sends nothing.
            assert!(masked.len() <= 3 * at_message as usize, "{at_message}");
        }
        for body in masked {
            assert!(seen.insert(body), "a message of an earlier attempt");
        }
    }
    // The others, in a run of their own.
    let found = all_ok(World::new(3, 42).run(rounds));
    assert!(found.iter().all(|sums| *sums == expected(3, 9, 12)));
}

/// A seat that changes a message is found, or has brought another vector.
#[test]
fn changed_messages_are_found_or_the_same_to_all() {
    let run = |world: World| {
        world.run(async |session| {
            let mine = own(session.seat(), 7, 9);
            sum(session, mine).await
        })
    };
    let whole: Vec<Ended<Vec<u64>>> = run(World::new(3, 51));
    let n_sent: u64 = whole[1].traffic.messages_sent.iter().sum();
    let sums = expected(3, 7, 9);
    let mut n_found = 0;
    for at_message in 0..n_sent {
        for change in [
            Change::FlipBit(5),
            Change::FlipBit(64 * 2 + 63),
            Change::Kind,
            Change::Shorten,
            Change::Lengthen,
        ] {
            let wrap = |inner| Arc::new(Tampered::new(inner, at_message, change)) as Arc<_>;
            let ended = run(World::new(3, 51).wrap(Seat(1), wrap));
            let told: Vec<_> = ended.into_iter().map(|e| e.outcome).collect();
            n_found += usize::from(told.iter().any(Result::is_err));
            let told: BTreeSet<Vec<u64>> = told.into_iter().flatten().collect();
            assert!(told.len() <= 1, "{at_message}, {change:?}: different sums");
            let wrong = told.iter().flatten().zip(&sums).filter(|(a, b)| a != b);
            let wrong: Vec<u64> = wrong.map(|(a, b)| a.wrapping_sub(*b)).collect();
            let is_one_bit = |d: &u64| d.is_power_of_two() || d.wrapping_neg().is_power_of_two();
            assert!(
                wrong.len() <= 1 && wrong.iter().all(is_one_bit),
                "{wrong:?}"
            );
        }
    }
    // Masked numbers alone, two messages of eight, may be changed by a bit.
    assert_eq!(n_found as u64, n_sent * 5 - 2 * 2);
}

/// Seats that do not mean the same round have sent nothing but that.
#[test]
fn seats_that_mean_different_rounds_mask_nothing() {
    let world = World::new(3, 61).recorded();
    let logs = world.logs();
    let mut configs = world.configs();
    configs[2].session_id = [9; 32];
    for ended in run_configs(configs, async |session| sum(session, vec![1; 8]).await) {
        let error = ended.outcome.expect_err("another run");
        assert!(matches!(
            error,
            ProtocolError::CheckFailed { .. } | ProtocolError::Link { .. }
        ));
    }
    assert!(sent(&transcripts(&logs)).is_empty());
}

#[test]
fn what_was_not_approved_is_not_sent() {
    let ended = World::new(2, 71).run(async |session| {
        let terms = Terms::of_values(7, 0, &[Seat(0), Seat(1)]);
        masked::sum(session, vec![1; 8], Disclosure::approved(terms)).await
    });
    for ended in ended {
        assert!(matches!(
            ended.outcome,
            Err(ProtocolError::NotApproved { .. })
        ));
        assert_eq!(ended.traffic.rounds, 0);
    }
}
