//! The result as documents: `result.json` and `result.csv`.
//!
//! Whole numbers and decimals are written digit by digit and never pass through a double. Doubles are written in
//! their shortest form that reads back the same.

use std::fmt::Write;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Decimal256Type, DecimalType, Float64Type, Int64Type,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{ResultError, ResultTable, Suppressed, file};
use crate::catalogue::Class;
use crate::plan::{NoisePlan, ValueKind};

/// The file that holds the result as one JSON document.
pub(crate) const JSON: &str = "result.json";
/// The file that holds the result's rows as a table.
pub(super) const CSV: &str = "result.csv";

#[derive(Serialize)]
struct Document<'a> {
    columns: Vec<Column<'a>>,
    rows: Vec<Vec<Box<RawValue>>>,
    suppressed: Vec<Held<'a>>,
    n_used: u64,
    dropped: &'a std::collections::BTreeMap<String, u64>,
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fit: Option<&'a serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    privacy: Option<&'a NoisePlan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
}

#[derive(Serialize)]
struct Column<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize)]
struct Held<'a> {
    group: Box<RawValue>,
    reason: &'a str,
    rule: &'a str,
}

impl ResultTable {
    /// The result as one JSON document. Numbers are exact: read decimals with a decimal type.
    #[must_use]
    pub fn to_json(&self) -> String {
        let cells: Vec<Vec<_>> = (0..self.columns.len()).map(|c| self.cells(c)).collect();
        let rows = (0..self.n_rows).map(|row| {
            let row = cells.iter().map(|column| column[row].json());
            row.collect()
        });
        let columns = self.columns.iter().map(|c| Column {
            name: &c.name,
            kind: type_name(c.kind),
        });
        let document = Document {
            columns: columns.collect(),
            rows: rows.collect(),
            suppressed: self.suppressed.iter().map(Held::of).collect(),
            n_used: self.n_used,
            dropped: &self.dropped,
            notes: self.all_notes(&cells),
            matched: self.matched,
            fit: self.fit.as_ref(),
            privacy: self.noise.as_ref(),
            class: self.class,
        };
        serde_json::to_string(&document).expect("text keys and values that are JSON already")
    }

    /// The rows as CSV: a header, UTF-8, a decimal point, ISO dates, NULL empty and the empty text `""`.
    ///
    /// Values are written as they are, also where a spreadsheet would take one for a formula: a changed value is
    /// a wrong one.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let cells: Vec<Vec<_>> = (0..self.columns.len()).map(|c| self.cells(c)).collect();
        let mut csv = String::new();
        let header = self
            .columns
            .iter()
            .map(|c| Cell::Text(c.name.clone()).csv());
        push_line(&mut csv, header);
        for row in 0..self.n_rows {
            push_line(&mut csv, cells.iter().map(|column| column[row].csv()));
        }
        csv
    }

    /// Writes `result.json` and `result.csv` into a directory, both or neither, readable by their owner alone.
    ///
    /// # Errors
    /// [`ResultError::Write`]; the directory is then as it was.
    pub fn save(&self, dir: &Path) -> Result<(), ResultError> {
        file::write_all(
            dir,
            &[
                (JSON, self.to_json().as_bytes()),
                (CSV, self.to_csv().as_bytes()),
            ],
        )
    }

    fn cells(&self, column: usize) -> Vec<Cell> {
        let values = self.values[column].as_ref();
        (0..self.n_rows)
            .map(|row| Cell::of(values, self.columns[column].kind, row))
            .collect()
    }

    /// With one on values that JSON and SQL have no number for.
    fn all_notes(&self, cells: &[Vec<Cell>]) -> Vec<String> {
        let mut notes = self.notes.clone();
        for (column, cells) in self.columns.iter().zip(cells) {
            let n_odd = cells
                .iter()
                .filter(|c| matches!(c, Cell::NotFinite))
                .count();
            if n_odd > 0 {
                notes.push(format!("{}: {n_odd} values are infinite or not a number, such as x / 0.0, and are shown as NULL", column.name));
            }
        }
        notes
    }
}

