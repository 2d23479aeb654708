//! Work on shares beyond adding up: order statistics of every group.
//!
//! Each step fills further columns of the shape, one for each bit of what it finds, and these are released or held
//! back with the totals of their group.

use std::collections::BTreeMap;

use protocols::dense::extreme;
use protocols::dense::rank::{self, Rank, RankShape};
use protocols::party::PartyId;
use protocols::price::{Price, Seats};
use protocols::stats::distinct::{self, DistinctShape};
use serde::Serialize;

use super::part::Part;
use super::sql::outer::Outer;
use super::words::counted;
use super::{Measure, MeasureKind, PlanFault, Released, ReleasedColumn};

/// Most values of one argument among which a rank is looked for.
pub(super) const MAX_VALUES: u64 = 1 << 16;
/// Most comparisons of one step.
pub(super) const MAX_COMPARISONS: u64 = 1 << 22;

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
    Ranks {
        /// The measure.
        measure: usize,
        /// Values from the lowest of its range to the highest.
        n_values: u64,
        /// What is found, one for each rank.
        finds: Vec<Found>,
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
}

/// Bits of the hash by which values are told apart.
pub(crate) const HASH_BITS: usize = 80;
/// Most rows over all holders among which different values are counted.
const MAX_DISTINCT_ROWS: u64 = 1 << 20;

/// The published bound on every seat's rows; 0 for a seat without tables.
pub(super) struct RowBounds(Vec<u64>);

impl RowBounds {
    pub(super) fn of(seats: &[PartyId], parts: &[Part]) -> Self {
        let of_seat = |seat: &PartyId| {
            let part = parts.iter().find(|p| p.holder == *seat);
            part.map_or(0, |p| p.rows_at_most)
        };
        Self(seats.iter().map(of_seat).collect())
    }
}

/// A value that a step finds in every group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Of which measure.
    pub measure: usize,
    /// Which of its values.
    pub what: Which,
    /// The first of its narrow columns, one for each bit, lowest first: the distance from the low end of the
    /// measure's range, or from the high end for the greatest value.
    pub column: usize,
    /// Number of bits.
    pub bits: u32,
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
    Inverse(Fraction),
    /// The lower neighbour of PERCENTILE_CONT.
    Below(Fraction),
    /// The upper neighbour of PERCENTILE_CONT.
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
    /// One half.
    pub const HALF: Self = Self {
        numerator: 1,
        denominator: 2,
    };

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

    fn rank(self) -> Rank {
        let of = |make: fn(u64, u64) -> Rank, p: Fraction| make(p.numerator, p.denominator);
        match self {
            Self::Least => Rank::first(),
            Self::Greatest => Rank::inverse(1, 1),
            Self::Inverse(p) => of(Rank::inverse, p),
            Self::Below(p) => of(Rank::below, p),
            Self::Above(p) => of(Rank::above, p),
        }
    }
}

impl Step {
    /// What it finds.
    #[must_use]
    pub fn finds(&self) -> &[Found] {
        match self {
            Self::Extremes { finds, .. } | Self::Ranks { finds, .. } => finds,
            Self::Distinct { .. } => &[],
        }
    }

    /// The lanes of a step that compares extremes: each starts a word.
    pub(crate) fn lanes(cells: usize) -> usize {
        64 * cells.div_ceil(64)
    }

    /// The shape of a search, as the protocol takes it.
    pub(crate) fn rank_shape(&self, cells: usize, rows_at_most: u64) -> Option<RankShape> {
        let Self::Ranks {
            n_values, finds, ..
        } = self
        else {
            return None;
        };
        Some(RankShape {
            n_cells: cells,
            n_values: usize::try_from(*n_values).expect("at most MAX_VALUES"),
            ranks: finds.iter().map(|f| f.what.rank()).collect(),
            rows_at_most,
        })
    }

