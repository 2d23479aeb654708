//! Dealing the kinds of which any number is taken.

use super::{CHUNK_BYTES, Deal, Turns};
use crate::correlate::recipe::{Columns, Layout, Recipe};
use crate::correlate::{Stock, StockedRing};
use crate::party::Seat;
use bytes::Bytes;
use engine::bits;
use engine::prg::{Prg, Seed};
use engine::ring::{self, Ring};
use engine::share::Share;
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;
use zeroize::{Zeroize, Zeroizing};

/// Items whose columns a dealer works on at a time: a few of them fit in the fastest cache.
const BLOCK_ITEMS: usize = 1 << 10;

/// The same where an item is a few bits.
const BLOCK_BITS: usize = 1 << 16;

pub(super) struct Items<R> {
    recipe: Recipe,
    n_items: usize,
    chunk_items: usize,
    ring: PhantomData<R>,
}

impl<R: StockedRing> Items<R> {
    /// Chunks are small enough that even a small section is corrected by every seat in turn.
    pub(super) fn new(recipe: Recipe, n_items: usize, n_computing: usize) -> Self {
        let item_bits = recipe.layout::<R>().derived_item_bits::<R>();
        let most = (8 * CHUNK_BYTES / item_bits).next_multiple_of(BLOCK_ITEMS);
        let chunk_items = n_items.div_ceil(n_computing).next_multiple_of(128);
        Self {
            recipe,
            n_items,
            chunk_items: chunk_items.min(most),
            ring: PhantomData,
        }
    }

    fn layout(&self) -> Layout {
        self.recipe.layout::<R>()
    }

    fn chunk_len(&self, chunk: usize) -> usize {
        let start = chunk * self.chunk_items;
        self.chunk_items.min(self.n_items - start)
    }

    /// The derived columns of one chunk as `to` lacks them.
    fn correction(&self, seeds: &[Seed], to: Seat, chunk: usize) -> Vec<u8> {
        let n_items = self.chunk_len(chunk);
        let layout = self.layout();
        let block_items = match layout.n_ring() {
            0 => BLOCK_BITS,
            _ => BLOCK_ITEMS,
        };
        let mut streams = Streams::<R>::new(seeds, chunk, layout, n_items);
        let mut block = Columns::<R>::zero(layout, block_items.min(n_items));
        let mut out = vec![0; layout.derived_bytes::<R>(n_items)];
        for start in (0..n_items).step_by(block_items) {
            let len = block_items.min(n_items - start);
            for column in 0..layout.free_ring {
                streams.add_ring(column, start, &mut block.ring[column].as_mut_slice()[..len]);
            }
            let n_words = bits::words_for(len);
            for column in 0..layout.free_bits {
                streams.add_bits(column, start, &mut block.bits[column][..n_words]);
            }
            self.recipe.derive(&mut block, len);
            let (ring_out, bits_out) = out.split_at_mut(layout.derived_ring * n_items * R::BYTES);
            for column in 0..layout.derived_ring {
                let values = &mut block.ring[layout.free_ring + column].as_mut_slice()[..len];
                streams.subtract_ring(layout.free_ring + column, start, values, to);
                ring_out[(column * n_items + start) * R::BYTES..][..len * R::BYTES]
                    .copy_from_slice(ring::as_bytes(values));
            }
            let column_words = bits::words_for(n_items);
            for column in 0..layout.derived_bits {
                let words = &mut block.bits[layout.free_bits + column][..n_words];
                streams.subtract_bits(layout.free_bits + column, start, words, to);
                bits_out[(column * column_words + start / 64) * 8..][..n_words * 8]
                    .copy_from_slice(ring::as_bytes(words));
            }
        }
        out
    }

    /// One seat's shares of a chunk; the derived columns stay empty if it will be sent them.
    fn expand_chunk(&self, seed: &Seed, chunk: usize, is_sent: bool) -> Columns<R> {
        let n_items = self.chunk_len(chunk);
        let layout = self.layout();
        let starts = Starts::new::<R>(layout, n_items);
        let mut prg = Prg::new(seed, chunk as u64);
        let (n_ring, n_bits) = match is_sent {
            true => (layout.free_ring, layout.free_bits),
            false => (layout.n_ring(), layout.n_bits()),
        };
        let ring = (0..n_ring).map(|column| {
            let mut share = Share::zero(n_items);
            prg.seek(starts.ring(column));
            prg.fill_ring(share.as_mut_slice());
            share
        });
        let ring = ring.collect();
        let bits = (0..n_bits).map(|column| {
            let mut words = Zeroizing::new(vec![0u64; bits::words_for(n_items)]);
            prg.seek(starts.bits(column));
            prg.fill_ring(&mut words);
            words
        });
        let bits = bits.collect();
        Columns {
            n_items,
            ring,
            bits,
        }
    }

    /// The columns that a seat was sent.
    fn complete(&self, columns: &mut Columns<R>, correction: &[u8]) {
        let layout = self.layout();
        let n_items = columns.n_items;
        let (ring_part, bits_part) = correction.split_at(layout.derived_ring * n_items * R::BYTES);
        for bytes in ring_part.chunks_exact(n_items * R::BYTES) {
            let values = ring::from_bytes(bytes).expect("whole elements");
            columns.ring.push(Share::new(values));
        }
        for bytes in bits_part.chunks_exact(8 * bits::words_for(n_items)) {
            let words = ring::from_bytes(bytes).expect("whole words");
            columns.bits.push(Zeroizing::new(words));
        }
    }
}

