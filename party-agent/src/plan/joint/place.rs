//! The plan of a join: which relation is the hub's, what each one brings, and rows without a match written out.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::computed::{Computed, ComputedPlan, ComputedValue};
use super::correlated::CorrelatedPlan;
use super::draft::Take;
use super::ranked::{Ranked, RankedPlan};
use super::relation::{Compiled, One};
use super::taken::Taken;
use super::terms::{Term, Terms};
use super::{Job, JoinCompared, JoinFactor, JoinPlan, JoinTerm, OwnColumn, OwnTerm, RelationPlan};
use crate::plan::{KeyColumn, Margins, PlanFault, RingWidth, Slot, slots_of};

impl Terms {
    /// The plan of the join: hub and other relations chosen, rows without a match written out.
    pub(super) fn into_plan(
        self,
        job: &Job<'_>,
        (taken, compiled): (&Taken, &Compiled),
        keys: &[KeyColumn],
    ) -> Result<JoinPlan, PlanFault> {
        let order = order(job, compiled, &self)?;
        let counts_persons = self.person.is_some();
        let mut payloads: Vec<Payload> = compiled.all.iter().map(|_| Payload::default()).collect();
        let mut own = Vec::new();
        let mut expand =
            |rings: RingWidth, columns: &[Vec<Term>]| -> Result<Vec<Vec<JoinTerm>>, PlanFault> {
                let mut all = Vec::new();
                for (total, terms) in columns.iter().enumerate() {
                    let mut expanded = Vec::new();
                    for term in terms {
                        let place = Place {
                            compiled,
                            order: &order,
                            ring: rings,
                            total,
                            in_bins: false,
                        };
                        place.expand(term, &mut payloads, &mut expanded, &mut own)?;
                    }
                    all.push(merged(expanded)?);
                }
                Ok(all)
            };
        let narrow = expand(RingWidth::Narrow, &self.narrow)?;
        let wide = expand(RingWidth::Wide, &self.wide)?;
        let compared = compared(job, (taken, compiled), (&order, &mut payloads))?;
        let relations = order.iter();
        let relations = relations.map(|at| RelationPlan {
            ranked: self.ranked_of(*at),
            ..relation_plan(job, compiled, *at, &payloads[*at])
        });
        let relations: Vec<RelationPlan> = relations.collect();
        let ranked = self.ranked.iter();
        let ranked = ranked.map(|of| ranked_plan(job, compiled, of, keys));
        let correlated = self.correlated.iter().map(|of| {
            let weights = ranked_plan(job, compiled, &of.weights, keys)?;
            let values = of.values.clone();
            Ok(CorrelatedPlan { weights, values })
        });
        let correlated = correlated.collect::<Result<_, PlanFault>>()?;
        let mut plan = JoinPlan {
            normalise: job.normalise().to_owned(),
            label: relations_label(job, &order).join(" = "),
            relations,
            narrow,
            wide,
            own,
            values: self.values,
            compared,
            ranked: ranked.collect::<Result<_, _>>()?,
            correlated,
            matched: self.matched,
            shown: None,
            roundings: self.roundings,
            computed: computed_plan(job, (taken, compiled), (&self.computed, &order), keys)?,
            margins: job.outer.margins,
            cells: Vec::new(),
        };
        // A row without a key is in no bin, where it could be compared.
        if plan.is_row_by_row() && job.relations.all.iter().any(|r| r.optional) {
            plan.relations[0].all_keyed = true;
        }
        // A group of nobody but rows without a key would count as empty, which is shown beside totals.
        if job.outer.margins.is_some() && counts_persons {
            for (relation, at) in plan.relations.iter_mut().zip(&order) {
                let others = job.relations.all.iter().enumerate();
                relation.all_keyed |= others.into_iter().any(|(i, r)| i != *at && r.optional);
            }
        }
        plan.cells = plan.cells_of(keys);
        let plan = plan.with_totals(keys).ok_or_else(too_large_beside_totals)?;
        Ok(plan.with_matched())
    }
}

