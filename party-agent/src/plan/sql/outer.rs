//! The outermost SELECT taken apart: group keys and arguments of aggregates, which the holders compute, and the
//! expressions over them, which the receivers compute.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, GroupByExpr, Ident, OrderByExpr, Query, Select, SelectItem,
    Spanned, Value, VisitMut, VisitorMut,
};

use super::super::{Margins, PlanFault, Released};
use super::Site;
use super::align::{name_of_expr, names_of_from};
use super::functions::{
    AggregateKind, aggregate_kind, follow_up, is_aggregate, is_histogram, name_of, plain_args,
};
use super::having::{self, HavingCheck};
use super::holders::{Catalogues, has_call};
use crate::catalogue::Aggregate;
use crate::plan::words::counted;

mod build;
mod same;
mod aggregate;
mod margins;
mod tail;

pub(in crate::plan) use build::{
    MARK, call, case_when, cast, is_always_known, is_marked, marked, product, searched, where_known,
};
use build::{divided, is_divided, is_nullif};
use same::Same;

/// The outermost SELECT, taken apart.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Outer {
    pub(in crate::plan) keys: Vec<Key>,
    pub(in crate::plan) args: Vec<Arg>,
    pub(in crate::plan) outputs: Vec<Output>,
    /// The totals beside the groups: ROLLUP and CUBE over all keys in order.
    pub(in crate::plan) margins: Option<Margins>,
    pub(in crate::plan) having: Vec<HavingCheck>,
    /// The other conditions of HAVING, over the columns of `released`: receivers decide them.
    pub(in crate::plan) filter: Vec<Expr>,
    pub(in crate::plan) order: Vec<OrderByExpr>,
    pub(in crate::plan) limit: Option<u64>,
    pub(in crate::plan) offset: Option<u64>,
    /// The columns of `released` that the expressions refer to, by name.
    pub(in crate::plan) released: BTreeMap<String, Released>,
}

impl Outer {
    /// Keys and arguments, of which nothing is asked yet.
    pub(in crate::plan) fn of(keys: Vec<Key>, args: Vec<Arg>) -> Self {
        Self {
            keys,
            args,
            outputs: Vec::new(),
            margins: None,
            having: Vec::new(),
            filter: Vec::new(),
            order: Vec::new(),
            limit: None,
            offset: None,
            released: BTreeMap::new(),
        }
    }
}

/// A group key.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Key {
    /// What a holder computes.
    pub(in crate::plan) expr: Expr,
    /// As the result names it.
    pub(in crate::plan) name: String,
    /// The name of the column that the key is, if it is one.
    pub(in crate::plan) column: Option<String>,
    /// Whether it is a HISTOGRAM, whose groups are ordered by their edges.
    pub(in crate::plan) histogram: bool,
    /// Whether it is the times of a follow-up, and the end of that.
    pub(in crate::plan) follow_up: Option<Option<u64>>,
}

/// An argument of aggregates.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Arg {
    /// What a holder computes.
    pub(in crate::plan) expr: Expr,
    /// As the job spells it.
    pub(in crate::plan) label: String,
    /// What it is used for.
    pub(in crate::plan) asked: BTreeSet<Aggregate>,
    pub(in crate::plan) sum: bool,
    pub(in crate::plan) sum_sq: bool,
    /// Whether days may be added up, as numbers: what is opened is how they compare.
    pub(in crate::plan) days: bool,
    /// Whether its values are compared with each other.
    pub(in crate::plan) ordered: bool,
    /// Whether its different values are counted.
    pub(in crate::plan) distinct: bool,
}

impl Arg {
    /// Whether which rows count depends on a condition inside the argument.
    pub(in crate::plan) fn has_condition(&self) -> bool {
        matches!(self.expr, Expr::Case { .. })
    }
}

/// A column of the result.
#[derive(Clone, Debug)]
pub(in crate::plan) struct Output {
    pub(in crate::plan) name: String,
    pub(in crate::plan) expr: Expr,
}

/// What a COUNT counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::plan) enum Counted {
    Rows,
    Arg(usize),
    /// The different values of an argument.
    Distinct(usize),
}

