//! One holder's part of the query: every branch of UNION ALL that is not its own left out.

use datafusion::sql::sqlparser::ast::{Query, Select, SetExpr, TableFactor, TableWithJoins};

use super::holders::{holders_of, spans};

/// Leaves only the rows of one holder in the FROM of a SELECT that spans holders row by row.
pub(in crate::plan) fn prune(select: &mut Select, holder: &str) {
    for item in &mut select.from {
        prune_joined(item, holder);
    }
}

fn prune_joined(item: &mut TableWithJoins, holder: &str) {
    prune_factor(&mut item.relation, holder);
    for join in &mut item.joins {
        prune_factor(&mut join.relation, holder);
    }
}

fn prune_factor(factor: &mut TableFactor, holder: &str) {
    if !spans(factor) {
        return;
    }
    match factor {
        TableFactor::Derived { subquery, .. } => prune_query(subquery, holder),
        TableFactor::NestedJoin {
            table_with_joins, ..
        } => prune_joined(table_with_joins, holder),
        _ => {}
    }
}

fn prune_query(query: &mut Query, holder: &str) {
    prune_body(&mut query.body, holder);
}

fn prune_body(body: &mut SetExpr, holder: &str) {
    if !spans(body) {
        return;
    }
    match body {
        SetExpr::Select(select) => prune(select, holder),
        SetExpr::Query(query) => prune_query(query, holder),
        SetExpr::SetOperation { left, right, .. } => {
            let keep = |side: &SetExpr| holders_of(side).contains(holder);
            match (keep(left), keep(right)) {
                (true, false) => *body = (**left).clone(),
                (false, true) => *body = (**right).clone(),
                _ => {
                    prune_body(left, holder);
                    prune_body(right, holder);
                    return;
                }
            }
            prune_body(body, holder);
        }
        _ => {}
    }
}
