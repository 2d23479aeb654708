//! Generalised linear models against the same steps in floats.

mod descent;

use super::going::Kept;
use super::inverse;
use crate::arith::{self, Clear, Shared};
use crate::demands::{self, Case};
use crate::world::{World, prg};
use engine::ring::Ring;
use engine::share::Share;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::session::{Reached, Session};
use protocols::train::glm::{self, COLUMN_BITS, Family, Released, Rows, Shape};
use std::cell::RefCell;
use std::sync::{Arc, Mutex};

/// A model of random rows, of which some do not count and some do not exist.
#[derive(Debug)]
struct Model {
    shape: Shape,
    at_least: u64,
    /// A column that is the sum of two others.
    is_dependent: bool,
    kept: Kept,
    released: RefCell<Vec<Option<Released>>>,
}

/// The same rows in floats.
struct Plain {
    columns: Vec<Vec<f64>>,
    used: Vec<f64>,
    labels: Vec<f64>,
    offsets: Vec<f64>,
}

fn model(family: Family, n_rows: usize, n_columns: usize) -> Model {
    let n_steps = match family {
        Family::Linear => 2,
        Family::Logistic => 7,
        Family::Poisson => 7,
        Family::Gamma => 12,
    };
    Model {
        shape: Shape {
            family,
            n_rows,
            n_columns,
            log_rows: 10,
            has_offset: family == Family::Poisson,
            is_penalised: false,
            n_steps,
            n_done: 0,
            method: Method::Masked,
        },
        at_least: 5,
        is_dependent: false,
        kept: Kept::default(),
        released: RefCell::new(Vec::new()),
    }
}

fn rounded(value: f64, frac_bits: u32) -> u64 {
    let scale = 2f64.powi(frac_bits.cast_signed());
    u64::from_signed((value * scale).round() as i128).expect("fits the ring")
}

impl Model {
    fn plain(&self, secrets: u64) -> Plain {
        let Shape {
            n_rows,
            n_columns: d,
            family,
            ..
        } = self.shape;
        let mut prg = prg(secrets);
        let mut unit = || prg.next_u64() as f64 / 2f64.powi(63) - 1.0;
        let mut plain = Plain {
            columns: vec![],
            used: vec![],
            labels: vec![],
            offsets: vec![],
        };
        for row in 0..n_rows {
            let exists = row % 7 != 3;
            let mut columns = vec![1.0];
            columns.extend((1..d).map(|_| 1.6 * unit()));
            if self.is_dependent {
                columns[d - 1] = columns[1] - columns[2];
            }
            if self.shape.is_penalised {
                columns[d - 1] = 0.0;
            }
            let eta: f64 = (1..d).map(|j| 0.4 * columns[j] / j as f64).sum::<f64>() - 0.7;
            let offset = if self.shape.has_offset { unit() } else { 0.0 };
            let mu = (eta + offset).exp();
            let label = match family {
                Family::Linear => 0.4 * (eta + unit()),
                Family::Logistic => f64::from(u8::from(unit() < eta.tanh())),
                Family::Poisson => ((unit() + 1.0) * mu + 0.4).floor(),
                Family::Gamma => mu * (1.2 + unit()),
            };
            let used = exists && row % 5 != 2;
            let kept = f64::from(u8::from(exists));
            let counts = f64::from(u8::from(used));
            plain
                .columns
                .push(columns.iter().map(|v| v * kept).collect());
            plain.used.push(counts);
            plain.labels.push(label * counts);
            plain.offsets.push(offset * kept);
        }
        plain
    }

