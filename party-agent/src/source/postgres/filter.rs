//! Filters in the database's SQL, where that means exactly the same as in the query engine.
//!
//! What is left out on purpose: comparisons of floats with zero (the engine orders -0 before 0), everything
//! that involves a cast or a function, and text where the database is not in UTF-8.

use arrow::datatypes::{Decimal128Type, DecimalType};
use chrono::{Datelike, Duration, NaiveDateTime};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::column::PgColumn;
use crate::catalogue::ColumnKind;

/// The filter as a SQL condition on the table's columns, or `None` if it cannot be said exactly.
pub(super) fn to_sql(filter: &Expr, columns: &[PgColumn]) -> Option<String> {
    match filter {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => Some(format!(
            "({} AND {})",
            to_sql(left, columns)?,
            to_sql(right, columns)?
        )),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => Some(format!(
            "({} OR {})",
            to_sql(left, columns)?,
            to_sql(right, columns)?
        )),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => comparison(left, *op, right, columns),
        Expr::Not(inner) => Some(format!("(NOT {})", to_sql(inner, columns)?)),
        Expr::IsNull(inner) => Some(format!("({} IS NULL)", column(inner, columns)?.expression)),
        Expr::IsNotNull(inner) => Some(format!(
            "({} IS NOT NULL)",
            column(inner, columns)?.expression
        )),
        Expr::Column(_) => {
            let column = column(filter, columns).filter(|c| c.kind == ColumnKind::Bool)?;
            Some(column.expression.clone())
        }
        Expr::Between(between) => {
            let column = column(&between.expr, columns)?;
            let low = literal(&between.low, column)?;
            let high = literal(&between.high, column)?;
            let not = if between.negated { "NOT " } else { "" };
            Some(format!(
                "({} {not}BETWEEN {low} AND {high})",
                operand(column)
            ))
        }
        Expr::InList(list) if !list.list.is_empty() => {
            let column = column(&list.expr, columns)?;
            let values = list
                .list
                .iter()
                .map(|v| literal(v, column))
                .collect::<Option<Vec<_>>>()?;
            let not = if list.negated { "NOT " } else { "" };
            Some(format!(
                "({} {not}IN ({}))",
                operand(column),
                values.join(", ")
            ))
        }
        _ => None,
    }
}

fn comparison(left: &Expr, op: Operator, right: &Expr, columns: &[PgColumn]) -> Option<String> {
    let (column, op, value) = match column(left, columns) {
        Some(found) => (found, op, right),
        None => (column(right, columns)?, op.swap()?, left),
    };
    let sign = match op {
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        _ => return None,
    };
    Some(format!(
        "({} {sign} {})",
        operand(column),
        literal(value, column)?
    ))
}

fn column<'a>(expression: &Expr, columns: &'a [PgColumn]) -> Option<&'a PgColumn> {
    let Expr::Column(named) = expression else {
        return None;
    };
    columns
        .iter()
        .find(|c| c.name == named.name && c.is_comparable)
}

/// The column as it is compared: text by its bytes, as the engine does, not by the database's language.
fn operand(column: &PgColumn) -> String {
    match column.kind {
        ColumnKind::Text => format!("{} COLLATE \"C\"", column.expression),
        _ => column.expression.clone(),
    }
}

/// A literal of the column's own type.
fn literal(expression: &Expr, column: &PgColumn) -> Option<String> {
    let Expr::Literal(value, _) = expression else {
        return None;
    };
    if value.is_null() {
        return None;
    }
    match (&column.kind, value) {
        (ColumnKind::Int { .. }, v) => Some(format!("({})", int(v)?)),
        (ColumnKind::Decimal { .. }, ScalarValue::Decimal128(Some(v), precision, scale)) => {
            Some(format!(
                "({})",
                Decimal128Type::format_decimal(*v, *precision, *scale)
            ))
        }
        (ColumnKind::Decimal { .. }, v) => Some(format!("({})", int(v)?)),
        (ColumnKind::Float, ScalarValue::Float64(Some(v))) if v.is_finite() && *v != 0.0 => {
            Some(format!("'{v:e}'::float8"))
        }
        (
            ColumnKind::Text,
            ScalarValue::Utf8(Some(v))
            | ScalarValue::LargeUtf8(Some(v))
            | ScalarValue::Utf8View(Some(v)),
        ) if !v.contains('\0') => Some(format!("'{}'", v.replace('\'', "''"))),
        (ColumnKind::Bool, ScalarValue::Boolean(Some(v))) => Some(v.to_string()),
        (ColumnKind::Date, ScalarValue::Date32(Some(days))) => {
            let day = Duration::try_days(i64::from(*days))?;
            Some(format!("'{}'::date", plain(day)?.format("%Y-%m-%d")))
        }
        (ColumnKind::Timestamp, ScalarValue::TimestampMicrosecond(Some(micros), None)) => {
            let moment = plain(Duration::microseconds(*micros))?;
            Some(format!(
                "'{}'::timestamp",
                moment.format("%Y-%m-%d %H:%M:%S%.6f")
            ))
        }
        _ => None,
    }
}

/// A moment whose year has four digits: every server reads that alike, whatever its date style.
fn plain(since_1970: Duration) -> Option<NaiveDateTime> {
    let moment = NaiveDateTime::default().checked_add_signed(since_1970)?;
    (1..=9999).contains(&moment.year()).then_some(moment)
}

fn int(value: &ScalarValue) -> Option<i128> {
    Some(match value {
        ScalarValue::Int8(Some(v)) => i128::from(*v),
        ScalarValue::Int16(Some(v)) => i128::from(*v),
        ScalarValue::Int32(Some(v)) => i128::from(*v),
        ScalarValue::Int64(Some(v)) => i128::from(*v),
        ScalarValue::UInt8(Some(v)) => i128::from(*v),
        ScalarValue::UInt16(Some(v)) => i128::from(*v),
        ScalarValue::UInt32(Some(v)) => i128::from(*v),
        ScalarValue::UInt64(Some(v)) => i128::from(*v),
        _ => return None,
    })
}
