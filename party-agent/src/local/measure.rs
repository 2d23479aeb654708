//! One aggregate argument's totals at this holder.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use protocols::aggregate::LocalTotals;

use super::exact::{ExactTotals, Refused};
use super::float::FloatTotals;
use crate::plan::words::range_of;
use crate::plan::{LocalPlan, Measure, MeasureKind, RangeOrigin, RingWidth, Slot};
use crate::source::SourceError;

pub(super) struct MeasureTotals<'a> {
    measure: &'a Measure,
    local: &'a LocalPlan,
    /// How many values are not NULL, by cell; `None` where the plan says that NULL cannot occur.
    counts: Option<Vec<u64>>,
    values: Values,
}

enum Values {
    Counted,
    Exact { totals: ExactTotals, scale: i8 },
    Float(FloatTotals),
}

impl<'a> MeasureTotals<'a> {
    pub(super) fn new(
        measure: &'a Measure,
        local: &'a LocalPlan,
        n_cells: usize,
    ) -> Result<Self, SourceError> {
        let counts = (measure.count != 0).then(|| vec![0; n_cells]);
        let mut this = Self {
            measure,
            local,
            counts,
            values: Values::Counted,
        };
        let (sum, squares) = (measure.sum, measure.sum_sq);
        this.values = match measure.kind {
            MeasureKind::Counted | MeasureKind::Distinct => Values::Counted,
            MeasureKind::Exact { .. } | MeasureKind::Day => {
                let scale = match measure.kind {
                    MeasureKind::Exact { scale } => scale,
                    _ => 0,
                };
                let (low, high) = this.range::<i128>()?;
                let totals = ExactTotals::new(low, high, sum.is_some(), squares.is_some(), n_cells);
                let totals = match measure.range.origin {
                    RangeOrigin::Clamped => totals.clamping(),
                    _ => totals,
                };
                Values::Exact { totals, scale }
            }
            MeasureKind::Float => {
                let (low, high) = this.range::<f64>()?;
                let bits = |slot: Option<Slot>| slot.map(|s| s.frac_bits);
                Values::Float(FloatTotals::new(
                    low,
                    high,
                    bits(sum),
                    bits(squares),
                    n_cells,
                ))
            }
        };
        Ok(this)
    }

    /// The same for a factor of quotients: no divisor is above 2 to this power.
    pub(super) fn dividing(mut self, most: i32) -> Self {
        if let Values::Float(totals) = self.values {
            self.values = Values::Float(totals.at_least(2f64.powi(-most)));
        }
        self
    }

    fn range<T: std::str::FromStr>(&self) -> Result<(T, T), SourceError> {
        let range = &self.measure.range;
        match (range.low.parse(), range.high.parse()) {
            (Ok(low), Ok(high)) => Ok((low, high)),
            _ => Err(self.fault(
                "the plan's range cannot be read",
                "plan the job anew with this version",
            )),
        }
    }

    /// Makes room for more cells.
    pub(super) fn grow(&mut self, n_cells: usize) {
        if let Some(counts) = &mut self.counts {
            counts.resize(n_cells, 0);
        }
        match &mut self.values {
            Values::Counted => {}
            Values::Exact { totals, .. } => totals.grow(n_cells),
            Values::Float(totals) => totals.grow(n_cells),
        }
    }

    /// Adds one batch.
    pub(super) fn add(&mut self, cells: &[u32], values: &ArrayRef) -> Result<(), SourceError> {
        if self.measure.kind == MeasureKind::Distinct {
            return Ok(());
        }
        let nulls = values.logical_nulls().filter(|n| n.null_count() > 0);
        match (&mut self.counts, &nulls) {
            (None, None) => {}
            (None, Some(_)) => {
                let advice = "the table has changed since its catalogue was published: publish it again and plan anew";
                return Err(self.fault(
                    "NULL occurs where the catalogue says that it does not",
                    advice,
                ));
            }
            (Some(counts), None) => cells.iter().for_each(|&c| counts[c as usize] += 1),
            (Some(counts), Some(nulls)) => {
                nulls
                    .valid_indices()
                    .for_each(|row| counts[cells[row] as usize] += 1);
            }
        }
        let added = match &mut self.values {
            Values::Counted => return Ok(()),
            // A column without any value, of whatever type.
            _ if nulls.is_some_and(|n| n.null_count() == values.len()) => return Ok(()),
            Values::Exact { totals, scale } => add_exact(totals, *scale, cells, values),
            Values::Float(totals) => match cast(values, &DataType::Float64) {
                Ok(values) => Some(totals.add(cells, values.as_primitive::<Float64Type>())),
                Err(_) => None,
            },
        };
        match added {
            Some(Ok(())) => Ok(()),
            Some(Err(refused)) => Err(self.refused(refused)),
            None => Err(self.other_type()),
        }
    }

    /// Index of the argument.
    pub(super) fn arg(&self) -> usize {
        self.measure.arg
    }

