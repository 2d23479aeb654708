//! Names as a holder's catalogue spells them. SQL ignores case, catalogues do not: within the query of one holder
//! every name is matched without regard to case and then written exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TableAlias, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;

use super::super::PlanFault;
use super::Site;
use super::holders::{Catalogues, NoMatch, holder_and_table, match_name};
use crate::spec::near::near;

/// The names that one holder's query can use.
pub(in crate::plan) struct Spelling<'a> {
    holder: &'a str,
    site: Site,
    /// The tables that the query reads, for messages.
    tables: BTreeSet<String>,
    /// The columns of those tables, by their small-letter form.
    columns: BTreeMap<String, BTreeSet<String>>,
    /// Names that the query itself gives, by their small-letter form.
    given: BTreeMap<String, String>,
    faults: Vec<PlanFault>,
}

/// Spells every name in a holder's query as its catalogue does.
///
/// # Errors
/// Columns that none of the holder's tables has, and names that mean two columns.
pub(in crate::plan) fn spell<P: Visit + VisitMut>(
    part: &mut P,
    holder: &str,
    catalogues: &Catalogues,
    site: Site,
) -> Result<(), Vec<PlanFault>> {
    let mut spelling = Spelling {
        holder,
        site,
        tables: BTreeSet::new(),
        columns: BTreeMap::new(),
        given: BTreeMap::new(),
        faults: Vec::new(),
    };
    let _ = Visit::visit(
        part,
        &mut Collect {
            spelling: &mut spelling,
            catalogues,
        },
    );
    let _ = VisitMut::visit(part, &mut spelling);
    if spelling.faults.is_empty() {
        Ok(())
    } else {
        Err(spelling.faults)
    }
}

/// Writes a name so that it is read back exactly; plain ones without quotes.
pub(in crate::plan) fn quoted(name: &str) -> Ident {
    let mut chars = name.chars();
    let first = chars
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let rest = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let keyword = ALL_KEYWORDS
        .binary_search(&name.to_ascii_uppercase().as_str())
        .is_ok();
    if first && rest && !keyword {
        Ident::new(name)
    } else {
        Ident::with_quote('"', name)
    }
}

/// First pass: which names there are.
struct Collect<'s, 'a> {
    spelling: &'s mut Spelling<'a>,
    catalogues: &'s Catalogues,
}

impl Collect<'_, '_> {
    fn gives(&mut self, name: &Ident) {
        let given = &mut self.spelling.given;
        given
            .entry(name.value.to_lowercase())
            .or_insert_with(|| name.value.clone());
    }

    fn alias(&mut self, alias: Option<&TableAlias>) {
        if let Some(alias) = alias {
            self.gives(&alias.name);
            for column in &alias.columns {
                self.gives(&column.name);
            }
        }
    }
}

impl Visitor for Collect<'_, '_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, alias, .. } => {
                self.alias(alias.as_ref());
                let Some((holder, table)) = holder_and_table(name) else {
                    return ControlFlow::Continue(());
                };
                for part in [holder, table] {
                    self.gives(&Ident::new(part));
                }
                self.spelling.tables.insert(table.to_owned());
                let catalogue = self.catalogues.iter().find(|(p, _)| p.as_str() == holder);
                let entry = catalogue.and_then(|(_, c)| c.tables.get(table));
                for column in entry.iter().flat_map(|e| &e.columns) {
                    let spelled = self.spelling.columns.entry(column.name.to_lowercase());
                    spelled.or_default().insert(column.name.clone());
                }
            }
            TableFactor::Derived { alias, .. } | TableFactor::NestedJoin { alias, .. } => {
                self.alias(alias.as_ref());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.gives(alias);
            }
        }
        ControlFlow::Continue(())
    }
}

