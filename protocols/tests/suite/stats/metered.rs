//! Metered releases: contributions are the Shapley values of the game that coalitions of holders play.

use super::{at_receiver, check_not_approved, receivers, released};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case, below};
use engine::shapley::numerators;
use protocols::aggregate::{
    CellRule, Check, LocalTotals, Metered, MeteredShape, ReleaseShape, metered_release,
};
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::oracle;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::session::Session;

#[derive(Debug)]
struct Meter {
    cells: usize,
    /// The seats after so many hold no data.
    n_holders: usize,
    checks: bool,
    leave_one_out: bool,
    /// Whether the second holder has the rows of the first, again.
    is_doubled: bool,
}

/// A game of which nothing but contributions is told.
const PLAIN: Meter = Meter {
    cells: 9,
    n_holders: 5,
    checks: true,
    leave_one_out: false,
    is_doubled: false,
};

impl Meter {
    fn shape(&self, n_computing: usize) -> MeteredShape {
        let check = Check {
            column: 0,
            at_least: 9,
            bound_bits: 6,
        };
        let holders = Seat::first(n_computing.min(self.n_holders));
        MeteredShape {
            release: ReleaseShape {
                cells: self.cells,
                narrow: 2,
                compared: 0,
                wide: 1,
                checks: self.checks.then_some(check).into_iter().collect(),
                receivers: receivers(n_computing),
                mode: match self.checks {
                    false => CellRule::None,
                    true => CellRule::Compare,
                },
            },
            holders: holders.collect(),
            column: 0,
            at_least: 9,
            bound_bits: 6,
            leave_one_out: self.leave_one_out,
        }
    }

    fn input(&self, secrets: u64, seat: usize) -> LocalTotals {
        let seat = if self.is_doubled && seat == 1 {
            0
        } else {
            seat
        };
        let seed = 16 * secrets + seat as u64;
        let column = |stream| match seat < self.n_holders {
            true => below(seed, stream, 10, self.cells),
            false => vec![0; self.cells],
        };
        LocalTotals {
            narrow: vec![column(1), column(2)],
            wide: vec![column(3).into_iter().map(u128::from).collect()],
        }
    }

    /// What every coalition is worth, by adding up its rows.
    fn worths(&self, inputs: &[LocalTotals], shape: &MeteredShape) -> Vec<i64> {
        let worth = |coalition: usize| {
            let counts = (0..self.cells).filter(|cell| {
                let members = shape.holders.iter().enumerate();
                let members = members.filter(|(player, _)| coalition >> player & 1 == 1);
                let count: u64 = members
                    .map(|(_, seat)| inputs[seat.index()].narrow[0][*cell])
                    .sum();
                count >= shape.at_least
            });
            counts.count() as i64
        };
        (0..1 << shape.holders.len()).map(worth).collect()
    }

    /// Contributions, and what would be missing without each holder.
    fn told(&self, inputs: &[LocalTotals], shape: &MeteredShape) -> [Vec<u64>; 2] {
        let worths = self.worths(inputs, shape);
        let everybody = worths.len() - 1;
        let players = 0..shape.holders.len();
        let missing = players.map(|i| worths[everybody] - worths[everybody & !(1 << i)]);
        let missing = missing.filter(|_| self.leave_one_out).collect();
        [numerators(&worths), missing].map(|values| {
            let values = values.into_iter();
            let values = values.map(|v| u64::try_from(v).expect("more rows release no fewer"));
            values.collect()
        })
    }
}

fn clear(found: &Metered) -> Option<Clear<u128>> {
    let cells = found.released.as_ref()?;
    let ok = cells.ok.iter().map(|ok| u128::from(*ok)).collect();
    let narrow = cells
        .narrow
        .iter()
        .map(|c| c.iter().map(|v| u128::from(*v)).collect());
    let told = found.contributions.iter().chain(&found.left_out);
    let told: Vec<u128> = told.map(|v| u128::from(*v)).collect();
    let all = [ok, told]
        .into_iter()
        .chain(narrow)
        .chain(cells.wide.iter().cloned());
    let n = cells.ok.len().max(2 * found.contributions.len());
    Some(released(all.map(|mut column: Vec<u128>| {
        column.resize(n, 0);
        column
    })))
}