/// Takes the outermost SELECT apart.
///
/// # Errors
/// Everything in it that cannot run over several holders.
pub(in crate::plan) fn take_apart(
    query: &Query,
    select: &Select,
    catalogues: &Catalogues,
    site: Site,
) -> Result<Outer, Vec<PlanFault>> {
    let mut apart = Apart {
        site,
        same: Same::new(select),
        columns: names_of_from(&select.from, catalogues),
        outer: Outer::of(Vec::new(), Vec::new()),
        key_texts: Vec::new(),
        arg_texts: Vec::new(),
        items: Vec::new(),
        aliases_visible: false,
        in_having: false,
        faults: Vec::new(),
    };
    apart.items(select);
    if apart.faults.is_empty() {
        apart.group_by(select);
    }
    if apart.faults.is_empty() {
        apart.outputs();
        apart.aliases_visible = true;
        if let Some(condition) = &select.having {
            apart.having(condition);
        }
        tail::read(&mut apart, query);
    }
    if apart.faults.is_empty() {
        Ok(apart.outer)
    } else {
        Err(apart.faults)
    }
}

/// One item of the outermost SELECT list.
struct Item {
    expr: Expr,
    alias: Option<String>,
}

struct Apart {
    site: Site,
    same: Same,
    /// The columns of FROM in small letters, if they can be told.
    columns: Option<BTreeSet<String>>,
    outer: Outer,
    /// The keys and arguments so far, in the form in which equal ones are equal.
    key_texts: Vec<String>,
    arg_texts: Vec<String>,
    items: Vec<Item>,
    /// Whether names of outputs stand for them, as in HAVING and ORDER BY.
    aliases_visible: bool,
    in_having: bool,
    faults: Vec<PlanFault>,
}

impl Apart {
    fn fault(&mut self, part: &impl Spanned, what: impl Into<String>, fix: impl Into<String>) {
        self.faults.push(self.site.fault(part, what, fix));
    }

