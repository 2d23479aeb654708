//! A plan's join as the protocol takes it, star by star, and what comes out in the order of groups of the result.

use std::cmp::Ordering;

use protocols::aggregate::LocalTotals;
use protocols::arith::compare::Method;
use protocols::join;
use protocols::party::Seat;
use protocols::price::{Price, Seats};

use super::{JoinCompared, JoinFactor, JoinPlan, JoinSizes, JoinTerm, OwnTerm, RelationPlan, Told};
use crate::plan::{KeyColumn, MeasureKind, RingWidth, Shape, Slot};

/// Most groups of the hub's table that a dealer's matrix is dealt for, without a word on any key's groups.
const MATRIX_GROUPS: usize = 64;

impl JoinPlan {
    /// What holders tell each other. A dealer deals for published sizes; what it deals for every key and every group would
    /// be too much where these are many, and products by transfers take none of it.
    #[must_use]
    pub fn told(&self, keys: &[KeyColumn], is_dealt: bool) -> Told {
        let groups = self.groups(keys);
        Told {
            keys: !is_dealt,
            groups: match is_dealt {
                true => is_by_transfers(&groups),
                false => groups.iter().any(|n| *n > 1),
            },
        }
    }

    /// The hub's holders: one star each.
    #[must_use]
    pub fn n_stars(&self) -> usize {
        self.relations.first().map_or(0, |r| r.holders.len())
    }

    /// What is known of the sizes before anybody has read a row.
    #[must_use]
    pub fn bounds(&self, keys: &[KeyColumn]) -> JoinSizes {
        let bound = |(_, keys): &(usize, u64)| usize::try_from(*keys).unwrap_or(usize::MAX);
        let of = |r: &RelationPlan| r.holders.iter().map(bound).collect();
        let groups = self.relations.iter().zip(self.groups(keys));
        JoinSizes {
            keys: self.relations.iter().map(of).collect(),
            groups_a_key: groups.map(|(r, n)| vec![n; r.holders.len()]).collect(),
        }
    }

    /// The sizes for which costs are foretold: published ones, and a key in one group. In how many one stands nobody knows
    /// before tables are read.
    #[must_use]
    pub fn foretold(&self, keys: &[KeyColumn]) -> JoinSizes {
        let mut sizes = self.bounds(keys);
        let groups = sizes.groups_a_key.iter_mut().flatten();
        groups.for_each(|groups| *groups = 1);
        sizes
    }

    /// How many of the relations, from the first on, can be the hub's: all of them where only rows with a match count
    /// and each has one holder.
    #[must_use]
    pub fn n_hubs(&self) -> usize {
        if self.is_row_by_row() {
            return 1;
        }
        let single = self.relations.iter().all(|r| r.holders.len() == 1);
        // How many keys match is the same from any hub.
        let narrow = self.narrow.iter().enumerate();
        let narrow = narrow.filter(|(at, _)| self.matched != Some(*at));
        let mut factors = narrow.map(|(_, terms)| terms).chain(&self.wide).flatten();
        let outer = |f: &JoinFactor| matches!(f, JoinFactor::Matched(_) | JoinFactor::One(_));
        let inner = self.own.is_empty() && !factors.any(|t| t.factors.iter().any(outer));
        match single && inner {
            true => self.relations.len(),
            false => 1,
        }
    }

    /// The same join with another relation as the hub's.
    #[must_use]
    pub fn with_hub(&self, hub: usize, keys: &[KeyColumn]) -> Self {
        let mut plan = self.clone();
        plan.relations[..=hub].rotate_right(1);
        for term in plan.narrow.iter_mut().chain(&mut plan.wide).flatten() {
            term.factors[..=hub].rotate_right(1);
        }
        plan.cells = plan.cells_of(keys);
        plan
    }

    /// Sums that are compared with 0.
    pub(super) fn n_compared(&self) -> usize {
        self.compared.len()
    }

    /// One star, as the protocol takes it, for these sizes; with a dealer nothing is told of the hub's values, unless its
    /// groups are many.
    #[must_use]
    pub fn star(
        &self,
        hub: usize,
        sizes: &JoinSizes,
        groups: &[usize],
        is_dealt: bool,
    ) -> join::Shape {
        let relations = self.relations.iter().zip(&sizes.keys).enumerate();
        let relations = relations.map(|(at, (relation, sizes))| {
            let holders = relation.holders.iter().zip(sizes).enumerate();
            let holders =
                holders
                    .filter(|(i, _)| at != 0 || *i == hub)
                    .map(|(_, ((seat, _), n_rows))| join::Holder {
                        seat: Seat::from_index(*seat),
                        n_rows: *n_rows,
                    });
            join::Relation {
                holders: holders.collect(),
                cells: groups[at],
                of_hub: false,
                flags: relation.flags.len(),
                narrow: relation.narrow.len(),
                wide: relation.wide.len(),
            }
        });
        let earlier = self.earlier(hub, sizes, groups);
        let terms = |all: &[Vec<JoinTerm>]| {
            let term = |t: &JoinTerm| t.protocol(earlier.is_some());
            let all = all.iter().map(|t| t.iter().map(term).collect());
            all.collect()
        };
        join::Shape {
            relations: relations.chain(earlier.clone()).collect(),
            narrow: terms(&self.narrow),
            wide: terms(&self.wide),
            bounds: self
                .relations
                .first()
                .filter(|_| !is_dealt || is_by_transfers(groups))
                .map(|r| r.hub_bounds(hub, sizes.groups_a_key[0][hub])),
            compared: self.compared.iter().map(|c| c.protocol(is_dealt)).collect(),
        }
    }

