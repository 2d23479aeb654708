//! Stepwise selection of columns: one enters by the score test, one leaves by Wald's, and the rest is fitted anew.
//!
//! Every evaluation opens the sums of all columns, so the score test of a column outside the model takes no evaluation of its
//! own: with the information I and the gradient U at the fit of the columns S, it is
//!
//! ```text
//! χ²_j = U_j² / (I_jj − I_jS·I_SS⁻¹·I_Sj)
//! ```
//!
//! as in SAS's PROC LOGISTIC. By an information criterion every model that a step can lead to is fitted, as R's `step` does
//! it. What decides are sums, products and quotients of opened numbers, so all holders do the same.

use std::sync::Arc;

use engine::glm::newton::{Fit, Newton, Next, Setting, Trouble};
use engine::glm::solve::{Factor, LEAST_PIVOT, square};
use engine::glm::{Rows, Sums};

use super::estimate::{Means, null_intercept};
use super::{Fitting, Stopped, together};
use crate::plan::Stepping;
use crate::result::{BinnedFeature, Scale, Selected};
use crate::spec::{Criterion, Direction, Model};

/// The columns of a design that are in the model: the first one is the constant, which stays.
#[derive(Clone)]
struct Columns(Vec<usize>);

impl Columns {
    fn has(&self, column: usize) -> bool {
        self.0.contains(&column)
    }

    fn with(&self, column: usize) -> Self {
        let mut columns = self.0.clone();
        columns.push(column);
        columns.sort_unstable();
        Self(columns)
    }

    fn without(&self, column: usize) -> Self {
        Self(self.0.iter().copied().filter(|c| *c != column).collect())
    }

    /// The sums of these columns alone.
    fn of(&self, sums: &Sums, n_columns: usize) -> Sums {
        let information = square(&sums.information, n_columns);
        let pairs = self.0.iter().enumerate();
        let pairs = pairs.flat_map(|(at, i)| self.0[at..].iter().map(move |j| (*i, *j)));
        Sums {
            information: pairs.map(|(i, j)| information[i][j]).collect(),
            gradient: self.0.iter().map(|i| sums.gradient[*i]).collect(),
            deviance: sums.deviance,
        }
    }

    /// Coefficients of all columns: 0 of those that are not in the model.
    fn spread(&self, own: &[f64], n_columns: usize) -> Vec<f64> {
        let mut all = vec![0.0; n_columns];
        self.0.iter().zip(own).for_each(|(at, b)| all[*at] = *b);
        all
    }
}

/// By how much less a criterion is at least: less is what rounding leaves.
const LEAST_GAIN: f64 = 1e-7;

/// A column and its χ².
type Tested = Option<(usize, f64)>;

/// The column of the model that tells least by Wald's test, of equal ones the first.
fn weakest(columns: &Columns, fit: &Fit) -> Result<Tested, Trouble> {
    let n = columns.0.len();
    let factor = Factor::new(&fit.sums.information, n);
    let factor = factor.map_err(|found| Trouble::Singular {
        column: columns.0[found.column],
    })?;
    let inverse = factor.inverse();
    let tested = columns.0.iter().enumerate().skip(1);
    let tested = tested.map(|(i, column)| (*column, fit.coefficients[i].powi(2) / inverse[i][i]));
    Ok(tested.reduce(|least, next| if next.1 < least.1 { next } else { least }))
}

/// The column outside that tells most by the score test, of equal ones the first. One that is a combination of the model's
/// columns tells nothing.
fn strongest(columns: &Columns, sums: &Sums, n_columns: usize) -> Result<Tested, Trouble> {
    let tested = tested(columns, sums, n_columns)?.into_iter();
    Ok(tested.reduce(|most, next| if next.1 > most.1 { next } else { most }))
}

