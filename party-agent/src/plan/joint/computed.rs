//! Arguments that are computed from columns of several holders and put in order: their values are made row by row, on
//! shares. Variances of many products are found there as well.
//!
//! A total is a sum over keys, and nobody needs a row's own value for it. An order does, so a bin of the hub's table is a
//! row of the join, or as many as a key has by the rows of its tables that are told apart ([`super::rows`]).

use datafusion::sql::sqlparser::ast::Expr;
use protocols::arith::mul;
use protocols::join::{self, bins};
use protocols::price::{Price, Seats};
use protocols::stats::rank;
use serde::{Serialize, Serializer};

use super::column;
use super::draft::Take;
use super::place::order;
use super::relation::Compiled;
use super::taken::Product;
use super::terms::{Term, Terms, terms_of};
use super::{Job, JoinPlan, JoinSizes};
use crate::plan::sql::outer::Arg;
use crate::plan::steps::{JointItem, JointPair, RANK_COLUMNS, RankedRows};
use crate::plan::words::counted;
use crate::plan::{
    KeyColumn, Measure, MeasureKind, PlanFault, RangeOrigin, Released, RingWidth, Slot, Step,
    ValueRange,
};

/// Most bits of a value's distance from the low end of its range.
const MAX_BITS: u32 = 60;
/// Most numbers that are ranked: their ranks are kept until they are multiplied.
const MAX_RANKED: u64 = 1 << 23;

/// Values that are computed row by row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComputedPlan {
    /// The join whose totals are not added up over its bins: how often a row counts, and values. They come once for each
    /// choice of rows.
    pub join: Box<JoinPlan>,
    /// How many choices of one row of each relation a key has: 1 where each has one row.
    pub rows_a_key: usize,
    /// The values.
    pub values: Vec<ComputedValue>,
}

/// An argument that is computed row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ComputedValue {
    /// The measure of the query.
    pub measure: usize,
    /// The total of the join that is 1 where its value is known and the row counts.
    pub count: usize,
    /// The total that is the value there.
    pub value: usize,
    /// The low end of its range.
    #[serde(serialize_with = "as_text")]
    pub low: i64,
    /// The total of the query over Z_2^64 that its squares are added to, if they are wanted.
    pub squares: Option<usize>,
    /// Whether it is put in order.
    pub ordered: bool,
}

fn as_text<S: Serializer>(number: &i64, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(number)
}

/// The same while the query is taken apart: relations in the order of FROM.
pub(super) struct Computed {
    pub(super) measure: usize,
    pub(super) kind: MeasureKind,
    pub(super) count: Vec<Term>,
    pub(super) value: Vec<Term>,
    pub(super) low: i64,
    high: i64,
    pub(super) squares: Option<usize>,
    pub(super) ordered: bool,
}

impl Computed {
    /// # Errors
    /// Values that are no whole numbers or decimals of few bits.
    pub(super) fn of(
        job: &Job<'_>,
        compiled: &Compiled,
        (measure, arg): (&Measure, &Arg),
        (count, row): (&[Product], &[Product]),
        squares: Option<Slot>,
    ) -> Result<Self, PlanFault> {
        let fault = |what: &str| {
            let what = format!("{}, which is computed row by row: {what}", arg.label);
            let fix = "CAST its columns AS DECIMAL with few digits, and write CASE WHEN x BETWEEN 0 AND 1000000 THEN x END for a shorter range";
            job.site.fault(&arg.expr, what, fix)
        };
        let column = column::column(job, compiled, arg, row)?;
        if !matches!(column.kind, MeasureKind::Exact { .. }) {
            return Err(fault("it is no whole number or decimal"));
        }
        let (mut low, mut high) = (0i128, 0i128);
        for term in &column.terms {
            let ends = ends(compiled, term).map_err(fault)?;
            low = low.saturating_add(ends.0);
            high = high.saturating_add(ends.1);
        }
        let largest = low.saturating_abs().max(high);
        let most = largest.saturating_mul(largest);
        let most = most.saturating_mul(compiled.rows.into());
        let fits = high.saturating_sub(low) >> MAX_BITS == 0
            && (squares.is_none() || i64::try_from(most).is_ok());
        match (i64::try_from(low), i64::try_from(high)) {
            (Ok(low), Ok(high)) if fits => Ok(Self {
                measure: measure.arg,
                kind: column.kind,
                count: terms_of(count),
                value: column.terms,
                low,
                high,
                squares: squares.map(|slot| slot.index),
                ordered: job.is_searched(measure.arg),
            }),
            _ => Err(fault(
                "its values have too many digits, by the declared ranges",
            )),
        }
    }

