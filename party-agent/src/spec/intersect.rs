//! `[compute.intersect]`: the keys that tables of several holders have in common.

use std::collections::BTreeSet;

use protocols::party::PartyId;
use protocols::psi::keys::Normalise;
use serde::{Serialize, Serializer};
use toml::Spanned;
use toml::de::DeValue;

use super::names;
use super::near::did_you_mean;
use crate::config::fields::{Faults, Fields, kind};

/// Fewest and most holders.
pub const HOLDERS: std::ops::RangeInclusive<usize> = 2..=10;
/// Most columns of one key.
pub(super) const MAX_KEY_COLUMNS: usize = 8;

const KEYS: &str = "one key for each of 2 to 10 holders: \"party.table.column\", or a list of those for a key of several columns";
const KEY: &str = "\"party.table.column\"";
const NORMALISE: &str = "\"none\", \"trim\", \"upper_alnum\" or \"digits\"";
const REVEAL: &str = "\"count\", \"rows\" or \"sum:party.table.column\"";
const JOIN: &str = "\"inner\", \"left\", \"right\", \"full\" or \"difference\"";
const PROTOCOL: &str = "\"auto\", \"vole\", \"ecdh\" or \"oprf\"";

/// An intersection of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Intersect {
    /// One key for each holder, in the order of the job file.
    pub keys: Vec<KeyOf>,
    /// How the spelling of keys is evened out.
    #[serde(serialize_with = "rule_name")]
    pub normalise: Normalise,
    /// What receivers learn.
    pub reveal: Reveal,
    /// Which of a receiver's keys it gets, where it gets keys.
    pub join: KeyJoin,
    /// Which protocol.
    pub protocol: ProtocolChoice,
}

/// The columns that make up one holder's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyOf {
    /// The holder.
    #[serde(with = "names::one")]
    pub party: PartyId,
    /// Its table, as the job names it.
    pub table: String,
    /// The columns, as the job names them.
    pub columns: Vec<String>,
    /// Line of the job file. Only for error messages, so not part of any digest.
    #[serde(skip)]
    pub line: usize,
}

/// What receivers learn of an intersection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reveal {
    /// The number of common keys.
    Count,
    /// Which of its own keys are common.
    Rows,
    /// The number of common keys, and the sum of a column over them.
    Sum(KeyOf),
}

/// Which of a receiver's own keys it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyJoin {
    /// The common ones.
    Inner,
    /// All keys of the first holder, each with whether it is common.
    Left,
    /// All keys of the last holder, each with whether it is common.
    Right,
    /// Each receiver all of its own keys, each with whether it is common.
    Full,
    /// The keys of the first holder that are not common.
    Difference,
}

impl KeyJoin {
    /// Whether keys that are not common are among those that a receiver gets, marked as such.
    #[must_use]
    pub fn shows_all(self) -> bool {
        matches!(self, Self::Left | Self::Right | Self::Full)
    }
}

/// Which protocol a job asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolChoice {
    /// The planner chooses.
    Auto,
    /// VOLE-PSI.
    Vole,
    /// Diffie–Hellman.
    Ecdh,
    /// An oblivious function of the one table, applied to the keys of the other.
    Oprf,
}

/// The word of a normalisation rule in a job file.
#[must_use]
pub fn rule_word(rule: Normalise) -> &'static str {
    match rule {
        Normalise::Exact => "exact",
        Normalise::None => "none",
        Normalise::Trim => "trim",
        Normalise::UpperAlnum => "upper_alnum",
        Normalise::Digits => "digits",
    }
}

pub(super) fn rule_name<S: Serializer>(rule: &Normalise, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(rule_word(*rule))
}

