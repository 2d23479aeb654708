//! What a receiver gets: exact totals turned into the table that was asked for.
//!
//! The released totals are integers. Means, variances and deviations are quotients of integers of any width,
//! rounded to a double once; what the job computes from them (expressions, ORDER BY, LIMIT) is run
//! by the query engine over the table of released groups.

mod document;
mod figures;
mod screen;
mod file;
mod groups;
mod found;
mod intersect;
mod lookup;
mod matched;
mod merging;
mod mlp;
mod scorecard;
mod score;
mod train;
mod trees;
mod vertical;
pub mod tails;
mod moments;
mod nat;
mod pairs;
mod released;
mod statistic;

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use datafusion::datasource::MemTable;
use datafusion::execution::context::SQLOptions;
use protocols::aggregate::{CellState, Released};
use protocols::stats::group::Groups;

use crate::catalogue::Class;
use crate::plan::words::counted;
use crate::plan::{
    CellCheck, KeyColumn, NoisePlan, OutputColumn, Plan, Procedure, Survival, ValueKind,
};
use crate::source::{EngineConfig, SourceError, make_context};
use groups::Keys;
use released::Cells;

pub(crate) use document::JSON as RESULT_FILE;
pub use figures::Stable;
pub use file::write_private;
pub use intersect::{common_count, common_keys, common_totals};
pub use lookup::{looked_up, looked_up_sums};
pub use matched::{MATCHED_KEYS_FILE, MatchedKeys};
pub use mlp::{AveragedNetwork, averaged};
pub use score::{Scores, scored};
pub use scorecard::{BinnedFeature, Edges, Points, Weighing};
pub use screen::{LeftOut, Screened};
pub(crate) use train::Change;
pub use train::{Estimate, Filled, Fitted, Precision, Scale, Selected, trained};
pub use trees::{PooledTree, PooledTrees, pooled};
pub use vertical::{carded, fitted, grown};

/// Most suppressed groups that are listed one by one.
pub const MAX_LISTED: usize = 1000;

/// The result of a job.
#[derive(Clone, Debug)]
pub struct ResultTable {
    /// Names and types.
    pub columns: Vec<OutputColumn>,
    /// The columns' values, of the types of [`ValueKind`].
    values: Vec<ArrayRef>,
    n_rows: usize,
    /// Groups that the rule held back.
    pub suppressed: Vec<Suppressed>,
    /// Rows in the released groups. Suppressed rows are not in it, so it does not tell how many there are.
    pub n_used: u64,
    /// Rows of the released groups in which an aggregate's argument was NULL, by the argument as the job spells it.
    pub dropped: BTreeMap<String, u64>,
    /// What a reader must know: exactness, error bounds, conventions, what is not listed.
    pub notes: Vec<String>,
    /// Of a model the numbers that describe the fit, as one JSON object.
    pub fit: Option<serde_json::Value>,
    /// What is promised of differential privacy, and the noise behind it.
    pub noise: Option<NoisePlan>,
    /// How many different keys all tables of a join have, where the job says so and a group was released.
    pub matched: Option<u64>,
    /// The class that it inherits from the columns that were used.
    pub class: Option<Class>,
}

/// A group that was held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppressed {
    /// The group's keys: name, type and text, `None` for NULL.
    pub group: Vec<(String, ValueKind, Option<String>)>,
    /// `min_cell`, or `min_cell and having` where one comparison covers both.
    pub reason: String,
    /// The rule that the group did not meet, such as `COUNT(*) >= 11`.
    pub rule: String,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// What was released is not what the plan says.
    #[error(
        "the released totals do not fit the plan: {what}; nothing was written, run the job again"
    )]
    Totals {
        /// What does not fit.
        what: String,
    },
    /// The job's own expressions fail on the released totals.
    #[error(
        "the job's SELECT fails on the released totals: {what}; guard the expression, for example with NULLIF(x, 0), and run the job again"
    )]
    Expression {
        /// What the query engine says.
        what: String,
    },
    /// A statistic cannot be computed from what was released. The text holds no released value.
    #[error("{what}; {fix}")]
    Statistic {
        /// What is wrong.
        what: String,
        /// What to write instead.
        fix: String,
    },
    /// The result cannot be stored.
    #[error("{}: cannot be written: {source}; free space or name another directory; nothing partial was left there", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl ResultTable {
    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The values of a column.
    #[must_use]
    pub fn values(&self, column: usize) -> &ArrayRef {
        &self.values[column]
    }
}

