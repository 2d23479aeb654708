//! Totals beside their groups, and what cannot stand beside them.

use crate::plan::sql::outer::Outer;
use crate::plan::{self, KeyColumn, MAX_CELLS, MinCell, PlanFault, ReleaseRule, Step};

/// Gives every key a slot for its total, if the job has totals.
pub(in crate::plan) fn with_totals(outer: &Outer, keys: &mut [KeyColumn]) -> Result<(), PlanFault> {
    let Some(form) = outer.margins else {
        return Ok(());
    };
    for key in keys.iter_mut() {
        key.has_total = true;
    }
    let cells = keys.iter().map(KeyColumn::n_slots);
    let cells = cells.fold(1usize, usize::saturating_mul);
    if cells <= MAX_CELLS && plan::margins(form, keys, 0).is_some() {
        return Ok(());
    }
    let sizes: Vec<String> = keys
        .iter()
        .map(|k| format!("{} ({})", k.name, k.n_groups()))
        .collect();
    Err(PlanFault {
        place: "GROUP BY".to_owned(),
        what: format!(
            "there are too many keys or groups to protect the small ones from the totals beside them: {}",
            sizes.join(" × ")
        ),
        fix: "use coarser keys, or one job for each grouping".to_owned(),
    })
}

/// Checks that what the job asks for can stand beside totals.
pub(in crate::plan) fn check(
    outer: &Outer,
    steps: &[Step],
    rule: ReleaseRule,
    min_cell: &MinCell,
) -> Result<(), PlanFault> {
    without_steps(outer, steps)?;
    not_in_the_open(outer, rule, min_cell)
}

/// What is found on shares for each group has no totals yet.
fn without_steps(outer: &Outer, steps: &[Step]) -> Result<(), PlanFault> {
    if outer.margins.is_none() || steps.is_empty() {
        return Ok(());
    }
    Err(PlanFault {
        place: "GROUP BY".to_owned(),
        what: "ROLLUP and CUBE go with COUNT, SUM, AVG, VAR_SAMP, STDDEV_SAMP, CORR and the like, and not with MIN, MAX, quantiles, ranks or COUNT(DISTINCT x) in this version".to_owned(),
        fix: "run one job for each grouping, or leave these aggregates out".to_owned(),
    })
}

/// Counts that are opened to the parties would tell them the values of small groups, by subtraction from the totals.
fn not_in_the_open(outer: &Outer, rule: ReleaseRule, min_cell: &MinCell) -> Result<(), PlanFault> {
    let is_open = rule == ReleaseRule::OpenCounts && min_cell.at_least > 1;
    if outer.margins.is_none() || !is_open {
        return Ok(());
    }
    Err(PlanFault {
        place: "privacy.correlations".to_owned(),
        what: "is missing: which groups to hold back beside the small ones, so that ROLLUP and CUBE tell none of them, is found on shares, which takes correlated random numbers".to_owned(),
        fix: super::checks::SOURCES.to_owned(),
    })
}
