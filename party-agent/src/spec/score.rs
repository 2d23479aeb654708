//! `[compute.score]`: points of one holder's rows by a model of which several holders have parts.

use protocols::psi::keys::Normalise;
use serde::Serialize;

use super::intersect::{self, KeyOf, rule_name};
use super::lookup::names_of;
use super::vertical;
use crate::config::fields::{Faults, Fields};

/// Most features that are named.
const MAX_FEATURES: usize = 256;

const MODEL: &str =
    "the model's id, of 64 digits and letters from a to f, as it stands in every part of it";
const TABLE: &str = "\"party.table\" of the party that gets the scores";
const FEATURES: &str = "a list of \"party.table.column\": the features of the model";
const KEY: &str = "the name of the key's column in these tables, or a list of names";

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
    fields.finish(faults);
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
    })
}
