//! A fitted model as a table: one row a coefficient, and what describes the fit beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringViewArray};
use engine::glm::solve::{Factor, square};
use engine::glm::{ln_gamma, triangle};
use protocols::train::evaluate::Figures;
use serde_json::{Value, json};

use super::figures::{OF_OOT, OF_TRAIN, Stable, add_sample, add_spreads, add_test};
use super::scorecard::{BinnedFeature, points};
use super::screen::Screened;
use super::{ResultError, ResultTable, tails, totals};
use crate::plan::{Plan, TrainPlan};
use crate::spec::Model;

/// What a fit was measured in: columns as (value − shift)/scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// One for each column of the design.
    pub shifts: Vec<f64>,
    /// One for each column of the design.
    pub scales: Vec<f64>,
    /// Shift and scale of the label.
    pub label: (f64, f64),
}

/// A fitted model, in the measure of the fit.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// Rows over all holders.
    pub n_used: u64,
    /// Rows that were left out, unless there are too few of them to be told.
    pub dropped: Option<u64>,
    /// What stands for missing values of columns that are filled.
    pub filled: Vec<Filled>,
    /// The fit.
    pub fitted: Fitted,
    /// Mean and standard deviation of the terms that are told in them, in the measure of the fit.
    pub moments: Vec<Option<(f64, f64)>>,
    /// What it is measured in.
    pub scale: Scale,
    /// What is told of rows that are not fitted, of those that are, and of those out of time, if enough of them are bad and
    /// good.
    pub figures: [Option<Figures>; 3],
    /// Of a scorecard all features in bins, those of the model first.
    pub binned: Vec<BinnedFeature>,
    /// Of a scorecard how far other samples are spread over the bins of each feature otherwise than the one that is fitted.
    pub stable: Vec<Stable>,
    /// Features that are not in a scorecard, and why.
    pub left_out: Vec<Screened>,
    /// Variance inflation factors of the features of a scorecard, by falling information value, if features are left out by them.
    pub inflations: Vec<(String, f64)>,
    /// How columns were chosen, step by step.
    pub selected: Vec<Selected>,
}

/// A fit that has converged, in its own measure.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The coefficients.
    pub coefficients: Vec<f64>,
    /// Steps taken.
    pub iterations: u32,
    /// The largest coordinate of the last step, after which nothing was evaluated.
    pub last_step: f64,
    /// The largest coordinate of the penalised gradient, where steps are opened.
    pub gradient: Option<f64>,
    /// The deviance.
    pub deviance: f64,
    /// The deviance of the model without features, where there is an intercept.
    pub null_deviance: Option<f64>,
    /// Pearson's X², what the likelihood has beside the deviance, and Σ y/μ of gamma models.
    pub last: [f64; 3],
    /// How precise the coefficients are.
    pub precision: Precision,
    /// The mean log loss at each evaluation, if it is told.
    pub losses: Vec<f64>,
}

/// How precise coefficients are.
#[derive(Clone, Debug)]
pub enum Precision {
    /// The sums of the last step were opened.
    Opened {
        /// The information.
        information: Vec<f64>,
        /// XᵀX of gamma models, Xᵀ diag(r²) X of linear ones.
        further: Vec<f64>,
    },
    /// Errors were found on shares, for a dispersion of 1.
    Found {
        /// Of each column in the measure of the fit; that of an intercept in the measure of the result.
        errors: Vec<f64>,
        /// Robust ones, of linear models.
        robust: Option<Vec<f64>>,
    },
    /// Penalised coefficients have none.
    Unknown,
}

/// What stands for missing values of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    /// The column.
    pub feature: String,
    /// What stands for them.
    pub value: f64,
    /// How many values are not missing, in the rows that are fitted.
    pub n_present: u64,
}

impl Filled {
    fn told(&self, n_used: u64) -> Value {
        json!({
            "feature": self.feature,
            "value": self.value,
            "missing": n_used.saturating_sub(self.n_present),
        })
    }
}

impl Estimate {
    /// What stands for missing values, if any are filled in.
    fn told_filled(&self) -> Option<(&'static str, Value)> {
        let filled = self.filled.iter().map(|f| f.told(self.n_used));
        let filled: Vec<Value> = filled.collect();
        (!filled.is_empty()).then_some(("filled", Value::Array(filled)))
    }
}

/// A step of stepwise selection.
#[derive(Clone, Debug, PartialEq)]
pub struct Selected {
    /// The column.
    pub term: String,
    /// Whether it enters, or leaves.
    pub enters: bool,
    /// χ² with one degree of freedom, of the score test or Wald's; or by how much the information criterion falls.
    pub by: f64,
    /// Whether it is that of a test.
    pub is_tested: bool,
}

