//! Newton's method on sums over rows, as a machine that asks for evaluations: it never sees a row.
//!
//! Columns are expected to be standardised roughly, so that steps are measured in standard deviations. All arithmetic is
//! that of IEEE 754 without a library function, so that every holder who is told the same sums takes the same step.

use super::solve::Factor;
use super::{Family, Sums};

/// How often a step is halved before it counts as none.
const MAX_HALVINGS: u32 = 30;
/// A coefficient of a standardised column that is larger tells the label apart, if it goes on growing.
const LARGE: f64 = 8.0;
/// So many steps in a row that hardly shrink are no convergence.
const STUCK: u32 = 4;

/// When a fit ends, and what is penalised.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The distribution of labels.
    pub family: Family,
    /// Of each column the weight of half its squared coefficient in the objective.
    pub penalties: Vec<f64>,
    /// The fit ends with a step of which no coordinate is larger than this, or than this part of its coefficient.
    pub tolerance: f64,
    /// Most steps.
    pub max_iterations: u32,
}

/// A fit that has converged.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The coefficients.
    pub coefficients: Vec<f64>,
    /// What rows added up to before the last step.
    pub sums: Sums,
    /// Steps taken.
    pub iterations: u32,
    /// The largest coordinate of the last step, after which nothing was evaluated.
    pub last_step: f64,
    /// The largest coordinate of the penalised gradient.
    pub gradient: f64,
}

/// Why there is no fit. Columns are those of the design.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// This column is a combination of those before it.
    Singular {
        /// Which.
        column: usize,
    },
    /// This column's coefficient grows without bound.
    Separated {
        /// Which.
        column: usize,
        /// Steps taken.
        iterations: u32,
    },
    /// So many steps were not enough.
    NotConverged {
        /// Steps taken.
        iterations: u32,
        /// The largest coordinate of the last step.
        last_step: f64,
    },
    /// The sums at the start are too large for numbers.
    Overflow,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// The rows are to be added up at these coefficients.
    Evaluate(Vec<f64>),
    /// The end.
    Done(Fit),
}

/// A fit in progress.
pub struct Newton {
    path: Path,
    penalties: Vec<f64>,
    /// The objective where the last step began.
    objective: Option<f64>,
}

impl Newton {
    /// Begins at these coefficients, which are evaluated first.
    #[must_use]
    pub fn new(setting: Setting, start: Vec<f64>) -> Self {
        Self {
            path: Path::new(&setting, start),
            penalties: setting.penalties,
            objective: None,
        }
    }

    /// Goes on from where another machine of the same setting stood.
    #[must_use]
    pub fn resumed(setting: Setting, from: Standing, objective: f64) -> Self {
        Self {
            path: Path::resumed(&setting, from),
            penalties: setting.penalties,
            objective: Some(objective),
        }
    }

    /// The coefficients that are evaluated next.
    #[must_use]
    pub fn at(&self) -> &[f64] {
        self.path.at()
    }

    /// Where it stands, and the objective where the last step began; `None` before the first step.
    #[must_use]
    pub fn standing(&self) -> Option<(Standing, f64)> {
        Some((self.path.standing()?, self.objective?))
    }

