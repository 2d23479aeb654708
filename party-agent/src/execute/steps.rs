//! The steps of a plan on one session: what each finds becomes further columns of the totals.

use engine::share::Share;
use engine::share::boolean::BitShare;
use protocols::aggregate::LocalTotals;
use protocols::correlate::Stock;
use protocols::dense::{self, extreme, rank};
use protocols::error::ProtocolError;
use protocols::session::Session;
use protocols::stats::distinct::{self, DistinctInput};
use zeroize::Zeroize;

use crate::local::{LocalInputs, StepInput};
use crate::plan::{Found, Plan, Step};

/// Runs all steps and returns the totals with every column filled.
pub(super) async fn run(
    session: &mut Session,
    plan: &Plan,
    inputs: LocalInputs,
    stock: &mut Stock,
) -> Result<LocalTotals, ProtocolError> {
    let LocalInputs { mut totals, steps } = inputs;
    for (step, mut input) in plan.steps.iter().zip(steps) {
        if let (Some(shape), Step::Distinct { column, .. }, StepInput::Keys(keys)) =
            (step.distinct_shape(plan.shape.cells), step, &mut input)
        {
            let keys = DistinctInput {
                keys: std::mem::take(keys),
            };
            let counts = distinct::distinct::<u64>(session, keys, &shape, stock).await?;
            totals.narrow[*column].zeroize();
            totals.narrow[*column] = counts.into_vec();
            continue;
        }
        let outcome = one(session, plan, step, input, stock).await;
        let found = session.ended_by(outcome)?;
        for (found, planes) in step.finds().iter().zip(found) {
            fill(&mut totals, found, &planes);
        }
    }
    Ok(totals)
}

/// The planes of everything that a step finds.
async fn one(
    session: &mut Session,
    plan: &Plan,
    step: &Step,
    mut input: StepInput,
    stock: &mut Stock,
) -> Result<Vec<Vec<BitShare>>, ProtocolError> {
    let cells = plan.shape.cells;
    match (step, &mut input) {
        (Step::Extremes { bits, finds }, StepInput::Extremes(mine)) => {
            let planes = extreme::least(session, mine, *bits, stock).await?;
            Ok((0..finds.len()).map(|i| part(&planes, i, cells)).collect())
        }
        (Step::Ranks { .. }, StepInput::Histogram(counts)) => {
            let shape = step.rank_shape(cells, plan.cost.rows_at_most);
            let shape = shape.ok_or(MISFIT)?;
            let counts = Share::new(std::mem::take(counts));
            rank::find(session, &counts, &shape, stock).await
        }
        _ => Err(MISFIT),
    }
}

const MISFIT: ProtocolError = ProtocolError::InvalidInput {
    what: "the inputs of a step are those of its kind",
};

/// The planes of one value, out of those of several that start a word each.
fn part(planes: &[BitShare], position: usize, cells: usize) -> Vec<BitShare> {
    let n_words = cells.div_ceil(64);
    let words = position * n_words..(position + 1) * n_words;
    let plane = |p: &BitShare| BitShare::from_words(cells, p.as_words()[words.clone()].to_vec());
    planes.iter().map(plane).collect()
}

fn fill(totals: &mut LocalTotals, found: &Found, planes: &[BitShare]) {
    let columns = dense::columns(planes).into_iter();
    for (place, column) in columns.take(found.bits as usize).enumerate() {
        let slot = &mut totals.narrow[found.column + place];
        slot.zeroize();
        *slot = column;
    }
}
