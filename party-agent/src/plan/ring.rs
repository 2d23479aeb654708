//! Where totals go: the narrow ring where the bound allows it, else the wide one, else the job is refused.

use arrow::datatypes::i256;

use super::bounds::{Interval, Known};
use super::{MeasureKind, RangeOrigin, RingWidth, ValueRange};

/// Fractional bits of floats whose range nobody declared.
const ASSUMED_FRAC_BITS: u32 = 40;
/// Fewest and most fractional bits of a float's total.
const MIN_FRAC_BITS: u32 = 16;
const MAX_FRAC_BITS: u32 = 100;

/// The ring and the range for one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) range: ValueRange,
    /// For the sum and for the sum of squares, where they are wanted: ring and fractional bits.
    pub(super) sum: Option<(RingWidth, u32)>,
    pub(super) sum_sq: Option<(RingWidth, u32)>,
    /// No sum of an exact argument is larger in magnitude.
    pub(super) largest_sum: Option<i256>,
}

/// The declared bound does not fit even the wide ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TooWide {
    /// The largest magnitude that would fit, as the holder would declare it.
    pub(super) at_most: String,
    /// Whether it is the sum of squares that does not fit.
    pub(super) squares: bool,
}

impl Fit {
    /// Whether every value is a whole number of 64 bits.
    pub(super) fn is_narrow(&self) -> bool {
        let narrow = |text: &String| text.parse::<i64>().is_ok();
        narrow(&self.range.low) && narrow(&self.range.high)
    }
}

/// Values that are compared with each other and not summed: all of the declared range or of the type.
pub(super) fn ordered(known: &Known, kind: MeasureKind) -> Fit {
    let origin = match known.declared {
        true => RangeOrigin::Declared,
        false => RangeOrigin::Type,
    };
    let (low, high) = match (&known.interval, kind) {
        (Some(interval), MeasureKind::Float) => match interval {
            Interval::Float { low, high } if low <= high => (low.to_string(), high.to_string()),
            _ => ("0".to_owned(), "0".to_owned()),
        },
        (None, MeasureKind::Float) => (f64::MIN.to_string(), f64::MAX.to_string()),
        (interval, kind) => {
            let scale = match kind {
                MeasureKind::Exact { scale } => scale,
                _ => 0,
            };
            let all = Interval::whole(i64::MIN.into(), i64::MAX.into());
            let interval = interval.as_ref().and_then(|i| i.at_scale(scale));
            match interval.unwrap_or(all) {
                Interval::Exact { low, high, .. } if low <= high => {
                    (low.to_string(), high.to_string())
                }
                _ => ("0".to_owned(), "0".to_owned()),
            }
        }
    };
    Fit {
        range: ValueRange { low, high, origin },
        sum: None,
        sum_sq: None,
        largest_sum: None,
    }
}

/// A range whose values are told apart by 64 bits: narrowed if nobody declared it, as for sums.
pub(super) fn within_64_bits(range: ValueRange, scale: i8) -> Result<ValueRange, TooWide> {
    let most = 1i128 << 62;
    let parsed = |text: &String| text.parse::<i128>().ok();
    let (low, high) = (parsed(&range.low), parsed(&range.high));
    let fits = match (low, high) {
        (Some(low), Some(high)) => high
            .checked_sub(low)
            .is_some_and(|span| span <= i128::from(u64::MAX)),
        _ => false,
    };
    if fits {
        return Ok(range);
    }
    if range.origin == RangeOrigin::Declared {
        return Err(TooWide {
            at_most: unscaled(i256::from_i128(most), scale),
            squares: false,
        });
    }
    Ok(ValueRange {
        low: low.unwrap_or(-most).max(-most).to_string(),
        high: high.unwrap_or(most).min(most).to_string(),
        origin: RangeOrigin::Assumed,
    })
}

/// Fits an exact argument: `known` is the interval over all holders, at `scale`.
pub(super) fn exact(known: &Known, scale: i8, rows: u64, squares: bool) -> Result<Fit, TooWide> {
    let rows = i256::from_i128(i128::from(rows.max(1)));
    let interval = known.interval.as_ref().and_then(|i| i.at_scale(scale));
    let bounds = match interval {
        Some(interval) if interval.is_empty() => Some((i256::ZERO, i256::ZERO)),
        Some(Interval::Exact { low, high, .. }) => Some((low, high)),
        _ => None,
    };
    if let Some((low, high)) = bounds
        && let Some(magnitude) = largest(low, high)
        && let Some(fit) = exact_within(magnitude, rows, squares)
    {
        let origin = match known.declared {
            true => RangeOrigin::Declared,
            false => RangeOrigin::Type,
        };
        let range = ValueRange {
            low: low.to_string(),
            high: high.to_string(),
            origin,
        };
        return Ok(Fit { range, ..fit });
    }
    let wide = exact_limit(rows, squares);
    if known.declared && bounds.is_some() {
        return Err(TooWide {
            at_most: unscaled(wide, scale),
            squares: squares && exact_limit(rows, false) > wide,
        });
    }
    // What the type allows is kept where it is the narrower side.
    let low = bounds.map_or(-wide, |(low, _)| low.max(-wide));
    let high = bounds.map_or(wide, |(_, high)| high.min(wide));
    let fit = exact_within(wide, rows, squares).ok_or_else(|| TooWide {
        at_most: unscaled(wide, scale),
        squares,
    })?;
    let range = ValueRange {
        low: low.to_string(),
        high: high.to_string(),
        origin: RangeOrigin::Assumed,
    };
    Ok(Fit { range, ..fit })
}

