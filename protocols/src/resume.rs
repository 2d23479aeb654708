//! From which step a computation goes on that broke off: the last one from which every seat can.
//!
//! Seats keep checkpoints by themselves. A seat that was killed may lack the last one, so each keeps two, and all meet at the
//! newest that all have. What is told of a checkpoint is its step and a digest of what all seats know of it: never a share, nor
//! a digest of one. Nothing of the earlier session's randomness is kept: correlations and masks are those of this session.

use bytes::{BufMut, Bytes, BytesMut};

use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::session::Session;
use crate::wire::{Kind, Wire, WireError};

/// Most checkpoints that a seat offers.
pub const MAX_OFFERS: usize = 2;

/// A checkpoint that a seat has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// After how many steps it was kept, at least one.
    pub step: u32,
    /// Of what all seats know: seats with the same digest have parts of one checkpoint.
    pub digest: [u8; 32],
}

const OFFER_BYTES: usize = 4 + 32;

/// What a seat offers, filled up to [`MAX_OFFERS`] with step 0.
struct Offers(Vec<Offer>);

impl Wire for Offers {
    const KIND: Kind = Kind::Checkpoints;
    type Shape = ();

    fn wire_len((): ()) -> usize {
        MAX_OFFERS * OFFER_BYTES
    }

    fn encode(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(Self::wire_len(()));
        for offer in self.0.iter().take(MAX_OFFERS) {
            bytes.put_u32_le(offer.step);
            bytes.put_slice(&offer.digest);
        }
        bytes.resize(Self::wire_len(()), 0);
        bytes.freeze()
    }

    fn decode((): (), body: Bytes) -> Result<Self, WireError> {
        let (offers, _) = body.as_chunks::<OFFER_BYTES>();
        let offers = offers.iter().map(|bytes| {
            let (step, digest) = bytes.split_at(4);
            Offer {
                step: u32::from_le_bytes(step.try_into().expect("four bytes")),
                digest: digest.try_into().expect("32 bytes"),
            }
        });
        Ok(Self(offers.filter(|offer| offer.step > 0).collect()))
    }
}

/// Finds the last checkpoint that all computing seats have.
///
/// # Seats     symmetric, any number ≥ 2; a dealer takes no part
/// # Inputs    `mine`: what this seat has, at most [`MAX_OFFERS`], none of step 0
/// # Output    the one with the most steps among those that every seat has offered; `None` if there is none. The same at all
///   seats
/// # Cost      1 round; 72 bytes to each other computing seat; [`agree_cost`]
/// # Security  semi-honest; reveals to all computing seats which checkpoints each of them has
/// # Errors    [`ProtocolError::InvalidInput`] before anything is sent; [`ProtocolError::Link`],
///   [`ProtocolError::PeerMisbehaved`] (length)
/// # Source    none: digests are told and compared
pub async fn agree(session: &mut Session, mine: &[Offer]) -> Result<Option<Offer>, ProtocolError> {
    let is_valid = mine.len() <= MAX_OFFERS && mine.iter().all(|offer| offer.step > 0);
    let valid = is_valid.then_some(()).ok_or(ProtocolError::InvalidInput {
        what: "at most two checkpoints, each after a step",
    });
    session.ended_by(valid)?;
    let theirs = session.exchange(Offers(mine.to_vec()), ()).await?;
    let common = mine.iter().filter(|offer| {
        let mut all = theirs.iter();
        all.all(|(_, Offers(theirs))| theirs.contains(offer))
    });
    // Two of one step that all have: the order must not be a seat's own.
    Ok(common
        .max_by_key(|offer| (offer.step, offer.digest))
        .copied())
}

/// The declared cost of [`agree`].
pub fn agree_cost(n_seats: usize, n_computing: usize) -> Cost {
    let offers = Stream {
        n_bytes: (MAX_OFFERS * OFFER_BYTES) as u64,
        n_messages: 1,
    };
    Cost::all_to_all(n_seats, n_computing, offers)
}