/// Of each column outside that is no combination of the model's its score test.
fn tested(columns: &Columns, sums: &Sums, n_columns: usize) -> Result<Vec<(usize, f64)>, Trouble> {
    let information = square(&sums.information, n_columns);
    let own = columns.of(sums, n_columns);
    let factor = Factor::new(&own.information, columns.0.len());
    let factor = factor.map_err(|found| Trouble::Singular {
        column: columns.0[found.column],
    })?;
    let outside = (1..n_columns).filter(|column| !columns.has(*column));
    let tested = outside.filter_map(|column| {
        let with: Vec<f64> = columns.0.iter().map(|i| information[column][*i]).collect();
        let explained = factor.solve(&with);
        let shared: f64 = with.iter().zip(&explained).map(|(a, b)| a * b).sum();
        let left = information[column][column] - shared;
        let is_own = left > LEAST_PIVOT * information[column][column];
        is_own.then(|| (column, sums.gradient[column].powi(2) / left))
    });
    Ok(tested.collect())
}

/// What a step of the selection finds.
enum Step {
    Enters(usize, f64),
    Leaves(usize, f64),
    Ends,
}

fn step(
    rule: &Stepping,
    columns: &Columns,
    (fit, sums): (&Fit, &Sums),
    n_columns: usize,
) -> Result<Step, Trouble> {
    if rule.direction != Direction::Forward
        && let Some((column, chi2)) = weakest(columns, fit)?
        && chi2 < rule.stay()
    {
        return Ok(Step::Leaves(column, chi2));
    }
    if rule.direction != Direction::Backward
        && let Some((column, chi2)) = strongest(columns, sums, n_columns)?
        && chi2 >= rule.enter()
    {
        return Ok(Step::Enters(column, chi2));
    }
    Ok(Step::Ends)
}

/// A sample in the measure of the fit, and one as it stands.
pub(super) type Samples = (Arc<Rows>, Rows);

