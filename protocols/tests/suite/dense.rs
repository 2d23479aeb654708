//! Least numbers and values at ranks: against sorting in the clear, with declared costs, in messages that depend on
//! shapes alone, and with a seat that dies at any of them.

use crate::ideal;
use crate::world::{Ended, World, all_ok, prg, transcripts};
use engine::share::Share;
use engine::share::boolean::{BitShare, from_planes};
use protocols::aggregate::{self, CellRule, Top};
use protocols::dense::extreme;
use protocols::dense::rank::{self, Rank, RankShape};
use protocols::dense::{columns, number};
use protocols::error::ProtocolError;
use protocols::net::sim::{self, Cut, LinkModel};
use protocols::oracle;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use std::sync::Mutex;

const SEATS: [usize; 3] = [2, 3, 5];

/// One of the two protocols on made-up inputs.
#[derive(Clone)]
enum Job {
    Least { n_lanes: usize, n_bits: u32 },
    Find(RankShape),
}

/// One seat's numbers or counts.
type Inputs = Vec<Vec<u64>>;

impl Job {
    fn price(&self, n: usize) -> Price {
        let seats = Seats::computing(n);
        match self {
            Self::Least { n_lanes, n_bits } => extreme::price(seats, *n_bits, *n_lanes),
            Self::Find(shape) => rank::price(seats, shape),
        }
    }

    fn inputs(&self, n: usize, seed: u64) -> Inputs {
        let mut prg = prg(seed);
        let mut of_seat = |_| match self {
            Self::Least { n_lanes, n_bits } => {
                let all = u64::MAX >> (64 - n_bits);
                // Often the same, and often nothing at all.
                let mut number = || match prg.next_bounded(4) {
                    0 => all,
                    1 => all / 2,
                    _ => prg.next_u64() & all,
                };
                (0..*n_lanes).map(|_| number()).collect()
            }
            Self::Find(shape) => {
                let most = shape.rows_at_most / (n * shape.n_values) as u64;
                let mut count = || match prg.next_bounded(3) {
                    0 => 0,
                    _ => prg.next_bounded(most + 1),
                };
                (0..shape.n_cells * shape.n_values)
                    .map(|_| count())
                    .collect()
            }
        };
        (0..n).map(&mut of_seat).collect()
    }

    fn run(&self, world: World, inputs: Inputs) -> Vec<Ended<Vec<Vec<BitShare>>>> {
        let n = inputs.len();
        let stocks = ideal::stocks(n, &self.price(n).needs, world.seed);
        let given = inputs.into_iter().zip(stocks).map(Some).collect::<Vec<_>>();
        let given = Mutex::new(given);
        world.run(async |session| {
            let seat = session.seat().index();
            let taken = given.lock().expect("no panic")[seat].take();
            let (mine, mut stock) = taken.expect("each seat runs once");
            let outcome = match self {
                Self::Least { n_bits, .. } => extreme::least(session, &mine, *n_bits, &mut stock)
                    .await
                    .map(|planes| vec![planes]),
                Self::Find(shape) => {
                    rank::find(session, &Share::new(mine), shape, &mut stock).await
                }
            };
            assert!(outcome.is_err() || stock.left().is_nothing());
            session.ended_by(outcome)
        })
    }
}

/// The numbers behind all seats' planes.
fn opened(seats: &[Vec<BitShare>]) -> Vec<u64> {
    let mut planes = seats.iter().map(|planes| from_planes(planes));
    let first = planes.next().expect("a seat");
    planes.fold(first, |mut sum, more| {
        sum.iter_mut().zip(more).for_each(|(a, b)| *a ^= b);
        sum
    })
}

fn shape(n_cells: usize, n_values: usize, ranks: Vec<Rank>) -> RankShape {
    RankShape {
        n_cells,
        n_values,
        ranks,
        rows_at_most: 4000,
    }
}

/// Quantiles 0, 1/3, 1/2, 0.95 and 1, in all three ways, with what they are by sorting: the place from 0 among n rows.
fn ranks() -> Vec<(Rank, fn(u64) -> u64)> {
    vec![
        (Rank::first(), |_| 0),
        (Rank::inverse(0, 1), |_| 0),
        (Rank::inverse(1, 3), |n| n.div_ceil(3) - 1),
        (Rank::inverse(19, 20), |n| (19 * n).div_ceil(20) - 1),
        (Rank::inverse(1, 1), |n| n - 1),
        (Rank::below(1, 2), |n| (n - 1) / 2),
        (Rank::above(1, 2), |n| (n - 1).div_ceil(2)),
        (Rank::below(19, 20), |n| 19 * (n - 1) / 20),
        (Rank::above(19, 20), |n| (19 * (n - 1)).div_ceil(20)),
        (Rank::below(0, 1), |_| 0),
        (Rank::above(1, 1), |n| n - 1),
    ]
}

