//! Small pieces of SQL that the planner writes itself.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart,
    Value, helpers::attached_token::AttachedToken,
};

use crate::plan::sql::functions::{name_of, plain_args};

/// Marks the columns of `released` inside the job's own expressions. No query that is read holds this character.
pub(in crate::plan) const MARK: char = '\u{E000}';

/// A column of `released`.
pub(in crate::plan) fn marked(name: &str) -> Expr {
    Expr::Identifier(Ident::with_quote('"', format!("{MARK}{name}")))
}

pub(in crate::plan) fn is_marked(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(name) if name.value.starts_with(MARK))
}

pub(in crate::plan) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

pub(in crate::plan) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args
                .map(|a| FunctionArg::Unnamed(FunctionArgExpr::Expr(a)))
                .collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// CASE WHEN condition THEN result END.
pub(in crate::plan) fn case_when(condition: &Expr, result: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen {
            condition: condition.clone(),
            result,
        }],
        else_result: None,
    }
}

/// CASE x WHEN a THEN … as CASE WHEN x = a THEN ….
pub(in crate::plan) fn searched(case: &Expr) -> Expr {
    let mut case = case.clone();
    let Expr::Case {
        operand,
        conditions,
        ..
    } = &mut case
    else {
        return case;
    };
    if let Some(operand) = operand.take() {
        for when in conditions {
            when.condition = Expr::BinaryOp {
                left: Box::new(grouped(&operand)),
                op: BinaryOperator::Eq,
                right: Box::new(grouped(&when.condition)),
            };
        }
    }
    case
}

/// A value where the filter holds, else NULL, which aggregates skip.
pub(super) fn filtered(value: &Expr, filter: Option<&Expr>) -> Expr {
    match filter {
        Some(filter) => case_when(filter, value.clone()),
        None => value.clone(),
    }
}

/// A value where another one is not NULL, else NULL. No CASE: the other value decides nothing but this, and a
/// policy that allows the two together allows it.
pub(in crate::plan) fn where_known(value: &Expr, other: &Expr) -> Expr {
    let known = known_with(value);
    let mut further = known_with(other).into_iter();
    if further.all(|e| is_always_known(e) || known.contains(&e)) {
        return value.clone();
    }
    let null = Expr::value(Value::Null);
    call("nvl2", vec![other.clone(), value.clone(), null])
}

/// What is known wherever an expression is, by [`where_known`].
fn known_with(expr: &Expr) -> Vec<&Expr> {
    let Expr::Function(function) = expr else {
        return vec![expr];
    };
    match (name_of(function).as_str(), plain_args(function).as_deref()) {
        ("nvl2", Some([other, value, Expr::Value(null)])) if null.value == Value::Null => {
            let mut known = known_with(other);
            known.extend(known_with(value));
            known
        }
        _ => vec![expr],
    }
}

/// Whether an expression is COALESCE with a constant at its end, or a CAST or ROUND of one.
pub(in crate::plan) fn is_always_known(expr: &Expr) -> bool {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => is_always_known(expr),
        Expr::Value(value) => value.value != Value::Null,
        Expr::Function(function) => {
            let args = plain_args(function).unwrap_or_default();
            match name_of(function).as_str() {
                "coalesce" => args.last().is_some_and(|last| is_always_known(last)),
                "round" => args.iter().all(|arg| is_always_known(arg)),
                _ => false,
            }
        }
        _ => false,
    }
}

pub(in crate::plan) fn product(left: &Expr, right: &Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(grouped(left)),
        op: BinaryOperator::Multiply,
        right: Box::new(grouped(right)),
    }
}

/// A quotient of aggregates as a double; NULL where the divisor is 0, since a result that is already released
/// must not fail for one of its groups.
pub(super) fn divided(left: &Expr, right: &Expr) -> Expr {
    let double = |e: &Expr| cast(e.clone(), DataType::Double(ExactNumberInfo::None));
    let zero = Expr::value(Value::Number("0".into(), false));
    Expr::BinaryOp {
        left: Box::new(double(left)),
        op: BinaryOperator::Divide,
        right: Box::new(call("nullif", vec![double(right), zero])),
    }
}

/// Whether a quotient is already one of [`divided`].
pub(super) fn is_divided(left: &Expr, right: &Expr) -> bool {
    let double = |e: &Expr| {
        matches!(
            e,
            Expr::Cast {
                data_type: DataType::Double(_),
                ..
            }
        )
    };
    double(left) && is_nullif(right)
}

/// Whether a divisor of 0 is already NULL.
pub(in crate::plan) fn is_nullif(divisor: &Expr) -> bool {
    matches!(divisor, Expr::Function(f) if name_of(f) == "nullif")
}

/// An expression in parentheses, unless it needs none.
fn grouped(expr: &Expr) -> Expr {
    match expr {
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::Function(_)
        | Expr::Case { .. }
        | Expr::Cast { .. }
        | Expr::Nested(_) => expr.clone(),
        other => Expr::Nested(Box::new(other.clone())),
    }
}
