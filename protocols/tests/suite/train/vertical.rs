//! A model over a join against the same steps in floats over the rows in common.

use super::going::Kept;
use super::{inverse, people};
use crate::arith::Shared;
use crate::chi_square;
use crate::demands::{self, Case};
use crate::world::prg;
use engine::ring::Ring;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::psi::circuit::{Keep, Rows};
use protocols::session::Session;
use protocols::train::evaluate::{Asks, Figures};
use protocols::train::glm::{COLUMN_BITS, Family, Released};
use protocols::train::vertical::{self, Shape};
use protocols::wire::Kind;
use std::cell::RefCell;

/// Tables of people numbered from 0; each has those that it does not leave out.
#[derive(Debug)]
struct Tables {
    shape: Shape,
    n_people: usize,
    kept: Kept,
    released: RefCell<Vec<Option<Released>>>,
}

fn tables(n_computing: usize, n_people: usize) -> Tables {
    let tables = people::tables(n_computing, n_people);
    Tables {
        shape: Shape {
            features: vec![1, 0, tables.len() - 1],
            tables,
            keep: Keep::All,
            label: 1,
            family: Family::Logistic,
            n_steps: 6,
            n_done: 0,
            descent: None,
            log_rows: 10,
            evaluates: true,
            asks: Asks {
                stability: true,
                ..Asks::default()
            },
            of_train: Some(Asks {
                losses: true,
                ..Asks::default()
            }),
            has_oot: true,
            min_cell: 0,
            at_least: 3,
            l2: 0,
            is_metered: false,
            method: Method::Masked,
        },
        n_people,
        kept: Kept::default(),
        released: RefCell::new(Vec::new()),
    }
}

/// One person's features, label, and whether it is fitted.
#[derive(Clone)]
struct Person {
    features: [f64; 3],
    is_bad: bool,
    is_fitted: bool,
    /// Whether it is out of time, where it is not fitted.
    is_late: bool,
}

impl Person {
    fn is_kept(&self, late: bool) -> bool {
        !self.is_fitted && self.is_late == late
    }
}

/// AUC and KS of scores.
fn told(bad: &[f64], good: &[f64]) -> (f64, f64) {
    let n_pairs = (bad.len() * good.len()) as f64;
    let wins = bad.iter().map(|b| good.iter().filter(|g| b > g).count());
    let auc = wins.sum::<usize>() as f64 / n_pairs;
    let part = |scores: &[f64], at: f64| {
        scores.iter().filter(|s| **s <= at).count() as f64 / scores.len() as f64
    };
    let distances = bad
        .iter()
        .chain(good)
        .map(|at| (part(bad, *at) - part(good, *at)).abs());
    (auc, distances.fold(0.0, f64::max))
}

impl Tables {
    fn people(&self, secrets: u64) -> Vec<Person> {
        let mut prg = prg(secrets);
        let mut unit = || prg.next_u64() as f64 / 2f64.powi(63) - 1.0;
        let person = |number: usize| {
            let features = [0; 3].map(|_| 1.5 * unit() + 0.3);
            let eta = features[0] - 0.7 * features[1] + 0.2 * features[2] - 0.5;
            Person {
                features,
                is_bad: unit() < (eta / 2.0).tanh(),
                is_fitted: unit() < 0.4,
                is_late: number.is_multiple_of(3),
            }
        };
        (0..self.n_people).map(person).collect()
    }

    fn rows(&self, secrets: u64, seat: Seat) -> Option<Rows> {
        let shape = &self.shape;
        let place = people::place_of(&shape.tables, seat)?;
        let all = self.people(secrets);
        let mine = people::of(place, self.n_people);
        let column = |value: &dyn Fn(&Person) -> u64| -> Vec<u64> {
            mine.iter().map(|p| value(&all[*p])).collect()
        };
        let mut narrow = Vec::new();
        for (at, _) in shape
            .features
            .iter()
            .enumerate()
            .filter(|(_, p)| **p == place)
        {
            let scale = 2f64.powi(COLUMN_BITS.cast_signed());
            let fixed = |p: &Person| (p.features[at] * scale).round() as i128;
            narrow.push(column(&|p| u64::from_signed(fixed(p)).expect("small")));
        }
        if place == shape.label {
            let one = 1u64 << Family::Logistic.label_bits();
            narrow.push(column(&|p| u64::from(p.is_fitted)));
            narrow.push(column(&|p| u64::from(p.is_fitted && p.is_bad) * one));
            if shape.evaluates {
                let late = |p: &Person| shape.has_oot && p.is_kept(true);
                let early = |p: &Person| !p.is_fitted && !late(p);
                narrow.push(column(&|p| u64::from(early(p) && p.is_bad)));
                narrow.push(column(&|p| u64::from(early(p) && !p.is_bad)));
            }
            if shape.of_train.is_some() {
                narrow.push(column(&|p| u64::from(p.is_fitted && p.is_bad)));
            }
            if shape.has_oot {
                narrow.push(column(&|p| u64::from(p.is_kept(true) && p.is_bad)));
                narrow.push(column(&|p| u64::from(p.is_kept(true) && !p.is_bad)));
            }
        }
        if place == 0 {
            narrow.push(column(&|_| 1));
        }
        Some(Rows {
            keys: people::keys(&mine),
            narrow,
            wide: vec![],
        })
    }

