//! Which holder owns which part of the query, and what may stand above parts of several holders.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SetExpr, SetOperator,
    SetQuantifier, TableFactor, TableWithJoins, Visit, VisitMut, Visitor, VisitorMut,
};
use protocols::party::PartyId;

use super::super::PlanFault;
use super::Site;
use super::functions::{is_aggregate, name_of};
use crate::catalogue::Catalogue;
use crate::spec::near::did_you_mean;

/// The catalogues by party.
pub(in crate::plan) type Catalogues = BTreeMap<PartyId, Catalogue>;

/// Rewrites every table name to the exact names of its holder and table.
///
/// # Errors
/// All names that are not `party.table`, or name a party or a table that does not exist.
pub(in crate::plan) fn resolve_tables(
    query: &mut Query,
    catalogues: &Catalogues,
    site: Site,
) -> Result<(), Vec<PlanFault>> {
    let mut resolve = Resolve {
        catalogues,
        site,
        faults: Vec::new(),
    };
    let _ = VisitMut::visit(query, &mut resolve);
    if resolve.faults.is_empty() {
        Ok(())
    } else {
        Err(resolve.faults)
    }
}

struct Resolve<'a> {
    catalogues: &'a Catalogues,
    site: Site,
    faults: Vec<PlanFault>,
}

impl Resolve<'_> {
    fn exact(&self, name: &ObjectName) -> Result<ObjectName, PlanFault> {
        let parts: Option<Vec<&Ident>> = name.0.iter().map(ObjectNamePart::as_ident).collect();
        let (party, table) = match parts.as_deref() {
            Some([party, table]) => (*party, *table),
            Some([table]) => return Err(self.without_party(name, table)),
            _ => {
                let what = format!("{name} is not the name of a table");
                let fix = "name tables as party.table";
                return Err(self.site.fault(name, what, fix));
            }
        };
        let folded = party.value.to_lowercase();
        let found = self.catalogues.iter().find(|(p, _)| p.as_str() == folded);
        let Some((holder, catalogue)) = found else {
            let parties = self.catalogues.keys().map(PartyId::as_str);
            let hint = did_you_mean(&party.value, parties);
            let what = format!("there is no party {}{hint}", party.value);
            let fix = format!("name one of {}", self.holders());
            return Err(self.site.fault(name, what, fix));
        };
        let tables: Vec<&str> = catalogue.tables.keys().map(String::as_str).collect();
        match match_name(&table.value, &tables) {
            Ok(exact) => Ok(ObjectName(
                [holder.as_str(), exact]
                    .map(|part| ObjectNamePart::Identifier(Ident::with_span(table.span, part)))
                    .to_vec(),
            )),
            Err(NoMatch::Unknown) => {
                let hint = did_you_mean(&table.value, tables.iter().copied());
                let what = format!("{holder} publishes no table {}{hint}", table.value);
                let fix = match tables.as_slice() {
                    [] => format!("{holder} publishes no tables at all; ask it to publish one"),
                    some => format!("it publishes {}", some.join(", ")),
                };
                Err(self.site.fault(name, what, fix))
            }
            Err(NoMatch::Ambiguous) => {
                let what = format!(
                    "{holder} has several tables called {} but for case",
                    table.value
                );
                let fix = format!("spell one exactly: {}", tables.join(", "));
                Err(self.site.fault(name, what, fix))
            }
        }
    }

    fn without_party(&self, name: &ObjectName, table: &Ident) -> PlanFault {
        let folded = table.value.to_lowercase();
        let owners: Vec<String> = self
            .catalogues
            .iter()
            .flat_map(|(p, c)| c.tables.keys().map(move |t| (p, t)))
            .filter(|(_, t)| t.to_lowercase() == folded)
            .map(|(p, t)| format!("{p}.{t}"))
            .collect();
        let what = format!("{} does not say whose table it is", table.value);
        let fix = match owners.as_slice() {
            [] => format!("name tables as party.table, of {}", self.holders()),
            some => format!("write {}", some.join(" or ")),
        };
        self.site.fault(name, what, fix)
    }

    fn holders(&self) -> String {
        let holders = self.catalogues.iter().filter(|(_, c)| !c.tables.is_empty());
        let names: Vec<&str> = holders.map(|(p, _)| p.as_str()).collect();
        names.join(", ")
    }
}

