//! Whether bytes look uniform: Pearson's χ² of how often each of the 256 values occurs.

use protocols::net::record::{Direction, Transcript};
use protocols::party::Seat;
use protocols::wire::Kind;

/// Five standard deviations over the mean of χ² with 255 degrees of freedom: 255 + 5·√(2·255).
pub(crate) const BOUND: f64 = 368.0;

/// Fewer bytes than these, and the approximation by χ² is poor.
const LEAST_BYTES: usize = 40 * 256;

/// χ² of how often each value occurs.
pub(crate) fn of_counts(counts: &[u64; 256]) -> f64 {
    let expected = counts.iter().sum::<u64>() as f64 / 256.0;
    against(counts, &[expected; 256])
}

/// χ² of how often each bin was drawn, against how often it should be.
fn against(observed: &[u64], expected: &[f64]) -> f64 {
    let bins = observed.iter().zip(expected);
    bins.map(|(n, e)| (*n as f64 - e).powi(2) / e.max(1e-9))
        .sum()
}

/// Whether draws fit a distribution: χ² is at most five standard deviations over its mean, as [`BOUND`].
pub(crate) fn fits(observed: &[u64], expected: &[f64]) -> bool {
    let freedom = observed.len() as f64 - 1.0;
    against(observed, expected) < freedom + 5.0 * (2.0 * freedom).sqrt()
}

/// Draws fit a distribution, whose bins all have enough of them.
pub(crate) fn check(observed: &[u64], expected: &[f64], what: &str) {
    assert_eq!(observed.len(), expected.len());
    assert!(
        expected.iter().all(|e| *e >= 10.0),
        "{what}: an empty bin tells nothing"
    );
    let chi = against(observed, expected);
    println!("{what}: χ² = {chi} over {} bins", observed.len());
    assert!(fits(observed, expected), "{what}: χ² = {chi}");
}

/// χ² of bytes.
pub(crate) fn of_bytes<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> f64 {
    let mut counts = [0u64; 256];
    bytes.into_iter().for_each(|b| counts[usize::from(*b)] += 1);
    of_counts(&counts)
}

/// Of the messages of each of these kinds all that a seat receives looks uniform, or the part of a body that
/// is named; of each kind some seat receives enough to tell.
pub(crate) fn check_received(
    transcripts: &[Transcript],
    kinds: &[Kind],
    part: impl Fn(Kind, &[u8]) -> Vec<u8>,
) {
    for kind in kinds {
        let mut most = 0;
        for (seat, transcript) in Seat::first(transcripts.len()).zip(transcripts) {
            let received = transcript
                .iter()
                .filter(|e| e.direction == Direction::Received && e.frame.kind == *kind as u16);
            let bytes: Vec<u8> = received.flat_map(|e| part(*kind, &e.frame.body)).collect();
            most = most.max(bytes.len());
            let chi = of_bytes(&bytes);
            assert!(
                bytes.len() < LEAST_BYTES || chi < BOUND,
                "{seat}, {kind:?}: χ² = {chi}"
            );
        }
        assert!(most >= LEAST_BYTES, "{kind:?}: {most} bytes tell nothing");
    }
}

/// All of a message.
pub(crate) fn whole(_: Kind, body: &[u8]) -> Vec<u8> {
    body.to_vec()
}
