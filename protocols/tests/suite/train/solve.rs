//! Systems of equations.

use super::{decoded, encoded, inverse};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case};
use crate::world::prg;
use protocols::arith::compare::Method;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::train::solve::{self, System};

/// Normal equations of random columns.
#[derive(Clone, Copy, Debug)]
struct Normal {
    n_unknowns: usize,
    method: Method,
    /// How much of each column but the first is its own; the rest is that of the first.
    own: f64,
    /// Columns differ in size by up to 2^this, in both directions.
    spread: i32,
    /// A column that is the sum of all before it.
    dependent: Option<usize>,
}

const PLAIN: Normal = Normal {
    n_unknowns: 3,
    method: Method::Masked,
    own: 1.0,
    spread: 0,
    dependent: None,
};

const FRAC_BITS: u32 = 45;
const N_ROWS: usize = 200;

impl Normal {
    fn system(&self) -> System {
        System {
            n_unknowns: self.n_unknowns,
            frac_bits: FRAC_BITS,
            bound_bits: FRAC_BITS + 3 + 2 * self.spread.unsigned_abs(),
            side_bits: FRAC_BITS,
            result_bits: 44,
            method: self.method,
        }
    }

    /// X'X/n and X'y/n, as they are given.
    fn numbers(&self, secrets: u64) -> (Vec<u128>, Vec<u128>) {
        let d = self.n_unknowns;
        let mut prg = prg(secrets);
        let mut unit = || prg.next_u64() as f64 / 2f64.powi(63) - 1.0;
        let scales: Vec<f64> = (0..d)
            .map(|_| (unit() * f64::from(self.spread)).exp2())
            .collect();
        let mut rows = Vec::new();
        let mut labels = Vec::new();
        for _ in 0..N_ROWS {
            let first = unit();
            let mut row = vec![first];
            row.extend((1..d).map(|_| (1.0 - self.own) * first + self.own * unit()));
            if let Some(dependent) = self.dependent {
                row[dependent] = row[..dependent].iter().sum();
            }
            labels.push(row.iter().sum::<f64>() + unit());
            let scaled = row.iter().zip(&scales).map(|(v, s)| v * s);
            rows.push(scaled.collect::<Vec<f64>>());
        }
        let mean = |term: &dyn Fn(usize) -> f64| (0..N_ROWS).map(term).sum::<f64>() / N_ROWS as f64;
        let cells = (0..d * d).map(|at| mean(&|n| rows[n][at / d] * rows[n][at % d]));
        let sides = (0..d).map(|j| mean(&|n| rows[n][j] * labels[n]));
        let (a, b): (Vec<f64>, Vec<f64>) = (cells.collect(), sides.collect());
        (encoded(&a, FRAC_BITS), encoded(&b, FRAC_BITS))
    }

    /// Greatest errors of the solution, in units of each column, and of the standard errors, as a part of them.
    fn errors(&self, found: &Clear<u128>, secrets: u64) -> (f64, f64) {
        let d = self.n_unknowns;
        let (a, b) = self.numbers(secrets);
        let (a, b) = (decoded(&a, FRAC_BITS), decoded(&b, FRAC_BITS));
        let inverse = inverse(&a, d);
        assert_eq!(
            found.ring[0],
            [d as u128],
            "{self:?}: all columns are sound"
        );
        let result_bits = self.system().result_bits;
        let solution = decoded(&found.ring[1], result_bits);
        let errors = decoded(&found.ring[2], result_bits);
        let mut worst = (0.0f64, 0.0f64);
        for j in 0..d {
            let expected: f64 = (0..d).map(|k| inverse[j * d + k] * b[k]).sum();
            let unit = a[j * d + j].sqrt();
            let rounding = 2f64.powi(1 - result_bits.cast_signed());
            let beyond = |error: f64| (error.abs() - rounding).max(0.0);
            worst.0 = worst.0.max(beyond(solution[j] - expected) * unit);
            let expected = inverse[j * d + j].sqrt();
            worst.1 = worst.1.max(beyond(errors[j] - expected) / expected);
        }
        worst
    }

    fn check(&self, n_computing: usize, secrets: u64, bound: f64) {
        let found = demands::found(self, n_computing, secrets);
        let (solution, errors) = self.errors(&found, secrets);
        println!("{self:?} among {n_computing}: {solution:.1e}, {errors:.1e}");
        assert!(solution < bound && errors < bound);
    }
}

