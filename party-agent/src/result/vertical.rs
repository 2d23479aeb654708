//! The result of a model over a join.

mod card;
mod trees;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringViewArray};
use protocols::train::evaluate::Figures;
use protocols::train::glm::Released;
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
    let n_columns = of.features.len() + 1;
    let (coefficients, errors) = (&found.coefficients, &found.errors);
    if coefficients.len() != n_columns || errors.len() != n_columns {
        return Err(totals("a coefficient is missing"));
    }
    let terms = (0..n_columns).map(|c| (of.term(c), coefficients[c], errors[c]));
    let values = values(plan, &terms.collect::<Vec<_>>());
    let mut notes = plan.notes.clone();
    let figures = Figures::of(&found.figures, asks(&of.scores));
    notes.extend(untold(of, figures.as_ref()));
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows: n_columns,
        values,
        suppressed: Vec::new(),
        n_used: found.n_used,
        dropped: BTreeMap::new(),
        notes,
        fit: Some(described(of, found, figures)),
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

/// The columns of the result: one row for each term, coefficient and standard error.
fn values(plan: &Plan, terms: &[(&str, f64, f64)]) -> Vec<ArrayRef> {
    let each = |f: &dyn Fn(f64, f64) -> f64| -> ArrayRef {
        let values = terms.iter().map(|(_, b, e)| f(*b, *e));
        Arc::new(Float64Array::from_iter_values(values))
    };
    let names: Vec<&str> = terms.iter().map(|(name, ..)| *name).collect();
    let column = |column: &OutputColumn| match column.name.as_str() {
        "coef" => each(&|b, _| b),
        "se" => each(&|_, e| e),
        "z" => each(&|b, e| b / e),
        "p" => each(&|b, e| tails::normal_two_sided(b / e)),
        "ci95_low" => each(&|b, e| b - Z_95 * e),
        "ci95_high" => each(&|b, e| b + Z_95 * e),
        _ => Arc::new(StringViewArray::from(names.clone())),
    };
    plan.outputs.iter().map(column).collect()
}

/// What is said where figures of scores are not told.
fn untold(of: &VerticalPlan, figures: Option<&Figures>) -> Vec<String> {
    figures::untold(figures, &of.scores, (of.at_least, of.min_cell))
}
