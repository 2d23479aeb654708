//! What each holder contributes to the groups that are released: found where a job's settlement depends on it.

use protocols::aggregate::{MAX_COMPARED, MeteredShape, ReleaseShape};
use protocols::party::{PartyId, Seat};
use serde::Serialize;

use super::{MinCell, Plan, PlanFault, Procedure, Shape};
use crate::spec::CheckedSpec;

/// Most holders whose contributions are found.
const MAX_HOLDERS: usize = engine::shapley::MAX_PLAYERS;

/// How contributions are measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeterPlan {
    /// A group is worth something to holders whose rows in it, counted together, are at least so many.
    pub at_least: u64,
    /// Counts over all holders are below 2 to this power.
    pub bound_bits: u32,
}

pub(super) fn fault(what: &str, fix: &str) -> PlanFault {
    PlanFault {
        place: "settlement.split".to_owned(),
        what: what.to_owned(),
        fix: fix.to_owned(),
    }
}

/// Where contributions are not found.
pub(super) fn not_there_yet() -> PlanFault {
    fault(
        "contributions (basis = \"shapley\") are found for public groups over a UNION ALL of the holders' rows, without noise, ROLLUP or LIMIT on shares, and for linear models over a join by Newton's method without a penalty",
        "write fixed parts",
    )
}

/// The meter of a job, if it has one.
pub(super) fn plan(
    spec: &CheckedSpec,
    shape: &Shape,
    min_cell: &MinCell,
    (holders, rows): (&[PartyId], u64),
) -> Result<Option<MeterPlan>, PlanFault> {
    if !spec.settlement.as_ref().is_some_and(|s| s.is_metered()) {
        return Ok(None);
    }
    let is_plain = shape.top.is_none() && shape.margins.is_none() && shape.hidden.is_none();
    if spec.dp.is_some() || !is_plain {
        return Err(not_there_yet());
    }
    let n_compared = shape
        .cells
        .saturating_mul((1 << holders.len().min(MAX_HOLDERS)) - 1);
    if holders.len() > MAX_HOLDERS || n_compared > MAX_COMPARED {
        let what = "contributions are found for 8 holders at most, and 2^20 counts of coalitions";
        return Err(fault(what, "write fixed parts, or form fewer groups"));
    }
    let at_least = min_cell.at_least.max(1);
    Ok(Some(MeterPlan {
        at_least,
        bound_bits: 64 - rows.max(at_least).leading_zeros(),
    }))
}

impl Plan {
    /// Whether holders' contributions are found.
    pub(super) fn is_metered(&self) -> bool {
        let of_model = match &self.procedure {
            Procedure::Vertical(of) => of.is_metered,
            _ => false,
        };
        self.meter.is_some() || of_model
    }

    /// What is released and metered, as the protocol takes it.
    pub(super) fn metered(&self, meter: &MeterPlan, release: ReleaseShape) -> MeteredShape {
        MeteredShape {
            release,
            holders: self.holder_seats(),
            // Column 0 is COUNT(*).
            column: 0,
            at_least: meter.at_least,
            bound_bits: meter.bound_bits,
        }
    }

    /// The seats of those who hold data, in order.
    pub(crate) fn holder_seats(&self) -> Vec<Seat> {
        let seats = self.seats.iter().enumerate();
        let holders = seats.filter(|(_, party)| self.locals.contains_key(*party));
        holders.map(|(i, _)| Seat::from_index(i)).collect()
    }
}

impl MeterPlan {
    /// What all computing parties learn of it.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!(
            "how much each holder contributed: its Shapley value of the number of groups in which the rows of holders together are at least {}",
            self.at_least
        )
    }
}
