//! GROUP BY on a column whose values are not public.

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
use protocols::stats::group::{self, GroupRows, GroupShape, Groups};

#[derive(Debug)]
struct Grouping {
    rows: [usize; 5],
    n_keys: u64,
    n_checks: usize,
    columns: (usize, usize),
    method: Method,
}

impl Grouping {
    fn shape(&self, n_computing: usize) -> GroupShape {
        let check = |column| Check {
            column,
            at_least: 11,
            bound_bits: 6,
        };
        GroupShape {
            rows: self.rows[..n_computing].to_vec(),
            hash_bits: 70,
            key_words: 1,
            narrow: self.columns.0,
            wide: self.columns.1,
            checks: (0..self.n_checks).map(check).collect(),
            receivers: receivers(n_computing),
            method: self.method,
        }
    }

    /// Each holder has some of the same few keys, in any order. The hash 0 occurs.
    fn input(&self, secrets: u64, seat: usize) -> GroupRows {
        let seed = 16 * secrets + seat as u64;
        let mut numbers: Vec<u64> = (0..self.n_keys).collect();
        let places = below(seed, 1, self.n_keys, self.n_keys as usize);
        places
            .iter()
            .enumerate()
            .for_each(|(i, p)| numbers.swap(i, *p as usize));
        let n = below(seed, 2, self.rows[seat] as u64 + 1, 1)[0];
        numbers.truncate(n as usize);
        let n = numbers.len();
        let hash = |number: &u64| u128::from(number * 0x9e37_79b9) << 30;
        let wide = |stream| -> Vec<u128> {
            let values = below(seed, stream, u64::MAX, n).into_iter();
            values.map(|v| u128::from(v) << 60).collect()
        };
        GroupRows {
            hashes: numbers.iter().map(hash).collect(),
            keys: vec![numbers.iter().map(|n| u128::from(*n) << 80 | 7).collect()],
            narrow: (0..self.columns.0)
                .map(|c| below(seed, 10 + c as u64, 12, n))
                .collect(),
            wide: (0..self.columns.1).map(|c| wide(20 + c as u64)).collect(),
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

impl Case for Grouping {
    type R = u128;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<u128> {
        let inputs: Vec<_> = (0..n_computing)
            .map(|seat| self.input(secrets, seat))
            .collect();
        clear(&group::oracle(&inputs, &self.shape(n_computing)))
    }

    fn price(&self, seats: Seats) -> Price {
        group::price(&self.shape(seats.n_computing), seats)
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
        let found = group::groups(session, input, &shape, stock, disclosure).await?;
        at_receiver(
            session,
            found.as_ref().map(clear),
            1 + self.columns.0 + self.columns.1,
        )
    }
}

#[test]
fn groups_are_those_of_all_holders_without_the_small_ones() {
    for method in [Method::Masked, Method::Summed] {
        let case = Grouping {
            rows: [4, 3, 0, 5, 1],
            n_keys: 6,
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
    }
}

#[test]
fn groupings_run_from_every_source() {
    for method in [Method::Masked, Method::Summed] {
        let case = Grouping {
            rows: [64; 5],
            n_keys: 100,
            n_checks: 1,
            columns: (2, 1),
            method,
        };
        let rows = [7, 9, 0, 0, 0];
        demands::check_sources(&Grouping { rows, ..case });
    }
}

#[test]
fn groupings_of_any_size() {
    for (n_checks, columns) in [
        (0, (0, 0)),
        (0, (1, 0)),
        (1, (1, 0)),
        (2, (3, 2)),
        (0, (0, 2)),
    ] {
        for (rows, n_keys) in [
            ([0; 5], 1),
            ([1; 5], 1),
            ([7, 30, 1, 2, 0], 33),
            ([64; 5], 70),
        ] {
            let case = Grouping {
                rows,
                n_keys,
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
}

/// 64 rows in all.
#[test]
fn messages_of_groupings_look_uniform() {
    for method in [Method::Masked, Method::Summed] {
        let case = Grouping {
            rows: [16, 16, 32, 0, 0],
            n_keys: 33,
            n_checks: 1,
            columns: (1, 1),
            method,
        };
        demands::check_uniform_lanes(&case, 40, &[]);
    }
}
