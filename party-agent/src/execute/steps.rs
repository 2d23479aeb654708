//! The steps of a plan on one session, and its release: what each step finds becomes further columns of the totals.

use std::mem;

use engine::ring::Ring;
use engine::share::Share;
use protocols::aggregate::{self, LocalTotals, Released};
use protocols::correlate::Stock;
use protocols::disclose::Disclosure;
use protocols::error::ProtocolError;
use protocols::session::Session;
use protocols::stats::distinct::{self, DistinctInput};
use protocols::stats::extreme::{self, ExtremeInput};
use protocols::stats::group::coded::{self, CodedTotals};
use protocols::stats::group::{self, GroupRows, Groups};
use protocols::stats::quantile;
use protocols::stats::rank::{self, RankInput};
use protocols::stats::select::{self, SelectInput};
use protocols::stats::top::{self, Top};
use zeroize::Zeroize;

use super::survival;
use crate::local::{LocalInputs, StepInput};
use crate::plan::{CellCheck, Plan, Release, Step, Which};

/// What was opened to a receiver.
pub(super) enum Opened {
    /// Totals of public groups.
    Cells(Released),
    /// Groups with their keys.
    Groups(Groups),
}

/// What a release tells this seat.
pub(super) struct Told {
    /// At a receiver.
    pub(super) result: Option<Opened>,
    /// What each holder contributed, where that is metered; behind that, if the plan says so, what would be missing without each.
    pub(super) contributions: Vec<u64>,
}

impl Told {
    fn result(result: Option<Opened>) -> Self {
        Self {
            result,
            contributions: Vec::new(),
        }
    }
}

/// Runs all steps, which fill the columns of the totals that are zeros so far.
pub(super) async fn run(
    session: &mut Session,
    plan: &Plan,
    inputs: &mut LocalInputs,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    session.ended_by(within_bounds(plan, &inputs.totals))?;
    on_shares(session, plan, inputs, stock).await
}

/// The same where the totals are shares already, so that nobody can tell whether they are within bounds.
pub(super) async fn on_shares(
    session: &mut Session,
    plan: &Plan,
    inputs: &mut LocalInputs,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    for (step, mut input) in plan.steps.iter().zip(inputs.steps.drain(..)) {
        one(session, (plan, step), &mut input, &mut inputs.totals, stock).await?;
    }
    Ok(())
}

/// Counts of this holder's own beyond their bounds would be compared wrongly. Columns that a step fills are zeros yet.
fn within_bounds(plan: &Plan, totals: &LocalTotals) -> Result<(), ProtocolError> {
    let exceeds = |check: &CellCheck| {
        let mut counts = totals.narrow[check.column].iter();
        counts.any(|count| count >> check.bound_bits != 0)
    };
    match plan.shape.checks.iter().any(exceeds) {
        false => Ok(()),
        true => Err(ProtocolError::InvalidInput {
            what: "a count is below its declared bound",
        }),
    }
}

async fn one(
    session: &mut Session,
    (plan, step): (&Plan, &Step),
    input: &mut StepInput,
    totals: &mut LocalTotals,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let setting = plan.setting();
    match input {
        StepInput::Extremes(mine) => {
            let shape = step.extreme_shape(&setting).ok_or(MISFIT);
            let shape = session.ended_by(shape)?;
            let values = mine.iter().map(|v| v.map(i128::from)).collect();
            let input = ExtremeInput { values };
            let found = extreme::extremes::<u64>(session, input, &shape, stock).await?;
            let values = found.values.into_vec();
            for (found, values) in step.finds().iter().zip(values.chunks(setting.cells)) {
                let values = Share::new(values.to_vec());
                put(&mut totals.narrow[found.slot.index], values);
            }
        }
        StepInput::Histogram(counts) => {
            let counts = mem::take(counts);
            quantiles(session, (plan, step), counts, totals, stock).await?;
        }
        StepInput::Values(rows) => {
            let shape = step.select_shape(&setting).ok_or(MISFIT);
            let shape = session.ended_by(shape)?;
            let rows = SelectInput {
                rows: mem::take(rows),
            };
            if step.is_wide() {
                let found = select::select::<u128>(session, rows, &shape, stock).await?;
                for (found, values) in step.finds().iter().zip(found) {
                    put(&mut totals.wide[found.slot.index], values);
                }
            } else {
                let found = select::select::<u64>(session, rows, &shape, stock).await?;
                for (found, values) in step.finds().iter().zip(found) {
                    put(&mut totals.narrow[found.slot.index], values);
                }
            }
        }
        StepInput::Pairs(rows) => {
            let shape = step.rank_shape(&setting).ok_or(MISFIT);
            let shape = session.ended_by(shape)?;
            let rows = RankInput {
                rows: mem::take(rows),
            };
            let found = rank::rank_sums(session, rows, &shape, stock).await?;
            if let Step::RankCorrelation { column, .. } = step {
                for (place, sums) in found.sums.into_iter().enumerate() {
                    put(&mut totals.narrow[column + place], sums);
                }
            }
        }
        // Of a join, see `ranked`.
        StepInput::Ranked => {}
        StepInput::Keys(keys) => {
            let shape = step.distinct_shape(&setting).ok_or(MISFIT);
            let shape = session.ended_by(shape)?;
            let keys = mem::take(keys);
            let counts =
                distinct::distinct::<u64>(session, DistinctInput { keys }, &shape, stock).await?;
            if let Step::Distinct { column, .. } = step {
                put(&mut totals.narrow[*column], counts);
            }
        }
    }
    Ok(())
}

