//! What a group must satisfy to be released, and how that is decided.

use std::collections::BTreeMap;

use protocols::party::PartyId;

use super::Parties;
use crate::plan::sql::holders::Catalogues;
use crate::plan::sql::outer::{Counted, Outer};
use crate::plan::{CellCheck, MAX_ROWS, Measure, MinCell, PlanFault, ReleaseRule, Released, Step};

/// What a minimum cell counts.
pub(in crate::plan) enum Person {
    /// Rows.
    Rows,
    /// Different keys: their column, and what is counted in words.
    Key(usize, String),
}

/// The columns on which checks are made.
pub(in crate::plan) struct CountColumns<'a> {
    pub(in crate::plan) measures: &'a [Measure],
    pub(in crate::plan) person: Person,
    /// For each argument the column of its distinct count, if it has one.
    pub(in crate::plan) distinct: Vec<Option<usize>>,
}

impl<'a> CountColumns<'a> {
    /// Those of a query without a join.
    pub(super) fn of_rows(measures: &'a [Measure], steps: &[Step]) -> Self {
        let column = |of: usize| {
            steps.iter().find_map(|step| match step {
                Step::Distinct {
                    measure, column, ..
                } if *measure == of => Some(*column),
                _ => None,
            })
        };
        Self {
            measures,
            person: Person::Rows,
            distinct: (0..measures.len()).map(column).collect(),
        }
    }

    /// The column that counts an argument's values, in words too.
    fn known(&self, arg: usize) -> (usize, String) {
        match self.measures[arg].count {
            0 => (0, "COUNT(*)".to_owned()),
            column => (column, format!("COUNT({})", self.measures[arg].label)),
        }
    }
}
use crate::spec::CheckedSpec;

/// What can be written where a source of correlated randomness is missing.
pub(in crate::plan) const SOURCES: &str = "write correlations = \"ot\" (the parties make them, no third party), or correlations = \"dealer:NAME\" (that party deals them, sees no data, and must not collude with any party)";

/// What is wanted of a count.
struct Wanted {
    label: String,
    min_cell: u64,
    having: u64,
}

impl Wanted {
    fn of(label: String) -> Self {
        Self {
            label,
            min_cell: 0,
            having: 0,
        }
    }
}

/// The checks by count column: the larger threshold wins where two are on the same.
pub(in crate::plan) fn checks(
    outer: &Outer,
    counts: &CountColumns<'_>,
    min_cell: &MinCell,
    rows: u64,
) -> Vec<CellCheck> {
    let mut wanted: BTreeMap<usize, Wanted> = BTreeMap::new();
    // One row or none: the group is there or it is not, which no threshold below 2 tells apart.
    if min_cell.at_least > 1 {
        let (column, label) = match &counts.person {
            Person::Rows => (0, "COUNT(*)".to_owned()),
            Person::Key(column, label) => (*column, label.clone()),
        };
        wanted.insert(
            column,
            Wanted {
                min_cell: min_cell.at_least,
                ..Wanted::of(label)
            },
        );
        quantiles(outer, counts, min_cell, &mut wanted);
    }
    for check in &outer.having {
        let (column, label) = match check.counted {
            Counted::Rows => (0, "COUNT(*)".to_owned()),
            Counted::Arg(i) => counts.known(i),
            Counted::Distinct(i) => {
                let label = format!("COUNT(DISTINCT {})", counts.measures[i].label);
                // Every count that HAVING names is among the outputs too, so it has a column.
                let column = counts.distinct[i].expect("a column for each distinct count");
                (column, label)
            }
        };
        let least = if column == 0 && !outer.keys.is_empty() {
            2
        } else {
            1
        };
        if check.at_least < least {
            continue;
        }
        let entry = wanted.entry(column).or_insert(Wanted::of(label));
        entry.having = entry.having.max(check.at_least);
    }
    let checks = wanted.into_iter().map(|(column, wanted)| {
        let at_least = wanted.min_cell.max(wanted.having).min(MAX_ROWS);
        // One comparison with the larger threshold covers both, and tells nobody which of them failed.
        let reason = match (wanted.min_cell, wanted.having) {
            (_, 0) => "min_cell",
            (0, _) => "having",
            _ => "min_cell and having",
        };
        CellCheck {
            column,
            at_least,
            bound_bits: 64 - rows.max(at_least).max(1).leading_zeros(),
            rule: format!("{} >= {at_least}", wanted.label),
            reason: reason.to_owned(),
        }
    });
    checks.collect()
}

/// A quantile has a minimum cell on either side: near an end it would be the value of one of a few.
fn quantiles(
    outer: &Outer,
    counts: &CountColumns<'_>,
    min_cell: &MinCell,
    wanted: &mut BTreeMap<usize, Wanted>,
) {
    for released in outer.released.values() {
        let Released::Quantile { measure, p, .. } = released else {
            continue;
        };
        // One at the very end is refused.
        let Some(least) = p.rows_with(min_cell.at_least) else {
            continue;
        };
        let (column, label) = counts.known(*measure);
        let entry = wanted.entry(column).or_insert(Wanted::of(label));
        entry.min_cell = entry.min_cell.max(least);
    }
}

/// Quantiles at the very ends are the least and the greatest value, and no group is large enough for them.
///
/// # Errors
/// Where there is a minimum.
pub(in crate::plan) fn no_ends(outer: &Outer, min_cell: &MinCell) -> Result<(), PlanFault> {
    let is_end = |released: &Released| match released {
        Released::Quantile { p, .. } => p.rows_with(1).is_none(),
        _ => false,
    };
    if min_cell.at_least <= 1 || !outer.released.values().any(is_end) {
        return Ok(());
    }
    Err(PlanFault {
        place: "compute.sql".to_owned(),
        what: format!(
            "a quantile at 0 or 1 is the value of one row, and one at p takes {0} rows on either side (min_cell = {0})",
            min_cell.at_least
        ),
        fix: "write a level between, 0.05 or 0.95 for example; or MIN and MAX, where the policies allow them".to_owned(),
    })
}

pub(super) fn rule(
    spec: &CheckedSpec,
    catalogues: &Catalogues,
    parties: &Parties,
    checks: &[CellCheck],
) -> Result<ReleaseRule, PlanFault> {
    if checks.is_empty() {
        return Ok(ReleaseRule::None);
    }
    if spec.correlations.is_some() {
        return Ok(ReleaseRule::Compare);
    }
    let open = |p: &PartyId| catalogues.get(p).is_some_and(|c| c.open_counts);
    if parties.holders.iter().all(open) {
        return Ok(ReleaseRule::OpenCounts);
    }
    let rules: Vec<&str> = checks.iter().map(|c| c.rule.as_str()).collect();
    let closed: Vec<&str> = parties
        .holders
        .iter()
        .filter(|p| !open(p))
        .map(PartyId::as_str)
        .collect();
    Err(PlanFault {
        place: "privacy.correlations".to_owned(),
        what: format!(
            "is missing: comparing counts on shares ({}) takes correlated random numbers, and {} does not let counts be opened instead",
            rules.join(" AND "),
            closed.join(", ")
        ),
        fix: SOURCES.to_owned(),
    })
}
