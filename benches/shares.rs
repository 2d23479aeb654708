//! Protocols on shares at two seats, online part alone: products, comparison, selection, truncation,
//! conversion and real functions.
//!
//! Identifiers are `shares/operation/parameters`. `both-parties` runs the two seats on two threads of one
//! machine, joined by memory; `one-party` runs one seat against the recorded messages of the other. The
//! stock is the ideal source's and is made beforehand, so both sources' online parts are measured at
//! once. Throughput counts items. Bytes and rounds are declared: `entente bench` prints them, and tests
//! hold the protocols to them. All values derive from [`SEED`].

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use engine::bits;
use engine::matrix::{self, View};
use engine::prg::{Prg, Seed};
use engine::share::boolean::{BitShare, to_planes};
use engine::share::{self, Share};
use protocols::arith::compare::{self, Method};
use protocols::arith::{convert, matmul, mul, mux, trunc};
use protocols::compute::Compute;
use protocols::correlate::{
    BitPairs, BitTriples, DaBits, EdaBits, MatrixShape, MatrixTriple, Muxes, Needs, Stock, Triples,
    Truncs,
};
use protocols::error::ProtocolError;
use protocols::function::{self, Format};
use protocols::net::Network;
use protocols::net::memory;
use protocols::net::record::{Recorder, Replay, Transcript};
use protocols::price::{Price, Seats};
use protocols::session::{Session, SessionConfig, insecure_configs};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// The one seed of this suite.
const SEED: [u8; 32] = *b"entente benches: shares, seed 01";

/// Items of a batch: one that stays in the caches, and two that do not.
const SIZES: [usize; 3] = [1 << 12, 1 << 18, 1 << 21];

const FORMAT: Format = Format {
    frac_bits: 16,
    bound_bits: 28,
    method: Method::Masked,
};

#[derive(Clone, Copy)]
enum Op {
    Mul,
    FixedPointProduct,
    LessThanZero,
    EqualZero,
    Mux,
    BitToArith,
    A2b,
    TruncExact,
    Reciprocal,
    Exp,
    Matmul(MatrixShape),
}

/// One seat's inputs and stock.
struct Part {
    x: Share<u64>,
    y: Share<u64>,
    bit: BitShare,
    stock: Stock,
}

impl Op {
    fn price(self, n: usize) -> Price {
        let seats = Seats::computing(2);
        match self {
            Self::Mul => mul::price::<u64>(seats, n),
            Self::FixedPointProduct => {
                mul::price::<u64>(seats, n).then(&trunc::price::<u64>(seats, n, 16))
            }
            Self::LessThanZero => {
                compare::less_than_zero_price::<u64>(seats, n, 63, Method::Masked)
            }
            Self::EqualZero => compare::equal_zero_price::<u64>(seats, n, 63, Method::Masked),
            Self::Mux => mux::price::<u64>(seats, n),
            Self::BitToArith => convert::planes_price::<u64>(seats, n, 1),
            Self::A2b => convert::a2b_price::<u64>(seats, n, 64, Method::Masked),
            Self::TruncExact => trunc::exact_price::<u64>(seats, n, 16, Method::Masked),
            Self::Reciprocal => function::reciprocal_price::<u64>(seats, n, FORMAT),
            Self::Exp => function::exp_price::<u64>(seats, n, FORMAT),
            Self::Matmul(shape) => matmul::price::<u64>(seats, shape),
        }
    }

