//! Engine kernels on one machine, without protocols or networks.
//!
//! Identifiers are `area/operation/parameters`. Vectors come in three sizes: `l2` (256 KiB) stays in
//! the second-level cache, `ram` (64 MiB) does not fit any cache, `large` (256 MiB) shows what pages
//! and translation cost. `memory/copy` is the machine's ceiling in the same run: no kernel that reads
//! one vector and writes another can beat it.
//!
//! Throughput counts the bytes of one vector, whatever else is read; for oblivious transfer it counts
//! transfers, and for groups elements. OT extension and groups use all cores; set `RAYON_NUM_THREADS=1` for one.
//! All inputs come from [`SEED`].

#[path = "kernels/silent.rs"]
mod silent;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use curve25519_dalek::MontgomeryPoint;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use engine::block::Block;
use engine::curve::montgomery::Montgomery;
use engine::curve::ristretto::Ristretto;
use engine::curve::{self, Group, Item};
use engine::fixed::FixedPoint;
use engine::hash::CrHash;
use engine::matrix::{self, View};
use engine::oprf::{Client, Mode, ServerKey};
use engine::ot::Direction;
use engine::ot::extend::{Choices, Receiver, ReceiverSetup, Sender, SenderSetup};
use engine::prg::{Prg, Seed};
use engine::ring::{self, Ring};
use engine::{bits, share};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Duration;

/// The one seed of this suite.
const SEED: [u8; 32] = *b"entente benches: kernels, seed 1";

/// Name and bytes of a vector.
const SIZES: [(&str, usize); 3] = [("l2", 256 << 10), ("ram", 64 << 20), ("large", 256 << 20)];

fn prg(stream: u64) -> Prg {
    Prg::new(&Seed::from_bytes(SEED), stream)
}

fn vector<R: Ring>(bytes: usize, stream: u64) -> Vec<R> {
    let mut values = vec![R::ZERO; bytes / R::BYTES];
    prg(stream).fill_ring(&mut values);
    values
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(2));
    group
}

/// Runs `op` on two warm vectors of every size.
fn two_vectors<R: Ring>(
    criterion: &mut Criterion,
    area: &str,
    name: &str,
    op: impl Fn(&mut [R], &[R]),
) {
    let mut group = group(criterion, area);
    for (size, bytes) in SIZES {
        let (mut a, b) = (vector::<R>(bytes, 0), vector::<R>(bytes, 1));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("{name}/{size}"), |bench| {
            bench.iter(|| op(black_box(&mut a), black_box(&b)));
        });
    }
}

fn memory(criterion: &mut Criterion) {
    two_vectors::<u64>(criterion, "memory", "copy", |a, b| a.copy_from_slice(b));
}

fn rings(criterion: &mut Criterion) {
    two_vectors::<u64>(criterion, "ring", "add/u64", ring::add_assign);
    two_vectors::<u128>(criterion, "ring", "add/u128", ring::add_assign);
    two_vectors::<u64>(criterion, "ring", "mul/u64", ring::mul_assign);
    two_vectors::<u128>(criterion, "ring", "mul/u128", ring::mul_assign);
    two_vectors::<u64>(criterion, "ring", "scale/u64", |a, b| ring::scale(a, b[0]));
}

fn generator(criterion: &mut Criterion) {
    let mut group = group(criterion, "prg");
    for (size, bytes) in SIZES {
        let mut out = vector::<u64>(bytes, 0);
        let mut prg = prg(2);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("fill/{size}"), |bench| {
            bench.iter(|| prg.fill_ring(black_box(&mut out)));
        });
    }
}

fn hashing(criterion: &mut Criterion) {
    let mut group = group(criterion, "hash");
    for (size, bytes) in SIZES {
        let mut blocks: Vec<Block> = vector::<u128>(bytes, 0).into_iter().map(Block).collect();
        let hash = CrHash::new(&Seed::from_bytes(SEED));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("correlation-robust/{size}"), |bench| {
            bench.iter(|| hash.hash_in_place(black_box(&mut blocks), 0));
        });
    }
}

/// Includes the allocation of the shares, as in use; the copy of the input is not measured.
fn sharing(criterion: &mut Criterion) {
    let mut group = group(criterion, "share");
    for (size, bytes) in SIZES {
        let values = vector::<u64>(bytes, 0);
        let mut prg = prg(3);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("split/u64-3-seats/{size}"), |bench| {
            bench.iter_batched(
                || values.clone(),
                |values| share::split(values, 3, &mut prg),
                criterion::BatchSize::PerIteration,
            );
        });
    }
}