impl<'a> Held<'a> {
    fn of(suppressed: &'a Suppressed) -> Self {
        let mut group = String::from("{");
        for (i, (name, kind, text)) in suppressed.group.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let value = match (kind, text) {
                (_, None) => Cell::Null,
                (
                    ValueKind::Bool | ValueKind::Int | ValueKind::Decimal { .. } | ValueKind::Float,
                    Some(text),
                ) => Cell::Literal(text.clone()),
                (ValueKind::Text | ValueKind::Date, Some(text)) => Cell::Text(text.clone()),
            };
            let name = Cell::Text(name.clone());
            write!(group, "{comma}{}:{}", name.json().get(), value.json().get())
                .expect("a String takes all");
        }
        group.push('}');
        Self {
            group: raw(group),
            reason: &suppressed.reason,
            rule: &suppressed.rule,
        }
    }
}

/// One value, ready to be written.
enum Cell {
    Null,
    /// Digits, `true` or `false`.
    Literal(String),
    Text(String),
    /// An infinite double or NaN.
    NotFinite,
}

impl Cell {
    fn of(values: &dyn Array, kind: ValueKind, row: usize) -> Self {
        if values.is_null(row) {
            return Self::Null;
        }
        match kind {
            ValueKind::Bool => Self::Literal(values.as_boolean().value(row).to_string()),
            ValueKind::Int => {
                Self::Literal(values.as_primitive::<Int64Type>().value(row).to_string())
            }
            ValueKind::Decimal { precision, scale } if precision <= 38 => {
                let value = values.as_primitive::<Decimal128Type>().value(row);
                Self::Literal(Decimal128Type::format_decimal(value, precision, scale))
            }
            ValueKind::Decimal { precision, scale } => {
                let value = values.as_primitive::<Decimal256Type>().value(row);
                Self::Literal(Decimal256Type::format_decimal(value, precision, scale))
            }
            ValueKind::Float => {
                // Adding 0 turns -0 into 0.
                let value = values.as_primitive::<Float64Type>().value(row) + 0.0;
                match serde_json::Number::from_f64(value) {
                    Some(number) => Self::Literal(number.to_string()),
                    None => Self::NotFinite,
                }
            }
            ValueKind::Text => Self::Text(values.as_string_view().value(row).to_owned()),
            ValueKind::Date => {
                match Date32Type::to_naive_date_opt(values.as_primitive::<Date32Type>().value(row))
                {
                    Some(day) => Self::Text(day.format("%Y-%m-%d").to_string()),
                    None => Self::Null,
                }
            }
        }
    }

    fn json(&self) -> Box<RawValue> {
        match self {
            Self::Null | Self::NotFinite => raw("null".to_owned()),
            Self::Literal(text) => raw(text.clone()),
            Self::Text(text) => serde_json::value::to_raw_value(text).expect("text is JSON"),
        }
    }

    fn csv(&self) -> String {
        match self {
            Self::Null | Self::NotFinite => String::new(),
            Self::Literal(text) => text.clone(),
            Self::Text(text) => csv_text(text),
        }
    }
}

/// A text as a field of CSV; the empty one is not NULL.
pub(super) fn csv_text(text: &str) -> String {
    match text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("digits, true, false, null or an object of those and texts")
}

fn push_line(csv: &mut String, cells: impl Iterator<Item = String>) {
    for (i, cell) in cells.enumerate() {
        if i > 0 {
            csv.push(',');
        }
        csv.push_str(&cell);
    }
    csv.push('\n');
}

fn type_name(kind: ValueKind) -> String {
    match kind {
        ValueKind::Bool => "bool".to_owned(),
        ValueKind::Int => "int".to_owned(),
        ValueKind::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ValueKind::Float => "float".to_owned(),
        ValueKind::Text => "text".to_owned(),
        ValueKind::Date => "date".to_owned(),
    }
}
