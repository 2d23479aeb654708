//! The result of a scorecard over a join.

use std::collections::BTreeMap;

use protocols::arith::compare::Method;
use protocols::train::evaluate::{Asks, Figures, N_FIGURES};
use protocols::train::glm::Released;
use serde_json::{Value, json};

use super::super::figures::{Stable, add_figures, add_spreads};
use super::super::scorecard::{BinnedFeature, points};
use super::super::{ResultError, ResultTable, totals};
use super::{described, samples, values};
use crate::plan::{CardPlan, Plan, VerticalPlan};
use crate::spec::Report;

/// What stands before how features are spread over bins, and that.
fn spreads<'f>(
    of: &VerticalPlan,
    figures: &'f [u64],
) -> Result<(&'f [u64], Vec<Stable>), ResultError> {
    let shape = of.binned(&of.bounds(), Method::Masked);
    let Some(shape) = shape.and_then(|shape| shape.spreads()) else {
        return Ok((figures, Vec::new()));
    };
    let n_before = figures.len().checked_sub(shape.n_figures());
    let (before, own) = figures.split_at(n_before.unwrap_or(0));
    let told = shape
        .told(own)
        .ok_or_else(|| totals("an index of a feature is missing"))?;
    let stable = of.features.iter().enumerate();
    let stable = stable.map(|(place, (_, name))| Stable {
        feature: name.clone(),
        samples: told.iter().map(|sample| sample[place]).collect(),
    });
    Ok((before, stable.collect()))
}

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
    let (mut bins, scale) = points(&card.points, &sorted, &coefficients);
    if card.publishes {
        for (place, feature) in order.iter().enumerate() {
            let label = &of.tables[of.features[*feature].0].label;
            let table = label
                .rsplit_once('.')
                .map_or(label.as_str(), |(table, _)| table);
            bins[place]["table"] = json!(table);
        }
    }
    let (joint, rest) = samples(of, &found.figures)?;
    let (alone, stable) = spreads(of, rest)?;
    let mut notes = plan.notes.clone();
    let (mut described, untold) = described(of, found, &joint);
    notes.extend(untold);
    notes.extend(add_spreads(&mut described, &stable, of.min_cell));
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
