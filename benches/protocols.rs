//! Protocols on a network in memory, without sockets.
//!
//! Identifiers are `protocols/operation/parameters`. `one-party` runs a single seat against the
//! recorded messages of the others: that is what a party's machine does, and a small machine can
//! measure it without sharing its cores among all parties. `all-parties` runs every seat on one
//! thread. Network time is not in here: `Cost::time_on` computes it.
//!
//! `preprocess` makes correlations for two holders, kind by kind: `dealer` and `ot` are the sources,
//! elements are items (bits for bit triples, multiplications for a matrix product). With a dealer,
//! `dealer` in place of `one-party` is the dealer alone.
//!
//! Vectors come in the sizes of `kernels`. Releases are tables of one count, three narrow and four
//! wide columns (96 bytes a cell) among three holders; with `compare` the counts are compared on
//! shares and a dealer makes the triples. All seeds derive from [`SEED`].

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use engine::curve::Group;
use engine::curve::montgomery::Montgomery;
use engine::curve::ristretto::Ristretto;
use engine::prg::{Prg, Seed};
use engine::ring::Ring;
use engine::share::Share;
use protocols::aggregate::{self, CellRule, Check, LocalTotals, ReleaseShape, Released};
use protocols::arith;
use protocols::compute::Compute;
use protocols::correlate::{
    self, MatrixShape, Needs, PermutationNeed, RingNeeds, Source, Stock, dealer,
};
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::join;
use protocols::lookup::table::SealedTable;
use protocols::lookup::{self, listed};
use protocols::net::Network;
use protocols::net::memory;
use protocols::net::record::{Recorder, Replay, Transcript};
use protocols::party::Seat;
use protocols::price::Seats;
use protocols::psi::ecdh::{
    self, Common, InOrder, ItemSource, Learns, Shape, Shuffled, Spilled, Stores,
};
use protocols::psi::tags::MemoryStore;
use protocols::psi::{Item, circuit, many, vole};
use protocols::session::{Session, SessionConfig, insecure_configs};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// The one seed of this suite.
const SEED: [u8; 32] = *b"entente benches: protocols, seed";

/// Name and bytes of a vector.
const SIZES: [(&str, usize); 3] = [("l2", 256 << 10), ("ram", 64 << 20), ("large", 256 << 20)];

/// Holders of the releases.
const N_HOLDERS: usize = 3;

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(2));
    group
}

fn vector<R: Ring>(n_items: usize, stream: u64) -> Vec<R> {
    let mut values = vec![R::ZERO; n_items];
    Prg::new(&Seed::from_bytes(SEED), stream).fill_ring(&mut values);
    values
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

fn configs(networks: Vec<impl Network + 'static>, has_dealer: bool) -> Vec<SessionConfig> {
    insecure_configs(
        &Seed::from_bytes(SEED),
        networks,
        has_dealer,
        Compute::Inline,
    )
}

/// Seat 0 of a session of `n_seats`, whose peers are a transcript.
fn alone(transcript: &Transcript, n_seats: usize, has_dealer: bool) -> Session {
    let networks = (0..n_seats).map(|_| Replay::new(transcript)).collect();
    Session::new(configs(networks, has_dealer).swap_remove(0))
}

/// Runs all seats on one thread, each from what was prepared for it. Returns what seat 0 got.
fn together<P, T, F>(seats: Vec<P>, protocol: impl Fn(P) -> F) -> T
where
    T: Send + 'static,
    F: Future<Output = Result<T, ProtocolError>> + Send + 'static,
{
    all_together(seats, protocol).swap_remove(0)
}

/// The same; returns what each seat got.
fn all_together<P, T, F>(seats: Vec<P>, protocol: impl Fn(P) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ProtocolError>> + Send + 'static,
{
    block_on(async {
        let tasks: Vec<_> = seats
            .into_iter()
            .map(|seat| tokio::spawn(protocol(seat)))
            .collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.expect("no panic").expect("a result"));
        }
        results
    })
}