/// A join of its own for an argument whose rows are ordered, with the relation that has its values as the hub's.
fn ranked_plan(
    job: &Job<'_>,
    compiled: &Compiled,
    of: &Ranked,
    keys: &[KeyColumn],
) -> Result<RankedPlan, PlanFault> {
    let mut order = vec![of.relation];
    order.extend((0..compiled.all.len()).filter(|at| *at != of.relation));
    let mut payloads: Vec<Payload> = compiled.all.iter().map(|_| Payload::default()).collect();
    let (mut expanded, mut own) = (Vec::new(), Vec::new());
    for term in &of.terms {
        let place = Place {
            compiled,
            order: &order,
            ring: RingWidth::Narrow,
            total: 0,
            in_bins: false,
        };
        place.expand(term, &mut payloads, &mut expanded, &mut own)?;
    }
    let relations = order.iter();
    let relations = relations.map(|at| relation_plan(job, compiled, *at, &payloads[*at]));
    let join = JoinPlan {
        own,
        ..bare(job, relations.collect(), vec![merged(expanded)?], keys)
    };
    Ok(RankedPlan {
        measure: of.measure,
        arg: of.arg,
        join,
    })
}

/// The sums that are compared, with their columns among those of the payloads.
fn compared(
    job: &Job<'_>,
    (taken, compiled): (&Taken, &Compiled),
    (order, payloads): (&[usize], &mut [Payload]),
) -> Result<Vec<JoinCompared>, PlanFault> {
    let place_of = |at: usize| order.iter().position(|o| *o == at).unwrap_or(0);
    let mut column =
        |at: usize, index: usize| (place_of(at), placed(&mut payloads[at].narrow, index));
    let sums = taken.below.iter();
    let all = sums.map(|sum| sum.placed(job, compiled, &mut column));
    all.collect()
}

/// The values that are computed row by row: terms whose products stay in the bins of the hub's table.
fn computed_plan(
    job: &Job<'_>,
    (taken, compiled): (&Taken, &Compiled),
    (all, order): (&[Computed], &[usize]),
    keys: &[KeyColumn],
) -> Result<Option<ComputedPlan>, PlanFault> {
    if all.is_empty() {
        return Ok(None);
    }
    let mut totals: Vec<Vec<Term>> = Vec::new();
    let mut values = Vec::new();
    for of in all {
        values.push(ComputedValue {
            measure: of.measure,
            count: placed(&mut totals, of.count.clone()),
            value: placed(&mut totals, of.value.clone()),
            low: of.low,
            squares: of.squares,
            ordered: of.ordered,
        });
    }
    let mut payloads: Vec<Payload> = compiled.all.iter().map(|_| Payload::default()).collect();
    let mut narrow = Vec::new();
    for (total, terms) in totals.iter().enumerate() {
        let (mut expanded, mut own) = (Vec::new(), Vec::new());
        let place = Place {
            compiled,
            order,
            ring: RingWidth::Narrow,
            total,
            in_bins: true,
        };
        for term in terms {
            place.expand(term, &mut payloads, &mut expanded, &mut own)?;
        }
        narrow.push(merged(expanded)?);
    }
    let compared = compared(job, (taken, compiled), (order, &mut payloads))?;
    let relations = order.iter();
    let relations = relations.map(|at| relation_plan(job, compiled, *at, &payloads[*at]));
    let join = Box::new(JoinPlan {
        compared,
        ..bare(job, relations.collect(), narrow, keys)
    });
    Ok(Some(ComputedPlan { join, values }))
}

/// A join of these relations for these totals, and nothing else.
fn bare(
    job: &Job<'_>,
    relations: Vec<RelationPlan>,
    narrow: Vec<Vec<JoinTerm>>,
    keys: &[KeyColumn],
) -> JoinPlan {
    let mut join = JoinPlan {
        normalise: job.normalise().to_owned(),
        label: String::new(),
        relations,
        narrow,
        wide: Vec::new(),
        own: Vec::new(),
        values: Vec::new(),
        compared: Vec::new(),
        ranked: Vec::new(),
        correlated: Vec::new(),
        matched: None,
        shown: None,
        roundings: BTreeMap::new(),
        computed: None,
        margins: None,
        cells: Vec::new(),
    };
    join.cells = join.cells_of(keys);
    join
}

/// Terms of the same factors as one.
fn merged(terms: Vec<JoinTerm>) -> Result<Vec<JoinTerm>, PlanFault> {
    let mut all: Vec<JoinTerm> = Vec::new();
    for term in terms {
        let is_like = |t: &&mut JoinTerm| t.factors == term.factors && t.below == term.below;
        match all.iter_mut().find(is_like) {
            Some(same) => {
                let sum = same.coefficient.checked_add(term.coefficient);
                same.coefficient = sum.ok_or_else(too_large)?;
            }
            None => all.push(term),
        }
    }
    all.retain(|term| term.coefficient != 0);
    Ok(all)
}

