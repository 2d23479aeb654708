//! Quantiles and different values of arguments of a join whose rows their holders put in order: how often each row counts,
//! and what is found among them.

use engine::share::Share;
use protocols::aggregate::LocalTotals;
use protocols::correlate::{Source, Stock};
use protocols::error::ProtocolError;
use protocols::join::weights::{self, HubRows, WeightInputs};
use protocols::session::Session;
use protocols::stats::different::{self, DifferentRun};
use protocols::stats::weighted::{self, Run, WeightedShape};
use zeroize::Zeroizing;

use super::join::{holder, padding};
use super::steps::{MISFIT, from_other_end, put};
use crate::local::Joined;
use crate::plan::{JoinPlan, JoinSizes, Measure, Plan, RankedPlan, Step, Which};

/// One argument whose rows are in order.
pub(super) struct Ranked<'a> {
    plan: &'a Plan,
    of: &'a RankedPlan,
    /// The place of each of its relations in the whole join.
    places: Vec<usize>,
    sizes: JoinSizes,
}

impl<'a> Ranked<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        (join, of): (&'a JoinPlan, &'a RankedPlan),
        sizes: &JoinSizes,
    ) -> Self {
        Self {
            plan,
            of,
            places: of.places(join),
            sizes: of.sizes(join, sizes),
        }
    }

    /// How often each row of each holder counts.
    pub(super) async fn runs(
        &self,
        session: &mut Session,
        mine: Option<&(usize, Joined)>,
        stock: &mut Stock,
    ) -> Result<Vec<DifferentRun>, ProtocolError> {
        let join = &self.of.join;
        let is_dealt = matches!(self.plan.source(), Some(Source::Dealer { .. }));
        let mine = mine.and_then(|(place, joined)| {
            let place = self.places.iter().position(|p| p == place)?;
            Some((place, holder(join, place, session)?, joined))
        });
        let mut runs = Vec::with_capacity(join.n_stars());
        for star in 0..join.n_stars() {
            let keys = (self.plan.keys.as_slice(), is_dealt);
            let shape = self.of.weights(star, &self.sizes, keys);
            let inputs = mine.and_then(|(place, holder, joined)| {
                self.inputs(session, (place, holder, star), joined)
            });
            let mut weights = weights::weights(session, &shape, inputs, stock).await?;
            let own = mine.filter(|(place, holder, _)| (*place, *holder) == (0, star));
            if let Some((.., joined)) = own {
                self.add_own(joined, &mut weights);
            }
            let rows = own.map(|(.., joined)| joined.different(self.of.arg));
            runs.push(DifferentRun {
                owner: shape.join.relations[0].holders[0].seat,
                rows,
                weights,
            });
        }
        Ok(runs)
    }

    fn inputs(
        &self,
        session: &mut Session,
        (place, holder, star): (usize, usize, usize),
        joined: &Joined,
    ) -> Option<WeightInputs> {
        let brought = self.of.join.brings(place, holder, star)?;
        let bound = self.sizes.keys[place][holder];
        let padding = padding(session, bound.saturating_sub(joined.n_keys()));
        Some(match place {
            0 => WeightInputs::Hub(HubRows {
                keys: joined.keys(&padding),
                rows: joined.ordered(self.of.arg).1,
            }),
            _ => WeightInputs::Spoke(joined.inputs(&brought, &padding, false)),
        })
    }

    /// What rows count for without a match.
    fn add_own(&self, joined: &Joined, weights: &mut [Share<u64>]) {
        let (_, keys) = joined.ordered(self.of.arg);
        let own = self.of.own(&self.plan.keys);
        for (weights, [keyed, keyless]) in weights.iter_mut().zip(own) {
            for (weight, key) in weights.as_mut_slice().iter_mut().zip(&keys) {
                let more = if key.is_some() { keyed } else { keyless };
                *weight = weight.wrapping_add(more);
            }
        }
    }

    /// Fills the columns of what is found.
    pub(super) async fn find(
        &self,
        session: &mut Session,
        runs: Vec<DifferentRun>,
        totals: &mut LocalTotals,
        stock: &mut Stock,
    ) -> Result<(), ProtocolError> {
        let is_its =
            |s: &&Step| matches!(s, Step::Different { measure, .. } if *measure == self.of.measure);
        if let Some(step) = self.plan.steps.iter().find(is_its) {
            return self.count(session, (step, runs), totals, stock).await;
        }
        let runs = runs.into_iter().map(in_order).collect();
        let search = Search::of(self.plan, (self.of.measure, &self.of.join));
        let search = session.ended_by(search)?;
        let counts = search.counts(totals);
        let found = weighted::quantiles(session, runs, &counts, &search.shape, stock).await?;
        search.put(session, found, totals);
        Ok(())
    }

    /// Fills the column of a count of different values.
    async fn count(
        &self,
        session: &mut Session,
        (step, runs): (&Step, Vec<DifferentRun>),
        totals: &mut LocalTotals,
        stock: &mut Stock,
    ) -> Result<(), ProtocolError> {
        let shape = step.different_shape(&self.plan.setting()).ok_or(MISFIT);
        let shape = session.ended_by(shape)?;
        let counts = different::different(session, runs, &shape, stock).await?;
        if let Step::Different { column, .. } = step {
            let of_cell = |at: &usize| counts.as_slice()[*at];
            let cells = self.of.join.cells.iter().flatten();
            let counts = Share::new(cells.map(of_cell).collect());
            put(&mut totals.narrow[*column], counts);
        }
        Ok(())
    }
}

