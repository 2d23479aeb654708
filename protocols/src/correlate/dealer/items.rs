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
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

/// Items whose columns a dealer works on at a time: a few of them fit in the fastest cache.
const BLOCK_ITEMS: usize = 1 << 10;

/// The same where an item is a few bits.
const BLOCK_BITS: usize = 1 << 16;

/// Items that are drawn at once: whole blocks of the generator, and whole words of bits.
const STEP: usize = 128;

#[derive(Clone, Copy)]
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
}

/// One seat's shares of a chunk before they are expanded: a seed, and what the seat was sent if the chunk's derived
/// columns are not drawn at this seat.
pub(super) struct Sealed<R> {
    items: Items<R>,
    seed: Arc<Seed>,
    chunk: usize,
    is_sent: bool,
    correction: Bytes,
}

impl<R: StockedRing> Sealed<R> {
    fn open(&self, range: Range<usize>) -> Columns<R> {
        let n_items = self.items.chunk_len(self.chunk);
        let layout = self.items.layout();
        let starts = Starts::new::<R>(layout, n_items);
        let mut prg = Prg::new(&self.seed, self.chunk as u64);
        let (n_ring, n_bits) = match self.is_sent {
            true => (layout.free_ring, layout.free_bits),
            false => (layout.n_ring(), layout.n_bits()),
        };
        // The generator makes whole blocks: what it makes of items before the first is dropped.
        let from = range.start / STEP * STEP;
        let skip = range.start - from;
        let mut columns = Columns {
            n_items: range.len(),
            ring: Vec::with_capacity(layout.n_ring()),
            bits: Vec::with_capacity(layout.n_bits()),
        };
        for column in 0..n_ring {
            let mut share = Share::zero(range.end - from);
            prg.seek(starts.ring(column) + (from * R::BYTES / 16) as u64);
            prg.fill_ring(share.as_mut_slice());
            if skip > 0 {
                share = share.split_off(skip);
            }
            columns.ring.push(share);
        }
        for column in 0..n_bits {
            let mut words = Zeroizing::new(vec![0; bits::words_for(range.end - from)]);
            prg.seek(starts.bits(column) + (from / STEP) as u64);
            prg.fill_ring(&mut words);
            if skip > 0 {
                words = bits::range(&words, skip, range.len()).into();
            }
            columns.bits.push(words);
        }
        if self.is_sent {
            self.complete(&mut columns, range);
        }
        columns
    }

    /// The columns that the seat was sent.
    fn complete(&self, columns: &mut Columns<R>, range: Range<usize>) {
        let layout = self.items.layout();
        let n_items = self.items.chunk_len(self.chunk);
        let ring_bytes = layout.derived_ring * n_items * R::BYTES;
        let (ring_part, bits_part) = self.correction.split_at(ring_bytes);
        for bytes in ring_part.chunks_exact(n_items * R::BYTES) {
            let bytes = &bytes[range.start * R::BYTES..range.end * R::BYTES];
            let values = ring::from_bytes(bytes).expect("whole elements");
            columns.ring.push(Share::new(values));
        }
        let (first, end) = (range.start / 64, bits::words_for(range.end));
        for bytes in bits_part.chunks_exact(8 * bits::words_for(n_items)) {
            let words = ring::from_bytes(&bytes[8 * first..8 * end]).expect("whole words");
            let mut words: Zeroizing<Vec<u64>> = Zeroizing::new(words);
            if !range.start.is_multiple_of(64) {
                words = bits::range(&words, range.start % 64, range.len()).into();
            }
            columns.bits.push(words);
        }
    }
}

impl<R: StockedRing> Deal for Items<R> {
    type Part = Vec<Sealed<R>>;

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

    /// Nothing is expanded before it is used.
    fn expand(&self, seed: &Arc<Seed>, me: Seat, turns: Turns, chunks: Range<usize>) -> Self::Part {
        let sealed = |chunk| Sealed {
            items: *self,
            seed: seed.clone(),
            chunk,
            is_sent: turns.seat(chunk) == me,
            correction: Bytes::new(),
        };
        chunks.map(sealed).collect()
    }

    fn store(&self, part: Self::Part, corrections: Vec<(usize, Bytes)>, stock: &mut Stock) {
        let mut corrections = corrections.into_iter().peekable();
        for mut sealed in part {
            if let Some((_, body)) = corrections.next_if(|(of, _)| *of == sealed.chunk) {
                sealed.correction = body;
            }
            let n_items = self.chunk_len(sealed.chunk);
            let open = Arc::new(move |range| sealed.open(range));
            stock.add_sealed::<R>(self.recipe, n_items, open);
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