impl Fitting<'_> {
    /// Chooses columns: from here on the model has these alone. Both samples and what they are measured in follow.
    pub(super) async fn selected(
        &mut self,
        rule: &Stepping,
        (rows, test): Samples,
        (means, scale): (&mut Means, &mut Scale),
        binned: &mut [BinnedFeature],
    ) -> Result<(Samples, Vec<Selected>), Stopped> {
        let n_columns = self.of.n_columns();
        let mut columns = match rule.direction {
            Direction::Backward => Columns((0..n_columns).collect()),
            Direction::Forward | Direction::Both => Columns(vec![0]),
        };
        let mut at = vec![0.0; n_columns];
        at[0] = null_intercept(self.of.model, means);
        let mut left = rule.evaluations;
        let (mut steps, mut last) = (Vec::new(), None);
        loop {
            let (fit, sums) = self.fit_of(&rows, &columns, at, &mut left).await?;
            at = columns.spread(&fit.coefficients, n_columns);
            let next = match rule.criterion {
                Criterion::P => {
                    let next = step(rule, &columns, (&fit, &sums), n_columns);
                    next.map_err(|trouble| self.trouble(trouble))?
                }
                Criterion::Aic | Criterion::Bic => {
                    let from = (&columns, &at[..], &sums);
                    let tried = self.tried((rule, means.n_rows), &rows, from, &mut left);
                    tried.await?
                }
            };
            let told = |column: usize, by, enters| Selected {
                term: self.of.term(column).to_owned(),
                enters,
                by,
                is_tested: rule.criterion.is_p(),
            };
            match next {
                Step::Ends => break,
                Step::Enters(column, chi2) => {
                    steps.push(told(column, chi2, true));
                    columns = columns.with(column);
                    last = Some(column);
                }
                Step::Leaves(column, chi2) => {
                    steps.push(told(column, chi2, false));
                    columns = columns.without(column);
                    at[column] = 0.0;
                    // It would enter again, and leave again. A criterion that falls does not come back.
                    if last == Some(column) && rule.criterion.is_p() {
                        break;
                    }
                }
            }
        }
        if columns.0.len() < 2 {
            let what = "no column is left in the model by stepwise selection".to_owned();
            return Err(together(
                what,
                "raise enter and stay, or bring other features",
            ));
        }
        let samples = self
            .reduced(&columns, (rows, test), (means, scale), binned)
            .await;
        Ok((samples, steps))
    }

    /// Fits every model that a step can lead to, and takes the one whose information criterion is least, if that is less.
    async fn tried(
        &mut self,
        (rule, n_rows): (&Stepping, u64),
        rows: &Arc<Rows>,
        (columns, at, sums): (&Columns, &[f64], &Sums),
        left: &mut u32,
    ) -> Result<Step, Stopped> {
        let n_columns = self.of.n_columns();
        let n = n_rows as f64;
        let a_column = match rule.criterion {
            Criterion::Bic => n.ln(),
            _ => 2.0,
        };
        let is_linear = self.of.model == Model::Linear;
        let criterion = |deviance: f64, columns: &Columns| {
            let fit = if is_linear {
                n * (deviance / n).ln()
            } else {
                deviance
            };
            fit + a_column * columns.0.len() as f64
        };
        let now = criterion(sums.deviance, columns);
        let mut candidates = Vec::new();
        if rule.direction != Direction::Forward {
            candidates.extend(columns.0.iter().skip(1).map(|column| (*column, false)));
        }
        if rule.direction != Direction::Backward {
            let tested = tested(columns, sums, n_columns);
            let tested = tested.map_err(|trouble| self.trouble(trouble))?;
            candidates.extend(tested.into_iter().map(|(column, _)| (column, true)));
        }
        let mut best: Option<(f64, usize, bool)> = None;
        for (column, enters) in candidates {
            let next = match enters {
                true => columns.with(column),
                false => columns.without(column),
            };
            let mut start = at.to_vec();
            start[column] = 0.0;
            let (_, found) = self.fit_of(rows, &next, start, left).await?;
            let found = criterion(found.deviance, &next);
            if best.is_none_or(|(least, ..)| found < least - LEAST_GAIN) {
                best = Some((found, column, enters));
            }
        }
        Ok(match best.filter(|(found, ..)| *found < now - LEAST_GAIN) {
            None => Step::Ends,
            Some((found, column, true)) => Step::Enters(column, now - found),
            Some((found, column, false)) => Step::Leaves(column, now - found),
        })
    }

    /// Newton's method over some columns, and the sums of all at its end.
    async fn fit_of(
        &mut self,
        rows: &Arc<Rows>,
        columns: &Columns,
        mut at: Vec<f64>,
        left: &mut u32,
    ) -> Result<(Fit, Sums), Stopped> {
        let n_columns = self.of.n_columns();
        let setting = Setting {
            family: self.of.model.family(),
            penalties: vec![0.0; columns.0.len()],
            tolerance: self.of.tolerance.parse().unwrap_or(1e-9),
            max_iterations: self.of.max_iterations,
        };
        let start = columns.0.iter().map(|column| at[*column]).collect();
        let mut newton = Newton::new(setting, start);
        while *left > 0 {
            *left -= 1;
            let sums = self.step(rows, at).await?;
            let own = sums.as_ref().map(|sums| columns.of(sums, n_columns));
            let next = newton.next(own).map_err(|trouble| {
                let named = |column: usize| columns.0[column];
                self.trouble(match trouble {
                    Trouble::Singular { column } => Trouble::Singular {
                        column: named(column),
                    },
                    Trouble::Separated { column, iterations } => Trouble::Separated {
                        column: named(column),
                        iterations,
                    },
                    other => other,
                })
            })?;
            match (next, sums) {
                (Next::Done(fit), Some(sums)) => return Ok((fit, sums)),
                (Next::Evaluate(next), _) => at = columns.spread(&next, n_columns),
                (Next::Done(_), None) => break,
            }
        }
        Err(together(
            "stepwise selection does not end within the evaluations that the plan allows"
                .to_owned(),
            "choose fewer features",
        ))
    }

    /// Leaves out all columns but these.
    async fn reduced(
        &mut self,
        columns: &Columns,
        (rows, test): Samples,
        (means, scale): (&mut Means, &mut Scale),
        binned: &mut [BinnedFeature],
    ) -> Samples {
        let keep = columns.0.clone();
        let kernel = move || {
            let make = |row: &[f64], made: &mut [f64]| {
                for (value, column) in made.iter_mut().zip(&keep) {
                    *value = row[*column];
                }
            };
            [&*rows, &test].map(|rows| rows.with_columns(keep.len(), make))
        };
        let [rows, test] = self.session.compute().run(kernel).await;
        let picked = |values: &[f64]| columns.0.iter().map(|column| values[*column]).collect();
        scale.shifts = picked(&scale.shifts);
        scale.scales = picked(&scale.scales);
        let terms = || columns.0.iter().skip(1).map(|column| column - 1);
        means.columns = terms().map(|term| means.columns[term]).collect();
        // Features that are left out stand behind those of the model.
        let n_terms = self.of.terms.len().min(binned.len());
        let order: Vec<usize> = terms()
            .chain((0..n_terms).filter(|term| !columns.has(term + 1)))
            .collect();
        if !binned.is_empty() {
            let sorted: Vec<BinnedFeature> =
                order.iter().map(|term| binned[*term].clone()).collect();
            binned[..sorted.len()].clone_from_slice(&sorted);
        }
        self.of.terms = terms().map(|term| self.of.terms[term].clone()).collect();
        (Arc::new(rows), test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::glm::Family;

    /// Three columns beside the constant: the first tells most, the last is the sum of the others.
    fn rows() -> Rows {
        let noise = |i: u32| (f64::from(i) * 12.9898).sin() * 43_758.545 % 1.0;
        let mut rows = Rows::new(4);
        for i in 0..600 {
            let (a, b) = (2.0 * noise(i), 2.0 * noise(i + 7000));
            let is_bad = noise(i + 90_000) < 0.2 + 0.9 * a;
            rows.push(&[1.0, a, b, a + b], f64::from(u8::from(is_bad)), None);
        }
        rows
    }

    fn fit(rows: &Rows, columns: &Columns) -> (Fit, Sums) {
        let setting = Setting {
            family: Family::Logistic,
            penalties: vec![0.0; columns.0.len()],
            tolerance: 1e-9,
            max_iterations: 50,
        };
        let mut newton = Newton::new(setting, vec![0.0; columns.0.len()]);
        let mut at = vec![0.0; 4];
        loop {
            let sums = rows.evaluate(Family::Logistic, &at).expect("numbers");
            match newton.next(Some(columns.of(&sums, 4))).expect("a fit") {
                Next::Done(fit) => return (fit, sums),
                Next::Evaluate(next) => at = columns.spread(&next, 4),
            }
        }
    }

    #[test]
    fn the_column_that_tells_most_enters_and_a_combination_never() {
        let rows = rows();
        let rule = |direction| Stepping {
            direction,
            criterion: Criterion::P,
            enter: "3.84".to_owned(),
            stay: "3.84".to_owned(),
            evaluations: 100,
        };
        let null = Columns(vec![0]);
        let (fit_0, sums) = fit(&rows, &null);
        let next = step(&rule(Direction::Forward), &null, (&fit_0, &sums), 4);
        let Ok(Step::Enters(1, chi2)) = next else {
            panic!("the first column enters");
        };
        // For one column the score test is n·r² of the label, by definition.
        let n = rows.len() as f64;
        let mean = |of: &dyn Fn(usize) -> f64| (0..rows.len()).map(of).sum::<f64>() / n;
        let (x, y) = (|i: usize| rows.row(i)[1], |i: usize| rows.labels()[i]);
        let (mx, my) = (mean(&x), mean(&y));
        let covariance = mean(&|i| (x(i) - mx) * (y(i) - my));
        let spread = mean(&|i| (x(i) - mx).powi(2)) * mean(&|i| (y(i) - my).powi(2));
        assert!((chi2 - n * covariance * covariance / spread).abs() < 1e-6 * chi2);
        let both = Columns(vec![0, 1, 2]);
        let (fit_2, sums) = fit(&rows, &both);
        let strongest = strongest(&both, &sums, 4).expect("independent columns");
        assert_eq!(strongest, None, "the last column is a combination");
        let found = step(&rule(Direction::Backward), &both, (&fit_2, &sums), 4);
        let wald = weakest(&both, &fit_2)
            .expect("independent")
            .expect("a column");
        match found {
            Ok(Step::Leaves(column, chi2)) => assert!((column, chi2) == wald && chi2 < 3.84),
            Ok(Step::Ends) => assert!(wald.1 >= 3.84),
            _ => panic!("nothing enters backward"),
        }
        let dependent = weakest(&Columns(vec![0, 1, 2, 3]), &Fit { sums, ..fit_2 });
        assert!(matches!(dependent, Err(Trouble::Singular { column: 3 })));
    }
}
