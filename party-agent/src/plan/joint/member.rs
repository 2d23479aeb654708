//! Subqueries in conditions that read a table of another holder: `IN (SELECT …)` and `EXISTS (SELECT …)`.
//!
//! Such a subquery becomes a relation of its own, of which only one thing counts: whether it has the key. What the
//! condition says in its place is `key IS NOT NULL`, with the truth values of SQL: EXISTS is never NULL, and IN is
//! NULL where its left-hand side is. A subquery that is denied by NOT IN must have rows and no NULL among them; its
//! holders check that before anything is sent.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Distinct, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, Query,
    Select, SelectItem, SetExpr, SetQuantifier, Spanned, TableAlias, TableAliasColumnDef,
    TableFactor, UnaryOperator, Value, Visit, VisitMut, Visitor, VisitorMut,
};

use super::columns::stripped;
use super::from::names_of;
use crate::plan::PlanFault;
use crate::plan::sql::Site;
use crate::plan::sql::align::names_of_from;
use crate::plan::sql::functions::is_aggregate;
use crate::plan::sql::having::{conjunction, conjuncts};
use crate::plan::sql::holders::{Catalogues, has_call, has_window, holders_of};

/// A subquery that became a relation.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Member {
    /// What the relation is called.
    pub(super) name: String,
    /// Whether NOT IN denies it, so that it must have rows and no NULL.
    pub(super) denied: bool,
}

/// Makes relations of all subqueries that read tables of other holders than the expressions beside them.
///
/// # Errors
/// Subqueries that cannot be one.
pub(in crate::plan) fn members(
    select: &mut Select,
    catalogues: &Catalogues,
    site: Site,
) -> Result<Vec<Member>, PlanFault> {
    let tables = tables(select, catalogues);
    let mut reading = Reading {
        catalogues,
        site,
        tables,
        found: Vec::new(),
        joins: Vec::new(),
        above: 0,
    };
    if let Some(condition) = &select.selection
        && !holders_of(condition).is_empty()
    {
        let mut kept = Vec::new();
        for part in conjuncts(condition) {
            kept.extend(reading.conjunct(part)?);
        }
        select.selection = conjunction(&kept);
    }
    reading.no_key(&select.group_by)?;
    for item in &mut select.projection {
        if let ControlFlow::Break(fault) = VisitMut::visit(item, &mut reading) {
            return Err(*fault);
        }
    }
    let Reading { found, joins, .. } = reading;
    if let Some(last) = select.from.last_mut() {
        last.joins.extend(joins);
    }
    Ok(found)
}

/// Whether a condition over a member's key alone is true of a row where it is (`there`), or is not; `None` where that
/// is NULL.
pub(super) fn truth(condition: &Expr, there: bool) -> Option<bool> {
    match stripped(condition) {
        Expr::IsNotNull(_) => Some(there),
        Expr::IsNull(_) => Some(!there),
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => truth(expr, there).map(|is| !is),
        _ => None,
    }
}

/// A table of FROM.
struct Table {
    names: Vec<String>,
    columns: Option<BTreeSet<String>>,
    holders: BTreeSet<String>,
}

impl Table {
    fn of(factor: &TableFactor, catalogues: &Catalogues) -> Self {
        let here = datafusion::sql::sqlparser::ast::TableWithJoins {
            relation: factor.clone(),
            joins: Vec::new(),
        };
        Self {
            names: names_of(factor),
            columns: names_of_from(&[here], catalogues),
            holders: holders_of(factor),
        }
    }

    fn has(&self, name: &[Ident]) -> bool {
        match name {
            [column] => {
                let columns = self.columns.as_ref();
                columns.is_some_and(|c| c.contains(&column.value.to_lowercase()))
            }
            [.., table, _] => self.names.contains(&table.value.to_lowercase()),
            [] => false,
        }
    }
}

fn tables(select: &Select, catalogues: &Catalogues) -> Vec<Table> {
    let factors = select.from.iter().flat_map(|item| {
        let joined = item.joins.iter().map(|join| &join.relation);
        std::iter::once(&item.relation).chain(joined)
    });
    factors.map(|f| Table::of(f, catalogues)).collect()
}

/// The names of columns in an expression, those of subqueries left out.
fn names_in(expr: &Expr) -> Vec<Vec<Ident>> {
    struct Names(Vec<Vec<Ident>>, usize);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.1 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.1 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(name) if self.1 == 0 => self.0.push(vec![name.clone()]),
                Expr::CompoundIdentifier(parts) if self.1 == 0 => self.0.push(parts.clone()),
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new(), 0);
    let _ = Visit::visit(expr, &mut names);
    names.0
}

/// A subquery as a table of keys, and what its columns are compared with.
struct Keys {
    query: Query,
    operands: Vec<Expr>,
}

