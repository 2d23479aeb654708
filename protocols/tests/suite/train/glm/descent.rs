//! Descent in small batches against the same steps in floats.

use super::{Model, Plain, model};
use crate::arith::{Clear, Shared};
use crate::demands::{self, Case};
use engine::ring::Ring;
use engine::share::Share;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::price::{Price, Seats};
use protocols::session::Session;
use protocols::train::glm::{
    Descent, Family, RATE_BITS, RESULT_BITS, Rows, descend, descend_price,
};

/// Random rows of a logistic model, and how they are gone through.
#[derive(Debug)]
struct Steps {
    model: Model,
    how: Descent,
}

fn steps(n_rows: usize, n_columns: usize, (epochs, batch): (u32, usize), rate: f64) -> Steps {
    Steps {
        model: model(Family::Logistic, n_rows, n_columns),
        how: Descent {
            epochs,
            batch,
            rate: (rate * f64::from(1u32 << RATE_BITS)) as u32,
        },
    }
}

impl Steps {
    fn plain(&self, plain: &Plain) -> Vec<f64> {
        let d = self.model.shape.n_columns;
        let rate = f64::from(self.how.rate) / f64::from(1u32 << RATE_BITS);
        let rate = rate / self.how.batch as f64;
        let mut weights = vec![0.0; d];
        let rows: Vec<usize> = (0..plain.used.len()).collect();
        for _ in 0..self.how.epochs {
            for batch in rows.chunks(self.how.batch) {
                let mut gradient = vec![0.0; d];
                for row in batch {
                    let x = &plain.columns[*row];
                    let eta: f64 = x.iter().zip(&weights).map(|(x, w)| x * w).sum();
                    let p = 1.0 / (1.0 + (-eta).exp());
                    let residual = plain.labels[*row] - plain.used[*row] * p;
                    gradient
                        .iter_mut()
                        .zip(x)
                        .for_each(|(g, x)| *g += x * residual);
                }
                let slopes = weights.iter_mut().zip(&gradient);
                slopes.for_each(|(w, g)| *w += rate * g);
            }
        }
        weights
    }

    /// Coefficients, how many columns are sound, and how many rows counted.
    fn check(&self, found: &Clear<u64>, secrets: u64) {
        let plain = self.model.plain(secrets);
        let scale = 2f64.powi(-RESULT_BITS.cast_signed());
        let weights = found.ring[0].iter().map(|w| w.to_signed() as f64 * scale);
        let weights: Vec<f64> = weights.collect();
        let expected = self.plain(&plain);
        let off = weights.iter().zip(&expected).map(|(w, e)| (w - e).abs());
        let worst = off.fold(0.0, f64::max);
        println!("{:?}: {worst:e}", self.how);
        assert!(worst < 1e-4, "{weights:?}\n{expected:?}");
        assert!(expected.iter().any(|w| w.abs() > 0.1), "{expected:?}");
        assert_eq!(found.ring[1], [self.model.shape.n_columns as u64; 2]);
        assert_eq!(found.ring[2], [plain.used.iter().sum::<f64>() as u64]);
    }
}

/// Numbers of less than 63 bits, in the smaller ring.
fn low(wide: &Share<u128>) -> Vec<u64> {
    wide.as_slice().iter().map(|v| *v as u64).collect()
}

impl Case for Steps {
    type R = u64;

    fn inputs(&self, secrets: u64) -> Clear<u64> {
        self.model.inputs(secrets)
    }

    fn price(&self, seats: Seats) -> Price {
        descend_price(seats, &self.model.shape, &self.how)
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
            offsets: None,
            penalties: None,
        };
        let mut keeper = self.model.kept.at(session.seat());
        let (course, how) = (&mut keeper.course(), (&self.model.shape, &self.how));
        let fitted = descend(session, &rows, how, course, stock).await?;
        let mut sound = low(&fitted.sound[0]);
        sound.extend(low(&fitted.sound[1]));
        Ok(Shared {
            ring: vec![
                Share::new(low(&fitted.coefficients)),
                Share::new(sound),
                fitted.n_used,
            ],
            bits: vec![],
        })
    }
}

#[test]
fn steps_are_those_of_floats() {
    for (n_computing, case) in [
        (2, steps(300, 4, (3, 64), 0.5)),
        (3, steps(130, 6, (2, 33), 2.0)),
        (5, steps(70, 2, (4, 100), 1.5)),
        (2, steps(40, 3, (2, 1), 0.1)),
    ] {
        let found = demands::found(&case, n_computing, 3);
        case.check(&found, 3);
    }
}

/// Many epochs come near the estimates that Newton's steps find.
#[test]
fn descent_comes_near_the_maximum() {
    let case = steps(400, 3, (40, 100), 1.0);
    let found = demands::found(&case, 2, 8);
    case.check(&found, 8);
    let (beta, ..) = case.model.fitted(&case.model.plain(8));
    let scale = 2f64.powi(-RESULT_BITS.cast_signed());
    for (found, expected) in found.ring[0].iter().zip(&beta) {
        let found = found.to_signed() as f64 * scale;
        assert!((found - expected).abs() < 0.05, "{found} and {expected}");
    }
}

#[test]
fn descent_goes_on_after_any_epoch() {
    let mut case = steps(130, 4, (4, 33), 1.5);
    case.check(&demands::found(&case, 3, 3), 3);
    assert_eq!(case.model.kept.steps(), [1, 2, 3]);
    for epoch in [1, 3] {
        (case.model.kept.from, case.model.shape.n_done) = (epoch, epoch);
        case.check(&demands::found(&case, 3, 3), 3);
        demands::check_price(&case, 3);
    }
}

#[test]
fn descent_takes_correlations_of_every_source() {
    let case = steps(30, 2, (2, 16), 1.0);
    for (n_computing, has_dealer) in demands::SOURCES {
        let found = demands::found_from(&case, n_computing, has_dealer);
        case.check(&found, 23);
    }
}

#[test]
fn descent_is_held_to_all_demands() {
    let case = steps(9, 2, (2, 4), 1.0);
    for n_computing in [2, 3, 5] {
        demands::check_price(&case, n_computing);
    }
    demands::check_outline(&case, 3);
    demands::check_empty_stock(&case);
    demands::check_cuts(&steps(3, 1, (1, 2), 1.0));
}

#[test]
fn descent_sends_what_looks_uniform() {
    demands::check_uniform_lanes(&steps(64, 2, (1, 64), 1.0), 40, &[2, 64]);
}

#[test]
fn descent_is_for_logistic_models_alone() {
    let good = steps(9, 2, (2, 4), 1.0);
    assert!(good.how.check(&good.model.shape).is_ok());
    for how in [
        Descent {
            epochs: 0,
            ..good.how
        },
        Descent {
            batch: 0,
            ..good.how
        },
        Descent {
            rate: 0,
            ..good.how
        },
        Descent {
            rate: u32::MAX,
            ..good.how
        },
    ] {
        assert!(how.check(&good.model.shape).is_err(), "{how:?}");
    }
    for family in [Family::Linear, Family::Poisson, Family::Gamma] {
        assert!(good.how.check(&model(family, 9, 2).shape).is_err());
    }
    let mut penalised = model(Family::Logistic, 9, 2).shape;
    penalised.is_penalised = true;
    assert!(good.how.check(&penalised).is_err());
}
