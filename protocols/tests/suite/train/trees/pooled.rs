//! Trees of rows that several holders have, against the same trees in floats over all rows.

use super::{PLAIN, Plain, SMALL, Trees};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case};
use engine::share::Share;
use engine::trees::Rows;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::train::trees::pooled::{self, packed, splits};
use protocols::train::trees::{MARGIN_BITS, Shape, Split};

/// The last level of a tree: its splits, and the leaves below.
#[derive(Clone, Debug)]
struct Level {
    shape: Shape,
    /// Sums over all holders; else those of random rows in the first tree.
    sums: Option<Vec<u64>>,
}

fn n_nodes(shape: &Shape) -> usize {
    1 << (shape.depth - 1)
}

/// A part of the rows that are fitted.
fn rows_of(plain: &Plain, shape: &Shape, holds: impl Fn(usize) -> bool) -> Rows {
    let mut rows = Rows::new(shape.n_features, shape.n_bins, MARGIN_BITS);
    for row in (0..shape.n_rows).filter(|row| plain.used[*row] && holds(*row)) {
        let bins: Vec<u8> = plain.bins[row].iter().map(|bin| *bin as u8).collect();
        rows.push(&bins, plain.labels[row], shape.start.into());
    }
    rows.begin();
    rows
}

fn sums_of(rows: &Rows, n_nodes: usize, shape: &Shape) -> Vec<u64> {
    let sums = rows.sums(n_nodes).into_iter();
    sums.map(|sum| packed(sum, shape)).collect()
}

fn go(rows: &mut Rows, splits: &[Option<Split>]) {
    let pair = |split: &Option<Split>| split.map(|s| (s.feature, s.bin));
    rows.go(&splits.iter().map(pair).collect::<Vec<_>>());
}

impl Case for Level {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        let shape = &self.shape;
        let of_rows = || {
            let plain = Trees { shape: *shape }.plain(secrets);
            let mut rows = rows_of(&plain, shape, |_| true);
            for level in 0..shape.depth - 1 {
                let split = Split {
                    feature: 0,
                    bin: level as usize,
                };
                go(&mut rows, &vec![Some(split); 1 << level]);
            }
            sums_of(&rows, n_nodes(shape), shape)
        };
        Clear::of_ring(vec![self.sums.clone().unwrap_or_else(of_rows)])
    }

    fn price(&self, seats: Seats) -> Price {
        let shape = &self.shape;
        let split = pooled::split_price(seats, n_nodes(shape), shape);
        split.then(&pooled::leaves_price(seats, shape))
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        mut inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let shape = &self.shape;
        let own = inputs.ring.pop().expect("sums");
        let level = pooled::split(session, own, shape, stock).await?;
        let leaves = pooled::leaves(session, &level, shape, stock).await?;
        Ok(Shared {
            ring: vec![level.codes(shape), leaves],
            bits: vec![],
        })
    }
}

/// Grows trees of rows that three holders have, level by level.
fn grown(case: &Trees, secrets: u64) -> Clear<u64> {
    let shape = &case.shape;
    let plain = case.plain(secrets);
    let mut holders = [0, 1, 2].map(|holder| rows_of(&plain, shape, |row| row % 3 == holder));
    let (mut hot, mut all_leaves) = (Vec::new(), Vec::new());
    for tree in 0..u64::from(shape.n_trees) {
        holders.iter_mut().for_each(Rows::begin);
        for depth in 1..=shape.depth {
            let shape = Shape { depth, ..*shape };
            let mut sums = vec![0u64; n_nodes(&shape) * shape.n_features * shape.n_bins];
            for rows in &holders {
                let own = sums_of(rows, n_nodes(&shape), &shape);
                engine::ring::add_assign(&mut sums, &own);
            }
            let level = Level {
                shape,
                sums: Some(sums),
            };
            let found = demands::found(&level, 3, 100 * tree + u64::from(depth));
            for code in &found.ring[0] {
                hot.extend((0..shape.n_cuts() as u64).map(|cut| u64::from(cut == *code)));
            }
            let chosen = splits(&found.ring[0], &shape);
            holders.iter_mut().for_each(|rows| go(rows, &chosen));
            if depth == case.shape.depth {
                let leaves: Vec<i64> = found.ring[1].iter().map(|v| v.cast_signed()).collect();
                holders.iter_mut().for_each(|rows| rows.take(&leaves));
                all_leaves.extend(&found.ring[1]);
            }
        }
    }
    // Rows that are not fitted have no margins here.
    let mut of_holders = holders.each_ref().map(|rows| rows.margins().iter());
    let margins = (0..case.shape.n_rows)
        .filter(|row| plain.used[*row])
        .map(|row| {
            let margin = of_holders[row % 3].next().expect("a margin of each row");
            margin.cast_unsigned()
        });
    Clear::of_ring(vec![margins.collect(), hot, all_leaves])
}

