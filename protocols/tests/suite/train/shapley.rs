//! What holders contribute to a linear model, against the R² of every coalition in floats.

use super::{inverse, people};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case};
use crate::world::prg;
use engine::ring::Ring;
use engine::shapley;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::psi::circuit::{Keep, Rows};
use protocols::resume::Course;
use protocols::session::Session;
use protocols::train::evaluate::Asks;
use protocols::train::glm::{COLUMN_BITS, Descent, Family};
use protocols::train::shapley::{Game, Moments, VALUE_BITS, values, values_price};
use protocols::train::vertical::{self, Shape};
use std::cell::RefCell;

/// n!·φ of R² for players that have these columns, of rows of columns and a label.
fn in_the_clear(rows: &[(Vec<f64>, f64)], players: &[usize]) -> Vec<f64> {
    let n_players = players.iter().max().expect("somebody plays") + 1;
    let squares = |coalition: usize| {
        let own = (0..players.len()).filter(|j| coalition >> players[*j] & 1 == 1);
        let own: Vec<usize> = own.collect();
        let row = |row: &[f64]| -> Vec<f64> {
            let columns = own.iter().map(|j| row[*j]);
            [1.0].into_iter().chain(columns).collect()
        };
        let d = own.len() + 1;
        let (mut h, mut g) = (vec![0.0; d * d], vec![0.0; d]);
        for (x, y) in rows {
            let x = row(x);
            for i in 0..d {
                g[i] += x[i] * y;
                (0..d).for_each(|j| h[i * d + j] += x[i] * x[j]);
            }
        }
        let inverse = inverse(&h, d);
        let beta = |i: usize| (0..d).map(|j| inverse[i * d + j] * g[j]).sum::<f64>();
        let beta: Vec<f64> = (0..d).map(beta).collect();
        let residual =
            |x: &[f64], y: f64| y - row(x).iter().zip(&beta).map(|(x, b)| x * b).sum::<f64>();
        rows.iter()
            .map(|(x, y)| residual(x, *y).powi(2))
            .sum::<f64>()
    };
    let total = squares(0);
    let worth: Vec<f64> = (0..1 << n_players)
        .map(|coalition| 1.0 - squares(coalition) / total)
        .collect();
    let of_player = |player| {
        let coefficients = shapley::coefficients(n_players, player);
        coefficients
            .iter()
            .zip(&worth)
            .map(|(c, v)| *c as f64 * v)
            .sum()
    };
    (0..n_players).map(of_player).collect()
}

