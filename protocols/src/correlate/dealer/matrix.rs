//! Dealing a matrix triple: both factors are drawn, and the product is corrected some rows at a time.

use super::{CHUNK_BYTES, Deal, Turns};
use crate::correlate::{MatrixShape, MatrixTriple, Stock, StockedRing, matrix};
use crate::party::Seat;
use bytes::Bytes;
use engine::prg::{Prg, Seed};
use engine::ring::{self, Ring};
use engine::share::Share;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

/// Streams of a seed.
const LEFT: u64 = 0;
const RIGHT: u64 = 1;
const PRODUCT: u64 = 2;

pub(super) struct Matrix<R> {
    shape: MatrixShape,
    chunk_rows: usize,
    ring: PhantomData<R>,
}

impl<R: StockedRing> Matrix<R> {
    pub(super) fn new(shape: MatrixShape) -> Self {
        let row_bytes = (shape.n * R::BYTES).max(1);
        Self {
            shape,
            chunk_rows: (CHUNK_BYTES / row_bytes).max(1),
            ring: PhantomData,
        }
    }

    /// The elements of the product in a chunk: whole rows.
    fn elements(&self, chunk: usize) -> Range<usize> {
        let row = |chunk: usize| (chunk * self.chunk_rows).min(self.shape.m);
        row(chunk) * self.shape.n..row(chunk + 1) * self.shape.n
    }
}

/// A seat's share of one of the three matrices.
fn expand<R: Ring>(seed: &Seed, stream: u64, n_items: usize) -> Share<R> {
    let mut share = Share::zero(n_items);
    Prg::new(seed, stream).fill_ring(share.as_mut_slice());
    share
}

fn sum<R: Ring>(seeds: &[Seed], stream: u64, n_items: usize) -> Share<R> {
    seeds.iter().fold(Share::zero(n_items), |mut sum, seed| {
        sum.add_assign(&expand(seed, stream, n_items));
        sum
    })
}

impl<R: StockedRing> Deal for Matrix<R> {
    /// Nothing stands for no chunks.
    type Part = Option<MatrixTriple<R>>;

    /// An empty product is one empty chunk.
    fn n_chunks(&self) -> usize {
        self.shape.m.div_ceil(self.chunk_rows).max(1)
    }

    fn correction_bytes(&self, chunk: usize) -> usize {
        self.elements(chunk).len() * R::BYTES
    }

    /// All: the product is computed at once.
    fn batch(&self, first: usize) -> Range<usize> {
        first..self.n_chunks()
    }

    fn corrections(&self, seeds: &[Seed], turns: Turns, chunks: Range<usize>) -> Vec<Vec<u8>> {
        if chunks.is_empty() {
            return Vec::new();
        }
        let a = sum::<R>(seeds, LEFT, self.shape.left_len());
        let b = sum(seeds, RIGHT, self.shape.right_len());
        let mut c = matrix::product(self.shape, &a, &b);
        for (seat, seed) in seeds.iter().enumerate() {
            let share = expand(seed, PRODUCT, c.len());
            let others = chunks.clone().filter(|k| turns.seat(*k).index() != seat);
            for elements in others.map(|chunk| self.elements(chunk)) {
                let share = &share.as_slice()[elements.clone()];
                ring::sub_assign(&mut c.as_mut_slice()[elements], share);
            }
        }
        let bytes = |chunk| ring::as_bytes(&c.as_slice()[self.elements(chunk)]).to_vec();
        chunks.map(bytes).collect()
    }

    fn expand(&self, seed: &Arc<Seed>, _: Seat, _: Turns, chunks: Range<usize>) -> Self::Part {
        (!chunks.is_empty()).then(|| MatrixTriple {
            a: expand(seed, LEFT, self.shape.left_len()),
            b: expand(seed, RIGHT, self.shape.right_len()),
            c: expand(seed, PRODUCT, self.shape.product_len()),
        })
    }

    fn store(&self, part: Self::Part, corrections: Vec<(usize, Bytes)>, stock: &mut Stock) {
        let mut triple = part.expect("a matrix has chunks");
        for (chunk, body) in corrections {
            let c = &mut triple.c.as_mut_slice()[self.elements(chunk)];
            ring::as_bytes_mut(c).copy_from_slice(&body);
        }
        stock.add_matrix(self.shape, triple);
    }
}
