//! The engine's kernels, each beside the machine's own limit where there is one.

use super::report::{Meter, Work};
use crate::outcome::Outcome;
use engine::block::Block;
use engine::hash::CrHash;
use engine::matrix::{self, View};
use engine::ot::Direction;
use engine::ot::extend::{Choices, Receiver, ReceiverSetup, Sender, SenderSetup};
use engine::prg::{Prg, Seed};
use engine::ring::{self, Ring};
use std::hint::black_box;
use std::time::Duration;

const SEED: [u8; 32] = *b"entente bench: kernels, seed 1  ";

pub(super) fn measure(meter: &mut Meter<'_>) -> Outcome<()> {
    // Kernels spread over threads of their own and wait for them.
    tokio::task::block_in_place(|| {
        vectors(meter);
        transfer(meter);
        matrices::<u64>(meter, "u64", meter.scale.size(1024, 96));
        matrices::<u128>(meter, "u128", meter.scale.size(512, 64));
    });
    Ok(())
}

fn prg(stream: u64) -> Prg {
    Prg::new(&Seed::from_bytes(SEED), stream)
}

fn random<R: Ring>(n_items: usize, stream: u64) -> Vec<R> {
    let mut values = vec![R::ZERO; n_items];
    prg(stream).fill_ring(&mut values);
    values
}

/// Loops over vectors, beside copying one.
fn vectors(meter: &mut Meter<'_>) {
    let n_bytes = meter.scale.size(64 << 20, 256 << 10);
    let size = crate::table::bytes(n_bytes as u64).replace(' ', "");
    let work = |name: &str| Work::new(format!("kernels/{name}/{size}"), n_bytes, "B");
    let copy = format!("kernels/copy/{size}");
    {
        let (mut a, b) = (random::<u64>(n_bytes / 8, 0), random::<u64>(n_bytes / 8, 1));
        meter.time(work("copy"), true, || {
            black_box(&mut a).copy_from_slice(black_box(&b))
        });
        let right = right(ring::add_assign, |a: u64, b| a.wrapping_add(b));
        meter.time(work("ring-add-u64"), right, || {
            ring::add_assign(black_box(&mut a), black_box(&b))
        });
        meter.ratio_to(&copy, None);
        let right = self::right(ring::mul_assign, |a: u64, b| a.wrapping_mul(b));
        meter.time(work("ring-mul-u64"), right, || {
            ring::mul_assign(black_box(&mut a), black_box(&b))
        });
        meter.ratio_to(&copy, None);
        let mut prg = prg(2);
        meter.time(work("prg"), replays(), || prg.fill_ring(black_box(&mut a)));
        meter.ratio_to(&copy, None);
    }
    let (mut a, b) = (
        random::<u128>(n_bytes / 16, 0),
        random::<u128>(n_bytes / 16, 1),
    );
    let right = right(ring::mul_assign, |a: u128, b| a.wrapping_mul(b));
    meter.time(work("ring-mul-u128"), right, || {
        ring::mul_assign(black_box(&mut a), black_box(&b))
    });
    let mut blocks: Vec<Block> = a.into_iter().map(Block).collect();
    let hash = CrHash::new(&Seed::from_bytes(SEED));
    meter.time(work("hash"), hashes_alike(&hash), || {
        hash.hash_in_place(black_box(&mut blocks), 0)
    });
}

/// A loop over vectors does what it does to single values.
fn right<R: Ring>(loops: impl Fn(&mut [R], &[R]), single: impl Fn(R, R) -> R) -> bool {
    let (before, b) = (random::<R>(1001, 3), random::<R>(1001, 4));
    let mut a = before.clone();
    loops(&mut a, &b);
    a.iter()
        .zip(before.iter().zip(&b))
        .all(|(a, (x, y))| *a == single(*x, *y))
}

/// The generator gives the same in one piece and in two.
fn replays() -> bool {
    let whole = random::<u64>(4096, 5);
    let mut pieces = vec![0; 4096];
    let mut prg = prg(5);
    let (first, second) = pieces.split_at_mut(1024);
    prg.fill_ring(first);
    prg.fill_ring(second);
    whole == pieces
}

/// Many blocks are hashed as they are one by one.
fn hashes_alike(hash: &CrHash) -> bool {
    let mut many: Vec<Block> = random::<u128>(200, 6).into_iter().map(Block).collect();
    let single: Vec<u128> = (0..many.len())
        .map(|i| {
            let mut one = [many[i]];
            hash.hash_in_place(&mut one, i as u64);
            one[0].0
        })
        .collect();
    hash.hash_in_place(&mut many, 0);
    many.iter().map(|block| block.0).eq(single)
}

