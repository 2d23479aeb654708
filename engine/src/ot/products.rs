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

use super::extend::{Extension, Pad, RowSource, Rows, word_of};
use super::{Direction, OtError, check_length};
use crate::block::Block;
use crate::hash::{self, CrHash};
use crate::params::MAX_OTS;
use crate::ring::{self, Ring};
use crate::wide;
use rayon::prelude::*;
use std::ops::Range;
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
    /// Bytes that each 64 OTs of a unit send of a column.
    group_bytes: Vec<usize>,
    /// How these lie in the message.
    layouts: Vec<Layout>,
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
            per_item: R::BITS as usize,
            ..Self::bits::<R>((1..=R::BITS).rev().collect(), n_columns)
        }
    }

    /// Products of bits with ring elements. `widths` has an entry for each OT, 64 times a power of two
    /// of them, and is repeated from there on.
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
        let bytes = |widths: &[u32]| widths.iter().sum::<u32>().div_ceil(8) as usize;
        Self {
            group_bytes: widths.chunks(GROUP).map(bytes).collect(),
            layouts: widths.chunks(GROUP).map(Layout::of::<R>).collect(),
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
        let unit: usize = self.group_bytes.iter().sum();
        n_ots / self.unit() * unit * self.n_columns
    }

    /// Bytes and elements of a unit, at least one of each so that vectors can be cut.
    fn unit_size(&self) -> (usize, usize) {
        let unit = self.unit();
        let (n_bytes, n_elements) = (self.message_bytes(unit), self.n_elements(unit));
        (n_bytes.max(1), n_elements.max(1))
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
    direction: Direction,
}

impl Hasher {
    /// A hash for the products made in this direction.
    pub fn new(direction: &Direction) -> Self {
        let key = hash::derive_key("entente/v1/ot-products/hash", &[&direction.to_bytes()]);
        Self {
            hash: CrHash::new(&key),
            next: 0,
            direction: *direction,
        }
    }

    /// The same hash, for those who use numbers that they have reserved before. It reserves none.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self {
            next: MAX_OTS,
            ..Self::new(&self.direction)
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
    pub(super) fn hash(&self, rows: &mut Rows, first: u64, block: u64) {
        let tweak = block << INDEX_BITS | first;
        self.hash.hash_in_place(rows, tweak);
    }

    /// Hashes rows, and returns their lowest `N` bits, packed.
    fn bits<const N: usize>(&self, rows: &mut Rows, first: u64) -> [u64; N] {
        self.hash(rows, first, 0);
        std::array::from_fn(|n| word_of(rows, n))
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
        source: impl RowSource,
    ) -> [[Vec<u64>; N]; 2] {
        let mut words = vec![[[0; N]; 2]; n_groups(&source)];
        source.each(&mut words, 1, |at, rows, pad, out| {
            let first = first + at as u64;
            pad.copy_both(rows, delta);
            *out = [
                self.bits(&mut pad.zeros, first),
                self.bits(&mut pad.ones, first),
            ];
        });
        let message = |c: usize| std::array::from_fn(|n| words.iter().map(|w| w[c][n]).collect());
        let messages = [message(0), message(1)];
        words.zeroize();
        messages
    }

    /// Random OTs of `N` bits at the receiver: the chosen message, packed, bit by bit, and what the
    /// source leaves.
    ///
    /// # Panics
    ///
    /// If the number of rows is no multiple of 64.
    pub fn receiver_bits<const N: usize>(
        &self,
        first: u64,
        source: impl RowSource,
    ) -> ([Vec<u64>; N], Extension) {
        let mut words = vec![[0; N]; n_groups(&source)];
        let extension = source.each(&mut words, 1, |at, rows, pad, out| {
            pad.copy(rows);
            *out = self.bits(&mut pad.zeros, first + at as u64);
        });
        let chosen = std::array::from_fn(|n| words.iter().map(|w| w[n]).collect());
        words.zeroize();
        (chosen, extension)
    }
}

