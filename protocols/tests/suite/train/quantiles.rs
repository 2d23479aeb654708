//! Quantiles of the rows in common against sorting these.

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
use protocols::psi::circuit::{Keep, Rows};
use protocols::session::Session;
use protocols::train::binned::{self, Quantiles, Shape};
use protocols::train::evaluate::Asks;
use protocols::train::glm::Family;
use protocols::train::vertical;
use protocols::wire::Kind;
use std::cell::RefCell;

/// Features of people numbered from 0, each in a table that leaves one in five out.
#[derive(Debug)]
struct Values {
    shape: Shape,
    n_people: usize,
    /// Fewer different values make more ties.
    n_values: u64,
    told: RefCell<Vec<(Seat, Vec<Quantiles>)>>,
}

fn values(n_computing: usize, n_people: usize) -> Values {
    let tables = people::tables(n_computing, n_people);
    Values {
        shape: Shape {
            of: vertical::Shape {
                features: vec![1, 0, tables.len() - 1, 0],
                tables,
                keep: Keep::All,
                label: 1,
                family: Family::Logistic,
                n_steps: 1,
                n_done: 0,
                descent: None,
                log_rows: 9,
                evaluates: false,
                of_train: None,
                has_oot: false,
                asks: Asks::default(),
                min_cell: 0,
                at_least: 3,
                l2: 0,
                is_metered: false,
                method: Method::Masked,
            },
            bins: vec![6, 2, 6, 6],
            min_count: 0,
            quantiled: vec![0, 2, 3],
            n_parts: 5,
            compares: false,
            tells_edges: false,
            tells_spreads: false,
        },
        n_people,
        n_values: 40,
        told: RefCell::new(Vec::new()),
    }
}

impl Values {
    /// The codes of a feature, some of them missing.
    fn codes(&self, feature: usize, secrets: u64) -> Vec<Option<u64>> {
        let codes = below(secrets, feature as u64, self.n_values, self.n_people);
        let missing = below(secrets, 10 + feature as u64, 7, self.n_people);
        let codes = codes.into_iter().zip(missing);
        codes.map(|(code, m)| (m > 0).then_some(code)).collect()
    }

    fn is_fitted(&self, secrets: u64) -> Vec<bool> {
        let marks = below(secrets, 20, 3, self.n_people);
        marks.into_iter().map(|mark| mark > 0).collect()
    }

    fn quantiled_of(&self, place: usize) -> impl Iterator<Item = usize> {
        let features = self.shape.quantiled.iter().copied();
        features.filter(move |feature| self.shape.of.features[*feature] == place)
    }

    fn rows(&self, secrets: u64, seat: Seat) -> Option<Rows> {
        let place = people::place_of(&self.shape.of.tables, seat)?;
        let mine = people::of(place, self.n_people);
        let mut narrow = Vec::new();
        for feature in self.quantiled_of(place) {
            let codes = self.codes(feature, secrets);
            narrow.push(mine.iter().map(|p| codes[*p].unwrap_or(0)).collect());
            narrow.push(
                mine.iter()
                    .map(|p| u64::from(codes[*p].is_some()))
                    .collect(),
            );
        }
        if place == self.shape.of.label {
            let is_fitted = self.is_fitted(secrets);
            narrow.push(mine.iter().map(|p| u64::from(is_fitted[*p])).collect());
        }
        Some(Rows {
            keys: people::keys(&mine),
            narrow,
            wide: vec![],
        })
    }

