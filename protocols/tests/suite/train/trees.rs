//! Boosted trees against the same trees in floats.

mod joined;
mod pooled;

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use engine::share::Share;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::train::trees::{self, MARGIN_BITS, PARAMETER_BITS, Rows, Shape};

/// Trees of random rows, of which some are not fitted.
#[derive(Clone, Copy, Debug)]
struct Trees {
    shape: Shape,
}

const PLAIN: Trees = Trees {
    shape: Shape {
        n_rows: 300,
        n_features: 3,
        n_bins: 8,
        depth: 3,
        n_trees: 4,
        log_rows: 9,
        rate: 3 << (PARAMETER_BITS - 3),
        lambda: 1 << PARAMETER_BITS,
        min_weight: 1 << PARAMETER_BITS,
        start: 0,
        method: Method::Masked,
    },
};

const SMALL: Trees = Trees {
    shape: Shape {
        n_rows: 20,
        n_features: 2,
        n_bins: 3,
        depth: 2,
        n_trees: 2,
        log_rows: 5,
        ..PLAIN.shape
    },
};

/// The same rows in the clear.
struct Plain {
    /// Of each row the bin of each feature.
    bins: Vec<Vec<usize>>,
    used: Vec<bool>,
    labels: Vec<bool>,
}

/// What trees in floats have.
#[derive(Default)]
struct Grown {
    margins: Vec<f64>,
    /// Of each split the scores of all cuts, and the one that was chosen.
    splits: Vec<(Vec<f64>, usize)>,
    leaves: Vec<f64>,
}

fn parameter(value: u32) -> f64 {
    f64::from(value) / f64::from(1u32 << PARAMETER_BITS)
}

impl Trees {
    fn plain(&self, secrets: u64) -> Plain {
        let Shape {
            n_rows,
            n_features,
            n_bins,
            ..
        } = self.shape;
        let bins: Vec<Vec<usize>> = (0..n_features as u64)
            .map(|j| below(secrets, j, n_bins as u64, n_rows))
            .map(|bins| bins.into_iter().map(|b| b as usize).collect())
            .collect();
        let chance = below(secrets, 100, 1000, n_rows);
        let used = below(secrets, 101, 5, n_rows);
        let bins: Vec<Vec<usize>> = (0..n_rows)
            .map(|row| bins.iter().map(|feature| feature[row]).collect())
            .collect();
        let rows = bins.iter().zip(&chance);
        let labels = rows.map(|(bins, chance)| {
            let high = usize::from(2 * bins[0] > n_bins) + usize::from(bins[1] % 3 == 1);
            *chance < [100, 450, 850][high]
        });
        Plain {
            labels: labels.collect(),
            used: used.iter().map(|u| *u > 0).collect(),
            bins,
        }
    }

    /// Trees in floats, with the splits that `chosen` says, one after another, or else the best.
    fn grown(&self, plain: &Plain, chosen: Option<&[usize]>) -> Grown {
        let shape = &self.shape;
        let mut grown = Grown {
            margins: vec![f64::from(shape.start) / f64::from(1 << MARGIN_BITS); shape.n_rows],
            ..Grown::default()
        };
        for _ in 0..shape.n_trees {
            let mut nodes = vec![0usize; shape.n_rows];
            let gradients: Vec<(f64, f64)> = (0..shape.n_rows)
                .map(|row| {
                    let p = 1.0 / (1.0 + (-grown.margins[row]).exp());
                    match plain.used[row] {
                        true => (p - f64::from(u8::from(plain.labels[row])), p * (1.0 - p)),
                        false => (0.0, 0.0),
                    }
                })
                .collect();
            for level in 0..shape.depth {
                let mut cuts = vec![];
                for node in 0..1 << level {
                    let scores = self.scores(plain, &gradients, &nodes, node);
                    let best = (0..scores.len()).fold(0, |best, cut| {
                        if scores[cut] > scores[best] {
                            cut
                        } else {
                            best
                        }
                    });
                    let cut = chosen.map_or(best, |chosen| chosen[grown.splits.len()]);
                    grown.splits.push((scores, cut));
                    cuts.push(cut);
                }
                for (row, node) in nodes.iter_mut().enumerate() {
                    *node = 2 * *node + usize::from(self.is_right(&plain.bins[row], cuts[*node]));
                }
            }
            let (rate, lambda) = (parameter(shape.rate), parameter(shape.lambda));
            let leaves = (0..1 << shape.depth).map(|leaf| {
                let (g, h) = sums(&gradients, |row| nodes[row] == leaf);
                if h + lambda == 0.0 {
                    0.0
                } else {
                    -rate * g / (h + lambda)
                }
            });
            let leaves: Vec<f64> = leaves.collect();
            for (margin, leaf) in grown.margins.iter_mut().zip(&nodes) {
                *margin += leaves[*leaf];
            }
            grown.leaves.extend(leaves);
        }
        grown
    }