/// Builds the result from what was released to this receiver.
///
/// # Errors
/// [`ResultError`] if the totals do not have the plan's shape or the job's expressions fail on them.
pub async fn table(plan: &Plan, released: &Released) -> Result<ResultTable, ResultError> {
    if let Some(of) = plan.survival() {
        return survival(plan, &of, released);
    }
    let made;
    let released = match plan.noise {
        Some(_) => {
            made = without_negative_counts(released);
            &made
        }
        None => released,
    };
    let cells = Cells::new(plan, released, None)?;
    built(plan, &cells, held_back(plan, released)).await
}

/// Counts below zero, which noise can make, as 0: what is done to totals with noise tells nothing more of anybody. Where there is
/// noise, the columns over Z_2^64 are counts.
fn without_negative_counts(released: &Released) -> Released {
    let count = |n: &u64| u64::try_from(n.cast_signed()).unwrap_or(0);
    let counts = |column: &Vec<u64>| column.iter().map(count).collect();
    Released {
        ok: released.ok.clone(),
        narrow: released.narrow.iter().map(counts).collect(),
        wide: released.wide.clone(),
        states: None,
    }
}

/// Curves of survival, or a comparison of arms.
fn survival(
    plan: &Plan,
    of: &Survival<'_>,
    released: &Released,
) -> Result<ResultTable, ResultError> {
    let found = statistic::survival::found(plan, of, released)?;
    let columns = plan.outputs.iter().zip(&found.values);
    let values: Vec<ArrayRef> = columns
        .map(|(o, v)| typed(v, o))
        .collect::<Result<_, _>>()?;
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows: values.first().map_or(0, |column| column.len()),
        values,
        suppressed: found.suppressed,
        n_used: found.n_used,
        dropped: BTreeMap::new(),
        notes: plan.notes.clone(),
        fit: None,
        noise: None,
        matched: None,
        class: plan.class,
    })
}

/// Builds the result from groups that were released to this receiver with their keys.
///
/// # Errors
/// [`ResultError`] if they do not have the plan's shape or the job's expressions fail on them.
pub async fn table_of_groups(plan: &Plan, groups: &Groups) -> Result<ResultTable, ResultError> {
    let keys = Keys::read(plan, groups)?;
    let released = Released {
        states: None,
        ok: vec![true; keys.n_groups()],
        narrow: groups.narrow.clone(),
        wide: groups.wide.clone(),
    };
    let cells = Cells::new(plan, &released, Some(&keys))?;
    let checks = &plan.shape.checks;
    let rule = joined(checks, |c| &c.rule, " AND ");
    let note = format!(
        "groups that do not meet {rule} are not shown; nobody learns which they are, or how many"
    );
    built(plan, &cells, (Vec::new(), vec![note])).await
}

async fn built(
    plan: &Plan,
    cells: &Cells<'_>,
    (suppressed, mut notes): (Vec<Suppressed>, Vec<String>),
) -> Result<ResultTable, ResultError> {
    let batch = select(plan, cells.table()?).await?;
    let (mut columns, mut n_used) = (batch.columns().to_vec(), cells.n_used());
    let mut dropped = cells.dropped();
    if let Some(statistic) = &plan.statistic {
        let made = statistic::made(plan, statistic, &batch, cells.released)?;
        (columns, n_used) = (made.values, made.n_used);
        dropped.extend(made.dropped);
        notes.extend(made.notes);
    }
    let mut values = Vec::with_capacity(plan.outputs.len());
    for (column, found) in plan.outputs.iter().zip(&columns) {
        values.push(typed(found, column)?);
    }
    notes.splice(0..0, plan.notes.iter().cloned());
    Ok(ResultTable {
        columns: plan.outputs.clone(),
        n_rows: columns.first().map_or(batch.num_rows(), |c| c.len()),
        values,
        suppressed,
        n_used,
        dropped,
        notes,
        fit: None,
        noise: plan.noise.clone(),
        matched: matched(plan, cells),
        class: plan.class,
    })
}

/// How many keys match, which is the same in every group.
fn matched(plan: &Plan, cells: &Cells<'_>) -> Option<u64> {
    let Procedure::Join(join) = &plan.procedure else {
        return None;
    };
    let place = cells.places().next()?;
    join.matched.map(|column| cells.narrow(column, place))
}