impl Selected {
    fn told(&self) -> Value {
        let mut told = json!({
            "term": self.term,
            "step": if self.enters { "enters" } else { "leaves" },
        });
        if self.is_tested {
            told["chi2"] = json!(self.by);
            told["p"] = json!(tails::chi_squared_upper(self.by, 1.0));
        } else {
            told["falls_by"] = json!(self.by);
        }
        told
    }
}

/// The numbers that describe a fit, by their names in the result.
type Described = BTreeMap<&'static str, Value>;

/// Builds the result of a fit.
///
/// # Errors
/// [`ResultError::Totals`] if the sums are not those of a model.
pub fn trained(plan: &Plan, of: &TrainPlan, found: &Estimate) -> Result<ResultTable, ResultError> {
    let model = Told::new(of, found)?;
    let names: Vec<&str> = (0..of.n_columns()).map(|i| of.term(i)).collect();
    let mut values: Vec<ArrayRef> = Vec::with_capacity(plan.outputs.len());
    for column in &plan.outputs {
        let numbers = match column.name.as_str() {
            "coef" => &model.coefficients,
            "se" => &model.errors,
            "t" | "z" => &model.statistics,
            "p" => &model.p,
            "ci95_low" => &model.low,
            "ci95_high" => &model.high,
            _ => {
                values.push(Arc::new(StringViewArray::from(names.clone())));
                continue;
            }
        };
        values.push(Arc::new(Float64Array::from(numbers.clone())));
    }
    let mut notes = plan.notes.clone();
    if found.dropped.is_none() {
        notes.push(format!(
            "fewer than {} rows were left out because a value is missing, perhaps none; how many is not told",
            plan.min_cell.at_least
        ));
    }
    let mut described = json!(model.described);
    if let Some(test) = &of.test {
        let limits = (test.at_least, test.at_least);
        let [of_test, of_train, of_oot] = found.figures.each_ref().map(Option::as_ref);
        if let Some(asked) = &test.of_train {
            let of = (OF_TRAIN, of_train);
            notes.extend(add_sample(&mut described, of, asked, limits));
        }
        if !test.oot.is_empty() {
            let of = (OF_OOT, of_oot);
            notes.extend(add_sample(&mut described, of, &test.scores, limits));
        }
        notes.extend(add_test(&mut described, of_test, &test.scores, limits));
        notes.extend(add_spreads(&mut described, &found.stable, test.at_least));
    }
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows: names.len(),
        values,
        suppressed: Vec::new(),
        n_used: found.n_used,
        dropped: found
            .dropped
            .map(|n| ("rows".to_owned(), n))
            .into_iter()
            .collect(),
        notes,
        fit: Some(described),
        noise: None,
        matched: None,
        class: plan.class,
    })
}

/// A model in the measure in which it is told.
struct Told {
    coefficients: Vec<f64>,
    errors: Vec<f64>,
    statistics: Vec<f64>,
    p: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
    described: Described,
}

impl Told {
    fn new(of: &TrainPlan, found: &Estimate) -> Result<Self, ResultError> {
        let change = Change::new(of, &found.scale, &found.moments);
        let coefficients = change.coefficients(&found.fitted.coefficients);
        let (described, errors) = match of.model {
            Model::Linear => linear(of, found, &change)?,
            _ => (likelihood(of, found), errors(of, found, &change)?),
        };
        let mut described = described;
        if let Some(card) = &of.scorecard {
            let (features, scale) = points(card, &found.binned, &coefficients);
            described.insert("features", features);
            if let Some(screen) = &card.screen {
                let left = found.left_out.iter().map(|f| f.told(card, screen));
                described.insert("screened", Value::Array(left.collect()));
                if screen.inflation.is_some() {
                    let factor =
                        |(name, vif): &(String, f64)| json!({ "feature": name, "vif": vif });
                    let factors = found.inflations.iter().map(factor);
                    described.insert("vif", Value::Array(factors.collect()));
                }
            }
            described.insert("scorecard", scale);
        }
        described.extend(found.told_filled());
        if of.tells_loss {
            described.insert("loss", json!(found.fitted.losses));
        }
        if of.stepwise.is_some() {
            let steps = found.selected.iter().map(Selected::told);
            described.insert("stepwise", Value::Array(steps.collect()));
        }
        let df = residual_df(of, found);
        let statistics: Vec<f64> = coefficients
            .iter()
            .zip(&errors)
            .map(|(c, e)| c / e)
            .collect();
        let is_linear = of.model == Model::Linear;
        let tail = |t: &f64| match is_linear {
            true => tails::student_two_sided(*t, df),
            false => tails::normal_two_sided(*t),
        };
        let width = match is_linear {
            true => tails::student_quantile(0.05, df),
            false => NORMAL_975,
        };
        let bound = |sign: f64| {
            let pairs = coefficients.iter().zip(&errors);
            pairs.map(|(c, e)| c + sign * width * e).collect()
        };
        Ok(Self {
            p: statistics.iter().map(tail).collect(),
            low: bound(-1.0),
            high: bound(1.0),
            coefficients,
            errors,
            statistics,
            described,
        })
    }
}

