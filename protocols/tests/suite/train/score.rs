//! Points by the parts of a model, against sums over the rows in common; and what costs a row the most.

mod forest;

use super::people;
use crate::arith::Shared;
use crate::chi_square;
use crate::demands::{self, Case, below};
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::psi::circuit::Rows;
use protocols::session::Session;
use protocols::train::score::reasons::Reasons;
use protocols::train::score::{self, Scored, Shape};
use protocols::wire::Kind;
use std::cell::RefCell;
use std::fmt::Debug;

/// Tables of people numbered from 0; each leaves one in five out. The hub is the last seat.
#[derive(Debug)]
struct Points {
    shape: Shape,
    n_people: usize,
    found: RefCell<Vec<(Seat, Option<Scored>)>>,
}

fn points(n_computing: usize, n_people: usize) -> Points {
    Points {
        shape: Shape {
            tables: people::tables(n_computing, n_people),
            reasons: None,
        },
        n_people,
        found: RefCell::new(Vec::new()),
    }
}

/// The same with the two features of four, or of five, that cost the most.
fn with_reasons(n_computing: usize, n_people: usize) -> Points {
    let mut case = points(n_computing, n_people);
    let n_tables = case.shape.tables.len();
    case.shape.reasons = Some(Reasons {
        features: vec![1, 3, 1][..n_tables].to_vec(),
        n_reasons: 2,
        method: Method::Masked,
    });
    case
}

impl Points {
    fn n_features_of(&self, place: usize) -> usize {
        let reasons = self.shape.reasons.as_ref();
        reasons.map_or(0, |reasons| reasons.features[place])
    }

    /// What a feature of the table at a place costs each person: often nothing, and often as much as another.
    fn cost(&self, secrets: u64, (place, feature): (usize, usize)) -> Vec<u64> {
        let stream = (100 + 10 * place + feature) as u64;
        let costs = below(secrets, stream, 4, self.n_people).into_iter();
        costs.map(|v| v << 40).collect()
    }

    /// The features that cost a person the most, numbered from 1.
    fn reasons(&self, secrets: u64, person: usize) -> Vec<u64> {
        let tables = 0..self.shape.tables.len();
        let features = tables.flat_map(|p| (0..self.n_features_of(p)).map(move |f| (p, f)));
        let costs = features.map(|(place, feature)| match people::has(place, person) {
            true => self.cost(secrets, (place, feature))[person],
            false => 0,
        });
        let mut costs: Vec<(u64, u64)> = (1..).zip(costs).collect();
        costs.sort_by_key(|(feature, cost)| (std::cmp::Reverse(*cost), *feature));
        let n_reasons = self.shape.reasons.as_ref().map_or(0, |r| r.n_reasons);
        let told = costs.iter();
        let told = told.map(|(feature, cost)| if *cost > 0 { *feature } else { 0 });
        // There may be more reasons than features.
        told.chain(std::iter::repeat(0)).take(n_reasons).collect()
    }

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
        let points: Vec<u64> = sums.collect();
        let people = people::of(0, self.n_people).into_iter();
        let of_rows: Vec<Vec<u64>> = people.map(|p| self.reasons(secrets, p)).collect();
        let n_reasons = self.shape.reasons.as_ref().map_or(0, |r| r.n_reasons);
        let reasons = (0..n_reasons).map(|k| of_rows.iter().map(|row| row[k]).collect());
        let scored = Scored {
            points,
            reasons: reasons.collect(),
        };
        check_hub(self.found.take(), self.shape.tables[0].0, &scored);
    }
}

/// The hub alone learns this.
fn check_hub<T: Clone + Debug + PartialEq>(found: Vec<(Seat, Option<T>)>, hub: Seat, expected: &T) {
    for (seat, found) in found {
        assert_eq!(found, (seat == hub).then(|| expected.clone()), "{seat:?}");
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
            let given = (place > 0).then(|| self.given(secrets, place));
            let features = 0..self.n_features_of(place);
            let costs = features.map(|feature| self.cost(secrets, (place, feature)));
            let columns = given.into_iter().chain(costs);
            let of_mine = |column: Vec<u64>| mine.iter().map(|p| column[*p]).collect();
            Rows {
                keys: people::keys(&mine),
                narrow: columns.map(of_mine).collect(),
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

fn check_held(make: fn(usize, usize) -> Points) {
    for n_computing in [2, 3] {
        let case = make(n_computing, 30);
        demands::check_one_sided_price(&case, n_computing);
        demands::check_outline(&case, n_computing);
    }
    demands::check_empty_stock(&make(2, 30));
    demands::check_cuts(&make(3, 10));
    for (n_computing, has_dealer) in demands::SOURCES {
        let case = make(n_computing, 60);
        demands::found_from(&case, n_computing, has_dealer);
        case.check(23);
    }
}

#[test]
fn points_are_held_to_all_demands() {
    check_held(points);
    demands::check_cuts(&points(2, 10));
}

#[test]
fn reasons_are_the_features_that_cost_the_most() {
    for n_computing in [2, 3, 5] {
        let case = with_reasons(n_computing, 200);
        demands::found(&case, n_computing, 3);
        case.check(3);
    }
    // More reasons than features.
    let mut case = with_reasons(2, 60);
    let of = case.shape.reasons.as_mut().expect("reasons");
    (of.features, of.n_reasons) = (vec![1, 0], 3);
    demands::found(&case, 2, 4);
    case.check(4);
}

#[test]
fn reasons_are_held_to_all_demands() {
    check_held(with_reasons);
}

#[test]
fn a_scoring_with_too_many_reasons_is_none() {
    let mut case = with_reasons(2, 10);
    case.shape.reasons.as_mut().expect("reasons").n_reasons = 9;
    check_refused(&case);
}

/// Every seat refuses before it sends.
fn check_refused<C: Case>(case: &C) {
    let inputs = case.inputs(15);
    let needs = protocols::correlate::Needs::default();
    let world = crate::world::World::new(2, 15);
    let ended = crate::arith::run(world, &inputs, &needs, async |session, inputs, stock| {
        case.call(session, 15, inputs, stock).await
    });
    for ended in ended {
        let is_refused = matches!(ended.outcome, Err(ProtocolError::InvalidInput { .. }));
        assert!(is_refused && ended.traffic.messages_sent.iter().all(|n| *n == 0));
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