/// Runs the plan's last query over the table `released`.
async fn select(plan: &Plan, released: RecordBatch) -> Result<RecordBatch, ResultError> {
    let failed = |e| ResultError::Expression {
        what: SourceError::from_engine(e).to_string(),
    };
    let context = make_context(EngineConfig::default());
    let table = MemTable::try_new(released.schema(), vec![vec![released]]).map_err(failed)?;
    context
        .register_table("released", std::sync::Arc::new(table))
        .map_err(failed)?;
    let reading_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let query = context
        .sql_with_options(&plan.final_sql, reading_only)
        .await
        .map_err(failed)?;
    let schema = query.schema().inner().clone();
    let names = schema.fields().iter().map(|f| f.name());
    let outputs = plan.statistic.as_ref().map_or(&plan.outputs, |s| &s.inputs);
    if !names.eq(outputs.iter().map(|o| &o.name)) {
        return Err(totals("the last query has other columns than the plan"));
    }
    let batches = query.collect().await.map_err(failed)?;
    concat_batches(&schema, &batches).map_err(|e| failed(e.into()))
}

/// The column as the type that the plan says.
fn typed(values: &ArrayRef, column: &OutputColumn) -> Result<ArrayRef, ResultError> {
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(values, &column.kind.arrow(), &strict).map_err(|_| {
        totals(format!(
            "column {} has another type than the plan says",
            column.name
        ))
    })
}

/// The groups that the minimum held back, and notes on what is not listed one by one.
///
/// A group that could only have failed HAVING is not there, as in plain SQL. Where one comparison covers HAVING
/// and the minimum, which of them it failed is known to nobody.
fn held_back(plan: &Plan, released: &Released) -> (Vec<Suppressed>, Vec<String>) {
    let checks = &plan.shape.checks;
    let mut notes = Vec::new();
    // Which of the groups that are not among the first are too small is known to nobody.
    if plan.shape.top.is_some() || !checks.iter().any(|c| c.reason.contains("min_cell")) {
        return (Vec::new(), notes);
    }
    let mut reason = joined(checks, |c| &c.reason, " and ");
    let rule = joined(checks, |c| &c.rule, " AND ");
    if released.states.is_some() {
        // Which of the two, would narrow down what the group can count.
        reason.push_str(" or margins");
    }
    let (mut listed, mut n_other, mut n_more) = (Vec::new(), 0u64, 0u64);
    let is_empty = |cell: usize| match &released.states {
        Some(states) => states[cell] == CellState::Empty,
        None => false,
    };
    let held = (0..plan.shape.cells).filter(|&cell| !released.ok[cell] && !is_empty(cell));
    for cell in held {
        let slots = slots_of(plan, cell);
        let in_domain = plan
            .keys
            .iter()
            .zip(&slots)
            .all(|(key, &slot)| slot < key.domain.len() || slot == key.n_groups());
        if !in_domain {
            n_other += 1;
        } else if listed.len() == MAX_LISTED {
            n_more += 1;
        } else {
            let keys = plan.keys.iter().zip(&slots);
            // A total has no value of the keys that it is over.
            let group = keys
                .filter_map(|(k, &slot)| {
                    Some((k.name.clone(), k.kind, k.domain.get(slot)?.clone()))
                })
                .collect();
            listed.push(Suppressed {
                group,
                reason: reason.clone(),
                rule: rule.clone(),
            });
        }
    }
    if !listed.is_empty() && released.states.is_some() {
        notes.push(format!("a suppressed group or total does not meet {rule}, or would tell one that does not; a group that is neither shown nor listed has no rows"));
    } else if !listed.is_empty() {
        notes.push(format!("a suppressed group is one that does not meet {rule}; it may also be empty, and nobody knows which"));
    }
    if n_more > 0 {
        let (n_more, are) = (
            counted(n_more, "more group"),
            if n_more == 1 { "is" } else { "are" },
        );
        notes.push(format!(
            "{n_more} {are} suppressed by the same rule and not listed"
        ));
    }
    if n_other > 0 {
        let n_other = counted(n_other, "group");
        notes.push(format!("{n_other} with a value outside the agreed categories, too small for {rule} or empty, not listed"));
    }
    (listed, notes)
}

fn joined(checks: &[CellCheck], part: impl Fn(&CellCheck) -> &String, by: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for check in checks {
        for word in part(check).split(by) {
            if !parts.contains(&word) {
                parts.push(word);
            }
        }
    }
    parts.join(by)
}

/// The slot of each key in a cell.
fn slots_of(plan: &Plan, cell: usize) -> Vec<usize> {
    crate::plan::slots_of(cell, plan.keys.iter().map(KeyColumn::n_slots))
}

fn totals(what: impl Into<String>) -> ResultError {
    ResultError::Totals { what: what.into() }
}
