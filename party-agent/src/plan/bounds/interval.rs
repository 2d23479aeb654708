//! Intervals of numbers.

use arrow::datatypes::{DataType, i256};
use datafusion::scalar::ScalarValue;

/// Inclusive bounds of the values of an integer, a decimal or a float.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::plan) enum Interval {
    /// Integers (scale 0) and decimals: unscaled integers at this scale. Empty if `low > high`.
    Exact { low: i256, high: i256, scale: i8 },
    /// Floats. Empty if `low > high`.
    Float { low: f64, high: f64 },
}

/// All values of a type; `None` for floats and for what is no number.
pub(in crate::plan) fn type_interval(kind: &DataType) -> Option<Interval> {
    let whole = |low: i128, high: i128| Some(Interval::whole(low, high));
    match kind {
        DataType::Int8 => whole(i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => whole(i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => whole(i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => whole(i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => whole(0, u8::MAX.into()),
        DataType::UInt16 => whole(0, u16::MAX.into()),
        DataType::UInt32 => whole(0, u32::MAX.into()),
        DataType::UInt64 => whole(0, u64::MAX.into()),
        DataType::Date32 => whole(i32::MIN.into(), i32::MAX.into()),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            let high = power_of_ten(u32::from(*p))?.checked_sub(i256::ONE)?;
            Some(Interval::Exact {
                low: high.checked_neg()?,
                high,
                scale: *s,
            })
        }
        _ => None,
    }
}

pub(in crate::plan) fn power_of_ten(n: u32) -> Option<i256> {
    i256::from_i128(10).checked_pow(n)
}

impl Interval {
    pub(in crate::plan) fn whole(low: i128, high: i128) -> Self {
        Self::Exact {
            low: i256::from_i128(low),
            high: i256::from_i128(high),
            scale: 0,
        }
    }

    /// No value at all, in the form that a type's intervals have.
    pub(super) fn empty(kind: &DataType) -> Self {
        match kind {
            DataType::Float32 | DataType::Float64 => Self::Float {
                low: f64::INFINITY,
                high: f64::NEG_INFINITY,
            },
            _ => Self::whole(1, 0),
        }
    }

    pub(in crate::plan) fn is_empty(&self) -> bool {
        match self {
            Self::Exact { low, high, .. } => low > high,
            Self::Float { low, high } => low > high,
        }
    }

    pub(super) fn of_scalar(value: &ScalarValue) -> Option<Self> {
        let whole = |v: i128| Some(Self::whole(v, v));
        match value {
            ScalarValue::Int8(Some(v)) => whole((*v).into()),
            ScalarValue::Int16(Some(v)) => whole((*v).into()),
            ScalarValue::Int32(Some(v)) => whole((*v).into()),
            ScalarValue::Int64(Some(v)) => whole((*v).into()),
            ScalarValue::UInt8(Some(v)) => whole((*v).into()),
            ScalarValue::UInt16(Some(v)) => whole((*v).into()),
            ScalarValue::UInt32(Some(v)) => whole((*v).into()),
            ScalarValue::UInt64(Some(v)) => whole((*v).into()),
            ScalarValue::Date32(Some(v)) => whole((*v).into()),
            ScalarValue::Decimal128(Some(v), _, scale) => {
                let v = i256::from_i128(*v);
                Some(Self::Exact {
                    low: v,
                    high: v,
                    scale: *scale,
                })
            }
            ScalarValue::Float32(Some(v)) => Self::float(f64::from(*v), f64::from(*v)),
            ScalarValue::Float64(Some(v)) => Self::float(*v, *v),
            _ => None,
        }
    }

    /// A decimal number as a 38-digit fixed-point integer, for ordering.
    pub(in crate::plan) fn decimal(text: &str) -> Option<i256> {
        parse_decimal(text, 38, false)
    }

    fn float(low: f64, high: f64) -> Option<Self> {
        (low.is_finite() && high.is_finite()).then_some(Self::Float { low, high })
    }

    /// A range that a catalogue declares, as the type of its column has it.
    pub(in crate::plan) fn declared(low: &str, high: &str, kind: &DataType) -> Option<Self> {
        match kind {
            DataType::Float32 | DataType::Float64 => {
                Self::float(low.parse().ok()?, high.parse().ok()?)
            }
            DataType::Date32 => {
                let day = |text: &str| {
                    let day = ScalarValue::try_from_string(text.to_owned(), kind).ok()?;
                    Self::of_scalar(&day)
                };
                match (day(low)?, day(high)?) {
                    (Self::Exact { low, .. }, Self::Exact { high, .. }) => Some(Self::Exact {
                        low,
                        high,
                        scale: 0,
                    }),
                    _ => None,
                }
            }
            _ => {
                let all = type_interval(kind)?;
                let Self::Exact { scale, .. } = all else {
                    return None;
                };
                let range = Self::Exact {
                    low: parse_decimal(low, scale, false)?,
                    high: parse_decimal(high, scale, true)?,
                    scale,
                };
                range.intersect(&all)
            }
        }
    }

    fn intersect(&self, other: &Self) -> Option<Self> {
        let (
            Self::Exact { low, high, scale },
            Self::Exact {
                low: other_low,
                high: other_high,
                ..
            },
        ) = (self, other)
        else {
            return None;
        };
        Some(Self::Exact {
            low: (*low).max(*other_low),
            high: (*high).min(*other_high),
            scale: *scale,
        })
    }

    /// The least interval that holds both.
    pub(in crate::plan) fn hull(&self, other: &Self) -> Option<Self> {
        if self.is_empty() {
            return Some(other.clone());
        }
        if other.is_empty() {
            return Some(self.clone());
        }
        match (self, other) {
            (Self::Float { low, high }, Self::Float { low: l, high: h }) => {
                Self::float(low.min(*l), high.max(*h))
            }
            (Self::Exact { scale: a, .. }, Self::Exact { scale: b, .. }) => {
                let scale = *a.max(b);
                match (self.at_scale(scale)?, other.at_scale(scale)?) {
                    (
                        Self::Exact { low, high, .. },
                        Self::Exact {
                            low: l, high: h, ..
                        },
                    ) => Some(Self::Exact {
                        low: low.min(l),
                        high: high.max(h),
                        scale,
                    }),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The same interval at another scale, rounded outwards.
    pub(in crate::plan) fn at_scale(&self, to: i8) -> Option<Self> {
        let Self::Exact { low, high, scale } = self else {
            return None;
        };
        if self.is_empty() {
            return Some(Self::Exact {
                low: i256::ONE,
                high: i256::ZERO,
                scale: to,
            });
        }
        let by = i32::from(to) - i32::from(*scale);
        Some(Self::Exact {
            low: rescale(*low, by, false)?,
            high: rescale(*high, by, true)?,
            scale: to,
        })
    }

    /// The interval in the form of a type: at its scale, within its values; `None` if it does not fit.
    pub(super) fn fit(self, kind: &DataType) -> Option<Self> {
        if self.is_empty() {
            return Some(Self::empty(kind));
        }
        match (type_interval(kind), &self) {
            (Some(Self::Exact { low, high, scale }), Self::Exact { .. }) => {
                let Self::Exact {
                    low: l, high: h, ..
                } = self.at_scale(scale)?
                else {
                    return None;
                };
                let within = low <= l && h <= high;
                within.then_some(Self::Exact {
                    low: l,
                    high: h,
                    scale,
                })
            }
            (None, Self::Float { .. }) => Some(self),
            _ => None,
        }
    }

    /// The values after a cast to a type. A cast of a value that does not fit fails in the engine.
    pub(super) fn convert(&self, kind: &DataType) -> Option<Self> {
        if self.is_empty() {
            return Some(Self::empty(kind));
        }
        match (self, kind) {
            (Self::Float { .. }, DataType::Float64) => Some(self.clone()),
            (Self::Float { .. }, DataType::Float32) => {
                let Self::Float { low, high } = self else {
                    return None;
                };
                Self::float(low - low.abs() * 1e-6, high + high.abs() * 1e-6)
            }
            (Self::Exact { low, high, scale }, DataType::Float32 | DataType::Float64) => {
                let double = |v: &i256| v.to_string().parse::<f64>().ok();
                let unit = 10f64.powi(i32::from(*scale));
                Self::float(double(low)? / unit, double(high)? / unit)?.widened()
            }
            (Self::Float { low, high }, _) => {
                let all = type_interval(kind)?;
                let Self::Exact { scale, .. } = all else {
                    return None;
                };
                let unit = 10f64.powi(i32::from(scale));
                let range = Self::Exact {
                    low: i256::from_f64((low * unit).floor() - 1.0)?,
                    high: i256::from_f64((high * unit).ceil() + 1.0)?,
                    scale,
                };
                range.intersect(&all)
            }
            (Self::Exact { .. }, _) => {
                let all = type_interval(kind)?;
                let Self::Exact { scale, .. } = all else {
                    return None;
                };
                self.at_scale(scale)?.intersect(&all)
            }
        }
    }

    /// A float's bounds moved outwards by more than the rounding of one operation.
    fn widened(&self) -> Option<Self> {
        match self {
            Self::Float { low, high } => {
                Self::float(low - low.abs() * 1e-12, high + high.abs() * 1e-12)
            }
            exact => Some(exact.clone()),
        }
    }

    /// Of whole numbers, those from `low` to `high`.
    pub(super) fn cut(&self, low: &Self, high: &Self) -> Self {
        match (self, low, high) {
            (
                Self::Exact {
                    low,
                    high,
                    scale: 0,
                },
                Self::Exact {
                    low: least,
                    scale: 0,
                    ..
                },
                Self::Exact {
                    high: most,
                    scale: 0,
                    ..
                },
            ) => Self::Exact {
                low: *low.max(least),
                high: *high.min(most),
                scale: 0,
            },
            _ => self.clone(),
        }
    }

    pub(super) fn negate(&self) -> Option<Self> {
        if self.is_empty() {
            return Some(self.clone());
        }
        match self {
            Self::Exact { low, high, scale } => Some(Self::Exact {
                low: high.checked_neg()?,
                high: low.checked_neg()?,
                scale: *scale,
            }),
            Self::Float { low, high } => Self::float(-high, -low),
        }
    }

    pub(super) fn add(&self, other: &Self) -> Option<Self> {
        if self.is_empty() || other.is_empty() {
            return Some(if self.is_empty() { self } else { other }.clone());
        }
        match (self, other) {
            (Self::Exact { scale: a, .. }, Self::Exact { scale: b, .. }) => {
                let scale = *a.max(b);
                match (self.at_scale(scale)?, other.at_scale(scale)?) {
                    (
                        Self::Exact { low, high, .. },
                        Self::Exact {
                            low: l, high: h, ..
                        },
                    ) => Some(Self::Exact {
                        low: low.checked_add(l)?,
                        high: high.checked_add(h)?,
                        scale,
                    }),
                    _ => None,
                }
            }
            (Self::Float { low, high }, Self::Float { low: l, high: h }) => {
                Self::float(low + l, high + h)?.widened()
            }
            _ => None,
        }
    }

    pub(super) fn multiply(&self, other: &Self) -> Option<Self> {
        if self.is_empty() || other.is_empty() {
            return Some(if self.is_empty() { self } else { other }.clone());
        }
        match (self, other) {
            (
                Self::Exact { low, high, scale },
                Self::Exact {
                    low: l,
                    high: h,
                    scale: s,
                },
            ) => {
                let corners = [(low, l), (low, h), (high, l), (high, h)];
                let products: Vec<i256> = corners
                    .into_iter()
                    .map(|(a, b)| a.checked_mul(*b))
                    .collect::<Option<_>>()?;
                Some(Self::Exact {
                    low: products.iter().copied().min()?,
                    high: products.iter().copied().max()?,
                    scale: scale.checked_add(*s)?,
                })
            }
            (Self::Float { low, high }, Self::Float { low: l, high: h }) => {
                hull_of([low * l, low * h, high * l, high * h])?.widened()
            }
            _ => None,
        }
    }

    pub(super) fn divide(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Float { low, high }, Self::Float { low: l, high: h })
                if *l > 0.0 || *h < 0.0 =>
            {
                hull_of([low / l, low / h, high / l, high / h])?.widened()
            }
            // A whole number does not grow when it is divided by another; division by zero fails in the engine.
            (Self::Exact { scale: 0, .. }, Self::Exact { scale: 0, .. }) => {
                let Self::Exact { high, .. } = self.magnitude()? else {
                    return None;
                };
                Some(Self::Exact {
                    low: high.checked_neg()?,
                    high,
                    scale: 0,
                })
            }
            _ => None,
        }
    }

    /// A float divided by another that is no nearer to 0 than 10^-`decimals`; division by zero gives no number.
    pub(super) fn over_units(&self, decimals: u32) -> Option<Self> {
        let Self::Float { low, high } = self else {
            return None;
        };
        let most = low.abs().max(high.abs()) * 10f64.powi(decimals.cast_signed());
        Self::float(-most, most)?.widened()
    }

    /// The remainder has the sign of the dividend and is no larger than it.
    pub(super) fn modulo(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (
                Self::Exact {
                    low,
                    high,
                    scale: 0,
                },
                Self::Exact { scale: 0, .. },
            ) => {
                let Self::Exact { high: most, .. } = other.magnitude()? else {
                    return None;
                };
                let most = most.checked_sub(i256::ONE)?.max(i256::ZERO);
                Some(Self::Exact {
                    low: (*low).max(most.checked_neg()?).min(i256::ZERO),
                    high: (*high).min(most).max(i256::ZERO),
                    scale: 0,
                })
            }
            _ => None,
        }
    }

    /// The absolute values.
    pub(in crate::plan) fn magnitude(&self) -> Option<Self> {
        if self.is_empty() {
            return Some(self.clone());
        }
        match self {
            Self::Exact { low, high, scale } => {
                let (a, b) = (low.checked_abs()?, high.checked_abs()?);
                let crosses = *low <= i256::ZERO && *high >= i256::ZERO;
                Some(Self::Exact {
                    low: if crosses { i256::ZERO } else { a.min(b) },
                    high: a.max(b),
                    scale: *scale,
                })
            }
            Self::Float { low, high } => {
                let crosses = *low <= 0.0 && *high >= 0.0;
                let least = if crosses {
                    0.0
                } else {
                    low.abs().min(high.abs())
                };
                Self::float(least, low.abs().max(high.abs()))
            }
        }
    }

    /// The values after rounding to any number of digits.
    pub(super) fn rounded(&self) -> Option<Self> {
        if self.is_empty() {
            return Some(self.clone());
        }
        match self {
            Self::Exact { low, high, scale } => {
                let unit = power_of_ten(u32::try_from(*scale).ok()?)?;
                Some(Self::Exact {
                    low: low.checked_sub(unit)?,
                    high: high.checked_add(unit)?,
                    scale: *scale,
                })
            }
            Self::Float { low, high } => Self::float(low.floor() - 1.0, high.ceil() + 1.0),
        }
    }

    pub(super) fn square_root(&self) -> Option<Self> {
        match self {
            Self::Float { low, high } if *low >= 0.0 => {
                Self::float(low.sqrt(), high.sqrt())?.widened()
            }
            _ => None,
        }
    }
}

fn hull_of(values: [f64; 4]) -> Option<Interval> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let all_finite = values.iter().all(|v| v.is_finite());
    all_finite.then_some(Interval::Float { low, high })
}

/// Times 10^by, rounded down or up.
fn rescale(value: i256, by: i32, up: bool) -> Option<i256> {
    let power = power_of_ten(by.unsigned_abs())?;
    if by >= 0 {
        return value.checked_mul(power);
    }
    let quotient = value.checked_div(power)?;
    let exact = value.checked_rem(power)? == i256::ZERO;
    let negative = value < i256::ZERO;
    match (exact, up, negative) {
        (true, ..) | (false, true, true) | (false, false, false) => Some(quotient),
        (false, true, false) => quotient.checked_add(i256::ONE),
        (false, false, true) => quotient.checked_sub(i256::ONE),
    }
}

/// `-12.50` as an integer at a scale; digits beyond it are rounded down or up.
fn parse_decimal(text: &str, scale: i8, up: bool) -> Option<i256> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let unscaled: i256 = format!("{whole}{fraction}").parse().ok()?;
    let digits = i32::try_from(fraction.len()).ok()?;
    rescale(unscaled, i32::from(scale) - digits, up)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(low: i128, high: i128, scale: i8) -> Interval {
        Interval::Exact {
            low: i256::from_i128(low),
            high: i256::from_i128(high),
            scale,
        }
    }

    #[test]
    fn declared_ranges_are_read_at_the_scale_of_the_type() {
        let cents = DataType::Decimal128(10, 2);
        assert_eq!(
            Interval::declared("-12.5", "99.999", &cents),
            Some(exact(-1250, 10_000, 2))
        );
        assert_eq!(
            Interval::declared("1", "14", &DataType::Int32),
            Some(exact(1, 14, 0))
        );
        assert_eq!(
            Interval::declared("0", "1000", &DataType::Int8),
            Some(exact(0, 127, 0))
        );
        assert_eq!(Interval::declared("a", "b", &DataType::Int8), None);
    }

    #[test]
    fn arithmetic_takes_every_corner() {
        let a = exact(-3, 5, 0);
        let b = exact(-7, 2, 1);
        assert_eq!(a.multiply(&b), Some(exact(-35, 21, 1)));
        assert_eq!(a.add(&b), Some(exact(-37, 52, 1)));
        assert_eq!(a.negate(), Some(exact(-5, 3, 0)));
        assert_eq!(a.magnitude(), Some(exact(0, 5, 0)));
        assert_eq!(
            exact(-9, 9, 0).modulo(&exact(4, 4, 0)),
            Some(exact(-3, 3, 0))
        );
        assert_eq!(
            exact(-9, 8, 0).divide(&exact(-2, 3, 0)),
            Some(exact(-9, 9, 0))
        );
    }

    #[test]
    fn rounding_goes_outwards() {
        assert_eq!(exact(-15, 15, 1).at_scale(0), Some(exact(-2, 2, 0)));
        assert_eq!(exact(-20, 20, 1).at_scale(0), Some(exact(-2, 2, 0)));
        assert_eq!(exact(11, 19, 1).at_scale(0), Some(exact(1, 2, 0)));
    }

    #[test]
    fn null_widens_nothing() {
        let empty = Interval::empty(&DataType::Int64);
        assert_eq!(empty.hull(&exact(1, 2, 0)), Some(exact(1, 2, 0)));
        assert_eq!(exact(1, 2, 0).hull(&empty), Some(exact(1, 2, 0)));
    }

    #[test]
    fn what_does_not_fit_a_type_is_not_its_interval() {
        assert_eq!(
            exact(0, 127, 0).fit(&DataType::Int8),
            Some(exact(0, 127, 0))
        );
        assert_eq!(exact(0, 128, 0).fit(&DataType::Int8), None);
    }
}
