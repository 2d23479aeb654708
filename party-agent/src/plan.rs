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
pub(crate) mod hidden;
mod cost;
pub(crate) mod words;
mod explain;
mod compile;
mod joint;
mod statistic;
mod intersect;
mod lookup;
mod train;
mod vertical;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use protocols::party::PartyId;
use serde::Serialize;

use coordinator::contract::{Digest, canonical};
use protocols::aggregate;
use protocols::arith::compare::Method;
use protocols::correlate::{self, Needs, Source};
use protocols::disclose::Terms;
use protocols::party::Seat;
use protocols::price::{Price, Seats};

use crate::catalogue::{Aggregate, Catalogue};
use crate::spec::{CheckedSpec, Compute, Correlations, names};

pub use intersect::{IntersectPlan, KeyPlan, Protocol};
pub use joint::{
    JoinFactor, JoinPlan, JoinSizes, JoinTerm, OwnColumn, OwnTerm, RelationPlan, ValueColumns,
};
pub use lookup::{AskedTable, LookupPlan, MAX_VALUE_BYTES};
pub use release::Release;
pub(crate) use statistic::{COMPARED, FURTHER, SHOWN, Survival, TIMES_FROM};
pub use statistic::{Statistic, StatisticKind, SurvivalPlan};
pub use steps::{Found, Fraction, Setting, Step, Which};
pub use train::{ColumnRole, Kinds, Term, TrainCheck, TrainColumn, TrainCount, TrainPlan};
pub use vertical::{VerticalPlan, VerticalTable};

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
    /// The group keys, in the order of `k0, k1, …`. No keys: one cell.
    pub keys: Vec<KeyColumn>,
    /// The arguments of aggregates, in the order of `a0, a1, …`.
    pub measures: Vec<Measure>,
    /// The columns of totals that are added on shares, and the rule by which cells are released.
    pub shape: Shape,
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
    pub warnings: Vec<String>,
    /// What belongs beside the result: exactness, error bounds, conventions.
    pub notes: Vec<String>,
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
            })
            .expect("a thread can be started")
            .join()
    });
    let compiled = compiled.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    compiled.map_err(|mut faults| {
        faults.sort();
        faults.dedup();
        faults
    })
}

