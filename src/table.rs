//! Tables and figures as a person reads them.

use comfy_table::{
    Attribute, Cell, CellAlignment, ContentArrangement, Table, TableComponent, presets,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Rows that a terminal is given; the file has them all.
const ROWS_SHOWN: usize = 100;
/// Digits after the point that a terminal is given; the file has them all.
const DIGITS_SHOWN: usize = 4;
/// Suppressed groups that a terminal is given one by one.
const SUPPRESSED_SHOWN: usize = 10;
/// Paragraphs are wrapped at this column.
const LINE_COLUMNS: usize = 110;

/// A result.json, as far as a table needs it. Values stay text, so that no digit is lost on the way.
#[derive(Deserialize)]
pub(crate) struct ResultDocument {
    columns: Vec<Column>,
    rows: Vec<Vec<Box<RawValue>>>,
    #[serde(default)]
    suppressed: Vec<Map<String, Value>>,
    n_used: Option<u64>,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
}

impl ResultDocument {
    pub(crate) fn n_rows(&self) -> usize {
        self.rows.len()
    }

    /// The table, what was left out and why, and the notes.
    pub(crate) fn text(&self) -> String {
        let mut out = self.table();
        let n_hidden = self.rows.len().saturating_sub(ROWS_SHOWN);
        if n_hidden > 0 {
            let more = counted(n_hidden, "row");
            let _ = writeln!(out, "… and {more} more (the result's files have them all)");
        }
        out += &counted(self.rows.len(), "row");
        if let Some(n_used) = self.n_used {
            let _ = write!(out, " from {} records", grouped(&n_used.to_string()));
        }
        out.push('\n');
        for group in self.suppressed.iter().take(SUPPRESSED_SHOWN) {
            let _ = writeln!(out, "not released: {}", suppressed_line(group));
        }
        let n_hidden = self.suppressed.len().saturating_sub(SUPPRESSED_SHOWN);
        if n_hidden > 0 {
            let _ = writeln!(out, "not released: {} more", counted(n_hidden, "group"));
        }
        for note in &self.notes {
            out += &wrapped("note: ", note);
        }
        out
    }

    fn table(&self) -> String {
        let rows = &self.rows[..self.rows.len().min(ROWS_SHOWN)];
        let mut cells = vec![Vec::with_capacity(self.columns.len()); rows.len()];
        for i in 0..self.columns.len() {
            let column: Vec<&str> = rows
                .iter()
                .filter_map(|row| Some(row.get(i)?.get()))
                .collect();
            for (row, cell) in cells.iter_mut().zip(shown_column(&column)) {
                row.push(cell);
            }
        }
        grid(
            self.columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
            cells,
        )
    }
}

/// `1 row`, `2 rows`
pub(crate) fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `diag_group = missing (min_cell: COUNT(*) >= 11)`
fn suppressed_line(group: &Map<String, Value>) -> String {
    let text = |field: &str| group.get(field).and_then(Value::as_str).unwrap_or_default();
    let keys = group.get("group").and_then(Value::as_object);
    let keys = keys.into_iter().flatten();
    let keys = keys.map(|(name, value)| format!("{name} = {}", shown(&value.to_string(), false)));
    let keys = keys.collect::<Vec<_>>().join(", ");
    format!("{keys} ({}: {})", text("reason"), text("rule"))
}

/// The cells of one column. Where any value has a long fraction, all have the same number of digits.
fn shown_column(values: &[&str]) -> Vec<String> {
    let is_long = |json: &&str| fraction(json).is_some_and(|digits| digits.len() > DIGITS_SHOWN);
    let shorten = values.iter().any(is_long);
    values.iter().map(|json| shown(json, shorten)).collect()
}

/// The digits after the point of a plain number.
fn fraction(json: &str) -> Option<&str> {
    let is_plain = !json.contains(['"', 'e', 'E']);
    json.split_once('.')
        .filter(|_| is_plain)
        .map(|(_, digits)| digits)
}

/// One JSON value for a cell: text without quotes, integers in groups of three, NULL empty, a fraction as it
/// is or with [`DIGITS_SHOWN`] digits.
fn shown(json: &str, shorten: bool) -> String {
    if let Ok(text) = serde_json::from_str::<String>(json) {
        return text;
    }
    match fraction(json) {
        _ if json == "null" => String::new(),
        Some(_) if shorten => shortened(json),
        _ => grouped(json),
    }
}

/// A fraction with [`DIGITS_SHOWN`] digits; as it is where rounding would lose too much of it.
fn shortened(json: &str) -> String {
    let Ok(value) = json.parse::<f64>() else {
        return json.to_owned();
    };
    // Beyond 2^53 a float no longer holds the whole part; a small value needs its own digits.
    if value.abs() > 9e15 || (value != 0.0 && value.abs() < 1e-3) {
        return json.to_owned();
    }
    grouped(&format!("{value:.DIGITS_SHOWN$}"))
}

/// 1234567.5 as 1,234,567.5; anything that is not a plain number stays as it is.
pub(crate) fn grouped(number: &str) -> String {
    let (sign, rest) = number
        .strip_prefix('-')
        .map_or(("", number), |rest| ("-", rest));
    let (whole, fraction) = rest
        .find('.')
        .map_or((rest, ""), |point| rest.split_at(point));
    if whole.is_empty() || !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return number.to_owned();
    }
    let mut out = sign.to_owned();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

/// Bytes in the unit that a person would choose.
pub(crate) fn bytes(n_bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n_bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n_bytes} B"),
        _ if value < 10.0 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// A paragraph after a label, in lines that fit a terminal.
pub(crate) fn wrapped(label: &str, text: &str) -> String {
    let indent = " ".repeat(label.chars().count());
    let mut out = label.to_owned();
    let mut n_columns = indent.len();
    for (i, word) in text.split(' ').enumerate() {
        let n_word = word.chars().count();
        if i > 0 && n_columns + 1 + n_word > LINE_COLUMNS {
            out += &format!("\n{indent}");
            n_columns = indent.len();
        } else if i > 0 {
            out.push(' ');
            n_columns += 1;
        }
        out += word;
        n_columns += n_word;
    }
    out + "\n"
}

/// Lines of cells with a header; a column of numbers, with or without units, is aligned to the right.
pub(crate) fn grid(header: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_content_arrangement(ContentArrangement::Disabled);
    let is_number = |cell: &String| {
        let number = cell.split(' ').next().unwrap_or_default().replace(',', "");
        number.is_empty() || number.parse::<f64>().is_ok()
    };
    let is_numeric = |i: usize| rows.iter().filter_map(|row| row.get(i)).all(is_number);
    let numeric: Vec<bool> = (0..header.len()).map(is_numeric).collect();
    let bold = |name: String| Cell::new(name).add_attribute(Attribute::Bold);
    table.set_header(header.into_iter().map(bold));
    table.add_rows(rows);
    for (column, numeric) in table.column_iter_mut().zip(numeric) {
        if numeric {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    text.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_for_reading() {
        let long = "123456789012345678.12345";
        for (json, as_it_is, shortened) in [
            ("null", "", ""),
            ("\"内科\"", "内科", "内科"),
            ("\"1.23456\"", "1.23456", "1.23456"),
            ("1234567", "1,234,567", "1,234,567"),
            ("-999", "-999", "-999"),
            ("-1000", "-1,000", "-1,000"),
            ("4.461669687599957", "4.461669687599957", "4.4617"),
            ("12345.5", "12,345.5", "12,345.5000"),
            ("0.0000012345", "0.0000012345", "0.0000012345"),
            (long, "123,456,789,012,345,678.12345", long),
            ("1e300", "1e300", "1e300"),
            ("true", "true", "true"),
        ] {
            assert_eq!(shown(json, false), as_it_is, "{json}");
            assert_eq!(shown(json, true), shortened, "{json}");
        }
    }

    #[test]
    fn a_column_has_one_number_of_digits() {
        assert_eq!(
            shown_column(&["1.5", "2.123456", "null"]),
            ["1.5000", "2.1235", ""]
        );
        assert_eq!(shown_column(&["1.5", "2.25"]), ["1.5", "2.25"]);
    }

    #[test]
    fn paragraphs_are_wrapped_under_their_label() {
        let text = wrapped("note: ", &["word"; 40].join(" "));
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.lines().all(|line| line.len() <= LINE_COLUMNS),
            "{text}"
        );
        assert!(
            text.lines().skip(1).all(|line| line.starts_with("      w")),
            "{text}"
        );
    }

    #[test]
    fn bytes_are_shown_for_reading() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (12_345, "12 kB"),
            (999_999, "1.0 MB"),
        ];
        for (n_bytes, expected) in cases {
            assert_eq!(bytes(n_bytes), expected);
        }
    }

    #[test]
    fn a_result_is_a_table_with_what_was_left_out() {
        let document: ResultDocument = serde_json::from_str(
            r#"{"columns":[{"name":"g","type":"text"},{"name":"n","type":"int64"}],"rows":[["a",1200]],
                "suppressed":[{"group":{"g":"b"},"reason":"min_cell","rule":"COUNT(*) >= 11"}],
                "n_used":1205,"notes":["x"]}"#,
        )
        .expect("a result document");
        let text = document.text();
        let suppressed = "not released: g = b (min_cell: COUNT(*) >= 11)";
        for part in ["1,200", "1 row from 1,205 records", suppressed, "note: x"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