    /// No value lies outside it.
    pub(super) fn range(&self) -> ValueRange {
        ValueRange {
            low: self.low.to_string(),
            high: self.high.to_string(),
            origin: RangeOrigin::Declared,
        }
    }
}

/// The least and the greatest that a term can come to in one row; 0 is always among what it can.
fn ends(compiled: &Compiled, term: &Term) -> Result<(i128, i128), &'static str> {
    let coefficient = i128::from(term.coefficient);
    let mut ends = (coefficient.min(0), coefficient.max(0));
    for (one, take) in compiled.all.iter().zip(&term.takes) {
        let Take::Sum(arg) = take else {
            continue;
        };
        let measure = &one.columns.measures[*arg];
        let is_exact = matches!(measure.kind, MeasureKind::Exact { .. });
        if !is_exact || measure.sum.is_none_or(|s| s.ring != RingWidth::Narrow) {
            return Err("it takes a column that is no whole number or decimal of few digits");
        }
        let (Ok(low), Ok(high)) = (
            measure.range.low.parse::<i128>(),
            measure.range.high.parse::<i128>(),
        ) else {
            return Err("it takes a column whose range is not known");
        };
        let corners = [low.min(0), high.max(0)]
            .map(|end| [ends.0, ends.1].map(|other| other.checked_mul(end)));
        let mut least = 0;
        let mut greatest = 0;
        for corner in corners.into_iter().flatten() {
            let corner = corner.ok_or("its values have too many digits")?;
            least = corner.min(least);
            greatest = corner.max(greatest);
        }
        ends = (least, greatest);
    }
    Ok(ends)
}

impl Job<'_> {
    /// Whether an argument's values are computed row by row: what is ordered and no column of one relation.
    pub(super) fn is_row_by_row(&self, i: usize, arg: &Arg) -> Result<bool, PlanFault> {
        let is_chosen = || self.separate().chooses(&arg.expr);
        let is_ranked = self.is_rank_correlated(i) && self.ranked_at.is_none();
        Ok(is_ranked || arg.ordered && !is_chosen()?)
    }

    /// Whether an argument is one of SPEARMAN.
    pub(super) fn is_rank_correlated(&self, i: usize) -> bool {
        let is_its = |r: &Released| matches!(r, Released::Spearman { y, x } if *y == i || *x == i);
        self.outer.released.values().any(is_its)
    }

    /// Whether MIN, MAX or a quantile of an argument is wanted.
    pub(super) fn is_searched(&self, i: usize) -> bool {
        let is_its = |r: &Released| match r {
            Released::Extreme { measure, .. } | Released::Quantile { measure, .. } => *measure == i,
            _ => false,
        };
        self.outer.released.values().any(is_its)
    }

    /// The first argument that is computed row by row.
    pub(super) fn first_by_row(&self) -> Result<Option<Expr>, PlanFault> {
        for (i, arg) in self.outer.args.iter().enumerate() {
            if self.is_row_by_row(i, arg)? {
                return Ok(Some(arg.expr.clone()));
            }
        }
        Ok(None)
    }

    /// Whether every table must have one row a key, or as many as the job says: what is compared, or computed row by row,
    /// is no total.
    pub(super) fn has_one_row_a_key(&self) -> bool {
        self.by_row.is_some() || !self.below.borrow().is_empty()
    }
}

impl Terms {
    /// The rows in which values are computed: the bins of the hub's table, for its published size.
    ///
    /// # Errors
    /// Those of choosing the hub's table.
    pub(super) fn computed_rows(
        &self,
        job: &Job<'_>,
        compiled: &Compiled,
        others: usize,
    ) -> Result<Vec<(usize, RankedRows)>, PlanFault> {
        if self.computed.is_empty() {
            return Ok(Vec::new());
        }
        let rows = RankedRows {
            rows: vec![self.n_rows(job, compiled)?],
            groups: 1,
            others,
            shared: true,
        };
        let each = self.computed.iter().filter(|of| of.ordered);
        Ok(each.map(|of| (of.measure, rows.clone())).collect())
    }
}

impl Terms {
    /// The bins of the hub's table, for its published size, and the rows in each.
    fn n_rows(&self, job: &Job<'_>, compiled: &Compiled) -> Result<u64, PlanFault> {
        let hub = &compiled.all[order(job, compiled, self)?[0]];
        let keys = hub
            .raw
            .first()
            .map_or(0, |part| hub.keys_at_most(job, part));
        let keys = usize::try_from(keys.max(1)).unwrap_or(usize::MAX);
        let n_bins = bins::n_bins_of(keys) as u64;
        Ok(n_bins.saturating_mul(job.n_choices() as u64))
    }