#[test]
fn the_least_number_is_found() {
    for n in SEATS {
        for n_lanes in [0, 1, 2, 63, 64, 65, 127, 1009] {
            for n_bits in [1, 2, 7, 20, 63, 64] {
                let job = Job::Least { n_lanes, n_bits };
                let inputs = job.inputs(n, 7 + n_lanes as u64);
                let expected: Vec<u64> = (0..n_lanes)
                    .map(|lane| inputs.iter().map(|mine| mine[lane]).min().expect("a seat"))
                    .collect();
                let found = all_ok(job.run(World::new(n, 1), inputs));
                let found: Vec<_> = found.into_iter().flatten().collect();
                assert_eq!(opened(&found), expected, "{n_lanes} lanes of {n_bits} bits");
            }
        }
    }
}

#[test]
fn values_at_ranks_are_those_of_sorted_rows() {
    for n in SEATS {
        for n_cells in [1, 2, 64, 65] {
            for n_values in [1, 2, 3, 7, 16, 17] {
                check_ranks(n, n_cells, n_values);
            }
        }
    }
}

fn check_ranks(n: usize, n_cells: usize, n_values: usize) {
    let (all, places): (Vec<Rank>, Vec<_>) = ranks().into_iter().unzip();
    let job = Job::Find(shape(n_cells, n_values, all));
    let inputs = job.inputs(n, (n_cells * n_values) as u64);
    let sorted: Vec<Vec<u64>> = (0..n_cells)
        .map(|cell| {
            let rows = |v: usize| inputs.iter().map(|i| i[v * n_cells + cell]).sum::<u64>();
            (0..n_values)
                .flat_map(|v| (0..rows(v)).map(move |_| v as u64))
                .collect()
        })
        .collect();
    let mut seats: Vec<_> = all_ok(job.run(World::new(n, 2), inputs))
        .into_iter()
        .map(|found| found.into_iter())
        .collect();
    for (rank, place) in places.iter().enumerate() {
        let planes: Vec<_> = seats.iter_mut().filter_map(Iterator::next).collect();
        let found = match n_values {
            1 => vec![0; n_cells],
            _ => opened(&planes),
        };
        for (cell, rows) in sorted.iter().enumerate().filter(|(_, r)| !r.is_empty()) {
            let expected = rows[place(rows.len() as u64) as usize];
            assert_eq!(
                found[cell], expected,
                "rank {rank}, cell {cell} of {rows:?}"
            );
        }
    }
}

/// Among the narrow columns of a release, sums modulo 2^64 leave the parity of the top bits.
#[test]
fn bits_come_out_of_ring_elements() {
    for n in SEATS {
        let job = Job::Least {
            n_lanes: 70,
            n_bits: 9,
        };
        let inputs = job.inputs(n, 3);
        let least: Vec<u64> = (0..70)
            .map(|lane| inputs.iter().map(|mine| mine[lane]).min().expect("a seat"))
            .collect();
        let seats = all_ok(job.run(World::new(n, 3), inputs));
        let columns: Vec<_> = seats.iter().map(|planes| columns(&planes[0])).collect();
        for (lane, expected) in least.iter().enumerate() {
            let bit = |bit: usize| {
                let shares = columns.iter().map(|of_seat| of_seat[bit][lane]);
                shares.fold(0u64, u64::wrapping_add)
            };
            assert_eq!(number((0..9).map(bit)), Some(*expected));
        }
    }
    assert_eq!(number([1]), None);
    assert_eq!(number([1 << 63, 0, 1 << 63]), Some(5));
}

fn jobs() -> Vec<Job> {
    let all = ranks().into_iter().map(|(rank, _)| rank);
    vec![
        Job::Least {
            n_lanes: 65,
            n_bits: 12,
        },
        Job::Find(shape(65, 5, all.collect())),
    ]
}

#[test]
fn both_cost_what_they_declare() {
    for n in SEATS {
        for job in jobs() {
            let declared = job.price(n).cost;
            for (seat, ended) in Seat::first(n).zip(job.run(World::new(n, 4), job.inputs(n, 4))) {
                assert_eq!(ended.traffic.rounds, declared.rounds);
                assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat.index()]);
                assert_eq!(ended.traffic.messages_sent, declared.messages[seat.index()]);
            }
        }
    }
}

