//! In how many rows of a join each of the hub's own rows stands.

use super::{Join, combined, inputs, item, relation, table, term};
use crate::arith::{Clear, Shared};
use crate::chi_square;
use crate::demands::{self, Case, below};
use crate::world::World;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::join::weights::{self, HubRows, WeightInputs, WeightShape};
use protocols::join::{Factor, Shape};
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::wire::Kind;
use std::collections::BTreeMap;

/// The hub's rows are of its keys, some of several and some of none.
#[derive(Debug)]
struct Weights(WeightShape);

impl Weights {
    fn rows(&self, secrets: u64) -> Vec<Option<u32>> {
        let n_keys = self.0.join.relations[0].holders[0].n_rows as u64;
        let n_rows = self.0.n_rows - self.0.n_rows / 5;
        let drawn = below(secrets, 77, n_keys + 1, n_rows);
        drawn
            .into_iter()
            .map(|key| (key < n_keys).then_some(key as u32))
            .collect()
    }

    fn inputs(&self, seat: Seat, secrets: u64) -> Option<WeightInputs> {
        let shape = &self.0.join;
        let hub = &shape.relations[0];
        if seat != hub.holders[0].seat {
            return inputs(shape, seat, secrets).map(WeightInputs::Spoke);
        }
        let keys = table(shape, hub, &hub.holders[0], secrets).keys;
        Some(WeightInputs::Hub(HubRows {
            keys: keys.into_iter().map(item).collect(),
            rows: self.rows(secrets),
        }))
    }
}

impl Case for Weights {
    type R = u64;

    /// What the aggregate would be if the hub had a row's key alone.
    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let shape = &self.0.join;
        let join = Join::<u64>::new(shape);
        let relations = shape.relations.iter();
        let mut tables: Vec<_> = relations.map(|r| combined(shape, r, secrets)).collect();
        let all = std::mem::take(&mut tables[0]);
        let hub = &shape.relations[0];
        let keys = table(shape, hub, &hub.holders[0], secrets).keys;
        let rows = self.rows(secrets);
        let mut columns = Vec::new();
        for terms in &shape.narrow {
            for cell in 0..shape.n_cells() {
                let weight = |key: &Option<u32>| {
                    let key = keys[(*key)? as usize];
                    let own = BTreeMap::from([(key, all[&key].clone())]);
                    let with_own = [vec![own], tables[1..].to_vec()].concat();
                    Some(join.cell(&with_own, terms, cell))
                };
                let mut column: Vec<u64> = rows.iter().map(|r| weight(r).unwrap_or(0)).collect();
                column.resize(self.0.n_rows, 0);
                columns.push(column);
            }
        }
        Clear::of_ring(columns)
    }

    fn price(&self, seats: Seats) -> Price {
        weights::price(seats, &self.0)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let inputs = self.inputs(session.seat(), secrets);
        let ring = weights::weights(session, &self.0, inputs, stock).await?;
        Ok(Shared { ring, bits: vec![] })
    }
}

const HUB: Factor = Factor::Matched { cell: 0 };

/// Rows of a table, and those without a match, by two groups of the other one.
fn of_two(n_keys: usize, n_spoke: usize, n_rows: usize) -> WeightShape {
    let absent = [Factor::One { cell: 1 }, Factor::Matched { cell: 1 }];
    WeightShape {
        join: Shape {
            relations: vec![
                relation(&[(1, n_keys)], 1, [0, 0, 0]),
                relation(&[(0, n_spoke)], 2, [0, 1, 0]),
            ],
            narrow: vec![vec![
                term(1, &[HUB, Factor::Narrow(0)]),
                term(2, &[HUB, absent[0]]),
                term(-2, &[HUB, absent[1]]),
            ]],
            wide: Vec::new(),
            bounds: None,
            compared: Vec::new(),
        },
        n_rows,
    }
}

/// Products of two tables' rows, one of them of two holders, and a flag.
fn of_three(n_keys: usize, n_rows: usize) -> WeightShape {
    WeightShape {
        join: Shape {
            relations: vec![
                relation(&[(0, n_keys)], 1, [0, 0, 0]),
                relation(&[(1, 9), (3, 7)], 1, [1, 1, 0]),
                relation(&[(2, 12)], 2, [0, 1, 0]),
            ],
            narrow: vec![
                vec![term(1, &[HUB, Factor::Narrow(0), Factor::Narrow(0)])],
                vec![term(
                    3,
                    &[HUB, Factor::Flag(0), Factor::Matched { cell: 1 }],
                )],
            ],
            wide: Vec::new(),
            bounds: None,
            compared: Vec::new(),
        },
        n_rows,
    }
}

#[test]
fn weights_meet_every_demand() {
    for n_computing in [2, 3, 5] {
        demands::check_one_sided_price(&Weights(of_two(6, 5, 9)), n_computing);
    }
    let case = Weights(of_two(4, 3, 6));
    demands::check_course(&case);
}

#[test]
fn rows_count_as_often_as_their_keys_are_met() {
    for (n_keys, n_spoke, n_rows) in [(1, 1, 1), (5, 0, 7), (0, 4, 5), (40, 60, 90), (60, 20, 30)] {
        for secrets in [1, 2, 1001] {
            let case = Weights(of_two(n_keys, n_spoke, n_rows));
            [2, 3]
                .iter()
                .for_each(|n| demands::check_result(&case, *n, secrets));
        }
    }
    for n_computing in [4, 5] {
        demands::check_result(&Weights(of_three(10, 25)), n_computing, 3);
    }
}

/// Keys and numbers that are far from random still make messages that look uniform: those of the join, of arrangements
/// and of the copying pass. What the hub tells of its orders has a test of its own.
#[test]
fn messages_of_weights_look_uniform() {
    let case = Weights(of_two(900, 900, 2048));
    for secrets in [53, 1053] {
        let transcripts = demands::recorded(&case, 2, (secrets, secrets));
        let kinds = [Kind::Masked, Kind::MaskedLanes, Kind::Store];
        let long = |_, body: &[u8]| match body.len() > 12_000 {
            true => body.to_vec(),
            false => Vec::new(),
        };
        chi_square::check_received(&transcripts, &kinds, long);
    }
}

#[test]
fn what_is_no_weight_is_refused_before_anything_is_sent() {
    let fits = of_two(3, 2, 4);
    let (mut column, mut many, mut other) = (fits.clone(), fits.clone(), fits.clone());
    column.join.relations[0].narrow = 1;
    many.n_rows = 1 << 25;
    other.join.narrow[0][0].factors[0] = Factor::One { cell: 0 };
    for shape in [column, many, other] {
        let ended = World::new(2, 1).run(async |session| {
            let needs = weights::price(Seats::of(session), &fits).needs;
            let mut stock = crate::ideal::stocks(2, &needs, 1).swap_remove(0);
            let inputs = Weights(fits.clone()).inputs(session.seat(), 1);
            let found = weights::weights(session, &shape, inputs, &mut stock).await;
            found.map(|_| ())
        });
        for ended in ended {
            let refused = matches!(ended.outcome, Err(ProtocolError::InvalidInput { .. }));
            assert!(refused, "{shape:?}");
            assert_eq!(ended.traffic.messages_sent, [0, 0]);
        }
    }
}
