//! The session: what is sent arrives, rounds are measured, keys are separate, and nothing deadlocks.

use crate::world::{DEADLINE, Job, World, all_ok, block_on, is_pending, run_configs};
use bytes::Bytes;
use engine::prg::Prg;
use engine::share::Share;
use engine::share::boolean::BitShare;
use protocols::aggregate::{self, CellRule};
use protocols::arith::{self, compare};
use protocols::boolean;
use protocols::compute::Compute;
use protocols::correlate::{self, Needs, Source, Stock, dealer};
use protocols::disclose::{Disclosure, Terms, Values, reveal};
use protocols::error::{LinkError, ProtocolError};
use protocols::net::memory;
use protocols::net::record::{Direction, Log};
use protocols::net::sim::{self, LinkModel};
use protocols::oracle;
use protocols::party::Seat;
use protocols::session::{Chunks, Session};
use protocols::shuffle::Shuffler;
use protocols::table::Table;
use protocols::wire::{Kind, Wire, WireError};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A message of these tests: its bytes are what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note(Vec<u8>);

impl Wire for Note {
    const KIND: Kind = Kind::Masked;
    type Shape = usize;

    fn wire_len(len_bytes: usize) -> usize {
        len_bytes
    }

    fn encode(self) -> Bytes {
        Bytes::from(self.0)
    }

    fn decode(_: usize, body: Bytes) -> Result<Self, WireError> {
        Ok(Self(body.to_vec()))
    }
}

fn note(seat: Seat) -> Note {
    Note(vec![seat.0; 3])
}

#[test]
fn exchange_gives_every_seat_all_messages_in_order() {
    for n_computing in [2, 3, 5] {
        let ended = World::new(n_computing, 1)
            .run(async |session| session.exchange(note(session.seat()), 3).await);
        for (seat, received) in all_ok(ended).into_iter().enumerate() {
            let others = Seat::first(n_computing).filter(|s| s.index() != seat);
            let expected: Vec<_> = others.map(|s| (s, note(s))).collect();
            assert_eq!(received, expected);
        }
    }
}

#[test]
fn exchange_each_gives_every_seat_its_own_message() {
    let ended = World::new(4, 2).run(async |session| {
        let me = session.seat().0;
        let messages = session
            .peers()
            .iter()
            .map(|to| Note(vec![me, to.0]))
            .collect();
        session.exchange_each(messages, 2).await
    });
    for (seat, received) in all_ok(ended).into_iter().enumerate() {
        for (from, message) in received {
            assert_eq!(message, Note(vec![from.0, seat as u8]));
        }
    }
}

#[test]
fn broadcast_and_send_reach_whom_they_name() {
    let ended = World::new(3, 3).run(async |session| {
        let me = session.seat();
        let told = session
            .broadcast(Seat(1), (me == Seat(1)).then(|| note(me)), 3)
            .await?;
        let passed = match me {
            Seat(0) => session.send(Seat(2), note(me)).await.map(|()| None)?,
            Seat(2) => Some(session.recv::<Note>(Seat(0), 3).await?),
            _ => None,
        };
        Ok((told, passed))
    });
    let expected = [
        (Some(note(Seat(1))), None),
        (None, None),
        (Some(note(Seat(1))), Some(note(Seat(0)))),
    ];
    assert_eq!(all_ok(ended), expected);
}

#[test]
fn rounds_are_causal_depth_and_bytes_are_counted() {
    let ended = World::new(2, 4).run(async |session| {
        session.exchange(note(session.seat()), 3).await?;
        // Two messages one way are one step: the second does not wait for an answer.
        match session.seat() {
            Seat(0) => {
                session.send(Seat(1), Note(vec![0; 10])).await?;
                session.send(Seat(1), Note(vec![0; 20])).await
            }
            _ => {
                session.recv::<Note>(Seat(0), 10).await?;
                session.recv::<Note>(Seat(0), 20).await.map(|_| ())
            }
        }
    });
    for (seat, ended) in ended.into_iter().enumerate() {
        let traffic = ended.traffic;
        assert_eq!(traffic.rounds, 2, "seat {seat}");
        let (sent, received) = if seat == 0 { (33, 3) } else { (3, 33) };
        assert_eq!(traffic.bytes_sent.iter().sum::<u64>(), sent);
        assert_eq!(traffic.bytes_received.iter().sum::<u64>(), received);
        let (sent, received) = if seat == 0 { (3, 1) } else { (1, 3) };
        assert_eq!(traffic.messages_sent.iter().sum::<u64>(), sent);
        assert_eq!(traffic.messages_received.iter().sum::<u64>(), received);
    }
}

