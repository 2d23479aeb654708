//! Rank sums of two columns.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::stats::rank::{self, RankInput, RankShape};

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
