//! A term as the join takes it: columns of relations one by one, and rows without a match written out.

use std::cmp::Ordering;

use super::draft::Take;
use super::relation::{Compiled, One};
use super::rows::Rows;
use super::terms::Term;
use super::{JoinFactor, JoinTerm, OwnColumn, OwnTerm, RelationPlan};
use crate::plan::{PlanFault, RingWidth, Slot};

/// The columns of one relation that go into the join.
#[derive(Default)]
pub(super) struct Payload {
    pub(super) flags: Vec<usize>,
    pub(super) narrow: Vec<usize>,
    pub(super) wide: Vec<(RingWidth, usize)>,
}

pub(super) fn placed<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    match items.iter().position(|i| *i == item) {
        Some(place) => place,
        None => {
            items.push(item);
            items.len() - 1
        }
    }
}

/// Where a number of a relation is kept at its holders.
pub(super) fn slot(one: &One, take: Take) -> (RingWidth, usize) {
    let measure = |arg: usize| &one.columns.measures[arg];
    let of = |slot: Option<Slot>| slot.map_or((RingWidth::Narrow, 0), |s| (s.ring, s.index));
    match take {
        Take::Rows | Take::Member { .. } => (RingWidth::Narrow, 0),
        Take::Count(arg) => (RingWidth::Narrow, measure(arg).count),
        Take::Sum(arg) => of(measure(arg).sum),
        Take::Squares(arg) => of(measure(arg).sum_sq),
        Take::Value(arg, place) => {
            let columns = one.values.iter().find(|v| v.measure == arg);
            let first = columns.expect("its values are counted").first;
            (RingWidth::Narrow, first + place)
        }
    }
}

/// One total that is being written out.
pub(super) struct Place<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) order: &'a [usize],
    pub(super) rows: &'a Rows<'a>,
    pub(super) ring: RingWidth,
    pub(super) total: usize,
    /// Whether rows without a match count in their bins, and not in totals of their holders.
    pub(super) in_bins: bool,
}

/// Where terms go that are written out: columns of relations, products in bins, and what holders add of their own.
pub(super) type Into<'a> = (
    &'a mut [Payload],
    &'a mut Vec<JoinTerm>,
    &'a mut Vec<OwnTerm>,
);

impl<'a> Place<'a> {
    /// A total whose products stay in their bins.
    pub(super) fn in_bins(
        (compiled, order, rows): (&'a Compiled, &'a [usize], &'a Rows<'a>),
        total: usize,
    ) -> Self {
        Self {
            compiled,
            order,
            rows,
            ring: RingWidth::Narrow,
            total,
            in_bins: true,
        }
    }

    fn factor(
        &self,
        (at, number): (usize, usize),
        take: Take,
        flags: bool,
        payloads: &mut [Payload],
    ) -> JoinFactor {
        if matches!(take, Take::Member { .. }) {
            return JoinFactor::Matched(0);
        }
        let one = &self.compiled.all[at];
        let (ring, index) = slot(one, take);
        let total = match ring {
            RingWidth::Narrow => one.columns.narrow,
            RingWidth::Wide => one.columns.wide,
        };
        let index = RelationPlan::column_of(total, index, number);
        let payload = &mut payloads[at];
        match (flags, self.ring) {
            (true, _) => JoinFactor::Flag(placed(&mut payload.flags, index)),
            (false, RingWidth::Narrow) => JoinFactor::Narrow(placed(&mut payload.narrow, index)),
            (false, RingWidth::Wide) => JoinFactor::Wide(placed(&mut payload.wide, (ring, index))),
        }
    }

    /// The number of a relation in a row that has no match there.
    fn without(&self, at: usize, take: Take, flags: bool) -> Result<i64, PlanFault> {
        let Some(without) = &self.compiled.all[at].without else {
            return Ok(0);
        };
        let value = match take {
            Take::Rows => 1,
            Take::Member { without, .. } => i128::from(without),
            Take::Count(arg) => i128::from(without.values[arg].is_some()),
            Take::Sum(arg) => without.values[arg].unwrap_or(0),
            Take::Squares(arg) => {
                let value = without.values[arg].unwrap_or(0);
                let square = value.checked_mul(value).unwrap_or(i128::MAX);
                let measure = &self.compiled.all[at].columns.measures[arg];
                let bits = |slot: Option<Slot>| slot.map_or(0, |s| s.frac_bits);
                // The square of a float has twice its fractional bits, which are not those of the column.
                match (2 * bits(measure.sum)).cmp(&bits(measure.sum_sq)) {
                    _ if value == 0 => 0,
                    Ordering::Equal => square,
                    _ => i128::MAX,
                }
            }
            Take::Value(arg, place) => {
                let low = self.compiled.all[at].low(arg);
                i128::from(without.values[arg].is_some_and(|v| v == low + place as i128))
            }
        };
        let value = if flags { value.min(1) } else { value };
        i64::try_from(value).map_err(|_| too_large())
    }

    /// A term, over all rows that it tells apart.
    pub(super) fn expand(
        &self,
        term: &Term,
        (payloads, out, own): Into<'_>,
    ) -> Result<(), PlanFault> {
        for choice in self.rows.of_term(term) {
            self.chosen((term, &choice), (payloads, out, own))?;
        }
        Ok(())
    }

