//! Kernels against known answers, naive references and their own definitions.
//!
//! Everything random comes from [`SEED`]; each test prints it, so that a failure can be repeated.

mod bits;
mod curve;
mod fixed;
mod gf128;
mod hash;
mod known_answers;
mod okvs;
mod ot;
mod prg;
mod ring;
mod share;
mod switching;
mod vole;

use engine::prg::{Prg, Seed};
use proptest::test_runner::{Config, RngSeed};

/// The one seed of this suite.
const SEED: u64 = 0x656e_7465_6e74_6531;

/// Vector lengths at which loops, words, tiles and batches begin and end.
const LENGTHS: [usize; 20] = [
    0, 1, 2, 3, 7, 31, 63, 64, 65, 127, 128, 129, 251, 255, 256, 257, 1021, 1023, 1024, 1025,
];

/// A generator for one test, named by `label`.
fn prg(label: &'static str) -> Prg {
    println!("seed {SEED:#x}, {label}");
    let seed = engine::hash::derive_key(
        "entente/v1/test/kernels",
        &[&SEED.to_le_bytes(), label.as_bytes()],
    );
    Prg::new(&seed, 0)
}

/// A seed for one test, named by `label`.
fn seed(label: &'static str) -> Seed {
    Seed::random(&mut prg(label))
}

/// Property tests with the suite's seed, and no file of past failures.
fn property(cases: u32) -> Config {
    println!("seed {SEED:#x}");
    Config {
        cases,
        rng_seed: RngSeed::Fixed(SEED),
        failure_persistence: None,
        ..Config::default()
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("hexadecimal digits are ASCII");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    };
    digits.chunks_exact(2).map(byte).collect()
}
