//! COUNT(DISTINCT) over holders whose keys overlap.

use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use protocols::correlate::{Stock, StockedRing};
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::stats::distinct::{self, DistinctInput, DistinctShape};
use std::fmt::Debug;
use std::marker::PhantomData;

#[derive(Debug)]
struct Distinct<R> {
    /// Capacities of up to five holders; the first so many are used.
    rows: [usize; 5],
    cells: usize,
    hash_bits: usize,
    ring: PhantomData<R>,
}

fn case<R>(rows: [usize; 5], cells: usize, hash_bits: usize) -> Distinct<R> {
    let ring = PhantomData;
    Distinct {
        rows,
        cells,
        hash_bits,
        ring,
    }
}

impl<R> Distinct<R> {
    fn shape(&self, n_computing: usize) -> DistinctShape {
        DistinctShape {
            rows: self.rows[..n_computing].to_vec(),
            cells: self.cells,
            hash_bits: self.hash_bits,
        }
    }

    /// Few different keys, so that most are had twice, by one holder or by several. The extreme
    /// hashes occur.
    fn input(&self, secrets: u64, seat: usize) -> DistinctInput {
        let seed = 16 * secrets + seat as u64;
        let n_keys = below(seed, 1, self.rows[seat] as u64 + 1, 1)[0] as usize;
        let n_keys = if secrets.is_multiple_of(3) {
            self.rows[seat]
        } else {
            n_keys
        };
        let cells = below(seed, 2, self.cells as u64, n_keys);
        let numbers = below(seed, 3, 9, n_keys);
        let greatest = u128::MAX >> (128 - self.hash_bits);
        let hash = |number: &u64| match number {
            0 => 0,
            1 => greatest,
            n => (u128::from(*n) << 120 | u128::from(*n) << 50 | u128::from(*n)) & greatest,
        };
        let key = |(cell, number): (&u64, &u64)| (*cell as u32, hash(number));
        DistinctInput {
            keys: cells.iter().zip(&numbers).map(key).collect(),
        }
    }
}

impl<R: StockedRing> Case for Distinct<R> {
    type R = R;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<R> {
        let inputs: Vec<_> = (0..n_computing)
            .map(|seat| self.input(secrets, seat))
            .collect();
        let counts = distinct::oracle(&inputs, &self.shape(n_computing));
        Clear::of_ring(vec![counts.into_iter().map(R::from_u64).collect()])
    }

    fn price(&self, seats: Seats) -> Price {
        distinct::price::<R>(&self.shape(seats.n_computing), seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<R>,
        stock: &mut Stock,
    ) -> Result<Shared<R>, ProtocolError> {
        let shape = self.shape(session.n_computing());
        let input = self.input(secrets, session.seat().index());
        let counts = distinct::distinct::<R>(session, input, &shape, stock).await?;
        Ok(Shared {
            ring: vec![counts],
            bits: vec![],
        })
    }
}

#[test]
fn keys_that_several_holders_have_count_once() {
    demands::check_all(&case::<u64>([5, 3, 0, 7, 1], 1, 80));
    demands::check_all(&case::<u128>([4, 6, 5, 1, 2], 3, 66));
    demands::check_uniform(&case::<u64>([64, 64, 64, 64, 64], 2, 64), 20);
}

#[test]
fn holders_and_cells_of_any_size() {
    for cells in [1, 2, 3, 4, 5, 7, 8, 9] {
        for secrets in 0..3 {
            demands::check_result(&case::<u64>([40, 25, 33, 8, 1], cells, 80), 3, secrets);
        }
    }
    for rows in [0, 1, 2, 31, 32, 33, 100, 400] {
        demands::check_result(
            &case::<u64>([rows, rows / 2, 1, 1, 1], 2, 128),
            2,
            rows as u64,
        );
        demands::check_price(&case::<u64>([rows, rows / 2, 1, 1, 1], 2, 128), 2);
    }
}

#[test]
fn more_keys_than_declared_are_refused() {
    let shape = DistinctShape {
        rows: vec![1, 1],
        cells: 1,
        hash_bits: 64,
    };
    for keys in [vec![(0, 1), (0, 2)], vec![(1, 1)], vec![(0, 1 << 64)]] {
        let ended = crate::world::World::new(2, 1).run(async |session| {
            let needs = distinct::price::<u64>(&shape, Seats::of(session)).needs;
            let mut stock = crate::ideal::stocks(2, &needs, 1).swap_remove(0);
            let input = DistinctInput { keys: keys.clone() };
            let counts = distinct::distinct::<u64>(session, input, &shape, &mut stock).await;
            counts.map(|_| ())
        });
        for ended in ended {
            assert!(matches!(
                ended.outcome,
                Err(ProtocolError::InvalidInput { .. })
            ));
            assert_eq!(ended.traffic.rounds, 0);
        }
    }
}