fn sessions(n_seats: usize, has_dealer: bool) -> Vec<Session> {
    configs(memory::network(n_seats), has_dealer)
        .into_iter()
        .map(Session::new)
        .collect()
}

/// Runs every seat and returns seat 0's transcript.
fn recorded<T, F>(n_seats: usize, has_dealer: bool, protocol: impl Fn(Session) -> F) -> Transcript
where
    T: Send + 'static,
    F: Future<Output = Result<T, ProtocolError>> + Send + 'static,
{
    let recorders = memory::network(n_seats)
        .into_iter()
        .map(|n| Recorder::new(Arc::new(n)));
    let (networks, logs): (Vec<_>, Vec<_>) = recorders.unzip();
    let sessions = configs(networks, has_dealer)
        .into_iter()
        .map(Session::new)
        .collect();
    together(sessions, protocol);
    logs[0].transcript()
}

/// Sharing a vector of one's own among three seats. Nothing is sent.
fn share(criterion: &mut Criterion) {
    let mut group = group(criterion, "protocols/share");
    for (size, bytes) in SIZES {
        let values: Vec<u64> = vector(bytes / 8, 0);
        let mut session = alone(&Transcript::new(), 3, false);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("u64-3-seats/one-party/{size}"), |bench| {
            bench.iter_batched(
                || values.clone(),
                |own| block_on(arith::input(&mut session, Seat(0), Some(own), values.len())),
                BatchSize::PerIteration,
            );
        });
    }
}

/// A session of two, each with a share of a vector of this many bytes.
fn with_shares(sessions: Vec<Session>, bytes: usize) -> Vec<(Session, Share<u64>)> {
    let share = |seat: Seat| Share::new(vector(bytes / 8, u64::from(seat.0)));
    sessions
        .into_iter()
        .map(|s| (share(s.seat()), s))
        .map(|(share, s)| (s, share))
        .collect()
}

/// Opening a vector of this many bytes between two seats.
fn open(criterion: &mut Criterion) {
    let mut group = group(criterion, "protocols/open");
    for (size, bytes) in SIZES {
        group.throughput(Throughput::Bytes(bytes as u64));
        let open = async |(mut session, share): (Session, Share<u64>)| {
            arith::open(&mut session, share).await
        };
        group.bench_function(format!("u64-2-seats/all-parties/{size}"), |bench| {
            bench.iter_batched(
                || with_shares(sessions(2, false), bytes),
                |seats| together(seats, open),
                BatchSize::PerIteration,
            );
        });
        let transcript = recorded(2, false, |session: Session| {
            let (session, share) = with_shares(vec![session], bytes).swap_remove(0);
            open((session, share))
        });
        group.bench_function(format!("u64-2-seats/one-party/{size}"), |bench| {
            bench.iter_batched(
                || with_shares(vec![alone(&transcript, 2, false)], bytes),
                |mut seat| block_on(open(seat.swap_remove(0))),
                BatchSize::PerIteration,
            );
        });
    }
}

fn release_shape(cells: usize, mode: CellRule) -> ReleaseShape {
    let check = Check {
        column: 0,
        at_least: 11,
        bound_bits: 21,
    };
    ReleaseShape {
        cells,
        narrow: 4,
        compared: 0,
        wide: 4,
        checks: if mode == CellRule::Compare {
            vec![check]
        } else {
            vec![]
        },
        receivers: vec![Seat(0)],
        mode,
    }
}

/// Counts from 0 to 7 a holder, so that about half of the cells pass.
fn totals(shape: &ReleaseShape, seat: Seat) -> LocalTotals {
    let column = |c: usize| 8 * u64::from(seat.0) + c as u64;
    let mut narrow: Vec<Vec<u64>> = (0..shape.narrow)
        .map(|c| vector(shape.cells, column(c)))
        .collect();
    for count in &mut narrow[0] {
        *count %= 8;
    }
    let wide = (0..shape.wide)
        .map(|c| vector(shape.cells, 100 + column(c)))
        .collect();
    LocalTotals { narrow, wide }
}

