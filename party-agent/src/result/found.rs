//! What the steps found, decoded: whole numbers in the unit of their measure, or doubles.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use protocols::dense;

use super::pairs::Total;
use super::released::Cells;
use super::{ResultError, totals};
use crate::plan::steps::{at_order, order_of};
use crate::plan::{Fraction, Measure, MeasureKind, ReleasedColumn, Step, Which};

impl Cells<'_> {
    /// A column of values that were found, NULL where nothing was counted.
    pub(super) fn found(
        &self,
        column: &ReleasedColumn,
        measure: usize,
        which: Which,
    ) -> Result<ArrayRef, ResultError> {
        let codes = self.codes(measure, which)?;
        let measure = &self.plan.measures[measure];
        let from_top = which == Which::Greatest;
        if measure.kind == MeasureKind::Float {
            let values = codes.into_iter().map(|code| match code {
                None => Ok(None),
                Some(code) => double(measure, code, from_top).map(Some),
            });
            let values: Float64Array = values.collect::<Result<_, _>>()?;
            return Ok(Arc::new(values));
        }
        let values = codes.into_iter().map(|code| match code {
            None => Ok(None),
            Some(code) => exact(measure, code, from_top).map(Some),
        });
        let values: Vec<Option<i128>> = values.collect::<Result<_, _>>()?;
        self.whole_numbers(column, values)
    }

    /// PERCENTILE_CONT: between its two neighbours, rounded to a double once.
    pub(super) fn between(&self, measure: usize, p: Fraction) -> Result<ArrayRef, ResultError> {
        let below = self.codes(measure, Which::Below(p))?;
        let above = self.codes(measure, Which::Above(p))?;
        let measure = &self.plan.measures[measure];
        let scale = match measure.kind {
            MeasureKind::Exact { scale } => u32::from(scale.unsigned_abs()),
            _ => 0,
        };
        let mut values = Vec::with_capacity(below.len());
        for ((below, above), n) in below.into_iter().zip(above).zip(self.counts(measure)) {
            let (Some(below), Some(above)) = (below, above) else {
                values.push(None);
                continue;
            };
            if below > above {
                return Err(contradiction(measure));
            }
            let distance = u128::from(n.saturating_sub(1)) * u128::from(p.numerator);
            let rest = (distance % u128::from(p.denominator)) as i128;
            let low = exact(measure, below, false)?;
            let part = i128::from(above - below).checked_mul(rest);
            let whole = low.checked_mul(p.denominator.into());
            let total = whole.zip(part).and_then(|(a, b)| a.checked_add(b));
            let total = total.ok_or_else(|| contradiction(measure))?;
            let divisor = Total::new(p.denominator.into(), 0, 0);
            values.push(Total::new(total, scale, 0).ratio(&divisor));
        }
        Ok(Arc::new(values.into_iter().collect::<Float64Array>()))
    }

    /// The distance from an end of the range, by group; `None` where nothing was counted.
    fn codes(&self, measure: usize, which: Which) -> Result<Vec<Option<u64>>, ResultError> {
        let mut found = self.plan.steps.iter().flat_map(Step::finds);
        let found = found.find(|f| f.measure == measure && f.what == which);
        let measure = &self.plan.measures[measure];
        let found = found.ok_or_else(|| totals("a value that no step finds"))?;
        let counts: Vec<u64> = self.counts(measure).collect();
        let places = self.places().zip(counts);
        places
            .map(|(place, n)| {
                let columns = found.column..found.column + found.bits as usize;
                let bits = columns.map(|c| self.narrow(c, place));
                let code = dense::number(bits).ok_or_else(|| contradiction(measure))?;
                Ok((n > 0).then_some(code))
            })
            .collect()
    }
}

fn contradiction(measure: &Measure) -> ResultError {
    totals(format!(
        "what was found of {} contradicts its totals",
        measure.label
    ))
}

fn exact(measure: &Measure, code: u64, from_top: bool) -> Result<i128, ResultError> {
    let end = |text: &String| text.parse::<i128>().map_err(|_| contradiction(measure));
    let (low, high) = (end(&measure.range.low)?, end(&measure.range.high)?);
    let code = i128::from(code);
    let value = if from_top { high - code } else { low + code };
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        Err(contradiction(measure))
    }
}

fn double(measure: &Measure, code: u64, from_top: bool) -> Result<f64, ResultError> {
    let end = |text: &String| text.parse().map_err(|_| contradiction(measure));
    let (low, high): (f64, f64) = (end(&measure.range.low)?, end(&measure.range.high)?);
    let place = if from_top {
        order_of(high).checked_sub(code)
    } else {
        order_of(low).checked_add(code)
    };
    let value = place.map(at_order).filter(|v| (low..=high).contains(v));
    value.ok_or_else(|| contradiction(measure))
}
