//! Private set intersection: what sets of two holders have in common, and nothing else of them.
//!
//! Holders call one thing by the same name in different spellings, so names are normalised and
//! hashed first ([`keys`]). What enters a protocol is a set of [`Item`]s: distinct hashes under a
//! key of the job, which keep jobs apart and give all names one width. The hash is no protection:
//! whoever knows the job's key can try names. The protocols are.
//!
//! * [`ecdh`]: each side puts a secret on both sets in a group: little traffic, and sets may be
//!   larger than memory;
//! * [`vole`]: symmetric operations alone, and the fastest where a link carries 32 bytes an item;
//! * [`many`]: three or more holders, of whom none learns what some of them have in common;
//! * [`circuit`]: matches in shares, for counts, sums and joins in which nobody sees who matched;
//! * [`tags`]: sorted runs of what is compared in the end, in memory or in files;
//! * [`stored`]: sets that are larger than memory.

pub mod keys;
pub mod tags;
pub mod ecdh;
pub mod stored;
mod oprf;
pub mod vole;
mod opprf;
pub mod many;
pub mod circuit;

pub use engine::curve::Item;

use crate::cost::{Cost, Stream};
use crate::error::{Misdeed, ProtocolError};
use crate::party::Seat;
use crate::session::Session;
use crate::wire::{Kind, Wire, WireError};
use bytes::Bytes;
use engine::params::STATISTICAL_BITS;
use rayon::prelude::*;

/// Bytes of a tag when `n` items are compared with `m`: two different ones have the same tag with
/// probability under 2^−40, over all pairs. 16 at most: more than 2^88 pairs are never compared.
pub fn tag_bytes(n: usize, m: usize) -> usize {
    let log = |n: usize| n.next_power_of_two().trailing_zeros() as usize;
    (STATISTICAL_BITS + log(n) + log(m)).div_ceil(8).min(16)
}

/// True if no item comes twice.
fn are_distinct(items: &[Item]) -> bool {
    let mut items: Vec<&Item> = items.iter().collect();
    items.par_sort_unstable();
    items.windows(2).all(|pair| pair[0] != pair[1])
}

/// The number of a holder's items.
pub(crate) struct Count(pub(crate) u64);

impl Wire for Count {
    const KIND: Kind = Kind::Count;
    type Shape = ();

    fn wire_len((): ()) -> usize {
        8
    }

    fn encode(self) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_le_bytes())
    }

    fn decode((): (), body: Bytes) -> Result<Self, WireError> {
        let bytes = body[..].try_into().expect("the session checked the length");
        Ok(Self(u64::from_le_bytes(bytes)))
    }
}

/// Tells `peer` how many items will come, and asks how many it has. Every message after this one
/// has a length that both know.
///
/// # Seats     symmetric between this seat and `peer`
/// # Inputs    `n_items`: of this seat; `at_most`: what this holder's policy accepts of the peer
/// # Output    the number of the peer's items
/// # Cost      1 round; 8 bytes each way; [`announce_cost`]
/// # Security  reveals both numbers to both
/// # Errors    [`ProtocolError::Link`]; [`ProtocolError::PeerMisbehaved`] if the peer announces more
///   than `at_most`, before anything is set aside for it
/// # Source    none: a number is sent
pub async fn announce(
    session: &mut Session,
    peer: Seat,
    n_items: usize,
    at_most: usize,
) -> Result<usize, ProtocolError> {
    let mine = Some(Count(n_items as u64));
    let received = session.round(&[peer], &[peer], mine, ()).await?;
    let (_, Count(theirs)) = received
        .into_iter()
        .next()
        .expect("one message from the peer");
    let announced = match usize::try_from(theirs) {
        Ok(n_items) if n_items <= at_most => Ok(n_items),
        _ => Err(ProtocolError::PeerMisbehaved {
            seat: peer,
            what: Misdeed::Rule("it announced more items than were agreed on"),
        }),
    };
    session.ended_by(announced)
}

/// The declared cost of [`announce`].
pub fn announce_cost(n_seats: usize, a: Seat, b: Seat) -> Cost {
    let count = Stream {
        n_bytes: 8,
        n_messages: 1,
    };
    Cost::round(n_seats, [(a, b, count), (b, a, count)])
}
