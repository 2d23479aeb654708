//! Statistics from released groups: what the receivers compute of them, in the clear.

mod tests_of_means;
mod contingency;
mod survey;
pub(super) mod survival;

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::compute::{cast, filter};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use protocols::aggregate::Released;

use super::{ResultError, slots_of, totals};
use crate::plan::{Plan, Statistic, StatisticKind};

/// A statistic, computed.
pub(super) struct Made {
    pub(super) values: Vec<ArrayRef>,
    /// The rows that it is about.
    pub(super) n_used: u64,
    /// Rows in which a column of groups was NULL, by the column.
    pub(super) dropped: BTreeMap<String, u64>,
    pub(super) notes: Vec<String>,
}

/// Computes the statistic from the rows of the plan's last query.
///
/// # Errors
/// [`ResultError::Statistic`] where a group that it needs was held back, or where it is not defined.
pub(super) fn made(
    plan: &Plan,
    statistic: &Statistic,
    rows: &RecordBatch,
    released: &Released,
) -> Result<Made, ResultError> {
    let held = Held::of(plan, released);
    let groups = Groups {
        plan,
        statistic,
        rows,
    };
    if statistic.kind != StatisticKind::Histogram {
        held.refused(plan, statistic)?;
    }
    let mut made = match statistic.kind {
        StatisticKind::TTest { pooled } => tests_of_means::t_test(&groups, pooled),
        StatisticKind::Anova => tests_of_means::anova(&groups),
        StatisticKind::ChiSquare { yates } => contingency::chi_square(&groups, yates),
        StatisticKind::Histogram => survey::histogram(&groups, released),
        StatisticKind::KaplanMeier | StatisticKind::LogRank => {
            Err(totals("survival of totals that were released"))
        }
        StatisticKind::Correlations { ranks } => survey::correlations(&groups, ranks, released),
    }?;
    if held.null {
        made.notes.push(
            "rows in which a column of groups is NULL are not in the statistic; they are too few to be counted here, or there are none".to_owned(),
        );
    }
    Ok(made)
}

/// What the minimum held back.
struct Held {
    /// Groups of agreed values.
    groups: usize,
    /// Whether groups without a value are among them.
    null: bool,
}

impl Held {
    fn of(plan: &Plan, released: &Released) -> Self {
        let (mut groups, mut null) = (0, false);
        for cell in (0..plan.shape.cells).filter(|&cell| !released.ok[cell]) {
            let slots = slots_of(plan, cell);
            let values = plan.keys.iter().zip(&slots);
            let mut values = values.map(|(key, &slot)| key.domain.get(slot));
            // What lies outside the agreed values is not in the statistic.
            match values.clone().all(|value| value.is_some()) {
                true if values.any(|value| value.is_some_and(Option::is_none)) => null = true,
                true => groups += 1,
                false => {}
            }
        }
        Self { groups, null }
    }

    fn refused(&self, plan: &Plan, statistic: &Statistic) -> Result<(), ResultError> {
        if self.groups == 0 {
            return Ok(());
        }
        let agreed = plan
            .keys
            .iter()
            .map(|key| key.domain.iter().flatten().count());
        let agreed: usize = agreed.product();
        Err(undefined(
            statistic,
            &format!(
                "takes every group, and {} of {agreed} were held back: fewer than {} {}, or none",
                self.groups,
                plan.min_cell.at_least,
                plan.min_cell_counts(),
            ),
            "put small and empty groups together with others, or leave them out, by a CASE that names the groups that are wanted",
        ))
    }
}

/// The rows of the last query.
struct Groups<'a> {
    plan: &'a Plan,
    statistic: &'a Statistic,
    rows: &'a RecordBatch,
}