    /// The shape of a distinct count, as the protocol takes it.
    pub(crate) fn distinct_shape(&self, cells: usize) -> Option<DistinctShape> {
        let Self::Distinct { rows, .. } = self else {
            return None;
        };
        let rows = rows
            .iter()
            .map(|n| usize::try_from(*n).expect("at most MAX_DISTINCT_ROWS"));
        Some(DistinctShape {
            rows: rows.collect(),
            cells,
            hash_bits: HASH_BITS,
        })
    }

    pub(super) fn price(&self, cells: usize, rows: u64, seats: Seats) -> Price {
        if let Some(shape) = self.distinct_shape(cells) {
            return distinct::price::<u64>(&shape, seats);
        }
        match (self, self.rank_shape(cells, rows)) {
            (_, Some(shape)) => rank::price(seats, &shape),
            (Self::Extremes { bits, finds }, _) => {
                extreme::price(seats, *bits, finds.len() * Self::lanes(cells))
            }
            _ => Price::nothing(seats),
        }
    }

    /// In words, for the plan.
    pub(super) fn in_words(&self, measures: &[Measure]) -> String {
        let finds: Vec<String> = self.finds().iter().map(|f| f.in_words(measures)).collect();
        let finds = super::words::listed(&finds);
        match self {
            Self::Distinct { measure, rows, .. } => format!(
                "the number of different {}: hashes of {HASH_BITS} bits, filled up to {}, are merged in order on shares, and each is compared with the one before",
                measures[*measure].label,
                counted(rows.iter().sum(), "row")
            ),
            Self::Extremes { bits, .. } => format!(
                "{finds}: each holder's own is compared with the others' on shares, {bits} bits"
            ),
            Self::Ranks { n_values, .. } => format!(
                "{finds}: running counts over {} are compared with the rank on shares",
                counted(*n_values, "value")
            ),
        }
    }
}

impl Found {
    /// In words, for the plan.
    pub(super) fn in_words(&self, measures: &[Measure]) -> String {
        let label = &measures[self.measure].label;
        match self.what {
            Which::Least => format!("the least {label}"),
            Which::Greatest => format!("the greatest {label}"),
            Which::Inverse(p) => format!("the {label} at quantile {} (type 1)", p.decimal()),
            Which::Below(p) => format!(
                "the last {label} not above quantile {} (type 7)",
                p.decimal()
            ),
            Which::Above(p) => format!(
                "the first {label} not below quantile {} (type 7)",
                p.decimal()
            ),
        }
    }
}

/// The steps for what the outputs use, with their columns.
///
/// # Errors
/// Arguments with too many values for a search.
pub(super) fn build(
    outer: &Outer,
    measures: &[Measure],
    cells: usize,
    bounds: &RowBounds,
    narrow: &mut usize,
) -> Result<Vec<Step>, Vec<PlanFault>> {
    let mut wanted: BTreeMap<usize, Vec<Which>> = BTreeMap::new();
    let (mut extremes, mut distinct) = (Vec::new(), Vec::new());
    let mut faults = Vec::new();
    for value in outer.released.values() {
        match *value {
            Released::Extreme { measure, greatest } => extremes.push((measure, greatest)),
            Released::Distinct(measure) => distinct.push(measure),
            Released::Quantile {
                measure,
                p,
                continuous,
            } => {
                let which = wanted.entry(measure).or_default();
                match continuous {
                    true => which.extend([Which::Below(p), Which::Above(p)]),
                    false => which.push(Which::Inverse(p)),
                }
            }
            _ => {}
        }
    }
    extremes.sort_unstable();
    distinct.sort_unstable();
    let mut column = |bits: u32| {
        let first = *narrow;
        *narrow += bits as usize;
        first
    };
    let mut steps: Vec<Step> = extremes_step(&extremes, measures, &mut column)
        .into_iter()
        .collect();
    for (measure, which) in wanted {
        match ranks_step(measure, which, measures, cells, &mut column) {
            Ok(step) => steps.push(step),
            Err(fault) => faults.push(fault),
        }
    }
    for measure in distinct {
        let rows: u64 = bounds.0.iter().fold(0, |n, r| n.saturating_add(*r));
        if rows > MAX_DISTINCT_ROWS {
            faults.push(too_many_rows(&measures[measure], rows));
            continue;
        }
        steps.push(Step::Distinct {
            measure,
            rows: bounds.0.clone(),
            column: column(1),
        });
    }
    if faults.is_empty() {
        Ok(steps)
    } else {
        Err(faults)
    }
}