/// The 97.5th percentile of the standard normal distribution.
const NORMAL_975: f64 = 1.959_963_984_540_054;

fn residual_df(of: &TrainPlan, found: &Estimate) -> f64 {
    found.n_used as f64 - of.n_columns() as f64
}

/// From the measure of the fit to that of the result: every coefficient is a multiple of its own, the intercept a sum.
pub(crate) struct Change {
    /// Of each column what its own coefficient is multiplied by.
    factors: Vec<f64>,
    /// Of each column what it adds to the intercept; empty without one.
    pub(crate) to_intercept: Vec<f64>,
    /// What is added to the intercept beside.
    constant: f64,
}

impl Change {
    /// From the measure of a fit.
    pub(crate) fn new(of: &TrainPlan, scale: &Scale, moments: &[Option<(f64, f64)>]) -> Self {
        let first = usize::from(of.intercept);
        let (label_shift, label_scale) = scale.label;
        let (mut factors, mut to_intercept) = (Vec::new(), Vec::new());
        for (i, (shift, scale)) in scale.shifts.iter().zip(&scale.scales).enumerate() {
            let moments = i.checked_sub(first).and_then(|term| *moments.get(term)?);
            let (factor, addend) = match (i < first, moments) {
                (true, _) => (label_scale, label_scale),
                (false, Some((mean, deviation))) => (label_scale * deviation, label_scale * mean),
                (false, None) => (label_scale / scale, -label_scale * shift / scale),
            };
            factors.push(factor);
            to_intercept.push(addend);
        }
        if !of.intercept {
            to_intercept.clear();
        }
        Self {
            factors,
            to_intercept,
            constant: label_shift,
        }
    }

    fn coefficients(&self, of_fit: &[f64]) -> Vec<f64> {
        let told = of_fit.iter().zip(&self.factors).map(|(b, f)| b * f);
        let mut told: Vec<f64> = told.collect();
        if !self.to_intercept.is_empty() {
            let parts = of_fit.iter().zip(&self.to_intercept).map(|(b, a)| b * a);
            told[0] = self.constant + parts.sum::<f64>();
        }
        told
    }

    /// Errors that were found on shares, in the measure of the result.
    fn found(&self, errors: &[f64]) -> Vec<f64> {
        let own = errors.iter().zip(&self.factors);
        let mut told: Vec<f64> = own.map(|(error, factor)| error * factor.abs()).collect();
        if !self.to_intercept.is_empty() {
            told[0] = errors[0];
        }
        told
    }

    /// Roots of the diagonal of the covariance in the measure of the result.
    fn errors(&self, covariance: &[Vec<f64>]) -> Vec<f64> {
        let diagonal = covariance.iter().enumerate().zip(&self.factors);
        let errors = diagonal.map(|((i, row), factor)| row[i].sqrt() * factor.abs());
        let mut errors: Vec<f64> = errors.collect();
        if !self.to_intercept.is_empty() {
            let rows = covariance.iter().zip(&self.to_intercept);
            let sum: f64 = rows
                .map(|(row, a)| {
                    let products = row.iter().zip(&self.to_intercept).map(|(v, b)| v * b);
                    a * products.sum::<f64>()
                })
                .sum();
            errors[0] = sum.sqrt();
        }
        errors
    }
}

/// What is said of any fit.
fn described(of: &TrainPlan, found: &Estimate) -> Described {
    let fitted = &found.fitted;
    let mut described = BTreeMap::from([
        ("model", json!(of.model.as_str())),
        ("n", json!(found.n_used)),
        ("dropped", json!(found.dropped)),
        ("parameters", json!(of.n_columns())),
        ("df_resid", json!(residual_df(of, found))),
        ("iterations", json!(fitted.iterations)),
        ("converged", json!(true)),
        ("last_step", json!(fitted.last_step)),
    ]);
    if let Some(gradient) = fitted.gradient {
        described.insert("gradient", json!(gradient));
    }
    described
}

