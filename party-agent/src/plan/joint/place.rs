//! The plan of a join: which relation is the hub's, and what each one brings.

use std::collections::BTreeMap;

use super::computed::{Computed, ComputedPlan, ComputedValue};
use super::correlated::CorrelatedPlan;
use super::dominant::{Dominant, DominantPlan};
use super::draft::Take;
use super::expand::{Payload, Place, placed, slot, too_large};
use super::met::MetPlan;
use super::ranked::{Ranked, RankedPlan};
use super::relation::Compiled;
use super::rows::Rows;
use super::taken::Taken;
use super::terms::{Term, Terms};
use super::{Job, JoinCompared, JoinPlan, JoinTerm, RelationPlan};
use crate::plan::{KeyColumn, Margins, PlanFault, RingWidth, slots_of};

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
        let rows = &Rows::new(job, &taken.below);
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
                            rows,
                            ring: rings,
                            total,
                            in_bins: false,
                        };
                        place.expand(term, (&mut payloads, &mut expanded, &mut own))?;
                    }
                    all.push(merged(expanded)?);
                }
                Ok(all)
            };
        let narrow = expand(RingWidth::Narrow, &self.narrow)?;
        let wide = expand(RingWidth::Wide, &self.wide)?;
        let all = (taken, compiled, rows);
        let compared = compared(job, all, (&order, &mut payloads))?;
        let relations = order.iter();
        let relations = relations.map(|at| RelationPlan {
            ranked: self.ranked_of(*at),
            ..relation_plan(job, compiled, *at, &payloads[*at])
        });
        let relations: Vec<RelationPlan> = relations.collect();
        let ranked = self.ranked.iter();
        let ranked = ranked.map(|of| ranked_plan(job, all, of, keys));
        let correlated = self.correlated.iter().map(|of| {
            let weights = ranked_plan(job, all, &of.weights, keys)?;
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
            computed: computed_plan(job, all, (&self.computed, &order), keys)?.map(Box::new),
            met: met_plan(job, all, (&self.met, &order), keys)?,
            dominant: dominant_plan(job, all, (self.dominant, &order), keys)?,
            margins: job.outer.margins,
            cells: Vec::new(),
        };
        plan.with_keys(job, &order, counts_persons);
        plan.cells = plan.cells_of(keys);
        let plan = plan.with_totals(keys).ok_or_else(too_large_beside_totals)?;
        Ok(plan.with_matched())
    }
}

impl JoinPlan {
    /// Says which relations must have a key in each row.
    fn with_keys(&mut self, job: &Job<'_>, order: &[usize], counts_persons: bool) {
        // A row without a key is in no bin, where it could be compared.
        if job.has_one_row_a_key() && job.relations.all.iter().any(|r| r.optional) {
            self.relations[0].all_keyed = true;
        }
        // A group of nobody but rows without a key would count as empty, which is shown beside totals.
        if job.outer.margins.is_some() && counts_persons {
            for (relation, at) in self.relations.iter_mut().zip(order) {
                let others = job.relations.all.iter().enumerate();
                relation.all_keyed |= others.into_iter().any(|(i, r)| i != *at && r.optional);
            }
        }
    }
}

/// A join of its own for an argument whose rows are ordered, with the relation that has its values as the hub's.
fn ranked_plan(
    job: &Job<'_>,
    (_, compiled, rows): Own<'_>,
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
            rows,
            ring: RingWidth::Narrow,
            total: 0,
            in_bins: false,
        };
        place.expand(term, (&mut payloads, &mut expanded, &mut own))?;
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

/// What the query takes, and its relations.
type Own<'a> = (&'a Taken, &'a Compiled, &'a Rows<'a>);

/// The sums that are compared, with their columns among those of the payloads: each for all rows that it tells apart.
fn compared(
    job: &Job<'_>,
    (taken, compiled, rows): Own<'_>,
    (order, payloads): (&[usize], &mut [Payload]),
) -> Result<Vec<JoinCompared>, PlanFault> {
    let place_of = |at: usize| order.iter().position(|o| *o == at).unwrap_or(0);
    let mut all = Vec::new();
    for (number, sum) in taken.below.iter().enumerate() {
        for choice in rows.of_sum(number) {
            let mut column = |at: usize, index: usize| {
                let total = compiled.all[at].columns.narrow;
                let index = RelationPlan::column_of(total, index, choice[at]);
                (place_of(at), placed(&mut payloads[at].narrow, index))
            };
            all.push(sum.placed(job, compiled, &mut column)?);
        }
    }
    Ok(all)
}

