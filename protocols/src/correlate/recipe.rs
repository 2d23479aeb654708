//! The kinds of which any number is taken, as columns: some are drawn at random, and the others are
//! functions of them, item by item.

use super::{
    BitPairs, BitTriples, DaBits, EdaBits, Muxes, Scalings, Stock, StockedRing, Triples, Truncs,
};
use engine::bits;
use engine::ring::{self, Ring};
use engine::share::Share;
use engine::share::boolean::BitShare;
use zeroize::Zeroizing;

/// A kind of correlation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipe {
    BitTriples,
    BitPairs,
    Triples,
    DaBits,
    EdaBits,
    Muxes,
    Truncs { frac_bits: u32 },
    Scalings { n_columns: usize },
}

/// How many columns a kind has. Columns of ring elements come first, then columns of packed bits;
/// of each, those that are drawn come before those that are derived.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) free_ring: usize,
    pub(super) derived_ring: usize,
    pub(super) free_bits: usize,
    pub(super) derived_bits: usize,
}

impl Layout {
    pub(super) fn n_ring(self) -> usize {
        self.free_ring + self.derived_ring
    }

    pub(super) fn n_bits(self) -> usize {
        self.free_bits + self.derived_bits
    }

    /// Bits of the derived columns of one item.
    pub(super) fn derived_item_bits<R: Ring>(self) -> usize {
        self.derived_ring * R::BITS as usize + self.derived_bits
    }

    /// Bytes of the derived columns of so many items.
    pub(super) fn derived_bytes<R: Ring>(self, n_items: usize) -> usize {
        self.derived_ring * n_items * R::BYTES + self.derived_bits * 8 * bits::words_for(n_items)
    }
}

/// A batch of items, column by column. Packed columns may have anything past their last item.
pub(super) struct Columns<R: Ring> {
    pub(super) n_items: usize,
    pub(super) ring: Vec<Share<R>>,
    pub(super) bits: Vec<Zeroizing<Vec<u64>>>,
}

impl<R: Ring> Columns<R> {
    pub(super) fn zero(layout: Layout, n_items: usize) -> Self {
        let words = || Zeroizing::new(vec![0; bits::words_for(n_items)]);
        Self {
            n_items,
            ring: (0..layout.n_ring()).map(|_| Share::zero(n_items)).collect(),
            bits: (0..layout.n_bits()).map(|_| words()).collect(),
        }
    }

    fn next_ring<const N: usize>(&mut self) -> [Share<R>; N] {
        let columns: Vec<_> = self.ring.drain(..N).collect();
        columns.try_into().ok().expect("as many columns as drawn")
    }

    fn next_words<const N: usize>(&mut self) -> [Vec<u64>; N] {
        let columns: Vec<_> = self
            .bits
            .drain(..N)
            .map(|mut w| std::mem::take(&mut *w))
            .collect();
        columns.try_into().expect("as many columns as drawn")
    }

    fn next_bits(&mut self) -> BitShare {
        let [words] = self.next_words();
        BitShare::from_words(self.n_items, words)
    }
}

impl Recipe {
    pub(super) fn layout<R: Ring>(self) -> Layout {
        let ((free_ring, derived_ring), (free_bits, derived_bits)) = match self {
            Self::BitTriples => ((0, 0), (2, 1)),
            Self::BitPairs => ((0, 0), (3, 2)),
            Self::Triples => ((2, 1), (0, 0)),
            Self::DaBits => ((0, 1), (1, 0)),
            Self::EdaBits => ((1, 0), (0, R::BITS as usize)),
            Self::Muxes => ((1, 2), (1, 0)),
            Self::Truncs { .. } => ((1, 2), (0, 0)),
            Self::Scalings { n_columns } => ((1 + n_columns, n_columns), (0, 0)),
        };
        Layout {
            free_ring,
            derived_ring,
            free_bits,
            derived_bits,
        }
    }

    /// Computes the derived columns of the first `n_items` items from the others, for values that
    /// nobody shares: a dealer's, in the clear.
    pub(super) fn derive<R: Ring>(self, columns: &mut Columns<R>, n_items: usize) {
        let layout = self.layout::<R>();
        let n_words = bits::words_for(n_items);
        let (free, derived) = columns.ring.split_at_mut(layout.free_ring);
        let (free_bits, derived_bits) = columns.bits.split_at_mut(layout.free_bits);
        match self {
            Self::BitTriples | Self::BitPairs => {
                let (a, others) = free_bits.split_first().expect("a is drawn");
                for (product, factor) in derived_bits.iter_mut().zip(others) {
                    product[..n_words].copy_from_slice(&factor[..n_words]);
                    bits::and_assign(&mut product[..n_words], &a[..n_words]);
                }
            }
            Self::Triples => {
                let c = &mut derived[0].as_mut_slice()[..n_items];
                c.copy_from_slice(&free[0].as_slice()[..n_items]);
                ring::mul_assign(c, &free[1].as_slice()[..n_items]);
            }
            Self::DaBits => {
                let arith = &mut derived[0].as_mut_slice()[..n_items];
                as_ring(&free_bits[0], arith);
            }
            Self::EdaBits => to_planes(&free[0].as_slice()[..n_items], derived_bits),
            Self::Muxes => {
                let (arith, product) = derived.split_at_mut(1);
                let arith = &mut arith[0].as_mut_slice()[..n_items];
                as_ring(&free_bits[0], arith);
                let product = &mut product[0].as_mut_slice()[..n_items];
                product.copy_from_slice(arith);
                ring::mul_assign(product, &free[0].as_slice()[..n_items]);
            }
            Self::Scalings { .. } => {
                let (factor, rows) = free.split_first().expect("the factor is drawn");
                for (product, column) in derived.iter_mut().zip(rows) {
                    let product = &mut product.as_mut_slice()[..n_items];
                    product.copy_from_slice(&column.as_slice()[..n_items]);
                    ring::mul_assign(product, &factor.as_slice()[..n_items]);
                }
            }
            Self::Truncs { frac_bits } => {
                let r = &free[0].as_slice()[..n_items];
                let (u, top) = derived.split_at_mut(1);
                for ((r, u), top) in r.iter().zip(u[0].as_mut_slice()).zip(top[0].as_mut_slice()) {
                    *u = r.shl(1).shr(1 + frac_bits);
                    *top = r.shr(R::BITS - 1);
                }
            }
        }
    }

