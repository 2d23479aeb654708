//! Rank sums of two columns.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use engine::share::Share;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::stats::rank::{
    self, RankInput, RankShape, RankedItem, SharedColumns, SharedRankShape,
};

#[derive(Clone, Copy, Debug)]
struct Ranks {
    rows: [usize; 5],
    cells: usize,
    x_bits: usize,
    y_bits: usize,
    /// Fewer different values make more ties.
    n_values: u64,
}

impl Ranks {
    fn shape(&self, n_computing: usize) -> RankShape {
        RankShape {
            rows: self.rows[..n_computing].to_vec(),
            cells: self.cells,
            x_bits: self.x_bits,
            y_bits: self.y_bits,
        }
    }

    fn input(&self, secrets: u64, seat: usize) -> RankInput {
        let seed = 16 * secrets + seat as u64;
        let sizes = below(seed, 1, self.rows[seat] as u64 + 1, self.cells);
        let greatest = u64::MAX >> (64 - self.y_bits);
        let mut rows = Vec::new();
        for (cell, n) in (0u32..).zip(sizes) {
            let x = below(seed, 2 + 2 * u64::from(cell), self.n_values, n as usize);
            let noise = below(seed, 3 + 2 * u64::from(cell), self.n_values, n as usize);
            rows.extend(x.iter().zip(&noise).map(|(x, noise)| match noise {
                0 => (cell, *x, greatest),
                _ => (cell, *x, (x + noise) / 2),
            }));
        }
        rows.reverse();
        RankInput { rows }
    }
}

impl Case for Ranks {
    type R = u64;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<u64> {
        let inputs: Vec<_> = (0..n_computing)
            .map(|seat| self.input(secrets, seat))
            .collect();
        Clear::of_ring(rank::oracle(&inputs, &self.shape(n_computing)).to_vec())
    }

    fn price(&self, seats: Seats) -> Price {
        rank::price(&self.shape(seats.n_computing), seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let shape = self.shape(session.n_computing());
        let input = self.input(secrets, session.seat().index());
        let found = rank::rank_sums(session, input, &shape, stock).await?;
        // Sorting by wide keys prepares for more than it takes.
        *stock = Stock::empty();
        Ok(Shared {
            ring: found.sums.into(),
            bits: vec![],
        })
    }
}

#[test]
fn rank_sums_are_those_of_all_rows() {
    let case = Ranks {
        rows: [4, 3, 5, 0, 2],
        cells: 1,
        x_bits: 3,
        y_bits: 4,
        n_values: 7,
    };
    for n_computing in [2, 3, 5] {
        demands::check_result(&case, n_computing, 3);
        demands::check_price(&case, n_computing);
        let grouped = Ranks { cells: 3, ..case };
        demands::check_result(&grouped, n_computing, 4);
        demands::check_price(&grouped, n_computing);
    }
    demands::check_outline(&case, 3);
    demands::check_empty_stock(&case);
    demands::check_cuts(&Ranks {
        rows: [1; 5],
        y_bits: 3,
        ..case
    });
}

#[test]
fn rank_sums_run_from_every_source() {
    let case = Ranks {
        rows: [64; 5],
        cells: 2,
        x_bits: 3,
        y_bits: 4,
        n_values: 7,
    };
    let rows = [8, 5, 3, 0, 0];
    demands::check_sources(&Ranks { rows, ..case });
    let (x_bits, y_bits) = (64, 64);
    demands::check_sources(&Ranks {
        rows,
        x_bits,
        y_bits,
        ..case
    });
}

#[test]
fn ranks_of_any_number_of_rows() {
    for (rows, n_values) in [
        ([0; 5], 5),
        ([1; 5], 1),
        ([20, 13, 0, 0, 0], 1),
        ([90, 70, 3, 1, 1], 60),
    ] {
        for (x_bits, y_bits) in [(6, 7), (64, 64)] {
            let case = Ranks {
                rows,
                cells: 1 + usize::from(n_values == 1),
                x_bits,
                y_bits,
                n_values,
            };
            for secrets in 0..2 {
                demands::check_result(&case, 2, secrets);
            }
        }
    }
}

/// 64 rows in all.
#[test]
fn messages_of_rank_sums_look_uniform() {
    let case = Ranks {
        rows: [16, 16, 32, 0, 0],
        cells: 1,
        x_bits: 3,
        y_bits: 4,
        n_values: 7,
    };
    demands::check_uniform_lanes(&case, 40, &[]);
}

/// Columns of shares: two are ranked with the same weights, and the first one with others.
#[derive(Clone, Debug)]
struct OfShares {
    n_rows: usize,
    groups: usize,
    bits: [usize; 2],
    method: Method,
}

impl OfShares {
    fn shape(&self) -> SharedRankShape {
        let item = |(column, weight): (usize, usize)| RankedItem {
            column,
            bits: self.bits[column],
            weight,
        };
        SharedRankShape {
            n_rows: self.n_rows,
            groups: self.groups,
            items: [(0, 0), (1, 0), (0, 1)].map(item).to_vec(),
            pairs: vec![(0, 1), (1, 0), (2, 2)],
            method: self.method,
        }
    }

