//! This holder's keys: read by its own query engine, evened out, hashed, each kept once.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray, UInt64Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Decimal128Type, SchemaRef};
use futures::StreamExt;
use protocols::party::PartyId;
use protocols::psi::Item;
use protocols::psi::keys::{ItemSet, KeyHash};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::{outgrown, prepare};
use crate::plan::{LocalPlan, Plan};
use crate::source::{Source, SourceError};

/// The different keys of a holder.
pub struct Keys {
    set: ItemSet,
    /// The texts of all rows, where they may be needed.
    texts: Option<(SchemaRef, Vec<RecordBatch>)>,
    n_rows: u64,
    /// The sum of the number over the rows of each item, where there is one.
    sums: Option<BTreeMap<Item, i128>>,
}

impl Drop for Keys {
    fn drop(&mut self) {
        let sums = self.sums.iter_mut().flat_map(BTreeMap::values_mut);
        sums.for_each(|sum| sum.zeroize());
    }
}

/// What only the owner of keys learns about them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyReport {
    /// Rows read.
    pub rows: u64,
    /// Different keys: what the other holders learn.
    pub distinct: u64,
    /// Rows whose key stood in an earlier row.
    pub duplicates: u64,
    /// Rows without a key: NULL, or nothing is left of it after the rule for spellings.
    pub missing: u64,
}

/// Reads this holder's keys: the first `n_columns` columns of its query; a number may follow. `keep_texts` where this party is to get some of them back as they stand in its table.
///
/// # Errors
/// [`SourceError`] if the query fails or the table has outgrown its published size. Nothing has left this holder then.
pub async fn keys(
    plan: &Plan,
    me: &PartyId,
    source: &Source,
    (hash, n_columns): (&KeyHash, usize),
    keep_texts: bool,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Keys, SourceError> {
    let Some(local) = plan.locals.get(me) else {
        let what = "this party has no part in the plan".to_owned();
        return Err(SourceError::Engine { what });
    };
    let query = prepare(local, me, source).await?;
    let schema: SchemaRef = query.schema().inner().clone();
    let mut batches = query
        .execute_stream()
        .await
        .map_err(SourceError::from_engine)?;
    let (mut items, mut kept, mut n_rows) = (Vec::new(), Vec::new(), 0u64);
    let has_number = schema.fields().len() > n_columns;
    let mut numbers: Option<Vec<i128>> = has_number.then(Vec::new);
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(SourceError::from_engine)?;
        n_rows += batch.num_rows() as u64;
        if n_rows > local.rows_at_most {
            return Err(outgrown(local));
        }
        let (columns, rest) = batch.columns().split_at(n_columns.min(batch.num_columns()));
        hash_rows(hash, &texts(columns)?, batch.num_rows(), &mut items);
        if let (Some(numbers), Some(column)) = (&mut numbers, rest.first()) {
            read_numbers(column, numbers, local)?;
        }
        if keep_texts {
            kept.push(batch);
        }
        progress(n_rows);
    }
    let sums = numbers.map(|numbers| sums_of(&items, &numbers));
    Ok(Keys {
        set: ItemSet::collect(items),
        sums,
        texts: keep_texts.then_some((schema, kept)),
        n_rows,
    })
}

/// Larger numbers are an error at their owner: sums of 2^36 of them stay far below 2^127.
const MOST: u128 = 1 << 88;

fn read_numbers(
    column: &ArrayRef,
    numbers: &mut Vec<i128>,
    local: &LocalPlan,
) -> Result<(), SourceError> {
    let decimals = column.as_primitive_opt::<Decimal128Type>();
    let decimals = decimals.ok_or_else(|| SourceError::Engine {
        what: "a number cannot be read as a decimal".to_owned(),
    })?;
    for number in decimals {
        // NULL adds nothing.
        let number = number.unwrap_or(0);
        if number.unsigned_abs() > MOST {
            let what = "a number that is to be added up is larger than 2^88".to_owned();
            let advice = "correct it, or sum another column";
            return Err(SourceError::table(&local.tables.join(", "), what, advice));
        }
        numbers.push(number);
    }
    Ok(())
}

fn sums_of(items: &[Option<Item>], numbers: &[i128]) -> BTreeMap<Item, i128> {
    let mut sums = BTreeMap::new();
    for (item, number) in items.iter().zip(numbers) {
        if let Some(item) = item {
            *sums.entry(*item).or_insert(0) += number;
        }
    }
    sums
}

/// Columns as text.
pub(super) fn texts(columns: &[ArrayRef]) -> Result<Vec<StringViewArray>, SourceError> {
    let text = |column: &ArrayRef| {
        let text = cast(column, &DataType::Utf8View).ok()?;
        text.as_any().downcast_ref::<StringViewArray>().cloned()
    };
    let columns: Option<Vec<_>> = columns.iter().map(text).collect();
    columns.ok_or_else(|| SourceError::Engine {
        what: "a key cannot be read as text".to_owned(),
    })
}

/// Adds the item of each row, `None` for a row without a key.
pub(super) fn hash_rows(
    hash: &KeyHash,
    columns: &[StringViewArray],
    n_rows: usize,
    items: &mut Vec<Option<Item>>,
) {
    let mut fields = Vec::with_capacity(columns.len());
    for row in 0..n_rows {
        fields.clear();
        let cells = columns
            .iter()
            .map(|c| c.is_valid(row).then(|| c.value(row)));
        fields.extend(cells);
        items.push(hash.item(&fields));
    }
}

impl Keys {
    /// The items, each once, in the order of the table.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        self.set.items()
    }

    /// The sum of the number over each item's rows, in two's complement; `None` where the plan sums no column here.
    #[must_use]
    pub fn sums(&self) -> Option<Vec<u128>> {
        let sums = self.sums.as_ref()?;
        let of = |item: &Item| sums.get(item).map_or(0, |sum| sum.cast_unsigned());
        Some(self.items().iter().map(of).collect())
    }

    /// What only this holder learns.
    #[must_use]
    pub fn report(&self) -> KeyReport {
        KeyReport {
            rows: self.n_rows,
            distinct: self.items().len() as u64,
            duplicates: self.set.n_duplicates(),
            missing: self.set.n_missing(),
        }
    }

    /// The keys at these places, as they first stand in the table; `None` if their texts were not kept.
    ///
    /// # Errors
    /// [`SourceError::Engine`] if there is no such place.
    pub fn texts_at(&self, places: &[usize]) -> Result<Option<Vec<ArrayRef>>, SourceError> {
        let Some((schema, batches)) = &self.texts else {
            return Ok(None);
        };
        let engine = |e: arrow::error::ArrowError| SourceError::from_engine(e.into());
        let rows = places
            .iter()
            .map(|place| self.set.rows().get(*place).copied());
        let rows: UInt64Array = rows.collect();
        let all = concat_batches(schema, batches).map_err(engine)?;
        let taken = take_record_batch(&all, &rows).map_err(engine)?;
        let text = |column: &ArrayRef| cast(column, &DataType::Utf8View).map_err(engine);
        taken
            .columns()
            .iter()
            .map(text)
            .collect::<Result<_, _>>()
            .map(Some)
    }
}
