//! Steps of Newton's method over sums of several holders, and their correlations portion by portion.

use super::{decoded, encoded, inverse};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case};
use crate::world::{World, all_ok, prg};
use protocols::arith::compare::Method;
use protocols::correlate::portions::{self, Portion};
use protocols::correlate::{Source, Stock};
use protocols::error::ProtocolError;
use protocols::party::Seat;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::train::pooled::{self, Asked, GROWTH_BITS, STEP_BITS, SUM_BITS, Shape};

/// A step over the sums of random rows, and the errors at its end.
#[derive(Clone, Copy, Debug)]
struct Pooled {
    n_columns: usize,
    method: Method,
    /// How much of each column but the first is its own.
    own: f64,
    /// Weights of rows are up to 2^this, and those of some 2^−this.
    spread: f64,
    is_robust: bool,
}

const PLAIN: Pooled = Pooled {
    n_columns: 3,
    method: Method::Masked,
    own: 1.0,
    spread: 2.0,
    is_robust: true,
};

const N_ROWS: usize = 150;

/// What rows add up to.
struct Sums {
    /// XᵀWX/n, Σ r²·x·xᵀ/n, row by row.
    squares: [Vec<f64>; 2],
    gradient: Vec<f64>,
    growth: f64,
}

impl Pooled {
    fn shape(&self) -> Shape {
        Shape {
            n_columns: self.n_columns,
            method: self.method,
        }
    }

    fn sums(&self, secrets: u64) -> Sums {
        let d = self.n_columns;
        let mut prg = prg(secrets);
        let mut unit = || prg.next_u64() as f64 / 2f64.powi(63) - 1.0;
        let mut found = Sums {
            squares: [vec![0.0; d * d], vec![0.0; d * d]],
            gradient: vec![0.0; d],
            growth: unit() * 1e-9,
        };
        for _ in 0..N_ROWS {
            let first = unit();
            let row = |k: usize, noise: f64| match k {
                0 => 1.0,
                _ => 1.7 * ((1.0 - self.own) * first + self.own * noise),
            };
            let row: Vec<f64> = (0..d).map(|k| row(k, unit())).collect();
            let (weight, residual) = ((self.spread * unit()).exp2(), 2.0 * unit());
            for at in 0..d * d {
                let product = row[at / d] * row[at % d] / N_ROWS as f64;
                found.squares[0][at] += weight * product;
                found.squares[1][at] += residual * residual * product;
            }
            let terms = row.iter().map(|x| x * residual / N_ROWS as f64);
            found
                .gradient
                .iter_mut()
                .zip(terms)
                .for_each(|(g, term)| *g += term);
        }
        found
    }

    fn triangle(&self, square: &[f64]) -> Vec<u128> {
        let d = self.n_columns;
        let cells = (0..d).flat_map(|i| (i..d).map(move |j| square[i * d + j]));
        encoded(&cells.collect::<Vec<f64>>(), SUM_BITS)
    }

    /// The constant at columns of 0 that were measured from their means, and its measure.
    fn weights(&self) -> (Vec<f64>, Vec<i128>) {
        let weights: Vec<f64> = (0..self.n_columns)
            .map(|k| if k == 0 { 1.0 } else { -0.4 / k as f64 })
            .collect();
        let fixed = encoded(&weights, pooled::WEIGHT_BITS);
        (weights, fixed.into_iter().map(u128::cast_signed).collect())
    }

