//! Points by the parts of a model, against sums over the rows in common.

use super::people;
use crate::arith::Shared;
use crate::chi_square;
use crate::demands::{self, Case, below};
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::psi::circuit::Rows;
use protocols::session::Session;
use protocols::train::score::{self, Shape};
use protocols::wire::Kind;
use std::cell::RefCell;

/// Tables of people numbered from 0; each leaves one in five out. The hub is the last seat.
#[derive(Debug)]
struct Points {
    shape: Shape,
    n_people: usize,
    found: RefCell<Vec<(Seat, Option<Vec<u64>>)>>,
}

fn points(n_computing: usize, n_people: usize) -> Points {
    Points {
        shape: Shape {
            tables: people::tables(n_computing, n_people),
        },
        n_people,
        found: RefCell::new(Vec::new()),
    }
}

impl Points {
    /// What the table at a place gives for each person; also less than nothing.
    fn given(&self, secrets: u64, place: usize) -> Vec<u64> {
        let given = below(secrets, 1 + place as u64, 1 << 30, self.n_people).into_iter();
        given.map(|v| v.wrapping_sub(1 << 29)).collect()
    }

    fn check(&self, secrets: u64) {
        let sums = people::of(0, self.n_people).into_iter().map(|p| {
            let spokes = (1..self.shape.tables.len()).filter(|place| people::has(*place, p));
            let given = spokes.map(|place| self.given(secrets, place)[p]);
            given.fold(0, u64::wrapping_add)
        });
        let sums: Vec<u64> = sums.collect();
        for (seat, found) in self.found.take() {
            let is_hub = seat == self.shape.tables[0].0;
            assert_eq!(found, is_hub.then(|| sums.clone()), "{seat:?}");
        }
    }
}

impl Case for Points {
    type R = u64;

    fn price(&self, seats: Seats) -> Price {
        let released = Price::of_cost(score::release_cost(seats, &self.shape));
        score::price(seats, &self.shape).then(&released)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let seat = session.seat();
        let place = people::place_of(&self.shape.tables, seat);
        let rows = place.map(|place| {
            let mine = people::of(place, self.n_people);
            let given = self.given(secrets, place);
            let column = mine.iter().map(|p| given[*p]).collect();
            Rows {
                keys: people::keys(&mine),
                narrow: if place > 0 { vec![column] } else { vec![] },
                wide: vec![],
            }
        });
        let disclosure = Disclosure::approved(self.shape.terms());
        let found = score::score(session, rows, &self.shape, stock, disclosure).await?;
        self.found.borrow_mut().push((seat, found));
        Ok(Shared::default())
    }
}

#[test]
fn points_are_the_sums_of_those_who_have_the_key() {
    for n_computing in [2, 3, 5] {
        let case = points(n_computing, 200);
        demands::found(&case, n_computing, 3);
        case.check(3);
    }
}

#[test]
fn points_are_held_to_all_demands() {
    for n_computing in [2, 3] {
        let case = points(n_computing, 30);
        demands::check_one_sided_price(&case, n_computing);
        demands::check_outline(&case, n_computing);
    }
    demands::check_empty_stock(&points(2, 30));
    demands::check_cuts(&points(2, 10));
    demands::check_cuts(&points(3, 10));
    for (n_computing, has_dealer) in demands::SOURCES {
        let case = points(n_computing, 60);
        demands::found_from(&case, n_computing, has_dealer);
        case.check(23);
    }
}

/// The same people in the same order at every holder still make messages that look uniform.
#[test]
fn points_send_what_looks_uniform() {
    let case = points(3, 3000);
    let transcripts = demands::recorded(&case, 3, (31, 31));
    let kinds = [Kind::Store, Kind::Hints, Kind::Transfer];
    chi_square::check_received(&transcripts, &kinds, chi_square::whole);
}
