//! The result of a scorecard over a join.

use std::collections::BTreeMap;

use protocols::train::evaluate::{Figures, N_FIGURES};
use protocols::train::glm::Released;
use serde_json::{Value, json};

use super::super::scorecard::{BinnedFeature, points};
use super::super::{ResultError, ResultTable, totals};
use super::{add_figures, described, untold, values};
use crate::plan::{CardPlan, Plan, VerticalPlan};

/// Builds the result of a scorecard: the features of the model by falling information value.
///
/// # Errors
/// [`ResultError::Totals`] if what was released are not the numbers of such a model.
pub fn carded(
    plan: &Plan,
    (of, card): (&VerticalPlan, &CardPlan),
    found: &Released,
    (features, chosen): (Vec<BinnedFeature>, &[bool]),
) -> Result<ResultTable, ResultError> {
    let n_features = of.features.len();
    let sizes = [found.coefficients.len(), found.errors.len()];
    if sizes != [1 + n_features; 2] || [features.len(), chosen.len()] != [n_features; 2] {
        return Err(totals("a coefficient is missing"));
    }
    let mut order: Vec<usize> = (0..n_features).collect();
    // Stable: of equal ones the first in the job comes first.
    order.sort_by(|a, b| {
        let tells = |f: &usize| features[*f].information();
        (chosen[*b], tells(b))
            .partial_cmp(&(chosen[*a], tells(a)))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let in_model = order.iter().filter(|f| chosen[**f]).map(|f| 1 + f);
    let terms: Vec<(&str, f64, f64)> = [0]
        .into_iter()
        .chain(in_model)
        .map(|c| (of.term(c), found.coefficients[c], found.errors[c]))
        .collect();
    let coefficients: Vec<f64> = terms.iter().map(|(_, b, _)| *b).collect();
    let sorted: Vec<BinnedFeature> = order.iter().map(|f| features[*f].clone()).collect();
    let (bins, scale) = points(&card.points, &sorted, &coefficients);
    let mut figures = found.figures.chunks(N_FIGURES).map(Figures::of);
    let joint = figures.next().flatten();
    let mut notes = plan.notes.clone();
    notes.extend(untold(of, joint.as_ref()));
    let mut described = described(of, found, joint);
    described["features"] = bins;
    described["scorecard"] = scale;
    if card.alone {
        let mut alone = serde_json::Map::new();
        for (table, figures) in of.tables.iter().zip(figures) {
            let mut one = json!({});
            if let Some(figures) = figures {
                add_figures(&mut one, of, &figures);
            }
            let holder = plan.seats[table.seat].to_string();
            alone.insert(holder, one);
        }
        described["alone"] = Value::Object(alone);
    }
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows: terms.len(),
        values: values(plan, &terms),
        suppressed: Vec::new(),
        n_used: found.n_used,
        dropped: BTreeMap::new(),
        notes,
        fit: Some(described),
        class: plan.class,
    })
}
