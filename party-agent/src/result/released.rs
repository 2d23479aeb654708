//! The table `released`: one row for each released group.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Decimal256Array, Float64Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, Schema, i256};
use protocols::aggregate::Released;

use super::groups::Keys;
use super::moments::{Moments, Unit};
use super::pairs::{Pairs, Total};
use super::{ResultError, slots_of, totals};
use crate::plan::Step;
use crate::plan::{
    Measure, MeasureKind, PairStat, Plan, Released as Value, ReleasedColumn, RingWidth, Slot,
    ValueKind, Which,
};

/// Released totals by group, empty groups left out.
pub(super) struct Cells<'a> {
    pub(super) plan: &'a Plan,
    pub(super) released: &'a Released,
    /// The keys of groups that are not public: of each that was released.
    keys: Option<&'a Keys>,
    /// The groups: number of the cell, and its place among the released ones.
    groups: Vec<(usize, usize)>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        released: &'a Released,
        keys: Option<&'a Keys>,
    ) -> Result<Self, ResultError> {
        let shape = &plan.shape;
        let n_cells = keys.map_or(shape.cells, Keys::n_groups);
        let n_released = released.ok.iter().filter(|&&ok| ok).count();
        let narrow = released.narrow.iter().all(|c| c.len() == n_released);
        let wide = released.wide.iter().all(|c| c.len() == n_released);
        let has_shape = released.ok.len() == n_cells
            && (released.narrow.len(), released.wide.len())
                == (shape.narrow - shape.compared, shape.wide);
        if !(narrow && wide && has_shape) || shape.narrow == 0 {
            return Err(totals("another number of columns or groups"));
        }
        let rows = &released.narrow[0];
        let open = (0..n_cells).filter(|&cell| released.ok[cell]).enumerate();
        // GROUP BY has no group without rows; without GROUP BY there is always one row.
        let groups = open
            .filter(|&(place, _)| rows[place] > 0 || plan.keys.is_empty())
            .map(|(place, cell)| (cell, place))
            .collect();
        let cells = Self {
            plan,
            released,
            keys,
            groups,
        };
        cells.check()?;
        Ok(cells)
    }

    /// Totals that no rows can have come from a fault or a party that does not keep to the protocol.
    fn check(&self) -> Result<(), ResultError> {
        // Of totals with noise no row tells what is possible.
        if self.plan.noise.is_some() {
            return Ok(());
        }
        for measure in &self.plan.measures {
            for &(_, place) in &self.groups {
                if self.count(measure, place) > self.released.narrow[0][place] {
                    return Err(totals(format!(
                        "more values of {} than rows",
                        measure.label
                    )));
                }
                let needs_squares = measure.sum.is_some() && measure.sum_sq.is_some();
                if needs_squares && !self.moments(measure, place).is_possible() {
                    return Err(totals(format!(
                        "the totals of {} contradict each other",
                        measure.label
                    )));
                }
            }
        }
        Ok(())
    }

    /// Rows in the released groups. Totals count no row again.
    pub(super) fn n_used(&self) -> u64 {
        self.innermost()
            .map(|place| self.released.narrow[0][place])
            .sum()
    }

    /// The places of the groups that are no totals.
    fn innermost(&self) -> impl Iterator<Item = usize> {
        let margins = self.plan.margins();
        let groups = self.groups.iter();
        let innermost =
            groups.filter(move |&&(cell, _)| margins.is_none_or(|m| m.is_innermost(cell)));
        innermost.map(|&(_, place)| place)
    }

    /// For each aggregated argument, the rows of the released groups in which it was NULL.
    pub(super) fn dropped(&self) -> BTreeMap<String, u64> {
        let nulls = |measure: &Measure| {
            let counted = self
                .innermost()
                .map(|place| self.count(measure, place))
                .sum::<u64>();
            self.n_used() - counted
        };
        let measures = self.plan.measures.iter();
        // The difference of two counts with noise is the noise, and of rounded ones what was rounded off.
        measures
            .filter(|_| self.plan.noise.is_none() && self.plan.rounding.is_none())
            .filter(|m| m.kind != MeasureKind::Distinct)
            .map(|m| (m.label.clone(), nulls(m)))
            .collect()
    }

    pub(super) fn table(&self) -> Result<RecordBatch, ResultError> {
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        for column in &self.plan.released {
            fields.push(Field::new(&column.name, column.kind.arrow(), true));
            arrays.push(self.column(column)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.groups.len()));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|_| totals("a column has another type than the plan says"))
    }

    fn column(&self, column: &ReleasedColumn) -> Result<ArrayRef, ResultError> {
        let floats = |value: &dyn Fn(&Moments) -> Option<f64>, measure: usize| -> ArrayRef {
            let measure = &self.plan.measures[measure];
            let groups = self.groups.iter();
            let values = groups.map(|&(_, place)| value(&self.moments(measure, place)));
            Arc::new(values.collect::<Float64Array>())
        };
        match column.value {
            Value::Key(key) => self.key(key, column.kind),
            Value::Ordinal(key) => Ok(self.ordinals(key)),
            Value::Grouping(key) => {
                let n_groups = self.plan.keys[key].n_groups();
                Ok(self.slots(key, |slot| i64::from(slot == n_groups)))
            }
            Value::Rows => {
                self.integers(column, |place| Some(self.released.narrow[0][place].into()))
            }
            Value::Count(measure) => {
                let measure = &self.plan.measures[measure];
                self.integers(column, |place| Some(self.count(measure, place).into()))
            }
            Value::Sum(measure) if column.kind == ValueKind::Float => {
                Ok(floats(&Moments::float_sum, measure))
            }
            Value::Sum(measure) => {
                let measure = &self.plan.measures[measure];
                let sum = |place| {
                    (self.count(measure, place) > 0).then(|| self.total(measure.sum, place))
                };
                self.integers(column, sum)
            }
            Value::Avg(measure) => Ok(floats(&Moments::mean, measure)),
            Value::Var { measure, sample } => Ok(floats(&|m| m.variance(sample), measure)),
            Value::StdDev { measure, sample } => Ok(floats(&|m| m.deviation(sample), measure)),
            Value::Distinct(measure) => {
                let slot = self.distinct_column(measure)?;
                self.integers(column, |place| Some(self.narrow(slot, place).into()))
            }
            Value::Extreme { measure, greatest } => {
                self.found(column, measure, Which::extreme(greatest))
            }
            Value::Quantile {
                measure,
                p,
                continuous: true,
            } => self.between(measure, p),
            Value::Quantile { measure, p, .. } => self.found(column, measure, Which::Discrete(p)),
            Value::Spearman { y, x } => self.spearman(y, x),
            Value::Pair {
                stat: PairStat::Count,
                x,
                ..
            } => {
                let measure = &self.plan.measures[x];
                self.integers(column, |place| Some(self.count(measure, place).into()))
            }
            Value::Pair {
                stat,
                y,
                x,
                products,
            } => {
                let measures = [y, x, products].map(|i| &self.plan.measures[i]);
                let values = self.places().map(|place| self.pairs(measures, place));
                let values = values.map(|pairs| pairs.statistic(stat));
                Ok(Arc::new(values.collect::<Float64Array>()))
            }
        }
    }

    /// The place of each group's key in the order of that key's values.
    fn ordinals(&self, key: usize) -> ArrayRef {
        let Some(keys) = self.keys else {
            return self.slots(key, |slot| slot as i64);
        };
        let groups = self.groups.iter();
        let ordinals = groups.map(|&(cell, _)| keys.ordinal(cell, key));
        Arc::new(Int64Array::from_iter_values(ordinals))
    }

    /// A number that follows from a key's slot.
    fn slots(&self, key: usize, value: impl Fn(usize) -> i64) -> ArrayRef {
        let groups = self.groups.iter();
        let slots = groups.map(|&(cell, _)| value(slots_of(self.plan, cell)[key]));
        Arc::new(Int64Array::from_iter_values(slots))
    }

    /// The narrow column of a distinct count.
    fn distinct_column(&self, of: usize) -> Result<usize, ResultError> {
        let mut steps = self.plan.steps.iter();
        let found = steps.find_map(|step| match step {
            Step::Distinct {
                measure, column, ..
            }
            | Step::Different {
                measure, column, ..
            } if *measure == of => Some(*column),
            _ => None,
        });
        // Where no step makes it, it is among the totals that a join makes.
        let joined = self.plan.measures.get(of).map(|m| m.count);
        let found = found.or(joined.filter(|column| *column != 0));
        found.ok_or_else(|| totals("a count that no step makes"))
    }

    fn integers(
        &self,
        column: &ReleasedColumn,
        value: impl Fn(usize) -> Option<i128>,
    ) -> Result<ArrayRef, ResultError> {
        self.whole_numbers(column, self.places().map(value).collect())
    }

    /// Whole numbers, decimals whose unscaled integers these are, or days since 1970-01-01.
    pub(super) fn whole_numbers(
        &self,
        column: &ReleasedColumn,
        values: Vec<Option<i128>>,
    ) -> Result<ArrayRef, ResultError> {
        let values = values.into_iter();
        let too_wide = || totals(format!("a value of {} does not fit its type", column.name));
        match column.kind {
            ValueKind::Int => {
                let narrow = values.map(|v| v.map(i64::try_from).transpose());
                let array = narrow
                    .collect::<Result<Int64Array, _>>()
                    .map_err(|_| too_wide())?;
                Ok(Arc::new(array))
            }
            ValueKind::Decimal { precision, scale } if precision <= 38 => {
                let array = values
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(precision, scale);
                let array = array.map_err(|_| too_wide())?;
                array
                    .validate_decimal_precision(precision)
                    .map_err(|_| too_wide())?;
                Ok(Arc::new(array))
            }
            ValueKind::Decimal { precision, scale } => {
                let wide = values
                    .map(|v| v.map(i256::from_i128))
                    .collect::<Decimal256Array>();
                let array = wide
                    .with_precision_and_scale(precision, scale)
                    .map_err(|_| too_wide())?;
                Ok(Arc::new(array))
            }
            ValueKind::Date => {
                let days = values.map(|v| v.map(i32::try_from).transpose());
                let days = days.collect::<Result<Date32Array, _>>();
                Ok(Arc::new(days.map_err(|_| too_wide())?))
            }
            _ => Err(totals(format!("{} is not a number", column.name))),
        }
    }

    /// A key's values, from the texts of its slots.
    fn key(&self, key: usize, kind: ValueKind) -> Result<ArrayRef, ResultError> {
        let index = key;
        let key = &self.plan.keys[key];
        let text = |&(cell, _): &(usize, usize)| match self.keys {
            Some(keys) => keys.text(cell, index),
            None => match key.domain.get(slots_of(self.plan, cell)[index]) {
                Some(text) => text.as_deref(),
                None if slots_of(self.plan, cell)[index] == key.n_groups() => None,
                None => Some(key.other_label.as_str()),
            },
        };
        let texts = self.groups.iter().map(text).collect::<StringArray>();
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        cast_with_options(&texts, &kind.arrow(), &strict)
            .map_err(|_| totals(format!("the groups of {} are not of its type", key.name)))
    }

    /// The places of the groups among the released ones.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.groups.iter().map(|&(_, place)| place)
    }

    pub(super) fn counts(&self, measure: &Measure) -> impl Iterator<Item = u64> {
        self.places().map(|place| self.count(measure, place))
    }

    pub(super) fn narrow(&self, column: usize, place: usize) -> u64 {
        self.released.narrow[column][place]
    }

    pub(super) fn wide(&self, column: usize, place: usize) -> u128 {
        self.released.wide[column][place]
    }

    fn count(&self, measure: &Measure, place: usize) -> u64 {
        self.released.narrow[measure.count][place]
    }

    /// A total in two's complement.
    fn total(&self, slot: Option<Slot>, place: usize) -> i128 {
        match slot {
            None => 0,
            Some(Slot {
                ring: RingWidth::Narrow,
                index,
                ..
            }) => i128::from(self.released.narrow[index][place] as i64),
            Some(Slot {
                ring: RingWidth::Wide,
                index,
                ..
            }) => self.released.wide[index][place] as i128,
        }
    }

    fn pairs(&self, [y, x, products]: [&Measure; 3], place: usize) -> Pairs {
        let total = |measure: &Measure, slot: Option<Slot>, power: u32| {
            let (ten, two) = match measure.kind {
                MeasureKind::Exact { scale } => (power * u32::from(scale.unsigned_abs()), 0),
                MeasureKind::Float
                | MeasureKind::Counted
                | MeasureKind::Distinct
                | MeasureKind::Day => slot.map_or((0, 0), |s| (s.scale, s.frac_bits)),
            };
            let off_by = if two > 0 { self.holders().into() } else { 0 };
            Total::new(self.total(slot, place), ten, two).within(off_by)
        };
        Pairs {
            n: self.count(products, place),
            y: total(y, y.sum, 1),
            x: total(x, x.sum, 1),
            yy: total(y, y.sum_sq, 2),
            xx: total(x, x.sum_sq, 2),
            xy: total(products, products.sum, 1),
        }
    }

    /// How often a total of floats was rounded.
    fn holders(&self) -> u32 {
        u32::try_from(self.plan.roundings()).unwrap_or(u32::MAX)
    }

    fn moments(&self, measure: &Measure, place: usize) -> Moments {
        let frac_bits = |slot: Option<Slot>| slot.map_or(0, |s| s.frac_bits);
        let unit = match measure.kind {
            MeasureKind::Exact { scale } => Unit::Decimal {
                scale: scale.unsigned_abs().into(),
            },
            MeasureKind::Float
            | MeasureKind::Counted
            | MeasureKind::Distinct
            | MeasureKind::Day => Unit::Binary {
                sum: frac_bits(measure.sum),
                squares: frac_bits(measure.sum_sq),
                scale: measure.sum.map_or(0, |s| s.scale),
                holders: self.holders(),
            },
        };
        Moments {
            n: self.count(measure, place),
            sum: self.total(measure.sum, place),
            squares: self.total(measure.sum_sq, place),
            unit,
        }
    }
}
