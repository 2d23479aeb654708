//! What is sent depends on public sizes alone: other secrets of the same shape give the same list
//! of messages.

use crate::world::{Job, all_ok, prg, transcripts};
use protocols::aggregate::{CellRule, LocalTotals};
use protocols::net::record::{Direction, Transcript};
use protocols::{oracle, party::Seat};

/// A message without its content: which way, with whom, on which path, its kind, length and depth.
type Outline = (Direction, Seat, u64, u16, usize, u32);

/// The messages of one seat on each link in order. The order between links depends on scheduling.
pub(crate) fn outline(transcript: &Transcript) -> Vec<Outline> {
    let mut all: Vec<Outline> = transcript
        .iter()
        .map(|e| {
            (
                e.direction,
                e.peer,
                e.path.0,
                e.frame.kind,
                e.frame.body.len(),
                e.frame.stamp.depth,
            )
        })
        .collect();
    all.sort_by_key(|(direction, peer, path, ..)| (*direction, *peer, *path));
    all
}

fn outlines(job: &Job, inputs: Vec<LocalTotals>) -> Vec<Vec<Outline>> {
    let world = job.world().recorded();
    let logs = world.logs();
    all_ok(job.run(world, inputs));
    transcripts(&logs).iter().map(outline).collect()
}

/// Totals with other values and other holders' parts, whose counts are as large as before where
/// they are released and as small where they are not.
fn other_secrets(job: &Job, seed: u64) -> Vec<LocalTotals> {
    let ok = oracle::release(&job.inputs(), &job.shape).ok;
    let mut prg = prg(seed);
    let mut inputs = job.inputs_from(seed);
    for check in &job.shape.checks {
        for (cell, ok) in ok.iter().enumerate() {
            let total = if *ok {
                11 + prg.next_bounded(30)
            } else {
                prg.next_bounded(11)
            };
            let mut rest = total;
            for input in &mut inputs {
                let part = prg.next_bounded(rest + 1);
                input.narrow[check.column][cell] = part;
                rest -= part;
            }
            inputs[0].narrow[check.column][cell] += rest;
        }
    }
    assert!(oracle::release(&inputs, &job.shape).ok == ok);
    inputs
}

#[test]
fn other_secrets_give_the_same_messages() {
    for n_computing in [2, 3, 5] {
        for (mode, n_checks) in [
            (CellRule::None, 0),
            (CellRule::Compare, 2),
            (CellRule::OpenCounts, 2),
        ] {
            let job = Job::new(n_computing, 77, n_checks, mode, 20);
            let first = outlines(&job, job.inputs());
            assert!(first.iter().all(|seat| !seat.is_empty()));
            for seed in [21, 22] {
                let again = outlines(&job, other_secrets(&job, seed));
                assert!(first == again, "{mode:?} among {n_computing}, seed {seed}");
            }
        }
    }
}

/// Zeros everywhere are the secrets most likely to be treated specially.
#[test]
fn zeros_give_the_same_messages() {
    let job = Job::new(3, 50, 0, CellRule::None, 23);
    let zeros = || LocalTotals {
        narrow: vec![vec![0; 50]; job.shape.narrow],
        wide: vec![vec![0; 50]; job.shape.wide],
    };
    let inputs = (0..3).map(|_| zeros()).collect();
    assert!(outlines(&job, job.inputs()) == outlines(&job, inputs));
}

/// Not even the outcome of a comparison shows: whether all cells are released, some or none, the
/// messages are the same.
#[test]
fn the_outcome_of_a_comparison_does_not_show() {
    for mode in [CellRule::Compare, CellRule::OpenCounts] {
        let job = Job::new(3, 50, 1, mode, 24);
        let all_with = |count: u64| {
            let mut inputs = job.inputs();
            for input in &mut inputs {
                input.narrow[0].fill(count);
            }
            outlines(&job, inputs)
        };
        let mixed = outlines(&job, job.inputs());
        assert!(mixed == all_with(1), "{mode:?}: none is released");
        assert!(mixed == all_with(20), "{mode:?}: all are released");
    }
}