    /// The step for all rank correlations, if there are any. `column`: the first that is free.
    ///
    /// # Errors
    /// Too many rows.
    pub(super) fn ranks_step(
        &self,
        job: &Job<'_>,
        compiled: &Compiled,
        (others, column): (usize, &mut usize),
    ) -> Result<Option<Step>, PlanFault> {
        let mut wanted: Vec<(usize, usize)> = Vec::new();
        for value in job.outer.released.values() {
            if let Released::Spearman { y, x } = *value {
                wanted.push((y, x));
            }
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        wanted.sort_unstable();
        let rows = self.n_rows(job, compiled)?;
        let of = |measure: usize| self.computed.iter().find(|of| of.measure == measure);
        // The same numbers under another name are ranked once.
        let first = |like: &dyn Fn(&Computed) -> bool| {
            let found = self.computed.iter().find(|of| like(of));
            found.map_or(0, |of| of.measure)
        };
        let mut items: Vec<JointItem> = Vec::new();
        let mut pairs = Vec::new();
        for (y, x) in wanted {
            let (Some(of_y), Some(of_x)) = (of(y), of(x)) else {
                continue;
            };
            // Both are known in the same rows.
            let count = first(&|of| of.count == of_y.count);
            let item = [of_y, of_x].map(|own| {
                let measure = first(&|of| of.value == own.value && of.low == own.low);
                let bits = 64 - own.low.abs_diff(own.high).leading_zeros();
                let item = JointItem {
                    measure,
                    count,
                    bits: bits.max(1),
                };
                let known = items.iter().position(|i| *i == item);
                known.unwrap_or_else(|| {
                    items.push(item);
                    items.len() - 1
                })
            });
            pairs.push(JointPair {
                y,
                x,
                items: item,
                column: *column,
            });
            *column += RANK_COLUMNS;
        }
        check_ranked(job, rows, (items.len(), "over a join of"))?;
        Ok(Some(Step::JointRanks {
            items,
            pairs,
            rows,
            others,
            held: false,
        }))
    }
}

/// Checks how many rows are ranked, of so many columns; `which`: in words, of which rows.
///
/// # Errors
/// Too many of them.
pub(super) fn check_ranked(
    job: &Job<'_>,
    rows: u64,
    (n_items, which): (usize, &str),
) -> Result<(), PlanFault> {
    let n_items = n_items as u64;
    if rows <= rank::MAX_ROWS as u64 && rows.saturating_mul(n_items) <= MAX_RANKED {
        return Ok(());
    }
    let what = format!(
        "the ranks of {} {which} up to {rows} rows, by the published sizes of the tables: rows are 2^20 at most, and rows times columns 2^23",
        counted(n_items, "column")
    );
    let fix = "write max_rows in the job, or correlate fewer columns at once";
    Err(job.site.fault(job.select, what, fix))
}

impl JoinPlan {
    /// Whether it matters in whose bins rows meet: what is not added up over them stands there.
    pub(super) fn is_row_by_row(&self) -> bool {
        let in_bins = self.computed.is_some() || self.met.is_some() || self.dominant.is_some();
        in_bins || self.n_compared() > 0
    }
}

impl ComputedPlan {
    /// The join, as the protocol takes it.
    #[must_use]
    pub fn shape(&self, sizes: &JoinSizes, keys: &[KeyColumn], is_dealt: bool) -> join::Shape {
        let groups = self.join.groups(keys);
        let mut shape = self.join.star(0, sizes, &groups, is_dealt);
        shape.bounds = None;
        // A row of the hub that meets another counts once: no column of ones is needed.
        let is_alone = groups.first() == Some(&1);
        let rows = self.join.relations[0].narrow.iter().position(|c| *c == 0);
        for term in shape.narrow.iter_mut().flatten() {
            let meets = |f: &join::Factor| {
                matches!(f, join::Factor::Narrow(_) | join::Factor::Matched { .. })
            };
            let counts = rows.is_some_and(|rows| term.factors[0] == join::Factor::Narrow(rows));
            if is_alone && counts && term.factors[1..].iter().any(meets) {
                term.factors[0] = join::Factor::Matched { cell: 0 };
            }
        }
        shape
    }

    /// What the values take and send.
    pub(super) fn price(
        &self,
        sizes: &JoinSizes,
        (keys, is_dealt): (&[KeyColumn], bool),
        seats: Seats,
    ) -> Price {
        let shape = self.shape(sizes, keys, is_dealt);
        let n_numbers = shape.n_cells() * bins::n_bins(&shape) * self.rows_a_key;
        let squared = self.values.iter().filter(|value| value.squares.is_some());
        let squares = squared.map(|_| mul::price::<u64>(seats, n_numbers));
        let rows = bins::price(seats, &shape);
        squares.fold(rows, |sum, one| sum.then(&one))
    }
}
