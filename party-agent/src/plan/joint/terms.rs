//! Each total as a sum of products of the relations' numbers.

use std::collections::BTreeMap;

use super::column::{Column, column};
use super::computed::Computed;
use super::correlated::Correlated;
use super::dominant::Dominant;
use super::draft::Take;
use super::ranked::Ranked;
use super::relation::Compiled;
use super::taken::{Argument, Product, Taken};
use super::{Job, ValueColumns};
use crate::plan::compile::checks::{CountColumns, Person};
use crate::plan::compile::measures::no_range;
use crate::plan::compile::one;
use crate::plan::finish::SumOf;
use crate::plan::having;
use crate::plan::ring::Fit;
use crate::plan::sql::outer::Arg;
use crate::plan::{
    ComparedTotals, Measure, MeasureKind, MinCell, PlanFault, RangeOrigin, RingWidth, RoundingPlan,
    Shape, Slot, ValueRange,
};

/// Most values of an argument that several relations have values of.
const MAX_JOINT_VALUES: usize = 1 << 13;

/// The totals of the query and what they are made of.
pub(super) struct Terms {
    /// By total: the terms, their relations in the order of FROM.
    pub(super) narrow: Vec<Vec<Term>>,
    pub(super) wide: Vec<Vec<Term>>,
    pub(super) measures: Vec<Measure>,
    pub(super) fits: Vec<Option<Fit>>,
    pub(super) sums: Vec<SumOf>,
    /// Columns of `narrow` after all others: the rows with each value of a measure.
    pub(super) values: Vec<ValueColumns>,
    /// Arguments whose rows are ordered.
    pub(super) ranked: Vec<Ranked>,
    /// Arguments whose rows are ranked beside each other.
    pub(super) correlated: Vec<Correlated>,
    /// How measures of products with floating-point numbers are rounded.
    pub(super) roundings: BTreeMap<usize, String>,
    /// Arguments that are computed row by row.
    pub(super) computed: Vec<Computed>,
    pub(super) person: Option<usize>,
    /// Columns of `narrow` without terms: the keys of which some row counts, by the terms that count their rows.
    pub(super) met: Vec<(usize, Vec<Term>)>,
    /// The sums whose largest contributions are found.
    pub(super) dominant: Option<Dominant>,
    /// Where it is told how many keys match, the column for that; its terms are those of the join.
    pub(super) matched: Option<usize>,
    label: String,
    pub(super) distinct: Vec<Option<usize>>,
}

/// A product whose factors are columns or flags of the relations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) coefficient: i64,
    pub(super) takes: Vec<Take>,
    pub(super) flags: bool,
    /// The numbers of sums that must be below 0.
    pub(super) below: Vec<usize>,
}