fn largest(low: i256, high: i256) -> Option<i256> {
    Some(low.checked_abs()?.max(high.checked_abs()?))
}

/// The rings for values up to a magnitude, if they fit.
fn exact_within(magnitude: i256, rows: i256, squares: bool) -> Option<Fit> {
    let sum = magnitude.checked_mul(rows)?;
    let sum_ring = ring_for(sum)?;
    let sum_sq = match squares {
        true => Some((ring_for(sum.checked_mul(magnitude)?)?, 0)),
        false => None,
    };
    Some(Fit {
        range: ValueRange {
            low: String::new(),
            high: String::new(),
            origin: RangeOrigin::None,
        },
        sum: Some((sum_ring, 0)),
        sum_sq,
        largest_sum: Some(sum),
    })
}

/// The ring in which totals up to this magnitude cannot wrap: below 2^63, or below 2^127.
pub(super) fn ring_for(total: i256) -> Option<RingWidth> {
    if total <= i256::from_i128(i128::from(i64::MAX)) {
        Some(RingWidth::Narrow)
    } else if total <= i256::from_i128(i128::MAX) {
        Some(RingWidth::Wide)
    } else {
        None
    }
}

/// The largest magnitude whose totals fit the wide ring.
fn exact_limit(rows: i256, squares: bool) -> i256 {
    let most = i256::from_i128(i128::MAX);
    let each = most.checked_div(rows).unwrap_or(i256::ONE);
    if squares { square_root(each) } else { each }
}

/// The largest integer whose square is at most `n`.
pub(super) fn square_root(n: i256) -> i256 {
    let mut root = 0i128;
    for bit in (0..64).rev() {
        let next = root | (1i128 << bit);
        let wide = i256::from_i128(next);
        if wide.checked_mul(wide).is_some_and(|square| square <= n) {
            root = next;
        }
    }
    i256::from_i128(root)
}

/// An unscaled integer as a decimal number.
pub(super) fn unscaled(value: i256, scale: i8) -> String {
    let digits = usize::try_from(scale).unwrap_or(0);
    let text = value.to_string();
    if digits == 0 {
        return text;
    }
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.as_str()),
    };
    let padded = format!("{magnitude:0>width$}", width = digits + 1);
    let (whole, fraction) = padded.split_at(padded.len() - digits);
    format!("{sign}{whole}.{fraction}")
}

/// Fits a float argument. The wide ring is used in any case: precision is worth more than bytes here.
pub(super) fn float(known: &Known, rows: u64, squares: bool) -> Result<Fit, TooWide> {
    let row_bits = 64 - rows.max(1).leading_zeros();
    let interval = match &known.interval {
        Some(Interval::Float { low, high }) if low <= high => Some((*low, *high)),
        Some(_) => Some((0.0, 0.0)),
        None => None,
    };
    let (low, high, origin) = match interval {
        Some((low, high)) if known.declared => (low, high, RangeOrigin::Declared),
        Some((low, high)) => (low, high, RangeOrigin::Type),
        None => {
            let bits = (126 - ASSUMED_FRAC_BITS).saturating_sub(row_bits);
            let bits = if squares { bits / 2 } else { bits };
            let most = 2f64.powi(i32::try_from(bits).unwrap_or(0));
            (-most, most, RangeOrigin::Assumed)
        }
    };
    // 2^bits is at least the magnitude.
    let bits = bits_of(low.abs().max(high.abs()));
    let room = |used: i32| -> Option<u32> {
        let left = 126 - i32::try_from(row_bits).unwrap_or(64) - used;
        let left = u32::try_from(left).ok().filter(|l| *l >= MIN_FRAC_BITS)?;
        Some(left.min(MAX_FRAC_BITS))
    };
    let sum = room(bits);
    let sum_sq = if squares { room(2 * bits) } else { sum };
    let (Some(sum), Some(sum_sq)) = (sum, sum_sq) else {
        let bits = 126 - i32::try_from(row_bits + MIN_FRAC_BITS).unwrap_or(126);
        let bits = if squares { bits / 2 } else { bits };
        return Err(TooWide {
            at_most: 2f64.powi(bits).to_string(),
            squares: squares && sum.is_some(),
        });
    };
    Ok(Fit {
        range: ValueRange {
            low: low.to_string(),
            high: high.to_string(),
            origin,
        },
        sum: Some((RingWidth::Wide, sum)),
        sum_sq: squares.then_some((RingWidth::Wide, sum_sq)),
        largest_sum: None,
    })
}

