//! `[compute.lookup]`: what stands under one party's keys in tables of others.

use protocols::party::PartyId;
use protocols::psi::keys::Normalise;
use serde::Serialize;
use toml::de::DeValue;

use super::intersect::{self, KeyOf, rule_name};
use crate::config::fields::{Faults, Fields, kind};

/// Most holders that are asked at once.
const MAX_TABLES: usize = 9;
/// Most questions of one job.
pub const MAX_QUESTIONS: u64 = 1 << 20;
/// Most columns that are asked for.
const MAX_VALUES: usize = 64;

const TABLE: &str = "\"party.table\", or a list of those, each of another party";
const KEY: &str = "the name of the key's column in these tables, or a list of names";
const QUERIES: &str = "\"party.table.column\" of the party that asks, or a list of those for a key of several columns";
const VALUES: &str =
    "a list of names of columns in these tables; leave it out to ask whether a key is there";
const COMBINE: &str = "\"list\", \"sum\" or \"any\"";

/// A lookup of keys in other parties' tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lookup {
    /// The keys that are asked for, at the party that asks.
    pub queries: KeyOf,
    /// The keys of the tables that are asked, in the order of the job file.
    pub tables: Vec<KeyOf>,
    /// The columns that are asked for; none: whether the key is there.
    pub values: Vec<String>,
    /// How spellings are evened out.
    #[serde(serialize_with = "rule_name")]
    pub normalise: Normalise,
    /// What is learnt of several tables.
    pub combine: Combine,
    /// Most questions.
    pub at_most: Option<u64>,
}

/// What the asker learns of several tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// What each of them has.
    List,
    /// The sum of the values; without a value, in how many tables the key is.
    Sum,
    /// Whether the key is in any of them.
    Any,
}

const COMBINES: &[(&str, Combine)] = &[
    ("list", Combine::List),
    ("sum", Combine::Sum),
    ("any", Combine::Any),
];

/// Reads the table `[compute.lookup]`.
pub(super) fn read<'t>(
    mut fields: Fields<'_, 't>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> Option<Lookup> {
    let tables = tables(&mut fields, text, faults);
    let key = names_of(&mut fields, "key", KEY, intersect::MAX_KEY_COLUMNS, faults);
    let key = fields.required(faults, "key", key, KEY);
    let values = names_of(&mut fields, "values", VALUES, MAX_VALUES, faults);
    let at = fields.value("queries");
    let at = fields.required(faults, "queries", at, QUERIES);
    let path = fields.name("queries");
    let queries = at.and_then(|at| intersect::key(&path, at, text, faults));
    let normalise = intersect::normalise(&mut fields, faults);
    let combine = intersect::word(&mut fields, "combine", COMBINES, COMBINE, faults);
    let combine = combine.unwrap_or(Combine::List);
    let at_most = fields.whole(faults, "at_most", 1..=MAX_QUESTIONS);
    let values = values.unwrap_or_default();
    misfits(combine, &values, &fields, faults);
    let (tables, key) = (tables?, key?);
    if tables.len() == 1 && combine != Combine::List {
        let what = "combines one table with no other";
        fields.wrong(faults, "combine", what, "\"list\", or several tables");
    }
    let queries = queries?;
    if queries.columns.len() != key.len() {
        let what = format!(
            "has {} columns, and the key {}",
            queries.columns.len(),
            key.len()
        );
        fields.wrong(faults, "queries", what, "the same number of columns");
    }
    if tables.iter().any(|(party, ..)| *party == queries.party) {
        let what = format!("{} would ask itself", queries.party);
        fields.wrong(
            faults,
            "queries",
            what,
            "a party that holds none of the tables",
        );
    }
    fields.finish(faults);
    let tables = tables.into_iter().map(|(party, table, line)| KeyOf {
        party,
        table,
        columns: key.clone(),
        line,
    });
    Some(Lookup {
        queries,
        tables: tables.collect(),
        values,
        normalise: normalise?,
        combine,
        at_most,
    })
}

/// Values that cannot be combined.
fn misfits(combine: Combine, values: &[String], fields: &Fields<'_, '_>, faults: &mut Faults<'_>) {
    if combine == Combine::Sum && values.len() > 1 {
        let what = format!(
            "names {} columns, of which there is no one sum",
            values.len()
        );
        fields.wrong(
            faults,
            "values",
            what,
            "one column, or none to count tables",
        );
    }
    if combine == Combine::Any && !values.is_empty() {
        let what = "has no effect: whether a key is in any table is all that is asked";
        fields.wrong(
            faults,
            "values",
            what,
            "leave it out, or combine = \"list\"",
        );
    }
}

type Named = (PartyId, String, usize);

/// The tables that are asked.
fn tables<'t>(
    fields: &mut Fields<'_, 't>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> Option<Vec<Named>> {
    let value = fields.value("table");
    let value = fields.required(faults, "table", value, TABLE)?;
    let path = fields.name("table");
    let entries: Vec<_> = match value.get_ref() {
        DeValue::Array(list) => list
            .iter()
            .map(|e| (e.span(), e.get_ref().as_str()))
            .collect(),
        single => vec![(value.span(), single.as_str())],
    };
    if entries.is_empty() || entries.len() > MAX_TABLES {
        let what = format!("names {} tables", entries.len());
        faults.add(
            &value.span(),
            &path,
            what,
            format!("1 to {MAX_TABLES} tables"),
        );
        return None;
    }
    let mut found: Vec<Named> = Vec::new();
    let n_entries = entries.len();
    for (at, name) in entries {
        let parsed = name.and_then(|name| {
            let (party, table) = name.split_once('.')?;
            let party: PartyId = party.parse().ok()?;
            (!table.is_empty()).then(|| (party, table.to_owned()))
        });
        match parsed {
            None => {
                let what = match name {
                    Some(name) => format!("\"{name}\" is not the name of a table"),
                    None => format!("a {} is not allowed here", kind(value.get_ref())),
                };
                faults.add(&at, &path, what, TABLE);
            }
            Some((party, _)) if found.iter().any(|(p, ..)| *p == party) => {
                let what = format!("names a second table of {party}");
                faults.add(&at, &path, what, TABLE);
            }
            Some((party, table)) => {
                let before = text.get(..at.start).unwrap_or_default();
                let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
                found.push((party, table, line));
            }
        }
    }
    (found.len() == n_entries).then_some(found)
}

/// Names of columns: one, or a list of distinct ones.
pub(super) fn names_of(
    fields: &mut Fields<'_, '_>,
    field: &'static str,
    allowed: &str,
    at_most: usize,
    faults: &mut Faults<'_>,
) -> Option<Vec<String>> {
    let value = fields.value(field)?;
    let names: Option<Vec<String>> = match value.get_ref() {
        DeValue::String(name) => Some(vec![name.to_string()]),
        DeValue::Array(list) => {
            let names = list.iter().map(|e| e.get_ref().as_str().map(str::to_owned));
            names.collect()
        }
        _ => None,
    };
    let wrong = match &names {
        None => Some(format!("a {} is not allowed here", kind(value.get_ref()))),
        Some(names) if names.is_empty() => Some("is empty".to_owned()),
        Some(names) if names.len() > at_most => Some(format!("names {} columns", names.len())),
        Some(names) => {
            let twice = names
                .iter()
                .enumerate()
                .find(|(i, n)| names[..*i].contains(*n));
            twice.map(|(_, name)| format!("lists \"{name}\" twice"))
        }
    };
    match wrong {
        None => names,
        Some(what) => {
            fields.wrong(faults, field, what, allowed);
            None
        }
    }
}
