//! What a holder gives to the steps that compare values: its own extremes, and histograms.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Float64Type};

use super::StepInput;
use crate::plan::steps::{HASH_BITS, order_of};
use crate::plan::{Measure, MeasureKind, Plan, Step, Which};

/// The inputs of all steps, as the rows stream past.
pub(super) struct OrderTotals<'a> {
    plan: &'a Plan,
    inputs: Vec<StepInput>,
}

impl<'a> OrderTotals<'a> {
    /// The inputs of a party without rows.
    pub(super) fn new(plan: &'a Plan) -> Self {
        let cells = plan.shape.cells;
        let inputs = plan.steps.iter().map(|step| match step {
            Step::Extremes { finds, .. } => StepInput::Extremes(vec![None; finds.len() * cells]),
            Step::Quantiles { n_values, .. } => {
                let n_values = usize::try_from(*n_values).expect("at most MAX_VALUES");
                StepInput::Histogram(vec![0; n_values * cells])
            }
            Step::Distinct { .. } => StepInput::Keys(Vec::new()),
            Step::Sorted { .. } => StepInput::Values(Vec::new()),
            Step::RankCorrelation { .. } => StepInput::Pairs(Vec::new()),
            Step::Ranked { .. } | Step::Different { .. } | Step::JointRanks { .. } => {
                StepInput::Ranked
            }
        });
        Self {
            plan,
            inputs: inputs.collect(),
        }
    }

    /// Adds one batch of an argument whose values were found to be in range; `None` if they have another type.
    pub(super) fn add(&mut self, measure: usize, cells: &[u32], values: &ArrayRef) -> Option<()> {
        let plan = self.plan;
        if plan.measures[measure].kind == MeasureKind::Distinct {
            return self.add_keys(measure, cells, values);
        }
        let is_used = |step: &Step| step.finds().iter().any(|f| f.measure == measure);
        if !plan.steps.iter().any(is_used) {
            return Some(());
        }
        let codes = Codes::of(&plan.measures[measure], values)?;
        for (step, input) in plan.steps.iter().zip(&mut self.inputs) {
            match (step, input) {
                (Step::Extremes { finds, .. }, StepInput::Extremes(least)) => {
                    let of_measure = finds.iter().zip(least.chunks_mut(plan.shape.cells));
                    for (found, least) in of_measure.filter(|(f, _)| f.measure == measure) {
                        let from_top = found.what == Which::Greatest;
                        for (row, code) in &codes.rows {
                            let code = if from_top { codes.span - code } else { *code };
                            let cell = &mut least[cells[*row] as usize];
                            *cell = Some(cell.map_or(code, |least| least.min(code)));
                        }
                    }
                }
                (
                    Step::Quantiles {
                        measure: m,
                        n_values,
                        ..
                    },
                    StepInput::Histogram(counts),
                ) if *m == measure => {
                    let n_values = usize::try_from(*n_values).expect("at most MAX_VALUES");
                    for (row, code) in &codes.rows {
                        // The code is below the step's number of values, which fits in memory.
                        let at = cells[*row] as usize * n_values + *code as usize;
                        counts[at] += 1;
                    }
                }
                (Step::Sorted { measure: m, .. }, StepInput::Values(rows)) if *m == measure => {
                    let group = |(row, code): &(usize, u64)| (cells[*row], *code);
                    rows.extend(codes.rows.iter().map(group));
                }
                _ => {}
            }
        }
        Some(())
    }

    /// Adds one batch's pairs of arguments that are ranked together; the measure whose values have another type if
    /// one does.
    pub(super) fn add_pairs(&mut self, cells: &[u32], args: &[ArrayRef]) -> Result<(), usize> {
        for (step, input) in self.plan.steps.iter().zip(&mut self.inputs) {
            let (Step::RankCorrelation { y, x, .. }, StepInput::Pairs(pairs)) = (step, input)
            else {
                continue;
            };
            let codes = |m: usize| Codes::of(&self.plan.measures[m], &args[m]).ok_or(m);
            let (y, x) = (codes(*y)?, codes(*x)?);
            // Each is NULL where the other is.
            let both = y.rows.iter().zip(&x.rows);
            pairs.extend(both.map(|((row, y), (_, x))| (cells[*row], *y, *x)));
        }
        Ok(())
    }

