//! Cutting a product into tiles for the cores, panels for the caches and small tiles for registers.

use super::View;
use crate::ring::{self, Ring};
use crate::wide;
use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;
use std::slice::ChunksExact;
use std::sync::Mutex;
use zeroize::{DefaultIsZeroes, Zeroizing};

/// The inner loop of a product, for one kind of processor.
///
/// Packed panels hold `LIMBS` words for a value. Step p of a panel of `a` is `ROWS` words of limb 0,
/// then of limb 1, and so on; a panel of `b` has `COLS` in the place of `ROWS`.
pub(super) trait Kernel<R: Ring>: Copy + Send + Sync {
    /// Rows of a small tile.
    const ROWS: usize;
    /// Columns of a small tile.
    const COLS: usize;
    /// Words of a packed value.
    const LIMBS: usize;
    /// Steps that the kernel can sum before the sums must be put together.
    const DEPTH: usize;

    /// One word of a packed value.
    fn limb(value: R, index: usize) -> u64;

    /// Sets `sums` to the product of two panels, `ROWS`·`COLS` values row by row.
    fn tile(self, a: &[u64], b: &[u64], sums: &mut [R]);
}

/// Longest side of a tile: 256 × 256 steps of packed `u64` are half of a usual second-level cache.
const TILE: usize = 256;
/// Shorter sides than this cost more in packing than they give to the cores.
const TILE_AT_LEAST: usize = 64;
/// Depth of the parts when a product is deep and its result small.
const DEEP: usize = 4096;

/// `c += a·b` with any kernel. No side is 0.
pub(super) fn product<R: Ring, K: Kernel<R>>(
    kernel: K,
    c: &mut [R],
    a: View<'_, R>,
    b: View<'_, R>,
) {
    let n_threads = rayon::current_num_threads();
    let (n_rows, n_cols, depth) = (a.n_rows, b.n_cols, a.n_cols);
    let mut side = TILE;
    while side > TILE_AT_LEAST && n_rows.div_ceil(side) * n_cols.div_ceil(side) < 4 * n_threads {
        side /= 2;
    }
    let n_tiles = n_rows.div_ceil(side) * n_cols.div_ceil(side);
    let n_parts = (2 * n_threads).div_ceil(n_tiles).min(depth.div_ceil(DEEP));
    if n_parts > 1 {
        return in_parts(kernel, c, a, b, depth.div_ceil(n_parts));
    }
    let n_tasks = n_threads.min(n_tiles);
    let tiles = Mutex::new(tiles(c, n_cols, side));
    let next = || tiles.lock().expect("taking a tile does not panic").pop();
    // Each task packs into one workspace: fresh memory costs more than the arithmetic on it.
    let task = |_| {
        let mut workspace = Workspace::new::<K>();
        while let Some(tile) = next() {
            tile.add(kernel, a, b, 0..depth, &mut workspace);
        }
    };
    match n_tasks {
        1 => task(0),
        _ => (0..n_tasks).into_par_iter().for_each(task),
    }
}

/// A small result of deep factors: the cores share the depth, and their results are added.
fn in_parts<R: Ring, K: Kernel<R>>(
    kernel: K,
    c: &mut [R],
    a: View<'_, R>,
    b: View<'_, R>,
    part: usize,
) {
    let starts: Vec<usize> = (0..a.n_cols).step_by(part).collect();
    let sums: Vec<_> = starts
        .into_par_iter()
        .map(|start| {
            let depth = start..a.n_cols.min(start + part);
            let mut workspace = Workspace::new::<K>();
            let mut sums = Zeroizing::new(vec![R::ZERO; c.len()]);
            for tile in tiles(&mut sums, b.n_cols, TILE) {
                tile.add(kernel, a, b, depth.clone(), &mut workspace);
            }
            sums
        })
        .collect();
    for sums in sums {
        ring::add_assign(c, &sums);
    }
}

/// What a task writes on the way, wiped at the end.
struct Workspace<R: Ring> {
    a: Zeroizing<Vec<Line>>,
    b: Zeroizing<Vec<Line>>,
    /// A small tile.
    sums: Zeroizing<Vec<R>>,
}

impl<R: Ring> Workspace<R> {
    fn new<K: Kernel<R>>() -> Self {
        Self {
            a: Zeroizing::default(),
            b: Zeroizing::default(),
            sums: Zeroizing::new(vec![R::ZERO; K::ROWS * K::COLS]),
        }
    }
}

/// A rectangle of the result.
struct Tile<'a, R> {
    first_row: usize,
    first_col: usize,
    /// Its part of each of its rows.
    rows: Vec<&'a mut [R]>,
}

fn tiles<R: Ring>(c: &mut [R], n_cols: usize, side: usize) -> Vec<Tile<'_, R>> {
    let mut tiles: Vec<Tile<'_, R>> = Vec::new();
    for (row, values) in c.chunks_exact_mut(n_cols).enumerate() {
        if row % side == 0 {
            tiles.extend((0..n_cols).step_by(side).map(|first_col| Tile {
                first_row: row,
                first_col,
                rows: Vec::with_capacity(side),
            }));
        }
        let band = tiles.len() - n_cols.div_ceil(side);
        for (tile, part) in tiles[band..].iter_mut().zip(values.chunks_mut(side)) {
            tile.rows.push(part);
        }
    }
    tiles
}