#[test]
fn other_numbers_give_the_same_messages() {
    for n in SEATS {
        for job in jobs() {
            let outline = |inputs: Inputs| {
                let world = World::new(n, 5).recorded();
                let logs = world.logs();
                all_ok(job.run(world, inputs));
                let mut all = Vec::new();
                for transcript in transcripts(&logs) {
                    let of_seat = transcript.iter().map(|e| {
                        let body = e.frame.body.len();
                        (e.direction, e.peer, e.path.0, e.frame.kind, body)
                    });
                    let mut of_seat: Vec<_> = of_seat.collect();
                    of_seat.sort_unstable();
                    all.push(of_seat);
                }
                all
            };
            let zeros = job.inputs(n, 0).iter().map(|i| vec![0; i.len()]).collect();
            let first = outline(job.inputs(n, 6));
            assert!(first == outline(job.inputs(n, 7)) && first == outline(zeros));
        }
    }
}

#[test]
fn a_cut_at_any_message_ends_every_seat() {
    let job = Job::Find(shape(3, 4, vec![Rank::below(1, 2)]));
    let least = Job::Least {
        n_lanes: 3,
        n_bits: 4,
    };
    for job in [job, least] {
        for n in [2, 3] {
            let whole = job.run(World::new(n, 8), job.inputs(n, 8));
            let n_sent: Vec<u64> = whole
                .iter()
                .map(|e| e.traffic.messages_sent.iter().sum())
                .collect();
            for (seat, n_sent) in Seat::first(n).zip(n_sent) {
                for at_message in 0..n_sent {
                    let cut = Some(Cut { seat, at_message });
                    let world = World::new(n, 8).on(sim::network(n, LinkModel::LAN, cut));
                    let ended = job.run(world, job.inputs(n, 8));
                    let failed = ended
                        .iter()
                        .filter(|e| matches!(e.outcome, Err(ProtocolError::Link { .. })));
                    assert!(failed.count() >= 1, "{seat} cut at {at_message}");
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let mut empty = shape(3, 1, vec![Rank::first()]);
    empty.n_values = 0;
    let mut wide = shape(3, 2, vec![Rank::inverse(1, 1 << 40)]);
    wide.rows_at_most = 1 << 40;
    for shape in [empty, wide] {
        let ended = World::new(2, 9).run(async |session| {
            let counts = Share::zero(shape.n_values * shape.n_cells);
            let mut stock = protocols::correlate::Stock::empty();
            rank::find(session, &counts, &shape, &mut stock).await
        });
        for ended in ended {
            let error = ended.outcome.map(|_| ()).expect_err("refused");
            assert!(matches!(error, ProtocolError::InvalidInput { .. }));
            assert_eq!(ended.traffic.rounds, 0);
        }
    }
}

/// The groups that come first by a count, of those that are large enough.
fn first_groups(n: usize, cells: usize, n_first: usize, greatest_first: bool) -> crate::world::Job {
    let top = Top {
        column: 0,
        n: n_first,
        greatest_first,
        bound_bits: 6,
    };
    let seed = (cells + 31 * n_first) as u64;
    crate::world::Job::new(n, cells, 1, CellRule::Top(top), seed)
}

#[test]
fn only_the_first_groups_are_released() {
    let mut n_released = 0;
    for n in SEATS {
        for cells in [1, 2, 3, 7, 64, 65, 70] {
            for n_first in [0, 1, 2, 5, 64, 100] {
                let job = first_groups(n, cells, n_first, cells % 2 == 0);
                let expected = oracle::release(&job.inputs(), &job.shape);
                let got = all_ok(job.run(job.world(), job.inputs())).swap_remove(0);
                let got = got.expect("the first seat receives");
                assert!(got == expected, "{n_first} of {cells} among {n}");
                let released = got.ok.iter().filter(|ok| **ok).count();
                assert!(released <= n_first);
                n_released += released;
            }
        }
    }
    assert!(n_released > 300, "{n_released}");
}

#[test]
fn finding_the_first_groups_costs_what_it_declares() {
    for n in SEATS {
        for (cells, n_first) in [(1, 0), (2, 1), (9, 4), (65, 3), (65, 65)] {
            let job = first_groups(n, cells, n_first, true);
            let declared = aggregate::cost(&job.shape, n, job.source().as_ref());
            let ended = job.run(job.world(), job.inputs());
            for (seat, ended) in Seat::first(n).zip(ended) {
                assert!(ended.outcome.is_ok());
                assert_eq!(ended.traffic.rounds, declared.rounds);
                assert_eq!(ended.traffic.bytes_sent, declared.bytes[seat.index()]);
            }
        }
    }
}

/// Which groups come first changes with one row, the disclosure with one number.
#[test]
fn other_first_groups_are_another_release() {
    let terms = |n_first, greatest| first_groups(2, 9, n_first, greatest).shape.terms();
    assert!(terms(3, true) == terms(3, true));
    assert!(terms(3, true) != terms(4, true) && terms(3, true) != terms(3, false));
}
