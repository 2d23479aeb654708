//! Characteristic stability against its definition in floating point.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::train::evaluate::characteristics::{self, Shape};

#[derive(Clone, Debug)]
struct Spreads {
    shape: Shape,
    /// The base's rows, and those of each sample.
    n_rows: Vec<usize>,
    /// In so many of its bins, a feature has no rows of the last sample.
    n_empty: usize,
}

fn spreads(n_rows: &[usize], method: Method) -> Spreads {
    Spreads {
        shape: Shape {
            bins: vec![5, 1, 8, 3],
            n_samples: n_rows.len() - 1,
            at_least: 3,
            min_cell: 0,
            method,
        },
        n_rows: n_rows.to_vec(),
        n_empty: 1,
    }
}

impl Spreads {
    /// Of base and samples the rows in each bin of each feature; the bins' parts differ from sample to sample.
    fn counts(&self, secrets: u64) -> Vec<Vec<Vec<u64>>> {
        let spread = |(number, n_rows): (usize, &usize)| {
            let features = self.shape.bins.iter().enumerate();
            let counts = features.map(|(feature, n_bins)| {
                let stream = (10 * number + feature) as u64;
                let mut counts = vec![0; *n_bins];
                let is_last = number + 1 == self.n_rows.len();
                let kept = match is_last {
                    true => n_bins.saturating_sub(self.n_empty).max(1),
                    false => *n_bins,
                };
                for value in below(secrets, stream, 1000, *n_rows) {
                    let part = (value as f64 / 1000.0).powi(1 + number as i32);
                    counts[(part * kept as f64) as usize] += 1;
                }
                counts
            });
            counts.collect()
        };
        self.n_rows.iter().enumerate().map(spread).collect()
    }

    fn expected(&self, secrets: u64) -> Vec<Vec<Option<f64>>> {
        let counts = self.counts(secrets);
        let (base, samples) = counts.split_first().expect("a base");
        let index = |(e, a): (&Vec<u64>, &Vec<u64>)| {
            let totals = [e, a].map(|of| of.iter().sum::<u64>());
            let is_small = |n: &u64| *n > 0 && *n < self.shape.min_cell;
            let is_short = totals.iter().any(|n| *n < self.shape.at_least);
            if is_short || e.iter().chain(a).any(is_small) {
                return None;
            }
            let part = |n: u64, of: u64| (n as f64 / of as f64).max(1e-4);
            let terms = e.iter().zip(a).map(|(e, a)| {
                let (e, a) = (part(*e, totals[0]), part(*a, totals[1]));
                (a - e) * (a / e).ln()
            });
            Some(terms.sum())
        };
        let of_sample = |sample: &Vec<Vec<u64>>| base.iter().zip(sample).map(index).collect();
        samples.iter().map(of_sample).collect()
    }

    #[track_caller]
    fn check(&self, found: &Clear<u64>, secrets: u64) -> usize {
        let found = self.shape.told(&found.ring[0]).expect("all of them");
        let expected = self.expected(secrets);
        assert_eq!(found.len(), expected.len());
        let mut n_told = 0;
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            match (found, expected) {
                (None, None) => {}
                (Some(found), Some(expected)) => {
                    let bound = 1e-5 + 1e-4 * expected;
                    assert!(
                        (found - expected).abs() < bound,
                        "{found} {expected} {self:?}"
                    );
                    n_told += 1;
                }
                _ => panic!("{found:?} {expected:?} {self:?}"),
            }
        }
        n_told
    }
}

impl Case for Spreads {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        let counts = self.counts(secrets);
        Clear::of_ring(vec![counts.into_iter().flatten().flatten().collect()])
    }

    fn price(&self, seats: Seats) -> Price {
        characteristics::price(seats, &self.shape)
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let counts = inputs.ring.into_iter().next().expect("counts");
        let indices = characteristics::indices(session, &counts, &self.shape, stock).await?;
        Ok(Shared {
            ring: vec![indices],
            bits: vec![],
        })
    }
}

#[test]
fn spreads_over_bins_are_compared_as_by_definition() {
    for (n_computing, method) in [
        (2, Method::Masked),
        (3, Method::Masked),
        (2, Method::Summed),
    ] {
        for n_rows in [&[300, 200][..], &[5000, 70, 1200], &[1 << 16, 3]] {
            let case = spreads(n_rows, method);
            let found = demands::found(&case, n_computing, 41);
            let n_told = case.check(&found, 41);
            assert_eq!(n_told, 4 * (n_rows.len() - 1));
        }
    }
}

/// A bin with too few rows keeps the index of its feature back, and no other.
#[test]
fn small_cells_keep_an_index_back() {
    let mut case = spreads(&[400, 120], Method::Masked);
    case.shape.min_cell = 16;
    let found = demands::found(&case, 3, 42);
    let n_told = case.check(&found, 42);
    assert!((1..4).contains(&n_told), "{n_told}");
    // Of nobody nothing is told, of whichever sample.
    for n_rows in [[400, 0, 50], [400, 50, 0], [0, 400, 50]] {
        let mut case = spreads(&n_rows, Method::Masked);
        case.shape.at_least = 1;
        let found = demands::found(&case, 2, 43);
        let told = case.check(&found, 43);
        assert_eq!(told, if n_rows[0] == 0 { 0 } else { 4 });
    }
}

#[test]
fn spreads_are_compared_from_every_source() {
    let mut case = spreads(&[300, 200, 100], Method::Masked);
    case.shape.min_cell = 5;
    for (n_computing, has_dealer) in demands::SOURCES {
        case.check(&demands::found_from(&case, n_computing, has_dealer), 23);
    }
}

#[test]
fn comparisons_of_spreads_are_held_to_all_demands() {
    let mut case = spreads(&[60, 40], Method::Masked);
    for min_cell in [0, 5] {
        case.shape.min_cell = min_cell;
        for n_computing in [2, 3, 5] {
            demands::check_price(&case, n_computing);
        }
        demands::check_outline(&case, 3);
        demands::check_empty_stock(&case);
    }
    case.shape.bins = vec![2];
    demands::check_cuts(&case);
    assert_eq!(case.shape.told(&[0; 3]), None);
}

/// Counts that are far from random still make messages that look uniform.
#[test]
fn comparisons_of_spreads_send_what_looks_uniform() {
    let mut case = spreads(&[300, 200], Method::Masked);
    case.shape.bins = vec![16; 4];
    case.shape.min_cell = 5;
    // Totals of two samples, an index and whether it is told of four features.
    demands::check_uniform_lanes_but(&case, 40, &[2, 4], &[]);
}
