//! ORDER BY, LIMIT and OFFSET of the outermost SELECT, which the receivers apply.

use datafusion::sql::sqlparser::ast::{Expr, LimitClause, OrderByExpr, OrderByKind, Query, Value};

use super::build::case_when;
use super::{Apart, ordinal};
use crate::plan::Released;
use crate::plan::words::counted;

pub(super) fn read(apart: &mut Apart, query: &Query) {
    if let Some(order_by) = &query.order_by {
        match &order_by.kind {
            OrderByKind::Expressions(exprs) if order_by.interpolate.is_none() => {
                for expr in exprs {
                    order(apart, expr);
                }
            }
            _ => apart.fault(
                order_by,
                "ORDER BY ALL is not available",
                "name the outputs",
            ),
        }
    }
    match &query.limit_clause {
        None => {}
        Some(LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        }) if limit_by.is_empty() => {
            apart.outer.limit = limit.as_ref().and_then(|l| rows(apart, l));
            apart.outer.offset = offset.as_ref().and_then(|o| rows(apart, &o.value));
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
            apart.outer.limit = rows(apart, limit);
            apart.outer.offset = rows(apart, offset);
        }
        Some(clause) => apart.fault(clause, "LIMIT BY is not available", "use LIMIT"),
    }
    if let Some(fetch) = &query.fetch {
        match &fetch.quantity {
            Some(quantity)
                if !fetch.percent && !fetch.with_ties && query.limit_clause.is_none() =>
            {
                apart.outer.limit = rows(apart, quantity);
            }
            _ => apart.fault(fetch, "this form of FETCH is not available", "use LIMIT"),
        }
    }
}

fn order(apart: &mut Apart, item: &OrderByExpr) {
    if item.with_fill.is_some() {
        apart.fault(item, "WITH FILL is not available", "leave it out");
        return;
    }
    let n_outputs = apart.outer.outputs.len();
    let position = match &item.expr {
        Expr::Value(value) => match ordinal(&value.value) {
            Some(n) if (1..=n_outputs).contains(&n) => Some(n - 1),
            _ => {
                let n_outputs = counted(n_outputs as u64, "output");
                let what = format!("ORDER BY {}: the SELECT list has {n_outputs}", item.expr);
                apart.fault(item, what, "name one of them");
                return;
            }
        },
        // An output's name wins over a column's, as in standard SQL.
        Expr::Identifier(name) => {
            let folded = name.value.to_lowercase();
            let mut outputs = apart.outer.outputs.iter();
            outputs.position(|o| o.name.to_lowercase() == folded)
        }
        _ => None,
    };
    let expr = match position {
        Some(i) => apart.outer.outputs[i].expr.clone(),
        None => apart.over_released(item.expr.clone()),
    };
    // A HISTOGRAM is ordered by its edges, not by their text.
    let histogram = apart.outer.keys.iter().enumerate().find_map(|(i, key)| {
        (key.histogram && expr == super::marked(&format!("k{i}"))).then_some(i)
    });
    let expr = match histogram {
        Some(i) => {
            let slot = apart.released(format!("o{i}"), Released::Ordinal(i));
            case_when(&Expr::IsNotNull(Box::new(expr)), slot)
        }
        None => expr,
    };
    apart.outer.order.push(OrderByExpr {
        expr,
        options: item.options,
        with_fill: None,
    });
}

/// A number of rows: a whole number, written out.
fn rows(apart: &mut Apart, expr: &Expr) -> Option<u64> {
    let number = match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, false) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    if number.is_none() {
        let what = format!("LIMIT or OFFSET {expr}");
        apart.fault(expr, what, "write a whole number of rows");
    }
    number
}
