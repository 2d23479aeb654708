//! What stands for values that are missing.

use serde::Serialize;
use toml::de::DeValue;

use super::super::near::did_you_mean;
use super::{Feature, Model};
use crate::config::fields::{Faults, Fields};

const RULES: &str = "\"drop\" (rows in which a value is missing are left out), \"mean\" or \"median\" of the rows that are fitted, or a number; or of single features, such as { age = \"mean\", income = 0 }; COALESCE in rows fills other values in";
const OF_CARDS: &str = "\"drop\": rows in which a value is missing are left out; or \"bin\": they have a bin of their own";
const OF_OTHERS: &str =
    "\"drop\": rows in which a value is missing are left out; COALESCE in rows fills values in";
const INDICATOR: &str =
    "features with a rule under missing, of which a further column says where they are missing";

/// What stands where the value of a feature is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// A bin of its own.
    Bin,
    /// The mean of the values that are there, in the rows that are fitted.
    Mean,
    /// Their median.
    Median,
    /// A decimal number.
    Value(String),
}

impl Missing {
    /// Whether it is found in the rows of all holders.
    #[must_use]
    pub fn is_found(&self) -> bool {
        matches!(self, Self::Mean | Self::Median)
    }

    /// In words.
    #[must_use]
    pub fn in_words(&self) -> &str {
        match self {
            Self::Bin => "a bin of its own",
            Self::Mean => "the mean of the rows that are fitted",
            Self::Median => "the median of the rows that are fitted",
            Self::Value(text) => text,
        }
    }
}

/// A rule; the outer `None` where it is none, the inner one where rows are left out.
fn rule(value: &DeValue<'_>) -> Option<Option<Missing>> {
    let number = |text: &str| {
        let number: f64 = text.parse().ok().filter(|n: &f64| n.is_finite())?;
        Some(Some(Missing::Value(number.to_string())))
    };
    match value {
        DeValue::String(word) => match word.as_ref() {
            "drop" => Some(None),
            "bin" => Some(Some(Missing::Bin)),
            "mean" => Some(Some(Missing::Mean)),
            "median" => Some(Some(Missing::Median)),
            _ => None,
        },
        DeValue::Float(text) => number(text.as_str()),
        DeValue::Integer(text) => number(text.as_str()),
        _ => None,
    }
}

/// Reads `missing` and `missing_indicator`, and puts them to their features.
pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    model: Option<Model>,
    features: Option<&mut [Feature]>,
    faults: &mut Faults<'_>,
) {
    let allowed = match model {
        Some(Model::Scorecard) => OF_CARDS,
        Some(Model::Gbdt | Model::Mlp) => OF_OTHERS,
        _ => RULES,
    };
    let fits = |rule: &Option<Missing>| match (rule, model) {
        (None, _) => true,
        (Some(Missing::Bin), model) => model == Some(Model::Scorecard),
        (Some(_), model) => !matches!(model, Some(Model::Scorecard | Model::Gbdt | Model::Mlp)),
    };
    // Without features there is a fault already.
    let Some(features) = features else {
        let _ = (fields.value("missing"), fields.value("missing_indicator"));
        return;
    };
    match fields.value("missing").map(|at| (at.span(), at.get_ref())) {
        None => {}
        Some((_, DeValue::Table(_))) => {
            if let Some(table) = fields.table(faults, "missing") {
                of_features(&table, features, (allowed, &fits), faults);
            }
        }
        Some((_, value)) => match rule(value).filter(&fits) {
            // Levels have no mean, and no number stands for one.
            Some(rule) => features
                .iter_mut()
                .filter(|f| f.levels.is_empty() || rule == Some(Missing::Bin))
                .for_each(|f| f.missing = rule.clone()),
            None => {
                let word = value
                    .as_str()
                    .map_or_else(String::new, |w| format!("\"{w}\" "));
                let what = format!("{word}is not a rule of this model");
                fields.wrong(faults, "missing", what, allowed);
            }
        },
    }
    indicators(fields, features, faults);
}

/// Rules of single features.
fn of_features(
    table: &Fields<'_, '_>,
    features: &mut [Feature],
    (allowed, fits): (&str, &dyn Fn(&Option<Missing>) -> bool),
    faults: &mut Faults<'_>,
) {
    let names: Vec<String> = features.iter().map(|f| f.name.clone()).collect();
    for (name, value) in table.entries() {
        let path = table.name(name);
        let feature = features.iter_mut().find(|f| f.name == name);
        let what = match (feature, rule(value.get_ref()).filter(fits)) {
            (None, _) => {
                let hint = did_you_mean(name, names.iter().map(String::as_str));
                format!("is none of the features{hint}")
            }
            (_, None) => "is not a rule of this model".to_owned(),
            (Some(feature), Some(rule)) => {
                let takes = feature.levels.is_empty() || matches!(rule, None | Some(Missing::Bin));
                if takes {
                    feature.missing = rule;
                    continue;
                }
                "has levels, for which no number stands".to_owned()
            }
        };
        faults.add(&value.span(), &path, what, allowed);
    }
}

/// Features of which a column says where they are missing.
fn indicators(fields: &mut Fields<'_, '_>, features: &mut [Feature], faults: &mut Faults<'_>) {
    let names = fields.strings(faults, "missing_indicator");
    for name in names.unwrap_or_default() {
        let feature = features.iter_mut().find(|f| f.name == name);
        match feature {
            Some(feature) if matches!(&feature.missing, Some(rule) if *rule != Missing::Bin) => {
                feature.indicator = true;
            }
            _ => {
                let what =
                    format!("names {name}, which is no feature whose missing values are filled in");
                fields.wrong(faults, "missing_indicator", what, INDICATOR);
            }
        }
    }
}
