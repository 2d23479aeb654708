//! This holder's own part of a plan: its query engine's rows, summed exactly.
//!
//! The query's rows stream past once. Each row's group keys become a cell index, and its arguments are added to
//! that cell as integers that cannot wrap, so the totals do not depend on the order of the rows or on how the
//! engine split the work. Memory is one batch and the totals.

mod cells;
mod cohorts;
mod contribution;
mod design;
mod dominance;
mod groups;
mod joined;
mod exact;
mod float;
mod keys;
mod people;
pub mod bins;
mod measure;
mod order;
mod records;

use arrow::array::RecordBatch;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use protocols::aggregate::LocalTotals;
use protocols::party::PartyId;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ledger::Cohort;
use crate::plan::{LocalPlan, Plan};
use crate::source::{Source, SourceError};
use cells::CellIndex;
use cohorts::Counted;
use contribution::Contributions;
use dominance::Contributors;
use groups::GroupIndex;
use measure::MeasureTotals;
use order::OrderTotals;

pub use design::{Design, design};
pub use joined::{Joined, joined};
pub use keys::{KeyReport, Keys, StoredKeys, keys, stored_keys};
pub use people::{Layout, People, Texts, people, texts};
pub use records::{Keep, Records, record_cells, records};

/// What a holder brings into the computation: its secrets, wiped when they are dropped.
pub struct LocalInputs {
    /// Columns that are added. Those that a step fills are zeros here.
    pub totals: LocalTotals,
    /// One for each of the plan's steps.
    pub steps: Vec<StepInput>,
    /// The keys of this holder's groups, where they are not public.
    pub groups: Option<GroupKeys>,
    /// Who is counted in each cell, where that is kept account of.
    pub cohorts: Vec<Cohort>,
}

/// The keys of a holder's own groups, one for each row of its totals.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct GroupKeys {
    /// Their hashes, by which equal ones are found.
    pub hashes: Vec<u128>,
    /// Their bytes, sixteen to a word: a column for each word.
    pub words: Vec<Vec<u128>>,
}

/// The values of one group key over a join that its holder has numbered.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct CodedKey {
    /// The key's number in the plan.
    pub key: usize,
    /// Of each number the value as text, for as many as there are.
    pub texts: Vec<Option<String>>,
}

/// What a holder brings into one step.
#[derive(Zeroize, ZeroizeOnDrop)]
pub enum StepInput {
    /// For each value that is found, of each group the least of this holder's distances, if it has one.
    Extremes(Vec<Option<u64>>),
    /// Rows by group and value, all values of the first group first.
    Histogram(Vec<u64>),
    /// Group and hash of the different values.
    Keys(Vec<(u32, u128)>),
    /// Group and value of every row, as its distance from the low end of the range.
    Values(Vec<(u32, u64)>),
    /// Group and both values of every row.
    Pairs(Vec<(u32, u64, u64)>),
    /// A join's rows in order, which are brought beside these inputs.
    Ranked,
}

/// What a holder may know about its own part. Counts only, and for this holder alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalReport {
    /// Rows that were counted.
    pub rows_used: u64,
    /// Of those, rows with at least one key outside its agreed domain: they are in the group `other`.
    pub rows_in_other: u64,
}

