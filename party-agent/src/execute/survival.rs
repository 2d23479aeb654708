//! Survival on one session: from counts by arm and time, which stay shares, to what is released of them.

use engine::share::Share;
use protocols::aggregate::LocalTotals;
use protocols::correlate::Stock;
use protocols::error::ProtocolError;
use protocols::session::Session;
use protocols::stats::survival::{self, Counts};
use zeroize::Zeroizing;

use crate::plan::{COMPARED, FURTHER, SHOWN, Survival, TIMES_FROM};

/// The columns of the release: what the arms' counts add up to, and what is found of them.
pub(super) async fn found(
    session: &mut Session,
    of: &Survival<'_>,
    totals: LocalTotals,
    stock: &mut Stock,
) -> Result<LocalTotals, ProtocolError> {
    let mut out = LocalTotals {
        narrow: vec![vec![0; of.n_cells()]; COMPARED + 1],
        wide: vec![vec![0; of.n_cells()]; of.n_wide()],
    };
    let persons = by_arm(of, &totals.narrow[0]);
    let compared = by_arm(of, &totals.narrow[of.compared()]);
    let mut events = by_arm(of, &totals.narrow[of.events()]);
    // Whoever is observed for longer is so without an event.
    for (place, (time, _)) in of.times.iter().enumerate() {
        if of.is_beyond(*time) {
            let arms = events.chunks_mut(of.times.len());
            arms.for_each(|arm| arm[place] = 0);
        }
    }
    let counts = counts(session, of, [&persons, &events], stock).await?;
    let sums: [&[u64]; 3] = [&persons, &compared, &events];
    match of.compares {
        true => compare(session, of, sums, (&counts, &mut out), stock).await?,
        false => curves(session, of, sums, (&counts, &mut out), stock).await?,
    }
    Ok(out)
}

/// A column of totals by arm and, within an arm, by time.
fn by_arm(of: &Survival<'_>, column: &[u64]) -> Zeroizing<Vec<u64>> {
    let arms = of.arms.iter();
    let cells = arms.flat_map(|(arm, _)| of.times.iter().map(|(_, time)| of.cell(*arm, *time)));
    Zeroizing::new(cells.map(|cell| column[cell]).collect())
}

/// The counts over the ring in which the protocols work. A holder's own numbers are the same there; shares of a
/// join are not.
async fn counts(
    session: &mut Session,
    of: &Survival<'_>,
    [persons, events]: [&[u64]; 2],
    stock: &mut Stock,
) -> Result<Counts, ProtocolError> {
    if !of.is_joined() {
        let wide = |counts: &[u64]| Share::new(counts.iter().map(|n| u128::from(*n)).collect());
        return Ok(Counts {
            persons: wide(persons),
            events: wide(events),
        });
    }
    let shape = of.shape();
    let both = Share::new([persons, events].concat());
    let form = (shape.rows_bits, shape.method);
    let mut persons = survival::lifted(session, &both, form, stock).await?;
    let events = persons.split_off(events.len());
    Ok(Counts { persons, events })
}

async fn curves(
    session: &mut Session,
    of: &Survival<'_>,
    [persons, compared, events]: [&[u64]; 3],
    (counts, out): (&Counts, &mut LocalTotals),
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let through = of.through();
    let found = survival::kaplan_meier(session, counts, of.shape(), &through, stock).await?;
    let (n_times, n_declared) = (of.times.len(), through.len());
    let sum = |counts: &[u64]| counts.iter().fold(0u64, |sum, n| sum.wrapping_add(*n));
    for arm in 0..of.arms.len() {
        let first = arm * (TIMES_FROM + n_declared);
        let own = arm * n_times..(arm + 1) * n_times;
        let (persons, compared) = (&persons[own.clone()], &compared[own.clone()]);
        let events = sum(&events[own]);
        out.narrow[SHOWN][first] = sum(persons);
        out.narrow[COMPARED][first] = sum(compared);
        out.narrow[SHOWN][first + 1] = events;
        out.narrow[COMPARED][first + 1] = events;
        out.narrow[FURTHER][first + 1] = found.before_median.as_slice()[arm];
        for (k, from) in of.from().into_iter().enumerate() {
            let cell = first + TIMES_FROM + k;
            out.narrow[SHOWN][cell] = sum(&persons[from..]);
            out.narrow[COMPARED][cell] = sum(&compared[from..]);
            let place = arm * n_declared + k;
            out.wide[0][cell] = found.survival.as_slice()[place];
            out.wide[1][cell] = found.greenwood.as_slice()[place];
        }
    }
    Ok(())
}

async fn compare(
    session: &mut Session,
    of: &Survival<'_>,
    [persons, compared, events]: [&[u64]; 3],
    (counts, out): (&Counts, &mut LocalTotals),
    stock: &mut Stock,
) -> Result<(), ProtocolError> {
    let found = survival::log_rank(session, counts, of.shape(), stock).await?;
    let (n_times, tested) = (of.times.len(), of.arms.len() - 1);
    let sum = |counts: &[u64]| counts.iter().fold(0u64, |sum, n| sum.wrapping_add(*n));
    for arm in 0..of.arms.len() {
        let own = arm * n_times..(arm + 1) * n_times;
        out.narrow[SHOWN][arm] = sum(&events[own.clone()]);
        out.narrow[FURTHER][arm] = sum(&persons[own.clone()]);
        out.narrow[COMPARED][arm] = sum(&compared[own]);
    }
    out.wide[0][..tested].copy_from_slice(found.expected.as_slice());
    let mut covariances = found.covariances.as_slice().iter();
    for j in 0..tested {
        for k in j..tested {
            let covariance = covariances.next().copied().unwrap_or(0);
            out.wide[1 + k][j] = covariance;
            out.wide[1 + j][k] = covariance;
        }
    }
    Ok(())
}
