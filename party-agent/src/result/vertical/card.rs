//! The result of a scorecard over a join.

use std::collections::BTreeMap;

use protocols::train::evaluate::{Asks, Figures, N_FIGURES};
use protocols::train::glm::Released;
use serde_json::{Value, json};

use super::super::figures::add_figures;
use super::super::scorecard::{BinnedFeature, points};
use super::super::{ResultError, ResultTable, totals};
use super::{described, samples, values};
use crate::plan::{CardPlan, Plan, VerticalPlan};
use crate::spec::Report;

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
    let (joint, alone) = samples(of, &found.figures)?;
    let mut notes = plan.notes.clone();
    let (mut described, untold) = described(of, found, &joint);
    notes.extend(untold);
    described["features"] = bins;
    described["scorecard"] = scale;
    if card.alone {
        let mut each = serde_json::Map::new();
        let figures = alone.chunks(N_FIGURES);
        let figures = figures.map(|figures| Figures::of(figures, Asks::default()));
        for (table, figures) in of.tables.iter().zip(figures) {
            let mut one = json!({});
            if let Some(figures) = figures {
                let of_scores = [Report::Auc, Report::Ks];
                let asked = of_scores.into_iter().filter(|r| of.scores.contains(r));
                add_figures(&mut one, &figures, &asked.collect::<Vec<_>>());
            }
            let holder = plan.seats[table.seat].to_string();
            each.insert(holder, one);
        }
        described["alone"] = Value::Object(each);
    }
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows: terms.len(),
        values: values(plan, &terms, None),
        suppressed: Vec::new(),
        n_used: found.n_used,
        dropped: BTreeMap::new(),
        notes,
        fit: Some(described),
        noise: None,
        matched: None,
        class: plan.class,
    })
}
