//! `[compute.score]`: points of one holder's rows by a model of which several holders have parts.

use protocols::psi::keys::Normalise;
use serde::Serialize;

use super::intersect::{self, KeyOf, rule_name, word};
use super::lookup::names_of;
use super::{train, vertical};
use crate::config::fields::{Faults, Fields};

/// Most features that are named.
const MAX_FEATURES: usize = 256;

const MODEL: &str =
    "the model's id, of 64 digits and letters from a to f, as it stands in every part of it";
const TABLE: &str = "\"party.table\" of the party that gets the scores";
const FEATURES: &str = "a list of \"party.table.column\": the features of the model";
const KEY: &str = "the name of the key's column in these tables, or a list of names";

const TREES: &str = "n_trees and depth, as the model was trained";
const REASONS: &str = "0 to 8";
const REFERENCE: &str = "\"best\", \"mean\" or \"neutral\"";
const REFERENCES: &[(&str, Reference)] = &[
    ("best", Reference::Best),
    ("mean", Reference::Mean),
    ("neutral", Reference::Neutral),
];

/// What a feature's points are compared with when it is asked what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The points of the feature's best bin, of those that had rows.
    Best,
    /// The mean of its points over the rows that were fitted.
    Mean,
    /// No points: a weight of evidence of 0.
    Neutral,
}

/// Which features are told as reasons for a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reasons {
    /// How many at the most.
    pub n: u64,
    /// With what points are compared.
    pub reference: Reference,
}

/// The public size of a model of boosted trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Forest {
    /// How many trees.
    pub n_trees: u64,
    /// Levels of splits.
    pub depth: u64,
}

/// A scoring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Score {
    /// The model's id.
    pub model: String,
    /// Whose rows are scored: the key's columns of that table.
    pub rows: KeyOf,
    /// The model's features, one column each.
    pub features: Vec<KeyOf>,
    /// The columns of the key, in every table.
    pub key: Vec<String>,
    /// How the spelling of keys is evened out.
    #[serde(serialize_with = "rule_name")]
    pub normalise: Normalise,
    /// Of boosted trees, how many there are; nothing of scorecards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trees: Option<Forest>,
    /// Which features are told as reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Reasons>,
}

/// Reads the table `[compute.score]`.
pub(super) fn read<'t>(
    mut fields: Fields<'_, 't>,
    text: &'t str,
    faults: &mut Faults<'t>,
) -> Option<Score> {
    let model = fields.required_string(faults, "model", MODEL);
    let is_hex = |m: &&str| m.len() == 64 && m.bytes().all(|b| b"0123456789abcdef".contains(&b));
    if model.is_some_and(|m| !is_hex(&m)) {
        fields.wrong(faults, "model", "is no id of a model", MODEL);
    }
    let key = names_of(&mut fields, "key", KEY, intersect::MAX_KEY_COLUMNS, faults);
    let key = fields.required(faults, "key", key, KEY);
    let rows = intersect::table(&mut fields, "rows", (text, TABLE), faults);
    let rows = fields.required(faults, "rows", rows, TABLE).flatten();
    let features = vertical::features(&mut fields, text, (FEATURES, MAX_FEATURES), faults);
    let normalise = intersect::normalise(&mut fields, faults);
    let trees = fields.table(faults, "trees");
    let trees = trees.map(|table| forest(table, faults));
    let reasons = reasons(&mut fields, trees.is_some(), faults);
    fields.finish(faults);
    let trees = match trees {
        Some(read) => Some(read?),
        None => None,
    };
    let key = key?;
    Some(Score {
        model: model?.to_owned(),
        rows: KeyOf {
            columns: key.clone(),
            ..rows?
        },
        features: features?,
        key,
        normalise: normalise?,
        trees,
        reasons,
    })
}

fn forest(mut table: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Forest> {
    let n_trees = table.whole(faults, "n_trees", 1..=200);
    let depth = table.whole(faults, "depth", 1..=6);
    let n_trees = table.required(faults, "n_trees", n_trees, TREES);
    let depth = table.required(faults, "depth", depth, TREES);
    let (n_trees, depth) = (n_trees?, depth?);
    let fits = train::fit_in_memory(&mut table, (n_trees, depth), faults);
    table.finish(faults);
    fits.then_some(Forest { n_trees, depth })
}

fn reasons(
    fields: &mut Fields<'_, '_>,
    has_trees: bool,
    faults: &mut Faults<'_>,
) -> Option<Reasons> {
    let n = fields.whole(faults, "reasons", 0..=8).unwrap_or(0);
    let reference = word(fields, "reference", REFERENCES, REFERENCE, faults);
    if has_trees && n > 0 {
        let what = "are what features cost in points, and trees give none";
        fields.wrong(faults, "reasons", what, "leave it out");
    }
    if n == 0 && reference.is_some() {
        let what = "says with what reasons are compared, and there are none";
        fields.wrong(faults, "reference", what, REASONS);
    }
    let reference = reference.unwrap_or(Reference::Best);
    (n > 0).then_some(Reasons { n, reference })
}
