//! From a checked job and all catalogues to a plan: deterministic, with a digest that all agents compare.
//!
//! # How a query is split
//! One SELECT over a UNION ALL of the holders' tables. Everything row by row (projection, WHERE, CASE, casts,
//! dates, and any query that touches one holder's tables alone) runs in each holder's own query engine, as the
//! SQL in [`LocalPlan`]. Its output has one row a row: the group keys `k0, k1, …` as text and the arguments of
//! the aggregates `a0, a1, …`. The holder sums those by cell ([`KeyColumn`] × [`KeyColumn`] …) into integer
//! columns ([`Shape`]), the parties add the columns on shares, and the receivers turn the released totals into
//! the columns in [`Plan::released`] and run [`Plan::final_sql`] over them.
//!
//! # What the agents agree on
//! Every agent compiles the plan itself from the job file and the signed catalogues. No clock, no randomness and
//! no map with an arbitrary order is involved, so the canonical JSON and its digest are the same at all of them.

mod shape;
mod columns;
mod released;
mod said;
mod local;
mod needs;
mod sql;
mod schema;
mod trace;
mod bounds;
mod domain;
mod ring;
mod part;
mod types;
mod widen;
mod finish;
mod coefficients;
pub(crate) mod steps;
mod top;
mod release;
mod noise;
mod rounding;
mod dominance;
mod cohorts;
mod meter;
mod having;
pub(crate) mod hidden;
mod cost;
pub(crate) mod words;
mod explain;
mod handling;
mod compile;
mod flatten;
mod joint;
mod statistic;
mod intersect;
mod lookup;
mod train;
mod vertical;
mod score;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use protocols::party::PartyId;
use serde::Serialize;

use coordinator::contract::{Digest, canonical};
use protocols::aggregate;
use protocols::disclose::Terms;
use protocols::party::Seat;
use protocols::price::Seats;

use crate::catalogue::{Catalogue, Class, Cohorts};
use crate::spec::{CheckedSpec, Compute, Correlations, Settlement, names};

pub(crate) use columns::slots_of;
pub use columns::{KeyColumn, Measure, MeasureKind, RangeOrigin, ValueKind, ValueRange};
pub use dominance::{ComparedSum, Comparison, DominancePlan};
pub use having::{ComparedTotal, ComparedTotals};
pub use intersect::{IntersectPlan, KeyPlan, Protocol};
pub(crate) use joint::counted_in;
pub use joint::{
    ComputedPlan, ComputedValue, Contributions, CorrelatedPlan, DominantPlan, JoinFactor, JoinPlan,
    JoinSizes, JoinTerm, MetPlan, OwnColumn, OwnTerm, RankedPlan, RelationPlan, ShownKeys, Told,
    ValueColumns,
};
pub use local::{ColumnUse, LocalPlan, TableColumn, Usage};
pub use lookup::{AskedTable, LookupPlan, MAX_VALUE_BYTES};
pub use meter::MeterPlan;
pub use noise::{NoisePlan, NoisyColumn};
pub use release::Release;
pub use released::{OutputColumn, PairStat, Released, ReleasedColumn};
pub use rounding::RoundingPlan;
pub use said::Said;
pub use score::{ScorePlan, ScoredTable};
pub use shape::{CellCheck, HiddenGroups, Margins, ReleaseRule, RingWidth, Shape, Slot, TopCells};
pub(crate) use statistic::{COMPARED, FURTHER, SHOWN, Survival, TIMES_FROM};
pub use statistic::{Statistic, StatisticKind, SurvivalPlan};
pub use steps::{Found, Fraction, JointItem, JointPair, Setting, Step, Which};
pub use train::{
    ColumnRole, Kinds, LOSSES, Network, PooledTrees, Portions, SCORE_BITS, Stepping, Term, Test,
    TrainCheck, TrainColumn, TrainCount, TrainPlan, asks,
};
pub use vertical::{CardPlan, TreesPlan, VerticalPlan, VerticalTable};

/// Version of the plan's own format; agents with different ones refuse each other by digest.
pub const PLAN_FORMAT: u16 = 1;
/// Most cells (product of the group domains) in one job.
pub const MAX_CELLS: usize = 1 << 20;
/// Most rows over all holders, by the published sizes of their tables.
pub const MAX_ROWS: u64 = 1 << 48;
/// Most values of one integer or date range that are enumerated as groups.
pub const MAX_ENUMERATED: usize = 4096;

