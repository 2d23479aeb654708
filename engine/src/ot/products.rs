//! Products of a secret bit with a secret ring element, and of two secret ring elements, shared
//! between the two seats that have one factor each (Gilboa, CRYPTO '99).
//!
//! The receiver has a choice bit c, the sender an element x. From one correlated OT with rows q, and
//! t = q ⊕ c·Δ, and a hash H:
//!
//! ```text
//! sender:    sends d = H(q ⊕ Δ) − H(q) − x,   keeps u = −H(q)
//! receiver:  keeps v = H(t) − c·d                            so  u + v = c·x
//! ```
//!
//! d is masked by the hash that the receiver does not have. If only the lowest w bits of the product
//! matter, only they are sent. For a product with a ring element b = Σ 2^i·b_i of k bits, the product
//! with b_i counts 2^i-fold, so k − i bits do: 260 bytes for each product of 64 bits, and not 512.
//!
//! One OT may multiply a whole row of elements; each has its own hash. The tweak of H is the number of
//! the OT in its direction, and the number of the block within the row: no pair occurs twice.

use super::{Direction, OtError, check_length};
use crate::block::Block;
use crate::hash::{self, CrHash};
use crate::params::MAX_OTS;
use crate::ring::{self, Ring};
use rayon::prelude::*;
use zeroize::Zeroize;

/// OTs whose hashes are computed together.
const GROUP: usize = 64;

/// Units that a thread takes at a time.
const TASK_UNITS: usize = 16;

/// Bits of the tweak that number the OT; the others number blocks of its row.
const INDEX_BITS: u32 = MAX_OTS.trailing_zeros();

const _: () = assert!(MAX_OTS.is_power_of_two(), "an OT's number has whole bits");

/// How products add up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Shares are added in the ring.
    Ring,
    /// Shares are XORed.
    Xor,
}

/// The public shape of a batch of products.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Width in bits of the products that count, for each OT of a unit, and so on periodically.
    widths: Vec<u32>,
    /// OTs whose products are one item: 1, or as many as an element has bits.
    per_item: usize,
    /// Elements of a row.
    pub n_columns: usize,
    /// The first block of a row, if the OTs' rows have other elements before these.
    first_block: u64,
    group: Group,
}

impl Shape {
    /// Products of ring elements: the OTs of an item are the bits of one factor.
    pub fn elements<R: Ring>(n_columns: usize) -> Self {
        Self {
            widths: (1..=R::BITS).rev().collect(),
            per_item: R::BITS as usize,
            n_columns,
            first_block: 0,
            group: Group::Ring,
        }
    }

    /// Products of bits with ring elements. `widths` has an entry for each OT, 64 of them or a
    /// multiple, and is repeated from there on.
    ///
    /// # Panics
    ///
    /// If `widths` has another length, or an entry over the width of an element.
    pub fn bits<R: Ring>(widths: Vec<u32>, n_columns: usize) -> Self {
        assert!(
            !widths.is_empty() && widths.len().is_multiple_of(GROUP),
            "OTs are hashed in groups of {GROUP}"
        );
        assert!(widths.iter().all(|w| *w <= R::BITS), "bits of an element");
        Self {
            widths,
            per_item: 1,
            n_columns,
            first_block: 0,
            group: Group::Ring,
        }
    }

    /// Products of bits with rows of full width, after so many blocks of other elements.
    pub fn rows<R: Ring>(group: Group, n_columns: usize, first_block: u64) -> Self {
        Self {
            first_block,
            group,
            ..Self::bits::<R>(vec![R::BITS; GROUP], n_columns)
        }
    }

    /// Blocks of 128 bits that a row of so many elements takes.
    pub fn row_blocks<R: Ring>(n_columns: usize) -> u64 {
        (n_columns * R::BYTES).div_ceil(Block::BYTES) as u64
    }

    /// The number of OTs is a multiple of this.
    pub fn unit(&self) -> usize {
        self.widths.len()
    }

    /// Elements of the factors and products of so many OTs.
    pub fn n_elements(&self, n_ots: usize) -> usize {
        n_ots / self.per_item * self.n_columns
    }

    /// Length of the sender's message. What each 64 OTs send of a column takes whole bytes.
    pub fn message_bytes(&self, n_ots: usize) -> usize {
        let bytes = |widths: &[u32]| widths.iter().sum::<u32>().div_ceil(8) as usize;
        let unit: usize = self.widths.chunks(GROUP).map(bytes).sum();
        n_ots / self.unit() * unit * self.n_columns
    }

    fn check(&self, n_ots: usize) {
        assert!(
            n_ots.is_multiple_of(self.unit()),
            "OTs are used in units of {}",
            self.unit()
        );
    }
}