async fn rounds(session: &mut Session, n_rounds: usize) -> Result<(), ProtocolError> {
    for _ in 0..n_rounds {
        session.exchange(note(session.seat()), 3).await?;
    }
    Ok(())
}

#[test]
fn the_rounds_of_joined_protocols_overlap() {
    let model = LinkModel::WAN;
    let world = World::new(3, 5).on(sim::network(3, model, None));
    let ended = world.run(async |session| {
        rounds(session, 1).await?;
        session
            .join(
                ("left", async |s: &mut Session| rounds(s, 2).await),
                ("right", async |s: &mut Session| rounds(s, 5).await),
            )
            .await?;
        rounds(session, 1).await?;
        session.within("step", async |s| rounds(s, 2).await).await
    });
    for ended in ended {
        ended.outcome.expect("every seat ends well");
        assert_eq!(ended.traffic.rounds, 1 + 5 + 1 + 2);
        let delays = Duration::from_nanos(ended.traffic.time_ns).as_millis() / 40;
        assert_eq!(delays, 9, "nine delays of 40 ms");
    }
}

/// Links that hold one frame, vectors of many chunks, five seats, and two of them at once.
#[test]
fn bulk_exchanges_do_not_deadlock_on_tiny_windows() {
    const N_ITEMS: usize = 1000;
    async fn bulk(session: &mut Session) -> Result<usize, ProtocolError> {
        let mut n_received = 0;
        let chunks = Chunks {
            n_items: N_ITEMS,
            chunk_items: 7,
        };
        let n_made = AtomicUsize::new(0);
        let make = |items: Range<usize>| {
            n_made.store(items.end, Ordering::Relaxed);
            Note(vec![1; items.len()])
        };
        let take = |_, items: Range<usize>, message: Note| {
            assert_eq!(message.0.len(), items.len());
            assert!(
                items.end <= n_made.load(Ordering::Relaxed),
                "taken before it is made"
            );
            n_received += items.len();
            Ok(())
        };
        session.exchange_chunks(chunks, make, take).await?;
        Ok(n_received)
    }
    let world = World::new(5, 6).on(memory::network_with_capacity(5, 1));
    let ended = world.run(async |session| {
        let one = bulk(session).await?;
        let left = ("left", async |s: &mut Session| bulk(s).await);
        let right = ("right", async |s: &mut Session| bulk(s).await);
        let (two, three) = session.join(left, right).await?;
        Ok([one, two, three])
    });
    for received in all_ok(ended) {
        assert_eq!(received, [4 * N_ITEMS; 3]);
    }
}

/// Seat 0 cannot send to seat 2, which is slow to read, while seat 1 sends it everything at once: a
/// chunk is taken only after the chunk of the same number was made.
#[test]
fn no_chunk_is_taken_before_its_own_is_made() {
    const CHUNKS: Chunks = Chunks {
        n_items: 10,
        chunk_items: 1,
    };
    let world = World::new(3, 6).on(memory::network_with_capacity(3, 1));
    let ended = world.run(async |session| {
        let n_made = AtomicUsize::new(0);
        let make = |items: Range<usize>| {
            n_made.store(items.end, Ordering::Relaxed);
            Note(vec![1])
        };
        let take = |_, items: Range<usize>, _: Note| {
            assert!(
                items.end <= n_made.load(Ordering::Relaxed),
                "chunk {items:?}"
            );
            Ok(())
        };
        match session.seat() {
            Seat(0) => {
                session
                    .round_chunks(&[Seat(2)], &[Seat(1)], CHUNKS, make, take)
                    .await
            }
            Seat(1) => {
                session
                    .round_chunks(&[Seat(0)], &[], CHUNKS, make, take)
                    .await
            }
            _ => {
                for _ in 0..CHUNKS.count() {
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    session.recv::<Note>(Seat(0), 1).await?;
                }
                Ok(())
            }
        }
    });
    all_ok(ended);
}

