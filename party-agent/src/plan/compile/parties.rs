//! Who takes part, and the minimum cell in force.

use std::collections::BTreeSet;

use protocols::party::PartyId;

use crate::plan::sql::holders::Catalogues;
use crate::plan::{MAX_ROWS, MinCell, PlanFault};
use crate::spec::{CheckedSpec, Correlations};

/// The parties of a job.
pub(in crate::plan) struct Parties {
    /// Those whose tables the query names, sorted.
    pub(in crate::plan) holders: Vec<PartyId>,
    /// Holders and receivers, sorted: the computing seats.
    pub(in crate::plan) seats: Vec<PartyId>,
}

impl Parties {
    /// The parties of a job. Receivers and dealers need no tables, so whether they exist is not known here:
    /// a contract names their pinned keys.
    ///
    /// # Errors
    /// A dealer that holds data or gets the result, and too many parties.
    pub(in crate::plan) fn of(
        spec: &CheckedSpec,
        catalogues: &Catalogues,
        holders: &BTreeSet<String>,
    ) -> Result<Self, Vec<PlanFault>> {
        let mut faults = Vec::new();
        let known = catalogues.keys();
        let holders: Vec<PartyId> = known
            .filter(|p| holders.contains(p.as_str()))
            .cloned()
            .collect();
        let seats: BTreeSet<PartyId> = holders.iter().chain(&spec.receivers).cloned().collect();
        if let Some(Correlations::Dealer(dealer)) = &spec.correlations
            && seats.contains(dealer)
        {
            faults.push(PlanFault {
                place: "privacy.correlations".to_owned(),
                what: format!(
                    "the dealer {dealer} is a holder of this job, and would learn every input"
                ),
                fix: "name a party without tables in this job, or write correlations = \"ot\""
                    .to_owned(),
            });
        }
        if seats.len() > usize::from(u8::MAX) - 1 {
            faults.push(PlanFault {
                place: "compute.sql".to_owned(),
                what: format!("{} parties compute", seats.len()),
                fix: "at most 254 can".to_owned(),
            });
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            holders,
            seats: seats.into_iter().collect(),
        })
    }
}

impl MinCell {
    /// The strictest of the job and of every holder's policy.
    pub(in crate::plan) fn strictest(
        spec: &CheckedSpec,
        catalogues: &Catalogues,
        holders: &[PartyId],
    ) -> Self {
        let of_job = spec.min_cell.map(|m| ("the job".to_owned(), m));
        let of_holders = holders
            .iter()
            .filter_map(|p| Some((p.to_string(), catalogues.get(p)?.min_cell)));
        let all: Vec<(String, u64)> = of_job.into_iter().chain(of_holders).collect();
        let strictest = all.iter().map(|(_, m)| *m).max().unwrap_or(0);
        let set_by = all.into_iter().filter(|(_, m)| *m == strictest);
        Self {
            // No group can be larger than all rows.
            at_least: strictest.min(MAX_ROWS),
            set_by: set_by.map(|(who, _)| who).collect(),
        }
    }
}
