//! A table whose holder remembers who was counted: jobs let it, or are refused.

use std::collections::BTreeSet;

use super::{Denial, Request, TablePolicy};
use crate::plan::Usage;

/// Why a job over a table is refused whose holder could not tell afterwards who was counted, if it is.
pub(super) fn objection(name: &str, table: &TablePolicy, request: &Request<'_>) -> Option<Denial> {
    let own = table.cohorts.as_ref()?;
    // Releases with noise have a budget of their own.
    if request.loss.is_some() {
        return None;
    }
    let columns = |usage: Usage| {
        let uses = request.uses.iter().filter(|used| used.table == name);
        let of = uses.filter(|used| used.usage == usage);
        of.map(|used| used.column.as_str()).collect::<BTreeSet<_>>()
    };
    let is_kept = request.cohorts == Some(own)
        && columns(Usage::Person) == BTreeSet::from([own.person.as_str()])
        && columns(Usage::Row) == BTreeSet::from([own.row.as_str()]);
    (!is_kept).then(|| Denial {
        rule: format!("tables.{name}.cohorts"),
        what: format!("the job would release figures over table {name} without account of who is counted in them"),
        allowed: "figures of single columns over a UNION ALL of the holders' rows, or with noise".to_owned(),
    })
}