/// What will be computed, by whom, and what it tells whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: u16,
    /// Name and version of the program that compiled it.
    pub engine: String,
    /// The job's name.
    pub job: String,
    /// The purpose that approvers read.
    pub purpose: String,
    /// Digest over every field of the checked job, in hex, so that no change to a job goes unnoticed.
    pub spec: String,
    /// The computing parties in seat order: holders and receivers, sorted by name. A receiver without tables
    /// computes too; its totals are zero.
    #[serde(with = "names::list")]
    pub seats: Vec<PartyId>,
    /// The dealer, the seat after the last computing one, if the plan needs correlations from one.
    #[serde(with = "names::option")]
    pub dealer: Option<PartyId>,
    /// Who gets the result, sorted by name.
    #[serde(with = "names::list")]
    pub receivers: Vec<PartyId>,
    /// Where correlated randomness comes from; `None` where the plan needs none.
    pub correlations: Option<Correlations>,
    /// The smallest group that is released, and who asked for it.
    pub min_cell: MinCell,
    /// Wall-clock limit for the run, in seconds.
    pub max_wall_s: Option<u64>,
    /// What each holder runs over its own tables.
    #[serde(with = "names::map")]
    pub locals: BTreeMap<PartyId, LocalPlan>,
    /// What is done with it. All fields below but words and costs describe totals, and are empty where it is something
    /// else.
    pub procedure: Procedure,
    /// Digest of the procedure's manifest ([`crate::manifest`]).
    pub manifest: Digest,
    /// The group keys, in the order of `k0, k1, …`. No keys: one cell.
    pub keys: Vec<KeyColumn>,
    /// The arguments of aggregates, in the order of `a0, a1, …`.
    pub measures: Vec<Measure>,
    /// The columns of totals that are added on shares, and the rule by which cells are released.
    pub shape: Shape,
    /// The noise of every column, where the job promises differential privacy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<NoisePlan>,
    /// To what counts are rounded, where a holder or the job asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounding: Option<RoundingPlan>,
    /// The columns by which holders tell persons and rows apart, where one keeps account of who was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohorts: Option<Cohorts>,
    /// What sums are held against, where holders have rules about dominance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dominance: Option<DominancePlan>,
    /// Conditions of HAVING on totals that are decided on shares.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub having: Vec<ComparedTotals>,
    /// What a run costs, and who gets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settlement: Option<Settlement>,
    /// How the holders' contributions are measured, where the job's settlement depends on them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meter: Option<MeterPlan>,
    /// Work on shares beyond adding up, in order; each step fills further columns of the shape.
    pub steps: Vec<Step>,
    /// The columns of the table `released` that a receiver builds from the released totals.
    pub released: Vec<ReleasedColumn>,
    /// What a receiver runs over `released`; it has exactly the columns of [`Plan::outputs`], or those that the
    /// statistic takes.
    pub final_sql: String,
    /// What a receiver computes from the rows of [`Plan::final_sql`]; `None` where they are the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistic: Option<Statistic>,
    /// The columns of the result.
    pub outputs: Vec<OutputColumn>,
    /// What each party learns, in words, holders and receivers first, then the dealer and the coordinator.
    pub learns: Vec<Learns>,
    /// What the approver should think about.
    pub warnings: Vec<Said>,
    /// What belongs beside the result: exactness, error bounds, conventions.
    pub notes: Vec<String>,
    /// What the holders committed to, by table (`party.table`), where their catalogues say: the data that people agree to use.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub commitments: BTreeMap<String, Digest>,
    /// The class of the result: the highest among the columns that are used, where holders say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// Declared costs and predicted times.
    pub cost: PlanCost,
}

/// Stack of the thread that compiles: the engine's planner recurses deeply, and callers may have little.
const COMPILE_STACK: usize = 64 << 20;

