//! Cutting a product into tiles for the cores, panels for the caches and small tiles for registers.

use super::View;
use crate::ring::{self, Ring};
use rayon::prelude::*;
use std::ops::Range;
use zeroize::Zeroizing;

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

    /// Adds the product of two panels to `sums`, `ROWS`·`COLS` values row by row.
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
    let tiles = tiles(c, n_cols, side);
    if tiles.len() == 1 {
        tiles
            .into_iter()
            .for_each(|tile| tile.add(kernel, a, b, 0..depth));
    } else {
        tiles
            .into_par_iter()
            .for_each(|tile| tile.add(kernel, a, b, 0..depth));
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
            let mut sums = Zeroizing::new(vec![R::ZERO; c.len()]);
            for tile in tiles(&mut sums, b.n_cols, TILE) {
                tile.add(kernel, a, b, depth.clone());
            }
            sums
        })
        .collect();
    for sums in sums {
        ring::add_assign(c, &sums);
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
    fn add<K: Kernel<R>>(mut self, kernel: K, a: View<'_, R>, b: View<'_, R>, depth: Range<usize>) {
        let rows = self.first_row..self.first_row + self.rows.len();
        let cols = self.first_col..self.first_col + self.rows[0].len();
        let mut packed_a = Zeroizing::new(Vec::new());
        let mut packed_b = Zeroizing::new(Vec::new());
        let mut sums = Zeroizing::new(vec![R::ZERO; K::ROWS * K::COLS]);
        for start in depth.clone().step_by(K::DEPTH) {
            let steps = start..depth.end.min(start + K::DEPTH);
            pack::<R, K>(
                &mut packed_a,
                a.transposed(),
                steps.clone(),
                rows.clone(),
                K::ROWS,
            );
            pack::<R, K>(&mut packed_b, b, steps.clone(), cols.clone(), K::COLS);
            let a_panel = steps.len() * K::LIMBS * K::ROWS;
            let b_panel = steps.len() * K::LIMBS * K::COLS;
            for (j, b) in packed_b.chunks_exact(b_panel).enumerate() {
                for (rows, a) in self
                    .rows
                    .chunks_mut(K::ROWS)
                    .zip(packed_a.chunks_exact(a_panel))
                {
                    sums.fill(R::ZERO);
                    kernel.tile(a, b, &mut sums);
                    for (row, sums) in rows.iter_mut().zip(sums.chunks_exact(K::COLS)) {
                        let row = row[j * K::COLS..].iter_mut().take(K::COLS);
                        row.zip(sums).for_each(|(c, sum)| *c = c.wrapping_add(*sum));
                    }
                }
            }
        }
    }
}

/// Packs the values of some rows (the steps) and columns of a matrix, in panels of `width` columns, the
/// last of which is filled up with zeros.
fn pack<R: Ring, K: Kernel<R>>(
    packed: &mut Vec<u64>,
    from: View<'_, R>,
    steps: Range<usize>,
    cols: Range<usize>,
    width: usize,
) {
    let (down, across) = from.steps();
    let panel = steps.len() * K::LIMBS * width;
    packed.clear();
    packed.resize(cols.len().div_ceil(width) * panel, 0);
    for (panel, first) in packed
        .chunks_exact_mut(panel)
        .zip(cols.clone().step_by(width))
    {
        let n_cols = width.min(cols.end - first);
        for (step, words) in steps.clone().zip(panel.chunks_exact_mut(K::LIMBS * width)) {
            let values = &from.values[step * down + first * across..];
            for (index, words) in words.chunks_exact_mut(width).enumerate() {
                for (word, value) in words[..n_cols]
                    .iter_mut()
                    .zip(values.iter().step_by(across))
                {
                    *word = K::limb(*value, index);
                }
            }
        }
    }
}
