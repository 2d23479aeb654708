//! Expressions over several relations as sums of products, each factor of which one relation computes on its own.
//!
//! SUM(a·b) over a join on one key is a sum over keys of (Σ a)·(Σ b): every holder adds up its own rows first, and
//! only the product is made on shares. An expression has two such forms: its value, with 0 in place of NULL, and 1
//! where it is known. A condition is 1 where it is true.

use std::cell::RefCell;
use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, ExactNumberInfo, Expr, Function, UnaryOperator, Value,
};

use super::below::Below;
use super::columns::{Scope, stripped};
use super::from::Relation;
use super::member::truth;
use crate::plan::PlanFault;
use crate::plan::schema::Schemas;
use crate::plan::sql::Site;
use crate::plan::sql::functions::{name_of, plain_args};
use crate::plan::sql::having::conjunction;
use crate::plan::sql::outer::{
    call, case_when, cast, is_always_known, product, searched, where_known,
};

/// Most products of one expression.
const MAX_PRODUCTS: usize = 32;

/// What one relation contributes to a product: a value, or 1, where all conditions hold and all of `known` is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Factor {
    pub(super) value: Option<Expr>,
    pub(super) known: Vec<Expr>,
    pub(super) conditions: Vec<Expr>,
    /// Whether the value divides others' by a column of this relation.
    pub(super) divides: bool,
}

/// A product of one factor of each relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) coefficient: i64,
    pub(super) factors: Vec<Factor>,
    /// The numbers of sums that must be below 0, in ascending order.
    pub(super) below: Vec<usize>,
}

impl Product {
    fn is_like(&self, other: &Self) -> bool {
        self.factors == other.factors && self.below == other.below
    }
}

/// A sum of products.
pub(super) type Sum = Vec<Product>;

/// An expression: its value, and 1 where it is known.
pub(super) struct Separated {
    pub(super) value: Sum,
    pub(super) known: Sum,
}

impl Separated {
    fn null() -> Self {
        Self {
            value: Sum::new(),
            known: Sum::new(),
        }
    }
}

impl Factor {
    /// Whether every row counts 1.
    pub(super) fn is_one(&self) -> bool {
        *self == Self::default()
    }

    /// What a holder computes for each row: a number, or anything that is NULL where the row counts nothing.
    pub(super) fn expr(&self) -> Expr {
        let one = || Expr::value(Value::Number("1".into(), false));
        let mut known = self.known.iter();
        let base = match &self.value {
            Some(value) => Some(value.clone()),
            None if self.known.len() > 1 => known.next().map(zero_where_known),
            None => known.next().cloned(),
        };
        let base = known.fold(base.unwrap_or_else(one), |base, other| {
            if base == *other || is_always_known(other) {
                base
            } else {
                where_known(&base, &zero_where_known(other))
            }
        });
        match conjunction(&self.conditions) {
            Some(condition) => case_when(&condition, base),
            None => base,
        }
    }

    fn times(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.value = match (&self.value, &other.value) {
            (Some(a), Some(b)) => Some(product(a, b)),
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        both.divides |= other.divides;
        for known in &other.known {
            if !both.known.contains(known) {
                both.known.push(known.clone());
            }
        }
        for condition in &other.conditions {
            if !both.conditions.contains(condition) {
                both.conditions.push(condition.clone());
            }
        }
        both
    }
}

/// 0 where an expression is known and NULL where it is not, whatever its type: what is chosen by it keeps its own.
fn zero_where_known(expr: &Expr) -> Expr {
    let is_null = Expr::IsNull(Box::new(expr.clone()));
    let never_null = call("nullif", vec![is_null, Expr::value(Value::Boolean(true))]);
    cast(never_null, DataType::TinyInt(None))
}

/// 1.
pub(super) fn one(n_relations: usize) -> Sum {
    vec![Product {
        coefficient: 1,
        factors: vec![Factor::default(); n_relations],
        below: Vec::new(),
    }]
}

/// The product of two sums; `None` where there are too many products.
pub(super) fn times(a: &Sum, b: &Sum) -> Option<Sum> {
    let mut all = Sum::new();
    for left in a {
        for right in b {
            let factors = left.factors.iter().zip(&right.factors);
            let below: BTreeSet<usize> = left.below.iter().chain(&right.below).copied().collect();
            let next = Product {
                coefficient: left.coefficient.checked_mul(right.coefficient)?,
                factors: factors.map(|(l, r)| l.times(r)).collect(),
                below: below.into_iter().collect(),
            };
            match all.iter_mut().find(|p| p.is_like(&next)) {
                Some(same) => same.coefficient = same.coefficient.checked_add(next.coefficient)?,
                None => all.push(next),
            }
        }
    }
    all.retain(|p| p.coefficient != 0);
    (all.len() <= MAX_PRODUCTS).then_some(all)
}

pub(super) fn plus(a: &Sum, b: &Sum, sign: i64) -> Option<Sum> {
    let mut all = a.clone();
    for next in b {
        let coefficient = next.coefficient.checked_mul(sign)?;
        match all.iter_mut().find(|p| p.is_like(next)) {
            Some(same) => same.coefficient = same.coefficient.checked_add(coefficient)?,
            None => all.push(Product {
                coefficient,
                ..next.clone()
            }),
        }
    }
    all.retain(|p| p.coefficient != 0);
    (all.len() <= MAX_PRODUCTS).then_some(all)
}

/// What numbers are that stand in an expression over several relations, as 1.5 in CASE WHEN … THEN 1.5 END.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literals {
    /// Decimals, which go with whole numbers and decimals.
    Exact,
    /// Floating-point numbers, which go with those.
    Doubles,
}