impl Spelling<'_> {
    /// The exact form of a name: a column's, or else the one that the query gave first.
    fn exact(&mut self, name: &mut Ident) {
        let folded = name.value.to_lowercase();
        if let Some(columns) = self.columns.get(&folded) {
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            match match_name(&name.value, &columns) {
                Ok(exact) => *name = spanned(exact, name),
                Err(NoMatch::Ambiguous) => {
                    let what = format!("{} means several columns of {}", name.value, self.holder);
                    let fix = format!("spell one exactly: {}", columns.join(", "));
                    self.faults
                        .push(self.site.fault(&Expr::Identifier(name.clone()), what, fix));
                }
                Err(NoMatch::Unknown) => {}
            }
        } else if let Some(given) = self.given.get(&folded) {
            *name = spanned(given, name);
        } else {
            self.unknown(name);
        }
    }

    fn unknown(&mut self, name: &Ident) {
        let known = self.columns.values().flatten().chain(self.given.values());
        let hint = near(&name.value, known.map(String::as_str)).join(", ");
        let tables: Vec<String> = self
            .tables
            .iter()
            .map(|t| format!("{}.{t}", self.holder))
            .collect();
        let what = format!("{} has no column {}", tables.join(" and "), name.value);
        let fix = match hint.as_str() {
            "" => {
                let columns = self.columns.values().flatten().take(20);
                let columns: Vec<&str> = columns.map(String::as_str).collect();
                format!("its columns are {}", columns.join(", "))
            }
            near => format!("did you mean {near}?"),
        };
        self.faults
            .push(self.site.fault(&Expr::Identifier(name.clone()), what, fix));
    }

    /// The exact form of a name that the query gives or a relation has; unknown ones are left to the engine.
    fn relation(&self, name: &mut Ident) {
        let folded = name.value.to_lowercase();
        if let Some(given) = self.given.get(&folded) {
            *name = spanned(given, name);
        }
    }

    fn definition(&self, name: &mut Ident) {
        let folded = name.value.to_lowercase();
        let columns = self.columns.get(&folded).filter(|c| c.len() == 1);
        match columns.and_then(|c| c.first()) {
            Some(column) => *name = spanned(column, name),
            None => self.relation(name),
        }
    }

    fn alias(&self, alias: Option<&mut TableAlias>) {
        if let Some(alias) = alias {
            self.relation(&mut alias.name);
            for column in &mut alias.columns {
                self.definition(&mut column.name);
            }
        }
    }

    fn object(&self, name: &mut ObjectName) {
        for part in &mut name.0 {
            if let ObjectNamePart::Identifier(name) = part {
                self.relation(name);
            }
        }
    }

    fn constraint(&mut self, operator: &mut JoinOperator) {
        use JoinOperator::{CrossJoin, FullOuter, Inner, Join, Left, LeftOuter, Right, RightOuter};
        let (Join(constraint)
        | Inner(constraint)
        | Left(constraint)
        | LeftOuter(constraint)
        | Right(constraint)
        | RightOuter(constraint)
        | FullOuter(constraint)
        | CrossJoin(constraint)) = operator
        else {
            return;
        };
        if let JoinConstraint::Using(columns) = constraint {
            for column in columns {
                if let [ObjectNamePart::Identifier(name)] = column.0.as_mut_slice() {
                    self.exact(name);
                }
            }
        }
    }
}

fn spanned(exact: &str, at: &Ident) -> Ident {
    Ident {
        span: at.span,
        ..quoted(exact)
    }
}

impl VisitorMut for Spelling<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => self.exact(name),
            Expr::CompoundIdentifier(parts) => {
                if let Some((column, relations)) = parts.split_last_mut() {
                    self.exact(column);
                    for relation in relations {
                        self.relation(relation);
                    }
                }
            }
            Expr::Function(function) => {
                for part in &mut function.name.0 {
                    if let ObjectNamePart::Identifier(name) = part {
                        *name = Ident::new(name.value.to_lowercase());
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => self.definition(alias),
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => self.object(name),
                _ => {}
            }
        }
        for join in select.from.iter_mut().flat_map(|item| &mut item.joins) {
            self.constraint(&mut join.join_operator);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, alias, .. } => {
                for part in &mut name.0 {
                    if let ObjectNamePart::Identifier(name) = part {
                        *name = spanned(&name.value.clone(), name);
                    }
                }
                self.alias(alias.as_mut());
            }
            TableFactor::Derived { alias, .. } => self.alias(alias.as_mut()),
            TableFactor::NestedJoin {
                alias,
                table_with_joins,
            } => {
                self.alias(alias.as_mut());
                for join in &mut table_with_joins.joins {
                    self.constraint(&mut join.join_operator);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
