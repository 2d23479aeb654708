//! Counts that are rounded on shares before anything is opened.
//!
//! An exact count beside a rounded one, or a sum or an average from which it follows, would make rounding an ornament. So
//! where a holder or the job has counts rounded, a query asks for counts and for what is calculated from the rounded ones.

use protocols::aggregate::{ReleaseShape, RoundedShape};
use protocols::arith::nearest::Rounding;
use protocols::party::PartyId;
use serde::Serialize;

use super::sql::holders::Catalogues;
use super::words::listed;
use super::{Measure, MinCell, Plan, PlanFault, Procedure, ReleaseRule, Released, Said};
use crate::spec::CheckedSpec;

/// Bits of counts that can be rounded.
const MAX_BITS: u32 = 60;

/// To what counts are rounded: the greatest number that the job or a holder asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoundingPlan {
    /// Counts are rounded to the nearest multiples of this, halves up.
    pub multiple: u64,
    /// "the job" or a holder's name: all who asked for this number.
    pub set_by: Vec<String>,
}

impl RoundingPlan {
    /// `None` where nobody asks for it.
    pub(super) fn strictest(
        spec: &CheckedSpec,
        catalogues: &Catalogues,
        holders: &[PartyId],
    ) -> Option<Self> {
        let of_job = spec.round_to.map(|m| ("the job".to_owned(), m));
        let of_holders = holders
            .iter()
            .filter_map(|p| Some((p.to_string(), catalogues.get(p)?.round_to?)));
        let all: Vec<(String, u64)> = of_job.into_iter().chain(of_holders).collect();
        let multiple = all.iter().map(|(_, m)| *m).max().filter(|m| *m > 1)?;
        let set_by = all.into_iter().filter(|(_, m)| *m == multiple);
        Some(Self {
            multiple,
            set_by: set_by.map(|(who, _)| who).collect(),
        })
    }

    /// In words, for the plan and the result.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!(
            "counts are rounded on shares to the nearest multiples of {}, halves up, as {} {}; exact ones were opened to nobody, and groups whose rows are rounded to 0 are left out",
            self.multiple,
            listed(&self.set_by),
            if self.set_by.len() == 1 {
                "demands"
            } else {
                "demand"
            },
        )
    }

    /// What an approver should think about: with other minima exact counts can be found.
    fn warning(&self, min_cell: &MinCell) -> Option<Said> {
        let is_of_job = min_cell.at_least > 1 && min_cell.set_by.iter().any(|who| who == "the job");
        is_of_job.then(|| {
            let least = min_cell.at_least;
            Said::new(
                format!("the minimum of {least} is held against exact counts, and the job has chosen it: jobs with one minimum after the other would tell a count that is rounded"),
                format!("最小值 {least} 由任务选定,并与精确计数比较:以不同最小值反复提交任务,可得知被舍入的计数"),
            )
        })
    }
}

/// Adds what an approver should think about.
pub(super) fn warned(mut plan: Plan) -> Plan {
    let rounding = plan.rounding.as_ref();
    let warning = rounding.and_then(|to| to.warning(&plan.min_cell));
    plan.warnings.extend(warning);
    plan
}

/// Why a plan cannot be run where counts have to be rounded, if it cannot.
pub(super) fn fault(plan: &Plan, spec: &CheckedSpec, catalogues: &Catalogues) -> Option<PlanFault> {
    let asked = RoundingPlan::strictest(spec, catalogues, &plan.seats)?;
    // Keys that are looked up are not counted.
    if matches!(plan.procedure, Procedure::Lookup(_)) && spec.round_to.is_none() {
        return None;
    }
    let not_there = plan.rounding.is_none().then_some((
        "which is there for counts in SQL",
        "ask for COUNTs in [compute] sql, or leave round_to out",
    ));
    let found = not_there
        .or_else(|| not_a_count(plan))
        .or_else(|| not_rounded_beside(plan))
        .or_else(|| not_on_shares(plan));
    found.map(|(what, fix)| PlanFault {
        place: "privacy.round_to".to_owned(),
        what: format!(
            "{} has counts rounded to multiples of {}, {what}",
            listed(&asked.set_by),
            asked.multiple
        ),
        fix: fix.to_owned(),
    })
}

/// What is wrong, and what to do about it.
type Refused = (&'static str, &'static str);

/// A figure from which an exact count follows.
fn not_a_count(plan: &Plan) -> Option<Refused> {
    let is_count = |value: &Released| {
        matches!(
            value,
            Released::Key(_)
                | Released::Ordinal(_)
                | Released::Rows
                | Released::Count(_)
                | Released::Distinct(_)
        )
    };
    // GROUPING stands beside totals, of which more is said below.
    let is_grouping = |value: &Released| matches!(value, Released::Grouping(_));
    let mut values = plan.released.iter().map(|column| &column.value);
    let is_counts = values.all(|value| is_count(value) || is_grouping(value));
    let has_sum = |m: &Measure| m.sum.is_some() || m.sum_sq.is_some();
    let has_sums = plan.measures.iter().any(has_sum);
    let has_other = plan.shape.wide > 0 || plan.shape.compared > 0;
    (!is_counts || has_sums || has_other).then_some((
        "and sums, averages and the like beside a count tell the exact one",
        "ask for COUNTs, and for what is calculated from them",
    ))
}

/// What exact counts decide about, or what is added up of them.
fn not_rounded_beside(plan: &Plan) -> Option<Refused> {
    let shape = &plan.shape;
    let is_plain = shape.margins.is_none() && shape.hidden.is_none() && shape.top.is_none();
    let only_minimum = shape.checks.iter().all(|check| check.reason == "min_cell");
    if !is_plain || !only_minimum || plan.statistic.is_some() {
        return Some((
            "which is not there beside HAVING, ROLLUP and CUBE, groups that nobody lists, and statistics that stand alone",
            "GROUP BY groups that are public, add rounded counts up, and filter what the result has",
        ));
    }
    if plan.noise.is_some() || plan.meter.is_some() {
        return Some((
            "and here they have noise, or each holder's contribution is told",
            "leave [privacy.dp] or parts by contribution out",
        ));
    }
    match &plan.procedure {
        Procedure::Join(join) if join.matched.is_some() => Some((
            "and how many keys match is an exact one",
            "write join = \"hidden\"",
        )),
        _ => None,
    }
}

fn not_on_shares(plan: &Plan) -> Option<Refused> {
    if plan.correlations.is_none() || plan.shape.rule == ReleaseRule::OpenCounts {
        return Some((
            "which is done on shares and takes correlated random numbers",
            super::compile::SOURCES,
        ));
    }
    (plan.count_bits() > MAX_BITS).then_some((
        "and by the published sizes they could have more than 60 bits",
        "write max_rows in the job",
    ))
}

impl Plan {
    /// No count has more bits.
    fn count_bits(&self) -> u32 {
        (u64::BITS - self.cost.rows_at_most.leading_zeros()).max(1)
    }

    /// The release of rounded counts, as the protocol takes it.
    pub(super) fn rounded(&self, rounding: &RoundingPlan, release: ReleaseShape) -> RoundedShape {
        RoundedShape {
            release,
            rounding: Rounding {
                multiple: rounding.multiple,
                bound_bits: self.count_bits(),
                method: self.setting().method,
            },
        }
    }
}
