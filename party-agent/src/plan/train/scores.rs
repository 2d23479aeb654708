//! Rows that are not fitted, and tell how well a model does.

use protocols::arith::compare::Method;
use protocols::party::PartyId;
use protocols::train::evaluate;
use serde::Serialize;

use super::super::compile;
use super::super::part::Part;
use super::super::{MinCell, PlanFault};
use crate::spec::{self, Report};

/// Rows that are not fitted and evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Test {
    /// The sample's value in them.
    pub value: String,
    /// Published bounds on the holders' rows, in the order of seats.
    pub at_most: Vec<u64>,
    /// Fewest bad and fewest good ones of which anything is told.
    pub at_least: u64,
    /// What is told.
    pub scores: Vec<Report>,
}

impl Test {
    /// What the protocol takes.
    #[must_use]
    pub fn shape(&self, method: Method) -> evaluate::Shape {
        let n_rows = self.at_most.iter().sum::<u64>().max(1);
        evaluate::Shape {
            n_rows: usize::try_from(n_rows).unwrap_or(usize::MAX),
            score_bits: SCORE_BITS,
            at_least: self.at_least,
            method,
        }
    }
}

/// Fractional bits of scores that are evaluated.
pub const SCORE_BITS: u32 = 24;

/// The rows that are evaluated.
pub(super) fn test(
    job: &spec::Train,
    (seats, parts): (&[PartyId], &[Part]),
    min_cell: &MinCell,
) -> Result<Option<Test>, Vec<PlanFault>> {
    let scores: Vec<Report> = job
        .report
        .iter()
        .copied()
        .filter(|r| r.is_of_scores())
        .collect();
    let value = job.sample.as_ref().and_then(|s| s.test.clone());
    let Some(value) = value.filter(|_| !scores.is_empty()) else {
        return Ok(None);
    };
    let of = |seat: &PartyId| {
        let part = parts.iter().find(|p| p.holder == *seat);
        part.map_or(0, |p| p.rows_at_most)
    };
    let at_most: Vec<u64> = seats.iter().map(of).collect();
    let n_rows: u64 = at_most.iter().sum();
    if n_rows > evaluate::MAX_ROWS as u64 {
        return Err(compile::one(PlanFault {
            place: "compute.train.report".to_owned(),
            what: format!(
                "the tables have up to {n_rows} rows by their published sizes, and at most 1048576 are sorted by score"
            ),
            fix: "leave auc and ks out of report".to_owned(),
        }));
    }
    Ok(Some(Test {
        value,
        at_most,
        at_least: min_cell.at_least.max(1),
        scores,
    }))
}
