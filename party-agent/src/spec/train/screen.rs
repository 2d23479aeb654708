//! `[compute.train.screen]`: which features stay out of a scorecard.

use std::ops::RangeInclusive;

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
    /// How far the weights of features that are left may go together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inflation: Option<Inflation>,
}

/// How far each feature's weights may follow from those of all others together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inflation {
    /// The greatest variance inflation factor 1/(1 − R²).
    pub vif_max: String,
    /// Whether R² is that of a regression with a constant, about the mean; or else of one without, about 0.
    pub intercept: bool,
}

/// Reads the table, and the least information value if that stands there. The outer `None` where there is a fault.
pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    faults: &mut Faults<'_>,
) -> Option<Option<(Screen, Option<String>)>> {
    let Some(mut table) = fields.table(faults, "screen") else {
        return Some(None);
    };
    let mut of =
        |field: &'static str, range: RangeInclusive<f64>| match table.value(field).is_some() {
            true => number(&mut table, field, "0", range, faults).map(Some),
            false => Some(None),
        };
    let iv_min = of("iv_min", 0.0..=100.0);
    let missing_max = of("missing_max", 0.0..=1.0);
    let correlation_max = of("correlation_max", 0.0..=1.0);
    let vif_max = of("vif_max", 1.0..=1e5);
    let inflation = inflation(&mut table, vif_max, faults);
    table.finish(faults);
    let screen = Screen {
        missing_max: missing_max?,
        correlation_max: correlation_max?,
        inflation: inflation?,
    };
    Some(Some((screen, iv_min?)))
}

fn inflation(
    table: &mut Fields<'_, '_>,
    vif_max: Option<Option<String>>,
    faults: &mut Faults<'_>,
) -> Option<Option<Inflation>> {
    let intercept = table.boolean(faults, "vif_intercept");
    if intercept.is_some() && matches!(vif_max, Some(None)) {
        let what = "says how inflation factors are found, which nothing asks for";
        table.wrong(
            faults,
            "vif_intercept",
            what,
            "vif_max = 10 beside it, or leave it out",
        );
    }
    let inflation = |vif_max| Inflation {
        vif_max,
        intercept: intercept.unwrap_or(true),
    };
    Some(vif_max?.map(inflation))
}

/// Inflation factors are found as steps are: on shares.
pub(super) fn inflation_faults(
    fields: &Fields<'_, '_>,
    screen: Option<&Screen>,
    opens_steps: bool,
    faults: &mut Faults<'_>,
) {
    if opens_steps && screen.is_some_and(|s| s.inflation.is_some()) {
        let what = "asks for inflation factors (vif_max), which are found on shares, of a model whose steps are opened";
        fields.wrong(
            faults,
            "screen",
            what,
            "no open_steps and no [compute.train.stepwise], or no vif_max",
        );
    }
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