impl Literals {
    /// A number in an expression, or the expression as it is.
    fn written(self, expr: &Expr) -> Expr {
        let digits = match stripped(expr) {
            Expr::Value(value) => match &value.value {
                Value::Number(digits, false) => digits,
                _ => return expr.clone(),
            },
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: inner,
            } if matches!(stripped(inner), Expr::Value(_)) => {
                return Expr::UnaryOp {
                    op: UnaryOperator::Minus,
                    expr: Box::new(self.written(inner)),
                };
            }
            _ => return expr.clone(),
        };
        let kind = match (self, digits.split_once('.')) {
            (Self::Doubles, _) => DataType::Double(ExactNumberInfo::None),
            (Self::Exact, Some((whole, fraction))) if !digits.contains(['e', 'E']) => {
                let scale = fraction.len().max(1) as i64;
                let precision = whole.len() as u64 + scale.unsigned_abs();
                DataType::Decimal(ExactNumberInfo::PrecisionAndScale(precision, scale))
            }
            (Self::Exact, _) => return expr.clone(),
        };
        cast(expr.clone(), kind)
    }
}

/// Takes expressions apart.
#[derive(Clone, Copy)]
pub(super) struct Separate<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) literals: Literals,
    pub(super) n_relations: usize,
    pub(super) site: Site,
    /// The sums that are compared with 0.
    pub(super) below: &'a RefCell<Vec<Below>>,
    pub(super) schemas: &'a Schemas,
    pub(super) relations: &'a [Relation],
    /// Whether a row with a 0 counts as such, as where the rows of each value are counted; else it adds nothing.
    pub(super) keeps_zeros: bool,
}

