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
    let terms = counts.iter().map(|n| (*n as f64 - expected).powi(2));
    terms.sum::<f64>() / expected.max(1e-9)
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
