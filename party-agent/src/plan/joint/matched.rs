//! `privacy.join = "size"`: receivers learn how many keys all tables of a join have, and nobody which. `"keys"`: receivers that
//! hold a table of the join learn besides which of their own keys those are.
//!
//! How many is one more total, added up in the bins: a key counts 1 where every relation has it, as its holders' own conditions
//! leave it. It is the same number in every group, so it is opened with the groups that are released, and with none of them
//! where none is. Which is found in a join of keys alone, with the holder that learns it as the hub
//! ([`protocols::join::members`]): the hub of the query's own join is chosen by cost, and its bins would tell another holder
//! nothing of its keys.

use std::collections::{BTreeMap, BTreeSet};

use protocols::aggregate::LocalTotals;
use protocols::disclose::Terms;
use protocols::join::Holder;
use protocols::join::members::{self, MemberShape};
use protocols::party::{PartyId, Seat};
use protocols::price::{Price, Seats};
use serde::Serialize;

use super::{Job, JoinFactor, JoinPlan, JoinSizes, JoinTerm};
use crate::plan::{ColumnUse, LocalPlan, MinCell, PlanFault, Usage};
use crate::spec::JoinLevel;

/// Who learns which of its own keys match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownKeys {
    /// The seats of the receivers that hold a table of the join.
    pub seats: Vec<usize>,
    /// How many have to match for any to be shown, of each of them.
    pub at_least: u64,
}

impl Job<'_> {
    /// Whether the job says that it is told how many keys match.
    pub(super) fn tells_size(&self) -> bool {
        matches!(self.spec.join, Some(JoinLevel::Size | JoinLevel::Keys))
    }

    /// Whether it says that it is told which.
    pub(super) fn tells_keys(&self) -> bool {
        self.spec.join == Some(JoinLevel::Keys)
    }

    /// What does not go with that.
    pub(super) fn size_is_told(&self) -> Result<(), PlanFault> {
        if !self.tells_size() {
            return Ok(());
        }
        let told = match self.tells_keys() {
            true => "which keys match",
            false => "how many keys match",
        };
        let mut all = self.relations.all.iter();
        let what = if all.any(|r| r.optional || r.member.is_some()) {
            format!(
                "{told} is told of JOIN alone: with an outer join, IN or EXISTS a released group says nothing about how many those are"
            )
        } else if self.spec.dp.is_some() {
            format!("{told} would be told without noise")
        } else if self.tells_keys() && self.learners().next().is_none() {
            let what = "join = \"keys\" tells receivers which of their own keys match, and no receiver holds a table of the join";
            return Err(PlanFault {
                place: "privacy.join".to_owned(),
                what: what.to_owned(),
                fix: "name one that does under receivers, or write join = \"size\"".to_owned(),
            });
        } else {
            return Ok(());
        };
        Err(PlanFault {
            place: "privacy.join".to_owned(),
            what,
            fix: "write join = \"hidden\"; COUNT(DISTINCT key) counts the keys of a group"
                .to_owned(),
        })
    }

    /// The receivers that hold a table of the join, by their seats.
    fn learners(&self) -> impl Iterator<Item = usize> {
        let holders: BTreeSet<&String> = (self.relations.all.iter())
            .flat_map(|r| &r.holders)
            .collect();
        let seats = self.parties.seats.iter().enumerate();
        let learns = move |party: &PartyId| {
            let name = party.as_str().to_owned();
            holders.contains(&name) && self.spec.receivers.contains(party)
        };
        seats.filter_map(move |(seat, party)| learns(party).then_some(seat))
    }

    /// Who learns which of its own keys match, if the job says so.
    pub(super) fn shown_keys(&self, min_cell: &MinCell) -> Option<Box<ShownKeys>> {
        let shown = || ShownKeys {
            seats: self.learners().collect(),
            at_least: min_cell.at_least,
        };
        self.tells_keys().then(|| Box::new(shown()))
    }

    /// Where keys are told, what chooses a holder's rows is told of each: its columns are used for that as well.
    pub(super) fn told_of_keys(
        &self,
        mut locals: BTreeMap<PartyId, LocalPlan>,
    ) -> BTreeMap<PartyId, LocalPlan> {
        let chooses =
            |usage: Usage| matches!(usage, Usage::JoinKey | Usage::Filter | Usage::Compute);
        let locals_of_keys = locals.values_mut().filter(|_| self.tells_keys());
        for local in locals_of_keys {
            let chosen = local.uses.iter().filter(|used| chooses(used.usage));
            let chosen = chosen.map(|used| ColumnUse {
                usage: Usage::JoinKeys,
                ..used.clone()
            });
            let chosen: Vec<ColumnUse> = chosen.collect();
            local.uses.extend(chosen);
            local.uses.sort();
            local.uses.dedup();
        }
        locals
    }

    /// The use that a key of the join is put to.
    pub(super) fn use_of_keys(&self) -> Usage {
        match self.spec.join {
            Some(JoinLevel::Size) => Usage::JoinSize,
            _ => Usage::JoinKey,
        }
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

    /// The joins that tell holders which of their keys match, one for each, as the protocol takes them.
    #[must_use]
    pub fn members(&self, sizes: &JoinSizes) -> Vec<MemberShape> {
        let Some(shown) = &self.shown else {
            return Vec::new();
        };
        let of_seat = |seat: &usize| {
            let relations = self.relations.iter().zip(&sizes.keys);
            let mut others: Vec<Vec<Holder>> = Vec::new();
            let mut hub = None;
            for (relation, keys) in relations {
                let holders = relation.holders.iter().zip(keys);
                let holders = holders.map(|((seat, _), n_rows)| Holder {
                    seat: Seat::from_index(*seat),
                    // Nobody has less than a key, so that there are bins.
                    n_rows: (*n_rows).max(1),
                });
                let holders: Vec<Holder> = holders.collect();
                match holders.iter().find(|h| h.seat.index() == *seat) {
                    Some(own) => hub = Some(*own),
                    None => others.push(holders),
                }
            }
            // The same whichever relation is the hub's of the query.
            others.sort_by_key(|holders| holders.iter().map(|h| h.seat).min());
            Some(MemberShape {
                hub: hub?,
                others,
                at_least: shown.at_least,
            })
        };
        shown.seats.iter().filter_map(of_seat).collect()
    }

    /// What holders approve besides the release: one of each.
    #[must_use]
    pub fn terms_of_keys(&self) -> Vec<Terms> {
        let none = self.relations.iter().map(|r| vec![0; r.holders.len()]);
        let sizes = JoinSizes {
            keys: none.clone().collect(),
            groups_a_key: none.collect(),
        };
        let shapes = self.members(&sizes);
        shapes.iter().map(MemberShape::terms).collect()
    }

    /// What telling keys takes and sends.
    pub(super) fn price_of_keys(&self, seats: Seats, sizes: &JoinSizes) -> Price {
        let shapes = self.members(sizes);
        let prices = shapes.iter().map(|shape| members::price(seats, shape));
        prices.fold(Price::nothing(seats), |sum, one| sum.then(&one))
    }
}