    /// Puts a batch of shares into a stock.
    pub(super) fn store<R: StockedRing>(self, columns: Columns<R>, stock: &mut Stock) {
        match self {
            Self::BitTriples => stock.add_bit_triples(columns.into()),
            Self::BitPairs => stock.add_bit_pairs(columns.into()),
            Self::Triples => stock.add_triples::<R>(columns.into()),
            Self::DaBits => stock.add_dabits::<R>(columns.into()),
            Self::EdaBits => stock.add_edabits::<R>(columns.into()),
            Self::Muxes => stock.add_muxes::<R>(columns.into()),
            Self::Truncs { frac_bits } => stock.add_truncs::<R>(frac_bits, columns.into()),
            Self::Scalings { .. } => stock.add_scalings::<R>(columns.into()),
        }
    }
}

impl<R: Ring> From<Columns<R>> for BitTriples {
    fn from(mut columns: Columns<R>) -> Self {
        let [a, b, c] = columns.next_words();
        Self::new(a, b, c)
    }
}

impl<R: Ring> From<Columns<R>> for BitPairs {
    fn from(mut columns: Columns<R>) -> Self {
        Self::new(columns.next_words())
    }
}

impl<R: Ring> From<Columns<R>> for Triples<R> {
    fn from(mut columns: Columns<R>) -> Self {
        let [a, b, c] = columns.next_ring();
        Self { a, b, c }
    }
}

impl<R: Ring> From<Columns<R>> for DaBits<R> {
    fn from(mut columns: Columns<R>) -> Self {
        let bits = columns.next_bits();
        let [arith] = columns.next_ring();
        Self { bits, arith }
    }
}

impl<R: Ring> From<Columns<R>> for EdaBits<R> {
    fn from(mut columns: Columns<R>) -> Self {
        let [r] = columns.next_ring();
        let planes = (0..R::BITS).map(|_| columns.next_bits()).collect();
        Self { r, planes }
    }
}

impl<R: Ring> From<Columns<R>> for Muxes<R> {
    fn from(mut columns: Columns<R>) -> Self {
        let bits = columns.next_bits();
        let [a, bits_arith, bits_times_a] = columns.next_ring();
        Self {
            bits,
            bits_arith,
            a,
            bits_times_a,
        }
    }
}

impl<R: Ring> From<Columns<R>> for Truncs<R> {
    fn from(mut columns: Columns<R>) -> Self {
        let [r, u, top] = columns.next_ring();
        Self { r, u, top }
    }
}

impl<R: Ring> From<Columns<R>> for Scalings<R> {
    fn from(columns: Columns<R>) -> Self {
        let mut ring = columns.ring.into_iter();
        let factor = ring.next().expect("the factor is drawn");
        let mut columns: Vec<Share<R>> = ring.collect();
        let products = columns.split_off(columns.len() / 2);
        Self {
            factor,
            columns,
            products,
        }
    }
}

/// Each packed bit as a ring element.
pub(super) fn as_ring<R: Ring>(words: &[u64], out: &mut [R]) {
    for (word, out) in words.iter().zip(out.chunks_mut(64)) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = R::from_u64(word >> i & 1);
        }
    }
}

/// The bits of ring elements: plane i holds bit i of each.
pub(super) fn to_planes<R: Ring>(values: &[R], planes: &mut [Zeroizing<Vec<u64>>]) {
    for (limb, planes) in planes.chunks_mut(64).enumerate() {
        let mut tile = Zeroizing::new([0u64; 64]);
        for (word, values) in values.chunks(64).enumerate() {
            tile.fill(0);
            for (row, value) in tile.iter_mut().zip(values) {
                *row = u64::read_le(&ring::as_bytes(std::slice::from_ref(value))[8 * limb..][..8]);
            }
            bits::transpose_64(&mut tile);
            for (plane, row) in planes.iter_mut().zip(tile.iter()) {
                plane[word] = *row;
            }
        }
    }
}
