//! The columns of a UNION ALL are matched by position and named by its first branch. Before the branches of the
//! holders are taken apart, every branch gets those names, and branches that do not match are refused.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, JoinOperator, ObjectNamePart, Query, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Spanned, TableAlias, TableFactor, TableWithJoins,
    VisitMut, VisitorMut, WildcardAdditionalOptions,
};

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::super::PlanFault;
use super::Site;
use super::holders::{Catalogues, holder_and_table, holders_of, spans};

/// Names every branch of every UNION ALL between holders like the first.
///
/// # Errors
/// Branches with another number of columns, or `*` over tables whose columns stand in another order.
pub(in crate::plan) fn align(
    query: &mut Query,
    catalogues: &Catalogues,
    site: Site,
) -> Vec<PlanFault> {
    let mut align = Align {
        catalogues,
        site,
        faults: Vec::new(),
    };
    let _ = VisitMut::visit(query, &mut align);
    align.faults
}

/// The column names of a part of a query: `None` for a column without a name that can be referred to.
type Names = Vec<Option<String>>;

struct Align<'a> {
    catalogues: &'a Catalogues,
    site: Site,
    faults: Vec<PlanFault>,
}

impl VisitorMut for Align<'_> {
    type Break = ();

    // Inner unions first, so that outer ones see their final names.
    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::SetOperation { .. } = *query.body
            && spans(&*query.body)
        {
            let names = names_of_body(&query.body, self.catalogues);
            self.branches(&mut query.body, names.as_ref());
        }
        ControlFlow::Continue(())
    }
}

impl Align<'_> {
    fn branches(&mut self, body: &mut SetExpr, names: Option<&Names>) {
        match body {
            SetExpr::SetOperation { left, right, .. }
                if holders_of(&**left).len() + holders_of(&**right).len() > 1 =>
            {
                self.branches(left, names);
                self.branches(right, names);
            }
            branch => self.branch(branch, names),
        }
    }

    fn branch(&mut self, branch: &mut SetExpr, first: Option<&Names>) {
        let here = names_of_body(branch, self.catalogues);
        let (Some(first), Some(here)) = (first, here) else {
            self.faults.push(self.site.fault(
                branch,
                "the columns of this UNION ALL between holders cannot be told from *",
                "list the columns in every branch",
            ));
            return;
        };
        let owner = holders_of(branch)
            .into_iter()
            .collect::<Vec<_>>()
            .join(", ");
        if first.len() != here.len() {
            let what = format!(
                "the first branch of the UNION ALL has {} columns, the branch of {owner} has {}{}",
                first.len(),
                here.len(),
                difference(first, &here)
            );
            self.faults.push(self.site.fault(
                branch,
                what,
                "list the same columns in every branch",
            ));
            return;
        }
        let fold = |n: &Option<String>| n.as_ref().map(|n| n.to_lowercase());
        let (names, own): (Vec<_>, Vec<_>) = (
            first.iter().map(fold).collect(),
            here.iter().map(fold).collect(),
        );
        if names == own {
            return;
        }
        let sorted = |mut names: Vec<Option<String>>| {
            names.sort();
            names
        };
        // SQL would pair them by position without a word, and mix up columns of one type.
        if has_wildcard(branch) && sorted(names) == sorted(own) {
            let what = format!(
                "UNION ALL matches columns by position, and * gives the branch of {owner} the same columns in another order"
            );
            self.faults.push(self.site.fault(
                branch,
                what,
                "list the columns in the same order in every branch",
            ));
        } else if !rename(branch, first) {
            self.faults.push(self.site.fault(
                branch,
                format!(
                    "the columns of the branch of {owner} cannot be given the names of the first"
                ),
                "give its columns the aliases of the first branch",
            ));
        }
    }
}

fn has_wildcard(branch: &SetExpr) -> bool {
    match branch {
        SetExpr::Select(select) => !select.projection.iter().all(is_named_by_itself),
        SetExpr::Query(query) => has_wildcard(&query.body),
        _ => false,
    }
}

/// Whether an item of a SELECT list is one column.
fn is_named_by_itself(item: &SelectItem) -> bool {
    matches!(
        item,
        SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
    )
}

/// What one branch has and the other has not, in words.
fn difference(first: &Names, here: &Names) -> String {
    let set = |names: &Names| -> BTreeSet<String> {
        names.iter().flatten().map(|n| n.to_lowercase()).collect()
    };
    let (first, here) = (set(first), set(here));
    let list = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
        a.difference(b)
            .take(5)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (missing, more) = (list(&first, &here), list(&here, &first));
    match (missing.as_str(), more.as_str()) {
        ("", "") => String::new(),
        ("", more) => format!(": it adds {more}"),
        (missing, "") => format!(": it has no {missing}"),
        (missing, more) => format!(": it has no {missing}, and adds {more}"),
    }
}

/// Gives the columns of a branch these names; false where the branch cannot be written out and read again.
fn rename(branch: &mut SetExpr, names: &Names) -> bool {
    let SetExpr::Select(select) = branch else {
        return rename_around(branch, names);
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(e, _) if e.is_empty());
    let starred = !select.projection.iter().all(is_named_by_itself);
    if starred || grouped || select.having.is_some() || select.qualify.is_some() {
        // A `*` has no place for names, and the others can refer to the names that the branch gives itself.
        return rename_around(branch, names);
    }
    for (item, name) in select.projection.iter_mut().zip(names) {
        let Some(name) = name else { continue };
        let has_it =
            |own: Option<String>| own.is_some_and(|n| n.to_lowercase() == name.to_lowercase());
        if matches!(item, SelectItem::UnnamedExpr(expr) if has_it(name_of_expr(expr))) {
            continue;
        }
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            *item = SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias: Ident::with_quote_and_span('"', expr.span(), name),
            };
        }
    }
    true
}

