//! Rows that are added to a place which the receiver knows and the sender does not: shares of all
//! places, of which one holds the row and the others 0.
//!
//! For each item the receiver has a place p of G, the sender a row w. Both get shares of e_p ⊗ w. The
//! sender knows all leaves of a tree, the receiver all but leaf p; pad(x) is a row made from leaf x.
//!
//! ```text
//! sender:    sends t = w + Σ pad(x),   share of place x: −pad(x)
//! receiver:  share of place x ≠ p: pad(x), and of place p: t − Σ of the pads it knows = w + pad(p)
//! ```
//!
//! What counts is the sum over all items at each place, so only the sums are kept. A place costs no
//! traffic: an item takes ⌈log2 (G + 1)⌉ correlated OTs, 16 bytes for each of them but one, and a row.
//! There is one leaf more than places at least: an item that has none goes there.
//!
//! The tree is a half-tree (Guo et al., 2022/1431, figure 3): on every level all nodes add up to the OTs'
//! Δ, so that one block a level is enough. The first OT's row is the first node. A node x has the
//! children H(x) and x ⊕ H(x), and H is the hash of [`super::products`], under the item's number and
//! the level: with TMMO (2019/074) it is circular correlation robust, as that figure asks. 64 trees grow
//! together.
use super::extend::Rows;
use super::products::Hasher;
use super::{OtError, check_length};
use crate::block::Block;
use crate::ring::{self, Ring};
use rayon::prelude::*;
use zeroize::Zeroize;

/// Items whose trees grow together.
pub const GROUP: usize = 64;

const ZERO_ROWS: Rows = [Block::ZERO; GROUP];

/// The public shape of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    n_places: usize,
    depth: usize,
    n_narrow: usize,
    n_wide: usize,
}

impl Shape {
    /// So many places, and rows of so many elements of 64 and of 128 bits.
    ///
    /// # Panics
    ///
    /// If there is no place, or more than 2^16.
    pub fn new(n_places: usize, n_narrow: usize, n_wide: usize) -> Self {
        assert!((1..=1 << 16).contains(&n_places), "1 to 2^16 places");
        Self {
            n_places,
            depth: (n_places + 1).next_power_of_two().trailing_zeros() as usize,
            n_narrow,
            n_wide,
        }
    }

    /// The place of items that have none.
    pub fn nowhere(self) -> u32 {
        self.n_places as u32
    }

    /// OTs of an item.
    pub fn depth(self) -> usize {
        self.depth
    }

    /// OTs of so many items, a multiple of [`GROUP`].
    pub fn n_ots(self, n_items: usize) -> usize {
        check_items(n_items);
        n_items * self.depth
    }

    /// Length of the sender's message for so many items.
    pub fn message_bytes(self, n_items: usize) -> usize {
        n_items / GROUP * self.group_bytes()
    }

    fn group_bytes(self) -> usize {
        GROUP * ((self.depth - 1) * Block::BYTES + 8 * self.n_narrow + 16 * self.n_wide)
    }

    fn narrow_blocks(self) -> usize {
        self.n_narrow.div_ceil(2)
    }

    fn n_leaves(self) -> usize {
        1 << self.depth
    }

    /// Bit of a leaf's number that is decided on a level, the first level being 0.
    fn bit(self, level: usize) -> usize {
        self.depth - 1 - level
    }
}

fn check_items(n_items: usize) {
    assert!(
        n_items.is_multiple_of(GROUP),
        "trees grow in groups of {GROUP}"
    );
}

/// A row's elements for each item, one item after the other.
#[derive(Clone, Copy)]
pub struct Factors<'a> {
    /// Over Z_2^64.
    pub narrow: &'a [u64],
    /// Over Z_2^128.
    pub wide: &'a [u128],
}

/// One seat's shares of the sums at each place, a row for each.
pub struct Sums {
    /// Over Z_2^64.
    pub narrow: Vec<u64>,
    /// Over Z_2^128.
    pub wide: Vec<u128>,
}

impl Sums {
    /// Zeros.
    pub fn zero(shape: &Shape) -> Self {
        Self {
            narrow: vec![0; shape.n_places * shape.n_narrow],
            wide: vec![0; shape.n_places * shape.n_wide],
        }
    }

