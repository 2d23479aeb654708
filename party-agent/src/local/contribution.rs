//! Bounds what one person contributes: of each person's rows the first few count, in the order in which the holder's
//! query yields them.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;
use engine::hash::KeyedHash;

use crate::plan::NoisePlan;
use crate::source::SourceError;

/// How many rows of each person were counted so far, by the hash of what tells persons apart.
pub(super) struct Contributions {
    most: u64,
    hash: KeyedHash,
    seen: HashMap<[u8; 16], u64>,
    /// Rows in which nothing tells whose they are: all of them count as one person's.
    nobodys: u64,
}

impl Contributions {
    pub(super) fn new(noise: &NoisePlan) -> Self {
        Self {
            most: noise.rows_per_person,
            hash: KeyedHash::new("entente/v1/agent/contributions", &[]),
            seen: HashMap::new(),
            nobodys: 0,
        }
    }

    /// The rows of a batch that count, without its last column, which tells persons apart.
    pub(super) fn bounded(&mut self, batch: &RecordBatch) -> Result<RecordBatch, SourceError> {
        let failed = |e: arrow::error::ArrowError| SourceError::from_engine(e.into());
        let last = batch.num_columns().saturating_sub(1);
        let counts = self.counts(batch.column(last))?;
        let rest: Vec<usize> = (0..last).collect();
        let batch = batch.project(&rest).map_err(failed)?;
        filter_record_batch(&batch, &counts).map_err(failed)
    }

    fn counts(&mut self, persons: &ArrayRef) -> Result<BooleanArray, SourceError> {
        let counts = who(&self.hash, persons)?.into_iter().map(|person| {
            let n = match person {
                None => &mut self.nobodys,
                Some(person) => self.seen.entry(person).or_default(),
            };
            *n += 1;
            *n <= self.most
        });
        Ok(counts.map(Some).collect())
    }
}

/// Hashes of a column that tells persons, or rows, apart; `None` where it tells nothing.
pub(super) fn who(
    hash: &KeyedHash,
    column: &ArrayRef,
) -> Result<Vec<Option<[u8; 16]>>, SourceError> {
    let texts = cast(column, &DataType::Utf8View);
    let texts = texts.map_err(|e| SourceError::from_engine(e.into()))?;
    let hashed = |text: Option<&str>| text.map(|text| hash.hash(text.as_bytes()));
    Ok(texts.as_string_view().iter().map(hashed).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn bounded(most: u64, persons: &[Option<&str>]) -> Vec<i64> {
        let mut contributions = Contributions {
            most,
            hash: KeyedHash::new("entente/v1/agent/contributions", &[]),
            seen: HashMap::new(),
            nobodys: 0,
        };
        let mut kept = Vec::new();
        // Bounds hold over batches too.
        for (i, batch) in persons.chunks(2).enumerate() {
            let rows: Vec<i64> = (0..batch.len()).map(|j| (2 * i + j) as i64).collect();
            let rows: ArrayRef = Arc::new(Int64Array::from(rows));
            let persons: ArrayRef = Arc::new(StringArray::from(batch.to_vec()));
            let batch = RecordBatch::try_from_iter_with_nullable([
                ("a0", rows, false),
                ("j0", persons, true),
            ]);
            let kept_here = contributions
                .bounded(&batch.expect("a batch"))
                .expect("bounded");
            assert_eq!(kept_here.num_columns(), 1);
            let rows = kept_here
                .column(0)
                .as_primitive::<arrow::datatypes::Int64Type>();
            kept.extend(rows.values().iter().copied());
        }
        kept
    }

    #[test]
    fn the_first_rows_of_each_person_count() {
        let persons = [
            Some("p"),
            Some("q"),
            Some("p"),
            Some("p"),
            Some("q"),
            Some("r"),
        ];
        assert_eq!(bounded(1, &persons), [0, 1, 5]);
        assert_eq!(bounded(2, &persons), [0, 1, 2, 4, 5]);
        assert_eq!(bounded(3, &persons).len(), 6);
    }

    #[test]
    fn rows_of_nobody_count_as_one_person() {
        assert_eq!(bounded(2, &[None, Some("p"), None, None, None]), [0, 1, 2]);
    }
}
