//! Work on shares beyond adding up: order statistics of every group.
//!
//! Each step fills further columns of the shape, and these are released or held back with the totals of their group.

mod build;
mod ranks;
mod words;

use protocols::arith::compare::Method;
use protocols::price::{Price, Seats};
use protocols::stats::different;
use protocols::stats::distinct::{self, DistinctShape};
use protocols::stats::extreme::{self, Extreme, ExtremeShape};
use protocols::stats::quantile::{self, Definition, QuantileShape};
use protocols::stats::rank::{self, RankShape};
use protocols::stats::select::{self, Place, SelectShape};
use protocols::stats::weighted::{self, WeightedShape};
use serde::Serialize;

use super::{Measure, MeasureKind, Released, ReleasedColumn, RingWidth, Slot};

pub use ranks::{JointItem, JointPair};

pub(super) use build::{Columns, RankedRows, RowBounds, build, different_step, of_counts};

/// One step of work on shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Compares one number of each holder in every group, for all least and greatest values at once.
    Extremes {
        /// Bits of the widest of them.
        bits: u32,
        /// What is found.
        finds: Vec<Found>,
    },
    /// Walks over a histogram of one argument in every group.
    Quantiles {
        /// The measure.
        measure: usize,
        /// Values from the lowest of its range to the highest.
        n_values: u64,
        /// Whether quantiles lie between two rows (type 7) or are values of rows (type 1).
        linear: bool,
        /// What is found, one for each level.
        finds: Vec<Found>,
    },
    /// Merges the holders' values of one argument, each in order and filled up, in every group.
    Sorted {
        /// The measure.
        measure: usize,
        /// Bits of a value's distance from the low end of the range.
        bits: u32,
        /// For each seat how many rows it may have in a group; what it has less is filled up.
        rows: Vec<u64>,
        /// What is found.
        finds: Vec<Found>,
    },
    /// Searches the rows of a join's relation, which its holders have put in order, by how often each counts.
    Ranked {
        /// The measure.
        measure: usize,
        /// Bits of a value's distance from the low end of the range.
        bits: u32,
        /// The rows that there are, and their groups.
        of: RankedRows,
        /// What is found.
        finds: Vec<Found>,
    },
    /// Ranks two arguments in every group, and adds up squares and products of the ranks.
    RankCorrelation {
        /// The measure of the first argument.
        y: usize,
        /// The measure of the second argument.
        x: usize,
        /// Bits of the two.
        bits: [u32; 2],
        /// For each seat how many rows it may have in a group; what it has less is filled up.
        rows: Vec<u64>,
        /// The first of four narrow columns: rows, squares of the first and of the second ranks, products.
        column: usize,
    },
    /// Ranks numbers of the rows of a join, and adds up squares and products of the ranks.
    JointRanks {
        /// What is ranked.
        items: Vec<JointItem>,
        /// What is correlated.
        pairs: Vec<JointPair>,
        /// Rows, those that do not count included.
        rows: u64,
        /// Groups.
        others: usize,
        /// Whether rows are those of one relation, whose holders know the numbers; else they are computed row by row.
        held: bool,
    },
    /// Merges the holders' different values, hashed, and counts those that are not the same as the one before.
    Distinct {
        /// The measure.
        measure: usize,
        /// For each seat how many values it may have; what it has less is filled up.
        rows: Vec<u64>,
        /// The narrow column of the counts.
        column: usize,
    },
    /// Counts the different values among the rows of a join's relation, which its holders have put in order, that stand in
    /// some row of the join.
    Different {
        /// The measure.
        measure: usize,
        /// The rows that there are, and their groups.
        of: RankedRows,
        /// The narrow column of the counts.
        column: usize,
    },
}

/// What all steps of a plan depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Number of groups.
    pub cells: usize,
    /// Bound on the rows over all holders.
    pub rows_at_most: u64,
    /// How shares are compared: by what the source of correlated randomness makes cheaply.
    pub method: Method,
}

/// How many columns a [`Step::RankCorrelation`] fills.
pub(crate) const RANK_COLUMNS: usize = 4;
/// Bits of the hash by which values are told apart.
pub(crate) const HASH_BITS: usize = 80;