/// Statistics of least squares, and standard errors.
fn linear(
    of: &TrainPlan,
    found: &Estimate,
    change: &Change,
) -> Result<(Described, Vec<f64>), ResultError> {
    let mut described = described(of, found);
    let (n, p) = (found.n_used as f64, of.n_columns() as f64);
    let df = residual_df(of, found);
    let unit = found.scale.label.1.powi(2);
    let rss = found.fitted.deviance;
    let variance = rss / df;
    let log_likelihood = -0.5 * n * ((std::f64::consts::TAU * unit * rss / n).ln() + 1.0);
    described.insert("rss", json!(rss * unit));
    described.insert("sigma2", json!(variance * unit));
    described.insert("loglik", json!(log_likelihood));
    described.insert("aic", json!(2.0 * p - 2.0 * log_likelihood));
    if let Some(tss) = found.fitted.null_deviance {
        let r2 = 1.0 - rss / tss;
        let f = (tss - rss) / (p - 1.0) / variance;
        described.insert("r2", json!(r2));
        described.insert("adj_r2", json!(1.0 - (1.0 - r2) * (n - 1.0) / df));
        described.insert("f", json!(f));
        described.insert("f_p", json!(tails::f_upper(f, p - 1.0, df)));
    }
    let robust = match &found.fitted.precision {
        Precision::Opened { further, .. } => {
            let covariance = covariance(of, found)?;
            let meat = square(further, of.n_columns());
            Some(change.errors(&sandwich(&covariance, &meat, n / df)))
        }
        Precision::Found { robust, .. } => robust.as_ref().map(|r| change.found(r)),
        Precision::Unknown => None,
    };
    if let Some(robust) = robust {
        described.insert("se_hc1", json!(robust));
    }
    let own = errors(of, found, change)?;
    let errors = own.iter().map(|e| e * variance.sqrt()).collect();
    Ok((described, errors))
}

/// The inverse of the information at the end, or of what is expected of it.
fn covariance(of: &TrainPlan, found: &Estimate) -> Result<Vec<Vec<f64>>, ResultError> {
    let Precision::Opened {
        information,
        further,
    } = &found.fitted.precision
    else {
        return Err(totals("the information at the fit was not opened"));
    };
    let information = match of.model {
        Model::Gamma => further,
        _ => information,
    };
    let n_columns = of.n_columns();
    if information.len() != triangle(n_columns) {
        return Err(totals("the information at the fit is missing"));
    }
    let factor = Factor::new(information, n_columns);
    let factor = factor.map_err(|_| totals("the information at the fit is singular"))?;
    Ok(factor.inverse())
}

/// Standard errors in the measure of the result, but of linear models for a variance of 1; empty where there are none.
fn errors(of: &TrainPlan, found: &Estimate, change: &Change) -> Result<Vec<f64>, ResultError> {
    let mut errors = match &found.fitted.precision {
        Precision::Opened { .. } => change.errors(&covariance(of, found)?),
        Precision::Found { errors, .. } => change.found(errors),
        Precision::Unknown => Vec::new(),
    };
    if of.model == Model::Gamma {
        let dispersion = found.fitted.last[0] / residual_df(of, found);
        errors.iter_mut().for_each(|e| *e *= dispersion.sqrt());
    }
    Ok(errors)
}

/// factor · A B A.
fn sandwich(a: &[Vec<f64>], b: &[Vec<f64>], factor: f64) -> Vec<Vec<f64>> {
    let product = |x: &[Vec<f64>], y: &[Vec<f64>]| -> Vec<Vec<f64>> {
        let row = |row: &Vec<f64>| {
            let column = |j: usize| row.iter().zip(y).map(|(v, y)| v * y[j]).sum();
            (0..y.len()).map(column).collect()
        };
        x.iter().map(row).collect()
    };
    let mut done = product(&product(a, b), a);
    done.iter_mut().flatten().for_each(|v| *v *= factor);
    done
}

/// Statistics of the models that are fitted by likelihood.
fn likelihood(of: &TrainPlan, found: &Estimate) -> Described {
    let mut described = described(of, found);
    let (n, p) = (found.n_used as f64, of.n_columns() as f64);
    let df = residual_df(of, found);
    let deviance = found.fitted.deviance;
    let [pearson, constant, ratios] = found.fitted.last;
    let dispersion = if of.model == Model::Gamma {
        pearson / df
    } else {
        1.0
    };
    let log_likelihood = match of.model {
        Model::Linear | Model::Logistic | Model::Scorecard | Model::Gbdt | Model::Mlp => {
            -0.5 * deviance
        }
        Model::Poisson => -0.5 * deviance - constant,
        Model::Gamma => {
            let nu = 1.0 / dispersion;
            let logarithms = ratios - n - 0.5 * deviance;
            n * (nu * nu.ln() - ln_gamma(nu)) + nu * (logarithms - ratios) - constant
        }
    };
    described.insert("deviance", json!(deviance));
    described.insert("null_deviance", json!(found.fitted.null_deviance));
    described.insert("pearson_chi2", json!(pearson));
    described.insert("dispersion", json!(dispersion));
    described.insert("pearson_dispersion", json!(pearson / df));
    described.insert("loglik", json!(log_likelihood));
    described.insert("aic", json!(2.0 * p - 2.0 * log_likelihood));
    described
}