impl<R: Ring> Tile<'_, R> {
    /// Adds the product of this tile's rows of `a` and columns of `b`, over these steps of the depth.
    fn add<K: Kernel<R>>(
        mut self,
        kernel: K,
        a: View<'_, R>,
        b: View<'_, R>,
        depth: Range<usize>,
        workspace: &mut Workspace<R>,
    ) {
        let rows = self.first_row..self.first_row + self.rows.len();
        let cols = self.first_col..self.first_col + self.rows[0].len();
        wide::run(
            #[inline(always)]
            || {
                for start in depth.clone().step_by(K::DEPTH) {
                    let steps = start..depth.end.min(start + K::DEPTH);
                    let a = Panels::of(a.transposed(), steps.clone(), rows.clone(), K::ROWS);
                    let b = Panels::of(b, steps, cols.clone(), K::COLS);
                    self.add_block(kernel, &a, &b, workspace);
                }
            },
        );
    }

    /// The same over the steps that are packed at a time.
    #[inline(always)]
    fn add_block<K: Kernel<R>>(
        &mut self,
        kernel: K,
        a: &Panels<'_, R, K>,
        b: &Panels<'_, R, K>,
        workspace: &mut Workspace<R>,
    ) {
        a.pack(&mut workspace.a);
        b.pack(&mut workspace.b);
        for (first, b) in (0..).step_by(K::COLS).zip(b.read(&workspace.b)) {
            for (rows, a) in self.rows.chunks_mut(K::ROWS).zip(a.read(&workspace.a)) {
                kernel.tile(a, b, &mut workspace.sums);
                for (row, sums) in rows.iter_mut().zip(workspace.sums.chunks_exact(K::COLS)) {
                    let row = row[first..].iter_mut().take(K::COLS);
                    row.zip(sums).for_each(|(c, sum)| *c = c.wrapping_add(*sum));
                }
            }
        }
    }
}

/// A line of the cache: a load of a whole register from packed panels never crosses two.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u64; 8]);

impl DefaultIsZeroes for Line {}

/// Some rows (the steps) and columns of a matrix, in panels of `width` columns, the last of which is filled
/// up with zeros.
struct Panels<'a, R, K> {
    from: View<'a, R>,
    steps: Range<usize>,
    cols: Range<usize>,
    width: usize,
    kernel: PhantomData<K>,
}

impl<'a, R: Ring, K: Kernel<R>> Panels<'a, R, K> {
    fn of(from: View<'a, R>, steps: Range<usize>, cols: Range<usize>, width: usize) -> Self {
        Self {
            from,
            steps,
            cols,
            width,
            kernel: PhantomData,
        }
    }

    /// Words of a panel.
    fn len(&self) -> usize {
        self.steps.len() * K::LIMBS * self.width
    }

    /// Words of all panels. The last line of the cache may be longer.
    fn n_words(&self) -> usize {
        self.cols.len().div_ceil(self.width) * self.len()
    }

    /// What was packed, panel by panel.
    fn read<'p>(&self, packed: &'p [Line]) -> ChunksExact<'p, u64> {
        cast_slice(packed)[..self.n_words()].chunks_exact(self.len())
    }

    #[inline(always)]
    fn pack(&self, packed: &mut Vec<Line>) {
        packed.clear();
        packed.resize(self.n_words().div_ceil(8), Line::default());
        let panels = &mut cast_slice_mut(packed)[..self.n_words()];
        let panels = panels.chunks_exact_mut(self.len());
        for (panel, first) in panels.zip(self.cols.clone().step_by(self.width)) {
            let cols = first..self.cols.end.min(first + self.width);
            if self.from.is_transposed {
                self.pack_columns(panel, cols);
            } else {
                self.pack_rows(panel, cols);
            }
        }
    }

    /// From a slice that holds row after row.
    #[inline(always)]
    fn pack_rows(&self, panel: &mut [u64], cols: Range<usize>) {
        let rows = self.from.values.chunks_exact(self.from.n_cols);
        let rows = rows.skip(self.steps.start);
        for (words, row) in panel.chunks_exact_mut(K::LIMBS * self.width).zip(rows) {
            for (index, words) in words.chunks_exact_mut(self.width).enumerate() {
                for (word, value) in words.iter_mut().zip(&row[cols.clone()]) {
                    *word = K::limb(*value, index);
                }
            }
        }
    }

    /// From a slice that holds column after column.
    #[inline(always)]
    fn pack_columns(&self, panel: &mut [u64], cols: Range<usize>) {
        for (place, col) in cols.enumerate() {
            let column = &self.from.values[col * self.from.n_rows..][self.steps.clone()];
            let steps = panel.chunks_exact_mut(K::LIMBS * self.width);
            for (words, value) in steps.zip(column) {
                for (index, words) in words.chunks_exact_mut(self.width).enumerate() {
                    words[place] = K::limb(*value, index);
                }
            }
        }
    }
}
