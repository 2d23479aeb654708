//! Whose columns an expression names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, Select, Visit, VisitMut, Visitor, VisitorMut,
};

use super::from::Relation;
use crate::plan::PlanFault;
use crate::plan::sql::Site;
use crate::plan::sql::holders::holders_of;

/// The relations that names can mean.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    all: &'a [Relation],
    /// Columns that USING makes one of two, in small letters, and whose value that is.
    merged: &'a BTreeMap<String, usize>,
    site: Site,
}

impl<'a> Scope<'a> {
    pub(super) fn new(
        all: &'a [Relation],
        merged: &'a BTreeMap<String, usize>,
        site: Site,
    ) -> Self {
        Self { all, merged, site }
    }

    /// Whether a relation is a subquery of IN or EXISTS.
    pub(super) fn is_member(self, at: usize) -> bool {
        self.all.get(at).is_some_and(|r| r.member.is_some())
    }

    /// The relations whose columns an expression names.
    ///
    /// # Errors
    /// A name that means no relation, or several.
    pub(super) fn relations(self, expr: &Expr) -> Result<BTreeSet<usize>, PlanFault> {
        let mut names = Names {
            scope: self,
            inside: 0,
            found: BTreeSet::new(),
        };
        if let ControlFlow::Break(fault) = Visit::visit(expr, &mut names) {
            return Err(*fault);
        }
        let mut found = names.found;
        let holders = holders_of(expr);
        if !holders.is_empty() {
            let at = self.all.iter().position(|r| r.holders == holders);
            match at {
                Some(at) if found.iter().all(|r| *r == at) => {
                    found.insert(at);
                }
                _ => {
                    let what = "a subquery in an expression reads a table of another holder";
                    let fix =
                        "join that table, or write IN (SELECT …) as a JOIN with SELECT DISTINCT";
                    return Err(self.site.fault(expr, what, fix));
                }
            }
        }
        Ok(found)
    }

    /// The relation that a column belongs to; `None` for a name that is no column.
    fn owner(self, parts: &[Ident]) -> Result<Option<usize>, (String, String)> {
        let folded: Vec<String> = parts.iter().map(|p| p.value.to_lowercase()).collect();
        match folded.as_slice() {
            [column] => {
                if let Some(at) = self.merged.get(column) {
                    return Ok(Some(*at));
                }
                let has = |r: &&Relation| r.columns.as_ref().is_some_and(|c| c.contains(column));
                let mut owners = self.all.iter().enumerate().filter(|(_, r)| has(r));
                match (owners.next(), owners.next()) {
                    (Some((at, _)), None) => Ok(Some(at)),
                    (None, _) => Ok(None),
                    (Some((_, a)), Some((_, b))) => Err((
                        format!(
                            "{} can mean a column of {} or of {}",
                            parts[0], a.names[0], b.names[0]
                        ),
                        format!(
                            "write {}.{} or {}.{}",
                            a.names[0], parts[0], b.names[0], parts[0]
                        ),
                    )),
                }
            }
            [.., relation, _] => {
                let called = |r: &&Relation| r.names.contains(relation);
                let mut owners = self.all.iter().enumerate().filter(|(_, r)| called(r));
                match owners.next() {
                    Some((at, _)) => Ok(Some(at)),
                    None => {
                        let names = self.all.iter().flat_map(|r| &r.names);
                        let names: Vec<&str> = names.map(String::as_str).collect();
                        Err((
                            format!("no table of the query is called {relation}"),
                            format!("they are called {}", names.join(", ")),
                        ))
                    }
                }
            }
            [] => Ok(None),
        }
    }
}

struct Names<'a> {
    scope: Scope<'a>,
    inside: usize,
    found: BTreeSet<usize>,
}

impl Visitor for Names<'_> {
    type Break = Box<PlanFault>;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Self::Break> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Self::Break> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        if self.inside > 0 {
            return ControlFlow::Continue(());
        }
        let parts = match expr {
            Expr::Identifier(name) => std::slice::from_ref(name),
            Expr::CompoundIdentifier(parts) => parts.as_slice(),
            _ => return ControlFlow::Continue(()),
        };
        let fault = |what: String, fix: String| {
            ControlFlow::Break(Box::new(self.scope.site.fault(expr, what, fix)))
        };
        match self.scope.owner(parts) {
            Ok(Some(at)) => {
                self.found.insert(at);
                ControlFlow::Continue(())
            }
            Ok(None) => {
                let name = &parts[0];
                let what = format!("no table of the query is known to have a column {name}");
                fault(
                    what,
                    format!("correct it, or say whose it is: table.{name}"),
                )
            }
            Err((what, fix)) => fault(what, fix),
        }
    }
}

/// Writes the relation in front of every column that is named without one, so that equal expressions are equal
/// texts. Names of outputs stay.
pub(super) fn qualify(
    part: &mut impl VisitMut,
    scope: Scope<'_>,
    kept: &BTreeSet<String>,
) -> Result<(), PlanFault> {
    let mut qualify = Qualify {
        scope,
        kept,
        inside: 0,
    };
    match VisitMut::visit(part, &mut qualify) {
        ControlFlow::Break(fault) => Err(*fault),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Qualify<'a> {
    scope: Scope<'a>,
    kept: &'a BTreeSet<String>,
    inside: usize,
}

impl VisitorMut for Qualify<'_> {
    type Break = Box<PlanFault>;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Self::Break> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Self::Break> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let Expr::Identifier(name) = &*expr else {
            return ControlFlow::Continue(());
        };
        if self.inside > 0 || self.kept.contains(&name.value.to_lowercase()) {
            return ControlFlow::Continue(());
        }
        match self.scope.owner(std::slice::from_ref(name)) {
            Ok(Some(at)) => {
                let relation = &self.scope.all[at];
                if let [one] = relation.names.as_slice() {
                    let relation = Ident::with_span(name.span, one);
                    *expr = Expr::CompoundIdentifier(vec![relation, name.clone()]);
                }
                ControlFlow::Continue(())
            }
            Ok(None) => ControlFlow::Continue(()),
            Err((what, fix)) => {
                ControlFlow::Break(Box::new(self.scope.site.fault(&*expr, what, fix)))
            }
        }
    }
}

/// Qualifies everything in a SELECT but FROM, which has been read already.
pub(super) fn qualify_select(select: &mut Select, scope: Scope<'_>) -> Result<(), PlanFault> {
    let none = BTreeSet::new();
    qualify(&mut select.projection, scope, &none)?;
    qualify(&mut select.selection, scope, &none)?;
    qualify(&mut select.group_by, scope, &none)?;
    qualify(&mut select.having, scope, &none)
}

/// An expression out of its parentheses.
pub(super) fn stripped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => stripped(inner),
        other => other,
    }
}

/// Whether two expressions are the same, but for the case of letters.
pub(super) fn same(a: &Expr, b: &Expr) -> bool {
    a.to_string().to_lowercase() == b.to_string().to_lowercase()
}