/// Runs this holder's query and sums its rows by cell, in the layout of the plan's shape and steps.
///
/// A party without a query in the plan (a mere receiver) contributes zeros. `progress` is told the number of
/// rows so far, batch by batch.
///
/// # Errors
/// [`SourceError`] if the query fails, if a value lies outside the range that the plan was made for, or if the
/// table has outgrown its published size. Nothing has left this holder then.
pub async fn totals(
    plan: &Plan,
    me: &PartyId,
    source: &Source,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(LocalInputs, LocalReport), SourceError> {
    let Some(local) = plan.locals.get(me) else {
        let nothing = LocalInputs {
            totals: zeros(plan, zero_cells(plan)),
            steps: OrderTotals::new(plan).finish(),
            groups: plan.shape.hidden.as_ref().map(GroupKeys::none),
            cohorts: Vec::new(),
        };
        return Ok((nothing, LocalReport::default()));
    };
    let query = prepare(local, me, source).await?;
    let mut sums = Totals::new(plan, me, local)?;
    sums.check_columns(&query)?;
    let mut batches = query
        .execute_stream()
        .await
        .map_err(SourceError::from_engine)?;
    while let Some(batch) = batches.next().await {
        sums.add(&batch.map_err(SourceError::from_engine)?)?;
        progress(sums.report.rows_used);
        hear().await;
    }
    sums.finish()
}

/// Between two batches of a query that never has to wait: lets the run hear that it is to stop.
async fn hear() {
    tokio::task::yield_now().await;
}

/// The table has more rows than everybody planned for.
fn outgrown(local: &LocalPlan) -> SourceError {
    let what = format!(
        "the query yields more than the {} rows it was planned for",
        local.rows_at_most
    );
    let advice = "write a larger max_rows in the job if it has one; if the table has grown since its catalogue was published, publish it again; and plan anew";
    SourceError::table(&local.tables.join(", "), what, advice)
}

async fn prepare(
    local: &LocalPlan,
    me: &PartyId,
    source: &Source,
) -> Result<DataFrame, SourceError> {
    // The plan comes from a job that a stranger wrote: it reads tables and does nothing else.
    let reading_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let context = source.context_of(me);
    context
        .sql_with_options(&local.sql, reading_only)
        .await
        .map_err(SourceError::from_engine)
}

fn zeros(plan: &Plan, cells: usize) -> LocalTotals {
    let shape = &plan.shape;
    LocalTotals {
        narrow: vec![vec![0; cells]; shape.narrow],
        wide: vec![vec![0; cells]; shape.wide],
    }
}

/// Rows of the totals of a party without tables: it has no groups of its own.
fn zero_cells(plan: &Plan) -> usize {
    match plan.shape.hidden {
        None => plan.shape.cells,
        Some(_) => 0,
    }
}

/// From keys to rows of the totals.
enum Cells<'a> {
    Public(CellIndex<'a>),
    Hidden(GroupIndex<'a>),
}

/// The running totals of one holder.
struct Totals<'a> {
    plan: &'a Plan,
    local: &'a LocalPlan,
    cells: Cells<'a>,
    n_cells: usize,
    rows: Vec<u64>,
    measures: Vec<MeasureTotals<'a>>,
    order: OrderTotals<'a>,
    /// Where contributions of persons are bounded.
    persons: Option<Contributions>,
    /// Where they are held against rules.
    contributors: Option<Contributors<'a>>,
    counted: Option<Counted<'a>>,
    rows_read: u64,
    report: LocalReport,
}

impl<'a> Totals<'a> {
    fn new(plan: &'a Plan, me: &PartyId, local: &'a LocalPlan) -> Result<Self, SourceError> {
        let measures = plan.measures.iter();
        let (cells, n_cells) = match &plan.shape.hidden {
            None => {
                let index = CellIndex::new(&plan.keys, &local.tables);
                (Cells::Public(index), plan.shape.cells)
            }
            Some(hidden) => {
                let seat = plan.seats.iter().position(|s| s == me);
                let n_groups = seat.map_or(0, |seat| hidden.at(seat));
                let index = GroupIndex::new(plan, &local.tables, n_groups);
                (Cells::Hidden(index), n_groups)
            }
        };
        Ok(Self {
            plan,
            local,
            cells,
            n_cells,
            rows: vec![0; n_cells],
            measures: measures
                .map(|m| MeasureTotals::new(m, local, n_cells))
                .collect::<Result<_, _>>()?,
            order: OrderTotals::new(plan),
            persons: plan.noise.as_ref().map(Contributions::new),
            contributors: Contributors::new(plan, me, local)?,
            counted: plan.cohorts.is_some().then(|| Counted::new(local)),
            rows_read: 0,
            report: LocalReport::default(),
        })
    }

    /// The query must have the keys and then the arguments, under their names.
    fn check_columns(&self, query: &DataFrame) -> Result<(), SourceError> {
        let keys = (0..self.plan.keys.len()).map(|i| format!("k{i}"));
        let args = (0..self.plan.measures.len()).map(|i| format!("a{i}"));
        let names = query.schema().fields().iter().map(|f| f.name().as_str());
        let has_person = self.persons.is_some() || self.contributors.is_some();
        let n_more = match self.counted {
            Some(_) => 2,
            None => usize::from(has_person),
        };
        let more = (0..n_more).map(|i| format!("j{i}"));
        if names.eq(keys.chain(args).chain(more)) {
            return Ok(());
        }
        let what = "the plan's query does not have the columns that the plan says".to_owned();
        Err(SourceError::Engine { what })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), SourceError> {
        self.rows_read += batch.num_rows() as u64;
        if self.rows_read > self.local.rows_at_most {
            return Err(outgrown(self.local));
        }
        let kept = match &mut self.persons {
            Some(persons) => &persons.bounded(batch)?,
            None => batch,
        };
        self.add_kept(kept)
    }

    fn add_kept(&mut self, batch: &RecordBatch) -> Result<(), SourceError> {
        let n_rows = batch.num_rows();
        self.report.rows_used += n_rows as u64;
        let keys = self.plan.keys.len();
        let of_keys = &batch.columns()[..keys];
        let (cells, in_other) = match &mut self.cells {
            Cells::Public(index) => index.of_rows(of_keys, n_rows)?,
            Cells::Hidden(index) => (index.of_rows(of_keys, n_rows)?, 0),
        };
        self.report.rows_in_other += in_other;
        for &cell in cells {
            self.rows[cell as usize] += 1;
        }
        for (measure, values) in self.measures.iter_mut().zip(&batch.columns()[keys..]) {
            measure.add(cells, values)?;
            let ordered = self.order.add(measure.arg(), cells, values);
            ordered.ok_or_else(|| measure.other_type())?;
        }
        let args = &batch.columns()[keys..];
        let more = &args[self.plan.measures.len().min(args.len())..];
        if let (Some(contributors), Some(who)) = (&mut self.contributors, more.first()) {
            contributors.add(cells, args, who)?;
        }
        if let (Some(counted), [persons, rows]) = (&mut self.counted, more) {
            counted.add(cells, (persons, rows))?;
        }
        if let Err(measure) = self.order.add_pairs(cells, args) {
            return Err(self.measures[measure].other_type());
        }
        Ok(())
    }

    fn finish(self) -> Result<(LocalInputs, LocalReport), SourceError> {
        let mut totals = zeros(self.plan, self.n_cells);
        totals.narrow[0] = self.rows;
        for measure in self.measures {
            measure.write_to(&mut totals)?;
        }
        if let Some(margins) = self.plan.margins() {
            totals.narrow.iter_mut().for_each(|c| margins.add_up(c));
            totals.wide.iter_mut().for_each(|c| margins.add_up(c));
        }
        if let Some(contributors) = self.contributors {
            contributors.write_to(&mut totals);
        }
        let margins = self.plan.margins();
        let cohorts = self.counted.map(|counted| counted.finish(margins.as_ref()));
        let steps = self.order.finish();
        let groups = match self.cells {
            Cells::Public(_) => None,
            Cells::Hidden(index) => {
                let keys = index.finish();
                let n_groups = keys.hashes.len();
                totals.narrow.iter_mut().for_each(|c| c.truncate(n_groups));
                totals.wide.iter_mut().for_each(|c| c.truncate(n_groups));
                Some(keys)
            }
        };
        let inputs = LocalInputs {
            totals,
            steps,
            groups,
            cohorts: cohorts.unwrap_or_default(),
        };
        Ok((inputs, self.report))
    }
}