/// Preparation and release at a holder, or dealing.
async fn release_at(
    mut session: Session,
    shape: ReleaseShape,
    input: Option<LocalTotals>,
) -> Result<Option<Released>, ProtocolError> {
    let needs = aggregate::needs(&shape, Seats::of(&session));
    let Some(input) = input else {
        return dealer::serve(&mut session, &needs).await.map(|()| None);
    };
    let stock = match session.dealer() {
        Some(seat) => correlate::preprocess(&mut session, &Source::Dealer { seat }, &needs).await?,
        None => Stock::empty(),
    };
    let disclosure = Disclosure::approved(shape.terms());
    aggregate::release(&mut session, input, &shape, stock, disclosure).await
}

fn release(criterion: &mut Criterion) {
    let mut group = group(criterion, "protocols/release");
    for (name, mode) in [("sum", CellRule::None), ("compare", CellRule::Compare)] {
        for cells in [20, 10_000, 1_000_000] {
            let shape = release_shape(cells, mode);
            let has_dealer = mode == CellRule::Compare;
            let n_seats = N_HOLDERS + usize::from(has_dealer);
            group.throughput(Throughput::Elements(cells as u64));
            let run = |session: Session| {
                let seat = session.seat();
                let input = (seat.index() < N_HOLDERS).then(|| totals(&shape, seat));
                release_at(session, shape.clone(), input)
            };
            let transcript = recorded(n_seats, has_dealer, run);
            group.bench_function(format!("{name}-3-seats/one-party/{cells}"), |bench| {
                bench.iter_batched(
                    || {
                        (
                            alone(&transcript, n_seats, has_dealer),
                            totals(&shape, Seat(0)),
                        )
                    },
                    |(session, input)| block_on(release_at(session, shape.clone(), Some(input))),
                    BatchSize::PerIteration,
                );
            });
        }
    }
}

/// Both parties of an intersection of two sets of one size, half of which is common, on all cores.
/// Throughput counts the items of one set.
fn intersections<G: Group>(criterion: &mut Criterion, name: &str, log_sizes: [u32; 3]) {
    let mut group = group(criterion, "psi");
    for log_n in log_sizes {
        let n = 1u128 << log_n;
        let set = |first: u128| {
            (first..first + n)
                .map(u128::to_le_bytes)
                .collect::<Vec<Item>>()
        };
        let sets = [set(0), set(n / 2)];
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("ecdh-{name}/all-parties/2^{log_n}"), |bench| {
            bench.iter(|| {
                let seats = pooled(2).into_iter().zip(sets.clone()).collect();
                assert!(together(seats, intersect::<G>) == Some(Common::Count(n as u64 / 2)));
            });
        });
    }
}

fn pooled(n_seats: usize) -> Vec<Session> {
    let networks = memory::network(n_seats);
    let seed = Seed::from_bytes(SEED);
    let configs = insecure_configs(&seed, networks, false, Compute::Pool);
    configs.into_iter().map(Session::new).collect()
}

async fn intersect<G: Group>(
    (mut session, items): (Session, Vec<Item>),
) -> Result<Option<Common>, ProtocolError> {
    let shape = Shape {
        receiver: Seat(0),
        sender: Seat(1),
        n_receiver: items.len(),
        n_sender: items.len(),
        learns: Learns::Count,
    };
    if session.seat() == shape.receiver {
        let (items, stores) = (InOrder::new(items), Stores::in_memory());
        let common = ecdh::receive::<G>(&mut session, &shape, items, stores);
        return common.await.map(Some);
    }
    let items = Shuffled::new(items, &Seed::from_bytes(SEED));
    let store = Box::new(MemoryStore::default());
    ecdh::send::<G>(&mut session, &shape, items, store).await?;
    Ok(None)
}

