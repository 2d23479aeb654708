//! How a plan's data have to be handled: the class that its result inherits, whose rows are left out, and which data they are.

use std::collections::BTreeMap;

use protocols::party::PartyId;

use super::Plan;
use crate::catalogue::{Catalogue, Class};
use crate::manifest::Manifest;

/// Adds these to a plan that is otherwise complete, and which manifest its procedure keeps to.
pub(super) fn noted(mut plan: Plan, catalogues: &BTreeMap<PartyId, Catalogue>) -> Plan {
    plan.manifest = Manifest::of(&plan.procedure).digest();
    plan.class = class(&plan, catalogues);
    if let Some(class) = plan.class {
        plan.notes.push(format!(
            "the result is of class {}, the highest among the columns that were used",
            class.as_str()
        ));
    }
    for (party, local) in &plan.locals {
        for table in &local.tables {
            let entry = catalogues.get(party).and_then(|c| c.tables.get(table));
            let committed = entry.and_then(|entry| entry.commitment);
            if let Some(commitment) = committed {
                plan.commitments
                    .insert(format!("{party}.{table}"), commitment);
            }
            if let Some(consent) = entry.and_then(|entry| entry.consent.as_ref()) {
                plan.notes.push(format!("of {party}.{table}, {consent}"));
            }
        }
    }
    plan
}

/// What is derived from data is as sensitive as the most sensitive of them.
fn class(plan: &Plan, catalogues: &BTreeMap<PartyId, Catalogue>) -> Option<Class> {
    let used = plan
        .locals
        .iter()
        .flat_map(|(party, local)| local.uses.iter().map(move |used| (party, used)));
    used.filter_map(|(party, used)| {
        let table = catalogues.get(party)?.tables.get(&used.table)?;
        table.columns.iter().find(|c| c.name == used.column)?.class
    })
    .max()
}