    fn items(&mut self, select: &Select) {
        if select.distinct.is_some() {
            self.fault(
                select,
                "SELECT DISTINCT over several holders would need to compare their rows",
                "use GROUP BY",
            );
        }
        if select.qualify.is_some() || !select.named_window.is_empty() {
            self.fault(
                select,
                "window functions over several holders are not available in this version",
                "use them inside the part of one holder",
            );
        }
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => self.items.push(Item {
                    expr: expr.clone(),
                    alias: None,
                }),
                SelectItem::ExprWithAlias { expr, alias } => self.items.push(Item {
                    expr: expr.clone(),
                    alias: Some(alias.value.clone()),
                }),
                _ => self.row_level(item),
            }
        }
        let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(e, _) if e.is_empty());
        let aggregated = has_call(&select.projection, is_aggregate) || select.having.is_some();
        if self.faults.is_empty() && !grouped && !aggregated {
            self.row_level(select);
        }
    }

    fn row_level(&mut self, part: &impl Spanned) {
        self.fault(
            part,
            "the job would release rows: a SELECT over several holders releases aggregates only in this version",
            "aggregate with COUNT, SUM, AVG … and GROUP BY",
        );
    }

    fn group_by(&mut self, select: &Select) {
        let (exprs, modifiers) = match &select.group_by {
            GroupByExpr::Expressions(exprs, modifiers) => (exprs.clone(), modifiers),
            GroupByExpr::All(modifiers) => {
                let plain = self
                    .items
                    .iter()
                    .filter(|i| !has_call(&i.expr, is_aggregate));
                (plain.map(|i| i.expr.clone()).collect(), modifiers)
            }
        };
        let (exprs, margins) = match margins::taken_apart(&exprs, modifiers) {
            Ok(taken) => taken,
            Err((what, fix)) => return self.fault(select, what, fix),
        };
        let n_exprs = exprs.len();
        for expr in exprs {
            if let Some(expr) = self.meant_by_group(expr) {
                self.key(expr);
            }
        }
        if margins.is_some() && self.outer.keys.len() < n_exprs && self.faults.is_empty() {
            let what = "a key stands twice in ROLLUP or CUBE";
            self.fault(select, what, "name each key once");
        }
        self.outer.margins = margins;
    }

    /// What GROUP BY means by an expression: an ordinal, a column, or the alias of an output.
    fn meant_by_group(&mut self, expr: Expr) -> Option<Expr> {
        let (meant, by_name) = match &expr {
            Expr::Value(value) => match ordinal(&value.value) {
                None => (expr.clone(), false),
                Some(n) => match self.items.get(n.wrapping_sub(1)) {
                    Some(item) => (item.expr.clone(), true),
                    None => {
                        let outputs = counted(self.items.len() as u64, "output");
                        let what = format!("GROUP BY {n}: the SELECT list has {outputs}");
                        self.fault(&expr, what, "name one of them");
                        return None;
                    }
                },
            },
            Expr::Identifier(name) => {
                let folded = name.value.to_lowercase();
                let is_column = self.columns.as_ref().is_some_and(|c| c.contains(&folded));
                match self.aliased(&folded) {
                    Some(aliased) if !is_column => (aliased.clone(), true),
                    _ => (expr.clone(), false),
                }
            }
            _ => (expr.clone(), false),
        };
        if has_call(&meant, is_aggregate) {
            let what = if by_name {
                format!("GROUP BY {expr} means an output that is an aggregate")
            } else {
                format!("GROUP BY {expr} contains an aggregate")
            };
            self.fault(&expr, what, "group by columns and functions of columns");
            return None;
        }
        Some(meant)
    }

    fn aliased(&self, folded: &str) -> Option<&Expr> {
        let mut items = self.items.iter();
        let same = |i: &&Item| i.alias.as_ref().is_some_and(|a| a.to_lowercase() == folded);
        items.find(same).map(|i| &i.expr)
    }

    fn key(&mut self, expr: Expr) {
        let text = self.same.text(&expr);
        if self.key_texts.contains(&text) {
            return;
        }
        let named = self.items.iter().find(|i| self.same.text(&i.expr) == text);
        let shown = named.and_then(|i| i.alias.clone().or_else(|| name_of_expr(&i.expr)));
        let column = name_of_expr(&expr);
        let name = shown
            .or_else(|| column.clone())
            .unwrap_or_else(|| expr.to_string());
        let histogram = is_histogram(&expr);
        let followed = follow_up(&expr).map(|(time, end)| (time.to_string(), end));
        let (name, follow_up) = match followed {
            Some((time, end)) => (time, Some(end)),
            None => (name, None),
        };
        self.key_texts.push(text);
        self.outer.keys.push(Key {
            expr,
            name,
            column,
            histogram,
            follow_up,
        });
    }

    fn outputs(&mut self) {
        let mut names = BTreeSet::new();
        for Item { expr, alias } in std::mem::take(&mut self.items) {
            let plain = alias.or_else(|| name_of_expr(&expr));
            let plain = plain.unwrap_or_else(|| expr.to_string());
            let mut name = plain.clone();
            let mut n = 2;
            while !names.insert(name.to_lowercase()) {
                name = format!("{plain}_{n}");
                n += 1;
            }
            let expr = self.over_released(expr);
            self.outer.outputs.push(Output { name, expr });
        }
    }

    /// Counts that must reach a number are compared on shares, and what fails is opened to nobody. Other conditions are
    /// decided by the receivers.
    fn having(&mut self, condition: &Expr) {
        let mut checks = Vec::new();
        let mut filter = Vec::new();
        self.in_having = true;
        for part in having::conjuncts(condition) {
            let counted = having::comparison(part).and_then(|(count, at_least)| {
                if self.has_two_meanings(count) {
                    return None;
                }
                let count = self.alias_of(count).unwrap_or_else(|| count.clone());
                let counted = self.count(&count)?;
                Some(HavingCheck { counted, at_least })
            });
            match counted {
                Some(check) => checks.push(check),
                None => filter.push(self.over_released(part.clone())),
            }
        }
        self.in_having = false;
        self.outer.having = checks;
        self.outer.filter = filter;
    }

    /// Whether a name is that of a group key and of another output as well, as in HAVING b of `SELECT a AS b … GROUP BY b`:
    /// engines take it for the one or the other.
    fn has_two_meanings(&self, expr: &Expr) -> bool {
        let text = self.same.text(expr);
        let key = self.key_texts.iter().position(|key| *key == text);
        let output = self.alias_of(expr);
        key.zip(output)
            .is_some_and(|(key, output)| output != marked(&format!("k{key}")))
    }

    /// The original expression behind an output's alias, for HAVING.
    fn alias_of(&self, expr: &Expr) -> Option<Expr> {
        let Expr::Identifier(name) = expr else {
            return None;
        };
        let folded = name.value.to_lowercase();
        let output = self
            .outer
            .outputs
            .iter()
            .find(|o| o.name.to_lowercase() == folded)?;
        Some(output.expr.clone())
    }

    /// What a COUNT in HAVING counts; registers its argument.
    fn count(&mut self, expr: &Expr) -> Option<Counted> {
        let expr = match expr {
            Expr::Function(f) if aggregate_kind(&name_of(f)) == Some(AggregateKind::Count) => {
                self.over_released(expr.clone())
            }
            other => other.clone(),
        };
        let Expr::Identifier(name) = &expr else {
            return None;
        };
        let name = name.value.strip_prefix(MARK)?;
        match self.outer.released.get(name)? {
            Released::Rows => Some(Counted::Rows),
            Released::Count(arg) => Some(Counted::Arg(*arg)),
            Released::Distinct(arg) => Some(Counted::Distinct(*arg)),
            _ => None,
        }
    }

    /// An expression over keys and aggregates as one over the columns of `released`.
    fn over_released(&mut self, mut expr: Expr) -> Expr {
        let _ = VisitMut::visit(&mut expr, &mut OverReleased(self));
        expr
    }
}

