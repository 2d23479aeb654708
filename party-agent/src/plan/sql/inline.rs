//! Named subqueries (WITH) written out where they are used, so that later steps know derived tables only.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Cte, Ident, Query, TableAlias, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};

use super::super::PlanFault;
use super::Site;

/// Most tables in a query once its named subqueries are written out.
const MAX_TABLES: usize = 1024;

/// Writes every named subquery out.
///
/// # Errors
/// A recursive one, or so many uses that the query explodes.
pub(in crate::plan) fn inline(query: &mut Query, site: Site) -> Result<(), PlanFault> {
    let mut inline = Inline {
        site,
        named: Vec::new(),
        scopes: Vec::new(),
        n_tables: 0,
    };
    match VisitMut::visit(query, &mut inline) {
        ControlFlow::Break(fault) => Err(fault),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// One named subquery, with those that it uses already written out.
struct Named {
    name: Ident,
    columns: TableAlias,
    query: Query,
    n_tables: usize,
}

struct Inline {
    site: Site,
    /// All that are visible, inner scopes last.
    named: Vec<Named>,
    /// How many were visible outside each query that is being visited.
    scopes: Vec<usize>,
    n_tables: usize,
}

impl Inline {
    fn define(&mut self, cte: Cte) -> ControlFlow<PlanFault> {
        let mut query = *cte.query;
        VisitMut::visit(&mut query, self)?;
        let mut count = CountTables(0);
        let _ = Visit::visit(&query, &mut count);
        self.named.push(Named {
            name: cte.alias.name.clone(),
            columns: cte.alias,
            query,
            n_tables: count.0.max(1),
        });
        ControlFlow::Continue(())
    }
}

struct CountTables(usize);

impl Visitor for CountTables {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.0 += usize::from(matches!(factor, TableFactor::Table { .. }));
        ControlFlow::Continue(())
    }
}

impl VisitorMut for Inline {
    type Break = PlanFault;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<PlanFault> {
        self.scopes.push(self.named.len());
        let Some(with) = query.with.take() else {
            return ControlFlow::Continue(());
        };
        if with.recursive {
            let what = "WITH RECURSIVE cannot be used in a job";
            let fix = "write the steps out, or prepare them in a table at the holder";
            return ControlFlow::Break(self.site.fault(&with, what, fix));
        }
        for cte in with.cte_tables {
            self.define(cte)?;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<PlanFault> {
        let outside = self.scopes.pop().unwrap_or_default();
        self.named.truncate(outside);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<PlanFault> {
        let TableFactor::Table { name, alias, .. } = &*factor else {
            return ControlFlow::Continue(());
        };
        let [part] = name.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        let Some(wanted) = part.as_ident() else {
            return ControlFlow::Continue(());
        };
        let folded = wanted.value.to_lowercase();
        let same = |n: &&Named| n.name.value.to_lowercase() == folded;
        let Some(named) = self.named.iter().rev().find(same) else {
            return ControlFlow::Continue(());
        };
        self.n_tables += named.n_tables;
        if self.n_tables > MAX_TABLES {
            let what = format!("the named subqueries of WITH stand for over {MAX_TABLES} tables");
            let fix = "use each of them less often";
            return ControlFlow::Break(self.site.fault(&*factor, what, fix));
        }
        let mut alias = alias.clone().unwrap_or_else(|| TableAlias {
            name: wanted.clone(),
            columns: Vec::new(),
            ..named.columns.clone()
        });
        if alias.columns.is_empty() {
            alias.columns = named.columns.columns.clone();
        }
        alias.explicit = true;
        *factor = TableFactor::Derived {
            lateral: false,
            subquery: Box::new(named.query.clone()),
            alias: Some(alias),
            sample: None,
        };
        ControlFlow::Continue(())
    }
}
