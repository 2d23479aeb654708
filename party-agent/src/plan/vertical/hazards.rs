//! What plans of proportional hazards have of their own.

use protocols::arith::compare::Method;
use protocols::train::hazards::{Shape, Ties};

use super::VerticalPlan;
use crate::spec;

impl VerticalPlan {
    /// What the protocol takes, for these numbers of keys in the order of tables, if hazards are fitted.
    #[must_use]
    pub fn timed(&self, n_keys: &[usize], method: Method) -> Option<Shape> {
        let of = self.hazards.as_ref()?;
        Some(Shape {
            of: self.shape(n_keys, method),
            ties: match of.ties {
                spec::Ties::Breslow => Ties::Breslow,
                spec::Ties::Efron => Ties::Efron,
            },
        })
    }
}

/// What belongs beside coefficients.
pub(super) fn note(of: &spec::Hazards) -> String {
    format!(
        "ln of hazard ratios, of proportional hazards over {} with ties by {}; fit.loglik is the partial likelihood's",
        of.time,
        of.ties.as_str()
    )
}

/// What runs, for approvers.
pub(super) fn of_run(of: &VerticalPlan, hazards: &spec::Hazards) -> String {
    format!(
        "proportional hazards of {} by {} with {} features by {} steps of Newton's method on shares, ties by {}; rows are put in the order of their times on shares; times, their order, who is at risk, gradients and information are not opened",
        of.label.1,
        hazards.time,
        of.features.len(),
        of.steps,
        hazards.ties.as_str()
    )
}
