//! Measured rounds, bytes and messages equal the declared ones, at every seat, exactly; and so
//! does the time on a simulated network.

use crate::world::{Ended, Job, World, prg};
use engine::share::Share;
use engine::share::boolean::BitShare;
use protocols::aggregate::{self, CellRule};
use protocols::arith::{self, compare};
use protocols::boolean;
use protocols::correlate::{self, BitPairs, BitTriples, Needs, Source, Stock, dealer};
use protocols::cost::Cost;
use protocols::disclose::{self, Disclosure, Terms, Values, reveal};
use protocols::error::ProtocolError;
use protocols::net::sim::{self, LinkModel};
use protocols::party::Seat;
use protocols::session::Session;

const SEATS: [usize; 3] = [2, 3, 5];

/// Sizes of vectors: nothing, one, a prime, and one chunk of any protocol here, give or take one.
const CHUNK_ITEMS: usize = 1 << 17;

fn sizes() -> impl Iterator<Item = usize> {
    [0, 1, 1009]
        .into_iter()
        .chain(CHUNK_ITEMS - 1..=CHUNK_ITEMS + 1)
}

pub(crate) fn assert_cost<T>(ended: &[Ended<T>], declared: &Cost, what: &str) {
    for (seat, ended) in Seat::first(ended.len()).zip(ended) {
        let at = seat.index();
        assert!(ended.outcome.is_ok(), "{what}, {seat}");
        let measured = &ended.traffic;
        assert_eq!(
            measured.bytes_sent, declared.bytes[at],
            "bytes of {what}, {seat}"
        );
        assert_eq!(
            measured.messages_sent, declared.messages[at],
            "messages of {what}, {seat}"
        );
        let received: Vec<u64> = declared.bytes.iter().map(|to| to[at]).collect();
        assert_eq!(
            measured.bytes_received, received,
            "bytes received of {what}, {seat}"
        );
        let sends_or_receives = declared.messages[at].iter().sum::<u64>()
            + declared.messages.iter().map(|to| to[at]).sum::<u64>();
        let rounds = if sends_or_receives == 0 {
            0
        } else {
            declared.rounds
        };
        assert_eq!(measured.rounds, rounds, "rounds of {what}, {seat}");
    }
}

/// Runs a protocol of computing seats alone on a simulated network and checks its cost and time.
fn check(
    n_computing: usize,
    declared: &Cost,
    what: &str,
    protocol: impl AsyncFn(&mut Session) -> Result<(), ProtocolError>,
) {
    let world = World::new(n_computing, 1).on(sim::network(n_computing, LinkModel::WAN, None));
    let ended = world.run(protocol);
    assert_cost(&ended, declared, what);
    let last = ended.iter().map(|e| e.traffic.time_ns).max().unwrap_or(0);
    let predicted = declared.time_on(LinkModel::WAN).as_nanos() as u64;
    // Each round's transmission is rounded down to a nanosecond on its own.
    let rounding = u64::from(declared.rounds);
    assert!(
        predicted.abs_diff(last) <= rounding,
        "time of {what}: {predicted} against {last}"
    );
}

/// A stock that satisfies its equation because it is all zeros: costs do not look inside.
fn zero_stock(n_words: usize) -> Stock {
    Stock::from_bit_triples(BitTriples::new(
        vec![0; n_words],
        vec![0; n_words],
        vec![0; n_words],
    ))
}

#[test]
fn input_and_zero_sharing_are_free() {
    for n in SEATS {
        check(n, &Cost::none(n), "input", async |session| {
            let values = (session.seat() == Seat(1)).then(|| vec![1u128; 100]);
            arith::input(session, Seat(1), values, 100).await?;
            arith::zero_share::<u64>(session, 100).await;
            boolean::input_all(session, vec![BitShare::zero(100)]).await;
            Ok(())
        });
    }
}

#[test]
fn open_costs_what_it_declares() {
    for n in SEATS {
        for n_items in sizes() {
            check(
                n,
                &arith::open_cost::<u64>(n, n, n_items),
                "open 64",
                async |session| {
                    arith::open(session, Share::<u64>::zero(n_items))
                        .await
                        .map(|_| ())
                },
            );
            check(
                n,
                &arith::open_cost::<u128>(n, n, n_items),
                "open 128",
                async |session| {
                    arith::open(session, Share::<u128>::zero(n_items))
                        .await
                        .map(|_| ())
                },
            );
        }
    }
}