impl Plan {
    /// The canonical bytes that all agents agree on.
    ///
    /// # Panics
    /// Never: every number of a plan is an integer below 2^53 and every key is ASCII.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        canonical::encode(self).expect("a plan holds small integers, text and ASCII keys")
    }

    /// All parties in the order of seats, the dealer last.
    pub fn parties(&self) -> impl Iterator<Item = &PartyId> {
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
        margins(self.shape.margins?, &self.keys)
    }

    /// Whether groups are held back so that totals tell no small one: wherever there is a minimum.
    #[must_use]
    pub fn protects_margins(&self) -> bool {
        let mut checks = self.shape.checks.iter();
        self.shape.margins.is_some() && checks.any(|c| c.reason.contains("min_cell"))
    }

    /// Where the correlated randomness comes from, as the protocol takes it.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        self.correlations.as_ref().map(|source| match source {
            Correlations::Ot => Source::Ot,
            Correlations::FerretOt => Source::FerretOt,
            Correlations::Dealer(_) => Source::Dealer {
                seat: Seat::from_index(self.seats.len()),
            },
        })
    }

    /// What is released, for these receivers: the terms of the disclosure that the run takes.
    #[must_use]
    pub fn terms(&self, receivers: Vec<Seat>) -> Terms {
        match &self.procedure {
            Procedure::Lookup(of) => of.terms(&receivers),
            Procedure::Train(of) => of.sums(receivers).terms(),
            Procedure::Vertical(of) => {
                let shape = of.shape(&of.bounds(), self.setting().method);
                shape.terms(&receivers)
            }
            Procedure::Totals | Procedure::Join(_) | Procedure::Intersect(_) => {
                self.release().to(receivers).terms()
            }
        }
    }

    /// The correlated randomness that the run takes.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let seats = Seats {
            n_seats: self.seats.len() + usize::from(self.dealer.is_some()),
            n_computing: self.seats.len(),
        };
        match &self.procedure {
            Procedure::Totals => {}
            Procedure::Join(of) => return self.needs_of_stars(of, &of.bounds(&self.keys)),
            Procedure::Intersect(of) => return self.needs_of_join(of, &of.bounds()),
            Procedure::Lookup(of) => {
                let price = of.price(seats);
                return price.map_or_else(Needs::default, |price| price.needs);
            }
            Procedure::Train(of) => return of.sums(Vec::new()).price(seats).needs,
            Procedure::Vertical(of) => {
                let shape = of.shape(&of.bounds(), self.setting().method);
                return self.needs_of_model(&shape);
            }
        }
        let steps = steps::price(&self.steps, &self.setting(), seats);
        steps.needs + self.price_of_release(seats).needs
    }

    /// The release, and what is found for it of totals that are not released.
    pub(crate) fn price_of_release(&self, seats: Seats) -> Price {
        let released = self.release().price(seats);
        match self.survival() {
            Some(survival) => survival.price(seats).then(&released),
            None => released,
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

    /// What all steps depend on.
    #[must_use]
    pub fn setting(&self) -> Setting {
        Setting {
            cells: self.shape.cells,
            rows_at_most: self.cost.rows_at_most,
            method: method(self.correlations.as_ref()),
        }
    }

    /// The hub that makes a join of these sizes cheapest, correlations included: by bytes, so that all agents agree.
    #[must_use]
    pub fn cheapest_hub(&self, of: &JoinPlan, sizes: &JoinSizes) -> usize {
        let (n_computing, source) = (self.seats.len(), self.source());
        let seats = Seats {
            n_seats: n_computing + usize::from(self.dealer.is_some()),
            n_computing,
        };
        let bytes = |hub: usize| {
            let (of, sizes) = (of.with_hub(hub, &self.keys), sizes.with_hub(hub));
            let price = of.price(seats, &sizes, &of.groups(&self.keys));
            let prepared = source.as_ref();
            let prepared = prepared.map(|s| correlate::cost(s, n_computing, &price.needs));
            let all = prepared.iter().chain([&price.cost]);
            let sent = all.flat_map(|cost| Seat::first(seats.n_seats).map(|s| cost.bytes_sent(s)));
            sent.fold(0, u64::saturating_add)
        };
        (0..of.n_hubs()).min_by_key(|hub| bytes(*hub)).unwrap_or(0)
    }

    /// The correlated randomness of a join of these sizes.
    #[must_use]
    pub fn needs_of_stars(&self, of: &JoinPlan, sizes: &JoinSizes) -> Needs {
        let seats = Seats {
            n_seats: self.seats.len() + usize::from(self.dealer.is_some()),
            n_computing: self.seats.len(),
        };
        let released = self.price_of_release(seats).needs;
        let steps = steps::price(&self.steps, &self.setting(), seats).needs;
        of.price(seats, sizes, &of.groups(&self.keys)).needs + steps + released
    }

    /// The correlated randomness of a model over a join of this shape.
    #[must_use]
    pub fn needs_of_model(&self, shape: &protocols::train::vertical::Shape) -> Needs {
        let seats = Seats {
            n_seats: self.seats.len() + usize::from(self.dealer.is_some()),
            n_computing: self.seats.len(),
        };
        protocols::train::vertical::price(seats, shape).needs
    }

    /// The correlated randomness of an intersection of so many keys, in the order of seats.
    #[must_use]
    pub fn needs_of_join(&self, of: &IntersectPlan, n_keys: &[usize]) -> Needs {
        if of.protocol != Protocol::Circuit {
            return Needs::default();
        }
        let seats = Seats {
            n_seats: self.seats.len() + usize::from(self.dealer.is_some()),
            n_computing: self.seats.len(),
        };
        let released = self.release().price(seats).needs;
        // Nothing is joined with nothing.
        if n_keys.contains(&0) {
            return released;
        }
        let joined = protocols::psi::circuit::totals_price(seats, &of.circuit(n_keys));
        joined.needs + released
    }
}

/// The order of two numbers as text.
pub(crate) fn by_value(a: &str, b: &str) -> Option<Ordering> {
    let value = |text: &str| bounds::Interval::decimal(text);
    Some(value(a)?.cmp(&value(b)?))
}

/// How shares are compared: a dealer makes masks cheaply, oblivious transfer triples of bits.
fn method(source: Option<&Correlations>) -> Method {
    match source {
        Some(Correlations::Dealer(_)) => Method::Masked,
        Some(Correlations::Ot | Correlations::FerretOt) | None => Method::Summed,
    }
}

/// `None` where there are too many keys or groups for totals.
fn margins(form: Margins, keys: &[KeyColumn]) -> Option<aggregate::Margins> {
    let groups: Vec<usize> = keys.iter().map(KeyColumn::n_groups).collect();
    let form = match form {
        Margins::Rollup => aggregate::Form::Rollup,
        Margins::Cube => aggregate::Form::Cube,
    };
    // Column 0 is COUNT(*).
    aggregate::Margins::new(form, &groups, 0)
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
    Train(TrainPlan),
    /// A model is fitted over a join.
    Vertical(VerticalPlan),
}

/// The minimum cell in force: the strictest of the job and of every holder's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MinCell {
    /// Cells that count fewer rows are suppressed. 0 and 1 suppress nothing.
    pub at_least: u64,
    /// "the job" or a holder's name: all who asked for this value.
    pub set_by: Vec<String>,
}

