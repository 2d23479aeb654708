//! Values at ranks of rows that count as often as shared numbers say.

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
use protocols::stats::quantile::Fraction;
use protocols::stats::weighted::{self, Place, Run, SharedRows, WeightedShape};
use zeroize::Zeroizing;

#[derive(Clone, Debug)]
struct Weighted {
    /// Rows of the last seats, at most two.
    rows: Vec<usize>,
    groups: usize,
    others: usize,
    bits: usize,
    places: Vec<Place>,
    method: Method,
}

const fn level(numerator: u32, denominator: u32) -> Fraction {
    Fraction {
        numerator,
        denominator,
    }
}

/// Levels 0, 1/20, 1/2, 2/3 and 1, in all ways.
fn places() -> Vec<Place> {
    let levels = [(0, 1), (1, 20), (1, 2), (2, 3), (1, 1)].map(|(a, b)| level(a, b));
    let kinds = [Place::Discrete, Place::Below, Place::Above, Place::Linear];
    let of_level = |p| kinds.map(|kind| kind(p));
    levels.into_iter().flat_map(of_level).collect()
}

/// A row in the clear: group, value, and how often it counts in each group of others.
type Row = (u32, u64, Vec<u64>);

impl Weighted {
    fn shape(&self) -> WeightedShape {
        WeightedShape {
            rows: self.rows.clone(),
            groups: self.groups,
            others: self.others,
            bits: self.bits,
            places: self.places.clone(),
            rows_bits: 12,
            method: self.method,
        }
    }

    /// The rows of each owner, in order, filled up by some that count nothing: most do not count, some do several times,
    /// and values repeat.
    fn runs(&self, secrets: u64) -> Vec<Vec<Row>> {
        let run = |(at, n_rows): (usize, &usize)| {
            let seed = 16 * secrets + at as u64;
            let greatest = u64::MAX >> (64 - self.bits);
            let groups = below(seed, 1, self.groups as u64, *n_rows);
            let values = below(seed, 2, u64::MAX, *n_rows);
            let value = |draw: &u64| match draw % 3 {
                0 => greatest,
                1 => ((draw / 3) % 4) & greatest,
                _ => draw & greatest,
            };
            let of_other = |other: usize| {
                let draws = below(seed, 3 + other as u64, 9, *n_rows);
                // Of some secrets a group of others is of nobody.
                let is_empty = (secrets + other as u64).is_multiple_of(3);
                let weight = |d: u64| if is_empty { 0 } else { d.saturating_sub(5) };
                draws.into_iter().map(weight).collect::<Vec<u64>>()
            };
            let weights: Vec<Vec<u64>> = (0..self.others).map(of_other).collect();
            let row = |i: usize| {
                let own = weights.iter().map(|column| column[i]).collect();
                (groups[i] as u32, value(&values[i]), own)
            };
            let mut rows: Vec<Row> = (0..*n_rows - n_rows / 4).map(row).collect();
            rows.sort_unstable();
            rows
        };
        self.rows.iter().enumerate().map(run).collect()
    }

    /// Each owner's weights, column by column.
    fn columns(&self, runs: &[Vec<Row>]) -> Vec<Vec<Vec<u64>>> {
        let of_run = |(rows, n): (&Vec<Row>, &usize)| {
            let column = |other: usize| {
                let mut column: Vec<u64> = rows.iter().map(|row| row.2[other]).collect();
                column.resize(*n, 0);
                column
            };
            (0..self.others).map(column).collect()
        };
        runs.iter().zip(&self.rows).map(of_run).collect()
    }
}

impl Case for Weighted {
    type R = u64;

