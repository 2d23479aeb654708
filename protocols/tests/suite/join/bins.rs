//! Numbers of rows of a join, in the bins of the hub's table.

use super::{Join, Row, combined, inputs, of_three, random_shape, relation, term};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case};
use crate::world::World;
use engine::ring;
use engine::share::Share;
use protocols::arith::compare::Method;
use protocols::arith::mul;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::join::{Compared, Factor, Shape, bins};
use protocols::price::{Price, Seats};
use protocols::session::Session;
use std::collections::BTreeMap;

/// Of each output and cell, the sum over all bins and that of squares: numbers that are not a row's own would have others.
#[derive(Debug)]
struct Bins(Shape);

impl Bins {
    fn n_numbers(&self) -> usize {
        self.0.narrow.len() * self.0.n_cells() * bins::n_bins(&self.0)
    }
}

impl Case for Bins {
    type R = u64;

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let shape = &self.0;
        let join = Join::<u64>::new(shape);
        let relations = shape.relations.iter();
        let tables: Vec<_> = relations.map(|r| combined(shape, r, secrets)).collect();
        let mut sums = Vec::new();
        for terms in &shape.narrow {
            for cell in 0..shape.n_cells() {
                let of_key = |(key, row): (&u64, &Row)| {
                    let own = BTreeMap::from([(*key, row.clone())]);
                    join.cell(&[vec![own], tables[1..].to_vec()].concat(), terms, cell)
                };
                let each: Vec<u64> = tables[0].iter().map(of_key).collect();
                let squares: Vec<u64> = each.iter().map(|v| v.wrapping_mul(*v)).collect();
                sums.push(vec![ring::sum(&each), ring::sum(&squares)]);
            }
        }
        Clear::of_ring(sums)
    }

    fn price(&self, seats: Seats) -> Price {
        bins::price(seats, &self.0).then(&mul::price::<u64>(seats, self.n_numbers()))
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let inputs = inputs(&self.0, session.seat(), secrets);
        let numbers = bins::bins(session, &self.0, inputs, stock).await?;
        let all = Share::new(numbers.iter().flat_map(|n| n.as_slice()).copied().collect());
        let squares = mul::mul(session, &all, &all, stock).await?;
        let n_bins = bins::n_bins(&self.0);
        let both = numbers.iter().zip(squares.as_slice().chunks(n_bins));
        let sums = both.map(|(own, squares)| vec![ring::sum(own.as_slice()), ring::sum(squares)]);
        let ring = sums.map(Share::new).collect();
        Ok(Shared { ring, bits: vec![] })
    }
}

/// Rows of the hub in three groups, with a number of another table that is below one of its own, and 5 without a match.
fn of_two(n_hub: usize, n_spoke: usize) -> Shape {
    let mut below = term(3, &[Factor::Narrow(0), Factor::Narrow(0)]);
    below.below = vec![0];
    Shape {
        relations: vec![
            relation(&[(1, n_hub)], 3, [0, 2, 0]),
            relation(&[(0, n_spoke)], 1, [0, 1, 0]),
        ],
        narrow: vec![
            vec![term(1, &[Factor::Narrow(1), Factor::Matched { cell: 0 }])],
            vec![
                below,
                term(5, &[Factor::Narrow(1), Factor::One { cell: 0 }]),
                term(-5, &[Factor::Narrow(1), Factor::Matched { cell: 0 }]),
                term(2, &[Factor::Matched { cell: 1 }, Factor::Narrow(0)]),
            ],
        ],
        wide: Vec::new(),
        bounds: None,
        compared: vec![Compared {
            parts: vec![(0, 0, 1), (1, 0, -1)],
            constant: 2,
            bound_bits: 63,
            method: Method::Summed,
        }],
    }
}

#[test]
fn numbers_of_rows_meet_every_demand() {
    for n_computing in [2, 3, 5] {
        demands::check_one_sided_price(&Bins(of_two(6, 5)), n_computing);
    }
    let case = Bins(of_two(4, 3));
    demands::check_course(&case);
}

#[test]
fn numbers_of_rows_are_those_of_their_keys() {
    for (n_hub, n_spoke) in [(1, 1), (40, 60), (60, 20)] {
        for secrets in [1, 2, 1001] {
            demands::check_result(&Bins(of_two(n_hub, n_spoke)), 2, secrets);
        }
    }
    for seed in 0..12 {
        let mut shape = random_shape(4, seed);
        shape.wide.clear();
        shape.bounds = None;
        if bins::n_bins(&shape) > 0 {
            demands::check_result(&Bins(shape), 4, seed);
        }
    }
}

#[test]
fn outputs_over_the_large_ring_and_no_other_rows_are_refused_before_anything_is_sent() {
    let mut nobody = of_two(3, 0);
    nobody.compared.clear();
    nobody.narrow.truncate(1);
    for (shape, n_computing) in [(of_three(), 4), (nobody, 2)] {
        let ended = World::new(n_computing, 1).run(async |session| {
            let mut stock =
                crate::ideal::stocks(n_computing, &Default::default(), 1).swap_remove(0);
            let inputs = inputs(&shape, session.seat(), 1);
            let found = bins::bins(session, &shape, inputs, &mut stock).await;
            found.map(|_| ())
        });
        for ended in ended {
            let refused = matches!(ended.outcome, Err(ProtocolError::InvalidInput { .. }));
            assert!(refused, "{shape:?}");
            assert_eq!(ring::sum(&ended.traffic.messages_sent), 0);
        }
    }
}
