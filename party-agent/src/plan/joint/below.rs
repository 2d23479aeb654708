//! Comparisons between columns of different holders, `h.x > i.y`: decided key by key, on shares.
//!
//! `x < y` is whether `x − y` is below 0, and the other comparisons follow from that: `x <= y` is true where both are
//! known and `y − x` is not below 0. What is compared is a number of one row of a key, of which a table has one, or as many
//! as the job says ([`super::rows`]); its holder checks that before anything is sent.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};

use super::columns::stripped;
use super::draft::{Draft, Power, Take};
use super::relation::{Compiled, One};
use super::separate::{Factor, Separate};
use super::{ComparedPart, Job, JoinCompared};
use crate::plan::sql::outer::case_when;
use crate::plan::{MeasureKind, PlanFault, RingWidth};

/// Most bits of the sums that are compared.
const MAX_BITS: u32 = 62;

/// A sum of one column of each relation at most, and of numbers, that is compared with 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Below {
    /// The relation, what it adds, and with which sign; a number has no relation.
    pub(super) parts: Vec<(Option<usize>, Expr, i64)>,
    /// As the job writes it.
    pub(super) expr: Expr,
}

impl Below {
    fn negated(&self) -> Self {
        let parts = self.parts.iter().cloned();
        Self {
            parts: parts.map(|(at, expr, sign)| (at, expr, -sign)).collect(),
            expr: self.expr.clone(),
        }
    }
}

/// What a comparison says in sums below 0: the terms that are added up where both sides are known, each with the
/// numbers of the sums that must be below 0 there.
pub(super) type Terms = Vec<(i64, Option<usize>)>;

impl Separate<'_> {
    /// A comparison of two numbers, if it is one; `negated`: where it is false.
    pub(super) fn compared(
        &self,
        expr: &Expr,
        negated: bool,
    ) -> Result<Option<(Terms, (Expr, Expr))>, PlanFault> {
        use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        let Expr::BinaryOp { left, op, right } = stripped(expr) else {
            return Ok(None);
        };
        let op = match (op, negated) {
            (Lt, false) | (GtEq, true) => Lt,
            (Gt, false) | (LtEq, true) => Gt,
            (LtEq, false) | (Gt, true) => LtEq,
            (GtEq, false) | (Lt, true) => GtEq,
            (Eq, false) | (NotEq, true) => Eq,
            (NotEq, false) | (Eq, true) => NotEq,
            _ => return Ok(None),
        };
        let mut parts = Vec::new();
        self.linear(expr, left, 1, &mut parts)?;
        self.linear(expr, right, -1, &mut parts)?;
        let less = Below {
            parts,
            expr: expr.clone(),
        };
        let more = less.negated();
        let number = |below: Below| {
            let mut all = self.below.borrow_mut();
            let known = all.iter().position(|b| b.parts == below.parts);
            known.unwrap_or_else(|| {
                all.push(below);
                all.len() - 1
            })
        };
        let terms = match op {
            Lt => vec![(1, Some(number(less)))],
            Gt => vec![(1, Some(number(more)))],
            LtEq => vec![(1, None), (-1, Some(number(more)))],
            GtEq => vec![(1, None), (-1, Some(number(less)))],
            NotEq => vec![(1, Some(number(less))), (1, Some(number(more)))],
            _ => vec![
                (1, None),
                (-1, Some(number(less))),
                (-1, Some(number(more))),
            ],
        };
        Ok(Some((terms, ((**left).clone(), (**right).clone()))))
    }

    /// Takes a side of a comparison apart, as long as it is a sum.
    fn linear(
        &self,
        whole: &Expr,
        expr: &Expr,
        sign: i64,
        parts: &mut Vec<(Option<usize>, Expr, i64)>,
    ) -> Result<(), PlanFault> {
        let expr = stripped(expr);
        match expr {
            Expr::Value(value) if matches!(value.value, Value::Number(..)) => {
                parts.push((None, expr.clone(), sign));
                return Ok(());
            }
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: inner,
            } => return self.linear(whole, inner, -sign, parts),
            Expr::BinaryOp { left, op, right } if self.only(expr)?.is_none() => {
                let of_right = match op {
                    BinaryOperator::Plus => sign,
                    BinaryOperator::Minus => -sign,
                    _ => return Err(self.no_sum(whole)),
                };
                self.linear(whole, left, sign, parts)?;
                return self.linear(whole, right, of_right, parts);
            }
            _ => {}
        }
        match self.only(expr)? {
            Some(at) if !self.scope.is_member(at) => {
                parts.push((Some(at), expr.clone(), sign));
                Ok(())
            }
            _ => Err(self.no_sum(whole)),
        }
    }

    fn no_sum(&self, expr: &Expr) -> PlanFault {
        let what =
            format!("{expr}: of columns of different holders, sums and differences are compared");
        let fix = "write a.x > b.y, or a.x - b.y > 10, and compute products and quotients in subqueries of one holder each";
        self.site.fault(expr, what, fix)
    }
}

