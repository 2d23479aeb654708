//! Features that are not in a scorecard, and why.

use serde_json::{Value, json};

use crate::spec::{Scorecard, Screen};

/// A feature that is not in a scorecard.
#[derive(Clone, Debug, PartialEq)]
pub struct Screened {
    /// Its name.
    pub feature: String,
    /// Why it is not.
    pub why: LeftOut,
}

/// Why a feature is not in a scorecard.
#[derive(Clone, Debug, PartialEq)]
pub enum LeftOut {
    /// This is its information value.
    TellsLittle(f64),
    /// Its value is missing in this share of the rows.
    Missing(f64),
    /// Its weights are correlated with those of this feature, which is in the model.
    GoesWith(String),
    /// Its weights have this variance inflation factor beside those of all that were left then, or follow from them: none.
    Inflated(Option<f64>),
}

impl Screened {
    pub(super) fn told(&self, card: &Scorecard, screen: &Screen) -> Value {
        let number = |text: Option<&String>| text.and_then(|t| t.parse::<f64>().ok());
        let (rule, limit, figure) = match &self.why {
            LeftOut::TellsLittle(iv) => ("iv_min", Some(&card.iv_least), ("iv", json!(iv))),
            LeftOut::Missing(share) => (
                "missing_max",
                screen.missing_max.as_ref(),
                ("missing", json!(share)),
            ),
            LeftOut::Inflated(factor) => (
                "vif_max",
                screen.inflation.as_ref().map(|rule| &rule.vif_max),
                ("vif", json!(factor)),
            ),
            LeftOut::GoesWith(other) => (
                "correlation_max",
                screen.correlation_max.as_ref(),
                ("with", json!(other)),
            ),
        };
        let mut told = json!({ "feature": self.feature, "rule": rule, "limit": number(limit) });
        told[figure.0] = figure.1;
        told
    }
}