/// A value that a step finds in every group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Of which measure.
    pub measure: usize,
    /// Which of its values.
    pub what: Which,
    /// Its column: the distance from the low end of the measure's range, or from the high end for the greatest
    /// value; for a quantile between two rows, that distance times the denominator.
    pub slot: Slot,
}

/// Which of a group's values is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// MIN.
    Least,
    /// MAX.
    Greatest,
    /// PERCENTILE_DISC.
    Discrete(Fraction),
    /// PERCENTILE_CONT.
    Linear(Fraction),
    /// The lower neighbour of PERCENTILE_CONT, where the distance between two values is not that of their codes.
    Below(Fraction),
    /// The upper neighbour.
    Above(Fraction),
}

/// A fraction from 0 to 1 in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fraction {
    /// Upper number.
    pub numerator: u64,
    /// Lower number.
    pub denominator: u64,
}

impl Fraction {
    const NONE: Self = Self {
        numerator: 0,
        denominator: 1,
    };
    const ALL: Self = Self {
        numerator: 1,
        denominator: 1,
    };
    /// One half.
    pub const HALF: Self = Self {
        numerator: 1,
        denominator: 2,
    };

    /// Of how many rows at least `n` lie on either side; `None` for the least and the greatest value.
    #[must_use]
    pub fn rows_with(self, n: u64) -> Option<u64> {
        let side = self.numerator.min(self.denominator - self.numerator);
        let rows = (u128::from(n) * u128::from(self.denominator)).checked_div(side.into())?;
        let is_whole = rows * u128::from(side) == u128::from(n) * u128::from(self.denominator);
        u64::try_from(rows + u128::from(!is_whole)).ok()
    }

    /// A decimal number from 0 to 1 with at most six decimals.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let decimals = decimals.trim_end_matches('0');
        let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
        if !(digits(whole) && digits(decimals)) || decimals.len() > 6 || text.is_empty() {
            return None;
        }
        let scale = 10u64.pow(decimals.len() as u32);
        let part = |t: &str| {
            if t.is_empty() {
                Some(0)
            } else {
                t.parse().ok()
            }
        };
        let units = part(whole)
            .and_then(|w: u64| w.checked_mul(scale)?.checked_add(part(decimals)?))
            .filter(|units| *units <= scale)?;
        let (mut a, mut b) = (scale, units);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        Some(Self {
            numerator: units / a,
            denominator: scale / a,
        })
    }

    /// As a decimal number, for names and people.
    #[must_use]
    pub fn decimal(self) -> String {
        (self.numerator as f64 / self.denominator as f64).to_string()
    }

    /// As the protocols take it.
    fn level(self) -> quantile::Fraction {
        let part = |n: u64| u32::try_from(n).expect("at most six decimals");
        quantile::Fraction {
            numerator: part(self.numerator),
            denominator: part(self.denominator),
        }
    }
}

impl Which {
    /// MAX (true) or MIN (false).
    #[must_use]
    pub fn extreme(greatest: bool) -> Self {
        if greatest {
            Self::Greatest
        } else {
            Self::Least
        }
    }

    /// The level as a quantile, of which the extremes are the ends.
    fn level(self) -> Option<Fraction> {
        match self {
            Self::Discrete(p) | Self::Linear(p) | Self::Below(p) | Self::Above(p) => Some(p),
            Self::Least => Some(Fraction::NONE),
            Self::Greatest => Some(Fraction::ALL),
        }
    }

    /// The row that it is among those in order.
    fn place(self) -> Option<Place> {
        let make = match self {
            Self::Discrete(_) => Place::Discrete,
            Self::Linear(_) => Place::Linear,
            Self::Below(_) => Place::Below,
            Self::Above(_) => Place::Above,
            Self::Least | Self::Greatest => return None,
        };
        Some(make(self.level()?.level()))
    }
}

impl Which {
    /// The row that it is, the least and the greatest one included.
    fn place_or_end(self) -> Option<Place> {
        let end = || Some(Place::Discrete(self.level()?.level()));
        self.place().or_else(end)
    }
}

impl Setting {
    /// The rows of a group are below 2 to this power.
    fn rows_bits(&self) -> u32 {
        (64 - self.rows_at_most.leading_zeros()).max(1)
    }
}

