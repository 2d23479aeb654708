//! Groups for Diffie–Hellman on hashed items.
//!
//! A [`Group`] turns items into group elements under a secret, and puts a second secret on elements
//! that another party made. Both orders give the same element, so two parties can compare items
//! that neither has shown to the other. The two groups here agree on nothing but that:
//!
//! * [`ristretto::Ristretto`]: ristretto255 (RFC 9496). Of prime order; decoding refuses everything
//!   that is no element.
//! * [`montgomery::Montgomery`]: the x-coordinates of Curve25519 (RFC 7748), eight at a time where
//!   the processor allows it. Secrets are multiples of the cofactor, so parts of small order vanish.
//!
//! Items are hashed to a point *of the curve* (RFC 9380). Taking a hash for an x-coordinate would
//! put half of the items on the curve's twist, where they stay under any secret: every masked item
//! would tell one bit about the item.

pub(crate) mod expand;
pub mod ristretto;
pub mod montgomery;

use crate::params::{ITEM_BYTES, POINT_BYTES};
use crate::prg::Prg;
use rayon::prelude::*;

/// An item that is to be compared: a hash of what people call it, made elsewhere.
pub type Item = [u8; ITEM_BYTES];

/// A group element as it is sent.
pub type Encoded = [u8; POINT_BYTES];

/// Items or elements that one thread takes at a time: enough that the one inversion for all of
/// them costs nothing.
const BATCH: usize = 256;

/// A string from another party that is no element of the group, or no useful one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElementError {
    /// It is not the encoding of a group element, or not the only one of its element.
    #[error("element {index} is not a canonical encoding")]
    NotCanonical {
        /// Its position.
        index: usize,
    },
    /// It is the neutral element, or becomes so under every secret.
    #[error("element {index} has small order")]
    SmallOrder {
        /// Its position.
        index: usize,
    },
}

impl ElementError {
    /// The same fault, of an element that comes `offset` places later.
    #[must_use]
    pub(crate) fn moved(self, offset: usize) -> Self {
        match self {
            Self::NotCanonical { index } => Self::NotCanonical {
                index: index + offset,
            },
            Self::SmallOrder { index } => Self::SmallOrder {
                index: index + offset,
            },
        }
    }
}

/// A group in which items are masked.
///
/// Its functions take slices, one thread each; [`mask_items`] and [`mask_elements`] use them all.
pub trait Group: Send + Sync + 'static {
    /// Names group, hash and encoding: two parties that use different ones must not get as far as
    /// comparing elements.
    const NAME: &'static str;

    /// A multiplier. Wiped on drop.
    type Secret: Send + Sync;

    /// A fresh secret.
    fn secret(prg: &mut Prg) -> Self::Secret;

    /// Hashes each item to the group and multiplies it by the secret.
    fn mask_items_into(secret: &Self::Secret, items: &[Item], out: &mut [Encoded]);

    /// Multiplies each element by the secret.
    ///
    /// # Errors
    ///
    /// [`ElementError`] of the first element that is none, or of small order.
    fn mask_elements_into(
        secret: &Self::Secret,
        elements: &[Encoded],
        out: &mut [Encoded],
    ) -> Result<(), ElementError>;
}

/// Hashes each item to the group and multiplies it by the secret, on all threads.
pub fn mask_items<G: Group>(secret: &G::Secret, items: &[Item]) -> Vec<Encoded> {
    let mut out = vec![[0; POINT_BYTES]; items.len()];
    let batches = items.par_chunks(BATCH).zip(out.par_chunks_mut(BATCH));
    batches.for_each(|(items, out)| G::mask_items_into(secret, items, out));
    out
}

/// Multiplies each element, which another party sent, by the secret, on all threads.
///
/// # Errors
///
/// [`ElementError`] of an element that is none, or of small order.
pub fn mask_elements<G: Group>(
    secret: &G::Secret,
    elements: &[Encoded],
) -> Result<Vec<Encoded>, ElementError> {
    let mut out = vec![[0; POINT_BYTES]; elements.len()];
    let batches = elements.par_chunks(BATCH).zip(out.par_chunks_mut(BATCH));
    let masked = batches.enumerate().map(|(batch, (elements, out))| {
        let masked = G::mask_elements_into(secret, elements, out);
        masked.map_err(|error| error.moved(batch * BATCH))
    });
    masked.collect::<Result<(), _>>()?;
    Ok(out)
}