    fn plus(mut self, other: Self) -> Self {
        self.add(&other);
        self
    }

    /// Adds other sums of the same shape.
    pub fn add(&mut self, other: &Self) {
        ring::add_assign(&mut self.narrow, &other.narrow);
        ring::add_assign(&mut self.wide, &other.wide);
    }
}

impl Drop for Sums {
    fn drop(&mut self) {
        self.narrow.zeroize();
        self.wide.zeroize();
    }
}

/// The receiver's choices for items at these places.
///
/// # Panics
///
/// If the number of items is no multiple of [`GROUP`].
pub fn choices(shape: &Shape, places: &[u32]) -> Vec<u64> {
    check_items(places.len());
    let levels = |places: &[u32]| {
        let word = |level: usize| {
            let bit = |place: &u32| u64::from(place >> shape.bit(level) & 1 ^ 1);
            let bits = places.iter().enumerate();
            bits.fold(0, |word, (at, place)| word | bit(place) << at)
        };
        (0..shape.depth).map(word).collect::<Vec<u64>>()
    };
    places.chunks(GROUP).flat_map(levels).collect()
}

/// Leaves of 64 trees, their pads, and what they add up to.
struct Work {
    nodes: Vec<Rows>,
    pads: Vec<Rows>,
    sums: Sums,
}

impl Work {
    fn new(shape: &Shape) -> Self {
        Self {
            nodes: vec![ZERO_ROWS; shape.n_leaves()],
            pads: vec![ZERO_ROWS; shape.narrow_blocks() + shape.n_wide],
            sums: Sums::zero(shape),
        }
    }

    /// Makes the nodes of a level from those above. Returns the sums of all left nodes, and of all right.
    fn branch(&mut self, hasher: &Hasher, first: u64, level: usize) -> [Rows; 2] {
        let mut sums = [ZERO_ROWS; 2];
        for parent in (0..1 << level).rev() {
            let mut left = self.nodes[parent];
            let mut right = left;
            hasher.hash(&mut left, first, level as u64);
            let [left_sum, right_sum] = &mut sums;
            for i in 0..GROUP {
                right[i] ^= left[i];
                left_sum[i] ^= left[i];
                right_sum[i] ^= right[i];
            }
            self.nodes[2 * parent] = left;
            self.nodes[2 * parent + 1] = right;
        }
        sums
    }

    /// All nodes at the sender, with a hint for every level but the first: the sum of all left nodes, masked
    /// by the level's OT.
    fn grow(
        &mut self,
        (hasher, first): (&Hasher, u64),
        (delta, rows): (Block, &[Block]),
        hints: &mut [u8],
    ) {
        let (rows, _) = rows.as_chunks::<GROUP>();
        self.nodes[0] = rows[0];
        self.nodes[1] = rows[0].map(|row| row ^ delta);
        let hints = hints.chunks_exact_mut(GROUP * Block::BYTES);
        for ((hints, level), rows) in hints.zip(1..).zip(&rows[1..]) {
            let [left, _] = self.branch(hasher, first, level);
            let hints = hints.chunks_exact_mut(Block::BYTES);
            for ((hint, left), row) in hints.zip(&left).zip(rows) {
                hint.copy_from_slice(&(*left ^ *row).to_bytes());
            }
        }
    }