    /// Takes the sums at the coefficients that were asked for, `None` where they are too large for numbers.
    ///
    /// # Errors
    /// [`Trouble`].
    pub fn next(&mut self, sums: Option<Sums>) -> Result<Next, Trouble> {
        let penalty = penalty(&self.penalties, &self.path.at);
        let objective = sums.as_ref().map(|s| s.deviance + penalty);
        let is_worse = match (self.objective, objective) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(before), Some(now)) => now > before + ROUNDING * before.abs(),
        };
        match (sums, objective) {
            (Some(sums), Some(objective)) if !is_worse => self.step_from(sums, objective),
            _ => self.path.halve().map(Next::Evaluate),
        }
    }

    /// Steps taken.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.path.iterations
    }

    fn step_from(&mut self, sums: Sums, objective: f64) -> Result<Next, Trouble> {
        let n = self.path.at.len();
        let mut information = sums.information.clone();
        let mut gradient = sums.gradient.clone();
        for (i, weight) in self.penalties.iter().enumerate() {
            information[i * n - i * (i + 1) / 2 + i] += weight;
            gradient[i] -= weight * self.path.at[i];
        }
        let factor = Factor::new(&information, n);
        let factor = factor.map_err(|found| self.path.dependent(found.column))?;
        match self.path.step(factor.solve(&gradient))? {
            Moved::To(next) => {
                self.objective = Some(objective);
                Ok(Next::Evaluate(next))
            }
            Moved::Ended {
                coefficients,
                iterations,
                last_step,
            } => Ok(Next::Done(Fit {
                coefficients,
                sums,
                iterations,
                last_step,
                gradient: largest(&gradient),
            })),
        }
    }
}

/// Rounding may make the last steps worse by a few units of the last place.
pub const ROUNDING: f64 = 1e-11;

/// Twice what coefficients are penalised by: the deviance is twice the negative log-likelihood.
#[must_use]
pub fn penalty(penalties: &[f64], at: &[f64]) -> f64 {
    let terms = penalties.iter().zip(at);
    terms.map(|(weight, b)| weight * b * b).sum()
}

/// The way of a fit through its coefficients. It sees steps and no sums, so it serves whoever finds steps on shares as well.
pub struct Path {
    family: Family,
    tolerance: f64,
    max_iterations: u32,
    at: Vec<f64>,
    /// Where the last step began, and the step.
    accepted: Option<(Vec<f64>, Vec<f64>)>,
    halvings: u32,
    iterations: u32,
    n_stuck: u32,
}

/// Where a fit stands after a step, before anything was evaluated there: enough to go on from.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Where the last step began.
    pub before: Vec<f64>,
    /// The last step.
    pub step: Vec<f64>,
    /// Steps taken, at least one.
    pub iterations: u32,
    /// How many of the last ones hardly shrank.
    pub n_stuck: u32,
}

/// Where a step leads.
#[derive(Clone, Debug, PartialEq)]
pub enum Moved {
    /// To these coefficients, which are evaluated next.
    To(Vec<f64>),
    /// To the end.
    Ended {
        /// The coefficients.
        coefficients: Vec<f64>,
        /// Steps taken.
        iterations: u32,
        /// The largest coordinate of the last step, after which nothing was evaluated.
        last_step: f64,
    },
}

impl Path {
    /// Begins at these coefficients, which are evaluated first.
    #[must_use]
    pub fn new(setting: &Setting, start: Vec<f64>) -> Self {
        Self {
            family: setting.family,
            tolerance: setting.tolerance,
            max_iterations: setting.max_iterations,
            at: start,
            accepted: None,
            halvings: 0,
            iterations: 0,
            n_stuck: 0,
        }
    }

    /// Goes on from where another path of the same setting stood.
    #[must_use]
    pub fn resumed(setting: &Setting, from: Standing) -> Self {
        let at = from.before.iter().zip(&from.step).map(|(b, s)| b + s);
        Self {
            family: setting.family,
            tolerance: setting.tolerance,
            max_iterations: setting.max_iterations,
            at: at.collect(),
            accepted: Some((from.before, from.step)),
            halvings: 0,
            iterations: from.iterations,
            n_stuck: from.n_stuck,
        }
    }