fn intersection(criterion: &mut Criterion) {
    intersections::<Montgomery>(criterion, "curve25519", [12, 14, 16]);
    intersections::<Ristretto>(criterion, "ristretto255", [10, 12, 14]);
}

/// A kind of correlation: what is needed, and how many items that is.
struct Kind {
    name: &'static str,
    needs: Needs,
    n_items: u64,
}

/// Needs of every kind: as many bits, ring elements and rows as `log_bits`, `log_elements` and
/// `log_rows` say, and a product of matrices of this size.
fn kinds(log_bits: u32, log_elements: u32, log_rows: u32, matrix: usize) -> Vec<Kind> {
    let (n_bits, n) = (1 << log_bits, 1 << log_elements);
    let ring = |name, change: fn(&mut RingNeeds, u64)| {
        let mut needs = Needs::default();
        change(&mut needs.ring64, n);
        let n_items = n;
        Kind {
            name,
            needs,
            n_items,
        }
    };
    let mut product = Needs::default();
    product.ring64.matrices = vec![MatrixShape {
        m: matrix,
        k: matrix,
        n: matrix,
    }];
    let rows = Needs {
        permutations: vec![PermutationNeed {
            n_rows: 1 << log_rows,
            n_words: 1,
            n_ring64: 1,
            n_ring128: 0,
            owner: Seat(0),
        }],
        ..Needs::default()
    };
    let other = |name, needs, n_items| Kind {
        name,
        needs,
        n_items,
    };
    vec![
        other(
            "bit-triples",
            Needs::of_bit_triple_words(1 << (log_bits - 6)),
            n_bits,
        ),
        other(
            "bit-pairs",
            Needs::of_bit_pair_words(1 << (log_bits - 6)),
            n_bits,
        ),
        ring("triples", |ring, n| ring.triples = n),
        ring("dabits", |ring, n| ring.dabits = n),
        ring("edabits", |ring, n| ring.edabits = n),
        ring("truncs-16", |ring, n| ring.truncs = [(16, n)].into()),
        ring("muxes", |ring, n| ring.muxes = n),
        other("matrix", product, matrix.pow(3) as u64),
        other("permutation-2-words", rows, 1 << log_rows),
    ]
}

/// Preparation at a holder, or dealing. The stock is dropped, and wiped, in the measured time.
async fn prepare_at(mut session: Session, needs: Needs) -> Result<(), ProtocolError> {
    let dealer = session.dealer();
    if dealer == Some(session.seat()) {
        return dealer::serve(&mut session, &needs).await;
    }
    let source = dealer.map_or(Source::Ot, |seat| Source::Dealer { seat });
    let stock = correlate::preprocess(&mut session, &source, &needs).await;
    stock.map(drop)
}

fn preprocess(criterion: &mut Criterion) {
    let mut group = group(criterion, "protocols/preprocess");
    for (source, has_dealer) in [("dealer", true), ("ot", false)] {
        let n_seats = 2 + usize::from(has_dealer);
        let kinds = match has_dealer {
            true => kinds(26, 20, 16, 512),
            false => kinds(22, 14, 12, 16),
        };
        for Kind {
            name,
            needs,
            n_items,
        } in kinds
        {
            group.throughput(Throughput::Elements(n_items));
            let run = |session: Session| prepare_at(session, needs.clone());
            group.bench_function(format!("{source}/{name}/all-parties/{n_items}"), |bench| {
                bench.iter_batched(
                    || sessions(n_seats, has_dealer),
                    |seats| together(seats, run),
                    BatchSize::PerIteration,
                );
            });
            let transcript = recorded(n_seats, has_dealer, run);
            group.bench_function(format!("{source}/{name}/one-party/{n_items}"), |bench| {
                bench.iter_batched(
                    || alone(&transcript, n_seats, has_dealer),
                    |session| block_on(run(session)).expect("a stock"),
                    BatchSize::PerIteration,
                );
            });
            if has_dealer {
                group.bench_function(format!("{source}/{name}/dealer/{n_items}"), |bench| {
                    bench.iter_batched(
                        dealing,
                        |session| block_on(run(session)).expect("a dealer that is done"),
                        BatchSize::PerIteration,
                    );
                });
            }
        }
    }
}