impl Step {
    /// What it finds.
    #[must_use]
    pub fn finds(&self) -> &[Found] {
        match self {
            Self::Extremes { finds, .. }
            | Self::Quantiles { finds, .. }
            | Self::Sorted { finds, .. }
            | Self::Ranked { finds, .. } => finds,
            Self::Distinct { .. }
            | Self::Different { .. }
            | Self::RankCorrelation { .. }
            | Self::JointRanks { .. } => &[],
        }
    }

    /// The shape of a comparison of extremes, as the protocol takes it: all that are found, one after the other.
    #[must_use]
    pub fn extreme_shape(&self, setting: &Setting) -> Option<ExtremeShape> {
        let Self::Extremes { bits, finds } = self else {
            return None;
        };
        Some(ExtremeShape {
            extreme: Extreme::Min,
            cells: finds.len() * setting.cells,
            low: 0,
            high: i128::from(u64::MAX >> (64 - bits)),
        })
    }

    /// The shape of a search in a histogram, as the protocol takes it.
    #[must_use]
    pub fn quantile_shape(&self, setting: &Setting) -> Option<QuantileShape> {
        let Self::Quantiles {
            n_values,
            linear,
            finds,
            ..
        } = self
        else {
            return None;
        };
        let levels = finds.iter().filter_map(|f| f.what.level());
        Some(QuantileShape {
            cells: setting.cells,
            domain: (0..i128::from(*n_values)).collect(),
            levels: levels.map(Fraction::level).collect(),
            definition: match linear {
                true => Definition::Linear,
                false => Definition::Discrete,
            },
            rows_bits: setting.rows_bits(),
            method: setting.method,
        })
    }

    /// The shape of a selection among sorted rows, as the protocol takes it.
    #[must_use]
    pub fn select_shape(&self, setting: &Setting) -> Option<SelectShape> {
        let Self::Sorted {
            bits, rows, finds, ..
        } = self
        else {
            return None;
        };
        Some(SelectShape {
            rows: build::sizes(rows),
            cells: setting.cells,
            bits: *bits as usize,
            places: finds.iter().filter_map(|f| f.what.place()).collect(),
        })
    }

    /// The shape of a search among ordered rows of a join, as the protocol takes it.
    #[must_use]
    pub fn weighted_shape(&self, setting: &Setting) -> Option<WeightedShape> {
        let Self::Ranked {
            bits, of, finds, ..
        } = self
        else {
            return None;
        };
        Some(WeightedShape {
            rows: build::sizes(&of.rows),
            groups: of.groups,
            others: of.others,
            bits: *bits as usize,
            places: finds.iter().filter_map(|f| f.what.place_or_end()).collect(),
            rows_bits: setting.rows_bits(),
            method: setting.method,
        })
    }

    /// Whether values are shares themselves, which are sorted first.
    fn is_of_shares(&self) -> bool {
        matches!(self, Self::Ranked { of, .. } if of.shared)
    }

    /// Whether what a selection finds needs the wide ring.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        let is_wide = |f: &Found| f.slot.ring == RingWidth::Wide;
        self.finds().iter().any(is_wide)
    }

    /// The shape of a ranking, as the protocol takes it.
    #[must_use]
    pub fn rank_shape(&self, setting: &Setting) -> Option<RankShape> {
        let Self::RankCorrelation { bits, rows, .. } = self else {
            return None;
        };
        Some(RankShape {
            rows: build::sizes(rows),
            cells: setting.cells,
            x_bits: bits[0] as usize,
            y_bits: bits[1] as usize,
        })
    }

    /// The shape of a distinct count, as the protocol takes it.
    #[must_use]
    pub fn distinct_shape(&self, setting: &Setting) -> Option<DistinctShape> {
        let Self::Distinct { rows, .. } = self else {
            return None;
        };
        Some(DistinctShape {
            rows: build::sizes(rows),
            cells: setting.cells,
            hash_bits: HASH_BITS,
        })
    }

    fn price(&self, setting: &Setting, seats: Seats) -> Price {
        let extremes = self.extreme_shape(setting);
        let extremes = extremes.map(|shape| extreme::price::<u64>(&shape, seats));
        let quantiles = self.quantile_shape(setting);
        let quantiles = quantiles.map(|shape| quantile::price::<u64>(&shape, seats));
        let distinct = self.distinct_shape(setting);
        let distinct = distinct.map(|shape| distinct::price::<u64>(&shape, seats));
        let different = self.different_shape(setting);
        let different = different.map(|shape| different::price(&shape, seats));
        let selected = self.select_shape(setting);
        let selected = selected.map(|shape| match self.is_wide() {
            true => select::price::<u128>(&shape, seats),
            false => select::price::<u64>(&shape, seats),
        });
        let weighted = self.weighted_shape(setting);
        let weighted = weighted.map(|shape| match self.is_of_shares() {
            true => weighted::shared_price(&shape, seats),
            false => weighted::price(&shape, seats),
        });
        let ranked = self.rank_shape(setting);
        let ranked = ranked.map(|shape| rank::price(&shape, seats));
        let joint = self.joint_rank_shape(setting);
        let joint = joint.map(|shape| rank::shared_price(&shape, seats));
        let price = extremes.or(quantiles).or(selected).or(weighted);
        let price = price.or(ranked).or(joint).or(distinct).or(different);
        price.unwrap_or_else(|| Price::nothing(seats))
    }
}