    async fn run(self, session: &mut Session, part: Part) -> Result<(), ProtocolError> {
        let Part {
            x,
            y,
            bit,
            mut stock,
        } = part;
        let stock = &mut stock;
        match self {
            Self::Mul => drop(mul::mul(session, &x, &y, stock).await?),
            Self::FixedPointProduct => {
                let product = mul::mul(session, &x, &y, stock).await?;
                drop(trunc::probabilistic(session, &product, 16, stock).await?);
            }
            Self::LessThanZero => {
                drop(compare::less_than_zero(session, &x, 63, Method::Masked, stock).await?);
            }
            Self::EqualZero => {
                drop(compare::equal_zero(session, &x, 63, Method::Masked, stock).await?);
            }
            Self::Mux => drop(mux::mux(session, &bit, &x, &y, stock).await?),
            Self::BitToArith => {
                drop(convert::bit_to_arith::<u64>(session, &bit, stock).await?);
            }
            Self::A2b => drop(convert::a2b(session, &x, 64, Method::Masked, stock).await?),
            Self::TruncExact => {
                drop(trunc::exact(session, &x, 16, Method::Masked, stock).await?);
            }
            Self::Reciprocal => drop(function::reciprocal(session, &x, FORMAT, stock).await?),
            Self::Exp => drop(function::exp(session, &x, FORMAT, stock).await?),
            Self::Matmul(shape) => drop(matmul::matmul(session, &x, &y, shape, stock).await?),
        }
        Ok(())
    }

    /// Bits that select.
    fn n_bits(self, n: usize) -> usize {
        match self {
            Self::Mux | Self::BitToArith => n,
            _ => 0,
        }
    }

    /// Both seats' parts for n items. What the numbers are does not matter: no protocol's time depends
    /// on them.
    fn parts(self, n: usize) -> Vec<Part> {
        let (left, right) = match self {
            Self::Matmul(shape) => (shape.left_len(), shape.right_len()),
            _ => (n, n),
        };
        let mut ideal = Ideal(Prg::new(&Seed::from_bytes(SEED), n as u64));
        let stocks = ideal.stocks(&self.price(n).needs);
        let mut x = ideal.shares(left).into_iter();
        let mut y = ideal.shares(right).into_iter();
        let parts = stocks.into_iter().map(|stock| Part {
            x: x.next().expect("a share for each"),
            y: y.next().expect("a share for each"),
            bit: BitShare::zero(self.n_bits(n)),
            stock,
        });
        parts.collect()
    }
}

/// Makes correlations in the clear.
struct Ideal(Prg);

impl Ideal {
    fn words(&mut self, n_words: usize) -> Vec<u64> {
        let mut words = vec![0; n_words];
        self.0.fill_ring(&mut words);
        words
    }

    fn split(&mut self, values: Vec<u64>) -> Vec<Share<u64>> {
        share::split(values, 2, &mut self.0)
    }

    fn shares(&mut self, n_items: usize) -> Vec<Share<u64>> {
        let values = self.words(n_items);
        self.split(values)
    }

    /// Shares of these words in two parts.
    fn halves(&mut self, mut words: Vec<u64>) -> [Vec<u64>; 2] {
        let other = self.words(words.len());
        bits::xor_assign(&mut words, &other);
        [words, other]
    }

    fn bit_shares(&mut self, n_bits: usize, words: Vec<u64>) -> [BitShare; 2] {
        self.halves(words)
            .map(|half| BitShare::from_words(n_bits, half))
    }

    fn stocks(&mut self, needs: &Needs) -> Vec<Stock> {
        let mut stocks = [Stock::empty(), Stock::empty()];
        self.bits(needs, &mut stocks);
        let ring = &needs.ring64;
        self.ring(ring.triples as usize, &mut stocks);
        self.edabits(ring.edabits as usize, &mut stocks);
        self.doubly_shared(ring.dabits as usize, ring.muxes as usize, &mut stocks);
        for (frac_bits, n_items) in &ring.truncs {
            let r = self.words(*n_items as usize);
            let u = r.iter().map(|r| r << 1 >> (1 + frac_bits)).collect();
            let top = r.iter().map(|r| r >> 63).collect();
            let [r, u, top] = [r, u, top].map(|v| self.split(v).into_iter());
            for (stock, ((r, u), top)) in stocks.iter_mut().zip(r.zip(u).zip(top)) {
                stock.add_truncs(*frac_bits, Truncs { r, u, top });
            }
        }
        for shape in &ring.matrices {
            let MatrixShape { m, k, n } = *shape;
            let (a, b) = (self.words(m * k), self.words(k * n));
            let c = matrix::mul(View::new(&a, m, k), View::new(&b, k, n));
            let [a, b, c] = [a, b, c].map(|v| self.split(v).into_iter());
            for (stock, ((a, b), c)) in stocks.iter_mut().zip(a.zip(b).zip(c)) {
                stock.add_matrix(*shape, MatrixTriple { a, b, c });
            }
        }
        stocks.into()
    }

