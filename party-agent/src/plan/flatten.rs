//! Queries around queries that span holders, as one SELECT: derived tables over a join, derived tables of groups
//! that are only filtered, renamed and ordered, and SELECT DISTINCT of what is a group.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, OrderByKind, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, Spanned, TableFactor, TableWithJoins, Value,
    VisitMut, VisitorMut,
};

use super::PlanFault;
use super::compile::single;
use super::joint::{is_joint, names_of};
use super::sql::Site;
use super::sql::align::{name_of_expr, names_of_from};
use super::sql::functions::is_aggregate;
use super::sql::having::{conjunction, conjuncts};
use super::sql::holders::{Catalogues, has_call, has_window, spans};
use super::sql::outer::call;

/// Most derived tables around each other.
const MAX_LEVELS: usize = 32;

/// Makes one SELECT of the outermost one and the derived tables that it reads, as far as that is one.
///
/// # Errors
/// SELECT DISTINCT that is no GROUP BY.
pub(super) fn flatten(
    query: &mut Query,
    select: &mut Select,
    catalogues: &Catalogues,
    site: Site,
) -> Result<(), PlanFault> {
    for _ in 0..MAX_LEVELS {
        if !level(query, select, catalogues) {
            break;
        }
    }
    merged_by_full(query, select);
    if spans(&select.from) {
        distinct(select, site)?;
        keys_in_having(select);
    }
    Ok(())
}

/// Takes one derived table apart; whether there was one.
fn level(query: &mut Query, select: &mut Select, catalogues: &Catalogues) -> bool {
    let Some(TableFactor::Derived {
        lateral: false,
        subquery,
        alias,
        sample: None,
    }) = select.from.first().map(|item| item.relation.clone())
    else {
        return false;
    };
    let Ok((mut own, mut inner)) = single(*subquery) else {
        return false;
    };
    for _ in 0..MAX_LEVELS {
        if !level(&mut own, &mut inner, catalogues) {
            break;
        }
    }
    if !spans(&inner.from) || inner.qualify.is_some() || !inner.named_window.is_empty() {
        return false;
    }
    let name = alias.as_ref().map(|a| a.name.value.to_lowercase());
    let renamed = alias.map_or(Vec::new(), |a| a.columns);
    let renamed = renamed.into_iter().map(|c| c.name.value).collect();
    let Some(columns) = Columns::of(&inner, name, renamed, catalogues) else {
        return false;
    };
    match (is_grouped(&inner), is_grouped(select)) {
        (false, _) if is_joint(&inner) => rows(query, select, (own, inner), &columns),
        (true, false) => groups(query, select, (own, inner), &columns),
        _ => false,
    }
}

fn is_grouped(select: &Select) -> bool {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(e, _) if e.is_empty());
    grouped || select.having.is_some() || has_call(&select.projection, is_aggregate)
}

fn is_cut(query: &Query) -> bool {
    query.limit_clause.is_some() || query.fetch.is_some()
}

/// The outputs of a derived table by the names that the query around it calls them.
struct Columns {
    table: Option<String>,
    named: BTreeMap<String, Expr>,
    /// In their order.
    items: Vec<(String, Expr)>,
}