/// Compiles a job over the catalogues of all parties. A party without tables has an empty catalogue.
///
/// # Errors
/// Every reason that is found why the job cannot be planned, sorted by place.
///
/// # Panics
/// If the operating system refuses a thread.
pub fn compile(
    spec: &CheckedSpec,
    catalogues: &BTreeMap<PartyId, Catalogue>,
) -> Result<Plan, Vec<PlanFault>> {
    let compiled = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(COMPILE_STACK)
            .spawn_scoped(scope, || match &spec.compute {
                Compute::Sql(sql) => compile::compile(spec, sql, catalogues),
                Compute::Intersect(of) => intersect::compile(spec, of, catalogues),
                Compute::Lookup(of) => lookup::compile(spec, of, catalogues),
                Compute::Train(of) => train::compile(spec, of, catalogues),
                Compute::Vertical(of) => vertical::compile(spec, of, catalogues),
                Compute::Score(of) => score::compile(spec, of, catalogues),
            })
            .expect("a thread can be started")
            .join()
    });
    let compiled = compiled.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let metered = spec.settlement.as_ref().is_some_and(|s| s.is_metered());
    compiled
        .and_then(|plan| match cohorts::not_kept(&plan, catalogues) {
            Some(fault) => Err(vec![fault]),
            None => Ok(plan),
        })
        .and_then(|plan| match dominance::unchecked(&plan, catalogues) {
            Some(fault) => Err(vec![fault]),
            None => Ok(plan),
        })
        .and_then(|plan| match rounding::fault(&plan, spec, catalogues) {
            Some(fault) => Err(vec![fault]),
            None => Ok(plan),
        })
        .and_then(|plan| match metered && !plan.is_metered() {
            true => Err(vec![meter::not_there_yet()]),
            false => Ok(plan),
        })
        .map(rounding::warned)
        .map(|plan| handling::noted(plan, catalogues))
        .map_err(|mut faults| {
            faults.sort();
            faults.dedup();
            faults
        })
}

impl Plan {
    /// The plan of a job in which nothing is said yet of what is computed, released or told.
    fn of_job(
        spec: &CheckedSpec,
        seats: Vec<PartyId>,
        correlations: Option<Correlations>,
        min_cell: MinCell,
    ) -> Self {
        let dealer = match &correlations {
            Some(Correlations::Dealer(dealer)) => Some(dealer.clone()),
            Some(Correlations::Ot | Correlations::FerretOt) | None => None,
        };
        Self {
            format: PLAN_FORMAT,
            engine: concat!("entente ", env!("CARGO_PKG_VERSION")).to_owned(),
            job: spec.job.clone(),
            purpose: spec.purpose.clone(),
            spec: spec.digest().to_string(),
            seats,
            dealer,
            receivers: spec.receivers.clone(),
            correlations,
            min_cell,
            max_wall_s: spec.max_wall_s,
            locals: BTreeMap::new(),
            procedure: Procedure::Totals,
            manifest: Digest([0; 32]),
            keys: Vec::new(),
            measures: Vec::new(),
            shape: Shape::none(),
            noise: None,
            rounding: None,
            cohorts: None,
            dominance: None,
            having: Vec::new(),
            settlement: spec.settlement.clone(),
            meter: None,
            steps: Vec::new(),
            released: Vec::new(),
            final_sql: String::new(),
            statistic: None,
            outputs: Vec::new(),
            learns: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            commitments: BTreeMap::new(),
            class: None,
            cost: PlanCost::default(),
        }
    }

    /// How many take part, the dealer counted in.
    #[must_use]
    pub fn n_seats(&self) -> Seats {
        let n_computing = self.seats.len();
        Seats {
            n_seats: n_computing + usize::from(self.dealer.is_some()),
            n_computing,
        }
    }

