//! Turns records into Arrow batches of the types that the first pass found.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
    NullArray, RecordBatch, RecordBatchOptions, StringViewBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;

use super::records::{Fault, Record};
use super::{fault, infer};
use crate::catalogue::ColumnKind;
use crate::source::SourceColumn;

/// Collects rows of the wanted columns.
pub(super) struct BatchBuilder {
    columns: Vec<(usize, Builder)>,
    n_columns: usize,
    schema: SchemaRef,
    batch_size: usize,
    n_rows: usize,
}

/// The file's stamp was checked, so only a file that is being written to has other values now.
pub(super) fn changed(line: u64, what: impl Into<String>) -> Fault {
    fault(
        line,
        what,
        "the file was changed while it was read; add the dataset again",
    )
}

enum Builder {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Float(Float64Builder),
    Text(StringViewBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Empty,
}

impl BatchBuilder {
    pub(super) fn new(
        columns: &[SourceColumn],
        wanted: &[usize],
        schema: &SchemaRef,
        batch_size: usize,
    ) -> Self {
        let builders = wanted
            .iter()
            .map(|&i| (i, Builder::new(&columns[i].kind, batch_size)));
        Self {
            columns: builders.collect(),
            n_columns: columns.len(),
            schema: Arc::clone(schema),
            batch_size,
            n_rows: 0,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.n_rows >= self.batch_size
    }

    pub(super) fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    pub(super) fn push(&mut self, record: &Record<'_>) -> Result<(), Fault> {
        let changed = |what: String| changed(record.line, what);
        if record.len() != self.n_columns {
            return Err(changed("another number of fields than before".to_owned()));
        }
        for (i, builder) in &mut self.columns {
            if builder.push(record.field(*i)).is_none() {
                return Err(changed(format!(
                    "column {} has another type than before",
                    *i + 1
                )));
            }
        }
        self.n_rows += 1;
        Ok(())
    }

    /// The rows so far; the builder starts again. `None` if NULL came where there was none before.
    pub(super) fn finish(&mut self) -> Option<RecordBatch> {
        let n_rows = std::mem::take(&mut self.n_rows);
        let arrays = self.columns.iter_mut().map(|(_, b)| b.finish(n_rows));
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        let schema = Arc::clone(&self.schema);
        RecordBatch::try_new_with_options(schema, arrays.collect(), &options).ok()
    }
}

impl Builder {
    fn new(kind: &ColumnKind, n: usize) -> Self {
        match kind {
            ColumnKind::Bool => Self::Bool(BooleanBuilder::with_capacity(n)),
            ColumnKind::Int { .. } => Self::Int(Int64Builder::with_capacity(n)),
            ColumnKind::Decimal { precision, scale } => {
                let builder = Decimal128Builder::with_capacity(n);
                let typed = builder.with_precision_and_scale(*precision, *scale);
                Self::Decimal(
                    typed.expect("inferred decimals have at most 18 digits"),
                    *precision,
                    *scale,
                )
            }
            ColumnKind::Float => Self::Float(Float64Builder::with_capacity(n)),
            ColumnKind::Date => Self::Date(Date32Builder::with_capacity(n)),
            ColumnKind::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(n)),
            ColumnKind::Empty => Self::Empty,
            ColumnKind::Text | ColumnKind::Other(_) => {
                Self::Text(StringViewBuilder::with_capacity(n))
            }
        }
    }

    /// Adds one field; `None` if it does not have the column's type.
    fn push(&mut self, field: &[u8]) -> Option<()> {
        if field.is_empty() {
            self.push_null();
            return Some(());
        }
        match self {
            Self::Bool(b) => b.append_value(infer::boolean(field)?),
            Self::Int(b) => b.append_value(infer::int(field)?),
            Self::Decimal(b, p, s) => b.append_value(infer::decimal(field, *p, *s)?),
            Self::Float(b) => b.append_value(infer::float(field)?),
            Self::Text(b) => b.append_value(std::str::from_utf8(field).ok()?),
            Self::Date(b) => b.append_value(infer::date(field)?),
            Self::Timestamp(b) => b.append_value(infer::timestamp(field)?),
            Self::Empty => return None,
        }
        Some(())
    }

    fn push_null(&mut self) {
        match self {
            Self::Bool(b) => b.append_null(),
            Self::Int(b) => b.append_null(),
            Self::Decimal(b, ..) => b.append_null(),
            Self::Float(b) => b.append_null(),
            Self::Text(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Timestamp(b) => b.append_null(),
            Self::Empty => {}
        }
    }

    fn finish(&mut self, n_rows: usize) -> ArrayRef {
        match self {
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Int(b) => Arc::new(b.finish()),
            Self::Decimal(b, ..) => Arc::new(b.finish()),
            Self::Float(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::Empty => Arc::new(NullArray::new(n_rows)),
        }
    }
}