impl Columns {
    fn of(
        inner: &Select,
        table: Option<String>,
        renamed: Vec<String>,
        catalogues: &Catalogues,
    ) -> Option<Self> {
        let mut items: Vec<(String, Expr)> = Vec::new();
        for item in &inner.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = name_of_expr(expr).unwrap_or_else(|| expr.to_string());
                    items.push((name, expr.clone()));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push((alias.value.clone(), expr.clone()));
                }
                SelectItem::Wildcard(_) => items.extend(all_of(inner, None, catalogues)?),
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => {
                    let wanted = name.0.last()?.as_ident()?.value.to_lowercase();
                    items.extend(all_of(inner, Some(&wanted), catalogues)?);
                }
                _ => return None,
            }
        }
        for (item, name) in items.iter_mut().zip(renamed) {
            item.0 = name;
        }
        let mut named = BTreeMap::new();
        let mut twice = BTreeSet::new();
        for (name, expr) in &items {
            let name = name.to_lowercase();
            if named.insert(name.clone(), expr.clone()).is_some() {
                twice.insert(name);
            }
        }
        // A name of two columns means neither.
        named.retain(|name, _| !twice.contains(name));
        Some(Self {
            table,
            named,
            items,
        })
    }

    fn meant(&self, expr: &Expr) -> Option<&Expr> {
        match expr {
            Expr::Identifier(name) => self.named.get(&name.value.to_lowercase()),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, name] if self.table.as_ref() == Some(&table.value.to_lowercase()) => {
                    self.named.get(&name.value.to_lowercase())
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// All columns of the tables of FROM, or of the one with this name.
fn all_of(
    select: &Select,
    wanted: Option<&String>,
    catalogues: &Catalogues,
) -> Option<Vec<(String, Expr)>> {
    let factors = select.from.iter().flat_map(|item| {
        let joined = item.joins.iter().map(|join| &join.relation);
        std::iter::once(&item.relation).chain(joined)
    });
    let mut all = Vec::new();
    for factor in factors {
        let names = names_of(factor);
        if wanted.is_some_and(|wanted| !names.contains(wanted)) {
            continue;
        }
        let [name] = names.as_slice() else {
            return None;
        };
        let here = TableWithJoins {
            relation: factor.clone(),
            joins: Vec::new(),
        };
        for column in names_of_from(&[here], catalogues)? {
            let parts = vec![Ident::new(name), Ident::new(&column)];
            all.push((column, Expr::CompoundIdentifier(parts)));
        }
    }
    Some(all)
}

/// Puts what a derived table's columns stand for in their place.
struct Replace<'a> {
    columns: &'a Columns,
    /// Names that mean outputs of the query around.
    kept: BTreeSet<String>,
    inside: usize,
}

impl VisitorMut for Replace<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_kept = matches!(&*expr, Expr::Identifier(name) if self.kept.contains(&name.value.to_lowercase()));
        if self.inside > 0 || is_kept {
            return ControlFlow::Continue(());
        }
        if let Some(meant) = self.columns.meant(expr) {
            *expr = match meant {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => meant.clone(),
                other => Expr::Nested(Box::new(other.clone())),
            };
        }
        ControlFlow::Continue(())
    }
}

fn replace(part: &mut impl VisitMut, columns: &Columns, kept: BTreeSet<String>) {
    let mut replace = Replace {
        columns,
        kept,
        inside: 0,
    };
    let _ = VisitMut::visit(part, &mut replace);
}

/// Rewrites a SELECT list, its names as they were.
fn replace_items(select: &mut Select, columns: &Columns) {
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) = item {
            let name = name_of_expr(expr).unwrap_or_else(|| expr.to_string());
            let alias = Ident::with_quote_and_span('"', expr.span(), name);
            let mut new = expr.clone();
            replace(&mut new, columns, BTreeSet::new());
            if new != *expr {
                *item = SelectItem::ExprWithAlias { expr: new, alias };
            }
        } else {
            replace(item, columns, BTreeSet::new());
        }
    }
}

fn replace_order(query: &mut Query, select: &Select, columns: &Columns) {
    let outputs = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.to_lowercase()),
        SelectItem::UnnamedExpr(expr) => name_of_expr(expr).map(|n| n.to_lowercase()),
        _ => None,
    });
    let kept: BTreeSet<String> = outputs.collect();
    if let Some(order) = &mut query.order_by {
        replace(order, columns, kept);
    }
}

/// A derived table of joined rows: its tables and conditions are those of the query around it.
fn rows(
    query: &mut Query,
    select: &mut Select,
    (own, inner): (Query, Select),
    columns: &Columns,
) -> bool {
    let first = &select.from[0];
    let keeps_left = |operator: &JoinOperator| {
        matches!(
            operator,
            JoinOperator::Join(_)
                | JoinOperator::Inner(_)
                | JoinOperator::Left(_)
                | JoinOperator::LeftOuter(_)
                | JoinOperator::CrossJoin(_)
        )
    };
    let kept = first.joins.iter().all(|j| keeps_left(&j.join_operator));
    if inner.distinct.is_some() || is_cut(&own) || has_window(&inner.projection) || !kept {
        return false;
    }
    let mut joins = first.joins.clone();
    replace(&mut joins, columns, BTreeSet::new());
    let mut from = inner.from;
    if let Some(last) = from.last_mut() {
        last.joins.extend(joins);
    }
    from.extend(select.from.drain(1..));
    select.from = from;
    replace_order(query, select, columns);
    replace_items(select, columns);
    replace(&mut select.selection, columns, BTreeSet::new());
    aliases_in_group_by(select, columns);
    replace(&mut select.group_by, columns, BTreeSet::new());
    replace(&mut select.having, columns, BTreeSet::new());
    select.selection = both(inner.selection, select.selection.take());
    true
}

