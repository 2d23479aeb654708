//! What describes proportional hazards.

use protocols::train::glm::Released;
use protocols::train::hazards::INVERSE_BITS;
use serde_json::{Value, json};

use super::super::{ResultError, totals};
use crate::plan::VerticalPlan;
use crate::spec::Hazards;

/// How many rows are fitted, and the numbers that describe the fit.
pub(super) fn described(
    of: &VerticalPlan,
    hazards: &Hazards,
    found: &Released,
) -> Result<(u64, Value), ResultError> {
    let &[n_used, likelihood] = found.figures.as_slice() else {
        return Err(totals("a figure is missing"));
    };
    let before = likelihood.cast_signed() as f64 / 2f64.powi(INVERSE_BITS.cast_signed());
    let fit = json!({
        "model": of.model.as_str(),
        "partition": "vertical",
        "n": n_used,
        "events": found.n_used,
        "ties": hazards.ties,
        // What the last step still gains is half of what it lowers twice the negative logarithm by.
        "loglik": before + found.decrement / 2.0,
        "steps": of.steps,
        "decrement": found.decrement,
    });
    Ok((n_used, fit))
}