/// The dealer of two, who hears nothing; what it sends goes nowhere.
fn dealing() -> Session {
    let networks = (0..3).map(|_| Replay::new(&Transcript::new())).collect();
    Session::new(configs(networks, true).swap_remove(2))
}

async fn intersect_by_vole(
    (mut session, items): (Session, Vec<Item>),
) -> Result<Option<usize>, ProtocolError> {
    if session.seat() == Seat(1) {
        vole::send(&mut session, Seat(0), &items, items.len()).await?;
        return Ok(None);
    }
    let found = vole::receive(&mut session, Seat(1), &items, items.len()).await?;
    Ok(Some(found.len()))
}

/// As [`intersections`], with symmetric operations: the kernel alone, as `volepsi` is measured.
fn vole_intersection(criterion: &mut Criterion) {
    let mut group = group(criterion, "psi");
    for log_n in [16, 18, 20] {
        let n = 1u128 << log_n;
        let set =
            |first: u128| -> Vec<Item> { (first..first + n).map(u128::to_le_bytes).collect() };
        let sets = [set(0), set(n / 2)];
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("vole/all-parties/2^{log_n}"), |bench| {
            bench.iter(|| {
                let seats = pooled(2).into_iter().zip(sets.clone()).collect();
                assert!(together(seats, intersect_by_vole) == Some(n as usize / 2));
            });
        });
    }
}

/// Five holders, of whose sets half is common.
fn many_intersection(criterion: &mut Criterion) {
    let mut group = group(criterion, "psi");
    for log_n in [12, 15, 18] {
        let n = 1usize << log_n;
        let set = |seat: u128| -> Vec<Item> {
            let own = (0..n as u128 / 2).map(|i| i + ((seat + 1) << 64));
            (0..n as u128 / 2)
                .chain(own)
                .map(u128::to_le_bytes)
                .collect()
        };
        let sets: Vec<Vec<Item>> = (0..5).map(set).collect();
        let shape = Arc::new(many::Shape {
            hub: Seat(0),
            n_items: vec![n; 5],
            receivers: vec![Seat(0)],
        });
        let intersect = |(mut session, items): (Session, Vec<Item>)| {
            let shape = shape.clone();
            async move { many::intersect(&mut session, &shape, &items).await }
        };
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("many-5/all-parties/2^{log_n}"), |bench| {
            bench.iter(|| {
                let seats = pooled(5).into_iter().zip(sets.clone()).collect();
                let found = together(seats, intersect).expect("the hub learns");
                assert_eq!(found.len(), n / 2);
            });
        });
    }
}

/// Both parties of a join in shares with one column of payload, half of whose keys are common. The
/// correlations were there before.
fn circuit_join(criterion: &mut Criterion) {
    let mut group = group(criterion, "psi");
    for log_n in [12, 15, 18] {
        let n = 1usize << log_n;
        let side = |seat: u8, narrow: usize| circuit::Side {
            seat: Seat(seat),
            n_rows: n,
            narrow,
            wide: 0,
        };
        let shape = Arc::new(circuit::Shape {
            hub: side(0, 0),
            spokes: vec![side(1, 1)],
            keep: circuit::Keep::All,
        });
        let seats = Seats::computing(2);
        let needs = circuit::totals_price(seats, &shape).needs;
        let prepared = || {
            let sessions = pooled(2).into_iter();
            let preprocess = |mut session: Session| {
                let needs = needs.clone();
                async move {
                    let stock = correlate::preprocess(&mut session, &Source::Ot, &needs).await?;
                    Ok((session, stock))
                }
            };
            all_together(sessions.collect(), preprocess)
        };
        let totals = |(mut session, mut stock): (Session, Stock)| {
            let shape = shape.clone();
            async move {
                let seat = u128::from(session.seat().0);
                let numbers = (0..n as u128).map(|i| i + seat * n as u128 / 2);
                let mut rows = circuit::Rows::of_keys(numbers.map(u128::to_le_bytes).collect());
                if seat == 1 {
                    rows.narrow.push(vec![1; n]);
                }
                let rows = Some(rows);
                let totals = circuit::totals(&mut session, &shape, rows, &mut stock).await?;
                Ok(totals.count.into_vec()[0])
            }
        };
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("circuit/all-parties/2^{log_n}"), |bench| {
            let run = |seats| {
                let counts = all_together(seats, totals);
                assert_eq!(counts[0].wrapping_add(counts[1]), n as u64 / 2);
            };
            bench.iter_batched(prepared, run, BatchSize::PerIteration);
        });
    }
}

