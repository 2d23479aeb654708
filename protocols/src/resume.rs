//! From which step a computation goes on that broke off: the last one from which every seat can.
//!
//! Seats keep checkpoints by themselves. A seat that was killed may lack the last one, so each keeps two, and all meet at the
//! newest that all have. What is told of a checkpoint is its step and a digest of what all seats know of it: never a share, nor
//! a digest of one. Nothing of the earlier session's randomness is kept: correlations and masks are those of this session.
//!
//! What a fit on shares goes on from is a share, which each seat keeps by itself ([`Standing`]). It is made anew before it is
//! used, so that what this session sends depends on no share of the earlier one.

use bytes::{BufMut, Bytes, BytesMut};

use crate::arith::rerandomise;
use crate::cost::{Cost, Stream};
use crate::error::ProtocolError;
use crate::net::BoxFuture;
use crate::session::Session;
use crate::wire::{Kind, Wire, WireError};
use engine::share::Share;

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

/// Where a fit on shares stands: what one seat keeps of it. Alone its share is uniform and tells nothing.
pub struct Standing {
    /// After how many steps, at least one.
    pub step: u32,
    /// This seat's share of what the next step begins with; of what that is made, the fit says.
    pub share: Share<u128>,
}

/// Who keeps where a fit stands.
pub trait Keeper: Send {
    /// Keeps it. The fit waits for that, and goes on if it fails.
    fn keep(&mut self, standing: Standing) -> BoxFuture<'_, ()>;
}

/// Where a fit on shares begins, and who keeps where it stands. The default begins anew and keeps nothing.
#[derive(Default)]
pub struct Course<'a> {
    from: Option<Standing>,
    keeper: Option<(u32, &'a mut dyn Keeper)>,
}

impl<'a> Course<'a> {
    /// One that goes on, or begins anew, and is kept after every so many steps; never, if that is 0.
    pub fn new(from: Option<Standing>, every: u32, keeper: &'a mut dyn Keeper) -> Self {
        Self {
            from,
            keeper: (every > 0).then_some((every, keeper)),
        }
    }

    /// Where the fit goes on, shared anew; `None` to begin anew.
    ///
    /// # Seats     symmetric, any number ≥ 2
    /// # Inputs    `n_done`: after how many steps of `n_steps`, as the public shape has it, 0 to begin anew; `len`: of how many
    ///   elements the share is
    /// # Output    a share of the same value
    /// # Cost      nothing is sent
    /// # Security  semi-honest; the share does not depend on that of the earlier session, but for the value
    /// # Errors    [`ProtocolError::InvalidInput`] before anything is sent if this is not where the shape says
    /// # Source    as [`rerandomise`]
    pub(crate) async fn begun(
        &mut self,
        session: &mut Session,
        (n_done, n_steps): (u32, u32),
        len: usize,
    ) -> Result<Option<Share<u128>>, ProtocolError> {
        let fits = match &self.from {
            None => n_done == 0,
            Some(from) => {
                from.step == n_done && (1..n_steps).contains(&n_done) && from.share.len() == len
            }
        };
        let fits = fits.then_some(()).ok_or(ProtocolError::InvalidInput {
            what: "a fit goes on where its shape says, before its last step, from all of its coefficients",
        });
        session.ended_by(fits)?;
        match self.from.take() {
            None => Ok(None),
            Some(from) => Ok(Some(rerandomise(session, from.share).await)),
        }
    }

    /// So many steps of `of` are done: keeps where the fit stands, if it is time to. After the last one nothing is left to go on
    /// with.
    pub(crate) async fn reached(
        &mut self,
        (step, of): (u32, u32),
        share: impl FnOnce() -> Share<u128>,
    ) {
        let Some((every, keeper)) = &mut self.keeper else {
            return;
        };
        if step < of && step.is_multiple_of(*every) {
            let share = share();
            keeper.keep(Standing { step, share }).await;
        }
    }
}
