//! The rules of one table against one job.

use std::collections::BTreeSet;

use super::constraint::{Action, Observed, Rule};
use super::region::Regions;
use super::{Denial, Request};
use crate::ledger::{Counted, Reservation};

/// Finds for every action of the job a rule that allows it. A table without rules adds none to what its columns allow.
///
/// # Errors
/// For an action that no rule allows, what every rule has against it.
pub(super) fn check(
    table: &str,
    rules: &[Rule],
    request: &Request<'_>,
    regions: &Regions,
) -> Result<Vec<Reservation>, Vec<Denial>> {
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let (mut places, mut denials) = (BTreeSet::new(), Vec::new());
    for action in &request.work.actions {
        match allowed((table, rules), *action, request, regions) {
            Ok(place) => drop(places.insert(place)),
            Err(found) => denials.extend(found),
        }
    }
    if denials.is_empty() {
        Ok(places.into_iter().collect())
    } else {
        Err(denials)
    }
}

/// The first rule that allows an action, as the place that the run takes under it.
fn allowed(
    (table, rules): (&str, &[Rule]),
    action: Action,
    request: &Request<'_>,
    regions: &Regions,
) -> Result<Reservation, Vec<Denial>> {
    let mut denials = Vec::new();
    for rule in rules.iter().filter(|rule| rule.actions.contains(&action)) {
        let seen = observed(table, rule, request, regions);
        let broken = rule.constraints.iter().filter(|c| !c.holds(&seen));
        let found: Vec<Denial> = broken
            .map(|constraint| Denial {
                rule: format!("tables.{table}.rules.{}.{}", rule.name, constraint.name()),
                what: format!(
                    "to {} table {table}, {} is {}",
                    action.as_str(),
                    constraint.name(),
                    constraint.observed(&seen)
                ),
                allowed: constraint.to_string(),
            })
            .collect();
        if found.is_empty() {
            let constraints = rule.constraints.iter();
            return Ok(Reservation {
                table: table.to_owned(),
                rule: rule.name.clone(),
                at_most: constraints.clone().filter_map(|c| c.runs_at_most()).min(),
                interval_s: constraints.filter_map(|c| c.interval_s()).max(),
            });
        }
        denials.extend(found);
    }
    if denials.is_empty() {
        denials.push(Denial {
            rule: format!("tables.{table}.rules"),
            what: format!("no rule allows to {} table {table}", action.as_str()),
            allowed: "what one of the table's rules lists under actions".to_owned(),
        });
    }
    Err(denials)
}

fn observed<'a>(
    table: &str,
    rule: &Rule,
    request: &'a Request<'_>,
    regions: &'a Regions,
) -> Observed<'a> {
    let key = (table.to_owned(), rule.name.clone());
    let Counted { n, last } = request
        .facts
        .runs
        .by_rule
        .get(&key)
        .copied()
        .unwrap_or_default();
    let columns = request.uses.iter().filter(|used| used.table == table);
    Observed {
        now: request.facts.now,
        runs: n,
        last_run: last,
        rows_at_most: request.work.rows_at_most,
        columns: columns.map(|used| used.column.as_str()).collect(),
        execution_env: request.work.execution_env,
        algorithm: &request.work.algorithm,
        purpose: request.purpose,
        min_cell: request.min_cell,
        output_class: request.work.output_class,
        receivers: request.receivers.iter().copied().collect(),
        regions: regions.all(&request.others),
    }
}