impl Measure {
    /// Values from the low end of the range to the high end, both included; `None` for floats and what does not fit.
    #[must_use]
    pub fn n_values(&self) -> Option<u64> {
        if !matches!(self.kind, MeasureKind::Exact { .. } | MeasureKind::Day) {
            return None;
        }
        let (low, high) = (self.range.low.parse().ok()?, self.range.high.parse().ok()?);
        let distance = i128::checked_sub(high, low)?;
        u64::try_from(distance).ok()?.checked_add(1)
    }

    /// The distance of the ends of the range.
    #[must_use]
    pub fn span(&self) -> u64 {
        match self.kind {
            MeasureKind::Float => {
                let end = |text: &String| text.parse().map_or(0, order_of);
                end(&self.range.high).saturating_sub(end(&self.range.low))
            }
            _ => self.n_values().map_or(u64::MAX, |n| n - 1),
        }
    }

    /// Bits of the distance of a value from an end of the range, at least 1.
    pub(super) fn code_bits(&self) -> u32 {
        (64 - self.span().leading_zeros()).max(1)
    }
}

/// Doubles as whole numbers in the same order; −0 is 0. Not for NaN.
pub(crate) fn order_of(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

/// The double at a place of [`order_of`].
pub(crate) fn at_order(place: u64) -> f64 {
    f64::from_bits(if place >> 63 == 1 {
        place & !(1 << 63)
    } else {
        !place
    })
}

/// Whether anything is found on shares for these columns.
pub(super) fn first_use(columns: &[ReleasedColumn]) -> Option<&'static str> {
    columns.iter().find_map(|c| match c.value {
        Released::Extreme {
            greatest: false, ..
        } => Some("MIN"),
        Released::Extreme { .. } => Some("MAX"),
        Released::Distinct(_) => Some("COUNT(DISTINCT …)"),
        Released::Quantile { .. } => Some("a quantile"),
        Released::Spearman { .. } => Some("SPEARMAN"),
        _ => None,
    })
}

/// The price of all steps, one after another.
pub(super) fn price(steps: &[Step], setting: &Setting, seats: Seats) -> Price {
    let prices = steps.iter().map(|s| s.price(setting, seats));
    prices.fold(Price::nothing(seats), |all, one| all.then(&one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_read_in_lowest_terms() {
        let read = |text| Fraction::read(text).map(|p| (p.numerator, p.denominator));
        assert_eq!(read("0.5"), Some((1, 2)));
        assert_eq!(read(".250"), Some((1, 4)));
        assert_eq!(read("1"), Some((1, 1)));
        assert_eq!(read("0"), Some((0, 1)));
        assert_eq!(read("0.000001"), Some((1, 1_000_000)));
        for wrong in ["", "1.1", "-0.5", "5e-1", "0.0000001", "x"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn doubles_keep_their_order_as_whole_numbers() {
        let doubles = [-f64::MAX, -1.5, -f64::MIN_POSITIVE, 0.0, 5e-324, 2.0, 1e300];
        for pair in doubles.windows(2) {
            assert!(order_of(pair[0]) < order_of(pair[1]), "{pair:?}");
        }
        assert_eq!(order_of(-0.0), order_of(0.0));
        for double in doubles {
            assert_eq!(at_order(order_of(double)), double);
        }
    }
}