    /// Where it stands; `None` before the first step, and between halves of one.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let (before, step) = self.accepted.as_ref().filter(|_| self.halvings == 0)?;
        Some(Standing {
            before: before.clone(),
            step: step.clone(),
            iterations: self.iterations,
            n_stuck: self.n_stuck,
        })
    }

    /// The coefficients that are evaluated next.
    #[must_use]
    pub fn at(&self) -> &[f64] {
        &self.at
    }

    /// Steps taken.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The objective has grown, or is no number: goes half as far, and says where that is.
    ///
    /// # Errors
    /// [`Trouble::Overflow`] at the start, [`Trouble::NotConverged`] after too many halves.
    pub fn halve(&mut self) -> Result<Vec<f64>, Trouble> {
        let Some((before, step)) = &self.accepted else {
            return Err(Trouble::Overflow);
        };
        self.halvings += 1;
        if self.halvings > MAX_HALVINGS {
            return Err(Trouble::NotConverged {
                iterations: self.iterations,
                last_step: largest(step),
            });
        }
        let part = 0.5_f64.powi(self.halvings as i32);
        let moved = before.iter().zip(step).map(|(b, s)| b + part * s);
        self.at = moved.collect();
        Ok(self.at.clone())
    }

    /// Takes the step from the coefficients that were evaluated.
    ///
    /// # Errors
    /// [`Trouble::Separated`], [`Trouble::NotConverged`].
    pub fn step(&mut self, step: Vec<f64>) -> Result<Moved, Trouble> {
        let next: Vec<f64> = self.at.iter().zip(&step).map(|(b, s)| b + s).collect();
        let small = |(step, b): (&f64, &f64)| step.abs() <= self.tolerance * b.abs().max(1.0);
        if step.iter().zip(&self.at).all(small) {
            // Taken along: it is known, and the next one would be its square.
            return Ok(Moved::Ended {
                coefficients: next,
                iterations: self.iterations,
                last_step: largest(&step),
            });
        }
        self.check_progress(&step)?;
        self.iterations += 1;
        self.halvings = 0;
        let before = std::mem::replace(&mut self.at, next.clone());
        self.accepted = Some((before, step));
        Ok(Moved::To(next))
    }

    /// What it means that a column is a combination of those before it.
    #[must_use]
    pub fn dependent(&self, column: usize) -> Trouble {
        match self.iterations {
            0 => Trouble::Singular { column },
            // Columns were independent at the start: weights have gone to nothing where this one counts.
            iterations => Trouble::Separated { column, iterations },
        }
    }

    fn check_progress(&mut self, step: &[f64]) -> Result<(), Trouble> {
        let before = self.accepted.as_ref().map(|(_, step)| largest(step));
        let now = largest(step);
        let shrinks = before.is_none_or(|before| now < 0.5 * before);
        self.n_stuck = if shrinks { 0 } else { self.n_stuck + 1 };
        let is_bounded = self.family == Family::Linear || largest(&self.at) < LARGE;
        if self.n_stuck >= STUCK && !is_bounded {
            // The intercept moves along with whatever separates.
            let of_columns = step.iter().enumerate().rev();
            let most = of_columns.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
            return Err(Trouble::Separated {
                column: most.map_or(0, |(column, _)| column),
                iterations: self.iterations,
            });
        }
        if self.iterations >= self.max_iterations {
            return Err(Trouble::NotConverged {
                iterations: self.iterations,
                last_step: now,
            });
        }
        Ok(())
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, v| v.abs().max(most))
}

#[cfg(test)]
mod tests {
    use super::super::Rows;
    use super::*;

    fn setting(family: Family, n: usize) -> Setting {
        Setting {
            family,
            penalties: vec![0.0; n],
            tolerance: 1e-9,
            max_iterations: 50,
        }
    }

    fn fit(rows: &Rows, setting: &Setting, start: Vec<f64>) -> Result<Fit, Trouble> {
        let mut newton = Newton::new(setting.clone(), start.clone());
        let mut at = start;
        loop {
            match newton.next(rows.evaluate(setting.family, &at))? {
                Next::Evaluate(next) => at = next,
                Next::Done(fit) => return Ok(fit),
            }
        }
    }

    /// Numbers that look random and are always the same.
    fn noise(i: u32) -> f64 {
        (f64::from(i) * 12.9898).sin() * 43_758.545 % 1.0
    }

    fn rows(label: impl Fn(f64, f64) -> f64) -> Rows {
        let mut rows = Rows::new(3);
        for i in 0..500 {
            let x = [1.0, 2.0 * noise(i), 2.0 * noise(i + 7000)];
            rows.push(
                &x,
                label(0.3 + 0.8 * x[1] - 0.5 * x[2], noise(i + 90_000)),
                None,
            );
        }
        rows
    }

