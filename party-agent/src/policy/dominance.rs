//! A table's rules about dominance: a job that adds up its columns keeps to them, or is refused.

use std::collections::BTreeSet;

use super::{Denial, Request, TablePolicy};
use crate::plan::Usage;

/// Why the sums of a job over a table are refused, if they are.
pub(super) fn objection(name: &str, table: &TablePolicy, request: &Request<'_>) -> Option<Denial> {
    let rule = table.dominance.as_ref()?;
    let uses = || request.uses.iter().filter(|used| used.table == name);
    if !uses().any(|used| used.usage.adds_up()) {
        return None;
    }
    let denial = |field: &str, what: String, allowed: String| {
        Some(Denial {
            rule: format!("tables.{name}.dominance{field}"),
            what,
            allowed,
        })
    };
    let Some(kept) = request.dominance else {
        let what = format!(
            "the job adds up columns of table {name} without a look at how much single contributors add"
        );
        let allowed = "counts, and sums of single columns over a UNION ALL of the holders' rows, or over a join by the contributor";
        return denial("", what, allowed.to_owned());
    };
    let persons = uses().filter(|used| used.usage == Usage::Person);
    let persons: BTreeSet<&str> = persons.map(|used| used.column.as_str()).collect();
    if persons != BTreeSet::from([rule.contributor.as_str()]) {
        let what =
            format!("the job does not tell contributors of table {name} apart as this holder does");
        return denial(".contributor", what, format!("{} alone", rule.contributor));
    }
    if !kept.covers(rule) {
        let what = format!("the job looks less closely at contributors of table {name}");
        let allowed =
            "these rules or stricter ones; publish the catalogue anew if they have changed";
        return denial("", what, allowed.to_owned());
    }
    None
}