/// The least b with |x| <= 2^b, for any finite x.
pub(super) fn bits_of(magnitude: f64) -> i32 {
    if magnitude == 0.0 {
        return -64;
    }
    let mut bits = -64;
    while bits < 1024 && 2f64.powi(bits) < magnitude {
        bits += 1;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(low: i128, high: i128, declared: bool) -> Known {
        Known {
            interval: Some(Interval::whole(low, high)),
            declared,
            wraps: None,
        }
    }

    #[test]
    fn sums_change_rings_exactly_at_2_to_63_and_2_to_127() {
        let narrow_most = i128::from(i64::MAX);
        let ring = |magnitude: i128, rows| {
            exact(&known(-magnitude, magnitude, true), 0, rows, false)
                .map(|f| f.sum.expect("a sum").0)
        };
        assert_eq!(ring(narrow_most, 1), Ok(RingWidth::Narrow));
        assert_eq!(ring(narrow_most + 1, 1), Ok(RingWidth::Wide));
        assert_eq!(ring(i128::MAX, 1), Ok(RingWidth::Wide));
        let over = Known {
            interval: Some(Interval::Exact {
                low: i256::ZERO,
                high: i256::from_i128(i128::MAX)
                    .checked_add(i256::ONE)
                    .expect("fits 256 bits"),
                scale: 0,
            }),
            declared: true,
            wraps: None,
        };
        let refused = exact(&over, 0, 1, false).expect_err("2^127 does not fit");
        assert_eq!(refused.at_most, i128::MAX.to_string());
        // The same at 1024 rows: 2^53 · 2^10 = 2^63.
        assert_eq!(ring((1 << 53) - 1, 1024), Ok(RingWidth::Narrow));
        assert_eq!(ring(1 << 53, 1024), Ok(RingWidth::Wide));
        assert_eq!(ring((1i128 << 117) - 1, 1024), Ok(RingWidth::Wide));
        assert!(ring(1i128 << 117, 1024).is_err());
    }

    #[test]
    fn squares_decide_too() {
        let fit = |m: i128, rows| exact(&known(-m, m, true), 0, rows, true);
        let small = fit(14, 1 << 17).expect("fits");
        assert_eq!(small.sum_sq, Some((RingWidth::Narrow, 0)));
        let wide = fit(1 << 32, 1024).expect("fits");
        assert_eq!(
            (wide.sum.expect("a sum").0, wide.sum_sq),
            (RingWidth::Narrow, Some((RingWidth::Wide, 0)))
        );
        let refused = fit(1 << 59, 1024).expect_err("squares do not fit");
        assert!(refused.squares);
        let most: i128 = refused.at_most.parse().expect("a whole number");
        assert!(fit(most, 1024).is_ok() && fit(most + 1, 1024).is_err());
    }

    #[test]
    fn undeclared_values_get_the_widest_bound_that_fits() {
        let all = known(i64::MIN.into(), i64::MAX.into(), false);
        let sum = exact(&all, 0, 1 << 20, false).expect("fits");
        assert_eq!(
            (sum.sum.expect("a sum").0, sum.range.origin),
            (RingWidth::Wide, RangeOrigin::Type)
        );
        let squares = exact(&all, 0, 1 << 20, true).expect("is bounded by assumption");
        assert_eq!(squares.range.origin, RangeOrigin::Assumed);
        let most: i128 = squares.range.high.parse().expect("a whole number");
        assert!(most * most < i128::MAX >> 20 && (most + 1) * (most + 1) > i128::MAX >> 20);
    }

    #[test]
    fn floats_get_as_many_bits_as_the_ring_has() {
        let unknown = Known {
            interval: None,
            declared: false,
            wraps: None,
        };
        let fit = float(&unknown, 1 << 20, true).expect("is bounded by assumption");
        assert_eq!(fit.range.origin, RangeOrigin::Assumed);
        assert_eq!(fit.range.high, 2f64.powi(32).to_string());
        assert_eq!(fit.sum_sq, Some((RingWidth::Wide, 41)));
        let unit = Known {
            interval: Some(Interval::Float {
                low: 0.0,
                high: 1.0,
            }),
            declared: true,
            wraps: None,
        };
        assert_eq!(
            float(&unit, 1 << 20, true).expect("fits").sum,
            Some((RingWidth::Wide, 100))
        );
        let huge = Known {
            interval: Some(Interval::Float {
                low: 0.0,
                high: 1e300,
            }),
            declared: true,
            wraps: None,
        };
        assert!(float(&huge, 1 << 20, false).is_err());
    }

    #[test]
    fn unscaled_integers_are_written_as_decimals() {
        let text = |v, s| unscaled(i256::from_i128(v), s);
        assert_eq!(
            [text(1250, 2), text(-5, 2), text(7, 0)],
            ["12.50", "-0.05", "7"]
        );
    }
}
