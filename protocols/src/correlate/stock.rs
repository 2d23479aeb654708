//! What was prepared and not yet used.

use super::ot::Maker;
use super::recipe::{Columns, Recipe};
use super::shelf::{Batch, Opener, Shelf};
use super::{
    BitPairs, BitTriples, DaBits, EdaBits, MatrixShape, MatrixTriple, Muxes, Needs,
    PermutationNeed, PermutationShare, RingNeeds, Scalings, StockedRing, Tables, Triples, Truncs,
};
use crate::error::ProtocolError;
use crate::session::Session;
use engine::ring::Ring;
use engine::share::boolean::BitShare;
use std::collections::BTreeMap;

/// The name of the correlation in errors.
pub(crate) const BIT_TRIPLES: &str = "bit triples";
const BIT_PAIRS: &str = "bit triples in pairs";
const TABLES: &str = "tables of carries";
const TRIPLES: &str = "ring triples";
const DABITS: &str = "doubly shared bits";
const EDABITS: &str = "elements with shared bits";
const MUXES: &str = "selections";
const TRUNCS: &str = "truncations";
const SCALINGS: &str = "products with rows of this length";
const MATRICES: &str = "matrix triples of this shape";
const PERMUTATIONS: &str = "permutations of this shape";

/// Correlated randomness that was prepared and not yet used. It can be moved, not copied.
///
/// ```compile_fail
/// let stock = protocols::correlate::Stock::empty();
/// let twice = stock.clone(); // a correlation that is used twice reveals the difference
/// ```
#[derive(Default)]
pub struct Stock {
    bit_triples: Shelf<BitTriples>,
    bit_pairs: Shelf<BitPairs>,
    tables: Shelf<Tables>,
    ring64: RingShelf<u64>,
    ring128: RingShelf<u128>,
    permutations: Vec<(PermutationNeed, PermutationShare)>,
    /// Makes what was not prepared.
    maker: Option<Box<Maker>>,
}

/// What was prepared over one ring.
pub struct RingShelf<R: Ring> {
    triples: Shelf<Triples<R>>,
    dabits: Shelf<DaBits<R>>,
    edabits: Shelf<EdaBits<R>>,
    muxes: Shelf<Muxes<R>>,
    truncs: BTreeMap<u32, Shelf<Truncs<R>>>,
    scalings: BTreeMap<usize, Shelf<Scalings<R>>>,
    matrices: Vec<(MatrixShape, MatrixTriple<R>)>,
}

impl<R: Ring> Default for RingShelf<R> {
    fn default() -> Self {
        Self {
            triples: Shelf::default(),
            dabits: Shelf::default(),
            edabits: Shelf::default(),
            muxes: Shelf::default(),
            truncs: BTreeMap::new(),
            scalings: BTreeMap::new(),
            matrices: Vec::new(),
        }
    }
}

impl<R: Ring> RingShelf<R> {
    fn left(&self) -> RingNeeds {
        RingNeeds {
            triples: self.triples.n_items() as u64,
            dabits: self.dabits.n_items() as u64,
            edabits: self.edabits.n_items() as u64,
            muxes: self.muxes.n_items() as u64,
            truncs: self
                .truncs
                .iter()
                .map(|(f, items)| (*f, items.n_items() as u64))
                .collect(),
            scalings: self
                .scalings
                .iter()
                .map(|(n, items)| (*n, items.n_items() as u64))
                .collect(),
            matrices: self.matrices.iter().map(|(shape, _)| *shape).collect(),
        }
    }
}

impl StockedRing for u64 {
    fn needs(needs: &Needs) -> &RingNeeds {
        &needs.ring64
    }
    fn needs_mut(needs: &mut Needs) -> &mut RingNeeds {
        &mut needs.ring64
    }
    fn shelf(stock: &Stock) -> &RingShelf<Self> {
        &stock.ring64
    }
    fn shelf_mut(stock: &mut Stock) -> &mut RingShelf<Self> {
        &mut stock.ring64
    }
}

impl StockedRing for u128 {
    fn needs(needs: &Needs) -> &RingNeeds {
        &needs.ring128
    }
    fn needs_mut(needs: &mut Needs) -> &mut RingNeeds {
        &mut needs.ring128
    }
    fn shelf(stock: &Stock) -> &RingShelf<Self> {
        &stock.ring128
    }
    fn shelf_mut(stock: &mut Stock) -> &mut RingShelf<Self> {
        &mut stock.ring128
    }
}

/// Filling. A source calls these; so may a test that makes all seats' stocks by itself.
impl Stock {
    /// Nothing: for computations whose [`Needs::is_nothing`].
    pub fn empty() -> Self {
        Self::default()
    }

