//! Groups for hashed items: what protocols rely on, for every group, over all threads.

use crate::known_answers::NO_POINTS;
use crate::{hex, prg};
use engine::curve::montgomery::Montgomery;
use engine::curve::ristretto::Ristretto;
use engine::curve::{ElementError, Encoded, Group, Item, mask_elements, mask_items};
use std::collections::BTreeSet;

fn items(n: usize) -> Vec<Item> {
    (0..n as u128).map(|i| (i * i).to_le_bytes()).collect()
}

/// Two secrets in either order give the same element, at batch sizes and around them.
fn commutes<G: Group>(label: &'static str) {
    let mut prg = prg(label);
    let (a, b) = (G::secret(&mut prg), G::secret(&mut prg));
    for n in [0, 1, 7, 255, 256, 257, 600] {
        let items = items(n);
        let (from_a, from_b) = (mask_items::<G>(&a, &items), mask_items::<G>(&b, &items));
        let ab = mask_elements::<G>(&b, &from_a).expect("made by an honest party");
        let ba = mask_elements::<G>(&a, &from_b).expect("made by an honest party");
        assert_eq!(ab, ba);
        let distinct: BTreeSet<&Encoded> = from_a.iter().chain(&from_b).chain(&ab).collect();
        assert_eq!(distinct.len(), 3 * n);
    }
}

#[test]
fn secrets_commute() {
    commutes::<Ristretto>("ristretto");
    commutes::<Montgomery>("montgomery");
}

/// The position in the whole slice is reported, whichever thread found the fault.
fn finds<G: Group>(label: &'static str, bad: Encoded) -> ElementError {
    let mut prg = prg(label);
    let secret = G::secret(&mut prg);
    let mut elements = mask_items::<G>(&secret, &items(1000));
    elements[700] = bad;
    mask_elements::<G>(&secret, &elements).expect_err("one element is bad")
}

#[test]
fn bad_elements_are_found_among_many() {
    let small = ElementError::SmallOrder { index: 700 };
    let malformed = ElementError::NotCanonical { index: 700 };
    assert_eq!(finds::<Ristretto>("neutral", [0; 32]), small);
    assert_eq!(finds::<Montgomery>("zero", [0; 32]), small);
    assert_eq!(finds::<Montgomery>("too large", [0xff; 32]), malformed);
    for text in NO_POINTS {
        let bad = hex(text).try_into().expect("32 bytes");
        assert_eq!(finds::<Ristretto>("no point", bad), malformed);
    }
}

/// The two groups hash the same items to unrelated elements.
#[test]
fn groups_are_domains_of_their_own() {
    assert_ne!(Ristretto::NAME, Montgomery::NAME);
    let mut prg = prg("domains");
    let montgomery = mask_items::<Montgomery>(&Montgomery::secret(&mut prg), &items(50));
    let ristretto = mask_items::<Ristretto>(&Ristretto::secret(&mut prg), &items(50));
    assert!(montgomery.iter().all(|x| !ristretto.contains(x)));
}
