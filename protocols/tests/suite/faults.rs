//! A seat that dies at any message: every other seat ends with a link error, nobody hangs, and
//! nobody has a partial or wrong result.

use crate::world::{Job, all_ok};
use protocols::aggregate::CellRule;
use protocols::error::{LinkError, ProtocolError};
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::oracle;
use protocols::party::Seat;

fn jobs() -> impl Iterator<Item = Job> {
    let shapes = [
        (CellRule::None, 0),
        (CellRule::Compare, 2),
        (CellRule::OpenCounts, 1),
    ];
    let all = [2, 3]
        .into_iter()
        .flat_map(move |n| shapes.map(|(mode, c)| (n, mode, c)));
    all.flat_map(|(n, mode, n_checks)| {
        let one = Job::new(n, 10, n_checks, mode, 30);
        let mut everybody = one.clone();
        everybody.shape.receivers = Seat::first(n).collect();
        [one, everybody]
    })
}

#[test]
fn a_cut_at_any_message_ends_every_seat() {
    let mut n_cuts = 0;
    for job in jobs() {
        let n_seats = job.world().n_seats();
        let whole = job.run(job.world(), job.inputs());
        let n_sent: Vec<u64> = whole
            .iter()
            .map(|e| e.traffic.messages_sent.iter().sum())
            .collect();
        all_ok(whole);
        for (seat, n_sent) in Seat::first(n_seats).zip(n_sent) {
            for at_message in 0..n_sent {
                check_cut(&job, Cut { seat, at_message });
                n_cuts += 1;
            }
        }
    }
    println!("{n_cuts} cuts");
    assert!(n_cuts > 200);
}

fn check_cut(job: &Job, cut: Cut) {
    let expected = oracle::release(&job.inputs(), &job.shape);
    let n_seats = job.world().n_seats();
    let world = job
        .world()
        .on(sim::network(n_seats, LinkModel::LAN, Some(cut)));
    let ended = job.run(world, job.inputs());
    let mut n_failed = 0;
    for (seat, ended) in Seat::first(n_seats).zip(ended) {
        let place = format!("{seat} of {:?} after {cut:?}", job.shape);
        match ended.outcome {
            Err(ProtocolError::Link {
                seat: culprit,
                cause,
            }) => {
                assert!(culprit != seat, "{place}");
                assert!(matches!(cause, LinkError::Closed), "{place}");
                n_failed += 1;
            }
            Err(other) => panic!("{place}: {other}"),
            // A seat that had everything before the cut has the right result; one that was not a
            // receiver and had sent everything has none. Nothing in between.
            Ok(None) => assert!(!job.shape.receivers.contains(&seat), "{place}"),
            Ok(Some(released)) => assert!(released == expected, "{place}"),
        }
        assert!(
            seat != cut.seat || n_failed > 0,
            "{place}: the cut seat has failed"
        );
    }
    assert!(n_failed >= 1);
}

/// The message that is cut is the one that somebody waits for: that one never has a result.
#[test]
fn a_receiver_never_has_a_result_without_all_openings() {
    for n_computing in [2, 3, 5] {
        let job = Job::new(n_computing, 10, 0, CellRule::None, 31);
        for seat in Seat::first(n_computing).skip(1) {
            // Every seat but the receiver sends its commitment to all others, then one opening.
            let opening = n_computing as u64 - 1;
            let cut = Cut {
                seat,
                at_message: opening,
            };
            let world = job
                .world()
                .on(sim::network(n_computing, LinkModel::LAN, Some(cut)));
            let ended = job.run(world, job.inputs()).swap_remove(0);
            let error = ended
                .outcome
                .map(|_| ())
                .expect_err("an opening is missing");
            assert_eq!(error.culprit(), Some(seat));
        }
    }
}