/// One step for all least and greatest values.
fn extremes_step(
    extremes: &[(usize, bool)],
    measures: &[Measure],
    column: &mut impl FnMut(u32) -> usize,
) -> Option<Step> {
    let find = |&(measure, greatest): &(usize, bool)| {
        let bits = measures[measure].code_bits();
        Found {
            measure,
            what: Which::extreme(greatest),
            column: column(bits),
            bits,
        }
    };
    let finds: Vec<Found> = extremes.iter().map(find).collect();
    let bits = finds.iter().map(|f| f.bits).max()?;
    Some(Step::Extremes { bits, finds })
}

/// One step for all ranks of a measure.
fn ranks_step(
    measure: usize,
    which: Vec<Which>,
    measures: &[Measure],
    cells: usize,
    column: &mut impl FnMut(u32) -> usize,
) -> Result<Step, PlanFault> {
    let n_values = measures[measure].n_values();
    let is_short = |n: &u64| {
        let lanes = Step::lanes(cells) as u64;
        let compared = n.saturating_mul(lanes).saturating_mul(which.len() as u64);
        *n <= MAX_VALUES && compared <= MAX_COMPARISONS
    };
    let short = n_values.filter(is_short);
    let n_values = short.ok_or_else(|| too_many_values(&measures[measure], n_values, cells))?;
    let bits = 64 - (n_values - 1).leading_zeros();
    let finds = which.into_iter().map(|what| Found {
        measure,
        what,
        column: column(bits),
        bits,
    });
    Ok(Step::Ranks {
        measure,
        n_values,
        finds: finds.collect(),
    })
}

fn too_many_rows(measure: &Measure, rows: u64) -> PlanFault {
    PlanFault {
        place: "compute.sql".to_owned(),
        what: format!(
            "the different values of {} would be counted among {rows} rows, by the published sizes of the tables, and at most {MAX_DISTINCT_ROWS} are",
            measure.label
        ),
        fix: "make rows distinct inside the part of each holder and count those, or use smaller tables".to_owned(),
    }
}

fn too_many_values(measure: &Measure, n_values: Option<u64>, cells: usize) -> PlanFault {
    let what = match (n_values, measure.kind) {
        (_, MeasureKind::Float) => format!(
            "{} is a floating-point number: quantiles are found among the values of a declared range of whole numbers, decimals or days",
            measure.label
        ),
        (Some(n), _) => format!(
            "a quantile of {} would be looked for among {} in {}, which is too much",
            measure.label,
            counted(n, "value"),
            counted(cells as u64, "group")
        ),
        (None, _) => format!(
            "a quantile of {} would be looked for among all values of its type",
            measure.label
        ),
    };
    PlanFault {
        place: "compute.sql".to_owned(),
        what,
        fix: "declare a shorter range in the policy, CAST the argument to fewer decimals, group by fewer keys, or use HISTOGRAM(x, edges…) as a group key".to_owned(),
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

    /// Bits of the distance of a value from an end of the range, at least 1.
    fn code_bits(&self) -> u32 {
        let span = match self.kind {
            MeasureKind::Float => {
                let end = |text: &String| text.parse().map_or(0, order_of);
                end(&self.range.high).saturating_sub(end(&self.range.low))
            }
            _ => self.n_values().map_or(u64::MAX, |n| n - 1),
        };
        (64 - span.leading_zeros()).max(1)
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
        _ => None,
    })
}

/// The price of all steps, one after another.
pub(super) fn price(steps: &[Step], cells: usize, rows: u64, seats: Seats) -> Price {
    let prices = steps.iter().map(|s| s.price(cells, rows, seats));
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