impl Terms {
    pub(super) fn of(
        job: &Job<'_>,
        taken: &Taken,
        compiled: &Compiled,
        min_cell: &MinCell,
    ) -> Result<Self, Vec<PlanFault>> {
        let mut all = Self {
            narrow: vec![terms_of(&taken.rows)],
            wide: Vec::new(),
            measures: Vec::new(),
            fits: Vec::new(),
            sums: Vec::new(),
            values: Vec::new(),
            ranked: Vec::new(),
            correlated: Vec::new(),
            roundings: BTreeMap::new(),
            computed: Vec::new(),
            person: None,
            met: Vec::new(),
            dominant: None,
            matched: None,
            label: key_label(job),
            distinct: Vec::new(),
        };
        for (i, (arg, argument)) in job.outer.args.iter().zip(&taken.args).enumerate() {
            all.measure(job, compiled, (i, arg), argument)
                .map_err(one)?;
        }
        let persons = taken.persons.as_ref();
        if let Some(takes) = persons.filter(|_| min_cell.at_least > 1) {
            all.person = Some(all.flags_column(takes));
        }
        if all.person.is_none() && min_cell.at_least > 1 {
            all.person = Some(all.met_column(job, terms_of(&taken.rows)));
        }
        if job.tells_size() {
            all.matched = Some(all.narrow.len());
            all.narrow.push(Vec::new());
        }
        for (i, (arg, argument)) in job.outer.args.iter().zip(&taken.args).enumerate() {
            if let Argument::Different(values) = argument {
                let different = Ranked::different(job, compiled, (i, arg), values);
                all.ranked.extend(different.map_err(one)?);
            }
            if let Argument::Plain {
                each: Some(each), ..
            } = argument
            {
                match Ranked::of(job, compiled, i, each).map_err(one)? {
                    Some(ranked) => {
                        all.typed(compiled, &ranked);
                        all.ranked.push(ranked);
                    }
                    None => all.values(job, compiled, (i, arg), each).map_err(one)?,
                }
            }
            if let Argument::Plain {
                count,
                squares,
                row: Some(row),
                ..
            } = argument
            {
                let measure = &all.measures[i];
                // Squares that are no products of relations' numbers have no terms.
                let is_empty = squares.as_ref().is_some_and(Vec::is_empty);
                let squares = measure.sum_sq.filter(|_| is_empty);
                let computed = Computed::of(job, compiled, (measure, arg), (count, row), squares);
                all.compute(computed.map_err(one)?);
            }
        }
        all.correlate(job, compiled, taken).map_err(one)?;
        Ok(all)
    }

    /// The conditions of HAVING that are decided on shares.
    pub(super) fn having(
        &self,
        job: &Job<'_>,
        (rounding, rows): (Option<&RoundingPlan>, u64),
        shape: &mut Shape,
    ) -> Vec<ComparedTotals> {
        let totals = having::Totals {
            outer: job.outer,
            measures: &self.measures,
            fits: &self.fits,
            rows,
        };
        match rounding {
            None => having::on_shares(job.spec, &totals, shape),
            Some(_) => Vec::new(),
        }
    }

    /// Columns over Z_2^64 that are released, or checked.
    pub(super) fn n_released(&self) -> usize {
        let first = self.values.first().map(|v| v.first);
        first.unwrap_or(self.narrow.len())
    }

    /// The rows with each value, from the lowest that any relation can have to the highest.
    fn values(
        &mut self,
        job: &Job<'_>,
        compiled: &Compiled,
        (i, arg): (usize, &Arg),
        each: &[Product],
    ) -> Result<(), PlanFault> {
        let refused = |what: &str, fix: &str| {
            let what = format!("MIN, MAX and quantiles of {}, {what}", arg.label);
            Err(job.site.fault(&arg.expr, what, fix))
        };
        let parts: Vec<Part> = each.iter().filter_map(|p| Part::of(compiled, p)).collect();
        let mut kinds: Vec<MeasureKind> = parts.iter().map(|part| part.kind).collect();
        kinds.dedup();
        let [kind] = kinds.as_slice() else {
            return refused(
                "whose parts are of different types",
                "CAST them to one type",
            );
        };
        let low = parts.iter().map(|part| part.low).min().unwrap_or(0);
        let high = parts.iter().map(|part| part.high).max().unwrap_or(0);
        let n_values = usize::try_from(high - low + 1).unwrap_or(usize::MAX);
        if n_values > MAX_JOINT_VALUES {
            return refused(
                "whose parts have ranges too far from each other",
                "declare ranges that overlap",
            );
        }
        self.values.push(ValueColumns {
            measure: i,
            first: self.narrow.len(),
            n_values,
        });
        for value in low..=high {
            let at_value = parts.iter().filter_map(|part| part.at(value));
            self.narrow.push(at_value.collect());
        }
        let measure = &mut self.measures[i];
        measure.kind = *kind;
        measure.range = ValueRange {
            low: low.to_string(),
            high: high.to_string(),
            origin: RangeOrigin::Declared,
        };
        self.sums[i].kind = *kind;
        self.sums[i].is_narrow = i64::try_from(low).is_ok() && i64::try_from(high).is_ok();
        Ok(())
    }

