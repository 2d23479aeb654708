//! Every protocol computes what its plain counterpart does, for 2, 3 and 5 seats and awkward sizes.

use crate::world::{Job, World, all_ok, prg, random_vec};
use engine::ring::{Ring, add_assign};
use engine::share::Share;
use protocols::aggregate::{CellRule, Check, ReleaseShape};
use protocols::party::Seat;
use protocols::{arith, oracle};

const SEATS: [usize; 3] = [2, 3, 5];

/// Sizes at and around words, primes, and nothing.
const SIZES: [usize; 9] = [0, 1, 2, 13, 63, 64, 65, 127, 1009];

fn check_job(job: &Job) {
    let expected = oracle::release(&job.inputs(), &job.shape);
    let ended = job.run(job.world(), job.inputs());
    for (seat, released) in all_ok(ended).into_iter().enumerate() {
        let is_receiver = job.shape.receivers.contains(&Seat::from_index(seat));
        assert_eq!(released.is_some(), is_receiver, "seat {seat}");
        assert!(
            released.is_none_or(|r| r == expected),
            "seat {seat} of {:?}",
            job.shape
        );
    }
}

#[test]
fn release_without_checks() {
    for n_computing in SEATS {
        for cells in SIZES {
            check_job(&Job::new(
                n_computing,
                cells,
                0,
                CellRule::None,
                100 + cells as u64,
            ));
        }
    }
}

#[test]
fn release_with_counts_compared_on_shares() {
    for n_computing in SEATS {
        for cells in SIZES {
            for n_checks in [1, 2, 3] {
                let seed = 200 + cells as u64;
                check_job(&Job::new(
                    n_computing,
                    cells,
                    n_checks,
                    CellRule::Compare,
                    seed,
                ));
            }
        }
    }
}

#[test]
fn release_with_counts_opened() {
    for n_computing in SEATS {
        for cells in SIZES {
            check_job(&Job::new(
                n_computing,
                cells,
                2,
                CellRule::OpenCounts,
                300 + cells as u64,
            ));
        }
    }
}