    /// The steps in floats: coefficients, standard errors, Σr².
    fn fitted(&self, plain: &Plain) -> (Vec<f64>, Vec<f64>, f64) {
        let d = self.shape.n_columns;
        let family = self.shape.family;
        let mut beta = vec![0.0; d];
        if matches!(family, Family::Poisson | Family::Gamma) {
            let exposure = plain.offsets.iter().zip(&plain.used);
            let exposure: f64 = exposure.map(|(o, u)| u * o.exp()).sum();
            beta[0] = (plain.labels.iter().sum::<f64>() / exposure).ln();
        }
        let (mut errors, mut squares) = (vec![], 0.0);
        for _ in 0..self.shape.n_steps {
            let (mut g, mut h) = (vec![0.0; d], vec![0.0; d * d]);
            squares = 0.0;
            for (row, x) in plain.columns.iter().enumerate() {
                let eta: f64 = x.iter().zip(&beta).map(|(x, b)| x * b).sum();
                let eta = eta + plain.offsets[row];
                let (used, y) = (plain.used[row], plain.labels[row]);
                let (mu, w) = match family {
                    Family::Linear => (eta, 1.0),
                    Family::Logistic => {
                        let p = 1.0 / (1.0 + (-eta).exp());
                        (p, p * (1.0 - p))
                    }
                    Family::Poisson => (eta.exp(), eta.exp()),
                    Family::Gamma => (eta.exp(), 1.0),
                };
                let r = match family {
                    Family::Gamma => used * (y / mu - 1.0),
                    _ => used * (y - mu),
                };
                squares += r * r;
                for i in 0..d {
                    g[i] += x[i] * r;
                    (0..d).for_each(|j| h[i * d + j] += used * w * x[i] * x[j]);
                }
            }
            for (j, penalty) in self.penalties().into_iter().enumerate() {
                g[j] -= penalty * beta[j];
                h[j * d + j] += penalty;
            }
            let inverse = inverse(&h, d);
            for i in 0..d {
                beta[i] += (0..d).map(|j| inverse[i * d + j] * g[j]).sum::<f64>();
            }
            errors = (0..d).map(|j| inverse[j * d + j].sqrt()).collect();
        }
        (beta, errors, squares)
    }

    /// Of each coefficient; the constant is free.
    fn penalties(&self) -> Vec<f64> {
        let is_penalised = f64::from(u8::from(self.shape.is_penalised));
        let each = (0..self.shape.n_columns).map(|j| is_penalised * 12.5 * j as f64);
        each.collect()
    }

    fn receivers(&self) -> Vec<Seat> {
        vec![Seat(1)]
    }

    fn check(&self, n_computing: usize, secrets: u64) {
        self.released.borrow_mut().clear();
        demands::found(self, n_computing, secrets);
        let plain = self.plain(secrets);
        let (beta, errors, squares) = self.fitted(&plain);
        let released = self.released.borrow();
        assert_eq!(released.iter().flatten().count(), 1, "the receiver alone");
        let found = released.iter().flatten().next().expect("released");
        let d = self.shape.n_columns;
        assert!(found.is_enough);
        assert_eq!(found.n_sound, [d as u64; 2]);
        assert_eq!(found.n_used, plain.used.iter().sum::<f64>() as u64);
        assert_eq!(found.figures, [7, 9]);
        let mut worst = (0.0f64, 0.0f64);
        for j in 0..d {
            worst.0 = worst.0.max((found.coefficients[j] - beta[j]).abs());
            worst.1 = worst.1.max((found.errors[j] / errors[j] - 1.0).abs());
        }
        println!(
            "{:?} among {n_computing}: {worst:?}, decrement {:e}",
            self.shape.family, found.decrement
        );
        assert!(
            worst.0 < 3e-6 && worst.1 < 1e-3,
            "{found:?}\n{beta:?}\n{errors:?}"
        );
        assert!(found.decrement.abs() < 1e-6);
        if self.shape.family.has_dispersion() {
            assert!((found.squares / squares - 1.0).abs() < 1e-4);
        }
    }
}