struct Reading<'a> {
    catalogues: &'a Catalogues,
    site: Site,
    tables: Vec<Table>,
    found: Vec<Member>,
    joins: Vec<Join>,
    /// Operators around the place that is visited through which NULL does not count as FALSE.
    above: usize,
}

impl Reading<'_> {
    /// Refuses group keys that depend on another holder's table.
    fn no_key(&self, keys: &GroupByExpr) -> Result<(), PlanFault> {
        struct Find<'a, 'b>(&'a Reading<'b>);
        impl Visitor for Find<'_, '_> {
            type Break = Box<PlanFault>;
            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
                match self.0.keys(expr) {
                    Ok(None) => ControlFlow::Continue(()),
                    Ok(Some(_)) => {
                        let what =
                            format!("the group key {expr} depends on another holder's table");
                        let fix = "write the condition in FILTER (WHERE …) of each aggregate, or run a job with it in WHERE";
                        ControlFlow::Break(Box::new(self.0.site.fault(expr, what, fix)))
                    }
                    Err(fault) => ControlFlow::Break(Box::new(fault)),
                }
            }
        }
        match Visit::visit(keys, &mut Find(self)) {
            ControlFlow::Break(fault) => Err(*fault),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// A part of WHERE: where it demands a match, the relation says so itself.
    fn conjunct(&mut self, part: &Expr) -> Result<Vec<Expr>, PlanFault> {
        let (inner, denied) = match stripped(part) {
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => (stripped(expr), true),
            other => (other, false),
        };
        let is = match inner {
            Expr::InSubquery { negated, .. } | Expr::Exists { negated, .. } => negated != &denied,
            _ => false,
        };
        if let Some(keys) = self.keys(inner)? {
            let operands = keys.operands.clone();
            let denied_in = is && matches!(inner, Expr::InSubquery { .. });
            let key = self.join(part, keys, !is, denied_in);
            return Ok(match (is, denied_in) {
                (false, _) => Vec::new(),
                (true, false) => vec![Expr::IsNull(Box::new(key))],
                // NULL NOT IN (…) is NULL.
                (true, true) => {
                    let known = operands.into_iter().map(|o| Expr::IsNotNull(Box::new(o)));
                    std::iter::once(Expr::IsNull(Box::new(key)))
                        .chain(known)
                        .collect()
                }
            });
        }
        let mut part = part.clone();
        match VisitMut::visit(&mut part, self) {
            ControlFlow::Break(fault) => Err(*fault),
            ControlFlow::Continue(()) => Ok(vec![part]),
        }
    }

    /// The keys of a subquery of IN or EXISTS, if it reads another holder's table.
    fn keys(&self, expr: &Expr) -> Result<Option<Keys>, PlanFault> {
        let keys = match expr {
            Expr::InSubquery {
                expr: operand,
                subquery,
                ..
            } => {
                let operands = match stripped(operand) {
                    Expr::Tuple(all) => all.clone(),
                    one => vec![one.clone()],
                };
                let beside = operands.iter().flat_map(names_in).collect::<Vec<_>>();
                if !self.is_foreign(subquery, &beside) {
                    return Ok(None);
                }
                self.of_list(expr, subquery, operands)?
            }
            Expr::Exists { subquery, .. } => {
                let SetExpr::Select(select) = &*subquery.body else {
                    return match self.is_foreign(subquery, &[]) {
                        true => Err(self.without_key(expr)),
                        false => Ok(None),
                    };
                };
                let inside = tables(select, self.catalogues);
                let beside = select.selection.iter().flat_map(names_in);
                let beside: Vec<_> = beside.filter(|n| self.is_outer(n, &inside)).collect();
                if !self.is_foreign(subquery, &beside) {
                    return Ok(None);
                }
                self.correlated(expr, (subquery, select), (Vec::new(), Vec::new()))?
            }
            Expr::Subquery(subquery) if self.is_foreign(subquery, &[]) => {
                let what =
                    "a number is computed from another holder's table in the middle of a query";
                let fix = "run that subquery as a job of its own, and write its result as a constant; or join the table";
                return Err(self.site.fault(expr, what, fix));
            }
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. }
                if !holders_of(&**right).is_empty() =>
            {
                let what = "ANY and ALL over another holder's table";
                return Err(self.site.fault(
                    expr,
                    what,
                    "write IN (SELECT …) or EXISTS (SELECT …)",
                ));
            }
            _ => return Ok(None),
        };
        Ok(Some(keys))
    }

    /// Whether a subquery reads tables of others than the one holder of the columns beside it.
    fn is_foreign(&self, subquery: &Query, beside: &[Vec<Ident>]) -> bool {
        let holders = holders_of(subquery);
        if holders.is_empty() {
            return false;
        }
        let with = |names: &Vec<Ident>| self.tables.iter().find(|t| t.has(names));
        let mut here: Vec<&Table> = beside.iter().filter_map(with).collect();
        if beside.is_empty() {
            here.extend(&self.tables);
        }
        here.is_empty() || here.iter().any(|t| t.holders != holders) || holders.len() > 1
    }

    fn is_outer(&self, name: &[Ident], inside: &[Table]) -> bool {
        !inside.iter().any(|t| t.has(name)) && self.tables.iter().any(|t| t.has(name))
    }

    /// The keys of IN: the columns of its subquery.
    fn of_list(
        &self,
        expr: &Expr,
        subquery: &Query,
        operands: Vec<Expr>,
    ) -> Result<Keys, PlanFault> {
        if let SetExpr::Select(select) = &*subquery.body {
            let inside = tables(select, self.catalogues);
            let names = select.selection.iter().flat_map(names_in);
            let names: Vec<_> = names.collect();
            if names.iter().any(|n| self.is_outer(n, &inside)) {
                let listed: Option<Vec<Expr>> = select.projection.iter().map(listed).collect();
                let Some(listed) = listed.filter(|l| l.len() == operands.len()) else {
                    return Err(self.without_key(expr));
                };
                return self.correlated(expr, (subquery, select), (listed, operands));
            }
            let n_listed = select.projection.len();
            let counted = select.projection.iter().all(|item| listed(item).is_some());
            if counted && n_listed != operands.len() {
                let what = format!(
                    "IN compares {} with the {n_listed} of its subquery",
                    crate::plan::words::counted(operands.len() as u64, "column")
                );
                return Err(self.site.fault(expr, what, "name as many on both sides"));
            }
        }
        let mut query = subquery.clone();
        if query.limit_clause.is_none() && query.fetch.is_none() {
            query.order_by = None;
        }
        if holders_of(&query).len() > 1 {
            as_bag(&mut query.body);
        }
        Ok(Keys { query, operands })
    }

    /// The keys of a subquery whose WHERE compares its own columns with those outside.
    fn correlated(
        &self,
        expr: &Expr,
        (subquery, select): (&Query, &Select),
        (mut listed, mut operands): (Vec<Expr>, Vec<Expr>),
    ) -> Result<Keys, PlanFault> {
        let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(e, _) if e.is_empty());
        let has_aggregate = has_call(&select.projection, is_aggregate) || select.having.is_some();
        let is_cut = subquery.limit_clause.is_some() || subquery.fetch.is_some();
        if grouped || has_aggregate || has_window(&select.projection) || is_cut {
            let what = "a subquery that is compared row by row with another holder's table has aggregates, windows or LIMIT";
            let fix = "write k IN (SELECT k FROM … GROUP BY k HAVING …), whose subquery names no columns outside";
            return Err(self.site.fault(expr, what, fix));
        }
        let inside = tables(select, self.catalogues);
        let mut kept = Vec::new();
        for part in select.selection.iter().flat_map(|w| conjuncts(w)) {
            let names = names_in(part);
            if !names.iter().any(|n| self.is_outer(n, &inside)) {
                kept.push(part.clone());
                continue;
            }
            let Some((own, other)) = self.equated(part, &inside) else {
                let what =
                    format!("{part}: this compares columns of different holders inside a subquery");
                let fix = "equate the key, t.key = a.key, and compare columns of one holder each beside it";
                return Err(self.site.fault(part, what, fix));
            };
            listed.push(own);
            operands.push(other);
        }
        if listed.is_empty() {
            return Err(self.without_key(expr));
        }
        let mut select = select.clone();
        select.distinct = None;
        select.projection = listed.into_iter().map(SelectItem::UnnamedExpr).collect();
        select.selection = conjunction(&kept);
        let mut query = subquery.clone();
        query.order_by = None;
        query.body = Box::new(SetExpr::Select(Box::new(select)));
        Ok(Keys { query, operands })
    }

    /// `own = other`, in either order.
    fn equated(&self, part: &Expr, inside: &[Table]) -> Option<(Expr, Expr)> {
        let Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } = stripped(part)
        else {
            return None;
        };
        let outside = |expr: &Expr| {
            let names = names_in(expr);
            let n_outer = names.iter().filter(|n| self.is_outer(n, inside)).count();
            (n_outer > 0, n_outer == names.len())
        };
        match (outside(left), outside(right)) {
            ((false, false), (true, true)) => Some(((**left).clone(), (**right).clone())),
            ((true, true), (false, false)) => Some(((**right).clone(), (**left).clone())),
            _ => None,
        }
    }

    fn without_key(&self, expr: &Expr) -> PlanFault {
        let what = "a subquery over another holder's table that is not compared by its key";
        let fix =
            "write a.key IN (SELECT key FROM …), or EXISTS (SELECT 1 FROM … t WHERE t.key = a.key)";
        self.site.fault(expr, what, fix)
    }

    /// Adds the relation; what comes back is its key.
    fn join(&mut self, part: &Expr, keys: Keys, demanded: bool, denied: bool) -> Expr {
        let name = format!("subquery_{}", self.found.len() + 1);
        let column = |i: usize| Ident::with_span(part.span(), format!("key_{}", i + 1));
        let own = |i: usize| {
            let relation = Ident::with_span(part.span(), &name);
            Expr::CompoundIdentifier(vec![relation, column(i)])
        };
        let columns = (0..keys.operands.len()).map(|i| TableAliasColumnDef {
            name: column(i),
            data_type: None,
        });
        let alias = TableAlias {
            explicit: true,
            name: Ident::with_span(part.span(), &name),
            columns: columns.collect(),
            at: None,
        };
        let pairs = keys.operands.iter().enumerate();
        let on: Vec<Expr> = pairs
            .map(|(i, operand)| Expr::BinaryOp {
                left: Box::new(operand.clone()),
                op: BinaryOperator::Eq,
                right: Box::new(own(i)),
            })
            .collect();
        let on = JoinConstraint::On(conjunction(&on).expect("there is a key"));
        self.joins.push(Join {
            relation: TableFactor::Derived {
                lateral: false,
                subquery: Box::new(keys.query),
                alias: Some(alias),
                sample: None,
            },
            global: false,
            join_operator: match demanded {
                true => JoinOperator::Inner(on),
                false => JoinOperator::Left(on),
            },
        });
        let key = own(0);
        self.found.push(Member { name, denied });
        key
    }

    /// A subquery inside a larger expression.
    fn replaced(&mut self, expr: &Expr) -> Result<Option<Expr>, PlanFault> {
        let Some(keys) = self.keys(expr)? else {
            return Ok(None);
        };
        let operands = keys.operands.clone();
        let (is_list, negated) = match expr {
            Expr::InSubquery { negated, .. } => (true, *negated),
            Expr::Exists { negated, .. } => (false, *negated),
            _ => (false, false),
        };
        // Where NULL counts as FALSE, so does IN of a NULL.
        let denied = is_list && (negated || self.above > 0);
        let key = Box::new(self.join(expr, keys, false, denied));
        let is = Expr::IsNotNull(key);
        let is = match denied {
            false => is,
            true => operands.into_iter().fold(is, |is, operand| {
                let null = Expr::BinaryOp {
                    left: Box::new(Expr::IsNull(Box::new(operand))),
                    op: BinaryOperator::And,
                    right: Box::new(Expr::value(Value::Null)),
                };
                Expr::BinaryOp {
                    left: Box::new(is),
                    op: BinaryOperator::Or,
                    right: Box::new(Expr::Nested(Box::new(null))),
                }
            }),
        };
        let is = Expr::Nested(Box::new(is));
        Ok(Some(match negated {
            true => Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr: Box::new(is),
            },
            false => is,
        }))
    }
}

