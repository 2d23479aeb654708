//! The rows of a model in a job file: a SELECT, or the tables whose rows they are.

use protocols::party::PartyId;
use toml::Spanned;

use super::{Feature, Offset, Sample};
use crate::config::fields::{Faults, Fields};
use crate::spec::read::first_line;

const ROWS: &str = "one SELECT over a UNION ALL of the holders' tables";
const TABLES: &str = "a list of tables of different holders, such as [\"bank_1.loans\", \"bank_2.loans\"]; or rows = a SELECT";

/// All columns of the rows that a job names, each once.
pub(super) fn wanted(
    label: Option<&str>,
    features: &Option<Vec<Feature>>,
    offset: Option<&Offset>,
    sample: Option<&Option<Sample>>,
    fields: &Fields<'_, '_>,
    faults: &mut Faults<'_>,
) -> Vec<String> {
    let features = features
        .iter()
        .flatten()
        .map(|f| ("features", f.name.as_str()));
    let offset = offset.map(|o| match o {
        Offset::Plain(name) => ("offset", name.as_str()),
        Offset::Exposure(name) => ("exposure", name.as_str()),
    });
    let label = label.map(|name| ("label", name));
    let mut names: Vec<String> = Vec::new();
    for (field, name) in label.into_iter().chain(features).chain(offset) {
        if names.iter().any(|n| n == name) {
            let what = format!("names \"{name}\", which has a part in the model already");
            fields.wrong(faults, field, what, "each column once");
        } else {
            names.push(name.to_owned());
        }
    }
    let sample = sample.and_then(Option::as_ref).map(|s| &s.column);
    names.extend(
        sample
            .filter(|s| !names.contains(s))
            .cloned()
            .into_iter()
            .collect::<Vec<_>>(),
    );
    names
}

/// The rows as one SELECT, and the line on which it begins.
pub(super) fn rows<'t>(
    fields: &mut Fields<'_, 't>,
    text: &'t str,
    columns: &[String],
    faults: &mut Faults<'t>,
) -> Option<(String, usize)> {
    let at = fields.value("rows").map(Spanned::span);
    let sql = fields.string(faults, "rows");
    let tables = tables(fields, text, columns, faults);
    match (sql, tables) {
        (Some(_), Some(_)) => {
            let what = "is there beside rows, which name their tables themselves";
            fields.wrong(faults, "tables", what, "one of both");
            None
        }
        (Some(sql), None) if sql.trim().is_empty() => {
            fields.wrong(faults, "rows", "is empty", ROWS);
            None
        }
        (Some(sql), None) => {
            let line = at.map_or(1, |at| first_line(text, &at));
            Some((sql.to_owned(), line))
        }
        (None, found) => fields.required(faults, "tables", found, TABLES),
    }
}

/// The plain form of rows: the same columns of tables of several holders.
fn tables<'t>(
    fields: &mut Fields<'_, 't>,
    text: &'t str,
    columns: &[String],
    faults: &mut Faults<'t>,
) -> Option<(String, usize)> {
    let at = fields.value("tables").map(Spanned::span)?;
    let names = fields.strings(faults, "tables")?;
    let mut selects = Vec::new();
    for name in &names {
        let parts = name.split_once('.');
        let party = parts.and_then(|(party, _)| party.parse::<PartyId>().ok());
        match (parts, party) {
            (Some((_, table)), Some(party)) if !table.is_empty() && !table.contains('"') => {
                let quoted: Vec<String> = columns.iter().map(|c| format!("\"{c}\"")).collect();
                selects.push(format!(
                    "SELECT {} FROM {party}.\"{table}\"",
                    quoted.join(", ")
                ));
            }
            _ => {
                let what = format!("\"{name}\" is not the name of a table");
                fields.wrong(faults, "tables", what, TABLES);
            }
        }
    }
    if names.len() < 2 {
        fields.wrong(faults, "tables", "names fewer than two tables", TABLES);
    }
    let before = text.get(..at.start).unwrap_or_default();
    let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
    let is_whole = selects.len() == names.len() && names.len() >= 2;
    is_whole.then(|| (selects.join(" UNION ALL "), line))
}