/// Writes out the aliases that GROUP BY names, which could be columns of the tables inside.
fn aliases_in_group_by(select: &mut Select, columns: &Columns) {
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else {
        return;
    };
    for key in keys {
        let Expr::Identifier(name) = &*key else {
            continue;
        };
        let folded = name.value.to_lowercase();
        let aliased = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if alias.value.to_lowercase() == folded => {
                Some(expr.clone())
            }
            _ => None,
        });
        if let Some(expr) = aliased.filter(|_| !columns.named.contains_key(&folded)) {
            *key = expr;
        }
    }
}

fn both(a: Option<Expr>, b: Option<Expr>) -> Option<Expr> {
    let all: Vec<Expr> = a.into_iter().chain(b).collect();
    conjunction(&all)
}

/// A derived table of groups: what the query around it computes of a group is computed of its aggregates.
fn groups(
    query: &mut Query,
    select: &mut Select,
    (own, mut inner): (Query, Select),
    columns: &Columns,
) -> bool {
    let alone = select.from.len() == 1 && select.from[0].joins.is_empty();
    let filtered = select.selection.is_some();
    let cut_before = is_cut(&own) && (filtered || is_cut(query) || query.order_by.is_some());
    let is_plain = matches!(&inner.group_by, GroupByExpr::Expressions(_, m) if m.is_empty());
    if !alone
        || cut_before
        || filtered && !is_plain
        || select.distinct.is_some()
        || inner.distinct.is_some()
        || has_window(&select.projection)
        || select.qualify.is_some()
    {
        return false;
    }
    let of_numbers = |item: &SelectItem| {
        !matches!(
            item,
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
        )
    };
    if select.projection.iter().any(of_numbers) {
        let items = select.projection.drain(..).flat_map(|item| match item {
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => vec![item],
            _ => columns.items.iter().map(named).collect(),
        });
        select.projection = items.collect();
    }
    order_of_groups(query, select, &own, columns);
    replace_items(select, columns);
    for part in select.selection.iter().flat_map(|w| conjuncts(w)) {
        let mut part = part.clone();
        replace(&mut part, columns, BTreeSet::new());
        match has_call(&part, is_aggregate) {
            true => inner.having = both(inner.having.take(), Some(part)),
            // A condition on a group's key is one on its rows.
            false => inner.selection = both(inner.selection.take(), Some(part)),
        }
    }
    inner.projection = std::mem::take(&mut select.projection);
    *select = inner;
    true
}

fn named((name, expr): &(String, Expr)) -> SelectItem {
    SelectItem::ExprWithAlias {
        expr: expr.clone(),
        alias: Ident::with_quote_and_span('"', expr.span(), name),
    }
}

/// The order and the limit: those of the query around, or else the derived table's own.
fn order_of_groups(query: &mut Query, select: &Select, own: &Query, columns: &Columns) {
    if query.order_by.is_some() {
        replace_order(query, select, columns);
    } else if let Some(mut order) = own.order_by.clone() {
        if let OrderByKind::Expressions(exprs) = &mut order.kind {
            for item in exprs {
                let place = match &item.expr {
                    Expr::Value(value) => match &value.value {
                        Value::Number(digits, false) => digits.parse::<usize>().ok(),
                        _ => None,
                    },
                    _ => None,
                };
                let place = place.and_then(|n| columns.items.get(n.checked_sub(1)?));
                match place {
                    Some((_, expr)) => item.expr = expr.clone(),
                    None => replace(&mut item.expr, columns, BTreeSet::new()),
                }
            }
        }
        query.order_by = Some(order);
    }
    if is_cut(own) {
        query.limit_clause = own.limit_clause.clone();
        query.fetch = own.fetch.clone();
    }
}