    /// A stock of bit triples.
    pub fn from_bit_triples(bit_triples: BitTriples) -> Self {
        let mut stock = Self::default();
        stock.add_bit_triples(bit_triples);
        stock
    }

    /// Adds words of bit triples.
    pub fn add_bit_triples(&mut self, items: BitTriples) {
        self.bit_triples.add(items);
    }

    /// Adds words of bit pairs.
    pub fn add_bit_pairs(&mut self, items: BitPairs) {
        self.bit_pairs.add(items);
    }

    /// Adds tables.
    pub fn add_tables(&mut self, items: Tables) {
        self.tables.add(items);
    }

    /// Adds triples.
    pub fn add_triples<R: StockedRing>(&mut self, items: Triples<R>) {
        R::shelf_mut(self).triples.add(items);
    }

    /// Adds doubly shared bits.
    pub fn add_dabits<R: StockedRing>(&mut self, items: DaBits<R>) {
        R::shelf_mut(self).dabits.add(items);
    }

    /// Adds elements with shared bits.
    pub fn add_edabits<R: StockedRing>(&mut self, items: EdaBits<R>) {
        R::shelf_mut(self).edabits.add(items);
    }

    /// Adds material for truncation by `frac_bits`.
    pub fn add_truncs<R: StockedRing>(&mut self, frac_bits: u32, items: Truncs<R>) {
        let shelf = R::shelf_mut(self);
        shelf.truncs.entry(frac_bits).or_default().add(items);
    }

    /// Adds material for selections.
    pub fn add_muxes<R: StockedRing>(&mut self, items: Muxes<R>) {
        R::shelf_mut(self).muxes.add(items);
    }

    /// Adds elements with their products with rows, at least one column wide.
    pub fn add_scalings<R: StockedRing>(&mut self, items: Scalings<R>) {
        let shelf = R::shelf_mut(self);
        let shelf = shelf.scalings.entry(items.columns.len()).or_default();
        shelf.add(items);
    }

    /// Adds items that are made when they are used.
    pub(super) fn add_sealed<R: StockedRing>(
        &mut self,
        recipe: Recipe,
        n_items: usize,
        open: Opener<Columns<R>>,
    ) {
        match recipe {
            Recipe::BitTriples => self.bit_triples.add_sealed(n_items, open),
            Recipe::BitPairs => self.bit_pairs.add_sealed(n_items, open),
            Recipe::Triples => R::shelf_mut(self).triples.add_sealed(n_items, open),
            Recipe::DaBits => R::shelf_mut(self).dabits.add_sealed(n_items, open),
            Recipe::EdaBits => R::shelf_mut(self).edabits.add_sealed(n_items, open),
            Recipe::Muxes => R::shelf_mut(self).muxes.add_sealed(n_items, open),
            Recipe::Truncs { frac_bits } => {
                let truncs = &mut R::shelf_mut(self).truncs;
                let shelf = truncs.entry(frac_bits).or_default();
                shelf.add_sealed(n_items, open);
            }
            Recipe::Scalings { n_columns } => {
                let scalings = &mut R::shelf_mut(self).scalings;
                let shelf = scalings.entry(n_columns).or_default();
                shelf.add_sealed(n_items, open);
            }
        }
    }

    /// Adds a matrix triple.
    ///
    /// # Panics
    ///
    /// If it is not of this shape.
    pub fn add_matrix<R: StockedRing>(&mut self, shape: MatrixShape, item: MatrixTriple<R>) {
        assert!(item.fits(shape), "a matrix triple of another shape");
        R::shelf_mut(self).matrices.push((shape, item));
    }

    /// Adds a permutation.
    ///
    /// # Panics
    ///
    /// If it is not of this shape.
    pub fn add_permutation(&mut self, need: PermutationNeed, share: PermutationShare) {
        let before_fits = share.before.as_ref().is_none_or(|rows| rows.fits(need));
        assert!(
            before_fits && share.after.fits(need),
            "a permutation of another shape"
        );
        self.permutations.push((need, share));
    }
}

/// Making what was left for later.
impl Stock {
    pub(super) fn make_later(&mut self, maker: Maker) {
        self.maker = Some(Box::new(maker));
    }

    /// Sees to it that so many words of bit triples and of pairs can be taken, if there are as many: what
    /// a source left for later is made now. All seats call this at the same place.
    pub(crate) async fn supply(
        &mut self,
        session: &mut Session,
        triple_words: usize,
        pair_words: usize,
    ) -> Result<(), ProtocolError> {
        let Some(mut maker) = self.maker.take() else {
            return Ok(());
        };
        let lacking = [
            triple_words.saturating_sub(self.bit_triples.n_items()),
            pair_words.saturating_sub(self.bit_pairs.n_items()),
        ];
        let made = maker.make(session, lacking, self).await;
        if maker.left() != [0; 2] {
            self.maker = Some(maker);
        }
        session.ended_by(made)
    }
}