    fn expected(&self, feature: usize, secrets: u64) -> Quantiles {
        let (codes, is_fitted) = (self.codes(feature, secrets), self.is_fitted(secrets));
        let places = 0..self.shape.of.tables.len();
        let is_common = |p: &usize| places.clone().all(|place| people::has(place, *p));
        let counted = (0..self.n_people).filter(|p| is_common(p) && is_fitted[*p]);
        let mut sorted: Vec<u64> = counted.filter_map(|p| codes[p]).collect();
        sorted.sort_unstable();
        let n_cuts = self.shape.n_parts - 1;
        if (sorted.len() as u64) < self.shape.of.at_least {
            return Quantiles {
                n_rows: 0,
                codes: vec![[0; 2]; n_cuts],
            };
        }
        let beside = (1..=n_cuts).map(|q| {
            let rank = (sorted.len() - 1) * q / self.shape.n_parts;
            [sorted[rank], sorted[rank + 1]]
        });
        Quantiles {
            n_rows: sorted.len() as u64,
            codes: beside.collect(),
        }
    }

    fn check(&self, secrets: u64) {
        let mut n_told = 0;
        for (seat, told) in self.told.take() {
            let place = people::place_of(&self.shape.of.tables, seat);
            let own: Vec<usize> = place
                .into_iter()
                .flat_map(|p| self.quantiled_of(p))
                .collect();
            let expected: Vec<Quantiles> = own.iter().map(|f| self.expected(*f, secrets)).collect();
            assert_eq!(told, expected, "{seat}, secrets {secrets}");
            n_told += told.len();
        }
        assert_eq!(n_told, self.shape.quantiled.len());
    }
}

impl Case for Values {
    type R = u64;

    fn price(&self, seats: Seats) -> Price {
        let released = Price::of_cost(binned::quantiles_cost(seats, &self.shape));
        binned::quantiles_price(seats, &self.shape).then(&released)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let (seat, shape) = (session.seat(), &self.shape);
        let rows = self.rows(secrets, seat);
        let disclosure = Disclosure::approved(shape.terms(&[Seat(1)]));
        let told = binned::quantiles(session, rows, shape, stock, &disclosure).await?;
        self.told.borrow_mut().push((seat, told));
        Ok(Shared::default())
    }
}

#[test]
fn quantiles_are_those_of_the_rows_in_common() {
    for n_computing in [2, 3, 5] {
        let case = values(n_computing, 150);
        demands::found(&case, n_computing, 3);
        case.check(3);
    }
    // Hardly any ties, and hardly any values.
    for n_values in [500, 2] {
        let mut case = values(2, 100);
        case.n_values = n_values;
        case.shape.of.method = Method::Summed;
        demands::found(&case, 2, 4);
        case.check(4);
    }
}

#[test]
fn quantiles_of_too_few_rows_are_not_told() {
    let mut case = values(3, 60);
    let n = case.expected(0, 5).n_rows;
    case.shape.of.at_least = n;
    demands::found(&case, 3, 5);
    case.check(5);
    case.shape.of.at_least = n + 1;
    demands::found(&case, 3, 5);
    assert_eq!(case.expected(0, 5).n_rows, 0);
    case.check(5);
}

#[test]
fn quantiles_are_held_to_all_demands() {
    for n_computing in [2, 3] {
        demands::check_price_within(&values(n_computing, 20), n_computing, 4);
    }
    demands::check_outline(&values(3, 20), 3);
    demands::check_empty_stock(&values(2, 20));
    let mut small = values(2, 6);
    small.shape.n_parts = 2;
    small.shape.quantiled = vec![0];
    demands::check_cuts(&small);
}

#[test]
fn quantiles_come_from_every_source() {
    for (n_computing, has_dealer) in demands::SOURCES {
        let case = values(n_computing, 60);
        demands::found_from(&case, n_computing, has_dealer);
        case.check(23);
    }
}

/// The same people in the same order at every holder still make messages that look uniform.
#[test]
fn quantiles_send_what_looks_uniform() {
    let mut case = values(3, 1000);
    case.shape.of.log_rows = 10;
    case.n_values = 3;
    let transcripts = demands::recorded(&case, 3, (31, 31));
    let kinds = [Kind::Store, Kind::Hints, Kind::Transfer];
    chi_square::check_received(&transcripts, &kinds, chi_square::whole);
}