    /// Adds the hashes of one batch's values.
    fn add_keys(&mut self, measure: usize, cells: &[u32], values: &ArrayRef) -> Option<()> {
        let hashes = hashes(&self.plan.spec, values)?;
        for (step, input) in self.plan.steps.iter().zip(&mut self.inputs) {
            let (Step::Distinct { measure: m, .. }, StepInput::Keys(keys)) = (step, input) else {
                continue;
            };
            if *m != measure {
                continue;
            }
            let valid = hashes.iter().zip(cells);
            keys.extend(valid.filter_map(|(hash, cell)| Some((*cell, (*hash)?))));
            // Copies within this holder are dropped as they pile up.
            keys.sort_unstable();
            keys.dedup();
        }
        Some(())
    }

    pub(super) fn finish(self) -> Vec<StepInput> {
        self.inputs
    }
}

/// The hashes of a column's values, `None` for NULL.
pub(super) fn hashes(spec: &str, values: &ArrayRef) -> Option<Vec<Option<u128>>> {
    let texts = cast(values, &DataType::Utf8View).ok()?;
    let texts = texts.as_string_view().iter();
    Some(texts.map(|text| Some(hash(spec, text?))).collect())
}

/// A value's hash, the same at all holders of one job. It never leaves a holder but as shares.
fn hash(spec: &str, text: &str) -> u128 {
    let mut hash = blake3::Hasher::new_derive_key("entente/v1/distinct value");
    hash.update(spec.as_bytes());
    hash.update(text.as_bytes());
    let bytes = hash.finalize();
    let (low, _) = bytes.as_bytes().split_first_chunk().expect("32 bytes");
    u128::from_le_bytes(*low) & ((1 << HASH_BITS) - 1)
}

/// The values of one batch that are not NULL, with their rows, as distances from the low end of the range.
pub(super) struct Codes {
    pub(super) rows: Vec<(usize, u64)>,
    span: u64,
}

impl Codes {
    pub(super) fn of(measure: &Measure, values: &ArrayRef) -> Option<Self> {
        let range = &measure.range;
        let nulls = values.logical_nulls();
        let is_valid = |row: &usize| nulls.as_ref().is_none_or(|n| n.is_valid(*row));
        let valid = (0..values.len()).filter(is_valid);
        let scale = match measure.kind {
            MeasureKind::Counted | MeasureKind::Distinct => return None,
            MeasureKind::Float => {
                let low = order_of(range.low.parse().ok()?);
                let high = order_of(range.high.parse().ok()?);
                let values = cast(values, &DataType::Float64).ok()?;
                let values = values.as_primitive::<Float64Type>();
                let code = |row| Some((row, order_of(values.value(row)).checked_sub(low)?));
                return Some(Self {
                    rows: valid.map(code).collect::<Option<_>>()?,
                    span: high.checked_sub(low)?,
                });
            }
            MeasureKind::Exact { scale } => scale,
            MeasureKind::Day => 0,
        };
        let (low, high) = (range.low.parse::<i128>().ok()?, range.high.parse().ok()?);
        let distance = |value: i128| u64::try_from(value.checked_sub(low)?).ok();
        let kind = DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale);
        let values = cast(values, &kind).ok()?;
        let values = values.as_primitive::<Decimal128Type>();
        let code = |row| Some((row, distance(values.value(row))?));
        Some(Self {
            rows: valid.map(code).collect::<Option<_>>()?,
            span: distance(high)?,
        })
    }
}