const DIRECTION: Direction = Direction {
    session_id: SEED,
    operation: 0,
    sender: 0,
    receiver: 1,
};

fn set_up() -> (Sender, Receiver) {
    let mut prg = prg(7);
    let (sender, points) = SenderSetup::new(DIRECTION, &mut prg);
    let (receiver, key) = ReceiverSetup::new(DIRECTION, &mut prg);
    let (receiver, trees) = receiver.finish(&points).expect("an honest message");
    (
        sender.finish(&key, &trees).expect("honest messages"),
        receiver,
    )
}

/// Random OTs of one bit. Each side by itself, on all cores.
fn transfer(meter: &mut Meter<'_>) {
    let n = meter.scale.size(1 << 22, 1 << 16);
    meter.time(
        Work::new("kernels/ot-base-both-sides/128", 128, "OT"),
        true,
        || {
            black_box(set_up());
        },
    );
    let (mut sender, mut receiver) = set_up();
    let (theirs, message) = receiver.bits(n, None).expect("far from exhausted");
    let ours = sender
        .bits(n, Choices::Random, &message)
        .expect("of the right length");
    let chosen = ours.zeros.iter().zip(&ours.ones).zip(&theirs.choices);
    let correct = chosen
        .map(|((zeros, ones), choices)| zeros & !choices | ones & choices)
        .eq(theirs.chosen.iter().copied());
    let work = |side: &str| Work::new(format!("kernels/ot-softspoken-{side}/{n}"), n, "OT");
    meter.time(work("receiver"), correct, || {
        black_box(receiver.bits(n, None).expect("far from exhausted"));
    });
    meter.time(work("sender"), correct, || {
        let bits = sender.bits(n, Choices::Random, &message);
        black_box(bits.expect("of the right length"));
    });
}

/// The ceiling is measured for this long at a time.
const CEILING_STEPS_TIME: Duration = Duration::from_millis(50);

/// A square product on all cores, beside what the processor multiplies and adds in registers alone.
fn matrices<R: Ring>(meter: &mut Meter<'_>, ring: &str, side: usize) {
    let n_threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let n_steps = steps_within::<R>(CEILING_STEPS_TIME);
    let n_products = matrix::register_only::<R>(n_steps).0 as usize * n_threads;
    let ceiling = format!("kernels/multiply-add-ceiling/{ring}");
    meter.time(
        Work::new(ceiling.clone(), n_products, "multiply-add"),
        true,
        || {
            std::thread::scope(|scope| {
                for _ in 0..n_threads {
                    scope.spawn(|| black_box(matrix::register_only::<R>(black_box(n_steps))));
                }
            });
        },
    );
    let (a, b) = (random::<R>(side * side, 8), random::<R>(side * side, 9));
    let (a, b) = (View::new(&a, side, side), View::new(&b, side, side));
    let mut c = vec![R::ZERO; side * side];
    matrix::mul_acc(&mut c, a, b);
    let correct = is_product(&c, a, b);
    let id = format!("kernels/matrix-{ring}/{side}x{side}x{side}");
    meter.time(Work::new(id, side.pow(3), "multiply-add"), correct, || {
        matrix::mul_acc(black_box(&mut c), a, b);
    });
    meter.ratio_to(&ceiling, Some("at least 0.5"));
}

fn steps_within<R: Ring>(time: Duration) -> u64 {
    const TRIAL: u64 = 100_000;
    let began = std::time::Instant::now();
    black_box(matrix::register_only::<R>(TRIAL));
    TRIAL * (time.as_nanos() / began.elapsed().as_nanos().max(1)).max(1) as u64
}

/// c·x = a·(b·x) for a random x, which a wrong c passes with probability 1/2 at most for each of the
/// 64 columns of x (Freivalds).
fn is_product<R: Ring>(c: &[R], a: View<'_, R>, b: View<'_, R>) -> bool {
    const N_VECTORS: usize = 64;
    (0..N_VECTORS).all(|i| {
        let x = random::<R>(b.n_cols(), 10 + i as u64);
        let x = View::new(&x, b.n_cols(), 1);
        let bx = matrix::mul(b, x);
        let abx = matrix::mul(a, View::new(&bx, b.n_rows(), 1));
        abx == matrix::mul(View::new(c, a.n_rows(), b.n_cols()), x)
    })
}
