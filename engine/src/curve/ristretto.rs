//! ristretto255 as a group for Diffie–Hellman on hashed items.
//!
//! Hash: `ristretto255_XMD:SHA-512_R255MAP_RO_` (RFC 9380, appendix B). Arithmetic, decoding and
//! encoding: curve25519-dalek, in constant time.

use super::expand::Expander;
use super::{ElementError, Encoded, Group, Item};
use crate::params::RISTRETTO_ITEM_TAG;
use crate::prg::Prg;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use std::sync::LazyLock;
use zeroize::{Zeroize, ZeroizeOnDrop};

static ITEMS: LazyLock<Expander> = LazyLock::new(|| Expander::new(&[RISTRETTO_ITEM_TAG]));

/// The group ristretto255.
pub struct Ristretto;

/// Half of a multiplier: encoding many elements at once doubles them (see `encode_doubled`).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret {
    half: Scalar,
}

impl Group for Ristretto {
    const NAME: &'static str = "ristretto255_XMD:SHA-512_R255MAP_RO_";
    type Secret = Secret;

    fn secret(prg: &mut Prg) -> Secret {
        // Uniform, so its half is uniform as well.
        Secret {
            half: random_scalar(prg),
        }
    }

    fn mask_items_into(secret: &Secret, items: &[Item], out: &mut [Encoded]) {
        let masked = items
            .iter()
            .map(|item| secret.half * hash_to_group(&ITEMS, &[item]));
        encode_doubled(&masked.collect::<Vec<_>>(), out);
    }

    fn mask_elements_into(
        secret: &Secret,
        elements: &[Encoded],
        out: &mut [Encoded],
    ) -> Result<(), ElementError> {
        let masked = elements.iter().enumerate().map(|(index, element)| {
            let element = decode(element).map_err(|error| error.moved(index))?;
            Ok(secret.half * element)
        });
        encode_doubled(&masked.collect::<Result<Vec<_>, _>>()?, out);
        Ok(())
    }
}

/// A uniform scalar.
pub(crate) fn random_scalar(prg: &mut Prg) -> Scalar {
    let mut wide = [0; 64];
    prg.fill_bytes(&mut wide);
    let scalar = Scalar::from_bytes_mod_order_wide(&wide);
    wide.zeroize();
    scalar
}

/// The group element of the message that `parts` make up.
pub(crate) fn hash_to_group(expander: &Expander, parts: &[&[u8]]) -> RistrettoPoint {
    let mut uniform = [0; 64];
    expander.expand(parts, &mut uniform);
    let point = RistrettoPoint::from_uniform_bytes(&uniform);
    uniform.zeroize();
    point
}

/// The element that another party sent.
pub(crate) fn decode(encoded: &Encoded) -> Result<RistrettoPoint, ElementError> {
    let element = CompressedRistretto(*encoded).decompress();
    let element = element.ok_or(ElementError::NotCanonical { index: 0 })?;
    if element.is_identity() {
        return Err(ElementError::SmallOrder { index: 0 });
    }
    Ok(element)
}

/// Encodes twice each element, with one inversion for all of them.
pub(crate) fn encode_doubled(elements: &[RistrettoPoint], out: &mut [Encoded]) {
    let encoded = RistrettoPoint::double_and_compress_batch(elements);
    for (out, encoded) in out.iter_mut().zip(encoded) {
        *out = encoded.to_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Seed;

    fn prg(label: u8) -> Prg {
        println!("seed {label}");
        Prg::new(&Seed::from_bytes([label; 32]), 0)
    }

    /// A secret times an item, without the detour by halves.
    fn masked(secret: &Secret, item: &Item) -> Encoded {
        let multiplier = secret.half + secret.half;
        (multiplier * hash_to_group(&ITEMS, &[item])).compress().0
    }

    #[test]
    fn items_and_elements_are_multiplied_by_the_secret() {
        let mut prg = prg(1);
        let (a, b) = (Ristretto::secret(&mut prg), Ristretto::secret(&mut prg));
        let items: Vec<Item> = (0..65u128).map(|i| i.to_le_bytes()).collect();
        let mut once = vec![[0; 32]; 65];
        Ristretto::mask_items_into(&a, &items, &mut once);
        assert!(
            items
                .iter()
                .zip(&once)
                .all(|(item, out)| masked(&a, item) == *out)
        );

        let (mut ab, mut ba) = (once.clone(), once.clone());
        Ristretto::mask_elements_into(&b, &once, &mut ab).unwrap();
        Ristretto::mask_items_into(&b, &items, &mut once);
        Ristretto::mask_elements_into(&a, &once, &mut ba).unwrap();
        assert_eq!(ab, ba);
    }

    #[test]
    fn the_neutral_element_and_other_strings_are_refused() {
        let mut prg = prg(2);
        let secret = Ristretto::secret(&mut prg);
        let mut good = [[0; 32]; 3];
        Ristretto::mask_items_into(&secret, &[[1; 16], [2; 16], [3; 16]], &mut good);
        let mut negative = good[2];
        negative[0] ^= 1;
        let not_canonical = ElementError::NotCanonical { index: 2 };
        let cases = [
            ([0; 32], ElementError::SmallOrder { index: 2 }),
            ([0xff; 32], not_canonical),
            (negative, not_canonical),
        ];
        for (bad, expected) in cases {
            let elements = [good[0], good[1], bad];
            let mut out = [[0; 32]; 3];
            let refused = Ristretto::mask_elements_into(&secret, &elements, &mut out);
            assert_eq!(refused, Err(expected));
        }
    }
}