impl VisitorMut for Resolve<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = factor {
            match self.exact(name) {
                Ok(exact) => *name = exact,
                Err(fault) => self.faults.push(fault),
            }
        }
        ControlFlow::Continue(())
    }
}

/// Why a name matches none of the names that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum NoMatch {
    Unknown,
    Ambiguous,
}

/// The one name that `written` means: itself, or else the only one that differs from it in case alone.
pub(in crate::plan) fn match_name<'n>(
    written: &str,
    names: &[&'n str],
) -> Result<&'n str, NoMatch> {
    if let Some(exact) = names.iter().find(|n| **n == written) {
        return Ok(exact);
    }
    let folded = written.to_lowercase();
    let mut found = names.iter().filter(|n| n.to_lowercase() == folded);
    match (found.next(), found.next()) {
        (Some(name), None) => Ok(name),
        (None, _) => Err(NoMatch::Unknown),
        (Some(_), Some(_)) => Err(NoMatch::Ambiguous),
    }
}

/// A resolved table name's holder and table.
pub(in crate::plan) fn holder_and_table(name: &ObjectName) -> Option<(&str, &str)> {
    match name.0.as_slice() {
        [holder, table] => Some((&holder.as_ident()?.value, &table.as_ident()?.value)),
        _ => None,
    }
}

/// The holders whose tables a part of the query names, subqueries included.
pub(in crate::plan) fn holders_of(part: &impl Visit) -> BTreeSet<String> {
    struct Collect(BTreeSet<String>);
    impl Visitor for Collect {
        type Break = ();
        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            if let Some((holder, _)) = holder_and_table(relation) {
                self.0.insert(holder.to_owned());
            }
            ControlFlow::Continue(())
        }
    }
    let mut collect = Collect(BTreeSet::new());
    let _ = Visit::visit(part, &mut collect);
    collect.0
}

/// Whether a part of the query names tables of more than one holder.
pub(in crate::plan) fn spans(part: &impl Visit) -> bool {
    holders_of(part).len() > 1
}

/// Checks that everything below the outermost SELECT that spans holders is row by row: UNION ALL, projections,
/// WHERE, and joins with constants. What touches one holder's tables alone can be anything.
pub(in crate::plan) struct RowWise {
    site: Site,
    faults: Vec<PlanFault>,
}

impl RowWise {
    /// All violations in the FROM and WHERE of the outermost SELECT, which spans holders.
    pub(in crate::plan) fn check(outermost: &Select, site: Site) -> Vec<PlanFault> {
        let mut check = Self {
            site,
            faults: Vec::new(),
        };
        check.from(&outermost.from);
        check.no_subquery(&outermost.selection, outermost);
        check.no_subquery(&outermost.projection, outermost);
        check.no_subquery(&outermost.group_by, outermost);
        check.no_subquery(&outermost.having, outermost);
        check.faults
    }

    fn fault(
        &mut self,
        part: &impl datafusion::sql::sqlparser::ast::Spanned,
        what: &str,
        fix: &str,
    ) {
        self.faults.push(self.site.fault(part, what, fix));
    }

