//! Arguments with too many values to count the rows of each: their holders order their own rows by value, and in how many
//! rows of the join each stands is found on shares.

use std::collections::BTreeMap;

use protocols::join;
use protocols::join::weights::{self, WeightShape};
use protocols::price::{Price, Seats};
use serde::Serialize;

use super::draft::Take;
use super::relation::Compiled;
use super::taken::Product;
use super::terms::{Term, Terms, terms_of};
use super::{Job, JoinPlan, JoinSizes};
use crate::plan::sql::outer::Arg;
use crate::plan::steps::{RankedRows, different_step};
use crate::plan::{KeyColumn, MeasureKind, PlanFault, Step};

/// An argument whose rows are ordered by value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RankedPlan {
    /// The measure of the query: its quantiles are found, or its different values counted.
    pub measure: usize,
    /// The measure of the relation that has the values.
    pub arg: usize,
    /// The join that says how often each row counts, that relation's first. It has one total.
    pub join: JoinPlan,
}

/// The same while the query is taken apart: relations in the order of FROM.
#[derive(Clone)]
pub(super) struct Ranked {
    pub(super) measure: usize,
    pub(super) relation: usize,
    pub(super) arg: usize,
    /// How often a row with a value counts.
    pub(super) terms: Vec<Term>,
}

impl Ranked {
    /// `None` if the rows of each value can be counted one by one.
    ///
    /// # Errors
    /// Why they cannot, where the rows cannot be ordered either.
    pub(super) fn of(
        job: &Job<'_>,
        compiled: &Compiled,
        measure: usize,
        each: &[Product],
    ) -> Result<Option<Self>, PlanFault> {
        let values: Vec<Option<(usize, usize)>> = each.iter().map(value_of).collect();
        let wide = values.iter().flatten().find_map(|(at, arg)| {
            let fault = compiled.all[*at].wide.get(arg)?;
            Some(((*at, *arg), fault))
        });
        let Some(((relation, arg), fault)) = wide else {
            return Ok(None);
        };
        // What stands in rows without a match would be a row of nobody's.
        let without = compiled.all[relation].without.as_ref();
        let is_null = without.is_none_or(|without| without.values[arg].is_none());
        let is_one = values.iter().all(|value| *value == Some((relation, arg)));
        let is_plain = job.outer.margins.is_none() && job.below.borrow().is_empty();
        if !is_one || !is_null || !is_plain {
            return Err(fault.clone());
        }
        let mut terms = terms_of(each);
        for term in &mut terms {
            term.takes[relation] = Take::Count(arg);
        }
        Ok(Some(Self {
            measure,
            relation,
            arg,
            terms,
        }))
    }
}

impl Ranked {
    /// One value of one relation in each row that counts; `None` for anything else.
    pub(super) fn by_rows(measure: usize, each: &[Product]) -> Option<Self> {
        let [product] = each else {
            return None;
        };
        let mut takes = product.takes.iter().enumerate();
        let (relation, arg) = takes.find_map(|(at, take)| match take {
            Take::Value(arg, _) => Some((at, *arg)),
            _ => None,
        })?;
        let mut terms = terms_of(each);
        for term in &mut terms {
            term.takes[relation] = Take::Count(arg);
        }
        Some(Self {
            measure,
            relation,
            arg,
            terms,
        })
    }

    /// An argument whose different values are counted, all of one relation. Where a condition between holders says which
    /// count, the rows are there once for each of its parts that the relation decides.
    ///
    /// # Errors
    /// Where they are values of rows that nobody has, or beside comparisons between relations.
    pub(super) fn different(
        job: &Job<'_>,
        compiled: &Compiled,
        (measure, arg): (usize, &Arg),
        products: &[Product],
    ) -> Result<Vec<Self>, PlanFault> {
        let refused = |why: &str, fix: &str| {
            let what = format!(
                "COUNT(DISTINCT {}) over a join between holders: {why}",
                arg.label
            );
            Err(job.site.fault(&arg.expr, what, fix))
        };
        if !job.below.borrow().is_empty() {
            return refused(
                "beside a comparison between columns of different holders it is the key alone that can be counted",
                "count the column on which the tables are joined, or leave the comparison out",
            );
        }
        let mut all: Vec<Self> = Vec::new();
        for (product, mut term) in products.iter().zip(terms_of(products)) {
            let Some((relation, arg)) = value_of(product) else {
                continue;
            };
            let without = compiled.all[relation].without.as_ref();
            if without.is_some_and(|without| without.values[arg].is_some()) {
                return refused(
                    "it has a value in rows without a match, which no holder has",
                    "leave COALESCE out, and count the column itself, which is NULL in such rows",
                );
            }
            term.takes[relation] = Take::Count(arg);
            match all.iter_mut().find(|part| part.arg == arg) {
                Some(part) => part.terms.push(term),
                None => all.push(Self {
                    measure,
                    relation,
                    arg,
                    terms: vec![term],
                }),
            }
        }
        Ok(all)
    }
}

/// The relation and the argument that have the values of a product.
fn value_of(product: &Product) -> Option<(usize, usize)> {
    let mut takes = product.takes.iter().enumerate();
    takes.find_map(|(at, take)| match take {
        Take::Value(arg, _) => Some((at, *arg)),
        _ => None,
    })
}