#[test]
fn and_costs_what_it_declares() {
    for n in SEATS {
        for n_words in [0, 1, 13, CHUNK_ITEMS / 2, CHUNK_ITEMS / 2 + 1] {
            check(
                n,
                &boolean::and_cost(n, n, n_words),
                "and",
                async |session| {
                    let mut stock = zero_stock(n_words);
                    let (x, y) = (BitShare::zero(n_words * 64), BitShare::zero(n_words * 64));
                    boolean::and(session, &[(&x, &y)], &mut stock).await?;
                    assert!(stock.left().is_nothing());
                    Ok(())
                },
            );
        }
    }
}

#[test]
fn opening_bits_costs_what_it_declares() {
    for n in SEATS {
        check(
            n,
            &boolean::open_cost(n, n, 2),
            "open bits",
            async |session| boolean::open(session, BitShare::zero(65)).await.map(|_| ()),
        );
    }
}

#[test]
fn at_least_costs_what_it_declares_and_takes_what_it_needs() {
    for n in SEATS {
        for bound_bits in [1, 2, 3, 20, 63] {
            for n_counts in [0, 1, 64, 129] {
                let declared = compare::cost(n, n, bound_bits, n_counts);
                let needs = compare::needs(n, bound_bits, n_counts);
                check(n, &declared, "at_least", async |session| {
                    let mut stock = zero_stock(needs.bit_triple_words());
                    let pairs = needs.bit_pair_words();
                    stock.add_bit_pairs(BitPairs::new([(); 5].map(|()| vec![0; pairs])));
                    let (counts, thresholds) = (Share::zero(n_counts), vec![1; n_counts]);
                    let counts = &counts;
                    compare::at_least(session, counts, &thresholds, bound_bits, &mut stock).await?;
                    assert!(stock.left().is_nothing(), "bound {bound_bits}");
                    Ok(())
                });
            }
        }
    }
}

/// The numbers that the plan shows for a typical job, derived by hand.
#[test]
fn the_shape_of_the_comparison_circuit() {
    // Two seats: 20 generates, then a tree over 20, 10, 5, 3 and 2 groups: two ANDs for every pair,
    // less one for the lowest.
    assert_eq!(compare::levels(2, 20, 64), [20, 19, 9, 3, 1, 1]);
    // Three seats: one carry-save adder first. Five: three of them in three levels.
    assert_eq!(compare::levels(3, 20, 64)[..2], [20, 20]);
    assert_eq!(compare::levels(5, 20, 64)[..4], [20, 20, 20, 20]);
    assert_eq!(compare::levels(2, 1, 65), [2]);
}

#[test]
fn dealing_costs_what_it_declares() {
    for n in SEATS {
        let full = (n as u64) << 16;
        for n_words in [n as u64, 100, full - 1, full, full + 1] {
            let needs = Needs {
                bit_triples: n_words * 64,
                ..Needs::default()
            };
            let source = Source::Dealer {
                seat: Seat::from_index(n),
            };
            let ended = World::with_dealer(n, true, 1).run(async |session| {
                match session.dealer() == Some(session.seat()) {
                    true => dealer::serve(session, &needs).await,
                    false => correlate::preprocess(session, &source, &needs)
                        .await
                        .map(|_| ()),
                }
            });
            assert_cost(&ended, &correlate::cost(&source, n, &needs), "dealing");
        }
    }
}

#[test]
fn reveal_costs_what_it_declares() {
    for n in SEATS {
        let all: Vec<Seat> = Seat::first(n).collect();
        for receivers in [&all[..1], &all[1..2], &all[..]] {
            for (n_narrow, n_wide) in [(0, 0), (1, 0), (0, 1), (3, 5), (1 << 17, 1), (5, 1 << 16)] {
                let declared = disclose::cost(n, n, n_narrow, n_wide, receivers);
                assert_eq!(declared.rounds, 2);
                check(n, &declared, "reveal", async |session| {
                    let values = Values {
                        narrow: Share::zero(n_narrow),
                        wide: Share::zero(n_wide),
                    };
                    let terms = Terms::of_values(n_narrow, n_wide, receivers);
                    let disclosure = Disclosure::approved(terms);
                    reveal(session, values, receivers, disclosure)
                        .await
                        .map(|_| ())
                });
            }
        }
    }
}