impl Case for Model {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        let plain = self.plain(secrets);
        let bits = self.shape.family.label_bits();
        let column = |values: &[f64], bits: u32| -> Vec<u64> {
            values.iter().map(|v| rounded(*v, bits)).collect()
        };
        let cells: Vec<f64> = plain.columns.concat();
        Clear::of_ring(vec![
            column(&cells, COLUMN_BITS),
            column(&plain.used, 0),
            column(&plain.labels, bits),
            column(&plain.offsets, bits),
        ])
    }

    fn price(&self, seats: Seats) -> Price {
        let released = Price::of_cost(glm::release_cost(seats, &self.shape, 2, &self.receivers()));
        glm::fit_price(seats, &self.shape)
            .then(&glm::release_price(seats, &self.shape, 2))
            .then(&released)
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        let mut columns = inputs.ring.into_iter();
        let mut next = || columns.next().expect("a column");
        let rows = Rows {
            columns: next(),
            used: next(),
            labels: next(),
            offsets: Some(next()).filter(|_| self.shape.has_offset),
            penalties: self.shape.is_penalised.then(|| {
                let scale = 2f64.powi(self.shape.penalty_bits().cast_signed());
                let shares = self.penalties().into_iter().map(|penalty| {
                    let is_first = session.seat() == Seat(0);
                    if is_first {
                        (penalty * scale) as u128
                    } else {
                        0
                    }
                });
                Share::new(shares.collect())
            }),
        };
        let mut keeper = self.kept.at(session.seat());
        let course = &mut keeper.course();
        let fitted = glm::fit(session, &rows, &self.shape, course, stock).await?;
        let mut figures = Share::zero(2);
        figures.add_public(session.seat().index(), &[7, 9]);
        let terms = glm::release_terms(&self.shape, 2, self.at_least, &self.receivers());
        let disclosure = Disclosure::approved(terms);
        let model = (fitted, figures);
        let found = glm::release(
            session,
            model,
            &self.shape,
            self.at_least,
            stock,
            disclosure,
        )
        .await?;
        self.released.borrow_mut().push(found);
        Ok(Shared::default())
    }
}

const FAMILIES: [Family; 4] = [
    Family::Linear,
    Family::Logistic,
    Family::Poisson,
    Family::Gamma,
];

/// Whatever the step at which an earlier session broke off, and with fewer correlations then.
#[test]
fn models_that_are_gone_on_with_are_those_of_floats() {
    for family in FAMILIES {
        let mut case = model(family, 300, 4);
        case.check(3, 3);
        let last = case.shape.n_steps - 1;
        assert_eq!(case.kept.steps(), (1..=last).collect::<Vec<_>>());
        let whole = glm::fit_price(Seats::computing(3), &case.shape);
        for step in [1, last] {
            (case.kept.from, case.shape.n_done) = (step, step);
            case.check(3, 3);
            let rest = glm::fit_price(Seats::computing(3), &case.shape);
            assert!(rest.cost.rounds < whole.cost.rounds);
            demands::check_price(&case, 3);
        }
        demands::check_outline(&case, 3);
    }
}

/// A seat's share says nothing: it is another one in each session, of the same coefficients.
#[test]
fn what_is_kept_of_a_model_is_a_share() {
    let case = model(Family::Logistic, 60, 3);
    let of_session = |session| {
        demands::found_in(&case, 2, (session, 9));
        (case.kept.shares(1), case.kept.opened(1))
    };
    let ((some, first), (others, second)) = (of_session(4), of_session(5));
    for (one, another) in some.concat().iter().zip(others.concat()) {
        assert!(one.abs_diff(another) > 1 << 64 && one.leading_zeros() < 60);
    }
    // The last element is how many columns are sound.
    assert_eq!((first[3], second[3]), (3, 3));
    for (one, another) in first.iter().zip(&second) {
        assert!(one.wrapping_sub(*another).to_signed().abs() < 1 << 24);
    }
}

#[test]
fn a_model_goes_on_where_its_shape_says_or_not_at_all() {
    let mut case = model(Family::Logistic, 20, 2);
    demands::found(&case, 2, 3);
    let steps = case.shape.n_steps;
    for (from, n_done) in [(2, 0), (2, 1), (0, 2), (steps, steps)] {
        (case.kept.from, case.shape.n_done) = (from, n_done);
        let world = World::new(2, 3);
        let inputs = case.inputs(3);
        let needs = case.price(Seats::computing(2)).needs;
        let ended = arith::run(world, &inputs, &needs, async |session, inputs, stock| {
            case.call(session, 3, inputs, stock).await
        });
        for ended in ended {
            let error = ended.outcome.map(|_| ()).expect_err("another step");
            assert!(
                matches!(error, ProtocolError::InvalidInput { .. }),
                "{error}"
            );
            assert_eq!(ended.traffic.bytes_sent.iter().sum::<u64>(), 0);
        }
    }
}

