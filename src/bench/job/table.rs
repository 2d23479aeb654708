//! Tables for the job, from a seed.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use engine::prg::{Prg, Seed};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

const SEED: [u8; 32] = *b"entente bench: job tables seed 1";

/// Columns that are summed.
pub(super) const N_COLUMNS: usize = 10;
/// Values of the column of groups.
pub(super) const N_GROUPS: usize = 20;

/// Rows that are made at a time.
const BATCH_ROWS: usize = 1 << 14;
/// Rows that a reader can take at a time: as files from other programs have them.
const GROUP_ROWS: usize = 1 << 17;
/// Values lie between minus this and this.
const BOUND: i64 = 1_000_000;

/// Counts and sums by group, over all tables.
#[derive(Default)]
pub(super) struct Totals {
    counts: [i64; N_GROUPS],
    sums: [[i64; N_COLUMNS]; N_GROUPS],
}

impl Totals {
    /// Each group's name, its count and its sums, in the order of names.
    pub(super) fn rows(&self) -> impl Iterator<Item = (String, impl Iterator<Item = i64>)> {
        let figures = self.counts.iter().zip(&self.sums);
        let rows = figures.map(|(count, sums)| std::iter::once(*count).chain(sums.iter().copied()));
        rows.enumerate()
            .map(|(group, figures)| (name(group), figures))
    }
}

fn name(group: usize) -> String {
    format!("group {group:02}")
}

/// Writes one holder's table, and adds its rows to the totals.
pub(super) fn write(
    path: &Path,
    n_rows: usize,
    holder: u64,
    totals: &mut Totals,
) -> Result<(), ParquetError> {
    let mut prg = Prg::new(&Seed::from_bytes(SEED), holder);
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(GROUP_ROWS));
    let file = File::create_new(path)?;
    let first = batch(&mut prg, n_rows.min(BATCH_ROWS), totals)?;
    let mut writer = ArrowWriter::try_new(file, first.schema(), Some(properties.build()))?;
    let mut left = n_rows - first.num_rows();
    writer.write(&first)?;
    while left > 0 {
        let next = batch(&mut prg, left.min(BATCH_ROWS), totals)?;
        left -= next.num_rows();
        writer.write(&next)?;
    }
    writer.close().map(drop)
}

fn batch(prg: &mut Prg, n_rows: usize, totals: &mut Totals) -> Result<RecordBatch, ParquetError> {
    let mut words = vec![0u64; n_rows * (1 + N_COLUMNS)];
    prg.fill_ring(&mut words);
    let (groups, values) = words.split_at(n_rows);
    let groups: Vec<usize> = groups
        .iter()
        .map(|word| (word % N_GROUPS as u64) as usize)
        .collect();
    groups.iter().for_each(|group| totals.counts[*group] += 1);
    let names: [String; N_GROUPS] = std::array::from_fn(name);
    let names = groups.iter().map(|group| names[*group].as_str());
    let mut columns: Vec<(String, ArrayRef)> = vec![(
        "g".to_owned(),
        Arc::new(StringArray::from_iter_values(names)),
    )];
    for (i, words) in values.chunks_exact(n_rows.max(1)).enumerate() {
        let values = words
            .iter()
            .map(|word| (word % (2 * BOUND as u64)).cast_signed() - BOUND);
        let values: Vec<i64> = values.collect();
        for (group, value) in groups.iter().zip(&values) {
            totals.sums[*group][i] += value;
        }
        columns.push((format!("c{i}"), Arc::new(Int64Array::from(values))));
    }
    Ok(RecordBatch::try_from_iter(columns)?)
}