    fn is_right(&self, bins: &[usize], cut: usize) -> bool {
        let n_inner = self.shape.n_bins - 1;
        cut > 0 && bins[(cut - 1) / n_inner] > (cut - 1) % n_inner
    }

    fn scores(
        &self,
        plain: &Plain,
        gradients: &[(f64, f64)],
        nodes: &[usize],
        node: usize,
    ) -> Vec<f64> {
        let lambda = parameter(self.shape.lambda);
        let least = parameter(self.shape.min_weight);
        let score = |(g, h): (f64, f64)| {
            if h + lambda > 0.0 {
                g * g / (h + lambda)
            } else {
                0.0
            }
        };
        let of_cut = |cut: usize| {
            let side = |right: bool| {
                sums(gradients, |row| {
                    nodes[row] == node && self.is_right(&plain.bins[row], cut) == right
                })
            };
            let (left, right) = (side(false), side(true));
            match cut > 0 && (left.1 < least || right.1 < least) {
                true => 0.0,
                false => score(left) + score(right),
            }
        };
        (0..self.shape.n_cuts()).map(of_cut).collect()
    }

    /// Holds trees that were found to those in floats: each split gains as much as the best, and with these splits
    /// margins and leaves are the same.
    fn check(&self, found: &Clear<u64>, secrets: u64) -> usize {
        self.check_rows(found, secrets, |_| true)
    }

    /// The same where margins are those of some rows.
    fn check_rows(
        &self,
        found: &Clear<u64>,
        secrets: u64,
        has_margin: impl Fn(&bool) -> bool,
    ) -> usize {
        let plain = self.plain(secrets);
        let n_cuts = self.shape.n_cuts();
        let one_of = |bits: &[u64]| {
            assert!(bits.iter().all(|b| *b < 2) && bits.iter().sum::<u64>() == 1);
            bits.iter().position(|b| *b == 1).expect("one of them")
        };
        let splits: Vec<usize> = found.ring[1].chunks_exact(n_cuts).map(one_of).collect();
        let grown = self.grown(&plain, Some(&splits));
        assert_eq!(splits.len(), grown.splits.len());
        for (scores, cut) in &grown.splits {
            let best = scores.iter().copied().fold(0.0, f64::max);
            assert!(
                scores[*cut] >= best - 1e-3 * (1.0 + best),
                "cut {cut} with {}, not {best}",
                scores[*cut]
            );
        }
        let real = |v: &u64| v.cast_signed() as f64 / f64::from(1 << MARGIN_BITS);
        let margins = grown.margins.iter().zip(&plain.used);
        let margins = margins.filter(|(_, is_used)| has_margin(is_used));
        let margins: Vec<f64> = margins.map(|(margin, _)| *margin).collect();
        let pairs = [(0, &margins), (2, &grown.leaves)];
        for (column, expected) in pairs {
            assert_eq!(found.ring[column].len(), expected.len());
            for (found, expected) in found.ring[column].iter().zip(expected) {
                let off = (real(found) - expected).abs();
                assert!(off < 1e-3, "{} instead of {expected}", real(found));
            }
        }
        splits.iter().filter(|cut| **cut > 0).count()
    }
}

