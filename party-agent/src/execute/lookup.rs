//! A plan's lookup on one session: the holders' tables, prepared once a version, and the asker's questions.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator::job::FailureClass;
use engine::oprf::ServerKey;
use engine::prg::{Prg, Seed};
use protocols::correlate::{self, Stock};
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::lookup::combined::{self, Input, PreparedTable};
use protocols::lookup::table::{SealedTable, TableShape};
use protocols::lookup::{self, introduce};
use protocols::party::Seat;
use protocols::psi::Item;
use protocols::psi::keys::{KeyHash, Normalise};
use protocols::session::Session;
use tokio::sync::Mutex;

use super::{Broken, Computed, Failure, Output, Stage, Task, internal, result_failure};
use crate::local::{self, Keep, KeyReport, Keys, Records};
use crate::plan::{AskedTable, LookupPlan, MAX_VALUE_BYTES};
use crate::result::{self, ResultTable};
use crate::spec::Combine;

/// Tables that were prepared for lookups, at their holder: once for each version of the data.
#[derive(Default)]
pub struct PreparedTables {
    /// By what is looked up, and how.
    tables: Mutex<BTreeMap<String, Arc<Prepared>>>,
}

/// One table under its key.
struct Prepared {
    key: Arc<ServerKey>,
    table: Sealed,
    report: KeyReport,
}

enum Sealed {
    /// To be sent.
    Records(Arc<SealedTable>),
    /// To be combined with others.
    Sums(Arc<PreparedTable>),
}

/// The first version of a table under a key of its own. Other data are prepared under another key.
const VERSION: u64 = 1;

impl Task<'_> {
    /// Asks or answers.
    pub(super) async fn lookup(
        &self,
        session: &mut Session,
        of: &LookupPlan,
        disclosure: Disclosure,
    ) -> Result<Computed, Broken> {
        let needs = self.plan.needs();
        if session.dealer() == Some(session.seat()) {
            self.progress.enter(Stage::Prepare);
            correlate::dealer::serve(session, &needs).await?;
            return Ok(Computed {
                output: None,
                rows_used: 0,
                keys: None,
                traffic: session.traffic(),
            });
        }
        self.progress.enter(Stage::Read);
        let (output, report) = match session.seat().index() == of.asker {
            true => {
                let keys = self.questions(of).await?;
                let table = self.ask(session, of, &keys, disclosure).await?;
                (Some(Output::Table(table)), keys.report())
            }
            false => {
                let prepared = self.prepared(session, of).await?;
                self.answer(session, of, &prepared, disclosure).await?;
                (None, prepared.report.clone())
            }
        };
        Ok(Computed {
            output,
            rows_used: report.rows,
            keys: Some(report),
            traffic: session.traffic(),
        })
    }

    /// The asker's keys.
    async fn questions(&self, of: &LookupPlan) -> Result<Keys, Failure> {
        let me = &self.plan.seats[self.binding.me.index()];
        let hash = hash_of(of)?;
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

    /// This holder's table, prepared now or for an earlier job.
    async fn prepared(
        &self,
        session: &mut Session,
        of: &LookupPlan,
    ) -> Result<Arc<Prepared>, Failure> {
        let me = &self.plan.seats[self.binding.me.index()];
        let sql = self.plan.locals.get(me).map_or("", |local| &local.sql);
        let name = format!("{sql}\n{}\n{:?}", of.normalise, of.combine == Combine::List);
        let mut tables = self.prepared.tables.lock().await;
        if let Some(known) = tables.get(&name) {
            return Ok(Arc::clone(known));
        }
        let (keep, n_keys) = match of.combine {
            Combine::List => (Keep::Texts, of.queries.len()),
            Combine::Sum | Combine::Any => (Keep::Sum, of.queries.len()),
        };
        let bound = of.tables.iter().find(|t| t.seat == self.binding.me.index());
        let bound = bound.map_or(1, |t| t.at_most.max(1));
        let progress = |rows: u64| self.progress.within(rows as f64 / bound as f64);
        let hash = hash_of(of)?;
        let read = local::records(self.plan, me, self.source, &hash, (n_keys, keep), &progress);
        let records = read.await.map_err(|e| Failure::source(&e))?;
        self.progress.enter(Stage::Prepare);
        let seed = session.own_seed("key of a table that is looked up in");
        let kernel = move || prepare(&seed, keep, &records);
        let made = session.compute().run(kernel).await;
        let prepared = Arc::new(made.map_err(|what| internal(&what))?);
        tables.insert(name, Arc::clone(&prepared));
        Ok(prepared)
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
            let mut found = Vec::with_capacity(of.tables.len());
            for table in &of.tables {
                let holder = Seat::from_index(table.seat);
                let sealed = lookup::receive_table(session, holder, &largest(table)).await?;
                let questions = keys.items().to_vec();
                found.push(lookup::ask(session, holder, Arc::new(sealed), questions).await?);
            }
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
        let mut stock = self.stock(session).await?;
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
            Sealed::Records(table) => {
                self.progress.enter(Stage::Compute);
                lookup::ship(session, asker, Arc::clone(table)).await?;
                let key = Arc::clone(&prepared.key);
                lookup::answer(session, asker, key, at_most).await?;
            }
            Sealed::Sums(table) => {
                let shape = TableShape {
                    n_records: table.n_records(),
                    value_bytes: 8,
                    version: VERSION,
                };
                introduce::introduce(session, asker, shape, prepared.key.public()).await?;
                let mut stock = self.stock(session).await?;
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

    async fn stock(&self, session: &mut Session) -> Result<Stock, ProtocolError> {
        self.progress.enter(Stage::Prepare);
        match &self.plan.source() {
            Some(source) => correlate::preprocess(session, source, &self.plan.needs()).await,
            None => Ok(Stock::empty()),
        }
    }
}

/// Keys are hashed alike in every job, so that a table is prepared once: the hash protects nothing here.
fn hash_of(of: &LookupPlan) -> Result<KeyHash, Failure> {
    let rule = Normalise::named(&of.normalise);
    let rule = rule.ok_or_else(|| internal("the plan has an unknown rule for spellings"))?;
    Ok(KeyHash::new(&[0; 32], "lookup", rule))
}

fn largest(table: &AskedTable) -> TableShape {
    TableShape {
        n_records: usize::try_from(table.at_most).unwrap_or(usize::MAX),
        value_bytes: MAX_VALUE_BYTES,
        version: VERSION,
    }
}

/// Applies a fresh key to a table.
fn prepare(seed: &Seed, keep: Keep, records: &Records) -> Result<Prepared, String> {
    let key = lookup::table_key(seed, VERSION).map_err(|e| e.to_string())?;
    let key = Arc::new(key);
    let table = match keep {
        Keep::Texts => {
            let longest = records.texts.iter().map(|(_, value)| value.len()).max();
            let longest = longest.unwrap_or(0);
            let sealed = SealedTable::seal(&key, VERSION, longest, &records.texts);
            Sealed::Records(Arc::new(sealed.map_err(|e| e.to_string())?))
        }
        Keep::Sum => {
            let prepared = PreparedTable::new(Arc::clone(&key), &records.sums);
            Sealed::Sums(Arc::new(prepared.map_err(|e| e.to_string())?))
        }
    };
    Ok(Prepared {
        key,
        table,
        report: records.report.clone(),
    })
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
