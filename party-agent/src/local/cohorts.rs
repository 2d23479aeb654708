//! Who is counted in each cell, where this or another holder keeps account of that.

use std::collections::HashSet;

use arrow::array::ArrayRef;
use engine::hash::KeyedHash;
use protocols::aggregate::Margins;

use super::contribution::who;
use crate::ledger::Cohort;
use crate::plan::LocalPlan;
use crate::source::SourceError;

/// The rows of every cell.
pub(super) struct Counted<'a> {
    local: &'a LocalPlan,
    hash: KeyedHash,
    seen: HashSet<u64>,
    cells: Vec<Cohort>,
}

impl<'a> Counted<'a> {
    pub(super) fn new(local: &'a LocalPlan) -> Self {
        Self {
            local,
            hash: KeyedHash::new("entente/v1/agent/cohorts", &[]),
            seen: HashSet::new(),
            cells: Vec::new(),
        }
    }

    /// Adds one batch: for each row its cell, whose it is, and which.
    pub(super) fn add(
        &mut self,
        cells: &[u32],
        (persons, rows): (&ArrayRef, &ArrayRef),
    ) -> Result<(), SourceError> {
        let (persons, rows) = (who(&self.hash, persons)?, who(&self.hash, rows)?);
        for ((cell, person), row) in cells.iter().zip(persons).zip(rows) {
            let cell = *cell as usize;
            let short = |hash: Option<[u8; 16]>| {
                hash.map_or(0, |h| {
                    u64::from_le_bytes(*h.first_chunk().expect("16 bytes"))
                })
            };
            let row = short(row);
            if row == 0 || !self.seen.insert(row) {
                return Err(self.not_apart());
            }
            if self.cells.len() <= cell {
                self.cells.resize(cell + 1, Cohort::default());
            }
            self.cells[cell].0.push((row, short(person)));
        }
        Ok(())
    }

    fn not_apart(&self) -> SourceError {
        let what = "two rows that the job counts have the same value, or none, in the column that tells rows apart";
        let advice = "correct the table, or name another column under `cohorts` in the policy file; a query that counts rows twice is refused";
        SourceError::table(&self.local.tables.join(", "), what, advice)
    }

    /// The rows of every cell, those of totals too.
    pub(super) fn finish(mut self, margins: Option<&Margins>) -> Vec<Cohort> {
        if let Some(above) = margins.map(Margins::totals_above) {
            self.cells.resize(above.len(), Cohort::default());
            for (cell, totals) in above.iter().enumerate() {
                // Totals have no rows of their own: every cell with rows as yet is a group.
                let rows = if margins.is_some_and(|m| m.is_innermost(cell)) {
                    self.cells[cell].0.clone()
                } else {
                    continue;
                };
                for total in totals {
                    self.cells[*total].0.extend(&rows);
                }
            }
        }
        self.cells
    }
}
