//! A plan's scoring on one session: this holder's part of the model over its own rows, and the protocol.

mod card;
mod forest;

use std::sync::Arc;

use coordinator::job::FailureClass;
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::psi::circuit::Rows;
use protocols::psi::keys::{KeyHash, Normalise};
use protocols::session::Session;

use super::vertical::{announced, fill_up};
use super::{Broken, Computed, Failure, Output, Stage, Task, internal, result_failure};
use crate::local::{self, Texts};
use crate::model::{self, ModelPart};
use crate::plan::{ScorePlan, ScoredTable};
use crate::result;
use crate::source::SourceError;

/// This holder's part, its rows, and what the part says of them.
struct Own {
    place: usize,
    part: ModelPart,
    rows: Texts,
    /// The columns that go to the join.
    columns: Vec<Vec<u64>>,
    /// At the hub, what its own part gives for each row; of trees nothing.
    points: Vec<f64>,
}

/// A run that has been prepared.
struct Run<'a> {
    of: &'a ScorePlan,
    sizes: &'a [usize],
    /// This holder's columns, and what they were made of.
    rows: Option<Rows>,
    own: Option<&'a Own>,
    stock: Stock,
    disclosure: Disclosure,
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
        let mut own = match place {
            Some(place) => Some(self.own(&session_id, of, place).await?),
            None => None,
        };
        let n_mine = own.as_ref().map_or(0, |own| own.rows.items.len());
        let seats: Vec<usize> = of.tables.iter().map(|t| t.seat).collect();
        // A dealer knows the published sizes alone, so tables are filled up to them.
        let sizes = match self.plan.dealer {
            Some(_) => of.bounds(),
            None => announced(session, (&seats, of.bounds()), n_mine).await?,
        };
        let rows = own.as_mut().map(|own| {
            let mut rows = Rows {
                keys: own.rows.items.clone(),
                narrow: std::mem::take(&mut own.columns),
                wide: Vec::new(),
            };
            fill_up(session, &mut rows, sizes[own.place]);
            rows
        });
        let method = self.plan.setting().method;
        let needs = match self.plan.dealer {
            Some(_) => self.plan.needs(),
            None => of.price(self.plan.n_seats(), &sizes, method).needs,
        };
        let stock = self.stock(session, &needs).await?;
        self.progress.enter(Stage::Compute);
        let run = Run {
            of,
            sizes: &sizes,
            rows,
            own: own.as_ref(),
            stock,
            disclosure,
        };
        let found = match of.trees {
            Some(_) => self.walked(session, run).await?,
            None => self.added(session, run).await?,
        };
        let table = match (found, &own) {
            (Some(found), Some(own)) => {
                let table = result::scored(self.plan, of, &own.rows.texts, &found);
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
            matched_keys: None,
        })
    }

    /// This holder's rows, and what its part of the model says of them.
    async fn own(
        &self,
        session_id: &[u8; 32],
        of: &ScorePlan,
        place: usize,
    ) -> Result<Own, Failure> {
        let table = &of.tables[place];
        let me = &self.plan.seats[self.binding.me.index()];
        let directory = model::directory(self.storage.results);
        let part = ModelPart::read(&directory, &of.model, me.as_str());
        let part = part.map_err(|e| refused(e.to_string()))?;
        match of.trees {
            Some(trees) => forest::check(&part, (trees, &table.features), &self.plan.seats),
            None => card::check(&part, place == 0, &table.features),
        }
        .map_err(refused)?;
        let rule = Normalise::named(&of.normalise);
        let rule = rule.ok_or_else(|| internal("the plan has an unknown rule for spellings"))?;
        let labels: Vec<&str> = of.tables.iter().map(|t| t.label.as_str()).collect();
        let hash = Arc::new(KeyHash::new(session_id, &labels.join(" = "), rule));
        let n_keys = table.keys.len();
        let progress = |rows: u64| self.progress.within(rows as f64 / table.at_most as f64);
        let read = local::texts(self.plan, me, self.source, (&hash, n_keys), &progress).await;
        let rows = read.map_err(|e| Failure::source(&e))?;
        let n_shown = if place == 0 { n_keys } else { 0 };
        let mut own = Own {
            place,
            part,
            columns: Vec::new(),
            points: Vec::new(),
            rows,
        };
        match of.trees {
            Some(_) => forest::columns(&mut own, table, n_shown)?,
            None => card::columns(&mut own, of, n_shown)?,
        }
        Ok(own)
    }
}

fn refused(what: String) -> Failure {
    let advice = "put this party's own part, as training wrote it, into the agent's state/models, and name the model as it was trained";
    Failure::here(FailureClass::Data, what, advice)
}

/// A value that the model does not know.
fn unknown(table: &ScoredTable, feature: &str) -> Failure {
    let what = "a value is none of the levels of the model, or no number";
    let advice = "correct it, or train a model that knows it";
    Failure::source(&SourceError::column(&table.label, feature, what, advice))
}
