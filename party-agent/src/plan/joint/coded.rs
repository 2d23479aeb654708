//! Groups over a join whose values nobody lists: their holder numbers them as it meets them, and the join adds up by number.
//!
//! How many numbers there are is public: `max_groups`, or as many as the table may have rows. Which value has which is known to
//! the holder alone. The keys of groups go along as words that the holder brings (`plan/hidden.rs`), and are opened for groups
//! that pass, after a shuffle ([`protocols::stats::group::coded`]).

use protocols::party::PartyId;

use super::Job;
use super::relation::Compiled;
use crate::plan::part::Part;
use crate::plan::{HiddenGroups, KeyColumn, MAX_CELLS, MinCell, PlanFault, hidden};

/// Gives the hidden keys of a relation as many numbers as it may have values. Rows without a match have a value that is
/// known, and with it a number of their own.
pub(super) fn numbered(
    job: &Job<'_>,
    parts: &[Part],
    without: &[Option<Option<String>>],
    keys: &mut [KeyColumn],
) -> Result<(), PlanFault> {
    for (key, without) in keys.iter_mut().zip(without) {
        let Some(longest) = key.hidden else {
            continue;
        };
        let [part] = parts else {
            return Err(PlanFault {
                place: "GROUP BY".to_owned(),
                what: format!(
                    "the groups of {} are not known, and several holders have a part of its table: over a join a column that nobody lists has one holder, which numbers its values",
                    key.name
                ),
                fix: "publish the categories of the column, or list them in [compute.domain]"
                    .to_owned(),
            });
        };
        let most = job
            .sql
            .max_groups
            .unwrap_or(u64::MAX)
            .min(part.rows_at_most);
        let codes = usize::try_from(most).unwrap_or(usize::MAX);
        if codes > MAX_CELLS {
            return Err(PlanFault {
                place: "GROUP BY".to_owned(),
                what: format!(
                    "the groups of {} are not public, so {} may have one for each of its rows: {most}, by the published size of its table, and at most {MAX_CELLS} are added up over a join",
                    key.name, part.holder
                ),
                fix: "write max_groups in [compute], the most that any holder has; one with more ends the job before anything is sent".to_owned(),
            });
        }
        if without
            .iter()
            .flatten()
            .any(|text| text.len() as u64 > longest)
        {
            return Err(PlanFault {
                place: "GROUP BY".to_owned(),
                what: format!(
                    "what {} is in rows without a match has more than the {longest} bytes of the column's longest value",
                    key.name
                ),
                fix: "write a shorter text in COALESCE".to_owned(),
            });
        }
        key.domain = without.iter().cloned().collect();
        key.codes = codes.max(1);
    }
    Ok(())
}

impl Job<'_> {
    /// What is known of groups that nobody lists, if a key has such.
    pub(super) fn hidden_groups(
        &self,
        compiled: &Compiled,
        keys: &[KeyColumn],
        min_cell: &MinCell,
    ) -> Result<Option<HiddenGroups>, PlanFault> {
        let Some(first) = keys.iter().find(|key| key.hidden.is_some()) else {
            return match self.sql.max_groups {
                None => Ok(None),
                Some(_) => Err(HiddenGroups::none_to_bound()),
            };
        };
        if self.outer.margins.is_some() {
            return Err(HiddenGroups::without_totals(&first.name));
        }
        if let Some(fault) = hidden::without_minimum(keys, min_cell) {
            return Err(fault);
        }
        let of_seat = |seat: &PartyId| {
            let mut all = compiled.all.iter();
            let own = all.find(|one| one.raw.iter().any(|part| part.holder == *seat))?;
            let numbered = own.keys.iter().filter(|key| key.codes > 0);
            let numbers: Vec<u64> = numbered.map(|key| key.n_slots() as u64).collect();
            (!numbers.is_empty()).then(|| numbers.into_iter().fold(1, u64::saturating_mul))
        };
        let groups = self.parties.seats.iter();
        Ok(Some(HiddenGroups {
            groups: groups.map(|seat| of_seat(seat).unwrap_or(0)).collect(),
            key_bytes: HiddenGroups::bytes_of(keys),
        }))
    }
}
