//! The columns that come out of a holder's query: group keys and the arguments of aggregates.

use arrow::datatypes::DataType;
use serde::Serialize;

use super::Slot;
use super::shape::is_none;

/// One group key and its public domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyColumn {
    /// As the result names it.
    pub name: String,
    /// The type of its values; the domain is their text.
    pub kind: ValueKind,
    /// The groups, in the order of the slots: sorted (by value, not by text, for numbers), NULL last.
    pub domain: Vec<Option<String>>,
    /// Whether there is one more slot, after the domain, for every value outside it.
    pub has_other: bool,
    /// What the result calls that slot: `other`, or `(other)` where `other` is a group of its own.
    pub other_label: String,
    /// Where the domain comes from, in words.
    pub source: String,
    /// Whether the last slot is the total over this key: ROLLUP and CUBE.
    pub has_total: bool,
    /// Where there is no public domain: no value is longer as text, in bytes.
    pub hidden: Option<u64>,
    /// Over a join, the slots of such a key after those of its domain, which its holder gives to values as it meets them.
    #[serde(skip_serializing_if = "is_none")]
    pub codes: usize,
}

impl KeyColumn {
    /// Number of slots: the domain and, where there are such, `other`, those of values that nobody lists, and the total.
    #[must_use]
    pub fn n_slots(&self) -> usize {
        self.n_groups() + usize::from(self.has_total)
    }

    /// Number of slots that are no total.
    #[must_use]
    pub fn n_groups(&self) -> usize {
        self.domain.len() + usize::from(self.has_other) + self.codes
    }
}

/// The slot of each key in a cell, of keys with so many slots: mixed radix, the first key the most significant.
pub(crate) fn slots_of(
    mut cell: usize,
    n_slots: impl DoubleEndedIterator<Item = usize>,
) -> Vec<usize> {
    let of_key = |n: usize| {
        let slot = cell % n;
        cell /= n;
        slot
    };
    let mut slots: Vec<usize> = n_slots.rev().map(of_key).collect();
    slots.reverse();
    slots
}

/// The type of a key or of an output column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// True or false; as text `true`, `false`.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A decimal number; Arrow's 128-bit decimal up to 38 digits, its 256-bit one above.
    Decimal {
        /// Digits in all, at most 76.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// A 64-bit binary floating-point number.
    Float,
    /// Text.
    Text,
    /// A calendar day; as text `2026-11-21`.
    Date,
}

impl ValueKind {
    /// The Arrow type that carries it.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Decimal { precision, scale } if precision <= 38 => {
                DataType::Decimal128(precision, scale)
            }
            Self::Decimal { precision, scale } => DataType::Decimal256(precision, scale),
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8View,
            Self::Date => DataType::Date32,
        }
    }
}

/// One aggregate argument `a_i` and the totals that are kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Measure {
    /// Index of the argument among `a0, a1, …` (equal to this measure's own index).
    pub arg: usize,
    /// The argument as the job spells it.
    pub label: String,
    /// How values become integers.
    pub kind: MeasureKind,
    /// The values that the ring was sized for; another value is an error at its owner, before anything is sent.
    pub range: ValueRange,
    /// Narrow column with the number of values that are not NULL; 0 (the row count) where NULL cannot occur.
    pub count: usize,
    /// Where the sum goes, if it is needed.
    pub sum: Option<Slot>,
    /// Where the sum of squares goes, if it is needed.
    pub sum_sq: Option<Slot>,
}

/// How the values of an aggregate argument become integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MeasureKind {
    /// Only counted; any type.
    Counted,
    /// Integers (scale 0) or decimals, summed exactly as integers at this scale; squares at twice the scale.
    Exact {
        /// Digits after the point.
        scale: i8,
    },
    /// 64-bit floats. Each holder sums its cell exactly and rounds once to [`Slot::frac_bits`] fractional bits.
    Float,
    /// Its different values are counted: any type, as text. NULL is no value.
    Distinct,
    /// Calendar days as days since 1970-01-01: compared, not summed.
    Day,
}

/// The inclusive range of an argument's values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueRange {
    /// Lowest value. `Exact`: the unscaled integer (cents, say). `Float`: a decimal or scientific number that
    /// parses to exactly one double. `Counted`: empty.
    pub low: String,
    /// Highest value, likewise.
    pub high: String,
    /// Who says so.
    pub origin: RangeOrigin,
}

/// Where a [`ValueRange`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeOrigin {
    /// From ranges that the holders declared, through the expression.
    Declared,
    /// From the type of the values alone.
    Type,
    /// The job clamps values to it: one beyond counts as the bound.
    Clamped,
    /// Assumed, as wide as the ring allows.
    Assumed,
    /// Not needed: the argument is only counted.
    None,
}