fn fixed_point(criterion: &mut Criterion) {
    let mut group = group(criterion, "fixed");
    let format = FixedPoint::new(40).expect("40 fractional bits are supported");
    for (size, bytes) in SIZES {
        let integers = vector::<u64>(bytes, 0);
        // Uniform in [0, 2^20) with all 52 bits of the mantissa in use.
        let mut floats: Vec<f64> = integers
            .iter()
            .map(|v| (v >> 12) as f64 * 2f64.powi(-32))
            .collect();
        let encode = |x: f64| format.encode(x).expect("below 2^20");
        let mut encoded: Vec<i128> = floats.iter().map(|x| encode(*x)).collect();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("encode/f64/{size}"), |bench| {
            bench.iter(|| {
                for (out, x) in encoded.iter_mut().zip(black_box(&floats)) {
                    *out = encode(*x);
                }
            });
        });
        group.bench_function(format!("decode/f64/{size}"), |bench| {
            bench.iter(|| {
                for (out, v) in floats.iter_mut().zip(black_box(&encoded)) {
                    *out = format.decode(*v);
                }
            });
        });
    }
}

fn transposition(criterion: &mut Criterion) {
    let mut group = group(criterion, "bits");
    for (size, bytes) in SIZES {
        let mut words = vector::<u64>(bytes, 0);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("transpose-64/{size}"), |bench| {
            bench.iter(|| {
                let (tiles, _) = black_box(&mut words).as_chunks_mut();
                tiles.iter_mut().for_each(bits::transpose_64);
            });
        });
    }
}

const DIRECTION: Direction = Direction {
    session_id: SEED,
    operation: 0,
    sender: 0,
    receiver: 1,
};

fn set_up(prg: &mut Prg) -> (Sender, Receiver) {
    let (sender, points) = SenderSetup::new(DIRECTION, prg);
    let (receiver, key) = ReceiverSetup::new(DIRECTION, prg);
    let (receiver, trees) = receiver.finish(&points).expect("an honest message");
    (
        sender.finish(&key, &trees).expect("honest messages"),
        receiver,
    )
}

/// Both sides' work for one direction of one pair of seats, one after the other.
fn base_transfer(criterion: &mut Criterion) {
    let mut group = group(criterion, "ot");
    let mut prg = prg(4);
    group.throughput(Throughput::Elements(128));
    group.bench_function("base/masny-rindal-128-both-sides", |bench| {
        bench.iter(|| set_up(&mut prg));
    });
}

/// Random OTs of one bit with random choices: what a bit triple takes one of in each direction.
fn extension(criterion: &mut Criterion) {
    let mut group = group(criterion, "ot");
    let (mut sender, mut receiver) = set_up(&mut prg(5));
    for log_n in [16, 20, 23] {
        let n = 1 << log_n;
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("softspoken/extend-receiver/2^{log_n}"), |bench| {
            bench.iter(|| receiver.bits(n, None).expect("far from exhausted"));
        });
        let (_, message) = receiver.bits(n, None).expect("far from exhausted");
        group.bench_function(format!("softspoken/extend-sender/2^{log_n}"), |bench| {
            bench.iter(|| {
                sender
                    .bits(n, Choices::Random, &message)
                    .expect("the length is right")
            });
        });
    }
}

/// A square product on all cores, after the machine's own limit: the same multiplications and additions on all
/// cores with everything in registers. Throughput counts multiply-adds.
fn matrices<R: Ring>(criterion: &mut Criterion, ring: &str, sides: [usize; 3]) {
    let mut group = group(criterion, "matrix");
    let n_threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (n_products, _) = matrix::register_only::<R>(CEILING_STEPS);
    group.throughput(Throughput::Elements(n_products * n_threads as u64));
    group.bench_function(format!("ceiling/{ring}"), |bench| {
        bench.iter(|| {
            std::thread::scope(|scope| {
                for _ in 0..n_threads {
                    scope.spawn(|| black_box(matrix::register_only::<R>(black_box(CEILING_STEPS))));
                }
            });
        });
    });
    for side in sides {
        let (a, b) = (random::<R>(side * side, 6), random::<R>(side * side, 7));
        let (a, b) = (View::new(&a, side, side), View::new(&b, side, side));
        let mut c = vec![R::ZERO; side * side];
        group.throughput(Throughput::Elements((side * side * side) as u64));
        group.bench_function(format!("multiply/{ring}/{side}"), |bench| {
            bench.iter(|| matrix::mul_acc(black_box(&mut c), a, b));
        });
    }
}

/// Long enough that starting threads does not count.
const CEILING_STEPS: u64 = 3_000_000;

fn random<R: Ring>(n_items: usize, stream: u64) -> Vec<R> {
    vector(n_items * R::BYTES, stream)
}

