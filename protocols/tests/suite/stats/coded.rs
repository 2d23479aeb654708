//! GROUP BY on columns whose values their holders have numbered: totals that are shares already.

use super::{at_receiver, receivers, released};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use protocols::aggregate::Check;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::stats::group::Groups;
use protocols::stats::group::coded::{self, CodedShape, CodedTotals};

#[derive(Debug)]
struct Numbered {
    cells: usize,
    n_checks: usize,
    columns: (usize, usize),
    method: Method,
}

impl Numbered {
    fn shape(&self, n_computing: usize) -> CodedShape {
        let check = |column| Check {
            column,
            at_least: 11,
            bound_bits: 6,
        };
        CodedShape {
            cells: self.cells,
            key_words: 2,
            narrow: self.columns.0,
            wide: self.columns.1,
            checks: (0..self.n_checks).map(check).collect(),
            receivers: receivers(n_computing),
            method: self.method,
        }
    }

    /// Shares that are random, but for keys: a cell's first word is known to one seat, its second to another. Sums of checked
    /// columns are small.
    fn input(&self, secrets: u64, (seat, n_computing): (usize, usize)) -> CodedTotals {
        let seed = 16 * secrets + seat as u64;
        let own = |stream: u64, cell: usize| {
            let owner = below(secrets, 3 + stream, n_computing as u64, 1)[0] as usize;
            match owner == seat {
                true => (cell as u128 + 1) << (40 * stream + 5),
                false => 0,
            }
        };
        let words = |stream| (0..self.cells).map(|cell| own(stream, cell)).collect();
        let wide = |stream| -> Vec<u128> {
            let values = below(seed, stream, u64::MAX, self.cells).into_iter();
            values.map(|v| u128::from(v) << 60).collect()
        };
        CodedTotals {
            keys: (0..2).map(words).collect(),
            narrow: (0..self.columns.0)
                .map(|c| below(seed, 10 + c as u64, 12, self.cells))
                .collect(),
            wide: (0..self.columns.1).map(|c| wide(30 + c as u64)).collect(),
        }
    }
}

/// The released groups by key, as the columns of one [`Clear`].
fn clear(groups: &Groups) -> Clear<u128> {
    let mut order: Vec<usize> = (0..groups.keys[0].len()).collect();
    order.sort_by_key(|i| groups.keys[0][*i]);
    let sorted = |c: &Vec<u128>| -> Vec<u128> { order.iter().map(|i| c[*i]).collect() };
    let narrow: Vec<Vec<u128>> = groups
        .narrow
        .iter()
        .map(|c| c.iter().map(|v| u128::from(*v)).collect())
        .collect();
    let all = groups.keys.iter().chain(&narrow).chain(&groups.wide);
    released(all.map(sorted))
}

impl Case for Numbered {
    type R = u128;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<u128> {
        let inputs: Vec<_> = (0..n_computing)
            .map(|seat| self.input(secrets, (seat, n_computing)))
            .collect();
        clear(&coded::oracle(&inputs, &self.shape(n_computing)))
    }

    fn price(&self, seats: Seats) -> Price {
        coded::price(&self.shape(seats.n_computing), seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u128>,
        stock: &mut Stock,
    ) -> Result<Shared<u128>, ProtocolError> {
        let n_computing = session.n_computing();
        let shape = self.shape(n_computing);
        let input = self.input(secrets, (session.seat().index(), n_computing));
        let disclosure = Disclosure::approved(shape.terms());
        let found = coded::coded(session, input, &shape, stock, disclosure).await?;
        at_receiver(
            session,
            found.as_ref().map(clear),
            2 + self.columns.0 + self.columns.1,
        )
    }
}

#[test]
fn numbered_groups_come_with_their_keys_and_without_the_small_ones() {
    for method in [Method::Masked, Method::Summed] {
        let case = Numbered {
            cells: 9,
            n_checks: 1,
            columns: (2, 1),
            method,
        };
        for n_computing in [2, 3, 5] {
            demands::check_result(&case, n_computing, 3);
            demands::check_price(&case, n_computing);
        }
        demands::check_cuts(&case);
        demands::check_outline(&case, 3);
        demands::check_empty_stock(&case);
        demands::check_sources(&case);
    }
}

#[test]
fn numbered_groups_of_any_number_and_with_several_checks() {
    for (cells, n_checks, columns) in [
        (0, 1, (1, 0)),
        (1, 1, (1, 2)),
        (65, 2, (2, 0)),
        (130, 2, (4, 2)),
    ] {
        let case = Numbered {
            cells,
            n_checks,
            columns,
            method: Method::Masked,
        };
        for secrets in 0..2 {
            demands::check_result(&case, 2, secrets);
        }
        demands::check_result(&case, 3, 9);
        demands::check_price(&case, 2);
    }
}

/// A number that stands for nothing counts nothing: without a check it would be shown.
#[test]
fn a_release_without_a_minimum_is_none() {
    let case = Numbered {
        cells: 3,
        n_checks: 0,
        columns: (1, 0),
        method: Method::Masked,
    };
    assert!(case.shape(2).check().is_err());
    let mut shape = case.shape(2);
    shape.checks = vec![Check {
        column: 0,
        at_least: 1,
        bound_bits: 6,
    }];
    assert!(shape.check().is_ok());
    shape.receivers.clear();
    assert!(shape.check().is_err());
}

#[test]
fn messages_of_numbered_groups_look_uniform() {
    for method in [Method::Masked, Method::Summed] {
        let case = Numbered {
            cells: 64,
            n_checks: 1,
            columns: (1, 1),
            method,
        };
        demands::check_uniform_lanes(&case, 40, &[]);
    }
}