/// Finds quantiles, and extremes as such, in the rows of each value.
async fn quantiles(
    session: &mut Session,
    (plan, step): (&Plan, &Step),
    counts: Vec<u64>,
    totals: &mut LocalTotals,
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let setting = plan.setting();
    let shape = step.quantile_shape(&setting).ok_or(MISFIT);
    let shape = session.ended_by(shape)?;
    let found = quantile::quantiles::<u64>(session, counts, &shape, stock).await?;
    for (found, mut values) in step.finds().iter().zip(found) {
        if found.what == Which::Greatest {
            from_other_end(session, &mut values, shape.domain.len() as u64 - 1);
        }
        put(&mut totals.narrow[found.slot.index], values);
    }
    Ok(())
}

/// Distances from the other end of a range.
pub(super) fn from_other_end(session: &Session, values: &mut Share<u64>, span: u64) {
    values.negate();
    values.add_public(session.seat().index(), &vec![span; values.len()]);
}

pub(super) const MISFIT: ProtocolError = ProtocolError::InvalidInput {
    what: "the inputs of a step are those of its kind",
};

pub(super) fn put<R: Ring>(column: &mut Vec<R>, values: Share<R>) {
    column.zeroize();
    *column = values.into_vec();
}

/// Opens what the plan says to the receivers.
pub(super) async fn release(
    session: &mut Session,
    plan: &Plan,
    inputs: LocalInputs,
    mut stock: Stock,
    disclosure: Disclosure,
) -> Result<Told, ProtocolError> {
    let LocalInputs {
        mut totals, groups, ..
    } = inputs;
    if let Some(of) = plan.survival() {
        totals = survival::found(session, &of, totals, &mut stock).await?;
    }
    plan.compare_totals(session.seat().index() == 0, &mut totals);
    match plan.release() {
        Release::Cells(shape) => {
            let released = aggregate::release(session, totals, &shape, stock, disclosure).await?;
            Ok(Told::result(released.map(Opened::Cells)))
        }
        Release::Noisy(shape) => {
            let released = aggregate::noisy_release(session, totals, &shape, stock, disclosure);
            Ok(Told::result(released.await?.map(Opened::Cells)))
        }
        Release::Rounded(shape) => {
            let released = aggregate::rounded_release(session, totals, &shape, stock, disclosure);
            Ok(Told::result(released.await?.map(Opened::Cells)))
        }
        Release::Metered(shape) => {
            let metered = aggregate::metered_release(session, totals, &shape, stock, disclosure);
            let metered = metered.await?;
            Ok(Told {
                result: metered.released.map(Opened::Cells),
                contributions: [metered.contributions, metered.left_out].concat(),
            })
        }
        Release::Top(shape) => {
            let first = top::top(session, totals, &shape, &mut stock, disclosure).await?;
            let released = first.map(|first| in_cell_order(&first, shape.cells));
            Ok(Told::result(released.map(Opened::Cells)))
        }
        Release::Groups(shape) => {
            let mut keys = session.ended_by(groups.ok_or(MISFIT))?;
            let rows = GroupRows {
                hashes: mem::take(&mut keys.hashes),
                keys: mem::take(&mut keys.words),
                narrow: mem::take(&mut totals.narrow),
                wide: mem::take(&mut totals.wide),
            };
            let found = group::groups(session, rows, &shape, &mut stock, disclosure).await?;
            Ok(Told::result(found.map(Opened::Groups)))
        }
        Release::Coded(shape) => {
            let mut keys = session.ended_by(groups.ok_or(MISFIT))?;
            let totals = CodedTotals {
                keys: mem::take(&mut keys.words),
                narrow: mem::take(&mut totals.narrow),
                wide: mem::take(&mut totals.wide),
            };
            let found = coded::coded(session, totals, &shape, &mut stock, disclosure).await?;
            Ok(Told::result(found.map(Opened::Groups)))
        }
    }
}

/// The cells that come first, in the order of cells: the receivers' query orders them again.
fn in_cell_order(first: &Top, n_cells: usize) -> Released {
    let mut order: Vec<usize> = (0..first.cells.len()).collect();
    order.sort_unstable_by_key(|place| first.cells[*place]);
    let mut ok = vec![false; n_cells];
    first.cells.iter().for_each(|cell| ok[*cell] = true);
    Released {
        states: None,
        ok,
        narrow: reordered(&first.narrow, &order),
        wide: reordered(&first.wide, &order),
    }
}

fn reordered<T: Copy>(columns: &[Vec<T>], order: &[usize]) -> Vec<Vec<T>> {
    let column = |values: &Vec<T>| order.iter().map(|place| values[*place]).collect();
    columns.iter().map(column).collect()
}
