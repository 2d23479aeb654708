//! `privacy.join = "size"`: receivers learn how many keys all tables of a join have, and nobody which.
//!
//! That is one more total, added up in the bins: a key counts 1 where every relation has it, as its holders' own conditions leave
//! it. It is the same number in every group, so it is opened with the groups that are released, and with none of them where
//! none is.

use protocols::aggregate::LocalTotals;

use super::{Job, JoinFactor, JoinPlan, JoinTerm};
use crate::plan::PlanFault;
use crate::spec::JoinLevel;

impl Job<'_> {
    /// Whether the job says that it is told how many keys match.
    pub(super) fn tells_size(&self) -> bool {
        self.spec.join == Some(JoinLevel::Size)
    }

    /// What does not go with that.
    pub(super) fn size_is_told(&self) -> Result<(), PlanFault> {
        if !self.tells_size() {
            return Ok(());
        }
        let mut all = self.relations.all.iter();
        let what = if all.any(|r| r.optional || r.member.is_some()) {
            "how many keys match is told of JOIN alone: with an outer join, IN or EXISTS a released group says nothing about how many those are"
        } else if self.spec.dp.is_some() {
            "how many keys match would be told without noise"
        } else {
            return Ok(());
        };
        Err(PlanFault {
            place: "privacy.join".to_owned(),
            what: what.to_owned(),
            fix: "write join = \"hidden\"; COUNT(DISTINCT key) counts the keys of a group"
                .to_owned(),
        })
    }
}

impl JoinPlan {
    /// Adds the terms of the total: at one combination of groups.
    pub(super) fn with_matched(mut self) -> Self {
        if let Some(column) = self.matched {
            self.narrow[column].push(JoinTerm {
                coefficient: 1,
                factors: vec![JoinFactor::Matched(0); self.relations.len()],
                below: Vec::new(),
            });
        }
        self
    }

    /// Writes how many keys match to every group; totals may be shares.
    pub fn spread_matched(&self, totals: &mut LocalTotals) {
        if let Some(column) = self.matched.and_then(|at| totals.narrow.get_mut(at)) {
            let all = column
                .iter()
                .fold(0u64, |sum, share| sum.wrapping_add(*share));
            column.fill(all);
        }
    }
}
