//! x-coordinates of Curve25519 as a group for Diffie–Hellman on hashed items.
//!
//! ```text
//! hash      u = hash_to_field(item);  Q = Elligator 2 (u)     curve25519_XMD:SHA-512_ELL2_NU_, RFC 9380
//! mask      x(k·Q), k = 2^254 + 8·{0 .. 2^251 − 1}            Montgomery ladder, RFC 7748
//! ```
//!
//! The RFC multiplies Q by the cofactor 8. Every secret here is a multiple of 8, so that is done
//! by masking. The map leads to the curve and never to its twist; what a peer sends may lie on the
//! twist, whose order has no small factor but 4, so it tells as little about the secret as the
//! curve does. Points of small order on either give 0, which is refused.
//!
//! Two kernels give the same bytes: `ifma` does eight elements at a time, `portable` one. Both
//! run the same steps for every secret and every item.

mod field;
mod portable;
#[cfg(target_arch = "x86_64")]
mod ifma;

use super::expand::Expander;
use super::{BATCH, ElementError, Encoded, Group, Item};
use crate::params::MONTGOMERY_ITEM_TAG;
use crate::prg::Prg;
use field::Field;
use std::sync::LazyLock;
use zeroize::{Zeroize, ZeroizeOnDrop};

static ITEMS: LazyLock<Expander> = LazyLock::new(|| Expander::new(&[MONTGOMERY_ITEM_TAG]));

/// The group of x-coordinates of Curve25519.
pub struct Montgomery;

/// A multiplier: clamped as RFC 7748, §5 says.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    fn clamped(mut bytes: [u8; 32]) -> Self {
        bytes[0] &= !7;
        bytes[31] &= 0x7f;
        bytes[31] |= 0x40;
        let secret = Self(bytes);
        bytes.zeroize();
        secret
    }

    /// Bit `i`.
    fn bit(&self, i: usize) -> u8 {
        (self.0[i / 8] >> (i % 8)) & 1
    }
}

/// Does a batch of at most [`BATCH`].
type MultiplyBatch = fn(&Secret, &[Encoded], &mut [Encoded]);

/// The two things that a kernel does, over at most [`BATCH`] elements.
#[derive(Clone, Copy)]
struct Kernel {
    /// x(k·P) for each x(P) below p; 0 for the points of small order.
    multiply: MultiplyBatch,
    /// x(k·Q) for the points Q that Elligator 2 maps these field elements to.
    map_and_multiply: MultiplyBatch,
}

const PORTABLE: Kernel = Kernel {
    multiply: portable::multiply,
    map_and_multiply: portable::map_and_multiply,
};

/// The fastest kernel for this processor.
fn kernel() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    if ifma::is_able() {
        return ifma::KERNEL;
    }
    PORTABLE
}

impl Group for Montgomery {
    const NAME: &'static str = "curve25519_XMD:SHA-512_ELL2_NU_";
    type Secret = Secret;

    fn secret(prg: &mut Prg) -> Secret {
        let mut bytes = [0; 32];
        prg.fill_bytes(&mut bytes);
        let secret = Secret::clamped(bytes);
        bytes.zeroize();
        secret
    }

    fn mask_items_into(secret: &Secret, items: &[Item], out: &mut [Encoded]) {
        let mut fields = [[0; 32]; BATCH];
        for (items, out) in items.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
            let fields = &mut fields[..items.len()];
            for (field, item) in fields.iter_mut().zip(items) {
                *field = hash_to_field(&ITEMS, item);
            }
            (kernel().map_and_multiply)(secret, fields, out);
        }
        fields.zeroize();
    }

    fn mask_elements_into(
        secret: &Secret,
        elements: &[Encoded],
        out: &mut [Encoded],
    ) -> Result<(), ElementError> {
        if let Some(index) = elements.iter().position(|x| !is_canonical(x)) {
            return Err(ElementError::NotCanonical { index });
        }
        for (elements, out) in elements.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
            (kernel().multiply)(secret, elements, out);
        }
        match out.iter().position(|x| *x == [0; 32]) {
            Some(index) => Err(ElementError::SmallOrder { index }),
            None => Ok(()),
        }
    }
}

/// RFC 9380, §5.2 with one element of 48 bytes.
fn hash_to_field(expander: &Expander, item: &[u8]) -> [u8; 32] {
    let mut uniform = [0; 48];
    expander.expand(&[item], &mut uniform);
    Field::from_wide(&uniform).to_bytes()
}

/// RFC 7748 takes any 32 bytes. Here an element has one encoding: a number below p.
fn is_canonical(encoded: &Encoded) -> bool {
    Field::from_bytes(encoded).to_bytes() == *encoded
}

#[cfg(test)]
mod tests;