/// The column that FULL JOIN … USING makes of two is the one or the other.
fn merged_by_full(query: &mut Query, select: &mut Select) {
    let Some(first) = select.from.first().filter(|item| spans(*item)) else {
        return;
    };
    let [join] = first.joins.as_slice() else {
        return;
    };
    let JoinOperator::FullOuter(JoinConstraint::Using(columns)) = &join.join_operator else {
        return;
    };
    let (left, right) = (names_of(&first.relation), names_of(&join.relation));
    let ([left], [right]) = (left.as_slice(), right.as_slice()) else {
        return;
    };
    let named = columns.iter().filter_map(|column| {
        let name = column.0.last()?.as_ident()?;
        let of = |table: &String| Expr::CompoundIdentifier(vec![Ident::new(table), name.clone()]);
        let merged = call("coalesce", vec![of(left), of(right)]);
        Some((name.value.to_lowercase(), merged))
    });
    let columns = Columns {
        table: None,
        named: named.collect(),
        items: Vec::new(),
    };
    replace_order(query, select, &columns);
    replace_items(select, &columns);
    replace(&mut select.selection, &columns, BTreeSet::new());
    replace(&mut select.group_by, &columns, BTreeSet::new());
    replace(&mut select.having, &columns, BTreeSet::new());
}

/// SELECT DISTINCT of keys is GROUP BY, and of all keys of groups nothing.
fn distinct(select: &mut Select, site: Site) -> Result<(), PlanFault> {
    match &select.distinct {
        None => return Ok(()),
        Some(Distinct::Distinct) => {}
        Some(_) => {
            let what = "DISTINCT ON over several holders would need to compare their rows";
            return Err(site.fault(select, what, "use GROUP BY"));
        }
    }
    let exprs = select.projection.iter().map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            Some(expr.clone())
        }
        _ => None,
    });
    let Some(exprs) = exprs.collect::<Option<Vec<Expr>>>() else {
        let what = "SELECT DISTINCT * over several holders would need to compare their rows";
        return Err(site.fault(select, what, "name the columns, which are groups then"));
    };
    let keys = match &select.group_by {
        GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => keys.clone(),
        _ => Vec::new(),
    };
    let shows = |key: &Expr| {
        let text = key.to_string().to_lowercase();
        exprs.iter().any(|e| e.to_string().to_lowercase() == text)
    };
    match (is_grouped(select), keys.is_empty()) {
        (false, _) => select.group_by = GroupByExpr::Expressions(exprs, Vec::new()),
        (true, true) if select.having.is_none() && keys.is_empty() => {}
        (true, false) if keys.iter().all(shows) => {}
        _ => {
            let what = "SELECT DISTINCT of groups, of which not every key is an output";
            let fix = "name every key of GROUP BY in the SELECT list, and leave DISTINCT out";
            return Err(site.fault(select, what, fix));
        }
    }
    select.distinct = None;
    Ok(())
}

/// Conditions of HAVING on keys alone hold for every row of a group, so they can stand in WHERE.
fn keys_in_having(select: &mut Select) {
    let is_plain =
        matches!(&select.group_by, GroupByExpr::Expressions(e, m) if m.is_empty() && !e.is_empty());
    let Some(having) = select.having.clone().filter(|_| is_plain) else {
        return;
    };
    let GroupByExpr::Expressions(keys, _) = &select.group_by else {
        return;
    };
    let mut texts: BTreeSet<String> = keys.iter().map(|k| k.to_string().to_lowercase()).collect();
    // A name of an output is no column in WHERE.
    for item in &select.projection {
        if let SelectItem::ExprWithAlias { expr, alias } = item
            && name_of_expr(expr).is_none_or(|n| n.to_lowercase() != alias.value.to_lowercase())
        {
            texts.remove(&alias.value.to_lowercase());
        }
    }
    let (mut of_keys, mut rest) = (Vec::new(), Vec::new());
    for part in conjuncts(&having) {
        let mut columns = ColumnsIn(BTreeSet::new());
        let _ = VisitMut::visit(&mut part.clone(), &mut columns);
        let decides = !has_call(part, is_aggregate) && columns.0.is_subset(&texts);
        if decides && !columns.0.is_empty() {
            of_keys.push(part.clone());
        } else {
            rest.push(part.clone());
        }
    }
    if of_keys.is_empty() {
        return;
    }
    select.selection = both(select.selection.take(), conjunction(&of_keys));
    select.having = conjunction(&rest);
}

/// The columns that an expression names.
struct ColumnsIn(BTreeSet<String>);

impl VisitorMut for ColumnsIn {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            self.0.insert(expr.to_string().to_lowercase());
        }
        ControlFlow::Continue(())
    }
}