#[test]
fn release_costs_what_it_declares() {
    for n in SEATS {
        for cells in [0, 1, 13, 64, 65, 1009] {
            for (mode, n_checks) in [
                (CellRule::None, 0),
                (CellRule::Compare, 1),
                (CellRule::Compare, 3),
                (CellRule::OpenCounts, 2),
            ] {
                let job = Job::new(n, cells, n_checks, mode, 5);
                let declared = aggregate::cost(&job.shape, n, job.source().as_ref());
                let ended = job.run(job.world(), job.inputs());
                if job.has_dealer() {
                    assert_dealer_waits_for_nothing(&ended);
                    let (computing, _) = ended.split_at(n);
                    assert_cost_with_dealer(computing, &declared, &format!("{:?}", job.shape));
                } else {
                    assert_cost(&ended, &declared, &format!("{:?}", job.shape));
                }
            }
        }
    }
}

fn assert_cost_with_dealer<T>(computing: &[Ended<T>], declared: &Cost, what: &str) {
    for (seat, ended) in Seat::first(computing.len()).zip(computing) {
        let measured = &ended.traffic;
        assert_eq!(
            measured.bytes_sent,
            declared.bytes[seat.index()],
            "bytes of {what}, {seat}"
        );
        let received: u64 = measured.bytes_received.iter().sum();
        assert_eq!(
            received,
            declared.bytes_received(seat),
            "bytes received of {what}, {seat}"
        );
        assert_eq!(measured.rounds, declared.rounds, "rounds of {what}, {seat}");
    }
}

/// A dealer only sends, so for it there is one round whatever the others do.
fn assert_dealer_waits_for_nothing<T>(ended: &[Ended<T>]) {
    let dealer = &ended.last().expect("the last seat deals").traffic;
    assert!(dealer.rounds <= 1);
    assert!(dealer.bytes_received.iter().all(|n| *n == 0));
}

#[test]
fn a_release_without_checks_takes_two_rounds() {
    for n in SEATS {
        let job = Job::new(n, 20, 0, CellRule::None, 6);
        assert_eq!(aggregate::cost(&job.shape, n, None).rounds, 2);
        for ended in job.run(job.world(), job.inputs()) {
            assert_eq!(ended.traffic.rounds, 2);
        }
    }
}

#[test]
fn the_time_of_a_release_is_what_its_cost_predicts() {
    for model in [
        LinkModel::LOOPBACK,
        LinkModel::LAN,
        LinkModel::METRO,
        LinkModel::WAN,
    ] {
        for (mode, n_checks) in [(CellRule::None, 0), (CellRule::Compare, 2)] {
            let job = Job::new(3, 500, n_checks, mode, 7);
            let n_seats = job.world().n_seats();
            let world = job.world().on(sim::network(n_seats, model, None));
            let declared = aggregate::cost(&job.shape, 3, job.source().as_ref());
            let ended = job.run(world, job.inputs());
            let last = ended.iter().map(|e| e.traffic.time_ns).max().unwrap_or(0);
            let predicted = declared.time_on(model).as_nanos() as u64;
            let rounding = u64::from(declared.rounds);
            assert!(
                predicted.abs_diff(last) <= rounding,
                "{model:?}: {predicted} against {last}"
            );
        }
    }
}

#[test]
fn a_release_prepares_exactly_what_it_takes() {
    let mut prg = prg(8);
    for _ in 0..20 {
        let n_checks = 1 + prg.next_bounded(4) as usize;
        let cells = prg.next_bounded(300) as usize;
        let job = Job::new(2, cells, n_checks, CellRule::Compare, prg.next_u64());
        let one_too_few = Needs {
            bit_triples: job.needs().bit_triples.saturating_sub(64),
            ..Needs::default()
        };
        if job.needs().is_nothing() {
            continue;
        }
        let ended = World::new(2, 9).run(async |session| {
            let input = job.inputs().swap_remove(session.seat().index());
            let stock = zero_stock(one_too_few.bit_triple_words());
            aggregate::release(session, input, &job.shape, stock, job.disclosure()).await
        });
        for ended in ended {
            let error = ended.outcome.map(|_| ()).expect_err("one word is missing");
            assert!(matches!(error, ProtocolError::OutOfCorrelations { .. }));
            assert_eq!(ended.traffic.rounds, 0, "and nothing was sent");
        }
    }
}