    /// All nodes at the receiver but those on the way to an item's place, which are 0.
    fn regrow(
        &mut self,
        shape: &Shape,
        (hasher, first): (&Hasher, u64),
        (places, rows): (&[u32], &[Block]),
        hints: &[u8],
    ) {
        let (rows, _) = rows.as_chunks::<GROUP>();
        // A node of the first level that is not on the way is the first OT's row.
        for (node, nodes) in (0..).zip(&mut self.nodes[..2]) {
            for ((out, row), place) in nodes.iter_mut().zip(&rows[0]).zip(places) {
                *out = row.masked(1 ^ is_equal(place >> shape.bit(0), node));
            }
        }
        let hints = hints.chunks_exact(GROUP * Block::BYTES);
        for ((hints, level), rows) in hints.zip(1..).zip(&rows[1..]) {
            let sums = self.branch(hasher, first, level);
            let mut errors = ZERO_ROWS;
            let mut way = [0; GROUP];
            for (i, hint) in hints.as_chunks::<{ Block::BYTES }>().0.iter().enumerate() {
                way[i] = places[i] >> shape.bit(level);
                // The sum of all nodes on the other side, less what the sum of those made here is: the unknown
                // parent is 0, and its children are made from that.
                let side = u64::from(way[i] & 1) ^ 1;
                let made = sums[0][i].masked(1 ^ side) ^ sums[1][i].masked(side);
                errors[i] = Block::from_bytes(*hint) ^ rows[i] ^ made;
            }
            for (node, nodes) in (0..).zip(&mut self.nodes[..2 << level]) {
                for ((out, error), way) in nodes.iter_mut().zip(&errors).zip(&way) {
                    let on_the_way = is_equal(*way, node);
                    *out = out.masked(1 ^ on_the_way) ^ error.masked(is_equal(way ^ 1, node));
                }
            }
        }
    }

    fn into_sums(mut self) -> Sums {
        let none = Sums {
            narrow: Vec::new(),
            wide: Vec::new(),
        };
        std::mem::replace(&mut self.sums, none)
    }

    /// Adds every leaf's pads at its place, or subtracts them. Returns the sum of all leaves' pads, for
    /// each item: first all items' elements of a column, then those of the next.
    fn take_pads(
        &mut self,
        shape: &Shape,
        (hasher, first): (&Hasher, u64),
        subtract: bool,
    ) -> (Vec<u64>, Vec<u128>) {
        let mut all = (
            vec![0; GROUP * shape.n_narrow],
            vec![0; GROUP * shape.n_wide],
        );
        for leaf in 0..shape.n_leaves() {
            for (block, pad) in self.pads.iter_mut().enumerate() {
                *pad = self.nodes[leaf];
                hasher.hash(pad, first, (shape.depth + block) as u64);
            }
            let (narrow, wide) = self.pads.split_at(shape.narrow_blocks());
            for column in 0..shape.n_narrow {
                let halves: &[u64] = bytemuck::cast_slice(&narrow[column / 2]);
                let pads = halves.iter().skip(column % 2).step_by(2);
                let sum = add_column(&mut all.0[GROUP * column..][..GROUP], pads);
                let place = leaf * shape.n_narrow + column;
                put(&mut self.sums.narrow, place, sum, subtract);
            }
            for (column, pads) in wide.iter().enumerate() {
                let pads: &[u128] = bytemuck::cast_slice(pads);
                let sum = add_column(&mut all.1[GROUP * column..][..GROUP], pads.iter());
                let place = leaf * shape.n_wide + column;
                put(&mut self.sums.wide, place, sum, subtract);
            }
        }
        all
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.nodes.zeroize();
        self.pads.zeroize();
    }
}

/// Adds a pad for each of 64 items to the items' sums. Returns the sum of the pads.
#[inline(always)]
fn add_column<'a, R: Ring>(items: &mut [R], pads: impl Iterator<Item = &'a R>) -> R {
    let mut sum = R::ZERO;
    for (item, pad) in items.iter_mut().zip(pads) {
        *item = item.wrapping_add(*pad);
        sum = sum.wrapping_add(*pad);
    }
    sum
}

/// Leaves past the last place count for nothing.
#[inline(always)]
fn put<R: Ring>(sums: &mut [R], place: usize, value: R, subtract: bool) {
    if let Some(sum) = sums.get_mut(place) {
        *sum = match subtract {
            true => sum.wrapping_sub(value),
            false => sum.wrapping_add(value),
        };
    }
}

/// Adds the rows of 64 items to vectors of columns.
fn add_rows<R: Ring>(columns: &mut [R], rows: &[R], n_columns: usize) {
    for (at, column) in columns.chunks_exact_mut(GROUP).enumerate() {
        let values = rows.iter().skip(at).step_by(n_columns);
        for (sum, value) in column.iter_mut().zip(values) {
            *sum = sum.wrapping_add(*value);
        }
    }
}