/// Taking. What was taken is gone.
impl Stock {
    /// Takes words of bit triples out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if fewer are left.
    pub fn take_bit_triples(&mut self, n_words: usize) -> Result<BitTriples, ProtocolError> {
        Ok(self.batch_bit_triples(n_words)?.whole())
    }

    /// Takes words of bit triples out that are used one after the other.
    pub(crate) fn batch_bit_triples(
        &mut self,
        n_words: usize,
    ) -> Result<Batch<BitTriples>, ProtocolError> {
        self.bit_triples.take(BIT_TRIPLES, n_words)
    }

    /// Takes words of bit pairs out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if fewer are left.
    pub fn take_bit_pairs(&mut self, n_words: usize) -> Result<BitPairs, ProtocolError> {
        Ok(self.batch_bit_pairs(n_words)?.whole())
    }

    /// Takes words of bit pairs out that are used one after the other.
    pub(crate) fn batch_bit_pairs(
        &mut self,
        n_words: usize,
    ) -> Result<Batch<BitPairs>, ProtocolError> {
        self.bit_pairs.take(BIT_PAIRS, n_words)
    }

    /// Takes tables out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if fewer are left.
    pub fn take_tables(&mut self, n_tables: usize) -> Result<Tables, ProtocolError> {
        Ok(self.tables.take(TABLES, n_tables)?.whole())
    }

    /// Takes triples out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if fewer are left.
    pub fn take_triples<R: StockedRing>(
        &mut self,
        n_items: usize,
    ) -> Result<Triples<R>, ProtocolError> {
        Ok(self.batch_triples(n_items)?.whole())
    }

    /// Takes triples out that are used one after the other.
    pub(crate) fn batch_triples<R: StockedRing>(
        &mut self,
        n_items: usize,
    ) -> Result<Batch<Triples<R>>, ProtocolError> {
        R::shelf_mut(self).triples.take(TRIPLES, n_items)
    }

    /// Takes doubly shared bits out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if fewer are left.
    pub fn take_dabits<R: StockedRing>(
        &mut self,
        n_items: usize,
    ) -> Result<DaBits<R>, ProtocolError> {
        let taken = R::shelf_mut(self).dabits.take(DABITS, n_items)?;
        Ok(taken.whole())
    }

    /// Takes elements with shared bits out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if fewer are left.
    pub fn take_edabits<R: StockedRing>(
        &mut self,
        n_items: usize,
    ) -> Result<EdaBits<R>, ProtocolError> {
        let mut taken = self.batch_edabits(n_items)?.whole();
        // Of no items there are as many planes as of any other number.
        taken
            .planes
            .resize_with(R::BITS as usize, || BitShare::zero(n_items));
        Ok(taken)
    }

    /// Takes elements with shared bits out that are used one after the other.
    pub(crate) fn batch_edabits<R: StockedRing>(
        &mut self,
        n_items: usize,
    ) -> Result<Batch<EdaBits<R>>, ProtocolError> {
        R::shelf_mut(self).edabits.take(EDABITS, n_items)
    }

    /// Takes material for truncation by `frac_bits` out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if less is left.
    pub fn take_truncs<R: StockedRing>(
        &mut self,
        frac_bits: u32,
        n_items: usize,
    ) -> Result<Truncs<R>, ProtocolError> {
        Ok(self.batch_truncs(frac_bits, n_items)?.whole())
    }

    /// Takes material for truncation out that is used item after item.
    pub(crate) fn batch_truncs<R: StockedRing>(
        &mut self,
        frac_bits: u32,
        n_items: usize,
    ) -> Result<Batch<Truncs<R>>, ProtocolError> {
        let truncs = &mut R::shelf_mut(self).truncs;
        let items = truncs.entry(frac_bits).or_default();
        let taken = items.take(TRUNCS, n_items);
        if items.n_items() == 0 {
            truncs.remove(&frac_bits);
        }
        taken
    }

    /// Takes elements with their products with rows of `n_columns` out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if fewer are left.
    pub fn take_scalings<R: StockedRing>(
        &mut self,
        n_columns: usize,
        n_items: usize,
    ) -> Result<Scalings<R>, ProtocolError> {
        Ok(self.batch_scalings(n_columns, n_items)?.whole())
    }

    /// Takes elements with their products with rows out that are used item after item.
    pub(crate) fn batch_scalings<R: StockedRing>(
        &mut self,
        n_columns: usize,
        n_items: usize,
    ) -> Result<Batch<Scalings<R>>, ProtocolError> {
        let scalings = &mut R::shelf_mut(self).scalings;
        let items = scalings.entry(n_columns).or_default();
        let taken = items.take(SCALINGS, n_items);
        if items.n_items() == 0 {
            scalings.remove(&n_columns);
        }
        taken
    }