impl<R: StockedRing> Deal for Items<R> {
    type Part = Vec<(usize, Columns<R>)>;

    fn n_chunks(&self) -> usize {
        self.n_items.div_ceil(self.chunk_items)
    }

    fn correction_bytes(&self, chunk: usize) -> usize {
        self.layout().derived_bytes::<R>(self.chunk_len(chunk))
    }

    fn corrections(&self, seeds: &[Seed], turns: Turns, chunks: Range<usize>) -> Vec<Vec<u8>> {
        let correction = |chunk| self.correction(seeds, turns.seat(chunk), chunk);
        chunks.into_par_iter().map(correction).collect()
    }

    fn expand(&self, seed: &Seed, me: Seat, turns: Turns, chunks: Range<usize>) -> Self::Part {
        let expand = |chunk| {
            let is_sent = turns.seat(chunk) == me;
            (chunk, self.expand_chunk(seed, chunk, is_sent))
        };
        chunks.into_par_iter().map(expand).collect()
    }

    fn store(&self, part: Self::Part, corrections: Vec<(usize, Bytes)>, stock: &mut Stock) {
        let mut corrections = corrections.into_iter().peekable();
        for (chunk, mut columns) in part {
            if let Some((_, body)) = corrections.next_if(|(of, _)| *of == chunk) {
                self.complete(&mut columns, &body);
            }
            self.recipe.store(columns, stock);
        }
    }
}

/// Where each column of a chunk begins in its stream, in blocks of the generator.
struct Starts {
    layout: Layout,
    ring_blocks: u64,
    bits_blocks: u64,
}

impl Starts {
    fn new<R: Ring>(layout: Layout, n_items: usize) -> Self {
        Self {
            layout,
            ring_blocks: (n_items * R::BYTES).div_ceil(16) as u64,
            bits_blocks: (bits::words_for(n_items) * 8).div_ceil(16) as u64,
        }
    }

    fn ring(&self, column: usize) -> u64 {
        column as u64 * self.ring_blocks
    }

    fn bits(&self, column: usize) -> u64 {
        self.layout.n_ring() as u64 * self.ring_blocks + column as u64 * self.bits_blocks
    }
}

/// All seats' streams of one chunk, at the dealer.
struct Streams<R: Ring> {
    prgs: Vec<Prg>,
    starts: Starts,
    share: Vec<R>,
    words: Vec<u64>,
}

impl<R: Ring> Streams<R> {
    fn new(seeds: &[Seed], chunk: usize, layout: Layout, n_items: usize) -> Self {
        let prgs = seeds.iter().map(|seed| Prg::new(seed, chunk as u64));
        Self {
            prgs: prgs.collect(),
            starts: Starts::new::<R>(layout, n_items),
            share: vec![R::ZERO; BLOCK_ITEMS.min(n_items)],
            words: vec![0; bits::words_for(BLOCK_BITS.min(n_items))],
        }
    }

    /// The sum of all seats' shares of some items of a column, from item `start` on.
    fn add_ring(&mut self, column: usize, start: usize, sum: &mut [R]) {
        let block = self.starts.ring(column) + (start * R::BYTES / 16) as u64;
        let share = &mut self.share[..sum.len()];
        for (seat, prg) in self.prgs.iter_mut().enumerate() {
            prg.seek(block);
            if seat == 0 {
                prg.fill_ring(sum);
            } else {
                prg.fill_ring(share);
                ring::add_assign(sum, share);
            }
        }
    }

    fn add_bits(&mut self, column: usize, start: usize, sum: &mut [u64]) {
        let block = self.starts.bits(column) + (start / 128) as u64;
        let words = &mut self.words[..sum.len()];
        for (seat, prg) in self.prgs.iter_mut().enumerate() {
            prg.seek(block);
            if seat == 0 {
                prg.fill_ring(sum);
            } else {
                prg.fill_ring(words);
                bits::xor_assign(sum, words);
            }
        }
    }

    /// What the shares of all seats but `to` lack.
    fn subtract_ring(&mut self, column: usize, start: usize, values: &mut [R], to: Seat) {
        let block = self.starts.ring(column) + (start * R::BYTES / 16) as u64;
        let share = &mut self.share[..values.len()];
        let others = self.prgs.iter_mut().enumerate();
        for (_, prg) in others.filter(|(seat, _)| *seat != to.index()) {
            prg.seek(block);
            prg.fill_ring(share);
            ring::sub_assign(values, share);
        }
    }

    fn subtract_bits(&mut self, column: usize, start: usize, values: &mut [u64], to: Seat) {
        let block = self.starts.bits(column) + (start / 128) as u64;
        let words = &mut self.words[..values.len()];
        let others = self.prgs.iter_mut().enumerate();
        for (_, prg) in others.filter(|(seat, _)| *seat != to.index()) {
            prg.seek(block);
            prg.fill_ring(words);
            bits::xor_assign(values, words);
        }
    }
}

impl<R: Ring> Drop for Streams<R> {
    fn drop(&mut self) {
        self.share.zeroize();
        self.words.zeroize();
    }
}