/// The sender's message, and its shares. `rows` are those of [`Shape::n_ots`] OTs, `first` the number of
/// the first.
///
/// # Panics
///
/// If the number of OTs is not that of whole groups of items, or there are not as many factors.
pub fn send(
    (hasher, first): (&Hasher, u64),
    shape: &Shape,
    (delta, rows): (Block, &[Block]),
    factors: Factors<'_>,
) -> (Vec<u8>, Sums) {
    let n_items = rows.len() / shape.depth;
    let Factors { narrow, wide } = factors;
    assert_eq!(shape.n_ots(n_items), rows.len(), "OTs of whole items");
    assert_eq!(narrow.len(), n_items * shape.n_narrow, "rows of elements");
    assert_eq!(wide.len(), n_items * shape.n_wide, "rows of elements");
    let mut message = vec![0; shape.message_bytes(n_items)];
    let sums = message
        .par_chunks_mut(shape.group_bytes().max(1))
        .enumerate()
        .fold(
            || Work::new(shape),
            |mut work, (group, message)| {
                let first = first + (group * GROUP) as u64;
                let rows = &rows[group * GROUP * shape.depth..][..GROUP * shape.depth];
                let hint_bytes = (shape.depth - 1) * GROUP * Block::BYTES;
                let (hints, elements) = message.split_at_mut(hint_bytes);
                work.grow((hasher, first), (delta, rows), hints);
                let (mut all_narrow, mut all_wide) = work.take_pads(shape, (hasher, first), true);
                let own = |n_columns: usize| group * GROUP * n_columns..;
                add_rows(
                    &mut all_narrow,
                    &narrow[own(shape.n_narrow)],
                    shape.n_narrow,
                );
                add_rows(&mut all_wide, &wide[own(shape.n_wide)], shape.n_wide);
                let (low, high) = elements.split_at_mut(8 * all_narrow.len());
                low.copy_from_slice(ring::as_bytes(&all_narrow));
                high.copy_from_slice(ring::as_bytes(&all_wide));
                work
            },
        )
        .map(Work::into_sums)
        .reduce(|| Sums::zero(shape), Sums::plus);
    (message, sums)
}

/// The receiver's shares, for items at these places, from the rows of their OTs and the sender's message.
///
/// # Errors
///
/// [`OtError::WrongLength`].
///
/// # Panics
///
/// If the number of items is no multiple of [`GROUP`], or there are not as many OTs.
pub fn receive(
    (hasher, first): (&Hasher, u64),
    shape: &Shape,
    (places, rows): (&[u32], &[Block]),
    message: &[u8],
) -> Result<Sums, OtError> {
    assert_eq!(shape.n_ots(places.len()), rows.len(), "OTs of all items");
    let due = shape.message_bytes(places.len());
    check_length("scattered rows", message, due)?;
    let sums = message
        .par_chunks(shape.group_bytes().max(1))
        .zip(places.par_chunks(GROUP))
        .zip(rows.par_chunks(GROUP * shape.depth))
        .enumerate()
        .fold(
            || Work::new(shape),
            |mut work, (group, ((message, places), rows))| {
                let first = first + (group * GROUP) as u64;
                let hint_bytes = (shape.depth - 1) * GROUP * Block::BYTES;
                let (hints, elements) = message.split_at(hint_bytes);
                work.regrow(shape, (hasher, first), (places, rows), hints);
                let (narrow, wide) = work.take_pads(shape, (hasher, first), false);
                let (low, high) = elements.split_at(8 * narrow.len());
                // The leaf at an item's place is 0 here. With its pad among the known ones at that place, t less
                // the sum of all is what is still to be added there.
                add_at(&mut work.sums.narrow, places, (low, &narrow));
                add_at(&mut work.sums.wide, places, (high, &wide));
                work
            },
        )
        .map(Work::into_sums)
        .reduce(|| Sums::zero(shape), Sums::plus);
    Ok(sums)
}