fn sums(gradients: &[(f64, f64)], counts: impl Fn(usize) -> bool) -> (f64, f64) {
    let rows = gradients.iter().enumerate().filter(|(row, _)| counts(*row));
    rows.fold((0.0, 0.0), |sum, (_, row)| (sum.0 + row.0, sum.1 + row.1))
}

impl Case for Trees {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        let plain = self.plain(secrets);
        let Shape {
            n_features, n_rows, ..
        } = self.shape;
        let by_feature = (0..n_features).flat_map(|j| (0..n_rows).map(move |row| (row, j)));
        let bins = by_feature.map(|(row, j)| plain.bins[row][j] as u64);
        let used = plain.used.iter().map(|u| u64::from(*u));
        let both = plain.used.iter().zip(&plain.labels);
        let labels = both.map(|(u, l)| u64::from(*u && *l));
        Clear::of_ring(vec![bins.collect(), used.collect(), labels.collect()])
    }

    fn price(&self, seats: Seats) -> Price {
        let shape = &self.shape;
        let one = trees::hot_price(seats, shape.n_rows, shape.n_bins, shape.method);
        let all = (1..shape.n_features).fold(one.clone(), |sum, _| sum.then(&one));
        all.then(&trees::price(seats, shape))
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let shape = &self.shape;
        let [bins, used, labels] = inputs.ring.try_into().ok().expect("three columns");
        let mut hot = Share::zero(bins.len() * shape.n_bins);
        for (feature, of_rows) in bins.as_slice().chunks_exact(shape.n_rows).enumerate() {
            let of_rows = Share::new(of_rows.to_vec());
            let bits = trees::hot(session, &of_rows, shape.n_bins, shape.method, stock).await?;
            trees::place(&mut hot, feature, &bits, shape);
        }
        let rows = Rows {
            hot,
            bins,
            used,
            labels,
        };
        let forest = trees::grow(session, rows, shape, stock).await?;
        Ok(Shared {
            ring: vec![forest.margins, forest.splits, forest.leaves],
            bits: vec![],
        })
    }
}

#[test]
fn trees_are_those_of_floats() {
    for (n_computing, secrets) in [(2, 3), (3, 4), (5, 5)] {
        let found = demands::found(&PLAIN, n_computing, secrets);
        let n_splits = PLAIN.check(&found, secrets);
        assert!(n_splits > 10, "{n_splits}: trees of nothing show nothing");
    }
    let mut other = PLAIN;
    other.shape = Shape {
        n_features: 2,
        n_bins: 5,
        depth: 4,
        lambda: 0,
        start: -(1 << MARGIN_BITS),
        method: Method::Summed,
        ..other.shape
    };
    let found = demands::found(&other, 2, 6);
    other.check(&found, 6);
    other.shape.min_weight = 0;
    other.shape.lambda = 1 << (PARAMETER_BITS - 1);
    other.shape.n_bins = 2;
    let found = demands::found(&other, 2, 7);
    other.check(&found, 7);
}

#[test]
fn trees_are_held_to_all_demands() {
    for n_computing in [2, 3, 5] {
        demands::check_price(&SMALL, n_computing);
    }
    demands::check_outline(&SMALL, 3);
    demands::check_empty_stock(&SMALL);
    demands::check_cuts(&Trees {
        shape: Shape {
            n_rows: 2,
            depth: 1,
            ..SMALL.shape
        },
    });
}

/// Rows that are far from random still make messages that look uniform, and nothing is opened without a mask.
#[test]
fn trees_send_what_looks_uniform() {
    let case = Trees {
        shape: Shape {
            n_rows: 64,
            log_rows: 6,
            ..SMALL.shape
        },
    };
    // Of the five cuts of a node and their sides, of the pairs in their tournament, and of leaves.
    demands::check_uniform_lanes(&case, 40, &[1, 2, 4, 5, 10, 20]);
}