/// Groups of OTs that are hashed together.
fn n_groups(source: &impl RowSource) -> usize {
    let n_ots = source.n_ots();
    assert!(
        n_ots.is_multiple_of(GROUP),
        "OTs are hashed in groups of {GROUP}"
    );
    n_ots / GROUP
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
    (delta, source): (Block, impl RowSource),
    factors: &[R],
) -> (Vec<u8>, Vec<R>) {
    let n_ots = source.n_ots();
    shape.check(n_ots);
    assert_eq!(
        factors.len(),
        shape.n_elements(n_ots),
        "a factor for each product"
    );
    let mut message = vec![0; shape.message_bytes(n_ots)];
    let mut shares = vec![R::ZERO; factors.len()];
    let (n_bytes, n_elements) = shape.unit_size();
    let mut units: Vec<_> = message
        .chunks_mut(n_bytes)
        .zip(shares.chunks_mut(n_elements))
        .zip(factors.chunks(n_elements))
        .collect();
    units.truncate(n_ots / shape.unit());
    if shape.n_columns > 0 {
        source.each(&mut units, shape.unit() / GROUP, |at, rows, pad, unit| {
            let ((message, shares), factors) = unit;
            let group = Group64::of(shape, at);
            let mut out = &mut message[group.bytes.clone()];
            each_block::<R>(shape, |block, columns| {
                pad.copy_both(rows, delta);
                hasher.hash(&mut pad.zeros, first + at as u64, block);
                hasher.hash(&mut pad.ones, first + at as u64, block);
                for (half, column) in columns.enumerate() {
                    let places = group.places(shape, column);
                    let (this, rest) = std::mem::take(&mut out).split_at_mut(group.column_bytes);
                    out = rest;
                    let column = Column { places, half };
                    match shape.group {
                        Group::Ring => column.send::<R, false>(pad, factors, shares, this),
                        Group::Xor => column.send::<R, true>(pad, factors, shares, this),
                    }
                }
            });
        });
    }
    (message, shares)
}

/// The receiver's products as far as they come from its own rows: v of c·x without what the sender's
/// message adds, and what the source leaves. [`receive_rest`] adds it.
///
/// # Panics
///
/// If the number of rows is no multiple of the shape's unit.
pub fn receive_first<R: Ring>(
    (hasher, first): (&Hasher, u64),
    shape: &Shape,
    source: impl RowSource,
) -> (Vec<R>, Extension) {
    let n_ots = source.n_ots();
    shape.check(n_ots);
    let mut shares = vec![R::ZERO; shape.n_elements(n_ots)];
    let (_, n_elements) = shape.unit_size();
    let mut units: Vec<&mut [R]> = shares.chunks_mut(n_elements).collect();
    units.resize_with(n_ots / shape.unit(), Default::default);
    let extension = source.each(&mut units, shape.unit() / GROUP, |at, rows, pad, shares| {
        let group = Group64::of(shape, at);
        each_block::<R>(shape, |block, columns| {
            pad.copy(rows);
            hasher.hash(&mut pad.zeros, first + at as u64, block);
            for (half, column) in columns.enumerate() {
                let places = group.places(shape, column);
                let column = Column { places, half };
                match shape.group {
                    Group::Ring => column.receive::<R, false>(&pad.zeros, shares),
                    Group::Xor => column.receive::<R, true>(&pad.zeros, shares),
                }
            }
        });
    });
    (shares, extension)
}

/// Completes the shares of [`receive_first`] with the sender's message.
///
/// # Errors
///
/// [`OtError::WrongLength`].
///
/// # Panics
///
/// If the choices or shares are not those of a whole number of units.
pub fn receive_rest<R: Ring>(
    shape: &Shape,
    choices: &[u64],
    message: &[u8],
    shares: &mut [R],
) -> Result<(), OtError> {
    let n_ots = choices.len() * GROUP;
    shape.check(n_ots);
    assert_eq!(
        shares.len(),
        shape.n_elements(n_ots),
        "a share for each product"
    );
    check_length("products", message, shape.message_bytes(n_ots))?;
    let (n_bytes, n_elements) = shape.unit_size();
    message
        .par_chunks(n_bytes)
        .zip(shares.par_chunks_mut(n_elements))
        .zip(choices.par_chunks(shape.unit() / GROUP))
        .with_min_len(TASK_UNITS)
        .for_each(|((message, shares), choices)| {
            for (number, choices) in choices.iter().enumerate() {
                let group = Group64::of(shape, number * GROUP);
                let all = message[group.bytes.clone()].chunks_exact(group.column_bytes.max(1));
                for (column, message) in all.enumerate() {
                    let places = group.places(shape, column);
                    let column = Column { places, half: 0 };
                    match shape.group {
                        Group::Ring => column.complete::<R, false>(message, *choices, shares),
                        Group::Xor => column.complete::<R, true>(message, *choices, shares),
                    }
                }
            }
        });
    Ok(())
}