    /// The weights of all runs, and then for each group of others the counts of groups.
    fn inputs(&self, secrets: u64) -> Clear<u64> {
        let runs = self.runs(secrets);
        let mut columns: Vec<Vec<u64>> = self.columns(&runs).into_iter().flatten().collect();
        for other in 0..self.others {
            let mut counts = vec![0; self.groups];
            for row in runs.iter().flatten() {
                counts[row.0 as usize] += row.2[other];
            }
            columns.push(counts);
        }
        Clear::of_ring(columns)
    }

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let rows: Vec<Row> = self.runs(secrets).into_iter().flatten().collect();
        Clear::of_ring(weighted::oracle(&rows, &self.shape()))
    }

    fn price(&self, seats: Seats) -> Price {
        weighted::price(&self.shape(), seats)
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
            runs.push(Run {
                owner,
                rows: own,
                weights: columns.by_ref().take(self.others).collect(),
            });
        }
        let counts: Vec<Share<u64>> = columns.collect();
        let shape = self.shape();
        let ring = weighted::quantiles(session, runs, &counts, &shape, stock).await?;
        Ok(Shared { ring, bits: vec![] })
    }
}

fn case(rows: &[usize], (groups, others): (usize, usize), bits: usize) -> Weighted {
    Weighted {
        rows: rows.to_vec(),
        groups,
        others,
        bits,
        places: places(),
        method: Method::Summed,
    }
}

#[test]
fn quantiles_of_weighted_rows_meet_every_demand() {
    let few = vec![Place::Linear(level(1, 2)), Place::Discrete(level(1, 4))];
    for (rows, method) in [(&[7][..], Method::Masked), (&[5, 3], Method::Summed)] {
        let places = few.clone();
        demands::check_all(&Weighted {
            places,
            method,
            ..case(rows, (2, 2), 6)
        });
    }
}

#[test]
fn rows_groups_and_values_of_any_size_count_as_often_as_they_should() {
    for (rows, cells) in [
        (&[0][..], (1, 1)),
        (&[1], (1, 1)),
        (&[2], (2, 1)),
        (&[17], (3, 2)),
        (&[64], (1, 1)),
        (&[9, 0], (2, 1)),
        (&[33, 40], (2, 3)),
    ] {
        for secrets in 0..3 {
            demands::check_result(&case(rows, cells, 40), 2, secrets);
            let matrices = Weighted {
                method: Method::Masked,
                ..case(rows, cells, 58)
            };
            demands::check_result(&matrices, 3, secrets);
        }
    }
    // Codes of doubles take all bits, and no multiples of them.
    let mut whole = case(&[12, 5], (2, 1), 64);
    whole.places.retain(|p| !matches!(p, Place::Linear(_)));
    demands::check_result(&whole, 5, 4);
}

/// Whatever is opened on the way: comparisons of 42 ends of blocks and rows with thresholds, products with the 48 bits of
/// blocks, and comparisons of two counts with 1.
#[test]
fn messages_of_weighted_quantiles_look_uniform() {
    for method in [Method::Masked, Method::Summed] {
        let case = Weighted {
            places: vec![Place::Linear(level(1, 2)), Place::Above(level(1, 4))],
            method,
            ..case(&[64], (2, 1), 8)
        };
        demands::check_uniform_lanes(&case, 40, &[42, 48, 2]);
    }
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let fits = case(&[2], (2, 1), 8).shape();
    let (mut wide, mut many, mut nobody) = (fits.clone(), fits.clone(), fits.clone());
    wide.bits = 64;
    many.rows = vec![weighted::MAX_ROWS + 1];
    nobody.rows = Vec::new();
    for shape in [wide, many, nobody] {
        assert!(shape.check().is_err(), "{shape:?}");
    }
    for rows in [
        vec![(2, 1)],
        vec![(0, 256)],
        vec![(1, 1), (0, 1)],
        vec![(0, 1); 3],
    ] {
        let ended = crate::world::World::new(2, 1).run(async |session| {
            let needs = weighted::price(&fits, Seats::of(session)).needs;
            let mut stock = crate::ideal::stocks(2, &needs, 1).swap_remove(0);
            let own = (session.seat() == Seat(0)).then(|| Zeroizing::new(rows.clone()));
            let run = Run {
                owner: Seat(0),
                rows: own,
                weights: vec![Share::zero(2)],
            };
            let counts = [Share::zero(2)];
            let found = weighted::quantiles(session, vec![run], &counts, &fits, &mut stock).await;
            found.map(|_| ())
        });
        let refused = matches!(ended[0].outcome, Err(ProtocolError::InvalidInput { .. }));
        assert!(refused, "{rows:?}");
        assert_eq!(ring::sum(&ended[0].traffic.bytes_sent), 0);
    }
}

