//! The job's query as text, and what of SQL a job may use at all.

pub(super) mod inline;
pub(super) mod holders;
pub(super) mod align;
pub(super) mod functions;
pub(super) mod outer;
pub(super) mod having;
pub(super) mod spell;
pub(super) mod prune;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Query, Select, SelectFlavor, Spanned, Statement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Span, Tokenizer};

use super::PlanFault;
use crate::spec::SqlCompute;

/// Longest query that is read, in bytes.
pub(super) const MAX_SQL_BYTES: usize = 1 << 16;
/// Deepest nesting of expressions and subqueries; a chain such as `a OR b OR c` counts one level a term.
pub(super) const MAX_DEPTH: usize = 128;

/// Turns places in the query into places in the job file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    first_line: usize,
    /// The field that holds the query.
    field: &'static str,
}

impl Site {
    pub(super) fn new(sql: &SqlCompute) -> Self {
        Self {
            first_line: sql.line,
            field: "compute.sql",
        }
    }

    /// The rows that a model is fitted to.
    pub(super) fn of_rows(line: usize) -> Self {
        Self {
            first_line: line,
            field: "compute.train.rows",
        }
    }

    /// The place of a part of the query.
    pub(super) fn of(self, part: &impl Spanned) -> String {
        self.span(part.span())
    }

    pub(super) fn span(self, span: Span) -> String {
        self.line(usize::try_from(span.start.line).unwrap_or(0))
    }

    /// The place of a line of the query, counted from 1; 0 for the query as a whole.
    fn line(self, line: usize) -> String {
        match line {
            0 => self.field.to_owned(),
            n => format!("{}, line {}", self.field, self.first_line + n - 1),
        }
    }

    /// A fault at a part of the query.
    pub(super) fn fault(
        self,
        part: &impl Spanned,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> PlanFault {
        PlanFault {
            place: self.of(part),
            what: what.into(),
            fix: fix.into(),
        }
    }
}

/// Reads the one SELECT of a job.
///
/// # Errors
/// A syntax error with its line, more than one statement, another statement than a SELECT, or a query beyond
/// [`MAX_SQL_BYTES`] or [`MAX_DEPTH`].
pub(super) fn parse(text: &str, site: Site) -> Result<Query, PlanFault> {
    let whole = |what: String, fix: &str| PlanFault {
        place: site.line(0),
        what,
        fix: fix.to_owned(),
    };
    if text.len() > MAX_SQL_BYTES {
        let what = format!("the query has {} bytes", text.len());
        return Err(whole(what, "write it in at most 65536"));
    }
    if text.contains(outer::MARK) {
        let what = "the query holds a character of a private-use area, U+E000".to_owned();
        return Err(whole(what, "leave it out"));
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|e| {
            let place = usize::try_from(e.location.line).unwrap_or(0);
            syntax(site.line(place), &e.message)
        })?;
    let statements = Parser::new(&dialect)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|e| parser_fault(site, &e))?;
    let mut statements = statements.into_iter();
    let query = match (statements.next(), statements.next()) {
        (Some(Statement::Query(query)), None) => *query,
        (Some(_), None) => {
            let what = "the query is not a SELECT".to_owned();
            return Err(whole(what, "write one SELECT"));
        }
        (None, _) => return Err(whole("the query is empty".to_owned(), "write one SELECT")),
        (Some(_), Some(_)) => {
            let what = "there is more than one statement".to_owned();
            return Err(whole(what, "write one SELECT"));
        }
    };
    let mut refuse = Refuse { site, depth: 0 };
    match Visit::visit(&query, &mut refuse) {
        ControlFlow::Break(fault) => Err(fault),
        ControlFlow::Continue(()) => Ok(query),
    }
}

fn parser_fault(site: Site, error: &ParserError) -> PlanFault {
    match error {
        ParserError::RecursionLimitExceeded => syntax(site.line(0), "it is nested too deeply"),
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => {
            // The parser writes the place into its text: "… at Line: 3, Column: 10".
            let Some((text, place)) = text.split_once(" at Line: ") else {
                return syntax(site.line(0), text);
            };
            let line = place.split(',').next().and_then(|l| l.trim().parse().ok());
            syntax(site.line(line.unwrap_or(0)), text)
        }
    }
}

fn syntax(place: String, text: &str) -> PlanFault {
    PlanFault {
        place,
        what: format!("the query cannot be read: {text}"),
        fix: "correct the SQL".to_owned(),
    }
}

/// Finds what no job may hold: it would read something other than rows of the named tables, or mean something
/// else in the holders' engines than in the job.
struct Refuse {
    site: Site,
    depth: usize,
}

impl Refuse {
    fn deeper(&mut self, part: &impl Spanned) -> ControlFlow<PlanFault> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return ControlFlow::Continue(());
        }
        let what = format!("the query is nested more than {MAX_DEPTH} levels deep");
        let fix = "write long chains of OR as x IN (…), and long sums in parts";
        ControlFlow::Break(self.site.fault(part, what, fix))
    }

    fn refused(&self, part: &impl Spanned, what: &str) -> ControlFlow<PlanFault> {
        let what = format!("{what} cannot be used in a job");
        ControlFlow::Break(self.site.fault(part, what, "leave it out"))
    }
}

impl Visitor for Refuse {
    type Break = PlanFault;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<PlanFault> {
        self.deeper(query)?;
        let Query {
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
            ..
        } = query;
        if !locks.is_empty() || for_clause.is_some() {
            return self.refused(query, "FOR …");
        }
        if settings.is_some() || format_clause.is_some() || !pipe_operators.is_empty() {
            return self.refused(query, "SETTINGS, FORMAT and |>");
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<PlanFault> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<PlanFault> {
        let unusual = [
            (select.into.is_some(), "SELECT … INTO"),
            (select.top.is_some(), "TOP"),
            (!select.lateral_views.is_empty(), "LATERAL VIEW"),
            (select.prewhere.is_some(), "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (!select.cluster_by.is_empty(), "CLUSTER BY"),
            (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
            (!select.sort_by.is_empty(), "SORT BY"),
            (select.value_table_mode.is_some(), "SELECT AS"),
            (select.select_modifiers.is_some(), "a modifier of SELECT"),
            (!select.optimizer_hints.is_empty(), "an optimizer hint"),
            (select.exclude.is_some(), "EXCLUDE"),
            (
                select.flavor != SelectFlavor::Standard,
                "FROM before SELECT",
            ),
        ];
        match unusual.iter().find(|(found, _)| *found) {
            Some((_, what)) => self.refused(select, what),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<PlanFault> {
        match factor {
            TableFactor::Table {
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
                ..
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                ControlFlow::Continue(())
            }
            TableFactor::Derived {
                lateral: false,
                sample: None,
                ..
            }
            | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            TableFactor::Derived { lateral: true, .. } => self.refused(factor, "LATERAL"),
            TableFactor::Derived { .. } | TableFactor::Table { args: None, .. } => {
                self.refused(factor, "a sample, a version or a hint of a table")
            }
            _ => self.refused(
                factor,
                "a table function (anything in FROM but tables and subqueries)",
            ),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<PlanFault> {
        self.deeper(expr)
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<PlanFault> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}
