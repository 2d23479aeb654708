//! A table that others look keys up in: one record for each different key.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt;
use protocols::party::PartyId;
use protocols::psi::Item;
use protocols::psi::keys::KeyHash;
use zeroize::Zeroize;

use super::keys::{KeyReport, hash_rows, texts};
use super::{outgrown, prepare};
use crate::plan::{LocalPlan, MAX_VALUE_BYTES, Plan};
use crate::source::{Source, SourceError};

/// What is kept of each key's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Their values, as text.
    Texts,
    /// The sum of the one value, where there is one; else 1.
    Sum,
}

/// The records of a table, by key. Wiped when they are dropped.
pub struct Records {
    /// What is kept as bytes: see [`record_cells`].
    pub texts: Vec<(Item, Vec<u8>)>,
    /// What is kept as a number.
    pub sums: Vec<(Item, u64)>,
    /// What only this holder learns.
    pub report: KeyReport,
}

impl Drop for Records {
    fn drop(&mut self) {
        self.texts.iter_mut().for_each(|(_, bytes)| bytes.zeroize());
        self.sums.iter_mut().for_each(|(_, sum)| sum.zeroize());
    }
}

/// Sums of one key beyond this are an error at their owner: of ten holders they could wrap.
const MOST: i64 = 1 << 59;

/// Reads the table that others look keys up in.
///
/// # Errors
/// [`SourceError`] if the query fails, the table has outgrown its published size, or the values of one key are too long
/// or too large. Nothing has left this holder then.
pub async fn records(
    plan: &Plan,
    me: &PartyId,
    source: &Source,
    hash: &KeyHash,
    (n_keys, keep): (usize, Keep),
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Records, SourceError> {
    let Some(local) = plan.locals.get(me) else {
        let what = "this party has no part in the plan".to_owned();
        return Err(SourceError::Engine { what });
    };
    let query = prepare(local, me, source).await?;
    let mut batches = query
        .execute_stream()
        .await
        .map_err(SourceError::from_engine)?;
    let mut gathered = Gathered::new(local, keep);
    while let Some(batch) = batches.next().await {
        gathered.add(&batch.map_err(SourceError::from_engine)?, hash, n_keys)?;
        progress(gathered.report.rows);
        super::hear().await;
    }
    Ok(gathered.finish())
}

struct Gathered<'a> {
    local: &'a LocalPlan,
    keep: Keep,
    texts: BTreeMap<Item, Vec<u8>>,
    sums: BTreeMap<Item, i64>,
    report: KeyReport,
}

impl<'a> Gathered<'a> {
    fn new(local: &'a LocalPlan, keep: Keep) -> Self {
        Self {
            local,
            keep,
            texts: BTreeMap::new(),
            sums: BTreeMap::new(),
            report: KeyReport::default(),
        }
    }

    fn add(
        &mut self,
        batch: &RecordBatch,
        hash: &KeyHash,
        n_keys: usize,
    ) -> Result<(), SourceError> {
        self.report.rows += batch.num_rows() as u64;
        if self.report.rows > self.local.rows_at_most {
            return Err(outgrown(self.local));
        }
        let (keys, values) = batch.columns().split_at(n_keys);
        let items = hash_rows(hash, &texts(keys)?, batch.num_rows());
        match self.keep {
            Keep::Texts => self.add_texts(&items, &texts(values)?),
            Keep::Sum => self.add_sums(&items, values.first()),
        }
    }

    fn add_texts(
        &mut self,
        items: &[Option<Item>],
        values: &[StringViewArray],
    ) -> Result<(), SourceError> {
        for (row, item) in items.iter().enumerate() {
            let Some(item) = item else {
                self.report.missing += 1;
                continue;
            };
            let known = self.texts.contains_key(item);
            self.report.duplicates += u64::from(known);
            let record = self.texts.entry(*item).or_default();
            for column in values {
                record_cells::push(record, column.is_valid(row).then(|| column.value(row)));
            }
            if record.len() > MAX_VALUE_BYTES {
                return Err(self.too_much(format!(
                    "the values of one key take more than {MAX_VALUE_BYTES} bytes"
                )));
            }
        }
        Ok(())
    }