/// A sum with the number that each relation has for it.
pub(super) struct Taken {
    parts: Vec<(usize, Take, i64)>,
    numbers: Vec<(Expr, i64)>,
    expr: Expr,
}

/// Registers what relations add to the sums.
pub(super) fn taken(all: &[Below], drafts: &mut [Draft]) -> Vec<Taken> {
    let mut one = |below: &Below| {
        let mut taken = Taken {
            parts: Vec::new(),
            numbers: Vec::new(),
            expr: below.expr.clone(),
        };
        for (at, expr, sign) in &below.parts {
            let Some(at) = *at else {
                taken.numbers.push((expr.clone(), *sign));
                continue;
            };
            // The value decides which rows count, so a policy must allow it as a filter.
            let known = Expr::IsNotNull(Box::new(expr.clone()));
            let factor = Factor {
                value: Some(case_when(&known, expr.clone())),
                ..Factor::default()
            };
            let take = drafts[at].take(&factor, Power::Compared, &Default::default());
            taken.parts.push((at, take, *sign));
        }
        taken
    };
    all.iter().map(&mut one).collect()
}

/// What is known of a number that is compared.
struct Known {
    /// Its narrow column.
    index: usize,
    /// Its digits after the point.
    scale: i32,
    /// Its largest magnitude.
    most: i128,
    is_day: bool,
}

fn known(one: &One, take: Take) -> Result<Known, &'static str> {
    let Take::Sum(arg) = take else {
        return Err("it is no number");
    };
    let measure = &one.columns.measures[arg];
    let (scale, is_day) = match measure.kind {
        MeasureKind::Exact { scale } => (scale, false),
        MeasureKind::Day => (0, true),
        _ => return Err("it is no whole number, decimal or day"),
    };
    let (Ok(low), Ok(high)) = (
        measure.range.low.parse::<i128>(),
        measure.range.high.parse::<i128>(),
    ) else {
        return Err("its range is not known");
    };
    match measure.sum {
        Some(slot) if slot.ring == RingWidth::Narrow => Ok(Known {
            index: slot.index,
            scale: scale.into(),
            most: low.saturating_abs().max(high.saturating_abs()),
            is_day,
        }),
        _ => Err("its range is too wide"),
    }
}

