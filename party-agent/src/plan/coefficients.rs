//! How long this program works on one thing of each kind, for predictions.
//!
//! For one machine (two cores, Zen 4) with all parties on it; somebody else's machine is some factor away from it, so a
//! prediction says whether a job takes a second or an hour. They are constants of the program, because every agent must
//! compile the same plan. Reading is measured (`benches/RECORD.md`, the job of three holders); the figures of
//! correlations are estimates from a busy machine, which `entente bench protocols` is to replace.

use protocols::correlate::{self, Needs, RingNeeds, Source};
use protocols::party::Seat;

/// Connecting, shaking hands, signing: paid once.
pub(super) const START_US: u64 = 100_000;

/// Reading one value of one row from Parquet and adding it to its group: `entente bench job`, `reading`, over rows and
/// columns.
pub(super) const READ_NS_A_VALUE: u64 = 40;

/// Reading one key, evening out its spelling and hashing it. Estimated, like the three below: `entente bench intersect`
/// has the whole.
pub(super) const READ_KEY_NS: u64 = 500;

/// VOLE-PSI: what a run takes before the first key, and for each key of both sides.
pub(super) const VOLE_START_US: u64 = 40_000;
pub(super) const VOLE_KEY_NS: u64 = 250;

/// Putting a secret on one key's element of Curve25519, with two cores.
pub(super) const CURVE_KEY_NS: u64 = 5_000;

/// Applying a holder's key to one record of a table, once a version; and to one question, proof included, at both ends.
pub(super) const OPRF_KEY_NS: u64 = 30_000;
pub(super) const OPRF_QUESTION_NS: u64 = 150_000;

/// Making and using one correlation, in picoseconds.
struct Work {
    /// Estimated; to be had from `entente bench protocols`: `prepare-dealer` over the correlations that the case takes.
    dealt_ps: u64,
    /// `online`, likewise.
    used_ps: u64,
}

/// Cases `and`, `less-than-zero-summed-u64`.
const BIT_TRIPLE: Work = Work {
    dealt_ps: 150,
    used_ps: 250,
};

/// Case `multiply-u64`. A correlation over Z_2^128 counts as two.
const RING_ITEM: Work = Work {
    dealt_ps: 15_000,
    used_ps: 25_000,
};

/// Making what a party sends of correlations without a dealer, a byte: hashes on both sides and the wire are all that there
/// is to it, whatever is made (`benches/RECORD.md`, models without a dealer).
const TRANSFERRED_NS_A_BYTE: u64 = 10;

impl Work {
    fn ps(&self, source: &Source, n: u64) -> u64 {
        let made = match source {
            Source::Dealer { .. } => self.dealt_ps,
            Source::Ot | Source::FerretOt => 0,
        };
        n.saturating_mul(made + self.used_ps)
    }
}

/// Microseconds of a party's work with correlations.
pub(super) fn correlations_us(source: &Source, n_computing: usize, needs: &Needs) -> u64 {
    let bits = needs
        .bit_triples
        .saturating_add(needs.bit_pairs.saturating_mul(2))
        // Four transfers where a triple takes two.
        .saturating_add(needs.tables.saturating_mul(2));
    let elements =
        ring_items(&needs.ring64).saturating_add(ring_items(&needs.ring128).saturating_mul(2));
    let rows = needs
        .permutations
        .iter()
        .map(|p| (p.n_rows * p.n_words) as u64)
        .sum();
    let ps = BIT_TRIPLE
        .ps(source, bits)
        .saturating_add(RING_ITEM.ps(source, elements))
        .saturating_add(RING_ITEM.ps(source, rows));
    let transferred_ns = match source {
        Source::Dealer { .. } => 0,
        // Ferret saves bytes and not work.
        Source::Ot | Source::FerretOt => {
            let cost = correlate::cost(&Source::Ot, n_computing, needs);
            let sent = Seat::first(n_computing).map(|seat| cost.bytes_sent(seat));
            sent.max()
                .unwrap_or(0)
                .saturating_mul(TRANSFERRED_NS_A_BYTE)
        }
    };
    transferred_ns / 1000 + ps / 1_000_000
}

/// Correlations over a ring as a number of triples: those with bits cost one for the number and the bits of it.
fn ring_items(needs: &RingNeeds) -> u64 {
    let truncs: u64 = needs.truncs.values().sum();
    let scalings: u64 = needs
        .scalings
        .iter()
        .map(|(n_columns, n)| *n_columns as u64 * n)
        .sum();
    let matrices = needs
        .matrices
        .iter()
        .map(|m| (m.m * m.k + m.k * m.n + m.m * m.n) as u64);
    needs.triples
        + needs.dabits
        + 2 * needs.edabits
        + needs.muxes
        + truncs
        + scalings
        + matrices.sum::<u64>()
}