    #[test]
    fn a_fit_ends_where_the_gradient_vanishes() {
        type Label = fn(f64, f64) -> f64;
        let labels: [(Family, Label); 4] = [
            (Family::Linear, |eta, u| eta + u),
            (Family::Logistic, |eta, u| f64::from(u8::from(u < eta))),
            (Family::Poisson, |eta, u| (eta.exp() * (1.5 + u)).floor()),
            (Family::Gamma, |eta, u| eta.exp() * (1.2 + u).powi(2)),
        ];
        for (family, label) in labels {
            let fit = fit(&rows(label), &setting(family, 3), vec![0.0; 3]).expect("a fit");
            assert!(fit.gradient < 1e-6, "{family:?}: {fit:?}");
            assert!(fit.iterations < 12, "{family:?}: {fit:?}");
        }
    }

    #[test]
    fn a_penalty_draws_coefficients_to_nothing() {
        let rows = rows(|eta, u| f64::from(u8::from(u < eta)));
        let mut penalised = setting(Family::Logistic, 3);
        let free = fit(&rows, &penalised, vec![0.0; 3]).expect("a fit");
        penalised.penalties = vec![0.0, 1e6, 1e6];
        let held = fit(&rows, &penalised, vec![0.0; 3]).expect("a fit");
        assert!(free.coefficients[1] > 0.5 && held.coefficients[1].abs() < 1e-2);
    }

    #[test]
    fn a_fit_that_goes_on_from_where_another_stood_is_the_same() {
        let rows = rows(|eta, u| f64::from(u8::from(u < eta)));
        let setting = setting(Family::Logistic, 3);
        let whole = fit(&rows, &setting, vec![0.0; 3]).expect("a fit");
        assert!(whole.iterations >= 3, "{}", whole.iterations);
        for broken_after in 1..whole.iterations {
            let mut newton = Newton::new(setting.clone(), vec![0.0; 3]);
            assert_eq!(newton.standing(), None);
            let mut at = vec![0.0; 3];
            let resumed = loop {
                let sums = rows.evaluate(setting.family, &at);
                at = match newton.next(sums).expect("a step") {
                    Next::Evaluate(next) => next,
                    Next::Done(fit) => break fit,
                };
                let (from, objective) = newton.standing().expect("a step was taken");
                if from.iterations == broken_after {
                    newton = Newton::resumed(setting.clone(), from, objective);
                    assert_eq!(newton.at(), at);
                }
            };
            assert_eq!(resumed, whole, "broken off after {broken_after} steps");
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_named() {
        let separable = rows(|eta, _| f64::from(u8::from(eta > 0.3)));
        let trouble = fit(&separable, &setting(Family::Logistic, 3), vec![0.0; 3]);
        assert!(
            matches!(trouble, Err(Trouble::Separated { column: 1 | 2, .. })),
            "{trouble:?}"
        );
        let mut twice = Rows::new(3);
        for i in 0..100 {
            let x = noise(i);
            twice.push(&[1.0, x, 1.0 - 2.0 * x], f64::from(i % 2), None);
        }
        let trouble = fit(&twice, &setting(Family::Logistic, 3), vec![0.0; 3]);
        assert_eq!(trouble, Err(Trouble::Singular { column: 2 }));
        let mut hasty = setting(Family::Logistic, 3);
        hasty.max_iterations = 1;
        let trouble = fit(
            &rows(|eta, u| f64::from(u8::from(u < eta))),
            &hasty,
            vec![0.0; 3],
        );
        assert!(matches!(
            trouble,
            Err(Trouble::NotConverged { iterations: 1, .. })
        ));
        let overflows = fit(&separable, &setting(Family::Poisson, 3), vec![1000.0; 3]);
        assert_eq!(overflows, Err(Trouble::Overflow));
    }
}