    /// The rows of the join: those that all tables have, or all of the hub's with 0 for what others lack.
    fn joined(&self, secrets: u64) -> Vec<Person> {
        let shape = &self.shape;
        let places = 0..shape.tables.len();
        let is_in = |p: &usize| match shape.keep {
            Keep::All => places.clone().all(|place| people::has(place, *p)),
            Keep::Each => people::has(0, *p),
        };
        let all = self.people(secrets);
        let rows = (0..self.n_people).filter(is_in).map(|p| {
            let mut row = all[p].clone();
            let of_features = shape.features.iter().zip(&mut row.features);
            for (_, value) in of_features.filter(|(place, _)| !people::has(**place, p)) {
                *value = 0.0;
            }
            if shape.keep == Keep::Each && shape.label != 0 {
                row.is_bad &= row.is_fitted && people::has(shape.label, p);
                row.is_fitted = true;
            }
            row
        });
        rows.collect()
    }

    /// Coefficients and standard errors of standardised columns, and AUC and KS of rows that are kept for a test, of those
    /// that are fitted, and of those out of time.
    fn fitted(&self, secrets: u64) -> (Vec<f64>, Vec<f64>, [(f64, f64); 3]) {
        let rows = self.joined(secrets);
        let (train, test): (Vec<&Person>, Vec<&Person>) = rows.iter().partition(|p| p.is_fitted);
        let n = train.len() as f64;
        let mean = |f: &dyn Fn(&Person) -> f64| train.iter().map(|p| f(p)).sum::<f64>() / n;
        let means = [0, 1, 2].map(|j| mean(&|p| p.features[j]));
        let deviations = [0, 1, 2].map(|j| mean(&|p| (p.features[j] - means[j]).powi(2)).sqrt());
        let row = |p: &Person| -> Vec<f64> {
            let scaled = (0..3).map(|j| (p.features[j] - means[j]) / deviations[j]);
            [1.0].into_iter().chain(scaled).collect()
        };
        let mut beta = vec![0.0; 4];
        let eta =
            |p: &Person, beta: &[f64]| -> f64 { row(p).iter().zip(beta).map(|(x, b)| x * b).sum() };
        let mut errors = vec![];
        for _ in 0..12 {
            let (mut g, mut h) = ([0.0; 4], vec![0.0; 16]);
            for p in &train {
                let (x, mu) = (row(p), 1.0 / (1.0 + (-eta(p, &beta)).exp()));
                for i in 0..4 {
                    g[i] += x[i] * (f64::from(u8::from(p.is_bad)) - mu);
                    (0..4).for_each(|j| h[i * 4 + j] += mu * (1.0 - mu) * x[i] * x[j]);
                }
            }
            let inverse = inverse(&h, 4);
            for i in 0..4 {
                beta[i] += (0..4).map(|j| inverse[i * 4 + j] * g[j]).sum::<f64>();
            }
            errors = (0..4).map(|j| inverse[j * 5].sqrt()).collect();
        }
        let scores = |sample: &[&Person], bad: bool| -> Vec<f64> {
            let of = sample.iter().filter(|p| p.is_bad == bad);
            of.map(|p| eta(p, &beta)).collect()
        };
        let (late, test): (Vec<&Person>, Vec<&Person>) =
            test.iter().partition(|p| self.shape.has_oot && p.is_late);
        let figures = [&test, &train, &late]
            .map(|sample| told(&scores(sample, true), &scores(sample, false)));
        (beta, errors, figures)
    }

    fn check(&self, found: &Released, secrets: u64) {
        let (beta, errors, told) = self.fitted(secrets);
        assert!(found.is_enough && found.n_sound == [4, 4], "{found:?}");
        for j in 0..4 {
            assert!(
                (found.coefficients[j] - beta[j]).abs() < 1e-4,
                "{found:?} {beta:?}"
            );
            assert!(
                (found.errors[j] / errors[j] - 1.0).abs() < 1e-3,
                "{found:?} {errors:?}"
            );
        }
        if !self.shape.evaluates {
            return;
        }
        let oot = self.shape.has_oot.then_some(self.shape.asks);
        let samples = [Some(self.shape.asks), self.shape.of_train, oot]
            .into_iter()
            .flatten();
        let mut rest = &found.figures[..];
        for (asks, (auc, ks)) in samples.zip(told) {
            let (figures, after) = rest.split_at(asks.n_figures());
            rest = after;
            let figures = Figures::of(figures, asks).expect("enough of both");
            assert!((figures.auc - auc).abs() < 1e-3 && (figures.ks - ks).abs() < 1e-9);
            assert_eq!(figures.losses.is_some(), asks.losses);
            if asks.stability {
                let samples = figures.stability.expect("two samples");
                assert_eq!(samples.base.iter().sum::<u64>(), found.n_used);
            } else {
                assert_eq!(figures.n_bad + figures.n_good, found.n_used);
            }
        }
        assert!(rest.is_empty());
    }

