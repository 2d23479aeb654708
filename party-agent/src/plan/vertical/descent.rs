//! Descent in small batches over a join: what the protocol takes of it, and words.

use protocols::train::glm::{Descent, RATE_BITS};
use protocols::train::vertical::Shape;

use crate::plan::words::counted;
use crate::spec;

pub(super) const NO_DEALER: &str = "asks for descent without a dealer: each batch's products in each epoch take masks of their own, which would be made for days";
pub(super) const DEALER: &str = "\"dealer:NAME\", a party that brings no data and does not collude with any other; or solver = \"newton\"";

/// As the protocol takes it.
pub(super) fn taken(of: &spec::Descent) -> Descent {
    let rate: f64 = of.learning_rate.parse().unwrap_or(0.0);
    Descent {
        epochs: u32::try_from(of.epochs).unwrap_or(u32::MAX),
        batch: usize::try_from(of.batch).unwrap_or(usize::MAX),
        rate: (rate * f64::from(1u32 << RATE_BITS)).round() as u32,
    }
}

/// What masks of all epochs take beside the rows.
pub(super) fn memory_bytes(shape: &Shape) -> u64 {
    let Some(how) = shape.descent else {
        return 0;
    };
    let model = shape.model();
    let n_batches = model.n_rows.div_ceil(how.batch) as u64;
    let masked = model.n_rows as u64 + n_batches * model.n_columns as u64;
    masked.saturating_mul(32 * u64::from(how.epochs))
}

/// What belongs beside coefficients.
pub(super) fn notes(of: &spec::Descent) -> [String; 2] {
    [
        format!(
            "stochastic gradient descent, {} in batches of {} at a learning rate of {}, from 0: coefficients are near those of greatest likelihood, and have no standard errors",
            counted(of.epochs, "epoch"),
            of.batch,
            of.learning_rate
        ),
        "batches are places of the join, in an order that hashes of keys give, in which rows that are not fitted stand as well and add nothing".to_owned(),
    ]
}

/// What runs, in words.
pub(super) fn of_run(of: &spec::Descent) -> String {
    format!(
        "{} of stochastic gradient descent in batches of {} at a learning rate of {}, the columns masked once for all epochs,",
        counted(of.epochs, "epoch"),
        of.batch,
        of.learning_rate
    )
}