/// Checks n!·φ as it comes out of a protocol.
fn check(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let n_orders = shapley::denominator(expected.len()) as f64;
    for (found, expected) in found.iter().zip(expected) {
        let (found, expected) = (found / n_orders, expected / n_orders);
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

fn real(value: u64) -> f64 {
    value as f64 / 2f64.powi(VALUE_BITS.cast_signed())
}

/// The moments of rows whose columns depend on each other.
#[derive(Clone, Debug)]
struct OfMoments {
    players: Vec<usize>,
    method: Method,
    /// What is added to every label.
    mean: f64,
    /// How much of labels varies.
    varies: f64,
}

const N_ROWS: usize = 100;

fn of_moments(players: &[usize]) -> OfMoments {
    OfMoments {
        players: players.to_vec(),
        method: Method::Masked,
        mean: 0.3,
        varies: 0.2,
    }
}

impl OfMoments {
    fn game(&self) -> Game {
        Game {
            players: self.players.clone(),
            log_rows: 7,
            method: self.method,
        }
    }

    /// Columns and label, as fixed point has them.
    fn rows(&self, secrets: u64) -> Vec<(Vec<f64>, f64)> {
        let mut prg = prg(secrets);
        let mut unit = || prg.next_u64() as f64 / 2f64.powi(63) - 1.0;
        let rounded = |v: f64, bits: u32| {
            let scale = 2f64.powi(bits.cast_signed());
            (v * scale).round() / scale
        };
        let row = |_| {
            let common = unit();
            let columns = self.players.iter();
            let columns: Vec<f64> = columns
                .map(|_| rounded(0.5 * common + 0.7 * unit(), COLUMN_BITS))
                .collect();
            let sum: f64 = columns.iter().zip(1..).map(|(v, k)| v / f64::from(k)).sum();
            let label = self.mean + self.varies * (0.6 * sum + unit());
            (columns, rounded(label, Family::Linear.label_bits()))
        };
        (0..N_ROWS).map(row).collect()
    }
}

impl Case for OfMoments {
    type R = u128;

    fn inputs(&self, secrets: u64) -> Clear<u128> {
        let rows = self.rows(secrets);
        let sum = |f: &dyn Fn(&(Vec<f64>, f64)) -> f64, bits: u32| {
            let sum: f64 = rows.iter().map(f).sum();
            let scaled = sum * 2f64.powi(bits.cast_signed());
            u128::from_signed(scaled as i128).expect("fits the ring")
        };
        let d = self.players.len() + 1;
        let at = |row: &(Vec<f64>, f64), i: usize| i.checked_sub(1).map_or(1.0, |j| row.0[j]);
        let matrix = (0..d * d).map(|k| sum(&|r| at(r, k / d) * at(r, k % d), 2 * COLUMN_BITS));
        let bits = Family::Linear.label_bits();
        let sides = (0..d).map(|i| sum(&|r| at(r, i) * r.1, COLUMN_BITS + bits));
        let square = sum(&|r| r.1 * r.1, 2 * bits);
        Clear::of_ring(vec![matrix.collect(), sides.collect(), vec![square]])
    }

    fn price(&self, seats: Seats) -> Price {
        values_price(seats, &self.game())
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u128>,
        stock: &mut Stock,
    ) -> Result<Shared<u128>, ProtocolError> {
        let mut inputs = inputs.ring.into_iter();
        let mut next = || inputs.next().expect("an input");
        let moments = Moments {
            matrix: next(),
            sides: next(),
            labels: (next(), 2 * Family::Linear.label_bits()),
        };
        let found = values(session, moments, &self.game(), stock).await?;
        // Shares modulo 2^64 in the upper half add up to what they stand for there.
        let upper = found.as_slice().iter().map(|v| u128::from(*v) << 64);
        Ok(Shared {
            ring: vec![engine::share::Share::new(upper.collect())],
            bits: vec![],
        })
    }
}

fn found(found: &Clear<u128>) -> Vec<f64> {
    let values = found.ring[0].iter().map(|v| (v >> 64) as u64);
    values
        .map(|v| v.to_signed() as f64 / 2f64.powi(40))
        .collect()
}

#[test]
fn shapley_values_of_models_are_those_of_all_coalitions() {
    for (n_computing, players, method) in [
        (2, &[0][..], Method::Masked),
        (2, &[1, 0], Method::Summed),
        (3, &[0, 1, 1, 0, 2, 0], Method::Masked),
        (2, &[3, 0, 4, 4, 1, 2, 3], Method::Masked),
    ] {
        let case = OfMoments {
            method,
            ..of_moments(players)
        };
        let values = found(&demands::found(&case, n_computing, 9));
        check(&values, &in_the_clear(&case.rows(9), players));
    }
}

/// Three holders of a column each, with correlations 1/2, 0 and 1/4 of these and 3/5, 1/2 and 3/10 with the label: the worked
/// example that [`shapley`] is held to.
#[derive(Debug)]
struct Worked(OfMoments);

impl Case for Worked {
    type R = u128;

    fn inputs(&self, _: u64) -> Clear<u128> {
        let columns = [
            [100.0, 0.0, 0.0, 0.0],
            [0.0, 100.0, 50.0, 0.0],
            [0.0, 50.0, 100.0, 25.0],
            [0.0, 0.0, 25.0, 100.0],
        ];
        let fixed = |v: f64, bits: u32| (v * 2f64.powi(bits.cast_signed())).round() as u128;
        let matrix = columns.as_flattened().iter();
        let matrix = matrix.map(|v| fixed(*v, 2 * COLUMN_BITS)).collect();
        let bits = Family::Linear.label_bits();
        let sides = [0.0, 60.0, 50.0, 30.0].map(|v| fixed(v, COLUMN_BITS + bits));
        Clear::of_ring(vec![matrix, sides.to_vec(), vec![fixed(100.0, 2 * bits)]])
    }

    fn price(&self, seats: Seats) -> Price {
        self.0.price(seats)
    }

    async fn call(
        &self,
        session: &mut Session,
        secrets: u64,
        inputs: Shared<u128>,
        stock: &mut Stock,
    ) -> Result<Shared<u128>, ProtocolError> {
        self.0.call(session, secrets, inputs, stock).await
    }
}

#[test]
fn shapley_values_of_the_worked_example_are_exact() {
    let values = found(&demands::found(&Worked(of_moments(&[0, 1, 2])), 3, 1));
    for (value, (n, d)) in
        values
            .iter()
            .zip([(8929.0, 33000.0), (1451.0, 11000.0), (1159.0, 16500.0)])
    {
        assert!((value / 6.0 - n / d).abs() < 1e-9, "{value}");
    }
}

#[test]
fn shapley_values_of_eight_holders_add_up_to_all() {
    let case = of_moments(&[7, 6, 5, 4, 3, 2, 1, 0]);
    let values = found(&demands::found(&case, 2, 4));
    check(&values, &in_the_clear(&case.rows(4), &case.players));
}

/// A great mean of labels costs precision, and is none of what columns explain.
#[test]
fn shapley_values_do_not_depend_on_the_mean_of_labels() {
    for (mean, varies) in [(0.0, 0.3), (0.9, 0.01), (-0.5, 0.005)] {
        let case = OfMoments {
            mean,
            varies,
            ..of_moments(&[0, 1, 0])
        };
        let values = found(&demands::found(&case, 2, 5));
        check(&values, &in_the_clear(&case.rows(5), &case.players));
    }
}

#[test]
fn labels_that_do_not_vary_have_no_shapley_values() {
    for mean in [0.5, 0.0] {
        let case = OfMoments {
            mean,
            varies: 0.0,
            ..of_moments(&[0, 1])
        };
        let values = found(&demands::found(&case, 2, 6));
        assert_eq!(values, [0.0, 0.0]);
    }
}

#[test]
fn shapley_values_of_models_are_held_to_all_demands() {
    let case = of_moments(&[1, 0]);
    for n_computing in [2, 3, 5] {
        demands::check_price(&case, n_computing);
    }
    demands::check_outline(&case, 3);
    demands::check_empty_stock(&case);
    demands::check_cuts(&case);
}

#[test]
fn shapley_values_of_models_come_from_every_source() {
    let case = of_moments(&[1, 0, 1]);
    for (n_computing, has_dealer) in demands::SOURCES {
        let values = found(&demands::found_from(&case, n_computing, has_dealer));
        check(&values, &in_the_clear(&case.rows(23), &case.players));
    }
}

#[test]
fn messages_of_shapley_values_look_uniform() {
    demands::check_uniform_lanes(&of_moments(&[0, 1]), 40, &[1, 2, 3, 4, 6, 16]);
}

#[test]
fn games_that_are_none_are_refused() {
    for players in [vec![], vec![0, 2], (0..9).collect(), vec![0; 127]] {
        assert!(of_moments(&players).game().check().is_err(), "{players:?}");
    }
    let large: Vec<usize> = (0..126).map(|j| j % 8).collect();
    assert!(of_moments(&large).game().check().is_err());
    assert!(of_moments(&[0, 1, 0]).game().check().is_ok());
}

/// A metered model over a join of tables of people, see [`people`].
#[derive(Debug)]
struct Joined {
    shape: Shape,
    n_people: usize,
    told: RefCell<Vec<Vec<u64>>>,
    is_released: RefCell<bool>,
}

fn joined(n_computing: usize, n_people: usize) -> Joined {
    let tables = people::tables(n_computing, n_people);
    Joined {
        shape: Shape {
            features: vec![1, 0, tables.len() - 1, 1],
            tables,
            keep: Keep::All,
            label: 1,
            family: Family::Linear,
            n_steps: 2,
            n_done: 0,
            descent: None,
            log_rows: 10,
            evaluates: false,
            asks: Asks::default(),
            of_train: None,
            has_oot: false,
            min_cell: 0,
            at_least: 3,
            l2: 0,
            is_metered: true,
            method: Method::Masked,
        },
        n_people,
        told: RefCell::new(Vec::new()),
        is_released: RefCell::new(false),
    }
}

impl Joined {
    /// Every person's columns and label.
    fn people(&self, secrets: u64) -> Vec<([f64; 4], f64)> {
        let mut prg = prg(secrets);
        let mut unit = || prg.next_u64() as f64 / 2f64.powi(63) - 1.0;
        let person = |_| {
            let common = unit();
            let features = [0; 4].map(|_| 0.4 * common + unit() + 0.1);
            let label = 0.2 * features[0] - 0.1 * features[1] + 0.05 * features[2] + 0.2;
            (features, label + 0.1 * unit())
        };
        (0..self.n_people).map(person).collect()
    }

    fn rows(&self, secrets: u64, seat: Seat) -> Option<Rows> {
        let shape = &self.shape;
        let place = people::place_of(&shape.tables, seat)?;
        let all = self.people(secrets);
        let mine = people::of(place, self.n_people);
        let fixed = |value: f64, bits: u32| {
            let scaled = (value * 2f64.powi(bits.cast_signed())).round() as i128;
            u64::from_signed(scaled).expect("small")
        };
        let own = (0..4).filter(|feature| shape.features[*feature] == place);
        let column = |f: &dyn Fn(usize) -> u64| mine.iter().map(|p| f(*p)).collect::<Vec<u64>>();
        let mut narrow: Vec<Vec<u64>> = own
            .map(|feature| column(&|p| fixed(all[p].0[feature], COLUMN_BITS)))
            .collect();
        if place == shape.label {
            narrow.push(column(&|_| 1));
            narrow.push(column(&|p| fixed(all[p].1, shape.family.label_bits())));
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

    fn expected(&self, secrets: u64) -> Vec<f64> {
        let n_tables = self.shape.tables.len();
        let all = self.people(secrets);
        let common = (0..self.n_people).filter(|p| (0..n_tables).all(|t| people::has(t, *p)));
        let rows: Vec<(Vec<f64>, f64)> = common.map(|p| (all[p].0.to_vec(), all[p].1)).collect();
        let players = self.shape.players();
        let of = self.shape.features.iter();
        let of: Vec<usize> = of
            .map(|place| players.binary_search(place).expect("a player"))
            .collect();
        in_the_clear(&rows, &of)
    }

    /// What all computing seats were told alike.
    fn taken(&self, n_computing: usize) -> Vec<u64> {
        let told = self.told.take();
        assert_eq!(told.len(), n_computing);
        assert!(told.iter().all(|of_seat| *of_seat == told[0]), "{told:?}");
        told.into_iter().next().expect("a seat")
    }
}

impl Case for Joined {
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
        let found = vertical::train(
            session,
            rows,
            &self.shape,
            &mut Course::default(),
            stock,
            disclosure,
        )
        .await?;
        if let Some(released) = found.released {
            *self.is_released.borrow_mut() = released.is_enough;
        }
        self.told.borrow_mut().push(found.contributions);
        Ok(Shared::default())
    }
}

#[test]
fn shapley_values_of_models_over_joins_are_told_to_all() {
    for n_computing in [2, 3, 4] {
        let case = joined(n_computing, 400);
        demands::found(&case, n_computing, 3);
        let told = case.taken(n_computing);
        assert_eq!(told.len(), n_computing.min(3));
        let told: Vec<f64> = told.into_iter().map(real).collect();
        check(&told, &case.expected(3));
    }
}

#[test]
fn models_that_are_not_released_tell_no_shapley_values() {
    let mut case = joined(2, 100);
    case.shape.at_least = 101;
    demands::found(&case, 2, 3);
    assert!(!case.is_released.take());
    assert_eq!(case.taken(2), [0, 0]);
}

#[test]
fn metered_models_over_joins_are_held_to_all_demands() {
    let case = joined(3, 20);
    demands::check_price(&case, 3);
    demands::check_outline(&case, 3);
    demands::check_empty_stock(&joined(2, 20));
}

/// Who approves a model does not approve that everybody learns its contributions.
#[test]
fn approvals_of_models_do_not_hold_for_metered_ones() {
    let case = joined(2, 20);
    let plain = Shape {
        is_metered: false,
        ..case.shape.clone()
    };
    let world = crate::world::World::new(2, 1);
    let ended = world.run(async |session| {
        let rows = case.rows(1, session.seat());
        let disclosure = Disclosure::approved(plain.terms(&[Seat(1)]));
        let (course, stock) = (&mut Course::default(), &mut Stock::empty());
        let run = vertical::train(session, rows, &case.shape, course, stock, disclosure);
        run.await.map(|_| ())
    });
    for ended in ended {
        assert!(matches!(
            ended.outcome,
            Err(ProtocolError::NotApproved { .. })
        ));
        assert_eq!(ended.traffic.rounds, 0);
    }
}

#[test]
fn models_without_a_gram_matrix_are_not_metered() {
    for change in [
        |shape: &mut Shape| shape.family = Family::Logistic,
        |shape: &mut Shape| shape.l2 = 1,
        |shape: &mut Shape| {
            shape.descent = Some(Descent {
                epochs: 1,
                batch: 4,
                rate: 1,
            });
        },
    ] {
        let mut case = joined(2, 8);
        change(&mut case.shape);
        let world = crate::world::World::new(2, 1);
        let ended = world.run(async |session| {
            let rows = case.rows(1, session.seat());
            let disclosure = Disclosure::approved(case.shape.terms(&[Seat(1)]));
            let (course, stock) = (&mut Course::default(), &mut Stock::empty());
            let run = vertical::train(session, rows, &case.shape, course, stock, disclosure);
            run.await.map(|_| ())
        });
        for ended in ended {
            let is_invalid = matches!(ended.outcome, Err(ProtocolError::InvalidInput { .. }));
            assert!(is_invalid, "{:?}", case.shape);
        }
    }
}