#[test]
fn trees_of_several_holders_are_those_of_all_rows() {
    let mut case = PLAIN;
    for (secrets, lambda, min_weight) in [(3, 1.0, 1.0), (4, 0.5, 2.75)] {
        let unit = f64::from(1u32 << protocols::train::trees::PARAMETER_BITS);
        case.shape.lambda = (lambda * unit) as u32;
        case.shape.min_weight = (min_weight * unit) as u32;
        let found = grown(&case, secrets);
        let n_splits = case.check_rows(&found, secrets, |is_used| *is_used);
        assert!(n_splits > 10, "{n_splits}: trees of nothing show nothing");
    }
}

/// The least weight is held to, though each holder rounds its own sums: four times as many rows are in each leaf.
#[test]
fn sums_of_weights_are_never_more_than_they_are() {
    let shape = &PLAIN.shape;
    for (g, h) in [(-3.7, 1.999_999_99), (0.25, 1e-9), (-1e-9, 0.3)] {
        let cell = packed((g, h), shape);
        let scale = 2f64.powi(shape.sum_bits().cast_signed());
        let of_h = (cell.wrapping_add(1 << 31) >> 32) as f64 / scale;
        assert!(of_h <= h && h - of_h < 1.0 / scale, "{h}: {of_h}");
    }
}

/// Where every cut leaves one side too light, none is chosen, however little the node itself is worth.
#[test]
fn light_children_are_never_chosen() {
    let shape = Shape {
        n_features: 1,
        n_bins: 2,
        depth: 1,
        n_trees: 1,
        ..PLAIN.shape
    };
    let unit = 2f64.powi(-shape.sum_bits().cast_signed());
    for h in [2.0, 20.0, 75.0, 127.0] {
        for g in -3..4 {
            // The lighter side is a bit lighter than it may be.
            let sides = [(f64::from(g) * unit - 1.5, h), (1.5, 0.999)];
            let level = Level {
                shape,
                sums: Some(sides.map(|side| packed(side, &shape)).to_vec()),
            };
            let found = demands::found(&level, 2, 7);
            assert_eq!(found.ring[0], [0], "{g} units of {h}");
        }
    }
}

#[test]
fn levels_are_held_to_all_demands() {
    let level = Level {
        shape: SMALL.shape,
        sums: None,
    };
    for n_computing in [2, 3, 5] {
        demands::check_price(&level, n_computing);
    }
    demands::check_outline(&level, 3);
    demands::check_empty_stock(&level);
    let one = Shape {
        n_rows: 2,
        depth: 1,
        ..SMALL.shape
    };
    demands::check_cuts(&Level {
        shape: one,
        sums: None,
    });
}

#[test]
fn levels_send_what_looks_uniform() {
    let level = Level {
        shape: SMALL.shape,
        sums: None,
    };
    // Of the five cuts of two nodes and their sides, of the pairs in their tournament, and of leaves.
    demands::check_uniform_lanes(&level, 40, &[1, 2, 4, 5, 10, 20]);
}

#[test]
fn levels_of_no_tree_are_refused() {
    let shape = SMALL.shape;
    let n_cells = shape.n_features * shape.n_bins;
    for n in [0, n_cells - 1, 3 * n_cells, 4 * n_cells] {
        let world = crate::world::World::new(2, 1);
        let ended = world.run(async |session| {
            let mut stock = Stock::empty();
            let own = Share::zero(n);
            pooled::split(session, own, &shape, &mut stock)
                .await
                .map(|_| ())
        });
        for ended in ended {
            let is_invalid = matches!(ended.outcome, Err(ProtocolError::InvalidInput { .. }));
            assert!(is_invalid, "{n} sums");
            assert_eq!(ended.traffic.rounds, 0);
        }
    }
}
