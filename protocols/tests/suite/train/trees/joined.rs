//! Trees over a join against trees in floats of the rows in common.

use super::{PLAIN, Plain, SMALL, Trees};
use crate::arith::Shared;
use crate::demands::{self, Case};
use crate::train::people;
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::psi::circuit;
use protocols::session::Session;
use protocols::train::evaluate::{Asks, Figures};
use protocols::train::trees::joined::{self, Grown, Shape, Table};
use protocols::train::trees::{MARGIN_BITS, Shape as TreesShape};
use std::cell::RefCell;

/// Tables of people numbered from 0; each has those that it does not leave out.
#[derive(Debug)]
struct Joined {
    shape: Shape,
    n_people: usize,
    grown: RefCell<Vec<(Seat, Grown)>>,
}

fn tables(n_computing: usize, n_people: usize, trees: TreesShape) -> Joined {
    let tables = people::tables(n_computing, n_people);
    Joined {
        shape: Shape {
            features: vec![1, 0, tables.len() - 1],
            tables,
            label: 1,
            trees: TreesShape {
                n_features: 3,
                ..trees
            },
            n_kept: 2,
            asks: Asks {
                losses: true,
                stability: true,
                ..Asks::default()
            },
            of_train: Asks {
                losses: true,
                ..Asks::default()
            },
            min_cell: 0,
            at_least: 3,
        },
        n_people,
        grown: RefCell::new(Vec::new()),
    }
}

/// Of rows that are not fitted, in which sample a person is.
fn sample_of(person: usize) -> usize {
    1 + usize::from(person.is_multiple_of(3))
}

impl Joined {
    fn trees(&self, n_rows: usize) -> Trees {
        Trees {
            shape: TreesShape {
                n_rows,
                ..self.shape.trees
            },
        }
    }

    fn people(&self, secrets: u64) -> Plain {
        self.trees(self.n_people).plain(secrets)
    }

    fn table(&self, secrets: u64, seat: Seat) -> Option<Table> {
        let shape = &self.shape;
        let place = people::place_of(&shape.tables, seat)?;
        let all = self.people(secrets);
        let mine = people::of(place, self.n_people);
        let column = |value: &dyn Fn(usize) -> u64| -> Vec<u64> {
            mine.iter().map(|person| value(*person)).collect()
        };
        let own = shape.features.iter().enumerate();
        let own = own.filter(|(_, of)| **of == place);
        let own = own.map(|(feature, _)| column(&|p| all.bins[p][feature] as u64));
        let own: Vec<Vec<u64>> = own.collect();
        let (mut narrow, bins) = if place == 0 {
            (vec![], own)
        } else {
            (own, vec![])
        };
        if place == shape.label {
            let (used, labels) = (&all.used, &all.labels);
            narrow.push(column(&|p| u64::from(used[p])));
            narrow.push(column(&|p| u64::from(used[p] && labels[p])));
            for sample in 1..=shape.n_kept {
                let is_of = |p: usize| !used[p] && sample_of(p) == sample;
                narrow.push(column(&|p| u64::from(is_of(p) && labels[p])));
                narrow.push(column(&|p| u64::from(is_of(p) && !labels[p])));
            }
        }
        Some(Table {
            rows: circuit::Rows {
                keys: people::keys(&mine),
                narrow,
                wide: vec![],
            },
            bins,
        })
    }

    /// The cuts of all splits, as their owners know them together.
    fn cuts(&self, grown: &[(Seat, Grown)]) -> Vec<usize> {
        let shape = &self.shape;
        let n_inner = shape.trees.n_bins - 1;
        let n_splits = shape.trees.n_trees as usize * shape.trees.tree_splits();
        let mut cuts = vec![0; n_splits];
        for (seat, grown) in grown {
            let place = people::place_of(&shape.tables, *seat);
            let own = shape.features.iter().enumerate();
            let own: Vec<usize> = own
                .filter(|(_, of)| Some(**of) == place)
                .map(|(feature, _)| feature)
                .collect();
            assert_eq!(grown.splits.is_some(), !own.is_empty(), "{seat}");
            for (cut, split) in cuts.iter_mut().zip(grown.splits.iter().flatten()) {
                if let Some(split) = split {
                    assert_eq!(*cut, 0, "a split has one owner");
                    *cut = 1 + own[split.feature] * n_inner + split.bin;
                }
            }
        }
        cuts
    }