/// What both sides of a direction keep alike: the hash, and how many OTs it was used for.
pub struct Hasher {
    hash: CrHash,
    next: u64,
}

impl Hasher {
    /// A hash for the products made in this direction.
    pub fn new(direction: &Direction) -> Self {
        let key = hash::derive_key("entente/v1/ot-products/hash", &[&direction.to_bytes()]);
        Self {
            hash: CrHash::new(&key),
            next: 0,
        }
    }

    /// Numbers for `n` OTs. Rows that are hashed under one number for several [`Shape`]s must have
    /// different blocks in each.
    ///
    /// # Errors
    ///
    /// [`OtError::Exhausted`].
    pub fn reserve(&mut self, n: usize) -> Result<u64, OtError> {
        let first = self.next;
        match first.checked_add(n as u64) {
            Some(next) if next <= MAX_OTS => {
                self.next = next;
                Ok(first)
            }
            _ => Err(OtError::Exhausted { limit: MAX_OTS }),
        }
    }

    /// The hashes of block `block` of 64 rows, from number `first` on.
    fn hash(&self, rows: &mut [Block; GROUP], first: u64, block: u64) {
        let tweak = block << INDEX_BITS | first;
        self.hash.hash_in_place(rows, tweak);
    }

    /// The lowest `N` bits of the hashed rows, packed.
    fn bits<const N: usize>(&self, mut rows: [Block; GROUP], first: u64) -> [u64; N] {
        self.hash(&mut rows, first, 0);
        let bit = |n: usize| {
            let bits = rows.iter().rev();
            bits.fold(0, |word, row| word << 1 | (row.0 >> n) as u64 & 1)
        };
        let words = std::array::from_fn(bit);
        rows.zeroize();
        words
    }

    /// Random OTs of `N` bits at the sender: messages 0 and 1, packed, bit by bit.
    ///
    /// # Panics
    ///
    /// If the number of rows is no multiple of 64.
    pub fn sender_bits<const N: usize>(
        &self,
        first: u64,
        delta: Block,
        rows: &[Block],
    ) -> [[Vec<u64>; N]; 2] {
        let shifted = |rows: &[Block; GROUP]| rows.map(|row| row ^ delta);
        [
            self.all_bits(first, rows, |rows| *rows),
            self.all_bits(first, rows, shifted),
        ]
    }

    /// Random OTs of `N` bits at the receiver: the chosen message, packed, bit by bit.
    ///
    /// # Panics
    ///
    /// If the number of rows is no multiple of 64.
    pub fn receiver_bits<const N: usize>(&self, first: u64, rows: &[Block]) -> [Vec<u64>; N] {
        self.all_bits(first, rows, |rows| *rows)
    }

    fn all_bits<const N: usize>(
        &self,
        first: u64,
        rows: &[Block],
        change: impl Fn(&[Block; GROUP]) -> [Block; GROUP] + Sync,
    ) -> [Vec<u64>; N] {
        let (groups, rest) = rows.as_chunks::<GROUP>();
        assert!(rest.is_empty(), "OTs are hashed in groups of {GROUP}");
        let words = |(position, rows)| {
            let first = first + (position * GROUP) as u64;
            self.bits::<N>(change(rows), first)
        };
        let words: Vec<[u64; N]> = groups.par_iter().enumerate().map(words).collect();
        std::array::from_fn(|n| words.iter().map(|w| w[n]).collect())
    }
}

/// The sender's products: the message, and its shares.
///
/// `factors` has [`Shape::n_elements`]: a row for each item. `first` are the OTs' numbers.
///
/// # Panics
///
/// If the number of rows is no multiple of the shape's unit, or that of factors does not fit.
pub fn send<R: Ring>(
    (hasher, first): (&Hasher, u64),
    shape: &Shape,
    (delta, rows): (Block, &[Block]),
    factors: &[R],
) -> (Vec<u8>, Vec<R>) {
    shape.check(rows.len());
    assert_eq!(
        factors.len(),
        shape.n_elements(rows.len()),
        "a factor for each product"
    );
    let mut message = vec![0; shape.message_bytes(rows.len())];
    let mut shares = vec![R::ZERO; factors.len()];
    let task = Task::of(shape);
    rows.par_chunks(task.n_ots)
        .zip(message.par_chunks_mut(task.n_bytes.max(1)))
        .zip(shares.par_chunks_mut(task.n_elements.max(1)))
        .zip(factors.par_chunks(task.n_elements.max(1)))
        .enumerate()
        .for_each(|(position, (((rows, message), shares), factors))| {
            let first = first + (position * task.n_ots) as u64;
            let mut writer = Writer::new(message);
            each_column::<R>(shape, rows.len(), |group, block, columns| {
                let at = group * GROUP;
                let rows: &[Block; GROUP] = rows[at..at + GROUP].try_into().expect("a group");
                let (mut zeros, mut ones) = (*rows, rows.map(|row| row ^ delta));
                hasher.hash(&mut zeros, first + at as u64, block);
                hasher.hash(&mut ones, first + at as u64, block);
                for (half, column) in columns.enumerate() {
                    let places = Places::new(shape, at, column);
                    for i in 0..GROUP {
                        let (zero, one) = (element::<R>(zeros[i], half), element(ones[i], half));
                        let (to, shift, width) = places.of(i);
                        writer.put(shape.masked(zero, one, factors[to]), width);
                        shape.add(&mut shares[to], shape.negative(zero).shl(shift));
                    }
                    writer.flush();
                }
                zeros.zeroize();
                ones.zeroize();
            });
        });
    (message, shares)
}

