//! Bytes that a decoder is fed with: changed samples, of which two are joined now and then, and noise.
//!
//! The same every time, so often as the caller says; with `ENTENTE_FUZZ_SECONDS=60` it goes on for so long at each decoder.

use std::time::{Duration, Instant};

/// xorshift64*: small, seeded, the same everywhere.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }
}

/// Pieces on which decoders have fallen elsewhere.
const PIECES: [&[u8]; 18] = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"[[[[[[[[",
    b"{\"a\":",
    b"null",
    b"-1",
    b"1e999",
    b"9007199254740993",
    b"18446744073709551615",
    b"\n\n",
    b"[a.b]\nc = ",
    b" \t\r\n",
    "\u{2014} ".as_bytes(),
    "\u{ffff}科".as_bytes(),
];

pub(crate) fn changed(draw: &mut Draw, samples: &[Vec<u8>]) -> Vec<u8> {
    if draw.below(16) == 0 {
        let n_bytes = draw.below(600);
        return (0..n_bytes).map(|_| draw.byte()).collect();
    }
    let mut bytes = samples[draw.below(samples.len())].clone();
    for _ in 0..=draw.below(3) {
        let at = draw.below(bytes.len() + 1);
        let to = (at + draw.below(20)).min(bytes.len());
        match draw.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << draw.below(8),
            1 if at < bytes.len() => bytes[at] = draw.byte(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..to)),
            4 => drop(bytes.splice(at..to, PIECES[draw.below(PIECES.len())].to_vec())),
            5 => {
                let copy = bytes[at..to].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            _ => {
                let other = &samples[draw.below(samples.len())];
                let from = draw.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

/// Says what was fed when a decoder panics.
struct Fed<'a>(&'a str, u64, &'a [u8]);

impl Drop for Fed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = String::from_utf8_lossy(self.2);
            eprintln!("{}, number {}: {text:?}", self.0, self.1);
        }
    }
}

/// Calls `case` with 0, 1, …: so many times, or for as many seconds as the environment says.
pub(crate) fn repeat(times: u64, mut case: impl FnMut(u64)) {
    let seconds = std::env::var("ENTENTE_FUZZ_SECONDS");
    let seconds = seconds.map_or(0, |s| s.parse().expect("a whole number of seconds"));
    let started = Instant::now();
    let mut n = 0;
    while n < times || started.elapsed() < Duration::from_secs(seconds) {
        case(n);
        n += 1;
    }
}

/// Feeds a decoder so many times, or for as many seconds as the environment says.
pub(crate) fn feed_for(
    times: u64,
    what: &str,
    samples: &[Vec<u8>],
    mut decoder: impl FnMut(&[u8]),
) {
    let mut draw = Draw::new(20_261_123);
    repeat(times, |n| {
        let bytes = changed(&mut draw, samples);
        let _fed = Fed(what, n, &bytes);
        decoder(&bytes);
    });
}

/// The same, as often as is quick for a decoder of short documents.
pub(crate) fn feed(what: &str, samples: Vec<Vec<u8>>, decoder: impl FnMut(&[u8])) {
    feed_for(3000, what, &samples, decoder);
}
