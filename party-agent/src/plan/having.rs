//! HAVING on totals, decided on shares: a group that fails is opened to nobody.
//!
//! A condition that is linear in counts and exact sums is a number that must not be negative. It is one more column, which
//! every holder's totals, or shares of totals, give without a message; it is compared like a count and not opened. AVG(x) >= c is
//! SUM(x) − c·COUNT(x) >= 0. The receivers' query keeps the condition, so what is decided here must never fail a group that passes
//! there: where the query compares doubles, a difference that rounding could hide passes.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};
use protocols::aggregate::LocalTotals;
use serde::{Serialize, Serializer};

use super::ring::Fit;
use super::sql::outer::{MARK, Outer};
use super::{CellCheck, Measure, MeasureKind, Plan, ReleaseRule, Released, RingWidth, Shape};
use crate::spec::CheckedSpec;

/// Numbers that are compared stay below 2 to this power.
const MAX_BITS: u32 = 60;
/// Doubles keep differences of numbers below 2 to this power apart.
const DOUBLE_BITS: u32 = 50;
/// Most comparisons of one job, over all groups.
const MAX_COMPARED: usize = 1 << 20;
/// Most digits after the point of a condition.
const MAX_SCALE: u32 = 18;

/// A condition of HAVING: a sum of totals that is compared with a threshold and opened to nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedTotals {
    /// Its column over Z_2^64.
    pub column: usize,
    /// The totals.
    pub parts: Vec<ComparedTotal>,
    /// What is added, so that the sum is not negative.
    #[serde(serialize_with = "as_text")]
    pub constant: i64,
}

/// A total in such a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedTotal {
    /// Its ring.
    pub ring: RingWidth,
    /// Its column among those of that ring.
    pub index: usize,
    /// What it is multiplied by.
    #[serde(serialize_with = "as_text")]
    pub weight: i64,
}

fn as_text<S: Serializer>(number: &i64, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(number)
}

impl Plan {
    /// Fills the columns of conditions from the totals, or shares of totals, of one seat. `is_first`: one seat adds what is public.
    pub fn compare_totals(&self, is_first: bool, totals: &mut LocalTotals) {
        for of in &self.having {
            let public = if is_first { of.constant } else { 0 };
            let mut column = vec![public.cast_unsigned(); self.shape.cells];
            for part in &of.parts {
                let weight = part.weight.cast_unsigned();
                let mut add = |cell: usize, value: u64| {
                    column[cell] = column[cell].wrapping_add(value.wrapping_mul(weight));
                };
                match part.ring {
                    RingWidth::Narrow => {
                        let values = totals.narrow[part.index].iter().enumerate();
                        values.for_each(|(cell, value)| add(cell, *value));
                    }
                    // The number fits 64 bits, so its lower half is enough.
                    RingWidth::Wide => {
                        let values = totals.wide[part.index].iter().enumerate();
                        values.for_each(|(cell, value)| add(cell, *value as u64));
                    }
                }
            }
            totals.narrow[of.column] = column;
        }
    }
}

/// What conditions are read in.
pub(super) struct Totals<'a> {
    pub(super) outer: &'a Outer,
    pub(super) measures: &'a [Measure],
    pub(super) fits: &'a [Option<Fit>],
    /// A bound on the rows of a group.
    pub(super) rows: u64,
}

/// The conditions that are decided on shares, each with its column and its checks in the shape. The others stay with the receivers.
pub(super) fn on_shares(
    spec: &CheckedSpec,
    totals: &Totals<'_>,
    shape: &mut Shape,
) -> Vec<ComparedTotals> {
    let is_plain = shape.margins.is_none() && shape.hidden.is_none() && shape.top.is_none();
    let is_compared = match shape.rule {
        ReleaseRule::None => shape.checks.is_empty(),
        ReleaseRule::Compare => true,
        ReleaseRule::OpenCounts => false,
    };
    if !is_plain || !is_compared || spec.correlations.is_none() || spec.dp.is_some() {
        return Vec::new();
    }
    let conditions = totals.outer.filter.iter();
    let conditions = conditions.filter_map(|condition| totals.condition(condition));
    let mut found: Vec<ComparedTotals> = Vec::new();
    for condition in conditions {
        if (shape.compared + 1).saturating_mul(shape.cells) > MAX_COMPARED {
            break;
        }
        let (column, offset) = (shape.narrow, condition.offset);
        shape.narrow += 1;
        shape.compared += 1;
        shape.checks.push(CellCheck {
            column,
            at_least: (offset + condition.least).cast_unsigned(),
            bound_bits: MAX_BITS + 2,
            rule: condition.text,
            reason: "having".to_owned(),
        });
        // A sum of nothing is NULL, which no condition accepts.
        for (count, label) in condition.known {
            if !shape.checks.iter().any(|check| check.column == count) {
                shape.checks.push(CellCheck {
                    column: count,
                    at_least: 1,
                    bound_bits: 64 - totals.rows.max(1).leading_zeros(),
                    rule: format!("COUNT({label}) >= 1"),
                    reason: "having".to_owned(),
                });
            }
        }
        found.push(ComparedTotals {
            column,
            parts: condition.parts,
            constant: condition.constant + offset,
        });
    }
    if !found.is_empty() {
        shape.rule = ReleaseRule::Compare;
    }
    found
}

