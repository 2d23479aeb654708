//! Rank correlations of columns of one relation, whatever it is joined with: its rows are ranked as they stand, each as
//! often as it counts.
//!
//! Holders know the values of their own rows, and what the join says of a row is a shared number. So a key may have many
//! rows on every side, and a table several holders.

use datafusion::sql::sqlparser::ast::Expr;
use protocols::arith::mul;
use protocols::price::{Price, Seats};
use serde::Serialize;

use super::computed::check_ranked;
use super::ranked::{Ranked, RankedPlan};
use super::relation::Compiled;
use super::taken::{Argument, Taken};
use super::terms::Terms;
use super::{Job, JoinPlan, JoinSizes};
use crate::plan::steps::{JointItem, JointPair, RANK_COLUMNS};
use crate::plan::{KeyColumn, PlanFault, Released, Step};

/// Arguments whose values stand beside each other in the rows of a relation, which are ranked by each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CorrelatedPlan {
    /// The join that says how often each row counts in which the values are known.
    pub weights: RankedPlan,
    /// Measures of the query, and those of the relation that have their values; the first is that of `weights`.
    pub values: Vec<(usize, usize)>,
}

/// The same while the query is taken apart.
pub(super) struct Correlated {
    pub(super) weights: Ranked,
    pub(super) values: Vec<(usize, usize)>,
}

impl Job<'_> {
    /// The relation that has every argument of SPEARMAN, where whether its rows count is a product of the relations' numbers.
    ///
    /// # Errors
    /// Columns that no relation has.
    pub(super) fn ranked_at(&self, conditions: &[Expr]) -> Result<Option<usize>, PlanFault> {
        let mut found = None;
        for (i, arg) in self.outer.args.iter().enumerate() {
            if !self.is_rank_correlated(i) {
                continue;
            }
            let only = self.separate().only(&arg.expr)?;
            if only.is_none() || found.is_some_and(|at| Some(at) != only) {
                return Ok(None);
            }
            found = only;
        }
        // What cannot be taken apart is told when the query is.
        let condition = self.condition(conditions);
        let compares = !self.below.take().is_empty();
        let is_one = condition.is_ok_and(|products| products.len() == 1);
        let has_rows = |at: &usize| {
            let relation = &self.relations.all[*at];
            !relation.optional && relation.member.is_none()
        };
        let is_plain = is_one && !compares && self.outer.margins.is_none();
        Ok(found.filter(has_rows).filter(|_| is_plain))
    }

    /// Which measures are ranked over the same rows: each pair is known in the same, and so are those that a pair connects.
    fn ranked_together(&self) -> Vec<Vec<usize>> {
        let mut all: Vec<Vec<usize>> = Vec::new();
        let mut pairs = self.rank_pairs();
        pairs.sort_unstable();
        for (y, x) in pairs {
            let (mut with, without): (Vec<_>, Vec<_>) = all
                .into_iter()
                .partition(|g| g.contains(&y) || g.contains(&x));
            let mut together: Vec<usize> = with.drain(..).flatten().chain([y, x]).collect();
            together.sort_unstable();
            together.dedup();
            all = without;
            all.push(together);
        }
        all.sort();
        all
    }

    fn rank_pairs(&self) -> Vec<(usize, usize)> {
        let values = self.outer.released.values();
        let pairs = values.filter_map(|value| match *value {
            Released::Spearman { y, x } => Some((y, x)),
            _ => None,
        });
        pairs.collect()
    }
}

impl Terms {
    /// Puts arguments together that are ranked over the same rows of one relation.
    ///
    /// # Errors
    /// A value that is no column of that relation alone.
    pub(super) fn correlate(
        &mut self,
        job: &Job<'_>,
        compiled: &Compiled,
        taken: &Taken,
    ) -> Result<(), PlanFault> {
        if job.ranked_at.is_none() {
            return Ok(());
        }
        for together in job.ranked_together() {
            let mut all: Vec<Ranked> = Vec::new();
            for measure in together {
                let ranked = match &taken.args[measure] {
                    Argument::Plain {
                        ranked: Some(each), ..
                    } => Ranked::by_rows(measure, each),
                    _ => None,
                };
                let refused = || {
                    let expr = &job.outer.args[measure].expr;
                    let what = format!("the ranks of {expr}: it is no value of one table");
                    job.site.fault(expr, what, "rank columns of one table")
                };
                let ranked = ranked.ok_or_else(refused)?;
                self.typed(compiled, &ranked);
                all.push(ranked);
            }
            if let Some(first) = all.first() {
                self.correlated.push(Correlated {
                    weights: first.clone(),
                    values: all.iter().map(|of| (of.measure, of.arg)).collect(),
                });
            }
        }
        Ok(())
    }

    /// The step for all rank correlations of columns of one relation. `column`: the first that is free.
    ///
    /// # Errors
    /// Too many rows.
    pub(super) fn correlated_step(
        &self,
        job: &Job<'_>,
        compiled: &Compiled,
        (others, column): (usize, &mut usize),
    ) -> Result<Option<Step>, PlanFault> {
        let Some(first) = self.correlated.first() else {
            return Ok(None);
        };
        let parts = compiled.all[first.weights.relation].raw.iter();
        let rows = parts.fold(0u64, |n, part| n.saturating_add(part.rows_at_most));
        let items = self.correlated.iter().flat_map(|of| {
            let item = |measure: usize| JointItem {
                measure,
                count: of.weights.measure,
                bits: self.measures[measure].code_bits(),
            };
            of.values.iter().map(move |(measure, _)| item(*measure))
        });
        let items: Vec<JointItem> = items.collect();
        let place = |measure: usize| items.iter().position(|item| item.measure == measure);
        let mut wanted = job.rank_pairs();
        wanted.sort_unstable();
        let mut pairs = Vec::new();
        for (y, x) in wanted {
            let (Some(of_y), Some(of_x)) = (place(y), place(x)) else {
                continue;
            };
            pairs.push(JointPair {
                y,
                x,
                items: [of_y, of_x],
                column: *column,
            });
            *column += RANK_COLUMNS;
        }
        check_ranked(job, rows, (items.len(), "among"))?;
        Ok(Some(Step::JointRanks {
            items,
            pairs,
            rows,
            others,
            held: true,
        }))
    }
}

impl CorrelatedPlan {
    /// Groups of the relation's own, and of the others together.
    #[must_use]
    pub fn groups(&self, keys: &[KeyColumn]) -> (usize, usize) {
        let groups = self.weights.join.groups(keys);
        let (own, others) = groups.split_first().unwrap_or((&1, &[]));
        (*own, others.iter().product())
    }

    /// How often a row counts in each group takes a product for each group of its own, where there are several.
    #[must_use]
    pub fn n_products(&self, holder: usize, keys: &[KeyColumn]) -> usize {
        let rows = self.weights.join.relations[0].rows_at_most[holder];
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        match self.groups(keys) {
            (1, _) => 0,
            (own, others) => rows.saturating_mul(own * others),
        }
    }

    /// What the weights of all holders' rows take and send.
    pub(super) fn price(
        &self,
        (of, sizes): (&JoinPlan, &JoinSizes),
        keys: &[KeyColumn],
        seats: Seats,
    ) -> Price {
        let weights = self.weights.price((of, sizes), keys, seats);
        let holders = 0..self.weights.join.n_stars();
        let products = holders.map(|holder| self.n_products(holder, keys));
        let products = products.filter(|n| *n > 0);
        products.fold(weights, |sum, n| sum.then(&mul::price::<u64>(seats, n)))
    }
}