/// What one holder runs over its own tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalPlan {
    /// The query: columns `k0…` (text, NULL for NULL) and `a0…`, one row for each row that is counted. Tables are
    /// named after their holder, as in `hospital_1.encounters`.
    pub sql: String,
    /// The tables that it reads, without the party's name, sorted.
    pub tables: Vec<String>,
    /// Every use of a column, in terms of this holder's tables, sorted and distinct.
    pub uses: Vec<ColumnUse>,
    /// The columns that each aggregate argument depends on at this holder, for errors at the owner.
    pub args: Vec<Vec<TableColumn>>,
    /// Published bound on the number of rows that the query yields; `totals` refuses more.
    pub rows_at_most: u64,
}

/// A column of one of this holder's tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TableColumn {
    /// The table, without the party's name.
    pub table: String,
    /// The column, exactly as the catalogue spells it.
    pub column: String,
}

/// One use of a column, for the policy check.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ColumnUse {
    /// The table, without the party's name.
    pub table: String,
    /// The column, exactly as the catalogue spells it.
    pub column: String,
    /// What is done with it.
    pub usage: Usage,
}

/// What a job does with a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// It decides which rows count: WHERE, the condition of a CASE or FILTER, a join or a sort inside one
    /// holder's own query.
    Filter,
    /// Groups are formed by it or by a function of it.
    GroupBy,
    /// Groups are formed by values of it that are not published; those of released groups are shown.
    GroupByHidden,
    /// It, or a value computed from it, is the argument of an aggregate.
    Aggregate(Aggregate),
    /// It feeds a computation inside this holder's own query (a window or a nested GROUP BY).
    Compute,
    /// It is compared with keys of other holders.
    JoinKey,
    /// Receivers elsewhere learn which of their rows match it: row-level output.
    RowLevel,
    /// A model explains it, or values computed from it.
    Label,
    /// A model explains a label by it, or by values computed from it.
    Feature,
}

/// One group key and its public domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyColumn {
    /// As the result names it.
    pub name: String,
    /// The type of its values; the domain is their text.
    pub kind: ValueKind,
    /// The groups, in the order of the slots: sorted (by value, not by text, for numbers), NULL last.
    pub domain: Vec<Option<String>>,
    /// Whether there is one more slot, after the domain, for every value outside it.
    pub has_other: bool,
    /// What the result calls that slot: `other`, or `(other)` where `other` is a group of its own.
    pub other_label: String,
    /// Where the domain comes from, in words.
    pub source: String,
    /// Whether the last slot is the total over this key: ROLLUP and CUBE.
    pub has_total: bool,
    /// Where there is no public domain: no value is longer as text, in bytes.
    pub hidden: Option<u64>,
}

impl KeyColumn {
    /// Number of slots: the domain and, where there are such, `other` and the total.
    #[must_use]
    pub fn n_slots(&self) -> usize {
        self.n_groups() + usize::from(self.has_total)
    }

    /// Number of slots that are no total.
    #[must_use]
    pub fn n_groups(&self) -> usize {
        self.domain.len() + usize::from(self.has_other)
    }
}

/// The type of a key or of an output column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// True or false; as text `true`, `false`.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A decimal number; Arrow's 128-bit decimal up to 38 digits, its 256-bit one above.
    Decimal {
        /// Digits in all, at most 76.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// A 64-bit binary floating-point number.
    Float,
    /// Text.
    Text,
    /// A calendar day; as text `2026-11-21`.
    Date,
}

impl ValueKind {
    /// The Arrow type that carries it.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Decimal { precision, scale } if precision <= 38 => {
                DataType::Decimal128(precision, scale)
            }
            Self::Decimal { precision, scale } => DataType::Decimal256(precision, scale),
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8View,
            Self::Date => DataType::Date32,
        }
    }
}