#[test]
fn chunks_cover_a_vector_once() {
    for n_items in 0..40 {
        for chunk_items in 1..12 {
            let chunks = Chunks {
                n_items,
                chunk_items,
            };
            let ranges: Vec<_> = (0..chunks.count()).map(|k| chunks.range(k)).collect();
            let covered: Vec<usize> = ranges.iter().cloned().flatten().collect();
            assert_eq!(covered, (0..n_items).collect::<Vec<_>>());
            assert!(n_items == 0 || ranges.iter().all(|r| !r.is_empty()));
            assert!(chunks.count() >= 1);
        }
    }
}

/// First bytes of a seed's stream, to compare seeds by.
fn fingerprint(seed: engine::prg::Seed) -> u64 {
    Prg::new(&seed, 0).next_u64()
}

/// Every key that the seats of a world derive, in a fixed order.
fn derived_keys(n_computing: usize, seed: u64) -> Vec<Vec<u64>> {
    let ended = World::new(n_computing, seed).run(async |session| {
        async fn keys(session: &mut Session) -> Vec<u64> {
            let me = session.seat();
            let mut keys = vec![
                fingerprint(session.own_seed("a")),
                fingerprint(session.own_seed("a")),
                fingerprint(session.own_seed("b")),
            ];
            for peer in session.peers() {
                for purpose in ["a", "a", "b"] {
                    let (low, high) = (me.min(peer), me.max(peer));
                    keys.push(fingerprint(session.pair_seed(low, high, purpose)));
                    keys.push(fingerprint(session.pair_seed(high, low, purpose)));
                }
            }
            keys
        }
        let mut all = keys(session).await;
        for label in ["x", "x", "y"] {
            all.extend(session.within(label, async |s| Ok(keys(s).await)).await?);
        }
        Ok(all)
    });
    all_ok(ended)
}

#[test]
fn keys_are_shared_by_their_pair_and_differ_everywhere_else() {
    let seats = derived_keys(3, 7);
    let n_pair_keys: usize = seats.iter().map(|k| k.len() - 4 * 3).sum();
    let mut all: Vec<u64> = seats.concat();
    let n_all = all.len();
    all.sort_unstable();
    let runs: Vec<usize> = all.chunk_by(|a, b| a == b).map(<[u64]>::len).collect();
    assert!(
        runs.iter().all(|n| *n <= 2),
        "no key is derived in two places"
    );
    let n_shared = runs.iter().filter(|n| **n == 2).count();
    assert_eq!(
        2 * n_shared,
        n_pair_keys,
        "both ends of a pair derive the same key"
    );
    assert_eq!(runs.len(), n_all - n_shared);
}

/// The same roots, as if a party had not made fresh ones: the session's identifier alone must be
/// enough to separate two runs.
#[test]
fn another_session_identifier_gives_other_keys() {
    let keys = |id: u8| {
        let mut configs = World::new(2, 8).configs();
        for config in &mut configs {
            config.session_id = [id; 32];
        }
        let ended = run_configs(configs, async |session| {
            let own = fingerprint(session.own_seed("a"));
            Ok([own, fingerprint(session.pair_seed(Seat(0), Seat(1), "a"))])
        });
        all_ok(ended).concat()
    };
    let (one, two) = (keys(1), keys(2));
    assert!(one.iter().all(|key| !two.contains(key)));
}

#[test]
fn another_session_has_other_keys() {
    let one = derived_keys(2, 8).concat();
    let two = derived_keys(2, 9).concat();
    assert!(one.iter().all(|key| !two.contains(key)));
    assert_eq!(
        derived_keys(2, 8).concat(),
        one,
        "and the same seed replays"
    );
}

