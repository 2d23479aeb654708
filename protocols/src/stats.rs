//! Statistics that need comparisons or an order.
//!
//! What most of them find are shares: of one number for each cell of a table, over the ring in which
//! the job keeps it, or of a few sums. They are released like the holders' own totals: as further
//! columns of the [`LocalTotals`](crate::aggregate::LocalTotals) of one release, which holds small
//! cells back and opens the others to the receivers by commit-then-open. [`top`] and [`group`] choose
//! what is released themselves, and take a [`Disclosure`](crate::disclose::Disclosure) of their own.
//!
//! * [`extreme`]: MIN and MAX of each group, from every holder's own;
//! * [`quantile`]: quantiles over a small public domain, from every holder's counts;
//! * [`select`]: quantiles over any domain, from every holder's rows;
//! * [`weighted`]: quantiles over any domain, from rows that each count as often as a shared number says, and from values
//!   that are shares as well;
//! * [`different`]: how many different values rows have that each count as often as a shared number says;
//! * [`distinct`]: how many different keys the holders have together, of each group;
//! * [`top`]: the first cells in the order of a hidden total;
//! * [`group`]: totals of groups whose keys are not public, and ([`group::coded`]) of those whose holders have numbered them;
//! * [`rank`]: sums for the rank correlation of two columns, of each group, from every holder's rows or from shared ones;
//! * [`survival`]: curves of survival and the sums of a log-rank test, from counts by arm and time.

pub mod extreme;
pub mod quantile;
pub mod select;
pub mod weighted;
pub mod distinct;
pub mod different;
pub mod top;
pub mod group;
pub mod rank;
pub mod survival;
mod input;
mod ones;
mod passes;

use engine::share::boolean::{self, BitShare};
use zeroize::Zeroizing;

/// Cuts numbers of up to 128 bits into vectors of bits, lowest first.
fn planes_of(values: &[u128], n_planes: usize) -> Vec<BitShare> {
    let low: Vec<u64> = values.iter().map(|v| *v as u64).collect();
    let low = Zeroizing::new(low);
    let mut planes = boolean::to_planes(&low, n_planes.min(64));
    if n_planes > 64 {
        let high: Vec<u64> = values.iter().map(|v| (*v >> 64) as u64).collect();
        let high = Zeroizing::new(high);
        planes.extend(boolean::to_planes(&high, n_planes - 64));
    }
    planes
}

/// Several vectors of bits, one after the other.
fn end_to_end<'a>(vectors: impl IntoIterator<Item = &'a BitShare>) -> BitShare {
    let mut all = BitShare::zero(0);
    for vector in vectors {
        all.append(BitShare::from_words(
            vector.n_bits(),
            vector.as_words().to_vec(),
        ));
    }
    all
}

/// Bits that a number in 0 ..= `greatest` needs.
fn bits_for(greatest: u128) -> usize {
    (u128::BITS - greatest.leading_zeros()) as usize
}
