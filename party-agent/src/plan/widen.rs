//! The engine's integers wrap around silently. Where the arithmetic inside an argument could, its operands are
//! widened to decimals of 38 digits, which overflow with an error instead.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType as SqlType, ExactNumberInfo, Expr, UnaryOperator, VisitMut, VisitorMut,
};

use super::PlanFault;
use super::bounds;
use super::part::{Part, Whole};
use super::sql::outer::{Outer, cast};

/// The outermost SELECT with the arguments widened that could wrap around at some holder; `None` if none could.
///
/// # Errors
/// An engine that refuses the operands.
pub(super) fn widen(whole: &Whole<'_>, parts: &[Part]) -> Result<Option<Outer>, Vec<PlanFault>> {
    let mut wider = whole.outer.clone();
    let mut found = false;
    for (i, arg) in wider.args.iter_mut().enumerate() {
        let column = whole.outer.keys.len() + i;
        let wraps = |part: &&Part| {
            let catalogue = whole.catalogues.get(&part.holder);
            catalogue.is_some_and(|c| {
                let kind = &part.types[column];
                bounds::known(&part.trace, column, kind, c).wraps.is_some()
            })
        };
        if !arg.sum || !parts.iter().any(|p| wraps(&p)) {
            continue;
        }
        found = true;
        let operands = operands(&arg.expr);
        let mut whole_numbers: BTreeSet<String> = operands.keys().cloned().collect();
        let exprs: Vec<Expr> = operands.values().cloned().collect();
        for part in parts {
            let types = whole.types_of(&part.holder, &exprs)?;
            for (text, kind) in operands.keys().zip(types) {
                if !(kind.is_integer() || kind == DataType::Null) {
                    whole_numbers.remove(text);
                }
            }
        }
        let mut widen = Widen {
            whole_numbers: &whole_numbers,
        };
        let _ = VisitMut::visit(&mut arg.expr, &mut widen);
    }
    Ok(found.then_some(wider))
}

/// What is added, subtracted, multiplied or negated in an expression and is not itself arithmetic, by its text.
fn operands(expr: &Expr) -> BTreeMap<String, Expr> {
    struct Collect(BTreeMap<String, Expr>);
    impl VisitorMut for Collect {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            for operand in parts_of(expr) {
                self.0.insert(operand.to_string(), operand.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut collect = Collect(BTreeMap::new());
    let _ = VisitMut::visit(&mut expr.clone(), &mut collect);
    collect.0
}

struct Widen<'a> {
    whole_numbers: &'a BTreeSet<String>,
}

impl VisitorMut for Widen<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        for operand in parts_of(expr) {
            if self.whole_numbers.contains(&operand.to_string()) {
                let info = ExactNumberInfo::PrecisionAndScale(38, 0);
                *operand = cast(operand.clone(), SqlType::Decimal(info));
            }
        }
        ControlFlow::Continue(())
    }
}

/// The operands of an arithmetic expression that are not arithmetic themselves, literals left out.
fn parts_of(expr: &mut Expr) -> Vec<&mut Expr> {
    let sides = match expr {
        Expr::BinaryOp { left, op, right } if is_arithmetic(op) => vec![left, right],
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => vec![expr],
        _ => Vec::new(),
    };
    let sides = sides.into_iter().map(|side| &mut **side);
    sides.filter(|side| !reached(side)).collect()
}

fn is_arithmetic(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply
    )
}

/// Whether widening reaches an operand elsewhere, or need not.
fn reached(operand: &Expr) -> bool {
    match operand {
        Expr::Nested(inner) => reached(inner),
        Expr::BinaryOp { op, .. } => is_arithmetic(op),
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            ..
        }
        | Expr::Value(_) => true,
        _ => false,
    }
}
