//! `[privacy.dp]`: what a job promises of differential privacy, and what bounds a person's contribution.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::config::fields::{Faults, Fields};
use crate::config::range;
use crate::privacy::{Guarantee, read_person};

/// Most rows of one person that can be counted.
const MAX_ROWS: u64 = 1000;

/// The clause of a job whose result has noise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DpClause {
    /// What is promised of everything that the job releases.
    pub promise: Guarantee,
    /// The column that tells persons apart, in every holder's rows.
    pub person: String,
    /// Of one person, each holder counts so many rows at most.
    pub rows_per_person: u64,
    /// Bounds of summed arguments, as the job spells those; a value beyond counts as the bound.
    #[serde(serialize_with = "as_pairs")]
    pub clamp: BTreeMap<String, (String, String)>,
}

/// Arguments are no ASCII keys.
fn as_pairs<S: Serializer>(
    clamp: &BTreeMap<String, (String, String)>,
    out: S,
) -> Result<S::Ok, S::Error> {
    out.collect_seq(clamp)
}

pub(super) fn read(mut fields: Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<DpClause> {
    let promise = Guarantee::read(&mut fields, faults);
    let person = read_person(&mut fields, faults);
    let rows = fields.whole(faults, "rows_per_person", 1..=MAX_ROWS);
    let allowed = "how many rows of one person each holder counts at most, such as 1";
    let rows = fields.required(faults, "rows_per_person", rows, allowed);
    let mut clamp = BTreeMap::new();
    if let Some(table) = fields.table(faults, "clamp") {
        for (argument, value) in table.entries() {
            if let Some(bounds) = range::read(&table.name(argument), value, faults) {
                clamp.insert(argument.to_owned(), bounds);
            }
        }
    }
    fields.finish(faults);
    Some(DpClause {
        promise: promise?,
        person: person?,
        rows_per_person: rows?,
        clamp,
    })
}