/// Both parties of a join with groups: counts, sums, sums of squares and distinct keys of a spoke by 20 groups
/// of the hub, one group a key and half of the keys in common. Correlations are made on the way.
fn grouped_join(criterion: &mut Criterion) {
    let mut group = group(criterion, "join");
    let sources = [Source::Ot, Source::Dealer { seat: Seat(2) }];
    for (source, n) in sources
        .into_iter()
        .flat_map(|s| [1 << 12, 1 << 15, 100_000].map(|n| (s, n)))
    {
        let shape = Arc::new(grouped(n));
        let seats = Seats {
            n_seats: 2 + source.extra_seats(),
            n_computing: 2,
        };
        let needs = join::price(seats, &shape).needs;
        let prepared = || {
            let networks = memory::network(seats.n_seats);
            let has_dealer = source.extra_seats() > 0;
            let seed = Seed::from_bytes(SEED);
            let configs = insecure_configs(&seed, networks, has_dealer, Compute::Pool);
            let sessions = configs.into_iter().map(Session::new);
            let with_inputs = sessions.map(|session| {
                let inputs = grouped_inputs(session.seat(), n);
                (session, inputs)
            });
            with_inputs.collect::<Vec<_>>()
        };
        let totals = |(mut session, inputs): (Session, Option<join::Inputs>)| {
            let (shape, needs) = (shape.clone(), needs.clone());
            async move {
                if inputs.is_none() {
                    dealer::serve(&mut session, &needs).await?;
                    return Ok(0);
                }
                let mut stock = correlate::preprocess(&mut session, &source, &needs).await?;
                let totals = join::totals(&mut session, &shape, inputs, &mut stock).await?;
                let counts = totals.narrow[0].as_slice().iter();
                Ok(counts.fold(0, |sum: u64, count| sum.wrapping_add(*count)))
            }
        };
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(
            format!("groups-20/{}/all-parties/{n}", source.name()),
            |bench| {
                let run = |seats| {
                    let counts = all_together(seats, totals);
                    let all = counts
                        .iter()
                        .fold(0, |sum: u64, count| sum.wrapping_add(*count));
                    assert_eq!(all, n as u64 / 2);
                };
                bench.iter_batched(prepared, run, BatchSize::PerIteration);
            },
        );
    }
}

fn grouped(n: usize) -> join::Shape {
    use join::Factor::{Flag, Matched, Narrow, Wide};
    let relation = |seat: u8, cells: usize, [flags, narrow, wide]: [usize; 3]| join::Relation {
        holders: vec![join::Holder {
            seat: Seat(seat),
            n_rows: n,
        }],
        cells,
        of_hub: false,
        flags,
        narrow,
        wide,
    };
    let output = |factors: [join::Factor; 2]| {
        vec![join::Term {
            coefficient: 1,
            factors: factors.to_vec(),
            below: Vec::new(),
        }]
    };
    join::Shape {
        relations: vec![relation(0, 20, [1, 1, 0]), relation(1, 1, [0, 2, 1])],
        narrow: vec![
            output([Narrow(0), Narrow(0)]),
            output([Narrow(0), Narrow(1)]),
            output([Flag(0), Matched { cell: 0 }]),
        ],
        wide: vec![output([Narrow(0), Wide(0)])],
        bounds: Some(join::Bounds {
            cells: 1,
            narrow: vec![4],
            wide: Vec::new(),
        }),
        compared: Vec::new(),
    }
}

