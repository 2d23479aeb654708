//! `[compute.train.screen]`: which features stay out of a scorecard.

use serde::Serialize;

use super::{Feature, Missing, number};
use crate::config::fields::{Faults, Fields};

/// What a feature may be, and still be in the model. Numbers are decimal texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Screen {
    /// The greatest share of fitted rows in which its value is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_max: Option<String>,
    /// The greatest size of the correlation of its weights with those of a feature of a greater information value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_max: Option<String>,
}

/// Reads the table, and the least information value if that stands there. The outer `None` where there is a fault.
pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    faults: &mut Faults<'_>,
) -> Option<Option<(Screen, Option<String>)>> {
    let Some(mut table) = fields.table(faults, "screen") else {
        return Some(None);
    };
    let mut of = |field: &'static str, most: f64| match table.value(field).is_some() {
        true => number(&mut table, field, "0", 0.0..=most, faults).map(Some),
        false => Some(None),
    };
    let iv_min = of("iv_min", 100.0);
    let missing_max = of("missing_max", 1.0);
    let correlation_max = of("correlation_max", 1.0);
    table.finish(faults);
    let screen = Screen {
        missing_max: missing_max?,
        correlation_max: correlation_max?,
    };
    Some(Some((screen, iv_min?)))
}

/// How often a value is missing is known where such rows are kept, in a bin.
pub(super) fn missing_faults(
    fields: &Fields<'_, '_>,
    (screen, features): (Option<&Screen>, Option<&[Feature]>),
    faults: &mut Faults<'_>,
) {
    let asks = screen.is_some_and(|s| s.missing_max.is_some());
    let mut features = features.into_iter().flatten();
    if asks && !features.all(|f| f.missing == Some(Missing::Bin)) {
        let what = "asks for features with few missing values (missing_max), and rows in which a value is missing are left out";
        fields.wrong(
            faults,
            "screen",
            what,
            "missing = \"bin\" beside model, or no missing_max",
        );
    }
}
