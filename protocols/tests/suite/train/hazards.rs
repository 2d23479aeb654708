//! Proportional hazards over a join against the same steps in floats over the rows in common.

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
use protocols::train::evaluate::Asks;
use protocols::train::glm::{COLUMN_BITS, Family, Released};
use protocols::train::hazards::{self, INVERSE_BITS, Shape, Ties};
use protocols::train::vertical;
use protocols::wire::Kind;
use std::cell::RefCell;

/// Tables of people numbered from 0; each has those that it does not leave out. One of them has the times.
#[derive(Debug)]
struct Tables {
    shape: Shape,
    n_people: usize,
    /// How many different times there are at most.
    n_times: u64,
    kept: Kept,
    released: RefCell<Vec<Option<Released>>>,
}

fn tables(n_computing: usize, n_people: usize, ties: Ties) -> Tables {
    let tables = people::tables(n_computing, n_people);
    Tables {
        shape: Shape {
            of: vertical::Shape {
                features: vec![1, 0, tables.len() - 1],
                tables,
                keep: Keep::All,
                label: 1,
                family: Family::Poisson,
                n_steps: 6,
                n_done: 0,
                descent: None,
                log_rows: 10,
                evaluates: false,
                of_train: None,
                has_oot: false,
                asks: Asks::default(),
                min_cell: 0,
                at_least: 1,
                l2: 0,
                is_metered: false,
                method: Method::Masked,
            },
            ties,
        },
        n_people,
        n_times: 40,
        kept: Kept::default(),
        released: RefCell::new(Vec::new()),
    }
}

/// One person's features, time, whether it ends with an event, and whether it is fitted.
struct Person {
    features: [f64; 3],
    time: u64,
    is_event: bool,
    is_fitted: bool,
}

impl Tables {
    fn people(&self, secrets: u64) -> Vec<Person> {
        let mut prg = prg(secrets);
        let mut unit = || prg.next_u64() as f64 / 2f64.powi(63) - 1.0;
        let person = |_| {
            let features = [0; 3].map(|_| 1.5 * unit() + 0.3);
            let hazard = (0.7 * features[0] - 0.5 * features[1] + 0.2 * features[2]).exp();
            let waiting = -((unit() + 1.0) / 2.0).ln() / hazard;
            Person {
                features,
                time: ((waiting * 12.0) as u64).min(self.n_times - 1),
                is_event: unit() < 0.2,
                is_fitted: unit() < 0.6,
            }
        };
        (0..self.n_people).map(person).collect()
    }