    pub(super) fn other_type(&self) -> SourceError {
        self.fault(
            "its values do not have the type that the plan says",
            "publish the catalogue again and plan anew",
        )
    }

    /// The sums and the sums of squares, where they are wanted.
    pub(super) fn into_sums(self) -> (Option<Vec<i128>>, Option<Vec<i128>>) {
        match self.values {
            Values::Counted => (None, None),
            Values::Exact { totals, .. } => totals.into_totals(),
            Values::Float(totals) => totals.into_totals(),
        }
    }

    /// Writes the totals to their columns, in two's complement.
    pub(super) fn write_to(mut self, totals: &mut LocalTotals) -> Result<(), SourceError> {
        let overflow = self.refused(Refused::Overflow);
        let measure = self.measure;
        if let Some(counts) = self.counts.take() {
            totals.narrow[measure.count] = counts;
        }
        let (sums, squares) = self.into_sums();
        let columns = [(measure.sum, sums), (measure.sum_sq, squares)];
        for (slot, column) in columns {
            let (Some(slot), Some(column)) = (slot, column) else {
                continue;
            };
            match slot.ring {
                RingWidth::Wide => {
                    totals.wide[slot.index] = column.into_iter().map(|v| v as u128).collect()
                }
                RingWidth::Narrow => {
                    let narrow = column
                        .into_iter()
                        .map(|v| i64::try_from(v).map(|v| v as u64));
                    let Ok(narrow) = narrow.collect() else {
                        return Err(overflow);
                    };
                    totals.narrow[slot.index] = narrow;
                }
            }
        }
        Ok(())
    }

    fn refused(&self, refused: Refused) -> SourceError {
        match refused {
            Refused::OutOfRange => self.fault(
                format!("a value is outside {}, the range that the plan was made for", self.range_in_words()),
                "correct the value, or declare a wider range for the column in the policy file, publish and plan anew",
            ),
            Refused::NotFinite => self.fault(
                "a value is NaN or infinite",
                "correct the table, leave such rows out with WHERE, or divide by NULLIF(…, 0)",
            ),
            Refused::NearZero => self.fault(
                "other holders' numbers are divided by a number that is too large for the digits that the plan keeps of quotients",
                "declare narrower ranges of the columns in the policies, or divide by thousands or millions",
            ),
            Refused::Overflow => self.fault(
                "a total does not fit the ring that the plan chose",
                "declare the column's range in the policy file, publish and plan anew",
            ),
        }
    }

    fn range_in_words(&self) -> String {
        let (low, high) = range_of(self.measure);
        format!("{low} to {high}")
    }

    /// Names the columns behind the argument, as their owner knows them.
    fn fault(&self, what: impl Into<String>, advice: &'static str) -> SourceError {
        let columns = self
            .local
            .args
            .get(self.measure.arg)
            .map_or(&[][..], Vec::as_slice);
        let join = |names: Vec<&str>| names.join(", ");
        match columns {
            [] => SourceError::column(
                &join(self.local.tables.iter().map(String::as_str).collect()),
                &self.measure.label,
                what,
                advice,
            ),
            [first, rest @ ..] => {
                let tables = rest
                    .iter()
                    .filter(|c| c.table != first.table)
                    .map(|c| c.table.as_str());
                let tables = std::iter::once(first.table.as_str())
                    .chain(tables)
                    .collect();
                let names = columns.iter().map(|c| c.column.as_str()).collect();
                SourceError::column(&join(tables), &join(names), what, advice)
            }
        }
    }
}

/// Adds integers or decimals; `None` if the values are of another type or have more decimals than the plan.
fn add_exact(
    totals: &mut ExactTotals,
    scale: i8,
    cells: &[u32],
    values: &ArrayRef,
) -> Option<Result<(), Refused>> {
    let has = match values.data_type() {
        DataType::Decimal128(_, has) => *has,
        _ => 0,
    };
    let factor = 10i128.checked_pow(u32::try_from(scale.checked_sub(has)?).ok()?)?;
    Some(match values.data_type() {
        DataType::Int8 => totals.add(cells, values.as_primitive::<Int8Type>(), factor),
        DataType::Int16 => totals.add(cells, values.as_primitive::<Int16Type>(), factor),
        DataType::Int32 => totals.add(cells, values.as_primitive::<Int32Type>(), factor),
        DataType::Int64 => totals.add(cells, values.as_primitive::<Int64Type>(), factor),
        DataType::UInt8 => totals.add(cells, values.as_primitive::<UInt8Type>(), factor),
        DataType::UInt16 => totals.add(cells, values.as_primitive::<UInt16Type>(), factor),
        DataType::UInt32 => totals.add(cells, values.as_primitive::<UInt32Type>(), factor),
        DataType::UInt64 => totals.add(cells, values.as_primitive::<UInt64Type>(), factor),
        DataType::Decimal128(_, _) => {
            totals.add(cells, values.as_primitive::<Decimal128Type>(), factor)
        }
        _ => return None,
    })
}