fn products(criterion: &mut Criterion) {
    matrices::<u64>(criterion, "u64", [128, 1024, 2048]);
    matrices::<u128>(criterion, "u128", [128, 512, 1024]);
}

/// Items that are masked at once: one message of an intersection, and many of them.
const N_ITEMS: [(&str, usize); 2] = [("2^12", 1 << 12), ("2^15", 1 << 15)];

/// `hash-and-multiply` is what a party does to its own items, `multiply` what it does to the other's.
fn masks<G: Group>(criterion: &mut Criterion, name: &str) {
    let mut group = group(criterion, "curve");
    let secret = G::secret(&mut prg(7));
    for (size, n_items) in N_ITEMS {
        let items: Vec<Item> = (0..n_items as u128).map(u128::to_le_bytes).collect();
        group.throughput(Throughput::Elements(n_items as u64));
        group.bench_function(format!("hash-and-multiply/{name}/{size}"), |bench| {
            bench.iter(|| curve::mask_items::<G>(&secret, black_box(&items)));
        });
        let elements = curve::mask_items::<G>(&secret, &items);
        group.bench_function(format!("multiply/{name}/{size}"), |bench| {
            bench.iter(|| curve::mask_elements::<G>(&secret, black_box(&elements)));
        });
    }
}

/// Beside them the bare multiplications of curve25519-dalek, without hashing, decoding or encoding:
/// no construction on it does more elements a second.
fn groups(criterion: &mut Criterion) {
    masks::<Montgomery>(criterion, "curve25519");
    masks::<Ristretto>(criterion, "ristretto255");
    let mut group = group(criterion, "curve");
    let (_, n_items) = N_ITEMS[0];
    group.throughput(Throughput::Elements(n_items as u64));
    let mut uniform = vec![[0; 64]; n_items];
    prg(8).fill_bytes(uniform.as_flattened_mut());
    let scalar = Scalar::from_bytes_mod_order_wide(&uniform[0]);
    group.bench_function("hash-to-group/ristretto255-dalek/2^12", |bench| {
        let hash = |bytes: &[u8; 64]| RistrettoPoint::from_uniform_bytes(bytes);
        bench.iter(|| black_box(&uniform).par_iter().map(hash).collect::<Vec<_>>());
    });
    let hash = |bytes: &[u8; 64]| RistrettoPoint::from_uniform_bytes(bytes);
    let points: Vec<RistrettoPoint> = uniform.iter().map(hash).collect();
    group.bench_function("floor/ristretto255-dalek/2^12", |bench| {
        bench.iter(|| {
            black_box(&points)
                .par_iter()
                .map(|p| scalar * p)
                .collect::<Vec<_>>()
        });
    });
    let secret = *scalar.as_bytes();
    let points: Vec<_> = points
        .iter()
        .map(|p| MontgomeryPoint(p.compress().0))
        .collect();
    group.bench_function("floor/curve25519-dalek/2^12", |bench| {
        let multiply = |p: &MontgomeryPoint| p.mul_clamped(secret);
        bench.iter(|| {
            black_box(&points)
                .par_iter()
                .map(multiply)
                .collect::<Vec<_>>()
        });
    });
}

/// A thousand questions, both sides, with the proof; and what a holder does once for its table.
fn oblivious_function(criterion: &mut Criterion) {
    let mut group = group(criterion, "oprf");
    let mode = Mode::Verifiable;
    let key = ServerKey::derive(mode, &Seed::from_bytes(SEED), b"").expect("a key");
    let inputs: Vec<Item> = (0..1000u128).map(u128::to_le_bytes).collect();
    group.throughput(Throughput::Elements(inputs.len() as u64));
    let mut prg = prg(9);
    group.bench_function("voprf/both-sides/1000", |bench| {
        bench.iter(|| {
            let client = Client::new(mode, inputs.clone(), &mut prg).expect("short inputs");
            let answer = key.evaluate_blinded(client.blinded(), &mut prg);
            let answer = answer.expect("honest elements");
            client
                .finish(&answer, key.public())
                .expect("an honest answer")
        });
    });
    group.bench_function("evaluate/1000", |bench| {
        bench.iter(|| key.evaluate(black_box(&inputs)).expect("short inputs"));
    });
}

criterion_group!(
    kernels,
    memory,
    rings,
    generator,
    hashing,
    sharing,
    fixed_point,
    transposition,
    base_transfer,
    extension,
    silent::long_extension,
    silent::binary_field,
    silent::vectors,
    silent::stores,
    products,
    groups,
    oblivious_function
);
criterion_main!(kernels);