    fn rows(&self, secrets: u64, seat: Seat) -> Option<Rows> {
        let shape = &self.shape.of;
        let place = people::place_of(&shape.tables, seat)?;
        let all = self.people(secrets);
        let mine = people::of(place, self.n_people);
        let column = |value: &dyn Fn(&Person) -> u64| -> Vec<u64> {
            mine.iter().map(|p| value(&all[*p])).collect()
        };
        let own = shape.features.iter().enumerate();
        let own = own.filter(|(_, p)| **p == place).map(|(at, _)| {
            let scale = 2f64.powi(COLUMN_BITS.cast_signed());
            let fixed = move |p: &Person| (p.features[at] * scale).round() as i128;
            column(&|p| u64::from_signed(fixed(p)).expect("small"))
        });
        let mut narrow: Vec<Vec<u64>> = own.collect();
        if place == shape.label {
            let key = |p: &Person| 2 * (self.n_times - p.time) + u64::from(p.is_event);
            narrow.push(column(&|p| u64::from(p.is_fitted)));
            narrow.push(column(&|p| u64::from(p.is_fitted) * key(p)));
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

    /// Rows that count, with standardised columns.
    fn counted(&self, secrets: u64) -> Vec<(Vec<f64>, u64, bool)> {
        let shape = &self.shape.of;
        let places = 0..shape.tables.len();
        let is_in = |p: &usize| match shape.keep {
            Keep::All => places.clone().all(|place| people::has(place, *p)),
            Keep::Each => people::has(0, *p),
        };
        let all = self.people(secrets);
        let counted = (0..self.n_people)
            .filter(is_in)
            .filter(|p| all[*p].is_fitted);
        let counted: Vec<usize> = counted.collect();
        let value = |p: usize, j: usize| match people::has(shape.features[j], p) {
            true => all[p].features[j],
            false => 0.0,
        };
        let n = counted.len() as f64;
        let mean = |f: &dyn Fn(usize) -> f64| counted.iter().map(|p| f(*p)).sum::<f64>() / n;
        let means = [0, 1, 2].map(|j| mean(&|p| value(p, j)));
        let deviations = [0, 1, 2].map(|j| mean(&|p| (value(p, j) - means[j]).powi(2)).sqrt());
        let row = |p: &usize| {
            let x = (0..3).map(|j| (value(*p, j) - means[j]) / deviations[j]);
            (x.collect(), all[*p].time, all[*p].is_event)
        };
        counted.iter().map(row).collect()
    }

    /// Coefficients, standard errors and log-likelihood.
    fn fitted(&self, secrets: u64) -> (Vec<f64>, Vec<f64>, f64) {
        let rows = self.counted(secrets);
        let (mut beta, mut errors, mut likelihood) = (vec![0.0; 3], vec![], 0.0);
        for _ in 0..12 {
            let (mut g, mut h) = ([0.0; 3], vec![0.0; 9]);
            likelihood = 0.0;
            for time in 0..self.n_times {
                let died = rows.iter().filter(|(_, t, e)| *t == time && *e);
                let died: Vec<_> = died.collect();
                let eta = |x: &[f64]| x.iter().zip(&beta).map(|(x, b)| x * b).sum::<f64>();
                for (k, (own, ..)) in died.iter().enumerate() {
                    let away = match self.shape.ties {
                        Ties::Breslow => 0.0,
                        Ties::Efron => k as f64 / died.len() as f64,
                    };
                    let (mut s0, mut s1, mut s2) = (0.0, [0.0; 3], [0.0; 9]);
                    for (x, t, e) in rows.iter().filter(|(_, t, _)| *t >= time) {
                        let part = if *t == time && *e { 1.0 - away } else { 1.0 };
                        let w = part * eta(x).exp();
                        s0 += w;
                        for i in 0..3 {
                            s1[i] += w * x[i];
                            (0..3).for_each(|j| s2[i * 3 + j] += w * x[i] * x[j]);
                        }
                    }
                    likelihood += eta(own) - f64::ln(s0);
                    for i in 0..3 {
                        g[i] += own[i] - s1[i] / s0;
                        for j in 0..3 {
                            h[i * 3 + j] += s2[i * 3 + j] / s0 - s1[i] * s1[j] / (s0 * s0);
                        }
                    }
                }
            }
            let inverse = inverse(&h, 3);
            for i in 0..3 {
                beta[i] += (0..3).map(|j| inverse[i * 3 + j] * g[j]).sum::<f64>();
            }
            errors = (0..3).map(|j| inverse[j * 4].sqrt()).collect();
        }
        (beta, errors, likelihood)
    }

    fn check(&self, found: &Released, secrets: u64) {
        let rows = self.counted(secrets);
        let (beta, errors, likelihood) = self.fitted(secrets);
        assert!(found.is_enough && found.n_sound == [3, 3], "{found:?}");
        assert_eq!(found.n_used, rows.iter().filter(|row| row.2).count() as u64);
        assert_eq!(found.figures[0], rows.len() as u64);
        let told = found.figures[1].cast_signed() as f64 / 2f64.powi(INVERSE_BITS.cast_signed());
        assert!((told - likelihood).abs() < 1e-3, "{told} {likelihood}");
        for j in 0..3 {
            assert!(
                (found.coefficients[j] - beta[j]).abs() < 1e-4,
                "{found:?} {beta:?}"
            );
            assert!(
                (found.errors[j] / errors[j] - 1.0).abs() < 2e-3,
                "{found:?} {errors:?}"
            );
        }
    }

    fn taken(&self) -> Released {
        demands::received(&self.released)
    }
}

impl Case for Tables {
    type R = u64;

    fn price(&self, seats: Seats) -> Price {
        let released = Price::of_cost(hazards::release_cost(seats, &self.shape, &[Seat(1)]));
        hazards::price(seats, &self.shape).then(&released)
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
        let found = hazards::train(session, rows, &self.shape, course, stock, disclosure).await?;
        self.released.borrow_mut().push(found);
        Ok(Shared::default())
    }
}

const TIES: [Ties; 2] = [Ties::Breslow, Ties::Efron];

/// Few times, so that most rows share theirs with others.
#[test]
fn hazards_are_those_of_the_rows_in_common() {
    for (n_computing, ties) in [2, 3].into_iter().flat_map(|n| TIES.map(|ties| (n, ties))) {
        let case = tables(n_computing, 500, ties);
        demands::found(&case, n_computing, 5);
        case.check(&case.taken(), 5);
    }
}

#[test]
fn hazards_go_on_where_another_session_stood() {
    let mut case = tables(2, 300, Ties::Efron);
    demands::found_in(&case, 2, (8, 5));
    case.taken();
    (case.kept.from, case.shape.of.n_done) = (4, 4);
    demands::found_in(&case, 2, (9, 5));
    case.check(&case.taken(), 5);
    demands::check_one_sided_price(&case, 2);
}

#[test]
fn hazards_over_a_left_join_are_those_of_all_rows_of_the_hub() {
    let mut case = tables(3, 400, Ties::Efron);
    (case.shape.of.keep, case.shape.of.label) = (Keep::Each, 0);
    demands::found(&case, 3, 7);
    case.check(&case.taken(), 7);
}

/// Without an event there is nothing to tell but that.
#[test]
fn hazards_of_nobody_are_not_told() {
    let mut case = tables(2, 60, Ties::Efron);
    case.shape.of.n_steps = 2;
    case.shape.of.at_least = 1000;
    demands::found(&case, 2, 9);
    let found = case.taken();
    assert!(!found.is_enough);
    assert!(found.coefficients.iter().all(|b| *b == 0.0), "{found:?}");
    assert!(found.n_used == 0 && found.figures == [0, 0], "{found:?}");
}

#[test]
fn hazards_are_held_to_all_demands() {
    for ties in TIES {
        let mut case = tables(3, 20, ties);
        case.shape.of.n_steps = 1;
        demands::check_price(&case, 3);
        demands::check_outline(&case, 3);
        let mut two = tables(2, 20, ties);
        two.shape.of.n_steps = 2;
        // After the join one seat may be a round ahead, and the other begins the shuffles.
        demands::check_one_sided_price(&two, 2);
        demands::check_empty_stock(&two);
    }
}

#[test]
fn hazards_come_from_every_source() {
    for (n_computing, has_dealer) in demands::SOURCES {
        let case = tables(n_computing, 150, Ties::Efron);
        demands::found_from(&case, n_computing, has_dealer);
        case.check(&case.taken(), 23);
    }
}

/// The same people in the same order at every holder still make messages that look uniform.
#[test]
fn hazards_send_what_looks_uniform() {
    let mut case = tables(3, 1500, Ties::Efron);
    case.shape.of.n_steps = 1;
    case.shape.of.log_rows = 11;
    let transcripts = demands::recorded(&case, 3, (31, 31));
    let kinds = [Kind::Store, Kind::Hints, Kind::Transfer, Kind::Masked];
    chi_square::check_received(&transcripts, &kinds, chi_square::whole);
}

/// A seat that dies at any message of a model of hazards ends all seats.
#[test]
fn hazards_end_with_any_seat() {
    let mut case = tables(2, 6, Ties::Breslow);
    (case.shape.of.n_steps, case.shape.of.log_rows, case.n_times) = (1, 3, 6);
    demands::check_cuts(&case);
}
