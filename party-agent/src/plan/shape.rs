//! The columns of totals, and by which rule cells of them are released.

use serde::{Serialize, Serializer};

use super::cost::MAX_WRITTEN;

/// The public shape of the release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Product of the keys' slots. Cell index: mixed radix, key 0 the most significant.
    pub cells: usize,
    /// Columns over Z_2^64; column 0 is COUNT(*).
    pub narrow: usize,
    /// How many of these, the last ones, are compared and opened to nobody.
    #[serde(skip_serializing_if = "is_none")]
    pub compared: usize,
    /// Columns over Z_2^128.
    pub wide: usize,
    /// What a cell must satisfy to be released; all of them.
    pub checks: Vec<CellCheck>,
    /// How the checks are made.
    pub rule: ReleaseRule,
    /// Of the cells that pass, only these are opened.
    pub top: Option<TopCells>,
    /// The totals beside the cells, whose small ones they must not tell.
    pub margins: Option<Margins>,
    /// Where the groups are not public: what is known of them.
    pub hidden: Option<HiddenGroups>,
}

pub(super) fn is_none<T: Default + PartialEq>(n: &T) -> bool {
    *n == T::default()
}

/// A column of totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// In which ring.
    pub ring: RingWidth,
    /// Index among the columns of that ring.
    pub index: usize,
    /// Fractional bits of a float's fixed-point total; 0 for exact ones.
    pub frac_bits: u32,
    /// Decimals of that total beside them, where floats are multiplied by decimals.
    #[serde(skip_serializing_if = "is_none")]
    pub scale: u32,
}

/// The ring of a column of totals; values are in two's complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RingWidth {
    /// Z_2^64.
    Narrow,
    /// Z_2^128.
    Wide,
}

impl Shape {
    /// Of a plan that adds no totals up.
    pub(super) fn none() -> Self {
        Self {
            cells: 0,
            narrow: 0,
            compared: 0,
            wide: 0,
            checks: Vec::new(),
            rule: ReleaseRule::None,
            top: None,
            margins: None,
            hidden: None,
        }
    }
}

/// Which totals stand beside the groups of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Margins {
    /// Over the last key, over the last two, and so on.
    Rollup,
    /// Over each of two keys, and over both.
    Cube,
}

/// Groups that nobody lists: each holder has its own, and they meet by the hash of their keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HiddenGroups {
    /// For each seat how many groups it may have; what it has less is filled up.
    pub groups: Vec<u64>,
    /// Bytes of all keys of a group together.
    pub key_bytes: u64,
}

/// The cells that come first by a total: ORDER BY a total with LIMIT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopCells {
    /// How many.
    pub n: u64,
    /// The ring of the total.
    pub ring: RingWidth,
    /// Its column among those of that ring.
    pub column: usize,
    /// DESC (true) or ASC.
    pub greatest_first: bool,
    /// Every possible total lies strictly between ± 2^`bound_bits`.
    pub bound_bits: u32,
    /// The total as a person would write it.
    pub label: String,
}

/// A count that must reach a threshold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CellCheck {
    /// Narrow column: a count.
    pub column: usize,
    /// The threshold.
    #[serde(serialize_with = "as_far_as_json")]
    pub at_least: u64,
    /// Every possible total of the column is below 2^`bound_bits`.
    pub bound_bits: u32,
    /// The rule in words, for the result's list of suppressed groups: `COUNT(*) >= 11`.
    pub rule: String,
    /// `min_cell`, `having`, `min_cell and having`, or `dominance`.
    pub reason: String,
}

/// A number, or its digits as text beyond the integers that canonical JSON has.
fn as_far_as_json<S: Serializer>(number: &u64, out: S) -> Result<S::Ok, S::Error> {
    match *number <= MAX_WRITTEN {
        true => out.serialize_u64(*number),
        false => out.collect_str(number),
    }
}

/// How the checks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseRule {
    /// No checks: all cells are released.
    None,
    /// Counts are compared on shares; only the answers are opened.
    Compare,
    /// Counts are opened to the computing parties, which every holder's policy allows.
    OpenCounts,
}