impl VisitorMut for Reading<'_> {
    type Break = Box<PlanFault>;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        match self.replaced(expr) {
            Ok(Some(new)) => *expr = new,
            Ok(None) => {}
            Err(fault) => return ControlFlow::Break(Box::new(fault)),
        }
        self.above += usize::from(!keeps_false(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        self.above -= usize::from(!keeps_false(expr));
        ControlFlow::Continue(())
    }
}

/// Whether FALSE in place of a NULL inside of this changes nothing, as long as nothing around it tells them apart.
fn keeps_false(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(_) | Expr::Function(_) => true,
        Expr::Case { operand, .. } => operand.is_none(),
        Expr::BinaryOp { op, .. } => matches!(op, BinaryOperator::And | BinaryOperator::Or),
        _ => false,
    }
}

/// The expression of a SELECT item, if it is one.
fn listed(item: &SelectItem) -> Option<Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            Some(expr.clone())
        }
        _ => None,
    }
}

/// Leaves out what only removes duplicates, which membership does not count.
fn as_bag(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            if matches!(select.distinct, Some(Distinct::Distinct)) {
                select.distinct = None;
            }
        }
        SetExpr::Query(query) => as_bag(&mut query.body),
        SetExpr::SetOperation {
            op: datafusion::sql::sqlparser::ast::SetOperator::Union,
            set_quantifier,
            left,
            right,
        } => {
            *set_quantifier = SetQuantifier::All;
            as_bag(left);
            as_bag(right);
        }
        _ => {}
    }
}