/// Gives the columns of a branch these names by a query around it.
fn rename_around(branch: &mut SetExpr, names: &Names) -> bool {
    let columns: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let name = name.clone().unwrap_or_else(|| format!("unnamed_{i}"));
            Ident::with_quote('"', name).to_string()
        })
        .collect();
    let text = format!(
        "SELECT * FROM ({branch}) AS renamed ({})",
        columns.join(", ")
    );
    let parsed = Parser::new(&GenericDialect {})
        .try_with_sql(&text)
        .and_then(|mut parser| parser.parse_query());
    match parsed {
        Ok(query) => {
            *branch = *query.body;
            true
        }
        Err(_) => false,
    }
}

/// The column names of all that stands in FROM, in small letters; `None` where they cannot be told.
pub(in crate::plan) fn names_of_from(
    from: &[TableWithJoins],
    catalogues: &Catalogues,
) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for item in from {
        let here = names_of_joined(item, catalogues)?;
        names.extend(here.iter().flatten().map(|n| n.to_lowercase()));
    }
    Some(names)
}

/// The column names of a query; `None` where they cannot be told without running it.
fn names_of_query(query: &Query, catalogues: &Catalogues) -> Option<Names> {
    names_of_body(&query.body, catalogues)
}

fn names_of_body(body: &SetExpr, catalogues: &Catalogues) -> Option<Names> {
    match body {
        SetExpr::Query(query) => names_of_query(query, catalogues),
        SetExpr::SetOperation { left, .. } => names_of_body(left, catalogues),
        SetExpr::Values(values) => Some(vec![None; values.rows.first()?.len()]),
        SetExpr::Select(select) => {
            let mut names = Names::new();
            for item in &select.projection {
                match item {
                    SelectItem::UnnamedExpr(expr) => names.push(name_of_expr(expr)),
                    SelectItem::ExprWithAlias { alias, .. } => {
                        names.push(Some(alias.value.clone()))
                    }
                    SelectItem::Wildcard(options) if plain(options) => {
                        for item in &select.from {
                            names.extend(names_of_joined(item, catalogues)?);
                        }
                    }
                    SelectItem::QualifiedWildcard(
                        SelectItemQualifiedWildcardKind::ObjectName(name),
                        options,
                    ) if plain(options) => {
                        let relation = name.0.last().and_then(ObjectNamePart::as_ident)?;
                        let factors = select.from.iter().flat_map(factors);
                        let mut called = factors.filter(|f| is_called(f, &relation.value));
                        names.extend(names_of_factor(called.next()?, catalogues)?);
                    }
                    _ => return None,
                }
            }
            Some(names)
        }
        _ => None,
    }
}

fn plain(options: &WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}

pub(in crate::plan) fn name_of_expr(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|p| p.value.clone()),
        Expr::Nested(inner) => name_of_expr(inner),
        _ => None,
    }
}

fn factors(item: &TableWithJoins) -> impl Iterator<Item = &TableFactor> {
    std::iter::once(&item.relation).chain(item.joins.iter().map(|j| &j.relation))
}

fn is_called(factor: &TableFactor, name: &str) -> bool {
    let called = match factor {
        TableFactor::Table {
            alias: Some(alias), ..
        }
        | TableFactor::Derived {
            alias: Some(alias), ..
        } => Some(alias.name.value.as_str()),
        TableFactor::Table { name, .. } => holder_and_table(name).map(|(_, table)| table),
        _ => None,
    };
    called.is_some_and(|c| c.to_lowercase() == name.to_lowercase())
}

fn names_of_joined(item: &TableWithJoins, catalogues: &Catalogues) -> Option<Names> {
    let mut names = names_of_factor(&item.relation, catalogues)?;
    for join in &item.joins {
        // USING and NATURAL merge columns, semi joins drop them: not worth following for a `*`.
        use datafusion::sql::sqlparser::ast::JoinConstraint::{None as Bare, On};
        match &join.join_operator {
            JoinOperator::Join(On(_) | Bare)
            | JoinOperator::Inner(On(_) | Bare)
            | JoinOperator::Left(On(_))
            | JoinOperator::LeftOuter(On(_))
            | JoinOperator::Right(On(_))
            | JoinOperator::RightOuter(On(_))
            | JoinOperator::FullOuter(On(_))
            | JoinOperator::CrossJoin(_) => {}
            _ => return None,
        }
        names.extend(names_of_factor(&join.relation, catalogues)?);
    }
    Some(names)
}

fn names_of_factor(factor: &TableFactor, catalogues: &Catalogues) -> Option<Names> {
    let (mut names, alias): (Names, &Option<TableAlias>) = match factor {
        TableFactor::Table { name, alias, .. } => {
            let (holder, table) = holder_and_table(name)?;
            let (_, catalogue) = catalogues.iter().find(|(p, _)| p.as_str() == holder)?;
            let columns = catalogue.tables.get(table)?.columns.iter();
            let usable = columns.filter(|c| c.kind.arrow().is_some());
            (usable.map(|c| Some(c.name.clone())).collect(), alias)
        }
        TableFactor::Derived {
            subquery, alias, ..
        } => (names_of_query(subquery, catalogues)?, alias),
        TableFactor::NestedJoin {
            table_with_joins,
            alias,
        } => (names_of_joined(table_with_joins, catalogues)?, alias),
        _ => return None,
    };
    if let Some(alias) = alias {
        for (name, column) in names.iter_mut().zip(&alias.columns) {
            *name = Some(column.name.value.clone());
        }
    }
    Some(names)
}