#[test]
fn models_are_those_of_floats() {
    for n_computing in [2, 3, 5] {
        for family in FAMILIES {
            model(family, 500, 4).check(n_computing, 3);
        }
    }
    for family in FAMILIES {
        let mut penalised = model(family, 500, 4);
        penalised.shape.is_penalised = true;
        penalised.check(3, 8);
    }
    for method in [Method::Masked, Method::Summed] {
        let mut wide = model(Family::Logistic, 900, 9);
        wide.shape.method = method;
        wide.check(2, 4);
    }
}

fn shows_nothing(found: &Released) -> bool {
    let mut all = found.coefficients.iter().chain(&found.errors);
    all.all(|v| *v == 0.0)
}

#[test]
fn too_few_rows_and_dependent_columns_show_nothing_else() {
    let mut few = model(Family::Linear, 40, 3);
    few.at_least = 29;
    demands::found(&few, 2, 5);
    let released = few.released.take();
    let found = released.into_iter().flatten().next().expect("released");
    assert!(!found.is_enough && found.n_used == 0 && found.n_sound == [0, 0]);
    assert!(shows_nothing(&found));
    assert_eq!(found.figures, [0, 0]);

    for family in FAMILIES {
        let mut dependent = model(family, 200, 4);
        dependent.is_dependent = true;
        demands::found(&dependent, 2, 6);
        let released = dependent.released.take();
        let found = released.into_iter().flatten().next().expect("released");
        assert!(found.is_enough && found.n_used > 0);
        assert_eq!(
            found.n_sound[0], 3,
            "{family:?}: the last column is the first's difference"
        );
        assert!(shows_nothing(&found));
        assert_eq!((found.decrement, found.squares), (0.0, 0.0));
    }
}

#[test]
fn models_are_held_to_all_demands() {
    for family in FAMILIES {
        let mut case = model(family, 9, 2);
        case.shape.n_steps = 2;
        for n_computing in [2, 3, 5] {
            demands::check_price(&case, n_computing);
        }
        case.shape.is_penalised = true;
        demands::check_price(&case, 3);
        demands::check_outline(&case, 3);
        demands::check_empty_stock(&case);
    }
    let mut case = model(Family::Logistic, 3, 1);
    case.shape.n_steps = 1;
    demands::check_cuts(&case);
}

#[test]
fn models_are_fitted_from_every_source() {
    for (n_computing, has_dealer) in demands::SOURCES {
        let case = model(Family::Logistic, 40, 2);
        demands::found_from(&case, n_computing, has_dealer);
        let (beta, ..) = case.fitted(&case.plain(23));
        let released = case.released.take();
        let found = released.into_iter().flatten().next().expect("released");
        for (found, expected) in found.coefficients.iter().zip(&beta) {
            assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
        }
    }
}

/// Rows that are far from random still make messages that look uniform, and nothing is opened without a mask
/// before the release; with the receiver's copy of that, whose shares are fresh.
#[test]
fn fits_send_what_looks_uniform() {
    for family in FAMILIES {
        let mut case = model(family, 64, 2);
        case.shape.n_steps = 1;
        // Of both columns, of their three products, and of what is released.
        demands::check_uniform_lanes(&case, 40, &[1, 2, 3, 4]);
    }
}

/// A model whose steps somebody watches.
#[derive(Debug)]
struct Seen {
    model: Model,
    steps: Arc<Mutex<Vec<Reached>>>,
}

impl Case for Seen {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        self.model.inputs(secrets)
    }

    fn price(&self, seats: Seats) -> Price {
        self.model.price(seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        inputs: Shared<u64>,
        stock: &mut Stock,
    ) -> Result<Shared<u64>, ProtocolError> {
        if session.seat() == Seat(1) {
            let steps = Arc::clone(&self.steps);
            session.watch(move |at| steps.lock().expect("no panic").push(at));
        }
        self.model.call(session, secrets, inputs, stock).await
    }
}

#[test]
fn whoever_watches_is_told_of_each_step_once() {
    let case = Seen {
        model: model(Family::Linear, 20, 2),
        steps: Arc::default(),
    };
    demands::found(&case, 2, 3);
    let told = |done| Reached {
        what: "step",
        done,
        of: 2,
    };
    let steps = case.steps.lock().expect("no panic");
    assert_eq!(*steps, [told(0), told(1)]);
}