    fn add_sums(
        &mut self,
        items: &[Option<Item>],
        value: Option<&ArrayRef>,
    ) -> Result<(), SourceError> {
        let numbers = value.map(|column| cast(column, &DataType::Int64));
        let numbers = numbers
            .transpose()
            .map_err(|e| SourceError::from_engine(e.into()))?;
        let numbers = numbers
            .as_ref()
            .map(|column| column.as_primitive::<Int64Type>());
        for (row, item) in items.iter().enumerate() {
            let Some(item) = item else {
                self.report.missing += 1;
                continue;
            };
            let known = self.sums.contains_key(item);
            self.report.duplicates += u64::from(known);
            let number = match numbers {
                // A key counts once, however many rows it has.
                None => i64::from(!known),
                Some(column) if column.is_valid(row) => column.value(row),
                Some(_) => 0,
            };
            let sum = self.sums.entry(*item).or_default();
            *sum = sum.saturating_add(number);
            if sum.unsigned_abs() > MOST.unsigned_abs() {
                return Err(
                    self.too_much("the values of one key add up to more than 2^59".to_owned())
                );
            }
        }
        Ok(())
    }

    fn too_much(&self, what: String) -> SourceError {
        let advice = "aggregate the table by its key first, or offer other columns";
        SourceError::table(&self.local.tables.join(", "), what, advice)
    }

    fn finish(self) -> Records {
        let n_distinct = self.texts.len() + self.sums.len();
        let sums = self.sums.into_iter();
        Records {
            texts: self.texts.into_iter().collect(),
            sums: sums
                .map(|(item, sum)| (item, sum.cast_unsigned()))
                .collect(),
            report: KeyReport {
                distinct: n_distinct as u64,
                ..self.report
            },
        }
    }
}

/// Cells of a record: 0 for NULL, or 1, a length of two bytes and the text.
pub mod record_cells {
    /// Appends a cell. Longer texts than a length can say are cut by the record's own limit before they get here.
    pub(super) fn push(record: &mut Vec<u8>, cell: Option<&str>) {
        let Some(text) = cell else {
            record.push(0);
            return;
        };
        record.push(1);
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
        record.extend_from_slice(&len.to_le_bytes());
        record.extend_from_slice(text.as_bytes());
    }

    /// The cells of a record; `None` if it is not made of cells.
    #[must_use]
    pub fn read(mut record: &[u8]) -> Option<Vec<Option<String>>> {
        let mut cells = Vec::new();
        while let Some((tag, rest)) = record.split_first() {
            record = match tag {
                0 => {
                    cells.push(None);
                    rest
                }
                1 => {
                    let (len, rest) = rest.split_first_chunk::<2>()?;
                    let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
                    cells.push(Some(std::str::from_utf8(text).ok()?.to_owned()));
                    rest
                }
                _ => return None,
            };
        }
        Some(cells)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn cells_are_read_back_and_nothing_else_is() {
            let mut record = Vec::new();
            for cell in [Some("a"), None, Some(""), Some("七")] {
                push(&mut record, cell);
            }
            let texts = ["a", "", "", "七"].map(str::to_owned);
            let mut expected: Vec<_> = texts.into_iter().map(Some).collect();
            expected[1] = None;
            assert_eq!(read(&record), Some(expected));
            for cut in 1..record.len() {
                let shorter = read(&record[..cut]);
                assert!(shorter.is_none_or(|cells| cells.len() < 4), "{cut}");
            }
            assert_eq!(read(&[]), Some(Vec::new()));
            assert_eq!(read(&[2]), None);
            assert_eq!(read(&[1, 1, 0, 0xff]), None);
        }
    }
}
