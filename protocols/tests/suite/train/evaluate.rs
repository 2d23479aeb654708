//! Figures of scores against counting all pairs.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::train::evaluate::{self, Figures, Rows, Shape};
use protocols::wire::Kind;

#[derive(Clone, Copy, Debug)]
struct Scores {
    n_rows: usize,
    /// Fewer different scores make more ties.
    n_values: u64,
    at_least: u64,
    method: Method,
}

const PLAIN: Scores = Scores {
    n_rows: 60,
    n_values: 20,
    at_least: 3,
    method: Method::Masked,
};

impl Scores {
    fn shape(&self) -> Shape {
        Shape {
            n_rows: self.n_rows,
            score_bits: 24,
            at_least: self.at_least,
            method: self.method,
        }
    }

    /// Score and label of each row; no label where it does not count.
    fn rows(&self, secrets: u64) -> Vec<(i64, Option<bool>)> {
        let values = below(secrets, 1, self.n_values, self.n_rows);
        let labels = below(secrets, 2, 5, self.n_rows);
        let middle = self.n_values as i64 / 2;
        let row = |(value, label): (&u64, &u64)| {
            let label = match label {
                0 => None,
                1 => Some(true),
                2 => Some(*value as i64 > middle),
                _ => Some(false),
            };
            (*value as i64 - middle, label)
        };
        values.iter().zip(&labels).map(row).collect()
    }
}

impl Case for Scores {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        let rows = self.rows(secrets);
        let mark = |wanted: bool| {
            let marks = rows.iter().map(|(_, label)| *label == Some(wanted));
            marks.map(u64::from).collect::<Vec<u64>>()
        };
        // With bits below the 12 that count: half of a unit, which no rounding may take up.
        let scores = rows
            .iter()
            .map(|(score, _)| ((score << 12) + (1 << 11)) as u64);
        Clear::of_ring(vec![scores.collect(), mark(true), mark(false)])
    }

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let rows = self.rows(secrets);
        let of = |wanted: bool| {
            let found = rows.iter().filter(move |(_, label)| *label == Some(wanted));
            found.map(|(score, _)| *score).collect::<Vec<i64>>()
        };
        let (bad, good) = (of(true), of(false));
        if (bad.len().min(good.len()) as u64) < self.at_least {
            return Clear::of_ring(vec![vec![0; evaluate::N_FIGURES]]);
        }
        let pairs = bad.iter().flat_map(|b| good.iter().map(move |g| (b, g)));
        let twice = pairs.map(|(b, g)| u64::from(b > g) + u64::from(b >= g));
        let distance = |(at, _): &(i64, Option<bool>)| {
            let up_to = |scores: &[i64]| scores.iter().filter(|s| *s <= at).count();
            let first = up_to(&bad) * good.len();
            first.abs_diff(up_to(&good) * bad.len()) as u64
        };
        let greatest = rows.iter().map(distance).max().expect("there are rows");
        let counts = [bad.len() as u64, good.len() as u64];
        let figures = counts.into_iter().chain([twice.sum(), greatest]);
        Clear::of_ring(vec![figures.collect()])
    }

    fn price(&self, seats: Seats) -> Price {
        evaluate::price(seats, &self.shape())
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let [scores, bad, good] = inputs.ring.try_into().ok().expect("three columns");
        let rows = Rows { scores, bad, good };
        let figures = evaluate::evaluate(session, rows, &self.shape(), stock).await?;
        Ok(Shared {
            ring: vec![figures],
            bits: vec![],
        })
    }
}

#[test]
fn figures_are_those_of_all_pairs() {
    for (n_rows, n_values) in [(1, 1), (2, 2), (60, 20), (61, 3), (150, 4000)] {
        for n_computing in [2, 3, 5] {
            let case = Scores {
                n_rows,
                n_values,
                ..PLAIN
            };
            demands::check_result(&case, n_computing, 3);
        }
        let method = Method::Summed;
        let case = Scores {
            n_rows,
            n_values,
            method,
            at_least: 0,
        };
        demands::check_result(&case, 2, 4);
    }
    let few = Scores {
        at_least: 40,
        ..PLAIN
    };
    demands::check_result(&few, 2, 5);
}

#[test]
fn revealed_figures_are_parts_of_all_pairs() {
    let found = Figures::of(&[2, 5, 13, 4]).expect("figures");
    assert_eq!((found.auc, found.ks), (0.65, 0.4));
    assert_eq!(Figures::of(&[0; 4]), None);
}

#[test]
fn evaluations_are_held_to_all_demands() {
    for n_computing in [2, 3, 5] {
        demands::check_price(&PLAIN, n_computing);
    }
    demands::check_outline(&PLAIN, 3);
    demands::check_empty_stock(&PLAIN);
    demands::check_cuts(&Scores { n_rows: 3, ..PLAIN });
}

#[test]
fn evaluations_run_from_every_source() {
    demands::check_sources(&PLAIN);
}

/// Scores that are far from random still make messages that look uniform, and nothing is opened without a mask
/// but how two rows of a shuffled table compare.
#[test]
fn evaluations_send_what_looks_uniform() {
    let case = Scores {
        n_rows: 64,
        ..PLAIN
    };
    // Sums of all rows are one lane or two, and the greatest distance is found by halves.
    let lanes = [1, 2, 4, 8, 16, 32];
    demands::check_uniform_lanes_but(&case, 40, &lanes, &[Kind::MaskedBits]);
}