fn ordinal(value: &Value) -> Option<usize> {
    match value {
        Value::Number(digits, false) => digits.parse().ok(),
        _ => None,
    }
}

/// Rewrites an expression of the outermost SELECT over the columns of `released`.
struct OverReleased<'a>(&'a mut Apart);

impl VisitorMut for OverReleased<'_> {
    type Break = ();

    // Keys and aggregates are recognised before anything inside them is touched.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if is_marked(expr) {
            return ControlFlow::Continue(());
        }
        if self.0.in_having && self.0.has_two_meanings(expr) {
            let what = format!("{expr} in HAVING is a group key and the name of another output");
            let fix = "name the output otherwise: … AS another_name";
            self.0.fault(expr, what, fix);
            return ControlFlow::Break(());
        }
        let text = self.0.same.text(expr);
        if let Some(i) = self.0.key_texts.iter().position(|t| *t == text) {
            *expr = self.0.released(format!("k{i}"), Released::Key(i));
            return ControlFlow::Continue(());
        }
        let replaced = match &*expr {
            Expr::Function(f) if f.over.is_some() => Err(self.0.site.fault(
                f,
                "a window function over several holders is not available in this version",
                "use it inside the part of one holder",
            )),
            Expr::Function(f) if name_of(f) == "grouping" && self.0.outer.margins.is_some() => {
                self.0.grouping(f)
            }
            Expr::Function(f) if is_aggregate(&name_of(f)) => self.0.aggregate(f),
            Expr::Identifier(name) => self.0.named(name, expr),
            Expr::CompoundIdentifier(_) => Err(ungrouped(self.0.site, expr)),
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                Err(self.0.site.fault(
                    expr,
                    "a subquery beside aggregates over several holders is not available in this version",
                    "run it as a job of its own",
                ))
            }
            _ => return ControlFlow::Continue(()),
        };
        match replaced {
            Ok(new) => {
                *expr = new;
                ControlFlow::Continue(())
            }
            Err(fault) => {
                self.0.faults.push(fault);
                ControlFlow::Break(())
            }
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { left, op, right } = expr {
            match op {
                BinaryOperator::Divide if !is_divided(left, right) => *expr = divided(left, right),
                BinaryOperator::Modulo if !is_nullif(right) => {
                    let zero = Expr::value(Value::Number("0".into(), false));
                    **right = call("nullif", vec![(**right).clone(), zero]);
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

impl Apart {
    /// GROUPING of one key.
    fn grouping(&mut self, function: &Function) -> Result<Expr, PlanFault> {
        let keys = plain_args(function).unwrap_or_default();
        let key = match keys.as_slice() {
            [one] => {
                let text = self.same.text(one);
                self.key_texts.iter().position(|key| *key == text)
            }
            _ => None,
        };
        match key {
            Some(key) => Ok(self.released(format!("g{key}"), Released::Grouping(key))),
            None => Err(self.site.fault(
                function,
                "GROUPING takes one key of GROUP BY",
                "name a column as it stands in ROLLUP or CUBE",
            )),
        }
    }

    /// A bare name that is no key: the alias of an output that is already taken apart.
    fn named(&self, name: &Ident, expr: &Expr) -> Result<Expr, PlanFault> {
        let folded = name.value.to_lowercase();
        let mut outputs = self.outer.outputs.iter();
        match outputs.find(|o| o.name.to_lowercase() == folded) {
            Some(output) if self.aliases_visible => Ok(Expr::Nested(Box::new(output.expr.clone()))),
            _ => Err(ungrouped(self.site, expr)),
        }
    }
}

fn ungrouped(site: Site, expr: &Expr) -> PlanFault {
    site.fault(
        expr,
        format!("{expr} is neither a group key nor inside an aggregate"),
        format!("put {expr} into GROUP BY, or aggregate it"),
    )
}