    /// An argument of one relation keeps that one's type and range.
    pub(super) fn typed(&mut self, compiled: &Compiled, ranked: &Ranked) {
        let of = &compiled.all[ranked.relation].columns.measures[ranked.arg];
        let (measure, sum) = (
            &mut self.measures[ranked.measure],
            &mut self.sums[ranked.measure],
        );
        measure.kind = of.kind;
        measure.range = of.range.clone();
        sum.kind = of.kind;
        sum.is_narrow = [&of.range.low, &of.range.high]
            .iter()
            .all(|end| end.parse::<i64>().is_ok());
    }

    /// An argument that no relation has alone.
    fn compute(&mut self, computed: Computed) {
        let (measure, sum) = (
            &mut self.measures[computed.measure],
            &mut self.sums[computed.measure],
        );
        measure.kind = computed.kind;
        measure.range = computed.range();
        sum.kind = computed.kind;
        sum.is_narrow = true;
        self.computed.push(computed);
    }

    fn flags_column(&mut self, takes: &[Take]) -> usize {
        self.narrow.push(vec![Term {
            coefficient: 1,
            takes: takes.to_vec(),
            flags: true,
            below: Vec::new(),
        }]);
        self.narrow.len() - 1
    }

    fn measure(
        &mut self,
        job: &Job<'_>,
        compiled: &Compiled,
        (i, arg): (usize, &Arg),
        argument: &Argument,
    ) -> Result<(), PlanFault> {
        let mut measure = Measure {
            arg: i,
            label: arg.label.clone(),
            kind: MeasureKind::Counted,
            range: no_range(),
            count: 0,
            sum: None,
            sum_sq: None,
        };
        let mut fit = None;
        let mut largest = None;
        let mut is_narrow = false;
        let mut distinct = None;
        match argument {
            Argument::Met(rows) => {
                measure.kind = MeasureKind::Distinct;
                measure.count = self.met_column(job, terms_of(rows));
                distinct = Some(measure.count);
            }
            Argument::Keys(takes) => {
                measure.kind = MeasureKind::Distinct;
                measure.count = self.flags_column(takes);
                distinct = Some(measure.count);
            }
            Argument::Different(_) => measure.kind = MeasureKind::Distinct,
            Argument::Plain {
                count,
                sum,
                squares,
                ..
            } => {
                let count: Vec<Term> = terms_of(count);
                measure.count = self.count_column(count);
                if let Some(sum) = sum {
                    let column = column(job, compiled, arg, sum)?;
                    measure.kind = column.kind;
                    largest = column.largest;
                    is_narrow = column.ring == RingWidth::Narrow;
                    (measure.range, fit) = range_and_fit(compiled, sum, &column);
                    if let Some(rounding) = &column.rounding {
                        self.roundings.insert(i, rounding.clone());
                    }
                    measure.sum = Some(self.put(column));
                }
                if let Some(squares) = squares {
                    let column = column(job, compiled, arg, squares)?;
                    measure.sum_sq = Some(self.put(column));
                }
            }
        }
        self.sums.push(SumOf {
            kind: measure.kind,
            largest,
            is_narrow,
        });
        self.fits.push(fit);
        self.measures.push(measure);
        self.distinct.push(distinct);
        Ok(())
    }

    /// The column of the keys of which some row counts: that of these rows where a key has one.
    fn met_column(&mut self, job: &Job<'_>, rows: Vec<Term>) -> usize {
        if job.has_one_row_a_key() && job.n_choices() == 1 {
            return self.count_column(rows);
        }
        if let Some((column, _)) = self.met.iter().find(|(_, terms)| *terms == rows) {
            return *column;
        }
        self.narrow.push(Vec::new());
        self.met.push((self.narrow.len() - 1, rows));
        self.narrow.len() - 1
    }

