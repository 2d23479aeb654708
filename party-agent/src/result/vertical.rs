//! The result of a model over a join.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringViewArray};
use protocols::train::evaluate::Figures;
use protocols::train::glm::Released;
use serde_json::{Value, json};

use super::{ResultError, ResultTable, tails, totals};
use crate::plan::{Plan, VerticalPlan};
use crate::spec::VerticalReport;

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
    let names: Vec<&str> = (0..n_columns).map(|column| of.term(column)).collect();
    let each = |f: &dyn Fn(f64, f64) -> f64| -> ArrayRef {
        let pairs = coefficients.iter().zip(errors);
        Arc::new(Float64Array::from_iter_values(
            pairs.map(|(b, e)| f(*b, *e)),
        ))
    };
    let mut values: Vec<ArrayRef> = Vec::with_capacity(plan.outputs.len());
    for column in &plan.outputs {
        values.push(match column.name.as_str() {
            "coef" => each(&|b, _| b),
            "se" => each(&|_, e| e),
            "z" => each(&|b, e| b / e),
            "p" => each(&|b, e| tails::normal_two_sided(b / e)),
            "ci95_low" => each(&|b, e| b - Z_95 * e),
            "ci95_high" => each(&|b, e| b + Z_95 * e),
            _ => Arc::new(StringViewArray::from(names.clone())),
        });
    }
    let mut notes = plan.notes.clone();
    let figures = Figures::of(&found.figures);
    if !of.scores.is_empty() && figures.is_none() {
        notes.push(format!(
            "fewer than {} bad or good rows are kept for a test: nothing is told of scores",
            of.at_least
        ));
    }
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows: n_columns,
        values,
        suppressed: Vec::new(),
        n_used: found.n_used,
        dropped: BTreeMap::new(),
        notes,
        fit: Some(described(of, found, figures)),
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
        described["n_bad"] = json!(figures.n_bad);
        described["n_good"] = json!(figures.n_good);
        for report in &of.scores {
            match report {
                VerticalReport::Auc => {
                    described["auc"] = json!(figures.auc);
                    described["gini"] = json!(2.0 * figures.auc - 1.0);
                }
                VerticalReport::Ks => described["ks"] = json!(figures.ks),
                VerticalReport::Se | VerticalReport::P | VerticalReport::Ci95 => {}
            }
        }
    }
    described
}