/// Adds t less the sum of all pads at each item's place, without an address that depends on it.
fn add_at<R: Ring>(sums: &mut [R], places: &[u32], (sent, pads): (&[u8], &[R])) {
    let n_columns = pads.len() / GROUP;
    if n_columns == 0 {
        return;
    }
    let item_bytes = GROUP * R::BYTES;
    let columns = sent.chunks_exact(item_bytes).zip(pads.chunks_exact(GROUP));
    for (column, (sent, pads)) in columns.enumerate() {
        let sent = sent.chunks_exact(R::BYTES).map(R::read_le);
        let rest: Vec<R> = sent
            .zip(pads)
            .map(|(t, all)| t.wrapping_sub(*all))
            .collect();
        let at_place = sums.iter_mut().skip(column).step_by(n_columns);
        for (place, sum) in (0..).zip(at_place) {
            for (own, rest) in places.iter().zip(&rest) {
                let is_here = R::from_u64(is_equal(*own, place));
                *sum = sum.wrapping_add(rest.wrapping_mul(is_here));
            }
        }
    }
}

/// 1 if two numbers are equal, otherwise 0, without a branch.
#[inline(always)]
fn is_equal(x: u32, y: u32) -> u64 {
    u64::from(x ^ y).wrapping_sub(1) >> 63
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ot::Direction;
    use crate::prg::{Prg, Seed};

    /// Sums of both sides' shares are those of the rows at each place, for any number of places and any
    /// width of rows; items that have no place count nowhere.
    #[test]
    fn rows_come_to_their_places() {
        println!("seed [9; 32]");
        let mut prg = Prg::new(&Seed::from_bytes([9; 32]), 0);
        let direction = Direction {
            session_id: [1; 32],
            operation: 2,
            sender: 0,
            receiver: 1,
        };
        let hasher = Hasher::new(&direction);
        for (n_places, n_narrow, n_wide) in
            [(1, 1, 0), (2, 3, 1), (3, 0, 2), (20, 2, 1), (70, 1, 1)]
        {
            let shape = Shape::new(n_places, n_narrow, n_wide);
            for n_items in [0, 64, 192] {
                let draw = |prg: &mut Prg, n: usize| {
                    let mut blocks = vec![0u128; n];
                    prg.fill_ring(&mut blocks);
                    blocks
                };
                let places: Vec<u32> = (0..n_items)
                    .map(|_| prg.next_bounded(n_places as u64 + 1) as u32)
                    .collect();
                let delta = Block(draw(&mut prg, 1)[0]);
                let sent: Vec<Block> = draw(&mut prg, shape.n_ots(n_items))
                    .into_iter()
                    .map(Block)
                    .collect();
                let choices = choices(&shape, &places);
                let received: Vec<Block> = sent
                    .iter()
                    .enumerate()
                    .map(|(at, row)| *row ^ delta.masked(choices[at / 64] >> (at % 64)))
                    .collect();
                let narrow: Vec<u64> = draw(&mut prg, n_items * n_narrow)
                    .into_iter()
                    .map(|v| v as u64)
                    .collect();
                let wide = draw(&mut prg, n_items * n_wide);
                let factors = Factors {
                    narrow: &narrow,
                    wide: &wide,
                };
                let (message, mut sums) = send((&hasher, 77), &shape, (delta, &sent), factors);
                let theirs = receive((&hasher, 77), &shape, (&places, &received), &message);
                sums.add(&theirs.expect("the right length"));
                let mut expected = Sums::zero(&shape);
                for (item, place) in places.iter().map(|p| *p as usize).enumerate() {
                    for column in 0..n_narrow {
                        let value = narrow[item * n_narrow + column];
                        put(
                            &mut expected.narrow,
                            place * n_narrow + column,
                            value,
                            false,
                        );
                    }
                    for column in 0..n_wide {
                        let value = wide[item * n_wide + column];
                        put(&mut expected.wide, place * n_wide + column, value, false);
                    }
                }
                assert_eq!(sums.narrow, expected.narrow, "{shape:?}, {n_items}");
                assert_eq!(sums.wide, expected.wide, "{shape:?}, {n_items}");
                let short = &message[..message.len().saturating_sub(1)];
                let refused = receive((&hasher, 77), &shape, (&places, &received), short);
                assert_eq!(refused.is_err(), n_items > 0);
            }
        }
    }
}