fn too_large_beside_totals() -> PlanFault {
    PlanFault {
        place: "compute.sql".to_owned(),
        what: "columns of different holders that are compared are too large beside ROLLUP or CUBE"
            .to_owned(),
        fix: "declare shorter ranges, or run a job for each grouping".to_owned(),
    }
}

fn too_large() -> PlanFault {
    PlanFault {
        place: "compute.sql".to_owned(),
        what: "a value that stands for rows without a match is too large".to_owned(),
        fix: "COALESCE to a smaller number".to_owned(),
    }
}

fn relations_label(job: &Job<'_>, order: &[usize]) -> Vec<String> {
    let label = |at: &usize| {
        let key = job.relations.all[*at].key.iter();
        let columns: Vec<String> = key.map(ToString::to_string).collect();
        format!("({})", columns.join(", "))
    };
    order.iter().map(label).collect()
}

fn relation_plan(job: &Job<'_>, compiled: &Compiled, at: usize, payload: &Payload) -> RelationPlan {
    let one = &compiled.all[at];
    let seat = |p| {
        job.parties
            .seats
            .iter()
            .position(|s| s == p)
            .unwrap_or(usize::MAX)
    };
    let holders = one
        .raw
        .iter()
        .map(|part| (seat(&part.holder), one.keys_at_most(job, part)));
    RelationPlan {
        name: job.relations.all[at]
            .names
            .first()
            .cloned()
            .unwrap_or_default(),
        holders: holders.collect(),
        rows_at_most: one.raw.iter().map(|part| part.rows_at_most).collect(),
        key_columns: job.relations.all[at].key.len(),
        one_row_a_key: job.relations.all[at].member.is_none() && job.has_one_row_a_key(),
        all_keyed: false,
        denied: job.relations.all[at]
            .member
            .as_ref()
            .is_some_and(|m| m.denied),
        keys: one.key_numbers.clone(),
        measures: one.columns.measures.clone(),
        totals_narrow: one.columns.narrow,
        totals_wide: one.columns.wide,
        values: one.values.clone(),
        ranked: Vec::new(),
        quotients: one
            .quotients
            .iter()
            .map(|(arg, of)| (*arg, of.limit))
            .collect(),
        flags: payload.flags.clone(),
        narrow: payload.narrow.clone(),
        wide: payload.wide.clone(),
    }
}

/// The columns of one relation that go into the join.
#[derive(Default)]
struct Payload {
    flags: Vec<usize>,
    narrow: Vec<usize>,
    wide: Vec<(RingWidth, usize)>,
}

fn placed<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    match items.iter().position(|i| *i == item) {
        Some(place) => place,
        None => {
            items.push(item);
            items.len() - 1
        }
    }
}

