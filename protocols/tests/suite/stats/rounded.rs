//! Releases of rounded counts.

use super::{at_receiver, check_not_approved, receivers, released};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use protocols::aggregate::{
    CellRule, Check, LocalTotals, ReleaseShape, Released, RoundedShape, rounded_release,
};
use protocols::arith::compare::Method;
use protocols::arith::nearest::Rounding;
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::oracle;
use protocols::price::{Price, Seats};
use protocols::session::Session;

/// Two columns of counts that go up to a bound over all holders, of which the first ones are checked.
#[derive(Clone, Debug)]
struct Rounded {
    cells: usize,
    n_checks: usize,
    multiple: u64,
    bound_bits: u32,
    method: Method,
}

impl Rounded {
    const fn of(cells: usize, n_checks: usize, multiple: u64) -> Self {
        Self {
            cells,
            n_checks,
            multiple,
            bound_bits: 10,
            method: Method::Masked,
        }
    }

    fn shape(&self, n_computing: usize) -> RoundedShape {
        let check = |column| Check {
            column,
            at_least: 9,
            bound_bits: self.bound_bits,
        };
        RoundedShape {
            release: ReleaseShape {
                cells: self.cells,
                narrow: 2,
                compared: 0,
                wide: 0,
                checks: (0..self.n_checks).map(check).collect(),
                receivers: receivers(n_computing),
                mode: match self.n_checks {
                    0 => CellRule::None,
                    _ => CellRule::Compare,
                },
            },
            rounding: Rounding {
                multiple: self.multiple,
                bound_bits: self.bound_bits,
                method: self.method,
            },
        }
    }

    /// Small counts, and at the first seat the greatest that there can be besides.
    fn input(&self, secrets: u64, n_computing: usize, seat: usize) -> LocalTotals {
        let seed = 16 * secrets + seat as u64;
        let most = (1u64 << self.bound_bits) - 1;
        let small = 8.min(most / n_computing as u64) + 1;
        let column = |stream| {
            let mut counts = below(seed, stream, small, self.cells);
            // In every third cell the others have nothing.
            for (cell, count) in counts.iter_mut().enumerate().filter(|(c, _)| c % 3 == 2) {
                let large = below(secrets, 7 + cell as u64, 4, 1)[0];
                *count = if seat == 0 { most - large.min(most) } else { 0 };
            }
            counts
        };
        LocalTotals {
            narrow: vec![column(1), column(2)],
            wide: vec![],
        }
    }
}

fn clear(found: &Released) -> Clear<u128> {
    let n_cells = found.ok.len();
    let ok = found.ok.iter().map(|ok| u128::from(*ok)).collect();
    let counts = found.narrow.iter();
    let counts = counts.map(|c| c.iter().map(|v| u128::from(*v)).collect());
    released(
        std::iter::once(ok)
            .chain(counts)
            .map(|mut column: Vec<u128>| {
                column.resize(n_cells, 0);
                column
            }),
    )
}

impl Case for Rounded {
    type R = u128;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<u128> {
        let inputs = (0..n_computing).map(|seat| self.input(secrets, n_computing, seat));
        let inputs: Vec<LocalTotals> = inputs.collect();
        let mut exact = oracle::release(&inputs, &self.shape(n_computing).release);
        let m = u128::from(self.multiple);
        for count in exact.narrow.iter_mut().flatten() {
            *count = ((u128::from(*count) * 2 + m) / (2 * m) * m) as u64;
        }
        clear(&exact)
    }

    fn price(&self, seats: Seats) -> Price {
        self.shape(seats.n_computing).price(seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u128>,
        stock: &mut Stock,
    ) -> Result<Shared<u128>, ProtocolError> {
        let shape = self.shape(session.n_computing());
        let n_computing = session.n_computing();
        let input = self.input(secrets, n_computing, session.seat().index());
        let disclosure = Disclosure::approved(shape.terms());
        let stock = std::mem::replace(stock, Stock::empty());
        let found = rounded_release(session, input, &shape, stock, disclosure).await?;
        at_receiver(session, found.as_ref().map(clear), 3)
    }
}

#[test]
fn released_counts_are_rounded_to_the_nearest_multiple() {
    for n_checks in [0, 1, 2] {
        demands::check_all(&Rounded::of(9, n_checks, 5));
    }
    demands::check_sources(&Rounded::of(70, 1, 5));
    let summed = Rounded {
        method: Method::Summed,
        ..Rounded::of(70, 1, 6)
    };
    demands::check_sources(&summed);
}

/// Odd and even numbers, powers of two, one that exceeds all counts, and the largest counts that there can be.
#[test]
fn multiples_and_counts_of_any_size() {
    for multiple in [1, 2, 3, 5, 6, 7, 8, 10, 25, 100, 1000, 1023, 1024, 5000] {
        for method in [Method::Masked, Method::Summed] {
            for bound_bits in [1, 4, 33, 60] {
                let case = Rounded {
                    bound_bits,
                    method,
                    ..Rounded::of(40, 0, multiple)
                };
                demands::check_result(&case, 2, multiple);
            }
        }
    }
    let most = Rounded {
        bound_bits: 60,
        ..Rounded::of(40, 1, (1 << 60) - 1)
    };
    demands::check_result(&most, 3, 2);
}

#[test]
fn messages_of_rounded_releases_look_uniform() {
    demands::check_uniform_lanes(&Rounded::of(64, 1, 5), 40, &[]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let shape = |change: fn(&mut RoundedShape)| {
        let mut shape = Rounded::of(4, 1, 5).shape(2);
        change(&mut shape);
        shape.check(2).is_err()
    };
    assert!(!shape(|_| {}));
    assert!(shape(|s| s.rounding.multiple = 0));
    assert!(shape(|s| s.rounding.bound_bits = 61));
    assert!(shape(|s| s.release.wide = 1));
    assert!(shape(|s| s.release.mode = CellRule::OpenCounts));
}

#[test]
fn a_release_that_was_approved_otherwise_is_refused() {
    let case = Rounded::of(4, 1, 5);
    let approved = case.shape(2);
    let edits: [(&str, fn(&mut RoundedShape)); 3] = [
        ("another multiple", |s| s.rounding.multiple = 2),
        ("another bound", |s| s.rounding.bound_bits = 12),
        ("another minimum", |s| s.release.checks[0].at_least = 2),
    ];
    for (what, edit) in edits {
        let mut shape = approved.clone();
        edit(&mut shape);
        check_not_approved(what, async |session| {
            let input = case.input(1, 2, session.seat().index());
            let disclosure = Disclosure::approved(approved.terms());
            rounded_release(session, input, &shape, Stock::empty(), disclosure).await
        });
    }
}
