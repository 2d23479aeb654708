//! What intersections and slow links need: Ferret, GF(2^128), VOLE, key-value stores and tags.

use super::{DIRECTION, SEED, SIZES, group, prg, vector};
use criterion::{BatchSize, Criterion, Throughput};
use engine::block::{Block, gf128};
use engine::okvs::{self, Okvs};
use engine::ot::extend::{Receiver, ReceiverSetup, Sender, SenderSetup};
use engine::ot::ferret;
use engine::prg::{Prg, Seed};
use engine::tags::{self, TagList};
use engine::vole;
use std::hint::black_box;

/// Both sides of an extension whose Δ is odd, as Ferret needs it.
fn set_up(prg: &mut Prg) -> (Sender, Receiver) {
    let (sender, points) = SenderSetup::with_odd_delta(DIRECTION, prg);
    let (receiver, key) = ReceiverSetup::new(DIRECTION, prg);
    let (receiver, trees) = receiver.finish(&points).expect("an honest message");
    let sender = sender.finish(&key, &trees).expect("honest messages");
    (sender, receiver)
}

/// Random OTs of one bit, as `ot/softspoken`, from a whole schedule. The sizes are one round of the
/// first set, a second round, and many.
pub(super) fn long_extension(criterion: &mut Criterion) {
    let mut group = group(criterion, "ot");
    let mut prg = prg(6);
    for log_n in [16, 20, 23] {
        let rounds = ferret::schedule(1 << log_n);
        let mut begin = || {
            let (mut sender, mut receiver) = set_up(&mut prg);
            let (receiver, message) =
                ferret::Receiver::new(DIRECTION, &mut receiver).expect("fresh");
            let sender = ferret::Sender::new(DIRECTION, &mut sender, &message).expect("honest");
            (sender, receiver)
        };
        let (mut sender, _) = begin();
        let mut own = Prg::new(&Seed::from_bytes(SEED), 7);
        let messages: Vec<Vec<u8>> = rounds
            .iter()
            .map(|round| sender.bits(round, &mut own).expect("far from exhausted").1)
            .collect();
        group.throughput(Throughput::Elements(1 << log_n));
        group.bench_function(format!("ferret/extend-sender/2^{log_n}"), |bench| {
            bench.iter_batched(
                || (begin().0, Prg::new(&Seed::from_bytes(SEED), 8)),
                |(mut sender, mut prg)| {
                    for round in &rounds {
                        black_box(sender.bits(round, &mut prg).expect("far from exhausted"));
                    }
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("ferret/extend-receiver/2^{log_n}"), |bench| {
            bench.iter_batched(
                || begin().1,
                |mut receiver| {
                    for (round, message) in rounds.iter().zip(&messages) {
                        black_box(receiver.bits(round, message).expect("the length is right"));
                    }
                },
                BatchSize::PerIteration,
            );
        });
    }
}

fn blocks(n: usize, stream: u64) -> Vec<Block> {
    let values: Vec<u128> = vector(16 * n, stream);
    values.into_iter().map(Block).collect()
}

/// Products in GF(2^128): element by element, and by one factor.
pub(super) fn binary_field(criterion: &mut Criterion) {
    let mut group = group(criterion, "gf128");
    for (size, bytes) in SIZES {
        let (mut a, b) = (blocks(bytes / 16, 9), blocks(bytes / 16, 10));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("mul/{size}"), |bench| {
            bench.iter(|| gf128::mul_assign(black_box(&mut a), black_box(&b)));
        });
        group.bench_function(format!("add-scaled/{size}"), |bench| {
            bench.iter(|| gf128::add_scaled(black_box(&mut a), black_box(&b), Block(77)));
        });
    }
}

/// The work of each side for a VOLE of this length, without its OT extension's set-up.
pub(super) fn vectors(criterion: &mut Criterion) {
    let mut group = group(criterion, "vole");
    let mut prg = prg(11);
    for log_n in [14, 17, 20] {
        let size = vole::Size::new(1 << log_n);
        let mut begin = || {
            let (sender, receiver) = set_up(&mut prg);
            let receiver = vole::Receiver::new(DIRECTION, size, receiver, &mut prg);
            let (receiver, choices) = receiver.expect("fresh");
            (sender, receiver, choices)
        };
        group.throughput(Throughput::Elements(1 << log_n));
        group.bench_function(format!("sender/2^{log_n}"), |bench| {
            bench.iter_batched(
                &mut begin,
                |(sender, _, choices)| {
                    let sender = vole::Sender::new(DIRECTION, size, sender, &choices);
                    sender.expect("the length is right").0.finish()
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("receiver/2^{log_n}"), |bench| {
            bench.iter_batched(
                || {
                    let (sender, receiver, choices) = begin();
                    let sender = vole::Sender::new(DIRECTION, size, sender, &choices);
                    (receiver, sender.expect("the length is right").1)
                },
                |(receiver, trees)| receiver.finish(&trees).expect("the length is right"),
                BatchSize::PerIteration,
            );
        });
    }
}

/// Storing keys, reading them, and comparing their tags.
pub(super) fn stores(criterion: &mut Criterion) {
    let mut group = group(criterion, "okvs");
    for log_n in [14, 17, 20] {
        let n = 1 << log_n;
        let (keys, values) = (blocks(n, 12), blocks(n, 13));
        let layout = Okvs::new(okvs::Size::new(n), &Seed::from_bytes(SEED));
        let encode = || layout.encode(&keys, &values, None).expect("keys differ");
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("encode/2^{log_n}"), |bench| bench.iter(encode));
        let store = encode();
        group.bench_function(format!("decode/2^{log_n}"), |bench| {
            bench.iter(|| layout.decode(black_box(&store), &keys));
        });
        group.bench_function(format!("sort-tags/2^{log_n}"), |bench| {
            bench.iter(|| tags::ascending(black_box(&values), 10));
        });
        let mut list = TagList::new(10, n);
        let sorted = tags::to_bytes(&tags::ascending(&values, 10), 10);
        list.extend(&sorted).expect("ascending");
        group.bench_function(format!("match-tags/2^{log_n}"), |bench| {
            bench.iter(|| list.matches(black_box(&values)));
        });
    }
}