    /// The greatest relative errors of the step, the errors and the robust ones; all columns are sound.
    fn errors(&self, found: &Clear<u128>, secrets: u64) -> [f64; 3] {
        let d = self.n_columns;
        let sums = self.sums(secrets);
        let given = decoded(&encoded(&sums.squares[0], SUM_BITS), SUM_BITS);
        let inverse = inverse(&given, d);
        let (weights, _) = self.weights();
        // Rows of A⁻¹, and that of the combination.
        let mut slices: Vec<Vec<f64>> = inverse.chunks_exact(d).map(<[f64]>::to_vec).collect();
        let combined = |j: usize| (0..d).map(|k| weights[k] * inverse[k * d + j]).sum();
        slices.push((0..d).map(combined).collect());
        let ends: Vec<f64> = (0..=d)
            .map(|k| match k == d {
                true => (0..d).map(|j| slices[d][j] * weights[j]).sum(),
                false => slices[k][k],
            })
            .collect();
        let inner = |p: &[f64], q: &[f64]| -> f64 { p.iter().zip(q).map(|(p, q)| p * q).sum() };
        let robust = slices.iter().map(|p| {
            let rows = sums.squares[1].chunks_exact(d).map(|row| inner(row, p));
            inner(p, &rows.collect::<Vec<f64>>())
        });
        let step = slices[..d].iter().map(|p| inner(p, &sums.gradient));
        let diagonal = ends[..d].to_vec();
        let root = |values: Vec<f64>| values.into_iter().map(f64::sqrt).collect::<Vec<f64>>();
        assert_eq!(found.ring[0], [d as u128, u128::from(sums.growth > 0.0)]);
        let worst = |got: Vec<f64>, expected: Vec<f64>| {
            assert_eq!(got.len(), expected.len());
            let pairs = got.into_iter().zip(expected);
            pairs.fold(0.0f64, |worst, (got, expected)| {
                worst.max((got - expected).abs() / expected.abs().max(1e-3))
            })
        };
        let mut all = [0.0; 3];
        all[0] = worst(decoded(&found.ring[1], STEP_BITS), step.collect());
        all[1] = worst(decoded(&found.ring[2], STEP_BITS), root(ends));
        let inflations = found.ring.last().expect("they come last");
        all[1] = worst(decoded(inflations, STEP_BITS), root(diagonal)).max(all[1]);
        if self.is_robust {
            let mut got = decoded(&found.ring[3], STEP_BITS);
            got.extend(decoded(&found.ring[4], pooled::SANDWICH_BITS));
            all[2] = worst(got, root(robust.collect()));
        }
        all
    }

    fn check(&self, n_computing: usize, secrets: u64, bound: f64) {
        let found = demands::found(self, n_computing, secrets);
        let errors = self.errors(&found, secrets);
        println!("{self:?} among {n_computing}: {errors:?}");
        assert!(
            errors.iter().all(|error| *error < bound),
            "{self:?}: {errors:?}"
        );
    }
}

impl Case for Pooled {
    type R = u128;

    fn inputs(&self, secrets: u64) -> Clear<u128> {
        let sums = self.sums(secrets);
        Clear::of_ring(vec![
            self.triangle(&sums.squares[0]),
            encoded(&sums.gradient, SUM_BITS),
            self.triangle(&sums.squares[1]),
            encoded(&[sums.growth], GROWTH_BITS),
        ])
    }

    fn price(&self, seats: Seats) -> Price {
        let shape = self.shape();
        pooled::is_worse_price(seats, &shape)
            .then(&pooled::factored_price(seats, &shape))
            .then(&pooled::step_price(seats, &shape))
            .then(&pooled::errors_price(seats, &shape, self.is_robust))
            .then(&pooled::inflations_price(seats, &shape))
    }

    async fn call(
        &self,
        session: &mut Session,
        _: u64,
        inputs: Shared<u128>,
        stock: &mut Stock,
    ) -> Result<Shared<u128>, ProtocolError> {
        let shape = self.shape();
        let mut inputs = inputs.ring.into_iter();
        let mut next = || inputs.next().expect("four vectors");
        let (triangle, gradient, meat, growth) = (next(), next(), next(), next());
        let is_worse = pooled::is_worse(session, growth, &shape, stock).await?;
        let mut factors = pooled::factored(session, &triangle, &shape, stock).await?;
        let step = pooled::step(session, &factors, &gradient, stock).await?;
        let (_, weights) = self.weights();
        let asked = Asked {
            weights: &weights,
            meat: self.is_robust.then_some(&meat),
        };
        let errors = pooled::errors(session, (&factors, asked), &shape, stock).await?;
        let inflations = pooled::inflations(session, &factors, stock).await?;
        factors.sound.append(is_worse);
        let mut ring = vec![factors.sound, step, errors.own];
        ring.extend(errors.robust);
        ring.extend(errors.robust_combined);
        ring.push(inflations);
        Ok(Shared { ring, bits: vec![] })
    }
}

