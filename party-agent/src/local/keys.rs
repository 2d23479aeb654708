//! This holder's keys: read by its own query engine, evened out, hashed, each kept once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{DataType, Decimal128Type, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use engine::prg::Seed;
use futures::StreamExt;
use futures::future::{BoxFuture, join};
use protocols::compute::Compute;
use protocols::party::PartyId;
use protocols::psi::Item;
use protocols::psi::ecdh::Spilled;
use protocols::psi::keys::{ItemSet, KeyHash};
use protocols::psi::stored::{SetWriter, StoredSet};
use protocols::psi::tags::{StoreError, TagStore};
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
    (hash, n_columns): (&Arc<KeyHash>, usize),
    keep_texts: bool,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Keys, SourceError> {
    let mut rows = Rows::open(plan, me, source, (hash, n_columns)).await?;
    let (schema, local) = (rows.batches.schema(), rows.local);
    let mut kept = Vec::new();
    let has_number = schema.fields().len() > n_columns;
    let mut numbers: Option<Vec<i128>> = has_number.then(Vec::new);
    let items = rows
        .hash_into(Vec::new(), progress, |batch| {
            if let (Some(numbers), Some(column)) = (&mut numbers, batch.columns().get(n_columns)) {
                read_numbers(column, numbers, local)?;
            }
            if keep_texts {
                kept.push(batch);
            }
            Ok(())
        })
        .await?;
    let kernel = move || {
        let sums = numbers.map(|numbers| sums_of(&items, &numbers));
        (ItemSet::collect(items), sums)
    };
    let (set, sums) = Compute::Pool.run(kernel).await;
    Ok(Keys {
        set,
        sums,
        texts: keep_texts.then_some((schema, kept)),
        n_rows: rows.n_rows,
    })
}

/// Reads this holder's keys into a store: for tables that are larger than memory.
///
/// # Errors
/// Those of [`keys`], and a disk that fails.
pub async fn stored_keys(
    plan: &Plan,
    me: &PartyId,
    source: &Source,
    (hash, n_columns): (&Arc<KeyHash>, usize),
    store: Box<dyn TagStore>,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<StoredKeys, SourceError> {
    let mut rows = Rows::open(plan, me, source, (hash, n_columns)).await?;
    let local = rows.local;
    let written = rows
        .hash_into(SetWriter::new(store), progress, |_| Ok(()))
        .await?;
    let set = Compute::Pool.run(move || written.finish()).await;
    let set = set.map_err(|StoreError| no_store(local))?;
    let report = KeyReport {
        rows: rows.n_rows,
        distinct: set.n_items() as u64,
        duplicates: set.n_duplicates(),
        missing: set.n_missing(),
    };
    Ok(StoredKeys {
        set: Some(set),
        report,
    })
}

fn no_store(local: &LocalPlan) -> SourceError {
    let what = "its keys cannot be sorted on this disk, which is full or fails";
    let advice = "make room in the agent's `state`, about 50 bytes a row";
    SourceError::table(&local.tables.join(", "), what, advice)
}

/// The different keys of a holder, in a store.
pub struct StoredKeys {
    /// On the pool while it is put in an order.
    set: Option<StoredSet>,
    report: KeyReport,
}

impl StoredKeys {
    /// How many there are.
    #[must_use]
    pub fn n_items(&self) -> usize {
        usize::try_from(self.report.distinct).unwrap_or(usize::MAX)
    }

    /// All items in an order of their own, by way of another store. Takes seconds for millions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn shuffled(
        &mut self,
        order: Seed,
        store: Box<dyn TagStore>,
    ) -> Result<Spilled, StoreError> {
        let mut set = self.set.take().ok_or(StoreError)?;
        let kernel = move || {
            let items = set.shuffled(&order, store);
            (set, items)
        };
        let (set, items) = Compute::Pool.run(kernel).await;
        self.set = Some(set);
        items
    }

    /// What only this holder learns.
    #[must_use]
    pub fn report(&self) -> KeyReport {
        self.report.clone()
    }
}

/// The rows of a holder's query, whose first columns are keys.
pub(super) struct Rows<'a> {
    pub(super) local: &'a LocalPlan,
    batches: SendableRecordBatchStream,
    hash: &'a Arc<KeyHash>,
    n_columns: usize,
    pub(super) n_rows: u64,
}