    /// The canonical bytes that all agents agree on.
    ///
    /// # Panics
    /// Never: every number of a plan is an integer below 2^53 and every key is ASCII.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        canonical::encode(self).expect("a plan holds small integers, text and ASCII keys")
    }

    /// All parties in the order of seats, the dealer last.
    pub fn parties(&self) -> impl Iterator<Item = &PartyId> + Clone {
        self.seats.iter().chain(&self.dealer)
    }

    /// The digest that contracts and handshakes carry.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical())
    }

    /// The totals beside the groups, as the protocols take them.
    #[must_use]
    pub fn margins(&self) -> Option<aggregate::Margins> {
        // What the minimum counts: rows, which are column 0, or persons.
        let least = self.shape.checks.iter().find(|c| is_minimum(c));
        margins(
            self.shape.margins?,
            &self.keys,
            least.map_or(0, |c| c.column),
        )
    }

    /// Whether groups are held back so that totals tell no small one: wherever there is a minimum.
    #[must_use]
    pub fn protects_margins(&self) -> bool {
        self.shape.margins.is_some() && self.shape.checks.iter().any(is_minimum)
    }

    /// What is released, for these receivers: the terms of the disclosure that the run takes.
    #[must_use]
    pub fn terms(&self, receivers: Vec<Seat>) -> Terms {
        match &self.procedure {
            Procedure::Lookup(of) => of.terms(&receivers),
            Procedure::Train(of) => of.sums(receivers).terms(),
            Procedure::Vertical(of) => of.terms(self.setting().method, &receivers),
            Procedure::Score(of) => of.terms(self.setting().method),
            Procedure::Join(of) if of.shown.is_some() => {
                let released = self.release().to(receivers).terms();
                let parts = std::iter::once(released).chain(of.terms_of_keys());
                Terms::all(&parts.collect::<Vec<_>>())
            }
            Procedure::Totals | Procedure::Join(_) | Procedure::Intersect(_) => {
                self.release().to(receivers).terms()
            }
        }
    }

    /// What the minimum cell counts.
    #[must_use]
    pub fn min_cell_counts(&self) -> &'static str {
        match self.procedure {
            Procedure::Join(_) => "different keys of the join",
            _ => "rows",
        }
    }

    /// How many times at most a floating-point number was rounded that went into one total.
    #[must_use]
    pub fn roundings(&self) -> u64 {
        match self.procedure {
            Procedure::Join(_) => self.cost.rows_at_most,
            _ => self.locals.len() as u64,
        }
    }
}

/// The order of two numbers as text.
pub(crate) fn by_value(a: &str, b: &str) -> Option<Ordering> {
    let value = |text: &str| bounds::Interval::decimal(text);
    Some(value(a)?.cmp(&value(b)?))
}

fn is_minimum(check: &CellCheck) -> bool {
    check.reason.contains("min_cell")
}

/// The totals beside groups whose counts are in a column. `None` where there are too many keys or groups for totals.
fn margins(form: Margins, keys: &[KeyColumn], count: usize) -> Option<aggregate::Margins> {
    let groups: Vec<usize> = keys.iter().map(KeyColumn::n_groups).collect();
    let form = match form {
        Margins::Rollup => aggregate::Form::Rollup,
        Margins::Cube => aggregate::Form::Cube,
    };
    aggregate::Margins::new(form, &groups, count)
}

/// What the parties do together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Procedure {
    /// Totals are added on shares and released by group.
    Totals,
    /// Totals over a join of several holders' tables.
    Join(JoinPlan),
    /// Keys are compared.
    Intersect(IntersectPlan),
    /// Keys are looked up.
    Lookup(LookupPlan),
    /// A model is fitted.
    Train(Box<TrainPlan>),
    /// A model is fitted over a join.
    Vertical(Box<VerticalPlan>),
    /// Points of rows by the parts of a model.
    Score(ScorePlan),
}

/// The minimum cell in force: the strictest of the job and of every holder's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MinCell {
    /// Cells that count fewer rows are suppressed. 0 and 1 suppress nothing.
    pub at_least: u64,
    /// "the job" or a holder's name: all who asked for this value.
    pub set_by: Vec<String>,
}

/// What one party learns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Learns {
    /// The party, or `coordinator`.
    pub party: String,
    /// What, in words.
    pub what: String,
}

/// Declared costs and predicted times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlanCost {
    /// Rounds of messages between the computing parties, preprocessing included.
    pub rounds: u64,
    /// Bytes that each seat sends, in seat order, the dealer last.
    pub bytes_sent: Vec<u64>,
    /// Bytes of totals and shares that one party keeps in memory.
    pub memory_bytes: u64,
    /// Published bound on the rows over all holders.
    pub rows_at_most: u64,
    /// Predicted network time on each link, in microseconds, by name: `loopback`, `lan`, `metro`, `wan`.
    pub network_us: BTreeMap<String, u64>,
    /// Predicted work of the party that has the most of it, reading included, in microseconds, on the machine of the
    /// project's records. It comes on top of the network's time.
    pub work_us: u64,
}

/// One reason why a job cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[error("{place}: {what}; {fix}")]
pub struct PlanFault {
    /// Where: a place in the job file, or a holder's table and column.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}