    /// A term for these rows.
    pub(super) fn chosen(
        &self,
        (term, choice): (&Term, &[usize]),
        (payloads, out, own): Into<'_>,
    ) -> Result<(), PlanFault> {
        let factors: Vec<JoinFactor> = self
            .order
            .iter()
            .map(|at| self.factor((*at, choice[*at]), term.takes[*at], term.flags, payloads))
            .collect();
        let below = term.below.iter().map(|b| self.rows.number(*b, choice));
        let term = &Term {
            below: below.collect(),
            ..term.clone()
        };
        // Where a subquery must not have the key, no row that has a match counts.
        let there = |take: &Take| !matches!(take, Take::Member { there: false, .. });
        if term.takes.iter().all(there) {
            out.push(JoinTerm {
                coefficient: term.coefficient,
                factors: factors.clone(),
                below: term.below.clone(),
            });
        }
        match self.order.len() {
            2 => {
                for (place, factor) in factors.iter().enumerate() {
                    // What has no match has none with any row.
                    if choice[self.order[1 - place]] <= 1 {
                        self.unmatched(term, place, *factor, (out, own))?;
                    }
                }
                Ok(())
            }
            _ => self.optional((term, choice), &factors, (out, own)),
        }
    }

    /// Of two relations, the rows of the one at `place` that have no match in the other: all of them, less those that
    /// have one.
    fn unmatched(
        &self,
        term: &Term,
        place: usize,
        factor: JoinFactor,
        (out, own): (&mut Vec<JoinTerm>, &mut Vec<OwnTerm>),
    ) -> Result<(), PlanFault> {
        let other = self.order[1 - place];
        let Some(without) = &self.compiled.all[other].without else {
            return Ok(());
        };
        let value = self.without(other, term.takes[other], term.flags)?;
        let Some(coefficient) = term.coefficient.checked_mul(value) else {
            return Err(too_large());
        };
        if coefficient == 0 {
            return Ok(());
        }
        if place == 0 && self.counts_in_bins(term) {
            // Holders of the hub's table share keys, and count them in turn; and what is compared is in bins.
            out.push(JoinTerm {
                coefficient,
                factors: vec![factor, JoinFactor::One(without.cell)],
                below: term.below.clone(),
            });
        } else {
            let mut groups = vec![0; 2];
            groups[1 - place] = without.cell;
            own.push(OwnTerm {
                relation: place,
                total: (self.ring, self.total),
                column: self.own_column(self.order[place], term),
                coefficient,
                groups,
                keyless: false,
            });
        }
        let there = match place {
            0 => JoinFactor::Matched(without.cell),
            _ => JoinFactor::One(without.cell),
        };
        let mut factors = [factor, there];
        if place == 1 {
            factors.reverse();
        }
        out.push(JoinTerm {
            coefficient: -coefficient,
            factors: factors.to_vec(),
            below: term.below.clone(),
        });
        Ok(())
    }

    fn counts_in_bins(&self, term: &Term) -> bool {
        self.in_bins || term.flags || !term.below.is_empty()
    }

    fn own_column(&self, at: usize, term: &Term) -> OwnColumn {
        let (ring, index) = slot(&self.compiled.all[at], term.takes[at]);
        match (term.flags, ring) {
            (true, _) => OwnColumn::Flag(index),
            (false, RingWidth::Narrow) => OwnColumn::Narrow(index),
            (false, RingWidth::Wide) => OwnColumn::Wide(index),
        }
    }

    /// Of three or more relations, every combination of optional ones without a match: 1 less the match, times what
    /// stands there then.
    fn optional(
        &self,
        (term, choice): (&Term, &[usize]),
        factors: &[JoinFactor],
        (out, own): (&mut Vec<JoinTerm>, &mut Vec<OwnTerm>),
    ) -> Result<(), PlanFault> {
        let mut partial = vec![(term.coefficient, vec![factors[0]])];
        let mut all_optional = Some(term.coefficient);
        let mut groups = vec![0];
        for (place, at) in self.order.iter().enumerate().skip(1) {
            let Some(without) = &self.compiled.all[*at].without else {
                all_optional = None;
                partial.iter_mut().for_each(|(_, f)| f.push(factors[place]));
                groups.push(0);
                continue;
            };
            let value = self.without(*at, term.takes[*at], term.flags)?;
            let absent = matches!(term.takes[*at], Take::Member { there: false, .. });
            let mut next = Vec::new();
            for (coefficient, done) in partial {
                let more = coefficient.checked_mul(value).ok_or_else(too_large)?;
                let with = |factor| {
                    let mut done = done.clone();
                    done.push(factor);
                    done
                };
                let here = if absent { 0 } else { coefficient };
                next.push((here, with(factors[place])));
                // What has no match has none with any row.
                if more != 0 && choice[*at] <= 1 {
                    next.push((more, with(JoinFactor::One(without.cell))));
                    next.push((-more, with(JoinFactor::Matched(without.cell))));
                }
            }
            partial = next;
            groups.push(without.cell);
            all_optional = all_optional.and_then(|c| c.checked_mul(value));
        }
        // The first is the term itself, which is there already.
        let more = partial.into_iter().skip(1).filter(|(c, _)| *c != 0);
        out.extend(more.map(|(coefficient, factors)| JoinTerm {
            coefficient,
            factors,
            below: term.below.clone(),
        }));
        let is_own = |c: &i64| *c != 0 && !self.counts_in_bins(term);
        if let Some(coefficient) = all_optional.filter(is_own) {
            own.push(OwnTerm {
                relation: 0,
                total: (self.ring, self.total),
                column: self.own_column(self.order[0], term),
                coefficient,
                groups,
                keyless: true,
            });
        }
        Ok(())
    }
}

pub(super) fn too_large() -> PlanFault {
    PlanFault {
        place: "compute.sql".to_owned(),
        what: "a value that stands for rows without a match is too large".to_owned(),
        fix: "COALESCE to a smaller number".to_owned(),
    }
}