    fn bits(&mut self, needs: &Needs, stocks: &mut [Stock; 2]) {
        let and = |a: &[u64], b: &[u64]| a.iter().zip(b).map(|(a, b)| a & b).collect::<Vec<u64>>();
        let n_words = needs.bit_triple_words();
        let (a, b) = (self.words(n_words), self.words(n_words));
        let c = and(&a, &b);
        let [a, b, c] = [a, b, c].map(|v| self.halves(v).into_iter());
        for (stock, ((a, b), c)) in stocks.iter_mut().zip(a.zip(b).zip(c)) {
            stock.add_bit_triples(BitTriples::new(a, b, c));
        }
        let n_words = needs.bit_pair_words();
        let (a, b, c) = (
            self.words(n_words),
            self.words(n_words),
            self.words(n_words),
        );
        let (ab, ac) = (and(&a, &b), and(&a, &c));
        let mut parts = [a, b, c, ab, ac].map(|v| self.halves(v).into_iter());
        for stock in stocks {
            let next = parts.each_mut().map(|p| p.next().expect("two halves"));
            stock.add_bit_pairs(BitPairs::new(next));
        }
    }

    fn ring(&mut self, n_items: usize, stocks: &mut [Stock; 2]) {
        let (a, b) = (self.words(n_items), self.words(n_items));
        let c = a.iter().zip(&b).map(|(a, b)| a.wrapping_mul(*b)).collect();
        let [a, b, c] = [a, b, c].map(|v| self.split(v).into_iter());
        for (stock, ((a, b), c)) in stocks.iter_mut().zip(a.zip(b).zip(c)) {
            stock.add_triples(Triples { a, b, c });
        }
    }

    fn edabits(&mut self, n_items: usize, stocks: &mut [Stock; 2]) {
        let r = self.words(n_items);
        let planes = to_planes(&r, 64).into_iter();
        let planes = planes.map(|p| self.bit_shares(n_items, p.into_words()).into_iter());
        let mut planes: Vec<_> = planes.collect();
        for (stock, r) in stocks.iter_mut().zip(self.split(r)) {
            let planes = planes.iter_mut().map(|p| p.next().expect("two halves"));
            let planes = planes.collect();
            stock.add_edabits(EdaBits { r, planes });
        }
    }

    fn doubly_shared(&mut self, n_dabits: usize, n_muxes: usize, stocks: &mut [Stock; 2]) {
        let (words, arith) = self.random_bits(n_dabits);
        let halves = self.bit_shares(n_dabits, words);
        let both = halves.into_iter().zip(self.split(arith));
        for (stock, (bits, arith)) in stocks.iter_mut().zip(both) {
            stock.add_dabits(DaBits { bits, arith });
        }
        let (words, arith) = self.random_bits(n_muxes);
        let a = self.words(n_muxes);
        let product = arith
            .iter()
            .zip(&a)
            .map(|(b, a)| b.wrapping_mul(*a))
            .collect();
        let halves = self.bit_shares(n_muxes, words);
        let [arith, a, product] = [arith, a, product].map(|v| self.split(v).into_iter());
        let shares = halves.into_iter().zip(arith).zip(a.zip(product));
        for (stock, ((bits, bits_arith), (a, bits_times_a))) in stocks.iter_mut().zip(shares) {
            stock.add_muxes(Muxes {
                bits,
                bits_arith,
                a,
                bits_times_a,
            });
        }
    }

