//! What type a CSV column has, from all of its values.
//!
//! A type is only given where the text could be written back from the typed value: `007`, `1,5`, `250.1` beside
//! `250.10` and the like keep a column text, because such a column may hold codes and not quantities.

use crate::catalogue::ColumnKind;

/// Most digits of a decimal column: beyond, a column is a measurement (float) or a code (text).
const DECIMAL_DIGITS: usize = 18;
/// Most digits after the point of a decimal column whose values are all written to the same length.
const PADDED_SCALE: usize = 9;
/// The same where they are written with differing lengths.
const TRIMMED_SCALE: usize = 4;
/// Most significant digits that a 64-bit float may be written with.
const FLOAT_DIGITS: usize = 17;

/// What the values seen so far allow a column to be.
#[derive(Debug, Default)]
pub(super) struct Guess {
    shape: Shape,
    pub(super) n_null: u64,
}

#[derive(Debug, Default, PartialEq)]
enum Shape {
    /// Nothing but NULL so far.
    #[default]
    Unknown,
    Bool(BoolStyle),
    Number(NumberShape),
    Date,
    Timestamp(TimestampStyle),
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum BoolStyle {
    Lower,
    Title,
    Upper,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct TimestampStyle {
    separator: u8,
    fraction_digits: usize,
}

/// What the numbers of a column have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
struct NumberShape {
    fits_i64: bool,
    negative_zero: bool,
    exponent: bool,
    /// Some value has no point.
    whole: bool,
    /// Some value ends in `.0`, as Python writes a whole float.
    point_zero: bool,
    /// Some value has a longer fraction that ends in 0.
    padded: bool,
    int_digits: usize,
    significant: usize,
    least_scale: usize,
    most_scale: usize,
}

impl Guess {
    /// Takes one more value into account. Empty is NULL.
    pub(super) fn see(&mut self, value: &[u8]) {
        if value.is_empty() {
            self.n_null += 1;
            return;
        }
        let shape = match &self.shape {
            Shape::Text => return,
            Shape::Unknown => classify(value),
            Shape::Bool(style) if bool_style(value) == Some(*style) => return,
            Shape::Date if date(value).is_some() => return,
            Shape::Timestamp(style) if timestamp_style(value) == Some(*style) => return,
            Shape::Number(seen) => match number(value) {
                Some(new) => Shape::Number(seen.and(new)),
                None => Shape::Text,
            },
            Shape::Bool(_) | Shape::Date | Shape::Timestamp(_) => Shape::Text,
        };
        self.shape = shape;
    }

    /// The type of the column if these were all values.
    pub(super) fn kind(&self) -> ColumnKind {
        match &self.shape {
            Shape::Unknown => ColumnKind::Empty,
            Shape::Bool(_) => ColumnKind::Bool,
            Shape::Date => ColumnKind::Date,
            Shape::Timestamp(_) => ColumnKind::Timestamp,
            Shape::Text => ColumnKind::Text,
            Shape::Number(n) => n.kind(),
        }
    }
}

impl NumberShape {
    fn and(self, other: Self) -> Self {
        Self {
            fits_i64: self.fits_i64 && other.fits_i64,
            negative_zero: self.negative_zero || other.negative_zero,
            exponent: self.exponent || other.exponent,
            whole: self.whole || other.whole,
            point_zero: self.point_zero || other.point_zero,
            padded: self.padded || other.padded,
            int_digits: self.int_digits.max(other.int_digits),
            significant: self.significant.max(other.significant),
            least_scale: self.least_scale.min(other.least_scale),
            most_scale: self.most_scale.max(other.most_scale),
        }
    }

    fn kind(&self) -> ColumnKind {
        let float = if self.significant <= FLOAT_DIGITS {
            ColumnKind::Float
        } else {
            ColumnKind::Text
        };
        if self.exponent {
            return float;
        }
        if self.most_scale == 0 {
            let exact = self.fits_i64 && !self.negative_zero;
            return if exact {
                ColumnKind::Int {
                    bits: 64,
                    signed: true,
                }
            } else {
                ColumnKind::Text
            };
        }
        let same_scale = self.least_scale == self.most_scale;
        // Trimmed fractions, with whole values written either `5` or `5.0` but not both.
        let trimmed = !(self.padded || (self.whole && self.point_zero));
        if !same_scale && !trimmed {
            return ColumnKind::Text;
        }
        let digits = self.int_digits + self.most_scale;
        let most_scale = if same_scale {
            PADDED_SCALE
        } else {
            TRIMMED_SCALE
        };
        if digits <= DECIMAL_DIGITS && self.most_scale <= most_scale && !self.negative_zero {
            return ColumnKind::Decimal {
                precision: digits as u8,
                scale: self.most_scale as i8,
            };
        }
        float
    }
}

fn classify(value: &[u8]) -> Shape {
    if let Some(n) = number(value) {
        Shape::Number(n)
    } else if date(value).is_some() {
        Shape::Date
    } else if let Some(style) = timestamp_style(value) {
        Shape::Timestamp(style)
    } else if let Some(style) = bool_style(value) {
        Shape::Bool(style)
    } else {
        Shape::Text
    }
}

fn bool_style(value: &[u8]) -> Option<BoolStyle> {
    match value {
        b"true" | b"false" => Some(BoolStyle::Lower),
        b"True" | b"False" => Some(BoolStyle::Title),
        b"TRUE" | b"FALSE" => Some(BoolStyle::Upper),
        _ => None,
    }
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`, finite as a float.
fn number(value: &[u8]) -> Option<NumberShape> {
    let (negative, rest) = match value {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, value),
    };
    let n_digits = |s: &[u8]| {
        s.iter()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(s.len())
    };
    let int_digits = n_digits(rest);
    let (whole, mut rest) = rest.split_at(int_digits);
    if int_digits == 0 || (int_digits > 1 && whole[0] == b'0') {
        return None;
    }
    let mut fraction: &[u8] = &[];
    if let [b'.', after @ ..] = rest {
        let scale = n_digits(after);
        if scale == 0 {
            return None;
        }
        (fraction, rest) = after.split_at(scale);
    }
    let exponent = match rest {
        [] => false,
        [b'e' | b'E', b'+' | b'-', digits @ ..] | [b'e' | b'E', digits @ ..] => {
            if digits.is_empty() || n_digits(digits) != digits.len() || !float(value)?.is_finite() {
                return None;
            }
            true
        }
        _ => return None,
    };
    let is_zero = whole.iter().chain(fraction).all(|&b| b == b'0');
    let leading_zeros = whole
        .iter()
        .chain(fraction)
        .take_while(|&&b| b == b'0')
        .count();
    Some(NumberShape {
        fits_i64: int(value).is_some(),
        negative_zero: negative && is_zero,
        exponent,
        whole: fraction.is_empty(),
        point_zero: fraction == b"0",
        padded: fraction.len() > 1 && fraction.ends_with(b"0"),
        int_digits,
        significant: int_digits + fraction.len() - leading_zeros,
        least_scale: fraction.len(),
        most_scale: fraction.len(),
    })
}

fn timestamp_style(value: &[u8]) -> Option<TimestampStyle> {
    timestamp(value)?;
    Some(TimestampStyle {
        separator: value[10],
        fraction_digits: value.len().saturating_sub(20),
    })
}

/// A whole number as [`ColumnKind::Int`] columns hold it.
pub(super) fn int(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A number as [`ColumnKind::Float`] columns hold it.
pub(super) fn float(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A number as a [`ColumnKind::Decimal`] column of this scale holds it.
pub(super) fn decimal(value: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let shape = number(value)?;
    let missing = (scale as usize).checked_sub(shape.most_scale)?;
    if shape.exponent || shape.int_digits + scale as usize > usize::from(precision) {
        return None;
    }
    let digits = value.iter().filter(|b| b.is_ascii_digit());
    let unscaled =
        digits.fold(0i128, |n, b| n * 10 + i128::from(b - b'0')) * 10i128.pow(missing as u32);
    Some(if value[0] == b'-' {
        -unscaled
    } else {
        unscaled
    })
}

/// True or false as a [`ColumnKind::Bool`] column holds it.
pub(super) fn boolean(value: &[u8]) -> Option<bool> {
    bool_style(value)?;
    Some(matches!(value[0], b't' | b'T'))
}

/// `YYYY-MM-DD` as days since 1970-01-01.
pub(super) fn date(value: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *value else {
        return None;
    };
    let pair = |a: u8, b: u8| {
        (a.is_ascii_digit() && b.is_ascii_digit())
            .then(|| u32::from(a - b'0') * 10 + u32::from(b - b'0'))
    };
    let year = pair(y1, y2)? * 100 + pair(y3, y4)?;
    let day = chrono::NaiveDate::from_ymd_opt(year as i32, pair(m1, m2)?, pair(d1, d2)?)?;
    let epoch = chrono::NaiveDate::default();
    i32::try_from(day.signed_duration_since(epoch).num_days())
        .ok()
        .filter(|_| year > 0)
}

/// `YYYY-MM-DD[ T]HH:MM:SS[.f…]`, at most six digits of fraction, as microseconds since 1970-01-01.
pub(super) fn timestamp(value: &[u8]) -> Option<i64> {
    let (day, rest) = value.split_at_checked(10)?;
    let [
        b' ' | b'T',
        h1,
        h2,
        b':',
        m1,
        m2,
        b':',
        s1,
        s2,
        fraction @ ..,
    ] = rest
    else {
        return None;
    };
    let clock = [h1, h2, m1, m2, s1, s2];
    if !clock.iter().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let pair = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
    let (hours, minutes, seconds) = (pair(h1, h2), pair(m1, m2), pair(s1, s2));
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..]
            if (1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) =>
        {
            let read = digits.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
            read * 10i64.pow(6 - digits.len() as u32)
        }
        _ => return None,
    };
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let seconds = i64::from(date(day)?) * 86_400 + hours * 3600 + minutes * 60 + seconds;
    Some(seconds * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(values: &[&str]) -> ColumnKind {
        let mut guess = Guess::default();
        values.iter().for_each(|v| guess.see(v.as_bytes()));
        guess.kind()
    }

    #[test]
    fn types_are_given_where_the_text_can_be_written_back() {
        let int = ColumnKind::Int {
            bits: 64,
            signed: true,
        };
        let decimal = |precision, scale| ColumnKind::Decimal { precision, scale };
        let cases: &[(&[&str], ColumnKind)] = &[
            (&[], ColumnKind::Empty),
            (&["", ""], ColumnKind::Empty),
            (&["1", "", "-20"], int.clone()),
            (&["9223372036854775807", "-9223372036854775808"], int),
            (&["9223372036854775808"], ColumnKind::Text),
            (&["7", "007"], ColumnKind::Text),
            (&["-0"], ColumnKind::Text),
            (&["+5"], ColumnKind::Text),
            (&["1 "], ColumnKind::Text),
            (&["1,5"], ColumnKind::Text),
            (&[".5"], ColumnKind::Text),
            (&["5."], ColumnKind::Text),
            (&["12.50", "3.10", "-0.05"], decimal(4, 2)),
            (&["12.5", "3", "0.25"], decimal(4, 2)),
            (&["12.5", "3.0", "0.25"], decimal(4, 2)),
            (&["3.0", "3"], ColumnKind::Text),
            (&["250.1", "250.10"], ColumnKind::Text),
            (&["-0.0", "1.0"], ColumnKind::Float),
            (&["0.123456", "1.5"], ColumnKind::Float),
            (&["0.10000000000000001"], ColumnKind::Float),
            (&["0.123456789012345678901"], ColumnKind::Text),
            (&["1e-5", "2"], ColumnKind::Float),
            (&["1e400"], ColumnKind::Text),
            (&["NaN"], ColumnKind::Text),
            (&["inf"], ColumnKind::Text),
            (&["true", "false"], ColumnKind::Bool),
            (&["True", "false"], ColumnKind::Text),
            (&["2024-02-29"], ColumnKind::Date),
            (&["2023-02-29"], ColumnKind::Text),
            (&["2024-01-01", "2024-01-01 00:00:00"], ColumnKind::Text),
            (&["2024-01-01 12:30:59.25"], ColumnKind::Timestamp),
            (&["2024-01-01 24:00:00"], ColumnKind::Text),
            (&["2024-01-01", "01.02.2024"], ColumnKind::Text),
            (&["1", "x"], ColumnKind::Text),
            (&["高血压"], ColumnKind::Text),
        ];
        for (values, expected) in cases {
            assert_eq!(kind(values), *expected, "{values:?}");
        }
    }

    #[test]
    fn values_are_read_exactly() {
        assert_eq!(decimal(b"-12.5", 6, 2), Some(-1250));
        assert_eq!(decimal(b"7", 6, 2), Some(700));
        assert_eq!(decimal(b"7.125", 6, 2), None);
        assert_eq!(decimal(b"12345.00", 6, 2), None);
        assert_eq!(date(b"1970-01-02"), Some(1));
        assert_eq!(date(b"0001-01-01"), Some(-719_162));
        assert_eq!(date(b"0000-01-01"), None);
        assert_eq!(timestamp(b"1969-12-31T23:59:59.999999"), Some(-1));
        assert_eq!(boolean(b"True"), Some(true));
    }
}
