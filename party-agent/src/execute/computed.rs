//! Arguments of a join that are computed row by row: their values in the bins of the hub's table, and what is found among
//! them.

use engine::ring;
use engine::share::Share;
use protocols::aggregate::LocalTotals;
use protocols::arith::mul;
use protocols::correlate::{self, Source, Stock};
use protocols::error::ProtocolError;
use protocols::join::bins;
use protocols::session::Session;
use protocols::stats::rank::{RankSums, Ranking, SharedColumns};
use protocols::stats::weighted::{self, SharedRows};

use super::join::inputs;
use super::ranked::Search;
use super::steps::{MISFIT, put};
use crate::local::Joined;
use crate::plan::{ComputedPlan, ComputedValue, JoinPlan, JoinSizes, JointPair, Plan, Step};

/// The rows in which values are computed.
pub(super) struct Rows<'a> {
    plan: &'a Plan,
    of: &'a ComputedPlan,
    sizes: JoinSizes,
}

/// What was added up of the ranks of pairs.
pub(super) struct Ranks<'a> {
    pairs: &'a [JointPair],
    found: Vec<RankSums>,
}

impl Ranks<'_> {
    /// Fills their columns, for each group of the relations together.
    pub(super) fn put(self, join: &JoinPlan, totals: &mut LocalTotals) {
        for (pair, found) in self.pairs.iter().zip(self.found) {
            for (place, sums) in found.sums.iter().enumerate() {
                let cells = join.cells.iter().flatten();
                let values = cells.map(|at| sums.as_slice()[*at]).collect();
                put(&mut totals.narrow[pair.column + place], Share::new(values));
            }
        }
    }
}

/// Ranks rows by one number after the other, each with correlations of its own, and adds up.
pub(super) async fn ranked<'a>(
    session: &mut Session,
    (plan, step): (&Plan, &'a Step),
    rows: SharedColumns,
    stock: &mut Stock,
) -> Result<Ranks<'a>, ProtocolError> {
    let shape = step.joint_rank_shape(&plan.setting()).ok_or(MISFIT);
    let shape = session.ended_by(shape)?;
    let source = session.ended_by(plan.source().ok_or(MISFIT))?;
    let mut ranking = Ranking::new(session, rows, &shape).await?;
    for needs in plan.needs_apart() {
        let mut own = correlate::preprocess(session, &source, &needs).await?;
        ranking.rank_next(session, &mut own).await?;
    }
    let found = ranking.sums(session, stock).await?;
    let pairs = match step {
        Step::JointRanks { pairs, .. } => pairs.as_slice(),
        _ => &[],
    };
    Ok(Ranks { pairs, found })
}

impl<'a> Rows<'a> {
    pub(super) fn new(plan: &'a Plan, of: &'a ComputedPlan, sizes: &JoinSizes) -> Self {
        let sizes = sizes.clone();
        Self { plan, of, sizes }
    }

    /// The numbers of each row, total by total and group by group.
    pub(super) async fn numbers(
        &self,
        session: &mut Session,
        mine: Option<&(usize, Joined)>,
        stock: &mut Stock,
    ) -> Result<Vec<Share<u64>>, ProtocolError> {
        let join: &JoinPlan = &self.of.join;
        let is_dealt = matches!(self.plan.source(), Some(Source::Dealer { .. }));
        let shape = self.of.shape(&self.sizes, &self.plan.keys, is_dealt);
        let inputs = inputs(session, (join, &self.sizes), mine, 0);
        let numbers = bins::bins(session, &shape, inputs, stock).await?;
        Ok(self.end_to_end(numbers))
    }

    /// The numbers of one row of each key after those of another, where these are told apart.
    fn end_to_end(&self, numbers: Vec<Share<u64>>) -> Vec<Share<u64>> {
        let n_columns = numbers.len() / self.of.rows_a_key.max(1);
        let mut all: Vec<Share<u64>> = (0..n_columns).map(|_| Share::zero(0)).collect();
        for (at, own) in numbers.into_iter().enumerate() {
            all[at % n_columns].append(own);
        }
        all
    }