/// Where a number of a relation is kept at its holders.
fn slot(one: &One, take: Take) -> (RingWidth, usize) {
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

/// The order of relations, the hub's first.
///
/// # Errors
/// Outer joins and counts of persons for which no order will do.
pub(super) fn order(
    job: &Job<'_>,
    compiled: &Compiled,
    terms: &Terms,
) -> Result<Vec<usize>, PlanFault> {
    let all = &job.relations.all;
    let n = all.len();
    let optional: Vec<bool> = all.iter().map(|r| r.optional).collect();
    let single = |at: usize| all[at].holders.len() == 1;
    let tells_size = job.tells_size();
    let counts_keys = terms.narrow.iter().flatten().any(|t| t.flags);
    let rows = |at: usize| {
        compiled.all[at]
            .raw
            .iter()
            .map(|p| p.rows_at_most)
            .fold(0, u64::saturating_add)
    };
    let compares = job.has_one_row_a_key();
    let one_star = |hub: usize| all[hub].member.is_none() || single(hub);
    let may = |hub: usize| match n {
        _ if !one_star(hub) => false,
        // Holders of the hub's table can share keys.
        _ if tells_size && !single(hub) => false,
        // Rows without a match are compared in the hub's bins alone.
        _ if compares && optional[hub] => false,
        2 => {
            let other = 1 - hub;
            // A spoke's rows without a match are told from one hub alone.
            !optional[hub] || single(hub) && (!counts_keys || single(other))
        }
        _ => !optional[hub],
    };
    let words: Vec<u64> = (0..n).map(|at| words_of(at, compiled, terms)).collect();
    // Bytes, with a dealer: a bin takes a comparison and opens one element of every column; a spoke's row is programmed
    // three times with all of its. Without one the hub is chosen again when the sizes are known.
    let price = |hub: usize| {
        let others = || (0..n).filter(|at| *at != hub);
        let elements = 16 * words.iter().sum::<u64>();
        let bins = rows(hub).saturating_mul(400 + elements);
        let programmed = others().map(|at| rows(at).saturating_mul(64 * (1 + words[at])));
        programmed.fold(bins, u64::saturating_add)
    };
    let hub = (0..n)
        .filter(|hub| may(*hub))
        .min_by_key(|hub| (!single(*hub), price(*hub)));
    let Some(hub) = hub else {
        let (what, fix) = match counts_keys {
            _ if job.tells_keys() => (
                "privacy.join = \"keys\" over tables that all have several holders, who can share keys",
                "write join = \"hidden\"",
            ),
            _ if tells_size => (
                "privacy.join = \"size\" over tables that all have several holders, who can share keys",
                "write join = \"hidden\"",
            ),
            true => (
                "different keys, or the persons of a minimum cell, are counted over a FULL JOIN of a table that has several holders",
                "write LEFT JOIN or JOIN, or leave the count of keys and the minimum cell out",
            ),
            false => (
                "a FULL JOIN of two tables that have several holders each",
                "write LEFT JOIN or JOIN, or run a job for each holder of one of the tables",
            ),
        };
        return Err(job.site.fault(job.select, what, fix));
    };
    let mut order = vec![hub];
    order.extend((0..n).filter(|at| *at != hub));
    Ok(order)
}

/// Words that a relation would bring for each of its keys, as a spoke.
fn words_of(at: usize, compiled: &Compiled, terms: &Terms) -> u64 {
    let one = &compiled.all[at];
    let cells: usize = one.keys.iter().map(KeyColumn::n_groups).product();
    let distinct = |columns: &[Vec<Term>]| {
        let mut found: Vec<(bool, (RingWidth, usize))> = Vec::new();
        let takes = columns.iter().flatten().map(|t| (t.flags, t.takes[at]));
        for (flags, take) in takes.filter(|(_, take)| !matches!(take, Take::Member { .. })) {
            placed(&mut found, (flags, slot(one, take)));
        }
        found.len()
    };
    (cells * (distinct(&terms.narrow) + 2 * distinct(&terms.wide))) as u64
}

/// One total that is being written out.
struct Place<'a> {
    compiled: &'a Compiled,
    order: &'a [usize],
    ring: RingWidth,
    total: usize,
    /// Whether rows without a match count in their bins, and not in totals of their holders.
    in_bins: bool,
}

impl Place<'_> {
    fn factor(&self, at: usize, take: Take, flags: bool, payloads: &mut [Payload]) -> JoinFactor {
        if matches!(take, Take::Member { .. }) {
            return JoinFactor::Matched(0);
        }
        let (ring, index) = slot(&self.compiled.all[at], take);
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

    fn expand(
        &self,
        term: &Term,
        payloads: &mut [Payload],
        out: &mut Vec<JoinTerm>,
        own: &mut Vec<OwnTerm>,
    ) -> Result<(), PlanFault> {
        let factors: Vec<JoinFactor> = self
            .order
            .iter()
            .map(|at| self.factor(*at, term.takes[*at], term.flags, payloads))
            .collect();
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
                    self.unmatched(term, place, *factor, (out, own))?;
                }
                Ok(())
            }
            _ => self.optional(term, &factors, (out, own)),
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
        term: &Term,
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
                if more != 0 {
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

impl JoinPlan {
    /// For each group of the result and each total, by its number, that of the relations' groups together.
    pub(super) fn cells_of(&self, keys: &[KeyColumn]) -> Vec<Option<usize>> {
        let n_cells: usize = keys.iter().map(KeyColumn::n_slots).product();
        let of = |cell: usize| {
            let slots = slots_of(cell, keys.iter().map(KeyColumn::n_slots));
            let is_total = slots
                .iter()
                .zip(keys)
                .map(|(slot, key)| *slot >= key.n_groups());
            let is_there = self.margins != Some(Margins::Rollup) || is_total.is_sorted();
            let ordered = self.relations.iter().flat_map(|r| &r.keys);
            let joined = ordered.fold(0, |joined, key| joined * keys[*key].n_slots() + slots[*key]);
            is_there.then_some(joined)
        };
        (0..n_cells).map(of).collect()
    }
}