/// The same rows, of which nobody knows the values, in another order.
#[derive(Debug)]
struct OfShares(Weighted);

impl Case for OfShares {
    type R = u64;

    /// Values, weights, and then the count of each group of others. Values of rows that do not count may have more bits.
    fn inputs(&self, secrets: u64) -> Clear<u64> {
        let mut rows = self.0.runs(secrets).swap_remove(0);
        rows.resize(self.0.rows[0], (0, u64::MAX - 4, vec![0; self.0.others]));
        rows.reverse();
        let counts = |other: usize| rows.iter().map(|row| row.2[other]).sum();
        let counts = (0..self.0.others).map(|other| vec![counts(other)]);
        let weights = (0..self.0.others).map(|h| rows.iter().map(|row| row.2[h]).collect());
        let values = rows.iter().map(|row| row.1).collect();
        let columns: Vec<Vec<u64>> = std::iter::once(values).chain(weights).collect();
        Clear::of_ring(columns.into_iter().chain(counts).collect())
    }

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<u64> {
        self.0.expected(n_computing, secrets)
    }

    fn price(&self, seats: Seats) -> Price {
        weighted::shared_price(&self.0.shape(), seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let mut columns = inputs.ring.into_iter();
        let rows = SharedRows {
            values: columns.next().expect("a column of values"),
            weights: columns.by_ref().take(self.0.others).collect(),
        };
        let counts: Vec<Share<u64>> = columns.collect();
        let shape = self.0.shape();
        let ring = weighted::quantiles_of_shares(session, rows, &counts, &shape, stock).await?;
        if shape.bits > 24 {
            // Sorting by wide keys prepares for more than it takes.
            *stock = Stock::empty();
        }
        Ok(Shared { ring, bits: vec![] })
    }
}

#[test]
fn quantiles_of_rows_of_nobody_meet_every_demand() {
    for method in [Method::Masked, Method::Summed] {
        demands::check_all(&OfShares(Weighted {
            places: vec![Place::Linear(level(1, 2)), Place::Discrete(level(1, 1))],
            method,
            ..case(&[6], (1, 2), 5)
        }));
    }
}

#[test]
fn values_that_nobody_knows_are_sorted_whatever_their_bits() {
    for (rows, others, bits) in [(1, 1, 1), (2, 2, 7), (64, 1, 24), (70, 3, 40)] {
        for secrets in 0..3 {
            demands::check_result(&OfShares(case(&[rows], (1, others), bits)), 3, secrets);
        }
    }
}

#[test]
fn rows_of_shares_are_of_one_group_and_one_number() {
    for (rows, groups) in [(&[2][..], 2), (&[1, 1], 1), (&[3], 1)] {
        let shape = case(rows, (groups, 1), 8).shape();
        let ended = crate::world::World::new(2, 1).run(async |session| {
            let mut stock = crate::ideal::stocks(2, &Default::default(), 1).swap_remove(0);
            let rows = SharedRows {
                values: Share::zero(2),
                weights: vec![Share::zero(2)],
            };
            let counts = [Share::zero(groups)];
            let found =
                weighted::quantiles_of_shares(session, rows, &counts, &shape, &mut stock).await;
            found.map(|_| ())
        });
        for ended in ended {
            let refused = matches!(ended.outcome, Err(ProtocolError::InvalidInput { .. }));
            assert!(refused, "{shape:?}");
            assert_eq!(ring::sum(&ended.traffic.bytes_sent), 0);
        }
    }
}
