//! A plan's lookup on one session: the holders' tables, and the asker's questions.

use std::sync::Arc;

use coordinator::job::FailureClass;
use engine::prg::Prg;
use protocols::disclose::Disclosure;
use protocols::lookup::combined::{self, Input};
use protocols::lookup::table::TableShape;
use protocols::lookup::{introduce, listed};
use protocols::party::Seat;
use protocols::psi::Item;
use protocols::session::Session;

use super::tables::{self, Held, Prepared, VERSION, Wanted};
use super::{Broken, Computed, Failure, Output, Stage, Task, internal, result_failure};
use crate::local::{self, Keep, Keys};
use crate::plan::{AskedTable, LookupPlan, MAX_VALUE_BYTES};
use crate::result::{self, ResultTable};
use crate::spec::Combine;

impl Task<'_> {
    /// Asks or answers.
    pub(super) async fn lookup(
        &self,
        session: &mut Session,
        of: &LookupPlan,
        disclosure: Disclosure,
    ) -> Result<Computed, Broken> {
        self.progress.enter(Stage::Read);
        let (output, report) = match session.seat().index() == of.asker {
            true => {
                let keys = self.questions(of).await?;
                let table = self.ask(session, of, &keys, disclosure).await?;
                (Some(Output::Table(table)), keys.report())
            }
            false => {
                let prepared = self.prepared_for(session, of).await?;
                self.answer(session, of, &prepared, disclosure).await?;
                (None, prepared.report.clone())
            }
        };
        Ok(Computed {
            output,
            rows_used: report.rows,
            keys: Some(report),
            traffic: session.traffic(),
            model: None,
            contributions: Vec::new(),
            matched_keys: None,
        })
    }

    /// The asker's keys.
    async fn questions(&self, of: &LookupPlan) -> Result<Keys, Failure> {
        let me = &self.plan.seats[self.binding.me.index()];
        let hash = tables::hash_of(&of.normalise)?;
        let progress = |rows: u64| self.progress.within(rows as f64 / of.at_most.max(1) as f64);
        let read = local::keys(
            self.plan,
            me,
            self.source,
            (&hash, of.queries.len()),
            true,
            &progress,
        )
        .await;
        let keys = read.map_err(|e| Failure::source(&e))?;
        let n_keys = keys.items().len() as u64;
        if n_keys > of.at_most {
            return Err(Failure::here(
                FailureClass::Source,
                format!(
                    "{n_keys} different keys would be asked for, and the job says {} at most",
                    of.at_most
                ),
                "raise at_most in the job file, or ask for fewer; nothing was asked",
            ));
        }
        Ok(keys)
    }

    /// This holder's table.
    async fn prepared_for(
        &self,
        session: &mut Session,
        of: &LookupPlan,
    ) -> Result<Arc<Prepared>, Failure> {
        let bound = of.tables.iter().find(|t| t.seat == self.binding.me.index());
        let wanted = Wanted {
            normalise: &of.normalise,
            n_keys: of.queries.len(),
            keep: match of.combine {
                Combine::List => Keep::Texts,
                Combine::Sum | Combine::Any => Keep::Sum,
            },
            at_most: bound.map_or(1, |t| t.at_most),
        };
        self.prepared(session, &wanted).await
    }

    async fn ask(
        &self,
        session: &mut Session,
        of: &LookupPlan,
        keys: &Keys,
        disclosure: Disclosure,
    ) -> Result<ResultTable, Broken> {
        if of.combine == Combine::List {
            self.progress.enter(Stage::Compute);
            let tables = of.tables.iter();
            let tables = tables.map(|t| (Seat::from_index(t.seat), largest(t)));
            let questions = keys.items().to_vec();
            let found = self.list(session, tables.collect(), &of.normalise, questions);
            let mut found = found.await?;
            let found = of.tables.iter().map(|table| {
                let values = found.remove(&Seat::from_index(table.seat));
                values.unwrap_or_default()
            });
            let found: Vec<_> = found.collect();
            let table = result::looked_up(self.plan, of, keys, &found);
            return Ok(table.map_err(|e| result_failure(&e))?);
        }
        let (mut n_records, mut publics) = (Vec::new(), Vec::new());
        for table in &of.tables {
            let at_most = largest(table).n_records;
            let met = introduce::meet(session, Seat::from_index(table.seat), at_most).await?;
            n_records.push(met.0.n_records);
            publics.push(met.1);
        }
        let mut stock = self.stock(session, &self.plan.needs()).await?;
        self.progress.enter(Stage::Compute);
        let shape = of.combined(&n_records);
        let shape = shape.ok_or_else(|| internal("the plan combines nothing"))?;
        let questions = padded(session, keys.items(), shape.n_questions);
        let input = Input::Questions(questions, publics);
        let sums = combined::look_up(session, &shape, input, &mut stock, disclosure).await?;
        let sums = sums.ok_or_else(|| internal("the asker is no receiver"))?;
        let table = result::looked_up_sums(self.plan, of, keys, &sums);
        Ok(table.map_err(|e| result_failure(&e))?)
    }

    async fn answer(
        &self,
        session: &mut Session,
        of: &LookupPlan,
        prepared: &Prepared,
        disclosure: Disclosure,
    ) -> Result<(), Broken> {
        let asker = Seat::from_index(of.asker);
        let at_most = usize::try_from(of.at_most).unwrap_or(usize::MAX);
        match &prepared.table {
            Held::Records(table) => {
                self.progress.enter(Stage::Compute);
                let table = (Arc::clone(table), Arc::clone(&prepared.key));
                listed::answer_one(session, asker, table, at_most).await?;
            }
            Held::Sums(table) => {
                let shape = TableShape {
                    n_records: table.n_records(),
                    value_bytes: 8,
                    version: VERSION,
                };
                introduce::introduce(session, asker, shape, prepared.key.public()).await?;
                let mut stock = self.stock(session, &self.plan.needs()).await?;
                self.progress.enter(Stage::Compute);
                // Of the other tables a holder needs to know nothing.
                let me = session.seat().index();
                let n_records = of.tables.iter().map(|t| match t.seat == me {
                    true => table.n_records(),
                    false => 0,
                });
                let shape = of.combined(&n_records.collect::<Vec<_>>());
                let shape = shape.ok_or_else(|| internal("the plan combines nothing"))?;
                let input = Input::Records(Arc::clone(table));
                combined::look_up(session, &shape, input, &mut stock, disclosure).await?;
            }
        }
        Ok(())
    }
}

fn largest(table: &AskedTable) -> TableShape {
    TableShape {
        n_records: usize::try_from(table.at_most).unwrap_or(usize::MAX),
        value_bytes: MAX_VALUE_BYTES,
        version: VERSION,
    }
}

/// The questions, and random ones after them: what is disclosed was fixed before anybody had counted the asker's keys.
fn padded(session: &mut Session, items: &[Item], n_questions: usize) -> Vec<Item> {
    let mut prg = Prg::new(&session.own_seed("padding of questions"), 0);
    let mut questions = items.to_vec();
    questions.resize_with(n_questions, || {
        let mut item = Item::default();
        prg.fill_bytes(&mut item);
        item
    });
    questions
}