impl Terms {
    /// Counts the different values of arguments that are no keys: a column for each.
    pub(super) fn different_steps(
        &mut self,
        rows: &BTreeMap<usize, RankedRows>,
        narrow: &mut usize,
    ) -> Result<Vec<Step>, PlanFault> {
        let mut steps = Vec::new();
        for ranked in &self.ranked {
            let measure = &self.measures[ranked.measure];
            let is_done = self.distinct[ranked.measure].is_some();
            if measure.kind != MeasureKind::Distinct || is_done {
                continue;
            }
            let Some(of) = rows.get(&ranked.measure) else {
                continue;
            };
            steps.push(different_step(measure, of, *narrow)?);
            self.distinct[ranked.measure] = Some(*narrow);
            *narrow += 1;
        }
        Ok(steps)
    }

    /// The arguments of a relation whose rows are kept one by one: what these are ordered by, or several beside each other.
    pub(super) fn ranked_of(&self, relation: usize) -> Vec<Vec<usize>> {
        let ranked = self.ranked.iter().filter(|r| r.relation == relation);
        let correlated = self.correlated.iter();
        let correlated = correlated.filter(|c| c.weights.relation == relation);
        let beside = correlated.map(|c| c.values.iter().map(|(_, arg)| *arg).collect());
        ranked.map(|r| vec![r.arg]).chain(beside).collect()
    }

    /// How many rows are ordered of each measure, and in how many groups.
    pub(super) fn ranked_rows(
        &self,
        compiled: &Compiled,
        cells: usize,
    ) -> BTreeMap<usize, RankedRows> {
        let mut all: BTreeMap<usize, RankedRows> = BTreeMap::new();
        for ranked in &self.ranked {
            let one = &compiled.all[ranked.relation];
            let groups: usize = one.keys.iter().map(KeyColumn::n_slots).product();
            let of = all.entry(ranked.measure).or_insert(RankedRows {
                rows: Vec::new(),
                groups,
                others: cells / groups.max(1),
                shared: false,
            });
            of.rows.extend(one.raw.iter().map(|part| part.rows_at_most));
        }
        all
    }
}

impl RankedPlan {
    /// The place of each of its relations in the whole join.
    #[must_use]
    pub fn places(&self, of: &JoinPlan) -> Vec<usize> {
        let place = |seats: &[(usize, u64)]| of.relations.iter().position(|r| r.holders == seats);
        let relations = self.join.relations.iter();
        relations.filter_map(|r| place(&r.holders)).collect()
    }

    /// The sizes of its relations among those of the whole join.
    #[must_use]
    pub fn sizes(&self, of: &JoinPlan, sizes: &JoinSizes) -> JoinSizes {
        let places = self.places(of);
        let picked = |all: &[Vec<usize>]| places.iter().map(|at| all[*at].clone()).collect();
        JoinSizes {
            keys: picked(&sizes.keys),
            groups_a_key: picked(&sizes.groups_a_key),
        }
    }

    /// The weights of one holder's rows, as the protocol takes them.
    #[must_use]
    pub fn weights(
        &self,
        holder: usize,
        sizes: &JoinSizes,
        (keys, is_dealt): (&[KeyColumn], bool),
    ) -> WeightShape {
        let groups = self.join.groups(keys);
        let mut join = self.join.star(holder, sizes, &groups, is_dealt);
        if let Some(hub) = join.relations.first_mut() {
            *hub = join::Relation {
                cells: 1,
                flags: 0,
                narrow: 0,
                wide: 0,
                ..hub.clone()
            };
        }
        for term in join.narrow.iter_mut().flatten() {
            term.factors[0] = join::Factor::Matched { cell: 0 };
        }
        join.bounds = None;
        let n_rows = self.join.relations[0].rows_at_most[holder];
        WeightShape {
            join,
            n_rows: usize::try_from(n_rows).unwrap_or(usize::MAX),
        }
    }

    /// Of each combination of the other relations' groups, what a row counts for without a match: with a key, and without.
    #[must_use]
    pub fn own(&self, keys: &[KeyColumn]) -> Vec<[u64; 2]> {
        let groups = self.join.groups(keys);
        let mut own = vec![[0u64; 2]; groups[1..].iter().product()];
        for term in &self.join.own {
            let others = term.groups.iter().zip(&groups).skip(1);
            let at = others.fold(0, |at, (group, n)| at * n + group);
            let coefficient = term.coefficient.cast_unsigned();
            let [keyed, keyless] = &mut own[at];
            *keyless = keyless.wrapping_add(coefficient);
            if !term.keyless {
                *keyed = keyed.wrapping_add(coefficient);
            }
        }
        own
    }

    /// What the weights of all holders take and send.
    pub(super) fn price(
        &self,
        (of, sizes): (&JoinPlan, &JoinSizes),
        keys: &[KeyColumn],
        seats: Seats,
    ) -> Price {
        let sizes = self.sizes(of, sizes);
        let is_dealt = seats.n_seats > seats.n_computing;
        let holders = 0..self.join.n_stars();
        let each = holders
            .map(|holder| weights::price(seats, &self.weights(holder, &sizes, (keys, is_dealt))));
        each.fold(Price::nothing(seats), |sum, one| sum.then(&one))
    }
}