/// A number that is written out, and its digits after the point.
fn literal(expr: &Expr) -> Option<(i128, i32)> {
    let Expr::Value(value) = expr else {
        return None;
    };
    let Value::Number(digits, false) = &value.value else {
        return None;
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let number = format!("{whole}{fraction}").parse().ok()?;
    Some((number, i32::try_from(fraction.len()).ok()?))
}

impl Taken {
    /// The arguments of a relation that are in the sum.
    pub(super) fn args_of(&self, relation: usize) -> impl Iterator<Item = usize> {
        let of_it = move |(at, take, _): &(usize, Take, i64)| match take {
            Take::Sum(arg) if *at == relation => Some(*arg),
            _ => None,
        };
        self.parts.iter().filter_map(of_it)
    }

    /// The relations that it has parts of.
    pub(super) fn relations(&self) -> BTreeSet<usize> {
        self.parts.iter().map(|(at, _, _)| *at).collect()
    }

    /// The sum as the join makes it, all parts at one scale. `place`: where a column of a relation is.
    pub(super) fn placed(
        &self,
        job: &Job<'_>,
        compiled: &Compiled,
        place: &mut dyn FnMut(usize, usize) -> (usize, usize),
    ) -> Result<JoinCompared, PlanFault> {
        let fault = |what: &str| {
            let what = format!("{}: {what}", self.expr);
            let fix = "compare days with days, or whole numbers and decimals of declared ranges: CAST(x AS DECIMAL(12, 2))";
            job.site.fault(&self.expr, what, fix)
        };
        let (mut columns, mut days) = (Vec::new(), 0);
        for (at, take, sign) in &self.parts {
            let one = &compiled.all[*at];
            let known = known(one, *take).map_err(fault)?;
            let without = one.without.as_ref().zip(match take {
                Take::Sum(arg) => Some(*arg),
                _ => None,
            });
            if without.is_some_and(|(w, arg)| w.values[arg].unwrap_or(0) != 0) {
                return Err(fault(
                    "a row without a match is compared with another value than 0",
                ));
            }
            days += i64::from(known.is_day) * sign;
            columns.push((*at, known, *sign));
        }
        if days != 0 {
            return Err(fault("a day is compared with a number"));
        }
        let numbers: Option<Vec<(i128, i32, i64)>> = self
            .numbers
            .iter()
            .map(|(expr, sign)| literal(expr).map(|(n, scale)| (n, scale, *sign)))
            .collect();
        let numbers = numbers.ok_or_else(|| fault("a number in it cannot be read"))?;
        let scales = columns.iter().map(|(_, known, _)| known.scale);
        let scale = scales.chain(numbers.iter().map(|n| n.1)).max().unwrap_or(0);
        let too_wide = || fault("the numbers have too many digits together");
        let weight = |own: i32, sign: i64| {
            let digits = u32::try_from(scale - own).unwrap_or(u32::MAX);
            let ten = 10i64.checked_pow(digits);
            ten.and_then(|ten| ten.checked_mul(sign))
                .ok_or_else(too_wide)
        };
        let mut largest = 0i128;
        let mut parts = Vec::new();
        for (at, known, sign) in columns {
            let weight = weight(known.scale, sign)?;
            largest = largest.saturating_add(known.most.saturating_mul(i128::from(weight).abs()));
            let (relation, column) = place(at, known.index);
            parts.push(ComparedPart {
                relation,
                column,
                weight,
            });
        }
        let mut constant = 0i128;
        for (number, own, sign) in numbers {
            constant = constant.saturating_add(number.saturating_mul(weight(own, sign)?.into()));
        }
        largest = largest.saturating_add(constant.abs());
        let bound_bits = (i128::BITS - largest.leading_zeros()).max(1);
        match i64::try_from(constant) {
            Ok(constant) if bound_bits <= MAX_BITS => Ok(JoinCompared {
                parts,
                constant,
                bound_bits,
            }),
            _ => Err(too_wide()),
        }
    }
}

impl Job<'_> {
    /// A query that compares numbers of different holders, or puts them together row by row, has one row a key, so every table has one holder.
    pub(super) fn one_row_a_key(&self) -> Result<(), PlanFault> {
        let all = self.below.borrow();
        let compared = all.first().map(|first| (&first.expr, "are compared"));
        let by_row = self.by_row.as_ref();
        let by_row = by_row.map(|first| (first, "are put together row by row"));
        let Some((expr, how)) = compared.or(by_row) else {
            return Ok(());
        };
        let own = || self.relations.all.iter().filter(|r| r.member.is_none());
        let refused = |what: &str, fix: &str| {
            let what = format!("{expr}: columns of different holders {how}{what}");
            Err(self.site.fault(expr, what, fix))
        };
        if own().any(|r| r.holders.len() > 1) {
            return refused(
                ", and a table has several holders, who can share keys",
                "run a job for each holder of the table, or join the holders' tables by LEFT JOIN, one after the other",
            );
        }
        if own().all(|r| r.optional) {
            return refused(" over a FULL JOIN", "write LEFT JOIN or JOIN");
        }
        Ok(())
    }
}
