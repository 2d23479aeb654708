//! The result of a lookup, at the asker: its keys, and what was found under them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringViewArray};

use super::{ResultError, ResultTable, totals, typed};
use crate::local::{Keys, record_cells};
use crate::plan::{LookupPlan, OutputColumn, Plan};
use crate::spec::Combine;

/// One number for each key; there may be more numbers, of padding.
///
/// # Errors
/// [`ResultError::Totals`] if there are too few.
pub fn looked_up_sums(
    plan: &Plan,
    of: &LookupPlan,
    keys: &Keys,
    sums: &[u64],
) -> Result<ResultTable, ResultError> {
    let n_keys = keys.items().len();
    let sums = sums
        .get(..n_keys)
        .ok_or_else(|| totals("a key has no answer"))?;
    let mut values = key_texts(keys, (0..n_keys).collect())?;
    values.push(match of.combine {
        Combine::Any => Arc::new(BooleanArray::from_iter(sums.iter().map(|n| Some(*n != 0)))),
        Combine::Sum | Combine::List => Arc::new(Int64Array::from_iter_values(
            sums.iter().map(|n| n.cast_signed()),
        )),
    });
    Ok(table(plan, values, n_keys))
}

/// What each table has of each key: `found` by table, then by key.
///
/// # Errors
/// [`ResultError::Totals`] if a record is not what the plan says.
pub fn looked_up(
    plan: &Plan,
    of: &LookupPlan,
    keys: &Keys,
    found: &[Vec<Option<Vec<u8>>>],
) -> Result<ResultTable, ResultError> {
    let n_values = of.values.len();
    let mut lines = Lines::default();
    for key in 0..keys.items().len() {
        for (asked, found) in of.tables.iter().zip(found) {
            let record = found
                .get(key)
                .ok_or_else(|| totals("a key has no answer"))?;
            let Some(record) = record else {
                lines.push(key, &asked.label, false, vec![None; n_values]);
                continue;
            };
            let read = record_cells::read(record).filter(|cells| match n_values {
                0 => cells.is_empty(),
                n => !cells.is_empty() && cells.len() % n == 0,
            });
            let cells = read.ok_or_else(|| {
                totals(format!(
                    "a record of {} is not what the plan says",
                    asked.label
                ))
            })?;
            if n_values == 0 {
                lines.push(key, &asked.label, true, Vec::new());
            }
            for row in cells.chunks(n_values.max(1)) {
                lines.push(key, &asked.label, true, row.to_vec());
            }
        }
    }
    let n_rows = lines.keys.len();
    let mut values = key_texts(keys, lines.keys)?;
    values.push(Arc::new(StringViewArray::from_iter_values(lines.labels)));
    values.push(Arc::new(BooleanArray::from(lines.found)));
    for (i, column) in of.values.iter().enumerate() {
        let texts = lines.cells.iter().map(|cells| cells[i].as_deref());
        let texts: ArrayRef = Arc::new(texts.collect::<StringViewArray>());
        let column = OutputColumn {
            name: column.name.clone(),
            kind: column.kind,
        };
        values.push(typed(&texts, &column)?);
    }
    Ok(table(plan, values, n_rows))
}

/// The lines of a result.
#[derive(Default)]
struct Lines {
    keys: Vec<usize>,
    labels: Vec<String>,
    found: Vec<bool>,
    cells: Vec<Vec<Option<String>>>,
}

impl Lines {
    fn push(&mut self, key: usize, label: &str, found: bool, cells: Vec<Option<String>>) {
        self.keys.push(key);
        self.labels.push(label.to_owned());
        self.found.push(found);
        self.cells.push(cells);
    }
}

fn key_texts(keys: &Keys, places: Vec<usize>) -> Result<Vec<ArrayRef>, ResultError> {
    let texts = keys.texts_at(&places).map_err(|e| totals(e.to_string()))?;
    texts.ok_or_else(|| totals("the keys were not kept"))
}

fn table(plan: &Plan, values: Vec<ArrayRef>, n_rows: usize) -> ResultTable {
    ResultTable {
        columns: plan.outputs.clone(),
        values,
        n_rows,
        suppressed: Vec::new(),
        n_used: n_rows as u64,
        dropped: BTreeMap::new(),
        notes: plan.notes.clone(),
        fit: None,
        noise: None,
        matched: None,
        class: plan.class,
    }
}