#[test]
fn a_wrong_length_or_kind_is_the_senders_fault() {
    let ended = World::new(2, 10).run(async |session| match session.seat() {
        Seat(0) => session.send(Seat(1), Note(vec![0; 4])).await.map(|()| None),
        _ => session.recv::<Note>(Seat(0), 5).await.map(Some),
    });
    let error = ended
        .into_iter()
        .nth(1)
        .expect("two seats")
        .outcome
        .expect_err("4 is not 5");
    assert!(
        matches!(error, ProtocolError::PeerMisbehaved { seat: Seat(0), .. }),
        "{error}"
    );
    assert_eq!(error.culprit(), Some(Seat(0)));
}

#[test]
fn a_seat_that_stops_is_named_by_all_others() {
    let ended = World::new(3, 11).run(async |session| {
        rounds(session, 1).await?;
        if session.seat() == Seat(1) {
            return Err(ProtocolError::CheckFailed {
                what: "something local",
            });
        }
        rounds(session, 1).await
    });
    for (seat, ended) in ended.into_iter().enumerate().filter(|(seat, _)| *seat != 1) {
        let error = ended.outcome.expect_err("seat 1 has stopped");
        assert_eq!(error.culprit(), Some(Seat(1)), "seat {seat}: {error}");
        assert!(matches!(
            error,
            ProtocolError::Link {
                cause: LinkError::Closed,
                ..
            }
        ));
    }
}

#[test]
fn nothing_follows_an_error() {
    let ended = World::new(2, 12).run(async |session| {
        let outcome = session
            .exchange(Note(vec![0; 3 + session.seat().index()]), 3)
            .await;
        let again = session.exchange(note(session.seat()), 3).await;
        Ok((outcome.map(|_| ()), again.map(|_| ())))
    });
    let outcomes = all_ok(ended);
    let ended_here = |e: &ProtocolError| {
        matches!(
            e,
            ProtocolError::Link {
                cause: LinkError::Ended,
                ..
            }
        )
    };
    let (first, second) = &outcomes[0];
    assert!(matches!(
        first,
        Err(ProtocolError::PeerMisbehaved { seat: Seat(1), .. })
    ));
    assert!(second.as_ref().is_err_and(ended_here), "{second:?}");
}

#[test]
fn an_error_in_one_of_two_joined_protocols_ends_both() {
    let ended = World::new(2, 13).run(async |session| {
        let stop = Err(ProtocolError::CheckFailed { what: "left" });
        session
            .join(
                ("left", async |s: &mut Session| {
                    rounds(s, 1).await?;
                    if s.seat() == Seat(0) {
                        stop
                    } else {
                        rounds(s, 5).await
                    }
                }),
                ("right", async |s: &mut Session| rounds(s, 50).await),
            )
            .await
    });
    let outcomes: Vec<_> = ended.into_iter().map(|e| e.outcome.map(|_| ())).collect();
    assert_eq!(
        outcomes[0],
        Err(ProtocolError::CheckFailed { what: "left" })
    );
    assert!(matches!(
        outcomes[1],
        Err(ProtocolError::Link { seat: Seat(0), .. })
    ));
}

#[test]
fn an_operation_that_was_abandoned_ends_the_session() {
    let ended = World::new(2, 14).run(async |session| {
        if session.seat() == Seat(1) {
            return session.recv::<Note>(Seat(0), 3).await.map(|_| ());
        }
        let abandoned = session.recv::<Note>(Seat(1), 3);
        assert!(is_pending(abandoned).await, "nothing comes");
        session.send(Seat(1), note(Seat(0))).await
    });
    let outcomes: Vec<_> = ended.into_iter().map(|e| e.outcome).collect();
    assert!(matches!(
        outcomes[0],
        Err(ProtocolError::Link {
            cause: LinkError::Ended,
            ..
        })
    ));
    assert!(matches!(
        outcomes[1],
        Err(ProtocolError::Link {
            cause: LinkError::Closed,
            ..
        })
    ));
}