/// Reads the table `[compute.intersect]`.
pub(super) fn read<'t>(
    mut fields: Fields<'_, 't>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> Option<Intersect> {
    let keys = keys(&mut fields, text, faults);
    let normalise = normalise(&mut fields, faults);
    let reveal = fields.required_string(faults, "reveal", REVEAL);
    let reveal = reveal.and_then(|word| read_reveal(word, keys.as_deref(), &fields, faults));
    let join = word(&mut fields, "join", JOINS, JOIN, faults);
    let protocol = word(&mut fields, "protocol", PROTOCOLS, PROTOCOL, faults);
    if join.is_some_and(|j| j != KeyJoin::Inner)
        && reveal.as_ref().is_some_and(|r| *r != Reveal::Rows)
    {
        let what = "chooses among keys, but no keys are revealed";
        fields.wrong(faults, "join", what, "leave it out, or reveal = \"rows\"");
    }
    fields.finish(faults);
    Some(Intersect {
        keys: keys?,
        normalise: normalise?,
        reveal: reveal?,
        join: join.unwrap_or(KeyJoin::Inner),
        protocol: protocol.unwrap_or(ProtocolChoice::Auto),
    })
}

const JOINS: &[(&str, KeyJoin)] = &[
    ("inner", KeyJoin::Inner),
    ("left", KeyJoin::Left),
    ("right", KeyJoin::Right),
    ("full", KeyJoin::Full),
    ("difference", KeyJoin::Difference),
];

const PROTOCOLS: &[(&str, ProtocolChoice)] = &[
    ("auto", ProtocolChoice::Auto),
    ("vole", ProtocolChoice::Vole),
    ("ecdh", ProtocolChoice::Ecdh),
    ("oprf", ProtocolChoice::Oprf),
];

