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

/// Which columns are in the model. Probabilities are decimal texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stepwise {
    /// Which columns change places.
    pub direction: Direction,
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
    let enter = number(&mut table, "enter", "0.05", 1e-9..=0.9, faults);
    let stay = number(&mut table, "stay", "0.05", 1e-9..=0.9, faults);
    table.finish(faults);
    let has_levels = |f: &Feature| !f.levels.is_empty();
    let has_levels = features.is_some_and(|features| features.iter().any(has_levels));
    let fault = match model {
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
        enter: enter?,
        stay: stay?,
    }))
}