/// One aggregate argument `a_i` and the totals that are kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measure {
    /// Index of the argument among `a0, a1, …` (equal to this measure's own index).
    pub arg: usize,
    /// The argument as the job spells it.
    pub label: String,
    /// How values become integers.
    pub kind: MeasureKind,
    /// The values that the ring was sized for; another value is an error at its owner, before anything is sent.
    pub range: ValueRange,
    /// Narrow column with the number of values that are not NULL; 0 (the row count) where NULL cannot occur.
    pub count: usize,
    /// Where the sum goes, if it is needed.
    pub sum: Option<Slot>,
    /// Where the sum of squares goes, if it is needed.
    pub sum_sq: Option<Slot>,
}

/// How the values of an aggregate argument become integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureKind {
    /// Only counted; any type.
    Counted,
    /// Integers (scale 0) or decimals, summed exactly as integers at this scale; squares at twice the scale.
    Exact {
        /// Digits after the point.
        scale: i8,
    },
    /// 64-bit floats. Each holder sums its cell exactly and rounds once to [`Slot::frac_bits`] fractional bits.
    Float,
    /// Its different values are counted: any type, as text. NULL is no value.
    Distinct,
    /// Calendar days as days since 1970-01-01: compared, not summed.
    Day,
}

/// The inclusive range of an argument's values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueRange {
    /// Lowest value. `Exact`: the unscaled integer (cents, say). `Float`: a decimal or scientific number that
    /// parses to exactly one double. `Counted`: empty.
    pub low: String,
    /// Highest value, likewise.
    pub high: String,
    /// Who says so.
    pub origin: RangeOrigin,
}

/// Where a [`ValueRange`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeOrigin {
    /// From ranges that the holders declared, through the expression.
    Declared,
    /// From the type of the values alone.
    Type,
    /// Assumed, as wide as the ring allows.
    Assumed,
    /// Not needed: the argument is only counted.
    None,
}

/// A column of totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// In which ring.
    pub ring: RingWidth,
    /// Index among the columns of that ring.
    pub index: usize,
    /// Fractional bits of a float's fixed-point total; 0 for exact ones.
    pub frac_bits: u32,
}

/// The ring of a column of totals; values are in two's complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RingWidth {
    /// Z_2^64.
    Narrow,
    /// Z_2^128.
    Wide,
}

/// The public shape of the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Product of the keys' slots. Cell index: mixed radix, key 0 the most significant.
    pub cells: usize,
    /// Columns over Z_2^64; column 0 is COUNT(*).
    pub narrow: usize,
    /// Columns over Z_2^128.
    pub wide: usize,
    /// What a cell must satisfy to be released; all of them.
    pub checks: Vec<CellCheck>,
    /// How the checks are made.
    pub rule: ReleaseRule,
    /// Of the cells that pass, only these are opened.
    pub top: Option<TopCells>,
    /// The totals beside the cells, whose small ones they must not tell.
    pub margins: Option<Margins>,
    /// Where the groups are not public: what is known of them.
    pub hidden: Option<HiddenGroups>,
}

/// Which totals stand beside the groups of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Margins {
    /// Over the last key, over the last two, and so on.
    Rollup,
    /// Over each of two keys, and over both.
    Cube,
}

/// Groups that nobody lists: each holder has its own, and they meet by the hash of their keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HiddenGroups {
    /// For each seat how many groups it may have; what it has less is filled up.
    pub groups: Vec<u64>,
    /// Bytes of all keys of a group together.
    pub key_bytes: u64,
}

/// The cells that come first by a total: ORDER BY a total with LIMIT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopCells {
    /// How many.
    pub n: u64,
    /// The ring of the total.
    pub ring: RingWidth,
    /// Its column among those of that ring.
    pub column: usize,
    /// DESC (true) or ASC.
    pub greatest_first: bool,
    /// Every possible total lies strictly between ± 2^`bound_bits`.
    pub bound_bits: u32,
    /// The total as a person would write it.
    pub label: String,
}

/// A count that must reach a threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CellCheck {
    /// Narrow column: a count.
    pub column: usize,
    /// The threshold.
    pub at_least: u64,
    /// Every possible total of the column is below 2^`bound_bits`.
    pub bound_bits: u32,
    /// The rule in words, for the result's list of suppressed groups: `COUNT(*) >= 11`.
    pub rule: String,
    /// `min_cell`, `having`, or `min_cell and having`.
    pub reason: String,
}

/// How the checks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseRule {
    /// No checks: all cells are released.
    None,
    /// Counts are compared on shares; only the answers are opened.
    Compare,
    /// Counts are opened to the computing parties, which every holder's policy allows.
    OpenCounts,
}