/// A condition as a number that must reach a least one.
struct Condition {
    parts: Vec<ComparedTotal>,
    constant: i64,
    /// What makes it positive whatever the totals are.
    offset: i64,
    least: i64,
    /// The counts of values that must not be 0, with their labels.
    known: Vec<(usize, String)>,
    text: String,
}

/// A column of totals: its ring, its number, and no total is larger.
type Column = (bool, usize, i128);

/// A sum of totals, in units of its last digit.
#[derive(Clone, Default)]
struct Linear {
    terms: BTreeMap<Column, i128>,
    constant: i128,
    /// Digits after the point.
    scale: u32,
    /// The arguments whose sums are in it.
    args: Vec<usize>,
    /// The argument of an AVG, which stands alone.
    mean: Option<usize>,
    /// Whether it is more than one total or one number.
    is_computed: bool,
}

impl Linear {
    fn number(constant: i128, scale: u32) -> Self {
        Self {
            constant,
            scale,
            ..Self::default()
        }
    }

    fn is_number(&self) -> bool {
        self.terms.is_empty() && self.mean.is_none()
    }

    fn times(mut self, factor: i128) -> Option<Self> {
        for weight in self.terms.values_mut() {
            *weight = weight.checked_mul(factor)?;
        }
        self.constant = self.constant.checked_mul(factor)?;
        Some(self)
    }

    fn at(self, scale: u32) -> Option<Self> {
        let factor = 10i128.checked_pow(scale.checked_sub(self.scale)?)?;
        Some(Self {
            scale,
            ..self.times(factor)?
        })
    }

    fn plus(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let (mut sum, other) = (self.at(scale)?, other.at(scale)?);
        for (column, weight) in other.terms {
            let of = sum.terms.entry(column).or_insert(0);
            *of = of.checked_add(weight)?;
        }
        sum.constant = sum.constant.checked_add(other.constant)?;
        sum.args.extend(other.args);
        Some(sum)
    }

    /// The largest magnitude that it can have.
    fn largest(&self) -> Option<i128> {
        let mut terms = self.terms.iter();
        terms.try_fold(self.constant.checked_abs()?, |sum, ((.., most), weight)| {
            sum.checked_add(most.checked_mul(weight.checked_abs()?)?)
        })
    }
}