    /// Two columns, and then two kinds of weights by group. Rows that count nowhere may have values of more bits.
    fn columns(&self, secrets: u64) -> Vec<Vec<u64>> {
        let weights: Vec<Vec<u64>> = (0..2 * self.groups as u64)
            .map(|at| {
                let drawn = below(secrets, 10 + at, 7, self.n_rows);
                drawn.into_iter().map(|w| w.saturating_sub(3)).collect()
            })
            .collect();
        let value = |column: usize| {
            let few = below(secrets, column as u64, 5, self.n_rows);
            let drawn = below(secrets, 4 + column as u64, u64::MAX, self.n_rows);
            let greatest = u64::MAX >> (64 - self.bits[column]);
            let of = |row: usize| match (weights.iter().all(|w| w[row] == 0), few[row]) {
                (true, _) => drawn[row],
                (false, 4) => drawn[row] & greatest,
                (false, few) => few & greatest,
            };
            (0..self.n_rows).map(of).collect::<Vec<u64>>()
        };
        [0, 1].map(value).into_iter().chain(weights).collect()
    }
}

impl Case for OfShares {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        Clear::of_ring(self.columns(secrets))
    }

    /// Each row as often as it counts, by the other protocol's oracle.
    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let columns = self.columns(secrets);
        let shape = self.shape();
        let of_pair = |(a, b): &(usize, usize)| {
            let (a, b) = (&shape.items[*a], &shape.items[*b]);
            let mut rows = Vec::new();
            for group in 0..self.groups {
                let weights = &columns[2 + a.weight * self.groups + group];
                for (row, weight) in weights.iter().enumerate() {
                    let own = (group as u32, columns[a.column][row], columns[b.column][row]);
                    rows.extend(std::iter::repeat_n(own, *weight as usize));
                }
            }
            let plain = RankShape {
                rows: vec![rows.len()],
                cells: self.groups,
                x_bits: 64,
                y_bits: 64,
            };
            rank::oracle(&[RankInput { rows }], &plain)
        };
        Clear::of_ring(shape.pairs.iter().flat_map(of_pair).collect())
    }

    fn price(&self, seats: Seats) -> Price {
        rank::shared_price(&self.shape(), seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let mut columns = inputs.ring.into_iter();
        let values = columns.by_ref().take(2).collect();
        let mut weights = || {
            columns
                .by_ref()
                .take(self.groups)
                .collect::<Vec<Share<u64>>>()
        };
        let weights = vec![weights(), weights()];
        let rows = SharedColumns { values, weights };
        let found = rank::shared_rank_sums(session, rows, &self.shape(), stock).await?;
        if self.bits.iter().any(|bits| *bits > 24) {
            // Sorting by wide keys prepares for more than it takes.
            *stock = Stock::empty();
        }
        Ok(Shared {
            ring: found.into_iter().flat_map(|pair| pair.sums).collect(),
            bits: vec![],
        })
    }
}

#[test]
fn ranks_of_shares_meet_every_demand() {
    for method in [Method::Masked, Method::Summed] {
        let case = OfShares {
            n_rows: 5,
            groups: 2,
            bits: [3, 4],
            method,
        };
        for n_computing in [2, 3, 5] {
            demands::check_result(&case, n_computing, 21);
            // Each of the three items is sorted and put back, and told from one end both times.
            demands::check_price_within(&case, n_computing, 6);
        }
        demands::check_course(&case);
    }
}

#[test]
fn shares_of_any_size_are_ranked_as_often_as_they_count() {
    for (n_rows, groups, bits) in [(1, 1, [1, 1]), (2, 3, [3, 9]), (64, 1, [40, 6])] {
        for secrets in 0..3 {
            let method = Method::Masked;
            let case = OfShares {
                n_rows,
                groups,
                bits,
                method,
            };
            demands::check_result(&case, 3, secrets);
        }
    }
}

#[test]
fn items_of_other_weights_and_too_many_rows_are_refused() {
    let fits = OfShares {
        n_rows: 4,
        groups: 1,
        bits: [3, 4],
        method: Method::Summed,
    }
    .shape();
    assert!(fits.check().is_ok());
    let (mut mixed, mut many, mut wide) = (fits.clone(), fits.clone(), fits);
    mixed.pairs.push((0, 2));
    many.n_rows = rank::MAX_ROWS + 1;
    wide.items[0].bits = 65;
    for shape in [mixed, many, wide] {
        assert!(shape.check().is_err(), "{shape:?}");
    }
}