    /// Whether different keys are counted, which the hub's holders can share.
    fn counts_keys(&self) -> bool {
        let mut terms = self.narrow.iter().flatten();
        terms.any(|t| matches!(t.factors.first(), Some(JoinFactor::Flag(_))))
    }

    /// In the star of one of the hub's holders, those before it: a key that one of them has is not counted again.
    fn earlier(&self, hub: usize, sizes: &JoinSizes, groups: &[usize]) -> Option<join::Relation> {
        let relation = self.relations.first()?;
        let holders = relation.holders.iter().zip(&sizes.keys[0]).take(hub);
        let holders = holders.map(|((seat, _), n_rows)| join::Holder {
            seat: Seat::from_index(*seat),
            n_rows: *n_rows,
        });
        (hub > 0 && self.counts_keys()).then(|| join::Relation {
            holders: holders.collect(),
            cells: groups[0],
            of_hub: true,
            flags: relation.flags.len(),
            narrow: 0,
            wide: 0,
        })
    }

    /// What a holder of a relation brings to a star; `None` where it has no part in it.
    #[must_use]
    pub fn brings(&self, place: usize, holder: usize, star: usize) -> Option<RelationPlan> {
        let relation = self.relations.get(place)?;
        match (place, holder.cmp(&star)) {
            (0, Ordering::Less) if self.counts_keys() => Some(RelationPlan {
                narrow: Vec::new(),
                wide: Vec::new(),
                ..relation.clone()
            }),
            (0, Ordering::Less | Ordering::Greater) => None,
            _ => Some(relation.clone()),
        }
    }

    /// What all stars take and send, and those of arguments whose rows are ordered.
    pub(in crate::plan) fn price(
        &self,
        seats: Seats,
        sizes: &JoinSizes,
        keys: &[KeyColumn],
    ) -> Price {
        let is_dealt = seats.n_seats > seats.n_computing;
        let groups = self.groups(keys);
        let stars = (0..self.n_stars())
            .map(|hub| join::price(seats, &self.star(hub, sizes, &groups, is_dealt)));
        let ranked = self.ranked.iter();
        let ranked = ranked.map(|ranked| ranked.price((self, sizes), keys, seats));
        let correlated = self.correlated.iter();
        let correlated = correlated.map(|of| of.price((self, sizes), keys, seats));
        let computed = self.computed.iter();
        let computed = computed.map(|of| of.price(sizes, (keys, is_dealt), seats));
        let met = self.met.iter();
        let met = met.map(|of| of.price(sizes, (keys, is_dealt), seats));
        let dominant = self.dominant.iter();
        let dominant = dominant.map(|of| of.price(sizes, (keys, is_dealt), seats));
        stars
            .chain([self.price_of_keys(seats, sizes)])
            .chain(ranked)
            .chain(correlated)
            .chain(computed)
            .chain(met)
            .chain(dominant)
            .fold(Price::nothing(seats), |sum, star| sum.then(&star))
    }

    /// The groups of each relation on its own, totals among them.
    #[must_use]
    pub fn groups(&self, keys: &[KeyColumn]) -> Vec<usize> {
        let of = |r: &RelationPlan| r.keys.iter().map(|k| keys[*k].n_slots()).product();
        self.relations.iter().map(of).collect()
    }

    /// Totals of nothing, with those that are no columns of the result.
    #[must_use]
    pub fn zeros(&self, shape: &Shape) -> LocalTotals {
        LocalTotals {
            narrow: vec![vec![0; shape.cells]; self.narrow.len()],
            wide: vec![vec![0; shape.cells]; shape.wide],
        }
    }

    /// Adds the totals that a star gives for all groups of the relations together.
    pub fn add_star(&self, totals: &mut LocalTotals, narrow: &[&[u64]], wide: &[&[u128]]) {
        for (total, found) in totals.narrow.iter_mut().zip(narrow) {
            for (total, combined) in total.iter_mut().zip(&self.cells) {
                *total = total.wrapping_add(combined.map_or(0, |c| found[c]));
            }
        }
        for (total, found) in totals.wide.iter_mut().zip(wide) {
            for (total, combined) in total.iter_mut().zip(&self.cells) {
                *total = total.wrapping_add(combined.map_or(0, |c| found[c]));
            }
        }
    }

