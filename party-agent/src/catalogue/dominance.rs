//! When a sum would tell too much about those who contribute most to it: a holder's rules for a table.

use serde::{Deserialize, Serialize};

/// Most contributors that a rule adds up.
pub(crate) const MAX_TOP: u64 = 4;

/// What the sums over a table have to satisfy, cell by cell. At least one of the two rules is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dominance {
    /// The column that tells contributors apart.
    pub contributor: String,
    /// Whether a contributor can have rows at other holders too.
    pub elsewhere: bool,
    /// The p% rule: beside the two largest contributions at least so much per cent of the largest is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_percent: Option<u64>,
    /// The (n, k) rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<TopShare>,
}

/// The `n` largest contributions are at most `percent` of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopShare {
    /// How many.
    pub n: u64,
    /// How much of the sum of all.
    pub percent: u64,
}

impl Dominance {
    /// Whether its numbers are those of a rule.
    pub(super) fn is_valid(&self) -> bool {
        let p = self.p_percent.is_none_or(|p| (1..=100).contains(&p));
        let top = self
            .top
            .is_none_or(|top| (1..=MAX_TOP).contains(&top.n) && (1..100).contains(&top.percent));
        p && top && (self.p_percent.is_some() || self.top.is_some())
    }
}