impl<'a> Rows<'a> {
    pub(super) async fn open(
        plan: &'a Plan,
        me: &PartyId,
        source: &Source,
        (hash, n_columns): (&'a Arc<KeyHash>, usize),
    ) -> Result<Self, SourceError> {
        let Some(local) = plan.locals.get(me) else {
            let what = "this party has no part in the plan".to_owned();
            return Err(SourceError::Engine { what });
        };
        let query = prepare(local, me, source).await?;
        let batches = query.execute_stream().await;
        Ok(Self {
            local,
            batches: batches.map_err(SourceError::from_engine)?,
            hash,
            n_columns,
            n_rows: 0,
        })
    }

    /// Hashes all rows, batch by batch, each while the next one is read. `see` gets every batch before it is hashed.
    pub(super) async fn hash_into<S: Sink>(
        &mut self,
        sink: S,
        progress: &(dyn Fn(u64) + Send + Sync),
        mut see: impl FnMut(RecordBatch) -> Result<(), SourceError>,
    ) -> Result<S, SourceError> {
        type Hashing<S> = BoxFuture<'static, Result<S, StoreError>>;
        let mut hashing: Hashing<S> = Box::pin(std::future::ready(Ok(sink)));
        loop {
            let (batch, sink) = join(self.batches.next(), hashing).await;
            let mut sink = sink.map_err(|StoreError| no_store(self.local))?;
            let Some(batch) = batch else {
                return Ok(sink);
            };
            let batch = batch.map_err(SourceError::from_engine)?;
            let n_rows = batch.num_rows();
            self.n_rows += n_rows as u64;
            if self.n_rows > self.local.rows_at_most {
                return Err(outgrown(self.local));
            }
            progress(self.n_rows);
            let columns = &batch.columns()[..self.n_columns.min(batch.num_columns())];
            let (columns, hash) = (texts(columns)?, Arc::clone(self.hash));
            see(batch)?;
            let kernel = move || {
                sink.add(hash_rows(&hash, &columns, n_rows))?;
                Ok(sink)
            };
            hashing = Box::pin(Compute::Pool.run(kernel));
        }
    }
}

/// Where items go.
pub(super) trait Sink: Sized + Send + 'static {
    fn add(&mut self, items: Vec<Option<Item>>) -> Result<(), StoreError>;
}

impl Sink for Vec<Option<Item>> {
    fn add(&mut self, items: Self) -> Result<(), StoreError> {
        self.extend(items);
        Ok(())
    }
}

impl Sink for SetWriter {
    fn add(&mut self, items: Vec<Option<Item>>) -> Result<(), StoreError> {
        Self::add(self, items.into_iter())
    }
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

/// The item of each row, `None` for a row without a key.
pub(super) fn hash_rows(
    hash: &KeyHash,
    columns: &[StringViewArray],
    n_rows: usize,
) -> Vec<Option<Item>> {
    let cell = |column: usize, row| {
        let column = &columns[column];
        column.is_valid(row).then(|| column.value(row))
    };
    hash.items((n_rows, columns.len()), cell)
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
        let ends = batches.iter().scan(0, |end, batch| {
            *end += batch.num_rows();
            Some(*end)
        });
        let ends: Vec<usize> = ends.collect();
        let at = |place: &usize| {
            let row = usize::try_from(*self.set.rows().get(*place)?).ok()?;
            let batch = ends.partition_point(|end| *end <= row);
            let n_rows = batches.get(batch)?.num_rows();
            Some((batch, row + n_rows - ends[batch]))
        };
        let rows: Option<Vec<(usize, usize)>> = places.iter().map(at).collect();
        let rows = rows.ok_or_else(|| SourceError::Engine {
            what: "a key stands at no place".to_owned(),
        })?;
        let taken = match rows.is_empty() {
            true => RecordBatch::new_empty(schema.clone()),
            false => {
                let batches: Vec<&RecordBatch> = batches.iter().collect();
                interleave_record_batch(&batches, &rows).map_err(engine)?
            }
        };
        let text = |column: &ArrayRef| cast(column, &DataType::Utf8View).map_err(engine);
        taken
            .columns()
            .iter()
            .map(text)
            .collect::<Result<_, _>>()
            .map(Some)
    }
}