    /// Adds what a holder of the relation has of its own rows alone, by that relation's groups.
    pub fn add_own(
        &self,
        totals: &mut LocalTotals,
        term: &OwnTerm,
        (own, groups): (&[u128], &[usize]),
    ) {
        let coefficient = i128::from(term.coefficient).cast_unsigned();
        for (cell, combined) in self.cells.iter().enumerate() {
            let Some(group) = combined.and_then(|c| group_of(c, groups, term)) else {
                continue;
            };
            let value = own[group].wrapping_mul(coefficient);
            let (ring, column) = term.total;
            match ring {
                RingWidth::Narrow => {
                    let total = &mut totals.narrow[column][cell];
                    *total = total.wrapping_add(value as u64);
                }
                RingWidth::Wide => {
                    let total = &mut totals.wide[column][cell];
                    *total = total.wrapping_add(value);
                }
            }
        }
    }
}

/// Whether a dealer's matrix would be too large for the hub's groups, which come first.
fn is_by_transfers(groups: &[usize]) -> bool {
    groups.first().is_some_and(|n| *n > MATRIX_GROUPS)
}

/// The group of the term's relation in a combination of groups, if all others have the wanted ones.
fn group_of(combined: usize, groups: &[usize], term: &OwnTerm) -> Option<usize> {
    let mut rest = combined;
    let mut own = 0;
    for at in (0..groups.len()).rev() {
        let group = rest % groups[at];
        rest /= groups[at];
        if at == term.relation {
            own = group;
        } else if group != term.groups[at] {
            return None;
        }
    }
    Some(own)
}

impl RelationPlan {
    /// In how many bits the hub's numbers fit, by its published size and the declared ranges.
    fn hub_bounds(&self, holder: usize, cells: usize) -> join::Bounds {
        let rows = self.rows_at_most.get(holder).copied().unwrap_or(u64::MAX);
        let bits = |ring: RingWidth, column: usize| self.bits(ring, column, rows);
        join::Bounds {
            cells,
            narrow: self
                .narrow
                .iter()
                .map(|c| bits(RingWidth::Narrow, *c).min(u64::BITS))
                .collect(),
            wide: self.wide.iter().map(|(ring, c)| bits(*ring, *c)).collect(),
        }
    }

    /// Bits of a total over so many rows; those of the ring where it can be negative, or nothing is known.
    fn bits(&self, ring: RingWidth, column: usize, rows: u64) -> u32 {
        let (number, column) = self.rows_of(ring, column);
        // Of one row alone.
        let rows = if number > 0 { 1 } else { rows };
        let of_count = u64::BITS - rows.leading_zeros();
        let is = |slot: Option<Slot>| slot.is_some_and(|s| s.ring == ring && s.index == column);
        let found = self
            .measures
            .iter()
            .find_map(|m| match (is(m.sum), is(m.sum_sq)) {
                (true, _) => Some((m, 1)),
                (_, true) => Some((m, 2)),
                _ => None,
            });
        let Some((measure, power)) = found else {
            // Rows, and values that are not NULL.
            return of_count.max(1);
        };
        let ends = (
            measure.range.low.parse::<i128>(),
            measure.range.high.parse::<u128>(),
        );
        match (measure.kind, ends) {
            (MeasureKind::Exact { .. }, (Ok(0..), Ok(high))) => {
                let of_value = u128::BITS - high.leading_zeros();
                (power * of_value + of_count).clamp(1, u128::BITS)
            }
            _ => u128::BITS,
        }
    }
}

impl JoinCompared {
    fn protocol(&self, is_dealt: bool) -> join::Compared {
        join::Compared {
            parts: (self.parts.iter())
                .map(|p| (p.relation, p.column, p.weight))
                .collect(),
            constant: self.constant,
            bound_bits: self.bound_bits,
            method: method(is_dealt),
        }
    }
}

/// How numbers in bins are compared.
pub(super) fn method(is_dealt: bool) -> Method {
    match is_dealt {
        true => Method::Masked,
        false => Method::Summed,
    }
}

impl JoinTerm {
    fn protocol(&self, has_earlier: bool) -> join::Term {
        let factor = |f: &JoinFactor| match *f {
            JoinFactor::Flag(c) => join::Factor::Flag(c),
            JoinFactor::Narrow(c) => join::Factor::Narrow(c),
            JoinFactor::Wide(c) => join::Factor::Wide(c),
            JoinFactor::Matched(cell) => join::Factor::Matched { cell },
            JoinFactor::One(cell) => join::Factor::One { cell },
        };
        let earlier = has_earlier.then(|| match self.factors.first() {
            Some(JoinFactor::Flag(c)) => join::Factor::Unflagged(*c),
            _ => join::Factor::Any,
        });
        join::Term {
            coefficient: self.coefficient,
            factors: self.factors.iter().map(factor).chain(earlier).collect(),
            below: self.below.clone(),
        }
    }
}
