//! Decodes `COPY … TO STDOUT (FORMAT binary)` into Arrow batches.
//!
//! Source: PostgreSQL documentation, COPY, "Binary Format", and the send functions of the types named in
//! [`Wire`]. All numbers are big-endian; dates and timestamps count from 2000-01-01.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int16Builder,
    Int32Builder, Int64Builder, NullArray, RecordBatch, RecordBatchOptions, StringViewBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;

use super::column::{PgColumn, Wire};
use crate::catalogue::ColumnKind;
use crate::source::SourceError;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xFF\r\n\0";
/// Signature, flags, length of the header's extension.
pub(super) const HEADER_BYTES: usize = 19;
const DAYS_1970_TO_2000: i32 = 10_957;
const MICROS_1970_TO_2000: i64 = DAYS_1970_TO_2000 as i64 * 86_400_000_000;

/// Takes bytes as they arrive and gives batches.
pub(super) struct Decoder<'a> {
    table: &'a str,
    columns: &'a [PgColumn],
    builders: Vec<Builder>,
    schema: &'a SchemaRef,
    batch_size: usize,
    n_rows: usize,
    buffer: Vec<u8>,
    /// Bytes of `buffer` already decoded.
    done: usize,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Header,
    Tuples,
    Ended,
}

/// Why a value cannot be taken.
enum Refused {
    /// Not what the format says.
    Malformed,
    /// Outside the type that the column was opened with.
    Outgrown,
    /// NaN or infinity where the column's type has none.
    NotANumber,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(
        table: &'a str,
        columns: &'a [PgColumn],
        schema: &'a SchemaRef,
        batch_size: usize,
    ) -> Self {
        let builders = columns
            .iter()
            .map(|c| Builder::new(c, batch_size))
            .collect();
        let (buffer, done, n_rows) = (Vec::new(), 0, 0);
        Self {
            table,
            columns,
            builders,
            schema,
            batch_size,
            n_rows,
            buffer,
            done,
            stage: Stage::Header,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.done);
        self.done = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next full batch, if the bytes so far hold one.
    pub(super) fn next_batch(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.stage == Stage::Header && !self.header()? {
            return Ok(None);
        }
        while self.stage == Stage::Tuples && self.n_rows < self.batch_size {
            if !self.tuple()? {
                return Ok(None);
            }
        }
        (self.n_rows == self.batch_size)
            .then(|| self.batch())
            .transpose()
    }

    /// The last batch, once all bytes have come.
    pub(super) fn finish(mut self) -> Result<Option<RecordBatch>, SourceError> {
        if self.stage != Stage::Ended {
            return Err(self.malformed());
        }
        (self.n_rows > 0).then(|| self.batch()).transpose()
    }

    fn header(&mut self) -> Result<bool, SourceError> {
        let Some(header) = self.buffer.get(..HEADER_BYTES) else {
            return Ok(false);
        };
        let extension = u32::from_be_bytes(header[15..].try_into().expect("four bytes"));
        if !header.starts_with(SIGNATURE) || extension != 0 {
            return Err(self.malformed());
        }
        self.done = HEADER_BYTES;
        self.stage = Stage::Tuples;
        Ok(true)
    }

    /// Decodes one tuple if all of it is there.
    fn tuple(&mut self) -> Result<bool, SourceError> {
        let Some(end) = tuple_end(&self.buffer[self.done..]) else {
            return Ok(false);
        };
        let bytes = &self.buffer[self.done..self.done + end];
        let n_fields = i16::from_be_bytes([bytes[0], bytes[1]]);
        if n_fields == -1 {
            self.stage = Stage::Ended;
            return Ok(false);
        }
        if n_fields as usize != self.columns.len() {
            return Err(self.malformed());
        }
        let mut rest = &bytes[2..];
        for (builder, column) in self.builders.iter_mut().zip(self.columns) {
            let (length, after) = rest.split_at(4);
            let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
            let (value, after) = after.split_at(length.max(0) as usize);
            rest = after;
            if length < 0 {
                builder.push_null();
            } else if let Err(refused) = builder.push(value) {
                return Err(of_value(self.table, column, &refused));
            }
        }
        self.done += end;
        self.n_rows += 1;
        Ok(true)
    }

    fn batch(&mut self) -> Result<RecordBatch, SourceError> {
        let n_rows = std::mem::take(&mut self.n_rows);
        let arrays = self.builders.iter_mut().map(|b| b.finish(n_rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        RecordBatch::try_new_with_options(Arc::clone(self.schema), arrays, &options).map_err(|_| {
            let advice =
                "add the dataset again; a foreign table's NOT NULL is not enforced by the database";
            SourceError::table(
                self.table,
                "NULL in a column that is declared NOT NULL",
                advice,
            )
        })
    }

    fn malformed(&self) -> SourceError {
        SourceError::Database {
            table: self.table.to_owned(),
            what: "the answer to COPY is not in the binary format or is cut short".to_owned(),
            advice: "check the server's log and its version (PostgreSQL 12 or later)",
        }
    }
}

/// The length of the tuple at the start, if it is complete. A count of -1 ends the data.
pub(super) fn tuple_end(bytes: &[u8]) -> Option<usize> {
    let n_fields = i16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
    let mut at = 2;
    for _ in 0..n_fields.max(0) {
        let length = i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        at += 4 + length.max(0) as usize;
        if at > bytes.len() {
            return None;
        }
    }
    Some(at)
}

fn of_value(table: &str, column: &PgColumn, refused: &Refused) -> SourceError {
    let (what, advice) = match refused {
        Refused::Malformed => (
            "a value is not in its type's binary format",
            "check the server's version",
        ),
        Refused::Outgrown => (
            "a value does not fit the type that the column had when it was opened",
            "add the dataset again, so that its catalogue is published anew; \
             declare numeric(p, s) in the database to fix the type; infinite dates cannot be used",
        ),
        Refused::NotANumber => (
            "a value is NaN or infinite",
            "clean the table, or leave such rows out with a view",
        ),
    };
    SourceError::column(table, &column.name, what, advice)
}

enum Builder {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float4(Float64Builder),
    Float8(Float64Builder),
    Numeric {
        values: Decimal128Builder,
        precision: u8,
        scale: i8,
    },
    Text(StringViewBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Empty,
}

impl Builder {
    fn new(column: &PgColumn, n: usize) -> Self {
        match (column.wire, &column.kind) {
            (Wire::Bool, _) => Self::Bool(BooleanBuilder::with_capacity(n)),
            (Wire::Int2, _) => Self::Int2(Int16Builder::with_capacity(n)),
            (Wire::Int4, _) => Self::Int4(Int32Builder::with_capacity(n)),
            (Wire::Int8, _) => Self::Int8(Int64Builder::with_capacity(n)),
            (Wire::Float4, _) => Self::Float4(Float64Builder::with_capacity(n)),
            (Wire::Float8, _) => Self::Float8(Float64Builder::with_capacity(n)),
            (Wire::Numeric, &ColumnKind::Decimal { precision, scale }) => {
                let values = Decimal128Builder::with_capacity(n)
                    .with_precision_and_scale(precision, scale)
                    .expect("a usable decimal has at most 38 digits");
                Self::Numeric {
                    values,
                    precision,
                    scale,
                }
            }
            (Wire::Numeric, _) => Self::Empty,
            (Wire::Text, _) => Self::Text(StringViewBuilder::with_capacity(n)),
            (Wire::Date, _) => Self::Date(Date32Builder::with_capacity(n)),
            (Wire::Timestamp, _) => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(n)),
        }
    }

    fn push(&mut self, value: &[u8]) -> Result<(), Refused> {
        match self {
            Self::Bool(b) => b.append_value(fixed::<1>(value)?[0] != 0),
            Self::Int2(b) => b.append_value(i16::from_be_bytes(fixed(value)?)),
            Self::Int4(b) => b.append_value(i32::from_be_bytes(fixed(value)?)),
            Self::Int8(b) => b.append_value(i64::from_be_bytes(fixed(value)?)),
            Self::Float4(b) => b.append_value(f64::from(f32::from_be_bytes(fixed(value)?))),
            Self::Float8(b) => b.append_value(f64::from_be_bytes(fixed(value)?)),
            Self::Numeric {
                values,
                precision,
                scale,
            } => {
                values.append_value(numeric(value, *precision, *scale)?);
            }
            Self::Text(b) => {
                b.append_value(std::str::from_utf8(value).map_err(|_| Refused::Malformed)?)
            }
            Self::Date(b) => {
                let days = finite(i32::from_be_bytes(fixed(value)?), i32::MIN, i32::MAX)?;
                b.append_value(
                    days.checked_add(DAYS_1970_TO_2000)
                        .ok_or(Refused::Outgrown)?,
                );
            }
            Self::Timestamp(b) => {
                let micros = finite(i64::from_be_bytes(fixed(value)?), i64::MIN, i64::MAX)?;
                b.append_value(
                    micros
                        .checked_add(MICROS_1970_TO_2000)
                        .ok_or(Refused::Outgrown)?,
                );
            }
            Self::Empty => return Err(Refused::Outgrown),
        }
        Ok(())
    }

    fn push_null(&mut self) {
        match self {
            Self::Bool(b) => b.append_null(),
            Self::Int2(b) => b.append_null(),
            Self::Int4(b) => b.append_null(),
            Self::Int8(b) => b.append_null(),
            Self::Float4(b) | Self::Float8(b) => b.append_null(),
            Self::Numeric { values, .. } => values.append_null(),
            Self::Text(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Timestamp(b) => b.append_null(),
            Self::Empty => {}
        }
    }

    fn finish(&mut self, n_rows: usize) -> ArrayRef {
        match self {
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Int2(b) => Arc::new(b.finish()),
            Self::Int4(b) => Arc::new(b.finish()),
            Self::Int8(b) => Arc::new(b.finish()),
            Self::Float4(b) | Self::Float8(b) => Arc::new(b.finish()),
            Self::Numeric { values, .. } => Arc::new(values.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Timestamp(b) => Arc::new(b.finish()),
            Self::Empty => Arc::new(NullArray::new(n_rows)),
        }
    }
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Refused> {
    value.try_into().map_err(|_| Refused::Malformed)
}

/// PostgreSQL writes infinite dates as the ends of the integer's range.
fn finite<T: PartialEq>(value: T, low: T, high: T) -> Result<T, Refused> {
    if value == low || value == high {
        Err(Refused::Outgrown)
    } else {
        Ok(value)
    }
}

/// A `numeric` as an integer in units of 10^-scale, exactly.
fn numeric(value: &[u8], precision: u8, scale: i8) -> Result<i128, Refused> {
    let word = |i: usize| {
        let pair = value.get(2 * i..2 * i + 2).ok_or(Refused::Malformed)?;
        Ok(i16::from_be_bytes([pair[0], pair[1]]))
    };
    let (n_digits, weight, sign) = (word(0)?, word(1)?, word(2)? as u16);
    let is_negative = match sign {
        0x0000 => false,
        0x4000 => true,
        0xC000 | 0xD000 | 0xF000 => return Err(Refused::NotANumber),
        _ => return Err(Refused::Malformed),
    };
    let mut unscaled: i128 = 0;
    for i in 0..n_digits.max(0) {
        // Base 10000, the first digit counting 10000^weight.
        let digit = i128::from(word(4 + i as usize)?);
        let exponent = 4 * (i32::from(weight) - i32::from(i)) + i32::from(scale);
        let term = match exponent {
            _ if digit == 0 => 0,
            0..=38 => digit
                .checked_mul(10i128.pow(exponent as u32))
                .ok_or(Refused::Outgrown)?,
            -4..=-1 if digit % 10i128.pow(-exponent as u32) == 0 => {
                digit / 10i128.pow(-exponent as u32)
            }
            _ => return Err(Refused::Outgrown),
        };
        unscaled = unscaled.checked_add(term).ok_or(Refused::Outgrown)?;
    }
    if unscaled >= 10i128.pow(u32::from(precision)) {
        return Err(Refused::Outgrown);
    }
    Ok(if is_negative { -unscaled } else { unscaled })
}
