//! HAVING on counts: the one condition over aggregates that is decided on shares.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value};

use super::outer::Counted;

/// A count that a group must reach to be released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plan) struct HavingCheck {
    pub(in crate::plan) counted: Counted,
    pub(in crate::plan) at_least: u64,
}

/// The parts of a condition that are joined by AND.
pub(in crate::plan) fn conjuncts(condition: &Expr) -> Vec<&Expr> {
    match condition {
        Expr::Nested(inner) => conjuncts(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            let mut parts = conjuncts(left);
            parts.extend(conjuncts(right));
            parts
        }
        other => vec![other],
    }
}

/// All conditions joined by AND; `None` for none.
pub(in crate::plan) fn conjunction(conditions: &[Expr]) -> Option<Expr> {
    let nested = |e: &Expr| Expr::Nested(Box::new(e.clone()));
    let mut conditions = conditions.iter();
    let first = conditions.next()?;
    let rest: Vec<&Expr> = conditions.collect();
    if rest.is_empty() {
        return Some(first.clone());
    }
    Some(
        rest.into_iter()
            .fold(nested(first), |all, next| Expr::BinaryOp {
                left: Box::new(all),
                op: BinaryOperator::And,
                right: Box::new(nested(next)),
            }),
    )
}

/// `x >= n`, `x > n`, `n <= x` or `n < x` as x and the least whole number that it must reach.
pub(super) fn comparison(expr: &Expr) -> Option<(&Expr, u64)> {
    let Expr::BinaryOp { left, op, right } = expr else {
        return None;
    };
    match op {
        BinaryOperator::GtEq => Some((bare(left), whole(right)?)),
        BinaryOperator::Gt => Some((bare(left), whole(right)?.checked_add(1)?)),
        BinaryOperator::LtEq => Some((bare(right), whole(left)?)),
        BinaryOperator::Lt => Some((bare(right), whole(left)?.checked_add(1)?)),
        _ => None,
    }
}

fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => bare(inner),
        other => other,
    }
}

fn whole(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Value(value) => match &value.value {
            // Counts are compared below 2^63.
            Value::Number(digits, false) => digits.parse().ok().filter(|n| *n < 1 << 62),
            _ => None,
        },
        Expr::Nested(inner) => whole(inner),
        _ => None,
    }
}
