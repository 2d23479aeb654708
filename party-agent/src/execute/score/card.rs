//! Scores by a scorecard: points of this holder's features, and what each of them costs.

use protocols::session::Session;
use protocols::train::score::{self, reasons::COST_BITS};

use super::super::{Broken, Failure, Task};
use super::{Own, Run, refused, unknown};
use crate::model::{ModelPart, PartFeature};
use crate::plan::ScorePlan;
use crate::result::Scores;

/// Fractional bits of points.
const POINT_BITS: i32 = 20;

fn fixed(points: f64) -> i64 {
    (points * 2f64.powi(POINT_BITS)).round() as i64
}

impl Task<'_> {
    /// The sums of points, and reasons.
    pub(super) async fn added(
        &self,
        session: &mut Session,
        mut run: Run<'_>,
    ) -> Result<Option<Scores>, Broken> {
        let shape = run.of.shape(run.sizes, self.plan.setting().method);
        let stock = &mut run.stock;
        let found = score::score(session, run.rows, &shape, stock, run.disclosure).await?;
        let (Some(found), Some(own)) = (found, run.own) else {
            return Ok(None);
        };
        let base = own.part.base_points.unwrap_or(0.0);
        let real = |sum: u64| sum.cast_signed() as f64 * 2f64.powi(-POINT_BITS);
        let pairs = own.points.iter().zip(found.points);
        let names = run.of.features();
        let name = |number: u64| {
            let feature = usize::try_from(number).ok()?.checked_sub(1)?;
            names.get(feature).cloned()
        };
        // What stands behind the rows fills the table up.
        let n_rows = own.points.len();
        let reasons = found.reasons.into_iter();
        Ok(Some(Scores {
            numbers: vec![
                pairs
                    .map(|(mine, theirs)| base + mine + real(theirs))
                    .collect(),
            ],
            reasons: reasons
                .map(|rows| rows.into_iter().map(name).take(n_rows).collect())
                .collect(),
        }))
    }
}

/// Whether a part is that of a scorecard with these features.
pub(super) fn check(part: &ModelPart, is_hub: bool, names: &[String]) -> Result<(), String> {
    let ModelPart { party, model, .. } = part;
    if part.forest.is_some() {
        return Err(format!(
            "{party}: its part of model {model} is one of boosted trees; write trees = {{ n_trees = …, depth = … }}"
        ));
    }
    if is_hub && part.base_points.is_none() {
        let what = "has no points that everybody begins with: it was no receiver of the model";
        return Err(format!("{party}: its part of model {model} {what}"));
    }
    features_of(part, names).map(|_| ())
}

/// The part's features, in the order of the job's names.
fn features_of<'a>(part: &'a ModelPart, names: &[String]) -> Result<Vec<&'a PartFeature>, String> {
    let ModelPart { party, model, .. } = part;
    let mut features = Vec::new();
    for name in names {
        let found = part.features.iter().find(|f| f.feature == *name);
        let missing = || format!("{party}: {name} is no feature of its part of model {model}");
        features.push(found.ok_or_else(missing)?);
    }
    let left = part.features.iter().find(|f| !names.contains(&f.feature));
    match left {
        None => Ok(features),
        Some(left) => Err(format!(
            "{party}: its part of model {model} needs {}, which the job does not name",
            left.feature
        )),
    }
}

/// What this holder's part gives for each of its rows, and what each of its features costs them.
pub(super) fn columns(own: &mut Own, of: &ScorePlan, n_shown: usize) -> Result<(), Failure> {
    let table = &of.tables[own.place];
    let features = features_of(&own.part, &table.features).map_err(refused)?;
    let mut points = vec![0.0; own.rows.items.len()];
    let mut costs: Vec<Vec<u64>> = Vec::new();
    for (feature, values) in features.iter().zip(&own.rows.texts[n_shown..]) {
        let mut of_feature = Vec::new();
        let reference = of
            .reasons
            .map(|reasons| feature.reference(reasons.reference));
        for (sum, value) in points.iter_mut().zip(values) {
            let given = feature.points(value.as_deref());
            let given = given.ok_or_else(|| unknown(table, &feature.feature))?;
            *sum += given;
            if let Some(reference) = reference {
                let cost = fixed(reference - given).max(0).cast_unsigned();
                of_feature.push(cost);
            }
        }
        if of_feature.iter().any(|cost| cost >> COST_BITS > 0) {
            return Err(refused(format!(
                "{}: {} costs more than 2^28 points",
                own.part.party, feature.feature
            )));
        }
        costs.extend(reference.map(|_| of_feature));
    }
    if own.place > 0 {
        let given = points.iter().map(|p| fixed(*p).cast_unsigned());
        own.columns.push(given.collect());
    }
    own.columns.extend(costs);
    own.points = points;
    Ok(())
}