    fn check(&self, secrets: u64) {
        let grown = self.grown.take();
        let released: Vec<_> = grown
            .iter()
            .filter_map(|(_, g)| g.released.clone())
            .collect();
        assert_eq!(released.len(), 1, "the receiver alone");
        let all = self.people(secrets);
        let places = 0..self.shape.tables.len();
        let common =
            (0..self.n_people).filter(|p| places.clone().all(|place| people::has(place, *p)));
        let mut plain = Plain {
            bins: vec![],
            used: vec![],
            labels: vec![],
        };
        let mut samples = vec![];
        for person in common {
            let is_used = all.used[person];
            samples.push(if is_used { 0 } else { sample_of(person) });
            plain.bins.push(all.bins[person].clone());
            plain.used.push(all.used[person]);
            plain.labels.push(all.labels[person]);
        }
        let n_used = plain.used.iter().filter(|u| **u).count() as u64;
        assert!(released[0].is_enough && released[0].n_used == n_used);
        let trees = self.trees(plain.used.len());
        let expected = trees.grown(&plain, Some(&self.cuts(&grown)));
        check_leaves(&leaves(&grown), &expected.leaves);
        for (scores, cut) in &expected.splits {
            let best = scores.iter().copied().fold(0.0, f64::max);
            assert!(scores[*cut] >= best - 1e-3 * (1.0 + best));
        }
        let asks = [self.shape.of_train, self.shape.asks, self.shape.asks];
        let mut rest = &released[0].figures[..];
        for (sample, asks) in asks.into_iter().enumerate() {
            let (figures, after) = rest.split_at(asks.n_figures());
            rest = after;
            let of = |bad: bool| -> Vec<f64> {
                let rows = (0..plain.used.len())
                    .filter(|row| samples[*row] == sample && plain.labels[*row] == bad);
                rows.map(|row| expected.margins[row]).collect()
            };
            let (bad, good) = (of(true), of(false));
            let auc = area(&bad, &good);
            let found = Figures::of(figures, asks).expect("enough of both");
            assert_eq!(
                (found.n_bad, found.n_good),
                (bad.len() as u64, good.len() as u64)
            );
            assert!((found.auc - auc).abs() < 1e-2, "{found:?} {auc}");
            if let Some(samples) = &found.stability {
                assert_eq!(samples.base.iter().sum::<u64>(), n_used);
            }
            assert_eq!(found.stability.is_none(), sample == 0);
            let squares = |scores: &[f64], is_bad: f64| -> f64 {
                let risks = scores.iter().map(|s| 1.0 / (1.0 + (-s).exp()));
                risks.map(|p| (is_bad - p).powi(2)).sum()
            };
            let brier =
                (squares(&bad, 1.0) + squares(&good, 0.0)) / (bad.len() + good.len()) as f64;
            let losses = found.losses.expect("asked for");
            assert!((losses.brier - brier).abs() < 1e-2, "{losses:?} {brier}");
        }
    }
}

/// The area under the curve of these scores.
fn area(bad: &[f64], good: &[f64]) -> f64 {
    // Rows of one leaf tie, and fixed point and floats agree to some 10^−6.
    let wins = |b: &f64| -> f64 {
        let half = |g: &f64| match b - g {
            d if d > 1e-4 => 1.0,
            d if d < -1e-4 => 0.0,
            _ => 0.5,
        };
        good.iter().map(half).sum()
    };
    bad.iter().map(wins).sum::<f64>() / (bad.len() * good.len()) as f64
}

/// What all computing seats' shares of leaves stand for.
fn leaves(grown: &[(Seat, Grown)]) -> Vec<f64> {
    let shares = grown.iter().map(|(_, g)| g.leaves.0.as_slice());
    let sums = shares.fold(Vec::new(), |mut sums: Vec<u64>, share| {
        sums.resize(share.len(), 0);
        let pairs = sums.iter_mut().zip(share);
        pairs.for_each(|(sum, part)| *sum = sum.wrapping_add(*part));
        sums
    });
    let unit = 2f64.powi(-MARGIN_BITS.cast_signed());
    let real = |sum: u64| sum.cast_signed() as f64 * unit;
    sums.into_iter().map(real).collect()
}

fn check_leaves(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
}

impl Case for Joined {
    type R = u64;

    fn price(&self, seats: Seats) -> Price {
        let released = Price::of_cost(joined::release_cost(seats, &self.shape, &[Seat(1)]));
        joined::price(seats, &self.shape).then(&released)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let seat = session.seat();
        let table = self.table(secrets, seat);
        let disclosure = Disclosure::approved(self.shape.terms(&[Seat(1)]));
        let found = joined::train(session, table, &self.shape, stock, disclosure).await?;
        self.grown.borrow_mut().push((seat, found));
        Ok(Shared::default())
    }
}

#[test]
fn trees_over_joins_are_those_of_the_rows_in_common() {
    for n_computing in [2, 3, 5] {
        let case = tables(n_computing, 400, PLAIN.shape);
        demands::found(&case, n_computing, 3);
        case.check(3);
    }
}

#[test]
fn too_few_rows_show_nothing_else() {
    let mut case = tables(2, 30, SMALL.shape);
    case.shape.at_least = 29;
    demands::found(&case, 2, 5);
    let grown = case.grown.take();
    assert_eq!(leaves(&grown), [0.0; 8]);
    for (_, grown) in grown {
        if let Some(released) = grown.released {
            assert!(!released.is_enough && released.n_used == 0);
            let n_figures = case.shape.of_train.n_figures() + 2 * case.shape.asks.n_figures();
            assert_eq!(released.figures, vec![0; n_figures]);
        }
        if let Some(splits) = grown.splits {
            assert_eq!(splits, [None; 6]);
        }
    }
}

#[test]
fn trees_over_joins_are_held_to_all_demands() {
    let case = tables(3, 20, SMALL.shape);
    demands::check_price(&case, 3);
    demands::check_outline(&case, 3);
    let mut two = tables(2, 20, SMALL.shape);
    two.shape.n_kept = 0;
    two.shape.of_train = Asks::default();
    demands::check_price_within(&two, 2, 2);
    demands::check_empty_stock(&two);
}

#[test]
fn trees_over_joins_come_from_a_dealer() {
    for n_computing in [2, 3] {
        let case = tables(n_computing, 300, PLAIN.shape);
        demands::found_from(&case, n_computing, true);
        case.check(23);
    }
}
