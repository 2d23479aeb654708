//! How many different values rows have that count as often as shared numbers say.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use engine::ring;
use engine::share::Share;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::stats::different::{self, DifferentRun, DifferentShape};
use zeroize::Zeroizing;

#[derive(Clone, Debug)]
struct Different {
    /// Rows of the owners.
    rows: Vec<usize>,
    groups: usize,
    others: usize,
    bits: usize,
    method: Method,
}

/// A row in the clear: group, value, and how often it counts in each group of others.
type Row = (u32, u128, Vec<u64>);

impl Different {
    fn shape(&self) -> DifferentShape {
        DifferentShape {
            rows: self.rows.clone(),
            groups: self.groups,
            others: self.others,
            bits: self.bits,
            rows_bits: 12,
            method: self.method,
        }
    }

    /// The rows of each owner in order: few values, the extreme ones among them, most of which do not count; owners share
    /// some. A quarter of what there may be is missing.
    fn runs(&self, secrets: u64) -> Vec<Vec<Row>> {
        let greatest = u128::MAX >> (128 - self.bits);
        let run = |(at, n_rows): (usize, &usize)| {
            let seed = 16 * secrets + at as u64;
            let groups = below(seed, 1, self.groups as u64, *n_rows);
            let values = below(seed, 2, 6, *n_rows);
            let value = |number: u64| match number {
                0 => 0,
                1 => greatest,
                n => (u128::from(n) << 80 | u128::from(n)) & greatest,
            };
            let of_other = |other: usize| {
                let draws = below(seed, 3 + other as u64, 9, *n_rows);
                let is_empty = (secrets + other as u64).is_multiple_of(3);
                let weight = |d: u64| if is_empty { 0 } else { d.saturating_sub(6) };
                draws.into_iter().map(weight).collect::<Vec<u64>>()
            };
            let weights: Vec<Vec<u64>> = (0..self.others).map(of_other).collect();
            let row = |i: usize| {
                let own = weights.iter().map(|column| column[i]).collect();
                (groups[i] as u32, value(values[i]), own)
            };
            let mut rows: Vec<Row> = (0..*n_rows - n_rows / 4).map(row).collect();
            rows.sort_unstable();
            rows
        };
        self.rows.iter().enumerate().map(run).collect()
    }
}

impl Case for Different {
    type R = u64;

    /// The weights of all runs, column by column.
    fn inputs(&self, secrets: u64) -> Clear<u64> {
        let mut columns = Vec::new();
        for (rows, n_rows) in self.runs(secrets).iter().zip(&self.rows) {
            for other in 0..self.others {
                let mut column: Vec<u64> = rows.iter().map(|row| row.2[other]).collect();
                column.resize(*n_rows, 0);
                columns.push(column);
            }
        }
        Clear::of_ring(columns)
    }

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let rows: Vec<Row> = self.runs(secrets).into_iter().flatten().collect();
        Clear::of_ring(vec![different::oracle(&rows, &self.shape())])
    }

    fn price(&self, seats: Seats) -> Price {
        different::price(&self.shape(), seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let mut columns = inputs.ring.into_iter();
        let mut runs = Vec::new();
        for (at, rows) in self.runs(secrets).into_iter().enumerate() {
            let owner = Seat::from_index((at + 1) % session.n_computing());
            let own = rows.iter().map(|row| (row.0, row.1));
            let own = (session.seat() == owner).then(|| Zeroizing::new(own.collect()));
            runs.push(DifferentRun {
                owner,
                rows: own,
                weights: columns.by_ref().take(self.others).collect(),
            });
        }
        let counts = different::different(session, runs, &self.shape(), stock).await?;
        Ok(Shared {
            ring: vec![counts],
            bits: vec![],
        })
    }
}

fn case(rows: &[usize], (groups, others): (usize, usize), bits: usize) -> Different {
    Different {
        rows: rows.to_vec(),
        groups,
        others,
        bits,
        method: Method::Summed,
    }
}

#[test]
fn different_values_of_weighted_rows_meet_every_demand() {
    for (rows, method) in [(&[9][..], Method::Masked), (&[5, 3], Method::Summed)] {
        demands::check_all(&Different {
            method,
            ..case(rows, (2, 2), 80)
        });
    }
}

#[test]
fn rows_groups_and_values_of_any_size_are_told_apart() {
    for (rows, cells) in [
        (&[0][..], (1, 1)),
        (&[1], (1, 1)),
        (&[2], (2, 1)),
        (&[17], (3, 2)),
        (&[64], (1, 1)),
        (&[200], (5, 1)),
        (&[9, 0], (2, 1)),
        (&[33, 40], (2, 3)),
        (&[12, 3, 20], (3, 1)),
    ] {
        for secrets in 0..3 {
            demands::check_result(&case(rows, cells, 80), 2, secrets);
            let masked = Different {
                method: Method::Masked,
                ..case(rows, cells, 20)
            };
            demands::check_result(&masked, 3, secrets);
        }
        demands::check_price(&case(rows, cells, 80), 2);
    }
    demands::check_result(&case(&[12, 5], (2, 1), 1), 5, 4);
    demands::check_result(&case(&[12, 5], (2, 1), 96), 2, 4);
}

/// Whatever is opened on the way: bits of 32 pairs of rows and fewer, as rows of a value are added up, and of two owners' rows
/// whether 127 neighbours have the same value.
#[test]
fn messages_of_counts_of_different_values_look_uniform() {
    for method in [Method::Masked, Method::Summed] {
        let alone = Different {
            method,
            ..case(&[64], (2, 1), 8)
        };
        demands::check_uniform_lanes(&alone, 40, &[32, 16, 8, 4, 2, 1]);
    }
    let merged = case(&[64, 64], (2, 1), 64);
    demands::check_uniform_lanes(&merged, 40, &[127, 64, 32, 16, 8, 4, 2, 1]);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let fits = case(&[2], (2, 1), 8).shape();
    let mut unfit = vec![fits.clone(); 5];
    unfit[0].bits = 97;
    unfit[1].rows = vec![protocols::stats::weighted::MAX_ROWS + 1];
    unfit[2].rows = Vec::new();
    unfit[3].rows_bits = 64;
    unfit[4].groups = 0;
    for shape in unfit {
        assert!(shape.check().is_err(), "{shape:?}");
    }
    for rows in [
        vec![(2, 1)],
        vec![(0, 256)],
        vec![(1, 1), (0, 1)],
        vec![(0, 1); 3],
    ] {
        let ended = crate::world::World::new(2, 1).run(async |session| {
            let needs = different::price(&fits, Seats::of(session)).needs;
            let mut stock = crate::ideal::stocks(2, &needs, 1).swap_remove(0);
            let own = (session.seat() == Seat(0)).then(|| Zeroizing::new(rows.clone()));
            let run = DifferentRun {
                owner: Seat(0),
                rows: own,
                weights: vec![Share::zero(2)],
            };
            let found = different::different(session, vec![run], &fits, &mut stock).await;
            found.map(|_| ())
        });
        let refused = matches!(ended[0].outcome, Err(ProtocolError::InvalidInput { .. }));
        assert!(refused, "{rows:?}");
        assert_eq!(ring::sum(&ended[0].traffic.bytes_sent), 0);
    }
}