    /// Takes material for selections out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if less is left.
    pub fn take_muxes<R: StockedRing>(
        &mut self,
        n_items: usize,
    ) -> Result<Muxes<R>, ProtocolError> {
        Ok(self.batch_muxes(n_items)?.whole())
    }

    /// Takes material for selections out that is used item after item.
    pub(crate) fn batch_muxes<R: StockedRing>(
        &mut self,
        n_items: usize,
    ) -> Result<Batch<Muxes<R>>, ProtocolError> {
        R::shelf_mut(self).muxes.take(MUXES, n_items)
    }

    /// Takes the first matrix triple of this shape out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if none is left.
    pub fn take_matrix<R: StockedRing>(
        &mut self,
        shape: MatrixShape,
    ) -> Result<MatrixTriple<R>, ProtocolError> {
        take_first(&mut R::shelf_mut(self).matrices, MATRICES, shape)
    }

    /// Takes the first permutation of this shape out.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if none is left.
    pub fn take_permutation(
        &mut self,
        need: PermutationNeed,
    ) -> Result<PermutationShare, ProtocolError> {
        take_first(&mut self.permutations, PERMUTATIONS, need)
    }

    /// Checks that there is enough for a protocol before it begins.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfCorrelations`] if there is not.
    pub fn check(&self, needs: &Needs) -> Result<(), ProtocolError> {
        let left = self.left();
        check_count(BIT_TRIPLES, needs.bit_triples, left.bit_triples)?;
        check_count(BIT_PAIRS, needs.bit_pairs, left.bit_pairs)?;
        check_count(TABLES, needs.tables, left.tables)?;
        check_ring(&needs.ring64, &left.ring64)?;
        check_ring(&needs.ring128, &left.ring128)?;
        check_each(PERMUTATIONS, &needs.permutations, &left.permutations)
    }

    /// What is left, and what is made when it is used.
    pub fn left(&self) -> Needs {
        let later = self.maker.as_ref().map_or([0; 2], |maker| maker.left());
        let bits = |n_words: usize, later: usize| (n_words + later) as u64 * u64::from(u64::BITS);
        Needs {
            bit_triples: bits(self.bit_triples.n_items(), later[0]),
            bit_pairs: bits(self.bit_pairs.n_items(), later[1]),
            tables: self.tables.n_items() as u64,
            ring64: self.ring64.left(),
            ring128: self.ring128.left(),
            permutations: self.permutations.iter().map(|(need, _)| *need).collect(),
        }
    }
}

fn check_ring(needs: &RingNeeds, left: &RingNeeds) -> Result<(), ProtocolError> {
    check_count(TRIPLES, needs.triples, left.triples)?;
    check_count(DABITS, needs.dabits, left.dabits)?;
    check_count(EDABITS, needs.edabits, left.edabits)?;
    check_count(MUXES, needs.muxes, left.muxes)?;
    for (frac_bits, needed) in &needs.truncs {
        let left = left.truncs.get(frac_bits).copied().unwrap_or_default();
        check_count(TRUNCS, *needed, left)?;
    }
    for (n_columns, needed) in &needs.scalings {
        let left = left.scalings.get(n_columns).copied().unwrap_or_default();
        check_count(SCALINGS, *needed, left)?;
    }
    check_each(MATRICES, &needs.matrices, &left.matrices)
}

pub(super) fn check_count(kind: &'static str, needed: u64, left: u64) -> Result<(), ProtocolError> {
    match needed > left {
        true => Err(ProtocolError::OutOfCorrelations { kind, needed, left }),
        false => Ok(()),
    }
}

/// Of each shape there must be as many as are needed.
fn check_each<T: Ord + Copy>(
    kind: &'static str,
    needs: &[T],
    left: &[T],
) -> Result<(), ProtocolError> {
    let mut counts: BTreeMap<T, u64> = BTreeMap::new();
    for shape in needs {
        *counts.entry(*shape).or_default() += 1;
    }
    for (shape, needed) in counts {
        let left = left.iter().filter(|other| **other == shape).count();
        check_count(kind, needed, left as u64)?;
    }
    Ok(())
}

fn take_first<K: PartialEq, V>(
    items: &mut Vec<(K, V)>,
    kind: &'static str,
    shape: K,
) -> Result<V, ProtocolError> {
    let position = items.iter().position(|(other, _)| *other == shape);
    let out = ProtocolError::OutOfCorrelations {
        kind,
        needed: 1,
        left: 0,
    };
    position.map(|at| items.remove(at).1).ok_or(out)
}
