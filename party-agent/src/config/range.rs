//! A range of numbers as people write it: two bounds, compared exactly.

use toml::Spanned;
use toml::de::DeValue;

use super::fields::Faults;

const ALLOWED: &str =
    "two numbers, the smallest and the largest, such as [0, 120] or [0.00, 9999.99]";

/// The two bounds as plain decimals: a sign, digits, at most one point. `name` is the field's, for faults.
pub(crate) fn read(
    name: &str,
    value: &Spanned<DeValue<'_>>,
    faults: &mut Faults<'_>,
) -> Option<(String, String)> {
    let bounds: Option<Vec<String>> = value
        .get_ref()
        .as_array()
        .and_then(|list| list.iter().map(|e| bound(e.get_ref())).collect());
    match bounds.as_deref() {
        Some([low, high]) if ordered(low, high) => Some((low.clone(), high.clone())),
        Some([_, _]) => {
            faults.add(
                &value.span(),
                name,
                "the first number is larger than the second",
                ALLOWED,
            );
            None
        }
        _ => {
            faults.add(&value.span(), name, "this is not a range", ALLOWED);
            None
        }
    }
}

/// A bound as a plain decimal: a sign, digits, at most one point.
fn bound(value: &DeValue<'_>) -> Option<String> {
    let text = match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        DeValue::String(text) => text.as_ref(),
        _ => return None,
    };
    let text = text.strip_prefix('+').unwrap_or(text);
    let digits = text.strip_prefix('-').unwrap_or(text);
    let decimal = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (well_formed, n_digits) = match digits.split_once('.') {
        None => (decimal(digits), digits.len()),
        Some((whole, fraction)) => (
            decimal(whole) && decimal(fraction),
            whole.len() + fraction.len(),
        ),
    };
    // 38 digits are what a decimal column holds; more could not be compared with its values.
    (well_formed && n_digits <= 38).then(|| text.to_owned())
}

/// Compares two bounds exactly. Both passed [`bound`].
fn ordered(low: &str, high: &str) -> bool {
    match (magnitude(low), magnitude(high)) {
        ((true, low), (true, high)) => high <= low,
        ((false, low), (false, high)) => low <= high,
        ((negative, _), _) => negative,
    }
}

/// The sign of a bound, and its size in a form that compares like a number.
fn magnitude(text: &str) -> (bool, (usize, &str, &str)) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, fraction) = (
        whole.trim_start_matches('0'),
        fraction.trim_end_matches('0'),
    );
    let zero = whole.is_empty() && fraction.is_empty();
    (
        digits.len() < text.len() && !zero,
        (whole.len(), whole, fraction),
    )
}