/// The receiver's products, from rows in memory, its choices and the sender's message.
///
/// # Errors
///
/// [`OtError::WrongLength`].
///
/// # Panics
///
/// If the number of rows is no multiple of the shape's unit, or there are not as many choices.
pub fn receive<R: Ring>(
    numbered: (&Hasher, u64),
    shape: &Shape,
    (choices, rows): (&[u64], &[Block]),
    message: &[u8],
) -> Result<Vec<R>, OtError> {
    assert_eq!(choices.len() * GROUP, rows.len(), "a choice for each OT");
    let (mut shares, _) = receive_first(numbered, shape, rows);
    receive_rest(shape, choices, message, &mut shares)?;
    Ok(shares)
}

/// Calls `with` for every block of a row, with the columns in the block.
#[inline(always)]
fn each_block<R: Ring>(shape: &Shape, mut with: impl FnMut(u64, Range<usize>)) {
    let per_block = Block::BYTES / R::BYTES;
    for start in (0..shape.n_columns).step_by(per_block) {
        let end = (start + per_block).min(shape.n_columns);
        with(shape.first_block + (start / per_block) as u64, start..end);
    }
}

/// 64 OTs of one column: where their products go, and which part of the rows they have.
struct Column<'a> {
    places: Places<'a>,
    half: usize,
}

impl Column<'_> {
    /// The part of hashed rows: the first or the second 64 bits, or whole blocks.
    #[inline(always)]
    fn of<R: Ring>(&self, rows: &Rows) -> [R; GROUP] {
        let elements: &[R] = bytemuck::cast_slice(rows);
        let per_block = elements.len() / GROUP;
        std::array::from_fn(|i| elements[per_block * i + self.half])
    }

    #[inline(always)]
    fn send<R: Ring, const XOR: bool>(
        &self,
        pad: &Pad,
        factors: &[R],
        shares: &mut [R],
        message: &mut [u8],
    ) {
        let places = &self.places;
        wide::run(|| {
            let (zeros, ones) = (self.of::<R>(&pad.zeros), self.of::<R>(&pad.ones));
            let masked = |zero: R, one: R, factor: R| match XOR {
                false => one.wrapping_sub(zero).wrapping_sub(factor),
                true => one.xor(zero).xor(factor),
            };
            let mut masks = [R::ZERO; GROUP];
            match places.step {
                0 => {
                    let factor = factors[places.first];
                    for ((out, zero), one) in masks.iter_mut().zip(&zeros).zip(&ones) {
                        *out = masked(*zero, *one, factor);
                    }
                }
                step => {
                    let factors = factors[places.first..].iter().step_by(step);
                    for (((out, zero), one), factor) in
                        masks.iter_mut().zip(&zeros).zip(&ones).zip(factors)
                    {
                        *out = masked(*zero, *one, *factor);
                    }
                }
            }
            places.add::<R, XOR>(&zeros, true, shares);
            places.layout.write(&masks, places.widths, message);
        });
    }

    #[inline(always)]
    fn receive<R: Ring, const XOR: bool>(&self, hashed: &Rows, shares: &mut [R]) {
        wide::run(|| {
            let hashed = self.of::<R>(hashed);
            self.places.add::<R, XOR>(&hashed, false, shares);
        });
    }

    #[inline(always)]
    fn complete<R: Ring, const XOR: bool>(&self, message: &[u8], choices: u64, shares: &mut [R]) {
        let places = &self.places;
        wide::run(|| {
            let mut sent = [R::ZERO; GROUP];
            places.layout.read(message, places.widths, &mut sent);
            for (i, sent) in sent.iter_mut().enumerate() {
                *sent = sent.wrapping_mul(R::from_u64(choices >> i & 1));
            }
            places.add::<R, XOR>(&sent, true, shares);
        });
    }
}

/// 64 OTs of a unit.
struct Group64 {
    /// The first of them in the unit.
    at: usize,
    /// Their part of the unit's message, and that of one column.
    bytes: Range<usize>,
    column_bytes: usize,
}

impl Group64 {
    #[inline(always)]
    fn of(shape: &Shape, at: usize) -> Self {
        let at = at % shape.unit();
        let start = shape.group_bytes[..at / GROUP].iter().sum::<usize>() * shape.n_columns;
        let column_bytes = shape.group_bytes[at / GROUP];
        Self {
            at,
            bytes: start..start + column_bytes * shape.n_columns,
            column_bytes,
        }
    }