/// One column of the table `released`: one row for each released cell, in cell order.
///
/// Names: `k0…` the keys, `o0…` the keys' slot numbers, `g0…` their GROUPING, `n` the rows, and for measure *i* `n<i>` the values that
/// are not NULL, `s<i>` the sum, `avg<i>`, `var_samp<i>`, `var_pop<i>`, `stddev_samp<i>`, `stddev_pop<i>`,
/// `distinct<i>`, `min<i>`, `max<i>`, `cont<i>_1_2`, `disc<i>_1_2` and the like; for two measures `corr_<i>_<j>` and the like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleasedColumn {
    /// Its name in [`Plan::final_sql`].
    pub name: String,
    /// Its type.
    pub kind: ValueKind,
    /// What it holds.
    pub value: Released,
}

/// What a column of `released` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Released {
    /// The value of a key; the text [`KeyColumn::other_label`] in the slot `other`, so a key with that slot is text.
    Key(usize),
    /// The slot number of a key, a 64-bit integer: the order of groups where the job gives none.
    Ordinal(usize),
    /// GROUPING(key): 1 where the row is a total over the key, 0 where it is one of its groups.
    Grouping(usize),
    /// COUNT(*).
    Rows,
    /// COUNT(a_i).
    Count(usize),
    /// SUM(a_i): NULL where nothing was counted.
    Sum(usize),
    /// AVG(a_i) as a double, correctly rounded from the exact total; NULL where nothing was counted.
    Avg(usize),
    /// VAR_SAMP or VAR_POP as a double; NULL where it is not defined.
    Var {
        /// The measure.
        measure: usize,
        /// Divide by n − 1 (true) or n (false).
        sample: bool,
    },
    /// STDDEV_SAMP or STDDEV_POP as a double; NULL where it is not defined.
    StdDev {
        /// The measure.
        measure: usize,
        /// Divide by n − 1 (true) or n (false).
        sample: bool,
    },
    /// COUNT(DISTINCT a_i).
    Distinct(usize),
    /// MIN or MAX: NULL where nothing was counted.
    Extreme {
        /// The measure.
        measure: usize,
        /// MAX (true) or MIN (false).
        greatest: bool,
    },
    /// PERCENTILE_CONT (a double) or PERCENTILE_DISC; NULL where nothing was counted.
    Quantile {
        /// The measure.
        measure: usize,
        /// At which part of the rows.
        p: Fraction,
        /// PERCENTILE_CONT (true) or PERCENTILE_DISC (false).
        continuous: bool,
    },
    /// SPEARMAN(y, x): the correlation of mid-ranks over the rows in which both are known, as a double; NULL where
    /// it is not defined.
    Spearman {
        /// The measure of the first argument.
        y: usize,
        /// The measure of the second argument.
        x: usize,
    },
    /// A statistic of two columns over the rows in which both are known, as a double; NULL where it is not
    /// defined.
    Pair {
        /// Which.
        stat: PairStat,
        /// The measure of the first argument.
        y: usize,
        /// The measure of the second argument.
        x: usize,
        /// The measure of the products.
        products: usize,
    },
}

/// A statistic of two columns y and x, as SQL defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PairStat {
    /// CORR.
    Corr,
    /// COVAR_SAMP.
    CovarSamp,
    /// COVAR_POP.
    CovarPop,
    /// REGR_SLOPE.
    Slope,
    /// REGR_INTERCEPT.
    Intercept,
    /// REGR_R2.
    R2,
    /// REGR_COUNT.
    Count,
    /// REGR_AVGX.
    AvgX,
    /// REGR_AVGY.
    AvgY,
    /// REGR_SXX.
    Sxx,
    /// REGR_SYY.
    Syy,
    /// REGR_SXY.
    Sxy,
}

impl PairStat {
    const NAMES: [(&'static str, Self); 13] = [
        ("corr", Self::Corr),
        ("covar", Self::CovarSamp),
        ("covar_samp", Self::CovarSamp),
        ("covar_pop", Self::CovarPop),
        ("regr_slope", Self::Slope),
        ("regr_intercept", Self::Intercept),
        ("regr_r2", Self::R2),
        ("regr_count", Self::Count),
        ("regr_avgx", Self::AvgX),
        ("regr_avgy", Self::AvgY),
        ("regr_sxx", Self::Sxx),
        ("regr_syy", Self::Syy),
        ("regr_sxy", Self::Sxy),
    ];

    /// The statistic with this name in small letters.
    fn named(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(n, _)| *n == name);
        found.map(|(_, stat)| *stat)
    }

    /// The last of its names in small letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let mut names = Self::NAMES.iter().rev();
        let found = names.find(|(_, stat)| *stat == self);
        found.expect("every statistic has a name").0
    }
}

/// One column of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ValueKind,
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