/// A dealer has none.
fn grouped_inputs(seat: Seat, n: usize) -> Option<join::Inputs> {
    let first = match seat {
        Seat(0) => 0,
        Seat(1) => n as u128 / 2,
        _ => return None,
    };
    let keys = (first..first + n as u128).map(u128::to_le_bytes).collect();
    let cell = |cell: usize| (0..n).map(|row| u64::from(row % 20 == cell)).collect();
    let rows = match seat {
        Seat(0) => join::Rows {
            keys,
            narrow: (0..40).map(|column| cell(column % 20)).collect(),
            wide: Vec::new(),
        },
        _ => join::Rows {
            keys,
            narrow: vec![vec![1; n]; 2],
            wide: vec![vec![1; n]],
        },
    };
    Some(rows.into())
}

/// A thousand questions in a table that was sealed and sent before: what a job of an asker costs from the second one on.
fn list(criterion: &mut Criterion) {
    const QUESTIONS: usize = 1000;
    let mut group = group(criterion, "lookup");
    let key = lookup::table_key(&Seed::from_bytes(SEED), 1).expect("a key");
    let key = Arc::new(key);
    for log_n in [12, 16, 20] {
        let n = 1usize << log_n;
        let records: Vec<(Item, Vec<u8>)> = (0..n as u128)
            .map(|i| (i.to_le_bytes(), Vec::new()))
            .collect();
        let sealed = Arc::new(SealedTable::seal(&key, 1, 0, &records).expect("no values"));
        let questions = (n - QUESTIONS / 2..n + QUESTIONS / 2).map(|i| (i as u128).to_le_bytes());
        let questions: Vec<Item> = questions.collect();
        let look_up = |mut session: Session| {
            let (sealed, key, questions) = (sealed.clone(), key.clone(), questions.clone());
            async move {
                let (asker, holder) = (Seat(0), Seat(1));
                if session.seat() == holder {
                    let held = (sealed, key);
                    listed::answer_one(&mut session, asker, held, QUESTIONS).await?;
                    return Ok(None);
                }
                let asked = listed::Asked {
                    at_most: *sealed.shape(),
                    known: Some(sealed),
                };
                let asked = BTreeMap::from([(holder, asked)]);
                let found = listed::ask_all(&mut session, asked, questions).await?;
                let values = found.values().flat_map(|found| &found.values);
                Ok(Some(values.flatten().count()))
            }
        };
        group.throughput(Throughput::Elements(QUESTIONS as u64));
        group.bench_function(format!("list/all-parties/1000in2^{log_n}"), |bench| {
            bench.iter(|| assert_eq!(together(pooled(2), look_up), Some(QUESTIONS / 2)));
        });
    }
}

/// Items through sorted runs and out again in random order: what a set beyond memory costs twice.
fn sort_merge(criterion: &mut Criterion) {
    let mut group = group(criterion, "psi");
    for log_n in [16, 18, 20] {
        let n = 1usize << log_n;
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("sort-merge/2^{log_n}"), |bench| {
            bench.iter(|| {
                let items = (0..n as u128).map(u128::to_le_bytes);
                let store = Box::new(MemoryStore::default());
                let spilled = Spilled::new(items, &Seed::from_bytes(SEED), store);
                let out = spilled.expect("kept").read(n).expect("all of them");
                assert_eq!(out.len(), n);
            });
        });
    }
}

criterion_group!(
    benches,
    share,
    open,
    release,
    intersection,
    vole_intersection,
    many_intersection,
    circuit_join,
    grouped_join,
    sort_merge,
    list,
    preprocess
);
criterion_main!(benches);
