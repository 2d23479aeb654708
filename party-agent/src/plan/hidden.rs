//! Groups whose keys are not public: GROUP BY on columns whose values nobody lists.
//!
//! Each holder adds up its own rows by group, hashes the group's keys, and fills its groups up to a declared number.
//! The holders' groups are merged by their hashes on shares; those that are too small are never opened, nor are
//! their keys. The keys of a group stand side by side in a fixed number of bytes: three for the slot of a public one,
//! and for a hidden one its length and its text.

use protocols::party::PartyId;

use super::compile::Parties;
use super::part::Part;
use super::sql::outer::Outer;
use super::steps::first_use;
use super::words::counted;
use super::{HiddenGroups, KeyColumn, MinCell, PlanFault, ReleasedColumn};
use crate::spec::{CheckedSpec, SqlCompute};

/// Most groups of all holders together, filled up.
const MAX_GROUPS: u64 = 1 << 20;
/// Bytes of a public key's slot.
pub(crate) const SLOT_BYTES: usize = 3;
/// Bytes of a word of keys.
pub(crate) const WORD_BYTES: usize = 16;

impl KeyColumn {
    /// Bytes of one key among those of a group.
    pub(crate) fn bytes(&self) -> usize {
        match self.hidden {
            None => SLOT_BYTES,
            Some(longest) => 1 + usize::try_from(longest).expect("at most MAX_HIDDEN_BYTES"),
        }
    }
}

impl HiddenGroups {
    /// Words of all keys of a group together.
    #[must_use]
    pub fn key_words(&self) -> usize {
        let bytes = usize::try_from(self.key_bytes).expect("a few keys");
        bytes.div_ceil(WORD_BYTES)
    }

    /// Bytes of all keys of a group together.
    pub(super) fn bytes_of(keys: &[KeyColumn]) -> u64 {
        keys.iter().map(|key| key.bytes() as u64).sum()
    }

    /// A bound on groups that are all public.
    pub(super) fn none_to_bound() -> PlanFault {
        PlanFault {
            place: "compute.max_groups".to_owned(),
            what: "has no effect: the groups of every key are public".to_owned(),
            fix: "leave it out".to_owned(),
        }
    }

    /// Totals over the groups of a key whose groups are not public.
    pub(super) fn without_totals(name: &str) -> PlanFault {
        PlanFault {
            place: "GROUP BY".to_owned(),
            what: format!("ROLLUP and CUBE need the groups of {name}, which are not public"),
            fix: format!(
                "declare them in the job: [compute.domain] {name} = [\"…\"], or run one job for each grouping"
            ),
        }
    }

    /// The most that any seat may have: the others have none to show in the rest of their columns.
    pub(super) fn most(&self) -> usize {
        (0..self.groups.len())
            .map(|seat| self.at(seat))
            .max()
            .unwrap_or(0)
    }

    /// How many groups a seat may have.
    #[must_use]
    pub fn at(&self, seat: usize) -> usize {
        let groups = self.groups.get(seat).copied().unwrap_or(0);
        usize::try_from(groups).expect("at most 2^20 groups")
    }
}

/// What is known of the groups, if a key is hidden.
///
/// # Errors
/// What such a job lacks, and what it cannot do.
pub(super) fn groups(
    spec: &CheckedSpec,
    sql: &SqlCompute,
    (outer, keys): (&Outer, &[KeyColumn]),
    parties: &Parties,
    parts: &[Part],
) -> Result<Option<HiddenGroups>, PlanFault> {
    let is_hidden = |k: &&KeyColumn| k.hidden.is_some();
    let Some(first) = keys.iter().find(is_hidden) else {
        return match sql.max_groups {
            None => Ok(None),
            Some(_) => Err(HiddenGroups::none_to_bound()),
        };
    };
    if outer.margins.is_some() {
        return Err(HiddenGroups::without_totals(&first.name));
    }
    if spec.correlations.is_none() {
        return Err(PlanFault {
            place: "privacy.correlations".to_owned(),
            what: format!(
                "is missing: the groups of {} are not public, and holders find those that they share by sorting on shares, which takes correlated random numbers",
                first.name
            ),
            fix: super::compile::SOURCES.to_owned(),
        });
    }
    let most = sql.max_groups.unwrap_or(u64::MAX);
    let of_seat = |seat: &PartyId| {
        let part = parts.iter().find(|p| p.holder == *seat);
        part.map_or(0, |p| p.rows_at_most.min(most))
    };
    let groups: Vec<u64> = parties.seats.iter().map(of_seat).collect();
    let all = groups.iter().fold(0u64, |n, g| n.saturating_add(*g));
    if all > MAX_GROUPS {
        return Err(PlanFault {
            place: "GROUP BY".to_owned(),
            what: format!(
                "the groups of {} are not public, so each holder may have one for each of its rows: {all} in all, by the published sizes of the tables, and at most {MAX_GROUPS} can be merged",
                first.name
            ),
            fix: "write max_groups in [compute], the most that any holder has; one with more ends the job before anything is sent".to_owned(),
        });
    }
    Ok(Some(HiddenGroups {
        groups,
        key_bytes: HiddenGroups::bytes_of(keys),
    }))
}

/// What hidden groups cannot be combined with.
pub(super) fn refused(
    keys: &[KeyColumn],
    min_cell: &MinCell,
    released: &[ReleasedColumn],
    outer: &Outer,
) -> Option<PlanFault> {
    let name = &keys.iter().find(|k| k.hidden.is_some())?.name;
    if let Some(fault) = without_minimum(keys, min_cell) {
        return Some(fault);
    }
    if let Some(found) = first_use(released) {
        return Some(PlanFault {
            place: "compute.sql".to_owned(),
            what: format!(
                "{found} in groups of {name}, whose values are not published, is not available in this version"
            ),
            fix: format!(
                "use COUNT, SUM, AVG, VAR_SAMP, STDDEV_SAMP or CORR, or declare the groups in the job: [compute.domain] {name} = [\"…\"]"
            ),
        });
    }
    let n_sums = outer.args.len();
    (n_sums > MAX_ARGS).then(|| PlanFault {
        place: "compute.sql".to_owned(),
        what: format!(
            "{} in groups of {name}, whose values are not published, would move with every group as they are merged",
            counted(n_sums as u64, "aggregated argument")
        ),
        fix: format!("aggregate at most {MAX_ARGS} arguments in one job"),
    })
}

/// Most arguments of aggregates over hidden groups.
const MAX_ARGS: usize = 32;

/// Groups whose values are not published, without a minimum of rows in each.
pub(super) fn without_minimum(keys: &[KeyColumn], min_cell: &MinCell) -> Option<PlanFault> {
    let hidden = keys.iter().find(|k| k.hidden.is_some())?;
    (min_cell.at_least <= 1).then(|| PlanFault {
        place: "privacy.min_cell".to_owned(),
        what: format!(
            "is missing: the values of {} are not published, and without a minimum cell those of single rows would be shown",
            hidden.name
        ),
        fix: "write min_cell = 11, say; it is at least 2".to_owned(),
    })
}