impl Case for Normal {
    type R = u128;

    fn inputs(&self, secrets: u64) -> Clear<u128> {
        let (a, b) = self.numbers(secrets);
        Clear::of_ring(vec![a, b])
    }

    fn price(&self, seats: Seats) -> Price {
        let system = self.system();
        solve::factor_price(seats, &system)
            .then(&solve::solve_price(seats, &system))
            .then(&solve::standard_errors_price(seats, &system))
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u128>,
        stock: &mut Stock,
    ) -> Result<Shared<u128>, ProtocolError> {
        let factors = solve::factor(session, &inputs.ring[0], &self.system(), stock).await?;
        let solution = solve::solve(session, &factors, &inputs.ring[1], stock).await?;
        let errors = solve::standard_errors(session, &factors, stock).await?;
        Ok(Shared {
            ring: vec![factors.sound, solution, errors],
            bits: vec![],
        })
    }
}

#[test]
fn solutions_are_those_of_floats() {
    for n_computing in [2, 3, 5] {
        for n_unknowns in [1, 2, 3, 7] {
            for method in [Method::Masked, Method::Summed] {
                let case = Normal {
                    n_unknowns,
                    method,
                    spread: 4,
                    ..PLAIN
                };
                case.check(n_computing, n_unknowns as u64, 1e-11);
            }
        }
    }
}

#[test]
fn many_unknowns_and_related_columns_cost_little_precision() {
    for (n_unknowns, own, bound) in [(20, 1.0, 1e-11), (20, 0.1, 1e-10), (5, 0.003, 1e-7)] {
        let case = Normal {
            n_unknowns,
            own,
            ..PLAIN
        };
        case.check(2, 5, bound);
    }
}

#[test]
fn the_first_column_that_depends_on_others_is_counted() {
    for (n_unknowns, dependent) in [(4, 0), (4, 1), (4, 3), (9, 5)] {
        for n_computing in [2, 3] {
            let case = Normal {
                n_unknowns,
                dependent: Some(dependent),
                ..PLAIN
            };
            let found = demands::found(&case, n_computing, 7);
            assert_eq!(found.ring[0], [dependent as u128], "{case:?}");
        }
    }
}

#[test]
fn systems_are_held_to_all_demands() {
    let case = Normal {
        n_unknowns: 2,
        ..PLAIN
    };
    for n_computing in [2, 3, 5] {
        demands::check_price(&case, n_computing);
    }
    demands::check_outline(&case, 3);
    demands::check_empty_stock(&case);
    demands::check_cuts(&case);
}

#[test]
fn systems_are_solved_from_every_source() {
    for (n_computing, has_dealer) in demands::SOURCES {
        let found = demands::found_from(&PLAIN, n_computing, has_dealer);
        let (solution, errors) = PLAIN.errors(&found, 23);
        assert!(solution < 1e-11 && errors < 1e-11);
    }
}

#[test]
fn messages_of_a_system_look_uniform() {
    let case = Normal {
        n_unknowns: 2,
        ..PLAIN
    };
    demands::check_uniform_lanes(&case, 40, &[1, 2]);
}

#[test]
fn systems_whose_scales_do_not_fit_are_refused() {
    let good = PLAIN.system();
    let wrong = [
        System {
            n_unknowns: 0,
            ..good
        },
        System {
            n_unknowns: 129,
            ..good
        },
        System {
            bound_bits: 0,
            ..good
        },
        System {
            bound_bits: 101,
            ..good
        },
        System {
            result_bits: 51,
            ..good
        },
        System {
            side_bits: 120,
            ..good
        },
    ];
    for system in wrong {
        let world = crate::world::World::new(2, 1);
        let ended = world.run(async |session| {
            let a = engine::share::Share::zero(9);
            let mut stock = Stock::empty();
            solve::factor(session, &a, &system, &mut stock)
                .await
                .map(|_| ())
        });
        for ended in ended {
            let is_invalid = matches!(ended.outcome, Err(ProtocolError::InvalidInput { .. }));
            assert!(is_invalid, "{system:?}");
            assert_eq!(ended.traffic.rounds, 0);
        }
    }
}
