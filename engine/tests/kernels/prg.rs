use crate::{LENGTHS, prg, seed};
use engine::prg::{Prg, Seed};

fn stream(seed: &Seed, number: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    Prg::new(seed, number).fill_bytes(&mut out);
    out
}

#[test]
fn a_stream_does_not_depend_on_how_it_is_read() {
    let seed = seed("reading");
    let whole = stream(&seed, 7, 1 << 14);
    let mut lengths = prg("read lengths");
    let mut reader = Prg::new(&seed, 7);
    let mut pieces = Vec::new();
    while pieces.len() < whole.len() {
        let left = whole.len() - pieces.len();
        let mut piece = vec![0; left.min(lengths.next_bounded(2100) as usize)];
        reader.fill_bytes(&mut piece);
        pieces.extend_from_slice(&piece);
    }
    assert_eq!(pieces, whole);
}

#[test]
fn seek_reaches_every_block() {
    let seed = seed("seek");
    let whole = stream(&seed, 3, 16 * 300);
    let mut prg = Prg::new(&seed, 3);
    for block in [0, 299, 1, 8, 7, 64, 65, 255, 63] {
        prg.seek(block as u64);
        let mut out = [0; 16];
        prg.fill_bytes(&mut out);
        assert_eq!(out[..], whole[16 * block..][..16], "block {block}");
    }
    // A seek forgets what was buffered.
    prg.next_u64();
    prg.seek(2);
    assert_eq!(prg.next_u64().to_le_bytes(), whole[32..40]);
}

#[test]
fn elements_are_the_bytes_of_the_stream() {
    let seed = seed("elements");
    for len in LENGTHS {
        let mut narrow = vec![0u64; len];
        Prg::new(&seed, 0).fill_ring(&mut narrow);
        let mut wide = vec![0u128; len];
        Prg::new(&seed, 0).fill_ring(&mut wide);
        let bytes = stream(&seed, 0, 16 * len);
        assert_eq!(
            narrow,
            engine::ring::from_bytes::<u64>(&bytes[..8 * len]).unwrap()
        );
        assert_eq!(wide, engine::ring::from_bytes::<u128>(&bytes).unwrap());
    }
}

#[test]
fn streams_and_seeds_share_no_block() {
    let (one, two) = (seed("one"), seed("two"));
    let derived = one.derive("entente/v1/test/child", &[b"a"]);
    let sibling = one.derive("entente/v1/test/child", &[b"b"]);
    let mut blocks = std::collections::BTreeSet::new();
    let n = 64 * 16;
    for seed in [&one, &two, &derived, &sibling] {
        // Streams whose numbers differ in one bit, at both ends of the counter.
        for number in [0, 1, 1 << 63, u64::MAX] {
            blocks.extend(stream(seed, number, n).chunks(16).map(<[u8]>::to_vec));
        }
    }
    assert_eq!(blocks.len(), 4 * 4 * 64);
}

/// χ² with 255 degrees of freedom: the mean is 255, and 400 is 6.4 standard deviations off.
#[test]
fn bytes_are_uniform() {
    let bytes = stream(&seed("uniform"), 0, 1 << 20);
    let mut counts = [0u32; 256];
    for byte in &bytes {
        counts[usize::from(*byte)] += 1;
    }
    let expected = bytes.len() as f64 / 256.0;
    let chi2: f64 = counts
        .iter()
        .map(|c| (f64::from(*c) - expected).powi(2) / expected)
        .sum();
    assert!((120.0..400.0).contains(&chi2), "χ² = {chi2}");
}

#[test]
fn bounded_numbers_are_uniform_and_below_the_bound() {
    let mut prg = prg("bounded");
    for bound in [1, 2, 3, 10, 1 << 33, u64::MAX] {
        assert!((0..1000).all(|_| prg.next_bounded(bound) < bound));
    }
    // The worst bound, two thirds of 2^64: without rejection even numbers would come twice as
    // often as odd ones, and with a remainder instead the lower half twice as often as the upper.
    let bound = (u64::MAX / 3) * 2;
    let n = 30_000;
    let draws: Vec<u64> = (0..n).map(|_| prg.next_bounded(bound)).collect();
    let low = draws.iter().filter(|v| **v < bound / 2).count();
    let even = draws.iter().filter(|v| **v % 2 == 0).count();
    assert!(
        (14_400..15_600).contains(&low),
        "{low} of {n} in the lower half"
    );
    assert!((14_400..15_600).contains(&even), "{even} of {n} even");
}
