//! Proportional hazards over a join: where each row stands by its time, and what no model comes of.

use coordinator::job::FailureClass;
use protocols::train::glm::Released;

use super::super::Failure;
use super::MOST_DECREMENT;
use crate::local::People;
use crate::plan::VerticalPlan;
use crate::source::SourceError;

/// A coefficient of this size for a standard deviation that is still on its way has no end.
const ENDLESS: f64 = 2.0;

/// Of rows that are fitted twice the place of their time among all, 1 for the latest, and 1 more for an event.
pub(super) fn places(
    of: &VerticalPlan,
    table: &str,
    people: &People,
    is_used: &dyn Fn(usize) -> bool,
) -> Result<Vec<u64>, SourceError> {
    let [.., events, times] = people.numbers.as_slice() else {
        return Ok(Vec::new());
    };
    if events.iter().any(|e| *e != 0.0 && *e != 1.0) {
        let what = "an event is neither 0 nor 1";
        let advice = "publish 1 where observation ends with the event, 0 where not";
        return Err(SourceError::column(table, &of.label.1, what, advice));
    }
    let mut different = times.clone();
    different.sort_unstable_by(|a, b| b.total_cmp(a));
    different.dedup();
    let place = |row: usize| {
        let later = different.partition_point(|t| *t > times[row]);
        u64::from(is_used(row)) * (2 * (later as u64 + 1) + u64::from(events[row] == 1.0))
    };
    Ok((0..times.len()).map(place).collect())
}

/// Why what was released is no model of hazards, where that is so for a reason of their own.
pub(super) fn fault(of: &VerticalPlan, found: &Released) -> Option<Failure> {
    of.hazards.as_ref()?;
    let data = |what: String, advice| Failure::here(FailureClass::Data, what, advice);
    if !found.is_enough {
        let what = format!(
            "fewer than {} events befell the people in common who are fitted",
            of.at_least
        );
        return Some(data(what, "leave features out, or bring more people"));
    }
    let sizes = found.coefficients.iter().map(|b| b.abs());
    let greatest = sizes.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    let (column, size) = greatest.filter(|(_, size)| *size >= ENDLESS)?;
    if found.decrement < MOST_DECREMENT {
        return None;
    }
    let what = format!(
        "the likelihood is monotone, as it seems in {}: its coefficient is {size:.1} for a standard deviation after {} steps, and still grows",
        of.term(column),
        of.steps
    );
    Some(data(what, "leave that column out"))
}