/// The receiver's products, from its choices and the sender's message.
///
/// # Errors
///
/// [`OtError::WrongLength`].
///
/// # Panics
///
/// If the number of rows is no multiple of the shape's unit, or there are not as many choices.
pub fn receive<R: Ring>(
    (hasher, first): (&Hasher, u64),
    shape: &Shape,
    (choices, rows): (&[u64], &[Block]),
    message: &[u8],
) -> Result<Vec<R>, OtError> {
    shape.check(rows.len());
    assert_eq!(choices.len() * GROUP, rows.len(), "a choice for each OT");
    check_length("products", message, shape.message_bytes(rows.len()))?;
    let mut shares = vec![R::ZERO; shape.n_elements(rows.len())];
    let task = Task::of(shape);
    rows.par_chunks(task.n_ots)
        .zip(message.par_chunks(task.n_bytes.max(1)))
        .zip(shares.par_chunks_mut(task.n_elements.max(1)))
        .zip(choices.par_chunks(task.n_ots / GROUP))
        .enumerate()
        .for_each(|(position, (((rows, message), shares), choices))| {
            let first = first + (position * task.n_ots) as u64;
            let mut reader = Reader::new(message);
            each_column::<R>(shape, rows.len(), |group, block, columns| {
                let at = group * GROUP;
                let mut hashed: [Block; GROUP] = rows[at..at + GROUP].try_into().expect("a group");
                hasher.hash(&mut hashed, first + at as u64, block);
                for (half, column) in columns.enumerate() {
                    let places = Places::new(shape, at, column);
                    for (i, hashed) in hashed.iter().enumerate() {
                        let (to, shift, width) = places.of(i);
                        let chosen = R::from_u64(choices[group] >> i & 1);
                        let sent = reader.get::<R>(width).wrapping_mul(chosen);
                        let product = shape.unmasked(element(*hashed, half), sent);
                        shape.add(&mut shares[to], product.shl(shift));
                    }
                    reader.flush();
                }
                hashed.zeroize();
            });
        });
    Ok(shares)
}

/// What a thread works on at a time.
struct Task {
    n_ots: usize,
    n_bytes: usize,
    n_elements: usize,
}

impl Task {
    fn of(shape: &Shape) -> Self {
        let n_ots = TASK_UNITS * shape.unit();
        Self {
            n_ots,
            n_bytes: shape.message_bytes(n_ots),
            n_elements: shape.n_elements(n_ots),
        }
    }
}

/// Calls `with` for every 64 OTs and every block of their rows, with the columns in the block.
fn each_column<R: Ring>(
    shape: &Shape,
    n_ots: usize,
    mut with: impl FnMut(usize, u64, std::ops::Range<usize>),
) {
    let per_block = Block::BYTES / R::BYTES;
    for group in 0..n_ots / GROUP {
        for start in (0..shape.n_columns).step_by(per_block) {
            let end = (start + per_block).min(shape.n_columns);
            let block = shape.first_block + (start / per_block) as u64;
            with(group, block, start..end);
        }
    }
}

/// Element `half` of a block: the first or the second 64 bits, or the block.
#[inline(always)]
fn element<R: Ring>(block: Block, half: usize) -> R {
    R::read_le(&block.to_bytes()[half * R::BYTES..][..R::BYTES])
}

/// Where the products of 64 OTs go, and how many bits of them count.
struct Places<'a> {
    widths: &'a [u32],
    /// The first OT's place, and the distance of the next one's.
    first: usize,
    step: usize,
    /// The first OT's shift, and the difference to the next one's.
    shift: u32,
    shift_step: u32,
}

