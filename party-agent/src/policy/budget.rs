//! What a table may lose to each recipient in releases with noise.

use std::collections::BTreeSet;

use super::{Denial, Request, TablePolicy};
use crate::ledger::Charge;
use crate::plan::Usage;
use crate::privacy::{Guarantee, eps_in_words};

/// `[tables.NAME.dp]`: in all, over all jobs, and for each recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What everything that one recipient is told of the table may amount to.
    pub promise: Guarantee,
    /// The column that tells persons apart.
    pub person: String,
    /// Whether jobs without noise are refused.
    pub required: bool,
}

/// What a release with noise tells, and whom.
#[derive(Clone, Debug)]
pub struct Loss<'a> {
    /// zCDP, in units of 10⁻¹².
    pub rho_pico: u64,
    /// Everybody else who learns something of it.
    pub told: Vec<&'a str>,
}

/// The charges of a job on a table's budget; none for a job without noise.
///
/// # Errors
/// Every reason to refuse.
pub(super) fn check(
    name: &str,
    table: &TablePolicy,
    request: &Request<'_>,
) -> Result<Vec<Charge>, Vec<Denial>> {
    let denial = |field: &str, what: String, allowed: String| Denial {
        rule: format!("tables.{name}.dp{field}"),
        what,
        allowed,
    };
    let (budget, loss) = match (&table.dp, &request.loss) {
        (Some(budget), None) if budget.required => {
            let what = format!("the job releases exact totals of table {name}");
            let allowed = "jobs with [privacy.dp]".to_owned();
            return Err(vec![denial(".required", what, allowed)]);
        }
        (_, None) => return Ok(Vec::new()),
        (None, Some(_)) => {
            let what = format!("table {name} has no budget for releases with noise");
            return Err(vec![denial("", what, "nothing".to_owned())]);
        }
        (Some(budget), Some(loss)) => (budget, loss),
    };
    let uses = request.uses.iter().filter(|used| used.table == name);
    let persons = uses.filter(|used| used.usage == Usage::Person);
    let persons: BTreeSet<&str> = persons.map(|used| used.column.as_str()).collect();
    if persons != BTreeSet::from([budget.person.as_str()]) {
        let persons: Vec<&str> = persons.into_iter().collect();
        let what = format!(
            "the job tells persons of table {name} apart by {}",
            if persons.is_empty() {
                "nothing".to_owned()
            } else {
                persons.join(", ")
            }
        );
        let allowed = format!("{} alone", budget.person);
        return Err(vec![denial(".person", what, allowed)]);
    }
    let at_most = budget.promise.rho_pico();
    let charge = |recipient: &&str| {
        let key = (name.to_owned(), (*recipient).to_owned());
        let before = request.facts.runs.charged.get(&key).copied().unwrap_or(0);
        let left = at_most.saturating_sub(before);
        if loss.rho_pico > left {
            let what =
                format!("the job takes more of table {name}'s budget for {recipient} than is left");
            let allowed = format!(
                "ε = {} and less at δ = 2^{}, of ε = {} in all",
                eps_in_words(budget.promise.eps_micro_within(left)),
                budget.promise.delta_log2,
                budget.promise.eps()
            );
            return Err(denial(".eps_micro", what, allowed));
        }
        Ok(Charge {
            table: name.to_owned(),
            recipient: (*recipient).to_owned(),
            rho_pico: loss.rho_pico,
            at_most,
        })
    };
    let (charges, denials): (Vec<_>, Vec<_>) =
        loss.told.iter().map(charge).partition(Result::is_ok);
    let denials: Vec<Denial> = denials.into_iter().filter_map(Result::err).collect();
    if denials.is_empty() {
        Ok(charges.into_iter().filter_map(Result::ok).collect())
    } else {
        Err(denials)
    }
}