    fn random_bits(&mut self, n_items: usize) -> (Vec<u64>, Vec<u64>) {
        let mut words = self.words(bits::words_for(n_items));
        bits::clear_tail(&mut words, n_items);
        let arith = bits::unpack(&words, n_items).into_iter().map(u64::from);
        (words, arith.collect())
    }
}

fn configs(networks: Vec<impl Network + 'static>) -> Vec<SessionConfig> {
    insecure_configs(&Seed::from_bytes(SEED), networks, false, Compute::Pool)
}

/// Runs both seats, each on a thread of its own.
fn both(runtime: &Runtime, op: Op, seats: Vec<(Session, Part)>) {
    let run =
        |(mut session, part): (Session, Part)| async move { op.run(&mut session, part).await };
    let tasks: Vec<_> = seats.into_iter().map(|s| runtime.spawn(run(s))).collect();
    for task in tasks {
        let ended = runtime.block_on(task).expect("no panic");
        ended.expect("every seat ends well");
    }
}

fn seated(networks: Vec<impl Network + 'static>, op: Op, n: usize) -> Vec<(Session, Part)> {
    let sessions = configs(networks).into_iter().map(Session::new);
    sessions.zip(op.parts(n)).collect()
}

/// The messages of seat 0.
fn transcript(runtime: &Runtime, op: Op, n: usize) -> Transcript {
    let recorders = memory::network(2).into_iter();
    let recorders = recorders.map(|network| Recorder::new(Arc::new(network)));
    let (networks, logs): (Vec<_>, Vec<_>) = recorders.unzip();
    both(runtime, op, seated(networks, op, n));
    logs[0].transcript()
}

fn bench(criterion: &mut Criterion, name: &str, op: Op, sizes: &[usize]) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group(format!("shares/{name}"));
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(2));
    for n in sizes {
        group.throughput(Throughput::Elements(*n as u64));
        group.bench_function(format!("both-parties/{n}"), |bench| {
            bench.iter_batched(
                || seated(memory::network(2), op, *n),
                |seats| both(&runtime, op, seats),
                BatchSize::PerIteration,
            );
        });
        let recorded = transcript(&runtime, op, *n);
        group.bench_function(format!("one-party/{n}"), |bench| {
            bench.iter_batched(
                || {
                    let networks = (0..2).map(|_| Replay::new(&recorded)).collect();
                    vec![seated(networks, op, *n).swap_remove(0)]
                },
                |seat| both(&runtime, op, seat),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn elementwise(criterion: &mut Criterion) {
    bench(criterion, "mul-u64", Op::Mul, &SIZES);
    bench(
        criterion,
        "fixed-product-u64",
        Op::FixedPointProduct,
        &SIZES,
    );
    bench(criterion, "mux-u64", Op::Mux, &SIZES);
    bench(criterion, "bit-to-arith-u64", Op::BitToArith, &SIZES);
}

fn comparison(criterion: &mut Criterion) {
    let sizes = &SIZES[..2];
    // Two seats without a dealer sum by tables of their own transfers: `entente bench protocols` has that.
    bench(
        criterion,
        "less-than-zero-u64/masked",
        Op::LessThanZero,
        &SIZES,
    );
    bench(criterion, "equal-zero-u64/masked", Op::EqualZero, sizes);
    bench(criterion, "a2b-u64/masked", Op::A2b, sizes);
    bench(criterion, "trunc-exact-u64/masked", Op::TruncExact, sizes);
}

fn functions(criterion: &mut Criterion) {
    bench(criterion, "reciprocal-u64", Op::Reciprocal, &SIZES[..2]);
    bench(criterion, "exp-u64", Op::Exp, &SIZES[..2]);
}

/// Throughput counts multiply-adds.
fn matrices(criterion: &mut Criterion) {
    for side in [64, 256, 1000] {
        let (m, k, n) = (side, side, side);
        let op = Op::Matmul(MatrixShape { m, k, n });
        bench(criterion, "matmul-u64", op, &[side * side * side]);
    }
}

criterion_group!(benches, elementwise, comparison, functions, matrices);
criterion_main!(benches);