impl Separate<'_> {
    fn fault(&self, expr: &Expr, what: &str) -> PlanFault {
        let what = format!("{expr}: {what}");
        let fix = "of columns of different holders, write sums, differences and products, CASE, COALESCE, conditions of one table each and comparisons of numbers, joined by AND, OR and NOT";
        self.site.fault(expr, what, fix)
    }

    pub(super) fn limited(&self, expr: &Expr, sum: Option<Sum>) -> Result<Sum, PlanFault> {
        sum.ok_or_else(|| self.fault(expr, "it has too many products between holders' columns"))
    }

    /// The one relation that an expression depends on, the first one for a constant; `None` for several.
    pub(super) fn only(&self, expr: &Expr) -> Result<Option<usize>, PlanFault> {
        let relations: BTreeSet<usize> = self.scope.relations(expr)?;
        let mut relations = relations.into_iter();
        Ok(match (relations.next(), relations.next()) {
            (one, None) => Some(one.unwrap_or(0)).filter(|at| self.settles(*at, expr)),
            _ => None,
        })
    }

    /// Whether a relation can decide an expression of its own columns alone: of a subquery of IN or EXISTS nothing
    /// counts but whether it has the key.
    fn settles(&self, at: usize, expr: &Expr) -> bool {
        !self.scope.is_member(at) || truth(expr, true).is_some()
    }

    pub(super) fn leaf(&self, at: usize, factor: Factor) -> Sum {
        let mut sum = one(self.n_relations);
        sum[0].factors[at] = factor;
        sum
    }

    pub(super) fn known_leaf(&self, at: usize, expr: &Expr) -> Sum {
        self.leaf(
            at,
            Factor {
                known: vec![expr.clone()],
                ..Factor::default()
            },
        )
    }

    /// A number, or anything that is counted.
    pub(super) fn value(&self, expr: &Expr) -> Result<Separated, PlanFault> {
        let expr = stripped(expr);
        if let Some(at) = self.only(expr)? {
            let value = self.leaf(
                at,
                Factor {
                    value: Some(self.literals.written(expr)),
                    ..Factor::default()
                },
            );
            let known = match is_always_known(expr) {
                true => one(self.n_relations),
                false => self.known_leaf(at, expr),
            };
            return Ok(Separated { value, known });
        }
        match expr {
            Expr::BinaryOp { left, op, right } => self.binary(expr, left, op, right),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: inner,
            } => {
                let inner = self.value(inner)?;
                let value = self.limited(expr, plus(&Sum::new(), &inner.value, -1))?;
                Ok(Separated { value, ..inner })
            }
            Expr::Case {
                operand: Some(_), ..
            } => self.value(&searched(expr)),
            Expr::Case {
                operand: None,
                conditions,
                else_result,
                ..
            } => {
                // From the last branch upwards: each applies where its condition is true, what follows where not.
                let mut rest = match else_result {
                    Some(otherwise) => self.branch(otherwise)?,
                    None => Separated::null(),
                };
                for when in conditions.iter().rev() {
                    let is = self.condition(&when.condition)?;
                    let then = self.branch(&when.result)?;
                    rest = self.chosen(expr, &is, then, rest)?;
                }
                Ok(rest)
            }
            Expr::Function(function) => self.function(expr, function),
            _ => Err(self.fault(expr, "this mixes columns of different holders")),
        }
    }

    /// What is chosen in some rows: NULL adds nothing, and 0 neither, so that they make no products.
    fn branch(&self, expr: &Expr) -> Result<Separated, PlanFault> {
        let is_zero = |v: &Value| matches!(v, Value::Number(digits, false) if digits == "0");
        match stripped(expr) {
            expr if is_null(expr) => Ok(Separated::null()),
            Expr::Value(value) if !self.keeps_zeros && is_zero(&value.value) => Ok(Separated {
                value: Sum::new(),
                known: one(self.n_relations),
            }),
            expr => self.value(expr),
        }
    }

    /// Whether an expression is a value of one relation in every row, whichever: a column, or what CASE and COALESCE
    /// choose from.
    pub(super) fn chooses(&self, expr: &Expr) -> Result<bool, PlanFault> {
        let expr = stripped(expr);
        if is_null(expr) || self.only(expr)?.is_some() {
            return Ok(true);
        }
        let from: Vec<&Expr> = match expr {
            Expr::Case {
                operand: None,
                conditions,
                else_result,
                ..
            } => {
                let results = conditions.iter().map(|when| &when.result);
                results.chain(else_result.as_deref()).collect()
            }
            Expr::Function(function) => match (name_of(function).as_str(), plain_args(function)) {
                ("nvl2", Some(args)) if args.len() == 3 => vec![args[1], args[2]],
                ("coalesce" | "ifnull" | "nvl", Some(args)) => args,
                _ => return Ok(false),
            },
            _ => return Ok(false),
        };
        for part in from {
            if !self.chooses(part)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Functions that choose among their arguments.
    fn function(&self, expr: &Expr, function: &Function) -> Result<Separated, PlanFault> {
        match (name_of(function).as_str(), plain_args(function)) {
            ("nvl2", Some(args)) if args.len() == 3 => {
                let is = self.value(args[0])?.known;
                let (then, otherwise) = (self.branch(args[1])?, self.branch(args[2])?);
                self.chosen(expr, &is, then, otherwise)
            }
            ("coalesce" | "ifnull" | "nvl", Some(args)) if !args.is_empty() => {
                let (last, first) = args.split_last().expect("there is one");
                let mut rest = self.branch(last)?;
                for arg in first.iter().rev() {
                    let this = self.value(arg)?;
                    let is = this.known.clone();
                    rest = self.chosen(expr, &is, this, rest)?;
                }
                Ok(rest)
            }
            _ => Err(self.fault(expr, "this function takes columns of different holders")),
        }
    }

    /// `then` where the condition is true, `otherwise` where it is not.
    fn chosen(
        &self,
        expr: &Expr,
        is: &Sum,
        then: Separated,
        otherwise: Separated,
    ) -> Result<Separated, PlanFault> {
        let pick = |a: &Sum, b: &Sum| -> Option<Sum> {
            let first = times(is, a)?;
            let not = plus(&one(self.n_relations), is, -1)?;
            plus(&first, &times(&not, b)?, 1)
        };
        Ok(Separated {
            value: self.limited(expr, pick(&then.value, &otherwise.value))?,
            known: self.limited(expr, pick(&then.known, &otherwise.known))?,
        })
    }

    fn binary(
        &self,
        expr: &Expr,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
    ) -> Result<Separated, PlanFault> {
        let sign = match op {
            BinaryOperator::Plus => Some(1),
            BinaryOperator::Minus => Some(-1),
            BinaryOperator::Multiply => None,
            BinaryOperator::Divide => return self.quotient(expr, left, right),
            _ => return Err(self.fault(expr, "this operator takes columns of different holders")),
        };
        let days = match op {
            BinaryOperator::Minus => self.days(left, right)?,
            _ => None,
        };
        let [left, right] = days.as_ref().map_or([left, right], |[l, r]| [l, r]);
        let (a, b) = (self.value(left)?, self.value(right)?);
        let known = self.limited(expr, times(&a.known, &b.known))?;
        let value = match sign {
            None => times(&a.value, &b.value),
            // Where one of the two is NULL, so is the whole.
            Some(sign) => times(&a.value, &b.known).and_then(|first| {
                let second = times(&a.known, &b.value)?;
                plus(&first, &second, sign)
            }),
        };
        let value = self.limited(expr, value)?;
        Ok(Separated { value, known })
    }

    /// 1 where a condition is true.
    pub(super) fn condition(&self, expr: &Expr) -> Result<Sum, PlanFault> {
        let expr = stripped(expr);
        if let Some(at) = self.only(expr)? {
            return Ok(self.leaf(
                at,
                Factor {
                    conditions: vec![expr.clone()],
                    ..Factor::default()
                },
            ));
        }
        match expr {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => {
                let both = times(&self.condition(left)?, &self.condition(right)?);
                self.limited(expr, both)
            }
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Or,
                right,
            } => {
                let (a, b) = (self.condition(left)?, self.condition(right)?);
                let either = times(&a, &b)
                    .and_then(|both| plus(&a, &b, 1).and_then(|sum| plus(&sum, &both, -1)));
                self.limited(expr, either)
            }
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr: inner,
            } => self.negation(inner),
            Expr::IsNull(inner) => {
                let known = self.value(inner)?.known;
                self.limited(expr, plus(&one(self.n_relations), &known, -1))
            }
            Expr::IsNotNull(inner) => Ok(self.value(inner)?.known),
            Expr::Between {
                expr: inner,
                negated,
                low,
                high,
            } => {
                let both = within(inner, low, high);
                match negated {
                    false => self.condition(&both),
                    true => self.negation(&both),
                }
            }
            _ => self.comparison(expr, false),
        }
    }

    /// 1 where a comparison of sums of columns of different holders is true, or where it is false.
    fn comparison(&self, expr: &Expr, negated: bool) -> Result<Sum, PlanFault> {
        let Some((terms, (left, right))) = self.compared(expr, negated)? else {
            return Err(self.fault(expr, "this compares columns of different holders"));
        };
        let known = times(&self.value(&left)?.known, &self.value(&right)?.known);
        let mut all = Some(Sum::new());
        for (coefficient, below) in terms {
            let mut term = one(self.n_relations);
            term[0].coefficient = coefficient;
            term[0].below.extend(below);
            let term = known.as_ref().and_then(|known| times(known, &term));
            all = all.zip(term).and_then(|(all, term)| plus(&all, &term, 1));
        }
        self.limited(expr, all)
    }

    /// 1 where a condition is false.
    fn negation(&self, expr: &Expr) -> Result<Sum, PlanFault> {
        let expr = stripped(expr);
        let not = |e: &Expr| Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(Expr::Nested(Box::new(e.clone()))),
        };
        if self.only(expr)?.is_some() {
            return self.condition(&not(expr));
        }
        match expr {
            Expr::BinaryOp { left, op, right }
                if matches!(op, BinaryOperator::And | BinaryOperator::Or) =>
            {
                let other = match op {
                    BinaryOperator::And => BinaryOperator::Or,
                    _ => BinaryOperator::And,
                };
                self.condition(&Expr::BinaryOp {
                    left: Box::new(not(left)),
                    op: other,
                    right: Box::new(not(right)),
                })
            }
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr: inner,
            } => self.condition(inner),
            Expr::IsNull(inner) => self.condition(&Expr::IsNotNull(inner.clone())),
            Expr::IsNotNull(inner) => self.condition(&Expr::IsNull(inner.clone())),
            Expr::Between {
                expr: inner,
                negated,
                low,
                high,
            } => self.condition(&Expr::Between {
                expr: inner.clone(),
                negated: !negated,
                low: low.clone(),
                high: high.clone(),
            }),
            _ => self.comparison(expr, true),
        }
    }
}

/// x >= low AND x <= high.
fn within(expr: &Expr, low: &Expr, high: &Expr) -> Expr {
    let binary = |left: &Expr, op, right: &Expr| {
        Expr::Nested(Box::new(Expr::BinaryOp {
            left: Box::new(left.clone()),
            op,
            right: Box::new(right.clone()),
        }))
    };
    let from = binary(expr, BinaryOperator::GtEq, low);
    let to = binary(expr, BinaryOperator::LtEq, high);
    binary(&from, BinaryOperator::And, &to)
}

fn is_null(expr: &Expr) -> bool {
    matches!(stripped(expr), Expr::Value(v) if v.value == Value::Null)
}