impl Case for Meter {
    type R = u128;

    fn expected(&self, n_computing: usize, secrets: u64) -> Clear<u128> {
        let inputs: Vec<_> = (0..n_computing)
            .map(|seat| self.input(secrets, seat))
            .collect();
        let shape = self.shape(n_computing);
        let [contributions, left_out] = self.told(&inputs, &shape);
        let found = Metered {
            released: Some(oracle::release(&inputs, &shape.release)),
            contributions,
            left_out,
        };
        clear(&found).expect("released")
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
        let input = self.input(secrets, session.seat().index());
        let disclosure = Disclosure::approved(shape.terms());
        let stock = std::mem::replace(stock, Stock::empty());
        let found = metered_release(session, input, &shape, stock, disclosure).await?;
        assert_eq!(
            found.contributions.len(),
            shape.holders.len(),
            "everybody is told"
        );
        at_receiver(session, clear(&found), 5)
    }
}

#[test]
fn shapley_contributions_are_those_of_all_coalitions() {
    for (checks, leave_one_out) in [(false, false), (true, false), (true, true)] {
        demands::check_all(&Meter {
            checks,
            leave_one_out,
            ..PLAIN
        });
    }
    let case = Meter {
        cells: 20,
        n_holders: 2,
        ..PLAIN
    };
    demands::check_result(&case, 4, 3);
    demands::check_price(&case, 4);
    demands::check_sources(&case);
}

#[test]
fn messages_of_metered_releases_look_uniform() {
    for leave_one_out in [false, true] {
        let case = Meter {
            cells: 64,
            n_holders: 2,
            leave_one_out,
            ..PLAIN
        };
        demands::check_uniform_lanes(&case, 40, &[]);
    }
}

/// Of two holders with the same rows each is worth something, and without either of them nothing is missing where the other's rows are
/// enough: that is how a party that brings what is there already is found.
#[test]
fn a_doubled_holder_is_found_by_leaving_it_out() {
    let case = Meter {
        cells: 40,
        n_holders: 3,
        leave_one_out: true,
        is_doubled: true,
        ..PLAIN
    };
    let secrets = 5;
    demands::check_result(&case, 3, secrets);
    let inputs: Vec<_> = (0..3).map(|seat| case.input(secrets, seat)).collect();
    let shape = MeteredShape {
        at_least: 5,
        ..case.shape(3)
    };
    let [contributions, left_out] = case.told(&inputs, &shape);
    assert_eq!(contributions[0], contributions[1]);
    assert_eq!(left_out[0], left_out[1]);
    // Left out of six orders: a group each is six.
    assert!(
        contributions[0] > 6 * left_out[0],
        "{contributions:?} {left_out:?}"
    );
}

/// Whatever is not as it was approved is refused: another game tells something else.
#[test]
fn games_that_were_not_approved_are_refused_before_anything_is_sent() {
    let case = Meter {
        cells: 4,
        n_holders: 2,
        ..PLAIN
    };
    let approved = case.shape(2);
    let edits: [(&str, fn(&mut MeteredShape)); 5] = [
        ("fewer holders", |s| s.holders.truncate(1)),
        ("another count", |s| s.column = 1),
        ("another minimum", |s| s.at_least = 1),
        ("another bound", |s| s.bound_bits = 7),
        ("what is missing without each", |s| s.leave_one_out = true),
    ];
    for (what, edit) in edits {
        let mut shape = approved.clone();
        edit(&mut shape);
        check_not_approved(what, async |session| {
            let input = case.input(1, session.seat().index());
            let disclosure = Disclosure::approved(approved.terms());
            metered_release(session, input, &shape, Stock::empty(), disclosure).await
        });
    }
}
