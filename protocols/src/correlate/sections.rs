//! What a plan needs, in the order in which sources make it: kind by kind, each cut into chunks.

use super::recipe::Recipe;
use super::{MatrixShape, Needs, PermutationNeed, RingNeeds};
use crate::error::ProtocolError;
use engine::ring::Ring;

/// The ring of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Z64,
    Z128,
}

/// One kind of correlation, of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Items(Recipe, Width, usize),
    Tables(usize),
    Matrix(Width, MatrixShape),
    Permutation(PermutationNeed),
}

/// All sections of these needs. Bits need no ring, and stand under Z_2^64.
pub(super) fn sections(needs: &Needs) -> Vec<Section> {
    let bits = [
        (Recipe::BitTriples, needs.bit_triple_words()),
        (Recipe::BitPairs, needs.bit_pair_words()),
    ];
    let bits = bits.into_iter().filter(|(_, n_words)| *n_words > 0);
    let bits = bits.map(|(recipe, n_words)| Section::Items(recipe, Width::Z64, 64 * n_words));
    let permutations = needs.permutations.iter().copied();
    let n_tables = usize::try_from(needs.tables).expect("correlations fit in memory");
    let tables = (n_tables > 0).then_some(Section::Tables(n_tables));
    bits.chain(tables)
        .chain(ring_sections(&needs.ring64, Width::Z64))
        .chain(ring_sections(&needs.ring128, Width::Z128))
        .chain(permutations.map(Section::Permutation))
        .collect()
}

fn ring_sections(needs: &RingNeeds, width: Width) -> Vec<Section> {
    let mut items = vec![
        (Recipe::Triples, needs.triples),
        (Recipe::DaBits, needs.dabits),
        (Recipe::EdaBits, needs.edabits),
        (Recipe::Muxes, needs.muxes),
    ];
    let truncs = needs.truncs.iter();
    items.extend(truncs.map(|(frac_bits, n)| {
        let frac_bits = *frac_bits;
        (Recipe::Truncs { frac_bits }, *n)
    }));
    let scalings = needs.scalings.iter();
    items.extend(scalings.map(|(n_columns, n)| {
        let n_columns = *n_columns;
        (Recipe::Scalings { n_columns }, *n)
    }));
    let items = items.into_iter().filter(|(_, n)| *n > 0);
    let items = items.map(|(recipe, n)| {
        let n_items = usize::try_from(n).expect("correlations fit in memory");
        Section::Items(recipe, width, n_items)
    });
    let matrices = needs.matrices.iter();
    items
        .chain(matrices.map(|shape| Section::Matrix(width, *shape)))
        .collect()
}

/// Checks what the types do not say, before anything is sent.
pub(super) fn check(
    needs: &Needs,
    n_computing: usize,
    has_dealer: bool,
) -> Result<(), ProtocolError> {
    let refuse = |what| Err(ProtocolError::InvalidInput { what });
    if needs.tables > 0 && (n_computing != 2 || has_dealer) {
        return refuse("tables are made between two seats without a dealer");
    }
    let cuts = |ring: &RingNeeds, width: u32| ring.truncs.keys().all(|f| *f < width - 1);
    if !cuts(&needs.ring64, u64::BITS) || !cuts(&needs.ring128, <u128 as Ring>::BITS) {
        return refuse("a truncation leaves at least one bit under the top one");
    }
    let has_columns = |ring: &RingNeeds| ring.scalings.keys().all(|n_columns| *n_columns > 0);
    if !has_columns(&needs.ring64) || !has_columns(&needs.ring128) {
        return refuse("an element is multiplied with a column or more");
    }
    for need in &needs.permutations {
        if need.owner.index() >= n_computing {
            return refuse("a computing seat owns a permutation");
        }
        if need.row_bytes() == 0 {
            return refuse("a permuted table has columns");
        }
        if u32::try_from(need.n_rows).is_err() {
            return refuse("a permuted table has less than 2^32 rows");
        }
    }
    Ok(())
}