    /// Fills the columns of what is found.
    pub(super) async fn find(
        &self,
        session: &mut Session,
        numbers: &[Share<u64>],
        totals: &mut LocalTotals,
        stock: &mut Stock,
    ) -> Result<(), ProtocolError> {
        for value in &self.of.values {
            if let Some(column) = value.squares {
                let squares = self.squares(session, value, numbers, stock).await?;
                put(&mut totals.narrow[column], squares);
            }
        }
        for value in self.of.values.iter().filter(|value| value.ordered) {
            let search = Search::of(self.plan, (value.measure, &self.of.join));
            let search = session.ended_by(search)?;
            let n_rows = search.shape.rows.first().copied().unwrap_or(0);
            let rows = self.rows_of(session, value, (numbers, n_rows));
            let counts = search.counts(totals);
            let found =
                weighted::quantiles_of_shares(session, rows, &counts, &search.shape, stock).await?;
            search.put(session, found, totals);
        }
        self.rank(session, numbers, totals, stock).await
    }

    /// Ranks the values, and fills the columns of what is added up of the ranks.
    async fn rank(
        &self,
        session: &mut Session,
        numbers: &[Share<u64>],
        totals: &mut LocalTotals,
        stock: &mut Stock,
    ) -> Result<(), ProtocolError> {
        let mut steps = self.plan.steps.iter();
        let is_its = |step: &&Step| matches!(step, Step::JointRanks { .. });
        let Some(step @ Step::JointRanks { items, rows, .. }) = steps.find(is_its) else {
            return Ok(());
        };
        let n_rows = usize::try_from(*rows).unwrap_or(usize::MAX);
        let mut columns = SharedColumns {
            values: Vec::with_capacity(items.len()),
            weights: Vec::new(),
        };
        for item in items {
            let of = session.ended_by(self.value(item.measure))?;
            let item = self.rows_of(session, of, (numbers, n_rows));
            columns.values.push(item.values);
        }
        for count in step.counts() {
            let of = session.ended_by(self.value(count))?;
            let count = self.rows_of(session, of, (numbers, n_rows));
            columns.weights.push(count.weights);
        }
        ranked(session, (self.plan, step), columns, stock)
            .await?
            .put(&self.of.join, totals);
        Ok(())
    }

    fn value(&self, measure: usize) -> Result<&ComputedValue, ProtocolError> {
        let mut values = self.of.values.iter();
        values.find(|value| value.measure == measure).ok_or(MISFIT)
    }

    /// The sum of the squares of a value in each group of the result.
    async fn squares(
        &self,
        session: &mut Session,
        of: &ComputedValue,
        numbers: &[Share<u64>],
        stock: &mut Stock,
    ) -> Result<Share<u64>, ProtocolError> {
        let of_groups = self.columns(of.value, numbers);
        let n_rows = of_groups.first().map_or(0, Share::len);
        let mut all = Share::zero(0);
        of_groups.iter().for_each(|values| {
            all.append(Share::new(values.as_slice().to_vec()));
        });
        let squares = mul::mul(session, &all, &all, stock).await?;
        let of_cell = |at: &usize| ring::sum(&squares.as_slice()[at * n_rows..][..n_rows]);
        let cells = self.of.join.cells.iter().flatten();
        Ok(Share::new(cells.map(of_cell).collect()))
    }

    /// The numbers of a total, group by group.
    fn columns<'n>(&self, total: usize, numbers: &'n [Share<u64>]) -> &'n [Share<u64>] {
        let n_cells = self.of.join.groups(&self.plan.keys).iter().product();
        &numbers[total * n_cells..][..n_cells]
    }

    /// Distances from the low end of the range, and in which group a row counts. Of tables that are smaller than published
    /// there are fewer bins, which are filled up.
    fn rows_of(
        &self,
        session: &Session,
        of: &ComputedValue,
        (numbers, n_rows): (&[Share<u64>], usize),
    ) -> SharedRows {
        let filled = |number: &Share<u64>| {
            let mut values = number.as_slice().to_vec();
            values.resize(n_rows, 0);
            Share::new(values)
        };
        let columns = |total: usize| self.columns(total, numbers).iter().map(filled);
        let mut values = Share::zero(n_rows);
        columns(of.value).for_each(|of_group| values.add_assign(&of_group));
        let from_low = of.low.cast_unsigned().wrapping_neg();
        values.add_public(session.seat().index(), &vec![from_low; n_rows]);
        SharedRows {
            values,
            weights: columns(of.count).collect(),
        }
    }
}
