//! What a job file says of stepwise selection.

use serde::Serialize;

use super::super::intersect::word;
use super::{Feature, Model, number};
use crate::config::fields::{Faults, Fields};

const DIRECTION: &str = "\"forward\", \"backward\" or \"both\"";
const DIRECTIONS: &[(&str, Direction)] = &[
    ("forward", Direction::Forward),
    ("backward", Direction::Backward),
    ("both", Direction::Both),
];

/// Which columns change places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From none on, columns enter.
    Forward,
    /// From all on, columns leave.
    Backward,
    /// From none on, columns enter, and leave again.
    Both,
}

const CRITERION: &str = "\"p\" (score and Wald tests), \"aic\" or \"bic\"";
const CRITERIA: &[(&str, Criterion)] = &[
    ("p", Criterion::P),
    ("aic", Criterion::Aic),
    ("bic", Criterion::Bic),
];
/// Most columns that are tried one by one.
const MAX_TRIED: usize = 64;

/// What decides whether a column changes places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Tests of single columns.
    #[default]
    P,
    /// Akaike's information criterion: −2·ln L + 2k.
    Aic,
    /// Schwarz's: −2·ln L + ln(n)·k.
    Bic,
}

impl Criterion {
    /// Whether this is that of tests.
    #[must_use]
    pub fn is_p(&self) -> bool {
        *self == Self::P
    }
}

/// Which columns are in the model. Probabilities are decimal texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stepwise {
    /// Which columns change places.
    pub direction: Direction,
    /// What decides.
    #[serde(skip_serializing_if = "Criterion::is_p")]
    pub criterion: Criterion,
    /// A column enters whose p is no greater, by the score test.
    pub enter: String,
    /// A column leaves whose p is greater, by Wald's test.
    pub stay: String,
}

/// Reads `[compute.train.stepwise]`; the outer `None` where there is a fault.
pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    model: Option<Model>,
    (is_plain, features): (bool, Option<&[Feature]>),
    faults: &mut Faults<'_>,
) -> Option<Option<Stepwise>> {
    let Some(mut table) = fields.table(faults, "stepwise") else {
        return Some(None);
    };
    let direction = match table.value("direction").is_some() {
        true => word(&mut table, "direction", DIRECTIONS, DIRECTION, faults),
        false => Some(Direction::Both),
    };
    let criterion = match table.value("criterion").is_some() {
        true => word(&mut table, "criterion", CRITERIA, CRITERION, faults),
        false => Some(Criterion::P),
    };
    let is_tried = criterion.is_some_and(|c| !c.is_p());
    for field in ["enter", "stay"] {
        if is_tried && table.value(field).is_some() {
            let what = "is a probability of tests, and an information criterion decides here";
            table.wrong(faults, field, what, "leave it out");
        }
    }
    let enter = number(&mut table, "enter", "0.05", 1e-9..=0.9, faults);
    let stay = number(&mut table, "stay", "0.05", 1e-9..=0.9, faults);
    table.finish(faults);
    let has_levels = |f: &Feature| !f.levels.is_empty();
    let has_levels = features.is_some_and(|features| features.iter().any(has_levels));
    let fault = match model {
        Some(Model::Gamma | Model::Gbdt | Model::Mlp) if is_tried => Some((
            "compares likelihoods of a model whose dispersion is known, or of least squares",
            "model = \"linear\", \"logistic\", \"poisson\" or \"scorecard\"",
        )),
        _ if is_tried && features.is_some_and(|f| f.len() > MAX_TRIED) => Some((
            "tries every column at every step, which is for 64 features at most",
            "criterion = \"p\", or fewer features",
        )),
        Some(Model::Linear) if is_tried && has_levels => Some((
            "tries columns one by one, and levels of a column belong together",
            "numbers, columns of 0 and 1 that rows make with CASE, or a scorecard",
        )),
        Some(Model::Linear) if is_tried && is_plain => None,
        Some(Model::Linear | Model::Gamma | Model::Gbdt | Model::Mlp) => Some((
            "tests columns of a model whose dispersion is known",
            "model = \"logistic\", \"poisson\" or \"scorecard\"",
        )),
        Some(Model::Logistic | Model::Poisson) if has_levels => Some((
            "tests columns one by one, and levels of a column belong together",
            "numbers, columns of 0 and 1 that rows make with CASE, or a scorecard",
        )),
        _ if !is_plain => Some((
            "needs a constant and no penalty",
            "intercept = true and l2 = 0",
        )),
        _ => None,
    };
    if let Some((what, allowed)) = fault {
        fields.wrong(faults, "stepwise", what, allowed);
        return None;
    }
    Some(Some(Stepwise {
        direction: direction?,
        criterion: criterion?,
        enter: enter?,
        stay: stay?,
    }))
}
