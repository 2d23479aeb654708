//! What a plan of a model over a join tells people.

use protocols::party::PartyId;

use super::VerticalPlan;
use crate::plan::Learns;
use crate::plan::words::{listed, without_data};

pub(super) fn learns(
    of: &VerticalPlan,
    seats: &[PartyId],
    receivers: &[PartyId],
    dealer: Option<&PartyId>,
) -> Vec<Learns> {
    let sizes =
        "how many different complete keys the other holders bring, unless there is a dealer";
    let figures = match of.scores.is_empty() {
        true => String::new(),
        false => format!(
            "; of the rows kept for a test the number of bad and of good ones, the area under the curve and the Kolmogorov–Smirnov distance, if there are at least {} of both",
            of.at_least
        ),
    };
    let result = format!(
        "; whether at least {} common rows are fitted, and if so how many; whether a column is a combination of those before it, and which; if none is, {} coefficients and standard errors, and how far the last step still went{figures}",
        of.at_least,
        of.features.len() + 1,
    );
    let mut learns: Vec<Learns> = seats
        .iter()
        .map(|seat| {
            let result = if receivers.contains(seat) {
                result.as_str()
            } else {
                ""
            };
            Learns {
                party: seat.to_string(),
                what: format!("{sizes}{result}; not who matched"),
            }
        })
        .collect();
    learns.extend(without_data(dealer));
    learns
}

pub(super) fn warnings(of: &VerticalPlan) -> Vec<String> {
    let n = of.features.len();
    let few = format!(
        "coefficients of {n} features over as few as {} rows tell something about single rows; a greater min_cell asks for more of them",
        of.at_least
    );
    if of.at_least < 100 {
        vec![few]
    } else {
        Vec::new()
    }
}

pub(super) fn notes(of: &VerticalPlan) -> Vec<String> {
    let mut notes = vec![
        "coefficients and standard errors are those of columns less their means, divided by their standard deviations (by n) over the rows that are fitted".to_owned(),
        format!("{} steps of Newton's method, whatever they find: fit.decrement says how far the last one went", of.steps),
        "numbers are fixed-point: coefficients are good to about 1e-5, standard errors to 1e-3 of themselves".to_owned(),
    ];
    if !of.scores.is_empty() {
        notes.push("scores that agree to 2^-12 of a logit are ties, and count one half".to_owned());
    }
    notes
}

/// What runs, for approvers.
pub(super) fn of_run(of: &VerticalPlan) -> Vec<String> {
    let keys: Vec<&str> = of.tables.iter().map(|t| t.label.as_str()).collect();
    let rows = match &of.sample {
        None => "all of them are fitted".to_owned(),
        Some(sample) => match &sample.test {
            None => format!("those with {} = {} are fitted", sample.column, sample.train),
            Some(test) => format!(
                "those with {} = {} are fitted, those with {test} are kept for a test",
                sample.column, sample.train
            ),
        },
    };
    vec![
        format!(
            "rows with equal {} meet in shares (circuit-PSI by VOLE); rows in which a value is missing are left out by their holder",
            listed(&keys)
        ),
        format!("of the rows in common {rows}; nobody sees which rows these are"),
        format!(
            "a {} model of {} and {} features by {} steps of Newton's method on shares; gradients, cross-products and residuals are not opened",
            of.model.as_str(),
            of.label.1,
            of.features.len(),
            of.steps
        ),
    ]
}