/// The links of a sub-protocol are gone with it, so its parent cannot go on either: a peer would take what it
/// says for what comes after a sub-protocol that was completed.
#[test]
fn a_sub_protocol_that_was_abandoned_ends_its_parent() {
    for joined in [false, true] {
        let ended = World::new(2, 17).run(async |session| {
            if session.seat() == Seat(1) {
                return session.recv::<Note>(Seat(0), 3).await.map(|_| ());
            }
            let wait = async |s: &mut Session| s.recv::<Note>(Seat(1), 3).await;
            let waits = if joined {
                is_pending(session.join(("left", wait), ("right", wait))).await
            } else {
                let inner = async |s: &mut Session| s.within("inner", wait).await;
                is_pending(session.within("outer", inner)).await
            };
            assert!(waits, "nothing comes");
            session.send(Seat(1), note(Seat(0))).await
        });
        let outcomes: Vec<_> = ended.into_iter().map(|e| e.outcome).collect();
        let causes = [LinkError::Ended, LinkError::Closed];
        for (outcome, expected) in outcomes.into_iter().zip(causes) {
            let Err(ProtocolError::Link { cause, .. }) = outcome else {
                panic!("joined: {joined}, {outcome:?}");
            };
            assert_eq!(cause, expected, "joined: {joined}");
        }
    }
}

/// Peers that wait on the parent's own links hear of it at once, and not when the parent is used again.
#[test]
fn an_abandoned_sub_protocol_closes_the_links_of_its_parent_at_once() {
    let is_over = AtomicBool::new(false);
    let ended = World::new(2, 18).run(async |session| {
        session.exchange(note(session.seat()), 3).await?;
        if session.seat() == Seat(1) {
            let outcome = session.recv::<Note>(Seat(0), 3).await;
            is_over.store(true, Ordering::Relaxed);
            return outcome.map(|_| ());
        }
        let wait = async |s: &mut Session| s.recv::<Note>(Seat(1), 3).await;
        assert!(is_pending(session.within("step", wait)).await);
        // This session lives on until seat 1 has heard of it.
        while !is_over.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        Ok(())
    });
    let last = ended.into_iter().nth(1).expect("two seats").outcome;
    assert!(
        matches!(
            last,
            Err(ProtocolError::Link {
                cause: LinkError::Closed,
                ..
            })
        ),
        "{last:?}"
    );
}

/// Runs `protocol`, which fails at both seats, and checks that the session has ended with it.
fn fails_for_good(what: &str, protocol: impl AsyncFn(&mut Session) -> Result<(), ProtocolError>) {
    let ended = World::new(2, 19).run(async |session| {
        let error = protocol(session).await.expect_err(what);
        let to = if session.seat() == Seat(0) {
            Seat(1)
        } else {
            Seat(0)
        };
        Ok((error, session.send(to, note(session.seat())).await))
    });
    for (error, after) in all_ok(ended) {
        let is_own = !matches!(error, ProtocolError::Link { .. });
        assert!(is_own, "{what} fails for a reason of its own: {error}");
        let is_ended = matches!(
            after,
            Err(ProtocolError::Link {
                cause: LinkError::Ended,
                ..
            })
        );
        assert!(is_ended, "{what}: {after:?} after {error}");
    }
}