#[test]
fn steps_and_errors_are_those_of_floats() {
    for n_computing in [2, 3, 5] {
        for (n_columns, secrets) in [(1, 1), (2, 2), (6, 3)] {
            for method in [Method::Masked, Method::Summed] {
                let case = Pooled {
                    n_columns,
                    method,
                    ..PLAIN
                };
                case.check(n_computing, secrets, 1e-9);
            }
        }
    }
}

#[test]
fn related_columns_and_uneven_weights_cost_little_precision() {
    for (n_columns, own, spread, bound) in [
        (20, 1.0, 6.0, 1e-9),
        (20, 0.1, 2.0, 1e-8),
        (4, 0.01, 2.0, 1e-6),
    ] {
        let case = Pooled {
            n_columns,
            own,
            spread,
            ..PLAIN
        };
        case.check(2, 5, bound);
    }
}

#[test]
fn pooled_steps_are_held_to_all_demands() {
    let case = Pooled {
        n_columns: 2,
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
fn pooled_steps_are_taken_with_every_source() {
    for (n_computing, has_dealer) in demands::SOURCES {
        let found = demands::found_from(&PLAIN, n_computing, has_dealer);
        let errors = PLAIN.errors(&found, 23);
        assert!(errors.iter().all(|error| *error < 1e-9), "{errors:?}");
    }
}

#[test]
fn messages_of_pooled_steps_look_uniform() {
    let case = Pooled {
        n_columns: 2,
        is_robust: false,
        ..PLAIN
    };
    demands::check_uniform_lanes(&case, 40, &[1, 2]);
}

/// Portions in an order that nobody fixed before, of which some are never made.
#[test]
fn portions_come_as_they_are_asked_for() {
    let shape = PLAIN.shape();
    for (n_computing, has_dealer) in demands::SOURCES {
        let seats = Seats {
            n_seats: n_computing + usize::from(has_dealer),
            n_computing,
        };
        let portion = |price: Price, at_most| Portion {
            needs: price.needs,
            at_most,
        };
        let all = [
            portion(pooled::is_worse_price(seats, &shape), 3),
            portion(pooled::step_price(seats, &shape), 2),
        ];
        let source = match has_dealer {
            true => Source::Dealer {
                seat: Seat::from_index(n_computing),
            },
            false => Source::Ot,
        };
        let world = World::with_dealer(n_computing, has_dealer, 29);
        let ended = world.run(async |session| {
            if session.dealer() == Some(session.seat()) {
                return portions::serve(session, &all).await.map(|()| Vec::new());
            }
            let mut found = Vec::new();
            for which in [0, 1, 0] {
                let stock = portions::next(session, &source, &all, which).await?;
                found.push(stock.left() == all[which].needs);
            }
            portions::end(session, &source).await?;
            Ok(found)
        });
        for found in all_ok(ended).into_iter().take(n_computing) {
            assert_eq!(found, [true; 3]);
        }
    }
}

#[test]
fn no_more_portions_are_dealt_than_were_agreed_on() {
    let seats = Seats {
        n_seats: 3,
        n_computing: 2,
    };
    let all = [Portion {
        needs: pooled::is_worse_price(seats, &PLAIN.shape()).needs,
        at_most: 1,
    }];
    let source = Source::Dealer { seat: Seat(2) };
    let ended = World::with_dealer(2, true, 31).run(async |session| {
        if session.dealer() == Some(session.seat()) {
            return portions::serve(session, &all).await;
        }
        portions::next(session, &source, &all, 0).await?;
        portions::next(session, &source, &all, 0).await.map(|_| ())
    });
    let of_dealer = ended.last().map(|ended| &ended.outcome);
    assert!(
        matches!(
            of_dealer,
            Some(Err(ProtocolError::PeerMisbehaved { seat: Seat(0), .. }))
        ),
        "{of_dealer:?}"
    );
}
