//! A join's rows without empty bins, held to every demand.

use super::{Join, side};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case};
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::psi::circuit::{self, Keep};
use protocols::session::Session;

#[derive(Debug)]
struct Compact(Join);

impl Case for Compact {
    type R = u64;

    /// Each table's columns in the order of the hub's rows: with [`Keep::All`] 0 where a table has not the key.
    fn expected(&self, _: usize, secrets: u64) -> Clear<u64> {
        let found = self.0.found_by_all(secrets);
        let mut columns = Vec::new();
        for (at, side) in self.0.sides().enumerate() {
            for values in &self.0.rows(side, secrets).narrow {
                let of_row = |(row, found): (usize, &Option<Vec<usize>>)| {
                    let found = found.as_ref();
                    let own = found.map(|found| if at == 0 { row } else { found[at - 1] });
                    own.map_or(0, |own| values[own])
                };
                columns.push(found.iter().enumerate().map(of_row).collect());
            }
        }
        Clear::of_ring(columns)
    }

    fn price(&self, seats: Seats) -> Price {
        circuit::price(seats, &self.0.shape).then(&circuit::compact_price(seats, &self.0.shape))
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let rows = self.0.own_rows(session.seat(), secrets);
        let joined = circuit::join(session, &self.0.shape, rows, stock).await?;
        let tables = circuit::compact(session, joined, &self.0.shape, stock).await?;
        Ok(Shared {
            ring: tables.into_iter().flat_map(|table| table.narrow).collect(),
            bits: Vec::new(),
        })
    }
}

#[test]
fn rows_without_empty_bins_meet_all_demands() {
    let case = Compact(Join::new(side(1, 9, 2, 0), &[side(0, 12, 1, 0)], Keep::All));
    demands::check_all(&case);
}

#[test]
fn rows_of_several_holders_come_in_the_order_of_the_hub() {
    for (n_hub, n_spokes) in [(1, [1, 1]), (64, [70, 50]), (131, [60, 200])] {
        let spokes = [side(0, n_spokes[0], 1, 0), side(1, n_spokes[1], 2, 0)];
        let case = Compact(Join::new(side(2, n_hub, 1, 0), &spokes, Keep::All));
        for secrets in [5, 1005] {
            demands::check_result(&case, 3, secrets);
        }
        demands::check_price(&case, 3);
    }
}