    fn taken(&self) -> Released {
        demands::received(&self.released)
    }
}

impl Case for Tables {
    type R = u64;

    fn price(&self, seats: Seats) -> Price {
        let released = Price::of_cost(vertical::release_cost(seats, &self.shape, &[Seat(1)]));
        vertical::price(seats, &self.shape).then(&released)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        _: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let rows = self.rows(secrets, session.seat());
        let disclosure = Disclosure::approved(self.shape.terms(&[Seat(1)]));
        let mut keeper = self.kept.at(session.seat());
        let course = &mut keeper.course();
        let found = vertical::train(session, rows, &self.shape, course, stock, disclosure).await?;
        self.released.borrow_mut().push(found.released);
        Ok(Shared::default())
    }
}

#[test]
fn models_over_joins_are_those_of_the_rows_in_common() {
    for n_computing in [2, 3, 5] {
        let case = tables(n_computing, 400);
        demands::found(&case, n_computing, 3);
        case.check(&case.taken(), 3);
    }
}

/// The label at the hub, of which some rows are fitted, and at a spoke, where a row that is not there has the label 0.
#[test]
fn models_over_left_joins_are_those_of_all_rows_of_the_hub() {
    for (n_computing, label) in [(2, 0), (3, 1), (5, 0)] {
        let mut case = tables(n_computing, 400);
        case.shape.keep = Keep::Each;
        case.shape.label = label;
        case.shape.evaluates = label == 0;
        case.shape.of_train = case.shape.of_train.filter(|_| label == 0);
        case.shape.has_oot = label == 0;
        demands::found(&case, n_computing, 3);
        case.check(&case.taken(), 3);
    }
}

/// The join is made again, in another order.
#[test]
fn models_over_joins_go_on_where_another_session_stood() {
    let mut case = tables(3, 400);
    demands::found_in(&case, 3, (8, 3));
    assert_eq!(case.kept.steps(), [1, 2, 3, 4, 5]);
    case.taken();
    for step in [2, 5] {
        (case.kept.from, case.shape.n_done) = (step, step);
        demands::found_in(&case, 3, (9, 3));
        case.check(&case.taken(), 3);
    }
    demands::check_price(&case, 3);
}

#[test]
fn models_over_joins_are_held_to_all_demands() {
    let mut case = tables(3, 20);
    case.shape.n_steps = 1;
    demands::check_price(&case, 3);
    demands::check_outline(&case, 3);
    // The first step has no function of η; among two its other messages meet round by round.
    let mut two = tables(2, 20);
    two.shape.features = vec![1, 0];
    two.shape.n_steps = 3;
    two.shape.evaluates = false;
    two.shape.of_train = None;
    two.shape.has_oot = false;
    demands::check_price(&two, 2);
    demands::check_empty_stock(&two);
    two.shape.keep = Keep::Each;
    demands::check_price(&two, 2);
    demands::check_outline(&two, 2);
}

#[test]
fn models_over_joins_come_from_every_source() {
    for (n_computing, has_dealer) in demands::SOURCES {
        let case = tables(n_computing, 150);
        demands::found_from(&case, n_computing, has_dealer);
        case.check(&case.taken(), 23);
    }
}

/// The same people in the same order at every holder still make messages that look uniform.
#[test]
fn models_over_joins_send_what_looks_uniform() {
    let mut case = tables(3, 1500);
    case.shape.n_steps = 1;
    case.shape.evaluates = false;
    case.shape.of_train = None;
    case.shape.has_oot = false;
    case.shape.log_rows = 11;
    let transcripts = demands::recorded(&case, 3, (31, 31));
    // What the model itself opens is held to this in the tests of its parts.
    let kinds = [Kind::Store, Kind::Hints, Kind::Transfer];
    chi_square::check_received(&transcripts, &kinds, chi_square::whole);
}

/// A seat that dies at any message of a model over a join ends all seats.
#[test]
fn models_over_joins_end_with_any_seat() {
    let mut case = tables(2, 6);
    case.shape.n_steps = 1;
    case.shape.evaluates = false;
    case.shape.of_train = None;
    case.shape.has_oot = false;
    demands::check_cuts(&case);
}
