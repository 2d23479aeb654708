//! What may be done with data of a class, whatever a policy lists.

use crate::catalogue::{Aggregate, Class};
use crate::plan::Usage;

/// The smallest group of sensitive and of important data.
pub(super) const SENSITIVE_MIN_CELL: u64 = 11;

/// Persons who have to approve a job over important data.
pub(super) const IMPORTANT_PERSONS: usize = 2;

/// What comes out of a use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// Nothing of the values themselves.
    Nothing,
    /// Numbers over many rows.
    Totals,
    /// Values as they stand in rows, of large enough groups.
    Values,
    /// Something about single rows.
    Rows,
}

fn shows(usage: Usage) -> Shows {
    match usage {
        Usage::Filter
        | Usage::Compute
        | Usage::Person
        | Usage::Row
        | Usage::JoinKey
        | Usage::JoinSize
        | Usage::Feature
        | Usage::Aggregate(Aggregate::Count | Aggregate::CountDistinct) => Shows::Nothing,
        Usage::Label
        | Usage::Aggregate(Aggregate::Sum | Aggregate::Avg | Aggregate::Var | Aggregate::Corr) => {
            Shows::Totals
        }
        Usage::GroupBy
        | Usage::GroupByHidden
        | Usage::Aggregate(
            Aggregate::Min | Aggregate::Max | Aggregate::Median | Aggregate::Quantile,
        )
        | Usage::Published => Shows::Values,
        Usage::RowLevel | Usage::JoinKeys => Shows::Rows,
    }
}

/// What a class has against a use in a job that lets out groups of at least `min_cell`; `None` if nothing.
pub(super) fn objection(class: Class, usage: Usage, min_cell: u64) -> Option<&'static str> {
    let large_groups = min_cell >= SENSITIVE_MIN_CELL;
    match (class, shows(usage)) {
        (Class::Core, _) => Some("core data take part in no job"),
        (Class::Important, Shows::Rows) => Some("important data take part in aggregates alone"),
        (Class::L3, Shows::Totals | Shows::Values) => Some(
            "what tells who somebody is may be compared, filtered by and counted, and never be shown",
        ),
        (Class::L4 | Class::Important, _) if usage == Usage::GroupByHidden => {
            Some("values of this class form groups only where they are published")
        }
        (Class::L4 | Class::Important, Shows::Values) if usage != Usage::GroupBy => {
            Some("values of single rows of this class are not shown")
        }
        (Class::L4 | Class::Important, Shows::Totals | Shows::Values) if !large_groups => {
            Some("totals and groups of this class need min_cell = 11 or more")
        }
        _ => None,
    }
}