/// The rule for spellings; none where nothing is written.
pub(super) fn normalise(fields: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Normalise> {
    let Some(word) = fields.string(faults, "normalise") else {
        return Some(Normalise::None);
    };
    let rule = Normalise::named(word);
    if rule.is_none() {
        let hint = did_you_mean(word, ["none", "trim", "upper_alnum", "digits"]);
        let what = format!("\"{word}\" is not a rule{hint}");
        fields.wrong(faults, "normalise", what, NORMALISE);
    }
    rule
}

fn read_reveal(
    text: &str,
    keys: Option<&[KeyOf]>,
    fields: &Fields<'_, '_>,
    faults: &mut Faults<'_>,
) -> Option<Reveal> {
    if let Some(column) = text.strip_prefix("sum:") {
        let (party, table, column) = split(column).or_else(|| {
            let what = format!("\"{column}\" is not the name of a column");
            fields.wrong(faults, "reveal", what, REVEAL);
            None
        })?;
        // A key that cannot be read has its own fault.
        let key = keys?.iter().find(|k| k.party == party && k.table == table);
        let Some(key) = key else {
            let what = format!("{party}.{table} is not a table whose keys are compared");
            fields.wrong(faults, "reveal", what, "a column of such a table");
            return None;
        };
        return Some(Reveal::Sum(KeyOf {
            columns: vec![column.to_owned()],
            ..key.clone()
        }));
    }
    match text {
        "count" => Some(Reveal::Count),
        "rows" => Some(Reveal::Rows),
        _ => {
            let hint = did_you_mean(text, ["count", "rows"]);
            let what = format!("\"{text}\" cannot be revealed{hint}");
            fields.wrong(faults, "reveal", what, REVEAL);
            None
        }
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    fields: &mut Fields<'_, '_>,
    field: &'static str,
    words: &[(&'static str, T)],
    allowed: &str,
    faults: &mut Faults<'_>,
) -> Option<T> {
    let text = fields.string(faults, field)?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let hint = did_you_mean(text, words.iter().map(|(word, _)| *word));
        let what = format!("\"{text}\" is not known here{hint}");
        fields.wrong(faults, field, what, allowed);
    }
    found.map(|(_, value)| *value)
}

fn keys<'t>(
    fields: &mut Fields<'_, 't>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> Option<Vec<KeyOf>> {
    let value = fields.value("keys");
    let value = fields.required(faults, "keys", value, KEYS)?;
    let path = fields.name("keys");
    let list = match value.get_ref() {
        DeValue::Array(list) => list,
        other => {
            let what = format!("a {} is not allowed here", kind(other));
            faults.add(&value.span(), &path, what, KEYS);
            return None;
        }
    };
    if !HOLDERS.contains(&list.len()) {
        let what = format!("names {} holders", list.len());
        faults.add(&value.span(), &path, what, KEYS);
    }
    let mut keys: Vec<KeyOf> = Vec::with_capacity(list.len());
    for (i, entry) in list.iter().enumerate() {
        let path = format!("{path}[{}]", i + 1);
        let Some(key) = key(&path, entry, text, faults) else {
            continue;
        };
        let mut refuse = |what: String, allowed: &str| {
            faults.add(&entry.span(), &path, what, allowed);
        };
        match keys.iter().find(|k| k.party == key.party) {
            Some(_) => refuse(
                format!("names a second key of {}", key.party),
                "one key for each holder",
            ),
            None if keys
                .first()
                .is_some_and(|k| k.columns.len() != key.columns.len()) =>
            {
                refuse(
                    format!(
                        "has {} columns, the first key has another number",
                        key.columns.len()
                    ),
                    "the same number of columns in every key",
                );
            }
            None => {}
        }
        keys.push(key);
    }
    (keys.len() == list.len()).then_some(keys)
}

/// One key: a column, or a list of columns of one table.
pub(super) fn key(
    path: &str,
    value: &Spanned<DeValue<'_>>,
    text: &str,
    faults: &mut Faults<'_>,
) -> Option<KeyOf> {
    let names: Option<Vec<&str>> = match value.get_ref() {
        DeValue::String(name) => Some(vec![name.as_ref()]),
        DeValue::Array(list) => list.iter().map(|e| e.get_ref().as_str()).collect(),
        _ => None,
    };
    let mut refuse = |what: String, allowed: &str| faults.add(&value.span(), path, what, allowed);
    let Some(names) = names else {
        refuse(format!("a {} is not a key", kind(value.get_ref())), KEY);
        return None;
    };
    if !(1..=MAX_KEY_COLUMNS).contains(&names.len()) {
        let allowed = format!("1 to {MAX_KEY_COLUMNS} columns");
        refuse(format!("has {} columns", names.len()), &allowed);
        return None;
    }
    let mut found: Option<KeyOf> = None;
    let mut seen = BTreeSet::new();
    for name in names {
        let Some((party, table, column)) = split(name) else {
            refuse(format!("\"{name}\" is not the name of a column"), KEY);
            return None;
        };
        if !seen.insert(column) {
            refuse(format!("lists {column} twice"), "distinct columns");
            return None;
        }
        match &mut found {
            None => {
                found = Some(KeyOf {
                    party,
                    table: table.to_owned(),
                    columns: vec![column.to_owned()],
                    line: line_of(text, value.span().start),
                });
            }
            Some(key) if key.party == party && key.table == table => {
                key.columns.push(column.to_owned());
            }
            Some(key) => {
                let what = format!("{name} is not in the table {}.{}", key.party, key.table);
                refuse(what, "columns of one table");
                return None;
            }
        }
    }
    found
}

/// The line of a place in a text, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    1 + before.bytes().filter(|b| *b == b'\n').count()
}

/// A column by its full name.
pub(super) fn named(name: &str, line: usize) -> Option<KeyOf> {
    let (party, table, column) = split(name)?;
    Some(KeyOf {
        party,
        table: table.to_owned(),
        columns: vec![column.to_owned()],
        line,
    })
}

/// A table that a field names, without columns: those of the key are named once for all tables. The inner `None` is a fault.
pub(super) fn table(
    fields: &mut Fields<'_, '_>,
    field: &'static str,
    (text, allowed): (&str, &str),
    faults: &mut Faults<'_>,
) -> Option<Option<KeyOf>> {
    let line = line_of(text, fields.value(field)?.span().start);
    let name = fields.string(faults, field)?;
    // Any column will do to take the name apart.
    let found = named(&format!("{name}.key"), line);
    if found.is_none() {
        fields.wrong(faults, field, "is not the name of a table", allowed);
    }
    Some(found.map(|found| KeyOf {
        columns: Vec::new(),
        ..found
    }))
}

fn split(name: &str) -> Option<(PartyId, &str, &str)> {
    let (party, rest) = name.split_once('.')?;
    let (table, column) = rest.split_once('.')?;
    let named = !table.is_empty() && !column.is_empty();
    named.then_some((party.parse().ok()?, table, column))
}
