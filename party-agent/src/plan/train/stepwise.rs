//! Stepwise selection as it runs.

use serde::Serialize;

use super::TrainPlan;
use crate::result::tails::normal_two_sided;
use crate::spec::{self, Criterion, Direction};

/// Evaluations of one fit, which begins at the end of the one before.
const EVALUATIONS_A_FIT: u32 = 12;

/// Which columns are in the model. Numbers are decimal texts, so that all holders compare with the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stepping {
    /// Which columns change places.
    pub direction: Direction,
    /// What decides.
    #[serde(skip_serializing_if = "Criterion::is_p")]
    pub criterion: Criterion,
    /// A column enters with a χ² of this, or more.
    pub enter: String,
    /// A column leaves with a χ² of less.
    pub stay: String,
    /// Evaluations of the model, of all fits together.
    pub evaluations: u32,
}

impl Stepping {
    /// Of a job with so many terms: each may enter and leave once, on the average.
    pub(super) fn of(job: &spec::Stepwise, n_terms: usize) -> Self {
        let n_terms = u32::try_from(n_terms).unwrap_or(u32::MAX / 64);
        let n_steps = 1 + 2 * n_terms;
        // An information criterion takes a fit of every model that a step can lead to.
        let n_fits = match job.criterion {
            Criterion::P => n_steps,
            Criterion::Aic | Criterion::Bic => n_steps.saturating_mul(1 + n_terms),
        };
        Self {
            direction: job.direction,
            criterion: job.criterion,
            enter: chi2(&job.enter),
            stay: chi2(&job.stay),
            evaluations: n_fits.saturating_mul(EVALUATIONS_A_FIT),
        }
    }

    /// The least χ² with which a column enters.
    #[must_use]
    pub fn enter(&self) -> f64 {
        self.enter.parse().unwrap_or(f64::INFINITY)
    }

    /// The least χ² with which a column stays.
    #[must_use]
    pub fn stay(&self) -> f64 {
        self.stay.parse().unwrap_or(f64::INFINITY)
    }
}

/// The χ² of one degree of freedom that is exceeded with this probability, by bisection of its root.
fn chi2(p: &str) -> String {
    let p: f64 = p.parse().unwrap_or(0.05);
    let (mut low, mut high) = (0.0, 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        match normal_two_sided(middle) > p {
            true => low = middle,
            false => high = middle,
        }
    }
    format!("{:.9}", low * low)
}

/// What runs, and what belongs beside the result.
pub(super) fn words(of: &TrainPlan, job: &spec::Stepwise) -> Option<String> {
    let rule = of.stepwise.as_ref()?;
    let measure = match rule.criterion {
        Criterion::P => None,
        Criterion::Aic => Some("Akaike's information criterion, −2·ln L + 2k"),
        Criterion::Bic => Some("Schwarz's information criterion, −2·ln L + ln(n)·k"),
    };
    if let Some(measure) = measure {
        let how = match rule.direction {
            Direction::Forward => "from the constant on one enters",
            Direction::Backward => "from all columns on one leaves",
            Direction::Both => "from the constant on one enters or leaves",
        };
        return Some(format!(
            "columns are chosen stepwise: {how}, that after which {measure}, is least; every such model is fitted, and it ends when none has less; standard errors and p-values are those of the last fit, as if it had been the only one"
        ));
    }
    let enters = format!(
        "one enters by the score test (χ² ≥ {}, p ≤ {})",
        rule.enter, job.enter
    );
    let leaves = format!(
        "one leaves by Wald's test (χ² < {}, p > {})",
        rule.stay, job.stay
    );
    let how = match rule.direction {
        Direction::Forward => format!("from the constant on {enters}"),
        Direction::Backward => format!("from all columns on {leaves}"),
        Direction::Both => format!(
            "from the constant on {leaves}, or else {enters}; it ends when none does, or the one that came last leaves"
        ),
    };
    Some(format!(
        "columns are chosen stepwise: {how}; standard errors and p-values are those of the last fit, as if it had been the only one"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_tables() {
        // Tables of χ² with one degree of freedom.
        for (p, expected) in [
            ("0.05", 3.841_458_821),
            ("0.01", 6.634_896_601),
            ("0.5", 0.454_936_423),
        ] {
            let found: f64 = chi2(p).parse().expect("a number");
            assert!((found - expected).abs() < 2e-9, "{p}: {found}");
        }
    }
}
