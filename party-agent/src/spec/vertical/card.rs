//! How features of a scorecard over a join are cut into bins.

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::super::intersect::{self, word};
use super::super::train::{self, Scorecard};
use super::KeyOf;
use crate::config::fields::{Faults, Fields, kind};

const METHOD: &str = "\"equal_frequency\", \"equal_frequency_in_common\", \"equal_width\", \"chimerge\" or \"chimerge_in_common\"";
const CUTS: &str = "an ascending list of numbers: bins are above one and up to the next";
const LEVELS: &str = "a list of different texts";
/// Most levels of one feature.
const MAX_BINS: usize = 256;

/// A scorecard over a join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Card {
    /// Bins and points.
    pub points: Scorecard,
    /// Where a number is cut, unless its cuts are listed.
    pub method: Cutting,
    /// Features with values that have a bin each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<Special>,
    /// Whether the models of each holder's features alone are evaluated as well.
    pub alone: bool,
}

/// Values of a number that have a bin each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Special {
    /// The feature.
    pub feature: KeyOf,
    /// Decimal numbers, ascending.
    pub values: Vec<String>,
}

/// Where a number is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cutting {
    /// At type-7 quantiles of its holder's own rows.
    EqualFrequency,
    /// At type-7 quantiles of the rows in common that are fitted, found on shares.
    EqualFrequencyInCommon,
    /// Into ranges of one width, from the least to the greatest value of its holder's own rows.
    EqualWidth,
}

/// A feature whose bins the job lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The feature.
    pub feature: KeyOf,
    /// Its bins.
    pub bins: Bins,
}

/// Bins of one feature. Missing values have a bin of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bins {
    /// So many of a number, which its holder cuts.
    Found(u64),
    /// Of a number, between these decimal numbers.
    Cuts(Vec<String>),
    /// Of texts.
    Levels(Vec<String>),
}

impl Bins {
    /// How many there are at most, that of missing values included.
    #[must_use]
    pub fn n_bins(&self) -> usize {
        1 + match self {
            Self::Found(n) => usize::try_from(*n).unwrap_or(usize::MAX - 1),
            Self::Cuts(cuts) => cuts.len() + 1,
            Self::Levels(levels) => levels.len(),
        }
    }
}

/// Where numbers are cut, and whether neighbouring bins are merged then.
const METHODS: &[(&str, (Cutting, bool))] = &[
    ("equal_frequency", (Cutting::EqualFrequency, false)),
    (
        "equal_frequency_in_common",
        (Cutting::EqualFrequencyInCommon, false),
    ),
    ("equal_width", (Cutting::EqualWidth, false)),
    ("chimerge", (Cutting::EqualFrequency, true)),
    (
        "chimerge_in_common",
        (Cutting::EqualFrequencyInCommon, true),
    ),
];

/// Reads `[compute.train.categorical]`: features that are no numbers, with their levels.
pub(super) fn categorical<'t>(
    fields: &mut Fields<'_, 't>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> Vec<Listed> {
    let mut listed = Vec::new();
    if let Some(table) = fields.table(faults, "categorical") {
        add_listed(&mut listed, &table, (LEVELS, levels), text, faults);
    }
    listed
}

/// Reads `[compute.train.cuts]`: where trees cut numbers.
pub(super) fn cuts_of_trees<'t>(
    fields: &mut Fields<'_, 't>,
    listed: &mut Vec<Listed>,
    text: &'t str,
    faults: &mut Faults<'t>,
) {
    if let Some(table) = fields.table(faults, "cuts") {
        add_listed(listed, &table, (CUTS, cuts), text, faults);
    }
}

/// Reads `[compute.train.scorecard]`; features whose cuts it lists join the others that have bins.
pub(super) fn read<'t>(
    fields: &mut Fields<'_, 't>,
    listed: &mut Vec<Listed>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> Option<Card> {
    let empty = DeTable::new();
    let table = fields.table(faults, "scorecard");
    let mut table = table.unwrap_or_else(|| Fields::new(&empty, "compute.train.scorecard", 0..0));
    let method = match table.value("method").is_some() {
        true => word(&mut table, "method", METHODS, METHOD, faults),
        false => Some((Cutting::EqualFrequency, false)),
    };
    let is_merged = method.is_some_and(|(_, is_merged)| is_merged);
    let merge = train::merging(&mut table, is_merged, faults);
    let points = train::card(&mut table, merge, faults);
    let alone = table.boolean(faults, "alone").unwrap_or(false);
    if let Some(cuts) = table.table(faults, "cuts") {
        add_listed(listed, &cuts, (CUTS, self::cuts), text, faults);
    }
    let mut listed_special = Vec::new();
    if let Some(special) = table.table(faults, "special") {
        let read = (train::SPECIAL, self::special as Reader);
        add_listed(&mut listed_special, &special, read, text, faults);
    }
    table.finish(faults);
    Some(Card {
        special: listed_special.into_iter().filter_map(of_special).collect(),
        points: points?,
        method: method?.0,
        alone,
    })
}

type Reader = fn(&DeValue<'_>) -> Option<Bins>;

fn add_listed<'t>(
    listed: &mut Vec<Listed>,
    table: &Fields<'_, 't>,
    (allowed, read): (&str, Reader),
    text: &'t str,
    faults: &mut Faults<'t>,
) {
    for (name, value) in table.entries() {
        let path = table.name(name);
        let line = 1 + text[..value.span().start.min(text.len())]
            .matches('\n')
            .count();
        let feature = intersect::named(name, line);
        match (feature, read(value.get_ref())) {
            (None, _) => {
                let what = "is not the name of a column";
                faults.add(&value.span(), &path, what, "\"party.table.column\" = […]");
            }
            (Some(_), None) => {
                let what = match value.get_ref() {
                    DeValue::Array(_) => "is no such list".to_owned(),
                    other => format!("a {} is not allowed here", kind(other)),
                };
                faults.add(&value.span(), &path, what, allowed);
            }
            (Some(feature), Some(bins)) => listed.push(Listed { feature, bins }),
        }
    }
}

fn levels(value: &DeValue<'_>) -> Option<Bins> {
    train::levels(value)
        .filter(|levels| levels.len() <= MAX_BINS)
        .map(Bins::Levels)
}

/// Values that have a bin each, read as the cuts are.
fn special(value: &DeValue<'_>) -> Option<Bins> {
    let values = train::listed_cuts(value)?;
    (values.len() <= train::MAX_SPECIAL).then_some(Bins::Cuts(values))
}

fn of_special(listed: Listed) -> Option<Special> {
    match listed.bins {
        Bins::Cuts(values) => Some(Special {
            feature: listed.feature,
            values,
        }),
        Bins::Found(_) | Bins::Levels(_) => None,
    }
}

fn cuts(value: &DeValue<'_>) -> Option<Bins> {
    train::listed_cuts(value).map(Bins::Cuts)
}
