//! What a job file says of stochastic gradient descent over a join.

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::train::{self, Report};
use super::VerticalModel;
use crate::config::fields::{Faults, Fields};

/// How batches are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Descent {
    /// How often each row is met.
    pub epochs: u64,
    /// Rows of a batch, those that do not count among them.
    pub batch: u64,
    /// A step is so much of the mean gradient, a decimal number.
    pub learning_rate: String,
}

const SOLVER: &str = "\"newton\" or, of logistic models, \"sgd\"";

/// Reads which solver a model has, and the fields of descent; the outer `None` where there is a fault.
pub(super) fn read(
    fields: &mut Fields<'_, '_>,
    model: Option<VerticalModel>,
    faults: &mut Faults<'_>,
) -> Option<Option<Descent>> {
    let solver = fields.string(faults, "solver").unwrap_or("newton");
    let is_logistic = model.is_none_or(|m| m == VerticalModel::Logistic);
    match solver {
        "newton" => return Some(None),
        "sgd" if is_logistic => {}
        _ => {
            let what = format!("\"{solver}\" does not solve this model");
            fields.wrong(faults, "solver", what, SOLVER);
            return None;
        }
    }
    let epochs = fields.whole(faults, "epochs", 1..=1000);
    let batch = fields.whole(faults, "batch", 16..=65_536);
    let learning_rate = train::number(fields, "learning_rate", "0.5", 1e-4..=8.0, faults);
    Some(Some(Descent {
        epochs: epochs.unwrap_or(10),
        batch: batch.unwrap_or(1024),
        learning_rate: learning_rate?,
    }))
}

/// Descent finds no standard errors.
pub(super) fn report(
    fields: &Fields<'_, '_>,
    report: BTreeSet<Report>,
    faults: &mut Faults<'_>,
) -> BTreeSet<Report> {
    let of = "of coefficients by descent";
    train::without_errors(fields, report, (of, "or solver = \"newton\""), faults)
}
