//! Rank correlations of columns of one relation of a join: its rows, how often each counts, and what is added up of their
//! ranks.

use engine::share::Share;
use protocols::aggregate::LocalTotals;
use protocols::arith::mul;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::session::Session;
use protocols::stats::different::DifferentRun;
use protocols::stats::rank::SharedColumns;

use super::computed::ranked;
use super::ranked::Ranked;
use super::steps::MISFIT;
use crate::local::Joined;
use crate::plan::{CorrelatedPlan, JoinPlan, JoinSizes, Plan, Step};

/// Arguments whose values stand beside each other.
pub(super) struct Correlated<'a> {
    plan: &'a Plan,
    of: &'a CorrelatedPlan,
    weights: Ranked<'a>,
}

/// Rows of all holders of a relation, one after the other.
pub(super) struct Rows {
    /// Values, column by column; each is its holder's.
    values: Vec<Share<u64>>,
    /// How often each row counts, group by group.
    weights: Vec<Share<u64>>,
}

impl<'a> Correlated<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        (join, of): (&'a JoinPlan, &'a CorrelatedPlan),
        sizes: &JoinSizes,
    ) -> Self {
        Self {
            plan,
            of,
            weights: Ranked::new(plan, (join, &of.weights), sizes),
        }
    }

    /// Values of rows and how often they count.
    pub(super) async fn rows(
        &self,
        session: &mut Session,
        mine: Option<&(usize, Joined)>,
        stock: &mut Stock,
    ) -> Result<Rows, ProtocolError> {
        let runs = self.weights.runs(session, mine, stock).await?;
        let (own, others) = self.of.groups(&self.plan.keys);
        let mut all = Rows {
            values: self.of.values.iter().map(|_| Share::zero(0)).collect(),
            weights: (0..own * others).map(|_| Share::zero(0)).collect(),
        };
        for run in runs {
            let n_rows = run.weights.first().map_or(0, Share::len);
            let filled = |values: &mut dyn Iterator<Item = u64>| {
                let mut values: Vec<u64> = values.collect();
                values.resize(n_rows, 0);
                Share::new(values)
            };
            let own_rows = run.rows.as_ref().filter(|_| run.owner == session.seat());
            let beside = match (own_rows, mine) {
                (Some(_), Some((_, joined))) => joined.beside(self.of.weights.arg),
                _ => &[],
            };
            for (at, values) in all.values.iter_mut().enumerate() {
                let first = own_rows.into_iter().flat_map(|rows| rows.iter());
                // Distances have 64 bits.
                let mut first = first.map(|(_, value)| *value as u64);
                let mut other = at.checked_sub(1).and_then(|at| beside.get(at));
                let mut other = other.iter_mut().flat_map(|values| values.iter().copied());
                values.append(match at {
                    0 => filled(&mut first),
                    _ => filled(&mut other),
                });
            }
            let weights = self.by_group(session, (run, n_rows), stock).await?;
            for (all, weights) in all.weights.iter_mut().zip(weights) {
                all.append(weights);
            }
        }
        Ok(all)
    }

    /// How often rows count in each group of theirs and the others together: their own, which their holder knows, is a
    /// factor of 0 or 1.
    async fn by_group(
        &self,
        session: &mut Session,
        (run, n_rows): (DifferentRun, usize),
        stock: &mut Stock,
    ) -> Result<Vec<Share<u64>>, ProtocolError> {
        let (own, others) = self.of.groups(&self.plan.keys);
        if own == 1 {
            return Ok(run.weights);
        }
        let mut is_in = vec![0u64; own * others * n_rows];
        let rows = run.rows.iter().flat_map(|rows| rows.iter());
        for (row, (group, _)) in rows.enumerate() {
            for other in 0..others {
                is_in[(*group as usize * others + other) * n_rows + row] = 1;
            }
        }
        let mut weights = Vec::with_capacity(own * others * n_rows);
        for _ in 0..own {
            let of_rows = run.weights.iter();
            of_rows.for_each(|weights_of| weights.extend_from_slice(weights_of.as_slice()));
        }
        let counted = mul::mul(session, &Share::new(is_in), &Share::new(weights), stock).await?;
        let groups = counted.as_slice().chunks(n_rows.max(1));
        Ok(groups.map(|group| Share::new(group.to_vec())).collect())
    }
}

/// Ranks the rows and fills the columns of what is added up of the ranks. `join`: one of those of the weights.
pub(super) async fn rank(
    session: &mut Session,
    (plan, join): (&Plan, &JoinPlan),
    rows: Vec<Rows>,
    totals: &mut LocalTotals,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let is_its = |step: &&Step| matches!(step, Step::JointRanks { .. });
    let step = plan.steps.iter().find(is_its).ok_or(MISFIT);
    let step = session.ended_by(step)?;
    let mut columns = SharedColumns {
        values: Vec::new(),
        weights: Vec::new(),
    };
    for of in rows {
        columns.values.extend(of.values);
        columns.weights.push(of.weights);
    }
    ranked(session, (plan, step), columns, stock)
        .await?
        .put(join, totals);
    Ok(())
}
