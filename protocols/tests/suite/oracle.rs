//! Every protocol computes what its plain counterpart does, for 2, 3 and 5 seats and awkward sizes.

use crate::ideal;
use crate::world::{Job, World, all_ok, prg, random_vec};
use engine::bits;
use engine::prg::Prg;
use engine::ring::Ring;
use engine::share::boolean::{BitShare, to_planes};
use engine::share::{self, Share};
use protocols::aggregate::{CellRule, Check, LocalTotals};
use protocols::arith::{self, compare};
use protocols::correlate::{BitTriples, Stock};
use protocols::disclose::{Disclosure, Terms, Values, reveal};
use protocols::party::Seat;
use protocols::{boolean, oracle};

const SEATS: [usize; 3] = [2, 3, 5];

/// Sizes at and around words, primes, and nothing.
const SIZES: [usize; 9] = [0, 1, 2, 13, 63, 64, 65, 127, 1009];

/// Runs a job and compares what each seat got with the oracle. Returns how many cells were released.
fn check_job(job: &Job) -> usize {
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
    expected.ok.iter().filter(|ok| **ok).count()
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

/// The jobs above would prove little if all their cells were released, or none.
#[test]
fn the_jobs_of_these_tests_hold_some_cells_back() {
    for n_computing in SEATS {
        let n_released = check_job(&Job::new(
            n_computing,
            1009,
            1,
            CellRule::Compare,
            200 + 1009,
        ));
        assert!((200..800).contains(&n_released), "{n_released} of 1009");
    }
}

/// Jobs of every shape: columns, checks on any column, bounds, thresholds, receivers.
#[test]
fn release_of_random_shapes() {
    for seed in 0..150 {
        let mut prg = prg(seed);
        let n_computing = 2 + prg.next_bounded(4) as usize;
        let mode = [CellRule::None, CellRule::Compare, CellRule::OpenCounts];
        let mode = mode[prg.next_bounded(3) as usize];
        let n_checks = usize::from(mode != CellRule::None) * (1 + prg.next_bounded(4) as usize);
        let mut job = Job::new(
            n_computing,
            prg.next_bounded(200) as usize,
            n_checks,
            mode,
            seed,
        );
        job.shape.narrow = usize::from(n_checks > 0) + prg.next_bounded(4) as usize;
        job.shape.wide = prg.next_bounded(3) as usize;
        if mode == CellRule::Compare {
            job.shape.compared = prg.next_bounded(job.shape.narrow as u64 + 1) as usize;
        }
        for check in &mut job.shape.checks {
            *check = Check {
                column: prg.next_bounded(job.shape.narrow as u64) as usize,
                at_least: prg.next_bounded(40),
                bound_bits: 5 + prg.next_bounded(59) as u32,
            };
        }
        let n_receivers = 1 + prg.next_bounded(n_computing as u64) as usize;
        let first = prg.next_bounded(n_computing as u64) as usize;
        job.shape.receivers = (0..n_receivers)
            .map(|i| Seat::from_index((first + i) % n_computing))
            .collect();
        check_job(&job);
    }
}

/// Sums wrap as the ring does, so negative numbers are exact as well.
#[test]
fn totals_are_sums_in_the_ring() {
    let mut job = Job::new(3, 2, 0, CellRule::None, 1);
    job.shape.narrow = 1;
    let totals = |narrow: [i64; 2], wide: [i128; 2]| LocalTotals {
        narrow: vec![narrow.map(i64::cast_unsigned).to_vec()],
        wide: vec![wide.map(i128::cast_unsigned).to_vec()],
    };
    let inputs = vec![
        totals([-5, i64::MAX], [i128::MAX, -1]),
        totals([3, 1], [1, -2]),
        totals([1, 0], [0, 4]),
    ];
    let released = all_ok(job.run(job.world(), inputs))
        .swap_remove(0)
        .expect("seat 0 receives");
    assert_eq!(
        released.narrow[0]
            .iter()
            .map(|v| v.to_signed())
            .collect::<Vec<_>>(),
        [-1, i64::MIN.into()]
    );
    assert_eq!(
        released.wide[0]
            .iter()
            .map(|v| v.to_signed())
            .collect::<Vec<_>>(),
        [i128::MIN, 1]
    );
}

fn check_input_and_open<R: Ring>(n_computing: usize, n_items: usize, owner: Seat, seed: u64) {
    let values: Vec<R> = random_vec(&mut prg(seed), n_items);
    let ended = World::new(n_computing, seed).run(async |session| {
        let mine = (session.seat() == owner).then(|| values.clone());
        let mut share = arith::input(session, owner, mine, n_items).await?;
        share.add_assign(&arith::zero_share(session, n_items).await);
        arith::open(session, share).await
    });
    for opened in all_ok(ended) {
        assert!(opened == values);
    }
}

#[test]
fn input_and_open_return_the_value() {
    const CHUNK_64: usize = 1 << 17;
    const CHUNK_128: usize = 1 << 16;
    for n_computing in SEATS {
        for owner in Seat::first(n_computing) {
            for n_items in SIZES {
                check_input_and_open::<u64>(n_computing, n_items, owner, 1);
                check_input_and_open::<u128>(n_computing, n_items, owner, 2);
            }
        }
        for around in [0, 1, 2] {
            check_input_and_open::<u64>(n_computing, CHUNK_64 - 1 + around, Seat(0), 3);
            check_input_and_open::<u128>(n_computing, CHUNK_128 - 1 + around, Seat(1), 4);
        }
    }
}

/// Around one message of openings, and with the border between the two rings inside a message.
#[test]
fn reveal_returns_the_values_across_messages() {
    const CHUNK_64: usize = 1 << 17;
    const CHUNK_128: usize = 1 << 16;
    let sizes = [
        (CHUNK_64 - 1, 0),
        (CHUNK_64, 0),
        (CHUNK_64 + 1, 0),
        (0, CHUNK_128 - 1),
        (0, CHUNK_128 + 1),
        (3, CHUNK_128 - 1),
        (CHUNK_64 + 5, CHUNK_128 / 2 + 1),
    ];
    for n_computing in SEATS {
        for (n_narrow, n_wide) in sizes {
            let mut prg = prg(n_narrow as u64);
            let narrow: Vec<u64> = random_vec(&mut prg, n_narrow);
            let wide: Vec<u128> = random_vec(&mut prg, n_wide);
            let narrow_shares = parts(share::split(narrow.clone(), n_computing, &mut prg));
            let wide_shares = parts(share::split(wide.clone(), n_computing, &mut prg));
            let receivers = [Seat(1), Seat(0)];
            let ended = World::new(n_computing, 10).run(async |session| {
                let values = Values {
                    narrow: part_of(&narrow_shares, session.seat()),
                    wide: part_of(&wide_shares, session.seat()),
                };
                let terms = Terms::of_values(n_narrow, n_wide, &receivers);
                let disclosure = Disclosure::approved(terms);
                reveal(session, values, &receivers, disclosure).await
            });
            for (seat, revealed) in Seat::first(n_computing).zip(all_ok(ended)) {
                assert_eq!(revealed.is_some(), receivers.contains(&seat));
                assert!(
                    revealed.is_none_or(|r| r.narrow == narrow && r.wide == wide),
                    "{seat}"
                );
            }
        }
    }
}

#[test]
fn an_input_that_does_not_fit_is_refused_before_anything_is_sent() {
    let ended = World::new(2, 5).run(async |session| {
        let two_values = Some(vec![1u64, 2]);
        arith::input(session, session.seat(), two_values, 3)
            .await
            .map(|_| ())
    });
    for ended in ended {
        assert!(ended.outcome.is_err());
        assert_eq!(ended.traffic.rounds, 0);
    }
}

/// Shares of bits for every seat.
fn split_bits(words: &[u64], n_bits: usize, n_seats: usize, prg: &mut Prg) -> Vec<BitShare> {
    let mut rest = BitShare::from_words(n_bits, words.to_vec());
    let mut shares = Vec::new();
    for _ in 1..n_seats {
        let mask = BitShare::from_words(n_bits, random_vec(prg, words.len()));
        rest.xor_assign(&mask);
        shares.push(mask);
    }
    shares.push(rest);
    shares
}

/// Triples for every seat, made in the clear. They come from here and not from a source, so that
/// each of the two can be wrong alone.
fn stocks(n_words: usize, n_seats: usize, prg: &mut Prg) -> Vec<Stock> {
    let a: Vec<u64> = random_vec(prg, n_words);
    let b: Vec<u64> = random_vec(prg, n_words);
    let c: Vec<u64> = a.iter().zip(&b).map(|(a, b)| a & b).collect();
    let mut split = |words: &[u64]| split_bits(words, n_words * 64, n_seats, prg);
    let (a, b, c) = (split(&a), split(&b), split(&c));
    let triples = a.into_iter().zip(b).zip(c);
    triples
        .map(|((a, b), c)| BitTriples::new(a.into_words(), b.into_words(), c.into_words()))
        .map(Stock::from_bit_triples)
        .collect()
}

/// Hands each seat its part of what a test has prepared.
fn part_of<T>(parts: &std::sync::Mutex<Vec<Option<T>>>, seat: Seat) -> T {
    parts.lock().expect("no panic")[seat.index()]
        .take()
        .expect("each seat takes its part once")
}

fn parts<T>(parts: Vec<T>) -> std::sync::Mutex<Vec<Option<T>>> {
    std::sync::Mutex::new(parts.into_iter().map(Some).collect())
}

#[test]
fn and_is_and() {
    const CHUNK_BITS: usize = (1 << 16) * 64;
    for n_computing in SEATS {
        for n_bits in SIZES
            .into_iter()
            .chain([CHUNK_BITS - 1, CHUNK_BITS, CHUNK_BITS + 1])
        {
            let seed = n_bits as u64;
            let mut prg = prg(seed);
            let n_words = bits::words_for(n_bits);
            let mut clear = || {
                let mut words: Vec<u64> = random_vec(&mut prg, n_words);
                bits::clear_tail(&mut words, n_bits);
                words
            };
            let (x, y, z) = (clear(), clear(), clear());
            let mut split = |words: &[u64]| parts(split_bits(words, n_bits, n_computing, &mut prg));
            let shares = [split(&x), split(&y), split(&z)];
            let stocks = parts(stocks(2 * n_words, n_computing, &mut prg));
            let ended = World::new(n_computing, seed).run(async |session| {
                let seat = session.seat();
                let [x, y, z] = shares.each_ref().map(|s| part_of(s, seat));
                let mut stock = part_of(&stocks, seat);
                let products = boolean::and(session, &[(&x, &y), (&y, &z)], &mut stock).await?;
                let mut opened = Vec::new();
                for product in products {
                    opened.push(boolean::open(session, product).await?);
                }
                Ok(opened)
            });
            let and =
                |x: &[u64], y: &[u64]| x.iter().zip(y).map(|(x, y)| x & y).collect::<Vec<_>>();
            for opened in all_ok(ended) {
                assert!(opened == [and(&x, &y), and(&y, &z)], "{n_bits} bits");
            }
        }
    }
}

#[test]
fn private_bits_are_shared_without_change() {
    for n_computing in SEATS {
        let values = |seat: Seat| random_vec::<u64>(&mut prg(u64::from(seat.0)), 130);
        let ended = World::new(n_computing, 6).run(async |session| {
            let mine = to_planes(&values(session.seat()), 3);
            let mut opened = Vec::new();
            for planes in boolean::input_all(session, mine).await {
                for plane in planes {
                    opened.push(boolean::open(session, plane).await?);
                }
            }
            Ok(opened)
        });
        let planes = Seat::first(n_computing).flat_map(|s| to_planes(&values(s), 3));
        let expected: Vec<Vec<u64>> = planes.map(BitShare::into_words).collect();
        for opened in all_ok(ended) {
            assert!(opened == expected);
        }
    }
}

fn check_at_least(
    n_computing: usize,
    counts: &[u64],
    thresholds: &[u64],
    bound_bits: u32,
    seed: u64,
) {
    let mut prg = prg(seed);
    let shares = parts(share::split(counts.to_vec(), n_computing, &mut prg));
    let needs = compare::needs(n_computing, bound_bits, counts.len());
    let stocks = parts(ideal::stocks(n_computing, &needs, seed));
    let ended = World::new(n_computing, seed).run(async |session| {
        let counts: Share<u64> = part_of(&shares, session.seat());
        let mut stock = part_of(&stocks, session.seat());
        let ok = compare::at_least(session, &counts, thresholds, bound_bits, &mut stock).await?;
        boolean::open(session, ok).await
    });
    let expected: Vec<bool> = counts.iter().zip(thresholds).map(|(c, t)| c >= t).collect();
    for opened in all_ok(ended) {
        assert_eq!(
            bits::unpack(&opened, counts.len()),
            expected,
            "bound 2^{bound_bits}"
        );
    }
}

#[test]
fn at_least_is_exact_for_every_small_number() {
    for n_computing in [2, 3, 4, 5, 6] {
        for bound_bits in [1, 2, 3, 4] {
            let bound = 1u64 << bound_bits;
            let all: Vec<(u64, u64)> = (0..bound)
                .flat_map(|c| (0..=bound + 1).map(move |t| (c, t)))
                .collect();
            let (counts, thresholds): (Vec<u64>, Vec<u64>) = all.into_iter().unzip();
            check_at_least(n_computing, &counts, &thresholds, bound_bits, 7);
        }
    }
}

/// Seven to ten operands take one to two levels of carry-save adders more, and leave one or two over at some.
#[test]
fn at_least_is_exact_with_seven_to_ten_seats() {
    for n_computing in 7..=10 {
        for bound_bits in [1, 3, 6, 63] {
            let top = (1u64 << bound_bits) - 1;
            let edges = [0, 1, top / 2, top / 2 + 1, top - 1, top];
            let beyond = [top + 1, u64::MAX];
            let all: Vec<(u64, u64)> = edges
                .into_iter()
                .flat_map(|c| edges.into_iter().chain(beyond).map(move |t| (c, t)))
                .collect();
            let (counts, thresholds): (Vec<u64>, Vec<u64>) = all.into_iter().unzip();
            check_at_least(n_computing, &counts, &thresholds, bound_bits, 9);
        }
    }
}

#[test]
fn release_with_seven_to_ten_seats() {
    for n_computing in 7..=10 {
        for (mode, n_checks) in [
            (CellRule::None, 0),
            (CellRule::Compare, 2),
            (CellRule::OpenCounts, 1),
        ] {
            check_job(&Job::new(n_computing, 65, n_checks, mode, 400));
        }
    }
}

#[test]
fn at_least_is_exact_at_the_borders_of_its_range() {
    for n_computing in SEATS {
        for bound_bits in [5, 20, 31, 32, 33, 62, 63] {
            let top = (1u64 << bound_bits) - 1;
            let edges = [0, 1, 2, 10, 11, 12, top / 2, top / 2 + 1, top - 1, top];
            let beyond = [top + 1, top + 2, u64::MAX];
            let all: Vec<(u64, u64)> = edges
                .into_iter()
                .flat_map(|c| edges.into_iter().chain(beyond).map(move |t| (c, t)))
                .collect();
            let (counts, thresholds): (Vec<u64>, Vec<u64>) = all.into_iter().unzip();
            check_at_least(n_computing, &counts, &thresholds, bound_bits, 8);
        }
    }
}

#[test]
fn at_least_of_random_numbers() {
    for seed in 0..60 {
        let mut prg = prg(seed);
        let n_computing = 2 + prg.next_bounded(4) as usize;
        let bound_bits = 1 + prg.next_bounded(63) as u32;
        let len = prg.next_bounded(300) as usize;
        let mut below = |bound: u64| {
            (0..len)
                .map(|_| prg.next_bounded(bound))
                .collect::<Vec<_>>()
        };
        let counts = below(1 << bound_bits);
        let mut thresholds = below(1 << bound_bits);
        // Random 60-bit numbers are never equal, and equality is where the answer turns.
        for (t, c) in thresholds.iter_mut().zip(&counts).step_by(3) {
            *t = *c;
        }
        check_at_least(n_computing, &counts, &thresholds, bound_bits, seed);
    }
}