impl<'a> Places<'a> {
    /// Of the group whose first OT is number `at` of its task.
    fn new(shape: &'a Shape, at: usize, column: usize) -> Self {
        let is_single = shape.per_item == 1;
        Self {
            widths: &shape.widths[at % shape.unit()..][..GROUP],
            first: at / shape.per_item * shape.n_columns + column,
            step: if is_single { shape.n_columns } else { 0 },
            shift: (at % shape.per_item) as u32,
            shift_step: u32::from(!is_single),
        }
    }

    /// The place, the shift and the width of one OT's product.
    #[inline(always)]
    fn of(&self, i: usize) -> (usize, u32, u32) {
        let shift = self.shift + i as u32 * self.shift_step;
        (self.first + i * self.step, shift, self.widths[i])
    }
}

impl Shape {
    #[inline(always)]
    fn masked<R: Ring>(&self, zero: R, one: R, factor: R) -> R {
        match self.group {
            Group::Ring => one.wrapping_sub(zero).wrapping_sub(factor),
            Group::Xor => one.xor(zero).xor(factor),
        }
    }

    #[inline(always)]
    fn unmasked<R: Ring>(&self, hashed: R, sent: R) -> R {
        match self.group {
            Group::Ring => hashed.wrapping_sub(sent),
            Group::Xor => hashed.xor(sent),
        }
    }

    #[inline(always)]
    fn negative<R: Ring>(&self, value: R) -> R {
        match self.group {
            Group::Ring => value.wrapping_neg(),
            Group::Xor => value,
        }
    }

    #[inline(always)]
    fn add<R: Ring>(&self, sum: &mut R, value: R) {
        *sum = match self.group {
            Group::Ring => sum.wrapping_add(value),
            Group::Xor => sum.xor(value),
        };
    }
}

/// Packs values of any width, the lowest bit first.
struct Writer<'a> {
    out: &'a mut [u8],
    pending: u128,
    n_pending: u32,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut [u8]) -> Self {
        Self {
            out,
            pending: 0,
            n_pending: 0,
        }
    }

    /// The lowest `width` bits of a value.
    #[inline(always)]
    fn put<R: Ring>(&mut self, value: R, width: u32) {
        let bytes = ring::as_bytes(std::slice::from_ref(&value));
        for (limb, at) in bytes.chunks_exact(8).zip((0..width).step_by(64)) {
            self.put_word(u64::read_le(limb), (width - at).min(64));
        }
    }

    #[inline(always)]
    fn put_word(&mut self, word: u64, width: u32) {
        let kept = word & (u64::MAX >> (64 - width));
        self.pending |= u128::from(kept) << self.n_pending;
        self.n_pending += width;
        if self.n_pending >= 64 {
            let (word, rest) = std::mem::take(&mut self.out).split_at_mut(8);
            word.copy_from_slice(&(self.pending as u64).to_le_bytes());
            self.out = rest;
            self.pending >>= 64;
            self.n_pending -= 64;
        }
    }

    /// Goes on at a whole byte.
    fn flush(&mut self) {
        let n_bytes = self.n_pending.div_ceil(8) as usize;
        let (last, rest) = std::mem::take(&mut self.out).split_at_mut(n_bytes);
        last.copy_from_slice(&self.pending.to_le_bytes()[..n_bytes]);
        self.out = rest;
        (self.pending, self.n_pending) = (0, 0);
    }
}

/// The inverse of [`Writer`].
struct Reader<'a> {
    bytes: &'a [u8],
    at_bit: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at_bit: 0 }
    }

    #[inline(always)]
    fn get<R: Ring>(&mut self, width: u32) -> R {
        let mut value = R::ZERO;
        let bytes = ring::as_bytes_mut(std::slice::from_mut(&mut value));
        for (limb, at) in bytes.chunks_exact_mut(8).zip((0..width).step_by(64)) {
            limb.copy_from_slice(&self.get_word((width - at).min(64)).to_le_bytes());
        }
        value
    }

    #[inline(always)]
    fn get_word(&mut self, width: u32) -> u64 {
        let bytes = &self.bytes[self.at_bit / 8..];
        let mut window = [0; 16];
        match bytes.first_chunk::<16>() {
            Some(bytes) => window = *bytes,
            None => window[..bytes.len()].copy_from_slice(bytes),
        }
        let word = (u128::from_le_bytes(window) >> (self.at_bit % 8)) as u64;
        self.at_bit += width as usize;
        word & (u64::MAX >> (64 - width))
    }

    /// Goes on at a whole byte.
    fn flush(&mut self) {
        self.at_bit = self.at_bit.next_multiple_of(8);
    }
}
