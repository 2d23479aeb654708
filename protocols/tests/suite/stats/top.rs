//! ORDER BY a hidden total, LIMIT k.

use super::{at_receiver, receivers, released};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use protocols::aggregate::{Check, LocalTotals};
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::stats::top::{self, Column, Top, TopShape};

#[derive(Debug)]
struct Limit {
    cells: usize,
    k: usize,
    order_by: Column,
    descending: bool,
    n_checks: usize,
    method: Method,
}

impl Limit {
    fn shape(&self, n_computing: usize) -> TopShape {
        let check = |i| Check {
            column: 0,
            at_least: 9 - i as u64,
            bound_bits: 6 + i as u32,
        };
        TopShape {
            cells: self.cells,
            narrow: 2,
            wide: 1,
            order_by: self.order_by,
            bound_bits: 9,
            descending: self.descending,
            k: self.k,
            checks: (0..self.n_checks).map(check).collect(),
            receivers: receivers(n_computing),
            method: self.method,
        }
    }

    /// A count, a small signed total, and a wide signed total. Many are equal.
    fn input(&self, secrets: u64, seat: usize) -> LocalTotals {
        let seed = 16 * secrets + seat as u64;
        let signed = |stream| -> Vec<i64> {
            let values = below(seed, stream, 9, self.cells).into_iter();
            values.map(|v| v as i64 - 4).collect()
        };
        LocalTotals {
            narrow: vec![
                below(seed, 1, 9, self.cells),
                signed(2).into_iter().map(i64::cast_unsigned).collect(),
            ],
            wide: vec![
                signed(3)
                    .into_iter()
                    .map(|v| i128::from(v).cast_unsigned())
                    .collect(),
            ],
        }
    }
}

fn clear(top: &Top) -> Clear<u128> {
    let cells = top.cells.iter().map(|c| *c as u128).collect();
    let narrow = top
        .narrow
        .iter()
        .map(|c| c.iter().map(|v| u128::from(*v)).collect());
    let all = std::iter::once(cells)
        .chain(narrow)
        .chain(top.wide.iter().cloned());
    released(all)
}

impl Case for Limit {
    type R = u128;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<u128> {
        let inputs: Vec<_> = (0..n_computing)
            .map(|seat| self.input(secrets, seat))
            .collect();
        clear(&top::oracle(&inputs, &self.shape(n_computing)))
    }

    fn price(&self, seats: Seats) -> Price {
        top::price(&self.shape(seats.n_computing), seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u128>,
        stock: &mut Stock,
    ) -> Result<Shared<u128>, ProtocolError> {
        let shape = self.shape(session.n_computing());
        let input = self.input(secrets, session.seat().index());
        let disclosure = Disclosure::approved(shape.terms());
        let found = top::top(session, input, &shape, stock, disclosure).await?;
        at_receiver(session, found.as_ref().map(clear), 4)
    }
}

/// The first k cells by a sum, from the greatest on.
fn by_sum((cells, k): (usize, usize), method: Method) -> Limit {
    Limit {
        cells,
        k,
        order_by: Column::Narrow(1),
        descending: true,
        n_checks: 1,
        method,
    }
}

#[test]
fn the_first_cells_are_those_of_all_totals() {
    for method in [Method::Masked, Method::Summed] {
        let case = by_sum((6, 3), method);
        for n_computing in [2, 3, 5] {
            demands::check_result(&case, n_computing, 3);
            demands::check_price(&case, n_computing);
        }
        demands::check_outline(&case, 3);
        demands::check_empty_stock(&case);
        demands::check_cuts(&Limit { cells: 3, ..case });
    }
}

#[test]
fn limits_run_from_every_source() {
    for method in [Method::Masked, Method::Summed] {
        demands::check_sources(&by_sum((9, 5), method));
    }
}

#[test]
fn tables_and_limits_of_any_size() {
    for (cells, k) in [(0, 3), (1, 1), (1, 0), (2, 1), (7, 100), (33, 10), (65, 64)] {
        for (order_by, n_checks) in [
            (Column::Narrow(0), 0),
            (Column::Wide(0), 2),
            (Column::Narrow(1), 1),
        ] {
            for descending in [false, true] {
                let case = Limit {
                    cells,
                    k,
                    order_by,
                    descending,
                    n_checks,
                    method: Method::Masked,
                };
                demands::check_result(&case, 2, cells as u64);
                demands::check_price(&case, 2);
            }
        }
    }
}

/// Marks and indices of the first k cells are converted as vectors of k bits.
#[test]
fn messages_of_limits_look_uniform() {
    for method in [Method::Masked, Method::Summed] {
        let case = by_sum((64, 5), method);
        demands::check_uniform_lanes(&case, 40, &[case.k]);
    }
}