    /// The column of a count; that of all rows where it is the same.
    fn count_column(&mut self, count: Vec<Term>) -> usize {
        let is_met = |at: usize| self.met.iter().any(|(column, _)| *column == at);
        let known = self.narrow.iter().position(|c| *c == count);
        if let Some(known) = known.filter(|at| !is_met(*at)) {
            return known;
        }
        self.narrow.push(count);
        self.narrow.len() - 1
    }

    fn put(&mut self, column: Column) -> Slot {
        let columns = match column.ring {
            RingWidth::Narrow => &mut self.narrow,
            RingWidth::Wide => &mut self.wide,
        };
        columns.push(column.terms);
        Slot {
            ring: column.ring,
            index: columns.len() - 1,
            frac_bits: column.frac_bits,
            scale: column.scale,
        }
    }

    /// The columns that checks are made on.
    pub(super) fn counts(&self) -> CountColumns<'_> {
        CountColumns {
            measures: &self.measures,
            person: match self.person {
                Some(column) => Person::Key(column, self.label.clone()),
                None => Person::Rows,
            },
            distinct: self.distinct.clone(),
        }
    }
}

/// A product that is counted value by value, and the relation that has the values.
struct Part<'a> {
    product: &'a Product,
    relation: usize,
    arg: usize,
    kind: MeasureKind,
    low: i128,
    high: i128,
}

impl<'a> Part<'a> {
    fn of(compiled: &Compiled, product: &'a Product) -> Option<Self> {
        let mut takes = product.takes.iter().enumerate();
        let (relation, arg) = takes.find_map(|(at, take)| match take {
            Take::Value(arg, _) => Some((at, *arg)),
            _ => None,
        })?;
        let one = &compiled.all[relation];
        let n_values = one.values.iter().find(|v| v.measure == arg)?.n_values;
        let low = one.low(arg);
        Some(Self {
            product,
            relation,
            arg,
            kind: one.columns.measures[arg].kind,
            low,
            high: low + n_values as i128 - 1,
        })
    }

    /// The rows with this value, if it is in the range.
    fn at(&self, value: i128) -> Option<Term> {
        let place = usize::try_from(value - self.low).ok();
        let place = place.filter(|_| value <= self.high)?;
        let mut takes = self.product.takes.clone();
        takes[self.relation] = Take::Value(self.arg, place);
        Some(Term {
            coefficient: self.product.coefficient,
            takes,
            flags: false,
            below: self.product.below.clone(),
        })
    }
}

fn key_label(job: &Job<'_>) -> String {
    let first = job.relations.all.first();
    let key = first.map_or(&[][..], |r| r.key.as_slice());
    let columns: Vec<String> = key.iter().map(ToString::to_string).collect();
    format!("COUNT(DISTINCT {})", columns.join(", "))
}

pub(super) fn terms_of(products: &[Product]) -> Vec<Term> {
    let terms = products.iter().map(|p| Term {
        coefficient: p.coefficient,
        takes: p.takes.clone(),
        flags: false,
        below: p.below.clone(),
    });
    terms.collect()
}

/// The range of a total's values where one relation alone has them.
fn range_and_fit(
    compiled: &Compiled,
    sum: &[Product],
    column: &Column,
) -> (ValueRange, Option<Fit>) {
    let whole = Fit {
        range: no_range(),
        sum: Some((column.ring, column.frac_bits)),
        sum_sq: None,
        largest_sum: column.largest,
    };
    let single = match sum {
        [product] => {
            let mut values = compiled
                .all
                .iter()
                .zip(&product.takes)
                .filter_map(|(one, take)| match take {
                    Take::Sum(arg) => one.fits[*arg].as_ref(),
                    _ => None,
                });
            values.next().filter(|_| values.next().is_none())
        }
        _ => None,
    };
    match single {
        Some(fit) => (
            fit.range.clone(),
            Some(Fit {
                range: fit.range.clone(),
                ..whole
            }),
        ),
        None => (no_range(), Some(whole)),
    }
}