/// A run whose values are distances, which have 64 bits.
fn in_order(run: DifferentRun) -> Run {
    let rows = run.rows.map(|rows| {
        let rows = rows.iter().map(|(group, value)| (*group, *value as u64));
        Zeroizing::new(rows.collect())
    });
    Run {
        owner: run.owner,
        rows,
        weights: run.weights,
    }
}

/// The step that searches the values of a measure.
pub(super) struct Search<'a> {
    step: &'a Step,
    measure: &'a Measure,
    join: &'a JoinPlan,
    pub(super) shape: WeightedShape,
}

impl<'a> Search<'a> {
    /// # Errors
    /// A plan without such a step.
    pub(super) fn of(
        plan: &'a Plan,
        (measure, join): (usize, &'a JoinPlan),
    ) -> Result<Self, ProtocolError> {
        let is_its = |s: &&Step| matches!(s, Step::Ranked { measure: of, .. } if *of == measure);
        let step = plan.steps.iter().find(is_its).ok_or(MISFIT)?;
        Ok(Self {
            step,
            measure: &plan.measures[measure],
            join,
            shape: step.weighted_shape(&plan.setting()).ok_or(MISFIT)?,
        })
    }

    /// Of each group of others, the rows with a value in each group.
    pub(super) fn counts(&self, totals: &LocalTotals) -> Vec<Share<u64>> {
        let counted = &totals.narrow[self.measure.count];
        let shape = &self.shape;
        let mut counts: Vec<Share<u64>> = (0..shape.others)
            .map(|_| Share::zero(shape.groups))
            .collect();
        for (count, at) in counted.iter().zip(self.join.cells.iter().flatten()) {
            counts[at % shape.others].as_mut_slice()[at / shape.others] = *count;
        }
        counts
    }

    /// Fills the columns of what was found.
    pub(super) fn put(&self, session: &Session, found: Vec<Share<u64>>, totals: &mut LocalTotals) {
        for (found, values) in self.step.finds().iter().zip(found) {
            let of_cell = |at: &usize| values.as_slice()[*at];
            let cells = self.join.cells.iter().flatten();
            let mut values = Share::new(cells.map(of_cell).collect());
            if found.what == Which::Greatest {
                from_other_end(session, &mut values, self.measure.span());
            }
            put(&mut totals.narrow[found.slot.index], values);
        }
    }
}
