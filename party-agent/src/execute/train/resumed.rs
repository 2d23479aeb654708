//! A fit that goes on where an earlier run of the same plan broke off.
//!
//! What is kept of a fit are the coefficients of its last step, which all parties have seen. A holder's rows are the same if
//! they add up to the same there: what its own rows added up to stands in its own checkpoint, and a holder that finds
//! something else offers none, so that all begin anew.

use std::sync::Arc;

use engine::glm::newton::Standing;
use engine::glm::{Rows, Sums};
use serde::{Deserialize, Serialize};

use super::{Fitting, Stopped};
use crate::execute::checkpoint::{bits, doubles};

/// Sums over the same rows in another order differ by less than this part of a row's.
const ROUNDING: f64 = 1e-9;

/// What all parties know of a fit that has taken a step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    before: Vec<u64>,
    step: Vec<u64>,
    iterations: u32,
    n_stuck: u32,
    losses: Vec<u64>,
    /// Of opened sums the objective where the last step began, and the deviance at the start.
    opened: Option<[u64; 2]>,
}

/// Where a fit goes on.
pub(super) struct From {
    pub(super) standing: Standing,
    pub(super) losses: Vec<f64>,
    /// Of opened sums the objective where the last step began, and the deviance at the start.
    pub(super) opened: Option<[f64; 2]>,
    /// What this holder's rows add up to where the last step began.
    pub(super) sums: Sums,
}

/// What a holder's rows add up to, as its checkpoint keeps it.
fn own(sums: &Sums) -> Vec<f64> {
    let mut own = vec![sums.deviance];
    own.extend(&sums.gradient);
    own
}

/// Whether these are sums over the same rows.
fn are_the_same(kept: &[f64], now: &[f64], n_rows: usize) -> bool {
    let most = ROUNDING * n_rows.max(1) as f64;
    let mut pairs = kept.iter().zip(now);
    kept.len() == now.len() && pairs.all(|(a, b)| (a - b).abs() <= most)
}

impl Fitting<'_> {
    /// Keeps where the fit stands, if it is time to.
    pub(super) async fn keep(
        &mut self,
        standing: Option<Standing>,
        sums: &Sums,
        (losses, opened): (&[f64], Option<[f64; 2]>),
    ) {
        let every = self.whole.checkpoint_every;
        let due = standing.filter(|s| every > 0 && s.iterations.is_multiple_of(every));
        let Some(standing) = due else {
            return;
        };
        let known = Known {
            before: bits(&standing.before),
            step: bits(&standing.step),
            iterations: standing.iterations,
            n_stuck: standing.n_stuck,
            losses: bits(losses),
            opened: opened.map(|values| values.map(f64::to_bits)),
        };
        let own = bits(&own(sums));
        self.task.keep(standing.iterations, known, own).await;
    }

    /// Where to go on, if this job goes on with an earlier one and all parties can.
    pub(super) async fn resumed(&mut self, rows: &Arc<Rows>) -> Result<Option<From>, Stopped> {
        let mut candidates = Vec::new();
        for kept in self.task.checkpoints::<Known>().await {
            let before = doubles(&kept.known.before);
            if before.len() != self.of.n_columns() {
                continue;
            }
            let (rows, family) = (Arc::clone(rows), self.of.model.family());
            let n_rows = rows.len();
            let kernel = move || rows.evaluate(family, &before);
            let sums = self.session.compute().run(kernel).await;
            let same = |sums: &Sums| are_the_same(&doubles(&kept.own), &own(sums), n_rows);
            if let Some(sums) = sums.filter(same) {
                candidates.push((kept, sums));
            }
        }
        let (kept, mut sums): (Vec<_>, Vec<_>) = candidates.into_iter().unzip();
        let steps: Vec<u32> = kept.iter().map(|kept| kept.step).collect();
        let found = self.task.went_on(self.session, kept).await;
        let Some(kept) = found.map_err(Stopped::Broken)? else {
            return Ok(None);
        };
        let place = steps.iter().position(|step| *step == kept.step);
        let Known {
            before,
            step,
            iterations,
            n_stuck,
            losses,
            opened,
        } = kept.known;
        Ok(place.map(|place| From {
            standing: Standing {
                before: doubles(&before),
                step: doubles(&step),
                iterations,
                n_stuck,
            },
            losses: doubles(&losses),
            opened: opened.map(|values| values.map(f64::from_bits)),
            sums: sums.swap_remove(place),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_more_or_another_value_is_noticed() {
        let kept = [812.25, 3.5, -0.125];
        assert!(are_the_same(&kept, &[812.25 + 1e-10, 3.5, -0.125], 1000));
        assert!(!are_the_same(&kept, &[812.25, 3.5 + 1e-3, -0.125], 1000));
        assert!(!are_the_same(&kept, &[812.25, 3.5], 1000));
        assert!(!are_the_same(&kept, &[f64::NAN, 3.5, -0.125], 1000));
    }
}
