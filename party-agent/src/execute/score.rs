//! A plan's scoring on one session: this holder's part of the model over its own rows, and the protocol.

use std::sync::Arc;

use coordinator::job::FailureClass;
use protocols::disclose::Disclosure;
use protocols::psi::circuit::Rows;
use protocols::psi::keys::{KeyHash, Normalise};
use protocols::session::Session;
use protocols::train::score;

use super::vertical::{announced, fill_up};
use super::{Broken, Computed, Failure, Output, Stage, Task, internal, result_failure};
use crate::local::{self, Texts};
use crate::model::{self, ModelPart, PartFeature};
use crate::plan::ScorePlan;
use crate::result;
use crate::source::SourceError;

/// Fractional bits of points.
const POINT_BITS: i32 = 20;

/// This holder's rows.
struct Own {
    rows: Texts,
    /// What its part of the model gives for each of them.
    points: Vec<f64>,
    base_points: Option<f64>,
}

impl Task<'_> {
    /// Reads, scores at home, joins, and tells the sums.
    pub(super) async fn score(
        &self,
        session: &mut Session,
        of: &ScorePlan,
        disclosure: Disclosure,
    ) -> Result<Computed, Broken> {
        self.progress.enter(Stage::Read);
        let session_id = *session.session_id();
        let me = session.seat().index();
        let place = of.tables.iter().position(|table| table.seat == me);
        let own = match place {
            Some(place) => Some(self.points(&session_id, of, place).await?),
            None => None,
        };
        let n_mine = own.as_ref().map_or(0, |own| own.rows.items.len());
        let seats: Vec<usize> = of.tables.iter().map(|t| t.seat).collect();
        // A dealer knows the published sizes alone, so tables are filled up to them.
        let sizes = match self.plan.dealer {
            Some(_) => of.bounds(),
            None => announced(session, (&seats, of.bounds()), n_mine).await?,
        };
        let rows = place.zip(own.as_ref()).map(|(place, own)| {
            let fixed = |points: &f64| (points * 2f64.powi(POINT_BITS)).round() as i64;
            let column = own.points.iter().map(|p| fixed(p).cast_unsigned());
            let mut rows = Rows {
                keys: own.rows.items.clone(),
                narrow: Vec::new(),
                wide: Vec::new(),
            };
            // The hub adds its own points when it has the others'.
            if place > 0 {
                rows.narrow.push(column.collect());
            }
            fill_up(session, &mut rows, sizes[place]);
            rows
        });
        let needs = match self.plan.dealer {
            Some(_) => self.plan.needs(),
            None => of.price(self.plan.n_seats(), &sizes).needs,
        };
        let mut stock = self.stock(session, &needs).await?;
        self.progress.enter(Stage::Compute);
        let shape = of.shape(&sizes);
        let found = score::score(session, rows, &shape, &mut stock, disclosure).await?;
        let table = match (found, &own) {
            (Some(found), Some(own)) => {
                let base = own.base_points.unwrap_or(0.0);
                let pairs = own.points.iter().zip(found);
                let real = |sum: u64| sum.cast_signed() as f64 * 2f64.powi(-POINT_BITS);
                let scores = pairs.map(|(mine, theirs)| base + mine + real(theirs));
                let table = result::scored(self.plan, of, &own.rows.texts, scores.collect());
                Some(table.map_err(|e| result_failure(&e))?)
            }
            _ => None,
        };
        Ok(Computed {
            output: table.map(Output::Table),
            rows_used: own.as_ref().map_or(0, |own| own.rows.report.rows),
            keys: own.map(|own| own.rows.report.clone()),
            traffic: session.traffic(),
            model: None,
            contributions: Vec::new(),
        })
    }

    /// What this holder's part of the model gives for each of its rows.
    async fn points(
        &self,
        session_id: &[u8; 32],
        of: &ScorePlan,
        place: usize,
    ) -> Result<Own, Failure> {
        let table = &of.tables[place];
        let me = &self.plan.seats[self.binding.me.index()];
        let refused = |what: String| {
            let advice =
                "put this party's own part, as training wrote it, into the agent's state/models";
            Failure::here(FailureClass::Data, what, advice)
        };
        let directory = model::directory(self.storage.results);
        let part = ModelPart::read(&directory, &of.model, me.as_str());
        let part = part.map_err(|e| refused(e.to_string()))?;
        let base_points = (place == 0).then_some(part.base_points).flatten();
        if place == 0 && base_points.is_none() {
            let what = "has no points that everybody begins with: it was no receiver of the model";
            return Err(refused(format!(
                "{me}: its part of model {} {what}",
                of.model
            )));
        }
        let features = features_of(&part, &table.features).map_err(refused)?;
        let rule = Normalise::named(&of.normalise);
        let rule = rule.ok_or_else(|| internal("the plan has an unknown rule for spellings"))?;
        let labels: Vec<&str> = of.tables.iter().map(|t| t.label.as_str()).collect();
        let hash = Arc::new(KeyHash::new(session_id, &labels.join(" = "), rule));
        let n_keys = table.keys.len();
        let progress = |rows: u64| self.progress.within(rows as f64 / table.at_most as f64);
        let read = local::texts(self.plan, me, self.source, (&hash, n_keys), &progress).await;
        let rows = read.map_err(|e| Failure::source(&e))?;
        let n_shown = if place == 0 { n_keys } else { 0 };
        let mut points = vec![0.0; rows.items.len()];
        for (feature, values) in features.iter().zip(&rows.texts[n_shown..]) {
            for (sum, value) in points.iter_mut().zip(values) {
                let given = feature.points(value.as_deref()).ok_or_else(|| {
                    let what = "a value is none of the levels of the model, or no number";
                    let advice = "correct it, or train a model that knows it";
                    Failure::source(&SourceError::column(
                        &table.label,
                        &feature.feature,
                        what,
                        advice,
                    ))
                })?;
                *sum += given;
            }
        }
        Ok(Own {
            rows,
            points,
            base_points,
        })
    }
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
