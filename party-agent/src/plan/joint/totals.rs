//! Totals beside the groups of a join: a relation has slots for them, as it has for groups. Persons of groups do not add up
//! to those of a total, so they are counted in each.

use super::{JoinFactor, JoinPlan, JoinTerm};
use crate::plan::{KeyColumn, slots_of};
use protocols::arith::compare::MAX_BOUND_BITS;

/// The cells in which a row with these groups counts: that of its groups, and those of the totals that they are part of.
pub(crate) fn counted_in(keys: &[&KeyColumn], groups: &[usize]) -> Vec<usize> {
    let mut cells = vec![0];
    for (key, group) in keys.iter().zip(groups) {
        let total = key.has_total.then(|| key.n_groups());
        let slots = std::iter::once(*group).chain(total);
        let of_slot = |slot: usize| cells.iter().map(move |cell| cell * key.n_slots() + slot);
        cells = slots.flat_map(of_slot).collect();
    }
    cells
}

impl JoinPlan {
    /// Where a term or a holder's own rows stand at one group of a relation, they stand at its totals too. `None` if what is
    /// compared becomes too large.
    pub(super) fn with_totals(mut self, keys: &[KeyColumn]) -> Option<Self> {
        self.compare_with_totals(keys)?;
        let relations: Vec<Vec<&KeyColumn>> = (self.relations.iter())
            .map(|relation| relation.keys.iter().map(|key| &keys[*key]).collect())
            .collect();
        let cells = |at: usize, group: usize| {
            let keys = &relations[at];
            counted_in(
                keys,
                &slots_of(group, keys.iter().map(|key| key.n_groups())),
            )
        };
        for terms in self.narrow.iter_mut().chain(&mut self.wide) {
            let all = std::mem::take(terms);
            *terms = all.iter().flat_map(|term| expanded(term, &cells)).collect();
        }
        for term in std::mem::take(&mut self.own) {
            let mut groups = vec![Vec::new()];
            for (at, group) in term.groups.iter().enumerate() {
                let slots = match at == term.relation {
                    true => vec![*group],
                    false => cells(at, *group),
                };
                groups = extended(&groups, &slots);
            }
            let of_groups = |groups| super::OwnTerm {
                groups,
                ..term.clone()
            };
            self.own.extend(groups.into_iter().map(of_groups));
        }
        Some(self)
    }

    /// What is compared is added up over all cells of a relation: a row's number once for its groups and once for every
    /// total beside them, which doubles it for each key. The other numbers are doubled as often.
    fn compare_with_totals(&mut self, keys: &[KeyColumn]) -> Option<()> {
        let relations = self.relations.iter();
        let doubled = relations.map(|r| r.keys.iter().filter(|k| keys[**k].has_total).count());
        let doubled: Vec<u32> = doubled.map(|n| n as u32).collect();
        for compared in &mut self.compared {
            let most = compared.parts.iter().map(|part| doubled[part.relation]);
            let most = most.max().unwrap_or(0);
            for part in &mut compared.parts {
                let missing = most - doubled[part.relation];
                part.weight = part.weight.checked_mul(1 << missing)?;
            }
            compared.constant = compared.constant.checked_mul(1 << most)?;
            compared.bound_bits += most;
            if compared.bound_bits > MAX_BOUND_BITS {
                return None;
            }
        }
        Some(())
    }
}

/// A term for each cell at which one with these groups stands.
fn expanded(term: &JoinTerm, cells: &impl Fn(usize, usize) -> Vec<usize>) -> Vec<JoinTerm> {
    let mut all = vec![Vec::new()];
    for (at, factor) in term.factors.iter().enumerate() {
        let factors: Vec<JoinFactor> = match *factor {
            JoinFactor::Matched(group) => {
                let cells = cells(at, group).into_iter();
                cells.map(JoinFactor::Matched).collect()
            }
            JoinFactor::One(group) => cells(at, group).into_iter().map(JoinFactor::One).collect(),
            column => vec![column],
        };
        all = extended(&all, &factors);
    }
    let of_factors = |factors| JoinTerm {
        factors,
        ..term.clone()
    };
    all.into_iter().map(of_factors).collect()
}

/// Every list with every one of the items after it.
fn extended<T: Copy>(lists: &[Vec<T>], items: &[T]) -> Vec<Vec<T>> {
    let with = |list: &Vec<T>, item: &T| list.iter().chain([item]).copied().collect();
    let of_list = |list| items.iter().map(move |item| with(list, item));
    lists.iter().flat_map(of_list).collect()
}