/// The values that are computed row by row: terms whose products stay in the bins of the hub's table.
fn computed_plan(
    job: &Job<'_>,
    (taken, compiled, rows): Own<'_>,
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
    let choices = rows.of_all();
    for choice in &choices {
        for (total, terms) in totals.iter().enumerate() {
            let (mut expanded, mut own) = (Vec::new(), Vec::new());
            let place = Place::in_bins((compiled, order, rows), total);
            for term in terms {
                place.chosen((term, choice), (&mut payloads, &mut expanded, &mut own))?;
            }
            narrow.push(merged(expanded)?);
        }
    }
    let all = (taken, compiled, rows);
    let compared = compared(job, all, (order, &mut payloads))?;
    let relations = order.iter();
    let relations = relations.map(|at| relation_plan(job, compiled, *at, &payloads[*at]));
    let join = Box::new(JoinPlan {
        compared,
        ..bare(job, relations.collect(), narrow, keys)
    });
    Ok(Some(ComputedPlan {
        join,
        rows_a_key: choices.len(),
        values,
    }))
}

/// The keys that have a row which counts: the rows of each are added up in its bin.
fn met_plan(
    job: &Job<'_>,
    (taken, compiled, rows): Own<'_>,
    (all, order): (&[(usize, Vec<Term>)], &[usize]),
    keys: &[KeyColumn],
) -> Result<Option<Box<MetPlan>>, PlanFault> {
    if all.is_empty() {
        return Ok(None);
    }
    job.can_be_met(compiled, (order[0], all.len()), keys)?;
    let terms = all.iter().map(|(_, terms)| terms);
    let join = in_bins(job, (taken, compiled, rows), (terms, order), keys)?;
    Ok(Some(Box::new(MetPlan {
        rows_bits: job.rows_bits(compiled),
        columns: all.iter().map(|(column, _)| *column).collect(),
        join: Box::new(join),
    })))
}

/// The sums whose largest contributions are found: what each key adds is added up in its bin.
fn dominant_plan(
    job: &Job<'_>,
    all: Own<'_>,
    (dominant, order): (Option<Dominant>, &[usize]),
    keys: &[KeyColumn],
) -> Result<Option<Box<DominantPlan>>, PlanFault> {
    let Some(dominant) = dominant else {
        return Ok(None);
    };
    let join = in_bins(job, all, (dominant.sums.iter(), order), keys)?;
    Ok(Some(Box::new(DominantPlan {
        join: Box::new(join),
        n_largest: dominant.n_largest,
        bound_bits: dominant.contributed.bits,
        signed: dominant.contributed.signed,
    })))
}

/// A join whose totals are numbers of keys, which stay in their bins, in groups and in totals beside them.
fn in_bins<'t>(
    job: &Job<'_>,
    (taken, compiled, rows): Own<'_>,
    (all, order): (impl Iterator<Item = &'t Vec<Term>>, &[usize]),
    keys: &[KeyColumn],
) -> Result<JoinPlan, PlanFault> {
    let mut payloads: Vec<Payload> = compiled.all.iter().map(|_| Payload::default()).collect();
    let mut narrow = Vec::new();
    for (total, terms) in all.enumerate() {
        let (mut expanded, mut own) = (Vec::new(), Vec::new());
        let place = Place::in_bins((compiled, order, rows), total);
        for term in terms {
            place.expand(term, (&mut payloads, &mut expanded, &mut own))?;
        }
        narrow.push(merged(expanded)?);
    }
    let compared = compared(job, (taken, compiled, rows), (order, &mut payloads))?;
    let relations = order.iter();
    let relations = relations.map(|at| relation_plan(job, compiled, *at, &payloads[*at]));
    let join = JoinPlan {
        compared,
        margins: job.outer.margins,
        ..bare(job, relations.collect(), narrow, keys)
    };
    let join = join.with_totals(keys).ok_or_else(too_large_beside_totals)?;
    Ok(JoinPlan {
        cells: join.cells_of(keys),
        ..join
    })
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
        met: None,
        dominant: None,
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
        rows_a_key: (job.relations.all[at].member.is_none() && job.has_one_row_a_key())
            .then(|| job.rows_a_key[at]),
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
    let meets = !terms.met.is_empty() || terms.dominant.is_some();
    let compares = job.has_one_row_a_key() || meets;
    let one_star = |hub: usize| all[hub].member.is_none() || single(hub);
    let may = |hub: usize| match n {
        _ if !one_star(hub) => false,
        // Holders of the hub's table can share keys.
        _ if tells_size && !single(hub) => false,
        // A key of several holders would be counted for each.
        _ if meets && !single(hub) => false,
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
            _ if terms.dominant.is_some() => (
                "sums with rules about dominance over tables that all have several holders",
                "run a job for each holder of one of the tables, or ask for counts",
            ),
            _ if meets => (
                "persons, or different keys, that a condition between holders decides on are counted over tables that all have several holders, or over a FULL JOIN",
                "write the condition with AND, run a job for each branch of an OR, or write LEFT JOIN or JOIN",
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