    fn query(&mut self, query: &Query) {
        if query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
            self.fault(
                query,
                "ORDER BY or LIMIT over the rows of several holders would need their rows in one place",
                "put it on the outermost SELECT, or inside the part of one holder",
            );
        }
        self.body(&query.body);
    }

    fn body(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                if *op != SetOperator::Union || *set_quantifier != SetQuantifier::All {
                    let name = format!("{op} {set_quantifier}");
                    let name = name.trim();
                    let what = format!("{name} between holders would need to compare their rows");
                    self.fault(body, &what, "use UNION ALL");
                }
                for side in [left, right] {
                    match holders_of(side).len() {
                        0 => self.fault(
                            &**side,
                            "a branch of UNION ALL between holders names no table, so no holder would count it",
                            "leave it out",
                        ),
                        1 => {}
                        _ => self.body(side),
                    }
                }
            }
            _ => self.fault(body, "this cannot span holders", "use SELECT and UNION ALL"),
        }
    }

    fn select(&mut self, select: &Select) {
        let grouped = !matches!(&select.group_by, datafusion::sql::sqlparser::ast::GroupByExpr::Expressions(e, _) if e.is_empty());
        if grouped || select.having.is_some() || has_call(&select.projection, is_aggregate) {
            self.fault(
                select,
                "an aggregate below the outermost SELECT cannot run over several holders",
                "aggregate on the outermost SELECT, or inside the part of one holder",
            );
        }
        if select.distinct.is_some() {
            self.fault(
                select,
                "DISTINCT over several holders would need to compare their rows",
                "use it inside the part of one holder",
            );
        }
        if has_window(&select.projection) || select.qualify.is_some() {
            self.fault(
                select,
                "a window function over several holders would need their rows in one place",
                "use it inside the part of one holder",
            );
        }
        self.from(&select.from);
        self.no_subquery(&select.projection, select);
        self.no_subquery(&select.selection, select);
    }

    /// Expressions over rows of several holders must not read further tables.
    fn no_subquery(&mut self, exprs: &impl Visit, of: &Select) {
        if !holders_of(exprs).is_empty() {
            self.fault(
                of,
                "a subquery compares rows of several holders with a table: a join between holders, which is not available in this version",
                "filter by values, or use the subquery inside the part of its own holder",
            );
        }
    }

    fn from(&mut self, from: &[TableWithJoins]) {
        let mut holders = BTreeSet::new();
        for item in from {
            self.joined(item, &mut holders);
        }
    }

    /// One item of FROM. `holders` are those on its left.
    fn joined(&mut self, item: &TableWithJoins, holders: &mut BTreeSet<String>) {
        self.relation(&item.relation, holders);
        for join in &item.joins {
            let right = holders_of(&join.relation);
            let kept = match &join.join_operator {
                JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => true,
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => right.is_empty(),
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => holders.is_empty(),
                _ => false,
            };
            if !kept && (holders.is_empty() || right.is_empty()) {
                self.fault(
                    join,
                    "this join would add rows that belong to no single holder",
                    "join the constants with INNER JOIN, or with LEFT JOIN on the right-hand side",
                );
            }
            if !holders_of(&join.join_operator).is_empty() {
                let what = "a subquery in ON reads a further table";
                self.fault(join, what, "compare columns of the joined tables");
            }
            self.relation(&join.relation, holders);
        }
    }

    fn relation(&mut self, factor: &TableFactor, holders: &mut BTreeSet<String>) {
        let here = holders_of(factor);
        if !holders.is_empty() && !here.is_empty() {
            let left: Vec<&str> = holders.iter().map(String::as_str).collect();
            let right: Vec<&str> = here.iter().map(String::as_str).collect();
            let what = format!(
                "a join between holders ({} with {}) stands inside a subquery that is not only its rows or its groups",
                left.join(", "),
                right.join(", ")
            );
            let fix = "join at the outermost SELECT, and compute from the groups of the result; tables of one holder are joined inside its branch of the UNION ALL";
            self.fault(factor, &what, fix);
        } else if here.len() > 1 {
            match factor {
                TableFactor::Derived { subquery, .. } => self.query(subquery),
                TableFactor::NestedJoin {
                    table_with_joins, ..
                } => self.joined(table_with_joins, &mut BTreeSet::new()),
                _ => self.fault(factor, "this cannot span holders", "use UNION ALL"),
            }
        }
        holders.extend(here);
    }
}

/// Whether a part calls a function that `wanted` knows, windows and subqueries not counted.
pub(in crate::plan) fn has_call(part: &impl Visit, wanted: fn(&str) -> bool) -> bool {
    struct Find {
        wanted: fn(&str) -> bool,
        inside: usize,
    }
    impl Visitor for Find {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.inside += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.inside -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(f)
                    if self.inside == 0 && f.over.is_none() && (self.wanted)(&name_of(f)) =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    Visit::visit(part, &mut Find { wanted, inside: 0 }).is_break()
}

/// Whether a part has a window function, subqueries not counted.
pub(in crate::plan) fn has_window(part: &impl Visit) -> bool {
    struct Find(usize);
    impl Visitor for Find {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(f) if self.0 == 0 && f.over.is_some() => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    Visit::visit(part, &mut Find(0)).is_break()
}
