//! What the steps found, decoded: whole numbers in the unit of their measure, or doubles.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};

use protocols::stats::rank;

use super::pairs::{Total, correlation};
use super::released::Cells;
use super::{ResultError, totals};
use crate::plan::steps::{at_order, order_of};
use crate::plan::{Fraction, Measure, MeasureKind, ReleasedColumn, RingWidth, Step, Which};

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

    /// PERCENTILE_CONT: a multiple of one by the denominator, rounded to a double once.
    pub(super) fn between(&self, measure: usize, p: Fraction) -> Result<ArrayRef, ResultError> {
        if self.plan.measures[measure].kind == MeasureKind::Float {
            return self.between_doubles(measure, p);
        }
        let multiples = self.codes(measure, Which::Linear(p))?;
        let measure = &self.plan.measures[measure];
        let scale = match measure.kind {
            MeasureKind::Exact { scale } => u32::from(scale.unsigned_abs()),
            _ => 0,
        };
        let divisor = Total::new(p.denominator.into(), 0, 0);
        let value = |multiple: i128| {
            // The whole distance must lie in the range, the last part of it too.
            exact(measure, multiple.div_euclid(p.denominator.into()), false)?;
            let low = exact(measure, 0, false)?;
            let total = low.checked_mul(p.denominator.into());
            let total = total.and_then(|low| low.checked_add(multiple));
            let total = total.ok_or_else(|| contradiction(measure))?;
            Ok(Total::new(total, scale, 0).ratio(&divisor))
        };
        let values = multiples.into_iter().map(|m| m.map_or(Ok(None), value));
        let values: Float64Array = values.collect::<Result<_, ResultError>>()?;
        Ok(Arc::new(values))
    }

    /// PERCENTILE_CONT of doubles: between its two neighbours, in double precision.
    fn between_doubles(&self, measure: usize, p: Fraction) -> Result<ArrayRef, ResultError> {
        let below = self.codes(measure, Which::Below(p))?;
        let above = self.codes(measure, Which::Above(p))?;
        let measure = &self.plan.measures[measure];
        let neighbours = below.into_iter().zip(above);
        let value = |((below, above), n): ((Option<i128>, Option<i128>), u64)| {
            let (Some(below), Some(above)) = (below, above) else {
                return Ok(None);
            };
            let (low, high) = (
                double(measure, below, false)?,
                double(measure, above, false)?,
            );
            if low > high {
                return Err(contradiction(measure));
            }
            let distance = u128::from(n.saturating_sub(1)) * u128::from(p.numerator);
            let rest = distance % u128::from(p.denominator);
            let part = rest as f64 / p.denominator as f64;
            // Halves, because the distance of two doubles need not be one.
            let way = (high / 2.0 - low / 2.0) * part;
            Ok(Some(low + way + way))
        };
        let values = neighbours.zip(self.counts(measure)).map(value);
        let values: Float64Array = values.collect::<Result<_, _>>()?;
        Ok(Arc::new(values))
    }

    /// The distance from an end of the range, by group; `None` where nothing was counted.
    fn codes(&self, measure: usize, which: Which) -> Result<Vec<Option<i128>>, ResultError> {
        let mut found = self.plan.steps.iter().flat_map(Step::finds);
        let found = found.find(|f| f.measure == measure && f.what == which);
        let measure = &self.plan.measures[measure];
        let slot = found
            .ok_or_else(|| totals("a value that no step finds"))?
            .slot;
        let code = |place| match slot.ring {
            RingWidth::Narrow => Ok(i128::from(self.narrow(slot.index, place))),
            RingWidth::Wide => {
                i128::try_from(self.wide(slot.index, place)).map_err(|_| contradiction(measure))
            }
        };
        let places = self.places().zip(self.counts(measure));
        places
            .map(|(place, n)| (n > 0).then(|| code(place)).transpose())
            .collect()
    }

    /// The correlation of ranks. With doubled ranks, whose mean is n + 1, m = n·(n + 1)² is subtracted from each sum.
    pub(super) fn spearman(&self, of_y: usize, of_x: usize) -> Result<ArrayRef, ResultError> {
        let mut steps = self.plan.steps.iter();
        let first = steps.find_map(|step| match step {
            Step::RankCorrelation { y, x, column, .. }
                if [(*y, *x), (*x, *y)].contains(&(of_y, of_x)) =>
            {
                Some(*column)
            }
            Step::JointRanks { pairs, .. } => {
                let mut pairs = pairs.iter();
                let found = pairs.find(|pair| (pair.y, pair.x) == (of_y, of_x));
                found.map(|pair| pair.column)
            }
            _ => None,
        });
        let first = first.ok_or_else(|| totals("a correlation that no step finds"))?;
        let measure = &self.plan.measures[of_y];
        let value = |(place, counted): (usize, u64)| {
            let sum = |k: usize| i128::from(self.narrow(first + k, place));
            let n = sum(0);
            if n != i128::from(counted) {
                return Err(contradiction(measure));
            }
            if n > rank::MAX_ROWS as i128 {
                let what = format!(
                    "the ranks of {} are of {n} joined rows, and of more than 2^20 their sums do not fit: join with fewer rows a key, or correlate fewer rows",
                    measure.label
                );
                return Err(totals(what));
            }
            let mean = n * (n + 1) * (n + 1);
            let centred = |k| Total::new(sum(k) - mean, 0, 0);
            Ok(correlation(&centred(3), &centred(2), &centred(1)))
        };
        let values = self.places().zip(self.counts(measure)).map(value);
        let values: Float64Array = values.collect::<Result<_, _>>()?;
        Ok(Arc::new(values))
    }
}

fn contradiction(measure: &Measure) -> ResultError {
    totals(format!(
        "what was found of {} contradicts its totals",
        measure.label
    ))
}

fn exact(measure: &Measure, code: i128, from_top: bool) -> Result<i128, ResultError> {
    let end = |text: &String| text.parse::<i128>().map_err(|_| contradiction(measure));
    let (low, high) = (end(&measure.range.low)?, end(&measure.range.high)?);
    let value = if from_top { high - code } else { low + code };
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        Err(contradiction(measure))
    }
}

fn double(measure: &Measure, code: i128, from_top: bool) -> Result<f64, ResultError> {
    let code = u64::try_from(code).map_err(|_| contradiction(measure))?;
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