impl Groups<'_> {
    fn column(&self, index: usize, kind: &DataType) -> Result<ArrayRef, ResultError> {
        let column = self.rows.columns().get(index);
        let column = column.ok_or_else(|| totals("a column of the statistic is missing"))?;
        cast(column, kind).map_err(|_| totals("a column of the statistic is no number"))
    }

    /// Numbers; NULL where a figure is not defined.
    fn floats(&self, index: usize) -> Result<Vec<Option<f64>>, ResultError> {
        let column = self.column(index, &DataType::Float64)?;
        Ok(column.as_primitive::<Float64Type>().iter().collect())
    }

    fn counts(&self, index: usize) -> Result<Vec<u64>, ResultError> {
        let column = self.column(index, &DataType::Int64)?;
        let counts = column.as_primitive::<Int64Type>().iter();
        let counts = counts.map(|n| u64::try_from(n.unwrap_or(0)).ok());
        let counts: Option<Vec<u64>> = counts.collect();
        counts.ok_or_else(|| totals("a count is negative"))
    }

    /// The values of a column of groups, as text; `None` for NULL.
    fn texts(&self, key: usize) -> Result<Vec<Option<String>>, ResultError> {
        let column = self.column(key, &DataType::Utf8)?;
        let texts = column.as_string::<i32>().iter();
        Ok(texts.map(|t| t.map(str::to_owned)).collect())
    }

    /// The groups that count, and how many rows have none, by column.
    ///
    /// # Errors
    /// Rows with a value outside the agreed ones: they would be taken for one group.
    fn known(&self, n_keys: usize, counts: &[u64]) -> Result<Known, ResultError> {
        let mut known = vec![true; self.rows.num_rows()];
        let mut dropped = BTreeMap::new();
        for key in 0..n_keys {
            let other = self.plan.keys.get(key).filter(|k| k.has_other);
            for (row, text) in self.texts(key)?.into_iter().enumerate() {
                match text {
                    None => {
                        let name = self.plan.keys.get(key).map(|k| k.name.clone());
                        *dropped.entry(name.unwrap_or_default()).or_insert(0) += counts[row];
                        known[row] = false;
                    }
                    Some(text) => {
                        let outside = other.filter(|k| k.other_label == text && counts[row] > 0);
                        if let Some(key) = outside {
                            return Err(undefined(
                                self.statistic,
                                &format!(
                                    "takes every value of {} as a group, and some are not among the agreed ones",
                                    key.name
                                ),
                                "list all groups in [compute.domain], or name those that are wanted by a CASE",
                            ));
                        }
                    }
                }
            }
        }
        Ok(Known { known, dropped })
    }
}

/// Which rows of the last query count.
struct Known {
    known: Vec<bool>,
    dropped: BTreeMap<String, u64>,
}

impl Known {
    /// The places of rows that count and hold something.
    fn places(&self, counts: &[u64]) -> Vec<usize> {
        let places = self.known.iter().zip(counts).enumerate();
        let places = places.filter(|(_, (known, n))| **known && **n > 0);
        places.map(|(place, _)| place).collect()
    }
}

/// The values of a column at some places.
fn at(column: &ArrayRef, places: &[usize]) -> Result<ArrayRef, ResultError> {
    let wanted = (0..column.len()).map(|row| Some(places.contains(&row)));
    filter(column, &wanted.collect()).map_err(|_| totals("a column of the statistic is torn"))
}

fn floats(values: impl IntoIterator<Item = Option<f64>>) -> ArrayRef {
    std::sync::Arc::new(values.into_iter().collect::<Float64Array>())
}

fn counts(values: impl IntoIterator<Item = Option<u64>>) -> ArrayRef {
    let values = values
        .into_iter()
        .map(|n| n.and_then(|n| i64::try_from(n).ok()));
    std::sync::Arc::new(values.collect::<Int64Array>())
}

/// The same number in every row.
fn everywhere(value: f64, n_rows: usize) -> ArrayRef {
    floats(std::iter::repeat_n(Some(value), n_rows))
}

fn undefined(statistic: &Statistic, what: &str, fix: &str) -> ResultError {
    ResultError::Statistic {
        what: format!("{} {what}", statistic.kind.as_sql()),
        fix: fix.to_owned(),
    }
}
