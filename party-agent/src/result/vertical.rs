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

use super::figures::{self, OF_OOT, OF_TRAIN, add_figures, add_sample};
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
            let (figures, _) = samples(of, &found.figures)?;
            let (mut fit, untold) = described(of, found, &figures);
            notes.extend(untold);
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
        matched: None,
        class: plan.class,
    })
}

/// The numbers that describe a fit, by their names in the result; and what is said where figures of scores are not told.
fn described(
    of: &VerticalPlan,
    found: &Released,
    [of_test, of_train, of_oot]: &[Option<Figures>; 3],
) -> (Value, Vec<String>) {
    let mut described = json!({
        "model": of.model.as_str(),
        "partition": "vertical",
        "n": found.n_used,
    });
    match &of.descent {
        Some(descent) => described["descent"] = json!(descent),
        None => {
            described["steps"] = json!(of.steps);
            described["decrement"] = json!(found.decrement);
        }
    }
    if let Some(figures) = of_test {
        add_figures(&mut described, figures, &of.scores);
    }
    let mut notes = untold(of, of_test.as_ref());
    let limits = (of.at_least, of.min_cell);
    if let Some(asked) = &of.of_train {
        let of_train = (OF_TRAIN, of_train.as_ref());
        notes.extend(add_sample(&mut described, of_train, asked, limits));
    }
    if of.n_kept() > 1 {
        let of_oot = (OF_OOT, of_oot.as_ref());
        notes.extend(add_sample(&mut described, of_oot, &of.scores, limits));
    }
    (described, notes)
}

/// Figures of rows that are not fitted, of those that are and of those out of time, as far as they are evaluated; and what
/// comes after them.
fn samples<'f>(
    of: &VerticalPlan,
    found: &'f [u64],
) -> Result<([Option<Figures>; 3], &'f [u64]), ResultError> {
    let test = (!of.scores.is_empty()).then(|| asks(&of.scores));
    let oot = (of.n_kept() > 1).then(|| asks(&of.scores));
    let asked = [test, of.of_train.as_deref().map(asks), oot];
    let mut rest = found;
    let mut figures = [None, None, None];
    for (figures, asks) in figures.iter_mut().zip(asked) {
        let Some(asks) = asks else { continue };
        let (of_sample, after) = rest
            .split_at_checked(asks.n_figures())
            .ok_or_else(|| totals("a figure is missing"))?;
        (*figures, rest) = (Figures::of(of_sample, asks), after);
    }
    Ok((figures, rest))
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