    #[inline(always)]
    fn places<'a>(&self, shape: &'a Shape, column: usize) -> Places<'a> {
        let is_single = shape.per_item == 1;
        let widths = shape.widths[self.at..][..GROUP].try_into();
        Places {
            widths: widths.expect("a group has a width for each OT"),
            first: self.at / shape.per_item * shape.n_columns + column,
            step: if is_single { shape.n_columns } else { 0 },
            shift: (self.at % shape.per_item) as u32,
            layout: shape.layouts[self.at / GROUP],
        }
    }
}

/// Where the products of 64 OTs go in their unit, and how many bits of them count.
struct Places<'a> {
    widths: &'a [u32; GROUP],
    /// The first OT's place, and the distance of the next one's.
    first: usize,
    step: usize,
    /// The first OT's shift, where all of them are bits of one element.
    shift: u32,
    layout: Layout,
}

impl Places<'_> {
    /// Adds values, or their negatives, to the elements where they belong, with the weights of bits.
    #[inline(always)]
    fn add<R: Ring, const XOR: bool>(&self, values: &[R; GROUP], negative: bool, shares: &mut [R]) {
        let plus = |sum: R, value: R| match XOR {
            false if negative => sum.wrapping_sub(value),
            false => sum.wrapping_add(value),
            true => sum.xor(value),
        };
        if self.step == 0 {
            let mut sum = shares[self.first];
            for (i, value) in (self.shift..).zip(values) {
                sum = plus(sum, value.shl(i));
            }
            shares[self.first] = sum;
        } else {
            let shares = shares[self.first..].iter_mut().step_by(self.step);
            for (share, value) in shares.zip(values) {
                *share = plus(*share, *value);
            }
        }
    }
}

/// How 64 values of some widths lie in a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layout {
    /// Whole elements.
    Whole,
    /// Of widths 64, 63, …, 1: value i and value 64 − i fill a word together, and value 32 half a one.
    Triangle,
    /// One after another, the lowest bit first.
    Packed,
}

impl Layout {
    fn of<R: Ring>(widths: &[u32]) -> Self {
        if widths.iter().all(|w| *w == R::BITS) {
            Self::Whole
        } else if R::BITS == 64 && widths.iter().copied().eq((1..=64).rev()) {
            Self::Triangle
        } else {
            Self::Packed
        }
    }

    #[inline(always)]
    fn write<R: Ring>(self, values: &[R; GROUP], widths: &[u32; GROUP], message: &mut [u8]) {
        match self {
            Self::Whole => message.copy_from_slice(ring::as_bytes(values)),
            Self::Triangle => {
                let values: &[u64] = bytemuck::cast_slice(values);
                let (words, half) = message.as_chunks_mut::<8>();
                words[0] = values[0].to_le_bytes();
                for i in 1..32 {
                    let word = values[i] << i >> i | values[64 - i] << (64 - i);
                    words[i] = word.to_le_bytes();
                }
                half.copy_from_slice(&(values[32] as u32).to_le_bytes());
            }
            Self::Packed => {
                let mut writer = Writer::new(message);
                for (value, width) in values.iter().zip(widths) {
                    writer.put(*value, *width);
                }
                writer.flush();
            }
        }
    }

    #[inline(always)]
    fn read<R: Ring>(self, message: &[u8], widths: &[u32; GROUP], values: &mut [R; GROUP]) {
        match self {
            Self::Whole => ring::as_bytes_mut(values).copy_from_slice(message),
            Self::Triangle => {
                let values: &mut [u64] = bytemuck::cast_slice_mut(values);
                let (words, half) = message.as_chunks::<8>();
                values[0] = u64::from_le_bytes(words[0]);
                for i in 1..32 {
                    let word = u64::from_le_bytes(words[i]);
                    values[i] = word << i >> i;
                    values[64 - i] = word >> (64 - i);
                }
                let half = half.try_into().expect("half a word is left");
                values[32] = u32::from_le_bytes(half).into();
            }
            Self::Packed => {
                let mut reader = Reader::new(message);
                for (value, width) in values.iter_mut().zip(widths) {
                    *value = reader.get(*width);
                }
            }
        }
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

    /// Fills the last byte up.
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
}
