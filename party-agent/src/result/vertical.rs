//! The result of a model over a join.

mod card;
mod hazards;
mod trees;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringViewArray};
use protocols::train::evaluate::Figures;
use protocols::train::glm::{Family, Released};
use serde_json::{Value, json};

use super::figures::{self, add_figures};
use super::{ResultError, ResultTable, tails, totals};
use crate::plan::{OutputColumn, Plan, VerticalPlan, asks};

pub use card::carded;
pub use trees::grown;

/// The quantile of a confidence interval of 95 percent.
const Z_95: f64 = 1.959_963_984_540_054;

/// Builds the result of a fit.
///
/// # Errors
/// [`ResultError::Totals`] if what was released are not the numbers of such a model.
pub fn fitted(
    plan: &Plan,
    of: &VerticalPlan,
    found: &Released,
) -> Result<ResultTable, ResultError> {
    let n_columns = of.n_columns();
    if found.coefficients.len() != n_columns || found.errors.len() != n_columns {
        return Err(totals("a coefficient is missing"));
    }
    let estimates = Estimates::of(of, found);
    let both = estimates.coefficients.iter().zip(&estimates.errors);
    let terms = both.enumerate().map(|(c, (b, e))| (of.term(c), *b, *e));
    let freedom = estimates
        .dispersion
        .filter(|_| of.family() == Family::Linear);
    let terms: Vec<(&str, f64, f64)> = terms.collect();
    let values = values(plan, &terms, freedom.map(|(_, freedom)| freedom));
    let mut notes = plan.notes.clone();
    let (n_used, fit) = match &of.hazards {
        Some(hazards) => hazards::described(of, hazards, found)?,
        None => {
            let figures = Figures::of(&found.figures, asks(&of.scores));
            notes.extend(untold(of, figures.as_ref()));
            let mut fit = described(of, found, figures);
            if let Some((dispersion, freedom)) = estimates.dispersion {
                fit["dispersion"] = json!(dispersion);
                fit["df_resid"] = json!(freedom);
            }
            (found.n_used, fit)
        }
    };
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows: n_columns,
        values,
        suppressed: Vec::new(),
        n_used,
        dropped: BTreeMap::new(),
        notes,
        fit: Some(fit),
        noise: None,
        class: plan.class,
    })
}

/// The numbers that describe a fit, by their names in the result.
fn described(of: &VerticalPlan, found: &Released, figures: Option<Figures>) -> Value {
    let mut described = json!({
        "model": of.model.as_str(),
        "partition": "vertical",
        "n": found.n_used,
        "steps": of.steps,
        "decrement": found.decrement,
    });
    if let Some(figures) = figures {
        add_figures(&mut described, &figures, &of.scores);
    }
    described
}

/// Coefficients and standard errors in the labels' unit.
struct Estimates {
    coefficients: Vec<f64>,
    errors: Vec<f64>,
    /// The factor of variances that is estimated from residuals, and its degrees of freedom.
    dispersion: Option<(f64, f64)>,
}

impl Estimates {
    fn of(of: &VerticalPlan, found: &Released) -> Self {
        let (mut coefficients, mut errors) = (found.coefficients.clone(), found.errors.clone());
        let family = of.family();
        let dispersion = family.has_dispersion().then(|| {
            let freedom = found.n_used as f64 - of.n_columns() as f64;
            (found.squares / freedom, freedom)
        });
        if let Some((dispersion, _)) = dispersion {
            errors.iter_mut().for_each(|e| *e *= dispersion.sqrt());
        }
        let unit = of.label_unit();
        match family {
            Family::Linear => {
                let all = coefficients.iter_mut().chain(&mut errors);
                all.for_each(|value| *value *= unit);
            }
            Family::Gamma => coefficients[0] += unit.ln(),
            Family::Logistic | Family::Poisson => {}
        }
        let unit = if family == Family::Linear { unit } else { 1.0 };
        Self {
            coefficients,
            errors,
            dispersion: dispersion.map(|(d, freedom)| (d * unit * unit, freedom)),
        }
    }
}

/// The columns of the result: one row for each term, coefficient and standard error. `freedom`: that of Student's tests,
/// where they are that.
fn values(plan: &Plan, terms: &[(&str, f64, f64)], freedom: Option<f64>) -> Vec<ArrayRef> {
    let each = |f: &dyn Fn(f64, f64) -> f64| -> ArrayRef {
        let values = terms.iter().map(|(_, b, e)| f(*b, *e));
        Arc::new(Float64Array::from_iter_values(values))
    };
    let p = |t: f64| match freedom {
        Some(freedom) => tails::student_two_sided(t, freedom),
        None => tails::normal_two_sided(t),
    };
    let width = freedom.map_or(Z_95, |freedom| tails::student_quantile(0.05, freedom));
    let names: Vec<&str> = terms.iter().map(|(name, ..)| *name).collect();
    let column = |column: &OutputColumn| match column.name.as_str() {
        "coef" => each(&|b, _| b),
        "se" => each(&|_, e| e),
        "t" | "z" => each(&|b, e| b / e),
        "p" => each(&|b, e| p(b / e)),
        "ci95_low" => each(&|b, e| b - width * e),
        "ci95_high" => each(&|b, e| b + width * e),
        _ => Arc::new(StringViewArray::from(names.clone())),
    };
    plan.outputs.iter().map(column).collect()
}

/// What is said where figures of scores are not told.
fn untold(of: &VerticalPlan, figures: Option<&Figures>) -> Vec<String> {
    figures::untold(figures, &of.scores, (of.at_least, of.min_cell))
}
