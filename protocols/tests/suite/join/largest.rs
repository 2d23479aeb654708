//! What single keys of a join add most to its totals.

use super::{Join, Row, combined, inputs, relation, term};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case};
use crate::world::World;
use engine::ring;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::join::largest::{self, Largest, LargestShape};
use protocols::join::{Factor, Shape};
use protocols::price::{Price, Seats};
use protocols::session::Session;
use std::collections::BTreeMap;

#[derive(Debug)]
struct Most(LargestShape);

impl Case for Most {
    type R = u64;

    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let shape = &self.0.join;
        let join = Join::<u64>::new(shape);
        let relations = shape.relations.iter();
        let tables: Vec<_> = relations.map(|r| combined(shape, r, secrets)).collect();
        let mut columns = Vec::new();
        for terms in &shape.narrow {
            let added = |cell: usize| {
                let of_key = |(key, row): (&u64, &Row)| {
                    let own = BTreeMap::from([(*key, row.clone())]);
                    let number: u64 =
                        join.cell(&[vec![own], tables[1..].to_vec()].concat(), terms, cell);
                    let magnitude = number.cast_signed().unsigned_abs();
                    assert!(self.0.signed || number == magnitude, "{number}");
                    assert!(magnitude >> self.0.bound_bits == 0, "{magnitude}");
                    magnitude
                };
                let mut added: Vec<u64> = tables[0].iter().map(of_key).collect();
                added.sort_unstable_by_key(|n| std::cmp::Reverse(*n));
                added
            };
            let cells: Vec<Vec<u64>> = (0..shape.n_cells()).map(added).collect();
            columns.push(cells.iter().map(|added| added.iter().sum()).collect());
            for rank in 0..self.0.n_largest {
                let at = |added: &Vec<u64>| added.get(rank).copied().unwrap_or(0);
                columns.push(cells.iter().map(at).collect());
            }
        }
        Clear::of_ring(columns)
    }

    fn price(&self, seats: Seats) -> Price {
        largest::price(seats, &self.0)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let inputs = inputs(&self.0.join, session.seat(), secrets);
        let found = largest::largest(session, &self.0, inputs, stock).await?;
        let columns = |of: Largest| std::iter::once(of.total).chain(of.largest);
        Ok(Shared {
            ring: found.into_iter().flat_map(columns).collect(),
            bits: vec![],
        })
    }
}

/// Numbers of the hub in three groups times rows of another table in two, and what is the hub's alone where the other has
/// the key; negative ones too if they may be.
fn of_two((n_hub, n_spoke): (usize, usize), n_largest: usize, signed: bool) -> LargestShape {
    let sign = if signed { -1 } else { 1 };
    LargestShape {
        join: Shape {
            relations: vec![
                relation(&[(1, n_hub)], 3, [2, 1, 0]),
                relation(&[(0, n_spoke)], 2, [1, 1, 0]),
            ],
            narrow: vec![
                vec![
                    term(2, &[Factor::Flag(0), Factor::Flag(0)]),
                    term(sign, &[Factor::Flag(1), Factor::Flag(0)]),
                    term(5 * sign, &[Factor::Flag(1), Factor::Matched { cell: 1 }]),
                ],
                vec![term(3, &[Factor::Flag(1), Factor::Matched { cell: 1 }])],
            ],
            wide: Vec::new(),
            bounds: None,
            compared: Vec::new(),
        },
        n_largest,
        bound_bits: 4,
        signed,
        method: Method::Summed,
    }
}

#[test]
fn the_largest_of_keys_meet_every_demand() {
    for n_computing in [2, 3, 5] {
        demands::check_one_sided_price(&Most(of_two((6, 5), 2, true)), n_computing);
    }
    for method in [Method::Summed, Method::Masked] {
        demands::check_course(&Most(LargestShape {
            method,
            ..of_two((4, 3), 2, false)
        }));
    }
}

#[test]
fn the_largest_of_any_number_of_keys() {
    for (sizes, n_largest, signed) in [
        ((1, 1), 1, true),
        ((1, 3), 4, false),
        ((40, 60), 2, true),
        ((60, 20), 3, false),
        ((33, 33), 4, true),
        ((17, 40), 1, false),
    ] {
        for method in [Method::Summed, Method::Masked] {
            for secrets in [1, 1001] {
                let shape = LargestShape {
                    method,
                    ..of_two(sizes, n_largest, signed)
                };
                demands::check_result(&Most(shape), 2, secrets);
            }
        }
    }
}

#[test]
fn the_largest_of_none_are_refused_before_anything_is_sent() {
    for (n_largest, bound_bits) in [(0, 4), (5, 4), (2, 0), (2, 64)] {
        let shape = LargestShape {
            bound_bits,
            ..of_two((3, 3), n_largest, false)
        };
        let ended = World::new(2, 1).run(async |session| {
            let mut stock = crate::ideal::stocks(2, &Default::default(), 1).swap_remove(0);
            let inputs = inputs(&shape.join, session.seat(), 1);
            let found = largest::largest(session, &shape, inputs, &mut stock).await;
            found.map(|_| ())
        });
        for ended in ended {
            let refused = matches!(ended.outcome, Err(ProtocolError::InvalidInput { .. }));
            assert!(refused, "{n_largest} below 2^{bound_bits}");
            assert_eq!(ring::sum(&ended.traffic.messages_sent), 0);
        }
    }
}