impl Totals<'_> {
    /// A condition, if it is one that is decided on shares.
    fn condition(&self, condition: &Expr) -> Option<Condition> {
        let Expr::BinaryOp { left, op, right } = bare(condition) else {
            return None;
        };
        let (left_side, right_side) = (self.linear(left)?, self.linear(right)?);
        let (greater, less, is_strict) = match op {
            BinaryOperator::Gt => (left_side, right_side, true),
            BinaryOperator::GtEq => (left_side, right_side, false),
            BinaryOperator::Lt => (right_side, left_side, true),
            BinaryOperator::LtEq => (right_side, left_side, false),
            _ => return None,
        };
        let sides = [&greater, &less];
        // Doubles are compared where a mean is, or a number with a point: then of one total with one number.
        let has_point = |side: &Linear| side.is_number() && side.scale > 0;
        let as_doubles = sides
            .iter()
            .any(|side| side.mean.is_some() || has_point(side));
        let has_number = sides.iter().any(|side| side.is_number());
        let is_computed = sides.iter().any(|side| side.is_computed);
        if as_doubles && (!has_number || is_computed) || sides.iter().all(|s| s.is_number()) {
            return None;
        }
        let mean = greater.mean.or(less.mean);
        let difference = match mean {
            None => greater.plus(less.times(-1)?)?,
            Some(arg) => self.of_mean(arg, (&greater, &less))?,
        };
        let largest = difference.largest()?;
        let slack = match as_doubles && !is_strict {
            true => largest >> DOUBLE_BITS,
            false => 0,
        };
        let least = if is_strict { 1 } else { -slack };
        let offset = largest.checked_add(slack)?.checked_add(1)?;
        if offset >= 1 << MAX_BITS || difference.scale > MAX_SCALE {
            return None;
        }
        let parts = difference.terms.iter();
        let parts = parts.map(|((is_wide, index, _), weight)| {
            Some(ComparedTotal {
                ring: match is_wide {
                    true => RingWidth::Wide,
                    false => RingWidth::Narrow,
                },
                index: *index,
                weight: i64::try_from(*weight).ok()?,
            })
        });
        let args = difference.args.iter().map(|arg| &self.measures[*arg]);
        let known = args.filter(|measure| measure.count != 0);
        Some(Condition {
            parts: parts.collect::<Option<_>>()?,
            constant: i64::try_from(difference.constant).ok()?,
            offset: i64::try_from(offset).ok()?,
            least: i64::try_from(least).ok()?,
            known: known.map(|m| (m.count, m.label.clone())).collect(),
            text: format!("{} {op} {}", self.text(left), self.text(right)),
        })
    }

    /// AVG(x) − c, or c − AVG(x), times the count.
    fn of_mean(&self, arg: usize, (greater, less): (&Linear, &Linear)) -> Option<Linear> {
        let (number, sign) = match greater.mean {
            Some(_) => (less, 1),
            None => (greater, -1),
        };
        let sum = self.sum(arg)?;
        let mut count = self.count(self.measures[arg].count);
        count.scale = number.scale;
        let taken = count.times(number.constant.checked_neg()?)?;
        sum.plus(taken)?.times(sign)
    }

    fn linear(&self, expr: &Expr) -> Option<Linear> {
        match bare(expr) {
            Expr::Identifier(name) => {
                let name = name.value.strip_prefix(MARK)?;
                match *self.outer.released.get(name)? {
                    Released::Rows => Some(self.count(0)),
                    Released::Count(arg) => Some(self.count(self.measures[arg].count)),
                    Released::Sum(arg) => self.sum(arg),
                    Released::Avg(arg) => Some(Linear {
                        mean: Some(arg),
                        ..Linear::default()
                    }),
                    _ => None,
                }
            }
            Expr::Value(value) => match &value.value {
                Value::Number(digits, false) => number(digits),
                _ => None,
            },
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => {
                let of = self.linear(expr)?;
                let is_computed = !of.is_number();
                Some(Linear {
                    is_computed,
                    ..of.times(-1)?
                })
                .filter(|of| of.mean.is_none())
            }
            Expr::BinaryOp { left, op, right } => {
                let (left, right) = (self.linear(left)?, self.linear(right)?);
                let is_exact =
                    |side: &Linear| side.mean.is_none() && !(side.is_number() && side.scale > 0);
                if !is_exact(&left) || !is_exact(&right) {
                    return None;
                }
                let found = match op {
                    BinaryOperator::Plus => left.plus(right),
                    BinaryOperator::Minus => left.plus(right.times(-1)?),
                    BinaryOperator::Multiply if left.is_number() => right.times(left.constant),
                    BinaryOperator::Multiply if right.is_number() => left.times(right.constant),
                    _ => None,
                };
                Some(Linear {
                    is_computed: true,
                    ..found?
                })
            }
            _ => None,
        }
    }

    fn count(&self, column: usize) -> Linear {
        Linear {
            terms: BTreeMap::from([((false, column, i128::from(self.rows)), 1)]),
            ..Linear::default()
        }
    }

    /// The sum of an argument, if it is exact and bounded.
    fn sum(&self, arg: usize) -> Option<Linear> {
        let measure = &self.measures[arg];
        let MeasureKind::Exact { scale } = measure.kind else {
            return None;
        };
        let slot = measure.sum.filter(|s| s.frac_bits == 0 && s.scale == 0)?;
        let most = self.fits.get(arg)?.as_ref()?.largest_sum?.to_i128()?;
        let is_wide = slot.ring == RingWidth::Wide;
        Some(Linear {
            terms: BTreeMap::from([((is_wide, slot.index, most.checked_abs()?), 1)]),
            scale: u32::try_from(scale).ok()?,
            args: vec![arg],
            ..Linear::default()
        })
    }

    /// A side of a condition as the job has it.
    fn text(&self, expr: &Expr) -> String {
        let label = |arg: usize| self.measures[arg].label.as_str();
        match expr {
            Expr::Identifier(name) => {
                let name = name.value.strip_prefix(MARK).unwrap_or_default();
                match self.outer.released.get(name) {
                    Some(Released::Count(arg)) => format!("COUNT({})", label(*arg)),
                    Some(Released::Sum(arg)) => format!("SUM({})", label(*arg)),
                    Some(Released::Avg(arg)) => format!("AVG({})", label(*arg)),
                    _ => "COUNT(*)".to_owned(),
                }
            }
            Expr::Nested(inner) => format!("({})", self.text(inner)),
            Expr::UnaryOp { op, expr } => format!("{op}{}", self.text(expr)),
            Expr::BinaryOp { left, op, right } => {
                format!("{} {op} {}", self.text(left), self.text(right))
            }
            other => other.to_string(),
        }
    }
}

fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => bare(inner),
        other => other,
    }
}

/// A whole or decimal number, without an exponent.
fn number(digits: &str) -> Option<Linear> {
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let all = [whole, decimals].concat();
    let is_plain = !all.is_empty() && all.len() <= 18 && all.bytes().all(|b| b.is_ascii_digit());
    let scale = u32::try_from(decimals.len()).ok()?;
    // A number with a point is a double, whatever stands behind it.
    is_plain
        .then(|| all.parse().ok())?
        .map(|n| match digits.contains('.') {
            true => Linear::number(n, scale.max(1)).tenfold(scale),
            false => Linear::number(n, 0),
        })
}

impl Linear {
    /// `5.` has a digit after its point like `5.0`.
    fn tenfold(self, scale: u32) -> Self {
        let factor = if scale == 0 { 10 } else { 1 };
        Self {
            constant: self.constant * factor,
            ..self
        }
    }
}
