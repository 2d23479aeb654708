//! A table that a test holds in memory, behind the same trait as files and databases.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use party_agent::catalogue::ColumnKind;
use party_agent::source::{DataSource, EngineConfig, Source, SourceColumn};

/// Batches and their columns.
#[derive(Debug)]
pub(crate) struct Memory {
    columns: Vec<SourceColumn>,
    batches: Vec<RecordBatch>,
}

impl Memory {
    /// A table from named arrays, cut into batches of `batch_rows`.
    pub(crate) fn new(columns: Vec<(&str, ArrayRef)>, batch_rows: usize) -> Self {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns
                .iter()
                .map(|(name, values)| (*name, Arc::clone(values), true)),
        )
        .expect("arrays of one length");
        let starts = (0..batch.num_rows()).step_by(batch_rows.max(1));
        let cut = |start| batch.slice(start, batch_rows.max(1).min(batch.num_rows() - start));
        let columns = columns.into_iter().map(|(name, values)| SourceColumn {
            name: name.to_owned(),
            kind: ColumnKind::of(values.data_type()),
            nullable: true,
        });
        Self {
            columns: columns.collect(),
            batches: starts.map(cut).collect(),
        }
    }

    /// A holder with this one table.
    pub(crate) fn into_source(self, table: &str, target_partitions: usize) -> Source {
        let mut source = Source::empty().with_engine(EngineConfig {
            target_partitions,
            batch_size: 8192,
        });
        source.insert(table, Arc::new(self));
        source
    }
}

impl DataSource for Memory {
    fn columns(&self) -> &[SourceColumn] {
        &self.columns
    }

    fn provider(&self) -> Arc<dyn TableProvider> {
        let schema = party_agent::source::schema_of(&self.columns);
        // Two partitions, so that a query with several streams has something to split.
        let (even, odd): (Vec<_>, Vec<_>) = self
            .batches
            .iter()
            .cloned()
            .enumerate()
            .partition(|(i, _)| i % 2 == 0);
        let strip = |part: Vec<(usize, RecordBatch)>| part.into_iter().map(|(_, b)| b).collect();
        Arc::new(MemTable::try_new(schema, vec![strip(even), strip(odd)]).expect("one schema"))
    }

    fn origin(&self) -> String {
        "memory".to_owned()
    }
}
