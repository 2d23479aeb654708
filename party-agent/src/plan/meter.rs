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
    /// Whether it is told as well how many groups would be missing without each holder.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leave_one_out: bool,
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
        leave_one_out: spec.settlement.as_ref().is_some_and(|s| s.leave_one_out),
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
            leave_one_out: meter.leave_one_out,
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
        let more = match self.leave_one_out {
            true => {
                ", and how many such groups would be missing without each holder, which tells more of whose rows the others' could replace (of two holders, how many groups each alone has)"
            }
            false => "",
        };
        format!(
            "how much each holder contributed: its Shapley value of the number of groups in which the rows of holders together are at least {}{more}",
            self.at_least
        )
    }

    /// The same in Chinese.
    #[must_use]
    pub(crate) fn in_chinese(&self) -> String {
        let more = match self.leave_one_out {
            true => {
                ",以及缺少每个持有方时会少多少个这样的分组;由此更能看出谁的数据可由他方替代(仅两个持有方时,可得知各方单独能达到多少个分组)"
            }
            false => "",
        };
        format!(
            "每个持有方的贡献:以各组合持有方的行数达到 {} 的分组数计算的 Shapley 值{more}",
            self.at_least
        )
    }
}