/// A protocol that stops for a reason of its own has left the others waiting: it has to close its links, whatever
/// the caller does with the error.
#[test]
fn every_protocol_that_fails_ends_its_session() {
    fails_for_good("an input without values", async |s| {
        let seat = s.seat();
        arith::input::<u64>(s, seat, None, 1).await.map(|_| ())
    });
    fails_for_good("a count without a bound", async |s| {
        let counts = Share::<u64>::zero(1);
        let bound = compare::MAX_BOUND_BITS + 1;
        let stock = &mut Stock::empty();
        let ok = compare::at_least(s, &counts, &[1], bound, stock).await;
        ok.map(|_| ())
    });
    fails_for_good("a comparison without triples", async |s| {
        let counts = Share::<u64>::zero(1);
        let stock = &mut Stock::empty();
        let ok = compare::at_least(s, &counts, &[1], 3, stock).await;
        ok.map(|_| ())
    });
    fails_for_good("an AND without triples", async |s| {
        let bits = BitShare::zero(1);
        let product = boolean::and(s, &[(&bits, &bits)], &mut Stock::empty()).await;
        product.map(|_| ())
    });
    fails_for_good("bits without values", async |s| {
        let seat = s.seat();
        let shares = boolean::input(s, seat, None, vec![1]).await;
        shares.map(|_| ())
    });
    fails_for_good("a shuffle without permutations", async |s| {
        let keys = vec![BitShare::zero(2)];
        let table = Table::new(2, &keys, &[], Vec::new(), Vec::new());
        let mut shuffler = Shuffler::new(s).await?;
        let shuffled = shuffler.shuffle(s, table, &mut Stock::empty()).await;
        shuffled.map(|_| ())
    });
    fails_for_good("a dealer that is none", async |s| {
        dealer::serve(s, &Needs::default()).await
    });
    let excessive = Needs {
        bit_triples: 1 << 50,
        ..Needs::default()
    };
    fails_for_good("more triples than there are", async |s| {
        let stock = correlate::preprocess(s, &Source::Ot, &excessive).await;
        stock.map(|_| ())
    });
    fails_for_good("a reveal of something else", async |s| {
        let values = Values {
            narrow: Share::zero(2),
            wide: Share::zero(0),
        };
        let approved = Disclosure::approved(Terms::of_values(1, 0, &[Seat(0)]));
        reveal(s, values, &[Seat(0)], approved).await.map(|_| ())
    });
    fails_for_good("a release of another shape", async |s| {
        let job = Job::new(2, 4, 0, CellRule::None, 19);
        let mut other = job.shape.clone();
        other.cells = 5;
        let approved = Disclosure::approved(other.terms());
        let input = job.inputs().swap_remove(s.seat().index());
        let released = aggregate::release(s, input, &job.shape, Stock::empty(), approved).await;
        released.map(|_| ())
    });
}

/// All frames of a seat, without the stamps' times.
fn messages(log: &Log) -> Vec<(Direction, Seat, u64, u32, Bytes)> {
    let entries = log.transcript().into_iter();
    let mut all: Vec<_> = entries
        .map(|e| {
            (
                e.direction,
                e.peer,
                e.path.0,
                e.frame.stamp.depth,
                e.frame.body,
            )
        })
        .collect();
    all.sort();
    all
}

#[test]
fn kernels_give_the_same_messages_inline_and_on_the_pool() {
    for (mode, n_checks) in [
        (CellRule::None, 0),
        (CellRule::Compare, 2),
        (CellRule::OpenCounts, 1),
    ] {
        let job = Job::new(3, 300, n_checks, mode, 15);
        let run = |world: World| {
            let world = world.recorded();
            let logs = world.logs();
            let released = all_ok(job.run(world, job.inputs())).swap_remove(0);
            (released, logs.iter().map(messages).collect::<Vec<_>>())
        };
        let inline = run(job.world());
        let pooled = run(job.world().pooled());
        assert!(
            inline == pooled,
            "the pool changes nothing that can be seen"
        );
    }
}

#[test]
fn a_panic_in_a_kernel_reaches_who_waits_for_it() {
    block_on(async {
        let waiting = tokio::spawn(Compute::Pool.run(|| -> u64 { panic!("a kernel's mistake") }));
        assert!(waiting.await.expect_err("the panic continues").is_panic());
        assert_eq!(Compute::Pool.run(|| 7).await, 7, "the pool lives on");
    });
}

/// The agent runs sessions as tasks on a runtime with several threads.
#[test]
fn sessions_run_as_tasks_on_several_threads() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    let job = Arc::new(Job::new(3, 1009, 2, CellRule::Compare, 16));
    let expected = oracle::release(&job.inputs(), &job.shape);
    let at_seat = |config| {
        let job = job.clone();
        let mut session = Session::new(config);
        let seat = session.seat().index();
        let input = (seat < 3).then(|| job.inputs().swap_remove(seat));
        runtime.spawn(async move { job.at_seat(&mut session, input).await })
    };
    let tasks: Vec<_> = job
        .world()
        .pooled()
        .configs()
        .into_iter()
        .map(at_seat)
        .collect();
    let mut released = Vec::new();
    for task in tasks {
        let ended = runtime.block_on(async { tokio::time::timeout(DEADLINE, task).await });
        released.push(
            ended
                .expect("no hang")
                .expect("no panic")
                .expect("a result"),
        );
    }
    assert!(released.swap_remove(0).is_some_and(|r| r == expected));
}
