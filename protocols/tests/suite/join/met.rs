//! How many keys of a join have a row that counts.

use super::{Join, Row, combined, inputs, relation, term};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case};
use crate::world::World;
use engine::ring;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::join::met::{self, MetShape};
use protocols::join::{Compared, Factor, Shape};
use protocols::price::{Price, Seats};
use protocols::session::Session;
use std::collections::BTreeMap;

#[derive(Debug)]
struct Met(MetShape);

impl Case for Met {
    type R = u64;

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let shape = &self.0.join;
        let join = Join::<u64>::new(shape);
        let relations = shape.relations.iter();
        let tables: Vec<_> = relations.map(|r| combined(shape, r, secrets)).collect();
        let counted = |terms: &[protocols::join::Term], cell: usize| {
            let of_key = |(key, row): (&u64, &Row)| {
                let own = BTreeMap::from([(*key, row.clone())]);
                let rows = join.cell(&[vec![own], tables[1..].to_vec()].concat(), terms, cell);
                assert!(rows >> self.0.rows_bits == 0, "{rows} rows");
                u64::from(rows > 0)
            };
            tables[0].iter().map(of_key).sum()
        };
        let cells = |terms| {
            (0..shape.n_cells())
                .map(|cell| counted(terms, cell))
                .collect()
        };
        Clear::of_ring(shape.narrow.iter().map(|terms| cells(terms)).collect())
    }

    fn price(&self, seats: Seats) -> Price {
        met::price(seats, &self.0)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let inputs = inputs(&self.0.join, session.seat(), secrets);
        let ring = met::met(session, &self.0, inputs, stock).await?;
        Ok(Shared { ring, bits: vec![] })
    }
}

/// Rows of the hub in three groups, and those of another table in two: up to 3 rows of a key count, some of them where a
/// comparison holds, and those without a match.
fn of_two(n_hub: usize, n_spoke: usize, method: Method) -> MetShape {
    let mut below = term(2, &[Factor::Flag(1), Factor::Flag(0)]);
    below.below = vec![0];
    let join = Shape {
        relations: vec![
            relation(&[(1, n_hub)], 3, [2, 1, 0]),
            relation(&[(0, n_spoke)], 2, [1, 1, 0]),
        ],
        narrow: vec![
            vec![term(1, &[Factor::Flag(0), Factor::Flag(0)]), below],
            vec![
                term(1, &[Factor::Flag(1), Factor::One { cell: 1 }]),
                term(-1, &[Factor::Flag(1), Factor::Matched { cell: 1 }]),
            ],
        ],
        wide: Vec::new(),
        bounds: None,
        compared: vec![Compared {
            parts: vec![(0, 0, 1), (1, 0, -1)],
            constant: 2,
            bound_bits: 63,
            method,
        }],
    };
    MetShape {
        join,
        rows_bits: 2,
        method,
    }
}

#[test]
fn keys_with_a_row_meet_every_demand() {
    for n_computing in [2, 3, 5] {
        demands::check_one_sided_price(&Met(of_two(6, 5, Method::Summed)), n_computing);
    }
    demands::check_course(&Met(of_two(4, 3, Method::Summed)));
    demands::check_course(&Met(of_two(4, 3, Method::Masked)));
}

#[test]
fn keys_with_a_row_are_counted_once() {
    for method in [Method::Summed, Method::Masked] {
        for (n_hub, n_spoke) in [(1, 1), (40, 60), (60, 20)] {
            for secrets in [1, 2, 1001] {
                demands::check_result(&Met(of_two(n_hub, n_spoke, method)), 2, secrets);
            }
        }
    }
}

#[test]
fn numbers_of_no_bits_are_refused_before_anything_is_sent() {
    for rows_bits in [0, 64] {
        let shape = MetShape {
            rows_bits,
            ..of_two(3, 3, Method::Summed)
        };
        let ended = World::new(2, 1).run(async |session| {
            let mut stock = crate::ideal::stocks(2, &Default::default(), 1).swap_remove(0);
            let inputs = inputs(&shape.join, session.seat(), 1);
            met::met(session, &shape, inputs, &mut stock)
                .await
                .map(|_| ())
        });
        for ended in ended {
            let refused = matches!(ended.outcome, Err(ProtocolError::InvalidInput { .. }));
            assert!(refused, "{rows_bits} bits");
            assert_eq!(ring::sum(&ended.traffic.messages_sent), 0);
        }
    }
}
